//! The tool that fetches pages, against a server of its own.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use futures_util::{StreamExt as _, stream};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, StreamBody, combinators::BoxBody};
use hyper::{
    body::{Bytes, Frame, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use serde_json::json;
use taiwa_core::tool::ToolResultBlock;
use taiwa_tools::{
    Allowance, Call, Caller, Error, Fixed, Function, Output, Progress, Source as _, Tool as _,
    builtin::{self, HttpGetConfig},
};
use tokio::net::TcpListener;

type Body = BoxBody<Bytes, Infallible>;

struct Site {
    address: SocketAddr,
    /// The paths that were asked for.
    asked: Arc<Mutex<Vec<String>>>,
}

impl Site {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let asked = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&asked);
        // Ends with the test's runtime.
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let seen = Arc::clone(&seen);
                let service = service_fn(move |request: Request<Incoming>| {
                    let path = request.uri().path().to_owned();
                    seen.lock().expect("no request has panicked").push(path);
                    async move { Ok::<_, Infallible>(page(&request)) }
                });
                let connection = http1::Builder::new();
                tokio::spawn(connection.serve_connection(TokioIo::new(stream), service));
            }
        });
        Self { address, asked }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().expect("no request has panicked").clone()
    }
}

fn page(request: &Request<Incoming>) -> Response<Body> {
    let (status, kind, value): (u16, &str, String) = match request.uri().path() {
        "/open/text" => (200, "text/plain; charset=utf-8", "hello".into()),
        "/open/json" => (200, "application/json", r#"{ "a": [1, 2] }"#.into()),
        "/open/list" => (200, "application/json", "[1, 2]".into()),
        "/open/image" => (200, "image/png", "\u{89}PNG".into()),
        "/open/empty" => (200, "text/html", String::new()),
        "/open/headers" => (200, "text/plain", format!("{:?}", request.headers())),
        "/open/away" => (302, "location", "text".into()),
        "/open/out" => (302, "location", "/secret".into()),
        "/open/round" => (307, "location", "/open/round".into()),
        "/open/endless" => (200, "endless", "abcdefgh".repeat(1000)),
        "/open/silent" => (200, "silent", String::new()),
        _ => (404, "text/html", "<p>not here</p>".into()),
    };
    let piece = Bytes::from(value.clone());
    let frame = |piece| Ok::<_, Infallible>(Frame::data(piece));
    let body = match kind {
        "endless" => BodyExt::boxed(StreamBody::new(stream::repeat(piece).map(frame))),
        "silent" => BodyExt::boxed(StreamBody::new(stream::pending().map(frame))),
        _ => Full::new(piece).boxed(),
    };
    let (header, value) = match kind {
        "location" => ("location", value.as_str()),
        "endless" | "silent" => ("content-type", "text/plain"),
        kind => ("content-type", kind),
    };
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(status).expect("a status");
    let value = value.parse().expect("a value of a header");
    response.headers_mut().insert(header, value);
    response
}

fn tool(site: &Site) -> Function {
    let config = HttpGetConfig {
        allow: vec![site.url("/open").parse().expect("it is an address")],
        max_bytes: 10_000,
        timeout: Duration::from_secs(20),
    };
    builtin::http_get(config).expect("it can be made")
}

async fn get(tool: &Function, url: &str) -> Result<Output, Error> {
    let input = json!({"url": url});
    assert_eq!(tool.definition().schema.check(&input), Ok(()));
    tool.call(call(input, Duration::from_secs(20))).await
}

fn call(input: serde_json::Value, time: Duration) -> Call {
    Call {
        id: "call-1".into(),
        input: serde_json::from_value(input).expect("an object"),
        idempotency_key: "key-1".into(),
        deadline: Instant::now() + time,
        caller: Arc::new(Caller::default()),
        progress: Progress::channel().0,
        max_result_bytes: 5_000,
        allowance: Allowance::default(),
    }
}

fn text(text: &str) -> ToolResultBlock {
    ToolResultBlock::Text(text.into())
}

#[tokio::test]
async fn a_page_comes_with_its_status_and_type() {
    let site = Site::start().await;
    let tool = tool(&site);
    let json = ToolResultBlock::Json(r#"{"a":[1,2]}"#.into());
    for (path, content) in [
        (
            "/open/text",
            vec![
                text("HTTP 200 OK, text/plain; charset=utf-8"),
                text("hello"),
            ],
        ),
        (
            "/open/json",
            vec![text("HTTP 200 OK, application/json"), json],
        ),
        (
            "/open/list",
            vec![text("HTTP 200 OK, application/json"), text("[1, 2]")],
        ),
        (
            "/open/image",
            vec![text("HTTP 200 OK, image/png: not shown, as it is not text")],
        ),
        ("/open/empty", vec![text("HTTP 200 OK, text/html")]),
        (
            "/open/away",
            vec![
                text("HTTP 200 OK, text/plain; charset=utf-8"),
                text("hello"),
            ],
        ),
    ] {
        let output = get(&tool, &site.url(path)).await.expect("it comes");
        let expected = Output {
            content,
            ..Output::default()
        };
        assert_eq!(output, expected, "{path}");
    }
    let missing = get(&tool, &site.url("/open/nothing"))
        .await
        .expect("it comes");
    assert!(missing.is_error);
    assert_eq!(
        missing.content,
        [
            text("HTTP 404 Not Found, text/html"),
            text("<p>not here</p>")
        ]
    );
}

#[tokio::test]
async fn nothing_goes_along_that_tells_who_asks() {
    let site = Site::start().await;
    let output = get(&tool(&site), &site.url("/open/headers"))
        .await
        .expect("it comes");
    let [_, ToolResultBlock::Text(headers)] = &output.content[..] else {
        panic!("a head and a text: {output:?}");
    };
    for header in ["authorization", "cookie", "referer"] {
        assert!(!headers.contains(header), "{headers}");
    }
    assert!(headers.contains("taiwa/"), "{headers}");
}

#[tokio::test]
async fn what_is_not_allowed_is_not_asked_for() {
    let site = Site::start().await;
    let elsewhere = Site::start().await;
    let tool = tool(&site);
    for url in [
        site.url("/secret"),
        site.url("/open/../secret"),
        elsewhere.url("/open/text"),
        "file:///etc/passwd".into(),
        "nonsense".into(),
    ] {
        let refused = get(&tool, &url).await;
        assert!(
            matches!(refused, Err(Error::Failed(_))),
            "{url}: {refused:?}"
        );
    }
    assert!(site.asked().is_empty() && elsewhere.asked().is_empty());
    let Err(Error::Failed(why)) = get(&tool, &site.url("/open/out")).await else {
        panic!("it leads out of what is allowed");
    };
    assert!(why.contains("/secret is not allowed"), "{why}");
    assert_eq!(site.asked(), ["/open/out"]);
}

#[tokio::test]
async fn redirects_without_end_end() {
    let site = Site::start().await;
    let Err(Error::Failed(why)) = get(&tool(&site), &site.url("/open/round")).await else {
        panic!("it has no end");
    };
    assert!(why.contains("more than 5 times"), "{why}");
    assert_eq!(site.asked().len(), 6);
}

#[tokio::test]
async fn a_page_without_end_is_cut_at_the_smaller_limit() {
    let site = Site::start().await;
    let output = get(&tool(&site), &site.url("/open/endless"))
        .await
        .expect("it comes");
    let [head, ToolResultBlock::Text(body)] = &output.content[..] else {
        panic!("a head and a text: {output:?}");
    };
    assert_eq!(*head, text("HTTP 200 OK, text/plain, cut after 5000 bytes"));
    assert_eq!(*body, "abcdefgh".repeat(625));
}

#[tokio::test]
async fn a_page_that_does_not_come_is_given_up() {
    let site = Site::start().await;
    let input = json!({"url": site.url("/open/silent")});
    let late = tool(&site)
        .call(call(input, Duration::from_millis(200)))
        .await;
    let Err(Error::Failed(why)) = late else {
        panic!("it does not come: {late:?}");
    };
    assert!(why.contains("did not come within"), "{why}");
    let listener = TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port is free");
    let closed = format!("http://{}", listener.local_addr().expect("it is bound"));
    drop(listener);
    let config = HttpGetConfig {
        allow: vec![closed.parse().expect("it is an address")],
        max_bytes: 10_000,
        timeout: Duration::from_secs(20),
    };
    let tool = builtin::http_get(config).expect("it can be made");
    let Err(Error::Failed(why)) = get(&tool, &closed).await else {
        panic!("nobody listens");
    };
    assert!(why.contains("cannot be fetched"), "{why}");
}

#[tokio::test]
async fn fixed_tools_are_offered_in_their_order_and_stay() {
    let clock = builtin::current_time().expect("its schema compiles");
    let site = Site::start().await;
    let source = Fixed::new(vec![Arc::new(clock), Arc::new(tool(&site))]);
    let mut tools = source.tools();
    let names: Vec<String> = tools
        .borrow_and_update()
        .iter()
        .map(|tool| tool.definition().name.clone())
        .collect();
    assert_eq!(names, ["current_time", "http_get"]);
    assert!(
        tools.has_changed().is_ok_and(|changed| !changed),
        "the source lives"
    );
    let described = tool(&site).definition().description.clone();
    assert!(described.contains(&site.url("/open")), "{described}");
}
