//! A program in a pseudo-terminal: what it wrote, what a terminal makes of it, keys and signals for it.
//!
//! Never sleeps: whoever waits is woken by the next bytes or by the end of the process.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use portable_pty::{CommandBuilder, ExitStatus, MasterPty, PtySize, SlavePty, native_pty_system};
use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
use serde_json::Value;

use crate::real::cluster::wait;

/// How long a test waits for what should come at once, on a machine that is busy.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// How long the last bytes of a process that has ended may take to come through the kernel.
const LAST_BYTES: Duration = Duration::from_secs(2);

/// Columns and rows.
pub(crate) type Size = (u16, u16);

/// The baseline of DESIGN section 4.
pub(crate) const SMALL: Size = (80, 24);
/// A wide terminal.
pub(crate) const LARGE: Size = (200, 50);

/// A program with a terminal of its own. Dropping it kills it.
pub(crate) struct Terminal {
    pid: Pid,
    size: Size,
    /// How the terminal was set before the program was started.
    before: String,
    wire: Arc<Wire>,
    /// Kept so that the settings can still be read when the program has ended.
    slave: Option<Box<dyn SlavePty + Send>>,
    master: Option<Box<dyn MasterPty + Send>>,
    keyboard: Option<Box<dyn Write + Send>>,
    reader: Option<JoinHandle<()>>,
}

/// What came out of the terminal, and who waits for more.
struct Wire {
    state: Mutex<State>,
    news: Condvar,
}

struct State {
    parser: vt100::Parser,
    raw: Vec<u8>,
    status: Option<ExitStatus>,
    reading: Reading,
}

/// What the terminal does with what the program writes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reading {
    /// Shows it.
    On,
    /// Leaves it in the kernel's buffer until that is full.
    Held,
    /// Closes the line.
    Off,
}

/// A command for [`Terminal::open`] that knows nothing of this machine: no home, no kubeconfig, no options in variables.
pub(crate) fn command(program: impl AsRef<OsStr>, home: &Path) -> CommandBuilder {
    let mut command = CommandBuilder::new(program);
    for (name, _) in std::env::vars_os() {
        let name_text = name.to_string_lossy();
        if name_text.starts_with("ROLLDECK_") || name_text.starts_with("XDG_") {
            command.env_remove(&name);
        }
    }
    command.env_remove("KUBECONFIG");
    command.env_remove("NO_COLOR");
    command.env("TERM", "xterm-256color");
    command.env("HOME", home);
    command.env("RUST_BACKTRACE", "0");
    command.cwd(home);
    command
}

/// The program under test with these arguments, and its state in `state`.
pub(crate) fn rolldeck(state: &Path, arguments: &[&str]) -> CommandBuilder {
    let mut command = command(env!("CARGO_BIN_EXE_rolldeck"), state);
    command.arg("--state-dir");
    command.arg(state);
    command.args(arguments);
    command
}

/// The program under test without a terminal, to its end.
pub(crate) fn headless(state: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rolldeck"));
    command.arg("--state-dir").arg(state).args(arguments).env("HOME", state).env_remove("KUBECONFIG");
    command.stdin(Stdio::null()).output().expect("the program can be run")
}

/// What `rolldeck operations` says of the only operation in a state directory; null if there is none.
pub(crate) fn operation(state: &Path) -> Value {
    let output = headless(state, &["operations", "--output", "json"]);
    let mut answer: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
    answer["rows"].get_mut(0).map(Value::take).unwrap_or_default()
}

/// Waits until the only operation of a state directory is in this state.
pub(crate) fn wait_for_operation(state: &Path, wanted: &str) -> Value {
    let mut last = Value::Null;
    wait(&format!("the operation to be {wanted}"), PATIENCE, || {
        last = operation(state);
        last["state"] == wanted
    });
    last
}

