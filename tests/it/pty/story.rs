//! A rollback by keys, from the row to the end line; and all the ways in which a plan is not started.

use super::quick::{QUICK, quick, quick_at, start_rollback, type_code, type_letter, under_way};
use super::terminal::{LARGE, Size, Terminal, operation, wait_for_operation};

fn check_story(size: Size) {
    let state = tempfile::tempdir().expect("a directory");
    let mut terminal = quick_at(state.path(), size);
    terminal.press("b");
    let code = terminal.code();
    type_letter(&mut terminal, code.chars().next().expect("four letters"));
    let wrong = if code.chars().nth(1) == Some('z') { 'y' } else { 'z' };
    terminal.press(&wrong.to_string());
    terminal.see("the field is empty again");
    assert_eq!(terminal.code(), code, "the field is empty, the code the same");
    assert!(operation(state.path()).is_null(), "nothing was started");
    type_code(&mut terminal);
    terminal.see(" running  rollback");
    terminal.press("5");
    terminal.see(" OPERATIONS ");
    terminal.see("2 of 2 steps done");
    terminal.see("nothing owed");
    let done = wait_for_operation(state.path(), "done");
    assert_eq!(done["steps"].as_array().map(Vec::len), Some(2), "{done}");
    terminal.press("1");
    terminal.see("0 of 8 off");
    terminal.press("\u{1b}");
    terminal.until("the end line to be put away", |screen| !screen.contains("steps done"));
    terminal.press("q");
    assert_eq!(terminal.wait_exit().exit_code(), 0);
    terminal.assert_restored();
}

#[test]
fn a_rollback_by_keys_ends_with_every_step_verified() {
    check_story(super::terminal::SMALL);
}

#[test]
fn a_rollback_by_keys_on_a_large_terminal() {
    check_story(LARGE);
}

#[test]
fn the_demos_group_goes_back_to_its_earlier_ami_by_the_same_keys() {
    let state = tempfile::tempdir().expect("a directory");
    let mut terminal = Terminal::demo("bad-release", state.path(), super::terminal::SMALL);
    terminal.see("checkout 3/5 places");
    terminal.press("2");
    terminal.see(" FLEET ");
    terminal.press("/");
    terminal.press("place:aws/use1 svc:checkout");
    terminal.press("\r");
    terminal.see("1 workload, 4 of 20 off");
    terminal.see("16x ami-0c7c9aab v41, 4x v42");
    terminal.press("b");
    terminal.see("checkout: v42 -> v41");
    terminal.see("back to revision 3, v41 ami-0c7c9aab");
    terminal.see("AutoScalingGroup checkout  back to revision 3");
    terminal.see("brake: ends the rollout where it is; what was replaced stays");
    type_code(&mut terminal);
    terminal.see("1 of 1 step done");
    terminal.see("0 of 20 off");
    let done = wait_for_operation(state.path(), "done");
    assert_eq!(done["steps"].as_array().map(Vec::len), Some(1), "{done}");
}

#[test]
fn neither_enter_nor_a_paste_starts_a_plan() {
    let state = tempfile::tempdir().expect("a directory");
    let mut terminal = quick(state.path());
    terminal.press("b");
    let code = terminal.code();
    terminal.press("\r");
    terminal.see("Enter starts nothing");
    terminal.press(&format!("\u{1b}[200~{code}\u{1b}[201~"));
    terminal.see("a paste is refused here");
    // The code with Enter between and after its letters: only three of the four letters count.
    let first: String = code.chars().take(3).collect();
    for letter in first.chars() {
        type_letter(&mut terminal, letter);
        terminal.press("\r");
        terminal.see("Enter starts nothing");
    }
    terminal.press(&format!("\u{1b}[200~{}\u{1b}[201~", &code[3..]));
    terminal.see("a paste is refused here");
    assert_eq!(terminal.code(), code, "the paste emptied the field");
    terminal.press("\u{1b}");
    terminal.until("the plan to close", |screen| !screen.contains("Type the code"));
    assert!(operation(state.path()).is_null(), "nothing was started");
}

