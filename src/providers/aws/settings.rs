//! The settings of AWS places: `profile` or `profiles`, `region` or `regions`, `role_arn`, `endpoint_url`, `refresh`.
//!
//! Never reads a file; whether a profile can sign in is found out when its place is connected.

use std::time::Duration;

use serde_json::Value;

use crate::domain::selector::glob_matches;
use crate::providers::setting::{fault, text_of};
use crate::providers::{SettingFault, Table};

/// What one place is configured with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Settings {
    /// The profile; else the one in force.
    pub profile: Option<String>,
    /// The region; else the profile's, else the one in force.
    pub region: Option<String>,
    /// A role that is assumed with the profile's credentials.
    pub role_arn: Option<String>,
    /// Where the services are, instead of at AWS.
    pub endpoint_url: Option<String>,
    /// How often it is looked at.
    pub refresh: Option<Duration>,
}

const KNOWN: [&str; 7] = ["profile", "profiles", "region", "regions", "role_arn", "endpoint_url", "refresh"];

/// Regions that a glob may mean: those that every account of the commercial partition has (AWS General Reference, "Regions").
/// One that an account must opt into, or of another partition, is named as it is.
const REGIONS: [&str; 17] = [
    "ap-northeast-1",
    "ap-northeast-2",
    "ap-northeast-3",
    "ap-south-1",
    "ap-southeast-1",
    "ap-southeast-2",
    "ca-central-1",
    "eu-central-1",
    "eu-north-1",
    "eu-west-1",
    "eu-west-2",
    "eu-west-3",
    "sa-east-1",
    "us-east-1",
    "us-east-2",
    "us-west-1",
    "us-west-2",
];

impl Settings {
    /// From a table of the configuration that names one place; every fault at once.
    pub(super) fn parse(table: &Table) -> Result<Settings, Vec<SettingFault>> {
        let mut faults = Vec::new();
        for key in table.keys().filter(|key| !KNOWN.contains(&key.as_str())) {
            faults.push(fault(key, &format!("is not a setting of kind aws; it knows {}", KNOWN.join(", "))));
        }
        for (one, many) in [("profile", "profiles"), ("region", "regions")] {
            if table.contains_key(one) && table.contains_key(many) {
                faults.push(fault(many, &format!("and `{one}` can't both be given; one of them is enough")));
            }
            globs_of(table, many, &mut faults);
        }
        let settings = Settings {
            profile: text_of(table, "profile", &mut faults),
            region: text_of(table, "region", &mut faults),
            role_arn: text_of(table, "role_arn", &mut faults),
            endpoint_url: text_of(table, "endpoint_url", &mut faults),
            refresh: refresh_of(table, &mut faults),
        };
        if settings.region.as_ref().is_some_and(|region| !is_region(region)) {
            faults.push(fault("region", "is no name of a region; they look like eu-west-1"));
        }
        if settings.role_arn.as_ref().is_some_and(|role| !(role.starts_with("arn:aws") && role.contains(":role/"))) {
            faults.push(fault("role_arn", "is no role; they look like arn:aws:iam::123456789012:role/name"));
        }
        let is_url = |url: &String| url.starts_with("http://") || url.starts_with("https://");
        if settings.endpoint_url.as_ref().is_some_and(|url| !is_url(url)) {
            faults.push(fault("endpoint_url", "is no address; it must begin with http:// or https://"));
        }
        // It is shown and written down: a password in it would be too.
        let names_somebody = |url: &String| {
            url.split("://").nth(1).is_some_and(|rest| rest.split('/').next().is_some_and(|host| host.contains('@')))
        };
        if settings.endpoint_url.as_ref().is_some_and(names_somebody) {
            faults.push(fault("endpoint_url", "must hold neither a user nor a password"));
        }
        if faults.is_empty() { Ok(settings) } else { Err(faults) }
    }
}

/// The places that a table means: one for each profile and region that its globs match. `profiles` are those there are.
///
/// # Errors
/// A glob that matches nothing, with what there is.
pub(super) fn expand(table: &Table, profiles: &[String]) -> Result<Vec<Table>, String> {
    let regions: Vec<String> = REGIONS.iter().map(ToString::to_string).collect();
    let wanted_profiles = matching(table, "profiles", "profile", profiles)?;
    let wanted_regions = matching(table, "regions", "region", &regions)?;
    let mut rest = table.clone();
    rest.retain(|key, _| key != "profiles" && key != "regions");
    let with = |settings: &Table, key: &str, value: &Option<String>| {
        let mut settings = settings.clone();
        if let Some(value) = value {
            settings.insert(key.to_string(), Value::String(value.clone()));
        }
        settings
    };
    let by_profile = wanted_profiles.iter().map(|profile| with(&rest, "profile", profile));
    Ok(by_profile
        .flat_map(|settings| wanted_regions.iter().map(move |region| with(&settings, "region", region)))
        .collect())
}

