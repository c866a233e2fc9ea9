//! An Auto Scaling group as a workload: what it is asked to launch, how far a refresh of its instances is, and (`versions`)
//! which versions of its launch template it could go back to.
//!
//! A group's own settings change only when a refresh has succeeded. So what is asked of it is what its newest refresh asks
//! for, as long as that runs or was stopped half way; else its own settings (reference `aws.md` sections 0 and 1.3).

mod versions;

use aws_sdk_autoscaling::types::{
    Activity, AutoScalingGroup, Instance, InstanceRefresh, InstanceRefreshStatus as Status, LifecycleState,
    ScalingActivityStatusCode,
};
use jiff::{SignedDuration, Timestamp};

use super::launch::{Source, desired_source, hash, is_of, source, source_of_policy};
use super::{Tags, service, time, undoers};
use crate::domain::expectation::ServiceKeys;
use crate::domain::id::{Uid, WorkloadKind};
use crate::domain::observation::{
    ContainerSpec, Role, Rollout, Running, Strategy, Template, TemplateHash, WorkloadSeen, Yields,
};
use crate::domain::text::Text;
use crate::providers::aws::templates::{Templates, Version};

/// The one container of a machine.
pub(in crate::providers::aws) const MACHINE: &str = "machine";

/// A refresh that was cancelled, or failed, before it reached any instance speaks for this long; then it counts as given up.
const HELD_FOR: SignedDuration = SignedDuration::from_hours(1);
/// How long a group's own settings may take to follow a refresh that has succeeded.
const SETTLING: SignedDuration = SignedDuration::from_mins(2);

/// What is asked of a group now, and how far that is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::providers::aws) struct Asked {
    /// What it shall launch from.
    pub source: Source,
    /// How far.
    pub rollout: Rollout,
    /// Whether that is still something else than the group's own settings.
    pub is_ahead: bool,
}

/// Everything that is known of a group.
#[derive(Clone, Copy)]
pub(in crate::providers::aws) struct Known<'a> {
    /// The group.
    pub group: &'a AutoScalingGroup,
    /// Its refreshes, newest first; `None` where they can't be read.
    pub refreshes: Option<&'a [InstanceRefresh]>,
    /// Launch templates and images.
    pub templates: &'a Templates,
    /// The image of its launch configuration, where it has one.
    pub configured_image: Option<&'a str>,
    /// Why its last launch failed, if it did.
    pub trouble: Option<&'a Text>,
    /// Which tags name the service.
    pub keys: &'a ServiceKeys,
    /// Now.
    pub now: Timestamp,
}

