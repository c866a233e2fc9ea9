//! ECS services: a deployment of an earlier task definition, its stop, one task.
//!
//! Never for a service that CodeDeploy or somebody else drives: those are refused where they are planned.

use aws_sdk_ecs::types::{Service, ServiceDeploymentStatus as Status, StopServiceDeploymentStopType};

use super::{Answer, HandsOn, Tried, accepted, compared, gone, not_sent, refused};
use crate::domain::observation::{Rollout, TemplateHash};
use crate::domain::plan::{Action, Bound, Paused};
use crate::domain::text::Text;
use crate::providers::aws::connect::ask;
use crate::providers::aws::convert::service::{is_stoppable, last};
use crate::providers::aws::convert::time;
use crate::providers::aws::lookup::{self, PresentService};
use crate::providers::aws::read;

/// Whether a deployment is made although nothing changed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Force {
    Yes,
    No,
}

impl HandsOn<'_> {
    async fn service(&self) -> Result<PresentService, Answer> {
        let clients = self.reads.clients().await;
        let present = lookup::service(&clients, &self.order.step.workload).await.map_err(not_sent)?.ok_or_else(gone)?;
        match present.known(self.keys).workload().inoperable {
            Some(why) => Err(refused(&why)),
            None => Ok(present),
        }
    }

    /// To the task definition of the step.
    pub(super) async fn deploy(&self) -> Tried {
        let step = &self.order.step;
        let Action::RestoreRevision { hash, .. } = &step.action else { return Err(refused("it is no way back")) };
        let present = self.service().await?;
        let seen = present.known(self.keys).workload();
        compared(step, &seen)?;
        if let Some(arn) = present.leads_back_to(hash) {
            return self.take_back(arn, seen.generation, hash).await;
        }
        let force = if seen.template.hash == *hash { Force::Yes } else { Force::No };
        self.update(&present.service, hash, force).await
    }

    async fn take_back(&self, deployment: &str, generation: u64, definition: &TemplateHash) -> Tried {
        let request = self.writes.clients().await.ecs.stop_service_deployment().service_deployment_arn(deployment);
        let request = request.stop_type(StopServiceDeploymentStopType::Rollback);
        let sent = ask("ecs:StopServiceDeployment", request.send()).await;
        sent.map_err(|fault| self.sorted(&fault))?;
        let note = Text::new("the running deployment is taken back, to the digests that it left");
        // ECS makes another deployment for the way back, which counts on.
        Ok(accepted(generation + 1, Some(definition.clone()), vec![note]))
    }

    async fn update(&self, service: &Service, definition: &TemplateHash, force: Force) -> Tried {
        let clients = self.writes.clients().await;
        let request = clients.ecs.update_service().cluster(service.cluster_arn().unwrap_or_default());
        let request = request.service(service.service_arn().unwrap_or_default()).task_definition(definition.0.as_str());
        let sent = ask("ecs:UpdateService", request.force_new_deployment(force == Force::Yes).send()).await;
        let answer = sent.map_err(|fault| self.sorted(&fault))?;
        let deployments = answer.service.as_ref().map(|service| service.deployments()).unwrap_or_default();
        let primary = deployments.iter().find(|deployment| deployment.status() == Some("PRIMARY"));
        let began = primary.and_then(|deployment| deployment.created_at()).and_then(time);
        let generation = began.map_or(0, |at| at.as_millisecond().unsigned_abs());
        let id = primary.and_then(|deployment| deployment.id()).unwrap_or_default();
        Ok(accepted(generation, Some(definition.clone()), vec![Text::new(&format!("deployment {id}"))]))
    }

    /// Ends the running deployment where it is. Tasks that were replaced stay.
    pub(super) async fn stop_deployment(&self) -> Tried {
        let step = &self.order.step;
        let present = self.service().await?;
        let seen = present.known(self.keys).workload();
        if let Some(why) = step.why_not_hold(Paused::Paused, &Bound::of(&seen)) {
            return Err(refused(&why));
        }
        let is_going_back =
            |status: Option<&Status>| matches!(status, Some(Status::RollbackRequested | Status::RollbackInProgress));
        if present.deployments.iter().any(|known| is_going_back(known.status())) {
            return Err(refused("it is being taken back, and ECS stops no way back: it goes on to its end"));
        }
        let running = present.deployments.iter().find(|known| known.status().is_some_and(is_stoppable));
        let Some(arn) = running.and_then(|known| known.service_deployment_arn()) else {
            return Err(refused("no deployment runs: it has come to its end"));
        };
        let request = self.writes.clients().await.ecs.stop_service_deployment().service_deployment_arn(arn);
        let request = request.stop_type(StopServiceDeploymentStopType::Abort);
        let sent = ask("ecs:StopServiceDeployment", request.send()).await;
        sent.map_err(|fault| self.sorted(&fault))?;
        let note = Text::new("aborted: what it has replaced stays, and the service has two versions");
        Ok(accepted(seen.generation, Some(seen.template.hash), vec![note]))
    }

    /// A new deployment of where the stopped one went.
    pub(super) async fn deploy_again(&self) -> Tried {
        let step = &self.order.step;
        let present = self.service().await?;
        let seen = present.known(self.keys).workload();
        if let Some(why) = step.why_not_hold(Paused::Running, &Bound::of(&seen)) {
            return Err(refused(&why));
        }
        if seen.rollout != Rollout::Paused {
            return Err(refused("its deployment is not held any more"));
        }
        self.update(&present.service, &seen.template.hash, Force::Yes).await
    }

    /// Stops one task; the service starts another.
    pub(super) async fn stop_task(&self) -> Tried {
        let step = &self.order.step;
        let Action::Evict { instance, name, image, .. } = &step.action else { return Err(refused("it is no task")) };
        let clients = self.reads.clients().await;
        let cluster = step.workload.namespace.as_deref().unwrap_or("default");
        let found = read::tasks(&clients, cluster, vec![instance.0.to_string()]).await.map_err(not_sent)?;
        let present = self.service().await?;
        compared(step, &present.known(self.keys).workload())?;
        let Some(task) = found.first().filter(|task| task.desired_status() == Some("RUNNING")) else {
            return Err(refused(&format!("task {name} is already gone")));
        };
        let mut containers = task.containers().iter();
        let main = containers.find(|container| container.name() == Some(step.from.container.as_str()));
        let digest = main.and_then(|container| container.image_digest());
        if image.as_ref().is_some_and(|image| digest.is_some_and(|digest| digest != image.as_str())) {
            return Err(refused(&format!("task {name} runs another image now; plan again")));
        }
        let reason = format!("rolldeck {} by {}", self.order.operation, self.order.who);
        let request = self.writes.clients().await.ecs.stop_task().cluster(cluster).task(instance.0.as_str());
        let sent = ask("ecs:StopTask", request.reason(reason).send()).await;
        sent.map_err(|fault| self.sorted(&fault))?;
        Ok(accepted(0, None, vec![Text::new(&format!("task {} is stopped", last(&instance.0)))]))
    }
}
