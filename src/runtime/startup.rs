//! From the command line to a running session: configuration, places, store, model.
//!
//! Never opens the terminal. What can't be used stops here with what to do; what can only be read opens read-only and
//! says why.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, anyhow};
use jiff::Timestamp;

use super::cli::Options;
use super::config::{self, Config};
use super::look::look;
use super::places::{self, Chosen};
use super::registries;
use super::releases;
use super::session::{Clock, Places, Session, channel};
use super::store::{Beginning, Journal, Locks, Observations, Replayed, Store, StoreError, prepare, this_driver};
use crate::app::model::Model;
use crate::app::record::HealthRecord;
use crate::app::settings::{Access, Connection, PlaceSetting, Settings};
use crate::app::timeline::{Kept, Timeline};
use crate::domain::expectation::ServiceKeys;
use crate::domain::id::{OperationId, PlaceId};
use crate::domain::journal::Record;
use crate::domain::release::Release;
use crate::domain::selector::glob_matches;
use crate::domain::text::Text;
use crate::domain::timeline::Retention;
use crate::providers::sim::{self, SimWorld};
use crate::providers::{PlaceSpec, Surroundings};
use crate::registry::Registries;

/// Everything that was read before anything is connected.
pub struct Prepared {
    /// What the pure side is told.
    pub settings: Settings,
    /// What each place needs to be connected.
    pub specs: Vec<PlaceSpec>,
    /// What surrounds the process.
    pub surroundings: Surroundings,
    /// Where journal and log are kept.
    pub state_dir: PathBuf,
    /// How much of the timeline is kept.
    pub retention: Retention,
    /// Where the time comes from.
    pub clock: Clock,
    /// What a simulated fleet lives in.
    pub world: Option<Arc<SimWorld>>,
    /// The registries that may be asked, if any may.
    pub registries: Option<Registries>,
}

/// Whether the store works beside the loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stepping {
    /// In a thread of its own, as programs want it.
    Live,
    /// Within the loop, as tests want it whose time is stepped.
    Inline,
}

/// Reads the configuration that the options name, or the usual one if it exists.
///
/// # Errors
/// Every fault of the file, or that a named file does not exist.
pub fn read_config(options: &Options) -> anyhow::Result<Config> {
    let usual = || places::xdg("XDG_CONFIG_HOME", ".config").map(|base| base.join("rolldeck/config.toml"));
    match &options.config {
        Some(file) => Ok(config::read(file)?),
        None => match usual().filter(|file| file.exists()) {
            Some(file) => Ok(config::read(&file)?),
            None => Ok(config::defaults()),
        },
    }
}

/// Looks at the configuration and at what it means here; the places that it names.
///
/// # Errors
/// Every fault, with what to do.
pub fn check_config(options: &Options) -> anyhow::Result<String> {
    let config = read_config(options)?;
    read_releases(&config)?;
    let surroundings = places::surroundings(options, &config);
    let mut policy = config.policy.clone();
    let chosen = places::choose(options, &config, &surroundings, &mut policy).map_err(|error| anyhow!(error))?;
    let file = config.file.map_or("no configuration file; defaults".to_string(), |file| file.display().to_string());
    if !chosen.faults.is_empty() {
        return Err(anyhow!("{file}: {}", chosen.faults.join("\n")));
    }
    let asked = chosen.settings.iter().filter(|setting| setting.connection == Connection::Wanted);
    let ids: Vec<&str> = asked.map(|setting| setting.id.0.as_str()).collect();
    let known: Vec<&PlaceId> = chosen.settings.iter().map(|setting| &setting.id).collect();
    let idle: Vec<&str> = policy.globs().filter(|glob| !known.iter().any(|id| glob_matches(glob, &id.0))).collect();
    let idle = match idle.is_empty() {
        true => String::new(),
        false => format!("; no place is called {} here, as [policy] names them", idle.join(", ")),
    };
    Ok(match ids.is_empty() {
        true => format!("{file}: ok; there is no place that it would ask{idle}"),
        false => format!("{file}: ok; asks {}{idle}", ids.join(", ")),
    })
}

