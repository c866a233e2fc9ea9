//! Writes an incident down: one file for people, one for programs, readable by nobody else.
//!
//! Never writes over a file that is there.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use jiff::Timestamp;

use crate::app::model::Model;
use crate::app::report::{bundle, report};
use crate::domain::text::Text;

/// An incident in words, to be written.
pub(super) struct Incident {
    stem: String,
    markdown: String,
    json: String,
}

/// What is known of what happened since a moment.
///
/// # Errors
/// That it can't be told as JSON.
pub(super) fn incident(model: &Model, since: Timestamp) -> anyhow::Result<Incident> {
    let bundle = bundle(model, since);
    let markdown = bundle.to_markdown(model.now);
    let json = serde_json::to_string_pretty(&report(model, bundle))?;
    Ok(Incident { stem: format!("rolldeck-incident-{}", model.now.strftime("%Y%m%dT%H%M%SZ")), markdown, json })
}

impl Incident {
    /// Writes both files, or none.
    ///
    /// # Errors
    /// That a file is there already, or can't be written.
    pub(super) fn write(&self, directory: &Path) -> anyhow::Result<[PathBuf; 2]> {
        let is_free =
            |stem: &String| ["md", "json"].iter().all(|ending| !directory.join(format!("{stem}.{ending}")).exists());
        let numbered = (2..100).map(|number| format!("{}-{number}", self.stem));
        // Two of one second are two files; whoever is there first is not written over.
        let stem = std::iter::once(self.stem.clone()).chain(numbered).find(is_free).unwrap_or(self.stem.clone());
        let markdown = put(directory.join(format!("{stem}.md")), &self.markdown)?;
        match put(directory.join(format!("{stem}.json")), &self.json) {
            Ok(json) => Ok([markdown, json]),
            Err(error) => {
                // It was made here a moment ago; half an incident misleads.
                let _ = std::fs::remove_file(&markdown);
                Err(error)
            }
        }
    }
}

fn put(path: PathBuf, text: &str) -> anyhow::Result<PathBuf> {
    let file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
    let written = file.and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()));
    written.with_context(|| format!("{} can't be written", path.display()))?;
    Ok(path)
}

/// Writes it into the current folder; the names of the files, or why there are none.
pub(super) fn written(incident: anyhow::Result<Incident>) -> Result<Text, Text> {
    let files = incident.and_then(|incident| incident.write(Path::new(".")));
    let named = files.map(|files| Text::new(&files.map(|file| file.display().to_string()).join(", ")));
    named.map_err(|error| Text::new(&format!("{error:#}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_incidents_of_one_second_are_four_files() {
        let folder = tempfile::tempdir().expect("a folder");
        let incident = |text: &str| Incident {
            stem: "rolldeck-incident-20261127T010203Z".to_string(),
            markdown: text.to_string(),
            json: "{}".to_string(),
        };
        let [first, _] = incident("first").write(folder.path()).expect("written");
        let [second, json] = incident("second").write(folder.path()).expect("written");
        assert!(second.ends_with("rolldeck-incident-20261127T010203Z-2.md"), "{}", second.display());
        assert!(json.ends_with("rolldeck-incident-20261127T010203Z-2.json"), "{}", json.display());
        assert_eq!(std::fs::read_to_string(first).expect("readable"), "first", "it is not written over");
    }
}
