//! Auto Scaling groups: an instance refresh to a numbered version, its rollback while it runs, its end, one machine.
//!
//! `UpdateAutoScalingGroup` is never sent: it would change what is launched and replace nothing.

use std::time::Duration;

use aws_sdk_autoscaling::types::{
    AutoScalingGroup, DesiredConfiguration, InstancesDistribution, LaunchTemplateOverrides,
    LaunchTemplateSpecification, RefreshPreferences,
};
use serde_json::{Value, json};

use super::{Answer, HandsOn, Tried, accepted, compared, gone, not_sent, refused};
use crate::domain::expectation::ServiceKeys;
use crate::domain::id::Uid;
use crate::domain::observation::{Rollout, TemplateHash, WorkloadSeen};
use crate::domain::plan::{Action, Bound, First, Follows, Paused, Step};
use crate::domain::text::Text;
use crate::providers::aws::connect::ask;
use crate::providers::aws::convert::group::{Health, generation, uid};
use crate::providers::aws::convert::launch::{Source, hash};
use crate::providers::aws::convert::machine;
use crate::providers::aws::lookup::{self, PresentGroup};
use crate::providers::aws::read;

/// Processes without which a group replaces nothing (Auto Scaling User Guide, "Suspend and resume processes").
pub(in crate::providers::aws) const NEEDED: [&str; 2] = ["Launch", "Terminate"];

/// How often a cancellation is looked at again before the step itself waits for it.
const LOOKS: u32 = 8;
const BETWEEN_LOOKS: Duration = Duration::from_secs(1);

/// How a group gets to a version.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::providers::aws) enum Way {
    /// A new refresh to this version of this template.
    Start(String, i64),
    /// The running refresh is taken back.
    Rollback,
}

/// How a group gets to the version of a step. `Err`: why it can't now, and what to do.
pub(in crate::providers::aws) fn way_to(
    step: &Step,
    present: &PresentGroup,
    keys: &ServiceKeys,
) -> Result<Way, (Text, Text)> {
    let Action::RestoreRevision { revision, number, hash: wanted } = &step.action else {
        return Err((Text::new("it is no way back"), Text::new("plan again")));
    };
    let known = present.known(keys);
    let (Some((template, number)), Source::Template { overrides, .. }) = (version_of(revision, *number), known.own())
    else {
        return Err((Text::new("the version to go back to is of no launch template"), Text::new("plan again")));
    };
    if hash(&template, number, &overrides) != *wanted {
        return Err((
            Text::new(&format!("version {number} of its template would not bring back what it did")),
            Text::new("its instance types were changed since: plan again"),
        ));
    }
    let Some(running) = known.running().filter(|_| step.follows == Follows::Nothing) else {
        return Ok(Way::Start(template, number));
    };
    if running.yields.allows(wanted) {
        return Ok(Way::Rollback);
    }
    Err((
        Text::new(&format!("{} can't be taken back to version {number}", running.what)),
        Text::new("wait for its end, or plan again: it is ended first then"),
    ))
}

/// The template and version in the uid of a revision: `ARN#lt-…:7`.
fn version_of(revision: &Uid, number: u64) -> Option<(String, i64)> {
    let (_, version) = revision.0.rsplit_once('#')?;
    let (template, written) = version.split_once(':')?;
    let written: i64 = written.parse().ok()?;
    (written.unsigned_abs() == number).then(|| (template.to_string(), written))
}

/// Where a refresh waits: after the first share, and not after the last (Auto Scaling API reference, `RefreshPreferences`).
pub(in crate::providers::aws) fn checkpoints(first: First) -> Vec<i32> {
    vec![i32::from(first.percent), 100]
}

/// How long, in seconds; two days at most.
pub(in crate::providers::aws) fn checkpoint_delay(first: First) -> i32 {
    i32::try_from(first.hold.as_secs().min(172_800)).unwrap_or(172_800)
}

/// What a group shall launch from: a numbered version, with its instance types as they are.
fn desired(group: &AutoScalingGroup, template: &str, number: i64) -> DesiredConfiguration {
    let spec = LaunchTemplateSpecification::builder().launch_template_id(template).version(number.to_string()).build();
    let Some(policy) = group.mixed_instances_policy() else {
        return DesiredConfiguration::builder().launch_template(spec).build();
    };
    let mut policy = policy.clone();
    if let Some(of_policy) = &mut policy.launch_template {
        of_policy.launch_template_specification = Some(spec);
    }
    DesiredConfiguration::builder().mixed_instances_policy(policy).build()
}

