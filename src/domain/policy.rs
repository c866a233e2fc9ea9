//! How careful an operation is: floors, bakes, time-outs, the order of places.
//!
//! Never knows a provider; `for_place` is all that others ask.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::id::PlaceId;
use super::selector::glob_matches;
use super::text::{Text, counted};

/// The policy of one place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlacePolicy {
    /// Healthy instances of a service in a place never fall below this share through us, in percent.
    pub floor_percent: u8,
    /// How long a wave must stay healthy before the next one starts.
    pub bake: Duration,
    /// How many of a workload's instances are replaced first, in percent; the rest follows once they have stayed healthy for as
    /// long as a wave must. Where its platform can hold a rollout by itself.
    pub first_percent: Option<u8>,
    /// How old an instance may become before Fleet says so; `None`: as old as it likes.
    pub max_age: Option<Duration>,
    /// How long a step may go without progress before it has failed.
    pub step_timeout: Duration,
    /// Whether small plans there ask for a code like all others.
    pub confirm: Confirm,
    /// What becomes of the minimum of an autoscaler while its workload is changed.
    pub minimum: Minimum,
}

/// What becomes of the minimum of an autoscaler while its workload is changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Minimum {
    /// It is raised to what there is now, and given back: nothing scales down what is being replaced.
    #[default]
    Held,
    /// It stays as it is.
    AsItIs,
}

/// What starts a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Confirm {
    /// `y` is enough for one workload and at most five instances.
    YesForSmall,
    /// The four-letter code.
    Code,
}

/// An exception for some places.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PolicyRule {
    /// Glob over place ids.
    pub places: Text,
    /// Instead of the floor.
    pub floor_percent: Option<u8>,
    /// Instead of the bake.
    pub bake: Option<Duration>,
    /// Instead of the share that goes first.
    pub first_percent: Option<u8>,
    /// Instead of the greatest age.
    pub max_age: Option<Duration>,
    /// Instead of the time-out.
    pub step_timeout: Option<Duration>,
    /// Instead of the confirmation.
    pub confirm: Option<Confirm>,
    /// Instead of what becomes of an autoscaler's minimum.
    pub minimum: Option<Minimum>,
}

/// A time in which nothing moves on. The way back stays open: a freeze keeps risk out, and a bad version that has to stay is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Freeze {
    /// Globs over place ids; none: everywhere.
    pub places: Vec<Text>,
    /// When it begins.
    pub from: Timestamp,
    /// When it ends.
    pub until: Timestamp,
    /// Why, in the words of whoever wrote it.
    pub reason: Text,
}

/// A question that somebody else answers before a wave counts as healthy: a program, or an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// Globs over place ids; none: everywhere.
    pub places: Vec<Text>,
    /// What is asked.
    pub asks: Asks,
    /// How long it may take; no answer by then is a no.
    pub timeout: Duration,
}

/// What a probe asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asks {
    /// A program with its arguments: 0 is a yes.
    Command(Vec<String>),
    /// An address, read once: a status from 200 to 299 is a yes.
    Http(String),
}

impl Probe {
    /// What it asks, in words. Arguments, names in an address and its query may be secrets: they are not shown.
    pub fn describe(&self) -> String {
        match &self.asks {
            Asks::Command(words) => match words.split_first() {
                Some((program, [])) => Text::new(program).to_string(),
                Some((program, arguments)) => {
                    format!("{} with {}", Text::new(program), counted(arguments.len(), "argument"))
                }
                None => String::new(),
            },
            // Its query may be a secret too.
            Asks::Http(address) => Text::new(address.split(['?', '#']).next().unwrap_or_default()).to_string(),
        }
    }

    /// What it said, without what it was given: whatever is asked may say it all back.
    pub fn without_secrets(&self, said: &str) -> String {
        let given: Vec<&str> = match &self.asks {
            Asks::Command(words) => words.iter().skip(1).map(String::as_str).collect(),
            Asks::Http(address) => address.split_once('?').map(|(_, query)| query).into_iter().collect(),
        };
        let mut shown = said.to_string();
        // The longest first: one may be the start of another.
        let mut secrets: Vec<&str> = given.into_iter().flat_map(secrets_in).collect();
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        for secret in secrets {
            shown = shown.replace(secret, "[left out]");
        }
        shown
    }
}

/// The parts of a text that may be secrets: what stands behind an equals sign, and what looks like no word.
fn secrets_in(text: &str) -> impl Iterator<Item = &str> {
    let is_part = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_' | '.' | '~' | '+' | '/');
    let values = text.split(['&', ' ', '\'', '"', '\n', ';']).filter_map(|pair| Some(pair.split_once('=')?.1));
    let values = values.filter(|value| value.len() >= 4);
    let tokens = text.split(move |letter| !is_part(letter)).filter(|token| {
        let has = |test: fn(char) -> bool| token.chars().any(test);
        token.len() >= 8 && has(|letter| letter.is_ascii_digit()) && has(|letter| letter.is_ascii_alphabetic())
    });
    values.chain(tokens)
}

