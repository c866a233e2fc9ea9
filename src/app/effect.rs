//! Everything that can be asked of the outside. Closed, plain data, imperative: the runtime does it and answers with an
//! event.
//!
//! Never done here. `Execute` is asked for by an appended `Sent` entry alone (`operations.rs`).

use jiff::Timestamp;

use super::event::ControlRequest;
use super::filter::FilterQuestion;
use super::record::Healthy;
use super::timeline::Notes;
use crate::domain::anatomy::Specimen;
use crate::domain::audit::AuditQuestion;
use crate::domain::id::{OperationId, PlaceId, PlanId};
use crate::domain::image::ImageRef;
use crate::domain::journal::{Call, Entry};
use crate::domain::plan::Step;
use crate::domain::policy::Probe;
use crate::domain::protection::Protected;
use crate::domain::text::Text;
use crate::domain::timeline::HappeningId;

/// Something to do.
#[derive(Clone, Debug)]
pub enum Effect {
    /// Write this entry, sync it, answer with `StoreEvent::Appended`. A `Started` entry takes the operation's lock first.
    Append {
        /// The operation.
        operation: OperationId,
        /// The entry.
        entry: Box<Entry>,
        /// The request of an operator that it takes up: marked as taken in the same transaction.
        request: Option<u64>,
    },
    /// Take the lock of an operation that nobody drives; answer with `StoreEvent::Driven`.
    Claim(OperationId),
    /// Let the lock of an ended operation go.
    Release(OperationId),
    /// Ask the process that drives an operation.
    Ask {
        /// The operation.
        operation: OperationId,
        /// What for.
        request: ControlRequest,
    },
    /// Send this request; answer with `ProviderEvent::Executed`.
    Execute {
        /// The operation.
        operation: OperationId,
        /// The request.
        call: Call,
        /// The step, with the facts it is bound to.
        step: Box<Step>,
        /// Who started the operation.
        who: Text,
    },
    /// Write the incident down; answer with `Event::Exported`.
    Export {
        /// What happened since then.
        since: Timestamp,
    },
    /// Take two versions apart; answer with `Event::Dissected`.
    Dissect(Box<[Specimen; 2]>),
    /// Ask registries what these are; answer with `Event::Resolved`, in any order.
    Resolve(Vec<ImageRef>),
    /// Ask registries whether these digests are signed; answer with `Event::Signed`, in any order.
    Signatures(Vec<ImageRef>),
    /// Ask audit logs what led to these happenings; answer with `Event::Audited`, one for each place.
    Audit(Vec<(HappeningId, AuditQuestion)>),
    /// Ask whether a wave is well; answer with `Event::Probed`.
    Probe {
        /// The operation.
        operation: OperationId,
        /// The wave, from 1.
        wave: u16,
        /// Which of the probes of its place, from 0.
        number: u16,
        /// Whom, and what.
        probe: Probe,
    },
    /// Have a provider look at every step of a plan before it is shown; answer with `ProviderEvent::Inspected` for each.
    Inspect {
        /// The plan.
        plan: PlanId,
        /// Its steps.
        steps: Vec<Step>,
    },
    /// Write a lock or quarantine down; answer with `StoreEvent::Protected`.
    Protect {
        /// What.
        what: Protected,
        /// Why.
        reason: Text,
        /// Until when.
        expires_at: Option<Timestamp>,
    },
    /// Lift the lock or quarantine of this number; answer with `StoreEvent::Protected`.
    Lift(u64),
    /// Note in our record which versions were seen healthy; nothing answers.
    Remember(Vec<Healthy>),
    /// Write down what happened; nothing answers.
    Note(Box<Notes>),
    /// Connect a place that is known and not connected.
    Connect(PlaceId),
    /// Filter and sort many rows on a worker; answer with `Event::Filtered`.
    Filter(FilterQuestion),
    /// Hand text to the terminal's clipboard.
    Copy {
        /// The text.
        text: String,
        /// What it is, for the footer.
        what: Text,
    },
    /// Stop the process until its shell brings it back.
    Suspend,
    /// Give the terminal back and go on without a screen until the operations of this process have ended.
    Detach,
    /// End the process.
    Quit,
}
