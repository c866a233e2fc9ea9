//! A look at a step before its plan is shown: whether the image is there and fits, what would stand in the way, the command
//! that would do the same.
//!
//! Never changes anything. Auto Scaling and ECS know no dry run; EC2's own is asked whether the target could be launched.

use std::collections::BTreeSet;

use aws_sdk_autoscaling::types::LifecycleState;
use aws_sdk_ec2::types::{InstanceType, LaunchTemplateSpecification};
use aws_sdk_ecs::types::Service;
use jiff::Timestamp;

use super::commands;
use super::connect::{Clients, Reads, Writes, ask};
use super::convert::group::{Health, why_launches_fail};
use super::convert::launch::Source;
use super::convert::service::last;
use super::fault::Fault;
use super::groups::name;
use super::lookup::{self, PresentGroup};
use super::lost;
use super::operate::{NEEDED, NO_END, NO_SINGLE_IMAGE, NO_STEPS, Way, desired_json, way_to};
use super::read;
use super::templates::{facts_of, images};
use crate::domain::expectation::ServiceKeys;
use crate::domain::history::deprecation;
use crate::domain::id::WorkloadKind;
use crate::domain::plan::{Action, Check, CheckVerdict, Inspection, Step};
use crate::domain::text::{Text, with_article};

/// Looks at a step with reads alone.
pub(super) async fn inspect(reads: &Reads, keys: &ServiceKeys, step: &Step) -> Inspection {
    let mut inspection = Inspection::default();
    if let Action::SetImage { .. } = &step.action {
        let hint = Text::new("then --to-revision NUMBER, or B on the screen");
        inspection.refusals.push((Text::new(NO_SINGLE_IMAGE), hint));
        return inspection;
    }
    let clients = reads.clients().await;
    let looked = match step.workload.kind {
        WorkloadKind::AutoScalingGroup => group(reads, &clients, keys, step, &mut inspection).await,
        WorkloadKind::EcsService => service(reads, &clients, keys, step, &mut inspection).await,
        kind => {
            let reason = format!("{} can't be operated by this version", with_article(&kind));
            inspection.refusals.push((Text::new(&reason), Text::new("use the AWS console")));
            Ok(())
        }
    };
    if let Err(fault) = looked {
        inspection.checks.push(check(step, "look", CheckVerdict::Unknown, &format!("can't be looked at: {fault}")));
    }
    inspection
}

/// Has EC2 say whether the target could be launched.
pub(super) async fn rehearse(reads: &Reads, writes: &Writes, keys: &ServiceKeys, step: &Step) -> Inspection {
    let mut inspection = Inspection::default();
    if step.workload.kind != WorkloadKind::AutoScalingGroup || !step.action.is_rollout() {
        return inspection;
    }
    let present = match lookup::group(&reads.clients().await, &step.workload).await {
        Ok(Some(present)) => present,
        // `inspect` has said so.
        Ok(None) | Err(_) => return inspection,
    };
    let Ok(Way::Start(template, number)) = way_to(step, &present, keys) else { return inspection };
    let spec = LaunchTemplateSpecification::builder().launch_template_id(template).version(number.to_string());
    let request = writes.clients().await.ec2.run_instances().launch_template(spec.build()).dry_run(true);
    let subnet = present.group.vpc_zone_identifier().and_then(|zones| zones.split(',').next()).map(str::trim);
    let request = request.set_subnet_id(subnet.filter(|subnet| !subnet.is_empty()).map(ToString::to_string));
    let answer = ask("ec2:RunInstances", request.min_count(1).max_count(1).send()).await;
    let (verdict, detail) = match answer {
        // A dry run that would succeed is answered with this error (EC2 API reference, `DryRun`).
        Err(fault) if fault.code() == "DryRunOperation" => {
            (CheckVerdict::Pass, format!("EC2 would launch version {number}"))
        }
        Err(Fault::Denied(why)) => (CheckVerdict::Fail, why.to_string()),
        // EC2 says AuthFailure also of an image that is not shared with the account.
        Err(Fault::SignIn(why)) => (CheckVerdict::Warn, why.to_string()),
        Err(Fault::Refused { code, message }) => {
            (CheckVerdict::Warn, format!("EC2 would not launch version {number} alone: {message} ({code})"))
        }
        Err(fault) => (CheckVerdict::Unknown, format!("EC2 can't be asked: {fault}")),
        Ok(_) => (CheckVerdict::Unknown, "EC2 gave no answer to a dry run".to_string()),
    };
    inspection.checks.push(check(step, "dry run", verdict, &detail));
    inspection
}

