//! A workload as the timeline compares it: what it asks for, and which exact images its instances run.
//!
//! Never counts instances: how many there are is no change of a release.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::domain::fleet::{Fleet, Workload};
use crate::domain::history::Version;
use crate::domain::id::{WorkloadId, WorkloadKind};
use crate::domain::image::{ImageId, ImageRef};
use crate::domain::observation::{Phase, TemplateHash, WorkloadSeen};
use crate::domain::plan::Marked;
use crate::domain::text::Text;

/// The last state of a workload that was told; the store keeps it, so that a restart tells nothing again.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Known {
    /// The service that it belongs to.
    pub(super) service: Text,
    /// Over its whole template.
    pub(super) hash: TemplateHash,
    /// What it asks for.
    pub(super) asked: Vec<Asked>,
    /// Since when, as it was told.
    pub(super) since: Option<Timestamp>,
    /// What its instances run.
    pub(super) runs: Vec<Ran>,
    /// What they ran a moment ago, and when that was seen to be gone: it can't have come again before.
    pub(super) left: Vec<(Ran, Timestamp)>,
    /// Versions of its history that have a row, or need none.
    pub(super) told: BTreeSet<TemplateHash>,
    /// Versions that wait for their workload to say who asked for them, since when.
    #[serde(skip)]
    pub(super) held: BTreeMap<TemplateHash, Timestamp>,
}

/// What one container of a template asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Asked {
    /// The container.
    pub(super) container: Text,
    /// As written.
    pub(super) reference: Text,
    /// What a person calls it.
    pub(super) version: Option<Text>,
}

/// One exact image that instances run in one container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Ran {
    /// The container.
    pub(super) container: Text,
    /// Exactly.
    pub(super) image: ImageId,
    /// As those instances asked for it.
    pub(super) reference: Option<Text>,
    /// What a person calls it.
    pub(super) version: Option<Text>,
}

/// A workload as it is now.
pub struct Present<'a> {
    pub(super) id: &'a WorkloadId,
    pub(super) service: &'a Text,
    pub(super) hash: &'a TemplateHash,
    /// The main container.
    pub(super) main: &'a Text,
    pub(super) asked: Vec<Asked>,
    /// The exact image that the main container is asked to run, where that is known.
    pub(super) requested: Option<&'a ImageId>,
    /// With the earliest start of an instance that runs it.
    pub(super) runs: Vec<(Ran, Option<Timestamp>)>,
    /// When its template last changed.
    pub(super) since: Option<Timestamp>,
    /// Who changed it.
    pub(super) by: Option<Text>,
    pub(super) versions: &'a [Version],
    /// Why nothing should run there, where nothing should.
    pub(super) empty: Option<&'static str>,
}

impl<'a> Present<'a> {
    /// A workload of the fleet.
    pub fn of(fleet: &'a Fleet, workload: &'a Workload) -> Present<'a> {
        let (seen, judgement) = (&workload.seen, &workload.judgement);
        Present {
            id: &workload.id,
            service: &seen.service,
            hash: &seen.template.hash,
            main: &judgement.main,
            asked: asked(workload),
            requested: judgement.requested.as_ref(),
            runs: runs(fleet, workload),
            since: seen.requested_since,
            by: asked_by(seen),
            versions: &judgement.versions,
            empty: match seen.desired {
                // What was deleted stays for as long as its last instances end.
                0 if workload.is_made_up() => Some("the workload is gone"),
                0 => Some("scaled to zero"),
                _ => None,
            },
        }
    }

    /// What a container is asked to run.
    pub(super) fn asked_in(&self, container: &str) -> Option<&Asked> {
        self.asked.iter().find(|asked| *asked.container == *container)
    }

    /// The version of its history that it asks for now.
    pub(super) fn version(&self) -> Option<&Version> {
        self.versions.iter().find(|version| version.hash == *self.hash)
    }

    /// The earliest moment at which something of it is known to have been there.
    pub(super) fn began(&self) -> Option<Timestamp> {
        self.since.into_iter().chain(self.runs.iter().filter_map(|(_, started)| *started)).min()
    }

    /// A container as a row names it.
    pub(super) fn named(&self, container: &Text) -> Option<Text> {
        (container != self.main).then(|| container.clone())
    }
}

