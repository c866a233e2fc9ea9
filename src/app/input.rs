//! From what the operator did at the terminal to commands and fields.
//!
//! Never lets a paste or a key that was meant for something else start anything.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::command::{Risk, Scope};
use super::commands::{protecting, steering};
use super::effect::Effect;
use super::event::TerminalEvent;
use super::key::{Key, show};
use super::keymap::Lookup;
use super::model::Model;
use super::overlays::{self, Letters, Overlay, plan_choices};
use super::ui::Entry;
use super::view;
use crate::domain::text::Text;

/// Takes in what the operator did.
pub(crate) fn terminal(model: &mut Model, event: TerminalEvent) -> Vec<Effect> {
    model.ui.redraw.due = true;
    match event {
        TerminalEvent::Pressed(event) => pressed(model, &event),
        TerminalEvent::Pasted(text) => {
            pasted(model, &text);
            Vec::new()
        }
        TerminalEvent::Resized(width, height) => {
            model.ui.size = (width, height);
            Vec::new()
        }
        TerminalEvent::Copied(what) => {
            model.ui.say(&format!("copied {what}"));
            Vec::new()
        }
    }
}

fn pressed(model: &mut Model, event: &KeyEvent) -> Vec<Effect> {
    let Some(key) = Key::of_event(event) else { return Vec::new() };
    model.ui.message = None;
    let is_hidden = view::is_too_small(model.ui.size);
    let is_open = model.ui.entry.is_some() || !model.ui.overlays.is_empty();
    if is_hidden && is_open && key.code != KeyCode::Esc {
        // Nobody sees the plan, the question or the field that it would go to.
        return Vec::new();
    }
    if model.ui.entry.is_some() {
        return typed(model, key);
    }
    let letters = model.ui.overlays.last().map(Overlay::letters);
    let is_for_field = |letter: &char| match letters {
        Some(Letters::Field) => true,
        Some(Letters::Code) => letter.is_alphabetic(),
        Some(Letters::Keys) | None => false,
    };
    if let Some(letter) = key.typed().filter(is_for_field) {
        return overlays::type_letter(model, letter);
    }
    if matches!(letters, Some(Letters::Field | Letters::Code)) && key.code == KeyCode::Backspace {
        overlays::erase_letter(model);
        return Vec::new();
    }
    looked_up(model, key)
}

/// What keys mean here and now. The brake works wherever letters are keys: what only shows something is no reason to take it away.
pub(crate) fn lookup<'a>(model: &'a Model, keys: &[Key]) -> Lookup<'a> {
    let keymap = &model.settings.look.keymap;
    let found = keymap.lookup(&model.ui.scopes(), keys);
    let is_over = model.ui.overlays.last().is_some_and(|top| top.letters() == Letters::Keys);
    if !is_over || !matches!(found, Lookup::Unbound) {
        return found;
    }
    match keymap.lookup(&[Scope::Global], keys) {
        Lookup::Found(command) if command.risk == Risk::Run => Lookup::Found(command),
        Lookup::Pending(longer) if longer.iter().all(|binding| binding.command.risk == Risk::Run) => {
            Lookup::Pending(longer)
        }
        Lookup::Found(_) | Lookup::Pending(_) | Lookup::Unbound => Lookup::Unbound,
    }
}

fn looked_up(model: &mut Model, key: Key) -> Vec<Effect> {
    if key.code == KeyCode::Esc && !model.ui.pending.is_empty() {
        model.ui.pending.clear();
        return Vec::new();
    }
    let mut keys = std::mem::take(&mut model.ui.pending);
    keys.push(key);
    let scopes = model.ui.scopes();
    let found = match lookup(model, &keys) {
        Lookup::Found(command) => command,
        Lookup::Pending(_) => {
            model.ui.pending = keys;
            return Vec::new();
        }
        Lookup::Unbound => {
            let help = model.settings.look.keymap.key_of("help.open", &scopes).unwrap_or_default();
            let hint = if model.ui.overlays.is_empty() {
                format!("{help} shows the keys")
            } else {
                "Esc closes this".to_string()
            };
            model.ui.say_why(&format!("{} is not bound here; {hint}", show(&keys)));
            return Vec::new();
        }
    };
    match (found.available)(model) {
        Ok(()) => (found.run)(model),
        Err(why) => {
            model.ui.say_why(&format!("{}: {why}", show(&keys)));
            Vec::new()
        }
    }
}

