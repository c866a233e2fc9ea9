//! What Auto Scaling answers, and how it terminates an instance. What refreshes do stands beside.

use super::answer::{self, Refusal, Reply, Xml, newest_first, page};
use super::records::{Activity, Group, Launches, Member, Refresh, TemplateAt};
use super::request::Request;
use super::world::World;

pub(super) fn groups(world: &World, request: &Request) -> Reply {
    let names = request.list("AutoScalingGroupNames.member");
    let shows_members = request.param("IncludeInstances").is_none_or(|value| value == "true");
    let named = world.groups.iter().filter(|(name, _)| names.is_empty() || names.contains(name));
    let items = named.map(|(name, group)| (name.clone(), (name, group)));
    let (found, token) = page(items, size(request, 50)?, request.param("NextToken"));
    answer::query(request, |xml| {
        xml.members("AutoScalingGroups", found, |xml, (name, group)| {
            group_fields(xml, world, name, group);
            if shows_members {
                xml.members("Instances", &group.members, |xml, (id, member)| member_fields(xml, world, id, member));
            }
        });
        xml.maybe("NextToken", token);
    })
}

pub(super) fn refreshes(world: &World, request: &Request) -> Reply {
    let (name, _) = group_of(world, request)?;
    let ids = request.list("InstanceRefreshIds.member");
    let all = world.refreshes.iter().enumerate().rev();
    let named = all.filter(|(_, refresh)| refresh.group == name && (ids.is_empty() || ids.contains(&refresh.id)));
    let items = named.map(|(number, refresh)| (newest_first(number), refresh));
    let (found, token) = page(items, size(request, 50)?, request.param("NextToken"));
    answer::query(request, |xml| {
        xml.members("InstanceRefreshes", found, |xml, refresh| refresh_fields(xml, world, refresh));
        xml.maybe("NextToken", token);
    })
}

pub(super) fn activities(world: &World, request: &Request) -> Reply {
    let name = request.param("AutoScalingGroupName");
    if name.is_some() {
        group_of(world, request)?;
    }
    let all = world.activities.iter().enumerate().rev();
    let named = all.filter(|(_, activity)| name.as_ref().is_none_or(|name| activity.group == *name));
    let items = named.map(|(number, activity)| (newest_first(number), activity));
    let (found, token) = page(items, size(request, 100)?, request.param("NextToken"));
    answer::query(request, |xml| {
        xml.members("Activities", found, activity_fields);
        xml.maybe("NextToken", token);
    })
}

pub(super) fn configurations(world: &World, request: &Request) -> Reply {
    let names = request.list("LaunchConfigurationNames.member");
    let named = world.configurations.iter().filter(|(name, _)| names.is_empty() || names.contains(name));
    let items = named.map(|(name, image)| (name.clone(), (name, image)));
    let (found, token) = page(items, size(request, 50)?, request.param("NextToken"));
    answer::query(request, |xml| {
        xml.members("LaunchConfigurations", found, |xml, (name, image)| {
            xml.leaf("LaunchConfigurationName", name);
            xml.leaf("ImageId", image);
            xml.leaf("InstanceType", "m5.large");
            xml.leaf("CreatedTime", "2026-10-01T00:00:00Z");
        });
        xml.maybe("NextToken", token);
    })
}

