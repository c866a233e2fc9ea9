//! Places: each account, region and cluster: how it answers, how old its data is, who we are there, what is possible.
//!
//! Never hides a place that does not answer.

use jiff::Timestamp;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::page::{self, Page, Slot};
use crate::app::age::Clock;
use crate::app::command::{Command, Risk, Scope, not_now};
use crate::app::effect::Effect;
use crate::app::filter::Matcher;
use crate::app::model::Model;
use crate::app::rows::{Listing, RowId, Rows};
use crate::app::theme::Meaning;
use crate::app::ui::{ColumnDetail, Known};
use crate::app::widgets::paint::Line;
use crate::app::widgets::table::{Align, Column};
use crate::domain::drift::Verdict;
use crate::domain::fleet::Place;
use crate::domain::id::PlaceId;
use crate::domain::observation::PlaceState;
use crate::domain::selector::Facts;
use crate::domain::text::{Text, counted};

/// The state of the screen.
#[derive(Debug, Default)]
pub(crate) struct PlacesScreen {
    listing: Listing,
    rows: Vec<PlaceId>,
    revision: u64,
}

/// The commands.
pub(crate) const COMMANDS: &[Command] = &[Command {
    id: "place.connect",
    title: "connect",
    doc: "Connects a place that is known and not connected.",
    risk: Risk::Look,
    scope: Scope::Places,
    available: can_connect,
    run: connect,
}];

const COLUMNS: &[Column<'_>] = &[
    Column { title: "PLACE", least: 10, most: 50, align: Align::Left, rank: 0 },
    Column { title: "STATE", least: 9, most: 13, align: Align::Left, rank: 0 },
    Column { title: "AGE", least: 4, most: 5, align: Align::Left, rank: 0 },
    Column { title: "INSTANCES", least: 9, most: 12, align: Align::Right, rank: 1 },
    Column { title: "OFF", least: 4, most: 8, align: Align::Right, rank: 2 },
    Column { title: "WHO", least: 8, most: 40, align: Align::Left, rank: 4 },
    Column { title: "SERVER", least: 6, most: 30, align: Align::Left, rank: 5 },
    Column { title: "NOTES", least: 10, most: 80, align: Align::Left, rank: 3 },
];

const WIDE: &[Column<'_>] = &[Column { title: "CALLS/MIN", least: 9, most: 9, align: Align::Right, rank: 6 }];

impl Rows for PlacesScreen {
    fn listing(&self) -> &Listing {
        &self.listing
    }
    fn listing_mut(&mut self) -> &mut Listing {
        &mut self.listing
    }
    fn len(&self) -> usize {
        self.rows.len()
    }
    fn id_at(&self, at: usize) -> Option<RowId> {
        self.rows.get(at).cloned().map(RowId::Place)
    }
    fn position(&self, id: &RowId) -> Option<usize> {
        let RowId::Place(id) = id else { return None };
        self.rows.iter().position(|row| row == id)
    }
    fn orders(&self) -> &'static [&'static str] {
        &["worst", "as configured", "name"]
    }
    fn times(&self, at: usize, known: &Known<'_>) -> Vec<(Clock, Timestamp)> {
        let place = self.rows.get(at).and_then(|id| known.fleet.place(id));
        place.and_then(|place| place.heard_at).map(|at| (Clock::Age, at)).into_iter().collect()
    }
    fn is_bad(&self, at: usize, known: &Known<'_>) -> bool {
        let place = self.rows.get(at).and_then(|id| known.fleet.place(id));
        place.is_some_and(|place| !place.state.is_live() && place.state != PlaceState::NotConnected)
    }
}

impl PlacesScreen {
    /// Makes the rows again. True if anything that they show may have changed.
    pub(crate) fn rebuild(&mut self, known: &Known<'_>) -> bool {
        let matcher = Matcher::new(&self.listing.filter.selector);
        let mut selected: Vec<&Place> =
            known.fleet.places().iter().filter(|place| is_selected(&matcher, place)).collect();
        match self.listing.order {
            1 => selected.sort_by_key(|place| place.state == PlaceState::NotConnected),
            2 => selected.sort_by(|a, b| a.id.cmp(&b.id)),
            _ => selected.sort_by_key(|place| rank(&place.state)),
        }
        let rows: Vec<PlaceId> = selected.into_iter().map(|place| place.id.clone()).collect();
        let changed = rows != self.rows || self.revision != known.fleet.revision();
        self.rows = rows;
        self.revision = known.fleet.revision();
        changed
    }
}

