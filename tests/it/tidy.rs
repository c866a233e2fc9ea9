//! The rules of DESIGN that a reader relies on, held by reading the sources: rings, sizes, one place for colours.

use std::fs;
use std::path::{Path, PathBuf};

/// Crates that each ring may use. Growing a list is a reviewed line.
const RINGS: &[(&str, &[&str], &[&str])] = &[
    // (folder, crates, own modules)
    ("src/domain", &["std", "serde", "jiff", "thiserror", "sha2", "arcstr"], &["domain"]),
    (
        "src/app",
        &[
            "std",
            "serde",
            "jiff",
            "thiserror",
            "sha2",
            "ratatui",
            "crossterm",
            "fuzzy_matcher",
            "toml",
            "unicode_width",
            "unicode_segmentation",
        ],
        &["domain", "app"],
    ),
    (
        "src/providers/kubernetes",
        &[
            "std",
            "serde",
            "serde_json",
            "jiff",
            "thiserror",
            "sha2",
            "tokio",
            "tracing",
            "futures",
            "kube",
            "k8s_openapi",
            "http",
            "http_body_util",
            "hyper_util",
            "tower",
            "tower_http",
        ],
        &["domain", "providers"],
    ),
    (
        "src/registry",
        &[
            "std",
            "serde",
            "serde_json",
            "jiff",
            "thiserror",
            "sha2",
            "tokio",
            "tracing",
            "futures",
            "base64",
            "http",
            "http_body_util",
            "hyper_rustls",
            "hyper_util",
            "psl",
        ],
        &["domain", "registry"],
    ),
    (
        "src/providers/sim",
        &["std", "serde", "serde_json", "jiff", "thiserror", "sha2", "tokio", "tracing", "toml"],
        &["domain", "providers"],
    ),
];

/// Non-test lines that a file may have: beyond that there is a second noun in it.
const LINES: usize = 500;

#[test]
fn rings_use_only_what_they_may() {
    let manifest = fs::read_to_string("Cargo.toml").expect("the manifest");
    let dependencies =
        manifest.split("[dependencies]").nth(1).and_then(|rest| rest.split("\n[").next()).expect("a list");
    let crates: Vec<String> = dependencies
        .lines()
        .filter_map(|line| line.split_once(" = ").map(|(name, _)| name.trim().replace('-', "_")))
        .filter(|name| name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_'))
        .collect();
    assert!(crates.len() > 15, "the list of dependencies was found: {crates:?}");
    let mut wrong = Vec::new();
    for (folder, allowed, own) in RINGS {
        for (path, text) in sources(folder) {
            for (number, line) in code_lines(&text) {
                for name in &crates {
                    if !allowed.contains(&name.as_str()) && mentions(line, &format!("{name}::")) {
                        wrong.push(format!("{}:{number}: {folder} may not use {name}", path.display()));
                    }
                }
                for ring in ["app", "domain", "providers", "runtime"] {
                    if !own.contains(&ring) && mentions(line, &format!("crate::{ring}")) {
                        wrong.push(format!("{}:{number}: {folder} may not use crate::{ring}", path.display()));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn providers_do_not_know_each_other_and_are_listed() {
    let kinds = fs::read_to_string("src/providers/mod.rs").expect("readable");
    let conformance = fs::read_to_string("tests/it/conformance.rs").expect("readable");
    let folders: Vec<String> = folders("src/providers");
    assert!(!folders.is_empty());
    for folder in &folders {
        assert!(kinds.contains(&format!("{folder}::KIND")), "{folder} has no line in KINDS");
        assert!(conformance.contains(&format!("\"{folder}\"")), "{folder} has no line in the conformance suite");
        for (path, text) in sources(&format!("src/providers/{folder}")) {
            for other in folders.iter().filter(|other| *other != folder) {
                assert!(!text.contains(&format!("providers::{other}")), "{} uses provider {other}", path.display());
            }
        }
    }
}

#[test]
fn files_open_with_what_they_are_and_stay_small() {
    let mut wrong = Vec::new();
    for (path, text) in sources("src") {
        if !text.starts_with("//!") {
            wrong.push(format!("{}: does not open with //!", path.display()));
        }
        let lines = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default().lines().count();
        if lines > LINES {
            wrong.push(format!("{}: {lines} lines; find the second noun", path.display()));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn colours_are_named_in_the_theme_alone() {
    // The command line's own `Color` (auto, always, never) is no colour.
    only_in(&["src/app/theme.rs", "src/app/theme", "src/runtime/look.rs"], &["Color::"]);
}

#[test]
fn unix_is_known_to_terminal_and_store_alone() {
    only_in(&["src/runtime/terminal", "src/runtime/store"], &["rustix::", "os::unix", "signal::unix"]);
}

#[test]
fn requests_are_sent_for_an_appended_entry_alone() {
    let mut found = Vec::new();
    for (path, text) in sources("src/app") {
        let makes = code_lines(&text).filter(|(_, line)| line.contains("Effect::Execute {")).count();
        found.extend(std::iter::repeat_n(path.display().to_string(), makes));
    }
    assert_eq!(found, ["src/app/operations.rs"], "Effect::Execute is made at one place");
    let mut executed = Vec::new();
    for (path, text) in sources("src") {
        let calls = code_lines(&text).filter(|(_, line)| line.contains(".execute(order)")).count();
        executed.extend(std::iter::repeat_n(path.display().to_string(), calls));
    }
    assert_eq!(executed, ["src/runtime/session.rs"], "operators are called at one place");
}

fn only_in(places: &[&str], words: &[&str]) {
    let mut wrong = Vec::new();
    for (path, text) in sources("src") {
        if places.iter().any(|place| path.starts_with(place)) {
            continue;
        }
        for (number, line) in code_lines(&text) {
            for word in words.iter().filter(|word| mentions(line, word)) {
                wrong.push(format!("{}:{number}: {word}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "only {places:?} may say this:\n{}", wrong.join("\n"));
}

/// Lines of code, numbered from 1, without comments and tests.
fn code_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let code = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
    code.lines()
        .enumerate()
        .map(|(number, line)| (number + 1, line))
        .filter(|(_, line)| !line.trim_start().starts_with("//"))
}

/// Whether a word stands in a line and is not the end of a longer one.
fn mentions(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        !line[..at].ends_with(|before: char| before.is_ascii_alphanumeric() || before == '_' || before == ':')
    })
}

fn folders(under: &str) -> Vec<String> {
    let entries = fs::read_dir(under).expect("readable").map(|entry| entry.expect("readable"));
    let mut names: Vec<String> = entries
        .filter(|entry| entry.path().is_dir())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

fn sources(under: &str) -> Vec<(PathBuf, String)> {
    fn collect(directory: &Path, found: &mut Vec<(PathBuf, String)>) {
        for entry in fs::read_dir(directory).expect("readable") {
            let path = entry.expect("readable").path();
            if path.is_dir() {
                collect(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push((path.clone(), fs::read_to_string(&path).expect("readable")));
            }
        }
    }
    let mut found = Vec::new();
    collect(Path::new(under), &mut found);
    found.sort();
    assert!(!found.is_empty(), "{under} has sources");
    found
}
