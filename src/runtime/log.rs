//! The log: three files of 10 MB in the state directory, which only its owner can read. Never the screen, never arguments or bodies.
//!
//! Never fails the program and never speaks on the screen: what can't be written (a full disk) is left out and counted,
//! and that is said once.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;

use super::store::{open_private, prepare};
use crate::domain::text::counted;

/// Bytes after which a file is set aside.
const LIMIT: u64 = 10_000_000;
/// How many files are kept.
const FILES: usize = 3;

/// Lines that could not be written since the start.
static LOST: AtomicU64 = AtomicU64::new(0);

/// How many lines could not be written since the start.
pub fn lost() -> u64 {
    LOST.load(Ordering::Relaxed)
}

/// Starts logging into `rolldeck.log` there. `verbose` is how often `-v` was given.
///
/// # Errors
/// The file that can't be written.
pub fn start(state_dir: &Path, verbose: u8) -> io::Result<()> {
    let level = match verbose {
        0 => LevelFilter::INFO,
        1 => LevelFilter::DEBUG,
        _ => LevelFilter::TRACE,
    };
    prepare(state_dir).map_err(io::Error::other)?;
    let log = RotatingLog::open(state_dir.join("rolldeck.log"))?;
    let subscriber = tracing_subscriber::fmt().with_writer(Mutex::new(log)).with_ansi(false).with_max_level(level);
    // Told there, a fault of the log would be written across the screen.
    // Libraries tell which key signed a request, and at the lower levels the request itself: of them warnings alone are kept.
    // What aws_config warns of is told as the state of the place; in its words there may be those of others.
    let targets = Targets::new().with_default(LevelFilter::WARN).with_target("aws_config", LevelFilter::OFF);
    let targets = targets.with_target("rolldeck", level);
    let subscriber = subscriber.log_internal_errors(false).finish().with(targets);
    // Only a test that starts twice in one process finds one there already.
    let _ = tracing::subscriber::set_global_default(subscriber);
    Ok(())
}

/// A file that is set aside when it is full. Writing to it never fails: what the disk does not take is lost and counted.
struct RotatingLog {
    path: PathBuf,
    file: File,
    written: u64,
    /// Lines lost since the last one that was written.
    gap: u64,
}

impl RotatingLog {
    fn open(path: PathBuf) -> io::Result<RotatingLog> {
        let file = open_private(&path)?;
        let written = file.metadata()?.len();
        Ok(RotatingLog { path, file, written, gap: 0 })
    }

    fn rotate(&mut self) -> io::Result<()> {
        for number in (1..FILES).rev() {
            let from = if number == 1 { self.path.clone() } else { self.numbered(number - 1) };
            if from.exists() {
                fs::rename(from, self.numbered(number))?;
            }
        }
        *self = RotatingLog { gap: self.gap, ..RotatingLog::open(self.path.clone())? };
        Ok(())
    }

    fn put(&mut self, line: &[u8]) -> io::Result<()> {
        if self.written + line.len() as u64 > LIMIT {
            self.rotate()?;
        }
        if self.gap > 0 {
            let gap = format!("({} lost: the log could not be written)\n", counted(self.gap, "line"));
            self.file.write_all(gap.as_bytes())?;
            self.written += gap.len() as u64;
            self.gap = 0;
        }
        self.file.write_all(line)?;
        self.written += line.len() as u64;
        Ok(())
    }

    fn numbered(&self, number: usize) -> PathBuf {
        self.path.with_extension(format!("log.{number}"))
    }
}

impl Write for RotatingLog {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.put(bytes).is_err() {
            self.gap += 1;
            LOST.fetch_add(1, Ordering::Relaxed);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_loses_lines_counts_them_and_says_nothing() {
        let directory = tempfile::tempdir().expect("a directory");
        let mut log = RotatingLog::open(directory.path().join("rolldeck.log")).expect("opens");
        // Opened for reading, it takes nothing, as a full disk does.
        let closed = File::open(&log.path).expect("it is there");
        let good = std::mem::replace(&mut log.file, closed);
        let before = lost();
        for _ in 0..2 {
            log.write_all(b"lost\n").expect("a log never fails its program");
        }
        assert_eq!((log.gap, lost() - before), (2, 2));
        log.file = good;
        log.write_all(b"kept\n").expect("written");
        let text = fs::read_to_string(directory.path().join("rolldeck.log")).expect("readable");
        assert_eq!(text, "(2 lines lost: the log could not be written)\nkept\n");
    }

    #[test]
    fn a_full_file_is_set_aside_and_three_are_kept() {
        let directory = tempfile::tempdir().expect("a directory");
        let mut log = RotatingLog::open(directory.path().join("rolldeck.log")).expect("opens");
        let line = vec![b'x'; 6_000_000];
        for _ in 0..5 {
            log.write_all(&line).expect("written");
        }
        let mut names: Vec<String> = fs::read_dir(directory.path())
            .expect("readable")
            .map(|entry| entry.expect("readable").file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        assert_eq!(names, ["rolldeck.log", "rolldeck.log.1", "rolldeck.log.2"]);
    }
}
