//! The way to a server: address, TLS, keep-alive, windows, size limits.

use std::time::Duration;

use tonic::{
    codec::CompressionEncoding,
    transport::{Certificate, ClientTlsConfig, Endpoint, Identity},
};

use crate::{
    Client, Error, Reconnect,
    pb::{agent_service_client::AgentServiceClient, session_service_client::SessionServiceClient},
};

/// Collects how a server is reached, then connects.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use taiwa_client::Client;
///
/// let client = Client::builder("https://agents.example.com")
///     .ca_certificate(std::fs::read("ca.pem")?)
///     .connect()
///     .await?;
/// # let _ = client;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct Builder {
    endpoint: String,
    tls: Tls,
    connect_timeout: Duration,
    keep_alive_interval: Duration,
    keep_alive_timeout: Duration,
    stream_window_bytes: u32,
    connection_window_bytes: u32,
    max_message_bytes: usize,
    gzip: bool,
    reconnect: Reconnect,
}

#[derive(Debug, Clone, Default)]
struct Tls {
    ca_certificate: Option<Certificate>,
    identity: Option<Identity>,
    domain_name: Option<String>,
}

impl Builder {
    pub(crate) fn new(endpoint: impl Into<String>) -> Self {
        Self {
            endpoint: endpoint.into(),
            tls: Tls::default(),
            connect_timeout: Duration::from_secs(10),
            keep_alive_interval: Duration::from_secs(30),
            keep_alive_timeout: Duration::from_secs(10),
            stream_window_bytes: 1 << 20,
            connection_window_bytes: 8 << 20,
            max_message_bytes: 32 << 20,
            gzip: false,
            reconnect: Reconnect::default(),
        }
    }

    /// Trusts this certificate authority (PEM) instead of those that the
    /// machine trusts.
    pub fn ca_certificate(mut self, pem: impl AsRef<[u8]>) -> Self {
        self.tls.ca_certificate = Some(Certificate::from_pem(pem));
        self
    }

    /// Shows this certificate and key (PEM) to a server that asks for one.
    pub fn client_identity(mut self, certificate: impl AsRef<[u8]>, key: impl AsRef<[u8]>) -> Self {
        self.tls.identity = Some(Identity::from_pem(certificate, key));
        self
    }

    /// Expects this name in the server's certificate instead of the address's host.
    pub fn domain_name(mut self, name: impl Into<String>) -> Self {
        self.tls.domain_name = Some(name.into());
        self
    }

    /// Bounds the time to make a connection; default 10 s.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// Sets how often the connection is probed while calls run, and how long an
    /// answer may take; default every 30 s, 10 s.
    ///
    /// A dead peer is noticed after the sum of the two. Some servers end a
    /// connection that is probed more often than they allow.
    pub fn keep_alive(mut self, interval: Duration, timeout: Duration) -> Self {
        self.keep_alive_interval = interval;
        self.keep_alive_timeout = timeout;
        self
    }

    /// Sets how much may be under way unread, for one stream and for the whole
    /// connection, in bytes; default 1 MiB and 8 MiB.
    ///
    /// Costs that much memory when nobody reads. All streams of a connection
    /// share the second: when it is not several times the first, one stream
    /// that is not read holds up the others.
    pub fn windows(mut self, stream_bytes: u32, connection_bytes: u32) -> Self {
        self.stream_window_bytes = stream_bytes;
        self.connection_window_bytes = connection_bytes;
        self
    }

    /// Bounds one message from the server, in bytes; default 32 MiB.
    ///
    /// The end of a turn repeats its whole reply, images included.
    pub fn max_message_bytes(mut self, bytes: usize) -> Self {
        self.max_message_bytes = bytes;
        self
    }

    /// Lets the server compress what it sends; off by default.
    ///
    /// Pieces of text are a few dozen bytes, where compression costs more than
    /// it saves; whole replies over a thin line gain.
    pub fn gzip(mut self, accept: bool) -> Self {
        self.gzip = accept;
        self
    }

    /// Sets how calls that lost their connection are taken up again.
    ///
    /// Holds for a call's first attempt too; [`connect`](Self::connect) itself is tried once.
    pub fn reconnect(mut self, reconnect: Reconnect) -> Self {
        self.reconnect = reconnect;
        self
    }

    /// Connects, so that a server that is not there is noticed at once.
    ///
    /// # Errors
    ///
    /// [`Error::Endpoint`] when the address or the TLS settings cannot be used,
    /// [`Error::Unreachable`] when there is no connection to be had.
    pub async fn connect(self) -> Result<Client, Error> {
        let endpoint = self.endpoint()?;
        let channel = endpoint
            .connect()
            .await
            .map_err(|source| Error::Unreachable {
                endpoint: self.endpoint.clone(),
                source: Box::new(source),
            })?;
        Ok(self.client(channel))
    }

    /// Makes a client that connects with its first call.
    ///
    /// # Errors
    ///
    /// [`Error::Endpoint`] when the address or the TLS settings cannot be used.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime, where a connection cannot be driven.
    pub fn connect_lazy(self) -> Result<Client, Error> {
        let channel = self.endpoint()?.connect_lazy();
        Ok(self.client(channel))
    }

    fn client(&self, channel: tonic::transport::Channel) -> Client {
        let most = self.max_message_bytes;
        let mut stub = AgentServiceClient::new(channel.clone()).max_decoding_message_size(most);
        let mut sessions = SessionServiceClient::new(channel).max_decoding_message_size(most);
        if self.gzip {
            stub = stub.accept_compressed(CompressionEncoding::Gzip);
            sessions = sessions.accept_compressed(CompressionEncoding::Gzip);
        }
        Client {
            stub,
            sessions,
            endpoint: self.endpoint.clone(),
            reconnect: self.reconnect.clone(),
        }
    }

    fn endpoint(&self) -> Result<Endpoint, Error> {
        let refuse = |source: Box<dyn std::error::Error + Send + Sync>| Error::Endpoint {
            endpoint: self.endpoint.clone(),
            source,
        };
        let endpoint = Endpoint::from_shared(self.endpoint.clone())
            .map_err(|error| refuse(Box::new(error)))?;
        let secure = match endpoint.uri().scheme_str() {
            Some("https") => true,
            Some("http") => false,
            Some(_) | None => return Err(refuse("it must begin with http:// or https://".into())),
        };
        if !secure && self.tls.is_set() {
            return Err(refuse("TLS settings need an https:// address".into()));
        }
        let endpoint = endpoint
            .user_agent(concat!("taiwa-client/", env!("CARGO_PKG_VERSION")))
            .map_err(|error| refuse(Box::new(error)))?
            .connect_timeout(self.connect_timeout)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(self.keep_alive_interval)
            .keep_alive_timeout(self.keep_alive_timeout)
            .initial_stream_window_size(self.stream_window_bytes)
            .initial_connection_window_size(self.connection_window_bytes);
        if secure {
            return endpoint
                .tls_config(self.tls.config())
                .map_err(|error| refuse(Box::new(error)));
        }
        Ok(endpoint)
    }
}

impl Tls {
    fn is_set(&self) -> bool {
        self.ca_certificate.is_some() || self.identity.is_some() || self.domain_name.is_some()
    }

    fn config(&self) -> ClientTlsConfig {
        let mut config = ClientTlsConfig::new();
        config = match &self.ca_certificate {
            Some(certificate) => config.ca_certificate(certificate.clone()),
            None => config.with_native_roots(),
        };
        if let Some(identity) = &self.identity {
            config = config.identity(identity.clone());
        }
        if let Some(name) = &self.domain_name {
            config = config.domain_name(name);
        }
        config
    }
}
