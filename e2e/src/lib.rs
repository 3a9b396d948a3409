//! A whole system in one process: a simulator, a server that is pointed at it, a channel to it.

pub mod call;
pub mod calls;
pub mod hands;
pub mod latency;
pub mod told;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use taiwa::v1::{
    agent_service_client::AgentServiceClient, session_service_client::SessionServiceClient,
};
use taiwa_core::{
    Agent, Limits, TurnOptions,
    agent::SystemOverride,
    price::{Price, Prices},
};
use taiwa_server::{
    agents::Agents,
    app,
    app::Server,
    budget,
    config::{Config, LogFormat},
    grpc::tenant::TenantSource,
    model::bedrock,
    session, store, telemetry,
    tools::Mount,
    transport,
};
use taiwa_simulator::{Model, Script, Simulator};
use tonic::transport::{Channel, Endpoint};

/// The generated client, over a plain channel.
pub type Client = AgentServiceClient<Channel>;

/// The generated client of sessions, over a plain channel.
pub type SessionClient = SessionServiceClient<Channel>;

/// The model that agents of tests use.
pub const MODEL: &str = "simulator.persona-v1:0";

/// A simulator and a server that talks to it.
#[derive(Debug)]
pub struct World {
    /// What stands in for Bedrock.
    pub simulator: Simulator,
    /// The server.
    pub server: Server,
    settings: Settings,
}

/// What a test sets differently.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Limits of the agent `assistant`.
    pub limits: Limits,
    /// Options of the agent `assistant`; the model is [`MODEL`] unless set.
    pub options: TurnOptions,
    /// Agents besides `assistant`.
    pub more_agents: Vec<Agent>,
    /// The tools that the server runs, by agent.
    pub tools: BTreeMap<String, Vec<Mount>>,
    /// What models cost, for all agents.
    pub prices: Vec<(String, Price)>,
    /// What tenants may spend.
    pub budgets: Vec<budget::Config>,
    /// Bounds of the sessions.
    pub sessions: session::Config,
    /// Where sessions are kept; in memory unless set.
    pub store: store::Place,
    /// How a call's tenant is known.
    pub tenants: TenantSource,
    /// Sessions that a tenant may keep.
    pub max_kept_sessions: u64,
    /// Bounds of connections.
    pub transport: transport::Config,
    /// Largest request, in bytes.
    pub max_message_bytes: usize,
    /// Grace period on stopping.
    pub shutdown_grace: Duration,
    /// Attempts to open a model call.
    pub max_attempts: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            options: TurnOptions::default(),
            more_agents: Vec::new(),
            tools: BTreeMap::new(),
            prices: Vec::new(),
            budgets: Vec::new(),
            sessions: session::Config::default(),
            store: store::Place::Memory,
            tenants: TenantSource::Single,
            max_kept_sessions: 1_000_000,
            transport: transport::Config::default(),
            max_message_bytes: 32 << 20,
            shutdown_grace: Duration::from_secs(5),
            max_attempts: 1,
        }
    }
}

/// An agent with a name, a model and nothing special.
pub fn agent(id: &str) -> Agent {
    Agent {
        id: id.to_owned(),
        display_name: id.to_owned(),
        description: String::new(),
        version: String::new(),
        labels: Default::default(),
        options: TurnOptions {
            model_id: Some(MODEL.to_owned()),
            ..TurnOptions::default()
        },
        limits: Limits::default(),
        context: None,
        prices: Arc::default(),
        reply_form: None,
        serves_tools: false,
        model_override: true,
        system_override: SystemOverride::Replace,
    }
}

impl World {
    /// Starts a simulator with a scenario in TOML, and a server with the usual settings.
    ///
    /// # Panics
    ///
    /// When the scenario is wrong or something cannot start.
    pub async fn start(scenario: &str) -> Self {
        Self::with(scenario, Settings::default()).await
    }

    /// Starts a simulator with a scenario in TOML, and a server with other settings.
    ///
    /// # Panics
    ///
    /// When the scenario is wrong or something cannot start.
    pub async fn with(scenario: &str, settings: Settings) -> Self {
        let script = Script::from_toml(scenario).expect("the scenario is right");
        Self::playing(script, settings).await
    }

    /// Starts a simulator with its persona, and a server with the usual settings.
    ///
    /// # Panics
    ///
    /// When something cannot start.
    pub async fn persona() -> Self {
        Self::playing(Script::persona(), Settings::default()).await
    }

    /// Starts a simulator with a language model, and a server whose agent asks it.
    ///
    /// # Panics
    ///
    /// When something cannot start.
    pub async fn thinking(model: Model) -> Self {
        let settings = Settings {
            options: TurnOptions {
                model_id: Some(model.id().to_owned()),
                ..TurnOptions::default()
            },
            ..Settings::default()
        };
        let config = taiwa_simulator::Config {
            model: Some(model),
            ..taiwa_simulator::Config::default()
        };
        Self::before(config, settings).await
    }

