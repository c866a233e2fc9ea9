//! Who asked AWS for a change: CloudTrail's event history of the account and region, which is there without a trail.
//!
//! Never asked but for what somebody looks at: CloudTrail answers two requests a second and no more (CloudTrail API reference,
//! `LookupEvents`).

use std::cmp::Reverse;
use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_cloudtrail::primitives::DateTime;
use aws_sdk_cloudtrail::types::{LookupAttribute, LookupAttributeKey};
use futures::{StreamExt as _, stream};
use jiff::Timestamp;
use tokio::sync::Mutex;

use super::connect::{Clients, Reads, ask};
use super::convert::trail::{Names, Told, told};
use super::fault::Fault;
use super::read;
use crate::domain::audit::{Audit, AuditQuestion};
use crate::domain::id::{WorkloadId, WorkloadKind};
use crate::domain::text::Text;

/// Between two requests.
const PACE: Duration = Duration::from_millis(500);
/// How many pages of one action are read at most, of 50 events each.
const MOST_PAGES: usize = 10;
/// How many workloads are looked up at once.
const AT_A_TIME: usize = 4;

/// What changes what a group launches, or its members.
const OF_GROUPS: [&str; 8] = [
    "CreateAutoScalingGroup",
    "UpdateAutoScalingGroup",
    "StartInstanceRefresh",
    "RollbackInstanceRefresh",
    "CancelInstanceRefresh",
    "TerminateInstanceInAutoScalingGroup",
    "CreateLaunchTemplateVersion",
    "ModifyLaunchTemplate",
];

/// What changes what a service runs, or its tasks.
const OF_SERVICES: [&str; 5] =
    ["CreateService", "UpdateService", "StopServiceDeployment", "StopTask", "RegisterTaskDefinition"];

/// The kinds that can be asked about, and by which actions.
const KINDS: [(WorkloadKind, &[&str]); 2] =
    [(WorkloadKind::AutoScalingGroup, &OF_GROUPS), (WorkloadKind::EcsService, &OF_SERVICES)];

/// One after the other: the limit is that of an account and region, whatever the places are called.
static TURN: Mutex<()> = Mutex::const_new(());

/// The events of some actions, newest first.
struct History {
    events: Vec<Told>,
    is_whole: bool,
}

/// What was asked of AWS, for each question in its order.
pub(super) async fn audit(reads: &Reads, questions: &[AuditQuestion]) -> Vec<Audit> {
    let mut histories = HashMap::new();
    for (kind, actions) in KINDS {
        let of_kind = || questions.iter().filter(|question| question.workload.kind == kind);
        let span = of_kind().map(|asked| asked.from).min().zip(of_kind().map(|asked| asked.until).max());
        if let Some(span) = span {
            histories.insert(kind, history(reads, actions, span).await);
        }
    }
    let clients = reads.clients().await;
    let mut workloads: Vec<WorkloadId> = questions.iter().map(|question| question.workload.clone()).collect();
    workloads.sort();
    workloads.dedup();
    let named = workloads.into_iter().map(|workload| named(&clients, workload));
    let names: HashMap<WorkloadId, Names> = stream::iter(named).buffer_unordered(AT_A_TIME).collect().await;
    let answer = |question: &AuditQuestion| match histories.get(&question.workload.kind) {
        None => Audit::Unknown(Text::new("CloudTrail is asked about groups and services alone")),
        Some(Err(fault)) => Audit::Unknown(why(fault)),
        Some(Ok(history)) => history.about(question, &names[&question.workload]),
    };
    questions.iter().map(answer).collect()
}

fn why(fault: &Fault) -> Text {
    match fault {
        Fault::Denied(_) => {
            Text::new("cloudtrail:LookupEvents is not granted; docs/aws/audit.json is the policy that allows it")
        }
        Fault::SignIn(_)
        | Fault::NotSent(_)
        | Fault::NoAnswer(_)
        | Fault::Throttled(_)
        | Fault::Refused { .. }
        | Fault::Failed(_) => fault.text(),
    }
}

async fn history(reads: &Reads, actions: &[&str], (from, until): (Timestamp, Timestamp)) -> Result<History, Fault> {
    let _turn = TURN.lock().await;
    let client = reads.link().cloudtrail().await;
    let mut history = History { events: Vec::new(), is_whole: true };
    for action in actions {
        let about = LookupAttribute::builder().attribute_key(LookupAttributeKey::EventName).attribute_value(*action);
        let about = about.build().map_err(|error| Fault::Failed(Text::new(&error.to_string())))?;
        let mut pages = read::Pages::of("cloudtrail:LookupEvents");
        let mut token = None;
        for page in 1.. {
            let request = client
                .lookup_events()
                .lookup_attributes(about.clone())
                .start_time(DateTime::from_secs(from.as_second()))
                .end_time(DateTime::from_secs(until.as_second() + 1))
                .max_results(50);
            let answer = ask("cloudtrail:LookupEvents", request.set_next_token(token.take()).send()).await?;
            tokio::time::sleep(PACE).await;
            history.events.extend(answer.events().iter().filter_map(told));
            token = pages.next(answer.next_token)?;
            history.is_whole &= token.is_none() || page < MOST_PAGES;
            if token.is_none() || page == MOST_PAGES {
                break;
            }
        }
    }
    history.events.sort_by_key(|told| Reverse(told.record.at));
    Ok(history)
}

impl History {
    fn about(&self, question: &AuditQuestion, names: &Names) -> Audit {
        let found = self.events.iter().filter(|told| question.covers(told.record.at) && names.are_in(told));
        let found = found.map(|told| told.record.clone()).collect();
        if self.is_whole { Audit::Said(found) } else { Audit::SaidInPart(found) }
    }
}

async fn named(clients: &Clients, workload: WorkloadId) -> (WorkloadId, Names) {
    let names = names(clients, &workload).await;
    (workload, names)
}

/// How events speak of a workload. Where AWS does not tell its template or definition, its own name is what is left.
async fn names(clients: &Clients, workload: &WorkloadId) -> Names {
    if workload.kind == WorkloadKind::AutoScalingGroup {
        let groups = read::groups(clients, Some(&workload.name)).await.unwrap_or_default();
        let mut templates = Vec::new();
        for group in &groups {
            let mixed = group.mixed_instances_policy().and_then(|policy| policy.launch_template());
            let base = mixed.and_then(|mixed| mixed.launch_template_specification());
            let own = mixed.into_iter().flat_map(|mixed| mixed.overrides());
            let own = own.filter_map(|own| own.launch_template_specification());
            for template in group.launch_template().into_iter().chain(base).chain(own) {
                let names = [template.launch_template_id(), template.launch_template_name()];
                templates.extend(names.into_iter().flatten().map(ToString::to_string));
            }
        }
        return Names::of_group(workload, templates);
    }
    let cluster = workload.namespace.as_deref().unwrap_or("default");
    let services = read::services_named(clients, cluster, vec![workload.name.to_string()]).await.unwrap_or_default();
    Names::of_service(workload, services.first().and_then(|service| service.task_definition()))
}