impl Known<'_> {
    /// What it launches from by its own settings.
    pub(in crate::providers::aws) fn own(&self) -> Source {
        let group = self.group;
        match (group.launch_template(), group.mixed_instances_policy(), group.launch_configuration_name()) {
            (Some(spec), _, _) => source(spec, &[], self.templates),
            (None, Some(policy), _) => source_of_policy(policy, self.templates),
            (None, None, Some(name)) => Source::Configuration(name.to_string()),
            (None, None, None) => Source::Unknown,
        }
    }

    fn records(&self) -> &[InstanceRefresh] {
        self.refreshes.unwrap_or_default()
    }

    /// What is asked of it now. Where its refreshes can't be read and its members are of several versions, nobody knows.
    pub(in crate::providers::aws) fn asked(&self) -> Asked {
        let own = self.own();
        if self.refreshes.is_none() && self.has_missed_any(&own) {
            return Asked { source: Source::Unknown, rollout: Rollout::Stable, is_ahead: false };
        }
        let Some(newest) = self.records().first() else {
            return Asked { source: own, rollout: Rollout::Stable, is_ahead: false };
        };
        let desired = newest.desired_configuration().and_then(|desired| desired_source(desired, self.templates));
        let goes_back = newest.rollback_details().is_some();
        let target = desired.filter(|_| !goes_back).unwrap_or_else(|| own.clone());
        let is_ahead = !target.is_same(&own);
        let ended = newest.end_time().and_then(time);
        let ended_within = |limit| ended.is_some_and(|ended| self.now.duration_since(ended) < limit);
        // Whoever has made the group's own version since has given the refresh up.
        if ended.zip(self.made_at(&own)).is_some_and(|(ended, made)| made > ended) {
            return Asked { source: own, rollout: Rollout::Stable, is_ahead: false };
        }
        let why = || Text::new(newest.status_reason().unwrap_or("the instance refresh failed"));
        let asks = |rollout| Asked { source: target.clone(), rollout, is_ahead };
        let rests = |rollout| Asked { source: own.clone(), rollout, is_ahead: false };
        match newest.status() {
            Some(Status::Pending | Status::InProgress | Status::Baking | Status::RollbackInProgress) => {
                asks(Rollout::Progressing)
            }
            // What is still on its way is let go; nothing new is begun.
            Some(Status::Cancelling) => asks(Rollout::Paused),
            Some(Status::Cancelled) if is_ahead && (self.has_reached_any(&target) || ended_within(HELD_FOR)) => {
                asks(Rollout::Paused)
            }
            Some(Status::Cancelled) if !is_ahead && self.has_missed_any(&target) => asks(Rollout::Paused),
            // The group was read before its refresh came to its end, or its settings follow a moment later.
            Some(Status::Successful) if is_ahead && ended_within(SETTLING) => asks(Rollout::Progressing),
            Some(Status::Failed) if is_ahead && (self.has_reached_any(&target) || ended_within(HELD_FOR)) => {
                asks(Rollout::Failed(why()))
            }
            Some(Status::Failed) if !is_ahead && self.has_missed_any(&own) => rests(Rollout::Failed(why())),
            Some(Status::RollbackFailed) if self.has_missed_any(&own) => rests(Rollout::Failed(why())),
            _ => rests(Rollout::Stable),
        }
    }

    /// The refresh that is under way, if one is.
    pub(in crate::providers::aws) fn active(&self) -> Option<&InstanceRefresh> {
        self.records().iter().find(|refresh| {
            matches!(
                refresh.status(),
                Some(
                    Status::Pending
                        | Status::InProgress
                        | Status::Baking
                        | Status::Cancelling
                        | Status::RollbackInProgress
                )
            )
        })
    }

    fn is_cancelling(&self) -> bool {
        self.active().is_some_and(|active| active.status() == Some(&Status::Cancelling))
    }

    /// A group takes one refresh at a time. The one that runs can be taken back to the group's own settings, and only where
    /// it leads from one numbered version with a plain image to another (reference `aws.md` section 0.4).
    pub(in crate::providers::aws) fn running(&self) -> Option<Running> {
        let active = self.active().filter(|active| active.status() != Some(&Status::Cancelling))?;
        let is_pinned = |source: &Source| match source {
            Source::Template { id, named, number: Some(number), .. } => {
                !named.starts_with('$') && self.version(id, *number).is_some_and(|version| version.parameter.is_none())
            }
            Source::Template { .. } | Source::Configuration(_) | Source::Unknown => false,
        };
        let own = self.own();
        let is_reversible = active.rollback_details().is_none()
            && active.desired_configuration().is_some()
            && is_pinned(&own)
            && is_pinned(&self.asked().source);
        let leads_back_to = match own {
            Source::Template { id, number: Some(number), overrides, .. } if is_reversible => {
                Some(hash(&id, number, &overrides))
            }
            _ => None,
        };
        let id = active.instance_refresh_id().unwrap_or_default();
        let status = active.status().map(|status| status.as_str()).unwrap_or_default();
        let percent = active.percentage_complete().unwrap_or(0);
        let since =
            active.start_time().and_then(time).map(|at| format!(" since {}", at.strftime("%Y-%m-%d %H:%M UTC")));
        let short = id.split('-').next().unwrap_or(id);
        let what = format!("instance refresh {short} ({status}, {percent}%){}", since.unwrap_or_default());
        Some(Running { id: Text::new(id), what: Text::new(&what), yields: Yields::ToWayBack(leads_back_to) })
    }

    /// When the version was made that a group launches from.
    fn made_at(&self, source: &Source) -> Option<Timestamp> {
        let Source::Template { id, number: Some(number), .. } = source else { return None };
        self.version(id, *number)?.created_at
    }

    fn has_reached_any(&self, target: &Source) -> bool {
        self.members().any(|member| is_of(member, target))
    }

    fn has_missed_any(&self, target: &Source) -> bool {
        self.members().any(|member| !is_of(member, target))
    }

    /// Its members that serve, or are about to.
    pub(in crate::providers::aws) fn members(&self) -> impl Iterator<Item = &Instance> {
        self.group.instances().iter().filter(|member| !is_warm(member))
    }

    /// The group as a workload.
    pub(in crate::providers::aws) fn workload(&self) -> WorkloadSeen {
        let asked = self.asked();
        let tags = tags(self.group);
        let name = self.group.auto_scaling_group_name().unwrap_or_default();
        let generation = generation(self.records());
        WorkloadSeen {
            uid: uid(self.group),
            kind: WorkloadKind::AutoScalingGroup,
            namespace: None,
            name: Text::new(name),
            service: service(self.keys, &tags, name),
            template: self.template(&asked),
            main_container: Some(Text::new(MACHINE)),
            expected_annotation: super::tag(&tags, "rolldeck.dev/expected-image").map(Text::new),
            generation,
            // A cancellation that is asked for is not one that has come to its end.
            observed_generation: generation - u64::from(self.is_cancelling()),
            desired: self.desired(),
            requested_since: self.requested_since(&asked),
            rollout: asked.rollout.clone(),
            running: self.running(),
            canary: None,
            strategy: self.strategy(),
            owners: Vec::new(),
            undoers: undoers(&tags),
            touched_by: None,
            inoperable: self.why_inoperable(&asked, &tags),
            trouble: self.trouble.cloned(),
        }
    }

    fn version(&self, id: &str, number: i64) -> Option<&Version> {
        self.templates.template(id)?.versions.get(&number)
    }

    fn template(&self, asked: &Asked) -> Template {
        match &asked.source {
            Source::Template { id, named, number: Some(number), overrides } => {
                let version = self.version(id, *number);
                self.template_of(hash(id, *number, overrides), version, self.latent(asked, named, *number, version))
            }
            Source::Template { id, named, number: None, overrides } => {
                let hash = TemplateHash(Text::new(&format!("{id}:{named}{overrides}")));
                self.template_of(hash, None, None)
            }
            Source::Configuration(name) => {
                let version = Version { image: self.configured_image.map(ToString::to_string), ..Version::default() };
                self.template_of(TemplateHash(Text::new(name)), Some(&version), None)
            }
            Source::Unknown => self.template_of(TemplateHash(Text::new("unknown")), None, None),
        }
    }

    fn template_of(&self, hash: TemplateHash, version: Option<&Version>, latent: Option<Text>) -> Template {
        let image = version.and_then(|version| version.image.as_deref());
        let container = ContainerSpec {
            name: Text::new(MACHINE),
            role: Role::App,
            image: image.and_then(|image| image.parse().ok()),
        };
        let named = image.and_then(|image| self.templates.image(image)).and_then(|facts| facts.version.clone());
        Template { hash, containers: vec![container], version: named, latent }
    }

    /// What would make the next launch differ.
    fn latent(&self, asked: &Asked, named: &str, number: i64, version: Option<&Version>) -> Option<Text> {
        let text = if asked.is_ahead && matches!(asked.rollout, Rollout::Paused | Rollout::Failed(_)) {
            let own = match self.own() {
                Source::Template { number: Some(own), .. } => format!("version {own}"),
                _ => "its own settings".to_string(),
            };
            format!("an instance launched now is of {own}: the refresh to version {number} did not come to its end")
        } else if named.starts_with('$') {
            format!("it launches from {named}, which is version {number} now")
        } else {
            let parameter = version.and_then(|version| version.parameter.as_ref())?;
            format!("its image is what {parameter} stands for at each launch")
        };
        Some(Text::new(&text))
    }

    /// Instances, not units of capacity: those are counted where types weigh differently.
    fn desired(&self) -> u32 {
        let is_weighted = self.members().any(|member| member.weighted_capacity().is_some())
            || self.group.desired_capacity_type().is_some_and(|kind| kind != "units");
        if is_weighted {
            return self.weighted();
        }
        u32::try_from(self.group.desired_capacity().unwrap_or(0)).unwrap_or(0)
    }

    /// Members that stay, and as many of the heaviest type as are still to come.
    fn weighted(&self) -> u32 {
        let weight =
            |member: &Instance| member.weighted_capacity().and_then(|weight| weight.parse::<i64>().ok()).unwrap_or(1);
        let staying: Vec<i64> =
            self.members().filter(|member| !super::machine::is_leaving(member)).map(weight).collect();
        let heaviest = self.members().map(weight).max().unwrap_or(1).max(1);
        let missing = i64::from(self.group.desired_capacity().unwrap_or(0)) - staying.iter().sum::<i64>();
        let to_come = u32::try_from((missing.max(0) + heaviest - 1) / heaviest).unwrap_or(0);
        u32::try_from(staying.len()).unwrap_or(0) + to_come
    }

    fn requested_since(&self, asked: &Asked) -> Option<Timestamp> {
        let goes_there = |refresh: &&InstanceRefresh| {
            let desired = refresh.desired_configuration().and_then(|desired| desired_source(desired, self.templates));
            desired.is_some_and(|desired| desired.is_same(&asked.source))
        };
        // A refresh to what was there already changes nothing.
        let first_to_it = self.records().iter().take_while(goes_there).last();
        let of_refresh = first_to_it.and_then(|refresh| refresh.start_time()).and_then(time);
        match &asked.source {
            Source::Template { id, number: Some(number), .. } => {
                let made = self.version(id, *number).and_then(|version| version.created_at);
                of_refresh.max(made).or(made)
            }
            Source::Template { .. } | Source::Configuration(_) | Source::Unknown => of_refresh,
        }
    }

    fn strategy(&self) -> Strategy {
        let health = Health::of(self.group);
        Strategy {
            kind: Text::new("InstanceRefresh"),
            max_unavailable: Some(Text::new(&format!("{}%", 100 - health.min))),
            max_surge: Some(Text::new(&format!("{}%", health.max - 100))),
            partition: 0,
            first_number: 0,
        }
    }

    fn why_inoperable(&self, asked: &Asked, tags: &Tags<'_>) -> Option<Text> {
        let group = self.group;
        let why = if let Some(status) = group.status() {
            format!("it is being deleted ({status})")
        } else if let Some(node_group) = super::tag(tags, "eks:nodegroup-name") {
            format!("EKS manages it as node group {node_group}: use aws eks update-nodegroup-version")
        } else if let Some(environment) = super::tag(tags, "elasticbeanstalk:environment-name") {
            format!("Elastic Beanstalk manages it for {environment}: deploy an earlier version there")
        } else if let Some(by) = group.operator().and_then(|operator| operator.principal()) {
            format!("{by} manages it")
        } else {
            match &asked.source {
                Source::Template { overrides, number: Some(_), .. } if overrides.is_empty() => return None,
                Source::Template { number: None, .. } => "its launch template can't be read".to_string(),
                Source::Template { .. } => {
                    "some of its instance types have an image or a template of their own, which no version of the group's \
                     template brings back"
                        .to_string()
                }
                Source::Configuration(_) => {
                    "it launches from a launch configuration, which has no versions: move it to a launch template".to_string()
                }
                Source::Unknown if self.refreshes.is_none() => {
                    "its instance refreshes can't be read: what is asked of it is not known".to_string()
                }
                Source::Unknown => "it names no launch template".to_string(),
            }
        };
        Some(Text::new(&why))
    }
}

