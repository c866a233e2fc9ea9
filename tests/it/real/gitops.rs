//! The CRDs of Argo CD and Flux in a real cluster, as their own modules have them.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

use serde_json::json;

use super::cluster::{Cluster, PATIENCE, User, found_or_skip, wait};

const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";

/// Puts the CRDs there, and the namespace of Argo CD. Tests that share a cluster may all ask for it.
pub(crate) fn install(cluster: &Cluster) {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _one = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    if cluster.get("/api/v1/namespaces/argocd").0 == 200 {
        return;
    }
    let directory =
        found_or_skip("install", directory(), "CRDs; run tests/real/gitops-crds.sh").expect("they are there");
    let mut names = Vec::new();
    for entry in std::fs::read_dir(directory).expect("it can be read") {
        let file = entry.expect("an entry").path();
        let (status, answer) = cluster.post_file(DEFINITIONS, "application/yaml", &file);
        assert!(matches!(status, 201 | 409), "{}: {status} {answer}", file.display());
        names.push(answer["metadata"]["name"].as_str().unwrap_or_default().to_owned());
    }
    for name in names {
        wait(&format!("{name} to be served"), PATIENCE, || {
            let definition = cluster.read(&format!("{DEFINITIONS}/{name}"));
            let conditions = definition["status"]["conditions"].as_array().cloned().unwrap_or_default();
            conditions.iter().any(|condition| condition["type"] == "Established" && condition["status"] == "True")
        });
    }
    for path in ["argoproj.io/v1alpha1/applications", "kustomize.toolkit.fluxcd.io/v1/kustomizations"] {
        wait(&format!("{path} to be served"), PATIENCE, || {
            cluster.request(User::Admin, "GET", &format!("/apis/{path}"), None).0 == 200
        });
    }
    // Last: it says that all of it is there.
    cluster.create("/api/v1/namespaces", &json!({"metadata": {"name": "argocd"}}));
}

/// Where they are, as `gitops-crds.sh` knows.
fn directory() -> Option<PathBuf> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/real/gitops-crds.sh");
    let output = Command::new(script).arg("--find").stdin(Stdio::null()).output().ok()?;
    let line = String::from_utf8(output.stdout).ok()?;
    Some(PathBuf::from(line.trim().strip_prefix("ROLLDECK_GITOPS_CRDS=")?))
}
