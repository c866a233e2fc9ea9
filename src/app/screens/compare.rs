//! Compare: one service side by side. Places are columns, images are rows: how many instances run each, which is expected, and
//! which is asked for.
//!
//! Never hides a place: those that have no room are counted, and come into sight by the arrow keys.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::page::{self, Page, Slot};
use crate::app::age::Clock;
use crate::app::command::{Command, Risk, Scope, not_now};
use crate::app::commands::going::quoted;
use crate::app::effect::Effect;
use crate::app::filter::Matcher;
use crate::app::model::Model;
use crate::app::rows::{Listing, RowId, Rows};
use crate::app::screens::Screen;
use crate::app::theme::Meaning;
use crate::app::ui::{Known, View};
use crate::app::widgets::paint::Line;
use crate::app::widgets::table::{Align, Column};
use crate::domain::comparison::{Cell, Comparison, Meant, Row, compare};
use crate::domain::drift::Verdict;
use crate::domain::id::WorkloadId;
use crate::domain::image::ImageId;
use crate::domain::selector::Facts;
use crate::domain::text::{Text, counted};

/// The state of the screen.
#[derive(Debug, Default)]
pub(crate) struct CompareScreen {
    listing: Listing,
    /// Which service; `None`: the worst one.
    service: Option<Text>,
    comparison: Comparison,
    /// The first column in sight.
    first: usize,
    revision: u64,
}

/// The commands.
pub(crate) const COMMANDS: &[Command] = &[
    command(
        "compare.right",
        "places to the right",
        "Brings the places further right into sight.",
        can_go_right,
        |model| {
            model.ui.screens.compare.first += 1;
            Vec::new()
        },
    ),
    command("compare.left", "places to the left", "Brings the places further left into sight.", can_go_left, |model| {
        let screen = &mut model.ui.screens.compare;
        screen.first = screen.first.saturating_sub(1);
        Vec::new()
    }),
    command("compare.next", "next service", "Shows the next service side by side.", can_change, |model| step(model, 1)),
    command("compare.previous", "service before", "Shows the service before side by side.", can_change, |model| {
        step(model, -1)
    }),
];

const fn command(
    id: &'static str,
    title: &'static str,
    doc: &'static str,
    available: fn(&Model) -> Result<(), Text>,
    run: fn(&mut Model) -> Vec<Effect>,
) -> Command {
    Command { id, title, doc, risk: Risk::Look, scope: Scope::Compare, available, run }
}

/// Cells of a place's column, and of what stands before the first of them.
const CELL: u16 = 12;
const BEFORE: u16 = 3 + 13 + 13 + 7;

impl Rows for CompareScreen {
    fn listing(&self) -> &Listing {
        &self.listing
    }
    fn listing_mut(&mut self) -> &mut Listing {
        &mut self.listing
    }
    fn len(&self) -> usize {
        self.comparison.rows.len()
    }
    fn id_at(&self, at: usize) -> Option<RowId> {
        self.comparison.rows.get(at).map(|row| RowId::Image(name_of(row)))
    }
    fn position(&self, id: &RowId) -> Option<usize> {
        let RowId::Image(name) = id else { return None };
        self.comparison.rows.iter().position(|row| name_of(row) == *name)
    }
    fn orders(&self) -> &'static [&'static str] {
        &["most instances"]
    }
    fn times(&self, at: usize, _: &Known<'_>) -> Vec<(Clock, Timestamp)> {
        let row = self.comparison.rows.get(at);
        row.into_iter().flat_map(|row| &row.cells).filter_map(|cell| Some((Clock::Since, cell.since?))).collect()
    }
    fn is_bad(&self, at: usize, _: &Known<'_>) -> bool {
        let row = self.comparison.rows.get(at);
        row.is_some_and(|row| row.cells.iter().any(|cell| cell.instances > 0 && cell.meant != Meant::Expected))
    }
}

impl CompareScreen {
    /// Makes the rows again. True if anything that they show may have changed.
    pub(crate) fn rebuild(&mut self, known: &Known<'_>) -> bool {
        let wanted = self.service.clone().filter(|service| known.fleet.services().any(|(name, _)| name == service));
        let service = wanted.or_else(|| worst(known));
        let mut comparison = service.and_then(|service| compare(known.fleet, &service)).unwrap_or_default();
        let matcher = Matcher::new(&self.listing.filter.selector);
        let kept: Vec<bool> = comparison.columns.iter().map(|id| is_selected(&matcher, &comparison, id)).collect();
        keep(&mut comparison, &kept);
        let changed = comparison != self.comparison || self.revision != known.fleet.revision();
        self.first = self.first.min(comparison.columns.len().saturating_sub(1));
        self.comparison = comparison;
        self.revision = known.fleet.revision();
        changed
    }

