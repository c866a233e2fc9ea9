//! The one request of a step, a brake or a release: the object is read once more, its bound facts are compared, and the
//! request carries the uid and resource version of that read.
//!
//! Never sends again, except after a conflict, which proves that nothing was done.

pub(super) mod loan;
pub(super) mod rollout;

use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use super::client::{Answered, Fault, Meant, Patch, Reads, Writes};
use super::convert::Kind;
use super::lookup::{self, Past, Present};
use super::requests::{self, Hold, Mark, Precondition};
use super::{Answer, Order};
use crate::domain::expectation::ServiceKeys;
use crate::domain::id::{Uid, WorkloadKind};
use crate::domain::image::ImageId;
use crate::domain::journal::{Call, Receipt};
use crate::domain::observation::TemplateHash;
use crate::domain::plan::{Action, Follows, Marked, Paused, Step, Unpause};
use crate::domain::text::{Text, with_article};

/// How often a conflict is met with another read.
const ATTEMPTS: u32 = 3;
/// The same for a brake or a release: they meet a rollout whose status moves many times a second, and a stop must get
/// through. Each time it was read again that only the status had moved.
const BRAKE_ATTEMPTS: u32 = 12;
/// How much longer each pause after a conflict is than the one before.
const PAUSE: Duration = Duration::from_millis(20);

/// Sends the one request of an order.
pub(super) async fn execute(reads: &Reads, writes: &Writes, keys: &ServiceKeys, order: &Order) -> Answer {
    if Kind::operable(order.step.workload.kind).is_none() {
        return Answer::Refused(Text::new(&format!("not sent: {}", lookup::inoperable(&order.step.workload))));
    }
    // The controllers of Argo CD and of Argo Rollouts write into these objects all the time.
    let is_busy = order.step.workload.kind == WorkloadKind::Rollout || order.step.action.loan().is_some();
    let attempts = match order.call {
        Call::Step(_) if is_busy => BRAKE_ATTEMPTS,
        Call::Step(_) => ATTEMPTS,
        Call::Brake(_) | Call::Release(_) => BRAKE_ATTEMPTS,
    };
    for attempt in 0..attempts {
        let answer = match (order.call, &order.step.action) {
            (Call::Step(_), Action::Evict { instance, name, image, .. }) => {
                evict(reads, writes, keys, order, (instance, name, image.as_ref())).await
            }
            (Call::Step(_), Action::RestoreRevision { .. } | Action::SetImage { .. }) => {
                roll(reads, writes, keys, order).await
            }
            (Call::Step(_), Action::Borrow { .. } | Action::GiveBack { .. }) => {
                loan::lend(reads, writes, keys, order).await
            }
            (Call::Step(_), Action::EndRollout { .. } | Action::Promote { .. })
                if order.step.workload.kind == WorkloadKind::Rollout =>
            {
                match compared(reads, keys, order).await {
                    Ok(present) => rollout::change_status(writes, &order.step, &present).await,
                    Err(answer) => return answer,
                }
            }
            (Call::Step(_), Action::EndRollout { .. }) => return Answer::Refused(Text::new(NO_END)),
            (Call::Step(_), Action::Promote { .. }) => return Answer::Refused(Text::new(NO_STEPS)),
            (Call::Brake(_), _) => hold(reads, writes, keys, order, Hold::Pause).await,
            (Call::Release(_), _) => hold(reads, writes, keys, order, Hold::Release).await,
        };
        match answer {
            Tried::Answer(answer) => return answer,
            // Whoever moves it is most likely to do so again at once.
            Tried::Conflict => tokio::time::sleep(PAUSE * (attempt + 1)).await,
        }
    }
    Answer::Refused(Text::new(&format!(
        "somebody else changed it each of {attempts} times; look at who, then plan again"
    )))
}

/// Why no rollout is ended here.
pub(super) const NO_END: &str = "not sent: a newer rollout supersedes the one that runs; none has to be ended first";

/// Why nothing is promoted here.
pub(super) const NO_STEPS: &str = "not sent: nothing there has steps that wait for a promotion";

