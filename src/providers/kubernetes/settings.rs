//! The settings of a place: `context`, `kubeconfig`, `namespaces`.
//!
//! Never reads a file; whether the context exists is found out when it is connected.

use std::path::PathBuf;

use serde_json::{Map, Value};

use super::SettingFault;
use crate::providers::setting::{fault, text_of};

/// What a place is configured with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Settings {
    /// The context; else the current one.
    pub context: Option<String>,
    /// One kubeconfig file instead of those of the surroundings.
    pub kubeconfig: Option<PathBuf>,
    /// Only these namespaces; empty means all.
    pub namespaces: Vec<String>,
}

const KNOWN: [&str; 3] = ["context", "kubeconfig", "namespaces"];

impl Settings {
    /// From a table of the configuration; every fault at once.
    pub(super) fn parse(table: &Map<String, Value>) -> Result<Settings, Vec<SettingFault>> {
        let mut faults = Vec::new();
        for key in table.keys().filter(|key| !KNOWN.contains(&key.as_str())) {
            faults.push(fault(key, "is not a setting of kind kubernetes; it knows context, kubeconfig, namespaces"));
        }
        let context = text_of(table, "context", &mut faults);
        let kubeconfig = text_of(table, "kubeconfig", &mut faults).map(PathBuf::from);
        let namespaces = namespaces_of(table.get("namespaces"), &mut faults);
        if faults.is_empty() { Ok(Settings { context, kubeconfig, namespaces }) } else { Err(faults) }
    }
}

fn namespaces_of(value: Option<&Value>, faults: &mut Vec<SettingFault>) -> Vec<String> {
    let Some(value) = value else { return Vec::new() };
    let Value::Array(list) = value else {
        faults.push(fault("namespaces", &format!("must be a list like [\"shop\"], not {value}")));
        return Vec::new();
    };
    if list.is_empty() {
        faults.push(fault("namespaces", "is an empty list; leave the key out to mean all namespaces"));
    }
    let mut names: Vec<String> = Vec::new();
    for entry in list {
        match entry.as_str() {
            Some(name) if !is_namespace(name) => {
                faults.push(fault("namespaces", &format!("`{name}` can't be the name of a namespace")));
            }
            Some(name) if names.iter().any(|known| known == name) => {
                faults.push(fault("namespaces", &format!("`{name}` is named twice")));
            }
            Some(name) => names.push(name.to_string()),
            None => faults.push(fault("namespaces", &format!("must hold names in quotes, not {entry}"))),
        }
    }
    names
}

/// A label of RFC 1123, as the API server demands of a namespace.
fn is_namespace(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let ends = [name.bytes().next(), name.bytes().last()];
    name.len() <= 63
        && name.bytes().all(|byte| is_plain(byte) || byte == b'-')
        && ends.into_iter().all(|end| end.is_some_and(is_plain))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn parse(value: Value) -> Result<Settings, Vec<SettingFault>> {
        Settings::parse(value.as_object().expect("a table"))
    }

    #[test]
    fn every_fault_is_named_at_once() {
        let faults = parse(json!({"contxt": "a", "context": "", "kubeconfig": 1, "namespaces": ["Shop", "a", "a", 2]}))
            .expect_err("all wrong");
        let keys: Vec<&str> = faults.iter().map(|fault| fault.key.as_str()).collect();
        assert_eq!(keys, ["contxt", "context", "kubeconfig", "namespaces", "namespaces", "namespaces"]);
    }

    #[test]
    fn what_is_right_is_taken_as_it_is() {
        let settings =
            parse(json!({"context": "prod-eu", "kubeconfig": "/a/b", "namespaces": ["shop"]})).expect("right");
        assert_eq!(settings.context.as_deref(), Some("prod-eu"));
        assert_eq!(settings.namespaces, ["shop"]);
        assert_eq!(parse(json!({})).expect("all may be left out"), Settings::default());
        assert!(parse(json!({"namespaces": []})).is_err());
    }
}
