//! What the settings of every kind of place have in common: texts, and how faults are told.
//!
//! Never knows a key.

use serde_json::Value;

use super::{ConnectError, SettingFault, Table};
use crate::domain::id::PlaceId;

/// A text that is not empty; what is wrong with it goes to `faults`.
pub(super) fn text_of(table: &Table, key: &str, faults: &mut Vec<SettingFault>) -> Option<String> {
    match table.get(key)? {
        Value::String(text) if !text.trim().is_empty() => Some(text.clone()),
        Value::String(_) => {
            faults.push(fault(key, "is empty; name one, or leave the key out"));
            None
        }
        other => {
            faults.push(fault(key, &format!("must be a text in quotes, not {other}")));
            None
        }
    }
}

/// A fault of one key.
pub(super) fn fault(key: &str, message: &str) -> SettingFault {
    SettingFault { key: key.to_string(), message: message.to_string() }
}

/// Why a place whose settings have faults can't be connected.
pub(super) fn misconfigured(place: &PlaceId, faults: &[SettingFault]) -> ConnectError {
    let faults: Vec<String> = faults.iter().map(|fault| format!("{}: {}", fault.key, fault.message)).collect();
    ConnectError {
        what: format!("{place} is not configured as it must be: {}", faults.join("; ")),
        hint: "correct the settings of the place".to_string(),
    }
}
