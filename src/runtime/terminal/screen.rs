//! The terminal: taken at the start, given back on every way out, written by a thread of its own.
//!
//! Never delays the loop: frames go to the writer by "the newest wins", and a terminal that takes nothing (flow control, a
//! dead ssh) blocks that thread alone. With the store this is the only module that knows Unix.

use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crossterm::clipboard::CopyToClipboard;
use crossterm::cursor::{Hide, Show};
use crossterm::event::{DisableBracketedPaste, EnableBracketedPaste};
use crossterm::terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode};
use crossterm::{execute, queue};
use ratatui::Terminal;
use ratatui::backend::{Backend, CrosstermBackend};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use rustix::process::{Signal, getpgrp, getpid, kill_process};
use rustix::termios::{Action, QueueSelector, tcflow, tcflush, tcgetpgrp};

/// How long the writer may take to finish what it has before the process ends all the same.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// How long what a terminal did not take is thrown away, piece by piece, until the writer is between two frames.
const THROW_AWAY: (u32, Duration) = (20, Duration::from_millis(25));
/// The name of the writer's thread.
const WRITER: &str = "terminal";

/// Whether the terminal is ours now; what the panic hook asks. The writer begins no frame where it is not.
static TAKEN: AtomicBool = AtomicBool::new(false);
/// Whether the writer is in the middle of a frame: what gives the terminal back must not come between its bytes.
static WRITING: Mutex<bool> = Mutex::new(false);
static WRITTEN: Condvar = Condvar::new();

/// The terminal while it is ours. Dropping it gives it back.
pub struct Screen {
    orders: mpsc::Sender<Order>,
    done: mpsc::Receiver<()>,
    writer: Option<JoinHandle<()>>,
}

enum Order {
    Draw(Box<Buffer>),
    Copy(String),
    /// The terminal was somebody else's meanwhile: its modes are set again, nothing of what it shows is known.
    Retake,
    End,
}

impl Screen {
    /// Takes the terminal: raw mode, alternate screen, bracketed paste.
    ///
    /// # Errors
    /// If there is no terminal, or it refuses raw mode.
    pub fn take() -> io::Result<Screen> {
        enter()?;
        let (orders, inbox) = mpsc::channel();
        let (done_sender, done) = mpsc::channel();
        let writer = std::thread::Builder::new().name(WRITER.to_string()).spawn(move || {
            write_frames(&inbox);
            // Whoever waits for this may have given up.
            let _ = done_sender.send(());
        })?;
        Ok(Screen { orders, done, writer: Some(writer) })
    }

    /// Shows a frame, unless a newer one comes before the terminal has taken this one.
    pub fn draw(&self, frame: Buffer) {
        self.order(Order::Draw(Box::new(frame)));
    }

    /// Hands text to the terminal's clipboard (OSC 52).
    pub fn copy(&self, text: String) {
        self.order(Order::Copy(text));
    }

    /// Gives the terminal back and stops the process until its shell brings it back. SIGCONT, which brings it back, is
    /// what has the terminal taken again.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn suspend(&self) -> io::Result<()> {
        leave();
        // SIGSTOP, not SIGTSTP: the latter is ours to handle, and would come back here.
        Ok(kill_process(getpid(), Signal::STOP)?)
    }

    /// Whether the terminal is ours now.
    pub fn is_taken(&self) -> bool {
        TAKEN.load(Ordering::SeqCst)
    }

    /// Takes the terminal again after the process was stopped: a shell has made it its own meanwhile, also where nobody
    /// gave it back (SIGSTOP). In the background (`bg`) it stays the shell's, and nothing is drawn.
    ///
    /// # Errors
    /// If the terminal can't be taken again.
    pub fn retake(&self) -> io::Result<()> {
        if !is_foreground() {
            TAKEN.store(false, Ordering::SeqCst);
            return Ok(());
        }
        // Raw mode may be on only as far as this process knows; off and on again makes it so. What is kept for the end
        // are the settings from the start.
        disable_raw_mode()?;
        enable_raw_mode()?;
        TAKEN.store(true, Ordering::SeqCst);
        self.order(Order::Retake);
        Ok(())
    }

    fn order(&self, order: Order) {
        // The writer is gone only if it panicked; the hook has told that.
        let _ = self.orders.send(order);
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.order(Order::End);
        if self.done.recv_timeout(LAST_WORDS).is_ok()
            && let Some(writer) = self.writer.take()
        {
            // It has said that it is done; a panic was told by the hook.
            let _ = writer.join();
        }
        leave();
    }
}

/// How large the terminal is: columns and rows.
///
/// # Errors
/// If there is no terminal.
pub fn size() -> io::Result<(u16, u16)> {
    if !io::stdout().is_terminal() {
        return Err(io::Error::other("stdout is no terminal"));
    }
    crossterm::terminal::size()
}

/// Makes a panic give the terminal back before it is told. A panic in a task of the runtime is logged: the task's own
/// place says that it broke off, and the screen stays in use.
pub fn install_panic_hook() {
    let default = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        tracing::error!(%panic, "a panic");
        let is_task = std::thread::current().name().is_some_and(|name| name.starts_with("tokio"));
        if is_task && TAKEN.load(Ordering::SeqCst) {
            return;
        }
        leave();
        default(panic);
    }));
}

