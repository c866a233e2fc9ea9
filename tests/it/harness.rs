//! Drives operations in tests without the program around them: a fleet fed by watchers, `decide` asked in a loop, its
//! entries appended to a list, requests sent by the places' operators.
//!
//! Never sleeps on the real clock: tests that use it start with tokio's time paused.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use rolldeck::domain::fleet::{Fleet, Workload};
use rolldeck::domain::id::{OperationId, PlaceId, WorkloadId, WorkloadKind};
use rolldeck::domain::journal::{Call, Driver, Entry, Record, Request};
use rolldeck::domain::observation::{Batch, PlaceState};
use rolldeck::domain::operation::{Gates, Operation, World, decide};
use rolldeck::domain::plan::{Goto, Plan, PlanRequest, Reach, Scope, compose};
use rolldeck::domain::policy::Policy;
use rolldeck::domain::selector::Selector;
use rolldeck::domain::text::Text;
use rolldeck::providers::sim::{Demo, SimWorld, open};
use rolldeck::providers::{Answer, Connected, Mutations, Operator, Order, Sink, Surroundings, kind};

/// When simulated worlds begin.
pub(crate) const BASE: &str = "2026-11-21T03:10:00Z";

/// All places of a scenario, watched into a fleet.
pub(crate) struct Harness {
    pub(crate) fleet: Fleet,
    pub(crate) world: Arc<SimWorld>,
    pub(crate) policy: Policy,
    operators: BTreeMap<PlaceId, Arc<dyn Operator>>,
    batches: mpsc::Receiver<Batch>,
    watchers: JoinSet<()>,
}

/// One operation that is being driven.
pub(crate) struct Driving {
    pub(crate) records: Vec<Record>,
    pub(crate) operation: Operation,
    gates: Gates,
    in_flight: BTreeSet<Call>,
    answers: mpsc::UnboundedReceiver<(Call, Answer)>,
    answer: mpsc::UnboundedSender<(Call, Answer)>,
}

impl Harness {
    /// Opens a scenario and waits until every place has answered or was found not to.
    pub(crate) async fn open(name_or_text: &str) -> Harness {
        let demo = open(name_or_text, BASE.parse().expect("a time")).expect("the scenario is good");
        Harness::of(demo).await
    }

    async fn of(demo: Demo) -> Harness {
        let (sender, batches) = mpsc::channel(64);
        let mut harness = Harness {
            fleet: Fleet::new(demo.declarations),
            world: demo.world,
            policy: demo.policy,
            operators: BTreeMap::new(),
            batches,
            watchers: JoinSet::new(),
        };
        let sim = kind("sim").expect("it is in KINDS");
        for spec in demo.places {
            let id = spec.id.clone();
            assert_eq!((sim.check)(&spec.settings), [], "{id}");
            harness.fleet.add_place(id.clone());
            let Connected { provider, operator } =
                (sim.connect)(spec, Surroundings::default(), Mutations::Allowed).expect("it connects");
            harness.operators.insert(id.clone(), operator.expect("mutations are allowed"));
            harness.watchers.spawn(provider.watch(Sink::new(id, sender.clone())));
        }
        let answered = |fleet: &Fleet| fleet.places().iter().all(|place| place.state != PlaceState::Loading);
        harness.until("every place has answered", answered).await;
        harness
    }

    /// Takes in what comes until it is so; a minute at most.
    pub(crate) async fn until(&mut self, what: &str, is_so: impl Fn(&Fleet) -> bool) {
        let waited = timeout(Duration::from_secs(60), async {
            while !is_so(&self.fleet) {
                let batch = self.batches.recv().await.expect("watchers never end");
                self.fleet.apply(batch);
            }
        });
        assert!(waited.await.is_ok(), "waited in vain until {what}");
    }

    /// Takes in what comes for so long.
    pub(crate) async fn run_for(&mut self, time: Duration) {
        let _elapsed = timeout(time, async {
            while let Some(batch) = self.batches.recv().await {
                self.fleet.apply(batch);
            }
        })
        .await;
    }

    /// One workload that must be there.
    pub(crate) fn workload(&self, place: &str, name: &str) -> &Workload {
        let found =
            self.fleet.workloads().find(|workload| *workload.id.place.0 == *place && *workload.id.name == *name);
        found.unwrap_or_else(|| panic!("no workload {name} in {place}"))
    }

    /// A plan for a service in every place that answers.
    pub(crate) fn plan(&self, selector: &str, goto: Goto) -> Plan {
        let request = self.request(selector, goto);
        let plan = compose(&request, &self.fleet, &self.policy, self.world.now(), &|_| None);
        assert_eq!(plan.refusals, [], "the plan can start");
        plan
    }

    /// What an operator asks for by a selector.
    pub(crate) fn request(&self, selector: &str, goto: Goto) -> PlanRequest {
        PlanRequest {
            reach: Reach::Narrow,
            ..PlanRequest::of(
                goto,
                Scope::Matching(Selector::parse(selector).expect("a selector")),
                Duration::from_secs(600),
            )
        }
    }

