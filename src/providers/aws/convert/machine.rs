//! A machine as an instance: of its group, or on its own.
//!
//! Never takes EC2's word for the image where the group has another: EC2 names the image that was launched, the group the
//! one that was put in place since (reference `aws.md` section 0.3).

use std::collections::HashMap;
use std::sync::Arc;

use aws_sdk_autoscaling::types::{AutoScalingGroup, Instance};
use aws_sdk_ec2::types::InstanceImageMetadata;

use super::group::{MACHINE, is_warm, revision_uid, uid};
use super::launch::Source;
use super::{Tags, service, tag, time};
use crate::domain::expectation::ServiceKeys;
use crate::domain::id::{Uid, WorkloadKind};
use crate::domain::image::ImageId;
use crate::domain::observation::{
    ContainerSeen, ContainerSpec, Health, InstanceSeen, Owner, Phase, Role, Rollout, Strategy, Template, TemplateHash,
    WorkloadSeen,
};
use crate::domain::text::Text;
use crate::providers::aws::templates::Templates;

/// Which group has launched a machine (Auto Scaling User Guide, "Tag Auto Scaling groups and instances").
const GROUP_TAG: &str = "aws:autoscaling:groupName";

/// Who has which machine.
pub(in crate::providers::aws) struct Members<'a> {
    by_machine: HashMap<&'a str, (&'a AutoScalingGroup, &'a Instance)>,
    by_name: HashMap<&'a str, &'a AutoScalingGroup>,
    owners: HashMap<Uid, Arc<Owner>>,
}

impl<'a> Members<'a> {
    /// The members of all groups.
    pub(in crate::providers::aws) fn of(groups: &'a [AutoScalingGroup]) -> Members<'a> {
        let members = groups.iter().flat_map(|group| group.instances().iter().map(move |member| (group, member)));
        let by_machine = members.filter_map(|(group, member)| Some((member.instance_id()?, (group, member)))).collect();
        let by_name = groups.iter().filter_map(|group| Some((group.auto_scaling_group_name()?, group))).collect();
        Members { by_machine, by_name, owners: HashMap::new() }
    }

    /// Members that EC2 has not named: launched a moment ago, or EC2 can't be asked.
    pub(in crate::providers::aws) fn rest(&self, named: &std::collections::HashSet<String>) -> Vec<&'a str> {
        let rest = self.by_machine.iter().filter(|(id, (_, member))| !named.contains(**id) && !is_warm(member));
        rest.map(|(id, _)| *id).collect()
    }

    /// A machine of a group as an instance; `None` for one that serves nobody: in a warm pool, or of a group that is not
    /// seen. `asked` tells what a group is asked to launch from.
    pub(in crate::providers::aws) fn member(
        &mut self,
        id: &str,
        known: Option<&InstanceImageMetadata>,
        asked: &HashMap<Uid, Source>,
        keys: &ServiceKeys,
    ) -> Option<InstanceSeen> {
        let tags = known.map(tags).unwrap_or_default();
        let (group, member) = match self.by_machine.get(id) {
            Some((group, member)) if !is_warm(member) => (*group, Some(*member)),
            Some(_) => return None,
            // Launched since the groups were read; its tags say for whom. Of a warm pool it may be one that never serves.
            None => (*self.by_name.get(tag(&tags, GROUP_TAG)?)?, None),
        };
        if member.is_none() && group.warm_pool_configuration().is_some() {
            return None;
        }
        let owner = self.owner(group, launched_from(member, &tags), asked);
        let name = group.auto_scaling_group_name().unwrap_or_default();
        let launched = known.and_then(image_of).map(ToString::to_string);
        let present = member.and_then(|member| member.image_id()).map(ToString::to_string);
        let replaced = launched.as_ref().zip(present.as_ref()).filter(|(launched, present)| launched != present);
        let touched = replaced.map(|(launched, _)| {
            Text::new(&format!("its root volume was replaced in place; it was launched from {launched}"))
        });
        let state = known.and_then(state_of);
        let (phase, health, reason) = match (member, state) {
            (None, Some("running")) => {
                (Phase::Pending, Health::Unhealthy, Some(Text::new("its group does not list it yet")))
            }
            (member, state) => life(member, state),
        };
        Some(InstanceSeen {
            uid: Uid::new(id),
            owner: Some(owner),
            service: service(keys, &super::group::tags(group), name),
            namespace: None,
            name: Text::new(id),
            revision: None,
            phase,
            health,
            reason,
            platform: None,
            containers: vec![container(present.or(launched))].into(),
            started_at: known.and_then(|known| known.launch_time()).and_then(time),
            restarts: 0,
            touched,
        })
    }

    fn owner(
        &mut self,
        group: &AutoScalingGroup,
        launched_from: Option<(String, i64)>,
        asked: &HashMap<Uid, Source>,
    ) -> Arc<Owner> {
        let workload = uid(group);
        // A version of another template is no version of this group: the group itself owns it.
        let is_ours = |id: &str| matches!(asked.get(&workload), Some(Source::Template { id: ours, .. }) if ours == id);
        let owner = match launched_from {
            Some((template, number)) if is_ours(&template) => revision_uid(group, &template, number),
            _ => workload,
        };
        let name = group.auto_scaling_group_name().unwrap_or_default();
        let made = || Owner { uid: owner.clone(), kind: WorkloadKind::AutoScalingGroup, name: Text::new(name) };
        self.owners.entry(owner.clone()).or_insert_with(|| Arc::new(made())).clone()
    }
}

