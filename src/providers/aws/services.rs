//! One look at all ECS services and tasks of a place. Tasks are read again where their service moved, and all of them in
//! every so many looks: the list of all tasks is the dearest that there is (reference `aws.md` section 1.4).

use std::collections::{HashMap, HashSet};

use aws_sdk_ecs::types::{Service, ServiceDeploymentBrief, ServiceRevision, Task};
use futures::{StreamExt as _, TryStreamExt as _, stream};

use super::connect::Clients;
use super::convert::service::{self, Known, Tasks};
use super::fault::Fault;
use super::read;
use super::report::Report;
use crate::domain::expectation::ServiceKeys;
use crate::domain::id::Uid;
use crate::domain::observation::{Observation, Source};

pub(super) const SERVICES: Source = Source("services");
const TASKS: Source = Source("tasks");
pub(super) const DEPLOYMENTS: Source = Source("service deployments");

/// All tasks are listed in every so many looks.
const FULL: u64 = 12;
/// How many services have their history read in one look, so that the first look does not take minutes.
const HISTORIES: usize = 40;
/// Requests under way at once.
const AT_A_TIME: usize = 8;
/// Tasks of one request (ECS API reference, `DescribeTasks`).
const TASKS_AT_ONCE: usize = 100;

/// What is kept between looks.
#[derive(Default)]
pub(super) struct Services {
    looks: u64,
    is_busy: bool,
    /// A look began and was not handed over to its end: what it has found is not known to anybody.
    is_torn: bool,
    /// Revisions never change.
    revisions: HashMap<String, ServiceRevision>,
    /// By ARN of the service.
    known: HashMap<String, Remembered>,
}

/// What is kept of a service.
#[derive(Default)]
struct Remembered {
    /// What its row showed when its tasks were last read.
    row: String,
    /// For which deployment its history was read.
    history_of: Option<String>,
    deployments: Vec<ServiceDeploymentBrief>,
    tasks: HashSet<Uid>,
}

impl Services {
    /// Whether the last look found something that moves.
    pub(super) fn is_busy(&self) -> bool {
        self.is_busy
    }

    /// All that the last look has found was handed over.
    pub(super) fn was_handed_over(&mut self) {
        self.is_torn = false;
    }

