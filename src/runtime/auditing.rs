//! Asks places for their audit logs, beside the loop.
//!
//! Never asks a place twice at a time, and never waits for one longer than its limit.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;

use super::session::Session;
use crate::domain::audit::{Audit, AuditQuestion};
use crate::domain::id::PlaceId;
use crate::domain::text::Text;
use crate::domain::timeline::HappeningId;
use crate::providers::Provider;

/// How long a place may take: an audit log is slow, and is read page by page.
const LIMIT: Duration = Duration::from_secs(120);

/// A happening, what was asked about it, and what was said.
pub(super) type Audited = (HappeningId, AuditQuestion, Audit);

impl Session {
    /// Asks the places of these happenings, all at once.
    pub(super) fn audit(
        &self,
        rows: Vec<(HappeningId, AuditQuestion)>,
    ) -> impl Future<Output = Vec<Audited>> + Send + 'static {
        let mut by_place: BTreeMap<PlaceId, Vec<(HappeningId, AuditQuestion)>> = BTreeMap::new();
        for (row, question) in rows {
            by_place.entry(question.workload.place.clone()).or_default().push((row, question));
        }
        let asked = by_place.into_iter().map(|(place, rows)| ask(self.provider_of(&place), rows));
        let asked = join_all(asked);
        async move { asked.await.into_iter().flatten().collect() }
    }
}

async fn ask(provider: Option<Arc<dyn Provider>>, rows: Vec<(HappeningId, AuditQuestion)>) -> Vec<Audited> {
    let questions: Vec<AuditQuestion> = rows.iter().map(|(_, question)| question.clone()).collect();
    let unknown = |why: &str| vec![Audit::Unknown(Text::new(why)); rows.len()];
    let said = match provider {
        None => unknown("its place is not connected"),
        Some(provider) => match tokio::time::timeout(LIMIT, provider.audit(questions)).await {
            Ok(said) => said,
            Err(_) => unknown(&format!("its place has not answered within {} s", LIMIT.as_secs())),
        },
    };
    rows.into_iter().zip(said).map(|((row, question), said)| (row, question, said)).collect()
}
