//! Processes that this one has started.
//!
//! Never ends anything that was not started by it.

use std::os::unix::process::CommandExt as _;
use std::process::Command;

use rustix::process::{Pid, Signal, kill_process_group, setsid};

/// Leaves the terminal for good: neither this process nor what it starts can open it any more.
pub fn leave_terminal() {
    // Who leads a group can't, and has been started to do just this: then the terminal stays within reach.
    let _ = setsid();
}

/// Has a process that is about to be started lead a group of its own, which `end_group` can end.
pub fn lead_a_group(command: &mut Command) -> &mut Command {
    command.process_group(0)
}

/// Ends a process that was started as the leader of a group of its own, with all that it has started.
pub fn end_group(leader: u32) {
    let leader = i32::try_from(leader).ok().and_then(Pid::from_raw);
    // It may have ended by itself this very moment.
    let _ = leader.map(|leader| kill_process_group(leader, Signal::KILL));
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Read};
    use std::process::Stdio;

    use super::*;

    #[test]
    fn what_the_leader_has_started_ends_with_it() {
        let mut command = Command::new("sh");
        command.args(["-c", "sleep 1000 & echo started; wait"]).stdout(Stdio::piped());
        let mut leader = lead_a_group(&mut command).spawn().expect("a shell");
        let mut output = BufReader::new(leader.stdout.take().expect("piped"));
        let mut line = String::new();
        output.read_line(&mut line).expect("it says that it has started");
        end_group(leader.id());
        // The pipe has its end when nobody holds it any more: neither the shell nor what it has started.
        output.read_to_string(&mut line).expect("the end");
        assert!(!leader.wait().expect("our child").success());
    }
}
