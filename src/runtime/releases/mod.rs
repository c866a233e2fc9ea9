//! Files that say what a version is: Rolldeck's own, and what other tools write down about what they have built or declared. What a
//! file is shows in its content.
//!
//! Never runs a tool and never asks a cloud: what is in the file is all that is known.

mod cloudformation;
mod image_builder;
mod kubernetes;
mod own;
mod packer;
mod terraform;

use std::path::Path;

use anyhow::{Context as _, anyhow};
use jiff::Timestamp;
use serde_json::Value;

use super::text_file;
use crate::domain::image::ImageRef;
use crate::domain::release::{Declarer, Placed, Release};
use crate::domain::text::Text;

/// Largest file that is read: states of Terraform are large.
const LONGEST: u64 = 64 << 20;

/// What a person adds to a file that does not say everything.
#[derive(Clone, Debug, Default)]
pub(super) struct Hints {
    /// The service.
    pub(super) service: Option<Text>,
    /// The version.
    pub(super) version: Option<Text>,
    /// Globs over place ids.
    pub(super) places: Vec<Text>,
}

/// One image that a file names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Found {
    service: Option<String>,
    version: Option<String>,
    image: String,
    container: Option<String>,
    /// The region that it is in, where it is in one alone.
    region: Option<String>,
}

/// What a file of another tool says.
#[derive(Debug, Default)]
struct Said {
    tool: &'static str,
    declared_by: Option<Declarer>,
    made_at: Option<Timestamp>,
    found: Vec<Found>,
}

/// The releases of a file.
///
/// # Errors
/// What is wrong with it, with line and column where it has some, and what to do.
pub(super) fn read(path: &Path, hints: &Hints) -> anyhow::Result<Vec<Release>> {
    let shown = path.display().to_string();
    let text = text_file::read_up_to(path, LONGEST).with_context(|| format!("{shown} can't be read"))?;
    let name = path.file_name().map_or(shown.clone(), |name| name.to_string_lossy().into_owned());
    let releases = understand(&text, &name, hints).map_err(|error| anyhow!("{shown}: {error:#}"))?;
    if releases.is_empty() {
        return Err(anyhow!("{shown}: it names no image"));
    }
    Ok(releases)
}

fn understand(text: &str, name: &str, hints: &Hints) -> anyhow::Result<Vec<Release>> {
    if name.ends_with(".toml") {
        return own::read_toml(text, name).map(|releases| at_places(releases, hints));
    }
    let is_json = text.trim_start().starts_with(['{', '[']);
    let document: Value = match is_json {
        true => serde_json::from_str(text)
            .map_err(|error| anyhow!("line {}, column {}: it is no JSON", error.line(), error.column()))?,
        false => return kubernetes::read_yaml(text).and_then(|said| assemble(said, name, hints)),
    };
    if document.get("release").is_some() {
        return own::read_json(text, name).map(|releases| at_places(releases, hints));
    }
    let readers: [fn(&Value) -> Option<Said>; 5] =
        [packer::read, image_builder::read, terraform::read, cloudformation::read, kubernetes::read];
    match readers.iter().find_map(|read| read(&document)) {
        Some(said) => assemble(said, name, hints),
        None => Err(anyhow!(
            "it is none of: a release file, Packer's manifest, an image of EC2 Image Builder, `terraform show -json`, a \
             template of CloudFormation, a Kubernetes manifest, a compose file"
        )),
    }
}

/// Where a person says that they are, instead of what the file says.
fn at_places(mut releases: Vec<Release>, hints: &Hints) -> Vec<Release> {
    if !hints.places.is_empty() {
        let placed = releases.iter_mut().flat_map(|release| &mut release.images);
        placed.for_each(|placed| placed.places.clone_from(&hints.places));
    }
    releases
}

/// Brings the images of a file together, service by service.
fn assemble(said: Said, name: &str, hints: &Hints) -> anyhow::Result<Vec<Release>> {
    let mut releases: Vec<Release> = Vec::new();
    for found in said.found {
        let image: ImageRef = found.image.parse().map_err(|error| anyhow!("{error}"))?;
        let service = hints.service.clone().or(found.service.as_deref().map(Text::new));
        let Some(service) = service else {
            return Err(anyhow!("it does not say of which service {image} is: name it with --service"));
        };
        let version = hints.version.clone().or(found.version.as_deref().map(Text::new)).or_else(|| image.version());
        let Some(version) = version else {
            return Err(anyhow!("it does not say which version {image} is: name it with --version"));
        };
        let places = match (&hints.places[..], &found.region) {
            // By account and region, or as somebody has called a place by its region alone.
            ([], Some(region)) => ["aws/*/", "aws/"].map(|place| Text::new(&format!("{place}{region}"))).to_vec(),
            (named, _) => named.to_vec(),
        };
        let placed = Placed { places, image, container: found.container.as_deref().map(Text::new) };
        let of = releases.iter_mut().find(|release| release.service == service && release.version == version);
        match of {
            Some(release) if release.images.contains(&placed) => {}
            Some(release) => release.images.push(placed),
            None => releases.push(Release {
                service,
                version,
                made_at: said.made_at,
                commit: None,
                source: Text::new(&format!("{}, {name}", said.tool)),
                declared_by: said.declared_by,
                images: vec![placed],
            }),
        }
    }
    Ok(releases)
}

/// A text in a document, by the keys that lead to it.
fn text_at<'a>(value: &'a Value, keys: &[&str]) -> Option<&'a str> {
    keys.iter().try_fold(value, |value, key| value.get(key))?.as_str().filter(|text| !text.is_empty())
}

/// The items of a list in a document; none where there is no list.
fn items<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    value.get(key).and_then(Value::as_array).into_iter().flatten()
}

#[cfg(test)]
mod tests;
