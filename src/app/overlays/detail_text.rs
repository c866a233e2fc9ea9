//! The lines of the detail, by kind of row.
//!
//! Never leaves out what is not known: it says so.

use super::versions;
use crate::app::age::Clock;
use crate::app::cells;
use crate::app::model::Model;
use crate::app::rows::{RowId, Rows as _};
use crate::app::screens::{self, compare, drift, operations, timeline};
use crate::app::theme::Meaning;
use crate::app::widgets::paint::Line;
use crate::domain::expectation::ExpectationSource;
use crate::domain::fleet::{Instance, Place, Workload};
use crate::domain::image::{ImageId, ImageRef};
use crate::domain::observation::{Applies, Rollout};
use crate::domain::plan::Marked;
use crate::domain::protection::Protection;
use crate::domain::signature::{Signature, SignatureHeard};
use crate::domain::text::Text;

/// The name of a row and what is known of it.
pub(crate) fn lines(model: &Model, row: &RowId, width: usize) -> (String, Vec<Line>) {
    let gone = |name: String| (name, vec![Line::new(Meaning::Warning, " it is gone")]);
    match row {
        RowId::Service(key) => {
            let known = model.known();
            let mut workloads = drift::workloads_of(&known, model.ui.screens.drift.listing(), key);
            workloads.sort_by(|a, b| drift::worst_first(a, b, &known));
            let mut lines = Vec::new();
            for workload in workloads {
                lines.push(Line::new(Meaning::Title, format!(" {}", workload.id)));
                lines.extend(of_workload(model, workload, width));
                lines.push(Line::default());
            }
            (key.service.to_string(), lines)
        }
        RowId::Workload(id) => match model.fleet.workload(id) {
            Some(workload) => (id.to_string(), of_workload(model, workload, width)),
            None => gone(id.to_string()),
        },
        RowId::Instance(slot, uid) => {
            match model.fleet.instance_at(*slot).filter(|(instance, _)| instance.seen.uid == *uid) {
                Some((instance, workload)) => {
                    let mut lines = of_instance(model, instance);
                    lines.push(Line::default());
                    lines.push(Line::new(Meaning::Title, format!(" {}", workload.id)));
                    lines.extend(of_workload(model, workload, width));
                    (instance.seen.name.to_string(), lines)
                }
                None => gone(uid.to_string()),
            }
        }
        RowId::Operation(id) => match model.operations.get(id) {
            Some(tracked) => (id.to_string(), operations::detail(model, tracked)),
            None => gone(id.to_string()),
        },
        RowId::Happening(id) => match model.ui.screens.timeline.row(id) {
            Some(row) => {
                let mut lines = timeline::detail(model, row);
                lines.push(Line::default());
                lines.push(Line::new(Meaning::Title, " the workload now"));
                lines.extend(match model.fleet.workload(&row.workload) {
                    Some(workload) => of_workload(model, workload, width),
                    None => vec![Line::new(Meaning::Warning, "   it is gone, or not seen")],
                });
                (row.workload.to_string(), lines)
            }
            None => gone(id.workload().to_string()),
        },
        RowId::Image(name) => (name.to_string(), compare::detail(model, name)),
        RowId::Place(id) => match model.fleet.place(id) {
            Some(place) => (id.to_string(), of_place(model, place)),
            None => gone(id.to_string()),
        },
    }
}

/// The digests whose signatures the detail of a row shows.
pub(crate) fn signatures(model: &Model, row: &RowId) -> Vec<ImageRef> {
    let of_workload = |workload: &Workload| {
        let cohorts = workload.judgement.running.iter();
        let running = cohorts.filter_map(|cohort| signed_as(model, cohort.reference.as_ref(), cohort.image.as_ref()));
        requested_as(model, workload).into_iter().chain(running).collect::<Vec<ImageRef>>()
    };
    match row {
        RowId::Service(key) => {
            let workloads = drift::workloads_of(&model.known(), model.ui.screens.drift.listing(), key);
            workloads.into_iter().flat_map(of_workload).collect()
        }
        RowId::Workload(id) => model.fleet.workload(id).map(of_workload).unwrap_or_default(),
        RowId::Instance(slot, uid) => {
            let found = model.fleet.instance_at(*slot).filter(|(instance, _)| instance.seen.uid == *uid);
            found.map(|(_, workload)| of_workload(workload)).unwrap_or_default()
        }
        RowId::Happening(id) => model.fleet.workload(id.workload()).map(of_workload).unwrap_or_default(),
        RowId::Operation(_) | RowId::Image(_) | RowId::Place(_) => Vec::new(),
    }
}

