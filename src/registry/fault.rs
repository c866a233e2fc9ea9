//! Why nothing is known of an image.
//!
//! Never carries a body, a token or a credential.

use thiserror::Error;

use crate::domain::text::Text;

/// Why a registry could not tell.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Fault {
    /// It has no such thing. That is an answer.
    #[error("the registry has it no more")]
    Gone,
    /// No configured registry is meant.
    #[error("registry {0} is not configured: name it in [[registries]] to have its tags resolved")]
    NotConfigured(Text),
    /// A name that can't be part of an address.
    #[error("{0} is no repository that a registry could have")]
    Name(Text),
    /// It did not answer, or not in time.
    #[error("{host} does not answer: {why}")]
    Unreachable {
        /// Who.
        host: Text,
        /// What happened.
        why: Text,
    },
    /// It answers with a status that says nothing of what was asked.
    #[error("{host} does not answer: status {status}")]
    Status {
        /// Who.
        host: Text,
        /// Which.
        status: u16,
    },
    /// It does not let us read.
    #[error("{host} does not let us read {what}: {why}")]
    Denied {
        /// Who.
        host: Text,
        /// The repository.
        what: Text,
        /// What it said, or what is missing.
        why: Text,
    },
    /// It asks for less.
    #[error("{host} asks to wait for {seconds} s: too many requests")]
    Throttled {
        /// Who.
        host: Text,
        /// For how long.
        seconds: u64,
    },
    /// Its answer can't be used.
    #[error("{host} answers with something else: {why}")]
    Malformed {
        /// Who.
        host: Text,
        /// What is wrong.
        why: Text,
    },
    /// It sends us to somebody who must not be asked.
    #[error("{host} sends us to {to}, {why}: nothing was sent there")]
    Astray {
        /// Who.
        host: Text,
        /// To whom.
        to: Text,
        /// Why not.
        why: Text,
    },
}
