//! The one function through which everything that happens becomes state and requests.
//!
//! Never blocks, never fails: what can go wrong has become an event before it comes here.

use std::time::Duration;

use jiff::Timestamp;

use super::aftermath;
use super::auditing;
use super::effect::Effect;
use super::event::{Event, ProcessEvent, ProviderEvent, StoreEvent};
use super::input;
use super::model::Model;
use super::overlays::{ask, difference, plan};
use super::screens::Screen;
use super::screens::instances::Waits;
use super::signing;
use super::way_back;
use crate::domain::journal::Entry;
use crate::domain::observation::{Batch, Observation};

/// A clock that moved further than this between two ticks has slept, or was set.
const CLOCK_JUMP: Duration = Duration::from_secs(30);

/// Takes one event in.
pub fn update(model: &mut Model, event: Event) -> Vec<Effect> {
    let mut effects = match event {
        Event::Ticked(now) => {
            tick(model, now);
            let healthy = model.health.due(&model.fleet, model.now);
            let mut effects = resolve(model);
            if !healthy.is_empty() {
                model.operations.teach(&mut model.fleet, model.health.known());
                effects.push(Effect::Remember(healthy));
            }
            effects.extend(look_back(model));
            effects.extend(signing::look(model));
            effects.extend(auditing::look(model));
            effects
        }
        Event::Terminal(event) => {
            let mut effects = input::terminal(model, event);
            effects.extend(signing::look(model));
            effects.extend(auditing::look(model));
            effects
        }
        Event::Observed(batch) => {
            let is_quiet = is_quiet(model, &batch);
            model.fleet.apply(batch);
            model.ui.redraw.rows |= !is_quiet;
            Vec::new()
        }
        Event::Store(event) => {
            let failed = match &event {
                StoreEvent::AppendFailed { operation, .. } => Some(operation.clone()),
                StoreEvent::Unreadable(why) => {
                    model.settings.notices.push(why.clone());
                    None
                }
                StoreEvent::Protected(protections) => {
                    model.protections = protections.clone();
                    model.protect();
                    model.ui.redraw.rows = true;
                    None
                }
                StoreEvent::Released(added) => {
                    model.release(added.clone());
                    None
                }
                StoreEvent::NotProtected(why) => {
                    model.ui.say_why(&format!("not written down, nothing is protected by it: {why}"));
                    None
                }
                StoreEvent::Appended(_)
                | StoreEvent::Replayed(_)
                | StoreEvent::Driven { .. }
                | StoreEvent::Requested { .. } => None,
            };
            let ended = match &event {
                StoreEvent::Appended(record) if matches!(record.entry, Entry::Ended { .. }) => {
                    Some(record.operation.clone())
                }
                _ => None,
            };
            let mut effects = model.operations.store(event, &model.settings.driver);
            effects.extend(ended.iter().flat_map(|operation| aftermath::of(model, operation)));
            model.operations.teach(&mut model.fleet, model.health.known());
            if let Some((operation, why)) =
                failed.and_then(|operation| model.operations.not_started.get_key_value(&operation))
            {
                let message = format!("{operation} was not started, nothing was done: {why}");
                model.ui.say_why(&message);
            }
            model.ui.touch();
            effects
        }
        Event::Provider(ProviderEvent::Executed { operation, call, answer }) => {
            model.operations.executed(&operation, call, answer);
            model.ui.touch();
            Vec::new()
        }
        Event::Provider(ProviderEvent::Inspected { plan, step, inspection }) => {
            plan::inspected(model, &plan, step, inspection);
            model.ui.redraw.due = true;
            Vec::new()
        }
        Event::Provider(ProviderEvent::NotConnected { place, reason }) => {
            model.ui.say_why(&format!("{place} could not be connected: {reason}"));
            model.ui.touch();
            Vec::new()
        }
        Event::Probed { operation, wave, number, answer } => {
            model.operations.probed(&operation, (wave, number), answer);
            model.ui.touch();
            Vec::new()
        }
        Event::Exported(written) => {
            match written {
                Ok(files) => model.ui.say(&format!("written: {files}")),
                Err(why) => model.ui.say_why(&why),
            }
            model.ui.touch();
            Vec::new()
        }
        Event::Dissected(dissected) => {
            let (pair, known) = *dissected;
            difference::dissected(model, &pair, known);
            model.ui.touch();
            Vec::new()
        }
        Event::Resolved(answers) => {
            model.resolving.answered(&answers, model.now);
            model.fleet.learn(answers);
            model.ui.redraw.rows = true;
            resolve(model)
        }
        Event::Signed(heard) => {
            signing::heard(model, heard);
            Vec::new()
        }
        Event::Audited(heard) => {
            for (row, said) in heard {
                model.auditing.heard(row, said, model.now);
            }
            model.ui.touch();
            Vec::new()
        }
        Event::Filtered(answer) => {
            if model.ui.screens.instances.answered(answer) {
                model.ui.touch();
            }
            Vec::new()
        }
        Event::Process(event) => process(model, event),
    };
    effects.extend(plan::look_again(model));
    effects.extend(way_back::begin(model));
    ask::look_again(model);
    effects.extend({
        let settings = &model.settings;
        model.operations.advance(&model.fleet, &settings.policy, model.now, &settings.access)
    });
    effects
}

