//! A cluster with Argo Rollouts in it: the real controller and its kinds. The clusters of other tests have neither.
//!
//! Never stays behind: the controller is one of the cluster's processes, and ends with it.

use std::process::{Command, Stdio};
use std::sync::OnceLock;

use serde_json::{Value, json};

use super::cluster::{Cluster, MERGE_PATCH, PATIENCE, found_or_skip, scripts, wait};

/// The cluster with Argo Rollouts that tests share; each takes a namespace of its own. `None`, and a line that says so, where the
/// controller or the control plane is not built.
pub(crate) fn rollouts_or_skip(test: &str) -> Option<&'static Cluster> {
    static CLUSTER: OnceLock<Option<Cluster>> = OnceLock::new();
    let start = || {
        let built = built()?;
        let cluster = Cluster::start("prod-argo")?;
        cluster.script("start-rollouts.sh", &[&built]);
        Some(cluster)
    };
    found_or_skip(test, CLUSTER.get_or_init(start).as_ref(), "controller of Argo Rollouts; run tests/real/rollouts.sh")
}

/// The path of the Rollouts of a namespace, or of one of them.
pub(crate) fn rollouts(namespace: &str, name: Option<&str>) -> String {
    let list = format!("/apis/argoproj.io/v1alpha1/namespaces/{namespace}/rollouts");
    name.map_or(list.clone(), |name| format!("{list}/{name}"))
}

/// A Rollout `app` of one namespace.
pub(crate) struct Rollout {
    pub(crate) cluster: &'static Cluster,
    pub(crate) namespace: &'static str,
}

impl Rollout {
    /// Of five, at this image and healthy, with this strategy.
    pub(crate) fn create(cluster: &'static Cluster, namespace: &'static str, image: &str, strategy: &Value) -> Rollout {
        let labels = json!({"app.kubernetes.io/name": "app"});
        let template = json!({"metadata": {"labels": labels},
            "spec": {"containers": [{"name": "app", "image": image}]}});
        let spec =
            json!({"replicas": 5, "selector": {"matchLabels": labels}, "strategy": strategy, "template": template});
        Rollout::create_as(cluster, namespace, &spec)
    }

    /// With a spec of its own.
    pub(crate) fn create_as(cluster: &'static Cluster, namespace: &'static str, spec: &Value) -> Rollout {
        if cluster.get(&format!("/api/v1/namespaces/{namespace}")).0 == 404 {
            cluster.create_namespace(namespace);
        }
        let labels = json!({"app.kubernetes.io/name": "app"});
        let object = json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout",
            "metadata": {"name": "app", "namespace": namespace, "labels": labels}, "spec": spec});
        cluster.create(&rollouts(namespace, None), &object);
        let rollout = Rollout { cluster, namespace };
        rollout.wait_phase("Healthy");
        rollout
    }

    pub(crate) fn read(&self) -> Value {
        self.cluster.read(&rollouts(self.namespace, Some("app")))
    }

    pub(crate) fn patch(&self, body: &Value) {
        let path = format!("{}?fieldManager=ci", rollouts(self.namespace, Some("app")));
        let (status, answer) = self.cluster.patch(&path, MERGE_PATCH, body);
        assert_eq!(status, 200, "{answer}");
    }

    /// As `kubectl argo rollouts` does it.
    pub(crate) fn patch_status(&self, body: &Value) {
        let path = format!("{}/status", rollouts(self.namespace, Some("app")));
        let (status, answer) = self.cluster.patch(&path, MERGE_PATCH, &json!({"status": body}));
        assert_eq!(status, 200, "{answer}");
    }

    /// Asks for another image, as a release would.
    pub(crate) fn release(&self, image: &str) {
        self.patch(&json!({"spec": {"template": {"spec": {"containers": [{"name": "app", "image": image}]}}}}));
    }

    /// Releases an image to its end, whatever the steps are.
    pub(crate) fn roll(&self, image: &str) {
        self.release(image);
        wait("the new version to be on its way", PATIENCE, || {
            let status = &self.read()["status"];
            status["currentPodHash"] != status["stableRS"]
        });
        self.patch_status(&json!({"promoteFull": true}));
        self.wait_running(image, 5);
        self.wait_phase("Healthy");
    }

    /// Waits until its controller calls it so, for its newest generation.
    pub(crate) fn wait_phase(&self, phase: &str) {
        wait(&format!("{}/app to be {phase}", self.namespace), PATIENCE, || {
            let rollout = self.read();
            let observed = rollout["status"]["observedGeneration"].as_str().and_then(|number| number.parse().ok());
            rollout["status"]["phase"] == phase && observed == rollout["metadata"]["generation"].as_u64()
        });
    }

    /// Waits until it pauses at that step, from 1.
    pub(crate) fn wait_step(&self, step: u64) {
        wait(&format!("{}/app to pause at step {step}", self.namespace), PATIENCE, || {
            let status = &self.read()["status"];
            let is_paused = status["pauseConditions"].as_array().is_some_and(|conditions| !conditions.is_empty());
            is_paused && status["currentStepIndex"].as_u64() == Some(step - 1)
        });
    }

    /// The images of its pods, sorted.
    pub(crate) fn images(&self) -> Vec<String> {
        let pods = self.cluster.pods(self.namespace, "app");
        let mut images: Vec<String> = pods
            .iter()
            .map(|pod| pod["spec"]["containers"][0]["image"].as_str().unwrap_or_default().to_owned())
            .collect();
        images.sort();
        images
    }

    /// Waits until it has so many pods, all of that image.
    pub(crate) fn wait_running(&self, image: &str, count: usize) {
        wait(&format!("{count} pods of {image}"), PATIENCE, || self.images() == vec![image.to_owned(); count]);
    }

    /// How many pods are of that image.
    pub(crate) fn count(&self, image: &str) -> usize {
        self.images().iter().filter(|running| *running == image).count()
    }

    pub(crate) fn only(&self) -> String {
        format!("ns:{}", self.namespace)
    }
}

/// A canary whose second and fourth of five steps wait, the second until somebody says so.
pub(crate) fn canary() -> Value {
    json!({"canary": {"steps": [{"setWeight": 20}, {"pause": {}}, {"setWeight": 60}, {"pause": {}}, {"setWeight": 80}]}})
}

/// Where the controller is, as `rollouts.sh` knows; asked once.
fn built() -> Option<String> {
    let output = Command::new(scripts().join("../rollouts.sh")).arg("--find").stdin(Stdio::null()).output().ok()?;
    let line = String::from_utf8(output.stdout).ok()?;
    Some(line.trim().strip_prefix("ROLLDECK_ROLLOUTS=")?.to_owned())
}
