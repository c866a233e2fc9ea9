//! Which workloads a scope means.
//!
//! Never decides what is done with them.

use super::Scope;
use crate::domain::fleet::{Fleet, Workload};
use crate::domain::selector::{Facts, is_service_name};
use crate::domain::text::Text;

/// The workloads that a scope means.
pub fn select<'a>(scope: &Scope, fleet: &'a Fleet) -> Vec<&'a Workload> {
    match scope {
        Scope::Exactly(ids) => ids.iter().filter_map(|id| fleet.workload(id)).collect(),
        Scope::Matching(selector) => fleet
            .workloads()
            .filter(|workload| {
                let images = workload.image_texts();
                let images: Vec<&str> = images.iter().map(Text::as_str).collect();
                selector.is_match(&workload.facts(&images), &mut is_service_name)
            })
            .collect(),
    }
}

impl Workload {
    /// What a workload says of itself to a filter. `images` are its `image_texts`.
    pub fn facts<'a>(&'a self, images: &'a [&'a str]) -> Facts<'a> {
        Facts {
            service: &self.seen.service,
            place: &self.id.place.0,
            namespace: self.id.namespace.as_deref().unwrap_or_default(),
            kind: self.id.kind.as_str(),
            name: &self.id.name,
            verdict: self.judgement.verdict,
            is_off: self.judgement.is_off(),
            is_unhealthy: self.judgement.tally.unhealthy() > 0,
            images,
            age: None,
        }
    }

    /// Every image that its row may show: expected, requested, running, by reference and digest.
    pub fn image_texts(&self) -> Vec<Text> {
        let asked = self.seen.template.containers.iter().filter_map(|asked| asked.image.as_ref());
        let mut texts: Vec<Text> = asked.map(|image| Text::new(image.as_str())).collect();
        for cohort in &self.judgement.running {
            texts.extend(cohort.image.as_ref().map(|image| Text::new(image.as_str())));
            texts.extend(cohort.reference.as_ref().map(|reference| Text::new(reference.as_str())));
        }
        let expected = self.judgement.expected.iter().flat_map(|expectation| &expectation.targets);
        texts.extend(expected.filter_map(|target| target.reference.as_ref().map(|image| Text::new(image.as_str()))));
        texts.sort();
        texts.dedup();
        texts
    }
}
