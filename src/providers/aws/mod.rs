//! AWS: one place is one account and region. Auto Scaling groups and their machines, ECS services and their tasks.
//!
//! Never stores a credential and never changes anything but through `Writes`, which exists only where mutations are
//! allowed. Start with `watch` (what is there), then `convert` (pure), then `operate` (the one request of a step).

mod commands;
mod connect;
mod convert;
mod ecr;
mod fault;
mod fields;
mod groups;
mod inspect;
mod lookup;
mod lost;
mod operate;
mod profiles;
mod read;
mod report;
mod services;
mod settings;
mod tasks;
mod templates;
mod trail;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use aws_runtime::env_config::file::EnvConfigFileKind;
use tokio::sync::Notify;

use super::setting::misconfigured;
use super::{
    Answer, ConnectError, Connected, Kind, Mutations, Operator, Order, PlaceSpec, Provider, SettingFault, Sink,
    Surroundings, Table, Work,
};
use crate::domain::anatomy::{Anatomy, Specimen};
use crate::domain::audit::{Audit, AuditQuestion};
use crate::domain::expectation::ServiceKeys;
use crate::domain::plan::{Inspection, Step};
use connect::{Link, Reads, Writes};
use settings::Settings;
use watch::Watch;

/// The kind.
pub const KIND: Kind = Kind {
    name: "aws",
    discover: profiles::discover,
    default_id: profiles::default_id,
    check,
    connect,
    expand: profiles::expand,
    registry_key: ecr::registry_key,
};

/// What reads an account and region. Holds nothing that could change it.
struct Region {
    reads: Reads,
    keys: ServiceKeys,
    mutations: Mutations,
    every: Option<Duration>,
    acted: Arc<Notify>,
}

/// What changes an account and region. Made only where mutations are allowed.
struct Hands {
    reads: Reads,
    writes: Writes,
    keys: ServiceKeys,
    acted: Arc<Notify>,
}

impl Provider for Region {
    fn watch(self: Arc<Self>, sink: Sink) -> Work<()> {
        Box::pin(async move {
            let Region { reads, keys, mutations, every, acted } = &*self;
            watch::watch(Watch { reads, keys, mutations: *mutations, every: *every, acted }, sink).await;
        })
    }

    fn inspect(self: Arc<Self>, step: Step) -> Work<Inspection> {
        Box::pin(async move { inspect::inspect(&self.reads, &self.keys, &step).await })
    }

    fn dissect(self: Arc<Self>, specimen: Specimen) -> Work<Anatomy> {
        Box::pin(async move { fields::of(&self.reads, &self.keys, &specimen).await })
    }

    fn audit(self: Arc<Self>, questions: Vec<AuditQuestion>) -> Work<Vec<Audit>> {
        Box::pin(async move { trail::audit(&self.reads, &questions).await })
    }
}

impl Operator for Hands {
    fn rehearse(self: Arc<Self>, step: Step) -> Work<Inspection> {
        Box::pin(async move { inspect::rehearse(&self.reads, &self.writes, &self.keys, &step).await })
    }

    fn execute(self: Arc<Self>, order: Order) -> Work<Answer> {
        Box::pin(async move {
            let answer = operate::execute(&self.reads, &self.writes, &self.keys, &order).await;
            // Whatever came of it: what is there now must be read again, and a look under way may be too old.
            self.acted.notify_one();
            answer
        })
    }
}

fn check(settings: &Table) -> Vec<SettingFault> {
    Settings::parse(settings).err().unwrap_or_default()
}

fn connect(spec: PlaceSpec, surroundings: Surroundings, mutations: Mutations) -> Result<Connected, ConnectError> {
    // Where its globs and names mean nothing, the place is shown with that.
    profiles::expand(&spec.settings, &surroundings).map_err(|why| ConnectError {
        what: format!("{} is not configured as it must be: {why}", spec.id),
        hint: "correct the settings of the place, or AWS_PROFILE".to_string(),
    })?;
    let settings = Settings::parse(&spec.settings).map_err(|faults| misconfigured(&spec.id, &faults))?;
    let of_profile = || profiles::region_of(settings.profile.as_deref()?, &surroundings.aws);
    let region = settings.region.clone().or_else(of_profile).or_else(|| surroundings.aws.region.clone());
    let every = settings.refresh;
    let service_keys = surroundings.service_keys.clone();
    let link = Arc::new(link(settings, region, &surroundings));
    let (reads, keys, acted) = (Reads::new(link.clone()), service_keys, Arc::new(Notify::new()));
    let operator = Writes::new(link, mutations).map(|writes| {
        let hands = Hands { reads: reads.clone(), writes, keys: keys.clone(), acted: acted.clone() };
        Arc::new(hands) as Arc<dyn Operator>
    });
    Ok(Connected { provider: Arc::new(Region { reads, keys, mutations, every, acted }), operator })
}

/// How a place with these settings is reached.
fn link(settings: Settings, region: Option<String>, surroundings: &Surroundings) -> Link {
    let files = [
        (EnvConfigFileKind::Config, surroundings.aws.config_file.clone()),
        (EnvConfigFileKind::Credentials, surroundings.aws.credentials_file.clone()),
    ];
    Link {
        profile: settings.profile,
        region,
        role_arn: settings.role_arn,
        endpoint_url: settings.endpoint_url,
        files: files.into_iter().filter_map(|(kind, file)| Some((kind, file?))).collect(),
        helper: surroundings.aws.helper.clone(),
        ..Link::default()
    }
}
