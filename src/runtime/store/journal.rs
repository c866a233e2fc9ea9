//! `journal.db`: entries of operations, requests to their drivers, plans that wait for their code. Synced at each entry.
//!
//! Never updates an entry. An entry that can't be read is an error with its number, not a gap.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};

use super::files::{StoreError, open, open_to_read};
use crate::app::event::ControlRequest;
use crate::domain::id::{OperationId, PlanId};
use crate::domain::journal::{Entry, Record, Request};
use crate::domain::plan::Plan;
use crate::domain::text::Text;

/// How many wrong codes end a plan.
pub const WRONG_CODES: u32 = 5;

/// Each one adds; none is ever changed after a release.
const MIGRATIONS: &[&str] = &["
CREATE TABLE entries (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT, operation TEXT NOT NULL, at TEXT NOT NULL, entry TEXT NOT NULL
) STRICT;
CREATE INDEX entries_by_operation ON entries (operation, sequence);
CREATE TABLE requests (
    number INTEGER PRIMARY KEY AUTOINCREMENT, operation TEXT NOT NULL, at TEXT NOT NULL, by TEXT NOT NULL,
    request TEXT NOT NULL, taken INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE TABLE plans (
    id TEXT PRIMARY KEY, plan TEXT NOT NULL, expires_at TEXT NOT NULL, wrong_codes INTEGER NOT NULL DEFAULT 0, operation TEXT
) STRICT;
", "
-- Entries know ends of rollouts, shares that go first, and ways back: an older program must not drive them.
CREATE TABLE protections (
    number INTEGER PRIMARY KEY AUTOINCREMENT, what TEXT NOT NULL, reason TEXT NOT NULL, by TEXT NOT NULL, at TEXT NOT NULL,
    expires_at TEXT, lifted_at TEXT, lifted_by TEXT
) STRICT;
", "
-- Entries know loans, promotions, probes and shares that we hold ourselves; protections know stays and snoozes: an older
-- program must not drive them.
CREATE TABLE releases (
    number INTEGER PRIMARY KEY AUTOINCREMENT, service TEXT NOT NULL, version TEXT NOT NULL, release TEXT NOT NULL,
    by TEXT NOT NULL, at TEXT NOT NULL, removed_at TEXT, removed_by TEXT
) STRICT;
"];

/// The journal's database.
pub struct Journal {
    connection: Connection,
    path: PathBuf,
    /// Which file that was when it was opened: device and number.
    file: Option<(u64, u64)>,
}

/// What could be read of a journal.
#[derive(Debug, Default)]
pub struct Replayed {
    /// The entries, in order.
    pub records: Vec<Record>,
    /// What could not be understood.
    pub faults: Vec<StoreError>,
}

/// A plan that was saved for its code.
#[derive(Debug, Clone)]
pub struct SavedPlan {
    /// The plan.
    pub plan: Plan,
    /// How many wrong codes were tried.
    pub wrong_codes: u32,
    /// The operation that it was started as.
    pub operation: Option<OperationId>,
}

impl Journal {
    /// Opens the journal in a state directory that was prepared.
    ///
    /// # Errors
    /// As `StoreError` says; the caller opens read-only instead.
    pub fn open(directory: &Path) -> Result<Journal, StoreError> {
        let path = directory.join("journal.db");
        let connection = open(&path, MIGRATIONS)?;
        let file = file_at(&path);
        Ok(Journal { connection, path, file })
    }

    /// Opens the journal only to read it, as after a newer program wrote it.
    ///
    /// # Errors
    /// `Damaged` if it is no database.
    pub fn open_to_read(directory: &Path) -> Result<Journal, StoreError> {
        let path = directory.join("journal.db");
        let connection = open_to_read(&path)?;
        let file = file_at(&path);
        Ok(Journal { connection, path, file })
    }

    /// Writes one entry and syncs it; with it the request that it takes up is marked as taken, and a plan that it starts
    /// as started.
    ///
    /// # Errors
    /// `Write` if the disk does not take it, `Started` if another process has started that plan; then it is not in the
    /// journal.
    pub fn append(
        &mut self,
        operation: &OperationId,
        at: Timestamp,
        entry: &Entry,
        request: Option<u64>,
    ) -> Result<Record, StoreError> {
        self.is_in_place()?;
        let json = serde_json::to_string(entry).map_err(|error| self.unwritable(error.to_string()))?;
        let path = self.path.clone();
        let unwritten = |error: rusqlite::Error| write_error(&path, &error);
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate);
        let transaction = transaction.map_err(unwritten)?;
        transaction
            .execute(
                "INSERT INTO entries (operation, at, entry) VALUES (?1, ?2, ?3)",
                params![operation.0.as_str(), at.to_string(), json],
            )
            .map_err(unwritten)?;
        let sequence = transaction.last_insert_rowid() as u64;
        if let Some(number) = request {
            transaction
                .execute("UPDATE requests SET taken = 1 WHERE number = ?1", params![number as i64])
                .map_err(unwritten)?;
        }
        match entry {
            Entry::Started { plan, .. } => start_plan(&transaction, &plan.id, operation, unwritten)?,
            // Whatever was not obeyed by now never will be.
            Entry::Ended { .. } => {
                let all = "UPDATE requests SET taken = 1 WHERE operation = ?1";
                transaction.execute(all, params![operation.0.as_str()]).map_err(unwritten)?;
            }
            _ => {}
        }
        transaction.commit().map_err(unwritten)?;
        Ok(Record { sequence, operation: operation.clone(), at, entry: entry.clone() })
    }

    /// Every entry after this sequence number, in order.
    ///
    /// # Errors
    /// `Damaged`, naming the entry, if one can't be understood.
    pub fn replay(&self, after: u64) -> Result<Vec<Record>, StoreError> {
        let Replayed { records, mut faults } = self.replay_readable(after)?;
        if faults.is_empty() { Ok(records) } else { Err(faults.swap_remove(0)) }
    }

    /// Every entry after this sequence number that can be understood, in order, and the faults of the others. Of an
    /// operation nothing is given back from its first fault on: what came after it may mean something else without it.
    ///
    /// # Errors
    /// `Damaged` if the file can't be read at all.
    pub fn replay_readable(&self, after: u64) -> Result<Replayed, StoreError> {
        let wrong = |error: rusqlite::Error| self.damaged(error.to_string());
        let query = "SELECT sequence, operation, at, entry FROM entries WHERE sequence > ?1 ORDER BY sequence";
        let mut statement = self.connection.prepare_cached(query).map_err(wrong)?;
        let rows = statement.query_map(params![after as i64], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?, row.get::<_, String>(2)?, row.get::<_, String>(3)?))
        });
        let mut replayed = Replayed::default();
        let mut broken: BTreeSet<OperationId> = BTreeSet::new();
        for row in rows.map_err(wrong)? {
            let (sequence, operation, at, entry) = row.map_err(wrong)?;
            let operation = OperationId(Text::new(&operation));
            if broken.contains(&operation) {
                continue;
            }
            let at = at.parse().map_err(|error: jiff::Error| error.to_string());
            let entry = serde_json::from_str(&entry).map_err(|error| error.to_string());
            match at.and_then(|at| entry.map(|entry| (at, entry))) {
                Ok((at, entry)) => {
                    replayed.records.push(Record { sequence: sequence as u64, operation, at, entry });
                }
                Err(what) => {
                    replayed.faults.push(self.damaged(format!("entry {sequence} of {operation}: {what}")));
                    broken.insert(operation);
                }
            }
        }
        Ok(replayed)
    }

    /// Changes whenever another process has written; cheap enough to be asked many times a second.
    ///
    /// # Errors
    /// `Damaged` if the file can't be read any more.
    pub fn data_version(&self) -> Result<i64, StoreError> {
        let version = self.connection.pragma_query_value(None, "data_version", |row| row.get(0));
        version.map_err(|error| self.damaged(error.to_string()))
    }

    /// Whether its file is where it was opened: what is written to another place nobody else would ever read.
    ///
    /// # Errors
    /// `Moved` if it is not.
    pub fn is_in_place(&self) -> Result<(), StoreError> {
        if self.file == file_at(&self.path) { Ok(()) } else { Err(StoreError::Moved(self.path.clone())) }
    }

    /// Leaves a request for the process that drives an operation.
    ///
    /// # Errors
    /// `Write` if the disk does not take it.
    pub fn ask(
        &self,
        operation: &OperationId,
        at: Timestamp,
        by: &str,
        request: &ControlRequest,
    ) -> Result<(), StoreError> {
        self.is_in_place()?;
        self.connection
            .execute(
                "INSERT INTO requests (operation, at, by, request) VALUES (?1, ?2, ?3, ?4)",
                params![operation.0.as_str(), at.to_string(), by, request_text(request)],
            )
            .map(|_| ())
            .map_err(|error| write_error(&self.path, &error))
    }

    /// The requests for an operation that no entry has taken up, in their order: number, request, who asked.
    ///
    /// # Errors
    /// `Damaged` if they can't be read.
    pub fn requests(&self, operation: &OperationId) -> Result<Vec<(u64, ControlRequest, Text)>, StoreError> {
        let wrong = |error: rusqlite::Error| self.damaged(error.to_string());
        let query = "SELECT number, by, request FROM requests WHERE operation = ?1 AND taken = 0 ORDER BY number";
        let mut statement = self.connection.prepare_cached(query).map_err(wrong)?;
        let rows = statement.query_map(params![operation.0.as_str()], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?, row.get::<_, String>(2)?))
        });
        let waiting: Vec<(i64, String, String)> = rows.and_then(Iterator::collect).map_err(wrong)?;
        let understood = waiting
            .into_iter()
            .filter_map(|(number, by, text)| Some((number as u64, parse_request(&text)?, Text::new(&by))));
        Ok(understood.collect())
    }

    /// Keeps a plan for its code.
    ///
    /// # Errors
    /// `Write` if the disk does not take it.
    pub fn save_plan(&self, plan: &Plan) -> Result<(), StoreError> {
        self.is_in_place()?;
        let json = serde_json::to_string(plan).map_err(|error| self.unwritable(error.to_string()))?;
        self.connection
            .execute(
                "INSERT OR REPLACE INTO plans (id, plan, expires_at) VALUES (?1, ?2, ?3)",
                params![plan.id.0.as_str(), json, plan.expires_at.to_string()],
            )
            .map(|_| ())
            .map_err(|error| write_error(&self.path, &error))
    }

    /// A saved plan.
    ///
    /// # Errors
    /// `Damaged` if it can't be understood.
    pub fn plan(&self, id: &PlanId) -> Result<Option<SavedPlan>, StoreError> {
        let row = self
            .connection
            .query_row("SELECT plan, wrong_codes, operation FROM plans WHERE id = ?1", params![id.0.as_str()], |row| {
                Ok((row.get::<_, String>(0)?, row.get::<_, u32>(1)?, row.get::<_, Option<String>>(2)?))
            })
            .optional()
            .map_err(|error| self.damaged(error.to_string()))?;
        let Some((json, wrong_codes, operation)) = row else { return Ok(None) };
        let plan = serde_json::from_str(&json).map_err(|error| self.damaged(format!("plan {id}: {error}")))?;
        let operation = operation.map(|operation| OperationId(Text::new(&operation)));
        Ok(Some(SavedPlan { plan, wrong_codes, operation }))
    }

    /// Counts a wrong code; answers how many there were now.
    ///
    /// # Errors
    /// `Write` if the disk does not take it.
    pub fn count_wrong_code(&self, id: &PlanId) -> Result<u32, StoreError> {
        self.connection
            .query_row(
                "UPDATE plans SET wrong_codes = wrong_codes + 1 WHERE id = ?1 RETURNING wrong_codes",
                params![id.0.as_str()],
                |row| row.get(0),
            )
            .map_err(|error| write_error(&self.path, &error))
    }

    pub(super) fn connection(&self) -> &Connection {
        &self.connection
    }

    pub(super) fn damaged(&self, reason: String) -> StoreError {
        StoreError::Damaged { path: self.path.clone(), reason }
    }

    pub(super) fn unwritable(&self, reason: String) -> StoreError {
        StoreError::Write { path: self.path.clone(), reason }
    }
}

