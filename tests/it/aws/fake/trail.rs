//! What CloudTrail answers: events of one name in a span of time, newest first. Real tests of what it says are none: it is late
//! by minutes, and moto has no event history.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::answer::{self, Refusal, Reply, newest_first, page};
use super::request::Request;
use super::world::World;

/// Something that somebody asked AWS for.
#[derive(Clone, Debug)]
pub(crate) struct Trace {
    pub(crate) at: Timestamp,
    /// `UpdateAutoScalingGroup`
    pub(crate) name: String,
    /// What CloudTrail says of it in full.
    pub(crate) record: Value,
}

pub(super) fn lookup(world: &World, request: &Request) -> Reply {
    let asked = request.json();
    let attributes = asked["LookupAttributes"].as_array().map(Vec::as_slice).unwrap_or_default();
    let [attribute] = attributes else {
        let message = "Only one lookup attribute can be specified";
        return Err(Refusal::new("InvalidLookupAttributesException", message));
    };
    let (key, value) = (attribute["AttributeKey"].as_str(), attribute["AttributeValue"].as_str());
    let (Some("EventName"), Some(name)) = (key, value) else {
        return Err(Refusal::new("InvalidLookupAttributesException", "the fake knows events by name alone"));
    };
    let moment = |field: &str| asked[field].as_f64().map(|seconds| seconds as i64);
    let (from, until) = (moment("StartTime").unwrap_or(0), moment("EndTime").unwrap_or(i64::MAX));
    if from > until {
        return Err(Refusal::new("InvalidTimeRangeException", "start is after end"));
    }
    let found = world.trail.iter().filter(|trace| trace.name == name && (from..=until).contains(&trace.at.as_second()));
    let found = found.enumerate().map(|(number, trace)| {
        let event = json!({
            "EventId": format!("e-{number}"), "EventName": trace.name, "EventTime": trace.at.as_second(),
            "ReadOnly": "false", "Username": "anna", "CloudTrailEvent": trace.record.to_string(),
        });
        (newest_first(number), event)
    });
    let mut found: Vec<(String, Value)> = found.collect();
    found.sort_by(|left, right| left.0.cmp(&right.0));
    let size = usize::try_from(asked["MaxResults"].as_u64().unwrap_or(50)).expect("small").min(50);
    let (events, next) = page(found, size, asked["NextToken"].as_str().map(ToString::to_string));
    answer::json(&json!({"Events": events, "NextToken": next}))
}
