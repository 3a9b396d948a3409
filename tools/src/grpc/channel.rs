//! The connection to a service, which all its calls share.

use std::{error::Error as _, fs, path::Path, time::Duration};

use http::Uri;
use hyper_util::client::legacy::connect::HttpConnector;
use tokio::sync::watch;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tower::{Service as _, ServiceExt as _, service_fn};

use super::{Config, StartError, Tls};

/// A lazily made connection.
#[derive(Clone, Debug)]
pub(super) struct Link {
    pub(super) channel: Channel,
    changes: watch::Sender<u64>,
}

/// Silence in a call after which the service is asked whether it is still there, and how long it
/// may take to say so. Services of gRPC's own make close a connection on which they are asked more
/// than once in five minutes; the operating system's keepalive finds a dead machine sooner.
///
/// <https://github.com/grpc/proposal/blob/master/A8-client-side-keepalive.md>
const PING_AFTER: Duration = Duration::from_secs(310);
const PING_TIMEOUT: Duration = Duration::from_secs(20);

/// When the operating system asks whether a silent peer's machine is there, how often, how long.
const TCP_KEEPALIVE: Duration = Duration::from_secs(30);
const TCP_KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const TCP_KEEPALIVE_RETRIES: u32 = 3;

impl Link {
    /// Makes the connection's plan; nothing is connected yet.
    pub(super) fn new(config: &Config) -> Result<Self, StartError> {
        let endpoint = endpoint(config)?
            .connect_timeout(config.connect_timeout)
            .http2_keep_alive_interval(PING_AFTER)
            .keep_alive_timeout(PING_TIMEOUT);
        let (changes, _) = watch::channel(0);
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_keepalive(Some(TCP_KEEPALIVE));
        tcp.set_keepalive_interval(Some(TCP_KEEPALIVE_INTERVAL));
        tcp.set_keepalive_retries(Some(TCP_KEEPALIVE_RETRIES));
        tcp.set_connect_timeout(Some(config.connect_timeout));
        let connected = changes.clone();
        let connector = service_fn(move |uri: Uri| {
            let mut tcp = tcp.clone();
            let connected = connected.clone();
            async move {
                let stream = tcp.ready().await?.call(uri).await;
                if stream.is_ok() {
                    connected.send_modify(|changes| *changes += 1);
                }
                stream
            }
        });
        Ok(Self {
            channel: endpoint.connect_with_connector_lazy(connector),
            changes,
        })
    }

    /// Tells of every connection that is made, and of every call that lost its connection: the
    /// service may be another one since.
    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Notes that a call lost its connection, or got none.
    pub(super) fn note_loss(&self) {
        self.changes.send_modify(|changes| *changes += 1);
    }
}

fn endpoint(config: &Config) -> Result<Endpoint, StartError> {
    if config.endpoint.contains('@') {
        return Err(StartError::Endpoint {
            reason: "it holds a user or a password, which belong into metadata".to_owned(),
        });
    }
    let refused = |reason: &str| StartError::Endpoint {
        reason: format!("`{}` {reason}", config.endpoint),
    };
    let uri: Uri = config
        .endpoint
        .parse()
        .map_err(|_| refused("is no address"))?;
    if !["", "/"].contains(&uri.path()) || uri.query().is_some() {
        return Err(refused("has a path, which gRPC does not use"));
    }
    let is_tls = match uri.scheme_str() {
        Some("http") => false,
        Some("https") => true,
        Some(_) | None => return Err(refused("is neither http nor https")),
    };
    let endpoint = Endpoint::from(uri);
    match &config.tls {
        Some(_) if !is_tls => Err(StartError::Tls {
            reason: "it is set, but the endpoint is http; write https, or leave tls out".to_owned(),
        }),
        None if !is_tls => Ok(endpoint),
        tls => {
            let tls = client_tls(&tls.clone().unwrap_or_default(), config.connect_timeout)?;
            endpoint.tls_config(tls).map_err(|error| StartError::Tls {
                reason: match error.source() {
                    Some(source) => source.to_string(),
                    None => error.to_string(),
                },
            })
        }
    }
}

fn client_tls(tls: &Tls, timeout: Duration) -> Result<ClientTlsConfig, StartError> {
    let mut client = ClientTlsConfig::new().timeout(timeout);
    client = match &tls.ca {
        Some(path) => {
            let authorities = read_pem("ca", path, "CERTIFICATE")?;
            client.ca_certificate(Certificate::from_pem(authorities))
        }
        None => client.with_native_roots(),
    };
    if let Some(ours) = &tls.client {
        let certificate = read_pem("client.certificate", &ours.certificate, "CERTIFICATE")?;
        let key = read_pem("client.key", &ours.key, "PRIVATE KEY")?;
        client = client.identity(Identity::from_pem(certificate, key));
    }
    Ok(match &tls.server_name {
        Some(name) => client.domain_name(name),
        None => client,
    })
}

/// Reads a file that holds at least one of what is looked for: the TLS library takes one that
/// holds none for an empty list.
fn read_pem(field: &str, path: &Path, holds: &str) -> Result<Vec<u8>, StartError> {
    let place = path.display();
    let bytes = fs::read(path).map_err(|error| StartError::Tls {
        reason: format!("{field}: {place} cannot be read: {error}"),
    })?;
    let text = String::from_utf8_lossy(&bytes);
    let has_one = text.lines().any(|line| {
        line.starts_with("-----BEGIN ") && line.trim_end().ends_with(&format!("{holds}-----"))
    });
    if !has_one {
        return Err(StartError::Tls {
            reason: format!("{field}: {place} holds no {holds} in PEM"),
        });
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(endpoint: &str, tls: Option<Tls>) -> String {
        let config = Config {
            tls,
            ..Config::new(endpoint, ["a.B/*"])
        };
        Link::new(&config)
            .map(|_| "no fault".to_owned())
            .unwrap_or_else(|error| error.to_string())
    }

    #[tokio::test]
    async fn an_endpoint_that_is_no_address_is_refused() {
        for (endpoint, expected) in [
            ("localhost:50051", "is neither http nor https"),
            ("http://", "is no address"),
            ("ftp://a:1", "is neither http nor https"),
            ("http://a:1/v1", "has a path"),
            ("http://user:hush@a:1", "it holds a user or a password"),
        ] {
            let reason = reason(endpoint, None);
            assert!(reason.starts_with("endpoint: "), "{reason}");
            assert!(reason.contains(expected), "{reason}");
            assert!(!reason.contains("hush"), "{reason}");
        }
    }

    #[tokio::test]
    async fn files_of_tls_that_cannot_be_used_are_named() {
        let missing = Tls {
            ca: Some("/nowhere/ca.pem".into()),
            ..Tls::default()
        };
        let told = reason("https://a:1", Some(missing));
        assert!(
            told.starts_with("tls: ca: /nowhere/ca.pem cannot be read"),
            "{told}"
        );

        let no_pem = Tls {
            ca: Some(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml").into()),
            ..Tls::default()
        };
        let told = reason("https://a:1", Some(no_pem));
        assert!(told.ends_with("holds no CERTIFICATE in PEM"), "{told}");
    }

    #[tokio::test]
    async fn tls_beside_an_http_endpoint_is_refused() {
        let told = reason("http://a:1", Some(Tls::default()));
        assert!(
            told.starts_with("tls: it is set, but the endpoint is http"),
            "{told}"
        );
    }
}
