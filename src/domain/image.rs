//! Images: what was asked for (`ImageRef`) and what exactly runs (`ImageId`).
//!
//! Never resolves anything: a tag stays a tag until a registry or an observation says what it is.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::text::Text;

/// A content hash as registries write it: `sha256:` and 64 hexadecimal digits, or `sha512:` and 128.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "Text", into = "Text")]
pub struct Digest(Text);

/// Which document of a container image a digest is the hash of (OCI image specification). Two digests of different
/// kinds differ even where the image is the same one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DigestKind {
    /// The list over all platforms.
    Index,
    /// The manifest of one platform.
    Manifest,
    /// The configuration of one platform; what container engines call the image id.
    Config,
    /// Index or manifest: the source (a kubelet's `repo@sha256:…`, a pin in a template) does not say which.
    Repository,
}

/// What really runs, exactly. Two ids tell something of each other only if they are of one variant and kind.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ImageId {
    /// A container image, by digest.
    Oci {
        /// The hash.
        digest: Digest,
        /// What it is the hash of.
        kind: DigestKind,
    },
    /// A machine image, by the id that its cloud gave it; a copy in another region has another id.
    Machine {
        /// The id (`ami-0123456789abcdef0`).
        id: Text,
    },
}

/// What two image ids say of each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// The same content.
    Same,
    /// Certainly not the same image.
    Different,
    /// Hashes of documents that may belong to one image: a registry could tell.
    Undecidable,
}

/// What was asked for: `registry/repo:tag@sha256:…`, split once.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "Text", into = "Text")]
pub struct ImageRef {
    raw: Text,
    repository_end: u16,
    tag: Option<(u16, u16)>,
    digest: Option<Digest>,
}

/// Why a text is no digest or image reference.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ImageError {
    /// Not `sha256:` and 64 lower-case hexadecimal digits (or sha512 and 128).
    #[error("`{0}` is no digest: it must be sha256: followed by 64 hexadecimal digits")]
    Digest(Text),
    /// Not `repository[:tag][@digest]`.
    #[error("`{0}` is no image reference: it must look like registry/repository:tag@sha256:…")]
    Reference(Text),
}

impl Digest {
    /// The whole digest, with its algorithm.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// The hexadecimal part.
    pub fn hex(&self) -> &str {
        self.0.split_once(':').map_or(self.0.as_str(), |(_, hex)| hex)
    }

    /// The first `length` hexadecimal digits.
    pub fn short(&self, length: usize) -> &str {
        let hex = self.hex();
        &hex[..length.min(hex.len())]
    }
}

impl FromStr for Digest {
    type Err = ImageError;
    fn from_str(raw: &str) -> Result<Digest, ImageError> {
        let wrong = || ImageError::Digest(Text::new(raw));
        let (algorithm, hex) = raw.split_once(':').ok_or_else(wrong)?;
        let length = match algorithm {
            "sha256" => 64,
            "sha512" => 128,
            _ => return Err(wrong()),
        };
        let is_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if hex.len() != length || !hex.bytes().all(is_hex) {
            return Err(wrong());
        }
        Ok(Digest(Text::new(raw)))
    }
}

impl ImageId {
    /// The digest of a container image.
    pub fn oci(digest: Digest, kind: DigestKind) -> ImageId {
        ImageId::Oci { digest, kind }
    }

    /// A machine image.
    pub fn machine(id: &str) -> ImageId {
        ImageId::Machine { id: Text::new(id) }
    }

    /// The whole id as scripts see it.
    pub fn as_str(&self) -> &str {
        match self {
            ImageId::Oci { digest, .. } => digest.as_str(),
            ImageId::Machine { id } => id,
        }
    }

    /// The first `length` characters that tell ids apart.
    pub fn short(&self, length: usize) -> &str {
        match self {
            ImageId::Oci { digest, .. } => digest.short(length),
            ImageId::Machine { id } => &id[..length.min(id.len())],
        }
    }

    /// The part that is searched and shortened: a digest without its algorithm.
    pub fn distinctive(&self) -> &str {
        match self {
            ImageId::Oci { digest, .. } => digest.hex(),
            ImageId::Machine { id } => id,
        }
    }

    /// What the two say of each other. Equal hashes are the same content whatever kind was assumed; different hashes
    /// are different images only if both are known to be of one kind, or neither source says (see `drift`).
    pub fn compare(&self, other: &ImageId) -> Comparison {
        match (self, other) {
            (ImageId::Oci { digest: mine, kind: my_kind }, ImageId::Oci { digest: theirs, kind: their_kind }) => {
                if mine == theirs {
                    Comparison::Same
                } else if my_kind == their_kind {
                    Comparison::Different
                } else {
                    Comparison::Undecidable
                }
            }
            (ImageId::Machine { id: mine }, ImageId::Machine { id: theirs }) => {
                if mine == theirs {
                    Comparison::Same
                } else {
                    Comparison::Different
                }
            }
            (ImageId::Oci { .. }, ImageId::Machine { .. }) | (ImageId::Machine { .. }, ImageId::Oci { .. }) => {
                Comparison::Undecidable
            }
        }
    }
}

