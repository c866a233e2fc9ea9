//! Reads what a registry stores: indexes, manifests, configurations (OCI image specification; Docker's are alike).
//!
//! Pure: never asks for anything. Bytes are of the digest that was asked for; who calls has compared that.

use serde::Deserialize;
use sha2::{Digest as _, Sha256, Sha512};
use std::collections::BTreeMap;

use crate::domain::catalog::{Documents, Labels, Platform};
use crate::domain::image::Digest;
use crate::domain::text::Text;

/// How many platforms of an index are taken; real ones have a dozen.
const MOST_PLATFORMS: usize = 64;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    manifests: Option<Vec<Descriptor>>,
    config: Option<Descriptor>,
    #[serde(default)]
    annotations: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
struct Descriptor {
    digest: String,
    platform: Option<PlatformName>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct PlatformName {
    os: String,
    architecture: String,
    variant: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Config {
    #[serde(flatten)]
    platform: PlatformName,
    created: Option<String>,
    config: Option<Inner>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Inner {
    #[serde(rename = "Labels")]
    labels: Option<BTreeMap<String, String>>,
}

/// An index or a manifest, by its digest.
pub(super) fn read(bytes: &[u8], digest: &Digest) -> Result<Documents, Text> {
    let document: Document = parse(bytes)?;
    let labels = labels(document.annotations.as_ref().unwrap_or(&BTreeMap::new()));
    if let Some(children) = document.manifests {
        let platforms = children.into_iter().filter_map(platform_of).take(MOST_PLATFORMS).collect();
        return Ok(Documents { index: Some(digest.clone()), platforms, labels });
    }
    let config = document.config.map(|config| config.digest.parse()).transpose().map_err(malformed)?;
    if config.is_none() {
        return Err(malformed("neither an index nor the manifest of an image"));
    }
    let platform = Platform { name: Text::default(), manifest: digest.clone(), config };
    Ok(Documents { index: None, platforms: vec![platform], labels })
}

/// The configuration that a manifest names.
pub(super) fn config_of(bytes: &[u8]) -> Result<Option<Digest>, Text> {
    let document: Document = parse(bytes)?;
    document.config.map(|config| config.digest.parse()).transpose().map_err(malformed)
}

/// The platform and the labels of a configuration.
pub(super) fn read_config(bytes: &[u8]) -> Result<(Text, Labels), Text> {
    let config: Config = parse(bytes)?;
    let own = config.config.and_then(|inner| inner.labels).unwrap_or_default();
    let mut labels = labels(&own);
    labels.created = labels.created.or(filled(config.created.as_deref()));
    Ok((config.platform.text(), labels))
}

/// The digest of some bytes, as registries name them.
pub(super) fn digest_of(bytes: &[u8]) -> Digest {
    let text = format!("sha256:{}", hex(&Sha256::digest(bytes)));
    text.parse().expect("a hash is a digest")
}

/// Whether bytes are what a digest names.
pub(super) fn is_of(bytes: &[u8], digest: &Digest) -> bool {
    match digest.as_str().split_once(':') {
        Some(("sha512", wanted)) => hex(&Sha512::digest(bytes)) == wanted,
        _ => digest_of(bytes) == *digest,
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A child that is an image: what says of itself that it is for no platform (an attestation) is none.
fn platform_of(child: Descriptor) -> Option<Platform> {
    let name = child.platform.unwrap_or_default();
    if name.os == "unknown" || name.architecture == "unknown" {
        return None;
    }
    Some(Platform { name: name.text(), manifest: child.digest.parse().ok()?, config: None })
}

impl PlatformName {
    fn text(&self) -> Text {
        let parts = [Some(&self.os), Some(&self.architecture), self.variant.as_ref()];
        let parts: Vec<&str> =
            parts.into_iter().flatten().map(String::as_str).filter(|part| !part.is_empty()).collect();
        Text::new(&parts.join("/"))
    }
}

fn labels(of: &BTreeMap<String, String>) -> Labels {
    let label = |name: &str| filled(of.get(&format!("org.opencontainers.image.{name}")).map(String::as_str));
    Labels {
        version: label("version"),
        revision: label("revision"),
        source: label("source"),
        created: label("created"),
        expires: filled(of.get("quay.expires-after").map(String::as_str))
            .map(|after| Text::new(&format!("{after} after it was pushed, as its label says (quay.expires-after)"))),
    }
}

fn filled(text: Option<&str>) -> Option<Text> {
    text.map(|text| Text::new(text.trim())).filter(|text| !text.is_empty())
}

/// Any of them, whatever is wanted of it.
pub(super) fn parse<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, Text> {
    serde_json::from_slice(bytes).map_err(malformed)
}

fn malformed(error: impl std::fmt::Display) -> Text {
    Text::new(&error.to_string())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn digest(seed: char) -> String {
        format!("sha256:{}", seed.to_string().repeat(64))
    }

    #[test]
    fn an_index_has_its_platforms_and_no_attestation() {
        let index = json!({"manifests": [
            {"digest": digest('a'), "platform": {"os": "linux", "architecture": "amd64"}},
            {"digest": digest('b'), "platform": {"os": "linux", "architecture": "arm", "variant": "v7"}},
            {"digest": digest('c'), "platform": {"os": "unknown", "architecture": "unknown"}},
        ], "annotations": {"org.opencontainers.image.version": "41.2"}});
        let own: Digest = digest('f').parse().expect("valid");
        let found = read(index.to_string().as_bytes(), &own).expect("readable");
        let names: Vec<&str> = found.platforms.iter().map(|platform| platform.name.as_str()).collect();
        assert_eq!((names, found.index), (vec!["linux/amd64", "linux/arm/v7"], Some(own)));
        assert_eq!(found.labels.version.as_deref(), Some("41.2"));
    }

    #[test]
    fn a_manifest_is_one_platform_and_a_configuration_tells_which() {
        let own: Digest = digest('f').parse().expect("valid");
        let manifest = json!({"config": {"digest": digest('c')}, "layers": []});
        let found = read(manifest.to_string().as_bytes(), &own).expect("readable");
        assert_eq!((found.index, found.platforms[0].config.as_ref().map(Digest::as_str)), (None, Some(&*digest('c'))));
        let config = json!({"os": "linux", "architecture": "arm64", "created": "2026-11-26T03:00:00Z",
            "config": {"Labels": {"org.opencontainers.image.version": "v41\u{1b}[2J", "org.opencontainers.image.revision": " ", "quay.expires-after": "2w"}}});
        let (name, labels) = read_config(config.to_string().as_bytes()).expect("readable");
        assert_eq!((name.as_str(), labels.created.as_deref()), ("linux/arm64", Some("2026-11-26T03:00:00Z")));
        assert!(labels.version.is_some_and(|version| !version.contains('\u{1b}')), "it may be anything");
        assert_eq!(labels.revision, None);
        assert!(labels.expires.is_some_and(|expires| expires.starts_with("2w after it was pushed")));
    }

    #[test]
    fn what_is_no_image_is_refused() {
        for body in ["", "[]", "{}", "{\"config\":{\"digest\":\"sha256:12\"}}", "{\"manifests\":7}"] {
            assert!(read(body.as_bytes(), &digest('a').parse().expect("valid")).is_err(), "{body}");
        }
        let deep = "[".repeat(100_000);
        assert!(read(deep.as_bytes(), &digest('a').parse().expect("valid")).is_err());
    }

    #[test]
    fn bytes_are_compared_with_the_digest_that_was_asked_for() {
        let own = digest_of(b"{}");
        assert!(is_of(b"{}", &own) && !is_of(b"{ }", &own));
        let long = format!("sha512:{}", hex(&Sha512::digest(b"{}"))).parse().expect("valid");
        assert!(is_of(b"{}", &long) && !is_of(b"{ }", &long));
    }

    proptest! {
        #[test]
        fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let own: Digest = digest('a').parse().expect("valid");
            let _ = (read(&bytes, &own), config_of(&bytes), read_config(&bytes));
        }
    }
}
