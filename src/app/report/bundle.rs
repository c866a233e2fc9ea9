//! An incident as one document: what is off, what operations did and owe, by which plans, and what changed.
//!
//! Never writes it anywhere, and holds nothing that the screens do not show.

use std::fmt::Write as _;

use jiff::Timestamp;
use serde::Serialize;

use super::{
    FreezeRow, OperationRow, PlaceSummary, PlanReport, ProtectionRow, Rows, Table, TimelineBody, TimelineRow,
    WorkloadRow, happenings, operation_row, place_summaries, plan_report, timeline, workload_rows,
};
use crate::app::model::Model;
use crate::domain::selector::Selector;
use crate::domain::text::Text;

/// All of it.
#[derive(Debug, Serialize)]
pub struct Bundle {
    /// Which incident, where somebody has named it.
    incident: Option<Text>,
    since: Timestamp,
    fleet: Rows<WorkloadRow>,
    /// What held at some time since then and was not lifted.
    protections: Vec<ProtectionRow>,
    /// Those of the policy that held at some time since then.
    freezes: Vec<FreezeRow>,
    operations: Vec<OperationRow>,
    plans: Vec<PlanReport>,
    timeline: TimelineBody,
    /// As in the envelope; what is not live is said at the beginning.
    #[serde(skip)]
    places: Vec<PlaceSummary>,
}

/// What is known of what happened since a moment.
pub fn bundle(model: &Model, since: Timestamp) -> Bundle {
    let everything = Selector::default();
    let policy = &model.settings.policy;
    let (totals, rows) = workload_rows(&model.fleet, policy, model.now, &everything, &mut |_, _| true);
    // What has not ended belongs to it, however long ago it was begun.
    let is_of_it = |ended: Option<Timestamp>| ended.is_none_or(|at| at >= since);
    let tracked = model.operations.newest_first().into_iter().filter(|tracked| {
        let operation = &tracked.operation;
        is_of_it(operation.ended.as_ref().map(|(_, _, at)| *at)) || !operation.debts.is_empty()
    });
    let tracked: Vec<_> = tracked.collect();
    let protections =
        model.protections.iter().filter(|protection| protection.expires_at.is_none_or(|until| until >= since));
    let freezes = policy.freezes.iter().filter(|freeze| freeze.from <= model.now && freeze.until >= since);
    Bundle {
        incident: model.settings.incident.clone(),
        since,
        fleet: Rows { totals: Some(totals), rows },
        protections: protections.map(ProtectionRow::of).collect(),
        freezes: freezes.map(FreezeRow::of).collect(),
        operations: tracked.iter().map(|tracked| operation_row(tracked)).collect(),
        plans: tracked.iter().map(|tracked| plan_report(&tracked.operation.plan)).collect(),
        places: place_summaries(model),
        timeline: timeline(model, &happenings(model, &everything, Some(since), &mut |_, _| true)),
    }
}

impl Bundle {
    /// What whoever reads no further must know: how much is off, what is owed, and of what nothing is known.
    fn in_short(&self) -> String {
        let totals = self.fleet.totals.as_ref();
        let mut text = totals.map(|totals| format!("\n{}.\n", totals.words())).unwrap_or_default();
        // Writing to a string can't fail.
        for owed in self.operations.iter().flat_map(OperationRow::owed) {
            let _ = writeln!(text, "\n**Owed** by {owed}");
        }
        for place in self.places.iter().filter(|place| !place.is_told()) {
            let _ = writeln!(text, "\n**Not complete**: {}", place.words());
        }
        text
    }

    /// For people.
    pub fn to_markdown(&self, at: Timestamp) -> String {
        let moment = |at: Timestamp| at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string();
        let name = self.incident.as_ref().map(|name| format!(" {name}")).unwrap_or_default();
        let mut text = format!("# Incident{name}\n\nWritten {}, since {}.\n", moment(at), moment(self.since));
        let is_worth = |row: &&WorkloadRow| row.is_off() || row.is_unhealthy();
        let (off, well): (Vec<&WorkloadRow>, Vec<&WorkloadRow>) = self.fleet.rows.iter().partition(is_worth);
        text.push_str(&self.in_short());
        let section = |text: &mut String, title: &str, table: Table, none: &str| {
            // Writing to a string can't fail.
            let _ = write!(text, "\n## {title}\n\n");
            let _ = match table.rows.is_empty() {
                true => writeln!(text, "{none}"),
                false => write!(text, "{}", table.to_markdown()),
            };
        };
        section(&mut text, "What is off or not healthy", WorkloadRow::table_of(off.into_iter()), "Nothing.");
        section(&mut text, "What changed", TimelineRow::table(&self.timeline.rows), "Nothing that was seen.");
        section(&mut text, "Operations", OperationRow::table(&self.operations), "None.");
        for (operation, plan) in self.operations.iter().zip(&self.plans) {
            let _ = write!(text, "\n```text\n{}\n{}```\n", operation.to_text(), plan.to_record());
        }
        section(
            &mut text,
            "Locks, quarantines and snoozes",
            ProtectionRow::table(&self.protections),
            "None of this machine.",
        );
        section(&mut text, "Freezes", FreezeRow::table(&self.freezes), "None.");
        section(&mut text, "Everything else", WorkloadRow::table_of(well.into_iter()), "Nothing.");
        text
    }
}
