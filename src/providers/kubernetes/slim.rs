//! The few fields of API objects that are looked at, read straight from the bytes: a pod of 12 KB has 200 bytes that count.
//!
//! Never keeps what it does not need, and never fails on a `null`: the API writes one for an empty list.

pub(super) mod rollout;

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_json::value::RawValue;

/// A string that points into the answer where it can. `null` is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Str<'a>(Cow<'a, str>);

/// Labels or annotations in their own order.
#[derive(Debug, Default)]
pub(super) struct Pairs<'a>(Vec<(Str<'a>, Str<'a>)>);

/// A list without its items.
#[derive(Deserialize)]
pub(super) struct Page {
    #[serde(default)]
    pub metadata: PageMeta,
}

/// Where a list stands.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct PageMeta {
    pub resource_version: String,
    #[serde(rename = "continue")]
    pub next: String,
    pub remaining_item_count: Option<u64>,
}

/// One event of a watch.
#[derive(Deserialize)]
pub(super) struct Event<'a> {
    #[serde(rename = "type", borrow)]
    pub kind: Str<'a>,
    #[serde(borrow)]
    pub object: &'a RawValue,
}

/// What a bookmark or an error carries.
#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
pub(super) struct Notice<'a> {
    #[serde(borrow)]
    pub metadata: Meta<'a>,
    pub code: u16,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Meta<'a> {
    #[serde(borrow)]
    pub name: Str<'a>,
    #[serde(borrow)]
    pub namespace: Str<'a>,
    #[serde(borrow)]
    pub uid: Str<'a>,
    #[serde(borrow)]
    pub resource_version: Str<'a>,
    pub generation: Option<i64>,
    #[serde(borrow)]
    pub creation_timestamp: Str<'a>,
    #[serde(borrow)]
    pub deletion_timestamp: Str<'a>,
    #[serde(borrow)]
    pub labels: Pairs<'a>,
    #[serde(borrow, deserialize_with = "or_default")]
    pub owner_references: Vec<OwnerReference<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct OwnerReference<'a> {
    #[serde(borrow)]
    pub kind: Str<'a>,
    #[serde(borrow)]
    pub name: Str<'a>,
    #[serde(borrow)]
    pub uid: Str<'a>,
    pub controller: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Pod<'a> {
    #[serde(borrow)]
    pub metadata: Meta<'a>,
    #[serde(borrow)]
    pub spec: PodSpec<'a>,
    #[serde(borrow)]
    pub status: PodStatus<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct PodSpec<'a> {
    #[serde(borrow)]
    pub node_name: Str<'a>,
    #[serde(borrow, deserialize_with = "or_default")]
    pub containers: Vec<PodContainer<'a>>,
    #[serde(borrow, deserialize_with = "or_default")]
    pub init_containers: Vec<PodContainer<'a>>,
    #[serde(borrow, deserialize_with = "or_default")]
    pub ephemeral_containers: Vec<PodContainer<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct PodContainer<'a> {
    #[serde(borrow)]
    pub name: Str<'a>,
    #[serde(borrow)]
    pub image: Str<'a>,
    #[serde(borrow)]
    pub restart_policy: Str<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct PodStatus<'a> {
    #[serde(borrow)]
    pub phase: Str<'a>,
    #[serde(borrow)]
    pub reason: Str<'a>,
    #[serde(borrow)]
    pub start_time: Str<'a>,
    #[serde(borrow, deserialize_with = "or_default")]
    pub conditions: Vec<Condition<'a>>,
    #[serde(borrow, deserialize_with = "or_default")]
    pub container_statuses: Vec<ContainerStatus<'a>>,
    #[serde(borrow, deserialize_with = "or_default")]
    pub init_container_statuses: Vec<ContainerStatus<'a>>,
    #[serde(borrow, deserialize_with = "or_default")]
    pub ephemeral_container_statuses: Vec<ContainerStatus<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Condition<'a> {
    #[serde(rename = "type", borrow)]
    pub kind: Str<'a>,
    #[serde(borrow)]
    pub status: Str<'a>,
    #[serde(borrow)]
    pub reason: Str<'a>,
    #[serde(borrow)]
    pub message: Str<'a>,
    #[serde(borrow)]
    pub last_update_time: Str<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ContainerStatus<'a> {
    #[serde(borrow)]
    pub name: Str<'a>,
    #[serde(rename = "imageID", borrow)]
    pub image_id: Str<'a>,
    pub restart_count: i64,
    #[serde(borrow)]
    pub state: State<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct State<'a> {
    #[serde(borrow)]
    pub waiting: Option<Why<'a>>,
    #[serde(borrow)]
    pub terminated: Option<Why<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Why<'a> {
    #[serde(borrow)]
    pub reason: Str<'a>,
    pub exit_code: i64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Node<'a> {
    #[serde(borrow)]
    pub metadata: Meta<'a>,
    #[serde(borrow)]
    pub status: NodeStatus<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct NodeStatus<'a> {
    #[serde(borrow)]
    pub node_info: NodeInfo<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct NodeInfo<'a> {
    #[serde(borrow)]
    pub architecture: Str<'a>,
    #[serde(borrow)]
    pub operating_system: Str<'a>,
}

