//! A scripted server over HTTP: credentials, sessions, broken connections.

use std::{
    collections::{BTreeMap, BTreeSet},
    convert::Infallible,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use http::{HeaderMap, HeaderName, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, StreamBody, combinators::BoxBody};
use hyper::{
    body::{Bytes, Frame, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use taiwa_tools::{Caller, Error, Source as _, mcp};
use tokio::{
    net::TcpListener,
    task::{JoinSet, yield_now},
};
use tokio_util::task::AbortOnDropHandle;

use crate::{call, call_of, eventually, json, names, run, start, text, tool};

type Body = BoxBody<Bytes, io::Error>;

/// A server that listens; its connections end when it is dropped.
struct Server {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    _listening: AbortOnDropHandle<()>,
}

#[derive(Default)]
struct State {
    /// The only `authorization` that is taken; any, where there is none.
    authorization: Option<String>,
    /// How others are refused.
    refusal: Refusal,
    sessions: BTreeSet<String>,
    begun: usize,
    /// Refuses a session that it does not know as the reference server does, not as the protocol says.
    is_unruly: bool,
    extra_tool: bool,
    requests: Vec<Seen>,
}

#[derive(Clone, Copy, Default)]
enum Refusal {
    #[default]
    Unauthorized,
    UnauthorizedWithChallenge,
    Forbidden,
}

/// A request as it arrived.
#[derive(Clone, Debug)]
struct Seen {
    headers: BTreeMap<String, String>,
    message: Value,
}

impl Server {
    async fn start(state: State) -> Self {
        Self::listen(SocketAddr::from(([127, 0, 0, 1], 0)), state).await
    }

    async fn listen(address: SocketAddr, state: State) -> Self {
        let listener = TcpListener::bind(address).await.expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let state = Arc::new(Mutex::new(state));
        let accept = accept(listener, Arc::clone(&state));
        Self {
            address,
            state,
            _listening: AbortOnDropHandle::new(tokio::spawn(accept)),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no request has panicked")
    }

    fn transport(&self) -> mcp::Transport {
        mcp::Transport::Http {
            url: format!("http://{}/mcp", self.address),
            headers: HeaderMap::new(),
            bearer: None,
            forward_metadata: Vec::new(),
        }
    }

    /// What arrived of this method.
    fn seen(&self, method: &str) -> Vec<Seen> {
        let requests = &self.state().requests;
        let of_method = requests
            .iter()
            .filter(|seen| seen.message["method"] == method);
        of_method.cloned().collect()
    }
}

async fn accept(listener: TcpListener, state: Arc<Mutex<State>>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let state = Arc::clone(&state);
        let service = service_fn(move |request| answer(Arc::clone(&state), request));
        let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
        connections.spawn(connection);
    }
}

async fn answer(
    state: Arc<Mutex<State>>,
    request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body
        .collect()
        .await
        .expect("a body arrives whole")
        .to_bytes();
    let headers: BTreeMap<String, String> = head
        .headers
        .iter()
        .map(|(name, value)| {
            (
                name.to_string(),
                value.to_str().unwrap_or_default().to_owned(),
            )
        })
        .collect();
    if head.method != Method::POST {
        return Ok(bare(StatusCode::METHOD_NOT_ALLOWED));
    }
    let message: Value = serde_json::from_slice(&body).expect("a message is JSON");
    let mut state = state.lock().expect("no request has panicked");
    state.requests.push(Seen {
        headers: headers.clone(),
        message: message.clone(),
    });
    let wanted = state.authorization.as_ref();
    if wanted.is_some_and(|wanted| headers.get("authorization") != Some(wanted)) {
        return Ok(match state.refusal {
            Refusal::Unauthorized => bare(StatusCode::UNAUTHORIZED),
            Refusal::Forbidden => bare(StatusCode::FORBIDDEN),
            Refusal::UnauthorizedWithChallenge => {
                let mut response = bare(StatusCode::UNAUTHORIZED);
                let challenge = "Bearer realm=\"x\"".parse().expect("a value of a header");
                response.headers_mut().insert("www-authenticate", challenge);
                response
            }
        });
    }
    let id = &message["id"];
    let method = message["method"].as_str().unwrap_or_default();
    if method == "server/discover" {
        let error = json!({"code": -32601, "message": "no such method"});
        return Ok(whole(&json!({"jsonrpc": "2.0", "id": id, "error": error})));
    }
    if method == "initialize" {
        state.begun += 1;
        let session = format!("session-{}", state.begun);
        let result = json!({
            "protocolVersion": message["params"]["protocolVersion"],
            "capabilities": {"tools": {"listChanged": true}},
            "serverInfo": {"name": "scripted", "version": "1"},
        });
        let mut response = whole(&json!({"jsonrpc": "2.0", "id": id, "result": result}));
        let value = session.parse().expect("a value of a header");
        response.headers_mut().insert("mcp-session-id", value);
        state.sessions.insert(session);
        return Ok(response);
    }
    let session = headers.get("mcp-session-id");
    if !session.is_some_and(|session| state.sessions.contains(session)) {
        if !state.is_unruly {
            return Ok(bare(StatusCode::NOT_FOUND));
        }
        let error = json!({"code": -32000, "message": "Bad Request: No valid session ID provided"});
        let mut response = whole(&json!({"jsonrpc": "2.0", "id": null, "error": error}));
        *response.status_mut() = StatusCode::BAD_REQUEST;
        return Ok(response);
    }
    Ok(match method {
        "tools/list" => {
            let mut tools = vec![
                "echo",
                "stream",
                "hang",
                "break",
                "fail_over",
                "large",
                "busy",
                "moved",
            ];
            tools.extend(state.extra_tool.then_some("extra"));
            let tools: Vec<Value> = tools
                .into_iter()
                .map(|name| json!({"name": name, "inputSchema": {"type": "object"}}))
                .collect();
            whole(&json!({"jsonrpc": "2.0", "id": id, "result": {"tools": tools}}))
        }
        "tools/call" => called(&message, &headers),
        _ => bare(StatusCode::ACCEPTED),
    })
}

fn called(message: &Value, headers: &BTreeMap<String, String>) -> Response<Body> {
    let id = &message["id"];
    let done = |text: &str| {
        let result = json!({
            "content": [{"type": "text", "text": text}],
            "structuredContent": {"headers": headers},
        });
        json!({"jsonrpc": "2.0", "id": id, "result": result})
    };
    let progress = json!({
        "jsonrpc": "2.0",
        "method": "notifications/progress",
        "params": {"progressToken": message["params"]["_meta"]["progressToken"], "progress": 1},
    });
    match message["params"]["name"].as_str().unwrap_or_default() {
        "stream" => events(vec![Ok(progress), Ok(done("streamed"))], false),
        "hang" => events(vec![Ok(progress)], true),
        "break" => events(
            vec![Ok(progress), Err(io::ErrorKind::ConnectionReset.into())],
            false,
        ),
        "fail_over" => bare(StatusCode::BAD_GATEWAY),
        "moved" => bare(StatusCode::TEMPORARY_REDIRECT),
        "busy" => bare(StatusCode::TOO_MANY_REQUESTS),
        "large" => whole(&done(&"x".repeat(17_000_000))),
        name => whole(&done(name)),
    }
}

fn bare(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Full::default().map_err(|never| match never {}).boxed());
    *response.status_mut() = status;
    response
}

fn whole(message: &Value) -> Response<Body> {
    let body = Full::new(Bytes::from(message.to_string()));
    typed(
        "application/json",
        body.map_err(|never| match never {}).boxed(),
    )
}

/// A stream of events, which stays open where it is told so.
fn events(messages: Vec<io::Result<Value>>, stays_open: bool) -> Response<Body> {
    let frames = messages.into_iter().map(|message| {
        message.map(|message| Frame::data(Bytes::from(format!("data: {message}\n\n"))))
    });
    let frames = futures_util::stream::iter(frames);
    let body = if stays_open {
        let open = futures_util::stream::pending();
        BodyExt::boxed(StreamBody::new(futures_util::StreamExt::chain(
            frames, open,
        )))
    } else {
        BodyExt::boxed(StreamBody::new(frames))
    };
    typed("text/event-stream", body)
}

fn typed(media_type: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    let media_type = media_type.parse().expect("a value of a header");
    response.headers_mut().insert("content-type", media_type);
    response
}

#[tokio::test]
async fn headers_and_token_go_with_every_request_and_the_callers_metadata_with_calls_alone() {
    let state = State {
        authorization: Some("Bearer token-1".into()),
        ..State::default()
    };
    let server = Server::start(state).await;
    let mut transport = server.transport();
    if let mcp::Transport::Http {
        headers,
        bearer,
        forward_metadata,
        ..
    } = &mut transport
    {
        headers.insert("x-tenant", "acme".parse().expect("a value of a header"));
        *bearer = Some("token-1".into());
        *forward_metadata = vec![HeaderName::from_static("x-user")];
    }
    let shown = format!("{transport:?}");
    assert!(
        !shown.contains("token-1") && !shown.contains("acme"),
        "{shown}"
    );
    let source = start(transport).await;
    let mut caller = Caller::default();
    for (name, value) in [("x-user", "maria"), ("x-secret", "hidden")] {
        caller
            .metadata
            .insert(name, value.parse().expect("a value of a header"));
    }
    let (call, _progress) = call_of(serde_json::Map::new(), caller);
    let output = tool(&source, "echo")
        .call(call)
        .await
        .expect("it is called");
    let headers = json(&output)["headers"].clone();
    assert_eq!(headers["x-user"], "maria");
    assert!(headers.get("x-secret").is_none(), "{headers}");
    let requests = server.state().requests.clone();
    assert!(requests.len() > 4, "{requests:?}");
    for seen in requests {
        assert_eq!(seen.headers["authorization"], "Bearer token-1");
        assert_eq!(seen.headers["x-tenant"], "acme");
        let is_call = seen.message["method"] == "tools/call";
        assert_eq!(seen.headers.contains_key("x-user"), is_call, "{seen:?}");
    }
}

#[tokio::test]
async fn the_callers_own_token_takes_the_place_of_ours() {
    let server = Server::start(State::default()).await;
    let mut transport = server.transport();
    if let mcp::Transport::Http {
        bearer,
        forward_metadata,
        ..
    } = &mut transport
    {
        *bearer = Some("ours".into());
        *forward_metadata = vec![http::header::AUTHORIZATION];
    }
    let source = start(transport).await;
    let mut caller = Caller::default();
    let value = "Bearer theirs".parse().expect("a value of a header");
    caller.metadata.insert(http::header::AUTHORIZATION, value);
    let (own, _progress) = call_of(serde_json::Map::new(), caller);
    let output = tool(&source, "echo").call(own).await.expect("it is called");
    assert_eq!(json(&output)["headers"]["authorization"], "Bearer theirs");
    let output = run(&source, "echo", json!({})).await.expect("it is called");
    assert_eq!(json(&output)["headers"]["authorization"], "Bearer ours");
}

#[tokio::test]
async fn refused_credentials_are_named_to_the_model() {
    let server = Server::start(State::default()).await;
    let source = start(server.transport()).await;
    for (refusal, status) in [
        (Refusal::Unauthorized, "401"),
        (Refusal::UnauthorizedWithChallenge, "401"),
        (Refusal::Forbidden, "403"),
    ] {
        server.state().authorization = Some("another".into());
        server.state().refusal = refusal;
        let Err(Error::Failed(why)) = run(&source, "echo", json!({})).await else {
            panic!("a refused call does not run");
        };
        assert!(
            why.contains(&format!("credentials (HTTP {status})")),
            "{why}"
        );
        server.state().authorization = None;
        run(&source, "echo", json!({}))
            .await
            .expect("it is let in again");
    }
}

#[tokio::test]
async fn a_server_that_refuses_us_at_first_is_tried_again() {
    let state = State {
        authorization: Some("another".into()),
        ..State::default()
    };
    let server = Server::start(state).await;
    let source = start(server.transport()).await;
    let mut tools = source.tools();
    assert!(tools.borrow_and_update().is_empty());
    server.state().authorization = None;
    tools.changed().await.expect("the source lives");
    run(&source, "echo", json!({})).await.expect("it is called");
}

#[tokio::test]
async fn a_lost_session_is_begun_anew_and_its_tools_are_listed() {
    for is_unruly in [false, true] {
        let server = Server::start(State::default()).await;
        let source = start(server.transport()).await;
        let mut tools = source.tools();
        tools.borrow_and_update();
        server.state().sessions.clear();
        server.state().extra_tool = true;
        server.state().is_unruly = is_unruly;
        let output = run(&source, "echo", json!({})).await.expect("it is called");
        assert_eq!(json(&output)["headers"]["mcp-session-id"], "session-2");
        tools.changed().await.expect("the source lives");
        assert!(names(&tools.borrow()).contains(&"extra".into()));
    }
}

#[tokio::test]
async fn a_server_that_is_down_is_not_called_and_one_that_is_back_is() {
    let server = Server::start(State::default()).await;
    let source = start(server.transport()).await;
    let address = server.address;
    drop(server);
    // The address is free once the task that listened has been dropped.
    let down = eventually("it is down", || async {
        match run(&source, "echo", json!({})).await {
            Err(Error::Failed(why)) => Some(why),
            Err(Error::Unknown(_)) | Ok(_) => None,
        }
    })
    .await;
    assert!(down.contains("did not run"), "{down}");
    let server = Server::listen(address, State::default()).await;
    eventually("it is back", || async {
        run(&source, "echo", json!({})).await.ok()
    })
    .await;
    assert!(server.state().begun >= 1);
}

#[tokio::test]
async fn what_a_broken_answer_did_is_not_known() {
    let server = Server::start(State::default()).await;
    let source = start(server.transport()).await;
    for name in ["break", "fail_over"] {
        let broken = run(&source, name, json!({})).await;
        assert!(
            matches!(broken, Err(Error::Unknown(_))),
            "{name}: {broken:?}"
        );
    }
    let busy = run(&source, "busy", json!({})).await;
    let Err(Error::Failed(why)) = busy else {
        panic!("it did not run: {busy:?}");
    };
    assert!(why.contains("busy (HTTP 429)"), "{why}");
    let moved = run(&source, "moved", json!({})).await;
    let Err(Error::Failed(why)) = moved else {
        panic!("redirects are not followed: {moved:?}");
    };
    assert!(why.contains("HTTP 307"), "{why}");
    let large = run(&source, "large", json!({})).await;
    let Err(Error::Failed(why)) = large else {
        panic!("it is refused: {large:?}");
    };
    assert!(why.contains("more than 16 MiB"), "{why}");
    assert_eq!(server.state().begun, 1, "the connection stays");
}

#[tokio::test]
async fn progress_and_result_come_over_one_stream() {
    let server = Server::start(State::default()).await;
    let source = start(server.transport()).await;
    let (call, mut progress) = call(json!({}));
    let output = tool(&source, "stream")
        .call(call)
        .await
        .expect("it is called");
    assert_eq!(text(&output), "streamed");
    assert_eq!(progress.next().await.as_deref(), Some("1"));
}

#[tokio::test]
async fn a_dropped_call_is_cancelled() {
    let server = Server::start(State::default()).await;
    let source = start(server.transport()).await;
    let (call, mut progress) = call(json!({}));
    let hanging = tokio::spawn(tool(&source, "hang").call(call));
    progress.next().await.expect("it has begun");
    hanging.abort();
    let notice = eventually("the notice", || async {
        yield_now().await;
        server.seen("notifications/cancelled").pop()
    })
    .await;
    let calls = server.seen("tools/call");
    assert_eq!(
        notice.message["params"]["requestId"],
        calls[0].message["id"]
    );
}

#[tokio::test]
async fn an_address_or_header_that_cannot_work_is_refused() {
    let refuse = async |url: &str, header: &'static str| {
        let transport = mcp::Transport::Http {
            url: url.into(),
            headers: HeaderMap::new(),
            bearer: None,
            forward_metadata: vec![HeaderName::from_static(header)],
        };
        let mut config = mcp::Config::new("test", transport);
        config.start_timeout = Duration::from_millis(1);
        let started = mcp::Source::start(config).await;
        started.expect_err("it cannot work").to_string()
    };
    let scheme = refuse("ftp://localhost/", "x-user").await;
    assert!(scheme.contains("http:// or https://"), "{scheme}");
    let password = refuse("http://user:secret@localhost/", "x-user").await;
    assert!(!password.contains("secret"), "{password}");
    let header = refuse("http://localhost/", "mcp-session-id").await;
    assert!(header.contains("'mcp-session-id'"), "{header}");
}
