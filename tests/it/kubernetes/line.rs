//! A line to the real API server that can be late, silent, broken, half closed or slow: how soon the place says so, and that
//! nothing is lost when the line heals.
//!
//! Never reads what goes over it: TLS runs through.

use std::time::{Duration, Instant};

use rolldeck::domain::observation::PlaceState;
use serde_json::json;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::watched::Watched;
use crate::real::cluster::{
    Cluster, STRATEGIC_PATCH, User, cluster_or_skip, deployment, deployments, write_kubeconfig,
};

const V41: &str =
    "registry.example:5000/shop/app:v41@sha256:9f2c41d09f2c41d09f2c41d09f2c41d09f2c41d09f2c41d09f2c41d09f2c41d0";

/// The promise is 15 s (a probe every 10 s that may take 3 s); the rest is for a machine that is busy.
const SOON: Duration = Duration::from_secs(30);

/// How the line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    Clear,
    /// All that is sent comes so much later.
    Late(Duration),
    /// Nothing comes through, and nobody says so. What was sent arrives when the line heals.
    Silent,
    /// What is open is reset, what is opened too.
    Broken,
    /// The server seems to have said its last word.
    HalfClosed,
    /// A byte at a time.
    Slow,
}

/// Both directions of every connection; it ends with the test's runtime.
struct Proxy {
    port: u16,
    line: watch::Sender<Line>,
}

impl Proxy {
    async fn to(port: u16) -> Proxy {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let proxy = Proxy { port: listener.local_addr().expect("bound").port(), line: watch::Sender::new(Line::Clear) };
        let line = proxy.line.subscribe();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let line = line.clone();
                tokio::spawn(async move {
                    let server = TcpStream::connect(("127.0.0.1", port)).await.expect("the API server listens");
                    serve(client, server, line).await;
                });
            }
        });
        proxy
    }

    fn set(&self, line: Line) {
        self.line.send_replace(line);
    }
}

async fn serve(mut client: TcpStream, mut server: TcpStream, mut line: watch::Receiver<Line>) {
    let (up, down) = (line.clone(), line.clone());
    let is_broken = {
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        tokio::select! {
            _ = async { tokio::join!(pump(from_client, to_server, up), pump(from_server, to_client, down)) } => false,
            _ = line.wait_for(|line| *line == Line::Broken) => true,
        }
    };
    if is_broken {
        // Without lingering the other side hears of a reset, not of an end.
        client.set_zero_linger().expect("a socket");
    }
}

/// One direction.
async fn pump(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, mut line: watch::Receiver<Line>) {
    let mut buffer = [0; 16384];
    loop {
        let now = *line.borrow_and_update();
        if now == Line::HalfClosed {
            // Whoever reads hears the end; what is sent from now on is lost.
            drop(to.shutdown().await);
            return;
        }
        let read = tokio::select! {
            read = from.read(&mut buffer) => read.unwrap_or(0),
            _ = line.changed() => continue,
        };
        if read == 0 {
            drop(to.shutdown().await);
            return;
        }
        if pass(&buffer[..read], &mut to, &mut line).await.is_err() {
            return;
        }
    }
}

