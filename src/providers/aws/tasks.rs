//! One look at the tasks of ECS services. They are read again where their service moved, and all of them every two minutes:
//! the list of all tasks is the dearest that there is (reference `aws.md` section 1.4).
//!
//! Never lets a task of a service go while it still runs: what is not meant to run any more is in no list, and is asked for by
//! name.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use aws_sdk_ecs::types::{DesiredStatus, Service, Task};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use jiff::{SignedDuration, Timestamp};

use super::connect::Clients;
use super::convert::service::{self, Conversion, HealthChecks};
use super::convert::time;
use super::fault::Fault;
use super::read::{self, TasksOf};
use super::report::Report;
use super::services::arn;
use crate::domain::expectation::ServiceKeys;
use crate::domain::id::Uid;
use crate::domain::observation::{InstanceSeen, Observation, Source};
use crate::domain::text::Text;

const TASKS: Source = Source("tasks");
pub(super) const DEFINITIONS: Source = Source("task definitions");

/// How often all tasks are listed.
const FULL: Duration = Duration::from_secs(120);
/// A service in which something happened within this time may have tasks that are stopping when it is first looked at.
const LATELY: SignedDuration = SignedDuration::from_mins(10);
/// Task definitions that are read at once; tasks of the others are not settled before the next look.
const DEFINITIONS_AT_ONCE: usize = 40;
/// Requests under way at once.
const AT_A_TIME: usize = 8;
/// Tasks of one request (ECS API reference, `DescribeTasks`).
const TASKS_AT_ONCE: usize = 100;

/// What is kept between looks.
#[derive(Default)]
pub(super) struct Tasks {
    full_at: Option<Instant>,
    /// A look began and was not handed over to its end: what it has found is not known to anybody.
    is_torn: bool,
    is_full: bool,
    /// By ARN of the service.
    known: HashMap<String, Present>,
    /// Task definitions never change.
    checks: HealthChecks,
}

/// The tasks of a service when they were last read.
#[derive(Default)]
struct Present {
    /// What the service's row showed.
    row: String,
    /// All of them; those that were stopping are in here too.
    tasks: HashSet<Uid>,
    /// Whether one was stopping, or was waiting for its health check: no row of a service tells how that goes on.
    is_unsettled: bool,
}

/// A task definition, its containers with health checks as far as they can be read, and why they can't.
type Learnt = (String, Option<Vec<String>>, Option<Text>);

/// The tasks of a service that are meant to run.
#[derive(Default)]
struct Running {
    tasks: HashSet<Uid>,
    awaits_check: bool,
}

impl Running {
    fn add(&mut self, task: &Task, checks: &HealthChecks) {
        self.tasks.insert(Uid::new(task.task_arn().unwrap_or_default()));
        self.awaits_check |= service::awaits_its_check(task, checks, Timestamp::now()) != Some(false);
    }
}

impl Tasks {
    /// A look begins.
    pub(super) fn begin(&mut self) {
        self.is_full = self.is_torn || self.full_at.is_none_or(|at| at.elapsed() >= FULL);
        self.is_torn = true;
    }

    /// All that the last look has found was handed over.
    pub(super) fn was_handed_over(&mut self) {
        self.is_torn = false;
    }

    /// Whether some are on their way out, or have just come.
    pub(super) fn is_busy(&self) -> bool {
        self.known.values().any(|present| present.is_unsettled)
    }

    /// Looks once and reports.
    pub(super) async fn look(
        &mut self,
        clients: &Clients,
        keys: &ServiceKeys,
        (clusters, services): (&[String], &[Service]),
        report: &mut Report<'_>,
    ) -> Result<(), Fault> {
        if self.is_full {
            self.full_at = Some(Instant::now());
            self.look_at_all(clients, keys, (clusters, services), report).await?;
        } else {
            self.look_at_moved(clients, keys, services, report).await?;
        }
        let alive: HashSet<&str> = services.iter().map(arn).collect();
        self.known.retain(|known, _| alive.contains(known.as_str()));
        Ok(())
    }

