//! The one world that all places of a scenario share: its clock, its faults, and the log of what it was asked to do.
//!
//! Never sleeps and never sends; time is what tokio says, so that it stands still where a test makes it stand still.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::blueprint::{Blueprints, Tick, ticks};
use super::census::Census;
use super::cloud::Cloud;
use super::request::{self, Intervention};
use super::scenario::{Scenario, ScenarioError, ScenePlace, parse_service};
use crate::domain::id::{OperationId, PlaceId, WorkloadId};
use crate::domain::journal::Call;
use crate::domain::plan::Paused;
use crate::domain::text::Text;
use crate::providers::{Answer, Calls, Order};

/// A scenario that is being played.
pub struct SimWorld {
    base: Timestamp,
    started: Instant,
    places: Vec<SimPlace>,
    received: Mutex<Vec<Received>>,
}

/// One place of it.
pub(super) struct SimPlace {
    pub(super) id: PlaceId,
    pub(super) scene: ScenePlace,
    pub(super) woken: Notify,
    /// Requests that it was sent.
    pub(super) calls: Calls,
    state: Mutex<State>,
}

/// What goes wrong with a request.
#[derive(Clone, Debug, PartialEq)]
pub enum Fault {
    /// It is done, and the answer is lost.
    LoseAnswer,
    /// It is lost on its way.
    LoseRequest,
    /// Somebody else wrote in between: nothing is done, and the operator may read and try again.
    Conflict,
    /// The place says no.
    Refuse(Text),
    /// The place says not now.
    Block(Text),
    /// It is done, the answer is lost, and the place does not answer for this long.
    GoDark(Duration),
}

/// A mutating request that has reached a place.
#[derive(Clone, Debug, PartialEq)]
pub struct Received {
    /// When.
    pub at: Timestamp,
    /// For which operation.
    pub operation: OperationId,
    /// Step, brake or release.
    pub call: Call,
    /// What was asked: `restore_revision`, `set_image`, `evict`, `brake`, `release`.
    pub verb: &'static str,
    /// On what.
    pub workload: WorkloadId,
    /// What was done.
    pub outcome: Outcome,
}

/// What a place did with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It did it.
    Done,
    /// Nothing: somebody else wrote in between.
    Conflict,
    /// Nothing: it must not.
    Refused,
    /// Nothing now.
    Blocked,
}

/// How a place answers at a moment.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Light {
    Answering {
        /// When it will stop, as far as that is known.
        until: Option<Tick>,
    },
    Dark {
        why: Text,
        /// When it will answer again; `None`: never by itself.
        until: Option<Tick>,
    },
}

/// What came of a request at the place.
pub(super) enum Reply {
    Answer(Answer),
    /// Read again and send again.
    Conflict,
}

struct State {
    cloud: Cloud,
    /// From, until, why.
    dark: Vec<(Tick, Tick, Text)>,
    /// After how many more requests, what.
    faults: VecDeque<(usize, Fault)>,
    /// How many requests were taken.
    taken: u32,
}

impl SimWorld {
    /// Begins to play a scenario at this time.
    pub fn new(scenario: &Scenario, base: Timestamp) -> SimWorld {
        let blueprints: Vec<Blueprints> = scenario.services.iter().map(Blueprints::new).collect();
        let places = scenario.places.iter().map(|scene| {
            let id = PlaceId::new(scene.id.get_ref());
            let mut cloud = Cloud::new(id.clone(), scene.kind, base, scenario.seed);
            for (service, blueprints) in scenario.services.iter().zip(&blueprints) {
                cloud.deploy(blueprints, service);
            }
            cloud.advance(0);
            let dark = scene.dark.iter().filter_map(|dark| {
                let from = ticks(dark.at?.0);
                let until = dark.lasts.map_or(Tick::MAX, |lasts| from.saturating_add(ticks(lasts.0)));
                Some((from, until, Text::new(&dark.why)))
            });
            let state = State { cloud, dark: dark.collect(), faults: VecDeque::new(), taken: 0 };
            SimPlace {
                id,
                scene: scene.clone(),
                woken: Notify::new(),
                calls: Calls::default(),
                state: Mutex::new(state),
            }
        });
        let places = places.collect();
        SimWorld { base, started: Instant::now(), places, received: Mutex::new(Vec::new()) }
    }

