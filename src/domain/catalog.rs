//! What registries have told: which digest a tag stands for, and which documents are one image.
//!
//! Never asks a registry, and never guesses: what nobody has told is not known.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::Timestamp;

use super::image::{Comparison, Digest, DigestKind, ImageId, ImageRef};
use super::selector::glob_matches;
use super::signature::SignatureHeard;
use super::text::Text;

/// One image as a registry holds it: up to one index, and a manifest and a configuration for each platform.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Documents {
    /// The list over all platforms, where there is one.
    pub index: Option<Digest>,
    /// Its platforms.
    pub platforms: Vec<Platform>,
    /// What its labels and annotations say of it.
    pub labels: Labels,
}

/// One platform of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Platform {
    /// `linux/amd64`; empty where the registry does not say.
    pub name: Text,
    /// Its manifest.
    pub manifest: Digest,
    /// Its configuration, where that was read.
    pub config: Option<Digest>,
}

/// What an image says of itself (`org.opencontainers.image.*`). Whoever has built it may write anything there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Labels {
    /// Its version.
    pub version: Option<Text>,
    /// The commit that it was built from.
    pub revision: Option<Text>,
    /// Where its sources are.
    pub source: Option<Text>,
    /// When it was built.
    pub created: Option<Text>,
    /// When its registry is asked to take it away (`quay.expires-after`): only some do, and a tag may have another word.
    pub expires: Option<Text>,
}

/// What was asked of a registry and what it said.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// What was asked: a tag, or a digest in its repository.
    pub about: ImageRef,
    /// When the answer came.
    pub at: Timestamp,
    /// What it said, or why nothing is known.
    pub said: Result<Said, Text>,
}

/// What a registry says.
#[derive(Clone, Debug, PartialEq)]
pub enum Said {
    /// The tag stands for this index or manifest.
    StandsFor(Digest),
    /// The digest is one of these documents.
    IsOf(Documents),
    /// There is no such tag or digest there any more.
    Gone,
}

/// What is known of a tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TagSeen {
    /// What it stands for; `None` if it is gone.
    pub digest: Option<Digest>,
    /// When that was last heard.
    pub at: Timestamp,
    /// Since when it stands for that, as far as we have heard.
    pub since: Timestamp,
    /// What it stood for before, and when it was last heard to.
    pub before: Option<(Digest, Timestamp)>,
    /// Why it could not be asked for again since, if so.
    pub fault: Option<Text>,
}

/// Everything that registries have told.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    tags: BTreeMap<Text, TagSeen>,
    /// Tags and digests of which nothing is known, and why.
    faults: BTreeMap<Text, (Text, Timestamp)>,
    images: Vec<Documents>,
    by_digest: HashMap<Digest, Vec<u32>>,
    gone: BTreeSet<Text>,
    signatures: BTreeMap<Text, SignatureHeard>,
    /// Globs over the hosts of the registries that are asked.
    hosts: Vec<Text>,
}

impl Documents {
    /// All of its digests.
    pub fn digests(&self) -> impl Iterator<Item = &Digest> {
        let platforms = self.platforms.iter().flat_map(|platform| [Some(&platform.manifest), platform.config.as_ref()]);
        self.index.iter().chain(platforms.flatten())
    }
}

impl Labels {
    /// These, and what the others say beside them.
    pub fn or(self, others: Labels) -> Labels {
        Labels {
            version: self.version.or(others.version),
            revision: self.revision.or(others.revision),
            source: self.source.or(others.source),
            created: self.created.or(others.created),
            expires: self.expires.or(others.expires),
        }
    }
}

impl Catalog {
    /// Takes in an answer; says whether anything else is known now than before.
    pub fn learn(&mut self, answer: Answer) -> bool {
        let key = Text::new(&answer.about.canonical());
        match answer.said {
            Err(why) => {
                if let Some(tag) = self.tags.get_mut(&key) {
                    // What was heard before may be wrong by now: its age is shown, and why it is that old.
                    let is_news = tag.fault.as_ref() != Some(&why);
                    tag.fault = Some(why);
                    return is_news;
                }
                let before = self.faults.insert(key, (why.clone(), answer.at));
                before.is_none_or(|(known, _)| known != why)
            }
            Ok(said) => {
                let had_fault = self.faults.remove(&key).is_some();
                self.take(key, said, answer.at) || had_fault
            }
        }
    }

