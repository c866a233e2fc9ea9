//! What the plan overlay shows: waves and steps, checks, refusals, who would undo it, what an abort leaves, the code.
//!
//! Never decides anything.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::plan::{Closed, Equivalents, PlanOverlay};
use crate::app::command::Scope;
use crate::app::model::Model;
use crate::app::step_text::{self, Sides};
use crate::app::theme::Meaning;
use crate::app::widgets::paint::Line;
use crate::app::widgets::panel::Panel;
use crate::domain::id::PlaceId;
use crate::domain::plan::{
    Action, Brake, Change, CheckVerdict, Gate, Goto, Pace, Plan, Step, Stride, Suspend, Unpause, Wave,
};
use crate::domain::text::counted;

/// Cells at the end of the title for how far it is scrolled.
const SCROLLED: usize = 20;

/// The lines of a plan, and where its parts begin: each wave, what it leaves out, the checks and what comes after them.
pub(crate) struct Body {
    /// The lines, no wider than was asked.
    pub(crate) lines: Vec<Line>,
    /// The numbers of the lines that parts begin with.
    pub(crate) parts: Vec<usize>,
    width: usize,
}

impl Body {
    fn add(&mut self, line: Line) {
        self.lines.extend(line.wrapped(self.width, 9));
    }

    fn part(&mut self) {
        self.parts.push(self.lines.len());
    }
}

/// The whole panel.
pub(crate) fn panel(model: &Model, overlay: &PlanOverlay, width: usize) -> Panel {
    let body = body(model, overlay, width).lines;
    Panel { title: title(overlay, width), body, foot: foot(model, overlay), top: overlay.top }
}

/// The lines with their parts, and how many lines stand under them.
pub(crate) fn lines(model: &Model, overlay: &PlanOverlay, width: usize) -> (Body, usize) {
    (body(model, overlay, width), foot(model, overlay).len())
}

fn body(model: &Model, overlay: &PlanOverlay, width: usize) -> Body {
    let mut body = Body { lines: Vec::new(), parts: Vec::new(), width };
    for moved in &overlay.moved {
        body.add(Line::new(Meaning::Danger, " plan moved: ").and(Meaning::Danger, moved.to_string()));
    }
    for refusal in &overlay.plan.refusals {
        let what = refusal.workload.as_ref().map(|workload| format!("{workload}: ")).unwrap_or_default();
        body.add(Line::new(Meaning::Danger, " refused ").and(Meaning::Text, format!("{what}{}", refusal.reason)));
        body.add(Line::new(Meaning::Dim, format!("         {}", refusal.hint)));
    }
    for (number, wave) in overlay.plan.waves.iter().enumerate() {
        body.part();
        wave_lines(&overlay.plan, number, wave, model.now, overlay.equivalents, &mut |line| body.add(line));
    }
    if !overlay.left_out.is_empty() {
        body.part();
    }
    for (workload, why) in &overlay.left_out {
        body.add(Line::new(Meaning::Dim, " leaves  ").and(Meaning::Dim, format!("{workload}: {why}")));
    }
    body.part();
    check_lines(&overlay.plan, &mut |line| body.add(line));
    for undone in &overlay.plan.will_be_undone_by {
        let text =
            format!("{}: {} {} ({})", undone.workload, undone.undoer.by, undone.undoer.what, undone.undoer.how_fast);
        let line = Line::new(Meaning::Title, " undo    ").and(Meaning::Warning, format!("! {text}"));
        let can_be = undone.undoer.keeper.is_some()
            && overlay.request.suspend == Suspend::Nobody
            && !model.fleet.is_suspended(&undone.place, &undone.undoer);
        let key = model.settings.look.keymap.key_of("plan.suspend", &[Scope::Plan]).filter(|_| can_be);
        body.add(match key {
            Some(key) => line.and(Meaning::Text, "; ").and(Meaning::Key, key).and(Meaning::Text, " suspends it first"),
            None => line,
        });
    }
    if overlay.plan.waves.is_empty() {
        body.add(Line::new(Meaning::Dim, " nothing would be done"));
    } else {
        body.add(Line::new(Meaning::Title, " abort   ").and(Meaning::Text, overlay.plan.abort_leaves.to_string()));
    }
    body.part();
    passed_lines(&overlay.plan, &mut |line| body.add(line));
    body.parts.dedup();
    body
}

