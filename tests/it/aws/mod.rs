//! The AWS provider, on a fake AWS for what a real one does not do on demand.

mod fake;
mod fake_changes;
mod fake_server;
