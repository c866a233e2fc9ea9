//! One seed, played: a process that drives operations, a person who asks for things, others who interfere, and crashes.
//!
//! Never sleeps on the real clock and never throws dice that are not the seed's.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tempfile::TempDir;
use tokio::time::sleep;

use rolldeck::app::effect::Effect;
use rolldeck::app::event::ControlRequest;
use rolldeck::domain::id::OperationId;
use rolldeck::domain::journal::{Entry, Request};
use rolldeck::domain::keeper::Setting;
use rolldeck::domain::operation::{Alive, Debt, Mode};
use rolldeck::domain::plan::{Goto, Owing, PlanRequest, Scope};
use rolldeck::domain::text::Text;
use rolldeck::providers::Order;
use rolldeck::providers::sim::{Fault, Intervention, Outcome, SimWorld, open};
use rolldeck::runtime::store::Journal;

use super::dice::Dice;
use super::process::{Configuration, Process};
use super::scene::Scene;
use super::wire::Wire;
use super::witness::Witness;

/// When simulated worlds begin.
const BASE: &str = "2026-11-21T03:10:00Z";
/// How long the weather may be bad, in minutes.
const STORM: u64 = 40;
/// How long everything may take at most.
const HOURS: i64 = 6;

/// What a seed has come to.
#[derive(Debug, Default)]
pub(super) struct Played {
    /// What is wrong; empty if nothing.
    pub(super) faults: Vec<String>,
    /// The scenario and the journal.
    pub(super) story: String,
    /// What happened, by how often: entries, ends, requests that were done, deaths of the process.
    pub(super) tally: BTreeMap<&'static str, usize>,
}

/// How it is outside.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Weather {
    /// Everything that can go wrong does.
    Storm,
    /// Nothing does any more.
    Calm,
}

struct Play {
    world: Arc<SimWorld>,
    configuration: Configuration,
    scene: Scene,
    state: TempDir,
    journal: Journal,
    read_up_to: u64,
    process: Option<Process>,
    processes: u32,
    wire: Wire,
    witness: Witness,
    dice: Dice,
    weather: Weather,
    started: u64,
    crashes: usize,
    person_at: Timestamp,
    others_at: Timestamp,
}

/// Plays a seed to its end.
pub(super) async fn play(seed: u64) -> Played {
    let mut dice = Dice::new(seed);
    let scene = Scene::of(&mut dice);
    let demo =
        open(&scene.text, BASE.parse().expect("a time")).unwrap_or_else(|error| panic!("{error}\n{}", scene.text));
    let state = tempfile::tempdir().expect("a directory");
    let mut policy = demo.policy.clone();
    policy.base.first_percent = scene.first;
    let configuration = Configuration { world: demo.world.clone(), policy, declarations: demo.declarations };
    let first = Process::open(&configuration, state.path(), 0, dice.split());
    let now = demo.world.now();
    let mut play = Play {
        journal: Journal::open(state.path()).expect("the journal opens"),
        wire: Wire::new(&demo.world),
        witness: Witness::new(&demo.world, &scene),
        world: demo.world,
        configuration,
        scene,
        state,
        read_up_to: 0,
        process: Some(first),
        processes: 1,
        dice,
        weather: Weather::Storm,
        started: 0,
        crashes: 0,
        person_at: now + Duration::from_secs(3),
        others_at: now + Duration::from_secs(5),
    };
    play.run().await;
    play.told()
}