/// Any kind of workload: the fields of all of them, each has some.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Workload<'a> {
    #[serde(borrow)]
    pub metadata: WorkloadMeta<'a>,
    #[serde(borrow)]
    pub spec: WorkloadSpec<'a>,
    #[serde(borrow)]
    pub status: WorkloadStatus<'a>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct WorkloadMeta<'a> {
    #[serde(borrow)]
    pub name: Str<'a>,
    #[serde(borrow)]
    pub namespace: Str<'a>,
    #[serde(borrow)]
    pub uid: Str<'a>,
    #[serde(borrow)]
    pub resource_version: Str<'a>,
    pub generation: Option<i64>,
    #[serde(borrow)]
    pub creation_timestamp: Str<'a>,
    #[serde(borrow)]
    pub labels: Pairs<'a>,
    #[serde(borrow)]
    pub annotations: Pairs<'a>,
    #[serde(borrow, deserialize_with = "or_default")]
    pub owner_references: Vec<OwnerReference<'a>>,
    /// Read only where it is needed: half of an object's bytes.
    #[serde(borrow)]
    pub managed_fields: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct WorkloadSpec<'a> {
    pub replicas: Option<i64>,
    pub paused: Option<bool>,
    pub suspend: Option<bool>,
    pub parallelism: Option<i64>,
    #[serde(borrow)]
    pub template: Option<&'a RawValue>,
    #[serde(borrow)]
    pub job_template: Option<JobTemplate<'a>>,
    pub strategy: Option<StrategySpec>,
    pub update_strategy: Option<StrategySpec>,
    pub ordinals: Option<Ordinals>,
    pub selector: Option<Value>,
}

/// How a StatefulSet numbers its pods.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Ordinals {
    pub start: Option<i64>,
}

/// A version of a StatefulSet or DaemonSet.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct ControllerRevision<'a> {
    #[serde(borrow)]
    pub metadata: WorkloadMeta<'a>,
    /// The patch that puts it back, for those two kinds: nothing but `spec.template`. Other programs keep other things here.
    pub data: Value,
    pub revision: i64,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct JobTemplate<'a> {
    #[serde(borrow)]
    pub spec: JobTemplateSpec<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct JobTemplateSpec<'a> {
    #[serde(borrow)]
    pub template: Option<&'a RawValue>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct StrategySpec {
    #[serde(rename = "type")]
    pub kind: Option<String>,
    pub rolling_update: Option<RollingUpdate>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct RollingUpdate {
    pub max_unavailable: Option<Value>,
    pub max_surge: Option<Value>,
    pub partition: Option<i64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct WorkloadStatus<'a> {
    /// A text in a Rollout.
    #[serde(deserialize_with = "number")]
    pub observed_generation: Option<i64>,
    pub replicas: Option<i64>,
    pub updated_replicas: Option<i64>,
    pub ready_replicas: Option<i64>,
    pub available_replicas: Option<i64>,
    #[serde(borrow)]
    pub current_revision: Str<'a>,
    #[serde(borrow)]
    pub update_revision: Str<'a>,
    pub desired_number_scheduled: Option<i64>,
    pub updated_number_scheduled: Option<i64>,
    pub number_available: Option<i64>,
    pub active: Option<Value>,
    #[serde(borrow, deserialize_with = "or_default")]
    pub conditions: Vec<Condition<'a>>,
}

/// One entry of `metadata.managedFields`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ManagedFields {
    pub manager: String,
    pub operation: String,
    pub subresource: String,
    pub time: Option<String>,
    #[serde(rename = "fieldsV1")]
    pub fields: Value,
}

impl Str<'_> {
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// It, unless it is empty.
    pub(super) fn filled(&self) -> Option<&str> {
        Some(self.as_str()).filter(|text| !text.is_empty())
    }
}

impl Pairs<'_> {
    /// The value of a key.
    pub(super) fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(name, _)| name.as_str() == key).map(|(_, value)| value.as_str())
    }
}

impl<'a> OwnerReference<'a> {
    /// The one that controls.
    pub(super) fn controller<'b>(references: &'b [OwnerReference<'a>]) -> Option<&'b OwnerReference<'a>> {
        references.iter().find(|reference| reference.controller == Some(true))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Str<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Str<'a>, D::Error> {
        struct Borrow<'a>(PhantomData<&'a ()>);
        impl<'de: 'a, 'a> Visitor<'de> for Borrow<'a> {
            type Value = Str<'a>;
            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a string")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Str<'a>, E> {
                Ok(Str(Cow::Borrowed(text)))
            }
            fn visit_str<E>(self, text: &str) -> Result<Str<'a>, E> {
                Ok(Str(Cow::Owned(text.to_string())))
            }
            fn visit_unit<E>(self) -> Result<Str<'a>, E> {
                Ok(Str::default())
            }
        }
        deserializer.deserialize_any(Borrow(PhantomData))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Pairs<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Pairs<'a>, D::Error> {
        struct Entries<'a>(PhantomData<&'a ()>);
        impl<'de: 'a, 'a> Visitor<'de> for Entries<'a> {
            type Value = Pairs<'a>;
            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a map of strings")
            }
            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Pairs<'a>, M::Error> {
                let mut pairs = Vec::with_capacity(8);
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
            fn visit_unit<E>(self) -> Result<Pairs<'a>, E> {
                Ok(Pairs::default())
            }
        }
        deserializer.deserialize_any(Entries(PhantomData))
    }
}

/// A number, or a text that is one.
fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    let value = Option::<Value>::deserialize(deserializer)?;
    Ok(value.and_then(|value| value.as_i64().or_else(|| value.as_str()?.parse().ok())))
}

fn or_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nulls_and_escapes_are_read() {
        let pod: Pod<'_> = serde_json::from_str(
            r#"{"metadata": {"name": "a\u0041", "labels": null, "ownerReferences": null}, "spec": {"containers": null},
                "status": {"phase": null, "conditions": null}, "unknown": [1, {"x": 2}]}"#,
        )
        .expect("a pod");
        assert_eq!(pod.metadata.name.as_str(), "aA");
        assert!(pod.status.phase.filled().is_none() && pod.metadata.labels.get("x").is_none());
    }
}
