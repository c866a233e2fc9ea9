//! For one workload: which steps bring it where the operator wants it, or why none do.
//!
//! Never looks at other workloads; waves, floors and refusals of the whole plan are made in `compose`.

use super::brake::brake_of;
use super::by_hand::{is_held_back, is_of_another, is_stuck};
use super::by_run;
use super::canary;
use super::compose::is_named;
use super::lend;
use super::replace::{replace, replace_picked};
use super::{Action, Bound, Brake, Change, Check, CheckVerdict, Follows, Goto, Pick, PlanRequest, Side, Step, Unpause};
use crate::domain::fleet::{Fleet, Instance, Workload};
use crate::domain::history::Version;
use crate::domain::id::StepId;
use crate::domain::image::ImageRef;
use crate::domain::observation::Rollout;
use crate::domain::text::Text;

/// What a workload needs.
pub(super) enum Choice {
    /// These steps.
    Steps {
        /// In order.
        steps: Vec<Step>,
        /// What was looked at.
        checks: Vec<Check>,
    },
    /// Nothing: it asks for the target and every instance is on it.
    AlreadyThere(String),
    /// It can't be done.
    Refused {
        /// Why.
        reason: String,
        /// What to do instead.
        hint: String,
    },
}

/// Chooses for one workload.
pub(super) fn choose(request: &PlanRequest, fleet: &Fleet, workload: &Workload) -> Choice {
    match &request.goto {
        Goto::GiveBack(owing) => lend::give_back(fleet, workload, owing),
        Goto::Expected if workload.id.kind.has_runs() => by_run::no_replacement(workload),
        Goto::Expected => match request.pick {
            Pick::Off => replace(request, fleet, workload),
            Pick::Oldest(_) | Pick::Random { .. } => replace_picked(request, fleet, workload),
        },
        Goto::LastGood => match (request.aims.0.get(&workload.id), workload.last_good()) {
            (Some(aim), _) => match workload.judgement.versions.iter().find(|version| version.hash == *aim) {
                Some(version) => go_to(request, fleet, workload, version),
                None => {
                    refused("the version that this plan went to is gone from its history", "close it and plan again")
                }
            },
            (None, Some(version)) => go_to(request, fleet, workload, version),
            (None, None) => refused(
                "it has no earlier version that is known to be good",
                "pick a version yourself: B on the screen, --to or --to-revision on the command line",
            ),
        },
        Goto::Before(operation) => {
            let aim = request.aims.0.get(&workload.id);
            match workload.judgement.versions.iter().find(|version| Some(&version.hash) == aim) {
                Some(version) => go_to(request, fleet, workload, version),
                None => refused(
                    &format!("the version that it had before {operation} is gone from its history"),
                    "pick a version yourself: B on the screen, --to or --to-revision on the command line",
                ),
            }
        }
        Goto::Promote(stride) => canary::promote(*stride, workload),
        Goto::Revision(number) => match workload.judgement.versions.iter().find(|version| version.number == *number) {
            Some(version) => go_to(request, fleet, workload, version),
            None => refused(
                &format!("it has no revision {number}; it has {}", numbers(workload)),
                "name one of these with --to-revision",
            ),
        },
        Goto::Image(wanted) => {
            let named = |version: &&Version| {
                let reference = version.reference.as_ref();
                let image = version.image.as_ref();
                let is_called = version.version.as_ref().is_some_and(|name| *name == **wanted);
                is_called
                    || reference.is_some_and(|reference| is_named(reference, wanted))
                    || image.is_some_and(|image| {
                        let prefix = wanted.trim_start_matches("sha256:");
                        prefix.len() >= 4 && image.distinctive().starts_with(prefix)
                    })
            };
            let is_in_history = workload.judgement.versions.iter().find(named);
            match (is_in_history, wanted.parse::<ImageRef>()) {
                (Some(version), _) => go_to(request, fleet, workload, version),
                (None, Ok(image)) if wanted.contains([':', '/', '@']) => set_image(request, fleet, workload, &image),
                (None, _) => refused(
                    &format!("no version of it is called {wanted}; it has {}", numbers(workload)),
                    "name a whole image reference, or a version of its history",
                ),
            }
        }
    }
}

