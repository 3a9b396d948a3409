//! How a conversation is opened, and opened again where it was.

use std::sync::Arc;

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

use super::{frames::Frames, outbox::Outbox};

/// Opens the calls of one conversation.
#[derive(Debug)]
pub(super) struct Dialer {
    client: Client,
    call: CallSettings,
    deadline: Option<Deadline>,
    setup: pb::SessionSetup,
    outbox: Arc<Outbox>,
    /// It was opened again without the input, which another conversation has.
    reads_on: bool,
}

impl Dialer {
    pub(super) fn new(
        client: Client,
        setup: pb::SessionSetup,
        call: CallSettings,
        deadline: Option<Deadline>,
        outbox: Arc<Outbox>,
    ) -> Self {
        Self {
            client,
            call,
            deadline,
            setup,
            outbox,
            reads_on: false,
        }
    }

    /// The set-up that goes on with the session: what the session keeps is left out, since it may
    /// have changed since.
    fn resuming(&self, seen: &Seen) -> pb::SessionSetup {
        pb::SessionSetup {
            session_id: seen.session_id.clone(),
            resume_after_sequence: Some(seen.last_sequence),
            stream: self.setup.stream,
            input_policy: self.setup.input_policy,
            ..Default::default()
        }
    }

    /// Reads on without the input, which another conversation has.
    fn read_on(&self, seen: &Seen) -> Dialing<Streaming<pb::Event>> {
        let stream = self.setup.stream.as_ref();
        let request = pb::ResumeStreamRequest {
            session_id: seen.session_id.clone(),
            after_sequence: seen.last_sequence,
            heartbeat_interval: stream.and_then(|stream| stream.heartbeat_interval),
            ..Default::default()
        };
        let request = self.call.wrap(request, self.deadline);
        let mut stub = self.client.stub.clone();
        Box::pin(async move {
            let answer = stub.resume_stream(request).await;
            answer.map(tonic::Response::into_inner)
        })
    }
}

impl Dial for Dialer {
    type Events = Streaming<pb::Event>;

    fn dial(&mut self, seen: &Seen) -> Dialing<Self::Events> {
        if self.outbox.with(|frames| frames.is_taken_over()) {
            self.reads_on = true;
            return self.read_on(seen);
        }
        let setup = if seen.is_ready {
            self.resuming(seen)
        } else {
            // The whole of it, as it was: its request_id lets it act once.
            self.setup.clone()
        };
        let frames = self.outbox.connect(setup);
        let request = self.call.wrap(frames, self.deadline);
        let mut stub = self.client.stub.clone();
        Box::pin(async move {
            let answer = stub.converse(request).await;
            answer.map(tonic::Response::into_inner)
        })
    }

    fn take(&mut self, event: Event, seen: &mut Seen) -> Option<Event> {
        let is_news = if let Payload::FrameAccepted(receipt) = &event.payload {
            self.outbox.with(|frames| frames.accepted(receipt))
        } else if let Payload::FrameRejected(refusal) = &event.payload {
            self.outbox.with(|frames| frames.rejected(refusal))
        } else if let Payload::GoAway(go_away) = &event.payload {
            self.outbox.with(|frames| match go_away.reason() {
                pb::GoAwayReason::InputTakenOver => frames.take_over(),
                pb::GoAwayReason::Shutdown => frames.drain(),
                pb::GoAwayReason::Unspecified => {}
            });
            true
        } else if let Payload::SessionReady(ready) = &event.payload {
            if self.setup.resume_after_sequence.is_none() {
                // What happened before is not asked for.
                seen.last_sequence = seen.last_sequence.max(ready.last_sequence);
            }
            true
        } else {
            true
        };
        is_news.then(|| Omits::of(self.setup.stream.as_ref()).leave(event))?
    }

    fn is_complete(&self, end: &End, seen: &Seen) -> bool {
        let is_finished = || self.outbox.with(|frames| frames.is_finished());
        matches!(end, End::Ok) && seen.running_turn.is_none() && is_finished()
    }

    fn is_resumable(&self) -> bool {
        true
    }

    fn turns_to_another_way(&mut self, status: &Status) -> bool {
        let is_taken_over = ServerError::from(status).reason == pb::ErrorReason::InputTakenOver;
        if !is_taken_over || self.reads_on {
            return false;
        }
        self.outbox.with(Frames::take_over);
        true
    }
}
