//! What lies over a screen: a title line, a body that scrolls, a line at the foot.
//!
//! Never shows a body without saying that there is more of it.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::paint::{self, Line};
use crate::app::theme::{Meaning, Theme};

/// What a panel shows.
pub(crate) struct Panel {
    /// On its first line.
    pub(crate) title: Line,
    /// Under it.
    pub(crate) body: Vec<Line>,
    /// Always seen, at the bottom.
    pub(crate) foot: Vec<Line>,
    /// The first line of the body that is shown.
    pub(crate) top: usize,
}

/// How far a body can be scrolled in a panel of this height.
pub(crate) fn most_top(body: usize, foot: usize, height: usize) -> usize {
    body.saturating_sub(height.saturating_sub(1 + foot).max(1))
}

/// Draws a panel over the whole area.
pub(crate) fn draw(buffer: &mut Buffer, area: Rect, panel: &Panel, theme: &Theme) {
    paint::fill(buffer, area, theme.style(Meaning::Text));
    let foot = (panel.foot.len() as u16).min(area.height.saturating_sub(2));
    let space = area.height.saturating_sub(1 + foot);
    let top = panel.top.min(most_top(panel.body.len(), usize::from(foot), usize::from(area.height)));
    let below = panel.body.len().saturating_sub(top + usize::from(space));
    let more = match (top, below) {
        (0, 0) => Line::default(),
        (above, 0) => Line::new(Meaning::Dim, format!("-{above} PgUp ")),
        (0, below) => Line::new(Meaning::Warning, format!("+{below} PgDn ")),
        (above, below) => Line::new(Meaning::Warning, format!("-{above} +{below} PgUp PgDn ")),
    };
    paint::both_ends(buffer, Rect { height: 1, ..area }, &panel.title, &more, theme);
    let body = Rect { y: area.y + 1, height: space, ..area };
    paint::lines(buffer, body, &panel.body[top.min(panel.body.len())..], theme);
    let at_foot = Rect { y: area.y + area.height - foot, height: foot, ..area };
    paint::lines(buffer, at_foot, &panel.foot, theme);
}
