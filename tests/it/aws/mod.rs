//! AWS: as the built program shows and changes it on moto, and the provider on a fake AWS for scale.

mod act;
mod audit;
mod crash;
mod deprecated;
pub(crate) mod fake;
mod fake_changes;
mod fake_server;
mod faults;
mod policies;
mod pressure;
mod releases;
mod scale;
mod see;
mod tasks;
mod together;
mod trouble;
mod watched;
