//! A desk: one state directory, kubeconfig and configuration, at which the built program is run as a user would.
//!
//! What rolldeck did to a cluster is never taken from its own words alone: see [`Released::changes`].

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::real::cluster::{Cluster, PATIENCE, STRATEGIC_PATCH, User, deployments, wait, write_kubeconfig};
use crate::real::moto::{Region, write_files};

/// How long one command may take: the longest waits twice for 15 s by itself.
const COMMAND: Duration = Duration::from_secs(150);

/// Three versions of the one application.
pub(crate) const V40: &str =
    "registry.example:5000/shop/app:v40@sha256:40aa11d040aa11d040aa11d040aa11d040aa11d040aa11d040aa11d040aa11d0";
pub(crate) const V41: &str =
    "registry.example:5000/shop/app:v41@sha256:9f2c41d09f2c41d09f2c41d09f2c41d09f2c41d09f2c41d09f2c41d09f2c41d0";
pub(crate) const V42: &str =
    "registry.example:5000/shop/app:v42@sha256:c0ffee12c0ffee12c0ffee12c0ffee12c0ffee12c0ffee12c0ffee12c0ffee12";

/// Annotations of pods (see `stages/pods.yaml`).
pub(crate) const NEVER_READY: &str = "sim.rolldeck.dev/never-ready";
pub(crate) const CRASH_LOOP: &str = "sim.rolldeck.dev/crash-loop";
pub(crate) const SLOW_START: &str = "sim.rolldeck.dev/slow-start";

/// Where a person sits.
pub(crate) struct Desk {
    directory: TempDir,
}

/// A command that goes on.
pub(crate) struct Running {
    child: Child,
    out: PathBuf,
    err: PathBuf,
    words: String,
}

/// What a command answered.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
    words: String,
}

impl Desk {
    /// At these contexts, all of them asked, with a policy whose times are short.
    pub(crate) fn at(entries: &[(&Cluster, User, Option<&str>)]) -> Desk {
        let desk = Desk { directory: tempfile::tempdir().expect("a directory") };
        write_kubeconfig(&desk.kubeconfig(), entries);
        desk.policy("2s", "40s");
        desk
    }

    /// With other times; the order of places stays.
    pub(crate) fn policy(&self, bake: &str, step_timeout: &str) {
        self.order(bake, step_timeout, &["k8s/prod-eu", "k8s/prod-us"]);
    }

    /// Watched for as long as this before an operation counts as done.
    pub(crate) fn watch(&self, time: &str) {
        let before = fs::read_to_string(self.config()).expect("readable");
        fs::write(self.config(), before.replace("watch = \"1s\"", &format!("watch = \"{time}\""))).expect("written");
    }

    /// With another order too.
    pub(crate) fn order(&self, bake: &str, step_timeout: &str, order: &[&str]) {
        let times = format!("bake = \"{bake}\"\nstep_timeout = \"{step_timeout}\"\nwatch = \"1s\"");
        let text = format!("[policy]\n{times}\norder = {order:?}\n");
        fs::write(self.config(), text).expect("written");
    }

    /// Adds to the configuration.
    pub(crate) fn configure(&self, more: &str) {
        let before = fs::read_to_string(self.config()).expect("readable");
        fs::write(self.config(), format!("{before}\n{more}\n")).expect("written");
    }

    /// Asks a region of moto too; its id is `aws/NAME`.
    pub(crate) fn region(&self, region: &Region) -> String {
        self.region_at(region, &region.moto().url())
    }

    /// Asks it at another address.
    pub(crate) fn region_at(&self, region: &Region, url: &str) -> String {
        let id = format!("aws/{}", region.name());
        let folder = self.directory.path().join(".aws");
        fs::create_dir_all(&folder).expect("a folder");
        write_files(&folder);
        self.configure(&format!(
            "[[places]]\nkind = \"aws\"\nid = \"{id}\"\nregion = \"{}\"\nendpoint_url = \"{}\"\nrefresh = \"1s\"",
            region.name(),
            url
        ));
        id
    }

