//! Rows of `places`, and the short form of a place that every answer carries.

use serde::Serialize;

use super::age_seconds;
use super::table::Table;
use crate::app::model::Model;
use crate::app::settings::{Access, Connection, PlaceSetting};
use crate::domain::observation::PlaceState;
use crate::domain::text::Text;

/// A place in short.
#[derive(Clone, Debug, Serialize)]
pub struct PlaceSummary {
    /// Its id.
    pub id: Text,
    kind: Text,
    /// How it answers.
    pub state: &'static str,
    age_seconds: Option<u64>,
    reason: Option<Text>,
}

/// A place in full.
#[derive(Debug, Serialize)]
pub struct PlaceRow {
    #[serde(flatten)]
    summary: PlaceSummary,
    account: Option<Text>,
    identity: Option<Text>,
    server: Option<Text>,
    notes: Vec<Text>,
    calls_per_minute: Option<u32>,
    instances: Option<u32>,
    can: Vec<Text>,
    cannot: Vec<Cannot>,
}

#[derive(Debug, Serialize)]
struct Cannot {
    what: Text,
    why: Text,
}

impl PlaceSummary {
    /// Whether what is known of it is what is there, or nobody wants to know.
    pub(super) fn is_told(&self) -> bool {
        self.state == PlaceState::Live.as_str() || self.state == PlaceState::NotConnected.as_str()
    }

    /// In words.
    pub(super) fn words(&self) -> String {
        let age = self.age_seconds.map(|age| format!(", last heard of {age} s before")).unwrap_or_default();
        let reason = self.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
        format!("{} is {}{age}{reason}", self.id, self.state)
    }
}

/// Every known place in short.
pub fn place_summaries(model: &Model) -> Vec<PlaceSummary> {
    model.settings.places.iter().map(|setting| summary(model, setting)).collect()
}

/// Every known place in full.
pub fn place_rows(model: &Model) -> Vec<PlaceRow> {
    model
        .settings
        .places
        .iter()
        .map(|setting| {
            let place = model.fleet.place(&setting.id);
            let identity = place.map(|place| place.identity.clone()).unwrap_or_default();
            let mut cannot: Vec<Cannot> = identity.cannot.into_iter().map(|(what, why)| Cannot { what, why }).collect();
            if let Access::ReadOnly(why) = &setting.access {
                cannot.push(Cannot { what: Text::new("change anything"), why: why.clone() });
            }
            cannot.extend(
                place
                    .into_iter()
                    .flat_map(|place| &place.limits)
                    .map(|(source, why)| Cannot { what: Text::new(&format!("read {}", source.0)), why: why.clone() }),
            );
            let is_known = place.is_some_and(|place| place.heard_at.is_some());
            PlaceRow {
                summary: summary(model, setting),
                account: identity.account,
                identity: identity.identity,
                server: identity.server,
                notes: identity.notes,
                calls_per_minute: place.and_then(|place| place.calls_per_minute),
                instances: place.filter(|_| is_known).map(|place| place.tally.instances),
                can: identity.can,
                cannot,
            }
        })
        .collect()
}

impl PlaceRow {
    /// The rows as a table for people.
    pub fn table(rows: &[PlaceRow]) -> Table {
        let mut table = Table::new(&["PLACE", "KIND", "STATE", "AGE", "INSTANCES", "IDENTITY", "ACCOUNT", "REASON"]);
        let or_dash = |text: &Option<Text>| text.as_ref().map_or("-".to_string(), ToString::to_string);
        for row in rows {
            table.rows.push(vec![
                row.summary.id.to_string(),
                row.summary.kind.to_string(),
                row.summary.state.to_string(),
                row.summary.age_seconds.map_or("-".to_string(), |age| format!("{age}s")),
                row.instances.map_or("-".to_string(), |instances| instances.to_string()),
                or_dash(&row.identity),
                or_dash(&row.account),
                or_dash(&row.summary.reason),
            ]);
        }
        table
    }
}

fn summary(model: &Model, setting: &PlaceSetting) -> PlaceSummary {
    let place = model.fleet.place(&setting.id);
    let state = match setting.connection {
        Connection::NotConnected => &PlaceState::NotConnected,
        Connection::Wanted => place.map_or(&PlaceState::Loading, |place| &place.state),
    };
    PlaceSummary {
        id: setting.id.0.clone(),
        kind: setting.kind.clone(),
        state: state.as_str(),
        age_seconds: age_seconds(&model.fleet, &setting.id, model.now),
        reason: state.reason().cloned(),
    }
}
