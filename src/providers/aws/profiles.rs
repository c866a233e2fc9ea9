//! The profiles that AWS's own files name, as places: `aws/ACCOUNT/REGION`, with the profile's name where no account is told.
//!
//! Never reads a key or a token: of each profile its name, its region and its account, and nothing else. Asks no network.

use std::path::Path;

use serde_json::Value;

use super::KIND;
use super::settings;
use crate::domain::id::PlaceId;
use crate::domain::look::quoted;
use crate::providers::{AwsSurroundings, Found, PlaceSpec, Standing, Surroundings, Table};

/// A profile, as far as it is read here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Profile {
    name: String,
    region: Option<String>,
    account: Option<String>,
}

/// Every profile as a place; the one in force stands out.
pub(super) fn discover(surroundings: &Surroundings) -> Vec<Found> {
    let aws = &surroundings.aws;
    let profiles = read(aws);
    let in_force = in_force(aws, &profiles);
    let mut found: Vec<Found> = Vec::new();
    if let Some(settings) = &in_force {
        found.push(Found { spec: spec(settings, &profiles, aws, &[]), standing: Standing::Current });
    } else if aws.is_machine {
        let settings = settings_of(None, aws.region.as_ref());
        found.push(Found { spec: spec(&settings, &profiles, aws, &[]), standing: Standing::LastResort });
    }
    for profile in &profiles {
        let settings = settings_of(Some(&profile.name), profile.region.as_ref().or(aws.region.as_ref()));
        let is_current = |found: &Found| found.spec.settings.get("profile") == settings.get("profile");
        if !found.iter().any(is_current) {
            let taken: Vec<PlaceId> = found.iter().map(|found| found.spec.id.clone()).collect();
            found.push(Found { spec: spec(&settings, &profiles, aws, &taken), standing: Standing::Other });
        }
    }
    found
}

/// What a place is called whose configuration gives no id.
pub(super) fn default_id(settings: &Table, surroundings: &Surroundings) -> String {
    let profiles = read(&surroundings.aws);
    name(settings, &profiles, &surroundings.aws, Account::Told)
}

/// The places that one table of the configuration means.
///
/// # Errors
/// A glob that matches nothing, or a profile that is in neither file, with what there is.
pub(super) fn expand(settings: &Table, surroundings: &Surroundings) -> Result<Vec<Table>, String> {
    let aws = &surroundings.aws;
    let names: Vec<String> = read(aws).into_iter().map(|profile| profile.name).collect();
    let expanded = settings::expand(settings, &names)?;
    // Where the environment has keys, a stray AWS_PROFILE is no fault; and a default profile needs no file.
    let from_environment = aws.profile.as_deref().filter(|name| !aws.has_keys && *name != "default");
    let used = expanded.iter().map(|table| table.get("profile").and_then(Value::as_str).or(from_environment));
    match used.flatten().find(|used| !names.iter().any(|name| name == used)) {
        Some(missing) => {
            let list = if names.is_empty() { "none".to_string() } else { names.join(", ") };
            Err(format!("`profile`: AWS's files have no profile {missing}; there are: {list}"))
        }
        None => Ok(expanded),
    }
}

/// A file of AWS's, with each `credential_process` run by `helper`, which gets the command as its last word.
pub(super) fn with_helper(text: &str, helper: &str) -> String {
    // As the SDK reads it: keys in any case, what is indented belongs to the line before, ` #` and ` ;` begin a comment.
    let line = |line: &str| match line.split_once('=') {
        Some((key, command)) if key.trim_end().eq_ignore_ascii_case("credential_process") => {
            let command =
                [" #", " ;"].iter().fold(command, |text, mark| text.split(mark).next().unwrap_or(text)).trim();
            if command.is_empty() {
                line.to_string()
            } else {
                format!("credential_process = {helper} {}", quoted(command))
            }
        }
        Some(_) | None => line.to_string(),
    };
    text.lines().map(line).collect::<Vec<String>>().join("\n")
}

/// The region of a profile, as its file says.
pub(super) fn region_of(profile: &str, aws: &AwsSurroundings) -> Option<String> {
    read(aws).into_iter().find(|known| known.name == profile).and_then(|known| known.region)
}

/// The account and the region of a place, as far as files and settings tell.
pub(super) fn whereabouts(settings: &Table, aws: &AwsSurroundings) -> (Option<String>, Option<String>) {
    let profiles = read(aws);
    let text = |key: &str| settings.get(key).and_then(Value::as_str).map(ToString::to_string);
    let profile = text("profile").or_else(|| aws.profile.clone());
    let known = profile.as_ref().and_then(|name| profiles.iter().find(|known| known.name == *name));
    let account = text("role_arn").and_then(|role| account_of(&role)).or_else(|| known?.account.clone());
    let region = text("region").or_else(|| known?.region.clone()).or_else(|| aws.region.clone());
    (account, region)
}

