//! From a simulated place to what a provider reports of it (pure).
//!
//! Never keeps what it made: an instance is put into words when it is asked for.

use std::sync::Arc;

use super::blueprint::{Blueprint, Edition, Shape};
use super::cloud::{Cloud, Key};
use super::group;
use super::keepers;
use super::random::mix;
use super::scenario::{Platform, ScenePlace, Verb};
use super::workload::{Instance, Pace, Part, Quirk, Stage, Workload};
use crate::domain::id::{Uid, WorkloadKind};
use crate::domain::look::LookCommands;
use crate::domain::observation::{
    ContainerSeen, Health, InstanceSeen, Observation, Owner, Phase, PlaceIdentity, RevisionSeen, Role, Rollout, Source,
    TemplateHash, WorkloadSeen,
};
use crate::domain::plan::{Bound, Paused};
use crate::domain::text::Text;

/// The list of workloads.
pub(super) const WORKLOADS: &str = "workloads";
/// The list of revisions.
pub(super) const REVISIONS: &str = "revisions";
/// The list of instances.
pub(super) const INSTANCES: &str = "instances";
/// The list of what keeps workloads.
pub(super) const KEEPERS: &str = "keepers";
/// All lists, in the order in which they are made: owners before what they own.
pub(super) const SOURCES: [&str; 4] = [WORKLOADS, REVISIONS, INSTANCES, KEEPERS];

/// Letters of generated names (Kubernetes: apimachinery/pkg/util/rand).
const NAME_LETTERS: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";

/// How a thing is now; that it is gone, if it is. `None` if its whole workload is: that was said already.
pub(super) fn change(cloud: &Cloud, (number, part): Key) -> Option<Observation> {
    let workload = cloud.workload(number)?;
    Some(match part {
        Part::Workload => Observation::Workload(Source(WORKLOADS), Box::new(workload_seen(cloud, workload))),
        Part::Revision(index) => {
            Observation::Revision(Source(REVISIONS), Box::new(revision_seen(cloud, workload, index)))
        }
        Part::Instance(serial) => match workload.instance(serial) {
            Some(instance) => {
                Observation::Instance(Source(INSTANCES), Box::new(instance_seen(cloud, workload, instance)))
            }
            None => gone(INSTANCES, workload.uid_of_serial(serial)),
        },
        Part::Keeper(index) => match keepers::seen(workload, index) {
            Some(seen) => Observation::Keeper(Source(KEEPERS), Box::new(seen)),
            None => gone(KEEPERS, keepers::uid(workload, index)),
        },
    })
}

/// That a thing is gone.
pub(super) fn gone(source: &'static str, uid: Uid) -> Observation {
    Observation::Gone(Source(source), uid)
}

/// A workload as it is now.
pub(super) fn workload_seen(cloud: &Cloud, workload: &Workload) -> WorkloadSeen {
    let blueprint = &workload.blueprint;
    let mut template = workload.revisions[usize::from(workload.current)].edition.template.clone();
    // AWS does not say who has changed a group, and it has no room for a mark.
    let (owners, touched_by) = match blueprint.shape {
        Shape::Deployment | Shape::StatefulSet => (vec![workload.owner.clone()], workload.mark.clone()),
        Shape::Group => {
            template.latent = workload.latent();
            (Vec::new(), None)
        }
    };
    WorkloadSeen {
        uid: workload.uid(),
        kind: blueprint.shape.kind(),
        namespace: blueprint.namespace.clone(),
        name: blueprint.name.clone(),
        service: blueprint.name.clone(),
        template,
        main_container: Some(blueprint.main.clone()),
        expected_annotation: blueprint.expected.clone(),
        generation: workload.generation,
        observed_generation: workload.observed,
        desired: workload.desired,
        rollout: rollout(workload),
        canary: None,
        running: match blueprint.shape {
            Shape::Deployment | Shape::StatefulSet => None,
            Shape::Group => workload.running(),
        },
        strategy: workload.strategy.clone(),
        owners,
        undoers: blueprint.reverter.iter().map(|(undoer, _)| undoer.clone()).collect(),
        requested_since: Some(cloud.time(workload.requested_since)),
        touched_by,
        inoperable: None,
        trouble: None,
    }
}

