//! Who asked a platform for a change, as the platform's own audit log says: what is asked, and what comes back.
//!
//! Never takes part in a verdict: an audit log is late, and may be forbidden.

use jiff::{SignedDuration, Timestamp};

use super::id::WorkloadId;
use super::text::Text;
use super::timeline::Happening;

/// How long before a happening what led to it may have been asked for.
const BEFORE: SignedDuration = SignedDuration::from_mins(15);
/// How long after it: clocks differ.
const AFTER: SignedDuration = SignedDuration::from_mins(5);
/// How much of the name of a program is shown, in characters.
const LONGEST_PROGRAM: usize = 60;

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
    /// It has no audit log that could be asked; the text says what there is instead.
    Absent(Text),
    /// It could not be asked, and why; with what to do where something can be done.
    Unknown(Text),
    /// It was asked.
    Said {
        /// What it has, newest first.
        records: Vec<AuditRecord>,
        /// Why not all that it has was read; `None`: all was.
        missing: Option<Text>,
        /// Whether what was asked for then may still come into it.
        may_grow: bool,
    },
}

/// One change that somebody asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditRecord {
    /// When it was asked for.
    pub at: Timestamp,
    /// What, by the platform's own word: `UpdateAutoScalingGroup`.
    pub action: Text,
    /// Of what: `group web`, `launch template lt-1`.
    pub target: Text,
    /// Who: a full name of the platform, `arn:aws:sts::123456789012:assumed-role/deploy/anna`.
    pub by: Text,
    /// From which address.
    pub from: Option<Text>,
    /// With which program, in its own words.
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
    /// What is not in an answer, in words; `None`: it is whole.
    pub fn lacks(&self) -> Option<Text> {
        match self {
            Audit::Absent(why) | Audit::Unknown(why) => Some(why.clone()),
            Audit::Said { missing: Some(why), .. } => Some(why.clone()),
            Audit::Said { missing: None, may_grow: true, .. } => {
                Some(Text::new("what was asked for a moment ago may come in later"))
            }
            Audit::Said { missing: None, may_grow: false, .. } => None,
        }
    }

    /// Whether somebody who wanted to know it all must be told that he does not.
    pub fn is_in_part(&self) -> bool {
        matches!(self, Audit::Unknown(_) | Audit::Said { missing: Some(_), .. })
    }
}

impl AuditRecord {
    /// In words, with its time.
    pub fn words(&self) -> String {
        let at = self.at.strftime("%Y-%m-%dT%H:%M:%SZ");
        let refused = self.refused.as_ref().map(|why| format!(" REFUSED ({why})")).unwrap_or_default();
        let with = self.with.as_ref().map(|with| format!(" with {}", program(with))).unwrap_or_default();
        let from = self.from.as_ref().map(|from| format!(" from {from}")).unwrap_or_default();
        format!("{at} {}{refused} of {} by {}{with}{from}", self.action, self.target, self.by)
    }
}

/// What a program calls itself, without its libraries: the name that it has given to the SDK (`app/NAME`), else as much as fits. In
/// quotes: it is its own word, and may be anything.
fn program(said: &Text) -> String {
    let said = said.split(' ').find_map(|word| word.strip_prefix("app/")).unwrap_or(said);
    let mut short: String = said.chars().take(LONGEST_PROGRAM).collect();
    if short.len() < said.len() {
        short.push_str("..");
    }
    format!("\"{}\"", short.replace('"', "'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_says_what_of_what_who_with_what_from_where_and_whether_it_was_refused() {
        let record = AuditRecord {
            at: Timestamp::from_second(1_764_000_000).expect("in range"),
            action: Text::new("UpdateAutoScalingGroup"),
            target: Text::new("group web"),
            by: Text::new("arn:aws:iam::1:user/anna"),
            from: Some(Text::new("203.0.113.7")),
            with: Some(Text::new("aws-sdk-rust/1.3.9 ua/2.1 os/linux lang/rust/1.95.0 app/rolldeck")),
            refused: None,
        };
        let by = "of group web by arn:aws:iam::1:user/anna with";
        assert_eq!(
            record.words(),
            format!("2025-11-24T16:00:00Z UpdateAutoScalingGroup {by} \"rolldeck\" from 203.0.113.7")
        );
        let with = |with: &str| AuditRecord { with: Some(Text::new(with)), from: None, ..record.clone() }.words();
        assert!(with("aws-cli/2.31").ends_with("with \"aws-cli/2.31\""));
        assert!(with(&"x".repeat(200)).ends_with(&format!("with \"{}..\"", "x".repeat(60))));
        let refused = AuditRecord { refused: Some(Text::new("AccessDenied")), ..record };
        assert!(refused.words().contains("UpdateAutoScalingGroup REFUSED (AccessDenied) of group web"));
    }
}
