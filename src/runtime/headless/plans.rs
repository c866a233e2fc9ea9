//! `plan replace`, `plan rollback` and `plan promote`: decide, look, print, keep for the code.
//!
//! Never changes anything but the journal's list of plans.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::anyhow;

use super::follow::{find, open};
use super::{journal, print, session, settle};
use crate::app::operations::Operations;
use crate::app::report::{PlanReport, plan_report, report, wanted};
use crate::domain::id::OperationId;
use crate::domain::operation::{self, Debt};
use crate::domain::plan::{Aims, Change, Goto, Pace, Pick, PlanRequest, Reach, Scope, Stride, Suspend, Tempo};
use crate::domain::policy::Minimum;
use crate::domain::selector::Selector;
use crate::domain::text::Text;
use crate::runtime::cli::{Options, PlanTarget, SuspendArg};
use crate::runtime::headless::print::Exit;
use crate::runtime::session::{Session, inspect_all};
use crate::runtime::signing;
use crate::runtime::startup::{Opened, open_journal, state_dir_of};
use crate::runtime::store::this_driver;

pub(super) async fn replace(
    options: &Options,
    target: PlanTarget,
    oldest: Option<u32>,
    random: Option<u32>,
) -> anyhow::Result<Exit> {
    let seed = jiff::Timestamp::now().as_nanosecond() as u64;
    let pick = match (oldest, random) {
        (Some(count), _) => Pick::Oldest(count),
        (None, Some(count)) => Pick::Random { count, seed },
        (None, None) => Pick::Off,
    };
    plan(options, target, Goto::Expected, pick, Change::WholeTemplate).await
}

pub(super) async fn rollback(
    options: &Options,
    target: PlanTarget,
    to: Option<String>,
    to_revision: Option<u64>,
    image_only: bool,
) -> anyhow::Result<Exit> {
    let goto = match (to, to_revision) {
        (Some(image), _) => Goto::Image(Text::new(&image)),
        (None, Some(number)) => Goto::Revision(number),
        (None, None) => Goto::LastGood,
    };
    let change = if image_only { Change::ImageOnly } else { Change::WholeTemplate };
    plan(options, target, goto, Pick::Off, change).await
}

pub(super) async fn promote(options: &Options, target: PlanTarget, stride: Stride) -> anyhow::Result<Exit> {
    plan(options, target, Goto::Promote(stride), Pick::Off, Change::WholeTemplate).await
}

async fn plan(options: &Options, target: PlanTarget, goto: Goto, pick: Pick, change: Change) -> anyhow::Result<Exit> {
    let selector = Selector::parse(&target.selector.join(" "))?;
    let mut session = session(options)?;
    settle(&mut session, options.timeout).await;
    check_words(&selector, &session)?;
    let request = PlanRequest {
        goto,
        scope: Scope::Matching(selector),
        pick,
        container: target.container.as_deref().map(Text::new),
        change,
        reach: if target.wide { Reach::Wide } else { Reach::Narrow },
        valid: target.valid,
        pace: if target.fast { Pace::Fast } else { Pace::Careful },
        aims: Aims::default(),
        suspend: match target.suspend {
            None => Suspend::Nobody,
            Some(SuspendArg::UntilGivenBack) => Suspend::UntilGivenBack,
            Some(SuspendArg::UntilDone) => Suspend::UntilDone,
        },
        minimum: target.leave_minimum.then_some(Minimum::AsItIs),
        tempo: Tempo(target.at_once),
        reason: target.reason.as_deref().map(str::trim).filter(|reason| !reason.is_empty()).map(Text::new),
    };
    offer(options, session, &request).await
}

/// A plan for the way back from an operation.
pub(super) async fn reverse(options: &Options, operation: &str, valid: Duration) -> anyhow::Result<Exit> {
    let (mut session, id) = open(options, operation)?;
    let operation = &find(&session, &id)?.operation;
    if operation.ended.is_none() {
        return Err(anyhow!("{id} has not ended; `rolldeck abort {id} --return` stops it and goes back"));
    }
    let Some(request) = PlanRequest::reverse(operation, valid) else {
        return Err(anyhow!("{id} changed nothing that could be taken back"));
    };
    settle(&mut session, options.timeout).await;
    offer(options, session, &request).await
}

/// A plan that gives back what an operation owes.
pub(super) async fn give_back(options: &Options, operation: &str, valid: Duration) -> anyhow::Result<Exit> {
    let (mut session, id) = open(options, operation)?;
    if find(&session, &id)?.operation.debts.is_empty() {
        return Err(anyhow!("{id} owes nothing"));
    }
    settle(&mut session, options.timeout).await;
    let owes: Vec<&Debt> = find(&session, &id)?.operation.debts.iter().collect();
    let Some((goto, workloads)) = operation::give_back(&owes, &session.model.fleet) else {
        return Err(anyhow!(
            "{id} holds a rollout: go on with it (`plan replace`), or take it back (`plan reverse {id}`)"
        ));
    };
    let request = PlanRequest::of(goto, Scope::Exactly(workloads), valid);
    offer(options, session, &request).await
}