    async fn look_at_all(
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
        let mut tasks_of: HashMap<&str, Running> = HashMap::new();
        let mut alone: HashMap<Uid, (Task, u32)> = HashMap::new();
        let mut owners = HashMap::new();
        report.send(vec![Observation::ListStarted(TASKS)]).await;
        for cluster in clusters {
            let listed = read::task_arns(clients, cluster, TasksOf::Cluster, DesiredStatus::Running).await;
            let Some(arns) = report.or_limit(TASKS, listed)? else { continue };
            let pages = arns.chunks(TASKS_AT_ONCE).map(|arns| read::tasks(clients, cluster, arns.to_vec()));
            let pages: Vec<_> = pages.collect();
            let mut pages = stream::iter(pages).buffered(AT_A_TIME);
            while let Some(page) = pages.next().await {
                let Some(page) = report.or_limit(TASKS, page)? else { break };
                self.learn(clients, &page, report).await?;
                let mut convert = Conversion { owners: &mut owners, checks: &self.checks, now: Timestamp::now() };
                let mut rows = Vec::new();
                for task in page {
                    let owner = service::service_of(&task).and_then(|name| by_name.get(&(cluster.as_str(), name)));
                    let seen = match owner {
                        Some(raw) => convert.of_service(&task, raw, keys),
                        None => convert.alone(&task),
                    };
                    match owner {
                        Some(raw) => tasks_of.entry(arn(raw)).or_default().add(&task, &self.checks),
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
        let known = &*self;
        let looked = services.iter().map(|raw| {
            let running = tasks_of.remove(arn(raw)).unwrap_or_default();
            async move {
                let leaving = known.leaving(clients, raw, &running.tasks).await?;
                Ok((raw, running, leaving))
            }
        });
        let looked: Vec<_> = looked.collect();
        let looked: Result<Vec<_>, Fault> = stream::iter(looked).buffered(AT_A_TIME).try_collect().await;
        for (raw, running, leaving) in report.or_limit(TASKS, looked)?.into_iter().flatten() {
            let mut convert = Conversion { owners: &mut owners, checks: &self.checks, now: Timestamp::now() };
            let leaving: Vec<_> = leaving.iter().map(|task| convert.of_service(task, raw, keys)).collect();
            let rows = self.keep(raw, running, leaving);
            report.send(rows).await;
        }
        let families = alone.into_values().map(|(task, count)| service::family(&task, count));
        let mut rows: Vec<Observation> =
            families.map(|family| Observation::Workload(TASKS, Box::new(family))).collect();
        rows.push(Observation::ListFinished(TASKS));
        report.send(rows).await;
        Ok(())
    }

    async fn look_at_moved(
        &mut self,
        clients: &Clients,
        keys: &ServiceKeys,
        services: &[Service],
        report: &mut Report<'_>,
    ) -> Result<(), Fault> {
        let has_moved = |raw: &&Service| {
            let present = self.known.get(arn(raw));
            is_moving(raw) || present.is_none_or(|present| present.is_unsettled || present.row != row(raw))
        };
        let moved: Vec<&Service> = services.iter().filter(has_moved).collect();
        let known = &*self;
        let looked = moved.into_iter().map(|raw| async move {
            let cluster = raw.cluster_arn().unwrap_or_default();
            let of = TasksOf::Service(raw.service_name().unwrap_or_default());
            let arns = read::task_arns(clients, cluster, of, DesiredStatus::Running).await?;
            let tasks = described(clients, cluster, &arns).await?;
            let running = tasks.iter().map(|task| Uid::new(task.task_arn().unwrap_or_default())).collect();
            let leaving = known.leaving(clients, raw, &running).await?;
            Ok((raw, tasks, leaving))
        });
        let looked: Vec<_> = looked.collect();
        let looked: Result<Vec<(&Service, _, _)>, Fault> =
            stream::iter(looked).buffer_unordered(AT_A_TIME).try_collect().await;
        let mut owners = HashMap::new();
        for (raw, tasks, leaving) in report.or_limit(TASKS, looked)?.into_iter().flatten() {
            self.learn(clients, &tasks, report).await?;
            let mut running = Running::default();
            tasks.iter().for_each(|task| running.add(task, &self.checks));
            let before = self.known.remove(arn(raw)).map(|present| present.tasks).unwrap_or_default();
            let mut convert = Conversion { owners: &mut owners, checks: &self.checks, now: Timestamp::now() };
            let mut seen = |task: &Task| convert.of_service(task, raw, keys);
            let mut rows: Vec<Observation> =
                tasks.iter().map(|task| Observation::Instance(TASKS, Box::new(seen(task)))).collect();
            let leaving = leaving.iter().map(seen).collect();
            rows.extend(self.keep(raw, running, leaving));
            let present = self.known.get(arn(raw)).map(|present| &present.tasks);
            let gone = before.into_iter().filter(|uid| present.is_none_or(|present| !present.contains(uid)));
            rows.extend(gone.map(|gone| Observation::Gone(TASKS, gone)));
            report.send(rows).await;
        }
        Ok(())
    }

    /// Tasks of a service that are not meant to run any more and have not ended: those that were there before and are not
    /// `running` now; at the first look, where something happened lately, whatever ECS has told to stop.
    async fn leaving(&self, clients: &Clients, raw: &Service, running: &HashSet<Uid>) -> Result<Vec<Task>, Fault> {
        let cluster = raw.cluster_arn().unwrap_or_default();
        let suspects: Vec<String> = match self.known.get(arn(raw)) {
            Some(before) => before.tasks.difference(running).map(|uid| uid.0.to_string()).collect(),
            None if is_moving(raw) || has_moved_lately(raw, Timestamp::now()) => {
                let of = TasksOf::Service(raw.service_name().unwrap_or_default());
                read::task_arns(clients, cluster, of, DesiredStatus::Stopped).await?
            }
            None => Vec::new(),
        };
        let mut found = described(clients, cluster, &suspects).await?;
        found.retain(|task| !service::has_ended(task));
        Ok(found)
    }

    /// Remembers the tasks of a service; the rows of those that leave.
    fn keep(&mut self, raw: &Service, running: Running, leaving: Vec<InstanceSeen>) -> Vec<Observation> {
        let Running { mut tasks, awaits_check } = running;
        tasks.extend(leaving.iter().map(|seen| seen.uid.clone()));
        let is_unsettled = awaits_check || !leaving.is_empty();
        let present = Present { row: row(raw), tasks, is_unsettled };
        self.known.insert(arn(raw).to_string(), present);
        leaving.into_iter().map(|seen| Observation::Instance(TASKS, Box::new(seen))).collect()
    }

    /// Reads the definitions of tasks of which it can't be told yet whether they are healthy or nobody checks.
    async fn learn(&mut self, clients: &Clients, tasks: &[Task], report: &mut Report<'_>) -> Result<(), Fault> {
        let now = Timestamp::now();
        let unclear = tasks.iter().filter(|task| service::may_await_its_check(task, now));
        let unclear: HashSet<&str> = unclear.filter_map(|task| task.task_definition_arn()).collect();
        let unclear = unclear.into_iter().filter(|definition| !self.checks.contains_key(*definition));
        let read = unclear.take(DEFINITIONS_AT_ONCE).map(|definition| async move {
            let checked = match read::definition(clients, definition).await {
                // It is gone, or may not be read: nobody can say whether it has a check.
                Err(Fault::Refused { .. }) => None,
                Err(Fault::Denied(why)) => return Ok((definition.to_string(), None, Some(why))),
                found => Some(service::checked_containers(&found?)),
            };
            Ok((definition.to_string(), checked, None))
        });
        let read: Vec<_> = read.collect();
        let read: Result<Vec<Learnt>, Fault> = stream::iter(read).buffer_unordered(AT_A_TIME).try_collect().await;
        for (definition, checked, denied) in read? {
            self.checks.insert(definition, checked);
            denied.into_iter().for_each(|why| report.limit(DEFINITIONS, why));
        }
        Ok(())
    }
}

async fn described(clients: &Clients, cluster: &str, arns: &[String]) -> Result<Vec<Task>, Fault> {
    let mut tasks = Vec::new();
    for arns in arns.chunks(TASKS_AT_ONCE) {
        tasks.extend(read::tasks(clients, cluster, arns.to_vec()).await?);
    }
    Ok(tasks)
}

fn is_moving(raw: &Service) -> bool {
    raw.deployments().len() > 1 || raw.running_count() != raw.desired_count()
}

fn has_moved_lately(raw: &Service, now: Timestamp) -> bool {
    let told = raw.events().first().and_then(|event| event.created_at());
    let changed = raw.deployments().iter().filter_map(|deployment| deployment.updated_at());
    let mut moments = told.into_iter().chain(changed).filter_map(time);
    moments.any(|at| now.duration_since(at) < LATELY)
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
