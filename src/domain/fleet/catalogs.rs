//! What registries have told, beside the fleet: whom it makes another workload's verdict, and what is still to be asked.
//!
//! Never asks: it names the questions.

use std::collections::{BTreeMap, BTreeSet};

use super::{Fleet, Workload};
use crate::domain::catalog::{Answer, Catalog, Documents};
use crate::domain::image::{Comparison, DigestKind, ImageId, ImageRef};
use crate::domain::protection::Protection;
use crate::domain::release::{Placed, Releases, Standing};
use crate::domain::signature::SignatureHeard;
use crate::domain::text::Text;

impl Fleet {
    /// What registries have told.
    pub fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// What versions are, place by place.
    pub fn releases(&self) -> &Releases {
        &self.releases
    }

    /// The quarantine of an image, whichever of its documents was named: an index, the manifest of a platform, a configuration.
    pub fn quarantine_of(&self, image: Option<&ImageId>, reference: Option<&ImageRef>) -> Option<&Protection> {
        if self.protections.is_empty() {
            return None;
        }
        self.protections.quarantine_of(image, reference).or_else(|| {
            let mut digests = self.catalog.images_of(image?).flat_map(Documents::digests);
            digests.find_map(|digest| {
                let document = ImageId::oci(digest.clone(), DigestKind::Repository);
                self.protections.quarantine_of(Some(&document), None)
            })
        })
    }

    /// How far a workload is among the releases of its service; `None` where it has none.
    pub fn standing(&self, workload: &Workload) -> Option<Standing> {
        let service = &workload.seen.service;
        let newest = self.releases.of(service).next()?;
        let compare = |mine: &ImageId, theirs: &ImageId| self.catalog.compare(mine, theirs);
        let cohorts = workload.judgement.running.iter();
        let running: Vec<Option<Text>> = cohorts
            .map(|cohort| {
                let (image, reference) = (cohort.image.as_ref(), cohort.reference.as_ref());
                self.releases.version_of(service, image, reference, &compare).cloned()
            })
            .collect();
        Some(Standing {
            expected: workload.judgement.expected.as_ref().and_then(|expected| {
                let target = expected.targets.first()?;
                let named =
                    self.releases.version_of(service, target.image.as_ref(), target.reference.as_ref(), &compare);
                named.cloned().or_else(|| workload.name_of(target.image.as_ref(), target.reference.as_ref()))
            }),
            behind: running
                .iter()
                .map(|version| self.releases.behind(service, version.as_ref()?))
                .collect::<Option<Vec<usize>>>()
                .and_then(|behind| behind.into_iter().max()),
            running,
            newest: Some(newest.version.clone()),
        })
    }

    /// The commit that an image of a service was built from: what its own labels say, else its release.
    pub fn commit_of(&self, service: &str, image: &ImageId) -> Option<Text> {
        let labelled = self.catalog.images_of(image).find_map(|documents| documents.labels.revision.clone());
        labelled.or_else(|| {
            let is_it = |placed: &Placed| {
                placed.image.pinned().is_some_and(|pinned| self.catalog.compare(&pinned, image) == Comparison::Same)
            };
            self.releases.of(service).find(|release| release.images.iter().any(is_it))?.commit.clone()
        })
    }

    /// Takes over what versions are; every workload is judged again where that is something else than before.
    pub fn set_releases(&mut self, releases: Releases) {
        if self.releases == releases {
            return;
        }
        self.releases = releases;
        let slots = self.workloads.iter().enumerate().filter(|(_, workload)| workload.is_some());
        self.dirty.extend(slots.map(|(slot, _)| slot as u32));
        self.judge_dirty();
        self.revision += 1;
    }

    /// Which registries are asked (globs over their hosts).
    pub fn set_registries(&mut self, hosts: Vec<Text>) {
        self.catalog.set_hosts(hosts);
    }

    /// Takes in what registries have said; workloads that this is about are judged again.
    pub fn learn(&mut self, answers: Vec<Answer>) {
        let mut news: BTreeSet<String> = BTreeSet::new();
        for answer in answers {
            let repository = answer.about.registry_and_path();
            if self.catalog.learn(answer) {
                news.insert(format!("{}/{}", repository.0, repository.1));
            }
        }
        if news.is_empty() {
            return;
        }
        let is_about = |reference: &ImageRef| {
            let (registry, path) = reference.registry_and_path();
            news.contains(&format!("{registry}/{path}"))
        };
        let workloads = self.workloads.iter().enumerate();
        let touched = workloads
            .filter(|(_, workload)| workload.as_ref().is_some_and(|workload| references(workload).any(is_about)));
        let touched: Vec<u32> = touched.map(|(slot, _)| slot as u32).collect();
        self.dirty.extend(touched);
        self.judge_dirty();
        self.revision += 1;
    }

    /// Takes in what registries have said of signatures: it is shown, and no verdict is made of it.
    pub fn hear(&mut self, heard: Vec<SignatureHeard>) {
        heard.into_iter().for_each(|heard| self.catalog.hear(heard));
    }

    /// What registries could tell of this fleet: what its tags stand for, and which documents its digests are of. Each once.
    pub fn questions(&self) -> Vec<ImageRef> {
        let mut questions: BTreeMap<String, ImageRef> = BTreeMap::new();
        let mut ask = |reference: ImageRef| {
            if self.catalog.covers(&reference) {
                questions.entry(reference.canonical()).or_insert(reference);
            }
        };
        for workload in self.workloads() {
            references(workload).cloned().for_each(&mut ask);
            exact(workload).for_each(&mut ask);
        }
        let released = self.releases.iter().flat_map(|release| &release.images).map(|placed| &placed.image);
        let declared = self.declarations.iter().map(|declaration| &declaration.image);
        declared.chain(released).cloned().for_each(&mut ask);
        // Tags first: they decide most.
        let mut questions: Vec<ImageRef> = questions.into_values().collect();
        questions.sort_by_key(|reference| reference.digest().is_some());
        // What they stand for is described too, as soon as that is known.
        let stands_for = |reference: &ImageRef| {
            let digest = self.catalog.tag(reference)?.digest.as_ref()?;
            reference.at_digest(digest)
        };
        let behind: Vec<ImageRef> = questions.iter().filter_map(stands_for).collect();
        let known: BTreeSet<String> = questions.iter().map(ImageRef::canonical).collect();
        questions.extend(behind.into_iter().filter(|reference| !known.contains(&reference.canonical())));
        questions
    }
}

/// How many earlier versions of a workload are asked for.
const EARLIER: usize = 3;

/// What a workload asks for: the images of its judged containers, and those of its last versions.
fn references(workload: &Workload) -> impl Iterator<Item = &ImageRef> {
    let containers = workload.seen.template.containers.iter().filter(|container| container.role.is_judged());
    let asked = containers.filter_map(|container| container.image.as_ref());
    let good = workload.last_good().and_then(|version| version.reference.as_ref());
    let earlier = workload.judgement.versions.iter().take(EARLIER).filter_map(|version| version.reference.as_ref());
    asked.chain(good).chain(earlier).filter(|reference| !reference.is_machine())
}

/// The exact images that run in its main container, in the repository that they were asked for from.
fn exact(workload: &Workload) -> impl Iterator<Item = ImageRef> {
    workload.judgement.running.iter().filter_map(|cohort| match (&cohort.image, &cohort.reference) {
        // A configuration is no document that could be asked for by its digest.
        (Some(ImageId::Oci { kind: DigestKind::Config, .. }), _) => None,
        (Some(ImageId::Oci { digest, .. }), Some(reference)) => reference.at_digest(digest),
        _ => None,
    })
}
