//! Asks places for their audit logs, beside the loop.
//!
//! Never waits for one longer than its limit, and never leaves a question without an answer.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;

use super::session::Session;
use crate::domain::audit::{Audit, AuditQuestion};
use crate::domain::id::PlaceId;
use crate::domain::text::Text;
use crate::domain::timeline::HappeningId;
use crate::providers::Provider;

/// How long a place may take; it has a limit of its own, after which it gives what it has read.
const LIMIT: Duration = Duration::from_secs(90);

/// A happening, and what was said of it.
pub(super) type Audited = (HappeningId, Audit);

impl Session {
    /// Asks the places of these happenings: one piece of work for each.
    pub(super) fn audit(
        &self,
        rows: Vec<(HappeningId, AuditQuestion)>,
    ) -> Vec<impl Future<Output = Vec<Audited>> + Send + 'static> {
        let mut by_place: BTreeMap<PlaceId, Vec<(HappeningId, AuditQuestion)>> = BTreeMap::new();
        for (row, question) in rows {
            by_place.entry(question.workload.place.clone()).or_default().push((row, question));
        }
        by_place.into_iter().map(|(place, rows)| ask(self.provider_of(&place), rows)).collect()
    }
}

async fn ask(provider: Option<Arc<dyn Provider>>, rows: Vec<(HappeningId, AuditQuestion)>) -> Vec<Audited> {
    let (rows, questions): (Vec<HappeningId>, Vec<AuditQuestion>) = rows.into_iter().unzip();
    let (said, why) = match provider {
        None => (Vec::new(), "its place is not connected".to_string()),
        Some(provider) => {
            let asked = tokio::time::timeout(LIMIT, provider.audit(questions));
            match AssertUnwindSafe(asked).catch_unwind().await {
                Ok(Ok(said)) => (said, "its place gave no answer (a defect)".to_string()),
                Ok(Err(_)) => (Vec::new(), format!("its place has not answered within {} s", LIMIT.as_secs())),
                Err(_) => (Vec::new(), "the provider broke off (a defect; the log has more)".to_string()),
            }
        }
    };
    let unknown = std::iter::repeat(Audit::Unknown(Text::new(&why)));
    rows.into_iter().zip(said.into_iter().chain(unknown)).collect()
}