fn enter() -> io::Result<()> {
    enable_raw_mode()?;
    TAKEN.store(true, Ordering::SeqCst);
    enter_modes(&mut io::stdout()).inspect_err(|_| leave())
}

fn enter_modes(terminal: &mut impl Write) -> io::Result<()> {
    execute!(terminal, EnterAlternateScreen, EnableBracketedPaste, Hide)
}

/// Whether the shell has put this process in front. A terminal that can't tell has no shell to ask.
fn is_foreground() -> bool {
    tcgetpgrp(io::stdout()).map_or(true, |group| group == getpgrp())
}

/// Gives the terminal back, once. A terminal that is gone needs nothing; one that takes nothing is not waited for.
fn leave() {
    if TAKEN.swap(false, Ordering::SeqCst) {
        if is_writer_quiet() {
            let _ = execute!(io::stdout(), DisableBracketedPaste, LeaveAlternateScreen, Show);
        }
        let _ = disable_raw_mode();
    }
}

/// Waits until the writer is between two frames. Where the terminal takes nothing, what is on its way there is thrown
/// away: the frame is of no use any more, the bytes that give the terminal back are.
fn is_writer_quiet() -> bool {
    if std::thread::current().name() == Some(WRITER) {
        return true;
    }
    let (times, pause) = THROW_AWAY;
    let is_quiet = |limit| {
        let waited = WRITTEN.wait_timeout_while(writing(), limit, |is_writing| *is_writing);
        !*waited.unwrap_or_else(PoisonError::into_inner).0
    };
    is_quiet(LAST_WORDS)
        || (0..times).any(|_| {
            // A terminal that is gone has nothing on its way. Linux throws away without waking who waits for the room;
            // holding the output for a moment and letting it go does.
            let _ = tcflush(io::stdout(), QueueSelector::OFlush);
            let _ = tcflow(io::stdout(), Action::OOff).and_then(|()| tcflow(io::stdout(), Action::OOn));
            is_quiet(pause)
        })
}

fn writing() -> MutexGuard<'static, bool> {
    WRITING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Writes, if the terminal is ours, and as one piece. Whether it was written.
fn write_whole(write: impl FnOnce() -> io::Result<()>) -> bool {
    {
        let mut is_writing = writing();
        if !TAKEN.load(Ordering::SeqCst) {
            return false;
        }
        *is_writing = true;
    }
    // A terminal that can't be written is lost; its input says so to the loop.
    let _ = write();
    *writing() = false;
    WRITTEN.notify_all();
    true
}

fn write_frames(inbox: &mpsc::Receiver<Order>) {
    let mut shown: Option<Buffer> = None;
    let mut terminal = CrosstermBackend::new(io::stdout());
    loop {
        let mut newest: Option<Box<Buffer>> = None;
        let mut next = inbox.recv().map_err(|_| RecvTimeoutError::Disconnected);
        loop {
            match next {
                Ok(Order::Draw(frame)) => newest = Some(frame),
                Ok(Order::Copy(text)) => {
                    write_whole(|| execute!(terminal, CopyToClipboard::to_clipboard_from(text)));
                }
                Ok(Order::Retake) => {
                    write_whole(|| enter_modes(&mut terminal));
                    shown = None;
                }
                Ok(Order::End) | Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => break,
            }
            next = inbox.recv_timeout(Duration::ZERO);
        }
        if let Some(frame) = newest {
            let is_written = write_whole(|| write_frame(&mut terminal, shown.as_ref(), &frame));
            shown = is_written.then_some(*frame);
        }
    }
}

fn write_frame<W: Write>(terminal: &mut CrosstermBackend<W>, shown: Option<&Buffer>, frame: &Buffer) -> io::Result<()> {
    let blank = Buffer::empty(frame.area);
    let before = match shown {
        Some(shown) if shown.area == frame.area => shown,
        _ => {
            terminal.clear()?;
            &blank
        }
    };
    terminal.draw(before.diff(frame).into_iter())?;
    queue!(terminal, Hide)?;
    Backend::flush(terminal)
}

/// A frame off the screen: what `draw` fills before the writer gets it.
pub struct Canvas {
    terminal: Terminal<ratatui::backend::TestBackend>,
}

impl Canvas {
    /// A canvas of this many columns and rows.
    pub fn new(columns: u16, rows: u16) -> Canvas {
        let backend = ratatui::backend::TestBackend::new(columns, rows);
        let terminal = Terminal::new(backend).unwrap_or_else(|error: std::convert::Infallible| match error {});
        Canvas { terminal }
    }

    /// Draws one frame.
    pub fn draw(&mut self, draw: impl FnOnce(&mut ratatui::Frame<'_>)) -> Buffer {
        let mut frame = self.terminal.get_frame();
        let area: Rect = frame.area();
        draw(&mut frame);
        std::mem::replace(self.terminal.current_buffer_mut(), Buffer::empty(area))
    }
}
