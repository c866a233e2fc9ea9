//! The one function through which everything that happens becomes state and requests.
//!
//! Never blocks, never fails: what can go wrong has become an event before it comes here.

use std::time::Duration;

use jiff::Timestamp;

use super::effect::Effect;
use super::event::{Event, ProcessEvent, ProviderEvent};
use super::model::Model;

/// A clock that moved further than this between two ticks has slept, or was set.
const CLOCK_JUMP: Duration = Duration::from_secs(30);

/// Takes one event in.
pub fn update(model: &mut Model, event: Event) -> Vec<Effect> {
    let mut effects = match event {
        Event::Ticked(now) => {
            tick(model, now);
            let healthy = model.health.due(&model.fleet, model.now);
            if healthy.is_empty() { Vec::new() } else { vec![Effect::Remember(healthy)] }
        }
        Event::Terminal(_event) => Vec::new(),
        Event::Observed(batch) => {
            model.fleet.apply(batch);
            Vec::new()
        }
        Event::Store(event) => {
            let effects = model.operations.store(event, &model.settings.driver);
            model.operations.teach(&mut model.fleet, model.health.known());
            effects
        }
        Event::Provider(ProviderEvent::Executed { operation, call, answer }) => {
            model.operations.executed(&operation, call, answer);
            Vec::new()
        }
        Event::Provider(ProviderEvent::Inspected { .. }) => Vec::new(),
        Event::Provider(ProviderEvent::NotConnected { .. }) => Vec::new(),
        Event::Filtered(_answer) => Vec::new(),
        Event::Process(event) => process(model, event),
    };
    effects.extend(model.operations.advance(&model.fleet, &model.settings.policy, model.now));
    effects
}

fn tick(model: &mut Model, now: Timestamp) {
    let jumped = now.duration_since(model.now).unsigned_abs() > CLOCK_JUMP;
    model.now = now;
    if jumped {
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
        // Whoever drives an operation must not stand still without anybody knowing.
        ProcessEvent::SuspendAsked if model.operations.is_driving() => Vec::new(),
        ProcessEvent::SuspendAsked => vec![Effect::Suspend],
        ProcessEvent::Resumed => Vec::new(),
    }
}
