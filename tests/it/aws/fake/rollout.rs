//! What ECS does when it is told to, and when time moves: service deployments, and tasks that take the place of others.

use std::collections::BTreeMap;

use serde_json::json;

use super::answer::{self, Refusal, Reply};
use super::ecs;
use super::records::{Container, Deployment, Revision, Rollout, Task};
use super::request::Request;
use super::world::World;

const ACTIVE: &[&str] = &["PENDING", "IN_PROGRESS", "STOP_REQUESTED", "ROLLBACK_REQUESTED", "ROLLBACK_IN_PROGRESS"];

pub(super) fn update_service(world: &mut World, request: &Request) -> Reply {
    let asked = request.json();
    let arn = ecs::service_of(world, &asked)?;
    let service = &world.services[&arn];
    if service.status != "ACTIVE" {
        return Err(Refusal::new("ServiceNotActiveException", "Service was not ACTIVE."));
    }
    let mut definition = service.definition.clone();
    if let Some(name) = asked["taskDefinition"].as_str() {
        if service.controller != "ECS" {
            let message = "Unable to update task definition on services with this deployment controller.";
            return Err(Refusal::new("InvalidParameterException", message));
        }
        definition = ecs::definition_of(world, name)
            .ok_or_else(|| Refusal::new("ClientException", "TaskDefinition not found."))?;
        if world.definitions[&definition].status != "ACTIVE" {
            return Err(Refusal::new("ClientException", "TaskDefinition is inactive"));
        }
    }
    // The same definition again starts nothing unless it is forced.
    let is_new = definition != service.definition || asked["forceNewDeployment"] == true;
    let is_ours = service.controller == "ECS";
    let service = world.services.get_mut(&arn).expect("found above");
    service.definition = definition;
    if let Some(count) = asked["desiredCount"].as_u64() {
        service.desired = count as usize;
    }
    if is_new && is_ours {
        begin(world, &arn);
    }
    answer::json(&json!({"service": ecs::service_fields(world, &arn, &ecs::counts(world))}))
}

pub(super) fn stop(world: &mut World, request: &Request) -> Reply {
    let asked = request.json();
    let arn = asked["serviceDeploymentArn"].as_str().unwrap_or_default();
    let Some(rollout) = world.rollouts.iter_mut().find(|rollout| rollout.arn == arn) else {
        let message = "The service deployment could not be found.";
        return Err(Refusal::new("ServiceDeploymentNotFoundException", message));
    };
    if !["PENDING", "IN_PROGRESS"].contains(&rollout.status.as_str()) {
        return Err(Refusal::new("ConflictException", format!("The service deployment is {}.", rollout.status)));
    }
    rollout.status = if asked["stopType"] == "ABORT" { "STOP_REQUESTED" } else { "ROLLBACK_REQUESTED" }.into();
    answer::json(&json!({"serviceDeploymentArn": arn}))
}

/// The service starts another one at the next step.
pub(super) fn stop_task(world: &mut World, request: &Request) -> Reply {
    let asked = request.json();
    let cluster = ecs::cluster_of(world, &asked)?;
    let named = asked["task"].as_str().unwrap_or_default();
    let arn = world.ecs_arn("task", &format!("{cluster}/{}", named.rsplit('/').next().unwrap_or_default()));
    if !world.tasks.contains_key(&arn) {
        return Err(Refusal::new("InvalidParameterException", "The referenced task was not found."));
    }
    tell_to_stop(world, &arn, asked["reason"].as_str().unwrap_or("Task stopped by user"));
    answer::json(&json!({"task": ecs::task_fields(world, &arn)}))
}

