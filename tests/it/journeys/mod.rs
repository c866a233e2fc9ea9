//! The built program on a real control plane, without a terminal: what an on-call engineer's scripts would run.

mod control;
mod crash;
mod cron;
pub(crate) mod desk;
mod gitops;
mod keys;
mod limits;
mod moved;
mod protect;
pub(crate) mod relay;
mod rollback;
mod rollouts;
mod sets;
mod tags;
mod timeline;
