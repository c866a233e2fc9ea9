//! What a version is made of, field by field: what its template says and what its image holds; and how two of them differ.
//!
//! Never holds a value that may be a secret: of such a one only whether another is the same is known.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use super::fleet::{Fleet, Workload};
use super::history::Version;
use super::id::{Uid, WorkloadId};
use super::image::{Comparison, DigestKind, ImageId, ImageRef};
use super::text::Text;

/// What is taken apart: a version of a workload, and its image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Specimen {
    /// Of which workload.
    pub workload: WorkloadId,
    /// What holds its template.
    pub held: Held,
    /// Its main container, where its kind has containers.
    pub main: Text,
    /// The exact image of that.
    pub image: Option<ImageId>,
    /// How it is asked for.
    pub reference: Option<ImageRef>,
    /// What a person calls it.
    pub version: Option<Text>,
    /// What its instances run on (`linux/arm64`), where that is known: an image is another one for each platform.
    pub platform: Option<Text>,
}

/// What holds a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Held {
    /// The workload: it asks for it now.
    Now,
    /// A revision of its history.
    By(Uid),
    /// Nothing that its platform keeps.
    Nowhere,
}

/// What is known of a specimen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Anatomy {
    /// Its fields, in the order of their source.
    pub fields: Vec<Field>,
    /// Who has answered: what another one would have said is not known, and not absent.
    pub answered: BTreeSet<Origin>,
    /// What could not be found out, and why.
    pub faults: Vec<Text>,
    /// What was not asked for, and why.
    pub notes: Vec<Text>,
}

/// Who says a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// The place, of the template.
    Template,
    /// A registry, or who keeps machine images, of the image.
    Image,
}

/// One thing that it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// About what.
    pub topic: Topic,
    /// Its name among those of its topic, the same for every kind of workload: `FEATURE_X`, `8080/tcp`, `memory limit`. What is
    /// of another than the main container begins with that one's name.
    pub name: Text,
    /// What it says.
    pub value: Value,
    /// Who says it.
    pub origin: Origin,
}

/// What a field is about, in the order in which they are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Topic {
    /// The image as a whole: reference, platform, when it was built.
    Image,
    /// A layer of the image, by digest; its size.
    Layer,
    /// What the image, the template or the machine image is labelled with.
    Label,
    /// What is run, by image or template.
    Command,
    /// A variable.
    Environment,
    /// A port.
    Port,
    /// What it is given of processors and memory.
    Resource,
    /// What is mounted.
    Volume,
    /// What its machines are launched with.
    Launch,
    /// All else.
    Other,
}

/// What a field says.
#[derive(Clone, PartialEq, Eq)]
pub enum Value {
    /// Anybody may read it.
    Shown(Text),
    /// It may be a secret.
    Hidden(Secret),
}

/// Tells whether two secrets are the same, and nothing else. Never kept, never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(u64);

/// How two specimens differ.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Differences {
    /// What is not the same, by topic.
    pub rows: Vec<Difference>,
    /// How many fields of a topic are the same in both.
    pub same: BTreeMap<Topic, usize>,
}

/// One field that is not the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// About what.
    pub topic: Topic,
    /// Its name.
    pub name: Text,
    /// What the first says; `None`: nothing.
    pub left: Option<Value>,
    /// What the second says.
    pub right: Option<Value>,
}

impl Specimen {
    /// What a workload asks for now.
    pub fn requested(fleet: &Fleet, workload: &Workload) -> Specimen {
        let mut instances = fleet.instances_of(workload);
        Specimen {
            workload: workload.id.clone(),
            held: Held::Now,
            main: workload.judgement.main.clone(),
            image: workload.judgement.requested.clone(),
            reference: workload.requested().cloned(),
            version: workload.called(),
            platform: instances.find_map(|instance| instance.seen.platform.clone()),
        }
    }

    /// A version of its history.
    pub fn past(fleet: &Fleet, workload: &Workload, version: &Version) -> Specimen {
        if version.is_requested() {
            return Specimen::requested(fleet, workload);
        }
        Specimen {
            held: Held::By(version.revision.clone()),
            image: version.image.clone(),
            reference: version.reference.clone(),
            version: version.version.clone(),
            ..Specimen::requested(fleet, workload)
        }
    }

    /// An image that runs there, or is asked for, with the version that holds it.
    pub fn running(fleet: &Fleet, workload: &Workload, image: &ImageId, reference: Option<&ImageRef>) -> Specimen {
        let catalog = fleet.catalog();
        let is_it = |known: &Option<ImageId>| {
            known.as_ref().is_some_and(|known| catalog.compare(known, image) == Comparison::Same)
        };
        if is_it(&workload.judgement.requested) {
            return Specimen::requested(fleet, workload);
        }
        match workload.judgement.versions.iter().find(|version| is_it(&version.image)) {
            Some(version) => Specimen { image: Some(image.clone()), ..Specimen::past(fleet, workload, version) },
            None => Specimen {
                held: Held::Nowhere,
                image: Some(image.clone()),
                reference: reference.cloned(),
                version: workload.name_of(Some(image), reference),
                ..Specimen::requested(fleet, workload)
            },
        }
    }

