//! The imperative shell: everything that reads, writes, waits or sends lives here, around the pure `app`.
//!
//! Never decides: it turns effects into work and work into events. Start with `session` (the loop that the cockpit and
//! the headless commands share), then `store`.

pub mod config;
pub mod store;
