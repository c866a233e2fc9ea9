//! What a version of a launch template, its machine image, or a task definition says, field by field, by the names that fields
//! have in every kind of place.
//!
//! Never shows a value that may be a secret: user data, variables and commands are only compared.

use aws_sdk_ec2::types::{BlockDeviceMapping, Image, LaunchTemplateVersion, ResponseLaunchTemplateData};
use aws_sdk_ecs::types::{ContainerDefinition, TaskDefinition};

use super::connect::{Clients, Reads};
use super::convert::launch::Source;
use super::fault::Fault;
use super::lookup;
use super::read;
use super::templates;
use crate::domain::anatomy::{Anatomy, Field, Held, Origin, Specimen, Topic, memory};
use crate::domain::expectation::ServiceKeys;
use crate::domain::id::WorkloadKind;
use crate::domain::image::ImageId;
use crate::domain::text::{Text, with_article};

/// Takes a version apart.
pub(super) async fn of(reads: &Reads, keys: &ServiceKeys, specimen: &Specimen) -> Anatomy {
    let clients = reads.clients().await;
    let found = match specimen.workload.kind {
        WorkloadKind::AutoScalingGroup => return of_group(&clients, keys, specimen).await,
        WorkloadKind::EcsService => of_service(&clients, specimen).await,
        kind => return Anatomy::not_asked(&format!("{} is not taken apart by this version", with_article(&kind))),
    };
    known(Origin::Template, found, "AWS has its task definition no more")
}

fn known(origin: Origin, found: Result<Option<Vec<Field>>, Fault>, gone: &str) -> Anatomy {
    let fields = found.map_err(|fault| Text::new(&fault.to_string()));
    Anatomy::of(origin, fields.and_then(|fields| fields.ok_or_else(|| Text::new(gone))))
}

async fn of_group(clients: &Clients, keys: &ServiceKeys, specimen: &Specimen) -> Anatomy {
    let version = launched(clients, keys, specimen).await;
    if matches!(version, Ok(Launched::Otherwise)) {
        return Anatomy::not_asked("it has a launch configuration, or none that is known: these are not taken apart");
    }
    let version = version.map(Launched::version);
    let asked = version.as_ref().ok().and_then(|version| version.as_ref()?.launch_template_data()?.image_id());
    let image = match (&specimen.image, asked) {
        (Some(ImageId::Machine { id }), _) => Some(id.to_string()),
        // What a parameter stands for is not its name.
        (_, asked) => asked.filter(|asked| asked.starts_with("ami-")).map(ToString::to_string),
    };
    let launch = version.map(|version| version.and_then(|version| version.launch_template_data().map(of_launch)));
    let anatomy = known(Origin::Template, launch, "no version of its launch template holds it any more");
    let Some(image) = image else { return anatomy };
    let found = templates::images(clients, std::slice::from_ref(&image)).await;
    let gone = format!("{image} is gone, or not shared with this account");
    anatomy.with(known(Origin::Image, found.map(|found| found.first().map(of_image)), &gone))
}

/// What a group launches a specimen from.
enum Launched {
    Version(Box<LaunchTemplateVersion>),
    /// A version of a template that is gone.
    Gone,
    /// No template.
    Otherwise,
}

impl Launched {
    fn version(self) -> Option<LaunchTemplateVersion> {
        match self {
            Launched::Version(version) => Some(*version),
            Launched::Gone | Launched::Otherwise => None,
        }
    }
}

async fn launched(clients: &Clients, keys: &ServiceKeys, specimen: &Specimen) -> Result<Launched, Fault> {
    let named = match &specimen.held {
        Held::Nowhere => None,
        Held::By(revision) => {
            let version = revision.0.rsplit_once('#').and_then(|(_, version)| version.split_once(':'));
            version.and_then(|(template, number)| Some((template.to_string(), number.parse().ok()?)))
        }
        Held::Now => match lookup::group(clients, &specimen.workload).await?.map(|present| present.known(keys).own()) {
            Some(Source::Template { id, number: Some(number), .. }) => Some((id, number)),
            Some(Source::Template { number: None, .. } | Source::Configuration(_) | Source::Unknown) => {
                return Ok(Launched::Otherwise);
            }
            None => None,
        },
    };
    let Some((template, number)) = named else { return Ok(Launched::Gone) };
    let version = templates::version(clients, &template, number).await?;
    Ok(version.map_or(Launched::Gone, |version| Launched::Version(Box::new(version))))
}

