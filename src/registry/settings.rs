//! Which registries may be asked, and how.
//!
//! Never guesses a protocol: plain HTTP is for loopback, or where it is configured.

use crate::domain::selector::glob_matches;
use crate::domain::text::Text;

/// One registry of the configuration, or several by a glob.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistrySetting {
    /// Glob over host names with their port (`registry.internal:5000`, `*.dkr.ecr.*.amazonaws.com`).
    pub host: Text,
    /// How it is spoken to.
    pub protocol: Protocol,
    /// Further hosts that may give tokens for it, beside those of its own domain.
    pub token_hosts: Vec<Text>,
}

/// How a registry is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTPS, and plain HTTP where it is on this machine.
    Https,
    /// Plain HTTP.
    PlainHttp,
}

impl RegistrySetting {
    /// Whether it is about this host.
    pub(super) fn is_about(&self, host: &str) -> bool {
        glob_matches(&self.host, host)
    }

    /// The scheme for one of its hosts.
    pub(super) fn scheme(&self, host: &str) -> &'static str {
        match self.protocol {
            Protocol::PlainHttp => "http",
            Protocol::Https if is_loopback(host) => "http",
            Protocol::Https => "https",
        }
    }
}

/// Whether a host name, with its port or without, is this machine by its very name.
pub(super) fn is_loopback(authority: &str) -> bool {
    let host = bare(authority);
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// A host without its port and without the brackets of an IPv6 address.
pub(super) fn bare(authority: &str) -> &str {
    if let Some(rest) = authority.strip_prefix('[') {
        return rest.split(']').next().unwrap_or_default();
    }
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) && !host.contains(':') => host,
        _ => authority,
    }
}
