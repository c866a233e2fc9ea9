//! What may be asked of a cluster: `Reads` can look, review permissions and watch; `Writes` can change something, and
//! exists only where mutations are allowed.
//!
//! Never sends a request a second time, except after an answer that proves that nothing was done (401).

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::header::{ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_TYPE, HeaderValue, RETRY_AFTER, WARNING};
use http::{Method, Request, Response};
use http_body_util::BodyExt as _;
use kube::client::Body;
use serde::Deserialize;
use serde_json::{Value, json};
use thiserror::Error;
use tokio::time::timeout;

use super::connect::{Facts, Link, Session};
use super::stream::{Items, Lines};
use crate::domain::text::Text;
use crate::providers::{Mutations, Sink};

/// Longest answer to one request, unpacked, that is held as a whole: the ReplicaSets of a namespace.
const LONGEST_ANSWER: usize = 128 << 20;
/// How long a request that changes something may take: as long as the API server itself gives one.
const CHANGE_TIMEOUT: Duration = Duration::from_secs(60);
/// Longest `Retry-After` that is obeyed: a server that asks for more is asked again sooner.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(120);

/// Why a request had no good answer.
#[derive(Clone, Debug, Error)]
pub(super) enum Fault {
    /// The kubeconfig can't be used.
    #[error("{0}")]
    Misconfigured(Text),
    /// The credentials are not accepted; says how to sign in.
    #[error("{0}")]
    SignIn(Text),
    /// No connection: the request never left.
    #[error("{0}")]
    NotSent(Text),
    /// It was sent, or may have been, and no whole answer came.
    #[error("{0}")]
    NoAnswer(Text),
    /// The server said no.
    #[error("{0}")]
    Refused(Box<Refusal>),
    /// The answer can't be understood.
    #[error("{0}")]
    Malformed(Text),
}

/// A server's `Status`.
#[derive(Clone, Debug, Error)]
#[error("{message} ({code})")]
pub(super) struct Refusal {
    /// The HTTP status.
    pub code: u16,
    /// Why, in the API's own word (`Forbidden`, `Conflict`).
    pub reason: Text,
    /// Why, in words.
    pub message: Text,
    /// Causes: reason and message.
    pub causes: Vec<(Text, Text)>,
    /// How long the server asks to be left alone (`Retry-After`, seconds; a server that is busy sends it).
    pub retry_after: Option<Duration>,
}

/// Looks at a cluster. Has no way to change anything: reviews of permissions are created, and kept nowhere.
#[derive(Clone)]
pub(super) struct Reads(Arc<Link>);

/// Changes a cluster.
pub(super) struct Writes(Arc<Link>);

/// A question about permissions; the server answers and keeps nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Review {
    /// May we do this?
    Access,
    /// Who are we?
    Myself,
}

/// How a PATCH is to be understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Patch {
    /// Lists of things with names are merged by those. The server's own kinds alone have that.
    Strategic,
    /// Maps are merged, all else is replaced (RFC 7386).
    Merge,
}

/// Whether a change is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meant {
    /// It is.
    Really,
    /// The server shall go through all of it and then not do it.
    Rehearsal,
}

/// The answer to a change.
pub(super) struct Answered {
    /// The object as it is after the change.
    pub body: Vec<u8>,
    /// The server's `Warning` headers.
    pub warnings: Vec<Text>,
}

struct Ask<'a> {
    method: Method,
    path: &'a str,
    body: Option<(&'static str, Vec<u8>)>,
    encoding: Encoding,
}

/// Whether an answer may be packed. Watches are not: a packed event waits in the packer.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Encoding {
    Any,
    Identity,
}

impl Reads {
    /// Over this link.
    pub(super) fn new(link: Arc<Link>) -> Reads {
        Reads(link)
    }

    /// What the kubeconfig says of the cluster.
    pub(super) async fn facts(&self) -> Result<Facts, Fault> {
        Ok(self.0.session().await?.facts.clone())
    }

