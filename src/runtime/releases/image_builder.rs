//! An image of EC2 Image Builder, as `aws imagebuilder get-image` prints it.
//!
//! Never takes an image that is not whole yet: its AMIs are named before they can be launched.

use serde_json::Value;

use super::{Found, Said, items, text_at};

pub(super) fn read(document: &Value) -> Option<Said> {
    let image = document.get("image").filter(|image| image.get("outputResources").is_some())?;
    let is_available = text_at(image, &["state", "status"]).is_none_or(|status| status == "AVAILABLE");
    let version = text_at(image, &["version"]).map(str::to_string);
    let made_at = text_at(image, &["dateCreated"]).and_then(|at| at.parse().ok());
    let amis = image.get("outputResources").into_iter().flat_map(|resources| items(resources, "amis"));
    let found = amis.filter(|_| is_available).filter_map(|ami| {
        Some(Found {
            version: version.clone(),
            image: text_at(ami, &["image"])?.to_string(),
            region: text_at(ami, &["region"]).map(str::to_string),
            ..Found::default()
        })
    });
    Some(Said { tool: "EC2 Image Builder", declared_by: None, made_at, found: found.collect() })
}
