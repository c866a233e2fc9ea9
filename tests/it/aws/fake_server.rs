//! What the fake AWS tells, read by the real SDK: each answer parses and what is in it arrives.

use aws_config::retry::RetryConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_ec2::config::{Credentials, SharedCredentialsProvider};
use aws_sdk_ec2::error::ProvideErrorMetadata;
use aws_sdk_ec2::types::Filter;
use aws_sdk_ecs::types::{DesiredStatus, SortOrder};

use super::fake::{Fake, Launches, Mixed, Override, TemplateAt};

pub(super) const OLD: &str = "ami-0000000000000001a";
pub(super) const NEW: &str = "ami-0000000000000002b";

pub(super) struct Clients {
    pub(super) ec2: aws_sdk_ec2::Client,
    pub(super) groups: aws_sdk_autoscaling::Client,
    pub(super) ecs: aws_sdk_ecs::Client,
    pub(super) sts: aws_sdk_sts::Client,
}

fn clients(fake: &Fake) -> Clients {
    let credentials = Credentials::new("AKIDFAKE", "secret", None, None, "test");
    let config = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .endpoint_url(fake.url())
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .retry_config(RetryConfig::disabled())
        .build();
    Clients {
        ec2: aws_sdk_ec2::Client::new(&config),
        groups: aws_sdk_autoscaling::Client::new(&config),
        ecs: aws_sdk_ecs::Client::new(&config),
        sts: aws_sdk_sts::Client::new(&config),
    }
}

pub(super) async fn with_fleet(groups: usize, instances: usize) -> (Fake, Clients) {
    let fake = Fake::start().await;
    fake.seed_fleet(groups, instances);
    let clients = clients(&fake);
    (fake, clients)
}

pub(super) async fn with_tasks(services: usize, tasks: usize) -> (Fake, Clients) {
    let fake = Fake::start().await;
    fake.seed_tasks(services, tasks);
    let clients = clients(&fake);
    (fake, clients)
}

/// The code of an error that the server gave.
pub(super) fn code<T, E: ProvideErrorMetadata>(result: Result<T, E>) -> String {
    match result {
        Ok(_) => "none".into(),
        Err(error) => error.code().unwrap_or("unhandled").to_string(),
    }
}

#[tokio::test]
async fn whoever_asks_is_told_who_he_is() {
    let (fake, aws) = with_fleet(1, 1).await;
    let me = aws.sts.get_caller_identity().send().await.expect("answered");
    assert_eq!((me.account(), me.arn()), (Some("123456789012"), Some("arn:aws:iam::123456789012:user/me")));
    let request = &fake.requests()[0];
    assert_eq!((request.service.as_str(), request.region.as_str()), ("sts", "us-east-1"));
    assert_eq!(request.params()["Version"], "2011-06-15");
}

#[tokio::test]
async fn images_of_instances_come_in_pages_that_add_up() {
    let (fake, aws) = with_fleet(4, 2500).await;
    let (mut sizes, mut ids, mut token) = (Vec::new(), Vec::new(), None);
    loop {
        let call = aws.ec2.describe_instance_image_metadata().max_results(1000).set_next_token(token);
        let page = call.send().await.expect("answered");
        sizes.push(page.instance_image_metadata().len());
        ids.extend(page.instance_image_metadata().iter().filter_map(|one| one.instance_id().map(str::to_string)));
        token = page.next_token().map(str::to_string);
        if token.is_none() {
            let last = page.instance_image_metadata().last().expect("some");
            let image = last.image_metadata().expect("told");
            assert_eq!((image.image_id(), image.name()), (Some(NEW), Some("shop-2026.11.1")));
            assert_eq!(image.creation_date(), Some("2026-11-01T00:00:00.000Z"));
            assert_eq!(last.launch_time().expect("told").secs(), 1_793_491_200);
            assert_eq!(last.state().and_then(|state| state.name()).expect("told").as_str(), "running");
            let tags: Vec<_> = last.tags().iter().filter_map(|tag| tag.key().zip(tag.value())).collect();
            assert!(tags.contains(&("aws:autoscaling:groupName", "group-003")), "{tags:?}");
            break;
        }
    }
    ids.sort();
    ids.dedup();
    assert_eq!((sizes, ids.len()), (vec![1000, 1000, 500], 2500));
    assert_eq!(fake.count("DescribeInstanceImageMetadata"), 3);
}

