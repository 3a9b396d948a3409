//! A shop that does what the item's number says, and notes what it sees.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::{Duration, Instant},
};

use futures_util::{
    FutureExt as _, Stream, StreamExt as _,
    future::{self, BoxFuture},
    stream,
};
use http::HeaderMap;
use http_body_util::Full;
use prost::{
    Message as _,
    bytes::{Buf as _, BufMut as _, Bytes},
};
use prost_reflect::{DescriptorPool, DynamicMessage};
use prost_types::FileDescriptorSet;
use serde_json::{Value, json};
use tokio::{net::TcpListener, runtime::Runtime, sync::watch};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{
    Code, Request, Response, Status,
    body::Body,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    server::{NamedService, ServerStreamingService},
    service::interceptor::InterceptedService,
    transport::{Server, ServerTlsConfig},
};
use tonic_types::{ErrorDetails, StatusExt as _};
use tower::Service;

/// A shop on a port, in a runtime of its own: it can go away as a killed process does.
pub(crate) struct Shop {
    pub(crate) address: SocketAddr,
    runtime: Option<Runtime>,
    log: watch::Sender<Vec<Seen>>,
}

/// What the shop saw.
#[derive(Clone, Debug)]
pub(crate) enum Seen {
    /// A request: its method, its metadata, its message.
    Request {
        method: String,
        metadata: HeaderMap,
        input: Value,
    },
    /// Somebody asked what the shop is made of.
    Described,
    /// The caller went away before the end.
    Cancelled(Instant),
}

/// How the shop describes itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reflection {
    V1,
    V1Alpha,
    /// Not at all.
    Off,
}

/// How a shop is to be.
pub(crate) struct Options {
    pub(crate) address: SocketAddr,
    pub(crate) reflection: Reflection,
    pub(crate) descriptors: FileDescriptorSet,
    pub(crate) tls: Option<ServerTlsConfig>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            address: ([127, 0, 0, 1], 0).into(),
            reflection: Reflection::V1,
            descriptors: descriptors(),
            tls: None,
        }
    }
}

/// The shop's descriptors, with comments.
pub(crate) fn descriptors() -> FileDescriptorSet {
    let mut compiler =
        protox::Compiler::new([concat!(env!("CARGO_MANIFEST_DIR"), "/tests/grpc/proto")])
            .expect("the folder is there");
    compiler.include_source_info(true).include_imports(true);
    compiler
        .open_file("shop/inventory.proto")
        .expect("the shop's files are right");
    compiler.file_descriptor_set()
}

impl Shop {
    pub(crate) fn start() -> Self {
        Self::with(Options::default())
    }

    pub(crate) fn with(options: Options) -> Self {
        let runtime = Runtime::new().expect("there are threads");
        let listener = std::net::TcpListener::bind(options.address).expect("the port is free");
        let address = listener.local_addr().expect("it is bound");
        listener.set_nonblocking(true).expect("it can be");
        let (log, _) = watch::channel(Vec::new());
        runtime.spawn(serve(listener, options, log.clone()));
        Self {
            address,
            runtime: Some(runtime),
            log,
        }
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Ends it, in the middle of whatever it does.
    pub(crate) fn kill(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Waits until all tasks are dropped, and their sockets with them.
            std::thread::scope(|scope| {
                scope.spawn(|| runtime.shutdown_timeout(Duration::from_secs(5)));
            });
        }
    }

    /// Waits for the first thing that `find` makes something of.
    pub(crate) async fn seen<T>(&self, mut find: impl FnMut(&Seen) -> Option<T>) -> T {
        let mut log = self.log.subscribe();
        let found = async {
            loop {
                let found = log.borrow_and_update().iter().find_map(&mut find);
                match found {
                    Some(found) => return found,
                    None => log.changed().await.expect("the shop keeps its log"),
                }
            }
        };
        let found = tokio::time::timeout(crate::PATIENCE, found).await;
        found.unwrap_or_else(|_| panic!("not seen in time: {:?}", self.log.borrow()))
    }

