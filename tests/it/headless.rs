//! The built program without a terminal, on simulated fleets: what it answers to mistakes and to a disk that is not as it
//! should be.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

/// Runs a command on the demo with this state directory.
fn run(state: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_rolldeck"))
        .args(arguments)
        .args(["--demo", "bad-release", "--state-dir"])
        .arg(state)
        .env_clear()
        .env("HOME", state)
        .output()
        .expect("the program was built")
}

#[track_caller]
fn check(output: &Output, code: i32, said: &str) {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{out}\n{err}");
    assert!(err.contains(said), "{said:?} in:\n{err}");
}

#[test]
fn a_name_that_nothing_has_is_an_error_and_not_all_well() {
    let state = tempfile::tempdir().expect("a directory");
    for arguments in [["drift", "svc:chekout"], ["instances", "kind:Deploiment"]] {
        check(&run(state.path(), &arguments), 2, "nothing is called so; there are the services auth, billing");
    }
    let nowhere = "no place with anything in it is called so; there are k8s/prod-eu";
    check(&run(state.path(), &["fleet", "place:k8s/prod-xx"]), 2, nowhere);
    // Nothing being in a state is an answer.
    check(&run(state.path(), &["drift", "state:quarantined"]), 0, "");
    check(&run(state.path(), &["drift", "svc:web"]), 0, "");
}

#[test]
fn without_a_place_for_the_journal_it_still_looks_and_says_why_it_does_not_act() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("file");
    fs::write(&file, "not a directory").expect("written");
    let state = file.join("state");
    check(&run(&state, &["fleet", "svc:checkout"]), 0, "read-only because of the journal: the state directory");
    check(&run(&state, &["plan", "rollback", "checkout"]), 1, "choose another with --state-dir");
    check(&run(&state, &["operations"]), 2, "choose another with --state-dir");
}

#[test]
fn a_directory_that_was_there_keeps_its_mode_and_what_is_in_it_is_ours_alone() {
    let state = tempfile::tempdir().expect("a directory");
    fs::set_permissions(state.path(), fs::Permissions::from_mode(0o755)).expect("ours");
    check(&run(state.path(), &["plan", "rollback", "checkout"]), 0, "");
    let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
    assert_eq!(mode(state.path()), 0o755);
    for name in ["journal.db", "observations.db", "rolldeck.log"] {
        assert_eq!(mode(&state.path().join(name)), 0o600, "{name}");
    }
    let made = state.path().join("made/by/us");
    check(&run(&made, &["fleet"]), 0, "");
    assert_eq!(mode(&made), 0o700);
}

#[test]
fn of_two_who_have_the_code_of_one_plan_one_starts_it() {
    let state = tempfile::tempdir().expect("a directory");
    let planned = run(state.path(), &["plan", "rollback", "checkout", "--output", "json"]);
    let plan: Value = serde_json::from_slice(&planned.stdout).expect("JSON");
    let (id, code) = (plan["plan"].as_str().expect("an id"), plan["code"].as_str().expect("a code"));
    let outcomes: Vec<Output> = std::thread::scope(|scope| {
        let apply = || run(state.path(), &["apply", id, "--code", code]);
        let both = [scope.spawn(apply), scope.spawn(apply)];
        both.into_iter().map(|thread| thread.join().expect("it ends")).collect()
    });
    let mut codes: Vec<Option<i32>> = outcomes.iter().map(|output| output.status.code()).collect();
    codes.sort_unstable();
    let errors: Vec<String> = outcomes.iter().map(|output| String::from_utf8_lossy(&output.stderr).into()).collect();
    assert_eq!(codes[1], Some(2), "{errors:#?}");
    assert!(errors.iter().any(|error| error.contains("was started already as o-")), "{errors:#?}");
}

#[test]
fn a_plan_for_people_says_which_image_each_step_leaves_and_goes_to() {
    let state = tempfile::tempdir().expect("a directory");
    let said = |arguments: &[&str]| {
        let output = run(state.path(), arguments);
        check(&output, 0, "");
        String::from_utf8(output.stdout).expect("text")
    };
    let back = said(&["plan", "rollback", "checkout", "place:k8s/prod-eu"]);
    assert!(
        back.contains("Deployment shop/checkout, 20 instances: back to revision 3, v42 ") && back.contains(" -> v41 "),
        "{back}"
    );
    assert!(!back.contains("restore_revision"), "{back}");
    let burn = said(&["plan", "replace", "--oldest", "1", "web", "place:k8s/prod-eu"]);
    let step = burn.lines().find(|line| line.contains("1.1")).expect("a step");
    assert!(step.contains(": replaces web-") && step.contains("h old: 2026.11.0 "), "{step}");
    let scripts = run(state.path(), &["plan", "rollback", "checkout", "place:k8s/prod-eu", "--output", "json"]);
    let plan: Value = serde_json::from_slice(&scripts.stdout).expect("JSON");
    assert_eq!(plan["waves"][0]["steps"][0]["verb"], "restore_revision", "scripts keep their word");
}

