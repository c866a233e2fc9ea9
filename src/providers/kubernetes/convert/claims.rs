//! Who owns the image in a template, and who would undo a change made here.
//!
//! Never asks another system: it reads what the object itself carries (reference section 7).

use jiff::Timestamp;
use serde_json::Value;
use serde_json::value::RawValue;

use super::super::slim::{ManagedFields, WorkloadMeta};
use crate::domain::keeper::{KeeperKind, KeeperName};
use crate::domain::observation::{Applies, FieldOwner, Undoer};
use crate::domain::text::Text;

/// The owners of one container's image field, and when the newest of them last wrote. Those that apply come first: they
/// are the ones that take the field back.
pub(super) fn image_owners(managed: Option<&RawValue>, container: &str) -> (Vec<FieldOwner>, Option<Timestamp>) {
    let entries: Vec<ManagedFields> = managed.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default();
    let key = format!("k:{}", serde_json::json!({"name": container}));
    let mut owners = Vec::new();
    let mut newest = None;
    for entry in entries.iter().filter(|entry| entry.subresource.is_empty() && owns_image(&entry.fields, &key)) {
        let applies = if entry.operation == "Apply" { Applies::Continuously } else { Applies::Once };
        owners.push(FieldOwner { manager: Text::new(&entry.manager), applies });
        newest = newest.max(entry.time.as_deref().and_then(super::time));
    }
    // By name among equals: a plan is bound to this list, and times move without anything having changed.
    owners.sort_by(|a, b| (a.applies, &a.manager).cmp(&(b.applies, &b.manager)));
    owners.dedup();
    (owners, newest)
}

/// Who would undo a change, strongest first.
pub(super) fn undoers(meta: &WorkloadMeta<'_>, owners: &[FieldOwner]) -> Vec<Undoer> {
    let (label, note) = (|key: &str| meta.labels.get(key), |key: &str| meta.annotations.get(key));
    let mut found = Vec::new();
    let mut add = |by: &str, what: String, how_fast: &str, keeper: Option<KeeperName>| {
        found.push(Undoer { by: Text::new(by), what: Text::new(&what), how_fast: Text::new(how_fast), keeper });
    };
    let argo = note("argocd.argoproj.io/tracking-id").map(|id| id.split(':').next().unwrap_or(id));
    let argo_owner = owners.iter().any(|owner| owner.manager.starts_with("argocd"));
    if let Some(application) = argo.or_else(|| label("argocd.argoproj.io/instance")) {
        add(
            "Argo CD",
            format!("application {application} puts back what is in Git"),
            "within seconds with self-heal, else at the next sync",
            Some(application_called(application)),
        );
    } else if argo_owner {
        add(
            "Argo CD",
            "it owns the image field and puts back what is in Git".to_string(),
            "within seconds with self-heal, else at the next sync",
            None,
        );
    }
    let flux_off = note("kustomize.toolkit.fluxcd.io/reconcile") == Some("disabled");
    if let Some(name) = label("kustomize.toolkit.fluxcd.io/name").filter(|_| !flux_off) {
        let (namespace, kind) = (label("kustomize.toolkit.fluxcd.io/namespace"), KeeperKind::Kustomization);
        let keeper = KeeperName { kind, namespace: namespace.map(Text::new), name: Text::new(name) };
        add("Flux", format!("Kustomization {name} puts back what is in Git"), "at its next interval", Some(keeper));
    }
    if let Some(name) = label("helm.toolkit.fluxcd.io/name") {
        let (namespace, kind) = (label("helm.toolkit.fluxcd.io/namespace"), KeeperKind::HelmRelease);
        let keeper = KeeperName { kind, namespace: namespace.map(Text::new), name: Text::new(name) };
        let what = format!("HelmRelease {name} puts back its chart's values");
        add("Flux", what, "at its next upgrade or drift check", Some(keeper));
    }
    if let Some(name) = note("meta.helm.sh/release-name") {
        add("Helm", format!("release {name} overwrites it"), "at the next helm upgrade", None);
    }
    let is_helm = label("app.kubernetes.io/managed-by") == Some("Helm") || note("meta.helm.sh/release-name").is_some();
    if let Some(name) = label("app.kubernetes.io/instance").filter(|_| !is_helm && argo.is_none() && !argo_owner) {
        add(
            "perhaps Argo CD",
            format!("the label app.kubernetes.io/instance={name} may be an older Argo CD's"),
            "within seconds if it is",
            None,
        );
    }
    let has_gitops = found.iter().any(|undoer: &Undoer| matches!(undoer.by.as_str(), "Argo CD" | "Flux"));
    if note("kubectl.kubernetes.io/last-applied-configuration").is_some() && !has_gitops {
        found.push(Undoer {
            by: Text::new("kubectl apply"),
            what: Text::new("the file that it was applied from overwrites it"),
            how_fast: Text::new("at the next kubectl apply"),
            keeper: None,
        });
    }
    found
}

