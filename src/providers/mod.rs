//! The code that speaks to places: one folder for each kind of place, one line in `KINDS`.
//!
//! Never judges and never decides: a provider reports observations, looks at a step before it is shown, and sends the
//! one request that it is ordered to send. Start with `trait Provider`, then read a provider's `convert` (pure).

#[cfg(feature = "aws")]
pub mod aws;
#[cfg(feature = "kubernetes")]
pub mod kubernetes;
pub mod sim;

mod calls;
#[cfg(any(feature = "aws", feature = "kubernetes"))]
mod setting;

use std::future::Future;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;

use serde_json::{Map, Value};
use thiserror::Error;
use tokio::process::Command;
use tokio::sync::mpsc;

pub use calls::Calls;

use crate::domain::anatomy::{Anatomy, Specimen};
use crate::domain::audit::{Audit, AuditQuestion};
use crate::domain::expectation::ServiceKeys;
use crate::domain::id::{OperationId, PlaceId};
use crate::domain::journal::{Call, Receipt};
use crate::domain::observation::Batch;
use crate::domain::plan::{Bound, Inspection, Step};
use crate::domain::text::Text;

/// Every kind of place that this program can speak to.
pub const KINDS: &[Kind] = &[
    #[cfg(feature = "kubernetes")]
    kubernetes::KIND,
    #[cfg(feature = "aws")]
    aws::KIND,
    sim::KIND,
];

/// Work that a provider does for its caller. It is cancelled by being dropped.
pub type Work<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// What asks for a key of a registry.
pub type KeyWork = Work<Result<RegistryKey, Text>>;

/// The settings of a place as its configuration has them.
pub type Table = Map<String, Value>;

/// A kind of place.
#[derive(Debug)]
pub struct Kind {
    /// Its name in the configuration (`kind = "kubernetes"`).
    pub name: &'static str,
    /// The places that the surroundings offer without any configuration.
    pub discover: fn(&Surroundings) -> Vec<Found>,
    /// The places that one table of the configuration means: itself, or one for each match of its globs.
    pub expand: fn(&Table, &Surroundings) -> Result<Vec<Table>, String>,
    /// What a place with these settings is called where its configuration gives no `id`.
    pub default_id: fn(&Table, &Surroundings) -> String,
    /// Whether these settings make sense; every fault at once, each with the key that it is about.
    pub check: fn(&Table) -> Vec<SettingFault>,
    /// What asks for a key of a registry that this kind's cloud keeps, with the credentials that one of these places uses; `None`
    /// if it keeps no registry of that host's name.
    pub registry_key: fn(&str, &[PlaceSpec], &Surroundings) -> Option<KeyWork>,
    /// Makes the provider of one place. Must return at once: nothing is asked over the network yet.
    pub connect: fn(PlaceSpec, Surroundings, Mutations) -> Result<Connected, ConnectError>,
}

/// What surrounds the process, read once at its start.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    /// Kubeconfig files in order of precedence, as `--kubeconfig`, `KUBECONFIG` or the home directory say.
    pub kubeconfigs: Vec<PathBuf>,
    /// What AWS's own tools would use.
    pub aws: AwsSurroundings,
    /// Which labels name the service.
    pub service_keys: ServiceKeys,
    /// How programs that give credentials are started and ended.
    pub helpers: Helpers,
}

/// What the environment says to AWS's own tools; never a key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AwsSurroundings {
    /// `AWS_CONFIG_FILE`, else `~/.aws/config`.
    pub config_file: Option<PathBuf>,
    /// `AWS_SHARED_CREDENTIALS_FILE`, else `~/.aws/credentials`.
    pub credentials_file: Option<PathBuf>,
    /// `AWS_PROFILE`.
    pub profile: Option<String>,
    /// `AWS_REGION`, else `AWS_DEFAULT_REGION`.
    pub region: Option<String>,
    /// Whether the environment holds credentials itself, or says where a container gets them.
    pub has_keys: bool,
    /// Whether this machine is one of EC2's: then its own role may be all there is.
    pub is_machine: bool,
    /// The words that run a command without the terminal; the command itself follows as one word. Without them a helper
    /// that gets credentials is run as the SDK runs it.
    pub helper: Option<String>,
}