    /// Looks once and reports.
    pub(super) async fn look(
        &mut self,
        clients: &Clients,
        keys: &ServiceKeys,
        report: &mut Report<'_>,
    ) -> Result<(), Fault> {
        self.looks += 1;
        let is_full = self.looks % FULL == 1 || self.is_torn;
        self.is_torn = true;
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
        if is_full {
            self.look_at_all_tasks(clients, keys, (&clusters, &services), report).await
        } else {
            self.look_at_moved_tasks(clients, keys, &services, report).await
        }
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
        due.truncate(HISTORIES);
        let looked = due.into_iter().map(|raw| async move {
            match read::deployments(clients, raw.cluster_arn().unwrap_or_default(), arn(raw)).await {
                Ok(found) => Ok((raw, found)),
                // Services that another controller drives have none; others may be gone since they were listed.
                Err(Fault::Refused { .. }) => Ok((raw, Vec::new())),
                Err(fault) => Err(fault),
            }
        });
        let looked: Vec<_> = looked.collect();
        let looked: Result<Vec<_>, Fault> = stream::iter(looked).buffer_unordered(AT_A_TIME).try_collect().await;
        for (raw, found) in report.or_limit(DEPLOYMENTS, looked)?.into_iter().flatten() {
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

    async fn look_at_all_tasks(
        &mut self,
        clients: &Clients,
        keys: &ServiceKeys,
        (clusters, services): (&[String], &[Service]),
        report: &mut Report<'_>,
    ) -> Result<(), Fault> {
        let by_name: HashMap<(&str, &str), &Service> = services
            .iter()
            .map(|raw| ((raw.cluster_arn().unwrap_or_default(), raw.service_name().unwrap_or_default()), raw))
            .collect();
        let mut tasks_of: HashMap<&str, HashSet<Uid>> = HashMap::new();
        let mut alone: HashMap<Uid, (Task, u32)> = HashMap::new();
        let mut convert = Tasks::default();
        report.send(vec![Observation::ListStarted(TASKS)]).await;
        for cluster in clusters {
            let Some(arns) = report.or_limit(TASKS, read::task_arns(clients, cluster, None).await)? else { continue };
            let pages = arns.chunks(TASKS_AT_ONCE).map(|arns| read::tasks(clients, cluster, arns.to_vec()));
            let pages: Vec<_> = pages.collect();
            let mut pages = stream::iter(pages).buffered(AT_A_TIME);
            while let Some(page) = pages.next().await {
                let Some(page) = report.or_limit(TASKS, page)? else { break };
                let mut rows = Vec::new();
                for task in page {
                    let owner = service::service_of(&task).and_then(|name| by_name.get(&(cluster.as_str(), name)));
                    let seen = match owner {
                        Some(raw) => convert.of_service(&task, raw, keys),
                        None => convert.alone(&task),
                    };
                    match owner {
                        Some(raw) => drop(tasks_of.entry(arn(raw)).or_default().insert(seen.uid.clone())),
                        None => {
                            let owner = seen.owner.as_ref().map(|owner| owner.uid.clone());
                            alone.entry(owner.unwrap_or(seen.uid.clone())).or_insert((task, 0)).1 += 1;
                        }
                    }
                    rows.push(Observation::Instance(TASKS, Box::new(seen)));
                }
                report.send(rows).await;
            }
        }
        let families = alone.into_values().map(|(task, count)| service::family(&task, count));
        let mut rows: Vec<Observation> =
            families.map(|family| Observation::Workload(TASKS, Box::new(family))).collect();
        rows.push(Observation::ListFinished(TASKS));
        report.send(rows).await;
        for raw in services {
            let known = self.known.entry(arn(raw).to_string()).or_default();
            known.row = row(raw);
            known.tasks = tasks_of.remove(arn(raw)).unwrap_or_default();
        }
        Ok(())
    }

    async fn look_at_moved_tasks(
        &mut self,
        clients: &Clients,
        keys: &ServiceKeys,
        services: &[Service],
        report: &mut Report<'_>,
    ) -> Result<(), Fault> {
        let has_moved = |raw: &&Service| {
            let is_busy = raw.deployments().len() > 1 || raw.running_count() != raw.desired_count();
            is_busy || self.known.get(arn(raw)).is_none_or(|known| known.row != row(raw))
        };
        let moved: Vec<&Service> = services.iter().filter(has_moved).collect();
        let looked = moved.into_iter().map(|raw| async move {
            let cluster = raw.cluster_arn().unwrap_or_default();
            let arns = read::task_arns(clients, cluster, raw.service_name()).await?;
            let mut tasks = Vec::new();
            for arns in arns.chunks(TASKS_AT_ONCE) {
                tasks.extend(read::tasks(clients, cluster, arns.to_vec()).await?);
            }
            Ok((raw, tasks))
        });
        let looked: Vec<_> = looked.collect();
        let looked: Result<Vec<(&Service, Vec<Task>)>, Fault> =
            stream::iter(looked).buffer_unordered(AT_A_TIME).try_collect().await;
        let mut convert = Tasks::default();
        let mut rows = Vec::new();
        for (raw, tasks) in report.or_limit(TASKS, looked)?.into_iter().flatten() {
            let known = self.known.entry(arn(raw).to_string()).or_default();
            let mut present = HashSet::new();
            for seen in tasks.iter().map(|task| convert.of_service(task, raw, keys)) {
                present.insert(seen.uid.clone());
                rows.push(Observation::Instance(TASKS, Box::new(seen)));
            }
            rows.extend(known.tasks.difference(&present).map(|gone| Observation::Gone(TASKS, gone.clone())));
            known.tasks = present;
            known.row = row(raw);
        }
        if !rows.is_empty() {
            report.send(rows).await;
        }
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

fn arn(raw: &Service) -> &str {
    raw.service_arn().unwrap_or_default()
}

fn current_revisions(raw: &Service) -> impl Iterator<Item = &str> {
    raw.current_service_revisions().iter().filter_map(|revision| revision.arn())
}

/// What of a service's row moves when its tasks do.
fn row(raw: &Service) -> String {
    let deployments: Vec<_> = raw
        .deployments()
        .iter()
        .map(|one| (one.id(), one.status(), one.running_count(), one.pending_count(), one.failed_tasks()))
        .collect();
    let newest = raw.events().first().and_then(|event| event.id());
    let counts = (raw.desired_count(), raw.running_count(), raw.pending_count());
    format!("{deployments:?} {counts:?} {newest:?} {:?}", raw.task_definition())
}