#[tokio::test]
async fn instances_are_filtered_and_an_unknown_one_is_an_error() {
    let (fake, aws) = with_fleet(1, 3).await;
    let ids: Vec<String> = fake.with(|world| world.machines.keys().cloned().collect());
    fake.with(|world| world.machines.get_mut(&ids[0]).expect("there").state = "stopped".into());
    let by = |name: &str, value: &str| Filter::builder().name(name).values(value).build();
    let running = aws.ec2.describe_instances().filters(by("instance-state-name", "running")).send().await;
    let running = running.expect("answered");
    let found: Vec<_> = running.reservations().iter().flat_map(|one| one.instances()).collect();
    assert_eq!(found.len(), 2);
    let placement = found[0].placement().expect("told");
    assert!(placement.availability_zone().expect("told").starts_with("us-east-1"));
    assert_eq!((found[0].image_id(), found[0].subnet_id()), (Some(NEW), Some("subnet-1")));
    let one = aws.ec2.describe_instances().filters(by("instance-id", &ids[1])).send().await.expect("answered");
    assert_eq!(one.reservations().len(), 1);
    let one = aws.ec2.describe_instances().instance_ids(&ids[1]).send().await.expect("answered");
    assert_eq!(one.reservations()[0].instances()[0].instance_id(), Some(ids[1].as_str()));
    let unknown = aws.ec2.describe_instances().instance_ids("i-0").send().await;
    assert_eq!(code(unknown), "InvalidInstanceID.NotFound");
    assert_eq!(code(aws.ec2.describe_instances().filters(by("vpc-id", "vpc-1")).send().await), "InvalidParameterValue");
    assert_eq!(code(aws.ec2.describe_instances().dry_run(true).send().await), "DryRunOperation");
}

#[tokio::test]
async fn an_image_that_is_gone_is_named_by_its_instances_alone() {
    let (fake, aws) = with_fleet(1, 1).await;
    fake.with(|world| {
        let old = world.image(OLD, "");
        old.tags.insert("service".into(), "shop & till".into());
        old.source = Some("ami-0".into());
        world.image(NEW, "").state = "deregistered".into();
    });
    let by_id = Filter::builder().name("image-id").values(OLD).values(NEW).build();
    let found = aws.ec2.describe_images().filters(by_id).send().await.expect("answered");
    assert_eq!(found.images().len(), 1);
    let image = &found.images()[0];
    assert_eq!((image.image_id(), image.name()), (Some(OLD), Some("shop-2026.10.1")));
    assert_eq!((image.source_image_id(), image.tags()[0].value()), (Some("ami-0"), Some("shop & till")));
    assert_eq!(code(aws.ec2.describe_images().image_ids(NEW).send().await), "InvalidAMIID.NotFound");
    let seen = aws.ec2.describe_instance_image_metadata().send().await.expect("answered");
    let image = seen.instance_image_metadata()[0].image_metadata().expect("told");
    assert_eq!(
        (image.name(), image.state().map(|state| state.as_str())),
        (Some("shop-2026.11.1"), Some("deregistered"))
    );
}

