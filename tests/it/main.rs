//! Every test that crosses a boundary of the crate, in one binary.

mod crash;
mod real;
mod stage;
mod tidy;
