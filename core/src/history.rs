//! The conversation in a form that the model always takes.
//!
//! Roles alternate, no message is empty, and the calls of an assistant's message are answered by
//! the user's message after it. The owner keeps the last part by calling
//! [`History::answer`] before anything else follows a message with open calls.

mod repair;
mod view;

use std::{collections::BTreeSet, sync::Arc};

pub(crate) use self::repair::NOT_KNOWN;
pub use self::repair::Repair;
pub(crate) use self::view::{Cut, View};
use crate::{
    message::{Block, Marking, Message, Origin, Reasoning, Role},
    saved::{self, HistoryChange},
    tool::ToolResult,
};

/// A conversation.
#[derive(Clone, Debug, Default)]
pub struct History {
    messages: Vec<Arc<Message>>,
    size_bytes: usize,
    blocks: usize,
    stored: Stored,
    view: View,
}

/// What of a history is kept elsewhere.
#[derive(Clone, Copy, Debug, Default)]
struct Stored {
    /// Messages that are kept.
    len: usize,
    /// Of these, the first ones that are still the same.
    same: usize,
}

impl PartialEq for History {
    fn eq(&self, other: &Self) -> bool {
        self.messages == other.messages
    }
}

/// A point to which a history can be taken back.
#[derive(Clone, Debug, PartialEq)]
pub struct Mark {
    len: usize,
    // The last message grows when another of its role joins it, so its former self is kept.
    last: Option<Arc<Message>>,
    size_bytes: usize,
    blocks: usize,
}

impl History {
    /// Every message, oldest first, also those that the model is no longer sent.
    ///
    /// Neighbours of one role are of different [`Marking`]s; [`History::sent`] joins them.
    pub fn messages(&self) -> &[Arc<Message>] {
        &self.messages
    }

    /// Bytes that the content holds in memory.
    pub fn size_bytes(&self) -> usize {
        self.size_bytes
    }

    /// Number of blocks of all messages.
    pub fn block_count(&self) -> usize {
        self.blocks
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
            blocks: self.blocks,
        }
    }

    /// Takes up a history that was kept, and tells what was wrong with it.
    ///
    /// `is_open` says that the calls of the last message may want their results still.
    pub(crate) fn restore(
        messages: Vec<Message>,
        view: View,
        is_open: bool,
    ) -> (Self, BTreeSet<Repair>) {
        let len = messages.len();
        let (messages, repairs) = repair::repaired(messages, is_open);
        let mut history = Self {
            size_bytes: messages.iter().map(Message::size_bytes).sum(),
            blocks: messages.iter().map(|message| message.content.len()).sum(),
            stored: Stored {
                len,
                same: if repairs.is_empty() { len } else { 0 },
            },
            messages: messages.into_iter().map(Arc::new).collect(),
            view: View::default(),
        };
        if repairs.is_empty() {
            history.restore_view(view);
        }
        (history, repairs)
    }

    /// Tells what has changed since it was last asked.
    pub(crate) fn take_change(&mut self) -> Option<HistoryChange> {
        let len = self.messages.len();
        let Stored { len: stored, same } = self.stored;
        if same == stored && stored == len {
            return None;
        }
        self.stored = Stored { len, same: len };
        Some(HistoryChange {
            keep: same,
            added: self.messages[same..].to_vec(),
        })
    }

    /// Writes a mark of this history.
    pub(crate) fn save_mark(&self, mark: &Mark) -> saved::Mark {
        let here = mark.len.checked_sub(1).and_then(|at| self.messages.get(at));
        let is_here = match (here, &mark.last) {
            (Some(here), Some(last)) => Arc::ptr_eq(here, last),
            (Some(_) | None, _) => false,
        };
        saved::Mark {
            len: mark.len,
            last: mark.last.clone().filter(|_| !is_here),
        }
    }

    /// Reads a mark that [`History::save_mark`] wrote.
    ///
    /// Where the history is not the one that it was written for, since it was damaged, the mark
    /// is moved to a point at which the history can be cut.
    pub(crate) fn restore_mark(&self, saved: saved::Mark) -> Mark {
        let mut len = saved.len.min(self.messages.len());
        while len > 0 && self.messages[len - 1].open_calls().next().is_some() {
            len -= 1;
        }
        let mut before: Vec<Arc<Message>> = self.messages[..len].to_vec();
        if let (Some(slot), Some(last)) = (before.last_mut(), saved.last)
            && slot.role == last.role
            && slot.content.starts_with(&last.content)
        {
            *slot = last;
        }
        Mark {
            len,
            last: before.last().cloned(),
            size_bytes: before.iter().map(|message| message.size_bytes()).sum(),
            blocks: before.iter().map(|message| message.content.len()).sum(),
        }
    }

    /// Forgets what came after `mark`.
    pub fn rollback(&mut self, mark: &Mark) {
        self.messages.truncate(mark.len);
        self.stored.same = self.stored.same.min(self.messages.len());
        if let (Some(slot), Some(last)) = (self.messages.last_mut(), &mark.last)
            && !Arc::ptr_eq(slot, last)
        {
            *slot = Arc::clone(last);
            self.stored.same = self.stored.same.min(self.messages.len() - 1);
        }
        self.size_bytes = mark.size_bytes;
        self.blocks = mark.blocks;
        self.view.keep_within(self.messages.len());
    }

    /// Adds a conversation that a caller brought; neighbours of one role and marking become one
    /// message.
    ///
    /// Blocks that cannot be sent are left out, as by [`History::add_user`] and
    /// [`History::add_assistant`].
    pub fn extend(&mut self, messages: Vec<Message>) {
        for message in messages {
            match message.role {
                Role::User | Role::System => self.push(without_blanks(message)),
                Role::Assistant => {
                    self.add_assistant(&Arc::new(message));
                }
            }
        }
    }

    /// Adds to the user's side; joins the user's message that stands last, if one does.
    ///
    /// Blocks that Bedrock refuses in any message (blank text) are left out.
    pub fn add_user(&mut self, content: Vec<Block>, origin: Option<Origin>) {
        self.push(without_blanks(Message {
            role: Role::User,
            content,
            origin,
            marking: Marking::Unmarked,
        }));
    }

    /// Adds what the model said, without the blocks that cannot be sent back.
    ///
    /// Left out are blank text, media that failed, a provider-run call without its result and such
    /// a result without its call, and the whole message when nothing but reasoning would remain.
    /// Words that go on where the caller's last message ended join it. Returns the message as
    /// added.
    pub fn add_assistant(&mut self, message: &Arc<Message>) -> Option<Arc<Message>> {
        let content: Vec<Block> = message
            .content
            .iter()
            .filter(|block| is_sendable(block, &message.content))
            .cloned()
            .collect();
        if content
            .iter()
            .all(|block| is_void(block) || matches!(block, Block::Reasoning(_)))
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
        self.push_shared(Arc::clone(&kept));
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
        content.extend(extra);
        let message = without_blanks(Message {
            role: Role::User,
            content,
            origin,
            marking: Marking::Unmarked,
        });
        if message.content.is_empty() {
            return None;
        }
        self.push(message);
        self.messages.last().cloned()
    }

    fn push(&mut self, mut message: Message) {
        if !message.content.is_empty() {
            put_results_first(&mut message);
            self.push_shared(Arc::new(message));
        }
    }

    fn push_shared(&mut self, message: Arc<Message>) {
        self.size_bytes += message.size_bytes();
        self.blocks += message.content.len();
        let len = self.messages.len();
        let is_sent = len > self.view.from();
        match self.messages.last_mut() {
            Some(last) if is_sent && are_one(last, &message) => {
                self.stored.same = self.stored.same.min(len - 1);
                join(Arc::make_mut(last), &message);
            }
            Some(_) | None => self.messages.push(message),
        }
    }
}