#[tokio::test]
async fn versions_of_templates_are_found_by_number_and_by_alias() {
    let (fake, aws) = with_fleet(4, 4).await;
    fake.with(|world| {
        world.parameters.insert("/shop/ami".into(), NEW.into());
        world.template("lt-ssm", "ssm", &["resolve:ssm:/shop/ami:3"]);
    });
    let numbers =
        |answer: &aws_sdk_ec2::operation::describe_launch_template_versions::DescribeLaunchTemplateVersionsOutput| {
            let versions = answer.launch_template_versions().iter();
            versions
                .map(|one| (one.version_number().expect("told"), one.default_version().expect("told")))
                .collect::<Vec<_>>()
        };
    let first = format!("lt-{:017x}", 1);
    let ask = || aws.ec2.describe_launch_template_versions();
    let all = ask().launch_template_id(&first).send().await.expect("answered");
    assert_eq!(numbers(&all), [(1, true), (2, false)]);
    let second = ask().launch_template_id(&first).versions("2").send().await.expect("answered");
    assert_eq!(numbers(&second), [(2, false)]);
    let image = |answer: &aws_sdk_ec2::types::LaunchTemplateVersion| {
        answer.launch_template_data().and_then(|data| data.image_id()).expect("told").to_string()
    };
    assert_eq!(image(&second.launch_template_versions()[0]), NEW);
    let of_all = ask().versions("$Latest").versions("$Default").send().await.expect("answered");
    assert_eq!(numbers(&of_all), [(1, true), (2, false), (1, true), (2, false), (1, true)]);
    let raw = ask().launch_template_name("ssm").send().await.expect("answered");
    assert_eq!(image(&raw.launch_template_versions()[0]), "resolve:ssm:/shop/ami:3");
    let resolved = ask().launch_template_name("ssm").resolve_alias(true).send().await.expect("answered");
    assert_eq!(image(&resolved.launch_template_versions()[0]), NEW);
    let missing = ask().launch_template_id(&first).versions("7").send().await;
    assert_eq!(code(missing), "InvalidLaunchTemplateId.VersionNotFound");
    let page = ask().versions("$Latest").max_results(2).send().await.expect("answered");
    let rest = ask().versions("$Latest").max_results(2).next_token(page.next_token().expect("more")).send().await;
    assert_eq!(rest.expect("answered").launch_template_versions().len(), 1);
    let named = aws.ec2.describe_launch_templates().launch_template_ids(&first).send().await.expect("answered");
    let template = &named.launch_templates()[0];
    assert_eq!((template.launch_template_name(), template.latest_version_number()), (Some("template-000"), Some(2)));
}

