//! One simulated place as the rest of the program sees it: watched, inspected, operated.
//!
//! Never tells more than a real provider could: what happens in the dark is not reported, and a lost answer stays lost.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};

use super::cloud::Key;
use super::inspect;
use super::report;
use super::world::{Light, Reply, SimPlace, SimWorld};
use crate::domain::anatomy::{Anatomy, Origin, Specimen};
use crate::domain::audit::{Audit, AuditQuestion};
use crate::domain::id::PlaceId;
use crate::domain::observation::{Observation, PlaceState, Source};
use crate::domain::plan::{Inspection, Step};
use crate::domain::text::Text;
use crate::providers::{Answer, ConnectError, Connected, Mutations, Operator, Order, Provider, Sink, Work, no_audit};

/// Rows of one batch.
const PAGE: usize = 500;
/// How long a place may be silent before it says that nothing changed.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// How often a request is sent that certainly did nothing.
const ATTEMPTS: usize = 3;

/// One place of a world.
pub(super) struct SimProvider {
    world: Arc<SimWorld>,
    id: PlaceId,
}

impl SimWorld {
    /// Connects to one of its places.
    ///
    /// # Errors
    /// The scenario has no such place.
    pub fn connect(self: &Arc<Self>, place: &PlaceId, mutations: Mutations) -> Result<Connected, ConnectError> {
        if self.place(place).is_none() {
            let known: Vec<&str> = self.places().map(|place| place.0.as_str()).collect();
            return Err(ConnectError {
                what: format!("the scenario has no place {place}"),
                hint: format!("its places are {}", known.join(", ")),
            });
        }
        let provider = Arc::new(SimProvider { world: self.clone(), id: place.clone() });
        let operator: Option<Arc<dyn Operator>> = match mutations {
            Mutations::Forbidden => None,
            Mutations::Allowed => Some(provider.clone()),
        };
        Ok(Connected { provider, operator })
    }
}

impl Provider for SimProvider {
    fn watch(self: Arc<Self>, sink: Sink) -> Work<()> {
        Box::pin(async move {
            if let Some(place) = self.world.place(&self.id) {
                let told = place.calls.tell(&sink, || self.world.now());
                tokio::join!(watch(&self.world, place, &sink), told);
            }
        })
    }

    fn inspect(self: Arc<Self>, step: Step) -> Work<Inspection> {
        Box::pin(async move {
            let looked =
                self.look(|place| self.world.with(place, |cloud| inspect::inspect(cloud, &place.scene, &step)));
            looked.await.unwrap_or_else(refused)
        })
    }

    fn dissect(self: Arc<Self>, specimen: Specimen) -> Work<Anatomy> {
        Box::pin(async move {
            let looked = self.look(|place| self.world.with(place, |cloud| inspect::dissect(cloud, &specimen)));
            Anatomy::of(Origin::Template, looked.await.and_then(|found| found))
        })
    }

    fn audit(self: Arc<Self>, questions: Vec<AuditQuestion>) -> Work<Vec<Audit>> {
        Box::pin(async move { no_audit(&questions, "a simulated place keeps no audit log") })
    }
}

impl Operator for SimProvider {
    fn rehearse(self: Arc<Self>, step: Step) -> Work<Inspection> {
        Box::pin(async move {
            let rehearsed = self.look(|place| self.world.with(place, |cloud| inspect::rehearse(cloud, &step)));
            rehearsed.await.unwrap_or_else(refused)
        })
    }

    fn execute(self: Arc<Self>, order: Order) -> Work<Answer> {
        Box::pin(async move {
            let Some(place) = self.world.place(&self.id) else {
                return Answer::Refused(Text::new("there is no such place"));
            };
            for _ in 0..ATTEMPTS {
                answer_time(place).await;
                match self.world.receive(place, &order) {
                    Reply::Answer(answer) => return answer,
                    Reply::Conflict => {}
                }
            }
            Answer::Refused(Text::new("somebody else changed it each time that it was tried; nothing was done"))
        })
    }
}

impl SimProvider {
    /// A look at the place, while it answers. `Err`: why it does not.
    async fn look<T>(&self, look: impl FnOnce(&SimPlace) -> T + Send) -> Result<T, Text> {
        let Some(place) = self.world.place(&self.id) else { return Err(Text::new("the scenario has no such place")) };
        answer_time(place).await;
        match self.world.light(place) {
            Light::Answering { .. } => Ok(look(place)),
            Light::Dark { why, .. } => Err(Text::new(&format!("{} does not answer: {why}", self.id))),
        }
    }
}

