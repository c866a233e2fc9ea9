//! Moving the cursor of the visible list.
//!
//! Never wraps around: the ends are the ends.

use crate::app::command::{Command, Risk, Scope, always};
use crate::app::effect::Effect;
use crate::app::model::Model;
use crate::app::view;

/// The commands.
pub(crate) const COMMANDS: &[Command] = &[
    command("cursor.down", "down", "Moves the cursor one row down.", |model| by(model, 1)),
    command("cursor.up", "up", "Moves the cursor one row up.", |model| by(model, -1)),
    command("cursor.page_down", "page down", "Moves the cursor down by what the screen shows.", |model| {
        by(model, page(model))
    }),
    command("cursor.page_up", "page up", "Moves the cursor up by what the screen shows.", |model| {
        by(model, -page(model))
    }),
    command("cursor.first", "first row", "Moves the cursor to the first row.", |model| by(model, isize::MIN)),
    command("cursor.last", "last row", "Moves the cursor to the last row.", |model| by(model, isize::MAX)),
];

const fn command(
    id: &'static str,
    title: &'static str,
    doc: &'static str,
    run: fn(&mut Model) -> Vec<Effect>,
) -> Command {
    Command { id, title, doc, risk: Risk::Look, scope: Scope::Lists, available: always, run }
}

/// Moves the cursor by some rows.
pub(crate) fn by(model: &mut Model, rows: isize) -> Vec<Effect> {
    let list = model.ui.rows_mut();
    list.listing_mut().home = None;
    let at = list.listing().at.saturating_add_signed(rows);
    list.go_to(at);
    Vec::new()
}

fn page(model: &Model) -> isize {
    isize::try_from(view::layout(model).table_height.max(2) - 1).unwrap_or(1)
}
