//! One step of a plan in words, as the overlay, the report and the operations say it.
//!
//! Never says a verb of scripts: these are for people.

use jiff::Timestamp;

use super::age::Clock;
use crate::domain::plan::{Action, Brake, Plan, Step};

/// Which sides of a change are named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sides {
    /// What it goes to: the title says once where all come from.
    To,
    /// What it leaves, too.
    Both,
}

impl Sides {
    /// As many as a reader of all of this plan needs.
    pub(crate) fn of(plan: &Plan) -> Sides {
        if is_uniform(plan) { Sides::To } else { Sides::Both }
    }
}

/// Whether all steps go from the same to the same: then the title says it once.
fn is_uniform(plan: &Plan) -> bool {
    let replacing = plan.steps().filter(|step| step.action.replaces());
    let mut sides = replacing.map(|step| (step.from.label(), step.to.label()));
    let first = sides.next();
    sides.all(|side| Some(&side) == first.as_ref())
}

/// What a step does, and to which image it goes.
pub(crate) fn words(step: &Step, sides: Sides, now: Timestamp) -> String {
    let image = image(step, sides);
    match &step.action {
        Action::RestoreRevision { number, .. } => format!("back to revision {number}, {image}"),
        Action::SetImage { container, .. } => format!("image of {container}: {image}"),
        Action::Evict { name, started_at, .. } => {
            let age = started_at.map(|at| format!(", {} old", Clock::Since.show(at, now))).unwrap_or_default();
            format!("replaces {name}{age}: {image}")
        }
        Action::EndRollout { what } => format!("ends {what}"),
        Action::Borrow { .. } | Action::GiveBack { .. } => step.action.loan_as_text().unwrap_or_default(),
        Action::Promote { promotion, what, .. } => promotion.as_text(what),
    }
}

/// `v42 7f9db0e2157e -> v41 ba337ca7418c`.
pub(crate) fn image(step: &Step, sides: Sides) -> String {
    let (from, to) = (step.from.named(), step.to.named());
    if sides == Sides::To || from == to { to } else { format!("{from} -> {to}") }
}

/// What happens after the first share of a step that has one, in few words.
pub(crate) fn first_share(step: &Step) -> Option<String> {
    let first = step.first?;
    Some(match step.brake {
        Brake::PauseRollout => format!("first {}%, then held", first.percent),
        Brake::CancelRollout | Brake::None(_) => format!("first {}%, then it waits", first.percent),
    })
}

/// The title of a plan within this width: where it is too long, versions alone name the images.
pub(crate) fn title(plan: &Plan, width: usize) -> String {
    let whole = plan.title.to_string();
    if super::cells::width(&whole) <= width {
        return whole;
    }
    let replacing = plan.steps().filter(|step| step.action.replaces());
    let sides = replacing.map(|step| (&step.from, &step.to));
    let told_apart = sides.filter(|(from, to)| from.version.is_some() && from.version != to.version);
    told_apart.take(1).fold(whole, |title, (from, to)| {
        let short = |side: &crate::domain::plan::Side| match &side.version {
            Some(version) => version.to_string(),
            None => side.label(),
        };
        title.replace(&from.label(), &short(from)).replace(&to.label(), &short(to))
    })
}
