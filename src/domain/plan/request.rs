//! What an operator asks for, before anybody has looked at what it would take.
//!
//! Never decides which workloads it means.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Pace, Stride, Tempo, select};
use crate::domain::fleet::{Fleet, Workload};
use crate::domain::id::{OperationId, WorkloadId};
use crate::domain::keeper::Loan;
use crate::domain::observation::TemplateHash;
use crate::domain::policy::Minimum;
use crate::domain::selector::Selector;
use crate::domain::text::Text;

/// What an operator asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct PlanRequest {
    /// Where to go.
    pub goto: Goto,
    /// On what.
    pub scope: Scope,
    /// Which instances, for a replacement.
    pub pick: Pick,
    /// The container meant; else the main one, or the one with the image's repository.
    pub container: Option<Text>,
    /// Leave the rest of the template as it is.
    pub change: Change,
    /// Whether several namespaces of a place and several kinds of a service are meant.
    pub reach: Reach,
    /// How long the plan waits for its code.
    pub valid: Duration,
    /// How much time it takes for looking.
    pub pace: Pace,
    /// Where an earlier drawing of the same plan went.
    pub aims: Aims,
    /// What becomes of those who would undo it.
    pub suspend: Suspend,
    /// What becomes of the minimum of autoscalers meanwhile, instead of what the policy says.
    pub minimum: Option<Minimum>,
    /// How many are replaced at once, against the workload's own strategy.
    pub tempo: Tempo,
}

impl PlanRequest {
    /// A request without any choice of an operator.
    pub fn of(goto: Goto, scope: Scope, valid: Duration) -> PlanRequest {
        PlanRequest {
            goto,
            scope,
            pick: Pick::Off,
            container: None,
            change: Change::WholeTemplate,
            reach: Reach::Wide,
            valid,
            pace: Pace::Careful,
            aims: Aims::default(),
            suspend: Suspend::Nobody,
            minimum: None,
            tempo: Tempo::default(),
        }
    }
}

/// What becomes of those who would undo a plan.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Suspend {
    /// Nothing: they are named.
    #[default]
    Nobody,
    /// They are suspended before the first step, and owed until somebody gives them back.
    UntilGivenBack,
    /// They are suspended, and given back by the last step.
    UntilDone,
}

/// What an operation has borrowed and not given back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owing {
    /// For the sake of which workload.
    pub workload: WorkloadId,
    /// What.
    pub loan: Loan,
}

/// Where "back to last good" went when a plan was first drawn, workload by workload. A plan that is made again because a
/// fact moved goes there too: if somebody else went back meanwhile, last good would be one version further back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Aims(pub BTreeMap<WorkloadId, TemplateHash>);

impl Aims {
    /// Where "back to last good" goes from here.
    pub fn of(scope: &Scope, fleet: &Fleet) -> Aims {
        let aim = |workload: &Workload| Some((workload.id.clone(), workload.last_good()?.hash.clone()));
        Aims(select(scope, fleet).into_iter().filter_map(aim).collect())
    }
}

/// Where a plan goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Goto {
    /// To what should run.
    Expected,
    /// To the last good version.
    LastGood,
    /// To the revision of this number.
    Revision(u64),
    /// To an image: a reference, a tag, or the start of a digest.
    Image(Text),
    /// To what each workload asked for before this operation (`PlanRequest::reverse`).
    Before(OperationId),
    /// Nowhere: what was borrowed is given back.
    GiveBack(Vec<Owing>),
    /// Nowhere else: what waits at a step of its own is let go on.
    Promote(Stride),
}

impl Goto {
    /// Whether it only ever leads to what ran before, whatever that is.
    pub fn is_way_back(&self) -> bool {
        matches!(self, Goto::LastGood | Goto::Before(_) | Goto::GiveBack(_))
    }
}

/// On what.
#[derive(Clone, Debug, PartialEq)]
pub enum Scope {
    /// Whatever matches; a word without a key must be a service's name.
    Matching(Selector),
    /// These (rows that were marked on a screen).
    Exactly(Vec<WorkloadId>),
}

/// Which instances a replacement takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pick {
    /// Those that are off.
    Off,
    /// The oldest, whatever they run.
    Oldest(u32),
    /// Some, whatever they run; the seed makes the choice repeatable.
    Random {
        /// How many.
        count: u32,
        /// For the choice.
        seed: u64,
    },
}

/// How much of the template changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// The whole earlier template.
    WholeTemplate,
    /// The image of one container.
    ImageOnly,
}

/// How far a plan may reach by one name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// One namespace of a place, one kind of workload.
    Narrow,
    /// All of them (`--wide`).
    Wide,
}
