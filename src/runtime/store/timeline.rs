//! The timeline in `observations.db`: what happened, the last state of each workload, and which places were watched.
//!
//! Rows are only ever added, and go by age and number, the oldest first. Two processes that watch the same places write
//! each fact once: what has appeared can't appear again before it has vanished.

use jiff::Timestamp;
use rusqlite::{OptionalExtension, Row, Transaction, params};

use super::files::StoreError;
use super::observations::Observations;
use crate::app::timeline::{Kept, Notes, Watched};
use crate::domain::id::{PlaceId, WorkloadId, WorkloadKind};
use crate::domain::image::{Digest, DigestKind, ImageId};
use crate::domain::text::Text;
use crate::domain::timeline::{Happened, Happening, Known};

/// Times are milliseconds since 1970. Empty text stands for none where it is part of a key.
pub(super) const TABLES: &str = "
CREATE TABLE happened (
    number INTEGER PRIMARY KEY, at INTEGER NOT NULL, not_before INTEGER,
    place TEXT NOT NULL, namespace TEXT NOT NULL, kind TEXT NOT NULL, workload TEXT NOT NULL, service TEXT NOT NULL,
    what TEXT NOT NULL, container TEXT NOT NULL, image TEXT NOT NULL, reference TEXT NOT NULL, version TEXT,
    done_by TEXT, detail TEXT NOT NULL
) STRICT;
CREATE INDEX happened_at ON happened (at);
CREATE INDEX happened_to ON happened (workload, place, namespace, kind);
CREATE TABLE state (
    place TEXT NOT NULL, namespace TEXT NOT NULL, kind TEXT NOT NULL, workload TEXT NOT NULL, state TEXT NOT NULL,
    PRIMARY KEY (place, namespace, kind, workload)
) STRICT, WITHOUT ROWID;
CREATE TABLE watched (place TEXT PRIMARY KEY, first INTEGER NOT NULL, last INTEGER NOT NULL) STRICT, WITHOUT ROWID;
";

/// A request that two processes note has the same time to within this, in milliseconds: one may have a platform's word
/// for it, the other only have seen it.
const ONE_REQUEST: i64 = 60_000;

/// The same of a change that kept the images: nothing but its time tells it from the next one.
const ONE_TEMPLATE: i64 = 2_000;

/// How long the states of a place are kept that is not watched any more.
const STATES_KEPT: std::time::Duration = std::time::Duration::from_secs(180 * 24 * 3600);

impl Observations {
    /// Writes what happened, and lets go of what is too old or too much.
    ///
    /// # Errors
    /// `Write` if the disk does not take it.
    pub fn note(&mut self, notes: &Notes) -> Result<(), StoreError> {
        let path = self.path.clone();
        let failed = |error: rusqlite::Error| StoreError::Write { path: path.clone(), reason: error.to_string() };
        let transaction = self.connection.transaction().map_err(failed)?;
        write(&transaction, notes).map_err(failed)?;
        transaction.commit().map_err(failed)
    }

    /// Everything that was noted.
    ///
    /// # Errors
    /// `Damaged` if the file can't be read.
    pub fn kept(&self) -> Result<Kept, StoreError> {
        self.read_kept().map_err(|error| StoreError::Damaged { path: self.path.clone(), reason: error.to_string() })
    }

    /// Forgets everything: a simulated fleet is another one each time.
    ///
    /// # Errors
    /// `Write` if the disk does not take it.
    pub fn begin_anew(&mut self) -> Result<(), StoreError> {
        let all = "DELETE FROM happened; DELETE FROM state; DELETE FROM watched;";
        self.connection
            .execute_batch(all)
            .map_err(|error| StoreError::Write { path: self.path.clone(), reason: error.to_string() })
    }

    fn read_kept(&self) -> rusqlite::Result<Kept> {
        let mut kept = Kept::default();
        let mut statement = self.connection.prepare(
            "SELECT place, namespace, kind, workload, service, what, container, image, reference, version, done_by, \
             detail, at, not_before FROM happened ORDER BY at",
        )?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            kept.rows.extend(happening(row)?);
        }
        let mut statement = self.connection.prepare("SELECT place, namespace, kind, workload, state FROM state")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            // A state that this program does not understand was written by another version of it: it is seen anew.
            let state = serde_json::from_str::<Known>(row.get_ref(4)?.as_str()?).ok();
            kept.states.extend(workload(row)?.zip(state));
        }
        let mut statement = self.connection.prepare("SELECT place, first, last FROM watched")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let watched = time(row.get(1)?).zip(time(row.get(2)?)).map(|(first, last)| Watched { first, last });
            kept.watched.extend(
                watched.map(|watched| (PlaceId::new(row.get_ref_unwrap(0).as_str().unwrap_or_default()), watched)),
            );
        }
        Ok(kept)
    }
}

