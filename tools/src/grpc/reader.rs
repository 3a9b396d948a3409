//! Reads what a service is made of, and again when it may be another one.

use std::{
    hash::{DefaultHasher, Hash as _, Hasher as _},
    path::Path,
    sync::Arc,
    time::Duration,
};

use prost_reflect::DescriptorPool;
use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout, timeout_at},
};
use tracing::{debug, error, info, warn};

use super::{
    Config, StartError,
    channel::Link,
    method,
    reflection::{self, Failure},
    selection::{Pattern, select},
};
use crate::Tools;

/// How long the start waits for a service that is not there: a guess at how much later one may
/// come up that is started together with us.
const START_PATIENCE: Duration = Duration::from_secs(3);

/// Longest reading of a service's description.
const READ_TIMEOUT: Duration = Duration::from_secs(10);

/// Shortest and longest pause before a service is asked again.
const PAUSES: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(30));

/// What is to be done after the start.
#[derive(Debug)]
pub(super) enum Reader {
    /// Nothing: the tools cannot change.
    Done,
    /// The task that watches the service.
    Watching(Watching),
}

/// Watches a service that describes itself.
#[derive(Debug)]
pub(super) struct Watching {
    service: Service,
    /// Of the descriptors from which the tools are; `None` before they were read.
    digest: Option<u64>,
    changes: watch::Receiver<u64>,
}

#[derive(Debug)]
struct Service {
    config: Arc<Config>,
    patterns: Vec<Pattern>,
    link: Link,
}

/// Checks `config`, and gives the tools if the service can be reached.
pub(super) async fn start(
    config: Arc<Config>,
    tools: &watch::Sender<Tools>,
) -> Result<Reader, StartError> {
    config.check()?;
    let service = Service {
        patterns: Pattern::parse_all(&config.methods)?,
        link: Link::new(&config)?,
        config,
    };
    if let Some(path) = &service.config.descriptor_set {
        let pool = read_file(path).await?;
        tools.send_replace(service.tools(&pool)?);
        return Ok(Reader::Done);
    }
    let mut watching = Watching {
        changes: service.link.changes(),
        service,
        digest: None,
    };
    let patience_ends = Instant::now() + START_PATIENCE;
    let mut reason = "it does not answer".to_owned();
    loop {
        match timeout_at(patience_ends, watching.read(tools)).await {
            Ok(Ok(())) => break,
            Ok(Err(Failure::Refused(error))) => return Err(error),
            Ok(Err(Failure::Unreachable(why))) => reason = why,
            Err(_elapsed) => {}
        }
        if timeout_at(patience_ends, sleep(PAUSES.0)).await.is_err() {
            let endpoint = &watching.service.config.endpoint;
            warn!(%endpoint, %reason, "gRPC service is not reachable, its tools come later");
            break;
        }
    }
    Ok(Reader::Watching(watching))
}

impl Watching {
    /// Keeps the tools as the service is, for ever.
    pub(super) async fn run(mut self, tools: watch::Sender<Tools>) {
        loop {
            if self.digest.is_some() && self.changes.changed().await.is_err() {
                return;
            }
            self.read_until_it_succeeds(&tools).await;
        }
    }

    async fn read_until_it_succeeds(&mut self, tools: &watch::Sender<Tools>) {
        let endpoint = self.service.config.endpoint.clone();
        let mut fault = None;
        let mut longest = PAUSES.0;
        loop {
            // Spread, so that those who lost the same service do not all come at once.
            sleep(rand::random_range(longest / 2..=longest)).await;
            longest = (longest * 2).min(PAUSES.1);
            match timeout(READ_TIMEOUT, self.read(tools)).await {
                Ok(Ok(())) => return,
                Ok(Err(Failure::Refused(refusal))) => {
                    // Once each, not at every try.
                    if fault.as_ref() != Some(&refusal) {
                        error!(%endpoint, error = %refusal, "gRPC tools cannot be made");
                    }
                    fault = Some(refusal);
                }
                Ok(Err(Failure::Unreachable(reason))) => {
                    debug!(%endpoint, %reason, "gRPC service is still not reachable");
                }
                Err(_elapsed) => debug!(%endpoint, "gRPC service does not describe itself in time"),
            }
        }
    }

    /// Reads the service's description once, and gives other tools if it is another one.
    async fn read(&mut self, tools: &watch::Sender<Tools>) -> Result<(), Failure> {
        let Service {
            config,
            patterns,
            link,
        } = &self.service;
        let pool = reflection::read(link, config, patterns).await?;
        // Reading makes a connection where there is none, which is no reason to read again.
        self.changes.mark_unchanged();
        let mut hasher = DefaultHasher::new();
        pool.encode_to_vec().hash(&mut hasher);
        let digest = Some(hasher.finish());
        if self.digest != digest {
            let read = self.service.tools(&pool).map_err(Failure::Refused)?;
            info!(endpoint = %config.endpoint, tools = read.len(), "gRPC tools are there");
            tools.send_replace(read);
            self.digest = digest;
        }
        Ok(())
    }
}

impl Service {
    fn tools(&self, pool: &DescriptorPool) -> Result<Tools, StartError> {
        let methods = select(pool, &self.patterns)?;
        method::tools(&methods, &self.link, &self.config)
    }
}

async fn read_file(path: &Path) -> Result<DescriptorPool, StartError> {
    let refused = |reason: String| StartError::DescriptorSet {
        path: path.to_owned(),
        reason,
    };
    let bytes = tokio::fs::read(path)
        .await
        .map_err(|error| refused(format!("cannot be read: {error}")))?;
    let mut pool = DescriptorPool::global();
    pool.decode_file_descriptor_set(bytes.as_slice())
        .map_err(|error| {
            refused(format!(
                "is no set of descriptors with all imports: {error}; \
                 make it with `protoc --include_imports --include_source_info --descriptor_set_out`"
            ))
        })?;
    Ok(pool)
}
