//! How far the promotion goes that an open plan is for.
//!
//! Never starts anything: the plan is made again, with another code.

use super::plan::{make_again, open_plan, top};
use crate::app::command::not_now;
use crate::app::effect::Effect;
use crate::app::model::Model;
use crate::domain::plan::{Goto, Stride};
use crate::domain::text::Text;

/// Whether the open plan is one that could go further.
pub(super) fn can_toggle(model: &Model) -> Result<(), Text> {
    match open_plan(model).map(|overlay| &overlay.request.goto) {
        Some(Goto::Promote(_)) => Ok(()),
        Some(
            Goto::Expected | Goto::LastGood | Goto::Revision(_) | Goto::Image(_) | Goto::Before(_) | Goto::GiveBack(_),
        ) => not_now("this plan promotes nothing: P on a row does"),
        None => not_now("no plan is open"),
    }
}

/// To the next step, or to the end.
pub(super) fn toggle(model: &mut Model) -> Vec<Effect> {
    let Some(overlay) = top(model) else { return Vec::new() };
    let mut request = overlay.request.clone();
    request.goto = match request.goto {
        Goto::Promote(Stride::Next) => Goto::Promote(Stride::Full),
        Goto::Promote(Stride::Full) => Goto::Promote(Stride::Next),
        other => other,
    };
    make_again(model, request, Vec::new())
}
