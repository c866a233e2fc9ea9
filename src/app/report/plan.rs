//! A plan as scripts see it.

use std::fmt::Write as _;

use jiff::Timestamp;
use serde::Serialize;

use crate::app::step_text::{self, Sides};
use crate::domain::id::StepId;
use crate::domain::plan::{CheckVerdict, Gate, Plan, Side, Step};
use crate::domain::text::{Text, counted};

/// A plan.
#[derive(Debug, Serialize)]
pub struct PlanReport {
    plan: Text,
    verb: &'static str,
    title: Text,
    code: Option<String>,
    expires_at: Timestamp,
    waves: Vec<WaveRow>,
    checks: Vec<CheckRow>,
    refusals: Vec<RefusalRow>,
    will_be_undone_by: Vec<UndoneByRow>,
    abort_leaves: Text,
}

#[derive(Debug, Serialize)]
struct WaveRow {
    place: Text,
    gate: String,
    steps: Vec<StepRow>,
}

#[derive(Debug, Serialize)]
struct StepRow {
    id: StepId,
    verb: &'static str,
    /// The same for people: what it does, from which image to which.
    words: String,
    target: String,
    from: SideRow,
    to: SideRow,
    instances: u32,
    /// What it borrows or gives back, in words.
    loan: Option<String>,
    left_out: Option<Text>,
    first_percent: Option<u8>,
    also_goes_back: Vec<Text>,
    brake: Text,
    equivalent: Text,
}

#[derive(Debug, Serialize)]
struct SideRow {
    image: Option<Text>,
    reference: Option<Text>,
    version: Option<Text>,
    container: Text,
}

#[derive(Debug, Serialize)]
struct CheckRow {
    name: Text,
    verdict: CheckVerdict,
    detail: Text,
}

#[derive(Debug, Serialize)]
struct RefusalRow {
    place: Option<Text>,
    workload: Option<String>,
    reason: Text,
    hint: Text,
}

#[derive(Debug, Serialize)]
struct UndoneByRow {
    place: Text,
    workload: String,
    by: Text,
    what: Text,
    how_fast: Text,
}

/// A plan in the words of scripts.
pub fn plan_report(plan: &Plan) -> PlanReport {
    PlanReport {
        plan: plan.id.0.clone(),
        verb: plan.verb.as_str(),
        title: plan.title.clone(),
        code: plan.code().map(|code| code.to_string()),
        expires_at: plan.expires_at,
        waves: plan
            .waves
            .iter()
            .enumerate()
            .map(|(number, wave)| WaveRow {
                place: wave.place.0.clone(),
                gate: gate(number, wave.gate),
                steps: wave.steps.iter().map(|own| step(plan, own)).collect(),
            })
            .collect(),
        checks: plan
            .checks
            .iter()
            .map(|check| CheckRow { name: check.name.clone(), verdict: check.verdict, detail: check.detail.clone() })
            .collect(),
        refusals: plan
            .refusals
            .iter()
            .map(|refusal| RefusalRow {
                place: refusal.place.as_ref().map(|place| place.0.clone()),
                workload: refusal.workload.as_ref().map(ToString::to_string),
                reason: refusal.reason.clone(),
                hint: refusal.hint.clone(),
            })
            .collect(),
        will_be_undone_by: plan
            .will_be_undone_by
            .iter()
            .map(|undone| UndoneByRow {
                place: undone.place.0.clone(),
                workload: undone.workload.to_string(),
                by: undone.undoer.by.clone(),
                what: undone.undoer.what.clone(),
                how_fast: undone.undoer.how_fast.clone(),
            })
            .collect(),
        abort_leaves: plan.abort_leaves.clone(),
    }
}

impl PlanReport {
    /// The plan for people, and how it is started.
    pub fn to_text(&self) -> String {
        let mut text = self.to_record();
        match &self.code {
            Some(code) => text.push_str(&format!(
                "start it with: rolldeck apply {} --code {code}   (until {})\n",
                self.plan, self.expires_at
            )),
            None => text.push_str("it can't be started\n"),
        }
        text
    }

    /// What the plan is, for whoever reads of it later.
    pub(super) fn to_record(&self) -> String {
        let mut text = format!("{} {}\n", self.plan, self.title);
        // Writing to a string can't fail.
        for (number, wave) in self.waves.iter().enumerate() {
            let _ = writeln!(text, "wave {}  {}  {}", number + 1, wave.place, wave.gate);
            for step in &wave.steps {
                // What is borrowed replaces no instance.
                let instances = match step.instances {
                    0 => String::new(),
                    instances => format!(", {}", counted(instances, "instance")),
                };
                let _ = writeln!(text, "  {}  {}{instances}: {}", step.id, step.target, step.words);
                if let Some(line) = &step.left_out {
                    let _ = writeln!(text, "       left out: {line}");
                }
                for line in &step.also_goes_back {
                    let _ = writeln!(text, "       also goes back: {line}");
                }
                let _ = writeln!(text, "       brake: {}", step.brake);
                if !step.equivalent.is_empty() {
                    let _ = writeln!(text, "       same as: {}", step.equivalent);
                }
            }
        }
        for check in &self.checks {
            let _ = writeln!(text, "check   {:<7} {}: {}", check.verdict.as_str(), check.name, check.detail);
        }
        for undone in &self.will_be_undone_by {
            let _ =
                writeln!(text, "undo    {} in {}: {} ({})", undone.by, undone.workload, undone.what, undone.how_fast);
        }
        for refusal in &self.refusals {
            let subject = refusal.workload.as_ref().map_or(String::new(), |workload| format!("{workload}: "));
            let _ = writeln!(text, "refused {subject}{}; {}", refusal.reason, refusal.hint);
        }
        let _ = writeln!(text, "abort   {}", self.abort_leaves);
        text
    }
}

fn gate(number: usize, gate: Gate) -> String {
    match gate {
        Gate::Open if number == 0 => "starts at once".to_string(),
        Gate::Open => "once the wave before is done".to_string(),
        Gate::Healthy(bake) => format!("after the wave before is healthy for {}s", bake.as_secs()),
    }
}

fn step(plan: &Plan, step: &Step) -> StepRow {
    StepRow {
        id: step.id,
        verb: step.action.as_str(),
        words: words(plan, step),
        target: step.workload.to_string(),
        from: side(&step.from),
        to: side(&step.to),
        instances: step.instances,
        loan: step.action.loan_as_text(),
        left_out: step.left_out.clone(),
        first_percent: step.first.map(|first| first.percent),
        also_goes_back: step.also_goes_back.clone(),
        brake: step.brake.as_text(),
        equivalent: step.equivalent.clone(),
    }
}

/// Ages are as they were when the plan was made: it is read again later.
fn words(plan: &Plan, step: &Step) -> String {
    let words = step_text::words(step, Sides::Both, plan.made_at);
    match step_text::first_share(step) {
        Some(first) => format!("{words}; {first}"),
        None => words,
    }
}

fn side(side: &Side) -> SideRow {
    SideRow {
        image: side.image.as_ref().map(|image| Text::new(image.as_str())),
        reference: side.reference.as_ref().map(|reference| Text::new(reference.as_str())),
        version: side.version.clone(),
        container: side.container.clone(),
    }
}
