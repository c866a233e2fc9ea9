//! What happened, as scripts see it.

use jiff::Timestamp;
use serde::Serialize;

use super::table::Table;
use crate::app::model::Model;
use crate::app::screens::timeline::all;
use crate::domain::fleet::Fleet;
use crate::domain::image::ImageId;
use crate::domain::selector::{Facts, Selector};
use crate::domain::text::Text;
use crate::domain::timeline::Happening;

/// One thing that happened.
#[derive(Debug, Serialize)]
pub struct TimelineRow {
    at: Timestamp,
    /// It happened after this moment, where nobody watched when.
    after: Option<Timestamp>,
    place: Text,
    service: Text,
    namespace: Option<Text>,
    workload: Text,
    kind: &'static str,
    container: Option<Text>,
    event: &'static str,
    image: Option<String>,
    reference: Option<Text>,
    version: Option<Text>,
    commit: Option<Text>,
    by: Option<Text>,
    detail: String,
}

/// The rows of a timeline, and how far back it reaches.
#[derive(Debug, Serialize)]
pub struct TimelineBody {
    /// Since when changes were watched for, and are kept.
    pub watched_since: Option<Timestamp>,
    /// How long rows are kept.
    pub kept_seconds: u64,
    /// The newest first.
    pub rows: Vec<TimelineRow>,
}

/// What happened since a moment, the newest first.
pub fn timeline(
    model: &Model,
    selector: &Selector,
    since: Option<Timestamp>,
    is_word: &mut dyn FnMut(&str, &Facts<'_>) -> bool,
) -> TimelineBody {
    let rows = all(&model.known());
    let is_wanted = |row: &&std::sync::Arc<Happening>| {
        since.is_none_or(|since| row.at >= since)
            && selector.is_match(&row.facts(&row.images(), &row.name(), model.now), is_word)
    };
    TimelineBody {
        watched_since: model.timeline.reaches_back_to(model.now),
        kept_seconds: model.timeline.retention().age.as_secs(),
        rows: rows.iter().filter(is_wanted).map(|row| TimelineRow::of(row, &model.fleet)).collect(),
    }
}

impl TimelineRow {
    fn of(row: &Happening, fleet: &Fleet) -> TimelineRow {
        TimelineRow {
            at: row.at,
            after: row.after,
            place: row.workload.place.0.clone(),
            service: row.service.clone(),
            namespace: row.workload.namespace.clone(),
            workload: row.workload.name.clone(),
            kind: row.workload.kind.as_str(),
            container: row.container.clone(),
            event: row.what.as_str(),
            image: row.image.as_ref().map(|image| ImageId::as_str(image).to_string()),
            reference: row.reference.clone(),
            version: row.version.clone(),
            commit: row.image.as_ref().and_then(|image| fleet.commit_of(&row.service, image)),
            by: row.by.clone(),
            detail: row.words(),
        }
    }

    /// The rows as a table for people.
    pub fn table(rows: &[TimelineRow]) -> Table {
        let mut table =
            Table::new(&["AT", "SERVICE", "PLACE", "WORKLOAD", "EVENT", "IMAGE", "VERSION", "BY", "DETAIL"]);
        let dash = |text: Option<&str>| text.unwrap_or("-").to_string();
        for row in rows {
            let namespace = row.namespace.as_ref().map(|namespace| format!("{namespace}/")).unwrap_or_default();
            table.rows.push(vec![
                row.at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
                row.service.to_string(),
                row.place.to_string(),
                format!("{} {namespace}{}", row.kind, row.workload),
                row.event.to_string(),
                dash(row.image.as_deref().or(row.reference.as_deref())),
                dash(row.version.as_deref()),
                dash(row.by.as_deref()),
                row.detail.clone(),
            ]);
        }
        table
    }
}
