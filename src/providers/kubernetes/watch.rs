//! One cluster, watched: which namespaces can be seen, every kind listed and followed, and a probe that tells within
//! 15 s when nobody answers any more.
//!
//! Never says `live` before every list is complete and every watch is open again after a break.

use std::sync::Mutex;
use std::time::Duration;

use futures::future::join_all;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::{Notify, watch as signal};

use super::client::{Fault, Reads, Review};
use super::convert::Kind;
use super::feed::{self, Feed, FeedState, Pause};
use super::known::{Known, Listed};
use super::requests;
use super::settings::Settings;
use crate::domain::expectation::ServiceKeys;
use crate::domain::keeper::KeeperKind;
use crate::domain::observation::{Observation, PlaceIdentity, PlaceState};
use crate::domain::text::Text;
use crate::providers::{Mutations, Sink};

/// How often the server is asked whether it is there.
const PROBE_EVERY: Duration = Duration::from_secs(10);
/// How long it may take to say so. Together with the interval: a dead link is noticed within 13 s.
const PROBE_TIMEOUT: Duration = Duration::from_secs(3);
/// Longest pause between probes of a server that does not answer.
const PROBE_AGAIN: Duration = Duration::from_secs(5);
/// Shortest pause between probes.
const PROBE_PAUSE: Duration = Duration::from_millis(500);
/// While nobody has signed in, the plugin is not run more often: it may open a browser.
const SIGN_IN_AGAIN: Duration = Duration::from_secs(30);
const REVIEW_TIMEOUT: Duration = Duration::from_secs(10);

/// In this order the first lists are made, so that the owner of each row is known before it.
const ORDER: [Listed; 14] = [
    Listed::Nodes,
    Listed::Workloads(Kind::Deployment),
    Listed::Workloads(Kind::Rollout),
    Listed::Workloads(Kind::ReplicaSet),
    Listed::Workloads(Kind::StatefulSet),
    Listed::Workloads(Kind::DaemonSet),
    Listed::Revisions,
    Listed::Workloads(Kind::Job),
    Listed::Workloads(Kind::CronJob),
    Listed::Pods,
    Listed::Keepers(KeeperKind::Application),
    Listed::Keepers(KeeperKind::Kustomization),
    Listed::Keepers(KeeperKind::HelmRelease),
    Listed::Keepers(KeeperKind::Autoscaler),
];

/// What the feeds of a cluster share.
pub(super) struct Shared<'a> {
    /// Asks the cluster.
    pub reads: &'a Reads,
    /// Where observations go.
    pub sink: &'a Sink,
    /// What lists know of each other.
    pub known: tokio::sync::Mutex<Known>,
    link: signal::Sender<LinkState>,
    turn: signal::Sender<usize>,
    states: Mutex<Vec<FeedState>>,
    changed: Notify,
    doubt: Notify,
    scope: &'a Scope,
}

/// Which namespaces are seen.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Scope {
    /// All.
    All,
    /// Those that were configured.
    Configured(Vec<String>),
    /// The context's alone: listing all is forbidden.
    Narrowed(String),
}

/// Whether the server answers.
#[derive(Clone, Default)]
struct LinkState {
    epoch: u64,
    fault: Option<Fault>,
    probes: u64,
}

/// Watches until dropped.
pub(super) async fn watch(
    reads: &Reads,
    settings: &Settings,
    service_keys: &ServiceKeys,
    mutations: Mutations,
    sink: Sink,
) {
    let scope = settle_scope(reads, settings, &sink).await;
    let namespaces: Vec<Option<&str>> = match &scope {
        Scope::All => vec![None],
        Scope::Configured(names) => names.iter().map(|name| Some(name.as_str())).collect(),
        Scope::Narrowed(name) => vec![Some(name.as_str())],
    };
    let mut feeds = Vec::new();
    for listed in ORDER {
        let namespaces = if listed == Listed::Nodes { &[None] } else { &namespaces[..] };
        for namespace in namespaces {
            feeds.push(Feed::new(feeds.len(), listed, *namespace));
        }
    }
    let shared = Shared {
        reads,
        sink: &sink,
        known: tokio::sync::Mutex::new(Known::new(service_keys.clone())),
        link: signal::channel(LinkState::default()).0,
        turn: signal::channel(0).0,
        states: Mutex::new(vec![FeedState::Waiting; feeds.len()]),
        changed: Notify::new(),
        doubt: Notify::new(),
        scope: &scope,
    };
    tokio::join!(
        shared.probe(),
        shared.judge(&feeds),
        shared.identify(mutations),
        reads.tell_calls(&sink),
        join_all(feeds.iter().map(|feed| feed.run(&shared)))
    );
}

