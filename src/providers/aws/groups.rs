//! One look at all groups and machines of a place. What hardly moves (templates, images, refreshes of groups where nothing
//! happens) is kept between looks.
//!
//! Never reports a row under a time later than the beginning of the look that found it.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use aws_sdk_autoscaling::types::{AutoScalingGroup, InstanceRefresh, LaunchTemplateSpecification};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use jiff::Timestamp;

use super::connect::Clients;
use super::convert::group::{self, Known};
use super::convert::launch;
use super::convert::machine::{self, Members};
use super::fault::Fault;
use super::read::{self, Pages};
use super::report::Report;
use super::templates::{Templates, Wanted};
use crate::domain::expectation::ServiceKeys;
use crate::domain::id::Uid;
use crate::domain::observation::{Observation, Rollout, Source};
use crate::domain::text::Text;

pub(super) const GROUPS: Source = Source("groups");
pub(super) const MACHINES: Source = Source("machines");
pub(super) const REFRESHES: Source = Source("instance refreshes");
pub(super) const TEMPLATES: Source = Source("launch templates");
pub(super) const ACTIVITIES: Source = Source("scaling activities");
pub(super) const CONFIGURATIONS: Source = Source("launch configurations");

/// A group where nothing happens has its refreshes looked at in every so many looks.
const QUIET: u64 = 10;
/// Groups that are short of instances and whose launches are looked at in one look.
const SHORT: usize = 10;
/// Requests under way at once.
const AT_A_TIME: usize = 4;

/// What is kept between looks.
#[derive(Default)]
pub(super) struct Groups {
    looks: u64,
    templates: Templates,
    /// By the group's name.
    refreshes: HashMap<String, Vec<InstanceRefresh>>,
    /// What a group and its members were launched from when its refreshes were last read.
    marks: HashMap<String, u64>,
    /// Images of launch configurations, which never change.
    configured: HashMap<String, String>,
    /// Why groups that are short of instances can't launch more.
    troubles: HashMap<String, Text>,
    /// Groups that the last look found moving, or off what they are asked for.
    of_interest: HashSet<String>,
}

impl Groups {
    /// Whether the last look found something that moves.
    pub(super) fn is_busy(&self) -> bool {
        !self.of_interest.is_empty()
    }

    /// Something was done here: what is kept of refreshes may be older than that.
    pub(super) fn doubt(&mut self) {
        self.marks.clear();
    }

    /// Looks once and reports.
    pub(super) async fn look(
        &mut self,
        clients: &Clients,
        keys: &ServiceKeys,
        report: &mut Report<'_>,
    ) -> Result<(), Fault> {
        self.looks += 1;
        let groups = report.or_limit(GROUPS, read::groups(clients, None).await)?;
        let is_readable = groups.is_some();
        let groups: Vec<AutoScalingGroup> = groups.unwrap_or_default();
        let wanted = wanted(&groups, &self.refreshes);
        report.or_limit(TEMPLATES, self.templates.refresh(clients, &wanted).await)?;
        self.look_at_configurations(clients, &groups, report).await?;
        self.look_at_refreshes(clients, &groups, report).await?;
        self.look_at_launches(clients, &groups, report).await;
        let now = Timestamp::now();
        let mut asked = HashMap::new();
        let mut rows = vec![Observation::ListStarted(GROUPS)];
        let mut of_interest = HashSet::new();
        for known in groups.iter().map(|group| self.known(group, keys, now)) {
            let workload = known.workload();
            let source = known.asked().source;
            if workload.rollout != Rollout::Stable || self.is_mixed(known.group, &source) {
                of_interest.insert(name(known.group).to_string());
            }
            asked.insert(workload.uid.clone(), source);
            rows.push(Observation::Workload(GROUPS, Box::new(workload)));
            rows.extend(known.revisions().into_iter().map(|past| Observation::Revision(GROUPS, Box::new(past))));
        }
        self.of_interest = of_interest;
        if is_readable {
            rows.push(Observation::ListFinished(GROUPS));
            report.send(rows).await;
        }
        self.look_at_machines(clients, keys, (&groups, &asked), report).await
    }

