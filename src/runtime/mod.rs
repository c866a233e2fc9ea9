//! The imperative shell: everything that reads, writes, waits or sends lives here, around the pure `app`.
//!
//! Never decides: it turns effects into work and work into events. Start with `session` (the loop that the cockpit and
//! the headless commands share), then `store`.

mod auditing;
pub mod away;
pub mod cli;
pub mod cockpit;
pub mod config;
pub mod credential_process;
mod dissect;
mod export;
pub mod headless;
pub mod log;
pub mod look;
pub mod places;
mod probe;
mod registries;
mod registry_keys;
mod releases;
pub mod session;
mod signing;
pub mod startup;
pub mod store;
pub mod terminal;
pub mod text_file;

use std::io::IsTerminal;

use crate::domain::text::Text;
use cli::{Cli, Command, Options};
use headless::Exit;

/// Runs what the command line asks for.
///
/// # Errors
/// What could not be done and what to do; it is printed and the exit code is 2.
pub fn run(cli: Cli) -> anyhow::Result<Exit> {
    // One provider of cryptography for the whole process; the second call of a test binary finds the first one there.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    away::know_program();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let Cli { mut options, command } = cli;
    let ended = match command {
        None => runtime.block_on(open_cockpit(&options)),
        Some(Command::Demo { scenario, list: false }) => {
            // A demo of its own: what was done in an earlier one is no record of this one.
            let state = std::env::temp_dir().join(format!("rolldeck-demo-{}", std::process::id()));
            options.state_dir.get_or_insert_with(|| state.clone());
            options.demo = Some(scenario);
            let ended = runtime.block_on(open_cockpit(&options));
            // Left behind at worst: it is in the directory for temporary files.
            let _ = std::fs::remove_dir_all(&state);
            ended
        }
        Some(command) => runtime.block_on(headless::run(Cli { options, command: None }, command)),
    };
    // Everything that must be written is written. What is still asked (a name of a resolver that does not answer, a file on
    // a disk that hangs) is not waited for.
    runtime.shutdown_background();
    away::end_all();
    ended
}

/// How long the fleet is watched after the last wave while somebody looks.
const WATCH: std::time::Duration = std::time::Duration::from_secs(60);

async fn open_cockpit(options: &Options) -> anyhow::Result<Exit> {
    if !std::io::stdin().is_terminal() || !std::io::stdout().is_terminal() {
        return Err(anyhow::anyhow!(
            "the cockpit needs a terminal; without one use a command, such as `rolldeck drift` (see `rolldeck --help`)"
        ));
    }
    let mut prepared = startup::prepare_session(options)?;
    prepared.settings.policy.watch.get_or_insert(WATCH);
    let log = log::start(&prepared.state_dir, options.verbose);
    terminal::install_panic_hook();
    let mut session = startup::open(prepared, startup::Stepping::Live)?;
    if let Err(error) = log {
        session.model.settings.notices.push(Text::new(&format!("no log is written: {error}")));
    }
    cockpit::run(session).await
}
