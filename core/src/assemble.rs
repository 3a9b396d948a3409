//! Folds the pieces of a model's message into blocks, and tells each piece as an event.

mod partial;

use std::{
    collections::{BTreeMap, btree_map::Entry},
    sync::Arc,
};

use bytes::BytesMut;

use self::partial::{Partial, implied_start, text_block};
use crate::{
    error::{Failure, Reason},
    event::{BlockKind, Payload},
    limits::MAX_MESSAGE_BLOCKS,
    message::Block,
    model::{BlockDelta, BlockStart},
};

/// The message of one model call, as far as it came.
#[derive(Clone, Debug)]
pub struct Assembler {
    step: String,
    slots: BTreeMap<u32, Slot>,
    size_bytes: usize,
    /// Blocks, and pieces of blocks that are kept apart.
    pieces: usize,
    provider_calls: u32,
    max_bytes: usize,
}

#[derive(Clone, Debug)]
enum Slot {
    Open(Partial),
    Done(Block),
}

/// Where events about blocks go: the block's index, and what happened to it.
pub trait Sink {
    /// Takes one event.
    fn tell(&mut self, block_index: u32, payload: Payload);
}

impl<F: FnMut(u32, Payload)> Sink for F {
    fn tell(&mut self, block_index: u32, payload: Payload) {
        self(block_index, payload);
    }
}

impl Assembler {
    /// Starts an empty message of at most `max_bytes`.
    ///
    /// `step` names the model call; the idempotency keys of its tool calls begin with it.
    pub fn new(step: String, max_bytes: usize) -> Self {
        Self {
            step,
            slots: BTreeMap::new(),
            size_bytes: 0,
            pieces: 0,
            provider_calls: 0,
            max_bytes,
        }
    }

    /// Takes up a message of which this is left.
    pub(crate) fn of(blocks: Vec<Block>) -> Self {
        let calls = blocks
            .iter()
            .filter(|block| matches!(block, Block::ToolCall(call) if call.is_provider_run()));
        Self {
            provider_calls: u32::try_from(calls.count()).unwrap_or(u32::MAX),
            size_bytes: blocks.iter().map(Block::size_bytes).sum(),
            pieces: blocks.len(),
            slots: (0..).zip(blocks.into_iter().map(Slot::Done)).collect(),
            ..Self::new(String::new(), usize::MAX)
        }
    }

    /// Bytes of output so far.
    pub fn size_bytes(&self) -> usize {
        self.size_bytes
    }

    /// Number of complete calls that the provider runs itself.
    pub fn provider_calls(&self) -> u32 {
        self.provider_calls
    }

    /// Begins an announced block.
    ///
    /// # Errors
    ///
    /// When the block began before, or its names are not what Bedrock allows: the model's stream
    /// is broken.
    pub fn start(
        &mut self,
        index: u32,
        start: BlockStart,
        sink: &mut impl Sink,
    ) -> Result<(), Failure> {
        if self.slots.contains_key(&index) {
            return Err(broken("a content block began twice"));
        }
        self.count_pieces(1)?;
        let (partial, kind) = match start {
            BlockStart::ToolCall {
                id,
                name,
                provider_run,
            } => {
                self.check_call(&id, &name)?;
                let id: Arc<str> = id.into();
                let kind = BlockKind::ToolCall {
                    id: Arc::clone(&id),
                    name: name.clone(),
                };
                (
                    Partial::ToolCall {
                        id,
                        name,
                        provider_run,
                        input: String::new(),
                    },
                    kind,
                )
            }
            BlockStart::ToolResult {
                call_id,
                kind,
                is_error,
            } => {
                let call_id: Arc<str> = call_id.into();
                let told = BlockKind::ToolResult {
                    call_id: Arc::clone(&call_id),
                };
                (
                    Partial::ToolResult {
                        call_id,
                        kind,
                        is_error,
                        content: Vec::new(),
                    },
                    told,
                )
            }
            BlockStart::Image(format) => (
                Partial::Image {
                    format,
                    data: BytesMut::new(),
                    object: None,
                    error: None,
                },
                BlockKind::Image(format),
            ),
        };
        self.slots.insert(index, Slot::Open(partial));
        sink.tell(index, Payload::BlockStarted(kind));
        Ok(())
    }

