//! How two versions differ, as scripts see it.

use serde::Serialize;

use super::table::Table;
use crate::app::overlays::difference::sides;
use crate::domain::anatomy::{Anatomy, Specimen, differences};
use crate::domain::image::ImageId;
use crate::domain::text::Text;

/// Two versions, field by field.
#[derive(Debug, Serialize)]
pub struct DifferenceReport {
    left: Version,
    right: Version,
    /// What is not the same.
    differences: Vec<Row>,
    /// How many fields of a topic are.
    same: Vec<Same>,
}

#[derive(Debug, Serialize)]
struct Version {
    place: Text,
    namespace: Option<Text>,
    workload: Text,
    kind: &'static str,
    version: Option<Text>,
    image: Option<Text>,
    reference: Option<Text>,
    /// What could not be found out, and why.
    unknown: Vec<Text>,
    /// What was not asked for, and why.
    not_asked: Vec<Text>,
}

impl Version {
    fn words(&self) -> String {
        let version = self.version.as_ref().map(|version| format!(" {version}")).unwrap_or_default();
        format!("{} {} {}{version}", self.place, self.kind, self.workload)
    }
}

/// `null`: that one does not say. A value that may be a secret is told as `set`.
#[derive(Debug, Serialize)]
struct Row {
    topic: &'static str,
    name: Text,
    left: Option<Text>,
    right: Option<Text>,
}

#[derive(Debug, Serialize)]
struct Same {
    topic: &'static str,
    fields: usize,
}

/// The report of two versions that were taken apart.
pub fn difference_report(pair: &[Specimen; 2], known: &[Anatomy; 2]) -> DifferenceReport {
    let version = |specimen: &Specimen, anatomy: &Anatomy| Version {
        place: specimen.workload.place.0.clone(),
        namespace: specimen.workload.namespace.clone(),
        workload: specimen.workload.name.clone(),
        kind: specimen.workload.kind.as_str(),
        version: specimen.version.clone(),
        image: specimen.image.as_ref().map(ImageId::as_str).map(Text::new),
        reference: specimen.reference.as_ref().map(|reference| Text::new(reference.as_str())),
        unknown: anatomy.faults.clone(),
        not_asked: anatomy.notes.clone(),
    };
    let found = differences(&known[0], &known[1]);
    let rows = found.rows.iter().map(|row| {
        let (left, right) = sides(row);
        Row {
            topic: row.topic.as_str(),
            name: row.name.clone(),
            left: row.left.as_ref().map(|_| Text::new(&left)),
            right: row.right.as_ref().map(|_| Text::new(&right)),
        }
    });
    DifferenceReport {
        left: version(&pair[0], &known[0]),
        right: version(&pair[1], &known[1]),
        differences: rows.collect(),
        same: found.same.iter().map(|(topic, fields)| Same { topic: topic.as_str(), fields: *fields }).collect(),
    }
}

impl DifferenceReport {
    /// Whether nothing differs of what is known of both.
    pub fn is_same(&self) -> bool {
        self.differences.is_empty()
    }

    /// For people: what differs.
    pub fn to_table(&self) -> Table {
        let mut table = Table::new(&["TOPIC", "NAME", "LEFT", "RIGHT"]);
        let said = |side: &Option<Text>| side.as_ref().map_or("-".to_string(), ToString::to_string);
        // What is pasted somewhere must say what was compared.
        table.rows.push(vec!["of".to_string(), String::new(), self.left.words(), self.right.words()]);
        let rows = self.differences.iter();
        let rows = rows.map(|row| vec![row.topic.to_string(), row.name.to_string(), said(&row.left), said(&row.right)]);
        table.rows.extend(rows);
        table
    }
}
