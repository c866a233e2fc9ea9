//! The connection to one cluster: made when it is first needed, from the kubeconfig files as they are then, made again
//! when its credentials end, are refused, or its connections are dead.
//!
//! Never asks a server anything by itself, and never infers where to go: one context of given files, nothing else.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use http::HeaderValue;
use k8s_openapi::ByteString;
use kube::config::{AuthInfo, KubeConfigOptions, KubeconfigError};
use kube::{Client, Config};
use serde_json::Value;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::client::Fault;
use super::discover::Files;
use super::exec_auth::{Credential, Plugin};
use crate::domain::text::Text;
use crate::providers::{Calls, Helpers};

/// How long opening a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How many requests wait for the head of their answer at the same time; the eight watches of a cluster are opened at once.
const AT_ONCE: usize = 16;

/// The way to one cluster, shared by all who ask it something.
pub(super) struct Link {
    files: Vec<PathBuf>,
    context: Option<String>,
    helpers: Helpers,
    session: tokio::sync::Mutex<Option<Arc<Session>>>,
    made_at: Instant,
    heard: AtomicU64,
    requests: Semaphore,
    /// Requests sent over it.
    pub calls: Calls,
}

/// One client with the credentials that it was made with.
pub(super) struct Session {
    /// Sends requests; holds its own pool of connections.
    pub client: Client,
    /// What is known of the cluster without asking it.
    pub facts: Facts,
    authorization: Option<HeaderValue>,
    plugin: Option<(Plugin, Arc<Credential>)>,
}

/// What a kubeconfig says of a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Facts {
    /// The context's name.
    pub context: String,
    /// The server's address.
    pub server: String,
    /// The name of the kubeconfig's user.
    pub user: Option<String>,
    /// The context's namespace, else `default`.
    pub namespace: String,
    /// What stands out: `INSECURE`, `impersonating X`.
    pub notes: Vec<Text>,
}

impl Link {
    /// To a context of these files, or to their current one.
    pub(super) fn new(files: Vec<PathBuf>, context: Option<String>, helpers: Helpers) -> Link {
        Link {
            files,
            context,
            helpers,
            session: tokio::sync::Mutex::default(),
            made_at: Instant::now(),
            heard: AtomicU64::new(0),
            requests: Semaphore::new(AT_ONCE),
            calls: Calls::default(),
        }
    }

    /// Waits until one more request may be on its way. Plans of hundreds of steps look at each: the server is not to be
    /// flooded, nor is what others ask to wait behind it.
    pub(super) async fn turn(&self) -> SemaphorePermit<'_> {
        self.requests.acquire().await.expect("it is never closed")
    }

    /// The session that is in force; made now if there is none, or if its credentials have come to their end.
    pub(super) async fn session(&self) -> Result<Arc<Session>, Fault> {
        let mut current = self.session.lock().await;
        if let Some(session) = current.as_ref().filter(|session| !session.is_due()) {
            return Ok(session.clone());
        }
        let session = Arc::new(self.open().await?);
        *current = Some(session.clone());
        Ok(session)
    }

    /// Drops a session whose credentials were refused; the next one reads the files and runs the plugin again.
    pub(super) async fn renounce(&self, refused: &Arc<Session>) {
        if let Some((plugin, credential)) = &refused.plugin {
            plugin.forget(credential).await;
        }
        self.drop_session(Some(refused)).await;
    }

    /// Drops the session with its connections, as after the network was gone.
    pub(super) async fn reset(&self) {
        self.drop_session(None).await;
    }

    /// Something came from the cluster just now.
    pub(super) fn note_heard(&self) {
        self.heard.store(self.made_at.elapsed().as_millis() as u64, Ordering::Relaxed);
    }

    /// Whether something came from the cluster since then.
    pub(super) fn has_heard_since(&self, since: Instant) -> bool {
        let heard = self.made_at + Duration::from_millis(self.heard.load(Ordering::Relaxed));
        heard >= since && heard > self.made_at
    }

    async fn drop_session(&self, only: Option<&Arc<Session>>) {
        let mut current = self.session.lock().await;
        let is_meant = |session: &Arc<Session>| only.is_none_or(|only| Arc::ptr_eq(only, session));
        if current.as_ref().is_some_and(is_meant) {
            *current = None;
        }
    }

    async fn open(&self) -> Result<Session, Fault> {
        let (files, context) = (self.files.clone(), self.context.clone());
        // Files may lie on a slow disk.
        let read = tokio::task::spawn_blocking(move || read_context(&files, context)).await;
        let (kubeconfig, facts) = read.map_err(|error| Fault::misconfigured(&error.to_string()))??;
        let options = KubeConfigOptions { context: Some(facts.context.clone()), ..KubeConfigOptions::default() };
        let config = Config::from_custom_kubeconfig(kubeconfig, &options).await;
        let mut config = config.map_err(|error| Fault::misconfigured(&plain(&error)))?;
        config.default_retry = false;
        config.connect_timeout = Some(CONNECT_TIMEOUT);
        if let Some(provider) = config.auth_info.auth_provider.as_ref().filter(|provider| provider.name != "oidc") {
            return Err(Fault::misconfigured(&format!(
                "its user signs in with auth-provider {}, which is obsolete; use the exec plugin that replaced it",
                provider.name
            )));
        }
        let plugin = match config.auth_info.exec.take() {
            // As kube itself decides: a token or password in the file is used before a plugin.
            Some(exec) if !has_credentials(&config.auth_info) => {
                let plugin = Plugin::of(&exec)?;
                let credential = plugin.credential(self.helpers).await?;
                Some((plugin, credential))
            }
            Some(_) | None => None,
        };
        if let Some((certificate, key)) = plugin.as_ref().and_then(|(_, credential)| credential.certificate.as_ref()) {
            config.auth_info.client_certificate_data = base64(certificate);
            config.auth_info.client_key_data = base64(key).map(Into::into);
        }
        let authorization = plugin.as_ref().and_then(|(_, credential)| credential.authorization.clone());
        // OIDC and token files are read here.
        let client = tokio::task::spawn_blocking(move || super::transport::client(config)).await;
        let client = client.map_err(|error| Fault::misconfigured(&error.to_string()))?;
        let client = client.map_err(|error| Fault::misconfigured(&super::client::chain(&error)))?;
        Ok(Session { client, facts, authorization, plugin })
    }
}

