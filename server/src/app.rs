//! The whole server: model, sessions, services and listener put together, and taken down in order.

use std::{
    io::Write as _,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, SystemTime},
};

use taiwa_simulator::Simulator;
use tokio::{task::JoinHandle, time::MissedTickBehavior};
use tokio_util::task::{AbortOnDropHandle, TaskTracker};
use tonic::{codec::CompressionEncoding, service::Routes};
use tonic_health::{ServingStatus, server::HealthReporter};
use tracing::{info, warn};

use crate::{
    budget::Accounts,
    config::Config,
    grpc::{
        agent::Service,
        refusals::Refusals,
        request_ids::RequestIds,
        service::{
            agent_service_server::AgentServiceServer, session_service_server::SessionServiceServer,
        },
        sessions,
    },
    model::bedrock::{self, Bedrock},
    session::registry::Registry,
    shutdown::Signals,
    store::{self, OpenError, Store, StoreError, Sweep, Swept},
    tools::{self, Toolbox},
    transport::{self, Drain, Listener},
};

/// Names under which the services' health is told.
const SERVICE_NAMES: [&str; 2] = ["taiwa.v1.AgentService", "taiwa.v1.SessionService"];

/// How often what has expired is deleted; until then it is hidden.
const SWEEP_EVERY: Duration = Duration::from_secs(60);

