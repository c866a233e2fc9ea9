//! Every test that crosses a boundary of the crate, in one binary.

mod budget;
mod conformance;
mod crash;
mod harness;
mod journeys;
mod kubernetes;
mod pty;
mod real;
mod scenes;
mod sim;
mod stage;
mod tidy;
mod unread;
