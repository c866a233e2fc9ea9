//! The operations that this process knows, drives or watches: from answers to journal entries and back.
//!
//! Two rules live here and nowhere else. A request is sent by an appended `Sent` entry alone, so that no later event
//! sends it again. One entry of an operation is on its way to the disk at a time, so that a slow disk writes none twice.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use jiff::Timestamp;

use super::effect::Effect;
use super::event::{CallAnswer, ControlRequest, StoreEvent};
use super::settings::Access;
use crate::domain::fleet::Fleet;
use crate::domain::history::OwnRecord;
use crate::domain::id::{OperationId, WorkloadId};
use crate::domain::journal::{Call, Driver, Entry, Record, Request};
use crate::domain::operation::{Alive, Asked, Debt, Gates, Mode, Operation, World, decide, own_records, paid};
use crate::domain::plan::{Plan, short_name};
use crate::domain::policy::Policy;
use crate::domain::text::Text;

/// All operations of the journal.
#[derive(Debug, Default)]
pub struct Operations {
    tracked: BTreeMap<OperationId, Tracked>,
    /// Operations whose first entry could not be written: nothing of them was done.
    pub not_started: BTreeMap<OperationId, Text>,
    /// Operations whose first entry is on its way to the disk.
    starting: BTreeSet<OperationId>,
    /// Operations whose way back is on its way to the disk.
    returning: BTreeSet<OperationId>,
    /// Ways back that can't begin, and why: the operation has stopped, and is told so once.
    no_way_back: BTreeMap<OperationId, Text>,
    /// The process was asked to end: nothing is decided any more, answers are written down.
    is_ending: bool,
}

/// One operation with what this process knows beside its entries.
#[derive(Debug)]
pub struct Tracked {
    /// The fold of its entries.
    pub operation: Operation,
    /// Who drives it.
    pub alive: Alive,
    /// What the rule remembers between two looks.
    pub gates: Gates,
    /// Requests that wait for their answer.
    pub in_flight: BTreeSet<Call>,
    /// Whether this process has driven it to its end.
    has_ended_here: bool,
    /// Why nothing new is decided by this process, if so; answers are still written down.
    pub halted: Option<Text>,
    /// Why its debts are written off, if somebody has said so.
    written_off: Option<Text>,
    appending: Option<Waiting>,
    outbox: VecDeque<Waiting>,
}

/// An entry that waits for its turn.
#[derive(Clone, Debug)]
struct Waiting {
    entry: Entry,
    /// The request of an operator that it takes up, by its number in the store.
    request: Option<u64>,
    source: Source,
}

/// Where an entry comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    /// A provider's answer or an operator's request: it comes once.
    Told,
    /// The rule, which says it again as long as it is so.
    Decided,
}

impl Operations {
    /// Every operation, oldest id first.
    pub fn iter(&self) -> impl Iterator<Item = &Tracked> {
        self.tracked.values()
    }

    /// One operation.
    pub fn get(&self, id: &OperationId) -> Option<&Tracked> {
        self.tracked.get(id)
    }

    /// Newest first.
    pub fn newest_first(&self) -> Vec<&Tracked> {
        let mut sorted: Vec<&Tracked> = self.tracked.values().collect();
        sorted.sort_by(|a, b| {
            b.operation.started_at.cmp(&a.operation.started_at).then_with(|| a.operation.id.cmp(&b.operation.id))
        });
        sorted
    }

    /// The operation that the banner names: one of this process first, then one of another, then an interrupted one.
    pub fn on_banner(&self) -> Option<&Tracked> {
        let running = || self.newest_first().into_iter().filter(|tracked| tracked.operation.ended.is_none());
        running().min_by_key(|tracked| match tracked.alive {
            Alive::Here => 0,
            Alive::Elsewhere => 1,
            Alive::Nobody => 2,
        })
    }

    /// Whether this process drives an operation that has not ended.
    pub fn is_driving(&self) -> bool {
        let is_ours = |tracked: &Tracked| tracked.alive == Alive::Here && tracked.operation.ended.is_none();
        !self.starting.is_empty() || self.tracked.values().any(is_ours) || self.owes_way_back().is_some()
    }

    /// The operation that this process has stopped and must go back from, as an operator has asked.
    pub fn owes_way_back(&self) -> Option<&Tracked> {
        self.tracked.values().find(|tracked| {
            tracked.has_ended_here && tracked.operation.returns && !self.is_taken_back(&tracked.operation.id)
        })
    }

    fn is_taken_back(&self, id: &OperationId) -> bool {
        let reverses = |tracked: &Tracked| tracked.operation.plan.reverses.as_ref() == Some(id);
        self.no_way_back.contains_key(id) || self.returning.contains(id) || self.tracked.values().any(reverses)
    }

