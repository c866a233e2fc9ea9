//! The frame: header, banner, the screen or what lies over it, footer.
//!
//! Never changes anything; what it shows was made by `update` and `refresh`.

use ratatui::Frame;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::age::Clock;
use super::banner;
use super::commands::{protecting, steering};
use super::input;
use super::key::show;
use super::keymap::{Binding, Lookup};
use super::model::Model;
use super::overlays;
use super::screens::{self, page};
use super::settings::Access;
use super::theme::Meaning;
use super::ui::{Entry, Message};
use super::widgets::field::field;
use super::widgets::paint::{self, Line};
use super::widgets::panel;
use crate::domain::observation::PlaceState;

/// The smallest terminal that can be worked on.
const LEAST: (u16, u16) = (60, 16);

/// Where things are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout {
    /// Between header and footer, under the banner.
    pub(crate) body: Rect,
    /// Rows of a list screen's table that are seen.
    pub(crate) table_height: usize,
}

/// Where things are on the terminal as it was last measured.
pub(crate) fn layout(model: &Model) -> Layout {
    let (width, height) = model.ui.size;
    arrange(model, Rect::new(0, 0, width, height))
}

fn arrange(model: &Model, area: Rect) -> Layout {
    let banner = banner::lines(model, usize::from(area.width)).len() as u16;
    let body = Rect { y: area.y + 1 + banner, height: area.height.saturating_sub(2 + banner), ..area };
    Layout { body, table_height: usize::from(body.height.saturating_sub(page::HEAD + page::DETAILS)) }
}

/// Draws a frame. Pure.
pub fn draw(model: &Model, frame: &mut Frame<'_>) {
    let area = frame.area();
    render(model, area, frame.buffer_mut());
}

/// Draws a frame into a buffer.
pub fn render(model: &Model, area: Rect, buffer: &mut Buffer) {
    let theme = &model.settings.look.theme;
    paint::fill(buffer, area, theme.style(Meaning::Text));
    if is_too_small((area.width, area.height)) {
        return too_small(model, area, buffer);
    }
    header(model, Rect { height: 1, ..area }, buffer);
    for (number, line) in banner::lines(model, usize::from(area.width)).iter().enumerate() {
        paint::line(buffer, area.x, area.y + 1 + number as u16, area.width, line, theme);
    }
    let body = arrange(model, area).body;
    match model.ui.overlays.last() {
        Some(overlay) => {
            let panel = overlays::panel(model, overlay, usize::from(body.width), usize::from(body.height));
            panel::draw(buffer, body, &panel, theme);
        }
        None => screens::draw(model, body, buffer),
    }
    outcomes(model, body, buffer);
    footer(model, Rect { y: area.y + area.height - 1, height: 1, ..area }, buffer);
}

/// Over the last rows: what each second key would do, once the first key of a stop was pressed.
fn outcomes(model: &Model, body: Rect, buffer: &mut Buffer) {
    let lookup = input::lookup(model, &model.ui.pending);
    let stops = |longer: &[&Binding]| longer.iter().any(|binding| binding.command.id == "operation.return");
    let is_asked = !model.ui.pending.is_empty() && matches!(&lookup, Lookup::Pending(longer) if stops(longer));
    let lines = if is_asked { steering::before_a_stop(model, usize::from(body.width)) } else { Vec::new() };
    let height = u16::try_from(lines.len()).unwrap_or(u16::MAX).min(body.height);
    let area = Rect { y: body.y + body.height - height, height, ..body };
    paint::fill(buffer, area, model.settings.look.theme.style(Meaning::Text));
    paint::lines(buffer, area, &lines, &model.settings.look.theme);
}

fn too_small(model: &Model, area: Rect, buffer: &mut Buffer) {
    let lines = too_small_lines(model, area.width, area.height);
    paint::lines(buffer, area, &lines, &model.settings.look.theme);
    if let Some(message) = model.ui.message.as_ref().filter(|_| area.height > 3) {
        let (Message::Done(text) | Message::Why(text)) = message;
        paint::line(buffer, area.x, area.y + 3, area.width, &Line::plain(text.to_string()), &model.settings.look.theme);
    }
}

/// Whether a terminal has no room for what there is to see.
pub(crate) fn is_too_small((width, height): (u16, u16)) -> bool {
    width < LEAST.0 || height < LEAST.1
}

fn too_small_lines(model: &Model, width: u16, height: u16) -> Vec<Line> {
    let total = model.fleet.total();
    let off = format!("{} of {} off", total.off(), total.instances);
    vec![
        Line::new(if total.off() > 0 { Meaning::Drift } else { Meaning::Text }, off),
        Line::plain(format!("needs {}x{}, is {width}x{height}", LEAST.0, LEAST.1)),
        Line::new(Meaning::Dim, "q quits"),
    ]
}

