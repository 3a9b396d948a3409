//! The server as a process that the test starts, kills and starts again.

use std::{
    fs::{self, File, OpenOptions},
    net::SocketAddr,
    os::unix::process::ExitStatusExt as _,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt as _, BufReader, Lines},
    process::{Child, ChildStdout, Command},
};

use crate::SOON;

/// The number that every Unix gives it.
const SIGKILL: i32 = 9;

/// How the server is started, each time anew.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    pub(crate) endpoint: String,
    pub(crate) store: PathBuf,
    /// Where what it says on standard error is gathered.
    said: PathBuf,
    pub(crate) arguments: Vec<String>,
}

/// A process that may not listen yet; killed when it is dropped.
pub(crate) struct Starting {
    process: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

/// A process that listens; killed when it is dropped.
pub(crate) struct Server {
    process: Child,
    pub(crate) address: SocketAddr,
}

impl Setup {
    pub(crate) fn new(endpoint: String, folder: &Path, arguments: &[&str]) -> Self {
        Self {
            endpoint,
            store: folder.join("store.db"),
            said: folder.join("said"),
            arguments: arguments.iter().map(ToString::to_string).collect(),
        }
    }

    /// What beside the arguments a server needs to be run.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_taiwa-server"));
        // Whoever runs the tests may have set some.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("TAIWA_") {
                command.env_remove(name);
            }
        }
        command
            .args(["--listen=127.0.0.1:0", "--model=simulator.persona-v1:0"])
            .args(["--region=us-east-1", "--log=error", "--log-format=json"])
            .arg(format!("--endpoint-url={}", self.endpoint))
            .arg(format!("--store=sqlite:{}", self.store.display()))
            .args(&self.arguments)
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test")
            .kill_on_drop(true);
        command
    }

    /// Starts the process, without waiting for anything.
    pub(crate) fn spawn(&self) -> Starting {
        self.spawn_as(self.command())
    }

    /// As [`Setup::spawn`], by a command of its own.
    pub(crate) fn spawn_as(&self, mut command: Command) -> Starting {
        let mut process = command
            .stdout(Stdio::piped())
            .stderr(self.open_said())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(process.stdout.take().unwrap());
        Starting {
            process,
            lines: stdout.lines(),
        }
    }

    pub(crate) async fn start(&self) -> Server {
        self.spawn().ready().await
    }

    /// What all processes said on standard error.
    pub(crate) fn errors(&self) -> String {
        fs::read_to_string(&self.said).unwrap_or_default()
    }

    /// How much they have said.
    pub(crate) fn errors_len(&self) -> usize {
        fs::metadata(&self.said).map_or(0, |said| said.len() as usize)
    }

    fn open_said(&self) -> File {
        let mut options = OpenOptions::new();
        let options = options.create(true).append(true);
        options.open(&self.said).unwrap()
    }
}

impl Starting {
    /// Waits until it says where it listens.
    pub(crate) async fn ready(self) -> Server {
        match self.outcome().await {
            Ok(server) => server,
            Err(status) => panic!("it ended: {status:?}"),
        }
    }

    /// Waits until it says where it listens, or has ended.
    pub(crate) async fn outcome(mut self) -> Result<Server, ExitStatus> {
        let line = tokio::time::timeout(SOON, self.lines.next_line()).await;
        let Some(line) = line.expect("it starts in time").unwrap() else {
            return Err(self.ended().await);
        };
        let address = line.split("http://").nth(1).unwrap();
        Ok(Server {
            process: self.process,
            address: address.trim().parse().unwrap(),
        })
    }

    /// Sends SIGKILL, and waits until it is gone.
    pub(crate) async fn kill(self) {
        kill(self.process).await;
    }

    /// Waits until it has ended by itself.
    pub(crate) async fn ended(mut self) -> ExitStatus {
        let ended = tokio::time::timeout(SOON, self.process.wait()).await;
        ended.expect("it ends in time").unwrap()
    }
}

impl Server {
    /// Sends SIGKILL, and waits until it is gone.
    pub(crate) async fn kill(self) {
        kill(self.process).await;
    }

    /// Sends SIGTERM, and waits until it has ended.
    pub(crate) async fn terminate(mut self, limit: Duration) -> ExitStatus {
        let id = self.process.id().unwrap().to_string();
        let sent = Command::new("kill").args(["-s", "TERM", &id]).status();
        assert!(sent.await.unwrap().success());
        let ended = tokio::time::timeout(limit, self.process.wait()).await;
        ended.expect("it ends in time").unwrap()
    }

    pub(crate) fn id(&self) -> u32 {
        self.process.id().unwrap()
    }

    /// Resident memory in KiB, as the system counts it.
    pub(crate) fn resident_kib(&self) -> u64 {
        let status = fs::read_to_string(self.proc("status")).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:"));
        let number = line.unwrap().split_whitespace().nth(1);
        number.unwrap().parse().unwrap()
    }

    /// Number of open file descriptors.
    pub(crate) fn descriptors(&self) -> usize {
        fs::read_dir(self.proc("fd")).unwrap().count()
    }

    fn proc(&self, name: &str) -> String {
        format!("/proc/{}/{name}", self.id())
    }
}

/// Kills a process, which must have lived until then.
async fn kill(mut process: Child) {
    process.start_kill().unwrap();
    let status = process.wait().await.unwrap();
    assert_eq!(
        status.signal(),
        Some(SIGKILL),
        "it ended by itself: {status:?}"
    );
}
