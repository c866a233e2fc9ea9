//! The one request of a step, a brake or a release. AWS takes no condition with its writes, so what is there is read once
//! more directly before, and compared.
//!
//! Never sends twice: no write here takes a token, and the SDK's retries are off.

mod group;
mod service;

use super::connect::{Reads, Writes};
use super::fault::Fault;
use super::{Answer, Order};
use crate::domain::expectation::ServiceKeys;
use crate::domain::id::WorkloadKind;
use crate::domain::journal::{Call, Receipt};
use crate::domain::observation::{TemplateHash, WorkloadSeen};
use crate::domain::plan::{Action, Bound, Step};
use crate::domain::text::Text;

pub(super) use group::{NEEDED, Way, checkpoint_delay, checkpoints, desired_json, way_to};

/// What stands in the way of sending: an answer of its own.
type Tried = Result<Answer, Answer>;

/// Sends the one request of an order.
pub(super) async fn execute(reads: &Reads, writes: &Writes, keys: &ServiceKeys, order: &Order) -> Answer {
    let hands = HandsOn { reads, writes, keys, order };
    let tried = match (order.step.workload.kind, order.call, &order.step.action) {
        (_, Call::Step(_), Action::Promote { .. }) => Err(Answer::Refused(Text::new(NO_STEPS))),
        (_, Call::Step(_), Action::SetImage { .. }) => Err(Answer::Refused(Text::new(NO_SINGLE_IMAGE))),
        (WorkloadKind::AutoScalingGroup, Call::Step(_), Action::RestoreRevision { .. }) => hands.refresh_group().await,
        (WorkloadKind::AutoScalingGroup, Call::Step(_), Action::Evict { .. }) => hands.terminate().await,
        (WorkloadKind::AutoScalingGroup, Call::Step(_), Action::EndRollout { .. }) => hands.end_refresh().await,
        (WorkloadKind::AutoScalingGroup, Call::Brake(_), _) => hands.cancel_refresh().await,
        (WorkloadKind::AutoScalingGroup, Call::Release(_), _) => hands.refresh_again().await,
        (WorkloadKind::EcsService, Call::Step(_), Action::RestoreRevision { .. }) => hands.deploy().await,
        (WorkloadKind::EcsService, Call::Step(_), Action::Evict { .. }) => hands.stop_task().await,
        (WorkloadKind::EcsService, Call::Brake(_), _) => hands.stop_deployment().await,
        (WorkloadKind::EcsService, Call::Release(_), _) => hands.deploy_again().await,
        (WorkloadKind::EcsService, Call::Step(_), Action::EndRollout { .. }) => Err(Answer::Refused(Text::new(NO_END))),
        (kind, ..) => Err(Answer::Refused(Text::new(&format!("not sent: a {kind} can't be operated by this version")))),
    };
    tried.unwrap_or_else(|answer| answer)
}

/// Why an image alone can't be set at AWS.
pub(super) const NO_SINGLE_IMAGE: &str =
    "an image is part of a launch template version or task definition at AWS: make one with it, then go to its number";

/// Why nothing is promoted at AWS.
pub(super) const NO_STEPS: &str = "nothing at AWS has steps that wait for a promotion";

/// Why no deployment is ended at ECS so that another can begin.
pub(super) const NO_END: &str = "not sent: a newer deployment of ECS supersedes the one that runs";

/// An order, and what it takes to carry it out.
struct HandsOn<'a> {
    reads: &'a Reads,
    writes: &'a Writes,
    keys: &'a ServiceKeys,
    order: &'a Order,
}

impl HandsOn<'_> {
    /// Credentials that were refused are not used again.
    fn sorted(&self, fault: &Fault) -> Answer {
        if matches!(fault, Fault::SignIn(_)) {
            self.reads.renounce();
            self.writes.renounce();
        }
        sorted(fault)
    }
}

/// `Moved` if a bound fact of a step is no longer so.
fn compared(step: &Step, seen: &WorkloadSeen) -> Result<(), Answer> {
    let bound = Bound::of(seen);
    let differences = step.bound.differences(&bound);
    if differences.is_empty() { Ok(()) } else { Err(Answer::Moved { differences, bound: Box::new(bound) }) }
}

fn gone() -> Answer {
    Answer::Refused(Text::new("not sent: it is gone"))
}

fn refused(why: &str) -> Answer {
    Answer::Refused(Text::new(&format!("not sent: {why}")))
}

fn accepted(generation: u64, template: Option<TemplateHash>, notes: Vec<Text>) -> Answer {
    Answer::Accepted(Receipt { generation, template, notes })
}

/// What a fault of a read says: nothing was sent. A place that does not answer now may do so later.
fn not_sent(fault: Fault) -> Answer {
    let why = Text::new(&format!("not sent: {fault}"));
    match fault {
        Fault::SignIn(_) | Fault::NotSent(_) | Fault::NoAnswer(_) | Fault::Throttled(_) | Fault::Failed(_) => {
            Answer::Blocked(why)
        }
        Fault::Denied(_) | Fault::Refused { .. } => Answer::Refused(why),
    }
}

/// What a fault of a write says: whether anything may have been done (reference `aws.md` section 2.1).
fn sorted(fault: &Fault) -> Answer {
    let text = |hint: &str| Text::new(&format!("AWS did not take it: {fault}{hint}"));
    match fault {
        Fault::SignIn(_) | Fault::NotSent(_) => Answer::Blocked(Text::new(&format!("not sent: {fault}"))),
        Fault::Throttled(_) => Answer::Blocked(fault.text()),
        Fault::NoAnswer(_) | Fault::Failed(_) => Answer::Unanswered(fault.text()),
        Fault::Denied(_) => Answer::Refused(fault.text()),
        Fault::Refused { code, .. } => match code.as_str() {
            "ScalingActivityInProgress" | "ScalingActivityInProgressFault" => {
                Answer::Blocked(text("; the group is scaling"))
            }
            "ResourceContention" | "ResourceContentionFault" => Answer::Blocked(text("; another update is on its way")),
            "InstanceRefreshInProgress" | "InstanceRefreshInProgressFault" => {
                Answer::Refused(text("; somebody has started a refresh: look at it, then plan again"))
            }
            "ActiveInstanceRefreshNotFound" | "ActiveInstanceRefreshNotFoundFault" => {
                Answer::Refused(text("; it has come to its end: plan again"))
            }
            "IrreversibleInstanceRefresh" | "IrreversibleInstanceRefreshFault" => {
                Answer::Refused(text("; cancel it, then plan again"))
            }
            "LimitExceeded" | "LimitExceededFault" => Answer::Refused(text("; a quota of the account is reached")),
            _ => Answer::Refused(text("")),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_may_have_been_done_is_unanswered() {
        let refused = |code: &str| Fault::Refused { code: Text::new(code), message: Text::new("words") };
        assert!(matches!(sorted(&Fault::NoAnswer(Text::new("late"))), Answer::Unanswered(_)));
        assert!(matches!(sorted(&Fault::Failed(Text::new("500"))), Answer::Unanswered(_)));
        assert!(matches!(sorted(&Fault::NotSent(Text::new("no route"))), Answer::Blocked(_)));
        assert!(matches!(sorted(&refused("ResourceContention")), Answer::Blocked(_)));
        assert!(matches!(sorted(&refused("InstanceRefreshInProgress")), Answer::Refused(_)));
        assert!(matches!(not_sent(Fault::NoAnswer(Text::new("late"))), Answer::Blocked(_)));
    }
}
