//! The plan overlay: what an operation would do, and the code that starts it.
//!
//! Never starts by Enter, by a paste, by keys typed before the code was seen, or with a fact that moved: then the plan
//! is made again and has another code.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;

use super::Overlay;
use super::code::{CodeField, Typed};
use super::plan_text;
use crate::app::command::{Command, Risk, Scope, always, not_now};
use crate::app::effect::Effect;
use crate::app::model::Model;
use crate::app::view;
use crate::app::widgets::panel::most_top;
use crate::domain::id::{PlanId, StepId, WorkloadId};
use crate::domain::plan::{Aims, Goto, Inspection, Plan, PlanRequest, Scope as PlanScope};
use crate::domain::text::{Text, counted};

/// A plan that waits for its code.
#[derive(Debug)]
pub(crate) struct PlanOverlay {
    /// What was asked for; asked again when a bound fact moves.
    pub(crate) request: PlanRequest,
    /// The plan, with what providers found out so far.
    pub(crate) plan: Plan,
    /// Steps that a provider still looks at.
    pub(crate) awaiting: BTreeSet<StepId>,
    /// Workloads that the key did not mean, and why.
    pub(crate) left_out: Vec<(WorkloadId, Text)>,
    /// What moved since the plan was first drawn.
    pub(crate) moved: Vec<Text>,
    /// The code, as far as it was typed.
    pub(crate) field: CodeField,
    /// Whether the equivalent commands are shown.
    pub(crate) equivalents: Equivalents,
    /// The first line shown.
    pub(crate) top: usize,
    /// The fleet's revision at which its facts were last compared.
    compared: u64,
}

/// Whether a plan shows the commands that would do the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Equivalents {
    /// It does.
    Shown,
    /// It does not.
    Hidden,
}

/// The commands.
pub(crate) const COMMANDS: &[Command] = &[
    command(
        "plan.equivalents",
        "equivalent commands",
        "Shows the commands that would do the same without Rolldeck.",
        Risk::Look,
        has_steps,
        toggle_equivalents,
    ),
    command(
        "plan.next_part",
        "next wave",
        "Goes to the next wave or part of the plan, after the last one to the start.",
        Risk::Look,
        has_more_parts,
        next_part,
    ),
    command("plan.again", "plan again", "Makes the plan again from what is known now.", Risk::Plan, always, again),
    command(
        "plan.leave_out",
        "leave out refused",
        "Makes the plan again without the workloads that are refused.",
        Risk::Plan,
        can_leave_out,
        leave_out,
    ),
    command(
        "plan.copy_commands",
        "copy commands",
        "Copies the equivalent commands of all steps.",
        Risk::Look,
        has_equivalents,
        copy_equivalents,
    ),
    command(
        "plan.enter",
        "(never starts)",
        "Enter never starts a plan: it takes its code.",
        Risk::Look,
        |_| not_now("Enter starts nothing: type the code; Esc closes the plan"),
        crate::app::command::nothing,
    ),
];

const fn command(
    id: &'static str,
    title: &'static str,
    doc: &'static str,
    risk: Risk,
    available: fn(&Model) -> Result<(), Text>,
    run: fn(&mut Model) -> Vec<Effect>,
) -> Command {
    Command { id, title, doc, risk, scope: Scope::Plan, available, run }
}

/// Why a plan can't be started now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Closed {
    /// It has refusals.
    Refused,
    /// Providers still look at its steps: how many have answered, of how many.
    Looking(usize, usize),
    /// Its time is over.
    Expired,
    /// Something else, in words.
    Because(Text),
}