    /// The image of a row.
    pub(crate) fn image(&self, name: &Text) -> Option<&ImageId> {
        self.named(name)?.image.as_ref()
    }

    /// Its workloads, one for each cell of a row.
    pub(crate) fn columns(&self) -> &[WorkloadId] {
        &self.comparison.columns
    }

    /// A row by its name.
    pub(crate) fn named(&self, name: &Text) -> Option<&Row> {
        self.comparison.rows.iter().find(|row| name_of(row) == *name)
    }

    /// What finds the instances of the row under the cursor.
    pub(crate) fn filter_of_row(&self) -> Option<String> {
        let row = self.comparison.rows.get(self.listing.at)?;
        let service = quoted(&self.comparison.service);
        Some(match &row.image {
            Some(image) => {
                format!("svc:{service} digest:{}", image.distinctive().get(..12).unwrap_or(image.distinctive()))
            }
            None => format!("svc:{service}"),
        })
    }

    /// Shows this service from now on.
    pub(crate) fn pick(&mut self, service: Text) {
        self.service = Some(service);
        self.first = 0;
        self.listing.at = 0;
        self.listing.cursor = None;
        self.listing.hold = crate::app::rows::Hold::First;
    }
}

/// The service that Drift would show first.
fn worst(known: &Known<'_>) -> Option<Text> {
    let services = known.fleet.services();
    let worst = services.max_by_key(|(name, tally)| {
        (tally.off() > 0 && tally.unhealthy() > 0, tally.unhealthy() > 0, tally.off(), Reverse((*name).clone()))
    });
    worst.map(|(name, _)| name.clone())
}

/// Only the columns of these places, and only rows that are in one of them.
fn keep(comparison: &mut Comparison, kept: &[bool]) {
    let mut flags = kept.iter();
    comparison.columns.retain(|_| flags.next().copied().unwrap_or(true));
    let mut flags = kept.iter();
    comparison.standings.retain(|_| flags.next().copied().unwrap_or(true));
    for row in &mut comparison.rows {
        let mut flags = kept.iter();
        row.cells.retain(|_| flags.next().copied().unwrap_or(true));
    }
    comparison.rows.retain(|row| row.cells.iter().any(|cell| *cell != Cell::default()));
}

fn is_selected(matcher: &Matcher<'_>, comparison: &Comparison, id: &WorkloadId) -> bool {
    let facts = Facts {
        service: &comparison.service,
        place: &id.place.0,
        namespace: id.namespace.as_deref().unwrap_or_default(),
        kind: id.kind.as_str(),
        name: &id.name,
        verdict: Verdict::Ok,
        is_off: false,
        is_unhealthy: false,
        images: &[],
        age: None,
    };
    matcher.score(&facts).is_some()
}

fn name_of(row: &Row) -> Text {
    match (&row.image, &row.reference) {
        (Some(image), _) => Text::new(image.as_str()),
        (None, Some(reference)) => Text::new(reference.as_str()),
        (None, None) => Text::new("not known"),
    }
}

fn can_go_right(model: &Model) -> Result<(), Text> {
    let screen = &model.ui.screens.compare;
    match screen.first + in_sight(model.ui.size.0) < screen.comparison.columns.len() {
        true => Ok(()),
        false => not_now("all places further right are in sight"),
    }
}

fn can_go_left(model: &Model) -> Result<(), Text> {
    if model.ui.screens.compare.first > 0 {
        Ok(())
    } else {
        not_now("this is the first place; [ goes back to the view before")
    }
}

fn can_change(model: &Model) -> Result<(), Text> {
    if model.fleet.services().nth(1).is_some() { Ok(()) } else { not_now("there is no other service") }
}

fn step(model: &mut Model, by: isize) -> Vec<Effect> {
    let names: Vec<Text> = model.fleet.services().map(|(name, _)| name.clone()).collect();
    let now = &model.ui.screens.compare.comparison.service;
    let at = names.iter().position(|name| name == now).unwrap_or(0);
    let next = (at as isize + by).rem_euclid(names.len().max(1) as isize) as usize;
    if let Some(name) = names.get(next) {
        model.ui.screens.compare.pick(name.clone());
        model.ui.touch();
    }
    Vec::new()
}

/// How many places have room.
fn in_sight(width: u16) -> usize {
    usize::from(width.saturating_sub(BEFORE) / (CELL + 1)).max(1)
}

/// Shows a service side by side.
pub(crate) fn open(model: &mut Model, service: Text) -> Vec<Effect> {
    model.ui.screens.compare.pick(service);
    model.ui.visit(View { screen: Screen::Compare, filter: String::new() });
    Vec::new()
}