/// A revision as it is now.
pub(super) fn revision_seen(cloud: &Cloud, workload: &Workload, index: u16) -> RevisionSeen {
    let revision = &workload.revisions[usize::from(index)];
    RevisionSeen {
        left: revision.left.clone(),
        deprecated_at: None,
        label: match workload.blueprint.shape {
            Shape::StatefulSet => Some(revision_name(&workload.blueprint.name, &revision.edition.template.hash)),
            Shape::Deployment | Shape::Group => None,
        },
        uid: workload.revision_uid(index),
        workload: workload.uid(),
        number: revision.number,
        past_numbers: revision.past_numbers.clone(),
        template: revision.edition.template.clone(),
        created_at: Some(cloud.time(revision.created)),
        cause: revision.edition.cause.clone(),
    }
}

/// An instance as it is now.
pub(super) fn instance_seen(cloud: &Cloud, workload: &Workload, instance: &Instance) -> InstanceSeen {
    let edition = &workload.revisions[usize::from(instance.revision)].edition;
    let blueprint = &workload.blueprint;
    let revision_name = revision_name(&blueprint.name, &edition.template.hash);
    let build = usize::from(instance.quirk == Quirk::Stale);
    let mut containers = edition.containers[build].clone();
    if instance.quirk == Quirk::Touched {
        containers.push(debugger());
    }
    let (phase, health, reason) = state(workload, instance);
    if !workload.is_image_known(instance) {
        containers.iter_mut().for_each(|container| container.running = None);
    }
    let (owner, revision) = owner(workload, instance, &revision_name);
    let is_pod = blueprint.shape != Shape::Group;
    let is_crashing = is_pod && instance.stage == Stage::Unhealthy && edition.why.starts_with("CrashLoop");
    InstanceSeen {
        uid: workload.instance_uid(instance),
        owner: Some(Arc::new(owner)),
        service: blueprint.name.clone(),
        namespace: blueprint.namespace.clone(),
        name: name(workload, instance, &revision_name),
        revision,
        phase,
        health,
        reason,
        platform: is_pod.then(|| Text::new("linux/amd64")),
        containers: containers.into(),
        started_at: Some(cloud.time(instance.began)),
        restarts: if is_crashing { ((cloud.now() - instance.began) / 600).clamp(1, 40) as u32 } else { 0 },
        touched: (instance.quirk == Quirk::Touched).then(|| Text::new("ephemeral container debugger-x7k2p")),
    }
}

fn revision_name(workload: &Text, hash: &TemplateHash) -> Text {
    Text::new(&format!("{workload}-{}", suffix_of(&hash.0, 10)))
}

/// The facts that a step on a workload is bound to, as they are now.
pub(super) fn bound(cloud: &Cloud, workload: &Workload) -> Bound {
    Bound::of(&workload_seen(cloud, workload))
}

/// Who we are in a place.
pub(super) fn identity(place: &ScenePlace) -> PlaceIdentity {
    let verbs = [
        (Verb::Rollback, "rollback"),
        (Verb::Evict, "evict"),
        (Verb::Pause, "pause"),
        (Verb::Suspend, "suspend what keeps workloads"),
    ];
    let allowed = verbs.iter().filter(|(verb, _)| !place.cannot.contains_key(verb));
    let forbidden = verbs.iter().filter_map(|(verb, name)| place.cannot.get(verb).map(|why| (name, why)));
    PlaceIdentity {
        account: Some(Text::new(place.account.as_deref().unwrap_or(place.id.get_ref()))),
        identity: Some(Text::new(place.identity.as_deref().unwrap_or("oncall@example"))),
        server: place.server.as_deref().map(Text::new),
        notes: vec![Text::new("simulated")],
        can: allowed.map(|(_, name)| Text::new(name)).collect(),
        cannot: forbidden.map(|(name, why)| (Text::new(name), Text::new(why))).collect(),
        look: Some(look(place)),
    }
}

/// What somebody would look with, were the place real.
fn look(place: &ScenePlace) -> LookCommands {
    let context = place.id.get_ref().rsplit('/').next().unwrap_or_default();
    match place.kind {
        Platform::Kubernetes => LookCommands {
            workload: Text::new(&format!("kubectl --context {context} -n {{namespace}} get {{kind}}/{{name}} -o wide")),
            instance: Text::new(&format!("kubectl --context {context} -n {{namespace}} describe pod {{name}}")),
            by_kind: Vec::new(),
        },
        Platform::Aws => group::look(place),
    }
}