#[test]
fn a_configuration_without_an_end_is_refused() {
    let state = tempfile::tempdir().expect("a directory");
    let output = Command::new(env!("CARGO_BIN_EXE_rolldeck"))
        .args(["fleet", "--config", "/dev/zero", "--state-dir"])
        .arg(state.path())
        .output()
        .expect("the program was built");
    check(&output, 2, "it is longer than 1 MiB");
}

#[test]
fn what_changed_in_the_last_hour_is_known_at_the_first_start() {
    let state = tempfile::tempdir().expect("a directory");
    let rows = |arguments: &[&str]| {
        let output = run(state.path(), &[arguments, &["--output", "json", "place:k8s/prod-eu"]].concat());
        check(&output, 0, "watched since");
        let said: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        assert_eq!((&said["schema"], &said["complete"]), (&Value::from(1), &Value::from(true)));
        said["rows"].as_array().expect("rows").clone()
    };
    let young = rows(&["timeline", "--since", "1h"]);
    let told: Vec<[&str; 4]> = young
        .iter()
        .map(|row| ["service", "event", "version", "by"].map(|key| row[key].as_str().unwrap_or("-")))
        .collect();
    assert_eq!(told, [["checkout", "requested", "v42", "helm"], ["billing", "requested", "v8", "helm"]]);
    let row = &young[0];
    for key in ["at", "after", "place", "service", "namespace", "workload", "kind", "container", "event", "image"] {
        assert!(row.get(key).is_some(), "{key}: {row}");
    }
    assert_eq!((row["place"].as_str(), row["workload"].as_str()), (Some("k8s/prod-eu"), Some("checkout")));
    assert!(row["image"].as_str().is_some_and(|image| image.starts_with("sha256:")), "{row}");
    assert!(row["detail"].as_str().is_some_and(|detail| detail.starts_with("history: revision 4: ")), "{row}");
    let all = rows(&["timeline"]);
    assert!(all.len() > young.len(), "{all:#?}");
    assert!(all.is_sorted_by(|a, b| a["at"].as_str() >= b["at"].as_str()), "the newest first: {all:#?}");
    let checkout = rows(&["timeline", "svc:checkout", "age>1h"]);
    assert!(!checkout.is_empty() && checkout.iter().all(|row| row["service"] == "checkout"), "{checkout:#?}");
    let markdown = run(state.path(), &["timeline", "--since", "1h", "--output", "markdown"]);
    check(&markdown, 0, "kept for 30d");
    assert!(String::from_utf8_lossy(&markdown.stdout).starts_with("| AT | SERVICE | PLACE |"));
    check(&run(state.path(), &["timeline", "svc:chekout", "place:k8s/prod-eu"]), 2, "nothing is called so");
    check(&run(state.path(), &["timeline", "--since", "soon"]), 2, "ages look like");
}

#[test]
fn an_incident_is_written_down_once_for_people_and_for_programs() {
    let state = tempfile::tempdir().expect("a directory");
    let folder = state.path().display().to_string();
    let banned = run(state.path(), &["quarantine", "sha256:c0ffee12c0ffee12", "--reason", "it loses orders"]);
    assert_eq!(banned.status.code(), Some(0), "{banned:?}");
    let written = run(state.path(), &["export", "--directory", &folder]);
    assert_eq!(written.status.code(), Some(0), "{written:?}");
    let paths = String::from_utf8(written.stdout).expect("UTF-8");
    let paths: Vec<&str> = paths.lines().collect();
    let markdown = std::fs::read_to_string(paths[0]).expect("the one for people");
    assert!(markdown.contains("| unknown | ledger | k8s/dr-weu | finance | Deployment ledger | ?/6 |"), "{markdown}");
    for part in ["# Incident", "## What is off or not healthy", "checkout", "## What changed", "## Operations"] {
        assert!(markdown.contains(part), "{part}: {markdown}");
    }
    let json: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(paths[1]).expect("the other")).expect("JSON");
    assert!(json["fleet"]["rows"].as_array().is_some_and(|rows| rows.len() > 5), "{json}");
    assert!(json["timeline"]["rows"].is_array() && json["operations"].is_array() && json["plans"].is_array());
    use std::os::unix::fs::PermissionsExt as _;
    assert_eq!(std::fs::metadata(paths[0]).expect("there").permissions().mode() & 0o777, 0o600);
    assert!(markdown.contains("| quarantine | sha256:c0ffee12c0ffee12 | it loses orders |"), "{markdown}");
    assert_eq!(json["protections"][0]["reason"], "it loses orders");
    assert!(json["freezes"].is_array(), "{json}");
    assert!(
        markdown.find("## Everything else") > markdown.find("## Locks, quarantines and snoozes"),
        "what is well comes last: {markdown}"
    );
    let nowhere = run(state.path(), &["export", "--directory", "/no/such/folder"]);
    check(&nowhere, 2, "/no/such/folder");
}