/// Draws the screen.
pub(crate) fn draw(model: &Model, area: Rect, buffer: &mut Buffer) {
    let screen = &model.ui.screens.compare;
    let comparison = &screen.comparison;
    let height = area.height.saturating_sub(page::HEAD + page::DETAILS);
    let window = page::window(screen, usize::from(height));
    let room = in_sight(area.width);
    let (first, last) = (screen.first, (screen.first + room).min(comparison.columns.len()));
    let titles: Vec<String> = comparison.columns[first..last].iter().map(title).collect();
    let fixed = [("VERSION", 13, Align::Left), ("IMAGE", 12, Align::Left), ("ALL", 6, Align::Right)];
    let fixed = fixed.map(|(title, width, align)| Column { title, least: width, most: width, align, rank: 0 });
    let places = titles.iter().map(|title| Column { title, least: CELL, most: CELL, align: Align::Right, rank: 0 });
    let columns: Vec<Column<'_>> = fixed.into_iter().chain(places).collect();
    let lines = window.iter().filter_map(|slot| {
        let Slot::Row(at) = slot else { return None };
        let row = comparison.rows.get(*at)?;
        Some(page::row(screen, *at, glyph(row), cells(row, first..last)))
    });
    let hidden = comparison.columns.len().saturating_sub(last - first);
    let more = if hidden > 0 { format!(", {hidden} out of sight (l, h)") } else { String::new() };
    let counts = format!(
        "{}: {}, {}{more}",
        comparison.service,
        counted(comparison.rows.len(), "image"),
        counted(comparison.columns.len(), "place")
    );
    let page = Page {
        counts,
        columns: &columns,
        lines: lines.collect(),
        empty: Line::new(Meaning::Dim, "nothing runs there; c on a row of another screen compares its service"),
        details: details(model, screen),
    };
    page::draw(model, area, buffer, &page);
}

/// The place without its kind: that is the same in all of them, or does not matter.
fn title(id: &WorkloadId) -> String {
    let name = id.place.0.rsplit('/').next().unwrap_or_default();
    name.to_string()
}

fn glyph(row: &Row) -> (Meaning, char) {
    let is_expected = row.cells.iter().any(|cell| cell.meant == Meant::Expected);
    let is_elsewhere = row.cells.iter().any(|cell| cell.instances > 0 && cell.meant != Meant::Expected);
    match (row.image.is_some(), is_expected, is_elsewhere) {
        (false, ..) => (Meaning::Unknown, '?'),
        (true, _, true) => (Meaning::Drift, '!'),
        (true, true, false) => (Meaning::Ok, '='),
        (true, false, false) => (Meaning::Dim, ' '),
    }
}

fn cells(row: &Row, columns: std::ops::Range<usize>) -> Vec<(Meaning, String)> {
    let version = row.version.as_ref().map_or("-".to_string(), ToString::to_string);
    let image = match (row.images().len(), &row.image) {
        (0 | 1, Some(image)) => image.short(12).to_string(),
        (0 | 1, None) => "no data".to_string(),
        (several, _) => counted(several, "image"),
    };
    let mut cells =
        vec![(Meaning::Text, version), (Meaning::Text, image), (Meaning::Text, row.instances().to_string())];
    cells.extend(row.cells[columns].iter().map(cell));
    cells
}

/// How many run it there: `=` where it is expected, `>` where the template asks for it, `!` where neither is so.
fn cell(cell: &Cell) -> (Meaning, String) {
    match (cell.instances, cell.meant) {
        (0, Meant::Nothing) => (Meaning::Dim, ".".to_string()),
        (0, Meant::Requested) => (Meaning::Dim, "> 0".to_string()),
        (0, Meant::Expected) => (Meaning::Warning, "= 0".to_string()),
        (count, Meant::Expected) => (Meaning::Ok, format!("= {count}")),
        (count, Meant::Requested) => (Meaning::Drift, format!("> {count}")),
        (count, Meant::Nothing) => (Meaning::Drift, format!("! {count}")),
    }
}