    /// The operation that was to be gone back from when its process ended.
    pub fn lacks_way_back(&self, id: &OperationId) -> bool {
        let asked =
            self.tracked.get(id).is_some_and(|tracked| tracked.operation.returns && tracked.operation.ended.is_some());
        asked && !self.tracked.values().any(|tracked| tracked.operation.plan.reverses.as_ref() == Some(id))
    }

    /// The way back from an operation can't begin.
    pub fn give_up_way_back(&mut self, id: OperationId, why: Text) {
        self.no_way_back.insert(id, why);
    }

    /// The operation that takes this one back, if one does.
    pub fn way_back_of(&self, id: &OperationId) -> Option<&Tracked> {
        self.tracked.values().find(|tracked| tracked.operation.plan.reverses.as_ref() == Some(id))
    }

    /// Why there is no way back from an operation that was to be gone back from.
    pub fn why_no_way_back(&self, id: &OperationId) -> Option<&Text> {
        self.no_way_back.get(id)
    }

    /// The running operation that drives a workload.
    pub fn busy(&self, workload: &WorkloadId) -> Option<Text> {
        let driving = self
            .tracked
            .values()
            .find(|tracked| tracked.alive != Alive::Nobody && tracked.operation.is_driving(workload));
        driving.map(|tracked| tracked.operation.id.0.clone())
    }

    /// Everything that is owed, by any operation.
    pub fn debts(&self) -> impl Iterator<Item = (&OperationId, &Debt)> {
        self.tracked
            .values()
            .flat_map(|tracked| tracked.operation.debts.iter().map(|debt| (&tracked.operation.id, debt)))
    }

    /// Starts a confirmed plan; the caller has checked the code.
    pub fn start(
        &mut self,
        plan: Plan,
        driver: Driver,
        incident: Option<Text>,
        now: Timestamp,
    ) -> (OperationId, Vec<Effect>) {
        let content = format!("{}|{now}|{}|{}", plan.id, driver.boot, driver.pid);
        let id = OperationId(short_name("o-", 6, &content));
        self.returning.extend(plan.reverses.clone());
        let entry = Entry::Started { plan: Box::new(plan), by: driver, incident };
        self.starting.insert(id.clone());
        (id.clone(), vec![Effect::Append { operation: id, entry: Box::new(entry), request: None }])
    }

    /// Takes in what the store tells.
    pub fn store(&mut self, event: StoreEvent, driver: &Driver) -> Vec<Effect> {
        match event {
            StoreEvent::Appended(record) => self.appended(&record),
            StoreEvent::AppendFailed { operation, reason } => {
                self.starting.remove(&operation);
                match self.tracked.get_mut(&operation) {
                    Some(tracked) => {
                        // What was answered or asked must not be lost; what was decided is decided again.
                        let unwritten = tracked.appending.take().filter(|waiting| waiting.source == Source::Told);
                        unwritten.into_iter().for_each(|waiting| tracked.outbox.push_front(waiting));
                        tracked.halted = Some(reason);
                    }
                    None => {
                        self.not_started.insert(operation, reason);
                    }
                }
                Vec::new()
            }
            StoreEvent::Replayed(records) => {
                for record in &records {
                    self.fold(record, Alive::Nobody);
                }
                Vec::new()
            }
            StoreEvent::Unreadable(_)
            | StoreEvent::Protected(_)
            | StoreEvent::Released(_)
            | StoreEvent::NotProtected(_) => Vec::new(),
            StoreEvent::Driven { operation, alive } => self.driven(&operation, alive, driver),
            StoreEvent::Requested { operation, request, by, number } => {
                self.requested(&operation, request, by, Some(number));
                Vec::new()
            }
        }
    }

    /// Folds a whole journal; `look` tells who drives an operation that has not ended.
    pub fn replay(&mut self, records: Vec<Record>, look: impl Fn(&OperationId) -> Alive) {
        for record in &records {
            self.fold(record, Alive::Nobody);
        }
        for tracked in self.tracked.values_mut().filter(|tracked| tracked.operation.ended.is_none()) {
            tracked.alive = look(&tracked.operation.id);
        }
    }

    /// Takes in how a request went: it becomes an entry.
    pub fn executed(&mut self, operation: &OperationId, call: Call, answer: CallAnswer) {
        let Some(tracked) = self.tracked.get_mut(operation) else { return };
        // One request has one answer: what was told before is told again.
        if !tracked.in_flight.remove(&call) {
            return;
        }
        let entry = match answer {
            CallAnswer::Accepted(receipt) => Entry::Accepted { call, receipt },
            CallAnswer::Refused(reason) => Entry::Refused { call, reason },
            CallAnswer::Blocked(reason) => Entry::Blocked { call, reason },
            CallAnswer::Moved { differences, bound } => tracked.moved(call, differences, bound),
            CallAnswer::Unanswered(reason) => Entry::Unanswered { call, reason },
        };
        tracked.outbox.push_back(Waiting { entry, request: None, source: Source::Told });
    }

