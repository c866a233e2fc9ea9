//! One line of styled pieces into a buffer, cut by cells.
//!
//! Never writes outside the width that it was given.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use crate::app::cells;
use crate::app::theme::{Meaning, Theme};

/// A line of pieces, each with its meaning.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Line(pub(crate) Vec<(Meaning, String)>);

impl Line {
    /// One plain piece.
    pub(crate) fn plain(text: impl Into<String>) -> Line {
        Line::new(Meaning::Text, text)
    }

    /// One piece.
    pub(crate) fn new(meaning: Meaning, text: impl Into<String>) -> Line {
        Line(vec![(meaning, text.into())])
    }

    /// The same line with one more piece.
    #[must_use]
    pub(crate) fn and(mut self, meaning: Meaning, text: impl Into<String>) -> Line {
        self.0.push((meaning, text.into()));
        self
    }

    /// How many cells it takes.
    pub(crate) fn width(&self) -> usize {
        self.0.iter().map(|(_, text)| cells::width(text)).sum()
    }

    /// As much of it as fits into this width, `..` at the end where something is missing.
    #[must_use]
    pub(crate) fn cut(mut self, width: usize) -> Line {
        if self.width() <= width {
            return self;
        }
        let dots = width.min(2);
        let mut space = width - dots;
        let mut meaning = Meaning::Text;
        for (own, text) in &mut self.0 {
            let kept = cells::head(text, space).len();
            if space > 0 {
                meaning = *own;
            }
            let is_cut = kept < text.len();
            text.truncate(kept);
            space = if is_cut { 0 } else { space - cells::width(text) };
        }
        self.0.retain(|(_, text)| !text.is_empty());
        self.and(meaning, &".."[..dots])
    }

    /// Without styles.
    #[cfg(test)]
    pub(crate) fn text(&self) -> String {
        self.0.iter().map(|(_, text)| text.as_str()).collect()
    }

    /// Broken into lines of at most this width. A piece that breaks keeps its meaning; lines after the first are set in.
    pub(crate) fn wrapped(self, width: usize, indent: usize) -> Vec<Line> {
        if self.width() <= width || width <= indent + 4 {
            return vec![self];
        }
        let mut lines = vec![Line::default()];
        let mut used = 0;
        for (meaning, text) in self.0 {
            let mut rest = text.as_str();
            loop {
                let space = width.saturating_sub(used);
                if cells::width(rest) <= space {
                    used += cells::width(rest);
                    if let Some(line) = lines.last_mut() {
                        line.0.push((meaning, rest.to_string()));
                    }
                    break;
                }
                let fitting = cells::head(rest, space);
                let cut = match fitting.rfind(' ') {
                    Some(at) if at > 0 => at,
                    // Nothing to break at: a new line first, then through the word.
                    _ if used > indent => 0,
                    _ => fitting.len().max(1),
                };
                let cut = if rest.is_char_boundary(cut) { cut } else { rest.len() };
                if let Some(line) = lines.last_mut().filter(|_| cut > 0) {
                    line.0.push((meaning, rest[..cut].to_string()));
                }
                rest = rest[cut..].trim_start_matches(' ');
                lines.push(Line::new(Meaning::Text, " ".repeat(indent)));
                used = indent;
            }
        }
        lines
    }
}

/// Draws one line; what does not fit is cut with `..`.
pub(crate) fn line(buffer: &mut Buffer, x: u16, y: u16, width: u16, line: &Line, theme: &Theme) {
    let area = buffer.area;
    if y < area.y || y >= area.bottom() || x >= area.right() {
        return;
    }
    let space = usize::from(width.min(area.right() - x));
    let cut;
    let shown = if line.width() > space {
        cut = line.clone().cut(space);
        &cut
    } else {
        line
    };
    let mut at = x;
    for (meaning, text) in &shown.0 {
        let used = cells::width(text) as u16;
        buffer.set_stringn(at, y, text, usize::from(used), theme.style(*meaning));
        at += used;
    }
}

/// Draws lines from the top of an area.
pub(crate) fn lines(buffer: &mut Buffer, area: Rect, lines: &[Line], theme: &Theme) {
    for (row, shown) in lines.iter().take(usize::from(area.height)).enumerate() {
        line(buffer, area.x, area.y + row as u16, area.width, shown, theme);
    }
}

/// One line with something at its right end; the left part gives way.
pub(crate) fn both_ends(buffer: &mut Buffer, area: Rect, left: &Line, right: &Line, theme: &Theme) {
    let right_width = (right.width() as u16).min(area.width);
    let left_width = area.width.saturating_sub(right_width + 1);
    line(buffer, area.x, area.y, left_width, left, theme);
    line(buffer, area.x + area.width - right_width, area.y, right_width, right, theme);
}

/// Fills an area with spaces of a style.
pub(crate) fn fill(buffer: &mut Buffer, area: Rect, style: Style) {
    for y in area.top()..area.bottom() {
        for x in area.left()..area.right() {
            if let Some(cell) = buffer.cell_mut((x, y)) {
                cell.reset();
                cell.set_style(style);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn drawn(pieces: &[&str], width: u16) -> String {
        let mut buffer = Buffer::empty(Rect::new(0, 0, width, 1));
        let shown = Line(pieces.iter().map(|piece| (Meaning::Text, (*piece).to_string())).collect());
        line(&mut buffer, 0, 0, width, &shown, &Theme::default());
        buffer.content.iter().map(ratatui::buffer::Cell::symbol).collect::<String>().trim_end().to_string()
    }

    #[test]
    fn a_line_that_does_not_fit_says_so_at_its_end() {
        assert_eq!(drawn(&["one ", "two"], 7), "one two");
        assert_eq!(drawn(&["one ", "two"], 6), "one ..");
        assert_eq!(drawn(&["one ", "two", " three"], 8), "one tw..");
        assert_eq!(drawn(&["one"], 2), "..");
    }

    #[test]
    fn long_lines_are_broken_at_spaces_and_set_in() {
        let line = Line::plain("a: ").and(Meaning::Dim, "one two three four");
        let texts: Vec<String> = line.wrapped(12, 2).iter().map(Line::text).collect();
        assert_eq!(texts, ["a: one two", "  three four"]);
    }

    proptest! {
        #[test]
        fn wrapping_keeps_every_letter(text in "[a-z日 ]{0,60}", width in 8usize..30) {
            let lines = Line::plain(text.clone()).wrapped(width, 2);
            let letters = |text: &str| text.chars().filter(|c| *c != ' ').collect::<String>();
            let kept: String = lines.iter().map(|line| letters(&line.text())).collect();
            prop_assert_eq!(kept, letters(&text));
            prop_assert!(lines.iter().all(|line| line.width() <= width));
        }
    }
}