fn details(model: &Model, screen: &CompareScreen) -> Vec<Line> {
    let Some(row) = screen.comparison.rows.get(screen.listing.at) else {
        return vec![Line::default(), Line::default()];
    };
    let catalog = model.fleet.catalog();
    let labels = row.image.as_ref().and_then(|image| catalog.images_of(image).next()).map(|found| &found.labels);
    let facts = labels.into_iter().flat_map(|labels| [("commit", &labels.revision), ("built", &labels.created)]);
    let facts: Vec<String> =
        facts.filter_map(|(name, text)| text.as_ref().map(|text| format!("; {name} {text}"))).collect();
    let reference = row.reference.as_ref().map_or("not known".to_string(), ToString::to_string);
    let since = row.cells.iter().filter_map(|cell| cell.since).min();
    let since = since.map(|at| format!("; oldest {}", Clock::Since.show(at, model.now))).unwrap_or_default();
    vec![
        Line::new(Meaning::Text, format!(" {reference}{since}{}", facts.concat())),
        promotion(&screen.comparison).unwrap_or_else(|| {
            Line::new(Meaning::Ok, " =")
                .and(Meaning::Dim, " expected  ")
                .and(Meaning::Drift, ">")
                .and(Meaning::Dim, " asked for, another or none expected  ")
                .and(Meaning::Drift, "!")
                .and(Meaning::Dim, " neither")
        }),
    ]
}

/// How far each place is among the releases, the furthest behind first; `None` where nothing is released.
fn promotion(comparison: &Comparison) -> Option<Line> {
    let newest = comparison.standings.iter().flatten().find_map(|standing| standing.newest.as_ref())?;
    let mut groups: BTreeMap<Reverse<Option<usize>>, BTreeSet<String>> = BTreeMap::new();
    for (id, standing) in comparison.columns.iter().zip(&comparison.standings) {
        let behind = standing.as_ref().and_then(|standing| standing.behind);
        groups.entry(Reverse(behind)).or_default().insert(title(id));
    }
    let mut line = Line::new(Meaning::Dim, format!(" newest release {newest}"));
    for (Reverse(behind), places) in groups {
        let places = places.into_iter().collect::<Vec<String>>().join(", ");
        line = match behind {
            None => line.and(Meaning::Unknown, "  of no release: "),
            Some(0) => line.and(Meaning::Ok, "  has it: "),
            Some(behind) => line.and(Meaning::Warning, format!("  {behind} behind: ")),
        }
        .and(Meaning::Text, places);
    }
    Some(line)
}

/// What is known of an image of the row, place by place.
pub(crate) fn detail(model: &Model, name: &Text) -> Vec<Line> {
    let screen = &model.ui.screens.compare;
    let Some(row) = screen.named(name) else {
        return vec![Line::new(Meaning::Warning, " nobody runs it any more")];
    };
    let field = |name: &str, text: String| Line::new(Meaning::Dim, format!("   {name:<12}")).and(Meaning::Text, text);
    let mut lines = Vec::new();
    lines.push(field("asked as", row.reference.as_ref().map_or("not known".to_string(), ToString::to_string)));
    let documents = row.image.as_ref().and_then(|image| model.fleet.catalog().images_of(image).next());
    if let Some(documents) = documents {
        let labels = &documents.labels;
        let facts = [
            ("version", &labels.version),
            ("commit", &labels.revision),
            ("source", &labels.source),
            ("built", &labels.created),
        ];
        lines.extend(facts.into_iter().filter_map(|(name, text)| Some(field(name, text.as_ref()?.to_string()))));
        lines.extend(documents.index.as_ref().map(|index| field("index", index.to_string())));
        lines.extend(documents.platforms.iter().map(|platform| field(&platform.name, platform.manifest.to_string())));
    }
    lines.push(Line::new(Meaning::Title, "   places"));
    for (cell, id) in row.cells.iter().zip(&screen.comparison.columns).filter(|(cell, _)| **cell != Cell::default()) {
        let since = cell.since.map(|at| format!(", oldest {}", Clock::Since.show(at, model.now))).unwrap_or_default();
        let words = match cell.meant {
            Meant::Nothing => "neither asked for nor expected",
            Meant::Requested => "asked for",
            Meant::Expected => "expected",
        };
        let image = cell.image.as_ref().map(|image| format!(", {}", image.short(12))).unwrap_or_default();
        lines.push(field(&id.place.0, format!("{}x {} {}{image}: {words}{since}", cell.instances, id.kind, id.name)));
    }
    lines
}

/// The titles and cells of a row, for copies; all places.
pub(crate) fn copied(model: &Model, name: &Text) -> Option<(Vec<String>, Vec<String>)> {
    let comparison = &model.ui.screens.compare.comparison;
    let row = comparison.rows.iter().find(|row| name_of(row) == *name)?;
    let fixed = ["VERSION", "IMAGE", "ALL"].map(ToString::to_string);
    let titles = fixed.into_iter().chain(comparison.columns.iter().map(|id| id.place.0.to_string())).collect();
    let mut texts: Vec<String> = cells(row, 0..comparison.columns.len()).into_iter().map(|(_, text)| text).collect();
    if row.image.is_some() {
        texts[1] = row.images().into_iter().collect::<Vec<&str>>().join(" ");
    }
    Some((titles, texts))
}
