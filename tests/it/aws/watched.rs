//! A region that is watched in this process: a fleet made of what its provider reports, and the hands of that provider.

use std::sync::Arc;
use std::time::Duration;

use rolldeck::domain::audit::{Audit, AuditQuestion};
use rolldeck::domain::fleet::{Fleet, Place};
use rolldeck::domain::id::{OperationId, PlaceId};
use rolldeck::domain::journal::Call;
use rolldeck::domain::observation::Batch;
use rolldeck::domain::plan::{Goto, Inspection, PlanRequest, Reach, Scope, Step, compose};
use rolldeck::domain::policy::{PlacePolicy, Policy};
use rolldeck::domain::selector::Selector;
use rolldeck::domain::text::Text;
use rolldeck::providers::{
    Answer, AwsSurroundings, Connected, Mutations, Operator, Order, PlaceSpec, Provider, Sink, Surroundings, kind,
};
use serde_json::json;
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::real::cluster::PATIENCE;

/// A region that is watched.
pub(super) struct Watched {
    pub(super) fleet: Fleet,
    batches: mpsc::Receiver<Batch>,
    watcher: JoinHandle<()>,
    provider: Arc<dyn Provider>,
    operator: Arc<dyn Operator>,
    _files: TempDir,
}

impl Watched {
    /// The region at this address, with AWS's own files in this folder, where it has any.
    pub(super) fn of(region: &str, url: &str, files: TempDir) -> Watched {
        let place = PlaceId::new("aws/here");
        let aws = AwsSurroundings {
            config_file: Some(files.path().join("config")),
            credentials_file: Some(files.path().join("credentials")),
            ..AwsSurroundings::default()
        };
        let settings = json!({"region": region, "endpoint_url": url, "refresh": "1s"});
        let kind = kind("aws").expect("it is in KINDS");
        let settings = settings.as_object().expect("a table").clone();
        let spec = PlaceSpec { id: place.clone(), kind: kind.name, settings };
        let surroundings = Surroundings { aws, ..Surroundings::default() };
        let Connected { provider, operator } =
            (kind.connect)(spec, surroundings, Mutations::Allowed).expect("it connects");
        let (sender, batches) = mpsc::channel(16);
        let mut fleet = Fleet::new(Vec::new());
        fleet.add_place(place.clone());
        let watcher = tokio::spawn(provider.clone().watch(Sink::new(place, sender)));
        let operator = operator.expect("mutations are allowed");
        Watched { fleet, batches, watcher, provider, operator, _files: files }
    }

    pub(super) fn place(&self) -> &Place {
        &self.fleet.places()[0]
    }

    pub(super) async fn until(&mut self, what: &str, is_so: impl Fn(&Place) -> bool) {
        self.until_fleet(what, |fleet| is_so(&fleet.places()[0])).await;
    }

    pub(super) async fn until_fleet(&mut self, what: &str, is_so: impl Fn(&Fleet) -> bool) {
        let waited = tokio::time::timeout(PATIENCE, async {
            while !is_so(&self.fleet) {
                let batch = self.batches.recv().await.expect("watchers never end");
                self.fleet.apply(batch);
            }
        });
        assert!(waited.await.is_ok(), "waited in vain until {what}: {:?}", self.place().state);
    }

    pub(super) async fn until_live(&mut self) {
        self.until("it is live", |place| place.state.is_live()).await;
    }

    pub(super) fn rollback(&self) -> Step {
        let request = PlanRequest {
            reach: Reach::Narrow,
            ..PlanRequest::of(
                Goto::LastGood,
                Scope::Matching(Selector::parse("svc:checkout").expect("a selector")),
                Duration::from_secs(600),
            )
        };
        let policy = Policy { base: PlacePolicy { floor_percent: 0, ..PlacePolicy::default() }, ..Policy::default() };
        let plan = compose(&request, &self.fleet, &policy, jiff::Timestamp::now(), &|_| None);
        assert_eq!(plan.refusals, []);
        plan.waves[0].steps[0].clone()
    }

    /// What its provider finds out of a step before that is offered.
    pub(super) async fn inspect(&self, step: &Step) -> Inspection {
        self.provider.clone().inspect(step.clone()).await
    }

    /// Who asked for what, by CloudTrail.
    pub(super) async fn audit(&self, questions: Vec<AuditQuestion>) -> Vec<Audit> {
        self.provider.clone().audit(questions).await
    }

    pub(super) async fn order(&self, step: &Step) -> Answer {
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
