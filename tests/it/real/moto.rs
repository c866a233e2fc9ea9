//! A real AWS server for tests: moto with our extension. A test takes a region for itself, where
//! nobody else makes or steps anything.
//!
//! It never speaks for rolldeck: what rolldeck changed is read back from the server.

use std::fs::{self, File};
use std::future::Future;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use aws_sdk_autoscaling::types::{
    DesiredConfiguration, InstanceRefresh, LaunchTemplateSpecification, RefreshPreferences, RefreshStrategy,
    Tag as GroupTag,
};
use aws_sdk_ec2::config::{BehaviorVersion, Credentials, Region as RegionName};
use aws_sdk_ec2::types::{ArchitectureValues, RequestLaunchTemplateData, ResourceType, Tag, TagSpecification};
use aws_sdk_ecs::types::{AwsVpcConfiguration, ContainerDefinition, NetworkConfiguration, Task};
use tokio::runtime::Runtime;

use super::cluster::found_or_skip;

/// Regions that a test can have for itself.
const REGIONS: [&str; 28] = [
    "us-east-1",
    "us-east-2",
    "us-west-1",
    "us-west-2",
    "eu-west-1",
    "eu-west-2",
    "eu-west-3",
    "eu-central-1",
    "eu-central-2",
    "eu-north-1",
    "eu-south-1",
    "eu-south-2",
    "ap-east-1",
    "ap-south-1",
    "ap-south-2",
    "ap-southeast-1",
    "ap-southeast-2",
    "ap-southeast-3",
    "ap-southeast-4",
    "ap-northeast-1",
    "ap-northeast-2",
    "ap-northeast-3",
    "ca-central-1",
    "sa-east-1",
    "me-south-1",
    "me-central-1",
    "af-south-1",
    "il-central-1",
];

/// The server. It ends by itself when the tests are gone.
pub(crate) struct Moto {
    port: u16,
    runtime: Runtime,
}

/// A region that belongs to one test.
pub(crate) struct Region {
    moto: &'static Moto,
    name: &'static str,
    pub(crate) ec2: aws_sdk_ec2::Client,
    pub(crate) autoscaling: aws_sdk_autoscaling::Client,
    pub(crate) ecs: aws_sdk_ecs::Client,
}

/// A region of its own for a test; `None`, and a line that says so, where moto is not installed.
pub(crate) fn region_or_skip(test: &str) -> Option<Region> {
    // As many servers as there are needed for each test to have a region.
    static SERVERS: [OnceLock<Option<Moto>>; 4] = [const { OnceLock::new() }; 4];
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let server = SERVERS[number / REGIONS.len()].get_or_init(Moto::start).as_ref();
    let moto = found_or_skip(test, server, "moto; run tests/real/moto.sh")?;
    Some(Region::of(moto, REGIONS[number % REGIONS.len()]))
}

