//! Rolldeck: which image every running instance really runs, and the way back.

pub mod app;
pub mod domain;
pub mod providers;
pub mod runtime;
