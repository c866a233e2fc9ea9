//! What a pod template says, field by field, by the names that fields have in every kind of place. Pure.
//!
//! Never shows a value that may be a secret: variables, commands, probes and annotations are only compared.

use serde_json::Value;

use super::convert::is_added_label;
use crate::domain::anatomy::{Field, Topic, memory};

/// What the API server writes where nobody has said anything (Kubernetes API reference, `PodSpec`, `Container`).
const DEFAULTS: [(&str, &str); 8] = [
    ("dnsPolicy", "ClusterFirst"),
    ("imagePullPolicy", "IfNotPresent"),
    ("restartPolicy", "Always"),
    ("schedulerName", "default-scheduler"),
    ("securityContext", "{}"),
    ("terminationGracePeriodSeconds", "30"),
    ("terminationMessagePath", "/dev/termination-log"),
    ("terminationMessagePolicy", "File"),
];

/// All of a template. Fields of the container with this name are called without it.
pub(super) fn of_template(template: &Value, main: &str) -> Vec<Field> {
    let mut fields = Vec::new();
    let spec = &template["spec"];
    for (list, word) in [("containers", ""), ("initContainers", "init ")] {
        for container in spec[list].as_array().into_iter().flatten() {
            let name = container["name"].as_str().unwrap_or_default();
            let prefix = if word.is_empty() && name == main { String::new() } else { format!("{word}{name}: ") };
            of_container(container, &prefix, &spec["volumes"], &mut fields);
        }
    }
    for (key, value) in entries(&template["metadata"]["labels"]).filter(|(key, _)| !is_added_label(key)) {
        fields.push(Field::shown(Topic::Label, key, &plain(value)));
    }
    // A restart is no change of what is asked for.
    let annotations = entries(&template["metadata"]["annotations"]);
    for (key, value) in annotations.filter(|(key, _)| *key != "kubectl.kubernetes.io/restartedAt") {
        fields.push(Field::hidden(Topic::Other, &format!("annotation {key}"), &plain(value)));
    }
    // The server's copy of `serviceAccountName` would say the same twice.
    let told = ["containers", "initContainers", "volumes", "serviceAccount"];
    for (key, value) in entries(spec).filter(|(key, value)| !told.contains(key) && !is_default(key, value)) {
        fields.push(other(key, value));
    }
    fields
}

fn of_container(container: &Value, prefix: &str, volumes: &Value, fields: &mut Vec<Field>) {
    let named = |name: &str| format!("{prefix}{name}");
    for (key, value) in entries(container).filter(|(key, value)| !is_default(key, value)) {
        let each = value.as_array().into_iter().flatten();
        match key {
            "name" => {}
            "image" => fields.push(Field::shown(Topic::Image, &named("asked as"), &plain(value))),
            "command" | "args" => {
                let words: Vec<&str> = each.filter_map(Value::as_str).collect();
                fields.push(Field::words(Topic::Command, &named(key), &words));
            }
            "env" => fields.extend(each.map(|one| {
                let name = one["name"].as_str().unwrap_or_default();
                let (literal, source) = (&one["value"], &one["valueFrom"]);
                let value = if source.is_null() { plain(literal) } else { source.to_string() };
                Field::hidden(Topic::Environment, &named(name), &value)
            })),
            "envFrom" => fields.extend(each.map(|one| {
                let of = one["configMapRef"]["name"].as_str().map(|name| format!("all of ConfigMap {name}"));
                let of = of.or_else(|| one["secretRef"]["name"].as_str().map(|name| format!("all of Secret {name}")));
                let prefix =
                    one["prefix"].as_str().map(|prefix| format!("each as {prefix}...")).unwrap_or("set".into());
                Field::shown(Topic::Environment, &named(&of.unwrap_or_else(|| one.to_string())), &prefix)
            })),
            "ports" => fields.extend(each.map(|port| {
                let protocol = port["protocol"].as_str().unwrap_or("TCP").to_lowercase();
                let on_host = &port["hostPort"];
                let open = if on_host.is_null() { "open".to_string() } else { format!("open, {on_host} of its node") };
                Field::shown(Topic::Port, &named(&format!("{}/{protocol}", port["containerPort"])), &open)
            })),
            "resources" => {
                for (kind, word) in [("limits", "limit"), ("requests", "request")] {
                    let amounts = entries(&value[kind]);
                    fields.extend(amounts.map(|(what, amount)| {
                        let amount = if what == "memory" { memory(&plain(amount)) } else { plain(amount) };
                        Field::shown(Topic::Resource, &named(&format!("{what} {word}")), &amount)
                    }));
                }
            }
            "volumeMounts" => fields.extend(each.flat_map(|mount| {
                let path = mount["mountPath"].as_str().unwrap_or_default();
                let source = source_of(volumes, mount);
                // What the words leave out may be what differs.
                let all = format!("{}{mount}", source.map(Value::to_string).unwrap_or_default());
                [
                    Field::shown(Topic::Volume, &named(path), &volume(source, mount)),
                    Field::hidden(Topic::Volume, &named(&format!("{path}: all of it")), &all),
                ]
            })),
            _ => {
                let field = other(key, value);
                fields.push(Field { name: named(&field.name).into(), ..field });
            }
        }
    }
}

