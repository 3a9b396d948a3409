//! The accept loop, seen from raw sockets.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod probe;
mod raw;

mod aging;
mod cancels;
mod draining;
mod strangers;

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use taiwa_server::transport::{Config, Drain, Listener};
use tokio::{task::JoinHandle, time};

use self::probe::Probe;

/// A listener that serves the probe.
struct Running {
    address: SocketAddr,
    probe: Probe,
    drain: Drain,
    serving: JoinHandle<()>,
}

impl Running {
    async fn start(config: Config) -> Self {
        let listener = Listener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
            .await
            .unwrap();
        let address = listener.local_addr();
        let probe = Probe::default();
        let drain = Drain::default();
        let serving = tokio::spawn(listener.serve(probe.routes(), config, drain.clone()));
        Self {
            address,
            probe,
            drain,
            serving,
        }
    }

    /// Waits until serving ended, and checks that no call was left behind.
    async fn ended(self) {
        within(Duration::from_secs(5), self.serving).await.unwrap();
        assert_eq!(self.probe.live(), 0, "calls are still running");
    }
}

/// Waits for something that must happen soon.
#[track_caller]
fn within<F: Future>(limit: Duration, future: F) -> impl Future<Output = F::Output> {
    let caller = std::panic::Location::caller();
    async move {
        time::timeout(limit, future)
            .await
            .unwrap_or_else(|_| panic!("not within {limit:?}, waited for at {caller}"))
    }
}

/// Polls until something holds.
#[track_caller]
fn eventually(mut holds: impl FnMut() -> bool) -> impl Future<Output = ()> {
    within(Duration::from_secs(10), async move {
        while !holds() {
            time::sleep(Duration::from_millis(2)).await;
        }
    })
}
