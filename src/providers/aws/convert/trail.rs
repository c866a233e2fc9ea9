//! CloudTrail's events (CloudTrail User Guide, "CloudTrail record contents"; the names of fields are those of each service's API).

use aws_sdk_cloudtrail::types::Event;
use serde_json::Value;

use super::service::last;
use super::time;
use crate::domain::audit::AuditRecord;
use crate::domain::id::WorkloadId;
use crate::domain::text::Text;

/// An event as it is shown, and what it is about.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::providers::aws) struct Told {
    /// As it is shown.
    pub record: AuditRecord,
    /// What it is about.
    pub target: Target,
}

/// What an event is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::providers::aws) enum Target {
    /// An Auto Scaling group.
    Group(String),
    /// A launch template, by id or name, as it was named.
    Template(String),
    /// An ECS service.
    Service {
        /// Its cluster.
        cluster: String,
        /// Its name.
        name: String,
    },
    /// A family of task definitions.
    Family(String),
}

/// By which names events speak of a workload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::providers::aws) struct Names {
    /// The group or service itself.
    own: Target,
    /// Ids and names of the templates that a group uses, or the family of a service.
    uses: Vec<Target>,
}

/// Reads an event; `None` if it can't be read. An event that names nothing that a workload could be is `Ok(None)`.
pub(in crate::providers::aws) fn told(event: &Event) -> Option<Option<Told>> {
    let raw: Value = serde_json::from_str(event.cloud_trail_event()?).ok()?;
    let (at, action) = (time(event.event_time()?)?, event.event_name()?);
    let text = |value: &Value| value.as_str().filter(|text| !text.is_empty()).map(Text::new);
    let identity = &raw["userIdentity"];
    let by =
        text(&identity["arn"]).or_else(|| text(&identity["invokedBy"])).or_else(|| event.username().map(Text::new));
    let refused = text(&raw["errorCode"]).map(|code| match text(&raw["errorMessage"]) {
        Some(message) => Text::new(&format!("{code}: {message}")),
        None => code,
    });
    let Some(target) = target(action, &raw["requestParameters"], &raw["responseElements"]) else { return Some(None) };
    let record = AuditRecord {
        at,
        action: Text::new(action),
        target: target.text(),
        by: by.unwrap_or_else(|| Text::new("nobody that it names")),
        from: text(&raw["sourceIPAddress"]),
        with: text(&raw["userAgent"]),
        refused,
    };
    Some(Some(Told { record, target }))
}

fn target(action: &str, asked: &Value, answered: &Value) -> Option<Target> {
    let named = |value: &Value| value.as_str().filter(|name| !name.is_empty()).map(ToString::to_string);
    let cluster = || asked["cluster"].as_str().map_or("default", last).to_string();
    match action {
        "CreateLaunchTemplateVersion" | "ModifyLaunchTemplate" => {
            let request = &asked[format!("{action}Request")];
            // CloudTrail writes EC2's requests under a name of their own, with large letters; or as they are.
            let named = [&request["LaunchTemplateId"], &request["LaunchTemplateName"]].into_iter().find_map(named);
            named
                .or_else(|| asked["launchTemplateId"].as_str().map(ToString::to_string))
                .or_else(|| asked["launchTemplateName"].as_str().map(ToString::to_string))
                .map(Target::Template)
        }
        "RegisterTaskDefinition" => named(&asked["family"]).map(Target::Family),
        "StopServiceDeployment" => {
            // `arn:aws:ecs:REGION:ACCOUNT:service-deployment/CLUSTER/SERVICE/ID`
            let arn = asked["serviceDeploymentArn"].as_str()?;
            let mut parts = arn.split_once(":service-deployment/")?.1.split('/');
            Some(Target::Service { cluster: parts.next()?.to_string(), name: parts.next()?.to_string() })
        }
        "StopTask" => {
            let group = answered["task"]["group"].as_str()?.strip_prefix("service:")?;
            Some(Target::Service { cluster: cluster(), name: group.to_string() })
        }
        "CreateService" | "UpdateService" | "DeleteService" => {
            let name = asked["service"].as_str().or_else(|| asked["serviceName"].as_str())?;
            Some(Target::Service { cluster: cluster(), name: last(name).to_string() })
        }
        _ => {
            let group = named(&asked["autoScalingGroupName"]);
            group.or_else(|| named(&answered["activity"]["autoScalingGroupName"])).map(Target::Group)
        }
    }
}