fn source_of<'a>(volumes: &'a Value, mount: &Value) -> Option<&'a Value> {
    volumes.as_array().into_iter().flatten().find(|volume| volume["name"] == mount["name"])
}

/// What is mounted: `configMap checkout`, `emptyDir`; with what restricts it.
fn volume(source: Option<&Value>, mount: &Value) -> String {
    let source = source.and_then(|volume| entries(volume).find(|(key, _)| *key != "name"));
    let source = source.map_or("a claim of its own".to_string(), |(kind, of)| {
        let name = ["name", "secretName", "claimName", "path", "driver"].iter().find_map(|key| of[key].as_str());
        name.map_or(kind.to_string(), |name| format!("{kind} {name}"))
    });
    if mount["readOnly"] == true { format!("{source}, read only") } else { source }
}

/// What has no name in other kinds: plain values are shown, what is made of several may hold anything.
fn other(key: &str, value: &Value) -> Field {
    match value {
        Value::Object(_) | Value::Array(_) => Field::hidden(Topic::Other, key, &value.to_string()),
        Value::String(_) | Value::Number(_) | Value::Bool(_) | Value::Null => {
            Field::shown(Topic::Other, key, &plain(value))
        }
    }
}

fn is_default(key: &str, value: &Value) -> bool {
    DEFAULTS.iter().any(|(known, usual)| *known == key && plain(value) == *usual)
}

