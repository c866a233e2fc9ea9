//! What AWS does not do on demand: credentials that expire, throttling, permissions that are missing, HTML where an answer
//! should be. A relay before moto answers in its place.

use std::sync::Arc;
use std::time::Duration;

use rolldeck::domain::fleet::{Fleet, Place};
use rolldeck::domain::id::{OperationId, PlaceId};
use rolldeck::domain::journal::Call;
use rolldeck::domain::observation::{Batch, PlaceState};
use rolldeck::domain::plan::{Aims, Change, Goto, Pick, PlanRequest, Reach, Scope, Step, compose};
use rolldeck::domain::policy::{PlacePolicy, Policy};
use rolldeck::domain::selector::Selector;
use rolldeck::domain::text::Text;
use rolldeck::providers::{
    Answer, AwsSurroundings, Connected, Mutations, Operator, Order, PlaceSpec, Sink, Surroundings, kind,
};
use serde_json::json;
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::act::bad_release;
use crate::journeys::relay::{Relay, aws_action, aws_error, http};
use crate::real::cluster::PATIENCE;
use crate::real::moto::{Region, region_or_skip, write_files};

/// A region that is watched through a relay.
struct Watched {
    relay: Relay,
    fleet: Fleet,
    batches: mpsc::Receiver<Batch>,
    watcher: JoinHandle<()>,
    operator: Arc<dyn Operator>,
    _files: TempDir,
}

impl Watched {
    fn of(region: &Region) -> Watched {
        let files = tempfile::tempdir().expect("a folder");
        write_files(files.path());
        Watched::with(region, files)
    }

    /// With AWS's own files in this folder, where it has any.
    fn with(region: &Region, files: TempDir) -> Watched {
        let relay = Relay::to_aws(region.moto().port());
        let place = PlaceId::new("aws/here");
        let aws = AwsSurroundings {
            config_file: Some(files.path().join("config")),
            credentials_file: Some(files.path().join("credentials")),
            ..AwsSurroundings::default()
        };
        let settings = json!({"region": region.name(), "endpoint_url": relay.url(), "refresh": "1s"});
        let kind = kind("aws").expect("it is in KINDS");
        let settings = settings.as_object().expect("a table").clone();
        let spec = PlaceSpec { id: place.clone(), kind: kind.name, settings };
        let surroundings = Surroundings { aws, ..Surroundings::default() };
        let Connected { provider, operator } =
            (kind.connect)(spec, surroundings, Mutations::Allowed).expect("it connects");
        let (sender, batches) = mpsc::channel(16);
        let mut fleet = Fleet::new(Vec::new());
        fleet.add_place(place.clone());
        let watcher = tokio::spawn(provider.watch(Sink::new(place, sender)));
        let operator = operator.expect("mutations are allowed");
        Watched { relay, fleet, batches, watcher, operator, _files: files }
    }

    fn place(&self) -> &Place {
        &self.fleet.places()[0]
    }

    async fn until(&mut self, what: &str, is_so: impl Fn(&Place) -> bool) {
        let waited = tokio::time::timeout(PATIENCE, async {
            while !is_so(&self.fleet.places()[0]) {
                let batch = self.batches.recv().await.expect("watchers never end");
                self.fleet.apply(batch);
            }
        });
        assert!(waited.await.is_ok(), "waited in vain until {what}: {:?}", self.place().state);
    }

    async fn until_live(&mut self) {
        self.until("it is live", |place| place.state.is_live()).await;
    }

    fn rollback(&self) -> Step {
        let request = PlanRequest {
            goto: Goto::LastGood,
            scope: Scope::Matching(Selector::parse("svc:checkout").expect("a selector")),
            pick: Pick::Off,
            container: None,
            change: Change::WholeTemplate,
            reach: Reach::Narrow,
            valid: Duration::from_secs(600),
            aims: Aims::default(),
        };
        let policy = Policy { base: PlacePolicy { floor_percent: 0, ..PlacePolicy::default() }, ..Policy::default() };
        let plan = compose(&request, &self.fleet, &policy, jiff::Timestamp::now(), &|_| None);
        assert_eq!(plan.refusals, []);
        plan.waves[0].steps[0].clone()
    }

    async fn order(&self, step: &Step) -> Answer {
        let (operation, who) = (OperationId(Text::new("o-check")), Text::new("somebody@example"));
        let order = Order { operation, who, call: Call::Step(step.id), step: step.clone() };
        self.operator.clone().execute(order).await
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.watcher.abort();
    }
}

/// Runs a check on a region of its own with a group `checkout` after a bad release.
fn run(test: &str, check: impl AsyncFn(Watched)) {
    let Some(region) = region_or_skip(test) else { return };
    bad_release(&region, 3);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    runtime.expect("a runtime").block_on(async { check(Watched::of(&region)).await });
}

#[test]
fn expired_credentials_pause_the_place_and_it_wakes_by_itself() {
    run("expired_credentials_pause_the_place_and_it_wakes_by_itself", async |mut watched| {
        watched.until_live().await;
        watched.relay.refuse(Some(|head, _| Some(aws_error(head, 400, "ExpiredToken"))));
        watched.until("it is paused", |place| matches!(place.state, PlaceState::AuthExpired(_))).await;
        let why = watched.place().state.reason().expect("a reason").to_string();
        assert!(why.contains("sign in again: aws sso login"), "{why}");
        assert_eq!(watched.fleet.instance_count(), 3, "what was known stays");
        watched.relay.refuse(None);
        watched.until_live().await;
    });
}

