//! A server in this process that says what a test tells it to, and records
//! what it was asked.

use std::{
    convert::Infallible,
    future::ready,
    net::SocketAddr,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::Duration,
};

use futures_util::future::BoxFuture;
use taiwa_client::{Client, Reconnect, pb};
use tokio::{net::TcpListener, sync::mpsc, task::AbortHandle};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{
    Request, Response, Status, Streaming,
    body::Body,
    metadata::MetadataMap,
    server::{Grpc, NamedService, StreamingService, UnaryService},
    service::Routes,
    transport::{Certificate, Identity, Server, ServerTlsConfig, server::TcpIncoming},
};
use tonic_prost::ProstCodec;

/// What a handler writes its events to.
pub(crate) type Events = mpsc::Sender<Result<pb::Event, Status>>;
/// What a client sends on Converse.
pub(crate) type Frames = Streaming<pb::ConverseRequest>;

type Unary<Q, A> = Arc<dyn Fn(Q) -> Result<A, Status> + Send + Sync>;
type Invoke = Arc<
    dyn Fn(pb::InvokeRequest) -> BoxFuture<'static, Result<pb::InvokeResponse, Status>>
        + Send
        + Sync,
>;
type Stream<Q> = Arc<dyn Fn(Q, Events) -> BoxFuture<'static, ()> + Send + Sync>;
type Converse = Arc<dyn Fn(Frames, Events) -> BoxFuture<'static, ()> + Send + Sync>;

/// The behaviour of a server; what is not set answers UNIMPLEMENTED.
#[derive(Clone, Default)]
pub(crate) struct Fake {
    invoke: Option<Invoke>,
    stream: Option<Stream<pb::InvokeRequest>>,
    resume: Option<Stream<pb::ResumeStreamRequest>>,
    converse: Option<Converse>,
    get_turn: Option<Unary<pb::GetTurnRequest, pb::GetTurnResponse>>,
    cancel_turn: Option<Unary<pb::CancelTurnRequest, pb::CancelTurnResponse>>,
    count_tokens: Option<Unary<pb::CountTokensRequest, pb::CountTokensResponse>>,
    list_agents: Option<Unary<pb::ListAgentsRequest, pb::ListAgentsResponse>>,
    get_agent: Option<Unary<pb::GetAgentRequest, pb::GetAgentResponse>>,
    create_session: Option<Unary<pb::CreateSessionRequest, pb::CreateSessionResponse>>,
    get_session: Option<Unary<pb::GetSessionRequest, pb::GetSessionResponse>>,
    list_sessions: Option<Unary<pb::ListSessionsRequest, pb::ListSessionsResponse>>,
    list_messages: Option<Unary<pb::ListMessagesRequest, pb::ListMessagesResponse>>,
    delete_session: Option<Unary<pb::DeleteSessionRequest, pb::DeleteSessionResponse>>,
    headers: Arc<Mutex<Vec<MetadataMap>>>,
    requests: Arc<Mutex<Vec<pb::InvokeRequest>>>,
    cancelled: Arc<Mutex<Vec<String>>>,
}

/// A fake that listens; dropping it ends it with all its connections.
pub(crate) struct Running {
    pub(crate) endpoint: String,
    fake: Fake,
    server: AbortHandle,
}

impl Fake {
    pub(crate) fn invoke<F, Fut>(mut self, answer: F) -> Self
    where
        F: Fn(pb::InvokeRequest) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<pb::InvokeResponse, Status>> + Send + 'static,
    {
        self.invoke = Some(Arc::new(move |request| Box::pin(answer(request))));
        self
    }