    /// Waits for a request of a method other than reflection.
    pub(crate) async fn request(&self, name: &str) -> (BTreeMap<String, String>, Value) {
        self.seen(|seen| match seen {
            Seen::Request {
                method,
                metadata,
                input,
            } if method == name => {
                let text = |value: &http::HeaderValue| value.to_str().unwrap_or("?").to_owned();
                let metadata = metadata.iter().map(|(k, v)| (k.to_string(), text(v)));
                Some((metadata.collect(), input.clone()))
            }
            Seen::Request { .. } | Seen::Described | Seen::Cancelled(_) => None,
        })
        .await
    }

    /// How many requests came, of any method.
    pub(crate) fn requests(&self) -> usize {
        let log = self.log.borrow();
        let requests = log
            .iter()
            .filter(|seen| matches!(seen, Seen::Request { .. }));
        requests.count()
    }

    /// Waits until somebody asks what the shop is made of.
    pub(crate) async fn described(&self) {
        self.seen(|seen| matches!(seen, Seen::Described).then_some(()))
            .await;
    }

    /// Waits for a cancelled call, and gives when it was seen.
    pub(crate) async fn cancelled(&self) -> Instant {
        self.seen(|seen| match seen {
            Seen::Cancelled(at) => Some(*at),
            Seen::Request { .. } | Seen::Described => None,
        })
        .await
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        self.kill();
    }
}

async fn serve(listener: std::net::TcpListener, options: Options, log: watch::Sender<Vec<Seen>>) {
    let listener = TcpListener::from_std(listener).expect("it is nonblocking");
    let pool = DescriptorPool::from_file_descriptor_set(options.descriptors.clone())
        .expect("the descriptors are right");
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_file_descriptor_set(options.descriptors.clone())
    };
    let noted = log.clone();
    let note = move |request: Request<()>| {
        noted.send_modify(|log| log.push(Seen::Described));
        Ok(request)
    };
    let v1 = (options.reflection == Reflection::V1)
        .then(|| reflection().build_v1().expect("it describes itself"));
    let v1alpha = (options.reflection == Reflection::V1Alpha)
        .then(|| reflection().build_v1alpha().expect("it describes itself"));
    let mut server = Server::builder();
    if let Some(tls) = options.tls {
        server = server.tls_config(tls).expect("the certificates are right");
    }
    let served = server
        .add_optional_service(v1.map(|it| InterceptedService::new(it, note.clone())))
        .add_optional_service(v1alpha.map(|it| InterceptedService::new(it, note)))
        .add_service(Inventory { pool, log })
        .serve_with_incoming(TcpListenerStream::new(listener))
        .await;
    served.expect("it serves until it is dropped");
}

#[derive(Clone)]
struct Inventory {
    pool: DescriptorPool,
    log: watch::Sender<Vec<Seen>>,
}

impl NamedService for Inventory {
    const NAME: &'static str = "shop.v1.Inventory";
}

impl Service<http::Request<Body>> for Inventory {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let name = request.uri().path().rsplit('/').next();
        let handler = Handler {
            method: name.unwrap_or_default().to_owned(),
            shop: self.clone(),
            cut: Arc::default(),
        };
        async move {
            let cut = Arc::clone(&handler.cut);
            let answer = tonic::server::Grpc::new(Raw)
                .server_streaming(handler, request)
                .await;
            let body = cut.lock().expect("nobody panics").take();
            Ok(match body {
                Some(body) => answer.map(|_| Body::new(Full::new(body))),
                None => answer,
            })
        }
        .boxed()
    }
}

struct Handler {
    method: String,
    shop: Inventory,
    /// The whole body, where it is to end without a status.
    cut: Arc<Mutex<Option<Bytes>>>,
}

type Answers = Pin<Box<dyn Stream<Item = Result<Bytes, Status>> + Send>>;

