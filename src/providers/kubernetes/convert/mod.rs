//! From API objects to observations. Pure: no request, no clock, no state.
//!
//! Never judges. What can't be read becomes `None` or `Unknown`, never something that looks right.

mod claims;
mod keeper;
mod pod;
mod revision;
mod rollout;
mod template;
mod workload;

pub(super) use keeper::{Keeper, keeper, spec_for};
pub(super) use pod::{Surrounding, instance, platform, revision_of};
pub(super) use revision::{controller_revision, template_in};
pub(super) use rollout::{POD_HASH, Reference, RolloutAlone, RolloutVersion, rollout};
pub(super) use template::{Asked, asked_of, hash_of, is_added_label, main_container, template_of};
pub(super) use workload::{HELD_PARTITION, Kind, Seen, alone, workload};

use jiff::Timestamp;

/// A time as the API writes it.
fn time(text: &str) -> Option<Timestamp> {
    text.parse().ok()
}

/// A count as the API writes it; absent is none.
fn count(number: Option<i64>) -> u32 {
    u32::try_from(number.unwrap_or(0).max(0)).unwrap_or(u32::MAX)
}
