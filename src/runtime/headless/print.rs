//! Printing results, and the exit codes that scripts hold on to. Progress is told beside them (`progress`).
//!
//! Never prints to stdout what is not a result.

use std::io::{self, Write};

use serde::Serialize;

pub(super) use super::progress::progress;

use super::progress::finish;
use crate::app::report::Table;
use crate::runtime::cli::Output;

/// How a command ended (INTERFACE: the first that holds of 2, 1, 3, 0).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done; nothing is off; it can start.
    Done = 0,
    /// Something is off, a plan is refused, an operation did not do all.
    Off = 1,
    /// It could not be done at all.
    Error = 2,
    /// Something selected is not known.
    Partial = 3,
}

/// A whole answer, in the form that was asked for.
///
/// # Errors
/// If stdout can't be written.
pub(super) fn answer<T: Serialize>(output: Output, report: &T, table: impl FnOnce() -> Table) -> anyhow::Result<()> {
    match output {
        Output::Json => json(report),
        Output::Table => text(&table().to_text()),
        Output::Markdown => text(&table().to_markdown()),
    }
}

/// An answer that has a text of its own instead of a table.
///
/// # Errors
/// If stdout can't be written.
pub(super) fn answer_text<T: Serialize>(output: Output, report: &T, words: &str) -> anyhow::Result<()> {
    match output {
        Output::Json => json(report),
        Output::Table => text(words),
        Output::Markdown => text(&format!("```text\n{words}```\n")),
    }
}

/// Text to stdout as it is.
///
/// # Errors
/// If stdout can't be written; a reader that went away (`| head`) is none.
pub(super) fn text(text: &str) -> anyhow::Result<()> {
    // Where both go to one terminal, what came before the result stands before it.
    finish();
    match io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other?),
    }
}

/// One line to stdout.
///
/// # Errors
/// If stdout can't be written.
pub(super) fn line(line: &str) -> anyhow::Result<()> {
    text(&format!("{line}\n"))
}

fn json<T: Serialize>(report: &T) -> anyhow::Result<()> {
    text(&format!("{}\n", serde_json::to_string_pretty(report)?))
}