    pub(crate) fn stream<F, Fut>(mut self, answer: F) -> Self
    where
        F: Fn(pb::InvokeRequest, Events) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.stream = Some(Arc::new(move |request, events| {
            Box::pin(answer(request, events))
        }));
        self
    }

    pub(crate) fn resume<F, Fut>(mut self, answer: F) -> Self
    where
        F: Fn(pb::ResumeStreamRequest, Events) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.resume = Some(Arc::new(move |request, events| {
            Box::pin(answer(request, events))
        }));
        self
    }

    pub(crate) fn get_turn(
        mut self,
        answer: impl Fn(pb::GetTurnRequest) -> Result<pb::GetTurnResponse, Status>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        self.get_turn = Some(Arc::new(answer));
        self
    }

    pub(crate) fn cancel_turn(
        mut self,
        answer: impl Fn(pb::CancelTurnRequest) -> Result<pb::CancelTurnResponse, Status>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        let cancelled = Arc::clone(&self.cancelled);
        self.cancel_turn = Some(Arc::new(move |request: pb::CancelTurnRequest| {
            cancelled.lock().unwrap().push(request.turn_id.clone());
            answer(request)
        }));
        self
    }

    pub(crate) fn converse<F, Fut>(mut self, answer: F) -> Self
    where
        F: Fn(Frames, Events) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.converse = Some(Arc::new(move |frames, events| {
            Box::pin(answer(frames, events))
        }));
        self
    }

    pub(crate) fn count_tokens(
        mut self,
        answer: impl Fn(pb::CountTokensRequest) -> Result<pb::CountTokensResponse, Status>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        self.count_tokens = Some(Arc::new(answer));
        self
    }

    pub(crate) fn list_agents(
        mut self,
        answer: impl Fn(pb::ListAgentsRequest) -> Result<pb::ListAgentsResponse, Status>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        self.list_agents = Some(Arc::new(answer));
        self
    }

    pub(crate) fn get_agent(
        mut self,
        answer: impl Fn(pb::GetAgentRequest) -> Result<pb::GetAgentResponse, Status>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        self.get_agent = Some(Arc::new(answer));
        self
    }

    pub(crate) fn create_session(
        mut self,
        answer: impl Fn(pb::CreateSessionRequest) -> Result<pb::CreateSessionResponse, Status>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        self.create_session = Some(Arc::new(answer));
        self
    }

    pub(crate) fn get_session(
        mut self,
        answer: impl Fn(pb::GetSessionRequest) -> Result<pb::GetSessionResponse, Status>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        self.get_session = Some(Arc::new(answer));
        self
    }

    pub(crate) fn list_sessions(
        mut self,
        answer: impl Fn(pb::ListSessionsRequest) -> Result<pb::ListSessionsResponse, Status>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        self.list_sessions = Some(Arc::new(answer));
        self
    }

    pub(crate) fn list_messages(
        mut self,
        answer: impl Fn(pb::ListMessagesRequest) -> Result<pb::ListMessagesResponse, Status>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        self.list_messages = Some(Arc::new(answer));
        self
    }

    pub(crate) fn delete_session(
        mut self,
        answer: impl Fn(pb::DeleteSessionRequest) -> Result<pb::DeleteSessionResponse, Status>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        self.delete_session = Some(Arc::new(answer));
        self
    }

    pub(crate) async fn start(self) -> Running {
        self.listen(Server::builder(), "http").await
    }

    pub(crate) async fn start_with_tls(self, certificate: &str, key: &str) -> Running {
        let tls = ServerTlsConfig::new().identity(Identity::from_pem(certificate, key));
        let server = Server::builder().tls_config(tls).unwrap();
        self.listen(server, "https").await
    }

    pub(crate) async fn start_with_mutual_tls(
        self,
        certificate: &str,
        key: &str,
        client_authority: &str,
    ) -> Running {
        let tls = ServerTlsConfig::new()
            .identity(Identity::from_pem(certificate, key))
            .client_ca_root(Certificate::from_pem(client_authority));
        let server = Server::builder().tls_config(tls).unwrap();
        self.listen(server, "https").await
    }

    async fn listen(self, mut server: Server, scheme: &str) -> Running {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0)))
            .await
            .unwrap();
        let endpoint = format!(
            "{scheme}://localhost:{}",
            listener.local_addr().unwrap().port()
        );
        let routes = Routes::new(self.clone()).add_service(Sessions(self.clone()));
        let serving = server
            .add_routes(routes)
            .serve_with_incoming(TcpIncoming::from(listener).with_nodelay(Some(true)));
        let server = tokio::spawn(serving).abort_handle();
        Running {
            endpoint,
            fake: self,
            server,
        }
    }
}