impl ImageRef {
    /// As it was written.
    pub fn as_str(&self) -> &str {
        self.raw.as_str()
    }

    /// Registry and repository, without tag and digest, as written.
    pub fn repository(&self) -> &str {
        &self.raw[..usize::from(self.repository_end)]
    }

    /// The tag, if one was written.
    pub fn tag(&self) -> Option<&str> {
        self.tag.map(|(start, end)| &self.raw[usize::from(start)..usize::from(end)])
    }

    /// The digest that the reference is pinned to.
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// The exact image, if the reference pins one: by digest, or as the id of a machine image.
    pub fn pinned(&self) -> Option<ImageId> {
        match &self.digest {
            Some(digest) => Some(ImageId::oci(digest.clone(), DigestKind::Repository)),
            None => self.is_machine().then(|| ImageId::machine(&self.raw)),
        }
    }

    /// Whether it is the id of a machine image: `ami-` and 8 or 17 hexadecimal digits (EC2 `ImageId`).
    pub fn is_machine(&self) -> bool {
        let Some(digits) = self.raw.strip_prefix("ami-") else { return false };
        matches!(digits.len(), 8 | 17) && digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    }

    /// What a person calls it: the tag, else the start of the digest, else the implied `latest`.
    pub fn version(&self) -> Option<Text> {
        self.tag().map(Text::new)
    }

    /// The registry that it is of and the repository there, as Docker's rules make them of a name without a registry.
    pub fn registry_and_path(&self) -> (String, String) {
        let repository = normal_repository(self.repository());
        match repository.split_once('/') {
            Some((registry, path)) => (registry.to_string(), path.to_string()),
            None => (repository, String::new()),
        }
    }

    /// One spelling of what it asks for: with its registry, and with its digest or else its tag.
    pub fn canonical(&self) -> String {
        let repository = normal_repository(self.repository());
        match &self.digest {
            Some(digest) => format!("{repository}@{digest}"),
            None => format!("{repository}:{}", self.tag().unwrap_or("latest")),
        }
    }

    /// The same repository, with this digest and no tag.
    pub fn at_digest(&self, digest: &Digest) -> Option<ImageRef> {
        format!("{}@{digest}", self.repository()).parse().ok()
    }

    /// Whether both name the same repository, however the default registry was spelt (`nginx`, `docker.io/library/nginx`).
    pub fn is_same_repository(&self, other: &ImageRef) -> bool {
        normal_repository(self.repository()) == normal_repository(other.repository())
    }

    /// Whether both may stand in the same container: of one repository, or both machine images, whose ids have nothing in
    /// common.
    pub fn is_alike(&self, other: &ImageRef) -> bool {
        match self.is_machine() {
            true => other.is_machine(),
            false => self.is_same_repository(other),
        }
    }

    /// Whether both ask for the same image: the same digest, or neither pinned and the same repository and tag.
    pub fn asks_same(&self, other: &ImageRef) -> bool {
        match (&self.digest, &other.digest) {
            (Some(mine), Some(theirs)) => mine == theirs,
            (None, None) => {
                self.is_same_repository(other) && self.tag().unwrap_or("latest") == other.tag().unwrap_or("latest")
            }
            _ => false,
        }
    }
}

/// Docker's rules for names without a registry (distribution `reference` package): a first component without dot, colon
/// or `localhost` belongs to `docker.io`, and a single component there to `library`.
fn normal_repository(repository: &str) -> String {
    let (registry, path) = match repository.split_once('/') {
        Some((first, rest)) if first.contains(['.', ':']) || first == "localhost" => (first, rest),
        _ => ("docker.io", repository),
    };
    let registry = if registry == "index.docker.io" { "docker.io" } else { registry };
    if registry == "docker.io" && !path.contains('/') {
        format!("{registry}/library/{path}")
    } else {
        format!("{registry}/{path}")
    }
}

