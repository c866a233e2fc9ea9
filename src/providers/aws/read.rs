//! The reads of one account and region: lists of everything, never one request for each instance.
//!
//! Never keeps anything; a page that fails fails the whole list.

use std::collections::HashSet;

use aws_sdk_autoscaling::types::{Activity, AutoScalingGroup, InstanceRefresh};
use aws_sdk_ec2::types::{Filter, InstanceImageMetadata};
use aws_sdk_ecs::types::{
    DesiredStatus, Service, ServiceDeployment, ServiceDeploymentBrief, ServiceField, ServiceRevision, Task,
    TaskDefinition,
};
use futures::{StreamExt as _, TryStreamExt as _, stream};

use super::connect::{Clients, ask};
use super::fault::Fault;
use crate::domain::text::Text;

/// No list of an account is longer: 10,000 pages are a million instances at least.
const MOST_PAGES: usize = 10_000;

/// Requests of one list under way at once.
const AT_A_TIME: usize = 8;

/// States of machines that are there: one that was stopped serves nobody, one that is gone may be listed for an hour.
const PRESENT: [&str; 4] = ["pending", "running", "shutting-down", "stopping"];

/// Pages of one list: never the same one twice, and not without end.
pub(super) struct Pages {
    action: &'static str,
    seen: HashSet<String>,
}

impl Pages {
    /// A list begins.
    pub(super) fn of(action: &'static str) -> Pages {
        Pages { action, seen: HashSet::new() }
    }

    /// Where the next page begins, from what the last one says.
    ///
    /// # Errors
    /// The list has no end.
    pub(super) fn next(&mut self, token: Option<String>) -> Result<Option<String>, Fault> {
        let Some(token) = token.filter(|token| !token.is_empty()) else { return Ok(None) };
        if self.seen.len() >= MOST_PAGES || !self.seen.insert(token.clone()) {
            return Err(Fault::Failed(Text::new(&format!("{}: its list has no end", self.action))));
        }
        Ok(Some(token))
    }
}

/// All groups, or the one of this name, with their members.
pub(super) async fn groups(clients: &Clients, name: Option<&str>) -> Result<Vec<AutoScalingGroup>, Fault> {
    let mut found = Vec::new();
    let mut pages = Pages::of("autoscaling:DescribeAutoScalingGroups");
    let mut token: Option<String> = None;
    loop {
        let request = clients.autoscaling.describe_auto_scaling_groups().include_instances(true).max_records(100);
        let request = request.set_auto_scaling_group_names(name.map(|name| vec![name.to_string()]));
        let answer = ask("autoscaling:DescribeAutoScalingGroups", request.set_next_token(token.take()).send()).await?;
        found.extend(answer.auto_scaling_groups.unwrap_or_default());
        token = pages.next(answer.next_token)?;
        if token.is_none() {
            return Ok(found);
        }
    }
}

/// The newest instance refreshes of a group, newest first.
pub(super) async fn refreshes(clients: &Clients, group: &str) -> Result<Vec<InstanceRefresh>, Fault> {
    let request = clients.autoscaling.describe_instance_refreshes().auto_scaling_group_name(group).max_records(50);
    let answer = ask("autoscaling:DescribeInstanceRefreshes", request.send()).await?;
    // In this order AWS gives them (Auto Scaling API reference); one that is pending may have no start yet.
    Ok(answer.instance_refreshes.unwrap_or_default())
}

/// The newest scaling activities of a group, newest first.
pub(super) async fn activities(clients: &Clients, group: &str) -> Result<Vec<Activity>, Fault> {
    let request = clients.autoscaling.describe_scaling_activities().auto_scaling_group_name(group).max_records(10);
    let answer = ask("autoscaling:DescribeScalingActivities", request.send()).await?;
    Ok(answer.activities.unwrap_or_default())
}

