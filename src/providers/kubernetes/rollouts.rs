//! What the lists of Rollouts, ReplicaSets and Deployments must know of each other so that a Rollout's row is whole.
//!
//! Never says a row twice that has not changed.

use std::collections::HashMap;

use super::convert::{Reference, RolloutAlone, RolloutVersion};
use crate::domain::id::Uid;
use crate::domain::observation::{RevisionSeen, Source, WorkloadSeen};
use crate::domain::text::Text;

/// Whether a list of Rollouts could be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Listing {
    /// It is whole.
    Complete,
    /// There are none to list.
    Absent,
}

/// The Rollouts of a cluster.
#[derive(Default)]
pub(super) struct Rollouts {
    alone: HashMap<Uid, (Source, RolloutAlone)>,
    /// By the Rollout that owns them.
    versions: HashMap<Uid, Vec<RolloutVersion>>,
    owners: HashMap<Uid, Uid>,
    /// The Rollout that uses the template of a Deployment, by the namespace and name of that one.
    users: HashMap<(Text, Text), Uid>,
    referred: HashMap<(Text, Text), WorkloadSeen>,
    said: HashMap<Uid, WorkloadSeen>,
    /// Whether they can be listed. While they can't, a ReplicaSet of one stands for itself: it at least has a name.
    are_listed: bool,
    waiting: HashMap<Uid, (Source, RevisionSeen, Text)>,
}

impl Rollouts {
    /// A Rollout is like this.
    pub(super) fn put(&mut self, source: Source, alone: RolloutAlone) {
        let uid = alone.seen.uid.clone();
        self.forget_reference(&uid);
        if let Some(key) = key_of(&alone) {
            self.users.insert(key, uid.clone());
        }
        self.said.remove(&uid);
        self.alone.insert(uid, (source, alone));
    }

    /// Whether a ReplicaSet of a Rollout is shown as a version of it. Else it is kept until it can be.
    pub(super) fn takes(&mut self, source: Source, revision: &RevisionSeen, pod_hash: &str) -> bool {
        if !self.are_listed {
            self.waiting.insert(revision.uid.clone(), (source, revision.clone(), Text::new(pod_hash)));
        }
        self.are_listed
    }

    /// Whether they can be listed from now on. Says which ReplicaSets are versions of them by that.
    pub(super) fn set_listed(&mut self, listed: Listing) -> Vec<(Source, RevisionSeen, Text)> {
        self.are_listed = listed == Listing::Complete;
        if self.are_listed { self.waiting.drain().map(|(_, waiting)| waiting).collect() } else { Vec::new() }
    }

    /// A ReplicaSet of a Rollout is like this.
    pub(super) fn put_version(&mut self, rollout: Uid, version: RolloutVersion) {
        self.owners.insert(version.uid.clone(), rollout.clone());
        let versions = self.versions.entry(rollout).or_default();
        versions.retain(|known| known.uid != version.uid);
        versions.push(version);
    }

    /// A Deployment is like this. Says which Rollout uses its template.
    pub(super) fn put_deployment(&mut self, deployment: &WorkloadSeen) -> Option<Uid> {
        let key = (deployment.namespace.clone().unwrap_or_default(), deployment.name.clone());
        let user = self.users.get(&key)?.clone();
        self.referred.insert(key, deployment.clone());
        Some(user)
    }

    /// The Deployment that a Rollout refers to and of which nothing is known yet: namespace and name.
    pub(super) fn missing(&self, rollout: &Uid) -> Option<(Text, Text)> {
        let (_, alone) = self.alone.get(rollout)?;
        key_of(alone).filter(|key| !self.referred.contains_key(key))
    }

    /// Why a Deployment is not changed itself: a Rollout uses its template.
    pub(super) fn why_not(&self, user: &Uid) -> Option<Text> {
        let (_, alone) = self.alone.get(user)?;
        Some(Text::new(&format!("Rollout/{} uses its template and rolls it out; change that one", alone.seen.name)))
    }

    /// A Rollout, with all that is known; its row's source.
    pub(super) fn whole(&self, uid: &Uid) -> Option<(Source, WorkloadSeen, Option<jiff::Timestamp>)> {
        let (source, alone) = self.alone.get(uid)?;
        let versions = self.versions.get(uid).map(Vec::as_slice).unwrap_or_default();
        let referred = key_of(alone).and_then(|key| self.referred.get(&key));
        let written_at = alone.written_at.or_else(|| referred.and_then(|referred| referred.requested_since));
        Some((*source, alone.with(versions, referred), written_at))
    }

    /// Whether this has not been said yet; from now on it has.
    pub(super) fn is_news(&mut self, seen: &WorkloadSeen) -> bool {
        if self.said.get(&seen.uid) == Some(seen) {
            return false;
        }
        self.said.insert(seen.uid.clone(), seen.clone());
        true
    }

    /// A Rollout or a ReplicaSet is gone.
    pub(super) fn forget(&mut self, uid: &Uid) {
        self.forget_reference(uid);
        self.alone.remove(uid);
        self.said.remove(uid);
        self.waiting.remove(uid);
        let Some(owner) = self.owners.remove(uid) else { return };
        if let Some(versions) = self.versions.get_mut(&owner) {
            versions.retain(|known| known.uid != *uid);
            if versions.is_empty() {
                self.versions.remove(&owner);
            }
        }
    }

    fn forget_reference(&mut self, rollout: &Uid) {
        let Some(key) = self.alone.get(rollout).and_then(|(_, alone)| key_of(alone)) else { return };
        if self.users.get(&key) == Some(rollout) {
            self.users.remove(&key);
            self.referred.remove(&key);
        }
    }
}

fn key_of(alone: &RolloutAlone) -> Option<(Text, Text)> {
    match &alone.reference {
        Some(Reference::Deployment(name)) => Some((alone.seen.namespace.clone().unwrap_or_default(), name.clone())),
        Some(Reference::Other(_)) | None => None,
    }
}
