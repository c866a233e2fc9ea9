//! Credential plugins of kubeconfigs (`users[].user.exec`), run by us, once, without a terminal.
//!
//! Never shows what a plugin printed on its standard output: that is where the token is.

use std::collections::HashMap;
use std::process::Stdio;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use http::HeaderValue;
use jiff::{SignedDuration, Timestamp};
use kube::config::{ExecConfig, ExecInteractiveMode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::client::Fault;
use crate::domain::text::Text;
use crate::providers::Helpers;

/// How long a plugin may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a plugin gave. Has no `Debug`: it holds secrets.
pub(super) struct Credential {
    /// The header to send, marked sensitive.
    pub authorization: Option<HeaderValue>,
    /// A client certificate and its key, as PEM.
    pub certificate: Option<(String, String)>,
    /// When it must be fetched again: at 80 % of its life. `None`: it is good until it is refused.
    pub renew_at: Option<Timestamp>,
}

/// A plugin as a kubeconfig names it. Equal plugins share one run and one credential.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Plugin {
    command: String,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    /// `KUBERNETES_EXEC_INFO`, which names the cluster where the plugin asks for it.
    info: String,
    install_hint: Option<String>,
}

type Slot = Arc<tokio::sync::Mutex<Outcome>>;

/// What the last run gave.
#[derive(Default)]
struct Outcome {
    credential: Option<Arc<Credential>>,
    failed: Option<(Instant, Fault)>,
}

/// For so long a failure stands for all who ask: each of them would start the plugin, one after the other.
const FAILURE_STANDS: Duration = Duration::from_secs(5);

impl Plugin {
    /// From a kubeconfig; `cluster` is filled in where `provideClusterInfo` asks for it.
    pub(super) fn of(exec: &ExecConfig) -> Result<Plugin, Fault> {
        let command = exec.command.clone().filter(|command| !command.is_empty());
        let command = command.ok_or_else(|| Fault::misconfigured("its user has an `exec` without a `command`"))?;
        let plugin = Plugin {
            command,
            arguments: exec.args.clone().unwrap_or_default(),
            environment: exec.env.iter().flatten().filter_map(variable).collect(),
            info: info(exec),
            install_hint: exec.install_hint.clone(),
        };
        match exec.interactive_mode {
            Some(ExecInteractiveMode::Always) => Err(Fault::SignIn(Text::new(&format!(
                "its sign-in plugin needs a terminal: run `{}` in a shell first, and set interactiveMode to IfAvailable",
                plugin.line()
            )))),
            Some(ExecInteractiveMode::Never | ExecInteractiveMode::IfAvailable) | None => Ok(plugin),
        }
    }

    /// The credential: the one that is known while it is good, else a new one. Callers at the same time share one run.
    pub(super) async fn credential(&self, helpers: Helpers) -> Result<Arc<Credential>, Fault> {
        let slot = self.slot();
        let mut known = slot.lock().await;
        let is_good = |credential: &Arc<Credential>| credential.renew_at.is_none_or(|at| Timestamp::now() < at);
        if let Some(credential) = known.credential.clone().filter(is_good) {
            return Ok(credential);
        }
        if let Some((_, fault)) = known.failed.as_ref().filter(|(at, _)| at.elapsed() < FAILURE_STANDS) {
            return Err(fault.clone());
        }
        match self.run(helpers).await {
            Ok(credential) => {
                let credential = Arc::new(credential);
                *known = Outcome { credential: Some(credential.clone()), failed: None };
                Ok(credential)
            }
            Err(fault) => {
                known.failed = Some((Instant::now(), fault.clone()));
                Err(fault)
            }
        }
    }

    /// Forgets a credential that was refused; one that came after it stays.
    pub(super) async fn forget(&self, refused: &Arc<Credential>) {
        let slot = self.slot();
        let mut known = slot.lock().await;
        if known.credential.as_ref().is_some_and(|known| Arc::ptr_eq(known, refused)) {
            known.credential = None;
        }
    }

