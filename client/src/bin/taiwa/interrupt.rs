//! Ctrl-C, heard also while nobody waits for it.

use std::{
    future::{pending, ready},
    io,
    pin::Pin,
    task::Poll,
};

use tokio::signal::ctrl_c;

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
