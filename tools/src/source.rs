//! Where tools come from.

use std::{fmt, sync::Arc};

use futures_util::future::BoxFuture;
use tokio::sync::watch;

use crate::Tool;

/// The tools of a source at one time, in its order.
pub type Tools = Arc<[Arc<dyn Tool>]>;

/// Gives tools.
pub trait Source: fmt::Debug + Send + Sync {
    /// Its tools; the receiver is told when there are others, and fails when the source has ended.
    fn tools(&self) -> watch::Receiver<Tools>;

    /// Ends what runs for it, and waits for that; its tools are not called any more.
    fn stop(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }
}

/// A source of tools that never change.
#[derive(Debug)]
pub struct Fixed {
    // Kept, so that who waits for other tools waits, and is not told that the source has ended.
    tools: watch::Sender<Tools>,
}

impl Fixed {
    /// Makes a source of tools, whose names must differ.
    pub fn new(tools: Vec<Arc<dyn Tool>>) -> Self {
        let (tools, _) = watch::channel(tools.into());
        Self { tools }
    }
}

impl Source for Fixed {
    fn tools(&self) -> watch::Receiver<Tools> {
        self.tools.subscribe()
    }
}