/// The group launches another one at the next step, unless it is to become smaller.
pub(super) fn terminate(world: &mut World, request: &Request) -> Reply {
    let ids = request.list("InstanceIds.member");
    let is_batch = !ids.is_empty();
    let ids = if is_batch { ids } else { request.param("InstanceId").into_iter().collect() };
    if ids.len() > 100 {
        return Err(Refusal::new("ValidationError", "You can specify up to 100 instances."));
    }
    let only = if is_batch { Some(group_of(world, request)?.0) } else { None };
    let mut found = Vec::new();
    // One that may not go refuses the whole batch.
    for id in &ids {
        let mut groups = world.groups.iter().filter(|(name, _)| only.as_ref().is_none_or(|only| only == *name));
        let Some((name, group)) = groups.find(|(_, group)| group.members.contains_key(id)) else {
            let message = format!("Instance Id not found - No managed instance found for instance ID {id}");
            return Err(Refusal::new("ValidationError", message));
        };
        if group.members[id].lifecycle == "Terminating" {
            let message = format!("A scaling activity for instance {id} is in progress.");
            return Err(Refusal::new("ScalingActivityInProgress", message));
        }
        found.push((name.clone(), id));
    }
    let decrements = request.is_true("ShouldDecrementDesiredCapacity");
    let mut numbers = Vec::new();
    for (name, id) in found {
        let group = world.groups.get_mut(&name).expect("found above");
        if decrements && group.desired <= group.min {
            return Err(Refusal::new("ValidationError", "The desired capacity would be below the minimum."));
        }
        group.desired -= usize::from(decrements);
        group.members.get_mut(id).expect("found above").lifecycle = "Terminating".into();
        world.machines.get_mut(id).expect("a member is a machine").state = "shutting-down".into();
        numbers.push(world.activities.len());
        let cause = "At the request of a user an instance was taken out of service.";
        world.activity(&name, &format!("Terminating EC2 instance: {id}"), cause);
    }
    let done: Vec<&Activity> = numbers.iter().map(|number| &world.activities[*number]).collect();
    answer::query(request, |xml| match (is_batch, done.first()) {
        (false, Some(activity)) => xml.node("Activity", |xml| activity_fields(xml, activity)),
        _ => xml.members("Activities", done, activity_fields),
    })
}

/// The group that a request names.
pub(super) fn group_of<'a>(world: &'a World, request: &Request) -> Result<(String, &'a Group), Refusal> {
    let name = request.param("AutoScalingGroupName").unwrap_or_default();
    let group = world.groups.get(&name);
    let missing = || Refusal::new("ValidationError", format!("AutoScalingGroup name not found - {name}"));
    Ok((name.clone(), group.ok_or_else(missing)?))
}

impl World {
    /// Something that a group does; it is done after a step.
    pub(super) fn activity(&mut self, group: &str, description: &str, cause: &str) -> &mut Activity {
        let id = self.uuid();
        self.activities.push(Activity {
            id,
            group: group.into(),
            description: description.into(),
            cause: cause.into(),
            status: "InProgress".into(),
            message: None,
            progress: 0,
            started: self.now,
        });
        self.activities.last_mut().expect("just pushed")
    }
}

fn group_fields(xml: &mut Xml, world: &World, name: &str, group: &Group) {
    xml.leaf("AutoScalingGroupName", name);
    let home = format!("arn:aws:autoscaling:{}:{}", world.region, world.account);
    xml.leaf("AutoScalingGroupARN", format!("{home}:autoScalingGroup:fake:autoScalingGroupName/{name}"));
    launches(xml, world, &group.launches);
    xml.leaf("MinSize", group.min);
    xml.leaf("MaxSize", group.max);
    xml.leaf("DesiredCapacity", group.desired);
    xml.leaf("DefaultCooldown", 300);
    xml.members("AvailabilityZones", ["a", "b", "c"], |xml, zone| xml.text(format_args!("{}{zone}", world.region)));
    xml.leaf("HealthCheckType", "EC2");
    xml.leaf("CreatedTime", "2026-10-01T00:00:00Z");
    xml.members("SuspendedProcesses", &group.suspended, |xml, process| {
        xml.leaf("ProcessName", process);
        xml.leaf("SuspensionReason", "User suspended at 2026-11-01T00:00:00Z");
    });
    xml.maybe("Status", group.status.as_ref());
    xml.members("Tags", &group.tags, |xml, (key, value)| {
        xml.leaf("ResourceId", name);
        xml.leaf("ResourceType", "auto-scaling-group");
        xml.leaf("Key", key);
        xml.leaf("Value", value);
        xml.leaf("PropagateAtLaunch", true);
    });
    if let Some((least, most)) = group.maintenance {
        xml.node("InstanceMaintenancePolicy", |xml| {
            xml.leaf("MinHealthyPercentage", least);
            xml.leaf("MaxHealthyPercentage", most);
        });
    }
    if let Some(operator) = &group.operator {
        xml.node("Operator", |xml| {
            xml.leaf("Managed", true);
            xml.leaf("Principal", operator);
        });
    }
}

fn member_fields(xml: &mut Xml, world: &World, id: &str, member: &Member) {
    xml.leaf("InstanceId", id);
    if let Some(machine) = world.machines.get(id) {
        xml.leaf("InstanceType", &machine.kind);
        xml.leaf("AvailabilityZone", &machine.zone);
    }
    xml.leaf("LifecycleState", &member.lifecycle);
    xml.leaf("HealthStatus", &member.health);
    if let Some(template) = &member.template {
        xml.node("LaunchTemplate", |xml| template_fields(xml, world, template));
    }
    xml.maybe("ImageId", member.image.as_ref());
    xml.leaf("ProtectedFromScaleIn", member.is_protected);
}

