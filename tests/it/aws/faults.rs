//! What AWS does not do on demand: credentials that expire, throttling, permissions that are missing, HTML where an answer
//! should be. A relay before moto answers in its place.

use rolldeck::domain::observation::PlaceState;
use rolldeck::providers::Answer;

use super::act::bad_release;
use super::watched::Watched;
use crate::journeys::relay::{Relay, aws_action, aws_error, http};
use crate::real::moto::{region_or_skip, write_files};

/// Runs a check on a region of its own with a group `checkout` after a bad release.
fn run(test: &str, check: impl AsyncFn(Watched, Relay)) {
    let Some(region) = region_or_skip(test) else { return };
    bad_release(&region, 3);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let relay = Relay::to_aws(region.moto().port());
        let files = tempfile::tempdir().expect("a folder");
        write_files(files.path());
        check(Watched::of(region.name(), relay.url(), files), relay).await;
    });
}

#[test]
fn expired_credentials_pause_the_place_and_it_wakes_by_itself() {
    run("expired_credentials_pause_the_place_and_it_wakes_by_itself", async |mut watched, relay| {
        watched.until_live().await;
        relay.refuse(Some(|head, _| Some(aws_error(head, 400, "ExpiredToken"))));
        watched.until("it is paused", |place| matches!(place.state, PlaceState::AuthExpired(_))).await;
        let why = watched.place().state.reason().expect("a reason").to_string();
        assert!(why.contains("sign in again: aws sso login"), "{why}");
        assert_eq!(watched.fleet.instance_count(), 3, "what was known stays");
        relay.refuse(None);
        watched.until_live().await;
    });
}

#[test]
fn without_files_and_keys_it_says_how_to_sign_in() {
    let Some(region) = region_or_skip("without_files_and_keys_it_says_how_to_sign_in") else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let mut watched = Watched::of(region.name(), &region.moto().url(), tempfile::tempdir().expect("a folder"));
        watched.until("nobody is signed in", |place| matches!(place.state, PlaceState::AuthExpired(_))).await;
        let why = watched.place().state.reason().expect("a reason").to_string();
        assert!(why.contains("credentials") && why.contains("sign in again"), "{why}");
    });
}

#[test]
fn throttling_keeps_what_is_known_and_ends() {
    run("throttling_keeps_what_is_known_and_ends", async |mut watched, relay| {
        watched.until_live().await;
        relay.refuse(Some(|head, body| {
            let action = aws_action(head, body)?;
            (action == "DescribeInstanceImageMetadata").then(|| aws_error(head, 503, "RequestLimitExceeded"))
        }));
        watched.until("it is stale", |place| matches!(place.state, PlaceState::Stale(_))).await;
        let why = watched.place().state.reason().expect("a reason").to_string();
        assert!(why.contains("slower"), "{why}");
        assert_eq!(watched.fleet.instance_count(), 3);
        relay.refuse(None);
        watched.until_live().await;
    });
}

#[test]
fn what_is_not_granted_is_told_and_the_rest_is_shown() {
    run("what_is_not_granted_is_told_and_the_rest_is_shown", async |mut watched, relay| {
        relay.refuse(Some(|head, body| match aws_action(head, body)?.as_str() {
            "ListClusters" => Some(aws_error(head, 400, "AccessDeniedException")),
            "DescribeInstanceRefreshes" => Some(aws_error(head, 403, "AccessDenied")),
            _ => None,
        }));
        watched.until_live().await;
        let limits: Vec<String> = watched.place().limits.iter().map(|(_, why)| why.to_string()).collect();
        for action in ["ecs:ListClusters", "autoscaling:DescribeInstanceRefreshes"] {
            assert!(limits.iter().any(|why| why.contains(action)), "{action}: {limits:?}");
        }
        assert_eq!(watched.fleet.instance_count(), 3);
        relay.refuse(None);
        watched.until("all is granted", |place| place.limits.is_empty()).await;
        assert_eq!(watched.fleet.instance_count(), 3, "nothing is wiped by being granted");
    });
}

#[test]
fn who_may_see_nothing_is_told_so() {
    run("who_may_see_nothing_is_told_so", async |mut watched, relay| {
        relay.refuse(Some(|head, body| {
            (aws_action(head, body)? != "GetCallerIdentity").then(|| aws_error(head, 403, "AccessDenied"))
        }));
        watched.until("it is forbidden", |place| matches!(place.state, PlaceState::Forbidden(_))).await;
        relay.refuse(None);
        watched.until_live().await;
        assert_eq!(watched.fleet.instance_count(), 3, "all is there once it is granted");
    });
}

#[test]
fn html_is_no_answer_and_the_place_comes_back() {
    run("html_is_no_answer_and_the_place_comes_back", async |mut watched, relay| {
        relay.refuse(Some(|_, _| Some(http(500, "text/html", "<html>so sorry</html>"))));
        watched.until("it is unreachable", |place| matches!(place.state, PlaceState::Unreachable(_))).await;
        relay.refuse(None);
        watched.until_live().await;
        relay.refuse(Some(|_, _| Some(http(200, "text/xml", "<Describe"))));
        watched.until("it is stale", |place| matches!(place.state, PlaceState::Stale(_))).await;
        relay.refuse(None);
        watched.until_live().await;
    });
}

