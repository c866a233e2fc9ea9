//! What Drift counts beside its rows, and what it says where no row is off.
//!
//! Never says that all is well while anything is being replaced, not healthy or not known.

use crate::app::filter::Filter;
use crate::app::theme::Meaning;
use crate::app::ui::Known;
use crate::app::widgets::paint::Line;
use crate::domain::drift::Tally;
use crate::domain::fleet::Place;
use crate::domain::observation::PlaceState;
use crate::domain::text::counted;

/// What the filter line counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    instances: u32,
    off: u32,
    mixed: u32,
    unhealthy: u32,
    unknown: u32,
    /// Rows.
    pub(crate) services: usize,
}

impl Totals {
    /// Adds a workload's tally.
    pub(crate) fn add(&mut self, tally: &Tally) {
        self.instances += tally.instances;
        self.off += tally.off();
        self.mixed += tally.mixed;
        self.unhealthy += tally.unhealthy();
        self.unknown += tally.unknown;
    }

    /// For the filter line.
    pub(crate) fn counts(&self) -> String {
        if self.instances == 0 && self.services == 0 {
            return String::new();
        }
        let unknown = if self.unknown > 0 { format!(", {} unknown", self.unknown) } else { String::new() };
        let services =
            if self.services > 0 { format!("{}, ", counted(self.services, "service")) } else { String::new() };
        format!("{services}{} of {} off{unknown}", self.off, self.instances)
    }

    /// What is said where no row is off. Nothing known is not the same as nothing off, and nothing off is not the same as
    /// all well.
    pub(crate) fn quiet(&self, known: &Known<'_>, filter: &Filter) -> Line {
        let asked = |place: &&Place| place.state != PlaceState::NotConnected;
        let places: Vec<&Place> = known.fleet.places().iter().filter(asked).collect();
        let silent: Vec<&Place> = places.iter().copied().filter(|place| !place.state.is_live()).collect();
        let doubts = self.doubts();
        let but = if doubts.is_empty() { String::new() } else { format!("; {doubts}") };
        let is_filtered = filter.is_on();
        match (places.is_empty(), self.instances, silent.len()) {
            (true, ..) => {
                Line::new(Meaning::Warning, " no place is connected; `rolldeck demo` needs none, 7 lists what is known")
            }
            (_, 0, 0) if is_filtered => Line::new(Meaning::Dim, " no instance is left by the filter"),
            (_, 0, 0) => Line::new(Meaning::Dim, " no instance was seen"),
            (_, 0, silent) if is_filtered => Line::new(
                Meaning::Warning,
                format!(" no instance is left by the filter; {} not live (7 says why)", counted(silent, "place")),
            ),
            (_, 0, _) => Line::new(Meaning::Warning, format!(" nothing is known yet: {}", why(&silent))),
            (_, _, 1) => Line::new(
                Meaning::Warning,
                format!(" nothing is off as far as is known; 1 place is not live (7 says why){but}"),
            ),
            (_, _, silent @ 2..) => Line::new(
                Meaning::Warning,
                format!(" nothing is off as far as is known; {silent} places are not live (7 says why){but}"),
            ),
            _ if !doubts.is_empty() => {
                let left = if is_filtered { "nothing that the filter leaves is off" } else { "nothing is off" };
                Line::new(Meaning::Warning, format!(" {} {left}{but}", self.glyph()))
            }
            _ if is_filtered => Line::new(Meaning::Dim, " nothing that the filter leaves is off"),
            (_, 1, _) => Line::new(Meaning::Ok, " = nothing is off: 1 instance runs what it should"),
            (_, instances, _) => {
                Line::new(Meaning::Ok, format!(" = nothing is off: {instances} instances run what they should"))
            }
        }
    }

    /// What keeps it from being all well although nothing is off; empty where all is.
    fn doubts(&self) -> String {
        let mixed = format!("{} of {} being replaced", self.mixed, self.instances);
        let parts = [
            (self.mixed, mixed),
            (self.unhealthy, format!("{} not healthy", self.unhealthy)),
            (self.unknown, format!("{} not known", self.unknown)),
        ];
        let parts: Vec<String> = parts.into_iter().filter(|(count, _)| *count > 0).map(|(_, text)| text).collect();
        parts.join(", ")
    }

    /// The glyph of the worst of its doubts.
    fn glyph(&self) -> char {
        match self {
            Totals { unhealthy: 1.., .. } => '!',
            Totals { mixed: 1.., .. } => '~',
            _ => '?',
        }
    }
}

/// Why nothing is known: the one place's own words, else how many have failed or not answered.
fn why(silent: &[&Place]) -> String {
    let failed = silent.iter().filter(|place| place.state.reason().is_some()).count();
    match (silent, failed) {
        ([place], 1) => {
            let reason = place.state.reason().map(ToString::to_string).unwrap_or_default();
            format!("{} is {}: {reason}", place.id, place.state.as_str().replace('_', " "))
        }
        ([_], _) => "1 place has not answered (7 says why)".to_string(),
        (silent, 0) => format!("{} places have not answered (7 says why)", silent.len()),
        (silent, failed) => format!("{failed} of {} places failed (7 says why)", silent.len()),
    }
}
