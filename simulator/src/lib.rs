//! Speaks Amazon Bedrock Runtime over HTTP: for offline work, tests and benchmarks.
//!
//! [`Simulator::start`] binds a port and serves Converse, ConverseStream and CountTokens
//! there, with real event-stream frames, until it is dropped. A [`Script`] says which
//! request gets which answer, [`Pace`] how fast it comes, and the [`Journal`] what was
//! asked and what became of it. `scenarios/README.md` describes the scenario files.
//!
//! ```
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use taiwa_simulator::{Config, Script, Simulator};
//!
//! let script = Script::from_toml(r#"
//!     [[reply]]
//!     text = ["Hel", "lo"]
//! "#)?;
//! let simulator = Simulator::start(Config { script, ..Config::default() }).await?;
//! println!("AWS_ENDPOINT_URL_BEDROCK_RUNTIME={}", simulator.endpoint());
//! # Ok(())
//! # }
//! ```

mod event_stream;
mod events;
mod exception;
mod fault;
mod http;
mod journal;
mod live;
#[cfg(feature = "local-model")]
pub mod local;
#[cfg(not(feature = "local-model"))]
#[path = "absent.rs"]
pub mod local;
mod pace;
mod persona;
mod player;
mod reply;
mod rules;
mod script;
mod tokens;
mod wire;

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};

use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use self::{http::State, script::ScriptCell};
pub use self::{
    journal::{Entry, Journal, Moment, Outcome, TimedOut},
    local::Model,
    pace::{Pace, Rhythm},
    script::{Error as ScriptError, Script},
    wire::Operation,
};

/// How a simulator is started.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where to listen. Default: a free port of 127.0.0.1.
    pub listen: SocketAddr,
    /// Which request gets which answer. Default: the persona.
    pub script: Script,
    /// How fast answers come whose script does not say. Default: at once.
    pub pace: Pace,
    /// Entries that the journal keeps; older ones make room. Default: 20,000.
    ///
    /// An entry costs its request and about half a KiB; requests are held to 64 MiB in all.
    pub journal_capacity: usize,
    /// The language model that answers to its own id, and to `local.default`. Default: none.
    ///
    /// Only the feature `local-model` can load one.
    pub model: Option<Model>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            script: Script::persona(),
            pace: Pace::default(),
            journal_capacity: 20_000,
            model: None,
        }
    }
}

/// A simulator could not be started.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address is in use, not local, or not allowed.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address of the configuration.
        address: SocketAddr,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// A running simulator; dropped, it ends all its connections.
#[derive(Debug)]
pub struct Simulator {
    address: SocketAddr,
    state: Arc<State>,
    stop: CancellationToken,
    task: Option<JoinHandle<()>>,
}

impl Simulator {
    /// Binds the address and begins to serve, on the runtime of the caller.
    ///
    /// # Errors
    ///
    /// [`Error::Listen`] when the address cannot be bound.
    pub async fn start(config: Config) -> Result<Self, Error> {
        let listen_error = |source| Error::Listen {
            address: config.listen,
            source,
        };
        let listener = TcpListener::bind(config.listen)
            .await
            .map_err(listen_error)?;
        let address = listener.local_addr().map_err(listen_error)?;
        let state = Arc::new(State {
            script: ScriptCell::new(config.script),
            journal: Journal::new(config.journal_capacity),
            pace: config.pace,
            model: config.model,
        });
        let stop = CancellationToken::new();
        let task = tokio::spawn(http::connection::serve(
            listener,
            Arc::clone(&state),
            stop.clone(),
        ));
        Ok(Self {
            address,
            state,
            stop,
            task: Some(task),
        })
    }

    /// The address that it listens on.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The URL for `AWS_ENDPOINT_URL_BEDROCK_RUNTIME`.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Replaces the script; answers under way go on with the old one.
    pub fn set_script(&self, script: Script) {
        self.state.script.replace(script);
    }

    /// The record of what was asked and answered.
    #[must_use]
    pub fn journal(&self) -> &Journal {
        &self.state.journal
    }

    /// Ends all connections and waits until they are closed.
    pub async fn shutdown(mut self) {
        self.cancel();
        if let Some(task) = self.task.take()
            && let Err(error) = task.await
        {
            tracing::error!(%error, "the simulator's accept loop failed");
        }
    }

    fn cancel(&self) {
        self.state.journal.stop();
        self.stop.cancel();
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        self.cancel();
    }
}
