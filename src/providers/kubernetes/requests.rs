//! Paths and bodies of requests, and the kubectl commands that would do the same. Pure.
//!
//! Never builds a body without the uid and the resource version that it was decided on.

pub(super) mod rollout;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::convert::{self, HELD_PARTITION, Kind};
use crate::domain::id::WorkloadId;
use crate::domain::look::{LookCommands, quoted};
use crate::domain::observation::Strategy;
use crate::domain::text::Text;

/// The object as it was when a request was decided on.
pub(super) struct Precondition<'a> {
    /// Its incarnation.
    pub uid: &'a str,
    /// Its version.
    pub resource_version: &'a str,
}

/// What a request leaves on the object, so that it is known later whose it was.
pub(super) struct Mark<'a> {
    /// The operation.
    pub operation: &'a str,
    /// Who started it.
    pub who: &'a str,
    /// What for.
    pub verb: &'a str,
    /// Now.
    pub at: Timestamp,
}

/// Whether a rollout is held or let go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hold {
    /// It is held where it is.
    Pause,
    /// No longer.
    Release,
}

/// By what a rollout is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holds {
    /// `spec.paused`.
    Paused,
    /// A StatefulSet's partition above all of its instances.
    Partition {
        /// The one that it has by its owner's will, given back in the end.
        own: u32,
        /// How many instances it should have.
        replicas: u32,
    },
}

/// The path of a workload.
pub(super) fn workload_path(kind: Kind, id: &WorkloadId) -> String {
    let (group, version) = (kind.group(), kind.version());
    format!("/apis/{group}/{version}/namespaces/{}/{}/{}", namespace(id), kind.resource(), escaped(&id.name))
}

/// The path of a pod.
pub(super) fn pod_path(id: &WorkloadId, name: &str) -> String {
    format!("/api/v1/namespaces/{}/pods/{}", namespace(id), escaped(name))
}

/// The namespace as part of a path.
pub(super) fn namespace(id: &WorkloadId) -> String {
    escaped(id.namespace.as_deref().unwrap_or("default"))
}

/// Puts a whole earlier template back (reference section 4).
pub(super) fn restore(
    kind: Kind,
    at: &Precondition<'_>,
    mark: &Mark<'_>,
    template: &Value,
    release: Option<Holds>,
) -> Value {
    let mut template = template.clone();
    if let Some(labels) = template.pointer_mut("/metadata/labels").and_then(Value::as_object_mut) {
        // The controller's own; with them a Deployment would make another ReplicaSet, and a CronJob no Job at all.
        labels.retain(|key, _| !convert::is_added_label(key));
    }
    template["$patch"] = json!("replace");
    rolled(kind, at, mark, template, release)
}

/// Changes the image of one container alone. `list` is `containers` or `initContainers`.
pub(super) fn set_image(
    kind: Kind,
    at: &Precondition<'_>,
    mark: &Mark<'_>,
    (list, container, image): (&str, &str, &str),
    release: Option<Holds>,
) -> Value {
    let template = json!({"spec": {list: [{"name": container, "image": image}]}});
    rolled(kind, at, mark, template, release)
}

/// Holds a rollout, or lets it go.
pub(super) fn hold(at: &Precondition<'_>, mark: &Mark<'_>, hold: Hold, by: Holds) -> Value {
    let mut body = json!({
        "metadata": {"uid": at.uid, "resourceVersion": at.resource_version,
            "annotations": {"rolldeck.dev/operation": mark.operation_note()}},
        "spec": {},
    });
    put_hold(&mut body, hold, by);
    body
}

/// Has a workload replace at another pace.
pub(super) fn pace(kind: Kind, at: &Precondition<'_>, mark: &Mark<'_>, strategy: &Strategy) -> Value {
    json!({
        "metadata": {"uid": at.uid, "resourceVersion": at.resource_version,
            "annotations": {"rolldeck.dev/operation": mark.operation_note()}},
        "spec": spec_of_pace(kind, strategy),
    })
}

fn spec_of_pace(kind: Kind, strategy: &Strategy) -> Value {
    // A number or a percentage, as the API tells them apart.
    let value = |text: &Option<Text>| match text {
        Some(text) => text.parse::<u32>().map_or_else(|_| json!(text.as_str()), |number| json!(number)),
        None => Value::Null,
    };
    let rolling = json!({"maxUnavailable": value(&strategy.max_unavailable), "maxSurge": value(&strategy.max_surge)});
    let field = if kind == Kind::Deployment { "strategy" } else { "updateStrategy" };
    json!({field: {"rollingUpdate": rolling}})
}

