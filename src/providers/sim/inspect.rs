//! What a simulated place says to a step before it is shown: rights, what goes back with the image, budgets.
//!
//! Never changes anything.

use super::blueprint::Shape;
use super::cloud::Cloud;
use super::group;
use super::request::{self, budget};
use super::scenario::{ScenePlace, Verb};
use super::workload::Workload;
use crate::domain::keeper::{Borrowed, KeeperKind, Setting};
use crate::domain::plan::{Action, Check, CheckVerdict, Follows, Inspection, Step};
use crate::domain::text::{Text, with_article};

/// Looks at a step.
pub(super) fn inspect(cloud: &Cloud, place: &ScenePlace, step: &Step) -> Inspection {
    let Some((_, workload)) = cloud.find(&step.workload) else {
        let refusal = (Text::new("the workload is gone"), Text::new("look again, then plan again"));
        return Inspection { refusals: vec![refusal], ..Inspection::default() };
    };
    let shape = workload.blueprint.shape;
    let equivalent = match shape {
        Shape::Deployment | Shape::StatefulSet => equivalent(cloud, step),
        Shape::Group => group::equivalent(place, workload, step),
    };
    let mut inspection = Inspection { equivalent: Some(equivalent), ..Inspection::default() };
    let verb = match step.action {
        Action::Evict { .. } => Verb::Evict,
        Action::RestoreRevision { .. } | Action::SetImage { .. } => Verb::Rollback,
        Action::EndRollout { .. } | Action::Promote { .. } => Verb::Pause,
        Action::Borrow { .. } | Action::GiveBack { .. } => Verb::Suspend,
    };
    match place.cannot.get(&verb) {
        Some(why) => {
            let hint = Text::new("ask for the right, or leave the place out");
            inspection.refusals.push((Text::new(&format!("forbidden: {why}")), hint));
        }
        None => inspection.checks.push(check("permission", CheckVerdict::Pass, "allowed", step)),
    }
    match (&step.action, shape) {
        (Action::RestoreRevision { .. } | Action::SetImage { .. }, Shape::StatefulSet) => inspection.refusals.push((
            Text::new(&format!("{} can't be rolled back yet", with_article(&shape.kind()))),
            Text::new("its instances can be replaced one by one: r, or `plan replace`"),
        )),
        (Action::SetImage { .. }, Shape::Group) => {
            let hint = Text::new("then --to-revision NUMBER, or B on the screen");
            inspection.refusals.push((Text::new(group::NO_SINGLE_IMAGE), hint));
        }
        (Action::Promote { .. }, Shape::Deployment | Shape::StatefulSet | Shape::Group) => {
            inspection.refusals.push((Text::new(request::NO_STEPS), Text::new("plan again")));
        }
        (Action::EndRollout { .. }, Shape::Deployment | Shape::StatefulSet) => {
            inspection.refusals.push((Text::new("nothing there has to be ended first"), Text::new("plan again")));
        }
        (
            Action::RestoreRevision { .. }
            | Action::SetImage { .. }
            | Action::Evict { .. }
            | Action::EndRollout { .. }
            | Action::Borrow { .. }
            | Action::GiveBack { .. },
            Shape::Deployment | Shape::StatefulSet | Shape::Group,
        ) => {}
    }
    match &step.action {
        Action::RestoreRevision { revision, .. } => {
            let target = (0..workload.revisions.len() as u16).find(|index| workload.revision_uid(*index) == *revision);
            if let Some(target) = target {
                inspection.also_goes_back = also_goes_back(workload, target);
                if shape == Shape::Group {
                    look_at_refresh(workload, target, step, &mut inspection);
                }
            }
        }
        Action::SetImage { .. }
        | Action::EndRollout { .. }
        | Action::Promote { .. }
        | Action::Borrow { .. }
        | Action::GiveBack { .. } => {}
        Action::Evict { .. } => inspection.checks.extend(budget_check(workload, step)),
    }
    inspection
}

