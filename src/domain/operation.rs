//! One started plan, alive or finished: the fold of its journal entries, and the rule that says what happens next.
//!
//! Never sends and never writes: `decide` answers with the next journal entry; who appends it and who sends is the
//! shell's business. Sending belongs to an appended `Sent` entry alone.

mod bakes;
mod debts;
mod decide;
mod first;
mod follows;
mod loans;
mod lost;
mod outcome;
mod probes;
mod promoted;
mod step;
mod verify;

use std::collections::BTreeMap;

use jiff::Timestamp;

pub use debts::{Debt, Owed, give_back, paid};
pub use decide::{Gates, World, decide};
pub(in crate::domain) use loans::moved as loan_moved;
pub use outcome::Left;
pub use probes::Asked;
pub use step::{StepCounts, StepProgress, StepState};
pub use verify::{Progress, progress_of};

use super::history::{OwnRecord, OwnVerdict};
use super::id::{OperationId, StepId, Uid, WorkloadId};
use super::journal::{Call, Driver, Entry, Outcome, Receipt, Record, Request};
use super::plan::{Bound, Code, Plan, Step, Way};
use super::text::Text;

/// One started plan.
#[derive(Clone, Debug, PartialEq)]
pub struct Operation {
    /// Its name.
    pub id: OperationId,
    /// What it does, bound facts as last confirmed.
    pub plan: Plan,
    /// Who drives it, or drove it last.
    pub driver: Driver,
    /// The incident that it belongs to.
    pub incident: Option<Text>,
    /// When it was started.
    pub started_at: Timestamp,
    /// When it was last taken over, else when it started.
    pub claimed_at: Timestamp,
    /// Its steps.
    pub steps: BTreeMap<StepId, StepProgress>,
    /// Waves whose gate was passed.
    pub healthy_waves: Vec<u16>,
    /// Whether it runs, holds or stops.
    pub mode: Mode,
    /// What it still owes.
    pub debts: Vec<Debt>,
    /// What it has owed and owes no longer, other than by its own release: what, and how that came.
    pub paid: Vec<(Text, Text)>,
    /// Whether an operator has asked for the way back once it has stopped.
    pub returns: bool,
    /// How and when it ended.
    pub ended: Option<(Outcome, Text, Timestamp)>,
    /// The last entry that was folded in.
    pub last_sequence: u64,
}

/// Whether an operation goes on.
#[derive(Clone, Debug, PartialEq)]
pub enum Mode {
    /// New steps are sent.
    Running,
    /// Held by an operator.
    Paused {
        /// By whom.
        by: Text,
    },
    /// A bound fact moved; it waits for a new code.
    PlanMoved {
        /// The step.
        step: StepId,
        /// What is different.
        differences: Vec<Text>,
        /// How the facts are now.
        bound: Box<Bound>,
    },
    /// An operator stops it.
    Stopping {
        /// Who.
        by: Text,
    },
}

/// An operation's state as screens and scripts name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OperationState {
    /// Its driver is alive and it goes on.
    Running,
    /// Held.
    Paused,
    /// Not ended, and nobody drives it.
    Interrupted,
    /// Ended.
    Ended(Outcome),
}

/// Whether the process that drives an operation is alive. Decided by its lock, never by a pid or a time-out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alive {
    /// The lock is held by this process.
    Here,
    /// The lock is held by another process.
    Elsewhere,
    /// Nobody holds it.
    Nobody,
}

impl Operation {
    /// Folds the entries of one operation; `None` if they do not begin with its start.
    pub fn fold(records: &[Record]) -> Option<Operation> {
        let (first, rest) = records.split_first()?;
        let mut operation = Operation::begin(first)?;
        for record in rest {
            operation.apply(record);
        }
        Some(operation)
    }

    /// The operation that a `Started` entry begins.
    pub fn begin(record: &Record) -> Option<Operation> {
        let Entry::Started { plan, by, incident } = &record.entry else { return None };
        Some(Operation {
            id: record.operation.clone(),
            driver: by.clone(),
            incident: incident.clone(),
            started_at: record.at,
            claimed_at: record.at,
            steps: plan.steps().map(|step| (step.id, StepProgress::of(step))).collect(),
            plan: (**plan).clone(),
            healthy_waves: Vec::new(),
            mode: Mode::Running,
            debts: Vec::new(),
            paid: Vec::new(),
            returns: false,
            ended: None,
            last_sequence: record.sequence,
        })
    }

