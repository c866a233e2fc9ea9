//! From rows to a plan: which workloads a key means, which it leaves out, and why. Only draws.
//!
//! Never starts anything.

use crate::app::command::{Command, Risk, Scope, not_now};
use crate::app::effect::Effect;
use crate::app::model::Model;
use crate::app::overlays::{plan, versions};
use crate::app::rows::RowId;
use crate::app::screens::shown::Shown;
use crate::app::screens::{Screen, drift};
use crate::app::ui::Known;
use crate::domain::fleet::Workload;
use crate::domain::id::WorkloadId;
use crate::domain::plan::{Change, Goto, Pick, PlanRequest, Reach, Scope as PlanScope};
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

/// Whether two workloads ask for the same release in their main containers: the same image, or the same tag of one
/// repository (digests of one release differ by registry).
pub(crate) fn asks_same(a: &Workload, b: &Workload) -> bool {
    let same_image = a.judgement.requested.is_some() && a.judgement.requested == b.judgement.requested;
    let same_name = a
        .requested()
        .zip(b.requested())
        .is_some_and(|(a, b)| a.asks_same(b) || (a.is_same_repository(b) && a.tag().is_some() && a.tag() == b.tag()));
    same_image || same_name
}

/// What a key means on the chosen rows.
///
/// On a service row the operator sees one line for many places, and means the bad part of it. Back: the workloads that
/// ask for the same release as the row's worst one, off or not: with v42 bad in three places of five, the two that ask for
/// v41 must stay where they are. Replace: the workloads where something is off. On rows of Fleet and Instances it is
/// exactly their workloads. Workloads that can't be operated are left out of a service row as long as something remains.
pub(crate) fn choose(model: &Model, goto: &Goto) -> Chosen {
    let (known, rows) = (model.known(), model.ui.rows());
    let mut chosen = Chosen::default();
    for id in rows.chosen() {
        match &id {
            RowId::Service(key) => {
                let workloads = drift::workloads_of(&known, rows.listing(), key);
                choose_in_row(&known, goto, &workloads, &mut chosen);
            }
            RowId::Workload(id) => chosen.workloads.push(id.clone()),
            RowId::Instance(slot, uid) => {
                let found = model.fleet.instance_at(*slot).filter(|(instance, _)| instance.seen.uid == *uid);
                chosen.workloads.extend(found.map(|(_, workload)| workload.id.clone()));
            }
            RowId::Operation(_) | RowId::Place(_) => {}
        }
    }
    chosen.workloads.sort();
    chosen.workloads.dedup();
    chosen.left_out.retain(|(id, _)| !chosen.workloads.contains(id));
    chosen
}

fn choose_in_row(known: &Known<'_>, goto: &Goto, workloads: &[&Workload], chosen: &mut Chosen) {
    let operable: Vec<&&Workload> = workloads.iter().filter(|workload| workload.seen.inoperable.is_none()).collect();
    let Some(worst) = operable.iter().copied().min_by(|a, b| drift::worst_first(a, b, known)) else {
        // Nothing of it can be operated: the plan says why, for each.
        chosen.workloads.extend(workloads.iter().map(|workload| workload.id.clone()));
        return;
    };
    for workload in workloads {
        let why = match (&workload.seen.inoperable, goto) {
            (Some(why), _) => Some(why.to_string()),
            (None, _) if workload.id.kind != worst.id.kind => {
                Some(format!("a {}; plan it from Fleet (2)", workload.id.kind))
            }
            (None, Goto::Expected) if workload.judgement.tally.off() == 0 => Some("nothing is off there".to_string()),
            (None, Goto::Expected) => None,
            (None, _) if !asks_same(workload, worst) => {
                let (own, bad) = (Shown::requested(workload).spoken(), Shown::requested(worst).spoken());
                Some(format!("asks for {own}, not {bad}"))
            }
            (None, _) => None,
        };
        match why {
            Some(why) => chosen.left_out.push((workload.id.clone(), Text::new(&why))),
            None => chosen.workloads.push(workload.id.clone()),
        }
    }
    if chosen.workloads.is_empty() {
        chosen.workloads.push(worst.id.clone());
        chosen.left_out.retain(|(id, _)| *id != worst.id);
    }
}

/// A request for exactly these workloads.
pub(crate) fn request(model: &Model, goto: Goto, workloads: Vec<WorkloadId>, change: Change) -> PlanRequest {
    PlanRequest {
        goto,
        scope: PlanScope::Exactly(workloads),
        pick: Pick::Off,
        container: None,
        change,
        reach: Reach::Wide,
        valid: model.settings.policy.valid,
    }
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
        Screen::Operations | Screen::Places => not_now("plans are made on Drift (1), Fleet (2) and Instances (4)"),
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
