//! From the bytes of a list or watch to observations, with the little that one list must know of another: the platforms
//! of nodes for pods, the templates of versions for pods and for the workloads that have them.
//!
//! Never holds a pod: what is known of instances is kept by the fleet alone.

use std::collections::{HashMap, HashSet};

use jiff::Timestamp;

use super::client::{Fault, malformed};
use super::convert::{self, Asked, Keeper, Kind, POD_HASH, RolloutVersion, Seen, Surrounding};
use super::rollouts::{Listing, Rollouts};
use super::slim;
use super::slim::{ControllerRevision, Event, Node, Notice, OwnerReference, Pod, Workload};
use crate::domain::expectation::ServiceKeys;
use crate::domain::id::{Uid, WorkloadKind};
use crate::domain::keeper::{KeeperKind, KeeperSeen};
use crate::domain::observation::{Observation, RevisionSeen, Source, TemplateHash, WorkloadSeen};
use crate::domain::text::Text;

/// A kind of object that is listed and watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Listed {
    /// For their platforms; they are no rows.
    Nodes,
    /// Workloads and their versions.
    Workloads(Kind),
    /// The versions of StatefulSets and DaemonSets.
    Revisions,
    /// Instances.
    Pods,
    /// What keeps workloads.
    Keepers(KeeperKind),
}

/// What an event of a watch was.
pub(super) enum Happened {
    /// Something changed, or nothing did until here: the resource version to go on from.
    Until(String),
    /// The server no longer knows what happened since our resource version: list again.
    TooOld,
    /// The server ends the watch.
    Ended,
}

/// What lists know of each other.
pub(super) struct Known {
    keys: ServiceKeys,
    platforms: HashMap<String, Text>,
    /// What templates ask for, by the uid that their pods name as their owner.
    asked: HashMap<Text, Asked>,
    rolled: HashMap<Uid, Rolled>,
    rollouts: Rollouts,
    revisions: HashMap<Text, Vec<Brief>>,
    workload_of: HashMap<Uid, (Source, Uid)>,
    /// As they were last reported: their status moves all the time, and says nothing that counts.
    keepers: HashMap<Uid, KeeperSeen>,
    /// The uids of lists that are being made.
    listing: HashMap<Source, HashSet<Uid>>,
}

/// A workload whose versions are listed apart from it.
struct Rolled {
    source: Source,
    seen: WorkloadSeen,
    written_at: Option<Timestamp>,
}

struct Brief {
    uid: Uid,
    /// What its pods call it, where they do not name it as their owner.
    label: Option<Text>,
    number: u64,
    hash: TemplateHash,
    created_at: Option<Timestamp>,
    /// Whether it came back after others: then its age says nothing about when it was asked for.
    has_returned: bool,
}

impl Known {
    /// Nothing yet.
    pub(super) fn new(keys: ServiceKeys) -> Known {
        Known {
            keys,
            platforms: HashMap::new(),
            asked: HashMap::new(),
            rolled: HashMap::new(),
            rollouts: Rollouts::default(),
            revisions: HashMap::new(),
            workload_of: HashMap::new(),
            keepers: HashMap::new(),
            listing: HashMap::new(),
        }
    }

    /// A list begins.
    pub(super) fn begin(&mut self, source: Source) {
        self.listing.insert(source, HashSet::new());
    }

    /// A list is complete: what it did not have is forgotten.
    pub(super) fn finish(&mut self, source: Source) {
        let Some(present) = self.listing.remove(&source) else { return };
        let of_source = self.workload_of.iter().filter(|(uid, (of, _))| *of == source && !present.contains(*uid));
        let mut gone: Vec<Uid> = of_source.map(|(uid, _)| uid.clone()).collect();
        let rolled = self.rolled.iter().filter(|(uid, known)| known.source == source && !present.contains(*uid));
        gone.extend(rolled.map(|(uid, _)| uid.clone()));
        for uid in gone {
            self.forget(&uid);
        }
    }

