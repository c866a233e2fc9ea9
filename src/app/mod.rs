//! The cockpit as a pure machine: an event goes in, the model changes, effects come out, a frame is drawn.
//!
//! Never does IO and never reads a clock. Start with `event` and `effect` (everything that can happen, everything that
//! can be asked), then `update`, then one screen.

mod aftermath;
mod age;
pub mod auditing;
mod banner;
pub mod cells;
pub mod command;
mod commands;
pub mod effect;
pub mod event;
pub mod fault;
pub mod filter;
mod fuzzy;
mod input;
pub mod key;
pub mod keymap;
pub mod model;
pub mod operations;
mod overlays;
pub mod record;
pub mod report;
pub mod resolving;
mod rows;
mod screens;
pub mod settings;
pub mod signing;
mod step_text;
#[cfg(test)]
mod testing;
pub mod theme;
pub mod timeline;
pub mod ui;
pub mod update;
pub mod view;
mod way_back;
mod widgets;

pub use overlays::help::markdown as key_table;
pub use screens::Screen;