    /// Goes to the only cluster by another address, without TLS.
    pub(crate) fn through(&self, url: &str) {
        let mut config: Value = serde_json::from_slice(&fs::read(self.kubeconfig()).expect("readable")).expect("JSON");
        config["clusters"][0]["cluster"] = json!({"server": url});
        fs::write(self.kubeconfig(), config.to_string()).expect("written");
    }

    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.directory.path().join("kubeconfig")
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.directory.path().join("state")
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.directory.path().join("config.toml")
    }

    /// Starts a command and lets it go on. The answer is JSON.
    pub(crate) fn start(&self, arguments: &[&str]) -> Running {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let file = |end: &str| self.directory.path().join(format!("{number}.{end}"));
        let (out, err) = (file("out"), file("err"));
        let pipe = |path: &Path| Stdio::from(File::create(path).expect("a file"));
        let child = Command::new(env!("CARGO_BIN_EXE_rolldeck"))
            .args(arguments)
            .args(["--all-contexts", "--output", "json"])
            .arg("--state-dir")
            .arg(self.state())
            .arg("--kubeconfig")
            .arg(self.kubeconfig())
            .arg("--config")
            .arg(self.config())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.directory.path())
            .stdin(Stdio::null())
            .stdout(pipe(&out))
            .stderr(pipe(&err))
            .spawn()
            .expect("the program was built");
        Running { child, out, err, words: arguments.join(" ") }
    }

    /// Runs a command to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Said {
        self.start(arguments).end()
    }

    /// Makes a plan that can start; its id and code.
    pub(crate) fn plan(&self, arguments: &[&str]) -> (String, String, Value) {
        let said = self.run(&[&["plan"], arguments].concat());
        let plan = said.json();
        assert_eq!((said.code, &plan["refusals"]), (Some(0), &json!([])), "{said}");
        (text(&plan["plan"]), text(&plan["code"]), plan)
    }

    /// Makes a plan and applies it to its end.
    pub(crate) fn plan_and_apply(&self, arguments: &[&str]) -> Said {
        let (plan, code, _) = self.plan(arguments);
        self.run(&["apply", &plan, "--code", &code])
    }

    /// Every operation, newest first.
    pub(crate) fn operations(&self) -> Vec<Value> {
        let said = self.run(&["operations"]);
        assert_eq!(said.code, Some(0), "{said}");
        let Value::Array(rows) = said.json()["rows"].take() else { panic!("{said}") };
        rows
    }

    /// The newest operation, as soon as it is as wanted.
    pub(crate) fn operation(&self, what: &str, is_wanted: impl Fn(&Value) -> bool) -> Value {
        let mut found = Value::Null;
        wait(what, PATIENCE, || {
            found = self.operations().into_iter().next().unwrap_or_default();
            !found.is_null() && is_wanted(&found)
        });
        found
    }

    /// Every file below the desk but the kubeconfig: what commands printed, what they keep.
    pub(crate) fn files(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let mut found = Vec::new();
        let mut folders = vec![self.directory.path().to_path_buf()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).expect("readable") {
                let path = entry.expect("readable").path();
                match path {
                    path if path.is_dir() => folders.push(path),
                    path if path == self.kubeconfig() => {}
                    path => found.push((path.clone(), fs::read(&path).expect("readable"))),
                }
            }
        }
        found
    }
}

impl Running {
    /// What it has written to stderr so far.
    pub(crate) fn progress(&self) -> String {
        fs::read_to_string(&self.err).unwrap_or_default()
    }

    /// Lets time pass in a region until it ends by itself.
    pub(crate) fn end_in(mut self, region: &Region) -> Said {
        wait(&format!("the end of `{}`", self.words), COMMAND, || {
            region.step(1);
            self.child.try_wait().expect("it can be waited for").is_some()
        });
        self.end()
    }

    /// Waits until it ends by itself.
    pub(crate) fn end(mut self) -> Said {
        let mut ended: Option<ExitStatus> = None;
        let started = std::time::Instant::now();
        wait(&format!("the end of `{}`", self.words), COMMAND, || {
            ended = self.child.try_wait().expect("it can be waited for");
            assert!(ended.is_some() || started.elapsed() < COMMAND, "`{}` hangs:\n{}", self.words, self.progress());
            ended.is_some()
        });
        let read = |path: &Path| String::from_utf8(fs::read(path).expect("readable")).expect("UTF-8");
        Said {
            code: ended.and_then(|status| status.code()),
            out: read(&self.out),
            err: read(&self.err),
            words: self.words.clone(),
        }
    }

