//! Filter, order, next bad row, width of the table, panes, the incident's name.
//!
//! Never loses the cursor's row where the filter leaves it.

use crate::app::command::{Command, Risk, Scope, always, not_now};
use crate::app::effect::Effect;
use crate::app::model::Model;
use crate::app::rows::Rows as _;
use crate::app::screens::Screen;
use crate::app::screens::operations::Pane;
use crate::app::ui::{ColumnDetail, Entry};
use crate::domain::text::Text;

/// The commands.
pub(crate) const COMMANDS: &[Command] = &[
    list(
        "filter.edit",
        "filter",
        "Types a filter: words, svc: place: ns: kind: state: digest: image: age> age<; the rows follow.",
        always,
        edit,
    ),
    list("row.next_bad", "next bad row", "Goes to the next row that is off or not healthy.", has_bad, |model| {
        next_bad(model, 1)
    }),
    list(
        "row.previous_bad",
        "bad row before",
        "Goes to the row before that is off or not healthy.",
        has_bad,
        |model| next_bad(model, -1),
    ),
    list("order.next", "sort", "Sorts by the next order of this screen.", can_sort, sort),
    list("columns.wide", "wide", "Shows all columns, or those that matter.", always, wide),
    list("pane.next", "next pane", "Goes to the next block or pane of the screen.", has_panes, next_pane),
    Command {
        id: "incident.name",
        title: "incident",
        doc: "Names the incident that new operations belong to, for the journal.",
        risk: Risk::Look,
        scope: Scope::Global,
        available: always,
        run: |model| {
            let now = model.settings.incident.as_ref().map(ToString::to_string).unwrap_or_default();
            model.ui.entry = Some(Entry::Incident(now));
            Vec::new()
        },
    },
];

const fn list(
    id: &'static str,
    title: &'static str,
    doc: &'static str,
    available: fn(&Model) -> Result<(), Text>,
    run: fn(&mut Model) -> Vec<Effect>,
) -> Command {
    Command { id, title, doc, risk: Risk::Look, scope: Scope::Lists, available, run }
}

fn edit(model: &mut Model) -> Vec<Effect> {
    let listing = model.ui.rows_mut().listing_mut();
    listing.home = listing.cursor.clone();
    let before = listing.filter.typed.clone();
    // What is typed now is another word.
    if !before.is_empty() && !before.ends_with(' ') {
        listing.filter.set(format!("{before} "));
    }
    model.ui.entry = Some(Entry::Filter { before });
    Vec::new()
}

/// The number of the next bad row in a direction, if there is one.
fn find_bad(model: &Model, direction: isize) -> Option<usize> {
    let (rows, known) = (model.ui.rows(), model.known());
    let mut at = rows.listing().at;
    loop {
        at = at.checked_add_signed(direction).filter(|&at| at < rows.len())?;
        if rows.is_bad(at, &known) {
            return Some(at);
        }
    }
}

fn has_bad(model: &Model) -> Result<(), Text> {
    if model.ui.rows().len() == 0 { not_now("there are no rows") } else { Ok(()) }
}

fn next_bad(model: &mut Model, direction: isize) -> Vec<Effect> {
    match find_bad(model, direction) {
        Some(at) => model.ui.rows_mut().go_to(at),
        None => model.ui.say_why("no row in that direction is off or unhealthy"),
    }
    Vec::new()
}

fn can_sort(model: &Model) -> Result<(), Text> {
    if model.ui.rows().orders().len() > 1 { Ok(()) } else { not_now("this screen has one order") }
}

fn sort(model: &mut Model) -> Vec<Effect> {
    let rows = model.ui.rows_mut();
    let (count, order) = (rows.orders().len(), rows.listing().order);
    rows.listing_mut().order = (order + 1) % count;
    let name = rows.orders()[(order + 1) % count];
    model.ui.say(&format!("sorted by {name}"));
    model.ui.touch();
    Vec::new()
}

fn wide(model: &mut Model) -> Vec<Effect> {
    model.ui.detail = match model.ui.detail {
        ColumnDetail::Plain => ColumnDetail::Wide,
        ColumnDetail::Wide => ColumnDetail::Plain,
    };
    Vec::new()
}

fn has_panes(model: &Model) -> Result<(), Text> {
    match model.ui.screen {
        Screen::Drift if model.ui.rows().len() > 0 => Ok(()),
        Screen::Operations if model.ui.rows().len() > 0 => Ok(()),
        Screen::Drift | Screen::Operations => not_now("there are no rows"),
        Screen::Fleet | Screen::Compare | Screen::Instances | Screen::Timeline | Screen::Places => {
            not_now("this screen has one pane")
        }
    }
}

fn next_pane(model: &mut Model) -> Vec<Effect> {
    match model.ui.screen {
        Screen::Drift => {
            let drift = &mut model.ui.screens.drift;
            let (at, lately) = (drift.listing().at, drift.lately_from());
            let to = if at < lately && lately < drift.len() { lately } else { 0 };
            drift.go_to(to);
        }
        Screen::Operations => {
            let operations = &mut model.ui.screens.operations;
            operations.pane = match operations.pane {
                Pane::List => Pane::Steps,
                Pane::Steps => Pane::List,
            };
        }
        Screen::Fleet | Screen::Compare | Screen::Instances | Screen::Timeline | Screen::Places => {}
    }
    Vec::new()
}