/// An application outside of Argo CD's own namespace is called `namespace_name` (Argo CD: `Application.InstanceName`); no
/// name in Kubernetes has an underscore.
fn application_called(instance: &str) -> KeeperName {
    let (namespace, name) = match instance.split_once('_') {
        Some((namespace, name)) => (Some(Text::new(namespace)), name),
        None => (None, instance),
    };
    KeeperName { kind: KeeperKind::Application, namespace, name: Text::new(name) }
}

fn owns_image(fields: &Value, key: &str) -> bool {
    let spec = &fields["f:spec"];
    // A CronJob has its template in that of its Jobs.
    let templates = [&spec["f:template"], &spec["f:jobTemplate"]["f:spec"]["f:template"]];
    let lists = ["f:containers", "f:initContainers"];
    templates.iter().any(|template| lists.iter().any(|list| !template["f:spec"][*list][key]["f:image"].is_null()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn entry(manager: &str, operation: &str, subresource: &str, container: &str, time: &str) -> Value {
        let key = format!("k:{{\"name\":\"{container}\"}}");
        json!({"manager": manager, "operation": operation, "subresource": subresource, "time": time, "fieldsType": "FieldsV1",
            "fieldsV1": {"f:spec": {"f:template": {"f:spec": {"f:containers": {key: {".": {}, "f:image": {}}}}}}}})
    }

    fn owners(entries: &Value) -> (Vec<FieldOwner>, Option<Timestamp>) {
        let raw = RawValue::from_string(entries.to_string()).expect("JSON");
        image_owners(Some(&raw), "app")
    }

    #[test]
    fn who_applies_comes_first_and_others_fields_do_not_count() {
        let entries = json!([
            entry("kubectl-set", "Update", "", "app", "2026-01-02T00:00:00Z"),
            entry("argocd-controller", "Apply", "", "app", "2026-01-01T00:00:00Z"),
            entry("somebody", "Update", "", "proxy", "2026-01-03T00:00:00Z"),
            entry("kube-controller-manager", "Update", "status", "app", "2026-01-04T00:00:00Z"),
        ]);
        let (owners, newest) = owners(&entries);
        let names: Vec<(&str, Applies)> = owners.iter().map(|owner| (owner.manager.as_str(), owner.applies)).collect();
        assert_eq!(names, [("argocd-controller", Applies::Continuously), ("kubectl-set", Applies::Once)]);
        assert_eq!(newest, "2026-01-02T00:00:00Z".parse().ok());
        assert_eq!(image_owners(None, "app").0, []);
    }

    #[test]
    fn undoers_are_told_by_what_the_object_carries() {
        let check = |meta: Value, expected: &[&str]| {
            let text = meta.to_string();
            let meta: WorkloadMeta<'_> = serde_json::from_str(&text).expect("metadata");
            let by: Vec<String> = undoers(&meta, &[]).into_iter().map(|undoer| undoer.by.to_string()).collect();
            assert_eq!(by, expected, "{text}");
        };
        let applied = "kubectl.kubernetes.io/last-applied-configuration";
        check(json!({}), &[]);
        check(json!({"annotations": {applied: "{}"}}), &["kubectl apply"]);
        check(
            json!({"annotations": {"argocd.argoproj.io/tracking-id": "shop:apps/Deployment:a/b", applied: "{}"}}),
            &["Argo CD"],
        );
        check(json!({"labels": {"kustomize.toolkit.fluxcd.io/name": "shop"}}), &["Flux"]);
        check(
            json!({"labels": {"kustomize.toolkit.fluxcd.io/name": "shop"},
                "annotations": {"kustomize.toolkit.fluxcd.io/reconcile": "disabled"}}),
            &[],
        );
        check(
            json!({"labels": {"app.kubernetes.io/instance": "shop", "app.kubernetes.io/managed-by": "Helm"},
                "annotations": {"meta.helm.sh/release-name": "shop"}}),
            &["Helm"],
        );
        check(json!({"labels": {"app.kubernetes.io/instance": "shop"}}), &["perhaps Argo CD"]);
    }
}
