//! Timeline: which image appeared and vanished where and when, what was asked for, and who did it; the newest first.
//!
//! Never calls a time exact that nobody knows: `<` stands before the end of a span in which nobody watched.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::page::{self, Page, Slot};
use super::shown::{Shown, digest_length};
use crate::app::age::Clock;
use crate::app::filter::Matcher;
use crate::app::model::Model;
use crate::app::rows::{Listing, RowId, Rows};
use crate::app::theme::Meaning;
use crate::app::ui::{ColumnDetail, Known};
use crate::app::widgets::paint::Line;
use crate::app::widgets::table::{Align, Column};
use crate::domain::audit::{Audit, AuditQuestion, AuditRecord};
use crate::domain::id::WorkloadId;
use crate::domain::journal::Outcome;
use crate::domain::selector::{Condition, Selector};
use crate::domain::timeline::{Happened, Happening, HappeningId, of_operation};

/// The state of the screen.
#[derive(Debug, Default)]
pub(crate) struct TimelineScreen {
    listing: Listing,
    /// As they are shown.
    rows: Vec<Arc<Happening>>,
    /// How many the filter leaves out.
    left_out: usize,
    /// How many of the rows are of the last hour.
    last_hour: usize,
    made_for: Option<MadeFor>,
}

/// What the rows were made from: they are made again where one of these is another.
#[derive(Debug, PartialEq)]
struct MadeFor {
    timeline: u64,
    /// The last entries of the operations, added up.
    journal: u64,
    selector: Selector,
    order: usize,
    /// Where the filter asks for an age: the minute.
    minute: Option<i64>,
}

const HOUR: Duration = Duration::from_secs(3600);

const ORDERS: &[&str] = &["newest", "service", "place"];

const COLUMNS: &[Column<'_>] = &[
    Column { title: "AT (UTC)", least: 9, most: 12, align: Align::Left, rank: 0 },
    Column { title: "AGO", least: 3, most: 4, align: Align::Left, rank: 4 },
    Column { title: "SERVICE", least: 8, most: 40, align: Align::Left, rank: 0 },
    Column { title: "PLACE", least: 9, most: 40, align: Align::Left, rank: 0 },
    Column { title: "EVENT", least: 9, most: 9, align: Align::Left, rank: 0 },
    Column { title: "IMAGE", least: 14, most: 40, align: Align::Left, rank: 0 },
    Column { title: "BY", least: 8, most: 40, align: Align::Left, rank: 3 },
    Column { title: "DETAIL", least: 16, most: 120, align: Align::Left, rank: 5 },
];

const WIDE: &[Column<'_>] = &[
    Column { title: "WORKLOAD", least: 8, most: 50, align: Align::Left, rank: 6 },
    Column { title: "CONTAINER", least: 5, most: 20, align: Align::Left, rank: 7 },
    Column { title: "ASKED AS", least: 12, most: 120, align: Align::Left, rank: 8 },
];

impl Rows for TimelineScreen {
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
        self.rows.get(at).map(|row| RowId::Happening(row.id()))
    }
    fn position(&self, id: &RowId) -> Option<usize> {
        let RowId::Happening(id) = id else { return None };
        self.rows.iter().position(|row| id.is_of(row))
    }
    fn orders(&self) -> &'static [&'static str] {
        ORDERS
    }
    fn around(&self, known: &Known<'_>) -> Vec<Line> {
        vec![Line::plain(self.counts(known)), self.empty(known)]
    }
    fn times(&self, at: usize, _: &Known<'_>) -> Vec<(Clock, Timestamp)> {
        self.rows.get(at).map(|row| (Clock::Since, row.at)).into_iter().collect()
    }
    fn is_bad(&self, at: usize, _: &Known<'_>) -> bool {
        self.rows.get(at).is_some_and(|row| is_bad_end(row))
    }
}

impl TimelineScreen {
    /// A row by its id.
    pub(crate) fn row(&self, id: &HappeningId) -> Option<&Happening> {
        self.rows.iter().find(|row| id.is_of(row)).map(|row| &**row)
    }

