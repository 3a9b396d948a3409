//! Where tools come from.

use std::{fmt, sync::Arc};

use tokio::sync::watch;

use crate::Tool;

/// The tools of a source at one time, in its order.
pub type Tools = Arc<[Arc<dyn Tool>]>;

/// Gives tools.
pub trait Source: fmt::Debug + Send + Sync {
    /// Its tools; the receiver is told when there are others.
    fn tools(&self) -> watch::Receiver<Tools>;
}
