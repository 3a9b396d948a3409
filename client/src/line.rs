//! A stream of events that outlives its calls: it is opened, read, and opened again where it was.

use std::{
    fmt,
    pin::Pin,
    sync::{Mutex, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::time::{Instant, Sleep, sleep, sleep_until};
use tokio_stream::Stream;
use tonic::Status;

use crate::{
    Error, Event, Reconnect,
    backoff::{Backoff, random_share},
    end::End,
    event::Payload,
    pb,
    reconnect::{Connection, Observer},
    request::Deadline,
};

/// What the client waits beyond a deadline for the server's own last word,
/// which keeps what was said until then; a guess at a slow round trip.
const LAST_WORD: Duration = Duration::from_millis(250);

/// The opening of a call, under way.
pub(crate) type Dialing<E> = Pin<Box<dyn Future<Output = Result<E, Status>> + Send>>;

/// What differs between the kinds of streams.
pub(crate) trait Dial {
    /// The events of one call.
    type Events: Stream<Item = Result<pb::Event, Status>> + Unpin;

    /// Opens the call, or one that goes on after what was seen.
    fn dial(&mut self, seen: &Seen) -> Dialing<Self::Events>;

    /// Takes note of an event, and gives it on unless it is for the client alone.
    fn take(&mut self, event: Event, seen: &mut Seen) -> Option<Event>;

    /// Whether everything was there when the call ended so.
    fn is_complete(&self, end: &End, seen: &Seen) -> bool;

    /// Whether it may be opened again.
    fn is_resumable(&self) -> bool;

    /// Knows another way to go on at once after such a status, and takes it from here on.
    fn turns_to_another_way(&mut self, status: &Status) -> bool;
}

/// What all calls of a line have in common.
#[derive(Debug, Clone)]
pub(crate) struct Terms {
    pub(crate) endpoint: String,
    pub(crate) deadline: Option<Deadline>,
    pub(crate) observer: Observer,
    pub(crate) reconnect: Reconnect,
}

/// What has arrived so far.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen {
    pub(crate) session_id: String,
    pub(crate) running_turn: Option<String>,
    pub(crate) last_sequence: i64,
    /// The session was told.
    pub(crate) is_ready: bool,
}

/// A stream of events that is taken up again when its call is lost.
pub(crate) struct Line<D: Dial> {
    pub(crate) dial: D,
    terms: Terms,
    state: State<D::Events>,
    seen: Seen,
    backoff: Backoff,
    last_word: Option<Pin<Box<Sleep>>>,
    /// A call was lost, and nothing came of the next one yet.
    is_interrupted: bool,
    was_open: bool,
    was_lost: bool,
}

enum State<E> {
    /// A mutex only so that the line can be shared between threads, which this future cannot.
    Dialing(Mutex<Dialing<E>>),
    Reading {
        events: E,
        since: Instant,
    },
    Waiting(Pin<Box<Sleep>>),
    Ended,
}

/// Why there is no next event, or none yet.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The call ended, and is not taken up again.
    End(End),
    /// The time that the caller gave is over.
    Deadline(Duration),
    /// Events are gone for good; the stream goes on after them.
    Lost(i64),
    /// It had stopped before.
    Over,
}

impl<D: Dial> Line<D> {
    /// Begins to open the call; what was seen before is not given again.
    pub(crate) fn new(mut dial: D, terms: Terms, seen: Seen) -> Self {
        let last_word = terms
            .deadline
            .map(|Deadline { at, .. }| Box::pin(sleep_until(at + LAST_WORD)));
        Self {
            state: State::Dialing(Mutex::new(dial.dial(&seen))),
            backoff: Backoff::new(terms.reconnect.clone()),
            dial,
            terms,
            seen,
            last_word,
            is_interrupted: false,
            was_open: false,
            was_lost: false,
        }
    }

    pub(crate) fn seen(&self) -> &Seen {
        &self.seen
    }