/// A request that changes a template.
pub(super) struct Change {
    /// Of which kind the object is that it goes to.
    pub kind: Kind,
    /// Where to.
    pub path: String,
    /// How its body is understood.
    pub patch: Patch,
    /// Its body.
    pub body: Value,
}

/// The request that puts a step into effect, from what is there now. `Err`: why it can't be made.
pub(super) async fn body(
    reads: &Reads,
    step: &Step,
    present: &Present,
    mark: &Mark<'_>,
) -> Result<Result<Change, Text>, Fault> {
    if let Some(now) = &present.rollout {
        return rollout::template_change(reads, step, (present, now), mark).await;
    }
    change_of(reads, step, present, mark).await
}

/// The same for workloads that hold their template themselves, and are merged by the server's own rules.
async fn change_of(
    reads: &Reads,
    step: &Step,
    present: &Present,
    mark: &Mark<'_>,
) -> Result<Result<Change, Text>, Fault> {
    let strategic = |body| Change {
        kind: present.kind,
        path: requests::workload_path(present.kind, &step.workload),
        patch: Patch::Strategic,
        body,
    };
    let at = Precondition { uid: &present.seen.uid.0, resource_version: &present.resource_version };
    let release = present.holds().filter(|_| step.unpause == Unpause::Release);
    match &step.action {
        Action::RestoreRevision { revision, number, hash } => {
            let past = past(reads, step, present, (revision, *number, hash)).await?;
            Ok(past.map(|past| strategic(requests::restore(present.kind, &at, mark, &past.template, release))))
        }
        Action::SetImage { container, image } => {
            let list = ["containers", "initContainers"].into_iter().find(|list| {
                let named = present.template["spec"][list].as_array().into_iter().flatten();
                named.into_iter().any(|raw| raw["name"] == container.as_str())
            });
            let Some(list) = list else {
                return Ok(Err(Text::new(&format!("it has no container {container} any more; plan again"))));
            };
            let change = (list, container.as_str(), image.as_str());
            Ok(Ok(strategic(requests::set_image(present.kind, &at, mark, change, release))))
        }
        Action::Evict { .. }
        | Action::EndRollout { .. }
        | Action::Promote { .. }
        | Action::Borrow { .. }
        | Action::GiveBack { .. } => Ok(Err(Text::new("it changes no template"))),
    }
}

/// The version that a step goes back to, if it is still what it was.
async fn past(
    reads: &Reads,
    step: &Step,
    present: &Present,
    (revision, number, hash): (&Uid, u64, &TemplateHash),
) -> Result<Result<Past, Text>, Fault> {
    let Some(past) = lookup::revision(reads, &step.workload, present, revision).await? else {
        return Ok(Err(Text::new(&format!("revision {number} is gone from the cluster's history; plan again"))));
    };
    if past.hash != *hash {
        return Ok(Err(Text::new(&format!("revision {number} is no longer what it was; plan again"))));
    }
    Ok(Ok(past))
}

enum Tried {
    Answer(Answer),
    Conflict,
}

async fn roll(reads: &Reads, writes: &Writes, keys: &ServiceKeys, order: &Order) -> Tried {
    let step = &order.step;
    let present = match compared(reads, keys, order).await {
        Ok(present) => present,
        Err(answer) => return Tried::Answer(answer),
    };
    let change = match body(reads, step, &present, &mark(order)).await {
        Ok(Ok(change)) => change,
        Ok(Err(why)) => return Tried::Answer(Answer::Refused(why)),
        Err(fault) => return Tried::Answer(not_sent(&fault)),
    };
    let sent = writes.patch(change.patch, &change.path, &change.body, Meant::Really).await;
    answered(sent, change.kind, &present, keys)
}

