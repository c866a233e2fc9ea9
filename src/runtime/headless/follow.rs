//! `apply`, `watch`, `pause`, `resume`, `abort`: one operation, followed to its end.
//!
//! Never starts anything without its code. What it prints at the end is the operation, whatever became of it.

use std::time::Duration;

use anyhow::{Context, anyhow};

use super::{journal, print, session, settle};
use crate::app::effect::Effect;
use crate::app::event::{ControlRequest, Event, ProcessEvent};
use crate::app::operations::Tracked;
use crate::app::report::{operation_row, report};
use crate::domain::id::{OperationId, PlaceId, PlanId};
use crate::domain::journal::{Outcome, Request};
use crate::domain::observation::PlaceState;
use crate::domain::operation::{Alive, Mode, OperationState, StepState};
use crate::domain::plan::Plan;
use crate::domain::text::{Text, counted};
use crate::runtime::cli::Options;
use crate::runtime::headless::print::Exit;
use crate::runtime::session::Session;
use crate::runtime::store::WRONG_CODES;
use crate::runtime::terminal::{Asked, Signals};

/// How long another process may take to obey; it looks several times a second.
const OBEY: Duration = Duration::from_secs(5);

pub(super) async fn apply(options: &Options, plan: &str, code: &str) -> anyhow::Result<Exit> {
    let plan = confirmed(options, &PlanId(Text::new(plan)), code)?;
    let mut session = session(options)?;
    wait_for_places(&mut session, &plan, options.timeout).await;
    if let Some(reason) = why_not(&session, &plan) {
        print::progress(&format!("refused: {reason}; nothing was done. Make a new plan"));
        session.close();
        return Ok(Exit::Off);
    }
    let (driver, incident, now) =
        (session.model.settings.driver.clone(), session.model.settings.incident.clone(), session.model.now);
    let (operation, effects) = session.model.operations.start(plan, driver, incident, now);
    session.perform(effects);
    print::progress(&format!("operation {operation} begins"));
    Ok(exit_of(follow(session, options, &operation, Orphan::TakeOver, is_over).await?))
}

pub(super) async fn watch(options: &Options, operation: &str) -> anyhow::Result<Exit> {
    let (session, operation) = open(options, operation)?;
    let is_enough = |tracked: &Tracked| is_over(tracked) || tracked.alive == Alive::Nobody;
    Ok(exit_of(follow(session, options, &operation, Orphan::Leave, is_enough).await?))
}

pub(super) async fn pause(options: &Options, operation: &str) -> anyhow::Result<Exit> {
    let (mut session, operation) = open(options, operation)?;
    ask(&mut session, &operation, ControlRequest::Plain(Request::Pause))?;
    let is_enough = |tracked: &Tracked| is_over(tracked) || is_held(tracked);
    let state = follow(session, options, &operation, Orphan::TakeOver, is_enough).await?;
    // Being paused is what was asked for.
    Ok(if state == OperationState::Paused { Exit::Done } else { exit_of(state) })
}

pub(super) async fn resume(options: &Options, operation: &str, code: Option<String>) -> anyhow::Result<Exit> {
    let (mut session, operation) = open(options, operation)?;
    let tracked = find(&session, &operation)?;
    if let Mode::PlanMoved { .. } = tracked.operation.mode {
        let wanted = tracked.operation.resume_code().map(|code| code.to_string());
        if code != wanted {
            let said = if code.is_some() { "the code is wrong" } else { "the plan moved: it needs the new code" };
            return Err(anyhow!("{said}; look at `rolldeck operations --output json` and give --code"));
        }
    }
    let request = match code {
        Some(code) => ControlRequest::ResumeWithCode(Text::new(&code)),
        None => ControlRequest::Plain(Request::Resume),
    };
    ask(&mut session, &operation, request)?;
    wait_until_resumed(&mut session, &operation).await?;
    Ok(exit_of(follow(session, options, &operation, Orphan::TakeOver, is_over).await?))
}

pub(super) async fn abort(options: &Options, operation: &str) -> anyhow::Result<Exit> {
    let (mut session, operation) = open(options, operation)?;
    ask(&mut session, &operation, ControlRequest::Plain(Request::Stop))?;
    let is_enough = |tracked: &Tracked| tracked.operation.ended.is_some();
    let state = follow(session, options, &operation, Orphan::TakeOver, is_enough).await?;
    // Being stopped is what was asked for.
    Ok(if state == OperationState::Ended(Outcome::Stopped) { Exit::Done } else { exit_of(state) })
}

