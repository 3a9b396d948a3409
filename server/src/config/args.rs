//! The options of the process: flag, variable, default and help, each in one place.

use std::{
    ffi::OsString,
    net::{Ipv4Addr, SocketAddr},
    num::{NonZeroU32, NonZeroUsize},
    path::PathBuf,
    time::Duration,
};

use clap::{
    CommandFactory as _, FromArgMatches as _, Parser, ValueEnum,
    builder::{BoolishValueParser, NonEmptyStringValueParser, Resettable},
};

use super::{
    file::ModelId,
    store::StorePlace,
    units::{Size, Span, SpanOrZero},
};
use crate::{session, telemetry, transport};

/// Serves agents on Amazon Bedrock over gRPC.
///
/// Give a model, or --offline to try it without an AWS account.
#[derive(Clone, Debug, Parser)]
#[command(name = "taiwa-server", version)]
pub struct Args {
    /// Address and port to listen on; port 0 takes a free one.
    #[arg(
        long, env = "TAIWA_LISTEN", value_name = "ADDRESS",
        default_value_t = SocketAddr::from((Ipv4Addr::LOCALHOST, 50051)),
    )]
    pub listen: SocketAddr,

    /// Model of agents that name none: a Bedrock model id, inference profile, prompt or router id, or an ARN.
    #[arg(long, env = "TAIWA_MODEL", value_name = "ID")]
    pub model: Option<ModelId>,

    /// TOML file of agents; without it there is one, `assistant`.
    #[arg(long, env = "TAIWA_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// File of variables, one NAME=value a line; variables that are set already stay.
    #[arg(long, env = "TAIWA_ENV_FILE", value_name = "FILE")]
    pub env_file: Option<PathBuf>,

    /// Answer from a simulator within this process; no account and no network is needed.
    #[arg(long, env = "TAIWA_OFFLINE", value_parser = BoolishValueParser::new())]
    pub offline: bool,

    /// Scenario file of the simulator; without it the persona answers.
    #[arg(long, env = "TAIWA_OFFLINE_SCENARIO", value_name = "FILE")]
    pub offline_scenario: Option<PathBuf>,

    /// What answers offline: a GGUF file, `default` for the language model that `bedrock-simulator model` brought, or `persona` for scripted words; unset means that model where it was built in and brought, and else the persona.
    #[arg(long, env = "TAIWA_OFFLINE_MODEL", value_name = "MODEL", value_parser = NonEmptyStringValueParser::new())]
    pub offline_model: Option<String>,

    /// Cadence of the simulator's answers; unset means real.
    #[arg(long, env = "TAIWA_OFFLINE_SPEED", value_name = "SPEED", value_enum)]
    pub offline_speed: Option<Speed>,

    /// AWS region of Bedrock; unset means that of the environment or the profile.
    #[arg(long, env = "TAIWA_REGION", value_name = "REGION", value_parser = NonEmptyStringValueParser::new())]
    pub region: Option<String>,

    /// Profile of the shared AWS configuration files; unset means that of the environment, or `default`.
    #[arg(long, env = "TAIWA_PROFILE", value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub profile: Option<String>,

    /// Address to call in place of the region's Bedrock endpoint.
    #[arg(long, env = "TAIWA_ENDPOINT_URL", value_name = "URL", value_parser = NonEmptyStringValueParser::new())]
    pub endpoint_url: Option<String>,

    /// Where sessions are kept: `memory`, or `sqlite:` and a file; unset means a file in the user's state directory.
    #[arg(long, env = "TAIWA_STORE", value_name = "STORE")]
    pub store: Option<StorePlace>,

    /// What survives a power loss: `normal` may lose the last moments, `full` loses nothing; a killed process loses nothing either way.
    #[arg(
        long, env = "TAIWA_DURABILITY", value_name = "LEVEL",
        value_enum, default_value_t = DurabilityLevel::Normal,
    )]
    pub durability: DurabilityLevel,

    /// How long a session is kept after its last use, where its creator names no time.
    #[arg(
        long, env = "TAIWA_SESSION_TTL", value_name = "DURATION",
        default_value_t = Span::new(session::Config::default().session_ttl),
    )]
    pub session_ttl: Span,

    /// Sessions that one tenant may keep.
    #[arg(
        long, env = "TAIWA_MAX_KEPT_SESSIONS", value_name = "COUNT",
        default_value_t = NonZeroUsize::new(1_000_000).unwrap_or(NonZeroUsize::MIN),
    )]
    pub max_kept_sessions: NonZeroUsize,

    /// Metadata key that names a call's tenant, as a trusted proxy sets it; unset means there is one tenant.
    #[arg(long, env = "TAIWA_TENANT_HEADER", value_name = "KEY")]
    pub tenant_header: Option<http::HeaderName>,

    /// Sessions held in memory at once; beyond them quiet ones leave it, then callers are refused.
    #[arg(
        long, env = "TAIWA_MAX_SESSIONS", value_name = "COUNT",
        default_value_t = NonZeroUsize::new(session::Config::default().max_sessions).unwrap_or(NonZeroUsize::MIN),
    )]
    pub max_sessions: NonZeroUsize,

    /// Connections held at once; further ones are closed when they come.
    #[arg(
        long, env = "TAIWA_MAX_CONNECTIONS", value_name = "COUNT",
        default_value_t = transport::Config::default().max_connections,
    )]
    pub max_connections: NonZeroUsize,

    /// Calls open at once on one connection.
    #[arg(
        long, env = "TAIWA_MAX_STREAMS_PER_CONNECTION", value_name = "COUNT",
        default_value_t = transport::Config::default().max_streams_per_connection,
    )]
    pub max_streams_per_connection: NonZeroU32,

    /// Largest message that is received, images and documents included.
    #[arg(
        long, env = "TAIWA_MAX_MESSAGE_SIZE", value_name = "SIZE",
        default_value_t = Size::new(session::Config::default().max_frame_bytes),
    )]
    pub max_message_size: Size,

    /// How long a session without turns and readers stays in memory.
    #[arg(
        long, env = "TAIWA_SESSION_IDLE_TIMEOUT", value_name = "DURATION",
        default_value_t = Span::new(session::Config::default().session_idle_timeout),
    )]
    pub session_idle_timeout: Span,

    /// How long a Converse stream may be silent while no turn runs.
    #[arg(
        long, env = "TAIWA_STREAM_IDLE_TIMEOUT", value_name = "DURATION",
        default_value_t = Span::new(session::Config::default().stream_idle_timeout),
    )]
    pub stream_idle_timeout: Span,

    /// How long a reader that paces the model may hold it before it is cut off.
    #[arg(
        long, env = "TAIWA_READER_STALL_TIMEOUT", value_name = "DURATION",
        default_value_t = Span::new(session::Config::default().reader_stall_timeout),
    )]
    pub reader_stall_timeout: Span,

    /// Most that a session holds of its events for readers that lag behind.
    #[arg(
        long, env = "TAIWA_EVENT_LOG_MAX", value_name = "SIZE",
        default_value_t = Size::new(session::log::Config::default().max_bytes),
    )]
    pub event_log_max: Size,

    /// How long events stay replayable after their turn.
    #[arg(
        long, env = "TAIWA_REPLAY_WINDOW", value_name = "DURATION",
        default_value_t = Span::new(session::Config::default().replay_window),
    )]
    pub replay_window: Span,

    /// How much of a session's events is kept after all have read them, for replay.
    #[arg(
        long, env = "TAIWA_EVENT_LOG_KEEP", value_name = "SIZE",
        default_value_t = Size::new(session::log::Config::default().keep_bytes),
    )]
    pub event_log_keep: Size,

    /// How much of all sessions' events is kept together for replay, in memory.
    #[arg(
        long, env = "TAIWA_EVENT_LOG_KEEP_OVERALL", value_name = "SIZE",
        default_value_t = Size::new(session::log::Config::default().keep_bytes_overall),
    )]
    pub event_log_keep_overall: Size,

    /// How far a reader that paces the model may lag behind before the model is held.
    #[arg(
        long, env = "TAIWA_EVENT_LOG_WINDOW", value_name = "SIZE",
        default_value_t = Size::new(session::log::Config::default().window_bytes),
    )]
    pub event_log_window: Size,

    /// Age at which a connection is told to end, give or take a tenth; unset means never.
    #[arg(long, env = "TAIWA_MAX_CONNECTION_AGE", value_name = "DURATION")]
    pub max_connection_age: Option<Span>,

    /// How long the calls of an aged connection may go on before it is cut.
    #[arg(
        long, env = "TAIWA_MAX_CONNECTION_AGE_GRACE", value_name = "DURATION",
        default_value_t = SpanOrZero::new(transport::Config::default().max_connection_age_grace),
    )]
    pub max_connection_age_grace: SpanOrZero,

    /// How long calls may go on after SIGTERM or SIGINT; a second signal ends at once.
    #[arg(
        long, env = "TAIWA_SHUTDOWN_GRACE", value_name = "DURATION",
        default_value_t = SpanOrZero::new(Duration::from_secs(30)),
    )]
    pub shutdown_grace: SpanOrZero,

    /// Form of the log on standard error.
    #[arg(
        long, env = "TAIWA_LOG_FORMAT", value_name = "FORMAT",
        value_enum, default_value_t = LogFormat::Text,
    )]
    pub log_format: LogFormat,

    /// What is logged: a level, or levels by target, such as info,taiwa_server=debug.
    #[arg(
        long, env = "TAIWA_LOG", value_name = "FILTER",
        default_value_t = telemetry::Filter::default(),
    )]
    pub log: telemetry::Filter,
}

impl Args {
    /// Reads the program's arguments and the environment.
    ///
    /// A variable that is empty counts as unset: compose files and unit files set one so where
    /// nobody gave a value. A flag's value may not be empty.
    pub(super) fn read(arguments: &[OsString]) -> Result<Self, clap::Error> {
        let command = Self::command().mut_args(|arg| {
            let value = arg.get_env().and_then(std::env::var_os);
            if value.is_some_and(|value| value.is_empty()) {
                arg.env(Resettable::Reset)
            } else {
                arg
            }
        });
        let mut matches = command.try_get_matches_from(arguments)?;
        Self::from_arg_matches_mut(&mut matches).map_err(|error| error.format(&mut Self::command()))
    }
}

/// Cadence of the simulator's answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Speed {
    /// That of a hosted model.
    Real,
    /// No delays.
    Max,
}

/// What survives a power loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DurabilityLevel {
    /// All but the last moments.
    Normal,
    /// All that was told.
    Full,
}

/// Form of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Lines for people.
    Text,
    /// One JSON object a line.
    Json,
}
