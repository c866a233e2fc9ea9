//! Every test that crosses a boundary of the crate, in one binary.

mod conformance;
mod harness;
mod real;
mod sim;
