//! Asks a probe: runs its program without the terminal, or reads its address once. In time, and with what it said cut short.
//!
//! Never passes anything of the fleet to it but the names of the operation and the wave, and never decides what a no means.

use std::process::Stdio;

use http_body_util::{BodyExt as _, Empty};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::Child;

use super::away::{self, Group};
use crate::domain::id::OperationId;
use crate::domain::operation::Asked;
use crate::domain::policy::{Asks, Probe};
use crate::domain::text::Text;

/// How much of an answer is read.
const MOST_BYTES: u64 = 64 << 10;
/// How much of it is shown.
const SHOWN: usize = 200;

/// Asks it; no answer in time is a no.
pub(super) async fn ask(probe: &Probe, operation: &OperationId, wave: u16) -> Asked {
    let answer = match &probe.asks {
        Asks::Command(words) => command(probe, words, operation, wave).await,
        Asks::Http(address) => {
            let late = || Err(format!("no answer within {} s", probe.timeout.as_secs().max(1)));
            tokio::time::timeout(probe.timeout, http(probe, address)).await.unwrap_or_else(|_| late())
        }
    };
    let shown = |said: String| Text::new(&probe.without_secrets(&said));
    match answer {
        Ok(said) => Asked::Passed(shown(said)),
        Err(said) => Asked::Failed(shown(said)),
    }
}

async fn command(probe: &Probe, words: &[String], operation: &OperationId, wave: u16) -> Result<String, String> {
    let limit = probe.timeout;
    let Some((program, arguments)) = words.split_first() else { return Err("it names no program".to_string()) };
    let mut command = away::command(program);
    command.args(arguments);
    command.env("ROLLDECK_OPERATION", operation.0.as_str()).env("ROLLDECK_WAVE", wave.to_string());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().map_err(|error| format!("{program} can't be run: {error}"))?;
    // With all that it has started: when it takes too long, and when nobody waits any more.
    let group = Group::of(child.id());
    let ended = tokio::time::timeout(limit, to_its_end(probe, &mut child)).await;
    match ended {
        Ok((Ok(status), said)) => {
            group.let_go();
            if status.success() { Ok(said) } else { Err(format!("{status}: {said}")) }
        }
        Ok((Err(error), _)) => Err(format!("it can't be waited for: {error}")),
        Err(_) => Err(format!("it did not end within {} s", limit.as_secs().max(1))),
    }
}

/// Both of its outputs, then its status.
async fn to_its_end(probe: &Probe, child: &mut Child) -> (std::io::Result<std::process::ExitStatus>, String) {
    let (out, err) = tokio::join!(read(child.stdout.take()), read(child.stderr.take()));
    (child.wait().await, shortened(probe, &[out, err].concat()))
}

/// What is more than is kept is read all the same: else it would wait for us.
async fn read(stream: Option<impl AsyncRead + Unpin>) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Some(mut stream) = stream {
        // What breaks off has said what it has said.
        let _ = (&mut stream).take(MOST_BYTES).read_to_end(&mut bytes).await;
        let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
    }
    bytes
}

async fn http(probe: &Probe, address: &str) -> Result<String, String> {
    let roots = hyper_rustls::HttpsConnectorBuilder::new().with_native_roots();
    let roots = roots.map_err(|error| format!("no certificates of this machine can be read: {error}"))?;
    let client: Client<_, Empty<&[u8]>> =
        Client::builder(TokioExecutor::new()).build(roots.https_or_http().enable_http1().build());
    let address = address.parse().map_err(|error| format!("it is no address: {error}"))?;
    let response = client.get(address).await.map_err(|error| format!("no answer: {}", chain(&error)))?;
    let status = response.status();
    let mut body = response.into_body();
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| format!("status {}, and its answer breaks off: {error}", status.as_u16()))?;
        if let Ok(data) = frame.into_data() {
            bytes.extend_from_slice(&data);
        }
        if bytes.len() as u64 > MOST_BYTES {
            break;
        }
    }
    let said = format!("status {}: {}", status.as_u16(), shortened(probe, &bytes));
    if status.is_success() { Ok(said) } else { Err(said) }
}

