//! What the store keeps of a session, in bytes: written, and read back.
//!
//! Values are MessagePack with field names, so that fields can come and go.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use prost::Message as _;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use taiwa::v1 as pb;
use taiwa_core::{Failure, Limits, Reason, TurnResult, command::Started, saved};
use tracing::error;

use super::{
    inbox::Claimed,
    log::{Entry, TurnEnd},
};
use crate::{
    grpc::convert::{delivery::EventClass, event},
    store::{Head, Loaded, LogEntry, Request, StoreError, Write},
};

/// When to try again after the store failed; a guess at how long a full disk or a lock lasts.
const RETRY: Duration = Duration::from_secs(2);

/// A session as the store has it.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) core: saved::Kept,
    /// The events that can be replayed.
    pub(super) events: Vec<Entry>,
    /// Newest event ever.
    pub(super) last_sequence: u64,
    /// How long it is kept after its last use.
    pub(super) ttl: Duration,
    /// How the store has it.
    pub(super) head: Head,
}

/// What the first request of an id came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// The session that it used or began.
    pub session_id: String,
    /// The turn that it started; `None` when it only opened the session.
    pub started: Option<Started>,
}

/// Writes a value.
pub(super) fn encode<T: Serialize>(value: &T) -> Bytes {
    match rmp_serde::to_vec_named(value) {
        Ok(bytes) => bytes.into(),
        Err(error) => {
            // Memory takes any bytes, and no type of the core refuses to be written.
            unreachable!("a value cannot be written: {error}")
        }
    }
}

/// Reads a value that this version or an earlier one wrote.
///
/// # Errors
///
/// `Internal` when it is something else.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Failure> {
    rmp_serde::from_slice(bytes).map_err(|error| {
        error!(%error, "a value of the store cannot be read");
        Failure::internal()
    })
}

/// Reads a session.
///
/// # Errors
///
/// `Internal` when a part of it cannot be read.
pub(super) fn read(session_id: &str, loaded: Loaded, limits: &Limits) -> Result<Kept, Failure> {
    let state: saved::Saved = decode(&loaded.state)?;
    let ended: Vec<TurnResult> = all(loaded.turns.iter())?;
    let running = state.running_step();
    let running = running.map(|(turn_id, step_index)| (turn_id.to_owned(), step_index));
    let mut last_sequence = loaded.head.last_sequence;
    let mut output = event::Output::default();
    let mut events = Vec::new();
    for logged in loaded.log {
        last_sequence = last_sequence.max(logged.sequence);
        let event = pb::Event::decode(logged.bytes.clone()).map_err(|error| {
            error!(session.id = session_id, %error, "an event of the store cannot be read");
            Failure::internal()
        })?;
        events.push(entry(&logged, &event, &ended));
        let is_running = running.as_ref().is_some_and(|(turn_id, step_index)| {
            event.turn_id == *turn_id && u32::try_from(event.step_index) == Ok(*step_index)
        });
        if is_running {
            output.add(event, limits);
        }
    }
    Ok(Kept {
        core: saved::Kept {
            state,
            messages: all(loaded.messages.iter())?,
            receipts: all(loaded.receipts.iter())?,
            ended,
            output: output.into_blocks(),
            last_sequence,
        },
        events,
        last_sequence,
        ttl: loaded.begin.ttl,
        head: loaded.head,
    })
}

fn all<'a, T: DeserializeOwned>(
    values: impl Iterator<Item = &'a Bytes>,
) -> Result<Vec<T>, Failure> {
    values.map(|value| decode(value)).collect()
}

fn entry(logged: &LogEntry, event: &pb::Event, ended: &[TurnResult]) -> Entry {
    let turn_id: Option<Arc<str>> =
        (!event.turn_id.is_empty()).then(|| event.turn_id.as_str().into());
    let class = EventClass::from_number(logged.class);
    let end = turn_id
        .clone()
        .filter(|_| class == EventClass::TurnEnd)
        .map(|turn_id| {
            let of_turn = ended.iter().find(|result| {
                *result.turn_id == *turn_id && result.last_sequence == logged.sequence
            });
            Arc::new(TurnEnd {
                failure: of_turn.and_then(|result| result.failure.clone()),
                turn_id,
            })
        });
    Entry {
        sequence: logged.sequence,
        turn_id,
        class,
        end,
        bytes: logged.bytes.clone(),
    }
}

/// Writes what a request came to.
pub(super) fn request(claimed: Claimed, session_id: &str, started: Option<&Started>) -> Write {
    let answer = Answer {
        session_id: session_id.to_owned(),
        started: started.cloned(),
    };
    Write::Request(Request {
        request_id: claimed.request_id,
        fingerprint: claimed.fingerprint,
        value: encode(&answer),
        at: SystemTime::now(),
    })
}

/// Tells callers of a failure of the store; the operator finds its cause in the log.
pub fn failure(error: &StoreError) -> Failure {
    match error {
        StoreError::TooManySessions { limit } => {
            let text = format!(
                "this tenant keeps as many sessions as it may: {limit}; delete some, \
                 or wait until some expire"
            );
            return Failure::new(Reason::ConcurrencyLimited, text);
        }
        StoreError::Exists => return exists(""),
        StoreError::NoSession => {
            let text = "the session was deleted, or has expired";
            return Failure::new(Reason::SessionEnded, text);
        }
        StoreError::BadPageToken => {
            let text = "must be a token that a call with the same other fields gave";
            return Failure::invalid("page_token", text);
        }
        // Closed by the server's stop; were it by a panic, that was printed.
        StoreError::Closed => return Failure::shutting_down(),
        StoreError::Fenced
        | StoreError::Misfit { .. }
        | StoreError::Full
        | StoreError::ReadOnly
        | StoreError::Busy
        | StoreError::Corrupt
        | StoreError::Io(_)
        | StoreError::Failed(_) => {}
    }
    error!(error = error as &dyn std::error::Error, "the store failed");
    let text = "the server's store cannot be used at the moment; what was not acknowledged was \
                not done";
    Failure::new(Reason::StoreUnavailable, text).retry_after(RETRY)
}

/// A session of that id exists already.
pub fn exists(session_id: &str) -> Failure {
    let failure = Failure::new(Reason::SessionExists, "a session of that id exists already");
    if session_id.is_empty() {
        return failure;
    }
    failure.fact("session_id", session_id)
}

/// The events of a turn are gone.
pub fn replay_expired(session_id: &str, turn_id: &str) -> Failure {
    let text = "the events of this turn are no longer kept; GetTurn gives its result";
    Failure::new(Reason::ReplayExpired, text)
        .fact("session_id", session_id)
        .fact("turn_id", turn_id)
}
