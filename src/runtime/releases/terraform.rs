//! A state of Terraform, as `terraform show -json` prints it: launch templates, groups, machines, Kubernetes workloads.
//!
//! Never takes what is planned for what is: only `values` counts.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Found, Said, items, text_at};
use crate::domain::release::Declarer;

/// The labels and tags that name a service, as by default.
const SERVICE: [&str; 3] = ["app.kubernetes.io/name", "app", "Service"];

pub(super) fn read(document: &Value) -> Option<Said> {
    text_at(document, &["terraform_version"])?;
    let mut resources = Vec::new();
    if let Some(root) = document.get("values").and_then(|values| values.get("root_module")) {
        gather(root, &mut resources);
    }
    let of = |kind: &str| -> Vec<&Value> {
        let is_of_kind = |resource: &&&Value| text_at(resource, &["type"]) == Some(kind);
        resources.iter().filter(is_of_kind).copied().collect()
    };
    let templates: BTreeMap<&str, &Value> = of("aws_launch_template")
        .into_iter()
        .filter_map(|resource| Some((text_at(resource, &["values", "id"])?, resource)))
        .collect();
    let mut found = Vec::new();
    let mut grouped: Vec<&str> = Vec::new();
    for group in of("aws_autoscaling_group") {
        let values = &group["values"];
        let used = items(values, "launch_template").find_map(|used| text_at(used, &["id"]));
        let Some((id, template)) = used.and_then(|id| templates.get_key_value(id)) else { continue };
        let Some(image) = text_at(template, &["values", "image_id"]) else { continue };
        grouped.push(id);
        found.push(Found {
            service: tag_of_list(values).or_else(|| text_at(values, &["name"])).map(str::to_string),
            image: image.to_string(),
            region: region(values),
            ..Found::default()
        });
    }
    for template in templates.iter().filter(|(id, _)| !grouped.contains(*id)).map(|(_, template)| template) {
        found.extend(machine(&template["values"], "image_id"));
    }
    for instance in of("aws_instance") {
        found.extend(machine(&instance["values"], "ami"));
    }
    for kind in ["kubernetes_deployment", "kubernetes_stateful_set", "kubernetes_daemonset", "kubernetes_daemon_set"] {
        for resource in of(kind).into_iter().chain(of(&format!("{kind}_v1"))) {
            found.extend(containers(&resource["values"]));
        }
    }
    Some(Said { tool: "Terraform", declared_by: Some(Declarer::Terraform), made_at: None, found })
}

/// The resources of a module and of those in it.
fn gather<'a>(module: &'a Value, resources: &mut Vec<&'a Value>) {
    resources.extend(items(module, "resources").filter(|resource| text_at(resource, &["mode"]) != Some("data")));
    for child in items(module, "child_modules") {
        gather(child, resources);
    }
}

fn machine(values: &Value, key: &str) -> Option<Found> {
    let tags = values.get("tags");
    let service = SERVICE.iter().find_map(|name| text_at(tags?, &[name]));
    Some(Found {
        service: service.or_else(|| text_at(values, &["name"])).map(str::to_string),
        image: text_at(values, &[key])?.to_string(),
        region: region(values),
        ..Found::default()
    })
}

/// A group's tags are a list.
fn tag_of_list(values: &Value) -> Option<&str> {
    let tag = |name: &str| items(values, "tag").find(|tag| text_at(tag, &["key"]) == Some(name));
    SERVICE.iter().find_map(|name| text_at(tag(name)?, &["value"]))
}

/// The region of a resource, from its ARN.
fn region(values: &Value) -> Option<String> {
    text_at(values, &["arn"])?.split(':').nth(3).filter(|region| !region.is_empty()).map(str::to_string)
}

fn containers(values: &Value) -> Vec<Found> {
    let metadata = items(values, "metadata").next();
    let labels = metadata.and_then(|metadata| metadata.get("labels"));
    let service = SERVICE.iter().find_map(|name| text_at(labels?, &[name]));
    let service = service.or_else(|| text_at(metadata?, &["name"]));
    let templates = items(values, "spec").flat_map(|spec| items(spec, "template"));
    let specs = templates.flat_map(|template| items(template, "spec"));
    let containers = specs.flat_map(|spec| items(spec, "container"));
    let found = containers.filter_map(|container| {
        Some(Found {
            service: service.map(str::to_string),
            image: text_at(container, &["image"])?.to_string(),
            container: text_at(container, &["name"]).map(str::to_string),
            ..Found::default()
        })
    });
    found.collect()
}
