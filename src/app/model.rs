//! Everything that the cockpit knows. One struct, few fields: each belongs to one module that alone changes it.
//!
//! Never holds a handle, a channel or a lock.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::auditing::Auditing;
use super::operations::Operations;
use super::record::HealthRecord;
use super::resolving::Resolving;
use super::settings::{Connection, Settings};
use super::signing::Signing;
use super::timeline::Timeline;
use super::ui::Ui;
use crate::domain::fleet::Fleet;
use crate::domain::id::PlaceId;
use crate::domain::plan::{Plan, PlanRequest, Refusal, compose};
use crate::domain::protection::{Protection, Protections};
use crate::domain::release::{Release, Releases};
use crate::domain::text::Text;

/// The whole state.
pub struct Model {
    /// The configuration in force.
    pub settings: Settings,
    /// The time, as the last tick said.
    pub now: Timestamp,
    /// What is known of all places.
    pub fleet: Fleet,
    /// What the journal knows.
    pub operations: Operations,
    /// Locks and quarantines that nobody has lifted, run out or not.
    pub protections: Vec<Protection>,
    /// Which versions were seen healthy, by this process and earlier ones.
    pub health: HealthRecord,
    /// What is asked of registries.
    pub resolving: Resolving,
    /// What is asked of their signatures.
    pub signing: Signing,
    /// What audit logs say of it.
    pub auditing: Auditing,
    /// What happened in the places that are watched.
    pub timeline: Timeline,
    /// What the operator sees.
    pub ui: Ui,
}

impl Model {
    /// At the start: places known, nothing heard.
    pub fn new(settings: Settings, now: Timestamp) -> Model {
        let mut fleet = Fleet::new(settings.declarations.clone());
        fleet.set_registries(settings.registries.clone());
        for place in &settings.places {
            match place.connection {
                Connection::Wanted => fleet.add_place(place.id.clone()),
                Connection::NotConnected => fleet.list_place(place.id.clone()),
            }
        }
        Model {
            settings,
            now,
            fleet,
            operations: Operations::default(),
            protections: Vec::new(),
            health: HealthRecord::default(),
            resolving: Resolving::default(),
            signing: Signing::default(),
            auditing: Auditing::default(),
            timeline: Timeline::default(),
            ui: Ui::new(now),
        }
    }

    /// Has the fleet judge by what is protected at this time.
    pub fn protect(&mut self) {
        self.fleet.set_protections(Protections::holding(&self.protections, self.now));
    }

    /// Has the fleet judge by these releases beside those of the configuration.
    pub fn release(&mut self, added: Vec<Release>) {
        let releases = self.settings.releases.iter().cloned().chain(added);
        self.fleet.set_releases(Releases::new(releases.collect()));
        self.ui.redraw.rows = true;
    }

    /// Why this process must not drive a plan; `None` if it may. Who can't act in all its places would only end it.
    pub fn why_not_drive(&self, plan: &Plan) -> Option<Text> {
        plan.waves.iter().find_map(|wave| {
            let is_known = self.settings.places.iter().any(|setting| setting.id == wave.place);
            match self.settings.read_only(&wave.place) {
                Some(why) => Some(Text::new(&format!("{} is read only here: {why}", wave.place))),
                None if !is_known => {
                    Some(Text::new(&format!("{} is not among the places of this process", wave.place)))
                }
                None => None,
            }
        })
    }

    /// Why nothing may be asked of an operation from here; `None` if it may. Whoever drives it would act on it.
    pub fn why_not_ask(&self, plan: &Plan) -> Option<Text> {
        plan.waves.iter().find_map(|wave| {
            let why = self.settings.read_only(&wave.place)?;
            Some(Text::new(&format!("{} is read only here: {why}", wave.place)))
        })
    }

    /// Makes a plan from what is known now.
    pub(crate) fn drawn(&self, request: &PlanRequest) -> Plan {
        let mut plan = compose(request, &self.fleet, &self.settings.policy, self.now, &|id| self.operations.busy(id));
        plan.look_at_others(&self.fleet, self.now, &|id| self.operations.get(id).is_some());
        plan.look_at_signatures(&self.fleet);
        plan
    }

    /// Makes a plan from what is known now, with what only this process knows: what is read-only here, and which
    /// operations run.
    pub fn plan(&self, request: &PlanRequest) -> Plan {
        let mut plan = self.drawn(request);
        let places: BTreeSet<&PlaceId> = plan.waves.iter().map(|wave| &wave.place).collect();
        let refusals = places.into_iter().filter_map(|place| {
            Some(Refusal {
                place: Some(place.clone()),
                workload: None,
                reason: self.settings.read_only(place)?.clone(),
                hint: Text::new("start rolldeck without read-only to change anything"),
            })
        });
        let refusals: Vec<Refusal> = refusals.collect();
        plan.refusals.extend(refusals);
        plan
    }
}
