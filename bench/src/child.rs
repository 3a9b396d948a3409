//! Child processes: what is measured has its own processor time and memory.

mod relay;
mod simulator;
mod taiwa;

use std::{
    env,
    io::{self, Write},
    net::SocketAddr,
    path::Path,
    process::Stdio,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader},
    process::{self, ChildStdin, Command},
    time::timeout,
};

use crate::args::Role;

/// How long a child may take to listen, or to end.
const PATIENCE: Duration = Duration::from_secs(20);

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Target {
    /// A bare tonic server over a bare SDK stream.
    Relay,
    /// Taiwa's server, with its sessions in memory.
    Taiwa,
    /// Taiwa's server, with its sessions in an SQLite file.
    Sqlite,
}

impl Target {
    /// All of them, the floor first.
    pub(crate) const ALL: [Self; 3] = [Self::Relay, Self::Taiwa, Self::Sqlite];

    /// Its name in results.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Relay => "relay",
            Self::Taiwa => "taiwa",
            Self::Sqlite => "sqlite",
        }
    }
}

/// A child process that listens; killed when it is dropped.
#[derive(Debug)]
pub(crate) struct Child {
    process: process::Child,
    /// The child ends when this closes, even if this process is killed.
    stdin: Option<ChildStdin>,
    pid: u32,
    address: SocketAddr,
    /// Its files, for as long as it may write to them.
    _files: Option<TempDir>,
}

impl Child {
    /// Starts a simulator.
    pub(crate) async fn simulator(scenario: &str) -> Result<Self> {
        Self::start(
            &["simulator", "--scenario", scenario],
            Stdio::inherit(),
            None,
        )
        .await
    }

    /// Starts what is measured; Taiwa's log goes to the file, or nowhere.
    pub(crate) async fn target(
        target: Target,
        upstream: SocketAddr,
        tool: bool,
        log: Option<&Path>,
    ) -> Result<Self> {
        let log = match (target, log) {
            (Target::Relay, _) => Stdio::inherit(),
            (Target::Taiwa | Target::Sqlite, None) => Stdio::null(),
            (Target::Taiwa | Target::Sqlite, Some(path)) => {
                let mut file = std::fs::File::options();
                let file = file.create(true).append(true).open(path);
                Stdio::from(file.with_context(|| format!("cannot open {}", path.display()))?)
            }
        };
        let upstream = upstream.to_string();
        let files = match target {
            Target::Relay | Target::Taiwa => None,
            Target::Sqlite => Some(TempDir::new().context("cannot make a directory")?),
        };
        let store = match &files {
            None => "memory".to_owned(),
            Some(files) => format!("sqlite:{}", files.path().join("bench.db").display()),
        };
        let mut role = match target {
            // It has its tool at hand.
            Target::Relay => vec!["relay", "--upstream", &upstream],
            Target::Taiwa | Target::Sqlite => {
                vec!["taiwa", "--upstream", &upstream, "--store", &store]
            }
        };
        if tool && target != Target::Relay {
            role.push("--tool");
        }
        Self::start(&role, log, files).await
    }

    async fn start(role: &[&str], log: Stdio, files: Option<TempDir>) -> Result<Self> {
        let program = env::current_exe().context("cannot find this program")?;
        let mut process = Command::new(program)
            .arg("child")
            .args(role)
            // Settings of the shell are not to change what is measured.
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .context("cannot start a child process")?;
        let pid = process.id().context("a child process has no id")?;
        let stdin = process.stdin.take();
        let stdout = process.stdout.take().context("a child has no output")?;
        let mut lines = BufReader::new(stdout).lines();
        let line = timeout(PATIENCE, lines.next_line()).await;
        let line = line.with_context(|| format!("{} does not listen", role[0]))??;
        let Some(line) = line else {
            bail!("{} ended before it listened", role[0]);
        };
        let address = line
            .parse()
            .with_context(|| format!("{line:?} is no address"))?;
        Ok(Self {
            process,
            stdin,
            pid,
            address,
            _files: files,
        })
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Asks it to end and waits; kills it if it does not.
    pub(crate) async fn stop(mut self) {
        drop(self.stdin.take());
        if timeout(PATIENCE, self.process.wait()).await.is_err() {
            // It is killed when it is dropped; what counts was measured before.
            eprintln!("process {} does not end by itself and is killed", self.pid);
        }
    }
}

/// Is a child process: listens, says where in a line, and ends with its standard input.
pub(crate) async fn run(role: Role) -> Result<()> {
    match role {
        Role::Simulator { scenario } => simulator::run(&scenario).await,
        Role::Relay { upstream } => relay::run(upstream).await,
        Role::Taiwa {
            upstream,
            store,
            tool,
        } => taiwa::run(upstream, &store, tool).await,
    }
}

/// Tells the parent where this process listens.
fn announce(address: SocketAddr) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{address}")?;
    out.flush()
}

/// Waits until the parent wants no more, or is gone.
async fn released() {
    let mut nothing = Vec::new();
    // However the pipe ends, the parent has let go of it.
    let _ = tokio::io::stdin().read_to_end(&mut nothing).await;
}
