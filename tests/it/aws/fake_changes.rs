//! What the fake AWS does when it is told to, and what it does wrong when it is told to, seen through the real SDK.

use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_sdk_autoscaling::operation::describe_instance_refreshes::builders::DescribeInstanceRefreshesFluentBuilder;
use aws_sdk_autoscaling::types::{
    DesiredConfiguration, InstanceRefresh, LaunchTemplateSpecification, RefreshPreferences, RefreshStrategy,
    ScaleInProtectedInstances,
};
use aws_sdk_ec2::error::SdkError;
use aws_sdk_ecs::types::StopServiceDeploymentStopType;

use super::fake::{Fake, Fault, Launches, Refusal, TemplateAt};
use super::fake_server::{Clients, NEW, OLD, code, with_fleet, with_tasks};

const GROUP: &str = "group-000";

fn steps(fake: &Fake, count: usize) {
    (0..count).for_each(|_| fake.with(|world| world.step()));
}

/// How many instances of the group run each image.
fn running(fake: &Fake) -> (usize, usize) {
    fake.with(|world| {
        let images = world.groups[GROUP].members.keys().map(|id| world.machines[id].image.as_str());
        let images: Vec<&str> = images.collect();
        let count = |image: &str| images.iter().filter(|one| **one == image).count();
        (count(OLD), count(NEW))
    })
}

fn version(number: &str) -> DesiredConfiguration {
    let template = format!("lt-{:017x}", 1);
    let template = LaunchTemplateSpecification::builder().launch_template_id(template).version(number).build();
    DesiredConfiguration::builder().launch_template(template).build()
}

fn refreshes(aws: &Clients) -> DescribeInstanceRefreshesFluentBuilder {
    aws.groups.describe_instance_refreshes().auto_scaling_group_name(GROUP)
}

async fn newest(aws: &Clients) -> InstanceRefresh {
    refreshes(aws).send().await.expect("answered").instance_refreshes()[0].clone()
}

fn status(refresh: &InstanceRefresh) -> (&str, i32, i32) {
    let status = refresh.status().expect("told").as_str();
    (status, refresh.percentage_complete().expect("told"), refresh.instances_to_update().expect("told"))
}

#[tokio::test]
async fn a_refresh_goes_through_and_settings_change_at_its_end() {
    let (fake, aws) = with_fleet(1, 10).await;
    let preferences = RefreshPreferences::builder()
        .min_healthy_percentage(60)
        .skip_matching(true)
        .checkpoint_percentages(40)
        .checkpoint_percentages(100)
        .checkpoint_delay(1)
        .scale_in_protected_instances(ScaleInProtectedInstances::Refresh)
        .build();
    let start = || aws.groups.start_instance_refresh().auto_scaling_group_name(GROUP);
    let started = start().desired_configuration(version("1")).preferences(preferences).send().await;
    let started = started.expect("started");
    assert_eq!(status(&newest(&aws).await), ("Pending", 0, 10));
    assert_eq!(code(start().send().await), "InstanceRefreshInProgress");
    steps(&fake, 2);
    let refresh = newest(&aws).await;
    assert_eq!((status(&refresh), running(&fake)), (("InProgress", 40, 6), (4, 6)));
    assert_eq!(refresh.instance_refresh_id(), started.instance_refresh_id());
    assert_eq!(refresh.preferences().and_then(|told| told.skip_matching()), Some(true));
    assert_eq!(refresh.preferences().map(|told| told.checkpoint_percentages().to_vec()), Some(vec![40, 100]));
    assert_eq!(
        refresh.desired_configuration(),
        Some(
            &DesiredConfiguration::builder()
                .launch_template(
                    LaunchTemplateSpecification::builder()
                        .launch_template_id(format!("lt-{:017x}", 1))
                        .launch_template_name("template-000")
                        .version("1")
                        .build()
                )
                .build()
        )
    );
    steps(&fake, 1);
    assert_eq!(running(&fake), (4, 6), "it waits at the checkpoint");
    steps(&fake, 1);
    let launches = fake.with(|world| world.groups[GROUP].launches.clone());
    assert_eq!(
        (launches, running(&fake)),
        (Launches::Template(TemplateAt::new(&format!("lt-{:017x}", 1), "2")), (8, 2))
    );
    steps(&fake, 1);
    let refresh = newest(&aws).await;
    assert_eq!((status(&refresh), running(&fake)), (("Successful", 100, 0), (10, 0)));
    assert!(refresh.end_time() > refresh.start_time());
    let launches = fake.with(|world| world.groups[GROUP].launches.clone());
    assert_eq!(launches, Launches::Template(TemplateAt::new(&format!("lt-{:017x}", 1), "1")));
    steps(&fake, 1);
    assert_eq!(fake.with(|world| world.machines.len()), 10, "what was terminated is forgotten");
}

