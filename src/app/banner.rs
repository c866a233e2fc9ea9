//! The banner: on every screen while an operation runs, and one line when it has ended, until it is put away.
//!
//! Never says done for something that was only accepted.

use super::age::Clock;
use super::commands::protecting;
use super::model::Model;
use super::operations::Tracked;
use super::screens::operations::state;
use super::step_text;
use super::theme::Meaning;
use super::widgets::bar::bar;
use super::widgets::paint::Line;
use crate::domain::id::OperationId;
use crate::domain::journal::Outcome;
use crate::domain::operation::{Alive, Debt, Mode, Owed, Progress, StepState, progress_of};
use crate::domain::plan::{Step, Verb};
use crate::domain::text::counted;

/// The lines of the banner; empty where there is nothing to tell.
pub(crate) fn lines(model: &Model, width: usize) -> Vec<Line> {
    let mut lines = Vec::new();
    if let Some((first, rest)) = model.settings.notices.get(model.ui.notices_seen..).and_then(<[_]>::split_first) {
        let more = if rest.is_empty() { String::new() } else { format!(" (and {} more)", rest.len()) };
        lines.push(
            Line::new(Meaning::Warning, format!(" ! {first}{more}; "))
                .and(Meaning::Key, "Esc")
                .and(Meaning::Text, " puts this away"),
        );
    }
    lines.extend(protecting::alarm(model));
    if let Some(tracked) = model.operations.on_banner() {
        lines.push(name(model, tracked, width));
        lines.push(progress(model, tracked, width));
        lines.extend(waits(tracked));
    }
    if let Some(tracked) = news(model) {
        lines.push(end(tracked));
    }
    // Whoever drives an operation will give back what is not overdue yet.
    let driven = model.operations.on_banner().filter(|tracked| tracked.alive != Alive::Nobody);
    let is_news = |(id, debt): &(&OperationId, &Debt)| {
        driven.is_none_or(|tracked| tracked.operation.id != **id) || debt.is_overdue(model.now)
    };
    let mut debts: Vec<_> = model.operations.debts().filter(is_news).collect();
    // What is overdue is the worst of them, and an alarm.
    debts.sort_by_key(|(id, debt)| (!debt.is_overdue(model.now), debt.due().is_none(), debt.since, (*id).clone()));
    if let Some((id, debt)) = debts.first() {
        let rest = if debts.len() > 1 { format!("; and {} more (5)", debts.len() - 1) } else { String::new() };
        let (word, meaning) = match debt.is_overdue(model.now) {
            true => ("OVERDUE", Meaning::Danger),
            false => ("owed", Meaning::Debt),
        };
        let text = format!(" {word}: {}: {} ({id}){rest}", debt.workload, debt.what());
        let keys = match debt.owed {
            Owed::Hold => "r goes on, u takes back ",
            Owed::Loan(_) => "D gives it back ",
        };
        lines.push(ends(Line::new(meaning, text), Line::new(Meaning::Text, keys), width));
    }
    lines
}

/// The operation whose end is news: the last one that ended while this process was there, not put away yet.
pub(crate) fn news(model: &Model) -> Option<&Tracked> {
    let ended = model.operations.iter().filter_map(|tracked| {
        let (_, _, at) = tracked.operation.ended.as_ref()?;
        let is_news = *at >= model.ui.since && !model.ui.dismissed.contains(&tracked.operation.id);
        is_news.then_some((*at, tracked))
    });
    ended.max_by_key(|(at, tracked)| (*at, tracked.operation.id.clone())).map(|(_, tracked)| tracked)
}

/// How far a step is by what the fleet shows, in words; empty where there is nothing to say.
pub(crate) fn step_progress(model: &Model, tracked: &Tracked, step: &Step) -> String {
    let progress = tracked.operation.progress(step.id);
    if !matches!(progress.state, StepState::Accepted | StepState::Held) {
        return String::new();
    }
    match progress_of(step, progress, &model.fleet) {
        Progress::Done(text) | Progress::Failed(text) | Progress::NotSeen(text) => text.to_string(),
        // A step that moves no instance: a setting that is borrowed, one that is promoted.
        Progress::OnItsWay { total: 0, .. } => String::new(),
        Progress::OnItsWay { done, total } => format!("{done} of {total} are there and healthy"),
    }
}

/// Instances that are there and healthy, and how many there shall be.
fn instances(model: &Model, tracked: &Tracked) -> (u32, u32) {
    let operation = &tracked.operation;
    operation.plan.steps().fold((0, 0), |(done, all), step| {
        let progress = operation.progress(step.id);
        let there = match progress.state {
            StepState::Verified => step.instances,
            StepState::Accepted | StepState::Held => match progress_of(step, progress, &model.fleet) {
                Progress::Done(_) => step.instances,
                Progress::OnItsWay { done, .. } => done.min(step.instances),
                Progress::Failed(_) | Progress::NotSeen(_) => 0,
            },
            _ => 0,
        };
        (done + there, all + step.instances)
    })
}

fn name(model: &Model, tracked: &Tracked, width: usize) -> Line {
    let operation = &tracked.operation;
    let (meaning, glyph, word) = state(tracked);
    let time = Clock::Running.show(operation.started_at, model.now);
    let (left, right) =
        (Line::new(meaning, format!(" {glyph} {} {word}  ", operation.id)), Line::plain(format!("{time} ")));
    let title = step_text::title(&operation.plan, width.saturating_sub(left.width() + right.width() + 1));
    ends(left.and(Meaning::Text, title), right, width)
}

