//! The records of the world: plain data that a test may change as it likes.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

pub(crate) type Tags = BTreeMap<String, String>;

pub(crate) struct Image {
    pub(crate) name: String,
    pub(crate) owner: String,
    /// `available`, `disabled`, `deregistered` …
    pub(crate) state: String,
    pub(crate) created: Timestamp,
    pub(crate) deprecated: Option<Timestamp>,
    pub(crate) source: Option<String>,
    pub(crate) tags: Tags,
}

pub(crate) struct Template {
    pub(crate) name: String,
    /// By number. None: the version names no image. It may name `resolve:ssm:…`.
    pub(crate) versions: BTreeMap<u64, Option<String>>,
    pub(crate) default: u64,
    pub(crate) created: Timestamp,
    pub(crate) tags: Tags,
}

/// An instance as EC2 knows it.
pub(crate) struct Machine {
    /// The image that it was launched with.
    pub(crate) image: String,
    pub(crate) kind: String,
    pub(crate) zone: String,
    pub(crate) state: String,
    pub(crate) launched: Timestamp,
    pub(crate) tags: Tags,
}

/// What a group launches from.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Launches {
    Template(TemplateAt),
    Mixed(Mixed),
    Configuration(String),
}

/// A template and a version of it: a number, `$Latest`, or `$Default`, which is also what none means.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct TemplateAt {
    pub(crate) id: String,
    pub(crate) version: Option<String>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Mixed {
    pub(crate) base: TemplateAt,
    pub(crate) overrides: Vec<Override>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Override {
    pub(crate) kind: String,
    pub(crate) template: Option<TemplateAt>,
    pub(crate) image: Option<String>,
}

pub(crate) struct Group {
    pub(crate) launches: Launches,
    pub(crate) kind: String,
    pub(crate) desired: usize,
    pub(crate) min: usize,
    pub(crate) max: usize,
    /// By instance id.
    pub(crate) members: BTreeMap<String, Member>,
    /// Processes.
    pub(crate) suspended: Vec<String>,
    /// The least and the most of healthy instances, percent.
    pub(crate) maintenance: Option<(u32, u32)>,
    /// The service that alone may change it.
    pub(crate) operator: Option<String>,
    /// Set while it is being deleted.
    pub(crate) status: Option<String>,
    /// Why it launches nothing, if so.
    pub(crate) cannot_launch: Option<String>,
    /// A refresh fails after so many replacements.
    pub(crate) fails_after: Option<usize>,
    pub(crate) tags: Tags,
}

/// An instance as its group knows it.
#[derive(Clone)]
pub(crate) struct Member {
    pub(crate) lifecycle: String,
    pub(crate) health: String,
    /// With a number. None: it was attached by hand, or launched from a configuration.
    pub(crate) template: Option<TemplateAt>,
    /// Told only after its root volume was replaced, and for an image of an override.
    pub(crate) image: Option<String>,
    pub(crate) is_protected: bool,
}

pub(crate) struct Refresh {
    pub(crate) id: String,
    pub(crate) group: String,
    pub(crate) status: String,
    pub(crate) reason: Option<String>,
    pub(crate) started: Timestamp,
    pub(crate) ended: Option<Timestamp>,
    pub(crate) percent: usize,
    /// `InstancesToUpdate`
    pub(crate) left: usize,
    pub(crate) desired: Option<Launches>,
    pub(crate) strategy: String,
    /// Preferences with one value, by their names.
    pub(crate) preferences: BTreeMap<String, String>,
    pub(crate) checkpoints: Vec<usize>,
    pub(crate) alarms: Vec<String>,
    pub(crate) rollback: Option<Rollback>,
    pub(super) before: Vec<String>,
    pub(super) todo: Vec<String>,
    pub(super) total: usize,
    /// Steps that it waits at a checkpoint or bakes.
    pub(super) wait: usize,
    /// The checkpoint that it passed last.
    pub(super) passed: usize,
}

/// What a refresh was when it began to go back.
pub(crate) struct Rollback {
    pub(crate) reason: String,
    pub(crate) started: Timestamp,
    pub(crate) percent: usize,
    pub(crate) left: usize,
}

pub(crate) struct Activity {
    pub(crate) id: String,
    pub(crate) group: String,
    pub(crate) description: String,
    pub(crate) cause: String,
    pub(crate) status: String,
    pub(crate) message: Option<String>,
    pub(crate) progress: usize,
    pub(crate) started: Timestamp,
}

pub(crate) struct Service {
    pub(crate) cluster: String,
    pub(crate) name: String,
    pub(crate) status: String,
    pub(crate) desired: usize,
    pub(crate) definition: (String, u64),
    /// `ECS`, `CODE_DEPLOY` or `EXTERNAL`.
    pub(crate) controller: String,
    /// `ROLLING`, `BLUE_GREEN` …
    pub(crate) strategy: String,
    /// The primary one first.
    pub(crate) deployments: Vec<Deployment>,
    /// The newest first.
    pub(crate) events: Vec<(Timestamp, String)>,
    /// Why its tasks do not start, if so.
    pub(crate) cannot_start: Option<String>,
    /// So many tasks that failed make a rollout go back.
    pub(crate) breaker: Option<usize>,
    pub(crate) created: Timestamp,
}

/// An entry of `services[].deployments`.
pub(crate) struct Deployment {
    /// `ecs-svc/…`
    pub(crate) id: String,
    pub(crate) revision: String,
    /// `IN_PROGRESS`, `COMPLETED` or `FAILED`.
    pub(crate) state: String,
    pub(crate) failed: usize,
    pub(crate) created: Timestamp,
}

pub(crate) struct Revision {
    pub(crate) service: String,
    pub(crate) definition: (String, u64),
    pub(crate) containers: Vec<Container>,
    pub(crate) created: Timestamp,
}

/// A service deployment.
pub(crate) struct Rollout {
    pub(crate) arn: String,
    pub(crate) service: String,
    pub(crate) status: String,
    pub(crate) reason: Option<String>,
    /// Revisions.
    pub(crate) source: Option<String>,
    pub(crate) target: String,
    pub(crate) created: Timestamp,
    pub(crate) finished: Option<Timestamp>,
    /// Why it goes back and since when.
    pub(crate) rollback: Option<(String, Timestamp)>,
}

pub(crate) struct Task {
    pub(crate) cluster: String,
    /// `service:NAME`, or `family:NAME` for one without a service.
    pub(crate) group: String,
    pub(crate) started_by: String,
    pub(crate) definition: (String, u64),
    pub(crate) containers: Vec<Container>,
    pub(crate) status: String,
    /// `RUNNING` or `STOPPED`.
    pub(crate) desired: String,
    pub(crate) started: Timestamp,
    pub(crate) stopped: Option<String>,
    /// When a task that was told to stop has ended.
    pub(crate) ends: Option<Timestamp>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Container {
    pub(crate) name: String,
    pub(crate) image: String,
    pub(crate) digest: Option<String>,
}

pub(crate) struct Definition {
    /// Names and images.
    pub(crate) containers: Vec<(String, String)>,
    /// `ACTIVE` or `INACTIVE`.
    pub(crate) status: String,
    pub(crate) registered: Timestamp,
    /// How long a container that has started is checked before it is called healthy; `None`: nobody checks.
    pub(crate) checked: Option<SignedDuration>,
}

impl Template {
    pub(super) fn latest(&self) -> u64 {
        self.versions.keys().last().copied().unwrap_or(1)
    }

    /// The number behind a version, if there is one.
    pub(super) fn number(&self, version: &str) -> Option<u64> {
        let number = match version {
            "$Latest" => self.latest(),
            "$Default" => self.default,
            number => number.parse().ok()?,
        };
        self.versions.contains_key(&number).then_some(number)
    }
}

impl TemplateAt {
    /// This version of a template.
    pub(crate) fn new(id: &str, version: &str) -> TemplateAt {
        TemplateAt { id: id.into(), version: Some(version.into()) }
    }
}
