//! Who we are at registries: what the files of docker and podman say, and the helpers that they name.
//!
//! Never shows what a helper printed on its standard error, and never waits for one longer than a while.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use jiff::Timestamp;
use serde::Deserialize;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::away::{self, Group};
use super::config::Registry;
use super::registry_keys::Keys;
use super::text_file;
use crate::domain::text::Text;
use crate::providers::{Helpers, PlaceSpec, Surroundings};
use crate::registry::{Credential, Credentials, Protocol, Registries, RegistrySetting};

/// How long a helper may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Credentials are smaller.
const MOST_BYTES: u64 = 64 << 10;

/// The file of docker, as far as it is about credentials.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct DockerFile {
    auths: BTreeMap<String, Entry>,
    creds_store: Option<String>,
    cred_helpers: BTreeMap<String, String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Entry {
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
    identitytoken: Option<String>,
}

/// What a helper answers.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Helped {
    username: String,
    secret: String,
}

/// The registries of a configuration; `None` where it names none. A cloud's own are read with the credentials of these places,
/// where docker's files say nothing of them.
///
/// # Errors
/// If this machine has no certificates to trust.
pub(super) fn connect(
    configured: &[Registry],
    places: Vec<PlaceSpec>,
    surroundings: Surroundings,
) -> Result<Option<Registries>, Text> {
    if configured.is_empty() {
        return Ok(None);
    }
    let setting = |registry: &Registry| RegistrySetting {
        host: registry.host.clone(),
        protocol: if registry.plain_http { Protocol::PlainHttp } else { Protocol::Https },
        token_hosts: registry.token_hosts.clone(),
    };
    let keys = Arc::new(Keys::of(places, surroundings));
    let credentials: Credentials = Arc::new(move |host| Box::pin(credential_for(host, Arc::clone(&keys))));
    Registries::new(configured.iter().map(setting).collect(), credentials).map(Some)
}

/// Who to be at a host: what its cloud gives, where a cloud keeps it; else, or where it gives nothing, what the first file says that
/// says something. A login with a key of yesterday stays in docker's files, and is good for nothing.
async fn credential_for(host: String, keys: Arc<Keys>) -> Result<Option<Credential>, Text> {
    let of_cloud = keys.credential(&host, Timestamp::now()).await;
    match of_cloud {
        Ok(Some(credential)) => Ok(Some(credential)),
        Ok(None) => of_files(&host).await,
        Err(why) => match of_files(&host).await {
            Ok(Some(credential)) => Ok(Some(credential)),
            Ok(None) | Err(_) => Err(why),
        },
    }
}

async fn of_files(host: &str) -> Result<Option<Credential>, Text> {
    for path in files().into_iter().filter(|path| path.exists()) {
        let shown = path.display();
        let text = text_file::read(&path).map_err(|error| Text::new(&format!("{shown} can't be read: {error}")))?;
        let file: DockerFile =
            // Not the error itself: it may quote what it has found.
            serde_json::from_str(&text).map_err(|error| {
                Text::new(&format!("{shown} is not what docker writes, line {}", error.line()))
            })?;
        if let Some(credential) = file.credential_for(host).await? {
            return Ok(Some(credential));
        }
    }
    Ok(None)
}

/// Where docker and podman keep them, in the order in which their users expect it.
fn files() -> Vec<PathBuf> {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let home = variable("HOME");
    let docker = variable("DOCKER_CONFIG").or_else(|| home.as_ref().map(|home| home.join(".docker")));
    let candidates = [
        variable("REGISTRY_AUTH_FILE"),
        docker.map(|folder| folder.join("config.json")),
        variable("XDG_RUNTIME_DIR").map(|folder| folder.join("containers/auth.json")),
        home.map(|home| home.join(".config/containers/auth.json")),
    ];
    candidates.into_iter().flatten().collect()
}