pub(super) fn refused(reason: &str, hint: &str) -> Choice {
    Choice::Refused { reason: reason.to_string(), hint: hint.to_string() }
}

fn numbers(workload: &Workload) -> String {
    let versions = workload.judgement.versions.iter().map(|version| match &version.version {
        Some(name) => format!("{} ({name})", version.number),
        None => version.number.to_string(),
    });
    let list: Vec<String> = versions.take(12).collect();
    if list.is_empty() { "none".to_string() } else { list.join(", ") }
}

pub(super) fn go_to(request: &PlanRequest, fleet: &Fleet, workload: &Workload, version: &Version) -> Choice {
    if version.hash == workload.seen.template.hash && workload.seen.rollout != Rollout::Paused {
        return canary::why_not_stay(workload).unwrap_or_else(|| stay(fleet, workload));
    }
    if request.change == Change::ImageOnly {
        return match &version.reference {
            Some(image) => set_image(request, fleet, workload, &image.clone()),
            None => refused("the image of that version is not known", "go back to the whole template"),
        };
    }
    let action = Action::RestoreRevision {
        revision: version.revision.clone(),
        number: version.number,
        hash: version.hash.clone(),
    };
    let to = Side {
        reference: version.reference.clone(),
        image: version.image.clone(),
        version: version.version.clone(),
        container: workload.judgement.main.clone(),
    };
    let evidence = match (&version.evidence, &version.rejected) {
        (Some(good), _) => (CheckVerdict::Pass, format!("{}: {}", good.as_str(), version.why_good(workload.id.kind))),
        (None, Some(why)) => (CheckVerdict::Warn, format!("not a last good version: {why}")),
        (None, None) => (CheckVerdict::Warn, "nothing speaks for it".to_string()),
    };
    let name = version.version.clone().unwrap_or_else(|| Text::new(&format!("revision {}", version.number)));
    let mut checks = vec![check("target", evidence.0, format!("{}: {name}, {}", workload.id, evidence.1))];
    if let Some(canary) = &workload.seen.canary {
        return canary::go_to(request, workload, canary, Some(version), roll(workload, action, to), checks);
    }
    let running = workload.seen.running.as_ref();
    let Some(in_the_way) = running.filter(|running| !running.yields.allows(&version.hash)) else {
        checks.extend(rollout_checks(workload));
        return Choice::Steps { steps: vec![roll(workload, action, to)], checks };
    };
    let detail = format!(
        "{}: {} is ended first: it can't be taken back to {name}; what it has replaced is replaced again",
        workload.id, in_the_way.what
    );
    checks.push(check("rollout", CheckVerdict::Warn, detail));
    let roll = Step { follows: Follows::EndOfRollout, ..roll(workload, action, to) };
    Choice::Steps { steps: vec![end_rollout(workload, &in_the_way.what), roll], checks }
}

/// The template already asks for the target; what is not on it yet must be made again, instance by instance.
fn stay(fleet: &Fleet, workload: &Workload) -> Choice {
    if workload.id.kind.has_runs() {
        return by_run::already_there(fleet, workload);
    }
    let is_left = |instance: &&Instance| {
        instance.seen.phase.is_counted()
            && !is_held_back(workload, instance)
            && match workload.seen.rollout {
                // The platform comes to them, but for those that it waits for.
                Rollout::Progressing => is_stuck(workload, instance),
                Rollout::Stable | Rollout::Paused | Rollout::Failed(_) => {
                    is_of_another(workload, instance)
                        || (instance.is_off(workload) && !runs_requested(workload, instance))
                }
            }
    };
    let left: Vec<&Instance> = fleet.instances_of(workload).filter(is_left).collect();
    match (left.is_empty(), &workload.seen.rollout) {
        (false, _) => Choice::Steps { steps: evictions(workload, &left), checks: Vec::new() },
        (true, Rollout::Progressing) => {
            Choice::AlreadyThere("asks for it already; the rollout is on its way".to_string())
        }
        (true, Rollout::Stable | Rollout::Paused | Rollout::Failed(_)) if workload.seen.strategy.partition > 0 => {
            Choice::AlreadyThere("asks for it, and every instance that its partition lets go is on it".to_string())
        }
        (true, Rollout::Stable | Rollout::Paused | Rollout::Failed(_)) => {
            Choice::AlreadyThere("asks for it and every instance is on it".to_string())
        }
    }
}

