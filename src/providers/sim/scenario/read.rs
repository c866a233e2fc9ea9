//! From the text of a scenario to its types, or to what is wrong with it and where.
//!
//! Never lets a file through that names something which is not there: what is built from it can't fail.

use toml::Spanned;

use super::{Failure, Percent, Platform, SCENARIOS, Scenario, ScenarioError, SceneAt, ScenePlace, SceneService, Span};
use crate::domain::image::{Digest, ImageRef};
use crate::domain::selector::{duration, glob_matches};

impl Scenario {
    /// An embedded scenario by name, or one from its own text (anything with a line break or `=` in it).
    ///
    /// # Errors
    /// What is wrong, and where.
    pub fn load(name_or_text: &str) -> Result<Scenario, ScenarioError> {
        if name_or_text.contains(['\n', '=']) {
            return Scenario::parse(name_or_text);
        }
        match SCENARIOS.iter().find(|(name, _)| *name == name_or_text) {
            Some((_, text)) => Scenario::parse(text),
            None => {
                let known: Vec<&str> = SCENARIOS.iter().map(|(name, _)| *name).collect();
                Err(ScenarioError::Unknown { name: name_or_text.to_string(), known: known.join(", ") })
            }
        }
    }

    /// A scenario from its text.
    ///
    /// # Errors
    /// What is wrong, and where.
    pub fn parse(text: &str) -> Result<Scenario, ScenarioError> {
        let scenario: Scenario = toml::from_str(text).map_err(|error| {
            let start = error.span().map_or(0, |span| span.start);
            faulty(text, start, error.message())
        })?;
        scenario.check().map_err(|(at, message)| faulty(text, at, &message))?;
        Ok(scenario.expanded())
    }

    /// One service by name.
    pub fn service(&self, name: &str) -> Option<&SceneService> {
        self.services.iter().find(|service| service.name.get_ref() == name)
    }

    /// What serde can't see: names that must exist, numbers that must fit.
    fn check(&self) -> Result<(), (usize, String)> {
        for place in &self.places {
            check_count(&place.id, place.count)?;
            if let Some(dark) = &place.dark
                && dark.at.is_some() == dark.after_calls.is_some()
            {
                let message = "`dark` needs either `at` (\"20s\") or `after_calls` (2)".to_string();
                return Err((place.id.span().start, message));
            }
        }
        let ids = self.places.iter().flat_map(|place| {
            let ids = numbered(&place.id, place.count);
            ids.into_iter().map(|id| (id, place.kind))
        });
        let places: Vec<(String, Platform)> = ids.collect();
        for service in &self.services {
            check_count(&service.name, service.count)?;
            check_service(service, &places)?;
        }
        for expect in &self.expect {
            let names: Vec<&str> = self.services.iter().map(|service| service.name.get_ref().as_str()).collect();
            let service = self.service(expect.service.get_ref()).ok_or_else(|| not_among(&expect.service, &names))?;
            check_tag(service, &expect.version)?;
        }
        Ok(())
    }

    /// With places and services that stand for many written out.
    fn expanded(mut self) -> Scenario {
        let places = self.places.into_iter().flat_map(|place| {
            let ids = numbered(&place.id, place.count);
            let span = place.id.span();
            ids.into_iter().map(move |id| ScenePlace {
                id: Spanned::new(span.clone(), id),
                count: None,
                ..place.clone()
            })
        });
        self.places = places.collect();
        let services = self.services.into_iter().flat_map(|service| {
            let names = numbered(&service.name, service.count);
            let span = service.name.span();
            names.into_iter().map(move |name| SceneService {
                name: Spanned::new(span.clone(), name),
                count: None,
                ..service.clone()
            })
        });
        self.services = services.collect();
        self
    }
}

/// One service from its own text, for those that come while a scenario is played.
///
/// # Errors
/// What is wrong, and where.
pub(in crate::providers::sim) fn parse_service(
    text: &str,
    places: &[(String, Platform)],
) -> Result<SceneService, ScenarioError> {
    let service: SceneService = toml::from_str(text)
        .map_err(|error| faulty(text, error.span().map_or(0, |span| span.start), error.message()))?;
    check_service(&service, places).map_err(|(at, message)| faulty(text, at, &message))?;
    Ok(service)
}