impl FromStr for ImageRef {
    type Err = ImageError;
    fn from_str(raw: &str) -> Result<ImageRef, ImageError> {
        let text = Text::new(raw);
        let wrong = || ImageError::Reference(text.clone());
        if raw.len() > 1024 || text.as_str() != raw || raw.contains(char::is_whitespace) {
            return Err(wrong());
        }
        let (name, digest) = match raw.split_once('@') {
            Some((name, digest)) => (name, Some(digest.parse::<Digest>()?)),
            None => (raw, None),
        };
        let last_component = name.rfind('/').map_or(0, |slash| slash + 1);
        let (repository, tag) = match name[last_component..].find(':') {
            Some(colon) => {
                let colon = last_component + colon;
                if colon + 1 == name.len() || name[colon + 1..].contains(':') {
                    return Err(wrong());
                }
                (&name[..colon], Some((colon as u16 + 1, name.len() as u16)))
            }
            None => (name, None),
        };
        if repository.is_empty() || repository.ends_with('/') || repository.starts_with('/') {
            return Err(wrong());
        }
        let repository_end = repository.len() as u16;
        Ok(ImageRef { raw: text, repository_end, tag, digest })
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl fmt::Display for ImageId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}

impl fmt::Display for ImageRef {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}

impl TryFrom<Text> for Digest {
    type Error = ImageError;
    fn try_from(text: Text) -> Result<Digest, ImageError> {
        text.parse()
    }
}

impl From<Digest> for Text {
    fn from(digest: Digest) -> Text {
        digest.0
    }
}

impl TryFrom<Text> for ImageRef {
    type Error = ImageError;
    fn try_from(text: Text) -> Result<ImageRef, ImageError> {
        text.parse()
    }
}

impl From<ImageRef> for Text {
    fn from(reference: ImageRef) -> Text {
        reference.raw
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn digest(seed: char) -> String {
        format!("sha256:{}", seed.to_string().repeat(64))
    }

    #[test]
    fn references_are_split_as_registries_do() {
        let pinned = format!("registry.example:5000/shop/checkout:v41@{}", digest('9'));
        for (raw, repository, tag, is_pinned) in [
            ("nginx", "nginx", None, false),
            ("nginx:1.27", "nginx", Some("1.27"), false),
            ("localhost:5000/a/b", "localhost:5000/a/b", None, false),
            ("localhost:5000/a/b:c", "localhost:5000/a/b", Some("c"), false),
            (pinned.as_str(), "registry.example:5000/shop/checkout", Some("v41"), true),
        ] {
            let reference: ImageRef = raw.parse().expect(raw);
            assert_eq!((reference.repository(), reference.tag()), (repository, tag), "{raw}");
            assert_eq!(reference.digest().is_some(), is_pinned, "{raw}");
        }
    }

    #[test]
    fn garbage_is_refused_with_the_text_that_was_wrong() {
        for raw in ["", ":v1", "a/", "/a", "a:b:c", "a:", "a b", "a@sha256:12", "a\u{1b}[0m"] {
            assert!(raw.parse::<ImageRef>().is_err(), "{raw:?}");
        }
        let error = "repo@sha256:12".parse::<ImageRef>().expect_err("too short");
        assert!(error.to_string().contains("sha256:12"));
    }

    #[test]
    fn the_default_registry_may_be_left_out() {
        let parse = |raw: &str| raw.parse::<ImageRef>().expect("valid");
        assert!(parse("nginx:1").asks_same(&parse("docker.io/library/nginx:1")));
        assert!(parse("nginx").asks_same(&parse("nginx:latest")));
        assert!(!parse("registry.example/nginx:1").asks_same(&parse("nginx:1")));
    }

    #[test]
    fn kinds_that_cant_be_brought_together_are_undecidable() {
        let id = |seed, kind| ImageId::oci(digest(seed).parse().expect("valid"), kind);
        let check = |a: &ImageId, b: &ImageId, expected| {
            assert_eq!(a.compare(b), expected);
            assert_eq!(b.compare(a), expected, "symmetric");
        };
        check(&id('a', DigestKind::Index), &id('a', DigestKind::Manifest), Comparison::Same);
        check(&id('a', DigestKind::Index), &id('b', DigestKind::Index), Comparison::Different);
        check(&id('a', DigestKind::Index), &id('b', DigestKind::Config), Comparison::Undecidable);
        check(&id('a', DigestKind::Repository), &id('b', DigestKind::Config), Comparison::Undecidable);
    }

    #[test]
    fn a_machine_image_is_exact_and_of_a_kind_of_its_own() {
        let parse = |raw: &str| raw.parse::<ImageRef>().expect("valid");
        let machine = parse("ami-0123456789abcdef0").pinned().expect("exact");
        assert_eq!((machine.as_str(), machine.short(8)), ("ami-0123456789abcdef0", "ami-0123"));
        assert_eq!(machine.compare(&ImageId::machine("ami-0123456789abcdef1")), Comparison::Different);
        let container = ImageId::oci(digest('a').parse().expect("valid"), DigestKind::Index);
        assert_eq!(machine.compare(&container), Comparison::Undecidable);
        assert!(parse("ami-12345678").is_machine());
        for name in ["ami-server", "ami-0123456789abcdef0:v1", "shop/ami-12345678", "ami-1234567g"] {
            assert_eq!(parse(name).pinned(), None, "{name}");
        }
    }

    proptest! {
        #[test]
        fn parsing_never_panics_and_keeps_the_text(raw in "[a-z0-9:/@. ]{0,80}") {
            if let Ok(reference) = raw.parse::<ImageRef>() {
                prop_assert_eq!(reference.as_str(), raw.as_str());
            }
        }
    }
}