    /// `v42 in k8s/prod-eu Deployment shop/checkout`.
    pub fn describe(&self) -> String {
        let image = self.image.as_ref().map(|image| image.short(12).to_string());
        let version = self.version.as_ref().map(ToString::to_string).or(image).unwrap_or("unknown".to_string());
        format!("{version} in {}", self.workload)
    }

    /// How its image is asked for by digest, where that is known: what a registry can take apart.
    pub fn pinned(&self) -> Option<ImageRef> {
        let reference = self.reference.as_ref()?;
        match &self.image {
            // A configuration is no document that could be asked for by its digest.
            Some(ImageId::Oci { kind: DigestKind::Config, .. } | ImageId::Machine { .. }) | None => {
                reference.digest().map(|_| reference.clone())
            }
            Some(ImageId::Oci { digest, .. }) => reference.at_digest(digest),
        }
    }
}

impl Anatomy {
    /// What one of them has said; `Err`: why it has not.
    pub fn of(origin: Origin, said: Result<Vec<Field>, Text>) -> Anatomy {
        match said {
            Ok(fields) => Anatomy {
                fields: fields.into_iter().map(|field| Field { origin, ..field }).collect(),
                answered: BTreeSet::from([origin]),
                ..Anatomy::default()
            },
            Err(why) => Anatomy { faults: vec![why], ..Anatomy::default() },
        }
    }

    /// Nobody was asked, and why.
    pub fn not_asked(why: &str) -> Anatomy {
        Anatomy { notes: vec![Text::new(why)], ..Anatomy::default() }
    }

    /// What another one knows beside it.
    pub fn with(mut self, other: Anatomy) -> Anatomy {
        self.fields.extend(other.fields);
        self.answered.extend(other.answered);
        self.faults.extend(other.faults);
        self.notes.extend(other.notes);
        self
    }
}

impl Topic {
    /// Its word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Topic::Image => "image",
            Topic::Layer => "layer",
            Topic::Label => "label",
            Topic::Command => "command",
            Topic::Environment => "environment",
            Topic::Port => "port",
            Topic::Resource => "resource",
            Topic::Volume => "volume",
            Topic::Launch => "launch",
            Topic::Other => "other",
        }
    }
}

impl Field {
    /// One that anybody may read.
    pub fn shown(topic: Topic, name: &str, value: &str) -> Field {
        Field { topic, name: Text::new(name), value: Value::Shown(Text::new(value)), origin: Origin::Template }
    }

    /// A command, word by word: it may hold a secret.
    pub fn words(topic: Topic, name: &str, words: &[impl AsRef<str>]) -> Field {
        let words: Vec<&str> = words.iter().map(AsRef::as_ref).collect();
        Field::hidden(topic, name, &words.join("\u{0}"))
    }

    /// One that may be a secret.
    pub fn hidden(topic: Topic, name: &str, value: &str) -> Field {
        let mut hasher = DefaultHasher::new();
        value.hash(&mut hasher);
        Field { topic, name: Text::new(name), value: Value::Hidden(Secret(hasher.finish())), origin: Origin::Template }
    }
}

/// A quantity of memory as all kinds tell it: in the largest binary unit that it is a whole number of. What is no such quantity stays
/// as it is (Kubernetes API conventions, "Quantity").
pub fn memory(raw: &str) -> String {
    let units = [("Ki", 1 << 10), ("Mi", 1 << 20), ("Gi", 1 << 30), ("Ti", 1_u64 << 40)];
    let decimal = [("k", 1_000), ("M", 1_000_000), ("G", 1_000_000_000), ("T", 1_000_000_000_000), ("", 1)];
    let parse = |(unit, size): &(&str, u64)| raw.strip_suffix(unit)?.parse::<u64>().ok()?.checked_mul(*size);
    let Some(bytes) = units.iter().chain(&decimal).find_map(parse) else { return raw.to_string() };
    let whole = units.iter().rev().find(|(_, size)| bytes > 0 && bytes.is_multiple_of(*size));
    whole.map_or_else(|| bytes.to_string(), |(unit, size)| format!("{}{unit}", bytes / size))
}

