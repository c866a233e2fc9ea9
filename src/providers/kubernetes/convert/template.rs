//! Pod templates: their hash, their containers, what would make the next launch differ.
//!
//! Never keeps a template: hashes and images leave this file, values of environment variables do not.

use std::sync::Arc;

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::domain::image::ImageRef;
use crate::domain::observation::{ContainerSpec, Role, Template, TemplateHash};
use crate::domain::text::Text;

/// Labels that controllers add to the templates or pods that they make; they are no part of what was asked for.
const ADDED_LABELS: [&str; 6] = [
    "pod-template-hash",
    "rollouts-pod-template-hash",
    "controller-uid",
    "job-name",
    "batch.kubernetes.io/controller-uid",
    "batch.kubernetes.io/job-name",
];

/// The containers that a template asks for, by name with their images: what a pod of it is compared with.
pub(in super::super) type Asked = Arc<[(Text, Text)]>;

/// Whether a controller has added a label to a template or pod that it made.
pub(in super::super) fn is_added_label(key: &str) -> bool {
    ADDED_LABELS.contains(&key)
}

/// A template as the domain knows it.
pub(in super::super) fn template_of(template: &Value) -> Template {
    let spec = &template["spec"];
    let mut containers: Vec<ContainerSpec> = each(spec, "containers").map(|raw| container(raw, Role::App)).collect();
    containers.extend(each(spec, "initContainers").map(|raw| {
        let role = if raw["restartPolicy"] == "Always" { Role::Sidecar } else { Role::Init };
        container(raw, role)
    }));
    let labels = &template["metadata"]["labels"];
    let version = labels["app.kubernetes.io/version"].as_str().filter(|version| !version.is_empty()).map(Text::new);
    Template { hash: hash_of(template), version, latent: latent(&containers), containers }
}

/// Equal for templates that ask for the same, whichever object holds them: SHA-256 over the template with its keys
/// sorted, without nulls and without the labels that controllers add.
pub(in super::super) fn hash_of(template: &Value) -> TemplateHash {
    let mut hash = Sha256::new();
    feed(&mut hash, template, Depth::Template);
    let hexadecimal: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    TemplateHash(Text::new(&hexadecimal))
}

/// Names and images of a template's containers.
pub(in super::super) fn asked_of(template: &Template) -> Asked {
    let image = |container: &ContainerSpec| container.image.as_ref().map(|image| Text::new(image.as_str()));
    let pair = |container: &ContainerSpec| (container.name.clone(), image(container).unwrap_or_default());
    template.containers.iter().map(pair).collect()
}

/// The container that the owner calls the main one.
pub(in super::super) fn main_container(template: &Value) -> Option<Text> {
    let name = template["metadata"]["annotations"]["kubectl.kubernetes.io/default-container"].as_str()?;
    Some(Text::new(name)).filter(|name| !name.is_empty())
}

fn each<'a>(spec: &'a Value, list: &str) -> impl Iterator<Item = &'a Value> {
    spec[list].as_array().into_iter().flatten()
}

fn container(raw: &Value, role: Role) -> ContainerSpec {
    let image = raw["image"].as_str().and_then(|image| image.parse::<ImageRef>().ok());
    ContainerSpec { name: Text::new(raw["name"].as_str().unwrap_or_default()), role, image }
}

/// A reference without a digest stands for whatever its registry says when the next instance starts.
fn latent(containers: &[ContainerSpec]) -> Option<Text> {
    let moving: Vec<&str> = containers
        .iter()
        .filter_map(|container| container.image.as_ref())
        .filter(|image| image.digest().is_none())
        .map(ImageRef::as_str)
        .collect();
    match moving[..] {
        [] => None,
        [one] => {
            Some(Text::new(&format!("{one} is not pinned: the tag may stand for another image at the next start")))
        }
        [first, ..] => Some(Text::new(&format!(
            "{first} and {} more are not pinned: their tags may stand for other images at the next start",
            moving.len() - 1
        ))),
    }
}

/// Where in a template a value stands; only the template's own labels are filtered.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Depth {
    Template,
    Metadata,
    Labels,
    Below,
}

impl Depth {
    fn of(self, key: &str) -> Depth {
        match (self, key) {
            (Depth::Template, "metadata") => Depth::Metadata,
            (Depth::Metadata, "labels") => Depth::Labels,
            (Depth::Template | Depth::Metadata | Depth::Labels | Depth::Below, _) => Depth::Below,
        }
    }
}

