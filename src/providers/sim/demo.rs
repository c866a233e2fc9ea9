//! Everything that the program needs to open a scenario instead of a configuration: places, expectations, policy.
//!
//! Never opens anything itself; a place connects through its kind like all others.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::KIND;
use super::blueprint::Blueprints;
use super::scenario::{Platform, SCENARIOS, Scenario, ScenarioError, SceneExpect};
use super::world::SimWorld;
use crate::domain::expectation::Declaration;
use crate::domain::id::PlaceId;
use crate::domain::policy::{Confirm, Policy, PolicyRule};
use crate::domain::selector::glob_matches;
use crate::domain::text::Text;
use crate::providers::{ConnectError, Connected, Mutations, PlaceSpec, SettingFault, Surroundings};

/// A scenario, ready to be opened.
pub struct Demo {
    /// As it was read.
    pub scenario: Scenario,
    /// The world that its places share. Its time began when the demo was opened.
    pub world: Arc<SimWorld>,
    /// Its places; connecting them by their kind leads to this world.
    pub places: Vec<PlaceSpec>,
    /// What should run.
    pub declarations: Vec<Declaration>,
    /// How careful operations are.
    pub policy: Policy,
}

/// One line of `demo --list`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its name on the command line.
    pub name: String,
    /// One line.
    pub title: String,
    /// What there is to see and to try.
    pub description: String,
}

/// Worlds that are being played, by what their places' settings say.
static WORLDS: Mutex<Vec<(String, Weak<SimWorld>)>> = Mutex::new(Vec::new());
static DEMOS: AtomicU64 = AtomicU64::new(1);

const SETTINGS: [&str; 3] = ["scenario", "place", "world"];

/// Opens a scenario by its name, or from its own text, as if it began at this time.
///
/// # Errors
/// What is wrong with it, and where.
pub fn open(name_or_text: &str, base: Timestamp) -> Result<Demo, ScenarioError> {
    let scenario = Scenario::load(name_or_text)?;
    let world = Arc::new(SimWorld::new(&scenario, base));
    let key = format!("demo {}", DEMOS.fetch_add(1, Ordering::Relaxed));
    remember(key.clone(), &world);
    let places = world.places().map(|id| PlaceSpec {
        id: id.clone(),
        kind: KIND.name,
        settings: [("scenario", name_or_text), ("place", id.0.as_str()), ("world", key.as_str())]
            .map(|(name, value)| (name.to_string(), Value::from(value)))
            .into_iter()
            .collect(),
    });
    let places = places.collect();
    Ok(Demo { declarations: declarations(&scenario), policy: policy(&scenario), places, world, scenario })
}

/// The scenarios that are part of the program, the default one first.
pub fn list() -> Vec<Listed> {
    let read = SCENARIOS.iter().filter_map(|(_, text)| Scenario::parse(text).ok());
    read.map(|scenario| Listed {
        name: scenario.name,
        title: scenario.title,
        description: scenario.description.trim().to_string(),
    })
    .collect()
}

/// What a place is called whose configuration gives no id: the place of the scenario that it stands for.
pub(super) fn default_id(settings: &Map<String, Value>, _surroundings: &Surroundings) -> String {
    settings.get("place").and_then(Value::as_str).unwrap_or("sim").to_string()
}

/// Whether the settings of a place make sense.
pub(super) fn check(settings: &Map<String, Value>) -> Vec<SettingFault> {
    let fault = |key: &str, message: String| SettingFault { key: key.to_string(), message };
    let unknown = settings.keys().filter(|key| !SETTINGS.contains(&key.as_str()));
    let mut faults: Vec<SettingFault> =
        unknown.map(|key| fault(key, "a sim place has `scenario` and `place`".to_string())).collect();
    match settings.get("scenario").map(Value::as_str) {
        None => faults.push(fault("scenario", "it is missing; `rolldeck demo --list` names them".to_string())),
        Some(None) => faults.push(fault("scenario", "it must be a text".to_string())),
        Some(Some(scenario)) => {
            if let Err(error) = Scenario::load(scenario) {
                faults.push(fault("scenario", error.to_string()));
            }
        }
    }
    faults
}

