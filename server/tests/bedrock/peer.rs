//! The other side: a raw socket that plays replies and tells what it was sent.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use serde_json::Value;
use taiwa_core::{
    Failure, Message, ModelEvent, ModelRequest, TurnOptions, message::Block, model::ReplyForm,
};
use taiwa_server::model::bedrock::{Bedrock, Config, ModelStream, StaticCredentials};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    sync::{Mutex, mpsc},
    task::JoinSet,
    time::timeout,
};

/// Longest wait for anything in a test.
const LIMIT: Duration = Duration::from_secs(10);

/// What is said to one request.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    /// These bytes; then the connection serves the next request.
    Whole(Vec<u8>),
    /// These bytes; then the connection is closed.
    Cut(Vec<u8>),
    /// These bytes; then nothing, until the client closes.
    Open(Vec<u8>),
}

impl Reply {
    /// A whole stream of these frames.
    pub(crate) fn stream(frames: &[u8]) -> Self {
        Self::Whole(
            [
                head(200, "", "transfer-encoding: chunked\r\n"),
                chunk(frames),
                chunk(&[]),
            ]
            .concat(),
        )
    }

    /// A whole stream of these frames, in pieces of so many bytes.
    pub(crate) fn pieces(frames: &[u8], size: usize) -> Self {
        let pieces: Vec<u8> = frames.chunks(size).flat_map(chunk).collect();
        Self::Whole(
            [
                head(200, "", "transfer-encoding: chunked\r\n"),
                pieces,
                chunk(&[]),
            ]
            .concat(),
        )
    }

    /// A stream that begins with these frames and never ends.
    pub(crate) fn open_stream(frames: &[u8]) -> Self {
        let Self::Cut(bytes) = Self::cut_stream(frames) else {
            unreachable!()
        };
        Self::Open(bytes)
    }

    /// A stream whose connection is cut after these frames.
    pub(crate) fn cut_stream(frames: &[u8]) -> Self {
        let mut bytes = head(200, "", "transfer-encoding: chunked\r\n");
        if !frames.is_empty() {
            bytes.extend(chunk(frames));
        }
        Self::Cut(bytes)
    }

    /// An answer with a body, an exception when it has a name.
    pub(crate) fn body(status: u16, exception: &str, headers: &str, body: &str) -> Self {
        let headers = format!("content-length: {}\r\n{headers}", body.len());
        Self::Whole([head(status, exception, &headers), body.as_bytes().to_vec()].concat())
    }
}

/// A request as it came.
#[derive(Debug)]
pub(crate) struct Request {
    /// Its path.
    pub(crate) path: String,
    /// Its headers, names in small letters.
    pub(crate) headers: Vec<(String, String)>,
    /// Its body.
    pub(crate) body: Value,
    /// Its body as it was written.
    pub(crate) text: String,
}

impl Request {
    /// A header's value; empty when there is none.
    pub(crate) fn header(&self, name: &str) -> String {
        let header = self.headers.iter().find(|(key, _)| key == name);
        header.map(|(_, value)| value.clone()).unwrap_or_default()
    }
}

/// The other side.
#[derive(Debug)]
pub(crate) struct Peer {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    requests: mpsc::Receiver<Request>,
    closed: mpsc::Receiver<()>,
    connections: Arc<AtomicUsize>,
    _accepting: JoinSet<()>,
}

impl Peer {
    /// Starts it with a reply for each request to come; the last one is repeated.
    pub(crate) async fn start(replies: impl Into<VecDeque<Reply>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (request_tx, requests) = mpsc::channel(64);
        let (closed_tx, closed) = mpsc::channel(64);
        let replies = Arc::new(Mutex::new(replies.into()));
        let connections = Arc::new(AtomicUsize::new(0));
        let accepted = Arc::clone(&connections);
        let mut accepting = JoinSet::new();
        accepting.spawn(async move {
            let mut serving = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                accepted.fetch_add(1, Ordering::Relaxed);
                let serve = serve(stream, Arc::clone(&replies), request_tx.clone());
                let closed_tx = closed_tx.clone();
                serving.spawn(async move {
                    serve.await;
                    // Tests that do not look at closed connections leave the channel full.
                    let _ = closed_tx.try_send(());
                });
            }
        });
        Self {
            address,
            requests,
            closed,
            connections,
            _accepting: accepting,
        }
    }

    /// Bedrock, with this as its endpoint.
    pub(crate) async fn bedrock(&self, max_attempts: u32) -> Bedrock {
        Bedrock::connect(config(self.address, max_attempts)).await
    }

    /// Waits for the next request.
    pub(crate) async fn request(&mut self) -> Request {
        timeout(LIMIT, self.requests.recv()).await.unwrap().unwrap()
    }

    /// A request that came already, if there is one that was not taken.
    pub(crate) fn next_request(&mut self) -> Option<Request> {
        self.requests.try_recv().ok()
    }

    /// Connections accepted so far.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// Waits until a client has closed a connection.
    pub(crate) async fn closed(&mut self) {
        timeout(LIMIT, self.closed.recv()).await.unwrap().unwrap();
    }
}

