//! A real Kubernetes control plane with simulated kubelets, for tests: it starts one, speaks to it as a user of the test's
//! choice, and ends it. It never speaks for rolldeck: what rolldeck changed is looked up in [`Cluster::audit`].
//!
//! The processes, users and what a pod's annotations make of it are described in `tests/real/control-plane`. This is the one
//! file of the tests that may wait by looking again after a pause.
#![allow(dead_code, reason = "a harness offers more than the tests of one day take")]

use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

/// The content types of a PATCH.
pub(crate) const MERGE_PATCH: &str = "application/merge-patch+json";
pub(crate) const STRATEGIC_PATCH: &str = "application/strategic-merge-patch+json";
pub(crate) const JSON_PATCH: &str = "application/json-patch+json";

/// How long a test waits for what should come within a second or two, on a machine that is busy.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Who asks. All but the admin may do nothing until a test grants it something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum User {
    Admin,
    Viewer,
    Shop,
    Nobody,
}

/// One control plane of its own, ended when dropped; those of [`cluster_or_skip`] and [`pair_or_skip`] end with the process.
pub(crate) struct Cluster {
    name: String,
    state: PathBuf,
    kubeconfig: PathBuf,
    port: u16,
}

/// The cluster that tests share; each takes a namespace of its own. `None`, and a line that says so, without a control plane.
pub(crate) fn cluster_or_skip(test: &str) -> Option<&'static Cluster> {
    or_skip(test, shared(&PROD_EU, "prod-eu"))
}

/// Two clusters that tests share, `prod-eu` and `prod-us`; the first is that of [`cluster_or_skip`].
pub(crate) fn pair_or_skip(test: &str) -> Option<(&'static Cluster, &'static Cluster)> {
    or_skip(test, shared_pair())
}

/// A cluster for this test alone, which may kill its API server. It takes three seconds and 0.75 GB: share where you can.
pub(crate) fn own_cluster_or_skip(test: &str, name: &str) -> Option<Cluster> {
    or_skip(test, Cluster::start(name))
}

/// Both shared clusters, started side by side by the first caller.
pub(crate) fn shared_pair() -> Option<(&'static Cluster, &'static Cluster)> {
    thread::scope(|scope| {
        let first = scope.spawn(|| shared(&PROD_EU, "prod-eu"));
        let second = shared(&PROD_US, "prod-us");
        Some((first.join().expect("the first cluster starts")?, second?))
    })
}

/// Looks until `is_true`; panics with `what` when it was not so within `timeout`.
pub(crate) fn wait(what: &str, timeout: Duration, mut is_true: impl FnMut() -> bool) {
    const PAUSE: Duration = Duration::from_millis(50);
    for _ in 0..timeout.as_millis() / PAUSE.as_millis() {
        if is_true() {
            return;
        }
        thread::sleep(PAUSE);
    }
    assert!(is_true(), "waited {timeout:?} in vain for {what}");
}

/// Writes a kubeconfig with one context for each entry, named as [`Cluster::context`] names it; the first is the current one.
pub(crate) fn write_kubeconfig(path: &Path, entries: &[(&Cluster, User, Option<&str>)]) {
    let list = |row: &dyn Fn(&Cluster, User, Option<&str>) -> Value| -> Vec<Value> {
        entries.iter().map(|(cluster, user, namespace)| row(cluster, *user, *namespace)).collect()
    };
    // JSON is YAML too.
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": entries.first().map(|(cluster, user, _)| cluster.context(*user)),
        "clusters": list(&|cluster, user, _| json!({"name": cluster.context(user), "cluster": {
            "server": cluster.url(), "certificate-authority": cluster.authority()}})),
        "users": list(&|cluster, user, _| json!({"name": cluster.context(user), "user": {"token": user.token()}})),
        "contexts": list(&|cluster, user, namespace| {
            let name = cluster.context(user);
            let mut context = json!({"cluster": name, "user": name});
            if let Some(namespace) = namespace {
                context["namespace"] = json!(namespace);
            }
            json!({"name": name, "context": context})
        }),
    });
    fs::write(path, config.to_string()).expect("a kubeconfig can be written to a test's directory");
}

/// A Deployment whose only container has its name; the annotations go to the pods (see `stages/pods.yaml`).
pub(crate) fn deployment(
    namespace: &str,
    name: &str,
    image: &str,
    replicas: u32,
    annotations: &[(&str, &str)],
) -> Value {
    let labels = json!({"app.kubernetes.io/name": name});
    let annotations: Value = annotations.iter().map(|(key, value)| ((*key).to_owned(), json!(value))).collect();
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels, "annotations": annotations},
                "spec": {"containers": [{"name": name, "image": image}]},
            },
        },
    })
}

