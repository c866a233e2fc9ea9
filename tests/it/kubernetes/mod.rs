//! The Kubernetes provider, on a real control plane and on a fake API server for what a real one does not do on demand.

mod change;
mod cron;
mod fake;
mod faults;
mod line;
mod look;
mod rollouts;
mod sets;
mod watched;