    fn known<'a>(&'a self, group: &'a AutoScalingGroup, keys: &'a ServiceKeys, now: Timestamp) -> Known<'a> {
        let refreshes = self.refreshes.get(name(group)).map(Vec::as_slice);
        let configured = group.launch_configuration_name().and_then(|name| self.configured.get(name));
        Known {
            group,
            refreshes,
            templates: &self.templates,
            configured_image: configured.map(String::as_str),
            trouble: self.troubles.get(name(group)),
            keys,
            now,
        }
    }

    /// Whether members are of other versions than what is asked for: somebody may have begun to change them.
    fn is_mixed(&self, group: &AutoScalingGroup, asked: &launch::Source) -> bool {
        let launch::Source::Template { number: Some(number), .. } = asked else { return false };
        let number = number.to_string();
        let of_members = group.instances().iter().filter_map(|member| member.launch_template()?.version());
        of_members.into_iter().any(|version| version != number)
    }

    async fn look_at_configurations(
        &mut self,
        clients: &Clients,
        groups: &[AutoScalingGroup],
        report: &mut Report<'_>,
    ) -> Result<(), Fault> {
        let named = groups.iter().filter_map(|group| group.launch_configuration_name());
        let missing: BTreeSet<String> =
            named.filter(|name| !self.configured.contains_key(*name)).map(ToString::to_string).collect();
        if missing.is_empty() {
            return Ok(());
        }
        let missing: Vec<String> = missing.into_iter().collect();
        let found = report.or_limit(CONFIGURATIONS, read::configured_images(clients, &missing).await)?;
        let images: BTreeSet<String> = found.iter().flatten().map(|(_, image)| image.clone()).collect();
        self.configured.extend(found.into_iter().flatten());
        let images = self.templates.refresh_images(clients, images).await;
        report.or_limit(TEMPLATES, images)?;
        Ok(())
    }

    /// The refreshes of groups of interest, of those that are new or whose members are others than before, and of some of the
    /// rest in turn.
    async fn look_at_refreshes(
        &mut self,
        clients: &Clients,
        groups: &[AutoScalingGroup],
        report: &mut Report<'_>,
    ) -> Result<(), Fault> {
        let turn = self.looks % QUIET;
        let marks: HashMap<String, u64> =
            groups.iter().map(|group| (name(group).to_string(), mark_of(group))).collect();
        let is_due = |(at, group): &(usize, &AutoScalingGroup)| {
            let name = name(group);
            let has_moved = self.marks.get(name) != marks.get(name);
            *at as u64 % QUIET == turn || self.of_interest.contains(name) || has_moved
        };
        let due: Vec<String> =
            groups.iter().enumerate().filter(is_due).map(|(_, group)| name(group).to_string()).collect();
        let looked = due.into_iter().map(|name| async move {
            let found = match read::refreshes(clients, &name).await {
                // Deleted since the groups were listed.
                Err(fault) if fault.code() == "ValidationError" => Ok(Vec::new()),
                found => found,
            };
            Ok((name, found?))
        });
        let looked: Vec<_> = looked.collect();
        let looked: Vec<Result<_, Fault>> = stream::iter(looked).buffer_unordered(AT_A_TIME).collect().await;
        for found in looked {
            match found {
                // Autoscalers share this budget of calls: what was not told now is asked for in the next look.
                Err(Fault::Throttled(why)) => report.limit(REFRESHES, why),
                found => {
                    let Some((name, found)) = report.or_limit(REFRESHES, found)? else { continue };
                    self.marks.insert(name.clone(), marks[&name]);
                    self.refreshes.insert(name, found);
                }
            }
        }
        let names: HashSet<&str> = groups.iter().map(name).collect();
        self.refreshes.retain(|name, _| names.contains(name.as_str()));
        self.marks.retain(|name, _| names.contains(name.as_str()));
        Ok(())
    }

    /// Why the groups that are short of instances are so.
    async fn look_at_launches(&mut self, clients: &Clients, groups: &[AutoScalingGroup], report: &mut Report<'_>) {
        // In turn, where there are many.
        let short: Vec<&str> = groups.iter().filter(|group| group::is_short(group)).map(name).collect();
        let first = usize::try_from(self.looks).unwrap_or(0) * SHORT % short.len().max(1);
        let short = short.iter().cycle().skip(first).take(SHORT.min(short.len())).copied();
        let looked = short.map(|name| async move {
            let found = match read::activities(clients, name).await {
                // Deleted since the groups were listed.
                Err(fault) if fault.code() == "ValidationError" => Ok(Vec::new()),
                found => found,
            };
            Ok((name.to_string(), group::why_launches_fail(&found?)))
        });
        let looked: Vec<_> = looked.collect();
        let looked: Result<Vec<(String, Option<Text>)>, Fault> =
            stream::iter(looked).buffer_unordered(AT_A_TIME).try_collect().await;
        let still_short =
            |name: &String| groups.iter().any(|group| group::is_short(group) && self::name(group) == name);
        self.troubles.retain(|name, _| still_short(name));
        match looked {
            Ok(looked) => {
                for (name, why) in looked {
                    self.troubles.remove(&name);
                    self.troubles.extend(why.map(|why| (name, why)));
                }
            }
            // A hint, and no more: the look goes on without it.
            Err(fault) => report.limit(ACTIVITIES, fault.text()),
        }
    }

    async fn look_at_machines(
        &self,
        clients: &Clients,
        keys: &ServiceKeys,
        (groups, asked): (&[AutoScalingGroup], &HashMap<Uid, launch::Source>),
        report: &mut Report<'_>,
    ) -> Result<(), Fault> {
        let mut members = Members::of(groups);
        let mut named: HashSet<String> = HashSet::new();
        let (mut token, mut pages) = (None, Pages::of("ec2:DescribeInstanceImageMetadata"));
        report.send(vec![Observation::ListStarted(MACHINES)]).await;
        loop {
            let Some((page, next)) = report.or_limit(MACHINES, read::machines(clients, token).await)? else { break };
            let mut rows = Vec::new();
            for known in &page {
                let Some(id) = known.instance_id() else { continue };
                named.insert(id.to_string());
                if let Some(member) = members.member(id, Some(known), asked, keys) {
                    rows.push(Observation::Instance(MACHINES, Box::new(member)));
                } else if let Some((workload, machine)) = machine::alone(known, &self.templates, keys) {
                    rows.push(Observation::Workload(MACHINES, Box::new(workload)));
                    rows.push(Observation::Instance(MACHINES, Box::new(machine)));
                }
            }
            report.send(rows).await;
            token = pages.next(next)?;
            if token.is_none() {
                break;
            }
        }
        let rest = members.rest(&named);
        let rest = rest.into_iter().filter_map(|id| members.member(id, None, asked, keys));
        let mut rows: Vec<Observation> = rest.map(|seen| Observation::Instance(MACHINES, Box::new(seen))).collect();
        rows.push(Observation::ListFinished(MACHINES));
        report.send(rows).await;
        Ok(())
    }
}