fn entries(value: &Value) -> impl Iterator<Item = (&str, &Value)> {
    value.as_object().into_iter().flatten().map(|(key, value)| (key.as_str(), value))
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_string)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::anatomy::{Anatomy, Origin, differences};

    #[test]
    fn a_template_is_told_by_names_that_other_kinds_have_too_and_no_secret_is_in_it() {
        let template = json!({
            "metadata": {"labels": {"app": "shop", "pod-template-hash": "5f6"},
                "annotations": {"kubectl.kubernetes.io/restartedAt": "now", "token": "hush1"}},
            "spec": {"restartPolicy": "Always", "serviceAccountName": "shop",
                "volumes": [{"name": "conf", "configMap": {"name": "shop-conf"}}, {"name": "tmp", "emptyDir": {}}],
                "containers": [
                    {"name": "app", "image": "r.example/shop:v42", "command": ["run", "--key=hush2"],
                        "env": [{"name": "TOKEN", "value": "hush3"}, {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}],
                        "envFrom": [{"secretRef": {"name": "all"}}],
                        "ports": [{"containerPort": 8080}], "resources": {"limits": {"memory": "1Gi"}},
                        "volumeMounts": [{"name": "conf", "mountPath": "/etc/shop", "readOnly": true}, {"name": "tmp", "mountPath": "/tmp"},
                            {"name": "data", "mountPath": "/data"}],
                        "livenessProbe": {"httpGet": {"path": "/hush4"}}},
                    {"name": "proxy", "image": "r.example/proxy:1"}]},
        });
        let fields = of_template(&template, "app");
        let told: Vec<String> =
            fields.iter().map(|field| format!("{} {}={}", field.topic.as_str(), field.name, field.value)).collect();
        let told: Vec<&str> = told.iter().map(String::as_str).collect();
        assert_eq!(
            told,
            [
                "command command=set, not shown",
                "environment TOKEN=set, not shown",
                "environment KEY=set, not shown",
                "environment all of Secret all=set",
                "image asked as=r.example/shop:v42",
                "other livenessProbe=set, not shown",
                "port 8080/tcp=open",
                "resource memory limit=1Gi",
                "volume /etc/shop=configMap shop-conf, read only",
                "volume /etc/shop: all of it=set, not shown",
                "volume /tmp=emptyDir",
                "volume /tmp: all of it=set, not shown",
                "volume /data=a claim of its own",
                "volume /data: all of it=set, not shown",
                "image proxy: asked as=r.example/proxy:1",
                "label app=shop",
                "other annotation token=set, not shown",
                "other serviceAccountName=shop",
            ]
        );
        assert!(!format!("{fields:?}").contains("hush"));
    }

    #[test]
    fn whatever_changes_in_a_template_is_no_longer_the_same() {
        let template = json!({"metadata": {"labels": {"app": "shop"}, "annotations": {"a": "b"}}, "spec": {
            "hostNetwork": true, "tolerations": [{"key": "a"}],
            "volumes": [{"name": "csi", "csi": {"driver": "d", "volumeAttributes": {"secretProviderClass": "x"}}},
                {"name": "nfs", "nfs": {"server": "s", "path": "/p"}}],
            "containers": [{"name": "app", "image": "r/shop:1", "command": ["a", "b"], "env": [{"name": "E", "value": "1"}],
                "envFrom": [{"prefix": "P", "configMapRef": {"name": "c"}}], "securityContext": {"runAsUser": 1},
                "ports": [{"containerPort": 80, "hostPort": 81}], "resources": {"limits": {"cpu": "1", "memory": "1Gi"}},
                "volumeMounts": [{"name": "csi", "mountPath": "/c", "subPath": "s"}, {"name": "nfs", "mountPath": "/n"}]}]}});
        let all = |template: &Value| Anatomy::of(Origin::Template, Ok(of_template(template, "app")));
        let mut pointers = Vec::new();
        leaves(&template, String::new(), &mut pointers);
        assert!(pointers.len() > 20);
        for pointer in pointers {
            let mut other = template.clone();
            let leaf = other.pointer_mut(&pointer).expect("it is there");
            *leaf = if leaf.is_string() { json!("another") } else { json!(7) };
            let found = differences(&all(&template), &all(&other));
            assert!(!found.rows.is_empty(), "{pointer}");
        }
    }

    fn leaves(value: &Value, at: String, found: &mut Vec<String>) {
        match value {
            Value::Object(map) => map.iter().for_each(|(key, value)| leaves(value, format!("{at}/{key}"), found)),
            Value::Array(list) => {
                list.iter().enumerate().for_each(|(number, value)| leaves(value, format!("{at}/{number}"), found));
            }
            _ => found.push(at),
        }
    }

    #[test]
    fn garbage_is_a_template_with_nothing_in_it() {
        for template in [json!(null), json!([1]), json!({"spec": {"containers": {"a": 1}, "initContainers": [7]}})] {
            let fields = of_template(&template, "app");
            assert!(fields.iter().all(|field| field.topic != Topic::Image), "{fields:?}");
        }
    }
}