async fn of_service(clients: &Clients, specimen: &Specimen) -> Result<Option<Vec<Field>>, Fault> {
    let definition = match &specimen.held {
        Held::Nowhere => None,
        Held::By(revision) => revision.0.rsplit_once('#').map(|(_, definition)| definition.to_string()),
        Held::Now => {
            let present = lookup::service(clients, &specimen.workload).await?;
            present.and_then(|present| present.service.task_definition().map(ToString::to_string))
        }
    };
    let Some(definition) = definition else { return Ok(None) };
    Ok(Some(of_definition(&read::definition(clients, &definition).await?, &specimen.main)))
}

/// Collects what is there.
#[derive(Default)]
struct Fields(Vec<Field>);

impl Fields {
    fn add<T: ToString>(&mut self, topic: Topic, name: &str, value: Option<T>) {
        if let Some(value) = value.map(|value| value.to_string()).filter(|value| !value.is_empty()) {
            self.0.push(Field::shown(topic, name, &value));
        }
    }

    fn hide(&mut self, topic: Topic, name: &str, value: Option<&str>) {
        self.0.extend(value.map(|value| Field::hidden(topic, name, value)));
    }
}

fn of_launch(data: &ResponseLaunchTemplateData) -> Vec<Field> {
    use Topic::{Label, Launch, Resource};
    let mut fields = Fields::default();
    fields.add(Topic::Image, "asked as", data.image_id());
    fields.add(Resource, "instance type", data.instance_type());
    // What takes the place of a type is a list of demands.
    fields.hide(
        Resource,
        "instance requirements",
        data.instance_requirements().map(|all| format!("{all:?}")).as_deref(),
    );
    fields.add(Resource, "credits", data.credit_specification().and_then(|credit| credit.cpu_credits()));
    fields.add(Launch, "key pair", data.key_name());
    fields.add(Launch, "kernel", data.kernel_id());
    fields.add(Launch, "EBS optimized", data.ebs_optimized());
    fields.add(Launch, "monitoring", data.monitoring().and_then(|monitoring| monitoring.enabled()));
    let profile = data.iam_instance_profile();
    fields.add(Launch, "instance profile", profile.and_then(|profile| profile.arn().or(profile.name())));
    fields.add(Launch, "tenancy", data.placement().and_then(|placement| placement.tenancy()));
    fields.add(Launch, "market", data.instance_market_options().and_then(|market| market.market_type()));
    let metadata = data.metadata_options();
    fields.add(Launch, "metadata tokens", metadata.and_then(|options| options.http_tokens()));
    fields.add(Launch, "metadata endpoint", metadata.and_then(|options| options.http_endpoint()));
    fields.add(Launch, "metadata hops", metadata.and_then(|options| options.http_put_response_hop_limit()));
    for group in data.security_group_ids().iter().chain(data.security_groups()) {
        fields.add(Launch, &format!("security group {group}"), Some("on"));
    }
    for network in data.network_interfaces() {
        let name = format!("network interface {}", network.device_index().unwrap_or_default());
        fields.hide(Launch, &name, Some(&format!("{network:?}")));
    }
    for device in data.block_device_mappings() {
        let ebs = device.ebs();
        let words = [
            ebs.and_then(|ebs| ebs.volume_size()).map(|size| format!("{size} GiB")),
            ebs.and_then(|ebs| ebs.volume_type()).map(ToString::to_string),
            ebs.and_then(|ebs| ebs.iops()).map(|iops| format!("{iops} IOPS")),
            ebs.and_then(|ebs| ebs.throughput()).map(|rate| format!("{rate} MiB/s")),
            ebs.and_then(|ebs| ebs.snapshot_id()).map(ToString::to_string),
            ebs.and_then(|ebs| ebs.encrypted()).filter(|is_so| *is_so).map(|_| "encrypted".to_string()),
            ebs.and_then(|ebs| ebs.kms_key_id()).map(ToString::to_string),
        ];
        let words: Vec<String> = words.into_iter().flatten().collect();
        let words = if words.is_empty() { "as its image has it".to_string() } else { words.join(", ") };
        fields.add(Topic::Volume, device.device_name().unwrap_or_default(), Some(words));
    }
    fields.hide(Launch, "user data", data.user_data());
    let tags = data
        .tag_specifications()
        .iter()
        .filter(|of| of.resource_type().is_some_and(|kind| kind.as_str() == "instance"));
    for tag in tags.flat_map(|of| of.tags()) {
        fields.add(Label, tag.key().unwrap_or_default(), tag.value());
    }
    fields.0
}

