//! The timeline as its users see it: places report, time passes, rows come; a restart and a silent place make none.

use std::collections::{BTreeMap, BTreeSet};

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use proptest::prelude::*;
use rolldeck::app::timeline::{Kept, Timeline, Watched};
use rolldeck::domain::fleet::Fleet;
use rolldeck::domain::id::{PlaceId, Uid, WorkloadId, WorkloadKind};
use rolldeck::domain::image::{DigestKind, ImageId};
use rolldeck::domain::observation::{
    Applies, Batch, ContainerSeen, ContainerSpec, FieldOwner, Health, InstanceSeen, Observation, Owner, Phase,
    PlaceState, RevisionSeen, Role, Rollout, Source, Strategy, Template, TemplateHash, WorkloadSeen,
};
use rolldeck::domain::text::Text;
use rolldeck::domain::timeline::{Happened, Happening, Known, Retention};

const PODS: Source = Source("pods");
const SETS: Source = Source("replicasets");
const DEPLOYMENTS: Source = Source("deployments");

/// 03:00 on a day in 2026, in seconds.
const BEGIN: i64 = 1_795_230_000;

/// What really is so in one cluster.
#[derive(Clone, Default)]
struct Truth {
    workloads: BTreeMap<&'static str, Asks>,
    /// Pod: workload, version, digest, start.
    pods: BTreeMap<String, (&'static str, u8, u8, i64)>,
}

#[derive(Clone)]
struct Asks {
    /// The versions that its history has: when each was made.
    history: BTreeMap<u8, i64>,
    version: u8,
    since: i64,
    by: &'static str,
    mark: Option<&'static str>,
}

struct Scene {
    truth: Truth,
    fleet: Fleet,
    timeline: Timeline,
    second: i64,
    told: usize,
    /// What the store has.
    rows: Vec<Happening>,
    states: BTreeMap<WorkloadId, String>,
}

fn place() -> PlaceId {
    PlaceId::new("k8s/eu")
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(BEGIN + second).expect("a time")
}

fn image(version: u8) -> String {
    format!("registry.example/shop/checkout:v{version}")
}

fn template(version: u8) -> Template {
    let container = ContainerSpec { name: Text::new("app"), role: Role::App, image: image(version).parse().ok() };
    Template {
        hash: TemplateHash(Text::new(&format!("h{version}"))),
        containers: vec![container],
        version: None,
        latent: None,
    }
}

impl Truth {
    fn workload(&self, name: &'static str) -> Observation {
        let asks = &self.workloads[name];
        Observation::Workload(
            DEPLOYMENTS,
            Box::new(WorkloadSeen {
                uid: Uid::new(name),
                kind: WorkloadKind::Deployment,
                namespace: Some(Text::new("shop")),
                name: Text::new(name),
                service: Text::new(name),
                template: template(asks.version),
                main_container: None,
                expected_annotation: None,
                generation: 1,
                observed_generation: 1,
                desired: 2,
                rollout: Rollout::Stable,
                running: None,
                canary: None,
                strategy: Strategy::default(),
                owners: vec![FieldOwner { manager: Text::new(asks.by), applies: Applies::Once }],
                undoers: Vec::new(),
                requested_since: Some(at(asks.since)),
                touched_by: asks.mark.map(Text::new),
                inoperable: None,
                trouble: None,
            }),
        )
    }

    fn revisions(&self, name: &'static str) -> Vec<Observation> {
        let revision = |(version, made): (&u8, &i64)| {
            Observation::Revision(
                SETS,
                Box::new(RevisionSeen {
                    uid: Uid::new(&format!("{name} v{version}")),
                    workload: Uid::new(name),
                    number: u64::from(*version),
                    past_numbers: Vec::new(),
                    template: template(*version),
                    created_at: Some(at(*made)),
                    cause: Some(Text::new(&format!("release {version}"))),
                    left: None,
                    deprecated_at: None,
                    label: None,
                }),
            )
        };
        self.workloads[name].history.iter().map(revision).collect()
    }

