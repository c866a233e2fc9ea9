//! What an operator chooses in an open plan: how much of the template, how fast, who is suspended meanwhile. Each choice makes
//! the plan again, with another code.
//!
//! Never changes a step: the plan is asked for anew.

use super::plan::{make_again, open_plan, top};
use crate::app::command::{Command, Risk, Scope, not_now};
use crate::app::effect::Effect;
use crate::app::model::Model;
use crate::app::ui::Entry;
use crate::domain::plan::{Change, Goto, Pace, PlanRequest, Stride, Suspend};
use crate::domain::policy::Minimum;
use crate::domain::text::Text;

/// The commands.
pub(crate) const COMMANDS: &[Command] = &[
    command(
        "plan.promote_full",
        "promote to the end",
        "Has a promotion leave out all steps that are left, or go to the next one again.",
        can_promote_further,
        promote_further,
    ),
    command(
        "plan.image_only",
        "image only",
        "Changes the image alone, or the whole earlier template again.",
        can_change_image_only,
        |model| {
            choose(model, |request| {
                request.change = match request.change {
                    Change::WholeTemplate => Change::ImageOnly,
                    Change::ImageOnly => Change::WholeTemplate,
                };
            })
        },
    ),
    command(
        "plan.fast",
        "fast",
        "Shortens bakes and leaves the watch at the end out, or puts both back: for an incident.",
        changes_something,
        |model| {
            choose(model, |request| {
                request.pace = match request.pace {
                    Pace::Careful => Pace::Fast,
                    Pace::Fast => Pace::Careful,
                };
            })
        },
    ),
    command(
        "plan.suspend",
        "suspend GitOps",
        "Suspends Argo CD or Flux first, owed until given back; again: given back at the end; again: nobody.",
        changes_something,
        |model| {
            choose(model, |request| {
                request.suspend = match request.suspend {
                    Suspend::Nobody => Suspend::UntilGivenBack,
                    Suspend::UntilGivenBack => Suspend::UntilDone,
                    Suspend::UntilDone => Suspend::Nobody,
                };
            })
        },
    ),
    command(
        "plan.minimum",
        "hold the minimum",
        "Holds the minimum of autoscalers at what there is while instances are replaced, or leaves it as it is.",
        changes_something,
        hold_minimum,
    ),
    command(
        "plan.reason",
        "say why",
        "Takes a reason for going where a plan otherwise may not: to a quarantined image, on in a freeze.",
        changes_something,
        |model| {
            model.ui.entry = Some(Entry::PlanReason(String::new()));
            Vec::new()
        },
    ),
    command(
        "plan.more_at_once",
        "more at once",
        "Has the rollout make twice as many on top at once: its strategy is changed first, and given back.",
        changes_something,
        |model| choose(model, |request| request.tempo = request.tempo.faster()),
    ),
    command(
        "plan.fewer_at_once",
        "fewer at once",
        "Has the rollout replace half as many at once: its strategy is changed first, and given back.",
        changes_something,
        |model| choose(model, |request| request.tempo = request.tempo.slower()),
    ),
];

const fn command(
    id: &'static str,
    title: &'static str,
    doc: &'static str,
    available: fn(&Model) -> Result<(), Text>,
    run: fn(&mut Model) -> Vec<Effect>,
) -> Command {
    Command { id, title, doc, risk: Risk::Plan, scope: Scope::Plan, available, run }
}

fn choose(model: &mut Model, change: impl FnOnce(&mut PlanRequest)) -> Vec<Effect> {
    let Some(overlay) = top(model) else { return Vec::new() };
    let mut request = overlay.request.clone();
    change(&mut request);
    make_again(model, request, Vec::new())
}

/// Enter after a reason; without one the plan has none.
pub(crate) fn reasoned(model: &mut Model, reason: &str) -> Vec<Effect> {
    let reason = Some(Text::new(reason.trim())).filter(|reason| !reason.is_empty());
    choose(model, |request| request.reason = reason)
}

fn hold_minimum(model: &mut Model) -> Vec<Effect> {
    let policy = &model.settings.policy;
    let places = open_plan(model).into_iter().flat_map(|overlay| &overlay.plan.waves);
    let is_held = places.into_iter().any(|wave| policy.for_place(&wave.place).minimum == Minimum::Held);
    choose(model, |request| {
        request.minimum = Some(match (request.minimum, is_held) {
            (Some(Minimum::Held), _) | (None, true) => Minimum::AsItIs,
            (Some(Minimum::AsItIs), _) | (None, false) => Minimum::Held,
        });
    })
}

fn changes_something(model: &Model) -> Result<(), Text> {
    match open_plan(model).map(|overlay| &overlay.request.goto) {
        Some(Goto::GiveBack(_)) => not_now("this plan gives back what was borrowed, and nothing else"),
        Some(Goto::Promote(_)) => not_now("a promotion changes no template"),
        Some(Goto::Expected | Goto::LastGood | Goto::Revision(_) | Goto::Image(_) | Goto::Before(_)) => Ok(()),
        None => not_now("no plan is open"),
    }
}

fn can_change_image_only(model: &Model) -> Result<(), Text> {
    changes_something(model)?;
    match open_plan(model).map(|overlay| &overlay.request.goto) {
        Some(Goto::Before(_)) => not_now("the way back from an operation takes the whole template back"),
        Some(Goto::Expected) => not_now("a replacement changes nothing but images"),
        Some(Goto::LastGood | Goto::Revision(_) | Goto::Image(_) | Goto::GiveBack(_) | Goto::Promote(_)) | None => {
            Ok(())
        }
    }
}

/// Whether the open plan is one that could go further.
fn can_promote_further(model: &Model) -> Result<(), Text> {
    match open_plan(model).map(|overlay| &overlay.request.goto) {
        Some(Goto::Promote(_)) => Ok(()),
        Some(
            Goto::Expected | Goto::LastGood | Goto::Revision(_) | Goto::Image(_) | Goto::Before(_) | Goto::GiveBack(_),
        ) => not_now("this plan promotes nothing: P on a row does"),
        None => not_now("no plan is open"),
    }
}

/// To the next step, or to the end.
fn promote_further(model: &mut Model) -> Vec<Effect> {
    choose(model, |request| {
        request.goto = match &request.goto {
            Goto::Promote(Stride::Next) => Goto::Promote(Stride::Full),
            Goto::Promote(Stride::Full) => Goto::Promote(Stride::Next),
            other => other.clone(),
        };
    })
}