impl Terminal {
    /// Starts a program in a terminal of this size.
    pub(crate) fn open(command: CommandBuilder, size: Size) -> Terminal {
        let pair = native_pty_system().openpty(pty_size(size)).expect("the system has pseudo-terminals");
        let before = settings(&*pair.master);
        assert!(before.contains("ICANON") && before.contains("ECHO"), "it is cooked: {before}");
        let mut child = pair.slave.spawn_command(command).expect("the program can be started");
        let pid = child.process_id().and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?)).expect("it has a number");
        let keyboard = pair.master.take_writer().expect("it is taken once");
        let output = pair.master.try_clone_reader().expect("it can be read");
        let parser = vt100::Parser::new(size.1, size.0, 0);
        let state = State { parser, raw: Vec::new(), status: None, reading: Reading::On };
        let wire = Arc::new(Wire { state: Mutex::new(state), news: Condvar::new() });
        let reader = thread::spawn({
            let wire = wire.clone();
            move || read(&wire, output)
        });
        thread::spawn({
            let wire = wire.clone();
            move || {
                let status = child.wait().expect("a child can be waited for");
                wire.lock().status = Some(status);
                wire.news.notify_all();
            }
        });
        Terminal {
            pid,
            size,
            before,
            wire,
            slave: Some(pair.slave),
            master: Some(pair.master),
            keyboard: Some(keyboard),
            reader: Some(reader),
        }
    }

    /// The cockpit on a simulated fleet, by name or text.
    pub(crate) fn demo(scenario: &str, state: &Path, size: Size) -> Terminal {
        Terminal::open(rolldeck(state, &["demo", scenario]), size)
    }

    /// What the screen shows, line by line.
    pub(crate) fn screen(&self) -> String {
        self.wire.lock().parser.screen().contents()
    }

    /// Every byte that came so far.
    pub(crate) fn raw(&self) -> Vec<u8> {
        self.wire.lock().raw.clone()
    }

    /// What a terminal knows beside the text.
    pub(crate) fn modes<T>(&self, look: impl Fn(&vt100::Screen) -> T) -> T {
        look(self.wire.lock().parser.screen())
    }

    /// Waits until the screen is as wanted.
    pub(crate) fn until(&self, what: &str, mut holds: impl FnMut(&str) -> bool) {
        self.wait_until(what, |state| holds(&state.parser.screen().contents()));
    }

    /// Waits until the screen shows a text.
    pub(crate) fn see(&self, text: &str) {
        self.until(text, |screen| screen.contains(text));
    }

    /// Types. Everything is written at once, as a fast typist or a paste without brackets would.
    pub(crate) fn press(&mut self, keys: &str) {
        self.send(keys.as_bytes());
    }

    /// Writes bytes as the keyboard would.
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        let keyboard = self.keyboard.as_mut().expect("the terminal is there");
        keyboard.write_all(bytes).and_then(|()| keyboard.flush()).expect("the terminal takes keys");
    }

    /// Waits for a plan's code and returns it.
    pub(crate) fn code(&self) -> String {
        let mut found = None;
        self.until("a code with its empty field", |screen| {
            found = code_on(screen);
            found.is_some()
        });
        found.expect("it was just seen")
    }

    /// Makes the window larger or smaller.
    pub(crate) fn resize(&mut self, size: Size) {
        self.size = size;
        self.wire.lock().parser.screen_mut().set_size(size.1, size.0);
        self.master().resize(pty_size(size)).expect("a terminal can be resized");
    }

    /// Sends a signal to the program.
    pub(crate) fn kill(&self, signal: Signal) {
        kill_process(self.pid, signal).expect("the process is there");
    }

    /// Waits until the program was stopped by a signal.
    pub(crate) fn wait_stopped(&self) {
        wait("the process to be stopped", PATIENCE, || {
            let status = waitpid(Some(self.pid), WaitOptions::UNTRACED | WaitOptions::NOHANG).expect("it is our child");
            status.is_some_and(|(_, status)| status.stopped())
        });
    }

    /// A shell makes the terminal its own while the program is stopped: cooked, the main screen, its prompt.
    pub(crate) fn shell_takes_it(&self) {
        let name = self.master().tty_name().expect("a pseudo-terminal has a name");
        let terminal = File::options().read(true).write(true).open(name).expect("it can be opened");
        let mut settings = tcgetattr(&terminal).expect("it has settings");
        settings.local_modes |= LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG;
        tcsetattr(&terminal, OptionalActions::Now, &settings).expect("it can be set");
        let prompt = b"\x1b[?1049l\x1b[?25h\x1b[?2004l\x1b[2J\x1b[H$ ";
        (&terminal).write_all(prompt).expect("it can be written");
        self.see("$");
    }

    /// Whether keys come to the program one by one, and are not shown by the terminal.
    pub(crate) fn is_raw(&self) -> bool {
        let settings = settings(self.master());
        !settings.contains("ICANON") && !settings.contains("ECHO ")
    }

    /// Whether the program has not ended.
    pub(crate) fn is_running(&self) -> bool {
        self.wire.lock().status.is_none()
    }

    /// Stops reading what the program writes, as a dead connection or a window that was frozen would.
    pub(crate) fn hold(&self) {
        self.wire.lock().reading = Reading::Held;
    }

    /// Closes the terminal, as the end of an ssh connection or of its window does: the kernel sends SIGHUP.
    /// The reader must see a byte first; a key that changes the screen brings one.
    pub(crate) fn hang_up(&mut self, key: &str) {
        self.wire.lock().reading = Reading::Off;
        self.press(key);
        if let Some(reader) = self.reader.take() {
            reader.join().expect("the reader ends");
        }
        self.keyboard = None;
        self.slave = None;
        self.master = None;
    }

    /// Waits until the program has ended and all that it wrote was read.
    pub(crate) fn wait_exit(&mut self) -> ExitStatus {
        self.wait_until("the end of the process", |state| state.status.is_some());
        // Kept until all was read: where the last descriptor is gone so are the settings.
        let settings = self.master.as_deref().map(|master| settings(master));
        self.slave = None;
        self.wire.lock().reading = Reading::On;
        self.wire.news.notify_all();
        if let Some(reader) = self.reader.take() {
            reader.join().expect("the reader ends");
        }
        if let Some(settings) = settings {
            assert_eq!(settings, self.before, "the terminal is set as it was before");
        }
        self.wire.lock().status.clone().expect("it has ended")
    }

    /// Asserts that the terminal was given back: settings, screen, cursor, paste.
    pub(crate) fn assert_restored(&self) {
        if let Some(master) = self.master.as_deref() {
            assert_eq!(settings(master), self.before, "the terminal is set as it was before");
        }
        let raw = self.raw();
        for (on, off, what) in [
            ("\u{1b}[?1049h", "\u{1b}[?1049l", "the alternate screen is left"),
            ("\u{1b}[?25l", "\u{1b}[?25h", "the cursor is visible"),
            ("\u{1b}[?2004h", "\u{1b}[?2004l", "bracketed paste is off"),
        ] {
            let (on, off) = (last(&raw, on), last(&raw, off));
            assert!(on.is_some(), "it was taken at all: {what}\n{}", self.screen());
            assert!(off > on, "{what}\n{}", self.screen());
        }
        let (is_alternate, is_hidden, is_paste) =
            self.modes(|screen| (screen.alternate_screen(), screen.hide_cursor(), screen.bracketed_paste()));
        assert!(!is_alternate && !is_hidden && !is_paste, "{}", self.screen());
    }

    /// Waits until the terminal was given back by a program that goes on.
    pub(crate) fn wait_restored(&self) {
        self.wait_until("the terminal to be given back", |state| {
            let screen = state.parser.screen();
            !screen.alternate_screen() && !screen.hide_cursor() && !screen.bracketed_paste()
        });
    }

    fn wait_until(&self, what: &str, mut holds: impl FnMut(&State) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        let mut state = self.wire.lock();
        while !holds(&state) {
            let left = deadline.saturating_duration_since(Instant::now());
            let screen = state.parser.screen().contents();
            assert!(!left.is_zero(), "waited {PATIENCE:?} in vain for {what:?}; the screen:\n{screen}");
            // What it wrote last may still be on its way when it has ended; nothing comes long after that.
            let ended = state.status.clone();
            let slice = if ended.is_some() { left.min(LAST_BYTES) } else { left };
            let waited = self.wire.news.wait_timeout(state, slice).unwrap_or_else(PoisonError::into_inner);
            state = waited.0;
            if let (Some(status), true) = (ended, waited.1.timed_out()) {
                assert!(holds(&state), "it ended ({status}) before {what:?}; the screen:\n{screen}");
            }
        }
    }

    fn master(&self) -> &dyn MasterPty {
        self.master.as_deref().expect("the terminal is there")
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if self.is_running() {
            // It may have ended this very moment.
            let _ = kill_process(self.pid, Signal::KILL);
        }
        self.wire.lock().reading = Reading::On;
        self.wire.news.notify_all();
    }
}