fn signed_as(model: &Model, reference: Option<&ImageRef>, image: Option<&ImageId>) -> Option<ImageRef> {
    model.fleet.catalog().signed_as(reference?, Some(image?))
}

fn requested_as(model: &Model, workload: &Workload) -> Option<ImageRef> {
    model.fleet.catalog().signed_as(workload.requested()?, workload.judgement.requested.as_ref())
}

/// What was heard of the signatures of a digest; nothing where its registry is not asked.
fn signature(model: &Model, name: &str, about: Option<&ImageRef>) -> Option<Line> {
    Some(match model.fleet.catalog().signature(about?) {
        None => field(name, Meaning::Dim, "not asked yet"),
        Some(SignatureHeard { said, at, .. }) => {
            let meaning = match said {
                Signature::None | Signature::Present(_) => Meaning::Text,
                Signature::Unknown(_) => Meaning::Unknown,
            };
            field(name, meaning, format!("{}; heard {} ago", said.text(), Clock::Since.show(*at, model.now)))
        }
    })
}

fn field(name: &str, meaning: Meaning, text: impl Into<String>) -> Line {
    Line::new(Meaning::Dim, format!("   {name:<12}")).and(meaning, text)
}

fn of_workload(model: &Model, workload: &Workload, width: usize) -> Vec<Line> {
    let (judgement, seen) = (&workload.judgement, &workload.seen);
    let tally = judgement.tally;
    let (meaning, glyph) = screens::glyph(judgement.verdict);
    let mut lines =
        vec![field("verdict", meaning, format!("{glyph} {}: {}", judgement.verdict.as_str(), judgement.reason))];
    let counts = format!(
        "{} of {} wanted, {} healthy, {} off, {} unknown",
        tally.instances,
        tally.desired,
        tally.healthy,
        tally.off(),
        tally.unknown
    );
    lines.push(field("instances", Meaning::Text, counts));
    let rollout = match &seen.rollout {
        Rollout::Stable => (Meaning::Text, "stable".to_string()),
        Rollout::Progressing => (Meaning::Rolling, "> moving".to_string()),
        Rollout::Paused => (Meaning::Warning, "held".to_string()),
        Rollout::Failed(why) => (Meaning::Danger, format!("stuck: {why}")),
    };
    lines.push(field("rollout", rollout.0, format!("{}; {}", rollout.1, seen.strategy.describe())));
    if let Some(running) = &seen.running {
        lines.push(field("in flight", Meaning::Rolling, running.what.to_string()));
    }
    if let Some(at) = seen.requested_since {
        lines.push(field(
            "changed",
            Meaning::Text,
            format!("{} ago, at {}", Clock::Since.show(at, model.now), moment(at)),
        ));
    }
    for owner in &seen.owners {
        let how = match owner.applies {
            Applies::Continuously => "applies the image again and again",
            Applies::Once => "last wrote the image",
        };
        lines.push(field("image by", Meaning::Text, format!("{} {how}", owner.manager)));
    }
    for undoer in model.fleet.undoers_of(workload) {
        lines.push(field(
            "undone by",
            Meaning::Warning,
            format!("{}: {} ({})", undoer.by, undoer.what, undoer.how_fast),
        ));
    }
    let good = workload.last_good();
    let facts = [
        ("last good", good.and_then(|good| good.deprecation(model.now)).map(|why| format!("its image is {why}"))),
        ("marks", Some(screens::marks(&judgement.marks)).filter(|marks| !marks.is_empty())),
        ("latent", seen.template.latent.as_ref().map(ToString::to_string)),
        ("trouble", seen.trouble.as_ref().map(ToString::to_string)),
        ("read only", seen.inoperable.as_ref().map(ToString::to_string)),
        ("operation", seen.touched_by.as_deref().and_then(Marked::of).map(|marked| last_changed(model, &marked))),
    ];
    lines.extend(facts.into_iter().filter_map(|(name, text)| text.map(|text| field(name, Meaning::Warning, text))));
    lines.extend(release(model, workload));
    lines.extend(protections(model, workload));
    lines.extend(registry(model, workload));
    lines.extend(containers(model, workload, width.saturating_sub(15)));
    lines.push(Line::new(Meaning::Title, "   versions"));
    lines.extend(versions::lines(workload, &model.fleet, model.now, None, width));
    lines
}

