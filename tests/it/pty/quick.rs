//! A fleet whose bad release is gone back from within seconds, and the first steps of every story on it.

use std::path::Path;

use super::terminal::{SMALL, Size, Terminal};

/// Two places, one service, a release that never gets ready. A wave takes about two seconds.
pub(crate) const QUICK: &str = r#"
name = "quick"
title = "Two places"
description = "For tests."
seed = 7
[policy]
bake = "1s"
step_timeout = "60s"
order = ["k8s/us", "k8s/eu"]
[[places]]
id = "k8s/eu"
latency = "10ms"
[[places]]
id = "k8s/us"
latency = "10ms"
[[services]]
name = "checkout"
namespace = "shop"
progress_deadline = "5m"
start = "300ms"
drain = "200ms"
versions = [
  { tag = "v41", age = "2d" },
  { tag = "v42", age = "6m", fails = "readiness", why = "CrashLoopBackOff: back-off restarting failed container" },
]
[[services.at]]
place = "k8s/*"
replicas = 4
"#;

/// The cockpit on the fleet, when the bad release is on the screen.
pub(crate) fn quick(state: &Path) -> Terminal {
    quick_at(state, SMALL)
}

/// The same in a terminal of another size.
pub(crate) fn quick_at(state: &Path, size: Size) -> Terminal {
    let terminal = Terminal::demo(QUICK, state, size);
    terminal.see("places 2/2 ok");
    terminal.see("checkout");
    terminal
}

/// The same with an operation under way that takes long enough to be interfered with.
pub(crate) fn under_way(state: &Path) -> Terminal {
    let slow = QUICK.replace("bake = \"1s\"", "bake = \"4s\"");
    let mut terminal = Terminal::demo(&slow, state, SMALL);
    terminal.see("places 2/2 ok");
    start_rollback(&mut terminal);
    terminal
}

/// From the row under the cursor to an operation that runs.
pub(crate) fn start_rollback(terminal: &mut Terminal) {
    terminal.press("b");
    type_code(terminal);
    terminal.until("the banner of a running operation", |screen| screen.contains(" running  rollback"));
}

/// Types the code of the open plan, again if it came too early.
pub(crate) fn type_code(terminal: &mut Terminal) {
    let code = terminal.code();
    for letter in code.chars() {
        type_letter(terminal, letter);
    }
}

/// Types one letter of a code until it counts: the first one may be typed before the code could be read.
pub(crate) fn type_letter(terminal: &mut Terminal, letter: char) {
    let field = |screen: &str| screen.split('[').next_back().map(|rest| rest.chars().take(5).collect::<String>());
    let before = field(&terminal.screen());
    loop {
        terminal.press(&letter.to_string());
        let mut is_early = false;
        terminal.until("the letter to be taken", |screen| {
            is_early = screen.contains("typed before the code was seen");
            is_early || field(screen) != before
        });
        if !is_early {
            return;
        }
        // Any other key takes the message away.
        terminal.press("\u{1b}[6~");
        terminal.until("the message to go", |screen| !screen.contains("typed before the code was seen"));
    }
}
