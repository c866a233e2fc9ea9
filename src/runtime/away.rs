//! Programs of other people, run without the terminal: they can neither draw on the screen nor take its keys. This very program is
//! started once more, leaves the terminal and becomes the other one.
//!
//! Never runs a shell, and never waits: who starts one does.

use std::collections::BTreeSet;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::sync::{Mutex, OnceLock, PoisonError};

use tokio::process::Command;

use super::headless::Exit;
use super::terminal::{end_group, leave_terminal};

/// The hidden command of this program.
pub const NAME: &str = "away";

static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
/// The leaders of groups that somebody waits for.
static LIVE: Mutex<BTreeSet<u32>> = Mutex::new(BTreeSet::new());

/// Remembers where this program is. Whoever has not said so (a test) starts others in a group of their own alone.
pub(super) fn know_program() {
    // Stays this very program, whatever becomes of its file while the process runs for days.
    let own = PathBuf::from("/proc/self/exe");
    if let Ok(program) = if own.exists() { Ok(own) } else { std::env::current_exe() } {
        PROGRAM.get_or_init(|| program);
    }
}

/// A command that is about to run a program away from the terminal, as the leader of a group of its own.
pub(super) fn command(program: &str) -> Command {
    match PROGRAM.get() {
        Some(own) => {
            let mut command = Command::new(own);
            command.args([NAME, "--", program]);
            command
        }
        None => {
            let mut command = Command::new(program);
            command.process_group(0);
            command
        }
    }
}

/// Becomes the other program.
///
/// # Errors
/// That it can't be run; else there is nothing to come back to.
pub(super) fn run(words: &[String]) -> anyhow::Result<Exit> {
    leave_terminal();
    let Some((program, arguments)) = words.split_first() else { anyhow::bail!("no program is named") };
    let error = std::process::Command::new(program).args(arguments).exec();
    anyhow::bail!("{program} can't be run: {error}")
}

/// Ends all that is still waited for: the process is about to end.
pub(super) fn end_all() {
    std::mem::take(&mut *LIVE.lock().unwrap_or_else(PoisonError::into_inner)).into_iter().for_each(end_group);
}

/// What a program has started ends with whoever waits for it.
pub(super) struct Group(Option<u32>);

impl Group {
    pub(super) fn of(leader: Option<u32>) -> Group {
        LIVE.lock().unwrap_or_else(PoisonError::into_inner).extend(leader);
        Group(leader)
    }

    /// It has ended by itself: what it leaves behind is its own business.
    pub(super) fn let_go(mut self) {
        if let Some(leader) = self.0.take() {
            LIVE.lock().unwrap_or_else(PoisonError::into_inner).remove(&leader);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(leader) = self.0.take() {
            end_group(leader);
            LIVE.lock().unwrap_or_else(PoisonError::into_inner).remove(&leader);
        }
    }
}
