//! A registry of many images and a fleet that names them all: for the test of what they cost, and for the bench of how long they take.
//!
//! Never counts: who uses it does.

use std::collections::BTreeMap;

use futures::StreamExt as _;
use jiff::Timestamp;
use rolldeck::app::resolving::Resolving;
use rolldeck::domain::expectation::Declaration;
use rolldeck::domain::fleet::Fleet;
use rolldeck::domain::text::Text;
use rolldeck::registry::Registries;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::fake::{Asked, Fake, Reply};

/// How many.
pub(super) const IMAGES: usize = 500;

fn digest_of(body: &str) -> String {
    let hash = Sha256::digest(body.as_bytes());
    format!("sha256:{}", hash.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
}

/// Everything that a registry of this many images of two platforms has, by path.
fn content() -> BTreeMap<String, String> {
    let mut content = BTreeMap::new();
    for image in 0..IMAGES {
        let repository = format!("/v2/shop/app-{image}");
        let mut put = |kind: &str, body: String| {
            let digest = digest_of(&body);
            content.insert(format!("{repository}/{kind}/{digest}"), body);
            digest
        };
        let children: Vec<_> = ["amd64", "arm64"]
            .into_iter()
            .map(|architecture| {
                let labels = json!({"org.opencontainers.image.version": format!("1.0.{image}")});
                let config = json!({"os": "linux", "architecture": architecture, "config": {"Labels": labels}});
                let config = put("blobs", config.to_string());
                let manifest = put("manifests", json!({"config": {"digest": config}, "layers": []}).to_string());
                json!({"digest": manifest, "platform": {"os": "linux", "architecture": architecture}})
            })
            .collect();
        let index = json!({"manifests": children}).to_string();
        put("manifests", index.clone());
        content.insert(format!("{repository}/manifests/v1"), index);
    }
    content
}

/// The registry.
pub(super) async fn registry() -> Fake {
    let content = content();
    Fake::new(move |asked: &Asked| match content.get(&asked.path) {
        Some(body) => {
            let headers = vec![("docker-content-digest", digest_of(body))];
            Reply::Says(200, headers, body.clone().into_bytes())
        }
        None => Reply::Says(404, Vec::new(), Vec::new()),
    })
    .await
}

/// The fleet.
pub(super) fn fleet(host: &str) -> Fleet {
    let declared = |image: usize| Declaration {
        service: Text::new(&format!("app-{image}")),
        image: format!("{host}/shop/app-{image}:v1").parse().expect("valid"),
        container: None,
        places: Vec::new(),
    };
    let mut fleet = Fleet::new((0..IMAGES).map(declared).collect());
    fleet.set_registries(vec![Text::new(host)]);
    fleet
}

/// Asks until there is nothing more to ask at that moment.
pub(super) async fn settle(fleet: &mut Fleet, resolving: &mut Resolving, registries: &Registries, now: Timestamp) {
    loop {
        let due = resolving.due(fleet, now);
        if due.is_empty() {
            return;
        }
        let answers: Vec<_> =
            futures::stream::iter(&due).map(|about| registries.ask(about)).buffer_unordered(due.len()).collect().await;
        resolving.answered(&answers, now);
        fleet.learn(answers);
    }
}
