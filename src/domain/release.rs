//! Releases: what one human version of a service is, place by place, and which one each place should run.
//!
//! Never guesses a version: an image that no release names has none here.

use std::collections::HashSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::id::PlaceId;
use super::image::{Comparison, ImageId, ImageRef};
use super::selector::glob_matches;
use super::text::Text;

/// One human version of a service, and the images that are it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// The service.
    pub service: Text,
    /// What people call it: `v41`.
    pub version: Text,
    /// When it was made, where that is known.
    pub made_at: Option<Timestamp>,
    /// The commit that it was built from.
    pub commit: Option<Text>,
    /// Where this is written: a file's name, what it was read from.
    pub source: Text,
    /// Who declares the resources themselves and would apply what it knows again, if so.
    pub declared_by: Option<Declarer>,
    /// Its images.
    pub images: Vec<Placed>,
}

/// An image of a release, and where it is that.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placed {
    /// Globs over place ids; none: everywhere.
    pub places: Vec<Text>,
    /// The image: a digest, a tag, the id of a machine image.
    pub image: ImageRef,
    /// The container; else the one that the image's repository says.
    pub container: Option<Text>,
}

/// Who declares resources and applies what it knows when somebody runs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Declarer {
    /// Terraform.
    Terraform,
    /// CloudFormation.
    CloudFormation,
}

/// All that are known, the oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Releases(Vec<Release>);

/// How far a workload is among the releases of its service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// The version that it should run, whoever says so; `None` if nobody does.
    pub expected: Option<Text>,
    /// What its instances run, most of them first; `None`: a version that no release knows.
    pub running: Vec<Option<Text>>,
    /// How many releases are newer than the oldest that one of them runs; `None` if one runs what no release knows.
    pub behind: Option<usize>,
    /// The newest release of the service, wherever it is.
    pub newest: Option<Text>,
}

impl Declarer {
    /// What people call it.
    pub fn as_str(self) -> &'static str {
        match self {
            Declarer::Terraform => "Terraform",
            Declarer::CloudFormation => "CloudFormation",
        }
    }
}

impl Placed {
    /// Whether it is about a place.
    pub fn is_at(&self, place: &PlaceId) -> bool {
        self.places.is_empty() || self.places.iter().any(|glob| glob_matches(glob, &place.0))
    }
}

impl Release {
    /// Its images in a place.
    pub fn at<'a>(&'a self, place: &'a PlaceId) -> impl Iterator<Item = &'a Placed> {
        self.images.iter().filter(|placed| placed.is_at(place))
    }

    /// Who says so, and since when.
    pub fn says(&self) -> Text {
        let made = self.made_at.map(|at| format!(" of {}", at.strftime("%Y-%m-%d"))).unwrap_or_default();
        Text::new(&format!("release {}{made} ({})", self.version, self.source))
    }
}

impl Releases {
    /// In the order in which they were made; of those without a time, in the order in which they came. A version that is written
    /// again stands where it was written last.
    pub fn new(mut releases: Vec<Release>) -> Releases {
        let mut newest: Vec<Release> = Vec::new();
        let mut known: HashSet<(Text, Text)> = HashSet::new();
        while let Some(release) = releases.pop() {
            if known.insert((release.service.clone(), release.version.clone())) {
                newest.push(release);
            }
        }
        newest.reverse();
        newest.sort_by_key(|release| release.made_at);
        Releases(newest)
    }