    fn take(&mut self, key: Text, said: Said, at: Timestamp) -> bool {
        match said {
            Said::StandsFor(digest) => self.put_tag(key, Some(digest), at),
            Said::Gone if key.contains('@') => self.gone.insert(key),
            Said::Gone => self.put_tag(key, None, at),
            Said::IsOf(documents) => {
                let was_gone = self.gone.remove(&key);
                self.put_documents(documents) || was_gone
            }
        }
    }

    fn put_tag(&mut self, key: Text, digest: Option<Digest>, at: Timestamp) -> bool {
        let known = self.tags.get(&key);
        let before = match known {
            Some(known) if known.digest == digest => known.before.clone(),
            Some(TagSeen { digest: Some(old), at, .. }) => Some((old.clone(), *at)),
            Some(TagSeen { digest: None, before, .. }) => before.clone(),
            None => None,
        };
        let is_news = known.is_none_or(|known| known.digest != digest || known.fault.is_some());
        let since = known.filter(|known| known.digest == digest).map_or(at, |known| known.since);
        self.tags.insert(key, TagSeen { digest, at, since, before, fault: None });
        is_news
    }

    /// Documents are named by their content: what was told once stays true, and may only become more.
    fn put_documents(&mut self, documents: Documents) -> bool {
        let root = documents.index.as_ref().or(documents.platforms.first().map(|platform| &platform.manifest)).cloned();
        let is_of_root = |known: &Documents| {
            known.index == documents.index
                && (known.index.is_some() || known.platforms.first().map(|one| &one.manifest) == root.as_ref())
        };
        let at = match self.images.iter().position(is_of_root) {
            Some(at) if self.images[at] == documents => return false,
            Some(at) => {
                self.images[at] = documents;
                at
            }
            None => {
                self.images.push(documents);
                self.images.len() - 1
            }
        };
        for digest in self.images[at].digests() {
            let known = self.by_digest.entry(digest.clone()).or_default();
            if !known.contains(&(at as u32)) {
                known.push(at as u32);
            }
        }
        true
    }

    /// What a tag stands for, as last heard. A reference with a digest needs nobody to say so.
    pub fn tag(&self, reference: &ImageRef) -> Option<&TagSeen> {
        self.tags.get(reference.canonical().as_str())
    }

    /// Why nothing is known of a tag or a digest, if it was asked for.
    pub fn fault(&self, reference: &ImageRef) -> Option<&Text> {
        self.faults.get(reference.canonical().as_str()).map(|(why, _)| why)
    }

    /// Whether a registry has said that it has this no more.
    pub fn is_gone(&self, reference: &ImageRef) -> bool {
        self.gone.contains(reference.canonical().as_str())
            || self.tag(reference).is_some_and(|tag| tag.digest.is_none())
    }

    /// The images that have this digest as one of their documents.
    pub fn images_of(&self, image: &ImageId) -> impl Iterator<Item = &Documents> {
        let numbers = match image {
            ImageId::Oci { digest, .. } => self.by_digest.get(digest).map_or(&[][..], Vec::as_slice),
            ImageId::Machine { .. } => &[],
        };
        numbers.iter().filter_map(|number| self.images.get(*number as usize))
    }

    /// The digest that a signature of this image would be about, in its repository: its index where that is known, since that is
    /// what is signed, else the document itself. `None` where its registry is not asked, or no digest is known.
    pub fn signed_as(&self, reference: &ImageRef, image: Option<&ImageId>) -> Option<ImageRef> {
        if !self.covers(reference) {
            return None;
        }
        let pinned = reference.pinned();
        let image = image.filter(|image| matches!(image, ImageId::Oci { .. })).or(pinned.as_ref());
        let of_tag = || self.tag(reference)?.digest.clone();
        let digest = match image {
            Some(image) => {
                let mut indexes: Vec<&Digest> =
                    self.images_of(image).filter_map(|known| known.index.as_ref()).collect();
                indexes.sort();
                indexes.dedup();
                match (&indexes[..], image) {
                    ([index], _) => Some((*index).clone()),
                    (_, ImageId::Oci { kind: DigestKind::Config, .. } | ImageId::Machine { .. }) => None,
                    (_, ImageId::Oci { digest, .. }) => Some(digest.clone()),
                }
            }
            None => of_tag(),
        };
        reference.at_digest(&digest?)
    }

    /// Takes in what was heard of signatures; what could not be asked takes the place of what was known.
    pub fn hear(&mut self, heard: SignatureHeard) {
        self.signatures.insert(Text::new(&heard.about.canonical()), heard);
    }

