//! What providers report: plain facts about workloads, their earlier versions and their instances, in batches.
//!
//! Never carries a judgement. All text in here has passed `Text`; nothing of a batch was shown before it was fetched.

mod canary;
mod instance;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::id::{PlaceId, Uid, WorkloadKind};
use super::image::ImageRef;
use super::keeper::{KeeperName, KeeperSeen};
use super::look::LookCommands;
use super::text::Text;
pub use canary::{Canary, Halt};
pub use instance::{ContainerSeen, Containers, Health, InstanceSeen, Owner, Phase};

/// Facts of one place, fetched at one time, in the order in which they hold.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// The place that was asked.
    pub place: PlaceId,
    /// When the answer came, on our clock. An operation believes only batches fetched after its request was accepted.
    pub fetched_at: Timestamp,
    /// The facts.
    pub observations: Vec<Observation>,
}

/// One list of a provider (`pods`, `replicasets`). It is the only authority for the rows that it reported: when it has
/// been listed again, its rows that were not in the new list are gone, and no others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Source(pub &'static str);

impl Source {
    /// Whether instances, or what they should run, are missing where it can't be read. The rest only explains rows, or is of
    /// kinds that a role may well leave out.
    pub fn has_rows(self) -> bool {
        const ROWS: [&str; 9] = [
            "pods",
            "groups",
            "machines",
            "instance refreshes",
            "launch templates",
            "launch configurations",
            "services",
            "service deployments",
            "tasks",
        ];
        ROWS.contains(&self.0)
    }
}

/// One fact.
#[derive(Clone, Debug, PartialEq)]
pub enum Observation {
    /// A list begins. Until it is finished its rows are kept aside, unless nothing was ever known.
    ListStarted(Source),
    /// A list is complete: it replaces what that source had said before, at once.
    ListFinished(Source),
    /// How far a first list is, for the screen.
    Loading {
        /// The list.
        source: Source,
        /// Rows so far.
        seen: u64,
        /// Rows to come, if the server said so.
        remaining: Option<u64>,
    },
    /// A workload is like this.
    Workload(Source, Box<WorkloadSeen>),
    /// An earlier or current version of a workload is like this.
    Revision(Source, Box<RevisionSeen>),
    /// An instance is like this.
    Instance(Source, Box<InstanceSeen>),
    /// Something that keeps workloads is like this.
    Keeper(Source, Box<KeeperSeen>),
    /// The instance with this uid is as this source last reported it.
    Still(Source, Uid),
    /// The thing with this uid, reported by this source, is gone.
    Gone(Source, Uid),
    /// How the place answers.
    Place(PlaceState),
    /// The place answered, and nothing had changed.
    Heartbeat,
    /// Who we are there, which server, what we may do.
    Identity(Box<PlaceIdentity>),
    /// One kind of thing can't be read there, and why; the others go on.
    Limited(Source, Text),
    /// How many requests were sent there within the last minute.
    Calls(u32),
}

/// How a place answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", content = "reason", rename_all = "snake_case")]
pub enum PlaceState {
    /// Never complete so far; rows may be missing.
    Loading,
    /// Complete and answering.
    Live,
    /// Answered before, does not now; its last data is kept.
    Stale(Text),
    /// Never answered.
    Unreachable(Text),
    /// Answers, but lets us see nothing.
    Forbidden(Text),
    /// The credentials are no longer accepted; the text says how to sign in again.
    AuthExpired(Text),
    /// Can't work as configured.
    Misconfigured(Text),
    /// Known, but nobody asked for it.
    NotConnected,
}

/// Who we are in a place and what is possible there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PlaceIdentity {
    /// The account, project or cluster address.
    pub account: Option<Text>,
    /// The user, role or token name, never a secret.
    pub identity: Option<Text>,
    /// Version of the server.
    pub server: Option<Text>,
    /// What stands out: `INSECURE`, `impersonating X`, `only namespace shop`.
    pub notes: Vec<Text>,
    /// What can be done there.
    pub can: Vec<Text>,
    /// What can't be done there, and why.
    pub cannot: Vec<(Text, Text)>,
    /// The platform's own commands that look at things there, where it has any.
    pub look: Option<LookCommands>,
}