/// How long streams that were cut may take to tell their clients so.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Why the server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address cannot be listened on.
    #[error(transparent)]
    Listen(#[from] transport::Error),
    /// The offline simulator cannot start.
    #[error("cannot start the offline simulator")]
    Simulator(#[from] taiwa_simulator::Error),
    /// The store cannot be opened.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// What the store keeps cannot be read.
    #[error("cannot read the sessions that are kept")]
    Read(#[from] StoreError),
    /// The tools of an agent cannot be had.
    #[error(transparent)]
    Tools(#[from] tools::Error),
    /// The contract's descriptors cannot be served.
    #[error("cannot serve reflection")]
    Reflection(#[from] tonic_reflection::server::Error),
}

/// A server that runs.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    registry: Registry,
    health: HealthReporter,
    calls: TaskTracker,
    drain: Drain,
    grace: Duration,
    sweeping: AbortOnDropHandle<()>,
    listening: JoinHandle<()>,
    /// Lives as long as the server does.
    _simulator: Option<Simulator>,
}

/// Starts a server on the caller's runtime.
///
/// # Errors
///
/// When the address cannot be listened on, or the offline simulator cannot start.
pub async fn start(config: Config) -> Result<Server, Error> {
    // Before anything is taken up: a process that cannot listen leaves all to one that can, which
    // has the store most of the time. And before the simulator, which takes any port that is free.
    let listener = Listener::bind(config.listen).await?;
    let (simulator, bedrock) = match config.offline {
        None => (None, config.bedrock),
        Some(offline) => {
            let simulator = Simulator::start(offline).await?;
            let bedrock = offline_bedrock(simulator.endpoint(), config.bedrock);
            (Some(simulator), bedrock)
        }
    };
    let store = Store::open(config.store).await?;
    let bedrock = Bedrock::connect(bedrock).await;
    let tools = config.tools;
    let agents = Arc::new(config.agents.serving(|id| tools.contains_key(id)));
    let replay_window = config.sessions.replay_window;
    let toolbox = Toolbox::start(tools, &agents).await?;
    let budgets = Accounts::new(config.budgets);
    let now = SystemTime::now();
    budgets.restore(store.spent(now).await?, now);
    let registry = Registry::new(
        config.sessions,
        Arc::clone(&agents),
        bedrock,
        toolbox.clone(),
        budgets,
        store.clone(),
    );
    toolbox.connect(&registry);
    let request_ids = RequestIds::default();
    let since = now - store::REMEMBERED;
    request_ids.restore(store.requests(since).await?);
    let recovered = registry.recover().await?;
    if recovered > 0 {
        warn!(
            sessions = recovered,
            "took up what an earlier process left unfinished"
        );
    }
    let calls = TaskTracker::new();
    let tenants = config.tenants;
    let sessions = sessions::Service::new(
        Arc::clone(&agents),
        registry.clone(),
        request_ids.clone(),
        tenants.clone(),
    );
    let service = Service::new(
        agents,
        registry.clone(),
        request_ids,
        tenants,
        calls.clone(),
    );
    let service = AgentServiceServer::new(service)
        .max_decoding_message_size(config.max_message_bytes)
        // What is sent is bounded by the limits of a session.
        .max_encoding_message_size(usize::MAX)
        .accept_compressed(CompressionEncoding::Gzip)
        .send_compressed(CompressionEncoding::Gzip);

    let sessions = SessionServiceServer::new(sessions)
        .max_decoding_message_size(config.max_message_bytes)
        .max_encoding_message_size(usize::MAX)
        .accept_compressed(CompressionEncoding::Gzip)
        .send_compressed(CompressionEncoding::Gzip);

    let (health, health_service) = tonic_health::server::health_reporter();
    for name in SERVICE_NAMES {
        health
            .set_service_status(name, ServingStatus::Serving)
            .await;
    }
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(taiwa::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            // Lets generic clients read the details of a failing status.
            .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
    };
    let routes = Routes::new(Refusals::new(service))
        .add_service(Refusals::new(sessions))
        .add_service(health_service)
        .add_service(reflection().build_v1()?)
        .add_service(reflection().build_v1alpha()?);

    let address = listener.local_addr();
    let drain = Drain::default();
    let listening = tokio::spawn(listener.serve(routes, config.transport, drain.clone()));
    if let Some(simulator) = &simulator {
        warn!(
            endpoint = simulator.endpoint(),
            "offline: answers come from a simulator, not from Amazon Bedrock"
        );
    }
    let sweeping = AbortOnDropHandle::new(tokio::spawn(sweep(store, replay_window)));
    info!(%address, "listening");
    Ok(Server {
        address,
        registry,
        health,
        calls,
        drain,
        grace: config.shutdown_grace,
        listening,
        sweeping,
        _simulator: simulator,
    })
}

/// Deletes what has expired, now and then, until it is aborted.
async fn sweep(store: Store, replay_window: Duration) {
    let mut ticks = tokio::time::interval(SWEEP_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let sweep = Sweep {
            now: SystemTime::now(),
            replay_window,
        };
        match store.sweep(sweep).await {
            Ok(swept) if swept == Swept::default() => {}
            Ok(swept) => info!(
                sessions = swept.sessions.len(),
                requests = swept.requests,
                logs = swept.logs,
                periods = swept.periods,
                "deleted what has expired"
            ),
            // What is written fails too, and says so to whom it concerns.
            Err(error) => warn!(
                error = &error as &dyn std::error::Error,
                "cannot sweep the store"
            ),
        }
    }
}

/// Points the SDK at the simulator, with credentials that only a simulator takes.
fn offline_bedrock(endpoint: String, config: bedrock::Config) -> bedrock::Config {
    bedrock::Config {
        region: config.region.or_else(|| Some("us-east-1".to_owned())),
        endpoint_url: Some(endpoint),
        credentials: Some(bedrock::StaticCredentials {
            access_key_id: "offline".to_owned(),
            secret_access_key: "offline".to_owned(),
            session_token: None,
        }),
        ..config
    }
}

/// Runs a server until it is asked to stop and has stopped.
///
/// # Errors
///
/// When the server cannot start.
pub async fn run(config: Config, signals: Signals) -> Result<(), Error> {
    let server = start(config).await?;
    // Whoever started the program with a free port reads it here; a closed output has no reader.
    let _ = writeln!(
        std::io::stdout(),
        "listening on http://{}",
        server.local_addr()
    );
    signals.first().await;
    server.stop().await;
    Ok(())
}

impl Server {
    /// The address that it listens on.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Its sessions.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Stops in order: what runs may finish within the grace period, then it is cut and told so.
    ///
    /// Health says `NOT_SERVING` first; calls that come are refused with `SHUTTING_DOWN`; open
    /// streams get `go_away`.
    pub async fn stop(self) {
        let Self {
            registry,
            health,
            calls,
            drain,
            grace,
            mut listening,
            sweeping,
            ..
        } = self;
        info!(sessions = registry.len(), ?grace, "stopping");
        health
            .set_service_status("", ServingStatus::NotServing)
            .await;
        for name in SERVICE_NAMES {
            health
                .set_service_status(name, ServingStatus::NotServing)
                .await;
        }
        registry.drain(grace).await;
        drain.drain();
        calls.close();
        // A turn may run on after its caller has gone.
        let finished = async || {
            calls.wait().await;
            registry.turns_ended().await;
        };
        if tokio::time::timeout(grace, finished()).await.is_err() {
            warn!(
                calls = calls.len(),
                turns = registry.turns(),
                "cutting what did not finish in time"
            );
            registry.kill().await;
            // The clients that take the last events are told; the others are cut.
            let _ = tokio::time::timeout(LAST_WORDS, finished()).await;
        }
        // Streams of health watchers end with nobody's turn, so they are not waited for.
        if tokio::time::timeout(LAST_WORDS, &mut listening)
            .await
            .is_err()
        {
            drain.kill();
            // It ends by the kill; a panic of the listener has nothing left to stop.
            let _ = listening.await;
        }
        // The turns that were cut are told to the store as well as to their callers.
        registry.settle().await;
        registry.toolbox().stop().await;
        drop(sweeping);
        registry.store().close().await;
        info!("stopped");
    }
}