impl DockerFile {
    async fn credential_for(&self, host: &str) -> Result<Option<Credential>, Text> {
        let names = names_of(host);
        let helper = names.iter().find_map(|name| self.cred_helpers.get(name));
        // A store of another machine's desktop stands in files that are copied; it is no reason to ask nobody.
        let store = self.creds_store.as_ref().filter(|helper| Helpers::is_there(&program_of(helper)));
        if let Some(helper) = helper.or(store) {
            // A store holds it under the name that docker has logged in with.
            for name in &names {
                if let Some(credential) = ask_helper(helper, name).await? {
                    return Ok(Some(credential));
                }
            }
        }
        let entry = names.iter().find_map(|name| self.auths.get(name));
        entry.map_or(Ok(None), |entry| entry.credential(host))
    }
}

/// The names under which docker may have noted a registry.
fn names_of(host: &str) -> Vec<String> {
    let mut names = vec![host.to_string(), format!("https://{host}"), format!("https://{host}/v1/")];
    if host == "docker.io" {
        names.insert(0, "https://index.docker.io/v1/".to_string());
        names.push("index.docker.io".to_string());
    }
    names
}

impl Entry {
    fn credential(&self, host: &str) -> Result<Option<Credential>, Text> {
        // Beside it docker writes a user without a password.
        if let Some(token) = self.identitytoken.as_ref().filter(|token| !token.is_empty()) {
            return Ok(Some(Credential::Identity { token: token.clone() }));
        }
        if let (Some(user), Some(secret)) = (&self.username, &self.password) {
            return Ok(Some(Credential::Password { user: user.clone(), secret: secret.clone() }));
        }
        let Some(auth) = self.auth.as_ref().filter(|auth| !auth.is_empty()) else { return Ok(None) };
        let wrong = || Text::new(&format!("the credentials of {host} in docker's file are not what docker writes"));
        let bytes = base64::engine::general_purpose::STANDARD.decode(auth.trim()).map_err(|_| wrong())?;
        let pair = String::from_utf8(bytes).map_err(|_| wrong())?;
        let (user, secret) = pair.split_once(':').ok_or_else(wrong)?;
        let (user, secret) = (user.to_string(), secret.trim_end_matches('\0').to_string());
        Ok(Some(Credential::Password { user, secret }))
    }
}

fn program_of(helper: &str) -> String {
    format!("docker-credential-{helper}")
}

/// Runs `docker-credential-HELPER get`, without the terminal. A helper that knows nothing of the host ends with a failure, as
/// docker's protocol has it.
async fn ask_helper(helper: &str, name: &str) -> Result<Option<Credential>, Text> {
    let is_name = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_' | '.');
    if helper.is_empty() || !helper.chars().all(is_name) {
        return Err(Text::new("the name of a credential helper in docker's file is no name of a program"));
    }
    let program = program_of(helper);
    if !Helpers::is_there(&program) {
        return Err(Text::new(&format!("{program} is not there, or can't be run")));
    }
    let mut command = away::command(&program);
    command.arg("get").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
    let mut child = command.spawn().map_err(|error| Text::new(&format!("{program} can't be run: {error}")))?;
    // With all that it has started: when it takes too long, and when nobody waits any more.
    let group = Group::of(child.id());
    let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
    let exchange = async {
        if let Some(mut stdin) = stdin {
            // One that reads nothing may know all the same.
            let _ = stdin.write_all(format!("{name}\n").as_bytes()).await;
        }
        let mut bytes = Vec::new();
        if let Some(stdout) = stdout {
            let _ = stdout.take(MOST_BYTES).read_to_end(&mut bytes).await;
        }
        (child.wait().await, bytes)
    };
    match tokio::time::timeout(PATIENCE, exchange).await {
        Ok((Ok(status), bytes)) if status.success() => {
            group.let_go();
            let wrong = || Text::new(&format!("{program} answers with something else than credentials"));
            read(&bytes).ok_or_else(wrong).map(Some)
        }
        Ok(_) => {
            group.let_go();
            Ok(None)
        }
        Err(_) => Err(Text::new(&format!("{program} gave nothing within {} s", PATIENCE.as_secs()))),
    }
}