fn write(transaction: &Transaction<'_>, notes: &Notes) -> rusqlite::Result<()> {
    for row in &notes.rows {
        if !is_known(transaction, row)? {
            insert(transaction, row)?;
        }
    }
    for (id, state) in &notes.states {
        let key = Key::of(id);
        match state.as_ref().map(serde_json::to_string) {
            Some(Ok(state)) => transaction
                .prepare_cached("INSERT OR REPLACE INTO state VALUES (?1, ?2, ?3, ?4, ?5)")?
                .execute(params![key.place, key.namespace, key.kind, key.name, state])?,
            // Plain data: it can always be written as JSON.
            Some(Err(_)) => 0,
            None => transaction
                .prepare_cached(
                    "DELETE FROM state WHERE place = ?1 AND namespace = ?2 AND kind = ?3 AND workload = ?4",
                )?
                .execute(params![key.place, key.namespace, key.kind, key.name])?,
        };
    }
    for (place, watched) in &notes.watched {
        transaction
            .prepare_cached(
                "INSERT INTO watched VALUES (?1, ?2, ?3)
                 ON CONFLICT DO UPDATE SET first = min(first, excluded.first), last = max(last, excluded.last)",
            )?
            .execute(params![place.0.as_str(), watched.first.as_millisecond(), watched.last.as_millisecond()])?;
    }
    make_room(transaction, notes)
}

/// The oldest rows go first, by age and by number.
fn make_room(transaction: &Transaction<'_>, notes: &Notes) -> rusqlite::Result<()> {
    let limit = (notes.at - notes.retention.age).as_millisecond();
    transaction.prepare_cached("DELETE FROM happened WHERE at < ?1")?.execute([limit])?;
    let count: i64 = transaction.prepare_cached("SELECT count(*) FROM happened")?.query_row([], |row| row.get(0))?;
    let most = i64::try_from(notes.retention.count).unwrap_or(i64::MAX);
    if count > most {
        transaction.execute(
            "DELETE FROM happened WHERE number IN (SELECT number FROM happened ORDER BY at, number LIMIT ?1)",
            [count - most],
        )?;
    }
    let limit = (notes.at - STATES_KEPT).as_millisecond();
    transaction
        .prepare_cached("DELETE FROM state WHERE place IN (SELECT place FROM watched WHERE last < ?1)")?
        .execute([limit])?;
    transaction.prepare_cached("DELETE FROM watched WHERE last < ?1")?.execute([limit])?;
    Ok(())
}

/// A row that says the same at nearly the same time, with nothing else asked for in between.
const SAME_REQUEST: &str = "
SELECT 1 FROM happened AS known
WHERE workload = ?4 AND place = ?1 AND namespace = ?2 AND kind = ?3 AND container = ?5 AND reference = ?6 AND what = ?7
  AND abs(at - ?8) <= ?9 AND NOT EXISTS (
    SELECT 1 FROM happened AS other
    WHERE workload = ?4 AND place = ?1 AND namespace = ?2 AND kind = ?3 AND container = ?5 AND reference <> ?6
      AND what = 'requested' AND other.at BETWEEN min(known.at, ?8) AND max(known.at, ?8))
LIMIT 1";

/// Whether another process has written this already.
fn is_known(transaction: &Transaction<'_>, row: &Happening) -> rusqlite::Result<bool> {
    let (key, columns) = (Key::of(&row.workload), Columns::of(row));
    let last_of_it = |kinds: &str| {
        format!(
            "SELECT what, at FROM happened WHERE workload = ?4 AND place = ?1 AND namespace = ?2 AND kind = ?3
             AND container = ?5 AND image = ?6 AND what IN ({kinds}) ORDER BY number DESC LIMIT 1"
        )
    };
    let of_it = match row.what {
        Happened::Appeared | Happened::Vanished => {
            let sql = last_of_it("'appeared', 'vanished'");
            let last: Option<(String, i64)> = transaction
                .prepare_cached(&sql)?
                .query_row(
                    params![key.place, key.namespace, key.kind, key.name, columns.container, columns.image],
                    |row| Ok((row.get(0)?, row.get(1)?)),
                )
                .optional()?;
            last.is_some_and(|(what, _)| what == row.what.as_str())
        }
        Happened::Requested | Happened::Template | Happened::Operation | Happened::Ended => {
            transaction.prepare_cached(SAME_REQUEST)?.exists(params![
                key.place,
                key.namespace,
                key.kind,
                key.name,
                columns.container,
                columns.reference,
                row.what.as_str(),
                row.at.as_millisecond(),
                if row.what == Happened::Template { ONE_TEMPLATE } else { ONE_REQUEST },
            ])?
        }
    };
    Ok(of_it)
}