/// Reads everything that a session needs. Must run inside the runtime.
///
/// # Errors
/// What is wrong with the configuration, the options or the state directory, and what to do.
pub fn prepare_session(options: &Options) -> anyhow::Result<Prepared> {
    if let Some(scenario) = &options.demo {
        return prepare_demo(options, scenario);
    }
    let config = read_config(options)?;
    let state_dir = state_dir_of(options)?;
    let mut policy = config.policy.clone();
    let surroundings = places::surroundings(options, &config);
    let Chosen { specs, mut settings, notices, .. } =
        places::choose(options, &config, &surroundings, &mut policy).map_err(|error| anyhow!(error))?;
    places::narrow(options, &mut settings).map_err(|error| anyhow!(error))?;
    if !settings.iter().any(|setting| setting.connection == Connection::Wanted) {
        let keys = match surroundings.aws.has_keys {
            true => "; there are keys for AWS in the environment: set AWS_REGION to use them",
            false => "",
        };
        return Err(anyhow!(
            "there is no place to look at: no [[places]] in the configuration, no current context in a kubeconfig, no \
             profile of AWS in force; name one with --context or AWS_PROFILE, or try `rolldeck demo`{keys}"
        ));
    }
    let clock = Clock::System;
    let releases = read_releases(&config)?;
    let is_wanted = |spec: &&PlaceSpec| {
        settings.iter().any(|setting| setting.id == spec.id && setting.connection == Connection::Wanted)
    };
    let looked_at = specs.iter().filter(is_wanted).cloned().collect();
    let registries = registries::connect(&config.registries, looked_at, surroundings.clone())
        .map_err(|error| anyhow!("registries can't be asked: {error}"))?;
    let settings = Settings {
        policy,
        declarations: config.declarations,
        service_keys: config.service_keys,
        places: settings,
        releases,
        registries: config.registries.iter().map(|registry| registry.host.clone()).collect(),
        access: access(options),
        driver: this_driver(clock.now()),
        incident: options.incident.as_deref().map(Text::new),
        notices,
        scenario: None,
        look: look(options)?,
    };
    Ok(Prepared {
        settings,
        specs,
        surroundings,
        state_dir,
        retention: config.retention,
        clock,
        world: None,
        registries,
    })
}

/// What the files of the configuration say of versions; a path that is not absolute is beside the configuration.
fn read_releases(config: &Config) -> anyhow::Result<Vec<Release>> {
    let beside = config.file.as_deref().and_then(Path::parent).unwrap_or(Path::new(""));
    let read = |file: &PathBuf| releases::read(&beside.join(file), &releases::Hints::default());
    let releases: Vec<Vec<Release>> = config.release_files.iter().map(read).collect::<anyhow::Result<_>>()?;
    Ok(releases.into_iter().flatten().collect())
}

/// The same for a simulated fleet. It has a state directory of its own: its operations are no record of real ones.
fn prepare_demo(options: &Options, scenario: &str) -> anyhow::Result<Prepared> {
    let state_dir = state_dir_of(options)?;
    let base = Timestamp::now();
    let clock = Clock::runtime(base);
    let demo = sim::open(scenario, base)?;
    let setting = |spec: &PlaceSpec| PlaceSetting {
        id: spec.id.clone(),
        kind: Text::new(spec.kind),
        access: Access::Operable,
        connection: Connection::Wanted,
    };
    let mut places: Vec<PlaceSetting> = demo.places.iter().map(setting).collect();
    places::narrow(options, &mut places).map_err(|error| anyhow!(error))?;
    // A configuration that is named is obeyed, as far as a simulated fleet has a use for it; the usual one is about real places.
    let policy = match &options.config {
        Some(file) => config::read(file)?.policy,
        None => demo.policy,
    };
    let settings = Settings {
        policy,
        declarations: demo.declarations,
        service_keys: ServiceKeys::default(),
        places,
        releases: Vec::new(),
        registries: Vec::new(),
        access: access(options),
        driver: this_driver(base),
        incident: options.incident.as_deref().map(Text::new),
        notices: Vec::new(),
        scenario: Some(Text::new(&demo.scenario.name)),
        look: look(options)?,
    };
    let surroundings = Surroundings::default();
    let retention = Retention::default();
    Ok(Prepared {
        settings,
        specs: demo.places,
        surroundings,
        state_dir,
        retention,
        clock,
        world: Some(demo.world),
        registries: None,
    })
}

fn access(options: &Options) -> Access {
    if options.read_only { Access::ReadOnly(Text::new("started with --read-only")) } else { Access::Operable }
}