/// The same for a command line; `None` where that has no room for all of it.
pub(in crate::providers::aws) fn desired_json(group: &AutoScalingGroup, template: &str, number: i64) -> Option<String> {
    let of_policy = group.mixed_instances_policy().and_then(|policy| policy.launch_template());
    let overrides = of_policy.map(|of_policy| of_policy.overrides()).unwrap_or_default();
    if overrides.iter().any(|one| one.instance_requirements().is_some()) {
        return None;
    }
    let spec = json!({"LaunchTemplateId": template, "Version": number.to_string()});
    let written = match group.mixed_instances_policy() {
        None => json!({"LaunchTemplate": spec}),
        Some(policy) => json!({"MixedInstancesPolicy": without_nulls(json!({
            "LaunchTemplate": without_nulls(json!({
                "LaunchTemplateSpecification": spec,
                "Overrides": policy.launch_template().map(|of_policy| overrides_json(of_policy.overrides())),
            })),
            "InstancesDistribution": policy.instances_distribution().map(distribution_json),
        }))}),
    };
    Some(written.to_string())
}

fn overrides_json(overrides: &[LaunchTemplateOverrides]) -> Vec<Value> {
    let one = |one: &LaunchTemplateOverrides| {
        without_nulls(json!({
            "InstanceType": one.instance_type(),
            "WeightedCapacity": one.weighted_capacity(),
        }))
    };
    overrides.iter().map(one).collect()
}

fn distribution_json(distribution: &InstancesDistribution) -> Value {
    without_nulls(json!({
        "OnDemandAllocationStrategy": distribution.on_demand_allocation_strategy(),
        "OnDemandBaseCapacity": distribution.on_demand_base_capacity(),
        "OnDemandPercentageAboveBaseCapacity": distribution.on_demand_percentage_above_base_capacity(),
        "SpotAllocationStrategy": distribution.spot_allocation_strategy(),
        "SpotInstancePools": distribution.spot_instance_pools(),
        "SpotMaxPrice": distribution.spot_max_price(),
    }))
}

fn without_nulls(mut value: Value) -> Value {
    if let Some(fields) = value.as_object_mut() {
        fields.retain(|_, field| !field.is_null());
    }
    value
}

