//! When a shown text changes by itself: the ages of visible rows, the header, the banner, the plan.
//!
//! Never looks at rows that are not visible.

use jiff::Timestamp;

use super::page::{self, Slot};
use crate::app::age::Clock;
use crate::app::model::Model;
use crate::app::overlays::Overlay;
use crate::app::view;

/// The first moment at which a visible text changes although nothing happens.
pub(crate) fn next_change(model: &Model) -> Option<Timestamp> {
    let now = model.now;
    let rows = model.ui.rows();
    let height = view::layout(model).table_height;
    let known = model.known();
    let of_rows = page::window(rows, height).into_iter().filter_map(|slot| match slot {
        Slot::Row(at) => Some(rows.times(at, &known)),
        Slot::Section(_) => None,
    });
    let of_rows = of_rows.flatten();
    let of_places = model.fleet.places().iter().filter(|place| !place.state.is_live());
    let of_places = of_places.filter_map(|place| place.heard_at.map(|at| (Clock::Age, at)));
    let running = model.operations.on_banner().map(|tracked| (Clock::Running, tracked.operation.started_at));
    let texts = of_rows.chain(of_places).chain(running).map(|(clock, at)| clock.next_change(at, now));
    let of_overlays = model.ui.overlays.iter().filter_map(|overlay| match overlay {
        Overlay::Plan(overlay) => overlay.next_change(now),
        _ => None,
    });
    texts.chain(of_overlays).min()
}
