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

/// Writes what is known of what happened since a moment; the two files.
///
/// # Errors
/// That a file is there already, or can't be written.
pub(super) fn write(model: &Model, since: Timestamp, directory: &Path) -> anyhow::Result<[PathBuf; 2]> {
    let bundle = bundle(model, since);
    let markdown = bundle.to_markdown(model.now);
    let json = serde_json::to_string_pretty(&report(model, bundle))?;
    let stem = format!("rolldeck-incident-{}", model.now.strftime("%Y%m%dT%H%M%SZ"));
    let place = |ending: &str, text: &str| -> anyhow::Result<PathBuf> {
        let path = directory.join(format!("{stem}.{ending}"));
        let file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        let written = file.and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()));
        written.with_context(|| format!("{} can't be written", path.display()))?;
        Ok(path)
    };
    Ok([place("md", &markdown)?, place("json", &json)?])
}