    /// Folds in one more entry. Entries that were folded before change nothing.
    pub fn apply(&mut self, record: &Record) {
        if record.sequence <= self.last_sequence || record.operation != self.id {
            return;
        }
        self.last_sequence = record.sequence;
        match &record.entry {
            Entry::Started { .. } => {}
            Entry::Claimed { by } => {
                self.driver = by.clone();
                self.claimed_at = record.at;
            }
            Entry::Sent { call, present } => self.apply_sent(*call, present, record.at),
            Entry::Accepted { call, receipt } => self.apply_accepted(*call, receipt, record.at),
            Entry::Refused { call, reason } => self.apply_not_done(*call, StepState::Refused, reason),
            Entry::Blocked { call, reason } => self.apply_blocked(*call, reason, record.at),
            Entry::Unanswered { call, reason } => self.apply_unanswered(*call, reason, record.at),
            Entry::Moved { step, differences, bound } => {
                self.change(*step, StepState::Waiting, "a fact that the plan decided on moved; nothing was sent");
                // Neither a stop nor a pause is undone by what it was too late for: who goes on meets the fact again.
                if self.mode == Mode::Running {
                    self.mode = Mode::PlanMoved { step: *step, differences: differences.clone(), bound: bound.clone() };
                }
            }
            Entry::Rebound { step, bound } => {
                self.rebind(*step, bound);
                if matches!(&self.mode, Mode::PlanMoved { step: moved, .. } if moved == step) {
                    self.mode = Mode::Running;
                }
            }
            Entry::Verified { step, detail } => {
                self.change(*step, StepState::Verified, detail);
                if let Some(progress) = self.steps.get_mut(step) {
                    progress.verified_at = Some(record.at);
                }
            }
            Entry::Failed { step, reason } => self.change(*step, StepState::Failed, reason),
            Entry::Unresolved { step, reason } => {
                self.change(*step, StepState::Unresolved, reason);
                if let Some(progress) = self.steps.get_mut(step) {
                    progress.brake = None;
                }
                self.account_for_unknown(*step, record.at);
            }
            Entry::Skipped { step, reason } => self.change(*step, StepState::Skipped, reason),
            Entry::WaveHealthy { wave } => self.healthy_waves.push(*wave),
            Entry::Asked { request, by } => {
                for progress in self.steps.values_mut() {
                    progress.brake_failed = None;
                }
                self.mode = match (request, &self.mode) {
                    (Request::Pause, Mode::Running | Mode::PlanMoved { .. }) => Mode::Paused { by: by.clone() },
                    (Request::Resume, Mode::Paused { .. }) => Mode::Running,
                    (Request::Stop, _) => Mode::Stopping { by: by.clone() },
                    (Request::Return, _) => {
                        self.returns = true;
                        Mode::Stopping { by: by.clone() }
                    }
                    (Request::Pause | Request::Resume, mode) => mode.clone(),
                }
            }
            Entry::DebtPaid { workload, loan, how } => self.apply_paid(workload, loan.as_ref(), how),
            Entry::Ended { outcome, reason } => self.ended = Some((*outcome, reason.clone(), record.at)),
        }
    }

    /// Its state, given whether somebody drives it.
    pub fn state(&self, alive: Alive) -> OperationState {
        match (&self.ended, alive, &self.mode) {
            (Some((outcome, ..)), ..) => OperationState::Ended(*outcome),
            (None, Alive::Nobody, _) => OperationState::Interrupted,
            (None, _, Mode::Paused { .. } | Mode::PlanMoved { .. }) => OperationState::Paused,
            (None, _, Mode::Running | Mode::Stopping { .. }) => OperationState::Running,
        }
    }

    /// Why it is in its state, in words; empty while it simply runs.
    pub fn reason(&self) -> Text {
        match (&self.ended, &self.mode) {
            (Some((_, reason, _)), _) => reason.clone(),
            (None, Mode::Running) => Text::default(),
            (None, Mode::Paused { by }) => Text::new(&format!("paused by {by}")),
            (None, Mode::Stopping { by }) => Text::new(&format!("{by} stops it")),
            (None, Mode::PlanMoved { step, differences, .. }) => {
                let list: Vec<&str> = differences.iter().map(Text::as_str).collect();
                Text::new(&format!("plan moved: step {step}: {}", list.join("; ")))
            }
        }
    }