/// How programs of others are started and ended. Given by the runtime, which alone speaks to the system; without it they keep the
/// terminal, and nothing but the process itself is ended.
#[derive(Clone, Copy, Debug)]
pub struct Helpers {
    /// A command that runs a program as the leader of a group of its own, away from the terminal.
    pub start: fn(&str) -> Command,
    /// Ends such a leader, with all that it has started.
    pub end: fn(u32),
}

impl Default for Helpers {
    fn default() -> Helpers {
        let start = |program: &str| {
            let mut command = Command::new(program);
            command.process_group(0);
            command
        };
        Helpers { start, end: |_| {} }
    }
}

impl Helpers {
    /// Whether a program of this name is there to be run, by the search path where the name is no path itself.
    pub fn is_there(program: &str) -> bool {
        let is_runnable =
            |path: &Path| path.metadata().is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0);
        if program.contains('/') {
            return is_runnable(Path::new(program));
        }
        std::env::var_os("PATH")
            .is_some_and(|path| std::env::split_paths(&path).any(|folder| is_runnable(&folder.join(program))))
    }
}

/// One place as configured or found.
#[derive(Clone, Debug, PartialEq)]
pub struct PlaceSpec {
    /// Its id.
    pub id: PlaceId,
    /// The name of its kind.
    pub kind: &'static str,
    /// What its provider alone understands (`context`, `namespaces`, …).
    pub settings: Table,
}

/// A place that the surroundings offer.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// The place.
    pub spec: PlaceSpec,
    /// Whether its own tools would take it without being asked (the current context).
    pub standing: Standing,
}

/// What is to be thought of a place that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The one in force.
    Current,
    /// One among others.
    Other,
    /// Nobody has named it; it is taken where there is nothing else.
    LastResort,
    /// It can't be read; the text says why.
    Broken(Text),
}

/// What a registry takes from us for a while.
#[derive(Clone, PartialEq, Eq)]
pub struct RegistryKey {
    /// The user.
    pub user: String,
    /// What stands for a password.
    pub secret: String,
    /// Until when it is good.
    pub until: jiff::Timestamp,
}

/// A setting that makes no sense.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingFault {
    /// The key, as written or missing.
    pub key: String,
    /// What is wrong and what would be right.
    pub message: String,
}

/// Whether requests that change something may exist in this process at all. Only the runtime makes one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutations {
    /// `--read-only`, or the place is configured so: no operator is made, so no changing request can be sent.
    Forbidden,
    /// An operator is made.
    Allowed,
}

/// A place that can be watched, and operated if that is allowed.
pub struct Connected {
    /// Reads.
    pub provider: Arc<dyn Provider>,
    /// Changes; `None` where mutations are forbidden.
    pub operator: Option<Arc<dyn Operator>>,
}

/// Why a provider could not be made.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{what}; {hint}")]
pub struct ConnectError {
    /// What was tried and what happened.
    pub what: String,
    /// What to do.
    pub hint: String,
}

/// Reads one place. Has no way to change anything there.
pub trait Provider: Send + Sync {
    /// Reports everything that is there, then every change, until dropped. Reconnects by itself; reports how the place
    /// answers (`Observation::Place`) and a heartbeat whenever it answered and nothing had changed.
    fn watch(self: Arc<Self>, sink: Sink) -> Work<()>;

    /// Looks at a step before the plan is shown: permissions, what goes back with the image, the equivalent command.
    fn inspect(self: Arc<Self>, step: Step) -> Work<Inspection>;

    /// Takes a version apart, as far as its place knows it.
    fn dissect(self: Arc<Self>, specimen: Specimen) -> Work<Anatomy>;