/// Marks a saved plan as started, unless another process was faster. Plans of a screen are not saved.
fn start_plan(
    transaction: &Transaction<'_>,
    plan: &PlanId,
    operation: &OperationId,
    unwritten: impl Fn(rusqlite::Error) -> StoreError + Copy,
) -> Result<(), StoreError> {
    let mine = "UPDATE plans SET operation = ?2 WHERE id = ?1 AND operation IS NULL";
    let changed = transaction.execute(mine, params![plan.0.as_str(), operation.0.as_str()]).map_err(unwritten)?;
    if changed > 0 {
        return Ok(());
    }
    let query = "SELECT operation FROM plans WHERE id = ?1";
    let other = transaction.query_row(query, params![plan.0.as_str()], |row| row.get::<_, String>(0)).optional();
    match other.map_err(unwritten)? {
        Some(other) => Err(StoreError::Started { plan: plan.clone(), operation: OperationId(Text::new(&other)) }),
        None => Ok(()),
    }
}

fn write_error(path: &Path, error: &rusqlite::Error) -> StoreError {
    StoreError::Write { path: path.to_path_buf(), reason: error.to_string() }
}

fn request_text(request: &ControlRequest) -> String {
    match request {
        ControlRequest::Plain(Request::Pause) => "pause".to_string(),
        ControlRequest::Plain(Request::Resume) => "resume".to_string(),
        ControlRequest::Plain(Request::Stop) => "stop".to_string(),
        ControlRequest::Plain(Request::Return) => "return".to_string(),
        ControlRequest::ResumeWithCode(code) => format!("resume {code}"),
    }
}