/// The image of each of these launch configurations.
pub(super) async fn configured_images(clients: &Clients, names: &[String]) -> Result<Vec<(String, String)>, Fault> {
    let mut found = Vec::new();
    // At most 50 names a call (Auto Scaling API reference).
    for names in names.chunks(50) {
        let request = clients.autoscaling.describe_launch_configurations();
        let request = request.set_launch_configuration_names(Some(names.to_vec())).max_records(100);
        let answer = ask("autoscaling:DescribeLaunchConfigurations", request.send()).await?;
        found.extend(
            answer.launch_configurations().iter().filter_map(|known| {
                Some((known.launch_configuration_name()?.to_string(), known.image_id()?.to_string()))
            }),
        );
    }
    Ok(found)
}

/// One page of the machines that are there, and where the next begins.
pub(super) async fn machines(
    clients: &Clients,
    token: Option<String>,
) -> Result<(Vec<InstanceImageMetadata>, Option<String>), Fault> {
    let states = Filter::builder().name("instance-state-name");
    let states = states.set_values(Some(PRESENT.map(ToString::to_string).to_vec())).build();
    let request = clients.ec2.describe_instance_image_metadata().filters(states).max_results(1000);
    let answer = ask("ec2:DescribeInstanceImageMetadata", request.set_next_token(token).send()).await?;
    let token = answer.next_token.filter(|token| !token.is_empty());
    Ok((answer.instance_image_metadata.unwrap_or_default(), token))
}

/// The machines of these ids.
pub(super) async fn machines_named(clients: &Clients, ids: &[String]) -> Result<Vec<InstanceImageMetadata>, Fault> {
    let wanted = Filter::builder().name("instance-id").set_values(Some(ids.to_vec())).build();
    let request = clients.ec2.describe_instance_image_metadata().filters(wanted).max_results(1000);
    let answer = ask("ec2:DescribeInstanceImageMetadata", request.send()).await?;
    Ok(answer.instance_image_metadata.unwrap_or_default())
}

/// The ARNs of all ECS clusters.
pub(super) async fn clusters(clients: &Clients) -> Result<Vec<String>, Fault> {
    let mut found = Vec::new();
    let mut pages = Pages::of("ecs:ListClusters");
    let mut token: Option<String> = None;
    loop {
        let request = clients.ecs.list_clusters().max_results(100).set_next_token(token.take());
        let answer = ask("ecs:ListClusters", request.send()).await?;
        found.extend(answer.cluster_arns.unwrap_or_default());
        token = pages.next(answer.next_token)?;
        if token.is_none() {
            return Ok(found);
        }
    }
}

/// All services of a cluster.
pub(super) async fn services(clients: &Clients, cluster: &str) -> Result<Vec<Service>, Fault> {
    let mut arns = Vec::new();
    let mut pages = Pages::of("ecs:ListServices");
    let mut token: Option<String> = None;
    loop {
        let request = clients.ecs.list_services().cluster(cluster).max_results(100).set_next_token(token.take());
        let answer = ask("ecs:ListServices", request.send()).await?;
        arns.extend(answer.service_arns.unwrap_or_default());
        token = pages.next(answer.next_token)?;
        if token.is_none() {
            break;
        }
    }
    // Ten services a call (ECS API reference, `DescribeServices`).
    let described: Vec<_> = arns.chunks(10).map(|arns| services_named(clients, cluster, arns.to_vec())).collect();
    let described: Vec<Vec<Service>> = stream::iter(described).buffered(AT_A_TIME).try_collect().await?;
    Ok(described.into_iter().flatten().collect())
}

/// At most ten services by ARN or name.
pub(super) async fn services_named(clients: &Clients, cluster: &str, arns: Vec<String>) -> Result<Vec<Service>, Fault> {
    let request = clients.ecs.describe_services().cluster(cluster).set_services(Some(arns)).include(ServiceField::Tags);
    let answer = ask("ecs:DescribeServices", request.send()).await?;
    Ok(answer.services.unwrap_or_default())
}