/// Stops an operation, and follows the way back from it to its end.
pub(super) async fn abort_and_return(options: &Options, operation: &str) -> anyhow::Result<Exit> {
    let (mut session, operation) = open(options, operation)?;
    if find(&session, &operation)?.operation.ended.is_some() {
        return Err(anyhow!("{operation} has ended; `rolldeck plan reverse {operation}` plans the way back"));
    }
    ask(&mut session, &operation, ControlRequest::Plain(Request::Return))?;
    let has_ended = |tracked: &Tracked| tracked.operation.ended.is_some();
    if until(&mut session, &operation, Orphan::TakeOver, has_ended).await? == Followed::Interrupted {
        return Ok(exit_of(tell(session, options, &operation).await?));
    }
    let Some(way_back) = way_back_of(&mut session, &operation, options.timeout).await? else {
        return Err(anyhow!(
            "{operation} has stopped, and nobody has begun the way back; `rolldeck plan reverse {operation}` plans it"
        ));
    };
    print::progress(&format!("{way_back} goes back from {operation}"));
    until(&mut session, &way_back, Orphan::TakeOver, is_over).await?;
    Ok(exit_of(tell(session, options, &way_back).await?))
}

/// Waits until the way back from an operation has begun, here or where it was driven.
async fn way_back_of(
    session: &mut Session,
    operation: &OperationId,
    limit: Duration,
) -> anyhow::Result<Option<OperationId>> {
    let began = tokio::time::timeout(limit, async {
        loop {
            let operations = &session.model.operations;
            if let Some(tracked) = operations.way_back_of(operation) {
                return Ok(tracked.operation.id.clone());
            }
            if let Some(why) = operations.why_no_way_back(operation) {
                return Err(anyhow!("{operation} has stopped, and does not go back: {why}"));
            }
            session.turn().await;
        }
    });
    began.await.ok().transpose()
}

/// What is done with an operation whose driver dies while it is followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Orphan {
    /// It is told.
    Leave,
    /// Taken over: something was asked of it, and nobody else will do it.
    TakeOver,
}

impl Orphan {
    fn look(self, session: &mut Session, operation: &OperationId) {
        let is_orphan = session.model.operations.get(operation).is_some_and(|tracked| {
            let can_drive = || session.model.why_not_drive(&tracked.operation.plan).is_none();
            tracked.alive == Alive::Nobody
                && tracked.operation.ended.is_none()
                && tracked.halted.is_none()
                && can_drive()
        });
        if self == Orphan::TakeOver && is_orphan {
            // Asked again at each turn until somebody has it; whoever has it already is only told so.
            session.perform(vec![Effect::Claim(operation.clone())]);
        }
    }
}

/// Follows every operation of this process to its end, without a screen: detached, or after the terminal went away.
///
/// # Errors
/// None of its own; the signature is that of the other commands.
pub async fn follow_all(mut session: Session, mut signals: Signals) -> anyhow::Result<Exit> {
    print::progress("rolldeck goes on without a screen until its operations have ended; `rolldeck watch` follows them");
    while session.model.operations.is_driving() && !is_waiting_for_a_person(&session) {
        tokio::select! {
            _ = session.turn() => {}
            asked = signals.next() => if asked == Asked::Terminate {
                session.give(Event::Process(ProcessEvent::TerminateAsked));
                break;
            },
        }
    }
    session.last_answers().await;
    session.close();
    Ok(Exit::Done)
}

/// Nobody will type a code or a key here: what waits for one is left, interrupted, to whoever takes it over.
fn is_waiting_for_a_person(session: &Session) -> bool {
    let mine = session.model.operations.iter().filter(|tracked| tracked.alive == Alive::Here);
    let mut open = mine.filter(|tracked| tracked.operation.ended.is_none());
    open.all(|tracked| tracked.halted.is_some() || matches!(tracked.operation.mode, Mode::PlanMoved { .. }))
}

/// The plan, if the code is right and it may still start.
fn confirmed(options: &Options, id: &PlanId, code: &str) -> anyhow::Result<Plan> {
    let journal = journal(options)?;
    let saved = journal
        .plan(id)?
        .ok_or_else(|| anyhow!("there is no plan {id} on this machine; make one with `rolldeck plan`"))?;
    if let Some(operation) = saved.operation {
        return Err(anyhow!("{id} was started already as {operation}; follow it with `rolldeck watch {operation}`"));
    }
    if saved.wrong_codes >= WRONG_CODES {
        return Err(anyhow!("{id} ended after {WRONG_CODES} wrong codes; make a new plan"));
    }
    if saved.plan.expires_at < jiff::Timestamp::now() {
        return Err(anyhow!("{id} expired at {}; make a new plan", saved.plan.expires_at));
    }
    if saved.plan.code().is_none_or(|right| right.as_str() != code) {
        let wrong = journal.count_wrong_code(id)?;
        let left = WRONG_CODES.saturating_sub(wrong);
        return Err(anyhow!("the code is wrong, nothing was done; {left} tries are left"));
    }
    Ok(saved.plan)
}

