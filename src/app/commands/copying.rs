//! Copies for the terminal's clipboard (OSC 52): digest, id, row, Markdown, commands.
//!
//! Never copies what a screen would not show.

use crate::app::command::{Command, Risk, Scope, always, not_now};
use crate::app::commands::going::has_row;
use crate::app::effect::Effect;
use crate::app::model::Model;
use crate::app::rows::RowId;
use crate::app::screens::{self, Screen, drift};
use crate::domain::fleet::Workload;
use crate::domain::id::{OperationId, PlaceId, WorkloadId};
use crate::domain::image::ImageId;
use crate::domain::text::{Text, counted};

/// What belongs to an incident.
const LAST_DAY: std::time::Duration = std::time::Duration::from_secs(24 * 3600);

/// The commands.
pub(crate) const COMMANDS: &[Command] = &[
    Command {
        id: "incident.export",
        title: "export",
        doc: "Writes the last day down: what is off, what changed, operations and plans, as Markdown and JSON in this folder.",
        risk: Risk::Look,
        scope: Scope::Global,
        available: always,
        run: |model| vec![Effect::Export { since: model.now - LAST_DAY }],
    },
    copy("copy.digest", "copy digest", "Copies the whole id of the image that the row runs.", has_digest, digest),
    copy("copy.id", "copy id", "Copies the id of what the row is about.", has_row, ids),
    copy(
        "copy.row",
        "copy row",
        "Copies the marked rows, or the one under the cursor, with tabs between cells.",
        has_row,
        rows,
    ),
    copy(
        "copy.markdown",
        "copy Markdown",
        "Copies the marked rows, or the one under the cursor, as a Markdown table.",
        has_row,
        markdown,
    ),
    copy(
        "copy.command",
        "copy commands",
        "Copies the commands that look at the row without Rolldeck, or do the same as an operation's steps.",
        has_commands,
        commands,
    ),
];

const fn copy(
    id: &'static str,
    title: &'static str,
    doc: &'static str,
    available: fn(&Model) -> Result<(), Text>,
    run: fn(&mut Model) -> Vec<Effect>,
) -> Command {
    Command { id, title, doc, risk: Risk::Look, scope: Scope::Lists, available, run }
}

fn hand(text: String, what: &str) -> Vec<Effect> {
    vec![Effect::Copy { text, what: Text::new(what) }]
}

/// The image that a row runs: an instance's own, else that of the workload's worst cohort.
fn image_of(model: &Model, id: &RowId) -> Option<ImageId> {
    let of_workload = |workload: &Workload| {
        let cohorts = workload.judgement.running.iter().filter(|cohort| cohort.image.is_some());
        let worst = cohorts.max_by_key(|cohort| (cohort.verdict, cohort.instances));
        worst.and_then(|cohort| cohort.image.clone()).or_else(|| workload.judgement.requested.clone())
    };
    match id {
        RowId::Service(key) => of_workload(model.fleet.workload(&model.ui.screens.drift.row(key)?.worst)?),
        RowId::Workload(id) => of_workload(model.fleet.workload(id)?),
        RowId::Instance(slot, uid) => {
            let (instance, workload) =
                model.fleet.instance_at(*slot).filter(|(instance, _)| instance.seen.uid == *uid)?;
            let main = instance.seen.containers.iter().find(|container| container.name == workload.judgement.main);
            main.and_then(|container| container.running.clone())
        }
        RowId::Happening(id) => model.ui.screens.timeline.row(id)?.image.clone(),
        RowId::Image(name) => model.ui.screens.compare.image(name).cloned(),
        RowId::Operation(_) | RowId::Place(_) => None,
    }
}

fn digests(model: &Model) -> Vec<String> {
    let images = model.ui.rows().chosen();
    let mut images: Vec<String> =
        images.iter().filter_map(|id| image_of(model, id)).map(|image| image.to_string()).collect();
    images.sort();
    images.dedup();
    images
}

fn has_digest(model: &Model) -> Result<(), Text> {
    if digests(model).is_empty() { not_now("no image of this row is known exactly") } else { Ok(()) }
}

fn digest(model: &mut Model) -> Vec<Effect> {
    hand(digests(model).join("\n"), "the digest")
}

fn ids(model: &mut Model) -> Vec<Effect> {
    let ids = model.ui.rows().chosen();
    let texts: Vec<String> = ids.iter().map(|id| name(model, id)).collect();
    hand(texts.join("\n"), "the id")
}

