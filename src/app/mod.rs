//! The cockpit as a pure machine: an event goes in, the model changes, effects come out, a frame is drawn.
//!
//! Never does IO and never reads a clock. Start with `event` and `effect` (everything that can happen, everything that
//! can be asked), then `update`, then one screen.

pub mod effect;
pub mod event;
pub mod fault;
pub mod filter;
pub mod model;
pub mod operations;
pub mod record;
pub mod report;
pub mod settings;
pub mod ui;
pub mod update;