/// A new service deployment of what the service is to run, with the tags as they are now. A newer one stops an older.
pub(super) fn begin(world: &mut World, arn: &str) {
    for rollout in world.rollouts.iter_mut().filter(|rollout| rollout.service == arn && is_active(rollout)) {
        (rollout.status, rollout.finished) = ("STOPPED".into(), Some(world.now));
    }
    let service = &world.services[arn];
    let (place, definition) = (format!("{}/{}", service.cluster, service.name), service.definition.clone());
    let source = service.deployments.first().map(|deployment| deployment.revision.clone());
    let containers = world.definitions[&definition].containers.iter();
    let pinned = containers.map(|(name, image)| (name.clone(), image.clone(), Some(world.digest(image))));
    let containers = pinned.map(|(name, image, digest)| Container { name, image, digest }).collect();
    let number = world.next();
    let revision = world.ecs_arn("service-revision", &format!("{place}/{number}"));
    world
        .revisions
        .insert(revision.clone(), Revision { service: arn.into(), definition, containers, created: world.now });
    world.rollouts.push(Rollout {
        arn: world.ecs_arn("service-deployment", &format!("{place}/{number}")),
        service: arn.into(),
        status: "PENDING".into(),
        reason: None,
        source,
        target: revision.clone(),
        created: world.now,
        finished: None,
        rollback: None,
    });
    make_primary(world, arn, revision);
}

/// All of a new service at once: its tasks run, its deployment is over.
pub(super) fn complete(world: &mut World, arn: &str) {
    for _ in 0..world.services[arn].desired {
        start_task(world, arn);
    }
    finish(world, arn, "SUCCESSFUL");
}

pub(super) fn step(world: &mut World) {
    let now = world.now;
    for task in world.tasks.values_mut().filter(|task| task.ends.is_some_and(|ends| ends <= now)) {
        task.status = "STOPPED".into();
    }
    let mut running: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (arn, task) in world.tasks.iter().filter(|(_, task)| task.desired == "RUNNING") {
        if let Some(name) = task.group.strip_prefix("service:") {
            let service = world.ecs_arn("service", &format!("{}/{name}", task.cluster));
            running.entry(service).or_default().push(arn.clone());
        }
    }
    for arn in world.services.keys().cloned().collect::<Vec<_>>() {
        if world.services[&arn].controller == "ECS" {
            let tasks = running.remove(&arn).unwrap_or_default();
            obey(world, &arn);
            replace_third(world, &arn, &tasks);
        }
    }
}

/// What was asked for takes effect.
fn obey(world: &mut World, arn: &str) {
    let now = world.now;
    let rollout = newest(world, arn);
    let source = rollout.source.clone();
    match rollout.status.as_str() {
        "PENDING" => rollout.status = "IN_PROGRESS".into(),
        "STOP_REQUESTED" => (rollout.status, rollout.finished) = ("STOPPED".into(), Some(now)),
        "ROLLBACK_REQUESTED" => go_back(world, arn, source, "Service deployment rolled back because of a request."),
        _ => {}
    }
}

fn go_back(world: &mut World, arn: &str, source: Option<String>, reason: &str) {
    let now = world.now;
    let rollout = newest(world, arn);
    rollout.reason = Some(reason.into());
    rollout.rollback = Some((reason.into(), now));
    match source {
        Some(source) => {
            rollout.status = "ROLLBACK_IN_PROGRESS".into();
            let definition = world.revisions[&source].definition.clone();
            world.services.get_mut(arn).expect("it is there").definition = definition;
            make_primary(world, arn, source);
        }
        None => (rollout.status, rollout.finished) = ("ROLLBACK_FAILED".into(), Some(now)),
    }
}

fn replace_third(world: &mut World, arn: &str, tasks: &[String]) {
    let status = newest(world, arn).status.clone();
    let service = &world.services[arn];
    let want = if service.status == "ACTIVE" { service.desired } else { 0 };
    let primary = service.deployments[0].id.clone();
    let (new, old): (Vec<&String>, Vec<&String>) =
        tasks.iter().partition(|task| world.tasks[*task].started_by == primary);
    // A deployment that was stopped leaves the old tasks where they are.
    let is_halted = status == "STOPPED" || status == "ROLLBACK_FAILED";
    let taken = new.len() + if is_halted { old.len() } else { 0 };
    let start = want.div_ceil(3).min(want.saturating_sub(taken));
    if start > 0 && service.cannot_start.is_some() {
        return fail(world, arn, start);
    }
    let excess = (new.len() + start + old.len()).saturating_sub(want);
    for task in old.iter().chain(&new).take(excess) {
        tell_to_stop(world, task, &format!("Scaling activity initiated by (deployment {primary})"));
    }
    for _ in 0..start {
        start_task(world, arn);
    }
    if start > 0 {
        let (now, service) = (world.now, world.services.get_mut(arn).expect("it is there"));
        service.events.insert(0, (now, format!("(service {}) has started {start} tasks.", service.name)));
    }
    let tasks = &world.tasks;
    let is_left = |deployment: &Deployment| {
        old.iter().any(|task| tasks[*task].started_by == deployment.id && tasks[*task].desired == "RUNNING")
    };
    let service = world.services.get_mut(arn).expect("it is there");
    service.deployments.retain(|deployment| deployment.id == primary || is_left(deployment));
    if service.deployments.len() == 1 && new.len() + start == want {
        match status.as_str() {
            "PENDING" | "IN_PROGRESS" => finish(world, arn, "SUCCESSFUL"),
            "ROLLBACK_IN_PROGRESS" => finish(world, arn, "ROLLBACK_SUCCESSFUL"),
            _ => {}
        }
    }
}

