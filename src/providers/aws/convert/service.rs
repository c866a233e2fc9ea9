//! An ECS service as a workload, and its tasks as instances.
//!
//! Expected and running are both ECS's own digests: that of the service revision, resolved when its deployment began, and
//! that of the task. Tags are never compared (reference `aws.md` section 0.2).

use std::collections::HashMap;
use std::sync::Arc;

use aws_sdk_ecs::types::{
    DeploymentControllerType, DeploymentRolloutState, HealthStatus, ResourceManagementType, Service,
    ServiceDeploymentBrief, ServiceDeploymentStatus as Status, ServiceRevision, Task, TaskDefinition,
};
use jiff::{SignedDuration, Timestamp};

use super::{Tags, service, tag, time, undoers};
use crate::domain::expectation::ServiceKeys;
use crate::domain::id::{Uid, WorkloadKind};
use crate::domain::image::{DigestKind, ImageId, ImageRef};
use crate::domain::observation::{
    ContainerSeen, ContainerSpec, Health, InstanceSeen, Owner, Phase, RevisionSeen, Role, Rollout, Running, Strategy,
    Template, TemplateHash, WorkloadSeen, Yields,
};
use crate::domain::text::Text;

/// Everything that is known of a service.
#[derive(Clone, Copy)]
pub(in crate::providers::aws) struct Known<'a> {
    /// The service.
    pub service: &'a Service,
    /// Its deployments, newest first, as far as they are known.
    pub deployments: &'a [ServiceDeploymentBrief],
    /// The revisions that it runs or ran, in no order.
    pub revisions: &'a [ServiceRevision],
    /// Which tags name the service.
    pub keys: &'a ServiceKeys,
}