async fn group(
    reads: &Reads,
    clients: &Clients,
    keys: &ServiceKeys,
    step: &Step,
    inspection: &mut Inspection,
) -> Result<(), Fault> {
    let Some(present) = lookup::group(clients, &step.workload).await? else {
        inspection.refusals.push((Text::new("the group is gone"), Text::new("plan again")));
        return Ok(());
    };
    if let Action::Promote { .. } = &step.action {
        inspection.refusals.push((Text::new(NO_STEPS), Text::new("plan again")));
        return Ok(());
    }
    if let Action::EndRollout { .. } = &step.action {
        inspection.equivalent = Some(commands::cancel_refresh(reads.link(), &step.workload));
        return Ok(());
    }
    inspection.checks.push(processes(step, &present));
    inspection.checks.extend(launches(clients, step, &present).await);
    inspection.checks.extend(alarms(step, &present));
    if let Action::Evict { name, .. } = &step.action {
        inspection.equivalent = Some(commands::terminate(reads.link(), name));
        inspection.checks.extend(protection(step, &present, Some(name)));
        inspection.checks.extend(lost_of_group(clients, step, &present, Some(name)).await);
        return Ok(());
    }
    inspection.checks.extend(protection(step, &present, None));
    inspection.checks.extend(lost_of_group(clients, step, &present, None).await);
    let own = present.known(keys).own();
    match way_to(step, &present, keys) {
        Ok(Way::Start(template, number)) => {
            let health = Health::of(&present.group);
            let desired = desired_json(&present.group, &template, number);
            inspection.equivalent = Some(match desired {
                Some(desired) => commands::start_refresh(reads.link(), step, &desired, health),
                None => Text::new(
                    "(its instance requirements are too long for a command; they are sent as the group has them)",
                ),
            });
            if let Source::Template { named, .. } = &own
                && named.starts_with('$')
            {
                inspection
                    .also_goes_back
                    .push(Text::new(&format!("launch template version of the group: {named}, afterwards {number}")));
            }
            let version = present.templates.template(&template).and_then(|known| known.versions.get(&number));
            let image = version.and_then(|version| version.image.clone());
            inspection.checks.extend(image_checks(clients, step, &present, image).await?);
        }
        Ok(Way::Rollback) => {
            inspection.equivalent = Some(commands::rollback_refresh(reads.link(), &step.workload));
            let detail = "the running instance refresh is taken back: what it has replaced is replaced again";
            inspection.checks.push(check(step, "refresh", CheckVerdict::Pass, detail));
        }
        Err((why, hint)) => inspection.refusals.push((why, hint)),
    }
    Ok(())
}

fn processes(step: &Step, present: &PresentGroup) -> Check {
    let suspended: Vec<&str> =
        present.group.suspended_processes().iter().filter_map(|process| process.process_name()).collect();
    let stopping: Vec<&str> = suspended.iter().copied().filter(|name| NEEDED.contains(name)).collect();
    if !stopping.is_empty() {
        let detail = format!(
            "{} suspended in the group: nothing would be replaced; resume it first (aws autoscaling resume-processes)",
            are(&stopping)
        );
        return check(step, "processes", CheckVerdict::Fail, &detail);
    }
    match suspended.is_empty() {
        true => check(step, "processes", CheckVerdict::Pass, "no process of the group is suspended"),
        false => check(step, "processes", CheckVerdict::Warn, &format!("{} suspended in the group", are(&suspended))),
    }
}

/// Whether the group can launch at all: a refresh would wait for that as long as AWS lets it.
async fn launches(clients: &Clients, step: &Step, present: &PresentGroup) -> Option<Check> {
    let (verdict, detail) = match read::activities(clients, name(&present.group)).await {
        Ok(found) => (CheckVerdict::Warn, why_launches_fail(&found)?.to_string()),
        Err(fault) => (CheckVerdict::Unknown, format!("how its last launches went can't be asked: {fault}")),
    };
    Some(check(step, "launches", verdict, &detail))
}

/// A refresh of ours names no alarms: one that rings already would end the way back before it has begun.
fn alarms(step: &Step, present: &PresentGroup) -> Option<Check> {
    let newest = present.refreshes.first().and_then(|newest| newest.preferences()?.alarm_specification());
    let named: Vec<&str> = newest.map(|known| known.alarms()).unwrap_or_default().iter().map(String::as_str).collect();
    if named.is_empty() || matches!(step.action, Action::Evict { .. }) {
        return None;
    }
    let detail = format!("its last refresh was bound to {}; this one is not: watch them", named.join(", "));
    Some(check(step, "alarms", CheckVerdict::Warn, &detail))
}

