//! CloudTrail's events (CloudTrail User Guide, "CloudTrail record contents").

use aws_sdk_cloudtrail::types::Event;
use serde_json::Value;

use super::service::last;
use super::time;
use crate::domain::audit::AuditRecord;
use crate::domain::id::WorkloadId;
use crate::domain::text::Text;

/// The fields by which requests and answers name what they are about.
const NAMING: [&str; 9] = [
    "autoScalingGroupName",
    "LaunchTemplateId",
    "LaunchTemplateName",
    "launchTemplateId",
    "launchTemplateName",
    "service",
    "serviceName",
    "family",
    "group",
];

/// An event as it is shown, and all that it says.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::providers::aws) struct Told {
    /// As it is shown.
    pub record: AuditRecord,
    raw: Value,
}

/// By which names events speak of a workload.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::providers::aws) struct Names {
    /// Any of these.
    pub any: Vec<String>,
    /// The cluster, where there are any: two of them may have services of one name.
    pub cluster: Option<String>,
}

/// Reads an event. One that can't be read is none.
pub(in crate::providers::aws) fn told(event: &Event) -> Option<Told> {
    let raw: Value = serde_json::from_str(event.cloud_trail_event()?).ok()?;
    let text = |value: &Value| value.as_str().filter(|text| !text.is_empty()).map(Text::new);
    let identity = &raw["userIdentity"];
    let by =
        text(&identity["arn"]).or_else(|| text(&identity["invokedBy"])).or_else(|| event.username().map(Text::new));
    let refused = text(&raw["errorCode"]).map(|code| match text(&raw["errorMessage"]) {
        Some(message) => Text::new(&format!("{code}: {message}")),
        None => code,
    });
    let record = AuditRecord {
        at: time(event.event_time()?)?,
        action: Text::new(event.event_name()?),
        by: by.unwrap_or_else(|| Text::new("nobody that it names")),
        from: text(&raw["sourceIPAddress"]),
        with: text(&raw["userAgent"]),
        refused,
    };
    Some(Told { record, raw })
}

impl Names {
    /// Of a group whose templates go by these names.
    pub(in crate::providers::aws) fn of_group(workload: &WorkloadId, templates: Vec<String>) -> Names {
        Names { any: [vec![workload.name.to_string()], templates].concat(), cluster: None }
    }

    /// Of a service with this task definition.
    pub(in crate::providers::aws) fn of_service(workload: &WorkloadId, definition: Option<&str>) -> Names {
        let family = definition.map(last).and_then(|definition| definition.split(':').next());
        // A task says the service that it belongs to like this.
        let group = format!("service:{}", workload.name);
        let any = [workload.name.to_string(), group].into_iter().chain(family.map(ToString::to_string));
        let cluster = workload.namespace.as_deref().unwrap_or("default");
        Names { any: any.collect(), cluster: Some(cluster.to_string()) }
    }

    /// Whether what was asked for, or what came of it, names the workload.
    pub(in crate::providers::aws) fn are_in(&self, told: &Told) -> bool {
        let asked = &told.raw["requestParameters"];
        if let Some(own) = &self.cluster {
            if let Some(arn) = asked["serviceDeploymentArn"].as_str() {
                return self.any.iter().any(|name| arn.contains(&format!("/{own}/{name}/")));
            }
            // A task definition belongs to no cluster; all else without one is of the cluster that is the default.
            let named = asked["cluster"].as_str().map(last);
            let named = named.or_else(|| asked["family"].is_null().then_some("default"));
            if named.is_some_and(|named| named != own) {
                return false;
            }
        }
        self.name(asked) || self.name(&told.raw["responseElements"])
    }

