//! Scenario files: what a simulated fleet looks like, what is on its way in it and what will go wrong.
//!
//! Never builds anything; a faulty file is refused with line, column and what is allowed there.

mod read;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use thiserror::Error;
use toml::Spanned;

pub(super) use read::parse_service;

/// The scenarios that are part of the program, the default one first: name and text.
pub const SCENARIOS: &[(&str, &str)] = &[
    ("bad-release", include_str!("../../../tests/scenarios/bad-release.toml")),
    ("same-tag", include_str!("../../../tests/scenarios/same-tag.toml")),
    ("dark-place", include_str!("../../../tests/scenarios/dark-place.toml")),
    ("stuck-rollout", include_str!("../../../tests/scenarios/stuck-rollout.toml")),
    ("gitops", include_str!("../../../tests/scenarios/gitops.toml")),
    ("churn", include_str!("../../../tests/scenarios/churn.toml")),
    ("quiet-100k", include_str!("../../../tests/scenarios/quiet-100k.toml")),
];

/// One scenario.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// Its name on the command line.
    pub name: String,
    /// One line.
    pub title: String,
    /// What there is to see and to try.
    pub description: String,
    /// For everything that is not said: names, uids, which instance goes first.
    #[serde(default)]
    pub seed: u64,
    /// How careful operations are there.
    #[serde(default)]
    pub policy: ScenePolicy,
    /// The places.
    pub places: Vec<ScenePlace>,
    /// What runs in them.
    pub services: Vec<SceneService>,
    /// What should run, as if the configuration said so.
    #[serde(default)]
    pub expect: Vec<SceneExpect>,
}

/// How careful operations are; what is left out is as in the program's own policy.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScenePolicy {
    /// `75%`.
    pub floor: Option<Percent>,
    /// `5s`.
    pub bake: Option<Span>,
    /// `10m`.
    pub step_timeout: Option<Span>,
    /// How long it is watched before an operation counts as done; else as long as a wave bakes.
    pub watch: Option<Span>,
    /// Globs over places, in the order of the waves.
    #[serde(default)]
    pub order: Vec<String>,
}

/// One place, or several that are alike.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScenePlace {
    /// Its id; with `count` it holds `{n}`.
    pub id: Spanned<String>,
    /// How many such places there are, numbered from 01.
    pub count: Option<u32>,
    /// What kind of place it is, and so what its workloads are.
    #[serde(default)]
    pub kind: Platform,
    /// The account or address that it shows.
    pub account: Option<String>,
    /// Who we are there.
    pub identity: Option<String>,
    /// The version of its server; of AWS the region.
    pub server: Option<String>,
    /// How long each answer takes.
    #[serde(default)]
    pub latency: Span,
    /// `false`: `y` is enough for small plans.
    #[serde(default = "yes")]
    pub production: bool,
    /// When it stops answering.
    pub dark: Option<Dark>,
    /// What we may not do there: `rollback`, `evict`, `pause`, and why not.
    #[serde(default)]
    pub cannot: BTreeMap<Verb, String>,
}

/// Something that may be forbidden.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verb {
    /// Changing a template, or refreshing a group.
    Rollback,
    /// Having an instance taken away.
    Evict,
    /// Holding a rollout, or cancelling a refresh.
    Pause,
    /// Suspending what keeps a workload, or changing an autoscaler.
    Suspend,
}

/// What kind of place is simulated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Platform {
    /// A cluster: its workloads are of the service's `kind` and run container images in pods.
    #[default]
    Kubernetes,
    /// An account and region of AWS: each service is an Auto Scaling group there, its versions are versions of the group's
    /// launch template, its instances machines that run an AMI. Namespace, containers, `pin`, `pdb` and what templates set
    /// are of clusters alone.
    Aws,
}