fn name(model: &Model, id: &RowId) -> String {
    match id {
        RowId::Service(key) => key.service.to_string(),
        RowId::Workload(id) => id.to_string(),
        RowId::Instance(slot, uid) => match model.fleet.instance_at(*slot) {
            Some((instance, workload)) if instance.seen.uid == *uid => {
                let namespace =
                    instance.seen.namespace.as_ref().map(|namespace| format!("{namespace}/")).unwrap_or_default();
                format!("{} {namespace}{} {uid}", workload.id.place, instance.seen.name)
            }
            _ => uid.to_string(),
        },
        RowId::Operation(id) => id.to_string(),
        RowId::Happening(id) => id.workload().to_string(),
        RowId::Image(name) => name.to_string(),
        RowId::Place(id) => id.to_string(),
    }
}

fn rows(model: &mut Model) -> Vec<Effect> {
    let chosen = model.ui.rows().chosen();
    let lines: Vec<String> =
        chosen.iter().filter_map(|id| screens::copied(model, id)).map(|(_, cells)| cells.join("\t")).collect();
    hand(lines.join("\n"), if lines.len() == 1 { "the row" } else { "the rows" })
}

fn markdown(model: &mut Model) -> Vec<Effect> {
    let chosen = model.ui.rows().chosen();
    let rows: Vec<(Vec<String>, Vec<String>)> = chosen.iter().filter_map(|id| screens::copied(model, id)).collect();
    let Some((titles, _)) = rows.first() else { return Vec::new() };
    let mut text = format!("| {} |\n|{}\n", titles.join(" | "), "---|".repeat(titles.len()));
    for (_, cells) in &rows {
        let cells: Vec<String> = cells.iter().map(|cell| cell.replace('|', "\\|")).collect();
        text.push_str(&format!("| {} |\n", cells.join(" | ")));
    }
    hand(text, "the rows as Markdown")
}

/// The commands that do the same as an operation's steps.
fn equivalents(model: &Model, id: &OperationId) -> Vec<String> {
    let steps = model.operations.get(id).into_iter().flat_map(|tracked| tracked.operation.plan.steps());
    steps.map(|step| step.equivalent.to_string()).filter(|text| !text.is_empty()).collect()
}

/// The commands that look at a row: of a service, those of each workload that the filter leaves.
fn looks(model: &Model, id: &RowId) -> Vec<String> {
    let of_place = |id: &PlaceId| model.fleet.place(id).and_then(|place| place.identity.look.as_ref());
    let of_workload = |id: &WorkloadId| of_place(&id.place).and_then(|look| look.for_workload(id));
    match id {
        RowId::Service(key) => {
            let workloads = drift::workloads_of(&model.known(), model.ui.rows().listing(), key);
            workloads.into_iter().filter_map(|workload| of_workload(&workload.id)).collect()
        }
        RowId::Workload(id) => of_workload(id).into_iter().collect(),
        RowId::Instance(slot, uid) => {
            let found = model.fleet.instance_at(*slot).filter(|(instance, _)| instance.seen.uid == *uid);
            let command = found.and_then(|(instance, workload)| {
                let seen = &instance.seen;
                Some(of_place(&workload.id.place)?.for_instance(
                    workload.id.kind,
                    seen.namespace.as_deref(),
                    &seen.name,
                ))
            });
            command.into_iter().collect()
        }
        RowId::Operation(id) => equivalents(model, id),
        RowId::Happening(id) => of_workload(id.workload()).into_iter().collect(),
        RowId::Image(_) | RowId::Place(_) => Vec::new(),
    }
}

fn all_commands(model: &Model) -> Vec<String> {
    model.ui.rows().chosen().iter().flat_map(|id| looks(model, id)).collect()
}

fn has_commands(model: &Model) -> Result<(), Text> {
    has_row(model)?;
    match model.ui.screen {
        Screen::Places => not_now("a place has no command; Enter shows what is in it"),
        _ if !all_commands(model).is_empty() => Ok(()),
        Screen::Operations => not_now("the providers named no equivalent commands"),
        Screen::Compare => not_now("an image has no command; y d copies its digest"),
        Screen::Drift | Screen::Fleet | Screen::Instances | Screen::Timeline => {
            not_now("no command is known for it: its place has not said (yet) how to look there")
        }
    }
}

fn commands(model: &mut Model) -> Vec<Effect> {
    let commands = all_commands(model);
    let what = match model.ui.screen {
        Screen::Operations => "the equivalent commands".to_string(),
        _ => counted(commands.len(), "command"),
    };
    hand(commands.join("\n"), &what)
}