#[tokio::test]
async fn a_refresh_is_rolled_back_or_cancelled_while_it_runs() {
    let (fake, aws) = with_fleet(1, 10).await;
    let roll_back = || aws.groups.rollback_instance_refresh().auto_scaling_group_name(GROUP).send();
    let cancel = || aws.groups.cancel_instance_refresh().auto_scaling_group_name(GROUP).send();
    let start = |number| {
        let call = aws.groups.start_instance_refresh().auto_scaling_group_name(GROUP);
        call.desired_configuration(version(number)).send()
    };
    assert_eq!(code(roll_back().await), "ActiveInstanceRefreshNotFound");
    assert_eq!(code(cancel().await), "ActiveInstanceRefreshNotFound");
    start("1").await.expect("started");
    steps(&fake, 4);
    assert_eq!(running(&fake), (3, 7));
    roll_back().await.expect("taken");
    steps(&fake, 1);
    let refresh = newest(&aws).await;
    assert_eq!((status(&refresh), running(&fake)), (("RollbackInProgress", 20, 7), (2, 8)));
    let details = refresh.rollback_details().expect("told");
    assert_eq!(
        (details.percentage_complete_on_rollback(), details.instances_to_update_on_rollback()),
        (Some(30), Some(7))
    );
    steps(&fake, 2);
    assert_eq!((status(&newest(&aws).await), running(&fake)), (("RollbackSuccessful", 0, 7), (0, 10)));
    start("$Default").await.expect("started");
    steps(&fake, 2);
    assert_eq!(code(roll_back().await), "IrreversibleInstanceRefresh");
    cancel().await.expect("taken");
    assert_eq!(newest(&aws).await.status().map(|status| status.as_str()), Some("Cancelling"));
    steps(&fake, 3);
    assert_eq!((status(&newest(&aws).await), running(&fake)), (("Cancelled", 10, 9), (1, 9)));
    assert_eq!(refreshes(&aws).max_records(1).send().await.expect("answered").instance_refreshes().len(), 1);
    assert_eq!(code(start("7").await), "ValidationError");
}

#[tokio::test]
async fn a_refresh_fails_and_goes_back_by_itself() {
    let (fake, aws) = with_fleet(1, 10).await;
    fake.with(|world| world.groups.get_mut(GROUP).expect("there").fails_after = Some(2));
    let start = |preferences: RefreshPreferences| {
        let call =
            aws.groups.start_instance_refresh().auto_scaling_group_name(GROUP).desired_configuration(version("1"));
        call.preferences(preferences).send()
    };
    start(RefreshPreferences::builder().auto_rollback(true).build()).await.expect("started");
    steps(&fake, 3);
    let refresh = newest(&aws).await;
    assert_eq!(status(&refresh).0, "RollbackInProgress");
    assert_eq!(refresh.status_reason(), Some("The refresh was told to fail after 2 replacements."));
    steps(&fake, 2);
    assert_eq!((status(&newest(&aws).await).0, running(&fake)), ("RollbackSuccessful", (0, 10)));
    start(RefreshPreferences::builder().build()).await.expect("started");
    steps(&fake, 3);
    assert_eq!((status(&newest(&aws).await), running(&fake)), (("Failed", 20, 8), (2, 8)));
    let wrong = RefreshPreferences::builder().max_healthy_percentage(110).build();
    assert_eq!(code(start(wrong).await), "ValidationError");
}

