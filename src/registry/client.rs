//! One request to a registry: within its limits, in time, with a bounded answer, and with a token where it wants one.
//!
//! Never follows a registry from HTTPS to plain HTTP, nor to where it has no business; what is sent so that it knows who asks is
//! made in `tokens`.

use std::collections::HashMap;
use std::io::Cursor;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, LINK, LOCATION, RETRY_AFTER, USER_AGENT};
use http::{HeaderMap, Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::Credentials;
use super::documents::is_of;
use super::fault::Fault;
use super::settings::{RegistrySetting, is_loopback};
use super::tokens::{MOST_TOKEN, Tokens};
use crate::domain::image::{Digest, ImageRef};
use crate::domain::text::Text;

/// At once, to one registry.
const AT_ONCE: usize = 4;
/// For one request with its answer.
const LIMIT: Duration = Duration::from_secs(20);
/// A manifest or an index at most (the distribution specification asks registries to take 4 MiB).
const MOST_MANIFEST: usize = 4 << 20;
/// A configuration at most.
const MOST_CONFIG: usize = 8 << 20;
/// How often we go where a registry sends us.
const MOST_REDIRECTS: usize = 3;
/// How long we wait for a registry that asks for it before that is told instead.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// All four kinds that a tag or a digest may stand for. With fewer a registry answers with another digest, or with none.
const MANIFESTS: &str = "application/vnd.oci.image.index.v1+json, application/vnd.docker.distribution.manifest.list.v2+json, \
    application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json";

/// What a list of referrers is.
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

type HttpClient = Client<HttpsConnector<HttpConnector>, Full<Cursor<Vec<u8>>>>;

/// All requests go through it.
pub(super) struct Web {
    settings: Vec<RegistrySetting>,
    pub(super) credentials: Credentials,
    client: HttpClient,
    hosts: Mutex<HashMap<String, Arc<State>>>,
}

/// A registry and a repository there.
pub(super) struct Host {
    /// As references name it.
    pub(super) name: String,
    pub(super) setting: RegistrySetting,
    pub(super) path: String,
    pub(super) state: Arc<State>,
}

/// What is remembered of a registry.
pub(super) struct State {
    permits: Semaphore,
    wait_until: Mutex<Option<Instant>>,
    pub(super) tokens: Tokens,
}

/// One request as it goes out.
pub(super) struct Outgoing<'a> {
    pub(super) method: &'a Method,
    pub(super) uri: &'a Uri,
    pub(super) accept: &'static str,
    /// The `Authorization`, if any.
    pub(super) who: Option<&'a str>,
    /// What is posted; nothing else has a body.
    pub(super) form: Option<String>,
    /// How many bytes of an answer are taken.
    pub(super) most: usize,
}

/// A page of a list.
pub(super) struct Page {
    pub(super) body: Vec<u8>,
    pub(super) next: Next,
}

/// What follows a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// It is the last one.
    None,
    /// Another page, at this path.
    At(String),
    /// Another page, which is not asked for: it is said to be somewhere else.
    Astray,
}

/// What a registry answered.
pub(super) struct Response {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

impl Web {
    pub(super) fn new(settings: Vec<RegistrySetting>, credentials: Credentials) -> Result<Web, Text> {
        let roots = hyper_rustls::HttpsConnectorBuilder::new().with_native_roots();
        let roots =
            roots.map_err(|error| Text::new(&format!("no certificates of this machine can be read: {error}")))?;
        let connector = roots.https_or_http().enable_http1().build();
        let client = Client::builder(TokioExecutor::new()).pool_idle_timeout(Duration::from_secs(30)).build(connector);
        Ok(Web { settings, credentials, client, hosts: Mutex::default() })
    }

    /// The setting of a registry; later ones win.
    pub(super) fn setting_of(&self, registry: &str) -> Option<&RegistrySetting> {
        self.settings.iter().rev().find(|setting| setting.is_about(registry))
    }

