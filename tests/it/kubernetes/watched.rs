//! A provider under watch: its batches are folded into a fleet, and a test waits until the fleet shows what it wants.
//!
//! Never sleeps: it waits on the channel, with a deadline that only a hanging test meets.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rolldeck::domain::fleet::{Fleet, Workload};
use rolldeck::domain::id::{OperationId, PlaceId, StepId, WorkloadId, WorkloadKind};
use rolldeck::domain::journal::Call;
use rolldeck::domain::observation::{Batch, Observation, PlaceState};
use rolldeck::domain::plan::{Action, Bound, Brake, Follows, Side, Step, Unpause};
use rolldeck::domain::text::Text;
use rolldeck::providers::{
    Answer, Connected, KINDS, Mutations, Operator, Order, PlaceSpec, Provider, Sink, Surroundings, kind,
};
use serde_json::{Map, Value, json};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// How long a test waits for what should come within a second or two, on a machine that is busy.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);

/// A watched place.
pub(crate) struct Watched {
    pub(crate) place: PlaceId,
    pub(crate) fleet: Fleet,
    pub(crate) provider: Arc<dyn Provider>,
    pub(crate) operator: Option<Arc<dyn Operator>>,
    /// Every state of the place, in the order in which it was said.
    pub(crate) states: Vec<PlaceState>,
    batches: mpsc::Receiver<Batch>,
    watcher: JoinHandle<()>,
}

/// Connects a context without watching it.
pub(crate) fn connect(kubeconfig: &Path, settings: Value, mutations: Mutations) -> Connected {
    assert!(KINDS.iter().any(|kind| kind.name == "kubernetes"));
    let kind = kind("kubernetes").expect("the kind is there");
    let Value::Object(settings) = settings else { panic!("settings are a table") };
    assert_eq!((kind.check)(&settings), []);
    let surroundings = Surroundings { kubeconfigs: vec![kubeconfig.to_path_buf()], ..Surroundings::default() };
    let spec = PlaceSpec { id: place_of(&settings), kind: "kubernetes", settings };
    (kind.connect)(spec, surroundings, mutations).unwrap_or_else(|error| panic!("{error}"))
}

impl Watched {
    /// Watches a context, allowed to change things.
    pub(crate) fn start(kubeconfig: &Path, context: &str) -> Watched {
        Watched::start_with(kubeconfig, json!({"context": context}), Mutations::Allowed)
    }

    /// Watches with these settings.
    pub(crate) fn start_with(kubeconfig: &Path, settings: Value, mutations: Mutations) -> Watched {
        let place = place_of(settings.as_object().expect("a table"));
        let Connected { provider, operator } = connect(kubeconfig, settings, mutations);
        let mut fleet = Fleet::new(Vec::new());
        fleet.add_place(place.clone());
        let (sender, batches) = mpsc::channel(64);
        let watcher = tokio::spawn(provider.clone().watch(Sink::new(place.clone(), sender)));
        Watched { place, fleet, provider, operator, states: Vec::new(), batches, watcher }
    }

    /// Folds batches until the fleet shows it.
    pub(crate) async fn until(&mut self, what: &str, is_true: impl Fn(&Fleet) -> bool) {
        let folding = async {
            while !is_true(&self.fleet) {
                self.fold().await;
            }
        };
        if tokio::time::timeout(PATIENCE, folding).await.is_err() {
            let place = self.fleet.place(&self.place).expect("it was added");
            panic!(
                "waited {PATIENCE:?} in vain for {what}; the place is {:?}, limits {:?}",
                self.states.last(),
                place.limits
            );
        }
    }

    /// Folds batches until the place is in such a state.
    pub(crate) async fn until_state(&mut self, word: &str) -> PlaceState {
        let place = self.place.clone();
        self.until(word, |fleet| fleet.place(&place).is_some_and(|place| place.state.as_str() == word)).await;
        self.fleet.place(&place).expect("it was added").state.clone()
    }

    /// Folds the next batch.
    pub(crate) async fn fold(&mut self) {
        let batch = self.batches.recv().await.expect("the watcher goes on");
        for observation in &batch.observations {
            if let Observation::Place(state) = observation {
                self.states.push(state.clone());
            }
        }
        self.fleet.apply(batch);
    }

    /// A Deployment by name.
    pub(crate) fn deployment(&self, namespace: &str, name: &str) -> &Workload {
        self.fleet.workload(&self.id(namespace, name)).unwrap_or_else(|| panic!("{namespace}/{name} is not there"))
    }

    pub(crate) fn id(&self, namespace: &str, name: &str) -> WorkloadId {
        WorkloadId {
            place: self.place.clone(),
            namespace: Some(Text::new(namespace)),
            kind: WorkloadKind::Deployment,
            name: Text::new(name),
        }
    }

    /// A step on a Deployment, bound to what the fleet shows now.
    pub(crate) fn step(&self, namespace: &str, name: &str, action: Action) -> Step {
        let workload = self.deployment(namespace, name);
        let side = Side { container: workload.judgement.main.clone(), ..Side::default() };
        Step {
            id: StepId { wave: 1, step: 1 },
            workload: workload.id.clone(),
            action,
            from: side.clone(),
            to: side,
            instances: workload.seen.desired,
            total: workload.seen.desired,
            also_goes_back: Vec::new(),
            brake: Brake::PauseRollout,
            unpause: Unpause::NotPaused,
            first: None,
            follows: Follows::Nothing,
            left_out: None,
            equivalent: Text::default(),
            bound: Bound::of(&workload.seen),
        }
    }

    /// Goes back to the revision with that number.
    pub(crate) fn restore(&self, namespace: &str, name: &str, number: u64) -> Step {
        let workload = self.deployment(namespace, name);
        let revision = workload.revisions.iter().find(|revision| revision.number == number);
        let revision = revision.unwrap_or_else(|| panic!("no revision {number}: {:?}", workload.revisions));
        let hash = revision.template.hash.clone();
        self.step(namespace, name, Action::RestoreRevision { revision: revision.uid.clone(), number, hash })
    }

    /// Has a step done, as the runtime does.
    pub(crate) async fn execute(&self, operation: &str, call: fn(StepId) -> Call, step: &Step) -> Answer {
        let operator = self.operator.clone().expect("changes are allowed");
        let (operation, who) = (OperationId(Text::new(operation)), Text::new("ada@desk"));
        operator.execute(Order { operation, who, call: call(step.id), step: step.clone() }).await
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.watcher.abort();
    }
}

fn place_of(settings: &Map<String, Value>) -> PlaceId {
    PlaceId::new(&format!("k8s/{}", settings["context"].as_str().expect("tests name their context")))
}
