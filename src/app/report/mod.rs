//! What scripts read: the same answers as the screens, as JSON, tables or Markdown. The screens' peer over one state.
//!
//! Never prints. Names of fields are a promise: they are added to, not changed. Absent knowledge is `null`.

mod bundle;
mod compare;
mod difference;
mod instances;
mod operations;
mod places;
mod plan;
mod protections;
mod table;
mod timeline;
mod workloads;

use jiff::Timestamp;
use serde::Serialize;

pub use bundle::{Bundle, bundle};
pub use compare::{ComparisonReport, comparison_report};
pub use difference::{DifferenceReport, difference_report};
pub use instances::{InstanceRow, instance_rows};
pub use operations::{OperationRow, operation_row, operation_rows};
pub use places::{PlaceRow, PlaceSummary, place_rows, place_summaries};
pub use plan::{PlanReport, plan_report};
pub use protections::{FreezeRow, ProtectionRow};
pub use table::Table;
pub use timeline::{TimelineBody, TimelineRow, happenings, timeline};
pub use workloads::{Totals, WorkloadRow, workload_rows};

use super::model::Model;
use super::settings::Connection;
use crate::domain::fleet::{Fleet, Place};
use crate::domain::id::PlaceId;

/// One answer.
#[derive(Debug, Serialize)]
pub struct Report<B> {
    /// The version of this format.
    pub schema: u32,
    /// When it was made.
    pub at: Timestamp,
    /// Whether every selected place is live.
    pub complete: bool,
    /// The places.
    pub places: Vec<PlaceSummary>,
    /// What was asked for.
    #[serde(flatten)]
    pub body: B,
}

/// Rows, with totals where they are counts of instances.
#[derive(Debug, Serialize)]
pub struct Rows<R> {
    /// Over all rows that match, those that are ok too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub totals: Option<Totals>,
    /// The rows.
    pub rows: Vec<R>,
}

/// Puts an answer into its envelope.
pub fn report<B>(model: &Model, body: B) -> Report<B> {
    Report { schema: 1, at: model.now, complete: is_complete(model), places: place_summaries(model), body }
}

/// Whether every place that is asked is live, and none of its rows are kept from us.
pub fn is_complete(model: &Model) -> bool {
    let is_whole = |place: &Place| place.state.is_live() && !place.limits.iter().any(|(source, _)| source.has_rows());
    wanted(model).all(|id| model.fleet.place(id).is_some_and(is_whole))
}

/// The places that are asked.
pub fn wanted(model: &Model) -> impl Iterator<Item = &PlaceId> {
    let places = model.settings.places.iter().filter(|setting| setting.connection == Connection::Wanted);
    places.map(|setting| &setting.id)
}

/// Seconds since a place last answered; `None` if it never did.
pub(super) fn age_seconds(fleet: &Fleet, place: &PlaceId, now: Timestamp) -> Option<u64> {
    let heard = fleet.place(place)?.heard_at?;
    Some(now.duration_since(heard).as_secs().max(0) as u64)
}
