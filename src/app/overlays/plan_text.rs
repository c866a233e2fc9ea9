//! What the plan overlay shows: waves and steps, checks, refusals, who would undo it, what an abort leaves, the code.
//!
//! Never decides anything.

use super::plan::{Closed, Equivalents, PlanOverlay};
use crate::app::model::Model;
use crate::app::theme::Meaning;
use crate::app::widgets::paint::Line;
use crate::app::widgets::panel::Panel;
use crate::domain::plan::{Action, Brake, Change, CheckVerdict, Gate, Goto, Plan, Step, Unpause, Wave};

/// The whole panel.
pub(crate) fn panel(model: &Model, overlay: &PlanOverlay, width: usize) -> Panel {
    let mut body = Vec::new();
    let mut add = |line: Line| body.extend(line.wrapped(width, 9));
    for moved in &overlay.moved {
        add(Line::new(Meaning::Danger, " plan moved: ").and(Meaning::Danger, moved.to_string()));
    }
    for refusal in &overlay.plan.refusals {
        let what = refusal.workload.as_ref().map(|workload| format!("{workload}: ")).unwrap_or_default();
        add(Line::new(Meaning::Danger, " refused ").and(Meaning::Text, format!("{what}{}", refusal.reason)));
        add(Line::new(Meaning::Dim, format!("         {}", refusal.hint)));
    }
    for (number, wave) in overlay.plan.waves.iter().enumerate() {
        wave_lines(&overlay.plan, number, wave, overlay.equivalents, &mut add);
    }
    for (workload, why) in &overlay.left_out {
        add(Line::new(Meaning::Dim, " leaves  ").and(Meaning::Dim, format!("{workload}: {why}")));
    }
    check_lines(&overlay.plan, &mut add);
    for undone in &overlay.plan.will_be_undone_by {
        let text =
            format!("{}: {} {} ({})", undone.workload, undone.undoer.by, undone.undoer.what, undone.undoer.how_fast);
        add(Line::new(Meaning::Title, " undo    ").and(Meaning::Warning, format!("! {text}")));
    }
    if overlay.plan.waves.is_empty() {
        add(Line::new(Meaning::Dim, " nothing would be done"));
    } else {
        add(Line::new(Meaning::Title, " abort   ").and(Meaning::Text, overlay.plan.abort_leaves.to_string()));
    }
    Panel { title: title(overlay), body, foot: foot(model, overlay), top: overlay.top }
}

fn title(overlay: &PlanOverlay) -> Line {
    let what = match (&overlay.request.goto, overlay.request.change) {
        (Goto::Expected, _) => "replace what is off",
        (Goto::LastGood, Change::WholeTemplate) => "back to last good",
        (Goto::LastGood, Change::ImageOnly) => "back to last good, image only",
        (Goto::Revision(_) | Goto::Image(_), Change::WholeTemplate) => "to a picked version",
        (Goto::Revision(_) | Goto::Image(_), Change::ImageOnly) => "to a picked version, image only",
    };
    Line::new(Meaning::Header, " PLAN ")
        .and(Meaning::Title, format!(" {what} "))
        .and(Meaning::Text, format!("  {}", overlay.plan.title))
}

