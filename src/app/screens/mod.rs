//! The screens: one file each, with its state, its rows, its view and its tests.
//!
//! Never changed from outside but through `Rows`. Start with `drift`.

pub(crate) mod clock;
pub(crate) mod compare;
pub(crate) mod drift;
pub(crate) mod fleet;
pub(crate) mod instances;
pub(crate) mod operations;
pub(crate) mod page;
pub(crate) mod places;
pub(crate) mod shown;
pub(crate) mod timeline;
pub(crate) mod totals;

use jiff::Timestamp;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::age::Clock;
use super::command::Scope;
use super::effect::Effect;
use super::model::Model;
use super::rows::{RowId, Rows};
use super::theme::Meaning;
use super::ui::Known;
use crate::domain::drift::{Mark, Tally, Verdict};
use crate::domain::fleet::{Place, Workload};
use crate::domain::id::WorkloadId;

/// Which screen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Screen {
    /// What is off, how badly, since when; under it what changed lately.
    #[default]
    Drift,
    /// Every service by place.
    Fleet,
    /// One service side by side.
    Compare,
    /// Every instance.
    Instances,
    /// Running and finished operations.
    Operations,
    /// What changed where and when, and who did it.
    Timeline,
    /// Every place.
    Places,
}

/// The state of each screen.
#[derive(Debug, Default)]
pub(crate) struct Screens {
    pub(crate) drift: drift::DriftScreen,
    pub(crate) fleet: fleet::FleetScreen,
    pub(crate) compare: compare::CompareScreen,
    pub(crate) instances: instances::InstancesScreen,
    pub(crate) operations: operations::OperationsScreen,
    pub(crate) timeline: timeline::TimelineScreen,
    pub(crate) places: places::PlacesScreen,
}

impl Screen {
    /// Every screen with its key, in the order of the keys. A new screen is a file and a line here.
    pub const ALL: [(Screen, &'static str); 7] = [
        (Screen::Drift, "1"),
        (Screen::Fleet, "2"),
        (Screen::Compare, "3"),
        (Screen::Instances, "4"),
        (Screen::Operations, "5"),
        (Screen::Timeline, "6"),
        (Screen::Places, "7"),
    ];

    /// Its name in the header.
    pub fn title(self) -> &'static str {
        match self {
            Screen::Drift => "DRIFT",
            Screen::Fleet => "FLEET",
            Screen::Compare => "COMPARE",
            Screen::Instances => "INSTANCES",
            Screen::Operations => "OPERATIONS",
            Screen::Timeline => "TIMELINE",
            Screen::Places => "PLACES",
        }
    }

    /// Its table in keymaps.
    pub fn scope(self) -> Scope {
        match self {
            Screen::Drift => Scope::Drift,
            Screen::Fleet => Scope::Fleet,
            Screen::Compare => Scope::Compare,
            Screen::Instances => Scope::Instances,
            Screen::Operations => Scope::Operations,
            Screen::Timeline => Scope::Timeline,
            Screen::Places => Scope::Places,
        }
    }

    /// The commands that its footer names, the most useful first.
    pub(crate) fn hints(self) -> &'static [&'static str] {
        match self {
            Screen::Drift | Screen::Fleet | Screen::Instances => {
                &["plan.replace", "plan.rollback", "plan.pick", "row.open", "detail.open", "filter.edit"]
            }
            Screen::Compare => &["compare.next", "row.open", "compare.right", "image.quarantine", "filter.edit"],
            Screen::Operations => &["operation.pause", "operation.stop", "operation.take", "detail.open", "pane.next"],
            Screen::Timeline => &["timeline.last_hour", "filter.edit", "row.timeline", "detail.open", "order.next"],
            Screen::Places => &["row.open", "detail.open", "filter.edit"],
        }
    }
}

impl Screens {
    /// The list of a screen.
    pub(crate) fn of(&self, screen: Screen) -> &dyn Rows {
        match screen {
            Screen::Drift => &self.drift,
            Screen::Fleet => &self.fleet,
            Screen::Compare => &self.compare,
            Screen::Instances => &self.instances,
            Screen::Operations => &self.operations,
            Screen::Timeline => &self.timeline,
            Screen::Places => &self.places,
        }
    }

    /// The list of a screen, to change it.
    pub(crate) fn of_mut(&mut self, screen: Screen) -> &mut dyn Rows {
        match screen {
            Screen::Drift => &mut self.drift,
            Screen::Fleet => &mut self.fleet,
            Screen::Compare => &mut self.compare,
            Screen::Instances => &mut self.instances,
            Screen::Operations => &mut self.operations,
            Screen::Timeline => &mut self.timeline,
            Screen::Places => &mut self.places,
        }
    }

