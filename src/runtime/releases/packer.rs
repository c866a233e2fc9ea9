//! The manifest of Packer (its `manifest` post-processor): what its last run has built, region by region.
//!
//! Never takes what an earlier run has built: Packer keeps that in the same file.

use jiff::Timestamp;
use serde_json::Value;

use super::{Found, Said, items, text_at};

pub(super) fn read(document: &Value) -> Option<Said> {
    let last = text_at(document, &["last_run_uuid"])?;
    let builds: Vec<&Value> =
        items(document, "builds").filter(|build| text_at(build, &["packer_run_uuid"]) == Some(last)).collect();
    let found = builds.iter().flat_map(|build| {
        let data = |key: &str| text_at(build, &["custom_data", key]).map(str::to_string);
        let (service, version) = (data("service"), data("version"));
        // `us-east-1:ami-…,eu-west-1:ami-…`
        let artifacts = text_at(build, &["artifact_id"]).unwrap_or_default().split(',');
        artifacts.filter_map(move |artifact| {
            let (region, image) = artifact.trim().split_once(':')?;
            image.starts_with("ami-").then(|| Found {
                service: service.clone(),
                version: version.clone(),
                image: image.to_string(),
                region: Some(region.to_string()),
                ..Found::default()
            })
        })
    });
    let found = found.collect();
    let built = builds.iter().filter_map(|build| build.get("build_time")?.as_i64()).max();
    let made_at = built.and_then(|second| Timestamp::from_second(second).ok());
    Some(Said { tool: "Packer", declared_by: None, made_at, found })
}