    /// Who asked for changes, as the place's own audit log says: one answer for each question, in their order.
    fn audit(self: Arc<Self>, questions: Vec<AuditQuestion>) -> Work<Vec<Audit>>;
}

/// Changes one place. Exists only where mutations are allowed.
pub trait Operator: Send + Sync {
    /// What the place itself says to a step that is not meant (a server-side dry run).
    fn rehearse(self: Arc<Self>, step: Step) -> Work<Inspection>;

    /// Reads the object once more, compares the bound facts, and sends the one request. Never sends twice, except after
    /// an answer that proves that nothing was done (a conflict), at most three times.
    fn execute(self: Arc<Self>, order: Order) -> Work<Answer>;
}

/// One request to send. Made by the runtime alone, after its journal entry is on disk.
#[derive(Clone, Debug, PartialEq)]
pub struct Order {
    /// For which operation; it leaves its mark on the object.
    pub operation: OperationId,
    /// Who started it.
    pub who: Text,
    /// The step, or its brake.
    pub call: Call,
    /// The step that it is about, with the facts it is bound to.
    pub step: Step,
}

/// How a request went.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// The provider took it. Not yet done.
    Accepted(Receipt),
    /// Certainly nothing was done.
    Refused(Text),
    /// Nothing was done now, it may be possible later (a disruption budget).
    Blocked(Text),
    /// Nothing was sent: a bound fact is no longer so.
    Moved {
        /// What is different.
        differences: Vec<Text>,
        /// How the facts are now.
        bound: Box<Bound>,
    },
    /// It was sent, and nobody knows what became of it.
    Unanswered(Text),
}

/// Where a provider puts what it saw.
#[derive(Clone)]
pub struct Sink {
    place: PlaceId,
    sender: mpsc::Sender<Batch>,
}

impl Sink {
    /// A sink for one place.
    pub fn new(place: PlaceId, sender: mpsc::Sender<Batch>) -> Sink {
        Sink { place, sender }
    }

    /// The place that reports into it.
    pub fn place(&self) -> &PlaceId {
        &self.place
    }

    /// Hands a batch over, stamped with the time it was fetched; waits while the other side is busy. A sink whose other
    /// side is gone swallows it: the watcher is about to be dropped.
    pub async fn send(&self, fetched_at: jiff::Timestamp, observations: Vec<crate::domain::observation::Observation>) {
        let batch = Batch { place: self.place.clone(), fetched_at, observations };
        if self.sender.send(batch).await.is_err() {
            tracing::debug!(place = %self.place, "nobody listens any more");
        }
    }
}

impl Kind {
    /// The name by which `--context` means a place with these settings, where the kind knows contexts.
    pub fn context(&self, settings: &Table) -> Option<String> {
        settings.get("context").and_then(Value::as_str).map(ToString::to_string)
    }
}

/// A table of the configuration that means itself: a kind without globs.
///
/// # Errors
/// None; other kinds have some.
pub fn alone(settings: &Table, _: &Surroundings) -> Result<Vec<Table>, String> {
    Ok(vec![settings.clone()])
}

/// What a kind whose cloud keeps no registries says of each.
pub fn no_registry(_: &str, _: &[PlaceSpec], _: &Surroundings) -> Option<KeyWork> {
    None
}

impl std::fmt::Debug for RegistryKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // A secret stands in no log, whoever prints this.
        formatter.debug_struct("RegistryKey").field("user", &self.user).finish_non_exhaustive()
    }
}

/// What a place without an audit log that could be asked says to each question.
fn no_audit(questions: &[AuditQuestion], why: &str) -> Vec<Audit> {
    vec![Audit::Absent(Text::new(why)); questions.len()]
}

/// The kind of that name.
pub fn kind(name: &str) -> Option<&'static Kind> {
    KINDS.iter().find(|kind| kind.name == name)
}