impl Known<'_> {
    /// The service as a workload.
    pub(in crate::providers::aws) fn workload(&self) -> WorkloadSeen {
        let raw = self.service;
        let tags = tags(raw);
        let name = raw.service_name().unwrap_or_default();
        let primary = raw.deployments().iter().find(|deployment| deployment.status() == Some("PRIMARY"));
        let began = primary.and_then(|deployment| deployment.created_at()).and_then(time);
        // A way back may begin within the second in which what it takes back began.
        let generation = began.map_or(0, |at| at.as_millisecond().unsigned_abs()) + u64::from(self.was_taken_back());
        WorkloadSeen {
            uid: uid(raw),
            kind: WorkloadKind::EcsService,
            namespace: Some(Text::new(last(raw.cluster_arn().unwrap_or_default()))),
            name: Text::new(name),
            service: service(self.keys, &tags, name),
            template: self.template(raw.task_definition().unwrap_or_default()),
            main_container: None,
            expected_annotation: tag(&tags, "rolldeck.dev/expected-image").map(Text::new),
            generation,
            observed_generation: generation,
            desired: u32::try_from(raw.desired_count()).unwrap_or(0),
            rollout: self.rollout(),
            running: self.running(),
            canary: None,
            strategy: strategy(raw),
            owners: Vec::new(),
            undoers: undoers(&tags),
            requested_since: began,
            touched_by: None,
            inoperable: why_inoperable(raw),
            trouble: trouble(raw),
        }
    }

    /// Every task definition that it is known to have run; ECS resolved its tags when its deployment began.
    pub(in crate::providers::aws) fn past(&self) -> Vec<RevisionSeen> {
        let mut found: Vec<RevisionSeen> = Vec::new();
        let mut sorted: Vec<&ServiceRevision> = self.revisions.iter().collect();
        sorted.sort_by_key(|revision| std::cmp::Reverse(revision.created_at().and_then(time)));
        for revision in sorted {
            let definition = revision.task_definition().unwrap_or_default();
            let uid = revision_uid(self.service, definition);
            if found.iter().any(|known| known.uid == uid) {
                continue;
            }
            found.push(RevisionSeen {
                uid,
                workload: self::uid(self.service),
                number: number(definition),
                past_numbers: Vec::new(),
                template: self.template(definition),
                created_at: revision.created_at().and_then(time),
                cause: None,
                left: self.why_left(revision),
                deprecated_at: None,
                label: None,
            });
        }
        found
    }

    /// The template of a task definition, with the digests that its revision in force has, else its newest one: a deployment
    /// that was taken back may have left a newer one with what its tags stood for then.
    fn template(&self, definition: &str) -> Template {
        let of_it = self.revisions.iter().filter(|revision| revision.task_definition() == Some(definition));
        let in_force = |revision: &ServiceRevision| {
            let mut current = self.service.current_service_revisions().iter();
            current.any(|current| current.arn().is_some() && current.arn() == revision.service_revision_arn())
        };
        let newest = of_it.max_by_key(|revision| (in_force(revision), revision.created_at().and_then(time)));
        let containers = newest.map(|revision| revision.container_images()).unwrap_or_default();
        let containers = containers.iter().map(|container| ContainerSpec {
            name: Text::new(container.container_name().unwrap_or_default()),
            role: Role::App,
            image: container.image().and_then(|image| pinned(image, container.image_digest())),
        });
        Template {
            hash: TemplateHash(Text::new(last(definition))),
            containers: containers.collect(),
            version: None,
            latent: None,
        }
    }

    /// The deployment in force, as far as it is known.
    fn current(&self) -> Option<&ServiceDeploymentBrief> {
        match self.service.current_service_deployment() {
            Some(arn) => self.deployments.iter().find(|known| known.service_deployment_arn() == Some(arn)),
            None => self.deployments.first(),
        }
    }

    /// Whether the service has left the task definition that its deployment went to.
    fn was_taken_back(&self) -> bool {
        let Some(current) = self.current() else { return false };
        let target = current.target_service_revision_arn();
        let target = self.revisions.iter().find(|known| known.service_revision_arn() == target);
        let left = target.and_then(|target| target.task_definition());
        current.status().is_some_and(is_way_back) && left.is_some() && left != self.service.task_definition()
    }

    /// A newer deployment supersedes the one that runs.
    fn running(&self) -> Option<Running> {
        let current = self.current().filter(|current| current.status().is_some_and(is_stoppable))?;
        let id = last(current.service_deployment_arn()?);
        let status = current.status().map(|status| status.as_str()).unwrap_or_default();
        let what = format!("deployment {id} ({status})");
        Some(Running { id: Text::new(id), what: Text::new(&what), yields: Yields::ToAny })
    }

    fn rollout(&self) -> Rollout {
        let primary = self.service.deployments().iter().find(|deployment| deployment.status() == Some("PRIMARY"));
        let newest = self.current();
        let is_many = self.service.deployments().len() > 1;
        match (newest.and_then(|newest| newest.status()), primary.and_then(|primary| primary.rollout_state())) {
            (Some(Status::Stopped | Status::StopRequested), _) if is_many => Rollout::Paused,
            (Some(Status::RollbackFailed), _) => Rollout::Failed(Text::new("its roll back failed")),
            (_, Some(DeploymentRolloutState::Failed)) => {
                let why = primary.and_then(|primary| primary.rollout_state_reason());
                Rollout::Failed(Text::new(why.unwrap_or("its deployment failed")))
            }
            (_, Some(DeploymentRolloutState::InProgress)) => Rollout::Progressing,
            // External and CodeDeploy deployments tell no state.
            (_, None) if is_many => Rollout::Progressing,
            _ => Rollout::Stable,
        }
    }

    fn why_left(&self, revision: &ServiceRevision) -> Option<Text> {
        let arn = revision.service_revision_arn();
        let to_it = |known: &&ServiceDeploymentBrief| known.target_service_revision_arn() == arn && arn.is_some();
        let newest = self.deployments.iter().find(to_it)?;
        newest.status().filter(|status| is_way_back(status)).map(|_| Text::new("its deployment was rolled back"))
    }
}

/// Containers with a health check of their own, by ARN of the task definition; `None` where it can't be read.
pub(in crate::providers::aws) type HealthChecks = HashMap<String, Option<Vec<String>>>;

/// How long after its start it is worth asking whether a task has a check that has not answered: most have by then. ECS lets a
/// check take most of an hour (ECS API reference, `HealthCheck`).
const STARTING: SignedDuration = SignedDuration::from_hours(1);

/// Tasks as instances. Tasks of one task definition share their owner.
pub(in crate::providers::aws) struct Conversion<'a> {
    /// Owners that were made before.
    pub owners: &'a mut HashMap<Uid, Arc<Owner>>,
    /// What is known of health checks.
    pub checks: &'a HealthChecks,
    /// Now.
    pub now: Timestamp,
}