    /// Adds a piece to a block; the first piece of text or reasoning begins it.
    ///
    /// # Errors
    ///
    /// When the piece does not fit its block, or the message grows beyond its limit.
    pub fn add(
        &mut self,
        index: u32,
        delta: BlockDelta,
        sink: &mut impl Sink,
    ) -> Result<(), Failure> {
        let begins = usize::from(!self.slots.contains_key(&index));
        self.count_pieces(begins + delta.kept_pieces())?;
        self.size_bytes = self.size_bytes.saturating_add(delta.size_bytes());
        if self.size_bytes > self.max_bytes {
            let text = format!("the model's answer is larger than {} bytes", self.max_bytes);
            return Err(Failure::new(Reason::LimitExceeded, text));
        }
        let slot = match self.slots.entry(index) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(vacant) => {
                let (partial, kind) = implied_start(&delta)?;
                sink.tell(index, Payload::BlockStarted(kind));
                vacant.insert(Slot::Open(partial))
            }
        };
        let Slot::Open(partial) = slot else {
            return Err(broken("a piece came for a content block that had ended"));
        };
        partial.add(delta, |payload| sink.tell(index, payload))
    }

    /// Completes a block; one of which nothing came is no block.
    ///
    /// # Errors
    ///
    /// When the block had ended before.
    pub fn stop(&mut self, index: u32, sink: &mut impl Sink) -> Result<(), Failure> {
        let Some(slot) = self.slots.get_mut(&index) else {
            return Ok(());
        };
        let Slot::Open(partial) = slot else {
            return Err(broken("a content block ended twice"));
        };
        let block = partial.take(&self.step);
        *slot = Slot::Done(block.clone());
        let provider_call = if let Block::ToolCall(call) = &block
            && call.is_provider_run()
        {
            Some(call.clone())
        } else {
            None
        };
        sink.tell(index, Payload::BlockCompleted(block));
        if let Some(call) = provider_call {
            self.provider_calls += 1;
            sink.tell(index, Payload::ToolCall(call));
        }
        Ok(())
    }

    /// Completes the message at its stop: text and reasoning still open are taken as complete.
    ///
    /// # Errors
    ///
    /// When a tool call or an image is still open: half of it is nothing to act on.
    pub fn finish(&mut self, sink: &mut impl Sink) -> Result<(), Failure> {
        let open: Vec<u32> = self
            .slots
            .iter()
            .filter_map(|(index, slot)| matches!(slot, Slot::Open(_)).then_some(*index))
            .collect();
        for index in open {
            let whole = matches!(
                self.slots.get(&index),
                Some(Slot::Open(
                    Partial::Text { .. } | Partial::Reasoning { .. } | Partial::Redacted(_)
                ))
            );
            if !whole {
                return Err(broken("the message ended inside a content block"));
            }
            self.stop(index, sink)?;
        }
        Ok(())
    }

    /// The blocks that came: complete ones, and open text as far as it came.
    ///
    /// Open reasoning is left out, since it cannot be sent back without its signature, and so are
    /// open tool calls and images, which are nothing without their rest.
    pub fn blocks(&self) -> Vec<Block> {
        self.slots
            .values()
            .filter_map(|slot| match slot {
                Slot::Done(block) => Some(block.clone()),
                Slot::Open(Partial::Text { text, citations }) if !text.is_empty() => {
                    Some(text_block(text.clone(), citations.clone()))
                }
                Slot::Open(
                    Partial::Text { .. }
                    | Partial::Reasoning { .. }
                    | Partial::Redacted(_)
                    | Partial::ToolCall { .. }
                    | Partial::ToolResult { .. }
                    | Partial::Image { .. },
                ) => None,
            })
            .collect()
    }

    /// Bounds what pieces without content cost.
    fn count_pieces(&mut self, more: usize) -> Result<(), Failure> {
        self.pieces += more;
        if self.pieces <= MAX_MESSAGE_BLOCKS {
            return Ok(());
        }
        let text = format!("the model's answer has more than {MAX_MESSAGE_BLOCKS} blocks");
        Err(Failure::new(Reason::LimitExceeded, text))
    }

    fn check_call(&self, id: &str, name: &str) -> Result<(), Failure> {
        // https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ToolUseBlock.html
        let id_fits = |c: char| c.is_ascii_alphanumeric() || "_.:-".contains(c);
        let name_fits = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
        let fits = (1..=64).contains(&id.len())
            && id.chars().all(id_fits)
            && (1..=64).contains(&name.len())
            && name.chars().all(name_fits);
        if !fits {
            return Err(broken("a tool call has a malformed id or name"));
        }
        let repeated = self.slots.values().any(|slot| match slot {
            Slot::Open(Partial::ToolCall { id: known, .. }) => &**known == id,
            Slot::Done(Block::ToolCall(call)) => call.id == id,
            Slot::Open(_) | Slot::Done(_) => false,
        });
        if repeated {
            Err(broken("two tool calls have the same id"))
        } else {
            Ok(())
        }
    }
}

fn broken(text: &str) -> Failure {
    Failure::new(
        Reason::ModelStreamError,
        format!("the model's stream is broken: {text}"),
    )
}
