//! What the keys of all list screens do, by group of keys.
//!
//! Never changes anything outside the model; what goes out is an effect.

pub(crate) mod copying;
pub(crate) mod finding;
pub(crate) mod going;
pub(crate) mod later;
pub(crate) mod marking;
pub(crate) mod moving;
pub(crate) mod planning;
pub(crate) mod protecting;
pub(crate) mod steering;
