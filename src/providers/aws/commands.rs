//! The `aws` command that would do the same as a step.
//!
//! Never run by this program.

use super::connect::Link;
use serde_json::json;

use super::convert::group::Health;
use super::operate::{checkpoint_delay, checkpoints};
use crate::domain::id::{WorkloadId, WorkloadKind};
use crate::domain::look::{LookCommands, quoted};
use crate::domain::plan::Step;
use crate::domain::text::Text;

/// `--profile` and `--region` as the place has them.
fn command(link: &Link, words: &[&str]) -> Text {
    let mut line = vec!["aws".to_string()];
    line.extend(words.iter().map(|word| quoted(word)));
    for (option, value) in
        [("--profile", &link.profile), ("--region", &link.region), ("--endpoint-url", &link.endpoint_url)]
    {
        if let Some(value) = value {
            line.extend([option.to_string(), quoted(value)]);
        }
    }
    Text::new(&line.join(" "))
}

/// The commands that look at what is there.
pub(super) fn look(link: &Link) -> LookCommands {
    let of = |words: &str| {
        let words: Vec<&str> = words.split(' ').collect();
        // The places to fill are filled, and quoted, when a command is asked for.
        Text::new(&command(link, &words).replace("'{name}'", "{name}").replace("'{namespace}'", "{namespace}"))
    };
    let machine = "ec2 describe-instances --instance-ids {name}";
    let task = "ecs describe-tasks --cluster {namespace} --tasks {name}";
    LookCommands {
        workload: of("autoscaling describe-auto-scaling-groups --auto-scaling-group-names {name}"),
        instance: of(machine),
        by_kind: vec![
            (WorkloadKind::EcsService, of("ecs describe-services --cluster {namespace} --services {name}"), of(task)),
            (WorkloadKind::EcsTask, of("ecs list-tasks --cluster {namespace} --family {name}"), of(task)),
            (WorkloadKind::Machine, of(machine), of(machine)),
        ],
    }
}

/// Starts an instance refresh to a numbered version.
pub(super) fn start_refresh(link: &Link, step: &Step, desired: &str, health: Health) -> Text {
    let mut preferences =
        json!({"MinHealthyPercentage": health.min, "MaxHealthyPercentage": health.max, "SkipMatching": true});
    if let Some(first) = step.first {
        preferences["CheckpointPercentages"] = json!(checkpoints(first));
        preferences["CheckpointDelay"] = json!(checkpoint_delay(first));
    }
    let (id, preferences) = (&step.workload, preferences.to_string());
    command(
        link,
        &[
            "autoscaling",
            "start-instance-refresh",
            "--auto-scaling-group-name",
            &id.name,
            "--desired-configuration",
            desired,
            "--preferences",
            &preferences,
        ],
    )
}

/// Has a running refresh put back what it has replaced.
pub(super) fn rollback_refresh(link: &Link, id: &WorkloadId) -> Text {
    command(link, &["autoscaling", "rollback-instance-refresh", "--auto-scaling-group-name", &id.name])
}

/// Ends a running refresh where it is.
pub(super) fn cancel_refresh(link: &Link, id: &WorkloadId) -> Text {
    command(link, &["autoscaling", "cancel-instance-refresh", "--auto-scaling-group-name", &id.name])
}

/// Has a group replace one machine.
pub(super) fn terminate(link: &Link, machine: &str) -> Text {
    command(
        link,
        &[
            "autoscaling",
            "terminate-instance-in-auto-scaling-group",
            "--instance-id",
            machine,
            "--no-should-decrement-desired-capacity",
        ],
    )
}

/// Deploys a task definition.
pub(super) fn update_service(link: &Link, id: &WorkloadId, definition: &str) -> Text {
    let cluster = id.namespace.as_deref().unwrap_or("default");
    command(
        link,
        &["ecs", "update-service", "--cluster", cluster, "--service", &id.name, "--task-definition", definition],
    )
}

/// Has ECS take a running deployment back.
pub(super) fn take_back(link: &Link, deployment: &str) -> Text {
    command(
        link,
        &["ecs", "stop-service-deployment", "--service-deployment-arn", deployment, "--stop-type", "ROLLBACK"],
    )
}

/// Stops one task; its service starts another.
pub(super) fn stop_task(link: &Link, id: &WorkloadId, task: &str) -> Text {
    let cluster = id.namespace.as_deref().unwrap_or("default");
    command(link, &["ecs", "stop-task", "--cluster", cluster, "--task", task])
}