/// How many instances of a group must serve while a refresh runs, and how many may, in percent of what is desired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::providers::aws) struct Health {
    /// At least.
    pub min: i32,
    /// At most; above 100 new ones are launched first.
    pub max: i32,
}

impl Health {
    /// The group's own maintenance policy, else AWS's 90 % with 10 % launched first: without a maximum AWS terminates while
    /// it launches (Auto Scaling API reference, `RefreshPreferences`).
    pub(in crate::providers::aws) fn of(group: &AutoScalingGroup) -> Health {
        let policy = group.instance_maintenance_policy();
        // -1 says that none is set.
        let min = policy.and_then(|policy| policy.min_healthy_percentage()).filter(|min| (0..=100).contains(min));
        let max = policy.and_then(|policy| policy.max_healthy_percentage()).filter(|max| (100..=200).contains(max));
        Health { min: min.unwrap_or(90), max: max.unwrap_or(110) }
    }
}

/// Why the newest launch of a group failed; `None` if it did not.
pub(in crate::providers::aws) fn why_launches_fail(activities: &[Activity]) -> Option<Text> {
    let is_launch = |activity: &&Activity| activity.description().is_some_and(|text| text.starts_with("Launching"));
    let newest = activities.iter().find(is_launch)?;
    let failed = newest.status_code() == Some(&ScalingActivityStatusCode::Failed);
    failed.then(|| Text::new(&format!("its last launch failed: {}", newest.status_message().unwrap_or("no reason"))))
}