fn launches(xml: &mut Xml, world: &World, launches: &Launches) {
    match launches {
        Launches::Configuration(name) => xml.leaf("LaunchConfigurationName", name),
        Launches::Template(template) => xml.node("LaunchTemplate", |xml| template_fields(xml, world, template)),
        Launches::Mixed(mixed) => xml.node("MixedInstancesPolicy", |xml| {
            xml.node("LaunchTemplate", |xml| {
                xml.node("LaunchTemplateSpecification", |xml| template_fields(xml, world, &mixed.base));
                xml.members("Overrides", &mixed.overrides, |xml, entry| {
                    xml.leaf("InstanceType", &entry.kind);
                    if let Some(template) = &entry.template {
                        xml.node("LaunchTemplateSpecification", |xml| template_fields(xml, world, template));
                    }
                    xml.maybe("ImageId", entry.image.as_ref());
                });
            });
        }),
    }
}

fn template_fields(xml: &mut Xml, world: &World, at: &TemplateAt) {
    xml.leaf("LaunchTemplateId", &at.id);
    xml.maybe("LaunchTemplateName", world.templates.get(&at.id).map(|template| &template.name));
    xml.maybe("Version", at.version.as_ref());
}

fn refresh_fields(xml: &mut Xml, world: &World, refresh: &Refresh) {
    xml.leaf("InstanceRefreshId", &refresh.id);
    xml.leaf("AutoScalingGroupName", &refresh.group);
    xml.leaf("Status", &refresh.status);
    xml.maybe("StatusReason", refresh.reason.as_ref());
    xml.leaf("StartTime", refresh.started);
    xml.maybe("EndTime", refresh.ended);
    xml.leaf("PercentageComplete", refresh.percent);
    xml.leaf("InstancesToUpdate", refresh.left);
    xml.node("ProgressDetails", |xml| {
        xml.node("LivePoolProgress", |xml| {
            xml.leaf("PercentageComplete", refresh.percent);
            xml.leaf("InstancesToUpdate", refresh.left);
        });
    });
    xml.node("Preferences", |xml| {
        refresh.preferences.iter().for_each(|(name, value)| xml.leaf(name, value));
        if !refresh.checkpoints.is_empty() {
            xml.members("CheckpointPercentages", &refresh.checkpoints, |xml, percent| xml.text(percent));
        }
        if !refresh.alarms.is_empty() {
            xml.node("AlarmSpecification", |xml| {
                xml.members("Alarms", &refresh.alarms, |xml, alarm| xml.text(alarm));
            });
        }
    });
    if let Some(desired) = &refresh.desired {
        xml.node("DesiredConfiguration", |xml| launches(xml, world, desired));
    }
    if let Some(rollback) = &refresh.rollback {
        xml.node("RollbackDetails", |xml| {
            xml.leaf("RollbackReason", &rollback.reason);
            xml.leaf("RollbackStartTime", rollback.started);
            xml.leaf("PercentageCompleteOnRollback", rollback.percent);
            xml.leaf("InstancesToUpdateOnRollback", rollback.left);
        });
    }
    xml.leaf("Strategy", &refresh.strategy);
}

fn activity_fields(xml: &mut Xml, activity: &Activity) {
    xml.leaf("ActivityId", &activity.id);
    xml.leaf("AutoScalingGroupName", &activity.group);
    xml.leaf("Description", &activity.description);
    xml.leaf("Cause", &activity.cause);
    xml.leaf("StartTime", activity.started);
    xml.leaf("StatusCode", &activity.status);
    xml.maybe("StatusMessage", activity.message.as_ref());
    xml.leaf("Progress", activity.progress);
}

fn size(request: &Request, usual: usize) -> Result<usize, Refusal> {
    let Some(text) = request.param("MaxRecords") else {
        return Ok(usual);
    };
    let size = text.parse().ok().filter(|size| (1..=100).contains(size));
    size.ok_or_else(|| Refusal::new("ValidationError", format!("MaxRecords {text} is not from 1 to 100.")))
}
