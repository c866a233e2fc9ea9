//! The program as its user meets it: in a real pseudo-terminal, with keys, signals and nothing but the screen to read.

pub(crate) mod quick;
mod signals;
mod start;
mod story;
pub(crate) mod terminal;
