//! COMMANDS: the one table of everything that a key or the palette can do. Help, footer hints, palette, the README's
//! key table and the checks of keymaps read it.
//!
//! Never asks which key: `keymap` binds ids to keys.

use super::commands;
use super::effect::Effect;
use super::model::Model;
use super::overlays::{ask, detail, help, palette, plan, plan_choices, scroll, versions};
use super::screens::{compare, places};
use crate::domain::text::Text;

/// One thing that can be done.
pub struct Command {
    /// `noun.verb`.
    pub id: &'static str,
    /// A few words, for footers and the palette.
    pub title: &'static str,
    /// A sentence, for the help.
    pub doc: &'static str,
    /// What it can do to the world.
    pub risk: Risk,
    /// Where it can be bound and run.
    pub scope: Scope,
    /// Whether it does something here and now; if not, why.
    pub available: fn(&Model) -> Result<(), Text>,
    /// Does it. Called only where it is available.
    pub run: fn(&mut Model) -> Vec<Effect>,
}

/// What a command can do to the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Risk {
    /// Nothing.
    Look,
    /// Draws a plan, and nothing else.
    Plan,
    /// Steers an operation.
    Run,
    /// Forbids or allows things to others.
    Protect,
}

/// Where a key is looked up, and where a command makes sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// On every screen.
    Global,
    /// On every screen that is a list.
    Lists,
    /// On Drift.
    Drift,
    /// On Fleet.
    Fleet,
    /// On Instances.
    Instances,
    /// On Operations.
    Operations,
    /// On Compare.
    Compare,
    /// On Timeline.
    Timeline,
    /// On Places.
    Places,
    /// In every overlay.
    Overlays,
    /// In the plan.
    Plan,
    /// In the detail.
    Detail,
    /// In the help.
    Help,
    /// In the palette.
    Palette,
    /// In the version picker.
    Versions,
    /// Where a question is asked: quit, take over, go on with a new code.
    Ask,
}

impl Risk {
    /// The word of the table.
    pub fn as_str(self) -> &'static str {
        match self {
            Risk::Look => "looks",
            Risk::Plan => "plans",
            Risk::Run => "runs",
            Risk::Protect => "protects",
        }
    }
}

impl Scope {
    /// Every scope with the name of its table in keymap files, in the order of the help.
    pub const ALL: [(Scope, &'static str); 16] = [
        (Scope::Global, "global"),
        (Scope::Lists, "lists"),
        (Scope::Drift, "drift"),
        (Scope::Fleet, "fleet"),
        (Scope::Instances, "instances"),
        (Scope::Operations, "operations"),
        (Scope::Compare, "compare"),
        (Scope::Timeline, "timeline"),
        (Scope::Places, "places"),
        (Scope::Overlays, "overlays"),
        (Scope::Plan, "plan"),
        (Scope::Detail, "detail"),
        (Scope::Help, "help"),
        (Scope::Palette, "palette"),
        (Scope::Versions, "versions"),
        (Scope::Ask, "ask"),
    ];

    /// The name of its table in keymap files.
    pub fn as_str(self) -> &'static str {
        Scope::ALL.iter().find(|(scope, _)| *scope == self).map_or("", |(_, name)| *name)
    }

    /// Whether it is an overlay, where letters may belong to a field.
    pub fn is_overlay(self) -> bool {
        self >= Scope::Overlays
    }

    /// Whether it is one screen.
    pub fn is_screen(self) -> bool {
        self > Scope::Lists && self < Scope::Overlays
    }

    /// Whether a command of this scope may be bound in a table: in its own, and in narrower ones.
    pub fn may_be_bound_in(self, table: Scope) -> bool {
        match self {
            Scope::Global => true,
            Scope::Lists => table == Scope::Lists || table.is_screen(),
            Scope::Overlays => table.is_overlay(),
            own => own == table,
        }
    }
}

/// Every command, by the file that it stands in.
pub static COMMANDS: &[&[Command]] = &[
    commands::moving::COMMANDS,
    commands::going::COMMANDS,
    commands::finding::COMMANDS,
    commands::marking::COMMANDS,
    commands::copying::COMMANDS,
    commands::planning::COMMANDS,
    commands::steering::COMMANDS,
    commands::protecting::COMMANDS,
    compare::COMMANDS,
    places::COMMANDS,
    commands::later::COMMANDS,
    scroll::COMMANDS,
    detail::COMMANDS,
    help::COMMANDS,
    palette::COMMANDS,
    versions::COMMANDS,
    plan::COMMANDS,
    plan_choices::COMMANDS,
    ask::COMMANDS,
];

/// Every command.
pub fn all() -> impl Iterator<Item = &'static Command> {
    COMMANDS.iter().flat_map(|part| part.iter())
}

/// A command by its id.
pub fn find(id: &str) -> Option<&'static Command> {
    all().find(|command| command.id == id)
}

/// For commands that always do something.
pub(crate) fn always(_model: &Model) -> Result<(), Text> {
    Ok(())
}

/// Why a command does nothing.
pub(crate) fn not_now(why: &str) -> Result<(), Text> {
    Err(Text::new(why))
}

/// For commands that are never available: nothing to run.
pub(crate) fn nothing(_model: &mut Model) -> Vec<Effect> {
    Vec::new()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn ids_are_unique_and_say_noun_and_verb() {
        let mut seen = BTreeSet::new();
        for command in all() {
            assert!(seen.insert(command.id), "{} stands in the table twice", command.id);
            let (noun, verb) = command.id.split_once('.').unwrap_or_default();
            assert!(!noun.is_empty() && !verb.is_empty(), "{} is noun.verb", command.id);
            assert!(command.doc.ends_with('.') && command.title.len() <= 24, "{}: a title and a sentence", command.id);
        }
    }
}
