//! The version picker: the versions that the row's worst workload had, with the evidence for each, or why it is no
//! candidate.
//!
//! Never hides a version: one that was rolled back from is listed with that reason, and can still be picked.

use super::{Overlay, plan};
use crate::app::age::Clock;
use crate::app::cells;
use crate::app::command::{Command, Risk, Scope, not_now};
use crate::app::commands::planning::{Chosen, choose, request};
use crate::app::effect::Effect;
use crate::app::model::Model;
use crate::app::screens::drift;
use crate::app::screens::shown::{Shown, digest_length};
use crate::app::theme::Meaning;
use crate::app::widgets::paint::Line;
use crate::app::widgets::panel::Panel;
use crate::domain::fleet::{Fleet, Workload};
use crate::domain::history::Version;
use crate::domain::id::{Uid, WorkloadId, WorkloadKind};
use crate::domain::plan::{Change, Goto};
use crate::domain::text::{Text, counted};

/// Whose versions, and which one is under the cursor.
#[derive(Debug)]
pub(crate) struct VersionsOverlay {
    /// What the plan will be about.
    chosen: Chosen,
    /// Whose versions are listed.
    workload: WorkloadId,
    /// The cursor.
    pub(crate) at: usize,
}

/// The commands.
pub(crate) const COMMANDS: &[Command] = &[
    command("version.pick", "plan", "Plans the way to this version, with its whole template.", |model| {
        pick(model, Change::WholeTemplate)
    }),
    command(
        "version.pick_image",
        "plan, image only",
        "Plans the way to this version's image and nothing else of it.",
        |model| pick(model, Change::ImageOnly),
    ),
];

const fn command(
    id: &'static str,
    title: &'static str,
    doc: &'static str,
    run: fn(&mut Model) -> Vec<Effect>,
) -> Command {
    Command { id, title, doc, risk: Risk::Plan, scope: Scope::Versions, available: has_version, run }
}

/// Opens the picker for the chosen rows.
pub(crate) fn open(model: &mut Model) -> Vec<Effect> {
    // Any way back: the same workloads that `b` means.
    let chosen = choose(model, &Goto::LastGood);
    let known = model.known();
    let workloads = chosen.workloads.iter().filter_map(|id| model.fleet.workload(id));
    let worst = workloads.min_by(|a, b| drift::worst_first(a, b, &known)).map(|workload| workload.id.clone());
    match worst {
        Some(workload) => model.ui.overlays.push(Overlay::Versions(VersionsOverlay { chosen, workload, at: 0 })),
        None => model.ui.say_why("the row is gone"),
    }
    Vec::new()
}

impl VersionsOverlay {
    /// How many versions are listed.
    pub(crate) fn count(&self, model: &Model) -> usize {
        model.fleet.workload(&self.workload).map_or(0, |workload| workload.judgement.versions.len())
    }

    fn version<'a>(&self, model: &'a Model) -> Option<&'a Version> {
        model.fleet.workload(&self.workload)?.judgement.versions.get(self.at)
    }
}

fn has_version(model: &Model) -> Result<(), Text> {
    match model.ui.overlays.last() {
        Some(Overlay::Versions(overlay)) if overlay.version(model).is_some() => Ok(()),
        Some(Overlay::Versions(_)) => not_now("its platform keeps no version of it"),
        _ => not_now("no version is listed"),
    }
}

fn pick(model: &mut Model, change: Change) -> Vec<Effect> {
    let Some(Overlay::Versions(overlay)) = model.ui.overlays.last() else { return Vec::new() };
    let Some(version) = overlay.version(model) else { return Vec::new() };
    // Numbers are one workload's own; over several workloads the image names the version.
    let goto = match (&overlay.chosen.workloads[..], &version.reference) {
        ([only], _) if *only == overlay.workload => Goto::Revision(version.number),
        (_, Some(reference)) => Goto::Image(Text::new(reference.as_str())),
        (_, None) => Goto::Revision(version.number),
    };
    let chosen = overlay.chosen.clone();
    let request = request(model, goto, chosen.workloads, change);
    plan::open(model, request, chosen.left_out)
}

