//! Filtering and sorting many rows beside the loop: a question goes to a worker, an answer comes back as an event.
//!
//! Never touches the model; an answer for an older question is dropped by whoever asked.

use jiff::Timestamp;

use crate::domain::fleet::Snapshot;
use crate::domain::id::Uid;

/// What to filter.
#[derive(Clone, Debug)]
pub struct FilterQuestion {
    /// Rises with each question; the answer repeats it.
    pub number: u64,
    /// The rows.
    pub snapshot: Snapshot,
    /// The filter as typed, already found to be valid.
    pub filter: String,
    /// The column to sort by.
    pub sort: usize,
    /// Now.
    pub now: Timestamp,
}

/// The rows that are left, in order.
#[derive(Clone, Debug, PartialEq)]
pub struct FilterAnswer {
    /// Of which question.
    pub number: u64,
    /// The fleet's revision that it was made for.
    pub revision: u64,
    /// The rows.
    pub rows: Vec<FilteredRow>,
}

/// One row that is left: where it was, and which it was, so that a slot used again is not mistaken.
#[derive(Clone, Debug, PartialEq)]
pub struct FilteredRow {
    /// The slot in the snapshot.
    pub slot: u32,
    /// The instance.
    pub uid: Uid,
}

/// Answers a question.
pub fn answer(question: FilterQuestion) -> FilterAnswer {
    FilterAnswer { number: question.number, revision: question.snapshot.revision, rows: Vec::new() }
}
