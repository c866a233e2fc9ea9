//! An operation as scripts see it.

use jiff::Timestamp;
use serde::Serialize;

use super::table::Table;
use crate::app::operations::{Operations, Tracked};
use crate::domain::id::StepId;
use crate::domain::text::Text;

/// An operation.
#[derive(Debug, Serialize)]
pub struct OperationRow {
    operation: Text,
    plan: Text,
    title: Text,
    /// Its state, in the words of scripts.
    pub state: &'static str,
    reason: Text,
    owner: Text,
    incident: Option<Text>,
    resume_code: Option<String>,
    started_at: Timestamp,
    ended_at: Option<Timestamp>,
    steps: Vec<StepRow>,
    debts: Vec<DebtRow>,
    /// What was owed and is no longer: given back by somebody else, or written off.
    paid: Vec<PaidRow>,
    /// Why its plan goes where it otherwise may not.
    because: Option<Text>,
}

#[derive(Debug, Serialize)]
struct PaidRow {
    what: Text,
    how: Text,
}

#[derive(Debug, Serialize)]
struct StepRow {
    id: StepId,
    state: &'static str,
    target: String,
    sent_at: Option<Timestamp>,
    accepted_at: Option<Timestamp>,
    verified_at: Option<Timestamp>,
    detail: Text,
}

#[derive(Debug, Serialize)]
struct DebtRow {
    place: Text,
    workload: String,
    what: Text,
    since: Timestamp,
    /// When it should have been given back.
    due: Option<Timestamp>,
}

impl DebtRow {
    fn words(&self) -> String {
        let moment = |at: Timestamp| at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let due = self.due.map(|due| format!(", to be given back by {}", moment(due))).unwrap_or_default();
        format!("{}: {} since {}{due}", self.workload, self.what, moment(self.since))
    }
}

/// One operation in the words of scripts.
pub fn operation_row(tracked: &Tracked) -> OperationRow {
    let operation = &tracked.operation;
    OperationRow {
        operation: operation.id.0.clone(),
        plan: operation.plan.id.0.clone(),
        title: operation.plan.title.clone(),
        state: operation.state(tracked.alive).as_str(),
        reason: tracked.halted.clone().unwrap_or_else(|| operation.reason()),
        owner: operation.driver.who.clone(),
        incident: operation.incident.clone(),
        resume_code: operation.resume_code().map(|code| code.to_string()),
        started_at: operation.started_at,
        ended_at: operation.ended.as_ref().map(|(_, _, at)| *at),
        steps: operation
            .plan
            .steps()
            .map(|step| {
                let progress = operation.progress(step.id);
                StepRow {
                    id: step.id,
                    state: progress.state.as_str(),
                    target: step.workload.to_string(),
                    sent_at: progress.sent_at,
                    accepted_at: progress.accepted_at,
                    verified_at: progress.verified_at,
                    detail: progress.detail.clone(),
                }
            })
            .collect(),
        debts: operation
            .debts
            .iter()
            .map(|debt| DebtRow {
                place: debt.place().0.clone(),
                workload: debt.workload.to_string(),
                what: debt.what(),
                since: debt.since,
                due: debt.due(),
            })
            .collect(),
        paid: operation.paid.iter().map(|(what, how)| PaidRow { what: what.clone(), how: how.clone() }).collect(),
        because: operation.plan.reason.clone(),
    }
}

/// All operations, newest first.
pub fn operation_rows(operations: &Operations) -> Vec<OperationRow> {
    operations.newest_first().into_iter().map(operation_row).collect()
}

impl OperationRow {
    /// The rows as a table for people.
    pub fn table(rows: &[OperationRow]) -> Table {
        let mut table = Table::new(&["OPERATION", "STATE", "STARTED", "STEPS", "DEBTS", "OWNER", "TITLE", "REASON"]);
        for row in rows {
            let done = row.steps.iter().filter(|step| step.state == "verified").count();
            table.rows.push(vec![
                row.operation.to_string(),
                row.state.to_string(),
                row.started_at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
                format!("{done}/{}", row.steps.len()),
                row.debts.len().to_string(),
                row.owner.to_string(),
                row.title.to_string(),
                row.reason.to_string(),
            ]);
        }
        table
    }

    /// What it owes, in words.
    pub(super) fn owed(&self) -> impl Iterator<Item = String> {
        self.debts.iter().map(|debt| format!("{}: {}", self.operation, debt.words()))
    }

    /// One operation for people: its steps, then what it owes.
    pub fn to_text(&self) -> String {
        let mut text = format!("{} {}: {}", self.operation, self.state, self.title);
        if !self.reason.is_empty() {
            text.push_str(&format!(" ({})", self.reason));
        }
        text.push('\n');
        for step in &self.steps {
            text.push_str(&format!("  {}  {:<10} {}", step.id, step.state, step.target));
            if !step.detail.is_empty() {
                text.push_str(&format!(": {}", step.detail));
            }
            text.push('\n');
        }
        for debt in &self.debts {
            text.push_str(&format!("  owed: {}\n", debt.words()));
        }
        for paid in &self.paid {
            text.push_str(&format!("  owed no longer: {}: {}\n", paid.what, paid.how));
        }
        if let Some(because) = &self.because {
            text.push_str(&format!("  because: {because}\n"));
        }
        if let Some(code) = &self.resume_code {
            text.push_str(&format!("  go on with: rolldeck resume {} --code {code}\n", self.operation));
        }
        text
    }
}