#[test]
fn letters_typed_ahead_of_a_plan_do_not_start_it() {
    let state = tempfile::tempdir().expect("a directory");
    let mut terminal = quick(state.path());
    terminal.press("b");
    let code = terminal.code();
    terminal.press("\u{1b}");
    terminal.until("the plan to close", |screen| !screen.contains("Type the code"));
    // The same plan has the same code: whoever knows it and types it blindly starts nothing.
    terminal.press(&format!("b{code}{code}"));
    terminal.see("[____]");
    assert!(operation(state.path()).is_null(), "nothing was started");
    type_code(&mut terminal);
    terminal.see(" running  rollback");
}

#[test]
fn q_during_an_operation_asks_and_escape_stays() {
    let state = tempfile::tempdir().expect("a directory");
    let mut terminal = under_way(state.path());
    terminal.press("q");
    terminal.see("This process runs an operation. Leave it?");
    terminal.press("\u{1b}");
    terminal.until("the question to close", |screen| !screen.contains("Leave it?"));
    assert!(terminal.is_running());
    terminal.see("2 of 2 steps done");
    terminal.press("q");
    assert_eq!(terminal.wait_exit().exit_code(), 0);
    terminal.assert_restored();
}

#[test]
fn q_then_d_goes_on_without_a_screen() {
    let state = tempfile::tempdir().expect("a directory");
    let mut terminal = under_way(state.path());
    answer(&mut terminal, "d");
    terminal.wait_restored();
    terminal.see("goes on without a screen");
    assert!(terminal.is_running());
    assert_eq!(operation(state.path())["state"], "running");
    assert_eq!(terminal.wait_exit().exit_code(), 0);
    terminal.assert_restored();
    assert_eq!(operation(state.path())["state"], "done");
}

#[test]
fn q_then_x_s_stops_where_it_is() {
    let state = tempfile::tempdir().expect("a directory");
    let mut terminal = under_way(state.path());
    answer(&mut terminal, "xs");
    terminal.see("stopped");
    let stopped = wait_for_operation(state.path(), "stopped");
    assert_ne!(stopped["steps"][1]["state"], "verified", "{stopped}");
    terminal.press("q");
    assert_eq!(terminal.wait_exit().exit_code(), 0);
    terminal.assert_restored();
}

/// Asks to leave and answers, again if the answer came before the question could be read.
fn answer(terminal: &mut Terminal, keys: &str) {
    terminal.press("q");
    terminal.see("Leave it?");
    loop {
        terminal.press(keys);
        let mut is_early = false;
        terminal.until("an answer", |screen| {
            is_early = screen.contains("typed before the question was seen");
            is_early || !screen.contains("Leave it?")
        });
        if !is_early {
            return;
        }
        terminal.press("\u{1b}[6~");
        terminal.until("the message to go", |screen| !screen.contains("typed before the question was seen"));
    }
}

#[test]
fn p_holds_an_operation_and_lets_it_go_on() {
    let state = tempfile::tempdir().expect("a directory");
    let mut terminal = under_way(state.path());
    terminal.press("p");
    terminal.see("paused");
    wait_for_operation(state.path(), "paused");
    terminal.press("p");
    terminal.see("2 of 2 steps done");
    terminal.press("q");
    assert_eq!(terminal.wait_exit().exit_code(), 0);
    terminal.assert_restored();
}

#[test]
fn a_plan_after_an_operation_is_refused_or_goes_further_back() {
    let state = tempfile::tempdir().expect("a directory");
    let mut terminal = Terminal::demo(QUICK, state.path(), super::terminal::SMALL);
    terminal.see("checkout");
    start_rollback(&mut terminal);
    terminal.see("2 of 2 steps done");
    terminal.press("2");
    terminal.see(" FLEET ");
    terminal.press("b");
    terminal.until("a refusal", |screen| screen.contains("efused") && !screen.contains("Type the code"));
    assert!(!terminal.screen().contains("-> fae9c134fabd"), "never back to the bad image:\n{}", terminal.screen());
}
