//! How far one step of an operation is.
//!
//! Never moves by itself: the fold of journal entries changes it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::domain::id::Uid;
use crate::domain::journal::{Call, Receipt};
use crate::domain::plan::Step;
use crate::domain::text::Text;

/// How far one step is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StepProgress {
    /// How far.
    pub state: StepState,
    /// When the request was about to be sent.
    pub sent_at: Option<Timestamp>,
    /// When the provider took it.
    pub accepted_at: Option<Timestamp>,
    /// When the fleet showed it done.
    pub verified_at: Option<Timestamp>,
    /// What the provider answered.
    pub receipt: Option<Receipt>,
    /// The instances that were there before.
    pub present: Vec<Uid>,
    /// Brake or release on its way, or sent and not answered: the fleet tells what became of it.
    pub brake: Option<Call>,
    /// When that was about to be sent.
    pub brake_sent_at: Option<Timestamp>,
    /// When its last request was given up without an answer: until then it may have been on its way.
    pub unanswered_at: Option<Timestamp>,
    /// When the provider last would not do it yet.
    pub blocked_at: Option<Timestamp>,
    /// Whether its brake was put on because the share that goes first was there.
    pub is_first_hold: bool,
    /// Whether that share has had its bake.
    pub first_has_passed: bool,
    /// Why its brake could not be put on; it is tried again when somebody asks again.
    pub brake_failed: Option<Text>,
    /// In words.
    pub detail: Text,
}

/// The states of a step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepState {
    /// Not sent yet.
    #[default]
    Waiting,
    /// On disk, perhaps sent, no answer on disk.
    Sent,
    /// The provider took it.
    Accepted,
    /// Accepted and held by its brake.
    Held,
    /// Done.
    Verified,
    /// Not done, for certain: nothing was changed.
    Refused,
    /// Accepted, and did not come to its end.
    Failed,
    /// Never sent.
    Skipped,
    /// Nobody can tell.
    Unresolved,
}

/// Steps by how far they are, for banners and lists.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StepCounts {
    /// All.
    pub total: u32,
    /// Verified.
    pub done: u32,
    /// Sent, accepted or held.
    pub in_flight: u32,
    /// Failed, refused or unresolved.
    pub failed: u32,
    /// Never sent and never to be.
    pub skipped: u32,
}

impl StepProgress {
    /// Before anything has happened.
    pub(super) fn of(step: &Step) -> StepProgress {
        match &step.left_out {
            None => StepProgress::default(),
            Some(why) => StepProgress { state: StepState::Skipped, detail: why.clone(), ..StepProgress::default() },
        }
    }
}

impl StepState {
    /// The word that scripts hold on to.
    pub fn as_str(self) -> &'static str {
        match self {
            StepState::Waiting => "waiting",
            StepState::Sent => "sent",
            StepState::Accepted => "accepted",
            StepState::Held => "held",
            StepState::Verified => "verified",
            StepState::Refused | StepState::Failed => "failed",
            StepState::Skipped => "skipped",
            StepState::Unresolved => "unresolved",
        }
    }

    /// Whether nothing more will happen to the step.
    pub fn is_final(self) -> bool {
        !matches!(self, StepState::Waiting | StepState::Sent | StepState::Accepted | StepState::Held)
    }
}
