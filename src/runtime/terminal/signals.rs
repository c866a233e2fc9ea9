//! Signals as events.
//!
//! Never ends the process itself.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// What another process, the shell or the kernel asks of this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// SIGTERM or SIGINT.
    Terminate,
    /// SIGHUP: the terminal is gone.
    HangUp,
    /// SIGTSTP from outside: the process shall stop for a while.
    Suspend,
    /// SIGCONT: the process was stopped, by itself or by SIGSTOP, and whoever had the terminal meanwhile may have set it
    /// otherwise.
    Continue,
}

/// The signals that this process handles.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
    suspend: Signal,
    resume: Signal,
}

impl Signals {
    /// Begins to handle them.
    ///
    /// # Errors
    /// If the system refuses a handler.
    pub fn handle() -> io::Result<Signals> {
        // The numbers of these two are the platform's own.
        let suspend = SignalKind::from_raw(rustix::process::Signal::TSTP.as_raw());
        let resume = SignalKind::from_raw(rustix::process::Signal::CONT.as_raw());
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
            suspend: signal(suspend)?,
            resume: signal(resume)?,
        })
    }

    /// The next one.
    pub async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.terminate.recv() => Asked::Terminate,
            _ = self.interrupt.recv() => Asked::Terminate,
            _ = self.hang_up.recv() => Asked::HangUp,
            _ = self.suspend.recv() => Asked::Suspend,
            _ = self.resume.recv() => Asked::Continue,
        }
    }
}