/// What the overlay shows.
pub(crate) fn panel(model: &Model, overlay: &VersionsOverlay, width: usize, height: usize) -> Panel {
    let title = Line::new(Meaning::Header, " VERSIONS ").and(Meaning::Text, format!("  {}", overlay.workload));
    let Some(workload) = model.fleet.workload(&overlay.workload) else {
        return Panel { title, body: vec![Line::plain(" the workload is gone")], foot: Vec::new(), top: 0 };
    };
    let body = lines(workload, &model.fleet, model.now, Some(overlay.at), width);
    let others = overlay.chosen.workloads.len().saturating_sub(1);
    let more =
        if others > 0 { format!(" The same version in {}.", counted(others, "more workload")) } else { String::new() };
    let foot = Line::new(Meaning::Key, " Enter")
        .and(Meaning::Text, " plans it  ")
        .and(Meaning::Key, "i")
        .and(Meaning::Text, " image only  ")
        .and(Meaning::Key, "Esc")
        .and(Meaning::Text, " closes.")
        .and(Meaning::Dim, more);
    let line = overlay.at + 1;
    let top = (line + 1).saturating_sub(height.saturating_sub(2).max(1));
    Panel { title, body, foot: vec![foot], top }
}

/// One line for each version, with a title line.
pub(crate) fn lines(
    workload: &Workload,
    fleet: &Fleet,
    now: jiff::Timestamp,
    cursor: Option<usize>,
    width: usize,
) -> Vec<Line> {
    let versions = &workload.judgement.versions;
    let shown: Vec<Shown> = versions.iter().map(Shown::version).collect();
    let length = digest_length(shown.iter());
    let image_width = shown.iter().map(|shown| cells::width(&shown.text(length))).max().unwrap_or(0).clamp(8, 36);
    // The runs of a CronJob have the time at which they were made.
    let number_width = versions.iter().map(|version| version.number.to_string().len()).max().unwrap_or(0).max(6);
    let (number, image) = (cells::right("NUMBER", number_width), cells::left("IMAGE", image_width));
    let mut lines = vec![Line::new(Meaning::Title, format!("   {number}  {image}  MADE   EVIDENCE"))];
    for (at, (version, shown)) in versions.iter().zip(&shown).enumerate() {
        let is_here = cursor == Some(at);
        let (meaning, evidence) = evidence(workload.id.kind, version, workload.last_good().map(|good| &good.revision));
        let made = version.created_at.map_or("-".to_string(), |at| Clock::Since.show(at, now));
        let cause = version.cause.as_ref().map(|cause| format!("  ({cause})")).unwrap_or_default();
        let text = format!(
            "{}  {}  {}  ",
            cells::right(&version.number.to_string(), number_width),
            cells::left(&shown.text(length), image_width),
            cells::left(&made, 5)
        );
        let own = if is_here { Meaning::Selected } else { Meaning::Text };
        let line = Line::new(Meaning::Key, if is_here { " > " } else { "   " })
            .and(own, text)
            .and(meaning, evidence)
            .and(Meaning::Warning, flaws(fleet, version, now))
            .and(Meaning::Dim, cause);
        lines.push(line);
    }
    if versions.is_empty() {
        lines.push(Line::new(Meaning::Dim, " its platform keeps no version of it"));
    }
    debug_assert!(width > 0, "a panel has cells");
    lines
}

/// What speaks against any version, even the one that is asked for.
fn flaws(fleet: &Fleet, version: &Version, now: jiff::Timestamp) -> String {
    let is_gone = version.reference.as_ref().is_some_and(|reference| fleet.catalog().is_gone(reference));
    let ban = fleet.quarantine_of(version.image.as_ref(), version.reference.as_ref());
    // Of all others their evidence says so.
    let ban = ban.filter(|_| version.is_requested()).map(|ban| format!("; ! quarantined {}", ban.describe()));
    let gone = if is_gone { "; ! its registry has it no more" } else { "" };
    let deprecation = version.deprecation(now).map(|why| format!("; ! its image is {why}"));
    format!("{}{gone}{}", ban.unwrap_or_default(), deprecation.unwrap_or_default())
}

fn evidence(kind: WorkloadKind, version: &Version, last_good: Option<&Uid>) -> (Meaning, String) {
    match (&version.evidence, &version.rejected) {
        (Some(evidence), _) => {
            let last = if last_good == Some(&version.revision) { "last good, " } else { "" };
            (Meaning::Ok, format!("= {last}{}: {}", evidence.as_str(), version.why_good(kind)))
        }
        (None, Some(_)) if version.is_requested() => (Meaning::Text, "> requested now".to_string()),
        (None, Some(why)) => (Meaning::Warning, format!("! {why}")),
        (None, None) => (Meaning::Unknown, "? nothing speaks for it".to_string()),
    }
}
