//! The clients of one account and region, and who we are there.
//!
//! Never stores a credential: the SDK finds them as the AWS tools do, when they are first needed. `Writes` exists only
//! where mutations are allowed, and never sends a request twice: no write of ours takes an idempotency token.

use std::error::Error;
use std::future::Future;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_config::identity::IdentityCache;
use aws_config::{AppName, BehaviorVersion, Region, SdkConfig};
use aws_runtime::env_config::file::{EnvConfigFileKind, EnvConfigFiles};
use aws_sdk_ec2::config::interceptors::{
    AfterDeserializationInterceptorContextRef, BeforeTransmitInterceptorContextRef,
};
use aws_sdk_ec2::config::retry::RetryConfig;
use aws_sdk_ec2::config::timeout::TimeoutConfig;
use aws_sdk_ec2::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_ec2::error::{BoxError, ProvideErrorMetadata, SdkError};

use super::fault::Fault;
use super::profiles;
use crate::providers::{Calls, Mutations};

const CONNECT: Duration = Duration::from_secs(5);
/// A page of 1,000 instances over a slow line.
const ATTEMPT: Duration = Duration::from_secs(30);
/// Longer than a helper may take that gets credentials.
const SIGN_IN: Duration = Duration::from_secs(28);
const READ_ATTEMPTS: u32 = 3;

/// How one account and region is reached.
#[derive(Debug, Default)]
pub(super) struct Link {
    pub profile: Option<String>,
    pub region: Option<String>,
    pub role_arn: Option<String>,
    pub endpoint_url: Option<String>,
    /// AWS's own files, where they are.
    pub files: Vec<(EnvConfigFileKind, PathBuf)>,
    /// What runs a helper that gets credentials (`credential_process`) away from the terminal.
    pub helper: Option<String>,
    /// Loaded once; dropped when the credentials were refused, so that a new sign-in is found.
    pub config: Mutex<Option<SdkConfig>>,
    pub calls: Arc<Calls>,
    /// When CloudTrail was asked last.
    pub trail: tokio::sync::Mutex<Option<tokio::time::Instant>>,
}

/// Asks. Every read may be sent again by the SDK.
#[derive(Clone)]
pub(super) struct Reads {
    link: Arc<Link>,
    clients: Arc<Mutex<Option<Clients>>>,
}

/// Changes. Nothing is ever sent again by the SDK.
pub(super) struct Writes(Reads);

/// One client for each service.
#[derive(Clone, Debug)]
pub(super) struct Clients {
    pub sts: aws_sdk_sts::Client,
    pub ec2: aws_sdk_ec2::Client,
    pub autoscaling: aws_sdk_autoscaling::Client,
    pub ecs: aws_sdk_ecs::Client,
    /// The region that they ask.
    pub region: String,
}

/// How often a request may be sent.
#[derive(Clone, Copy)]
enum Sends {
    Once,
    UpTo(u32),
}

/// Counts every attempt that goes out.
#[derive(Debug)]
struct Count(Arc<Calls>);

impl Intercept for Count {
    fn name(&self) -> &'static str {
        "rolldeck calls"
    }

    fn read_before_transmit(
        &self,
        _: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        self.0.note();
        Ok(())
    }
}

/// Refuses an answer that is not all there. The SDK's reader of XML takes the end of the text for the end of a list.
#[derive(Debug)]
struct Whole;

impl Intercept for Whole {
    fn name(&self) -> &'static str {
        "rolldeck whole answers"
    }

    fn read_after_deserialization(
        &self,
        context: &AfterDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let response = context.response();
        match response.body().bytes() {
            Some(body) if response.status().is_success() && !is_whole(body) => Err("the answer is cut off".into()),
            Some(_) | None => Ok(()),
        }
    }
}