    /// The command as it would be typed, but for what looks like a secret (`--client-secret X`, `--token=X`).
    pub(super) fn line(&self) -> String {
        let mut words = vec![self.command.clone()];
        let mut hides_next = false;
        for argument in &self.arguments {
            let (name, value) =
                argument.split_once('=').map_or((argument.as_str(), None), |(name, value)| (name, Some(value)));
            let is_secret = is_secret(name);
            words.push(match value {
                _ if hides_next => "...".to_string(),
                Some(_) if is_secret => format!("{name}=..."),
                Some(_) | None => argument.clone(),
            });
            hides_next = is_secret && value.is_none() && name.starts_with('-');
        }
        words.join(" ")
    }

    fn slot(&self) -> Slot {
        static KNOWN: OnceLock<Mutex<HashMap<Plugin, Slot>>> = OnceLock::new();
        let mut known = KNOWN.get_or_init(Mutex::default).lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        known.entry(self.clone()).or_default().clone()
    }

    async fn run(&self, helpers: Helpers) -> Result<Credential, Fault> {
        if !Helpers::is_there(&self.command) {
            let hint = self.install_hint.as_deref().map(|hint| format!("; {hint}")).unwrap_or_default();
            let why = format!("its sign-in plugin `{}` is not there, or can't be run{hint}", self.command);
            return Err(Fault::SignIn(Text::new(&why)));
        }
        // A group of its own: a plugin is often a script, and what it waits for must end with it.
        let mut command = (helpers.start)(&self.command);
        command
            .args(&self.arguments)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .env("KUBERNETES_EXEC_INFO", &self.info)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let child = command.spawn().map_err(|error| {
            Fault::SignIn(Text::new(&format!("its sign-in plugin `{}` can't be started: {error}", self.command)))
        })?;
        let mut group = Group { leader: child.id(), end: helpers.end };
        let output = tokio::time::timeout(PATIENCE, child.wait_with_output()).await;
        if output.is_ok() {
            group.leader = None;
        }
        let output = output.map_err(|_| {
            let seconds = PATIENCE.as_secs();
            Fault::SignIn(Text::new(&format!(
                "its sign-in plugin did not end within {seconds} s: run `{}` in a shell to see what it waits for",
                self.line()
            )))
        })?;
        let output = output.map_err(|error| {
            Fault::SignIn(Text::new(&format!("its sign-in plugin `{}` can't be read: {error}", self.command)))
        })?;
        if !output.status.success() {
            let said = presentable(&String::from_utf8_lossy(&output.stderr));
            return Err(Fault::SignIn(Text::new(&format!(
                "its sign-in plugin failed ({}): {said}; run `{}` in a shell to sign in again",
                output.status,
                self.line()
            ))));
        }
        read(&output.stdout).map_err(|what| {
            let line = self.line();
            Fault::SignIn(Text::new(&format!("its sign-in plugin {what}; run `{line}` in a shell to see what it says")))
        })
    }
}

/// What a plugin has started; ended with it where it takes too long or nobody waits for it any more.
struct Group {
    leader: Option<u32>,
    end: fn(u32),
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(leader) = self.leader {
            (self.end)(leader);
        }
    }
}

#[derive(Deserialize)]
struct ExecCredential {
    status: Option<Status>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    token: Option<String>,
    client_certificate_data: Option<String>,
    client_key_data: Option<String>,
    expiration_timestamp: Option<Timestamp>,
}

/// Reads a plugin's output. What is wrong with it is said without quoting it.
fn read(output: &[u8]) -> Result<Credential, String> {
    let parsed: ExecCredential = serde_json::from_slice(output)
        .map_err(|error| format!("printed no ExecCredential (line {}, column {})", error.line(), error.column()))?;
    let status = parsed.status.ok_or("printed an ExecCredential without a status")?;
    let authorization = match status.token.filter(|token| !token.is_empty()) {
        Some(token) => {
            let mut header = HeaderValue::try_from(format!("Bearer {}", token.trim()))
                .map_err(|_| "printed a token with characters that can't be sent")?;
            header.set_sensitive(true);
            Some(header)
        }
        None => None,
    };
    let certificate = status.client_certificate_data.zip(status.client_key_data);
    if authorization.is_none() && certificate.is_none() {
        return Err("printed neither a token nor a certificate".to_string());
    }
    let now = Timestamp::now();
    let renew_at = status.expiration_timestamp.map(|end| {
        let life = end.duration_since(now).max(SignedDuration::ZERO);
        now.checked_add(life * 4 / 5).unwrap_or(end)
    });
    Ok(Credential { authorization, certificate, renew_at })
}

