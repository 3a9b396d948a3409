//! A reader of a session's log, in the shape of a call's response stream.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use futures_core::Stream;
use taiwa_core::Failure;
use tokio::time::{Instant, Sleep};

use super::{
    inbox::{Gone, Inbox},
    log::{Attachment, Entry, Read, ReaderId},
    task::SessionLog,
};
use crate::grpc::convert::{
    delivery::{DisconnectPolicy, EventClass, SlowReaderPolicy, StreamOptions},
    event,
};

/// How a reader wants its events, with the defaults of its call filled in.
#[derive(Clone, Debug)]
pub struct Options {
    /// The model is read only as fast as this reader reads.
    pub paces: bool,
    /// What becomes of the turn when the reader goes.
    pub on_gone: OnGone,
    /// What it leaves out, and how often it wants a sign of life.
    pub stream: StreamOptions,
}

impl Options {
    /// Fills in what a caller left to the call's defaults.
    pub fn new(stream: StreamOptions, paces: bool, on_gone: OnGone) -> Self {
        Self {
            paces: match stream.on_slow_reader {
                Some(SlowReaderPolicy::Wait) => true,
                Some(SlowReaderPolicy::Detach) => false,
                None => paces,
            },
            on_gone: match stream.on_disconnect {
                Some(DisconnectPolicy::Cancel) => OnGone::Cancel,
                Some(DisconnectPolicy::Continue) => OnGone::Continue,
                None => on_gone,
            },
            stream,
        }
    }

    /// A caller that waits for the end alone, and whose going cancels the turn.
    pub(super) fn end_alone() -> Self {
        let stream = StreamOptions {
            heartbeat: None,
            ..StreamOptions::default()
        };
        Self::new(stream, false, OnGone::Cancel)
    }
}

/// What becomes of the turn when its reader goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnGone {
    /// It is cancelled at once.
    Cancel,
    /// It runs on.
    Continue,
}

/// What a reader follows to its end.
#[derive(Clone, Debug)]
pub(super) enum Follows {
    /// The session.
    Session,
    /// A turn, or its part up to a pause.
    Turn {
        turn_id: Arc<str>,
        /// An end before this event is that of an earlier part.
        ends_from: u64,
    },
}

impl Follows {
    fn ends_with(&self, entry: &Entry) -> Option<Option<Failure>> {
        match (self, &entry.end) {
            (Self::Turn { turn_id, ends_from }, Some(end))
                if *turn_id == end.turn_id && entry.sequence >= *ends_from =>
            {
                Some(end.failure.clone())
            }
            (Self::Turn { .. } | Self::Session, _) => None,
        }
    }
}

/// A stream of encoded events; dropping it detaches from the session.
///
/// Ends after the turn that it follows, with the turn's failure where it failed; a reader that
/// follows no turn ends when its session ends it.
#[derive(Debug)]
pub struct Reader {
    log: Arc<SessionLog>,
    inbox: Inbox,
    id: ReaderId,
    follows: Follows,
    /// Events that were gone when it came.
    missing: u64,
    options: Options,
    heartbeat: Option<Heartbeat>,
    end: Option<Option<Failure>>,
}

#[derive(Debug)]
struct Heartbeat {
    interval: Duration,
    last_sent: Instant,
    sleep: Pin<Box<Sleep>>,
}

impl Reader {
    /// Attaches to a log.
    pub(super) fn attach(
        log: &Arc<SessionLog>,
        inbox: Inbox,
        follows: Follows,
        attachment: Attachment<Gone>,
        options: Options,
    ) -> Self {
        let heartbeat = options
            .stream
            .heartbeat
            .filter(|_| attachment.interest.is_whole())
            .map(|interval| Heartbeat {
                interval,
                last_sent: Instant::now(),
                sleep: Box::pin(tokio::time::sleep(interval)),
            });
        let (id, missing) = log.attach(attachment);
        Self {
            log: Arc::clone(log),
            inbox,
            id,
            follows,
            missing,
            options,
            heartbeat,
            end: None,
        }
    }

    /// The reader's name within its log.
    pub(super) fn id(&self) -> ReaderId {
        self.id
    }

    /// Number of events after its cursor that were gone when it came.
    pub(super) fn missing(&self) -> u64 {
        self.missing
    }

    fn poll_heartbeat(&mut self, cx: &mut Context<'_>) -> Poll<Bytes> {
        let Some(heartbeat) = &mut self.heartbeat else {
            return Poll::Pending;
        };
        loop {
            ready!(heartbeat.sleep.as_mut().poll(cx));
            // The timer is set once for many events; only when it fires is it seen whether the
            // stream was silent for so long.
            let due = heartbeat.last_sent + heartbeat.interval;
            let now = Instant::now();
            if due > now {
                heartbeat.sleep.as_mut().reset(due);
                continue;
            }
            heartbeat.last_sent = now;
            heartbeat.sleep.as_mut().reset(now + heartbeat.interval);
            let beat = event::heartbeat(self.log.committed(), SystemTime::now());
            return Poll::Ready(event::encode(&beat));
        }
    }
}

impl Stream for Reader {
    type Item = Result<Bytes, Failure>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        if let Some(end) = &mut this.end {
            return Poll::Ready(end.take().map(Err));
        }
        loop {
            let bytes = match this.log.poll_read(this.id, cx) {
                Poll::Pending => return this.poll_heartbeat(cx).map(|bytes| Some(Ok(bytes))),
                Poll::Ready(Read::End(failure)) => {
                    this.end = Some(None);
                    return Poll::Ready(failure.map(Err));
                }
                Poll::Ready(Read::Notice(bytes)) => bytes,
                Poll::Ready(Read::Entry(entry)) => {
                    if !this.options.stream.takes(entry.class) {
                        continue;
                    }
                    if let Some(end) = this.follows.ends_with(&entry) {
                        this.end = Some(end);
                    }
                    if entry.class == EventClass::TurnEnd && this.options.stream.omit_reasoning {
                        event::encoded_without_reasoning(entry.bytes)
                    } else {
                        entry.bytes
                    }
                }
            };
            if let Some(heartbeat) = &mut this.heartbeat {
                heartbeat.last_sent = Instant::now();
            }
            return Poll::Ready(Some(Ok(bytes)));
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        // Even where nothing follows: the session may be quiet from here on.
        self.inbox.post(self.log.detach(self.id));
    }
}