fn of_image(image: &Image) -> Vec<Field> {
    let mut fields = Fields::default();
    let platform = image.platform_details().unwrap_or("Linux/UNIX");
    let architecture = image.architecture().map(|known| known.as_str()).unwrap_or_default();
    fields.add(Topic::Image, "name", image.name());
    fields.add(Topic::Image, "platform", Some(format!("{platform}, {architecture}")));
    fields.add(Topic::Image, "built", image.creation_date());
    fields.add(Topic::Image, "state", image.state());
    fields.add(Topic::Image, "deprecated from", image.deprecation_time());
    fields.add(Topic::Image, "owner", image.owner_id());
    fields.add(Topic::Image, "root device", image.root_device_name());
    // A disk's snapshot is to a machine image what its layers are to one of containers.
    let snapshot = |device: &BlockDeviceMapping| {
        let ebs = device.ebs()?;
        Some((ebs.snapshot_id()?.to_string(), ebs.volume_size().map(|size| format!("{size} GiB"))))
    };
    for (snapshot, size) in image.block_device_mappings().iter().filter_map(snapshot) {
        fields.add(Topic::Layer, &snapshot, Some(size.unwrap_or("of an unknown size".to_string())));
    }
    for tag in image.tags() {
        fields.add(Topic::Label, &format!("of the image: {}", tag.key().unwrap_or_default()), tag.value());
    }
    fields.0
}

fn of_definition(definition: &TaskDefinition, main: &str) -> Vec<Field> {
    use Topic::{Launch, Resource};
    let mut fields = Fields::default();
    for container in definition.container_definitions() {
        let name = container.name().unwrap_or_default();
        let prefix = if name == main { String::new() } else { format!("{name}: ") };
        of_container(container, &prefix, &mut fields);
    }
    for volume in definition.volumes() {
        let name = format!("volume {}", volume.name().unwrap_or_default());
        let host = volume.host().and_then(|host| host.source_path());
        let files = volume.efs_volume_configuration().map(|efs| format!("{efs:?}"));
        let driver = volume.docker_volume_configuration().and_then(|docker| docker.driver());
        fields.add(Topic::Volume, &name, host.or(driver).or(files.as_ref().map(|_| "EFS")));
        fields.hide(Topic::Volume, &format!("{name}: all of it"), files.as_deref());
    }
    fields.add(Resource, "cpu of the task", definition.cpu());
    fields.add(Resource, "memory of the task", definition.memory());
    fields.add(Launch, "network mode", definition.network_mode());
    fields.add(Launch, "task role", definition.task_role_arn());
    fields.add(Launch, "execution role", definition.execution_role_arn());
    let platform = definition.runtime_platform();
    fields.add(Launch, "processor", platform.and_then(|platform| platform.cpu_architecture()));
    fields.add(Launch, "system", platform.and_then(|platform| platform.operating_system_family()));
    fields.0
}

