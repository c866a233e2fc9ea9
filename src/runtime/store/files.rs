//! Where the store lies and whether it may lie there: mode 0700, a local file system, a schema that is understood.
//!
//! Never repairs a damaged file in place: it says what to move aside.

use std::fs;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};
use thiserror::Error;

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
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed)?;
    let metadata = fs::metadata(path).map_err(failed)?;
    if metadata.permissions().mode() & 0o077 != 0 {
        fs::set_permissions(path, fs::Permissions::from_mode(0o700)).map_err(failed)?;
    }
    match network_file_system(path) {
        Some(name) => Err(StoreError::Network(path.to_path_buf(), name)),
        None => Ok(()),
    }
}

/// Opens a database of the store and brings it to the newest schema: each migration adds, a backup is made before.
///
/// # Errors
/// `Newer` if a newer program wrote it, `Damaged` if it is no database, `Write` if the backup or migration fails.
pub(super) fn open(path: &Path, migrations: &[&str]) -> Result<Connection, StoreError> {
    let damaged = |error: rusqlite::Error| StoreError::Damaged { path: path.to_path_buf(), reason: error.to_string() };
    let write = |error: rusqlite::Error| StoreError::Write { path: path.to_path_buf(), reason: error.to_string() };
    let mut connection = Connection::open(path).map_err(damaged)?;
    connection.busy_timeout(std::time::Duration::from_secs(5)).map_err(damaged)?;
    let found: u32 = connection.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(damaged)?;
    let known = migrations.len() as u32;
    if found > known {
        return Err(StoreError::Newer { path: path.to_path_buf(), found, known });
    }
    connection.pragma_update(None, "journal_mode", "WAL").map_err(damaged)?;
    connection.pragma_update(None, "synchronous", "FULL").map_err(damaged)?;
    if found > 0 && found < known {
        let backup = path.with_extension(format!("v{found}.bak"));
        connection.backup("main", &backup, None::<fn(rusqlite::backup::Progress)>).map_err(write)?;
    }
    let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).map_err(write)?;
    // Another process may have migrated between the look and the lock.
    let now: u32 = transaction.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(damaged)?;
    for migration in migrations.iter().skip(now as usize) {
        transaction.execute_batch(migration).map_err(write)?;
    }
    transaction.pragma_update(None, "user_version", known).map_err(write)?;
    transaction.commit().map_err(write)?;
    Ok(connection)
}

/// Opens a database only to look at it, whatever its schema.
///
/// # Errors
/// `Damaged` if it is no database.
pub(super) fn open_to_read(path: &Path) -> Result<Connection, StoreError> {
    let damaged = |error: rusqlite::Error| StoreError::Damaged { path: path.to_path_buf(), reason: error.to_string() };
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).map_err(damaged)?;
    connection.busy_timeout(std::time::Duration::from_secs(5)).map_err(damaged)?;
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
