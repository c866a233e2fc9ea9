//! A model for unit tests of this ring: no place, nothing heard.
//!
//! Never used outside tests.

use jiff::Timestamp;

use super::model::Model;
use super::settings::{Access, Look, Settings};
use crate::domain::expectation::ServiceKeys;
use crate::domain::journal::Driver;
use crate::domain::policy::Policy;
use crate::domain::text::Text;

/// A model that knows nothing.
pub(crate) fn model() -> Model {
    let now = Timestamp::from_second(1_800_000_000).expect("a time");
    let driver =
        Driver { who: Text::new("ada@ops"), host: Text::new("ops"), boot: Text::new("b"), pid: 7, started_at: now };
    let settings = Settings {
        policy: Policy::default(),
        declarations: Vec::new(),
        service_keys: ServiceKeys::default(),
        places: Vec::new(),
        releases: Vec::new(),
        registries: Vec::new(),
        access: Access::Operable,
        driver,
        incident: None,
        notices: Vec::new(),
        scenario: None,
        look: Look::default(),
    };
    Model::new(settings, now)
}