fn of_container(container: &ContainerDefinition, prefix: &str, fields: &mut Fields) {
    use Topic::{Command, Environment, Port, Resource, Volume};
    let named = |name: &str| format!("{prefix}{name}");
    fields.add(Topic::Image, &named("asked as"), container.image());
    for (name, words) in [("command", container.entry_point()), ("args", container.command())] {
        fields.0.extend((!words.is_empty()).then(|| Field::words(Command, &named(name), words)));
    }
    for variable in container.environment() {
        fields.hide(Environment, &named(variable.name().unwrap_or_default()), variable.value());
    }
    for secret in container.secrets() {
        fields.hide(Environment, &named(secret.name()), Some(secret.value_from()));
    }
    for file in container.environment_files() {
        fields.add(Environment, &named(&format!("all of {}", file.value())), Some("set"));
    }
    for port in container.port_mappings() {
        let protocol = port.protocol().map(|protocol| protocol.as_str()).unwrap_or("tcp");
        fields.add(Port, &named(&format!("{}/{protocol}", port.container_port().unwrap_or_default())), Some("open"));
    }
    fields.add(Resource, &named("cpu units"), Some(container.cpu()).filter(|units| *units > 0));
    fields.add(Resource, &named("memory limit"), container.memory().map(|mebibytes| memory(&format!("{mebibytes}Mi"))));
    let reserved = container.memory_reservation();
    fields.add(Resource, &named("memory request"), reserved.map(|mebibytes| memory(&format!("{mebibytes}Mi"))));
    for mount in container.mount_points() {
        let read_only = if mount.read_only() == Some(true) { ", read only" } else { "" };
        let source = format!("volume {}{read_only}", mount.source_volume().unwrap_or_default());
        fields.add(Volume, &named(mount.container_path().unwrap_or_default()), Some(source));
    }
    for (key, value) in container.docker_labels().into_iter().flatten() {
        // What reads these (proxies, agents) is often given secrets by them.
        fields.hide(Topic::Label, &named(key), Some(value));
    }
    fields.add(Topic::Command, &named("user"), container.user());
    fields.add(Topic::Command, &named("working directory"), container.working_directory());
    fields.add(Topic::Other, &named("privileged"), container.privileged());
    fields.add(Topic::Other, &named("read-only root"), container.readonly_root_filesystem());
    fields.add(Topic::Other, &named("essential"), container.essential());
    let log = container.log_configuration();
    fields.add(Topic::Other, &named("log driver"), log.map(|log| log.log_driver().as_str().to_string()));
    for (key, value) in log.and_then(|log| log.options()).into_iter().flatten() {
        fields.hide(Topic::Other, &named(&format!("log option {key}")), Some(value));
    }
    let linux = container.linux_parameters().map(|linux| format!("{linux:?}"));
    fields.hide(Topic::Other, &named("linux parameters"), linux.as_deref());
    let limits = container.ulimits();
    fields.hide(Topic::Other, &named("ulimits"), (!limits.is_empty()).then(|| format!("{limits:?}")).as_deref());
    let depends = container.depends_on();
    fields.hide(Topic::Other, &named("depends on"), (!depends.is_empty()).then(|| format!("{depends:?}")).as_deref());
    fields.hide(
        Topic::Other,
        &named("health check"),
        container.health_check().map(|check| format!("{check:?}")).as_deref(),
    );
}

#[cfg(test)]
mod tests {
    use aws_sdk_ecs::types::{KeyValuePair, PortMapping, Secret, TransportProtocol};

    use super::*;

    #[test]
    fn a_task_definition_is_told_by_the_names_of_a_pod_template_and_no_secret_is_in_it() {
        let app = ContainerDefinition::builder()
            .name("app")
            .image("r.example/shop:v42")
            .command("--key=hush1")
            .memory(512)
            .environment(KeyValuePair::builder().name("MODE").value("hush2").build())
            .secrets(Secret::builder().name("TOKEN").value_from("arn:hush3").build().expect("complete"))
            .port_mappings(PortMapping::builder().container_port(8080).protocol(TransportProtocol::Tcp).build())
            .build();
        let proxy = ContainerDefinition::builder().name("proxy").image("r.example/proxy:1").build();
        let definition =
            TaskDefinition::builder().container_definitions(app).container_definitions(proxy).memory("1024").build();
        let fields = of_definition(&definition, "app");
        let told: Vec<String> =
            fields.iter().map(|field| format!("{} {}={}", field.topic.as_str(), field.name, field.value)).collect();
        let told: Vec<&str> = told.iter().map(String::as_str).collect();
        assert_eq!(
            told,
            [
                "image asked as=r.example/shop:v42",
                "command args=set, not shown",
                "environment MODE=set, not shown",
                "environment TOKEN=set, not shown",
                "port 8080/tcp=open",
                "resource memory limit=512Mi",
                "image proxy: asked as=r.example/proxy:1",
                "resource memory of the task=1024",
            ]
        );
        assert!(!format!("{fields:?}").contains("hush"));
    }
}