fn rollout(workload: &Workload) -> Rollout {
    match (workload.hold, workload.pace) {
        (Paused::Paused, _) => Rollout::Paused,
        (Paused::Running, Pace::Settled) => Rollout::Stable,
        (Paused::Running, Pace::Moving(_)) => Rollout::Progressing,
        (Paused::Running, Pace::TimedOut) => {
            let deadline = workload.blueprint.progress_deadline;
            Rollout::Failed(Text::new(&match workload.blueprint.shape {
                Shape::Deployment | Shape::StatefulSet => {
                    format!("ProgressDeadlineExceeded: no progress for {} s", deadline / 10)
                }
                Shape::Group => group::why_failed(deadline),
            }))
        }
    }
}

fn state(workload: &Workload, instance: &Instance) -> (Phase, Health, Option<Text>) {
    let edition = &workload.revisions[usize::from(instance.revision)].edition;
    let nothing_is_heard = |why: &str| (Phase::Unknown, Health::Unknown, Some(Text::new(why)));
    match (workload.blueprint.shape, workload.is_silent) {
        (Shape::Deployment | Shape::StatefulSet, true) => nothing_is_heard("its node has stopped reporting"),
        (Shape::Deployment | Shape::StatefulSet, false) => state_of_pod(instance.stage, edition),
        (Shape::Group, true) => nothing_is_heard("EC2 says nothing of it"),
        (Shape::Group, false) => group::state(instance.stage),
    }
}

fn state_of_pod(stage: Stage, edition: &Edition) -> (Phase, Health, Option<Text>) {
    match stage {
        Stage::Starting => (Phase::Pending, Health::Unhealthy, Some(Text::new("ContainerCreating"))),
        Stage::Stuck => (Phase::Pending, Health::Unhealthy, Some(edition.why.clone())),
        Stage::Healthy => (Phase::Running, Health::Healthy, None),
        Stage::Unhealthy => (Phase::Running, Health::Unhealthy, Some(edition.why.clone())),
        Stage::Draining => (Phase::Draining, Health::Unhealthy, Some(Text::new("terminating"))),
    }
}

fn name(workload: &Workload, instance: &Instance, revision_name: &str) -> Text {
    let fingerprint = workload.fingerprint(instance.serial);
    Text::new(&match workload.blueprint.shape {
        Shape::Deployment => format!("{revision_name}-{}", letters(fingerprint, 5)),
        Shape::StatefulSet => format!("{}-{}", workload.blueprint.name, instance.ordinal),
        Shape::Group => group::machine_id(fingerprint),
    })
}

/// Who owns an instance, and of which revision it says that it is.
fn owner(workload: &Workload, instance: &Instance, revision_name: &str) -> (Owner, Option<Text>) {
    let Blueprint { shape, name, .. } = &*workload.blueprint;
    let revision = workload.revision_uid(instance.revision);
    match shape {
        Shape::Deployment => {
            (Owner { uid: revision, kind: WorkloadKind::ReplicaSet, name: Text::new(revision_name) }, None)
        }
        Shape::StatefulSet => {
            (Owner { uid: workload.uid(), kind: shape.kind(), name: name.clone() }, Some(Text::new(revision_name)))
        }
        Shape::Group => (Owner { uid: revision, kind: shape.kind(), name: name.clone() }, None),
    }
}

fn debugger() -> ContainerSeen {
    ContainerSeen {
        name: Text::new("debugger-x7k2p"),
        role: Role::Debug,
        asked: "busybox:1.37".parse().ok(),
        running: None,
    }
}

fn suffix_of(text: &str, length: usize) -> String {
    letters(mix(&text.bytes().map(u64::from).collect::<Vec<u64>>()), length)
}

fn letters(mut number: u64, length: usize) -> String {
    let mut text = String::with_capacity(length);
    for _ in 0..length {
        text.push(char::from(NAME_LETTERS[(number % NAME_LETTERS.len() as u64) as usize]));
        number /= NAME_LETTERS.len() as u64;
    }
    text
}
