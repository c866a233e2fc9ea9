//! From Argo Rollouts to observations: where they stand among their steps, and which of their ReplicaSets is what they ask for.
//!
//! Never compares a Rollout's template with a ReplicaSet's by itself: the API server fills in what is left out in the one and not
//! in the other, so the controller's word counts, once it has seen the newest generation.

use jiff::Timestamp;
use serde_json::Value;

use super::super::slim::rollout::{PauseCondition, Rollout as Own, RolloutStatus};
use super::super::slim::{Condition, Workload};
use super::{Kind, time, workload};
use crate::domain::expectation::ServiceKeys;
use crate::domain::id::Uid;
use crate::domain::observation::{
    Canary, Halt, Rollout, Running, Strategy, Template, TemplateHash, Undoer, WorkloadSeen, Yields,
};
use crate::domain::text::Text;

/// The label by which its controller tells the ReplicaSets of a Rollout apart.
pub(in super::super) const POD_HASH: &str = "rollouts-pod-template-hash";

/// A Rollout as it stands alone: what it asks for is known once its ReplicaSets are.
#[derive(Clone, Debug, PartialEq)]
pub(in super::super) struct RolloutAlone {
    /// As the object says it.
    pub seen: WorkloadSeen,
    /// When the owner of its image last wrote.
    pub written_at: Option<Timestamp>,
    /// The ReplicaSet that its controller takes for the new one, by its label.
    pub current: Option<Text>,
    /// The one that its traffic falls back to.
    pub stable: Option<Text>,
    /// The workload whose template it uses.
    pub reference: Option<Reference>,
    /// The generation of that one which its controller has taken up.
    pub observed_reference: u64,
}

/// The workload whose template a Rollout uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) enum Reference {
    /// A Deployment of this name.
    Deployment(Text),
    /// Of another kind, in words.
    Other(Text),
}

/// A ReplicaSet of a Rollout.
#[derive(Clone, Debug, PartialEq)]
pub(in super::super) struct RolloutVersion {
    /// Its own uid.
    pub uid: Uid,
    /// By which its controller knows it.
    pub pod_hash: Text,
    /// What it asks for.
    pub template: Template,
}

/// Converts one object.
pub(in super::super) fn rollout(raw: &Workload<'_>, own: &Own<'_>, keys: &ServiceKeys) -> RolloutAlone {
    let (mut seen, written_at) = workload::alone(Kind::Rollout, raw, keys);
    let place = Place { own, written_at, is_observed: seen.observed_generation >= seen.generation };
    seen.strategy = strategy(own);
    seen.rollout = place.rollout(raw);
    seen.running = place.running();
    seen.canary = Some(Canary { stable: None, steps: steps(own), halt: place.halt() });
    let reference = own.spec.workload_ref.as_ref().map(|named| match named.kind.as_str() {
        "Deployment" => Reference::Deployment(Text::new(named.name.as_str())),
        kind => Reference::Other(Text::new(&format!("{kind}/{}", named.name.as_str()))),
    });
    if let Some(Reference::Other(named)) = &reference {
        let why =
            format!("its template is that of {named}: change that one; of references only Deployments are followed");
        seen.inoperable = Some(Text::new(&why));
    }
    let hash = |hash: &str| Some(hash).filter(|hash| !hash.is_empty()).map(Text::new);
    RolloutAlone {
        seen,
        written_at,
        current: hash(own.status.current_pod_hash.as_str()).filter(|_| place.is_observed),
        stable: hash(own.status.stable.as_str()),
        reference,
        observed_reference: own.status.workload_observed_generation.as_str().parse().unwrap_or(0),
    }
}