pub(super) fn open(options: &Options, operation: &str) -> anyhow::Result<(Session, OperationId)> {
    let session = session(options)?;
    let id = OperationId(Text::new(operation));
    let tracked = find(&session, &id)?;
    if let Some((outcome, ..)) = &tracked.operation.ended {
        print::progress(&format!("{id} has ended already: {}", outcome.as_str()));
    }
    Ok((session, id))
}

pub(super) fn find<'a>(session: &'a Session, operation: &OperationId) -> anyhow::Result<&'a Tracked> {
    let found = session.model.operations.get(operation);
    found
        .with_context(|| format!("there is no operation {operation} on this machine; `rolldeck operations` lists them"))
}

fn ask(session: &mut Session, operation: &OperationId, request: ControlRequest) -> anyhow::Result<()> {
    let who = session.model.settings.driver.who.clone();
    let tracked = find(session, operation)?;
    if let Some(why) = session.model.why_not_ask(&tracked.operation.plan) {
        return Err(anyhow!("nothing can be asked of {operation}: {why}"));
    }
    if tracked.alive == Alive::Nobody
        && tracked.operation.ended.is_none()
        && let Some(why) = session.model.why_not_drive(&tracked.operation.plan)
    {
        return Err(anyhow!("nobody drives {operation}, and it can't be driven from here: {why}"));
    }
    if let Some(halted) = &find(session, operation)?.halted {
        return Err(anyhow!("{halted}"));
    }
    let effects = session.model.operations.ask(operation, request, &who);
    session.perform(effects);
    Ok(())
}

/// Waits for the places of a plan: connects those that nobody asked for.
async fn wait_for_places(session: &mut Session, plan: &Plan, limit: Duration) {
    let places: Vec<PlaceId> = plan.waves.iter().map(|wave| wave.place.clone()).collect();
    session.perform(places.iter().cloned().map(Effect::Connect).collect());
    settle(session, limit).await;
}

/// Why a confirmed plan can't start after all.
fn why_not(session: &Session, plan: &Plan) -> Option<String> {
    for wave in &plan.waves {
        if let Some(why) = session.model.settings.read_only(&wave.place) {
            return Some(why.to_string());
        }
        match session.model.fleet.place(&wave.place).map(|place| &place.state) {
            Some(PlaceState::Live) => {}
            Some(state) => return Some(format!("{} is {}", wave.place, state.as_str())),
            None => return Some(format!("{} is not known here", wave.place)),
        }
    }
    let alone = || plan.steps().filter(|step| !step.action.may_join());
    if let Some(busy) = alone().find_map(|step| session.model.operations.busy(&step.workload)) {
        return Some(format!("operation {busy} is driving one of its workloads"));
    }
    let moved = plan.moved(&session.model.fleet);
    let (step, differences) = moved.first()?;
    let list: Vec<&str> = differences.iter().map(Text::as_str).collect();
    Some(format!("step {step} was decided on facts that moved: {}", list.join("; ")))
}

/// Waits until a request to go on was obeyed, so that the old pause is not mistaken for a new one.
async fn wait_until_resumed(session: &mut Session, operation: &OperationId) -> anyhow::Result<()> {
    let deadline = tokio::time::Instant::now() + OBEY;
    loop {
        let tracked = find(session, operation)?;
        let goes_on = matches!(tracked.operation.mode, Mode::Running | Mode::Stopping { .. });
        if tracked.operation.ended.is_some() || (goes_on && tracked.alive != Alive::Nobody) {
            return Ok(());
        }
        Orphan::TakeOver.look(session, operation);
        if tokio::time::timeout_at(deadline, session.turn()).await.is_err() {
            return Err(anyhow!("nobody went on with {operation}; look at `rolldeck operations`"));
        }
    }
}

/// Over for whoever follows: ended, or it waits for a person.
fn is_over(tracked: &Tracked) -> bool {
    tracked.operation.ended.is_some()
        || matches!(tracked.operation.mode, Mode::PlanMoved { .. })
        || tracked.halted.is_some()
}

