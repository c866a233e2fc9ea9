//! The loop that the cockpit and the headless commands share: events in, `update`, effects out.
//!
//! Never decides anything: it waits, hands events to the pure side and does what comes back. A blocked terminal is not
//! its business: drawing happens outside, and neither the journal nor a step waits for it.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::{FutureExt, StreamExt};
use jiff::Timestamp;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval};

use super::export;
use super::probe;
use super::signing;
use super::store::Behind;
use super::store::Store;
use crate::app::effect::Effect;
use crate::app::event::{CallAnswer, Event, ProviderEvent};
use crate::app::filter;
use crate::app::model::Model;
use crate::app::settings::{Access, Connection};
use crate::app::update::update;
use crate::domain::id::{OperationId, PlaceId, PlanId, StepId};
use crate::domain::image::ImageRef;
use crate::domain::journal::{Call, Entry};
use crate::domain::observation::{Batch, Observation, PlaceState};
use crate::domain::plan::{Check, CheckVerdict, Inspection, Step};
use crate::domain::text::Text;
use crate::providers::sim::SimWorld;
use crate::providers::{self, Answer, Connected, Mutations, Operator, Order, PlaceSpec, Provider, Sink, Surroundings};
use crate::registry::Registries;

/// Batches that may wait; a provider that is faster than the loop waits in turn.
const BATCHES: usize = 32;
/// Events taken in before something else gets its turn.
const BURST: usize = 256;
/// How many questions to registries are on their way at once.
const QUESTIONS: usize = 16;
/// How long a provider may look at one step before the plan is shown without its word.
const INSPECT_LIMIT: Duration = Duration::from_secs(15);
/// How many steps of a plan one place is asked about at the same time.
const LOOKS: usize = 8;
/// How long a process that ends waits for answers that are on their way.
const LAST_ANSWERS: Duration = Duration::from_secs(10);
/// How long a request may take before its answer counts as lost.
const EXECUTE_LIMIT: Duration = Duration::from_secs(60);

/// Where the time comes from. It counts sleep: after a suspension it has moved on.
#[derive(Clone, Copy, Debug)]
pub enum Clock {
    /// The machine's.
    System,
    /// The runtime's own, from a fixed beginning: simulated fleets and tests, which may step it.
    Runtime {
        /// When it began, on the wall.
        base: Timestamp,
        /// When it began, for the runtime.
        start: Instant,
    },
}

impl Clock {
    /// A clock that runs with the runtime's timers.
    pub fn runtime(base: Timestamp) -> Clock {
        Clock::Runtime { base, start: Instant::now() }
    }

    /// Now.
    pub fn now(&self) -> Timestamp {
        match self {
            Clock::System => Timestamp::now(),
            Clock::Runtime { base, start } => *base + start.elapsed(),
        }
    }
}

/// What is needed to connect the places of a session.
pub struct Places {
    /// What each needs.
    pub specs: Vec<PlaceSpec>,
    /// What surrounds the process.
    pub surroundings: Surroundings,
    /// What a simulated fleet lives in, for as long as the session.
    pub world: Option<Arc<SimWorld>>,
    /// The registries that may be asked, if any may.
    pub registries: Option<Registries>,
}

/// The model with everything around it.
pub struct Session {
    /// The pure side.
    pub model: Model,
    clock: Clock,
    store: Store,
    sender: mpsc::UnboundedSender<Event>,
    events: mpsc::UnboundedReceiver<Event>,
    batch_sender: mpsc::Sender<Batch>,
    batches: mpsc::Receiver<Batch>,
    places: HashMap<PlaceId, ConnectedPlace>,
    known: Places,
    ticks: Interval,
    front: Vec<Effect>,
    /// Who is asked for an operation that has not ended.
    probes: HashMap<OperationId, Vec<AbortHandle>>,
    /// Everything that runs beside the loop; it ends with the session.
    tasks: JoinSet<()>,
}

struct ConnectedPlace {
    provider: Arc<dyn Provider>,
    operator: Option<Arc<dyn Operator>>,
    /// Steps of plans that are looked at together there.
    looks: Arc<Semaphore>,
}

impl ConnectedPlace {
    /// Who looks at a step there, when its turn comes.
    fn looker(&self) -> Looker {
        Looker { provider: self.provider.clone(), operator: self.operator.clone(), turns: self.looks.clone() }
    }
}

/// Looks at a step of a plan that is not started.
struct Looker {
    provider: Arc<dyn Provider>,
    operator: Option<Arc<dyn Operator>>,
    turns: Arc<Semaphore>,
}

/// Both ends of the event queue; the store is given the sending one before the session exists.
pub fn channel() -> (mpsc::UnboundedSender<Event>, mpsc::UnboundedReceiver<Event>) {
    mpsc::unbounded_channel()
}

