//! What survives: the journal of operations with its locks, requests and plans, and the record of healthy versions.
//!
//! One small interface (append and replay, claim, requests, plans), so that a shared database can stand behind it later.
//! Never rewrites an entry. The files are of this machine; network file systems are refused.

mod files;
mod journal;
mod locks;
mod observations;
mod protections;
mod releases;
mod thread;
mod timeline;

pub use files::{StoreError, open_private, prepare};
pub use journal::{Journal, Replayed, SavedPlan, WRONG_CODES};
pub use locks::{Locks, this_driver};
pub use observations::Observations;
pub use protections::Behind;
pub use thread::{Beginning, Store};
