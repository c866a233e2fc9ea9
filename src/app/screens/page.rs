//! What the list screens have in common: the filter line, the window of visible rows, the lines about the cursor row.
//!
//! Never makes a row that is not visible.

use std::ops::Range;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::app::model::Model;
use crate::app::rows::{RowId, Rows};
use crate::app::theme::{Meaning, Theme};
use crate::app::ui::Entry;
use crate::app::widgets::paint::{self, Line};
use crate::app::widgets::table::{self, Column, Cursor, Mark, Row, TableLine};

/// Lines of a page that are not the table's rows: the filter line and the titles.
pub(crate) const HEAD: u16 = 2;

/// Lines under the table that tell of the cursor row.
pub(crate) const DETAILS: u16 = 2;

/// How many rows of a block are kept in sight at most, and how many lines the rows above it have at least.
const MOST_KEPT: usize = 3;
const LEAST_ABOVE: usize = 3;

/// One visible line: a row, or words before a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Slot {
    /// The row with this number.
    Row(usize),
    /// The section with this number.
    Section(usize),
}

/// Which lines are seen: those from `top` on, and under them the first lines of a block that is kept in sight.
struct Seen {
    top: usize,
    upper: usize,
    kept: Range<usize>,
}

/// Which lines are seen at this height. The window moves no more than it must.
fn seen(rows: &dyn Rows, height: usize) -> Seen {
    let (sections, listing) = (rows.sections(), rows.listing());
    let lines = rows.len() + sections.len();
    let at = listing.at.min(rows.len().saturating_sub(1));
    let cursor = at + sections.iter().filter(|&&before| before <= at).count();
    let whole = |top: usize| Seen { top, upper: height, kept: 0..0 };
    // The words above the first row are seen with it.
    let is_at_start = at == 0 && cursor < height;
    let block = rows.kept_block().and_then(|first| {
        let heading = first + sections.iter().position(|&before| before == first)?;
        let count = 1 + (rows.len() - first).min((height / 5).clamp(1, MOST_KEPT));
        (height >= count + LEAST_ABOVE).then_some((heading, count))
    });
    match block {
        _ if is_at_start && lines <= height => whole(0),
        // The cursor is in the block: the rows above give way to it.
        Some((heading, count)) if cursor > heading => {
            let last = cursor.max(heading + count - 1);
            let first = if cursor == heading + 1 { heading } else { cursor };
            whole(listing.top_for(last, height, lines).min(first))
        }
        // All rows above fit with the block under them, or the first screen ends in the block anyway.
        Some((heading, count)) if heading > height - count => {
            let upper = height - count;
            let top = if is_at_start { 0 } else { listing.top_for(cursor, upper, heading) };
            Seen { top, upper, kept: heading..heading + count }
        }
        _ if is_at_start => whole(0),
        _ => whole(listing.top_for(cursor, height, lines)),
    }
}

/// Which lines are visible.
pub(crate) fn window(rows: &dyn Rows, height: usize) -> Vec<Slot> {
    let sections = rows.sections();
    let lines = rows.len() + sections.len();
    let seen = seen(rows, height);
    let slot = |line: usize| {
        let section = sections.iter().enumerate().find(|(number, before)| *before + number == line);
        let above = sections.iter().enumerate().filter(|(number, before)| *before + number < line).count();
        section.map_or(Slot::Row(line - above), |(number, _)| Slot::Section(number))
    };
    (seen.top..(seen.top + seen.upper).min(lines)).chain(seen.kept).map(slot).collect()
}

/// The first visible line, kept so that the window moves no more than it must.
pub(crate) fn keep_top(rows: &mut dyn Rows, height: usize) {
    let top = seen(rows, height).top;
    rows.listing_mut().top = top;
}

/// A row of the table with cursor and mark as the list has them.
pub(crate) fn row(rows: &dyn Rows, at: usize, glyph: (Meaning, char), cells: Vec<(Meaning, String)>) -> TableLine {
    let id = rows.id_at(at);
    let is_marked = id.as_ref().is_some_and(|id: &RowId| rows.is_marked(at, id));
    TableLine::Row(Row {
        glyph,
        cells,
        cursor: if rows.listing().at == at { Cursor::Here } else { Cursor::Elsewhere },
        mark: if is_marked { Mark::Marked } else { Mark::Unmarked },
    })
}

/// The parts of a list screen.
pub(crate) struct Page<'a> {
    /// What the right end of the filter line says.
    pub(crate) counts: String,
    /// The columns.
    pub(crate) columns: &'a [Column<'a>],
    /// The visible lines.
    pub(crate) lines: Vec<TableLine>,
    /// What stands where there are no lines.
    pub(crate) empty: Line,
    /// About the cursor row.
    pub(crate) details: Vec<Line>,
}

/// Draws a list screen.
pub(crate) fn draw(model: &Model, area: Rect, buffer: &mut Buffer, page: &Page<'_>) {
    let theme = &model.settings.look.theme;
    filter_line(model, Rect { height: 1, ..area }, buffer, &page.counts, theme);
    let details = (page.details.len() as u16).min(area.height.saturating_sub(HEAD));
    let table = Rect { y: area.y + 1, height: area.height.saturating_sub(1 + details), ..area };
    table::draw(buffer, table, page.columns, &page.lines, theme);
    if page.lines.is_empty() && table.height > 1 {
        paint::line(buffer, area.x + 1, table.y + 1, area.width.saturating_sub(1), &page.empty, theme);
    }
    let under = Rect { y: area.y + area.height - details, height: details, ..area };
    paint::lines(buffer, under, &page.details, theme);
}

fn filter_line(model: &Model, area: Rect, buffer: &mut Buffer, counts: &str, theme: &Theme) {
    let rows = model.ui.rows();
    let listing = rows.listing();
    let filter = &listing.filter;
    let is_typing = matches!(model.ui.entry, Some(Entry::Filter { .. }));
    let mut left = Line::new(Meaning::Key, " /");
    let typed = crate::domain::text::Text::new(&filter.typed);
    left = left.and(if is_typing { Meaning::Input } else { Meaning::Text }, typed.to_string());
    if is_typing {
        left = left.and(Meaning::Input, "_");
    }
    if let Some(error) = &filter.error {
        left = left.and(Meaning::Danger, format!("  {error}"));
        if !filter.in_force.is_empty() {
            left = left.and(Meaning::Dim, format!("; in force: {}", crate::domain::text::Text::new(&filter.in_force)));
        }
    }
    let mut words = Vec::new();
    if !listing.marks.is_empty() || listing.range_from.is_some() {
        let count = rows.chosen().len();
        words.push(format!("{count} marked"));
    }
    if listing.order > 0 {
        words.push(format!("by {}", rows.orders()[listing.order.min(rows.orders().len() - 1)]));
    }
    // What is wrong with the filter comes before what it counts.
    let is_room = left.width() + counts.len() + 2 <= usize::from(area.width);
    if filter.error.is_none() || is_room {
        words.push(counts.to_string());
    }
    paint::both_ends(buffer, area, &left, &Line::new(Meaning::Dim, format!("{} ", words.join(", "))), theme);
}