/// Passes on what was read, as the line is.
async fn pass(
    bytes: &[u8],
    to: &mut (impl AsyncWrite + Unpin),
    line: &mut watch::Receiver<Line>,
) -> std::io::Result<()> {
    let now = *line.borrow();
    match now {
        Line::Clear | Line::Broken | Line::HalfClosed => {}
        Line::Late(time) => tokio::time::sleep(time).await,
        Line::Silent => drop(line.wait_for(|line| *line != Line::Silent).await),
        Line::Slow => {
            for (at, byte) in bytes.iter().enumerate() {
                if *line.borrow() != Line::Slow {
                    return to.write_all(&bytes[at..]).await;
                }
                to.write_all(std::slice::from_ref(byte)).await?;
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            return Ok(());
        }
    }
    to.write_all(bytes).await
}

/// A Deployment of two, watched over a clear line.
async fn begin(cluster: &Cluster, namespace: &str) -> (Proxy, Watched, tempfile::TempDir) {
    cluster.create_namespace(namespace);
    cluster.create_deployment(&deployment(namespace, "app", V41, 2, &[]));
    cluster.wait_rolled_out(namespace, "app");
    let proxy = Proxy::to(cluster.port()).await;
    let folder = tempfile::tempdir().expect("a folder");
    let kubeconfig = folder.path().join("config");
    write_kubeconfig(&kubeconfig, &[(cluster, User::Admin, None)]);
    let config = std::fs::read_to_string(&kubeconfig).expect("it is there");
    let through = config.replace(&cluster.url(), &format!("https://127.0.0.1:{}", proxy.port));
    assert_ne!(config, through);
    std::fs::write(&kubeconfig, through).expect("a folder of our own");
    let mut watched = Watched::start(&kubeconfig, &cluster.context(User::Admin));
    watched.until_state("live").await;
    assert_eq!(watched.deployment(namespace, "app").seen.desired, 2);
    (proxy, watched, folder)
}

fn scale(cluster: &Cluster, namespace: &str, replicas: u32) {
    let body = json!({"spec": {"replicas": replicas}});
    let (status, answer) = cluster.patch(&deployments(namespace, Some("app")), STRATEGIC_PATCH, &body);
    assert_eq!(status, 200, "{answer}");
    cluster.wait_rolled_out(namespace, "app");
}

/// The place is live, and shows that many instances.
async fn until_shown(watched: &mut Watched, namespace: &str, replicas: u32) {
    let (id, place) = (watched.id(namespace, "app"), watched.place.clone());
    let shows = move |fleet: &rolldeck::domain::fleet::Fleet| {
        let tally = fleet.workload(&id).map(|workload| workload.judgement.tally.instances);
        tally == Some(replicas) && fleet.place(&place).is_some_and(|place| place.state.is_live())
    };
    watched.until("what was missed", shows).await;
}

async fn check(test: &str, namespace: &str, fault: Line) {
    let Some(cluster) = cluster_or_skip(test) else { return };
    let (proxy, mut watched, _folder) = begin(cluster, namespace).await;
    let since = Instant::now();
    proxy.set(fault);
    let state = watched.until_state("stale").await;
    let took = since.elapsed();
    assert!(took < SOON, "{fault:?}: stale after {took:.1?} only: {state:?}");
    assert!(matches!(&state, PlaceState::Stale(why) if !why.is_empty()), "{state:?}");
    scale(cluster, namespace, 3);
    proxy.set(Line::Clear);
    until_shown(&mut watched, namespace, 3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_line_is_stale_soon_and_nothing_is_lost() {
    check("a_silent_line_is_stale_soon_and_nothing_is_lost", "line-silent", Line::Silent).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_that_resets_is_stale_soon_and_nothing_is_lost() {
    check("a_line_that_resets_is_stale_soon_and_nothing_is_lost", "line-broken", Line::Broken).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_half_closed_line_is_stale_soon_and_nothing_is_lost() {
    check("a_half_closed_line_is_stale_soon_and_nothing_is_lost", "line-half", Line::HalfClosed).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_of_single_bytes_is_stale_soon_and_nothing_is_lost() {
    check("a_line_of_single_bytes_is_stale_soon_and_nothing_is_lost", "line-slow", Line::Slow).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_line_is_no_fault() {
    let Some(cluster) = cluster_or_skip("a_late_line_is_no_fault") else { return };
    let (proxy, mut watched, _folder) = begin(cluster, "line-late").await;
    let said = watched.states.len();
    proxy.set(Line::Late(Duration::from_millis(300)));
    scale(cluster, "line-late", 3);
    until_shown(&mut watched, "line-late", 3).await;
    assert_eq!(watched.states.len(), said, "{:?}", watched.states);
}
