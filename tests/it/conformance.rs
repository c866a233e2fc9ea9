//! One suite that every provider passes: what the rest of the program relies on, whatever kind of place it is.
//!
//! Never knows a provider beyond its line in `SUBJECTS`; how a place is brought into a state is that line's business.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use rolldeck::domain::audit::{Audit, AuditQuestion};
use rolldeck::domain::drift::Cohort;
use rolldeck::domain::fleet::{Fleet, Workload};
use rolldeck::domain::id::{OperationId, PlaceId};
use rolldeck::domain::journal::{Call, Receipt};
use rolldeck::domain::observation::{Batch, Observation, PlaceState, Rollout};
use rolldeck::domain::operation::{Progress, StepProgress, StepState, progress_of};
use rolldeck::domain::plan::{Action, Change, Goto, Pick, PlanRequest, Reach, Scope, Step, Unpause, compose};
use rolldeck::domain::policy::Policy;
use rolldeck::domain::selector::Selector;
use rolldeck::domain::text::Text;
use rolldeck::providers::{Answer, Connected, Mutations, Operator, Order, Sink};

mod aws;
mod aws_fake;
mod kubernetes;
mod sim;

/// One line for each folder in `src/providers`.
pub(crate) const SUBJECTS: &[Line] = &[
    Line { provider: "sim", time: Time::Paused, subject: sim::subject },
    Line { provider: "sim", time: Time::Paused, subject: sim::group },
    Line { provider: "kubernetes", time: Time::Real, subject: kubernetes::deployments_subject },
    Line { provider: "kubernetes", time: Time::Real, subject: kubernetes::stateful_sets_subject },
    Line { provider: "kubernetes", time: Time::Real, subject: kubernetes::rollouts_subject },
    Line { provider: "aws", time: Time::Real, subject: aws::subject },
    Line { provider: "aws", time: Time::Real, subject: aws_fake::subject },
];

/// A provider that is held to the suite.
pub(crate) struct Line {
    /// Its folder, which is the name of its kind.
    pub(crate) provider: &'static str,
    time: Time,
    /// A place of its own for one check; `None`, with a line that says why, where there is no server to speak to.
    subject: fn() -> Option<Subject>,
}

/// Which clock a subject lives by.
enum Time {
    /// Tokio's, standing still while anything can be done.
    Paused,
    /// The real one: there is a server at the other end.
    Real,
}

/// One place, and what can be brought about there.
pub(crate) struct Subject {
    pub(crate) place: PlaceId,
    pub(crate) connect: Box<dyn Fn(Mutations) -> Connected>,
    /// The present time of the place's clock.
    pub(crate) now: Box<dyn Fn() -> Timestamp>,
    /// Does what somebody else would.
    pub(crate) act: Act,
    /// The server forgets what it has told: a watcher must list again. `None` where a test can't bring that about.
    pub(crate) expire: Option<Box<dyn Fn()>>,
    /// How many mutating requests of ours the server has received.
    pub(crate) requests: Box<dyn Fn() -> usize>,
    /// How long what should come may take.
    pub(crate) patience: Duration,
    /// How long nothing must come for it to be believed that nothing comes.
    pub(crate) calm: Duration,
    /// What the platform can't do.
    pub(crate) lacks: &'static [Lack],
}

/// What not every platform can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lack {
    /// A request leaves the operation's name on what it changed.
    Mark,
    /// A version that comes back gets the highest number.
    NewNumbers,
    /// The image of one container is set without a new version of the whole.
    SingleImage,
    /// A brake counts as a change of what is asked for.
    CountedBrakes,
    /// A rollout in flight makes room for another at once.
    Superseding,
}

