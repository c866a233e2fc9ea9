//! From ControllerRevisions to the versions of StatefulSets and DaemonSets.
//!
//! Never takes one that another program keeps for a kind of its own: what is in it is that program's business.

use serde_json::Value;

use super::super::slim::{ControllerRevision, OwnerReference};
use super::{template_of, time};
use crate::domain::id::Uid;
use crate::domain::observation::RevisionSeen;
use crate::domain::text::Text;

/// The version that a ControllerRevision holds; `None` if it is none of a StatefulSet or DaemonSet.
pub(in super::super) fn controller_revision(raw: &ControllerRevision<'_>) -> Option<RevisionSeen> {
    let meta = &raw.metadata;
    let owner = OwnerReference::controller(&meta.owner_references)?;
    if !matches!(owner.kind.as_str(), "StatefulSet" | "DaemonSet") {
        return None;
    }
    let template = template_in(&raw.data)?;
    Some(RevisionSeen {
        uid: Uid::new(meta.uid.as_str()),
        workload: Uid::new(owner.uid.as_str()),
        number: raw.revision.max(0).unsigned_abs(),
        // A version that comes back gets a new number, and its old one is kept nowhere.
        past_numbers: Vec::new(),
        template: template_of(&template),
        created_at: time(meta.creation_timestamp.as_str()),
        cause: meta.annotations.get("kubernetes.io/change-cause").filter(|cause| !cause.is_empty()).map(Text::new),
        left: None,
        deprecated_at: None,
        label: meta.name.filled().map(Text::new),
    })
}

/// The template in the data of a ControllerRevision, without the word that makes a patch of it.
pub(in super::super) fn template_in(data: &Value) -> Option<Value> {
    let mut template = data["spec"]["template"].clone();
    template.as_object_mut()?.remove("$patch");
    Some(template)
}

#[cfg(test)]
mod tests {
    use super::super::hash_of;
    use super::*;
    use serde_json::json;

    fn raw(kind: &str) -> Value {
        json!({"metadata": {"name": "db-77", "uid": "c1", "creationTimestamp": "2026-01-01T00:00:00Z",
                "annotations": {"kubernetes.io/change-cause": "because"},
                "ownerReferences": [{"kind": kind, "name": "db", "uid": "s1", "controller": true}]},
            "revision": 3, "data": {"spec": {"template": {"$patch": "replace", "metadata": {"creationTimestamp": null,
                "labels": {"app": "db"}}, "spec": {"containers": [{"name": "app", "image": "shop/db:v41"}]}}}}})
    }

    fn seen(raw: &Value) -> Option<RevisionSeen> {
        let text = raw.to_string();
        controller_revision(&serde_json::from_str(&text).expect("typed as the API does"))
    }

    #[test]
    fn a_controller_revision_is_a_version_whose_hash_is_that_of_the_template_it_puts_back() {
        let revision = seen(&raw("StatefulSet")).expect("a version");
        assert_eq!((revision.number, revision.workload, revision.label), (3, Uid::new("s1"), Some(Text::new("db-77"))));
        assert_eq!(revision.cause, Some(Text::new("because")));
        let template = json!({"metadata": {"labels": {"app": "db"}},
            "spec": {"containers": [{"name": "app", "image": "shop/db:v41"}]}});
        assert_eq!(revision.template.hash, hash_of(&template));
    }

    #[test]
    fn those_of_other_programs_are_left_alone() {
        assert_eq!(seen(&raw("CloneSet")), None);
        let mut odd = raw("DaemonSet");
        odd["data"] = json!("opaque");
        assert_eq!(seen(&odd), None);
    }
}