    /// One GET, its answer as a whole.
    pub(super) async fn get(&self, path: &str, limit: Duration) -> Result<Vec<u8>, Fault> {
        let ask = Ask { method: Method::GET, path, body: None, encoding: Encoding::Any };
        within(limit, async { collect(&self.0, send(&self.0, &ask).await?).await }).await
    }

    /// A page of a list, to be read item by item.
    pub(super) async fn page(&self, path: &str) -> Result<Items, Fault> {
        let ask = Ask { method: Method::GET, path, body: None, encoding: Encoding::Any };
        Ok(Items::new(self.0.clone(), send(&self.0, &ask).await?.into_body()))
    }

    /// One GET, understood.
    pub(super) async fn get_json(&self, path: &str, limit: Duration) -> Result<Value, Fault> {
        understood(&self.get(path, limit).await?)
    }

    /// Opens a watch.
    pub(super) async fn watch(&self, path: &str, limit: Duration) -> Result<Lines, Fault> {
        let ask = Ask { method: Method::GET, path, body: None, encoding: Encoding::Identity };
        let response = within(limit, send(&self.0, &ask)).await?;
        Ok(Lines::new(self.0.clone(), response.into_body()))
    }

    /// Asks about our permissions or our name.
    pub(super) async fn review(&self, review: Review, spec: Value, limit: Duration) -> Result<Value, Fault> {
        let (group, kind, path) = match review {
            Review::Access => ("authorization.k8s.io/v1", "SelfSubjectAccessReview", "selfsubjectaccessreviews"),
            Review::Myself => ("authentication.k8s.io/v1", "SelfSubjectReview", "selfsubjectreviews"),
        };
        let mut body = json!({"apiVersion": group, "kind": kind});
        if !spec.is_null() {
            body["spec"] = spec;
        }
        let path = format!("/apis/{group}/{path}");
        let body = Some(("application/json", body.to_string().into_bytes()));
        let ask = Ask { method: Method::POST, path: &path, body, encoding: Encoding::Any };
        let answer = within(limit, async { collect(&self.0, send(&self.0, &ask).await?).await }).await?;
        understood(&answer)
    }

    /// Whether something came from the cluster since then, on any connection.
    pub(super) fn has_heard_since(&self, since: Instant) -> bool {
        self.0.has_heard_since(since)
    }

    /// Tells how many requests are sent to the cluster, by whomever. Never ends.
    pub(super) async fn tell_calls(&self, sink: &Sink) {
        self.0.calls.tell(sink, jiff::Timestamp::now).await;
    }

    /// Leaves all connections, so that the next request opens new ones.
    pub(super) async fn reset(&self) {
        self.0.reset().await;
    }
}

impl Writes {
    /// The one way to be able to change something.
    pub(super) fn new(link: Arc<Link>, mutations: Mutations) -> Option<Writes> {
        match mutations {
            Mutations::Allowed => Some(Writes(link)),
            Mutations::Forbidden => None,
        }
    }

    /// One PATCH of an object.
    pub(super) async fn patch(&self, patch: Patch, path: &str, body: &Value, meant: Meant) -> Result<Answered, Fault> {
        let path = format!("{path}?fieldManager=rolldeck&fieldValidation=Strict{}", meant.query());
        self.change(Method::PATCH, &path, patch.content_type(), body).await
    }

    /// One JSON merge PATCH of an object: what custom resources understand.
    pub(super) async fn merge(&self, path: &str, body: &Value, meant: Meant) -> Result<Answered, Fault> {
        let path = format!("{path}?fieldManager=rolldeck&fieldValidation=Strict{}", meant.query());
        self.change(Method::PATCH, &path, "application/merge-patch+json", body).await
    }

    /// One eviction of a pod. The body is our own: kube's has a misspelt field that makes the server drop the precondition.
    pub(super) async fn evict(&self, pod_path: &str, body: &Value, meant: Meant) -> Result<Answered, Fault> {
        let path = format!("{pod_path}/eviction?fieldManager=rolldeck{}", meant.query());
        self.change(Method::POST, &path, "application/json", body).await
    }

