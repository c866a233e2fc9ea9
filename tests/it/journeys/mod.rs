//! The built program on a real control plane, without a terminal: what an on-call engineer's scripts would run.

mod desk;
mod moved;
mod rollback;