fn set_image(request: &PlanRequest, fleet: &Fleet, workload: &Workload, image: &ImageRef) -> Choice {
    let containers = &workload.seen.template.containers;
    let same = |name: &Text| containers.iter().any(|asked| asked.name == *name);
    let by_repository = || {
        let mut found =
            containers.iter().filter(|asked| asked.image.as_ref().is_some_and(|asked| image.is_alike(asked)));
        found.next().filter(|_| found.next().is_none()).map(|asked| asked.name.clone())
    };
    let container = match &request.container {
        Some(named) if same(named) => named.clone(),
        Some(named) => return refused(&format!("it has no container {named}"), "name one of its containers"),
        None => match by_repository() {
            Some(found) => found,
            None => {
                return refused(
                    &format!("none of its containers, or more than one, runs {}", image.repository()),
                    "name the container with --container",
                );
            }
        },
    };
    let asked = workload.container(&container).and_then(|asked| asked.image.as_ref());
    if asked.is_some_and(|asked| asked.as_str() == image.as_str()) && workload.seen.rollout != Rollout::Paused {
        return canary::why_not_stay(workload).unwrap_or_else(|| stay(fleet, workload));
    }
    let to = Side {
        reference: Some(image.clone()),
        image: image.pinned(),
        version: image.version(),
        container: container.clone(),
    };
    let ran = workload
        .judgement
        .versions
        .iter()
        .any(|version| version.reference.as_ref().is_some_and(|reference| reference.asks_same(image)));
    let mut checks = vec![if ran {
        check("target", CheckVerdict::Pass, format!("{}: {image} is in its history", workload.id))
    } else {
        check("target", CheckVerdict::Warn, format!("{}: {image} is not in its history", workload.id))
    }];
    if image.pinned().is_none() {
        let detail = format!("{}: {image} is not pinned; the tag may stand for another image by now", workload.id);
        checks.push(check("pinned", CheckVerdict::Warn, detail));
    }
    let action = Action::SetImage { container, image: image.clone() };
    roll_to_image(request, workload, roll(workload, action, to), checks)
}

/// Whether an instance runs just what its template asks for: however bad that is, it would be made again as it is.
fn runs_requested(workload: &Workload, instance: &Instance) -> bool {
    let main = instance.seen.containers.iter().find(|seen| seen.name == workload.judgement.main);
    let running = main.and_then(|container| container.running.as_ref());
    running.is_some() && running == workload.judgement.requested.as_ref()
}

/// A step that sets an image, on the way that its kind goes.
pub(super) fn roll_to_image(request: &PlanRequest, workload: &Workload, roll: Step, mut checks: Vec<Check>) -> Choice {
    match &workload.seen.canary {
        Some(canary) => canary::go_to(request, workload, canary, None, roll, checks),
        None => {
            checks.extend(rollout_checks(workload));
            Choice::Steps { steps: vec![roll], checks }
        }
    }
}

pub(super) fn end_rollout(workload: &Workload, what: &Text) -> Step {
    let brake = Brake::None(Text::new("a rollout that was ended does not go on by itself"));
    let action = Action::EndRollout { what: what.clone() };
    Step { instances: 0, brake, unpause: Unpause::NotPaused, ..roll(workload, action, side_now(workload)) }
}

