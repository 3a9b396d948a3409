//! A service whose calls do what a test wants to see.

use std::{
    convert::Infallible,
    future::{self, Ready},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_util::{StreamExt, future::Either, stream};
use http::{Request, Response};
use http_body::Frame;
use http_body_util::{Full, StreamBody};
use taiwa_server::transport::Peer;
use tokio::sync::watch;
use tokio_stream::wrappers::WatchStream;
use tonic::{body::Body, server::NamedService, service::Routes};
use tower::Service;

/// Answers at once with the caller's address.
pub(crate) const PEER: &str = "/probe.Probe/Peer";
/// Sends a byte at the start and whenever the test ticks, until the test ends it.
pub(crate) const TICKS: &str = "/probe.Probe/Ticks";
/// Sends without end, as fast as it is taken.
pub(crate) const FLOOD: &str = "/probe.Probe/Flood";
/// Never answers.
pub(crate) const SILENCE: &str = "/probe.Probe/Silence";

const END: u64 = u64::MAX;

#[derive(Clone, Debug)]
pub(crate) struct Probe {
    live: Arc<AtomicUsize>,
    started: Arc<watch::Sender<usize>>,
    ticks: Arc<watch::Sender<u64>>,
}

impl Default for Probe {
    fn default() -> Self {
        Self {
            live: Arc::default(),
            started: Arc::default(),
            ticks: Arc::new(watch::Sender::new(0)),
        }
    }
}

impl Probe {
    pub(crate) fn routes(&self) -> Routes {
        Routes::new(self.clone())
    }

    /// Calls whose handler or answer is still held.
    pub(crate) fn live(&self) -> usize {
        self.live.load(Ordering::SeqCst)
    }

    /// Waits until so many calls have reached a handler.
    pub(crate) async fn has_started(&self, count: usize) {
        let mut started = self.started.subscribe();
        started.wait_for(|started| *started >= count).await.unwrap();
    }

    pub(crate) fn tick(&self) {
        self.ticks.send_modify(|count| *count += 1);
    }

    pub(crate) fn end(&self) {
        self.ticks.send_replace(END);
    }
}

struct Live(Arc<AtomicUsize>);

impl Drop for Live {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl NamedService for Probe {
    const NAME: &'static str = "probe.Probe";
}

type Answer = Result<Response<Body>, Infallible>;

impl Service<Request<Body>> for Probe {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Either<Ready<Answer>, Pin<Box<dyn Future<Output = Answer> + Send>>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        self.live.fetch_add(1, Ordering::SeqCst);
        self.started.send_modify(|count| *count += 1);
        let live = Live(Arc::clone(&self.live));
        let data = |bytes: Bytes| Ok::<_, Infallible>(Frame::data(bytes));
        let body = match request.uri().path() {
            PEER => {
                let peer = request
                    .extensions()
                    .get::<Peer>()
                    .expect("every request has its peer");
                Body::new(Full::from(peer.0.to_string()))
            }
            TICKS => {
                let ticks = WatchStream::new(self.ticks.subscribe())
                    .take_while(|count| future::ready(*count != END));
                Body::new(StreamBody::new(ticks.map(move |_| {
                    let _held = &live;
                    data(Bytes::from_static(b"."))
                })))
            }
            FLOOD => Body::new(StreamBody::new(stream::repeat_with(move || {
                let _held = &live;
                data(Bytes::from_static(&[0; 16 * 1024]))
            }))),
            SILENCE => {
                return Either::Right(Box::pin(async move {
                    let _held = live;
                    future::pending().await
                }));
            }
            path => panic!("the probe knows no {path}"),
        };
        Either::Left(future::ready(Ok(Response::new(body))))
    }
}
