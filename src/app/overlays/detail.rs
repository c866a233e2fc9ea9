//! The detail of one row: everything that is known of it.
//!
//! Never keeps a copy: it shows what the fleet and the journal know at each frame.

use super::{Overlay, detail_text};
use crate::app::command::{Command, Risk, Scope};
use crate::app::commands::going::has_row;
use crate::app::effect::Effect;
use crate::app::model::Model;
use crate::app::rows::RowId;
use crate::app::theme::Meaning;
use crate::app::widgets::paint::Line;
use crate::app::widgets::panel::Panel;

/// Which row, and how far it is scrolled.
#[derive(Debug)]
pub(crate) struct DetailOverlay {
    /// The row.
    pub(crate) row: RowId,
    /// The first line shown.
    pub(crate) top: usize,
}

/// The commands.
pub(crate) const COMMANDS: &[Command] = &[Command {
    id: "detail.open",
    title: "detail",
    doc: "Shows everything that is known of the row: containers, versions, owners, who would undo a change, reasons.",
    risk: Risk::Look,
    scope: Scope::Lists,
    available: has_row,
    run: open,
}];

/// Opens the detail of the row under the cursor.
pub(crate) fn open(model: &mut Model) -> Vec<Effect> {
    if let Some(row) = model.ui.rows().listing().cursor.clone() {
        model.ui.overlays.push(Overlay::Detail(DetailOverlay { row, top: 0 }));
    }
    Vec::new()
}

/// What the overlay shows.
pub(crate) fn panel(model: &Model, overlay: &DetailOverlay, width: usize) -> Panel {
    let (name, lines) = detail_text::lines(model, &overlay.row, width);
    let body = lines.into_iter().flat_map(|line| line.wrapped(width, 4)).collect();
    let title = Line::new(Meaning::Header, " DETAIL ").and(Meaning::Text, format!("  {name}"));
    Panel { title, body, foot: Vec::new(), top: overlay.top }
}
