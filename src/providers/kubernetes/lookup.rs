//! Single objects, read directly before something is decided about them, with the same conversion as the watch.
//!
//! Never keeps what it read.

pub(super) mod rollout;

use std::time::Duration;

use serde_json::Value;

use super::client::{Fault, Reads, malformed, understood};
use super::convert::{self, Kind, Seen, Surrounding};
use super::requests::{self, Holds};
use super::slim::{Pod, Workload};
use crate::domain::expectation::ServiceKeys;
use crate::domain::id::{Uid, WorkloadId};
use crate::domain::observation::{InstanceSeen, TemplateHash, WorkloadSeen};
use crate::domain::plan::Bound;
use crate::domain::text::{Text, with_article};

/// How long one read may take.
pub(super) const READ_TIMEOUT: Duration = Duration::from_secs(15);

/// A workload as it is now.
pub(super) struct Present {
    /// Of which kind.
    pub kind: Kind,
    /// In the domain's words.
    pub seen: WorkloadSeen,
    /// The version of this read.
    pub resource_version: String,
    /// Its whole template. Never leaves this provider but in a request to the same cluster.
    pub template: Value,
    /// What a Rollout has beside.
    pub rollout: Option<rollout::RolloutNow>,
    selector: Value,
}

/// An earlier version of a workload.
pub(super) struct Past {
    /// The name of the object that holds it.
    pub name: String,
    /// Its template's hash.
    pub hash: TemplateHash,
    /// Its whole template.
    pub template: Value,
}

/// A pod as it is now.
pub(super) struct PodNow {
    /// In the domain's words.
    pub seen: InstanceSeen,
    /// The version of this read.
    pub resource_version: String,
    /// Its labels, for selectors.
    pub labels: Value,
    /// Its volumes.
    pub volumes: Value,
}

impl Present {
    /// From the bytes of a workload.
    pub(super) fn of(kind: Kind, bytes: &[u8], keys: &ServiceKeys) -> Result<Present, Fault> {
        let raw: Workload<'_> = serde_json::from_slice(bytes).map_err(|error| malformed(&error))?;
        let template = kind.template(&raw).map(|template| template.get()).unwrap_or("null");
        let template = understood(template.as_bytes())?;
        let resource_version = raw.metadata.resource_version.as_str().to_string();
        let selector = raw.spec.selector.clone().unwrap_or(Value::Null);
        match convert::workload(kind, &raw, keys) {
            Seen::Workload(seen, _) => {
                Ok(Present { kind, seen: *seen, resource_version, template, selector, rollout: None })
            }
            Seen::Revision(_) => Err(Fault::misconfigured("a workload came as a version of another one")),
        }
    }

    /// How its rollout is held; `None` if it can't be.
    pub(super) fn holds(&self) -> Option<Holds> {
        match self.kind {
            Kind::Deployment | Kind::Rollout => Some(Holds::Paused),
            Kind::StatefulSet => {
                Some(Holds::Partition { own: self.seen.strategy.partition, replicas: self.seen.desired })
            }
            Kind::ReplicaSet | Kind::DaemonSet | Kind::Job | Kind::CronJob => None,
        }
    }

    /// The facts that a step is bound to, as they are now.
    pub(super) fn bound(&self) -> Bound {
        Bound::of(&self.seen)
    }
}

/// Reads a workload.
pub(super) async fn workload(reads: &Reads, keys: &ServiceKeys, id: &WorkloadId) -> Result<Present, Fault> {
    let kind = Kind::operable(id.kind).ok_or_else(|| Fault::misconfigured(&inoperable(id)))?;
    if kind == Kind::Rollout {
        return rollout::read(reads, keys, id).await;
    }
    Present::of(kind, &reads.get(&requests::workload_path(kind, id), READ_TIMEOUT).await?, keys)
}

/// Why nothing is asked about a workload of a kind that no request of ours changes.
pub(super) fn inoperable(id: &WorkloadId) -> Text {
    Text::new(&format!("{} can't be operated by this version", with_article(&id.kind)))
}

/// Reads the version of a workload with that uid; `None` if the cluster no longer has it.
pub(super) async fn revision(
    reads: &Reads,
    id: &WorkloadId,
    present: &Present,
    revision: &Uid,
) -> Result<Option<Past>, Fault> {
    let namespace = requests::namespace(id);
    let selector = requests::label_selector(&present.selector);
    // ReplicaSets and ControllerRevisions carry the labels of the template that they were made for, which a selector has to
    // match. A CronJob has no selector, and its template of Jobs may have had other labels then.
    let list = match present.kind {
        Kind::Deployment | Kind::ReplicaSet | Kind::Rollout => {
            format!("apps/v1/namespaces/{namespace}/replicasets?labelSelector={selector}")
        }
        Kind::StatefulSet | Kind::DaemonSet => {
            format!("apps/v1/namespaces/{namespace}/controllerrevisions?labelSelector={selector}")
        }
        Kind::Job | Kind::CronJob => format!("batch/v1/namespaces/{namespace}/jobs"),
    };
    let path = format!("/apis/{list}");
    let mut list = reads.get_json(&path, READ_TIMEOUT).await?;
    let items = list["items"].as_array_mut().map(std::mem::take).unwrap_or_default();
    let found = items.into_iter().find(|item| item["metadata"]["uid"] == revision.0.as_str());
    let Some(mut item) = found else { return Ok(None) };
    let name = item["metadata"]["name"].as_str().unwrap_or_default().to_string();
    let template = match present.kind {
        Kind::StatefulSet | Kind::DaemonSet => convert::template_in(&item["data"]),
        Kind::Deployment | Kind::ReplicaSet | Kind::Job | Kind::CronJob | Kind::Rollout => {
            Some(item["spec"]["template"].take())
        }
    };
    Ok(template.map(|template| Past { name, hash: convert::hash_of(&template), template }))
}

/// The ReplicaSets that a selector finds.
async fn replica_sets(reads: &Reads, id: &WorkloadId, selector: &Value) -> Result<Vec<Value>, Fault> {
    let (namespace, selector) = (requests::namespace(id), requests::label_selector(selector));
    let path = format!("/apis/apps/v1/namespaces/{namespace}/replicasets?labelSelector={selector}");
    let mut list = reads.get_json(&path, READ_TIMEOUT).await?;
    Ok(list["items"].as_array_mut().map(std::mem::take).unwrap_or_default())
}

/// Reads a pod.
pub(super) async fn pod(reads: &Reads, keys: &ServiceKeys, id: &WorkloadId, name: &str) -> Result<PodNow, Fault> {
    let bytes = reads.get(&requests::pod_path(id, name), READ_TIMEOUT).await?;
    let raw: Pod<'_> = serde_json::from_slice(&bytes).map_err(|error| malformed(&error))?;
    let seen = convert::instance(&raw, &Surrounding { keys, platform: None, asked: None });
    let resource_version = raw.metadata.resource_version.as_str().to_string();
    let mut whole = understood(&bytes)?;
    let (labels, volumes) = (whole["metadata"]["labels"].take(), whole["spec"]["volumes"].take());
    Ok(PodNow { seen, resource_version, labels, volumes })
}