impl Conversion<'_> {
    /// A task of a service.
    pub(in crate::providers::aws) fn of_service(
        &mut self,
        task: &Task,
        raw: &Service,
        keys: &ServiceKeys,
    ) -> InstanceSeen {
        let name = raw.service_name().unwrap_or_default();
        let service = service(keys, &tags(raw), name);
        let owner = revision_uid(raw, task.task_definition_arn().unwrap_or_default());
        self.instance(task, owner, WorkloadKind::EcsService, (name, service))
    }

    /// A task that no service has started.
    pub(in crate::providers::aws) fn alone(&mut self, task: &Task) -> InstanceSeen {
        let family = family_of(task);
        self.instance(task, family_uid(task), WorkloadKind::EcsTask, (&family, Text::new(&family)))
    }

    fn instance(&mut self, task: &Task, owner: Uid, kind: WorkloadKind, (name, service): (&str, Text)) -> InstanceSeen {
        let made = || Arc::new(Owner { uid: owner.clone(), kind, name: Text::new(name) });
        let owner = self.owners.entry(owner.clone()).or_insert_with(made).clone();
        let (phase, health, reason) = self.life(task);
        let containers: Vec<ContainerSeen> = task
            .containers()
            .iter()
            .map(|container| ContainerSeen {
                name: Text::new(container.name().unwrap_or_default()),
                role: Role::App,
                asked: container.image().and_then(|image| image.parse().ok()),
                running: container.image_digest().and_then(digest),
            })
            .collect();
        InstanceSeen {
            uid: Uid::new(task.task_arn().unwrap_or_default()),
            owner: Some(owner),
            service,
            namespace: Some(Text::new(last(task.cluster_arn().unwrap_or_default()))),
            name: Text::new(last(task.task_arn().unwrap_or_default())),
            revision: None,
            phase,
            health,
            reason,
            platform: None,
            containers: containers.into(),
            started_at: task.started_at().or(task.created_at()).and_then(time),
            restarts: 0,
            touched: None,
        }
    }

    /// A task that runs is healthy as far as anybody knows, unless it has a check that has not answered yet.
    fn life(&self, task: &Task) -> (Phase, Health, Option<Text>) {
        match life(task) {
            (Phase::Running, Health::Healthy, _) => match awaits_its_check(task, self.checks, self.now) {
                Some(false) => (Phase::Running, Health::Healthy, None),
                Some(true) => {
                    (Phase::Running, Health::Unhealthy, Some(Text::new("its health check has not passed yet")))
                }
                None => {
                    (Phase::Running, Health::Unknown, Some(Text::new("whether it has a health check is not known yet")))
                }
            },
            life => life,
        }
    }
}

/// Whether a task that runs waits for the first answer of its health check, as far as is known; `None`: nobody has looked yet.
pub(in crate::providers::aws) fn awaits_its_check(task: &Task, checks: &HealthChecks, now: Timestamp) -> Option<bool> {
    if !may_await_its_check(task, now) {
        return Some(false);
    }
    let awaits = |name: &String| {
        let mut containers = task.containers().iter();
        let found = containers.find(|container| container.name() == Some(name));
        found.is_some_and(|container| container.health_status() != Some(&HealthStatus::Healthy))
    };
    let checked = checks.get(task.task_definition_arn()?)?;
    // What can't be read is as well as anybody knows.
    Some(checked.iter().flatten().any(awaits))
}

/// Whether a task that runs may be waiting for the first answer of its health check: ECS says the same of one that has none.
pub(in crate::providers::aws) fn may_await_its_check(task: &Task, now: Timestamp) -> bool {
    let is_new = task.started_at().and_then(time).is_none_or(|at| now.duration_since(at) < STARTING);
    let is_told = matches!(task.health_status(), Some(HealthStatus::Healthy | HealthStatus::Unhealthy));
    is_new && !is_told && task.last_status() == Some("RUNNING")
}

/// The containers of a task definition that have a health check.
pub(in crate::providers::aws) fn checked_containers(definition: &TaskDefinition) -> Vec<String> {
    let containers = definition.container_definitions().iter();
    let checked = containers.filter(|container| container.health_check().is_some());
    checked.filter_map(|container| container.name()).map(ToString::to_string).collect()
}

/// Whether nothing of a task runs any more.
pub(in crate::providers::aws) fn has_ended(task: &Task) -> bool {
    matches!(task.last_status(), Some("STOPPED" | "DELETED"))
}

