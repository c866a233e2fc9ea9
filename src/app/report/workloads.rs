//! Rows of `drift` and `fleet`: one for each workload.

use jiff::Timestamp;
use serde::Serialize;

use super::table::Table;
use crate::domain::drift::{Cohort, Judgement, Mark, Tally, Verdict};
use crate::domain::expectation::Target;
use crate::domain::fleet::{Fleet, Workload};
use crate::domain::history::GoodEvidence;
use crate::domain::id::WorkloadKind;
use crate::domain::image::{ImageId, ImageRef};
use crate::domain::observation::Role;
use crate::domain::policy::Policy;
use crate::domain::selector::{Facts, Selector};
use crate::domain::text::{Text, counted};

/// Counts of instances.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    instances: u32,
    ok: u32,
    drift: u32,
    mixed: u32,
    outlier: u32,
    unknown: u32,
    quarantined: u32,
}

impl Totals {
    /// In words: what there is any of.
    pub(super) fn words(&self) -> String {
        let Totals { instances, ok, drift, mixed, outlier, unknown, quarantined } = *self;
        let counts = [
            (quarantined, "quarantined"),
            (drift, "drift"),
            (mixed, "mixed"),
            (outlier, "outlier"),
            (unknown, "unknown"),
            (ok, "ok"),
        ];
        let counts = counts.iter().filter(|(count, _)| *count > 0).map(|(count, word)| format!("{count} {word}"));
        format!("{}: {}", counted(instances, "instance"), counts.collect::<Vec<String>>().join(", "))
    }
}

/// One workload.
#[derive(Debug, Serialize)]
pub struct WorkloadRow {
    /// Its service.
    pub service: Text,
    /// Its place.
    pub place: Text,
    namespace: Option<Text>,
    workload: Text,
    kind: &'static str,
    container: Text,
    /// The worst of its instances.
    pub verdict: Verdict,
    reason: Text,
    /// How many are off.
    pub off: u32,
    total: u32,
    healthy: u32,
    since: Option<Timestamp>,
    requested_since: Option<Timestamp>,
    expected: Option<ExpectedImage>,
    expected_more: Vec<ExpectedImage>,
    requested: Option<Image>,
    running: Vec<RunningImage>,
    in_flight: Option<Text>,
    waits_at: Option<Text>,
    last_good: Option<LastGood>,
    containers: Vec<ContainerRow>,
    marks: Vec<Mark>,
    /// How many instances are older than the policy lets them become; `None`: as old as they like.
    too_old: Option<u32>,
}

/// An image by its three names.
#[derive(Debug, Serialize)]
struct Image {
    image: Option<Text>,
    reference: Option<Text>,
    version: Option<Text>,
}

#[derive(Debug, Serialize)]
struct ExpectedImage {
    #[serde(flatten)]
    image: Image,
    source: &'static str,
    /// Which release, of when.
    says: Option<Text>,
}

#[derive(Debug, Serialize)]
struct RunningImage {
    #[serde(flatten)]
    image: Image,
    instances: u32,
    evidence: &'static str,
}

#[derive(Debug, Serialize)]
struct LastGood {
    image: Option<Text>,
    version: Option<Text>,
    revision: String,
    evidence: GoodEvidence,
}

#[derive(Debug, Serialize)]
struct ContainerRow {
    name: Text,
    role: Role,
    expected: Option<Image>,
    requested: Option<Image>,
    running: Vec<RunningImage>,
}

