//! Events as a server sends them, in few words.

use taiwa_client::{Payload, pb};

/// Numbers events in the turn `t1` of the session `s1`, from 1.
pub(crate) fn numbered(payloads: impl IntoIterator<Item = Payload>) -> Vec<pb::Event> {
    let events = payloads.into_iter().zip(1..);
    let event = |(payload, sequence)| pb::Event {
        sequence,
        turn_id: "t1".to_owned(),
        payload: Some(payload),
        ..Default::default()
    };
    events.map(event).collect()
}

/// The events of a session, numbered on from one to the next.
#[derive(Default)]
pub(crate) struct Log {
    last: i64,
}

impl Log {
    pub(crate) fn numbered(
        &mut self,
        payloads: impl IntoIterator<Item = Payload>,
    ) -> Vec<pb::Event> {
        let mut events = numbered(payloads);
        for event in &mut events {
            event.sequence += self.last;
        }
        self.last += i64::try_from(events.len()).unwrap();
        events
    }

    /// The receipt of a frame, and a turn that says these pieces and ends well.
    pub(crate) fn answer(&mut self, frame_id: &str, pieces: &[&str]) -> Vec<pb::Event> {
        let turn = answer(pieces).into_iter().filter_map(|event| event.payload);
        self.numbered([accepted(frame_id)].into_iter().chain(turn))
    }
}

pub(crate) fn accepted(frame_id: &str) -> Payload {
    Payload::FrameAccepted(pb::FrameAccepted {
        frame_id: frame_id.to_owned(),
        outcome: pb::FrameOutcome::Applied.into(),
        ..Default::default()
    })
}

/// A turn that says these pieces and ends well.
pub(crate) fn answer(pieces: &[&str]) -> Vec<pb::Event> {
    let deltas = pieces.iter().map(|piece| text(piece));
    let payloads = std::iter::once(started()).chain(deltas);
    numbered(payloads.chain([ended(&pieces.concat())]))
}

pub(crate) fn ready() -> pb::Event {
    pb::Event {
        payload: Some(Payload::SessionReady(pb::SessionReady {
            session_id: "s1".to_owned(),
            agent_id: "assistant".to_owned(),
            ..Default::default()
        })),
        ..Default::default()
    }
}

pub(crate) fn started() -> Payload {
    Payload::TurnStarted(pb::TurnStarted {
        session_id: "s1".to_owned(),
        agent_id: "assistant".to_owned(),
        ..Default::default()
    })
}

pub(crate) fn text(text: &str) -> Payload {
    Payload::TextDelta(pb::TextDelta {
        text: text.to_owned(),
    })
}

pub(crate) fn ended(text: &str) -> Payload {
    Payload::TurnEnded(result(text).into())
}

pub(crate) fn result(text: &str) -> pb::TurnResult {
    let block = pb::ContentBlock {
        block: Some(pb::content_block::Block::Text(text.to_owned())),
    };
    pb::TurnResult {
        turn_id: "t1".to_owned(),
        session_id: "s1".to_owned(),
        status: pb::TurnStatus::Completed.into(),
        stop_reason: pb::StopReason::EndTurn.into(),
        message: Some(pb::Message {
            role: pb::Role::Assistant.into(),
            content: vec![block],
            ..Default::default()
        }),
        usage: Some(pb::Usage {
            input_tokens: 7,
            output_tokens: 5,
            total_tokens: 12,
            model_calls: 1,
            ..Default::default()
        }),
        ..Default::default()
    }
}

pub(crate) fn reply(text: &str) -> pb::InvokeResponse {
    pb::InvokeResponse {
        text: text.to_owned(),
        result: Some(result(text)),
    }
}

/// What a resumed stream begins with.
pub(crate) fn resumed(after_sequence: i64, last_sequence: i64, missing_events: i64) -> pb::Event {
    pb::Event {
        payload: Some(Payload::StreamResumed(pb::StreamResumed {
            session_id: "s1".to_owned(),
            after_sequence,
            last_sequence,
            missing_events,
            ..Default::default()
        })),
        ..Default::default()
    }
}

/// Asks whether a tool may be called with this input, of the call `c1`.
pub(crate) fn approval(approval_id: &str, tool_name: &str, input: &str) -> pb::ApprovalRequest {
    pb::ApprovalRequest {
        approval_id: approval_id.to_owned(),
        tool_call: Some(pb::ToolCall {
            tool_call_id: "c1".to_owned(),
            tool_name: tool_name.to_owned(),
            input_json: input.to_owned(),
            executor: pb::ToolExecutor::Server.into(),
            ..Default::default()
        }),
        reason: "it moves money".to_owned(),
        digest: b"digest of "
            .iter()
            .copied()
            .chain(approval_id.bytes())
            .collect(),
        ..Default::default()
    }
}

pub(crate) fn session(session_id: &str) -> pb::Session {
    pb::Session {
        session_id: session_id.to_owned(),
        agent_id: "assistant".to_owned(),
        state: pb::SessionState::Idle.into(),
        message_count: 2,
        ..Default::default()
    }
}

pub(crate) fn message(role: pb::Role, text: &str) -> pb::Message {
    let block = pb::content_block::Block::Text(text.to_owned());
    pb::Message {
        role: role.into(),
        content: vec![pb::ContentBlock { block: Some(block) }],
        ..Default::default()
    }
}