/// Paused, with every brake that can be put on put on.
fn is_held(tracked: &Tracked) -> bool {
    let is_sent = tracked.operation.steps.values().any(|progress| progress.state == StepState::Sent);
    let quiet = !is_sent
        && tracked.in_flight.is_empty()
        && tracked.operation.steps.values().all(|progress| progress.brake.is_none());
    let braked = tracked.operation.plan.steps().all(|step| {
        let progress = tracked.operation.progress(step.id);
        progress.state != StepState::Accepted || progress.brake_failed.is_some() || !step.brake.exists()
    });
    matches!(tracked.operation.mode, Mode::Paused { .. }) && quiet && braked
}

/// Tells how it goes on until that is enough, then prints the operation as it is.
async fn follow(
    mut session: Session,
    options: &Options,
    operation: &OperationId,
    orphan: Orphan,
    is_enough: impl Fn(&Tracked) -> bool,
) -> anyhow::Result<OperationState> {
    let followed = until(&mut session, operation, orphan, is_enough).await?;
    // Somebody has asked for the way back: who has driven the one drives the other.
    let owes = session.model.operations.owes_way_back().is_some_and(|owing| owing.operation.id == *operation);
    if followed == Followed::Enough && owes {
        match way_back_of(&mut session, operation, options.timeout).await {
            Ok(Some(way_back)) => {
                print::progress(&format!("{way_back} goes back from {operation}"));
                until(&mut session, &way_back, Orphan::Leave, is_over).await?;
            }
            Ok(None) => print::progress(&format!("the way back from {operation} could not begin in time")),
            Err(why) => print::progress(&why.to_string()),
        }
    }
    tell(session, options, operation).await
}

/// Why nobody follows any longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Followed {
    /// What was waited for is so.
    Enough,
    /// The process was asked to end.
    Interrupted,
}

/// Tells how it goes on until that is enough.
async fn until(
    session: &mut Session,
    operation: &OperationId,
    orphan: Orphan,
    is_enough: impl Fn(&Tracked) -> bool,
) -> anyhow::Result<Followed> {
    let mut signals = Signals::handle()?;
    let mut shown = (String::new(), String::new());
    loop {
        if let Some(why) = session.model.operations.not_started.get(operation) {
            return Err(anyhow!("{operation} was not started, nothing was done: {why}"));
        }
        if let Some(tracked) = session.model.operations.get(operation) {
            let line = progress_line(tracked);
            let waits_for = tracked.gates.waiting_for.as_deref().unwrap_or_default();
            // A countdown is told once, not each second.
            let news = (line, waits_for.replace(|letter: char| letter.is_ascii_digit(), ""));
            if news != shown {
                let waits = if waits_for.is_empty() { String::new() } else { format!("; {waits_for}") };
                print::progress(&format!("{}{waits}", news.0));
                shown = news;
            }
            if is_enough(tracked) {
                return Ok(Followed::Enough);
            }
        }
        orphan.look(session, operation);
        tokio::select! {
            _ = session.turn() => {}
            asked = signals.next() => match asked {
                Asked::Terminate => {
                    session.give(Event::Process(ProcessEvent::TerminateAsked));
                    return Ok(Followed::Interrupted);
                }
                // The terminal going away is no reason to stop: an operation goes on without a screen. Nor may it be
                // suspended: what it drives would stand still without anybody knowing.
                Asked::HangUp | Asked::Suspend | Asked::Continue => {}
            },
        }
    }
}

/// Prints the operation as it is.
async fn tell(mut session: Session, options: &Options, operation: &OperationId) -> anyhow::Result<OperationState> {
    session.last_answers().await;
    let tracked = find(&session, operation)?;
    let row = operation_row(tracked);
    let state = tracked.operation.state(tracked.alive);
    let words = row.to_text();
    print::answer_text(options.output, &report(&session.model, row), &words)?;
    session.close();
    Ok(state)
}

fn exit_of(state: OperationState) -> Exit {
    match state {
        OperationState::Ended(Outcome::Done) => Exit::Done,
        OperationState::Ended(Outcome::Unresolved) => Exit::Partial,
        OperationState::Ended(Outcome::Failed | Outcome::Stopped | Outcome::Refused)
        | OperationState::Running
        | OperationState::Paused
        | OperationState::Interrupted => Exit::Off,
    }
}

fn progress_line(tracked: &Tracked) -> String {
    let operation = &tracked.operation;
    let counts = operation.counts();
    let mut line = format!(
        "{} {}: {} of {} verified, {} in flight",
        operation.id,
        operation.state(tracked.alive).as_str(),
        counts.done,
        counted(counts.total, "step"),
        counts.in_flight
    );
    if counts.failed > 0 {
        line.push_str(&format!(", {} failed", counts.failed));
    }
    let reason = tracked.halted.clone().unwrap_or_else(|| operation.reason());
    if !reason.is_empty() {
        line.push_str(&format!(" ({reason})"));
    }
    line
}