/// The workload of tasks of one family that no service has started.
pub(in crate::providers::aws) fn family(task: &Task, desired: u32) -> WorkloadSeen {
    let name = family_of(task);
    let definition = task.task_definition_arn().unwrap_or_default();
    WorkloadSeen {
        uid: family_uid(task),
        kind: WorkloadKind::EcsTask,
        namespace: Some(Text::new(last(task.cluster_arn().unwrap_or_default()))),
        name: Text::new(&name),
        service: Text::new(&name),
        template: Template {
            hash: TemplateHash(Text::new(last(definition))),
            containers: Vec::new(),
            version: None,
            latent: None,
        },
        main_container: None,
        expected_annotation: None,
        generation: 0,
        observed_generation: 0,
        desired,
        rollout: Rollout::Stable,
        running: None,
        canary: None,
        strategy: Strategy::default(),
        owners: Vec::new(),
        undoers: Vec::new(),
        requested_since: None,
        touched_by: None,
        inoperable: Some(Text::new("no service would start another in its place")),
        trouble: None,
    }
}

/// Whether no service has started it.
pub(in crate::providers::aws) fn service_of(task: &Task) -> Option<&str> {
    task.group().and_then(|group| group.strip_prefix("service:"))
}

/// Whether a deployment will become something else by itself.
pub(in crate::providers::aws) fn is_under_way(status: &Status) -> bool {
    matches!(
        status,
        Status::Pending
            | Status::InProgress
            | Status::StopRequested
            | Status::RollbackRequested
            | Status::RollbackInProgress
    )
}

/// Whether a deployment is taken back, or was.
fn is_way_back(status: &Status) -> bool {
    matches!(
        status,
        Status::RollbackRequested | Status::RollbackInProgress | Status::RollbackSuccessful | Status::RollbackFailed
    )
}

/// Whether a deployment can be stopped.
pub(in crate::providers::aws) fn is_stoppable(status: &Status) -> bool {
    matches!(status, Status::Pending | Status::InProgress)
}

/// The workload's uid.
pub(in crate::providers::aws) fn uid(raw: &Service) -> Uid {
    Uid::new(raw.service_arn().unwrap_or_default())
}

/// The uid of a task definition in a service.
pub(in crate::providers::aws) fn revision_uid(raw: &Service, definition: &str) -> Uid {
    Uid::new(&format!("{}#{}", uid(raw), last(definition)))
}

/// The name in an ARN: what follows the last slash.
pub(in crate::providers::aws) fn last(arn: &str) -> &str {
    arn.rsplit('/').next().unwrap_or(arn)
}

/// The number of a task definition: `…/checkout:42`.
pub(in crate::providers::aws) fn number(definition: &str) -> u64 {
    definition.rsplit(':').next().and_then(|number| number.parse().ok()).unwrap_or(0)
}

fn family_of(task: &Task) -> String {
    let definition = last(task.task_definition_arn().unwrap_or_default());
    definition.split(':').next().unwrap_or(definition).to_string()
}

fn family_uid(task: &Task) -> Uid {
    Uid::new(&format!("{} family {}", last(task.cluster_arn().unwrap_or_default()), family_of(task)))
}

/// An image with the digest that ECS resolved it to.
fn pinned(image: &str, digest: Option<&str>) -> Option<ImageRef> {
    match digest {
        Some(digest) if !image.contains('@') => format!("{image}@{digest}").parse().ok(),
        _ => image.parse().ok(),
    }
}

/// ECS does not say which document of an image its digests are of; it says so in the same way everywhere.
fn digest(raw: &str) -> Option<ImageId> {
    raw.parse().ok().map(|digest| ImageId::oci(digest, DigestKind::Repository))
}

fn tags(raw: &Service) -> Tags<'_> {
    raw.tags().iter().filter_map(|tag| Some((tag.key()?, tag.value().unwrap_or_default()))).collect()
}

fn strategy(raw: &Service) -> Strategy {
    let configuration = raw.deployment_configuration();
    let kind = configuration.and_then(|known| known.strategy()).map(|strategy| strategy.as_str()).unwrap_or("ROLLING");
    let min = configuration.and_then(|known| known.minimum_healthy_percent());
    let max = configuration.and_then(|known| known.maximum_percent());
    Strategy {
        kind: Text::new(kind),
        max_unavailable: min.map(|min| Text::new(&format!("{}%", (100 - min).max(0)))),
        max_surge: max.map(|max| Text::new(&format!("{}%", (max - 100).max(0)))),
        partition: 0,
        first_number: 0,
    }
}

