//! The keys that steer an operation: hold, go on, stop, go back, take over.
//!
//! Never sends: what an operator asks for goes to whoever drives the operation.

use crate::app::command::{Command, Risk, Scope, not_now};
use crate::app::effect::Effect;
use crate::app::event::ControlRequest;
use crate::app::model::Model;
use crate::app::operations::Tracked;
use crate::app::overlays::{Overlay, ask::AskOverlay};
use crate::app::rows::RowId;
use crate::app::screens::Screen;
use crate::app::step_text;
use crate::app::theme::Meaning;
use crate::app::ui::Entry;
use crate::app::widgets::paint::Line;
use crate::domain::id::{OperationId, PlaceId};
use crate::domain::journal::Request;
use crate::domain::operation::{Alive, Left, Mode, Operation, StepState};
use crate::domain::plan::Step;
use crate::domain::text::{Text, counted};

/// The commands that steer operations: the one under the cursor here, the one of the banner elsewhere.
pub(crate) const COMMANDS: &[Command] = &[
    command(
        "operation.pause",
        "pause or resume",
        "Holds the operation where it is, with the brakes of its plan; or lets it go on.",
        can_pause,
        pause,
    ),
    command("operation.stop", "stop here", "Stops the operation: no new step, what was done stays.", can_stop, stop),
    command(
        "operation.return",
        "stop and go back",
        "Stops the operation, then takes back what it did by a plan of its own.",
        can_stop,
        stop_and_return,
    ),
    command(
        "operation.take",
        "take over",
        "Takes an operation over that nobody drives, after a question.",
        can_take,
        take,
    ),
    Command {
        id: "debt.write_off",
        title: "write off",
        doc: "Writes off what an ended operation owes and nobody can give back, with a reason; nothing is sent.",
        risk: Risk::Protect,
        scope: Scope::Lists,
        available: can_write_off,
        run: write_off,
    },
];

const fn command(
    id: &'static str,
    title: &'static str,
    doc: &'static str,
    available: fn(&Model) -> Result<(), Text>,
    run: fn(&mut Model) -> Vec<Effect>,
) -> Command {
    Command { id, title, doc, risk: Risk::Run, scope: Scope::Global, available, run }
}

/// The operation that `p`, `x s` and `T` mean.
pub(crate) fn target(model: &Model) -> Option<&Tracked> {
    match (model.ui.screen, &model.ui.rows().listing().cursor) {
        (Screen::Operations, Some(RowId::Operation(id))) => model.operations.get(id),
        _ => model.operations.on_banner(),
    }
}

fn running(model: &Model) -> Result<&Tracked, Text> {
    let Some(tracked) = target(model) else { return Err(Text::new("no operation runs")) };
    match &tracked.operation.ended {
        Some((outcome, ..)) => Err(Text::new(&format!("{} has ended: {}", tracked.operation.id, outcome.as_str()))),
        None => Ok(tracked),
    }
}

fn can_pause(model: &Model) -> Result<(), Text> {
    let tracked = running(model)?;
    can_ask(model, tracked)?;
    match (&tracked.operation.mode, tracked.alive) {
        (Mode::Stopping { .. }, _) => not_now("it is being stopped"),
        (_, Alive::Nobody) => {
            Err(Text::new(&format!("nobody drives {}: T takes it over, x s stops it", tracked.operation.id)))
        }
        (Mode::Running | Mode::Paused { .. } | Mode::PlanMoved { .. }, Alive::Here | Alive::Elsewhere) => Ok(()),
    }
}

fn pause(model: &mut Model) -> Vec<Effect> {
    let Ok(tracked) = running(model) else { return Vec::new() };
    let id = tracked.operation.id.clone();
    let request = match &tracked.operation.mode {
        Mode::PlanMoved { .. } => {
            let question = AskOverlay::go_on(&tracked.operation);
            model.ui.overlays.extend(question.map(Overlay::Ask));
            return Vec::new();
        }
        Mode::Paused { .. } => Request::Resume,
        Mode::Running | Mode::Stopping { .. } => Request::Pause,
    };
    let what = if request == Request::Pause { "is asked to hold: no new step, brakes on" } else { "is asked to go on" };
    ask(model, &id, request, what)
}