impl PlanOverlay {
    /// The code that starts it, or why there is none.
    pub(crate) fn code(&self, model: &Model) -> Result<String, Closed> {
        let steps = self.plan.steps().count();
        if !self.plan.refusals.is_empty() {
            return Err(Closed::Refused);
        }
        for place in self.plan.waves.iter().map(|wave| &wave.place) {
            if let Some(why) = model.settings.read_only(place) {
                return Err(Closed::Because(Text::new(&format!("{place} is read only: {why}"))));
            }
            if !model.fleet.place(place).is_some_and(|place| place.state.is_live()) {
                return Err(Closed::Because(Text::new(&format!(
                    "{place} does not answer now: what is shown may be old"
                ))));
            }
        }
        if !self.awaiting.is_empty() {
            return Err(Closed::Looking(steps - self.awaiting.len().min(steps), steps));
        }
        if model.now >= self.plan.expires_at {
            return Err(Closed::Expired);
        }
        for step in self.plan.steps().filter(|step| !step.action.may_join()) {
            if let Some(busy) = model.operations.busy(&step.workload) {
                return Err(Closed::Because(Text::new(&format!("operation {busy} is driving {}", step.workload))));
            }
        }
        match self.plan.code() {
            Some(code) => Ok(code.as_str().to_string()),
            None => Err(Closed::Refused),
        }
    }

    /// A frame is about to be drawn.
    pub(crate) fn shown(&mut self, now: Timestamp) {
        match self.plan.code() {
            Some(code) if self.awaiting.is_empty() => self.field.shown(code.as_str(), now),
            _ => self.field.hidden(),
        }
    }

    /// When a shown text changes by itself: the minutes that the code is good for, and the moment when keys count.
    pub(crate) fn next_change(&self, now: Timestamp) -> Option<Timestamp> {
        if now >= self.plan.expires_at {
            return None;
        }
        let left = u64::try_from(self.plan.expires_at.as_second() - now.as_second()).unwrap_or(0);
        Some(now + Duration::from_secs((left % 60).max(1)))
    }
}

/// How old what was heard of a tag may be when something is to be done by it.
const FRESH: Duration = Duration::from_secs(60);

/// Opens a plan for a request and has providers look at its steps.
pub(crate) fn open(model: &mut Model, mut request: PlanRequest, left_out: Vec<(WorkloadId, Text)>) -> Vec<Effect> {
    if request.goto == Goto::LastGood {
        request.aims = Aims::of(&request.scope, &model.fleet);
    }
    let plan = model.drawn(&request);
    let tags = plan.steps().filter_map(|step| step.to.reference.clone());
    model.resolving.ask_again(tags, model.now, FRESH);
    let effects = inspect(&plan);
    let overlay = PlanOverlay {
        awaiting: awaited(&plan),
        request,
        plan,
        left_out,
        moved: Vec::new(),
        field: CodeField::default(),
        equivalents: Equivalents::Hidden,
        top: 0,
        compared: model.fleet.revision(),
    };
    model.ui.overlays.push(Overlay::Plan(Box::new(overlay)));
    effects
}

/// Takes in what a provider saw. An answer about a plan that was made again is dropped.
pub(crate) fn inspected(model: &mut Model, plan: &PlanId, step: StepId, inspection: Inspection) {
    let mut plans = model.ui.overlays.iter_mut().filter_map(|overlay| match overlay {
        Overlay::Plan(overlay) if overlay.plan.id == *plan => Some(overlay),
        _ => None,
    });
    if let Some(overlay) = plans.next().filter(|overlay| overlay.awaiting.contains(&step)) {
        overlay.awaiting.remove(&step);
        overlay.plan.absorb(step, inspection);
    }
}

/// Compares the bound facts with the fleet; where one moved the plan is made again, with another code.
pub(crate) fn look_again(model: &mut Model) -> Vec<Effect> {
    let revision = model.fleet.revision();
    let Some(overlay) = top(model).filter(|overlay| overlay.compared != revision) else { return Vec::new() };
    overlay.compared = revision;
    let Some(Overlay::Plan(overlay)) = model.ui.overlays.last() else { return Vec::new() };
    let mut moved = Vec::new();
    for (step, differences) in overlay.plan.moved(&model.fleet) {
        let workload = overlay.plan.step(step).map(|step| step.workload.to_string()).unwrap_or_default();
        moved.extend(differences.iter().map(|difference| Text::new(&format!("{workload}: {difference}"))));
    }
    if moved.is_empty() {
        return Vec::new();
    }
    let request = overlay.request.clone();
    make_again(model, request, moved)
}