    /// Makes the rows again where something has happened. True if they changed.
    pub(crate) fn rebuild(&mut self, known: &Known<'_>) -> bool {
        let selector = &self.listing.filter.selector;
        let has_age = selector.terms.iter().any(|term| matches!(term.condition, Condition::Age(..)));
        let made_for = MadeFor {
            timeline: known.timeline.revision(),
            journal: known.operations.iter().map(|tracked| tracked.operation.last_sequence).sum(),
            selector: selector.clone(),
            order: self.listing.order,
            minute: has_age.then(|| known.now.as_second().div_euclid(60)),
        };
        let is_news = self.made_for.as_ref() != Some(&made_for);
        if is_news {
            let mut rows = all(known);
            let count = rows.len();
            if !made_for.selector.terms.is_empty() {
                let matcher = Matcher::new(&made_for.selector);
                // Most filters have no word to look for: then no name is made.
                let has_words = made_for.selector.words().next().is_some();
                let mut name = String::new();
                rows.retain(|row| {
                    name.clear();
                    if has_words {
                        row.write_name(&mut name);
                    }
                    matcher.is_selected(&row.facts(&row.images(), &name, known.now))
                });
            }
            self.left_out = count - rows.len();
            match ORDERS.get(self.listing.order).copied().unwrap_or("newest") {
                "service" => rows.sort_by(|a, b| a.service.cmp(&b.service)),
                "place" => rows.sort_by(|a, b| a.workload.place.cmp(&b.workload.place)),
                _ => {}
            }
            self.rows = rows;
            self.made_for = Some(made_for);
        }
        let last_hour = self.rows.iter().filter(|row| row.at >= known.now - HOUR).count();
        let is_older = std::mem::replace(&mut self.last_hour, last_hour) != last_hour;
        is_news || is_older
    }

    fn counts(&self, known: &Known<'_>) -> String {
        let since = match known.timeline.reaches_back_to(known.now) {
            Some(since) => format!("watched since {}", moment(since, known.now)),
            None => "not watched yet".to_string(),
        };
        let kept = known.timeline.retention().describe();
        let left_out =
            if self.left_out > 0 { format!(" of {}", self.rows.len() + self.left_out) } else { String::new() };
        format!("last hour {}, all {}{left_out}, {since}, kept {kept}", self.last_hour, self.rows.len())
    }

    fn empty(&self, known: &Known<'_>) -> Line {
        match (self.left_out, known.timeline.reaches_back_to(known.now)) {
            (0, None) => Line::new(Meaning::Warning, " no place has been seen as a whole yet: nothing can be compared"),
            (0, Some(since)) => {
                Line::new(Meaning::Dim, format!(" nothing has changed since {} UTC", moment(since, known.now)))
            }
            (left_out, _) => {
                let kept = known.timeline.retention().describe();
                Line::new(
                    Meaning::Dim,
                    format!(" nothing is left by the filter, of {left_out} rows of the last {kept}"),
                )
            }
        }
    }

    fn details(&self, known: &Known<'_>) -> Vec<Line> {
        let Some(row) = self.rows.get(self.listing.at) else { return vec![Line::default(), Line::default()] };
        let by = row.by.as_ref().map_or("nobody is known to have asked for it".to_string(), |by| format!("by {by}"));
        let container = row.container.as_ref().map(|name| format!(", container {name}")).unwrap_or_default();
        let asked = row.reference.as_ref().map(|reference| format!("; {reference}")).unwrap_or_default();
        let words = row.words();
        let words = if words.is_empty() { "at".to_string() } else { format!("{words}; at") };
        let at = row.at.strftime("%Y-%m-%d %H:%M:%S UTC");
        vec![
            Line::new(Meaning::Title, format!(" {}", row.service))
                .and(Meaning::Text, format!(": {} {}", row.what.as_str(), shown(row).spoken()))
                .and(Meaning::Text, format!(" in {}{container}, {by}", super::short(&row.workload))),
            Line::new(Meaning::Dim, format!(" {words} {at}, {} ago{asked}", Clock::Since.show(row.at, known.now))),
        ]
    }
}

