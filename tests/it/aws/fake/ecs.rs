//! What ECS answers. What services do stands beside.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::answer::{self, Refusal, Reply, newest_first, page};
use super::records::{Container, Definition, Rollout};
use super::request::Request;
use super::world::World;

pub(super) fn list_clusters(world: &World, request: &Request) -> Reply {
    let arns = world.clusters.iter().map(|name| cluster_arn(world, name));
    listed(&request.json(), "clusterArns", arns.map(|arn| (arn.clone(), json!(arn))), 100)
}

pub(super) fn clusters(world: &World, request: &Request) -> Reply {
    let asked = request.json();
    let named = strings(&asked["clusters"]);
    let named = if named.is_empty() { vec!["default".to_string()] } else { named };
    let tasks =
        |name: &str| world.tasks.values().filter(|task| task.cluster == name && task.desired == "RUNNING").count();
    described("clusters", &named, 100, |cluster| {
        let name = cluster.rsplit('/').next().unwrap_or_default();
        let services = world.services.values().filter(|service| service.cluster == name).count();
        world.clusters.contains(name).then(|| {
            json!({
                "clusterArn": cluster_arn(world, name), "clusterName": name, "status": "ACTIVE",
                "runningTasksCount": tasks(name), "pendingTasksCount": 0, "activeServicesCount": services,
            })
        })
    })
}

pub(super) fn list_services(world: &World, request: &Request) -> Reply {
    let asked = request.json();
    let cluster = cluster_of(world, &asked)?;
    let found = world.services.iter().filter(|(_, service)| service.cluster == cluster && service.status != "INACTIVE");
    listed(&asked, "serviceArns", found.map(|(arn, _)| (arn.clone(), json!(arn))), 10)
}

pub(super) fn services(world: &World, request: &Request) -> Reply {
    let asked = request.json();
    let (cluster, counts) = (cluster_of(world, &asked)?, counts(world));
    described("services", &strings(&asked["services"]), 10, |named| {
        let arn = service_arn(world, &cluster, named);
        world.services.contains_key(&arn).then(|| service_fields(world, &arn, &counts))
    })
}

pub(super) fn list_tasks(world: &World, request: &Request) -> Reply {
    let asked = request.json();
    let cluster = cluster_of(world, &asked)?;
    let group = asked["serviceName"].as_str().map(|name| format!("service:{}", last(name)));
    if group.is_some() {
        service_of(world, &json!({"cluster": cluster, "service": asked["serviceName"]}))?;
    }
    let (family, starter) = (asked["family"].as_str(), asked["startedBy"].as_str());
    let desired = asked["desiredStatus"].as_str().unwrap_or("RUNNING");
    let found = world.tasks.iter().filter(|(_, task)| {
        task.cluster == cluster
            && task.desired == desired
            && group.as_ref().is_none_or(|group| task.group == *group)
            && family.is_none_or(|family| task.definition.0 == family)
            && starter.is_none_or(|starter| task.started_by == starter)
    });
    listed(&asked, "taskArns", found.map(|(arn, _)| (arn.clone(), json!(arn))), 100)
}

pub(super) fn tasks(world: &World, request: &Request) -> Reply {
    let asked = request.json();
    let cluster = cluster_of(world, &asked)?;
    described("tasks", &strings(&asked["tasks"]), 100, |named| {
        let arn = world.ecs_arn("task", &format!("{cluster}/{}", last(named)));
        world.tasks.contains_key(&arn).then(|| task_fields(world, &arn))
    })
}

pub(super) fn list_definitions(world: &World, request: &Request) -> Reply {
    let asked = request.json();
    let (family, status) = (asked["familyPrefix"].as_str(), asked["status"].as_str().unwrap_or("ACTIVE"));
    let found = world
        .definitions
        .iter()
        .filter(|((name, _), definition)| family.is_none_or(|family| family == name) && definition.status == status);
    let arn = |key: &(String, u64)| json!(definition_arn(world, key));
    if asked["sort"] == "DESC" {
        // Keys rise from page to page; here they count from the end.
        let items = found.rev().enumerate().map(|(number, (key, _))| (format!("{number:09}"), arn(key)));
        return listed(&asked, "taskDefinitionArns", items, 100);
    }
    let items = found.map(|(key, _)| (format!("{} {:08}", key.0, key.1), arn(key)));
    listed(&asked, "taskDefinitionArns", items, 100)
}