#[test]
fn each_answer_says_whether_anything_was_done_and_nothing_is_sent_twice() {
    run("each_answer_says_whether_anything_was_done_and_nothing_is_sent_twice", async |mut watched, relay| {
        watched.until_live().await;
        let step = watched.rollback();
        macro_rules! answered {
            ($answer:expr) => {{
                relay.refuse(Some(|head, body| {
                    (aws_action(head, body)? == "StartInstanceRefresh").then(|| $answer(head))
                }));
                watched.order(&step).await
            }};
        }
        let answer = answered!(|_: &str| http(500, "text/html", "<html>so sorry</html>"));
        assert!(matches!(&answer, Answer::Unanswered(_)), "{answer:?}");
        let answer = answered!(|head: &str| aws_error(head, 500, "InternalFailure"));
        assert!(matches!(&answer, Answer::Unanswered(_)), "{answer:?}");
        let answer = answered!(|head: &str| aws_error(head, 500, "ResourceContention"));
        assert!(matches!(&answer, Answer::Blocked(_)), "{answer:?}");
        let answer = answered!(|head: &str| aws_error(head, 400, "Throttling"));
        assert!(matches!(&answer, Answer::Blocked(_)), "{answer:?}");
        let answer = answered!(|head: &str| aws_error(head, 400, "InstanceRefreshInProgress"));
        assert!(matches!(&answer, Answer::Refused(why) if why.contains("look at it, then plan again")), "{answer:?}");
        let answer = answered!(|head: &str| aws_error(head, 403, "AccessDenied"));
        assert!(
            matches!(&answer, Answer::Refused(why) if why.contains("autoscaling:StartInstanceRefresh")),
            "{answer:?}"
        );
        assert_eq!(relay.changes().len(), 6, "each was sent once");
    });
}

#[test]
fn half_an_answer_is_none_and_a_list_without_end_ends() {
    run("half_an_answer_is_none_and_a_list_without_end_ends", async |mut watched, relay| {
        watched.until_live().await;
        macro_rules! stale_by {
            ($action:literal, $answer:expr) => {{
                relay.refuse(Some(|head, body| (aws_action(head, body)? == $action).then(|| $answer)));
                watched.until("it is stale", |place| matches!(place.state, PlaceState::Stale(_))).await;
                assert_eq!(watched.fleet.instance_count(), 3, "what was known stays");
                relay.refuse(None);
                watched.until_live().await;
            }};
        }
        let half = "<DescribeAutoScalingGroupsResponse><DescribeAutoScalingGroupsResult><AutoScalingGroups>";
        stale_by!("DescribeAutoScalingGroups", http(200, "text/xml", half_of_a_list()));
        assert!(half_of_a_list().starts_with(half));
        stale_by!("ListClusters", http(200, "application/x-amz-json-1.1", ""));
        stale_by!("DescribeAutoScalingGroups", http(200, "text/xml", &endless(half_of_a_list())));
    });
}

fn half_of_a_list() -> &'static str {
    "<DescribeAutoScalingGroupsResponse><DescribeAutoScalingGroupsResult><AutoScalingGroups><member>\
     <AutoScalingGroupName>other</AutoScalingGroupName><MinSize>0</MinSize><MaxSize>1</MaxSize>\
     <DesiredCapacity>0</DesiredCapacity></member>"
}

fn endless(half: &str) -> String {
    format!(
        "{half}</AutoScalingGroups><NextToken>again</NextToken></DescribeAutoScalingGroupsResult>\
         </DescribeAutoScalingGroupsResponse>"
    )
}

#[test]
fn what_a_group_of_two_versions_should_run_is_not_known_without_its_refreshes() {
    let Some(region) = region_or_skip("what_a_group_of_two_versions_should_run_is_not_known_without_its_refreshes")
    else {
        return;
    };
    let (template, ..) = bad_release(&region, 4);
    region.refresh("checkout", &template, 1, 75);
    region.step(2);
    region.get(region.autoscaling.cancel_instance_refresh().auto_scaling_group_name("checkout").send());
    region.step(1);
    let relay = Relay::to_aws(region.moto().port());
    relay.refuse(Some(|head, body| {
        (aws_action(head, body)? == "DescribeInstanceRefreshes").then(|| aws_error(head, 403, "AccessDenied"))
    }));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let files = tempfile::tempdir().expect("a folder");
        write_files(files.path());
        let mut watched = Watched::of(region.name(), relay.url(), files);
        watched.until_live().await;
        let group = watched.fleet.workloads().next().expect("one");
        assert_eq!(
            (group.judgement.tally.drift, &group.judgement.expected),
            (0, &None),
            "nothing is said to be expected"
        );
        assert!(group.seen.inoperable.as_ref().is_some_and(|why| why.contains("refreshes can't be read")));
    });
}
