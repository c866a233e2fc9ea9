//! Which places are asked: those of the configuration, else what the surroundings have in force, narrowed by options.
//!
//! Never connects anything. Every other place that is known is listed as not connected, and why a choice fell is told.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde_json::{Map, Value};

use super::away;
use super::cli::Options;
use super::config::{Config, ConfiguredPlace};
use super::credential_process;
use crate::app::settings::{Access, Connection, PlaceSetting};
use crate::domain::id::PlaceId;
use crate::domain::policy::{Confirm, Policy, PolicyRule};
use crate::domain::selector::glob_matches;
use crate::domain::text::Text;
use crate::providers::{AwsSurroundings, Found, Helpers, KINDS, PlaceSpec, Standing, Surroundings};
use crate::runtime::terminal::end_group;

/// The places of this run.
#[derive(Debug, Default)]
pub struct Chosen {
    /// What each needs to be connected.
    pub specs: Vec<PlaceSpec>,
    /// What the pure side is told of each, in the same order.
    pub settings: Vec<PlaceSetting>,
    /// What was found wrong on the way.
    pub notices: Vec<Text>,
    /// Why places of the configuration can't be asked.
    pub faults: Vec<String>,
}

/// The surroundings of this process.
pub fn surroundings(options: &Options, config: &Config) -> Surroundings {
    let kubeconfigs: Vec<PathBuf> = match (&options.kubeconfig, std::env::var_os("KUBECONFIG")) {
        (Some(file), _) => vec![file.clone()],
        (None, Some(list)) if !list.is_empty() => {
            std::env::split_paths(&list).filter(|path| !path.as_os_str().is_empty()).collect()
        }
        _ => home().map(|home| home.join(".kube/config")).filter(|path| path.exists()).into_iter().collect(),
    };
    let service_keys = config.service_keys.clone();
    Surroundings {
        kubeconfigs,
        aws: aws_surroundings(),
        service_keys,
        helpers: Helpers { start: away::command, end: end_group },
    }
}

/// What AWS's own tools read first (AWS SDKs and Tools Reference Guide, "Environment variables").
fn aws_surroundings() -> AwsSurroundings {
    let text = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let file = |name: &str, below_home: &str| {
        text(name).map(PathBuf::from).or_else(|| home().map(|home| home.join(below_home)))
    };
    /// What the firmware says of its maker (EC2 User Guide, "Detect whether a host is an EC2 instance"): asks no network.
    const VENDOR: &str = "/sys/devices/virtual/dmi/id/sys_vendor";
    const KEYS: [&str; 4] = [
        "AWS_ACCESS_KEY_ID",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    ];
    AwsSurroundings {
        config_file: file("AWS_CONFIG_FILE", ".aws/config"),
        credentials_file: file("AWS_SHARED_CREDENTIALS_FILE", ".aws/credentials"),
        profile: text("AWS_PROFILE"),
        region: text("AWS_REGION").or_else(|| text("AWS_DEFAULT_REGION")),
        has_keys: KEYS.into_iter().any(|name| text(name).is_some()),
        helper: credential_process::helper(),
        is_machine: std::fs::read_to_string(VENDOR).is_ok_and(|vendor| vendor.trim() == "Amazon EC2"),
    }
}

/// Chooses.
///
/// # Errors
/// What the operator asked for and does not exist, with what there is.
pub fn choose(
    options: &Options,
    config: &Config,
    surroundings: &Surroundings,
    policy: &mut Policy,
) -> Result<Chosen, String> {
    let mut found: Vec<Found> = KINDS.iter().flat_map(|kind| (kind.discover)(surroundings)).collect();
    found.sort_by_key(|found| found.standing == Standing::LastResort);
    let mut chosen = Chosen::default();
    let mut known: BTreeSet<PlaceId> = BTreeSet::new();
    for place in &config.places {
        let access = if place.read_only {
            Access::ReadOnly(Text::new("the configuration makes this place read-only"))
        } else {
            Access::Operable
        };
        let connection = wanted(options, Connection::Wanted, &place.kind.context(&place.settings));
        let expanded = specs(place, surroundings).unwrap_or_else(|why| {
            // One table that means nothing takes no other place down: it is shown with its fault.
            chosen.faults.push(why);
            let id =
                place.id.clone().unwrap_or_else(|| Text::new(&(place.kind.default_id)(&place.settings, surroundings)));
            vec![PlaceSpec { id: PlaceId(id), kind: place.kind.name, settings: place.settings.clone() }]
        });
        for spec in expanded {
            if !known.insert(spec.id.clone()) {
                return Err(format!("two places are called {}; give one of them another `id`", spec.id));
            }
            if place.confirm == Confirm::YesForSmall {
                policy.rules.push(exception(&spec.id));
            }
            chosen.add(spec, access.clone(), connection);
        }
    }
    let from_config = !config.places.is_empty();
    for found in found {
        let context = context_of(&found.spec);
        if known.contains(&found.spec.id)
            || (from_config && config.places.iter().any(|place| is_same(place, &found.spec)))
        {
            continue;
        }
        known.insert(found.spec.id.clone());
        match found.standing {
            Standing::Broken(why) => {
                chosen.notices.push(Text::new(&format!("{}: {why}", found.spec.id)));
                chosen.add(found.spec, Access::Operable, Connection::Wanted);
            }
            Standing::Current if !from_config => {
                chosen.add(found.spec, Access::Operable, wanted(options, Connection::Wanted, &context));
            }
            Standing::LastResort
                if chosen.settings.iter().all(|known| known.connection == Connection::NotConnected) =>
            {
                chosen.add(found.spec, Access::Operable, wanted(options, Connection::Wanted, &context));
            }
            Standing::Current | Standing::Other | Standing::LastResort => {
                let asked = options.all_contexts && context.is_some();
                let base = if asked { Connection::Wanted } else { Connection::NotConnected };
                chosen.add(found.spec, Access::Operable, wanted(options, base, &context));
            }
        }
    }
    check_names(options, &chosen)?;
    Ok(chosen)
}

