//! Releases that somebody has added, kept beside the journal: of this machine, until a shared store is configured.
//!
//! Never forgets one: what was taken away stays, with who took it.

use jiff::Timestamp;
use rusqlite::params;

use super::files::StoreError;
use super::journal::Journal;
use crate::domain::release::Release;
use crate::domain::text::Text;

impl Journal {
    /// Writes releases down: all, or none.
    ///
    /// # Errors
    /// `Write` if the disk does not take it.
    pub fn add_releases(&self, releases: &[Release], by: &Text, at: Timestamp) -> Result<(), StoreError> {
        self.is_in_place()?;
        let unwritten = |error: rusqlite::Error| self.unwritable(error.to_string());
        let transaction = self.connection().unchecked_transaction().map_err(unwritten)?;
        for release in releases {
            let json = serde_json::to_string(release).map_err(|error| self.unwritable(error.to_string()))?;
            let insert = "INSERT INTO releases (service, version, release, by, at) VALUES (?1, ?2, ?3, ?4, ?5)";
            let mut insert = transaction.prepare_cached(insert).map_err(unwritten)?;
            let names = (release.service.as_str(), release.version.as_str());
            insert.execute(params![names.0, names.1, json, by.as_str(), at.to_string()]).map_err(unwritten)?;
        }
        transaction.commit().map_err(unwritten)
    }

    /// Takes a version of a service away; how many entries it had.
    ///
    /// # Errors
    /// `Write` if the disk does not take it.
    pub fn remove_release(&self, service: &str, version: &str, by: &Text, at: Timestamp) -> Result<usize, StoreError> {
        self.is_in_place()?;
        let remove = "UPDATE releases SET removed_at = ?3, removed_by = ?4
            WHERE service = ?1 AND version = ?2 AND removed_at IS NULL";
        let removed = self.connection().execute(remove, params![service, version, at.to_string(), by.as_str()]);
        removed.map_err(|error| self.unwritable(error.to_string()))
    }

    /// Every release that nobody has taken away, in the order in which they were added.
    ///
    /// # Errors
    /// `Damaged` if one can't be understood.
    pub fn releases(&self) -> Result<Vec<Release>, StoreError> {
        let wrong = |error: rusqlite::Error| self.damaged(error.to_string());
        let query = "SELECT number, release FROM releases WHERE removed_at IS NULL ORDER BY number";
        let mut statement = self.connection().prepare_cached(query).map_err(wrong)?;
        let rows = statement.query_map([], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?)));
        let mut found = Vec::new();
        for row in rows.map_err(wrong)? {
            let (number, json) = row.map_err(wrong)?;
            let release = serde_json::from_str(&json);
            found.push(release.map_err(|error| self.damaged(format!("release {number}: {error}")))?);
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Beginning, Locks, Store, this_driver};
    use super::*;
    use crate::app::event::{Event, StoreEvent};

    #[test]
    fn a_release_is_there_until_it_is_taken_away() {
        let folder = tempfile::tempdir().expect("a folder");
        let journal = Journal::open(folder.path()).expect("opened");
        let (by, at): (Text, Timestamp) = (Text::new("ana"), "2026-11-26T12:00:00Z".parse().expect("a time"));
        let release = |version: &str| Release {
            service: Text::new("app"),
            version: Text::new(version),
            made_at: Some(at),
            commit: None,
            source: Text::new("ci.toml"),
            declared_by: None,
            images: Vec::new(),
        };
        journal.add_releases(&["v41", "v42", "v42"].map(release), &by, at).expect("written");
        assert_eq!(journal.remove_release("app", "v42", &by, at).expect("written"), 2);
        assert_eq!(journal.remove_release("app", "v42", &by, at).expect("written"), 0, "once");
        drop(journal);
        assert_eq!(Journal::open(folder.path()).expect("opened").releases().expect("read"), [release("v41")]);

        // Another process is told what changes, and nothing else.
        let (events, mut told) = tokio::sync::mpsc::unbounded_channel();
        let mut told_now = || {
            let told = std::iter::from_fn(|| told.try_recv().ok());
            let released = told.filter_map(|event| match event {
                Event::Store(StoreEvent::Released(releases)) => Some(releases.len()),
                _ => None,
            });
            released.collect::<Vec<usize>>()
        };
        let store = Store::inline(Beginning {
            journal: Journal::open(folder.path()).expect("opened"),
            locks: Locks::of(folder.path()),
            observations: None,
            driver: this_driver(at),
            events,
            last: 0,
            open: Vec::new(),
        });
        store.look();
        assert_eq!(told_now(), [1]);
        let other = Journal::open(folder.path()).expect("opened");
        other.add_releases(&[release("v43")], &by, at).expect("written");
        store.look();
        other.lift(99, &by, at).expect("written");
        store.look();
        assert_eq!(told_now(), [2]);
    }
}
