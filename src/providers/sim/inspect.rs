//! What a simulated place says to a step before it is shown: rights, what goes back with the image, budgets.
//!
//! Never changes anything.

use super::cloud::Cloud;
use super::request::budget;
use super::scenario::{Naming, ScenePlace, Verb};
use super::workload::Workload;
use crate::domain::id::WorkloadKind;
use crate::domain::plan::{Action, Check, CheckVerdict, Inspection, Step};
use crate::domain::text::Text;

/// Looks at a step.
pub(super) fn inspect(cloud: &Cloud, place: &ScenePlace, step: &Step) -> Inspection {
    let Some((_, workload)) = cloud.find(&step.workload) else {
        let refusal = (Text::new("the workload is gone"), Text::new("look again, then plan again"));
        return Inspection { refusals: vec![refusal], ..Inspection::default() };
    };
    let mut inspection = Inspection { equivalent: Some(equivalent(cloud, step)), ..Inspection::default() };
    let verb = match step.action {
        Action::Evict { .. } => Verb::Evict,
        Action::RestoreRevision { .. } | Action::SetImage { .. } => Verb::Rollback,
        Action::EndRollout { .. } => Verb::Pause,
    };
    match place.cannot.get(&verb) {
        Some(why) => {
            let hint = Text::new("ask for the right, or leave the place out");
            inspection.refusals.push((Text::new(&format!("forbidden: {why}")), hint));
        }
        None => inspection.checks.push(check("permission", CheckVerdict::Pass, "allowed", step)),
    }
    if verb == Verb::Rollback && workload.blueprint.kind != WorkloadKind::Deployment {
        inspection.refusals.push((
            Text::new(&format!("a {} can't be rolled back yet", workload.blueprint.kind)),
            Text::new("its instances can be replaced one by one: r, or `plan replace`"),
        ));
    }
    match &step.action {
        Action::RestoreRevision { revision, .. } => {
            inspection.also_goes_back = also_goes_back(workload, |index| workload.revision_uid(index) == *revision);
        }
        Action::SetImage { .. } | Action::EndRollout { .. } => {}
        Action::Evict { .. } => inspection.checks.extend(budget_check(workload, step)),
    }
    inspection
}

/// What a dry run on the server says.
pub(super) fn rehearse(cloud: &Cloud, step: &Step) -> Inspection {
    let (verdict, detail) = match cloud.find(&step.workload) {
        Some(_) => (CheckVerdict::Pass, "the server would take it"),
        None => (CheckVerdict::Fail, "the server does not know the workload"),
    };
    Inspection { checks: vec![check("dry run", verdict, detail, step)], ..Inspection::default() }
}

/// Settings that differ; the values of limits are shown, those of variables never are.
fn also_goes_back(workload: &Workload, is_target: impl Fn(u16) -> bool) -> Vec<Text> {
    let now = &workload.revisions[usize::from(workload.current)].edition.settings;
    let target = (0..workload.revisions.len() as u16).find(|index| is_target(*index));
    let Some(then) = target.map(|index| &workload.revisions[usize::from(index)].edition.settings) else {
        return Vec::new();
    };
    let value = |settings: &[(Text, Text)], key: &Text| {
        settings.iter().find(|(known, _)| known == key).map(|(_, value)| value.clone())
    };
    let mut keys: Vec<&Text> = now.iter().chain(then).map(|(key, _)| key).collect();
    keys.sort();
    keys.dedup();
    keys.into_iter()
        .filter_map(|key| match (value(now, key), value(then, key)) {
            (before, after) if before == after => None,
            (Some(before), Some(after)) if key.starts_with("limit ") => {
                Some(Text::new(&format!("{key}: {before} -> {after}")))
            }
            (Some(_), Some(_)) => Some(Text::new(&format!("{key}: changed"))),
            (Some(_), None) => Some(Text::new(&format!("{key}: goes"))),
            (None, _) => Some(Text::new(&format!("{key}: comes back"))),
        })
        .collect()
}

fn budget_check(workload: &Workload, step: &Step) -> Option<Check> {
    let (needed, healthy) = budget(workload)?;
    let allows = healthy.saturating_sub(needed);
    let verdict = if allows == 0 { CheckVerdict::Warn } else { CheckVerdict::Pass };
    Some(check("disruption budget", verdict, &format!("allows {allows} of {healthy} healthy"), step))
}

fn check(name: &str, verdict: CheckVerdict, detail: &str, step: &Step) -> Check {
    Check { name: Text::new(name), verdict, detail: Text::new(&format!("{}: {detail}", step.workload)) }
}

fn equivalent(cloud: &Cloud, step: &Step) -> Text {
    let place = cloud.id.0.rsplit('/').next().unwrap_or_default();
    let namespace = step.workload.namespace.as_ref().map(|namespace| format!(" -n {namespace}")).unwrap_or_default();
    let kind = step.workload.kind.as_str().to_lowercase();
    let name = &step.workload.name;
    Text::new(&match (cloud.naming, &step.action) {
        (Naming::Machines, Action::Evict { name, .. }) => {
            format!(
                "aws autoscaling terminate-instance-in-auto-scaling-group --instance-id {name} --no-should-decrement-desired-capacity"
            )
        }
        (Naming::Machines, Action::RestoreRevision { number, .. }) => {
            format!(
                "aws autoscaling start-instance-refresh --auto-scaling-group-name {name} (launch template version {number})"
            )
        }
        (Naming::Machines, Action::SetImage { image, .. }) => {
            format!("aws autoscaling start-instance-refresh --auto-scaling-group-name {name} (with {image})")
        }
        (Naming::Machines, Action::EndRollout { .. }) => {
            format!("aws autoscaling cancel-instance-refresh --auto-scaling-group-name {name}")
        }
        (Naming::Pods, Action::EndRollout { .. }) => String::new(),
        (Naming::Pods, Action::RestoreRevision { number, .. }) => {
            format!("kubectl --context {place}{namespace} rollout undo {kind}/{name} --to-revision={number}")
        }
        (Naming::Pods, Action::SetImage { container, image }) => {
            format!("kubectl --context {place}{namespace} set image {kind}/{name} {container}={image}")
        }
        (Naming::Pods, Action::Evict { name, .. }) => {
            format!("kubectl --context {place}{namespace} evict pod/{name}")
        }
    })
}