    fn pod(&self, uid: &str) -> Observation {
        let (workload, version, digest, started) = self.pods[uid];
        let running = ImageId::oci(format!("sha256:{digest:064x}").parse().expect("a digest"), DigestKind::Repository);
        Observation::Instance(
            PODS,
            Box::new(InstanceSeen {
                uid: Uid::new(uid),
                owner: Some(Arc::new(Owner {
                    uid: Uid::new(&format!("{workload} v{version}")),
                    kind: WorkloadKind::ReplicaSet,
                    name: Text::new("rs"),
                })),
                service: Text::new(workload),
                namespace: Some(Text::new("shop")),
                name: Text::new(uid),
                revision: None,
                phase: Phase::Running,
                health: Health::Healthy,
                reason: None,
                platform: None,
                containers: vec![ContainerSeen {
                    name: Text::new("app"),
                    role: Role::App,
                    asked: image(version).parse().ok(),
                    running: Some(running),
                }]
                .into(),
                started_at: Some(at(started)),
                restarts: 0,
                touched: None,
            }),
        )
    }

    /// Everything, list by list in this order, and that it is all.
    fn lists(&self, order: [usize; 3]) -> Vec<Observation> {
        let lists = [
            (DEPLOYMENTS, self.workloads.keys().map(|name| self.workload(name)).collect::<Vec<_>>()),
            (SETS, self.workloads.keys().flat_map(|name| self.revisions(name)).collect()),
            (PODS, self.pods.keys().map(|uid| self.pod(uid)).collect()),
        ];
        let mut observations = Vec::new();
        for (source, rows) in order.map(|number| lists[number].clone()) {
            observations.push(Observation::ListStarted(source));
            observations.extend(rows);
            observations.push(Observation::ListFinished(source));
        }
        observations.push(Observation::Place(PlaceState::Live));
        observations
    }
}

impl Scene {
    /// A cluster that was never looked at, with `checkout` at v1 for a long time.
    fn new() -> Scene {
        let asks = Asks { history: [(1, -9_000_000)].into(), version: 1, since: -9_000_000, by: "helm", mark: None };
        let truth = Truth {
            workloads: [("checkout", asks)].into(),
            pods: [("a".to_string(), ("checkout", 1, 1, -8_000_000))].into(),
        };
        let mut scene = Scene {
            truth,
            fleet: fleet(),
            timeline: Timeline::default(),
            second: 0,
            told: 0,
            rows: Vec::new(),
            states: BTreeMap::new(),
        };
        scene.list([0, 1, 2]);
        scene
    }

    fn observe(&mut self, observations: Vec<Observation>) {
        self.fleet.apply(Batch { place: place(), fetched_at: at(self.second), observations });
    }

    fn list(&mut self, order: [usize; 3]) {
        let observations = self.truth.lists(order);
        self.observe(observations);
    }

    fn pass(&mut self, seconds: i64) {
        self.second += seconds;
        self.timeline.look(&mut self.fleet, at(self.second));
    }

    /// Another version is asked for.
    fn release(&mut self, version: u8, by: &'static str) {
        let second = self.second;
        let asks = self.truth.workloads.get_mut("checkout").expect("it is there");
        (asks.version, asks.since, asks.by) = (version, second, by);
        asks.history.entry(version).or_insert(second);
    }

    fn start(&mut self, uid: &str, version: u8, digest: u8) {
        self.truth.pods.insert(uid.to_string(), ("checkout", version, digest, self.second));
    }

    fn end(&mut self, uid: &str) {
        self.truth.pods.remove(uid);
    }