    /// Makes a screen's rows again. True if something that it shows may have changed.
    pub(crate) fn rebuild(&mut self, screen: Screen, known: &Known<'_>, effects: &mut Vec<Effect>) -> bool {
        let changed = match screen {
            Screen::Drift => self.drift.rebuild(known),
            Screen::Fleet => self.fleet.rebuild(known),
            Screen::Compare => self.compare.rebuild(known),
            Screen::Instances => self.instances.rebuild(known, effects),
            Screen::Operations => self.operations.rebuild(known),
            Screen::Timeline => self.timeline.rebuild(known),
            Screen::Places => self.places.rebuild(known),
        };
        self.of_mut(screen).follow_cursor();
        changed
    }
}

/// Draws the visible screen.
pub(crate) fn draw(model: &Model, area: Rect, buffer: &mut Buffer) {
    match model.ui.screen {
        Screen::Drift => drift::draw(model, area, buffer),
        Screen::Fleet => fleet::draw(model, area, buffer),
        Screen::Compare => compare::draw(model, area, buffer),
        Screen::Instances => instances::draw(model, area, buffer),
        Screen::Operations => operations::draw(model, area, buffer),
        Screen::Timeline => timeline::draw(model, area, buffer),
        Screen::Places => places::draw(model, area, buffer),
    }
}

/// The glyph of a verdict with its meaning. State is glyph, then word, then colour.
pub(crate) fn glyph(verdict: Verdict) -> (Meaning, char) {
    let glyph = match verdict {
        Verdict::Ok => '=',
        Verdict::Drift => '!',
        Verdict::Mixed => '~',
        Verdict::Unknown => '?',
        Verdict::Outlier => '*',
        Verdict::Quarantined => 'X',
    };
    (Meaning::of_verdict(verdict), glyph)
}

/// How old what is known of a place is. Only a place that answers is called live, however young its data is.
pub(crate) fn age(place: Option<&Place>, now: Timestamp) -> String {
    let Some((place, at)) = place.and_then(|place| Some((place, place.heard_at?))) else { return "-".to_string() };
    match Clock::Age.show(at, now) {
        young if young == "live" && !place.state.is_live() => "<15s".to_string(),
        age => age,
    }
}

/// A workload in few words, for lines that have no room: its row or its detail says of which kind it is.
pub(crate) fn short(id: &WorkloadId) -> String {
    let namespace = id.namespace.as_ref().map(|namespace| format!("{namespace}/")).unwrap_or_default();
    format!("{} {namespace}{}", id.place, id.name)
}

/// How many are off, of how many; `?` where nothing is known, `next` where it is what the next run would start.
pub(crate) fn off(tally: &Tally, verdict: Verdict) -> String {
    if tally.off() == 0 && verdict > Verdict::Mixed {
        return "next".to_string();
    }
    if tally.off() == 0 && tally.unknown == tally.instances && tally.desired + tally.instances > 0 {
        return format!("?/{}", tally.desired.max(tally.instances));
    }
    format!("{}/{}", tally.off(), tally.instances)
}

/// Who says what should run in a workload.
pub(crate) fn who_says(workload: &Workload) -> &'static str {
    workload.judgement.expected.as_ref().map_or("majority", |expectation| expectation.source.as_str())
}

/// Remarks in one cell.
pub(crate) fn marks(marks: &[Mark]) -> String {
    let words = marks.iter().map(|mark| match mark {
        Mark::Latent => "latent",
        Mark::Touched => "touched",
        Mark::Paused => "held",
        Mark::Failed => "stuck",
        Mark::Rolling => "rolling",
        Mark::Locked => "locked",
        Mark::Snoozed => "snoozed",
    });
    words.collect::<Vec<&str>>().join(",")
}

/// The titles and cells of a row with everything that its screen knows, for copies; digests in full.
pub(crate) fn copied(model: &Model, id: &RowId) -> Option<(Vec<String>, Vec<String>)> {
    let known = model.known();
    let (titles, cells) = match id {
        RowId::Image(name) => return compare::copied(model, name),
        RowId::Service(key) => drift::copied(model, key),
        RowId::Workload(id) => fleet::copied(&known, id),
        RowId::Instance(slot, _) => instances::copied(&known, *slot),
        RowId::Operation(id) => operations::copied(model, id),
        RowId::Happening(id) => timeline::copied(model, id),
        RowId::Place(id) => places::copied(&known, id),
    }?;
    Some((titles.into_iter().map(ToString::to_string).collect(), cells))
}