impl Session {
    /// The registries that may be asked, if any may.
    pub(super) fn registries(&self) -> Option<&Registries> {
        self.known.registries.as_ref()
    }

    /// Connects every wanted place and starts the clock. Nothing is waited for.
    pub fn start(
        model: Model,
        known: Places,
        store: Store,
        clock: Clock,
        (sender, events): (mpsc::UnboundedSender<Event>, mpsc::UnboundedReceiver<Event>),
    ) -> Session {
        let (batch_sender, batches) = mpsc::channel(BATCHES);
        let mut ticks = interval(Duration::from_secs(1));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut session = Session {
            model,
            clock,
            store,
            sender,
            events,
            batch_sender,
            batches,
            places: HashMap::new(),
            known,
            ticks,
            front: Vec::new(),
            probes: HashMap::new(),
            tasks: JoinSet::new(),
        };
        let wanted = session.model.settings.places.iter().filter(|setting| setting.connection == Connection::Wanted);
        for id in wanted.map(|setting| setting.id.clone()).collect::<Vec<PlaceId>>() {
            session.connect(&id);
        }
        session
    }

    /// Where events may be sent from outside.
    pub fn sender(&self) -> mpsc::UnboundedSender<Event> {
        self.sender.clone()
    }

    /// Waits until something happened, then takes in all that is there. What the front end must do comes back.
    pub async fn turn(&mut self) -> Vec<Effect> {
        tokio::select! {
            // Answers, requests and keys come before the flood of observations.
            biased;
            Some(event) = self.events.recv() => self.take(event),
            _ = self.ticks.tick() => {
                self.store.look();
                while self.tasks.try_join_next().is_some() {}
                self.take(Event::Ticked(self.clock.now()));
            }
            Some(batch) = self.batches.recv() => self.take(Event::Observed(batch)),
        }
        for _ in 0..BURST {
            let next = self.events.try_recv().ok().or_else(|| self.batches.try_recv().ok().map(Event::Observed));
            match next {
                Some(event) => self.take(event),
                None => break,
            }
        }
        std::mem::take(&mut self.front)
    }

    /// Takes in one event at once; what the front end must do comes back.
    pub fn give(&mut self, event: Event) -> Vec<Effect> {
        self.take(event);
        std::mem::take(&mut self.front)
    }

    /// Tells the pure side how late it is, before something that depends on it.
    pub fn tell_time(&mut self) {
        self.take(Event::Ticked(self.clock.now()));
    }

    /// Has something said that the operator must know, until it is put away.
    pub fn notice(&mut self, text: &str) {
        self.model.settings.notices.push(Text::new(text));
        self.model.ui.touch();
    }

