//! Writes an incident down: one file for people, one for programs, readable by nobody else.
//!
//! Never writes over a file that is there.

use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::anyhow;
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
    /// That a file can't be written.
    pub(super) fn write(&self, directory: &Path) -> anyhow::Result<[PathBuf; 2]> {
        // Two of one second are two files; whoever is there first is not written over.
        let numbered = (2..1_000).map(|number| format!("{}-{number}", self.stem));
        for stem in std::iter::once(self.stem.clone()).chain(numbered) {
            let paths = ["md", "json"].map(|ending| directory.join(format!("{stem}.{ending}")));
            match put(&paths[0], &self.markdown).and_then(|()| put_or_remove(&paths, &self.json)) {
                Ok(()) => return Ok(paths),
                Err((_, error)) if error.kind() == ErrorKind::AlreadyExists => {}
                Err((path, error)) => {
                    return Err(anyhow!(error).context(format!("{} can't be written", path.display())));
                }
            }
        }
        Err(anyhow!("{} has too many incidents of this second", directory.display()))
    }
}

/// Which file could not be written, and why.
type Unwritten = (PathBuf, std::io::Error);

/// Writes the second file; without it the first one goes: half an incident misleads.
fn put_or_remove([first, second]: &[PathBuf; 2], text: &str) -> Result<(), Unwritten> {
    put(second, text).inspect_err(|_| remove(first))
}

/// Writes a file, or leaves none.
fn put(path: &Path, text: &str) -> Result<(), Unwritten> {
    let failed = |error| (path.to_path_buf(), error);
    let file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let mut file = file.map_err(failed)?;
    let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
    written.inspect_err(|_| remove(path)).map_err(failed)
}

fn remove(made_here: &Path) {
    if let Err(error) = std::fs::remove_file(made_here) {
        tracing::warn!(%error, path = %made_here.display(), "half an incident is left");
    }
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
