//! What keeps workloads, place by place: found by its own name, by how a workload names it, or by what it scales.
//!
//! Never judges a workload by it.

use std::collections::BTreeMap;

use super::{Fleet, Listing, Workload};
use crate::domain::id::{PlaceId, Uid, WorkloadId};
use crate::domain::keeper::{Borrowed, KeeperId, KeeperName, KeeperSeen, Setting};
use crate::domain::observation::{Source, Undoer};
use crate::domain::plan::Owing;
use crate::domain::text::Text;

/// The keepers of one place.
#[derive(Default)]
pub(super) struct Keepers(BTreeMap<Uid, (Source, KeeperSeen)>);

impl Keepers {
    /// It is like this.
    pub(super) fn put(&mut self, source: Source, seen: KeeperSeen) {
        self.0.insert(seen.uid.clone(), (source, seen));
    }

    /// It is gone; says whether it was there.
    pub(super) fn remove(&mut self, uid: &Uid) -> bool {
        self.0.remove(uid).is_some()
    }

    /// A list is complete: what it did not have is gone.
    pub(super) fn keep_listed(&mut self, source: Source, list: &Listing) {
        self.0.retain(|uid, (of, _)| *of != source || list.seen.contains(uid));
    }

    fn iter(&self) -> impl Iterator<Item = &KeeperSeen> {
        self.0.values().map(|(_, seen)| seen)
    }
}

impl Fleet {
    /// A keeper by its own name.
    pub fn keeper(&self, id: &KeeperId) -> Option<&KeeperSeen> {
        let is_it = |seen: &&KeeperSeen| seen.kind == id.kind && seen.namespace == id.namespace && seen.name == id.name;
        self.place(&id.place)?.keepers.iter().find(is_it)
    }

    /// The one that a workload of this place means by a name; `None` where nothing is seen, or more than one that it may be.
    pub fn keeper_named(&self, place: &PlaceId, name: &KeeperName) -> Option<&KeeperSeen> {
        let is_it = |seen: &&KeeperSeen| {
            let is_there = name.namespace.as_ref().is_none_or(|namespace| *namespace == seen.namespace);
            seen.kind == name.kind && seen.name == name.name && is_there
        };
        let mut found = self.place(place)?.keepers.iter().filter(is_it);
        found.next().filter(|_| found.next().is_none())
    }

    /// Who would put another version back in a workload, how, and how fast as it is now.
    pub fn undoers_of(&self, workload: &Workload) -> Vec<Undoer> {
        let declared = self.releases.expected(&workload.seen.service, &workload.id.place);
        let declared = declared.and_then(|release| Some((release.declared_by?, release))).map(|(by, release)| Undoer {
            by: Text::new(by.as_str()),
            what: Text::new(&format!("declares it ({})", release.source)),
            how_fast: Text::new("when somebody applies it next"),
            keeper: None,
        });
        let mut undoers: Vec<Undoer> = workload.seen.undoers.iter().cloned().chain(declared).collect();
        for undoer in undoers.iter_mut().filter(|undoer| self.is_suspended(&workload.id.place, undoer)) {
            undoer.how_fast = Text::new("not while it is suspended, as it is now");
        }
        undoers
    }

    /// Whether somebody has suspended what would undo a change.
    pub fn is_suspended(&self, place: &PlaceId, undoer: &Undoer) -> bool {
        let keeper = undoer.keeper.as_ref().and_then(|name| self.keeper_named(place, name));
        keeper.is_some_and(|keeper| keeper.setting == Setting::Suspended)
    }

    /// What operations of this machine owe now.
    pub fn set_loans(&mut self, loans: Vec<Owing>) {
        if self.loans != loans {
            self.loans = loans;
            self.revision += 1;
        }
    }

    /// Whether this is borrowed already: who borrowed it again would give back what was borrowed, and not what was there.
    pub fn is_lent(&self, workload: &WorkloadId, what: &Borrowed) -> bool {
        self.loans.iter().any(|owed| {
            let is_of_workload = owed.workload == *workload || matches!(what, Borrowed::Keeper { .. });
            is_of_workload && owed.loan.what.is_of_same(what)
        })
    }

    /// The autoscaler of a workload.
    pub fn autoscaler_of(&self, workload: &Workload) -> Option<&KeeperSeen> {
        let scales = |seen: &&KeeperSeen| {
            let target = seen.scales.as_ref();
            let is_named = target.is_some_and(|(kind, name)| *kind == workload.id.kind && *name == workload.id.name);
            is_named && workload.id.namespace.as_ref() == Some(&seen.namespace)
        };
        self.place(&workload.id.place)?.keepers.iter().find(scales)
    }
}
