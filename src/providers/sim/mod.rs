//! A cloud in memory, driven by scenario files: for tests, the demo and the screenshots.
//!
//! Never leaves the process and never knows what is made of it: it answers as a real place would, faults included.
//! Start with `scenario` (what a file can say), then `workload` (what becomes of it), then `provider` (how it is told).

mod blueprint;
mod census;
mod cloud;
mod demo;
mod group;
mod inspect;
mod keepers;
mod provider;
mod random;
mod report;
mod request;
mod rollout;
pub mod scenario;
mod workload;
mod world;

pub use census::{Census, Counted};
pub use demo::{Demo, Listed, list, open};
pub use request::Intervention;
pub use scenario::{SCENARIOS, Scenario, ScenarioError};
pub use world::{Fault, Outcome, Received, SimWorld};

use super::Kind;

/// The kind.
pub const KIND: Kind = Kind {
    name: "sim",
    discover: |_| Vec::new(),
    default_id: demo::default_id,
    check: demo::check,
    connect: demo::connect,
    expand: super::alone,
    registry_key: crate::providers::no_registry,
};
