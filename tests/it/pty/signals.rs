//! Signals, a terminal that goes away and one that takes nothing: the process ends or goes on as DESIGN section 7 says.

use rustix::process::Signal;

use super::quick::{quick, under_way};
use super::terminal::{Terminal, operation, wait_for_operation};

fn check_ends(signal: Signal) {
    let state = tempfile::tempdir().expect("a directory");
    let mut terminal = quick(state.path());
    terminal.kill(signal);
    let status = terminal.wait_exit();
    assert_eq!((status.exit_code(), status.signal()), (0, None), "it ends by itself, not by the signal");
    terminal.assert_restored();
}

#[test]
fn sigterm_ends_it_and_gives_the_terminal_back() {
    check_ends(Signal::TERM);
}

#[test]
fn sigint_ends_it_and_gives_the_terminal_back() {
    check_ends(Signal::INT);
}

#[test]
fn sighup_ends_it_and_gives_the_terminal_back() {
    check_ends(Signal::HUP);
}

#[test]
fn ctrl_c_is_a_key_and_ends_nothing() {
    let state = tempfile::tempdir().expect("a directory");
    let mut terminal = quick(state.path());
    terminal.press("\u{3}\u{1c}");
    terminal.see("is not bound here");
    assert!(terminal.is_running());
}

#[test]
fn a_closed_terminal_ends_an_idle_process() {
    let state = tempfile::tempdir().expect("a directory");
    let mut terminal = quick(state.path());
    terminal.hang_up("2");
    assert_eq!(terminal.wait_exit().signal(), None);
}

fn check_interrupts(signal: Signal) {
    let state = tempfile::tempdir().expect("a directory");
    let mut terminal = under_way(state.path());
    terminal.kill(signal);
    let status = terminal.wait_exit();
    assert_eq!(status.signal(), None);
    terminal.assert_restored();
    let interrupted = operation(state.path());
    assert_eq!(interrupted["state"], "interrupted", "{interrupted}");
    assert_ne!(interrupted["steps"][1]["state"], "verified", "{interrupted}");
}

#[test]
fn sigterm_leaves_a_running_operation_interrupted() {
    check_interrupts(Signal::TERM);
}

#[test]
fn sigint_leaves_a_running_operation_interrupted() {
    check_interrupts(Signal::INT);
}

#[test]
fn a_closed_terminal_leaves_the_operation_running_to_its_end() {
    let state = tempfile::tempdir().expect("a directory");
    let mut terminal = under_way(state.path());
    terminal.hang_up("2");
    assert!(terminal.is_running(), "it goes on without a screen");
    wait_for_operation(state.path(), "done");
    assert_eq!(terminal.wait_exit().exit_code(), 0);
}

#[test]
fn sighup_with_a_terminal_still_there_gives_it_back_and_goes_on() {
    let state = tempfile::tempdir().expect("a directory");
    let mut terminal = under_way(state.path());
    terminal.kill(Signal::HUP);
    terminal.wait_restored();
    terminal.see("goes on without a screen");
    assert!(terminal.is_running());
    // A second one, as a shell that ends may send, changes nothing.
    terminal.kill(Signal::HUP);
    assert_eq!(terminal.wait_exit().exit_code(), 0);
    terminal.assert_restored();
    assert_eq!(operation(state.path())["state"], "done");
}

#[test]
fn sigterm_after_detaching_interrupts() {
    let state = tempfile::tempdir().expect("a directory");
    let mut terminal = under_way(state.path());
    terminal.kill(Signal::HUP);
    terminal.see("goes on without a screen");
    terminal.kill(Signal::TERM);
    assert_eq!(terminal.wait_exit().signal(), None);
    terminal.assert_restored();
    assert_eq!(operation(state.path())["state"], "interrupted");
}

fn check_suspends(suspend: impl Fn(&mut Terminal)) {
    let state = tempfile::tempdir().expect("a directory");
    let mut terminal = quick(state.path());
    for _ in 0..2 {
        suspend(&mut terminal);
        terminal.wait_stopped();
        terminal.wait_restored();
        terminal.assert_restored();
        assert!(!terminal.screen().contains("DRIFT"), "the shell's screen is back:\n{}", terminal.screen());
        terminal.kill(Signal::CONT);
        for part in [" DRIFT ", "places 2/2 ok", ">~ checkout", "came", "b back to last good"] {
            terminal.see(part);
        }
        assert!(terminal.modes(|screen| screen.alternate_screen() && screen.hide_cursor() && screen.bracketed_paste()));
        terminal.press("2");
        terminal.see(" FLEET ");
        terminal.press("1");
        terminal.see(" DRIFT ");
    }
    terminal.press("q");
    assert_eq!(terminal.wait_exit().exit_code(), 0);
    terminal.assert_restored();
}

#[test]
fn ctrl_z_stops_the_process_and_sigcont_brings_the_screen_back() {
    check_suspends(|terminal| terminal.press("\u{1a}"));
}

#[test]
fn sigtstp_stops_the_process_and_sigcont_brings_the_screen_back() {
    check_suspends(|terminal| terminal.kill(Signal::TSTP));
}

#[test]
fn after_sigstop_from_outside_the_terminal_is_taken_again() {
    let state = tempfile::tempdir().expect("a directory");
    let mut terminal = quick(state.path());
    for _ in 0..2 {
        terminal.kill(Signal::STOP);
        terminal.wait_stopped();
        // What a shell does with the terminal of a job that it did not expect to stop.
        terminal.shell_takes_it();
        assert!(!terminal.screen().contains("DRIFT"), "{}", terminal.screen());
        terminal.kill(Signal::CONT);
        for part in [" DRIFT ", "places 2/2 ok", ">~ checkout", "came", "b back to last good"] {
            terminal.see(part);
        }
        assert!(terminal.is_raw(), "keys come one by one and unseen");
        assert!(terminal.modes(|screen| screen.alternate_screen() && screen.hide_cursor() && screen.bracketed_paste()));
        terminal.press("2");
        terminal.see(" FLEET ");
        terminal.press("1");
        terminal.see(" DRIFT ");
    }
    terminal.press("q");
    assert_eq!(terminal.wait_exit().exit_code(), 0);
    terminal.assert_restored();
}

#[test]
fn ctrl_z_is_refused_while_an_operation_runs() {
    let state = tempfile::tempdir().expect("a directory");
    let mut terminal = under_way(state.path());
    terminal.press("\u{1a}");
    terminal.see("this process runs an operation");
    terminal.kill(Signal::TSTP);
    terminal.see("not suspended");
    terminal.see("2 of 2 steps done");
}

#[test]
fn a_terminal_that_takes_nothing_delays_neither_the_operation_nor_the_end() {
    let state = tempfile::tempdir().expect("a directory");
    let mut terminal = under_way(state.path());
    terminal.hold();
    // More frames than the kernel has room for.
    for _ in 0..60 {
        terminal.press("7");
        terminal.press("2");
        terminal.resize((200, 50));
        terminal.resize((190, 50));
    }
    wait_for_operation(state.path(), "done");
    terminal.kill(Signal::TERM);
    assert_eq!(terminal.wait_exit().exit_code(), 0);
    terminal.assert_restored();
}