/// The path of the Deployments of a namespace, or of one of them.
pub(crate) fn deployments(namespace: &str, name: Option<&str>) -> String {
    let list = format!("/apis/apps/v1/namespaces/{namespace}/deployments");
    name.map_or(list.clone(), |name| format!("{list}/{name}"))
}

impl User {
    const fn suffix(self) -> &'static str {
        match self {
            User::Admin => "",
            User::Viewer => "-viewer",
            User::Shop => "-shop",
            User::Nobody => "-nobody",
        }
    }

    /// The name that RBAC and the audit log know.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            User::Admin => "admin",
            User::Viewer => "viewer",
            User::Shop => "shop-only",
            User::Nobody => "nobody",
        }
    }

    pub(crate) const fn token(self) -> &'static str {
        match self {
            User::Admin => "admin-token",
            User::Viewer => "viewer-token",
            User::Shop => "shop-token",
            User::Nobody => "none-token",
        }
    }
}

impl Cluster {
    /// Starts a cluster whose contexts are `name`, `name-viewer`, `name-shop` and `name-nobody`; `None` where nothing is built.
    /// Panics when it does not start.
    pub(crate) fn start(name: &str) -> Option<Cluster> {
        let assets = assets()?;
        // Another process may take a port between the choice and the start: choose again.
        let mut failures = String::new();
        for _ in 0..3 {
            let [port, etcd_port, peer_port] = free_ports();
            let state = std::env::temp_dir().join(format!("rolldeck-{name}-{}-{port}", std::process::id()));
            let output = Command::new(scripts().join("start.sh"))
                .arg(&state)
                .args([&port.to_string(), name])
                .env("KUBEBUILDER_ASSETS", assets)
                .env("ETCD_PORT", etcd_port.to_string())
                .env("PEER_PORT", peer_port.to_string())
                // The watchdog ends it all when this process ends, however that comes about.
                .env("OWNER_PID", std::process::id().to_string())
                .stdin(Stdio::null())
                .output()
                .expect("start.sh can be run");
            if output.status.success() {
                let kubeconfig = state.join("kubeconfig");
                return Some(Cluster { name: name.to_owned(), state, kubeconfig, port });
            }
            failures.push_str(&String::from_utf8_lossy(&output.stderr));
        }
        panic!("the control plane {name} did not start in three attempts:\n{failures}");
    }

