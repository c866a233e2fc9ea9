//! Takes an image apart: its layers, its labels, and what its configuration runs.
//!
//! Never shows a value that may be a secret: variables and commands are only compared.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};

use serde::Deserialize;
use serde_json::Value;

use super::{Registries, documents, manifest_path};
use crate::domain::anatomy::{Field, Topic};
use crate::domain::image::{Digest, ImageRef};
use crate::domain::text::Text;
use crate::registry::Fault;

/// Where nobody wants another one, this platform is taken, if it is there.
const USUAL_PLATFORM: &str = "linux/amd64";
/// How many entries of a list are taken; real ones have a few dozen.
const MOST: usize = 500;

#[derive(Deserialize)]
struct Manifest {
    #[serde(default)]
    layers: Vec<Layer>,
    #[serde(default)]
    annotations: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
struct Layer {
    digest: String,
    #[serde(default)]
    size: u64,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Config {
    created: Option<String>,
    config: Option<Inner>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Inner {
    labels: Option<BTreeMap<String, String>>,
    env: Option<Vec<String>>,
    exposed_ports: Option<BTreeMap<String, Value>>,
    entrypoint: Option<Vec<String>>,
    cmd: Option<Vec<String>>,
    user: Option<String>,
    working_dir: Option<String>,
}

/// The fields of images that were asked for: a digest has the same ones for ever. By reference and platform.
#[derive(Default)]
pub(super) struct TakenApart(Mutex<HashMap<Key, Vec<Field>>>);

type Key = (String, Option<String>);

/// How many images are kept; when there are more, all are asked for anew.
const MOST_KEPT: usize = 64;

impl TakenApart {
    fn of(&self, key: &Key) -> Option<Vec<Field>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    fn keep(&self, key: Key, fields: &[Field]) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST_KEPT {
            known.clear();
        }
        known.insert(key, fields.to_vec());
    }
}

impl Registries {
    /// The fields of an image that is named by its digest; of several platforms those of the wanted one, else of the usual one.
    ///
    /// # Errors
    /// If it is not there, or its registry can't say.
    pub async fn dissect(&self, about: &ImageRef, platform: Option<&str>) -> Result<Vec<Field>, Text> {
        let key = (about.canonical(), platform.map(ToString::to_string));
        if let Some(fields) = self.taken_apart.of(&key) {
            return Ok(fields);
        }
        let fields = self.take_apart(about, platform).await.map_err(|fault| Text::new(&fault.to_string()))?;
        self.taken_apart.keep(key, &fields);
        Ok(fields)
    }