#[tokio::test]
async fn a_replaced_root_volume_is_told_by_the_group_alone() {
    let (fake, aws) = with_fleet(1, 2).await;
    let call = aws.groups.start_instance_refresh().auto_scaling_group_name(GROUP).desired_configuration(version("1"));
    let bake = RefreshPreferences::builder().bake_time(1).build();
    call.strategy(RefreshStrategy::ReplaceRootVolume).preferences(bake).send().await.expect("started");
    steps(&fake, 3);
    assert_eq!(status(&newest(&aws).await).0, "Baking");
    steps(&fake, 2);
    assert_eq!((status(&newest(&aws).await).0, running(&fake)), ("Successful", (0, 2)));
    let groups = aws.groups.describe_auto_scaling_groups().send().await.expect("answered");
    let told = groups.auto_scaling_groups()[0].instances().iter().map(|member| member.image_id());
    assert_eq!(told.collect::<Vec<_>>(), [Some(OLD), Some(OLD)]);
}

#[tokio::test]
async fn a_terminated_instance_is_missed_for_a_step_and_then_replaced() {
    let (fake, aws) = with_fleet(2, 6).await;
    let ids: Vec<String> = fake.with(|world| world.groups[GROUP].members.keys().cloned().collect());
    let terminate = |id: &str| {
        let call = aws.groups.terminate_instance_in_auto_scaling_group().instance_id(id);
        call.should_decrement_desired_capacity(false).send()
    };
    let taken = terminate(&ids[0]).await.expect("taken");
    let activity = taken.activity().expect("told");
    assert_eq!(activity.description(), Some(format!("Terminating EC2 instance: {}", ids[0]).as_str()));
    assert_eq!(activity.status_code().map(|status| status.as_str()), Some("InProgress"));
    assert_eq!(code(terminate(&ids[0]).await), "ScalingActivityInProgress");
    assert_eq!(code(terminate("i-0").await), "ValidationError");
    fake.with(|world| world.groups.get_mut(GROUP).expect("there").cannot_launch = Some("no capacity".into()));
    steps(&fake, 1);
    assert_eq!(running(&fake), (0, 2));
    let ask = || aws.groups.describe_scaling_activities().auto_scaling_group_name(GROUP);
    let told = ask().send().await.expect("answered");
    let told: Vec<_> =
        told.activities().iter().map(|one| (one.status_code().expect("told").as_str(), one.status_message())).collect();
    assert_eq!(told, [("Failed", Some("no capacity")), ("Successful", None)]);
    fake.with(|world| world.groups.get_mut(GROUP).expect("there").cannot_launch = None);
    steps(&fake, 1);
    assert_eq!(running(&fake), (0, 3));
    let batch = aws.groups.terminate_instance_in_auto_scaling_group().auto_scaling_group_name(GROUP);
    let batch = batch.instance_ids(&ids[1]).instance_ids(&ids[2]).should_decrement_desired_capacity(true);
    assert_eq!(batch.send().await.expect("taken").activities().len(), 2);
    steps(&fake, 2);
    assert_eq!(running(&fake), (0, 1));
}

