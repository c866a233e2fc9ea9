//! Small pure painters: they draw what they are given.
//!
//! Never know the Model.

pub(crate) mod bar;
pub(crate) mod field;
pub(crate) mod paint;
pub(crate) mod panel;
pub(crate) mod table;
