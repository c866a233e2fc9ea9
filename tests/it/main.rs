//! Every test that crosses a boundary of the crate, in one binary.

mod real;
mod scenes;
