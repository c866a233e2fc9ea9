//! An API server in this process that does what a real one does not do on demand: forgets, stalls, breaks off, refuses.
//!
//! It knows pages, packing, watches and bookmarks, and nothing else: no controller, no admission, no budget.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::broadcast;

/// The server; it ends with the test.
pub(crate) struct Fake {
    port: u16,
    state: Arc<Mutex<State>>,
    changes: broadcast::Sender<Change>,
    folder: tempfile::TempDir,
}

/// One request that came.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// With its query.
    pub(crate) path: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Value,
}

/// What the server does instead of its duty.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Fault {
    /// Answers with this status and body.
    Status(u16, Value),
    /// Takes the request and closes the connection.
    Reset,
    /// Sends half of the answer and closes the connection.
    Torn,
}

#[derive(Default)]
struct State {
    objects: BTreeMap<String, Value>,
    version: u64,
    log: Vec<Request>,
    /// By the start of `METHOD path`: what goes wrong, and how often.
    faults: Vec<(String, Fault, usize)>,
    token: Option<String>,
    is_stalled: bool,
}

#[derive(Clone)]
enum Change {
    /// A line for watches of this list.
    Line(String, String),
    /// All watches end.
    Close,
}

/// Takes nothing and gives nothing while it lasts.
struct Packed(Vec<u8>, bool);

impl Fake {
    /// Starts one without objects.
    pub(crate) async fn start() -> Fake {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        let (changes, _) = broadcast::channel(1024);
        let state = Arc::new(Mutex::new(State { version: 100, ..State::default() }));
        let (for_all, lines) = (state.clone(), changes.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, for_all.clone(), lines.clone()));
            }
        });
        Fake { port, state, changes, folder: tempfile::tempdir().expect("a folder") }
    }

    /// A kubeconfig whose context `fake` leads here, with this user.
    pub(crate) fn kubeconfig(&self, user: &Value) -> PathBuf {
        let path = self.folder.path().join("config");
        let config = json!({"apiVersion": "v1", "kind": "Config", "current-context": "fake",
            "clusters": [{"name": "fake", "cluster": {"server": format!("http://127.0.0.1:{}", self.port)}}],
            "users": [{"name": "me", "user": user}],
            "contexts": [{"name": "fake", "context": {"cluster": "fake", "user": "me"}}]});
        std::fs::write(&path, config.to_string()).expect("written");
        path
    }

    /// A folder of the test's own.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// An object appears or changes; watches are told.
    pub(crate) fn put(&self, list: &str, object: Value) {
        self.change(list, "MODIFIED", object);
    }

    /// An object goes; watches are told.
    pub(crate) fn remove(&self, list: &str, name: &str) {
        let object = self.lock().objects.get(&format!("{list}/{name}")).cloned().expect("it is there");
        self.change(list, "DELETED", object);
    }

    /// An object goes, and no watch is ever told.
    pub(crate) fn lose(&self, list: &str, name: &str) {
        self.lock().objects.remove(&format!("{list}/{name}")).expect("it is there");
    }

    /// Sends a line to the watches of a list as it is.
    pub(crate) fn say(&self, list: &str, line: &Value) {
        let _ = self.changes.send(Change::Line(list.to_string(), line.to_string()));
    }

    /// Ends all watches, as a server does when their time is over.
    pub(crate) fn close_watches(&self) {
        let _ = self.changes.send(Change::Close);
    }

    /// Requests that start with this go wrong, so often.
    pub(crate) fn fail(&self, start: &str, fault: Fault, times: usize) {
        self.lock().faults.push((start.to_string(), fault, times));
    }

    /// Nothing goes wrong any more.
    pub(crate) fn heal(&self) {
        self.lock().faults.clear();
    }

    /// From now on connections stay open and nothing comes, or it does again.
    pub(crate) fn stall(&self, is_stalled: bool) {
        self.lock().is_stalled = is_stalled;
    }

    /// From now on only this token is taken.
    pub(crate) fn require_token(&self, token: &str) {
        self.lock().token = Some(token.to_string());
    }

    /// Requests that came and start with this (`GET /api/v1/pods`).
    pub(crate) fn requests(&self, start: &str) -> Vec<Request> {
        let log = self.lock().log.clone();
        log.into_iter().filter(|request| format!("{} {}", request.method, request.path).starts_with(start)).collect()
    }

    fn change(&self, list: &str, kind: &str, mut object: Value) {
        let mut state = self.lock();
        state.version += 1;
        object["metadata"]["resourceVersion"] = json!(state.version.to_string());
        let key = format!("{list}/{}", object["metadata"]["name"].as_str().expect("named"));
        let line = json!({"type": kind, "object": object}).to_string();
        if kind == "DELETED" {
            state.objects.remove(&key)
        } else {
            state.objects.insert(key, object)
        };
        let _ = self.changes.send(Change::Line(list.to_string(), line));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no test panics in here")
    }
}

