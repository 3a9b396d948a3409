//! A server of the command's own, whose model is a simulator.

use std::{env, ffi::OsString, io, process::Stdio, time::Duration};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader},
    process::{Child, Command},
    time::timeout,
};

use crate::{args, failure::Failure, request::connect};

/// What the server says on its standard output, before its address.
const ANNOUNCEMENT: &str = "listening on ";

/// How the ids of language models on this machine begin.
const LOCAL_MODELS: &str = "local.";

/// How long the server may take to listen; it takes about 20 ms where the machine is not busy, and
/// with a language model as long as the disk does.
const START: Duration = Duration::from_secs(60);

/// Why no server could be started.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// There is no such program, or it cannot be run.
    #[error(
        "cannot start {}: {source}; `cargo build` makes it, beside this program",
        .program.to_string_lossy()
    )]
    Start {
        program: OsString,
        source: io::Error,
    },
    /// It ended, or said something else, before it listened.
    #[error("the offline server did not start: {0}")]
    Ended(String),
    /// It took too long.
    #[error("the offline server did not start within {} s", START.as_secs())]
    Late,
}

/// A running server; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Server {
    /// Where it listens.
    pub(crate) endpoint: String,
    _child: Child,
}

impl Server {
    /// Starts a server on a free port; it forgets its sessions, or keeps them where the server does
    /// by default. What answers is for the server to choose, or as it is told.
    pub(crate) async fn start(keeps_sessions: bool, model: Option<&str>) -> Result<Self, Error> {
        let program = beside_this("taiwa-server");
        let mut child = Command::new(&program)
            .args(["--offline", "--listen", "127.0.0.1:0"])
            .args(if keeps_sessions {
                &[][..]
            } else {
                &["--store=memory"]
            })
            .args(model.map(|model| format!("--offline-model={model}")))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Ctrl-C on the terminal is for the command; the server ends with it.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|source| Error::Start { program, source })?;
        let endpoint = timeout(START, endpoint(&mut child))
            .await
            .map_err(|_| Error::Late)??;
        if let Some(mut log) = child.stderr.take() {
            // Read to its end so that the server never waits for room; ends with the server.
            tokio::spawn(async move { tokio::io::copy(&mut log, &mut tokio::io::sink()).await });
        }
        Ok(Self {
            endpoint,
            _child: child,
        })
    }
}

/// What the user is to know of who answers.
pub(crate) async fn remark(server: &args::Server) -> Result<&'static str, Failure> {
    let agents = connect(server).await?.agents().await?;
    let default = agents.iter().find(|agent| agent.is_default);
    let is_language_model = default.is_some_and(|agent| agent.model_id.starts_with(LOCAL_MODELS));
    Ok(if is_language_model {
        "offline: a small language model on this machine answers, and makes mistakes"
    } else {
        "offline: a simulator answers, not a language model; docs/local-model.md tells how to have \
         one"
    })
}

/// The address that the server announces, or what it says instead.
async fn endpoint(child: &mut Child) -> Result<String, Error> {
    let mut line = String::new();
    if let Some(stdout) = child.stdout.take() {
        let read = BufReader::new(stdout).read_line(&mut line).await;
        read.map_err(|error| Error::Ended(error.to_string()))?;
    }
    if let Some(endpoint) = line.trim().strip_prefix(ANNOUNCEMENT) {
        return Ok(endpoint.to_owned());
    }
    let mut said = String::new();
    if let Some(stderr) = &mut child.stderr {
        // What cannot be read has nothing to add.
        let _ = stderr.read_to_string(&mut said).await;
    }
    let last = said.lines().rev().find(|line| !line.trim().is_empty());
    Err(Error::Ended(last.unwrap_or("it said nothing").to_owned()))
}

/// The program of that name beside this one, or wherever the shell would find it.
fn beside_this(name: &str) -> OsString {
    env::current_exe()
        .ok()
        .map(|this| this.with_file_name(name))
        .filter(|path| path.is_file())
        .map_or_else(|| name.into(), Into::into)
}
