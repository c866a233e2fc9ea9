//! Registries: what a real one tells, and that a hostile one learns nothing and makes nothing wrong.

mod apart;
mod ecr;
mod fake;
mod hostile;
mod identity;
mod many;
mod real;
mod scale;
mod signed;

use std::sync::Arc;

use rolldeck::domain::image::ImageRef;
use rolldeck::domain::text::Text;
use rolldeck::registry::{Credential, Protocol, Registries, RegistrySetting};

/// The secret that nobody but its registry may see.
const SECRET: &str = "s3cret-canary";

/// Registries by these names, without credentials.
fn registries(hosts: &[&str]) -> Registries {
    with_credential(hosts, None)
}

fn with_credential(hosts: &[&str], known: Option<&str>) -> Registries {
    with(hosts, known, Credential::Password { user: "robot".to_string(), secret: SECRET.to_string() })
}

/// Registries by these names, of which one is known by this.
fn with(hosts: &[&str], known: Option<&str>, credential: Credential) -> Registries {
    let setting =
        |host: &&str| RegistrySetting { host: Text::new(host), protocol: Protocol::Https, token_hosts: Vec::new() };
    let known = known.map(str::to_string);
    let credentials = move |host: String| {
        let is_known = known.as_ref() == Some(&host);
        let credential = is_known.then(|| credential.clone());
        Box::pin(std::future::ready(Ok(credential))) as futures::future::BoxFuture<'static, _>
    };
    Registries::new(hosts.iter().map(setting).collect(), Arc::new(credentials)).expect("certificates")
}

fn reference(raw: &str) -> ImageRef {
    raw.parse().expect("a reference")
}