impl Running {
    /// A client that comes back at once when it lost its connection.
    pub(crate) async fn client(&self) -> Client {
        client_of(&self.endpoint, quick()).await
    }

    /// Headers of the calls so far.
    pub(crate) fn headers(&self) -> Vec<MetadataMap> {
        self.fake.headers.lock().unwrap().clone()
    }

    /// The turns that were to be cancelled so far.
    pub(crate) fn cancelled(&self) -> Vec<String> {
        self.fake.cancelled.lock().unwrap().clone()
    }

    /// Requests of Invoke and InvokeStream so far.
    pub(crate) fn requests(&self) -> Vec<pb::InvokeRequest> {
        self.fake.requests.lock().unwrap().clone()
    }
}

/// Few attempts, with next to no time between them.
pub(crate) fn quick() -> Reconnect {
    let moment = Duration::from_millis(1);
    Reconnect::default().attempts(4).delays(moment, moment)
}

pub(crate) async fn client_of(endpoint: &str, reconnect: Reconnect) -> Client {
    let builder = Client::builder(endpoint).reconnect(reconnect);
    builder.connect().await.unwrap()
}

impl Drop for Running {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl NamedService for Fake {
    const NAME: &'static str = "taiwa.v1.AgentService";
}

impl tower::Service<http::Request<Body>> for Fake {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let fake = self.clone();
        let metadata = MetadataMap::from_headers(request.headers().clone());
        fake.headers.lock().unwrap().push(metadata);
        Box::pin(async move {
            let response = match request.uri().path().rsplit('/').next().unwrap_or_default() {
                "Invoke" => {
                    Grpc::new(ProstCodec::default())
                        .unary(InvokeCall(fake), request)
                        .await
                }
                "InvokeStream" => {
                    Grpc::new(ProstCodec::default())
                        .server_streaming(StreamCall(fake), request)
                        .await
                }
                "ResumeStream" => {
                    Grpc::new(ProstCodec::default())
                        .server_streaming(ResumeCall(fake), request)
                        .await
                }
                "GetTurn" => unary(fake.get_turn, request).await,
                "CancelTurn" => unary(fake.cancel_turn, request).await,
                "Converse" => {
                    Grpc::new(ProstCodec::default())
                        .streaming(ConverseCall(fake), request)
                        .await
                }
                "CountTokens" => unary(fake.count_tokens, request).await,
                "ListAgents" => unary(fake.list_agents, request).await,
                "CreateSession" => unary(fake.create_session, request).await,
                "GetSession" => unary(fake.get_session, request).await,
                "ListSessions" => unary(fake.list_sessions, request).await,
                "ListMessages" => unary(fake.list_messages, request).await,
                "DeleteSession" => unary(fake.delete_session, request).await,
                "GetAgent" => unary(fake.get_agent, request).await,
                _ => unimplemented_call().into_http(),
            };
            Ok(response)
        })
    }
}

/// The other service of the same server; the calls' names do not meet.
#[derive(Clone)]
struct Sessions(Fake);

impl NamedService for Sessions {
    const NAME: &'static str = "taiwa.v1.SessionService";
}

impl tower::Service<http::Request<Body>> for Sessions {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        self.0.call(request)
    }
}

struct InvokeCall(Fake);

impl UnaryService<pb::InvokeRequest> for InvokeCall {
    type Response = pb::InvokeResponse;
    type Future = BoxFuture<'static, Result<Response<pb::InvokeResponse>, Status>>;

    fn call(&mut self, request: Request<pb::InvokeRequest>) -> Self::Future {
        let message = request.into_inner();
        self.0.requests.lock().unwrap().push(message.clone());
        match self.0.invoke.clone() {
            Some(invoke) => Box::pin(async move { invoke(message).await.map(Response::new) }),
            None => Box::pin(ready(Err(unimplemented_call()))),
        }
    }
}

