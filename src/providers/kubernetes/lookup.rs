//! Single objects, read directly before something is decided about them, with the same conversion as the watch.
//!
//! Never keeps what it read.

use std::time::Duration;

use serde_json::Value;

use super::client::{Fault, Reads, malformed, understood};
use super::convert::{self, Kind, Seen, Surrounding};
use super::requests;
use super::slim::{Pod, Workload};
use crate::domain::expectation::ServiceKeys;
use crate::domain::id::{Uid, WorkloadId};
use crate::domain::observation::{InstanceSeen, TemplateHash, WorkloadSeen};
use crate::domain::plan::Bound;

/// How long one read may take.
pub(super) const READ_TIMEOUT: Duration = Duration::from_secs(15);

/// A Deployment as it is now.
pub(super) struct Present {
    /// In the domain's words.
    pub seen: WorkloadSeen,
    /// The version of this read.
    pub resource_version: String,
    /// Its whole template. Never leaves this provider but in a request to the same cluster.
    pub template: Value,
    selector: Value,
}

/// An earlier version of a Deployment.
pub(super) struct Past {
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
}

impl Present {
    /// From the bytes of a Deployment.
    pub(super) fn of(bytes: &[u8], keys: &ServiceKeys) -> Result<Present, Fault> {
        let raw: Workload<'_> = serde_json::from_slice(bytes).map_err(|error| malformed(&error))?;
        let template = raw.spec.template.map(|template| template.get()).unwrap_or("null");
        let template = understood(template.as_bytes())?;
        let resource_version = raw.metadata.resource_version.as_str().to_string();
        let selector = raw.spec.selector.clone().unwrap_or(Value::Null);
        match convert::workload(Kind::Deployment, &raw, keys) {
            Seen::Workload(seen, _) => Ok(Present { seen: *seen, resource_version, template, selector }),
            Seen::Revision(_) => Err(Fault::misconfigured("a Deployment came as a version of another one")),
        }
    }

    /// The facts that a step is bound to, as they are now.
    pub(super) fn bound(&self) -> Bound {
        Bound::of(&self.seen)
    }
}

/// Reads a Deployment.
pub(super) async fn deployment(reads: &Reads, keys: &ServiceKeys, id: &WorkloadId) -> Result<Present, Fault> {
    Present::of(&reads.get(&requests::deployment_path(id), READ_TIMEOUT).await?, keys)
}

/// Reads the version of a Deployment with that uid; `None` if the cluster no longer has it.
pub(super) async fn revision(
    reads: &Reads,
    id: &WorkloadId,
    present: &Present,
    revision: &Uid,
) -> Result<Option<Past>, Fault> {
    let namespace = requests::namespace(id);
    let selector = requests::label_selector(&present.selector);
    let path = format!("/apis/apps/v1/namespaces/{namespace}/replicasets?labelSelector={selector}");
    let mut list = reads.get_json(&path, READ_TIMEOUT).await?;
    let items = list["items"].as_array_mut().map(std::mem::take).unwrap_or_default();
    let found = items.into_iter().find(|item| item["metadata"]["uid"] == revision.0.as_str());
    Ok(found.map(|mut item| {
        let template = item["spec"]["template"].take();
        Past { hash: convert::hash_of(&template), template }
    }))
}

/// Reads a pod.
pub(super) async fn pod(reads: &Reads, keys: &ServiceKeys, id: &WorkloadId, name: &str) -> Result<PodNow, Fault> {
    let bytes = reads.get(&requests::pod_path(id, name), READ_TIMEOUT).await?;
    let raw: Pod<'_> = serde_json::from_slice(&bytes).map_err(|error| malformed(&error))?;
    let seen = convert::instance(&raw, &Surrounding { keys, platform: None, asked: None });
    let resource_version = raw.metadata.resource_version.as_str().to_string();
    let labels = understood(&bytes)?["metadata"]["labels"].take();
    Ok(PodNow { seen, resource_version, labels })
}
