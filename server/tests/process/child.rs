//! A server that runs as a child of the test.

use std::{
    process::{ExitStatus, Stdio},
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::Command,
};

use crate::SOON;

/// The process; killed when it is dropped.
pub(crate) struct Child {
    process: tokio::process::Child,
    pub(crate) url: String,
}

impl Child {
    /// Starts the server, and waits until it says where it listens.
    pub(crate) async fn start(endpoint: &str, arguments: &[&str]) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_taiwa-server"))
            .args(["--listen=127.0.0.1:0", "--model=simulator.persona-v1:0"])
            .args([
                "--region=us-east-1",
                "--store=memory",
                "--log=error",
                "--endpoint-url",
                endpoint,
            ])
            .args(arguments)
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test")
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let stdout = BufReader::new(process.stdout.take().unwrap());
        let line = tokio::time::timeout(SOON, stdout.lines().next_line()).await;
        let line = line.unwrap().unwrap().unwrap();
        let address = line.split_whitespace().next_back().unwrap();
        let address = address.trim_start_matches("http://");
        Self {
            url: format!("http://{address}"),
            process,
        }
    }

    /// The host and port where it listens.
    pub(crate) fn address(&self) -> &str {
        self.url.trim_start_matches("http://")
    }

    /// Sends SIGTERM.
    pub(crate) async fn terminate(&self) {
        let kill = format!("kill -TERM {}", self.process.id().unwrap());
        let status = Command::new("sh").args(["-c", &kill]).status().await;
        assert!(status.unwrap().success());
    }

    /// Waits until it has ended.
    pub(crate) async fn ended(&mut self, limit: Duration) -> ExitStatus {
        let status = tokio::time::timeout(limit, self.process.wait()).await;
        status.expect("it ends in time").unwrap()
    }

    /// Resident memory in KiB, as the system counts it.
    pub(crate) fn resident_kib(&self) -> u64 {
        let path = format!("/proc/{}/status", self.process.id().unwrap());
        let status = std::fs::read_to_string(path).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:"));
        line.unwrap()
            .split_whitespace()
            .nth(1)
            .unwrap()
            .parse()
            .unwrap()
    }
}
