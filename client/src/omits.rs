//! What a reader of a stream does not want to see.

use crate::{Event, event::Payload, pb};

/// Kinds of events that are left out.
///
/// The server leaves them out of the streams that were asked for with these options; one that is
/// resumed does not know them.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Omits {
    reasoning: bool,
    deltas: bool,
}

impl Omits {
    pub(crate) fn of(stream: Option<&pb::StreamOptions>) -> Self {
        stream.map_or_else(Self::default, |stream| Self {
            reasoning: stream.omit_reasoning,
            deltas: stream.omit_deltas,
        })
    }

    /// The event as the caller wants it, who may not want it at all.
    pub(crate) fn leave(self, mut event: Event) -> Option<Event> {
        use pb::content_block::Block;

        let is_reasoning =
            |block: &pb::ContentBlock| matches!(block.block, Some(Block::Reasoning(_)));
        let is_delta = matches!(
            event.payload,
            Payload::TextDelta(_)
                | Payload::ReasoningDelta(_)
                | Payload::ToolCallDelta(_)
                | Payload::CitationDelta(_)
                | Payload::ImageDelta(_)
        );
        if self.deltas && is_delta {
            return None;
        }
        if !self.reasoning {
            return Some(event);
        }
        if let Payload::TurnEnded(result) = &mut event.payload {
            let messages = result.message.iter_mut();
            for message in messages.chain(&mut result.intermediate_messages) {
                message.content.retain(|block| !is_reasoning(block));
            }
        }
        let is_about_reasoning = if let Payload::BlockStarted(started) = &event.payload {
            started.kind() == pb::BlockKind::Reasoning
        } else if let Payload::BlockCompleted(completed) = &event.payload {
            completed.block.as_ref().is_some_and(is_reasoning)
        } else {
            matches!(event.payload, Payload::ReasoningDelta(_))
        };
        (!is_about_reasoning).then_some(event)
    }
}
