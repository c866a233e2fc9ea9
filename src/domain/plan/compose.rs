//! From a request and the fleet to a plan: which workloads, in which waves, and what forbids it.
//!
//! Never asks a provider: what only a provider can see (dry run, permissions) is added by `Plan::absorb`.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::abilities::Abilities;
use super::by_hand;
use super::canary;
use super::choose::{Choice, choose};
use super::floor;
use super::lend;
use super::meant::meant;
use super::pullable;
use super::select::select;
use super::stays::moves_away;
use super::tempo::strategy_for;
use super::waves::{FAST, waves};
use super::words::{abort_leaves, title};
use super::{
    Check, CheckVerdict, First, Follows, Goto, Pace, Plan, PlanRequest, Reach, Refusal, Scope, Step, Suspend, Tempo,
    UndoneBy, Verb, Way, short_name,
};
use crate::domain::fleet::{Fleet, Workload};
use crate::domain::id::{PlaceId, PlanId, WorkloadId, WorkloadKind};
use crate::domain::image::ImageRef;
use crate::domain::keeper::Borrowed;
use crate::domain::observation::{Applies, Strategy, Undoer};
use crate::domain::policy::{Confirm, Policy};
use crate::domain::text::{Text, counted};

/// How many steps a plan has at most: more than that nobody reads before they type its code.
const MOST_STEPS: usize = 5_000;

/// Makes a plan. `busy` tells which running operation already drives a workload.
pub fn compose(
    request: &PlanRequest,
    fleet: &Fleet,
    policy: &Policy,
    now: Timestamp,
    busy: &dyn Fn(&WorkloadId) -> Option<Text>,
) -> Plan {
    let mut workloads = select(&request.scope, fleet);
    workloads.sort_by(|a, b| {
        let rank = |workload: &Workload| policy.rank(&workload.id.place);
        rank(a).cmp(&rank(b)).then_with(|| a.id.cmp(&b.id))
    });
    let mut draft = Draft { refusals: too_wide(request, &workloads), ..Draft::default() };
    if let Goto::GiveBack(owing) = &request.goto {
        draft.refusals.extend(lend::not_there(fleet, owing));
    } else if workloads.is_empty() {
        draft.refuse(None, "nothing matches", "`rolldeck fleet` lists what there is");
    }
    if matches!(request.goto, Goto::LastGood | Goto::Promote(_)) && matches!(request.scope, Scope::Matching(_)) {
        workloads = draft.leave_out_what_is_not_meant(request, fleet, policy, now, workloads);
    }
    for workload in &workloads {
        draft.add(request, fleet, policy, workload, now, busy);
    }
    draft.finish(request, policy, now, &workloads)
}

/// One name may stand for things that have nothing to do with each other: that must be said, not assumed. A service that is
/// a Deployment in one place and an Auto Scaling group in another is one service still.
fn too_wide(request: &PlanRequest, workloads: &[&Workload]) -> Vec<Refusal> {
    let Scope::Matching(selector) = &request.scope else { return Vec::new() };
    if request.reach == Reach::Wide {
        return Vec::new();
    }
    let mut refusals = Vec::new();
    let mut namespaces: BTreeMap<&PlaceId, BTreeSet<&str>> = BTreeMap::new();
    let mut kinds: BTreeMap<(&PlaceId, &Text), BTreeSet<&str>> = BTreeMap::new();
    for workload in workloads {
        let place = &workload.id.place;
        namespaces.entry(place).or_default().extend(workload.id.namespace.as_deref());
        kinds.entry((place, &workload.seen.service)).or_default().insert(workload.id.kind.as_str());
    }
    let list = |names: &BTreeSet<&str>| names.iter().copied().collect::<Vec<&str>>().join(", ");
    if !selector.names_namespace() {
        for (place, names) in namespaces.iter().filter(|(_, names)| names.len() > 1) {
            refusals.push(Refusal {
                place: Some((*place).clone()),
                workload: None,
                reason: Text::new(&format!("this touches several namespaces: {}", list(names))),
                hint: Text::new("add ns:NAME, or --wide if all are meant"),
            });
        }
    }
    if !selector.names_kind() {
        for ((place, service), names) in kinds.iter().filter(|(_, names)| names.len() > 1) {
            refusals.push(Refusal {
                place: Some((*place).clone()),
                workload: None,
                reason: Text::new(&format!("{service} has several kinds of workload: {}", list(names))),
                hint: Text::new("add kind:NAME, or --wide if all are meant"),
            });
        }
    }
    refusals
}

