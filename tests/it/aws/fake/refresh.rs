//! Instance refreshes, and what else groups do when time moves. Not modelled: warm-up, launching before terminating.

use std::collections::BTreeMap;

use super::answer::{self, Refusal, Reply};
use super::autoscaling::group_of;
use super::ec2::template_of;
use super::records::{Group, Launches, Mixed, Override, Refresh, Rollback, TemplateAt};
use super::request::Request;
use super::world::World;

const ACTIVE: &[&str] = &["Pending", "InProgress", "Baking", "Cancelling", "RollbackInProgress"];

/// Preferences with one value.
const PREFERENCES: &[&str] = &[
    "MinHealthyPercentage",
    "MaxHealthyPercentage",
    "InstanceWarmup",
    "CheckpointDelay",
    "SkipMatching",
    "AutoRollback",
    "ScaleInProtectedInstances",
    "StandbyInstances",
    "BakeTime",
];

pub(super) fn start(world: &mut World, request: &Request) -> Reply {
    let (name, group) = group_of(world, request)?;
    if active(world, &name, ACTIVE).is_some() {
        let message = "An Instance Refresh is already in progress and blocks the execution of this Instance Refresh.";
        return Err(Refusal::new("InstanceRefreshInProgress", message));
    }
    let named = PREFERENCES.iter().filter_map(|key| Some((*key, request.param(&format!("Preferences.{key}"))?)));
    let preferences = named.map(|(key, value)| (key.to_string(), value)).collect();
    let numbers = request.list("Preferences.CheckpointPercentages.member");
    let checkpoints: Vec<usize> = numbers.iter().filter_map(|number| number.parse().ok()).collect();
    check(&preferences, &checkpoints)?;
    let desired = desired(world, request)?;
    let before: Vec<String> = group.members.keys().cloned().collect();
    let todo = to_replace(world, group, desired.as_ref(), &preferences);
    let id = world.uuid();
    world.refreshes.push(Refresh {
        id: id.clone(),
        group: name,
        status: "Pending".into(),
        reason: None,
        started: world.now,
        ended: None,
        percent: 0,
        left: todo.len(),
        desired,
        strategy: request.param("Strategy").unwrap_or_else(|| "Rolling".into()),
        preferences,
        checkpoints,
        alarms: request.list("Preferences.AlarmSpecification.Alarms.member"),
        rollback: None,
        before,
        total: todo.len(),
        todo,
        wait: 0,
        passed: 0,
    });
    answer::query(request, |xml| xml.leaf("InstanceRefreshId", id))
}

pub(super) fn cancel(world: &mut World, request: &Request) -> Reply {
    let at = running(world, request, ACTIVE)?;
    let refresh = &mut world.refreshes[at];
    (refresh.status, refresh.wait) = ("Cancelling".into(), 0);
    answer::query(request, |xml| xml.leaf("InstanceRefreshId", &refresh.id))
}

pub(super) fn roll_back(world: &mut World, request: &Request) -> Reply {
    let at = running(world, request, &["Pending", "InProgress", "Baking"])?;
    if !is_reversible(world, &world.refreshes[at]) {
        return Err(Refusal::new("IrreversibleInstanceRefresh", "The instance refresh cannot be rolled back."));
    }
    go_back(world, at, "User initiated rollback.");
    answer::query(request, |xml| xml.leaf("InstanceRefreshId", &world.refreshes[at].id))
}

/// Groups: what was terminated goes, refreshes move on, what is lacking is launched.
pub(super) fn step(world: &mut World) {
    world.machines.retain(|_, machine| machine.state != "terminated");
    for activity in world.activities.iter_mut().filter(|activity| activity.status == "InProgress") {
        (activity.status, activity.progress) = ("Successful".into(), 100);
    }
    for group in world.groups.values_mut() {
        let gone = group.members.extract_if(.., |_, member| member.lifecycle == "Terminating");
        for (id, _) in gone {
            world.machines.get_mut(&id).expect("a member is a machine").state = "terminated".into();
        }
    }
    for at in 0..world.refreshes.len() {
        if ACTIVE.contains(&world.refreshes[at].status.as_str()) {
            advance(world, at);
        }
    }
    for name in world.groups.keys().cloned().collect::<Vec<_>>() {
        launch_missing(world, &name);
    }
}

fn launch_missing(world: &mut World, name: &str) {
    let group = &world.groups[name];
    let missing = group.desired.saturating_sub(group.members.len());
    let is_suspended = group.suspended.iter().any(|process| process == "Launch");
    if missing == 0 || is_suspended {
        return;
    }
    let cause = "A difference between desired and actual capacity was found.";
    if let Some(reason) = group.cannot_launch.clone() {
        let activity = world.activity(name, "Launching a new EC2 instance.  Status Reason: see below", cause);
        (activity.status, activity.message, activity.progress) = ("Failed".into(), Some(reason), 100);
        return;
    }
    let launches = group.launches.clone();
    for _ in 0..missing {
        let id = world.launch(name, &launches);
        let activity = world.activity(name, &format!("Launching a new EC2 instance: {id}"), cause);
        (activity.status, activity.progress) = ("Successful".into(), 100);
    }
}

