//! One group or one service as it is now, for a step: read on its own, with all that its bound facts are made of.
//!
//! Never uses what a watch has kept.

use std::collections::HashMap;

use aws_sdk_autoscaling::types::{AutoScalingGroup, InstanceRefresh, InstanceRefreshStatus as Status};
use aws_sdk_ecs::types::{Service, ServiceDeployment, ServiceDeploymentBrief, ServiceRevision};
use jiff::Timestamp;

use super::connect::Clients;
use super::convert::{group, service};
use super::fault::Fault;
use super::groups::{name, wanted};
use super::read;
use super::templates::Templates;
use crate::domain::expectation::ServiceKeys;
use crate::domain::id::WorkloadId;
use crate::domain::observation::TemplateHash;
use crate::domain::text::Text;

/// A group as it is now.
pub(super) struct PresentGroup {
    /// The group.
    pub group: AutoScalingGroup,
    /// Its refreshes, newest first.
    pub refreshes: Vec<InstanceRefresh>,
    /// The templates that it names.
    pub templates: Templates,
}

/// A service as it is now.
pub(super) struct PresentService {
    /// The service.
    pub service: Service,
    /// Its deployments, newest first.
    pub deployments: Vec<ServiceDeploymentBrief>,
    /// The one that runs, if one does.
    running: Option<ServiceDeployment>,
    revisions: Vec<ServiceRevision>,
}

impl PresentGroup {
    /// What is known of it.
    pub(super) fn known<'a>(&'a self, keys: &'a ServiceKeys) -> group::Known<'a> {
        let (group, refreshes, templates) = (&self.group, &*self.refreshes, &self.templates);
        group::Known {
            group,
            refreshes: Some(refreshes),
            templates,
            configured_image: None,
            trouble: None,
            keys,
            now: Timestamp::now(),
        }
    }

    /// Whether a refresh is being cancelled.
    pub(super) fn is_cancelling(&self) -> bool {
        self.refreshes.iter().any(|refresh| refresh.status() == Some(&Status::Cancelling))
    }
}

impl PresentService {
    /// What is known of it.
    pub(super) fn known<'a>(&'a self, keys: &'a ServiceKeys) -> service::Known<'a> {
        service::Known { service: &self.service, deployments: &self.deployments, revisions: &self.revisions, keys }
    }

    /// The running deployment, if it has left just this task definition: then ECS can take it back, to the very digests that
    /// it left.
    pub(super) fn leads_back_to(&self, definition: &TemplateHash) -> Option<&str> {
        let running = self.running.as_ref()?;
        let [source] = running.source_service_revisions() else { return None };
        let revision = self.revisions.iter().find(|known| known.service_revision_arn() == source.arn())?;
        let left = service::last(revision.task_definition().unwrap_or_default());
        running.service_deployment_arn().filter(|_| left == definition.0.as_str())
    }
}

/// How often what decides is read again because it was changed while the rest was read.
const ATTEMPTS: usize = 3;

/// The group of a workload; `None` if it is gone. The group itself is read last: it is what a write would overwrite.
pub(super) async fn group(clients: &Clients, id: &WorkloadId) -> Result<Option<PresentGroup>, Fault> {
    let asks = |group: &AutoScalingGroup| {
        let (template, policy) = (group.launch_template().cloned(), group.mixed_instances_policy().cloned());
        (template, policy, group.launch_configuration_name().map(ToString::to_string))
    };
    for _ in 0..ATTEMPTS {
        let Some(before) = read::groups(clients, Some(&id.name)).await?.into_iter().next() else { return Ok(None) };
        let refreshes = read::refreshes(clients, name(&before)).await?;
        let mut templates = Templates::default();
        let by_name = HashMap::from([(name(&before).to_string(), refreshes)]);
        templates.refresh(clients, &wanted(std::slice::from_ref(&before), &by_name)).await?;
        let Some(group) = read::groups(clients, Some(&id.name)).await?.into_iter().next() else { return Ok(None) };
        if asks(&before) == asks(&group) {
            let refreshes = by_name.into_values().flatten().collect();
            return Ok(Some(PresentGroup { group, refreshes, templates }));
        }
    }
    Err(Fault::Throttled(Text::new("it is being changed faster than it can be read")))
}

/// The service of a workload; `None` if it is gone. The service itself is read last: it is what a write would overwrite.
pub(super) async fn service(clients: &Clients, id: &WorkloadId) -> Result<Option<PresentService>, Fault> {
    let cluster = id.namespace.as_deref().unwrap_or("default");
    for _ in 0..ATTEMPTS {
        let Some(before) = service_named(clients, cluster, id).await? else { return Ok(None) };
        let mut present = around(clients, cluster, before).await?;
        let Some(now) = service_named(clients, cluster, id).await? else { return Ok(None) };
        let asks = |raw: &Service| {
            (raw.task_definition().map(ToString::to_string), raw.current_service_deployment().map(ToString::to_string))
        };
        if asks(&present.service) == asks(&now) {
            present.service = now;
            return Ok(Some(present));
        }
    }
    Err(Fault::Throttled(Text::new("it is being changed faster than it can be read")))
}

async fn service_named(clients: &Clients, cluster: &str, id: &WorkloadId) -> Result<Option<Service>, Fault> {
    let found = match read::services_named(clients, cluster, vec![id.name.to_string()]).await {
        Err(fault) if fault.code() == "ClusterNotFoundException" => return Ok(None),
        found => found?,
    };
    Ok(found.into_iter().find(|found| found.status() != Some("INACTIVE")))
}

/// A service with its deployments and revisions.
async fn around(clients: &Clients, cluster: &str, raw: Service) -> Result<PresentService, Fault> {
    let deployments = match read::deployments(clients, cluster, raw.service_arn().unwrap_or_default()).await {
        Err(Fault::Refused { .. }) => Vec::new(),
        found => found?,
    };
    let running = deployments.iter().find(|known| known.status().is_some_and(service::is_stoppable));
    let running = match running.and_then(|running| running.service_deployment_arn()) {
        // Without what it has left, a new deployment does the same.
        Some(arn) => match read::deployment(clients, arn).await {
            Err(Fault::Denied(_) | Fault::Refused { .. }) => None,
            found => found?,
        },
        None => None,
    };
    let sources = running.iter().flat_map(|running| running.source_service_revisions());
    let sources = sources.filter_map(|source| source.arn());
    let current = raw.current_service_revisions().iter().filter_map(|revision| revision.arn());
    let past = deployments.iter().filter_map(|deployment| deployment.target_service_revision_arn());
    let mut arns: Vec<String> = current.chain(past).chain(sources).map(ToString::to_string).collect();
    arns.sort();
    arns.dedup();
    let revisions = read::revisions(clients, &arns).await?;
    Ok(PresentService { service: raw, deployments, running, revisions })
}
