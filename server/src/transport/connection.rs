//! One connection: its settings, its age, and its end.

use std::{future, io, pin::pin, sync::Arc, time::Duration};

use http::Request;
use hyper::{body::Incoming, rt::Executor, server::conn::http2};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use rand::Rng;
use socket2::{SockRef, TcpKeepalive};
use tokio::{
    net::TcpStream,
    time::{self, Instant},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::service::Routes;
use tower::util::MapRequest;

use super::{Config, Peer, preface};

/// Bytes that a stream may receive before its handler reads.
const STREAM_WINDOW: u32 = 256 * 1024;

/// Bytes that a connection may receive before its handlers read.
///
/// All streams share it: sixteen that nobody reads stall the others.
const CONNECTION_WINDOW: u32 = 4 * 1024 * 1024;

/// Largest header list of a request, in bytes.
const MAX_HEADER_LIST_BYTES: u32 = 16 * 1024;

/// Bytes of a stream that wait for the peer's window; beyond them its handler is held.
const MAX_SEND_BUFFER_BYTES: usize = 64 * 1024;

/// Streams of a connection that may be cancelled before they were looked at.
///
/// As many as arrive between two looks, that is, in what the system's receive buffer holds: a
/// client that opens and cancels calls as fast as it can reaches h2's own limit of 20, which ends
/// the connection with all its streams. Each costs up to about 1 KiB until the next look.
const MAX_PENDING_ACCEPT_RESET_STREAMS: usize = 20_000;

/// Streams that may be reset or refused for a fault of the peer, in the life of a connection.
///
/// Frames that cross a stream's end on the wire count too, so that a long-lived connection of an
/// honest client, or of a proxy, comes to h2's own limit of 1,024. The limit stays finite because
/// a peer that makes faults and reads nothing piles up resets, about 0.5 KiB each.
const MAX_LOCAL_ERROR_RESET_STREAMS: usize = 100_000;

/// Share by which the age of a connection varies, so that those which came together do not leave
/// together: <https://github.com/grpc/proposal/blob/master/A9-server-side-conn-mgt.md>.
const AGE_JITTER: f64 = 0.1;

/// A connection that was accepted.
pub(super) struct Connection {
    pub(super) stream: TcpStream,
    pub(super) peer: Peer,
    pub(super) routes: Routes,
    pub(super) config: Arc<Config>,
    pub(super) orders: Orders,
    /// Holds the tasks of its streams.
    pub(super) tasks: TaskTracker,
}

/// When to end.
pub(super) struct Orders {
    /// Send GOAWAY, and end with the last stream.
    pub(super) drain: CancellationToken,
    /// End at once.
    pub(super) kill: CancellationToken,
}

impl Connection {
    /// Serves it until it ends.
    pub(super) async fn serve(self) {
        let Self {
            stream,
            peer,
            routes,
            config,
            orders,
            tasks,
        } = self;
        if let Err(error) = set_up(&stream, &config) {
            tracing::debug!(peer = %peer.0, %error, "cannot set options of a socket");
        }
        let greeted = tokio::select! {
            () = orders.kill.cancelled() => return,
            greeted = preface::read(stream, config.handshake_timeout) => greeted,
        };
        let greeted = match greeted {
            Ok(greeted) => greeted,
            Err(reason) => {
                tracing::debug!(peer = %peer.0, %reason, "connection refused");
                return;
            }
        };
        let with_peer = move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(peer);
            request
        };
        let service = TowerToHyperService::new(MapRequest::new(routes, with_peer));
        let mut connection =
            pin!(builder(&config, tasks).serve_connection(TokioIo::new(greeted), service));

        let mut is_leaving = false;
        let mut deadline = config
            .max_connection_age
            .map(|age| Instant::now() + jittered(age));
        loop {
            let happened = tokio::select! {
                result = connection.as_mut() => Happened::Ended(result),
                () = orders.kill.cancelled() => Happened::Killed,
                () = orders.drain.cancelled(), if !is_leaving => Happened::Drained,
                () = reach(deadline) => Happened::Reached,
            };
            match happened {
                Happened::Ended(Ok(())) => return,
                Happened::Ended(Err(error)) => {
                    tracing::debug!(peer = %peer.0, %error, "connection ended");
                    return;
                }
                Happened::Killed => return,
                Happened::Reached if is_leaving => {
                    tracing::debug!(peer = %peer.0, "aged connection cut");
                    return;
                }
                Happened::Reached => {
                    deadline = Some(Instant::now() + config.max_connection_age_grace);
                }
                // Who drains says when it has lasted long enough.
                Happened::Drained => deadline = None,
            }
            connection.as_mut().graceful_shutdown();
            is_leaving = true;
        }
    }
}

enum Happened {
    Ended(hyper::Result<()>),
    Killed,
    Drained,
    Reached,
}

/// Waits for a time; for ever when there is none.
///
/// # Cancel safety
///
/// Nothing is lost.
async fn reach(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => time::sleep_until(deadline).await,
        None => future::pending().await,
    }
}

fn jittered(age: Duration) -> Duration {
    age.mul_f64(rand::rng().random_range(1.0 - AGE_JITTER..=1.0 + AGE_JITTER))
}

fn set_up(stream: &TcpStream, config: &Config) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    let keep_alive = TcpKeepalive::new()
        .with_time(config.keep_alive_interval)
        .with_interval(config.keep_alive_timeout);
    socket.set_tcp_keepalive(&keep_alive)?;
    // hyper closes a connection whose PING stays without answer only once all it has to say is
    // written, which a peer that reads nothing prevents.
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(config.keep_alive_interval + config.keep_alive_timeout))?;
    Ok(())
}

fn builder(config: &Config, tasks: TaskTracker) -> http2::Builder<Tracked> {
    let mut builder = http2::Builder::new(Tracked(tasks));
    builder
        .timer(TokioTimer::new())
        .auto_date_header(false)
        .max_concurrent_streams(config.max_streams_per_connection.get())
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_header_list_size(MAX_HEADER_LIST_BYTES)
        .max_send_buf_size(MAX_SEND_BUFFER_BYTES)
        .max_pending_accept_reset_streams(MAX_PENDING_ACCEPT_RESET_STREAMS)
        .max_local_error_reset_streams(MAX_LOCAL_ERROR_RESET_STREAMS)
        .keep_alive_interval(config.keep_alive_interval)
        .keep_alive_timeout(config.keep_alive_timeout);
    builder
}

/// Runs streams as tasks that are waited for.
#[derive(Clone)]
struct Tracked(TaskTracker);

impl<F> Executor<F> for Tracked
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, stream: F) {
        // It ends with its connection, whose end hyper tells every stream.
        self.0.spawn(stream);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_differ_by_a_tenth_at_most() {
        let age = Duration::from_secs(1000);
        let ages: Vec<_> = (0..1000).map(|_| jittered(age).as_secs()).collect();
        assert!(
            ages.iter().all(|age| (900..=1100).contains(age)),
            "{ages:?}"
        );
        for part in [900..950, 950..1000, 1000..1050, 1050..1101] {
            assert!(
                ages.iter().any(|age| part.contains(age)),
                "none in {part:?}"
            );
        }
    }
}
