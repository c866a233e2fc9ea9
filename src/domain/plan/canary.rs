//! Workloads whose rollouts go by steps (an Argo Rollout): the way back does not stop at them, and what waits at one is let go on
//! by a plan of its own.
//!
//! Never passes a pause that nobody has looked at: a promotion is bound to the one that it was decided at.

use serde::{Deserialize, Serialize};

use super::choose::{Choice, check, end_rollout, rollout_checks};
use super::{Action, Brake, Check, CheckVerdict, Follows, Goto, PlanRequest, Step};
use crate::domain::fleet::Workload;
use crate::domain::history::Version;
use crate::domain::observation::{Canary, Halt, Rollout};
use crate::domain::text::{Text, counted, with_article};

/// How far a promotion goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stride {
    /// To the next step; what was aborted begins again.
    Next,
    /// To the end, without the steps between.
    Full,
}

/// What a promotion asks of the platform.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Promotion {
    /// Leave the pause.
    Next,
    /// Leave out all steps that are left.
    Full,
    /// Begin again after it was aborted.
    Retry,
}

/// The steps that bring a workload with steps of its own to a version; `None` for an image that it may never have had. `roll`
/// is the one that asks for it.
pub(super) fn go_to(
    request: &PlanRequest,
    workload: &Workload,
    canary: &Canary,
    version: Option<&Version>,
    roll: Step,
    mut checks: Vec<Check>,
) -> Choice {
    if let Some(refused) = not_taken_up(workload) {
        return refused;
    }
    let mut steps = Vec::new();
    let running = workload.seen.running.as_ref();
    let mut roll = roll;
    if let Some(in_the_way) =
        running.filter(|running| version.is_none_or(|version| !running.yields.allows(&version.hash)))
    {
        let detail = format!(
            "{}: {} is aborted first: its traffic goes back to the stable version at once",
            workload.id, in_the_way.what
        );
        checks.push(check("rollout", CheckVerdict::Warn, detail));
        steps.push(end_rollout(workload, &in_the_way.what));
        roll.follows = Follows::EndOfRollout;
    } else {
        checks.extend(rollout_checks(workload));
    }
    let to = roll.to.clone();
    steps.push(roll);
    let has_steps = canary.steps > 0 && canary.stable.as_ref() != version.map(|version| &version.hash);
    let waits = match workload.seen.strategy.kind.as_str() {
        "BlueGreen" => "its preview's pause".to_string(),
        _ => format!("its canary's {}", counted(canary.steps as usize, "step")),
    };
    // What is good is not taken through a canary again; anything else is, whatever the key that leads to it.
    match (has_steps, request.goto.is_way_back() && version.is_some_and(|version| version.evidence.is_some())) {
        (false, _) => {}
        (true, true) => {
            let detail = format!("{}: {waits} {} skipped: a way back must not wait there", workload.id, are(&waits));
            checks.push(check("canary", CheckVerdict::Warn, detail));
            let what = Text::new(&format!("the way back over {waits}"));
            let promote = step(workload, Promotion::Full, None, what);
            steps.push(Step { follows: Follows::OwnRollout, to, ..promote });
        }
        (true, false) => {
            let detail = format!("{}: {waits} {} honoured: where it pauses, promote it (P)", workload.id, are(&waits));
            checks.push(check("canary", CheckVerdict::Pass, detail));
        }
    }
    Choice::Steps { steps, checks }
}

/// Why a workload that asks for a version already is not brought there by taking instances away: they would be made again
/// as they are.
pub(super) fn why_not_stay(workload: &Workload) -> Option<Choice> {
    match workload.seen.canary.as_ref()?.halt.as_ref()? {
        Halt::Pause { .. } => None,
        Halt::Aborted { what, .. } => Some(Choice::Refused {
            reason: format!("it asks for that version, and its rollout was aborted ({what})"),
            hint: "retry it (P, or `plan promote`), or go back to the last good version: b, or `plan rollback`"
                .to_string(),
        }),
    }
}

