//! Launch templates and machine images: what is known of them is kept, and only what may have moved is asked again.
//!
//! Never judges; a version that is gone is simply not there.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use aws_sdk_ec2::types::{Filter, Image, LaunchTemplateVersion};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use jiff::Timestamp;
use tokio::time::Instant;

use super::connect::{Clients, ask};
use super::fault::Fault;
use super::read::Pages;
use crate::domain::text::Text;

/// How many of a template's newest versions are kept to go back to.
const HISTORY: i64 = 50;
/// Requests under way at once.
const AT_A_TIME: usize = 8;
/// Values of one filter, and ids of one call (EC2 API reference, `DescribeImages`, `DescribeLaunchTemplateVersions`).
const AT_ONCE: usize = 200;
/// How long what was said of an image counts.
const IMAGE_AGE: Duration = Duration::from_secs(3600);
/// Tags of an image that name its version, in this order, whatever their case.
const VERSION_TAGS: [&str; 3] = ["version", "app.kubernetes.io/version", "release"];

/// What is known of templates and images of one place.
#[derive(Debug, Default)]
pub(super) struct Templates {
    /// By template id.
    templates: HashMap<String, Template>,
    /// By image id, and when that was asked. An image never changes but for its tags, its state and when it is deprecated.
    images: HashMap<String, (ImageFacts, Instant)>,
}

/// A launch template.
#[derive(Clone, Debug, Default)]
pub(super) struct Template {
    /// What `$Latest` stands for.
    pub latest: i64,
    /// What `$Default` stands for.
    pub default: i64,
    /// By number.
    pub versions: BTreeMap<i64, Version>,
}

/// A version of a launch template.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Version {
    /// The image, after a parameter was resolved; `None` where the template leaves it to others (EKS).
    pub image: Option<String>,
    /// The parameter that names the image (`resolve:ssm:…`), where one does.
    pub parameter: Option<Text>,
    /// When it was made.
    pub created_at: Option<Timestamp>,
    /// Its author's words.
    pub description: Option<Text>,
}

/// A machine image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ImageFacts {
    /// What a person calls it: a tag that says so, else its name.
    pub version: Option<Text>,
    /// Its processor.
    pub architecture: Text,
    /// `available`, `disabled`, …
    pub state: Text,
    /// From when on it should not be used any more.
    pub deprecated_at: Option<Timestamp>,
}

/// Which versions of a template are needed.
pub(super) type Wanted = BTreeMap<String, BTreeSet<i64>>;

impl Templates {
    pub(super) fn template(&self, id: &str) -> Option<&Template> {
        self.templates.get(id)
    }

    pub(super) fn image(&self, id: &str) -> Option<&ImageFacts> {
        self.images.get(id).map(|(facts, _)| facts)
    }

    /// From when on an image is deprecated, where its owner has said so.
    pub(super) fn deprecated_at(&self, image: Option<&str>) -> Option<Timestamp> {
        self.image(image?)?.deprecated_at
    }

    /// Brings the wanted templates up to date: their numbers always, their versions where there are new ones or where a
    /// parameter may have moved, their images where they are not known.
    pub(super) async fn refresh(&mut self, clients: &Clients, wanted: &Wanted) -> Result<(), Fault> {
        let ids: Vec<&String> = wanted.keys().collect();
        let mut numbers: Vec<(String, i64, i64)> = Vec::new();
        for ids in ids.chunks(AT_ONCE) {
            match numbers_of(clients, ids).await {
                Ok(found) => numbers.extend(found),
                // One that is gone fails the whole call.
                Err(fault) if is_gone(&fault) => {
                    for id in ids {
                        match numbers_of(clients, &[id]).await {
                            Ok(found) => numbers.extend(found),
                            Err(fault) if is_gone(&fault) => {}
                            Err(fault) => return Err(fault),
                        }
                    }
                }
                Err(fault) => return Err(fault),
            }
        }
        let refreshed = numbers.into_iter().map(|(id, latest, default)| {
            let known = self.templates.get(&id).cloned().unwrap_or_default();
            refreshed(clients, id, known, (latest, default), wanted)
        });
        let refreshed: Vec<_> = refreshed.collect();
        let refreshed: Vec<(String, Template)> =
            stream::iter(refreshed).buffer_unordered(AT_A_TIME).try_collect().await?;
        self.templates = refreshed.into_iter().collect();
        let images = self.templates.values().flat_map(|template| template.versions.values());
        let images: BTreeSet<String> = images.filter_map(|version| version.image.clone()).collect();
        self.refresh_images(clients, images).await
    }

