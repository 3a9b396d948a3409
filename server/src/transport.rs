//! The listener: connections accepted, bounded, and ended in order.
//!
//! tonic's own server is not used: its connection age with grace never sends GOAWAY, its default
//! sets no limit on streams per connection, and its shutdown waits for ever for an open stream.

mod connection;
mod preface;

use std::{
    io,
    net::SocketAddr,
    num::{NonZeroU32, NonZeroUsize},
    sync::Arc,
    time::Duration,
};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::service::Routes;

use self::connection::{Connection, Orders};

/// How long connections that came while draining are given, once all others are done.
///
/// Their calls are refused at once, so this covers a round trip.
const LATE_GRACE: Duration = Duration::from_secs(1);

/// Pauses after a failed accept, which is mostly a lack of file descriptors.
const ACCEPT_RETRY_MIN: Duration = Duration::from_millis(5);
const ACCEPT_RETRY_MAX: Duration = Duration::from_secs(1);

/// Bounds of connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Connections held at once. Default 10,000.
    ///
    /// Beyond it a connection is closed as soon as it is accepted. An idle one costs about 20 KiB
    /// and a file descriptor.
    pub max_connections: NonZeroUsize,
    /// Streams open at once on a connection. Default 1,000.
    pub max_streams_per_connection: NonZeroU32,
    /// Age at which a connection is told to end, give or take a tenth. Default: none.
    ///
    /// Behind a load balancer that spreads connections, not calls, an age lets clients reach
    /// servers that came later.
    pub max_connection_age: Option<Duration>,
    /// How long the streams of an aged connection may go on before it is cut. Default 5 min.
    pub max_connection_age_grace: Duration,
    /// How long a peer may take to say that it speaks HTTP/2. Default 10 s.
    pub handshake_timeout: Duration,
    /// Silence of a peer after which it is asked for a sign of life. Default 20 s.
    pub keep_alive_interval: Duration,
    /// How long that sign may take; after it the connection is closed. Default 10 s.
    ///
    /// Data which the peer's system does not take for `keep_alive_interval` and this together
    /// closes the connection too.
    pub keep_alive_timeout: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_connections: const { NonZeroUsize::new(10_000).expect("10,000 is not zero") },
            max_streams_per_connection: const { NonZeroU32::new(1000).expect("1,000 is not zero") },
            max_connection_age: None,
            max_connection_age_grace: Duration::from_secs(5 * 60),
            handshake_timeout: Duration::from_secs(10),
            keep_alive_interval: Duration::from_secs(20),
            keep_alive_timeout: Duration::from_secs(10),
        }
    }
}

/// The address that a request came from; an extension of every request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer(pub SocketAddr);

/// Ends a listener's connections, in two phases.
#[derive(Clone, Debug, Default)]
pub struct Drain {
    drain: CancellationToken,
    kill: CancellationToken,
}

impl Drain {
    /// Asks every connection to end: GOAWAY is sent, and open streams go on to their end.
    ///
    /// Connections are accepted further, so that late callers hear from the services that they
    /// must go elsewhere, and not from the system that nobody listens.
    pub fn drain(&self) {
        self.drain.cancel();
    }

    /// Closes every connection at once, and the listener.
    pub fn kill(&self) {
        self.kill.cancel();
    }
}

/// An address could not be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}")]
pub struct Error {
    /// The address asked for.
    pub address: SocketAddr,
    /// What the system said.
    #[source]
    pub source: io::Error,
}

/// A bound address.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    address: SocketAddr,
}

impl Listener {
    /// Binds an address; port 0 takes a free one.
    ///
    /// # Errors
    ///
    /// When the address is in use, not local, or not allowed.
    pub async fn bind(address: SocketAddr) -> Result<Self, Error> {
        let refused = |source| Error { address, source };
        let socket = TcpListener::bind(address).await.map_err(refused)?;
        let address = socket.local_addr().map_err(refused)?;
        Ok(Self { socket, address })
    }

