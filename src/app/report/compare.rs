//! A comparison as scripts see it.

use jiff::Timestamp;
use serde::Serialize;

use super::table::Table;
use crate::domain::comparison::{Cell, Comparison, Meant};
use crate::domain::id::WorkloadId;
use crate::domain::release::Standing;
use crate::domain::text::Text;

/// One service side by side.
#[derive(Debug, Serialize)]
pub struct ComparisonReport {
    service: Text,
    /// Places, one for each cell of a row.
    columns: Vec<Text>,
    /// What stands in them.
    workloads: Vec<Column>,
    rows: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct Column {
    place: Text,
    namespace: Option<Text>,
    workload: Text,
    kind: &'static str,
    /// The release that it should run, how many are newer than what it runs, and the newest; `null` where nobody knows.
    expected_release: Option<Text>,
    behind: Option<usize>,
    newest_release: Option<Text>,
}

#[derive(Debug, Serialize)]
struct Row {
    image: Option<Text>,
    reference: Option<Text>,
    version: Option<Text>,
    cells: Vec<CellRow>,
}

#[derive(Debug, Serialize)]
struct CellRow {
    place: Text,
    /// Which of the row's images it is there.
    image: Option<Text>,
    instances: u32,
    expected: bool,
    requested: bool,
    since: Option<Timestamp>,
}

/// The report of a comparison.
pub fn comparison_report(comparison: &Comparison) -> ComparisonReport {
    let column = |(id, standing): (&WorkloadId, &Option<Standing>)| Column {
        place: id.place.0.clone(),
        namespace: id.namespace.clone(),
        workload: id.name.clone(),
        kind: id.kind.as_str(),
        expected_release: standing.as_ref().and_then(|standing| standing.expected.clone()),
        behind: standing.as_ref().and_then(|standing| standing.behind),
        newest_release: standing.as_ref().and_then(|standing| standing.newest.clone()),
    };
    let rows = comparison.rows.iter().map(|row| Row {
        image: row.image.as_ref().map(|image| Text::new(image.as_str())),
        reference: row.reference.as_ref().map(|reference| Text::new(reference.as_str())),
        version: row.version.clone(),
        cells: row
            .cells
            .iter()
            .zip(&comparison.columns)
            .map(|(cell, id)| CellRow {
                place: id.place.0.clone(),
                image: cell.image.as_ref().map(|image| Text::new(image.as_str())),
                instances: cell.instances,
                expected: cell.meant == Meant::Expected,
                requested: cell.meant != Meant::Nothing,
                since: cell.since,
            })
            .collect(),
    });
    ComparisonReport {
        service: comparison.service.clone(),
        columns: comparison.columns.iter().map(|id| id.place.0.clone()).collect(),
        workloads: comparison.columns.iter().zip(&comparison.standings).map(column).collect(),
        rows: rows.collect(),
    }
}

impl ComparisonReport {
    /// For people: one row for each image, one column for each workload.
    pub fn to_table(comparison: &Comparison) -> Table {
        let mut table = Table::new(&["VERSION", "IMAGE", "PLACE", "WORKLOAD", "INSTANCES", ""]);
        for row in &comparison.rows {
            let version = row.version.as_ref().map_or("-".to_string(), ToString::to_string);
            for (cell, id) in row.cells.iter().zip(&comparison.columns) {
                if *cell == Cell::default() {
                    continue;
                }
                let words = match cell.meant {
                    Meant::Nothing => "",
                    Meant::Requested => "requested",
                    Meant::Expected => "expected",
                };
                let image = cell.image.as_ref().or(row.image.as_ref());
                table.rows.push(vec![
                    version.clone(),
                    image.map_or("not known".to_string(), |image| image.short(12).to_string()),
                    id.place.0.to_string(),
                    format!("{} {}", id.kind, id.name),
                    cell.instances.to_string(),
                    words.to_string(),
                ]);
            }
        }
        table
    }
}