async fn lost_of_group(clients: &Clients, step: &Step, present: &PresentGroup, only: Option<&str>) -> Option<Check> {
    match lost::of_group(clients, present, only).await {
        Ok(lost) => lost_check(step, &lost),
        Err(fault) => {
            let detail = format!("what is lost with its machines can't be asked: {fault}");
            Some(check(step, "lost", CheckVerdict::Unknown, &detail))
        }
    }
}

fn lost_check(step: &Step, lost: &[String]) -> Option<Check> {
    let detail = format!("gone with each instance: {}", lost.join(", "));
    (!lost.is_empty()).then(|| check(step, "lost", CheckVerdict::Warn, &detail))
}

fn are(names: &[&str]) -> String {
    format!("{} {}", names.join(", "), if names.len() == 1 { "is" } else { "are" })
}

/// A refresh waits for protected instances up to an hour, then fails (Auto Scaling API reference, `RefreshPreferences`).
fn protection(step: &Step, present: &PresentGroup, only: Option<&str>) -> Option<Check> {
    let meant =
        || present.group.instances().iter().filter(|member| only.is_none_or(|id| member.instance_id() == Some(id)));
    let protected = meant().filter(|member| member.protected_from_scale_in() == Some(true)).count();
    let standby = meant().filter(|member| member.lifecycle_state() == Some(&LifecycleState::Standby)).count();
    let detail = match (protected, standby, only) {
        (0, 0, _) => return None,
        (0, _, Some(_)) => "it is in standby: somebody has taken it out of service".to_string(),
        (_, _, Some(_)) => "it is protected from scale-in: somebody wants it kept".to_string(),
        (protected, standby, None) => format!(
            "{protected} of its instances protected from scale-in, {standby} in standby: the refresh waits for them up to an \
             hour, longer than the policy's step_timeout may be; take that off first (aws autoscaling set-instance-protection, \
             exit-standby)"
        ),
    };
    Some(check(step, "protection", CheckVerdict::Warn, &detail))
}

/// Whether the image is there, may be launched, and fits the group's instance types.
async fn image_checks(
    clients: &Clients,
    step: &Step,
    present: &PresentGroup,
    image: Option<String>,
) -> Result<Vec<Check>, Fault> {
    let Some(id) = image else {
        return Ok(vec![check(step, "image", CheckVerdict::Unknown, "that version of the template names no image")]);
    };
    let found = images(clients, std::slice::from_ref(&id)).await?;
    let Some(facts) = found.first().map(facts_of) else {
        let detail = format!("{id} is gone, or this account may not launch it");
        return Ok(vec![check(step, "image", CheckVerdict::Fail, &detail)]);
    };
    let deprecation = facts.deprecated_at.and_then(|at| deprecation(at, Timestamp::now()));
    let existence = match (facts.state.as_str(), deprecation) {
        ("available", None) => check(step, "image", CheckVerdict::Pass, &format!("{id} is available")),
        ("available", Some(why)) => check(step, "image", CheckVerdict::Warn, &format!("{id} is available, and {why}")),
        (state, _) => check(step, "image", CheckVerdict::Fail, &format!("{id} is {state}: it can't be launched")),
    };
    let mut checks = vec![existence];
    checks.extend(architecture(clients, step, present, &facts.architecture).await);
    Ok(checks)
}

async fn architecture(clients: &Clients, step: &Step, present: &PresentGroup, wanted: &str) -> Option<Check> {
    let types: BTreeSet<&str> = present.group.instances().iter().filter_map(|member| member.instance_type()).collect();
    if types.is_empty() || wanted.is_empty() {
        return None;
    }
    let request = types
        .iter()
        .fold(clients.ec2.describe_instance_types(), |request, name| request.instance_types(InstanceType::from(*name)));
    let answer = match ask("ec2:DescribeInstanceTypes", request.send()).await {
        Ok(answer) => answer,
        Err(fault) => {
            let detail = format!("whether {wanted} fits {} can't be asked: {fault}", are_named(&types));
            return Some(check(step, "architecture", CheckVerdict::Unknown, &detail));
        }
    };
    let misfits: Vec<&str> = answer
        .instance_types()
        .iter()
        .filter(|known| {
            let fits = known.processor_info().map(|info| info.supported_architectures()).unwrap_or_default();
            !fits.iter().any(|fit| fit.as_str() == wanted)
        })
        .filter_map(|known| known.instance_type().map(|name| name.as_str()))
        .collect();
    Some(if misfits.is_empty() {
        check(step, "architecture", CheckVerdict::Pass, &format!("{wanted} fits {}", are_named(&types)))
    } else {
        let detail = format!("an image for {wanted} does not start on {}", misfits.join(", "));
        check(step, "architecture", CheckVerdict::Fail, &detail)
    })
}

