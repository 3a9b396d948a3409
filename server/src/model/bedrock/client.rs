//! Opening model calls: clients in rotation, deadlines, the count of retries.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU32, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use aws_config::{
    BehaviorVersion, Region, SdkConfig, retry::RetryConfig,
    stalled_stream_protection::StalledStreamProtectionConfig, timeout::TimeoutConfig,
};
use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};
use aws_sdk_bedrockruntime::{
    Client,
    config::{
        Builder, ConfigBag, Intercept, RuntimeComponents, SharedHttpClient,
        interceptors::BeforeTransmitInterceptorContextRef,
    },
    error::BoxError,
};
use aws_smithy_http_client::{Connector, proxy::ProxyConfig, tls};
use taiwa_core::{Failure, ModelRequest};

use super::{
    config::{Config, StaticCredentials},
    error, request,
    stream::ModelStream,
};

/// How long an idle connection is kept.
///
/// Shorter than the idle limits of the balancers seen on the way, the shortest of which is 60 s:
/// a connection that they have dropped in silence must not be chosen for a call.
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// Amazon Bedrock Runtime. Clones share their connections.
#[derive(Clone, Debug)]
pub struct Bedrock {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    clients: Box<[Client]>,
    next: AtomicUsize,
    has_region: bool,
}

/// An open model call.
#[derive(Debug)]
pub struct Opened {
    /// What the model says.
    pub stream: ModelStream,
    /// Attempts that failed before this one.
    pub retries: u32,
}

impl Bedrock {
    /// Settles region, credentials' sources and endpoint; sends nothing to Bedrock.
    ///
    /// A missing region or missing credentials are told by the first call, so that a server
    /// without an account starts.
    pub async fn connect(config: Config) -> Self {
        let shared = match &config.credentials {
            Some(credentials) => by_hand(&config, credentials),
            None => standard_chain(&config).await,
        };
        Self::with_shared(&config, &shared)
    }

    /// Opens a model call and waits until the provider has accepted it.
    ///
    /// Attempts that fail in passing are repeated by the SDK, with growing random pauses, until
    /// the attempts or the time until the request's deadline are used up.
    ///
    /// # Errors
    ///
    /// The refusal or failure in the words of the contract's reasons; `DeadlineExceeded` when the
    /// deadline passes first.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes the connection to the provider, whatever stage the call is in.
    /// It must not be dropped and repeated in a loop: each call is another call.
    pub async fn open(&self, request: ModelRequest) -> Result<Opened, Failure> {
        self.require_region()?;
        let (call, json) = request::converse_stream(self.client().converse_stream(), &request)?;
        let attempts = Attempts::default();
        let call = call
            .customize()
            .interceptor(json)
            .interceptor(attempts.clone())
            .send();
        let output = within(request.deadline, call)
            .await?
            .map_err(|error| error::of_opening(&error, attempts.host()))?;
        Ok(Opened {
            stream: ModelStream::new(output, request::asks_for_trace(&request)),
            retries: attempts.retries(),
        })
    }

    /// Counts the input tokens that a request would have.
    ///
    /// # Errors
    ///
    /// As for [`open`](Self::open); models that cannot count refuse with `ModelRejectedRequest`.
    ///
    /// # Cancel safety
    ///
    /// As for [`open`](Self::open).
    pub async fn count_tokens(&self, request: ModelRequest) -> Result<u32, Failure> {
        self.require_region()?;
        let (call, json) = request::count_tokens(self.client().count_tokens(), &request)?;
        let attempts = Attempts::default();
        let call = call
            .customize()
            .interceptor(json)
            .interceptor(attempts.clone())
            .send();
        let output = within(request.deadline, call)
            .await?
            .map_err(|error| error::of_counting(&error, attempts.host()))?;
        Ok(output.input_tokens.try_into().unwrap_or_default())
    }

