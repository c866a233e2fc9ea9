//! What EC2 answers, and who STS says is asking.

use super::answer::{self, Refusal, Reply, Xml, page};
use super::records::{Image, Machine, Tags, Template};
use super::request::Request;
use super::world::World;

pub(super) fn caller(world: &World, request: &Request) -> Reply {
    answer::query(request, |xml| {
        xml.leaf("Arn", format!("arn:aws:iam::{}:user/me", world.account));
        xml.leaf("UserId", "AIDAFAKE");
        xml.leaf("Account", &world.account);
    })
}

pub(super) fn image_metadata(world: &World, request: &Request) -> Reply {
    let (found, token) = machines(world, request)?;
    answer::ec2(request, |xml| {
        xml.items("instanceImageMetadataSet", found, |xml, (id, machine)| {
            machine_fields(xml, id, machine);
            xml.leaf("availabilityZone", &machine.zone);
            xml.leaf("instanceOwnerId", &world.account);
            xml.node("imageMetadata", |xml| {
                xml.leaf("imageId", &machine.image);
                // Of an image that is gone AWS goes on telling what it was.
                if let Some(image) = world.images.get(&machine.image) {
                    image_fields(xml, world, image);
                    xml.leaf("imageAllowed", true);
                }
            });
        });
        xml.maybe("nextToken", token);
    })
}

pub(super) fn instances(world: &World, request: &Request) -> Reply {
    let (found, token) = machines(world, request)?;
    answer::ec2(request, |xml| {
        xml.items("reservationSet", found, |xml, (id, machine)| {
            xml.leaf("reservationId", id.replacen('i', "r", 1));
            xml.leaf("ownerId", &world.account);
            xml.items("instancesSet", [(id, machine)], |xml, (id, machine)| {
                xml.leaf("imageId", &machine.image);
                machine_fields(xml, id, machine);
                xml.node("placement", |xml| xml.leaf("availabilityZone", &machine.zone));
                xml.leaf("privateIpAddress", "10.0.0.1");
                xml.leaf("subnetId", "subnet-1");
                xml.leaf("vpcId", "vpc-1");
            });
        });
        xml.maybe("nextToken", token);
    })
}

pub(super) fn images(world: &World, request: &Request) -> Reply {
    let ids = request.list("ImageId");
    let is_known = |id: &str| world.images.get(id).is_some_and(|image| image.state != "deregistered");
    if let Some(id) = ids.iter().find(|id| !is_known(id)) {
        let message = format!("The image id '[{id}]' does not exist");
        return Err(Refusal::new("InvalidAMIID.NotFound", message));
    }
    let (disabled, deprecated) = (request.is_true("IncludeDisabled"), request.is_true("IncludeDeprecated"));
    let filters = filters(request, &["image-id"])?;
    let found = world.images.iter().filter(|(id, image)| {
        let is_old = image.deprecated.is_some_and(|moment| moment <= world.now) && image.owner != world.account;
        let is_shown = is_known(id) && (disabled || image.state != "disabled") && (deprecated || !is_old);
        is_shown && (ids.is_empty() || ids.contains(id)) && passes(&filters, "image-id", id)
    });
    answer::ec2(request, |xml| {
        xml.items("imagesSet", found, |xml, (id, image)| {
            xml.leaf("imageId", id);
            image_fields(xml, world, image);
            xml.maybe("sourceImageId", image.source.as_ref());
            xml.leaf("architecture", "x86_64");
            tags(xml, &image.tags);
        });
    })
}