/// How far it is among the releases of its service.
fn release(model: &Model, workload: &Workload) -> Option<Line> {
    let standing = model.fleet.standing(workload)?;
    let named = |version: &Option<Text>| version.as_ref().map_or("none".to_string(), ToString::to_string);
    let runs: Vec<String> = standing.running.iter().map(named).collect();
    let runs = if runs.is_empty() { "nothing".to_string() } else { runs.join(", ") };
    let (meaning, behind) = match standing.behind {
        None => (Meaning::Unknown, "not all of it of a release".to_string()),
        Some(0) => (Meaning::Ok, "the newest".to_string()),
        Some(behind) => (Meaning::Warning, format!("{behind} behind {}", named(&standing.newest))),
    };
    Some(field("release", meaning, format!("runs {runs}, {behind}; should run {}", named(&standing.expected))))
}

/// What somebody has said about it on this machine: who, why, until when.
fn protections(model: &Model, workload: &Workload) -> Vec<Line> {
    let all = model.fleet.protections();
    let known = [
        ("locked", model.fleet.lock_on(workload).map(Protection::describe)),
        ("snoozed", model.fleet.snooze_on(workload).map(Protection::describe)),
        ("stays", all.stay_of(&workload.id).map(Protection::why_stays)),
    ];
    known.into_iter().filter_map(|(name, text)| text.map(|text| field(name, Meaning::Title, text))).collect()
}

/// By which operation, and whether this machine knows it.
fn last_changed(model: &Model, marked: &Marked) -> String {
    let at = marked.at.map(|at| format!(", {} ago", Clock::Since.show(at, model.now))).unwrap_or_default();
    let whose = if model.operations.get(&marked.operation).is_some() { "" } else { ", on another machine" };
    format!("last changed by {} of {}{whose}{at}", marked.operation, marked.who)
}

/// What its registry says of the image that is asked for, where it is asked.
fn registry(model: &Model, workload: &Workload) -> Vec<Line> {
    let catalog = model.fleet.catalog();
    let Some(asked) = workload.requested().filter(|asked| catalog.covers(asked)) else { return Vec::new() };
    let mut lines = Vec::new();
    if let (None, Some(tag)) = (asked.digest(), catalog.tag(asked)) {
        let stands_for =
            tag.digest.as_ref().map_or("nothing any more".to_string(), |digest| digest.short(12).to_string());
        let before = match &tag.before {
            Some((digest, until)) => {
                format!("; it stood for {} until {} ago", digest.short(12), Clock::Since.show(*until, model.now))
            }
            None => String::new(),
        };
        let name = asked.tag().unwrap_or("latest");
        let age = Clock::Since.show(tag.at, model.now);
        lines.push(field("tag", Meaning::Text, format!("{name} stands for {stands_for}, heard {age} ago{before}")));
    }
    if let Some(why) =
        catalog.resolve(asked).err().filter(|_| asked.digest().is_none()).or_else(|| catalog.fault(asked).cloned())
    {
        lines.push(field("registry", Meaning::Warning, why.to_string()));
    }
    let image = workload.judgement.requested.as_ref();
    let labels = image.and_then(|image| catalog.images_of(image).next()).map(|documents| &documents.labels);
    lines.extend(signature(model, "signature", requested_as(model, workload).as_ref()));
    let facts = labels.into_iter().flat_map(|labels| {
        [
            ("version", &labels.version),
            ("commit", &labels.revision),
            ("source", &labels.source),
            ("built", &labels.created),
            ("expires", &labels.expires),
        ]
    });
    lines.extend(
        facts.filter_map(|(name, text)| text.as_ref().map(|text| field(name, Meaning::Text, text.to_string()))),
    );
    lines
}

fn containers(model: &Model, workload: &Workload, cells: usize) -> Vec<Line> {
    let reference = |image: Option<&ImageRef>| cells::cut(&reference(image), cells).into_owned();
    let mut lines = vec![Line::new(Meaning::Title, "   containers")];
    for container in &workload.seen.template.containers {
        let main = if container.name == workload.judgement.main { " (main)" } else { "" };
        lines.push(
            Line::new(Meaning::Key, format!("     {}", container.name))
                .and(Meaning::Dim, format!("  {}{main}", container.role.as_str())),
        );
        lines.push(field("  requested", Meaning::Text, reference(container.image.as_ref())));
        if container.name == workload.judgement.main {
            match &workload.judgement.expected {
                Some(expectation) if expectation.source != ExpectationSource::Majority => {
                    lines.push(field(
                        "  expected",
                        Meaning::Dim,
                        format!("{} says:", expectation.says.as_deref().unwrap_or(expectation.source.as_str())),
                    ));
                    let targets = expectation.targets.iter().map(|target| reference(target.reference.as_ref()));
                    lines.extend(targets.map(|target| field("", Meaning::Text, target)));
                }
                _ => lines.push(field("  expected", Meaning::Text, "not declared: the majority is the measure")),
            }
            for cohort in &workload.judgement.running {
                let (meaning, glyph) = screens::glyph(cohort.verdict);
                let image = cells::cut(&image(cohort.image.as_ref()), cells.saturating_sub(8)).into_owned();
                lines.push(field("  running", meaning, format!("{glyph} {}x {image}", cohort.instances)));
                lines.push(field("  asked as", Meaning::Text, reference(cohort.reference.as_ref())));
                let about = signed_as(model, cohort.reference.as_ref(), cohort.image.as_ref());
                // What is asked for is above.
                let about = about.filter(|about| requested_as(model, workload).as_ref() != Some(about));
                lines.extend(signature(model, "  signature", about.as_ref()));
            }
        }
    }
    lines
}