/// When a place stops answering, and for how long.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dark {
    /// This long after the start.
    pub at: Option<Span>,
    /// Right after this many of our requests were taken there.
    pub after_calls: Option<u32>,
    /// For how long; for good, if left out.
    #[serde(rename = "for")]
    pub lasts: Option<Span>,
    /// What the connection says.
    #[serde(default = "no_route")]
    pub why: String,
}

/// One service, or several that are alike, with its versions and where it runs.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SceneService {
    /// Its name, its workload's too; with `count` it holds `{n}`.
    pub name: Spanned<String>,
    /// How many such services there are, numbered from 01.
    pub count: Option<u32>,
    /// Its namespace.
    pub namespace: Option<String>,
    /// What its workloads are in clusters.
    #[serde(default)]
    pub kind: SceneKind,
    /// Its images' repository; else `registry.example/NAMESPACE/NAME`.
    pub repository: Option<String>,
    /// The name of its main container; else that of the service.
    pub container: Option<String>,
    /// Containers beside the main one.
    #[serde(default)]
    pub sidecars: Vec<Sidecar>,
    /// Whether templates name the digest beside the tag.
    #[serde(default)]
    pub pin: Pin,
    /// Its versions, the oldest first; the last one is requested where nothing else is said.
    pub versions: Vec<SceneVersion>,
    /// How it replaces instances.
    #[serde(default)]
    pub replace: Replace,
    /// How many instances may be missing: a number or a percentage. Groups know percentages alone.
    #[serde(default = "quarter")]
    pub max_unavailable: String,
    /// How many may run on top: a number or a percentage. Groups know percentages alone.
    #[serde(default = "quarter")]
    pub max_surge: String,
    /// How long an instance takes to become healthy.
    #[serde(default = "three_seconds")]
    pub start: Span,
    /// How long an instance takes to end.
    #[serde(default = "two_seconds")]
    pub drain: Span,
    /// How long a rollout may make no progress.
    #[serde(default = "ten_minutes")]
    pub progress_deadline: Span,
    /// How many instances go (and come again) in each second.
    #[serde(default)]
    pub churn: f64,
    /// A disruption budget: the share that evictions must leave healthy.
    pub pdb: Option<Percent>,
    /// Who last set the image.
    #[serde(default = "helm")]
    pub owner: String,
    /// Who puts the requested version back after somebody else has changed it.
    pub reverted_by: Option<Reverter>,
    /// Below how many instances its autoscaler never goes; without it there is none.
    pub autoscaled_from: Option<u32>,
    /// The tag that the annotation `rolldeck.dev/expected-image` names.
    pub expected: Option<Spanned<String>>,
    /// Where it runs.
    pub at: Vec<SceneAt>,
}

/// What a workload is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum SceneKind {
    /// Rolls by revisions that own the instances.
    #[default]
    Deployment,
    /// Owns its instances itself.
    StatefulSet,
}

/// How a template names its images.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pin {
    /// By tag and digest.
    #[default]
    Digest,
    /// By tag alone.
    Tag,
}

/// How a workload replaces instances.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum Replace {
    /// By itself, a few at a time; a group by an instance refresh.
    #[default]
    RollingUpdate,
    /// Only those that somebody takes away; of a group: its launch template was changed without an instance refresh.
    OnDelete,
}

/// A container beside the main one.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sidecar {
    /// Its name.
    pub name: String,
    /// Its image.
    pub image: Spanned<String>,
    /// What it is.
    #[serde(default)]
    pub role: SidecarRole,
}

/// What a container beside the main one is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SidecarRole {
    /// Part of the template.
    #[default]
    App,
    /// Part of the template; runs first and ends.
    Init,
    /// Added at admission; not in the template.
    Injected,
}

