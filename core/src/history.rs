//! The conversation in a form that the model always takes.
//!
//! Roles alternate, no message is empty, and the calls of an assistant's message are answered by
//! the user's message after it. The owner keeps the last part by calling
//! [`History::answer`] before anything else follows a message with open calls.

use std::sync::Arc;

use crate::{
    message::{Block, Message, Origin, Reasoning, Role},
    tool::ToolResult,
};

/// A conversation.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct History {
    messages: Vec<Arc<Message>>,
    size_bytes: usize,
}

/// A point to which a history can be taken back.
#[derive(Clone, Debug, PartialEq)]
pub struct Mark {
    len: usize,
    // The last message grows when a user's message joins it, so its former self is kept.
    last: Option<Arc<Message>>,
    size_bytes: usize,
}

impl History {
    /// Every message, oldest first.
    pub fn messages(&self) -> &[Arc<Message>] {
        &self.messages
    }

    /// Bytes that the content holds in memory.
    pub fn size_bytes(&self) -> usize {
        self.size_bytes
    }

    /// True when nothing was said yet.
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Remembers this point.
    pub fn mark(&self) -> Mark {
        Mark {
            len: self.messages.len(),
            last: self.messages.last().cloned(),
            size_bytes: self.size_bytes,
        }
    }

    /// Forgets what came after `mark`.
    pub fn rollback(&mut self, mark: &Mark) {
        self.messages.truncate(mark.len);
        if let (Some(slot), Some(last)) = (self.messages.last_mut(), &mark.last) {
            *slot = Arc::clone(last);
        }
        self.size_bytes = mark.size_bytes;
    }

    /// Adds a conversation that a caller brought; neighbours of one role become one message.
    pub fn extend(&mut self, messages: Vec<Message>) {
        for message in messages {
            self.push(message);
        }
    }

    /// Adds to the user's side; joins the user's message that stands last, if one does.
    ///
    /// Blocks that Bedrock refuses in any message (blank text) are left out.
    pub fn add_user(&mut self, content: Vec<Block>, origin: Option<Origin>) {
        let content: Vec<Block> = content
            .into_iter()
            .filter(|block| !is_blank(block))
            .collect();
        self.push(Message {
            role: Role::User,
            content,
            origin,
        });
    }

    /// Adds what the model said, without the blocks that cannot be sent back.
    ///
    /// Left out are blank text, media that failed, a provider-run call without its result, and the
    /// whole message when nothing but reasoning would remain. Returns the message as added.
    pub fn add_assistant(&mut self, message: &Arc<Message>) -> Option<Arc<Message>> {
        let content: Vec<Block> = message
            .content
            .iter()
            .filter(|block| is_sendable(block, &message.content))
            .cloned()
            .collect();
        if content
            .iter()
            .all(|block| matches!(block, Block::Reasoning(_)))
        {
            return None;
        }
        let kept = if content.len() == message.content.len() {
            Arc::clone(message)
        } else {
            Arc::new(Message {
                content,
                ..Message::clone(message)
            })
        };
        self.size_bytes += kept.size_bytes();
        self.messages.push(Arc::clone(&kept));
        Some(kept)
    }

    /// Answers the open calls of the assistant's message that stands last.
    ///
    /// `results` are given in any order and put in the order of the calls; a call without a result
    /// gets an error that says `otherwise`. `extra` follows in the same message. Returns the
    /// message, unless there is nothing to say.
    pub fn answer(
        &mut self,
        results: Vec<ToolResult>,
        otherwise: &str,
        extra: Vec<Block>,
        origin: Option<Origin>,
    ) -> Option<Arc<Message>> {
        let mut results = results;
        let mut content = Vec::new();
        if let Some(last) = self
            .messages
            .last()
            .filter(|last| last.role == Role::Assistant)
        {
            for call in last.open_calls() {
                let given = results.iter().position(|result| result.call_id == call.id);
                let result = match given {
                    Some(index) => results.swap_remove(index),
                    None => ToolResult::error(call.id.clone(), otherwise),
                };
                content.push(Block::ToolResult(result));
            }
        }
        content.extend(extra.into_iter().filter(|block| !is_blank(block)));
        if content.is_empty() {
            return None;
        }
        self.push(Message {
            role: Role::User,
            content,
            origin,
        });
        self.messages.last().cloned()
    }

    fn push(&mut self, mut message: Message) {
        if message.content.is_empty() {
            return;
        }
        self.size_bytes += message.size_bytes();
        match self.messages.last_mut() {
            Some(last) if last.role == message.role => {
                let last = Arc::make_mut(last);
                last.content.append(&mut message.content);
                last.origin = message.origin.or(last.origin.take());
            }
            Some(_) | None => self.messages.push(Arc::new(message)),
        }
    }
}

fn is_blank(block: &Block) -> bool {
    matches!(block, Block::Text(text) if text.trim().is_empty())
}

fn is_sendable(block: &Block, siblings: &[Block]) -> bool {
    match block {
        Block::Text(text) => !text.trim().is_empty(),
        Block::CitedText(cited) => cited.texts.iter().any(|text| !text.trim().is_empty()),
        Block::Image(image) => image.source.is_some(),
        Block::Audio(audio) => audio.source.is_some(),
        Block::Reasoning(Reasoning::Text { text, .. }) => !text.is_empty(),
        Block::Reasoning(Reasoning::Redacted(bytes)) => !bytes.is_empty(),
        Block::ToolCall(call) if call.is_provider_run() => siblings.iter().any(
            |sibling| matches!(sibling, Block::ToolResult(result) if result.call_id == call.id),
        ),
        Block::ToolCall(_)
        | Block::ToolResult(_)
        | Block::Document(_)
        | Block::Video(_)
        | Block::SearchResult(_)
        | Block::GuardContent(_)
        | Block::CachePoint(_)
        | Block::ToolAddition(_)
        | Block::ToolRemoval(_) => true,
    }
}