/// What a container is in its instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Part of the template, runs all the time.
    App,
    /// An init container that keeps running (`restartPolicy: Always`).
    Sidecar,
    /// Runs before the others and ends.
    Init,
    /// Not in the template: added at admission (a mesh proxy). Judged by nobody's template.
    Injected,
    /// An ephemeral container, added by hand.
    Debug,
}

/// One container as a template asks for it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ContainerSpec {
    /// Its name.
    pub name: Text,
    /// What it is.
    pub role: Role,
    /// The image asked for; `None` if the reference could not be understood.
    pub image: Option<ImageRef>,
}

/// A stable hash over a whole template. Equal hashes are equal templates.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TemplateHash(pub Text);

/// What a workload's template asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    /// Over the whole template, in the provider's canonical form.
    pub hash: TemplateHash,
    /// Its containers, init containers last, in their own order.
    pub containers: Vec<ContainerSpec>,
    /// The human version that its labels or annotations name (`app.kubernetes.io/version`), where known.
    pub version: Option<Text>,
    /// What would make the next launch differ from this one (a mutable tag, `$Latest`).
    pub latent: Option<Text>,
}

/// How far a change of the template has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rollout {
    /// Nothing is moving.
    Stable,
    /// Instances are being replaced.
    Progressing,
    /// Held where it is.
    Paused,
    /// The platform gave up waiting (`ProgressDeadlineExceeded`).
    Failed(Text),
}

/// A rollout that runs, where its platform tells it apart from others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Running {
    /// Its own id: another rollout has another.
    pub id: Text,
    /// What, how far, since when: `instance refresh 08a1 (InProgress, 34%) since 2026-11-26 13:01 UTC`.
    pub what: Text,
    /// What may begin while it runs.
    pub yields: Yields,
}

/// Whether a rollout makes room for another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Yields {
    /// For any.
    ToAny,
    /// Only for its own way back to this template, where it has one. For all else it must be ended first.
    ToWayBack(Option<TemplateHash>),
}

impl Yields {
    /// Whether a rollout to this template may begin.
    pub fn allows(&self, target: &TemplateHash) -> bool {
        match self {
            Yields::ToAny => true,
            Yields::ToWayBack(back) => back.as_ref() == Some(target),
        }
    }
}

/// How the platform replaces instances, in its own words.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Strategy {
    /// `RollingUpdate`, `Recreate`, `OnDelete`.
    pub kind: Text,
    /// How many may be missing: a number or a percentage.
    pub max_unavailable: Option<Text>,
    /// How many may run on top: a number or a percentage.
    pub max_surge: Option<Text>,
    /// Instances whose number is lower than this stay as they are (StatefulSet); 0: none does.
    #[serde(default)]
    pub partition: u32,
    /// The number of its first instance (StatefulSet); a partition counts from there.
    #[serde(default)]
    pub first_number: u32,
}

/// Who last set the image in the workload's template (Kubernetes: managedFields).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct FieldOwner {
    /// The manager's name.
    pub manager: Text,
    /// Whether it applies (and takes the field back), or updated once.
    pub applies: Applies,
}

/// How a manager holds a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Applies {
    /// Server-side apply: it states its wish again and again.
    Continuously,
    /// A single write.
    Once,
}

/// Who would undo a change made here, and how fast.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Undoer {
    /// Its name: `Argo CD`, `Flux`, `Helm`.
    pub by: Text,
    /// What it would do.
    pub what: Text,
    /// How soon.
    pub how_fast: Text,
    /// What could be suspended so that it does not, if there is such a thing.
    #[serde(default)]
    pub keeper: Option<KeeperName>,
}

