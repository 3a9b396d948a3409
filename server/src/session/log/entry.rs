//! Events as a log holds them.

use std::sync::Arc;

use bytes::Bytes;
use taiwa_core::Failure;

use crate::grpc::convert::delivery::EventClass;

/// One event, as it goes to the wire.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its position in the session.
    pub sequence: u64,
    /// The turn that it belongs to, if it belongs to one.
    pub turn_id: Option<Arc<str>>,
    /// What it is to readers who leave some out.
    pub class: EventClass,
    /// The turn that it ends or pauses, if it does.
    pub end: Option<Arc<TurnEnd>>,
    /// The encoded event.
    pub bytes: Bytes,
}

/// The end of a turn or of its part up to a pause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TurnEnd {
    /// The turn.
    pub turn_id: Arc<str>,
    /// Why it failed, when it did.
    pub failure: Option<Failure>,
}