/// What protects nothing is said, instead of looking as if it did.
#[test]
fn a_lock_or_a_ban_that_would_protect_nothing_is_refused() {
    let state = tempfile::tempdir().expect("a directory");
    let protect = |arguments: &[&str]| run(state.path(), &[arguments, &["--reason", "x"]].concat());
    check(&protect(&["lock", "svc:chekout"]), 2, "nothing is called so");
    check(&protect(&["lock", "place:k8s/nope"]), 2, "no place with anything in it is called so");
    check(&protect(&["lock", " "]), 2, "nothing is named");
    check(&protect(&["snooze", ""]), 2, "nothing is named");
    check(&protect(&["lock", "state:drift"]), 2, "a lock by state would come and go");
    check(&protect(&["lock", "svc:checkout digest:c0ffee12"]), 2, "a lock by digest would come and go");
    check(&protect(&["snooze", "checkout age>1h"]), 2, "a snooze by age would come and go");
    check(&protect(&["snooze", "svc:auth"]), 2, "there is no drift to put off");
    let long = "x".repeat(1_001);
    check(&run(state.path(), &["lock", "svc:checkout", "--reason", &long]), 2, "1000 characters at most");
    check(&protect(&["lock", &format!("svc:{}checkout", "x,".repeat(600))]), 2, "1000 characters at most");
    check(&protect(&["quarantine", "sha256:zzzzzzzzzzzz"]), 2, "it would ban nothing");
    check(&run(state.path(), &["lock", "svc:checkout", "--reason", "x", "--expires", "0s"]), 2, "a minute or more");
    let banned = protect(&["quarantine", "sha256:C0FFEE12C0FFEE12", "--output", "json"]);
    let answer: serde_json::Value = serde_json::from_slice(&banned.stdout).expect("JSON");
    assert_eq!(answer["rows"][0]["target"], "sha256:c0ffee12c0ffee12");
    let locked = protect(&["lock", "svc:checkout"]);
    assert!(String::from_utf8_lossy(&locked.stdout).contains("it covers 5 workloads now"), "{locked:?}");
    check(&run(state.path(), &["--read-only", "unlock", "svc:checkout"]), 2, "nothing is lifted");
    check(&run(state.path(), &["unsnooze", "svc:checkout"]), 2, "there is no snooze svc:checkout");
    assert_eq!(run(state.path(), &["unlock", "svc:checkout"]).status.code(), Some(0));
}

#[test]
fn a_release_of_a_service_that_nothing_belongs_to_is_told_and_can_be_taken_away() {
    let state = tempfile::tempdir().expect("a directory");
    let file = state.path().join("r.toml");
    let release = "[[release]]\nservice = \"chekout\"\nversion = \"v44\"\nimages = [{image = \"shop/checkout:v44\"}]\n";
    std::fs::write(&file, release).expect("written");
    let added = run(state.path(), &["release", "add", file.to_str().expect("a path"), "--places", "k8s/prod-*"]);
    check(&added, 0, "");
    let words = String::from_utf8_lossy(&added.stdout);
    assert!(words.contains("k8s/prod-*"), "what a person says of places counts instead of the file: {words}");
    for arguments in [&["release", "list"][..], &["release", "list", "chekout"]] {
        check(
            &run(state.path(), arguments),
            0,
            "chekout v44 (r.toml): nothing that is seen belongs to a service chekout",
        );
    }
    check(&run(state.path(), &["release", "list", "nope"]), 2, "no service is called nope");
    check(&run(state.path(), &["release", "remove", "chekout", "v44"]), 0, "");
}