/// A set-up that calls `address`.
pub(crate) fn config(address: SocketAddr, max_attempts: u32) -> Config {
    Config {
        region: Some("eu-central-1".to_owned()),
        endpoint_url: Some(format!("http://{address}")),
        credentials: Some(StaticCredentials {
            access_key_id: "AKIDEXAMPLE".to_owned(),
            secret_access_key: "secret".to_owned(),
            session_token: None,
        }),
        max_attempts: NonZeroU32::new(max_attempts).unwrap(),
        ..Config::default()
    }
}

/// A request that says hello.
pub(crate) fn hello() -> ModelRequest {
    ModelRequest {
        options: Arc::new(TurnOptions {
            model_id: Some("anthropic.claude-sonnet-4-5".to_owned()),
            ..TurnOptions::default()
        }),
        max_tokens: None,
        tools: Vec::new(),
        tool_choice: None,
        reply_form: ReplyForm::Native,
        input_tokens: 0,
        messages: vec![Arc::new(Message::user(vec![Block::Text(
            "hello".to_owned(),
        )]))],
        deadline: None,
    }
}

/// Everything that a stream says.
pub(crate) async fn read(stream: &mut ModelStream) -> Vec<Result<ModelEvent, Failure>> {
    let mut events = Vec::new();
    while let Some(event) = timeout(LIMIT, stream.next()).await.unwrap() {
        events.push(event);
    }
    events
}

/// Everything that the stream of these frames says.
pub(crate) async fn play(reply: Reply) -> Vec<Result<ModelEvent, Failure>> {
    let peer = Peer::start([reply]).await;
    let mut opened = peer.bedrock(1).await.open(hello()).await.unwrap();
    read(&mut opened.stream).await
}

fn head(status: u16, exception: &str, headers: &str) -> Vec<u8> {
    let exception = match exception {
        "" => String::new(),
        // The real service writes a namespace behind the name.
        name => format!("x-amzn-errortype: {name}:http://internal.amazon.com/coral/\r\n"),
    };
    let content_type = "content-type: application/json\r\nx-amzn-requestid: request-1\r\n";
    format!("HTTP/1.1 {status} Told\r\n{content_type}{exception}{headers}\r\n").into_bytes()
}

fn chunk(bytes: &[u8]) -> Vec<u8> {
    [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat()
}

async fn serve(
    stream: TcpStream,
    replies: Arc<Mutex<VecDeque<Reply>>>,
    requests: mpsc::Sender<Request>,
) {
    let mut stream = BufReader::new(stream);
    while let Some(request) = receive(&mut stream).await {
        requests.send(request).await.unwrap();
        let reply = {
            let mut replies = replies.lock().await;
            if replies.len() > 1 {
                replies.pop_front()
            } else {
                replies.front().cloned()
            }
        };
        match reply.unwrap() {
            Reply::Whole(bytes) => stream.write_all(&bytes).await.unwrap(),
            Reply::Cut(bytes) => {
                stream.write_all(&bytes).await.unwrap();
                return;
            }
            Reply::Open(bytes) => {
                stream.write_all(&bytes).await.unwrap();
                // Whether it ends with a zero read or a reset, the client is gone.
                let _ = stream.read(&mut [0]).await;
                return;
            }
        }
    }
}

async fn receive(stream: &mut BufReader<TcpStream>) -> Option<Request> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if stream.read_line(&mut head).await.ok()? == 0 {
            return None;
        }
    }
    let mut lines = head.lines();
    let path = lines.next()?.split(' ').nth(1)?.to_owned();
    let headers: Vec<_> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let length = headers
        .iter()
        .find(|(name, _)| name == "content-length")?
        .1
        .parse()
        .ok()?;
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    Some(Request {
        path,
        headers,
        body: serde_json::from_slice(&body).unwrap(),
        text: String::from_utf8(body).unwrap(),
    })
}
