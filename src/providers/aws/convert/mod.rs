//! From AWS's own types to observations. Pure: everything that is needed has been read before.
//!
//! Never guesses an image: what AWS does not say is `None`, and is shown as unknown.

pub(super) mod group;
pub(super) mod launch;
pub(super) mod machine;
pub(super) mod service;
pub(super) mod trail;

use aws_sdk_ec2::primitives::DateTime;
use jiff::Timestamp;

use crate::domain::expectation::ServiceKeys;
use crate::domain::observation::Undoer;
use crate::domain::text::Text;

/// A time of AWS, to the millisecond.
pub(super) fn time(at: &DateTime) -> Option<Timestamp> {
    at.to_millis().ok().and_then(|millis| Timestamp::from_millisecond(millis).ok())
}

/// Key and value of every tag, whatever the service calls its type.
pub(super) type Tags<'a> = Vec<(&'a str, &'a str)>;

/// The value of a tag.
pub(super) fn tag<'a>(tags: &Tags<'a>, key: &str) -> Option<&'a str> {
    tags.iter().find(|(known, _)| *known == key).map(|(_, value)| *value).filter(|value| !value.is_empty())
}

/// The service that a thing belongs to: by its tags, else by its name.
fn service(keys: &ServiceKeys, tags: &Tags<'_>, name: &str) -> Text {
    keys.service_of(|key| tag(tags, key), |_| None, name)
}

/// Who would put back what we change, as far as tags tell.
fn undoers(tags: &Tags<'_>) -> Vec<Undoer> {
    let mut undoers = Vec::new();
    if let Some(stack) = tag(tags, "aws:cloudformation:stack-name") {
        undoers.push(Undoer {
            by: Text::new(&format!("CloudFormation stack {stack}")),
            what: Text::new("puts its own version back"),
            how_fast: Text::new("at the next update of the stack"),
            keeper: None,
        });
    }
    let by_terraform = |(key, value): &(&str, &str)| {
        key.eq_ignore_ascii_case("terraform")
            || (key.to_ascii_lowercase().replace(['-', '_'], "") == "managedby"
                && value.eq_ignore_ascii_case("terraform"))
    };
    if tags.iter().any(by_terraform) {
        undoers.push(Undoer {
            by: Text::new("Terraform"),
            what: Text::new("puts its own version back"),
            how_fast: Text::new("at the next apply"),
            keeper: None,
        });
    }
    undoers
}