/// Whether a text of XML ends with what it begins with, or one of JSON with a brace.
fn is_whole(body: &[u8]) -> bool {
    let text = String::from_utf8_lossy(body);
    let text = text.trim();
    if text.starts_with('{') {
        return text.ends_with('}');
    }
    let text = text.strip_prefix("<?xml").and_then(|rest| rest.split_once("?>")).map_or(text, |(_, rest)| rest).trim();
    let Some(opened) = text.strip_prefix('<') else { return false };
    let name = opened.split(|end: char| end.is_whitespace() || end == '>' || end == '/').next().unwrap_or_default();
    !name.is_empty() && text.ends_with(&format!("</{name}>"))
}

impl Link {
    async fn config(&self) -> SdkConfig {
        if let Some(config) = self.config.lock().unwrap_or_else(PoisonError::into_inner).clone() {
            return config;
        }
        let timeouts = TimeoutConfig::builder().connect_timeout(CONNECT).operation_attempt_timeout(ATTEMPT).build();
        // The SDK takes no empty set of files: where neither is there, an empty one stands for both.
        let none = EnvConfigFiles::builder().with_contents(EnvConfigFileKind::Config, "");
        let present = self.files.iter().filter(|(_, path)| path.exists());
        let files = present.fold(none, |files, (kind, path)| match (&self.helper, std::fs::read_to_string(path)) {
            (Some(helper), Ok(text)) => files.with_contents(*kind, profiles::with_helper(&text, helper)),
            // The SDK says what is wrong with it.
            (None, _) | (_, Err(_)) => files.with_file(*kind, path),
        });
        let identities = IdentityCache::lazy().load_timeout(SIGN_IN).build();
        let loader =
            aws_config::defaults(BehaviorVersion::latest()).timeout_config(timeouts).identity_cache(identities);
        let mut loader = loader.profile_files(files.build());
        // So that CloudTrail tells our requests from others.
        if let Ok(name) = AppName::new(env!("CARGO_PKG_NAME")) {
            loader = loader.app_name(name);
        }
        if let Some(profile) = &self.profile {
            loader = loader.profile_name(profile);
        }
        if let Some(region) = &self.region {
            loader = loader.region(Region::new(region.clone()));
        }
        if let Some(url) = &self.endpoint_url {
            loader = loader.endpoint_url(url);
        }
        let mut config = loader.load().await;
        if let Some(role) = &self.role_arn {
            let role = aws_config::sts::AssumeRoleProvider::builder(role).session_name("rolldeck").configure(&config);
            let provider = aws_sdk_ec2::config::SharedCredentialsProvider::new(role.build().await);
            config = config.into_builder().credentials_provider(provider).build();
        }
        *self.config.lock().unwrap_or_else(PoisonError::into_inner) = Some(config.clone());
        config
    }

    async fn clients(&self, sends: Sends) -> Clients {
        let config = self.config().await;
        let retries = match sends {
            Sends::Once => RetryConfig::disabled(),
            Sends::UpTo(attempts) => RetryConfig::standard().with_max_attempts(attempts),
        };
        let count = || Count(self.calls.clone());
        let sts = aws_sdk_sts::config::Builder::from(&config)
            .retry_config(retries.clone())
            .interceptor(count())
            .interceptor(Whole);
        let ec2 = aws_sdk_ec2::config::Builder::from(&config)
            .retry_config(retries.clone())
            .interceptor(count())
            .interceptor(Whole);
        let autoscaling = aws_sdk_autoscaling::config::Builder::from(&config)
            .retry_config(retries.clone())
            .interceptor(count())
            .interceptor(Whole);
        let ecs =
            aws_sdk_ecs::config::Builder::from(&config).retry_config(retries).interceptor(count()).interceptor(Whole);
        Clients {
            sts: aws_sdk_sts::Client::from_conf(sts.build()),
            ec2: aws_sdk_ec2::Client::from_conf(ec2.build()),
            autoscaling: aws_sdk_autoscaling::Client::from_conf(autoscaling.build()),
            ecs: aws_sdk_ecs::Client::from_conf(ecs.build()),
            region: config.region().map(ToString::to_string).unwrap_or_default(),
        }
    }

