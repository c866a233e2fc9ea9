//! An instance as its provider reports it.
//!
//! Never says whether the instance is as it should be.

use std::ops::Deref;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Role;
use crate::domain::id::{Uid, WorkloadKind};
use crate::domain::image::{ImageId, ImageRef};
use crate::domain::text::Text;

/// The life of an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Not placed or not started yet.
    Pending,
    /// Started.
    Running,
    /// Asked to end; still there.
    Draining,
    /// Ended well; it counts for nothing.
    Succeeded,
    /// Ended badly.
    Failed,
    /// The provider doesn't know.
    Unknown,
}

/// Whether an instance can do its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// Ready, by its platform's own measure.
    Healthy,
    /// Not ready.
    Unhealthy,
    /// Nobody can tell (its node is gone).
    Unknown,
}

/// One instance as its provider reports it.
#[derive(Clone, Debug, PartialEq, Hash)]
pub struct InstanceSeen {
    /// Its incarnation.
    pub uid: Uid,
    /// What owns it: a workload or one of its revisions. `None`: nothing does.
    pub owner: Option<Arc<Owner>>,
    /// The service that its own labels name; counts only where its owner can't be read.
    pub service: Text,
    /// Its namespace, where there are any.
    pub namespace: Option<Text>,
    /// Its name.
    pub name: Text,
    /// The revision that made it, by name or hash, where the owner does not tell (`controller-revision-hash`).
    pub revision: Option<Text>,
    /// Where its life is.
    pub phase: Phase,
    /// Whether it works.
    pub health: Health,
    /// Why it does not, in the platform's words.
    pub reason: Option<Text>,
    /// The platform it runs on (`linux/arm64`), where known; digests differ by it.
    pub platform: Option<Text>,
    /// What it runs, container by container.
    pub containers: Containers,
    /// When it started.
    pub started_at: Option<Timestamp>,
    /// How often its containers were restarted.
    pub restarts: u32,
    /// How it was changed after its start (an ephemeral container), if it was.
    pub touched: Option<Text>,
}

/// What owns an instance, as the instance says. Instances of one revision share it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Owner {
    /// The owner's uid.
    pub uid: Uid,
    /// Its kind; `Unknown` for kinds of other programs.
    pub kind: WorkloadKind,
    /// Its kind in its own words, and its name: `Sandbox/one`.
    pub name: Text,
}

/// The containers of an instance. Instances of one revision have equal lists, so the list is shared.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Containers(Arc<[ContainerSeen]>);

/// One container of an instance.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ContainerSeen {
    /// Its name.
    pub name: Text,
    /// What it is.
    pub role: Role,
    /// The image that this instance asks for.
    pub asked: Option<ImageRef>,
    /// The image that it runs, exactly; `None` if the platform doesn't say (not pulled yet).
    pub running: Option<ImageId>,
}

impl From<Vec<ContainerSeen>> for Containers {
    fn from(list: Vec<ContainerSeen>) -> Containers {
        Containers(list.into())
    }
}

impl Deref for Containers {
    type Target = [ContainerSeen];
    fn deref(&self) -> &[ContainerSeen] {
        &self.0
    }
}

impl<'a> IntoIterator for &'a Containers {
    type Item = &'a ContainerSeen;
    type IntoIter = std::slice::Iter<'a, ContainerSeen>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

impl Health {
    /// The word that scripts hold on to.
    pub fn as_str(self) -> &'static str {
        match self {
            Health::Healthy => "healthy",
            Health::Unhealthy => "unhealthy",
            Health::Unknown => "unknown",
        }
    }
}

impl Phase {
    /// The word that scripts hold on to.
    pub fn as_str(self) -> &'static str {
        match self {
            Phase::Pending => "pending",
            Phase::Running => "running",
            Phase::Draining => "draining",
            Phase::Succeeded => "succeeded",
            Phase::Failed => "failed",
            Phase::Unknown => "unknown",
        }
    }

    /// Whether an instance in this phase counts as one of its workload's. One that drains does not: it is on its way
    /// out, and its replacement is counted; one that has ended is none any more.
    pub fn is_counted(self) -> bool {
        matches!(self, Phase::Pending | Phase::Running | Phase::Unknown)
    }
}