    /// Steps by how far they are.
    pub fn counts(&self) -> StepCounts {
        let mut counts = StepCounts { total: self.steps.len() as u32, ..StepCounts::default() };
        for progress in self.steps.values() {
            match progress.state {
                StepState::Waiting => {}
                StepState::Sent | StepState::Accepted | StepState::Held => counts.in_flight += 1,
                StepState::Verified => counts.done += 1,
                StepState::Refused | StepState::Failed | StepState::Unresolved => counts.failed += 1,
                StepState::Skipped => counts.skipped += 1,
            }
        }
        counts
    }

    /// The code that lets it go on after a bound fact moved.
    pub fn resume_code(&self) -> Option<Code> {
        let Mode::PlanMoved { step, bound, .. } = &self.mode else { return None };
        let mut operation = self.clone();
        operation.rebind(*step, bound);
        operation.plan.code()
    }

    /// Whether it still drives this workload.
    pub fn is_driving(&self, workload: &WorkloadId) -> bool {
        self.ended.is_none() && self.plan.steps().any(|step| step.workload == *workload)
    }

    /// The step that a request is about, with the facts that this request is bound to: a brake is bound to the template
    /// that the step has left, not to the one it found.
    pub fn step_for(&self, call: Call) -> Option<Step> {
        let mut step = self.plan.step(call.step())?.clone();
        let left = self.progress(call.step()).receipt.as_ref().and_then(|receipt| receipt.template.clone());
        match (call, left) {
            (Call::Brake(_) | Call::Release(_), Some(left)) => step.bound.template = left,
            (Call::Brake(_) | Call::Release(_), None) | (Call::Step(_), _) => {}
        }
        Some(step)
    }

    /// Whether a request was sent of which nothing is known yet.
    pub fn is_open(&self, call: Call) -> bool {
        let progress = self.progress(call.step());
        match call {
            Call::Step(_) => progress.state == StepState::Sent,
            Call::Brake(_) | Call::Release(_) => progress.brake == Some(call),
        }
    }

    /// How far one step is.
    pub fn progress(&self, step: StepId) -> &StepProgress {
        static NONE: std::sync::LazyLock<StepProgress> = std::sync::LazyLock::new(StepProgress::default);
        self.steps.get(&step).unwrap_or(&NONE)
    }

    fn apply_sent(&mut self, call: Call, present: &[Uid], at: Timestamp) {
        let is_running = self.mode == Mode::Running;
        let Some(progress) = self.steps.get_mut(&call.step()) else { return };
        match call {
            Call::Step(_) => {
                progress.state = StepState::Sent;
                progress.sent_at = Some(at);
                progress.present = present.to_vec();
                progress.detail = Text::default();
            }
            Call::Brake(_) | Call::Release(_) => {
                progress.brake = Some(call);
                progress.brake_sent_at = Some(at);
                // An operator's hold is put on while it does not run.
                progress.is_first_hold |= matches!(call, Call::Brake(_)) && is_running;
            }
        }
    }

    fn apply_accepted(&mut self, call: Call, receipt: &Receipt, at: Timestamp) {
        let Some(progress) = self.steps.get_mut(&call.step()) else { return };
        match call {
            Call::Step(_) => {
                progress.state = StepState::Accepted;
                progress.blocked_at = None;
                progress.accepted_at = Some(at);
                progress.receipt = Some(receipt.clone());
                self.account_for(call.step(), receipt, at);
            }
            Call::Brake(step) => {
                // The step may have come to its end before its brake was heard of: what is owed is owed all the same.
                if !progress.state.is_final() {
                    progress.state = StepState::Held;
                    progress.detail = Text::new("held by us; a debt until it is released");
                }
                progress.brake = None;
                let workload = self.plan.step(step).map(|step| step.workload.clone());
                let debt = |workload| Debt { workload, owed: Owed::Hold, since: at, generation: receipt.generation };
                self.debts.extend(workload.map(debt));
            }
            Call::Release(step) => {
                if !progress.state.is_final() {
                    progress.state = StepState::Accepted;
                    progress.detail = Text::default();
                }
                // What was held before its first share was there is held there still.
                progress.first_has_passed |= std::mem::take(&mut progress.is_first_hold);
                progress.brake = None;
                if let Some(before) = &mut progress.receipt {
                    before.generation = before.generation.max(receipt.generation);
                }
                let workload = self.plan.step(step).map(|step| step.workload.clone());
                self.debts.retain(|debt| debt.owed != Owed::Hold || Some(&debt.workload) != workload.as_ref());
            }
        }
    }