impl Known {
    /// Whether instances run this.
    pub(super) fn runs(&self, ran: &Ran) -> bool {
        self.runs.iter().any(|known| known.is_same(ran))
    }
}

impl Ran {
    /// Whether both are one image in one container. What kind of digest it is may be learnt later, and changes nothing.
    pub(super) fn is_same(&self, other: &Ran) -> bool {
        self.container == other.container && self.image.as_str() == other.image.as_str()
    }
}

/// Whether what runs there ends by itself: an end is no change of a release.
pub(super) fn ends_by_itself(kind: WorkloadKind) -> bool {
    kind.has_runs() || kind == WorkloadKind::Job
}

/// Whether a version of its history was asked for when it was made. A launch template's version may wait for ever, and a
/// run is no request.
pub(super) fn is_asked_when_made(kind: WorkloadKind) -> bool {
    kind != WorkloadKind::AutoScalingGroup && !kind.has_runs()
}

fn asked(workload: &Workload) -> Vec<Asked> {
    let specs = workload.seen.template.containers.iter().filter(|spec| spec.role.is_judged());
    let mut asked: Vec<Asked> = specs
        .filter_map(|spec| {
            let image = spec.image.as_ref()?;
            let called = if spec.name == workload.judgement.main { workload.called() } else { image.version() };
            Some(Asked { container: spec.name.clone(), reference: Text::new(image.as_str()), version: called })
        })
        .collect();
    asked.sort_by(|a, b| a.container.cmp(&b.container));
    asked
}

fn runs(fleet: &Fleet, workload: &Workload) -> Vec<(Ran, Option<Timestamp>)> {
    let mut runs: Vec<(&Text, &ImageId, Option<&ImageRef>, Option<Timestamp>)> = Vec::new();
    // One that drains is still there.
    let is_there = |phase: Phase| !matches!(phase, Phase::Succeeded | Phase::Failed);
    for instance in fleet.instances_of(workload).filter(|instance| is_there(instance.seen.phase)) {
        let started = instance.seen.started_at;
        for container in instance.seen.containers.iter().filter(|container| container.role.is_judged()) {
            let Some(image) = &container.running else { continue };
            let known = runs.iter_mut().find(|(name, known, ..)| *name == &container.name && *known == image);
            match known {
                Some((.., earliest)) => *earliest = [*earliest, started].into_iter().flatten().min(),
                None => runs.push((&container.name, image, container.asked.as_ref(), started)),
            }
        }
    }
    runs.sort_by(|a, b| a.0.cmp(b.0).then_with(|| a.1.cmp(b.1)));
    let ran = |(container, image, reference, started): (&Text, &ImageId, Option<&ImageRef>, Option<Timestamp>)| {
        let ran = Ran {
            container: container.clone(),
            image: image.clone(),
            reference: reference.map(|reference| Text::new(reference.as_str())),
            version: workload.name_of(Some(image), reference),
        };
        (ran, started)
    };
    runs.into_iter().map(ran).collect()
}

/// The name under which this program writes (Kubernetes: `fieldManager`).
const OURS: &str = "rolldeck";

/// Who last asked for what a workload asks for: an operation of a Rolldeck, else who owns the image field, else the
/// rollout that runs. The mark of an operation outlives it: it only counts while nobody else owns the field.
fn asked_by(seen: &WorkloadSeen) -> Option<Text> {
    let owners: Vec<&str> = seen.owners.iter().map(|owner| owner.manager.as_str()).collect();
    let mark = seen.touched_by.as_deref().and_then(Marked::of);
    let is_ours = owners.is_empty() || owners.contains(&OURS);
    if let Some(marked) = mark.filter(|_| is_ours) {
        return Some(Text::new(&format!("{} {}", marked.operation, marked.who)));
    }
    if !owners.is_empty() {
        return Some(Text::new(&owners.join(", ")));
    }
    // Its progress moves: what it is called stays.
    seen.running.as_ref().map(|running| Text::new(running.what.split(" (").next().unwrap_or_default()))
}
