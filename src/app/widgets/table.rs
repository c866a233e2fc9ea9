//! A table: columns that give way when the terminal is narrow, rows with a cursor and marks.
//!
//! Never knows what a column means; only visible rows come in here.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::paint::{self, Line};
use crate::app::cells;
use crate::app::theme::{Meaning, Theme};

/// Cells before the first column: the cursor, the glyph, the mark.
const GUTTER: u16 = 3;

/// One column.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Column<'a> {
    /// Its title.
    pub(crate) title: &'a str,
    /// It is never narrower than this.
    pub(crate) least: u16,
    /// It is never wider than this.
    pub(crate) most: u16,
    /// Where its text stands.
    pub(crate) align: Align,
    /// Left out first where space is short: the highest number. 0 always stays.
    pub(crate) rank: u8,
}

/// Where the text of a column stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Align {
    /// Words.
    Left,
    /// Numbers.
    Right,
    /// Names whose end tells them apart.
    Middle,
}

/// One row.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    /// What it is, in one character.
    pub(crate) glyph: (Meaning, char),
    /// Its cells, as many as columns.
    pub(crate) cells: Vec<(Meaning, String)>,
    /// Whether the cursor is on it.
    pub(crate) cursor: Cursor,
    /// Whether it is marked.
    pub(crate) mark: Mark,
}

/// Whether the cursor is on a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cursor {
    /// It is.
    Here,
    /// It is not.
    Elsewhere,
}

/// Whether a row is marked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    /// It is.
    Marked,
    /// It is not.
    Unmarked,
}

/// One line under the titles.
#[derive(Clone, Debug)]
pub(crate) enum TableLine {
    /// A row.
    Row(Row),
    /// Words between rows.
    Words(Line),
}

/// Draws titles and lines.
pub(crate) fn draw(buffer: &mut Buffer, area: Rect, columns: &[Column<'_>], lines: &[TableLine], theme: &Theme) {
    let widths = widths(columns, lines, area.width.saturating_sub(GUTTER));
    let mut x = area.x + GUTTER;
    paint::line(buffer, area.x, area.y, GUTTER, &Line::new(Meaning::Title, " S "), theme);
    for (column, width) in columns.iter().zip(&widths) {
        let Some(width) = *width else { continue };
        let title = fit(cells::head(column.title, usize::from(width)), column.align, width);
        paint::line(buffer, x, area.y, width, &Line::new(Meaning::Title, title), theme);
        x += width + 1;
    }
    for (number, line) in lines.iter().take(usize::from(area.height.saturating_sub(1))).enumerate() {
        let y = area.y + 1 + number as u16;
        match line {
            TableLine::Words(words) => paint::line(buffer, area.x, y, area.width, words, theme),
            TableLine::Row(row) => draw_row(buffer, Rect { y, height: 1, ..area }, row, columns, &widths, theme),
        }
    }
}

fn draw_row(buffer: &mut Buffer, area: Rect, row: &Row, columns: &[Column<'_>], widths: &[Option<u16>], theme: &Theme) {
    let cursor = if row.cursor == Cursor::Here { ">" } else { " " };
    let mark = if row.mark == Mark::Marked { "+" } else { " " };
    let gutter = Line::new(Meaning::Key, cursor).and(row.glyph.0, row.glyph.1.to_string()).and(Meaning::Marked, mark);
    paint::line(buffer, area.x, area.y, GUTTER, &gutter, theme);
    let mut x = area.x + GUTTER;
    for ((column, width), (meaning, text)) in columns.iter().zip(widths).zip(&row.cells) {
        let Some(width) = *width else { continue };
        let text = fit(text, column.align, width);
        paint::line(buffer, x, area.y, width, &Line::new(*meaning, text), theme);
        x += width + 1;
    }
    if row.mark == Mark::Marked {
        buffer.set_style(area, theme.style(Meaning::Marked));
    }
    if row.cursor == Cursor::Here {
        buffer.set_style(area, theme.style(Meaning::Selected));
    }
}

fn fit(text: &str, align: Align, width: u16) -> String {
    let width = usize::from(width);
    match align {
        Align::Left => cells::left(text, width),
        Align::Right => cells::right(text, width),
        Align::Middle => cells::left(&cells::middle(text, width), width),
    }
}

/// The width of each column; `None` where it is left out. Columns are as wide as what they show, then give way, the
/// widest first, then are left out.
fn widths(columns: &[Column<'_>], lines: &[TableLine], space: u16) -> Vec<Option<u16>> {
    let mut wanted: Vec<u16> = columns.iter().map(|column| cells::width(column.title) as u16).collect();
    for row in lines.iter().filter_map(|line| if let TableLine::Row(row) = line { Some(row) } else { None }) {
        for (width, (_, text)) in wanted.iter_mut().zip(&row.cells) {
            *width = (*width).max(cells::width(text).min(usize::from(u16::MAX)) as u16);
        }
    }
    let mut widths: Vec<Option<u16>> = columns
        .iter()
        .zip(&wanted)
        .map(|(column, &width)| Some(width.clamp(column.least, column.most.max(column.least))))
        .collect();
    loop {
        let used = |widths: &[Option<u16>]| -> u16 {
            let shown = widths.iter().flatten();
            (shown.clone().sum::<u16>() + shown.count() as u16).saturating_sub(1)
        };
        while used(&widths) > space {
            let widest = columns
                .iter()
                .zip(&mut widths)
                .filter_map(|(column, width)| {
                    width.as_mut().filter(|width| **width > column.least).map(|width| (column, width))
                })
                .max_by_key(|(column, width)| (**width - column.least, column.rank));
            match widest {
                Some((_, width)) => *width -= 1,
                None => break,
            }
        }
        if used(&widths) <= space {
            return widths;
        }
        let last = columns.iter().enumerate().filter(|(at, column)| widths[*at].is_some() && column.rank > 0);
        match last.max_by_key(|(_, column)| column.rank) {
            Some((at, _)) => {
                widths[at] = None;
                for (width, (column, &wanted)) in widths.iter_mut().zip(columns.iter().zip(&wanted)) {
                    *width = width.map(|_| wanted.clamp(column.least, column.most.max(column.least)));
                }
            }
            None => return widths,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: &[Column] = &[
        Column { title: "NAME", least: 6, most: 30, align: Align::Left, rank: 0 },
        Column { title: "N", least: 3, most: 8, align: Align::Right, rank: 0 },
        Column { title: "NOTE", least: 5, most: 40, align: Align::Left, rank: 2 },
    ];

    fn check(width: u16, expected: &[Option<u16>]) {
        let cells = ["a-name-of-eighteen", "12", "a note of some length"].map(|text| (Meaning::Text, text.to_string()));
        let row = Row { glyph: (Meaning::Ok, '='), cells: cells.to_vec(), cursor: Cursor::Here, mark: Mark::Unmarked };
        assert_eq!(widths(COLUMNS, &[TableLine::Row(row)], width), expected, "{width}");
    }

    #[test]
    fn columns_give_way_and_are_left_out_in_the_order_of_their_rank() {
        check(60, &[Some(18), Some(3), Some(21)]);
        check(30, &[Some(13), Some(3), Some(12)]);
        check(16, &[Some(6), Some(3), Some(5)]);
        check(14, &[Some(10), Some(3), None]);
        check(4, &[Some(6), Some(3), None]);
    }
}