impl fmt::Display for Value {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Shown(text) => fmt::Display::fmt(text, formatter),
            Value::Hidden(_) => formatter.write_str("set, not shown"),
        }
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// What is not the same in two of them, as far as both sides were told by the same ones. A name that comes twice in one is taken as
/// it comes last.
pub fn differences(left: &Anatomy, right: &Anatomy) -> Differences {
    let is_told = |field: &&Field| left.answered.contains(&field.origin) && right.answered.contains(&field.origin);
    let by_name = |anatomy: &Anatomy| -> HashMap<(Topic, Text), Value> {
        let told = anatomy.fields.iter().filter(is_told);
        told.map(|field| ((field.topic, field.name.clone()), field.value.clone())).collect()
    };
    let (ours, theirs) = (by_name(left), by_name(right));
    let mut differences = Differences::default();
    let mut told: HashSet<(Topic, Text)> = HashSet::new();
    for field in left.fields.iter().chain(&right.fields).filter(is_told) {
        let key = (field.topic, field.name.clone());
        if !told.insert(key.clone()) {
            continue;
        }
        let (left, right) = (ours.get(&key).cloned(), theirs.get(&key).cloned());
        if left == right {
            *differences.same.entry(field.topic).or_default() += 1;
        } else {
            differences.rows.push(Difference { topic: field.topic, name: field.name.clone(), left, right });
        }
    }
    // The order within a topic is that of its source.
    differences.rows.sort_by_key(|row| row.topic);
    differences
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_differs_is_told_by_topic_and_secrets_are_only_compared() {
        let left = [
            Field::shown(Topic::Port, "8080/tcp", "open"),
            Field::hidden(Topic::Environment, "TOKEN", "s3cret"),
            Field::hidden(Topic::Environment, "MODE", "live"),
            Field::shown(Topic::Image, "asked as", "shop:v41"),
        ];
        let right = [
            Field::shown(Topic::Image, "asked as", "shop:v42"),
            Field::hidden(Topic::Environment, "MODE", "live"),
            Field::hidden(Topic::Environment, "TOKEN", "an0ther"),
        ];
        let said = |fields: &[Field]| Anatomy::of(Origin::Template, Ok(fields.to_vec()));
        let found = differences(&said(&left), &said(&right));
        let told: Vec<String> = found
            .rows
            .iter()
            .map(|row| {
                let side = |value: &Option<Value>| value.as_ref().map_or("-".to_string(), ToString::to_string);
                format!("{} {}: {} | {}", row.topic.as_str(), row.name, side(&row.left), side(&row.right))
            })
            .collect();
        assert_eq!(
            told,
            [
                "image asked as: shop:v41 | shop:v42",
                "environment TOKEN: set, not shown | set, not shown",
                "port 8080/tcp: open | -"
            ]
        );
        assert_eq!(found.same, BTreeMap::from([(Topic::Environment, 1)]));
        assert!(!format!("{found:?}{left:?}").contains("s3cret"), "not even to a log");
    }

    #[test]
    fn what_one_of_two_was_not_told_is_not_absent_there() {
        let template = || Anatomy::of(Origin::Template, Ok(vec![Field::shown(Topic::Port, "80/tcp", "open")]));
        let image = Anatomy::of(Origin::Image, Ok(vec![Field::shown(Topic::Layer, "a1", "1 B")]));
        let silent = Anatomy::of(Origin::Image, Err(Text::new("it does not answer")));
        let found = differences(&template().with(image.clone()), &template().with(silent));
        assert_eq!((found.rows.len(), found.same), (0, BTreeMap::from([(Topic::Port, 1)])));
        let found = differences(&template().with(image), &template().with(Anatomy::of(Origin::Image, Ok(Vec::new()))));
        assert_eq!(found.rows.len(), 1, "an image without that layer");
    }

    #[test]
    fn quantities_of_memory_are_told_alike_however_they_are_written() {
        for (raw, told) in [
            ("1Gi", "1Gi"),
            ("1024Mi", "1Gi"),
            ("1073741824", "1Gi"),
            ("500M", "500000000"),
            ("1536Mi", "1536Mi"),
            ("0", "0"),
            ("half", "half"),
            ("99999999999999999999Ti", "99999999999999999999Ti"),
        ] {
            assert_eq!(memory(raw), told, "{raw}");
        }
    }

    proptest! {
        #[test]
        fn nothing_differs_from_itself_and_the_sides_are_alike(
            left in proptest::collection::vec(("[a-c]", "[xy]"), 0..6),
            right in proptest::collection::vec(("[a-c]", "[xy]"), 0..6),
        ) {
            let fields = |of: &[(String, String)]| -> Vec<Field> {
                of.iter().map(|(name, value)| Field::shown(Topic::Label, name, value)).collect()
            };
            let (left, right) = (fields(&left), fields(&right));
            let (left, right) = (Anatomy::of(Origin::Template, Ok(left)), Anatomy::of(Origin::Template, Ok(right)));
            prop_assert!(differences(&left, &left).rows.is_empty());
            let (there, back) = (differences(&left, &right), differences(&right, &left));
            prop_assert_eq!(there.rows.len(), back.rows.len());
            for row in &there.rows {
                let is_mirrored = |other: &&Difference| {
                    other.name == row.name && other.left == row.right && other.right == row.left
                };
                prop_assert_eq!(back.rows.iter().filter(is_mirrored).count(), 1);
            }
        }
    }
}