impl Play {
    async fn run(&mut self) {
        let storm = Duration::from_secs(60 * (1 + self.dice.below(STORM)));
        let calm_at = self.world.now() + storm;
        let give_up_at = self.world.now() + SignedDuration::from_hours(HOURS);
        let wanted = 1 + self.dice.below(3);
        while self.world.now() < give_up_at && self.witness.faults.is_empty() {
            self.step().await;
            let is_over = self.started >= wanted && self.process.as_ref().is_some_and(has_ended);
            if self.weather == Weather::Storm && (self.world.now() >= calm_at || is_over) {
                self.weather = Weather::Calm;
                self.person_at = self.world.now();
            }
            // Nobody comes any more who would start another one.
            if self.weather == Weather::Calm && self.process.as_ref().is_some_and(has_ended) {
                break;
            }
        }
        if !self.witness.faults.is_empty() {
            return;
        }
        // Late reports are heard, late answers are told.
        self.quiet(Duration::from_secs(400)).await;
        if let Some(process) = &self.process {
            self.witness.ends(&process.model);
        }
        for workload in &self.scene.workloads {
            if self.world.is_held(workload) == Some(true) {
                self.world.intervene(workload, &Intervention::Resume);
            }
            for (index, setting) in self.witness.keepers_of(workload).into_iter().enumerate() {
                self.world.intervene(workload, &Intervention::Keep(index as u8, setting));
            }
        }
        self.quiet(Duration::from_secs(60)).await;
        if let Some(process) = &self.process {
            self.witness.is_paid(&process.model);
        }
    }

    /// Lets time go by in which nobody asks for anything.
    async fn quiet(&mut self, time: Duration) {
        self.weather = Weather::Calm;
        let until = self.world.now() + time;
        self.person_at = until + time;
        while self.world.now() < until {
            self.step().await;
        }
    }

    async fn step(&mut self) {
        let Some(process) = &mut self.process else {
            // Places live on while nobody drives.
            let gap = if self.dice.one_in(4) { self.dice.millis(0, 200_000) } else { self.dice.millis(0, 5000) };
            sleep(gap).await;
            let dice = self.dice.split();
            self.process = Some(Process::open(&self.configuration, self.state.path(), self.processes, dice));
            self.processes += 1;
            self.read();
            return;
        };
        let effects = process.turn().await;
        self.perform(effects);
        for arrival in self.wire.arrivals() {
            self.witness.arrived(&arrival);
        }
        self.witness.look();
        if self.world.now() >= self.others_at && self.weather == Weather::Storm {
            self.others_at = self.world.now() + self.dice.millis(1000, 60_000);
            self.interfere().await;
        }
        if self.world.now() >= self.person_at {
            self.person_at = self.world.now()
                + match self.weather {
                    Weather::Storm => self.dice.millis(200, 40_000),
                    Weather::Calm => self.dice.millis(20_000, 40_000),
                };
            self.ask();
        }
    }