    /// The address that is listened on, with the port that was taken.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Serves connections until `drain` is killed, or draining has ended the last of them.
    ///
    /// Nothing of it runs on after it returned; when it is dropped, all connections are closed.
    pub async fn serve(self, routes: Routes, config: Config, drain: Drain) {
        let kill = drain.kill.child_token();
        let _closes_all = kill.clone().drop_guard();
        let mut door = Door::new(self.socket, config.max_connections);
        let config = Arc::new(config);
        let routes = routes.prepare();
        let open = |accepted: Accepted, tasks: &TaskTracker, drain: &CancellationToken| {
            let connection = Connection {
                stream: accepted.stream,
                peer: Peer(accepted.peer),
                routes: routes.clone(),
                config: Arc::clone(&config),
                orders: Orders {
                    drain: drain.clone(),
                    kill: kill.clone(),
                },
                tasks: tasks.clone(),
            };
            tasks.spawn(async move {
                connection.serve().await;
                drop(accepted.permit);
            });
        };

        let connections = TaskTracker::new();
        loop {
            let accepted = tokio::select! {
                () = kill.cancelled() => break,
                () = drain.drain.cancelled() => break,
                accepted = door.accept() => accepted,
            };
            open(accepted, &connections, &drain.drain);
        }
        connections.close();

        // A connection that comes late is not sent away before it could ask: a client that is
        // connects again at once, and its callers never learn why.
        let late = TaskTracker::new();
        let late_drain = CancellationToken::new();
        while !connections.is_empty() {
            let accepted = tokio::select! {
                () = kill.cancelled() => break,
                () = connections.wait() => break,
                accepted = door.accept() => accepted,
            };
            open(accepted, &late, &late_drain);
        }
        drop(door);
        late.close();
        late_drain.cancel();
        tokio::select! {
            () = kill.cancelled() => {}
            _ = time::timeout(LATE_GRACE, late.wait()) => {}
        }
        kill.cancel();
        connections.wait().await;
        late.wait().await;
    }
}

/// The listening socket, and the room behind it.
struct Door {
    socket: TcpListener,
    room: Arc<Semaphore>,
    refused: u64,
    retry: Duration,
}

struct Accepted {
    stream: TcpStream,
    peer: SocketAddr,
    permit: OwnedSemaphorePermit,
}

impl Door {
    fn new(socket: TcpListener, max_connections: NonZeroUsize) -> Self {
        // A semaphore counts to less than usize can; nobody has that many file descriptors.
        let permits = max_connections.get().min(Semaphore::MAX_PERMITS);
        Self {
            socket,
            room: Arc::new(Semaphore::new(permits)),
            refused: 0,
            retry: ACCEPT_RETRY_MIN,
        }
    }

    /// The next connection for which there is room.
    ///
    /// # Cancel safety
    ///
    /// A connection is either returned or still to be accepted.
    async fn accept(&mut self) -> Accepted {
        loop {
            let (stream, peer) = match self.socket.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    self.wait_after(&error).await;
                    continue;
                }
            };
            self.retry = ACCEPT_RETRY_MIN;
            if let Ok(permit) = Arc::clone(&self.room).try_acquire_owned() {
                if self.refused > 0 {
                    tracing::info!(
                        refused = self.refused,
                        "there is room for connections again"
                    );
                    self.refused = 0;
                }
                return Accepted {
                    stream,
                    peer,
                    permit,
                };
            }
            if self.refused == 0 {
                tracing::warn!(%peer, "too many connections: refusing more");
            }
            self.refused += 1;
        }
    }

    async fn wait_after(&mut self, error: &io::Error) {
        let is_the_peers = matches!(
            error.kind(),
            io::ErrorKind::ConnectionAborted
                | io::ErrorKind::ConnectionReset
                | io::ErrorKind::ConnectionRefused
                | io::ErrorKind::Interrupted
        );
        if is_the_peers {
            tracing::debug!(%error, "a connection ended before it was accepted");
            return;
        }
        tracing::warn!(%error, retry = ?self.retry, "cannot accept connections");
        let retry = self.retry;
        self.retry = (retry * 2).min(ACCEPT_RETRY_MAX);
        time::sleep(retry).await;
    }
}