#[tokio::test]
async fn groups_tell_their_members_and_what_they_launch_from() {
    let (fake, aws) = with_fleet(101, 202).await;
    let first = aws.groups.describe_auto_scaling_groups().max_records(100).send().await.expect("answered");
    let token = first.next_token().expect("more");
    let rest = aws.groups.describe_auto_scaling_groups().next_token(token).send().await.expect("answered");
    assert_eq!((first.auto_scaling_groups().len(), rest.auto_scaling_groups().len()), (100, 1));
    let group = &first.auto_scaling_groups()[0];
    assert_eq!((group.auto_scaling_group_name(), group.desired_capacity()), (Some("group-000"), Some(2)));
    let member = &group.instances()[0];
    let from = member.launch_template().expect("told");
    assert_eq!((from.launch_template_name(), from.version()), (Some("template-000"), Some("2")));
    assert_eq!((member.lifecycle_state().map(|state| state.as_str()), member.image_id()), (Some("InService"), None));
    assert_eq!(group.launch_template().and_then(|template| template.version()), Some("2"));
    assert_eq!((group.tags()[0].key(), group.tags()[0].value()), (Some("rolldeck"), Some("managed")));
    let template = format!("lt-{:017x}", 1);
    fake.with(|world| {
        world.configurations.insert("old-way".into(), OLD.into());
        world.group("b", Launches::Configuration("old-way".into()), 1);
        let overrides = vec![
            Override { kind: "m5.large".into(), template: Some(TemplateAt::new(&template, "1")), image: None },
            Override { kind: "m6g.large".into(), template: None, image: Some("ami-arm".into()) },
        ];
        let base = TemplateAt { id: template.clone(), version: None };
        let mixed = world.group("c", Launches::Mixed(Mixed { base, overrides }), 2);
        mixed.suspended.push("Launch".into());
        mixed.maintenance = Some((90, 120));
        mixed.operator = Some("ecs.amazonaws.com".into());
        mixed.status = Some("Delete in progress".into());
    });
    let ask = aws.groups.describe_auto_scaling_groups();
    let named = ask.auto_scaling_group_names("b").auto_scaling_group_names("c").send().await.expect("answered");
    let [old, mixed] = named.auto_scaling_groups() else { panic!("two groups") };
    assert_eq!(old.launch_configuration_name(), Some("old-way"));
    let policy = mixed.mixed_instances_policy().and_then(|policy| policy.launch_template()).expect("told");
    assert_eq!(policy.launch_template_specification().and_then(|base| base.version()), None);
    assert_eq!(policy.overrides()[1].image_id(), Some("ami-arm"));
    assert_eq!(mixed.suspended_processes()[0].process_name(), Some("Launch"));
    assert_eq!(mixed.instance_maintenance_policy().and_then(|policy| policy.max_healthy_percentage()), Some(120));
    assert_eq!(mixed.operator().and_then(|operator| operator.principal()), Some("ecs.amazonaws.com"));
    assert_eq!(mixed.status(), Some("Delete in progress"));
    let images: Vec<_> = mixed.instances().iter().map(|member| member.image_id()).collect();
    assert!(images.contains(&None) && images.contains(&Some("ami-arm")), "{images:?}");
    let configurations = aws.groups.describe_launch_configurations().launch_configuration_names("old-way").send().await;
    assert_eq!(configurations.expect("answered").launch_configurations()[0].image_id(), Some(OLD));
    let bare = aws.groups.describe_auto_scaling_groups().include_instances(false).send().await.expect("answered");
    assert!(bare.auto_scaling_groups().iter().all(|group| group.instances().is_empty()));
}

#[tokio::test]
async fn tasks_come_in_pages_and_tell_their_digests() {
    let (fake, aws) = with_tasks(12, 260).await;
    let clusters = aws.ecs.list_clusters().send().await.expect("answered");
    let cluster = clusters.cluster_arns()[0].as_str();
    let told = aws.ecs.describe_clusters().clusters(cluster).clusters("gone").send().await.expect("answered");
    let counts = (told.clusters()[0].running_tasks_count(), told.clusters()[0].active_services_count());
    assert_eq!((counts, told.failures()[0].reason()), ((260, 12), Some("MISSING")));
    let (mut arns, mut token) = (Vec::new(), None);
    loop {
        let page = aws.ecs.list_tasks().cluster(cluster).set_next_token(token).send().await.expect("answered");
        arns.extend_from_slice(page.task_arns());
        token = page.next_token().map(str::to_string);
        if token.is_none() {
            break;
        }
    }
    assert_eq!((arns.len(), fake.count("ListTasks")), (260, 3));
    let asked = aws.ecs.describe_tasks().cluster(cluster).set_tasks(Some(arns[..100].to_vec()));
    let tasks = asked.send().await.expect("answered");
    assert_eq!(tasks.tasks().len(), 100);
    let (task, container) = (&tasks.tasks()[0], &tasks.tasks()[0].containers()[0]);
    assert_eq!(
        (task.group(), container.image()),
        (Some("service:service-000"), Some("registry.example/service-000:1.1"))
    );
    assert!(container.image_digest().expect("told").starts_with("sha256:"));
    assert_eq!((task.last_status(), task.started_at().expect("told").secs()), (Some("RUNNING"), 1_793_491_200));
    let many = aws.ecs.describe_tasks().cluster(cluster).set_tasks(Some(arns[..101].to_vec())).send().await;
    assert_eq!(code(many), "InvalidParameterException");
    let one = aws.ecs.list_tasks().cluster("shop").service_name("service-011").send().await.expect("answered");
    let stopped = aws.ecs.list_tasks().cluster("shop").desired_status(DesiredStatus::Stopped).send().await;
    assert_eq!((one.task_arns().len(), stopped.expect("answered").task_arns().len()), (21, 0));
    assert_eq!(code(aws.ecs.list_tasks().send().await), "ClusterNotFoundException");
}