/// What is to be asked of registries now.
fn resolve(model: &mut Model) -> Vec<Effect> {
    let due = model.resolving.due(&model.fleet, model.now);
    if due.is_empty() { Vec::new() } else { vec![Effect::Resolve(due)] }
}

/// Notes what has happened since the last tick.
fn look_back(model: &mut Model) -> Option<Effect> {
    let before = model.timeline.revision();
    model.timeline.look(&mut model.fleet, model.now);
    model.ui.redraw.rows |= model.ui.screen == Screen::Timeline && model.timeline.revision() != before;
    model.timeline.due(model.now).map(|notes| Effect::Note(Box::new(notes)))
}

/// Whether a batch only says that its place is still there, as the screen already shows.
fn is_quiet(model: &Model, batch: &Batch) -> bool {
    let is_heartbeat = |observation: &Observation| matches!(observation, Observation::Heartbeat);
    let was_young = model.fleet.place(&batch.place).and_then(|place| place.heard_at);
    let is_live = |heard| model.now.duration_since(heard).as_secs() < 15;
    batch.observations.iter().all(is_heartbeat)
        && was_young.is_some_and(is_live)
        && model.operations.on_banner().is_none()
}

fn tick(model: &mut Model, now: Timestamp) {
    let jumped = now.duration_since(model.now).unsigned_abs() > CLOCK_JUMP;
    let minute = |at: Timestamp| at.as_second().div_euclid(60);
    let is_new_minute = minute(now) != minute(model.now);
    model.now = now;
    // What runs out is let go.
    if !model.protections.is_empty() {
        model.protect();
    }
    if model.ui.redraw.clock.is_some_and(|at| now >= at) {
        model.ui.redraw.due = true;
    }
    // What changed lately, and what an age in a filter means, moves with the time itself.
    model.ui.redraw.rows |= is_new_minute && model.ui.screen != Screen::Places;
    model.ui.redraw.rows |= model.ui.screens.instances.waits == Waits::ForTick;
    if jumped {
        model.ui.touch();
        model.fleet.mark_all_stale("the clock jumped; waiting until it answers again");
        model.operations.restart_bakes();
    }
}

fn process(model: &mut Model, event: ProcessEvent) -> Vec<Effect> {
    match event {
        ProcessEvent::TerminateAsked => {
            model.operations.halt("the process was asked to end; what is in flight is left to the platform");
            vec![Effect::Quit]
        }
        ProcessEvent::TerminalLost if model.operations.is_driving() => vec![Effect::Detach],
        ProcessEvent::TerminalLost => vec![Effect::Quit],
        ProcessEvent::SuspendAsked if model.operations.is_driving() => {
            // Whoever drives an operation must not stand still without anybody knowing.
            model.ui.say_why("not suspended: an operation of this process is running; q then d detaches");
            model.ui.redraw.due = true;
            Vec::new()
        }
        ProcessEvent::SuspendAsked => vec![Effect::Suspend],
        ProcessEvent::Resumed => {
            model.ui.redraw.due = true;
            Vec::new()
        }
    }
}