pub(super) fn definition(world: &World, request: &Request) -> Reply {
    let asked = request.json();
    let found = definition_of(world, asked["taskDefinition"].as_str().unwrap_or_default());
    let key = found.ok_or_else(|| Refusal::new("ClientException", "Unable to describe task definition."))?;
    let Definition { containers, status, registered, checked } = &world.definitions[&key];
    let containers: Vec<Value> = containers
        .iter()
        .map(|(name, image)| {
            let check = checked.map(|_| json!({"command": ["CMD-SHELL", "true"]}));
            without_nulls(json!({
                "name": name, "image": image, "essential": true, "versionConsistency": "enabled", "healthCheck": check,
            }))
        })
        .collect();
    answer::json(&json!({"taskDefinition": {
        "taskDefinitionArn": definition_arn(world, &key), "family": key.0, "revision": key.1, "status": status,
        "containerDefinitions": containers, "registeredAt": moment(*registered),
    }}))
}

pub(super) fn revisions(world: &World, request: &Request) -> Reply {
    described("serviceRevisions", &strings(&request.json()["serviceRevisionArns"]), 20, |arn| {
        let revision = world.revisions.get(arn)?;
        let images = revision.containers.iter().map(|container| {
            let Container { name, image, digest } = container;
            without_nulls(json!({"containerName": name, "image": image, "imageDigest": digest}))
        });
        Some(json!({
            "serviceRevisionArn": arn, "serviceArn": revision.service, "launchType": "FARGATE",
            "clusterArn": cluster_arn(world, &world.services[&revision.service].cluster),
            "taskDefinition": definition_arn(world, &revision.definition),
            "containerImages": images.collect::<Vec<_>>(), "createdAt": moment(revision.created),
        }))
    })
}

pub(super) fn list_rollouts(world: &World, request: &Request) -> Reply {
    let asked = request.json();
    let arn = service_of(world, &asked)?;
    if world.services[&arn].controller != "ECS" {
        let message = "The service does not use the ECS deployment controller.";
        return Err(Refusal::new("UnsupportedFeatureException", message));
    }
    let statuses = strings(&asked["status"]);
    let all = world.rollouts.iter().enumerate().rev();
    let found = all
        .filter(|(_, rollout)| rollout.service == arn && (statuses.is_empty() || statuses.contains(&rollout.status)));
    let items = found.map(|(number, rollout)| {
        let mut brief = rollout_fields(world, rollout);
        brief["targetServiceRevisionArn"] = json!(rollout.target);
        for name in ["sourceServiceRevisions", "targetServiceRevision", "rollback", "deploymentCircuitBreaker"] {
            brief.as_object_mut().expect("an object").remove(name);
        }
        (newest_first(number), brief)
    });
    listed(&asked, "serviceDeployments", items, 20)
}

pub(super) fn rollouts(world: &World, request: &Request) -> Reply {
    described("serviceDeployments", &strings(&request.json()["serviceDeploymentArns"]), 20, |arn| {
        world.rollouts.iter().find(|rollout| rollout.arn == arn).map(|rollout| rollout_fields(world, rollout))
    })
}

/// Running tasks by who started them.
pub(super) fn counts(world: &World) -> BTreeMap<&str, usize> {
    let mut counts = BTreeMap::new();
    for task in world.tasks.values().filter(|task| task.status == "RUNNING") {
        *counts.entry(task.started_by.as_str()).or_default() += 1;
    }
    counts
}

