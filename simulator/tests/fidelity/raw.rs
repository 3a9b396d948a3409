//! Requests that no SDK makes, over plain sockets; and the routes of the simulator itself.

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::*;

const BEARER: &str = "authorization: Bearer bedrock-api-key-x\r\n";
const HI: &str = r#"{"messages":[{"role":"user","content":[{"text":"hi"}]}]}"#;

/// Sends one HTTP/1.1 request and returns the whole response as text.
async fn send(
    simulator: &Simulator,
    method: &str,
    path: &str,
    headers: &str,
    body: &str,
) -> String {
    let mut socket = TcpStream::connect(simulator.address()).await.unwrap();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: x\r\n{headers}content-length: {}\r\n\
         connection: close\r\n\r\n{body}",
        body.len()
    );
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut response = Vec::new();
    tokio::time::timeout(LIMIT, socket.read_to_end(&mut response))
        .await
        .unwrap()
        .unwrap();
    String::from_utf8_lossy(&response).into_owned()
}

fn body(response: &str) -> Value {
    let (_, body) = response.split_once("\r\n\r\n").unwrap();
    serde_json::from_str(body).unwrap_or(Value::Null)
}

#[tokio::test]
async fn unsigned_requests_are_refused_and_api_keys_accepted() {
    let simulator = start("").await;
    let path = "/model/simulator.persona-v1%3A0/converse";
    let response = send(&simulator, "POST", path, "", HI).await;
    assert!(response.starts_with("HTTP/1.1 403 "), "{response}");
    assert!(response.contains(
        "x-amzn-errortype: MissingAuthenticationTokenException:http://internal.amazon.com/"
    ));
    assert_eq!(
        body(&response),
        json!({"message": "Missing Authentication Token"})
    );

    let response = send(&simulator, "POST", path, BEARER, HI).await;
    assert!(response.starts_with("HTTP/1.1 200 "), "{response}");
}

#[tokio::test]
async fn garbage_is_refused_with_the_exception_that_fits() {
    let simulator = start("").await;
    let converse = "/model/simulator.persona-v1:0/converse";
    let deep = "[".repeat(100_000);
    for (method, path, content, status, error) in [
        ("POST", converse, "{", 400, "SerializationException"),
        ("POST", converse, "\"text\"", 400, "SerializationException"),
        (
            "POST",
            converse,
            deep.as_str(),
            400,
            "SerializationException",
        ),
        ("POST", converse, "{}", 400, "ValidationException"),
        (
            "POST",
            "/model/%FF/converse",
            HI,
            404,
            "UnknownOperationException",
        ),
        (
            "POST",
            "/model/x/no-such-thing",
            HI,
            404,
            "UnknownOperationException",
        ),
        ("GET", converse, "", 404, "UnknownOperationException"),
    ] {
        let response = send(&simulator, method, path, BEARER, content).await;
        let head = format!("HTTP/1.1 {status} ");
        assert!(response.starts_with(&head), "{method} {path}: {response}");
        assert!(
            response.contains(&format!("x-amzn-errortype: {error}:")),
            "{response}"
        );
    }
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused() {
    let simulator = start("").await;
    let text = "x".repeat(25_000_001);
    let mut socket = TcpStream::connect(simulator.address()).await.unwrap();
    let head = format!(
        "POST /model/simulator.persona-v1:0/converse HTTP/1.1\r\nhost: x\r\n{BEARER}\
         content-length: {}\r\n\r\n",
        text.len()
    );
    socket.write_all(head.as_bytes()).await.unwrap();
    let (mut read, mut write) = socket.into_split();
    // The half is handed back: dropped, it would say that this client wants no answer.
    let writing = tokio::spawn(async move {
        let written = write.write_all(text.as_bytes()).await;
        (write, written)
    });
    let mut response = vec![0; 1024];
    let length = tokio::time::timeout(LIMIT, read.read(&mut response))
        .await
        .unwrap()
        .unwrap();
    let response = String::from_utf8_lossy(&response[..length]).into_owned();
    assert!(response.starts_with("HTTP/1.1 413 "), "{response}");
    writing.abort();
}

#[tokio::test]
async fn http2_with_prior_knowledge_is_spoken() {
    let simulator = start("[[reply]]\ntext = ['over h2']").await;
    let socket = TcpStream::connect(simulator.address()).await.unwrap();
    let io = hyper_util::rt::TokioIo::new(socket);
    let executor = hyper_util::rt::TokioExecutor::new();
    let (mut sender, connection) = hyper::client::conn::http2::handshake(executor, io)
        .await
        .unwrap();
    tokio::spawn(connection);
    let request = http::Request::post(format!(
        "{}/model/simulator.persona-v1:0/converse",
        simulator.endpoint()
    ));
    let request = request.header("authorization", "Bearer key");
    let request = request
        .body(http_body_util::Full::new(bytes::Bytes::from(HI)))
        .unwrap();
    let response = sender.send_request(request).await.unwrap();
    assert_eq!(response.version(), http::Version::HTTP_2);
    let body = http_body_util::BodyExt::collect(response.into_body())
        .await
        .unwrap()
        .to_bytes();
    let body: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(body["output"]["message"]["content"][0]["text"], "over h2");
}

#[tokio::test]
async fn the_journal_and_the_scenario_are_reached_over_http() {
    let simulator = start("").await;
    let scenario = "[[reply]]\ntext = 'posted'";
    let response = send(&simulator, "POST", "/_simulator/scenario", "", scenario).await;
    assert!(response.starts_with("HTTP/1.1 200 "), "{response}");

    let path = "/_simulator/journal?after=0&wait=10s";
    let poll = async { body(&send(&simulator, "GET", path, "", "").await) };
    let (polled, ()) = tokio::join!(poll, async { drop(converse(&simulator).await) });
    assert_eq!(polled["entries"][0]["operation"], "converse");
    ended(&simulator).await;
    let whole = body(&send(&simulator, "GET", "/_simulator/journal", "", "").await);
    assert_eq!(whole["entries"][0]["outcome"], "completed");
    assert_eq!(
        whole["entries"][0]["request"]["messages"][0]["role"],
        "user"
    );

    send(&simulator, "DELETE", "/_simulator/journal", "", "").await;
    assert_eq!(simulator.journal().entries().len(), 0);

    let wrong = "[[reply]]\ntxt = 'a'";
    let response = send(&simulator, "POST", "/_simulator/scenario", "", wrong).await;
    assert!(response.starts_with("HTTP/1.1 400 "), "{response}");
    assert!(
        body(&response)["message"].as_str().unwrap().contains("txt"),
        "{response}"
    );
}