fn can_stop(model: &Model) -> Result<(), Text> {
    let tracked = running(model)?;
    can_ask(model, tracked)?;
    if tracked.alive == Alive::Nobody {
        can_drive(model, tracked)?;
    }
    match &tracked.operation.mode {
        Mode::Stopping { .. } => not_now("it is being stopped already"),
        Mode::Running | Mode::Paused { .. } | Mode::PlanMoved { .. } => Ok(()),
    }
}

fn stop(model: &mut Model) -> Vec<Effect> {
    let Ok(tracked) = running(model) else { return Vec::new() };
    let id = tracked.operation.id.clone();
    let counts = tracked.operation.counts();
    let braked = u32::try_from(braked(&tracked.operation)).unwrap_or(counts.in_flight);
    let what = format!(
        "stops here: {} of {} done, {braked} in flight held, {} left to the platform",
        counts.done,
        counted(counts.total, "step"),
        counts.in_flight.saturating_sub(braked)
    );
    ask(model, &id, Request::Stop, &what)
}

/// How many steps are in flight that a stop holds.
fn braked(operation: &Operation) -> usize {
    let is_held = |step: &&Step| {
        let state = operation.progress(step.id).state;
        step.brake.exists() && matches!(state, StepState::Sent | StepState::Accepted | StepState::Held)
    };
    operation.plan.steps().filter(is_held).count()
}

/// Whether a step has changed something, or may have.
fn is_begun(state: StepState) -> bool {
    match state {
        StepState::Sent
        | StepState::Accepted
        | StepState::Held
        | StepState::Verified
        | StepState::Failed
        | StepState::Unresolved => true,
        StepState::Waiting | StepState::Refused | StepState::Skipped => false,
    }
}

fn stop_and_return(model: &mut Model) -> Vec<Effect> {
    let Ok(tracked) = running(model) else { return Vec::new() };
    let id = tracked.operation.id.clone();
    ask(model, &id, Request::Return, "stops here, then goes back")
}

/// What the second key after `x` would do, place by place; nothing where no operation runs that can be stopped.
pub(crate) fn before_a_stop(model: &Model, width: usize) -> Vec<Line> {
    let Ok(tracked) = running(model) else { return Vec::new() };
    let operation = &tracked.operation;
    let name = format!(" {}: ", operation.id);
    let title = step_text::title(&operation.plan, width.saturating_sub(name.len()));
    let mut lines = vec![Line::new(Meaning::Title, name + &title)];
    let left = operation.left(&model.fleet);
    for Left { place, new, old, back } in &left {
        let versions: Vec<&str> = back.iter().map(|back| back.version.as_str()).collect();
        lines.push(
            Line::new(Meaning::Text, format!("   {place}  "))
                .and(Meaning::Key, "s")
                .and(Meaning::Text, format!(" stop here: {new} new, {old} old   "))
                .and(Meaning::Key, "z")
                .and(Meaning::Text, format!(" go back to {}: {new} replaced", versions.join(", "))),
        );
    }
    let mut bad: Vec<(&Text, &Text)> = Vec::new();
    for back in left.iter().flat_map(|left| &left.back) {
        let why = back.why_bad.as_ref().map(|why| (&back.version, why)).filter(|known| !bad.contains(known));
        bad.extend(why);
    }
    for (version, why) in bad {
        lines.push(Line::new(Meaning::Warning, format!("   ! {version} is not a last good version: {why}")));
    }
    let held = braked(operation);
    if held > 0 {
        let text =
            format!("   ! s leaves {} in flight held: a debt until somebody goes on or back", counted(held, "rollout"));
        lines.push(Line::new(Meaning::Warning, text));
    }
    let is_begun = |step: &&Step| is_begun(operation.progress(step.id).state);
    let (mut waiting, mut places): (Vec<&str>, Vec<&PlaceId>) = (Vec::new(), Vec::new());
    for wave in &operation.plan.waves {
        if places.contains(&&wave.place) {
            continue;
        }
        places.push(&wave.place);
        let steps = || operation.plan.steps().filter(|step| step.workload.place == wave.place);
        let begun = steps().filter(is_begun).count();
        if begun == 0 {
            waiting.push(&wave.place.0);
        } else if !left.iter().any(|left| left.place == wave.place) {
            // What replaces instances one by one leaves no version of its own.
            let text =
                format!("   {}  begun with {begun} of {}, which stay", wave.place, counted(steps().count(), "step"));
            lines.push(Line::new(Meaning::Text, text));
        }
    }
    if waiting.len() == places.len() {
        lines.push(Line::new(Meaning::Dim, "   nothing was changed yet: either key stops it, and nothing is replaced"));
    } else if !waiting.is_empty() {
        lines.push(Line::new(Meaning::Dim, format!("   not begun, stays as it is: {}", waiting.join(", "))));
    }
    lines.into_iter().flat_map(|line| line.wrapped(width, 5)).collect()
}

