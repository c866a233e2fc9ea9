//! Starting and leaving: the first frame comes at once, and the terminal is given back as it was.

use super::quick::quick;
use super::terminal::{LARGE, SMALL, Size, Terminal, headless, rolldeck};

fn check(size: Size, no_color: &str) {
    let state = tempfile::tempdir().expect("a directory");
    let mut command = rolldeck(state.path(), &["demo"]);
    command.env("NO_COLOR", no_color);
    let mut terminal = Terminal::open(command, size);
    terminal.see("DRIFT");
    terminal.see("checkout");
    terminal.until("all places but the dark one", |screen| screen.contains("places 5/6 ok"));
    assert!(terminal.modes(vt100::Screen::alternate_screen));
    let has_colours = String::from_utf8_lossy(&terminal.raw()).contains("\u{1b}[38;5;");
    assert_eq!(has_colours, no_color.is_empty(), "NO_COLOR={no_color}");
    terminal.press("q");
    assert_eq!(terminal.wait_exit().exit_code(), 0);
    terminal.assert_restored();
}

#[test]
fn the_demo_shows_drift_and_gives_a_small_terminal_back() {
    check(SMALL, "");
}

#[test]
fn the_demo_shows_drift_and_gives_a_large_terminal_back() {
    check(LARGE, "1");
}

#[test]
fn a_demo_without_a_terminal_says_so_and_writes_no_escape_sequence() {
    let state = tempfile::tempdir().expect("a directory");
    let output = headless(state.path(), &["demo"]);
    let (out, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(2), "{out}{error}");
    assert!(!out.contains('\u{1b}') && !error.contains('\u{1b}'), "{out}{error}");
    assert!(error.contains("terminal"), "{error}");
}

#[test]
fn a_bad_option_stops_before_the_screen_is_taken() {
    let state = tempfile::tempdir().expect("a directory");
    let mut terminal = Terminal::open(rolldeck(state.path(), &["demo", "no-such-scenario"]), SMALL);
    assert_eq!(terminal.wait_exit().exit_code(), 2);
    let raw = String::from_utf8_lossy(&terminal.raw()).into_owned();
    assert!(raw.contains("there is no scenario `no-such-scenario`") && !raw.contains("\u{1b}[?1049h"), "{raw}");
}

#[test]
fn every_screen_opens_by_its_number_and_unknown_keys_say_why() {
    let state = tempfile::tempdir().expect("a directory");
    let mut terminal = quick(state.path());
    for (key, title) in [("2", "FLEET"), ("4", "INSTANCES"), ("5", "OPERATIONS"), ("7", "PLACES"), ("1", "DRIFT")] {
        terminal.press(key);
        terminal.see(&format!(" {title} "));
    }
    terminal.press("z");
    terminal.see("z is not bound here");
    terminal.press("q");
    assert_eq!(terminal.wait_exit().exit_code(), 0);
    terminal.assert_restored();
}

#[test]
fn a_sign_in_plugin_can_neither_draw_on_the_screen_nor_take_its_keys() {
    let state = tempfile::tempdir().expect("a directory");
    let plugin = state.path().join("plugin.sh");
    std::fs::write(
        &plugin,
        "#!/bin/sh\n(echo GOTCHA >/dev/tty) 2>/dev/null\nread word </dev/tty\necho no token >&2\nexit 7\n",
    )
    .expect("written");
    std::fs::set_permissions(&plugin, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("it is ours");
    let kubeconfig = serde_json::json!({"apiVersion": "v1", "kind": "Config", "current-context": "prod",
        "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:9"}}],
        "contexts": [{"name": "prod", "context": {"cluster": "c", "user": "u"}}],
        "users": [{"name": "u", "user": {"exec": {"apiVersion": "client.authentication.k8s.io/v1",
            "interactiveMode": "IfAvailable", "command": plugin.display().to_string()}}}]});
    let file = state.path().join("kubeconfig");
    // JSON is YAML.
    std::fs::write(&file, kubeconfig.to_string()).expect("written");
    let mut terminal = Terminal::open(rolldeck(state.path(), &["--kubeconfig", &file.display().to_string()]), SMALL);
    terminal.press("7");
    terminal.see("its sign-in plugin failed");
    assert!(!String::from_utf8_lossy(&terminal.raw()).contains("GOTCHA"), "{}", terminal.screen());
    terminal.press("q");
    assert_eq!(terminal.wait_exit().exit_code(), 0);
    terminal.assert_restored();
}