fn look_at_refresh(workload: &Workload, target: u16, step: &Step, inspection: &mut Inspection) {
    let why_not = workload.why_not_refresh(target).filter(|_| step.follows == Follows::Nothing);
    match why_not {
        Some(refusal) => inspection.refusals.push(refusal),
        None if workload.is_refreshing() && step.follows == Follows::Nothing => {
            let detail = "the running instance refresh is taken back: what it has replaced is replaced again";
            inspection.checks.push(check("refresh", CheckVerdict::Pass, detail, step));
        }
        None => {}
    }
    let image = step.to.image.as_ref().map_or("its image", |image| image.as_str());
    inspection.checks.push(check("image", CheckVerdict::Pass, &format!("{image} is available"), step));
}

/// What a dry run on the server says.
pub(super) fn rehearse(cloud: &Cloud, step: &Step) -> Inspection {
    let shape = cloud.find(&step.workload).map(|(_, workload)| workload.blueprint.shape);
    let (verdict, detail) = match (shape, &step.action) {
        // Auto Scaling knows no dry run; EC2 has one of a launch.
        (
            Some(Shape::Group),
            Action::Evict { .. }
            | Action::SetImage { .. }
            | Action::EndRollout { .. }
            | Action::Promote { .. }
            | Action::Borrow { .. }
            | Action::GiveBack { .. },
        ) => return Inspection::default(),
        (Some(Shape::Group), Action::RestoreRevision { number, .. }) => {
            (CheckVerdict::Pass, format!("EC2 would launch version {number}"))
        }
        (Some(Shape::Deployment | Shape::StatefulSet), _) => {
            (CheckVerdict::Pass, "the server would take it".to_string())
        }
        (None, _) => (CheckVerdict::Fail, "the server does not know the workload".to_string()),
    };
    Inspection { checks: vec![check("dry run", verdict, &detail, step)], ..Inspection::default() }
}

/// Settings that differ; the values of limits are shown, those of variables never are.
fn also_goes_back(workload: &Workload, target: u16) -> Vec<Text> {
    let settings = |index: u16| &workload.revisions[usize::from(index)].edition.settings;
    let (now, then) = (settings(workload.current), settings(target));
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
    Text::new(&match &step.action {
        Action::RestoreRevision { number, .. } => {
            format!("kubectl --context {place}{namespace} rollout undo {kind}/{name} --to-revision={number}")
        }
        Action::SetImage { container, image } => {
            format!("kubectl --context {place}{namespace} set image {kind}/{name} {container}={image}")
        }
        Action::Evict { name, .. } => {
            format!("kubectl --context {place}{namespace} evict pod/{name}")
        }
        Action::Borrow { .. } | Action::GiveBack { .. } => {
            step.action.turns().map(|turns| patch_of(place, &turns)).unwrap_or_default()
        }
        // It is refused: no command would.
        Action::EndRollout { .. } | Action::Promote { .. } => String::new(),
    })
}

fn patch_of(place: &str, what: &Borrowed) -> String {
    let Borrowed::Keeper { keeper, to, .. } = what else { return String::new() };
    let (resource, spec) = match (keeper.kind, to) {
        (KeeperKind::Autoscaler, Setting::AtLeast(count)) => ("hpa", format!(r#"{{"minReplicas":{count}}}"#)),
        (_, Setting::Suspended) => {
            ("applications.argoproj.io", r#"{"syncPolicy":{"automated":{"enabled":false}}}"#.to_string())
        }
        (_, Setting::Acts | Setting::AtLeast(_)) => {
            ("applications.argoproj.io", r#"{"syncPolicy":{"automated":{"enabled":null}}}"#.to_string())
        }
    };
    let (namespace, name) = (&keeper.namespace, &keeper.name);
    format!("kubectl --context {place} -n {namespace} patch {resource}/{name} --type=merge -p '{{\"spec\":{spec}}}'")
}