pub(super) fn roll(workload: &Workload, action: Action, to: Side) -> Step {
    let paused = workload.seen.rollout == Rollout::Paused;
    Step {
        id: StepId { wave: 0, step: 0 },
        workload: workload.id.clone(),
        action,
        from: side_now(workload),
        to,
        instances: workload.seen.desired,
        total: workload.seen.desired,
        also_goes_back: Vec::new(),
        brake: brake_of(workload),
        unpause: if paused { Unpause::Release } else { Unpause::NotPaused },
        first: None,
        follows: Follows::Nothing,
        left_out: None,
        equivalent: Text::default(),
        bound: Bound::of(&workload.seen),
    }
}

pub(super) fn evictions(workload: &Workload, instances: &[&Instance]) -> Vec<Step> {
    let to = match workload.judgement.expected.as_ref().and_then(|expectation| expectation.main()) {
        Some(target) => Side {
            reference: target.reference.clone(),
            image: target.image.clone().or_else(|| workload.judgement.requested.clone()),
            version: workload.name_of(target.image.as_ref(), target.reference.as_ref()),
            container: workload.judgement.main.clone(),
        },
        None => Side { image: workload.judgement.requested.clone(), ..side_now(workload) },
    };
    instances
        .iter()
        .map(|instance| {
            let container = instance.seen.containers.iter().find(|seen| seen.name == workload.judgement.main);
            let running = container.and_then(|container| container.running.clone());
            let asked = container.and_then(|container| container.asked.clone());
            Step {
                id: StepId { wave: 0, step: 0 },
                workload: workload.id.clone(),
                action: Action::Evict {
                    instance: instance.seen.uid.clone(),
                    name: instance.seen.name.clone(),
                    image: running.clone(),
                    started_at: instance.seen.started_at,
                },
                from: Side {
                    version: workload.name_of(running.as_ref(), asked.as_ref()),
                    reference: asked,
                    image: running,
                    container: workload.judgement.main.clone(),
                },
                to: to.clone(),
                instances: 1,
                total: workload.seen.desired,
                also_goes_back: Vec::new(),
                brake: Brake::None(Text::new("an eviction that was accepted can't be called back")),
                unpause: Unpause::NotPaused,
                first: None,
                follows: Follows::Nothing,
                left_out: None,
                equivalent: Text::default(),
                bound: Bound::of(&workload.seen),
            }
        })
        .collect()
}

pub(super) fn side_now(workload: &Workload) -> Side {
    let reference = workload.requested().cloned();
    Side {
        image: workload.judgement.requested.clone(),
        version: workload.called(),
        reference,
        container: workload.judgement.main.clone(),
    }
}

pub(super) fn rollout_checks(workload: &Workload) -> Vec<Check> {
    match &workload.seen.rollout {
        Rollout::Stable => Vec::new(),
        Rollout::Progressing => {
            vec![check("rollout", CheckVerdict::Pass, format!("{}: this supersedes a rollout on its way", workload.id))]
        }
        Rollout::Failed(why) => {
            vec![check(
                "rollout",
                CheckVerdict::Pass,
                format!("{}: this supersedes a failed rollout ({why})", workload.id),
            )]
        }
        Rollout::Paused => {
            let detail = format!("{}: its rollout is held; the same request releases it", workload.id);
            vec![check("rollout", CheckVerdict::Warn, detail)]
        }
    }
}

/// The same template makes the same stale image again on a node that caches it under a tag that moved.
pub(super) fn stale_pull(workload: &Workload) -> Vec<Check> {
    let unpinned = workload.requested().is_some_and(|asked| asked.pinned().is_none());
    if !unpinned {
        return Vec::new();
    }
    let detail = format!(
        "{}: its template names a tag; with pull policy IfNotPresent a node may start its cached image again",
        workload.id
    );
    vec![check("stale pull", CheckVerdict::Warn, detail)]
}

pub(super) fn check(name: &str, verdict: CheckVerdict, detail: String) -> Check {
    Check { name: Text::new(name), verdict, detail: Text::new(&detail) }
}