/// What a plugin wrote to its standard error: its end, without anything that is or may be a secret.
fn presentable(said: &str) -> String {
    const LONGEST: usize = 300;
    let words: Vec<&str> = said.split_whitespace().collect();
    let text = without_tokens(&without_values(&words.join(" ")));
    let skipped = text.chars().count().saturating_sub(LONGEST);
    if text.is_empty() { "it said nothing".to_string() } else { text.chars().skip(skipped).collect() }
}

/// Whether a name is that of a secret: an option, a field of JSON, a part of a query.
fn is_secret(name: &str) -> bool {
    let name = name.to_lowercase();
    ["secret", "token", "pass", "key", "assertion", "jwt", "verifier", "credential"]
        .iter()
        .any(|word| name.contains(word))
}

/// Leaves out what follows the name of a secret: `name=value`, `"name": "value"`, `name: value`.
fn without_values(text: &str) -> String {
    let is_name = |letter: &char| letter.is_alphanumeric() || matches!(letter, '_' | '-');
    let mut shown = String::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let end = rest.find(|letter: char| !is_name(&letter)).unwrap_or(rest.len());
        if end == 0 {
            shown.push(first);
            rest = &rest[first.len_utf8()..];
            continue;
        }
        let name = &rest[..end];
        shown.push_str(name);
        rest = &rest[end..];
        let gap = rest.find(|letter: char| !matches!(letter, '"' | '\'' | ' ' | '=' | ':')).unwrap_or(rest.len());
        if is_secret(name) && rest[..gap].contains(['=', ':']) {
            shown.push_str(&rest[..gap]);
            rest = &rest[gap..];
            let is_end = |letter: char| letter.is_whitespace() || matches!(letter, '"' | '\'' | '&' | ',' | '}' | ';');
            rest = &rest[rest.find(is_end).unwrap_or(rest.len())..];
            shown.push_str("...");
        }
    }
    shown
}

/// Leaves out every run of letters that looks like a token, wherever it stands: long, and no part of an address or path.
fn without_tokens(text: &str) -> String {
    let is_part = |letter: char| letter.is_ascii_alphanumeric() || "._-+/=~".contains(letter);
    let is_random = |part: &str| {
        let has = |test: fn(&u8) -> bool| part.bytes().any(|byte| test(&byte));
        part.len() >= 32 || (part.len() >= 20 && has(u8::is_ascii_digit) && has(u8::is_ascii_alphabetic))
    };
    let mut shown = String::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let end = rest.find(|letter| !is_part(letter)).unwrap_or(rest.len());
        if end == 0 {
            shown.push(first);
            rest = &rest[first.len_utf8()..];
            continue;
        }
        let run = &rest[..end];
        shown.push_str(if run.split(['/', '.', '=']).any(is_random) { "[left out]" } else { run });
        rest = &rest[end..];
    }
    shown
}

fn variable(entry: &HashMap<String, String>) -> Option<(String, String)> {
    Some((entry.get("name")?.clone(), entry.get("value")?.clone()))
}