    /// Does what the process wants done, unless it dies in between.
    fn perform(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            if self.weather == Weather::Storm && self.dice.one_in(30) && self.crashes < 4 {
                self.crash();
                return;
            }
            let now = self.world.now();
            let Some(process) = &self.process else { return };
            match effect {
                Effect::Append { operation, entry, request } => {
                    self.witness.decides(&process.model, &operation, &entry);
                    process.store.append(operation, now, entry, request);
                    self.read();
                }
                Effect::Claim(operation) => process.store.claim(operation),
                Effect::Release(operation) => process.store.release(operation),
                Effect::Ask { operation, request } => process.store.ask(operation, request),
                Effect::Execute { operation, call, step, who } => {
                    let told = process.told.clone();
                    self.witness.sends(&operation, call);
                    let dice = (self.weather == Weather::Storm).then_some(&mut self.dice);
                    self.wire.send(Order { operation, who, call, step: *step }, told, dice);
                }
                // Neither is part of what is played here: all places are connected, nothing is shown.
                _ => {}
            }
        }
        if self.weather == Weather::Storm && self.dice.one_in(1500) && self.crashes < 4 {
            self.crash();
        }
    }

    fn crash(&mut self) {
        self.crashes += 1;
        self.process = None;
        if self.dice.one_in(2) {
            self.wire.cut();
        }
        self.read();
    }

    fn read(&mut self) {
        for record in self.journal.replay(self.read_up_to).expect("the journal is whole") {
            self.read_up_to = record.sequence;
            self.witness.written(record);
        }
    }

    /// A person at the screen, or at another one.
    fn ask(&mut self) {
        let Some(process) = &self.process else { return };
        let open = process.model.operations.iter().find(|tracked| tracked.operation.ended.is_none());
        let Some(tracked) = open else {
            if self.weather == Weather::Storm && !process.model.operations.is_driving() {
                self.start();
            }
            return;
        };
        let operation = &tracked.operation;
        let code = operation.resume_code().map(|code| ControlRequest::ResumeWithCode(Text::new(code.as_str())));
        let is_late = self.world.now().duration_since(operation.started_at).as_hours() >= 2;
        let plain = ControlRequest::Plain;
        let wanted = match (self.weather, tracked.alive, &operation.mode) {
            (Weather::Calm, ..) if is_late => plain(Request::Stop),
            (_, _, Mode::PlanMoved { .. }) => match self.dice.below(6) {
                0 => plain(Request::Stop),
                1 => plain(Request::Pause),
                _ => code.unwrap_or(plain(Request::Resume)),
            },
            (Weather::Calm, Alive::Nobody, _) | (Weather::Calm, _, Mode::Paused { .. }) => plain(Request::Resume),
            (Weather::Calm, ..) => return,
            (Weather::Storm, Alive::Nobody, _) | (Weather::Storm, _, Mode::Paused { .. }) => plain(*self.dice.pick(&[
                Request::Resume,
                Request::Resume,
                Request::Resume,
                Request::Pause,
                Request::Stop,
            ])),
            (Weather::Storm, ..) => match self.dice.below(12) {
                0..=2 => plain(Request::Pause),
                3 => plain(Request::Resume),
                4 => plain(Request::Stop),
                5 => plain(Request::Return),
                _ => return,
            },
        };
        let id = operation.id.clone();
        if tracked.alive == Alive::Here && self.dice.one_in(3) {
            self.journal.ask(&id, self.world.now(), "cyd", &wanted).expect("it is written");
        } else {
            self.ask_here(&id, wanted);
        }
    }

    fn ask_here(&mut self, id: &OperationId, wanted: ControlRequest) {
        let Some(process) = &mut self.process else { return };
        let who = process.model.settings.driver.who.clone();
        let effects = process.model.operations.ask(id, wanted, &who);
        self.perform(effects);
    }

    /// Starts whatever can be started.
    fn start(&mut self) {
        let Some(process) = &mut self.process else { return };
        let model = &mut process.model;
        let mut requests = self.scene.requests(&mut self.dice);
        let last = model.operations.newest_first().first().map(|tracked| tracked.operation.clone());
        if self.dice.one_in(2) {
            let valid = Duration::from_secs(600);
            requests.splice(0..0, last.as_ref().and_then(|last| PlanRequest::reverse(last, valid)));
        }
        if let Some(last) = last.filter(|_| self.dice.one_in(2)) {
            let owing: Vec<Owing> = last.debts.iter().filter_map(Debt::owing).collect();
            let workloads = owing.iter().map(|owed| owed.workload.clone()).collect();
            let back = PlanRequest::of(Goto::GiveBack(owing), Scope::Exactly(workloads), Duration::from_secs(600));
            requests.insert(0, back);
        }
        let plan = requests.iter().map(|request| model.plan(request)).find(|plan| plan.code().is_some());
        let Some(plan) = plan else {
            self.started += u64::from(self.dice.one_in(8));
            return;
        };
        self.started += 1;
        let (driver, now) = (model.settings.driver.clone(), model.now);
        let (_, effects) = model.operations.start(plan, driver, None, now);
        self.perform(effects);
    }

    /// Somebody else, or the weather.
    async fn interfere(&mut self) {
        let workload = self.dice.pick(&self.scene.workloads).clone();
        let place = workload.place.clone();
        let time = self.dice.millis(500, 100_000);
        match self.dice.below(14) {
            0 => self.world.fault(&place, 0, Fault::LoseAnswer),
            1 => self.world.fault(&place, self.dice.below(3) as usize, Fault::Conflict),
            2 => self.world.fault(&place, 0, Fault::Refuse(Text::new("admission webhook said no"))),
            3 | 4 => {
                self.world.fault(&place, self.dice.below(2) as usize, Fault::Block(Text::new("too many requests")))
            }
            5 => self.world.fault(&place, 0, Fault::GoDark(time)),
            6 => self.world.go_dark(&place, time),
            7 => self.world.expire(&place),
            8 => {
                if let Some(process) = &mut self.process {
                    process.sleep_for(time).await;
                }
            }
            _ if self.scene.is_lonely => {}
            _ => {
                let what = match self.dice.below(9) {
                    0 => Intervention::Request(Text::new(self.dice.pick::<&str>(&self.scene.tags))),
                    1 | 2 | 7 | 8 => Intervention::DeleteInstances(1 + self.dice.below(4) as u32),
                    3 => Intervention::Pause,
                    4 => Intervention::Resume,
                    5 => Intervention::Scale(1 + self.dice.below(6) as u32),
                    6 if self.dice.one_in(3) => {
                        let setting = self.dice.pick(&[Setting::Acts, Setting::Suspended, Setting::AtLeast(2)]);
                        let index = u8::from(matches!(setting, Setting::AtLeast(_)));
                        Intervention::Keep(index, *setting)
                    }
                    _ if self.dice.one_in(6) => Intervention::Remove,
                    _ => Intervention::Touch,
                };
                self.world.intervene(&workload, &what);
                self.witness.disturb(&workload);
            }
        }
    }

    fn told(self) -> Played {
        let line = |entry: &Entry| match entry {
            Entry::Started { plan, .. } => {
                let steps: Vec<String> = plan
                    .steps()
                    .map(|step| format!("{} {} {:?} {}", step.id, step.workload, step.action, step.instances))
                    .collect();
                format!("Started {}: {}", plan.title, steps.join(", "))
            }
            other => format!("{other:?}"),
        };
        let records = self.witness.records.iter();
        let journal = records.map(|record| format!("{} {} {}", record.at, record.operation, line(&record.entry)));
        let calls = self.world.calls();
        let received = calls
            .iter()
            .map(|call| format!("{} {} {:?} {} {:?}", call.at, call.operation, call.call, call.verb, call.outcome));
        let story = [
            vec![self.scene.text.clone(), "JOURNAL".to_string()],
            journal.collect(),
            vec!["RECEIVED".to_string()],
            received.collect(),
        ];
        let mut tally = BTreeMap::from([("crash", self.crashes)]);
        let done = calls.iter().filter(|call| call.outcome == Outcome::Done).map(|call| call.verb);
        for word in self.witness.records.iter().map(|record| word(&record.entry)).chain(done) {
            *tally.entry(word).or_default() += 1;
        }
        Played { story: story.concat().join("\n"), tally, faults: self.witness.faults }
    }
}