    /// A client for the registries of the region.
    pub(super) async fn ecr(&self) -> aws_sdk_ecr::Client {
        let retries = RetryConfig::standard().with_max_attempts(READ_ATTEMPTS);
        let config = aws_sdk_ecr::config::Builder::from(&self.config().await).retry_config(retries);
        aws_sdk_ecr::Client::from_conf(config.interceptor(Count(self.calls.clone())).interceptor(Whole).build())
    }

    /// A client for who asked for what in the region.
    pub(super) async fn cloudtrail(&self) -> aws_sdk_cloudtrail::Client {
        let retries = RetryConfig::standard().with_max_attempts(READ_ATTEMPTS);
        let config = aws_sdk_cloudtrail::config::Builder::from(&self.config().await).retry_config(retries);
        aws_sdk_cloudtrail::Client::from_conf(config.interceptor(Count(self.calls.clone())).interceptor(Whole).build())
    }

    /// The command that signs in again, as far as the profile tells.
    pub(super) fn how_to_sign_in(&self) -> String {
        match &self.profile {
            Some(profile) => format!("sign in again: aws sso login --profile {profile}, or renew its keys"),
            None => "sign in again: aws sso login, or set AWS_PROFILE or new keys".to_string(),
        }
    }
}

impl Reads {
    pub(super) fn new(link: Arc<Link>) -> Reads {
        Reads { link, clients: Arc::default() }
    }

    pub(super) fn link(&self) -> &Link {
        &self.link
    }

    pub(super) fn calls(&self) -> &Calls {
        &self.link.calls
    }

    /// The clients; made when they are first needed.
    pub(super) async fn clients(&self) -> Clients {
        self.clients_for(Sends::UpTo(READ_ATTEMPTS)).await
    }

    async fn clients_for(&self, sends: Sends) -> Clients {
        let known = self.clients.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match known {
            Some(clients) => clients,
            None => {
                let clients = self.link.clients(sends).await;
                *self.clients.lock().unwrap_or_else(PoisonError::into_inner) = Some(clients.clone());
                clients
            }
        }
    }

    /// Forgets credentials that were refused: whoever signs in again is found at the next request.
    pub(super) fn renounce(&self) {
        *self.link.config.lock().unwrap_or_else(PoisonError::into_inner) = None;
        *self.clients.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

impl Writes {
    /// `None` where mutations are forbidden: then nothing in this process can change anything there.
    pub(super) fn new(link: Arc<Link>, mutations: Mutations) -> Option<Writes> {
        (mutations == Mutations::Allowed).then(|| Writes(Reads::new(link)))
    }

    /// The clients that send once.
    pub(super) async fn clients(&self) -> Clients {
        self.0.clients_for(Sends::Once).await
    }

    /// Forgets credentials that were refused.
    pub(super) fn renounce(&self) {
        self.0.renounce();
    }
}

/// Waits for the answer to an action. The action's name is also what a policy must allow: a test reads them all.
pub(super) async fn ask<T, E>(
    action: &'static str,
    sent: impl Future<Output = Result<T, SdkError<E>>>,
) -> Result<T, Fault>
where
    E: ProvideErrorMetadata + Error + 'static,
{
    sent.await.map_err(|error| Fault::of(action, &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_answer_with_its_end_is_whole() {
        let xml = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<R xmlns=\"x\"><a><b>1</b></a></R>\n";
        assert!(is_whole(xml.as_bytes()));
        for cut in xml.trim_end().char_indices().map(|(at, _)| at) {
            assert!(!is_whole(&xml.as_bytes()[..cut]), "{}", &xml[..cut]);
        }
        assert!(
            is_whole(b"{}") && is_whole(b" {\"a\": [1]} ") && !is_whole(b"{\"a\": [1]") && !is_whole(b"login, please")
        );
    }
}