    async fn change(&self, method: Method, path: &str, kind: &'static str, body: &Value) -> Result<Answered, Fault> {
        let body = Some((kind, body.to_string().into_bytes()));
        let ask = Ask { method, path, body, encoding: Encoding::Any };
        within(CHANGE_TIMEOUT, async {
            let response = send(&self.0, &ask).await?;
            let headers = response.headers().get_all(WARNING).iter();
            let warnings = headers.filter_map(|value| value.to_str().ok()).map(warning).collect();
            // The server has done it by now: what is cut off here is an answer, not the change.
            Ok(Answered { body: collect(&self.0, response).await?, warnings })
        })
        .await
    }
}

impl Fault {
    /// The kubeconfig can't be used.
    pub(super) fn misconfigured(why: &str) -> Fault {
        Fault::Misconfigured(Text::new(why))
    }

    /// The HTTP status of a refusal, else 0.
    pub(super) fn code(&self) -> u16 {
        match self {
            Fault::Refused(refusal) => refusal.code,
            Fault::Misconfigured(_)
            | Fault::SignIn(_)
            | Fault::NotSent(_)
            | Fault::NoAnswer(_)
            | Fault::Malformed(_) => 0,
        }
    }

    /// How long the server asks to be left alone.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self {
            Fault::Refused(refusal) => refusal.retry_after,
            Fault::Misconfigured(_)
            | Fault::SignIn(_)
            | Fault::NotSent(_)
            | Fault::NoAnswer(_)
            | Fault::Malformed(_) => None,
        }
    }

    /// It, as a text.
    pub(super) fn text(&self) -> Text {
        Text::new(&self.to_string())
    }
}

impl Patch {
    fn content_type(self) -> &'static str {
        match self {
            Patch::Strategic => "application/strategic-merge-patch+json",
            Patch::Merge => "application/merge-patch+json",
        }
    }
}

impl Meant {
    fn query(self) -> &'static str {
        match self {
            Meant::Really => "",
            Meant::Rehearsal => "&dryRun=All",
        }
    }
}

/// The texts of an error and of what caused it, without repetition.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        cause = error.source();
    }
    text
}

/// A JSON answer.
pub(super) fn understood(bytes: &[u8]) -> Result<Value, Fault> {
    serde_json::from_slice(bytes).map_err(|error| malformed(&error))
}

/// An answer that can't be read; where, not what.
pub(super) fn malformed(error: &serde_json::Error) -> Fault {
    let (line, column) = (error.line(), error.column());
    Fault::Malformed(Text::new(&format!("its answer can't be understood (line {line}, column {column})")))
}

async fn within<T>(limit: Duration, work: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
    let late = || Fault::NoAnswer(Text::new(&format!("no answer within {} s", limit.as_secs())));
    timeout(limit, work).await.unwrap_or_else(|_| Err(late()))
}

async fn send(link: &Arc<Link>, ask: &Ask<'_>) -> Result<Response<Body>, Fault> {
    let session = link.session().await?;
    let response = send_once(link, &session, ask).await?;
    if response.status() != http::StatusCode::UNAUTHORIZED {
        return good(link, &session, response).await;
    }
    // Nothing was done. The plugin may give a new token, or somebody has signed in again meanwhile.
    link.renounce(&session).await;
    let session = link.session().await?;
    let response = send_once(link, &session, ask).await?;
    good(link, &session, response).await
}