/// The command that would do the same.
pub(super) fn kubectl_pace(context: &str, id: &WorkloadId, kind: Kind, strategy: &Strategy) -> Text {
    let body = json!({"spec": spec_of_pace(kind, strategy)});
    kubectl_words(context, id, &["patch", &target(id), "-p", &body.to_string()])
}

/// Takes one pod away (reference section 5).
pub(super) fn eviction(at: &Precondition<'_>, id: &WorkloadId, pod: &str) -> Value {
    json!({
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": pod, "namespace": id.namespace},
        "deleteOptions": {"preconditions": {"uid": at.uid, "resourceVersion": at.resource_version}},
    })
}

/// The commands that look at a workload and at a pod.
pub(super) fn look(context: &str) -> LookCommands {
    let kubectl = format!("kubectl --context {} -n {{namespace}}", quoted(context));
    LookCommands {
        workload: Text::new(&format!("{kubectl} get {{kind}}/{{name}} -o wide")),
        instance: Text::new(&format!("{kubectl} describe pod {{name}}")),
        by_kind: Vec::new(),
    }
}

/// `kubectl rollout undo`, after what lets it go where it is held: kubectl undoes nothing that is paused.
pub(super) fn kubectl_undo(context: &str, id: &WorkloadId, number: u64, release: Option<Holds>) -> Text {
    let target = target(id);
    let undo = kubectl_words(context, id, &["rollout", "undo", &target, &format!("--to-revision={number}")]);
    let first = match release {
        None => return undo,
        Some(Holds::Paused) => kubectl_words(context, id, &["rollout", "resume", &target]),
        Some(Holds::Partition { own, .. }) => {
            let patch = json!({"metadata": {"annotations": {HELD_PARTITION: null}},
                "spec": {"updateStrategy": {"rollingUpdate": {"partition": own}}}});
            kubectl_words(context, id, &["patch", &target, "--type=merge", "-p", &patch.to_string()])
        }
    };
    Text::new(&format!("{first} && {undo}"))
}

/// kubectl undoes no CronJob: this takes the template over from the Job that holds it, without what that one's controller has
/// added to its labels. The template itself is not part of the command: what is in it may be secret.
pub(super) fn kubectl_template_of_job(context: &str, id: &WorkloadId, job: &str, template: &Value) -> Text {
    const PATH: &str = "/spec/jobTemplate/spec/template";
    let read = kubectl_words(context, id, &["get", &format!("job/{job}"), "-o", "jsonpath={.spec.template}"]);
    let patch = kubectl_words(context, id, &["patch", &target(id), "--type=json", "-p"]);
    let labels = template["metadata"]["labels"].as_object().into_iter().flatten();
    let added = labels.map(|(key, _)| key.as_str()).filter(|key| convert::is_added_label(key));
    let removed: String = added
        .map(|key| json!({"op": "remove", "path": format!("{PATH}/metadata/labels/{}", key.replace('/', "~1"))}))
        .map(|operation| format!(",{operation}"))
        .collect();
    let put = format!("[{{\"op\":\"replace\",\"path\":\"{PATH}\",\"value\":'\"$({read})\"'}}{removed}]");
    Text::new(&format!("{patch} '{put}'"))
}

/// `kubectl set image`.
pub(super) fn kubectl_set_image(context: &str, id: &WorkloadId, container: &str, image: &str) -> Text {
    let target = target(id);
    kubectl_words(context, id, &["set", "image", &target, &format!("{container}={image}")])
}

/// kubectl has no eviction of one pod; this is the same request.
pub(super) fn kubectl_evict(context: &str, id: &WorkloadId, pod: &str) -> Text {
    let body =
        json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod, "namespace": id.namespace}});
    let path = format!("{}/eviction", pod_path(id, pod));
    let command = format!(
        "echo {} | kubectl --context {} create --raw {} -f -",
        quoted(&body.to_string()),
        quoted(context),
        quoted(&path)
    );
    Text::new(&command)
}