    /// What was heard of the signatures of a digest, if it was asked.
    pub fn signature(&self, about: &ImageRef) -> Option<&SignatureHeard> {
        self.signatures.get(about.canonical().as_str())
    }

    /// Whether this digest was described.
    pub fn knows(&self, image: &ImageId) -> bool {
        self.images_of(image).next().is_some()
    }

    /// The version that an image's labels name.
    pub fn version_of(&self, image: &ImageId) -> Option<&Text> {
        self.images_of(image).find_map(|documents| documents.labels.version.as_ref())
    }

    /// What the two say of each other, by their documents: the index, the manifests and the configurations of one image are
    /// that image. Only what is described on both sides is ever called different for that.
    pub fn compare(&self, mine: &ImageId, theirs: &ImageId) -> Comparison {
        let plain = mine.compare(theirs);
        if plain == Comparison::Same {
            return plain;
        }
        let of = |image| self.images_of(image).map(std::ptr::from_ref).collect::<Vec<*const Documents>>();
        let (my_images, their_images) = (of(mine), of(theirs));
        if my_images.iter().any(|image| their_images.contains(image)) {
            return Comparison::Same;
        }
        match my_images.is_empty() || their_images.is_empty() {
            true => plain,
            false => Comparison::Different,
        }
    }

    /// From now on these registries are asked.
    pub fn set_hosts(&mut self, hosts: Vec<Text>) {
        self.hosts = hosts;
    }

    /// Whether its registry is asked.
    pub fn covers(&self, reference: &ImageRef) -> bool {
        let (registry, _) = reference.registry_and_path();
        !reference.is_machine() && self.hosts.iter().any(|glob| glob_matches(glob, &registry))
    }

    /// What a tag stands for now. `Err`: why that is not known although its registry is asked.
    ///
    /// # Errors
    /// What stands in the way, in words.
    pub fn resolve(&self, reference: &ImageRef) -> Result<Option<&Digest>, Text> {
        if !self.covers(reference) {
            return Ok(None);
        }
        match (self.tag(reference), self.fault(reference)) {
            (Some(TagSeen { fault: Some(why), at, .. }), _) => {
                let at = at.strftime("%H:%M UTC");
                Err(Text::new(&format!("what its tag stands for was last heard at {at}: {why}")))
            }
            (Some(TagSeen { digest: Some(digest), .. }), _) => Ok(Some(digest)),
            (Some(TagSeen { digest: None, .. }), _) => {
                Err(Text::new("its registry has this tag no more: what runs could not be pulled again"))
            }
            (None, Some(why)) => Err(Text::new(&format!("what its tag stands for is not known: {why}"))),
            (None, None) => Err(Text::new("its registry has not said yet what its tag stands for")),
        }
    }

