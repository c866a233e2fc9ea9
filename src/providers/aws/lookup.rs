//! One group or one service as it is now, for a step: read on its own, with all that its bound facts are made of.
//!
//! Never uses what a watch has kept.

use std::collections::HashMap;

use aws_sdk_autoscaling::types::{AutoScalingGroup, InstanceRefresh, InstanceRefreshStatus as Status};
use aws_sdk_ecs::types::{Service, ServiceDeploymentBrief, ServiceRevision};
use jiff::Timestamp;

use super::connect::Clients;
use super::convert::{group, service};
use super::fault::Fault;
use super::groups::{name, wanted};
use super::read;
use super::templates::Templates;
use crate::domain::expectation::ServiceKeys;
use crate::domain::id::WorkloadId;

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
    revisions: Vec<ServiceRevision>,
}

impl PresentGroup {
    /// What is known of it.
    pub(super) fn known<'a>(&'a self, keys: &'a ServiceKeys) -> group::Known<'a> {
        let (group, refreshes, templates) = (&self.group, &*self.refreshes, &self.templates);
        group::Known { group, refreshes, templates, configured_image: None, keys, now: Timestamp::now() }
    }

    /// Whether a refresh is being cancelled.
    pub(super) fn is_cancelling(&self) -> bool {
        self.active().is_some_and(|active| active.status() == Some(&Status::Cancelling))
    }

    /// The refresh that is under way, if one is.
    pub(super) fn active(&self) -> Option<&InstanceRefresh> {
        self.refreshes.iter().find(|newest| {
            matches!(
                newest.status(),
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
}

impl PresentService {
    /// What is known of it.
    pub(super) fn known<'a>(&'a self, keys: &'a ServiceKeys) -> service::Known<'a> {
        service::Known { service: &self.service, deployments: &self.deployments, revisions: &self.revisions, keys }
    }
}

/// The group of a workload; `None` if it is gone.
pub(super) async fn group(clients: &Clients, id: &WorkloadId) -> Result<Option<PresentGroup>, Fault> {
    let Some(group) = read::groups(clients, Some(&id.name)).await?.into_iter().next() else { return Ok(None) };
    let refreshes = read::refreshes(clients, name(&group)).await?;
    let mut templates = Templates::default();
    let by_name = HashMap::from([(name(&group).to_string(), refreshes)]);
    templates.refresh(clients, &wanted(std::slice::from_ref(&group), &by_name)).await?;
    let refreshes = by_name.into_values().flatten().collect();
    Ok(Some(PresentGroup { group, refreshes, templates }))
}

/// The service of a workload; `None` if it is gone.
pub(super) async fn service(clients: &Clients, id: &WorkloadId) -> Result<Option<PresentService>, Fault> {
    let cluster = id.namespace.as_deref().unwrap_or("default");
    let found = match read::services_named(clients, cluster, vec![id.name.to_string()]).await {
        Err(fault) if fault.code() == "ClusterNotFoundException" => return Ok(None),
        found => found?,
    };
    let Some(service) = found.into_iter().find(|found| found.status() != Some("INACTIVE")) else { return Ok(None) };
    let deployments = match read::deployments(clients, cluster, service.service_arn().unwrap_or_default()).await {
        Err(Fault::Refused { .. }) => Vec::new(),
        found => found?,
    };
    let current = service.current_service_revisions().iter().filter_map(|revision| revision.arn());
    let past = deployments.iter().filter_map(|deployment| deployment.target_service_revision_arn());
    let mut arns: Vec<String> = current.chain(past).map(ToString::to_string).collect();
    arns.sort();
    arns.dedup();
    let revisions = read::revisions(clients, &arns).await?;
    Ok(Some(PresentService { service, deployments, revisions }))
}