/// What the globs under `key` match, in the order of the globs; `[None]` where the key is not given.
fn matching(table: &Table, key: &str, noun: &str, known: &[String]) -> Result<Vec<Option<String>>, String> {
    if !table.contains_key(key) {
        return Ok(vec![None]);
    }
    let mut found: Vec<Option<String>> = Vec::new();
    for glob in globs_of(table, key, &mut Vec::new()) {
        let matches: Vec<&String> = known.iter().filter(|name| glob_matches(&glob, name)).collect();
        if matches.is_empty() && glob.contains('*') {
            let list = if known.is_empty() { "none".to_string() } else { known.join(", ") };
            return Err(format!("`{key}`: no {noun} matches {glob}; there are: {list}"));
        }
        let names = if matches.is_empty() { vec![glob] } else { matches.into_iter().cloned().collect() };
        for name in names {
            if !found.contains(&Some(name.clone())) {
                found.push(Some(name));
            }
        }
    }
    Ok(found)
}

fn globs_of(table: &Table, key: &str, faults: &mut Vec<SettingFault>) -> Vec<String> {
    let Some(value) = table.get(key) else { return Vec::new() };
    let list = value.as_array().map(|list| list.iter().map(Value::as_str).collect::<Option<Vec<&str>>>());
    match list {
        Some(Some(globs)) if !globs.is_empty() && globs.iter().all(|glob| !glob.trim().is_empty()) => {
            globs.into_iter().map(ToString::to_string).collect()
        }
        _ => {
            faults.push(fault(key, &format!("must be a list of names or globs like [\"prod-*\"], not {value}")));
            Vec::new()
        }
    }
}

/// Whole seconds or minutes: `30s`, `2m`.
fn refresh_of(table: &Table, faults: &mut Vec<SettingFault>) -> Option<Duration> {
    let written = text_of(table, "refresh", faults)?;
    let seconds = match written.strip_suffix('m') {
        Some(minutes) => minutes.parse::<u64>().ok().and_then(|minutes| minutes.checked_mul(60)),
        None => written.strip_suffix('s').and_then(|seconds| seconds.parse::<u64>().ok()),
    };
    let seconds = seconds.filter(|seconds| (1..=3600).contains(seconds));
    if seconds.is_none() {
        faults.push(fault("refresh", "must be a time from 1s to 60m, like \"30s\" or \"2m\""));
    }
    seconds.map(Duration::from_secs)
}

/// Whether it may be a region: an endpoint's host name is made of it.
pub(super) fn is_region(name: &str) -> bool {
    name.len() <= 32 && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn table(value: Value) -> Table {
        value.as_object().expect("a table").clone()
    }

    #[test]
    fn every_fault_is_named_at_once() {
        let wrong = table(json!({"profil": "a", "profile": "", "profiles": ["a"], "region": "EU West", "regions": [],
            "role_arn": "admin", "endpoint_url": "localhost:1", "refresh": "0s"}));
        let faults = Settings::parse(&wrong).expect_err("all wrong");
        let keys: Vec<&str> = faults.iter().map(|fault| fault.key.as_str()).collect();
        assert_eq!(
            keys,
            ["profil", "profiles", "regions", "regions", "profile", "refresh", "region", "role_arn", "endpoint_url"]
        );
    }

    #[test]
    fn globs_become_one_place_for_each_profile_and_region() {
        let profiles = ["dev", "prod-eu", "prod-us"].map(ToString::to_string);
        let places = expand(&table(json!({"profiles": ["prod-*"], "regions": ["us-west-*", "xx-new-1"]})), &profiles);
        let places = places.expect("all match");
        let text = |place: &Table, key: &str| place[key].as_str().unwrap_or_default().to_string();
        let names: Vec<(String, String)> =
            places.iter().map(|place| (text(place, "profile"), text(place, "region"))).collect();
        assert_eq!(names.len(), 6);
        assert_eq!(names[0], ("prod-eu".to_string(), "us-west-1".to_string()));
        assert_eq!(names[5], ("prod-us".to_string(), "xx-new-1".to_string()));
        assert_eq!(expand(&table(json!({"profile": "dev"})), &profiles).expect("one").len(), 1);
        let nothing = expand(&table(json!({"profiles": ["stage-*"]})), &profiles).expect_err("none");
        assert!(nothing.contains("prod-eu"), "{nothing}");
    }
}
