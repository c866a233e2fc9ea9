//! The log: three files of 10 MB in the state directory, which only its owner can read. Never the screen, never arguments or bodies.
//!
//! Never fails the program: a log that can't be written is left out, and that is said once.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use tracing_subscriber::filter::LevelFilter;

use super::store::{open_private, prepare};

/// Bytes after which a file is set aside.
const LIMIT: u64 = 10_000_000;
/// How many files are kept.
const FILES: usize = 3;

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
    let subscriber =
        tracing_subscriber::fmt().with_writer(Mutex::new(log)).with_ansi(false).with_max_level(level).finish();
    // Only a test that starts twice in one process finds one there already.
    let _ = tracing::subscriber::set_global_default(subscriber);
    Ok(())
}

/// A file that is set aside when it is full.
struct RotatingLog {
    path: PathBuf,
    file: File,
    written: u64,
}

impl RotatingLog {
    fn open(path: PathBuf) -> io::Result<RotatingLog> {
        let file = open_private(&path)?;
        let written = file.metadata()?.len();
        Ok(RotatingLog { path, file, written })
    }

    fn rotate(&mut self) -> io::Result<()> {
        for number in (1..FILES).rev() {
            let from = if number == 1 { self.path.clone() } else { self.numbered(number - 1) };
            if from.exists() {
                fs::rename(from, self.numbered(number))?;
            }
        }
        *self = RotatingLog::open(self.path.clone())?;
        Ok(())
    }

    fn numbered(&self, number: usize) -> PathBuf {
        self.path.with_extension(format!("log.{number}"))
    }
}

impl Write for RotatingLog {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.written + bytes.len() as u64 > LIMIT {
            self.rotate()?;
        }
        let written = self.file.write(bytes)?;
        self.written += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