/// A key while a field has the letters.
fn typed(model: &mut Model, key: Key) -> Vec<Effect> {
    let Some(entry) = model.ui.entry.clone() else { return Vec::new() };
    match (key.code, &entry) {
        (KeyCode::Enter, Entry::Incident(name)) => {
            let name = Text::new(name.trim());
            model.settings.incident = if name.is_empty() { None } else { Some(name) };
            model.ui.entry = None;
        }
        (KeyCode::Enter, Entry::Protect { what, typed }) => {
            return protecting::entered(model, what.clone(), &typed.clone());
        }
        (KeyCode::Enter, Entry::PlanReason(reason)) => {
            model.ui.entry = None;
            return plan_choices::reasoned(model, &reason.clone());
        }
        (KeyCode::Enter, Entry::WriteOff { operation, typed }) => {
            return steering::written_off(model, &operation.clone(), &typed.clone());
        }
        (KeyCode::Esc, Entry::Protect { .. } | Entry::PlanReason(_) | Entry::WriteOff { .. }) => model.ui.entry = None,
        (KeyCode::Enter, Entry::Filter { .. }) => {
            model.ui.entry = None;
            let typed = model.ui.rows().listing().filter.typed.trim_end().to_string();
            set_filter(model, typed);
            model.ui.rows_mut().listing_mut().home = None;
        }
        (KeyCode::Esc, Entry::Incident(_)) => model.ui.entry = None,
        (KeyCode::Esc, Entry::Filter { before }) => {
            model.ui.entry = None;
            set_filter(model, before.clone());
        }
        (KeyCode::Up | KeyCode::Down | KeyCode::PageUp | KeyCode::PageDown, Entry::Filter { .. }) => {
            return looked_up(model, key);
        }
        (KeyCode::Backspace, _) => change(model, |text| {
            text.pop();
        }),
        (KeyCode::Char('u'), _) if key.modifiers == KeyModifiers::CONTROL => change(model, String::clear),
        (KeyCode::Char('w'), _) if key.modifiers == KeyModifiers::CONTROL => change(model, |text| {
            let kept = text.trim_end().rfind(' ').map_or(0, |at| at + 1);
            text.truncate(kept);
        }),
        (KeyCode::Char(letter), _) if key.modifiers.is_empty() => change(model, |text| text.push(letter)),
        _ => model.ui.say_why(&format!("{key} does nothing while you type; Enter or Esc ends it")),
    }
    Vec::new()
}

fn pasted(model: &mut Model, text: &str) {
    model.ui.message = None;
    // Line breaks and control characters of the paste become plain spaces.
    let text = Text::new(text);
    if model.ui.entry.is_some() {
        return change(model, |typed| typed.push_str(&text));
    }
    match model.ui.overlays.last_mut() {
        Some(Overlay::Plan(overlay)) => {
            overlay.field.clear();
            model.ui.say_why("a paste is refused here: type the code");
        }
        Some(Overlay::Ask(overlay)) => {
            overlay.field.clear();
            model.ui.say_why("a paste is refused here: press the keys");
        }
        Some(Overlay::Help(overlay)) => overlay.typed.push_str(&text),
        Some(Overlay::Palette(overlay)) => overlay.typed.push_str(&text),
        Some(Overlay::Detail(_) | Overlay::Difference(_) | Overlay::Versions(_)) | None => {
            model.ui.say_why("nothing takes a paste here; / begins a filter");
        }
    }
}

/// How many characters a field takes: what is longer nobody reads.
const LONGEST: usize = 1_000;

fn change(model: &mut Model, how: impl FnOnce(&mut String)) {
    let how = |typed: &mut String| {
        how(typed);
        if let Some((end, _)) = typed.char_indices().nth(LONGEST) {
            typed.truncate(end);
        }
    };
    match &mut model.ui.entry {
        Some(
            Entry::Incident(typed)
            | Entry::PlanReason(typed)
            | Entry::WriteOff { typed, .. }
            | Entry::Protect { typed, .. },
        ) => how(typed),
        Some(Entry::Filter { .. }) => {
            let mut typed = model.ui.rows().listing().filter.typed.clone();
            how(&mut typed);
            set_filter(model, typed);
        }
        None => {}
    }
}

fn set_filter(model: &mut Model, typed: String) {
    if model.ui.rows_mut().listing_mut().filter.set(typed) {
        model.ui.touch();
    }
}
