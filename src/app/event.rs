//! Everything that can happen. Closed, plain data: an event can be printed, stored, compared and played again.
//!
//! Never a closure, never a future. Time itself arrives as an event.

use jiff::Timestamp;
use ratatui::crossterm::event::KeyEvent;

use super::filter::FilterAnswer;
use crate::domain::anatomy::{Anatomy, Specimen};
use crate::domain::audit::Audit;
use crate::domain::catalog::Answer;
use crate::domain::id::{OperationId, PlaceId, PlanId, StepId};
use crate::domain::journal::{Call, Receipt, Record, Request};
use crate::domain::observation::Batch;
use crate::domain::operation::{Alive, Asked};
use crate::domain::plan::{Bound, Inspection};
use crate::domain::protection::Protection;
use crate::domain::release::Release;
use crate::domain::signature::SignatureHeard;
use crate::domain::text::Text;
use crate::domain::timeline::HappeningId;

/// Something that happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// It is this late now. Arrives every second, and before anything that depends on it.
    Ticked(Timestamp),
    /// The operator did something at the terminal.
    Terminal(TerminalEvent),
    /// A place reported.
    Observed(Batch),
    /// The store answered, or saw what another process wrote.
    Store(StoreEvent),
    /// A provider answered about a step.
    Provider(ProviderEvent),
    /// A probe has answered for a wave.
    Probed {
        /// The operation.
        operation: OperationId,
        /// The wave, from 1.
        wave: u16,
        /// Which of the probes of its place, from 0.
        number: u16,
        /// What it said.
        answer: Asked,
    },
    /// The incident was written down, where; or why not.
    Exported(Result<Text, Text>),
    /// Two versions were taken apart.
    Dissected(Box<([Specimen; 2], [Anatomy; 2])>),
    /// Registries have answered.
    Resolved(Vec<Answer>),
    /// Registries have said of signatures.
    Signed(Vec<SignatureHeard>),
    /// Audit logs have said what led to these happenings.
    Audited(Vec<(HappeningId, Audit)>),
    /// A worker finished a filter.
    Filtered(FilterAnswer),
    /// The process was asked for something from outside.
    Process(ProcessEvent),
}

/// What the operator did.
#[derive(Clone, Debug, PartialEq)]
pub enum TerminalEvent {
    /// A key.
    Pressed(KeyEvent),
    /// Text pasted in one piece.
    Pasted(String),
    /// The terminal has this many columns and rows now.
    Resized(u16, u16),
    /// Text was handed to the terminal's clipboard (OSC 52); the text says what.
    Copied(Text),
}

/// What the store tells.
#[derive(Clone, Debug, PartialEq)]
pub enum StoreEvent {
    /// The entry that was asked for is on disk.
    Appended(Record),
    /// It could not be written. Nothing more is sent for that operation.
    AppendFailed {
        /// The operation.
        operation: OperationId,
        /// What happened and what to do.
        reason: Text,
    },
    /// Entries of another process can't be read; the text says which and why.
    Unreadable(Text),
    /// All locks and quarantines that nobody has lifted, in this or another process.
    Protected(Vec<Protection>),
    /// All releases that were added on this machine and not taken away, by this or another process.
    Released(Vec<Release>),
    /// A lock or quarantine could not be written or lifted, and why.
    NotProtected(Text),
    /// Entries that another process wrote, or that were there at the start.
    Replayed(Vec<Record>),
    /// Who drives an operation, as its lock says.
    Driven {
        /// The operation.
        operation: OperationId,
        /// Who.
        alive: Alive,
    },
    /// An operator asks for something, in this or another process.
    Requested {
        /// Of which operation.
        operation: OperationId,
        /// What.
        request: ControlRequest,
        /// Who.
        by: Text,
        /// Its number in the store, which is marked as taken with the entry that takes it up.
        number: u64,
    },
}

/// What an operator asks of a running operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ControlRequest {
    /// Pause, resume or stop.
    Plain(Request),
    /// Go on after the plan moved, with the new code.
    ResumeWithCode(Text),
}

/// What a provider answers.
#[derive(Clone, Debug, PartialEq)]
pub enum ProviderEvent {
    /// It looked at one step of a plan that is not started.
    Inspected {
        /// The plan.
        plan: PlanId,
        /// The step.
        step: StepId,
        /// What it saw.
        inspection: Inspection,
    },
    /// A request of an operation has its answer.
    Executed {
        /// The operation.
        operation: OperationId,
        /// The request.
        call: Call,
        /// The answer.
        answer: CallAnswer,
    },
    /// A place could not be connected at all.
    NotConnected {
        /// The place.
        place: PlaceId,
        /// Why, and what to do.
        reason: Text,
    },
}

/// How a request went; the plain-data twin of `providers::Answer`.
#[derive(Clone, Debug, PartialEq)]
pub enum CallAnswer {
    /// The provider took it.
    Accepted(Receipt),
    /// Certainly nothing was done.
    Refused(Text),
    /// Nothing was done now, it may be possible later.
    Blocked(Text),
    /// Nothing was sent: a bound fact moved.
    Moved {
        /// What is different.
        differences: Vec<Text>,
        /// How the facts are now.
        bound: Box<Bound>,
    },
    /// It was sent, and nobody knows what became of it.
    Unanswered(Text),
}

/// What the process was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProcessEvent {
    /// SIGTERM or SIGINT: no new step; what is in flight is left to the platform.
    TerminateAsked,
    /// SIGHUP, or the terminal is gone: go on without a screen until the operation ends.
    TerminalLost,
    /// SIGTSTP: the shell asks for a pause of the process.
    SuspendAsked,
    /// Back in the foreground after a suspension.
    Resumed,
}