/// A letter of the code.
pub(crate) fn type_letter(model: &mut Model, letter: char) -> Vec<Effect> {
    let now = model.now;
    let Some(Overlay::Plan(overlay)) = model.ui.overlays.last() else { return Vec::new() };
    let code = match overlay.code(model) {
        Ok(code) => code,
        Err(closed) => {
            let why = match closed {
                Closed::Refused => "the plan is refused: it has no code".to_string(),
                Closed::Looking(seen, all) => {
                    format!("looking: {seen} of {}; the code comes then", counted(all, "step"))
                }
                Closed::Expired => "the code has expired: Alt-r makes the plan again".to_string(),
                Closed::Because(why) => why.to_string(),
            };
            model.ui.say_why(&why);
            return Vec::new();
        }
    };
    let small = overlay.plan.is_small();
    let Some(overlay) = top(model) else { return Vec::new() };
    if letter == 'y' && small {
        if overlay.field.is_armed(&code, now) {
            return start(model);
        }
        model.ui.say_why("typed before the plan was seen: dropped; type it now");
        return Vec::new();
    }
    match overlay.field.take(letter, &code, now) {
        Typed::TooEarly => model.ui.say_why("typed before the code was seen: dropped; type it now"),
        Typed::Wrong => model.ui.say_why("that is not the next letter of the code: the field is empty again"),
        Typed::Right => {}
        Typed::Complete => return start(model),
    }
    Vec::new()
}

fn start(model: &mut Model) -> Vec<Effect> {
    let Some(Overlay::Plan(overlay)) = model.ui.overlays.pop() else { return Vec::new() };
    // The picker that led here has done its work too.
    model.ui.overlays.clear();
    model.ui.rows_mut().listing_mut().marks.clear();
    let (driver, incident) = (model.settings.driver.clone(), model.settings.incident.clone());
    let (id, effects) = model.operations.start(overlay.plan, driver, incident, model.now);
    model.ui.say(&format!("{id} starts; 5 shows its steps"));
    effects
}

fn awaited(plan: &Plan) -> BTreeSet<StepId> {
    plan.steps().map(|step| step.id).collect()
}

fn inspect(plan: &Plan) -> Vec<Effect> {
    let steps: Vec<_> = plan.steps().cloned().collect();
    if steps.is_empty() { Vec::new() } else { vec![Effect::Inspect { plan: plan.id.clone(), steps }] }
}

pub(super) fn make_again(model: &mut Model, request: PlanRequest, moved: Vec<Text>) -> Vec<Effect> {
    let plan = model.drawn(&request);
    let (effects, awaiting) = (inspect(&plan), awaited(&plan));
    let Some(overlay) = top(model) else { return Vec::new() };
    overlay.request = request;
    overlay.plan = plan;
    overlay.awaiting = awaiting;
    overlay.moved = moved;
    overlay.field.hidden();
    effects
}

pub(super) fn top(model: &mut Model) -> Option<&mut PlanOverlay> {
    match model.ui.overlays.last_mut() {
        Some(Overlay::Plan(overlay)) => Some(overlay),
        _ => None,
    }
}

pub(super) fn open_plan(model: &Model) -> Option<&PlanOverlay> {
    match model.ui.overlays.last() {
        Some(Overlay::Plan(overlay)) => Some(overlay),
        _ => None,
    }
}

fn has_steps(model: &Model) -> Result<(), Text> {
    match open_plan(model) {
        Some(overlay) if overlay.plan.steps().next().is_some() => Ok(()),
        Some(_) => not_now("the plan has no step"),
        None => not_now("no plan is open"),
    }
}