/// Brings a deed about; returns when the server has taken it.
pub(crate) type Act = Box<dyn Fn(Deed<'_>)>;

/// What somebody else does in a place.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Deed<'a> {
    /// A workload of that name with so many instances, which went through these versions (of `v1` to `v5`), was rolled
    /// out completely each time and now runs the last one. An instance takes a second or more to become healthy.
    Deploy(&'a str, u32, &'a [&'a str]),
    /// Asks for another version of it.
    Request(&'a str, &'a str),
    /// Deletes so many of its instances.
    DeleteInstances(&'a str, u32),
    /// Deletes it.
    Remove(&'a str),
}

/// A place that is watched into a fleet.
struct Watched {
    subject: Subject,
    fleet: Fleet,
    batches: mpsc::Receiver<Batch>,
    watcher: JoinHandle<()>,
    operator: std::sync::Arc<dyn Operator>,
    provider: std::sync::Arc<dyn rolldeck::providers::Provider>,
}

#[test]
fn every_kind_has_its_line() {
    for kind in rolldeck::providers::KINDS {
        let is_there = SUBJECTS.iter().any(|line| line.provider == kind.name);
        assert!(is_there, "{} has no line in SUBJECTS", kind.name);
    }
}

#[test]
fn what_is_there_is_listed_and_then_it_is_live() {
    each(async |subject| {
        (subject.act)(Deed::Deploy("app", 4, &["v1", "v2"]));
        let mut watched = watch(subject);
        let (mut begun, mut open, mut has_identity) = (Vec::new(), 0, false);
        while !watched.fleet.places()[0].state.is_live() {
            let batch = watched.next("it is live").await;
            for observation in &batch.observations {
                match observation {
                    Observation::ListStarted(source) => {
                        begun.push(*source);
                        open += 1;
                    }
                    Observation::ListFinished(_) => open -= 1,
                    Observation::Identity(_) => has_identity = true,
                    Observation::Place(PlaceState::Live) => assert_eq!(open, 0, "live before a list was complete"),
                    Observation::Workload(source, _)
                    | Observation::Revision(source, _)
                    | Observation::Instance(source, _) => assert!(begun.contains(source), "a row before its list"),
                    _ => {}
                }
            }
            watched.fleet.apply(batch);
        }
        assert!(has_identity, "it says who we are");
        let app = watched.app();
        assert_eq!((app.seen.desired, app.judgement.tally.healthy, app.judgement.tally.instances), (4, 4, 4));
        assert_eq!(app.seen.rollout, Rollout::Stable);
        assert_eq!(version_of(app), "v2");
        assert_eq!(app.last_good().and_then(|good| good.version.clone()), Some(Text::new("v1")));
        assert!(app.judgement.running.iter().all(|cohort| cohort.image.is_some()), "what runs is known exactly");
        for instance in watched.fleet.instances_of(app) {
            assert!(instance.seen.owner.is_some(), "it is owned");
            let mut made = app.revisions.iter().filter(|revision| revision.made(&instance.seen));
            assert_eq!(
                made.next().map(|revision| revision.number),
                Some(newest(app)),
                "it is known from what it was made"
            );
        }
    });
}

#[test]
fn each_question_who_asked_for_a_change_has_its_answer() {
    each(async |subject| {
        (subject.act)(Deed::Deploy("app", 2, &["v1"]));
        let watched = live(subject).await;
        let now = Timestamp::now();
        let (from, until) = (now - SignedDuration::from_hours(1), now);
        let question = AuditQuestion { workload: watched.app().id.clone(), from, until };
        let said = watched.provider.clone().audit(vec![question.clone(), question]).await;
        assert_eq!(said.len(), 2);
        assert_eq!(said[0], said[1]);
        // What is not known says why (moto has no history of events).
        assert!(!matches!(&said[0], Audit::Unknown(why) | Audit::Absent(why) if why.is_empty()), "{said:?}");
    });
}

#[test]
fn a_list_that_is_made_again_is_never_seen_half() {
    each(async |subject| {
        (subject.act)(Deed::Deploy("app", 4, &["v1", "v2"]));
        let mut watched = live(subject).await;
        let Some(expire) = &watched.subject.expire else { return };
        expire();
        let (mut started, mut finished) = (0, 0);
        while started == 0 || finished < started {
            let batch = watched.next("it has listed again").await;
            let count = |is_it: fn(&Observation) -> bool| batch.observations.iter().filter(|seen| is_it(seen)).count();
            started += count(|seen| matches!(seen, Observation::ListStarted(_)));
            finished += count(|seen| matches!(seen, Observation::ListFinished(_)));
            watched.fleet.apply(batch);
            assert_eq!(watched.app().judgement.tally.instances, 4);
            assert_eq!(watched.app().revisions.len(), 2);
        }
    });
}

#[test]
fn a_change_shows_up_with_its_revision_and_its_instances() {
    each(async |subject| {
        (subject.act)(Deed::Deploy("app", 4, &["v1", "v2"]));
        let mut watched = live(subject).await;
        let (generation, number) = (watched.app().seen.generation, newest(watched.app()));
        (watched.subject.act)(Deed::Request("app", "v3"));
        let is_there = |workload: &Workload| {
            let tally = workload.judgement.tally;
            version_of(workload) == "v3" && workload.seen.rollout == Rollout::Stable && tally.healthy == 4
        };
        watched.until("v3 is rolled out", is_there).await;
        let app = watched.app();
        assert!(app.seen.generation > generation && app.seen.observed_generation == app.seen.generation);
        assert!(newest(app) > number);
        assert_eq!(app.seen.touched_by, None, "it was not us");
    });
}

#[test]
fn an_instance_that_somebody_deletes_goes_and_another_comes() {
    each(async |subject| {
        (subject.act)(Deed::Deploy("app", 3, &["v1"]));
        let mut watched = live(subject).await;
        let before = watched.uids();
        (watched.subject.act)(Deed::DeleteInstances("app", 1));
        let is_replaced = |watched: &Watched| {
            let after = watched.uids();
            after.len() == 3 && after != before && watched.app().judgement.tally.healthy == 3
        };
        watched.until_so("another has taken its place", is_replaced).await;
    });
}

#[test]
fn a_workload_that_is_deleted_goes_away_with_its_instances() {
    each(async |subject| {
        (subject.act)(Deed::Deploy("app", 3, &["v1", "v2"]));
        (subject.act)(Deed::Deploy("other", 2, &["v1"]));
        let mut watched = live(subject).await;
        (watched.subject.act)(Deed::Remove("app"));
        let is_gone = |watched: &Watched| {
            watched.fleet.workloads().all(|workload| *workload.id.name != *"app") && watched.fleet.instance_count() == 2
        };
        watched.until_so("it is gone", is_gone).await;
    });
}

#[test]
fn a_rollback_is_accepted_then_seen_then_done() {
    each(async |subject| {
        (subject.act)(Deed::Deploy("app", 4, &["v1", "v2"]));
        let mut watched = live(subject).await;
        let step = watched.step(Goto::LastGood, Pick::Off);
        let requests = (watched.subject.requests)();
        let progress = watched.accepted(&step, Call::Step(step.id)).await;
        assert!(!matches!(progress_of(&step, &progress, &watched.fleet), Progress::Done(_)), "accepted is not done");
        watched.until_done(&step, &progress).await;
        assert_eq!((watched.subject.requests)() - requests, 1);
        let app = watched.app();
        assert_eq!(version_of(app), "v1");
        if !watched.subject.lacks.contains(&Lack::Mark) {
            let mark = app.seen.touched_by.clone().expect("it leaves its mark");
            assert!(mark.starts_with("o-check somebody@example "), "{mark}");
        }
        if !watched.subject.lacks.contains(&Lack::NewNumbers) {
            assert_eq!(newest(app), 3, "the revision that came back has the highest number");
        }
    });
}

#[test]
fn an_image_alone_can_be_set() {
    each(async |subject| {
        (subject.act)(Deed::Deploy("app", 2, &["v1", "v2"]));
        let mut watched = live(subject).await;
        let request = PlanRequest { change: Change::ImageOnly, ..request(Goto::LastGood, Pick::Off) };
        let step = watched.planned(&request);
        if watched.subject.lacks.contains(&Lack::SingleImage) {
            let inspected = watched.provider.clone().inspect(step.clone()).await;
            assert!(!inspected.refusals.is_empty(), "it says so before anybody types a code");
            let answer = watched.order(&step, Call::Step(step.id)).await;
            assert!(matches!(&answer, Answer::Refused(_)), "{answer:?}");
            return;
        }
        let progress = watched.accepted(&step, Call::Step(step.id)).await;
        watched.until_done(&step, &progress).await;
        assert_eq!(version_of(watched.app()), "v1");
    });
}

#[test]
fn a_template_that_moved_is_answered_with_what_is_different_and_nothing_is_sent() {
    each(async |subject| {
        (subject.act)(Deed::Deploy("app", 2, &["v1", "v2"]));
        let watched = live(subject).await;
        let step = watched.step(Goto::LastGood, Pick::Off);
        (watched.subject.act)(Deed::Request("app", "v3"));
        let requests = (watched.subject.requests)();
        let answer = watched.order(&step, Call::Step(step.id)).await;
        let Answer::Moved { differences, bound } = answer else { panic!("{answer:?}") };
        assert!(differences.contains(&Text::new("its template was changed")), "{differences:?}");
        assert_ne!(bound.template, step.bound.template, "it says how the facts are now");
        assert_eq!((watched.subject.requests)(), requests);
    });
}

#[test]
fn a_brake_holds_and_a_release_lets_go_on() {
    each(async |subject| {
        (subject.act)(Deed::Deploy("app", 8, &["v1", "v2"]));
        let mut watched = live(subject).await;
        let step = watched.step(Goto::LastGood, Pick::Off);
        let taken = watched.accepted(&step, Call::Step(step.id)).await;
        let brake = left(&step, &taken);
        let held = watched.accepted(&brake, Call::Brake(step.id)).await;
        watched.until("it is held", |app| app.seen.rollout == Rollout::Paused).await;
        watched.stay_calm().await;
        assert!(!matches!(progress_of(&step, &held, &watched.fleet), Progress::Done(_)));
        let by_us = StepProgress { state: StepState::Held, ..taken.clone() };
        let told = progress_of(&step, &by_us, &watched.fleet);
        assert!(!matches!(told, Progress::Failed(_)), "what we hold is nobody else's doing: {told:?}");
        // A brake may be quicker than the platform: then not even the first new instance was made.
        let app = watched.app();
        let is_old =
            |cohort: &Cohort| app.name_of(cohort.image.as_ref(), cohort.reference.as_ref()) == Some(Text::new("v2"));
        assert!(app.judgement.running.iter().any(is_old), "old ones stay");
        let released = watched.accepted(&brake, Call::Release(step.id)).await;
        watched.until_done(&step, &released).await;
    });
}

#[test]
fn what_somebody_else_has_put_in_is_neither_held_nor_let_go() {
    each(async |subject| {
        (subject.act)(Deed::Deploy("app", 8, &["v1", "v2"]));
        let mut watched = live(subject).await;
        let step = watched.step(Goto::LastGood, Pick::Off);
        let taken = watched.accepted(&step, Call::Step(step.id)).await;
        let brake = left(&step, &taken);
        watched.accepted(&brake, Call::Brake(step.id)).await;
        let again = watched.order(&brake, Call::Brake(step.id)).await;
        assert!(matches!(&again, Answer::Refused(why) if why.contains("held already")), "{again:?}");
        (watched.subject.act)(Deed::Request("app", "v3"));
        let requests = (watched.subject.requests)();
        for call in [Call::Release(step.id), Call::Brake(step.id)] {
            let answer = watched.order(&brake, call).await;
            assert!(matches!(&answer, Answer::Refused(why) if why.contains("its template was changed")), "{answer:?}");
        }
        assert_eq!((watched.subject.requests)(), requests, "nothing was sent");
    });
}

#[test]
fn the_way_back_from_a_held_rollout_takes_the_brake_off_in_the_same_request() {
    each(async |subject| {
        if subject.lacks.contains(&Lack::Superseding) {
            return;
        }
        (subject.act)(Deed::Deploy("app", 8, &["v1", "v2"]));
        let mut watched = live(subject).await;
        let step = watched.step(Goto::LastGood, Pick::Off);
        let taken = watched.accepted(&step, Call::Step(step.id)).await;
        watched.accepted(&left(&step, &taken), Call::Brake(step.id)).await;
        let is_held = |app: &Workload| app.seen.rollout == Rollout::Paused && version_of(app) == "v1";
        watched.until("it is held", is_held).await;
        let back = watched.step(Goto::Revision(2), Pick::Off);
        assert_eq!(back.unpause, Unpause::Release);
        let requests = (watched.subject.requests)();
        let progress = watched.accepted(&back, Call::Step(back.id)).await;
        watched.until_done(&back, &progress).await;
        assert_eq!((watched.subject.requests)() - requests, 1);
        assert_eq!(version_of(watched.app()), "v2");
    });
}

#[test]
fn an_eviction_replaces_one_instance() {
    each(async |subject| {
        (subject.act)(Deed::Deploy("app", 3, &["v1"]));
        let mut watched = live(subject).await;
        let before = watched.uids();
        let step = watched.step(Goto::Expected, Pick::Oldest(1));
        let progress = watched.accepted(&step, Call::Step(step.id)).await;
        watched.until_done(&step, &progress).await;
        let after = watched.uids();
        assert_eq!((after.len(), after.iter().filter(|uid| before.contains(uid)).count()), (3, 2));
        let answer = watched.order(&step, Call::Step(step.id)).await;
        let is_nothing_done = matches!(answer, Answer::Moved { .. } | Answer::Refused(_));
        assert!(is_nothing_done, "the instance is gone: {answer:?}");
    });
}

#[test]
fn looking_at_a_step_changes_nothing_and_says_what_would_do_the_same() {
    each(async |subject| {
        (subject.act)(Deed::Deploy("app", 2, &["v1", "v2"]));
        let mut watched = live(subject).await;
        let step = watched.step(Goto::LastGood, Pick::Off);
        let (requests, generation) = ((watched.subject.requests)(), watched.app().seen.generation);
        let inspected = watched.provider.clone().inspect(step.clone()).await;
        assert!(inspected.refusals.is_empty(), "{:?}", inspected.refusals);
        assert!(!inspected.checks.is_empty() && inspected.equivalent.is_some_and(|command| !command.is_empty()));
        let rehearsed = watched.operator.clone().rehearse(step).await;
        assert!(rehearsed.refusals.is_empty() && !rehearsed.checks.is_empty(), "{rehearsed:?}");
        watched.stay_calm().await;
        assert_eq!(((watched.subject.requests)(), watched.app().seen.generation), (requests, generation));
    });
}

#[test]
fn where_mutations_are_forbidden_there_is_no_operator() {
    each(async |subject| {
        assert!((subject.connect)(Mutations::Forbidden).operator.is_none());
        assert!((subject.connect)(Mutations::Allowed).operator.is_some());
    });
}

/// Runs a check on every provider, each with a place and a clock of its own.
fn each(check: impl AsyncFn(Subject)) {
    for line in SUBJECTS {
        runtime(&line.time).block_on(async {
            if let Some(subject) = (line.subject)() {
                check(subject).await;
            }
        });
    }
}

fn runtime(time: &Time) -> Runtime {
    let built = match time {
        Time::Paused => Builder::new_current_thread().enable_all().start_paused(true).build(),
        Time::Real => Builder::new_multi_thread().worker_threads(2).enable_all().build(),
    };
    built.expect("a runtime")
}

fn watch(subject: Subject) -> Watched {
    let Connected { provider, operator } = (subject.connect)(Mutations::Allowed);
    let (sender, batches) = mpsc::channel(16);
    let mut fleet = Fleet::new(Vec::new());
    fleet.add_place(subject.place.clone());
    let watcher = tokio::spawn(provider.clone().watch(Sink::new(subject.place.clone(), sender)));
    let operator = operator.expect("mutations are allowed");
    Watched { subject, fleet, batches, watcher, operator, provider }
}

async fn live(subject: Subject) -> Watched {
    let mut watched = watch(subject);
    watched.until_so("it is live", |watched| watched.fleet.places()[0].state.is_live()).await;
    watched
}

fn request(goto: Goto, pick: Pick) -> PlanRequest {
    PlanRequest {
        pick,
        reach: Reach::Narrow,
        ..PlanRequest::of(
            goto,
            Scope::Matching(Selector::parse("svc:app").expect("a selector")),
            Duration::from_secs(600),
        )
    }
}

fn version_of(workload: &Workload) -> String {
    let tag = workload.requested().and_then(|image| image.version());
    workload.seen.template.version.clone().or(tag).map(|version| version.to_string()).unwrap_or_default()
}

fn newest(workload: &Workload) -> u64 {
    workload.revisions.iter().map(|revision| revision.number).max().unwrap_or_default()
}

impl Watched {
    async fn next(&mut self, what: &str) -> Batch {
        let batch = timeout(self.subject.patience, self.batches.recv()).await;
        let batch = batch.unwrap_or_else(|_| panic!("waited in vain until {what}"));
        batch.expect("a watcher never ends")
    }

    async fn until_so(&mut self, what: &str, is_so: impl Fn(&Watched) -> bool) {
        let start = tokio::time::Instant::now();
        while !is_so(self) {
            assert!(start.elapsed() < self.subject.patience, "waited in vain until {what}");
            let batch = self.next(what).await;
            self.fleet.apply(batch);
        }
    }

    async fn until(&mut self, what: &str, is_so: impl Fn(&Workload) -> bool) {
        self.until_so(what, |watched| is_so(watched.app())).await;
    }

    async fn until_done(&mut self, step: &Step, progress: &StepProgress) {
        let is_done = |watched: &Watched| matches!(progress_of(step, progress, &watched.fleet), Progress::Done(_));
        self.until_so("the step is done", is_done).await;
    }

    /// Takes in what comes while nothing should.
    async fn stay_calm(&mut self) {
        let _elapsed = timeout(self.subject.calm, async {
            while let Some(batch) = self.batches.recv().await {
                self.fleet.apply(batch);
            }
        })
        .await;
    }

    fn app(&self) -> &Workload {
        self.fleet.workloads().find(|workload| *workload.id.name == *"app").expect("it is there")
    }

    fn uids(&self) -> Vec<Text> {
        let instances = self.fleet.instances_of(self.app()).filter(|instance| instance.seen.phase.is_counted());
        let mut uids: Vec<Text> = instances.map(|instance| instance.seen.uid.0.clone()).collect();
        uids.sort();
        uids
    }

    fn step(&self, goto: Goto, pick: Pick) -> Step {
        self.planned(&request(goto, pick))
    }

    fn planned(&self, request: &PlanRequest) -> Step {
        let policy = Policy { base: lenient(), ..Policy::default() };
        let plan = compose(request, &self.fleet, &policy, (self.subject.now)(), &|_| None);
        assert_eq!(plan.refusals, []);
        plan.waves[0].steps[0].clone()
    }

    async fn order(&self, step: &Step, call: Call) -> Answer {
        let operation = OperationId(Text::new("o-check"));
        let order = Order { operation, who: Text::new("somebody@example"), call, step: step.clone() };
        self.operator.clone().execute(order).await
    }

    /// Sends a request that must be accepted; how far the step is from then on.
    async fn accepted(&mut self, step: &Step, call: Call) -> StepProgress {
        let present = self.fleet.instances_of(self.app()).map(|instance| instance.seen.uid.clone()).collect();
        let step_generation = self.app().seen.generation;
        let answer = self.order(step, call).await;
        let Answer::Accepted(receipt) = answer else { panic!("{call:?}: {answer:?}") };
        let Receipt { generation, template, .. } = &receipt;
        let is_roll = !matches!(step.action, Action::Evict { .. });
        let is_counted = matches!(call, Call::Step(_)) || !self.subject.lacks.contains(&Lack::CountedBrakes);
        let is_newer = *generation > step_generation || (!is_counted && *generation == step_generation);
        assert!(!is_roll || (is_newer && template.is_some()), "{receipt:?}");
        let accepted_at = Some((self.subject.now)());
        StepProgress { accepted_at, receipt: Some(receipt), present, ..StepProgress::default() }
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.watcher.abort();
    }
}

/// A step as its brake is bound to it: by what the step has left.
fn left(step: &Step, taken: &StepProgress) -> Step {
    let mut step = step.clone();
    step.bound.template = taken.receipt.as_ref().and_then(|receipt| receipt.template.clone()).expect("a template");
    step
}

fn lenient() -> rolldeck::domain::policy::PlacePolicy {
    rolldeck::domain::policy::PlacePolicy { floor_percent: 0, ..Default::default() }
}