/// Whether nothing goes on and nothing will by itself.
fn has_ended(process: &Process) -> bool {
    let operations = &process.model.operations;
    operations.iter().all(|tracked| tracked.operation.ended.is_some())
        && !operations.is_driving()
        && operations.is_idle()
}

fn word(entry: &Entry) -> &'static str {
    match entry {
        Entry::Started { plan, .. } if plan.reverses.is_some() => "started back",
        Entry::Started { .. } => "started",
        Entry::Claimed { .. } => "claimed",
        Entry::Sent { .. } => "sent",
        Entry::Accepted { .. } => "accepted",
        Entry::Refused { .. } => "not done",
        Entry::Blocked { .. } => "blocked",
        Entry::Unanswered { .. } => "unanswered",
        Entry::Moved { .. } => "moved",
        Entry::Rebound { .. } => "rebound",
        Entry::Verified { .. } => "verified",
        Entry::Failed { .. } => "step failed",
        Entry::Unresolved { .. } => "step unresolved",
        Entry::Skipped { .. } => "skipped",
        Entry::WaveHealthy { .. } => "wave healthy",
        Entry::Asked { .. } => "asked",
        Entry::DebtPaid { .. } => "debt paid",
        Entry::Ended { outcome, .. } => outcome.as_str(),
    }
}
