//! What one look reports, under the time at which the look began: a request that was accepted while it went on is not
//! proven by it.
//!
//! Never lets one half of a look count as the answer of the whole place: all but the first are handed over in one piece.

use jiff::Timestamp;

use super::fault::Fault;
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
    /// What could not be read because it is not granted.
    limits: Vec<(Source, Text)>,
}

impl<'a> Report<'a> {
    /// A look begins.
    pub(super) fn begin(sink: &'a Sink, began: Timestamp, order: Order) -> Report<'a> {
        let rows = match order {
            Order::First => None,
            Order::Later => Some(Vec::new()),
        };
        Report { sink, began, rows, limits: Vec::new() }
    }

    /// Hands rows over, now or when the look is complete.
    pub(super) async fn send(&mut self, more: Vec<Observation>) {
        match &mut self.rows {
            Some(rows) => rows.extend(more),
            None => self.sink.send(self.began, more).await,
        }
    }

    /// What was read; `None` where it is not granted: that is told, and the rest goes on.
    pub(super) fn or_limit<T>(&mut self, source: Source, read: Result<T, Fault>) -> Result<Option<T>, Fault> {
        match read {
            Ok(read) => Ok(Some(read)),
            Err(Fault::Denied(why)) => {
                self.limits.retain(|(known, _)| *known != source);
                self.limits.push((source, why));
                Ok(None)
            }
            Err(fault) => Err(fault),
        }
    }

    /// What was kept, and what was not granted.
    pub(super) fn into_parts(self) -> (Vec<Observation>, Vec<(Source, Text)>) {
        (self.rows.unwrap_or_default(), self.limits)
    }
}