/// Everything that happened, the newest first: what was watched, and what our journal has of the same time.
pub(crate) fn all(known: &Known<'_>) -> Vec<Arc<Happening>> {
    let service = |id: &WorkloadId| {
        known.fleet.workload(id).map_or_else(|| id.name.clone(), |workload| workload.seen.service.clone())
    };
    let limit = known.now - known.timeline.retention().age;
    let operations = known.operations.iter().map(|tracked| of_operation(&tracked.operation, &service));
    let ours = operations.flatten().filter(|row| row.at >= limit).map(Arc::new);
    let mut rows: Vec<Arc<Happening>> = known.timeline.rows().iter().cloned().chain(ours).collect();
    rows.sort_by(|a, b| b.at.cmp(&a.at).then_with(|| b.what.cmp(&a.what)).then_with(|| a.workload.cmp(&b.workload)));
    rows
}

fn is_bad_end(row: &Happening) -> bool {
    row.what == Happened::Ended && !row.detail.starts_with(Outcome::Done.as_str())
}

fn glyph(row: &Happening) -> (Meaning, char) {
    match row.what {
        Happened::Operation => (Meaning::Rolling, '*'),
        Happened::Requested => (Meaning::Rolling, '>'),
        Happened::Template => (Meaning::Dim, '.'),
        Happened::Appeared => (Meaning::Ok, '+'),
        Happened::Vanished => (Meaning::Text, '-'),
        Happened::Ended if is_bad_end(row) => (Meaning::Danger, '!'),
        Happened::Ended => (Meaning::Ok, '='),
    }
}

fn shown(row: &Happening) -> Shown {
    let version = row.version.clone().or_else(|| row.reference.clone().filter(|_| row.image.is_none()));
    match (&row.image, &version) {
        (None, None) => Shown::Words("not known"),
        _ => Shown::Image { image: row.image.clone(), version },
    }
}

/// A moment, to the second where it is of today.
fn moment(at: Timestamp, now: Timestamp) -> String {
    let day = |at: Timestamp| at.as_second().div_euclid(86_400);
    let format = if day(at) == day(now) { "%H:%M:%S" } else { "%m-%d %H:%M" };
    at.strftime(format).to_string()
}

fn cells(row: &Happening, length: usize, now: Timestamp, columns: usize) -> Vec<(Meaning, String)> {
    let meaning = glyph(row).0;
    let end = if row.after.is_some() { "<" } else { "" };
    let ago = Clock::Since.show(row.at, now);
    let mut cells = vec![
        (Meaning::Text, format!("{end}{}", moment(row.at, now))),
        (Meaning::Dim, ago),
        (Meaning::Text, row.service.to_string()),
        (Meaning::Text, row.workload.place.to_string()),
        (meaning, row.what.as_str().to_string()),
        (meaning, shown(row).text(length)),
        (Meaning::Text, row.by.as_deref().unwrap_or("-").to_string()),
        (Meaning::Dim, row.words()),
    ];
    if columns > COLUMNS.len() {
        let id = &row.workload;
        let namespace = id.namespace.as_ref().map(|namespace| format!("{namespace}/")).unwrap_or_default();
        cells.push((Meaning::Text, format!("{} {namespace}{}", id.kind, id.name)));
        cells.push((Meaning::Text, row.container.as_deref().unwrap_or("-").to_string()));
        cells.push((Meaning::Dim, row.reference.as_deref().unwrap_or("-").to_string()));
    }
    cells
}

/// Draws the screen.
pub(crate) fn draw(model: &Model, area: Rect, buffer: &mut Buffer) {
    let screen = &model.ui.screens.timeline;
    let known = model.known();
    let columns = match model.ui.detail {
        ColumnDetail::Plain => COLUMNS.to_vec(),
        ColumnDetail::Wide => [COLUMNS, WIDE].concat(),
    };
    let height = area.height.saturating_sub(page::HEAD + page::DETAILS);
    let window = page::window(screen, usize::from(height));
    let visible =
        || window.iter().filter_map(|slot| if let Slot::Row(at) = slot { screen.rows.get(*at) } else { None });
    let images: Vec<Shown> = visible().map(|row| shown(row)).collect();
    let length = digest_length(images.iter());
    let lines = window.iter().filter_map(|slot| {
        let Slot::Row(at) = slot else { return None };
        let row = screen.rows.get(*at)?;
        Some(page::row(screen, *at, glyph(row), cells(row, length, model.now, columns.len())))
    });
    let page = Page {
        counts: screen.counts(&known),
        columns: &columns,
        lines: lines.collect(),
        empty: screen.empty(&known),
        details: screen.details(&known),
    };
    page::draw(model, area, buffer, &page);
}

