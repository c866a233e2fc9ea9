//! What an operation will do, before it does anything: waves of steps, checks, refusals, brakes, and the code that
//! starts it.
//!
//! Never holds a template or a secret: a step names the source (uid, number, hash), its body is made again when sent.

mod abilities;
mod bound;
mod brake;
mod by_hand;
mod by_run;
mod canary;
mod choose;
mod code;
mod compose;
mod floor;
mod inspection;
mod lend;
mod meant;
mod others;
mod pullable;
mod replace;
mod request;
mod reverse;
mod select;
mod signed;
mod stays;
mod tempo;
mod waves;
mod words;

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

pub use abilities::{Abilities, Ability, kinds_as_markdown};
pub use bound::{Bound, Paused};
pub(in crate::domain) use by_hand::{is_held_back, is_stuck};
pub(in crate::domain) use by_run::left_to_end;
pub use canary::{Promotion, Stride};
pub use code::Code;
pub use compose::compose;
pub use floor::Floor;
pub(in crate::domain) use floor::healthy_floor;
pub use inspection::Inspection;
pub use meant::{Meant, meant};
pub use others::Marked;
pub use request::{Aims, Change, Goto, Owing, Pick, PlanRequest, Reach, Scope, Suspend};
pub use select::select;
pub use tempo::Tempo;

use super::id::{OperationId, PlaceId, PlanId, StepId, Uid, WorkloadId};
use super::image::{ImageId, ImageRef};
use super::keeper::Loan;
use super::observation::{TemplateHash, Undoer};
use super::policy::Confirm;
use super::text::Text;

/// A plan. It decides nothing more once it is made: a bound fact that moves makes it void.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// Its name.
    pub id: PlanId,
    /// What it is for.
    pub verb: Verb,
    /// Whether it leaves what is asked for now because that is bad.
    #[serde(default)]
    pub way: Way,
    /// How much time it takes for looking.
    #[serde(default)]
    pub pace: Pace,
    /// The operation that it takes back, if it is the way back from one.
    #[serde(default)]
    pub reverses: Option<OperationId>,
    /// One line: service, from, to.
    pub title: Text,
    /// When it was made.
    pub made_at: Timestamp,
    /// Until when its code is good.
    pub expires_at: Timestamp,
    /// In the order in which they run.
    pub waves: Vec<Wave>,
    /// What was looked at, and how it looked.
    pub checks: Vec<Check>,
    /// Why it can't start; a plan with refusals has no code.
    pub refusals: Vec<Refusal>,
    /// Why it goes where it otherwise may not, in the words of whoever made it.
    #[serde(default)]
    pub reason: Option<Text>,
    /// Who would undo it.
    pub will_be_undone_by: Vec<UndoneBy>,
    /// What a stop in the middle leaves.
    pub abort_leaves: Text,
    /// What starts it.
    pub confirm: Confirm,
}

/// What a plan is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verb {
    /// Bring instances to what they should run.
    Replace,
    /// Go back to an earlier version.
    Rollback,
    /// Give back what operations have borrowed.
    GiveBack,
    /// Let go on what waits at a step of its own.
    Promote,
}

/// How much time a plan takes for looking whether what was done stays healthy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pace {
    /// As the policy says.
    #[default]
    Careful,
    /// In an incident: bakes of a few seconds, and no watch at the end.
    Fast,
}

/// What a plan says of the versions that it leaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// They are bad: back to the last good one.
    #[default]
    Back,
    /// Nothing: to a version that was picked, or to what should run.
    Elsewhere,
}

/// The steps that may run before the next gate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Wave {
    /// Where.
    pub place: PlaceId,
    /// What must hold before it starts.
    pub gate: Gate,
    /// Its steps.
    pub steps: Vec<Step>,
}

/// What must hold before a wave starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Gate {
    /// Nothing: it is the first.
    Open,
    /// The wave before it has stayed healthy for this long.
    Healthy(Duration),
}