/// A request of a newer program that is not understood is left out; the one who asked sees that nothing happened.
fn parse_request(text: &str) -> Option<ControlRequest> {
    match text.split_once(' ') {
        Some(("resume", code)) => Some(ControlRequest::ResumeWithCode(Text::new(code))),
        _ => match text {
            "pause" => Some(ControlRequest::Plain(Request::Pause)),
            "resume" => Some(ControlRequest::Plain(Request::Resume)),
            "stop" => Some(ControlRequest::Plain(Request::Stop)),
            "return" => Some(ControlRequest::Plain(Request::Return)),
            _ => None,
        },
    }
}

/// Which file is there: device and number.
fn file_at(path: &Path) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt as _;
    let found = std::fs::metadata(path).ok()?;
    Some((found.dev(), found.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::journal::Outcome;

    fn entry(reason: &str) -> Entry {
        Entry::Ended { outcome: Outcome::Stopped, reason: Text::new(reason) }
    }

    /// What is written to a file that nobody finds any more is no record.
    #[test]
    fn a_journal_that_was_moved_away_takes_no_more_entries() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut journal = Journal::open(folder.path()).expect("opens");
        let (id, at) = (OperationId(Text::new("o-1")), "2026-11-26T12:00:00Z".parse().expect("a time"));
        let entry = Entry::WaveHealthy { wave: 1 };
        journal.append(&id, at, &entry, None).expect("it is in its place");
        std::fs::rename(folder.path().join("journal.db"), folder.path().join("aside.db")).expect("moved");
        assert!(matches!(journal.append(&id, at, &entry, None), Err(StoreError::Moved(_))));
        drop(Journal::open(folder.path()).expect("another one is made"));
        assert!(matches!(journal.append(&id, at, &entry, None), Err(StoreError::Moved(_))), "that is not ours");
    }

    #[test]
    fn entries_come_back_in_order_and_to_other_processes() {
        let directory = tempfile::tempdir().expect("a directory");
        super::super::prepare(directory.path()).expect("prepared");
        let mut mine = Journal::open(directory.path()).expect("opens");
        let other = Journal::open(directory.path()).expect("opens twice");
        let before = other.data_version().expect("readable");
        let operation = OperationId(Text::new("o-1"));
        let first = mine.append(&operation, Timestamp::UNIX_EPOCH, &entry("a"), None).expect("written");
        mine.append(&operation, Timestamp::UNIX_EPOCH, &entry("b"), None).expect("written");
        assert_ne!(other.data_version().expect("readable"), before);
        assert_eq!(other.replay(0).expect("readable").len(), 2);
        assert_eq!(other.replay(first.sequence).expect("readable")[0].entry, entry("b"));
    }

    #[test]
    fn a_request_waits_until_the_entry_that_takes_it_up_is_on_disk() {
        let directory = tempfile::tempdir().expect("a directory");
        let mut journal = Journal::open(directory.path()).expect("opens");
        let operation = OperationId(Text::new("o-1"));
        let request = ControlRequest::ResumeWithCode(Text::new("kdpt"));
        journal.ask(&operation, Timestamp::UNIX_EPOCH, "ana", &request).expect("written");
        let waiting = journal.requests(&operation).expect("readable");
        assert_eq!(waiting, vec![(1, request, Text::new("ana"))]);
        assert_eq!(journal.requests(&operation).expect("readable"), waiting, "reading takes nothing");
        let asked = Entry::Asked { request: Request::Resume, by: Text::new("ana") };
        journal.append(&operation, Timestamp::UNIX_EPOCH, &asked, Some(1)).expect("written");
        assert!(journal.requests(&operation).expect("readable").is_empty());
    }

    #[test]
    fn what_was_never_obeyed_is_over_with_its_operation() {
        let directory = tempfile::tempdir().expect("a directory");
        let mut journal = Journal::open(directory.path()).expect("opens");
        let operation = OperationId(Text::new("o-1"));
        journal.ask(&operation, Timestamp::UNIX_EPOCH, "ana", &ControlRequest::Plain(Request::Pause)).expect("written");
        journal.append(&operation, Timestamp::UNIX_EPOCH, &entry("done"), None).expect("written");
        assert!(journal.requests(&operation).expect("readable").is_empty());
    }

    #[test]
    fn a_damaged_journal_is_refused_with_what_to_do() {
        let directory = tempfile::tempdir().expect("a directory");
        std::fs::write(
            directory.path().join("journal.db"),
            "this is no database, but it is long enough to be read as one",
        )
        .expect("written");
        let error = Journal::open(directory.path()).err().expect("refused").to_string();
        assert!(error.contains("move it aside"), "{error}");
    }

    #[test]
    fn one_entry_that_can_not_be_read_hides_no_other_operation() {
        let directory = tempfile::tempdir().expect("a directory");
        let mut journal = Journal::open(directory.path()).expect("opens");
        let (mine, other) = (OperationId(Text::new("o-1")), OperationId(Text::new("o-2")));
        journal.append(&mine, Timestamp::UNIX_EPOCH, &entry("a"), None).expect("written");
        let newer = "INSERT INTO entries (operation, at, entry) VALUES ('o-1', '1970-01-01T00:00:00Z', '{\"entry\":\"teleported\"}')";
        journal.connection.execute_batch(newer).expect("written");
        journal.append(&mine, Timestamp::UNIX_EPOCH, &entry("b"), None).expect("written");
        journal.append(&other, Timestamp::UNIX_EPOCH, &entry("c"), None).expect("written");
        let Replayed { records, faults } = journal.replay_readable(0).expect("readable");
        let read: Vec<&Entry> = records.iter().map(|record| &record.entry).collect();
        assert_eq!(read, [&entry("a"), &entry("c")], "nothing of o-1 after its fault");
        assert!(faults[0].to_string().contains("entry 2 of o-1"), "{}", faults[0]);
        assert!(journal.replay(0).is_err());
    }

    #[test]
    fn a_newer_schema_is_not_written_to_but_can_be_read() {
        let directory = tempfile::tempdir().expect("a directory");
        drop(Journal::open(directory.path()).expect("opens"));
        let connection = Connection::open(directory.path().join("journal.db")).expect("opens");
        connection.pragma_update(None, "user_version", 99).expect("set");
        drop(connection);
        assert!(matches!(Journal::open(directory.path()), Err(StoreError::Newer { found: 99, .. })));
        let mut to_read = Journal::open_to_read(directory.path()).expect("opens");
        assert!(to_read.replay(0).expect("readable").is_empty());
        assert!(to_read.append(&OperationId(Text::new("o-1")), Timestamp::UNIX_EPOCH, &entry("a"), None).is_err());
    }
}
