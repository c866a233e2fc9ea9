//! Who drives an operation: a lock file held for as long as the process lives.
//!
//! Never judges by a process id or a time-out: alive means that the lock is held.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;

use super::files::StoreError;
use crate::domain::id::OperationId;
use crate::domain::journal::Driver;
use crate::domain::operation::Alive;
use crate::domain::text::Text;

/// The locks of a state directory, those of this process held.
pub struct Locks {
    directory: PathBuf,
    held: HashMap<OperationId, File>,
}

impl Locks {
    /// The locks below a state directory; good for looking, whether they can be taken or not.
    pub fn of(state: &Path) -> Locks {
        Locks { directory: state.join("locks"), held: HashMap::new() }
    }

    /// Makes their folder, so that they can be taken.
    ///
    /// # Errors
    /// `Directory` if it can't be made.
    pub fn prepare(&self) -> Result<(), StoreError> {
        let failed =
            |error: std::io::Error| StoreError::Directory { path: self.directory.clone(), reason: error.to_string() };
        fs::create_dir_all(&self.directory).map_err(failed)
    }

    /// Takes the lock of an operation for this process, or says who has it.
    ///
    /// # Errors
    /// `Directory` if the lock file can't be made.
    pub fn claim(&mut self, operation: &OperationId, driver: &Driver) -> Result<Alive, StoreError> {
        if self.held.contains_key(operation) {
            return Ok(Alive::Here);
        }
        let path = self.path(operation);
        let failed = |error: std::io::Error| StoreError::Directory { path: path.clone(), reason: error.to_string() };
        let mut file =
            OpenOptions::new().create(true).truncate(false).write(true).read(true).open(&path).map_err(failed)?;
        // Another process that only looks holds the lock for an instant: that is not a driver.
        for _ in 0..20 {
            match file.try_lock() {
                Ok(()) => {
                    let note = serde_json::to_string(driver).unwrap_or_default();
                    file.set_len(0).and_then(|()| file.write_all(note.as_bytes())).map_err(failed)?;
                    self.held.insert(operation.clone(), file);
                    return Ok(Alive::Here);
                }
                Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(10)),
                Err(TryLockError::Error(error)) => return Err(failed(error)),
            }
        }
        Ok(Alive::Elsewhere)
    }

    /// Lets a lock go and removes its file.
    pub fn release(&mut self, operation: &OperationId) {
        if self.held.remove(operation).is_some() {
            // Another process may have opened it meanwhile; the name is only a convenience then.
            let _ = fs::remove_file(self.path(operation));
        }
    }

    /// Who drives an operation.
    pub fn look(&self, operation: &OperationId) -> Alive {
        if self.held.contains_key(operation) {
            return Alive::Here;
        }
        let Ok(file) = File::open(self.path(operation)) else { return Alive::Nobody };
        match file.try_lock_shared() {
            Ok(()) => Alive::Nobody,
            Err(_) => Alive::Elsewhere,
        }
    }

    fn path(&self, operation: &OperationId) -> PathBuf {
        let name: String =
            operation.0.chars().filter(|letter| letter.is_ascii_alphanumeric() || *letter == '-').collect();
        self.directory.join(format!("{name}.lock"))
    }
}

/// This process as a driver. Read once, at the start.
pub fn this_driver(started_at: Timestamp) -> Driver {
    let user = std::env::var("USER").or_else(|_| std::env::var("LOGNAME")).unwrap_or_else(|_| "unknown".to_string());
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    Driver {
        who: Text::new(&format!("{user}@{host}")),
        host: Text::new(&host),
        boot: Text::new(&boot_id()),
        pid: std::process::id(),
        started_at,
    }
}

/// What changes at each boot of the machine; empty where the system does not say.
fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").map(|id| id.trim().to_string()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_held_by_one_and_seen_by_all() {
        let directory = tempfile::tempdir().expect("a directory");
        let (mut mine, mut theirs) = (Locks::of(directory.path()), Locks::of(directory.path()));
        mine.prepare().expect("made");
        let operation = OperationId(Text::new("o-1"));
        let driver = this_driver(Timestamp::UNIX_EPOCH);
        assert_eq!(theirs.look(&operation), Alive::Nobody);
        assert_eq!(mine.claim(&operation, &driver).expect("claimed"), Alive::Here);
        assert_eq!(theirs.look(&operation), Alive::Elsewhere);
        assert_eq!(theirs.claim(&operation, &driver).expect("asked"), Alive::Elsewhere);
        drop(mine);
        assert_eq!(theirs.look(&operation), Alive::Nobody, "a process that died holds nothing");
        assert_eq!(theirs.claim(&operation, &driver).expect("claimed"), Alive::Here);
    }
}