/// One request to one provider.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Its place in the plan.
    pub id: StepId,
    /// On which workload.
    pub workload: WorkloadId,
    /// What is asked of the provider.
    pub action: Action,
    /// What the main container is asked to run now.
    pub from: Side,
    /// What it shall run.
    pub to: Side,
    /// How many instances will be replaced.
    pub instances: u32,
    /// How many the workload has.
    pub total: u32,
    /// What goes back with the image (limits, environment names, ports).
    pub also_goes_back: Vec<Text>,
    /// What stops it where it is.
    pub brake: Brake,
    /// A pause that the step takes off.
    pub unpause: Unpause,
    /// A share of the instances that goes before the rest, held by the platform itself.
    #[serde(default)]
    pub first: Option<First>,
    /// Whether it can only begin once an earlier step has ended what runs there.
    #[serde(default)]
    pub follows: Follows,
    /// Why it is not sent although it would be good to have, if so: the plan goes on without it.
    #[serde(default)]
    pub left_out: Option<Text>,
    /// The command that would do the same.
    pub equivalent: Text,
    /// The facts it was decided on.
    pub bound: Bound,
}

/// What is asked of a provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Put the whole template of an earlier revision back.
    RestoreRevision {
        /// The revision.
        revision: Uid,
        /// Its number when the plan was made.
        number: u64,
        /// Its template's hash.
        hash: TemplateHash,
    },
    /// Change the image of one container and nothing else.
    SetImage {
        /// The container.
        container: Text,
        /// The image.
        image: ImageRef,
    },
    /// Have one instance taken away and made again from the template.
    Evict {
        /// The instance.
        instance: Uid,
        /// Its name.
        name: Text,
        /// What it ran when the plan was made.
        image: Option<ImageId>,
        /// Since when it runs, where that is known: its age is read before its code is typed.
        #[serde(default)]
        started_at: Option<Timestamp>,
    },
    /// Change something beside the template for as long as the plan needs it: a debt until it is given back.
    Borrow {
        /// What.
        loan: Loan,
    },
    /// Give back what was borrowed.
    GiveBack {
        /// As it was borrowed.
        loan: Loan,
    },
    /// End the rollout that runs there; what it has replaced stays. Another step of the same workload follows.
    EndRollout {
        /// What runs, how far, since when.
        what: Text,
    },
    /// Let a rollout go on that waits at a step of its own, or begin again what was aborted.
    Promote {
        /// How far.
        promotion: Promotion,
        /// The halt that it was decided at; `None`: whichever it meets.
        halt: Option<Text>,
        /// Where that is, in words.
        what: Text,
    },
}

/// One side of a change.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Side {
    /// The main container's image as it is asked for.
    pub reference: Option<ImageRef>,
    /// Exactly, where known.
    pub image: Option<ImageId>,
    /// What a person calls it.
    pub version: Option<Text>,
    /// The container meant.
    pub container: Text,
}

/// What stops a step where it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Brake {
    /// The workload's own rollout is paused; a debt until it is released.
    PauseRollout,
    /// The workload's own rollout is ended where it is: what was replaced stays. A debt, since it is now of two versions.
    CancelRollout,
    /// There is none; the text says what the platform will still do.
    None(Text),
}

/// Whether a step takes a pause off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unpause {
    /// There is none.
    NotPaused,
    /// The workload is held; the same request releases it, else it would be accepted and do nothing.
    Release,
}

/// A share of a workload's instances that is replaced before the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct First {
    /// How many, in percent: 1 to 99.
    pub percent: u8,
    /// How long the platform waits then, before it goes on by itself.
    pub hold: Duration,
}

/// What a step of the same workload must have done before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Follows {
    /// Nothing.
    #[default]
    Nothing,
    /// It has ended the rollout that runs there.
    EndOfRollout,
    /// It has put the template in force from which an instance is made again.
    NewTemplate,
    /// It has borrowed what this one gives back.
    Loan,
    /// It has begun the rollout that this one hurries on.
    OwnRollout,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// What.
    pub name: Text,
    /// How it looked.
    pub verdict: CheckVerdict,
    /// In words.
    pub detail: Text,
}

/// How a check looked. Ordered from best to worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckVerdict {
    /// Good.
    Pass,
    /// Could not be looked at.
    Unknown,
    /// Worth reading before the code is typed.
    Warn,
    /// Forbids the plan.
    Fail,
}

/// Why something selected can't be done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// Where; `None` if it is about the whole request.
    pub place: Option<PlaceId>,
    /// What.
    pub workload: Option<WorkloadId>,
    /// Why not.
    pub reason: Text,
    /// What to do instead.
    pub hint: Text,
}

/// Who would undo a plan in one workload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UndoneBy {
    /// Where.
    pub place: PlaceId,
    /// What.
    pub workload: WorkloadId,
    /// Who, and how fast.
    pub undoer: Undoer,
}

