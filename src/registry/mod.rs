//! What container registries know (OCI distribution): which digest a tag stands for, which documents an image has, what its labels
//! say. Start with `Registries::ask`.
//!
//! Never sends anything but GET and HEAD to a registry, and nothing else to anybody but the one POST that exchanges an identity
//! token at the token server that its registry names; never to a host that is neither configured nor one that such a host may name,
//! and never a credential to another host than the one it is for.

mod anatomy;
mod challenge;
mod client;
mod documents;
mod fault;
mod referrers;
mod settings;
mod signatures;
mod tokens;

use std::sync::Arc;

use futures::future::BoxFuture;
use jiff::Timestamp;

use anatomy::TakenApart;
use client::{Host, Web};
pub use fault::Fault;
pub use settings::{Protocol, RegistrySetting};

use crate::domain::catalog::{Answer, Documents, Said};
use crate::domain::image::ImageRef;
use crate::domain::text::Text;

/// Who somebody is at a registry.
#[derive(Clone, PartialEq, Eq)]
pub enum Credential {
    /// A user and a password.
    Password {
        /// The user.
        user: String,
        /// The password, or a token that stands for one.
        secret: String,
    },
    /// An identity token (an OAuth2 refresh token): good for nothing but to be exchanged for a token.
    Identity {
        /// It.
        token: String,
    },
}

/// Where credentials come from: the host's name in, who to be there out; `None`: nobody.
pub type Credentials = Arc<dyn Fn(String) -> BoxFuture<'static, Result<Option<Credential>, Text>> + Send + Sync>;

/// All registries that are configured.
#[derive(Clone)]
pub struct Registries {
    web: Arc<Web>,
    taken_apart: Arc<TakenApart>,
}

impl Registries {
    /// Sends nothing yet.
    ///
    /// # Errors
    /// If this machine has no certificates to trust.
    pub fn new(settings: Vec<RegistrySetting>, credentials: Credentials) -> Result<Registries, Text> {
        Ok(Registries { web: Arc::new(Web::new(settings, credentials)?), taken_apart: Arc::default() })
    }

    /// Whether a registry of this reference is configured; nobody else is asked.
    pub fn has(&self, reference: &ImageRef) -> bool {
        self.web.setting_of(&reference.registry_and_path().0).is_some()
    }

    /// Asks what a tag stands for, or which documents a digest is of. Takes as long as the registry's limits ask for.
    pub async fn ask(&self, about: &ImageRef) -> Answer {
        let said = match about.digest() {
            None => self.stands_for(about).await,
            Some(_) => self.is_of(about).await,
        };
        let said = match said {
            Err(Fault::Gone) => Ok(Said::Gone),
            other => other.map_err(|fault| Text::new(&fault.to_string())),
        };
        Answer { about: about.clone(), at: Timestamp::now(), said }
    }

    async fn stands_for(&self, about: &ImageRef) -> Result<Said, Fault> {
        let host = self.web.host(about)?;
        let tag = about.tag().unwrap_or("latest");
        let found = self.web.head(&host, &manifest_path(&host, tag)?).await?;
        if let Some(digest) = found {
            return Ok(Said::StandsFor(digest));
        }
        // A registry that does not name the digest: its content does.
        let body = self.web.manifest(&host, &manifest_path(&host, tag)?, None).await?;
        Ok(Said::StandsFor(documents::digest_of(&body)))
    }

    async fn is_of(&self, about: &ImageRef) -> Result<Said, Fault> {
        let host = self.web.host(about)?;
        let Some(digest) = about.digest() else { return Err(Fault::Gone) };
        let body = self.web.manifest(&host, &manifest_path(&host, digest.as_str())?, Some(digest)).await?;
        let mut found: Documents = documents::read(&body, digest).map_err(|why| host.malformed(why))?;
        // One platform tells what all of them are: labels are in configurations alone.
        let of_index = found.index.is_some();
        if let Some(platform) = found.platforms.first_mut() {
            if of_index {
                let child = platform.manifest.clone();
                let path = manifest_path(&host, child.as_str())?;
                let body = self.web.manifest(&host, &path, Some(&child)).await?;
                platform.config = documents::config_of(&body).map_err(|why| host.malformed(why))?;
            }
            if let Some(config) = platform.config.clone() {
                let blob = self.web.blob(&host, &config).await?;
                let (name, labels) = documents::read_config(&blob).map_err(|why| host.malformed(why))?;
                if platform.name.is_empty() {
                    platform.name = name;
                }
                found.labels = labels.or(found.labels);
            }
        }
        Ok(Said::IsOf(found))
    }
}

fn manifest_path(host: &Host, reference: &str) -> Result<String, Fault> {
    Ok(format!("/v2/{}/manifests/{reference}", host.path()?))
}

impl std::fmt::Debug for Credential {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // A secret stands in no log, whoever prints this.
        match self {
            Credential::Password { user, .. } => {
                formatter.debug_struct("Password").field("user", user).finish_non_exhaustive()
            }
            Credential::Identity { .. } => formatter.debug_struct("Identity").finish_non_exhaustive(),
        }
    }
}