    /// Each of them.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Release> {
        self.0.iter()
    }

    /// Those of a service, the newest first.
    pub fn of<'a>(&'a self, service: &'a str) -> impl Iterator<Item = &'a Release> {
        self.iter().rev().filter(move |release| release.service == *service)
    }

    /// The release that a place should run: the newest that names an image for it.
    pub fn expected<'a>(&'a self, service: &'a str, place: &'a PlaceId) -> Option<&'a Release> {
        self.of(service).find(|release| release.at(place).next().is_some())
    }

    /// The version that an image is of a service. `compare` says whether two ids are one image.
    pub fn version_of<'a>(
        &'a self,
        service: &'a str,
        image: Option<&ImageId>,
        reference: Option<&ImageRef>,
        compare: &dyn Fn(&ImageId, &ImageId) -> Comparison,
    ) -> Option<&'a Text> {
        let is_it = |placed: &Placed| match (placed.image.pinned(), image) {
            (Some(pinned), Some(image)) => compare(&pinned, image) == Comparison::Same,
            // A tag is a name and no more: it is that version as long as nothing exact says otherwise.
            (None, _) => reference.is_some_and(|reference| placed.image.asks_same(reference)),
            (Some(_), None) => reference.is_some_and(|reference| placed.image.asks_same(reference)),
        };
        self.of(service).find(|release| release.images.iter().any(is_it)).map(|release| &release.version)
    }

    /// How many releases of a service are newer than this version.
    pub fn behind(&self, service: &str, version: &str) -> Option<usize> {
        self.of(service).position(|release| release.version == *version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn release(version: &str, made_at: Option<&str>, images: &[(&str, &str)]) -> Release {
        let placed = |(places, image): &(&str, &str)| Placed {
            places: places.split(' ').filter(|glob| !glob.is_empty()).map(Text::new).collect(),
            image: image.parse().expect("valid"),
            container: None,
        };
        Release {
            service: Text::new("app"),
            version: Text::new(version),
            made_at: made_at.map(|at| at.parse().expect("a time")),
            commit: None,
            source: Text::new("ci.toml"),
            declared_by: None,
            images: images.iter().map(placed).collect(),
        }
    }

    #[test]
    fn a_place_should_run_the_newest_release_that_names_it() {
        let releases = Releases::new(vec![
            release("v42", Some("2026-11-26T08:00:00Z"), &[("k8s/staging", "shop/app:v42")]),
            release("v41", Some("2026-11-20T08:00:00Z"), &[("", "shop/app:v41")]),
        ]);
        let expected = |place: &str| {
            let place = PlaceId::new(place);
            releases.expected("app", &place).map(|release| release.version.to_string())
        };
        assert_eq!(expected("k8s/staging").as_deref(), Some("v42"));
        assert_eq!(expected("k8s/prod").as_deref(), Some("v41"));
        assert_eq!(releases.expected("other", &PlaceId::new("k8s/prod")), None);
        assert_eq!((releases.behind("app", "v42"), releases.behind("app", "v41")), (Some(0), Some(1)));
        assert_eq!(releases.behind("app", "v7"), None, "nobody knows");
    }

    #[test]
    fn one_version_has_another_image_in_each_region() {
        let (east, west) = ("ami-0123456789abcdef0", "ami-0fedcba9876543210");
        let releases =
            Releases::new(vec![release("118", None, &[("aws/*/us-east-1", east), ("aws/*/eu-west-1", west)])]);
        for id in [east, west] {
            let image = ImageId::machine(id);
            let version = releases.version_of("app", Some(&image), None, &ImageId::compare);
            assert_eq!(version.map(Text::as_str), Some("118"));
        }
        let other = ImageId::machine("ami-0123456789abcdef1");
        assert_eq!(releases.version_of("app", Some(&other), None, &ImageId::compare), None);
    }

    #[test]
    fn what_is_written_again_counts_as_it_was_written_last() {
        let first = release("v41", None, &[("", "shop/app:v41")]);
        let again = release("v41", None, &[("", "shop/app:v41-fixed")]);
        let releases = Releases::new(vec![first, release("v42", None, &[("", "shop/app:v42")]), again.clone()]);
        assert_eq!(releases.of("app").map(|release| release.version.as_str()).collect::<Vec<_>>(), ["v41", "v42"]);
        assert_eq!(releases.of("app").next(), Some(&again));
    }
}
