//! The `[policy]` table, its exceptions and its freezes.

use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;

use super::reader::Table;
use super::{Setting, note};
use crate::domain::policy::{Asks, Freeze, Minimum, PlacePolicy, Policy, PolicyRule, Probe};
use crate::domain::selector::duration;
use crate::domain::text::Text;

/// How long a probe may take where nobody says.
const PROBE_TIMEOUT: Duration = Duration::from_secs(30);

/// The policy of a `[policy]` table; faults are noted in the table.
pub(super) fn read(table: &Table<'_, '_>, file: &str, origins: &mut Vec<Setting>) -> Policy {
    let mut policy = Policy::default();
    let base = rule(table);
    policy.base = PlacePolicy {
        floor_percent: base.floor_percent.unwrap_or(policy.base.floor_percent),
        bake: base.bake.unwrap_or(policy.base.bake),
        first_percent: base.first_percent,
        max_age: base.max_age,
        step_timeout: base.step_timeout.unwrap_or(policy.base.step_timeout),
        confirm: policy.base.confirm,
        minimum: base.minimum.unwrap_or(policy.base.minimum),
    };
    if let Some(order) = table.strings("order") {
        note(origins, table, file, "policy.order", "order", &order.join(", "));
        policy.order = order.iter().map(|place| Text::new(place)).collect();
    }
    if let Some(lately) = time(table, "changed_lately") {
        policy.changed_lately = lately;
    }
    policy.watch = time(table, "watch");
    policy.lock_after_rollback = time(table, "lock_after_rollback");
    if let Some(term) = time(table, "loan_term") {
        policy.loan_term = term;
    }
    for key in [
        "floor",
        "bake",
        "first",
        "max_age",
        "step_timeout",
        "watch",
        "loan_term",
        "lock_after_rollback",
        "changed_lately",
        "minimum",
    ] {
        if let (Some(line), Some(value)) = (table.line_of(key), table.string_again(key)) {
            origins.push(Setting { key: format!("policy.{key}"), value, origin: format!("{file}:{line}") });
        }
    }
    for exception in table.tables("places") {
        let places = exception.string("places").or_else(|| exception.string("place"));
        let found = rule(&exception);
        match places {
            Some(places) => policy.rules.push(PolicyRule { places: Text::new(&places), ..found }),
            None => exception.fault("an exception needs `places`, a glob over place ids", "places = \"k8s/staging*\""),
        }
        exception.refuse_unknown();
    }
    policy.probes = table.tables("probe").iter().filter_map(|table| probe(table, file, origins)).collect();
    policy.freezes = table.tables("freeze").iter().filter_map(|table| freeze(table, file, origins)).collect();
    table.refuse_unknown();
    policy
}

fn probe(table: &Table<'_, '_>, file: &str, origins: &mut Vec<Setting>) -> Option<Probe> {
    let places = table.strings("places").unwrap_or_default();
    let (command, http) = (table.strings("command"), table.string("http"));
    let timeout = time(table, "timeout").unwrap_or(PROBE_TIMEOUT);
    if timeout.is_zero() {
        table.fault_at("timeout", "nothing answers in no time", "timeout = \"30s\"");
    }
    table.refuse_unknown();
    let asks = match (command, http) {
        (Some(words), None) if words.first().is_some_and(|program| !program.trim().is_empty()) => {
            Asks::Command(beside(words, file))
        }
        (None, Some(address)) => match why_no_address(&address) {
            None => Asks::Http(address),
            Some(why) => {
                table.fault_at("http", why, "http = \"https://checkout.example/healthz\"");
                return None;
            }
        },
        (Some(_) | None, _) => {
            table.fault(
                "a probe needs either `command` or `http`",
                "command = [\"./smoke.sh\", \"checkout\"], or http = \"https://checkout.example/healthz\"",
            );
            return None;
        }
    };
    let probe = Probe { places: places.iter().map(|place| Text::new(place)).collect(), asks, timeout };
    let key = if matches!(probe.asks, Asks::Http(_)) { "http" } else { "command" };
    note(origins, table, file, "policy.probe", key, &probe.describe());
    Some(probe)
}