fn check_service(service: &SceneService, places: &[(String, Platform)]) -> Result<(), (usize, String)> {
    let start = service.name.span().start;
    if service.versions.is_empty() {
        return Err((start, "a service needs at least one of [[services.versions]]".to_string()));
    }
    if service.at.is_empty() {
        return Err((start, "a service needs at least one of [[services.at]]".to_string()));
    }
    for version in &service.versions {
        if !(0.0..=1.0).contains(&version.share) {
            return Err((start, format!("share of {} must lie between 0 and 1", version.tag)));
        }
        if let Some(digest) = &version.digest {
            let parsed = digest.get_ref().parse::<Digest>();
            parsed.map_err(|error| (digest.span().start, error.to_string()))?;
        }
        if let Some(ami) = &version.ami
            && !ami.get_ref().parse().is_ok_and(|image: ImageRef| image.is_machine())
        {
            let message = format!("`{}` is no machine image; write ami- and 17 hexadecimal digits", ami.get_ref());
            return Err((ami.span().start, message));
        }
    }
    for sidecar in &service.sidecars {
        let parsed = sidecar.image.get_ref().parse::<ImageRef>();
        parsed.map_err(|error| (sidecar.image.span().start, error.to_string()))?;
    }
    if let Some(expected) = &service.expected {
        check_tag(service, expected)?;
    }
    for at in &service.at {
        let mut meant = places.iter().filter(|(id, _)| glob_matches(at.place.get_ref(), id)).peekable();
        if meant.peek().is_none() {
            let ids: Vec<&str> = places.iter().map(|(id, _)| id.as_str()).collect();
            return Err(not_among(&at.place, &ids));
        }
        for (id, platform) in meant {
            match platform {
                Platform::Kubernetes => {}
                Platform::Aws => check_group(service, at)
                    .map_err(|why| (at.place.span().start, format!("{} in {id}: {why}", service.name.get_ref())))?,
            }
        }
        for tag in at.requested.iter().chain(&at.from) {
            check_tag(service, tag)?;
        }
        let unknown =
            at.running.iter().flatten().find(|(tag, _)| service.versions.iter().all(|known| known.tag != **tag));
        if let Some((tag, _)) = unknown {
            return Err((at.place.span().start, format!("`running` names {tag}; {}", tags(service))));
        }
    }
    Ok(())
}

/// What an Auto Scaling group could not be.
fn check_group(service: &SceneService, at: &SceneAt) -> Result<(), String> {
    let shares = [
        ("max_unavailable", at.max_unavailable.as_ref().unwrap_or(&service.max_unavailable)),
        ("max_surge", at.max_surge.as_ref().unwrap_or(&service.max_surge)),
    ];
    for (key, share) in shares {
        let is_share =
            share.strip_suffix('%').and_then(|share| share.parse::<u8>().ok()).is_some_and(|share| share <= 100);
        if !is_share {
            return Err(format!("`{key}` of an Auto Scaling group is a percentage (\"20%\"), not {share}"));
        }
    }
    if service.versions.iter().any(|version| version.fails == Some(Failure::ImagePull)) {
        return Err("a machine pulls no image: there `fails` is readiness or later".to_string());
    }
    match (at.stale, at.touched) {
        (0, 0) => Ok(()),
        (_, 0) => Err("a machine image has no tag that moves: `stale` is of clusters alone".to_string()),
        (..) => Err("a machine has no debug container: `touched` is of clusters alone".to_string()),
    }
}

fn check_tag(service: &SceneService, tag: &Spanned<String>) -> Result<(), (usize, String)> {
    match service.versions.iter().any(|version| version.tag == *tag.get_ref()) {
        true => Ok(()),
        false => Err((
            tag.span().start,
            format!("{} has no version {}; {}", service.name.get_ref(), tag.get_ref(), tags(service)),
        )),
    }
}

fn tags(service: &SceneService) -> String {
    let tags: Vec<&str> = service.versions.iter().map(|version| version.tag.as_str()).collect();
    format!("its versions are {}", tags.join(", "))
}

fn check_count(name: &Spanned<String>, count: Option<u32>) -> Result<(), (usize, String)> {
    match (count, name.get_ref().contains("{n}")) {
        (Some(_), true) | (None, false) => Ok(()),
        (Some(_), false) => {
            Err((name.span().start, "with `count` the name must hold {n}, where the number goes".into()))
        }
        (None, true) => Err((name.span().start, "a name with {n} needs `count`".into())),
    }
}

fn not_among(found: &Spanned<String>, known: &[&str]) -> (usize, String) {
    let list: Vec<&str> = known.iter().copied().take(12).collect();
    (found.span().start, format!("`{}` is none of {}", found.get_ref(), list.join(", ")))
}

fn numbered(name: &Spanned<String>, count: Option<u32>) -> Vec<String> {
    match count {
        None => vec![name.get_ref().clone()],
        Some(count) => (1..=count).map(|number| name.get_ref().replace("{n}", &format!("{number:02}"))).collect(),
    }
}

fn faulty(text: &str, at: usize, message: &str) -> ScenarioError {
    let before = text.get(..at).unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    ScenarioError::Faulty { line, column, message: message.to_string() }
}

impl TryFrom<String> for Span {
    type Error = String;
    fn try_from(raw: String) -> Result<Span, String> {
        let wrong = |_| format!("`{raw}` is no duration; durations look like 500ms, 90s, 15m, 2h, 3d");
        duration(&raw).map(Span).map_err(wrong)
    }
}

impl TryFrom<String> for Percent {
    type Error = String;
    fn try_from(raw: String) -> Result<Percent, String> {
        let number = raw.strip_suffix('%').and_then(|number| number.parse().ok());
        let percent = number.filter(|number| *number <= 100).map(Percent);
        percent.ok_or_else(|| format!("`{raw}` is no percentage; write \"75%\""))
    }
}
