//! An Argo Rollout, read with its ReplicaSets and with the Deployment that it refers to: only together they say what it asks for.
//!
//! Never keeps what it read.

use serde_json::Value;

use super::{Present, READ_TIMEOUT, replica_sets};
use crate::domain::expectation::ServiceKeys;
use crate::domain::id::{Uid, WorkloadId, WorkloadKind};
use crate::domain::observation::TemplateHash;
use crate::domain::text::Text;
use crate::providers::kubernetes::client::{Fault, Reads, malformed, understood};
use crate::providers::kubernetes::convert::{self, Kind, POD_HASH, Reference, RolloutVersion};
use crate::providers::kubernetes::requests;
use crate::providers::kubernetes::requests::rollout::Standing;
use crate::providers::kubernetes::slim::{self, Workload};

/// What is known of a Rollout beside what is known of any workload.
pub(in super::super) struct RolloutNow {
    /// Its own template as it stands in it; null where it refers to another's.
    pub own_template: Value,
    /// The Deployment whose template it uses.
    pub referred: Option<Box<Present>>,
    /// Where it stands.
    pub standing: Standing,
    /// Whether its controller has said which ReplicaSet is its new one: then its template is known as the API server completes it.
    pub is_settled: bool,
}

impl RolloutNow {
    /// The generation after a change of the Rollout, or of the Deployment that it refers to, from that object's own.
    pub(in super::super) fn generation_after(&self, present: &Present, changed: Kind, generation: u64) -> u64 {
        let Some(referred) = &self.referred else { return generation };
        let (of_both, of_deployment) = (present.seen.generation, referred.seen.generation);
        match changed {
            Kind::Rollout => generation + of_deployment,
            Kind::Deployment | Kind::ReplicaSet | Kind::StatefulSet | Kind::DaemonSet | Kind::Job | Kind::CronJob => {
                of_both - of_deployment + generation
            }
        }
    }
}

/// Reads one.
pub(super) async fn read(reads: &Reads, keys: &ServiceKeys, id: &WorkloadId) -> Result<Present, Fault> {
    let bytes = reads.get(&requests::workload_path(Kind::Rollout, id), READ_TIMEOUT).await?;
    let raw: Workload<'_> = serde_json::from_slice(&bytes).map_err(|error| malformed(&error))?;
    let own: slim::rollout::Rollout<'_> = serde_json::from_slice(&bytes).map_err(|error| malformed(&error))?;
    let alone = convert::rollout(&raw, &own, keys);
    let referred = match &alone.reference {
        Some(Reference::Deployment(name)) => deployment(reads, keys, id, name).await?,
        Some(Reference::Other(_)) | None => None,
    };
    let selector = match (&raw.spec.selector, &referred) {
        (Some(selector), _) => selector.clone(),
        (None, Some(referred)) => referred.selector.clone(),
        (None, None) => Value::Null,
    };
    let (mut versions, mut templates) = (Vec::new(), Vec::new());
    for mut item in replica_sets(reads, id, &selector).await? {
        let owners = item["metadata"]["ownerReferences"].as_array().into_iter().flatten();
        if !owners.into_iter().any(|owner| owner["uid"] == raw.metadata.uid.as_str()) {
            continue;
        }
        let template = item["spec"]["template"].take();
        versions.push(RolloutVersion {
            uid: Uid::new(item["metadata"]["uid"].as_str().unwrap_or_default()),
            pod_hash: Text::new(item["metadata"]["labels"][POD_HASH].as_str().unwrap_or_default()),
            template: convert::template_of(&template),
        });
        templates.push(template);
    }
    let seen = alone.with(&versions, referred.as_ref().map(|referred| &referred.seen));
    let own_template = understood(raw.spec.template.map(|template| template.get()).unwrap_or("null").as_bytes())?;
    let at = |hash: &TemplateHash| versions.iter().position(|version| version.template.hash == *hash);
    let current = alone.current_of(&versions).filter(|hash| **hash == seen.template.hash).and_then(at);
    let template = match (&referred, current) {
        (Some(referred), _) => referred.template.clone(),
        (None, Some(current)) => templates.swap_remove(current),
        (None, None) => own_template.clone(),
    };
    let analysis = own.status.canary.current_step_analysis_run_status.as_ref();
    let standing = Standing {
        step: own.status.current_step_index,
        is_inconclusive: own.status.controller_pause == Some(true)
            && analysis.is_some_and(|analysis| analysis.status.as_str() == "Inconclusive"),
    };
    let resource_version = raw.metadata.resource_version.as_str().to_string();
    let rollout =
        Some(RolloutNow { own_template, referred: referred.map(Box::new), standing, is_settled: current.is_some() });
    Ok(Present { kind: Kind::Rollout, seen, resource_version, template, selector, rollout })
}

/// What the answer to a change of a Rollout says: its generation, and the hash of its own template.
pub(in super::super) fn answered(bytes: &[u8]) -> Result<(u64, TemplateHash), Fault> {
    let object = understood(bytes)?;
    let generation = object["metadata"]["generation"].as_u64().unwrap_or(0);
    Ok((generation, convert::hash_of(&object["spec"]["template"])))
}

async fn deployment(reads: &Reads, keys: &ServiceKeys, id: &WorkloadId, name: &Text) -> Result<Option<Present>, Fault> {
    let id = WorkloadId { kind: WorkloadKind::Deployment, name: name.clone(), ..id.clone() };
    match reads.get(&requests::workload_path(Kind::Deployment, &id), READ_TIMEOUT).await {
        Ok(bytes) => Present::of(Kind::Deployment, &bytes, keys).map(Some),
        Err(fault) if fault.code() == 404 => Ok(None),
        Err(fault) => Err(fault),
    }
}