/// Everything that is known of a row.
pub(crate) fn detail(model: &Model, row: &Happening) -> Vec<Line> {
    let text = |text: &Option<crate::domain::text::Text>| text.as_deref().unwrap_or("not known").to_string();
    let image = row.image.as_ref().map_or("not known".to_string(), ToString::to_string);
    let ago = Clock::Since.show(row.at, model.now);
    let at = row.at.strftime("%Y-%m-%dT%H:%M:%SZ");
    let at = if row.after.is_some() { format!("{} ({at} at the latest)", row.span()) } else { at.to_string() };
    let commit = row.image.as_ref().and_then(|image| model.fleet.commit_of(&row.service, image));
    let facts = [
        ("event", row.what.as_str().to_string()),
        ("at", format!("{at}, {ago} ago")),
        ("where", row.workload.to_string()),
        ("container", row.container.as_deref().unwrap_or("the main one").to_string()),
        ("image", image),
        ("asked as", text(&row.reference)),
        ("version", text(&row.version)),
        ("commit", commit.map(|commit| commit.to_string()).unwrap_or_default()),
        ("seen", seen(model, row)),
        ("by", text(&row.by)),
        ("detail", row.detail.to_string()),
    ];
    let field =
        |(name, text): (&str, String)| Line::new(Meaning::Dim, format!("   {name:<12}")).and(Meaning::Text, text);
    let audit = audit(model, row).into_iter().map(|text| ("audit", text));
    facts.into_iter().chain(audit).filter(|(_, text)| !text.is_empty()).map(field).collect()
}

/// What the place's audit log has of what led to it, line by line.
fn audit(model: &Model, row: &Happening) -> Vec<String> {
    const MOST: usize = 20;
    let (records, said) = match model.auditing.of(&row.id()) {
        None => return vec!["its place is asked who asked for it".to_string()],
        Some(Audit::Absent(why) | Audit::Unknown(why)) => return vec![why.to_string()],
        Some(said @ Audit::Said { records, .. }) => (records, said),
    };
    let mut lines: Vec<String> = records.iter().take(MOST).map(AuditRecord::words).collect();
    if records.len() > MOST {
        lines.push(format!("and {} more (`rolldeck timeline --audit` has them all)", records.len() - MOST));
    }
    if lines.is_empty() {
        let AuditQuestion { from, until, .. } = AuditQuestion::about(row);
        let moment = |at: Timestamp| at.strftime("%m-%d %H:%M").to_string();
        let read = if said.is_in_part() { " in what was read" } else { "" };
        lines.push(format!("nothing that changes it was found{read} from {} to {} UTC", moment(from), moment(until)));
    }
    lines.extend(said.lacks().map(|lacks| lacks.to_string()));
    lines
}

/// When something happened to its image in its service for the first and the last time, wherever that was and as far back as is kept.
fn seen(model: &Model, row: &Happening) -> String {
    let Some(image) = &row.image else { return String::new() };
    let kept = model.timeline.rows().iter();
    let of_image = kept.filter(|other| other.service == row.service && other.image.as_ref() == Some(image));
    let at: Vec<Timestamp> = of_image.map(|other| other.at).collect();
    let moment =
        |at: Option<&Timestamp>| at.map(|at| at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()).unwrap_or_default();
    if at.is_empty() {
        return String::new();
    }
    format!("since {} as far as is kept, last change {}", moment(at.iter().min()), moment(at.iter().max()))
}

/// The titles and cells of a row, for copies.
pub(crate) fn copied(model: &Model, id: &HappeningId) -> Option<(Vec<&'static str>, Vec<String>)> {
    let columns = [COLUMNS, WIDE].concat();
    let row = model.ui.screens.timeline.row(id)?;
    let mut cells: Vec<String> =
        cells(row, usize::MAX, model.now, columns.len()).into_iter().map(|(_, text)| text).collect();
    // Whoever reads it reads it later.
    cells[0] = row.at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    Some((columns.iter().map(|column| column.title).collect(), cells))
}
