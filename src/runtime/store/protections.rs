//! Locks and quarantines, kept beside the journal: of this machine, until a shared store is configured.
//!
//! Never forgets one: what was lifted stays, with who lifted it.

use jiff::Timestamp;
use rusqlite::params;

use super::files::StoreError;
use super::journal::Journal;
use crate::domain::protection::{Protected, Protection};
use crate::domain::text::Text;

impl Journal {
    /// Writes a protection down.
    ///
    /// # Errors
    /// `Write` if the disk does not take it.
    pub fn protect(&self, what: &Protected, why: &Behind) -> Result<Protection, StoreError> {
        self.is_in_place()?;
        let json = serde_json::to_string(what).map_err(|error| self.unwritable(error.to_string()))?;
        let expires = why.expires_at.map(|at| at.to_string());
        self.connection()
            .execute(
                "INSERT INTO protections (what, reason, by, at, expires_at) VALUES (?1, ?2, ?3, ?4, ?5)",
                params![json, why.reason.as_str(), why.by.as_str(), why.at.to_string(), expires],
            )
            .map_err(|error| self.unwritable(error.to_string()))?;
        Ok(Protection {
            number: self.connection().last_insert_rowid() as u64,
            what: what.clone(),
            reason: why.reason.clone(),
            by: why.by.clone(),
            at: why.at,
            expires_at: why.expires_at,
        })
    }

    /// Lifts a protection; whether there was one of this number.
    ///
    /// # Errors
    /// `Write` if the disk does not take it.
    pub fn lift(&self, number: u64, by: &Text, at: Timestamp) -> Result<bool, StoreError> {
        self.is_in_place()?;
        let lift = "UPDATE protections SET lifted_at = ?2, lifted_by = ?3 WHERE number = ?1 AND lifted_at IS NULL";
        let lifted = self.connection().execute(lift, params![number as i64, at.to_string(), by.as_str()]);
        lifted.map(|count| count > 0).map_err(|error| self.unwritable(error.to_string()))
    }

    /// Every protection that nobody has lifted, run out or not, in the order in which they were made.
    ///
    /// # Errors
    /// `Damaged` if one can't be understood.
    pub fn protections(&self) -> Result<Vec<Protection>, StoreError> {
        let wrong = |error: rusqlite::Error| self.damaged(error.to_string());
        let query =
            "SELECT number, what, reason, by, at, expires_at FROM protections WHERE lifted_at IS NULL ORDER BY number";
        let mut statement = self.connection().prepare_cached(query).map_err(wrong)?;
        let rows = statement.query_map([], |row| {
            let texts = (row.get::<_, String>(1)?, row.get::<_, String>(2)?, row.get::<_, String>(3)?);
            Ok((row.get::<_, i64>(0)?, texts, row.get::<_, String>(4)?, row.get::<_, Option<String>>(5)?))
        });
        let mut found = Vec::new();
        for row in rows.map_err(wrong)? {
            let (number, (what, reason, by), at, expires) = row.map_err(wrong)?;
            let broken = |why: String| self.damaged(format!("protection {number}: {why}"));
            let time = |text: &str| text.parse::<Timestamp>().map_err(|error| broken(error.to_string()));
            found.push(Protection {
                number: number as u64,
                what: serde_json::from_str(&what).map_err(|error| broken(error.to_string()))?,
                reason: Text::new(&reason),
                by: Text::new(&by),
                at: time(&at)?,
                expires_at: expires.as_deref().map(time).transpose()?,
            });
        }
        Ok(found)
    }
}

/// Who is behind a protection, and why.
#[derive(Clone, Debug)]
pub struct Behind {
    /// Why.
    pub reason: Text,
    /// Who.
    pub by: Text,
    /// When.
    pub at: Timestamp,
    /// Until when.
    pub expires_at: Option<Timestamp>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_protection_is_there_until_it_is_lifted() {
        let folder = tempfile::tempdir().expect("a folder");
        let journal = Journal::open(folder.path()).expect("opened");
        let at: Timestamp = "2026-11-26T12:00:00Z".parse().expect("a time");
        let expires_at = Some(at + std::time::Duration::from_secs(3600));
        let why = Behind { reason: Text::new("bad"), by: Text::new("ana"), at, expires_at };
        let ban = journal.protect(&Protected::Quarantine(Text::new("sha256:c0ffee1234")), &why).expect("written");
        let lock = journal.protect(&Protected::Lock(Text::new("svc:pay")), &why).expect("written");
        assert_eq!(journal.protections().expect("read"), [ban.clone(), lock.clone()]);
        assert!(journal.lift(ban.number, &Text::new("ben"), at).expect("written"));
        assert!(!journal.lift(ban.number, &Text::new("ben"), at).expect("written"), "once");
        drop(journal);
        assert_eq!(Journal::open(folder.path()).expect("opened").protections().expect("read"), [lock]);
    }
}
