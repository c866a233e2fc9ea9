//! A template of CloudFormation, as `aws cloudformation get-template` prints it: launch templates, task definitions.
//!
//! Never works a function out (`Ref`, `Fn::Sub`): what is not written there is not known.

use serde_json::Value;

use super::{Found, Said, items, text_at};
use crate::domain::release::Declarer;

pub(super) fn read(document: &Value) -> Option<Said> {
    let body = document.get("TemplateBody").unwrap_or(document);
    let resources = body.get("Resources")?.as_object()?;
    let mut found = Vec::new();
    for (name, resource) in resources {
        let properties = &resource["Properties"];
        match text_at(resource, &["Type"]) {
            Some("AWS::EC2::LaunchTemplate") => {
                let data = &properties["LaunchTemplateData"];
                let service = text_at(properties, &["LaunchTemplateName"]).unwrap_or(name);
                found.extend(text_at(data, &["ImageId"]).filter(|image| image.starts_with("ami-")).map(|image| {
                    Found {
                        service: Some(service_of(properties).unwrap_or(service).to_string()),
                        image: image.to_string(),
                        ..Found::default()
                    }
                }));
            }
            Some("AWS::ECS::TaskDefinition") => {
                let service = text_at(properties, &["Family"]).unwrap_or(name);
                let containers = items(properties, "ContainerDefinitions");
                found.extend(containers.filter_map(|container| {
                    Some(Found {
                        service: Some(service_of(properties).unwrap_or(service).to_string()),
                        image: text_at(container, &["Image"])?.to_string(),
                        container: text_at(container, &["Name"]).map(str::to_string),
                        ..Found::default()
                    })
                }));
            }
            _ => {}
        }
    }
    Some(Said { tool: "CloudFormation", declared_by: Some(Declarer::CloudFormation), made_at: None, found })
}

fn service_of(properties: &Value) -> Option<&str> {
    let is_service = |tag: &&Value| text_at(tag, &["Key"]) == Some("Service");
    items(properties, "Tags").find(is_service).and_then(|tag| text_at(tag, &["Value"]))
}