    pub(super) fn host(&self, reference: &ImageRef) -> Result<Host, Fault> {
        let (name, path) = reference.registry_and_path();
        let Some(setting) = self.setting_of(&name) else { return Err(Fault::NotConfigured(Text::new(&name))) };
        let mut hosts = self.hosts.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let state = hosts.entry(name.clone()).or_insert_with(|| {
            Arc::new(State {
                permits: Semaphore::new(AT_ONCE),
                wait_until: Mutex::default(),
                tokens: Tokens::default(),
            })
        });
        Ok(Host { setting: setting.clone(), path, state: Arc::clone(state), name })
    }

    /// The digest that a registry says a manifest has; `None` if it does not say.
    pub(super) async fn head(&self, host: &Host, path: &str) -> Result<Option<Digest>, Fault> {
        let response = self.get(host, Method::HEAD, path, MANIFESTS, 0).await?;
        let digest = response.headers.get("docker-content-digest").and_then(|value| value.to_str().ok());
        Ok(digest.and_then(|digest| digest.parse().ok()))
    }

    /// A manifest or an index; its bytes are what `digest` names, if it does.
    pub(super) async fn manifest(&self, host: &Host, path: &str, digest: Option<&Digest>) -> Result<Vec<u8>, Fault> {
        let response = self.get(host, Method::GET, path, MANIFESTS, MOST_MANIFEST).await?;
        host.checked(response, digest)
    }

    /// A configuration.
    pub(super) async fn blob(&self, host: &Host, digest: &Digest) -> Result<Vec<u8>, Fault> {
        let path = format!("/v2/{}/blobs/{digest}", host.path()?);
        let response = self.get(host, Method::GET, &path, "*/*", MOST_CONFIG).await?;
        host.checked(response, Some(digest))
    }

    /// The first page of what refers to a digest, and where the next one is.
    pub(super) async fn referrers(&self, host: &Host, digest: &Digest) -> Result<Page, Fault> {
        let path = format!("/v2/{}/referrers/{digest}", host.path()?);
        match self.page(host, &path).await {
            // Who does not know the API says so in many ways (go-containerregistry, `remote.Referrers`).
            Err(Fault::Status { status: 400 | 405 | 406, .. }) => Err(Fault::Gone),
            page => page,
        }
    }

    /// A page of them. `Gone`: there is no such list.
    pub(super) async fn page(&self, host: &Host, path: &str) -> Result<Page, Fault> {
        let response = self.get(host, Method::GET, path, MANIFESTS, MOST_MANIFEST).await?;
        let kind = response.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        if !kind.starts_with(INDEX) {
            return Err(Fault::Gone);
        }
        let links = response.headers.get_all(LINK).iter().map(|link| link.to_str().unwrap_or_default());
        let links: Vec<&str> = links.collect();
        let next = if links.is_empty() { Next::None } else { host.next_page(path, &links.join(", ")) };
        Ok(Page { body: response.body, next })
    }

    async fn get(
        &self,
        host: &Host,
        method: Method,
        path: &str,
        accept: &'static str,
        most: usize,
    ) -> Result<Response, Fault> {
        let _permit = host.state.permits.acquire().await.map_err(|_| host.unreachable("it is closed"))?;
        let uri = host.uri(path)?;
        for is_last in [false, false, true] {
            host.wait().await?;
            let token = host.state.tokens.of(&host.path);
            let mut response = self.follow(host, &method, &uri, accept, token, most).await?;
            if response.status == StatusCode::UNAUTHORIZED {
                let header = self.authorize(host, &response.headers).await?;
                response = self.follow(host, &method, &uri, accept, Some(header), most).await?;
            }
            if matches!(response.status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
                host.told_to_wait(&response.headers);
                if !is_last {
                    continue;
                }
            }
            return host.sorted(response);
        }
        Err(host.unreachable("it asks to wait again and again"))
    }