/// Tasks that would start do not; the circuit breaker counts them.
fn fail(world: &mut World, arn: &str, count: usize) {
    let now = world.now;
    let service = world.services.get_mut(arn).expect("it is there");
    service.deployments[0].failed += count;
    let reason = service.cannot_start.clone().unwrap_or_default();
    service.events.insert(0, (now, format!("(service {}) was unable to place a task: {reason}", service.name)));
    if service.breaker.is_none_or(|limit| service.deployments[0].failed < limit) {
        return;
    }
    let rollout = newest(world, arn);
    let source = rollout.source.clone();
    if rollout.status == "IN_PROGRESS" {
        let message = "tasks failed to start.";
        world.services.get_mut(arn).expect("it is there").deployments[0].state = "FAILED".into();
        go_back(
            world,
            arn,
            source,
            &format!("Service deployment rolled back because the circuit breaker threshold was exceeded: {message}"),
        );
    }
}

fn finish(world: &mut World, arn: &str, status: &str) {
    let now = world.now;
    let rollout = newest(world, arn);
    (rollout.status, rollout.finished) = (status.into(), Some(now));
    let service = world.services.get_mut(arn).expect("it is there");
    service.deployments[0].state = "COMPLETED".into();
    service.events.insert(0, (now, format!("(service {}) has reached a steady state.", service.name)));
}

fn make_primary(world: &mut World, arn: &str, revision: String) {
    let id = format!("ecs-svc/{:019}", world.next());
    let deployment = Deployment { id, revision, state: "IN_PROGRESS".into(), failed: 0, created: world.now };
    world.services.get_mut(arn).expect("it is there").deployments.insert(0, deployment);
}

/// A task of the primary deployment, with the digests that its revision pinned.
fn start_task(world: &mut World, arn: &str) {
    let number = world.next();
    let service = &world.services[arn];
    let deployment = &service.deployments[0];
    let revision = &world.revisions[&deployment.revision];
    let task = Task {
        cluster: service.cluster.clone(),
        group: format!("service:{}", service.name),
        started_by: deployment.id.clone(),
        definition: revision.definition.clone(),
        containers: revision.containers.clone(),
        status: "RUNNING".into(),
        desired: "RUNNING".into(),
        started: world.now,
        stopped: None,
        ends: None,
    };
    world.tasks.insert(world.ecs_arn("task", &format!("{}/{number:032x}", task.cluster)), task);
}

/// A task that is told to stop goes on for as long as it takes.
pub(crate) fn tell_to_stop(world: &mut World, arn: &str, reason: &str) {
    let ends = world.now + world.stopping;
    let status = if ends > world.now { "STOPPING" } else { "STOPPED" };
    let task = world.tasks.get_mut(arn).expect("it is there");
    (task.status, task.desired, task.stopped) = (status.into(), "STOPPED".into(), Some(reason.into()));
    task.ends = Some(ends);
}

fn is_active(rollout: &Rollout) -> bool {
    ACTIVE.contains(&rollout.status.as_str())
}

fn newest<'a>(world: &'a mut World, arn: &str) -> &'a mut Rollout {
    world.rollouts.iter_mut().rev().find(|rollout| rollout.service == arn).expect("a service begins with one")
}