fn advance(world: &mut World, at: usize) {
    let refresh = &mut world.refreshes[at];
    if refresh.wait > 0 {
        refresh.wait -= 1;
        return;
    }
    match refresh.status.as_str() {
        "Pending" => refresh.status = "InProgress".into(),
        "InProgress" => forward(world, at),
        "Baking" => succeed(world, at),
        "Cancelling" => end(world, at, "Cancelled"),
        _ => backward(world, at),
    }
}

fn forward(world: &mut World, at: usize) {
    let refresh = &world.refreshes[at];
    let target = refresh.desired.clone().unwrap_or_else(|| world.groups[&refresh.group].launches.clone());
    replace_batch(world, at, &target);
    let fails_after = world.groups[&world.refreshes[at].group].fails_after;
    let refresh = &mut world.refreshes[at];
    refresh.left = refresh.todo.len();
    refresh.percent = 100 - (100 * refresh.left).checked_div(refresh.total).unwrap_or(0);
    if let Some(limit) = fails_after.filter(|limit| refresh.total - refresh.left >= *limit) {
        refresh.reason = Some(format!("The refresh was told to fail after {limit} replacements."));
        let goes_back = refresh.preferences.get("AutoRollback").is_some_and(|value| value == "true");
        if goes_back && is_reversible(world, &world.refreshes[at]) {
            return go_back(world, at, "Instance refresh failed.");
        }
        return end(world, at, "Failed");
    }
    if refresh.left == 0 {
        match number(&refresh.preferences, "BakeTime") {
            Some(time) if time > 0 => (refresh.status, refresh.wait) = ("Baking".into(), time),
            _ => succeed(world, at),
        }
        return;
    }
    let passed = refresh.checkpoints.iter().filter(|point| (refresh.passed + 1..=refresh.percent).contains(*point));
    if let Some(point) = passed.max() {
        refresh.passed = *point;
        refresh.wait = number(&refresh.preferences, "CheckpointDelay").unwrap_or(3600);
    }
}

/// What the refresh never reached needs no rollback: `InstancesToUpdate` goes on counting that.
fn backward(world: &mut World, at: usize) {
    let own = world.groups[&world.refreshes[at].group].launches.clone();
    replace_batch(world, at, &own);
    let refresh = &mut world.refreshes[at];
    let before = refresh.rollback.as_ref().map_or(0, |rollback| rollback.percent);
    refresh.percent = (before * refresh.todo.len()).checked_div(refresh.total).unwrap_or(0);
    if refresh.todo.is_empty() {
        end(world, at, "RollbackSuccessful");
    }
}

fn replace_batch(world: &mut World, at: usize, target: &Launches) {
    let refresh = &world.refreshes[at];
    let name = refresh.group.clone();
    let group = &world.groups[&name];
    let todo: Vec<String> = refresh.todo.iter().filter(|id| group.members.contains_key(*id)).cloned().collect();
    let takes_protected = refresh.preferences.get("ScaleInProtectedInstances").is_some_and(|value| value == "Refresh");
    let ready = todo.iter().filter(|id| takes_protected || !group.members[*id].is_protected);
    let healthy = number(&refresh.preferences, "MinHealthyPercentage").unwrap_or(90).min(100);
    let batch: Vec<String> = ready.take((group.members.len() * (100 - healthy) / 100).max(1)).cloned().collect();
    let replaces_volumes = refresh.strategy == "ReplaceRootVolume";
    for id in &batch {
        if replaces_volumes {
            let (image, mut member) = world.member(target, &world.machines[id].kind.clone());
            // The group tells the image that runs now, EC2 goes on telling the one of the launch.
            member.image = Some(image);
            world.groups.get_mut(&name).expect("it is there").members.insert(id.clone(), member);
        } else {
            world.groups.get_mut(&name).expect("it is there").members.remove(id);
            world.machines.get_mut(id).expect("a member is a machine").state = "terminated".into();
            world.launch(&name, target);
        }
    }
    world.refreshes[at].todo = todo.into_iter().filter(|id| !batch.contains(id)).collect();
}

fn succeed(world: &mut World, at: usize) {
    let refresh = &world.refreshes[at];
    if let Some(desired) = refresh.desired.clone() {
        world.groups.get_mut(&refresh.group).expect("it is there").launches = desired;
    }
    end(world, at, "Successful");
}

fn end(world: &mut World, at: usize, status: &str) {
    let refresh = &mut world.refreshes[at];
    (refresh.status, refresh.ended) = (status.into(), Some(world.now));
}

fn go_back(world: &mut World, at: usize, reason: &str) {
    let refresh = &mut world.refreshes[at];
    let group = &world.groups[&refresh.group];
    refresh.rollback =
        Some(Rollback { reason: reason.into(), started: world.now, percent: refresh.percent, left: refresh.left });
    refresh.todo = if refresh.strategy == "ReplaceRootVolume" {
        refresh.before.iter().filter(|id| !refresh.todo.contains(id)).cloned().collect()
    } else {
        group.members.keys().filter(|id| !refresh.before.contains(id)).cloned().collect()
    };
    (refresh.status, refresh.total, refresh.wait) = ("RollbackInProgress".into(), refresh.todo.len(), 0);
}