    /// Does these effects, as if an event had asked for them.
    pub fn perform(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            self.execute(effect);
        }
    }

    /// Waits for answers that are on their way, for a while: at the end of a process that was driving something.
    pub async fn last_answers(&mut self) {
        let deadline = Instant::now() + LAST_ANSWERS;
        while !self.is_idle() && tokio::time::timeout_at(deadline, self.turn()).await.is_ok() {}
    }

    /// Whether nothing waits: no event, no batch, no entry, no answer.
    pub fn is_idle(&self) -> bool {
        self.events.is_empty() && self.batches.is_empty() && self.model.operations.is_idle()
    }

    /// Ends every watch and waits until the store has written everything.
    pub fn close(mut self) {
        drop(self.tasks);
        if let Some(notes) = self.model.timeline.rest(self.clock.now()) {
            self.store.note(Box::new(notes));
        }
        self.store.close();
    }

    fn take(&mut self, event: Event) {
        let effects = update(&mut self.model, event);
        self.perform(effects);
    }

    fn execute(&mut self, effect: Effect) {
        match effect {
            Effect::Append { operation, entry, request } => {
                // Whoever is asked for an operation that is over says it to nobody.
                if matches!(*entry, Entry::Ended { .. }) {
                    self.probes.remove(&operation).into_iter().flatten().for_each(|probe| probe.abort());
                }
                self.store.append(operation, self.clock.now(), entry, request)
            }
            Effect::Claim(operation) => self.store.claim(operation),
            Effect::Release(operation) => self.store.release(operation),
            Effect::Ask { operation, request } => self.store.ask(operation, request),
            Effect::Execute { operation, call, step, who } => self.send(operation, call, *step, who),
            Effect::Inspect { plan, steps } => self.inspect(&plan, steps),
            Effect::Probe { operation, wave, number, probe } => {
                let (sender, id) = (self.sender.clone(), operation.clone());
                let asked = self.tasks.spawn(async move {
                    let answer = probe::ask(&probe, &operation, wave).await;
                    // The loop is gone only while the process ends; the next driver asks again.
                    let _ = sender.send(Event::Probed { operation, wave, number, answer });
                });
                self.probes.entry(id).or_default().push(asked);
            }
            Effect::Dissect(pair) => {
                let (sender, known) = (self.sender.clone(), self.dissect(&pair));
                self.tasks.spawn(async move {
                    // The loop is gone only while the process ends.
                    let _ = sender.send(Event::Dissected(Box::new((*pair, known.await))));
                });
            }
            Effect::Audit(rows) => {
                for audited in self.audit(rows) {
                    let sender = self.sender.clone();
                    // The loop is gone only while the process ends.
                    self.tasks.spawn(async move { drop(sender.send(Event::Audited(audited.await))) });
                }
            }
            Effect::Resolve(references) => self.resolve(references),
            Effect::Signatures(references) => {
                if let Some(registries) = self.known.registries.clone() {
                    self.tasks.spawn(signing::ask(registries, references, self.sender.clone()));
                }
            }
            Effect::Export { since } => {
                let (sender, incident) = (self.sender.clone(), export::incident(&self.model, since));
                // The disk may be slow, full or far away: nobody waits for it.
                self.tasks.spawn_blocking(move || {
                    // The loop is gone only while the process ends.
                    let _ = sender.send(Event::Exported(export::written(incident)));
                });
            }
            Effect::Remember(healthy) => self.store.remember(healthy),
            Effect::Note(notes) => self.store.note(notes),
            Effect::Protect { what, reason, expires_at } => {
                let (by, at) = (self.model.settings.driver.who.clone(), self.clock.now());
                self.store.protect(what, Behind { reason, by, at, expires_at });
            }
            Effect::Lift(number) => {
                self.store.lift(number, self.model.settings.driver.who.clone(), self.clock.now());
            }
            Effect::Connect(place) => self.connect(&place),
            Effect::Filter(question) => {
                let sender = self.sender.clone();
                tokio::task::spawn_blocking(move || {
                    // The loop is gone only while the process ends.
                    let _ = sender.send(Event::Filtered(filter::answer(&question)));
                });
            }
            front @ (Effect::Copy { .. } | Effect::Suspend | Effect::Detach | Effect::Quit) => self.front.push(front),
        }
    }

    fn connect(&mut self, id: &PlaceId) {
        if self.places.contains_key(id) {
            return;
        }
        let Some(spec) = self.known.specs.iter().find(|spec| spec.id == *id).cloned() else { return };
        let Some(kind) = providers::kind(spec.kind) else { return };
        for setting in self.model.settings.places.iter_mut().filter(|setting| setting.id == *id) {
            setting.connection = Connection::Wanted;
        }
        self.model.fleet.add_place(id.clone());
        let mutations = match self.model.settings.read_only(id) {
            Some(_) => Mutations::Forbidden,
            None => Mutations::Allowed,
        };
        match (kind.connect)(spec, self.known.surroundings.clone(), mutations) {
            Ok(Connected { provider, operator }) => {
                let sink = Sink::new(id.clone(), self.batch_sender.clone());
                self.tasks.spawn(watch(provider.clone(), sink));
                let looks = Arc::new(Semaphore::new(LOOKS));
                self.places.insert(id.clone(), ConnectedPlace { provider, operator, looks });
            }
            Err(error) => {
                let state = PlaceState::Misconfigured(Text::new(&error.to_string()));
                let batch = Batch {
                    place: id.clone(),
                    fetched_at: self.clock.now(),
                    observations: vec![Observation::Place(state)],
                };
                // The receiving end lives in this very struct.
                let _ = self.sender.send(Event::Observed(batch));
            }
        }
    }

    /// Sends one request. Called for an appended `Sent` entry alone.
    fn send(&mut self, operation: OperationId, call: Call, step: Step, who: Text) {
        let operator = self.places.get(&step.workload.place).and_then(|place| place.operator.clone());
        let why_not = match (&self.model.settings.access, self.model.settings.read_only(&step.workload.place)) {
            (Access::ReadOnly(why), _) | (Access::Operable, Some(why)) => why.clone(),
            (Access::Operable, None) => Text::new("its place is not connected"),
        };
        let sender = self.sender.clone();
        let order = Order { operation: operation.clone(), who, call, step };
        self.tasks.spawn(async move {
            let answer = match operator {
                None => Answer::Refused(why_not),
                Some(operator) => {
                    // A panic in a provider is an answer that was lost, not a lost operation.
                    let work = tokio::time::timeout(EXECUTE_LIMIT, operator.execute(order));
                    match AssertUnwindSafe(work).catch_unwind().await {
                        Ok(Ok(answer)) => answer,
                        Ok(Err(_)) => Answer::Unanswered(Text::new("no answer within 60 s")),
                        Err(_) => Answer::Unanswered(Text::new("the provider broke off; the log has more")),
                    }
                }
            };
            let event = ProviderEvent::Executed { operation, call, answer: call_answer(answer) };
            // The loop is gone only while the process ends; the journal then shows the request without an answer.
            let _ = sender.send(Event::Provider(event));
        });
    }

    fn resolve(&mut self, references: Vec<ImageRef>) {
        let Some(registries) = self.known.registries.clone() else { return };
        let sender = self.sender.clone();
        self.tasks.spawn(async move {
            let ask = |about: ImageRef| {
                let registries = registries.clone();
                async move { registries.ask(&about).await }
            };
            let mut answers =
                futures::stream::iter(references).map(ask).buffer_unordered(QUESTIONS).ready_chunks(QUESTIONS);
            while let Some(answers) = answers.next().await {
                // The loop is gone only while the process ends.
                let _ = sender.send(Event::Resolved(answers));
            }
        });
    }

    /// Who reads a place; `None` if that is not connected.
    pub(super) fn provider_of(&self, place: &PlaceId) -> Option<Arc<dyn Provider>> {
        self.places.get(place).map(|place| place.provider.clone())
    }

    fn inspect(&mut self, plan: &PlanId, steps: Vec<Step>) {
        for step in steps {
            let place = self.places.get(&step.workload.place);
            let looks = place.map(ConnectedPlace::looker);
            let (sender, plan, id) = (self.sender.clone(), plan.clone(), step.id);
            self.tasks.spawn(async move {
                let inspection = match looks {
                    None => unknown(&step, "its place is not connected"),
                    Some(looker) => look(looker, step).await,
                };
                let event = ProviderEvent::Inspected { plan, step: id, inspection };
                // The loop is gone only while the process ends.
                let _ = sender.send(Event::Provider(event));
            });
        }
    }
}

