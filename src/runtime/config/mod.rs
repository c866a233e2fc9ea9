//! The configuration file: read once, every fault found at once, with file, line, column and a hint.
//!
//! Never falls back to a default because of a fault: a bad file stops the program before the screen.

mod policy;
mod reader;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Map, Value};
use toml::de::DeTable;

use crate::app::fault::{Fault, did_you_mean};
use crate::domain::expectation::{Declaration, ServiceKeys};
use crate::domain::image::ImageRef;
use crate::domain::policy::{Confirm, Policy};
use crate::domain::selector::duration;
use crate::domain::text::{Text, counted};
use crate::domain::timeline::Retention;
use crate::providers;
use crate::runtime::text_file;
use reader::{Faults, Table};

/// What a configuration file says.
#[derive(Debug, Default)]
pub struct Config {
    /// The file, if there was one.
    pub file: Option<PathBuf>,
    /// The places.
    pub places: Vec<ConfiguredPlace>,
    /// Which labels name the service.
    pub service_keys: ServiceKeys,
    /// What should run.
    pub declarations: Vec<Declaration>,
    /// How careful operations are.
    pub policy: Policy,
    /// Files that say what versions are.
    pub release_files: Vec<PathBuf>,
    /// How much of the timeline is kept.
    pub retention: Retention,
    /// Registries that may be asked.
    pub registries: Vec<Registry>,
    /// Every value in force with the place it comes from.
    pub origins: Vec<Setting>,
}

/// One `[[places]]`.
#[derive(Debug)]
pub struct ConfiguredPlace {
    /// Its id, if one is given.
    pub id: Option<Text>,
    /// Its kind.
    pub kind: &'static providers::Kind,
    /// What its provider alone understands.
    pub settings: Map<String, Value>,
    /// What starts a plan there (`production = false` makes `y` enough for small ones).
    pub confirm: Confirm,
    /// Whether no request that changes something may exist for it.
    pub read_only: bool,
}

/// One `[[registries]]`: it may be asked what tags stand for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registry {
    /// Glob over hosts, with the port where it is not the usual one.
    pub host: Text,
    /// Whether it is spoken to without TLS.
    pub plain_http: bool,
    /// Hosts of other domains that may give tokens for it.
    pub token_hosts: Vec<Text>,
}

/// One value in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Its key.
    pub key: String,
    /// Its value.
    pub value: String,
    /// Where it comes from: a line of the file, or the default.
    pub origin: String,
}

/// A configuration file that can't be used.
#[derive(Debug)]
pub struct ConfigError {
    /// The file.
    pub file: PathBuf,
    /// All faults, in the order of the file.
    pub faults: Vec<Fault>,
}