async fn serve(mut stream: TcpStream, state: Arc<Mutex<State>>, changes: broadcast::Sender<Change>) {
    let mut buffer = Vec::new();
    while let Some(request) = read(&mut stream, &mut buffer).await {
        let lines = changes.subscribe();
        let (stalled, fault, answer) = {
            let mut state = state.lock().expect("no test panics in here");
            state.log.push(request.clone());
            (state.is_stalled, state.fault(&request), state.answer(&request))
        };
        if stalled {
            // As if the packets went nowhere: for as long as the client holds on.
            let _ = stream.read(&mut [0; 1]).await;
            return;
        }
        let accepts_gzip = request.headers.get("accept-encoding").is_some_and(|value| value.contains("gzip"));
        let pack = |body: &Value| packed(body, accepts_gzip);
        match fault {
            Some(Fault::Reset) => return,
            Some(Fault::Torn) => {
                let Packed(body, is_packed) = pack(&answer.1);
                let half = body.len() / 2;
                let _ = stream.write_all(&head(200, body.len(), is_packed)).await;
                let _ = stream.write_all(&body[..half]).await;
                return;
            }
            Some(Fault::Status(status, body)) => send(&mut stream, status, pack(&body)).await,
            None if request.path.contains("watch=true") => {
                return watch(&mut stream, &request, &state, lines).await;
            }
            None => send(&mut stream, answer.0, pack(&answer.1)).await,
        }
    }
}

impl State {
    fn fault(&mut self, request: &Request) -> Option<Fault> {
        if let Some(token) = &self.token
            && request.headers.get("authorization") != Some(&format!("Bearer {token}"))
        {
            return Some(Fault::Status(401, json!({"kind": "Status", "code": 401, "message": "Unauthorized"})));
        }
        let line = format!("{} {}", request.method, request.path);
        let at = self.faults.iter().position(|(start, _, times)| *times > 0 && line.starts_with(start.as_str()))?;
        self.faults[at].2 -= 1;
        Some(self.faults[at].1.clone())
    }

    fn answer(&self, request: &Request) -> (u16, Value) {
        let (path, query) = request.path.split_once('?').unwrap_or((&request.path, ""));
        if path == "/version" {
            return (200, json!({"gitVersion": "v1.33.0-fake"}));
        }
        if request.method == "POST" {
            return (201, json!({"status": {"allowed": true, "userInfo": {"username": "me"}}}));
        }
        if let Some(object) = self.objects.get(path) {
            return (200, object.clone());
        }
        let value = |name: &str| query.split('&').find_map(|part| part.strip_prefix(&format!("{name}=")));
        let folder = format!("{path}/");
        let all: Vec<&Value> =
            self.objects.iter().filter(|(key, _)| key.starts_with(&folder)).map(|(_, object)| object).collect();
        let from: usize = value("continue").and_then(|from| from.parse().ok()).unwrap_or(0);
        let limit: usize = value("limit").and_then(|limit| limit.parse().ok()).unwrap_or(usize::MAX);
        let page: Vec<&Value> = all.iter().skip(from).take(limit).copied().collect();
        let mut metadata = json!({"resourceVersion": self.version.to_string()});
        let end = from + page.len();
        if end < all.len() {
            metadata["continue"] = json!(end.to_string());
            metadata["remainingItemCount"] = json!(all.len() - end);
        }
        (200, json!({"metadata": metadata, "items": page}))
    }
}