fn refused(why: Text) -> Inspection {
    Inspection { refusals: vec![(why, Text::new("try again later"))], ..Inspection::default() }
}

/// One watcher of a place; it is forgotten when it is dropped.
struct Watching<'a> {
    world: &'a SimWorld,
    place: &'a SimPlace,
    id: u64,
}

impl Drop for Watching<'_> {
    fn drop(&mut self) {
        self.world.with(self.place, |cloud| cloud.unsubscribe(self.id));
    }
}

/// Whether a list came to its end.
#[derive(PartialEq, Eq)]
enum Listed {
    Complete,
    CutOff,
}

async fn watch(world: &SimWorld, place: &SimPlace, sink: &Sink) {
    let id = world.with(place, |cloud| cloud.subscribe());
    let watching = Watching { world, place, id };
    let mut has_lived = false;
    let mut must_list = true;
    let mut last_sent = Instant::now();
    loop {
        let woken = place.woken.notified();
        tokio::pin!(woken);
        woken.as_mut().enable();
        match world.light(place) {
            Light::Dark { why, until } => {
                let state = if has_lived { PlaceState::Stale(why) } else { PlaceState::Unreachable(why) };
                sink.send(world.now(), vec![Observation::Place(state)]).await;
                must_list = true;
                in_the_dark(world, place, until).await;
                continue;
            }
            Light::Answering { until } => {
                must_list |= world.with(place, |cloud| cloud.must_list(id));
                if must_list {
                    if list(&watching, sink).await == Listed::CutOff {
                        continue;
                    }
                    (must_list, has_lived, last_sent) = (false, true, Instant::now());
                }
                let changes = world.with(place, |cloud| cloud.take_changes(id, PAGE));
                let is_full = changes.len() >= PAGE;
                if !changes.is_empty() || last_sent.elapsed() >= HEARTBEAT {
                    place.calls.note();
                    let observations = if changes.is_empty() { vec![Observation::Heartbeat] } else { changes };
                    sink.send(world.now(), observations).await;
                    last_sent = Instant::now();
                }
                if is_full {
                    continue;
                }
                let due = world.with(place, |cloud| cloud.next_due());
                let next = due.into_iter().chain(until).min().map(|tick| world.instant(tick));
                let heartbeat = last_sent + HEARTBEAT;
                let wake = next.map_or(heartbeat, |next| next.min(heartbeat));
                tokio::select! {
                    () = sleep_until(wake) => {}
                    () = woken => {}
                }
            }
        }
    }
}

/// Waits until a place answers again. Nothing that happens there is heard meanwhile.
async fn in_the_dark(world: &SimWorld, place: &SimPlace, until: Option<i32>) {
    match until {
        Some(until) => sleep_until(world.instant(until)).await,
        None => std::future::pending().await,
    }
    while let Light::Dark { until, .. } = world.light(place) {
        match until {
            Some(until) => sleep_until(world.instant(until)).await,
            None => std::future::pending().await,
        }
    }
}

/// Reports everything that is there, page by page, owners before what they own. What changes meanwhile comes after it.
async fn list(watching: &Watching<'_>, sink: &Sink) -> Listed {
    let Watching { world, place, id } = watching;
    let lists = world.with(place, |cloud| cloud.start_list(*id));
    sink.send(world.now(), vec![Observation::Identity(Box::new(report::identity(&place.scene)))]).await;
    for (name, rows) in report::SOURCES.into_iter().zip(lists) {
        sink.send(world.now(), vec![Observation::ListStarted(Source(name))]).await;
        let mut seen = 0;
        for page in rows.chunks(PAGE) {
            answer_time(place).await;
            if matches!(world.light(place), Light::Dark { .. }) {
                return Listed::CutOff;
            }
            seen += page.len() as u64;
            let remaining = Some(rows.len() as u64 - seen);
            let mut observations = rows_of(world, place, page);
            observations.push(Observation::Loading { source: Source(name), seen, remaining });
            sink.send(world.now(), observations).await;
        }
        sink.send(world.now(), vec![Observation::ListFinished(Source(name))]).await;
    }
    sink.send(world.now(), vec![Observation::Place(PlaceState::Live)]).await;
    Listed::Complete
}

fn rows_of(world: &SimWorld, place: &SimPlace, page: &[Key]) -> Vec<Observation> {
    world.with(place, |cloud| {
        let rows = page.iter().filter_map(|key| report::change(cloud, *key));
        rows.filter(|row| !matches!(row, Observation::Gone(..))).collect()
    })
}

async fn answer_time(place: &SimPlace) {
    place.calls.note();
    if !place.scene.latency.0.is_zero() {
        sleep(place.scene.latency.0).await;
    }
}
