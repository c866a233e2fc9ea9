//! Reads what refers to a digest: the index of its referrers (OCI distribution specification 1.1), and says what of it signs.
//!
//! Pure: never asks for anything, never looks into a signature, and never shows what a registry wrote.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::domain::image::Digest;
use crate::domain::text::Text;

/// The predicate of what `cosign sign` signs since its version 3; a bundle with another one attests something else.
const SIGNS: &str = "https://sigstore.dev/cosign/sign/v1";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Index {
    manifests: Vec<Referrer>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Referrer {
    artifact_type: Option<String>,
    annotations: Option<BTreeMap<String, String>>,
}

/// The kind of the first referrer that signs, in our words; `None` if none does.
pub(super) fn signing(bytes: &[u8]) -> Result<Option<&'static str>, Text> {
    let index: Index = serde_json::from_slice(bytes).map_err(|error| Text::new(&error.to_string()))?;
    // One of which we know that it signs before one that may.
    let kinds: Vec<Kind> = index.manifests.iter().filter_map(Referrer::kind).collect();
    let certain = kinds.iter().find_map(|kind| match kind {
        Kind::Signature(name) => Some(*name),
        Kind::Bundle => None,
    });
    Ok(certain.or(kinds.first().map(|_| "sigstore bundle, of a signature or an attestation")))
}

/// The tag under which referrers are kept where there is no API for them (distribution specification, "Referrers Tag Schema").
pub(super) fn tag_of(digest: &Digest) -> String {
    let (algorithm, hex) = digest.as_str().split_once(':').unwrap_or_default();
    format!("{algorithm}-{}", &hex[..hex.len().min(64)])
}

/// The tag under which cosign keeps signatures before its version 3.
pub(super) fn cosign_tag_of(digest: &Digest) -> String {
    format!("{}.sig", tag_of(digest))
}

enum Kind {
    Signature(&'static str),
    /// A bundle that does not say what it is for: cosign drops that where it writes the tag itself (sigstore/cosign#4641).
    Bundle,
}

impl Referrer {
    fn kind(&self) -> Option<Kind> {
        let annotation = |name: &str| {
            let annotations = self.annotations.as_ref()?;
            annotations.get(&format!("dev.sigstore.bundle.{name}")).map(String::as_str)
        };
        match self.artifact_type.as_deref()? {
            bundle if bundle.starts_with("application/vnd.dev.sigstore.bundle") => {
                match (annotation("predicateType"), annotation("content")) {
                    (Some(SIGNS), _) | (None, Some("message-signature")) => Some(Kind::Signature("sigstore bundle")),
                    (Some(_), _) => None,
                    (None, _) => Some(Kind::Bundle),
                }
            }
            "application/vnd.dev.cosign.artifact.sig.v1+json" => Some(Kind::Signature("cosign")),
            "application/vnd.cncf.notary.signature" => Some(Kind::Signature("notation")),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn check(manifests: Value, expected: Option<&str>) {
        let index = json!({"schemaVersion": 2, "manifests": manifests}).to_string();
        assert_eq!(signing(index.as_bytes()), Ok(expected), "{index}");
    }

    #[test]
    fn what_signs_is_told_from_what_attests_and_from_all_else() {
        let bundle = |annotations: Value| json!({"artifactType": "application/vnd.dev.sigstore.bundle.v0.3+json", "annotations": annotations});
        let attestation = || bundle(json!({"dev.sigstore.bundle.predicateType": "https://slsa.dev/provenance/v1"}));
        let unclear = "sigstore bundle, of a signature or an attestation";
        check(json!([]), None);
        check(json!([{"artifactType": "application/spdx+json"}, {}]), None);
        check(json!([attestation()]), None);
        check(
            json!([attestation(), bundle(json!({"dev.sigstore.bundle.predicateType": SIGNS}))]),
            Some("sigstore bundle"),
        );
        check(json!([bundle(json!({"dev.sigstore.bundle.content": "message-signature"}))]), Some("sigstore bundle"));
        check(json!([bundle(Value::Null)]), Some(unclear));
        check(json!([bundle(json!({})), {"artifactType": "application/vnd.cncf.notary.signature"}]), Some("notation"));
        check(json!([{"artifactType": "application/vnd.dev.cosign.artifact.sig.v1+json"}]), Some("cosign"));
    }

    #[test]
    fn what_is_no_index_is_refused_and_tags_are_those_of_the_specification() {
        for body in ["", "[]", "{}", "{\"manifests\":7}", "{\"manifests\":[7]}"] {
            assert!(signing(body.as_bytes()).is_err(), "{body}");
        }
        let digest: Digest = format!("sha256:{}", "a".repeat(64)).parse().expect("valid");
        assert_eq!(tag_of(&digest), format!("sha256-{}", "a".repeat(64)));
        assert_eq!(cosign_tag_of(&digest), format!("sha256-{}.sig", "a".repeat(64)));
    }

    proptest! {
        #[test]
        fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = signing(&bytes);
        }
    }
}
