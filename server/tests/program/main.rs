//! The program: what it takes from its surroundings, and how it ends.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpStream},
    process::{Child, ChildStderr, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use clap::{Arg, CommandFactory as _};
use serde_json::Value;
use taiwa_server::config::Args;

const LIMIT: Duration = Duration::from_secs(20);

#[test]
fn wrong_usage_ends_with_64_and_help_with_0() {
    for (arguments, code, told) in [
        (
            &[][..],
            64,
            "error: no model: give a Bedrock model id with --model",
        ),
        (
            &["--no-such-flag"],
            64,
            "error: unexpected argument '--no-such-flag'",
        ),
        (
            &["--offline", "--env-file=/no/such/file"],
            64,
            "error: --env-file: cannot use /no/such/file",
        ),
        (&["--version"], 0, ""),
    ] {
        let output = command().args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}");
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(stderr.starts_with(told), "{stderr}");
    }
}

#[test]
fn a_variable_is_named_when_its_value_is_bad() {
    let output = command()
        .env("TAIWA_SHUTDOWN_GRACE", "soon")
        .arg("--offline")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(64));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains("'soon' for '--shutdown-grace"), "{stderr}");
}

#[test]
fn a_server_that_cannot_start_ends_with_1() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = format!("--listen={}", taken.local_addr().unwrap());
    let output = command().args(["--offline", &listen]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(
        stderr.contains("error: cannot listen on 127.0.0.1:"),
        "{stderr}"
    );
}

#[test]
fn a_variable_that_is_empty_counts_as_unset_and_a_flag_may_not_be_empty() {
    let mut command = command();
    let options = Args::command();
    for name in options.get_arguments().filter_map(Arg::get_env) {
        command.env(name, "");
    }
    let mut server = Server::start(command.arg("--offline"));
    let configuration = server.configuration.to_string();
    assert!(
        configuration.contains("max_sessions: 20000,"),
        "{configuration}"
    );
    server.signal("TERM");
    assert_eq!(server.ended().code(), Some(0));

    let output = self::command()
        .args(["--offline", "--model="])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(64));
}

#[test]
fn flags_win_over_variables_and_those_over_the_file_of_variables() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(".env");
    fs::write(
        &file,
        "TAIWA_OFFLINE=yes\nTAIWA_MAX_SESSIONS=1\nTAIWA_MAX_CONNECTIONS=1\nTAIWA_REGION=file\n",
    )
    .unwrap();
    let mut server = Server::start(
        command()
            .env("TAIWA_ENV_FILE", &file)
            .env("TAIWA_MAX_SESSIONS", "2")
            .env("TAIWA_MAX_CONNECTIONS", "2")
            .args(["--max-connections=3"]),
    );
    let configuration = server
        .configuration
        .each_ref()
        .map(Value::to_string)
        .concat();
    for part in [
        r#""offline":true"#,
        "max_sessions: 2,",
        "max_connections: 3,",
        r#""region":"file""#,
    ] {
        assert!(configuration.contains(part), "{part} in {configuration}");
    }
    server.signal("TERM");
    assert_eq!(server.ended().code(), Some(0));
}

#[test]
fn the_log_of_the_configuration_holds_no_prompt() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("agents.toml");
    fs::write(
        &file,
        "[[agents]]\nid = \"a\"\nmodel = \"m\"\nsystem = \"tell nobody\"\n",
    )
    .unwrap();
    let server = Server::start(command().args(["--offline", "--config"]).arg(&file));
    let configuration = server
        .configuration
        .each_ref()
        .map(Value::to_string)
        .concat();
    assert!(configuration.contains("a=m"), "{configuration}");
    assert!(!configuration.contains("tell nobody"), "{configuration}");
}