fn info(exec: &ExecConfig) -> String {
    let mut spec = json!({"interactive": false});
    if let Some(cluster) = exec.cluster.as_ref().filter(|_| exec.provide_cluster_info) {
        spec["cluster"] = serde_json::to_value(cluster).unwrap_or(Value::Null);
    }
    json!({"apiVersion": exec.api_version, "kind": "ExecCredential", "spec": spec}).to_string()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    /// A plugin that is a shell script in a folder of the test's own.
    fn plugin(folder: &std::path::Path, script: &str) -> Plugin {
        use std::os::unix::fs::PermissionsExt as _;
        let path = folder.join("plugin");
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).expect("written");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("made executable");
        let command = path.display().to_string();
        let exec: ExecConfig = serde_json::from_value(json!({"apiVersion": "client.authentication.k8s.io/v1",
            "command": command, "args": ["--quiet"], "env": [{"name": "EXTRA", "value": "given"}], "interactiveMode": "IfAvailable"}))
        .expect("as a kubeconfig has it");
        Plugin::of(&exec).unwrap_or_else(|fault| panic!("{fault}"))
    }

    async fn refused(script: &str) -> String {
        let folder = tempfile::tempdir().expect("a folder");
        match plugin(folder.path(), script).credential(Helpers::default()).await {
            Err(Fault::SignIn(text)) => text.to_string(),
            Err(other) => panic!("{other:?}"),
            Ok(_) => panic!("it gave a credential"),
        }
    }

    #[tokio::test]
    async fn a_plugin_runs_once_without_a_terminal_and_again_when_it_was_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let plugin = plugin(
            folder.path(),
            r#"[ "$EXTRA $1" = "given --quiet" ] || exit 3
            case $KUBERNETES_EXEC_INFO in *'"interactive":false'*) ;; *) exit 4 ;; esac
            [ -z "$(cat)" ] || exit 5
            echo run >>"$0.runs"
            echo '{"kind": "ExecCredential", "status": {"token": "t-'$(wc -l <"$0.runs" | tr -d ' ')'"}}'"#,
        );
        let header = |credential: &Arc<Credential>| {
            let header = credential.authorization.clone().expect("a token");
            assert!(header.is_sensitive() && !format!("{header:?}").contains("t-"));
            header.to_str().expect("plain").to_string()
        };
        let (first, same) = tokio::join!(plugin.credential(Helpers::default()), plugin.credential(Helpers::default()));
        let (first, same) =
            (first.unwrap_or_else(|fault| panic!("{fault}")), same.unwrap_or_else(|fault| panic!("{fault}")));
        assert!(Arc::ptr_eq(&first, &same));
        assert_eq!(header(&first), "Bearer t-1");
        plugin.forget(&first).await;
        plugin.forget(&first).await;
        let second = plugin.credential(Helpers::default()).await.unwrap_or_else(|fault| panic!("{fault}"));
        assert_eq!(header(&second), "Bearer t-2");
    }

    #[tokio::test]
    async fn what_a_failing_plugin_printed_is_not_shown_but_what_it_said_is() {
        let text = refused("echo s3cret-canary; printf 'session \\033[31mexpired' >&2; exit 7").await;
        assert!(text.contains("exit status: 7") && text.contains("session ?[31mexpired"), "{text}");
        assert!(text.contains("--quiet") && !text.contains("s3cret-canary"), "{text}");
        let text = refused("echo s3cret-canary").await;
        assert!(text.contains("printed no ExecCredential") && !text.contains("s3cret-canary"), "{text}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_plugin_that_does_not_end_is_ended() {
        let text = refused("exec sleep 1000").await;
        assert!(text.contains("did not end within 30 s"), "{text}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_plugin_has_started_is_ended_with_it() {
        static ENDED: AtomicU32 = AtomicU32::new(0);
        let note = Helpers { end: |leader| ENDED.store(leader, Ordering::SeqCst), ..Helpers::default() };
        let folder = tempfile::tempdir().expect("a folder");
        assert!(plugin(folder.path(), "exec sleep 1000 # late").credential(note).await.is_err());
        assert_ne!(ENDED.load(Ordering::SeqCst), 0);
    }

    #[tokio::test]
    async fn what_a_plugin_leaves_behind_that_has_ended_by_itself_is_left_alone() {
        static ENDED: AtomicU32 = AtomicU32::new(0);
        let note = Helpers { end: |leader| ENDED.store(leader, Ordering::SeqCst), ..Helpers::default() };
        let folder = tempfile::tempdir().expect("a folder");
        assert!(plugin(folder.path(), "exit 1").credential(note).await.is_err());
        assert_eq!(ENDED.load(Ordering::SeqCst), 0);
    }

    #[test]
    fn a_plugin_that_needs_a_terminal_is_not_run() {
        let exec: ExecConfig =
            serde_json::from_value(json!({"command": "login", "args": ["now"], "interactiveMode": "Always"}))
                .expect("exec");
        assert!(
            matches!(Plugin::of(&exec), Err(Fault::SignIn(text)) if text.contains("run `login now` in a shell first"))
        );
        assert!(matches!(Plugin::of(&ExecConfig::default()), Err(Fault::Misconfigured(_))));
    }

    #[test]
    fn secrets_among_the_arguments_are_not_part_of_the_line_that_is_shown() {
        let arguments = ["get-token", "--client-secret", "s3cret-canary", "--token=s3cret-canary", "--cluster=shop"];
        let exec: ExecConfig =
            serde_json::from_value(json!({"command": "login", "args": arguments, "interactiveMode": "Never"}))
                .expect("exec");
        let line = Plugin::of(&exec).unwrap_or_else(|fault| panic!("{fault}")).line();
        assert_eq!(line, "login get-token --client-secret ... --token=... --cluster=shop");
    }

    #[test]
    fn an_output_that_makes_no_sense_is_described_and_not_quoted() {
        for (output, said) in [
            ("s3cret-canary", "printed no ExecCredential (line 1, column 1)"),
            ("{}", "printed an ExecCredential without a status"),
            (r#"{"status": {"token": "s3cret-canary\n\u0007"}}"#, "printed a token with characters that can't be sent"),
            (r#"{"status": {"clientKeyData": "s3cret-canary"}}"#, "printed neither a token nor a certificate"),
        ] {
            assert_eq!(read(output.as_bytes()).err().as_deref(), Some(said));
        }
    }

    #[test]
    fn a_credential_is_renewed_at_four_fifths_of_its_life() {
        let end = Timestamp::now() + SignedDuration::from_secs(1000);
        let output = json!({"status": {"token": "t", "expirationTimestamp": end}}).to_string();
        let credential = read(output.as_bytes()).unwrap_or_else(|what| panic!("{what}"));
        let left = end.duration_since(credential.renew_at.expect("it ends"));
        assert!((195..=201).contains(&left.as_secs()), "{left}");
    }

    #[test]
    fn what_looks_like_a_token_is_left_out_of_what_a_plugin_said() {
        let token = "eyJhbGciOiJSUzI1NiIsImtpZCI6IjEifQ.eyJzdWIiOiJ4In0.c2lnbmF0dXJl";
        let said = presentable(&format!("expired: {token}\n\u{1b}[31mvisit https://example.com/device?code=ABCD-EFGH"));
        assert!(!said.contains("eyJ") && said.contains("https://example.com/device?code=ABCD-EFGH"), "{said}");
        assert_eq!(presentable(" \n"), "it said nothing");
        let said = presentable("the refresh token has expired; password: hunter2, run `login --account 7`");
        assert_eq!(said, "the refresh token has expired; password: ..., run `login --account 7`");
    }

    proptest::proptest! {
        #[test]
        fn a_secret_does_not_show_in_whatever_shape_a_plugin_says_it(canary in "[A-Za-z0-9_-]{40}", short in "[a-z0-9]{8}") {
            for said in [
                canary.clone(),
                format!("Bearer {canary}"),
                format!("{{\"refresh_token\":\"0.{canary}\"}}"),
                format!("token=\"{canary}\""),
                format!("https://idp.example/cb?state=1&code={canary}&session=2"),
                format!("(see {canary}/{canary}=={canary})"),
            ] {
                proptest::prop_assert!(!presentable(&said).contains(&canary[..20]), "{}", presentable(&said));
            }
            for said in [
                format!("client_secret={short}&x=1"),
                format!("{{\"password\": \"{short}\"}}"),
                format!("--client-assertion={short}"),
                format!("api-key: {short}"),
            ] {
                proptest::prop_assert!(!presentable(&said).contains(&short), "{}", presentable(&said));
            }
        }
    }
}
