//! One kind of object in one namespace or all: listed page by page, then watched, listed again when the server has
//! forgotten where we were.
//!
//! Never drops what it has shown before a new list is complete, and never waits on a connection that may be dead: it is
//! dropped as soon as the link is.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout, timeout_at};

use super::client::{Fault, Reads};
use super::convert::Kind;
use super::keepers::{self, Resource};
use super::known::{Happened, Listed};
use super::rollouts::Listing;
use super::slim::PageMeta;
use super::stream::Lines;
use super::watch::Shared;
use crate::domain::observation::{Observation, Source};
use crate::domain::text::Text;

/// Rows of one page: the first is shown after 0.15 s.
const PAGE: u32 = 500;
/// How long one page may take.
const PAGE_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a list may take that is made at once.
const WHOLE_TIMEOUT: Duration = Duration::from_secs(300);
/// How long a watch may take to be opened.
const OPEN_TIMEOUT: Duration = Duration::from_secs(15);
/// A watch that says nothing for so long, not even a bookmark (one a minute), is opened again.
const IDLE: Duration = Duration::from_secs(100);
/// For how long what comes in is gathered into one batch.
const GATHER: Duration = Duration::from_millis(50);
/// How much is gathered at most, in bytes.
const GATHER_BYTES: usize = 2 << 20;
/// After a break the server tells what was missed at once; when nothing came for so long, there was nothing.
const CATCH_UP: Duration = Duration::from_millis(300);
/// A kind that is forbidden is tried again after this time.
const FORBIDDEN_RETRY: Duration = Duration::from_secs(60);

/// A kind that the server does not have is looked for again after this time: somebody may install it.
const ABSENT_RETRY: Duration = Duration::from_secs(180);
/// How long a server may take to say which kinds it has.
const DISCOVERY_TIMEOUT: Duration = Duration::from_secs(10);

/// How many clusters list at the same time; the others wait. Within a cluster one kind is listed after the other.
static LISTS: Semaphore = Semaphore::const_new(4);

/// One list and its watch.
pub(super) struct Feed {
    /// Its place among the others: they list in this order.
    pub index: usize,
    /// What is listed.
    pub listed: Listed,
    /// Who says so, for the fleet.
    pub source: Source,
    path: String,
}

/// How far a feed is.
#[derive(Clone, Debug)]
pub(super) enum FeedState {
    /// Not begun, or broken off with the link.
    Waiting,
    /// Being listed.
    Listing,
    /// Its rows are those of the server.
    Watching,
    /// The server has no such kind: nothing is missing.
    Absent,
    /// It can't be read.
    Limited(Fault),
    /// It could be read before, or should be.
    Failing(Fault),
}

enum Ended {
    /// As watches do.
    Closed,
    /// At once, without a word: not to be repeated at once.
    ClosedAtOnce,
    /// List again.
    TooOld,
}

impl Feed {
    /// For a kind in a namespace, or in all.
    pub(super) fn new(index: usize, listed: Listed, namespace: Option<&str>) -> Feed {
        let (group, name) = match listed {
            Listed::Nodes => ("/api/v1", "nodes"),
            Listed::Pods => ("/api/v1", "pods"),
            Listed::Revisions => ("/apis/apps/v1", "controllerrevisions"),
            Listed::Keepers(kind) => {
                let Resource { group, version, name } = keepers::resource(kind);
                return Feed::of(index, listed, &format!("/apis/{group}/{version}"), name, namespace);
            }
            Listed::Workloads(Kind::Deployment) => ("/apis/apps/v1", "deployments"),
            Listed::Workloads(Kind::ReplicaSet) => ("/apis/apps/v1", "replicasets"),
            Listed::Workloads(Kind::StatefulSet) => ("/apis/apps/v1", "statefulsets"),
            Listed::Workloads(Kind::DaemonSet) => ("/apis/apps/v1", "daemonsets"),
            Listed::Workloads(Kind::Job) => ("/apis/batch/v1", "jobs"),
            Listed::Workloads(Kind::CronJob) => ("/apis/batch/v1", "cronjobs"),
            Listed::Workloads(Kind::Rollout) => ("/apis/argoproj.io/v1alpha1", "rollouts"),
        };
        Feed::of(index, listed, group, name, namespace)
    }

    fn of(index: usize, listed: Listed, group: &str, name: &'static str, namespace: Option<&str>) -> Feed {
        match namespace {
            Some(namespace) => {
                let path = format!("{group}/namespaces/{namespace}/{name}");
                Feed { index, listed, source: source(&format!("{name} in {namespace}")), path }
            }
            None => Feed { index, listed, source: Source(name), path: format!("{group}/{name}") },
        }
    }

