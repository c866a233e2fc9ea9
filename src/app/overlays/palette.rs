//! The palette: every command, screen, service and place by a few letters of its name.
//!
//! Never hides a command that is not available: it shows why.

use super::Overlay;
use crate::app::command::{Command, Risk, Scope, all, always};
use crate::app::commands::going;
use crate::app::effect::Effect;
use crate::app::fuzzy::{Fuzzy, Word};
use crate::app::model::Model;
use crate::app::rows::ServiceKey;
use crate::app::theme::Meaning;
use crate::app::widgets::paint::Line;
use crate::app::widgets::panel::Panel;
use crate::domain::id::PlaceId;
use crate::domain::text::Text;

/// Most entries that are listed.
const MOST: usize = 200;

/// What is looked for, and which entry is under the cursor.
#[derive(Debug, Default)]
pub(crate) struct PaletteOverlay {
    /// As typed.
    pub(crate) typed: String,
    /// The cursor.
    pub(crate) at: usize,
}

/// Something that can be run or gone to.
#[derive(Clone)]
enum Item {
    Command(&'static Command),
    Service(Text),
    Place(PlaceId),
}

/// The commands.
pub(crate) const COMMANDS: &[Command] = &[
    Command {
        id: "palette.open",
        title: "palette",
        doc: "Runs a command or goes to a screen, service or place by its name.",
        risk: Risk::Look,
        scope: Scope::Global,
        available: always,
        run: |model| {
            model.ui.overlays.push(Overlay::Palette(PaletteOverlay::default()));
            Vec::new()
        },
    },
    Command {
        id: "palette.run",
        title: "run",
        doc: "Runs the entry under the cursor.",
        risk: Risk::Look,
        scope: Scope::Palette,
        available: always,
        run,
    },
];

impl PaletteOverlay {
    /// One letter more.
    pub(crate) fn type_letter(&mut self, letter: char) -> Vec<Effect> {
        self.typed.push(letter);
        self.at = 0;
        Vec::new()
    }

    /// One letter less.
    pub(crate) fn erase(&mut self) {
        self.typed.pop();
        self.at = 0;
    }

    /// How many entries fit what was typed.
    pub(crate) fn count(&self, model: &Model) -> usize {
        items(model, &self.typed).len()
    }
}

fn run(model: &mut Model) -> Vec<Effect> {
    let Some(Overlay::Palette(overlay)) = model.ui.overlays.last() else { return Vec::new() };
    let item = items(model, &overlay.typed).into_iter().nth(overlay.at);
    model.ui.overlays.pop();
    match item {
        Some(Item::Command(command)) => match (command.available)(model) {
            Ok(()) => (command.run)(model),
            Err(why) => {
                model.ui.say_why(&why);
                Vec::new()
            }
        },
        Some(Item::Service(service)) => {
            going::go_to_service(model, &ServiceKey { service, namespace: None });
            Vec::new()
        }
        Some(Item::Place(place)) => {
            going::go_to_place(model, &place);
            Vec::new()
        }
        None => Vec::new(),
    }
}

/// What fits, best first. Without letters: the commands.
fn items(model: &Model, typed: &str) -> Vec<Item> {
    let scopes = model.ui.base_scopes();
    let commands = all()
        .filter(|command| {
            scopes.contains(&command.scope) && command.id != "palette.open" && !command.id.starts_with("cursor.")
        })
        .map(Item::Command);
    if typed.trim().is_empty() {
        return commands.collect();
    }
    let services = model.fleet.services().map(|(service, _)| Item::Service(service.clone()));
    let places = model.fleet.places().iter().map(|place| Item::Place(place.id.clone()));
    let (fuzzy, word) = (Fuzzy::new(), Word::new(&typed.replace(' ', "")));
    let mut scored: Vec<(i64, usize, Item)> = commands
        .chain(services)
        .chain(places)
        .enumerate()
        .filter_map(|(number, item)| {
            let score = match &item {
                Item::Command(command) => by_name(&fuzzy, &word, command),
                Item::Service(service) => fuzzy.score(&word, service),
                Item::Place(place) => fuzzy.score(&word, &place.0),
            };
            Some((score?, number, item))
        })
        .collect();
    scored.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)));
    scored.truncate(MOST);
    scored.into_iter().map(|(_, _, item)| item).collect()
}

/// A title that fits comes before an id that fits: titles are what is read.
fn by_name(fuzzy: &Fuzzy, word: &Word, command: &Command) -> Option<i64> {
    let title = fuzzy.score(word, command.title).map(|score| score + 40);
    title.max(fuzzy.score(word, command.id))
}

/// What the overlay shows.
pub(crate) fn panel(model: &Model, overlay: &PaletteOverlay, height: usize) -> Panel {
    let items = items(model, &overlay.typed);
    let keymap = &model.settings.look.keymap;
    let body = items.iter().enumerate().map(|(at, item)| {
        let is_here = at == overlay.at;
        let own = if is_here { Meaning::Selected } else { Meaning::Text };
        let line = Line::new(Meaning::Key, if is_here { " > " } else { "   " });
        match item {
            Item::Command(command) => {
                let keys = keymap.key_of(command.id, &model.ui.base_scopes()).unwrap_or_default();
                let line = line.and(own, crate::app::cells::left(command.title, 22));
                let line = line.and(Meaning::Key, format!(" {} ", crate::app::cells::left(&keys, 8)));
                match (command.available)(model) {
                    Ok(()) => line.and(Meaning::Dim, command.doc),
                    Err(why) => line.and(Meaning::Warning, format!("not now: {why}")),
                }
            }
            Item::Service(service) => line.and(own, service.to_string()).and(Meaning::Dim, "  service"),
            Item::Place(place) => line.and(own, place.to_string()).and(Meaning::Dim, "  place"),
        }
    });
    let typed = Text::new(&overlay.typed);
    let title =
        Line::new(Meaning::Header, " PALETTE ").and(Meaning::Key, "  :").and(Meaning::Input, format!("{typed}_"));
    let top = (overlay.at + 1).saturating_sub(height.saturating_sub(2).max(1));
    let mut body: Vec<Line> = body.collect();
    if body.is_empty() {
        body.push(Line::new(Meaning::Dim, " nothing has these letters in its name"));
    }
    Panel { title, body, foot: Vec::new(), top }
}