pub(super) fn service_fields(world: &World, arn: &str, counts: &BTreeMap<&str, usize>) -> Value {
    let service = &world.services[arn];
    let running = |id: &str| counts.get(id).copied().unwrap_or(0);
    let (mut deployments, mut revisions) = (Vec::new(), Vec::new());
    for (number, deployment) in service.deployments.iter().enumerate() {
        let (count, desired) = (running(&deployment.id), if number == 0 { service.desired } else { 0 });
        let definition = definition_arn(world, &world.revisions[&deployment.revision].definition);
        let pending = desired.saturating_sub(count);
        deployments.push(json!({
            "id": deployment.id, "status": if number == 0 { "PRIMARY" } else { "ACTIVE" }, "taskDefinition": definition,
            "desiredCount": desired, "pendingCount": pending, "runningCount": count, "failedTasks": deployment.failed,
            "rolloutState": deployment.state, "rolloutStateReason": format!("ECS deployment {}", deployment.id),
            "createdAt": moment(deployment.created), "updatedAt": moment(deployment.created), "launchType": "FARGATE",
        }));
        revisions.push(json!({
            "arn": deployment.revision, "requestedTaskCount": desired, "runningTaskCount": count,
            "pendingTaskCount": pending,
        }));
    }
    let total: usize = service.deployments.iter().map(|deployment| running(&deployment.id)).sum();
    let events = service.events.iter().take(100).enumerate().map(|(number, (at, message))| {
        json!({"id": format!("{:09}", service.events.len() - number), "createdAt": moment(*at), "message": message})
    });
    let breaker = json!({"enable": service.breaker.is_some(), "rollback": service.breaker.is_some()});
    let mut fields = json!({
        "serviceArn": arn, "serviceName": service.name, "clusterArn": cluster_arn(world, &service.cluster),
        "status": service.status, "desiredCount": service.desired, "runningCount": total,
        "pendingCount": service.desired.saturating_sub(total), "launchType": "FARGATE",
        "taskDefinition": definition_arn(world, &service.definition), "createdAt": moment(service.created),
        "deploymentController": {"type": service.controller}, "schedulingStrategy": "REPLICA",
        "deploymentConfiguration": {
            "strategy": service.strategy, "deploymentCircuitBreaker": breaker,
            "maximumPercent": 200, "minimumHealthyPercent": 100,
        },
        "events": events.collect::<Vec<_>>(), "deployments": [],
    });
    if service.controller == "ECS" {
        fields["deployments"] = json!(deployments);
        fields["currentServiceRevisions"] = json!(revisions);
        let current = world.rollouts.iter().rev().find(|rollout| rollout.service == arn);
        fields["currentServiceDeployment"] = json!(current.map(|rollout| &rollout.arn));
    }
    fields
}

pub(super) fn task_fields(world: &World, arn: &str) -> Value {
    let task = &world.tasks[arn];
    // What nobody checks is as unknown as what has not been checked yet.
    let checked = world.definitions[&task.definition].checked;
    let is_healthy = checked.is_some_and(|time| world.now.duration_since(task.started) >= time);
    let health = if is_healthy { "HEALTHY" } else { "UNKNOWN" };
    let containers = task.containers.iter().map(|Container { name, image, digest }| {
        without_nulls(json!({
            "containerArn": format!("{}/{name}", arn.replacen(":task/", ":container/", 1)), "taskArn": arn,
            "name": name, "image": image, "imageDigest": digest, "lastStatus": task.status, "healthStatus": health,
            "cpu": "0",
        }))
    });
    without_nulls(json!({
        "taskArn": arn, "clusterArn": cluster_arn(world, &task.cluster), "group": task.group,
        "startedBy": task.started_by, "taskDefinitionArn": definition_arn(world, &task.definition),
        "containers": containers.collect::<Vec<_>>(), "lastStatus": task.status, "desiredStatus": task.desired,
        "healthStatus": health, "launchType": "FARGATE", "availabilityZone": format!("{}a", world.region),
        "cpu": "256", "memory": "512", "connectivity": "CONNECTED", "version": 1,
        "createdAt": moment(task.started), "startedAt": moment(task.started), "stoppedReason": task.stopped,
    }))
}

/// The name of the cluster that a request names by name or ARN.
pub(super) fn cluster_of(world: &World, asked: &Value) -> Result<String, Refusal> {
    let name = last(asked["cluster"].as_str().unwrap_or("default"));
    let missing = || Refusal::new("ClusterNotFoundException", "Cluster not found.");
    world.clusters.get(name).cloned().ok_or_else(missing)
}

/// The ARN of the service that a request names by name or ARN.
pub(super) fn service_of(world: &World, asked: &Value) -> Result<String, Refusal> {
    let arn = service_arn(world, &cluster_of(world, asked)?, asked["service"].as_str().unwrap_or_default());
    let missing = || Refusal::new("ServiceNotFoundException", "Service not found.");
    world.services.contains_key(&arn).then_some(arn).ok_or_else(missing)
}

/// A task definition by ARN, `family:revision`, or family, which means the newest that is active.
pub(super) fn definition_of(world: &World, named: &str) -> Option<(String, u64)> {
    let name = last(named);
    if let Some((family, number)) = name.split_once(':') {
        let key = (family.to_string(), number.parse().ok()?);
        return world.definitions.contains_key(&key).then_some(key);
    }
    let is_it = |(key, definition): &(&(String, u64), &Definition)| key.0 == name && definition.status == "ACTIVE";
    world.definitions.iter().rev().find(is_it).map(|(key, _)| key.clone())
}