    /// Follows it until dropped.
    pub(super) async fn run(&self, shared: &Shared<'_>) {
        let mut position: Option<String> = None;
        let mut was_listed = false;
        let mut pause = Pause::default();
        loop {
            let epoch = shared.link_up().await;
            let outcome = tokio::select! {
                biased;
                () = shared.link_left(epoch) => continue,
                outcome = self.follow(shared, &mut position, &mut was_listed, &mut pause) => outcome,
            };
            let wait = match outcome {
                Ok(Ended::Closed) => continue,
                Ok(Ended::TooOld) => {
                    position = None;
                    continue;
                }
                Ok(Ended::ClosedAtOnce) => pause.next(),
                Err(fault) if self.is_absent(shared, &fault).await => {
                    self.say_none(shared).await;
                    (position, was_listed) = (None, false);
                    shared.set(self.index, FeedState::Absent);
                    ABSENT_RETRY
                }
                Err(fault) => {
                    let (state, wait) = self.sort(fault, was_listed, &mut pause);
                    if let FeedState::Limited(why) = &state {
                        let limited = Observation::Limited(self.source, why.text());
                        shared.sink.send(Timestamp::now(), vec![limited]).await;
                    }
                    shared.set(self.index, state);
                    wait
                }
            };
            shared.pass_turn(self.index);
            tokio::select! {
                () = shared.link_left(epoch) => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// Whether the server has no such kind, where it need not have one. Who may not list it is told so whether it is there or
    /// not: then the list of what is there tells.
    async fn is_absent(&self, shared: &Shared<'_>, fault: &Fault) -> bool {
        if !matches!(fault.code(), 403 | 404) {
            return false;
        }
        let serves = match self.listed {
            Listed::Workloads(Kind::Rollout) => has_rollouts(shared.reads).await,
            Listed::Keepers(kind) => {
                let Resource { group, version, name } = keepers::resource(kind);
                serves(shared.reads, &format!("/apis/{group}/{version}"), name).await
            }
            Listed::Nodes | Listed::Workloads(_) | Listed::Revisions | Listed::Pods => return false,
        };
        matches!(serves, Ok(false))
    }

    /// What was there before the kind was taken away is there no longer.
    async fn say_none(&self, shared: &Shared<'_>) {
        let mut observations = self.begin(shared).await;
        let mut known = shared.known.lock().await;
        known.finish(self.source);
        if self.listed == Listed::Workloads(Kind::Rollout) {
            known.set_rollouts(Listing::Absent, &mut observations);
        }
        drop(known);
        observations.push(Observation::ListFinished(self.source));
        shared.sink.send(Timestamp::now(), observations).await;
    }

    /// What a fault means, and how long to wait.
    fn sort(&self, fault: Fault, was_listed: bool, pause: &mut Pause) -> (FeedState, Duration) {
        // Forbidden, or a server that does not have this kind. What could be read before must not vanish so quietly.
        if matches!(fault.code(), 403 | 404) && !was_listed {
            return (FeedState::Limited(fault), FORBIDDEN_RETRY);
        }
        let wait = pause.next().max(fault.retry_after().unwrap_or_default());
        // What keeps workloads only explains them: a kind that was installed a moment ago, and whose storage is not ready yet, is
        // no reason to call the whole place unreachable.
        if matches!(self.listed, Listed::Keepers(_)) && fault.code() != 0 && !was_listed {
            return (FeedState::Limited(fault), wait);
        }
        let state = if pause.is_asked_for(&fault, wait) { FeedState::Waiting } else { FeedState::Failing(fault) };
        (state, wait)
    }

    async fn follow(
        &self,
        shared: &Shared<'_>,
        position: &mut Option<String>,
        was_listed: &mut bool,
        pause: &mut Pause,
    ) -> Result<Ended, Fault> {
        let is_resumed = position.is_some();
        if position.is_none() {
            shared.turn(self.index).await;
            let _permit = LISTS.acquire().await;
            shared.set(self.index, FeedState::Listing);
            *position = Some(self.list(shared).await?);
            *was_listed = true;
        }
        let opened_at = Instant::now();
        let mut lines = match self.open(shared, position.as_deref().unwrap_or_default()).await {
            // 504: our resource version lies in the server's future, as after it was restored from a backup.
            Err(fault) if matches!(fault.code(), 410 | 504) => return Ok(Ended::TooOld),
            opened => opened?,
        };
        if is_resumed && !shared.is_watching(self.index) {
            let quiet = timeout(CATCH_UP, lines.more()).await;
            if let Ok(more) = quiet {
                if !more? {
                    return Ok(Ended::ClosedAtOnce);
                }
                if let Some(ended) = self.take(shared, &mut lines, position).await? {
                    return Ok(ended);
                }
            }
        }
        shared.set(self.index, FeedState::Watching);
        shared.pass_turn(self.index);
        let ended = self.watch(shared, &mut lines, position).await?;
        if opened_at.elapsed() < Duration::from_secs(1) && matches!(ended, Ended::Closed) {
            return Ok(Ended::ClosedAtOnce);
        }
        pause.reset();
        Ok(ended)
    }

    async fn list(&self, shared: &Shared<'_>) -> Result<String, Fault> {
        let mut next = String::new();
        let mut limit = Some(PAGE);
        let mut seen = 0;
        let mut observations = self.begin(shared).await;
        loop {
            let path = self.page_path(limit, &next);
            let page = self.page(shared, &path, &mut observations);
            let patience = if limit.is_some() { PAGE_TIMEOUT } else { WHOLE_TIMEOUT };
            let late = || Fault::NoAnswer(Text::new(&format!("no whole page within {} s", patience.as_secs())));
            let (meta, rows) = match timeout(patience, page).await.unwrap_or_else(|_| Err(late())) {
                // The list took longer than the server remembers (5 minutes): all at once then, as client-go does.
                Err(fault) if fault.code() == 410 && !next.is_empty() => {
                    (next, limit, seen) = (String::new(), None, 0);
                    observations = self.begin(shared).await;
                    continue;
                }
                answer => answer?,
            };
            let fetched_at = Timestamp::now();
            seen += rows;
            let is_last = meta.next.is_empty();
            // Held until the page is handed over, as in `take`.
            let mut known = shared.known.lock().await;
            if is_last {
                known.finish(self.source);
            }
            if is_last && self.listed == Listed::Workloads(Kind::Rollout) {
                known.set_rollouts(Listing::Complete, &mut observations);
            }
            if self.listed != Listed::Nodes {
                let remaining = if is_last { Some(0) } else { meta.remaining_item_count };
                observations.push(Observation::Loading { source: self.source, seen, remaining });
                if is_last {
                    observations.push(Observation::ListFinished(self.source));
                }
                shared.sink.send(fetched_at, std::mem::take(&mut observations)).await;
            }
            if is_last {
                return Ok(meta.resource_version);
            }
            next = meta.next;
        }
    }

    async fn page(
        &self,
        shared: &Shared<'_>,
        path: &str,
        observations: &mut Vec<Observation>,
    ) -> Result<(PageMeta, u64), Fault> {
        let mut items = shared.reads.page(path).await?;
        let mut rows = 0;
        while items.more().await? {
            let mut known = shared.known.lock().await;
            for item in items.whole() {
                known.item(self.listed, self.source, item, observations)?;
                rows += 1;
            }
        }
        Ok((items.envelope()?, rows))
    }

    async fn begin(&self, shared: &Shared<'_>) -> Vec<Observation> {
        shared.known.lock().await.begin(self.source);
        if self.listed == Listed::Nodes { Vec::new() } else { vec![Observation::ListStarted(self.source)] }
    }

    fn page_path(&self, limit: Option<u32>, next: &str) -> String {
        let limit = limit.map(|limit| format!("?limit={limit}")).unwrap_or_default();
        let next =
            if next.is_empty() { String::new() } else { format!("&continue={}", super::requests::escaped(next)) };
        format!("{}{limit}{next}", self.path)
    }

    async fn open(&self, shared: &Shared<'_>, position: &str) -> Result<Lines, Fault> {
        // Spread, so that not all watches of a cluster end together.
        let seconds = 240 + random() % 50;
        let path = format!(
            "{}?watch=true&allowWatchBookmarks=true&timeoutSeconds={seconds}&resourceVersion={position}",
            self.path
        );
        shared.reads.watch(&path, OPEN_TIMEOUT).await
    }

    async fn watch(
        &self,
        shared: &Shared<'_>,
        lines: &mut Lines,
        position: &mut Option<String>,
    ) -> Result<Ended, Fault> {
        loop {
            match timeout(IDLE, lines.more()).await {
                Ok(Ok(true)) => {}
                Ok(Ok(false)) | Err(_) => return Ok(Ended::Closed),
                // The connection broke; the probe finds out whether it is more than that.
                Ok(Err(Fault::NoAnswer(_))) => return Ok(Ended::Closed),
                Ok(Err(fault)) => return Err(fault),
            }
            let until = Instant::now() + GATHER;
            let mut is_open = true;
            while is_open && lines.waiting() < GATHER_BYTES {
                match timeout_at(until, lines.more()).await {
                    Ok(more) => is_open = matches!(more, Ok(true)),
                    Err(_) => break,
                }
            }
            if let Some(ended) = self.take(shared, lines, position).await? {
                return Ok(ended);
            }
            if !is_open {
                return Ok(Ended::Closed);
            }
        }
    }

    /// Hands what has come to the fleet, and only then moves the position on.
    async fn take(
        &self,
        shared: &Shared<'_>,
        lines: &mut Lines,
        position: &mut Option<String>,
    ) -> Result<Option<Ended>, Fault> {
        let fetched_at = Timestamp::now();
        let mut observations = Vec::new();
        let mut reached = None;
        let mut ended = None;
        // Held until the batch is handed over: what one list says of another's rows must not overtake them.
        let mut known = shared.known.lock().await;
        for line in lines.whole() {
            match known.event(self.listed, self.source, line, &mut observations)? {
                Happened::Until(version) if version.is_empty() => {}
                Happened::Until(version) => reached = Some(version),
                Happened::TooOld => ended = Some(Ended::TooOld),
                Happened::Ended => ended = Some(Ended::ClosedAtOnce),
            }
        }
        if !observations.is_empty() {
            shared.sink.send(fetched_at, observations).await;
        }
        drop(known);
        lines.taken();
        if reached.is_some() {
            *position = reached;
        }
        Ok(ended)
    }
}

/// Whether a cluster has Argo Rollouts.
pub(super) async fn has_rollouts(reads: &Reads) -> Result<bool, Fault> {
    serves(reads, "/apis/argoproj.io/v1alpha1", "rollouts").await
}

/// Whether a cluster has a kind.
async fn serves(reads: &Reads, group: &str, name: &str) -> Result<bool, Fault> {
    match reads.get_json(group, DISCOVERY_TIMEOUT).await {
        // Others have kinds of their own in the same group.
        Ok(list) => {
            let mut kinds = list["resources"].as_array().into_iter().flatten();
            Ok(kinds.any(|kind| kind["name"] == name))
        }
        Err(fault) if fault.code() == 404 => Ok(false),
        Err(fault) => Err(fault),
    }
}

/// Waiting times that grow, each between half a second and its bound, so that clients do not come back in step.
#[derive(Default)]
pub(super) struct Pause {
    failures: u32,
    /// When the first of them was.
    since: Option<Instant>,
}

impl Pause {
    const SHORTEST: Duration = Duration::from_millis(500);
    const LONGEST: Duration = Duration::from_secs(30);
    /// As long as a dead link may look alive.
    const PATIENCE: Duration = Duration::from_secs(15);

    /// The next one.
    pub(super) fn next(&mut self) -> Duration {
        let bound = (Pause::SHORTEST * 2u32.saturating_pow(self.failures.min(8))).min(Pause::LONGEST);
        self.failures += 1;
        self.since.get_or_insert_with(Instant::now);
        let spread = u64::try_from((bound - Pause::SHORTEST).as_millis()).unwrap_or(u64::MAX);
        Pause::SHORTEST + Duration::from_millis(random() % (spread + 1))
    }

    /// Whether a server that is there only asks to be given a moment: it is busy, or stores a kind anew whose definition has
    /// changed. One that goes on to ask so is a fault.
    pub(super) fn is_asked_for(&self, fault: &Fault, wait: Duration) -> bool {
        let since = self.since.map(|since| since.elapsed()).unwrap_or_default();
        fault.code() == 429 && since + wait <= Pause::PATIENCE
    }

    /// It worked.
    pub(super) fn reset(&mut self) {
        *self = Pause::default();
    }
}

/// A name for the fleet that lives as long as the process. There are as many as namespaces are configured.
fn source(name: &str) -> Source {
    static NAMES: OnceLock<Mutex<HashMap<String, &'static str>>> = OnceLock::new();
    let mut names = NAMES.get_or_init(Mutex::default).lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    if let Some(known) = names.get(name) {
        return Source(known);
    }
    let leaked: &'static str = Box::leak(name.to_string().into_boxed_str());
    names.insert(name.to_string(), leaked);
    Source(leaked)
}

/// Good enough to spread waiting times.
fn random() -> u64 {
    RandomState::new().hash_one(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_between_their_bounds() {
        let mut pause = Pause::default();
        for failures in 0..40u32 {
            let bound = Duration::from_millis(500).saturating_mul(2u32.saturating_pow(failures.min(8)));
            let wait = pause.next();
            assert!(wait >= Pause::SHORTEST && wait <= bound.min(Pause::LONGEST), "{failures}: {wait:?}");
        }
        pause.reset();
        assert_eq!(pause.next(), Pause::SHORTEST);
    }

    #[test]
    fn a_source_is_told_from_that_of_another_namespace() {
        let feed = |namespace| Feed::new(0, Listed::Pods, namespace);
        assert_eq!(feed(Some("a")).source, feed(Some("a")).source);
        assert_ne!(feed(Some("a")).source, feed(Some("b")).source);
        assert_eq!(feed(None).page_path(Some(500), "a b"), "/api/v1/pods?limit=500&continue=a%20b");
    }
}
