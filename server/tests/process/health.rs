//! `taiwa-server health`: whoever watches a server learns whether it serves, by the exit code.

use std::{net::TcpListener, process::Output, time::Instant};

use taiwa::v1 as pb;
use tokio::process::Command;

use crate::{Client, SOON, connect, start};

const ENDLESS: &str = r#"
[[reply]]
text = ["word "]
fault.silence = { after_chunk = 1 }
"#;

#[tokio::test]
async fn a_server_that_serves_says_so_in_the_surroundings_of_its_container() {
    let (_simulator, child) = start(ENDLESS, &[]).await;
    let (_, port) = child.address().rsplit_once(':').unwrap();

    let done = told(
        health(&[])
            .env("TAIWA_LISTEN", format!("0.0.0.0:{port}"))
            .env("TAIWA_LOG_FORMAT", "json")
            // None of these is looked at: what they name is not there, or makes no sense.
            .env("TAIWA_STORE", "sqlite:/nowhere/sessions.db")
            .env("TAIWA_CONFIG", "/nowhere/agents.toml")
            .env("TAIWA_ENV_FILE", "/nowhere/.env")
            .env("TAIWA_OFFLINE", "perhaps")
            .env("TAIWA_OFFLINE_MODEL", "/nowhere/model.gguf"),
    )
    .await;

    assert_eq!(done, (Some(0), "SERVING\n".to_owned(), String::new()));
}

#[tokio::test]
async fn a_server_that_drains_does_not_serve() {
    let (simulator, mut child) = start(ENDLESS, &["--shutdown-grace=20s"]).await;
    let request = pb::InvokeRequest {
        prompt: "hi".to_owned(),
        ..pb::InvokeRequest::default()
    };
    let mut client = Client::new(connect(&child).await);
    let turn = tokio::spawn(async move {
        let events = client.invoke_stream(request).await.unwrap().into_inner();
        // Held open until the test is done with it.
        std::future::pending::<()>().await;
        drop(events);
    });
    simulator
        .journal()
        .changed_after(0, SOON)
        .await
        .first()
        .expect("the model is asked");
    let address = child.address().to_owned();
    child.terminate().await;

    let began = Instant::now();
    let done = loop {
        let done = told(&mut health(&["--address", &address])).await;
        // The signal is on its way.
        if done.0 != Some(0) {
            break done;
        }
        assert!(began.elapsed() < SOON);
    };

    let said = format!("error: {address} says NOT_SERVING\n");
    assert_eq!(done, (Some(1), String::new(), said));
    turn.abort();
    assert!(child.ended(SOON).await.success());
    let done = told(&mut health(&["--address", &address])).await;
    assert_eq!(done.0, Some(1), "{done:?}");
}

#[tokio::test]
async fn where_nothing_listens_nothing_serves() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);

    let (code, stdout, stderr) = told(&mut health(&["--listen", &address])).await;

    assert_eq!((code, stdout.as_str()), (Some(1), ""));
    let begin = format!("error: cannot reach {address}: ");
    assert!(
        stderr.starts_with(&begin) && stderr.contains("Connection refused"),
        "{stderr}"
    );
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
}

#[tokio::test]
async fn who_never_answers_does_not_serve() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();

    let done = told(&mut health(&["--address", &address, "--timeout=300ms"])).await;

    let said = format!("error: no answer from {address} within 300ms\n");
    assert_eq!(done, (Some(1), String::new(), said));
}

#[tokio::test]
async fn another_program_is_no_server_of_ours() {
    let (simulator, _child) = start(ENDLESS, &[]).await;
    let endpoint = simulator.endpoint();
    let address = endpoint.trim_start_matches("http://");

    let (code, stdout, stderr) = told(&mut health(&["--address", address])).await;

    assert_eq!((code, stdout.as_str()), (Some(1), ""));
    let begin = format!("error: {address} does not tell its health: ");
    assert!(stderr.starts_with(&begin), "{stderr}");
}

#[tokio::test]
async fn a_port_that_only_the_server_knows_is_wrong_usage() {
    let done = told(health(&[]).env("TAIWA_LISTEN", "0.0.0.0:0")).await;

    let said = "error: --listen with port 0 needs --address\n".to_owned();
    assert_eq!(done, (Some(64), String::new(), said));
}

fn health(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_taiwa-server"));
    command.arg("health").args(arguments).kill_on_drop(true);
    command
}

/// The exit code, and what was told on standard output and on standard error.
async fn told(command: &mut Command) -> (Option<i32>, String, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = tokio::time::timeout(SOON, command.output())
        .await
        .expect("it ends in time")
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code(), text(stdout), text(stderr))
}