pub(super) fn templates(world: &World, request: &Request) -> Reply {
    let (ids, names) = (request.list("LaunchTemplateId"), request.list("LaunchTemplateName"));
    for id in &ids {
        template_of(world, Some(id), None)?;
    }
    for name in &names {
        template_of(world, None, Some(name))?;
    }
    let all = world.templates.iter().filter(|(id, template)| {
        (ids.is_empty() && names.is_empty()) || ids.contains(id) || names.contains(&template.name)
    });
    let items = all.map(|(id, template)| (id.clone(), (id, template)));
    let (found, token) = page(items, size(request, 1, 200)?, request.param("NextToken"));
    answer::ec2(request, |xml| {
        xml.items("launchTemplates", found, |xml, (id, template)| {
            xml.leaf("launchTemplateId", id);
            xml.leaf("launchTemplateName", &template.name);
            xml.leaf("createTime", template.created);
            xml.leaf("defaultVersionNumber", template.default);
            xml.leaf("latestVersionNumber", template.latest());
            tags(xml, &template.tags);
        });
        xml.maybe("nextToken", token);
    })
}

pub(super) fn versions(world: &World, request: &Request) -> Reply {
    let (id, name) = (request.param("LaunchTemplateId"), request.param("LaunchTemplateName"));
    let wanted = request.list("LaunchTemplateVersion");
    let named: Vec<(&String, &Template)> = if id.is_some() || name.is_some() {
        vec![template_of(world, id.as_deref(), name.as_deref())?]
    } else if wanted.is_empty() || wanted.iter().any(|version| !version.starts_with('$')) {
        let message = "Only $Latest and $Default can be asked of all templates.";
        return Err(Refusal::new("InvalidParameterCombination", message));
    } else {
        world.templates.iter().collect()
    };
    let mut all = Vec::new();
    for (id, template) in named {
        for number in numbers(id, template, &wanted)? {
            all.push((format!("{id} {number:08}"), (id, template, number)));
        }
    }
    let (found, token) = page(all, size(request, 1, 200)?, request.param("NextToken"));
    let resolves = request.is_true("ResolveAlias");
    answer::ec2(request, |xml| {
        xml.items("launchTemplateVersionSet", found, |xml, (id, template, number)| {
            xml.leaf("launchTemplateId", id);
            xml.leaf("launchTemplateName", &template.name);
            xml.leaf("versionNumber", number);
            xml.leaf("createTime", template.created);
            xml.leaf("defaultVersion", number == template.default);
            xml.node("launchTemplateData", |xml| {
                let image = template.versions[&number].as_ref();
                xml.maybe("imageId", image.map(|image| if resolves { world.resolved(image) } else { image.clone() }));
                xml.leaf("instanceType", "m5.large");
            });
        });
        xml.maybe("nextToken", token);
    })
}

/// The numbers of the versions that are wanted, each once; all when none is named.
fn numbers(id: &str, template: &Template, wanted: &[String]) -> Result<Vec<u64>, Refusal> {
    if wanted.is_empty() {
        return Ok(template.versions.keys().copied().collect());
    }
    let mut numbers = Vec::new();
    for version in wanted {
        let message = format!("Could not find launch template version {version} for {id}.");
        numbers.push(
            template.number(version).ok_or_else(|| Refusal::new("InvalidLaunchTemplateId.VersionNotFound", message))?,
        );
    }
    numbers.sort_unstable();
    numbers.dedup();
    Ok(numbers)
}

/// A template by its id or its name.
pub(super) fn template_of<'a>(
    world: &'a World,
    id: Option<&str>,
    name: Option<&str>,
) -> Result<(&'a String, &'a Template), Refusal> {
    if let Some(id) = id {
        let message = format!("The specified launch template, with template ID {id}, does not exist.");
        let found = world.templates.get_key_value(id);
        return found.ok_or_else(|| Refusal::new("InvalidLaunchTemplateId.NotFound", message));
    }
    let name = name.unwrap_or_default();
    let message = format!("The specified launch template, with template name {name}, does not exist.");
    let found = world.templates.iter().find(|(_, template)| template.name == name);
    found.ok_or_else(|| Refusal::new("InvalidLaunchTemplateName.NotFoundException", message))
}

type Found<'a> = (Vec<(&'a String, &'a Machine)>, Option<String>);