/// A part of a path or query, with what has a meaning there escaped (RFC 3986).
pub(super) fn escaped(raw: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    raw.bytes().map(|byte| if is_plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

/// A `labelSelector` of an object as a list request takes it.
pub(super) fn label_selector(selector: &Value) -> String {
    let labels = selector["matchLabels"].as_object().into_iter().flatten();
    let mut parts: Vec<String> =
        labels.map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default())).collect();
    for expression in selector["matchExpressions"].as_array().into_iter().flatten() {
        let key = expression["key"].as_str().unwrap_or_default();
        let values: Vec<&str> =
            expression["values"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let values = values.join(",");
        match expression["operator"].as_str() {
            Some("In") => parts.push(format!("{key} in ({values})")),
            Some("NotIn") => parts.push(format!("{key} notin ({values})")),
            Some("Exists") => parts.push(key.to_string()),
            Some("DoesNotExist") => parts.push(format!("!{key}")),
            Some(_) | None => {}
        }
    }
    escaped(&parts.join(","))
}

impl Mark<'_> {
    /// What a change of a template leaves on the object.
    fn annotations(&self) -> Value {
        json!({
            "kubernetes.io/change-cause": format!("rolldeck: {} {} {}", self.who, self.operation, self.verb),
            "rolldeck.dev/operation": self.operation_note(),
        })
    }

    /// What is written on the object.
    pub(super) fn operation_note(&self) -> String {
        // Whole words: who reads it takes the first one.
        format!("{} {} {}", self.operation, self.who.replace(' ', "_"), self.at)
    }
}

fn rolled(kind: Kind, at: &Precondition<'_>, mark: &Mark<'_>, template: Value, release: Option<Holds>) -> Value {
    let spec = match kind {
        Kind::CronJob => json!({"jobTemplate": {"spec": {"template": template}}}),
        Kind::Deployment | Kind::ReplicaSet | Kind::StatefulSet | Kind::DaemonSet | Kind::Job | Kind::Rollout => {
            json!({"template": template})
        }
    };
    let mut body = json!({
        "metadata": {"uid": at.uid, "resourceVersion": at.resource_version, "annotations": mark.annotations()},
        "spec": spec,
    });
    if let Some(by) = release {
        // In the same request: a template put back on what is held is accepted and does nothing.
        put_hold(&mut body, Hold::Release, by);
    }
    body
}

fn put_hold(body: &mut Value, hold: Hold, by: Holds) {
    match (by, hold) {
        (Holds::Paused, Hold::Pause) => body["spec"]["paused"] = json!(true),
        (Holds::Paused, Hold::Release) => body["spec"]["paused"] = Value::Null,
        (Holds::Partition { own, replicas }, Hold::Pause) => {
            // Above its own in any case: that is how it is known to be held.
            let partition = replicas.max(own.saturating_add(1));
            body["spec"]["updateStrategy"] = json!({"rollingUpdate": {"partition": partition}});
            body["metadata"]["annotations"][HELD_PARTITION] = json!(own.to_string());
        }
        (Holds::Partition { own, .. }, Hold::Release) => {
            body["spec"]["updateStrategy"] = json!({"rollingUpdate": {"partition": own}});
            body["metadata"]["annotations"][HELD_PARTITION] = Value::Null;
        }
    }
}

/// What kubectl calls a workload: `statefulset/db`.
fn target(id: &WorkloadId) -> String {
    format!("{}/{}", id.kind.as_str().to_lowercase(), id.name)
}

fn kubectl_words(context: &str, id: &WorkloadId, rest: &[&str]) -> Text {
    kubectl_in(context, id.namespace.as_deref().unwrap_or("default"), rest)
}

