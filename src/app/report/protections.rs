//! What is locked, quarantined and snoozed, as scripts see it.

use jiff::Timestamp;
use serde::Serialize;

use super::table::Table;
use crate::domain::policy::Freeze;
use crate::domain::protection::Protection;
use crate::domain::text::Text;

/// A protection.
#[derive(Debug, Serialize)]
pub struct ProtectionRow {
    number: u64,
    what: &'static str,
    target: Text,
    reason: Text,
    by: Text,
    at: Timestamp,
    expires_at: Option<Timestamp>,
}

/// A time in which nothing moves on, as the policy has it.
#[derive(Debug, Serialize)]
pub struct FreezeRow {
    reason: Text,
    /// Where; nothing means everywhere.
    places: Vec<Text>,
    from: Timestamp,
    until: Timestamp,
}

impl ProtectionRow {
    /// As it is written down.
    pub fn of(protection: &Protection) -> ProtectionRow {
        let (what, target) = protection.what.as_texts();
        let Protection { number, reason, by, at, expires_at, .. } = protection.clone();
        ProtectionRow { number, what, target, reason, by, at, expires_at }
    }

    /// The rows as a table for people.
    pub fn table(rows: &[ProtectionRow]) -> Table {
        let mut table = Table::new(&["NUMBER", "WHAT", "TARGET", "REASON", "BY", "UNTIL"]);
        for row in rows {
            table.rows.push(vec![
                row.number.to_string(),
                row.what.to_string(),
                row.target.to_string(),
                row.reason.to_string(),
                row.by.to_string(),
                row.expires_at.map_or("lifted".to_string(), minute),
            ]);
        }
        table
    }
}

impl FreezeRow {
    /// As the policy has it.
    pub fn of(freeze: &Freeze) -> FreezeRow {
        let Freeze { reason, places, from, until } = freeze.clone();
        FreezeRow { reason, places, from, until }
    }

    /// The rows as a table for people.
    pub fn table(rows: &[FreezeRow]) -> Table {
        let mut table = Table::new(&["FROM", "UNTIL", "PLACES", "REASON"]);
        for row in rows {
            let places: Vec<&str> = row.places.iter().map(Text::as_str).collect();
            let places = if places.is_empty() { "all".to_string() } else { places.join(", ") };
            table.rows.push(vec![minute(row.from), minute(row.until), places, row.reason.to_string()]);
        }
        table
    }
}

fn minute(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M UTC").to_string()
}
