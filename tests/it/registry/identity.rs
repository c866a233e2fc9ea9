//! Identity tokens (docker's `identitytoken`): exchanged by a form at the token server, and shown to nobody else.

use super::fake::{Asked, Fake, Reply};
use super::{SECRET, reference, with};
use rolldeck::domain::catalog::{Answer, Said};
use rolldeck::registry::Credential;

fn says(status: u16, headers: Vec<(&'static str, String)>, body: &str) -> Reply {
    Reply::Says(status, headers, body.as_bytes().to_vec())
}

/// A registry that sends whoever asks to this token server, and knows who has its token.
async fn registry(challenge: String) -> Fake {
    Fake::new(move |asked: &Asked| match asked.authorization.as_deref() {
        Some("Bearer t0ken") => says(200, vec![("docker-content-digest", format!("sha256:{}", "b".repeat(64)))], ""),
        _ => says(401, vec![("www-authenticate", challenge.clone())], ""),
    })
    .await
}

async fn ask(fake: &Fake) -> Answer {
    let (host, token) = (fake.host(), format!("{SECRET}/+="));
    let registries = with(&[&host], Some(&host), Credential::Identity { token });
    let answer = registries.ask(&reference(&format!("{host}/shop/app:v1"))).await;
    assert!(!format!("{answer:?}").contains(SECRET), "{answer:?}");
    for asked in fake.asked() {
        assert!(!format!("{asked:?}").contains(SECRET), "a registry that names another never sees it: {asked:?}");
    }
    answer
}

fn bearer(server: &Fake) -> String {
    format!(
        "Bearer realm=\"http://127.0.0.1:{}/oauth2/token\",service=\"the registry\",scope=\"repository:shop/app:pull\"",
        server.port
    )
}

#[tokio::test]
async fn it_is_exchanged_for_a_token_by_a_form() {
    let server =
        Fake::new(|_| says(200, Vec::new(), r#"{"access_token":"t0ken","refresh_token":"another","expires_in":300}"#))
            .await;
    let fake = registry(bearer(&server)).await;
    let answer = ask(&fake).await;
    assert!(matches!(answer.said, Ok(Said::StandsFor(_))), "{:?}", answer.said);
    let asked = server.asked();
    assert_eq!(asked.len(), 1);
    let Asked { method, path, authorization, body } = &asked[0];
    assert_eq!((method.as_str(), path.as_str(), authorization), ("POST", "/oauth2/token", &None));
    let mut fields: Vec<&str> = body.split('&').collect();
    fields.sort_unstable();
    let wanted = [
        "client_id=rolldeck",
        "grant_type=refresh_token",
        "refresh_token=s3cret-canary%2F%2B%3D",
        "scope=repository%3Ashop%2Fapp%3Apull",
        "service=the%20registry",
    ];
    assert_eq!(fields, wanted);
    assert_eq!(fake.asked().len(), 2, "once without it");
}

#[tokio::test]
async fn nobody_of_another_domain_and_nobody_by_plain_http_is_given_it() {
    let thief = Fake::new(|_| says(200, Vec::new(), r#"{"access_token":"t0ken"}"#)).await;
    for realm in [
        format!("http://localhost.evil.example:{}/token", thief.port),
        "https://evil.example/token".to_string(),
        "http://registry.example/token".to_string(),
        format!("http://robot@127.0.0.1:{}/token", thief.port),
    ] {
        let fake = registry(format!("Bearer realm=\"{realm}\",service=\"s\"")).await;
        let said = format!("{:?}", ask(&fake).await.said);
        assert!(said.contains("nothing was sent there"), "{realm}: {said}");
    }
    assert_eq!(thief.asked().len(), 0);
}

#[tokio::test]
async fn a_token_server_that_sends_on_that_refuses_or_that_echoes_is_told_and_not_followed() {
    let thief = Fake::new(|_| says(200, Vec::new(), r#"{"access_token":"t0ken"}"#)).await;
    let elsewhere = vec![("location", format!("http://127.0.0.1:{}/", thief.port))];
    let quoted = format!("\"{SECRET}\"");
    for (reply, expected) in [
        (says(307, elsewhere.clone(), ""), "no token is given for its identity token: sign in again with docker (307)"),
        (says(401, Vec::new(), &quoted), "no token is given for its identity token: sign in again with docker (401)"),
        (
            says(405, Vec::new(), ""),
            "its token server takes no identity token: sign in with a password or a helper (405)",
        ),
        (says(200, Vec::new(), &quoted), "its token server answers with something else"),
        (says(200, Vec::new(), r#"{"access_token":""}"#), "its token server gives no token"),
    ] {
        let server = Fake::new(move |_| reply.clone()).await;
        let fake = registry(bearer(&server)).await;
        let said = format!("{:?}", ask(&fake).await.said);
        assert!(said.contains(expected), "{expected}: {said}");
        assert_eq!(server.asked().len(), 1, "it is sent once");
    }
    assert_eq!(thief.asked().len(), 0);
}

#[tokio::test]
async fn a_registry_that_wants_a_password_is_not_given_it() {
    let fake = registry("Basic realm=\"x\"".to_string()).await;
    let said = format!("{:?}", ask(&fake).await.said);
    assert!(said.contains("what is known for it is an identity token"), "{said}");
    assert_eq!(fake.asked().len(), 1);
}

/// A server that is busy or broken says nothing of who asks: nobody is sent to sign in again.
#[tokio::test]
async fn a_token_server_that_is_busy_or_broken_is_not_told_as_wrong_credentials() {
    for status in [429, 500, 503] {
        let server = Fake::new(move |_| says(status, vec![("retry-after", "1".to_string())], "")).await;
        let answer = ask(&registry(bearer(&server)).await).await;
        let why = answer.said.expect_err("no token");
        assert!(why.contains(&format!("its token server answers with status {status}")), "{why}");
        assert!(!why.contains("sign in"), "{why}");
    }
}
