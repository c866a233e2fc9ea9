//! A relay between rolldeck and a server that can keep a request, or its answer, for ever: the moment between the two can be
//! caught, whatever the machine's speed. It also counts what would change something.
//!
//! Speaks plain HTTP to rolldeck, and to the server what it speaks; one connection for each request.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::real::cluster::{PATIENCE, wait};

/// What is kept of the next request that changes something and is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keep {
    /// Nothing: all goes through.
    Nothing,
    /// The request: the server never sees it.
    Request,
    /// The answer: the server has done it, and nobody hears of it.
    Answer,
}

/// The relay; it ends with the test's process.
pub(crate) struct Relay {
    url: String,
    shared: Arc<Shared>,
}

struct Shared {
    keep: Mutex<Keep>,
    has_kept: AtomicBool,
    kept: Mutex<Vec<TcpStream>>,
    port: u16,
    /// `None` for a server without TLS.
    tls: Option<Arc<ClientConfig>>,
    /// What a request would change, by its head and body; `None` for one that changes nothing.
    meant: fn(&str, &[u8]) -> Option<String>,
    changes: Mutex<Vec<String>>,
    /// What is answered instead of what the server would.
    refusal: Mutex<Option<Refusal>>,
}

/// An answer in the server's place.
type Refusal = fn(&str, &[u8]) -> Option<String>;

/// Both directions of a connection to the server.
trait Stream: Read + Write {}
impl<T: Read + Write> Stream for T {}

impl Relay {
    /// To the API server at this port of this machine, whose certificate is in the file.
    pub(crate) fn to(port: u16, authority: &Path) -> Relay {
        // The second caller of a test binary finds the first one's there.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let mut roots = RootCertStore::empty();
        let certificates = CertificateDer::pem_file_iter(authority).expect("a file of certificates");
        roots.add_parsable_certificates(certificates.flatten());
        let tls = Arc::new(ClientConfig::builder().with_root_certificates(roots).with_no_client_auth());
        Relay::start(port, Some(tls), change_of_kubernetes)
    }

    /// To an AWS server without TLS at this port of this machine.
    pub(crate) fn to_aws(port: u16) -> Relay {
        Relay::start(port, None, change_of_aws)
    }

    fn start(port: u16, tls: Option<Arc<ClientConfig>>, meant: fn(&str, &[u8]) -> Option<String>) -> Relay {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let (keep, has_kept, kept) = (Mutex::new(Keep::Nothing), AtomicBool::new(false), Mutex::default());
        let shared = Arc::new(Shared {
            keep,
            has_kept,
            kept,
            port,
            tls,
            meant,
            changes: Mutex::default(),
            refusal: Mutex::default(),
        });
        let relay = Relay { url, shared: shared.clone() };
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = shared.clone();
                // A connection that breaks is what happens when rolldeck ends.
                thread::spawn(move || drop(shared.serve(stream)));
            }
        });
        relay
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Keeps the next request that changes something, or its answer.
    pub(crate) fn keep(&self, keep: Keep) {
        *self.shared.keep.lock().expect("no thread broke off") = keep;
    }

    /// Every request that would change something, in order.
    pub(crate) fn changes(&self) -> Vec<String> {
        self.shared.changes.lock().expect("no thread broke off").clone()
    }

    /// Answers in the server's place where the function has an answer (a whole one, with its head); `None`: never.
    pub(crate) fn refuse(&self, refusal: Option<Refusal>) {
        *self.shared.refusal.lock().expect("no thread broke off") = refusal;
    }

    /// Waits until something was kept.
    pub(crate) fn wait_kept(&self) {
        wait("the request to be kept", PATIENCE, || self.shared.has_kept.load(Ordering::SeqCst));
    }

    /// Breaks the connections on which something is kept: what was kept is lost.
    pub(crate) fn lose_kept(&self) {
        for stream in self.shared.kept.lock().expect("no thread broke off").drain(..) {
            stream.shutdown(std::net::Shutdown::Both).expect("rolldeck waits for its answer");
        }
    }
}