fn ask(model: &mut Model, id: &OperationId, request: Request, what: &str) -> Vec<Effect> {
    model.ui.say(&format!("{id} {what}"));
    let who = model.settings.driver.who.clone();
    model.operations.ask(id, ControlRequest::Plain(request), &who)
}

/// Whether anything may be asked of it from here.
fn can_ask(model: &Model, tracked: &Tracked) -> Result<(), Text> {
    match model.why_not_ask(&tracked.operation.plan) {
        Some(why) => Err(Text::new(&format!("nothing can be asked of {}: {why}", tracked.operation.id))),
        None => Ok(()),
    }
}

/// Whether this process could drive it.
fn can_drive(model: &Model, tracked: &Tracked) -> Result<(), Text> {
    match model.why_not_drive(&tracked.operation.plan) {
        Some(why) => Err(Text::new(&format!("it can't be driven from here: {why}"))),
        None => Ok(()),
    }
}

fn can_write_off(model: &Model) -> Result<(), Text> {
    let Some(tracked) = target(model).filter(|_| model.ui.screen == Screen::Operations) else {
        return not_now("debts are written off on Operations (5)");
    };
    let operation = &tracked.operation;
    can_ask(model, tracked)?;
    match (&operation.ended, operation.debts.is_empty()) {
        (None, _) => not_now("it has not ended: what it owes may still be given back"),
        (Some(_), true) => not_now("it owes nothing"),
        (Some(_), false) => match operation.debts.iter().find(|debt| debt.can_be_given_back(&model.fleet)) {
            None => Ok(()),
            Some(debt) => {
                let key = if debt.owing().is_some() { "D" } else { "r, or u," };
                let why = format!("{}: {}, and {key} can give it back", debt.workload, debt.what());
                Err(Text::new(&why))
            }
        },
    }
}

fn write_off(model: &mut Model) -> Vec<Effect> {
    let id = target(model).map(|tracked| tracked.operation.id.clone());
    model.ui.entry = id.map(|operation| Entry::WriteOff { operation, typed: String::new() });
    Vec::new()
}

/// Enter after a reason.
pub(crate) fn written_off(model: &mut Model, id: &OperationId, reason: &str) -> Vec<Effect> {
    let reason = reason.trim();
    if reason.is_empty() {
        model.ui.say_why("a reason is needed: others will read it");
        return Vec::new();
    }
    model.ui.entry = None;
    let how = format!("written off by {}: {reason}", model.settings.driver.who);
    model.operations.write_off(id, Text::new(&how));
    model.ui.say(&format!("what {id} owes is written off; nothing was sent"));
    Vec::new()
}

fn can_take(model: &Model) -> Result<(), Text> {
    let tracked = running(model)?;
    match tracked.alive {
        Alive::Nobody => can_drive(model, tracked),
        Alive::Here => not_now("this process drives it already"),
        Alive::Elsewhere => {
            Err(Text::new(&format!("{} on {} drives it", tracked.operation.driver.who, tracked.operation.driver.host)))
        }
    }
}

fn take(model: &mut Model) -> Vec<Effect> {
    if let Ok(tracked) = running(model) {
        let question = AskOverlay::take_over(tracked.operation.id.clone());
        model.ui.overlays.push(Overlay::Ask(question));
    }
    Vec::new()
}
