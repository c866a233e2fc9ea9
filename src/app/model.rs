//! Everything that the cockpit knows. One struct, few fields: each belongs to one module that alone changes it.
//!
//! Never holds a handle, a channel or a lock.

use jiff::Timestamp;

use super::operations::Operations;
use super::settings::Settings;
use super::ui::Ui;
use crate::domain::fleet::Fleet;

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
    /// What the operator sees.
    pub ui: Ui,
}

impl Model {
    /// At the start: places known, nothing heard.
    pub fn new(settings: Settings, now: Timestamp) -> Model {
        let mut fleet = Fleet::new(settings.declarations.clone());
        for place in &settings.places {
            fleet.add_place(place.id.clone());
        }
        Model { settings, now, fleet, operations: Operations::default(), ui: Ui::new(now) }
    }
}