/// What is used without being asked: a profile or keys that the environment names, else a default profile with a region.
fn in_force(aws: &AwsSurroundings, profiles: &[Profile]) -> Option<Table> {
    let of = |name: &str| profiles.iter().find(|profile| profile.name == name);
    if let Some(name) = &aws.profile {
        let own = of(name).and_then(|profile| profile.region.as_ref());
        return Some(settings_of(Some(name), aws.region.as_ref().or(own)));
    }
    if aws.has_keys {
        return aws.region.as_ref().map(|region| settings_of(None, Some(region)));
    }
    let default = of("default")?;
    let region = aws.region.as_ref().or(default.region.as_ref())?;
    Some(settings_of(Some("default"), Some(region)))
}

fn settings_of(profile: Option<&str>, region: Option<&String>) -> Table {
    let entry = |key: &str, value: Option<&str>| value.map(|value| (key.to_string(), Value::String(value.to_string())));
    [entry("profile", profile), entry("region", region.map(String::as_str))].into_iter().flatten().collect()
}

fn spec(settings: &Table, profiles: &[Profile], aws: &AwsSurroundings, taken: &[PlaceId]) -> PlaceSpec {
    let id = PlaceId::new(&name(settings, profiles, aws, Account::Told));
    // Two profiles of one account are two places: the second is called by its own name.
    let id = if taken.contains(&id) { PlaceId::new(&name(settings, profiles, aws, Account::Hidden)) } else { id };
    PlaceSpec { id, kind: KIND.name, settings: settings.clone() }
}

/// Whether a place is called by its account where that is known.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Account {
    Told,
    Hidden,
}

fn name(settings: &Table, profiles: &[Profile], aws: &AwsSurroundings, account: Account) -> String {
    let text = |key: &str| settings.get(key).and_then(Value::as_str).map(ToString::to_string);
    let profile = text("profile").or_else(|| aws.profile.clone()).filter(|name| !name.is_empty());
    let known = profile.as_ref().and_then(|name| profiles.iter().find(|known| known.name == *name));
    let of_role = text("role_arn").and_then(|role| account_of(&role));
    let told = of_role.or_else(|| known.and_then(|known| known.account.clone())).filter(|_| account == Account::Told);
    let who = told.or(profile).unwrap_or_else(|| "default".to_string());
    let region = text("region").or_else(|| known.and_then(|known| known.region.clone())).or_else(|| aws.region.clone());
    match region {
        Some(region) => format!("aws/{who}/{region}"),
        None => format!("aws/{who}"),
    }
}

/// The account in an ARN: `arn:aws:iam::123456789012:role/name`.
fn account_of(arn: &str) -> Option<String> {
    let account = arn.split(':').nth(4)?;
    (account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit())).then(|| account.to_string())
}

/// The profiles of both files, in their order. A file that can't be read names none: the SDK will say why.
fn read(aws: &AwsSurroundings) -> Vec<Profile> {
    let mut profiles: Vec<Profile> = Vec::new();
    let config = aws.config_file.as_deref().map(|path| (path, Some("profile")));
    let credentials = aws.credentials_file.as_deref().map(|path| (path, None));
    for (path, prefix) in [config, credentials].into_iter().flatten() {
        for profile in parse(&content(path), prefix) {
            match profiles.iter_mut().find(|known| known.name == profile.name) {
                Some(known) => {
                    known.region = known.region.take().or(profile.region);
                    known.account = known.account.take().or(profile.account);
                }
                None => profiles.push(profile),
            }
        }
    }
    profiles
}

fn content(path: &Path) -> String {
    /// Larger than any such file that a person keeps.
    const LIMIT: u64 = 4 << 20;
    let is_sane = std::fs::metadata(path).is_ok_and(|file| file.is_file() && file.len() <= LIMIT);
    if is_sane { std::fs::read_to_string(path).unwrap_or_default() } else { String::new() }
}

/// The profiles of one file. In `config` a section is called `profile NAME`, or `default`; in `credentials` it is the name.
fn parse(content: &str, prefix: Option<&str>) -> Vec<Profile> {
    let mut profiles: Vec<Profile> = Vec::new();
    let mut is_profile = false;
    for line in content.lines() {
        let line = line.split(['#', ';']).next().unwrap_or_default().trim();
        if let Some(section) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')).map(str::trim) {
            let name = match (section.split_once(char::is_whitespace), prefix) {
                (Some((word, name)), Some(prefix)) if word == prefix => Some(name.trim().trim_matches(['"', '\''])),
                (None, Some(_)) => Some(section).filter(|name| *name == "default"),
                (Some(_), Some(_)) => None,
                (_, None) => Some(section),
            };
            is_profile = name.is_some();
            profiles.extend(name.map(|name| Profile { name: name.to_string(), ..Profile::default() }));
            continue;
        }
        let (Some((key, value)), Some(profile), true) = (line.split_once('='), profiles.last_mut(), is_profile) else {
            continue;
        };
        let value = value.trim();
        match key.trim() {
            "region" if !value.is_empty() => profile.region = Some(value.to_string()),
            "sso_account_id" | "aws_account_id" => profile.account = Some(value.to_string()),
            "role_arn" => profile.account = account_of(value).or(profile.account.take()),
            _ => {}
        }
    }
    profiles
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: &str = "
[default]
region = us-east-1