impl Shared<'_> {
    /// Waits until the server answers; says in which epoch.
    pub(super) async fn link_up(&self) -> u64 {
        let mut link = self.link.subscribe();
        // The sender lives as long as we do.
        link.wait_for(|link| link.fault.is_none()).await.map_or(0, |link| link.epoch)
    }

    /// Waits until the link of that epoch is gone.
    pub(super) async fn link_left(&self, epoch: u64) {
        let mut link = self.link.subscribe();
        let _ = link.wait_for(|link| link.fault.is_some() || link.epoch != epoch).await;
    }

    /// Waits until all feeds before this one have made their first list, or failed to.
    pub(super) async fn turn(&self, index: usize) {
        let mut turn = self.turn.subscribe();
        let _ = turn.wait_for(|turn| *turn >= index).await;
    }

    /// This feed has had its turn.
    pub(super) fn pass_turn(&self, index: usize) {
        self.turn.send_if_modified(|turn| {
            let is_ours = *turn == index;
            *turn += usize::from(is_ours);
            is_ours
        });
    }

    /// A feed says how far it is. One whose requests are not answered has the probe look at once.
    pub(super) fn set(&self, index: usize, state: FeedState) {
        if matches!(state, FeedState::Failing(Fault::NotSent(_) | Fault::NoAnswer(_))) {
            self.doubt.notify_one();
        }
        self.states.lock().unwrap_or_else(|poisoned| poisoned.into_inner())[index] = state;
        self.changed.notify_one();
    }

    /// Whether a feed's rows were those of the server without a break.
    pub(super) fn is_watching(&self, index: usize) -> bool {
        matches!(self.states.lock().unwrap_or_else(|poisoned| poisoned.into_inner())[index], FeedState::Watching)
    }

    /// Asks again and again whether the server is there.
    async fn probe(&self) {
        let mut pause = PROBE_EVERY;
        loop {
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.doubted() => {}
            }
            let asked_at = std::time::Instant::now();
            let fault = match self.reads.get("/version", PROBE_TIMEOUT).await {
                // A server that forbids it has answered.
                Ok(_) | Err(Fault::Refused(_)) => None,
                // A link that is busy with a long list may be too slow for the probe; it is not dead.
                Err(Fault::NoAnswer(_)) if self.reads.has_heard_since(asked_at) => None,
                Err(fault) => Some(fault),
            };
            let is_up = fault.is_none();
            let needs_person = fault.as_ref().is_some_and(needs_person);
            let was_up = self.link.borrow().fault.is_none();
            if !is_up {
                // The connections of the pool may be as dead as the one of the probe.
                self.reads.reset().await;
            }
            if is_up != was_up {
                let mut states = self.states.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
                states.iter_mut().filter(|state| !matches!(state, FeedState::Limited(_))).for_each(|state| {
                    *state = FeedState::Waiting;
                });
            }
            self.link.send_modify(|link| {
                link.epoch += u64::from(is_up && !was_up);
                link.probes += u64::from(is_up);
                link.fault = fault;
            });
            self.changed.notify_one();
            pause = if is_up {
                PROBE_EVERY
            } else if needs_person {
                SIGN_IN_AGAIN
            } else if was_up {
                Duration::from_secs(1)
            } else {
                (pause * 2).min(PROBE_AGAIN)
            };
        }
    }

    /// A feed doubts that the server is there; while that is known already, there is nothing to hurry for.
    async fn doubted(&self) {
        tokio::time::sleep(PROBE_PAUSE).await;
        self.doubt.notified().await;
        if self.link.borrow().fault.is_some() {
            std::future::pending().await
        }
    }

    /// Reports how the place answers whenever that changes, and a heartbeat for each probe that found it alive.
    async fn judge(&self, feeds: &[Feed]) {
        let mut said = PlaceState::Loading;
        let mut was_live = false;
        let mut heard = 0;
        self.sink.send(Timestamp::now(), vec![Observation::Place(PlaceState::Loading)]).await;
        loop {
            self.changed.notified().await;
            let link = self.link.borrow().clone();
            let state = self.state(feeds, &link, was_live);
            was_live |= state.is_live();
            if state != said {
                self.sink.send(Timestamp::now(), vec![Observation::Place(state.clone())]).await;
                said = state;
            } else if link.probes != heard && said.is_live() {
                self.sink.send(Timestamp::now(), vec![Observation::Heartbeat]).await;
            }
            heard = link.probes;
        }
    }

    fn state(&self, feeds: &[Feed], link: &LinkState, was_live: bool) -> PlaceState {
        if let Some(fault) = &link.fault {
            return state_of(fault, was_live, "");
        }
        let states = self.states.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let failing = feeds.iter().zip(states.iter()).find_map(|(feed, state)| match state {
            FeedState::Failing(fault) => Some((feed, fault)),
            FeedState::Waiting
            | FeedState::Listing
            | FeedState::Watching
            | FeedState::Absent
            | FeedState::Limited(_) => None,
        });
        if let Some((feed, fault)) = failing {
            return state_of(fault, was_live, &format!("{}: ", feed.source.0));
        }
        let is_coming = states.iter().any(|state| matches!(state, FeedState::Waiting | FeedState::Listing));
        if is_coming {
            return match was_live {
                true => PlaceState::Stale(Text::new("it is read again")),
                false => PlaceState::Loading,
            };
        }
        let pods = feeds.iter().zip(states.iter()).filter(|(feed, _)| feed.listed == Listed::Pods);
        let mut forbidden = pods.map(|(_, state)| match state {
            FeedState::Limited(fault) => Some(fault.text()),
            FeedState::Waiting
            | FeedState::Listing
            | FeedState::Watching
            | FeedState::Absent
            | FeedState::Failing(_) => None,
        });
        // Any namespace whose pods can be seen makes the place worth looking at.
        match forbidden.next().flatten() {
            Some(why) if forbidden.all(|other| other.is_some()) => PlaceState::Forbidden(why),
            Some(_) | None => PlaceState::Live,
        }
    }

    /// Says who we are and what we may do, each time that the server came back.
    async fn identify(&self, mutations: Mutations) {
        let mut said: Option<PlaceIdentity> = None;
        loop {
            let epoch = self.link_up().await;
            if let Ok(identity) = identity(self.reads, self.scope, mutations).await
                && said.as_ref() != Some(&identity)
            {
                said = Some(identity.clone());
                self.sink.send(Timestamp::now(), vec![Observation::Identity(Box::new(identity))]).await;
            }
            self.link_left(epoch).await;
        }
    }
}

