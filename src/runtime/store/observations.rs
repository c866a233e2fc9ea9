//! `observations.db`: which versions were seen healthy, and what happened (`timeline`). Written in batches, not synced: it may be lost and built again.
//!
//! Never a reason to stop: a damaged file is set aside, and that is said.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rusqlite::{Connection, params};

use super::files::{StoreError, open};
use super::timeline;
use crate::app::record::Healthy;
use crate::domain::id::{PlaceId, WorkloadId, WorkloadKind};
use crate::domain::observation::TemplateHash;
use crate::domain::text::Text;

/// Each one adds; none is ever changed after a release.
const MIGRATIONS: &[&str] = &[
    "
CREATE TABLE healthy (
    place TEXT NOT NULL, namespace TEXT NOT NULL, kind TEXT NOT NULL, workload TEXT NOT NULL, template TEXT NOT NULL,
    first_seen TEXT NOT NULL, last_seen TEXT NOT NULL,
    PRIMARY KEY (place, namespace, kind, workload, template)
) STRICT, WITHOUT ROWID;
",
    timeline::TABLES,
];

/// How long a version is remembered that is not seen any more.
const KEPT: std::time::Duration = std::time::Duration::from_secs(180 * 24 * 3600);

/// The observations' database.
pub struct Observations {
    pub(super) connection: Connection,
    pub(super) path: PathBuf,
}

impl Observations {
    /// Opens the record in a state directory that was prepared. A file that can't be used is set aside; the text says so.
    ///
    /// # Errors
    /// If not even a new file can be made.
    pub fn open(directory: &Path) -> Result<(Observations, Option<Text>), StoreError> {
        let path = directory.join("observations.db");
        match Observations::at(&path) {
            Ok(observations) => Ok((observations, None)),
            Err(error @ (StoreError::Newer { .. } | StoreError::Busy(_))) => Err(error),
            Err(error) => {
                let aside = path.with_extension("db.damaged");
                let failed =
                    |error: std::io::Error| StoreError::Write { path: path.clone(), reason: error.to_string() };
                std::fs::rename(&path, &aside).map_err(failed)?;
                let note = format!(
                    "the record of healthy versions and the timeline were set aside as {} and begins anew: {error}",
                    aside.display()
                );
                Ok((Observations::at(&path)?, Some(Text::new(&note))))
            }
        }
    }

    fn at(path: &Path) -> Result<Observations, StoreError> {
        let connection = open(path, MIGRATIONS)?;
        let damaged =
            |error: rusqlite::Error| StoreError::Damaged { path: path.to_path_buf(), reason: error.to_string() };
        // What is lost by a crash here is seen again in a minute.
        connection.pragma_update(None, "synchronous", "OFF").map_err(damaged)?;
        Ok(Observations { connection, path: path.to_path_buf() })
    }

    /// Everything that is remembered.
    ///
    /// # Errors
    /// `Damaged` if the file can't be read.
    pub fn read(&self) -> Result<Vec<Healthy>, StoreError> {
        let damaged =
            |error: rusqlite::Error| StoreError::Damaged { path: self.path.clone(), reason: error.to_string() };
        let mut statement = self
            .connection
            .prepare("SELECT place, namespace, kind, workload, template, last_seen FROM healthy")
            .map_err(damaged)?;
        let rows = statement
            .query_map([], |row| {
                let text = |at: usize| row.get::<_, String>(at);
                Ok((text(0)?, text(1)?, text(2)?, text(3)?, text(4)?, text(5)?))
            })
            .map_err(damaged)?;
        let mut found = Vec::new();
        for row in rows {
            let (place, namespace, kind, workload, template, at) = row.map_err(damaged)?;
            // A kind or a time that this program does not know was written by another version of it: not for us.
            let kind = WorkloadKind::ALL.into_iter().find(|known| known.as_str() == kind);
            let (Some(kind), Ok(at)) = (kind, at.parse()) else { continue };
            found.push(Healthy {
                workload: WorkloadId {
                    place: PlaceId::new(&place),
                    namespace: Some(Text::new(&namespace)).filter(|namespace| !namespace.is_empty()),
                    kind,
                    name: Text::new(&workload),
                },
                template: TemplateHash(Text::new(&template)),
                at,
            });
        }
        Ok(found)
    }

    /// Writes a batch and forgets what was not seen for half a year.
    ///
    /// # Errors
    /// `Write` if the disk does not take it.
    pub fn write(&mut self, healthy: &[Healthy]) -> Result<(), StoreError> {
        let path = self.path.clone();
        let failed = |error: rusqlite::Error| StoreError::Write { path: path.clone(), reason: error.to_string() };
        let transaction = self.connection.transaction().map_err(failed)?;
        for seen in healthy {
            let WorkloadId { place, namespace, kind, name } = &seen.workload;
            transaction
                .prepare_cached(
                    "INSERT INTO healthy VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6)
                     ON CONFLICT DO UPDATE SET last_seen = excluded.last_seen",
                )
                .and_then(|mut statement| {
                    statement.execute(params![
                        place.0.as_str(),
                        namespace.as_deref().unwrap_or_default(),
                        kind.as_str(),
                        name.as_str(),
                        seen.template.0.as_str(),
                        seen.at.to_string()
                    ])
                })
                .map_err(failed)?;
        }
        if let Some(newest) = healthy.iter().map(|seen| seen.at).max() {
            let limit: Timestamp = newest - KEPT;
            transaction
                .execute("DELETE FROM healthy WHERE last_seen < ?1", params![limit.to_string()])
                .map_err(failed)?;
        }
        transaction.commit().map_err(failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn healthy(template: &str, at: &str) -> Healthy {
        let workload = WorkloadId {
            place: PlaceId::new("k8s/eu"),
            namespace: Some(Text::new("shop")),
            kind: WorkloadKind::Deployment,
            name: Text::new("checkout"),
        };
        Healthy { workload, template: TemplateHash(Text::new(template)), at: at.parse().expect("a time") }
    }

    #[test]
    fn what_was_seen_comes_back_and_old_news_go() {
        let directory = tempfile::tempdir().expect("a directory");
        let (mut observations, note) = Observations::open(directory.path()).expect("opens");
        assert_eq!(note, None);
        observations.write(&[healthy("old", "2026-01-01T00:00:00Z")]).expect("written");
        observations.write(&[healthy("new", "2026-11-21T00:00:00Z")]).expect("written");
        assert_eq!(observations.read().expect("readable"), [healthy("new", "2026-11-21T00:00:00Z")]);
    }

    #[test]
    fn a_damaged_record_is_set_aside_and_that_is_said() {
        let directory = tempfile::tempdir().expect("a directory");
        std::fs::write(
            directory.path().join("observations.db"),
            "no database, but long enough to be read as one......",
        )
        .expect("written");
        let (observations, note) = Observations::open(directory.path()).expect("opens anew");
        assert!(note.is_some_and(|note| note.contains("begins anew")));
        assert!(observations.read().expect("readable").is_empty());
        assert!(directory.path().join("observations.db.damaged").exists());
    }
}
