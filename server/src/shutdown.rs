//! The signals that ask the process to stop.

use std::io;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Requests to stop: the first asks for an orderly end, the second for an end at once.
///
/// Clones hear the same requests, and those that came before they were made.
#[derive(Clone, Debug, Default)]
pub struct Signals {
    first: CancellationToken,
    second: CancellationToken,
}

impl Signals {
    /// Listens to SIGTERM and SIGINT for as long as the process runs.
    ///
    /// # Errors
    ///
    /// When the system does not let the process handle them.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime with I/O.
    pub fn listen() -> io::Result<Self> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let signals = Self::default();
        let heard = signals.clone();
        // Detached: it ends with the second signal or with the process.
        tokio::spawn(async move {
            while !heard.second.is_cancelled() {
                let name = tokio::select! {
                    Some(()) = terminate.recv() => "SIGTERM",
                    Some(()) = interrupt.recv() => "SIGINT",
                    else => return,
                };
                tracing::info!(signal = name, "asked to stop");
                heard.raise();
            }
        });
        Ok(signals)
    }

    /// Does what a signal does, for whoever runs the server within another program.
    pub fn raise(&self) {
        if self.first.is_cancelled() {
            self.second.cancel();
        } else {
            self.first.cancel();
        }
    }

    /// Waits for the first request.
    ///
    /// # Cancel safety
    ///
    /// A request is never lost.
    pub async fn first(&self) {
        self.first.cancelled().await;
    }

    /// Waits for the second request.
    ///
    /// # Cancel safety
    ///
    /// A request is never lost.
    pub async fn second(&self) {
        self.second.cancelled().await;
    }
}