impl RolloutAlone {
    /// It, with what its ReplicaSets and the Deployment that it refers to say of it.
    pub(in super::super) fn with(&self, versions: &[RolloutVersion], referred: Option<&WorkloadSeen>) -> WorkloadSeen {
        let mut seen = self.seen.clone();
        let mut is_taken_up = true;
        match (&self.reference, referred) {
            (Some(Reference::Deployment(_)), Some(referred)) => {
                is_taken_up = self.observed_reference >= referred.generation;
                take_over(&mut seen, referred, is_taken_up);
            }
            (Some(Reference::Deployment(name)), None) => {
                let why = format!("its template is that of Deployment/{name}, which is not seen here");
                seen.inoperable = Some(Text::new(&why));
            }
            (Some(Reference::Other(_)) | None, _) => {}
        }
        let of = |hash: &Option<Text>| {
            let hash = hash.as_ref()?;
            versions.iter().find(|version| version.pod_hash == *hash)
        };
        if let Some(current) = of(&self.current).filter(|_| is_taken_up) {
            seen.template = current.template.clone();
        }
        if let Some(canary) = &mut seen.canary {
            canary.stable = of(&self.stable).map(|stable| stable.template.hash.clone());
        }
        seen
    }

    /// The template hash of the ReplicaSet that its controller takes for the new one.
    pub(in super::super) fn current_of<'a>(&self, versions: &'a [RolloutVersion]) -> Option<&'a TemplateHash> {
        let current = self.current.as_ref()?;
        versions.iter().find(|version| version.pod_hash == *current).map(|version| &version.template.hash)
    }
}

/// What a Rollout has from the Deployment that it refers to. Its generation counts the changes of both.
fn take_over(seen: &mut WorkloadSeen, referred: &WorkloadSeen, is_taken_up: bool) {
    let is_observed = is_taken_up && seen.observed_generation >= seen.generation;
    seen.generation += referred.generation;
    seen.observed_generation = if is_observed { seen.generation } else { 0 };
    if !is_taken_up && seen.rollout != Rollout::Paused {
        seen.rollout = Rollout::Progressing;
    }
    // Its own name is what it is called where nobody has said more.
    if seen.service == seen.name {
        seen.service = referred.service.clone();
    }
    seen.template = referred.template.clone();
    seen.main_container = referred.main_container.clone();
    seen.owners = referred.owners.clone();
    seen.touched_by = referred.touched_by.clone();
    if seen.expected_annotation.is_none() {
        seen.expected_annotation = referred.expected_annotation.clone();
    }
    let known = |undoer: &Undoer, seen: &WorkloadSeen| seen.undoers.iter().any(|known| known.by == undoer.by);
    for undoer in &referred.undoers {
        if !known(undoer, seen) {
            seen.undoers.push(undoer.clone());
        }
    }
}

/// Where a Rollout stands.
struct Place<'a> {
    own: &'a Own<'a>,
    written_at: Option<Timestamp>,
    is_observed: bool,
}

