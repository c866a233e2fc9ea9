//! The one request that borrows something or gives it back: a keeper does something else, a workload replaces at another pace.
//!
//! Never sends again: `operate` does, after a conflict, which proves that nothing was done.

use super::super::client::{Answered, Fault, Meant, Patch, Reads, Writes};
use super::super::keepers::{self, Found};
use super::super::lookup::{self, Present};
use super::super::requests::{self, Mark, Precondition};
use super::super::{Answer, Order};
use super::{Tried, answered, mark, not_sent, receipt, sorted};
use crate::domain::expectation::ServiceKeys;
use crate::domain::keeper::Borrowed;
use crate::domain::observation::Strategy;
use crate::domain::plan::{Action, Step};
use crate::domain::text::Text;

/// Borrows something, or gives it back.
pub(super) async fn lend(reads: &Reads, writes: &Writes, keys: &ServiceKeys, order: &Order) -> Tried {
    let turns = order.step.action.turns();
    if let Some(Borrowed::Pace { from, to }) = &turns {
        return change_pace(reads, writes, keys, order, (from, to)).await;
    }
    let Some(change) = turns.as_ref().and_then(keepers::change) else { return refused("not sent: it borrows nothing") };
    let gives_back = matches!(order.step.action, Action::GiveBack { .. });
    let version = match keepers::look(reads, &change).await {
        Ok(Found::Ready(version)) => version,
        Ok(Found::IsSo(receipt)) if gives_back => return Tried::Answer(Answer::Accepted(receipt)),
        Ok(Found::IsSo(_)) => {
            let (keeper, to) = (change.keeper, change.to);
            return refused(&format!("not sent: {keeper} is to {to} already, by somebody else; plan again"));
        }
        Ok(Found::Moved(why)) => return refused(&format!("not sent: {why}; plan again")),
        Err(fault) => return Tried::Answer(not_sent(&fault)),
    };
    match keepers::send(writes, &change, &version, &mark(order), Meant::Really).await {
        Ok(Ok(receipt)) => Tried::Answer(Answer::Accepted(receipt)),
        Ok(Err(why)) => refused(&why),
        Err(fault) => sorted(&fault),
    }
}

async fn change_pace(
    reads: &Reads,
    writes: &Writes,
    keys: &ServiceKeys,
    order: &Order,
    (from, to): (&Strategy, &Strategy),
) -> Tried {
    let step = &order.step;
    let present = match lookup::workload(reads, keys, &step.workload).await {
        Ok(present) => present,
        Err(fault) => return Tried::Answer(not_sent(&fault)),
    };
    if present.seen.uid != step.bound.uid {
        return refused("not sent: the workload was deleted and made again; plan again");
    }
    if present.seen.strategy == *to && matches!(step.action, Action::GiveBack { .. }) {
        let notes = vec![Text::new("it was so already; nothing was sent")];
        return Tried::Answer(Answer::Accepted(receipt(&present, notes)));
    }
    if present.seen.strategy != *from {
        let now = present.seen.strategy.describe();
        return refused(&format!("not sent: its update strategy is {now} now; plan again"));
    }
    let sent = send_pace(writes, step, &present, &mark(order), to, Meant::Really).await;
    answered(sent, present.kind, &present, keys)
}

/// The request that has a workload, as it was just read, replace at another pace.
pub(in super::super) async fn send_pace(
    writes: &Writes,
    step: &Step,
    present: &Present,
    mark: &Mark<'_>,
    to: &Strategy,
    meant: Meant,
) -> Result<Answered, Fault> {
    let at = Precondition { uid: &present.seen.uid.0, resource_version: &present.resource_version };
    let body = requests::pace(present.kind, &at, mark, to);
    writes.patch(Patch::Strategic, &requests::workload_path(present.kind, &step.workload), &body, meant).await
}

fn refused(why: &str) -> Tried {
    Tried::Answer(Answer::Refused(Text::new(why)))
}