async fn watch(
    stream: &mut TcpStream,
    request: &Request,
    state: &Mutex<State>,
    mut lines: broadcast::Receiver<Change>,
) {
    let list = request.path.split('?').next().unwrap_or_default().to_string();
    let from =
        request.path.split("resourceVersion=").nth(1).and_then(|version| version.parse::<u64>().ok()).unwrap_or(0);
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
    if stream.write_all(head.as_bytes()).await.is_err() {
        return;
    }
    // What was missed since then, as a real server tells at once. What has gone meanwhile it remembers too; this one does not.
    let missed: Vec<String> = {
        let state = state.lock().expect("no test panics in here");
        let version = |object: &Value| {
            object["metadata"]["resourceVersion"].as_str().and_then(|version| version.parse::<u64>().ok())
        };
        let objects = state
            .objects
            .iter()
            .filter(|(key, object)| key.starts_with(&format!("{list}/")) && version(object) > Some(from));
        objects.map(|(_, object)| json!({"type": "MODIFIED", "object": object}).to_string()).collect()
    };
    for line in missed {
        if chunk(stream, &line).await.is_err() {
            return;
        }
    }
    let mut byte = [0; 1];
    loop {
        tokio::select! {
            change = lines.recv() => match change {
                _ if state.lock().expect("no test panics in here").is_stalled => {
                    let _ = stream.read(&mut byte).await;
                    return;
                }
                Ok(Change::Line(to, line)) if to == list => {
                    if chunk(stream, &line).await.is_err() {
                        return;
                    }
                }
                Ok(Change::Line(..)) => {}
                Ok(Change::Close) | Err(_) => {
                    let _ = stream.write_all(b"0\r\n\r\n").await;
                    return;
                }
            },
            _ = stream.read(&mut byte) => return,
        }
    }
}

async fn chunk(stream: &mut TcpStream, line: &str) -> std::io::Result<()> {
    stream.write_all(format!("{:x}\r\n{line}\n\r\n", line.len() + 1).as_bytes()).await
}

fn packed(body: &Value, accepts_gzip: bool) -> Packed {
    let plain = body.to_string().into_bytes();
    if !accepts_gzip {
        return Packed(plain, false);
    }
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(&plain).expect("into memory");
    Packed(encoder.finish().expect("into memory"), true)
}

async fn send(stream: &mut TcpStream, status: u16, Packed(body, is_packed): Packed) {
    let mut answer = head(status, body.len(), is_packed);
    answer.extend_from_slice(&body);
    let _ = stream.write_all(&answer).await;
}

fn head(status: u16, length: usize, is_packed: bool) -> Vec<u8> {
    let packing = if is_packed { "content-encoding: gzip\r\n" } else { "" };
    format!("HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n{packing}\r\n")
        .into_bytes()
}

async fn read(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<Request> {
    let end = loop {
        if let Some(at) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8_lossy(&buffer[..end]).into_owned();
    let mut words = head.split_whitespace();
    let (method, path) = (words.next()?.to_string(), words.next()?.to_string());
    let lines = head.lines().skip(1).filter_map(|line| line.split_once(": "));
    let headers: BTreeMap<String, String> =
        lines.map(|(name, value)| (name.to_lowercase(), value.to_string())).collect();
    let length: usize = headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    while buffer.len() < end + length {
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    }
    let body = serde_json::from_slice(&buffer[end..end + length]).unwrap_or(Value::Null);
    buffer.drain(..end + length);
    Some(Request { method, path, headers, body })
}