fn progress(model: &Model, tracked: &Tracked, width: usize) -> Line {
    let operation = &tracked.operation;
    let counts = operation.counts();
    let (there, all) = instances(model, tracked);
    let cells = if width >= 120 { 30 } else { 10 };
    let mut left = Line::plain("   ");
    // By instances: a step that has just begun has done nothing yet.
    let steps = operation.plan.steps();
    let failed_ones = steps.filter(|step| operation.progress(step.id).state == StepState::Failed);
    let failed_ones = failed_ones.map(|step| step.instances).sum();
    let going = u32::from(counts.in_flight > 0 && there < all);
    let bar = match all {
        0 => bar(counts.done, counts.in_flight, counts.failed, counts.total, cells),
        all => bar(there, going, failed_ones, all, cells),
    };
    left.0.extend(bar.0);
    let failed = if counts.failed > 0 { Meaning::Danger } else { Meaning::Text };
    let left = left
        .and(Meaning::Text, format!(" {} done, {} going, ", counts.done, counts.in_flight))
        .and(failed, format!("{} failed", counts.failed))
        .and(Meaning::Text, format!(" of {}; {there}/{all} inst", counts.total));
    ends(left, keys(model, tracked), width)
}

fn keys(model: &Model, tracked: &Tracked) -> Line {
    let scopes = model.ui.base_scopes();
    let key = |id: &str| model.settings.look.keymap.key_of(id, &scopes).unwrap_or_default();
    let keys: Vec<(String, &str)> = match (&tracked.operation.mode, tracked.alive) {
        (_, Alive::Nobody) => vec![(key("operation.take"), "take over"), (key("operation.stop"), "stop")],
        (Mode::PlanMoved { .. }, _) => vec![(key("operation.pause"), "new code"), (key("operation.stop"), "stop")],
        (Mode::Paused { .. }, _) => vec![(key("operation.pause"), "resume"), (key("operation.stop"), "stop")],
        (Mode::Stopping { .. }, _) => Vec::new(),
        (Mode::Running, _) => vec![(key("operation.pause"), "pause"), (key("operation.stop"), "stop")],
    };
    let add =
        |line: Line, (key, what): (String, &str)| line.and(Meaning::Key, key).and(Meaning::Text, format!(" {what}  "));
    keys.into_iter().fold(Line::default(), add)
}

/// Why it does not go on now, if so.
fn waits(tracked: &Tracked) -> Option<Line> {
    let operation = &tracked.operation;
    let (meaning, text) = match (&tracked.halted, &tracked.gates.waiting_for, &operation.mode) {
        (Some(why), ..) => (Meaning::Danger, format!("nothing more is sent: {why}")),
        (None, _, Mode::PlanMoved { .. } | Mode::Paused { .. } | Mode::Stopping { .. }) => {
            (Meaning::Warning, operation.reason().to_string())
        }
        (None, Some(waits), Mode::Running) => (Meaning::Text, format!("waits for: {waits}")),
        (None, None, Mode::Running) => return None,
    };
    let owes = operation.debts.len();
    let line = Line::new(meaning, format!("   {text}"));
    Some(if owes > 0 { line.and(Meaning::Debt, format!("; owes {owes}")) } else { line })
}

/// Both ends of a line of this width; the left one gives way.
fn ends(left: Line, right: Line, width: usize) -> Line {
    let space = width.saturating_sub(right.width() + 1);
    let mut line = left.cut(space);
    let gap = width.saturating_sub(line.width() + right.width());
    line = line.and(Meaning::Text, " ".repeat(gap));
    line.0.extend(right.0);
    line
}

/// Done, not done, owed, and the way back.
fn end(tracked: &Tracked) -> Line {
    let operation = &tracked.operation;
    let (meaning, glyph, word) = state(tracked);
    let counts = operation.counts();
    let not_done = counts.total - counts.done;
    let owed = match operation.debts.len() {
        0 => "nothing owed".to_string(),
        count => format!("{count} owed"),
    };
    let outcome = operation.ended.as_ref().map(|(outcome, ..)| *outcome);
    let reverse = match (outcome, operation.plan.verb, counts.done) {
        (Some(Outcome::Unresolved), ..) => "5 says what to look at",
        (_, _, 0) if operation.debts.is_empty() => "nothing to reverse",
        _ if operation.debts.iter().any(|debt| debt.owed == Owed::Hold) => "r on its row goes on, u takes it back",
        _ if !operation.debts.is_empty() => "D gives back, u takes it back",
        (_, Verb::GiveBack, _) => "what was borrowed is as it was",
        (_, Verb::Promote, _) => "b goes back",
        (_, Verb::Rollback | Verb::Replace, _) => "u takes it back",
    };
    let reason = operation.reason();
    let why = if outcome == Some(Outcome::Done) { String::new() } else { format!(" ({reason})") };
    Line::new(meaning, format!(" {glyph} {} {word}{why}: ", operation.id))
        .and(
            Meaning::Text,
            format!("{} of {} done, {not_done} not, {owed}; {reverse}; ", counts.done, counted(counts.total, "step")),
        )
        .and(Meaning::Key, "Esc")
        .and(Meaning::Text, " puts this away")
}