/// Connects one place by its settings.
pub(super) fn connect(
    spec: PlaceSpec,
    _surroundings: Surroundings,
    mutations: Mutations,
) -> Result<Connected, ConnectError> {
    let text = |key: &str| spec.settings.get(key).and_then(Value::as_str);
    let scenario = text("scenario").ok_or_else(|| ConnectError {
        what: format!("{} names no scenario", spec.id),
        hint: "`rolldeck demo --list` names them".to_string(),
    })?;
    let place = text("place").map_or_else(|| spec.id.clone(), PlaceId::new);
    let key = text("world").unwrap_or(scenario);
    let world = match remembered(key) {
        Some(world) => world,
        None => {
            let read = Scenario::load(scenario).map_err(|error| ConnectError {
                what: format!("the scenario of {} is faulty: {error}", spec.id),
                hint: "`rolldeck demo --list` names those that are part of the program".to_string(),
            })?;
            let world = Arc::new(SimWorld::new(&read, Timestamp::now()));
            remember(key.to_string(), &world);
            world
        }
    };
    world.connect(&place, mutations)
}

fn remember(key: String, world: &Arc<SimWorld>) {
    let mut worlds = WORLDS.lock().unwrap_or_else(PoisonError::into_inner);
    worlds.retain(|(known, world)| *known != key && world.strong_count() > 0);
    worlds.push((key, Arc::downgrade(world)));
}

fn remembered(key: &str) -> Option<Arc<SimWorld>> {
    let worlds = WORLDS.lock().unwrap_or_else(PoisonError::into_inner);
    worlds.iter().find(|(known, _)| known == key).and_then(|(_, world)| world.upgrade())
}

fn declarations(scenario: &Scenario) -> Vec<Declaration> {
    let both = [Platform::Kubernetes, Platform::Aws];
    let wanted = scenario.expect.iter().flat_map(|expect| both.map(|platform| (expect, platform)));
    wanted.filter_map(|(expect, platform)| declaration(scenario, expect, platform)).collect()
}

/// A version is one image in clusters and another in AWS: each kind of place gets a declaration of its own.
fn declaration(scenario: &Scenario, expect: &SceneExpect, platform: Platform) -> Option<Declaration> {
    let blueprints = Blueprints::new(scenario.service(expect.service.get_ref())?);
    let blueprint = blueprints.of(platform);
    let edition = blueprint.edition(expect.version.get_ref())?;
    let image = edition.template.containers.first()?.image.clone()?;
    let is_meant = |id: &str| expect.places.is_empty() || expect.places.iter().any(|glob| glob_matches(glob, id));
    let places = scenario.places.iter().filter(|place| place.kind == platform && is_meant(place.id.get_ref()));
    let places: Vec<Text> = places.map(|place| Text::new(place.id.get_ref())).collect();
    let service = blueprint.name.clone();
    (!places.is_empty()).then_some(Declaration { service, image, container: None, places })
}

fn policy(scenario: &Scenario) -> Policy {
    let scene = &scenario.policy;
    let mut policy = Policy { order: scene.order.iter().map(|glob| Text::new(glob)).collect(), ..Policy::default() };
    policy.base.floor_percent = scene.floor.map_or(policy.base.floor_percent, |floor| floor.0);
    policy.base.bake = scene.bake.map_or(policy.base.bake, |bake| bake.0);
    policy.watch = Some(scene.watch.map_or(policy.base.bake, |watch| watch.0));
    policy.base.step_timeout = scene.step_timeout.map_or(policy.base.step_timeout, |limit| limit.0);
    let easy = scenario.places.iter().filter(|place| !place.production).map(|place| PolicyRule {
        places: Text::new(place.id.get_ref()),
        confirm: Some(Confirm::YesForSmall),
        ..PolicyRule::default()
    });
    policy.rules.extend(easy);
    policy
}