impl std::fmt::Display for ConfigError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let faults = self.faults.len();
        write!(formatter, "the configuration has {}:", counted(faults, "fault"))?;
        for fault in &self.faults {
            write!(formatter, "\n{}:{fault}", self.file.display())?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

/// Reads a configuration file.
///
/// # Errors
/// Every fault of it at once; a file that can't be read is a fault at its first line.
pub fn read(file: &Path) -> Result<Config, ConfigError> {
    let failed = |faults| ConfigError { file: file.to_path_buf(), faults };
    let unreadable = |error: std::io::Error| {
        failed(vec![Fault {
            line: 1,
            column: 1,
            message: Text::new(&format!("it can't be read: {error}")),
            hint: Text::new("check the path given with --config"),
        }])
    };
    let source = text_file::read(file).map_err(unreadable)?;
    let mut config = parse(&source, &file.display().to_string()).map_err(failed)?;
    config.file = Some(file.to_path_buf());
    Ok(config)
}

/// Understands the text of a configuration file; `name` is used in origins.
///
/// # Errors
/// Every fault of it at once.
pub fn parse(source: &str, name: &str) -> Result<Config, Vec<Fault>> {
    let (document, errors) = DeTable::parse_recoverable(source);
    if !errors.is_empty() {
        return Err(errors.iter().map(|error| Fault::of_toml(source, error)).collect());
    }
    let faults = Faults::new(source);
    let root = Table::new(document.get_ref(), document.span(), &faults);
    let mut config = Config { origins: Vec::new(), ..Config::default() };
    config.places = root.tables("places").iter().filter_map(|table| place(table, name, &mut config.origins)).collect();
    if let Some(services) = root.table("services") {
        if let Some(keys) = services.strings("keys") {
            if keys.is_empty() {
                services.fault_at("keys", "`keys` is empty", "name at least one label, or leave the key out");
            }
            config.service_keys = ServiceKeys(keys.iter().map(|key| Text::new(key)).collect());
            note(&mut config.origins, &services, name, "services.keys", "keys", &keys.join(", "));
        }
        services.refuse_unknown();
    }
    config.declarations =
        root.tables("expect").iter().filter_map(|table| declaration(table, name, &mut config.origins)).collect();
    if let Some(table) = root.table("policy") {
        config.policy = policy::read(&table, name, &mut config.origins);
    }
    if let Some(table) = root.table("releases") {
        let files = table.strings("files").unwrap_or_default();
        config.release_files = files.iter().map(PathBuf::from).collect();
        note(&mut config.origins, &table, name, "releases.files", "files", &files.join(", "));
        table.refuse_unknown();
    }
    if let Some(table) = root.table("timeline") {
        if let Some(age) = table.parsed("keep", "a time of an hour or more, like \"30d\"", keep) {
            config.retention.age = age;
            note(&mut config.origins, &table, name, "timeline.keep", "keep", &config.retention.describe());
        }
        table.refuse_unknown();
    }
    config.registries = root.tables("registries").iter().filter_map(registry).collect();
    root.refuse_unknown();
    add_defaults(&mut config);
    let faults = faults.into_list();
    if faults.is_empty() { Ok(config) } else { Err(faults) }
}

/// What holds without a configuration file.
pub fn defaults() -> Config {
    let mut config = Config::default();
    add_defaults(&mut config);
    config
}

impl Config {
    /// Every value in force with its origin, one a line.
    pub fn show(&self) -> String {
        let mut text = match &self.file {
            Some(file) => format!("# read from {}\n", file.display()),
            None => "# no configuration file; all values are defaults\n".to_string(),
        };
        for setting in &self.origins {
            // Writing to a string can't fail.
            let _ = writeln!(text, "{} = {:?}  # {}", setting.key, setting.value, setting.origin);
        }
        text
    }
}

fn note(origins: &mut Vec<Setting>, table: &Table<'_, '_>, file: &str, key: &str, name: &str, value: &str) {
    if let Some(line) = table.line_of(name) {
        origins.push(Setting { key: key.to_string(), value: value.to_string(), origin: format!("{file}:{line}") });
    }
}

fn place(table: &Table<'_, '_>, file: &str, origins: &mut Vec<Setting>) -> Option<ConfiguredPlace> {
    let names: Vec<&str> = providers::KINDS.iter().map(|kind| kind.name).collect();
    let Some(kind_name) = table.string("kind") else {
        if table.line_of("kind").is_none() {
            table.fault("a place needs a `kind`", &format!("known kinds: {}", names.join(", ")));
        }
        return None;
    };
    let Some(kind) = providers::kind(&kind_name) else {
        // What its places are called begins so.
        let meant = if kind_name == "k8s" { "kubernetes" } else { &kind_name };
        let hint = did_you_mean(meant, names.iter().copied(), &format!("known kinds: {}", names.join(", ")));
        table.fault_at("kind", &format!("`{kind_name}` is no kind of place"), &hint);
        return None;
    };
    let id = table.string("id");
    let production = table.boolean("production").unwrap_or(true);
    let read_only = table.boolean("read_only").unwrap_or(false);
    let settings = table.rest();
    for fault in (kind.check)(&settings) {
        table.fault_at(&fault.key, &format!("`{}` {}", fault.key, fault.message), "");
    }
    let label = id.clone().unwrap_or_else(|| kind_name.clone());
    for (name, value) in [("production", production.to_string()), ("read_only", read_only.to_string())] {
        note(origins, table, file, &format!("places.{label}.{name}"), name, &value);
    }
    for (key, value) in &settings {
        let text = value.as_str().map_or_else(|| value.to_string(), ToString::to_string);
        note(origins, table, file, &format!("places.{label}.{key}"), key, &text);
    }
    let confirm = if production { Confirm::Code } else { Confirm::YesForSmall };
    Some(ConfiguredPlace { id: id.map(|id| Text::new(&id)), kind, settings, confirm, read_only })
}

fn declaration(table: &Table<'_, '_>, file: &str, origins: &mut Vec<Setting>) -> Option<Declaration> {
    let service = table.string("service");
    let image = table.parsed("image", "like registry/repository:tag@sha256:…", |raw| {
        raw.parse::<ImageRef>().map_err(|error| error.to_string())
    });
    let container = table.string("container");
    let places = table.strings("places").unwrap_or_default();
    if service.is_none() && table.line_of("service").is_none() {
        table.fault("an expectation needs a `service`", "service = \"checkout\"");
    }
    if image.is_none() && table.line_of("image").is_none() {
        table.fault("an expectation needs an `image`", "image = \"registry/checkout:v41@sha256:…\"");
    }
    table.refuse_unknown();
    let (service, image) = (service?, image?);
    note(origins, table, file, &format!("expect.{service}"), "image", image.as_str());
    Some(Declaration {
        service: Text::new(&service),
        image,
        container: container.map(|container| Text::new(&container)),
        places: places.iter().map(|place| Text::new(place)).collect(),
    })
}

fn registry(table: &Table<'_, '_>) -> Option<Registry> {
    let host = table.string("host");
    let plain_http = table.boolean("plain_http").unwrap_or(false);
    if host.is_none() {
        table.fault("a registry needs a `host`", "host = \"registry.internal:5000\"");
    }
    let token_hosts = table.strings("token_hosts").unwrap_or_default();
    if let Some(wrong) =
        host.as_ref().filter(|host| host.contains("//") || host.contains(['@', ' ']) || host.ends_with('/'))
    {
        table.fault_at(
            "host",
            &format!("{wrong:?} is no host"),
            "name and port alone: \"registry.internal:5000\", \"*.example.com\"",
        );
    }
    table.refuse_unknown();
    let token_hosts = token_hosts.iter().map(|host| Text::new(host)).collect();
    Some(Registry { host: Text::new(&host?), plain_http, token_hosts })
}

/// What the screen asks for with one key is kept.
fn keep(raw: &str) -> Result<Duration, String> {
    match duration(raw) {
        Ok(age) if age >= Duration::from_secs(3600) => Ok(age),
        Ok(_) => Err(format!("`{raw}` is less than the hour that Timeline shows")),
        Err(error) => Err(error.to_string()),
    }
}

fn add_defaults(config: &mut Config) {
    let base = config.policy.base;
    let defaults = [
        ("services.keys", config.service_keys.0.iter().map(Text::as_str).collect::<Vec<&str>>().join(", ")),
        ("policy.floor", format!("{}%", base.floor_percent)),
        ("policy.bake", format!("{}s", base.bake.as_secs())),
        ("policy.first", base.first_percent.map_or("all at once".to_string(), |percent| format!("{percent}%"))),
        ("policy.max_age", base.max_age.map_or("any".to_string(), |age| format!("{}s", age.as_secs()))),
        ("policy.step_timeout", format!("{}s", base.step_timeout.as_secs())),
        ("policy.watch", "60s on screen, 10s without one".to_string()),
        ("policy.changed_lately", format!("{}s", config.policy.changed_lately.as_secs())),
        ("timeline.keep", config.retention.describe()),
    ];
    for (key, value) in defaults {
        if !config.origins.iter().any(|setting| setting.key == key) {
            config.origins.push(Setting { key: key.to_string(), value, origin: "default".to_string() });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(source: &str, wanted: &[&str]) {
        let faults = parse(source, "config.toml").err().unwrap_or_default();
        let found: Vec<String> = faults.iter().map(ToString::to_string).collect();
        assert_eq!(found, wanted, "{source}");
    }

    #[test]
    fn every_fault_is_found_with_its_line_and_column() {
        check("[policy]\nfloor = \"75%\"\nbake = \"60s\"\norder = [\"a\"]", &[]);
        check(
            "[policy]\nflor = \"75%\"\nbake = 60\nfloor = \"175%\"",
            &[
                "2:1: `flor` is not known\n    hint: did you mean floor?",
                "3:8: `bake` is integer\n    hint: it must be a string in quotes",
                "4:9: `175%` is no percentage\n    hint: a percentage from \"0%\" to \"100%\"",
            ],
        );
        check(
            "[[expect]]\nimage = \"repo@sha256:12\"",
            &[
                "1:1: an expectation needs a `service`\n    hint: service = \"checkout\"",
                "2:9: `sha256:12` is no digest: it must be sha256: followed by 64 hexadecimal digits\n    hint: like registry/repository:tag@sha256:…",
            ],
        );
        check("[timeline]\nkeep = \"90d\"", &[]);
        check(
            "[timeline]\nkeep = \"5m\"",
            &["2:8: `5m` is less than the hour that Timeline shows\n    hint: a time of an hour or more, like \"30d\""],
        );
        check(
            "[[policy.freeze]]\nfrom = \"tomorrow\"\nuntil = \"2027-01-04T08:00:00Z\"",
            &[
                "1:1: a freeze needs a `reason`\n    hint: whoever is refused will read it",
                "2:8: `tomorrow` is no time\n    hint: a time with its zone, like \"2026-12-20T18:00:00Z\"",
            ],
        );
        check(
            "[[places]]\nkind = \"kubernets\"",
            &["2:8: `kubernets` is no kind of place\n    hint: did you mean kubernetes?"],
        );
        check("[[places]]\nkind = \"k8s\"", &["2:8: `k8s` is no kind of place\n    hint: did you mean kubernetes?"]);
    }

    #[test]
    fn broken_toml_names_the_place_where_it_breaks() {
        let faults = parse("[policy\nfloor = 3", "config.toml").err().unwrap_or_default();
        assert!(faults.iter().any(|fault| fault.line == 1), "{faults:?}");
    }

    #[test]
    fn values_in_force_say_where_they_come_from() {
        let config = parse("[policy]\n\nbake = \"5s\"", "config.toml").expect("valid");
        assert_eq!(config.policy.base.bake.as_secs(), 5);
        let shown = config.show();
        assert!(shown.contains("policy.bake = \"5s\"  # config.toml:3"), "{shown}");
        assert!(shown.contains("policy.floor = \"75%\"  # default"), "{shown}");
    }
}