struct StreamCall(Fake);

impl tonic::server::ServerStreamingService<pb::InvokeRequest> for StreamCall {
    type Response = pb::Event;
    type ResponseStream = ReceiverStream<Result<pb::Event, Status>>;
    type Future = BoxFuture<'static, Result<Response<Self::ResponseStream>, Status>>;

    fn call(&mut self, request: Request<pb::InvokeRequest>) -> Self::Future {
        let message = request.into_inner();
        self.0.requests.lock().unwrap().push(message.clone());
        Box::pin(ready(match self.0.stream.clone() {
            Some(stream) => Ok(events(|events| stream(message, events))),
            None => Err(unimplemented_call()),
        }))
    }
}

struct ResumeCall(Fake);

impl tonic::server::ServerStreamingService<pb::ResumeStreamRequest> for ResumeCall {
    type Response = pb::Event;
    type ResponseStream = ReceiverStream<Result<pb::Event, Status>>;
    type Future = BoxFuture<'static, Result<Response<Self::ResponseStream>, Status>>;

    fn call(&mut self, request: Request<pb::ResumeStreamRequest>) -> Self::Future {
        let message = request.into_inner();
        Box::pin(ready(match self.0.resume.clone() {
            Some(resume) => Ok(events(|events| resume(message, events))),
            None => Err(unimplemented_call()),
        }))
    }
}

struct ConverseCall(Fake);

impl StreamingService<pb::ConverseRequest> for ConverseCall {
    type Response = pb::Event;
    type ResponseStream = ReceiverStream<Result<pb::Event, Status>>;
    type Future = BoxFuture<'static, Result<Response<Self::ResponseStream>, Status>>;

    fn call(&mut self, request: Request<Frames>) -> Self::Future {
        let frames = request.into_inner();
        Box::pin(ready(match self.0.converse.clone() {
            Some(converse) => Ok(events(|events| converse(frames, events))),
            None => Err(unimplemented_call()),
        }))
    }
}

struct UnaryCall<Q, A>(Option<Unary<Q, A>>);

impl<Q: Send + 'static, A: Send + 'static> UnaryService<Q> for UnaryCall<Q, A> {
    type Response = A;
    type Future = BoxFuture<'static, Result<Response<A>, Status>>;

    fn call(&mut self, request: Request<Q>) -> Self::Future {
        let answer = self.0.as_ref().map(|answer| answer(request.into_inner()));
        let answer = answer.unwrap_or_else(|| Err(unimplemented_call()));
        Box::pin(ready(answer.map(Response::new)))
    }
}

async fn unary<Q, A>(
    answer: Option<Unary<Q, A>>,
    request: http::Request<Body>,
) -> http::Response<Body>
where
    Q: prost::Message + Default + 'static,
    A: prost::Message + Default + 'static,
{
    Grpc::new(ProstCodec::default())
        .unary(UnaryCall(answer), request)
        .await
}

fn events(
    handler: impl FnOnce(Events) -> BoxFuture<'static, ()>,
) -> Response<ReceiverStream<Result<pb::Event, Status>>> {
    let (tx, rx) = mpsc::channel(4);
    tokio::spawn(handler(tx));
    Response::new(ReceiverStream::new(rx))
}

/// The seconds that a call was given, to the next whole one.
pub(crate) fn timeout_of(headers: &MetadataMap) -> u64 {
    let timeout = headers.get("grpc-timeout").unwrap().to_str().unwrap();
    let microseconds: u64 = timeout.trim_end_matches('u').parse().unwrap();
    microseconds.div_ceil(1_000_000)
}

fn unimplemented_call() -> Status {
    Status::unimplemented("the test did not set this call")
}

/// Waits for what ought to happen soon, and fails the test when it does not.
pub(crate) async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), what)
        .await
        .expect("it happens within 20 s")
}
