//! Rolldeck: which image every running instance really runs, and the way back.

pub mod domain;
pub mod providers;