impl HandsOn<'_> {
    async fn group(&self) -> Result<PresentGroup, Answer> {
        let clients = self.reads.clients().await;
        let present = lookup::group(&clients, &self.order.step.workload).await.map_err(not_sent)?.ok_or_else(gone)?;
        match present.known(self.keys).workload().inoperable {
            Some(why) => Err(refused(&why)),
            None => Ok(present),
        }
    }

    /// The group once no cancellation is under way any more: before that AWS takes neither a refresh nor a way back.
    async fn group_at_rest(&self) -> Result<PresentGroup, Answer> {
        for _ in 0..LOOKS {
            let present = self.group().await?;
            if !present.is_cancelling() {
                return Ok(present);
            }
            tokio::time::sleep(BETWEEN_LOOKS).await;
        }
        Err(Answer::Blocked(Text::new("not sent: a cancellation has not come to its end")))
    }

    /// To the version of the step.
    pub(super) async fn refresh_group(&self) -> Tried {
        let step = &self.order.step;
        let present = self.group_at_rest().await?;
        compared(step, &present.known(self.keys).workload())?;
        let way = way_to(step, &present, self.keys).map_err(|(why, hint)| refused(&format!("{why}; {hint}")))?;
        let Action::RestoreRevision { hash, .. } = &step.action else { return Err(refused("it is no way back")) };
        match way {
            Way::Start(template, number) => self.start(&present, (&template, number), hash).await,
            Way::Rollback => {
                let name = step.workload.name.as_str();
                let request =
                    self.writes.clients().await.autoscaling.rollback_instance_refresh().auto_scaling_group_name(name);
                let sent = ask("autoscaling:RollbackInstanceRefresh", request.send()).await;
                sent.map_err(|fault| self.sorted(&fault))?;
                let generation = generation(&present.refreshes) + 1;
                let note = Text::new("the running instance refresh is taken back");
                Ok(accepted(generation, Some(hash.clone()), vec![note]))
            }
        }
    }

    async fn start(&self, present: &PresentGroup, (template, number): (&str, i64), hash: &TemplateHash) -> Tried {
        let name = self.order.step.workload.name.as_str();
        let health = Health::of(&present.group);
        // Matching instances are skipped: those that are of that version already are not made again.
        let preferences = RefreshPreferences::builder()
            .min_healthy_percentage(health.min)
            .max_healthy_percentage(health.max)
            .skip_matching(true)
            .set_checkpoint_percentages(self.order.step.first.map(checkpoints))
            .set_checkpoint_delay(self.order.step.first.map(checkpoint_delay))
            .build();
        let clients = self.writes.clients().await;
        let request = clients.autoscaling.start_instance_refresh().auto_scaling_group_name(name);
        let request = request.desired_configuration(desired(&present.group, template, number)).preferences(preferences);
        let sent = ask("autoscaling:StartInstanceRefresh", request.send()).await;
        let id = sent.map_err(|fault| self.sorted(&fault))?.instance_refresh_id.unwrap_or_default();
        // Any later look shows a larger one: see `generation`.
        let generation = generation(&present.refreshes) + 1;
        let note = Text::new(&format!("instance refresh {id}, at least {}% in service", health.min));
        Ok(accepted(generation, Some(hash.clone()), vec![note]))
    }

    /// Ends the running refresh where it is. What was replaced stays.
    pub(super) async fn cancel_refresh(&self) -> Tried {
        let step = &self.order.step;
        let present = self.group().await?;
        let seen = present.known(self.keys).workload();
        if let Some(why) = step.why_not_hold(Paused::Paused, &Bound::of(&seen)) {
            return Err(refused(&why));
        }
        if present.known(self.keys).active().is_none() {
            return Err(refused("no instance refresh runs: it has come to its end"));
        }
        self.cancel(&seen).await
    }

    /// Ends a refresh that somebody else has started, so that another can begin.
    pub(super) async fn end_refresh(&self) -> Tried {
        let present = self.group().await?;
        let seen = present.known(self.keys).workload();
        compared(&self.order.step, &seen)?;
        if seen.running.is_none() {
            return Err(refused("no instance refresh runs any more: plan again"));
        }
        self.cancel(&seen).await
    }

    async fn cancel(&self, seen: &WorkloadSeen) -> Tried {
        let name = self.order.step.workload.name.as_str();
        let request = self.writes.clients().await.autoscaling.cancel_instance_refresh().auto_scaling_group_name(name);
        let sent = ask("autoscaling:CancelInstanceRefresh", request.send()).await;
        sent.map_err(|fault| self.sorted(&fault))?;
        let note = Text::new("cancelled: what it has replaced stays, and the group has two versions");
        Ok(accepted(seen.generation, Some(seen.template.hash.clone()), vec![note]))
    }

    /// A new refresh to where the cancelled one went.
    pub(super) async fn refresh_again(&self) -> Tried {
        let step = &self.order.step;
        let present = self.group_at_rest().await?;
        let known = present.known(self.keys);
        let seen = known.workload();
        if let Some(why) = step.why_not_hold(Paused::Running, &Bound::of(&seen)) {
            return Err(refused(&why));
        }
        if known.active().is_some() {
            return Err(refused("an instance refresh runs already"));
        }
        match known.asked().source {
            Source::Template { id, number: Some(number), .. } if seen.rollout == Rollout::Paused => {
                self.start(&present, (&id, number), &seen.template.hash).await
            }
            _ => Err(refused("its refresh is not held any more")),
        }
    }

    /// Has the group replace one machine.
    pub(super) async fn terminate(&self) -> Tried {
        let step = &self.order.step;
        let Action::Evict { instance, name, image, .. } = &step.action else { return Err(refused("it is no machine")) };
        let clients = self.reads.clients().await;
        let launched = read::machines_named(&clients, &[instance.0.to_string()]).await.map_err(not_sent)?;
        let present = self.group().await?;
        compared(step, &present.known(self.keys).workload())?;
        let member = present.group.instances().iter().find(|member| member.instance_id() == Some(instance.0.as_str()));
        let Some(member) = member.filter(|member| !machine::is_leaving(member)) else {
            return Err(refused(&format!("{name} is already gone from {}", uid(&present.group))));
        };
        let suspended = present.group.suspended_processes().iter().filter_map(|process| process.process_name());
        if let Some(process) = suspended.into_iter().find(|name| NEEDED.contains(name)) {
            let why = format!("not sent: {process} is suspended in the group, nothing would come in its place");
            return Err(Answer::Blocked(Text::new(&why)));
        }
        let launched = launched.first().and_then(|known| known.image_metadata()).and_then(|known| known.image_id());
        let running = member.image_id().or(launched);
        if image.as_ref().is_some_and(|image| running.is_some_and(|running| running != image.as_str())) {
            return Err(refused(&format!("{name} runs another image now; plan again")));
        }
        let request = self.writes.clients().await.autoscaling.terminate_instance_in_auto_scaling_group();
        let request = request.instance_id(instance.0.as_str()).should_decrement_desired_capacity(false);
        let sent = ask("autoscaling:TerminateInstanceInAutoScalingGroup", request.send()).await;
        let answer = sent.map_err(|fault| self.sorted(&fault))?;
        let activity = answer.activity.and_then(|activity| activity.description).unwrap_or_default();
        Ok(accepted(0, None, vec![Text::new(&activity)]))
    }
}
