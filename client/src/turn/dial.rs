//! How a turn's stream is opened: by its request, then from a cursor, then by its result alone.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use tokio_stream::Stream;
use tonic::{Status, Streaming};

use crate::{
    Client, Event, ServerError,
    end::End,
    event::Payload,
    line::{Dial, Dialing, Seen},
    omits::Omits,
    pb,
    request::{CallSettings, Deadline},
};

/// Opens the calls of one turn.
#[derive(Debug, Clone)]
pub(super) struct Dialer {
    client: Client,
    call: CallSettings,
    deadline: Option<Deadline>,
    request: pb::InvokeRequest,
    /// The session and the turn, once an event told them.
    turn: Option<(String, String)>,
    /// The events are no longer kept, as the server said with this status.
    expired: Option<Status>,
    on_disconnect: OnDisconnect,
    omits: Omits,
    has_ended: bool,
}

/// What becomes of the turn when its connection is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OnDisconnect {
    /// The server cancels it, as the caller chose.
    Cancelled,
    /// It runs on, as the caller chose.
    RunsOn,
    /// It runs on so that it can be resumed; whoever drops it must cancel it.
    Resumed,
}

/// The events of one call.
#[derive(Debug)]
pub(super) enum Incoming {
    /// As the server sends them.
    Call(Box<Streaming<pb::Event>>),
    /// Made of the turn's result: what was missed, and the end.
    Told(std::vec::IntoIter<pb::Event>),
}

impl Dialer {
    /// Asks for a turn that outlives its connection, unless the caller wants something else.
    pub(super) fn new(
        client: Client,
        mut request: pb::InvokeRequest,
        call: CallSettings,
        deadline: Option<Deadline>,
    ) -> Self {
        let omits = Omits::of(request.stream.as_ref());
        let chosen = request.stream.map_or(0, |stream| stream.on_disconnect);
        let on_disconnect = match pb::DisconnectPolicy::try_from(chosen) {
            Ok(pb::DisconnectPolicy::Unspecified) if client.reconnect.is_on() => {
                let stream = request.stream.get_or_insert_default();
                stream.set_on_disconnect(pb::DisconnectPolicy::Continue);
                OnDisconnect::Resumed
            }
            Ok(pb::DisconnectPolicy::Continue) => OnDisconnect::RunsOn,
            Ok(pb::DisconnectPolicy::Unspecified | pb::DisconnectPolicy::Cancel) | Err(_) => {
                OnDisconnect::Cancelled
            }
        };
        Self {
            client,
            call,
            deadline,
            request,
            turn: None,
            expired: None,
            on_disconnect,
            omits,
            has_ended: false,
        }
    }

    /// Goes on with a turn that somebody else began, and that runs on without this.
    pub(super) fn resuming(client: Client, session_id: String, turn_id: String) -> Self {
        let request = pb::InvokeRequest {
            stream: Some(pb::StreamOptions {
                on_disconnect: pb::DisconnectPolicy::Continue.into(),
                ..Default::default()
            }),
            ..Default::default()
        };
        Self {
            turn: Some((session_id, turn_id)),
            ..Self::new(client, request, CallSettings::default(), None)
        }
    }

    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// The session and the turn, once an event told them.
    pub(super) fn turn(&self) -> Option<&(String, String)> {
        self.turn.as_ref()
    }

    /// Whether closing the connection leaves a turn that nobody wants.
    pub(super) fn cancels_by_call(&self) -> bool {
        self.on_disconnect == OnDisconnect::Resumed
    }
}

impl Dial for Dialer {
    type Events = Incoming;

    fn dial(&mut self, seen: &Seen) -> Dialing<Incoming> {
        let client = self.client.clone();
        let mut stub = client.stub.clone();
        let Some((session_id, turn_id)) = self.turn.clone() else {
            let request = self.call.wrap(self.request.clone(), self.deadline);
            return Box::pin(async move { stub.invoke_stream(request).await.map(Incoming::from) });
        };
        if let Some(expired) = self.expired.clone() {
            let last_sequence = seen.last_sequence;
            let request = pb::GetTurnRequest {
                session_id,
                turn_id,
            };
            let request = self.call.wrap(request, self.deadline);
            return Box::pin(async move {
                let answer = stub.get_turn(request).await?.into_inner();
                let ended = answer.result.filter(has_ended).ok_or(expired)?;
                Ok(Incoming::told(ended, last_sequence))
            });
        }
        let stream = self.request.stream.as_ref();
        let request = pb::ResumeStreamRequest {
            session_id,
            turn_id,
            after_sequence: seen.last_sequence,
            heartbeat_interval: stream.and_then(|stream| stream.heartbeat_interval),
            ..Default::default()
        };
        let request = self.call.wrap(request, self.deadline);
        Box::pin(async move { stub.resume_stream(request).await.map(Incoming::from) })
    }

    fn take(&mut self, event: Event, seen: &mut Seen) -> Option<Event> {
        if self.turn.is_none() && !event.turn_id.is_empty() && !seen.session_id.is_empty() {
            self.turn = Some((seen.session_id.clone(), event.turn_id.clone()));
        }
        self.has_ended |= matches!(event.payload, Payload::TurnEnded(_));
        self.omits.leave(event)
    }

    fn is_complete(&self, _end: &End, _seen: &Seen) -> bool {
        self.has_ended
    }

    fn is_resumable(&self) -> bool {
        self.on_disconnect != OnDisconnect::Cancelled
    }

    fn turns_to_another_way(&mut self, status: &Status) -> bool {
        let reason = ServerError::from(status).reason;
        let can = self.is_resumable() && self.turn.is_some() && self.expired.is_none();
        if !can || reason != pb::ErrorReason::ReplayExpired {
            return false;
        }
        self.expired = Some(status.clone());
        true
    }
}

impl Incoming {
    /// What a turn's result says in place of events that are gone.
    fn told(result: pb::TurnResult, last_sequence: i64) -> Self {
        let end = result.last_sequence.max(last_sequence + 2);
        let resumed = pb::StreamResumed {
            session_id: result.session_id.clone(),
            after_sequence: last_sequence,
            last_sequence: end,
            missing_events: end - last_sequence - 1,
            ..Default::default()
        };
        let event = |sequence, payload| pb::Event {
            sequence,
            turn_id: result.turn_id.clone(),
            payload: Some(payload),
            ..Default::default()
        };
        let events = vec![
            event(0, Payload::StreamResumed(resumed)),
            event(end, Payload::TurnEnded(result.clone().into())),
        ];
        Self::Told(events.into_iter())
    }
}

impl From<tonic::Response<Streaming<pb::Event>>> for Incoming {
    fn from(response: tonic::Response<Streaming<pb::Event>>) -> Self {
        Self::Call(Box::new(response.into_inner()))
    }
}

impl Stream for Incoming {
    type Item = Result<pb::Event, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match &mut *self {
            Self::Call(events) => Pin::new(events.as_mut()).poll_next(cx),
            Self::Told(events) => Poll::Ready(events.next().map(Ok)),
        }
    }
}

fn has_ended(result: &pb::TurnResult) -> bool {
    match result.status() {
        pb::TurnStatus::Unspecified | pb::TurnStatus::Running => false,
        pb::TurnStatus::Paused
        | pb::TurnStatus::Completed
        | pb::TurnStatus::Interrupted
        | pb::TurnStatus::Cancelled
        | pb::TurnStatus::Failed => true,
    }
}