/// True for neighbours that become one message.
///
/// Where calls and results are concerned that is so however they are marked: the results of an
/// answer's calls stand in the message that follows the answer.
fn are_one(last: &Message, next: &Message) -> bool {
    let are_alike = last.marking == next.marking && next.marking != Marking::Summary;
    let is_of_calls = next.role == Role::Assistant || next.holds_results();
    last.role == next.role && (are_alike || is_of_calls)
}

/// Adds a message to one of its role.
fn join(last: &mut Message, next: &Message) {
    last.content.extend(next.content.iter().cloned());
    last.origin = next.origin.clone().or(last.origin.take());
    if last.marking != next.marking {
        let markings = [last.marking, next.marking];
        last.marking = if markings.contains(&Marking::Pinned) {
            Marking::Pinned
        } else {
            Marking::Unmarked
        };
    }
    put_results_first(last);
}

/// Bedrock wants the results of tools before anything else that the user says.
fn put_results_first(message: &mut Message) {
    if message.role == Role::User {
        message
            .content
            .sort_by_key(|block| !matches!(block, Block::ToolResult(_)));
    }
}

fn without_blanks(mut message: Message) -> Message {
    message.content.retain(|block| !is_blank(block));
    message
}

fn is_blank(block: &Block) -> bool {
    matches!(block, Block::Text(text) if text.trim().is_empty())
}

/// True for a block that makes no message by itself.
pub(crate) fn is_void(block: &Block) -> bool {
    is_blank(block) || matches!(block, Block::CachePoint(_))
}

fn is_sendable(block: &Block, siblings: &[Block]) -> bool {
    match block {
        Block::Text(text) => !text.trim().is_empty(),
        Block::CitedText(cited) => cited.texts.iter().any(|text| !text.trim().is_empty()),
        Block::Image(image) => image.source.is_some(),
        Block::Audio(audio) => audio.source.is_some(),
        // A model may keep its reasoning to itself and give the signature alone.
        Block::Reasoning(Reasoning::Text { text, signature }) => {
            !text.is_empty() || signature.as_ref().is_some_and(|text| !text.is_empty())
        }
        Block::Reasoning(Reasoning::Redacted(bytes)) => !bytes.is_empty(),
        Block::ToolCall(call) if call.is_provider_run() => siblings.iter().any(
            |sibling| matches!(sibling, Block::ToolResult(result) if result.call_id == call.id),
        ),
        Block::ToolResult(result) => siblings.iter().any(|sibling| {
            matches!(sibling, Block::ToolCall(call) if call.is_provider_run() && call.id == result.call_id)
        }),
        Block::ToolCall(_)
        | Block::Document(_)
        | Block::Video(_)
        | Block::SearchResult(_)
        | Block::GuardContent(_)
        | Block::CachePoint(_)
        | Block::ToolAddition(_)
        | Block::ToolRemoval(_) => true,
    }
}
