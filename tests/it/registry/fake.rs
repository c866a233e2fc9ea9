//! A registry that lies, stalls, breaks off and sends its clients astray, and remembers who told it what.
//!
//! It never knows an image: each test says what is answered where.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// What was asked.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) method: String,
    /// With its query.
    pub(super) path: String,
    pub(super) authorization: Option<String>,
    /// What was posted.
    pub(super) body: String,
}

/// What is answered.
#[derive(Clone)]
pub(super) enum Reply {
    /// Status, headers, body.
    Says(u16, Vec<(&'static str, String)>, Vec<u8>),
    /// A body that does not end.
    Endless,
    /// A body of this length of which half comes.
    Torn(usize),
    /// A byte of its head now and then.
    Drips,
    /// Nothing.
    Silent,
}

type Answers = Arc<dyn Fn(&Asked) -> Reply + Send + Sync>;

/// The server; it ends with the test's runtime.
pub(super) struct Fake {
    pub(super) port: u16,
    asked: Arc<Mutex<Vec<Asked>>>,
    at_once: Arc<AtOnce>,
}

/// How many are answered now, and how many were at most.
#[derive(Default)]
struct AtOnce {
    now: AtomicUsize,
    most: AtomicUsize,
}

impl Fake {
    pub(super) async fn new(answers: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Fake {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let (answers, remembered): (Answers, _) = (Arc::new(answers), Arc::clone(&asked));
        let at_once: Arc<AtOnce> = Arc::default();
        let counted = Arc::clone(&at_once);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&answers), Arc::clone(&remembered), Arc::clone(&counted)));
            }
        });
        Fake { port, asked, at_once }
    }

    /// Its name in references.
    pub(super) fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// How many requests were under way at once, at most.
    pub(super) fn most_at_once(&self) -> usize {
        self.at_once.most.load(Ordering::SeqCst)
    }

    pub(super) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().expect("whole").clone()
    }
}

/// One request for each connection.
async fn serve(mut stream: TcpStream, answers: Answers, remembered: Arc<Mutex<Vec<Asked>>>, at_once: Arc<AtOnce>) {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte).await {
            Ok(1) => head.push(byte[0]),
            _ => return,
        }
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let header = |wanted: &str| {
        head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case(wanted).then(|| value.trim().to_string())
        })
    };
    let mut body = vec![0; header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0)];
    if stream.read_exact(&mut body).await.is_err() {
        return;
    }
    let mut words = head.split_whitespace();
    let (method, path) = (words.next().unwrap_or_default().to_string(), words.next().unwrap_or_default().to_string());
    let body = String::from_utf8_lossy(&body).into_owned();
    let asked = Asked { method, path, authorization: header("authorization"), body };
    remembered.lock().expect("whole").push(asked.clone());
    let now = at_once.now.fetch_add(1, Ordering::SeqCst) + 1;
    at_once.most.fetch_max(now, Ordering::SeqCst);
    // All others that may come at the same time have come by then.
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
    let answer = answers(&asked);
    // Before the answer: who has it may ask again at once.
    at_once.now.fetch_sub(1, Ordering::SeqCst);
    // Whoever has gone away has gone away.
    let _ = reply(&mut stream, &asked, answer).await;
}

async fn reply(stream: &mut TcpStream, asked: &Asked, reply: Reply) -> std::io::Result<()> {
    match reply {
        Reply::Says(status, headers, body) => {
            let mut text = format!("HTTP/1.1 {status} x\r\nconnection: close\r\ncontent-length: {}\r\n", body.len());
            headers.iter().for_each(|(name, value)| text.push_str(&format!("{name}: {value}\r\n")));
            stream.write_all(format!("{text}\r\n").as_bytes()).await?;
            if asked.method != "HEAD" {
                stream.write_all(&body).await?;
            }
            stream.shutdown().await
        }
        Reply::Endless => {
            stream.write_all(b"HTTP/1.1 200 x\r\nconnection: close\r\n\r\n").await?;
            loop {
                stream.write_all(&[b' '; 65536]).await?;
            }
        }
        Reply::Torn(length) => {
            let head = format!("HTTP/1.1 200 x\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n");
            stream.write_all(head.as_bytes()).await?;
            stream.write_all(&vec![b' '; length / 2]).await
        }
        Reply::Drips => loop {
            stream.write_all(b"H").await?;
            tokio::time::sleep(Duration::from_secs(1)).await;
        },
        Reply::Silent => std::future::pending().await,
    }
}
