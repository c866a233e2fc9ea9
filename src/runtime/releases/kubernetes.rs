//! Manifests of Kubernetes (what `kustomize build` or `helm template` render), and compose files.
//!
//! Never takes anything but what a workload asks for: no hook, no value that a chart was given.

use anyhow::anyhow;
use serde_json::Value;

use super::{Found, Said, items, text_at};

/// The labels that name a service, as by default.
const SERVICE: [&str; 2] = ["app.kubernetes.io/name", "app"];

/// One or more documents in YAML.
pub(super) fn read_yaml(text: &str) -> anyhow::Result<Said> {
    let documents: Vec<Value> = serde_saphyr::from_multiple(text).map_err(|error| anyhow!("{error}"))?;
    let mut said = Said { tool: "manifest", ..Said::default() };
    for document in &documents {
        if let Some(more) = read(document) {
            said.tool = more.tool;
            said.found.extend(more.found);
        }
    }
    Ok(said)
}

pub(super) fn read(document: &Value) -> Option<Said> {
    if text_at(document, &["kind"]).is_some() && text_at(document, &["apiVersion"]).is_some() {
        return Some(Said { tool: "manifest", found: workload(document), ..Said::default() });
    }
    let services = document.get("services")?.as_object()?;
    let found = services.iter().filter_map(|(name, service)| {
        Some(Found {
            service: Some(name.clone()),
            image: text_at(service, &["image"])?.to_string(),
            ..Found::default()
        })
    });
    Some(Said { tool: "compose", found: found.collect(), ..Said::default() })
}

fn workload(document: &Value) -> Vec<Found> {
    let template = match text_at(document, &["kind"]) {
        Some("List") => return items(document, "items").flat_map(workload).collect(),
        Some("Deployment" | "StatefulSet" | "DaemonSet" | "Rollout") => document["spec"].get("template"),
        Some("CronJob") => document["spec"]["jobTemplate"]["spec"].get("template"),
        _ => None,
    };
    let Some(template) = template else { return Vec::new() };
    let label =
        |of: &Value| SERVICE.iter().find_map(|name| text_at(of, &["metadata", "labels", name])).map(str::to_string);
    let service = label(document).or_else(|| label(template));
    let service = service.or_else(|| text_at(document, &["metadata", "name"]).map(str::to_string));
    let containers = items(&template["spec"], "containers").filter_map(|container| {
        Some(Found {
            service: service.clone(),
            image: text_at(container, &["image"])?.to_string(),
            container: text_at(container, &["name"]).map(str::to_string),
            ..Found::default()
        })
    });
    containers.collect()
}
