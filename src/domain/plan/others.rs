//! Operations of other machines, seen by the mark that they leave on what they change: `OPERATION WHO TIME`.
//!
//! Never knows what such an operation is doing: it says whom to ask.

use std::time::Duration;

use jiff::Timestamp;

use super::choose::check;
use super::{Check, CheckVerdict, Plan};
use crate::domain::fleet::Fleet;
use crate::domain::id::OperationId;
use crate::domain::observation::Rollout;
use crate::domain::text::Text;

/// How long after its mark an operation may well be going on.
const FRESH: Duration = Duration::from_secs(3600);

/// The mark of an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Marked {
    /// Which.
    pub operation: OperationId,
    /// Who started it.
    pub who: Text,
    /// When it last changed the workload.
    pub at: Option<Timestamp>,
}

impl Marked {
    /// From the mark as it stands on a workload.
    pub fn of(mark: &str) -> Option<Marked> {
        let mut words = mark.split_whitespace();
        let operation = OperationId(Text::new(words.next()?));
        let who = Text::new(words.next().unwrap_or("somebody"));
        Some(Marked { operation, who, at: words.next().and_then(|at| at.parse().ok()) })
    }

    /// Whether a mark is that of this operation.
    pub fn is_by(mark: Option<&Text>, operation: &OperationId) -> bool {
        mark.and_then(|mark| Marked::of(mark)).is_some_and(|marked| marked.operation == *operation)
    }
}

impl Plan {
    /// Warns where another machine's operation has changed a workload of this plan a moment ago, or moves it now.
    pub fn look_at_others(&mut self, fleet: &Fleet, now: Timestamp, is_ours: &dyn Fn(&OperationId) -> bool) {
        let mut warnings: Vec<Check> = Vec::new();
        for step in self.steps().filter(|step| step.action.replaces()) {
            let Some(seen) = fleet.workload(&step.workload).map(|workload| &workload.seen) else { continue };
            let marked = seen.touched_by.as_deref().and_then(Marked::of);
            let Some(marked) = marked.filter(|marked| !is_ours(&marked.operation)) else { continue };
            let is_fresh = marked.at.is_some_and(|at| now.duration_since(at).unsigned_abs() <= FRESH);
            if is_fresh || seen.rollout == Rollout::Progressing {
                let at = marked.at.map(|at| format!(" at {}", at.strftime("%Y-%m-%d %H:%M UTC"))).unwrap_or_default();
                let detail = format!(
                    "{}: {} of {}, on another machine, last changed it{at}: ask before you act",
                    step.workload, marked.operation, marked.who
                );
                warnings.push(check("others", CheckVerdict::Warn, detail));
            }
        }
        warnings.dedup();
        self.checks.extend(warnings);
    }
}
