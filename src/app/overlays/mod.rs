//! What lies over a screen: plan, detail, help, palette, versions, questions. One file each.
//!
//! Never more than one has the keys: the last one opened.

pub(crate) mod ask;
pub(crate) mod code;
pub(crate) mod detail;
pub(crate) mod detail_text;
pub(crate) mod difference;
pub(crate) mod help;
pub(crate) mod palette;
pub(crate) mod plan;
pub(crate) mod plan_choices;
pub(crate) mod plan_text;
pub(crate) mod scroll;
pub(crate) mod versions;

use jiff::Timestamp;

use super::command::Scope;
use super::effect::Effect;
use super::model::Model;
use super::widgets::panel::Panel;

/// One overlay with its state.
#[derive(Debug)]
pub(crate) enum Overlay {
    /// A plan that waits for its code.
    Plan(Box<plan::PlanOverlay>),
    /// Everything that is known of one row.
    Detail(detail::DetailOverlay),
    /// Two versions, field by field.
    Difference(Box<difference::DifferenceOverlay>),
    /// The keys.
    Help(help::HelpOverlay),
    /// Commands, screens, services and places by name.
    Palette(palette::PaletteOverlay),
    /// The versions that a row had.
    Versions(versions::VersionsOverlay),
    /// A question: quit, take over, go on with a new code.
    Ask(ask::AskOverlay),
}

/// What letters do in an overlay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Letters {
    /// They are keys.
    Keys,
    /// They go to a code. What is no letter is a key: it must never count as a wrong letter.
    Code,
    /// They go to a field, as does every other character.
    Field,
}

impl Overlay {
    /// Its table in keymaps.
    pub(crate) fn scope(&self) -> Scope {
        match self {
            Overlay::Plan(_) => Scope::Plan,
            Overlay::Detail(_) | Overlay::Difference(_) => Scope::Detail,
            Overlay::Help(_) => Scope::Help,
            Overlay::Palette(_) => Scope::Palette,
            Overlay::Versions(_) => Scope::Versions,
            Overlay::Ask(_) => Scope::Ask,
        }
    }

    /// What letters do.
    pub(crate) fn letters(&self) -> Letters {
        match self {
            Overlay::Plan(_) => Letters::Code,
            Overlay::Help(_) | Overlay::Palette(_) => Letters::Field,
            Overlay::Detail(_) | Overlay::Difference(_) | Overlay::Versions(_) => Letters::Keys,
            Overlay::Ask(overlay) => overlay.letters(),
        }
    }

    /// A frame with its present content is about to be drawn.
    pub(crate) fn shown(&mut self, now: Timestamp) {
        match self {
            Overlay::Plan(overlay) => overlay.shown(now),
            Overlay::Ask(overlay) => overlay.shown(now),
            Overlay::Detail(_)
            | Overlay::Difference(_)
            | Overlay::Help(_)
            | Overlay::Palette(_)
            | Overlay::Versions(_) => {}
        }
    }

    /// The first line shown, where it scrolls by lines.
    pub(crate) fn top(&self) -> usize {
        match self {
            Overlay::Plan(overlay) => overlay.top,
            Overlay::Detail(overlay) => overlay.top,
            Overlay::Difference(overlay) => overlay.top,
            Overlay::Help(overlay) => overlay.top,
            Overlay::Palette(_) | Overlay::Versions(_) | Overlay::Ask(_) => 0,
        }
    }

    /// Shows another first line.
    pub(crate) fn set_top(&mut self, top: usize) {
        match self {
            Overlay::Plan(overlay) => overlay.top = top,
            Overlay::Detail(overlay) => overlay.top = top,
            Overlay::Difference(overlay) => overlay.top = top,
            Overlay::Help(overlay) => overlay.top = top,
            Overlay::Palette(_) | Overlay::Versions(_) | Overlay::Ask(_) => {}
        }
    }
}

/// What an overlay shows in this many cells and lines.
pub(crate) fn panel(model: &Model, overlay: &Overlay, width: usize, height: usize) -> Panel {
    match overlay {
        Overlay::Plan(overlay) => plan_text::panel(model, overlay, width),
        Overlay::Detail(overlay) => detail::panel(model, overlay, width),
        Overlay::Difference(overlay) => difference::panel(overlay, width),
        Overlay::Help(overlay) => help::panel(model, overlay, width),
        Overlay::Palette(overlay) => palette::panel(model, overlay, height),
        Overlay::Versions(overlay) => versions::panel(model, overlay, width, height),
        Overlay::Ask(overlay) => ask::panel(model, overlay, width),
    }
}

/// A letter for the field of the overlay that has the keys.
pub(crate) fn type_letter(model: &mut Model, letter: char) -> Vec<Effect> {
    match model.ui.overlays.last_mut() {
        Some(Overlay::Plan(_)) => plan::type_letter(model, letter),
        Some(Overlay::Ask(_)) => ask::type_letter(model, letter),
        Some(Overlay::Help(overlay)) => overlay.type_letter(letter),
        Some(Overlay::Palette(overlay)) => overlay.type_letter(letter),
        Some(Overlay::Detail(_) | Overlay::Difference(_) | Overlay::Versions(_)) | None => Vec::new(),
    }
}

/// Takes the last letter of the field back.
pub(crate) fn erase_letter(model: &mut Model) {
    match model.ui.overlays.last_mut() {
        Some(Overlay::Plan(overlay)) => overlay.field.clear(),
        Some(Overlay::Ask(overlay)) => overlay.field.clear(),
        Some(Overlay::Help(overlay)) => overlay.erase(),
        Some(Overlay::Palette(overlay)) => overlay.erase(),
        Some(Overlay::Detail(_) | Overlay::Difference(_) | Overlay::Versions(_)) | None => {}
    }
}