    /// Looks at images that are not known yet, and at those that were looked at long ago.
    pub(super) async fn refresh_images(&mut self, clients: &Clients, wanted: BTreeSet<String>) -> Result<(), Fault> {
        let now = Instant::now();
        let is_due = |id: &String| self.images.get(id).is_none_or(|(_, asked)| now.duration_since(*asked) >= IMAGE_AGE);
        let due: Vec<String> = wanted.into_iter().filter(is_due).collect();
        for ids in due.chunks(AT_ONCE) {
            let found = match images(clients, ids).await {
                // What is known of all of them is no worse for that.
                Err(_) if ids.iter().all(|id| self.images.contains_key(id)) => continue,
                found => found?,
            };
            let known = found.iter().filter_map(|image| Some((image.image_id()?.to_string(), (facts_of(image), now))));
            self.images.extend(known);
            // One that is gone is not asked for at each pass; what it was called is kept.
            ids.iter()
                .for_each(|id| self.images.entry(id.clone()).or_insert_with(|| (ImageFacts::default(), now)).1 = now);
        }
        Ok(())
    }
}

/// The images of these ids that exist and may be seen.
pub(super) async fn images(clients: &Clients, ids: &[String]) -> Result<Vec<Image>, Fault> {
    let filter = Filter::builder().name("image-id").set_values(Some(ids.to_vec())).build();
    // By filter: an unknown id among `ImageIds` fails the whole call.
    let request = clients.ec2.describe_images().filters(filter).include_deprecated(true).include_disabled(true);
    let answer = ask("ec2:DescribeImages", request.send()).await?;
    Ok(answer.images.unwrap_or_default())
}

/// What is shown of an image.
pub(super) fn facts_of(image: &Image) -> ImageFacts {
    let tag = |name: &&str| {
        let mut tags = image.tags().iter();
        let found = tags.find(|tag| tag.key().is_some_and(|key| key.eq_ignore_ascii_case(name)));
        found.and_then(|tag| tag.value()).filter(|value| !value.is_empty())
    };
    let version = VERSION_TAGS.iter().find_map(tag).or(image.name()).map(Text::new);
    ImageFacts {
        version,
        architecture: Text::new(image.architecture().map(|known| known.as_str()).unwrap_or_default()),
        state: Text::new(image.state().map(|known| known.as_str()).unwrap_or_default()),
        deprecated_at: image.deprecation_time().and_then(|time| time.parse().ok()),
    }
}

/// A template, brought up to date.
async fn refreshed(
    clients: &Clients,
    id: String,
    mut known: Template,
    (latest, default): (i64, i64),
    wanted: &Wanted,
) -> Result<(String, Template), Fault> {
    let is_new = known.latest != latest || known.versions.is_empty();
    (known.latest, known.default) = (latest, default);
    if is_new {
        let newest = Query { id: &id, versions: &[], from: Some((latest - HISTORY + 1).max(1)) };
        known.versions.extend(versions_of(clients, &newest).await?);
    }
    let needed = wanted.get(&id).into_iter().flatten().chain([&default]).copied();
    let missing: Vec<i64> = needed.filter(|number| !known.versions.contains_key(number)).collect();
    for number in missing {
        let one = Query { id: &id, versions: &[number.to_string()], from: None };
        match versions_of(clients, &one).await {
            Ok(found) => known.versions.extend(found),
            // Deleted, while instances of it still run.
            Err(fault) if is_gone(&fault) => {}
            Err(fault) => return Err(fault),
        }
    }
    // What a parameter stands for may be another image by now.
    let by_parameter = known.versions.iter().filter(|(_, version)| version.parameter.is_some());
    let by_parameter: Vec<String> = by_parameter.map(|(number, _)| number.to_string()).collect();
    for numbers in by_parameter.chunks(AT_ONCE) {
        for (number, image) in resolved(clients, &Query { id: &id, versions: numbers, from: None }).await? {
            if let Some(version) = known.versions.get_mut(&number) {
                version.image = image;
            }
        }
    }
    Ok((id, known))
}

struct Query<'a> {
    id: &'a str,
    versions: &'a [String],
    from: Option<i64>,
}

