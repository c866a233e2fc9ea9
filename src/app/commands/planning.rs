//! From rows to a plan: which workloads a key means, which it leaves out, and why. Only draws.
//!
//! Never starts anything.

use crate::app::command::{Command, Risk, Scope, not_now};
use crate::app::effect::Effect;
use crate::app::model::Model;
use crate::app::operations::Tracked;
use crate::app::overlays::{plan, versions};
use crate::app::rows::RowId;
use crate::app::screens::{Screen, drift};
use crate::domain::id::{OperationId, WorkloadId};
use crate::domain::operation::{self, Debt};
use crate::domain::plan::{Change, Goto, PlanRequest, Reach, Scope as PlanScope, Stride, meant};
use crate::domain::text::Text;

/// The commands.
pub(crate) const COMMANDS: &[Command] = &[
    command(
        "plan.replace",
        "replace",
        "Plans to bring what is off in the row, or in the marked rows, to what should run.",
        |model| draw(model, Goto::Expected),
    ),
    command(
        "plan.rollback",
        "back to last good",
        "Plans the way back to the last good version, where the bad one is asked for.",
        |model| draw(model, Goto::LastGood),
    ),
    command(
        "plan.pick",
        "pick a version",
        "Lists the versions that the row had, with the evidence for each, to go to one of them.",
        versions::open,
    ),
    command(
        "plan.promote",
        "promote",
        "Plans to let go on what waits at a step of its own, or to begin again what was aborted.",
        |model| draw(model, Goto::Promote(Stride::Next)),
    ),
    Command {
        id: "plan.reverse",
        title: "reverse",
        doc: "Plans the way back from the operation under the cursor, or from the last one.",
        risk: Risk::Plan,
        scope: Scope::Lists,
        available: can_reverse,
        run: reverse,
    },
    Command {
        id: "plan.give_back",
        title: "give back",
        doc: "Plans to give back what is owed: by the operation under the cursor, for the row, or all of it.",
        risk: Risk::Plan,
        scope: Scope::Lists,
        available: can_give_back,
        run: give_back,
    },
];

const fn command(
    id: &'static str,
    title: &'static str,
    doc: &'static str,
    run: fn(&mut Model) -> Vec<Effect>,
) -> Command {
    Command { id, title, doc, risk: Risk::Plan, scope: Scope::Lists, available: can_plan, run }
}

/// The workloads that a plan is about, and those that it leaves out on purpose.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Chosen {
    /// In the plan.
    pub(crate) workloads: Vec<WorkloadId>,
    /// Part of the row, but not of the plan; the plan lists them.
    pub(crate) left_out: Vec<(WorkloadId, Text)>,
}

/// What a key means on the chosen rows.
///
/// On a service row it is what `domain::plan::meant` says; on rows of Fleet and Instances exactly their workloads.
pub(crate) fn choose(model: &Model, goto: &Goto) -> Chosen {
    let (known, rows) = (model.known(), model.ui.rows());
    let mut chosen = Chosen::default();
    for id in rows.chosen() {
        match &id {
            RowId::Service(key) => {
                let workloads = drift::workloads_of(&known, rows.listing(), key);
                let policy = &known.settings.policy;
                // The row shows all kinds of the service, and the plan lists each.
                let meant = meant(goto, Reach::Wide, known.fleet, policy, known.now, &workloads);
                chosen.workloads.extend(meant.workloads.iter().map(|workload| workload.id.clone()));
                chosen.left_out.extend(meant.left_out);
            }
            RowId::Workload(id) => chosen.workloads.push(id.clone()),
            RowId::Instance(slot, uid) => {
                let found = model.fleet.instance_at(*slot).filter(|(instance, _)| instance.seen.uid == *uid);
                chosen.workloads.extend(found.map(|(_, workload)| workload.id.clone()));
            }
            RowId::Operation(_) | RowId::Happening(_) | RowId::Image(_) | RowId::Place(_) => {}
        }
    }
    chosen.workloads.sort();
    chosen.workloads.dedup();
    chosen.left_out.retain(|(id, _)| !chosen.workloads.contains(id));
    chosen
}

/// A request for exactly these workloads.
pub(crate) fn request(model: &Model, goto: Goto, workloads: Vec<WorkloadId>, change: Change) -> PlanRequest {
    let scope = PlanScope::Exactly(workloads);
    PlanRequest { change, ..PlanRequest::of(goto, scope, model.settings.policy.valid) }
}

