//! Who asked a platform for a change, as the platform's own audit log says: what is asked, and what comes back.
//!
//! Never takes part in a verdict: an audit log is late, and may be forbidden.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::id::WorkloadId;
use super::text::Text;
use super::timeline::Happening;

/// How long before a happening what led to it may have been asked for.
const BEFORE: SignedDuration = SignedDuration::from_mins(15);
/// How long after it: clocks differ.
const AFTER: SignedDuration = SignedDuration::from_mins(5);
/// How late a record may come into the log (CloudTrail User Guide, "Working with CloudTrail event history").
pub const LATE: Duration = Duration::from_secs(15 * 60);

/// What is asked: which changes of a workload were asked for in a span of time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditQuestion {
    /// Of which workload.
    pub workload: WorkloadId,
    /// From then on.
    pub from: Timestamp,
    /// Up to then.
    pub until: Timestamp,
}

/// What a platform says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Audit {
    /// It could not be asked, and why; with what to do where something can be done.
    Unknown(Text),
    /// Everything that was asked of it, newest first.
    Said(Vec<AuditRecord>),
    /// The newest part of it: there is more than may be read at once.
    SaidInPart(Vec<AuditRecord>),
}

/// One change that somebody asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditRecord {
    /// When it was asked for.
    pub at: Timestamp,
    /// What, by the platform's own word: `UpdateAutoScalingGroup`.
    pub action: Text,
    /// Who: a full name of the platform, `arn:aws:sts::123456789012:assumed-role/deploy/anna`.
    pub by: Text,
    /// From which address.
    pub from: Option<Text>,
    /// With which program.
    pub with: Option<Text>,
    /// Why the platform refused it, where it did.
    pub refused: Option<Text>,
}

impl AuditQuestion {
    /// What led to a happening.
    pub fn about(row: &Happening) -> AuditQuestion {
        let first = row.after.unwrap_or(row.at);
        let from = first.checked_sub(BEFORE).unwrap_or(first);
        AuditQuestion { workload: row.workload.clone(), from, until: row.at.checked_add(AFTER).unwrap_or(row.at) }
    }

    /// Whether a moment is asked about.
    pub fn covers(&self, at: Timestamp) -> bool {
        self.from <= at && at <= self.until
    }
}

impl Audit {
    /// What was asked of the platform, as far as is known.
    pub fn records(&self) -> &[AuditRecord] {
        match self {
            Audit::Unknown(_) => &[],
            Audit::Said(records) | Audit::SaidInPart(records) => records,
        }
    }
}

impl AuditRecord {
    /// In words, without its time.
    pub fn words(&self) -> String {
        let with = self.with.as_ref().map(|with| format!(" with {with}")).unwrap_or_default();
        let from = self.from.as_ref().map(|from| format!(" from {from}")).unwrap_or_default();
        let refused = self.refused.as_ref().map(|why| format!(", refused: {why}")).unwrap_or_default();
        format!("{} by {}{with}{from}{refused}", self.action, self.by)
    }
}
