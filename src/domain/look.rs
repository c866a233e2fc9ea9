//! The commands of a platform's own tool that look at a thing, for whoever goes on without Rolldeck.
//!
//! Never one that changes something: those belong to the steps of a plan.

use super::id::{WorkloadId, WorkloadKind};
use super::text::Text;

/// Commands with `{namespace}`, `{kind}` and `{name}` where those stand. A provider says them once for its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LookCommands {
    /// Looks at a workload, where no other command is meant for its kind.
    pub workload: Text,
    /// Looks at an instance, where no other command is meant for its workload's kind.
    pub instance: Text,
    /// For kinds that the platform's tool looks at in ways of their own: of the workload, and of its instances.
    pub by_kind: Vec<(WorkloadKind, Text, Text)>,
}

impl LookCommands {
    /// For a workload; `None` where its kind is not known.
    pub fn for_workload(&self, id: &WorkloadId) -> Option<String> {
        let kind = id.kind.as_str().to_lowercase();
        let is_known = id.kind != WorkloadKind::Unknown;
        let command = self.of_kind(id.kind).map_or(&self.workload, |(_, workload, _)| workload);
        is_known.then(|| fill(command, id.namespace.as_deref(), &kind, &id.name))
    }

    /// For an instance of a workload of this kind.
    pub fn for_instance(&self, kind: WorkloadKind, namespace: Option<&str>, name: &str) -> String {
        let command = self.of_kind(kind).map_or(&self.instance, |(_, _, instance)| instance);
        fill(command, namespace, "", name)
    }

    fn of_kind(&self, kind: WorkloadKind) -> Option<&(WorkloadKind, Text, Text)> {
        self.by_kind.iter().find(|(known, ..)| *known == kind)
    }
}

/// A word as a shell takes it literally.
pub fn quoted(word: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._/:@=,+".contains(&byte);
    if !word.is_empty() && word.bytes().all(is_plain) {
        word.to_string()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

/// Fills the places in one go, so that a name that looks like one is left alone.
fn fill(template: &str, namespace: Option<&str>, kind: &str, name: &str) -> String {
    let mut filled = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        let Some((place, behind)) = after.split_once('}') else { break };
        let word = match place {
            "namespace" => quoted(namespace.unwrap_or("default")),
            "kind" => kind.to_string(),
            "name" => quoted(name),
            other => format!("{{{other}}}"),
        };
        filled.push_str(before);
        filled.push_str(&word);
        rest = behind;
    }
    filled.push_str(rest);
    filled
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::id::PlaceId;

    #[test]
    fn names_from_outside_are_one_word_of_a_shell() {
        let commands = LookCommands {
            workload: Text::new("kubectl -n {namespace} get {kind}/{name} -o wide"),
            instance: Text::new("kubectl -n {namespace} describe pod {name}"),
            by_kind: vec![(WorkloadKind::EcsTask, Text::new("aws ecs list {name}"), Text::new("aws ecs task {name}"))],
        };
        let id = |kind, name: &str| WorkloadId {
            place: PlaceId::new("k8s/a"),
            namespace: Some(Text::new("shop")),
            kind,
            name: Text::new(name),
        };
        for (kind, name, expected) in [
            (WorkloadKind::Deployment, "checkout", Some("kubectl -n shop get deployment/checkout -o wide")),
            (WorkloadKind::CronJob, "a;{name}", Some("kubectl -n shop get cronjob/'a;{name}' -o wide")),
            (WorkloadKind::EcsTask, "checkout", Some("aws ecs list checkout")),
            (WorkloadKind::Unknown, "checkout", None),
        ] {
            assert_eq!(commands.for_workload(&id(kind, name)).as_deref(), expected);
        }
        let of_instance = |kind| commands.for_instance(kind, None, "a b");
        assert_eq!(of_instance(WorkloadKind::Pod), "kubectl -n default describe pod 'a b'");
        assert_eq!(of_instance(WorkloadKind::EcsTask), "aws ecs task 'a b'");
    }
}