    /// A brake that was refused leaves the step as it was; the words say so. A release that was refused leaves it held,
    /// which can't come to an end by itself, and the debt stays.
    fn apply_not_done(&mut self, call: Call, state: StepState, reason: &Text) {
        if let Some(progress) = self.steps.get_mut(&call.step()) {
            progress.brake = None;
        }
        match call {
            Call::Step(step) => self.change(step, state, reason),
            Call::Brake(step) => {
                if let Some(progress) = self.steps.get_mut(&step) {
                    progress.detail = Text::new(&format!("could not hold it: {reason}"));
                    progress.brake_failed = Some(reason.clone());
                    progress.is_first_hold = false;
                }
            }
            Call::Release(step) => {
                let why = format!("could not release it, it is still held: {reason}");
                match self.steps.get_mut(&step).filter(|progress| progress.state.is_final()) {
                    // What is done stays done; the debt stays too, and is not tried again by itself.
                    Some(progress) => progress.brake_failed = Some(Text::new(&why)),
                    None => self.change(step, StepState::Failed, &why),
                }
            }
        }
    }

    /// Nothing was done, and it is tried again: the step waits, a brake is still to be put on, a release to be sent.
    fn apply_blocked(&mut self, call: Call, reason: &Text, at: Timestamp) {
        let Some(progress) = self.steps.get_mut(&call.step()) else { return };
        progress.blocked_at = Some(at);
        progress.detail = reason.clone();
        match call {
            Call::Step(_) => progress.state = StepState::Waiting,
            Call::Brake(_) | Call::Release(_) => progress.brake = None,
        }
    }

    fn apply_unanswered(&mut self, call: Call, reason: &Text, at: Timestamp) {
        if let Some(progress) = self.steps.get_mut(&call.step()) {
            progress.detail = reason.clone();
            progress.unanswered_at = Some(at);
        }
    }

    fn change(&mut self, step: StepId, state: StepState, detail: &str) {
        if let Some(progress) = self.steps.get_mut(&step) {
            progress.state = state;
            progress.detail = Text::new(detail);
        }
    }

    fn rebind(&mut self, step: StepId, bound: &Bound) {
        for known in self.plan.waves.iter_mut().flat_map(|wave| &mut wave.steps).filter(|known| known.id == step) {
            known.bound = bound.clone();
        }
    }
}

impl OperationState {
    /// The word that scripts hold on to.
    pub fn as_str(self) -> &'static str {
        match self {
            OperationState::Running => "running",
            OperationState::Paused => "paused",
            OperationState::Interrupted => "interrupted",
            OperationState::Ended(outcome) => outcome.as_str(),
        }
    }
}

/// What finished and running operations tell of the versions of their workloads; later operations come last.
pub fn own_records<'a>(operations: impl Iterator<Item = &'a Operation>) -> BTreeMap<WorkloadId, OwnRecord> {
    let mut sorted: Vec<&Operation> = operations.collect();
    sorted.sort_by(|a, b| a.started_at.cmp(&b.started_at).then_with(|| a.id.cmp(&b.id)));
    let mut records: BTreeMap<WorkloadId, OwnRecord> = BTreeMap::new();
    for operation in sorted {
        for step in operation.plan.steps().filter(|step| step.action.is_rollout()) {
            let progress = operation.progress(step.id);
            let Some(receipt) = &progress.receipt else { continue };
            let record = records.entry(step.workload.clone()).or_default();
            if operation.plan.way == Way::Back {
                record.0.insert(step.bound.template.clone(), OwnVerdict::WentFrom);
            }
            if let (StepState::Verified, Some(template)) = (progress.state, &receipt.template) {
                record.0.insert(template.clone(), OwnVerdict::WentTo);
            }
        }
    }
    records
}