    /// Asks for something: of this process's own operation at once, of another's through the store, of nobody's by
    /// taking it over first.
    pub fn ask(&mut self, operation: &OperationId, request: ControlRequest, by: &Text) -> Vec<Effect> {
        let Some(tracked) = self.tracked.get_mut(operation).filter(|tracked| tracked.operation.ended.is_none()) else {
            return Vec::new();
        };
        match tracked.alive {
            Alive::Here => {
                self.requested(operation, request, by.clone(), None);
                Vec::new()
            }
            Alive::Elsewhere => vec![Effect::Ask { operation: operation.clone(), request }],
            Alive::Nobody => {
                vec![Effect::Ask { operation: operation.clone(), request }, Effect::Claim(operation.clone())]
            }
        }
    }

    /// What follows from everything that is known now: the next entries to write. Call it after each event.
    pub fn advance(&mut self, fleet: &Fleet, policy: &Policy, now: Timestamp, access: &Access) -> Vec<Effect> {
        let mut effects = Vec::new();
        for tracked in self.tracked.values_mut().filter(|tracked| tracked.appending.is_none()) {
            let is_ours = tracked.alive == Alive::Here;
            let is_free = tracked.alive == Alive::Nobody || tracked.operation.ended.is_some();
            // A disk that takes nothing is not asked again at each event; at the end, answers are still written down.
            let may_write = tracked.halted.is_none() || self.is_ending;
            let mut next = if is_ours && may_write { tracked.outbox.pop_front() } else { None };
            if next.is_none() && tracked.halted.is_none() {
                // What is paid may be noted by any process, once nobody drives the operation that owes it.
                let may_note = is_ours || (is_free && *access == Access::Operable);
                let written_off = || tracked.written_off.as_ref().and_then(|how| tracked.operation.write_off(how));
                let paid = if may_note { paid(&tracked.operation, fleet).or_else(written_off) } else { None };
                let entry = paid.or_else(|| {
                    let world = World { fleet, policy, now, in_flight: &tracked.in_flight };
                    if is_ours { decide(&tracked.operation, &mut tracked.gates, &world) } else { None }
                });
                next = entry.map(|entry| Waiting { entry, request: None, source: Source::Decided });
            }
            if is_ours && let Some((wave, number, probe)) = tracked.gates.next_probe() {
                effects.push(Effect::Probe { operation: tracked.operation.id.clone(), wave, number, probe });
            }
            if let Some(waiting) = next {
                let (operation, entry) = (tracked.operation.id.clone(), Box::new(waiting.entry.clone()));
                effects.push(Effect::Append { operation, entry, request: waiting.request });
                tracked.appending = Some(waiting);
            }
        }
        effects
    }

    /// A probe has answered for a wave.
    pub fn probed(&mut self, operation: &OperationId, (wave, number): (u16, u16), answer: Asked) {
        if let Some(tracked) = self.tracked.get_mut(operation) {
            tracked.gates.probed(wave, number, answer);
        }
    }

    /// What an ended operation owes is owed no longer, because somebody says so.
    pub fn write_off(&mut self, operation: &OperationId, how: Text) {
        let tracked = self.tracked.get_mut(operation).filter(|tracked| tracked.operation.ended.is_some());
        if let Some(tracked) = tracked {
            tracked.written_off = Some(how);
        }
    }

    /// Stops sending: SIGTERM. What is in flight is left to the platform, the journal keeps what is known.
    pub fn halt(&mut self, why: &str) {
        self.is_ending = true;
        for tracked in self.tracked.values_mut().filter(|tracked| tracked.alive == Alive::Here) {
            tracked.halted = Some(Text::new(why));
        }
    }

    /// Whether nothing of this process waits for the disk or for an answer.
    pub fn is_idle(&self) -> bool {
        self.tracked
            .values()
            .all(|tracked| tracked.appending.is_none() && tracked.in_flight.is_empty() && tracked.outbox.is_empty())
    }

    /// After the clock jumped: every bake starts again.
    pub fn restart_bakes(&mut self) {
        for tracked in self.tracked.values_mut() {
            tracked.gates.restart_bakes();
        }
    }

    /// Hands what the journal and our record know of versions to the fleet; an operation's word is the stronger one.
    pub fn teach(&self, fleet: &mut Fleet, seen: &BTreeMap<WorkloadId, OwnRecord>) {
        fleet.set_loans(self.debts().filter_map(|(_, debt)| debt.owing()).collect());
        let operations = own_records(self.tracked.values().map(|tracked| &tracked.operation));
        let workloads: BTreeSet<&WorkloadId> = operations.keys().chain(seen.keys()).collect();
        for workload in workloads {
            let mut record = seen.get(workload).cloned().unwrap_or_default();
            if let Some(stronger) = operations.get(workload) {
                record.0.extend(stronger.0.iter().map(|(hash, verdict)| (hash.clone(), *verdict)));
            }
            if fleet.record_of(workload) != Some(&record) {
                fleet.set_record(workload.clone(), record);
            }
        }
    }

