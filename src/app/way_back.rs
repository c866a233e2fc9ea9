//! Stop and go back: once an operation has stopped, the plan that takes it back begins by itself, as its operator has asked.
//!
//! Never begins before the fleet shows what the stop has left: a plan is bound to what it saw.

use super::effect::Effect;
use super::model::Model;
use crate::domain::operation::{Operation, Owed};
use crate::domain::plan::PlanRequest;
use crate::domain::text::Text;

/// After each event: begins the way back that is owed, if it can begin.
pub(crate) fn begin(model: &mut Model) -> Vec<Effect> {
    let Some(tracked) = model.operations.owes_way_back() else { return Vec::new() };
    let id = tracked.operation.id.clone();
    let Some(request) = PlanRequest::reverse(&tracked.operation, model.settings.policy.valid) else {
        return give_up(model, &tracked.operation.id.clone(), "nothing was changed that could be taken back");
    };
    if !is_seen(model, &tracked.operation) {
        return Vec::new();
    }
    let plan = model.plan(&request);
    if let Some(refusal) = plan.refusals.first() {
        let why = format!("{}; {}", refusal.reason, refusal.hint);
        return give_up(model, &id, &why);
    }
    let (driver, incident) = (model.settings.driver.clone(), model.settings.incident.clone());
    let (way_back, effects) = model.operations.start(plan, driver, incident, model.now);
    model.ui.say(&format!("{id} has stopped; {way_back} goes back"));
    effects
}

fn give_up(model: &mut Model, id: &crate::domain::id::OperationId, why: &str) -> Vec<Effect> {
    model.operations.give_up_way_back(id.clone(), Text::new(why));
    model.ui.say_why(&format!("{id} has stopped, and does not go back: {why}"));
    Vec::new()
}

/// Whether the fleet shows the workloads as the stop has left them.
fn is_seen(model: &Model, operation: &Operation) -> bool {
    let Some((_, _, ended)) = &operation.ended else { return false };
    let is_heard = |place| {
        let place = model.fleet.place(place);
        place.is_some_and(|place| place.state.is_live() && place.heard_at.is_some_and(|heard| heard > *ended))
    };
    let is_held = operation.debts.iter().filter(|debt| debt.owed == Owed::Hold).all(|debt| {
        model.fleet.workload(&debt.workload).is_none_or(|workload| workload.seen.generation >= debt.generation)
    });
    // What is in flight there is known once its controller has seen the stop.
    let is_taken_up = operation.plan.steps().filter_map(|step| model.fleet.workload(&step.workload)).all(|workload| {
        workload.seen.canary.is_none() || workload.seen.observed_generation >= workload.seen.generation
    });
    is_taken_up && is_held && operation.plan.waves.iter().all(|wave| is_heard(&wave.place))
}