    /// A kubeconfig with a context for each user; the admin's is the current one.
    pub(crate) fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// The name of a user's context in [`Cluster::kubeconfig`].
    pub(crate) fn context(&self, user: User) -> String {
        format!("{}{}", self.name, user.suffix())
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.port)
    }

    /// What requests that changed something (or would have, in a dry run), by anyone but the cluster's own controllers. An entry
    /// has `verb`, `user.username`, `userAgent`, `requestURI` (with the field manager), `objectRef`, `responseStatus.code`, and
    /// for workloads and pods `requestObject`. It may come a moment after the answer: [`wait`] for it.
    pub(crate) fn audit(&self) -> Vec<Value> {
        let log = fs::read_to_string(self.state.join("audit.log")).unwrap_or_default();
        // The last line may be half written.
        log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// Ends the API server as a crash would; the rest goes on.
    pub(crate) fn kill_apiserver(&self) {
        self.script("kill-apiserver.sh", &[]);
    }

    /// Starts the API server again where it was, and returns when it is ready.
    pub(crate) fn start_apiserver(&self) {
        self.script("start-apiserver.sh", &[]);
    }

    /// One request; status 0 and null when there was no answer.
    pub(crate) fn request(&self, user: User, method: &str, path: &str, body: Option<(&str, &Value)>) -> (u16, Value) {
        self.send(user, method, path, body.map(|(content_type, body)| (content_type, body.to_string())))
    }

    fn send(&self, user: User, method: &str, path: &str, body: Option<(&str, String)>) -> (u16, Value) {
        let mut curl = Command::new("curl");
        // The certificate is checked: no other cluster that came to this port may answer.
        curl.args(["-s", "--max-time", "30", "-X", method, "-w", "\n%{http_code}", "-A", "test-harness", "--cacert"])
            .arg(self.authority())
            .args(["-H", &format!("Authorization: Bearer {}", user.token())])
            .arg(format!("{}{path}", self.url()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        if let Some((content_type, _)) = &body {
            curl.args(["--data-binary", "@-", "-H", &format!("Content-Type: {content_type}")]);
        }
        let mut child = curl.spawn().expect("curl can be run");
        if let (Some(mut stdin), Some((_, body))) = (child.stdin.take(), body) {
            // A curl that ended already says why in its status.
            let _ = stdin.write_all(body.as_bytes());
        }
        let answer = child.wait_with_output().expect("curl ends");
        let answer = String::from_utf8_lossy(&answer.stdout);
        let (body, status) = answer.rsplit_once('\n').expect("curl writes the status after the body");
        (status.parse().unwrap_or(0), serde_json::from_str(body).unwrap_or(Value::Null))
    }

    pub(crate) fn get(&self, path: &str) -> (u16, Value) {
        self.request(User::Admin, "GET", path, None)
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        self.request(User::Admin, "POST", path, Some(("application/json", body)))
    }

    /// Posts what a file holds.
    pub(crate) fn post_file(&self, path: &str, content_type: &str, file: &Path) -> (u16, Value) {
        let text = fs::read_to_string(file).expect("it can be read");
        self.send(User::Admin, "POST", path, Some((content_type, text)))
    }

    pub(crate) fn patch(&self, path: &str, content_type: &str, body: &Value) -> (u16, Value) {
        self.request(User::Admin, "PATCH", path, Some((content_type, body)))
    }

    pub(crate) fn delete(&self, path: &str) -> (u16, Value) {
        self.request(User::Admin, "DELETE", path, None)
    }

    /// The object or list at `path`, which must be there.
    pub(crate) fn read(&self, path: &str) -> Value {
        expect_status(200, "GET", path, self.get(path))
    }

    /// Posts `object` to `path` and returns it as the server made it.
    pub(crate) fn create(&self, path: &str, object: &Value) -> Value {
        expect_status(201, "POST", path, self.post(path, object))
    }

    pub(crate) fn create_namespace(&self, name: &str) {
        self.create("/api/v1/namespaces", &json!({"metadata": {"name": name}}));
    }

    /// Creates a [`deployment`] and waits until the controller has made what it asks for; ready or not.
    pub(crate) fn create_deployment(&self, deployment: &Value) {
        let namespace = deployment["metadata"]["namespace"].as_str().expect("a deployment has a namespace");
        let name = deployment["metadata"]["name"].as_str().expect("a deployment has a name");
        self.create(&deployments(namespace, None), deployment);
        let replicas = deployment["spec"]["replicas"].as_u64().unwrap_or(1);
        wait(&format!("the pods of {name}"), PATIENCE, || {
            let pods = self.pods(namespace, name);
            pods.len() as u64 == replicas && pods.iter().all(|pod| pod["status"]["containerStatuses"].is_array())
        });
    }

    /// Sets the image of the container that has the Deployment's name, as a release would.
    pub(crate) fn set_image(&self, namespace: &str, name: &str, image: &str) {
        let template = json!({"spec": {"containers": [{"name": name, "image": image}]}});
        let path = format!("{}?fieldManager=ci", deployments(namespace, Some(name)));
        let answer = self.patch(&path, STRATEGIC_PATCH, &json!({"spec": {"template": template}}));
        expect_status(200, "PATCH", &path, answer);
    }

    /// The pods of a service that are not on their way out.
    pub(crate) fn pods(&self, namespace: &str, service: &str) -> Vec<Value> {
        let path = format!("/api/v1/namespaces/{namespace}/pods?labelSelector=app.kubernetes.io/name={service}");
        let Value::Array(pods) = self.read(&path)["items"].take() else { return Vec::new() };
        pods.into_iter().filter(|pod| pod["metadata"]["deletionTimestamp"].is_null()).collect()
    }

    /// Waits until each replica of a Deployment is of its newest template and available, and no other is left.
    pub(crate) fn wait_rolled_out(&self, namespace: &str, name: &str) {
        wait(&format!("{namespace}/{name} to be rolled out"), PATIENCE, || {
            let deployment = self.read(&deployments(namespace, Some(name)));
            let (wanted, status) = (deployment["spec"]["replicas"].as_u64(), &deployment["status"]);
            status["observedGeneration"].as_u64() >= deployment["metadata"]["generation"].as_u64()
                && ["replicas", "updatedReplicas", "availableReplicas"]
                    .iter()
                    .all(|count| status[count].as_u64().or(Some(0)) == wanted)
        });
    }

    /// Lets `user` do what `rules` say (as in a Role), in one namespace or in all.
    pub(crate) fn grant(&self, user: User, namespace: Option<&str>, rules: &Value) {
        let api = "/apis/rbac.authorization.k8s.io/v1";
        let (folder, prefix) = match namespace {
            Some(namespace) => (format!("{api}/namespaces/{namespace}"), ""),
            None => (api.to_owned(), "Cluster"),
        };
        let role = self.create(
            &format!("{folder}/{}roles", prefix.to_lowercase()),
            &json!({"metadata": {"generateName": "test-"}, "rules": rules}),
        );
        let name = &role["metadata"]["name"];
        let binding = json!({
            "metadata": {"name": name},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": format!("{prefix}Role"), "name": name},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user.name()}],
        });
        self.create(&format!("{folder}/{}rolebindings", prefix.to_lowercase()), &binding);
    }

    /// The file with the certificate that the API server must show.
    pub(crate) fn authority(&self) -> PathBuf {
        self.state.join("certs/apiserver.crt")
    }

    /// Runs one of the scripts on this cluster.
    pub(super) fn script(&self, name: &str, arguments: &[&str]) {
        let output = Command::new(scripts().join(name)).arg(&self.state).args(arguments).stdin(Stdio::null()).output();
        let Output { status, stderr, .. } = output.expect("the scripts of the control plane can be run");
        assert!(status.success(), "{name}: {}", String::from_utf8_lossy(&stderr));
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // Not `script`: a panic while a failed test unwinds would hide why it failed; the watchdog comes after us anyway.
        let _ = Command::new(scripts().join("stop.sh")).arg(&self.state).stdin(Stdio::null()).output();
    }
}

static PROD_EU: OnceLock<Option<Cluster>> = OnceLock::new();
static PROD_US: OnceLock<Option<Cluster>> = OnceLock::new();

fn shared(place: &'static OnceLock<Option<Cluster>>, name: &str) -> Option<&'static Cluster> {
    place.get_or_init(|| Cluster::start(name)).as_ref()
}

fn or_skip<T>(test: &str, found: Option<T>) -> Option<T> {
    found_or_skip(test, found, "control plane; run tests/real/build.sh")
}

/// What was found; where it was not, a line that says which server is missing, or a failure where none may be left out.
#[expect(clippy::print_stderr, reason = "who runs the tests must see what was left out")]
pub(crate) fn found_or_skip<T>(test: &str, found: Option<T>, missing: &str) -> Option<T> {
    if found.is_none() {
        let required = std::env::var("ROLLDECK_REQUIRE_REAL").is_ok_and(|value| value == "1");
        assert!(!required, "{test}: ROLLDECK_REQUIRE_REAL=1, and there is no {missing}");
        eprintln!("left out: {test}: there is no {missing}");
    }
    found
}

/// Where the servers are, as `build.sh` knows; asked once.
fn assets() -> Option<&'static Path> {
    static ASSETS: OnceLock<Option<PathBuf>> = OnceLock::new();
    let find = || {
        let output = Command::new(scripts().join("../build.sh")).arg("--find").stdin(Stdio::null()).output().ok()?;
        let line = String::from_utf8(output.stdout).ok()?;
        Some(PathBuf::from(line.trim().strip_prefix("KUBEBUILDER_ASSETS=")?))
    };
    ASSETS.get_or_init(find).as_deref()
}

pub(super) fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/real/control-plane")
}

/// Three free ports below those that systems give to outgoing connections: an API server that is killed must find its own again.
/// No two calls of this process get the same; where a process starts to look depends on its number.
fn free_ports() -> [u16; 3] {
    const FIRST: u16 = 20_000;
    const COUNT: u16 = 12_000;
    static TAKEN: AtomicU16 = AtomicU16::new(0);
    let start = std::process::id().wrapping_mul(97) % u32::from(COUNT);
    std::array::from_fn(|_| {
        (0..COUNT)
            .map(|_| u32::from(TAKEN.fetch_add(1, Ordering::Relaxed)))
            .map(|step| FIRST + u16::try_from((start + step) % u32::from(COUNT)).expect("below COUNT"))
            .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
            .expect("a machine has a free port")
    })
}

fn expect_status(wanted: u16, method: &str, path: &str, (status, answer): (u16, Value)) -> Value {
    assert_eq!(status, wanted, "{method} {path}: {answer}");
    answer
}