    /// One request, and those to where it sends us.
    async fn follow(
        &self,
        host: &Host,
        method: &Method,
        uri: &Uri,
        accept: &'static str,
        token: Option<String>,
        most: usize,
    ) -> Result<Response, Fault> {
        let (mut uri, mut token) = (uri.clone(), token);
        for _ in 0..=MOST_REDIRECTS {
            let outgoing = Outgoing { method, uri: &uri, accept, who: token.as_deref(), form: None, most };
            let response = self.send(host, outgoing).await?;
            let location = response.headers.get(LOCATION).and_then(|value| value.to_str().ok());
            let Some(location) = location.filter(|_| response.status.is_redirection()) else { return Ok(response) };
            let next = host.joined(&uri, location)?;
            // Whoever it sends us to has no business with our token.
            if next.authority() != uri.authority() {
                token = None;
            }
            uri = next;
        }
        Err(host.malformed(Text::new("it sends us in circles")))
    }

    pub(super) async fn send(&self, host: &Host, outgoing: Outgoing<'_>) -> Result<Response, Fault> {
        let Outgoing { method, uri, accept, who, form, most } = outgoing;
        let mut request = Request::builder().method(method).uri(uri).header(ACCEPT, accept);
        request = request.header(USER_AGENT, concat!("rolldeck/", env!("CARGO_PKG_VERSION")));
        if let Some(who) = who {
            request = request.header(AUTHORIZATION, who);
        }
        if form.is_some() {
            request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        }
        let body = Full::new(Cursor::new(form.unwrap_or_default().into_bytes()));
        let request = request.body(body).map_err(|error| host.malformed(Text::new(&error.to_string())))?;
        let exchange = async {
            let response = self.client.request(request).await.map_err(|error| host.unreachable(&chain(&error)))?;
            let (parts, body) = response.into_parts();
            let wanted = if parts.status.is_success() { most } else { MOST_TOKEN };
            let body = match *method == Method::HEAD {
                true => Vec::new(),
                false => Limited::new(body, wanted)
                    .collect()
                    .await
                    .map_err(|error| {
                        host.malformed(Text::new(&format!("its answer breaks off, or is too large: {error}")))
                    })?
                    .to_bytes()
                    .to_vec(),
            };
            Ok(Response { status: parts.status, headers: parts.headers, body })
        };
        let late = || host.unreachable(&format!("no answer within {} s", LIMIT.as_secs()));
        tokio::time::timeout(LIMIT, exchange).await.unwrap_or_else(|_| Err(late()))
    }
}

impl Host {
    /// The repository, if it can be part of an address.
    pub(super) fn path(&self) -> Result<&str, Fault> {
        let is_plain = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-' | b'/');
        let is_name = !self.path.is_empty()
            && self.path.bytes().all(is_plain)
            && self.path.split('/').all(|part| !matches!(part, "" | "." | ".."));
        if is_name { Ok(&self.path) } else { Err(Fault::Name(Text::new(&self.path))) }
    }

    pub(super) fn malformed(&self, why: Text) -> Fault {
        Fault::Malformed { host: Text::new(&self.name), why }
    }

    pub(super) fn unreachable(&self, why: &str) -> Fault {
        Fault::Unreachable { host: Text::new(&self.name), why: Text::new(why) }
    }

    pub(super) fn denied(&self, why: &str) -> Fault {
        Fault::Denied { host: Text::new(&self.name), what: Text::new(&self.path), why: Text::new(why) }
    }

    pub(super) fn astray(&self, to: &str, why: &str) -> Fault {
        Fault::Astray { host: Text::new(&self.name), to: Text::new(to), why: Text::new(why) }
    }

    /// Where its registry is: Docker Hub's name is not its address.
    pub(super) fn authority(&self) -> &str {
        if self.name == "docker.io" { "registry-1.docker.io" } else { &self.name }
    }

    fn uri(&self, path: &str) -> Result<Uri, Fault> {
        let scheme = self.setting.scheme(&self.name);
        format!("{scheme}://{}{path}", self.authority()).parse().map_err(|_| Fault::Name(Text::new(&self.name)))
    }

