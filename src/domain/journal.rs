//! The write-ahead record of operations: entry first, call second, verified when the fleet shows it.
//!
//! Never holds a template, a secret or the body of a request. Entries are only ever added.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::id::{OperationId, StepId, Uid, WorkloadId};
use super::keeper::Loan;
use super::observation::TemplateHash;
use super::plan::{Bound, Plan};
use super::text::Text;

/// One entry with its place in the journal.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// Rises by one for each entry of the whole journal.
    pub sequence: u64,
    /// The operation it belongs to.
    pub operation: OperationId,
    /// When it was written.
    pub at: Timestamp,
    /// What happened, or is about to.
    pub entry: Entry,
}

/// What happened, or is about to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "entry", rename_all = "snake_case")]
pub enum Entry {
    /// An operator confirmed a plan.
    Started {
        /// All of it.
        plan: Box<Plan>,
        /// Who drives it.
        by: Driver,
        /// The incident that it belongs to, if one was named.
        incident: Option<Text>,
    },
    /// Another process took an operation over whose driver was gone.
    Claimed {
        /// Who drives it now.
        by: Driver,
    },
    /// A request is about to be sent. What follows on disk tells how it went; nothing following means: not known.
    Sent {
        /// Which request.
        call: Call,
        /// The instances that were there before, where the step is about one instance.
        present: Vec<Uid>,
    },
    /// The provider took the request. Not yet done.
    Accepted {
        /// Which request.
        call: Call,
        /// What the provider answered, or what the fleet showed after an answer was lost.
        receipt: Receipt,
    },
    /// The provider did not do it, for certain.
    Refused {
        /// Which request.
        call: Call,
        /// Why.
        reason: Text,
    },
    /// The provider did not do it now, for certain, and may do it later (a disruption budget).
    Blocked {
        /// Which request.
        call: Call,
        /// Why.
        reason: Text,
    },
    /// The request was sent and no answer came: it may or may not have been done.
    Unanswered {
        /// Which request.
        call: Call,
        /// What happened instead.
        reason: Text,
    },
    /// A bound fact was no longer so; nothing was sent. The operation waits for a new code.
    Moved {
        /// Which step.
        step: StepId,
        /// What was different.
        differences: Vec<Text>,
        /// How the facts are now.
        bound: Box<Bound>,
    },
    /// The step is bound to the facts as they are now: an operator has confirmed it, or an earlier step of the plan has moved
    /// just what it must move.
    Rebound {
        /// Which step.
        step: StepId,
        /// Those facts.
        bound: Box<Bound>,
    },
    /// The fleet shows that the step is done.
    Verified {
        /// Which step.
        step: StepId,
        /// What was seen.
        detail: Text,
    },
    /// The step was accepted and did not come to its end.
    Failed {
        /// Which step.
        step: StepId,
        /// Why.
        reason: Text,
    },
    /// Nobody can tell whether the step was done.
    Unresolved {
        /// Which step.
        step: StepId,
        /// What to look at.
        reason: Text,
    },
    /// The step was never sent and won't be.
    Skipped {
        /// Which step.
        step: StepId,
        /// Why.
        reason: Text,
    },
    /// A wave stayed healthy for as long as the policy asks.
    WaveHealthy {
        /// The wave, from 1.
        wave: u16,
    },
    /// The driver took up a request of an operator, here or in another process.
    Asked {
        /// For what.
        request: Request,
        /// By whom.
        by: Text,
    },
    /// What was owed to a workload was given back.
    DebtPaid {
        /// To which workload.
        workload: WorkloadId,
        /// What, where it was more than its hold.
        #[serde(default)]
        loan: Option<Loan>,
        /// How.
        how: Text,
    },
    /// It is over.
    Ended {
        /// How.
        outcome: Outcome,
        /// In words.
        reason: Text,
    },
}

/// A request that a plan may send: a step, or one of its brakes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Call {
    /// The step itself.
    Step(StepId),
    /// Hold it where it is.
    Brake(StepId),
    /// Let it go on.
    Release(StepId),
}

/// What a provider answered to a request that it took.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// The workload's generation after the change; observations of an older one prove nothing.
    pub generation: u64,
    /// What the workload asks for after the change.
    pub template: Option<TemplateHash>,
    /// Warnings of the server and the like.
    pub notes: Vec<Text>,
}

/// What an operator can ask of a running operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// Hold: no new step, brakes on.
    Pause,
    /// Go on.
    Resume,
    /// Stop here and keep what was done.
    Stop,
    /// Stop here, then go back by a plan of its own.
    Return,
}

/// Who drives an operation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Driver {
    /// The person, as the machine knows them: `user@host`.
    pub who: Text,
    /// The machine.
    pub host: Text,
    /// Its boot, so that an old process id is not mistaken.
    pub boot: Text,
    /// The process.
    pub pid: u32,
    /// When that process started.
    pub started_at: Timestamp,
}

/// How an operation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Every step verified.
    Done,
    /// A step did not come to its end.
    Failed,
    /// An operator stopped it.
    Stopped,
    /// Nothing was done: a fact had moved, or the provider refused.
    Refused,
    /// Nobody can tell how a step ended.
    Unresolved,
}

impl Call {
    /// The step that it is about.
    pub fn step(self) -> StepId {
        match self {
            Call::Step(step) | Call::Brake(step) | Call::Release(step) => step,
        }
    }
}

impl Outcome {
    /// The word that scripts hold on to.
    pub fn as_str(self) -> &'static str {
        match self {
            Outcome::Done => "done",
            Outcome::Failed => "failed",
            Outcome::Stopped => "stopped",
            Outcome::Refused => "refused",
            Outcome::Unresolved => "unresolved",
        }
    }
}
