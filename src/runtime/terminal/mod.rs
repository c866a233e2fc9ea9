//! The terminal and the signals: with `store` the only modules that know Unix.
//!
//! Never draws: it takes frames. Start with `screen`.

mod group;
mod keyboard;
mod screen;
mod signals;

pub use group::{end_group, lead_a_group, leave_terminal};
pub use keyboard::Keyboard;
pub use screen::{Canvas, Screen, install_panic_hook, size};
pub use signals::{Asked, Signals};