/// A machine that no group has: a workload of its own, and its one instance. What should run there nobody says.
pub(in crate::providers::aws) fn alone(
    known: &InstanceImageMetadata,
    templates: &Templates,
    keys: &ServiceKeys,
) -> Option<(WorkloadSeen, InstanceSeen)> {
    let id = known.instance_id()?;
    let tags = tags(known);
    // In a warm pool, or of a group that can't be seen: it has one.
    if tag(&tags, GROUP_TAG).is_some() {
        return None;
    }
    let name = tag(&tags, "Name").unwrap_or(id);
    let image = image_of(known).map(ToString::to_string);
    let uid = Uid::new(&format!("machine {id}"));
    let service = service(keys, &tags, name);
    let (phase, health, reason) = life(None, state_of(known));
    let template = Template {
        hash: TemplateHash(Text::new(image.as_deref().unwrap_or("unknown"))),
        containers: vec![ContainerSpec { name: Text::new(MACHINE), role: Role::App, image: None }],
        version: image.as_deref().and_then(|image| templates.image(image)).and_then(|facts| facts.version.clone()),
        latent: None,
    };
    let karpenter = tag(&tags, "karpenter.sh/nodepool");
    let why = match karpenter {
        Some(pool) => format!("unmanaged by a group: Karpenter has launched it for node pool {pool}"),
        None => "unmanaged: no Auto Scaling group would launch another in its place".to_string(),
    };
    let workload = WorkloadSeen {
        uid: uid.clone(),
        kind: WorkloadKind::Machine,
        namespace: None,
        name: Text::new(id),
        service: service.clone(),
        template,
        main_container: Some(Text::new(MACHINE)),
        expected_annotation: tag(&tags, "rolldeck.dev/expected-image").map(Text::new),
        generation: 0,
        observed_generation: 0,
        desired: u32::from(phase.is_counted()),
        rollout: Rollout::Stable,
        running: None,
        canary: None,
        strategy: Strategy::default(),
        owners: Vec::new(),
        undoers: Vec::new(),
        requested_since: None,
        touched_by: None,
        inoperable: Some(Text::new(&why)),
        trouble: None,
    };
    let instance = InstanceSeen {
        uid: Uid::new(id),
        owner: Some(Arc::new(Owner { uid, kind: WorkloadKind::Machine, name: Text::new(id) })),
        service,
        namespace: None,
        name: Text::new(id),
        revision: None,
        phase,
        health,
        reason,
        platform: None,
        containers: vec![container(image)].into(),
        started_at: known.launch_time().and_then(time),
        restarts: 0,
        touched: None,
    };
    Some((workload, instance))
}

fn container(image: Option<String>) -> ContainerSeen {
    ContainerSeen {
        name: Text::new(MACHINE),
        role: Role::App,
        asked: image.as_deref().and_then(|image| image.parse().ok()),
        running: image.as_deref().map(ImageId::machine),
    }
}

/// Whether a member is on its way out.
pub(in crate::providers::aws) fn is_leaving(member: &Instance) -> bool {
    let state = member.lifecycle_state().map(|state| state.as_str()).unwrap_or_default();
    ["Terminating", "Terminated", "Detach"].iter().any(|start| state.starts_with(start))
}

/// The life of a machine: what its group says comes first, EC2 knows whether it runs at all.
fn life(member: Option<&Instance>, state: Option<&str>) -> (Phase, Health, Option<Text>) {
    let say = |why: &str| Some(Text::new(why));
    match state {
        Some("shutting-down" | "terminated" | "stopping" | "stopped") => {
            return (Phase::Draining, Health::Unhealthy, say(state.unwrap_or_default()));
        }
        Some("pending") => return (Phase::Pending, Health::Unhealthy, say("it is being launched")),
        _ => {}
    }
    let Some(member) = member else {
        // On its own: EC2's word is all there is.
        return match state {
            Some("running") => (Phase::Running, Health::Healthy, None),
            _ => (Phase::Unknown, Health::Unknown, say("EC2 says nothing of it")),
        };
    };
    let lifecycle = member.lifecycle_state().map(|state| state.as_str()).unwrap_or_default();
    let status = member.health_status().unwrap_or_default();
    match lifecycle {
        _ if is_leaving(member) => (Phase::Draining, Health::Unhealthy, say(lifecycle)),
        "InService" if status.eq_ignore_ascii_case("healthy") => (Phase::Running, Health::Healthy, None),
        "InService" => (Phase::Running, Health::Unhealthy, say(&format!("the group calls it {status}"))),
        _ if lifecycle.starts_with("Pending") => (Phase::Pending, Health::Unhealthy, say(lifecycle)),
        // Standby, a root volume on its way, quarantine: there, and not serving.
        _ => (Phase::Running, Health::Unhealthy, say(lifecycle)),
    }
}

/// The template and version that a machine was launched from: by its group, else by the tags that the launch left.
fn launched_from(member: Option<&Instance>, tags: &Tags<'_>) -> Option<(String, i64)> {
    if let Some(member) = member {
        let spec = member.launch_template()?;
        return Some((spec.launch_template_id()?.to_string(), spec.version()?.parse().ok()?));
    }
    let id = tag(tags, "aws:ec2launchtemplate:id")?;
    Some((id.to_string(), tag(tags, "aws:ec2launchtemplate:version")?.parse().ok()?))
}

fn image_of(known: &InstanceImageMetadata) -> Option<&str> {
    known.image_metadata().and_then(|image| image.image_id())
}

fn state_of(known: &InstanceImageMetadata) -> Option<&str> {
    known.state().and_then(|state| state.name()).map(|name| name.as_str())
}

fn tags(known: &InstanceImageMetadata) -> Tags<'_> {
    known.tags().iter().filter_map(|tag| Some((tag.key()?, tag.value().unwrap_or_default()))).collect()
}