/// A command in a namespace.
pub(super) fn kubectl_in(context: &str, namespace: &str, rest: &[&str]) -> Text {
    let words = ["kubectl", "--context", context, "-n", namespace].into_iter().chain(rest.iter().copied());
    Text::new(&words.map(quoted).collect::<Vec<_>>().join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::id::{PlaceId, WorkloadKind};

    fn id() -> WorkloadId {
        let namespace = Some(Text::new("shop"));
        WorkloadId {
            place: PlaceId::new("k8s/eu"),
            namespace,
            kind: WorkloadKind::Deployment,
            name: Text::new("checkout"),
        }
    }

    #[test]
    fn commands_are_quoted_for_a_shell() {
        assert_eq!(
            kubectl_undo("it's eu", &id(), 3, None),
            "kubectl --context 'it'\\''s eu' -n shop rollout undo deployment/checkout --to-revision=3"
        );
        assert_eq!(
            kubectl_set_image("eu", &id(), "app", "shop/checkout:v41"),
            "kubectl --context eu -n shop set image deployment/checkout app=shop/checkout:v41"
        );
        assert!(
            kubectl_evict("eu", &id(), "checkout-1")
                .contains("create --raw /api/v1/namespaces/shop/pods/checkout-1/eviction")
        );
    }

    #[test]
    fn the_template_goes_back_whole_and_without_the_controllers_label() {
        let at = Precondition { uid: "u", resource_version: "7" };
        let mark = Mark { operation: "o-1", who: "ada lovelace@desk", verb: "rollback", at: Timestamp::UNIX_EPOCH };
        let template =
            json!({"metadata": {"labels": {"app": "a", "pod-template-hash": "77"}}, "spec": {"containers": []}});
        let body = restore(Kind::Deployment, &at, &mark, &template, Some(Holds::Paused));
        assert_eq!(
            body["spec"]["template"],
            json!({"$patch": "replace", "metadata": {"labels": {"app": "a"}}, "spec": {"containers": []}})
        );
        assert_eq!(body["metadata"]["uid"], "u");
        assert_eq!(
            body["metadata"]["annotations"]["rolldeck.dev/operation"],
            "o-1 ada_lovelace@desk 1970-01-01T00:00:00Z"
        );
        assert!(body["spec"].as_object().is_some_and(|spec| spec.contains_key("paused")));
        let body = restore(Kind::Deployment, &at, &mark, &template, None);
        assert!(body["spec"].as_object().is_some_and(|spec| !spec.contains_key("paused")));
        let of_a_job = json!({"metadata": {"labels": {"app": "a", "batch.kubernetes.io/job-name": "a-1"}}});
        let body = restore(Kind::CronJob, &at, &mark, &of_a_job, None);
        let put = json!({"$patch": "replace", "metadata": {"labels": {"app": "a"}}});
        assert_eq!(body["spec"], json!({"jobTemplate": {"spec": {"template": put}}}));
    }

    #[test]
    fn the_template_of_a_job_is_read_by_the_command_and_not_part_of_it() {
        let id = WorkloadId { kind: WorkloadKind::CronJob, ..id() };
        let template = json!({"metadata": {"labels": {"app": "a", "batch.kubernetes.io/job-name": "a-1"}},
            "spec": {"containers": [{"env": [{"name": "TOKEN", "value": "s3cret"}]}]}});
        assert_eq!(
            kubectl_template_of_job("eu", &id, "checkout-1", &template),
            concat!(
                "kubectl --context eu -n shop patch cronjob/checkout --type=json -p ",
                r#"'[{"op":"replace","path":"/spec/jobTemplate/spec/template","value":'"#,
                r#""$(kubectl --context eu -n shop get job/checkout-1 -o 'jsonpath={.spec.template}')""#,
                r#"'},{"op":"remove","path":"/spec/jobTemplate/spec/template/metadata/labels/"#,
                r#"batch.kubernetes.io~1job-name"}]'"#
            )
        );
    }

    #[test]
    fn a_stateful_set_is_held_by_its_partition_and_gets_its_own_back() {
        let at = Precondition { uid: "u", resource_version: "7" };
        let mark = Mark { operation: "o-1", who: "ada", verb: "pause", at: Timestamp::UNIX_EPOCH };
        let check = |own: u32, partition: u32| {
            let by = Holds::Partition { own, replicas: 3 };
            let body = hold(&at, &mark, Hold::Pause, by);
            assert_eq!(body["spec"], json!({"updateStrategy": {"rollingUpdate": {"partition": partition}}}));
            assert_eq!(body["metadata"]["annotations"][HELD_PARTITION], own.to_string());
            let body = hold(&at, &mark, Hold::Release, by);
            assert_eq!(body["spec"], json!({"updateStrategy": {"rollingUpdate": {"partition": own}}}));
            assert!(body["metadata"]["annotations"].as_object().is_some_and(|notes| notes[HELD_PARTITION].is_null()));
        };
        check(0, 3);
        check(2, 3);
        check(5, 6);
    }

    #[test]
    fn selectors_are_written_as_a_list_request_takes_them() {
        let selector = json!({"matchLabels": {"app": "a"}, "matchExpressions": [
            {"key": "tier", "operator": "In", "values": ["x", "y"]}, {"key": "old", "operator": "DoesNotExist"}]});
        assert_eq!(label_selector(&selector), escaped("app=a,tier in (x,y),!old"));
    }
}