    /// kill -9.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("it was running");
        self.child.wait().expect("it has ended");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // A failed test leaves nothing running; one that ended already is no fault.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Said {
    /// The one JSON object of stdout.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self}"))
    }

    /// That it ended with this code.
    #[track_caller]
    pub(crate) fn ended(self, code: i32) -> Said {
        assert_eq!(self.code, Some(code), "{self}");
        self
    }

    /// That its operation ended like this, and with which exit code.
    #[track_caller]
    pub(crate) fn operation(self, state: &str, code: i32) -> Value {
        let operation = self.json();
        assert_eq!((self.code, operation["state"].as_str()), (Some(code), Some(state)), "{self}");
        operation
    }
}

impl std::fmt::Display for Said {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "`{}` ended with {:?}\n{}\n{}", self.words, self.code, self.out, self.err)
    }
}

/// What was changed in a namespace by others than the tests themselves, dry runs too. Complete up to now.
pub(crate) fn requests(cluster: &Cluster, namespace: &str) -> Vec<Value> {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let name = format!("mark-{}", NUMBER.fetch_add(1, Ordering::Relaxed));
    let maps = format!("/api/v1/namespaces/{namespace}/configmaps");
    cluster.create(&maps, &json!({"metadata": {"name": name}}));
    let mut entries = Vec::new();
    wait("the mark in the audit log", PATIENCE, || {
        entries = cluster.audit();
        entries.retain(|entry| entry["objectRef"]["namespace"] == namespace);
        entries.iter().any(|entry| entry["objectRef"]["name"] == name.as_str())
    });
    entries.retain(|entry| entry["userAgent"] != "test-harness");
    entries
}

/// The requests of rolldeck in a namespace that were meant and taken. Complete up to now.
pub(crate) fn changes(cluster: &Cluster, namespace: &str) -> Vec<Value> {
    let mut entries = requests(cluster, namespace);
    entries.retain(|entry| {
        let uri = entry["requestURI"].as_str().unwrap_or_default();
        assert!(uri.contains("fieldManager=rolldeck"), "nobody else works here: {entry}");
        !uri.contains("dryRun") && entry["responseStatus"]["code"].as_u64() < Some(300)
    });
    entries
}

/// Gives a Deployment another version: image, and the pods' only annotation.
pub(crate) fn release(cluster: &Cluster, namespace: &str, image: &str, annotation: Option<(&str, &str)>) {
    let none = [NEVER_READY, CRASH_LOOP, SLOW_START].map(|key| (key.to_owned(), Value::Null));
    let mut annotations: serde_json::Map<String, Value> = none.into_iter().collect();
    annotations.extend(annotation.map(|(key, value)| (key.to_owned(), json!(value))));
    let body = json!({"spec": {"template": {"metadata": {"annotations": annotations},
        "spec": {"containers": [{"name": "app", "image": image}]}}}});
    let path = format!("{}?fieldManager=ci", deployments(namespace, Some("app")));
    let (status, answer) = cluster.patch(&path, STRATEGIC_PATCH, &body);
    assert_eq!(status, 200, "{answer}");
}

/// Waits until a version's bad pods are there: not one of them ready.
pub(crate) fn wait_bad(cluster: &Cluster, namespace: &str, image: &str) {
    wait("the bad release to arrive", PATIENCE, || {
        let pods = cluster.pods(namespace, "app");
        pods.iter()
            .any(|pod| pod["spec"]["containers"][0]["image"] == image && pod["status"]["containerStatuses"].is_array())
    });
}

/// The image that a Deployment asks for.
pub(crate) fn asked(cluster: &Cluster, namespace: &str) -> Value {
    cluster.read(&deployments(namespace, Some("app")))["spec"]["template"]["spec"]["containers"][0]["image"].take()
}

/// A JSON string.
pub(crate) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}")).to_owned()
}