    /// One item of a list or of an event; says its resource version.
    pub(super) fn item(
        &mut self,
        listed: Listed,
        source: Source,
        bytes: &[u8],
        out: &mut Vec<Observation>,
    ) -> Result<String, Fault> {
        let version = match listed {
            Listed::Nodes => {
                let node: Node<'_> = read(bytes)?;
                self.put_node(&node);
                node.metadata.resource_version.as_str().to_string()
            }
            Listed::Workloads(Kind::Rollout) => {
                let raw: Workload<'_> = read(bytes)?;
                self.put_rollout(source, &raw, &read(bytes)?, out);
                raw.metadata.resource_version.as_str().to_string()
            }
            Listed::Workloads(kind) => {
                let raw: Workload<'_> = read(bytes)?;
                self.put_workload(kind, source, &raw, out);
                raw.metadata.resource_version.as_str().to_string()
            }
            Listed::Revisions => {
                let raw: ControllerRevision<'_> = read(bytes)?;
                if let Some(revision) = convert::controller_revision(&raw) {
                    self.put_revision(source, Box::new(revision), out);
                }
                raw.metadata.resource_version.as_str().to_string()
            }
            Listed::Keepers(kind) => {
                let raw: Keeper<'_> = read(bytes)?;
                self.put_keeper(source, convert::keeper(kind, &raw), out);
                raw.metadata.resource_version.as_str().to_string()
            }
            Listed::Pods => {
                let pod: Pod<'_> = read(bytes)?;
                self.put_pod(source, &pod, out);
                pod.metadata.resource_version.as_str().to_string()
            }
        };
        Ok(version)
    }

    /// One event of a watch.
    pub(super) fn event(
        &mut self,
        listed: Listed,
        source: Source,
        line: &[u8],
        out: &mut Vec<Observation>,
    ) -> Result<Happened, Fault> {
        let event: Event<'_> = read(line)?;
        let object = event.object.get().as_bytes();
        match event.kind.as_str() {
            "ADDED" | "MODIFIED" => Ok(Happened::Until(self.item(listed, source, object, out)?)),
            "DELETED" => {
                let notice: Notice<'_> = read(object)?;
                if listed == Listed::Nodes {
                    self.platforms.remove(notice.metadata.name.as_str());
                } else {
                    let uid = Uid::new(notice.metadata.uid.as_str());
                    self.forget(&uid);
                    out.push(Observation::Gone(source, uid));
                }
                Ok(Happened::Until(notice.metadata.resource_version.as_str().to_string()))
            }
            "BOOKMARK" => {
                let notice: Notice<'_> = read(object)?;
                Ok(Happened::Until(notice.metadata.resource_version.as_str().to_string()))
            }
            "ERROR" => {
                let notice: Notice<'_> = read(object)?;
                Ok(if notice.code == 410 { Happened::TooOld } else { Happened::Ended })
            }
            // An event that a later API may bring; it carries nothing that is known here.
            _ => Ok(Happened::Until(String::new())),
        }
    }

    fn put_node(&mut self, node: &Node<'_>) {
        if let Some(platform) = convert::platform(node) {
            self.platforms.insert(node.metadata.name.as_str().to_string(), platform);
        }
    }

    fn put_pod(&mut self, source: Source, pod: &Pod<'_>, out: &mut Vec<Observation>) {
        let owner = OwnerReference::controller(&pod.metadata.owner_references);
        let asked = owner.and_then(|owner| self.asked_of(owner.uid.as_str(), pod));
        let platform = self.platforms.get(pod.spec.node_name.as_str()).cloned();
        let surrounding = Surrounding { keys: &self.keys, platform, asked };
        out.push(Observation::Instance(source, Box::new(convert::instance(pod, &surrounding))));
    }