impl Plan {
    /// All steps in order.
    pub fn steps(&self) -> impl Iterator<Item = &Step> {
        self.waves.iter().flat_map(|wave| &wave.steps)
    }

    /// One step.
    pub fn step(&self, id: StepId) -> Option<&Step> {
        self.steps().find(|step| step.id == id)
    }

    /// How many instances it replaces.
    pub fn instances(&self) -> u32 {
        self.steps().map(|step| step.instances).sum()
    }

    /// Whether `y` is enough: only where every place allows it, for one workload and at most five instances.
    pub fn is_small(&self) -> bool {
        self.confirm == Confirm::YesForSmall && self.steps().count() == 1 && self.instances() <= 5
    }
}

impl Brake {
    /// Whether there is one.
    pub fn exists(&self) -> bool {
        !matches!(self, Brake::None(_))
    }

    /// What it is, in words.
    pub fn as_text(&self) -> Text {
        match self {
            Brake::PauseRollout => Text::new("pauses the rollout where it is"),
            Brake::CancelRollout => Text::new("ends the rollout where it is; what was replaced stays"),
            Brake::None(why) => why.clone(),
        }
    }
}

impl Verb {
    /// The word that scripts hold on to.
    pub fn as_str(self) -> &'static str {
        match self {
            Verb::Replace => "replace",
            Verb::Rollback => "rollback",
            Verb::GiveBack => "give back",
            Verb::Promote => "promote",
        }
    }
}

impl Action {
    /// The word that scripts hold on to.
    pub fn as_str(&self) -> &'static str {
        match self {
            Action::RestoreRevision { .. } => "restore_revision",
            Action::SetImage { .. } => "set_image",
            Action::Evict { .. } => "evict",
            Action::EndRollout { .. } => "end_rollout",
            Action::Borrow { .. } => "borrow",
            Action::GiveBack { .. } => "give_back",
            Action::Promote { .. } => "promote",
        }
    }

    /// Whether instances are replaced by it.
    pub fn replaces(&self) -> bool {
        match self {
            Action::RestoreRevision { .. } | Action::SetImage { .. } | Action::Evict { .. } => true,
            Action::EndRollout { .. } | Action::Promote { .. } | Action::Borrow { .. } | Action::GiveBack { .. } => {
                false
            }
        }
    }

    /// Whether it may begin although an operation drives its workload: that one may wait for just this.
    pub fn may_join(&self) -> bool {
        matches!(self, Action::Promote { .. })
    }

    /// Whether it asks for another template, and so has instances replaced by the platform.
    pub fn is_rollout(&self) -> bool {
        match self {
            Action::RestoreRevision { .. } | Action::SetImage { .. } => true,
            Action::Evict { .. }
            | Action::EndRollout { .. }
            | Action::Promote { .. }
            | Action::Borrow { .. }
            | Action::GiveBack { .. } => false,
        }
    }
}

impl Side {
    /// How a person would name this side: version and short digest.
    pub fn label(&self) -> String {
        let image = self.image.as_ref().map(|image| image.short(12));
        match (image, &self.version) {
            (Some(image), Some(version)) => format!("{image} ({version})"),
            (Some(image), None) => image.to_string(),
            (None, Some(version)) => version.to_string(),
            (None, None) => self.reference.as_ref().map_or("unknown".to_string(), ToString::to_string),
        }
    }

    /// The same where it stands in a list: the version first, which people look for.
    pub fn named(&self) -> String {
        match (&self.image, &self.version) {
            (Some(image), Some(version)) => format!("{version} {}", image.short(12)),
            (Some(_) | None, _) => self.label(),
        }
    }
}

impl CheckVerdict {
    /// The word that scripts hold on to.
    pub fn as_str(self) -> &'static str {
        match self {
            CheckVerdict::Pass => "pass",
            CheckVerdict::Unknown => "unknown",
            CheckVerdict::Warn => "warn",
            CheckVerdict::Fail => "fail",
        }
    }
}

/// A short name made from content: letters and digits that can't be mistaken.
pub fn short_name(prefix: &str, length: usize, content: &str) -> Text {
    const LETTERS: &[u8; 30] = b"23456789bcdfghjkmnpqrstvwxzaey";
    let hash = Sha256::digest(content.as_bytes());
    let name: String =
        hash.iter().take(length).map(|&byte| char::from(LETTERS[usize::from(byte) % LETTERS.len()])).collect();
    Text::new(&format!("{prefix}{name}"))
}
