//! One process of the program without its shell: the real model and `update`, the real store on a real state directory, and
//! between them delays that a seed decides.
//!
//! Never performs an effect by itself but those for the store: whoever plays may let it die between any two of them.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use rolldeck::app::effect::Effect;
use rolldeck::app::event::Event;
use rolldeck::app::model::Model;
use rolldeck::app::settings::{Access, Connection, Look, PlaceSetting, Settings};
use rolldeck::app::update::update;
use rolldeck::domain::expectation::{Declaration, ServiceKeys};
use rolldeck::domain::journal::Driver;
use rolldeck::domain::observation::Batch;
use rolldeck::domain::policy::Policy;
use rolldeck::domain::text::Text;
use rolldeck::providers::sim::SimWorld;
use rolldeck::providers::{Mutations, Sink};
use rolldeck::runtime::startup::{Opened, open_journal};
use rolldeck::runtime::store::{Beginning, Store};

use super::dice::Dice;

/// What every process of a play is started with.
pub(super) struct Configuration {
    pub(super) world: Arc<SimWorld>,
    pub(super) policy: Policy,
    pub(super) declarations: Vec<Declaration>,
}

/// A process that lives.
pub(super) struct Process {
    pub(super) model: Model,
    pub(super) store: Store,
    /// Where answers are told.
    pub(super) told: mpsc::UnboundedSender<Event>,
    world: Arc<SimWorld>,
    events: mpsc::UnboundedReceiver<Event>,
    batches: mpsc::Receiver<Batch>,
    /// Events that are on their way, by when they come.
    later: BTreeMap<(Instant, u64), Event>,
    so_far: u64,
    /// What the store says comes in its order.
    store_comes_at: Instant,
    tick_at: Instant,
    dice: Dice,
    _watchers: JoinSet<()>,
}

impl Process {
    /// Starts one on a state directory, as the program does.
    pub(super) fn open(configuration: &Configuration, state: &Path, number: u32, mut dice: Dice) -> Process {
        let world = configuration.world.clone();
        let driver = Driver {
            who: Text::new(if number.is_multiple_of(2) { "ana" } else { "ben" }),
            host: Text::new("test"),
            boot: Text::new("boot"),
            pid: number,
            started_at: world.now(),
        };
        let places = world.places().map(|id| PlaceSetting {
            id: id.clone(),
            kind: Text::new("sim"),
            access: Access::Operable,
            connection: Connection::Wanted,
        });
        let settings = Settings {
            policy: configuration.policy.clone(),
            declarations: configuration.declarations.clone(),
            service_keys: ServiceKeys::default(),
            places: places.collect(),
            access: Access::Operable,
            driver: driver.clone(),
            incident: None,
            notices: Vec::new(),
            scenario: None,
            releases: Vec::new(),
            registries: Vec::new(),
            look: Look::default(),
        };
        let Opened { journal, locks, records } = open_journal(state).expect("the state directory is a good one");
        let journal = journal.expect("the journal is whole");
        let mut model = Model::new(settings, world.now());
        let last = records.last().map_or(0, |record| record.sequence);
        model.operations.replay(records, |operation| locks.look(operation));
        model.operations.teach(&mut model.fleet, model.health.known());
        let open = model.operations.iter().filter(|tracked| tracked.operation.ended.is_none());
        let open = open.map(|tracked| tracked.operation.id.clone()).collect();
        let (told, events) = mpsc::unbounded_channel();
        let beginning = Beginning { journal, locks, observations: None, driver, events: told.clone(), last, open };
        let store = Store::inline(beginning);
        let (batch, batches) = mpsc::channel(8);
        let mut watchers = JoinSet::new();
        for id in world.places() {
            let connected = world.connect(id, Mutations::Forbidden).expect("the place is there");
            let (sender, receiver) = mpsc::channel(8);
            watchers.spawn(connected.provider.watch(Sink::new(id.clone(), sender)));
            watchers.spawn(forward(receiver, batch.clone(), dice.split()));
        }
        let now = Instant::now();
        Process {
            model,
            store,
            told,
            world,
            events,
            batches,
            later: BTreeMap::new(),
            so_far: 0,
            store_comes_at: now,
            tick_at: now,
            dice,
            _watchers: watchers,
        }
    }

    /// Waits for what happens next, takes it in, and says what is to be done.
    pub(super) async fn turn(&mut self) -> Vec<Effect> {
        let event = self.next().await;
        update(&mut self.model, event)
    }

    /// Does nothing at all for so long, as a process that was stopped by its shell or slept with its machine.
    pub(super) async fn sleep_for(&mut self, time: Duration) {
        sleep(time).await;
    }

    async fn next(&mut self) -> Event {
        loop {
            while let Ok(event) = self.events.try_recv() {
                self.put_off(event);
            }
            let due = self.later.first_key_value().map(|((at, _), _)| *at);
            if due.is_some_and(|due| due <= Instant::now())
                && let Some((_, event)) = self.later.pop_first()
            {
                return event;
            }
            if self.tick_at <= Instant::now() {
                self.tick_at = Instant::now() + self.dice.millis(1000, 3000);
                self.store.look();
                return Event::Ticked(self.world.now());
            }
            let wake = due.map_or(self.tick_at, |due| due.min(self.tick_at));
            tokio::select! {
                biased;
                Some(event) = self.events.recv() => self.put_off(event),
                Some(batch) = self.batches.recv() => return Event::Observed(batch),
                () = sleep_until(wake) => {}
            }
        }
    }

    /// A disk that is slow, a loop that is busy: what the store says comes late, and in its order.
    fn put_off(&mut self, event: Event) {
        let late = match self.dice.below(8) {
            0 => self.dice.millis(0, 3000),
            _ => self.dice.millis(0, 20),
        };
        let at = match event {
            Event::Store(_) => {
                self.store_comes_at = self.store_comes_at.max(Instant::now() + late);
                self.store_comes_at
            }
            _ => Instant::now(),
        };
        self.so_far += 1;
        self.later.insert((at, self.so_far), event);
    }
}

/// What a place reports comes late, and in its order.
async fn forward(mut from: mpsc::Receiver<Batch>, to: mpsc::Sender<Batch>, mut dice: Dice) {
    while let Some(batch) = from.recv().await {
        let late = match dice.below(12) {
            0 => dice.millis(0, 5000),
            1 | 2 => dice.millis(0, 500),
            _ => Duration::ZERO,
        };
        if !late.is_zero() {
            sleep(late).await;
        }
        if to.send(batch).await.is_err() {
            return;
        }
    }
}