    /// How many tags and images are known.
    pub fn counts(&self) -> (usize, usize) {
        (self.tags.len(), self.images.len())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn digest(seed: u8) -> Digest {
        format!("sha256:{}", format!("{seed:02x}").repeat(32)).parse().expect("valid")
    }

    fn id(seed: u8, kind: DigestKind) -> ImageId {
        ImageId::oci(digest(seed), kind)
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("in range")
    }

    fn tag(name: &str) -> ImageRef {
        name.parse().expect("valid")
    }

    fn two_platforms(index: u8) -> Documents {
        let platform = |name, manifest, config| Platform {
            name: Text::new(name),
            manifest: digest(manifest),
            config: Some(digest(config)),
        };
        let platforms =
            vec![platform("linux/amd64", index + 1, index + 2), platform("linux/arm64", index + 3, index + 4)];
        Documents { index: Some(digest(index)), platforms, labels: Labels::default() }
    }

    fn told(catalog: &mut Catalog, documents: Documents) {
        let about = format!("shop/app@{}", documents.index.as_ref().expect("an index"));
        catalog.learn(Answer { about: tag(&about), at: at(1), said: Ok(Said::IsOf(documents)) });
    }

    #[test]
    fn every_document_of_an_image_is_that_image_and_no_document_of_another() {
        let mut catalog = Catalog::default();
        let (index, manifest, config) =
            (id(10, DigestKind::Repository), id(13, DigestKind::Repository), id(12, DigestKind::Config));
        assert_eq!(catalog.compare(&index, &config), Comparison::Undecidable, "nobody has told");
        told(&mut catalog, two_platforms(10));
        for (mine, theirs) in [(&index, &manifest), (&index, &config), (&manifest, &config)] {
            assert_eq!(catalog.compare(mine, theirs), Comparison::Same);
        }
        let other = id(22, DigestKind::Config);
        assert_eq!(catalog.compare(&index, &other), Comparison::Undecidable, "the other side is not described");
        told(&mut catalog, two_platforms(20));
        assert_eq!(catalog.compare(&index, &other), Comparison::Different);
    }

    #[test]
    fn a_tag_that_moves_tells_what_it_stood_for() {
        let mut catalog = Catalog::default();
        let answer = |second, said| Answer { about: tag("docker.io/library/nginx:1"), at: at(second), said };
        assert!(catalog.learn(answer(1, Ok(Said::StandsFor(digest(1))))));
        assert!(!catalog.learn(answer(2, Ok(Said::StandsFor(digest(1))))), "the same again");
        assert!(catalog.learn(answer(3, Ok(Said::StandsFor(digest(2))))));
        let seen = catalog.tag(&tag("nginx:1")).expect("however the default registry is spelt");
        assert_eq!((seen.digest.clone(), seen.before.clone()), (Some(digest(2)), Some((digest(1), at(2)))));
        assert!(catalog.learn(answer(4, Err(Text::new("no answer")))));
        let seen = catalog.tag(&tag("nginx:1")).expect("kept");
        assert_eq!((seen.at, seen.fault.as_deref()), (at(3), Some("no answer")), "with its age and why");
        assert!(catalog.learn(answer(5, Ok(Said::Gone))));
        assert!(catalog.is_gone(&tag("nginx:1")));
    }

    #[test]
    fn what_could_not_be_asked_says_why_until_it_can() {
        let mut catalog = Catalog::default();
        let about = tag("shop/app:v1");
        let answer = |said| Answer { about: about.clone(), at: at(1), said };
        assert!(catalog.learn(answer(Err(Text::new("forbidden")))));
        assert!(!catalog.learn(answer(Err(Text::new("forbidden")))));
        assert_eq!(catalog.fault(&about).map(Text::as_str), Some("forbidden"));
        assert!(catalog.learn(answer(Ok(Said::StandsFor(digest(1))))));
        assert_eq!(catalog.fault(&about), None);
    }

    #[test]
    fn what_is_signed_is_the_index_where_that_is_known() {
        let mut catalog = Catalog::default();
        let asked = tag("shop/app:v1");
        let check = |catalog: &Catalog, image: Option<ImageId>, expected: Option<u8>| {
            let found = catalog.signed_as(&asked, image.as_ref()).map(|about| about.to_string());
            assert_eq!(found, expected.map(|seed| format!("shop/app@{}", digest(seed))), "{image:?}");
        };
        check(&catalog, Some(id(13, DigestKind::Repository)), None);
        catalog.set_hosts(vec![Text::new("*")]);
        check(&catalog, Some(id(13, DigestKind::Repository)), Some(13));
        check(&catalog, Some(id(12, DigestKind::Config)), None);
        check(&catalog, None, None);
        told(&mut catalog, two_platforms(10));
        check(&catalog, Some(id(13, DigestKind::Repository)), Some(10));
        check(&catalog, Some(id(12, DigestKind::Config)), Some(10));
        catalog.learn(Answer { about: asked.clone(), at: at(1), said: Ok(Said::StandsFor(digest(10))) });
        check(&catalog, None, Some(10));
        check(&catalog, Some(ImageId::machine("ami-1")), Some(10));
    }

    proptest! {
        /// The laws of a comparison, whatever was told in whatever order: it is symmetric, a digest is itself, more knowledge
        /// never makes two digests that are known to be one image two, and what is described nowhere is compared as before.
        #[test]
        fn a_comparison_is_symmetric_and_only_ever_grows(
            indexes in proptest::collection::vec(0_u8..6, 0..6), mine in 0_u8..40, theirs in 0_u8..40,
        ) {
            let mut catalog = Catalog::default();
            let (mine, theirs) = (id(mine, DigestKind::Repository), id(theirs, DigestKind::Config));
            let mut before = catalog.compare(&mine, &theirs);
            for index in indexes {
                told(&mut catalog, two_platforms(index * 5));
                let now = catalog.compare(&mine, &theirs);
                prop_assert_eq!(now, catalog.compare(&theirs, &mine));
                prop_assert!(before == Comparison::Undecidable || before == now);
                if now == Comparison::Undecidable {
                    prop_assert!(!catalog.knows(&mine) || !catalog.knows(&theirs));
                }
                before = now;
            }
            prop_assert_eq!(catalog.compare(&mine, &mine), Comparison::Same);
        }
    }
}