    /// Whether a call may be under way at the server that nothing has come of.
    pub(crate) fn may_have_begun(&self) -> bool {
        match &self.state {
            State::Dialing(_) | State::Reading { .. } => true,
            State::Waiting(_) | State::Ended => self.was_open,
        }
    }

    /// Hands over to a line that goes on in its place; this one has ended.
    pub(crate) fn hand_over(&mut self) -> Self
    where
        D: Clone,
    {
        Self {
            dial: self.dial.clone(),
            terms: self.terms.clone(),
            state: std::mem::replace(&mut self.state, State::Ended),
            seen: self.seen.clone(),
            backoff: Backoff::new(self.terms.reconnect.clone()),
            last_word: self.last_word.take(),
            is_interrupted: self.is_interrupted,
            was_open: self.was_open,
            was_lost: self.was_lost,
        }
    }

    /// Opens the call, with as many attempts as it takes.
    pub(crate) fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Stop>> {
        loop {
            let ended = match &mut self.state {
                State::Reading { .. } => return Poll::Ready(Ok(())),
                State::Ended => return Poll::Ready(Err(Stop::Over)),
                State::Dialing(dialing) => {
                    let dialing = dialing.get_mut().unwrap_or_else(PoisonError::into_inner);
                    match dialing.as_mut().poll(cx) {
                        Poll::Ready(Ok(events)) => {
                            self.was_open = true;
                            let since = Instant::now();
                            self.state = State::Reading { events, since };
                            continue;
                        }
                        Poll::Ready(Err(status)) => Some(End::of(status)),
                        Poll::Pending => None,
                    }
                }
                State::Waiting(wait) => {
                    if wait.as_mut().poll(cx).is_ready() {
                        self.redial();
                        continue;
                    }
                    None
                }
            };
            let Some(end) = ended else {
                return self.poll_deadline(cx).map(Err);
            };
            if let Some(stop) = self.lose(end) {
                return Poll::Ready(Err(stop));
            }
        }
    }

    /// Takes the next event that this version knows and that was not given before.
    pub(crate) fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Event, Stop>>> {
        loop {
            match ready!(self.poll_open(cx)) {
                Ok(()) => {}
                Err(Stop::Over) => return Poll::Ready(None),
                Err(stop) => return Poll::Ready(Some(Err(stop))),
            }
            let State::Reading { events, .. } = &mut self.state else {
                continue;
            };
            let end = match Pin::new(events).poll_next(cx) {
                Poll::Pending => return self.poll_deadline(cx).map(|stop| Some(Err(stop))),
                Poll::Ready(Some(Ok(event))) => match self.take(event) {
                    Some(item) => return Poll::Ready(Some(item)),
                    None => continue,
                },
                Poll::Ready(Some(Err(status))) => End::of(status),
                Poll::Ready(None) => End::Ok,
            };
            if let Some(stop) = self.lose(end) {
                return Poll::Ready(Some(Err(stop)));
            }
        }
    }

    /// Puts a stop in the words of the caller.
    pub(crate) fn error(&self, stop: Stop) -> Error {
        let end = match stop {
            Stop::End(end) => end,
            Stop::Deadline(allowed) => return Error::DeadlineExceeded { allowed },
            Stop::Over => return self.cut(None),
            Stop::Lost(missing) => {
                return Error::EventsLost {
                    session_id: self.seen.session_id.clone(),
                    last_sequence: self.seen.last_sequence,
                    missing,
                };
            }
        };
        match (end, self.terms.deadline) {
            (End::Ok, _) => self.cut(None),
            (End::Late(_), Some(Deadline { allowed, .. })) => Error::DeadlineExceeded { allowed },
            (End::Status(status) | End::Broken(status) | End::Late(status), deadline)
                if !self.was_open =>
            {
                Error::opening(status, &self.terms.endpoint, deadline)
            }
            (End::Status(status), _) => Error::from(status),
            (End::Broken(status) | End::Late(status), _) => self.cut(Some(status)),
        }
    }

