//! What one look reports, under the time at which the look began: a request that was accepted while it went on is not
//! proven by it.
//!
//! Never lets one half of a look count as the answer of the whole place: all but the first are handed over in one piece. An
//! instance that is as it was is only said to be so, which keeps a look where nothing moved small.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher};

use jiff::Timestamp;

use super::fault::Fault;
use crate::domain::id::Uid;
use crate::domain::observation::{Observation, Source};
use crate::domain::text::Text;
use crate::providers::Sink;

/// Whether anything was ever shown of a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    First,
    Later,
}

/// The report of one look.
pub(super) struct Report<'a> {
    sink: &'a Sink,
    began: Timestamp,
    /// Kept until the look is complete; `None` in the first one, whose rows are shown as they come.
    rows: Option<Vec<Observation>>,
    /// What could not be read.
    limits: Vec<(Source, Text)>,
    told: Told,
    /// Instances of this look.
    telling: HashMap<Uid, u64>,
    /// Lists that this look has made from beginning to end.
    finished: Vec<Source>,
}

/// A hash of each instance as it was last reported.
#[derive(Debug, Default)]
pub(super) struct Told {
    instances: HashMap<Uid, u64>,
    source: Option<Source>,
}

/// What a look that came to its end leaves.
pub(super) struct Parts {
    /// Rows that were kept.
    pub rows: Vec<Observation>,
    /// What could not be read.
    pub limits: Vec<(Source, Text)>,
    /// For the next look. One that fails leaves nothing: then all is told again.
    pub told: Told,
}

impl<'a> Report<'a> {
    /// A look begins.
    pub(super) fn begin(sink: &'a Sink, began: Timestamp, order: Order, told: Told) -> Report<'a> {
        let rows = match order {
            Order::First => None,
            Order::Later => Some(Vec::new()),
        };
        let (limits, telling, finished) = (Vec::new(), HashMap::new(), Vec::new());
        Report { sink, began, rows, limits, told, telling, finished }
    }

    /// Whether anything was shown of the place before.
    pub(super) fn order(&self) -> Order {
        if self.rows.is_some() { Order::Later } else { Order::First }
    }

    /// Hands rows over, now or when the look is complete.
    pub(super) async fn send(&mut self, more: Vec<Observation>) {
        let more: Vec<Observation> = more.into_iter().map(|row| self.shortened(row)).collect();
        match &mut self.rows {
            Some(rows) => rows.extend(more),
            None => self.sink.send(self.began, more).await,
        }
    }

    fn shortened(&mut self, row: Observation) -> Observation {
        match row {
            Observation::Instance(source, seen) => {
                let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(&*seen);
                self.told.source = Some(source);
                self.telling.insert(seen.uid.clone(), hash);
                match self.told.instances.get(&seen.uid) {
                    Some(before) if *before == hash => Observation::Still(source, seen.uid),
                    _ => Observation::Instance(source, seen),
                }
            }
            Observation::Gone(source, uid) => {
                self.told.instances.remove(&uid);
                Observation::Gone(source, uid)
            }
            Observation::ListFinished(source) => {
                self.finished.push(source);
                Observation::ListFinished(source)
            }
            other => other,
        }
    }

    /// What was read; `None` where it is not granted: that is told, and the rest goes on.
    pub(super) fn or_limit<T>(&mut self, source: Source, read: Result<T, Fault>) -> Result<Option<T>, Fault> {
        match read {
            Ok(read) => Ok(Some(read)),
            Err(Fault::Denied(why)) => {
                self.limit(source, why);
                Ok(None)
            }
            Err(fault) => Err(fault),
        }
    }

    /// Something could not be read in this look, for a reason that is told; the rest goes on.
    pub(super) fn limit(&mut self, source: Source, why: Text) {
        self.limits.retain(|(known, _)| *known != source);
        self.limits.push((source, why));
    }

    /// What is left at the end of a look.
    pub(super) fn into_parts(mut self) -> Parts {
        let is_whole = self.told.source.is_some_and(|source| self.finished.contains(&source));
        if is_whole {
            self.told.instances.clear();
        }
        self.told.instances.extend(self.telling);
        Parts { rows: self.rows.unwrap_or_default(), limits: self.limits, told: self.told }
    }
}