    async fn take_apart(&self, about: &ImageRef, wanted: Option<&str>) -> Result<Vec<Field>, Fault> {
        let host = self.web.host(about)?;
        let Some(digest) = about.digest() else { return Err(Fault::Gone) };
        let malformed = |why: Text| host.malformed(why);
        let mut body = self.web.manifest(&host, &manifest_path(&host, digest.as_str())?, Some(digest)).await?;
        let found = documents::read(&body, digest).map_err(malformed)?;
        let mut fields = Vec::new();
        if found.index.is_some() {
            let names: Vec<&str> = found.platforms.iter().map(|platform| platform.name.as_str()).collect();
            fields.push(Field::shown(Topic::Image, "platforms", &names.join(", ")));
            let named = |name: &str| found.platforms.iter().find(|platform| platform.name.as_str() == name);
            let platform = wanted.and_then(named).or_else(|| named(USUAL_PLATFORM)).or(found.platforms.first());
            let platform = platform.ok_or_else(|| malformed(Text::new("its index names no platform")))?;
            let path = manifest_path(&host, platform.manifest.as_str())?;
            body = self.web.manifest(&host, &path, Some(&platform.manifest)).await?;
        }
        fields.extend(of_manifest(&body).map_err(malformed)?);
        if let Some(config) = documents::config_of(&body).map_err(malformed)? {
            let blob = self.web.blob(&host, &config).await?;
            fields.extend(of_config(&blob).map_err(malformed)?);
        }
        Ok(fields)
    }
}

fn of_manifest(bytes: &[u8]) -> Result<Vec<Field>, Text> {
    let manifest: Manifest = documents::parse(bytes)?;
    let layers = manifest.layers.into_iter().take(MOST).filter_map(|layer| {
        let digest: Digest = layer.digest.parse().ok()?;
        Some(Field::shown(Topic::Layer, digest.short(12), &size(layer.size)))
    });
    let annotations = manifest.annotations.unwrap_or_default().into_iter().take(MOST);
    let annotations = annotations.map(|(key, value)| label(&format!("annotation {key}"), &value));
    Ok(layers.chain(annotations).collect())
}

fn of_config(bytes: &[u8]) -> Result<Vec<Field>, Text> {
    let (platform, _) = documents::read_config(bytes)?;
    let config: Config = documents::parse(bytes)?;
    let inner = config.config.unwrap_or_default();
    let mut fields = vec![Field::shown(Topic::Image, "platform", &platform)];
    fields.extend(config.created.map(|created| Field::shown(Topic::Image, "built", &created)));
    fields.extend(inner.labels.unwrap_or_default().iter().take(MOST).map(|(key, value)| label(key, value)));
    for variable in inner.env.unwrap_or_default().iter().take(MOST) {
        let (name, value) = variable.split_once('=').unwrap_or((variable, ""));
        fields.push(Field::hidden(Topic::Environment, &format!("of the image: {name}"), value));
    }
    for port in inner.exposed_ports.unwrap_or_default().keys().take(MOST) {
        fields.push(Field::shown(Topic::Port, &format!("of the image: {port}"), "exposed"));
    }
    for (name, words) in [("entrypoint", inner.entrypoint), ("cmd", inner.cmd)] {
        let words = words.filter(|words| !words.is_empty());
        fields.extend(words.map(|words| Field::words(Topic::Command, &format!("of the image: {name}"), &words)));
    }
    for (name, value) in [("user", inner.user), ("working directory", inner.working_dir)] {
        let value = value.filter(|value| !value.is_empty());
        fields.extend(value.map(|value| Field::shown(Topic::Command, &format!("of the image: {name}"), &value)));
    }
    Ok(fields)
}

fn label(name: &str, value: &str) -> Field {
    Field::shown(Topic::Label, &format!("of the image: {name}"), value)
}

fn size(bytes: u64) -> String {
    match bytes {
        0..1024 => format!("{bytes} B"),
        1024..1_048_576 => format!("{:.1} KiB", bytes as f64 / 1024.0),
        1_048_576.. => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn layers_and_what_a_configuration_runs_are_told_and_no_secret_is() {
        let layer =
            |seed: char, size: u64| json!({"digest": format!("sha256:{}", seed.to_string().repeat(64)), "size": size});
        let manifest = json!({"layers": [layer('a', 12), layer('b', 3 << 20), {"digest": "no digest"}]});
        let config = json!({"os": "linux", "architecture": "arm64", "created": "2026-11-26T03:00:00Z", "config": {
            "Labels": {"team": "shop"}, "Env": ["TOKEN=hush1", "EMPTY"], "ExposedPorts": {"8080/tcp": {}},
            "Entrypoint": ["/app", "--key=hush2"], "User": "1000"}});
        let mut fields = of_manifest(manifest.to_string().as_bytes()).expect("readable");
        fields.extend(of_config(config.to_string().as_bytes()).expect("readable"));
        let told: Vec<String> =
            fields.iter().map(|field| format!("{} {}={}", field.topic.as_str(), field.name, field.value)).collect();
        let told: Vec<&str> = told.iter().map(String::as_str).collect();
        assert_eq!(
            told,
            [
                "layer aaaaaaaaaaaa=12 B",
                "layer bbbbbbbbbbbb=3.0 MiB",
                "image platform=linux/arm64",
                "image built=2026-11-26T03:00:00Z",
                "label of the image: team=shop",
                "environment of the image: TOKEN=set, not shown",
                "environment of the image: EMPTY=set, not shown",
                "port of the image: 8080/tcp=exposed",
                "command of the image: entrypoint=set, not shown",
                "command of the image: user=1000",
            ]
        );
        assert!(!format!("{fields:?}").contains("hush"));
    }

    proptest! {
        #[test]
        fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = (of_manifest(&bytes), of_config(&bytes));
        }
    }
}
