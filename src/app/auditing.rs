//! Whose audit log is asked: that of the happening whose detail is open, and of no other.
//!
//! Never asks while nobody looks, and never about two at a time: an audit log answers slowly, and is shared with all who ask.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use super::effect::Effect;
use super::model::Model;
use super::overlays::Overlay;
use super::rows::RowId;
use crate::domain::audit::{Audit, AuditQuestion};
use crate::domain::timeline::HappeningId;

/// An answer that may grow, or that failed, is asked for again after this time, if somebody still looks.
const AGAIN: Duration = Duration::from_secs(60);
/// How many answers are kept; when there are more, all are asked for anew.
const MOST: usize = 5_000;

/// What audit logs have said of happenings.
#[derive(Debug, Default)]
pub struct Auditing {
    known: BTreeMap<HappeningId, Known>,
    /// What the detail asks about.
    under_way: Option<HappeningId>,
}

#[derive(Debug)]
struct Known {
    said: Audit,
    /// It is asked again then; `None`: nothing comes to it any more.
    good_until: Option<Timestamp>,
}

impl Auditing {
    /// What is known of a happening.
    pub fn of(&self, row: &HappeningId) -> Option<&Audit> {
        self.known.get(row).map(|known| &known.said)
    }

    /// Whether it is to be asked about now. From then on it is under way.
    fn is_due(&mut self, row: &HappeningId, now: Timestamp) -> bool {
        let is_good = self.known.get(row).is_some_and(|known| known.good_until.is_none_or(|until| now < until));
        let is_due = self.under_way.is_none() && !is_good;
        if is_due {
            self.under_way = Some(row.clone());
        }
        is_due
    }

    /// An answer has come.
    pub fn heard(&mut self, row: HappeningId, said: Audit, now: Timestamp) {
        if self.under_way.as_ref() == Some(&row) {
            self.under_way = None;
        }
        let is_final = matches!(said, Audit::Absent(_)) || said.lacks().is_none();
        let good_until = (!is_final).then(|| now + AGAIN);
        if self.known.len() >= MOST {
            self.known.clear();
        }
        self.known.insert(row, Known { said, good_until });
    }
}

/// What is to be asked for what is looked at now.
pub(super) fn look(model: &mut Model) -> Vec<Effect> {
    let Some(Overlay::Detail(overlay)) = model.ui.overlays.last() else { return Vec::new() };
    let RowId::Happening(id) = &overlay.row else { return Vec::new() };
    let Some(question) = model.ui.screens.timeline.row(id).map(AuditQuestion::about) else { return Vec::new() };
    let is_due = model.auditing.is_due(id, model.now);
    if is_due { vec![Effect::Audit(vec![(id.clone(), question)])] } else { Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::id::{PlaceId, WorkloadId, WorkloadKind};
    use crate::domain::text::Text;
    use crate::domain::timeline::{Happened, Happening};

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_000_000 + second).expect("in range")
    }

    fn happening(second: i64) -> Happening {
        Happening {
            at: at(second),
            after: None,
            workload: WorkloadId {
                place: PlaceId::new("aws/here"),
                namespace: None,
                kind: WorkloadKind::AutoScalingGroup,
                name: Text::new("web"),
            },
            service: Text::new("web"),
            what: Happened::Requested,
            container: None,
            image: None,
            reference: None,
            version: None,
            by: None,
            detail: Text::default(),
        }
    }

    fn said(missing: Option<&str>) -> Audit {
        Audit::Said { records: Vec::new(), missing: missing.map(Text::new), may_grow: false }
    }

    #[test]
    fn what_may_still_grow_is_asked_again_and_what_can_not_is_not() {
        let (row, mut auditing) = (happening(0), Auditing::default());
        let question = AuditQuestion::about(&row);
        assert_eq!((question.from, question.until), (at(-900), at(300)));
        assert!(auditing.is_due(&row.id(), at(10)));
        assert!(!auditing.is_due(&row.id(), at(500)), "it is under way");
        auditing.heard(row.id(), said(Some("late")), at(500));
        assert!(!auditing.is_due(&row.id(), at(559)));
        assert!(auditing.is_due(&row.id(), at(560)));
        assert_eq!(auditing.of(&row.id()), Some(&said(Some("late"))), "what was said is shown meanwhile");
        auditing.heard(row.id(), said(None), at(1_201));
        assert!(!auditing.is_due(&row.id(), at(100_000)));
        assert!(auditing.is_due(&happening(1).id(), at(100_000)), "another row");
    }

    #[test]
    fn what_failed_is_asked_again_what_is_not_there_is_not_and_never_two_at_a_time() {
        let (one, other, mut auditing) = (happening(0), happening(1), Auditing::default());
        assert!(auditing.is_due(&one.id(), at(0)) && !auditing.is_due(&other.id(), at(0)));
        auditing.heard(other.id(), said(None), at(1));
        assert!(!auditing.is_due(&happening(2).id(), at(1)), "the one that the detail asks about is still under way");
        auditing.heard(one.id(), Audit::Unknown(Text::new("not granted")), at(1));
        assert!(!auditing.is_due(&one.id(), at(60)) && auditing.is_due(&one.id(), at(61)));
        auditing.heard(one.id(), Audit::Absent(Text::new("there is none")), at(62));
        assert!(!auditing.is_due(&one.id(), at(100_000)));
    }
}