[profile prod]
sso_session = work
sso_account_id = 111122223333
region=eu-west-1 # where it runs
[profile prod-read]
role_arn = arn:aws:iam::111122223333:role/reader
region = eu-west-1
[sso-session work]
region = eu-central-1
[services local]
[profile bare]
";

    fn surroundings(aws: AwsSurroundings) -> (tempfile::TempDir, Surroundings) {
        let folder = tempfile::tempdir().expect("a folder");
        let (config, credentials) = (folder.path().join("config"), folder.path().join("credentials"));
        std::fs::write(&config, CONFIG).expect("written");
        let keys = "[ci]\naws_access_key_id = AKIACANARY\naws_secret_access_key = s3cret-canary\n[prod]\n";
        std::fs::write(&credentials, keys).expect("written");
        let aws = AwsSurroundings { config_file: Some(config), credentials_file: Some(credentials), ..aws };
        (folder, Surroundings { aws, ..Surroundings::default() })
    }

    fn ids(found: &[Found]) -> Vec<&str> {
        found.iter().map(|found| found.spec.id.0.as_str()).collect()
    }

    #[test]
    fn profiles_are_places_and_the_one_in_force_comes_first() {
        let prod = AwsSurroundings { profile: Some("prod".to_string()), ..AwsSurroundings::default() };
        let (_folder, with_prod) = surroundings(prod);
        let found = discover(&with_prod);
        assert_eq!(
            ids(&found),
            ["aws/111122223333/eu-west-1", "aws/default/us-east-1", "aws/prod-read/eu-west-1", "aws/bare", "aws/ci"]
        );
        assert_eq!(found[0].standing, Standing::Current);
        assert!(found[1..].iter().all(|found| found.standing == Standing::Other));
        assert!(!format!("{found:?}").contains("canary"), "nothing secret is read");
    }

    #[test]
    fn keys_of_the_environment_need_a_region_and_a_default_profile_is_in_force() {
        let keys = |region: Option<&str>| AwsSurroundings {
            has_keys: true,
            region: region.map(ToString::to_string),
            ..AwsSurroundings::default()
        };
        let current = |aws| {
            let (_folder, surroundings) = surroundings(aws);
            let found = discover(&surroundings);
            found.iter().find(|found| found.standing == Standing::Current).map(|found| found.spec.id.0.to_string())
        };
        assert_eq!(current(keys(Some("eu-north-1"))).as_deref(), Some("aws/default/eu-north-1"));
        assert_eq!(current(keys(None)), None);
        assert_eq!(current(AwsSurroundings::default()).as_deref(), Some("aws/default/us-east-1"));
        assert!(discover(&Surroundings::default()).is_empty());
        let aws = AwsSurroundings { is_machine: true, ..AwsSurroundings::default() };
        let on_ec2 = discover(&Surroundings { aws, ..Surroundings::default() });
        assert_eq!((ids(&on_ec2), &on_ec2[0].standing), (vec!["aws/default"], &Standing::LastResort));
    }

    #[test]
    fn a_credential_process_is_handed_to_the_helper() {
        let text = "[profile a]\nregion = eu-west-1\nCredential_Process=get 'it' $HOME # prod\n  credential_process = x\n[b]\ncredential_process =\n";
        let wanted = "[profile a]\nregion = eu-west-1\ncredential_process = run it 'get '\\''it'\\'' $HOME'\n  credential_process = x\n[b]\ncredential_process =";
        assert_eq!(with_helper(text, "run it"), wanted);
    }

    #[test]
    fn a_profile_that_is_nowhere_is_named() {
        let (_folder, surroundings) = surroundings(AwsSurroundings::default());
        let expanded = |table: serde_json::Value| expand(table.as_object().expect("a table"), &surroundings);
        let why = expanded(serde_json::json!({"profile": "prodd"})).expect_err("it is not there");
        assert!(why.contains("no profile prodd; there are: default, prod,"), "{why}");
        assert_eq!(expanded(serde_json::json!({"profile": "prod"})).map(|tables| tables.len()), Ok(1));
        assert_eq!(expanded(serde_json::json!({"region": "eu-west-1"})).map(|tables| tables.len()), Ok(1));
    }

    #[test]
    fn a_place_is_called_by_its_account_where_that_is_told() {
        let (_folder, surroundings) = surroundings(AwsSurroundings::default());
        let id = |table: serde_json::Value| default_id(table.as_object().expect("a table"), &surroundings);
        assert_eq!(id(serde_json::json!({"profile": "prod"})), "aws/111122223333/eu-west-1");
        assert_eq!(id(serde_json::json!({"profile": "ci", "region": "eu-west-3"})), "aws/ci/eu-west-3");
        let role = serde_json::json!({"role_arn": "arn:aws:iam::444455556666:role/x", "region": "eu-west-3"});
        assert_eq!(id(role), "aws/444455556666/eu-west-3");
    }
}