/// Finds out which namespaces can be seen. While the server can't be asked it says why, and tries again.
async fn settle_scope(reads: &Reads, settings: &Settings, sink: &Sink) -> Scope {
    let mut pause = Pause::default();
    // As every place begins.
    let mut said = PlaceState::Loading;
    loop {
        let (state, wait) = match try_scope(reads, settings).await {
            Ok(Ok(scope)) => return scope,
            Ok(Err(forbidden)) => (PlaceState::Forbidden(forbidden), SIGN_IN_AGAIN),
            Err(fault) if needs_person(&fault) => (state_of(&fault, false, ""), SIGN_IN_AGAIN),
            Err(fault) => {
                let wait = pause.next().max(fault.retry_after().unwrap_or_default());
                let state =
                    if pause.is_asked_for(&fault, wait) { PlaceState::Loading } else { state_of(&fault, false, "") };
                (state, wait)
            }
        };
        if said != state {
            sink.send(Timestamp::now(), vec![Observation::Place(state.clone())]).await;
            said = state;
        }
        reads.reset().await;
        tokio::time::sleep(wait).await;
    }
}

async fn try_scope(reads: &Reads, settings: &Settings) -> Result<Result<Scope, Text>, Fault> {
    const LIMIT: Duration = Duration::from_secs(10);
    let facts = reads.facts().await?;
    if !settings.namespaces.is_empty() {
        return Ok(Ok(Scope::Configured(settings.namespaces.clone())));
    }
    match reads.get("/api/v1/pods?limit=1", LIMIT).await {
        Ok(_) => return Ok(Ok(Scope::All)),
        Err(fault) if fault.code() == 403 => {}
        Err(fault) => return Err(fault),
    }
    let path = format!("/api/v1/namespaces/{}/pods?limit=1", facts.namespace);
    match reads.get(&path, LIMIT).await {
        Ok(_) => Ok(Ok(Scope::Narrowed(facts.namespace))),
        Err(fault) if fault.code() == 403 => Ok(Err(Text::new(&format!(
            "pods can be listed neither in all namespaces nor in {}: {fault}; ask for the view role, or name namespaces in the settings of the place",
            facts.namespace
        )))),
        Err(fault) => Err(fault),
    }
}

