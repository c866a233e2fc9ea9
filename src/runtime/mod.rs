//! The imperative shell: everything that reads, writes, waits or sends lives here, around the pure `app`.
//!
//! Never decides: it turns effects into work and work into events. Start with `session` (the loop that the cockpit and
//! the headless commands share), then `store`.

pub mod cli;
pub mod config;
pub mod headless;
pub mod log;
pub mod places;
pub mod session;
pub mod startup;
pub mod store;
pub mod terminal;

use cli::Cli;
use headless::Exit;

/// Runs what the command line asks for.
///
/// # Errors
/// What could not be done and what to do; it is printed and the exit code is 2.
pub fn run(cli: Cli) -> anyhow::Result<Exit> {
    // One provider of cryptography for the whole process; the second call of a test binary finds the first one there.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let mut cli = cli;
    match cli.command.take() {
        Some(command) => runtime.block_on(headless::run(cli, command)),
        None => Err(anyhow::anyhow!("the cockpit is not built yet")),
    }
}
