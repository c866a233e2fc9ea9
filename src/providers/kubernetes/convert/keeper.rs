//! What keeps workloads: Argo CD applications, Flux Kustomizations and HelmReleases, autoscalers.
//!
//! Never decides whom one keeps: a workload names its application, an autoscaler names its workload.

use serde::Deserialize;
use serde_json::{Value, json};

use super::super::slim::WorkloadMeta;
use crate::domain::id::{Uid, WorkloadKind};
use crate::domain::keeper::{KeeperKind, KeeperSeen, Setting};
use crate::domain::text::Text;

/// Any kind of keeper: the fields of all of them, each has some.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(in super::super) struct Keeper<'a> {
    #[serde(borrow)]
    pub(in super::super) metadata: WorkloadMeta<'a>,
    spec: Spec,
    status: Status,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    sync_policy: Option<SyncPolicy>,
    suspend: Option<bool>,
    min_replicas: Option<u32>,
    scale_target_ref: Option<Target>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct SyncPolicy {
    automated: Option<Automated>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Automated {
    /// Absent means enabled (Argo CD v3: `IsAutomatedSyncEnabled`).
    enabled: Option<bool>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Target {
    kind: String,
    name: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Status {
    operation_state: Option<OperationState>,
    conditions: Option<Vec<Condition>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct OperationState {
    phase: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Condition {
    #[serde(rename = "type")]
    kind: String,
    status: String,
}

/// A keeper in the domain's words.
pub(in super::super) fn keeper(kind: KeeperKind, raw: &Keeper<'_>) -> KeeperSeen {
    let meta = &raw.metadata;
    KeeperSeen {
        uid: Uid::new(meta.uid.as_str()),
        kind,
        namespace: Text::new(meta.namespace.as_str()),
        name: Text::new(meta.name.as_str()),
        generation: age(meta),
        setting: setting(kind, &raw.spec),
        scales: raw.spec.scale_target_ref.as_ref().map(|target| (kind_of(&target.kind), Text::new(&target.name))),
        busy: busy(kind, &raw.status),
        kept_by: kept_by(meta),
        touched_by: meta.annotations.get("rolldeck.dev/operation").map(Text::new),
    }
}

/// The part of a keeper that makes it do so (a JSON merge patch); what it says beside that stays.
pub(in super::super) fn spec_for(kind: KeeperKind, setting: Setting) -> Value {
    match (kind, setting) {
        // Absent is the default of both: as it was before anybody suspended it.
        (KeeperKind::Application, Setting::Suspended) => json!({"syncPolicy": {"automated": {"enabled": false}}}),
        (KeeperKind::Application, _) => json!({"syncPolicy": {"automated": {"enabled": null}}}),
        (KeeperKind::Autoscaler, Setting::AtLeast(count)) => json!({"minReplicas": count}),
        (_, Setting::Suspended) => json!({"suspend": true}),
        (_, Setting::Acts | Setting::AtLeast(_)) => json!({"suspend": null}),
    }
}

/// What only grows from one state of an object to the next: an autoscaler has no generation. Resource versions of one resource
/// are numbers that can be compared (Kubernetes: KEP-5504); where a server has others, its generation must do.
fn age(meta: &WorkloadMeta<'_>) -> u64 {
    let generation = meta.generation.unwrap_or(0).max(0).unsigned_abs();
    meta.resource_version.as_str().parse().unwrap_or(generation)
}

fn setting(kind: KeeperKind, spec: &Spec) -> Setting {
    let acts = match kind {
        KeeperKind::Autoscaler => return Setting::AtLeast(spec.min_replicas.unwrap_or(1)),
        KeeperKind::Application => {
            let automated = spec.sync_policy.as_ref().and_then(|policy| policy.automated.as_ref());
            automated.is_some_and(|automated| automated.enabled != Some(false))
        }
        KeeperKind::Kustomization | KeeperKind::HelmRelease => spec.suspend != Some(true),
    };
    if acts { Setting::Acts } else { Setting::Suspended }
}

/// A sync or reconciliation that runs comes to its end whatever is asked meanwhile.
fn busy(kind: KeeperKind, status: &Status) -> Option<Text> {
    let is_busy = match kind {
        KeeperKind::Application => status.operation_state.as_ref().is_some_and(|state| state.phase == "Running"),
        KeeperKind::Kustomization | KeeperKind::HelmRelease => status
            .conditions
            .iter()
            .flatten()
            .any(|condition| condition.kind == "Reconciling" && condition.status == "True"),
        KeeperKind::Autoscaler => false,
    };
    is_busy.then(|| Text::new("a sync runs"))
}

fn kept_by(meta: &WorkloadMeta<'_>) -> Option<Text> {
    let owner = meta.owner_references.first().map(|owner| format!("{} {}", owner.kind.as_str(), owner.name.as_str()));
    let tracked = meta
        .annotations
        .get("argocd.argoproj.io/tracking-id")
        .map(|id| format!("Argo CD application {}", id.split(':').next().unwrap_or(id)));
    let flux = meta.labels.get("kustomize.toolkit.fluxcd.io/name").map(|name| format!("Flux Kustomization {name}"));
    owner.or(tracked).or(flux).map(|by| Text::new(&by))
}

fn kind_of(name: &str) -> WorkloadKind {
    WorkloadKind::ALL.into_iter().find(|kind| kind.as_str() == name).unwrap_or(WorkloadKind::Unknown)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(kind: KeeperKind, raw: &Value) -> KeeperSeen {
        let text = raw.to_string();
        keeper(kind, &serde_json::from_str(&text).expect("a keeper"))
    }

    #[test]
    fn what_a_keeper_does_by_itself_is_read_from_its_settings() {
        use KeeperKind::{Application, Autoscaler, HelmRelease, Kustomization};
        for (kind, spec, expected) in [
            (Application, json!({}), Setting::Suspended),
            (Application, json!({"syncPolicy": null}), Setting::Suspended),
            (Application, json!({"syncPolicy": {"automated": null}}), Setting::Suspended),
            (Application, json!({"syncPolicy": {"automated": {}}}), Setting::Acts),
            (Application, json!({"syncPolicy": {"automated": {"selfHeal": true, "enabled": null}}}), Setting::Acts),
            (Application, json!({"syncPolicy": {"automated": {"enabled": false}}}), Setting::Suspended),
            (Kustomization, json!({}), Setting::Acts),
            (Kustomization, json!({"suspend": true}), Setting::Suspended),
            (HelmRelease, json!({"suspend": false}), Setting::Acts),
            (Autoscaler, json!({}), Setting::AtLeast(1)),
            (Autoscaler, json!({"minReplicas": 4}), Setting::AtLeast(4)),
        ] {
            assert_eq!(seen(kind, &json!({"spec": spec})).setting, expected, "{kind:?} {spec}");
        }
    }

    #[test]
    fn a_later_state_of_a_keeper_has_a_greater_number_even_without_a_generation() {
        for (metadata, expected) in [
            (json!({"resourceVersion": "4711"}), 4711),
            (json!({"resourceVersion": "4711", "generation": 3}), 4711),
            (json!({"resourceVersion": "4711-a", "generation": 3}), 3),
        ] {
            assert_eq!(seen(KeeperKind::Autoscaler, &json!({"metadata": metadata})).generation, expected);
        }
    }

    #[test]
    fn a_sync_that_runs_and_a_keeper_of_the_keeper_are_seen() {
        let app = json!({"metadata": {"name": "shop", "ownerReferences": [{"kind": "ApplicationSet", "name": "all"}]},
            "status": {"operationState": {"phase": "Running"}}});
        let app = seen(KeeperKind::Application, &app);
        assert_eq!((app.busy.as_deref(), app.kept_by.as_deref()), (Some("a sync runs"), Some("ApplicationSet all")));
        let flux = json!({"status": {"conditions": [{"type": "Reconciling", "status": "True"}]}});
        assert!(seen(KeeperKind::Kustomization, &flux).busy.is_some());
        let scaler = json!({"spec": {"scaleTargetRef": {"kind": "Deployment", "name": "web"}}});
        let scales = seen(KeeperKind::Autoscaler, &scaler).scales;
        assert_eq!(scales, Some((WorkloadKind::Deployment, Text::new("web"))));
    }
}