    fn put_keeper(&mut self, source: Source, seen: KeeperSeen, out: &mut Vec<Observation>) {
        let is_listed = self.listing.contains_key(&source);
        // Its status is written all the time, and says nothing that anybody here asks for.
        if !is_listed && self.keepers.get(&seen.uid).is_some_and(|known| known.is_as(&seen)) {
            return;
        }
        self.keepers.insert(seen.uid.clone(), seen.clone());
        out.push(Observation::Keeper(source, Box::new(seen)));
    }

    /// What the template asks for that a pod was made from. Where versions are known by name, that of another one would
    /// only mislead.
    fn asked_of(&self, owner: &str, pod: &Pod<'_>) -> Option<&Asked> {
        let Some(siblings) = self.revisions.get(owner) else { return self.asked.get(owner) };
        let name = convert::revision_of(pod)?;
        let own = siblings.iter().find(|known| known.label.as_ref() == Some(&name))?;
        self.asked.get(own.uid.0.as_str())
    }

    fn put_workload(&mut self, kind: Kind, source: Source, raw: &Workload<'_>, out: &mut Vec<Observation>) {
        let mut seen = convert::workload(kind, raw, &self.keys);
        if let (Seen::Revision(revision), Some(pod_hash)) = (&seen, raw.metadata.labels.get(POD_HASH))
            && !self.rollouts.takes(source, revision, pod_hash)
        {
            let (alone, written_at) = convert::alone(kind, raw, &self.keys);
            seen = Seen::Workload(Box::new(alone), written_at);
        }
        match seen {
            Seen::Workload(mut seen, written_at) => {
                if let Some(present) = self.listing.get_mut(&source) {
                    present.insert(seen.uid.clone());
                }
                let user = if kind == Kind::Deployment { self.rollouts.put_deployment(&seen) } else { None };
                seen.inoperable =
                    seen.inoperable.or_else(|| user.as_ref().and_then(|user| self.rollouts.why_not(user)));
                if kind.has_versions() {
                    seen.requested_since = self.since(&seen, written_at);
                    self.rolled.insert(seen.uid.clone(), Rolled { source, seen: (*seen).clone(), written_at });
                }
                if seen.kind != WorkloadKind::Deployment {
                    self.asked.insert(seen.uid.0.clone(), convert::asked_of(&seen.template));
                    self.workload_of.insert(seen.uid.clone(), (source, seen.uid.clone()));
                }
                out.push(Observation::Workload(source, seen));
                if let Some(user) = user {
                    self.tell_rollout(&user, out);
                }
            }
            Seen::Revision(revision) => {
                let pod_hash = raw.metadata.labels.get(POD_HASH).map(Text::new);
                self.put_version(source, revision, pod_hash, out);
            }
        }
    }

    /// A version, of a Rollout where its controller has given it a hash of its own.
    fn put_version(
        &mut self,
        source: Source,
        revision: Box<RevisionSeen>,
        pod_hash: Option<Text>,
        out: &mut Vec<Observation>,
    ) {
        let workload = revision.workload.clone();
        let is_of_rollout = pod_hash.is_some();
        if let Some(pod_hash) = pod_hash {
            let version = RolloutVersion { uid: revision.uid.clone(), pod_hash, template: revision.template.clone() };
            self.rollouts.put_version(workload.clone(), version);
        }
        self.put_revision(source, revision, out);
        if is_of_rollout {
            self.tell_rollout(&workload, out);
        }
    }

    /// Rollouts can be listed, or there are none: what their ReplicaSets are depends on it.
    pub(super) fn set_rollouts(&mut self, listing: Listing, out: &mut Vec<Observation>) {
        for (source, revision, pod_hash) in self.rollouts.set_listed(listing) {
            self.put_version(source, Box::new(revision), Some(pod_hash), out);
        }
    }

