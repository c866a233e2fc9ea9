//! The contexts that kubeconfig files offer, each file read alone: a bad one breaks no other.
//!
//! Never asks the network, and never runs a plugin.

use std::path::{Path, PathBuf};

use kube::config::{Kubeconfig, KubeconfigError};
use serde_json::{Map, Value};

use super::{Found, KIND, PlaceSpec, Surroundings};
use crate::domain::id::PlaceId;
use crate::domain::text::Text;
use crate::providers::Standing;

/// What all files together say, and which of them could not be read.
#[derive(Default)]
pub(super) struct Files {
    /// Merged as kubectl does: the first file that names a thing wins.
    pub merged: Kubeconfig,
    /// Files that could not be read, and why.
    pub broken: Vec<(PathBuf, Text)>,
}

/// Every context as a place, and every broken file as a broken one.
pub(super) fn discover(surroundings: &Surroundings) -> Vec<Found> {
    let files = Files::read(&surroundings.kubeconfigs);
    let current = files.merged.current_context.as_deref();
    let contexts = files.merged.contexts.iter().map(|context| {
        let settings = Map::from_iter([("context".to_string(), Value::String(context.name.clone()))]);
        let is_current = current == Some(context.name.as_str());
        let standing = if is_current { Standing::Current } else { Standing::Other };
        Found { spec: spec(&context.name, settings), standing }
    });
    let broken = files.broken.iter().map(|(path, why)| {
        let settings = Map::from_iter([("kubeconfig".to_string(), Value::String(path.display().to_string()))]);
        Found { spec: spec(&path.display().to_string(), settings), standing: Standing::Broken(why.clone()) }
    });
    contexts.chain(broken).collect()
}

/// What a place is called whose configuration gives no id: its context, else the current one.
pub(super) fn default_id(settings: &Map<String, Value>, surroundings: &Surroundings) -> String {
    let named = settings.get("context").and_then(Value::as_str).map(ToString::to_string);
    let own = settings.get("kubeconfig").and_then(Value::as_str).map(|path| vec![PathBuf::from(path)]);
    let current = || Files::read(&own.unwrap_or_else(|| surroundings.kubeconfigs.clone())).merged.current_context;
    format!("k8s/{}", named.or_else(current).unwrap_or_else(|| "current".to_string()))
}

impl Files {
    /// Reads each file alone. A file that does not exist is none, as for kubectl.
    pub(super) fn read(paths: &[PathBuf]) -> Files {
        let mut files = Files::default();
        for path in paths.iter().filter(|path| path.exists() || paths.len() == 1) {
            let merged = Kubeconfig::read_from(path).and_then(|config| files.merged.clone().merge(config));
            match merged {
                Ok(merged) => files.merged = merged,
                Err(error) => files.broken.push((path.clone(), Text::new(&why(path, &error)))),
            }
        }
        files
    }
}

fn spec(name: &str, settings: Map<String, Value>) -> PlaceSpec {
    PlaceSpec { id: PlaceId::new(&format!("k8s/{name}")), kind: KIND.name, settings }
}

/// Says what is wrong with a file, never what is in it: a parser's message may quote the line, and so a secret.
fn why(path: &Path, error: &KubeconfigError) -> String {
    let path = path.display();
    match error {
        KubeconfigError::ReadConfig(error, _) => format!("{path} can't be read: {error}"),
        KubeconfigError::Parse(error) => match error.location() {
            Some(at) => format!("{path} is no kubeconfig: line {}, column {}", at.line(), at.column()),
            None => format!("{path} is no kubeconfig"),
        },
        other => format!("{path}: {other}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_file_breaks_no_other_and_the_first_wins() {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).expect("written");
            path
        };
        let config = |contexts: &[&str], current: &str| {
            let rows: String = contexts
                .iter()
                .map(|name| format!("- {{name: {name}, context: {{cluster: {name}, user: {name}}}}}\n"))
                .collect();
            format!("apiVersion: v1\nkind: Config\n{current}contexts:\n{rows}clusters: []\nusers: []\n")
        };
        let kubeconfigs = vec![
            write("a", &config(&["eu"], "")),
            write("b", "users: [{name: x, user: {token: s3cret-canary, : ]"),
            folder.path().join("not-there"),
            write("c", &config(&["us", "eu"], "current-context: us\n")),
            write("d", &config(&["ap"], "current-context: ap\n")),
        ];
        let found = discover(&Surroundings { kubeconfigs, ..Surroundings::default() });
        let names: Vec<&str> = found.iter().map(|found| found.spec.id.0.as_str()).collect();
        assert_eq!(names[..3], ["k8s/eu", "k8s/us", "k8s/ap"]);
        assert_eq!(found.len(), 4);
        assert_eq!(found[1].standing, Standing::Current);
        assert!(
            matches!(&found[3].standing, Standing::Broken(why) if why.contains("line 1") && !why.contains("s3cret"))
        );
    }
}