/// One page of the instances that a request is about.
fn machines<'a>(world: &'a World, request: &Request) -> Result<Found<'a>, Refusal> {
    let (ids, filters) = (request.list("InstanceId"), filters(request, &["instance-id", "instance-state-name"])?);
    if let Some(id) = ids.iter().find(|id| !world.machines.contains_key(*id)) {
        let message = format!("The instance ID '{id}' does not exist");
        return Err(Refusal::new("InvalidInstanceID.NotFound", message));
    }
    if !ids.is_empty() && request.param("MaxResults").is_some() {
        let message = "The parameter instancesSet cannot be used with the parameter maxResults";
        return Err(Refusal::new("InvalidParameterCombination", message));
    }
    let token = request.param("NextToken");
    // From the token on, not past all that came before it: pages of a large fleet cost what they hold.
    let rest = world.machines.range(token.clone().unwrap_or_default()..);
    let found = rest.filter(|(id, machine)| {
        (ids.is_empty() || ids.contains(id))
            && passes(&filters, "instance-id", id)
            && passes(&filters, "instance-state-name", &machine.state)
    });
    let size = size(request, if request.action == "DescribeInstances" { 5 } else { 1 }, 1000)?;
    Ok(page(found.map(|(id, machine)| (id.clone(), (id, machine))), size, token))
}

/// The filters of a request, all of which this fake knows: to pass over one would answer another question.
fn filters(request: &Request, known: &[&str]) -> Result<Vec<(String, Vec<String>)>, Refusal> {
    let filters = request.filters();
    match filters.iter().find(|(name, _)| !known.contains(&name.as_str())) {
        Some((name, _)) => Err(Refusal::new("InvalidParameterValue", format!("The filter '{name}' is invalid"))),
        None => Ok(filters),
    }
}

/// Whether a value is among those that a filter of this name lets through.
fn passes(filters: &[(String, Vec<String>)], name: &str, value: &str) -> bool {
    filters.iter().filter(|(filter, _)| filter == name).all(|(_, values)| values.iter().any(|one| one == value))
}

fn size(request: &Request, least: usize, most: usize) -> Result<usize, Refusal> {
    let Some(text) = request.param("MaxResults") else {
        return Ok(most);
    };
    let message = format!("Value ( {text} ) for parameter maxResults is invalid. Expecting {least} to {most}.");
    let size = text.parse().ok().filter(|size| (least..=most).contains(size));
    size.ok_or_else(|| Refusal::new("InvalidParameterValue", message))
}

fn machine_fields(xml: &mut Xml, id: &str, machine: &Machine) {
    let code = match machine.state.as_str() {
        "pending" => 0,
        "running" => 16,
        "shutting-down" => 32,
        "terminated" => 48,
        "stopping" => 64,
        _ => 80,
    };
    xml.leaf("instanceId", id);
    xml.leaf("instanceType", &machine.kind);
    xml.leaf("launchTime", machine.launched);
    xml.node("instanceState", |xml| {
        xml.leaf("code", code);
        xml.leaf("name", &machine.state);
    });
    tags(xml, &machine.tags);
}

fn image_fields(xml: &mut Xml, world: &World, image: &Image) {
    xml.leaf("name", &image.name);
    xml.leaf("imageOwnerId", &image.owner);
    xml.leaf("imageState", &image.state);
    xml.leaf("creationDate", image.created.strftime("%Y-%m-%dT%H:%M:%S.000Z"));
    xml.maybe("deprecationTime", image.deprecated.map(|moment| moment.strftime("%Y-%m-%dT%H:%M:%S.000Z")));
    xml.leaf("isPublic", image.owner != world.account);
}

fn tags(xml: &mut Xml, tags: &Tags) {
    xml.items("tagSet", tags, |xml, (key, value)| {
        xml.leaf("key", key);
        xml.leaf("value", value);
    });
}
