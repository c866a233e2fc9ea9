//! The connections to one cluster, watched over by the kernel: a watch may be silent for minutes, and a connection that
//! died without a word would look the same.
//!
//! Never differs from kube's own client but for that. Behind a proxy it is kube's own: there the other end is the proxy.

use std::time::Duration;

use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use kube::client::{Body, ClientBuilder, ConfigExt as _};
use kube::{Client, Config};
use tower::{BoxError, ServiceBuilder};
use tower_http::decompression::DecompressionLayer;

/// A connection that was silent for so long is asked whether it is there.
const ASKED_AFTER: Duration = Duration::from_secs(6);
/// How long between two such questions.
const ASKED_AGAIN: Duration = Duration::from_secs(3);
/// Without an answer to so many it is dead: after 12 s.
const ASKED: u32 = 2;

/// The client for a configuration.
///
/// # Errors
/// If its certificates, keys or credentials can't be used.
pub(super) fn client(config: Config) -> kube::Result<Client> {
    if config.proxy_url.is_some() {
        return Client::try_from(config);
    }
    let mut http = HttpConnector::new();
    http.enforce_http(false);
    http.set_connect_timeout(config.connect_timeout);
    http.set_keepalive(Some(ASKED_AFTER));
    http.set_keepalive_interval(Some(ASKED_AGAIN));
    http.set_keepalive_retries(Some(ASKED));
    let https = config.rustls_https_connector_with_connector(http)?;
    let connections = HttpClient::builder(TokioExecutor::new()).build::<_, Body>(https);
    let packed = DecompressionLayer::new().gzip(!config.disable_compression);
    let service = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .layer(packed)
        .option_layer(config.auth_layer()?)
        .layer(config.extra_headers_layer()?)
        .map_err(BoxError::from)
        .service(connections);
    Ok(ClientBuilder::new(service, config.default_namespace).build())
}
