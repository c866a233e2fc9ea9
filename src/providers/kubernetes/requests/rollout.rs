//! Bodies for Argo Rollouts, and the commands of its kubectl plugin that would do the same. Pure.
//!
//! Never sends a strategic patch: the API server has none for kinds that are not its own, and a merge patch merges maps. What must
//! be gone is named in it, against the very object that it carries the resource version of.

use serde_json::{Map, Value, json};

use super::{Hold, Holds, Mark, Precondition, kubectl_words, put_hold};
use crate::domain::id::WorkloadId;
use crate::domain::plan::Promotion;
use crate::domain::text::Text;
use crate::providers::kubernetes::convert;

/// Where a Rollout stands, as far as a promotion's body depends on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in super::super) struct Standing {
    /// The step that it is at, from 0.
    pub step: Option<i64>,
    /// Whether an analysis without a result holds it: then that step is left out.
    pub is_inconclusive: bool,
}

/// Puts a whole template in the place of the one that is there.
pub(in super::super) fn replace_template(
    at: &Precondition<'_>,
    mark: &Mark<'_>,
    now: &Value,
    then: &Value,
    release: Option<Holds>,
) -> Value {
    let mut then = then.clone();
    if let Some(labels) = then.pointer_mut("/metadata/labels").and_then(Value::as_object_mut) {
        labels.retain(|key, _| !convert::is_added_label(key));
    }
    let mut body = json!({
        "metadata": {"uid": at.uid, "resourceVersion": at.resource_version, "annotations": mark.annotations()},
        "spec": {"template": merge(now, &then)},
    });
    if let Some(by) = release {
        put_hold(&mut body, Hold::Release, by);
    }
    body
}

/// Aborts what is in flight. The `status` of an object takes no annotation: nothing says later whose it was.
pub(in super::super) fn abort(at: &Precondition<'_>) -> Value {
    status(at, &json!({"abort": true}))
}

/// Lets it go on, as `kubectl argo rollouts promote` and `retry` do.
pub(in super::super) fn promote(at: &Precondition<'_>, promotion: Promotion, standing: Standing) -> Value {
    let patch = match (promotion, standing) {
        (Promotion::Full, _) => json!({"promoteFull": true}),
        (Promotion::Retry, _) => json!({"abort": false}),
        (Promotion::Next, Standing { step: Some(step), is_inconclusive: true }) => {
            json!({"pauseConditions": null, "controllerPause": false, "currentStepIndex": step.saturating_add(1)})
        }
        (Promotion::Next, Standing { .. }) => json!({"pauseConditions": null}),
    };
    status(at, &patch)
}

/// `kubectl argo rollouts undo`, after what lets it go where it is held.
pub(in super::super) fn undo(context: &str, id: &WorkloadId, number: u64, release: Option<Holds>) -> Text {
    let undo = argo(context, id, &["undo", &id.name, &format!("--to-revision={number}")]);
    match release {
        None => undo,
        Some(_) => {
            let patch = json!({"spec": {"paused": null}}).to_string();
            let target = format!("rollout/{}", id.name);
            let resume = kubectl_words(context, id, &["patch", &target, "--type=merge", "-p", &patch]);
            Text::new(&format!("{resume} && {undo}"))
        }
    }
}

/// `kubectl argo rollouts set image`.
pub(in super::super) fn set_image(context: &str, id: &WorkloadId, container: &str, image: &str) -> Text {
    argo(context, id, &["set", "image", &id.name, &format!("{container}={image}")])
}

/// `kubectl argo rollouts abort`.
pub(in super::super) fn kubectl_abort(context: &str, id: &WorkloadId) -> Text {
    argo(context, id, &["abort", &id.name])
}

/// `kubectl argo rollouts promote`, or `retry`.
pub(in super::super) fn kubectl_promote(context: &str, id: &WorkloadId, promotion: Promotion) -> Text {
    match promotion {
        Promotion::Next => argo(context, id, &["promote", &id.name]),
        Promotion::Full => argo(context, id, &["promote", &id.name, "--full"]),
        Promotion::Retry => argo(context, id, &["retry", "rollout", &id.name]),
    }
}

/// A template with another image of one container; `None` if it has no such container.
pub(in super::super) fn with_image(template: &Value, container: &str, image: &str) -> Option<Value> {
    let mut template = template.clone();
    for list in ["containers", "initContainers"] {
        let found = template["spec"][list].as_array_mut().into_iter().flatten();
        if let Some(found) = found.into_iter().find(|found| found["name"] == container) {
            found["image"] = json!(image);
            return Some(template);
        }
    }
    None
}