    fn name(&self, value: &Value) -> bool {
        match value {
            Value::Object(fields) => fields.iter().any(|(key, value)| match value {
                Value::String(text) => NAMING.contains(&key.as_str()) && self.any.iter().any(|name| name == last(text)),
                value => self.name(value),
            }),
            Value::Array(values) => values.iter().any(|value| self.name(value)),
            Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_cloudtrail::primitives::DateTime;
    use serde_json::json;

    use super::*;
    use crate::domain::id::{PlaceId, WorkloadKind};

    fn event(name: &str, raw: &Value) -> Told {
        let event = Event::builder().event_name(name).event_time(DateTime::from_secs(1_000));
        told(&event.cloud_trail_event(raw.to_string()).build()).expect("readable")
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
            "sourceIPAddress": "203.0.113.7", "errorCode": "AccessDenied", "errorMessage": "no"});
        let words = event("UpdateAutoScalingGroup", &raw).record.words();
        assert_eq!(
            words,
            "UpdateAutoScalingGroup by arn:aws:sts::1:assumed-role/deploy/anna with aws-cli/2.31 from 203.0.113.7, refused: AccessDenied: no"
        );
        let of_service = json!({"userIdentity": {"type": "AWSService", "invokedBy": "autoscaling.amazonaws.com"}});
        assert_eq!(event("StopTask", &of_service).record.words(), "StopTask by autoscaling.amazonaws.com");
        for broken in ["", "{", "[]", "null", "{\"userIdentity\": 7}"] {
            let built = Event::builder().event_name("X").cloud_trail_event(broken).build();
            assert_eq!(told(&built), None, "{broken}: it has no time either");
        }
    }

    #[test]
    fn a_group_is_named_by_itself_and_by_its_template_and_not_by_a_tag() {
        let names = Names::of_group(
            &workload(WorkloadKind::AutoScalingGroup, None),
            vec!["lt-1".to_string(), "template".to_string()],
        );
        let is = |asked: Value, answered: Value| {
            names.are_in(&event("X", &json!({"requestParameters": asked, "responseElements": answered})))
        };
        assert!(is(json!({"autoScalingGroupName": "web"}), Value::Null));
        assert!(is(json!({"CreateLaunchTemplateVersionRequest": {"LaunchTemplateId": "lt-1"}}), Value::Null));
        assert!(is(json!({"ModifyLaunchTemplateRequest": {"LaunchTemplateName": "template"}}), Value::Null));
        assert!(is(json!({"instanceId": "i-1"}), json!({"activity": {"autoScalingGroupName": "web"}})));
        assert!(!is(json!({"autoScalingGroupName": "web-2"}), Value::Null));
        assert!(!is(
            json!({"autoScalingGroupName": "other", "tags": [{"key": "Service", "value": "web"}]}),
            Value::Null
        ));
        assert!(!is(Value::Null, Value::Null));
    }

    #[test]
    fn a_service_is_named_in_its_own_cluster_alone() {
        let definition = "arn:aws:ecs:eu-west-1:1:task-definition/web-family:7";
        let names = Names::of_service(&workload(WorkloadKind::EcsService, Some("prod")), Some(definition));
        let is = |asked: Value, answered: Value| {
            names.are_in(&event("X", &json!({"requestParameters": asked, "responseElements": answered})))
        };
        let arn = "arn:aws:ecs:eu-west-1:1:service/prod/web";
        assert!(is(json!({"cluster": "prod", "service": "web"}), Value::Null));
        assert!(is(json!({"cluster": "arn:aws:ecs:eu-west-1:1:cluster/prod", "service": arn}), Value::Null));
        assert!(!is(json!({"cluster": "test", "service": "web"}), Value::Null));
        assert!(!is(json!({"service": "web"}), Value::Null), "that is the default cluster");
        assert!(is(json!({"family": "web-family"}), Value::Null));
        assert!(!is(json!({"family": "other", "containerDefinitions": [{"name": "web"}]}), Value::Null));
        assert!(is(json!({"cluster": "prod", "task": "t"}), json!({"task": {"group": "service:web"}})));
        let deployment =
            |place: &str| json!({"serviceDeploymentArn": format!("arn:aws:ecs:x:1:service-deployment/{place}/d")});
        assert!(is(deployment("prod/web"), Value::Null) && !is(deployment("test/web"), Value::Null));
    }
}