fn feed(hash: &mut Sha256, value: &Value, depth: Depth) {
    match value {
        Value::Object(map) => {
            let mut keys: Vec<&String> = map.keys().collect();
            keys.sort_unstable();
            hash.update(b"{");
            for key in keys {
                let is_added = depth == Depth::Labels && is_added_label(key);
                if is_added || says_nothing(key, &map[key], depth) {
                    continue;
                }
                feed_text(hash, key);
                feed(hash, &map[key], depth.of(key));
            }
            hash.update(b"}");
        }
        Value::Array(list) => {
            hash.update(b"[");
            for entry in list {
                feed(hash, entry, Depth::Below);
            }
            hash.update(b"]");
        }
        Value::String(text) => feed_text(hash, text),
        Value::Null => hash.update(b"n"),
        Value::Bool(true) => hash.update(b"t"),
        Value::Bool(false) => hash.update(b"f"),
        Value::Number(number) => {
            hash.update(b"#");
            feed_text(hash, &number.to_string());
        }
    }
}

/// Whether a value asks for nothing: null, and metadata or labels of a template in which nobody but a controller has put
/// anything (a template without labels and the same one in a Job).
fn says_nothing(key: &str, value: &Value, depth: Depth) -> bool {
    match (depth, key, value) {
        (_, _, Value::Null) => true,
        (Depth::Template, "metadata", Value::Object(map)) => {
            map.iter().all(|(key, value)| says_nothing(key, value, Depth::Metadata))
        }
        (Depth::Metadata, "labels", Value::Object(map)) => map.keys().all(|key| is_added_label(key)),
        _ => false,
    }
}

fn feed_text(hash: &mut Sha256, text: &str) {
    hash.update(b"\"");
    hash.update((text.len() as u64).to_be_bytes());
    hash.update(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn equal_templates_have_equal_hashes_whatever_controllers_added() {
        let plain =
            json!({"metadata": {"labels": {"app": "a"}}, "spec": {"containers": [{"name": "a", "image": "x:1"}]}});
        let added = json!({"spec": {"containers": [{"image": "x:1", "name": "a"}]},
            "metadata": {"creationTimestamp": null, "labels": {"pod-template-hash": "77", "app": "a"}}});
        assert_eq!(hash_of(&plain), hash_of(&added));
        let bare = json!({"metadata": {"creationTimestamp": null}, "spec": {"containers": []}});
        let of_a_job = json!({"metadata": {"labels": {"job-name": "a-1", "batch.kubernetes.io/controller-uid": "7"}},
            "spec": {"containers": []}});
        assert_eq!(hash_of(&bare), hash_of(&of_a_job));
        for (path, other) in [
            ("/spec/containers/0/image", json!("x:2")),
            ("/metadata/labels/app", json!("b")),
            ("/spec/containers/0", json!({"name": "a", "image": "x:1", "env": [{"name": "pod-template-hash"}]})),
        ] {
            let mut changed = plain.clone();
            *changed.pointer_mut(path).expect("it is there") = other;
            assert_ne!(hash_of(&plain), hash_of(&changed), "{path}");
        }
    }

    #[test]
    fn a_template_is_latent_while_a_tag_can_move() {
        let digest = format!("x@sha256:{}", "a".repeat(64));
        let template = |image: &str| template_of(&json!({"spec": {"containers": [{"name": "a", "image": image}]}}));
        assert!(template("x:1").latent.is_some_and(|why| why.contains("x:1")));
        assert_eq!(template(&digest).latent, None);
    }

    #[test]
    fn containers_have_their_roles() {
        let template = template_of(&json!({"metadata": {"labels": {"app.kubernetes.io/version": "v41"}}, "spec": {
            "initContainers": [{"name": "i", "image": "x"}, {"name": "s", "image": "x", "restartPolicy": "Always"}],
            "containers": [{"name": "a", "image": "not an image"}]}}));
        let roles: Vec<(&str, Role)> =
            template.containers.iter().map(|found| (found.name.as_str(), found.role)).collect();
        assert_eq!(roles, [("a", Role::App), ("i", Role::Init), ("s", Role::Sidecar)]);
        assert_eq!(template.containers[0].image, None);
        assert_eq!(template.version, Some(Text::new("v41")));
    }
}