#[tokio::test]
async fn services_lead_to_their_revisions_and_definitions() {
    let (fake, aws) = with_tasks(12, 24).await;
    fake.with(|world| {
        let definition = world.definition("other", &[("app", "other:1")]);
        world.service("shop", "deployed-elsewhere", &definition, 1).controller = "CODE_DEPLOY".into();
    });
    let first = aws.ecs.list_services().cluster("shop").send().await.expect("answered");
    let all = aws.ecs.list_services().cluster("shop").max_results(100).send().await.expect("answered");
    assert_eq!((first.service_arns().len(), all.service_arns().len()), (10, 13));
    let asked = aws.ecs.describe_services().cluster("shop").services("service-003").services("deployed-elsewhere");
    let answer = asked.services("gone").send().await.expect("answered");
    let [service, elsewhere] = answer.services() else { panic!("two services") };
    assert_eq!((service.running_count(), service.desired_count(), answer.failures().len()), (2, 2, 1));
    assert_eq!(elsewhere.deployment_controller().map(|one| one.r#type().as_str()), Some("CODE_DEPLOY"));
    let deployment = &service.deployments()[0];
    assert_eq!((deployment.status(), deployment.running_count()), (Some("PRIMARY"), 2));
    assert_eq!(deployment.rollout_state().map(|state| state.as_str()), Some("COMPLETED"));
    assert!(service.events()[0].message().expect("told").contains("steady state"));
    let revision = service.current_service_revisions()[0].arn().expect("told");
    let told = aws.ecs.describe_service_revisions().service_revision_arns(revision).send().await.expect("answered");
    let image = &told.service_revisions()[0].container_images()[0];
    let task = fake.with(|world| {
        let mut tasks = world.tasks.values();
        tasks.find(|task| task.group == "service:service-003").expect("there").containers[0].digest.clone()
    });
    assert_eq!((image.container_name(), image.image_digest()), (Some("app"), task.as_deref()));
    let definition = service.task_definition().expect("told");
    let told = aws.ecs.describe_task_definition().task_definition(definition).send().await.expect("answered");
    let told = told.task_definition().expect("told");
    assert_eq!(
        (told.revision(), told.container_definitions()[0].image()),
        (2, Some("registry.example/service-003:1.1"))
    );
    let family = aws.ecs.list_task_definitions().family_prefix("service-003").sort(SortOrder::Desc).max_results(1);
    let newest = family.clone().send().await.expect("answered");
    let older = family.next_token(newest.next_token().expect("more")).send().await.expect("answered");
    assert_eq!(newest.task_definition_arns()[0], definition);
    assert!(older.task_definition_arns()[0].ends_with("service-003:1") && older.next_token().is_none());
    let ask = || aws.ecs.list_service_deployments().cluster("shop");
    let briefs = ask().service("service-003").send().await.expect("answered");
    let arn = briefs.service_deployments()[0].service_deployment_arn().expect("told");
    assert_eq!(service.current_service_deployment(), Some(arn));
    let told = aws.ecs.describe_service_deployments().service_deployment_arns(arn).send().await.expect("answered");
    let rollout = &told.service_deployments()[0];
    assert_eq!(rollout.status().map(|status| status.as_str()), Some("SUCCESSFUL"));
    assert_eq!(rollout.target_service_revision().and_then(|target| target.arn()), Some(revision));
    assert_eq!(code(ask().service("deployed-elsewhere").send().await), "UnsupportedFeatureException");
    assert_eq!(code(ask().service("gone").send().await), "ServiceNotFoundException");
}
