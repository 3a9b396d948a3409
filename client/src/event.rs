//! One event of a session, as a reader gets it.

use prost_types::Timestamp;

use crate::pb;

/// What happened; the variants are those of the contract.
///
/// Match on what you need and leave the rest to a wildcard arm: servers may
/// tell more than this version knows, and what it does not know is skipped.
pub use crate::pb::event::Payload;

/// One event of a session.
///
/// Its place in the session comes with it, what happened is the
/// [`payload`](Self::payload).
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Event {
    /// Position in the session, from 1, rising without gaps; zero on events
    /// that concern this stream alone, such as a heartbeat.
    pub sequence: i64,
    /// Turn it belongs to; empty for events of the session itself.
    pub turn_id: String,
    /// When the server made it.
    pub time: Option<Timestamp>,
    /// Model call within the turn, from 0.
    pub step_index: i32,
    /// Content block within the step, from 0, for events about a block.
    pub block_index: i32,
    /// What happened.
    pub payload: Payload,
}

impl Event {
    /// The piece of the reply's text, when this is one.
    ///
    /// A turn with tools has several texts, such as one before a call and one after its result,
    /// and nothing stands between the last piece of one and the first of the next. Each is a block
    /// of its own: pieces belong together while [`step_index`](Self::step_index) and
    /// [`block_index`](Self::block_index) stay, and before the first comes
    /// [`Payload::BlockStarted`] of kind [`Text`](pb::BlockKind::Text).
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        if let Payload::TextDelta(delta) = &self.payload {
            Some(&delta.text)
        } else {
            None
        }
    }

    /// The piece of readable reasoning, when this is one.
    #[must_use]
    pub fn reasoning(&self) -> Option<&str> {
        if let Payload::ReasoningDelta(delta) = &self.payload
            && let Some(pb::reasoning_delta::Delta::Text(text)) = &delta.delta
        {
            Some(text)
        } else {
            None
        }
    }

    /// The tool call that the client must answer, when this is one.
    #[must_use]
    pub fn client_tool_call(&self) -> Option<&pb::ToolCall> {
        if let Payload::ToolCall(call) = &self.payload
            && call.executor() == pb::ToolExecutor::Client
        {
            Some(call)
        } else {
            None
        }
    }

    /// The question whether a tool call may run, when this is one.
    #[must_use]
    pub fn approval_request(&self) -> Option<&pb::ApprovalRequest> {
        if let Payload::ApprovalRequest(request) = &self.payload {
            Some(request)
        } else {
            None
        }
    }

    /// How a tool call goes that the server runs, when this tells it.
    #[must_use]
    pub fn tool_call_update(&self) -> Option<&pb::ToolCallUpdate> {
        if let Payload::ToolCallUpdate(update) = &self.payload {
            Some(update)
        } else {
            None
        }
    }

    /// The result of the turn that ended, when this is its last event.
    #[must_use]
    pub fn turn_ended(&self) -> Option<&pb::TurnResult> {
        if let Payload::TurnEnded(result) = &self.payload {
            Some(result)
        } else {
            None
        }
    }

    /// Reads an event as it is on the wire, such as one that was kept; none when
    /// its payload is not one that this version knows.
    #[must_use]
    pub fn read(event: pb::Event) -> Option<Self> {
        Some(Self {
            sequence: event.sequence,
            turn_id: event.turn_id,
            time: event.event_time,
            step_index: event.step_index,
            block_index: event.block_index,
            payload: event.payload?,
        })
    }
}

/// Gives the event back as it was on the wire, for those who print or pass it on.
impl From<Event> for pb::Event {
    fn from(event: Event) -> Self {
        Self {
            sequence: event.sequence,
            turn_id: event.turn_id,
            event_time: event.time,
            step_index: event.step_index,
            block_index: event.block_index,
            payload: Some(event.payload),
        }
    }
}

/// The readable text of a message: its text blocks and cited texts, in order,
/// with nothing between them.
#[must_use]
pub fn text_of(message: &pb::Message) -> String {
    use pb::content_block::Block;

    let mut text = String::new();
    for block in message
        .content
        .iter()
        .filter_map(|block| block.block.as_ref())
    {
        if let Block::Text(piece) = block {
            text.push_str(piece);
        } else if let Block::CitedText(cited) = block {
            text.extend(cited.texts.iter().map(String::as_str));
        }
    }
    text
}