#[test]
fn a_log_that_cannot_be_written_ends_nothing() {
    for format in ["text", "json"] {
        let full = fs::File::create("/dev/full").unwrap();
        let (closed, unheard) = std::io::pipe().unwrap();
        drop(closed);
        for log in [Stdio::from(full), Stdio::from(unheard)] {
            let mut child = command()
                .args(["--offline", "--store=memory", "--listen=127.0.0.1:0"])
                .arg(format!("--log-format={format}"))
                .stdout(Stdio::piped())
                .stderr(log)
                .spawn()
                .unwrap();
            let mut line = String::new();
            let mut stdout = BufReader::new(child.stdout.take().unwrap());
            stdout.read_line(&mut line).unwrap();
            assert!(line.starts_with("listening on "), "{format}: {line:?}");
            let mut server = Server {
                child,
                log: None,
                configuration: Default::default(),
                address: line.trim().rsplit_once('/').unwrap().1.parse().unwrap(),
            };
            server.signal("TERM");
            assert_eq!(server.ended().code(), Some(0), "{format}");
        }
    }
}

#[test]
fn either_signal_ends_in_order() {
    for signal in ["TERM", "INT"] {
        let mut server = Server::start(command().arg("--offline"));
        server.signal(signal);
        assert_eq!(server.ended().code(), Some(0), "{signal}");
    }
}

#[test]
fn a_second_signal_ends_at_once_with_130() {
    let mut server = Server::start(command().arg("--offline"));
    // An open call keeps the listener from ending by itself.
    let mut watcher = TcpStream::connect(server.address).unwrap();
    watcher.write_all(WATCH).unwrap();
    let mut answer = [0; 1];
    std::io::Read::read_exact(&mut watcher, &mut answer).unwrap();
    server.signal("TERM");
    server.wait_for("asked to stop");
    server.signal("INT");
    assert_eq!(server.ended().code(), Some(130));
}

/// A client's first frames: SETTINGS, then a call of `Health/Watch`, whose answer never ends.
const WATCH: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\
    \0\0\0\x04\0\0\0\0\0\
    \0\0\x4f\x01\x04\0\0\0\x01\
    \x83\x86\x04\x1c/grpc.health.v1.Health/Watch\x01\x01x\
    \0\x0ccontent-type\x10application/grpc\
    \0\x02te\x08trailers\
    \0\0\x05\0\x01\0\0\0\x01\
    \0\0\0\0\0";

fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_taiwa-server"));
    // Whoever runs the tests may have set some.
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("TAIWA_") {
            command.env_remove(name);
        }
    }
    command
}

/// A server that listens, and is killed when dropped.
struct Server {
    child: Child,
    log: Option<BufReader<ChildStderr>>,
    /// What it said of its configuration, in detail too.
    configuration: [Value; 2],
    address: SocketAddr,
}

impl Server {
    fn start(command: &mut Command) -> Self {
        let mut child = command
            .args(["--listen=127.0.0.1:0", "--log-format=json"])
            .arg("--log=info,taiwa_server::config=debug")
            .env("TAIWA_STORE", "memory")
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = BufReader::new(child.stderr.take().unwrap());
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut server = Self {
            child,
            log: Some(log),
            configuration: Default::default(),
            address,
        };
        server.configuration =
            ["configuration", "configuration in detail"].map(|said| server.wait_for(said));
        let listening = server.wait_for("listening");
        server.address = listening["address"].as_str().unwrap().parse().unwrap();
        server
    }

    /// Reads the log up to a message.
    fn wait_for(&mut self, message: &str) -> Value {
        let mut line = String::new();
        let log = self.log.as_mut().unwrap();
        while log.read_line(&mut line).unwrap() > 0 {
            if let Ok(entry) = serde_json::from_str::<Value>(&line)
                && entry["message"] == message
            {
                return entry;
            }
            line.clear();
        }
        panic!("ended before it said {message:?}");
    }

    fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        let sent = Command::new("kill")
            .args(["-s", name, &id])
            .status()
            .unwrap();
        assert!(sent.success());
    }

    fn ended(&mut self) -> ExitStatus {
        let before = Instant::now();
        while before.elapsed() < LIMIT {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            thread::sleep(Duration::from_millis(5));
        }
        panic!("still runs after {LIMIT:?}");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