/// All workloads that match, worst first, with the totals over them.
pub fn workload_rows(
    fleet: &Fleet,
    policy: &Policy,
    now: Timestamp,
    selector: &Selector,
    is_word: &mut dyn FnMut(&str, &Facts<'_>) -> bool,
) -> (Totals, Vec<WorkloadRow>) {
    let mut matching: Vec<&Workload> = fleet
        .workloads()
        .filter(|workload| {
            let images = workload.image_texts();
            let images: Vec<&str> = images.iter().map(Text::as_str).collect();
            selector.is_match(&workload.facts(&images), is_word)
        })
        .collect();
    matching.sort_by(|a, b| {
        let severity = |workload: &Workload| {
            let (tally, is_off) = (workload.judgement.tally, workload.judgement.is_off());
            (is_off && tally.unhealthy() > 0, tally.unhealthy() > 0, is_off, workload.judgement.verdict)
        };
        severity(b).cmp(&severity(a)).then_with(|| (&a.seen.service, &a.id).cmp(&(&b.seen.service, &b.id)))
    });
    let tally = matching.iter().fold(Tally::default(), |sum, workload| sum.plus(workload.judgement.tally));
    (Totals::of(tally), matching.into_iter().map(|workload| row(fleet, policy, now, workload)).collect())
}

impl Totals {
    fn of(tally: Tally) -> Totals {
        Totals {
            instances: tally.instances,
            ok: tally.ok,
            drift: tally.drift,
            mixed: tally.mixed,
            outlier: tally.outlier,
            unknown: tally.unknown,
            quarantined: tally.quarantined,
        }
    }
}

impl WorkloadRow {
    /// Whether instances are missing or not healthy.
    pub fn is_unhealthy(&self) -> bool {
        self.healthy < self.total
    }

    /// Whether something is off: instances, or what the next run would start.
    pub fn is_off(&self) -> bool {
        self.off > 0 || self.verdict > Verdict::Mixed
    }

    /// Whether somebody has said that this is known: a banned image, and what is not healthy, is told all the same.
    pub fn is_snoozed(&self) -> bool {
        self.marks.contains(&Mark::Snoozed) && self.verdict != Verdict::Quarantined && self.healthy >= self.total
    }

    /// The rows as a table for people.
    pub fn table(rows: &[WorkloadRow]) -> Table {
        WorkloadRow::table_of(rows.iter())
    }

    /// `?` where nothing is known, as on the screens.
    fn off_cell(&self) -> String {
        let is_unknown = self.off == 0 && self.verdict == Verdict::Unknown;
        if is_unknown { format!("?/{}", self.total) } else { format!("{}/{}", self.off, self.total) }
    }

    /// The same of some of them.
    pub(super) fn table_of<'a>(rows: impl Iterator<Item = &'a WorkloadRow>) -> Table {
        let mut table = Table::new(&[
            "STATE",
            "SERVICE",
            "PLACE",
            "NAMESPACE",
            "WORKLOAD",
            "OFF",
            "HEALTHY",
            "EXPECTED",
            "RUNNING",
            "REASON",
        ]);
        for row in rows {
            let running: Vec<String> =
                row.running.iter().map(|cohort| format!("{} x{}", cohort.image.label(), cohort.instances)).collect();
            let expected = row.expected.as_ref().map_or("not declared".to_string(), |expected| expected.image.label());
            table.rows.push(vec![
                row.verdict.as_str().to_string(),
                row.service.to_string(),
                row.place.to_string(),
                row.namespace.as_ref().map_or("-".to_string(), ToString::to_string),
                format!("{} {}", row.kind, row.workload),
                row.off_cell(),
                format!("{}/{}", row.healthy, row.total),
                expected,
                match running.is_empty() {
                    true if row.kind == WorkloadKind::CronJob.as_str() => "nothing runs".to_string(),
                    true => "no data".to_string(),
                    false => running.join(", "),
                },
                row.reason.to_string(),
            ]);
        }
        table
    }
}

impl Image {
    fn label(&self) -> String {
        let short = self.image.as_ref().map(|image| {
            let hex = image.split_once(':').map_or(image.as_str(), |(_, hex)| hex);
            hex.chars().take(12).collect::<String>()
        });
        match (short, &self.version) {
            (Some(short), Some(version)) => format!("{short} {version}"),
            (Some(short), None) => short,
            (None, Some(version)) => version.to_string(),
            (None, None) => self.reference.as_ref().map_or("no data".to_string(), ToString::to_string),
        }
    }
}

fn row(fleet: &Fleet, policy: &Policy, now: Timestamp, workload: &Workload) -> WorkloadRow {
    let max_age = policy.for_place(&workload.id.place).max_age;
    let Judgement { verdict, reason, tally, main, expected, running, since, marks, .. } = &workload.judgement;
    let mut targets = expected.iter().flat_map(|expected| {
        expected.targets.iter().map(|target| ExpectedImage {
            image: target_image(workload, target),
            source: expected.source.as_str(),
            says: expected.says.clone(),
        })
    });
    let first = targets.next();
    WorkloadRow {
        service: workload.seen.service.clone(),
        place: workload.id.place.0.clone(),
        namespace: workload.id.namespace.clone(),
        workload: workload.id.name.clone(),
        kind: workload.id.kind.as_str(),
        container: main.clone(),
        verdict: *verdict,
        reason: reason.clone(),
        off: tally.off(),
        total: tally.instances.max(tally.desired),
        healthy: tally.healthy,
        since: *since,
        requested_since: workload.seen.requested_since,
        expected: first,
        expected_more: targets.collect(),
        requested: requested(workload),
        running: running.iter().map(|cohort| running_image(workload, cohort)).collect(),
        in_flight: workload.seen.running.as_ref().map(|running| running.what.clone()),
        waits_at: workload.seen.canary.as_ref().and_then(|canary| canary.halt.as_ref()).map(|halt| halt.what().clone()),
        last_good: workload.last_good().and_then(|version| {
            Some(LastGood {
                image: version.image.as_ref().map(text_of),
                version: version.version.clone(),
                revision: version.number.to_string(),
                evidence: version.evidence?,
            })
        }),
        containers: containers(fleet, workload),
        marks: marks.clone(),
        too_old: max_age.map(|age| fleet.older_than(workload, age, now)),
    }
}