/// Whether it has fewer instances in service than it should.
pub(in crate::providers::aws) fn is_short(group: &AutoScalingGroup) -> bool {
    let in_service = |member: &&Instance| member.lifecycle_state() == Some(&LifecycleState::InService);
    let weight =
        |member: &Instance| member.weighted_capacity().and_then(|weight| weight.parse::<i32>().ok()).unwrap_or(1);
    let capacity: i32 = group.instances().iter().filter(in_service).map(weight).sum();
    capacity < group.desired_capacity().unwrap_or(0)
}

/// Counts refreshes, newest first: by when the newest began. AWS tells seconds, so those of one second are counted on; and
/// one that is taken back counts once more. Any refresh or way back that comes later makes it larger.
pub(in crate::providers::aws) fn generation(refreshes: &[InstanceRefresh]) -> u64 {
    let began = |refresh: &&InstanceRefresh| refresh.start_time().and_then(time);
    // One that is pending may have no start yet.
    let Some(newest) = refreshes.iter().find(|refresh| began(refresh).is_some()) else { return 0 };
    let at = began(&newest);
    let at_once = refreshes.iter().filter(|refresh| began(refresh) == at).count() as u64;
    let at = at.map_or(0, |at| at.as_millisecond().unsigned_abs());
    at + 2 * at_once + u64::from(newest.rollback_details().is_some())
}