/// The places that one table of the configuration means. Where those are several, its `id` is what their own begin with.
fn specs(place: &ConfiguredPlace, surroundings: &Surroundings) -> Result<Vec<PlaceSpec>, String> {
    let mut tables = (place.kind.expand)(&place.settings, surroundings)?;
    let is_one = tables.len() == 1;
    let named = |settings: &Map<String, Value>| {
        let own = (place.kind.default_id)(settings, surroundings);
        match &place.id {
            Some(id) if is_one => id.clone(),
            Some(id) => Text::new(&format!("{id}/{}", own.split_once('/').map_or(own.as_str(), |(_, rest)| rest))),
            None => Text::new(&own),
        }
    };
    tables.iter_mut().for_each(|settings| settings.retain(|_, value| !value.is_null()));
    let spec = |settings| PlaceSpec { id: PlaceId(named(&settings)), kind: place.kind.name, settings };
    Ok(tables.into_iter().map(spec).collect())
}

impl Chosen {
    fn add(&mut self, spec: PlaceSpec, access: Access, connection: Connection) {
        let setting = PlaceSetting { id: spec.id.clone(), kind: Text::new(spec.kind), access, connection };
        self.settings.push(setting);
        self.specs.push(spec);
    }
}

/// Options exclude all that they do not name.
fn wanted(options: &Options, base: Connection, context: &Option<String>) -> Connection {
    if options.context.is_empty() {
        return base;
    }
    match context {
        Some(context) if options.context.contains(context) => Connection::Wanted,
        _ => Connection::NotConnected,
    }
}

fn check_names(options: &Options, chosen: &Chosen) -> Result<(), String> {
    let contexts: Vec<String> = chosen.specs.iter().filter_map(context_of).collect();
    if let Some(missing) = options.context.iter().find(|name| !contexts.contains(name)) {
        let list = if contexts.is_empty() { "none".to_string() } else { contexts.join(", ") };
        return Err(format!("there is no context {missing}; known contexts: {list}"));
    }
    Ok(())
}

/// Applies `--place`: what does not match is not asked.
///
/// # Errors
/// A glob that matches no place, with the places that there are.
pub fn narrow(options: &Options, settings: &mut [PlaceSetting]) -> Result<(), String> {
    for glob in &options.place {
        if !settings.iter().any(|setting| glob_matches(glob, &setting.id.0)) {
            let ids: Vec<&str> = settings.iter().map(|setting| setting.id.0.as_str()).collect();
            return Err(format!("no place matches {glob}; known places: {}", ids.join(", ")));
        }
    }
    if !options.place.is_empty() {
        for setting in settings.iter_mut() {
            let matches = options.place.iter().any(|glob| glob_matches(glob, &setting.id.0));
            setting.connection = if matches { Connection::Wanted } else { Connection::NotConnected };
        }
    }
    Ok(())
}

/// The home directory of the user.
pub fn home() -> Option<PathBuf> {
    std::env::var_os("HOME").filter(|home| !home.is_empty()).map(PathBuf::from)
}

/// A directory of the XDG base directory specification, with its default below the home directory.
pub fn xdg(variable: &str, below_home: &str) -> Option<PathBuf> {
    let set = std::env::var_os(variable).map(PathBuf::from).filter(|path| path.is_absolute());
    set.or_else(|| home().map(|home| home.join(below_home)))
}

fn exception(id: &PlaceId) -> PolicyRule {
    PolicyRule { places: id.0.clone(), confirm: Some(Confirm::YesForSmall), ..PolicyRule::default() }
}

fn context_of(spec: &PlaceSpec) -> Option<String> {
    crate::providers::kind(spec.kind).and_then(|kind| kind.context(&spec.settings))
}

fn is_same(place: &ConfiguredPlace, found: &PlaceSpec) -> bool {
    let context = context_of(found);
    place.kind.name == found.kind && context.is_some() && place.kind.context(&place.settings) == context
}
