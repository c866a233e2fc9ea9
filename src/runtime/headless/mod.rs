//! The commands without a screen: the same session, the same answers, printed once.
//!
//! Never asks anything. Results go to stdout, progress and errors to stderr.

mod follow;
mod lists;
mod plans;
mod print;
pub mod progress;
mod protect;
mod releases;
mod versions;

use std::time::Duration;

use anyhow::anyhow;

pub use follow::follow_all;
pub use print::Exit;

use super::away;
use super::cli::{Cli, Command, ConfigCommand, Options, PlanCommand};
use super::credential_process;
use super::log;
use super::session::Session;
use super::startup::{Stepping, check_config, open, open_journal, prepare_session, read_config, state_dir_of};
use super::store::Journal;
use crate::app::report::wanted;
use crate::domain::observation::PlaceState;
use crate::domain::plan::Stride;

/// Runs a command to its end.
///
/// # Errors
/// What could not be done and what to do; the caller prints it and exits with 2.
pub async fn run(cli: Cli, command: Command) -> anyhow::Result<Exit> {
    let options = cli.options;
    match command {
        Command::CredentialProcess { command } => credential_process::run(&command),
        Command::Away { words } => away::run(&words),
        Command::Config(ConfigCommand::Check) => {
            print::line(&check_config(&options)?)?;
            Ok(Exit::Done)
        }
        Command::Config(ConfigCommand::Show) => {
            print::text(&read_config(&options)?.show())?;
            Ok(Exit::Done)
        }
        Command::Completions { shell } => {
            let mut text = Vec::new();
            clap_complete::generate(shell, &mut <Cli as clap::CommandFactory>::command(), "rolldeck", &mut text);
            print::text(&String::from_utf8_lossy(&text))?;
            Ok(Exit::Done)
        }
        Command::Man => {
            let mut text = Vec::new();
            clap_mangen::Man::new(<Cli as clap::CommandFactory>::command()).render(&mut text)?;
            print::text(&String::from_utf8_lossy(&text))?;
            Ok(Exit::Done)
        }
        Command::Drift(filter) => lists::workloads(&options, &filter.selector, lists::Which::NotOk).await,
        Command::Fleet(filter) => lists::workloads(&options, &filter.selector, lists::Which::All).await,
        Command::Instances(filter) => lists::instances(&options, &filter.selector).await,
        Command::Places => lists::places(&options).await,
        Command::Operations => lists::operations(&options),
        Command::Timeline { filter, since, audit } => {
            lists::timeline(&options, &filter.selector, since, lists::Asks::of(audit)).await
        }
        Command::Plan(PlanCommand::Replace { target, oldest, random }) => {
            plans::replace(&options, target, oldest, random).await
        }
        Command::Plan(PlanCommand::Rollback { target, to, to_revision, image_only }) => {
            plans::rollback(&options, target, to, to_revision, image_only).await
        }
        Command::Snooze { selector, why } => protect::snooze(&options, &selector, &why).await,
        Command::Unsnooze { snooze } => protect::lift(&options, &["snooze"], &snooze.join(" ")),
        Command::WriteOff { operation, reason } => plans::write_off(&options, &operation, &reason).await,
        Command::Plan(PlanCommand::Promote { target, full: false }) => {
            plans::promote(&options, target, Stride::Next).await
        }
        Command::Plan(PlanCommand::Promote { target, full: true }) => {
            plans::promote(&options, target, Stride::Full).await
        }
        Command::Plan(PlanCommand::Reverse { operation, valid }) => plans::reverse(&options, &operation, valid).await,
        Command::Plan(PlanCommand::GiveBack { operation, valid }) => {
            plans::give_back(&options, &operation, valid).await
        }
        Command::Apply { plan, code } => follow::apply(&options, &plan, &code).await,
        Command::Watch { operation } => follow::watch(&options, &operation).await,
        Command::Pause { operation } => follow::pause(&options, &operation).await,
        Command::Resume { operation, code } => follow::resume(&options, &operation, code).await,
        Command::Abort { operation, go_back: false } => follow::abort(&options, &operation).await,
        Command::Abort { operation, go_back: true } => follow::abort_and_return(&options, &operation).await,
        Command::Compare { service, between } => match &*between {
            [a, b] => versions::differences(&options, &service, [a, b]).await,
            _ => lists::compare(&options, &service).await,
        },
        Command::Lock { selector, why } => protect::lock(&options, &selector, &why).await,
        Command::Unlock { lock } => protect::lift(&options, &["lock", "stay"], &lock.join(" ")),
        Command::Quarantine { image, why } => protect::quarantine(&options, &image, &why),
        Command::Unquarantine { image } => protect::lift(&options, &["quarantine"], &image),
        Command::Release(command) => releases::run(&options, command).await,
        Command::Export { since, directory, audit } => {
            lists::export(&options, since, &directory, lists::Asks::of(audit)).await
        }
        Command::Demo { list: true, .. } => {
            print::text(&lists::scenarios())?;
            Ok(Exit::Done)
        }
        Command::Demo { .. } => Err(anyhow!("the demo needs a terminal; other commands take --demo SCENARIO")),
    }
}

/// How long the fleet is watched after the last wave where nobody looks at a screen.
const WATCH: Duration = Duration::from_secs(10);

/// Opens a session for a command, with its log.
pub(super) fn session(options: &Options) -> anyhow::Result<Session> {
    let mut prepared = prepare_session(options)?;
    prepared.settings.policy.watch.get_or_insert(WATCH);
    if let Err(error) = log::start(&prepared.state_dir, options.verbose) {
        print::progress(&format!("no log is written: {error}"));
    }
    let session = open(prepared, Stepping::Live)?;
    for notice in &session.model.settings.notices {
        print::progress(&format!("note: {notice}"));
    }
    Ok(session)
}

/// Waits until every wanted place, and every registry that its images are of, has answered one way or the other, or the time
/// is up.
pub(super) async fn settle(session: &mut Session, limit: Duration) {
    let deadline = tokio::time::Instant::now() + limit;
    while !is_settled(session) {
        if tokio::time::timeout_at(deadline, session.turn()).await.is_err() {
            break;
        }
    }
    // What has happened since an earlier process looked is noted now, however short this one lives.
    session.tell_time();
}

fn is_settled(session: &Session) -> bool {
    let fleet = &session.model.fleet;
    wanted(&session.model).all(|id| fleet.place(id).is_some_and(|place| !matches!(place.state, PlaceState::Loading)))
        && session.model.resolving.is_settled(fleet)
}

/// The journal, for commands that write into it and need no place.
fn journal(options: &Options) -> anyhow::Result<Journal> {
    open_journal(&state_dir_of(options)?)?.journal.map_err(|fault| anyhow!(fault))
}
