//! MCP servers, whose tools are offered as ours.
//!
//! A server is a program that is started and spoken to over its standard input and output, or it
//! listens for HTTP. Either is watched: when it ends, it is started or connected to again, with
//! pauses that grow. Its list of tools is followed. While a server is away, its tools stay on offer,
//! and a call of one says that the server was not reached.
//!
//! What becomes of a call whose server is lost in the middle rests on what the tool says of itself: a
//! tool that only reads ([`readOnlyHint`]) has [`Failed`](crate::Error::Failed), as nothing happened;
//! of any other it is [`Unknown`](crate::Error::Unknown).
//!
//! Nothing is offered to servers: a request for sampling, roots or elicitation is declined by the
//! protocol's error `-32601`.
//!
//! [`readOnlyHint`]: https://modelcontextprotocol.io/specification/2025-11-25/schema#toolannotations

mod config;
mod failure;
mod handler;
mod http;
mod keeper;
mod link;
mod list;
mod outline;
mod pipes;
mod process;
mod result;
mod tool;

use std::{io, path::PathBuf, sync::Arc};

use ::http::HeaderName;
use futures_util::future::BoxFuture;
use tokio::sync::{oneshot, watch};
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};

pub use self::config::{Config, Transport};
use self::{
    http::Endpoint,
    keeper::{Keeper, Pause, Reach},
    link::Link,
    pipes::Pipes,
    process::{Process, Program},
};
use crate::Tools;

/// Largest message of a server that is taken, in bytes; the SDK's own limit.
const MAX_MESSAGE_BYTES: usize = 16 * 1024 * 1024;

/// What a larger one is called.
const TOO_LARGE: &str = "more than 16 MiB, which is too large to be taken";

/// The tools of one MCP server.
///
/// Dropping it ends the connection and the program, in the background; [`stop`](Self::stop) waits.
#[derive(Debug)]
pub struct Source {
    tools: watch::Receiver<Tools>,
    stop: CancellationToken,
    tasks: TaskTracker,
    _stop_on_drop: DropGuard,
}

/// Why a server cannot be started or connected to, however often that is tried.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// There is no such program.
    #[error(
        "the command '{command}' of the MCP server '{server}' was not found: install it, or give \
         its whole path, or give its variable PATH the folder that it is in"
    )]
    CommandNotFound {
        /// The server's name.
        server: String,
        /// The program.
        command: String,
    },
    /// The folder that it is to run in is none.
    #[error("the folder {} of the MCP server '{server}' does not exist", cwd.display())]
    NoFolder {
        /// The server's name.
        server: String,
        /// The folder.
        cwd: PathBuf,
    },
    /// The system does not start it.
    #[error("the command '{command}' of the MCP server '{server}' cannot be started")]
    CannotStart {
        /// The server's name.
        server: String,
        /// The program.
        command: String,
        /// Why not.
        source: io::Error,
    },
    /// The address is none of HTTP.
    #[error(
        "the address of the MCP server '{server}' is none: it must begin with http:// or https://, \
         and hold no user's name and password"
    )]
    BadUrl {
        /// The server's name.
        server: String,
    },
    /// A header is the protocol's own.
    #[error("the header '{name}' is set by the protocol, and cannot be configured or forwarded")]
    ReservedHeader {
        /// The header.
        name: HeaderName,
    },
    /// No HTTP client can be made: the system's certificates cannot be read.
    #[error("no HTTP client can be made")]
    Http(#[source] reqwest::Error),
}

impl Source {
    /// Starts or connects to a server, and waits until its tools are listed or the first attempt has
    /// failed, for as long as [`Config::start_timeout`] at most.
    ///
    /// A server that fails is tried again in the background: the source has no tools until then.
    /// Needs a tokio runtime with time and I/O, and lives in it.
    ///
    /// # Errors
    ///
    /// [`StartError`] when the configuration cannot work.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends what was started.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        let name: Arc<str> = config.name.into();
        let (reach, forward_metadata, started) = match config.transport {
            Transport::Stdio {
                command,
                args,
                env,
                cwd,
            } => {
                let name = Arc::clone(&name);
                let program = Program {
                    name,
                    command,
                    args,
                    env,
                    cwd,
                };
                let started = start_program(&program)?;
                (Reach::Program(program), Vec::new(), Some(started))
            }
            Transport::Http {
                url,
                headers,
                bearer,
                forward_metadata,
            } => {
                let bearer = bearer.as_deref();
                let endpoint = Endpoint::new(&name, &url, &headers, bearer, &forward_metadata)?;
                (Reach::Endpoint(endpoint), forward_metadata, None)
            }
        };
        let (tools_tx, tools) = watch::channel(Tools::from([]));
        let (tried_tx, tried) = oneshot::channel();
        let stop = CancellationToken::new();
        let keeper = Keeper {
            link: Arc::new(Link::new(name, forward_metadata)),
            reach,
            start_timeout: config.start_timeout,
            pause: Pause::new(config.shortest_pause, config.longest_pause),
            tools: tools_tx,
            stop: stop.clone(),
            up_since: None,
            tried: Some(tried_tx),
        };
        let tasks = TaskTracker::new();
        tasks.spawn(keeper.run(started));
        tasks.close();
        let source = Self {
            tools,
            tasks,
            _stop_on_drop: stop.clone().drop_guard(),
            stop,
        };
        // It is told in any case, unless the runtime is ending.
        let _ = tried.await;
        Ok(source)
    }

    /// Ends the connection and the program, and waits for that: for about ten seconds at most.
    ///
    /// Calls that are under way are lost. Calling it again does no harm.
    ///
    /// # Cancel safety
    ///
    /// When the future is dropped, the end goes on in the background.
    pub async fn stop(&self) {
        self.stop.cancel();
        self.tasks.wait().await;
    }
}

impl crate::Source for Source {
    fn tools(&self) -> watch::Receiver<Tools> {
        self.tools.clone()
    }

    fn stop(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.stop())
    }
}

fn start_program(program: &Program) -> Result<(Process, Pipes), StartError> {
    let server = || program.name.to_string();
    if let Some(cwd) = program.cwd.as_ref().filter(|cwd| !cwd.is_dir()) {
        return Err(StartError::NoFolder {
            server: server(),
            cwd: cwd.clone(),
        });
    }
    let command = program.command.clone();
    program.start().map_err(|source| {
        let server = server();
        if source.kind() == io::ErrorKind::NotFound {
            StartError::CommandNotFound { server, command }
        } else {
            StartError::CannotStart {
                server,
                command,
                source,
            }
        }
    })
}
