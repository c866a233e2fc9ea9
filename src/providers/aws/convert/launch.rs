//! What a group launches from: a version of a launch template, told the same way however the group names it.
//!
//! Never asks anybody: what `$Latest` stands for has been read before.

use aws_sdk_autoscaling::types::{
    DesiredConfiguration, Instance, LaunchTemplateOverrides, LaunchTemplateSpecification, MixedInstancesPolicy,
};
use sha2::{Digest as _, Sha256};

use crate::domain::observation::TemplateHash;
use crate::domain::text::Text;
use crate::providers::aws::templates::Templates;

/// What a group launches from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::providers::aws) enum Source {
    /// A version of a launch template.
    Template {
        /// Its id.
        id: String,
        /// As the group names it: a number, `$Latest`, `$Default`.
        named: String,
        /// What that stands for now.
        number: Option<i64>,
        /// Hash over instance types that have an image or a template of their own; empty where none has.
        overrides: String,
    },
    /// A launch configuration, which has no versions.
    Configuration(String),
    /// Neither is told.
    Unknown,
}

impl Source {
    /// Whether the same is launched, however it is named.
    pub(in crate::providers::aws) fn is_same(&self, other: &Source) -> bool {
        match (self, other) {
            (
                Source::Template { id, number: Some(number), overrides, .. },
                Source::Template { id: other_id, number: Some(other_number), overrides: other_overrides, .. },
            ) => id == other_id && number == other_number && overrides == other_overrides,
            (mine, theirs) => mine == theirs,
        }
    }
}

/// The hash of what a group launches from.
pub(in crate::providers::aws) fn hash(template: &str, number: i64, overrides: &str) -> TemplateHash {
    TemplateHash(Text::new(&format!("{template}:{number}{overrides}")))
}

/// What a desired configuration launches from.
pub(in crate::providers::aws) fn desired_source(
    desired: &DesiredConfiguration,
    templates: &Templates,
) -> Option<Source> {
    match (desired.launch_template(), desired.mixed_instances_policy()) {
        (Some(spec), _) => Some(source(spec, &[], templates)),
        (None, Some(policy)) => Some(source_of_policy(policy, templates)),
        (None, None) => None,
    }
}

pub(in crate::providers::aws) fn source_of_policy(policy: &MixedInstancesPolicy, templates: &Templates) -> Source {
    let template = policy.launch_template();
    match template.and_then(|template| template.launch_template_specification()) {
        Some(spec) => source(spec, template.map(|template| template.overrides()).unwrap_or_default(), templates),
        None => Source::Unknown,
    }
}

pub(in crate::providers::aws) fn source(
    spec: &LaunchTemplateSpecification,
    overrides: &[LaunchTemplateOverrides],
    templates: &Templates,
) -> Source {
    let Some(id) = spec.launch_template_id() else { return Source::Unknown };
    let named = spec.version().filter(|version| !version.is_empty()).unwrap_or("$Default");
    let known = templates.template(id);
    let number = match named {
        "$Latest" => known.map(|known| known.latest),
        "$Default" => known.map(|known| known.default),
        number => number.parse().ok(),
    };
    Source::Template { id: id.to_string(), named: named.to_string(), number, overrides: overrides_of(overrides) }
}

/// A hash over the overrides that bring an image or a template of their own; types and weights alone change no image.
fn overrides_of(overrides: &[LaunchTemplateOverrides]) -> String {
    let mut own: Vec<String> = overrides
        .iter()
        .filter(|one| one.image_id().is_some() || one.launch_template_specification().is_some())
        .map(|one| {
            let spec = one.launch_template_specification();
            let template = spec.map(|spec| (spec.launch_template_id(), spec.version()));
            format!("{:?} {:?} {template:?}", one.instance_type(), one.image_id())
        })
        .collect();
    if own.is_empty() {
        return String::new();
    }
    own.sort();
    let digest = Sha256::digest(own.join("\n"));
    format!("+{:02x}{:02x}{:02x}{:02x}", digest[0], digest[1], digest[2], digest[3])
}

/// Whether a member was launched from this.
pub(in crate::providers::aws) fn is_of(member: &Instance, source: &Source) -> bool {
    match (source, member.launch_template()) {
        (Source::Template { id, number: Some(number), .. }, Some(spec)) => {
            spec.launch_template_id() == Some(id) && spec.version() == Some(number.to_string().as_str())
        }
        (Source::Configuration(name), _) => member.launch_configuration_name() == Some(name),
        _ => false,
    }
}