fn of_instance(model: &Model, instance: &Instance) -> Vec<Line> {
    let seen = &instance.seen;
    let (meaning, glyph) = screens::glyph(instance.verdict);
    let health = match &seen.reason {
        Some(reason) => format!("{}, {}: {reason}", seen.health.as_str(), seen.phase.as_str()),
        None => format!("{}, {}", seen.health.as_str(), seen.phase.as_str()),
    };
    let mut lines = vec![
        field("verdict", meaning, format!("{glyph} {}: {}", instance.verdict.as_str(), instance.reason)),
        field("health", Meaning::Text, health),
        field("id", Meaning::Text, seen.uid.to_string()),
        field("restarts", Meaning::Text, seen.restarts.to_string()),
        field(
            "seen",
            Meaning::Text,
            format!("{}, at {}", Clock::Age.show(instance.fetched_at, model.now), moment(instance.fetched_at)),
        ),
    ];
    if let Some(at) = seen.started_at {
        lines.push(field(
            "started",
            Meaning::Text,
            format!("{} ago, at {}", Clock::Since.show(at, model.now), moment(at)),
        ));
    }
    let facts = [("platform", &seen.platform), ("revision", &seen.revision), ("touched", &seen.touched)];
    lines.extend(
        facts
            .into_iter()
            .filter_map(|(name, text)| text.as_ref().map(|text| field(name, Meaning::Text, text.to_string()))),
    );
    for container in &seen.containers {
        lines.push(
            Line::new(Meaning::Key, format!("     {}", container.name))
                .and(Meaning::Dim, format!("  {}", container.role.as_str())),
        );
        lines.push(field("  asked", Meaning::Text, reference(container.asked.as_ref())));
        lines.push(field("  running", Meaning::Text, image(container.running.as_ref())));
    }
    lines
}

fn of_place(model: &Model, place: &Place) -> Vec<Line> {
    let identity = &place.identity;
    let unknown = || "not known".to_string();
    let text = |text: &Option<Text>| text.as_ref().map_or_else(unknown, ToString::to_string);
    let state = place.state.reason().map_or_else(String::new, |reason| format!(": {reason}"));
    let mut lines = vec![
        field("state", Meaning::Text, format!("{}{state}", place.state.as_str())),
        field(
            "heard",
            Meaning::Text,
            place.heard_at.map_or("never".to_string(), |at| format!("{} ({at})", Clock::Age.show(at, model.now))),
        ),
        field("account", Meaning::Text, text(&identity.account)),
        field("identity", Meaning::Text, text(&identity.identity)),
        field("server", Meaning::Text, text(&identity.server)),
    ];
    if let Some(why) = model.settings.read_only(&place.id) {
        lines.push(field("read only", Meaning::Warning, why.to_string()));
    }
    lines.extend(identity.notes.iter().map(|note| field("note", Meaning::Warning, note.to_string())));
    lines.extend(place.loading.iter().map(|(source, seen, remaining)| {
        let rest = remaining.map_or("?".to_string(), |rest| (seen + rest).to_string());
        field("loading", Meaning::Rolling, format!("{}: {seen}/{rest}", source.0))
    }));
    lines.extend(
        place.limits.iter().map(|(source, why)| field("limited", Meaning::Warning, format!("{}: {why}", source.0))),
    );
    lines.extend(identity.can.iter().map(|what| field("can", Meaning::Ok, what.to_string())));
    lines.extend(identity.cannot.iter().map(|(what, why)| field("cannot", Meaning::Warning, format!("{what}: {why}"))));
    lines
}

fn reference(reference: Option<&ImageRef>) -> String {
    reference.map_or("not known".to_string(), ToString::to_string)
}

fn image(image: Option<&ImageId>) -> String {
    image.map_or("not known".to_string(), ToString::to_string)
}

/// A moment to the second: more is noise.
fn moment(at: jiff::Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
