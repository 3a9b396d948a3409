//! How Bedrock is reached.

use std::{
    fmt,
    num::{NonZeroU32, NonZeroUsize},
    time::Duration,
};

/// How Bedrock is reached; what is unset comes from the SDK's standard chain.
#[derive(Clone, Debug)]
pub struct Config {
    /// Region, such as `eu-central-1`; `None` means the environment's or the profile's.
    pub region: Option<String>,
    /// Profile of the shared AWS configuration files; `None` means the environment's, or `default`.
    pub profile: Option<String>,
    /// Address to call in place of the region's endpoint.
    ///
    /// `None` means `AWS_ENDPOINT_URL_BEDROCK_RUNTIME` or `AWS_ENDPOINT_URL`, if set.
    pub endpoint_url: Option<String>,
    /// Credentials to sign with.
    ///
    /// When set, nothing is taken from environment, files or instance metadata, proxies included:
    /// this is how the simulator is reached.
    pub credentials: Option<StaticCredentials>,
    /// HTTP clients in rotation. Default 4.
    ///
    /// Over TLS each client keeps one HTTP/2 connection to Bedrock, whose limit on concurrent
    /// streams long answers use up; four times the commonly seen limit of 100 is room for 400
    /// answers at a time. A larger value costs one connection each.
    pub clients: NonZeroUsize,
    /// Most attempts to open a call, the first included. Default 3, as the SDK's.
    pub max_attempts: NonZeroU32,
    /// Longest time to connect, TLS included. Default 3.1 s, as the SDK's.
    pub connect_timeout: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            region: None,
            profile: None,
            endpoint_url: None,
            credentials: None,
            clients: const { NonZeroUsize::new(4).expect("4 is not zero") },
            max_attempts: const { NonZeroU32::new(3).expect("3 is not zero") },
            connect_timeout: Duration::from_millis(3100),
        }
    }
}

/// Credentials given by hand.
#[derive(Clone)]
pub struct StaticCredentials {
    /// Access key id.
    pub access_key_id: String,
    /// Secret access key.
    pub secret_access_key: String,
    /// Session token, for temporary credentials.
    pub session_token: Option<String>,
}

impl fmt::Debug for StaticCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StaticCredentials(***)")
    }
}