fn title(overlay: &PlanOverlay, width: usize) -> Line {
    let what = match (&overlay.request.goto, overlay.request.change) {
        (Goto::GiveBack(_), _) => "give back",
        (Goto::Expected, _) => "replace what is off",
        (Goto::Before(_), _) => "take an operation back",
        (Goto::Promote(Stride::Next), _) => "promote what waits",
        (Goto::Promote(Stride::Full), _) => "promote to the end",
        (Goto::LastGood, Change::WholeTemplate) => "back to last good",
        (Goto::LastGood, Change::ImageOnly) => "back to last good, image only",
        (Goto::Revision(_) | Goto::Image(_), Change::WholeTemplate) => "to a picked version",
        (Goto::Revision(_) | Goto::Image(_), Change::ImageOnly) => "to a picked version, image only",
    };
    let fast = if overlay.request.pace == Pace::Fast { "FAST " } else { "" };
    let line =
        Line::new(Meaning::Header, " PLAN ").and(Meaning::Title, format!(" {what} ")).and(Meaning::Warning, fast);
    // The verb stands before it, and how much more there is behind it.
    let verb = overlay.plan.verb.as_str();
    let space = (width + verb.len()).saturating_sub(line.width() + SCROLLED);
    let title = step_text::title(&overlay.plan, space);
    line.and(Meaning::Text, format!(" {}", title.strip_prefix(verb).map_or(title.as_str(), str::trim_start)))
}

fn wave_lines(
    plan: &Plan,
    number: usize,
    wave: &Wave,
    now: Timestamp,
    equivalents: Equivalents,
    add: &mut dyn FnMut(Line),
) {
    let gate = match wave.gate {
        Gate::Open if number == 0 => "starts at once".to_string(),
        Gate::Open => format!("once wave {number} is done"),
        Gate::Healthy(bake) => format!("after wave {number} stayed healthy for {}", seconds(bake.as_secs())),
    };
    let replaced: u32 = wave.steps.iter().map(|step| step.instances).sum();
    let total: u32 = totals(wave);
    let what = if wave.steps.iter().all(|step| step.action.loan().is_some()) {
        "replaces nothing".to_string()
    } else if wave.steps.iter().all(|step| step.workload.kind.has_runs()) {
        "the next run".to_string()
    } else {
        format!("{replaced} of {total}")
    };
    let line = Line::new(Meaning::Title, format!(" wave {}  ", number + 1))
        .and(Meaning::Text, format!("{}  {what}  ", wave.place))
        .and(Meaning::Dim, gate);
    add(line);
    // Hundreds of evictions say the same: the first ones stand for them.
    let shown = wave.steps.len().min(if wave.steps.len() > 12 { 8 } else { 12 });
    for step in &wave.steps[..shown] {
        step_lines(plan, step, now, equivalents, add);
    }
    if shown < wave.steps.len() {
        add(Line::new(
            Meaning::Dim,
            format!("    and {} of the same kind", counted(wave.steps.len() - shown, "more step")),
        ));
    }
}

/// Instances of the workloads of a wave, each workload once.
fn totals(wave: &Wave) -> u32 {
    let mut seen: Vec<(&crate::domain::id::WorkloadId, u32)> =
        wave.steps.iter().map(|step| (&step.workload, step.total)).collect();
    seen.sort();
    seen.dedup_by_key(|(workload, _)| *workload);
    seen.iter().map(|(_, total)| total).sum()
}

fn step_lines(plan: &Plan, step: &Step, now: Timestamp, equivalents: Equivalents, add: &mut dyn FnMut(Line)) {
    let namespace = step.workload.namespace.as_ref().map(|namespace| format!("{namespace}/")).unwrap_or_default();
    let name = format!("{} {namespace}{}", step.workload.kind, step.workload.name);
    let what = step_text::words(step, Sides::of(plan), now);
    add(Line::new(Meaning::Key, format!("    {} ", step.id))
        .and(Meaning::Text, format!("{name}  "))
        .and(Meaning::Text, what));
    if let Some(first) = step.first {
        let (percent, hold) = (first.percent, seconds(first.hold.as_secs()));
        let text = match step.brake {
            Brake::PauseRollout => {
                format!("        first {percent}%; then it is held, and goes on once they stayed healthy for {hold}")
            }
            Brake::CancelRollout | Brake::None(_) => {
                format!("        first {percent}%; then it waits {hold} and goes on by itself: x s stops it there")
            }
        };
        add(Line::new(Meaning::Text, text));
    }
    if step.unpause == Unpause::Release {
        add(Line::new(Meaning::Warning, "        its rollout is held now; the same request releases it"));
    }
    if !step.also_goes_back.is_empty() {
        let list: Vec<&str> = step.also_goes_back.iter().map(crate::domain::text::Text::as_str).collect();
        add(Line::new(Meaning::Warning, format!("        also goes back: {}", list.join(", "))));
    }
    if let Some(why) = &step.left_out {
        add(Line::new(Meaning::Warning, format!("        left out: {why}")));
    }
    // What is borrowed is no rollout: it has its way back instead of a brake.
    if step.action.loan().is_some() {
        return equivalent_line(step, equivalents, add);
    }
    let is_eviction = matches!(step.action, Action::Evict { .. });
    if !(is_eviction && plan.steps().count() > 3) {
        let meaning = if step.brake.exists() { Meaning::Dim } else { Meaning::Warning };
        add(Line::new(Meaning::Dim, "        brake: ").and(meaning, step.brake.as_text().to_string()));
    }
    equivalent_line(step, equivalents, add);
}