fn requested(workload: &Workload) -> Option<Image> {
    let reference = workload.requested()?;
    Some(Image {
        image: workload.judgement.requested.as_ref().map(text_of),
        reference: Some(Text::new(reference.as_str())),
        version: workload.called(),
    })
}

/// Every container of the template, and every one that instances have beside it (injected, debug).
fn containers(fleet: &Fleet, workload: &Workload) -> Vec<ContainerRow> {
    let template = &workload.seen.template.containers;
    let mut rows: Vec<ContainerRow> = template
        .iter()
        .map(|asked| ContainerRow {
            name: asked.name.clone(),
            role: asked.role,
            expected: workload
                .judgement
                .expected
                .as_ref()
                .filter(|expected| expected.container == asked.name)
                .and_then(|expected| expected.main().map(|target| target_image(workload, target)))
                .or_else(|| {
                    asked
                        .image
                        .as_ref()
                        .filter(|image| image.pinned().is_some())
                        .map(|image| reference_image(workload, image))
                }),
            requested: asked.image.as_ref().map(|image| reference_image(workload, image)),
            running: Vec::new(),
        })
        .collect();
    for instance in fleet.instances_of(workload).filter(|instance| instance.seen.phase.is_counted()) {
        for container in &instance.seen.containers {
            let at = rows.iter().position(|row| row.name == container.name).unwrap_or_else(|| {
                let role =
                    if template.is_empty() || container.role == Role::Debug { container.role } else { Role::Injected };
                rows.push(ContainerRow {
                    name: container.name.clone(),
                    role,
                    expected: None,
                    requested: None,
                    running: Vec::new(),
                });
                rows.len() - 1
            });
            let image = container.running.as_ref().map(text_of);
            match rows[at].running.iter_mut().find(|known| known.image.image == image) {
                Some(known) => known.instances += 1,
                None => rows[at].running.push(RunningImage {
                    evidence: evidence(container.running.as_ref()),
                    image: Image {
                        image,
                        reference: container.asked.as_ref().map(|asked| Text::new(asked.as_str())),
                        version: workload.name_of(container.running.as_ref(), container.asked.as_ref()),
                    },
                    instances: 1,
                }),
            }
        }
    }
    rows
}

fn running_image(workload: &Workload, cohort: &Cohort) -> RunningImage {
    RunningImage {
        image: Image {
            image: cohort.image.as_ref().map(text_of),
            reference: cohort.reference.as_ref().map(|reference| Text::new(reference.as_str())),
            version: workload.name_of(cohort.image.as_ref(), cohort.reference.as_ref()),
        },
        instances: cohort.instances,
        evidence: evidence(cohort.image.as_ref()),
    }
}

/// A container status is what runs; without one only the wish of the instance is known.
fn evidence(image: Option<&ImageId>) -> &'static str {
    if image.is_some() { "running" } else { "declared" }
}

fn target_image(workload: &Workload, target: &Target) -> Image {
    Image {
        image: target.image.as_ref().map(text_of),
        reference: target.reference.as_ref().map(|reference| Text::new(reference.as_str())),
        version: workload.name_of(target.image.as_ref(), target.reference.as_ref()),
    }
}

fn reference_image(workload: &Workload, reference: &ImageRef) -> Image {
    Image {
        image: reference.pinned().as_ref().map(text_of),
        reference: Some(Text::new(reference.as_str())),
        version: workload.name_of(reference.pinned().as_ref(), Some(reference)),
    }
}

pub(super) fn text_of(image: &ImageId) -> Text {
    Text::new(image.as_str())
}
