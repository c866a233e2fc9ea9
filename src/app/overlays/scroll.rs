//! Moving in overlays and closing them.
//!
//! Never goes past the end of what is shown.

use super::{Overlay, panel};
use crate::app::command::{Command, Risk, Scope, always};
use crate::app::effect::Effect;
use crate::app::model::Model;
use crate::app::view;
use crate::app::widgets::panel::most_top;

/// The commands.
pub(crate) const COMMANDS: &[Command] = &[
    overlay("overlay.down", "down", "Moves one line or entry down.", |model| by(model, 1)),
    overlay("overlay.up", "up", "Moves one line or entry up.", |model| by(model, -1)),
    overlay("overlay.page_down", "page down", "Moves down by what is shown.", |model| by(model, page(model))),
    overlay("overlay.page_up", "page up", "Moves up by what is shown.", |model| by(model, -page(model))),
    overlay("overlay.first", "to the start", "Moves to the first line or entry.", |model| by(model, isize::MIN)),
    overlay("overlay.last", "to the end", "Moves to the last line or entry.", |model| by(model, isize::MAX)),
    overlay("overlay.close", "close", "Closes what lies on top.", close),
];

const fn overlay(
    id: &'static str,
    title: &'static str,
    doc: &'static str,
    run: fn(&mut Model) -> Vec<Effect>,
) -> Command {
    Command { id, title, doc, risk: Risk::Look, scope: Scope::Overlays, available: always, run }
}

/// Closes the overlay on top.
pub(crate) fn close(model: &mut Model) -> Vec<Effect> {
    model.ui.overlays.pop();
    Vec::new()
}

fn by(model: &mut Model, lines: isize) -> Vec<Effect> {
    let area = view::layout(model).body;
    let (width, height) = (usize::from(area.width), usize::from(area.height));
    let Some(overlay) = model.ui.overlays.last() else { return Vec::new() };
    let entries = match overlay {
        Overlay::Palette(overlay) => Some(overlay.count(model)),
        Overlay::Versions(overlay) => Some(overlay.count(model)),
        _ => None,
    };
    let most = match entries {
        Some(count) => count.saturating_sub(1),
        None => {
            let panel = panel(model, overlay, width, height);
            most_top(panel.body.len(), panel.foot.len(), height)
        }
    };
    match model.ui.overlays.last_mut() {
        Some(Overlay::Palette(overlay)) => overlay.at = overlay.at.saturating_add_signed(lines).min(most),
        Some(Overlay::Versions(overlay)) => overlay.at = overlay.at.saturating_add_signed(lines).min(most),
        Some(overlay) => overlay.set_top(overlay.top().saturating_add_signed(lines).min(most)),
        None => {}
    }
    Vec::new()
}

fn page(model: &Model) -> isize {
    isize::try_from(view::layout(model).body.height.max(4) - 3).unwrap_or(1)
}