impl Place<'_> {
    fn status(&self) -> &RolloutStatus<'_> {
        &self.own.status
    }

    /// Whether another version than the stable one is on its way in. A Rollout's first one is on its way to nowhere back.
    fn is_in_flight(&self) -> bool {
        let (current, stable) = (self.status().current_pod_hash.as_str(), self.status().stable.as_str());
        self.is_observed && !stable.is_empty() && current != stable
    }

    /// Aborted, and its controller has done what that takes.
    fn is_aborted(&self) -> bool {
        self.is_in_flight() && self.status().abort == Some(true) && self.status().aborted_at.filled().is_some()
    }

    fn rollout(&self, raw: &Workload<'_>) -> Rollout {
        let status = self.status();
        if raw.spec.paused == Some(true) {
            return Rollout::Paused;
        }
        if !self.is_observed {
            return Rollout::Progressing;
        }
        if self.is_aborted() {
            let why = status.message.filled().unwrap_or("RolloutAborted");
            return Rollout::Failed(Text::new(&format!("{why}; its traffic is on the stable version")));
        }
        if let Some(why) = failure(&raw.status.conditions, self.written_at) {
            return Rollout::Failed(why);
        }
        let counts = [raw.status.updated_replicas, raw.status.replicas].map(super::count);
        let is_replaced = counts == [super::count(raw.spec.replicas.or(Some(1))); 2];
        let is_stable = status.current_pod_hash == status.stable && is_replaced;
        if is_stable { Rollout::Stable } else { Rollout::Progressing }
    }

    fn running(&self) -> Option<Running> {
        let is_running = self.is_in_flight() && !self.is_aborted();
        is_running.then(|| Running {
            id: Text::new(self.status().current_pod_hash.as_str()),
            what: Text::new(&self.what()),
            // Even its own way back begins with an abort: the traffic is back before the first pod is.
            yields: Yields::ToWayBack(None),
        })
    }

    /// What it is waiting for, or was stopped by.
    fn halt(&self) -> Option<Halt> {
        let status = self.status();
        if !self.is_in_flight() {
            return None;
        }
        let current = status.current_pod_hash.as_str();
        if self.is_aborted() {
            let id = Text::new(&format!("{current} aborted {}", status.aborted_at.as_str()));
            let what = status.message.filled().unwrap_or("aborted");
            return Some(Halt::Aborted { id, what: Text::new(what) });
        }
        // Its pause was taken off and the controller has not gone on yet: it is still there.
        let is_halted = !status.pause_conditions.is_empty() || status.controller_pause == Some(true);
        is_halted.then(|| Halt::Pause {
            id: Text::new(&format!("{current} {}", self.at())),
            what: Text::new(&match self.weight() {
                Some(weight) => format!("{} ({weight}%)", self.at()),
                None => self.at(),
            }),
        })
    }

    /// `step 2 of 5`, or the preview.
    fn at(&self) -> String {
        let Some(canary) = &self.own.spec.strategy.canary else { return "its preview".to_string() };
        let (index, count) = (self.status().current_step_index.unwrap_or(0).max(0), canary.steps.len() as i64);
        match count {
            0 => "its rolling update".to_string(),
            _ => format!("step {} of {count}", index.saturating_add(1).min(count)),
        }
    }

    /// The share of the traffic that the new version has, in percent: what a router was told, else what the steps passed say.
    fn weight(&self) -> Option<i64> {
        let canary = self.own.spec.strategy.canary.as_ref()?;
        if let Some(weights) = &self.status().canary.weights {
            return weights.canary.weight;
        }
        let passed = usize::try_from(self.status().current_step_index.unwrap_or(0).max(0)).unwrap_or(0) + 1;
        canary.steps.iter().take(passed).rev().find_map(|step| step.set_weight)
    }

    fn what(&self) -> String {
        let mut what = match &self.own.spec.strategy.canary {
            Some(_) => format!("canary at {}", self.at()),
            None => format!("preview of {}", self.status().current_pod_hash.as_str()),
        };
        what.extend(self.weight().map(|weight| format!(", {weight}%")));
        if self.status().abort == Some(true) {
            what.push_str(", being aborted");
        } else if let Some(paused) = self.status().pause_conditions.first() {
            what.push_str(&self.paused(paused));
        }
        what
    }

    /// `, paused since 2026-11-26 13:01 UTC for 1h`.
    fn paused(&self, condition: &PauseCondition<'_>) -> String {
        let since = match time(condition.start_time.as_str()) {
            Some(since) => format!(" since {}", since.strftime("%Y-%m-%d %H:%M UTC")),
            None => String::new(),
        };
        let index = usize::try_from(self.status().current_step_index.unwrap_or(0)).unwrap_or(0);
        let step = self.own.spec.strategy.canary.as_ref().and_then(|canary| canary.steps.get(index));
        let pause = step.and_then(|step| step.pause.as_ref());
        let time = match pause.and_then(|pause| pause.duration.as_ref()) {
            Some(Value::String(text)) => format!(" for {text}"),
            Some(Value::Number(seconds)) => format!(" for {seconds}s"),
            Some(_) | None => String::new(),
        };
        let why = match condition.reason.as_str() {
            "CanaryPauseStep" | "BlueGreenPause" => "",
            "InconclusiveAnalysisRun" => " by an inconclusive analysis",
            "InconclusiveExperiment" => " by an inconclusive experiment",
            _ => " for a reason of its own",
        };
        format!(", paused{why}{since}{time}")
    }
}

