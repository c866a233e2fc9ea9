//! What goes back with the image when a whole template does. Pure.
//!
//! Never shows a value that may be a secret: environment variables, commands and annotations are named, not quoted.

use std::collections::BTreeSet;

use serde_json::Value;

use super::convert::is_added_label;
use crate::domain::text::Text;

/// What differs between two templates beside the images, in words, from what is there now to what comes back.
pub(super) fn differences(now: &Value, then: &Value) -> Vec<Text> {
    let mut lines = Vec::new();
    for (list, word) in [("containers", "container"), ("initContainers", "init container")] {
        for name in names(&now["spec"][list], &then["spec"][list]) {
            match (named(&now["spec"][list], &name), named(&then["spec"][list], &name)) {
                (Some(now), Some(then)) => container(&format!("{word} {name}: "), now, then, &mut lines),
                (Some(_), None) => lines.push(format!("{word} {name} removed")),
                (None, Some(_)) => lines.push(format!("{word} {name} added")),
                (None, None) => {}
            }
        }
    }
    list("volume", &now["spec"]["volumes"], &then["spec"]["volumes"], "name", &mut lines);
    map("label ", &now["metadata"]["labels"], &then["metadata"]["labels"], &mut lines);
    map("annotation ", &now["metadata"]["annotations"], &then["metadata"]["annotations"], &mut lines);
    for key in keys(&now["spec"], &then["spec"]) {
        let is_told = ["containers", "initContainers", "volumes"].contains(&key.as_str());
        if !is_told && now["spec"][&key] != then["spec"][&key] {
            lines.push(format!("{key} changed"));
        }
    }
    lines.iter().map(|line| Text::new(line)).collect()
}

fn container(prefix: &str, now: &Value, then: &Value, lines: &mut Vec<String>) {
    for key in keys(now, then) {
        let (before, after) = (&now[&key], &then[&key]);
        if key == "image" || before == after {
            continue;
        }
        match key.as_str() {
            "env" => list(&format!("{prefix}env"), before, after, "name", lines),
            "ports" => ports(prefix, before, after, lines),
            "resources" => resources(prefix, before, after, lines),
            "volumeMounts" => list(&format!("{prefix}mount"), before, after, "mountPath", lines),
            _ => lines.push(format!("{prefix}{key} changed")),
        }
    }
}

fn ports(prefix: &str, now: &Value, then: &Value, lines: &mut Vec<String>) {
    let text = |value: &Value| {
        let ports = value.as_array().into_iter().flatten().map(|port| {
            let protocol = port["protocol"].as_str().unwrap_or("TCP").to_lowercase();
            format!("{}/{protocol}", port["containerPort"])
        });
        let ports: Vec<String> = ports.collect();
        if ports.is_empty() { "none".to_string() } else { ports.join(", ") }
    };
    let (before, after) = (text(now), text(then));
    lines.push(if before == after {
        format!("{prefix}ports changed")
    } else {
        format!("{prefix}ports {before} -> {after}")
    });
}

fn resources(prefix: &str, now: &Value, then: &Value, lines: &mut Vec<String>) {
    for kind in keys(now, then) {
        for key in keys(&now[&kind], &then[&kind]) {
            let (before, after) = (&now[&kind][&key], &then[&kind][&key]);
            if before != after {
                let text = |value: &Value| {
                    value.as_str().map_or_else(
                        || if value.is_null() { "none".to_string() } else { value.to_string() },
                        str::to_string,
                    )
                };
                lines.push(format!("{prefix}{kind} {key} {} -> {}", text(before), text(after)));
            }
        }
    }
}

/// Lists whose entries have a name.
fn list(prefix: &str, now: &Value, then: &Value, key: &str, lines: &mut Vec<String>) {
    let find =
        |list: &Value, name: &str| list.as_array().into_iter().flatten().find(|entry| entry[key] == name).cloned();
    let of = |list: &Value| -> BTreeSet<String> {
        list.as_array().into_iter().flatten().filter_map(|entry| entry[key].as_str().map(str::to_string)).collect()
    };
    for name in of(now).union(&of(then)) {
        let word = match (find(now, name), find(then, name)) {
            (Some(now), Some(then)) if now == then => continue,
            (Some(_), Some(_)) => "changed",
            (Some(_), None) => "removed",
            (None, Some(_) | None) => "added",
        };
        lines.push(format!("{prefix} {name} {word}"));
    }
}

fn map(prefix: &str, now: &Value, then: &Value, lines: &mut Vec<String>) {
    // A restart is no change of what is asked for; other labels are the controller's own.
    let is_noise = |key: &str| key == "kubectl.kubernetes.io/restartedAt" || is_added_label(key);
    for key in keys(now, then).into_iter().filter(|key| !is_noise(key)) {
        let word = match (&now[&key], &then[&key]) {
            (now, then) if now == then => continue,
            (_, Value::Null) => "removed",
            (Value::Null, _) => "added",
            _ => "changed",
        };
        lines.push(format!("{prefix}{key} {word}"));
    }
}

fn keys(now: &Value, then: &Value) -> BTreeSet<String> {
    [now, then].into_iter().filter_map(Value::as_object).flat_map(|map| map.keys().cloned()).collect()
}

fn names(now: &Value, then: &Value) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for entry in [then, now].into_iter().filter_map(Value::as_array).flatten() {
        let name = entry["name"].as_str().unwrap_or_default().to_string();
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

fn named<'a>(list: &'a Value, name: &str) -> Option<&'a Value> {
    list.as_array()?.iter().find(|entry| entry["name"] == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn everything_but_the_image_is_told_and_no_value_shown() {
        let now = json!({
            "metadata": {"labels": {"app": "a", "pod-template-hash": "1"}, "annotations": {"kubectl.kubernetes.io/restartedAt": "x", "note": "s3cret"}},
            "spec": {"containers": [
                {"name": "app", "image": "x:2", "env": [{"name": "TOKEN", "value": "s3cret"}, {"name": "NEW", "value": "s3cret"}],
                 "resources": {"limits": {"cpu": "500m"}}, "ports": [{"containerPort": 80}], "args": ["--password=s3cret"]},
                {"name": "extra", "image": "y"}], "volumes": [{"name": "v"}], "nodeSelector": {"a": "b"}}});
        let then = json!({
            "metadata": {"labels": {"app": "a", "pod-template-hash": "2"}},
            "spec": {"containers": [
                {"name": "app", "image": "x:1", "env": [{"name": "TOKEN", "value": "other"}],
                 "resources": {"limits": {"cpu": "1"}}, "ports": [{"containerPort": 8080}], "args": []}]}});
        let lines = differences(&now, &then);
        let lines: Vec<&str> = lines.iter().map(Text::as_str).collect();
        assert_eq!(
            lines,
            [
                "container app: args changed",
                "container app: env NEW removed",
                "container app: env TOKEN changed",
                "container app: ports 80/tcp -> 8080/tcp",
                "container app: limits cpu 500m -> 1",
                "container extra removed",
                "volume v removed",
                "annotation note removed",
                "nodeSelector changed",
            ]
        );
        assert_eq!(differences(&now, &now), Vec::<Text>::new());
    }
}
