//! How an image is shown: the start of its digest, long enough to be unique on the screen, and what a person calls it.
//!
//! Never shows a digest without its version where one is known, and never a version as if it were exact.

use crate::app::cells;
use crate::domain::drift::{Cohort, Verdict};
use crate::domain::expectation::ExpectationSource;
use crate::domain::fleet::Workload;
use crate::domain::history::Version;
use crate::domain::image::ImageId;
use crate::domain::text::Text;

/// How many characters of a digest are shown at least.
const LEAST: usize = 12;

/// What a cell says of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Shown {
    /// An image: exactly, by name, or both.
    Image {
        /// Exactly.
        image: Option<ImageId>,
        /// What a person calls it.
        version: Option<Text>,
    },
    /// Why there is none.
    Words(&'static str),
}

impl Shown {
    /// What should run in a workload's main container.
    pub(crate) fn expected(workload: &Workload) -> Shown {
        let expectation = workload.judgement.expected.as_ref();
        match expectation.filter(|expectation| expectation.source != ExpectationSource::Majority) {
            None => Shown::Words("not declared"),
            Some(expectation) => match expectation.main() {
                Some(target) => Shown::Image {
                    version: workload.name_of(target.image.as_ref(), target.reference.as_ref()),
                    image: target.image.clone(),
                },
                None => Shown::Words("not declared"),
            },
        }
    }

    /// What a workload's template asks for.
    pub(crate) fn requested(workload: &Workload) -> Shown {
        let image = workload.judgement.requested.clone();
        let version = workload.called();
        match (&image, &version) {
            (None, None) => Shown::Words("not known"),
            _ => Shown::Image { image, version },
        }
    }

    /// The cohort that a row should show: the worst one, the biggest of those.
    pub(crate) fn running(workload: &Workload) -> Shown {
        let cohorts = &workload.judgement.running;
        let worst = cohorts.iter().max_by_key(|cohort| (cohort.verdict, cohort.image.is_some(), cohort.instances));
        let none = if workload.id.kind.has_runs() { "nothing runs" } else { "no data" };
        worst.map_or(Shown::Words(none), |cohort| Shown::cohort(workload, cohort))
    }

    /// One cohort.
    pub(crate) fn cohort(workload: &Workload, cohort: &Cohort) -> Shown {
        let version = workload.name_of(cohort.image.as_ref(), cohort.reference.as_ref());
        match (&cohort.image, &version) {
            (None, _) if cohort.verdict == Verdict::Mixed => Shown::Words("starting"),
            (None, None) => Shown::Words("no data"),
            _ => Shown::Image { image: cohort.image.clone(), version },
        }
    }

    /// One version of a workload's history.
    pub(crate) fn version(version: &Version) -> Shown {
        Shown::Image { image: version.image.clone(), version: version.version.clone() }
    }

    /// The part of the image that is shortened.
    pub(crate) fn distinctive(&self) -> Option<&str> {
        match self {
            Shown::Image { image: Some(image), .. } => Some(image.distinctive()),
            Shown::Image { image: None, .. } | Shown::Words(_) => None,
        }
    }

    /// As a cell shows it, with this many characters of the digest.
    pub(crate) fn text(&self, length: usize) -> String {
        match self {
            Shown::Words(words) => (*words).to_string(),
            Shown::Image { image: Some(image), version: Some(version) } => {
                format!("{} {version}", image.short(length))
            }
            Shown::Image { image: Some(image), version: None } => image.short(length).to_string(),
            Shown::Image { image: None, version: Some(version) } => version.to_string(),
            Shown::Image { image: None, version: None } => "not known".to_string(),
        }
    }

    /// What a person says: the version, else the start of the digest.
    pub(crate) fn spoken(&self) -> String {
        match self {
            Shown::Image { version: Some(version), .. } => version.to_string(),
            other => other.text(LEAST),
        }
    }
}

/// How many characters of their digests tell these images apart.
pub(crate) fn digest_length<'a>(shown: impl Iterator<Item = &'a Shown>) -> usize {
    cells::unique_length(shown.filter_map(Shown::distinctive), LEAST)
}