/// A program that is named by a path of its own is beside the configuration, wherever rolldeck is started.
fn beside(mut words: Vec<String>, file: &str) -> Vec<String> {
    let folder = Path::new(file).parent().filter(|folder| !folder.as_os_str().is_empty());
    if let (Some(folder), Some(program)) = (folder, words.first_mut())
        && program.contains('/')
        && Path::new(program.as_str()).is_relative()
    {
        *program = folder.join(&program).display().to_string();
    }
    words
}

fn why_no_address(address: &str) -> Option<&'static str> {
    let Ok(uri) = address.parse::<http::Uri>() else { return Some("it is no address") };
    match (uri.scheme_str(), uri.authority()) {
        (Some("http" | "https"), Some(authority)) if authority.as_str().contains('@') => {
            Some("user and password of an address are not sent; ask by a `command` that has them")
        }
        (Some("http" | "https"), Some(authority)) if !authority.host().is_empty() => None,
        _ => Some("it is no address"),
    }
}

fn freeze(table: &Table<'_, '_>, file: &str, origins: &mut Vec<Setting>) -> Option<Freeze> {
    let places = table.strings("places").unwrap_or_default();
    let instant = |key| {
        let hint = "a time with its zone, like \"2026-12-20T18:00:00Z\"";
        let found = table.parsed(key, hint, |raw| raw.parse::<Timestamp>().map_err(|_| format!("`{raw}` is no time")));
        if found.is_none() && table.line_of(key).is_none() {
            table.fault(&format!("a freeze needs `{key}`"), hint);
        }
        found
    };
    let (from, until, reason) = (instant("from"), instant("until"), table.string("reason"));
    if reason.is_none() && table.line_of("reason").is_none() {
        table.fault("a freeze needs a `reason`", "whoever is refused will read it");
    }
    table.refuse_unknown();
    let (from, until, reason) = (from?, until?, reason?);
    if from >= until {
        table.fault_at("until", "it ends before it begins", "give an `until` that is later than `from`");
    }
    note(origins, table, file, "policy.freeze", "reason", &reason);
    let places = places.iter().map(|place| Text::new(place)).collect();
    Some(Freeze { places, from, until, reason: Text::new(&reason) })
}

fn rule(table: &Table<'_, '_>) -> PolicyRule {
    PolicyRule {
        places: Text::default(),
        floor_percent: table.parsed("floor", "a percentage from \"0%\" to \"100%\"", percent),
        bake: time(table, "bake"),
        first_percent: table.parsed("first", "a percentage from \"1%\" to \"99%\"", share),
        max_age: time(table, "max_age"),
        step_timeout: time(table, "step_timeout"),
        confirm: None,
        minimum: table.parsed("minimum", "\"held\" or \"as-it-is\"", minimum),
    }
}

fn minimum(raw: &str) -> Result<Minimum, String> {
    match raw {
        "held" => Ok(Minimum::Held),
        "as-it-is" => Ok(Minimum::AsItIs),
        _ => Err(format!("`{raw}` says nothing of the minimum of autoscalers")),
    }
}

fn time(table: &Table<'_, '_>, key: &'static str) -> Option<Duration> {
    table.parsed(key, "a time like \"90s\", \"10m\", \"2h\"", |raw| duration(raw).map_err(|error| error.to_string()))
}

fn percent(raw: &str) -> Result<u8, String> {
    let number = raw.strip_suffix('%').and_then(|number| number.parse::<u8>().ok()).filter(|&number| number <= 100);
    number.ok_or_else(|| format!("`{raw}` is no percentage"))
}

fn share(raw: &str) -> Result<u8, String> {
    percent(raw).and_then(|number| match number {
        1..=99 => Ok(number),
        _ => Err(format!("`{raw}` is no share that could go first")),
    })
}
