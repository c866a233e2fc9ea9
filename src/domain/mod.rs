//! The nouns of releases and the rules between them: what runs, what should run, what a plan may do.
//!
//! Never does IO, never reads a clock, never awaits: time and facts come in as arguments.
//! Start with `fleet` (what is known), then `drift` (how it is judged), then `operation::decide` (what happens next).

pub mod anatomy;
pub mod audit;
pub mod catalog;
pub mod comparison;
pub mod drift;
pub mod expectation;
pub mod fleet;
pub mod history;
pub mod id;
pub mod image;
pub mod journal;
pub mod keeper;
pub mod look;
pub mod observation;
pub mod operation;
pub mod plan;
pub mod policy;
pub mod protection;
pub mod release;
pub mod selector;
pub mod signature;
pub mod text;
pub mod timeline;
