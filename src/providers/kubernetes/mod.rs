//! Kubernetes: one place is one context of a kubeconfig.
//!
//! Never stores a credential and never changes anything but through `Writes`, which exists only where mutations are
//! allowed. Start with `watch` (what is there), then `convert` (pure), then `operate` (the one request of a step).

mod client;
mod connect;
mod convert;
mod diff;
mod discover;
mod exec_auth;
mod feed;
mod fields;
mod inspect;
mod keepers;
mod known;
mod lookup;
mod lost;
mod operate;
mod requests;
mod rollouts;
mod settings;
mod slim;
mod stream;
mod transport;
mod watch;

use std::sync::Arc;

use serde_json::{Map, Value};

use super::setting::misconfigured;
use super::{
    Answer, ConnectError, Connected, Found, Kind, Mutations, Operator, Order, PlaceSpec, Provider, SettingFault, Sink,
    Surroundings, Work, no_audit,
};
use crate::domain::anatomy::{Anatomy, Origin, Specimen};
use crate::domain::audit::{Audit, AuditQuestion};
use crate::domain::expectation::ServiceKeys;
use crate::domain::plan::{Inspection, Step};
use crate::domain::text::Text;
use client::{Reads, Writes};
use connect::Link;
use settings::Settings;

/// The kind.
pub const KIND: Kind = Kind {
    name: "kubernetes",
    discover: discover::discover,
    default_id: discover::default_id,
    check,
    connect,
    expand: super::alone,
    registry_key: crate::providers::no_registry,
};

/// What reads a cluster. Holds nothing that could change it.
struct Cluster {
    reads: Reads,
    settings: Settings,
    service_keys: ServiceKeys,
    mutations: Mutations,
}

/// What changes a cluster. Made only where mutations are allowed.
struct Hands {
    reads: Reads,
    writes: Writes,
    service_keys: ServiceKeys,
}

impl Provider for Cluster {
    fn watch(self: Arc<Self>, sink: Sink) -> Work<()> {
        Box::pin(
            async move { watch::watch(&self.reads, &self.settings, &self.service_keys, self.mutations, sink).await },
        )
    }

    fn inspect(self: Arc<Self>, step: Step) -> Work<Inspection> {
        Box::pin(async move { inspect::inspect(&self.reads, &self.service_keys, &step).await })
    }

    fn dissect(self: Arc<Self>, specimen: Specimen) -> Work<Anatomy> {
        Box::pin(async move {
            let template = lookup::template(&self.reads, &self.service_keys, &specimen).await;
            let fields = template.map(|template| fields::of_template(&template, &specimen.main));
            Anatomy::of(Origin::Template, fields.map_err(|fault| Text::new(&fault.to_string())))
        })
    }

    fn audit(self: Arc<Self>, questions: Vec<AuditQuestion>) -> Work<Vec<Audit>> {
        // It is written to files or sent away by the API server, which has no way to read it (Kubernetes documentation, "Auditing").
        let why =
            "an API server can't be asked for its audit log; who is known comes from managed fields and annotations";
        Box::pin(async move { no_audit(&questions, why) })
    }
}

impl Operator for Hands {
    fn rehearse(self: Arc<Self>, step: Step) -> Work<Inspection> {
        Box::pin(async move { inspect::rehearse(&self.reads, &self.writes, &self.service_keys, &step).await })
    }

    fn execute(self: Arc<Self>, order: Order) -> Work<Answer> {
        Box::pin(async move { operate::execute(&self.reads, &self.writes, &self.service_keys, &order).await })
    }
}

fn check(settings: &Map<String, Value>) -> Vec<SettingFault> {
    Settings::parse(settings).err().unwrap_or_default()
}

fn connect(spec: PlaceSpec, surroundings: Surroundings, mutations: Mutations) -> Result<Connected, ConnectError> {
    let settings = Settings::parse(&spec.settings).map_err(|faults| misconfigured(&spec.id, &faults))?;
    let files = settings.kubeconfig.clone().map_or(surroundings.kubeconfigs, |file| vec![file]);
    let link = Arc::new(Link::new(files, settings.context.clone(), surroundings.helpers));
    let reads = Reads::new(link.clone());
    let service_keys = surroundings.service_keys;
    let operator = Writes::new(link, mutations).map(|writes| {
        let hands = Hands { reads: reads.clone(), writes, service_keys: service_keys.clone() };
        Arc::new(hands) as Arc<dyn Operator>
    });
    Ok(Connected { provider: Arc::new(Cluster { reads, settings, service_keys, mutations }), operator })
}