fn rollout_fields(world: &World, rollout: &Rollout) -> Value {
    let service = &world.services[&rollout.service];
    let count = |revision: &String| {
        let mut found = service.deployments.iter().filter(|deployment| deployment.revision == *revision);
        let id = found.next().map(|deployment| deployment.id.as_str());
        let running =
            world.tasks.values().filter(|task| Some(task.started_by.as_str()) == id && task.status == "RUNNING");
        let requested = if service.deployments[0].revision == *revision { service.desired } else { 0 };
        let running = running.count();
        json!({
            "arn": revision, "requestedTaskCount": requested, "runningTaskCount": running,
            "pendingTaskCount": requested.saturating_sub(running),
        })
    };
    let rollback = rollout
        .rollback
        .as_ref()
        .map(|(reason, at)| json!({"reason": reason, "startedAt": moment(*at), "serviceRevisionArn": rollout.source}));
    let breaker = service.breaker.map(|limit| {
        let failed = service.deployments.iter().find(|deployment| deployment.revision == rollout.target);
        let failed = failed.map_or(0, |deployment| deployment.failed);
        let status = if failed >= limit { "TRIGGERED" } else { "MONITORING" };
        json!({"status": status, "failureCount": failed, "threshold": limit})
    });
    without_nulls(json!({
        "serviceDeploymentArn": rollout.arn, "serviceArn": rollout.service, "status": rollout.status,
        "statusReason": rollout.reason, "clusterArn": cluster_arn(world, &service.cluster),
        "createdAt": moment(rollout.created), "startedAt": moment(rollout.created),
        "finishedAt": rollout.finished.map(moment), "targetServiceRevision": count(&rollout.target),
        "sourceServiceRevisions": rollout.source.iter().map(count).collect::<Vec<_>>(),
        "rollback": rollback, "deploymentCircuitBreaker": breaker,
    }))
}

/// One page of a list.
fn listed(asked: &Value, name: &str, items: impl Iterator<Item = (String, Value)>, usual: usize) -> Reply {
    let size = asked["maxResults"].as_u64().map_or(usual, |size| size as usize);
    if !(1..=100).contains(&size) {
        return Err(Refusal::new("InvalidParameterException", "maxResults must be from 1 to 100."));
    }
    let (found, token) = page(items, size, asked["nextToken"].as_str().map(str::to_string));
    let mut body = json!({name: found});
    if let Some(token) = token {
        body["nextToken"] = json!(token);
    }
    answer::json(&body)
}

/// What was asked for by name, and a failure for each that is not there.
fn described(name: &str, named: &[String], most: usize, each: impl Fn(&str) -> Option<Value>) -> Reply {
    if named.is_empty() || named.len() > most {
        return Err(Refusal::new("InvalidParameterException", format!("{name}: from 1 to {most} can be asked for.")));
    }
    let (mut found, mut failures) = (Vec::new(), Vec::new());
    for one in named {
        match each(one) {
            Some(value) => found.push(value),
            None => failures.push(json!({"arn": one, "reason": "MISSING"})),
        }
    }
    answer::json(&json!({name: found, "failures": failures}))
}

fn without_nulls(mut value: Value) -> Value {
    value.as_object_mut().expect("an object").retain(|_, field| !field.is_null());
    value
}

fn service_arn(world: &World, cluster: &str, named: &str) -> String {
    world.ecs_arn("service", &format!("{cluster}/{}", last(named)))
}

fn cluster_arn(world: &World, name: &str) -> String {
    world.ecs_arn("cluster", name)
}

fn definition_arn(world: &World, (family, number): &(String, u64)) -> String {
    world.ecs_arn("task-definition", &format!("{family}:{number}"))
}

/// The last part of an ARN, or the name itself.
fn last(named: &str) -> &str {
    named.rsplit('/').next().unwrap_or(named)
}

fn strings(value: &Value) -> Vec<String> {
    let all = value.as_array().into_iter().flatten();
    all.filter_map(|one| one.as_str().map(str::to_string)).collect()
}

/// Seconds since 1970.
fn moment(at: Timestamp) -> i64 {
    at.as_second()
}