fn python() -> Option<PathBuf> {
    if let Some(python) = std::env::var_os("ROLLDECK_MOTO_PYTHON") {
        return Some(PathBuf::from(python));
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/real/moto.sh");
    let found = Command::new(script).arg("--find").stdin(Stdio::null()).output().expect("moto.sh can be run");
    let found = String::from_utf8(found.stdout).expect("UTF-8");
    found.trim().strip_prefix("ROLLDECK_MOTO_PYTHON=").map(PathBuf::from)
}

impl Moto {
    #[expect(clippy::zombie_processes, reason = "it ends when its owner has ended")]
    fn start() -> Option<Moto> {
        let python = python()?;
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/real/moto/moto_rolldeck.py");
        // Not a temporary folder: nobody drops what is shared by all tests.
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
        let log = folder.join(format!("moto-{}.log", std::process::id()));
        let mut child = Command::new(&python)
            .arg(&script)
            .args(["-H", "127.0.0.1", "-p", "0", "--tick", "0", "--owner", &std::process::id().to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(&log).expect("a file"))
            .spawn()
            .expect("python can be run");
        let mut line = String::new();
        let out = child.stdout.take().expect("piped");
        BufReader::new(out).read_line(&mut line).expect("readable");
        let Ok(port) = line.trim().parse() else {
            panic!("moto did not start:\n{}", fs::read_to_string(&log).unwrap_or_default());
        };
        // Its file stays open for it, and is gone with it.
        fs::remove_file(&log).expect("it was there");
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        Some(Moto { port, runtime: runtime.expect("a runtime") })
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

/// AWS's own two files, with keys that moto takes, in this folder.
pub(crate) fn write_files(folder: &Path) -> (PathBuf, PathBuf) {
    let (config, credentials) = (folder.join("config"), folder.join("credentials"));
    fs::write(&config, "[default]\n").expect("written");
    let keys = "[default]\naws_access_key_id = AKIATEST\naws_secret_access_key = s3cret-canary\n";
    fs::write(&credentials, keys).expect("written");
    (config, credentials)
}

fn curl(port: u16, method: &str, path: &str) -> bool {
    let url = format!("http://127.0.0.1:{port}{path}");
    let curl = Command::new("curl").args(["-sf", "--max-time", "60", "-X", method, "-o", "/dev/null", &url]).status();
    curl.expect("curl can be run").success()
}

impl Region {
    fn of(moto: &'static Moto, name: &'static str) -> Region {
        let keys = || Credentials::new("AKIATEST", "s3cret-canary", None, None, "test");
        macro_rules! client {
            ($sdk:ident) => {
                $sdk::Client::from_conf(
                    $sdk::Config::builder()
                        .behavior_version(BehaviorVersion::latest())
                        .region(RegionName::new(name))
                        .credentials_provider(keys())
                        .endpoint_url(moto.url())
                        .build(),
                )
            };
        }
        let (ec2, autoscaling, ecs) = (client!(aws_sdk_ec2), client!(aws_sdk_autoscaling), client!(aws_sdk_ecs));
        Region { moto, name, ec2, autoscaling, ecs }
    }

    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    pub(crate) fn moto(&self) -> &'static Moto {
        self.moto
    }

    /// Waits for an answer that must be good.
    #[track_caller]
    pub(crate) fn get<T, E: std::fmt::Debug>(&self, sent: impl Future<Output = Result<T, E>>) -> T {
        self.moto.runtime.block_on(sent).expect("moto does it")
    }

    /// So many seconds of AWS time pass here.
    pub(crate) fn step(&self, seconds: u32) {
        let path = format!("/rolldeck/step?n={seconds}&region={}", self.name);
        assert!(curl(self.moto.port, "POST", &path), "moto steps");
    }

    /// Moves a tag: what it stands for at the next deployment.
    pub(crate) fn move_tag(&self, image: &str, digest: &str) {
        let path = format!("/rolldeck/tag?image={image}&digest={digest}&region={}", self.name);
        assert!(curl(self.moto.port, "POST", &path), "moto moves the tag");
    }

    /// Puts a parameter of SSM; the name must need no escape.
    pub(crate) fn parameter(&self, name: &str, value: &str) {
        let body = format!(r#"{{"Name":"{name}","Value":"{value}","Type":"String","Overwrite":true}}"#);
        let scope = format!(
            "Authorization: AWS4-HMAC-SHA256 Credential=AKIATEST/20261126/{}/ssm/aws4_request, SignedHeaders=host, Signature=0",
            self.name
        );
        let put = Command::new("curl")
            .args(["-sf", "--max-time", "60", "-X", "POST", "-o", "/dev/null", "--data-binary", &body])
            .args(["-H", "X-Amz-Target: AmazonSSM.PutParameter", "-H", "Content-Type: application/x-amz-json-1.1"])
            .args(["-H", &scope, &self.moto.url()])
            .status();
        assert!(put.expect("curl can be run").success(), "moto keeps the parameter");
    }

    /// A machine image with a tag that names its version.
    pub(crate) fn image(&self, name: &str, version: &str) -> String {
        let tags = TagSpecification::builder()
            .resource_type(ResourceType::Image)
            .tags(Tag::builder().key("version").value(version).build())
            .build();
        let request = self.ec2.register_image().name(name).architecture(ArchitectureValues::X8664);
        let answer = self.get(request.tag_specifications(tags).send());
        answer.image_id.expect("an id")
    }

    /// A launch template whose first version has this image.
    pub(crate) fn template(&self, name: &str, image: &str) -> String {
        let request = self.ec2.create_launch_template().launch_template_name(name).launch_template_data(data(image));
        let answer = self.get(request.send());
        answer.launch_template.and_then(|template| template.launch_template_id).expect("an id")
    }

    /// Another version of it; its number.
    pub(crate) fn version(&self, template: &str, image: &str) -> i64 {
        self.version_with(template, data(image))
    }

    /// Another version of it with all of this; its number.
    pub(crate) fn version_with(&self, template: &str, data: RequestLaunchTemplateData) -> i64 {
        let request = self.ec2.create_launch_template_version().launch_template_id(template).launch_template_data(data);
        let answer = self.get(request.send());
        answer.launch_template_version.and_then(|version| version.version_number).expect("a number")
    }

    /// A group at a version (`1`, `$Latest`), with these tags.
    pub(crate) fn group(&self, name: &str, template: &str, version: &str, size: i32, tags: &[(&str, &str)]) {
        let tags = tags.iter().map(|(key, value)| {
            let tag = GroupTag::builder().key(*key).value(*value).resource_id(name);
            tag.resource_type("auto-scaling-group").propagate_at_launch(false).build()
        });
        let request = self
            .autoscaling
            .create_auto_scaling_group()
            .auto_scaling_group_name(name)
            .launch_template(spec(template, version))
            .min_size(0)
            .max_size(size * 2)
            .desired_capacity(size)
            .availability_zones(format!("{}a", self.name))
            .set_tags(Some(tags.collect()));
        self.get(request.send());
    }

    /// Starts a refresh that puts another root volume into the machines that are there.
    pub(crate) fn refresh_in_place(&self, group: &str, template: &str, version: i64) {
        let desired = DesiredConfiguration::builder().launch_template(spec(template, &version.to_string())).build();
        let request = self.autoscaling.start_instance_refresh().auto_scaling_group_name(group);
        self.get(request.desired_configuration(desired).strategy(RefreshStrategy::ReplaceRootVolume).send());
    }

    /// Starts a refresh to a version as somebody else would.
    pub(crate) fn refresh(&self, group: &str, template: &str, version: i64, min_healthy: i32) {
        let desired = DesiredConfiguration::builder().launch_template(spec(template, &version.to_string())).build();
        let preferences = RefreshPreferences::builder().min_healthy_percentage(min_healthy).skip_matching(true).build();
        let request = self.autoscaling.start_instance_refresh().auto_scaling_group_name(group);
        self.get(request.desired_configuration(desired).preferences(preferences).send());
    }

    /// Starts a refresh to whatever the group's own settings say.
    pub(crate) fn refresh_to_own(&self, group: &str, min_healthy: i32) {
        let preferences = RefreshPreferences::builder().min_healthy_percentage(min_healthy).skip_matching(true).build();
        let request = self.autoscaling.start_instance_refresh().auto_scaling_group_name(group);
        self.get(request.preferences(preferences).send());
    }

    /// Refreshes to a version, to the end.
    pub(crate) fn roll(&self, group: &str, template: &str, version: i64) {
        self.refresh(group, template, version, 0);
        self.step(3);
        assert_eq!(self.refreshes(group)[0].status().map(|status| status.as_str()), Some("Successful"));
    }

    /// The refreshes of a group, newest first.
    pub(crate) fn refreshes(&self, group: &str) -> Vec<InstanceRefresh> {
        let request = self.autoscaling.describe_instance_refreshes().auto_scaling_group_name(group);
        self.get(request.send()).instance_refreshes.unwrap_or_default()
    }

    /// The state of the newest refresh.
    pub(crate) fn newest(&self, group: &str) -> String {
        let newest = self.refreshes(group).into_iter().next();
        newest.and_then(|refresh| refresh.status).map(|status| status.as_str().to_string()).unwrap_or_default()
    }

    /// Machine and template version of each member.
    pub(crate) fn members(&self, group: &str) -> Vec<(String, String)> {
        let request = self.autoscaling.describe_auto_scaling_groups().auto_scaling_group_names(group);
        let groups = self.get(request.send()).auto_scaling_groups.unwrap_or_default();
        let members = groups.iter().flat_map(|group| group.instances());
        let version = |member: &aws_sdk_autoscaling::types::Instance| {
            member.launch_template().and_then(|spec| spec.version()).unwrap_or_default().to_string()
        };
        members.map(|member| (member.instance_id().unwrap_or_default().to_string(), version(member))).collect()
    }

    /// The versions of the members, sorted.
    pub(crate) fn versions(&self, group: &str) -> Vec<String> {
        let mut versions: Vec<String> = self.members(group).into_iter().map(|(_, version)| version).collect();
        versions.sort();
        versions
    }

    /// The version that a group launches from by its own settings.
    pub(crate) fn own_version(&self, group: &str) -> String {
        let request = self.autoscaling.describe_auto_scaling_groups().auto_scaling_group_names(group);
        let groups = self.get(request.send()).auto_scaling_groups.unwrap_or_default();
        groups[0].launch_template().and_then(|spec| spec.version()).unwrap_or_default().to_string()
    }

    /// Replaces machines as somebody else would.
    pub(crate) fn terminate(&self, machine: &str) {
        let request = self.autoscaling.terminate_instance_in_auto_scaling_group().instance_id(machine);
        self.get(request.should_decrement_desired_capacity(false).send());
    }

    /// Whether a refresh of the group is under way.
    pub(crate) fn is_busy(&self, group: &str) -> bool {
        ["Pending", "InProgress", "Cancelling"].contains(&self.newest(group).as_str())
    }

    /// Cancels the running refresh, to its end.
    pub(crate) fn cancel(&self, group: &str) {
        self.get(self.autoscaling.cancel_instance_refresh().auto_scaling_group_name(group).send());
        self.step(1);
    }

    /// Deletes a group with its machines.
    pub(crate) fn remove(&self, group: &str) {
        self.get(self.autoscaling.delete_auto_scaling_group().auto_scaling_group_name(group).force_delete(true).send());
    }

    /// A machine that no group has.
    pub(crate) fn machine(&self, image: &str, name: &str) -> String {
        let tags = TagSpecification::builder()
            .resource_type(ResourceType::Instance)
            .tags(Tag::builder().key("Name").value(name).build())
            .build();
        let request = self.ec2.run_instances().image_id(image).min_count(1).max_count(1).tag_specifications(tags);
        let answer = self.get(request.send());
        answer.instances()[0].instance_id().expect("an id").to_string()
    }

    /// An ECS cluster.
    pub(crate) fn cluster(&self, name: &str) {
        self.get(self.ecs.create_cluster().cluster_name(name).send());
    }

    /// A task definition with one container `app`; its name with its number.
    pub(crate) fn definition(&self, family: &str, image: &str) -> String {
        let container = ContainerDefinition::builder().name("app").image(image).memory(128).essential(true).build();
        let answer =
            self.get(self.ecs.register_task_definition().family(family).container_definitions(container).send());
        let revision = answer.task_definition().expect("a definition").revision();
        format!("{family}:{revision}")
    }

    /// A service, rolled out.
    pub(crate) fn service(&self, cluster: &str, name: &str, definition: &str, count: i32) {
        let subnets = self.get(self.ec2.describe_subnets().send()).subnets.unwrap_or_default();
        let subnet = subnets[0].subnet_id().expect("an id");
        let groups = self.get(self.ec2.describe_security_groups().send()).security_groups.unwrap_or_default();
        let group = groups[0].group_id().expect("an id");
        let network = AwsVpcConfiguration::builder().subnets(subnet).security_groups(group).build().expect("whole");
        let network = NetworkConfiguration::builder().awsvpc_configuration(network).build();
        let request = self.ecs.create_service().cluster(cluster).service_name(name).task_definition(definition);
        self.get(request.desired_count(count).network_configuration(network).send());
        self.step(8);
        assert_eq!(self.tasks(cluster, name).len(), usize::try_from(count).expect("a count"));
    }

    /// Deploys a task definition as somebody else would.
    pub(crate) fn deploy(&self, cluster: &str, name: &str, definition: &str) {
        self.get(self.ecs.update_service().cluster(cluster).service(name).task_definition(definition).send());
    }

    /// The tasks of a service.
    pub(crate) fn tasks(&self, cluster: &str, name: &str) -> Vec<Task> {
        let arns = self.get(self.ecs.list_tasks().cluster(cluster).service_name(name).send()).task_arns;
        let arns = arns.unwrap_or_default();
        if arns.is_empty() {
            return Vec::new();
        }
        self.get(self.ecs.describe_tasks().cluster(cluster).set_tasks(Some(arns)).send()).tasks.unwrap_or_default()
    }

    /// The task definition of each task, without its path, sorted.
    pub(crate) fn definitions(&self, cluster: &str, name: &str) -> Vec<String> {
        let last = |task: &Task| task.task_definition_arn().unwrap_or_default().rsplit('/').next().map(str::to_string);
        let mut found: Vec<String> = self.tasks(cluster, name).iter().filter_map(last).collect();
        found.sort();
        found
    }
}

fn spec(template: &str, version: &str) -> LaunchTemplateSpecification {
    LaunchTemplateSpecification::builder().launch_template_id(template).version(version).build()
}

fn data(image: &str) -> RequestLaunchTemplateData {
    RequestLaunchTemplateData::builder().image_id(image).instance_type("t3.micro".into()).build()
}
