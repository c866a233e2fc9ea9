//! How bad a workload is: the order of the start screen, and what "the worst of a service" means (DESIGN section 6).
//!
//! Never judges: it puts into an order what was judged.

use std::cmp::Ordering;
use std::time::Duration;

use jiff::Timestamp;

use super::{Fleet, Workload};
use crate::domain::drift::{Mark, Verdict};
use crate::domain::history::OwnVerdict;
use crate::domain::image::ImageRef;
use crate::domain::observation::Rollout;
use crate::domain::text::Text;

/// How bad a workload is, worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Badness {
    /// Instances are off and instances are not healthy.
    OffAndUnhealthy,
    /// Instances are not healthy, or missing.
    Unhealthy,
    /// Instances are off.
    Off,
    /// Nothing is known of it.
    Unknown,
    /// Instances are off, and somebody has said that this is known.
    Snoozed,
    /// None of that.
    Fine,
}

impl Fleet {
    /// How bad a workload is. Instances that are not ready while their rollout moves and is younger than `lately` are no
    /// trouble yet: every ordinary rollout has some, and one that sticks is off by its deadline.
    pub fn badness(&self, workload: &Workload, now: Timestamp, lately: Duration) -> Badness {
        let tally = workload.judgement.tally;
        let is_on_its_way = workload.seen.rollout == Rollout::Progressing && workload.is_changed_within(now, lately);
        // Nothing seen where nobody answers is not known; nothing seen where somebody does is missing.
        let is_live = self.place(&workload.id.place).is_some_and(|place| place.state.is_live());
        let is_unhealthy = tally.unhealthy() > 0 && !is_on_its_way && (tally.instances > 0 || is_live);
        let is_snoozed = workload.judgement.marks.contains(&Mark::Snoozed);
        match (workload.judgement.is_off(), is_unhealthy, workload.judgement.verdict) {
            (true, true, _) => Badness::OffAndUnhealthy,
            (false, true, _) => Badness::Unhealthy,
            // What runs a banned image is never put off, nor what is not healthy.
            (true, false, verdict) if verdict != Verdict::Quarantined && is_snoozed => Badness::Snoozed,
            (true, false, _) => Badness::Off,
            (false, false, Verdict::Unknown) => Badness::Unknown,
            (false, false, _) => Badness::Fine,
        }
    }

    /// Orders the workloads of one service: the worst first, among equals the one that changed last; one that an operation
    /// of ours went back in is not what anybody means by the bad one.
    pub fn worst_first(&self, a: &Workload, b: &Workload, now: Timestamp, lately: Duration) -> Ordering {
        self.badness(a, now, lately)
            .cmp(&self.badness(b, now, lately))
            .then_with(|| self.was_gone_to(a).cmp(&self.was_gone_to(b)))
            // Who names a service means what serves, unless its runs are what is bad.
            .then_with(|| a.id.kind.has_runs().cmp(&b.id.kind.has_runs()))
            .then_with(|| b.seen.requested_since.cmp(&a.seen.requested_since))
            .then_with(|| b.judgement.tally.off().cmp(&a.judgement.tally.off()))
            .then_with(|| a.id.cmp(&b.id))
    }
}

impl Fleet {
    fn was_gone_to(&self, workload: &Workload) -> bool {
        let own = self.record_of(&workload.id).and_then(|record| record.0.get(&workload.seen.template.hash));
        own == Some(&OwnVerdict::WentTo)
    }
}

impl Workload {
    /// What a person calls the release that it asks for: what its template says, else the tag.
    pub fn called(&self) -> Option<Text> {
        let requested = self.judgement.requested.as_ref();
        let labelled = self.judgement.labels.iter().find(|(image, _)| Some(image) == requested);
        let named = labelled.map(|(_, name)| name.clone()).or_else(|| self.seen.template.version.clone());
        named.or_else(|| self.requested().and_then(ImageRef::version))
    }

    /// Whether two workloads ask for the same release in their main containers: the same image, or the same tag of one
    /// repository (digests of one release differ by registry). A machine image has an id of its own in each region, and
    /// none that a container image could have: there the release's name alone can tell.
    pub fn asks_like(&self, other: &Workload) -> bool {
        let same_image = self.judgement.requested.is_some() && self.judgement.requested == other.judgement.requested;
        let same_name = self.requested().zip(other.requested()).is_some_and(|(mine, theirs)| {
            mine.asks_same(theirs)
                || (mine.is_same_repository(theirs) && mine.tag().is_some() && mine.tag() == theirs.tag())
        });
        let has_machine = [self, other].iter().any(|one| one.requested().is_some_and(ImageRef::is_machine));
        let same_call = has_machine && self.called().is_some() && self.called() == other.called();
        same_image || same_name || same_call
    }
}