/// Writes off what an ended operation owes and nobody can give back. Nothing is sent.
pub(super) async fn write_off(options: &Options, operation: &str, reason: &str) -> anyhow::Result<Exit> {
    if options.read_only {
        return Err(anyhow!("nothing is written down with --read-only"));
    }
    if reason.trim().is_empty() {
        return Err(anyhow!("a reason is needed, others will read it: --reason \"…\""));
    }
    let id = OperationId(Text::new(operation));
    // Where it belongs may be gone with its place: then there is nothing to look at.
    let fleet = match session(options) {
        Ok(mut session) => {
            settle(&mut session, options.timeout).await;
            Some(session)
        }
        Err(error) => {
            print::progress(&format!("nothing is looked at: {error:#}"));
            None
        }
    };
    let Opened { locks, records, .. } = open_journal(&state_dir_of(options)?)?;
    let mut operations = Operations::default();
    operations.replay(records, |id| locks.look(id));
    let found = operations.get(&id).map(|tracked| tracked.operation.clone());
    let Some(mut operation) = found else {
        return Err(anyhow!("there is no operation {id} on this machine; `rolldeck operations` lists them"));
    };
    if operation.ended.is_none() {
        return Err(anyhow!("{id} has not ended; what it owes may still be given back"));
    }
    if operation.debts.is_empty() {
        return Err(anyhow!("{id} owes nothing"));
    }
    let seen = |debt: &&Debt| fleet.as_ref().is_some_and(|session| debt.can_be_given_back(&session.model.fleet));
    if let Some(debt) = operation.debts.iter().find(seen) {
        let command = match debt.owing() {
            Some(_) => format!("rolldeck plan give-back {id}"),
            None => format!("rolldeck plan reverse {id}"),
        };
        return Err(anyhow!("{}: {}, and can be given back: {command}", debt.workload, debt.what()));
    }
    if let Some(session) = fleet {
        session.close();
    }
    let mut journal = journal(options)?;
    let now = jiff::Timestamp::now();
    let how = Text::new(&format!("written off by {}: {}", this_driver(now).who, reason.trim()));
    while let Some(entry) = operation.write_off(&how) {
        let record = journal.append(&id, now, &entry, None)?;
        operation.apply(&record);
    }
    print::line(&format!("what {id} owes is written off: nobody will ask for it again; nothing was sent"))?;
    Ok(Exit::Done)
}

/// Makes the plan, has providers look at it, prints it, and keeps it for its code.
async fn offer(options: &Options, mut session: Session, request: &PlanRequest) -> anyhow::Result<Exit> {
    let mut plan = session.model.plan(request);
    inspect_all(&mut session, &mut plan).await;
    signing::ask_for_plan(&mut session, &mut plan).await;
    if plan.code().is_some() {
        journal(options)?.save_plan(&plan)?;
    }
    let words = plan_report(&plan).to_text();
    let answer: crate::app::report::Report<PlanReport> = report(&session.model, plan_report(&plan));
    print::answer_text(options.output, &answer, &words)?;
    session.close();
    Ok(if plan.code().is_some() { Exit::Done } else { Exit::Off })
}

/// The places whose services are not known now, so that nobody takes one of them for mistyped.
fn silent(session: &Session) -> String {
    let fleet = &session.model.fleet;
    let places = wanted(&session.model).filter_map(|id| fleet.place(id)).filter(|place| !place.state.is_live());
    let list: Vec<String> = places.map(|place| format!("{} is {}", place.id, place.state.as_str())).collect();
    if list.is_empty() { String::new() } else { format!(" in the places that answer ({})", list.join(", ")) }
}

/// A word without a key must be the name of one service: a plan is no place for near misses.
pub(super) fn check_words(selector: &Selector, session: &Session) -> anyhow::Result<()> {
    let services: BTreeSet<&str> = session.model.fleet.services().map(|(name, _)| name.as_str()).collect();
    for word in selector.words() {
        if !services.iter().any(|service| service.eq_ignore_ascii_case(word)) {
            let near: Vec<&str> = services.iter().copied().filter(|service| service.contains(word)).collect();
            let list = if near.is_empty() { services.into_iter().take(20).collect() } else { near };
            let list = if list.is_empty() { "none".to_string() } else { list.join(", ") };
            return Err(anyhow!("no service is called {word}{}; services: {list}", silent(session)));
        }
    }
    Ok(())
}