    /// The process ends, and another one begins after a while.
    fn restart(&mut self, seconds: i64) {
        let notes = self.timeline.rest(at(self.second)).expect("it was watched");
        self.rows.extend(notes.rows.iter().map(|row| (**row).clone()));
        for (id, state) in notes.states {
            match state {
                Some(state) => self.states.insert(id, serde_json::to_string(&state).expect("JSON")),
                None => self.states.remove(&id),
            };
        }
        let state = |(id, state): (&WorkloadId, &String)| {
            (id.clone(), serde_json::from_str::<Known>(state).expect("it was written as JSON"))
        };
        let kept =
            Kept { rows: self.rows.clone(), states: self.states.iter().map(state).collect(), watched: notes.watched };
        self.timeline = Timeline::of(kept, Retention::default());
        self.fleet = fleet();
        self.second += seconds;
    }

    /// What was told since this was last asked.
    fn news(&mut self) -> Vec<String> {
        let mut rows: Vec<Arc<Happening>> = self.timeline.rows().to_vec();
        // Older rows may come in between.
        rows.drain(..self.told.min(rows.len()));
        self.told = self.timeline.rows().len();
        rows.iter().map(|row| words(row)).collect()
    }
}

fn fleet() -> Fleet {
    let mut fleet = Fleet::new(Vec::new());
    fleet.add_place(place());
    fleet
}

fn words(row: &Happening) -> String {
    let second = row.at.as_second() - BEGIN;
    let digest = row.image.as_ref().map(|image| image.distinctive()[60..].to_string()).unwrap_or_default();
    let by = row.by.as_deref().unwrap_or("-");
    let version = row.version.as_deref().unwrap_or("-");
    format!("{second} {} {version} {digest} by {by}: {}", row.what.as_str(), row.words())
}

#[test]
fn a_release_is_one_request_one_image_that_appears_and_one_that_vanishes() {
    let mut scene = Scene::new();
    scene.pass(1);
    assert_eq!(scene.news(), Vec::<String>::new(), "what is seen for the first time did not happen now");
    scene.pass(60);
    scene.release(2, "ci");
    scene.list([1, 0, 2]);
    scene.pass(1);
    scene.start("b", 2, 2);
    scene.list([2, 1, 0]);
    scene.pass(1);
    scene.end("a");
    scene.list([0, 1, 2]);
    scene.pass(1);
    assert_eq!(
        scene.news(),
        [
            "61 requested v2  by ci: v1 -> v2; revision 2: release 2",
            "62 appeared v2 0002 by ci: ",
            "64 vanished v1 0001 by ci: replaced by v2",
        ]
    );
}

#[test]
fn a_version_that_comes_before_its_workload_asks_for_it_is_told_once() {
    let mut scene = Scene::new();
    scene.pass(60);
    let old = scene.truth.clone();
    scene.release(2, "ci");
    // The watch of ReplicaSets is faster than that of Deployments.
    let revisions = scene.truth.revisions("checkout");
    scene.observe(revisions);
    scene.pass(1);
    assert_eq!(scene.news(), Vec::<String>::new());
    let workload = scene.truth.workload("checkout");
    scene.observe(vec![workload]);
    scene.pass(1);
    assert_eq!(scene.news(), ["60 requested v2  by ci: v1 -> v2; revision 2: release 2"]);
    scene.pass(30);
    assert_eq!(scene.news(), Vec::<String>::new());
    // One that nobody asks for is told after a while.
    let asks = scene.truth.workloads.get_mut("checkout").expect("it is there");
    asks.history.insert(3, 80);
    let revisions = scene.truth.revisions("checkout");
    scene.observe(revisions);
    scene.pass(1);
    scene.pass(11);
    assert_eq!(scene.news(), ["80 requested v3  by -: history: revision 3: release 3"]);
    drop(old);
}

#[test]
fn a_first_start_tells_what_the_platform_remembers() {
    let mut scene = Scene::new();
    scene.second = 5_000;
    scene.release(2, "ci");
    scene.second += 600;
    // Back to v1, whose revision is an old one.
    scene.release(1, "kubectl-rollout");
    scene.second += 600;
    scene.fleet = fleet();
    scene.list([0, 1, 2]);
    scene.pass(1);
    assert_eq!(
        scene.news(),
        [
            "5000 requested v2  by -: history: revision 2: release 2",
            "5600 requested v1 0001 by kubectl-rollout: history: asked for again; revision 1: release 1",
        ]
    );
    scene.restart(1);
    scene.list([0, 1, 2]);
    scene.pass(1);
    assert_eq!(scene.news(), Vec::<String>::new());
}

#[test]
fn what_changed_while_nobody_watched_says_between_which_moments() {
    let mut scene = Scene::new();
    scene.pass(60);
    scene.news();
    scene.restart(600);
    scene.release(2, "ci");
    scene.second += 600;
    scene.start("b", 2, 2);
    scene.second += 10;
    scene.end("a");
    scene.second += 6_000;
    scene.list([2, 0, 1]);
    scene.pass(0);
    assert_eq!(
        scene.news(),
        [
            "660 requested v2 0002 by ci: v1 -> v2; revision 2: release 2",
            "1260 appeared v2 0002 by ci: ",
            "7270 vanished v1 0001 by ci: between 03:01 and 05:01 UTC; replaced by v2",
        ]
    );
}

#[test]
fn versions_that_came_and_went_while_nobody_watched_are_told() {
    let mut scene = Scene::new();
    scene.pass(60);
    scene.news();
    scene.restart(600);
    scene.release(2, "ci");
    scene.second += 300;
    scene.release(1, "kubectl-rollout");
    scene.second += 300;
    scene.list([0, 1, 2]);
    scene.pass(1);
    assert_eq!(
        scene.news(),
        [
            "660 requested v2  by -: history: revision 2: release 2",
            "960 requested v1 0001 by kubectl-rollout: history: asked for again; revision 1: release 1",
        ]
    );
}

#[test]
fn a_silent_place_tells_nothing_until_it_is_whole_again() {
    let mut scene = Scene::new();
    scene.pass(60);
    scene.news();
    let stale = Observation::Place(PlaceState::Stale(Text::new("no answer")));
    scene.observe(vec![stale, Observation::ListStarted(PODS), Observation::ListFinished(PODS)]);
    scene.pass(600);
    assert_eq!(scene.news(), Vec::<String>::new(), "a half list is no news");
    scene.list([2, 1, 0]);
    scene.pass(1);
    assert_eq!(scene.news(), Vec::<String>::new(), "it came back unchanged");
}

#[test]
fn who_did_it_is_the_operation_while_nobody_else_has_taken_the_field() {
    let mut scene = Scene::new();
    scene.pass(60);
    scene.truth.workloads.get_mut("checkout").expect("there").mark = Some("o-abc123 ada@ops-1 2026-11-21T03:01:00Z");
    for (version, by) in [(2, "rolldeck"), (3, "kubectl-patch")] {
        scene.release(version, by);
        scene.list([0, 1, 2]);
        scene.pass(1);
    }
    assert_eq!(
        scene.news(),
        [
            "60 requested v2  by o-abc123 ada@ops-1: v1 -> v2; revision 2: release 2",
            "61 requested v3  by kubectl-patch: v2 -> v3; revision 3: release 3",
        ]
    );
}

#[test]
fn a_tag_that_moved_is_nobodys_request() {
    let mut scene = Scene::new();
    scene.pass(60);
    scene.start("b", 1, 7);
    scene.list([0, 1, 2]);
    scene.pass(1);
    assert_eq!(scene.news(), ["60 appeared v1 0007 by -: the same reference, another image: its tag has moved"]);
}

#[test]
fn a_workload_that_came_is_told_and_one_that_was_only_out_of_sight_is_not() {
    let mut scene = Scene::new();
    scene.pass(60);
    let asks = |since| Asks { history: [(1, since)].into(), version: 1, since, by: "ci", mark: None };
    scene.truth.workloads.insert("young", asks(60));
    scene.truth.workloads.insert("hidden", asks(-3_000));
    scene.truth.pods.insert("y".to_string(), ("young", 1, 8, 61));
    scene.truth.pods.insert("h".to_string(), ("hidden", 1, 9, -3_000));
    scene.list([2, 0, 1]);
    scene.pass(2);
    assert_eq!(
        scene.news(),
        [
            "-3000 requested v1 0009 by ci: history: revision 1: release 1",
            "60 requested v1 0008 by ci: a new workload; revision 1: release 1",
            "61 appeared v1 0008 by ci: ",
        ]
    );
    scene.truth.workloads.remove("young");
    scene.truth.pods.remove("y");
    scene.list([0, 1, 2]);
    scene.pass(1);
    assert_eq!(scene.news(), ["63 vanished v1 0008 by -: the workload is gone"]);
    // The same while nobody watched, and where nothing of a whole namespace is seen.
    scene.restart(1_000);
    scene.truth.workloads.remove("hidden");
    scene.truth.pods.remove("h");
    scene.list([0, 1, 2]);
    scene.pass(1);
    assert_eq!(scene.news(), ["1064 vanished v1 0009 by -: between 03:01 and 03:17 UTC; the workload is gone"]);
    scene.restart(1_000);
    let seen = std::mem::take(&mut scene.truth);
    scene.list([0, 1, 2]);
    scene.pass(1);
    scene.truth = seen;
    scene.list([0, 1, 2]);
    scene.pass(1);
    assert_eq!(scene.news(), Vec::<String>::new());
}

#[test]
fn rows_go_by_age_and_by_number_and_it_is_said_how_far_back_they_reach() {
    let mut scene = Scene::new();
    let retention = Retention { age: Duration::from_secs(1_000), count: 3 };
    scene.timeline = Timeline::of(Kept::default(), retention);
    assert_eq!(scene.timeline.reaches_back_to(at(0)), None);
    scene.pass(1);
    assert_eq!(scene.timeline.reaches_back_to(at(1)), Some(at(1)), "what the platform remembers was not watched");
    for version in 2..=9 {
        scene.pass(100);
        scene.release(version, "ci");
        scene.list([0, 1, 2]);
        scene.pass(1);
    }
    assert_eq!(scene.timeline.rows().len(), 3);
    assert_eq!(scene.timeline.reaches_back_to(at(scene.second)), Some(scene.timeline.rows()[0].at));
    scene.pass(10_000);
    assert_eq!(scene.timeline.rows().len(), 0);
    let reach = scene.timeline.reaches_back_to(at(scene.second));
    assert_eq!(reach, Some(at(scene.second - 1_000)), "nothing happened since then");
}

/// A run under a clock that was ahead has written that it is watched since then.
#[test]
fn what_was_watched_from_a_moment_that_has_not_been_is_watched_from_now() {
    let mut scene = Scene::new();
    let ahead = Watched { first: at(1_000_000), last: at(1_000_000) };
    let kept = Kept { watched: vec![(place(), ahead)], ..Kept::default() };
    scene.timeline = Timeline::of(kept, Retention::default());
    scene.pass(1);
    assert_eq!(scene.timeline.reaches_back_to(at(1)), Some(at(1)));
}

#[test]
fn much_is_handed_to_the_store_in_parts() {
    let mut scene = Scene::new();
    let asks = scene.truth.workloads["checkout"].clone();
    for number in 0..4_000 {
        scene.truth.workloads.insert(format!("service-{number}").leak(), asks.clone());
    }
    scene.list([0, 1, 2]);
    scene.pass(1);
    let parts: Vec<usize> =
        std::iter::from_fn(|| scene.timeline.due(at(2)).map(|notes| notes.states.len())).take(9).collect();
    assert_eq!(parts, [2_000, 2_000, 1]);
}

/// What the rows of one workload come to: which images it runs.
fn folded(timeline: &Timeline, begun: &BTreeSet<String>) -> BTreeSet<String> {
    let mut running = begun.clone();
    for row in timeline.rows() {
        let image = row.image.as_ref().map(|image| image.distinctive()[62..].to_string()).unwrap_or_default();
        match row.what {
            Happened::Appeared => assert!(running.insert(image), "it was there: {}", words(row)),
            Happened::Vanished => assert!(running.remove(&image), "it was not there: {}", words(row)),
            Happened::Requested | Happened::Template | Happened::Operation | Happened::Ended => {}
        }
    }
    running
}

#[derive(Clone, Debug)]
enum Move {
    Start(u8, u8),
    End(u8),
    Release(u8),
    Report([usize; 3]),
    Pass(i64),
    FallSilent,
    Restart(i64),
}

fn moves() -> impl Strategy2<Value = Vec<Move>> {
    let order = prop_oneof![Just([0, 1, 2]), Just([2, 1, 0]), Just([1, 2, 0]), Just([0, 2, 1])];
    let one = prop_oneof![
        4 => (0u8..6, 1u8..4).prop_map(|(pod, digest)| Move::Start(pod, digest)),
        3 => (0u8..6).prop_map(Move::End),
        2 => (1u8..5).prop_map(Move::Release),
        4 => order.prop_map(Move::Report),
        4 => (1i64..400).prop_map(Move::Pass),
        1 => Just(Move::FallSilent),
        1 => (1i64..4_000).prop_map(Move::Restart),
    ];
    proptest::collection::vec(one, 0..40)
}

use proptest::strategy::Strategy as Strategy2;

proptest! {
    #[test]
    fn the_rows_come_to_what_is_there_whatever_comes_in_which_order(moves in moves()) {
        let mut scene = Scene::new();
        scene.pass(1);
        let mut serial = 0;
        for next in moves {
            match next {
                Move::Start(pod, digest) => {
                    serial += 1;
                    let version = scene.truth.workloads["checkout"].version;
                    scene.truth.pods.retain(|uid, _| !uid.starts_with(&format!("p{pod}-")));
                    scene.start(&format!("p{pod}-{serial}"), version, digest);
                }
                Move::End(pod) => scene.truth.pods.retain(|uid, _| !uid.starts_with(&format!("p{pod}-"))),
                Move::Release(version) => {
                    // Of two within one second nobody could tell which was the last.
                    scene.second += 1;
                    scene.release(version, "ci");
                    // What a live place reports minutes later has no time that could be believed.
                    if scene.fleet.places()[0].state.is_live() {
                        scene.list([1, 0, 2]);
                    }
                }
                Move::Report(order) => scene.list(order),
                Move::Pass(seconds) => scene.pass(seconds),
                Move::FallSilent => scene.observe(vec![Observation::Place(PlaceState::Stale(Text::new("silent")))]),
                Move::Restart(seconds) => {
                    scene.restart(seconds);
                    scene.list([2, 0, 1]);
                }
            }
        }
        scene.list([0, 1, 2]);
        scene.pass(1);
        let begun = BTreeSet::from(["01".to_string()]);
        let there: BTreeSet<String> = scene.truth.pods.values().map(|(_, _, digest, _)| format!("{digest:02}")).collect();
        prop_assert_eq!(folded(&scene.timeline, &begun), there);
        // The version that is asked for is the newest one that was told.
        let requested = scene.timeline.rows().iter().rev().find(|row| row.what == Happened::Requested);
        let asked = format!("v{}", scene.truth.workloads["checkout"].version);
        let told = requested.map_or(Text::new("v1"), |row| row.version.clone().unwrap_or_default());
        prop_assert_eq!(told, Text::new(&asked));
        // A version that nobody asked for waits a moment.
        scene.pass(20);
        // Neither a restart nor a silence tells anything again.
        let count = scene.timeline.rows().len();
        scene.restart(700);
        scene.list([1, 0, 2]);
        scene.pass(1);
        scene.observe(vec![Observation::Place(PlaceState::Stale(Text::new("silent")))]);
        scene.pass(700);
        scene.list([2, 1, 0]);
        scene.pass(1);
        scene.pass(20);
        prop_assert_eq!(scene.timeline.rows().len(), count);
    }
}