fn equivalent_line(step: &Step, equivalents: Equivalents, add: &mut dyn FnMut(Line)) {
    if equivalents == Equivalents::Shown {
        let text = if step.equivalent.is_empty() { "(its provider names none)" } else { step.equivalent.as_str() };
        add(Line::new(Meaning::Dim, "        $ ").and(Meaning::Text, text));
    }
}

/// What did not pass, each with its words; what passed, counted by name.
fn check_lines(plan: &Plan, add: &mut dyn FnMut(Line)) {
    for check in plan.checks.iter().filter(|check| check.verdict != CheckVerdict::Pass) {
        let (meaning, glyph) = glyph(check.verdict);
        let line = Line::new(Meaning::Title, " check   ").and(meaning, format!("{glyph} {}: ", check.name));
        add(line.and(Meaning::Text, check.detail.to_string()));
    }
    let mut counts: BTreeMap<&str, (u32, u32)> = BTreeMap::new();
    for check in &plan.checks {
        let (passed, all) = counts.entry(check.name.as_str()).or_default();
        *passed += u32::from(check.verdict == CheckVerdict::Pass);
        *all += 1;
    }
    let passed = counts.iter().filter(|(_, (passed, _))| *passed > 0);
    let words: Vec<String> = passed.map(|(name, (passed, all))| format!("= {name} {passed}/{all}")).collect();
    if !words.is_empty() {
        add(Line::new(Meaning::Title, " checks  ").and(Meaning::Ok, words.join("   ")));
    }
}

/// What passed, in its own words: last, because nothing is to be done about it.
fn passed_lines(plan: &Plan, add: &mut dyn FnMut(Line)) {
    for check in plan.checks.iter().filter(|check| check.verdict == CheckVerdict::Pass) {
        let line = Line::new(Meaning::Dim, " passed  ").and(Meaning::Ok, format!("= {}: ", check.name));
        add(line.and(Meaning::Dim, check.detail.to_string()));
    }
}

fn glyph(verdict: CheckVerdict) -> (Meaning, char) {
    match verdict {
        CheckVerdict::Pass => (Meaning::Ok, '='),
        CheckVerdict::Unknown => (Meaning::Unknown, '?'),
        CheckVerdict::Warn => (Meaning::Warning, '!'),
        CheckVerdict::Fail => (Meaning::Danger, 'X'),
    }
}

fn foot(model: &Model, overlay: &PlanOverlay) -> Vec<Line> {
    let places: BTreeSet<&PlaceId> = overlay.plan.waves.iter().map(|wave| &wave.place).collect();
    let places = places.len();
    let replaces_none = overlay.plan.steps().all(|step| step.workload.kind.has_runs() || step.action.loan().is_some());
    let summary = match places {
        0 => String::new(),
        places if replaces_none => format!(" no instance is replaced, {}", counted(places, "place")),
        places => {
            let instances = counted(overlay.plan.instances(), "instance");
            format!(" {instances}{}, {}", share(model, &overlay.plan), counted(places, "place"))
        }
    };
    let (good_for, start) = match overlay.code(model) {
        Ok(code) => {
            let left = (overlay.plan.expires_at.as_second() - model.now.as_second()).max(0);
            let small =
                if overlay.plan.is_small() { "y, or the code, starts it:  " } else { "Type the code to start:  " };
            let mut line = Line::plain(format!(" {small}"));
            line.0.extend(overlay.field.line(&code).0);
            (format!("; the code is good for {}m", u64::try_from(left).unwrap_or(0).div_ceil(60)), line)
        }
        Err(closed) => (String::new(), why_closed(&closed)),
    };
    vec![Line::plain(summary).and(Meaning::Dim, good_for), start]
}

fn why_closed(closed: &Closed) -> Line {
    match closed {
        Closed::Refused => Line::new(Meaning::Danger, " Refused: it has no code."),
        Closed::Looking(seen, all) => {
            Line::new(Meaning::Warning, format!(" looking: {seen} of {}; the code comes then", counted(*all, "step")))
        }
        Closed::Expired => Line::new(Meaning::Danger, " The code has expired: Alt-r makes the plan again."),
        Closed::Because(why) => Line::new(Meaning::Danger, format!(" No code: {why}")),
    }
}

/// How much of the services it replaces.
fn share(model: &Model, plan: &Plan) -> String {
    let mut services: Vec<&crate::domain::text::Text> = plan
        .steps()
        .filter_map(|step| model.fleet.workload(&step.workload).map(|workload| &workload.seen.service))
        .collect();
    services.sort();
    services.dedup();
    let [service] = services[..] else { return String::new() };
    let Some((_, tally)) = model.fleet.services().find(|(name, _)| *name == service) else { return String::new() };
    // Of what there should be: a rollout on its way has more.
    let percent = u64::from(plan.instances()) * 100 / u64::from(tally.desired.max(1));
    format!(", {}% of {service}", percent.min(100))
}

fn seconds(seconds: u64) -> String {
    match seconds {
        ..=120 => format!("{seconds}s"),
        _ => format!("{}m", seconds / 60),
    }
}
