//! Flags, variables and the agents file, read once at the start.
//!
//! Nothing else of the server looks at the environment, save the AWS SDK, whose standard chain
//! finds region and credentials there.

mod args;
mod file;
mod local_model;
mod store;
mod units;

use std::{
    collections::BTreeMap,
    ffi::OsString,
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use http::Uri;
use taiwa_core::{Agent, Limits, TurnOptions, agent::SystemOverride};
use taiwa_simulator::{Model, Pace, Script};
use taiwa_tools::{Fixed, Tool};

use self::file::Offered;
pub use self::{
    args::{Args, DEFAULT_LISTEN, DurabilityLevel, LogFormat, Speed},
    file::{Fault, FileError, ModelId},
    store::{StorePlace, StorePlaceError},
    units::{Size, Span, SpanOrZero, UnitError},
};
use crate::{
    agents::Agents,
    budget,
    grpc::tenant::TenantSource,
    model::bedrock,
    session, store as store_config, telemetry,
    tools::{Mount, Origin},
    transport,
};

/// Id of the one agent that there is without an agents file.
const ASSISTANT: &str = "assistant";

/// Model of agents that name none, when offline.
const OFFLINE_MODEL: &str = "simulator.persona-v1:0";

/// Everything that can be set about a server.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where to listen.
    pub listen: SocketAddr,
    /// What is offered.
    pub agents: Arc<Agents>,
    /// The tools that the server runs, by the agents that have them.
    pub tools: BTreeMap<String, Vec<Mount>>,
    /// What the turns of tenants may spend together.
    pub budgets: Vec<budget::Config>,
    /// How Bedrock is reached.
    pub bedrock: bedrock::Config,
    /// The simulator that answers in place of Bedrock; `None` means Bedrock.
    pub offline: Option<taiwa_simulator::Config>,
    /// Where sessions are kept.
    pub store: store_config::Config,
    /// How a call's tenant is known.
    pub tenants: TenantSource,
    /// Bounds of connections.
    pub transport: transport::Config,
    /// Bounds of sessions.
    pub sessions: session::Config,
    /// Largest message that is received, in bytes.
    pub max_message_bytes: usize,
    /// How long calls may go on once the server was asked to stop.
    pub shutdown_grace: Duration,
    /// What is logged, and how.
    pub telemetry: telemetry::Config,
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An unknown flag, or a value that a flag or its variable does not take; or a call for help.
    #[error(transparent)]
    Arguments(#[from] clap::Error),
    /// Neither a model nor the simulator.
    #[error(
        "no model: give a Bedrock model id with --model or TAIWA_MODEL, \
         or use --offline to run without an AWS account"
    )]
    NoModel,
    /// No place for the sessions.
    #[error("no home directory to keep sessions in: give --store sqlite:PATH, or --store memory")]
    NoStore,
    /// Two options that exclude each other.
    #[error("{option} and {other} exclude each other")]
    Conflict {
        /// One of them.
        option: &'static str,
        /// The other.
        other: &'static str,
    },
    /// An option that means nothing without another.
    #[error("{option} needs {other}")]
    Needs {
        /// The option that is set.
        option: &'static str,
        /// The one that is not.
        other: &'static str,
    },
    /// A log that cannot hold what another option wants held.
    #[error("{option} must not be larger than --event-log-max")]
    LargerThanLog {
        /// The option.
        option: &'static str,
    },
    /// An address that is none.
    #[error("--endpoint-url must be http:// or https:// with a host, and without user or password")]
    EndpointUrl,
    /// A file that cannot be read.
    #[error("{option}: cannot read {}", path.display())]
    Read {
        /// The option that names it.
        option: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A file of variables that cannot be used.
    #[error("--env-file: cannot use {}", path.display())]
    EnvFile {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: dotenvy::Error,
    },
    /// An agents file that cannot be used.
    #[error("--config: {} is wrong", path.display())]
    Agents {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, and where.
        #[source]
        source: FileError,
    },
    /// A language model that cannot be used.
    #[error("--offline-model: cannot use {}", place.display())]
    LocalModel {
        /// What was given: a file, or what stands for the one that was fetched.
        place: PathBuf,
        /// Why, and what to do.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A tool for an agent that there is not.
    #[error("there is no agent {agent_id:?} to have a tool")]
    NoAgent {
        /// The id that was given.
        agent_id: String,
    },
    /// A scenario that cannot be used.
    #[error("--offline-scenario: {} is wrong", path.display())]
    Scenario {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: taiwa_simulator::ScriptError,
    },
}

impl Config {
    /// Reads the arguments of the program, the environment, and the files that they name.
    ///
    /// To be called before any thread is started: the file of `--env-file` is put into the
    /// process's environment, for the AWS SDK too. Variables that are set already stay. One that is
    /// empty counts as unset.
    ///
    /// # Errors
    ///
    /// Whatever is wrong is named by its option, or its place in a file.
    pub fn load(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, Error> {
        let arguments: Vec<_> = arguments.into_iter().collect();
        let mut args = taiwa_cli::parse_options::<Args>(&arguments)?;
        if let Some(path) = &args.env_file {
            dotenvy::from_path(path).map_err(|source| Error::EnvFile {
                path: path.clone(),
                source,
            })?;
            args = taiwa_cli::parse_options(&arguments)?;
        }
        args.try_into()
    }
}

impl Config {
    /// Gives an agent a tool of the program's own, beside those that it has.
    ///
    /// # Errors
    ///
    /// [`Error::NoAgent`] when no agent has this id; without an agents file there is `assistant`.
    pub fn add_tool(&mut self, agent_id: &str, tool: impl Tool + 'static) -> Result<(), Error> {
        if self.agents.find(agent_id).is_none() {
            return Err(Error::NoAgent {
                agent_id: agent_id.to_owned(),
            });
        }
        let source = Fixed::new(vec![Arc::new(tool)]);
        let mounts = self.tools.entry(agent_id.to_owned()).or_default();
        mounts.push(Mount::new(Origin::Own(Arc::new(source))));
        Ok(())
    }
}

impl TryFrom<Args> for Config {
    type Error = Error;

    fn try_from(args: Args) -> Result<Self, Error> {
        let local = local_model::chosen(&args)?;
        let own = args.model.as_ref().map(|model| model.as_str());
        let model = own
            .or(local.as_ref().map(|model| model.id()))
            .or(args.offline.then_some(OFFLINE_MODEL));
        let offered = match &args.config {
            Some(path) => file::read(path, model)?,
            None => Offered {
                agents: assistant(model.ok_or(Error::NoModel)?),
                mounts: BTreeMap::new(),
                budgets: Vec::new(),
            },
        };
        let max_message_bytes = args.max_message_size.bytes();
        Ok(Self {
            listen: args.listen,
            agents: Arc::new(offered.agents),
            tools: offered.mounts,
            budgets: offered.budgets,
            bedrock: bedrock(&args)?,
            offline: offline(&args, local.clone())?,
            store: store(&args)?,
            tenants: match args.tenant_header.clone() {
                None => TenantSource::Single,
                Some(header) => TenantSource::Header(header),
            },
            transport: transport::Config {
                max_connections: args.max_connections,
                max_streams_per_connection: args.max_streams_per_connection,
                max_connection_age: args.max_connection_age.map(Span::duration),
                max_connection_age_grace: args.max_connection_age_grace.duration(),
                ..transport::Config::default()
            },
            sessions: session::Config {
                max_sessions: args.max_sessions.get(),
                session_idle_timeout: args.session_idle_timeout.duration(),
                session_ttl: args.session_ttl.duration(),
                replay_window: args.replay_window.duration(),
                stream_idle_timeout: args.stream_idle_timeout.duration(),
                reader_stall_timeout: args.reader_stall_timeout.duration(),
                max_frame_bytes: max_message_bytes,
                log: event_log(&args)?,
            },
            max_message_bytes,
            shutdown_grace: args.shutdown_grace.duration(),
            telemetry: telemetry::Config {
                format: args.log_format,
                filter: args.log,
            },
        })
    }
}

impl Config {
    /// Logs what is in force, the bounds at level `debug`; prompts and credentials are not part of
    /// it.
    pub fn log(&self) {
        let agents: Vec<_> = self
            .agents
            .iter()
            .map(|agent| {
                format!(
                    "{}={}",
                    agent.id,
                    agent.options.model_id.as_deref().unwrap_or("")
                )
            })
            .collect();
        tracing::info!(
            listen = %self.listen,
            ?agents,
            default_agent = self.agents.default_agent().id,
            offline = self.offline.is_some(),
            region = self.bedrock.region,
            profile = self.bedrock.profile,
            endpoint_url = self.bedrock.endpoint_url,
            store = %self.store.place,
            "configuration"
        );
        tracing::debug!(
            tools = ?self.tools,
            budgets = ?self.budgets,
            max_sessions_per_tenant = self.store.max_sessions_per_tenant,
            tenants = ?self.tenants,
            transport = ?self.transport,
            sessions = ?self.sessions,
            max_message_bytes = self.max_message_bytes,
            shutdown_grace = ?self.shutdown_grace,
            telemetry = ?self.telemetry,
            "configuration in detail"
        );
    }
}

/// The agent that needs no file: plain, and its callers may set everything.
fn assistant(model: &str) -> Agents {
    let agent = Agent {
        id: ASSISTANT.to_owned(),
        display_name: "Assistant".to_owned(),
        description: "A model as it is, without instructions of its own.".to_owned(),
        version: String::new(),
        labels: Default::default(),
        options: TurnOptions {
            model_id: Some(model.to_owned()),
            ..TurnOptions::default()
        },
        limits: Limits::default(),
        context: None,
        prices: Arc::default(),
        reply_form: None,
        serves_tools: false,
        model_override: true,
        system_override: SystemOverride::Replace,
    };
    Agents::only(agent)
}

fn bedrock(args: &Args) -> Result<bedrock::Config, Error> {
    if let Some(url) = &args.endpoint_url {
        let url: Uri = url.parse().map_err(|_| Error::EndpointUrl)?;
        let is_http = matches!(url.scheme_str(), Some("http" | "https"));
        let is_plain = url
            .authority()
            .is_some_and(|authority| !authority.as_str().contains('@'));
        if !is_http || !is_plain {
            return Err(Error::EndpointUrl);
        }
    }
    Ok(bedrock::Config {
        region: args.region.clone(),
        profile: args.profile.clone(),
        endpoint_url: args.endpoint_url.clone(),
        ..bedrock::Config::default()
    })
}

fn offline(args: &Args, model: Option<Model>) -> Result<Option<taiwa_simulator::Config>, Error> {
    if !args.offline {
        let without = |option| Error::Needs {
            option,
            other: "--offline",
        };
        return match (&args.offline_scenario, args.offline_speed) {
            (Some(_), _) => Err(without("--offline-scenario")),
            (None, Some(_)) => Err(without("--offline-speed")),
            (None, None) => Ok(None),
        };
    }
    if args.endpoint_url.is_some() {
        return Err(Error::Conflict {
            option: "--offline",
            other: "--endpoint-url",
        });
    }
    if args.profile.is_some() {
        return Err(Error::Conflict {
            option: "--offline",
            other: "--profile",
        });
    }
    let script = match &args.offline_scenario {
        None => Script::persona(),
        Some(path) => {
            let text = read("--offline-scenario", path)?;
            Script::from_toml(&text).map_err(|source| Error::Scenario {
                path: path.clone(),
                source,
            })?
        }
    };
    let pace = match args.offline_speed {
        None | Some(Speed::Real) => Pace::real(),
        Some(Speed::Max) => Pace::default(),
    };
    Ok(Some(taiwa_simulator::Config {
        script,
        pace,
        model,
        ..taiwa_simulator::Config::default()
    }))
}

fn store(args: &Args) -> Result<store_config::Config, Error> {
    let place = args.store.clone().or_else(store::usual);
    let place = match place.ok_or(Error::NoStore)? {
        StorePlace::Memory => store_config::Place::Memory,
        StorePlace::Sqlite(path) => store_config::Place::Sqlite {
            path,
            durability: match args.durability {
                DurabilityLevel::Normal => store_config::Durability::Normal,
                DurabilityLevel::Full => store_config::Durability::Full,
            },
        },
    };
    Ok(store_config::Config {
        place,
        max_sessions_per_tenant: args.max_kept_sessions.get() as u64,
    })
}

fn event_log(args: &Args) -> Result<session::log::Config, Error> {
    let max = args.event_log_max;
    for (option, size) in [
        ("--event-log-keep", args.event_log_keep),
        ("--event-log-window", args.event_log_window),
    ] {
        if size > max {
            return Err(Error::LargerThanLog { option });
        }
    }
    Ok(session::log::Config {
        max_bytes: max.bytes(),
        keep_bytes: args.event_log_keep.bytes(),
        keep_bytes_overall: args.event_log_keep_overall.bytes(),
        window_bytes: args.event_log_window.bytes(),
    })
}

fn read(option: &'static str, path: &Path) -> Result<String, Error> {
    std::fs::read_to_string(path).map_err(|source| Error::Read {
        option,
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests;