impl Target {
    fn text(&self) -> Text {
        Text::new(&match self {
            Target::Group(name) => format!("group {name}"),
            Target::Template(name) => format!("launch template {name}"),
            Target::Service { cluster, name } => format!("service {cluster}/{name}"),
            Target::Family(name) => format!("task definition {name}"),
        })
    }

    /// Whether it is something that workloads use, and none itself.
    pub(in crate::providers::aws) fn is_used(&self) -> bool {
        matches!(self, Target::Template(_) | Target::Family(_))
    }
}

impl Names {
    /// Of a group whose templates go by these names.
    pub(in crate::providers::aws) fn of_group(workload: &WorkloadId, templates: Vec<String>) -> Names {
        let uses = templates.into_iter().map(Target::Template).collect();
        Names { own: Target::Group(workload.name.to_string()), uses }
    }

    /// Of a service with this task definition.
    pub(in crate::providers::aws) fn of_service(workload: &WorkloadId, definition: Option<&str>) -> Names {
        let family = definition.map(last).and_then(|definition| definition.split(':').next());
        let cluster = workload.namespace.as_deref().unwrap_or("default").to_string();
        let uses = family.map(|family| Target::Family(family.to_string())).into_iter().collect();
        Names { own: Target::Service { cluster, name: workload.name.to_string() }, uses }
    }

