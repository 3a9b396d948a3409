//! The servers of others, where they are installed.

use std::{
    env, fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Command as Program, Stdio},
    time::{Duration, Instant},
};

use http::HeaderMap;
use serde_json::Value;
use taiwa_e2e::call::PATIENCE;
use taiwa_tools::{grpc, mcp};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    net::TcpStream,
    process::{Child, Command},
    time::timeout,
};

/// Longest wait for a server to start, beside others that start too.
const START: Duration = Duration::from_secs(60);

/// The file that starts a reference server of MCP.
///
/// `None`, with a word on standard error, where it is not installed and nobody asks for a complete
/// run.
pub(crate) fn reference_server(name: &str) -> Option<PathBuf> {
    let modules = tools().join("tools-peers/node_modules/@modelcontextprotocol");
    let file = modules.join(name).join("dist/index.js");
    if file.exists() {
        return Some(file);
    }
    leave_out(&format!(
        "{} is missing: tools/tests/peers/npm.sh installs it",
        file.display()
    ))
}

/// A reference server as a program that is spoken to over its pipes.
pub(crate) fn piped(script: &Path, argument: &str) -> mcp::Config {
    let transport = mcp::Transport::Stdio {
        command: "node".to_owned(),
        args: vec![script.display().to_string(), argument.to_owned()],
        env: Default::default(),
        cwd: None,
    };
    mcp::Config::new("reference", transport)
}

/// A reference server that listens; ends when it is dropped.
pub(crate) struct Listening {
    port: u16,
    _child: Child,
}

impl Listening {
    pub(crate) async fn start(script: &Path) -> Self {
        // It does not tell which port it was given, so it is told one that was free just now.
        let port = TcpListener::bind("127.0.0.1:0").and_then(|bound| bound.local_addr());
        let port = port.expect("a port is free").port();
        let child = Command::new("node")
            .arg(script)
            .arg("streamableHttp")
            .env("PORT", port.to_string())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("node starts");
        let listens = async {
            while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(START, listens).await.expect("it listens in time");
        Self {
            port,
            _child: child,
        }
    }

    pub(crate) fn config(&self) -> mcp::Config {
        let transport = mcp::Transport::Http {
            url: format!("http://127.0.0.1:{}/mcp", self.port),
            headers: HeaderMap::new(),
            bearer: None,
            forward_metadata: Vec::new(),
        };
        mcp::Config::new("reference", transport)
    }
}

/// The warehouse in Python, while it lives.
pub(crate) struct Warehouse {
    endpoint: String,
    journal: PathBuf,
    _child: Child,
    _folder: TempDir,
}

impl Warehouse {
    /// Starts it; `None` as for [`reference_server`].
    pub(crate) async fn start() -> Option<Self> {
        let python = python()?;
        let folder = tempfile::tempdir().expect("there is room");
        let journal = folder.path().join("journal");
        let script = workspace().join("tools/tests/peers/warehouse.py");
        let mut child = Command::new(python)
            .arg(script)
            .arg("--journal")
            .arg(&journal)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("python starts");
        let output = child.stdout.take().expect("it is piped");
        let mut lines = BufReader::new(output).lines();
        let line = timeout(START, lines.next_line()).await;
        let line = line.expect("it listens in time").expect("it can be read");
        let line = line.expect("it says where it listens");
        let address = line.strip_prefix("listening on ").expect("it says where");
        Some(Self {
            endpoint: format!("http://{address}"),
            journal,
            _child: child,
            _folder: folder,
        })
    }

    /// Tools of some of its methods.
    pub(crate) fn config(&self, methods: &str) -> grpc::Config {
        grpc::Config::new(&self.endpoint, [methods])
    }

    /// All that it wrote down.
    pub(crate) fn journal(&self) -> String {
        fs::read_to_string(&self.journal).expect("it is there")
    }

    /// Waits until its journal has so many of an event of a method.
    pub(crate) async fn events(&self, event: &str, method: &str, count: usize) -> Vec<Value> {
        let began = Instant::now();
        loop {
            let journal = self.journal();
            // The last line may be half written.
            let whole = journal.rsplit_once('\n').map_or("", |(whole, _)| whole);
            let events = whole
                .lines()
                .map(|line| serde_json::from_str::<Value>(line).expect("each line is JSON"));
            let found: Vec<_> = events
                .filter(|line| line["event"] == event && line["method"] == method)
                .collect();
            if found.len() >= count {
                return found;
            }
            let waited = began.elapsed();
            assert!(waited < PATIENCE, "no {count} of {event} in {journal}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// The Python that has the packages of the warehouse.
fn python() -> Option<PathBuf> {
    let python = tools().join("venv/bin/python");
    let packages = "import grpc_health, grpc_reflection, grpc_status, grpc_tools";
    let has_packages = Program::new(&python)
        .args(["-c", packages])
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if has_packages {
        return Some(python);
    }
    leave_out(&format!(
        "{} has not the packages of tools/tests/peers/requirements.txt; .ci/tools installs them",
        python.display()
    ))
}

fn leave_out(missing: &str) -> Option<PathBuf> {
    let in_ci = env::var_os("CI").is_some_and(|ci| !ci.is_empty());
    assert!(!in_ci, "{missing}");
    eprintln!("LEFT OUT: {missing}");
    None
}

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn tools() -> PathBuf {
    env::var_os("TAIWA_TOOLS").map_or_else(|| workspace().join(".tools"), PathBuf::from)
}