/// What ECS tells of tasks that it can't start or keep, if that is the last that it tells.
fn trouble(raw: &Service) -> Option<Text> {
    let told = raw.events().first()?.message()?;
    let is_bad = ["unable to", "unhealthy", "failed"].iter().any(|word| told.contains(word));
    let is_short = raw.running_count() < raw.desired_count() || raw.deployments().len() > 1;
    (is_bad && is_short).then(|| Text::new(told))
}

fn why_inoperable(raw: &Service) -> Option<Text> {
    let controller = raw.deployment_controller().map(|controller| controller.r#type());
    let why = match controller {
        _ if raw.status().is_some_and(|status| status != "ACTIVE") => "it is being deleted",
        Some(DeploymentControllerType::CodeDeploy) => {
            "CodeDeploy drives it: stop or roll back its deployment there (aws deploy stop-deployment --auto-rollback-enabled)"
        }
        Some(DeploymentControllerType::External) => "a deployment controller outside of AWS drives it: roll back there",
        _ if raw.resource_management_type() == Some(&ResourceManagementType::Ecs) => {
            "an Express service: ECS manages what it runs"
        }
        _ => return None,
    };
    Some(Text::new(why))
}

/// The life of a task (ECS Developer Guide, "Task lifecycle"). Without a health check a task that runs is as well as
/// anybody knows.
fn life(task: &Task) -> (Phase, Health, Option<Text>) {
    let status = task.last_status().unwrap_or_default();
    let say = |why: &str| Some(Text::new(why));
    let is_ending = task.desired_status() == Some("STOPPED");
    match status {
        "STOPPED" | "DELETED" => (Phase::Failed, Health::Unhealthy, task.stopped_reason().and_then(say)),
        _ if is_ending => (Phase::Draining, Health::Unhealthy, task.stopped_reason().and_then(say)),
        "RUNNING" if task.health_status() == Some(&HealthStatus::Unhealthy) => {
            (Phase::Running, Health::Unhealthy, say("its health check fails"))
        }
        "RUNNING" => (Phase::Running, Health::Healthy, None),
        "PROVISIONING" | "PENDING" | "ACTIVATING" => (Phase::Pending, Health::Unhealthy, say(status)),
        "DEACTIVATING" | "STOPPING" | "DEPROVISIONING" => (Phase::Draining, Health::Unhealthy, say(status)),
        _ => (Phase::Unknown, Health::Unknown, say(status)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_ecs::primitives::DateTime;
    use aws_sdk_ecs::types::{ContainerImage, ServiceCurrentRevisionSummary};

    #[test]
    fn what_is_in_force_is_expected_although_a_newer_one_was_taken_back() {
        let digest = |digit: &str| format!("sha256:{}", digit.repeat(64));
        let revision = |arn: &str, at: i64, digit: &str| {
            let image =
                ContainerImage::builder().container_name("app").image("shop/pay:stable").image_digest(digest(digit));
            ServiceRevision::builder()
                .service_revision_arn(arn)
                .task_definition("arn:aws:ecs:eu:1:task-definition/pay:41")
                .created_at(DateTime::from_secs(at))
                .container_images(image.build())
                .build()
        };
        let revisions = [revision("a", 1, "a"), revision("b", 2, "b")];
        let service = |current: Option<&str>| {
            let current = current.map(|arn| vec![ServiceCurrentRevisionSummary::builder().arn(arn).build()]);
            Service::builder()
                .task_definition("arn:aws:ecs:eu:1:task-definition/pay:41")
                .set_current_service_revisions(current)
                .build()
        };
        for (current, expected) in [(Some("a"), "a"), (Some("b"), "b"), (None, "b")] {
            let (service, keys) = (service(current), ServiceKeys::default());
            let known = Known { service: &service, deployments: &[], revisions: &revisions, keys: &keys };
            let image = known.workload().template.containers[0].image.clone().expect("an image");
            assert_eq!(image.digest().map(ToString::to_string), Some(digest(expected)), "{current:?}");
        }
    }
}