/// The workload's uid.
pub(in crate::providers::aws) fn uid(group: &AutoScalingGroup) -> Uid {
    Uid::new(group.auto_scaling_group_arn().or(group.auto_scaling_group_name()).unwrap_or_default())
}

/// The uid of a version in a group: two groups may share a template.
pub(in crate::providers::aws) fn revision_uid(group: &AutoScalingGroup, template: &str, number: i64) -> Uid {
    Uid::new(&format!("{}#{template}:{number}", uid(group)))
}

/// A group's tags.
pub(in crate::providers::aws) fn tags(group: &AutoScalingGroup) -> Tags<'_> {
    group.tags().iter().filter_map(|tag| Some((tag.key()?, tag.value().unwrap_or_default()))).collect()
}

/// Whether a member waits in a warm pool: it does not serve.
pub(in crate::providers::aws) fn is_warm(member: &Instance) -> bool {
    member.lifecycle_state().is_some_and(|state| state.as_str().starts_with("Warmed:"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_autoscaling::primitives::DateTime;
    use aws_sdk_autoscaling::types::{
        DesiredConfiguration, LaunchTemplate, LaunchTemplateOverrides, LaunchTemplateSpecification,
        MixedInstancesPolicy, RollbackDetails,
    };

    const TEMPLATE: &str = "lt-1";
    const NOW: i64 = 1_800_000_000;

    fn spec(version: &str) -> LaunchTemplateSpecification {
        LaunchTemplateSpecification::builder().launch_template_id(TEMPLATE).version(version).build()
    }

    /// A group of its own version with members of these.
    fn group(own: &str, members: &[&str]) -> AutoScalingGroup {
        let members = members.iter().enumerate().map(|(at, version)| {
            Instance::builder().instance_id(format!("i-{at}")).launch_template(spec(version)).build()
        });
        AutoScalingGroup::builder()
            .auto_scaling_group_name("web")
            .launch_template(spec(own))
            .set_instances(Some(members.collect()))
            .build()
    }

    /// A refresh that ended so many seconds ago.
    fn refresh(to: Option<&str>, status: Status, ended: i64) -> InstanceRefresh {
        let desired = to.map(|to| DesiredConfiguration::builder().launch_template(spec(to)).build());
        InstanceRefresh::builder()
            .status(status)
            .set_desired_configuration(desired)
            .start_time(DateTime::from_secs(NOW - ended - 60))
            .end_time(DateTime::from_secs(NOW - ended))
            .build()
    }

    fn asked(group: &AutoScalingGroup, refreshes: &[InstanceRefresh]) -> (Option<i64>, Rollout) {
        let (templates, keys) = (Templates::default(), ServiceKeys::default());
        let now = Timestamp::from_second(NOW).expect("a time");
        let known = Known {
            group,
            refreshes: Some(refreshes),
            templates: &templates,
            configured_image: None,
            trouble: None,
            keys: &keys,
            now,
        };
        let asked = known.asked();
        let Source::Template { number, .. } = asked.source else { panic!("{asked:?}") };
        (number, asked.rollout)
    }

    #[test]
    fn what_is_asked_of_a_group_is_what_its_newest_refresh_goes_to_until_that_is_given_up() {
        let failed = || Rollout::Failed(Text::new("the instance refresh failed"));
        let (old, half, new) = (group("1", &["1", "1"]), group("1", &["1", "2"]), group("2", &["2", "2"]));
        for (group, to, status, ended, expected) in [
            (&old, Some("2"), Status::Pending, 0, (2, Rollout::Progressing)),
            (&half, Some("2"), Status::InProgress, 0, (2, Rollout::Progressing)),
            (&half, Some("2"), Status::Cancelling, 0, (2, Rollout::Paused)),
            (&half, Some("2"), Status::Cancelled, 90_000, (2, Rollout::Paused)),
            (&half, Some("2"), Status::Failed, 90_000, (2, failed())),
            // Nothing was reached: held for an hour, then given up.
            (&old, Some("2"), Status::Cancelled, 60, (2, Rollout::Paused)),
            (&old, Some("2"), Status::Cancelled, 7_200, (1, Rollout::Stable)),
            (&old, Some("2"), Status::Failed, 60, (2, failed())),
            (&old, Some("2"), Status::Failed, 7_200, (1, Rollout::Stable)),
            // Its settings have not followed yet.
            (&group("1", &["2", "2"]), Some("2"), Status::Successful, 60, (2, Rollout::Progressing)),
            (&group("1", &["2", "2"]), Some("2"), Status::Successful, 600, (1, Rollout::Stable)),
            (&new, Some("2"), Status::Successful, 60, (2, Rollout::Stable)),
            // To the group's own settings.
            (&half, None, Status::InProgress, 0, (1, Rollout::Progressing)),
            (&half, None, Status::Cancelled, 60, (1, Rollout::Paused)),
            (&old, None, Status::Cancelled, 60, (1, Rollout::Stable)),
            (&half, None, Status::Failed, 60, (1, failed())),
        ] {
            let found = asked(group, &[refresh(to, status.clone(), ended)]);
            assert_eq!(found, (Some(expected.0), expected.1), "{to:?} {status:?} {ended}");
        }
        assert_eq!(asked(&half, &[]), (Some(1), Rollout::Stable), "nobody has asked for anything");
    }

    #[test]
    fn a_refresh_that_goes_back_asks_for_the_groups_own_version() {
        let half = group("1", &["1", "2"]);
        for (status, expected) in [
            (Status::RollbackInProgress, Rollout::Progressing),
            (Status::Cancelled, Rollout::Paused),
            (Status::RollbackFailed, Rollout::Failed(Text::new("the instance refresh failed"))),
        ] {
            let mut back = refresh(Some("2"), status, 0);
            back.rollback_details = Some(RollbackDetails::builder().build());
            assert_eq!(asked(&half, &[back]), (Some(1), expected));
        }
    }

    #[test]
    fn only_types_with_an_image_of_their_own_make_another_template() {
        let kind = |name: &str| LaunchTemplateOverrides::builder().instance_type(name);
        let policy = |overrides: Vec<LaunchTemplateOverrides>| {
            let template = LaunchTemplate::builder().launch_template_specification(spec("3"));
            let template = template.set_overrides(Some(overrides)).build();
            MixedInstancesPolicy::builder().launch_template(template).build()
        };
        let overrides = |policy: &MixedInstancesPolicy| match source_of_policy(policy, &Templates::default()) {
            Source::Template { number: Some(3), overrides, .. } => overrides,
            other => panic!("{other:?}"),
        };
        assert_eq!(overrides(&policy(vec![kind("m5.large").build(), kind("m6i.large").build()])), "");
        let arm = policy(vec![kind("m5.large").build(), kind("c7g.large").image_id("ami-12345678").build()]);
        assert!(overrides(&arm).starts_with('+'));
        assert_eq!(overrides(&arm), overrides(&arm.clone()), "the same each time");
    }

    #[test]
    fn refreshes_of_one_second_are_counted_on() {
        let at = |ended| refresh(Some("2"), Status::Successful, ended);
        assert_eq!(generation(&[]), 0);
        assert!(generation(&[at(0), at(0)]) > generation(&[at(0)]));
        assert!(generation(&[at(0)]) > generation(&[at(1), at(1), at(1)]));
    }
}
