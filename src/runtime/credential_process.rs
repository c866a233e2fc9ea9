//! A helper that gets credentials (`credential_process` of AWS's files), run by this very program without the terminal: it
//! neither draws on the screen nor takes its keys, ends in time, and leaves nothing behind.
//!
//! Never shows what a helper printed on its standard error: nobody knows what is in there.

use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use super::headless::Exit;
use super::terminal::{end_group, lead_a_group, leave_terminal};
use crate::domain::look::quoted;

/// The hidden command of this program.
pub const NAME: &str = "credential-process";
/// How long a helper may take.
const PATIENCE: Duration = Duration::from_secs(25);
/// Credentials are smaller.
const MOST_BYTES: u64 = 64 << 10;

/// The words that run a helper; `None` where this program does not know where it is.
pub fn helper() -> Option<String> {
    let program = std::env::current_exe().ok()?;
    Some(format!("{} {NAME}", quoted(program.to_str()?)))
}

/// Runs a helper to its end and prints what it gives.
///
/// # Errors
/// Why it gives nothing, in words of our own.
pub fn run(command: &str) -> anyhow::Result<Exit> {
    leave_terminal();
    let mut shell = Command::new("sh");
    shell.args(["-c", command]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut shell = lead_a_group(&mut shell).spawn()?;
    let (sender, receiver) = mpsc::channel::<Option<Vec<u8>>>();
    let output = shell.stdout.take();
    std::thread::spawn(move || {
        let mut bytes: Vec<u8> = Vec::new();
        let read = output.map(|output| output.take(MOST_BYTES + 1).read_to_end(&mut bytes));
        // Who waits may have given up.
        let _ = sender.send(read.is_some_and(|read| read.is_ok()).then_some(bytes));
    });
    let answered = receiver.recv_timeout(PATIENCE);
    let is_sane = matches!(&answered, Ok(Some(bytes)) if bytes.len() as u64 <= MOST_BYTES);
    if !is_sane {
        end_group(shell.id());
    }
    let status = shell.wait()?;
    match answered {
        Ok(Some(bytes)) if is_sane && status.success() => {
            std::io::stdout().write_all(&bytes)?;
            Ok(Exit::Done)
        }
        Ok(Some(_)) if is_sane => {
            anyhow::bail!(
                "the credential_process failed ({status}); run it by hand to see why, its words are not shown"
            )
        }
        Ok(_) => anyhow::bail!("the credential_process prints more than credentials are long"),
        Err(_) => anyhow::bail!("the credential_process gave nothing within {} s", PATIENCE.as_secs()),
    }
}