async fn hold(reads: &Reads, writes: &Writes, keys: &ServiceKeys, order: &Order, hold: Hold) -> Tried {
    let step = &order.step;
    let present = match lookup::workload(reads, keys, &step.workload).await {
        Ok(present) => present,
        Err(fault) => return Tried::Answer(not_sent(&fault)),
    };
    let Some(holds) = present.holds() else {
        let why = format!("not sent: {} can't be held", with_article(&step.workload.kind));
        return Tried::Answer(Answer::Refused(Text::new(&why)));
    };
    let wanted = match hold {
        Hold::Pause => Paused::Paused,
        Hold::Release => Paused::Running,
    };
    if let Some(why) = step.why_not_hold(wanted, &present.bound()) {
        return Tried::Answer(Answer::Refused(Text::new(&format!("not sent: {why}"))));
    }
    if !Marked::is_by(present.seen.touched_by.as_ref(), &order.operation) {
        let text =
            format!("not sent: the last change of {} is not this operation's; look at who changed it", step.workload);
        return Tried::Answer(Answer::Refused(Text::new(&text)));
    }
    if present.bound().paused == wanted {
        let mut receipt = receipt(&present, Vec::new());
        receipt.notes.push(Text::new("it was so already; nothing was sent"));
        return Tried::Answer(Answer::Accepted(receipt));
    }
    let at = Precondition { uid: &present.seen.uid.0, resource_version: &present.resource_version };
    let body = requests::hold(&at, &mark(order), hold, holds);
    let path = requests::workload_path(present.kind, &step.workload);
    let patch = if present.kind == Kind::Rollout { Patch::Merge } else { Patch::Strategic };
    answered(writes.patch(patch, &path, &body, Meant::Really).await, present.kind, &present, keys)
}

async fn evict(
    reads: &Reads,
    writes: &Writes,
    keys: &ServiceKeys,
    order: &Order,
    (instance, name, image): (&Uid, &Text, Option<&ImageId>),
) -> Tried {
    let step = &order.step;
    // The new pod is made from the template: that one must be what was planned with, too.
    if let Err(answer) = compared(reads, keys, order).await {
        return Tried::Answer(answer);
    }
    let pod = match lookup::pod(reads, keys, &step.workload, name).await {
        Ok(pod) if pod.seen.uid == *instance => pod,
        Ok(_) => return Tried::Answer(already_gone(step, name)),
        Err(fault) if fault.code() == 404 => return Tried::Answer(already_gone(step, name)),
        Err(fault) => return Tried::Answer(not_sent(&fault)),
    };
    let container = pod.seen.containers.iter().find(|container| container.name == step.from.container);
    // One that follows a rollout was chosen for its version, and what is stuck may get its image meanwhile.
    let is_chosen_by_image = step.follows != Follows::NewTemplate;
    if is_chosen_by_image && container.and_then(|container| container.running.as_ref()) != image {
        // No new code could confirm that: the instance was chosen for what it ran.
        let why = format!("not sent: instance {name} runs another image now; plan again");
        return Tried::Answer(Answer::Refused(Text::new(&why)));
    }
    let at = Precondition { uid: &instance.0, resource_version: &pod.resource_version };
    let body = requests::eviction(&at, &step.workload, name);
    match writes.evict(&requests::pod_path(&step.workload, name), &body, Meant::Really).await {
        Ok(answered) => {
            Tried::Answer(Answer::Accepted(Receipt { generation: 0, template: None, notes: answered.warnings }))
        }
        Err(fault) if fault.code() == 404 => Tried::Answer(already_gone(step, name)),
        Err(fault) => sorted(&fault),
    }
}

/// Reads the workload and compares the facts that the step is bound to.
async fn compared(reads: &Reads, keys: &ServiceKeys, order: &Order) -> Result<Present, Answer> {
    let present = lookup::workload(reads, keys, &order.step.workload).await.map_err(|fault| not_sent(&fault))?;
    let now = present.bound();
    let mut differences = order.step.differences(&now);
    differences.extend(order.step.moved_on(present.seen.canary.as_ref()));
    if differences.is_empty() { Ok(present) } else { Err(Answer::Moved { differences, bound: Box::new(now) }) }
}

fn answered(sent: Result<Answered, Fault>, kind: Kind, before: &Present, keys: &ServiceKeys) -> Tried {
    match sent {
        Ok(answered) if before.rollout.is_some() => Tried::Answer(rollout::answer(answered, kind, before, keys)),
        Ok(answered) => Tried::Answer(match Present::of(kind, &answered.body, keys) {
            Ok(present) => Answer::Accepted(receipt(&present, answered.warnings)),
            Err(fault) => Answer::Unanswered(Text::new(&format!("it was taken, but {fault}"))),
        }),
        Err(fault) => sorted(&fault),
    }
}

