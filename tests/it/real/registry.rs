//! A real registry for tests: Debian's docker-registry, on loopback, with what a test pushes to it.
//!
//! It never speaks for rolldeck: what is pushed is made here, and its digests are counted here.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rolldeck::domain::image::Digest;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::cluster::{PATIENCE, found_or_skip, wait};

/// The server of one test; it ends with it.
pub(crate) struct Registry {
    child: Child,
    port: u16,
    folder: tempfile::TempDir,
}

/// What was pushed: the index and, by platform, manifest and configuration.
pub(crate) struct Pushed {
    pub(crate) index: Digest,
    pub(crate) platforms: Vec<(Digest, Digest)>,
}

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// A registry; `None`, and a line that says so, where it is not there.
pub(crate) fn registry_or_skip(test: &str) -> Option<Registry> {
    let binary = binary();
    let binary = found_or_skip(test, binary.as_ref(), "docker-registry; run tests/real/registry.sh")?;
    Some(Registry::start(binary))
}

fn binary() -> Option<PathBuf> {
    if let Some(binary) = std::env::var_os("ROLLDECK_REGISTRY") {
        return Some(PathBuf::from(binary));
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/real/registry.sh");
    let found = Command::new(script).arg("--find").stdin(Stdio::null()).output().expect("registry.sh can be run");
    let found = String::from_utf8(found.stdout).expect("UTF-8");
    found.trim().strip_prefix("ROLLDECK_REGISTRY=").map(PathBuf::from)
}

impl Registry {
    fn start(binary: &Path) -> Registry {
        let folder = tempfile::tempdir().expect("a folder");
        let port = TcpListener::bind(("127.0.0.1", 0)).and_then(|free| free.local_addr()).expect("a free port").port();
        let configuration = json!({"version": "0.1", "log": {"level": "error"}, "http": {"addr": format!("127.0.0.1:{port}")},
            "storage": {"delete": {"enabled": true}, "filesystem": {"rootdirectory": folder.path().join("data")}}});
        // JSON is YAML.
        fs::write(folder.path().join("config.yml"), configuration.to_string()).expect("written");
        // It ends when the tests do, however they end.
        let guard = "\"$1\" serve \"$2\" & server=$!; trap 'kill $server; exit' TERM; trap 'kill $server' EXIT; \
            while kill -0 \"$3\" 2>/dev/null && kill -0 $server 2>/dev/null; do sleep 0.5; done";
        let child = Command::new("sh")
            .args(["-c", guard, "registry"])
            .arg(binary)
            .arg(folder.path().join("config.yml"))
            .arg(std::process::id().to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("sh can be run");
        let registry = Registry { child, port, folder };
        wait("the registry to answer", PATIENCE, || curl(&["-o", "/dev/null", &registry.url("/v2/")]).is_some());
        registry
    }

    /// Its name in references.
    pub(crate) fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// An image for two platforms under a tag. What differs is in its label, so that each has digests of its own.
    pub(crate) fn push(&self, repository: &str, tag: &str, version: &str) -> Pushed {
        let layers = ["a base that all have".to_string(), format!("layer of {version}")];
        let layers = layers.map(|content| (self.blob(repository, content.as_bytes()), content.len()));
        let diff_ids: Vec<&str> = layers.iter().map(|(layer, _)| layer.as_str()).collect();
        let mut children = Vec::new();
        let mut platforms = Vec::new();
        for architecture in ["amd64", "arm64"] {
            let labels =
                json!({"org.opencontainers.image.version": version, "org.opencontainers.image.revision": "c0ffee1"});
            let config = json!({"architecture": architecture, "os": "linux",
                "config": {"Labels": labels, "Env": [format!("BUILD_KEY=hush {version}")]},
                "rootfs": {"type": "layers", "diff_ids": diff_ids}, "created": "2026-11-20T08:00:00Z"});
            let config_bytes = config.to_string();
            let config = self.blob(repository, config_bytes.as_bytes());
            let descriptor = |kind: &str, digest: &Digest, size: usize| json!({"mediaType": kind, "digest": digest.as_str(), "size": size});
            let of_layer =
                |(layer, size): &(Digest, usize)| descriptor("application/vnd.oci.image.layer.v1.tar", layer, *size);
            let layers: Vec<Value> = layers.iter().map(of_layer).collect();
            let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST,
                "config": descriptor("application/vnd.oci.image.config.v1+json", &config, config_bytes.len()),
                "layers": layers});
            let digest = self.manifest(repository, None, MANIFEST, &manifest);
            let mut child = descriptor(MANIFEST, &digest, manifest.to_string().len());
            child["platform"] = json!({"os": "linux", "architecture": architecture});
            children.push(child);
            platforms.push((digest, config));
        }
        let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": children});
        let index = self.manifest(repository, Some(tag), INDEX, &index);
        Pushed { index, platforms }
    }

    /// Something that refers to a digest, under a tag: an artifact of this type with these annotations. Its descriptor.
    pub(crate) fn artifact(&self, repository: &str, tag: Option<&str>, kind: &str, annotations: &Value) -> Value {
        let empty = self.blob(repository, b"{}");
        let config = json!({"mediaType": "application/vnd.oci.empty.v1+json", "digest": empty.as_str(), "size": 2});
        let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST, "artifactType": kind, "config": config,
            "layers": [config], "annotations": annotations});
        let digest = self.manifest(repository, tag, MANIFEST, &manifest);
        json!({"mediaType": MANIFEST, "digest": digest.as_str(), "size": manifest.to_string().len(), "artifactType": kind,
            "annotations": annotations})
    }

    /// What refers to a digest, under the tag that clients use where a registry has no API for that.
    pub(crate) fn refer(&self, repository: &str, to: &Digest, referrers: &[Value]) {
        let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": referrers});
        self.manifest(repository, Some(&to.as_str().replacen(':', "-", 1)), INDEX, &index);
    }

    /// Takes a manifest away.
    pub(crate) fn delete(&self, repository: &str, digest: &Digest) {
        let url = self.url(&format!("/v2/{repository}/manifests/{digest}"));
        curl(&["-X", "DELETE", &url]).expect("deleted");
    }

    fn blob(&self, repository: &str, bytes: &[u8]) -> Digest {
        let digest = digest_of(bytes);
        let head =
            curl(&["-D", "-", "-o", "/dev/null", "-X", "POST", &self.url(&format!("/v2/{repository}/blobs/uploads/"))]);
        let head = head.expect("an upload");
        let location =
            head.lines().find_map(|line| line.strip_prefix("Location: ")).expect("where to").trim().to_string();
        let file = self.folder.path().join("blob");
        fs::write(&file, bytes).expect("written");
        let sign = if location.contains('?') { '&' } else { '?' };
        let url = format!("{location}{sign}digest={digest}");
        let data = format!("@{}", file.display());
        curl(&["-X", "PUT", "-H", "Content-Type: application/octet-stream", "--data-binary", &data, &url])
            .expect("put");
        digest
    }

    fn manifest(&self, repository: &str, tag: Option<&str>, kind: &str, manifest: &Value) -> Digest {
        let bytes = manifest.to_string();
        let digest = digest_of(bytes.as_bytes());
        let url = self.url(&format!("/v2/{repository}/manifests/{}", tag.unwrap_or(digest.as_str())));
        let kind = format!("Content-Type: {kind}");
        curl(&["-X", "PUT", "-H", &kind, "--data-binary", &bytes, &url]).expect("put");
        digest
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        // Its guard ends the server.
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let _ = self.child.wait();
    }
}

fn digest_of(bytes: &[u8]) -> Digest {
    let hex: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}").parse().expect("a digest")
}

fn curl(arguments: &[&str]) -> Option<String> {
    let run = Command::new("curl").args(["-sf", "--max-time", "10"]).args(arguments).stdin(Stdio::null()).output();
    let run = run.expect("curl can be run");
    run.status.success().then(|| String::from_utf8_lossy(&run.stdout).into_owned())
}