    /// Whether an event is about the workload, or about what it uses.
    pub(in crate::providers::aws) fn has(&self, target: &Target) -> bool {
        self.own == *target || self.uses.contains(target)
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_cloudtrail::primitives::DateTime;
    use serde_json::json;

    use super::*;
    use crate::domain::id::{PlaceId, WorkloadKind};

    fn event(name: &str, raw: &str) -> Option<Option<Told>> {
        let event = Event::builder().event_name(name).event_time(DateTime::from_secs(1_000));
        told(&event.cloud_trail_event(raw).build())
    }

    fn about(name: &str, asked: Value, answered: Value) -> Option<Target> {
        let raw = json!({"requestParameters": asked, "responseElements": answered}).to_string();
        event(name, &raw).expect("readable").map(|told| told.target)
    }

    fn workload(kind: WorkloadKind, namespace: Option<&str>) -> WorkloadId {
        WorkloadId {
            place: PlaceId::new("aws/here"),
            namespace: namespace.map(Text::new),
            kind,
            name: Text::new("web"),
        }
    }

    #[test]
    fn an_event_says_who_with_what_from_where_and_whether_it_was_refused() {
        let raw = json!({"userIdentity": {"arn": "arn:aws:sts::1:assumed-role/deploy/anna"}, "userAgent": "aws-cli/2.31",
            "sourceIPAddress": "203.0.113.7", "errorCode": "AccessDenied", "errorMessage": "no",
            "requestParameters": {"autoScalingGroupName": "web"}});
        let told = event("UpdateAutoScalingGroup", &raw.to_string()).flatten().expect("about a group");
        assert_eq!(
            told.record.words(),
            "1970-01-01T00:16:40Z UpdateAutoScalingGroup REFUSED (AccessDenied: no) of group web by \
             arn:aws:sts::1:assumed-role/deploy/anna with \"aws-cli/2.31\" from 203.0.113.7"
        );
        let raw = json!({"userIdentity": {"invokedBy": "autoscaling.amazonaws.com"},
            "requestParameters": {"autoScalingGroupName": "web"}});
        let told = event("UpdateAutoScalingGroup", &raw.to_string()).flatten().expect("about a group");
        assert_eq!(told.record.by, "autoscaling.amazonaws.com");
        for broken in ["", "{", "\u{0}"] {
            assert_eq!(event("UpdateAutoScalingGroup", broken), None, "{broken}");
        }
        for foreign in ["[]", "null", "{}", "{\"requestParameters\": 7, \"userIdentity\": []}"] {
            assert_eq!(event("UpdateAutoScalingGroup", foreign), Some(None), "{foreign}");
        }
    }

    #[test]
    fn a_group_is_meant_where_it_is_the_one_that_is_changed() {
        let names = Names::of_group(
            &workload(WorkloadKind::AutoScalingGroup, None),
            vec!["lt-1".to_string(), "template".to_string()],
        );
        let is = |name: &str, asked: Value, answered: Value| {
            about(name, asked, answered).is_some_and(|target| names.has(&target))
        };
        assert!(is("UpdateAutoScalingGroup", json!({"autoScalingGroupName": "web"}), Value::Null));
        let request = json!({"CreateLaunchTemplateVersionRequest": {"LaunchTemplateId": "lt-1"}});
        assert!(is("CreateLaunchTemplateVersion", request, Value::Null));
        assert!(is("ModifyLaunchTemplate", json!({"launchTemplateName": "template"}), Value::Null));
        let answered = json!({"activity": {"autoScalingGroupName": "web"}});
        assert!(is("TerminateInstanceInAutoScalingGroup", json!({"instanceId": "i-1"}), answered));
        let other = json!({"autoScalingGroupName": "web-green", "launchTemplate": {"launchTemplateId": "lt-1"}});
        assert!(!is("UpdateAutoScalingGroup", other, Value::Null), "another group with the same template");
        let request = json!({"CreateLaunchTemplateVersionRequest": {"LaunchTemplateName": "web"}});
        assert!(!is("CreateLaunchTemplateVersion", request, Value::Null), "a template of the group's name");
        assert!(!is("UpdateAutoScalingGroup", Value::Null, Value::Null));
    }

    #[test]
    fn a_service_is_meant_in_its_own_cluster_alone() {
        let definition = "arn:aws:ecs:eu-west-1:1:task-definition/family:7";
        let names = Names::of_service(&workload(WorkloadKind::EcsService, Some("prod")), Some(definition));
        let is = |name: &str, asked: Value, answered: Value| {
            about(name, asked, answered).is_some_and(|target| names.has(&target))
        };
        let arn = "arn:aws:ecs:eu-west-1:1:service/prod/web";
        assert!(is("UpdateService", json!({"cluster": "prod", "service": "web"}), Value::Null));
        let by_arn = json!({"cluster": "arn:aws:ecs:eu-west-1:1:cluster/prod", "service": arn});
        assert!(is("UpdateService", by_arn, Value::Null));
        assert!(is("CreateService", json!({"cluster": "prod", "serviceName": "web"}), Value::Null));
        assert!(!is("UpdateService", json!({"cluster": "test", "service": "web"}), Value::Null));
        assert!(!is("UpdateService", json!({"service": "web"}), Value::Null), "that is the default cluster");
        assert!(!is("UpdateService", json!({"cluster": "prod", "service": "family"}), Value::Null));
        assert!(is("RegisterTaskDefinition", json!({"family": "family"}), Value::Null));
        let labels =
            json!({"family": "other", "containerDefinitions": [{"name": "web", "dockerLabels": {"service": "web"}}]});
        assert!(!is("RegisterTaskDefinition", labels, Value::Null));
        let stopped = |group: &str| json!({"task": {"group": group}});
        assert!(is("StopTask", json!({"cluster": "prod", "task": "t"}), stopped("service:web")));
        assert!(!is("StopTask", json!({"cluster": "prod", "task": "t"}), stopped("family:web")));
        let of = |place: &str| json!({"serviceDeploymentArn": format!("arn:aws:ecs:x:1:service-deployment/{place}/d")});
        assert!(is("StopServiceDeployment", of("prod/web"), Value::Null));
        assert!(!is("StopServiceDeployment", of("test/web"), Value::Null));
    }
}