/// One version of a service.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SceneVersion {
    /// Its tag.
    pub tag: String,
    /// How long ago it was first rolled out.
    #[serde(default = "thirty_days")]
    pub age: Span,
    /// Its digest; else one made of repository and tag.
    pub digest: Option<Spanned<String>>,
    /// Its machine image, where it runs in AWS; else one made of the service's name and the tag. All AWS places show this
    /// one, though a copy in another region would have an id of its own.
    pub ami: Option<Spanned<String>>,
    /// How its instances go wrong.
    pub fails: Option<Failure>,
    /// Which share of them does, from 0 to 1.
    #[serde(default = "one")]
    pub share: f64,
    /// With `fails = "later"`: how long after they became healthy.
    #[serde(default)]
    pub after: Span,
    /// What the platform says of them.
    pub why: Option<String>,
    /// Environment variables that its template sets.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// Limits that its template sets.
    #[serde(default)]
    pub limits: BTreeMap<String, String>,
    /// Why it was rolled out, in its author's words.
    pub cause: Option<String>,
}

/// How instances of a version go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Failure {
    /// They start and never get ready.
    Readiness,
    /// Their image can't be had: they never start.
    ImagePull,
    /// They are healthy for a while, then no longer.
    Later,
}

/// Where a service runs, and how.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SceneAt {
    /// A glob over places.
    pub place: Spanned<String>,
    /// How many instances it should have.
    #[serde(default = "three")]
    pub replicas: u32,
    /// The tag that is requested; else the last version's.
    pub requested: Option<Spanned<String>>,
    /// How long ago it was requested; else the version's age.
    pub since: Option<Span>,
    /// The tag that ran before; else the one before the requested.
    pub from: Option<Spanned<String>>,
    /// What runs, by tag; else what had come of the rollout by now.
    pub running: Option<BTreeMap<String, u32>>,
    /// Whether its rollout is held; of a group: whether its refresh was cancelled.
    #[serde(default)]
    pub paused: bool,
    /// How many instances run an earlier build of the same tag.
    #[serde(default)]
    pub stale: u32,
    /// How many instances are unhealthy at the start.
    #[serde(default)]
    pub failing: u32,
    /// How many instances have a debug container.
    #[serde(default)]
    pub touched: u32,
    /// Whether nothing is known of what its instances run: their nodes are silent.
    #[serde(default)]
    pub silent: bool,
    /// Instead of the service's.
    pub max_unavailable: Option<String>,
    /// Instead of the service's.
    pub max_surge: Option<String>,
}

/// Who puts a requested version back.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reverter {
    /// `Argo CD`.
    pub by: String,
    /// How soon.
    pub after: Span,
}

/// What should run.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SceneExpect {
    /// The service.
    pub service: Spanned<String>,
    /// One of its tags.
    pub version: Spanned<String>,
    /// Globs over places; all, if empty.
    #[serde(default)]
    pub places: Vec<String>,
}

/// A duration as files write it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct Span(pub Duration);

/// A percentage as files write it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Percent(pub u8);

/// Why a scenario can't be played.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ScenarioError {
    /// No embedded scenario has that name.
    #[error("there is no scenario `{name}`; there are {known}")]
    Unknown {
        /// As it was asked for.
        name: String,
        /// Those that there are.
        known: String,
    },
    /// The file is faulty.
    #[error("line {line}, column {column}: {message}")]
    Faulty {
        /// From 1.
        line: usize,
        /// In characters, from 1.
        column: usize,
        /// What is wrong and what is allowed.
        message: String,
    },
}

fn yes() -> bool {
    true
}

fn one() -> f64 {
    1.0
}

fn three() -> u32 {
    3
}

fn no_route() -> String {
    "connection timed out".to_string()
}

fn quarter() -> String {
    "25%".to_string()
}

fn helm() -> String {
    "helm".to_string()
}

fn two_seconds() -> Span {
    Span(Duration::from_secs(2))
}

fn three_seconds() -> Span {
    Span(Duration::from_secs(3))
}

fn ten_minutes() -> Span {
    Span(Duration::from_secs(600))
}

fn thirty_days() -> Span {
    Span(Duration::from_secs(30 * 86_400))
}
