//! The help: every key of the live keymap, where it holds and what it does; made from COMMANDS.
//!
//! Never written by hand: a key that is rebound is shown rebound.

use super::Overlay;
use crate::app::cells;
use crate::app::command::{Command, Risk, Scope, all, always};
use crate::app::effect::Effect;
use crate::app::fuzzy::Word;
use crate::app::model::Model;
use crate::app::theme::Meaning;
use crate::app::widgets::paint::Line;
use crate::app::widgets::panel::Panel;
use crate::domain::text::Text;

/// What is looked for, and how far it is scrolled.
#[derive(Debug, Default)]
pub(crate) struct HelpOverlay {
    /// As typed.
    pub(crate) typed: String,
    /// The first line shown.
    pub(crate) top: usize,
}

/// The commands.
pub(crate) const COMMANDS: &[Command] = &[Command {
    id: "help.open",
    title: "help",
    doc: "Shows every key, those that hold here first; letters search.",
    risk: Risk::Look,
    scope: Scope::Global,
    available: always,
    run: |model| {
        model.ui.overlays.push(Overlay::Help(HelpOverlay::default()));
        Vec::new()
    },
}];

impl HelpOverlay {
    /// One letter more.
    pub(crate) fn type_letter(&mut self, letter: char) -> Vec<Effect> {
        self.typed.push(letter);
        self.top = 0;
        Vec::new()
    }

    /// One letter less.
    pub(crate) fn erase(&mut self) {
        self.typed.pop();
        self.top = 0;
    }
}

/// What the overlay shows.
pub(crate) fn panel(model: &Model, overlay: &HelpOverlay, width: usize) -> Panel {
    let here = model.ui.base_scopes();
    let mut scopes: Vec<Scope> = here.clone();
    scopes.extend(Scope::ALL.iter().map(|(scope, _)| *scope).filter(|scope| !here.contains(scope)));
    let word = Word::new(&overlay.typed.replace(' ', ""));
    let mut body = Vec::new();
    for scope in scopes {
        let lines = lines(model, scope, &word, here.contains(&scope), width);
        if !lines.is_empty() {
            body.push(Line::new(Meaning::Title, format!(" {}", heading(scope))));
            body.extend(lines);
        }
    }
    if body.is_empty() {
        body.push(Line::new(Meaning::Dim, " no key and no command has these letters"));
    }
    let typed = Text::new(&overlay.typed);
    let title =
        Line::new(Meaning::Header, " HELP ").and(Meaning::Text, "  search: ").and(Meaning::Input, format!("{typed}_"));
    Panel { title, body, foot: vec![legend()], top: overlay.top }
}

/// What the glyphs mean.
fn legend() -> Line {
    Line::new(Meaning::Ok, " = ok ")
        .and(Meaning::Drift, "! drift ")
        .and(Meaning::Mixed, "~ mixed ")
        .and(Meaning::Unknown, "? unknown ")
        .and(Meaning::Outlier, "* outlier ")
        .and(Meaning::Quarantined, "X quarantined ")
        .and(Meaning::Rolling, "> rolling ")
        .and(Meaning::Locked, "L locked")
}

/// A short sentence for a scope.
pub(crate) fn heading(scope: Scope) -> &'static str {
    match scope {
        Scope::Global => "on every screen",
        Scope::Lists => "in every list",
        Scope::Drift => "on Drift",
        Scope::Fleet => "on Fleet",
        Scope::Instances => "on Instances",
        Scope::Operations => "on Operations",
        Scope::Compare => "on Compare",
        Scope::Timeline => "on Timeline",
        Scope::Places => "on Places",
        Scope::Overlays => "in every overlay",
        Scope::Plan => "in a plan (letters belong to its code)",
        Scope::Detail => "in the detail",
        Scope::Help => "in this help",
        Scope::Palette => "in the palette",
        Scope::Versions => "in the version picker",
        Scope::Ask => "where a question is asked",
    }
}

fn lines(model: &Model, scope: Scope, word: &Word, is_here: bool, width: usize) -> Vec<Line> {
    let keymap = &model.settings.look.keymap;
    let mut lines = Vec::new();
    for command in all() {
        let keys: Vec<String> = keymap
            .in_scope(scope)
            .filter(|binding| binding.command.id == command.id)
            .map(|binding| crate::app::key::show(&binding.keys))
            .collect();
        let mut keys = keys;
        keys.sort_by_key(String::len);
        let keys = keys.join(", ");
        let fits = |text: &str| word.is_in(text);
        if keys.is_empty() || !(fits(&keys) || fits(command.title) || fits(command.id) || fits(command.doc)) {
            continue;
        }
        let why = if is_here { (command.available)(model).err() } else { None };
        let line = Line::new(Meaning::Key, format!("   {} ", cells::left(&keys, 16)));
        let line = line.and(Meaning::Text, format!("{} ", cells::left(command.title, 20)));
        let text = match &why {
            Some(why) => (Meaning::Dim, format!("not now: {why}")),
            None => (Meaning::Dim, command.doc.to_string()),
        };
        lines.extend(line.and(text.0, text.1).wrapped(width, 41));
    }
    lines
}

/// The key table of the README.
pub fn markdown(keymap: &crate::app::keymap::Keymap) -> String {
    let mut table = String::from("| keys | command | where | does |\n|---|---|---|---|\n");
    for (scope, _) in Scope::ALL {
        for command in all() {
            let bound = keymap.in_scope(scope).filter(|binding| binding.command.id == command.id);
            let keys: Vec<String> =
                bound.map(|binding| format!("`{}`", crate::app::key::show(&binding.keys))).collect();
            if !keys.is_empty() {
                let keys = keys.join(" ").replace('|', "\\|");
                table.push_str(&format!("| {keys} | {} | {} | {} |\n", command.id, heading(scope), command.doc));
            }
        }
    }
    table
}