#[tokio::test]
async fn a_service_is_deployed_a_third_a_step_and_goes_back_on_request() {
    let (fake, aws) = with_tasks(1, 9).await;
    let update = || aws.ecs.update_service().cluster("shop").service("service-000");
    let images = || {
        fake.with(|world| {
            let running = world.tasks.values().filter(|task| task.desired == "RUNNING");
            let old = running.clone().filter(|task| task.definition.1 == 1).count();
            (old, running.count() - old)
        })
    };
    let updated = update().task_definition("service-000:1").send().await.expect("taken");
    let arn = updated.service().and_then(|service| service.current_service_deployment()).expect("told").to_string();
    let told = async || {
        let answer = aws.ecs.describe_service_deployments().service_deployment_arns(&arn).send().await;
        answer.expect("answered").service_deployments()[0].clone()
    };
    let status = async || told().await.status().expect("told").as_str().to_string();
    assert_eq!((status().await.as_str(), images()), ("PENDING", (0, 9)));
    steps(&fake, 1);
    assert_eq!((status().await.as_str(), images()), ("IN_PROGRESS", (3, 6)));
    let stop = || aws.ecs.stop_service_deployment().service_deployment_arn(&arn);
    stop().stop_type(StopServiceDeploymentStopType::Rollback).send().await.expect("taken");
    assert_eq!(code(stop().send().await), "ConflictException");
    steps(&fake, 1);
    let rollout = told().await;
    assert_eq!(rollout.status().map(|status| status.as_str()), Some("ROLLBACK_IN_PROGRESS"));
    assert!(rollout.rollback().expect("told").service_revision_arn().is_some());
    steps(&fake, 2);
    assert_eq!((status().await.as_str(), images()), ("ROLLBACK_SUCCESSFUL", (0, 9)));
    let unknown = aws.ecs.stop_service_deployment().service_deployment_arn("gone").send().await;
    assert_eq!(code(unknown), "ServiceDeploymentNotFoundException");
    fake.with(|world| world.digests.insert("registry.example/service-000:1.1".into(), "sha256:moved".into()));
    update().force_new_deployment(true).send().await.expect("taken");
    steps(&fake, 3);
    let moved = fake.with(|world| {
        let running = world.tasks.values().filter(|task| task.desired == "RUNNING");
        running.filter(|task| task.containers[0].digest.as_deref() == Some("sha256:moved")).count()
    });
    assert_eq!(moved, 9);
    assert_eq!(code(update().task_definition("service-000:7").send().await), "ClientException");
    fake.with(|world| world.services.values_mut().for_each(|service| service.status = "DRAINING".into()));
    assert_eq!(code(update().send().await), "ServiceNotActiveException");
}

#[tokio::test]
async fn a_circuit_breaker_takes_a_service_back() {
    let (fake, aws) = with_tasks(1, 3).await;
    fake.with(|world| {
        let service = world.services.values_mut().next().expect("one");
        (service.cannot_start, service.breaker) = (Some("no such image".into()), Some(3));
    });
    let call = aws.ecs.update_service().cluster("shop").service("service-000").task_definition("service-000:1");
    let arn = call
        .send()
        .await
        .expect("taken")
        .service()
        .and_then(|one| one.current_service_deployment())
        .map(str::to_string);
    steps(&fake, 2);
    let services = aws.ecs.describe_services().cluster("shop").services("service-000").send().await.expect("answered");
    assert_eq!(services.services()[0].deployments()[0].failed_tasks(), 2);
    steps(&fake, 2);
    let told = aws.ecs.describe_service_deployments().service_deployment_arns(arn.expect("told")).send().await;
    let told = told.expect("answered");
    let rollout = &told.service_deployments()[0];
    assert!(rollout.status_reason().expect("told").contains("circuit breaker"));
    let breaker = rollout.deployment_circuit_breaker().expect("told");
    assert_eq!(breaker.threshold(), 3);
}

#[tokio::test]
async fn a_stopped_task_is_replaced() {
    let (fake, aws) = with_tasks(1, 3).await;
    let arn = fake.with(|world| world.tasks.keys().next().cloned().expect("one"));
    let stopped = aws.ecs.stop_task().cluster("shop").task(&arn).reason("bad").send().await.expect("taken");
    let task = stopped.task().expect("told");
    assert_eq!((task.last_status(), task.stopped_reason()), (Some("STOPPED"), Some("bad")));
    let count = async || aws.ecs.list_tasks().cluster("shop").send().await.expect("answered").task_arns().len();
    assert_eq!(count().await, 2);
    steps(&fake, 1);
    assert_eq!(count().await, 3);
    assert_eq!(code(aws.ecs.stop_task().cluster("shop").task("gone").send().await), "InvalidParameterException");
    assert_eq!(fake.requests().last().expect("one").json()["task"], "gone");
}

