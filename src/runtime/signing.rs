//! Asks registries for signatures, beside the loop.
//!
//! Never more at a time than a registry's own limit lets through, and never waits for one longer than that takes.

use std::time::Duration;

use futures::StreamExt as _;
use tokio::sync::mpsc;

use super::session::Session;
use crate::app::event::Event;
use crate::domain::image::ImageRef;
use crate::domain::plan::Plan;
use crate::domain::signature::SignatureHeard;
use crate::registry::Registries;

/// Questions under way at once.
const AT_ONCE: usize = 16;
/// How long a command waits for what is only a warning.
const PATIENCE: Duration = Duration::from_secs(3);

/// Asks, and tells each answer as it comes.
pub(super) async fn ask(registries: Registries, about: Vec<ImageRef>, sender: mpsc::UnboundedSender<Event>) {
    let mut heard = answers(&registries, about).ready_chunks(AT_ONCE);
    while let Some(heard) = heard.next().await {
        // The loop is gone only while the process ends.
        let _ = sender.send(Event::Signed(heard));
    }
}

/// Asks for all that a plan shows: what headless commands do before they print. What has not answered by then is not known.
pub(super) async fn ask_for_plan(session: &mut Session, plan: &mut Plan) {
    let Some(registries) = session.registries().cloned() else { return };
    let mut answers = std::pin::pin!(answers(&registries, plan.signatures(&session.model.fleet)));
    let mut heard = Vec::new();
    let all = async {
        while let Some(answer) = answers.next().await {
            heard.push(answer);
        }
    };
    // Those that came in time count.
    let _ = tokio::time::timeout(PATIENCE, all).await;
    session.model.fleet.hear(heard);
    plan.look_at_signatures(&session.model.fleet);
}

fn answers(registries: &Registries, about: Vec<ImageRef>) -> impl futures::Stream<Item = SignatureHeard> + use<> {
    let registries = registries.clone();
    let ask = move |about: ImageRef| {
        let registries = registries.clone();
        async move { registries.signature(&about).await }
    };
    futures::stream::iter(about).map(ask).buffer_unordered(AT_ONCE)
}
