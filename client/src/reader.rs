//! Reads the events of one call: the deadline, and whether the end may be believed.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::time::{Sleep, sleep_until};
use tokio_stream::Stream as _;
use tonic::{Status, Streaming};

use crate::{
    Error, Event,
    error::{Local, made_here},
    event::Payload,
    pb,
    request::Deadline,
};

/// What the client waits beyond a deadline for the server's own last word,
/// which keeps what was said until then; a guess at a slow round trip.
const LAST_WORD: Duration = Duration::from_millis(250);

/// The receiving side of a call that streams events.
#[derive(Debug)]
pub(crate) struct Reader {
    events: Streaming<pb::Event>,
    timer: Option<Timer>,
    session_id: String,
    running_turn: Option<String>,
    last_sequence: i64,
    ended: bool,
}

#[derive(Debug)]
struct Timer {
    allowed: Duration,
    last_word: Pin<Box<Sleep>>,
}

/// How a call's stream ended.
pub(crate) enum End {
    /// With the status OK, or as if.
    Ok,
    /// The server said why.
    Status(Status),
    /// The transport gave up.
    Broken(Status),
}

impl Reader {
    /// Reads a call, up to its deadline.
    pub(crate) fn new(events: Streaming<pb::Event>, deadline: Option<Deadline>) -> Self {
        let timer = deadline.map(|Deadline { at, allowed }| Timer {
            allowed,
            last_word: Box::pin(sleep_until(at + LAST_WORD)),
        });
        Self {
            events,
            timer,
            session_id: String::new(),
            running_turn: None,
            last_sequence: 0,
            ended: false,
        }
    }

    /// Whether a turn began that has not ended.
    pub(crate) fn is_turn_running(&self) -> bool {
        self.running_turn.is_some()
    }

    /// Takes the next event this version knows, or the way the stream ended.
    pub(crate) fn poll_event(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Event, Result<End, Error>>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        loop {
            let item = match Pin::new(&mut self.events).poll_next(cx) {
                Poll::Ready(item) => item,
                Poll::Pending => {
                    let Some(timer) = &mut self.timer else {
                        return Poll::Pending;
                    };
                    ready!(timer.last_word.as_mut().poll(cx));
                    self.ended = true;
                    let allowed = timer.allowed;
                    return Poll::Ready(Some(Err(Err(Error::DeadlineExceeded { allowed }))));
                }
            };
            let end = match item {
                Some(Ok(event)) => match Event::read(event) {
                    Some(event) => {
                        self.follow(&event);
                        return Poll::Ready(Some(Ok(event)));
                    }
                    None => continue,
                },
                Some(Err(status)) => match made_here(&status) {
                    Some(Local::Timeout | Local::Transport) => End::Broken(status),
                    None => End::Status(status),
                },
                None => End::Ok,
            };
            self.ended = true;
            return Poll::Ready(Some(Err(Ok(end))));
        }
    }

    /// The error of a stream that ended too early.
    pub(crate) fn cut(&mut self, source: Option<Status>) -> Error {
        Error::Cut {
            session_id: self.session_id.clone(),
            turn_id: self.running_turn.take().unwrap_or_default(),
            last_sequence: self.last_sequence,
            source: source.map(Box::new),
        }
    }

    fn follow(&mut self, event: &Event) {
        self.last_sequence = self.last_sequence.max(event.sequence);
        if let Payload::SessionReady(ready) = &event.payload {
            self.session_id.clone_from(&ready.session_id);
        } else if let Payload::TurnStarted(started) = &event.payload {
            self.session_id.clone_from(&started.session_id);
            self.running_turn = Some(event.turn_id.clone());
        } else if let Payload::TurnEnded(_) = &event.payload {
            self.running_turn = None;
        }
    }
}
