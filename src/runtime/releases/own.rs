//! Rolldeck's own release files, TOML or JSON (`docs/release.schema.json`): what CI writes.
//!
//! Never takes a key that it does not know: it may be one that was mistyped.

use std::collections::HashMap;

use anyhow::anyhow;
use serde::Deserialize;

use crate::domain::image::ImageRef;
use crate::domain::release::{Placed, Release};
use crate::domain::text::Text;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    release: Vec<Written>,
    /// Where the schema is, for editors.
    #[serde(rename = "$schema", default)]
    _schema: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    service: String,
    version: String,
    made_at: Option<String>,
    commit: Option<String>,
    images: Vec<Image>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Image {
    image: String,
    #[serde(default)]
    places: Vec<String>,
    container: Option<String>,
}

pub(super) fn read_toml(text: &str, name: &str) -> anyhow::Result<Vec<Release>> {
    // The error has line, column and the line itself.
    let file: File = toml::from_str(text).map_err(|error| anyhow!("{error}"))?;
    releases(file, name)
}

pub(super) fn read_json(text: &str, name: &str) -> anyhow::Result<Vec<Release>> {
    let file: File = serde_json::from_str(text).map_err(|error| anyhow!("{error}"))?;
    releases(file, name)
}

fn releases(file: File, name: &str) -> anyhow::Result<Vec<Release>> {
    file.release.into_iter().map(|written| release(written, name)).collect()
}

fn release(written: Written, name: &str) -> anyhow::Result<Release> {
    let which = format!("release {} of {}", written.version, written.service);
    if written.service.trim().is_empty() || written.version.trim().is_empty() {
        return Err(anyhow!("a release needs a `service` and a `version`"));
    }
    if written.images.is_empty() {
        return Err(anyhow!("{which} has no image"));
    }
    let time = |raw: String| raw.parse().map_err(|_| anyhow!("{which}: `made_at` must look like 2026-11-26T08:00:00Z"));
    let image = |image: Image| {
        Ok(Placed {
            places: image.places.iter().map(|glob| Text::new(glob)).collect(),
            image: image.image.parse().map_err(|error| anyhow!("{which}: {error}"))?,
            container: image.container.as_deref().map(Text::new),
        })
    };
    let images = written.images.into_iter().map(image).collect::<anyhow::Result<Vec<Placed>>>()?;
    if let Some((one, other)) = contradiction(&images) {
        return Err(anyhow!("{which}: {one} and {other} are for one container in one place: name the places of each"));
    }
    Ok(Release {
        service: Text::new(&written.service),
        version: Text::new(&written.version),
        made_at: written.made_at.map(time).transpose()?,
        commit: written.commit.as_deref().map(Text::new),
        source: Text::new(name),
        declared_by: None,
        images,
    })
}

/// Two tags of which a place could not tell which one it should run. Two digests may be one for each architecture.
fn contradiction(images: &[Placed]) -> Option<(&ImageRef, &ImageRef)> {
    let mut known: HashMap<(String, &str), &ImageRef> = HashMap::new();
    for placed in images.iter().filter(|placed| placed.image.digest().is_none()) {
        let container = match &placed.container {
            Some(name) => format!("container {name}"),
            None => format!("{:?}", placed.image.registry_and_path()),
        };
        let everywhere = placed.places.is_empty().then_some("");
        for place in placed.places.iter().map(Text::as_str).chain(everywhere) {
            let other = *known.entry((container.clone(), place)).or_insert(&placed.image);
            if *other != placed.image {
                return Some((other, &placed.image));
            }
        }
    }
    None
}