fn receipt(present: &Present, notes: Vec<Text>) -> Receipt {
    Receipt { generation: present.seen.generation, template: Some(present.seen.template.hash.clone()), notes }
}

/// What a fault says of a request that was to change something.
fn sorted(fault: &Fault) -> Tried {
    Tried::Answer(match fault {
        // It never left, or was turned away at the door.
        Fault::Misconfigured(_) | Fault::SignIn(_) | Fault::NotSent(_) => not_sent(fault),
        Fault::NoAnswer(_) | Fault::Malformed(_) => Answer::Unanswered(fault.text()),
        Fault::Refused(refusal) if refusal.code == 409 => return Tried::Conflict,
        Fault::Refused(refusal) if refusal.code == 429 => {
            let budget = refusal.causes.iter().find(|(reason, _)| reason == "DisruptionBudget");
            let why = budget.map_or_else(
                || format!("the server is busy: {refusal}"),
                |(_, why)| format!("a disruption budget does not allow it now: {why}"),
            );
            Answer::Blocked(Text::new(&why))
        }
        Fault::Refused(refusal) if refusal.code < 500 || is_before_change(&refusal.message) => {
            let hint = match refusal.code {
                403 => {
                    "; ask for the operator's role (patch deployments, statefulsets, daemonsets, cronjobs, rollouts, rollouts/status; create pods/eviction)"
                }
                404 => "; it is gone",
                422 => "; the server's rules do not allow it",
                _ => "",
            };
            Answer::Refused(Text::new(&format!("the server refused: {}{hint}", refusal.message)))
        }
        Fault::Refused(refusal) => Answer::Unanswered(Text::new(&format!("the server failed: {refusal}"))),
    })
}

/// Failures that the API server has before it changes anything, although their status is 500.
fn is_before_change(message: &str) -> bool {
    message.contains("failed calling webhook") || message.contains("more than one PodDisruptionBudget")
}

/// What a fault before the request says: a place that does not answer now may do so later, and its step waits for that.
fn not_sent(fault: &Fault) -> Answer {
    let why = Text::new(&format!("not sent: {fault}"));
    match fault {
        Fault::NotSent(_) | Fault::NoAnswer(_) | Fault::SignIn(_) => Answer::Blocked(why),
        Fault::Refused(refusal) if refusal.code == 429 || refusal.code >= 500 => Answer::Blocked(why),
        Fault::Refused(_) | Fault::Misconfigured(_) | Fault::Malformed(_) => Answer::Refused(why),
    }
}

/// Somebody took the instance away first. Where that follows a rollout, the platform may have done just that: what was wanted
/// has happened, and what came in its place is looked at as ever.
fn already_gone(step: &Step, name: &str) -> Answer {
    let why = Text::new(&format!("instance {name} is already gone"));
    match step.follows {
        Follows::NewTemplate => {
            let notes = vec![why, Text::new("nothing was sent")];
            Answer::Accepted(Receipt { generation: 0, template: None, notes })
        }
        Follows::Nothing | Follows::EndOfRollout | Follows::Loan | Follows::OwnRollout => Answer::Refused(why),
    }
}

fn mark(order: &Order) -> Mark<'_> {
    let verb = match (order.call, &order.step.action) {
        (Call::Brake(_), _) => "pause",
        (Call::Release(_), _) => "resume",
        (Call::Step(_), Action::RestoreRevision { .. }) => "rollback",
        (Call::Step(_), Action::SetImage { .. }) => "set image",
        (Call::Step(_), Action::Evict { .. }) => "replace",
        (Call::Step(_), Action::EndRollout { .. }) => "end",
        (Call::Step(_), Action::Borrow { .. }) => "borrow",
        (Call::Step(_), Action::GiveBack { .. }) => "give back",
        (Call::Step(_), Action::Promote { .. }) => "promote",
    };
    Mark { operation: &order.operation.0, who: &order.who, verb, at: Timestamp::now() }
}
