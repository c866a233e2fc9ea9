//! The store's own thread: it alone writes, and it looks several times a second for what other processes wrote.
//!
//! Never drops a request of the loop: each is answered by an event. A blocked terminal or provider never delays it.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::sync::mpsc::UnboundedSender;

use super::files::StoreError;
use super::journal::{Journal, Replayed};
use super::locks::Locks;
use super::observations::Observations;
use super::protections::Behind;
use crate::app::event::{ControlRequest, Event, StoreEvent};
use crate::app::record::Healthy;
use crate::app::timeline::Notes;
use crate::domain::id::OperationId;
use crate::domain::journal::{Driver, Entry, Record};
use crate::domain::operation::Alive;
use crate::domain::protection::{Protected, Protection};
use crate::domain::release::Release;
use crate::domain::text::Text;

/// How often other processes are looked at: a request is obeyed within a second.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// The loop's side of the store.
pub struct Store(Side);

enum Side {
    /// A thread of its own: what programs use.
    Thread { orders: mpsc::Sender<Order>, thread: JoinHandle<()> },
    /// Done at once by whoever asks: tests whose time is stepped need no thread that runs beside it.
    Inline(Box<RefCell<Worker>>),
    /// Not there: nothing can be started, and whoever asks is told why elsewhere.
    Absent,
}

enum Order {
    Append(OperationId, Timestamp, Box<Entry>, Option<u64>),
    Claim(OperationId),
    Release(OperationId),
    Ask(OperationId, ControlRequest),
    Remember(Vec<Healthy>),
    Note(Box<Notes>),
    Protect(Protected, Behind),
    Lift(u64, Text, Timestamp),
}

/// What a store begins with.
pub struct Beginning {
    /// The journal, opened for writing.
    pub journal: Journal,
    /// The locks beside it.
    pub locks: Locks,
    /// The record of healthy versions, where there is one.
    pub observations: Option<Observations>,
    /// This process.
    pub driver: Driver,
    /// Where what happens is told.
    pub events: UnboundedSender<Event>,
    /// Entries up to this one are known to the loop already.
    pub last: u64,
    /// Operations that had not ended then.
    pub open: Vec<OperationId>,
}

impl Store {
    /// Starts the thread.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub fn start(beginning: Beginning) -> std::io::Result<Store> {
        let (orders, inbox) = mpsc::channel();
        let worker = Worker::new(beginning);
        let thread = std::thread::Builder::new().name("store".to_string()).spawn(move || worker.run(&inbox))?;
        Ok(Store(Side::Thread { orders, thread }))
    }

    /// A store without a thread; `look` must be called to see what others wrote.
    pub fn inline(beginning: Beginning) -> Store {
        Store(Side::Inline(Box::new(RefCell::new(Worker::new(beginning)))))
    }

    /// A store that is not there.
    pub fn absent() -> Store {
        Store(Side::Absent)
    }

    /// Writes an entry, and that the request of this number is taken up with it; a `Started` entry takes the lock first.
    pub fn append(&self, operation: OperationId, at: Timestamp, entry: Box<Entry>, request: Option<u64>) {
        self.order(Order::Append(operation, at, entry, request));
    }

    /// Takes an operation over that nobody drives.
    pub fn claim(&self, operation: OperationId) {
        self.order(Order::Claim(operation));
    }

    /// Lets go of an ended operation.
    pub fn release(&self, operation: OperationId) {
        self.order(Order::Release(operation));
    }

    /// Leaves a request for the process that drives an operation.
    pub fn ask(&self, operation: OperationId, request: ControlRequest) {
        self.order(Order::Ask(operation, request));
    }

    /// Writes a lock or quarantine down.
    pub fn protect(&self, what: Protected, why: Behind) {
        self.order(Order::Protect(what, why));
    }

    /// Lifts the lock or quarantine of this number.
    pub fn lift(&self, number: u64, by: Text, at: Timestamp) {
        self.order(Order::Lift(number, by, at));
    }

    /// Notes which versions were seen healthy.
    pub fn remember(&self, healthy: Vec<Healthy>) {
        self.order(Order::Remember(healthy));
    }

    /// Notes what happened.
    pub fn note(&self, notes: Box<Notes>) {
        self.order(Order::Note(notes));
    }

    /// Looks for what other processes wrote, where no thread does so by itself.
    pub fn look(&self) {
        if let Side::Inline(worker) = &self.0 {
            worker.borrow_mut().look();
        }
    }

    /// Waits until everything that was ordered is on disk.
    pub fn close(self) {
        if let Side::Thread { orders, thread } = self.0 {
            drop(orders);
            // A panic of the thread was reported by the panic hook already.
            let _ = thread.join();
        }
    }

    fn order(&self, order: Order) {
        match &self.0 {
            // The thread only ends when this handle is closed, or by a panic that the hook reports.
            Side::Thread { orders, .. } => drop(orders.send(order)),
            Side::Inline(worker) => worker.borrow_mut().obey(order),
            Side::Absent => {}
        }
    }
}