    fn put_rollout(
        &mut self,
        source: Source,
        raw: &Workload<'_>,
        own: &slim::rollout::Rollout<'_>,
        out: &mut Vec<Observation>,
    ) {
        let alone = convert::rollout(raw, own, &self.keys);
        let uid = alone.seen.uid.clone();
        if let Some(present) = self.listing.get_mut(&source) {
            present.insert(uid.clone());
        }
        self.workload_of.insert(uid.clone(), (source, uid.clone()));
        self.rollouts.put(source, alone);
        // The Deployment that it refers to may have been here long before it.
        if let Some((namespace, name)) = self.rollouts.missing(&uid) {
            let is_it = |known: &&mut Rolled| {
                let seen = &known.seen;
                seen.kind == WorkloadKind::Deployment
                    && seen.name == name
                    && seen.namespace.as_ref() == Some(&namespace)
            };
            if let Some(deployment) = self.rolled.values_mut().find(is_it) {
                self.rollouts.put_deployment(&deployment.seen);
                deployment.seen.inoperable = self.rollouts.why_not(&uid);
                out.push(Observation::Workload(deployment.source, Box::new(deployment.seen.clone())));
            }
        }
        self.tell_rollout(&uid, out);
    }

    /// Says what a Rollout is like now, if that is news. While its list is made only what is in it already is said.
    fn tell_rollout(&mut self, uid: &Uid, out: &mut Vec<Observation>) {
        let Some((source, mut seen, written_at)) = self.rollouts.whole(uid) else { return };
        if self.listing.get(&source).is_some_and(|present| !present.contains(uid)) {
            return;
        }
        seen.requested_since = self.since(&seen, written_at);
        if self.rollouts.is_news(&seen) {
            self.asked.insert(seen.uid.0.clone(), convert::asked_of(&seen.template));
            out.push(Observation::Workload(source, Box::new(seen)));
        }
    }

    fn put_revision(&mut self, source: Source, revision: Box<RevisionSeen>, out: &mut Vec<Observation>) {
        if let Some(present) = self.listing.get_mut(&source) {
            present.insert(revision.uid.clone());
        }
        self.asked.insert(revision.uid.0.clone(), convert::asked_of(&revision.template));
        self.workload_of.insert(revision.uid.clone(), (source, revision.workload.clone()));
        let brief = Brief {
            uid: revision.uid.clone(),
            label: revision.label.clone(),
            number: revision.number,
            hash: revision.template.hash.clone(),
            created_at: revision.created_at,
            has_returned: !revision.past_numbers.is_empty(),
        };
        let siblings = self.revisions.entry(revision.workload.0.clone()).or_default();
        siblings.retain(|known| known.uid != brief.uid);
        siblings.push(brief);
        let workload = revision.workload.clone();
        out.push(Observation::Revision(source, revision));
        // A workload that came before its version did not know yet since when it asks for this.
        let Some(known) = self.rolled.get(&workload) else { return };
        let since = self.since(&known.seen, known.written_at);
        if since != known.seen.requested_since && !self.listing.contains_key(&known.source) {
            let known = self.rolled.get_mut(&workload).expect("it was there a moment ago");
            known.seen.requested_since = since;
            out.push(Observation::Workload(known.source, Box::new(known.seen.clone())));
        }
    }

    /// Since when a workload asks for its template: the age of the version that was made for it, unless that one has come
    /// back from the past; then the time at which the owner of the image last wrote.
    fn since(&self, seen: &WorkloadSeen, written_at: Option<Timestamp>) -> Option<Timestamp> {
        let siblings = self.revisions.get(&seen.uid.0).map(Vec::as_slice).unwrap_or_default();
        let same = siblings.iter().filter(|known| known.hash == seen.template.hash);
        let current = same.min_by(|a, b| a.created_at.cmp(&b.created_at).then_with(|| a.uid.cmp(&b.uid)));
        // A ControllerRevision keeps no past numbers: a younger one with a lower number was in between.
        let has_returned = |current: &Brief| {
            let is_between = |other: &Brief| other.created_at > current.created_at && other.number < current.number;
            current.has_returned || siblings.iter().any(is_between)
        };
        match current {
            Some(current) if !has_returned(current) => current.created_at,
            Some(current) => written_at.max(current.created_at),
            None => written_at.or(seen.requested_since),
        }
    }