    fn cut(&self, source: Option<Status>) -> Error {
        Error::Cut {
            session_id: self.seen.session_id.clone(),
            turn_id: self.seen.running_turn.clone().unwrap_or_default(),
            last_sequence: self.seen.last_sequence,
            source: source.map(Box::new),
        }
    }

    fn take(&mut self, event: pb::Event) -> Option<Result<Event, Stop>> {
        if event.sequence > 0 && event.sequence <= self.seen.last_sequence {
            return None;
        }
        let sequence = event.sequence;
        let event = Event::read(event);
        let payload = event.as_ref().map(|event| &event.payload);
        if sequence > 0 || matches!(payload, Some(Payload::Heartbeat(_))) {
            self.backoff.succeed();
        }
        let mut missing = 0;
        if let Some(Payload::SessionReady(_)) = payload {
            if std::mem::replace(&mut self.seen.is_ready, true) {
                return None;
            }
        } else {
            if let Some(Payload::StreamResumed(resumed)) = payload {
                missing = resumed.missing_events;
            }
            self.tell_resumed(missing);
        }
        // What opens a call that goes on where another was lost is news of the connection.
        if let Some(Payload::StreamResumed(_)) = payload
            && self.was_lost
        {
            return (missing > 0).then_some(Err(Stop::Lost(missing)));
        }
        self.seen.last_sequence = self.seen.last_sequence.max(sequence);
        let event = event?;
        self.seen.follow(&event);
        self.dial.take(event, &mut self.seen).map(Ok)
    }

    fn tell_resumed(&mut self, missing_events: i64) {
        if std::mem::take(&mut self.is_interrupted) {
            let news = Connection::Resumed { missing_events };
            self.terms.observer.tell(news);
        }
    }

    /// Decides what becomes of a call that ended; none while the line goes on.
    fn lose(&mut self, end: End) -> Option<Stop> {
        let state = std::mem::replace(&mut self.state, State::Ended);
        let now = Instant::now();
        if let State::Reading { since, .. } = state
            && now - since >= self.backoff.steady()
        {
            self.backoff.succeed();
        }
        if self.dial.is_complete(&end, &self.seen) {
            return Some(Stop::End(end));
        }
        if let End::Status(status) = &end
            && self.dial.turns_to_another_way(status)
        {
            self.redial();
            return None;
        }
        let may_go_on = end.may_pass() && (self.dial.is_resumable() || !self.was_open);
        if !may_go_on {
            return Some(Stop::End(end));
        }
        let Some(delay) = self.backoff.delay(now, random_share(), end.retry_delay()) else {
            return Some(Stop::End(end));
        };
        if self
            .terms
            .deadline
            .is_some_and(|deadline| now + delay >= deadline.at)
        {
            return Some(Stop::End(end));
        }
        let news = Connection::Reconnecting {
            attempt: self.backoff.failures(),
            cause: self.error(Stop::End(end)),
            delay,
        };
        self.is_interrupted = true;
        self.state = State::Waiting(Box::pin(sleep(delay)));
        self.terms.observer.tell(news);
        None
    }

    fn redial(&mut self) {
        self.was_lost = true;
        self.state = State::Dialing(Mutex::new(self.dial.dial(&self.seen)));
    }

    /// Waits for the deadline, with the server's last word.
    fn poll_deadline(&mut self, cx: &mut Context<'_>) -> Poll<Stop> {
        let (Some(last_word), Some(deadline)) = (&mut self.last_word, self.terms.deadline) else {
            return Poll::Pending;
        };
        ready!(last_word.as_mut().poll(cx));
        self.state = State::Ended;
        Poll::Ready(Stop::Deadline(deadline.allowed))
    }
}

impl Seen {
    fn follow(&mut self, event: &Event) {
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

impl<D: Dial> fmt::Debug for Line<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Line")
            .field("seen", &self.seen)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