#[test]
fn without_files_and_keys_it_says_how_to_sign_in() {
    let Some(region) = region_or_skip("without_files_and_keys_it_says_how_to_sign_in") else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let mut watched = Watched::with(&region, tempfile::tempdir().expect("a folder"));
        watched.until("nobody is signed in", |place| matches!(place.state, PlaceState::AuthExpired(_))).await;
        let why = watched.place().state.reason().expect("a reason").to_string();
        assert!(why.contains("credentials") && why.contains("sign in again"), "{why}");
    });
}

#[test]
fn throttling_keeps_what_is_known_and_ends() {
    run("throttling_keeps_what_is_known_and_ends", async |mut watched| {
        watched.until_live().await;
        watched.relay.refuse(Some(|head, body| {
            let action = aws_action(head, body)?;
            (action == "DescribeInstanceImageMetadata").then(|| aws_error(head, 503, "RequestLimitExceeded"))
        }));
        watched.until("it is stale", |place| matches!(place.state, PlaceState::Stale(_))).await;
        let why = watched.place().state.reason().expect("a reason").to_string();
        assert!(why.contains("slower"), "{why}");
        assert_eq!(watched.fleet.instance_count(), 3);
        watched.relay.refuse(None);
        watched.until_live().await;
    });
}

#[test]
fn what_is_not_granted_is_told_and_the_rest_is_shown() {
    run("what_is_not_granted_is_told_and_the_rest_is_shown", async |mut watched| {
        watched.relay.refuse(Some(|head, body| match aws_action(head, body)?.as_str() {
            "ListClusters" => Some(aws_error(head, 400, "AccessDeniedException")),
            "DescribeInstanceRefreshes" => Some(aws_error(head, 403, "AccessDenied")),
            _ => None,
        }));
        watched.until_live().await;
        let limits: Vec<String> = watched.place().limits.iter().map(|(_, why)| why.to_string()).collect();
        for action in ["ecs:ListClusters", "autoscaling:DescribeInstanceRefreshes"] {
            assert!(limits.iter().any(|why| why.contains(action)), "{action}: {limits:?}");
        }
        assert_eq!(watched.fleet.instance_count(), 3);
        watched.relay.refuse(None);
        watched.until("all is granted", |place| place.limits.is_empty()).await;
        assert_eq!(watched.fleet.instance_count(), 3, "nothing is wiped by being granted");
    });
}

#[test]
fn who_may_see_nothing_is_told_so() {
    run("who_may_see_nothing_is_told_so", async |mut watched| {
        watched.relay.refuse(Some(|head, body| {
            (aws_action(head, body)? != "GetCallerIdentity").then(|| aws_error(head, 403, "AccessDenied"))
        }));
        watched.until("it is forbidden", |place| matches!(place.state, PlaceState::Forbidden(_))).await;
        watched.relay.refuse(None);
        watched.until_live().await;
        assert_eq!(watched.fleet.instance_count(), 3, "all is there once it is granted");
    });
}

#[test]
fn html_is_no_answer_and_the_place_comes_back() {
    run("html_is_no_answer_and_the_place_comes_back", async |mut watched| {
        watched.relay.refuse(Some(|_, _| Some(http(500, "text/html", "<html>so sorry</html>"))));
        watched.until("it is unreachable", |place| matches!(place.state, PlaceState::Unreachable(_))).await;
        watched.relay.refuse(None);
        watched.until_live().await;
        watched.relay.refuse(Some(|_, _| Some(http(200, "text/xml", "<Describe"))));
        watched.until("it is stale", |place| matches!(place.state, PlaceState::Stale(_))).await;
        watched.relay.refuse(None);
        watched.until_live().await;
    });
}

#[test]
fn each_answer_says_whether_anything_was_done_and_nothing_is_sent_twice() {
    run("each_answer_says_whether_anything_was_done_and_nothing_is_sent_twice", async |mut watched| {
        watched.until_live().await;
        let step = watched.rollback();
        macro_rules! answered {
            ($answer:expr) => {{
                watched.relay.refuse(Some(|head, body| {
                    (aws_action(head, body)? == "StartInstanceRefresh").then(|| $answer(head))
                }));
                watched.order(&step).await
            }};
        }
        let answer = answered!(|_: &str| http(500, "text/html", "<html>so sorry</html>"));
        assert!(matches!(&answer, Answer::Unanswered(_)), "{answer:?}");
        let answer = answered!(|head: &str| aws_error(head, 500, "InternalFailure"));
        assert!(matches!(&answer, Answer::Unanswered(_)), "{answer:?}");
        let answer = answered!(|head: &str| aws_error(head, 500, "ResourceContention"));
        assert!(matches!(&answer, Answer::Blocked(_)), "{answer:?}");
        let answer = answered!(|head: &str| aws_error(head, 400, "Throttling"));
        assert!(matches!(&answer, Answer::Blocked(_)), "{answer:?}");
        let answer = answered!(|head: &str| aws_error(head, 400, "InstanceRefreshInProgress"));
        assert!(matches!(&answer, Answer::Refused(why) if why.contains("look at it, then plan again")), "{answer:?}");
        let answer = answered!(|head: &str| aws_error(head, 403, "AccessDenied"));
        assert!(
            matches!(&answer, Answer::Refused(why) if why.contains("autoscaling:StartInstanceRefresh")),
            "{answer:?}"
        );
        assert_eq!(watched.relay.changes().len(), 6, "each was sent once");
    });
}
