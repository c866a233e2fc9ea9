//! The IAM policies of the documentation allow what the code asks for, and nothing that it does not.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// What the code itself never asks for: AWS does it on behalf of who asks.
/// Reading an image of ECR takes two actions, by no name that a request of ours bears.
const ON_BEHALF: [&str; 5] =
    ["ssm:GetParameters", "ec2:CreateTags", "iam:PassRole", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"];
const SERVICES: [&str; 6] = ["sts:", "ec2:", "autoscaling:", "ecs:", "ecr:", "cloudtrail:"];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The actions of a policy.
fn allowed(file: &str) -> BTreeSet<String> {
    let text = fs::read_to_string(root().join("docs/aws").join(file)).expect("it is there");
    let policy: Value = serde_json::from_str(&text).expect("it is JSON");
    let statements = policy["Statement"].as_array().expect("a list");
    let actions = statements.iter().flat_map(|statement| match &statement["Action"] {
        Value::Array(list) => list.clone(),
        one => vec![one.clone()],
    });
    actions.map(|action| action.as_str().expect("a text").to_string()).collect()
}

/// Every action that the code names when it asks.
fn asked(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).expect("readable") {
        let path = entry.expect("readable").path();
        if path.is_dir() {
            asked(&path, found);
            continue;
        }
        let text = fs::read_to_string(&path).expect("readable");
        for (_, rest) in text.match_indices("ask(").map(|(at, word)| (at, &text[at + word.len()..])) {
            let action = rest.trim_start().strip_prefix('"').and_then(|rest| rest.split('"').next());
            let action = action.filter(|action| SERVICES.iter().any(|service| action.starts_with(service)));
            found.extend(action.map(ToString::to_string));
        }
        // No request goes past `ask`: its action would be in no policy.
        let sends = text.matches(".send()").count();
        let asks = text.matches("ask(\"").count();
        assert!(sends <= asks, "{}: {sends} requests are sent and {asks} actions named", path.display());
    }
}

#[test]
fn the_policies_allow_what_the_code_asks_for_and_no_more() {
    let mut asked_for = BTreeSet::new();
    asked(&root().join("src/providers/aws"), &mut asked_for);
    assert!(asked_for.len() > 20, "the source was read: {asked_for:?}");
    let is_read = |action: &&String| {
        let (_, name) = action.split_once(':').expect("service:Action");
        ["Describe", "List", "Get", "Lookup"].iter().any(|start| name.starts_with(start))
    };
    let split = |all: &BTreeSet<String>, reads: bool| -> BTreeSet<String> {
        let own = all.iter().filter(|action| !ON_BEHALF.contains(&action.as_str()));
        own.filter(|action| is_read(action) == reads).cloned().collect()
    };
    let (read_only, operator) = (allowed("read-only.json"), allowed("operator.json"));
    // Apart: who asked for what is not for everybody's eyes.
    let audit = allowed("audit.json");
    assert!(audit.is_subset(&asked_for), "it allows what nobody asks for: {audit:?}");
    assert!(audit.iter().all(|action| action.starts_with("cloudtrail:")), "{audit:?}");
    asked_for.retain(|action| !audit.contains(action));
    assert_eq!(split(&read_only, true), split(&asked_for, true));
    assert_eq!(split(&read_only, false), BTreeSet::new(), "who may only look may change nothing");
    assert_eq!(split(&operator, false), split(&asked_for, false));
}