fn wave_lines(plan: &Plan, number: usize, wave: &Wave, equivalents: Equivalents, add: &mut dyn FnMut(Line)) {
    let gate = match wave.gate {
        Gate::Open => "at once".to_string(),
        Gate::Healthy(bake) => format!("after wave {number} stayed healthy for {}", seconds(bake.as_secs())),
    };
    let replaced: u32 = wave.steps.iter().map(|step| step.instances).sum();
    let total: u32 = totals(wave);
    let line = Line::new(Meaning::Title, format!(" wave {}  ", number + 1))
        .and(Meaning::Text, format!("{}  {replaced} of {total}  ", wave.place))
        .and(Meaning::Dim, gate);
    add(line);
    // Hundreds of evictions say the same: the first ones stand for them.
    let shown = wave.steps.len().min(if wave.steps.len() > 12 { 8 } else { 12 });
    for step in &wave.steps[..shown] {
        step_lines(plan, step, equivalents, add);
    }
    if shown < wave.steps.len() {
        add(Line::new(Meaning::Dim, format!("    and {} more steps of the same kind", wave.steps.len() - shown)));
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

fn step_lines(plan: &Plan, step: &Step, equivalents: Equivalents, add: &mut dyn FnMut(Line)) {
    let namespace = step.workload.namespace.as_ref().map(|namespace| format!("{namespace}/")).unwrap_or_default();
    let name = format!("{} {namespace}{}", step.workload.kind, step.workload.name);
    let what = match &step.action {
        Action::RestoreRevision { number, .. } => {
            format!("back to revision {number}: {} -> {}", step.from.label(), step.to.label())
        }
        Action::SetImage { container, .. } => {
            format!("image of {container}: {} -> {}", step.from.label(), step.to.label())
        }
        Action::Evict { name, .. } => {
            format!("takes {name} away ({}); it comes again as {}", step.from.label(), step.to.label())
        }
    };
    add(Line::new(Meaning::Key, format!("    {} ", step.id))
        .and(Meaning::Text, format!("{name}  "))
        .and(Meaning::Text, what));
    if step.unpause == Unpause::Release {
        add(Line::new(Meaning::Warning, "        its rollout is held now; the same request releases it"));
    }
    if !step.also_goes_back.is_empty() {
        let list: Vec<&str> = step.also_goes_back.iter().map(crate::domain::text::Text::as_str).collect();
        add(Line::new(Meaning::Warning, format!("        also goes back: {}", list.join(", "))));
    }
    let is_eviction = matches!(step.action, Action::Evict { .. });
    if !(is_eviction && plan.steps().count() > 3) {
        let meaning = if matches!(step.brake, Brake::None(_)) { Meaning::Warning } else { Meaning::Dim };
        add(Line::new(Meaning::Dim, "        brake: ").and(meaning, step.brake.as_text().to_string()));
    }
    if equivalents == Equivalents::Shown {
        let text = if step.equivalent.is_empty() { "(its provider names none)" } else { step.equivalent.as_str() };
        add(Line::new(Meaning::Dim, "        $ ").and(Meaning::Text, text));
    }
}

fn check_lines(plan: &Plan, add: &mut dyn FnMut(Line)) {
    let passed: Vec<&str> = {
        let mut names: Vec<&str> = plan
            .checks
            .iter()
            .filter(|check| check.verdict == CheckVerdict::Pass)
            .map(|check| check.name.as_str())
            .collect();
        names.sort_unstable();
        names.dedup();
        names
    };
    for check in plan.checks.iter().filter(|check| check.verdict != CheckVerdict::Pass) {
        let (meaning, glyph) = glyph(check.verdict);
        add(Line::new(Meaning::Title, " check   ")
            .and(meaning, format!("{glyph} {}: ", check.name))
            .and(Meaning::Text, check.detail.to_string()));
    }
    for check in plan.checks.iter().filter(|check| check.verdict == CheckVerdict::Pass) {
        if passed.len() <= 6 || check.name != "already there" {
            add(Line::new(Meaning::Title, " check   ")
                .and(Meaning::Ok, format!("= {}: ", check.name))
                .and(Meaning::Dim, check.detail.to_string()));
        }
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
    let places = overlay.plan.waves.len();
    let share = share(model, &overlay.plan);
    let summary = format!(
        " {} instances{share}, {places} {}. ",
        overlay.plan.instances(),
        if places == 1 { "place" } else { "places" }
    );
    let start = match overlay.code(model) {
        Ok(code) => {
            let left = (overlay.plan.expires_at.as_second() - model.now.as_second()).max(0);
            let minutes = format!("   good for {}m", u64::try_from(left).unwrap_or(0).div_ceil(60));
            let small =
                if overlay.plan.is_small() { "y, or the code, starts it:  " } else { "Type the code to start:  " };
            let mut line = Line::plain(summary).and(Meaning::Text, small);
            line.0.extend(overlay.field.line(&code).0);
            line.and(Meaning::Dim, minutes)
        }
        Err(Closed::Refused) => Line::plain(summary).and(Meaning::Danger, "Refused: it has no code."),
        Err(Closed::Looking(seen, all)) => {
            Line::plain(summary).and(Meaning::Warning, format!("looking: {seen} of {all}; the code comes then"))
        }
        Err(Closed::Expired) => {
            Line::plain(summary).and(Meaning::Danger, "The code has expired: Alt-r makes the plan again.")
        }
        Err(Closed::Because(why)) => Line::plain(summary).and(Meaning::Danger, format!("No code: {why}")),
    };
    vec![start]
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
    let percent = u64::from(plan.instances()) * 100 / u64::from(tally.instances.max(tally.desired).max(1));
    format!(", {}% of {service}", percent.min(100))
}

fn seconds(seconds: u64) -> String {
    match seconds {
        ..=120 => format!("{seconds}s"),
        _ => format!("{}m", seconds / 60),
    }
}
