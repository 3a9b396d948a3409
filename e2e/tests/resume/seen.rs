//! What a reader has seen of a session: each event once, in order, as it first came.

use std::collections::BTreeMap;

use prost::Message as _;
use taiwa::v1::{self as pb, event::Payload};
use taiwa_e2e::{Client, call};

/// The events of a session from its first on.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Seen {
    events: Vec<pb::Event>,
    /// Signs of life that came.
    pub(crate) heartbeats: usize,
}

impl Seen {
    /// Sequence number of the newest event.
    pub(crate) fn cursor(&self) -> i64 {
        i64::try_from(self.events.len()).unwrap()
    }

    /// The events.
    pub(crate) fn events(&self) -> &[pb::Event] {
        &self.events
    }

    /// Takes the next event; one without a number is of its stream alone.
    #[track_caller]
    pub(crate) fn take(&mut self, event: pb::Event) {
        if event.sequence == 0 {
            let is_heartbeat = matches!(event.payload, Some(Payload::Heartbeat(_)));
            assert!(is_heartbeat, "{event:#?}");
            self.heartbeats += 1;
            return;
        }
        let next = self.cursor() + 1;
        assert_eq!(event.sequence, next, "a gap or a repeat: {event:#?}");
        self.events.push(event);
    }

    /// Takes an event that may have come before, and must be the same then.
    #[track_caller]
    pub(crate) fn take_or_check(&mut self, event: pb::Event) {
        if event.sequence > self.cursor() {
            self.take(event);
        } else {
            self.check(&[event]);
        }
    }

    /// Checks that events are byte for byte those that were seen.
    #[track_caller]
    pub(crate) fn check(&self, events: &[pb::Event]) {
        for event in events.iter().filter(|event| event.sequence > 0) {
            let at = usize::try_from(event.sequence - 1).unwrap();
            let first = self.events.get(at);
            let first = first.unwrap_or_else(|| panic!("never seen: {event:#?}"));
            assert_eq!(first.encode_to_vec(), event.encode_to_vec(), "{event:#?}");
        }
    }

    /// Checks that what was seen is all that the session has, byte for byte.
    pub(crate) async fn check_whole(&self, client: &mut Client, session_id: &str) {
        let kept = replay(client, session_id).await;
        assert_eq!(self.events.len(), kept.len(), "{session_id}");
        self.check(&kept);
    }
}

/// Asks for the events after a number.
pub(crate) fn after(session_id: &str, after_sequence: i64) -> pb::ResumeStreamRequest {
    pb::ResumeStreamRequest {
        session_id: session_id.to_owned(),
        after_sequence,
        ..pb::ResumeStreamRequest::default()
    }
}

/// Reads all events of a session that are kept, none of which may be missing.
pub(crate) async fn replay(client: &mut Client, session_id: &str) -> Vec<pb::Event> {
    let request = pb::ResumeStreamRequest {
        replay_only: true,
        ..after(session_id, 0)
    };
    let replayed = call::resume_stream(client, request).await;
    replayed.end.unwrap();
    let mut events = replayed.events;
    let resumed = resumed_in(&events.remove(0));
    assert_eq!(resumed.missing_events, 0, "{resumed:#?}");
    events
}

/// What a resumed stream says first.
#[track_caller]
pub(crate) fn resumed_in(event: &pb::Event) -> pb::StreamResumed {
    assert_eq!(event.sequence, 0);
    match &event.payload {
        Some(Payload::StreamResumed(resumed)) => resumed.clone(),
        other => panic!("not stream_resumed: {other:#?}"),
    }
}

/// Checks that the same happened, but for what differs from one run to another: ids and times.
#[track_caller]
pub(crate) fn check_alike(events: &[pb::Event], others: &[pb::Event]) {
    let (events, others) = (essence(events), essence(others));
    for (event, other) in events.iter().zip(&others) {
        assert_eq!(event, other);
    }
    assert_eq!(events.len(), others.len());
}

fn essence(events: &[pb::Event]) -> Vec<pb::Event> {
    let mut calls = BTreeMap::new();
    let mut of_call = |id: &mut String| {
        if id.is_empty() {
            return;
        }
        let place = calls.len();
        let known = calls.entry(id.clone()).or_insert(place);
        *id = format!("call {known}");
    };
    let essences = events.iter().filter(|event| event.sequence > 0);
    let essences = essences.map(|event| {
        let mut event = pb::Event {
            sequence: 0,
            turn_id: String::new(),
            event_time: None,
            ..event.clone()
        };
        match event.payload.as_mut().unwrap() {
            Payload::TurnStarted(started) => started.session_id.clear(),
            Payload::BlockStarted(block) => of_call(&mut block.tool_call_id),
            Payload::ToolCallDelta(delta) => of_call(&mut delta.tool_call_id),
            Payload::ToolCall(call) => of(call, &mut of_call),
            Payload::ToolCallUpdate(update) => {
                of_call(&mut update.tool_call_id);
                update.duration = None;
                if let Some(result) = &mut update.result {
                    of_call(&mut result.tool_call_id);
                }
            }
            Payload::ApprovalRequest(request) => {
                request.approval_id.clear();
                request.expire_time = None;
                of(request.tool_call.as_mut().unwrap(), &mut of_call);
            }
            Payload::ApprovalResolved(resolved) => resolved.approval_id.clear(),
            Payload::FrameAccepted(accepted) => accepted.turn_id.clear(),
            Payload::BlockCompleted(completed) => {
                let block = completed.block.as_mut().unwrap();
                if let Some(pb::content_block::Block::ToolCall(call)) = &mut block.block {
                    of(call, &mut of_call);
                }
            }
            Payload::StepCompleted(step) => {
                step.model_latency = None;
                step.time_to_first_output = None;
            }
            Payload::TurnEnded(result) => {
                result.turn_id.clear();
                result.session_id.clear();
                result.metrics = None;
                result.last_sequence = 0;
                for call in &mut result.pending_tool_calls {
                    of(call, &mut of_call);
                }
                if let Some(message) = &mut result.message {
                    message.message_id.clear();
                    message.turn_id.clear();
                    message.create_time = None;
                    for block in &mut message.content {
                        if let Some(pb::content_block::Block::ToolCall(call)) = &mut block.block {
                            of(call, &mut of_call);
                        }
                    }
                }
            }
            Payload::SessionReady(_)
            | Payload::StreamResumed(_)
            | Payload::FrameRejected(_)
            | Payload::GoAway(_)
            | Payload::Heartbeat(_)
            | Payload::StepStarted(_)
            | Payload::TextDelta(_)
            | Payload::ReasoningDelta(_)
            | Payload::CitationDelta(_)
            | Payload::ImageDelta(_)
            | Payload::ToolCallsCancelled(_)
            | Payload::Guardrail(_)
            | Payload::Interrupted(_)
            | Payload::Usage(_)
            | Payload::ContextReduced(_) => {}
        }
        event
    });
    essences.collect()
}

fn of(call: &mut pb::ToolCall, of_call: &mut impl FnMut(&mut String)) {
    of_call(&mut call.tool_call_id);
    call.expire_time = None;
    call.idempotency_key.clear();
}