/// Moves when the group or one of its members is launched from something else.
fn mark_of(group: &AutoScalingGroup) -> u64 {
    let mut hasher = DefaultHasher::new();
    format!("{:?} {:?}", group.launch_template(), group.mixed_instances_policy()).hash(&mut hasher);
    for member in group.instances() {
        (member.instance_id(), member.image_id(), member.launch_template().and_then(|spec| spec.version()))
            .hash(&mut hasher);
    }
    hasher.finish()
}

/// A group's name.
pub(super) fn name(group: &AutoScalingGroup) -> &str {
    group.auto_scaling_group_name().unwrap_or_default()
}

/// The versions of launch templates that groups, their members and their refreshes name.
pub(super) fn wanted(groups: &[AutoScalingGroup], refreshes: &HashMap<String, Vec<InstanceRefresh>>) -> Wanted {
    let mut wanted = Wanted::new();
    let mut want = |spec: Option<&LaunchTemplateSpecification>| {
        let Some(id) = spec.and_then(|spec| spec.launch_template_id()) else { return };
        let numbers = wanted.entry(id.to_string()).or_default();
        numbers.extend(spec.and_then(|spec| spec.version()).and_then(|version| version.parse::<i64>().ok()));
    };
    for group in groups {
        want(group.launch_template());
        let policy = group.mixed_instances_policy().and_then(|policy| policy.launch_template());
        want(policy.and_then(|template| template.launch_template_specification()));
        group.instances().iter().for_each(|member| want(member.launch_template()));
        for refresh in refreshes.get(name(group)).into_iter().flatten() {
            let desired = refresh.desired_configuration();
            want(desired.and_then(|desired| desired.launch_template()));
            let policy = desired.and_then(|desired| desired.mixed_instances_policy()?.launch_template());
            want(policy.and_then(|template| template.launch_template_specification()));
        }
    }
    wanted
}
