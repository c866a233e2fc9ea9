//! Commands whose progress nobody reads: a full pipe at stderr delays neither the operation nor the end.
//!
//! Never sleeps: the child is waited for, and killed if it is in vain.

use std::io::{PipeReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use serde_json::Value;

use crate::pty::quick::QUICK;
use crate::pty::terminal::PATIENCE;
use crate::real::cluster::wait;

fn rolldeck(state: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rolldeck"));
    command.arg("--state-dir").arg(state).args(arguments).args(["--demo", QUICK, "--output", "json"]);
    command.env("HOME", state).env_remove("KUBECONFIG").stdin(Stdio::null());
    command
}

/// A pipe that is full, and the end that nobody reads.
fn full_pipe() -> (PipeReader, Stdio) {
    let (reader, mut writer) = std::io::pipe().expect("the system has pipes");
    let flags = fcntl_getfl(&writer).expect("it has flags");
    fcntl_setfl(&writer, flags | OFlags::NONBLOCK).expect("they can be set");
    while writer.write(&[b'.'; 512]).is_ok() {}
    while writer.write(b".").is_ok() {}
    fcntl_setfl(&writer, flags).expect("they can be set");
    (reader, writer.into())
}

/// Runs a command to its end with a stderr that takes nothing. Its exit code and what it answered.
fn unread(state: &Path, arguments: &[&str]) -> (Option<i32>, Vec<u8>) {
    let (_nobody_reads, stderr) = full_pipe();
    let mut child =
        rolldeck(state, arguments).stdout(Stdio::piped()).stderr(stderr).spawn().expect("the program can be run");
    let mut status = None;
    wait("the command to end", PATIENCE, || {
        status = child.try_wait().expect("a child can be waited for");
        status.is_some()
    });
    let output = child.wait_with_output().expect("it has ended");
    (status.and_then(|status| status.code()), output.stdout)
}

#[test]
fn an_operation_goes_on_and_ends_although_nobody_reads_its_progress() {
    let state = tempfile::tempdir().expect("a directory");
    let plan = rolldeck(state.path(), &["plan", "rollback", "checkout"]).output().expect("the program can be run");
    let plan: Value = serde_json::from_slice(&plan.stdout).expect("a plan");
    let (id, code) = (plan["plan"].as_str().expect("an id"), plan["code"].as_str().expect("a code"));
    let (exit, answer) = unread(state.path(), &["apply", id, "--code", code]);
    let answer: Value = serde_json::from_slice(&answer).expect("an operation");
    assert_eq!((exit, &answer["state"]), (Some(0), &Value::from("done")), "{answer}");
}

#[test]
fn an_error_that_nobody_reads_still_ends_the_process() {
    let state = tempfile::tempdir().expect("a directory");
    let (exit, answer) = unread(state.path(), &["watch", "o-none"]);
    assert_eq!((exit, answer.len()), (Some(2), 0));
}
