//! Who asked AWS for a change: CloudTrail's event history of the account and region, which is there without a trail.
//!
//! Never faster than CloudTrail allows: it answers two requests a second for each account and region (CloudTrail API reference,
//! `LookupEvents`), and others ask there too.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_cloudtrail::primitives::DateTime;
use aws_sdk_cloudtrail::types::{Event, LookupAttribute, LookupAttributeKey};
use futures::{StreamExt as _, stream};
use jiff::{SignedDuration, Timestamp};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::connect::{Clients, Link, Reads, ask};
use super::convert::time;
use super::convert::trail::{Names, Told, told};
use super::fault::Fault;
use super::read;
use crate::domain::audit::{Audit, AuditQuestion};
use crate::domain::id::{WorkloadId, WorkloadKind};
use crate::domain::text::Text;

/// From the beginning of a request to that of the next one.
const PACE: Duration = Duration::from_millis(500);
/// How long all of them may take; what was read by then counts.
const LIMIT: Duration = Duration::from_secs(60);
/// How many events a page has at most.
const PAGE: usize = 50;
/// How many pages of one action are read at most.
const MOST_PAGES: usize = 10;
/// How many workloads are looked up at once.
const AT_A_TIME: usize = 4;
/// How late an event comes into the history, mostly (CloudTrail User Guide, "Working with CloudTrail event history").
const LATE: SignedDuration = SignedDuration::from_mins(15);
/// How long events are kept there (the same).
const KEPT: SignedDuration = SignedDuration::from_hours(90 * 24);

/// What changes what a group launches, or its members.
const OF_GROUPS: [&str; 10] = [
    "CreateAutoScalingGroup",
    "UpdateAutoScalingGroup",
    "DeleteAutoScalingGroup",
    "StartInstanceRefresh",
    "RollbackInstanceRefresh",
    "CancelInstanceRefresh",
    "TerminateInstanceInAutoScalingGroup",
    "DetachInstances",
    "CreateLaunchTemplateVersion",
    "ModifyLaunchTemplate",
];

/// What changes what a service runs, or its tasks.
const OF_SERVICES: [&str; 6] =
    ["CreateService", "UpdateService", "DeleteService", "StopServiceDeployment", "StopTask", "RegisterTaskDefinition"];

/// The kinds that can be asked about, and by which actions.
const KINDS: [(WorkloadKind, &[&str]); 2] =
    [(WorkloadKind::AutoScalingGroup, &OF_GROUPS), (WorkloadKind::EcsService, &OF_SERVICES)];

/// The events of some actions, newest first.
#[derive(Default)]
struct History {
    events: Vec<Told>,
    /// Nothing older was read of one of the actions, and why.
    back_to: Option<(Timestamp, Text)>,
    /// How many events could not be read.
    unreadable: usize,
}