    fn appended(&mut self, record: &Record) -> Vec<Effect> {
        self.starting.remove(&record.operation);
        self.fold(record, Alive::Here);
        let Some(tracked) = self.tracked.get_mut(&record.operation) else { return Vec::new() };
        tracked.appending = None;
        match &record.entry {
            Entry::Sent { call, .. } => {
                // The only place that sends.
                let Some(step) = tracked.operation.step_for(*call) else { return Vec::new() };
                tracked.in_flight.insert(*call);
                vec![Effect::Execute {
                    operation: record.operation.clone(),
                    call: *call,
                    step: Box::new(step),
                    who: tracked.operation.driver.who.clone(),
                }]
            }
            Entry::Ended { .. } => {
                tracked.has_ended_here = true;
                vec![Effect::Release(record.operation.clone())]
            }
            _ => Vec::new(),
        }
    }

    fn fold(&mut self, record: &Record, alive: Alive) {
        if let Some(tracked) = self.tracked.get_mut(&record.operation) {
            tracked.operation.apply(record);
            return;
        }
        if let Some(operation) = Operation::begin(record) {
            self.tracked.insert(
                record.operation.clone(),
                Tracked {
                    operation,
                    alive,
                    gates: Gates::default(),
                    in_flight: BTreeSet::new(),
                    has_ended_here: false,
                    halted: None,
                    written_off: None,
                    appending: None,
                    outbox: VecDeque::new(),
                },
            );
        }
    }

    fn driven(&mut self, operation: &OperationId, alive: Alive, driver: &Driver) -> Vec<Effect> {
        let Some(tracked) = self.tracked.get_mut(operation) else { return Vec::new() };
        let taken_over = alive == Alive::Here && tracked.alive != Alive::Here && tracked.operation.ended.is_none();
        tracked.alive = alive;
        if !taken_over {
            return Vec::new();
        }
        tracked.halted = None;
        let entry = Entry::Claimed { by: driver.clone() };
        tracked.outbox.push_front(Waiting { entry, request: None, source: Source::Told });
        // Whoever drives it must see all its places, whichever this process was started with.
        tracked.operation.plan.waves.iter().map(|wave| Effect::Connect(wave.place.clone())).collect()
    }

    fn requested(&mut self, operation: &OperationId, request: ControlRequest, by: Text, number: Option<u64>) {
        let Some(tracked) = self.tracked.get_mut(operation).filter(|tracked| tracked.operation.ended.is_none()) else {
            return;
        };
        // Written down whether it changes anything or not: what it does is decided by the fold, in the order of entries.
        let entry = match &request {
            ControlRequest::Plain(request) => Entry::Asked { request: *request, by },
            ControlRequest::ResumeWithCode(code) => match &tracked.operation.mode {
                Mode::PlanMoved { step, bound, .. }
                    if tracked.operation.resume_code().is_some_and(|wanted| wanted.as_str() == code.as_str()) =>
                {
                    Entry::Rebound { step: *step, bound: bound.clone() }
                }
                Mode::PlanMoved { .. } | Mode::Running | Mode::Paused { .. } | Mode::Stopping { .. } => {
                    Entry::Asked { request: Request::Resume, by }
                }
            },
        };
        // Somebody is there and wants something: what could not be written is tried again.
        if !self.is_ending {
            tracked.halted = None;
        }
        let is_known = |entry: &Entry| {
            let appending = tracked.appending.as_ref().map(|appending| &appending.entry);
            tracked.outbox.iter().any(|waiting| waiting.entry == *entry) || appending == Some(entry)
        };
        // A key that is pressed twice asks once; a request of another process is taken up in any case.
        if number.is_some() || !is_known(&entry) {
            tracked.outbox.push_back(Waiting { entry, request: number, source: Source::Told });
        }
    }
}

impl Tracked {
    /// A moved fact: on the first step of an operation it refuses, later it pauses with a new code.
    fn moved(&self, call: Call, differences: Vec<Text>, bound: Box<crate::domain::plan::Bound>) -> Entry {
        let list: Vec<&str> = differences.iter().map(Text::as_str).collect();
        let reason = Text::new(&format!("nothing was sent: {}", list.join("; ")));
        match call {
            Call::Step(step) if self.operation.steps.values().any(|progress| progress.accepted_at.is_some()) => {
                Entry::Moved { step, differences, bound }
            }
            Call::Step(_) | Call::Brake(_) | Call::Release(_) => Entry::Refused { call, reason },
        }
    }
}