/// The newest deployments of a service, newest first, without their details.
pub(super) async fn deployments(
    clients: &Clients,
    cluster: &str,
    service: &str,
) -> Result<Vec<ServiceDeploymentBrief>, Fault> {
    let request = clients.ecs.list_service_deployments().cluster(cluster).service(service).max_results(20);
    let answer = ask("ecs:ListServiceDeployments", request.send()).await?;
    let mut found = answer.service_deployments.unwrap_or_default();
    found.sort_by_key(|known| std::cmp::Reverse(known.created_at().and_then(|at| at.to_millis().ok())));
    Ok(found)
}

/// One deployment of a service, with what it has left.
pub(super) async fn deployment(clients: &Clients, arn: &str) -> Result<Option<ServiceDeployment>, Fault> {
    let request = clients.ecs.describe_service_deployments().service_deployment_arns(arn);
    let answer = ask("ecs:DescribeServiceDeployments", request.send()).await?;
    Ok(answer.service_deployments.unwrap_or_default().into_iter().next())
}

/// Service revisions by ARN; those that are gone are left out.
pub(super) async fn revisions(clients: &Clients, arns: &[String]) -> Result<Vec<ServiceRevision>, Fault> {
    // Twenty a call (ECS API reference, `DescribeServiceRevisions`).
    let pages = arns.chunks(20).map(<[String]>::to_vec).map(|arns| async move {
        let request = clients.ecs.describe_service_revisions().set_service_revision_arns(Some(arns));
        let answer = ask("ecs:DescribeServiceRevisions", request.send()).await?;
        Ok(answer.service_revisions.unwrap_or_default())
    });
    let pages: Vec<_> = pages.collect();
    let pages: Vec<Vec<ServiceRevision>> = stream::iter(pages).buffered(AT_A_TIME).try_collect().await?;
    Ok(pages.into_iter().flatten().collect())
}

/// Which tasks are listed.
#[derive(Clone, Copy)]
pub(super) enum TasksOf<'a> {
    /// All of a cluster.
    Cluster,
    /// Those of this service.
    Service(&'a str),
}

/// The ARNs of tasks that are meant to run, or of those that are meant to stop; ECS lists the latter for an hour at least.
pub(super) async fn task_arns(
    clients: &Clients,
    cluster: &str,
    of: TasksOf<'_>,
    desired: DesiredStatus,
) -> Result<Vec<String>, Fault> {
    let service = match of {
        TasksOf::Cluster => None,
        TasksOf::Service(name) => Some(name.to_string()),
    };
    let mut found = Vec::new();
    let mut pages = Pages::of("ecs:ListTasks");
    let mut token: Option<String> = None;
    loop {
        let request = clients.ecs.list_tasks().cluster(cluster).max_results(100).desired_status(desired.clone());
        let request = request.set_service_name(service.clone()).set_next_token(token.take());
        let answer = ask("ecs:ListTasks", request.send()).await?;
        found.extend(answer.task_arns.unwrap_or_default());
        token = pages.next(answer.next_token)?;
        if token.is_none() {
            return Ok(found);
        }
    }
}

/// A task definition by ARN, or by family and number.
pub(super) async fn definition(clients: &Clients, name: &str) -> Result<TaskDefinition, Fault> {
    let request = clients.ecs.describe_task_definition().task_definition(name);
    let answer = ask("ecs:DescribeTaskDefinition", request.send()).await?;
    answer.task_definition.ok_or_else(|| Fault::Failed(Text::new("ecs:DescribeTaskDefinition: an empty answer")))
}

/// At most a hundred tasks by ARN; those that are gone are left out.
pub(super) async fn tasks(clients: &Clients, cluster: &str, arns: Vec<String>) -> Result<Vec<Task>, Fault> {
    let request = clients.ecs.describe_tasks().cluster(cluster).set_tasks(Some(arns));
    let answer = ask("ecs:DescribeTasks", request.send()).await?;
    Ok(answer.tasks.unwrap_or_default())
}