fn is_selected(matcher: &Matcher<'_>, place: &Place) -> bool {
    let facts = Facts {
        service: "",
        place: &place.id.0,
        namespace: "",
        kind: "",
        name: place.state.as_str(),
        verdict: if place.state.is_live() { Verdict::Ok } else { Verdict::Unknown },
        is_off: place.tally.off() > 0,
        is_unhealthy: place.tally.unhealthy() > 0,
        images: &[],
        age: None,
    };
    matcher.score(&facts).is_some()
}

fn rank(state: &PlaceState) -> u8 {
    match state {
        PlaceState::Misconfigured(_) => 0,
        PlaceState::AuthExpired(_) => 1,
        PlaceState::Forbidden(_) => 2,
        PlaceState::Unreachable(_) => 3,
        PlaceState::Stale(_) => 4,
        PlaceState::Loading => 5,
        PlaceState::Live => 6,
        PlaceState::NotConnected => 7,
    }
}

fn glyph(state: &PlaceState) -> (Meaning, char) {
    match state {
        PlaceState::Live => (Meaning::Ok, '='),
        PlaceState::Loading => (Meaning::Rolling, '>'),
        PlaceState::Stale(_) => (Meaning::Warning, '?'),
        PlaceState::Unreachable(_)
        | PlaceState::Forbidden(_)
        | PlaceState::AuthExpired(_)
        | PlaceState::Misconfigured(_) => (Meaning::Danger, '!'),
        PlaceState::NotConnected => (Meaning::Dim, '-'),
    }
}

fn under_cursor(model: &Model) -> Option<PlaceId> {
    match model.ui.rows().listing().cursor.clone() {
        Some(RowId::Place(id)) => Some(id),
        _ => None,
    }
}

fn can_connect(model: &Model) -> Result<(), Text> {
    let place = under_cursor(model).and_then(|id| model.fleet.place(&id));
    match place {
        Some(place) if place.state == PlaceState::NotConnected => Ok(()),
        Some(_) => not_now("it is connected; console links come with a later version"),
        None => not_now("no place is under the cursor"),
    }
}

fn connect(model: &mut Model) -> Vec<Effect> {
    let Some(place) = under_cursor(model) else { return Vec::new() };
    model.ui.say(&format!("connecting {place}"));
    vec![Effect::Connect(place)]
}

/// Draws the screen.
pub(crate) fn draw(model: &Model, area: Rect, buffer: &mut Buffer) {
    let screen = &model.ui.screens.places;
    let known = model.known();
    let height = area.height.saturating_sub(page::HEAD + page::DETAILS);
    let window = page::window(screen, usize::from(height));
    let columns = match model.ui.detail {
        ColumnDetail::Plain => COLUMNS.to_vec(),
        ColumnDetail::Wide => [COLUMNS, WIDE].concat(),
    };
    let lines = window.iter().filter_map(|slot| {
        let Slot::Row(at) = slot else { return None };
        let place = known.fleet.place(screen.rows.get(*at)?)?;
        Some(page::row(screen, *at, glyph(&place.state), cells(place, &known)))
    });
    let live = known.fleet.places().iter().filter(|place| place.state.is_live()).count();
    let page = Page {
        counts: format!("{}, {live} live", counted(screen.rows.len(), "place")),
        columns: &columns,
        lines: lines.collect(),
        empty: Line::new(Meaning::Warning, "no place is configured; `rolldeck demo` needs none"),
        details: details(screen, &known),
    };
    page::draw(model, area, buffer, &page);
}

