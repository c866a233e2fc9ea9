//! What an Argo Rollout has beside the fields of every workload: its steps, and where it stands among them.
//!
//! Never stands for a whole Rollout: it is read, and nothing is written back from it.

use serde::Deserialize;
use serde_json::Value;

use super::{Str, or_default};

/// An Argo Rollout, as far as it is no other workload.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(in super::super) struct Rollout<'a> {
    #[serde(borrow)]
    pub spec: RolloutSpec<'a>,
    #[serde(borrow)]
    pub status: RolloutStatus<'a>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(in super::super) struct RolloutSpec<'a> {
    #[serde(borrow)]
    pub workload_ref: Option<WorkloadRef<'a>>,
    pub strategy: RolloutStrategy,
}

/// The workload whose template it uses.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(in super::super) struct WorkloadRef<'a> {
    #[serde(borrow)]
    pub kind: Str<'a>,
    #[serde(borrow)]
    pub name: Str<'a>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(in super::super) struct RolloutStrategy {
    pub canary: Option<CanaryStrategy>,
    pub blue_green: Option<BlueGreenStrategy>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(in super::super) struct CanaryStrategy {
    #[serde(deserialize_with = "or_default")]
    pub steps: Vec<CanaryStep>,
    pub max_unavailable: Option<Value>,
    pub max_surge: Option<Value>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(in super::super) struct CanaryStep {
    pub set_weight: Option<i64>,
    pub pause: Option<Pause>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(in super::super) struct Pause {
    /// Seconds, or a text such as `1h`; none: until it is promoted.
    pub duration: Option<Value>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(in super::super) struct BlueGreenStrategy {
    pub auto_promotion_enabled: Option<bool>,
    pub auto_promotion_seconds: Option<i64>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(in super::super) struct RolloutStatus<'a> {
    pub abort: Option<bool>,
    #[serde(borrow)]
    pub aborted_at: Str<'a>,
    pub controller_pause: Option<bool>,
    #[serde(borrow, deserialize_with = "or_default")]
    pub pause_conditions: Vec<PauseCondition<'a>>,
    #[serde(borrow)]
    pub current_pod_hash: Str<'a>,
    #[serde(rename = "stableRS", borrow)]
    pub stable: Str<'a>,
    pub current_step_index: Option<i64>,
    #[serde(borrow)]
    pub phase: Str<'a>,
    #[serde(borrow)]
    pub message: Str<'a>,
    #[serde(borrow)]
    pub workload_observed_generation: Str<'a>,
    #[serde(borrow, deserialize_with = "or_default")]
    pub canary: CanaryStatus<'a>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(in super::super) struct PauseCondition<'a> {
    #[serde(borrow)]
    pub reason: Str<'a>,
    #[serde(borrow)]
    pub start_time: Str<'a>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(in super::super) struct CanaryStatus<'a> {
    pub weights: Option<Weights>,
    #[serde(borrow)]
    pub current_step_analysis_run_status: Option<AnalysisStatus<'a>>,
}

/// What a router of traffic was told last.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(in super::super) struct Weights {
    pub canary: Weight,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(in super::super) struct Weight {
    pub weight: Option<i64>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(in super::super) struct AnalysisStatus<'a> {
    #[serde(borrow)]
    pub status: Str<'a>,
}
