//! Keys of registries that a cloud keeps: asked for with the credentials of the places that are looked at, when docker's files say
//! nothing of a host.
//!
//! Never asks twice for what it has, never keeps a key longer than it is good, and never shows one.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::Mutex as Turns;

use crate::domain::text::Text;
use crate::providers::{KINDS, KeyWork, PlaceSpec, RegistryKey, Surroundings};
use crate::registry::Credential;

/// How long before its end a key is asked for anew.
const EARLY: Duration = Duration::from_secs(3600);
/// How long it is not asked again where none was given.
const PAUSE: Duration = Duration::from_secs(60);

/// What asks for a key of a host; `None` where no cloud keeps a registry of that name.
type Ask = Box<dyn Fn(&str) -> Option<KeyWork> + Send + Sync>;

/// The keys of this process.
pub(super) struct Keys {
    ask: Ask,
    /// Of each host what was said last, and until when that counts; who asks has its turn.
    known: Mutex<HashMap<String, Arc<Turns<Option<Known>>>>>,
}

type Known = (Result<Credential, Text>, Timestamp);

impl Keys {
    /// Of all clouds, by these places.
    pub(super) fn of(places: Vec<PlaceSpec>, surroundings: Surroundings) -> Keys {
        Keys::by(Box::new(move |host| KINDS.iter().find_map(|kind| (kind.registry_key)(host, &places, &surroundings))))
    }

    fn by(ask: Ask) -> Keys {
        Keys { ask, known: Mutex::default() }
    }

    /// Who to be at a host at this moment; `None` where no cloud keeps it.
    pub(super) async fn credential(&self, host: &str, now: Timestamp) -> Result<Option<Credential>, Text> {
        let turn = {
            let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(known.entry(host.to_string()).or_default())
        };
        // Whoever else wants it waits for the same answer.
        let mut known = turn.lock().await;
        if let Some((said, until)) = known.as_ref()
            && now < *until
        {
            return said.clone().map(Some);
        }
        let Some(asked) = (self.ask)(host) else { return Ok(None) };
        let said = asked.await;
        let until = match &said {
            // A clock that is wrong is no reason to ask for each request.
            Ok(key) => (key.until - EARLY).max(now + PAUSE),
            Err(_) => now + PAUSE,
        };
        let said = said.map(|RegistryKey { user, secret, .. }| Credential::Password { user, secret });
        *known = Some((said.clone(), until));
        said.map(Some)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_000_000 + second).expect("in range")
    }

    /// Keys that are good for twelve hours from their number in thousands of seconds on, and how many were given.
    fn keys(answer: fn(u32) -> Result<RegistryKey, Text>) -> (Keys, Arc<AtomicU32>) {
        let asked = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&asked);
        let keys = Keys::by(Box::new(move |host| {
            if !host.ends_with(".cloud.example") {
                return None;
            }
            let number = counted.fetch_add(1, Ordering::Relaxed);
            Some(Box::pin(async move {
                tokio::task::yield_now().await;
                answer(number)
            }))
        }));
        (keys, asked)
    }

    #[tokio::test]
    async fn a_key_is_asked_for_once_and_again_an_hour_before_its_end() {
        let (keys, asked) = keys(|number| {
            let until = at(i64::from(number) * 39_600 + 43_200);
            Ok(RegistryKey { user: "AWS".to_string(), secret: format!("s3cret-{number}"), until })
        });
        let secret = |number: u32| {
            Ok(Some(Credential::Password { user: "AWS".to_string(), secret: format!("s3cret-{number}") }))
        };
        let host = "a.cloud.example";
        let both = futures::future::join(keys.credential(host, at(0)), keys.credential(host, at(0))).await;
        assert_eq!(both, (secret(0), secret(0)));
        assert_eq!(keys.credential(host, at(39_599)).await, secret(0));
        assert_eq!(asked.load(Ordering::Relaxed), 1);
        assert_eq!(keys.credential(host, at(39_600)).await, secret(1), "an hour is left");
        assert_eq!(asked.load(Ordering::Relaxed), 2);
        assert_eq!(keys.credential("registry.example", at(0)).await, Ok(None), "no cloud keeps it");
        for second in [200_000, 200_059, 200_060] {
            keys.credential(host, at(second)).await.expect("one that is out of date by our clock");
        }
        assert_eq!(asked.load(Ordering::Relaxed), 4, "once a minute at most");
    }

    #[tokio::test]
    async fn where_none_is_given_it_says_why_and_is_not_asked_at_once_again() {
        let (keys, asked) = keys(|_| Err(Text::new("ecr:GetAuthorizationToken is not granted")));
        let host = "a.cloud.example";
        for second in [0, 1, 59] {
            let why = keys.credential(host, at(second)).await.expect_err("none");
            assert!(why.contains("GetAuthorizationToken"), "{why}");
        }
        assert_eq!(asked.load(Ordering::Relaxed), 1);
        keys.credential(host, at(60)).await.expect_err("none");
        assert_eq!(asked.load(Ordering::Relaxed), 2);
    }
}