/// Why it will not come to its end by itself. A deadline that had passed before the template was last written is no verdict on it.
fn failure(conditions: &[Condition<'_>], written_at: Option<Timestamp>) -> Option<Text> {
    let is_newer = |condition: &Condition<'_>| {
        let updated_at = time(condition.last_update_time.as_str());
        written_at.zip(updated_at).is_none_or(|(written, updated)| updated >= written)
    };
    let fails = |condition: &&Condition<'_>| {
        let (kind, status) = (condition.kind.as_str(), condition.status.as_str());
        kind == "InvalidSpec" && status == "True"
            || kind == "Progressing" && condition.reason.as_str() == "ProgressDeadlineExceeded" && is_newer(condition)
    };
    let failed = conditions.iter().find(fails)?;
    Some(Text::new(&format!("{}: {}", failed.reason.as_str(), failed.message.as_str())))
}

/// How many steps there are that may wait.
fn steps(own: &Own<'_>) -> u32 {
    let strategy = &own.spec.strategy;
    match (&strategy.canary, &strategy.blue_green) {
        (Some(canary), _) => u32::try_from(canary.steps.len()).unwrap_or(u32::MAX),
        (None, Some(blue_green)) => {
            let waits = blue_green.auto_promotion_enabled == Some(false);
            u32::from(waits || blue_green.auto_promotion_seconds.unwrap_or(0) > 0)
        }
        (None, None) => 0,
    }
}