/// What was asked of AWS, for each question in its order.
pub(super) async fn audit(reads: &Reads, questions: &[AuditQuestion]) -> Vec<Audit> {
    let now = Timestamp::now();
    let deadline = Instant::now() + LIMIT;
    let is_kept = |question: &AuditQuestion| question.until >= now - KEPT;
    let mut histories = HashMap::new();
    for (kind, actions) in KINDS {
        let of_kind = || questions.iter().filter(|asked| asked.workload.kind == kind && is_kept(asked));
        let span = of_kind().map(|asked| asked.from).min().zip(of_kind().map(|asked| asked.until).max());
        if let Some((from, until)) = span {
            // A clock that is ahead asks for what has not been yet.
            let span = (from, until.min(now).max(from));
            histories.insert(kind, history(reads.link(), actions, span, deadline).await);
        }
    }
    let names = all_names(reads, questions, &histories).await;
    let answer = |question: &AuditQuestion| match histories.get(&question.workload.kind) {
        _ if !is_kept(question) => Audit::Unknown(Text::new("CloudTrail keeps 90 days")),
        None => Audit::Absent(Text::new("CloudTrail is asked about groups and services alone")),
        Some(Err(fault)) => Audit::Unknown(why(fault)),
        Some(Ok(history)) => {
            let (names, unnamed) = &names[&question.workload];
            history.about(question, names, unnamed.as_ref(), now)
        }
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

async fn history(
    link: &Link,
    actions: &[&str],
    (from, until): (Timestamp, Timestamp),
    deadline: Instant,
) -> Result<History, Fault> {
    let client = link.cloudtrail().await;
    let said = |why: &str| Fault::Failed(Text::new(&format!("cloudtrail:LookupEvents: {why}")));
    let mut history = History::default();
    let mut answers = 0;
    for action in actions {
        let about = LookupAttribute::builder().attribute_key(LookupAttributeKey::EventName).attribute_value(*action);
        let about = about.build().map_err(|error| Fault::Failed(Text::new(&error.to_string())))?;
        let mut pages = read::Pages::of("cloudtrail:LookupEvents");
        let mut token = None;
        // Pages go from the newest to the oldest.
        let mut read_back_to = until;
        for page in 1.. {
            let request = client
                .lookup_events()
                .lookup_attributes(about.clone())
                .start_time(DateTime::from_secs(from.as_second()))
                .end_time(DateTime::from_secs(until.as_second() + 1))
                .max_results(50)
                .set_next_token(token.take());
            let asked = async {
                turn(link).await;
                ask("cloudtrail:LookupEvents", request.send()).await
            };
            let answer = match timeout_at(deadline, asked).await {
                Ok(answer) => answer?,
                Err(_) if answers == 0 => return Err(said("no answer in time")),
                Err(_) => {
                    history.ends(read_back_to, &format!("CloudTrail was too slow: {action} was not read to its end"));
                    break;
                }
            };
            answers += 1;
            let Some(events) = answer.events else { return Err(said("its answer can't be understood")) };
            for event in events.iter().take(PAGE) {
                match told(event) {
                    Some(Some(told)) => history.events.push(told),
                    Some(None) => {}
                    None => history.unreadable += 1,
                }
            }
            read_back_to = oldest(&events, read_back_to);
            token = pages.next(answer.next_token)?;
            if token.is_none() {
                break;
            }
            if page == MOST_PAGES {
                history.ends(read_back_to, &format!("there is more of {action} than was read"));
                break;
            }
        }
    }
    history.events.sort_by_key(|told| Reverse(told.record.at));
    Ok(history)
}

/// How far back a page goes that follows one which goes back to `before`: not at all, if it is not in its order, the newest first.
fn oldest(page: &[Event], before: Timestamp) -> Timestamp {
    let times = page.iter().map(|event| event.event_time().and_then(time));
    let Some(times) = times.collect::<Option<Vec<Timestamp>>>() else { return before };
    let is_in_order =
        times.is_sorted_by(|newer, older| newer >= older) && times.first().is_none_or(|first| *first <= before);
    times.last().copied().filter(|_| is_in_order).unwrap_or(before)
}

/// Waits until another request may begin.
async fn turn(link: &Link) {
    let mut last = link.trail.lock().await;
    if let Some(last) = *last {
        sleep_until(last + PACE).await;
    }
    *last = Some(Instant::now());
}

impl History {
    /// Of one action nothing older than this was read.
    fn ends(&mut self, at: Timestamp, why: &str) {
        if self.back_to.as_ref().is_none_or(|(known, _)| *known < at) {
            self.back_to = Some((at, Text::new(why)));
        }
    }

    fn about(&self, question: &AuditQuestion, names: &Names, unnamed: Option<&Text>, now: Timestamp) -> Audit {
        let found = self.events.iter().filter(|told| question.covers(told.record.at) && names.has(&told.target));
        let records = found.map(|told| told.record.clone()).collect();
        let cut = self.back_to.as_ref().filter(|(at, _)| question.from <= *at).map(|(_, why)| why.clone());
        let unreadable = (self.unreadable > 0).then(|| Text::new("events that can't be read are left out"));
        let missing = cut.or(unnamed.cloned()).or(unreadable);
        Audit::Said { records, missing, may_grow: now < question.until + LATE }
    }
}

type Named = HashMap<WorkloadId, (Names, Option<Text>)>;

/// How events speak of each workload, and why that is not all.
async fn all_names(
    reads: &Reads,
    questions: &[AuditQuestion],
    histories: &HashMap<WorkloadKind, Result<History, Fault>>,
) -> Named {
    // What a workload uses is looked up where something of that kind was changed at all.
    let is_needed = |kind: &WorkloadKind| match histories.get(kind) {
        Some(Ok(history)) => Some(history.events.iter().any(|told| told.target.is_used())),
        Some(Err(_)) | None => None,
    };
    let wanted = questions.iter().filter_map(|asked| Some((asked.workload.clone(), is_needed(&asked.workload.kind)?)));
    let wanted: HashMap<WorkloadId, bool> = wanted.collect();
    let clients = reads.clients().await;
    let named = wanted.into_iter().map(|(workload, is_needed)| named(&clients, workload, is_needed));
    stream::iter(named).buffer_unordered(AT_A_TIME).collect().await
}

async fn named(clients: &Clients, workload: WorkloadId, is_needed: bool) -> (WorkloadId, (Names, Option<Text>)) {
    let is_group = workload.kind == WorkloadKind::AutoScalingGroup;
    let used = match (is_needed, is_group) {
        (false, _) => Ok(Some(Vec::new())),
        (true, true) => templates(clients, &workload).await,
        (true, false) => definition(clients, &workload).await,
    };
    let what = if is_group { "launch template" } else { "task definition" };
    let unnamed = match &used {
        Ok(Some(_)) => None,
        Ok(None) => Some(Text::new(&format!("it is gone: changes of its {what} are left out"))),
        Err(fault) => Some(Text::new(&format!("its {what} is not known ({fault}): changes of that are left out"))),
    };
    let used = used.ok().flatten().unwrap_or_default();
    let names = match is_group {
        true => Names::of_group(&workload, used),
        false => Names::of_service(&workload, used.first().map(String::as_str)),
    };
    (workload, (names, unnamed))
}

/// Ids and names of the templates that a group uses; `None` if it is gone.
async fn templates(clients: &Clients, workload: &WorkloadId) -> Result<Option<Vec<String>>, Fault> {
    let Some(group) = read::groups(clients, Some(&workload.name)).await?.into_iter().next() else { return Ok(None) };
    let mixed = group.mixed_instances_policy().and_then(|policy| policy.launch_template());
    let base = mixed.and_then(|mixed| mixed.launch_template_specification());
    let own = mixed.into_iter().flat_map(|mixed| mixed.overrides());
    let own = own.filter_map(|own| own.launch_template_specification());
    let used = group.launch_template().into_iter().chain(base).chain(own);
    let names = used.flat_map(|template| [template.launch_template_id(), template.launch_template_name()]);
    Ok(Some(names.flatten().map(ToString::to_string).collect()))
}

/// The task definition of a service; `None` if it is gone.
async fn definition(clients: &Clients, workload: &WorkloadId) -> Result<Option<Vec<String>>, Fault> {
    let cluster = workload.namespace.as_deref().unwrap_or("default");
    let services = match read::services_named(clients, cluster, vec![workload.name.to_string()]).await {
        Err(fault) if fault.code() == "ClusterNotFoundException" => return Ok(None),
        found => found?,
    };
    let service = services.into_iter().find(|service| service.status() != Some("INACTIVE"));
    Ok(service.map(|service| service.task_definition().map(ToString::to_string).into_iter().collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_goes_back_to_its_last_event_where_it_is_in_its_order() {
        let at = |second| Timestamp::from_second(second).expect("in range");
        let page = |seconds: &[i64]| -> Vec<Event> {
            let event = |second: &i64| Event::builder().event_time(DateTime::from_secs(*second)).build();
            seconds.iter().map(event).collect()
        };
        for (seconds, back_to) in [(&[90, 80, 80, 70][..], 70), (&[90, 10, 80], 100), (&[120, 90], 100), (&[], 100)] {
            assert_eq!(oldest(&page(seconds), at(100)), at(back_to), "{seconds:?}");
        }
        let untimed = [page(&[90]), vec![Event::builder().build()]].concat();
        assert_eq!(oldest(&untimed, at(100)), at(100));
    }
}