    fn with_shared(config: &Config, shared: &SdkConfig) -> Self {
        let base = Builder::from(shared)
            .retry_config(RetryConfig::standard().with_max_attempts(config.max_attempts.get()))
            .timeout_config(
                TimeoutConfig::builder()
                    .connect_timeout(config.connect_timeout)
                    .build(),
            )
            // Applied to some operations only, and to none of the streaming ones; the core's own
            // watch over silence holds for all.
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled());
        let clients: Box<[Client]> = (0..config.clients.get())
            .map(|_| Client::from_conf(base.clone().http_client(http_client(config)).build()))
            .collect();
        Self {
            inner: Arc::new(Inner {
                clients,
                next: AtomicUsize::new(0),
                has_region: shared.region().is_some(),
            }),
        }
    }

    fn client(&self) -> &Client {
        let turn = self.inner.next.fetch_add(1, Ordering::Relaxed);
        &self.inner.clients[turn % self.inner.clients.len()]
    }

    fn require_region(&self) -> Result<(), Failure> {
        if self.inner.has_region {
            Ok(())
        } else {
            Err(error::no_region())
        }
    }
}

/// What the SDK's attempts to open one call came to.
#[derive(Clone, Debug, Default)]
struct Attempts {
    log: Arc<AttemptLog>,
}

#[derive(Debug, Default)]
struct AttemptLog {
    sent: AtomicU32,
    host: OnceLock<String>,
}

impl Attempts {
    fn retries(&self) -> u32 {
        self.log.sent.load(Ordering::Relaxed).saturating_sub(1)
    }

    /// The host called; `None` when nothing was sent.
    fn host(&self) -> Option<&str> {
        self.log.host.get().map(String::as_str)
    }
}

impl Intercept for Attempts {
    fn name(&self) -> &'static str {
        "Attempts"
    }

    fn read_before_transmit(
        &self,
        context: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        self.log.sent.fetch_add(1, Ordering::Relaxed);
        self.log.host.get_or_init(|| {
            let uri = context.request().uri().parse::<http::Uri>().ok();
            uri.and_then(|uri| uri.authority().map(ToString::to_string))
                .unwrap_or_default()
        });
        Ok(())
    }
}

async fn standard_chain(config: &Config) -> SdkConfig {
    let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12());
    if let Some(region) = &config.region {
        loader = loader.region(Region::new(region.clone()));
    }
    if let Some(profile) = &config.profile {
        loader = loader.profile_name(profile);
    }
    if let Some(url) = &config.endpoint_url {
        loader = loader.endpoint_url(url);
    }
    loader.load().await
}

fn by_hand(config: &Config, credentials: &StaticCredentials) -> SdkConfig {
    let credentials = Credentials::new(
        &credentials.access_key_id,
        &credentials.secret_access_key,
        credentials.session_token.clone(),
        None,
        "taiwa",
    );
    let mut builder = SdkConfig::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(config.region.clone().map(Region::new))
        .credentials_provider(SharedCredentialsProvider::new(credentials));
    builder.set_endpoint_url(config.endpoint_url.clone());
    builder.build()
}

fn http_client(config: &Config) -> SharedHttpClient {
    let plain = config
        .endpoint_url
        .as_ref()
        .is_some_and(|url| url.starts_with("http://"));
    let proxy = match config.credentials {
        Some(_) => ProxyConfig::disabled(),
        None => ProxyConfig::from_env(),
    };
    aws_smithy_http_client::Builder::new().build_with_connector_fn(move |settings, components| {
        let mut builder = Connector::builder()
            .pool_idle_timeout(POOL_IDLE_TIMEOUT)
            .proxy_config(proxy.clone());
        builder.set_connector_settings(settings.cloned());
        builder.set_sleep_impl(components.and_then(RuntimeComponents::sleep_impl));
        if plain {
            // Without TLS there is no reason to read the machine's certificates.
            builder.build_http()
        } else {
            let mode = tls::rustls_provider::CryptoMode::AwsLc;
            builder.tls_provider(tls::Provider::Rustls(mode)).build()
        }
    })
}

/// Waits for `call`, but not beyond the deadline.
///
/// The SDK's own operation timeout would need a configuration of its own for every call, and
/// would not cover what comes before its first attempt.
async fn within<T>(deadline: Option<Instant>, call: impl Future<Output = T>) -> Result<T, Failure> {
    match deadline {
        None => Ok(call.await),
        Some(deadline) => tokio::time::timeout_at(deadline.into(), call)
            .await
            .map_err(|_| error::deadline_passed()),
    }
}
