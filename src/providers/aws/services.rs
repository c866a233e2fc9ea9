//! One look at all ECS services of a place, and at their tasks (`tasks`).
//!
//! Never asks for the history of a service where nothing has happened since it was read.

use std::collections::{HashMap, HashSet};

use aws_sdk_ecs::types::{Service, ServiceDeploymentBrief, ServiceRevision};
use futures::{StreamExt as _, stream};

use super::connect::Clients;
use super::convert::service::{self, Known};
use super::fault::Fault;
use super::read;
use super::report::{Order, Report};
use super::tasks::Tasks;
use crate::domain::expectation::ServiceKeys;
use crate::domain::observation::{Observation, Source};

pub(super) const SERVICES: Source = Source("services");
pub(super) const DEPLOYMENTS: Source = Source("service deployments");

/// How many services have their history read in one look after the first: deployments of all at once are read in turn.
const HISTORIES: usize = 40;
/// Requests under way at once.
const AT_A_TIME: usize = 8;

/// What is kept between looks.
#[derive(Default)]
pub(super) struct Services {
    is_busy: bool,
    tasks: Tasks,
    /// Revisions never change.
    revisions: HashMap<String, ServiceRevision>,
    /// By ARN of the service.
    known: HashMap<String, Remembered>,
}

/// What is kept of a service.
#[derive(Default)]
struct Remembered {
    /// For which deployment its history was read.
    history_of: Option<String>,
    deployments: Vec<ServiceDeploymentBrief>,
}

impl Services {
    /// Whether the last look found something that moves.
    pub(super) fn is_busy(&self) -> bool {
        self.is_busy || self.tasks.is_busy()
    }

    /// All that the last look has found was handed over.
    pub(super) fn was_handed_over(&mut self) {
        self.tasks.was_handed_over();
    }

    /// Looks once and reports.
    pub(super) async fn look(
        &mut self,
        clients: &Clients,
        keys: &ServiceKeys,
        report: &mut Report<'_>,
    ) -> Result<(), Fault> {
        self.tasks.begin();
        let listed = report.or_limit(SERVICES, list(clients).await)?;
        let Some((clusters, services)) = listed else { return Ok(()) };
        self.look_at_histories(clients, &services, report).await?;
        self.is_busy =
            services.iter().any(|raw| raw.deployments().len() > 1 || raw.running_count() != raw.desired_count());
        let mut rows = vec![Observation::ListStarted(SERVICES)];
        for raw in &services {
            let revisions = self.revisions_of(raw);
            let deployments = self.known.get(arn(raw)).map(|known| known.deployments.as_slice()).unwrap_or_default();
            let known = Known { service: raw, deployments, revisions: &revisions, keys };
            rows.push(Observation::Workload(SERVICES, Box::new(known.workload())));
            rows.extend(known.past().into_iter().map(|past| Observation::Revision(SERVICES, Box::new(past))));
        }
        rows.push(Observation::ListFinished(SERVICES));
        report.send(rows).await;
        let alive: HashSet<&str> = services.iter().map(arn).collect();
        self.known.retain(|known, _| alive.contains(known.as_str()));
        self.tasks.look(clients, keys, (&clusters, &services), report).await
    }

    fn revisions_of(&self, raw: &Service) -> Vec<ServiceRevision> {
        let history = self.known.get(arn(raw)).map(|known| known.deployments.as_slice()).unwrap_or_default();
        let past = history.iter().filter_map(|deployment| deployment.target_service_revision_arn());
        let arns: HashSet<&str> = current_revisions(raw).chain(past).collect();
        arns.into_iter().filter_map(|arn| self.revisions.get(arn).cloned()).collect()
    }

    /// The deployments of services that have a new one or whose one is on its way, and every revision that is not known.
    async fn look_at_histories(
        &mut self,
        clients: &Clients,
        services: &[Service],
        report: &mut Report<'_>,
    ) -> Result<(), Fault> {
        let is_due = |raw: &&Service| {
            let known = self.known.get(arn(raw));
            let of = known.and_then(|known| known.history_of.as_deref());
            let newest = known.and_then(|known| known.deployments.first()).and_then(|newest| newest.status());
            raw.deployments().len() > 1
                || newest.is_some_and(service::is_under_way)
                || of != Some(raw.current_service_deployment().unwrap_or_default())
        };
        let mut due: Vec<&Service> = services.iter().filter(is_due).collect();
        // Those of which nothing is known come first: the busy ones must not starve them.
        due.sort_by_key(|raw| self.known.get(arn(raw)).is_some_and(|known| known.history_of.is_some()));
        // The first look reads them all: whoever asks without a screen looks once.
        if report.order() == Order::Later {
            due.truncate(HISTORIES);
        }
        let looked = due.into_iter().map(|raw| async move {
            match read::deployments(clients, raw.cluster_arn().unwrap_or_default(), arn(raw)).await {
                Ok(found) => Ok((raw, found)),
                // Services that another controller drives have none; others may be gone since they were listed.
                Err(Fault::Refused { .. }) => Ok((raw, Vec::new())),
                Err(fault) => Err(fault),
            }
        });
        let looked: Vec<_> = looked.collect();
        let looked: Vec<Result<_, Fault>> = stream::iter(looked).buffer_unordered(AT_A_TIME).collect().await;
        for looked in looked {
            let (raw, found) = match looked {
                // What was not told now is asked for in the next look; what was told stays.
                Err(Fault::Throttled(why)) => {
                    report.limit(DEPLOYMENTS, why);
                    continue;
                }
                looked => match report.or_limit(DEPLOYMENTS, looked)? {
                    Some(looked) => looked,
                    None => continue,
                },
            };
            let known = self.known.entry(arn(raw).to_string()).or_default();
            known.deployments = found;
            known.history_of = Some(raw.current_service_deployment().unwrap_or_default().to_string());
        }
        let past = self.known.values().flat_map(|known| &known.deployments);
        let past = past.filter_map(|deployment| deployment.target_service_revision_arn());
        let needed: HashSet<&str> = services.iter().flat_map(current_revisions).chain(past).collect();
        let missing: Vec<String> =
            needed.iter().filter(|arn| !self.revisions.contains_key(**arn)).map(ToString::to_string).collect();
        let found = report.or_limit(DEPLOYMENTS, read::revisions(clients, &missing).await)?;
        let needed: HashSet<String> = needed.into_iter().map(ToString::to_string).collect();
        self.revisions.retain(|arn, _| needed.contains(arn));
        let found = found.into_iter().flatten();
        self.revisions.extend(found.filter_map(|one| Some((one.service_revision_arn()?.to_string(), one))));
        Ok(())
    }
}

async fn list(clients: &Clients) -> Result<(Vec<String>, Vec<Service>), Fault> {
    let clusters = read::clusters(clients).await?;
    let mut services = Vec::new();
    for cluster in &clusters {
        services.extend(read::services(clients, cluster).await?);
    }
    Ok((clusters, services))
}

pub(super) fn arn(raw: &Service) -> &str {
    raw.service_arn().unwrap_or_default()
}

fn current_revisions(raw: &Service) -> impl Iterator<Item = &str> {
    raw.current_service_revisions().iter().filter_map(|revision| revision.arn())
}
