//! Every test that crosses a boundary of the crate, in one binary.

mod aws;
mod borrowed;
mod budget;
mod by_hand;
mod conformance;
mod crash;
mod harness;
mod headless;
mod journeys;
mod kubernetes;
mod owed;
mod pty;
mod real;
mod registry;
mod scenes;
mod sim;
mod simulation;
mod stage;
mod tidy;
mod timeline;
mod unread;