fn are_named(types: &BTreeSet<&str>) -> String {
    types.iter().copied().collect::<Vec<_>>().join(", ")
}

async fn service(
    reads: &Reads,
    clients: &Clients,
    keys: &ServiceKeys,
    step: &Step,
    inspection: &mut Inspection,
) -> Result<(), Fault> {
    let Some(present) = lookup::service(clients, &step.workload).await? else {
        inspection.refusals.push((Text::new("the service is gone"), Text::new("plan again")));
        return Ok(());
    };
    if let Some(why) = present.known(keys).workload().inoperable {
        inspection.refusals.push((why, Text::new("go back where it is driven from")));
        return Ok(());
    }
    inspection.checks.extend(alarms_of_service(step, &present.service));
    if step.action.replaces()
        && let Some(running) = present.service.task_definition()
    {
        match read::definition(clients, running).await {
            Ok(definition) => inspection.checks.extend(lost_check(step, &lost::of_tasks(definition.volumes()))),
            Err(fault) => {
                let detail = format!("what is lost with its tasks can't be asked: {fault}");
                inspection.checks.push(check(step, "lost", CheckVerdict::Unknown, &detail));
            }
        }
    }
    match &step.action {
        Action::Evict { instance, .. } => {
            inspection.equivalent = Some(commands::stop_task(reads.link(), &step.workload, last(&instance.0)));
        }
        Action::RestoreRevision { hash, .. } => {
            if let Some(arn) = present.leads_back_to(hash) {
                inspection.equivalent = Some(commands::take_back(reads.link(), arn));
                let detail = "the running deployment is taken back, to the digests that it left";
                inspection.checks.push(check(step, "deployment", CheckVerdict::Pass, detail));
                let brake = "ECS stops no way back: once it is taken it goes on to its end";
                inspection.checks.push(check(step, "brake", CheckVerdict::Warn, brake));
            } else {
                inspection.equivalent = Some(commands::update_service(reads.link(), &step.workload, &hash.0));
                inspection.checks.push(definition(clients, step, &hash.0).await);
                let brake = "its brake aborts the deployment: the interface of ECS has that, its documentation names roll back alone";
                inspection.checks.push(check(step, "brake", CheckVerdict::Unknown, brake));
            }
        }
        // Nothing there can be borrowed.
        Action::Borrow { .. } | Action::GiveBack { .. } => {}
        Action::EndRollout { .. } => inspection.refusals.push((Text::new(NO_END), Text::new("plan again"))),
        Action::Promote { .. } => inspection.refusals.push((Text::new(NO_STEPS), Text::new("plan again"))),
        Action::SetImage { .. } => {}
    }
    Ok(())
}

/// Alarms that the service itself is bound to end any deployment, ours too.
fn alarms_of_service(step: &Step, service: &Service) -> Option<Check> {
    let alarms = service.deployment_configuration()?.alarms()?;
    let is_bound = alarms.enable() && !alarms.alarm_names().is_empty() && step.action.is_rollout();
    let what = if alarms.rollback() { "takes it back" } else { "ends it" };
    let detail = format!("{} watch each deployment: one that rings {what}", alarms.alarm_names().join(", "));
    is_bound.then(|| check(step, "alarms", CheckVerdict::Warn, &detail))
}

/// Whether the task definition can still be deployed, and whether its tags may have moved since.
async fn definition(clients: &Clients, step: &Step, name: &str) -> Check {
    let found = match read::definition(clients, name).await {
        Ok(found) => found,
        Err(Fault::Refused { message, .. }) => {
            return check(step, "task definition", CheckVerdict::Fail, &format!("{name}: {message}"));
        }
        Err(fault) => return check(step, "task definition", CheckVerdict::Unknown, &fault.to_string()),
    };
    let is_active = found.status().is_none_or(|status| status.as_str() == "ACTIVE");
    let containers = found.container_definitions();
    let mut moving = containers.iter().filter_map(|container| container.image()).filter(|image| !image.contains('@'));
    match (is_active, moving.next()) {
        (false, _) => check(step, "task definition", CheckVerdict::Fail, &format!("{name} is not active any more")),
        (true, Some(image)) => {
            let detail = format!("{name} names {image} by its tag: ECS resolves it again, and it may have moved since");
            check(step, "pinned", CheckVerdict::Warn, &detail)
        }
        (true, None) => check(step, "task definition", CheckVerdict::Pass, &format!("{name} is active and pinned")),
    }
}

fn check(step: &Step, name: &str, verdict: CheckVerdict, detail: &str) -> Check {
    Check { name: Text::new(name), verdict, detail: Text::new(&format!("{}: {detail}", step.workload)) }
}