async fn numbers_of(clients: &Clients, ids: &[&String]) -> Result<Vec<(String, i64, i64)>, Fault> {
    let ids: Vec<String> = ids.iter().map(|id| (*id).clone()).collect();
    let mut found = Vec::new();
    let mut token: Option<String> = None;
    let mut pages = Pages::of("ec2:DescribeLaunchTemplates");
    loop {
        let request = clients.ec2.describe_launch_templates().set_launch_template_ids(Some(ids.clone()));
        let answer = ask("ec2:DescribeLaunchTemplates", request.set_next_token(token.take()).send()).await?;
        found.extend(answer.launch_templates().iter().filter_map(|template| {
            let id = template.launch_template_id()?.to_string();
            Some((id, template.latest_version_number()?, template.default_version_number()?))
        }));
        token = pages.next(answer.next_token)?;
        if token.is_none() {
            return Ok(found);
        }
    }
}

async fn versions_of(clients: &Clients, query: &Query<'_>) -> Result<Vec<(i64, Version)>, Fault> {
    let mut found: Vec<(i64, Version)> = raw(clients, query, false).await?.iter().filter_map(version_of).collect();
    let by_parameter: Vec<String> =
        found.iter().filter(|(_, version)| version.parameter.is_some()).map(|(number, _)| number.to_string()).collect();
    if !by_parameter.is_empty() {
        for (number, image) in resolved(clients, &Query { versions: &by_parameter, from: None, ..*query }).await? {
            if let Some((_, version)) = found.iter_mut().find(|(known, _)| *known == number) {
                version.image = image;
            }
        }
    }
    Ok(found)
}

/// The images that parameters stand for now: AWS resolves them itself.
async fn resolved(clients: &Clients, query: &Query<'_>) -> Result<Vec<(i64, Option<String>)>, Fault> {
    let answers = match raw(clients, query, true).await {
        // A parameter that is gone, or that may not be read: what its versions stand for is not known, the rest is.
        Err(Fault::Refused { .. } | Fault::Denied(_)) => return Ok(Vec::new()),
        answers => answers?,
    };
    Ok(answers.iter().filter_map(|version| Some((version.version_number()?, image_of(version)))).collect())
}

async fn raw(clients: &Clients, query: &Query<'_>, resolve: bool) -> Result<Vec<LaunchTemplateVersion>, Fault> {
    let mut found = Vec::new();
    let mut token: Option<String> = None;
    let mut pages = Pages::of("ec2:DescribeLaunchTemplateVersions");
    loop {
        let mut request = clients
            .ec2
            .describe_launch_template_versions()
            .launch_template_id(query.id)
            .set_next_token(token.take())
            .resolve_alias(resolve);
        if let Some(from) = query.from {
            request = request.min_version(from.to_string()).max_results(200);
        } else {
            request = request.set_versions(Some(query.versions.to_vec()));
        }
        let answer = ask("ec2:DescribeLaunchTemplateVersions", request.send()).await?;
        found.extend(answer.launch_template_versions.unwrap_or_default());
        token = pages.next(answer.next_token)?;
        if token.is_none() {
            return Ok(found);
        }
    }
}

/// All of one version; `None` if it is gone.
pub(super) async fn version(clients: &Clients, id: &str, number: i64) -> Result<Option<LaunchTemplateVersion>, Fault> {
    match raw(clients, &Query { id, versions: &[number.to_string()], from: None }, false).await {
        Ok(found) => Ok(found.into_iter().next()),
        Err(fault) if is_gone(&fault) => Ok(None),
        Err(fault) => Err(fault),
    }
}

fn version_of(raw: &LaunchTemplateVersion) -> Option<(i64, Version)> {
    let image = image_of(raw);
    let parameter = image.as_ref().filter(|image| image.starts_with("resolve:"));
    let version = Version {
        parameter: parameter.map(|name| Text::new(name)),
        image: image.clone().filter(|_| parameter.is_none()),
        created_at: raw.create_time().and_then(super::convert::time),
        description: raw.version_description().filter(|text| !text.is_empty()).map(Text::new),
    };
    Some((raw.version_number()?, version))
}

fn image_of(raw: &LaunchTemplateVersion) -> Option<String> {
    let image = raw.launch_template_data().and_then(|data| data.image_id())?;
    (!image.is_empty()).then(|| image.to_string())
}

fn is_gone(fault: &Fault) -> bool {
    fault.code().contains("NotFound")
}
