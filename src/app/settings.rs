//! The configuration in force, as data. Read once at the start; nothing reads a file or the environment after that.
//!
//! Never holds a secret: what providers need to sign in stays with them.

use super::keymap::Keymap;
use super::theme::Theme;
use crate::domain::expectation::{Declaration, ServiceKeys};
use crate::domain::id::PlaceId;
use crate::domain::journal::Driver;
use crate::domain::policy::Policy;
use crate::domain::release::Release;
use crate::domain::text::Text;

/// Everything that the pure side is told about its surroundings.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How careful operations are.
    pub policy: Policy,
    /// What should run, as declared.
    pub declarations: Vec<Declaration>,
    /// Which labels name the service.
    pub service_keys: ServiceKeys,
    /// Every known place.
    pub places: Vec<PlaceSetting>,
    /// The releases that files of the configuration name.
    pub releases: Vec<Release>,
    /// Which registries are asked: globs over their hosts.
    pub registries: Vec<Text>,
    /// Whether anything may be changed at all.
    pub access: Access,
    /// Who drives operations of this process.
    pub driver: Driver,
    /// The incident that new operations belong to.
    pub incident: Option<Text>,
    /// What was assumed because of a fault; shown, never silent.
    pub notices: Vec<Text>,
    /// The name of the simulated fleet, if it is one.
    pub scenario: Option<Text>,
    /// Keys and colours.
    pub look: Look,
}

/// How the cockpit looks and which keys it knows.
#[derive(Clone, Debug, Default)]
pub struct Look {
    /// A style for each meaning.
    pub theme: Theme,
    /// Which keys mean which command.
    pub keymap: Keymap,
}

/// One known place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlaceSetting {
    /// Its id.
    pub id: PlaceId,
    /// The name of its kind.
    pub kind: Text,
    /// Whether anything may be changed there.
    pub access: Access,
    /// Whether it is asked at all.
    pub connection: Connection,
}

/// Whether a place is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connection {
    /// From the start.
    Wanted,
    /// Known and one key away.
    NotConnected,
}

/// Whether something may be changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Access {
    /// By confirmed plans.
    Operable,
    /// No request that changes something exists in this process; the text says who decided that.
    ReadOnly(Text),
}

impl Settings {
    /// Why nothing may be changed in a place, if so.
    pub fn read_only(&self, place: &PlaceId) -> Option<&Text> {
        let own = self.places.iter().find(|setting| setting.id == *place).map(|setting| &setting.access);
        match (&self.access, own) {
            (Access::ReadOnly(why), _) | (Access::Operable, Some(Access::ReadOnly(why))) => Some(why),
            (Access::Operable, Some(Access::Operable) | None) => None,
        }
    }
}
