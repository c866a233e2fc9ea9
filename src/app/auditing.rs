//! Whose audit log is asked: that of the happening whose detail is open, and of no other.
//!
//! Never asks while nobody looks: an audit log answers slowly, and is shared with all who ask.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use super::effect::Effect;
use super::model::Model;
use super::overlays::Overlay;
use super::rows::RowId;
use crate::domain::audit::{Audit, AuditQuestion, LATE};
use crate::domain::timeline::{Happening, HappeningId};

/// An answer that may grow, or that failed, is asked for again after this time, if somebody still looks.
const AGAIN: Duration = Duration::from_secs(60);
/// How many answers are kept; when there are more, all are asked for anew.
const MOST: usize = 5_000;

/// What audit logs have said of happenings.
#[derive(Debug, Default)]
pub struct Auditing {
    known: BTreeMap<HappeningId, Known>,
}

#[derive(Debug)]
struct Known {
    said: Option<Audit>,
    asked: Asked,
}

#[derive(Clone, Copy, Debug)]
enum Asked {
    UnderWay,
    /// It is asked again then.
    GoodUntil(Timestamp),
    /// Nothing comes to it any more.
    Whole,
}

impl Auditing {
    /// What is known of a happening.
    pub fn of(&self, row: &HappeningId) -> Option<&Audit> {
        self.known.get(row)?.said.as_ref()
    }

    /// Whether it is to be asked about now. From then on it is under way.
    fn is_due(&mut self, row: HappeningId, now: Timestamp) -> bool {
        match self.known.get_mut(&row) {
            Some(Known { asked: Asked::UnderWay | Asked::Whole, .. }) => false,
            Some(Known { asked: Asked::GoodUntil(until), .. }) if now < *until => false,
            Some(known) => {
                known.asked = Asked::UnderWay;
                true
            }
            None => {
                if self.known.len() >= MOST {
                    self.known.clear();
                }
                self.known.insert(row, Known { said: None, asked: Asked::UnderWay });
                true
            }
        }
    }

    /// An answer has come.
    pub fn heard(&mut self, row: HappeningId, question: &AuditQuestion, said: Audit, now: Timestamp) {
        let asked = match &said {
            Audit::Said(_) | Audit::SaidInPart(_) if now.duration_since(question.until).unsigned_abs() > LATE => {
                Asked::Whole
            }
            Audit::Unknown(_) | Audit::Said(_) | Audit::SaidInPart(_) => Asked::GoodUntil(now + AGAIN),
        };
        self.known.insert(row, Known { said: Some(said), asked });
    }
}

/// What is to be asked for what is looked at now.
pub(super) fn look(model: &mut Model) -> Vec<Effect> {
    let Some(Overlay::Detail(overlay)) = model.ui.overlays.last() else { return Vec::new() };
    let RowId::Happening(id) = &overlay.row else { return Vec::new() };
    let Some(question) = model.ui.screens.timeline.row(id).map(AuditQuestion::about) else { return Vec::new() };
    let is_due = model.auditing.is_due(id.clone(), model.now);
    if is_due { vec![Effect::Audit(vec![(id.clone(), question)])] } else { Vec::new() }
}

/// What is to be asked for these rows.
pub fn about<'a>(rows: impl Iterator<Item = &'a Happening>) -> Vec<(HappeningId, AuditQuestion)> {
    rows.map(|row| (row.id(), AuditQuestion::about(row))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::id::{PlaceId, WorkloadId, WorkloadKind};
    use crate::domain::text::Text;
    use crate::domain::timeline::Happened;

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

    #[test]
    fn what_may_still_grow_is_asked_again_and_what_can_not_is_not() {
        let (row, mut auditing) = (happening(0), Auditing::default());
        let question = AuditQuestion::about(&row);
        assert_eq!((question.from, question.until), (at(-900), at(300)));
        assert!(auditing.is_due(row.id(), at(10)));
        assert!(!auditing.is_due(row.id(), at(500)), "it is under way");
        auditing.heard(row.id(), &question, Audit::Said(Vec::new()), at(500));
        assert_eq!(auditing.of(&row.id()), Some(&Audit::Said(Vec::new())));
        assert!(!auditing.is_due(row.id(), at(559)));
        assert!(auditing.is_due(row.id(), at(560)), "a record comes up to a quarter of an hour late");
        assert!(auditing.of(&row.id()).is_some(), "what was said is shown meanwhile");
        auditing.heard(row.id(), &question, Audit::Said(Vec::new()), at(1_201));
        assert!(!auditing.is_due(row.id(), at(100_000)));
        assert!(auditing.is_due(happening(1).id(), at(100_000)), "another row");
    }

    #[test]
    fn what_failed_is_asked_again_however_old_it_is() {
        let (row, mut auditing) = (happening(0), Auditing::default());
        assert!(auditing.is_due(row.id(), at(90_000)));
        auditing.heard(row.id(), &AuditQuestion::about(&row), Audit::Unknown(Text::new("not granted")), at(90_000));
        assert!(!auditing.is_due(row.id(), at(90_059)) && auditing.is_due(row.id(), at(90_060)));
    }
}
