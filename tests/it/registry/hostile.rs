//! A registry that is not what it should be: it makes no answer wrong, holds nobody up, and gets no credential that is not its.

use std::time::{Duration, Instant};

use rolldeck::domain::catalog::Said;
use rolldeck::domain::image::Digest;

use super::fake::{Asked, Fake, Reply};
use super::{SECRET, reference, registries, with_credential};

const INDEX: &[u8] = br#"{"manifests":[]}"#;

fn says(status: u16, headers: Vec<(&'static str, String)>, body: &[u8]) -> Reply {
    Reply::Says(status, headers, body.to_vec())
}

fn digest(seed: char) -> Digest {
    format!("sha256:{}", seed.to_string().repeat(64)).parse().expect("a digest")
}

/// What is said of a tag there, and how long that took.
async fn asked(fake: &Fake) -> (String, Duration) {
    let (host, since) = (fake.host(), Instant::now());
    let answer = registries(&[&host]).ask(&reference(&format!("{host}/shop/app:v1"))).await;
    (format!("{:?}", answer.said), since.elapsed())
}

#[tokio::test]
async fn what_is_no_registry_is_told_and_nothing_is_believed() {
    for (reply, expected) in [
        (
            says(200, vec![("content-type", "text/html; charset=utf-8".to_string())], b"<html>sign in</html>"),
            "a web page",
        ),
        (says(500, Vec::new(), b"oops"), "status 500"),
        (says(403, Vec::new(), b""), "status 403"),
        (says(301, vec![("location", "/v2/".to_string())], b""), "in circles"),
        (says(302, vec![("location", "ftp://elsewhere/".to_string())], b""), "nothing was sent there"),
        (says(200, vec![("docker-content-digest", "sha256:12".to_string())], INDEX), "StandsFor"),
        (says(404, Vec::new(), b""), "Gone"),
    ] {
        let fake = Fake::new(move |_| reply.clone()).await;
        let (said, _) = asked(&fake).await;
        assert!(said.contains(expected), "{expected}: {said}");
    }
}

#[tokio::test]
async fn an_answer_without_an_end_and_one_that_breaks_off_are_given_up() {
    for (reply, expected) in [(Reply::Endless, "too large"), (Reply::Torn(1000), "breaks off")] {
        let fake = Fake::new(move |asked: &Asked| match asked.method.as_str() {
            "HEAD" => says(200, Vec::new(), b""),
            _ => reply.clone(),
        })
        .await;
        let (said, took) = asked(&fake).await;
        assert!(said.contains(expected) && took < Duration::from_secs(20), "{expected}: {said} after {took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_says_nothing_or_a_letter_now_and_then_is_given_up_in_time() {
    for reply in [Reply::Silent, Reply::Drips] {
        let fake = Fake::new(move |_| reply.clone()).await;
        let (said, _) = asked(&fake).await;
        assert!(said.contains("no answer within 20 s"), "{said}");
    }
}

#[tokio::test]
async fn content_that_is_not_what_its_digest_names_is_refused() {
    let fake = Fake::new(|_| says(200, Vec::new(), INDEX)).await;
    let host = fake.host();
    let answer = registries(&[&host]).ask(&reference(&format!("{host}/shop/app@{}", digest('a')))).await;
    let said = format!("{:?}", answer.said);
    assert!(answer.said.is_err() && said.contains("is something else"), "{said}");
}

#[tokio::test]
async fn nobody_is_asked_who_is_not_configured() {
    let fake = Fake::new(|_| says(200, Vec::new(), INDEX)).await;
    let answer = registries(&["registry.example"]).ask(&reference(&format!("{}/shop/app:v1", fake.host()))).await;
    assert!(format!("{:?}", answer.said).contains("is not configured"), "{:?}", answer.said);
    assert_eq!(fake.asked().len(), 0);
}

/// Asks with a known credential; the registry answers 401 with this challenge.
async fn challenged(challenge: &str) -> (Fake, String) {
    let header = challenge.to_string();
    let fake = Fake::new(move |asked: &Asked| match (asked.path.starts_with("/token"), &asked.authorization) {
        (true, _) => says(200, Vec::new(), br#"{"token":"t0ken","expires_in":300}"#),
        (false, Some(token)) if token == "Bearer t0ken" || token.starts_with("Basic ") => {
            says(200, vec![("docker-content-digest", digest('b').to_string())], b"")
        }
        (false, _) => says(401, vec![("www-authenticate", header.clone())], b""),
    })
    .await;
    let host = fake.host();
    let answer = with_credential(&[&host], Some(&host)).ask(&reference(&format!("{host}/shop/app:v1"))).await;
    (fake, format!("{:?}", answer.said))
}

#[tokio::test]
async fn a_token_server_elsewhere_gets_nothing() {
    let thief = Fake::new(|_| says(200, Vec::new(), br#"{"token":"x"}"#)).await;
    // This machine by another name: nothing of the registry.
    let realm = format!("Bearer realm=\"http://localhost.evil.example:{}/token\",service=\"s\"", thief.port);
    let (fake, said) = challenged(&realm).await;
    assert!(said.contains("nothing was sent there"), "{said}");
    assert_eq!(thief.asked().len(), 0);
    assert!(fake.asked().iter().all(|asked| asked.authorization.is_none()));
    assert!(!said.contains(SECRET));
}

#[tokio::test]
async fn a_token_is_asked_for_once_and_sent_with_each_request() {
    let token_server = Fake::new(|_| says(200, Vec::new(), br#"{"access_token":"t0ken"}"#)).await;
    let realm = format!("Bearer realm=\"http://127.0.0.1:{}/token\",service=\"s\"", token_server.port);
    let fake = Fake::new(move |asked: &Asked| match &asked.authorization {
        Some(token) if token == "Bearer t0ken" => {
            says(200, vec![("docker-content-digest", digest('b').to_string())], b"")
        }
        _ => says(401, vec![("www-authenticate", realm.clone())], b""),
    })
    .await;
    let host = fake.host();
    let registries = with_credential(&[&host], Some(&host));
    for tag in ["v1", "v2", "v3"] {
        let answer = registries.ask(&reference(&format!("{host}/shop/app:{tag}"))).await;
        assert!(matches!(answer.said, Ok(Said::StandsFor(_))), "{:?}", answer.said);
    }
    let asked = token_server.asked();
    assert_eq!(asked.len(), 1, "one token for one repository");
    assert_eq!(asked[0].path, "/token?scope=repository%3Ashop%2Fapp%3Apull&service=s");
    assert!(asked[0].authorization.as_ref().is_some_and(|sent| sent.starts_with("Basic ")));
    assert_eq!(fake.asked().len(), 4, "one was sent without it");
}

#[tokio::test]
async fn user_and_password_go_to_a_registry_that_wants_them() {
    let (fake, said) = challenged("Basic realm=\"registry\"").await;
    assert!(said.contains("StandsFor"), "{said}");
    assert_eq!(fake.asked().len(), 2);
}

#[tokio::test]
async fn a_redirect_to_another_host_takes_no_token_with_it() {
    let blob = br#"{"config":{"Labels":{}}}"#;
    let config = format!("sha256:{}", hex(blob));
    let manifest = format!(r#"{{"config":{{"digest":"{config}"}}}}"#);
    let storage = Fake::new(move |_| says(200, Vec::new(), blob)).await;
    let elsewhere = format!("http://127.0.0.1:{}/blob", storage.port);
    let body = manifest.clone();
    let fake = Fake::new(move |asked: &Asked| match (&asked.authorization, asked.path.contains("/blobs/")) {
        (None, _) => says(401, vec![("www-authenticate", "Basic realm=\"x\"".to_string())], b""),
        (Some(_), true) => says(307, vec![("location", elsewhere.clone())], b""),
        (Some(_), false) => says(200, Vec::new(), body.as_bytes()),
    })
    .await;
    let host = fake.host();
    let about = reference(&format!("{host}/shop/app@sha256:{}", hex(manifest.as_bytes())));
    let answer = with_credential(&[&host], Some(&host)).ask(&about).await;
    assert!(matches!(answer.said, Ok(Said::IsOf(_))), "{:?}", answer.said);
    let asked = storage.asked();
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].authorization, None);
}

#[tokio::test(start_paused = true)]
async fn a_registry_that_asks_for_patience_gets_it() {
    let calls = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counted = std::sync::Arc::clone(&calls);
    let fake = Fake::new(move |_| match counted.fetch_add(1, std::sync::atomic::Ordering::Relaxed) {
        0 => says(429, vec![("retry-after", "2".to_string())], b""),
        _ => says(200, vec![("docker-content-digest", digest('b').to_string())], b""),
    })
    .await;
    let (said, _) = asked(&fake).await;
    assert!(said.contains("StandsFor"), "{said}");
    assert_eq!(calls.load(std::sync::atomic::Ordering::Relaxed), 2);

    let fake = Fake::new(|_| says(429, vec![("retry-after", "3000".to_string())], b"")).await;
    let (said, _) = asked(&fake).await;
    assert!(said.contains("too many requests"), "{said}");
    assert_eq!(fake.asked().len(), 1, "it is left alone for that long");
}

fn hex(bytes: &[u8]) -> String {
    use sha2::Digest as _;
    sha2::Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