/// The end of what was said: there a program says why. Without secrets first: half of one is no longer known as one.
fn shortened(probe: &Probe, bytes: &[u8]) -> String {
    let text = probe.without_secrets(&String::from_utf8_lossy(bytes));
    let text = text.trim();
    let from = text.char_indices().rev().nth(SHOWN - 1).map_or(0, |(at, _)| at);
    text[from..].to_string()
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    async fn asked(words: &[&str], limit: u64) -> Asked {
        let words = words.iter().map(ToString::to_string).collect();
        let probe = Probe { places: Vec::new(), asks: Asks::Command(words), timeout: Duration::from_millis(limit) };
        ask(&probe, &OperationId(Text::new("o-1")), 2).await
    }

    #[tokio::test]
    async fn a_program_answers_by_its_status_and_is_quoted() {
        let said = |text: &str| Text::new(text);
        assert_eq!(
            asked(&["sh", "-c", "echo $ROLLDECK_OPERATION wave $ROLLDECK_WAVE"], 5000).await,
            Asked::Passed(said("o-1 wave 2"))
        );
        assert_eq!(
            asked(&["sh", "-c", "echo 500 errors >&2; exit 3"], 5000).await,
            Asked::Failed(said("exit status: 3: 500 errors"))
        );
        assert!(matches!(asked(&["/no/such/program"], 5000).await, Asked::Failed(why) if why.contains("can't be run")));
        let long = asked(&["sh", "-c", "yes | head -c 300000; echo the end"], 5000).await;
        assert!(matches!(&long, Asked::Passed(text) if text.len() <= SHOWN), "{long:?}");
    }

    /// What is written on several lines is run on several lines: a comment at its top must not swallow the rest.
    #[tokio::test]
    async fn a_script_of_several_lines_is_run_as_it_is_written() {
        let said = asked(&["sh", "-c", "# is it up?\necho asked\nexit 3\n"], 5000).await;
        assert_eq!(said, Asked::Failed(Text::new("exit status: 3: asked")));
    }

    #[tokio::test]
    async fn what_it_was_given_is_not_told_by_what_it_says() {
        let said =
            asked(&["sh", "-c", "echo with $1 $2 $3", "smoke", "token=S3CRETvalue", "abc123def456", "checkout"], 5000);
        assert_eq!(said.await, Asked::Passed(Text::new("with token=[left out] [left out] checkout")));
    }

    #[tokio::test]
    async fn a_secret_is_left_out_before_what_was_said_is_cut() {
        let secret = "S3CRETvalue0123456789";
        let script = format!("echo token=$1 {}", "x".repeat(SHOWN - 10));
        let said = asked(&["sh", "-c", &script, "smoke", &format!("token={secret}")], 5000).await;
        let Asked::Passed(said) = said else { panic!("{said:?}") };
        assert!((1..secret.len()).all(|from| !said.contains(&secret[from..])), "{said}");
    }

    #[tokio::test]
    async fn one_that_does_not_end_is_ended_with_what_it_has_started() {
        let asked = asked(&["sh", "-c", "sleep 60 & sleep 60"], 200).await;
        assert_eq!(asked, Asked::Failed(Text::new("it did not end within 1 s")));
    }

    #[tokio::test]
    async fn an_address_answers_by_its_status() {
        use tokio::io::AsyncWriteExt as _;
        let server = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = format!("http://{}/healthz", server.local_addr().expect("bound"));
        tokio::spawn(async move {
            for answer in ["200 OK\r\ncontent-length: 4\r\n\r\nfine", "503 Busy\r\ncontent-length: 9\r\n\r\noverload!"]
            {
                let (mut stream, _) = server.accept().await.expect("a guest");
                let mut request = [0; 1024];
                let _ = stream.read(&mut request).await;
                let answer = format!("HTTP/1.1 {}", answer.replacen("\r\n", "\r\nconnection: close\r\n", 1));
                stream.write_all(answer.as_bytes()).await.expect("heard");
            }
        });
        let timeout = Duration::from_secs(5);
        let probe = Probe { places: Vec::new(), asks: Asks::Http(address.clone()), timeout };
        assert_eq!(http(&probe, &address).await, Ok("status 200: fine".to_string()));
        assert_eq!(http(&probe, &address).await, Err("status 503: overload!".to_string()));
        assert!(matches!(http(&probe, &address).await, Err(why) if why.starts_with("no answer")));
    }
}
