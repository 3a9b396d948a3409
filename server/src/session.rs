//! Sessions at run time: the task that drives each one, its log, and the readers of the log.

pub mod handle;
mod inbox;
mod kept;
pub mod log;
mod progress;
pub mod reader;
pub mod registry;
mod task;

use std::time::Duration;

pub use self::{
    inbox::{Claimed, Description, Resumption, TurnView},
    kept::{Answer, decode, exists, failure as store_failure, replay_expired},
    progress::Commit,
};

/// What is known of a call, beside what it asks for: its tools are told of it.
#[derive(Clone, Debug, Default)]
pub struct CallFacts {
    /// Its metadata.
    pub metadata: http::HeaderMap,
    /// How many agents called one another up to it; zero for a call from outside.
    pub depth: u32,
}

/// Bounds of all sessions of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Sessions held at once. Default 20,000.
    ///
    /// Beyond it the session that was quiet longest leaves memory; when none is quiet, callers are
    /// refused with `CONCURRENCY_LIMITED`.
    pub max_sessions: usize,
    /// How long a session without turns and readers stays in memory. Default 15 min.
    ///
    /// After that it is loaded from the store when it is used again.
    pub session_idle_timeout: Duration,
    /// How long a session is kept in the store after its last use. Default 30 days.
    pub session_ttl: Duration,
    /// How long events stay replayable after their turn. Default 10 min.
    pub replay_window: Duration,
    /// How long a Converse stream may be silent while no turn runs. Default 30 min.
    pub stream_idle_timeout: Duration,
    /// How long a reader that paces the model may hold it before it is cut off. Default 2 min.
    ///
    /// A reader that does not is cut off by the bound of the log alone.
    pub reader_stall_timeout: Duration,
    /// Largest frame that the transport takes, as told to clients, in bytes. Default 32 MiB.
    pub max_frame_bytes: usize,
    /// Bounds of each session's log.
    pub log: log::Config,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_sessions: 20_000,
            session_idle_timeout: Duration::from_secs(15 * 60),
            session_ttl: Duration::from_secs(30 * 24 * 60 * 60),
            replay_window: Duration::from_secs(10 * 60),
            stream_idle_timeout: Duration::from_secs(30 * 60),
            reader_stall_timeout: Duration::from_secs(2 * 60),
            max_frame_bytes: 32 << 20,
            log: log::Config::default(),
        }
    }
}
