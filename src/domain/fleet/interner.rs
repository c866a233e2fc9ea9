//! One copy of what is equal.
//!
//! Never forgets: what was named once is likely to be named again, and there are few of them.

use std::collections::HashSet;
use std::sync::Arc;

use crate::domain::observation::{Containers, InstanceSeen, Owner};
use crate::domain::text::Text;

/// Shares what is equal: thousands of instances have a few hundred names of images and owners, and as few lists of
/// containers.
#[derive(Default)]
pub(super) struct Interner {
    texts: HashSet<Text>,
    containers: HashSet<Containers>,
    owners: HashSet<Arc<Owner>>,
}

impl Interner {
    /// The shared copy of a text.
    pub(super) fn share(&mut self, text: &mut Text) {
        match self.texts.get(text.as_str()) {
            Some(known) => *text = known.clone(),
            None => {
                self.texts.insert(text.clone());
            }
        }
    }

    /// Shares everything that an instance has in common with others.
    pub(super) fn share_all(&mut self, seen: &mut InstanceSeen) {
        self.share(&mut seen.service);
        for text in
            [&mut seen.namespace, &mut seen.revision, &mut seen.reason, &mut seen.platform].into_iter().flatten()
        {
            self.share(text);
        }
        if let Some(owner) = &mut seen.owner {
            match self.owners.get(owner) {
                Some(known) => *owner = known.clone(),
                None => {
                    self.owners.insert(owner.clone());
                }
            }
        }
        match self.containers.get(&seen.containers) {
            Some(known) => seen.containers = known.clone(),
            None => {
                self.containers.insert(seen.containers.clone());
            }
        }
    }
}