impl Wire {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The code of an open plan whose field is empty: `kdpt  [____]`.
fn code_on(screen: &str) -> Option<String> {
    let before = screen.split("[____]").next().filter(|before| before.len() < screen.len())?;
    let word = before.split_whitespace().next_back()?;
    let is_code = word.len() == 4 && word.chars().all(|letter| letter.is_ascii_lowercase());
    is_code.then(|| word.to_owned())
}

fn read(wire: &Wire, mut output: Box<dyn Read + Send>) {
    let mut bytes = [0; 4096];
    loop {
        let mut state = wire.lock();
        while state.reading == Reading::Held {
            state = wire.news.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.reading == Reading::Off {
            return;
        }
        drop(state);
        // An error is the end too: Linux says so when nobody has the other side open.
        let Ok(count @ 1..) = output.read(&mut bytes) else { return wire.news.notify_all() };
        let mut state = wire.lock();
        state.parser.process(&bytes[..count]);
        state.raw.extend_from_slice(&bytes[..count]);
        wire.news.notify_all();
    }
}

/// The settings of the terminal (termios), in words that can be compared.
fn settings(master: &dyn MasterPty) -> String {
    format!("{:?}", master.get_termios().expect("it has settings"))
}

fn last(raw: &[u8], wanted: &str) -> Option<usize> {
    raw.windows(wanted.len()).rposition(|bytes| bytes == wanted.as_bytes())
}

fn pty_size((columns, rows): Size) -> PtySize {
    PtySize { rows, cols: columns, pixel_width: 0, pixel_height: 0 }
}