/// Whether there is something to plan for.
pub(crate) fn can_plan(model: &Model) -> Result<(), Text> {
    match model.ui.screen {
        Screen::Drift | Screen::Fleet | Screen::Instances if model.ui.rows().len() == 0 => {
            not_now("there is no row to plan for")
        }
        Screen::Drift | Screen::Fleet | Screen::Instances if !model.ui.rows().is_settled() => {
            not_now("the rows of this filter are still looked for")
        }
        Screen::Drift | Screen::Fleet | Screen::Instances => Ok(()),
        Screen::Compare | Screen::Operations | Screen::Timeline | Screen::Places => {
            not_now("plans are made on Drift (1), Fleet (2) and Instances (4)")
        }
    }
}

/// The operation that is meant: the one under the cursor, else the last one that has ended.
fn to_reverse(model: &Model) -> Result<PlanRequest, Text> {
    let under_cursor = match (model.ui.screen, &model.ui.rows().listing().cursor) {
        (Screen::Operations, Some(RowId::Operation(id))) => model.operations.get(id),
        _ => None,
    };
    let ended = |tracked: &&Tracked| tracked.operation.ended.is_some();
    let last = || model.operations.newest_first().into_iter().find(ended);
    let Some(tracked) = under_cursor.or_else(last) else { return Err(Text::new("no operation has ended here")) };
    let operation = &tracked.operation;
    if operation.ended.is_none() {
        return Err(Text::new(&format!("{} runs: x z stops it and goes back", operation.id)));
    }
    PlanRequest::reverse(operation, model.settings.policy.valid)
        .ok_or_else(|| Text::new(&format!("{} changed nothing that could be taken back", operation.id)))
}

fn can_reverse(model: &Model) -> Result<(), Text> {
    to_reverse(model).map(|_| ())
}

fn reverse(model: &mut Model) -> Vec<Effect> {
    match to_reverse(model) {
        Ok(request) => plan::open(model, request, Vec::new()),
        Err(_) => Vec::new(),
    }
}

/// The plan that gives back what is owed where the cursor is; elsewhere all that is owed. A rollout that is held though nothing is
/// left for it to do is let go.
fn to_give_back(model: &Model) -> Result<PlanRequest, Text> {
    let cursor = model.ui.rows().listing().cursor.clone();
    let here: Vec<(&OperationId, &Debt)> = match (model.ui.screen, &cursor) {
        (Screen::Operations, Some(RowId::Operation(id))) => {
            model.operations.debts().filter(|(owes, _)| *owes == id).collect()
        }
        (Screen::Compare | Screen::Operations | Screen::Timeline | Screen::Places, _) | (_, None) => {
            model.operations.debts().collect()
        }
        (Screen::Drift | Screen::Fleet | Screen::Instances, Some(_)) => {
            let meant = choose(model, &Goto::GiveBack(Vec::new())).workloads;
            model.operations.debts().filter(|(_, debt)| meant.contains(&debt.workload)).collect()
        }
    };
    let debts: Vec<&Debt> = here.iter().map(|(_, debt)| *debt).collect();
    match (operation::give_back(&debts, &model.fleet), here.first()) {
        (Some((goto, workloads)), _) => Ok(request(model, goto, workloads, Change::WholeTemplate)),
        (None, Some((id, _))) => {
            Err(Text::new(&format!("{id} holds a rollout: r on its row goes on with it, b or u goes back")))
        }
        (None, None) => Err(Text::new("nothing is owed here")),
    }
}

fn can_give_back(model: &Model) -> Result<(), Text> {
    to_give_back(model).map(|_| ())
}

fn give_back(model: &mut Model) -> Vec<Effect> {
    match to_give_back(model) {
        Ok(request) => plan::open(model, request, Vec::new()),
        Err(_) => Vec::new(),
    }
}

fn draw(model: &mut Model, goto: Goto) -> Vec<Effect> {
    let chosen = choose(model, &goto);
    if chosen.workloads.is_empty() {
        model.ui.say_why("the row is gone");
        return Vec::new();
    }
    let request = request(model, goto, chosen.workloads, Change::WholeTemplate);
    plan::open(model, request, chosen.left_out)
}