fn header(model: &Model, area: Rect, buffer: &mut Buffer) {
    let theme = &model.settings.look.theme;
    buffer.set_style(area, theme.style(Meaning::Header));
    let [left, right] = header_ends(model, usize::from(area.width));
    paint::both_ends(buffer, area, &left, &right, theme);
}

/// What the header leaves out, the least needed first: how the places are and the key of the help always stay.
const HEADERS: &[&[Spared]] = &[
    &[],
    &[Spared::NoIncident],
    &[Spared::NoIncident, Spared::NoDebt],
    &[Spared::NoIncident, Spared::NoDebt, Spared::Scenario],
    &[Spared::NoIncident, Spared::NoDebt, Spared::Name],
    &[Spared::NoIncident, Spared::NoDebt, Spared::Name, Spared::Kinds],
    &[Spared::NoIncident, Spared::NoDebt, Spared::Name, Spared::Kinds, Spared::Incident],
];

/// Something that a narrow header leaves out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Spared {
    /// `incident -`.
    NoIncident,
    /// `debts 0`.
    NoDebt,
    /// Which scenario the demo plays.
    Scenario,
    /// The name of the program.
    Name,
    /// Which way each place that is not live is not.
    Kinds,
    /// The incident's name.
    Incident,
}

/// Both ends of the header, as much as this width takes.
fn header_ends(model: &Model, width: usize) -> [Line; 2] {
    let help = model.settings.look.keymap.key_of("help.open", &model.ui.base_scopes()).unwrap_or_default();
    let access = match &model.settings.access {
        Access::ReadOnly(_) => "READ ONLY  ",
        Access::Operable => "",
    };
    let right = Line::new(Meaning::Header, format!("{access}{help} help "));
    let space = width.saturating_sub(right.width() + 1);
    let mut left = Line::default();
    for spared in HEADERS {
        left = Line::new(Meaning::Header, header_left(model, spared));
        if left.width() <= space {
            break;
        }
    }
    [left, right]
}

fn header_left(model: &Model, spared: &[Spared]) -> String {
    let is_spared = |part: Spared| spared.contains(&part);
    let places = model.fleet.places();
    let asked = places.iter().filter(|place| place.state != PlaceState::NotConnected).count();
    let live = places.iter().filter(|place| place.state.is_live()).count();
    let mut parts = Vec::new();
    match &model.settings.scenario {
        _ if is_spared(Spared::Name) => {}
        Some(scenario) if !is_spared(Spared::Scenario) => parts.push(format!("rolldeck demo {scenario}")),
        Some(_) => parts.push("rolldeck demo".to_string()),
        None => parts.push("rolldeck".to_string()),
    }
    parts.push(model.ui.screen.title().to_string());
    parts.push(match (asked, is_spared(Spared::Kinds)) {
        (0, _) => "no place is connected".to_string(),
        (_, true) if live < asked => format!("places {live}/{asked} ok ({} not live)", asked - live),
        _ => format!("places {live}/{asked} ok{}", trouble(model)),
    });
    let debts = model.operations.debts().count();
    if debts > 0 || !is_spared(Spared::NoDebt) {
        parts.push(format!(" debts {debts}"));
    }
    match &model.settings.incident {
        Some(incident) if !is_spared(Spared::Incident) => parts.push(format!(" incident {incident}")),
        None if !is_spared(Spared::NoIncident) => parts.push(" incident -".to_string()),
        Some(_) | None => {}
    }
    format!(" {}  ", parts.join("  "))
}

/// Everything that is shown and is no row: header, banner, and what the screen says beside its rows. `refresh` compares
/// it with what was shown: rows alone don't tell that a place has failed.
pub(crate) fn around(model: &Model) -> Vec<Line> {
    let (width, height) = model.ui.size;
    if is_too_small((width, height)) {
        return too_small_lines(model, width, height);
    }
    let mut lines = header_ends(model, usize::from(width)).to_vec();
    lines.extend(banner::lines(model, usize::from(width)));
    lines.extend(model.ui.rows().around(&model.known()));
    lines
}

