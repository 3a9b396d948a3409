//! Which server, how it is reached, and how long it is waited for.

use std::{collections::BTreeMap, fmt, path::PathBuf, time::Duration};

use http::{HeaderMap, HeaderName};

/// An MCP server whose tools are offered.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Names the server in the log and in what a model is told of a failure.
    pub name: String,
    /// How it is reached.
    pub transport: Transport,
    /// Longest time that a start may take: to connect, to agree on a version, to list the tools.
    ///
    /// Default 30 s. A server that says nothing to a version it does not know is asked again in an
    /// older one after 10 s, so less than that loses old servers.
    pub start_timeout: Duration,
    /// Shortest pause before a server that was lost is started or connected to again.
    ///
    /// Default 500 ms. Doubles with every start that fails, and begins anew once a server was there
    /// for as long as [`longest_pause`](Self::longest_pause). A random part of up to a half is taken
    /// off, so that what fell together does not rise together.
    pub shortest_pause: Duration,
    /// Longest pause before it is tried again. Default 30 s.
    pub longest_pause: Duration,
}

/// How an MCP server is reached.
///
/// Its `Debug` shows no values of variables and headers, and no query: they hold credentials.
#[derive(Clone, PartialEq)]
pub enum Transport {
    /// A program that is started, and spoken to over its standard input and output.
    ///
    /// It and what it starts are a process group, which ends with the source: its input is closed, after
    /// two seconds it gets SIGTERM, after two more SIGKILL. When we are killed ourselves, its input
    /// closes, and ending is up to it. What it writes to its standard error is logged.
    Stdio {
        /// The program: a path, or a name that is looked up in `PATH`.
        command: String,
        /// Its arguments.
        args: Vec<String>,
        /// Its environment, beside what every program needs.
        ///
        /// Of our own environment it inherits `PATH`, `HOME`, `USER`, `LOGNAME`, `SHELL`, `TERM`,
        /// `LANG`, `LC_ALL`, `LC_CTYPE`, `TZ` and `TMPDIR`, and nothing else; what is given here wins.
        env: BTreeMap<String, String>,
        /// The folder it runs in; `None` means ours.
        cwd: Option<PathBuf>,
    },
    /// A server that listens: streamable HTTP. Proxies are used as the environment says.
    Http {
        /// Its address, beginning with `http://` or `https://` and without a user's name or password.
        /// Redirects are not followed.
        url: String,
        /// Headers of every request; of several of one name, the last.
        headers: HeaderMap,
        /// Token of the header `authorization: Bearer …`; `None` means no such header.
        bearer: Option<String>,
        /// Which metadata of the caller goes along with each call of a tool, as headers.
        ///
        /// Only the call itself carries them: neither the list of tools nor a cancellation does. An
        /// `authorization` among them takes the place of `bearer`.
        forward_metadata: Vec<HeaderName>,
    },
}

impl Config {
    /// Makes a configuration of a name and a transport, with the defaults.
    pub fn new(name: impl Into<String>, transport: Transport) -> Self {
        Self {
            name: name.into(),
            transport,
            start_timeout: Duration::from_secs(30),
            shortest_pause: Duration::from_millis(500),
            longest_pause: Duration::from_secs(30),
        }
    }
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stdio {
                command,
                args,
                env,
                cwd,
            } => f
                .debug_struct("Stdio")
                .field("command", command)
                .field("args", args)
                .field("env", &env.keys().collect::<Vec<_>>())
                .field("cwd", cwd)
                .finish(),
            Self::Http {
                url,
                headers,
                bearer,
                forward_metadata,
            } => f
                .debug_struct("Http")
                .field("url", &url.split('?').next())
                .field("headers", &headers.keys().collect::<Vec<_>>())
                .field("bearer", &bearer.as_ref().map(|_| "***"))
                .field("forward_metadata", forward_metadata)
                .finish(),
        }
    }
}