    /// Starts a plan and drives it to its end.
    pub(crate) async fn operate(&mut self, plan: Plan) -> Driving {
        let mut driving = Driving::start(plan, self.world.now());
        driving.drive(self, "it has ended", |operation| operation.ended.is_some()).await;
        driving
    }

    fn operator(&self, place: &PlaceId) -> Arc<dyn Operator> {
        self.operators.get(place).expect("steps are about known places").clone()
    }
}

impl Driving {
    /// Starts a plan.
    pub(crate) fn start(plan: Plan, now: Timestamp) -> Driving {
        let started = Entry::Started { plan: Box::new(plan), by: driver(1), incident: None };
        let record = Record { sequence: 1, operation: OperationId(Text::new("o-test")), at: now, entry: started };
        Driving::fold(vec![record])
    }

    /// What another process knows of it: what is on disk, and no answer that was on its way.
    pub(crate) fn take_over(self, now: Timestamp) -> Driving {
        let mut taken = Driving::fold(self.records);
        taken.append(Entry::Claimed { by: driver(2) }, now);
        taken
    }

    /// Drives it until it is so; ten minutes at most.
    pub(crate) async fn drive(&mut self, harness: &mut Harness, what: &str, is_so: impl Fn(&Operation) -> bool) {
        let driven = timeout(Duration::from_secs(600), async {
            loop {
                if is_so(&self.operation) {
                    return;
                }
                let now = harness.world.now();
                if let Some(entry) = self.next(harness, now) {
                    self.append(entry.clone(), now);
                    if let Entry::Sent { call, .. } = entry {
                        self.send(harness, call);
                    }
                    continue;
                }
                tokio::select! {
                    Some(batch) = harness.batches.recv() => harness.fleet.apply(batch),
                    Some((call, answer)) = self.answers.recv() => {
                        self.in_flight.remove(&call);
                        self.append(entry_of(call, answer), harness.world.now());
                    }
                    () = sleep(Duration::from_secs(1)) => {}
                }
            }
        });
        let is_driven = driven.await.is_ok();
        assert!(is_driven, "waited in vain until {what}; it waits for {:?}:\n{}", self.gates.waiting_for, self.story());
    }

    /// What it would write now, by what the fleet shows.
    pub(crate) fn next(&mut self, harness: &Harness, now: Timestamp) -> Option<Entry> {
        let world = World { fleet: &harness.fleet, policy: &harness.policy, now, in_flight: &self.in_flight };
        decide(&self.operation, &mut self.gates, &world)
    }

    /// Writes an operator's request down.
    pub(crate) fn ask(&mut self, request: Request, now: Timestamp) {
        self.append(Entry::Asked { request, by: Text::new("oncall") }, now);
    }

    /// Writes an entry down and folds it in.
    pub(crate) fn append(&mut self, entry: Entry, at: Timestamp) {
        let sequence = self.records.len() as u64 + 1;
        let record = Record { sequence, operation: self.operation.id.clone(), at, entry };
        self.operation.apply(&record);
        self.records.push(record);
    }

    /// Every entry's name, for a test that fails.
    pub(crate) fn story(&self) -> String {
        let line = |record: &Record| match &record.entry {
            Entry::Started { .. } => format!("{} Started", record.at),
            other => format!("{} {other:?}", record.at),
        };
        self.records.iter().map(line).collect::<Vec<String>>().join("\n")
    }

    fn fold(records: Vec<Record>) -> Driving {
        let (answer, answers) = mpsc::unbounded_channel();
        let operation = Operation::fold(&records).expect("it begins with its start");
        Driving { records, operation, gates: Gates::default(), in_flight: BTreeSet::new(), answers, answer }
    }

    fn send(&mut self, harness: &Harness, call: Call) {
        self.in_flight.insert(call);
        let step = self.operation.step_for(call).expect("calls are about steps of the plan");
        let operator = harness.operator(&step.workload.place);
        let order = Order { operation: self.operation.id.clone(), who: Text::new("oncall@example"), call, step };
        let answer = self.answer.clone();
        tokio::spawn(async move {
            let answered = operator.execute(order).await;
            // Nobody listens any more if the driver is gone: then the answer is lost, as it should be.
            let _is_heard = answer.send((call, answered)).is_ok();
        });
    }
}

/// The id of a simulated Deployment.
pub(crate) fn deployment(place: &str, namespace: &str, name: &str) -> WorkloadId {
    WorkloadId {
        place: PlaceId::new(place),
        namespace: Some(Text::new(namespace)),
        kind: WorkloadKind::Deployment,
        name: Text::new(name),
    }
}

fn entry_of(call: Call, answer: Answer) -> Entry {
    match answer {
        Answer::Accepted(receipt) => Entry::Accepted { call, receipt },
        Answer::Refused(reason) => Entry::Refused { call, reason },
        Answer::Blocked(reason) => Entry::Blocked { call, reason },
        Answer::Moved { differences, bound } => Entry::Moved { step: call.step(), differences, bound },
        Answer::Unanswered(reason) => Entry::Unanswered { call, reason },
    }
}

fn driver(pid: u32) -> Driver {
    Driver {
        who: Text::new("oncall@example"),
        host: Text::new("example"),
        boot: Text::new("boot"),
        pid,
        started_at: BASE.parse().expect("a time"),
    }
}
