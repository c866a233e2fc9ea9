//! Where the store lies and whether it may lie there: mode 0700, a local file system, a schema that is understood.
//!
//! Never repairs a damaged file in place: it says what to move aside.

use std::fs;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};
use thiserror::Error;

use crate::domain::id::{OperationId, PlanId};

/// How long another process may hold a database before that is an error.
const PATIENCE: Duration = Duration::from_secs(5);

/// Why the store can't be used, or not for writing.
#[derive(Debug, Error)]
pub enum StoreError {
    /// The directory could not be made or read.
    #[error("the state directory {path} can't be used: {reason}; choose another with --state-dir")]
    Directory {
        /// Which.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// Locks and write-ahead logs do not hold on network file systems.
    #[error(
        "the state directory {0} is on a network file system ({1}), where locks do not hold; choose a local one with --state-dir"
    )]
    Network(PathBuf, &'static str),
    /// A newer program wrote it.
    #[error("{path} was written by a newer Rolldeck (schema {found}, this one knows {known}); update Rolldeck")]
    Newer {
        /// Which file.
        path: PathBuf,
        /// Its schema.
        found: u32,
        /// What this program knows.
        known: u32,
    },
    /// The file is damaged or no database.
    #[error(
        "{path} can't be read: {reason}; move it aside (keep it: it holds the record of operations) and start again"
    )]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// Somebody has moved or deleted it while it was open.
    #[error(
        "{0} was moved or deleted while it was in use: nothing more is written or sent; put it back, or end this process and start again"
    )]
    Moved(PathBuf),
    /// Another process has it for longer than anybody should.
    #[error("{0} is busy: another process holds it; try again")]
    Busy(PathBuf),
    /// Two processes had the code of one plan.
    #[error("{plan} was started already as {operation}; follow it with `rolldeck watch {operation}`")]
    Started {
        /// Which plan.
        plan: PlanId,
        /// As what.
        operation: OperationId,
    },
    /// The database refused.
    #[error("{path} could not be written: {reason}; free some space or check its permissions")]
    Write {
        /// Which file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
}

/// Makes the state directory, for its owner alone, and checks that locks hold there.
///
/// # Errors
/// `Directory` if it can't be made, `Network` if it lies on a network file system.
pub fn prepare(path: &Path) -> Result<(), StoreError> {
    let failed = |error: std::io::Error| StoreError::Directory { path: path.to_path_buf(), reason: error.to_string() };
    // A directory that was there before keeps its mode: it may be somebody's home. The files in it are ours alone.
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed)?;
    match network_file_system(path) {
        Some(name) => Err(StoreError::Network(path.to_path_buf(), name)),
        None => Ok(()),
    }
}

/// Opens a file to append to it; a new one is its owner's alone, whatever the directory allows.
///
/// # Errors
/// As the system says.
pub fn open_private(path: &Path) -> std::io::Result<fs::File> {
    fs::OpenOptions::new().create(true).append(true).mode(0o600).open(path)
}

/// Opens a database of the store and brings it to the newest schema: each migration adds, a backup is made before.
/// Processes that start at once wait for each other.
///
/// # Errors
/// `Newer` if a newer program wrote it, `Damaged` if it is no database, `Write` if the backup or migration fails, `Busy`
/// if another process does not let go of it.
pub(super) fn open(path: &Path, migrations: &[&str]) -> Result<Connection, StoreError> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        // Not every lock is waited for by SQLite itself: the change to WAL answers "busy" at once.
        match try_open(path, migrations) {
            Err(StoreError::Busy(_)) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(20)),
            done => return done,
        }
    }
}

fn try_open(path: &Path, migrations: &[&str]) -> Result<Connection, StoreError> {
    let unreadable = |error: rusqlite::Error| sorted(path, &error, Doing::Reading);
    let unwritable = |error: rusqlite::Error| sorted(path, &error, Doing::Writing);
    // SQLite gives the files beside it the same mode.
    open_private(path).map_err(|error| StoreError::Write { path: path.to_path_buf(), reason: error.to_string() })?;
    let mut connection = Connection::open(path).map_err(unreadable)?;
    connection.busy_timeout(PATIENCE).map_err(unreadable)?;
    let found: u32 = connection.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(unreadable)?;
    let known = migrations.len() as u32;
    if found > known {
        return Err(StoreError::Newer { path: path.to_path_buf(), found, known });
    }
    connection.pragma_update(None, "journal_mode", "WAL").map_err(unwritable)?;
    connection.pragma_update(None, "synchronous", "FULL").map_err(unwritable)?;
    if found == known {
        return Ok(connection);
    }
    if found > 0 {
        let backup = path.with_extension(format!("v{found}.bak"));
        connection.backup("main", &backup, None::<fn(rusqlite::backup::Progress)>).map_err(unwritable)?;
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(unwritable)?;
    // Another process may have migrated between the look and the lock.
    let now: u32 = transaction.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(unreadable)?;
    for migration in migrations.iter().skip(now as usize) {
        transaction.execute_batch(migration).map_err(unwritable)?;
    }
    transaction.pragma_update(None, "user_version", known).map_err(unwritable)?;
    transaction.commit().map_err(unwritable)?;
    Ok(connection)
}

/// What failed.
#[derive(Clone, Copy)]
enum Doing {
    Reading,
    Writing,
}

/// A file that another process holds is not damaged.
fn sorted(path: &Path, error: &rusqlite::Error, doing: Doing) -> StoreError {
    let (path, reason) = (path.to_path_buf(), error.to_string());
    match (error.sqlite_error_code(), doing) {
        (Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked), _) => StoreError::Busy(path),
        (Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt), _) | (_, Doing::Reading) => {
            StoreError::Damaged { path, reason }
        }
        (_, Doing::Writing) => StoreError::Write { path, reason },
    }
}

/// Opens a database only to look at it, whatever its schema.
///
/// # Errors
/// `Damaged` if it is no database.
pub(super) fn open_to_read(path: &Path) -> Result<Connection, StoreError> {
    let unreadable = |error: rusqlite::Error| sorted(path, &error, Doing::Reading);
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).map_err(unreadable)?;
    connection.busy_timeout(PATIENCE).map_err(unreadable)?;
    Ok(connection)
}

/// The name of the network file system that a path lies on, if it is one (`statfs(2)`, `linux/magic.h`).
#[cfg(target_os = "linux")]
fn network_file_system(path: &Path) -> Option<&'static str> {
    const KNOWN: [(u32, &str); 8] = [
        (0x6969, "NFS"),
        (0x517b, "SMB"),
        (0xff53_4d42, "CIFS"),
        (0xfe53_4d42, "SMB2"),
        (0x00c3_6400, "Ceph"),
        (0x5346_414f, "AFS"),
        (0x0102_1997, "9P"),
        (0x0bd0_0bd0, "Lustre"),
    ];
    let kind = rustix::fs::statfs(path).ok()?.f_type as u32;
    KNOWN.iter().find(|(magic, _)| *magic == kind).map(|(_, name)| *name)
}

/// The name of the network file system that a path lies on, if it is one (`statfs(2)`).
#[cfg(not(target_os = "linux"))]
fn network_file_system(path: &Path) -> Option<&'static str> {
    const KNOWN: [&str; 4] = ["nfs", "smbfs", "afpfs", "webdav"];
    let stat = rustix::fs::statfs(path).ok()?;
    let name: String =
        stat.f_fstypename.iter().take_while(|&&byte| byte != 0).map(|&byte| byte as u8 as char).collect();
    KNOWN.into_iter().find(|known| *known == name)
}
