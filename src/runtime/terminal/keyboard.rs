//! The keyboard and the size of the window, as events.
//!
//! Never reads on the loop's thread: half a key blocks whoever reads it until the rest comes, and crossterm reads a
//! terminal that went away for ever (its loop ends neither at an end of file nor at an error). So a thread of its own
//! asks the system first, and hears of a terminal that is gone before crossterm does.

use std::fs::File;
use std::io::{self, IsTerminal, PipeReader, PipeWriter};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use crossterm::event::{self, Event};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use super::screen::size;

/// More keys than this that wait are no typing.
const FLOOD: usize = 1_000;

/// What the operator does at the terminal. Dropping it leaves further keys to whoever reads next.
pub struct Keyboard {
    inputs: mpsc::UnboundedReceiver<Event>,
    window: Signal,
    /// Its end tells the thread that nobody listens any more.
    _listening: PipeWriter,
}

impl Keyboard {
    /// Begins to listen.
    ///
    /// # Errors
    /// If there is no terminal, or the system gives no thread, pipe or handler.
    pub fn listen() -> io::Result<Keyboard> {
        let window = signal(SignalKind::window_change())?;
        let terminal = if io::stdin().is_terminal() {
            io::stdin().as_fd().try_clone_to_owned()?
        } else {
            OwnedFd::from(File::open("/dev/tty")?)
        };
        let (abandoned, listening) = io::pipe()?;
        let (sender, inputs) = mpsc::unbounded_channel();
        let read = move || read(&terminal, &abandoned, &sender);
        std::thread::Builder::new().name("keyboard".to_string()).spawn(read)?;
        Ok(Keyboard { inputs, window, _listening: listening })
    }

    /// Drops what was typed ahead if that is more than a person types; whether it was. A terminal that brackets what is pasted
    /// hands it over in one piece.
    pub fn drop_flood(&mut self) -> bool {
        let is_flood = self.inputs.len() > FLOOD;
        while is_flood && self.inputs.try_recv().is_ok() {}
        is_flood
    }

    /// The next key, paste or size; `None` when the terminal is gone.
    pub async fn next(&mut self) -> Option<Event> {
        tokio::select! {
            biased;
            input = self.inputs.recv() => input,
            _ = self.window.recv() => size().ok().map(|(columns, rows)| Event::Resize(columns, rows)),
        }
    }
}

/// Reads until the terminal is gone or nobody listens.
fn read(terminal: &OwnedFd, abandoned: &PipeReader, sender: &mpsc::UnboundedSender<Event>) {
    loop {
        let mut waits = [PollFd::new(terminal, PollFlags::IN), PollFd::new(abandoned, PollFlags::IN)];
        match poll(&mut waits, None) {
            Ok(_) => {}
            Err(Errno::INTR) => continue,
            Err(error) => return tracing::error!(%error, "the terminal can't be waited for"),
        }
        let (typed, ended) = (waits[0].revents(), waits[1].revents());
        if !ended.is_empty() || typed.intersects(PollFlags::HUP | PollFlags::ERR) {
            return;
        }
        // Some systems can't wait for some terminals and say so (NVAL): there crossterm waits.
        let mut has_more = Ok(typed.contains(PollFlags::NVAL));
        loop {
            let input = match has_more {
                Ok(true) => event::read().map(Some),
                Ok(false) => Ok(None),
                Err(error) => Err(error),
            };
            match input {
                // Sizes come by the signal, whether keys are typed or not.
                Ok(Some(Event::Resize(..)) | None) => {}
                Ok(Some(input)) => {
                    if sender.send(input).is_err() {
                        return;
                    }
                }
                Err(error) => return tracing::error!(%error, "the terminal can't be read"),
            }
            has_more = event::poll(Duration::ZERO);
            if matches!(has_more, Ok(false)) {
                break;
            }
        }
    }
}
