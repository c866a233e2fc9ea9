//! Whole sessions on a simulated fleet with stepped time: what the program runs, without its terminal.
//!
//! Never sleeps on the real clock: tests that use it start with tokio's time paused.

use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;

use rolldeck::app::settings::{Access, Connection, Look, PlaceSetting, Settings};
use rolldeck::domain::expectation::ServiceKeys;
use rolldeck::domain::id::OperationId;
use rolldeck::domain::journal::Driver;
use rolldeck::domain::operation::Operation;
use rolldeck::domain::plan::{Goto, Plan, PlanRequest, Reach, Scope};
use rolldeck::domain::policy::Policy;
use rolldeck::domain::selector::Selector;
use rolldeck::domain::text::Text;
use rolldeck::providers::sim::{self, SimWorld};
use rolldeck::providers::{PlaceSpec, Surroundings};
use rolldeck::runtime::session::{Clock, Session};
use rolldeck::runtime::startup::{Prepared, Stepping, open};

/// When simulated worlds begin.
const BASE: &str = "2026-11-21T03:10:00Z";
/// Turns of the loop after which a story is stuck.
const TURNS: usize = 20_000;

/// A simulated fleet that sessions come and go on.
pub(crate) struct Stage {
    pub(crate) world: Arc<SimWorld>,
    clock: Clock,
    places: Vec<PlaceSpec>,
    declarations: Vec<rolldeck::domain::expectation::Declaration>,
    policy: Policy,
}

impl Stage {
    /// Opens a scenario by name or text.
    pub(crate) fn open(scenario: &str) -> Stage {
        let base: Timestamp = BASE.parse().expect("a time");
        let clock = Clock::runtime(base);
        let demo = sim::open(scenario, base).expect("the scenario is good");
        Stage { world: demo.world, clock, places: demo.places, declarations: demo.declarations, policy: demo.policy }
    }

    /// A process begins: it reads the state directory and connects every place.
    pub(crate) fn process(&self, state: &Path, who: &str) -> Session {
        self.process_at(state, who, Connection::Wanted)
    }

    /// The same, with every place connected or known alone.
    pub(crate) fn process_at(&self, state: &Path, who: &str, connection: Connection) -> Session {
        let setting = |spec: &PlaceSpec| PlaceSetting {
            id: spec.id.clone(),
            kind: Text::new(spec.kind),
            access: Access::Operable,
            connection,
        };
        let settings = Settings {
            policy: self.policy.clone(),
            declarations: self.declarations.clone(),
            service_keys: ServiceKeys::default(),
            places: self.places.iter().map(setting).collect(),
            access: Access::Operable,
            driver: Driver {
                who: Text::new(who),
                host: Text::new("test"),
                boot: Text::new("boot"),
                pid: std::process::id(),
                started_at: self.clock.now(),
            },
            incident: None,
            notices: Vec::new(),
            scenario: None,
            releases: Vec::new(),
            registries: Vec::new(),
            look: Look::default(),
        };
        let prepared = Prepared {
            settings,
            specs: self.places.clone(),
            surroundings: Surroundings::default(),
            state_dir: state.to_path_buf(),
            retention: rolldeck::domain::timeline::Retention::default(),
            clock: self.clock,
            world: Some(self.world.clone()),
            registries: None,
        };
        open(prepared, Stepping::Inline).expect("the session opens")
    }
}

/// Turns the loop until something holds.
pub(crate) async fn until(session: &mut Session, what: &str, mut holds: impl FnMut(&Session) -> bool) {
    for _ in 0..TURNS {
        if holds(session) {
            return;
        }
        session.turn().await;
    }
    let operations: Vec<String> = session
        .model
        .operations
        .iter()
        .map(|tracked| format!("{:?} {:#?}", tracked.operation.state(tracked.alive), tracked.operation.steps))
        .collect();
    panic!("it never came to this: {what}; operations: {operations:#?}");
}

/// Turns the loop until every place is live.
pub(crate) async fn all_live(session: &mut Session) {
    until(session, "every place is live", |session| {
        session.model.fleet.places().iter().all(|place| place.state.is_live())
    })
    .await;
}

/// A plan back to last good for whatever matches.
pub(crate) fn rollback_plan(session: &Session, selector: &str) -> Plan {
    let request = PlanRequest {
        reach: Reach::Narrow,
        ..PlanRequest::of(
            Goto::LastGood,
            Scope::Matching(Selector::parse(selector).expect("a selector")),
            std::time::Duration::from_secs(600),
        )
    };
    session.model.plan(&request)
}

/// Starts a plan, as its code would.
pub(crate) fn start(session: &mut Session, plan: Plan) -> OperationId {
    assert!(plan.code().is_some(), "it can start: {:?}", plan.refusals);
    let (driver, now) = (session.model.settings.driver.clone(), session.model.now);
    let (operation, effects) = session.model.operations.start(plan, driver, None, now);
    session.perform(effects);
    operation
}

/// The operation as this process knows it.
pub(crate) fn operation<'a>(session: &'a Session, id: &OperationId) -> &'a Operation {
    &session.model.operations.get(id).expect("it is known").operation
}