#[tokio::test]
async fn each_fault_comes_as_the_error_that_its_service_gives() {
    let (fake, aws) = with_fleet(1, 1).await;
    fake.seed_tasks(1, 1);
    let own = Refusal { status: 500, code: "ResourceContention", message: "Another update is pending.".into() };
    let cases = [
        (Fault::Throttle, ["RequestLimitExceeded", "Throttling", "ThrottlingException"]),
        (Fault::Expired, ["RequestExpired", "ExpiredToken", "ExpiredTokenException"]),
        (Fault::Denied, ["UnauthorizedOperation", "AccessDenied", "AccessDeniedException"]),
        (Fault::Broken, ["unhandled"; 3]),
        (Fault::Refuse(own), ["ResourceContention"; 3]),
    ];
    for (fault, codes) in cases {
        fake.fail("", fault, 3);
        let seen = [
            code(aws.ec2.describe_instances().send().await),
            code(aws.groups.describe_auto_scaling_groups().send().await),
            code(aws.ecs.list_clusters().send().await),
        ];
        assert_eq!(seen, codes);
        assert_eq!(code(aws.sts.get_caller_identity().send().await), "none");
    }
    let unknown = aws.ec2.describe_vpcs().send().await.expect_err("unknown");
    assert_eq!(unknown.raw_response().map(|answer| answer.status().as_u16()), Some(500));
}

#[tokio::test]
async fn a_broken_connection_tells_nothing_of_what_was_done() {
    let (fake, aws) = with_fleet(1, 3).await;
    let ids: Vec<String> = fake.with(|world| world.machines.keys().cloned().collect());
    let cases = [(Fault::Unheard, "InService"), (Fault::Reset, "Terminating"), (Fault::Torn, "Terminating")];
    for (id, (fault, lifecycle)) in ids.iter().zip(cases) {
        fake.fail("Terminate", fault, 1);
        let call = aws.groups.terminate_instance_in_auto_scaling_group().instance_id(id);
        let error = call.should_decrement_desired_capacity(false).send().await.expect_err("broken");
        let is_broken = matches!(error, SdkError::DispatchFailure(_) | SdkError::ResponseError(_));
        assert!(is_broken, "{error:?}");
        assert_eq!(fake.with(|world| world.groups[GROUP].members[id].lifecycle.clone()), lifecycle);
    }
    assert_eq!(fake.count("TerminateInstanceInAutoScalingGroup"), 3);
}

#[tokio::test]
async fn a_slow_answer_is_late_and_a_healed_server_is_well() {
    let (fake, aws) = with_fleet(1, 1).await;
    fake.fail("Describe", Fault::Slow(Duration::from_millis(50)), 1);
    let asked = Instant::now();
    aws.ec2.describe_instances().send().await.expect("answered");
    assert!(asked.elapsed() >= Duration::from_millis(50));
    fake.fail("Describe", Fault::Throttle, 100);
    fake.heal();
    assert_eq!(code(aws.ec2.describe_instances().send().await), "none");
}

#[tokio::test]
async fn a_world_that_changes_between_pages_shows_what_stayed_once() {
    let (fake, aws) = with_fleet(1, 25).await;
    let before: Vec<String> = fake.with(|world| world.machines.keys().cloned().collect());
    let (first, last) = (before[0].clone(), before[24].clone());
    let change = move |world: &mut super::fake::World| {
        world.machines.remove(&first);
        world.machines.remove(&last);
        world.machine(OLD, "m5.large");
    };
    fake.fail("DescribeInstanceImageMetadata", Fault::ChangeBetweenPages(Arc::new(change)), 1);
    let (mut seen, mut token) = (Vec::new(), None);
    loop {
        let call = aws.ec2.describe_instance_image_metadata().max_results(10).set_next_token(token);
        let page = call.send().await.expect("answered");
        seen.extend(page.instance_image_metadata().iter().filter_map(|one| one.instance_id().map(str::to_string)));
        token = page.next_token().map(str::to_string);
        if token.is_none() {
            break;
        }
    }
    // The first was told before it went, the last went before it was told, the new one came in time.
    let mut expected = before[..24].to_vec();
    expected.push(fake.with(|world| world.machines.keys().last().cloned().expect("some")));
    assert_eq!(seen, expected);
}