    /// The time there.
    pub fn now(&self) -> Timestamp {
        let elapsed = SignedDuration::try_from(self.started.elapsed()).unwrap_or(SignedDuration::MAX);
        self.base.saturating_add(elapsed).unwrap_or(Timestamp::MAX)
    }

    /// Its places.
    pub fn places(&self) -> impl Iterator<Item = &PlaceId> {
        self.places.iter().map(|place| &place.id)
    }

    /// Every mutating request that has reached a place, in order.
    pub fn calls(&self) -> Vec<Received> {
        lock(&self.received).clone()
    }

    /// After so many more requests to a place, the next one goes wrong like this.
    pub fn fault(&self, place: &PlaceId, after: usize, fault: Fault) {
        if let Some(place) = self.place(place) {
            lock(&place.state).faults.push_back((after, fault));
        }
    }

    /// Does to a workload what somebody else would; `false` where there is no such workload, version or container.
    pub fn intervene(&self, workload: &WorkloadId, intervention: &Intervention) -> bool {
        let Some(place) = self.place(&workload.place) else { return false };
        let is_done = self.with(place, |cloud| {
            let found = cloud.find(workload).map(|(number, _)| number);
            found.is_some_and(|number| request::intervene(cloud, number, intervention))
        });
        place.woken.notify_waiters();
        is_done
    }

    /// Puts the workloads of one more service there, from the text of a `[[services]]` table.
    ///
    /// # Errors
    /// What is wrong with the text, and where.
    pub fn deploy(&self, service: &str) -> Result<(), ScenarioError> {
        let known = self.places.iter().map(|place| (place.id.to_string(), place.scene.kind));
        let scene = parse_service(service, &known.collect::<Vec<_>>())?;
        let blueprints = Blueprints::new(&scene);
        for place in &self.places {
            self.with(place, |cloud| cloud.deploy(&blueprints, &scene));
            place.woken.notify_waiters();
        }
        Ok(())
    }

    /// From now on a place does not answer, for this long.
    pub fn go_dark(&self, place: &PlaceId, lasts: Duration) {
        let Some(place) = self.place(place) else { return };
        let now = self.tick();
        lock(&place.state).dark.push((now, now.saturating_add(ticks(lasts)), Text::new("connection timed out")));
        place.woken.notify_waiters();
    }

    /// Makes all watchers of a place list again, as a server does that has forgotten what it said before.
    pub fn expire(&self, place: &PlaceId) {
        if let Some(place) = self.place(place) {
            self.with(place, Cloud::expire);
            place.woken.notify_waiters();
        }
    }

    /// Whether the rollout of a workload is held; `None` where there is no such workload.
    pub fn is_held(&self, workload: &WorkloadId) -> Option<bool> {
        let place = self.place(&workload.place)?;
        self.with(place, |cloud| cloud.find(workload).map(|(_, found)| found.hold == Paused::Paused))
    }

    /// What there really is of a workload, whether its place answers or not; `None` where there is no such workload.
    pub fn census(&self, workload: &WorkloadId) -> Option<Census> {
        let place = self.place(&workload.place)?;
        self.with(place, |cloud| cloud.find(workload).map(|(_, found)| Census::of(found)))
    }

    /// One place.
    pub(super) fn place(&self, id: &PlaceId) -> Option<&SimPlace> {
        self.places.iter().find(|place| place.id == *id)
    }

    /// Brings a place up to the present and looks at it, or changes it.
    pub(super) fn with<T>(&self, place: &SimPlace, look: impl FnOnce(&mut Cloud) -> T) -> T {
        let mut state = lock(&place.state);
        state.cloud.advance(self.tick());
        look(&mut state.cloud)
    }

    /// Whether a place answers now.
    pub(super) fn light(&self, place: &SimPlace) -> Light {
        lock(&place.state).light(self.tick())
    }

    /// When a tick is.
    pub(super) fn instant(&self, tick: Tick) -> Instant {
        self.started + Duration::from_millis(u64::try_from(tick).unwrap_or(0) * 100)
    }