async fn identity(reads: &Reads, scope: &Scope, mutations: Mutations) -> Result<PlaceIdentity, Fault> {
    let facts = reads.facts().await?;
    let version = reads.get_json("/version", REVIEW_TIMEOUT).await.ok();
    let myself = reads.review(Review::Myself, Value::Null, REVIEW_TIMEOUT).await.ok();
    let name = myself.as_ref().and_then(|myself| myself["status"]["userInfo"]["username"].as_str().map(Text::new));
    let mut notes = facts.notes;
    let namespace = match scope {
        Scope::All => None,
        Scope::Configured(names) => {
            notes.push(Text::new(&format!("only namespaces {}", names.join(", "))));
            names.first()
        }
        Scope::Narrowed(name) => {
            notes.push(Text::new(&format!("only namespace {name}")));
            Some(name)
        }
    };
    // Where there are none, a right to them says nothing.
    let has_rollouts = feed::has_rollouts(reads).await.unwrap_or(false);
    let (mut can, mut cannot) = (vec![Text::new("look")], Vec::new());
    for (what, group, resource, subresource, verb) in [
        ("go back and set images", "apps", "deployments", "", "patch"),
        ("the same for StatefulSets", "apps", "statefulsets", "", "patch"),
        ("the same for DaemonSets", "apps", "daemonsets", "", "patch"),
        ("the same for CronJobs", "batch", "cronjobs", "", "patch"),
        ("the same for Rollouts", "argoproj.io", "rollouts", "", "patch"),
        ("abort and promote Rollouts", "argoproj.io", "rollouts", "status", "patch"),
        ("replace single pods", "", "pods", "eviction", "create"),
        ("hold the minimum of autoscalers", "autoscaling", "horizontalpodautoscalers", "", "patch"),
    ] {
        if resource == "rollouts" && !has_rollouts {
            continue;
        }
        if mutations == Mutations::Forbidden {
            cannot.push((Text::new(what), Text::new("read only")));
            continue;
        }
        let attributes = json!({"namespace": namespace, "verb": verb, "group": group, "resource": resource, "subresource": subresource});
        let spec = json!({"resourceAttributes": attributes});
        match reads.review(Review::Access, spec, REVIEW_TIMEOUT).await {
            Ok(answer) if answer["status"]["allowed"] == true => can.push(Text::new(what)),
            Ok(_) => {
                let place = namespace.map_or("all namespaces".to_string(), |name| format!("namespace {name}"));
                let why = format!("not granted for {place}: {verb} {resource}; each plan asks for its own");
                cannot.push((Text::new(what), Text::new(&why)));
            }
            Err(fault) => cannot.push((Text::new(what), Text::new(&format!("can't be asked: {fault}")))),
        }
    }
    Ok(PlaceIdentity {
        account: Some(Text::new(&facts.server)),
        identity: name.or(facts.user.as_deref().map(Text::new)),
        server: version.as_ref().and_then(|version| version["gitVersion"].as_str().map(Text::new)),
        notes,
        can,
        cannot,
        look: Some(requests::look(&facts.context)),
    })
}

/// Whether only a person can end it.
fn needs_person(fault: &Fault) -> bool {
    match fault {
        Fault::Misconfigured(_) | Fault::SignIn(_) => true,
        Fault::NotSent(_) | Fault::NoAnswer(_) | Fault::Refused(_) | Fault::Malformed(_) => false,
    }
}

/// What a fault makes of a place.
fn state_of(fault: &Fault, was_live: bool, prefix: &str) -> PlaceState {
    let why = Text::new(&format!("{prefix}{fault}"));
    match fault {
        Fault::Misconfigured(_) => PlaceState::Misconfigured(why),
        Fault::SignIn(_) => PlaceState::AuthExpired(why),
        Fault::NotSent(_) | Fault::NoAnswer(_) | Fault::Refused(_) | Fault::Malformed(_) if was_live => {
            PlaceState::Stale(why)
        }
        Fault::NotSent(_) | Fault::NoAnswer(_) | Fault::Refused(_) | Fault::Malformed(_) => {
            PlaceState::Unreachable(why)
        }
    }
}