async fn send_once(link: &Arc<Link>, session: &Session, ask: &Ask<'_>) -> Result<Response<Body>, Fault> {
    let mut request = Request::builder().method(ask.method.clone()).uri(ask.path);
    request = request.header(ACCEPT, HeaderValue::from_static("application/json"));
    if ask.encoding == Encoding::Identity {
        request = request.header(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    }
    if let Some(authorization) = session.authorization() {
        request = request.header(AUTHORIZATION, authorization);
    }
    let body = match &ask.body {
        Some((kind, body)) => {
            request = request.header(CONTENT_TYPE, HeaderValue::from_static(kind));
            Body::from(body.clone())
        }
        None => Body::empty(),
    };
    let request = request.body(body).map_err(|error| Fault::misconfigured(&error.to_string()))?;
    let response = {
        let _turn = link.turn().await;
        link.calls.note();
        session.client.send(request).await.map_err(|error| sort(&error))?
    };
    link.note_heard();
    Ok(response)
}

/// Sorts what went wrong before an answer by whether the request can have left this machine.
fn sort(error: &kube::Error) -> Fault {
    let text = Text::new(&format!("no answer: {}", chain(root(error))));
    let mut cause = Some(error as &dyn std::error::Error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<hyper_util::client::legacy::Error>() {
            return if error.is_connect() { Fault::NotSent(text) } else { Fault::NoAnswer(text) };
        }
        cause = error.source();
    }
    match error {
        kube::Error::Auth(_) => Fault::SignIn(text),
        _ => Fault::NoAnswer(text),
    }
}

/// The part of an error that a reader can use: without the names of layers.
fn root(error: &kube::Error) -> &dyn std::error::Error {
    match error {
        kube::Error::Service(service) => service.source().unwrap_or(service.as_ref()),
        other => other,
    }
}

async fn good(link: &Arc<Link>, session: &Session, response: Response<Body>) -> Result<Response<Body>, Fault> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let asked = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    let body = collect(link, response).await.unwrap_or_default();
    if status == http::StatusCode::UNAUTHORIZED {
        let how = session.how_to_sign_in();
        return Err(Fault::SignIn(Text::new(&format!("the server does not accept the credentials; {how}"))));
    }
    let retry_after = asked.map(|seconds: u64| Duration::from_secs(seconds).min(LONGEST_RETRY_AFTER));
    Err(Fault::Refused(Box::new(Refusal { retry_after, ..refusal(status.as_u16(), &body) })))
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Status {
    message: String,
    reason: String,
    details: Option<Details>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Details {
    causes: Option<Vec<Cause>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Cause {
    reason: String,
    message: String,
}

/// Understands a `Status`; where a proxy answered with something else, its beginning stands for it.
pub(super) fn refusal(code: u16, body: &[u8]) -> Refusal {
    let status: Status = serde_json::from_slice(body).unwrap_or_default();
    let message = if status.message.is_empty() {
        let start = String::from_utf8_lossy(&body[..body.len().min(200)]).trim().to_string();
        if start.is_empty() { format!("HTTP status {code}") } else { start }
    } else {
        status.message
    };
    let causes = status.details.and_then(|details| details.causes).unwrap_or_default();
    Refusal {
        code,
        reason: Text::new(&status.reason),
        message: Text::new(&message),
        causes: causes.iter().map(|cause| (Text::new(&cause.reason), Text::new(&cause.message))).collect(),
        retry_after: None,
    }
}

async fn collect(link: &Arc<Link>, response: Response<Body>) -> Result<Vec<u8>, Fault> {
    let mut body = response.into_body();
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame =
            frame.map_err(|error| Fault::NoAnswer(Text::new(&format!("the answer broke off: {}", chain(&error)))))?;
        link.note_heard();
        if let Ok(data) = frame.into_data() {
            bytes.extend_from_slice(&data);
        }
        if bytes.len() > LONGEST_ANSWER {
            return Err(Fault::Malformed(Text::new("an answer of more than 128 MB")));
        }
    }
    Ok(bytes)
}

/// The text of a `Warning` header (RFC 9111 of old: `299 - "text"`).
fn warning(header: &str) -> Text {
    let text = header.split_once('"').map_or(header, |(_, text)| text.trim_end_matches('"'));
    Text::new(&text.replace("\\\"", "\""))
}