/// The step that lets a workload go on.
pub(super) fn promote(stride: Stride, workload: &Workload) -> Choice {
    let Some(canary) = &workload.seen.canary else {
        return Choice::Refused {
            reason: format!("{} has no steps that wait for a promotion", with_article(&workload.id.kind)),
            hint: format!("leave it out with -kind:{}", workload.id.kind),
        };
    };
    if let Some(refused) = not_taken_up(workload) {
        return refused;
    }
    if workload.seen.rollout == Rollout::Paused {
        return Choice::Refused {
            reason: "its rollout is held: promoted or not, it would not move".to_string(),
            hint: "release it first: resume the operation that holds it (screen 5), or its owner's spec.paused"
                .to_string(),
        };
    }
    let (promotion, halt, what) = match (stride, &canary.halt, &workload.seen.running) {
        (Stride::Next, Some(halt @ Halt::Pause { what, .. }), _) => (Promotion::Next, Some(halt), what),
        (Stride::Next, Some(halt @ Halt::Aborted { what, .. }), _) => (Promotion::Retry, Some(halt), what),
        (Stride::Full, Some(halt), _) => (Promotion::Full, Some(halt), halt.what()),
        (Stride::Full, None, Some(running)) => (Promotion::Full, None, &running.what),
        (Stride::Next, None, _) | (Stride::Full, None, None) => {
            return Choice::Refused {
                reason: "nothing waits there for a promotion".to_string(),
                hint: "`rolldeck fleet` shows how far its rollout is".to_string(),
            };
        }
    };
    let words = match promotion {
        Promotion::Next => "goes on to its next step",
        Promotion::Full => "goes to its end, without the steps and the analysis between",
        Promotion::Retry => "begins again, at its first step",
    };
    let verdict = if promotion == Promotion::Full { CheckVerdict::Warn } else { CheckVerdict::Pass };
    let checks = vec![check("canary", verdict, format!("{}: {what}: it {words}", workload.id))];
    Choice::Steps { steps: vec![step(workload, promotion, halt, what.clone())], checks }
}

/// What is in flight is not known before its controller has taken up what was last asked for.
fn not_taken_up(workload: &Workload) -> Option<Choice> {
    let is_taken_up = workload.seen.observed_generation >= workload.seen.generation;
    (!is_taken_up).then(|| Choice::Refused {
        reason: "its controller has not taken up the last change yet: what is in flight there is not known".to_string(),
        hint: "plan again in a moment; if that does not help, look whether its controller runs".to_string(),
    })
}

/// Whether a request may meet a workload that an operation drives: what waits at a pause of its own is let go on for it.
pub(super) fn may_join(goto: &Goto, workload: &Workload) -> bool {
    let waits =
        || matches!(workload.seen.canary.as_ref().and_then(|canary| canary.halt.as_ref()), Some(Halt::Pause { .. }));
    matches!(goto, Goto::Promote(_)) && waits()
}

/// What a stop leaves, where it is something else than elsewhere.
pub(super) fn abort_leaves(steps: &[Step]) -> Option<&'static str> {
    let promotes = |step: &Step| matches!(step.action, Action::Promote { .. });
    let aborts = |step: &Step| matches!(step.action, Action::EndRollout { .. }) && step.bound.strategy.has_stable();
    if !steps.is_empty() && steps.iter().all(promotes) {
        return Some("x s stops here: what was promoted goes on; b goes back; p pauses what has not begun");
    }
    steps.iter().any(aborts).then_some(
        "x s stops here: what was aborted stays on its stable version, a rollout of ours is held (a debt until released); p pauses",
    )
}

impl Step {
    /// Which of the facts that a promotion was decided on are no longer so: it lets one halt go, not whatever comes after it.
    pub fn moved_on(&self, canary: Option<&Canary>) -> Option<Text> {
        let Action::Promote { halt: Some(decided), what, .. } = &self.action else { return None };
        let now = canary.and_then(|canary| canary.halt.as_ref());
        match now {
            Some(now) if now.id() == decided => None,
            Some(now) => Some(Text::new(&format!("it waits elsewhere now: {}", now.what()))),
            None => Some(Text::new(&format!("it waits no longer at {what}"))),
        }
    }
}

impl Promotion {
    /// In words, as a plan shows it.
    pub fn as_text(self, what: &str) -> String {
        match self {
            Promotion::Next => format!("promotes {what} to its next step"),
            Promotion::Full => format!("promotes {what} to its end"),
            Promotion::Retry => format!("retries {what}"),
        }
    }
}

fn are(what: &str) -> &'static str {
    if what.ends_with("steps") { "are" } else { "is" }
}

fn step(workload: &Workload, promotion: Promotion, halt: Option<&Halt>, what: Text) -> Step {
    let action = Action::Promote { promotion, halt: halt.map(|halt| halt.id().clone()), what: what.clone() };
    let brake = Brake::None(Text::new("what was promoted can't be called back; a way back aborts it"));
    Step { action, brake, ..end_rollout(workload, &what) }
}

#[cfg(test)]
mod tests;