/// A plan in the making.
#[derive(Default)]
struct Draft {
    steps: Vec<Step>,
    checks: Vec<Check>,
    refusals: Vec<Refusal>,
    undone_by: Vec<UndoneBy>,
    /// What is borrowed before the steps of a place, and given back after them.
    borrows: Vec<Step>,
    returns: Vec<Step>,
    already_there: u32,
}

impl Draft {
    /// A name means of each service what a key on its row means.
    fn leave_out_what_is_not_meant<'a>(
        &mut self,
        request: &PlanRequest,
        fleet: &Fleet,
        policy: &Policy,
        now: Timestamp,
        workloads: Vec<&'a Workload>,
    ) -> Vec<&'a Workload> {
        let mut services: BTreeMap<&Text, Vec<&Workload>> = BTreeMap::new();
        for workload in &workloads {
            services.entry(&workload.seen.service).or_default().push(workload);
        }
        let mut out: BTreeSet<WorkloadId> = BTreeSet::new();
        for service in services.values() {
            for (id, why) in meant(&request.goto, request.reach, fleet, policy, now, service).left_out {
                self.check("left out", CheckVerdict::Pass, format!("{id}: {why}; select it alone to include it"));
                out.insert(id);
            }
        }
        workloads.into_iter().filter(|workload| !out.contains(&workload.id)).collect()
    }

    fn add(
        &mut self,
        request: &PlanRequest,
        fleet: &Fleet,
        policy: &Policy,
        workload: &Workload,
        now: Timestamp,
        busy: &dyn Fn(&WorkloadId) -> Option<Text>,
    ) {
        let place_state = fleet.place(&workload.id.place).map(|place| &place.state);
        if let Some(state) = place_state.filter(|state| !state.is_live()) {
            let reason = format!("{} is {}: what is shown may be old", workload.id.place, state.as_str());
            let hint = format!("wait until it answers, or leave it out with -place:{}", workload.id.place);
            return self.refuse(Some(workload), &reason, &hint);
        }
        if let Some(operation) = busy(&workload.id).filter(|_| !canary::may_join(&request.goto, workload)) {
            let reason = format!("operation {operation} is driving it");
            return self.refuse(Some(workload), &reason, "stop or finish that operation first (screen 5)");
        }
        if let Goto::GiveBack(owing) = &request.goto {
            return match lend::still_needed(fleet, workload, owing, busy) {
                Some(reason) => self.refuse(Some(workload), &reason, "stop or finish that operation first (screen 5)"),
                None => {
                    self.undone_by.extend(lend::set_loose(fleet, workload, owing));
                    self.take(choose(request, fleet, workload), workload)
                }
            };
        }
        if let Some(lock) = fleet.lock_on(workload) {
            let reason = format!("it is locked {}", lock.describe());
            return self.refuse(
                Some(workload),
                &reason,
                &format!("lift it first: L on its row, or rolldeck unlock {}", lock.number),
            );
        }
        if let Some(freeze) = policy.freeze_at(&workload.id.place, now) {
            let what = format!("{} is frozen {}", workload.id.place, freeze.describe());
            match (request.goto.is_way_back(), &request.reason) {
                (true, _) => {
                    self.check("freeze", CheckVerdict::Warn, format!("{what}; this is a way back, so it may pass"))
                }
                (false, Some(reason)) => {
                    self.check("freeze", CheckVerdict::Warn, format!("{what}; it moves on all the same: {reason}"));
                }
                (false, None) => {
                    let hint = "the way back stays open (b, u, x z); else say why: Alt-w, or --reason";
                    return self.refuse(Some(workload), &what, hint);
                }
            }
        }
        if let Some(reason) = &workload.seen.inoperable {
            let hint = format!("leave it out with -kind:{}", workload.id.kind);
            return self.refuse(Some(workload), reason, &hint);
        }
        if let Some(twin) = self.steps.iter().find(|step| step.bound.uid == workload.seen.uid) {
            let twin = twin.workload.place.clone();
            let detail = format!("{}: it is the same one as in {twin}, seen through another place", workload.id);
            return self.check("left out", CheckVerdict::Warn, detail);
        }
        match choose(request, fleet, workload) {
            choice @ (Choice::Refused { .. } | Choice::AlreadyThere(_)) => self.take(choice, workload),
            Choice::Steps { mut steps, mut checks } => {
                by_hand::follow(fleet, workload, &mut steps, &mut checks);
                self.hold_after_first(policy, workload, &mut steps);
                self.checks.extend(checks);
                let strategy = match self.strategy(request, fleet, workload, &steps) {
                    Ok(strategy) => strategy,
                    Err((reason, hint)) => return self.refuse(Some(workload), &reason, hint),
                };
                match floor::look(policy, fleet, workload, strategy.as_ref(), &steps) {
                    Ok(check) => self.checks.push(check),
                    Err((reason, hint)) => self.refuse(Some(workload), &reason, hint),
                }
                if let Some(stay) = moves_away(fleet, request, workload, &steps) {
                    let hint = format!("lift it first: L on its row, or rolldeck unlock {}", stay.number);
                    return self.refuse(Some(workload), &stay.why_stays(), &hint);
                }
                self.look_at_quarantine(request, fleet, &steps);
                match pullable::look(request, fleet, now, &steps) {
                    Ok(checks) => self.checks.extend(checks),
                    Err((reason, hint)) => self.refuse(Some(workload), &reason, hint),
                }
                self.find_undoers(fleet, workload);
                if steps.iter().any(|step| step.action.is_rollout()) {
                    self.lend(request, fleet, policy, workload, strategy);
                }
                self.steps.extend(steps);
            }
        }
    }

    /// Takes what was chosen as it is.
    fn take(&mut self, choice: Choice, workload: &Workload) {
        match choice {
            Choice::Refused { reason, hint } => self.refuse(Some(workload), &reason, &hint),
            Choice::AlreadyThere(detail) => {
                self.already_there += 1;
                self.check("already there", CheckVerdict::Pass, format!("{}: {detail}", workload.id));
            }
            Choice::Steps { steps, checks } => {
                self.steps.extend(steps);
                self.checks.extend(checks);
            }
        }
    }

    /// Another strategy than the workload's own, where the request wants another pace and a rollout has one.
    fn strategy(
        &mut self,
        request: &PlanRequest,
        fleet: &Fleet,
        workload: &Workload,
        steps: &[Step],
    ) -> Result<Option<Strategy>, (String, &'static str)> {
        if !steps.iter().any(|step| step.action.is_rollout()) {
            if request.tempo != Tempo::default() {
                let detail = format!("{}: its instances are taken away one at a time, at no other pace", workload.id);
                self.check("pace", CheckVerdict::Warn, detail);
            }
            return Ok(None);
        }
        let strategy = strategy_for(workload, request.tempo)?;
        if strategy.is_none() && request.tempo != Tempo::default() {
            let detail = format!("{}: {} is as far as it goes", workload.id, workload.seen.strategy.describe());
            self.check("pace", CheckVerdict::Warn, detail);
        }
        let (from, lent) = (workload.seen.strategy.clone(), strategy.clone().unwrap_or_default());
        if strategy.is_some() && fleet.is_lent(&workload.id, &Borrowed::Pace { from, to: lent }) {
            let reason = "its pace is borrowed and owed already: it could not be given back as it was".to_string();
            return Err((reason, "give it back first (D), or leave its pace as it is: + and -"));
        }
        Ok(strategy)
    }

    fn lend(
        &mut self,
        request: &PlanRequest,
        fleet: &Fleet,
        policy: &Policy,
        workload: &Workload,
        strategy: Option<Strategy>,
    ) {
        let mut lent = lend::lend(request, fleet, policy, workload, &self.undone_by, &self.borrows);
        lent.change_pace(policy, workload, strategy);
        self.borrows.extend(lent.borrows);
        self.returns.extend(lent.returns);
        self.checks.extend(lent.checks);
        self.refusals.extend(lent.refusals);
    }

    fn refuse(&mut self, workload: Option<&Workload>, reason: &str, hint: &str) {
        self.refusals.push(Refusal {
            place: workload.map(|workload| workload.id.place.clone()),
            workload: workload.map(|workload| workload.id.clone()),
            reason: Text::new(reason),
            hint: Text::new(hint),
        });
    }

    fn check(&mut self, name: &str, verdict: CheckVerdict, detail: String) {
        self.checks.push(Check { name: Text::new(name), verdict, detail: Text::new(&detail) });
    }

    /// A target that somebody has named may be bad elsewhere: whoever names it says why.
    fn look_at_quarantine(&mut self, request: &PlanRequest, fleet: &Fleet, steps: &[Step]) {
        for step in steps.iter().filter(|step| step.action.replaces()) {
            let ban = fleet.quarantine_of(step.to.image.as_ref(), step.to.reference.as_ref());
            if let Some(ban) = ban {
                let what = format!("it goes to an image that is quarantined {}", ban.describe());
                // Whoever takes an operation back gets what was there, whatever it is.
                let said = request.reason.clone().or_else(|| {
                    let is_back = matches!(request.goto, Goto::Before(_));
                    is_back.then(|| Text::new("it is the way back from an operation"))
                });
                match said {
                    Some(reason) => {
                        let detail = format!("{}: {what}; all the same: {reason}", step.workload);
                        return self.check("quarantine", CheckVerdict::Warn, detail);
                    }
                    None => {
                        let workload = fleet.workload(&step.workload);
                        return self.refuse(workload, &what, "say why: Alt-w, or --reason; or lift the quarantine");
                    }
                }
            }
        }
    }

    /// The share that goes first, where the policy asks for one and the platform can hold a rollout there by itself.
    fn hold_after_first(&mut self, policy: &Policy, workload: &Workload, steps: &mut [Step]) {
        let policy = policy.for_place(&workload.id.place);
        let Some(percent) = policy.first_percent else { return };
        for step in steps.iter_mut().filter(|step| step.action.is_rollout()) {
            // A refresh that is taken back has no checkpoint.
            let is_taken_back = workload.id.kind == WorkloadKind::AutoScalingGroup
                && workload.seen.running.is_some()
                && step.follows != Follows::EndOfRollout;
            let why_not = match Abilities::of(workload.id.kind).first.why_not() {
                _ if is_taken_back => Some("takes its refresh back, which knows no such halt".to_string()),
                None if !step.brake.exists() => Some("replaces nothing by itself".to_string()),
                why => why.map(ToString::to_string),
            };
            match why_not {
                None => step.first = Some(First { percent, hold: policy.bake }),
                Some(why) => {
                    let kind = workload.id.kind;
                    let detail = format!("{}: {percent}% first is not possible there: a {kind} {why}", workload.id);
                    self.check("first", CheckVerdict::Warn, detail);
                }
            }
        }
    }

    fn find_undoers(&mut self, fleet: &Fleet, workload: &Workload) {
        let appliers = workload.seen.owners.iter().filter(|owner| owner.applies == Applies::Continuously);
        let owners = appliers.map(|owner| Undoer {
            by: owner.manager.clone(),
            what: Text::new("owns the image field and applies it again"),
            how_fast: Text::new("at its next sync"),
            keeper: None,
        });
        for undoer in fleet.undoers_of(workload).into_iter().chain(owners) {
            let known = |known: &UndoneBy| known.workload == workload.id && known.undoer.by == undoer.by;
            if !self.undone_by.iter().any(known) {
                self.undone_by.push(UndoneBy {
                    place: workload.id.place.clone(),
                    workload: workload.id.clone(),
                    undoer,
                });
            }
        }
    }

    fn finish(mut self, request: &PlanRequest, policy: &Policy, now: Timestamp, workloads: &[&Workload]) -> Plan {
        if self.steps.is_empty() && self.refusals.is_empty() {
            let reason = if self.already_there > 0 { "everything is there already" } else { "nothing is off" };
            self.refuse(None, reason, "nothing to do");
        }
        if self.steps.len() + self.borrows.len() + self.returns.len() > MOST_STEPS {
            let reason = format!("these are {} steps; a plan has {MOST_STEPS} at most", self.steps.len());
            self.refuse(None, &reason, "take fewer workloads or instances: a place, a namespace, --oldest N");
        }
        let verb = match &request.goto {
            Goto::Expected => Verb::Replace,
            Goto::LastGood | Goto::Revision(_) | Goto::Image(_) | Goto::Before(_) => Verb::Rollback,
            Goto::GiveBack(_) => Verb::GiveBack,
            Goto::Promote(_) => Verb::Promote,
        };
        let title = match &request.goto {
            Goto::Before(operation) => {
                Text::new(&format!("{}, back from {operation}", title(verb, workloads, &self.steps)))
            }
            Goto::Expected
            | Goto::LastGood
            | Goto::Revision(_)
            | Goto::Image(_)
            | Goto::GiveBack(_)
            | Goto::Promote(_) => title(verb, workloads, &self.steps),
        };
        for undone in &mut self.undone_by {
            if self.borrows.iter().any(|step| step.suspends(undone)) {
                undone.undoer.how_fast = Text::new(match request.suspend {
                    Suspend::UntilDone => "not while this plan has it suspended: it acts again at the end",
                    Suspend::Nobody | Suspend::UntilGivenBack => "not while this plan has it suspended",
                });
            }
        }
        let content =
            format!("{now}|{title}|{:?}|{:?}|{:?}|{:?}", self.steps, self.borrows, self.returns, request.reason);
        let confirm = workloads.iter().map(|workload| policy.for_place(&workload.id.place).confirm).max();
        let abort_leaves = abort_leaves(request, &self.steps, &self.borrows);
        let waves = waves(self.steps.clone(), &self.borrows, &self.returns, policy, request.pace);
        let places: BTreeSet<PlaceId> = self.steps.iter().map(|step| step.workload.place.clone()).collect();
        for place in places.iter().filter(|_| verb != Verb::GiveBack) {
            for probe in policy.probes_at(place) {
                let limit = probe.timeout.as_secs().max(1);
                let detail =
                    format!("{place}: its wave counts as healthy once this says so: {} ({limit} s)", probe.describe());
                self.check("probe", CheckVerdict::Pass, detail);
            }
        }
        if request.pace == Pace::Fast {
            let bakes = waves.len().saturating_sub(1);
            let detail = format!(
                "{} of {} s at most, and nobody watches at the end whether it is taken back",
                counted(bakes, "bake"),
                FAST.as_secs()
            );
            self.check("fast", CheckVerdict::Warn, detail);
        }
        Plan {
            id: PlanId(short_name("p-", 5, &content)),
            verb,
            reverses: match &request.goto {
                Goto::Before(operation) => Some(operation.clone()),
                Goto::Expected
                | Goto::LastGood
                | Goto::Revision(_)
                | Goto::Image(_)
                | Goto::GiveBack(_)
                | Goto::Promote(_) => None,
            },
            way: if request.goto == Goto::LastGood { Way::Back } else { Way::Elsewhere },
            title,
            made_at: now,
            expires_at: now + request.valid,
            waves,
            pace: request.pace,
            checks: self.checks,
            refusals: self.refusals,
            reason: request.reason.clone(),
            will_be_undone_by: self.undone_by,
            abort_leaves: Text::new(&abort_leaves),
            confirm: confirm.unwrap_or(Confirm::Code),
        }
    }
}

/// Whether two references would be one version to a person: the same image, or the same tag of one repository.
pub(super) fn is_named(reference: &ImageRef, wanted: &str) -> bool {
    if reference.as_str() == wanted || reference.tag() == Some(wanted) {
        return true;
    }
    if let Some(digest) = reference.digest() {
        let prefix = wanted.trim_start_matches("sha256:");
        if prefix.len() >= 4 && digest.hex().starts_with(prefix) {
            return true;
        }
    }
    wanted.parse::<ImageRef>().is_ok_and(|wanted| {
        wanted.is_same_repository(reference)
            && wanted.tag() == reference.tag()
            && (wanted.digest().is_none() || wanted.digest() == reference.digest())
    })
}
