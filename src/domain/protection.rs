//! What an operator protects: workloads that nobody may operate, and images that are bad wherever they run.
//!
//! Never decides when one runs out: whoever asks says how late it is.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::id::{OperationId, PlaceId, WorkloadId};
use super::image::{ImageId, ImageRef};
use super::observation::TemplateHash;
use super::operation::Operation;
use super::plan::Action;
use super::selector::{Facts, Selector, is_service_name};
use super::text::Text;

/// One lock or quarantine, with who is behind it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Protection {
    /// Its number on this machine.
    pub number: u64,
    /// What it protects.
    pub what: Protected,
    /// Why.
    pub reason: Text,
    /// Who has put it there.
    pub by: Text,
    /// When.
    pub at: Timestamp,
    /// Until when; `None`: until somebody lifts it.
    pub expires_at: Option<Timestamp>,
}

/// What is protected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Protected {
    /// Workloads that this selector means are not operated.
    Lock(Text),
    /// An image: a digest or the start of one, a machine image, a whole reference. Where it runs it is bad, and no plan goes
    /// back to it by itself.
    Quarantine(Text),
    /// What this selector means may be off for a while: somebody knows.
    Snooze(Text),
    /// A workload stays at the version that an operation went back to: no plan moves it away, all else may be done.
    Stay {
        /// Which.
        workload: WorkloadId,
        /// What it asks for.
        template: TemplateHash,
        /// What a person calls that.
        version: Text,
        /// The operation; its own way back lifts this.
        operation: OperationId,
    },
}

/// All that is protected now.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Protections {
    locks: Vec<(Selector, Protection)>,
    banned: Vec<Protection>,
    snoozed: Vec<(Selector, Protection)>,
    stays: Vec<Protection>,
}

impl Protected {
    /// The word that scripts hold on to, and what it is about as it was written.
    pub fn as_texts(&self) -> (&'static str, Text) {
        match self {
            Protected::Lock(selector) => ("lock", selector.clone()),
            Protected::Quarantine(image) => ("quarantine", image.clone()),
            Protected::Snooze(selector) => ("snooze", selector.clone()),
            Protected::Stay { workload, version, .. } => ("stay", Text::new(&format!("{workload} at {version}"))),
        }
    }
}

impl Protection {
    /// Whether it still holds at this time.
    pub fn holds_at(&self, now: Timestamp) -> bool {
        self.expires_at.is_none_or(|expires| now < expires)
    }

    /// Why a workload is not moved away from the version that it has, in words.
    pub fn why_stays(&self) -> String {
        match &self.what {
            Protected::Stay { version, operation, .. } => {
                format!("it stays at {version}, where {operation} went back to, {}", self.describe())
            }
            Protected::Lock(_) | Protected::Quarantine(_) | Protected::Snooze(_) => self.describe(),
        }
    }

    /// Whether it keeps this operation from moving a workload: what has left it, and its way back, may.
    pub fn keeps_from(&self, operation: &Operation) -> bool {
        let Protected::Stay { operation: left_by, template, workload, .. } = &self.what else { return false };
        let is_related = *left_by == operation.id || operation.plan.reverses.as_ref() == Some(left_by);
        let goes_there = operation
            .plan
            .steps()
            .filter(|step| step.workload == *workload)
            .any(|step| matches!(&step.action, Action::RestoreRevision { hash, .. } if hash == template));
        !is_related && !goes_there
    }

    /// Who, why, until when.
    pub fn describe(&self) -> String {
        let until = self.expires_at.map(|at| format!(", until {}", at.strftime("%Y-%m-%d %H:%M UTC")));
        format!("by {}: {}{}", self.by, self.reason, until.unwrap_or_default())
    }
}

impl Protections {
    /// Those of a list that hold at this time. A lock whose selector can't be read any more locks everything: what somebody
    /// wanted protected is not let go because of a word.
    pub fn holding(list: &[Protection], now: Timestamp) -> Protections {
        let mut protections = Protections::default();
        for protection in list.iter().filter(|protection| protection.holds_at(now)) {
            match &protection.what {
                Protected::Lock(selector) => {
                    let selector = Selector::parse(selector).unwrap_or_default();
                    protections.locks.push((selector, protection.clone()));
                }
                Protected::Quarantine(_) => protections.banned.push(protection.clone()),
                // One that can't be read puts nothing out of sight.
                Protected::Snooze(selector) => {
                    if let Ok(selector) = Selector::parse(selector) {
                        protections.snoozed.push((selector, protection.clone()));
                    }
                }
                Protected::Stay { .. } => protections.stays.push(protection.clone()),
            }
        }
        protections
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.locks.is_empty() && self.banned.is_empty() && self.snoozed.is_empty() && self.stays.is_empty()
    }

    /// The lock on a workload that says this of itself.
    pub fn lock_on(&self, facts: &Facts<'_>) -> Option<&Protection> {
        let found = self.locks.iter().find(|(selector, _)| selector.is_match(facts, &mut is_service_name));
        found.map(|(_, protection)| protection)
    }

    /// Why the drift of a workload that says this of itself is known, if it is.
    pub fn snooze_on(&self, facts: &Facts<'_>) -> Option<&Protection> {
        let found = self.snoozed.iter().find(|(selector, _)| selector.is_match(facts, &mut is_service_name));
        found.map(|(_, protection)| protection)
    }

    /// What keeps a workload at the version that it has gone back to, if something does.
    pub fn stay_of(&self, workload: &WorkloadId) -> Option<&Protection> {
        let is_it = |protection: &&Protection| matches!(&protection.what, Protected::Stay { workload: known, .. } if known == workload);
        self.stays.iter().find(is_it)
    }

    /// What an operation has left so that its workloads stay where they are.
    pub fn stays_of<'a>(&'a self, operation: &'a OperationId) -> impl Iterator<Item = &'a Protection> + 'a {
        self.stays.iter().filter(move |protection| {
            matches!(&protection.what, Protected::Stay { operation: known, .. } if known == operation)
        })
    }

    /// The lock on all that is in a place.
    pub fn lock_on_place(&self, place: &PlaceId) -> Option<&Protection> {
        let found = self.locks.iter().find(|(selector, _)| selector.covers_place(&place.0));
        found.map(|(_, protection)| protection)
    }

    /// The quarantine of an image, by what it is exactly or by what it is called.
    pub fn quarantine_of(&self, image: Option<&ImageId>, reference: Option<&ImageRef>) -> Option<&Protection> {
        self.banned.iter().find(|protection| {
            let Protected::Quarantine(banned) = &protection.what else { return false };
            image.is_some_and(|image| is_image(image, banned))
                || reference.is_some_and(|known| is_reference(known, banned))
        })
    }
}

/// How much of a digest or of an id must be named at least: shorter ones could mean others too.
pub const LEAST: usize = 8;

fn is_image(image: &ImageId, banned: &str) -> bool {
    let bare = banned.rsplit('@').next().unwrap_or(banned);
    let wanted = bare.strip_prefix("sha256:").unwrap_or(bare);
    wanted.len() >= LEAST && image.distinctive().starts_with(wanted)
}

fn is_reference(reference: &ImageRef, banned: &str) -> bool {
    reference.as_str() == banned || banned.parse::<ImageRef>().is_ok_and(|banned| banned.asks_same(reference))
}