/// Where the open plan's parts begin, and how far it scrolls.
fn parts(model: &Model) -> Option<(Vec<usize>, usize)> {
    let (overlay, area) = (open_plan(model)?, view::layout(model).body);
    let (body, foot) = plan_text::lines(model, overlay, usize::from(area.width));
    let most = most_top(body.lines.len(), foot, usize::from(area.height));
    Some((body.parts, most))
}

fn has_more_parts(model: &Model) -> Result<(), Text> {
    match parts(model) {
        Some((_, 1..)) => Ok(()),
        Some((_, 0)) => not_now("all of the plan is shown"),
        None => not_now("no plan is open"),
    }
}

fn next_part(model: &mut Model) -> Vec<Effect> {
    let Some((parts, most)) = parts(model) else { return Vec::new() };
    if let Some(overlay) = top(model) {
        let at = overlay.top.min(most);
        // The last parts can't be on top of a full screen: there the end is as far as it goes.
        let next = parts.into_iter().find(|&part| part > at).map(|part| part.min(most));
        overlay.top = next.filter(|&part| part > at).unwrap_or(0);
    }
    Vec::new()
}

fn toggle_equivalents(model: &mut Model) -> Vec<Effect> {
    if let Some(overlay) = top(model) {
        overlay.equivalents = match overlay.equivalents {
            Equivalents::Shown => Equivalents::Hidden,
            Equivalents::Hidden => Equivalents::Shown,
        };
    }
    Vec::new()
}

fn again(model: &mut Model) -> Vec<Effect> {
    let Some(overlay) = top(model) else { return Vec::new() };
    let request = overlay.request.clone();
    make_again(model, request, Vec::new())
}

fn refused(overlay: &PlanOverlay) -> Vec<(WorkloadId, Text)> {
    let refusals = overlay.plan.refusals.iter();
    refusals.filter_map(|refusal| Some((refusal.workload.clone()?, refusal.reason.clone()))).collect()
}

fn can_leave_out(model: &Model) -> Result<(), Text> {
    let Some(overlay) = open_plan(model) else { return not_now("no plan is open") };
    let refused = refused(overlay);
    match &overlay.request.scope {
        _ if refused.is_empty() => not_now("no workload is refused"),
        PlanScope::Exactly(ids) if ids.iter().all(|id| refused.iter().any(|(out, _)| out == id)) => {
            not_now("every workload of the plan is refused")
        }
        PlanScope::Exactly(_) | PlanScope::Matching(_) => Ok(()),
    }
}

fn leave_out(model: &mut Model) -> Vec<Effect> {
    let Some(overlay) = top(model) else { return Vec::new() };
    let out = refused(overlay);
    let mut request = overlay.request.clone();
    if let PlanScope::Exactly(ids) = &mut request.scope {
        ids.retain(|id| !out.iter().any(|(refused, _)| refused == id));
    }
    overlay.left_out.extend(out);
    overlay.left_out.sort();
    overlay.left_out.dedup();
    make_again(model, request, Vec::new())
}

fn equivalents(overlay: &PlanOverlay) -> Vec<&str> {
    overlay.plan.steps().map(|step| step.equivalent.as_str()).filter(|text| !text.is_empty()).collect()
}

fn has_equivalents(model: &Model) -> Result<(), Text> {
    match open_plan(model) {
        Some(overlay) if !equivalents(overlay).is_empty() => Ok(()),
        Some(_) => not_now("its providers have not named equivalent commands (yet)"),
        None => not_now("no plan is open"),
    }
}

fn copy_equivalents(model: &mut Model) -> Vec<Effect> {
    let Some(overlay) = open_plan(model) else { return Vec::new() };
    vec![Effect::Copy { text: equivalents(overlay).join("\n"), what: Text::new("the equivalent commands") }]
}
