//! Marks: by id, so that they stay on their rows while rows move.
//!
//! Never acts; plans and copies read the marks.

use crate::app::command::not_now;
use crate::app::command::{Command, Risk, Scope};
use crate::app::commands::going::has_row;
use crate::app::commands::moving;
use crate::app::effect::Effect;
use crate::app::model::Model;
use crate::app::rows::RowId;
use crate::domain::text::Text;

/// The commands.
pub(crate) const COMMANDS: &[Command] = &[
    mark("mark.toggle", "mark", "Marks the row or takes its mark off; ends a range.", toggle),
    mark("mark.range", "range", "Begins a range of marks at the cursor, or ends it.", range),
    mark("mark.all", "mark all shown", "Marks every row that the filter leaves; once more takes the marks off.", all),
];

const fn mark(id: &'static str, title: &'static str, doc: &'static str, run: fn(&mut Model) -> Vec<Effect>) -> Command {
    Command { id, title, doc, risk: Risk::Look, scope: Scope::Lists, available: has_rows, run }
}

/// Whether what is shown is what the filter says: nothing else may be marked.
fn has_rows(model: &Model) -> Result<(), Text> {
    has_row(model)?;
    if model.ui.rows().is_settled() { Ok(()) } else { not_now("the rows of this filter are still looked for") }
}

fn toggle(model: &mut Model) -> Vec<Effect> {
    if model.ui.rows().listing().range_from.is_some() {
        return range(model);
    }
    let listing = model.ui.rows_mut().listing_mut();
    if let Some(id) = listing.cursor.clone().filter(|id| !listing.marks.remove(id)) {
        listing.marks.insert(id);
    }
    moving::by(model, 1)
}

fn range(model: &mut Model) -> Vec<Effect> {
    let rows = model.ui.rows_mut();
    if rows.listing().range_from.is_none() {
        let cursor = rows.listing().cursor.clone();
        rows.listing_mut().range_from = cursor;
        return Vec::new();
    }
    let chosen = rows.chosen();
    let listing = rows.listing_mut();
    listing.marks = chosen.into_iter().collect();
    listing.range_from = None;
    Vec::new()
}

fn all(model: &mut Model) -> Vec<Effect> {
    let rows = model.ui.rows_mut();
    let shown: std::collections::BTreeSet<RowId> = (0..rows.len()).filter_map(|at| rows.id_at(at)).collect();
    let listing = rows.listing_mut();
    if shown.is_subset(&listing.marks) {
        listing.marks.retain(|id| !shown.contains(id));
    } else {
        listing.marks.extend(shown);
    }
    Vec::new()
}