impl Session {
    /// The header that a plugin's token makes; other credentials are added by the client itself.
    pub(super) fn authorization(&self) -> Option<HeaderValue> {
        self.authorization.clone()
    }

    /// How to sign in again.
    pub(super) fn how_to_sign_in(&self) -> String {
        match &self.plugin {
            Some((plugin, _)) => format!("run `{}` in a shell to sign in again", plugin.line()),
            None => {
                let user = self.facts.user.as_deref().unwrap_or("(none)");
                format!("renew the credentials of user {user} in the kubeconfig")
            }
        }
    }

    fn is_due(&self) -> bool {
        let renew_at = self.plugin.as_ref().and_then(|(_, credential)| credential.renew_at);
        renew_at.is_some_and(|at| jiff::Timestamp::now() >= at)
    }
}

fn read_context(files: &[PathBuf], context: Option<String>) -> Result<(kube::config::Kubeconfig, Facts), Fault> {
    let Files { merged, broken } = Files::read(files);
    let faults: String = broken.iter().map(|(_, why)| format!("; {why}")).collect();
    let Some(name) = context.or_else(|| merged.current_context.clone()) else {
        return Err(Fault::misconfigured(&format!(
            "no context is named and the kubeconfig has no current one{faults}"
        )));
    };
    let named = merged.contexts.iter().find(|context| context.name == name);
    let Some(context) = named.and_then(|context| context.context.clone()) else {
        let files: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
        let files = files.join(", ");
        return Err(Fault::misconfigured(&format!("no context {name} in {files}{faults}")));
    };
    let cluster = merged.clusters.iter().find(|cluster| cluster.name == context.cluster);
    let cluster = cluster.and_then(|cluster| cluster.cluster.clone()).unwrap_or_default();
    let user = merged.auth_infos.iter().find(|user| Some(&user.name) == context.user.as_ref());
    let impersonated = user.and_then(|user| user.auth_info.as_ref()?.impersonate.clone());
    let mut notes = Vec::new();
    if cluster.insecure_skip_tls_verify == Some(true) {
        notes.push(Text::new("INSECURE: the server's certificate is not checked"));
    }
    if let Some(impersonated) = impersonated {
        notes.push(Text::new(&format!("impersonating {impersonated}")));
    }
    if let Some(proxy) = &cluster.proxy_url {
        // Without the password that an address may hold.
        let host = proxy.rsplit_once('@').map_or(proxy.as_str(), |(_, host)| host);
        notes.push(Text::new(&format!("through proxy {host}")));
    }
    let facts = Facts {
        context: name,
        server: cluster.server.unwrap_or_default(),
        user: context.user,
        namespace: context.namespace.unwrap_or_else(|| "default".to_string()),
        notes,
    };
    Ok((merged, facts))
}

fn has_credentials(user: &AuthInfo) -> bool {
    user.token.is_some() || user.token_file.is_some() || (user.username.is_some() && user.password.is_some())
}

/// As kubeconfigs hold binary data; the API's own type knows how.
fn base64(text: &str) -> Option<String> {
    match serde_json::to_value(ByteString(text.as_bytes().to_vec())) {
        Ok(Value::String(encoded)) => Some(encoded),
        Ok(_) | Err(_) => None,
    }
}

/// A kubeconfig's fault without the text of the file.
fn plain(error: &KubeconfigError) -> String {
    match error {
        KubeconfigError::Parse(_) => "the kubeconfig can't be read".to_string(),
        other => other.to_string(),
    }
}