impl Shared {
    fn serve(&self, stream: TcpStream) -> io::Result<()> {
        let mut reader = BufReader::new(stream.try_clone()?);
        let mut head = String::new();
        let mut length = 0;
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            if line.trim().is_empty() {
                break;
            }
            let lower = line.to_ascii_lowercase();
            if let Some(value) = lower.strip_prefix("content-length:") {
                length = value.trim().parse().map_err(io::Error::other)?;
            }
            if !lower.starts_with("connection:") {
                head.push_str(&line);
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        let keep = self.keep_of(&head, &body);
        if keep == Keep::Request {
            return self.kept(reader);
        }
        let refusal = *self.refusal.lock().expect("no thread broke off");
        if let Some(answer) = refusal.and_then(|refusal| refusal(&head, &body)) {
            let mut client = stream;
            client.write_all(answer.as_bytes())?;
            return client.shutdown(std::net::Shutdown::Both);
        }
        let mut server = self.server()?;
        server.write_all(format!("{head}Connection: close\r\n\r\n").as_bytes())?;
        server.write_all(&body)?;
        server.flush()?;
        if keep == Keep::Answer {
            let mut beginning = [0; 64];
            let read = server.read(&mut beginning)?;
            assert!(beginning[..read].starts_with(b"HTTP/1.1 2"), "{}", String::from_utf8_lossy(&beginning));
            return self.kept(reader);
        }
        let mut client = stream;
        let mut buffer = [0; 16384];
        loop {
            match server.read(&mut buffer)? {
                0 => return client.shutdown(std::net::Shutdown::Both),
                read => client.write_all(&buffer[..read])?,
            }
        }
    }

    fn server(&self) -> io::Result<Box<dyn Stream>> {
        let stream = TcpStream::connect(("127.0.0.1", self.port))?;
        let Some(tls) = &self.tls else { return Ok(Box::new(stream)) };
        let name = ServerName::try_from("127.0.0.1").map_err(io::Error::other)?;
        let tls = ClientConnection::new(tls.clone(), name).map_err(io::Error::other)?;
        Ok(Box::new(StreamOwned::new(tls, stream)))
    }

    /// What is kept of a request; the next one after it goes through.
    fn keep_of(&self, head: &str, body: &[u8]) -> Keep {
        let Some(change) = (self.meant)(head, body) else { return Keep::Nothing };
        self.changes.lock().expect("no thread broke off").push(change);
        std::mem::replace(&mut *self.keep.lock().expect("no thread broke off"), Keep::Nothing)
    }

    /// Says nothing more until the other side goes away.
    fn kept(&self, mut reader: BufReader<TcpStream>) -> io::Result<()> {
        self.kept.lock().expect("no thread broke off").push(reader.get_ref().try_clone()?);
        self.has_kept.store(true, Ordering::SeqCst);
        io::copy(&mut reader, &mut io::sink()).map(drop)
    }
}

fn change_of_kubernetes(head: &str, _: &[u8]) -> Option<String> {
    let line = head.lines().next().unwrap_or_default();
    (line.contains("fieldManager=") && !line.contains("dryRun=")).then(|| line.to_string())
}

fn change_of_aws(head: &str, body: &[u8]) -> Option<String> {
    const CHANGES: [&str; 7] = ["Start", "Rollback", "Cancel", "Terminate", "Update", "Stop", "Run"];
    let action = aws_action(head, body)?;
    if String::from_utf8_lossy(body).contains("DryRun=true") {
        return None;
    }
    CHANGES.iter().any(|change| action.starts_with(change)).then_some(action)
}

/// The action of a request to AWS: of the form for EC2, Auto Scaling and STS, of a header for ECS.
pub(crate) fn aws_action(head: &str, body: &[u8]) -> Option<String> {
    let target =
        head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("x-amz-target:").map(|_| line.to_string()));
    let of_target = target.as_deref().and_then(|line| line.rsplit('.').next()).map(str::trim);
    let body = String::from_utf8_lossy(body);
    let of_body = body.split('&').find_map(|pair| pair.strip_prefix("Action="));
    of_target.or(of_body).map(ToString::to_string)
}

/// An error as AWS words it: XML for EC2, Auto Scaling and STS, JSON for ECS.
pub(crate) fn aws_error(head: &str, status: u16, code: &str) -> String {
    let is_json = head.to_ascii_lowercase().contains("x-amz-target");
    let is_ec2 = head.contains("/ec2/aws4_request");
    let body = match (is_json, is_ec2) {
        (true, _) => format!(r#"{{"__type":"{code}","message":"so the test says"}}"#),
        (false, true) => format!(
            "<Response><Errors><Error><Code>{code}</Code><Message>so the test says</Message></Error></Errors><RequestID>r</RequestID></Response>"
        ),
        (false, false) => format!(
            "<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>so the test says</Message></Error><RequestId>r</RequestId></ErrorResponse>"
        ),
    };
    http(status, if is_json { "application/x-amz-json-1.1" } else { "text/xml" }, &body)
}

/// A whole answer.
pub(crate) fn http(status: u16, kind: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 {status} So\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
}