impl Freeze {
    /// Until when, and why.
    pub fn describe(&self) -> String {
        format!("until {}: {}", self.until.strftime("%Y-%m-%d %H:%M UTC"), self.reason)
    }
}

/// The whole policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Where no rule says otherwise.
    pub base: PlacePolicy,
    /// Exceptions; later ones win.
    pub rules: Vec<PolicyRule>,
    /// When nothing moves on.
    pub freezes: Vec<Freeze>,
    /// Who is asked before a wave counts as healthy: all that are about its place.
    pub probes: Vec<Probe>,
    /// Globs over place ids: waves follow this order, unnamed places last, by name.
    pub order: Vec<Text>,
    /// How long a plan waits for its code.
    pub valid: Duration,
    /// How long a fleet is watched after the last wave, before an operation counts as done; `None`: whoever drives decides.
    pub watch: Option<Duration>,
    /// For how long a rollback that is done keeps its workloads from being moved away again; `None`: it does not.
    pub lock_after_rollback: Option<Duration>,
    /// How long something that was suspended may stay so before that is an alarm.
    pub loan_term: Duration,
    /// How long ago a change of the requested image still counts as late news.
    pub changed_lately: Duration,
}

impl Default for PlacePolicy {
    fn default() -> PlacePolicy {
        PlacePolicy {
            floor_percent: 75,
            bake: Duration::from_secs(60),
            first_percent: None,
            max_age: None,
            step_timeout: Duration::from_secs(600),
            confirm: Confirm::Code,
            minimum: Minimum::Held,
        }
    }
}

impl Default for Policy {
    fn default() -> Policy {
        Policy {
            base: PlacePolicy::default(),
            rules: Vec::new(),
            freezes: Vec::new(),
            probes: Vec::new(),
            order: Vec::new(),
            valid: Duration::from_secs(600),
            watch: None,
            lock_after_rollback: None,
            loan_term: Duration::from_secs(4 * 3600),
            changed_lately: Duration::from_secs(24 * 3600),
        }
    }
}

impl Policy {
    /// What holds in one place.
    pub fn for_place(&self, place: &PlaceId) -> PlacePolicy {
        let mut policy = self.base;
        for rule in self.rules.iter().filter(|rule| glob_matches(&rule.places, &place.0)) {
            policy.floor_percent = rule.floor_percent.unwrap_or(policy.floor_percent);
            policy.bake = rule.bake.unwrap_or(policy.bake);
            policy.first_percent = rule.first_percent.or(policy.first_percent);
            policy.max_age = rule.max_age.or(policy.max_age);
            policy.step_timeout = rule.step_timeout.unwrap_or(policy.step_timeout);
            policy.confirm = rule.confirm.unwrap_or(policy.confirm);
            policy.minimum = rule.minimum.unwrap_or(policy.minimum);
        }
        policy
    }

    /// The freeze that holds in a place at a time, if one does.
    pub fn freeze_at(&self, place: &PlaceId, now: Timestamp) -> Option<&Freeze> {
        self.freezes.iter().find(|freeze| {
            let is_there = freeze.places.is_empty() || freeze.places.iter().any(|glob| glob_matches(glob, &place.0));
            is_there && (freeze.from..freeze.until).contains(&now)
        })
    }

    /// Who is asked before a wave in a place counts as healthy: each of them must say yes.
    pub fn probes_at<'a>(&'a self, place: &'a PlaceId) -> impl Iterator<Item = &'a Probe> {
        let is_there =
            |probe: &&Probe| probe.places.is_empty() || probe.places.iter().any(|glob| glob_matches(glob, &place.0));
        self.probes.iter().filter(is_there)
    }

    /// Every glob over places that it names, each once.
    pub fn globs(&self) -> impl Iterator<Item = &str> {
        let of_rules = self.rules.iter().map(|rule| &rule.places);
        let of_probes = self.probes.iter().flat_map(|probe| &probe.places);
        let of_freezes = self.freezes.iter().flat_map(|freeze| &freeze.places);
        let all = of_rules.chain(of_probes).chain(of_freezes).chain(&self.order).map(Text::as_str);
        all.collect::<std::collections::BTreeSet<&str>>().into_iter()
    }

    /// Where in the order of waves a place stands; equal ranks are sorted by name.
    pub fn rank(&self, place: &PlaceId) -> usize {
        self.order.iter().position(|glob| glob_matches(glob, &place.0)).unwrap_or(self.order.len())
    }
}
