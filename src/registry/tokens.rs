//! What is sent so that a registry knows who asks: user and password, or a token that they, or an identity token, are given for.
//!
//! Never sends a credential to anybody but the registry and whom it may name, never follows a token server elsewhere, and never
//! keeps a credential: what is kept, in memory, is what may be sent with further requests, for as long as it is good.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use http::header::WWW_AUTHENTICATE;
use http::{HeaderMap, Method, StatusCode, Uri};
use serde::Deserialize;
use tokio::time::Instant;

use super::Credential;
use super::challenge::{Challenge, why_not_ask};
use super::client::{Host, Outgoing, Response, Web};
use super::fault::Fault;
use crate::domain::text::Text;

/// An answer of a token server at most.
pub(super) const MOST_TOKEN: usize = 256 << 10;
/// How long a token is used that does not say how long it is good (the distribution specification).
const TOKEN_LIFE: Duration = Duration::from_secs(60);
/// And how long at most.
const LONGEST_LIFE: Duration = Duration::from_secs(3600);
/// Who we are to a token server that wants a name of the program (the distribution specification, "OAuth2 token").
const CLIENT: &str = "rolldeck";

/// What may be sent to a registry for now, by repository.
#[derive(Default)]
pub(super) struct Tokens(Mutex<HashMap<String, Token>>);

struct Token {
    header: String,
    until: Instant,
}

/// What a token server gives. It may give another identity token as well: that is for who signs in, not for us.
#[derive(Deserialize)]
struct TokenAnswer {
    token: Option<String>,
    access_token: Option<String>,
    expires_in: Option<u64>,
}

/// What a registry wants to have asked for.
struct Wanted<'a> {
    service: Option<&'a str>,
    scope: String,
}

impl Tokens {
    pub(super) fn of(&self, repository: &str) -> Option<String> {
        let tokens = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.get(repository).filter(|token| token.until > Instant::now()).map(|token| token.header.clone())
    }

    fn keep(&self, repository: &str, header: String, life: Duration) -> String {
        let token = Token { header: header.clone(), until: Instant::now() + life.mul_f32(0.9) };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(repository.to_string(), token);
        header
    }
}

impl Web {
    /// What to send so that the registry knows who asks.
    pub(super) async fn authorize(&self, host: &Host, headers: &HeaderMap) -> Result<String, Fault> {
        let challenges = headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
        let credential = (self.credentials)(host.name.clone()).await.map_err(|why| host.denied(&why))?;
        let mut challenges: Vec<Challenge> = challenges.filter_map(Challenge::read).collect();
        // A token is what all credentials are good for, whichever way it is named first.
        challenges.sort_by_key(|challenge| *challenge == Challenge::Basic);
        let challenge = challenges.into_iter().next();
        match (challenge, credential) {
            (None, _) => Err(host.denied("it wants to know who asks, and does not say how")),
            (Some(Challenge::Basic), Some(Credential::Password { user, secret })) => {
                Ok(host.state.tokens.keep(&host.path, basic(&user, &secret), TOKEN_LIFE))
            }
            (Some(Challenge::Basic), Some(Credential::Identity { .. })) => {
                Err(host.denied("it wants a user and a password, and what is known for it is an identity token"))
            }
            (Some(Challenge::Basic), None) => {
                Err(host.denied("it wants a user and a password, and no credentials are known for it"))
            }
            (Some(Challenge::Bearer { realm, service, scope }), credential) => {
                let uri = host.realm(&realm)?;
                let scope = scope.unwrap_or_else(|| format!("repository:{}:pull", host.path));
                let wanted = Wanted { service: service.as_deref(), scope };
                let answer = self.ask_for_token(host, &realm, &uri, &wanted, credential.as_ref()).await?;
                host.taken(&answer, credential.as_ref())
            }
        }
    }