    fn forget(&mut self, uid: &Uid) {
        self.keepers.remove(uid);
        self.asked.remove(&uid.0);
        self.rolled.remove(uid);
        self.rollouts.forget(uid);
        if let Some((_, workload)) = self.workload_of.remove(uid)
            && let Some(siblings) = self.revisions.get_mut(&workload.0)
        {
            siblings.retain(|known| known.uid != *uid);
            if siblings.is_empty() {
                self.revisions.remove(&workload.0);
            }
        }
    }
}

fn read<'a, T: serde::Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, Fault> {
    serde_json::from_slice(bytes).map_err(|error| malformed(&error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const ROLLOUT: &str = include_str!("../../../tests/fixtures/argo-rollouts/canary.json");
    const ROLLOUTS: Listed = Listed::Workloads(Kind::Rollout);
    const SETS: Listed = Listed::Workloads(Kind::ReplicaSet);

    fn set() -> Vec<u8> {
        let uid = "6fdc40b8-9f11-4841-b33c-c6199aef6aac";
        json!({"metadata": {"name": "app-7cd6fc84bd", "namespace": "a", "uid": "r2", "labels": {POD_HASH: "7cd6fc84bd"},
                "annotations": {"rollout.argoproj.io/revision": "2", "rollout.argoproj.io/revision-history": "1"},
                "ownerReferences": [{"kind": "Rollout", "name": "app", "uid": uid, "controller": true}]},
            "spec": {"template": {"metadata": {"labels": {POD_HASH: "7cd6fc84bd"}},
                "spec": {"restartPolicy": "Always", "containers": [{"name": "app", "image": "shop/app:v42"}]}}}})
        .to_string()
        .into_bytes()
    }

    /// What was said: kinds of workloads with the image that they ask for, and numbers of versions.
    fn said(observations: &[Observation]) -> Vec<String> {
        let image = |seen: &WorkloadSeen| {
            let image = seen.template.containers.first().and_then(|asked| asked.image.as_ref());
            image.map(|image| image.as_str().split('@').next().unwrap_or_default().to_string()).unwrap_or_default()
        };
        let text = |observation: &Observation| match observation {
            Observation::Workload(_, seen) => format!("{} {}", seen.kind, image(seen)),
            Observation::Revision(_, seen) => format!("version {}", seen.number),
            other => format!("{other:?}"),
        };
        observations.iter().map(text).collect()
    }

    #[test]
    fn the_replica_sets_of_rollouts_are_versions_once_those_can_be_listed() {
        let mut known = Known::new(ServiceKeys::default());
        let mut out = Vec::new();
        let (rollouts, sets) = (Source("rollouts"), Source("replicasets"));
        known.item(SETS, sets, &set(), &mut out).expect("a ReplicaSet");
        assert_eq!(said(&out), ["ReplicaSet shop/app:v42"], "while it can't be told whose it is");
        out.clear();
        known.begin(rollouts);
        known.item(ROLLOUTS, rollouts, ROLLOUT.as_bytes(), &mut out).expect("a Rollout");
        known.finish(rollouts);
        known.set_rollouts(Listing::Complete, &mut out);
        let own = "registry.example:5000/shop/app:v42";
        assert_eq!(said(&out), [&format!("Rollout {own}"), "version 2", "Rollout shop/app:v42"]);
        out.clear();
        known.item(SETS, sets, &set(), &mut out).expect("a ReplicaSet");
        assert_eq!(said(&out), ["version 2"], "nothing new of the Rollout");
        out.clear();
        // Its event tells of the same: its row is said again, with all that is known.
        known.item(ROLLOUTS, rollouts, ROLLOUT.as_bytes(), &mut out).expect("a Rollout");
        assert_eq!(said(&out), ["Rollout shop/app:v42"]);
    }
}
