//! Expected and running compared: a verdict for each instance, a judgement for each workload.
//!
//! Never calls unknown ok. Where two digests can't be compared without a registry it says so (`unknown`).

mod measure;
mod next_run;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::expectation::Expectation;
use super::history::Version;
use super::image::{ImageId, ImageRef};
use super::observation::Health;
use super::text::Text;
pub use measure::Measure;
pub use next_run::{NextRun, next_run};

/// The verdict over an instance or, as the worst of its instances, over a row. Ordered from best to worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Runs what it should.
    Ok,
    /// No data, or the two sides can't be compared.
    Unknown,
    /// A rollout is on its way.
    Mixed,
    /// Nothing is declared; it differs from the majority of its workload.
    Outlier,
    /// Runs something else than declared.
    Drift,
    /// Runs an image that is banned.
    Quarantined,
}

/// Counts of instances by verdict. A pod counts once, with its worst container.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// All that count.
    pub instances: u32,
    /// `ok`.
    pub ok: u32,
    /// `drift`.
    pub drift: u32,
    /// `mixed`.
    pub mixed: u32,
    /// `outlier`.
    pub outlier: u32,
    /// `unknown`.
    pub unknown: u32,
    /// `quarantined`.
    pub quarantined: u32,
    /// Mixed ones whose rollout does not go on by itself; they count as off.
    pub overdue: u32,
    /// Healthy ones.
    pub healthy: u32,
    /// How many there should be.
    pub desired: u32,
}

/// A remark on a row beside its verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mark {
    /// It matches now, but the next launch would not have to.
    Latent,
    /// It was changed after its start.
    Touched,
    /// A rollout is held.
    Paused,
    /// The platform gave up on the rollout.
    Failed,
    /// A rollout is moving.
    Rolling,
    /// Somebody has locked it: it is not operated, or not moved away from its version.
    Locked,
    /// Somebody knows that it is off.
    Snoozed,
}

/// Instances of a workload that run one image in its main container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cohort {
    /// The exact image; `None` if it is not known (yet).
    pub image: Option<ImageId>,
    /// How it was asked for by most of them.
    pub reference: Option<ImageRef>,
    /// How many.
    pub instances: u32,
    /// Their verdict on the main container, the worst of them.
    pub verdict: Verdict,
}

/// What is said of a workload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// The worst of its instances.
    pub verdict: Verdict,
    /// Why, in words.
    pub reason: Text,
    /// By verdict.
    pub tally: Tally,
    /// The container that its row shows.
    pub main: Text,
    /// What should run there.
    pub expected: Option<Expectation>,
    /// The exact image that the template asks for: pinned, or learnt from an instance of the current revision.
    pub requested: Option<ImageId>,
    /// What runs there.
    pub running: Vec<Cohort>,
    /// The versions that the labels of its images name.
    pub labels: Vec<(ImageId, Text)>,
    /// Since when something is off, as far as the instances show.
    pub since: Option<Timestamp>,
    /// Remarks.
    pub marks: Vec<Mark>,
    /// Its versions, newest first, each with its evidence or why it is none to go back to.
    pub versions: Vec<Version>,
    /// The last good one's place in `versions`.
    pub last_good: Option<usize>,
}

/// The verdict over one instance, with the reason in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstanceVerdict {
    /// The worst of its containers.
    pub verdict: Verdict,
    /// Why.
    pub reason: Text,
}

impl Verdict {
    /// Every verdict, best first.
    pub const ALL: [Verdict; 6] =
        [Verdict::Ok, Verdict::Unknown, Verdict::Mixed, Verdict::Outlier, Verdict::Drift, Verdict::Quarantined];

    /// The word that screens and scripts use.
    pub fn as_str(self) -> &'static str {
        match self {
            Verdict::Ok => "ok",
            Verdict::Unknown => "unknown",
            Verdict::Mixed => "mixed",
            Verdict::Outlier => "outlier",
            Verdict::Drift => "drift",
            Verdict::Quarantined => "quarantined",
        }
    }
}

impl Tally {
    /// Instances that are off: quarantined, drift, outlier, and mixed past its deadline.
    pub fn off(&self) -> u32 {
        self.quarantined + self.drift + self.outlier + self.overdue
    }

    /// Instances that should be there and healthy, and are not.
    pub fn unhealthy(&self) -> u32 {
        self.desired.max(self.instances).saturating_sub(self.healthy)
    }

    /// The worst verdict counted; nothing at all is `ok` only where nothing is wanted.
    pub fn worst(&self) -> Verdict {
        match self {
            _ if self.quarantined > 0 => Verdict::Quarantined,
            _ if self.drift > 0 => Verdict::Drift,
            _ if self.outlier > 0 => Verdict::Outlier,
            _ if self.mixed > 0 => Verdict::Mixed,
            _ if self.unknown > 0 || (self.instances == 0 && self.desired > 0) => Verdict::Unknown,
            _ => Verdict::Ok,
        }
    }

    /// Counts one instance.
    pub fn count(&mut self, verdict: Verdict, health: Health) {
        self.instances += 1;
        self.healthy += u32::from(health == Health::Healthy);
        match verdict {
            Verdict::Ok => self.ok += 1,
            Verdict::Unknown => self.unknown += 1,
            Verdict::Mixed => self.mixed += 1,
            Verdict::Outlier => self.outlier += 1,
            Verdict::Drift => self.drift += 1,
            Verdict::Quarantined => self.quarantined += 1,
        }
    }

    /// Both together.
    pub fn plus(self, other: Tally) -> Tally {
        self.combine(other, u32::saturating_add)
    }

    /// This one without the other, which was counted into it before.
    pub fn minus(self, other: Tally) -> Tally {
        self.combine(other, u32::saturating_sub)
    }

    fn combine(self, other: Tally, with: fn(u32, u32) -> u32) -> Tally {
        Tally {
            instances: with(self.instances, other.instances),
            ok: with(self.ok, other.ok),
            drift: with(self.drift, other.drift),
            mixed: with(self.mixed, other.mixed),
            outlier: with(self.outlier, other.outlier),
            unknown: with(self.unknown, other.unknown),
            quarantined: with(self.quarantined, other.quarantined),
            overdue: with(self.overdue, other.overdue),
            healthy: with(self.healthy, other.healthy),
            desired: with(self.desired, other.desired),
        }
    }
}
