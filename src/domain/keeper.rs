//! What stands beside a workload and keeps it as somebody else wants it: GitOps applications that put back what is in Git,
//! autoscalers that decide how many instances there are.
//!
//! Never changes one: it says what it does now, and what a plan may borrow from it.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::id::{PlaceId, Uid, WorkloadKind};
use super::observation::Strategy;
use super::text::Text;

/// What keeps workloads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeeperKind {
    /// `argoproj.io` Application of Argo CD.
    Application,
    /// `kustomize.toolkit.fluxcd.io` Kustomization of Flux.
    Kustomization,
    /// `helm.toolkit.fluxcd.io` HelmRelease of Flux.
    HelmRelease,
    /// `autoscaling` HorizontalPodAutoscaler.
    Autoscaler,
}

/// One keeper by name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct KeeperId {
    /// Where.
    pub place: PlaceId,
    /// What it is.
    pub kind: KeeperKind,
    /// Its own namespace, which need not be that of what it keeps.
    pub namespace: Text,
    /// Its name.
    pub name: Text,
}

/// A keeper as a workload names it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct KeeperName {
    /// What it is.
    pub kind: KeeperKind,
    /// Its namespace, where the workload says so: Argo CD leaves that of its own installation out.
    pub namespace: Option<Text>,
    /// Its name.
    pub name: Text,
}

/// A keeper as its provider reports it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeeperSeen {
    /// Its incarnation.
    pub uid: Uid,
    /// What it is.
    pub kind: KeeperKind,
    /// Its namespace.
    pub namespace: Text,
    /// Its name.
    pub name: Text,
    /// Grows with each change: a state with a lower one is older.
    pub generation: u64,
    /// What it does by itself now.
    pub setting: Setting,
    /// What an autoscaler scales: kind and name in its own namespace.
    pub scales: Option<(WorkloadKind, Text)>,
    /// What it does at this moment and brings to its end even when it is suspended, in words.
    pub busy: Option<Text>,
    /// Who may put its own setting back: whatever keeps the keeper.
    pub kept_by: Option<Text>,
    /// The operation that last changed it, if it was a Rolldeck's.
    pub touched_by: Option<Text>,
}

/// What a keeper does by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Setting {
    /// It puts back what it wants.
    Acts,
    /// It does nothing until it is told to.
    Suspended,
    /// It keeps at least so many instances.
    AtLeast(u32),
}

/// Something that a plan changes for as long as it needs it, and owes until it is as it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loan {
    /// What is changed.
    pub what: Borrowed,
    /// How long it may be kept before that is an alarm.
    pub term: Duration,
}

/// What is borrowed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Borrowed {
    /// A keeper does something else for a while.
    Keeper {
        /// Which.
        keeper: KeeperId,
        /// Its incarnation.
        uid: Uid,
        /// What it did.
        from: Setting,
        /// What it does meanwhile.
        to: Setting,
    },
    /// A workload replaces at another pace.
    Pace {
        /// How it replaced.
        from: Strategy,
        /// How it replaces meanwhile.
        to: Strategy,
    },
}

impl KeeperKind {
    /// What people call it.
    pub fn as_str(self) -> &'static str {
        match self {
            KeeperKind::Application => "Argo CD application",
            KeeperKind::Kustomization => "Flux Kustomization",
            KeeperKind::HelmRelease => "Flux HelmRelease",
            KeeperKind::Autoscaler => "autoscaler",
        }
    }
}

impl KeeperSeen {
    /// Its name in a place.
    pub fn id(&self, place: &PlaceId) -> KeeperId {
        KeeperId { place: place.clone(), kind: self.kind, namespace: self.namespace.clone(), name: self.name.clone() }
    }

    /// Whether it is as another look has shown it, whatever was written to it between the two.
    pub fn is_as(&self, other: &KeeperSeen) -> bool {
        KeeperSeen { generation: other.generation, ..self.clone() } == *other
    }
}

impl Borrowed {
    /// The same thing the other way round: what gives it back.
    pub fn turned(&self) -> Borrowed {
        match self.clone() {
            Borrowed::Keeper { keeper, uid, from, to } => Borrowed::Keeper { keeper, uid, from: to, to: from },
            Borrowed::Pace { from, to } => Borrowed::Pace { from: to, to: from },
        }
    }

    /// Whether two loans are about the same thing, whatever it is changed to. Paces are told apart by their workloads.
    pub fn is_of_same(&self, other: &Borrowed) -> bool {
        match (self, other) {
            (Borrowed::Keeper { keeper, .. }, Borrowed::Keeper { keeper: other, .. }) => keeper == other,
            (Borrowed::Pace { .. }, Borrowed::Pace { .. }) => true,
            (Borrowed::Keeper { .. }, Borrowed::Pace { .. }) | (Borrowed::Pace { .. }, Borrowed::Keeper { .. }) => {
                false
            }
        }
    }

    /// What is done to borrow it.
    pub fn as_step(&self) -> String {
        match self {
            Borrowed::Keeper { keeper, to: Setting::Suspended, .. } => format!("suspends {keeper}"),
            Borrowed::Keeper { keeper, from: Setting::AtLeast(from), to: Setting::AtLeast(to), .. } => {
                format!("raises the minimum of {keeper} from {from} to {to}")
            }
            Borrowed::Keeper { keeper, to, .. } => format!("has {keeper} {to}"),
            Borrowed::Pace { from, to } => format!("has it replace with {}", pace(from, to, true)),
        }
    }

    /// What is done to give it back.
    pub fn as_return(&self) -> String {
        match self {
            Borrowed::Keeper { keeper, from: Setting::AtLeast(from), .. } => {
                format!("gives {keeper} its minimum of {from} back")
            }
            Borrowed::Keeper { keeper, .. } => format!("lets {keeper} act again"),
            Borrowed::Pace { from, to } => format!("has it replace with {} again", pace(to, from, false)),
        }
    }

    /// What is owed meanwhile.
    pub fn as_debt(&self) -> String {
        match self {
            Borrowed::Keeper { keeper, to: Setting::Suspended, .. } => format!("{keeper} is suspended"),
            Borrowed::Keeper { keeper, from: Setting::AtLeast(from), to: Setting::AtLeast(to), .. } => {
                format!("{keeper} has a minimum of {to} instead of {from}")
            }
            Borrowed::Keeper { keeper, to, .. } => format!("{keeper} is to {to}"),
            Borrowed::Pace { from, to } => format!("it replaces with {}", pace(from, to, true)),
        }
    }
}

/// How many may be missing and how many run on top, as far as that changes.
fn pace(from: &Strategy, to: &Strategy, says_before: bool) -> String {
    let part = |what: &str, from: &Option<Text>, to: &Option<Text>| {
        let name = |value: &Option<Text>| value.as_ref().map_or("its default".to_string(), ToString::to_string);
        let before = if says_before { format!(" instead of {}", name(from)) } else { String::new() };
        (from != to).then(|| format!("{what} {}{before}", name(to)))
    };
    let parts = [
        part("max unavailable", &from.max_unavailable, &to.max_unavailable),
        part("max surge", &from.max_surge, &to.max_surge),
    ];
    parts.into_iter().flatten().collect::<Vec<String>>().join(", ")
}

impl fmt::Display for KeeperId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}/{}", self.kind.as_str(), self.namespace, self.name)
    }
}

impl fmt::Display for Setting {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Setting::Acts => formatter.write_str("act by itself"),
            Setting::Suspended => formatter.write_str("do nothing"),
            Setting::AtLeast(count) => write!(formatter, "keep at least {count}"),
        }
    }
}