    /// Asks the server that `realm` names, which may be asked, for a token.
    async fn ask_for_token(
        &self,
        host: &Host,
        realm: &str,
        uri: &Uri,
        wanted: &Wanted<'_>,
        credential: Option<&Credential>,
    ) -> Result<Response, Fault> {
        let who = match credential {
            // Who has one is known by it alone: it is exchanged by a form, and stands in no address and no header.
            Some(Credential::Identity { token }) => {
                let form = Some(wanted.form(token));
                let accept = "application/json";
                let outgoing = Outgoing { method: &Method::POST, uri, accept, who: None, form, most: MOST_TOKEN };
                return self.send(host, outgoing).await;
            }
            Some(Credential::Password { user, secret }) => Some(basic(user, secret)),
            None => None,
        };
        let sign = if realm.contains('?') { '&' } else { '?' };
        let uri = format!("{realm}{sign}{}", wanted.query());
        let uri = uri.parse().map_err(|_| host.astray(realm, "which is no address"))?;
        let (method, accept, who) = (&Method::GET, "application/json", who.as_deref());
        self.send(host, Outgoing { method, uri: &uri, accept, who, form: None, most: MOST_TOKEN }).await
    }
}

impl Wanted<'_> {
    fn query(&self) -> String {
        let service = self.service.map_or(String::new(), |service| format!("&service={}", escaped(service)));
        format!("scope={}{service}", escaped(&self.scope))
    }

    fn form(&self, refresh_token: &str) -> String {
        let query = self.query();
        format!("grant_type=refresh_token&client_id={CLIENT}&{query}&refresh_token={}", escaped(refresh_token))
    }
}

impl Host {
    /// The token server that a registry names, if it may be asked.
    fn realm(&self, realm: &str) -> Result<Uri, Fault> {
        let wrong = |why: &str| self.astray(realm, why);
        let uri: Uri = realm.parse().map_err(|_| wrong("which is no address"))?;
        match why_not_ask(self.authority(), &self.setting, &uri) {
            Some(why) => Err(wrong(why)),
            None => Ok(uri),
        }
    }

    /// Keeps what a token server gave.
    fn taken(&self, answer: &Response, credential: Option<&Credential>) -> Result<String, Fault> {
        if answer.status.is_server_error() || answer.status == StatusCode::TOO_MANY_REQUESTS {
            // It is busy, or broken: that says nothing of who asks.
            self.told_to_wait(&answer.headers);
            return Err(self.unreachable(&format!("its token server answers with status {}", answer.status.as_u16())));
        }
        if !answer.status.is_success() {
            let why = match (credential, answer.status) {
                (Some(Credential::Password { .. }), _) => "no token is given to these credentials",
                (Some(Credential::Identity { .. }), StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED) => {
                    "its token server takes no identity token: sign in with a password or a helper"
                }
                (Some(Credential::Identity { .. }), _) => {
                    "no token is given for its identity token: sign in again with docker"
                }
                (None, _) => "no token is given to somebody without credentials",
            };
            return Err(self.denied(&format!("{why} ({})", answer.status.as_u16())));
        }
        let answer: TokenAnswer = serde_json::from_slice(&answer.body)
            // Not the error itself: it may quote what it has found.
            .map_err(|_| self.malformed(Text::new("its token server answers with something else")))?;
        let token = [answer.token, answer.access_token].into_iter().flatten().find(|token| !token.is_empty());
        let Some(token) = token else { return Err(self.malformed(Text::new("its token server gives no token"))) };
        let life = answer.expires_in.map_or(TOKEN_LIFE, Duration::from_secs).min(LONGEST_LIFE);
        Ok(self.state.tokens.keep(&self.path, format!("Bearer {token}"), life))
    }
}

fn basic(user: &str, secret: &str) -> String {
    use base64::Engine as _;
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("{user}:{secret}")))
}

fn escaped(raw: &str) -> String {
    let escape = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    raw.bytes().map(escape).collect()
}