/// Which places are not live, in few words: the commonest state, with the oldest age.
fn trouble(model: &Model) -> String {
    let mut counts: Vec<(&str, usize)> = Vec::new();
    let quiet = |state: &PlaceState| state.is_live() || *state == PlaceState::NotConnected;
    for place in model.fleet.places().iter().filter(|place| !quiet(&place.state)) {
        let word = place.state.as_str();
        match counts.iter_mut().find(|(known, _)| *known == word) {
            Some((_, count)) => *count += 1,
            None => counts.push((word, 1)),
        }
    }
    if counts.is_empty() {
        return String::new();
    }
    let stale = model.fleet.places().iter().filter(|place| matches!(place.state, PlaceState::Stale(_)));
    let oldest = stale.filter_map(|place| place.heard_at).min().map(|at| Clock::Age.show(at, model.now));
    let words: Vec<String> = counts
        .iter()
        .map(|(word, count)| match (&oldest, *word) {
            (Some(age), "stale") if age != "live" => format!("{count} stale {age}"),
            _ => format!("{count} {}", word.replace('_', " ")),
        })
        .collect();
    format!(" ({})", words.join(", "))
}

fn footer(model: &Model, area: Rect, buffer: &mut Buffer) {
    let theme = &model.settings.look.theme;
    let width = usize::from(area.width);
    let line = match (&model.ui.entry, &model.ui.message) {
        (Some(Entry::PlanReason(typed)), _) => field(Line::plain(" why, all the same? "), typed, "Enter, Esc", width),
        (Some(Entry::WriteOff { operation, typed }), _) => {
            let question = Line::plain(format!(" write off what {operation} owes: why? "));
            field(question, typed, "Enter, Esc", width)
        }
        (Some(Entry::Incident(typed)), _) => {
            field(Line::plain(" incident: "), typed, "Enter keeps it, Esc leaves it", width)
        }
        (Some(Entry::Protect { .. }), Some(Message::Why(text))) => Line::new(Meaning::Warning, format!(" {text}")),
        (Some(Entry::Protect { what, typed }), _) => protecting::prompt(model, what, typed, width),
        (Some(Entry::Filter { .. }), _) => {
            Line::new(Meaning::Dim, " Enter keeps, Esc leaves; words svc: place: ns: kind: state: digest: image: age>")
        }
        (None, _) if !model.ui.pending.is_empty() => pending(model, width),
        (None, Some(Message::Done(text))) => Line::new(Meaning::Text, format!(" {text}")),
        (None, Some(Message::Why(text))) => Line::new(Meaning::Warning, format!(" {text}")),
        (None, None) => hints(model, width),
    };
    paint::line(buffer, area.x, area.y, area.width, &line, theme);
}

/// The keys typed so far, and what may follow.
fn pending(model: &Model, width: usize) -> Line {
    let typed = &model.ui.pending;
    let mut line = Line::new(Meaning::Key, format!(" {} ", show(typed)));
    if let Lookup::Pending(longer) = input::lookup(model, typed) {
        for binding in longer {
            line = line
                .and(Meaning::Key, format!(" {}", show(&binding.keys[typed.len()..])))
                .and(Meaning::Text, format!(" {} ", binding.command.title));
        }
    }
    let with_way_out = line.clone().and(Meaning::Dim, "  Esc leaves it");
    if with_way_out.width() <= width { with_way_out } else { line }
}

/// The most useful keys that do something here and now.
fn hints(model: &Model, width: usize) -> Line {
    let ids: &[&str] = match model.ui.overlays.last() {
        Some(overlays::Overlay::Plan(_)) => &[
            "overlay.close",
            "overlay.page_down",
            "plan.next_part",
            "plan.image_only",
            "plan.equivalents",
            "plan.leave_out",
            "plan.again",
        ],
        Some(overlays::Overlay::Versions(_)) => &["version.pick", "version.pick_image", "overlay.close"],
        Some(overlays::Overlay::Palette(_)) => &["palette.run", "overlay.down", "overlay.close"],
        Some(overlays::Overlay::Ask(_)) => &["overlay.close"],
        Some(overlays::Overlay::Detail(_) | overlays::Overlay::Difference(_) | overlays::Overlay::Help(_)) => {
            &["overlay.page_down", "overlay.close"]
        }
        None => model.ui.screen.hints(),
    };
    let keymap = &model.settings.look.keymap;
    let scopes = model.ui.scopes();
    let mut line = Line::plain(" ");
    for id in ids {
        let Some(command) = super::command::find(id) else { continue };
        if (command.available)(model).is_err() {
            continue;
        }
        if let Some(key) = keymap.key_of(id, &scopes) {
            let longer = line.clone().and(Meaning::Key, key).and(Meaning::Text, format!(" {}  ", command.title));
            if longer.width() <= width + 2 {
                line = longer;
            }
        }
    }
    line
}
