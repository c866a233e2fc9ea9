//! The story that Rolldeck is for, by keys in a real terminal on two real clusters: what is bad is seen, `b` draws the way
//! back, its code starts it, both waves are verified by digest.

use serde_json::json;

use super::desk::{CRASH_LOOP, Desk, NEVER_READY, V41, V42, asked, changes, release, text, wait_bad};
use super::rollback::versions;
use crate::pty::quick::type_code;
use crate::pty::terminal::{LARGE, SMALL, Size, Terminal, rolldeck};
use crate::real::cluster::{User, pair_or_skip};

fn check(test: &str, namespace: &str, size: Size) {
    let Some((eu, us)) = pair_or_skip(test) else { return };
    for (cluster, trouble) in [(eu, CRASH_LOOP), (us, NEVER_READY)] {
        versions(cluster, namespace, 4, &[V41]);
        release(cluster, namespace, V42, Some((trouble, "")));
        wait_bad(cluster, namespace, V42);
    }
    let desk = Desk::at(&[(eu, User::Admin, None), (us, User::Admin, None)]);
    let (kubeconfig, config) = (desk.kubeconfig(), desk.config());
    let path = |path: &std::path::Path| path.to_str().expect("plain").to_owned();
    let arguments = ["--all-contexts", "--kubeconfig", &path(&kubeconfig), "--config", &path(&config)];
    std::fs::create_dir_all(desk.state()).expect("made");
    let mut terminal = Terminal::open(rolldeck(&desk.state(), &arguments), size);
    terminal.see("places 2/2 ok");
    terminal.press(&format!("/ns:{namespace}\r"));
    terminal.until("the row of both clusters", |screen| screen.contains(">") && screen.contains("2/2 places"));
    terminal.press("b");
    terminal.see("wave 2  k8s/prod-us");
    type_code(&mut terminal);
    terminal.see(" running  rollback");
    terminal.see("2 of 2 steps done");
    terminal.see("nothing owed");
    let operation = desk.operation("its end", |operation| operation["state"] == "done");
    assert_eq!(operation["debts"], json!([]));
    for step in operation["steps"].as_array().expect("steps") {
        assert!(text(&step["detail"]).contains("4 of 4 run 9f2c41d0"), "{step}");
    }
    for cluster in [eu, us] {
        assert_eq!(asked(cluster, namespace), V41);
        assert_eq!(changes(cluster, namespace).len(), 1);
    }
    terminal.press("q");
    assert_eq!(terminal.wait_exit().exit_code(), 0);
    terminal.assert_restored();
}

#[test]
fn a_bad_release_goes_back_in_two_clusters_by_keys() {
    check("a_bad_release_goes_back_in_two_clusters_by_keys", "journey-keys", SMALL);
}

#[test]
fn a_bad_release_goes_back_in_two_clusters_by_keys_on_a_large_terminal() {
    check("a_bad_release_goes_back_in_two_clusters_by_keys_on_a_large_terminal", "journey-keys-large", LARGE);
}