/// What a helper printed; docker's helpers mark an identity token by the name of its user.
fn read(bytes: &[u8]) -> Option<Credential> {
    let Helped { username, secret } = serde_json::from_slice(bytes).ok()?;
    Some(match username.as_str() {
        "<token>" => Credential::Identity { token: secret },
        _ => Credential::Password { user: username, secret },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn found(file: &str, host: &str) -> Result<Option<Credential>, String> {
        let file: DockerFile = serde_json::from_str(file).expect("JSON");
        file.credential_for(host).await.map_err(|why| why.to_string())
    }

    fn robot() -> Credential {
        Credential::Password { user: "robot".to_string(), secret: "s3cret".to_string() }
    }

    #[tokio::test]
    async fn credentials_are_found_under_every_name_that_docker_gives_a_registry() {
        // robot:s3cret
        let auth = "cm9ib3Q6czNjcmV0";
        let own = Ok(Some(robot()));
        for (name, host) in [
            ("registry.example:5000", "registry.example:5000"),
            ("https://registry.example", "registry.example"),
            ("https://index.docker.io/v1/", "docker.io"),
        ] {
            let file = format!(r#"{{"auths":{{"{name}":{{"auth":"{auth}"}}}}}}"#);
            assert_eq!(found(&file, host).await, own, "{name}");
            assert_eq!(found(&file, "elsewhere.example").await, Ok(None));
        }
        let file = r#"{"auths":{"a":{"username":"robot","password":"s3cret"}}}"#;
        assert_eq!(found(file, "a").await, own);
    }

    #[tokio::test]
    async fn an_identity_token_is_told_from_a_password_and_is_printed_nowhere() {
        // What `az acr login` leaves: a user without a password beside it (00000000-0000-0000-0000-000000000000:).
        let auth = "MDAwMDAwMDAtMDAwMC0wMDAwLTAwMDAtMDAwMDAwMDAwMDAwOg==";
        let file = format!(r#"{{"auths":{{"a":{{"auth":"{auth}","identitytoken":"s3cret"}}}}}}"#);
        let credential = found(&file, "a").await.expect("readable").expect("known");
        assert_eq!(credential, Credential::Identity { token: "s3cret".to_string() });
        assert!(!format!("{credential:?} {:?}", robot()).contains("s3cret"));
        let file = r#"{"auths":{"a":{"identitytoken":"","username":"robot","password":"s3cret"}}}"#;
        assert_eq!(found(file, "a").await, Ok(Some(robot())));
    }

    #[test]
    fn a_helper_says_which_of_the_two_it_gives() {
        let read = |body: &str| super::read(body.as_bytes()).map(|credential| format!("{credential:?}"));
        let token = read(r#"{"ServerURL":"a","Username":"<token>","Secret":"s3cret"}"#);
        assert_eq!(token.as_deref(), Some("Identity { .. }"));
        let password = read(r#"{"ServerURL":"a","Username":"robot","Secret":"s3cret"}"#);
        assert!(password.is_some_and(|password| password.contains("robot") && !password.contains("s3cret")));
        assert_eq!(read("no"), None);
    }

    #[tokio::test]
    async fn what_can_not_be_used_says_so_without_a_secret() {
        for (file, expected) in [
            (r#"{"auths":{"a":{"auth":"czNjcmV0"}}}"#, "are not what docker writes"),
            (r#"{"credHelpers":{"a":"../../bin/sh"}}"#, "no name of a program"),
            (r#"{"credHelpers":{"a":"rolldeck-is-not-there"}}"#, "can't be run"),
        ] {
            let why = found(file, "a").await.expect_err(file);
            assert!(why.contains(expected) && !why.contains("s3cret"), "{why}");
        }
    }
}
