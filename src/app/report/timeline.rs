//! What happened, as scripts see it.

use std::sync::Arc;

use jiff::Timestamp;
use serde::Serialize;

use super::table::Table;
use crate::app::model::Model;
use crate::app::screens::timeline::all;
use crate::domain::audit::{Audit, AuditRecord};
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
    /// Where the audit log was asked.
    audit: Option<AuditReport>,
    /// The same in words.
    #[serde(skip)]
    audit_words: String,
}

/// What an audit log has of what led to a row.
#[derive(Debug, Serialize)]
struct AuditReport {
    /// Newest first; `None`: it is not known.
    records: Option<Vec<AuditRow>>,
    /// Whether these are all.
    complete: bool,
    /// Why they are not, or not known.
    reason: Option<Text>,
}

#[derive(Debug, Serialize)]
struct AuditRow {
    at: Timestamp,
    action: Text,
    target: Text,
    by: Text,
    from: Option<Text>,
    with: Option<Text>,
    refused: Option<Text>,
}

impl AuditReport {
    fn of(said: &Audit) -> AuditReport {
        let row = |record: &AuditRecord| {
            let AuditRecord { at, action, target, by, from, with, refused } = record.clone();
            AuditRow { at, action, target, by, from, with, refused }
        };
        match said {
            Audit::Absent(why) | Audit::Unknown(why) => {
                AuditReport { records: None, complete: false, reason: Some(why.clone()) }
            }
            Audit::Said { records, .. } => AuditReport {
                records: Some(records.iter().map(row).collect()),
                complete: said.lacks().is_none(),
                reason: said.lacks(),
            },
        }
    }
}

/// What an audit log has, in one cell.
fn in_words(said: &Audit) -> String {
    const MOST: usize = 5;
    match said {
        Audit::Absent(_) => String::new(),
        Audit::Unknown(why) => format!("; audit log: {why}"),
        Audit::Said { records, .. } => {
            let mut words: Vec<String> = records.iter().take(MOST).map(AuditRecord::words).collect();
            if records.len() > MOST {
                words.push(format!("and {} more", records.len() - MOST));
            }
            words.extend(said.lacks().map(|lacks| lacks.to_string()));
            words.into_iter().map(|words| format!("; {words}")).collect()
        }
    }
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
pub fn happenings(
    model: &Model,
    selector: &Selector,
    since: Option<Timestamp>,
    is_word: &mut dyn FnMut(&str, &Facts<'_>) -> bool,
) -> Vec<Arc<Happening>> {
    let mut rows = all(&model.known());
    rows.retain(|row| {
        since.is_none_or(|since| row.at >= since)
            && selector.is_match(&row.facts(&row.images(), &row.name(), model.now), is_word)
    });
    rows
}

/// These rows, with what is known of them.
pub fn timeline(model: &Model, rows: &[Arc<Happening>]) -> TimelineBody {
    TimelineBody {
        watched_since: model.timeline.reaches_back_to(model.now),
        kept_seconds: model.timeline.retention().age.as_secs(),
        rows: rows.iter().map(|row| TimelineRow::of(row, model)).collect(),
    }
}

impl TimelineRow {
    fn of(row: &Happening, model: &Model) -> TimelineRow {
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
            commit: row.image.as_ref().and_then(|image| model.fleet.commit_of(&row.service, image)),
            by: row.by.clone(),
            detail: row.words(),
            audit: model.auditing.of(&row.id()).map(AuditReport::of),
            audit_words: model.auditing.of(&row.id()).map(in_words).unwrap_or_default(),
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
                format!("{}{}", row.detail, row.audit_words),
            ]);
        }
        table
    }
}