/// Both sides must be pinned: a number, and no parameter behind it.
fn is_reversible(world: &World, refresh: &Refresh) -> bool {
    let is_pinned = |launches: &Launches| {
        let template = match launches {
            Launches::Template(template) => template,
            Launches::Mixed(mixed) => &mixed.base,
            Launches::Configuration(_) => return false,
        };
        let is_number = template.version.as_ref().is_some_and(|version| !version.starts_with('$'));
        is_number && !world.image_at(template).is_some_and(|image| image.starts_with("resolve:ssm:"))
    };
    refresh.desired.as_ref().is_some_and(is_pinned) && is_pinned(&world.groups[&refresh.group].launches)
}

fn to_replace(
    world: &World,
    group: &Group,
    desired: Option<&Launches>,
    preferences: &BTreeMap<String, String>,
) -> Vec<String> {
    let skips = preferences.get("SkipMatching").is_some_and(|value| value == "true");
    let ignores = preferences.get("ScaleInProtectedInstances").is_some_and(|value| value == "Ignore");
    let target = desired.unwrap_or(&group.launches);
    let found = group.members.iter().filter(|(id, member)| {
        // By template and version, not by image.
        let matches = || world.member(target, &world.machines[*id].kind).1.template == member.template;
        !(skips && matches() || ignores && member.is_protected)
    });
    found.map(|(id, _)| id.clone()).collect()
}

fn check(preferences: &BTreeMap<String, String>, checkpoints: &[usize]) -> Result<(), Refusal> {
    let refuse = |message: &str| Err(Refusal::new("ValidationError", message));
    let (least, most) = (number(preferences, "MinHealthyPercentage"), number(preferences, "MaxHealthyPercentage"));
    if most.is_some_and(|most| least.is_none_or(|least| most > least + 100)) {
        return refuse("MaxHealthyPercentage needs MinHealthyPercentage, at most 100 below it.");
    }
    if !checkpoints.is_sorted_by(|one, next| one < next) {
        return refuse("CheckpointPercentages must be unique and in ascending order.");
    }
    if preferences.contains_key("CheckpointDelay") && checkpoints.is_empty() {
        return refuse("CheckpointDelay needs CheckpointPercentages.");
    }
    Ok(())
}

/// The DesiredConfiguration of a request; its templates and versions must exist.
fn desired(world: &World, request: &Request) -> Result<Option<Launches>, Refusal> {
    if let Some(template) = template_at(world, request, "DesiredConfiguration.LaunchTemplate")? {
        return Ok(Some(Launches::Template(template)));
    }
    let policy = "DesiredConfiguration.MixedInstancesPolicy.LaunchTemplate";
    let Some(base) = template_at(world, request, &format!("{policy}.LaunchTemplateSpecification"))? else {
        return Ok(None);
    };
    let mut overrides = Vec::new();
    for number in 1.. {
        let entry = format!("{policy}.Overrides.member.{number}");
        let Some(kind) = request.param(&format!("{entry}.InstanceType")) else {
            break;
        };
        let template = template_at(world, request, &format!("{entry}.LaunchTemplateSpecification"))?;
        overrides.push(Override { kind, template, image: request.param(&format!("{entry}.ImageId")) });
    }
    Ok(Some(Launches::Mixed(Mixed { base, overrides })))
}

fn template_at(world: &World, request: &Request, under: &str) -> Result<Option<TemplateAt>, Refusal> {
    let field = |name: &str| request.param(&format!("{under}.{name}"));
    let (id, name) = (field("LaunchTemplateId"), field("LaunchTemplateName"));
    if id.is_none() && name.is_none() {
        return Ok(None);
    }
    let refused = |message: String| Refusal::new("ValidationError", message);
    let (id, _) = template_of(world, id.as_deref(), name.as_deref()).map_err(|refusal| refused(refusal.message))?;
    let template = TemplateAt { id: id.clone(), version: field("Version") };
    match world.numbered(&template) {
        Some(_) => Ok(Some(template)),
        None => Err(refused(format!("The version {:?} of {id} does not exist.", template.version))),
    }
}

/// The refresh that a request is about: the one of its group that has one of these statuses.
fn running(world: &World, request: &Request, statuses: &[&str]) -> Result<usize, Refusal> {
    let (name, _) = group_of(world, request)?;
    let message = format!("No in progress or pending Instance Refresh found for Auto Scaling group {name}");
    active(world, &name, statuses).ok_or_else(|| Refusal::new("ActiveInstanceRefreshNotFound", message))
}

fn active(world: &World, group: &str, statuses: &[&str]) -> Option<usize> {
    let is_one = |refresh: &Refresh| refresh.group == group && statuses.contains(&refresh.status.as_str());
    world.refreshes.iter().position(is_one)
}

fn number(preferences: &BTreeMap<String, String>, name: &str) -> Option<usize> {
    preferences.get(name)?.parse().ok()
}