/// How it replaces. A canary that says nothing may miss, and exceed by, a quarter (argo-rollouts, utils/defaults).
fn strategy(own: &Own<'_>) -> Strategy {
    let text = |value: &Option<Value>| match value {
        Some(Value::String(text)) => Some(Text::new(text)),
        Some(Value::Number(number)) => Some(Text::new(&number.to_string())),
        Some(_) => None,
        None => Some(Text::new("25%")),
    };
    match &own.spec.strategy.canary {
        Some(canary) => Strategy {
            kind: Text::new("Canary"),
            max_unavailable: text(&canary.max_unavailable),
            max_surge: text(&canary.max_surge),
            partition: 0,
            first_number: 0,
        },
        None => Strategy { kind: Text::new("BlueGreen"), ..Strategy::default() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    /// Recorded from argo-rollouts v1.10.1 on a real API server: at its second step of five, and aborted there.
    const CANARY: &str = include_str!("../../../../tests/fixtures/argo-rollouts/canary.json");
    const ABORTED: &str = include_str!("../../../../tests/fixtures/argo-rollouts/aborted.json");

    fn alone(text: &str) -> RolloutAlone {
        let raw: Workload<'_> = serde_json::from_str(text).expect("a workload");
        let own: Own<'_> = serde_json::from_str(text).expect("a Rollout");
        rollout(&raw, &own, &ServiceKeys::default())
    }

    fn changed(text: &str, changes: &[(&str, Value)]) -> RolloutAlone {
        let mut object: Value = serde_json::from_str(text).expect("JSON");
        for (pointer, value) in changes {
            let (folder, name) = pointer.rsplit_once('/').expect("a pointer");
            object.pointer_mut(folder).expect("it is there")[name] = value.clone();
        }
        alone(&object.to_string())
    }

    fn version(pod_hash: &str) -> RolloutVersion {
        let image = format!("shop/app:{pod_hash}");
        let template = super::super::template_of(&json!({"spec": {"containers": [{"name": "app", "image": image}]}}));
        RolloutVersion { uid: Uid::new(pod_hash), pod_hash: Text::new(pod_hash), template }
    }

    #[test]
    fn a_canary_at_its_second_step_is_read_whole() {
        let alone = alone(CANARY);
        let seen = &alone.seen;
        assert_eq!((seen.generation, seen.observed_generation, seen.desired), (4, 4, 5), "its observed one is a text");
        assert_eq!(seen.rollout, Rollout::Progressing, "nobody holds it");
        let running = seen.running.as_ref().expect("in flight");
        assert_eq!(running.id, "7cd6fc84bd");
        assert_eq!(running.what, "canary at step 2 of 5, 20%, paused since 2026-11-26 16:28 UTC");
        let halt = Halt::Pause { id: Text::new("7cd6fc84bd step 2 of 5"), what: Text::new("step 2 of 5 (20%)") };
        assert_eq!(seen.canary, Some(Canary { stable: None, steps: 5, halt: Some(halt) }));
        assert_eq!((alone.current, alone.stable), (Some(Text::new("7cd6fc84bd")), Some(Text::new("56bbbc9dd9"))));
        assert_eq!(seen.strategy.describe(), "Canary, max unavailable 25%, max surge 25%");
        assert_eq!((seen.owners[0].manager.as_str(), &seen.inoperable), ("ci", &None));
    }

    #[test]
    fn what_it_asks_for_is_what_its_controller_takes_for_it() {
        let alone = alone(CANARY);
        let versions = [version("56bbbc9dd9"), version("7cd6fc84bd")];
        let seen = alone.with(&versions, None);
        assert_eq!(seen.template, versions[1].template);
        assert_eq!(seen.canary.and_then(|canary| canary.stable), Some(versions[0].template.hash.clone()));
        assert_eq!(alone.with(&[], None).template, alone.seen.template, "until its ReplicaSet is known");
        // It has asked for something else since.
        let newer = changed(CANARY, &[("/metadata/generation", json!(5))]);
        assert_eq!(newer.with(&versions, None).template, newer.seen.template);
        assert_eq!((newer.seen.rollout, newer.seen.running), (Rollout::Progressing, None));
    }

    #[test]
    fn what_was_aborted_has_failed_and_can_be_retried() {
        let alone = alone(ABORTED);
        let seen = &alone.seen;
        assert!(
            matches!(&seen.rollout, Rollout::Failed(why) if why.starts_with("RolloutAborted")),
            "{:?}",
            seen.rollout
        );
        assert_eq!(seen.running, None);
        let halt = seen.canary.as_ref().and_then(|canary| canary.halt.as_ref());
        assert!(matches!(halt, Some(Halt::Aborted { .. })), "{halt:?}");
        // Asked for, and not done yet.
        let asked = changed(CANARY, &[("/status/abort", json!(true))]);
        assert_eq!(asked.seen.rollout, Rollout::Progressing);
        assert!(asked.seen.running.is_some_and(|running| running.what.ends_with("being aborted")));
    }

    #[test]
    fn how_far_a_rollout_is() {
        let check = |changes: &[(&str, Value)], expected: Rollout| {
            assert_eq!(changed(CANARY, changes).seen.rollout, expected, "{changes:?}");
        };
        let (current, updated) =
            (("/status/currentPodHash", json!("56bbbc9dd9")), ("/status/updatedReplicas", json!(5)));
        check(&[current.clone(), updated.clone()], Rollout::Stable);
        check(std::slice::from_ref(&current), Rollout::Progressing);
        check(&[current.clone(), updated.clone(), ("/status/replicas", json!(6))], Rollout::Progressing);
        check(&[current.clone(), updated, ("/status/observedGeneration", json!("3"))], Rollout::Progressing);
        check(&[("/spec/paused", json!(true))], Rollout::Paused);
        let late = |at: &str| {
            json!([{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": "late",
                "lastUpdateTime": at}])
        };
        let failed = Rollout::Failed(Text::new("ProgressDeadlineExceeded: late"));
        check(&[("/status/conditions", late("2026-11-26T17:00:00Z"))], failed);
        // Left over from the rollout before.
        check(&[("/status/conditions", late("2026-11-26T16:00:00Z"))], Rollout::Progressing);
    }

    #[test]
    fn where_it_waits_and_for_whom() {
        let what = |changes: &[(&str, Value)]| {
            let seen = changed(CANARY, changes).seen;
            let halt = seen.canary.and_then(|canary| canary.halt).map(|halt| halt.what().to_string());
            (seen.running.map(|running| running.what.to_string()).unwrap_or_default(), halt)
        };
        let timed = [("/status/currentStepIndex", json!(3))];
        assert_eq!(what(&timed).0, "canary at step 4 of 5, 60%, paused since 2026-11-26 16:28 UTC for 1h");
        // Somebody let it go, and its controller has not gone on yet.
        let promoted = [("/status/pauseConditions", Value::Null)];
        assert_eq!(what(&promoted), ("canary at step 2 of 5, 20%".to_string(), Some("step 2 of 5 (20%)".to_string())));
        let moving = [("/status/pauseConditions", Value::Null), ("/status/controllerPause", Value::Null)];
        assert_eq!(what(&moving).1, None);
        let routed = [("/status/canary", json!({"weights": {"canary": {"weight": 7}}}))];
        assert_eq!(what(&routed).1.as_deref(), Some("step 2 of 5 (7%)"));
        let preview =
            [("/spec/strategy", json!({"blueGreen": {"activeService": "app", "autoPromotionEnabled": false}}))];
        let (said, halt) = what(&preview);
        assert_eq!(
            (said.as_str(), halt.as_deref()),
            ("preview of 7cd6fc84bd, paused since 2026-11-26 16:28 UTC", Some("its preview"))
        );
    }

    #[test]
    fn a_reference_brings_the_template_of_a_deployment_and_no_other() {
        let refers = |kind: &str| {
            let reference = json!({"apiVersion": "apps/v1", "kind": kind, "name": "app"});
            changed(CANARY, &[("/spec/workloadRef", reference), ("/status/workloadObservedGeneration", json!("2"))])
        };
        let other = refers("PodTemplate");
        assert!(other.seen.inoperable.is_some_and(|why| why.contains("PodTemplate/app")));
        let alone = refers("Deployment");
        assert!(alone.with(&[], None).inoperable.is_some_and(|why| why.contains("Deployment/app, which is not seen")));
        let mut referred = alone.seen.clone();
        (referred.generation, referred.template) = (2, version("77").template);
        let seen = alone.with(&[], Some(&referred));
        assert_eq!((seen.generation, seen.observed_generation, seen.inoperable), (6, 6, None));
        assert_eq!(seen.template, referred.template);
        referred.generation = 3;
        let seen = alone.with(&[version("7cd6fc84bd")], Some(&referred));
        assert_eq!((seen.observed_generation, seen.template == referred.template), (0, true), "not taken up yet");
    }

    proptest! {
        #[test]
        fn garbage_never_panics(text in ".{0,40}", number in any::<i64>()) {
            let object = json!({"metadata": {"name": text, "uid": text, "generation": number},
                "spec": {"replicas": number, "paused": number % 2 == 0, "strategy": {"canary": {"steps": [{"pause": {"duration": text}},
                    {"setWeight": number}], "maxSurge": [text]}}, "workloadRef": {"kind": text, "name": text}},
                "status": {"observedGeneration": text, "currentStepIndex": number, "currentPodHash": text, "stableRS": "x",
                    "controllerPause": true, "pauseConditions": [{"reason": text, "startTime": text}], "abort": number % 3 == 0}});
            let _ = alone(&object.to_string()).with(&[], None);
        }
    }
}
