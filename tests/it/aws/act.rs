//! Going back, replacing, holding and letting go at AWS: the requests that arrive, and how each comes to its end.

use serde_json::{Value, json};

use crate::journeys::desk::{Desk, text};
use crate::journeys::relay::Relay;
use crate::real::moto::{Region, region_or_skip};

/// A group `checkout` that was rolled from version 1 (v41) to 2 (v42); its template, and both images.
pub(super) fn bad_release(region: &Region, size: i32) -> (String, String, String) {
    let (old, new) = (region.image("checkout-41", "v41"), region.image("checkout-42", "v42"));
    let template = region.template("checkout", &old);
    region.version(&template, &new);
    region.group("checkout", &template, "1", size, &[]);
    region.roll("checkout", &template, 2);
    (template, old, new)
}

/// How the settings of the newest refresh read.
fn preferences(region: &Region) -> (Option<i32>, Option<i32>, Option<bool>) {
    let refreshes = region.refreshes("checkout");
    let preferences = refreshes[0].preferences().expect("preferences");
    (preferences.min_healthy_percentage(), preferences.max_healthy_percentage(), preferences.skip_matching())
}

#[test]
fn a_share_goes_first_and_the_group_waits_there() {
    let Some(region) = region_or_skip("a_share_goes_first_and_the_group_waits_there") else { return };
    bad_release(&region, 4);
    let desk = Desk::at(&[]);
    desk.region(&region);
    desk.configure("[[policy.places]]\nplaces = \"aws/*\"\nfirst = \"25%\"\nbake = \"2s\"");
    let (plan, code, shown) = desk.plan(&["rollback", "checkout"]);
    let step = &shown["waves"][0]["steps"][0];
    assert_eq!(step["first_percent"], json!(25));
    assert!(text(&step["equivalent"]).contains(r#""CheckpointPercentages":[25,100]"#), "{step}");
    desk.start(&["apply", &plan, "--code", &code]).end_in(&region).operation("done", 0);
    let refreshes = region.refreshes("checkout");
    let preferences = refreshes[0].preferences().expect("preferences");
    assert_eq!((preferences.checkpoint_percentages(), preferences.checkpoint_delay()), (&[25, 100][..], Some(2)));
    assert_eq!(region.versions("checkout"), ["1"; 4]);
}

/// Begins a rollback; returns when its refresh was taken.
fn begin(desk: &Desk, arguments: &[&str]) -> (crate::journeys::desk::Running, String) {
    let (plan, code, _) = desk.plan(arguments);
    let apply = desk.start(&["apply", &plan, "--code", &code]);
    let operation = desk.operation("the step to be taken", |operation| {
        operation["plan"] == plan.as_str() && operation["steps"][0]["accepted_at"].is_string()
    });
    (apply, text(&operation["operation"]))
}

#[test]
fn a_group_goes_back_by_a_refresh_to_a_numbered_version() {
    let Some(region) = region_or_skip("a_group_goes_back_by_a_refresh_to_a_numbered_version") else { return };
    let (template, old, _) = bad_release(&region, 4);
    let desk = Desk::at(&[]);
    desk.region(&region);
    let (plan, code, shown) = desk.plan(&["rollback", "checkout"]);
    let step = &shown["waves"][0]["steps"][0];
    let equivalent = text(&step["equivalent"]);
    assert!(equivalent.starts_with("aws autoscaling start-instance-refresh"), "{equivalent}");
    assert!(equivalent.contains(&format!(r#"{{"LaunchTemplateId":"{template}","Version":"1"}}"#)), "{equivalent}");
    let checks: Vec<String> =
        shown["checks"].as_array().expect("a list").iter().map(|check| text(&check["name"])).collect();
    for name in ["target", "processes", "image", "architecture", "dry run"] {
        assert!(checks.iter().any(|check| check == name), "{name}: {checks:?}");
    }
    let done = desk.start(&["apply", &plan, "--code", &code]).end_in(&region).operation("done", 0);
    assert!(text(&done["steps"][0]["detail"]).contains(&old[..12]), "{done}");
    assert_eq!(
        (region.versions("checkout"), region.own_version("checkout")),
        (vec!["1".to_string(); 4], "1".to_string())
    );
    assert_eq!(preferences(&region), (Some(90), Some(110), Some(true)));
    assert_eq!(region.refreshes("checkout").len(), 2, "one request, sent once");
    // Back again is refused: v42 was left because it is bad.
    let again = desk.run(&["plan", "rollback", "checkout"]).ended(1);
    assert!(
        again.json()["refusals"][0]["reason"].as_str().is_some_and(|why| why.contains("no earlier version")),
        "{again}"
    );
}

#[test]
fn a_running_refresh_is_taken_back() {
    let Some(region) = region_or_skip("a_running_refresh_is_taken_back") else { return };
    let (old, new) = (region.image("checkout-41", "v41"), region.image("checkout-42", "v42"));
    let template = region.template("checkout", &old);
    region.version(&template, &new);
    region.group("checkout", &template, "1", 4, &[]);
    region.refresh("checkout", &template, 2, 75);
    region.step(3);
    assert_eq!((region.newest("checkout"), region.versions("checkout")[3].as_str()), ("InProgress".to_string(), "2"));
    let desk = Desk::at(&[]);
    desk.region(&region);
    let (_, _, shown) = desk.plan(&["rollback", "checkout"]);
    let equivalent = text(&shown["waves"][0]["steps"][0]["equivalent"]);
    assert!(equivalent.contains("rollback-instance-refresh"), "{equivalent}");
    let (apply, _) = begin(&desk, &["rollback", "checkout"]);
    apply.end_in(&region).operation("done", 0);
    assert_eq!(
        (region.newest("checkout"), region.versions("checkout")),
        ("RollbackSuccessful".into(), vec!["1".into(); 4])
    );
    assert_eq!(region.refreshes("checkout").len(), 1, "no second refresh");
}

/// A group that launches `$Latest`: v42 came, and somebody refreshes to it; that can't be taken back.
fn irreversible(region: &Region) -> String {
    let (old, new) = (region.image("checkout-41", "v41"), region.image("checkout-42", "v42"));
    let template = region.template("checkout", &old);
    region.group("checkout", &template, "$Latest", 4, &[]);
    region.version(&template, &new);
    region.refresh_to_own("checkout", 75);
    region.step(2);
    template
}

#[test]
fn a_way_back_that_is_another_one_by_now_is_not_sent() {
    let Some(region) = region_or_skip("a_way_back_that_is_another_one_by_now_is_not_sent") else { return };
    let (old, new) = (region.image("checkout-41", "v41"), region.image("checkout-42", "v42"));
    let template = region.template("checkout", &old);
    region.version(&template, &new);
    region.group("checkout", &template, "1", 4, &[]);
    region.refresh("checkout", &template, 2, 75);
    region.step(2);
    let desk = Desk::at(&[]);
    desk.region(&region);
    let (plan, code, _) = desk.plan(&["rollback", "checkout"]);
    region.step(8);
    let said = desk.run(&["apply", &plan, "--code", &code]).ended(1).to_string();
    assert!(said.contains("has come to its end"), "{said}");
    assert_eq!((region.newest("checkout"), region.refreshes("checkout").len()), ("Successful".to_string(), 1));
}

#[test]
fn a_refresh_that_somebody_else_ends_has_failed() {
    let Some(region) = region_or_skip("a_refresh_that_somebody_else_ends_has_failed") else { return };
    bad_release(&region, 4);
    let desk = Desk::at(&[]);
    desk.region(&region);
    let (apply, _) = begin(&desk, &["rollback", "checkout"]);
    region.step(2);
    region.get(region.autoscaling.cancel_instance_refresh().auto_scaling_group_name("checkout").send());
    let failed = apply.end_in(&region).operation("failed", 1);
    assert!(text(&failed["reason"]).contains("somebody else has ended its rollout"), "{failed}");
}

#[test]
fn a_refresh_that_cant_be_taken_back_is_ended_first() {
    let Some(region) = region_or_skip("a_refresh_that_cant_be_taken_back_is_ended_first") else { return };
    irreversible(&region);
    let desk = Desk::at(&[]);
    desk.region(&region);
    let (_, _, shown) = desk.plan(&["rollback", "checkout"]);
    let steps = shown["waves"][0]["steps"].as_array().expect("a list").clone();
    let verbs: Vec<String> = steps.iter().map(|step| text(&step["verb"])).collect();
    assert_eq!(verbs, ["end_rollout", "restore_revision"], "{shown}");
    assert!(text(&steps[0]["equivalent"]).contains("cancel-instance-refresh"), "{shown}");
    assert!(text(&steps[1]["equivalent"]).contains("start-instance-refresh"), "{shown}");
    let warned = shown["checks"].as_array().expect("a list").iter().find(|check| check["name"] == "rollout").cloned();
    assert!(text(&warned.expect("it is said")["detail"]).contains("is ended first"), "{shown}");
    let (apply, _) = begin(&desk, &["rollback", "checkout"]);
    let done = apply.end_in(&region).operation("done", 0);
    assert_eq!(done["debts"], json!([]), "{done}");
    assert_eq!((region.versions("checkout"), region.own_version("checkout")), (vec!["1".to_string(); 4], "1".into()));
    let ends: Vec<String> = region.refreshes("checkout").iter().map(|one| format!("{:?}", one.status())).collect();
    assert_eq!(ends, ["Some(Successful)", "Some(Cancelled)"], "one was ended, one was sent");
}

#[test]
fn a_refresh_that_ends_by_itself_is_not_ended_again() {
    let Some(region) = region_or_skip("a_refresh_that_ends_by_itself_is_not_ended_again") else { return };
    irreversible(&region);
    let desk = Desk::at(&[]);
    desk.region(&region);
    let (plan, code, _) = desk.plan(&["rollback", "checkout"]);
    region.step(8);
    assert_eq!(region.newest("checkout"), "Successful");
    let said = desk.run(&["apply", &plan, "--code", &code]).ended(1).to_string();
    assert!(said.contains("has come to its end"), "{said}");
    assert_eq!(region.refreshes("checkout").len(), 1, "nothing was begun");
}

#[test]
fn a_cancelled_refresh_is_held_and_goes_on_by_another() {
    let Some(region) = region_or_skip("a_cancelled_refresh_is_held_and_goes_on_by_another") else { return };
    bad_release(&region, 4);
    let desk = Desk::at(&[]);
    desk.region(&region);
    let (apply, operation) = begin(&desk, &["rollback", "checkout"]);
    region.step(2);
    // Who may change nothing asks nothing of those who may.
    let said = desk.run(&["--read-only", "pause", &operation]).ended(2).to_string();
    assert!(said.contains("read only"), "{said}");
    let held = desk.run(&["pause", &operation]).operation("paused", 0);
    assert_eq!(held["debts"][0]["what"], "its rollout is held", "{held}");
    region.step(1);
    assert_eq!(region.newest("checkout"), "Cancelled");
    let drift = desk.run(&["drift"]).ended(1).json();
    assert!(text(&drift["rows"][0]["reason"]).contains("held"), "a rollout that does not go on is off: {drift}");
    let left = region.versions("checkout");
    assert!(left.contains(&"1".to_string()) && left.contains(&"2".to_string()), "two versions: {left:?}");
    let resume = desk.start(&["resume", &operation]);
    let done = resume.end_in(&region).operation("done", 0);
    assert_eq!(done["debts"], json!([]));
    apply.end().operation("done", 0);
    assert_eq!(region.versions("checkout"), vec!["1"; 4]);
    assert_eq!(region.refreshes("checkout").len(), 3, "the release of v42, the way back, and its second half");
}

#[test]
fn machines_that_are_off_are_replaced_one_by_one() {
    let Some(region) = region_or_skip("machines_that_are_off_are_replaced_one_by_one") else { return };
    let (old, new) = (region.image("search-1", "v1"), region.image("search-2", "v2"));
    let template = region.template("search", &old);
    region.group("search", &template, "$Latest", 4, &[]);
    let before = region.members("search");
    region.version(&template, &new);
    // The first is replaced by somebody else: the group launches what $Latest stands for now.
    region.terminate(&before[0].0);
    let desk = Desk::at(&[]);
    desk.region(&region);
    let drift = desk.run(&["drift"]).ended(1);
    let row = drift.json()["rows"][0].take();
    assert_eq!(
        (&row["off"], &row["expected"]["source"], &row["marks"]),
        (&json!(3), &json!("resolved"), &json!(["latent"]))
    );
    let said = desk.plan_and_apply(&["replace", "search"]);
    let done = said.operation("done", 0);
    assert_eq!(done["steps"].as_array().map(Vec::len), Some(3));
    assert_eq!(region.versions("search"), ["2"; 4]);
    desk.run(&["drift"]).ended(0);
}

#[test]
fn a_service_goes_back_to_an_earlier_task_definition() {
    let Some(region) = region_or_skip("a_service_goes_back_to_an_earlier_task_definition") else { return };
    region.cluster("shop");
    let definitions =
        ["v41", "v42"].map(|version| region.definition("pay", &format!("registry.example/pay:{version}")));
    region.service("shop", "pay", &definitions[0], 3);
    region.deploy("shop", "pay", &definitions[1]);
    region.step(8);
    assert_eq!(region.definitions("shop", "pay"), vec![definitions[1].as_str(); 3]);
    let desk = Desk::at(&[]);
    desk.region(&region);
    let (plan, code, shown) = desk.plan(&["rollback", "pay"]);
    let equivalent = text(&shown["waves"][0]["steps"][0]["equivalent"]);
    assert!(
        equivalent
            .contains(&format!("ecs update-service --cluster shop --service pay --task-definition {}", definitions[0])),
        "{equivalent}"
    );
    desk.start(&["apply", &plan, "--code", &code]).end_in(&region).operation("done", 0);
    assert_eq!(region.definitions("shop", "pay"), vec![definitions[0].as_str(); 3]);
}

#[test]
fn a_running_deployment_is_taken_back_to_the_digests_that_it_left() {
    let Some(region) = region_or_skip("a_running_deployment_is_taken_back_to_the_digests_that_it_left") else { return };
    region.cluster("shop");
    let image = "registry.example/taken-back:stable";
    let definitions = [image, "registry.example/taken-back:v42"].map(|image| region.definition("pay", image));
    region.service("shop", "pay", &definitions[0], 4);
    let digests = || {
        let tasks = region.tasks("shop", "pay");
        let digest = |task: &aws_sdk_ecs::types::Task| task.containers()[0].image_digest().map(ToString::to_string);
        tasks.iter().map(digest).collect::<std::collections::BTreeSet<_>>()
    };
    let before = digests();
    region.deploy("shop", "pay", &definitions[1]);
    region.step(2);
    // The tag stands for something else by now: a new deployment would resolve it again.
    region.move_tag(image, &format!("sha256:{}", "6".repeat(64)));
    let desk = Desk::at(&[]);
    desk.region(&region);
    let (_, _, shown) = desk.plan(&["rollback", "pay"]);
    let equivalent = text(&shown["waves"][0]["steps"][0]["equivalent"]);
    assert!(equivalent.contains("ecs stop-service-deployment") && equivalent.contains("ROLLBACK"), "{equivalent}");
    let (apply, _) = begin(&desk, &["rollback", "pay"]);
    apply.end_in(&region).operation("done", 0);
    assert_eq!(region.definitions("shop", "pay"), vec![definitions[0].as_str(); 4]);
    assert_eq!(digests(), before);
}

#[test]
fn a_tag_that_moved_is_found_when_the_service_has_settled() {
    let Some(region) = region_or_skip("a_tag_that_moved_is_found_when_the_service_has_settled") else { return };
    region.cluster("shop");
    let image = "registry.example/moved:stable";
    let definitions = [image, "registry.example/moved:v42"].map(|image| region.definition("pay", image));
    region.service("shop", "pay", &definitions[0], 3);
    region.deploy("shop", "pay", &definitions[1]);
    region.step(8);
    region.move_tag(image, &format!("sha256:{}", "7".repeat(64)));
    let desk = Desk::at(&[]);
    desk.region(&region);
    let (apply, _) = begin(&desk, &["rollback", "pay"]);
    let failed = apply.end_in(&region).operation("failed", 1);
    assert!(text(&failed["reason"]).contains("3 of 3 run another image: 777777777777"), "{failed}");
}

#[test]
fn a_service_whose_deployment_is_stopped_goes_on_by_another() {
    let Some(region) = region_or_skip("a_service_whose_deployment_is_stopped_goes_on_by_another") else { return };
    region.cluster("shop");
    let definitions =
        ["v41", "v42"].map(|version| region.definition("pay", &format!("registry.example/pay:{version}")));
    region.service("shop", "pay", &definitions[0], 6);
    region.deploy("shop", "pay", &definitions[1]);
    region.step(12);
    let desk = Desk::at(&[]);
    desk.region(&region);
    let (apply, operation) = begin(&desk, &["rollback", "pay"]);
    region.step(2);
    let held = desk.run(&["pause", &operation]).operation("paused", 0);
    assert_eq!(held["debts"][0]["what"], "its rollout is held", "{held}");
    region.step(3);
    let left = region.definitions("shop", "pay");
    assert!(left.contains(&definitions[0]) && left.contains(&definitions[1]), "two versions: {left:?}");
    desk.start(&["resume", &operation]).end_in(&region).operation("done", 0);
    apply.end().operation("done", 0);
    assert_eq!(region.definitions("shop", "pay"), vec![definitions[0].as_str(); 6]);
}

#[test]
fn a_task_that_is_off_is_stopped_and_made_again() {
    let Some(region) = region_or_skip("a_task_that_is_off_is_stopped_and_made_again") else { return };
    region.cluster("shop");
    let definition = region.definition("pay", "registry.example/pay:v41");
    region.service("shop", "pay", &definition, 4);
    let before = region.tasks("shop", "pay");
    let desk = Desk::at(&[]);
    desk.region(&region);
    let (plan, code, _) = desk.plan(&["replace", "pay", "--oldest", "1"]);
    desk.start(&["apply", &plan, "--code", &code]).end_in(&region).operation("done", 0);
    let after = region.tasks("shop", "pay");
    let arn = |task: &aws_sdk_ecs::types::Task| task.task_arn().unwrap_or_default().to_string();
    let kept = before.iter().filter(|task| after.iter().any(|other| arn(other) == arn(task))).count();
    assert_eq!((after.len(), kept), (4, 3));
}

#[test]
fn read_only_sends_nothing_that_could_change_something_and_no_key_is_kept() {
    let name = "read_only_sends_nothing_that_could_change_something_and_no_key_is_kept";
    let Some(region) = region_or_skip(name) else { return };
    bad_release(&region, 2);
    let relay = Relay::to_aws(region.moto().port());
    let desk = Desk::at(&[]);
    desk.region_at(&region, relay.url());
    let said = desk.run(&["plan", "rollback", "checkout", "--read-only", "-vv"]);
    assert_eq!((said.code, &said.json()["code"]), (Some(1), &Value::Null), "{said}");
    assert_eq!(relay.changes(), Vec::<String>::new());
    for (path, content) in desk.files() {
        let is_aws_own = path.file_name().is_some_and(|name| name == "credentials");
        let holds = |word: &str| content.windows(word.len()).any(|part| part == word.as_bytes());
        assert!(is_aws_own || !(holds("s3cret-canary") || holds("AKIATEST")), "{}", path.display());
    }
}

#[test]
fn what_a_credential_process_says_beside_credentials_is_shown_to_nobody() {
    let name = "what_a_credential_process_says_beside_credentials_is_shown_to_nobody";
    let Some(region) = region_or_skip(name) else { return };
    bad_release(&region, 2);
    let desk = Desk::at(&[]);
    desk.region(&region);
    let folder = desk.directory().join(".aws");
    let helper = |script: &str| {
        std::fs::remove_file(folder.join("credentials")).ok();
        let file = folder.join("helper.sh");
        std::fs::write(&file, script).expect("written");
        let config = format!("[default]\ncredential_process = sh '{}'\n", file.display());
        std::fs::write(folder.join("config"), config).expect("written");
    };
    helper("echo s3cret-canary >&2; exit 3");
    let said = desk.run(&["places", "-vv"]);
    assert!(said.to_string().contains("the credential_process failed (exit status: 3)"), "{said}");
    let is_told = |said: &crate::journeys::desk::Said| said.to_string().contains("s3cret-canary");
    assert!(!is_told(&said), "{said}");
    for (path, content) in desk.files().into_iter().filter(|(path, _)| !path.starts_with(&folder)) {
        assert!(!content.windows(13).any(|part| part == b"s3cret-canary"), "{}", path.display());
    }
    // One that works is used, and finds no terminal.
    helper(
        "(: </dev/tty) 2>/dev/null && exit 4\n\
         echo '{\"Version\": 1, \"AccessKeyId\": \"AKIATEST\", \"SecretAccessKey\": \"s3cret-canary\"}'",
    );
    let said = desk.run(&["fleet"]);
    assert_eq!(said.json()["rows"][0]["workload"], "checkout", "{said}");
}

#[test]
fn what_moved_since_the_plan_is_not_overwritten() {
    let Some(region) = region_or_skip("what_moved_since_the_plan_is_not_overwritten") else { return };
    let (template, ..) = bad_release(&region, 2);
    let desk = Desk::at(&[]);
    desk.region(&region);
    let (plan, code, _) = desk.plan(&["rollback", "checkout"]);
    let third = region.version(&template, &region.image("checkout-43", "v43"));
    region.roll("checkout", &template, third);
    let said = desk.run(&["apply", &plan, "--code", &code]).ended(1);
    assert!(said.err.contains("its template was changed"), "{said}");
    assert_eq!((region.versions("checkout"), region.refreshes("checkout").len()), (vec!["3".to_string(); 2], 2));
}
