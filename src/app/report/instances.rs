//! Rows of `instances`: one for each instance and container.

use jiff::Timestamp;
use serde::Serialize;

use super::table::Table;
use super::workloads::text_of;
use crate::domain::drift::{Mark, Measure, Verdict};
use crate::domain::expectation::expected_of;
use crate::domain::fleet::{Fleet, Instance, Workload};
use crate::domain::observation::{Health, Phase, Role};
use crate::domain::selector::{Facts, Selector};
use crate::domain::text::Text;

/// One container of one instance.
#[derive(Debug, Serialize)]
pub struct InstanceRow {
    id: Text,
    service: Text,
    place: Text,
    namespace: Option<Text>,
    workload: Text,
    name: Text,
    container: Text,
    role: Role,
    expected: Option<Text>,
    requested: Option<Text>,
    running: Option<Text>,
    /// The verdict over this container; over the instance's worst one for those that are not judged.
    pub verdict: Verdict,
    reason: Text,
    health: Health,
    phase: Phase,
    started_at: Option<Timestamp>,
    seen_at: Timestamp,
    marks: Vec<Mark>,
}

/// All instances that match, by service, place and name.
pub fn instance_rows(
    fleet: &Fleet,
    declarations: &[crate::domain::expectation::Declaration],
    now: Timestamp,
    selector: &Selector,
    is_word: &mut dyn FnMut(&str, &Facts<'_>) -> bool,
) -> Vec<InstanceRow> {
    let mut workloads: Vec<&Workload> = fleet.workloads().collect();
    workloads.sort_by(|a, b| (&a.seen.service, &a.id).cmp(&(&b.seen.service, &b.id)));
    let mut rows = Vec::new();
    for workload in workloads {
        let template = &workload.seen.template;
        let annotation = workload.seen.expected_annotation.as_ref();
        let expected = expected_of(
            (declarations, fleet.releases()),
            &workload.id,
            &workload.seen.service,
            annotation,
            template,
            fleet.catalog(),
        );
        let seen = fleet.instances_of(workload).map(|instance| &instance.seen);
        let measure = Measure::of(&workload.seen, &workload.revisions, &expected, fleet.catalog(), seen);
        let mut instances: Vec<&Instance> = fleet.instances_of(workload).collect();
        instances.sort_by(|a, b| a.seen.name.cmp(&b.seen.name));
        for instance in instances {
            if is_selected(instance, workload, now, selector, is_word) {
                rows.extend(containers(instance, workload, &measure));
            }
        }
    }
    rows
}

impl InstanceRow {
    /// The rows as a table for people.
    pub fn table(rows: &[InstanceRow]) -> Table {
        let columns = [
            "STATE",
            "SERVICE",
            "PLACE",
            "NAMESPACE",
            "INSTANCE",
            "CONTAINER",
            "EXPECTED",
            "RUNNING",
            "HEALTH",
            "PHASE",
            "REASON",
        ];
        let mut table = Table::new(&columns);
        let short = |image: &Option<Text>| {
            image.as_ref().map_or("no data".to_string(), |image| {
                image.split_once(':').map_or(image.as_str(), |(_, hex)| hex).chars().take(12).collect()
            })
        };
        for row in rows {
            table.rows.push(vec![
                row.verdict.as_str().to_string(),
                row.service.to_string(),
                row.place.to_string(),
                row.namespace.as_ref().map_or("-".to_string(), ToString::to_string),
                row.name.to_string(),
                row.container.to_string(),
                if row.expected.is_some() { short(&row.expected) } else { "not declared".to_string() },
                short(&row.running),
                row.health.as_str().to_string(),
                row.phase.as_str().to_string(),
                row.reason.to_string(),
            ]);
        }
        table
    }
}

fn is_selected(
    instance: &Instance,
    workload: &Workload,
    now: Timestamp,
    selector: &Selector,
    is_word: &mut dyn FnMut(&str, &Facts<'_>) -> bool,
) -> bool {
    let mut images: Vec<&str> = Vec::new();
    for container in &instance.seen.containers {
        images.extend(container.asked.as_ref().map(|asked| asked.as_str()));
        images.extend(container.running.as_ref().map(|running| running.as_str()));
    }
    let age = instance.seen.started_at.map(|started| now.duration_since(started).unsigned_abs());
    let facts = Facts {
        name: &instance.seen.name,
        verdict: instance.verdict,
        is_off: instance.is_off(workload),
        is_unhealthy: instance.seen.health != Health::Healthy,
        age,
        ..workload.facts(&images)
    };
    selector.is_match(&facts, is_word)
}

fn containers(instance: &Instance, workload: &Workload, measure: &Measure<'_>) -> Vec<InstanceRow> {
    let seen = &instance.seen;
    let mut marks = Vec::new();
    marks.extend(seen.touched.as_ref().map(|_| Mark::Touched));
    marks.extend(workload.seen.template.latent.as_ref().map(|_| Mark::Latent));
    let row = |container: &crate::domain::observation::ContainerSeen| {
        let role = measure.role(container);
        let judged = if role.is_judged() {
            measure.judge_container(seen, container)
        } else {
            crate::domain::drift::InstanceVerdict {
                verdict: instance.verdict,
                reason: Text::new(&format!("{} containers are not judged", role.as_str())),
            }
        };
        let expectation = measure.expected.of(&container.name);
        let target = expectation.and_then(|expectation| expectation.main());
        InstanceRow {
            id: seen.uid.0.clone(),
            service: workload.seen.service.clone(),
            place: workload.id.place.0.clone(),
            namespace: seen.namespace.clone(),
            workload: workload.id.name.clone(),
            name: seen.name.clone(),
            container: container.name.clone(),
            role,
            expected: target.and_then(|target| {
                target
                    .image
                    .as_ref()
                    .map(text_of)
                    .or_else(|| target.reference.as_ref().map(|image| Text::new(image.as_str())))
            }),
            requested: workload
                .container(&container.name)
                .and_then(|asked| asked.image.as_ref())
                .map(|image| Text::new(image.as_str())),
            running: container.running.as_ref().map(text_of),
            verdict: judged.verdict,
            reason: judged.reason,
            health: seen.health,
            phase: seen.phase,
            started_at: seen.started_at,
            seen_at: instance.fetched_at,
            marks: marks.clone(),
        }
    };
    seen.containers.iter().map(row).collect()
}
