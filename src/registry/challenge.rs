//! What a registry says when it wants to know who asks (`WWW-Authenticate`), and whether the one that it names may be asked.
//!
//! Pure: never sends anything.

use super::settings::{RegistrySetting, bare, is_loopback};

/// How a registry wants to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Challenge {
    /// User and password, with each request.
    Basic,
    /// A token from somebody.
    Bearer {
        /// Where tokens are given.
        realm: String,
        /// For whom.
        service: Option<String>,
        /// For what.
        scope: Option<String>,
    },
}

impl Challenge {
    /// The first of those in a header that we can answer.
    pub(super) fn read(header: &str) -> Option<Challenge> {
        let (scheme, rest) = header.trim().split_once(' ').unwrap_or((header.trim(), ""));
        if scheme.eq_ignore_ascii_case("basic") {
            return Some(Challenge::Basic);
        }
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        let (mut realm, mut service, mut scope) = (None, None, None);
        for (key, value) in parameters(rest) {
            match key.to_ascii_lowercase().as_str() {
                "realm" => realm = realm.or(Some(value)),
                "service" => service = service.or(Some(value)),
                "scope" => scope = scope.or(Some(value)),
                _ => {}
            }
        }
        Some(Challenge::Bearer { realm: realm?, service, scope })
    }
}

/// `key=value` and `key="value"`, with commas between.
fn parameters(raw: &str) -> Vec<(String, String)> {
    let (mut found, mut rest) = (Vec::new(), raw.trim_start());
    while let Some((key, after)) = rest.split_once('=') {
        let (value, left) = match after.strip_prefix('"') {
            Some(quoted) => unquoted(quoted),
            None => {
                let end = after.find(',').unwrap_or(after.len());
                (after[..end].trim().to_string(), &after[end..])
            }
        };
        found.push((key.trim().to_string(), value));
        rest = left.trim_start_matches([',', ' ', '\t']);
    }
    found
}

fn unquoted(quoted: &str) -> (String, &str) {
    let (mut value, mut is_escaped) = (String::new(), false);
    for (at, letter) in quoted.char_indices() {
        match letter {
            _ if is_escaped => {
                value.push(letter);
                is_escaped = false;
            }
            '\\' => is_escaped = true,
            '"' => return (value, &quoted[at + 1..]),
            _ => value.push(letter),
        }
    }
    (value, "")
}

/// Why a token must not be asked for there; credentials go to whoever is asked.
pub(super) fn why_not_ask(registry: &str, setting: &RegistrySetting, realm: &http::Uri) -> Option<&'static str> {
    let Some(authority) = realm.authority() else { return Some("which is no address") };
    if authority.as_str().contains('@') {
        return Some("an address with a user in it");
    }
    let (host, is_here) = (authority.as_str(), is_loopback(authority.as_str()));
    match realm.scheme_str() {
        Some("https") => {}
        Some("http") if is_here && is_loopback(registry) => {}
        Some("http") if setting.scheme(registry) == "http" && bare(host) == bare(registry) => {}
        _ => return Some("which is not HTTPS"),
    }
    let is_named = setting.token_hosts.iter().any(|named| crate::domain::selector::glob_matches(named, host));
    let is_of_it = bare(host) == bare(registry) || (is_here && is_loopback(registry));
    let own = psl::domain_str(bare(registry));
    let is_of_domain = own.is_some() && own == psl::domain_str(bare(host));
    (!is_named && !is_of_it && !is_of_domain)
        .then_some("which is of another domain (token_hosts in [[registries]] allows it)")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::settings::Protocol;
    use super::*;
    use crate::domain::text::Text;

    #[test]
    fn challenges_are_read_as_registries_write_them() {
        let bearer = |realm: &str, service: Option<&str>, scope: Option<&str>| {
            Some(Challenge::Bearer {
                realm: realm.to_string(),
                service: service.map(str::to_string),
                scope: scope.map(str::to_string),
            })
        };
        for (header, expected) in [
            ("Basic realm=\"x\"", Some(Challenge::Basic)),
            (
                "Bearer realm=\"https://auth.docker.io/token\",service=\"registry.docker.io\",scope=\"repository:library/nginx:pull\"",
                bearer(
                    "https://auth.docker.io/token",
                    Some("registry.docker.io"),
                    Some("repository:library/nginx:pull"),
                ),
            ),
            ("bearer  realm=https://a/t , service=b", bearer("https://a/t", Some("b"), None)),
            ("Bearer realm=\"a\\\"b\", error=\"x,y=z\"", bearer("a\"b", None, None)),
            ("Bearer service=\"b\"", None),
            ("Negotiate", None),
            ("", None),
        ] {
            assert_eq!(Challenge::read(header), expected, "{header}");
        }
    }

    #[test]
    fn credentials_go_to_the_registry_and_its_own_domain_alone() {
        let check = |registry: &str, realm: &str, allowed: &[&str], is_allowed: bool| {
            let token_hosts = allowed.iter().map(|host| Text::new(host)).collect();
            let setting = RegistrySetting { host: Text::new(registry), protocol: Protocol::Https, token_hosts };
            let realm: http::Uri = realm.parse().expect("an address");
            assert_eq!(why_not_ask(registry, &setting, &realm).is_none(), is_allowed, "{registry} {realm}");
        };
        check("registry-1.docker.io", "https://auth.docker.io/token", &[], true);
        check("registry.example.com:5000", "https://registry.example.com/token", &[], true);
        check("registry.example.com", "https://evil.com/token", &[], false);
        check("registry.example.com", "https://evil.com/token", &["evil.com"], true);
        check("registry.example.com", "http://registry.example.com/token", &[], false);
        check("registry.co.uk", "https://evil.co.uk/token", &[], false);
        check("eu.gcr.io", "https://user@eu.gcr.io/token", &[], false);
        check("127.0.0.1:5000", "http://127.0.0.1:5001/token", &[], true);
        check("registry.example.com", "http://127.0.0.1:5001/token", &[], false);
        check("registry.example.com", "https://registry.example.com.evil.com/token", &[], false);
    }

    proptest! {
        #[test]
        fn garbage_never_panics(header in ".{0,80}") {
            let _ = Challenge::read(&header);
        }
    }
}
