//! What one look reports, under the time at which the look began: a request that was accepted while it went on is not
//! proven by it.

use jiff::Timestamp;

use super::fault::Fault;
use crate::domain::observation::{Observation, Source};
use crate::domain::text::Text;
use crate::providers::Sink;

/// The report of one look.
pub(super) struct Report<'a> {
    sink: &'a Sink,
    began: Timestamp,
    /// What could not be read because it is not granted.
    limits: Vec<(Source, Text)>,
}

impl<'a> Report<'a> {
    /// A look begins.
    pub(super) fn begin(sink: &'a Sink) -> Report<'a> {
        Report { sink, began: Timestamp::now(), limits: Vec::new() }
    }

    /// Hands rows over.
    pub(super) async fn send(&self, rows: Vec<Observation>) {
        self.sink.send(self.began, rows).await;
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

    /// What was not granted.
    pub(super) fn into_limits(self) -> Vec<(Source, Text)> {
        self.limits
    }
}