    /// The page that links name as the next one (RFC 8288; distribution specification, "Listing Referrers"), if it is one of the
    /// same list. Links of which none says so may be a way of saying it that we do not know.
    fn next_page(&self, of: &str, links: &str) -> Next {
        let is_next = |parameters: &str| {
            let mut parameters = parameters.split([';', ',']).map(str::trim);
            let rel = parameters.find_map(|parameter| parameter.strip_prefix("rel=")).unwrap_or_default();
            rel.trim_matches('"').split(' ').any(|rel| rel.eq_ignore_ascii_case("next"))
        };
        let targets = links.split('<').skip(1).filter_map(|link| link.split_once('>'));
        let next = targets.filter(|(_, parameters)| is_next(parameters)).map(|(target, _)| target).next();
        let Some(target) = next else { return Next::Astray };
        let own = format!("{}://{}", self.setting.scheme(&self.name), self.authority());
        let path = target.strip_prefix(&own).unwrap_or(target);
        let list = |path: &str| path.split('?').next().unwrap_or_default().to_string();
        let is_one = list(path) == list(of) && path.parse::<Uri>().is_ok();
        if is_one { Next::At(path.to_string()) } else { Next::Astray }
    }

    /// Where a registry sends us, if we may go there: an image may lie anywhere, but a registry elsewhere has nothing to fetch
    /// on this machine.
    fn joined(&self, from: &Uri, location: &str) -> Result<Uri, Fault> {
        let absolute = match location.starts_with('/') && !location.starts_with("//") {
            true => {
                let authority = from.authority().map_or("", |authority| authority.as_str());
                format!("{}://{authority}{location}", from.scheme_str().unwrap_or("https"))
            }
            false => location.to_string(),
        };
        let next: Uri = absolute.parse().map_err(|_| self.astray(location, "which is no address"))?;
        let authority = next.authority().map(|authority| authority.as_str().to_string());
        let Some(authority) = authority.filter(|authority| !authority.contains('@')) else {
            return Err(self.astray(location, "which is no address to go to"));
        };
        let is_plain = match next.scheme_str() {
            Some("https") => false,
            Some("http") => true,
            _ => return Err(self.astray(location, "which is no address to go to")),
        };
        if is_plain && from.scheme_str() == Some("https") {
            return Err(self.astray(&authority, "by plain HTTP"));
        }
        if is_loopback(&authority) && !is_loopback(&self.name) {
            return Err(self.astray(&authority, "which is this machine"));
        }
        Ok(next)
    }

    /// Waits for as long as the registry has asked for.
    async fn wait(&self) -> Result<(), Fault> {
        let until = *self.state.wait_until.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let Some(left) = until.and_then(|until| until.checked_duration_since(Instant::now())) else { return Ok(()) };
        if left > LONGEST_WAIT {
            return Err(Fault::Throttled { host: Text::new(&self.name), seconds: left.as_secs() });
        }
        tokio::time::sleep(left).await;
        Ok(())
    }

    /// `Retry-After` in seconds; a registry that does not say gets five.
    pub(super) fn told_to_wait(&self, headers: &HeaderMap) {
        let seconds = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
        let wait = Duration::from_secs(seconds.unwrap_or(5).clamp(1, 3600));
        let mut until = self.state.wait_until.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        *until = Some(Instant::now() + wait);
    }

    fn checked(&self, response: Response, digest: Option<&Digest>) -> Result<Vec<u8>, Fault> {
        match digest {
            Some(digest) if !is_of(&response.body, digest) => {
                Err(self.malformed(Text::new(&format!("what it gives for {digest} is something else"))))
            }
            Some(_) | None => Ok(response.body),
        }
    }

    fn sorted(&self, response: Response) -> Result<Response, Fault> {
        let status = response.status;
        match status.as_u16() {
            200..=299 => {
                let kind = response.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
                // A sign-in page answers everything with 200.
                match kind.starts_with("text/html") {
                    true => Err(self.malformed(Text::new("a web page: is this the address of a registry?"))),
                    false => Ok(response),
                }
            }
            404 => Err(Fault::Gone),
            401 | 403 => Err(self.denied(&format!("status {}", status.as_u16()))),
            429 | 503 => {
                let until = *self.state.wait_until.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                let left = until.and_then(|until| until.checked_duration_since(Instant::now())).unwrap_or_default();
                Err(Fault::Throttled { host: Text::new(&self.name), seconds: left.as_secs().max(1) })
            }
            status => Err(Fault::Status { host: Text::new(&self.name), status }),
        }
    }
}

/// An error with what caused it.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
