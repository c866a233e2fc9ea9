//! What goes with a pod when it is replaced, and what ties its successor to the same node.
//!
//! Never looks into a volume: what it is called and of which kind it is must do.

use serde_json::Value;

use super::client::{Fault, Reads};
use super::lookup::READ_TIMEOUT;
use super::requests;
use crate::domain::plan::{Check, CheckVerdict, Step};
use crate::domain::text::Text;

/// The volumes of a pod, sorted by what becomes of them (Kubernetes: volumes, "Volume types").
#[derive(Debug, Default, PartialEq, Eq)]
struct Volumes {
    /// Deleted with the pod.
    gone: Vec<String>,
    /// Stay on the node, which the next pod need not get.
    left_behind: Vec<String>,
    /// Names of claims, which outlive it.
    claims: Vec<String>,
}

/// What would be lost with pods that have these volumes (`spec.volumes` of a template or of a pod).
pub(super) async fn checks(reads: &Reads, step: &Step, volumes: &Value) -> Vec<Check> {
    let volumes = sorted(volumes);
    let check = |verdict, detail: String| Check {
        name: Text::new("lost"),
        verdict,
        detail: Text::new(&format!("{}: {detail}", step.workload)),
    };
    let mut checks = Vec::new();
    if !volumes.gone.is_empty() {
        checks.push(check(CheckVerdict::Warn, format!("gone with each pod: {}", volumes.gone.join(", "))));
    }
    if !volumes.left_behind.is_empty() {
        let list = volumes.left_behind.join(", ");
        checks.push(check(CheckVerdict::Warn, format!("left behind where the next pod comes to another node: {list}")));
    }
    for claim in &volumes.claims {
        match node_of(reads, step, claim).await {
            Ok(None) => {}
            Ok(Some(kind)) => {
                let detail =
                    format!("claim {claim} is a {kind} volume: the next pod starts on that node or not at all");
                checks.push(check(CheckVerdict::Warn, detail));
            }
            Err(fault) => {
                let detail = format!("whether claim {claim} is tied to a node can't be read: {fault}");
                checks.push(check(CheckVerdict::Unknown, detail));
            }
        }
    }
    checks
}

fn sorted(volumes: &Value) -> Volumes {
    let mut sorted = Volumes::default();
    for volume in volumes.as_array().into_iter().flatten() {
        let name = volume["name"].as_str().unwrap_or("?");
        let has = |kind: &str| !volume[kind].is_null();
        if has("emptyDir") {
            sorted.gone.push(format!("emptyDir {name}"));
        } else if has("ephemeral") {
            sorted.gone.push(format!("ephemeral claim {name}"));
        } else if has("csi") {
            sorted.gone.push(format!("inline CSI volume {name}"));
        } else if has("hostPath") {
            let path = volume["hostPath"]["path"].as_str().unwrap_or("?");
            sorted.left_behind.push(format!("hostPath {name} ({path})"));
        } else if let Some(claim) = volume["persistentVolumeClaim"]["claimName"].as_str() {
            sorted.claims.push(claim.to_string());
        }
    }
    sorted
}

/// By what a claim is tied to a node, if it is.
async fn node_of(reads: &Reads, step: &Step, claim: &str) -> Result<Option<&'static str>, Fault> {
    let namespace = requests::namespace(&step.workload);
    let path = format!("/api/v1/namespaces/{namespace}/persistentvolumeclaims/{}", requests::escaped(claim));
    let claim = reads.get_json(&path, READ_TIMEOUT).await?;
    let Some(volume) = claim["spec"]["volumeName"].as_str().filter(|volume| !volume.is_empty()) else {
        return Ok(None);
    };
    let volume =
        reads.get_json(&format!("/api/v1/persistentvolumes/{}", requests::escaped(volume)), READ_TIMEOUT).await?;
    let is_of = |kind: &str| !volume["spec"][kind].is_null();
    Ok(if is_of("local") {
        Some("local")
    } else if is_of("hostPath") {
        Some("hostPath")
    } else {
        None
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn volumes_are_sorted_by_what_becomes_of_them() {
        let volumes = json!([
            {"name": "cache", "emptyDir": {}},
            {"name": "scratch", "ephemeral": {"volumeClaimTemplate": {}}},
            {"name": "secrets", "csi": {"driver": "secrets-store.csi.k8s.io"}},
            {"name": "logs", "hostPath": {"path": "/var/log"}},
            {"name": "data", "persistentVolumeClaim": {"claimName": "data-0"}},
            {"name": "config", "configMap": {"name": "config"}},
            {"name": "token", "projected": {"sources": []}},
        ]);
        let expected = Volumes {
            gone: ["emptyDir cache", "ephemeral claim scratch", "inline CSI volume secrets"].map(String::from).to_vec(),
            left_behind: vec!["hostPath logs (/var/log)".to_string()],
            claims: vec!["data-0".to_string()],
        };
        assert_eq!(sorted(&volumes), expected);
        assert_eq!(sorted(&Value::Null), Volumes::default());
    }
}