fn status(at: &Precondition<'_>, patch: &Value) -> Value {
    json!({"metadata": {"uid": at.uid, "resourceVersion": at.resource_version}, "status": patch})
}

/// The merge patch that makes one value of another (RFC 7386): a key that shall go is null in it, lists are replaced whole.
fn merge(now: &Value, then: &Value) -> Value {
    let (Value::Object(before), Value::Object(after)) = (now, then) else { return then.clone() };
    let mut patch = Map::new();
    for key in before.keys().filter(|key| after.get(*key).is_none_or(Value::is_null)) {
        patch.insert(key.clone(), Value::Null);
    }
    for (key, value) in after.iter().filter(|(_, value)| !value.is_null()) {
        match before.get(key) {
            Some(known) if known == value => {}
            Some(known) => drop(patch.insert(key.clone(), merge(known, value))),
            None => drop(patch.insert(key.clone(), value.clone())),
        }
    }
    Value::Object(patch)
}

fn argo(context: &str, id: &WorkloadId, words: &[&str]) -> Text {
    let words: Vec<&str> = ["argo", "rollouts"].into_iter().chain(words.iter().copied()).collect();
    kubectl_words(context, id, &words)
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;

    /// What a server makes of a merge patch (RFC 7386, section 2).
    fn merged(now: &Value, patch: &Value) -> Value {
        let Value::Object(patch) = patch else { return patch.clone() };
        let mut result = now.as_object().cloned().unwrap_or_default();
        for (key, value) in patch {
            match value {
                Value::Null => drop(result.remove(key)),
                value => {
                    let before = result.get(key).cloned().unwrap_or(Value::Null);
                    result.insert(key.clone(), merged(&before, value));
                }
            }
        }
        Value::Object(result)
    }

    #[test]
    fn a_template_replaces_the_other_whole_although_a_merge_patch_merges() {
        let at = Precondition { uid: "u", resource_version: "7" };
        let mark = Mark { operation: "o-1", who: "ada", verb: "rollback", at: Timestamp::UNIX_EPOCH };
        let now = json!({"metadata": {"labels": {"app": "a", "new": "x"}, "annotations": {"note": "x"}},
            "spec": {"containers": [{"name": "app", "image": "x:2", "env": [{"name": "NEW"}]}], "nodeSelector": {"a": "b"}}});
        let then = json!({"metadata": {"creationTimestamp": null, "labels": {"app": "a", "rollouts-pod-template-hash": "77"}},
            "spec": {"containers": [{"name": "app", "image": "x:1"}], "nodeSelector": {"c": "d"}, "restartPolicy": "Always"}});
        let body = replace_template(&at, &mark, &now, &then, Some(Holds::Paused));
        let put = merged(&now, &body["spec"]["template"]);
        assert_eq!(
            put,
            json!({"metadata": {"labels": {"app": "a"}}, "spec": {"containers": [{"name": "app", "image": "x:1"}],
                "nodeSelector": {"c": "d"}, "restartPolicy": "Always"}})
        );
        assert_eq!((&body["metadata"]["uid"], &body["metadata"]["resourceVersion"]), (&json!("u"), &json!("7")));
        assert!(body["spec"].as_object().is_some_and(|spec| spec["paused"].is_null()));
        let body = replace_template(&at, &mark, &now, &now, None);
        assert_eq!(body["spec"], json!({"template": {}}), "nothing to change, nothing said");
    }

    #[test]
    fn a_promotion_leaves_out_the_step_alone_that_has_no_result() {
        let at = Precondition { uid: "u", resource_version: "7" };
        let check = |promotion, standing, expected: Value| {
            assert_eq!(promote(&at, promotion, standing)["status"], expected);
        };
        let paused = Standing { step: Some(1), is_inconclusive: false };
        check(Promotion::Next, paused, json!({"pauseConditions": null}));
        check(
            Promotion::Next,
            Standing { is_inconclusive: true, ..paused },
            json!({"pauseConditions": null, "controllerPause": false, "currentStepIndex": 2}),
        );
        check(Promotion::Full, paused, json!({"promoteFull": true}));
        check(Promotion::Retry, paused, json!({"abort": false}));
    }
}