/// A workload as its provider reports it.
#[derive(Clone, Debug, PartialEq)]
pub struct WorkloadSeen {
    /// Its incarnation.
    pub uid: Uid,
    /// What it is.
    pub kind: WorkloadKind,
    /// Its namespace, where there are any.
    pub namespace: Option<Text>,
    /// Its own name.
    pub name: Text,
    /// The service that it belongs to; see `expectation::ServiceKeys`.
    pub service: Text,
    /// What it asks for.
    pub template: Template,
    /// The container that its owner calls the main one.
    pub main_container: Option<Text>,
    /// The annotation `rolldeck.dev/expected-image`, as written.
    pub expected_annotation: Option<Text>,
    /// Counts each change of what is asked for.
    pub generation: u64,
    /// The newest generation that its controller has taken up.
    pub observed_generation: u64,
    /// How many instances it should have.
    pub desired: u32,
    /// How far it is.
    pub rollout: Rollout,
    /// The rollout that runs now, as far as it can be told from others.
    pub running: Option<Running>,
    /// The steps that its rollouts take, where its platform knows such a thing.
    pub canary: Option<Canary>,
    /// How it replaces.
    pub strategy: Strategy,
    /// Who owns the image field.
    pub owners: Vec<FieldOwner>,
    /// Who would undo us.
    pub undoers: Vec<Undoer>,
    /// When its template last changed, as far as the provider can tell.
    pub requested_since: Option<Timestamp>,
    /// The operation that last changed it, if it was a Rolldeck's.
    pub touched_by: Option<Text>,
    /// Why it can't be operated by this program, if so.
    pub inoperable: Option<Text>,
    /// Why its platform can't start what it should, in the platform's words: no capacity, a quota, an image that is gone.
    pub trouble: Option<Text>,
}

/// A version of a workload that its platform still knows (a ReplicaSet, a ControllerRevision).
#[derive(Clone, Debug, PartialEq)]
pub struct RevisionSeen {
    /// The revision's own uid; instances may name it as their owner.
    pub uid: Uid,
    /// The workload's uid.
    pub workload: Uid,
    /// Its number, as the platform counts; rises when an old version comes back.
    pub number: u64,
    /// The numbers that it had before it came back.
    pub past_numbers: Vec<u64>,
    /// What it asked for.
    pub template: Template,
    /// When it was first made.
    pub created_at: Option<Timestamp>,
    /// Why it was made, in its author's words (`kubernetes.io/change-cause`).
    pub cause: Option<Text>,
    /// Why its platform's own records speak against it, where they do (an instance refresh to it was rolled back).
    pub left: Option<Text>,
    /// From when on its platform calls its image deprecated: whoever keeps it may take it away then.
    pub deprecated_at: Option<Timestamp>,
    /// What its instances call it (`InstanceSeen::revision`), where they name the workload itself as their owner.
    pub label: Option<Text>,
}

impl RevisionSeen {
    /// Whether this instance was made from it.
    pub fn made(&self, instance: &InstanceSeen) -> bool {
        let Some(owner) = &instance.owner else { return false };
        let is_called_so = self.label.is_some() && self.label == instance.revision;
        owner.uid == self.uid || (is_called_so && owner.uid == self.workload)
    }
}

impl PlaceState {
    /// The word that scripts hold on to.
    pub fn as_str(&self) -> &'static str {
        match self {
            PlaceState::Loading => "loading",
            PlaceState::Live => "live",
            PlaceState::Stale(_) => "stale",
            PlaceState::Unreachable(_) => "unreachable",
            PlaceState::Forbidden(_) => "forbidden",
            PlaceState::AuthExpired(_) => "auth_expired",
            PlaceState::Misconfigured(_) => "misconfigured",
            PlaceState::NotConnected => "not_connected",
        }
    }

    /// Why it is not live, where there is something to say.
    pub fn reason(&self) -> Option<&Text> {
        match self {
            PlaceState::Stale(reason)
            | PlaceState::Unreachable(reason)
            | PlaceState::Forbidden(reason)
            | PlaceState::AuthExpired(reason)
            | PlaceState::Misconfigured(reason) => Some(reason),
            PlaceState::Loading | PlaceState::Live | PlaceState::NotConnected => None,
        }
    }

    /// Whether its data is complete and fresh.
    pub fn is_live(&self) -> bool {
        matches!(self, PlaceState::Live)
    }
}

impl Role {
    /// The word that scripts hold on to.
    pub fn as_str(self) -> &'static str {
        match self {
            Role::App => "app",
            Role::Sidecar => "sidecar",
            Role::Init => "init",
            Role::Injected => "injected",
            Role::Debug => "debug",
        }
    }

    /// Whether the image of such a container says what the instance is now: an init container has ended, a debug
    /// container is a mark of its own (`touched`), an injected one belongs to somebody else.
    pub fn is_judged(self) -> bool {
        matches!(self, Role::App | Role::Sidecar)
    }
}
