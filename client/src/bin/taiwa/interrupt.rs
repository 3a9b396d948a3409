//! Ctrl-C, and being told to stop, heard also while nobody waits for it.

use std::{
    future::{pending, ready},
    io,
    pin::Pin,
    task::Poll,
};

use tokio::signal::ctrl_c;

use crate::failure::Failure;

/// Listens for Ctrl-C.
pub(crate) struct Interrupt {
    next: Pin<Box<dyn Future<Output = io::Result<()>>>>,
}

impl Interrupt {
    /// Listens from this moment on.
    pub(crate) async fn listen() -> Self {
        let mut interrupt = Self {
            next: Box::pin(ctrl_c()),
        };
        interrupt.begin().await;
        interrupt
    }

    /// Waits for the next one. Cancel-safe.
    pub(crate) async fn pressed(&mut self) {
        // Without signals there is nothing to wait for, and nothing to be told.
        if self.next.as_mut().await.is_err() {
            pending::<()>().await;
        }
        self.next = Box::pin(ctrl_c());
        self.begin().await;
    }

    /// A signal counts from the first time that its future is polled.
    async fn begin(&mut self) {
        if let Poll::Ready(pressed) = futures_util::poll!(&mut self.next) {
            self.next = Box::pin(ready(pressed));
        }
    }
}

/// Listens for what tells a program to stop other than Ctrl-C: by itself that ends this program,
/// but not what runs in process groups of its own.
#[derive(Debug)]
pub(crate) struct Told {
    #[cfg(unix)]
    signals: Option<[tokio::signal::unix::Signal; 2]>,
}

impl Told {
    /// Listens from this moment on, where there is something that must not be left behind.
    pub(crate) fn listen(leaves_something: bool) -> Result<Self, Failure> {
        #[cfg(unix)]
        {
            use tokio::signal::unix::{SignalKind, signal};

            let signals = if leaves_something {
                let kinds = [SignalKind::terminate(), SignalKind::hangup()];
                let [terminate, hang_up] = kinds.map(signal);
                Some([terminate?, hang_up?])
            } else {
                None
            };
            Ok(Self { signals })
        }
        #[cfg(not(unix))]
        {
            let _ = leaves_something;
            Ok(Self {})
        }
    }

    /// Waits until it is told. Cancel-safe.
    pub(crate) async fn heard(&mut self) {
        #[cfg(unix)]
        if let Some([terminate, hang_up]) = &mut self.signals {
            tokio::select! {
                _ = terminate.recv() => return,
                _ = hang_up.recv() => return,
            }
        }
        pending::<()>().await;
    }
}

/// Waits for what ends a command from outside, and says how it ends it. Cancel-safe.
pub(crate) async fn ended(interrupt: &mut Interrupt, told: &mut Told) -> Failure {
    tokio::select! {
        () = interrupt.pressed() => Failure::interrupted(),
        () = told.heard() => Failure::told_to_stop(),
    }
}