/// Asks a provider about every step of a plan and waits for all answers: what headless commands do before they print.
pub async fn inspect_all(session: &mut Session, plan: &mut crate::domain::plan::Plan) {
    let steps: Vec<Step> = plan.steps().cloned().collect();
    let mut work = Vec::new();
    for step in steps {
        let place = session.places.get(&step.workload.place);
        let looks = place.map(ConnectedPlace::looker);
        let id: StepId = step.id;
        work.push(tokio::spawn(async move {
            match looks {
                None => (id, unknown(&step, "its place is not connected")),
                Some(looker) => (id, look(looker, step).await),
            }
        }));
    }
    for inspected in work {
        if let Ok((id, inspection)) = inspected.await {
            plan.absorb(id, inspection);
        }
    }
}

async fn look(Looker { provider, operator, turns }: Looker, step: Step) -> Inspection {
    let copy = step.clone();
    // Its time begins with its turn: a plan of hundreds of steps is no reason to refuse the last of them.
    let _turn = turns.acquire().await;
    let looked = tokio::time::timeout(INSPECT_LIMIT, async move {
        let mut inspection = provider.inspect(step.clone()).await;
        match operator {
            Some(operator) => {
                let rehearsed = operator.rehearse(step).await;
                inspection.checks.extend(rehearsed.checks);
                inspection.refusals.extend(rehearsed.refusals);
                inspection.also_goes_back.extend(rehearsed.also_goes_back);
            }
            None => inspection.checks.push(Check {
                name: Text::new("dry run"),
                verdict: CheckVerdict::Unknown,
                detail: Text::new(&format!("{}: skipped, this is read-only", step.workload)),
            }),
        }
        inspection
    });
    looked.await.unwrap_or_else(|_| unknown(&copy, "its place did not answer within 15 s"))
}

fn unknown(step: &Step, why: &str) -> Inspection {
    let refusal =
        (Text::new(&format!("it could not be looked at: {why}")), Text::new("try again when the place answers"));
    Inspection { refusals: vec![refusal], equivalent: Some(step.equivalent.clone()), ..Inspection::default() }
}

/// A watch that panics says so on its place instead of leaving it live for ever.
async fn watch(provider: Arc<dyn Provider>, sink: Sink) {
    let broken = sink.clone();
    if AssertUnwindSafe(provider.watch(sink)).catch_unwind().await.is_err() {
        let why = Text::new("its provider broke off (a defect; the log has more); restart rolldeck");
        broken.send(Timestamp::now(), vec![Observation::Place(PlaceState::Stale(why))]).await;
    }
}

fn call_answer(answer: Answer) -> CallAnswer {
    match answer {
        Answer::Accepted(receipt) => CallAnswer::Accepted(receipt),
        Answer::Refused(reason) => CallAnswer::Refused(reason),
        Answer::Blocked(reason) => CallAnswer::Blocked(reason),
        Answer::Moved { differences, bound } => CallAnswer::Moved { differences, bound },
        Answer::Unanswered(reason) => CallAnswer::Unanswered(reason),
    }
}