    /// A request arrives at a place.
    pub(super) fn receive(&self, place: &SimPlace, order: &Order) -> Reply {
        let reply = self.take(&mut lock(&place.state), place, order);
        place.woken.notify_waiters();
        reply
    }

    fn take(&self, state: &mut State, place: &SimPlace, order: &Order) -> Reply {
        let now = self.tick();
        state.cloud.advance(now);
        if let Light::Dark { why, .. } = state.light(now) {
            return Reply::Answer(Answer::Unanswered(why));
        }
        let number = match request::compare(&state.cloud, order) {
            Ok(number) => number,
            Err(answer) => return Reply::Answer(answer),
        };
        let fault = state.next_fault();
        let lost = Answer::Unanswered(Text::new("connection reset by peer"));
        let (reply, outcome) = match fault {
            Some(Fault::LoseRequest) => return Reply::Answer(lost),
            Some(Fault::Conflict) => (Reply::Conflict, Outcome::Conflict),
            Some(Fault::Refuse(why)) => (Reply::Answer(Answer::Refused(why)), Outcome::Refused),
            Some(Fault::Block(why)) => (Reply::Answer(Answer::Blocked(why)), Outcome::Blocked),
            Some(Fault::LoseAnswer) => {
                let answer = request::apply(&mut state.cloud, number, order, &place.scene);
                (Reply::Answer(lost), outcome_of(&answer))
            }
            Some(Fault::GoDark(lasts)) => {
                let answer = request::apply(&mut state.cloud, number, order, &place.scene);
                state.dark.push((now, now.saturating_add(ticks(lasts)), Text::new("connection timed out")));
                (Reply::Answer(lost), outcome_of(&answer))
            }
            None => {
                let answer = request::apply(&mut state.cloud, number, order, &place.scene);
                let outcome = outcome_of(&answer);
                (Reply::Answer(answer), outcome)
            }
        };
        if outcome == Outcome::Done {
            state.count(&place.scene, now);
        }
        lock(&self.received).push(Received {
            at: self.now(),
            operation: order.operation.clone(),
            call: order.call,
            verb: match order.call {
                Call::Step(_) => order.step.action.as_str(),
                Call::Brake(_) => "brake",
                Call::Release(_) => "release",
            },
            workload: order.step.workload.clone(),
            outcome,
        });
        reply
    }

    fn tick(&self) -> Tick {
        Tick::try_from(self.started.elapsed().as_millis() / 100).unwrap_or(Tick::MAX / 2)
    }
}

impl State {
    fn light(&self, now: Tick) -> Light {
        match self.dark.iter().find(|(from, until, _)| (*from..*until).contains(&now)) {
            Some((_, until, why)) => {
                Light::Dark { why: why.clone(), until: Some(*until).filter(|until| *until < Tick::MAX) }
            }
            None => {
                Light::Answering { until: self.dark.iter().map(|(from, ..)| *from).filter(|from| *from > now).min() }
            }
        }
    }

    /// The fault that is due for this request; all others come one request nearer.
    fn next_fault(&mut self) -> Option<Fault> {
        let due = self.faults.iter().position(|(after, _)| *after == 0);
        let fault = due.and_then(|at| self.faults.remove(at)).map(|(_, fault)| fault);
        self.faults.iter_mut().for_each(|(after, _)| *after = after.saturating_sub(1));
        fault
    }

    /// Another request was taken; the scenario may want the place to go dark on it, as soon as the answer is out.
    fn count(&mut self, scene: &ScenePlace, now: Tick) {
        self.taken += 1;
        if let Some(dark) = &scene.dark
            && dark.after_calls == Some(self.taken)
        {
            let until = dark.lasts.map_or(Tick::MAX, |lasts| (now + 1).saturating_add(ticks(lasts.0)));
            self.dark.push((now + 1, until, Text::new(&dark.why)));
        }
    }
}

fn outcome_of(answer: &Answer) -> Outcome {
    match answer {
        Answer::Accepted(_) | Answer::Unanswered(_) => Outcome::Done,
        Answer::Refused(_) | Answer::Moved { .. } => Outcome::Refused,
        Answer::Blocked(_) => Outcome::Blocked,
    }
}

/// A lock whose holder panicked holds nothing half done that matters here: it is a simulation.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