fn cells(place: &Place, known: &Known<'_>) -> Vec<(Meaning, String)> {
    let meaning = glyph(&place.state).0;
    let identity = &place.identity;
    let age = match place.state {
        PlaceState::NotConnected => "-".to_string(),
        _ => super::age(Some(place), known.now),
    };
    let is_unheard = place.heard_at.is_none() || place.state == PlaceState::NotConnected;
    let count = |number: u32| if is_unheard { "-".to_string() } else { number.to_string() };
    let loading: Vec<String> = place
        .loading
        .iter()
        .map(|(source, seen, remaining)| {
            let all = remaining.map_or("?".to_string(), |rest| (seen + rest).to_string());
            format!("loading {} {seen}/{all}", source.0)
        })
        .collect();
    let read_only = known.settings.read_only(&place.id).map(|_| "read only".to_string());
    let limits = place.limits.iter().map(|(source, _)| format!("no {}", source.0));
    let notes = loading
        .into_iter()
        .chain(read_only)
        .chain(closed(place, known))
        .chain(place.state.reason().map(ToString::to_string))
        .chain(limits)
        .chain(identity.notes.iter().map(ToString::to_string));
    vec![
        (Meaning::Text, place.id.to_string()),
        (meaning, place.state.as_str().replace('_', " ")),
        (if age == "live" || age == "-" { Meaning::Dim } else { Meaning::Warning }, age),
        (Meaning::Text, count(place.tally.instances)),
        (if place.tally.off() > 0 { Meaning::Drift } else { Meaning::Text }, count(place.tally.off())),
        (Meaning::Text, identity.identity.as_deref().unwrap_or("-").to_string()),
        (Meaning::Dim, identity.server.as_deref().unwrap_or("-").to_string()),
        (Meaning::Warning, notes.collect::<Vec<String>>().join("; ")),
        (Meaning::Text, place.calls_per_minute.map_or("-".to_string(), |calls| calls.to_string())),
    ]
}

/// Why nothing may be operated there although it answers: a lock, a freeze.
fn closed(place: &Place, known: &Known<'_>) -> Vec<String> {
    let lock = known.fleet.protections().lock_on_place(&place.id);
    let freeze = known.settings.policy.freeze_at(&place.id, known.now);
    let locked = lock.map(|lock| format!("locked {}", lock.describe()));
    locked.into_iter().chain(freeze.map(|freeze| format!("frozen {}", freeze.describe()))).collect()
}

fn details(screen: &PlacesScreen, known: &Known<'_>) -> Vec<Line> {
    let place = screen.rows.get(screen.listing.at).and_then(|id| known.fleet.place(id));
    let Some(place) = place else { return vec![Line::default(), Line::default()] };
    if place.state == PlaceState::NotConnected {
        return vec![
            Line::new(Meaning::Text, " known, and not asked: Enter or o connects it; it counts for nothing else"),
            Line::default(),
        ];
    }
    let identity = &place.identity;
    let can: Vec<&str> = identity.can.iter().map(Text::as_str).collect();
    let cannot: Vec<String> = identity.cannot.iter().map(|(what, why)| format!("{what} ({why})")).collect();
    let limits: Vec<String> = place.limits.iter().map(|(source, why)| format!("{}: {why}", source.0)).collect();
    let first = match place.state.reason() {
        Some(reason) => Line::new(Meaning::Warning, format!(" {}: {reason}", place.state.as_str())),
        None => Line::new(
            Meaning::Text,
            format!(" can: {}", if can.is_empty() { "not known yet".to_string() } else { can.join(", ") }),
        ),
    };
    let calls = place.calls_per_minute.map(|calls| format!("{} a minute", counted(calls, "call")));
    let rest: Vec<String> = [("can't", cannot.join(", ")), ("limited", limits.join("; "))]
        .into_iter()
        .filter(|(_, text)| !text.is_empty())
        .map(|(name, text)| format!("{name}: {text}"))
        .chain(calls)
        .collect();
    // What was decided by people stands before what the place allows.
    let closed = closed(place, known).join("; ");
    let gap = if closed.is_empty() { "" } else { "   " };
    vec![first, Line::new(Meaning::Warning, format!(" {closed}{gap}")).and(Meaning::Dim, rest.join("   "))]
}

/// The titles and cells of a row, for copies.
pub(crate) fn copied(known: &Known<'_>, id: &PlaceId) -> Option<(Vec<&'static str>, Vec<String>)> {
    let cells = cells(known.fleet.place(id)?, known);
    Some((
        [COLUMNS, WIDE].concat().iter().map(|column| column.title).collect(),
        cells.into_iter().map(|(_, text)| text).collect(),
    ))
}