/// Opens the store and starts the session: places begin to answer from here on. A journal that can't be used, or not for
/// writing, opens the session read-only and says why.
///
/// # Errors
/// That the state directory lies where locks do not hold, or that the system gives no thread.
pub fn open(prepared: Prepared, stepping: Stepping) -> anyhow::Result<Session> {
    let Prepared { mut settings, specs, surroundings, state_dir, retention, clock, world, registries } = prepared;
    let queue = channel();
    let Opened { journal, locks, records } = open_journal(&state_dir)?;
    if let Err(fault) = &journal {
        let why = Text::new(&format!("read-only because of the journal: {fault}"));
        settings.notices.push(why.clone());
        settings.access = Access::ReadOnly(why);
    }
    let observations = match Observations::open(&state_dir) {
        Ok((observations, note)) => {
            settings.notices.extend(note);
            Some(observations)
        }
        Err(_) if journal.is_err() => None,
        Err(error) => {
            settings.notices.push(Text::new(&format!("no record of healthy versions is kept: {error}")));
            None
        }
    };
    let mut observations = observations;
    let kept = match (&mut observations, &settings.scenario) {
        // A simulated fleet begins anew each time: what was seen of another one says nothing of it.
        (Some(observations), Some(_)) => observations.begin_anew().map(|()| Kept::default()),
        (Some(observations), None) => observations.kept(),
        (None, _) => Ok(Kept::default()),
    };
    let kept = kept.unwrap_or_else(|error| {
        settings.notices.push(Text::new(&format!("the timeline begins anew: {error}")));
        Kept::default()
    });
    let earlier = observations.as_ref().and_then(|observations| observations.read().ok()).unwrap_or_default();
    let driver = settings.driver.clone();
    let mut model = Model::new(settings, clock.now());
    let last = records.last().map_or(0, |record| record.sequence);
    model.operations.replay(records, |operation| locks.look(operation));
    model.health = HealthRecord::of(earlier);
    model.timeline = Timeline::of(kept, retention);
    match journal.as_ref().map(Journal::protections) {
        Ok(Ok(protections)) => model.protections = protections,
        // What can't be read protects nothing: then nothing is operated either.
        Ok(Err(fault)) => {
            let why = Text::new(&format!("read-only because locks and quarantines can't be read: {fault}"));
            model.settings.notices.push(why.clone());
            model.settings.access = Access::ReadOnly(why);
        }
        Err(_) => {}
    }
    model.protect();
    let added = journal.as_ref().map_or(Ok(Vec::new()), Journal::releases).unwrap_or_else(|fault| {
        model.settings.notices.push(Text::new(&format!("releases that were added can't be read: {fault}")));
        Vec::new()
    });
    model.release(added);
    model.operations.teach(&mut model.fleet, model.health.known());
    let open = model.operations.iter().filter(|tracked| tracked.operation.ended.is_none());
    let open: Vec<OperationId> = open.map(|tracked| tracked.operation.id.clone()).collect();
    let store = match journal {
        Ok(journal) => {
            let beginning = Beginning { journal, locks, observations, driver, events: queue.0.clone(), last, open };
            match stepping {
                Stepping::Live => Store::start(beginning)?,
                Stepping::Inline => Store::inline(beginning),
            }
        }
        Err(_) => Store::absent(),
    };
    Ok(Session::start(model, Places { specs, surroundings, world, registries }, store, clock, queue))
}

/// The journal as it could be opened.
pub struct Opened {
    /// For writing, or why it can't be written.
    pub journal: Result<Journal, String>,
    /// The locks beside it.
    pub locks: Locks,
    /// Every entry that could be read.
    pub records: Vec<Record>,
}

/// Opens the journal for writing, and reads it even where it can't be written.
///
/// # Errors
/// That the state directory lies where locks do not hold.
pub fn open_journal(state_dir: &Path) -> anyhow::Result<Opened> {
    let made = match prepare(state_dir) {
        Err(error @ StoreError::Network(..)) => return Err(error.into()),
        made => made,
    };
    let locks = Locks::of(state_dir);
    let opened = made.and_then(|()| locks.prepare()).and_then(|()| Journal::open(state_dir));
    // A journal with an entry that can't be understood is not written to: what it says of other operations is shown.
    let (journal, fault) = match opened {
        Ok(journal) => (Ok(journal), None),
        Err(error) => (Journal::open_to_read(state_dir), Some(error.to_string())),
    };
    let replayed = journal.as_ref().ok().map(|journal| journal.replay_readable(0));
    let (records, unread) = match replayed {
        Some(Ok(Replayed { records, faults })) => (records, faults.first().map(ToString::to_string)),
        Some(Err(error)) => (Vec::new(), Some(error.to_string())),
        None => (Vec::new(), None),
    };
    let journal = match (fault.or(unread), journal) {
        (Some(fault), _) => Err(fault),
        (None, journal) => journal.map_err(|error| error.to_string()),
    };
    Ok(Opened { journal, locks, records })
}

/// The state directory that the options name, or the usual one.
///
/// # Errors
/// That no home directory is known.
pub fn state_dir_of(options: &Options) -> anyhow::Result<PathBuf> {
    if let Some(directory) = &options.state_dir {
        return Ok(directory.clone());
    }
    let base = places::xdg("XDG_STATE_HOME", ".local/state")
        .context("no home directory is known; name one with --state-dir")?;
    Ok(if options.demo.is_some() { base.join("rolldeck/demo") } else { base.join("rolldeck") })
}