fn insert(transaction: &Transaction<'_>, row: &Happening) -> rusqlite::Result<()> {
    let (key, columns) = (Key::of(&row.workload), Columns::of(row));
    transaction
        .prepare_cached(
            "INSERT INTO happened (at, not_before, place, namespace, kind, workload, service, what, container, image,
             reference, version, done_by, detail) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
        )?
        .execute(params![
            row.at.as_millisecond(),
            row.after.map(Timestamp::as_millisecond),
            key.place,
            key.namespace,
            key.kind,
            key.name,
            row.service.as_str(),
            row.what.as_str(),
            columns.container,
            columns.image,
            columns.reference,
            row.version.as_deref(),
            row.by.as_deref(),
            row.detail.as_str(),
        ])?;
    Ok(())
}

/// A workload as columns.
struct Key<'a> {
    place: &'a str,
    namespace: &'a str,
    kind: &'static str,
    name: &'a str,
}

impl<'a> Key<'a> {
    fn of(id: &'a WorkloadId) -> Key<'a> {
        Key {
            place: &id.place.0,
            namespace: id.namespace.as_deref().unwrap_or_default(),
            kind: id.kind.as_str(),
            name: &id.name,
        }
    }
}

/// What a row is about, as columns.
struct Columns<'a> {
    container: &'a str,
    image: &'a str,
    reference: &'a str,
}

impl<'a> Columns<'a> {
    fn of(row: &'a Happening) -> Columns<'a> {
        Columns {
            container: row.container.as_deref().unwrap_or_default(),
            image: row.image.as_ref().map(ImageId::as_str).unwrap_or_default(),
            reference: row.reference.as_deref().unwrap_or_default(),
        }
    }
}

/// The first four columns. A kind that this program does not know was written by another version of it: not for us.
fn workload(row: &Row<'_>) -> rusqlite::Result<Option<WorkloadId>> {
    let kind = row.get_ref(2)?.as_str()?;
    let Some(kind) = WorkloadKind::ALL.into_iter().find(|known| known.as_str() == kind) else { return Ok(None) };
    Ok(Some(WorkloadId {
        place: PlaceId::new(row.get_ref(0)?.as_str()?),
        namespace: some(row, 1)?,
        kind,
        name: Text::new(row.get_ref(3)?.as_str()?),
    }))
}

fn happening(row: &Row<'_>) -> rusqlite::Result<Option<Happening>> {
    let what = row.get_ref(5)?.as_str()?;
    let what = Happened::ALL.into_iter().find(|known| known.as_str() == what);
    let (Some(workload), Some(what), Some(at)) = (workload(row)?, what, time(row.get(12)?)) else { return Ok(None) };
    let image = some(row, 7)?.map(|raw| match raw.parse::<Digest>() {
        Ok(digest) => ImageId::oci(digest, DigestKind::Repository),
        Err(_) => ImageId::machine(&raw),
    });
    Ok(Some(Happening {
        at,
        after: row.get::<_, Option<i64>>(13)?.and_then(time),
        workload,
        service: Text::new(row.get_ref(4)?.as_str()?),
        what,
        container: some(row, 6)?,
        image,
        reference: some(row, 8)?,
        version: some(row, 9)?,
        by: some(row, 10)?,
        detail: Text::new(row.get_ref(11)?.as_str()?),
    }))
}

/// A text that is there and not empty.
fn some(row: &Row<'_>, at: usize) -> rusqlite::Result<Option<Text>> {
    let raw = row.get_ref(at)?.as_str_or_null()?;
    Ok(raw.filter(|raw| !raw.is_empty()).map(Text::new))
}

fn time(millisecond: i64) -> Option<Timestamp> {
    Timestamp::from_millisecond(millisecond).ok()
}

#[cfg(test)]
mod tests;