struct Worker {
    journal: Journal,
    locks: Locks,
    observations: Option<Observations>,
    driver: Driver,
    events: UnboundedSender<Event>,
    /// Operations that have not ended, with the last known driver.
    open: BTreeMap<OperationId, Option<Alive>>,
    last: u64,
    data_version: Option<i64>,
    /// Requests that the loop knows of.
    told: BTreeSet<u64>,
    is_broken: bool,
    /// Whether it was said that the journal is not where it was.
    is_moved: bool,
    /// As last told.
    protections: Option<Vec<Protection>>,
    /// As last told; `None` until they were, or when they can't be read.
    releases: Option<Vec<Release>>,
}

impl Worker {
    fn new(beginning: Beginning) -> Worker {
        let Beginning { journal, locks, observations, driver, events, last, open } = beginning;
        let open = open.into_iter().map(|operation| (operation, None)).collect();
        Worker {
            journal,
            locks,
            observations,
            driver,
            events,
            open,
            last,
            data_version: None,
            told: BTreeSet::new(),
            is_broken: false,
            is_moved: false,
            protections: None,
            releases: None,
        }
    }

    fn run(mut self, inbox: &mpsc::Receiver<Order>) {
        self.look();
        let mut looked = Instant::now();
        loop {
            match inbox.recv_timeout(LOOK_EVERY.saturating_sub(looked.elapsed())) {
                Ok(order) => self.obey(order),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            if looked.elapsed() >= LOOK_EVERY {
                self.look();
                looked = Instant::now();
            }
        }
    }

    fn obey(&mut self, order: Order) {
        match order {
            Order::Append(operation, at, entry, request) => self.append(operation, at, &entry, request),
            Order::Claim(operation) => {
                self.read_news();
                match self.locks.claim(&operation, &self.driver) {
                    Ok(alive) => {
                        self.open.insert(operation.clone(), Some(alive));
                        self.tell(StoreEvent::Driven { operation: operation.clone(), alive });
                        self.tell_requests(&operation);
                    }
                    Err(error) => self.failed(operation, &error.to_string()),
                }
            }
            Order::Release(operation) => self.locks.release(&operation),
            Order::Remember(healthy) => {
                let written = self.observations.as_mut().map(|observations| observations.write(&healthy));
                self.give_up_after(written);
            }
            Order::Note(notes) => {
                let written = self.observations.as_mut().map(|observations| observations.note(&notes));
                self.give_up_after(written);
            }
            Order::Protect(what, why) => {
                let written = self.journal.protect(&what, &why).map(|_| ());
                self.tell_protections(written);
            }
            Order::Lift(number, by, at) => {
                let lifted = self.journal.lift(number, &by, at).map(|_| ());
                self.tell_protections(lifted);
            }
            Order::Ask(operation, request) => {
                let asked = self.journal.ask(&operation, Timestamp::now(), &self.driver.who, &request);
                if let Err(error) = asked {
                    self.failed(operation, &error.to_string());
                }
            }
        }
    }

    /// What was observed may be lost; that it is not written any more is said once.
    fn give_up_after(&mut self, written: Option<Result<(), StoreError>>) {
        if let Some(Err(error)) = written {
            tracing::error!(%error, "healthy versions and the timeline are not written any more");
            self.observations = None;
        }
    }

    fn append(&mut self, operation: OperationId, at: Timestamp, entry: &Entry, request: Option<u64>) {
        if matches!(entry, Entry::Started { .. }) {
            match self.locks.claim(&operation, &self.driver) {
                Ok(Alive::Here) => {}
                Ok(_) => return self.failed(operation, "another process holds its lock"),
                Err(error) => return self.failed(operation, &error.to_string()),
            }
        }
        match self.journal.append(&operation, at, entry, request) {
            Ok(record) => {
                // What others wrote before is told before, so that entries are folded in their order.
                self.read_news_before(record.sequence);
                self.last = record.sequence;
                self.note(&record);
                self.tell(StoreEvent::Appended(record));
            }
            Err(error) => {
                if matches!(entry, Entry::Started { .. }) {
                    self.locks.release(&operation);
                }
                self.failed(operation, &error.to_string());
            }
        }
    }

    /// What other processes wrote, asked and hold.
    fn look(&mut self) {
        if let (Err(error), false) = (self.journal.is_in_place(), self.is_moved) {
            self.is_moved = true;
            self.tell(StoreEvent::Unreadable(Text::new(&error.to_string())));
        }
        let version = self.journal.data_version().ok();
        if version != self.data_version || self.data_version.is_none() {
            self.read_news();
            self.tell_protections(Ok(()));
            self.tell_releases();
            self.data_version = version;
        }
        let open: Vec<OperationId> = self.open.keys().cloned().collect();
        for operation in open {
            let alive = self.locks.look(&operation);
            if self.open.get(&operation) != Some(&Some(alive)) {
                self.open.insert(operation.clone(), Some(alive));
                self.tell(StoreEvent::Driven { operation: operation.clone(), alive });
            }
            if alive == Alive::Here {
                self.tell_requests(&operation);
            }
        }
    }

    /// All that is protected, after something was written here or elsewhere.
    fn tell_protections(&mut self, written: Result<(), StoreError>) {
        match written.and_then(|()| self.journal.protections()) {
            Ok(protections) if self.protections.as_ref() == Some(&protections) => {}
            Ok(protections) => {
                self.protections = Some(protections.clone());
                self.tell(StoreEvent::Protected(protections));
            }
            Err(error) => self.tell(StoreEvent::NotProtected(Text::new(&error.to_string()))),
        }
    }

    /// What versions are, after another process may have said so. What can't be read was said at the start.
    fn tell_releases(&mut self) {
        let releases = self.journal.releases().ok();
        if let Some(added) = releases.clone().filter(|_| releases != self.releases) {
            self.tell(StoreEvent::Released(added));
        }
        self.releases = releases;
    }

    fn read_news(&mut self) {
        self.read_news_before(u64::MAX);
    }

    fn read_news_before(&mut self, end: u64) {
        match self.journal.replay_readable(self.last) {
            Ok(Replayed { mut records, faults }) => {
                records.retain(|record| record.sequence < end);
                if let Some(fault) = faults.first() {
                    self.tell_once(&fault.to_string());
                }
                if records.is_empty() {
                    return;
                }
                self.last = records.last().map_or(self.last, |record| record.sequence);
                for record in &records {
                    self.note(record);
                }
                self.tell(StoreEvent::Replayed(records));
            }
            Err(error) => self.tell_once(&error.to_string()),
        }
    }

    /// What can't be read is said once: it would be found again at each look.
    fn tell_once(&mut self, fault: &str) {
        if !std::mem::replace(&mut self.is_broken, true) {
            tracing::error!(fault, "the journal can't be read");
            let why = format!("operations of other processes may be missing: {fault}");
            self.tell(StoreEvent::Unreadable(Text::new(&why)));
        }
    }

    fn note(&mut self, record: &Record) {
        match record.entry {
            Entry::Started { .. } => {
                self.open.insert(record.operation.clone(), None);
            }
            Entry::Ended { .. } => {
                self.open.remove(&record.operation);
            }
            _ => {}
        }
    }

    /// Tells each waiting request once; it is taken with the entry that takes it up, so that a process that dies before
    /// leaves it to the next one.
    fn tell_requests(&mut self, operation: &OperationId) {
        match self.journal.requests(operation) {
            Ok(requests) => {
                for (number, request, by) in requests {
                    if self.told.insert(number) {
                        self.tell(StoreEvent::Requested { operation: operation.clone(), request, by, number });
                    }
                }
            }
            Err(error) => tracing::error!(%error, "requests of other processes can't be read"),
        }
    }

    fn failed(&self, operation: OperationId, reason: &str) {
        tracing::error!(%operation, reason, "the store refused");
        self.tell(StoreEvent::AppendFailed { operation, reason: Text::new(reason) });
    }

    fn tell(&self, event: StoreEvent) {
        // The loop is gone only while the process ends.
        let _ = self.events.send(Event::Store(event));
    }
}