impl ServerStreamingService<Bytes> for Handler {
    type Response = Bytes;
    type ResponseStream = Answers;
    type Future = BoxFuture<'static, Result<Response<Answers>, Status>>;

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        let (metadata, _, message) = request.into_parts();
        let method = self.shop.pool.services().find_map(|service| {
            let mut methods = service.methods();
            methods.find(|method| method.name() == self.method)
        });
        let method = method.expect("the method is known");
        let message = DynamicMessage::decode(method.input(), message).expect("it is well-formed");
        let input = serde_json::to_value(&message).expect("it has JSON");
        self.shop.log.send_modify(|log| {
            log.push(Seen::Request {
                method: self.method.clone(),
                metadata: metadata.into_headers(),
                input: input.clone(),
            });
        });
        let stock = |value: Value| {
            let stock = DynamicMessage::deserialize(method.output(), value);
            Bytes::from(stock.expect("it is a Stock").encode_to_vec())
        };
        let sku = input["sku"].as_str().unwrap_or_default();
        let count = |count: &str| json!({"sku": sku, "count": count});
        let guard = Guard(self.shop.log.clone());
        match sku {
            // Tells nothing, for ever.
            "hang" => async move {
                let _guard = guard;
                future::pending().await
            }
            .boxed(),
            "refused" => future::err(refusal()).boxed(),
            "raised" => future::err(Status::unknown("ZeroDivisionError")).boxed(),
            "unavailable" => future::err(Status::unavailable("the database is away")).boxed(),
            "large" => answer(vec![stock(json!({"note": "x".repeat(2 * 1024 * 1024)}))]),
            // A string that is no UTF-8.
            "garbled" => answer(vec![Bytes::from_static(b"\x1a\x02\xff\xfe")]),
            "truncated" => answer(vec![Bytes::from_static(b"\x1a\x20x")]),
            "silent" => answer(Vec::new()),
            "cut" => {
                let message = stock(count("1"));
                let mut body = vec![0];
                body.put_u32(u32::try_from(message.len()).expect("it is short"));
                body.extend_from_slice(&message);
                *self.cut.lock().expect("nobody panics") = Some(body.into());
                answer(Vec::new())
            }
            "three" => answer(["1", "2", "3"].map(|n| stock(count(n))).into()),
            "many" => answer((0..1000).map(|n| stock(count(&n.to_string()))).collect()),
            "broken" => {
                let first = stream::iter([Ok(stock(count("1"))), Err(refusal())]);
                future::ok(Response::new(first.boxed())).boxed()
            }
            // One answer, and then silence.
            "stalled" => {
                let first = stream::iter([Ok(stock(count("1")))]);
                let silence = stream::once(async move {
                    let _guard = guard;
                    future::pending().await
                });
                future::ok(Response::new(first.chain(silence).boxed())).boxed()
            }
            _ => answer(vec![stock(count("9007199254740993"))]),
        }
    }
}

fn answer(messages: Vec<Bytes>) -> BoxFuture<'static, Result<Response<Answers>, Status>> {
    let messages = stream::iter(messages.into_iter().map(Ok)).boxed();
    future::ok(Response::new(messages)).boxed()
}

fn refusal() -> Status {
    let mut details = ErrorDetails::with_bad_request_violation("count", "must be more than 0");
    details
        .set_error_info(
            "SOLD_OUT",
            "shop.example",
            [("shelf".to_owned(), "A1".to_owned())],
        )
        .set_retry_info(Some(Duration::from_millis(1500)))
        .add_precondition_failure_violation("STOCK", "sku/7", "none is left")
        .set_resource_info("item", "sku/7", "", "not in this shop")
        .set_debug_info(vec!["secret.py:7".to_owned()], "internals");
    Status::with_error_details(Code::FailedPrecondition, "cannot be reserved", details)
}

/// Stands in calls that have no end of their own, and notes theirs.
struct Guard(watch::Sender<Vec<Seen>>);

impl Drop for Guard {
    fn drop(&mut self) {
        let at = Instant::now();
        self.0.send_modify(|log| log.push(Seen::Cancelled(at)));
    }
}

/// Messages as bytes, so that damaged ones can be sent.
#[derive(Clone)]
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, dst: &mut EncodeBuf<'_>) -> Result<(), Status> {
        dst.put(item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, src: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(src.copy_to_bytes(src.remaining())))
    }
}