    async fn playing(script: Script, settings: Settings) -> Self {
        let config = taiwa_simulator::Config {
            script,
            ..taiwa_simulator::Config::default()
        };
        Self::before(config, settings).await
    }

    async fn before(config: taiwa_simulator::Config, settings: Settings) -> Self {
        let simulator = Simulator::start(config)
            .await
            .expect("a free port of the loopback");
        Self::around(simulator, settings).await
    }

    async fn around(simulator: Simulator, settings: Settings) -> Self {
        let server = app::start(config_for(&simulator, settings.clone()))
            .await
            .expect("the server starts");
        Self {
            simulator,
            server,
            settings,
        }
    }

    /// Stops the server in order, and starts another with the same settings and the same file.
    ///
    /// # Panics
    ///
    /// When the other cannot start.
    #[must_use]
    pub async fn restart(self) -> Self {
        let Self {
            simulator,
            server,
            settings,
        } = self;
        server.stop().await;
        Self::around(simulator, settings).await
    }

    /// Starts another server on another store, and turns to it.
    ///
    /// The first runs on beside it: on a copy of its file, the second is what a process finds
    /// that starts after a crash.
    ///
    /// # Panics
    ///
    /// When the other cannot start.
    #[must_use]
    pub async fn turn_to(self, store: store::Place) -> Self {
        let settings = Settings {
            store,
            ..self.settings
        };
        Self::around(self.simulator, settings).await
    }

    /// Opens a connection of its own to the server.
    ///
    /// # Panics
    ///
    /// When the server cannot be reached.
    pub async fn channel(&self) -> Channel {
        let endpoint = format!("http://{}", self.server.local_addr());
        let endpoint = Endpoint::from_shared(endpoint).expect("an address is an endpoint");
        endpoint.connect().await.expect("the server listens")
    }

    /// Opens a connection of its own to the server, and a client of its sessions on it.
    ///
    /// # Panics
    ///
    /// When the server cannot be reached.
    pub async fn sessions(&self) -> SessionClient {
        SessionClient::new(self.channel().await)
    }

    /// Opens a connection of its own to the server, and a client on it.
    ///
    /// # Panics
    ///
    /// When the server cannot be reached.
    pub async fn client(&self) -> Client {
        Client::new(self.channel().await)
            .max_decoding_message_size(usize::MAX)
            .max_encoding_message_size(usize::MAX)
    }

    /// Checks that the server is unharmed: a fresh connection gets an answer.
    ///
    /// The scenario must leave this prompt to the persona, or answer it.
    ///
    /// # Panics
    ///
    /// When it does not.
    pub async fn check_unharmed(&self) {
        let mut client = self.client().await;
        let answer = call::invoke(&mut client, call::prompt("Are you there?")).await;
        let result = answer.expect("the server answers").result;
        let result = result.expect("an answer has a result");
        assert_eq!(result.status(), taiwa::v1::TurnStatus::Completed);
    }
}

fn config_for(simulator: &Simulator, settings: Settings) -> Config {
    let mut assistant = agent("assistant");
    assistant.limits = settings.limits;
    assistant.options = settings.options.over(&assistant.options);
    let prices = Arc::new(Prices::new(settings.prices));
    let agents = settings.more_agents.into_iter().chain([assistant]);
    let agents = agents.map(|mut agent| {
        agent.prices = Arc::clone(&prices);
        agent
    });
    Config {
        tools: settings.tools.clone(),
        budgets: settings.budgets,
        listen: ([127, 0, 0, 1], 0).into(),
        agents: Arc::new(Agents::new(agents, "assistant").expect("there is an assistant")),
        bedrock: bedrock::Config {
            region: Some("us-east-1".to_owned()),
            endpoint_url: Some(simulator.endpoint()),
            credentials: Some(bedrock::StaticCredentials {
                access_key_id: "test".to_owned(),
                secret_access_key: "test".to_owned(),
                session_token: None,
            }),
            max_attempts: settings
                .max_attempts
                .try_into()
                .expect("at least one attempt"),
            ..bedrock::Config::default()
        },
        offline: None,
        store: store::Config {
            place: settings.store,
            max_sessions_per_tenant: settings.max_kept_sessions,
        },
        tenants: settings.tenants,
        transport: settings.transport,
        sessions: settings.sessions,
        max_message_bytes: settings.max_message_bytes,
        shutdown_grace: settings.shutdown_grace,
        telemetry: telemetry::Config {
            format: LogFormat::Text,
            filter: telemetry::Filter::default(),
        },
    }
}
