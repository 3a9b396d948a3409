//! What a turn may spend: model calls and tokens, reserved before each call and settled after it.

use std::num::{NonZeroU32, NonZeroU64};

use crate::{
    message::{Block, Message},
    tool::ToolResultBlock,
    usage::Usage,
};

/// A turn's budget.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Budget {
    max_steps: u32,
    max_tokens: Option<u64>,
    steps: u32,
    spent_tokens: u64,
}

/// What a model call may spend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reservation {
    /// Most output tokens, where limited.
    pub max_tokens: Option<u32>,
    /// The budget, and not the caller's own wish, sets that limit.
    pub clamped: bool,
}

/// Why no further model call may be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exhausted {
    /// The step limit is reached.
    Steps,
    /// No tokens are left for any output.
    Tokens,
}

impl Budget {
    /// Makes an untouched budget.
    pub fn new(max_steps: NonZeroU32, max_tokens: Option<NonZeroU64>) -> Self {
        Self {
            max_steps: max_steps.get(),
            max_tokens: max_tokens.map(NonZeroU64::get),
            steps: 0,
            spent_tokens: 0,
        }
    }

    /// Reserves one model call whose input is about `input_tokens`.
    ///
    /// # Errors
    ///
    /// [`Exhausted`] when the limit on calls is reached, or the input alone would use up the tokens.
    pub fn reserve(
        &mut self,
        wanted: Option<NonZeroU32>,
        input_tokens: u64,
    ) -> Result<Reservation, Exhausted> {
        if self.steps >= self.max_steps {
            return Err(Exhausted::Steps);
        }
        let wanted = wanted.map(NonZeroU32::get);
        let reservation = match self.max_tokens {
            None => Reservation {
                max_tokens: wanted,
                clamped: false,
            },
            Some(max_tokens) => {
                let used = self.spent_tokens.saturating_add(input_tokens);
                let left = max_tokens.saturating_sub(used);
                if left == 0 {
                    return Err(Exhausted::Tokens);
                }
                let left = u32::try_from(left).unwrap_or(u32::MAX);
                match wanted {
                    Some(wanted) if wanted <= left => Reservation {
                        max_tokens: Some(wanted),
                        clamped: false,
                    },
                    Some(_) | None => Reservation {
                        max_tokens: Some(left),
                        clamped: true,
                    },
                }
            }
        };
        self.steps += 1;
        Ok(reservation)
    }

    /// Settles a model call.
    pub fn settle(&mut self, usage: &Usage) {
        self.spent_tokens = self.spent_tokens.saturating_add(usage.total_tokens);
    }
}

/// Estimates tokens of text: four bytes each, the usual rule for English; a guess elsewhere.
pub fn estimate_tokens(bytes: usize) -> u64 {
    (bytes as u64).div_ceil(4)
}

/// Estimates the input tokens of a conversation.
pub fn estimate_input<'a>(messages: impl IntoIterator<Item = &'a Message>) -> u64 {
    messages
        .into_iter()
        .flat_map(|message| &message.content)
        .map(estimate_block)
        .sum()
}

fn estimate_block(block: &Block) -> u64 {
    // An image of the largest size that Claude takes without scaling costs about 1,600 tokens:
    // https://docs.claude.com/en/docs/build-with-claude/vision
    const MEDIA_TOKENS: u64 = 1_600;
    match block {
        Block::Image(_) | Block::Video(_) | Block::Audio(_) => MEDIA_TOKENS,
        Block::ToolResult(result) => result
            .content
            .iter()
            .map(|block| match block {
                ToolResultBlock::Text(text) | ToolResultBlock::Json(text) => {
                    estimate_tokens(text.len())
                }
                ToolResultBlock::SearchResult(result) => estimate_tokens(result.size_bytes()),
                ToolResultBlock::Document(document) => estimate_tokens(document.size_bytes()),
                ToolResultBlock::Image(_) | ToolResultBlock::Video(_) => MEDIA_TOKENS,
            })
            .sum(),
        Block::Text(_)
        | Block::Document(_)
        | Block::ToolCall(_)
        | Block::Reasoning(_)
        | Block::CitedText(_)
        | Block::SearchResult(_)
        | Block::GuardContent(_)
        | Block::CachePoint(_)
        | Block::ToolAddition(_)
        | Block::ToolRemoval(_) => estimate_tokens(block.size_bytes()),
    }
}
