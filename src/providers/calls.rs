//! The call budget of a place: how many requests went there within a minute.
//!
//! Never says the same number twice: a place where nothing happens makes no news by being watched.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use jiff::Timestamp;

use super::Sink;
use crate::domain::observation::Observation;

const MINUTE: Duration = Duration::from_secs(60);

/// Counts requests. A watch is one, however long it lasts.
#[derive(Debug, Default)]
pub struct Calls(AtomicU64);

impl Calls {
    /// One more request is sent.
    pub fn note(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// Tells each minute how many were sent in it, where that is another number than before. Never ends.
    pub async fn tell(&self, sink: &Sink, now: impl Fn() -> Timestamp) {
        let (mut before, mut said) = (self.0.load(Ordering::Relaxed), None);
        loop {
            tokio::time::sleep(MINUTE).await;
            let sent = self.0.load(Ordering::Relaxed);
            let number = u32::try_from(sent - before).unwrap_or(u32::MAX);
            before = sent;
            if said != Some(number) {
                said = Some(number);
                sink.send(now(), vec![Observation::Calls(number)]).await;
            }
        }
    }
}
