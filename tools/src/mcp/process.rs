//! The program that is an MCP server: started, listened to, ended.

use std::{
    collections::BTreeMap,
    env, io,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    sync::Arc,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, BufReader},
    process::{Child, Command},
    time::timeout,
};
use tokio_util::task::AbortOnDropHandle;

use super::pipes::Pipes;

/// What a program inherits of our environment.
const INHERITED: [&str; 11] = [
    "PATH", "HOME", "USER", "LOGNAME", "SHELL", "TERM", "LANG", "LC_ALL", "LC_CTYPE", "TZ",
    "TMPDIR",
];

/// How long a program may take to end by itself once its input is closed, and again once it was
/// told to. A guess: servers that have something to save take less.
const GRACE: Duration = Duration::from_secs(2);

/// Longest line of a program's errors that is logged, in bytes.
const MAX_ERROR_LINE_BYTES: usize = 4 * 1024;

/// Where a program is and how it is started.
pub(super) struct Program {
    pub(super) name: Arc<str>,
    pub(super) command: String,
    pub(super) args: Vec<String>,
    pub(super) env: BTreeMap<String, String>,
    pub(super) cwd: Option<PathBuf>,
}

/// A program that runs; killed with all that it started when this is dropped.
#[derive(Debug)]
pub(super) struct Process {
    name: Arc<str>,
    child: Child,
    group: Option<Pid>,
    _errors: Option<AbortOnDropHandle<()>>,
}

impl Program {
    /// Starts it.
    pub(super) fn start(&self) -> io::Result<(Process, Pipes)> {
        let inherited = INHERITED
            .iter()
            .filter_map(|name| Some((name, env::var_os(name)?)));
        let mut command = Command::new(&self.command);
        command
            .args(&self.args)
            .env_clear()
            .envs(inherited)
            .envs(&self.env)
            .current_dir(self.cwd.as_deref().unwrap_or(Path::new(".")))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // A group of its own: what it starts ends with it, and a terminal's Ctrl-C is ours to act on.
            .process_group(0)
            .kill_on_drop(true);
        let mut child = command.spawn()?;
        let group = child.id().and_then(|id| i32::try_from(id).ok());
        let (input, output) = child
            .stdin
            .take()
            .zip(child.stdout.take())
            .ok_or_else(|| io::Error::other("its pipes are taken"))?;
        let errors = child.stderr.take().map(|errors| {
            let log = log_errors(Arc::clone(&self.name), errors);
            AbortOnDropHandle::new(tokio::spawn(log))
        });
        let process = Process {
            name: Arc::clone(&self.name),
            child,
            group: group.and_then(Pid::from_raw),
            _errors: errors,
        };
        Ok((process, Pipes::new(Arc::clone(&self.name), input, output)))
    }
}

impl Process {
    /// Waits until the program has ended.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when the future is dropped.
    pub(super) async fn ended(&mut self) -> io::Result<ExitStatus> {
        self.child.wait().await
    }

    /// Ends it, whose input was closed: waits, then tells it to end, then kills it.
    pub(super) async fn end(mut self) {
        for next in [Signal::TERM, Signal::KILL] {
            if timeout(GRACE, self.child.wait()).await.is_ok() {
                break;
            }
            tracing::debug!(server = %self.name, signal = ?next, "the MCP server does not end");
            self.signal(next);
        }
        // A process that was killed ends at once, unless the kernel holds it: that is not waited for.
        if let Ok(Ok(status)) = timeout(GRACE, self.child.wait()).await {
            tracing::debug!(server = %self.name, %status, "the MCP server has ended");
        } else {
            tracing::warn!(server = %self.name, "the MCP server was killed, and has not ended yet");
        }
    }

    fn signal(&self, signal: Signal) {
        if let Some(group) = self.group {
            // It fails when the group is empty: that is what the signal is for.
            let _ = kill_process_group(group, signal);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The program may have left others behind that it started.
        self.signal(Signal::KILL);
    }
}

/// Logs what the program says on its standard error, line by line.
async fn log_errors(server: Arc<str>, errors: impl AsyncRead + Unpin) {
    let mut errors = BufReader::new(errors);
    let mut line = Vec::new();
    let say = |line: &[u8]| {
        let line = String::from_utf8_lossy(line);
        let line = line.trim_end();
        if !line.is_empty() {
            tracing::info!(target: "taiwa_tools::mcp::stderr", %server, "{line}");
        }
    };
    loop {
        let piece = match errors.fill_buf().await {
            Ok([]) | Err(_) => break,
            Ok(piece) => piece,
        };
        let end = piece.iter().position(|byte| *byte == b'\n');
        let read = end.map_or(piece.len(), |end| end + 1);
        let room = MAX_ERROR_LINE_BYTES - line.len();
        line.extend_from_slice(&piece[..read.min(room)]);
        errors.consume(read);
        if end.is_some() {
            say(&line);
            line.clear();
        }
    }
    say(&line);
}
