//! What a turn may spend: model calls and tokens, reserved before each call and settled after it.

use std::num::{NonZeroU32, NonZeroU64};

use serde::{Deserialize, Serialize};

use crate::{
    message::{Block, GuardContent},
    options::{SystemBlock, TurnOptions},
    tool::ToolResultBlock,
    usage::Usage,
};

/// A turn's budget.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Budget {
    max_steps: u32,
    max_tokens: Option<u64>,
    steps: u32,
    spent_tokens: u64,
}

/// What a model call may spend.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reservation {
    /// Most output tokens, where limited.
    pub max_tokens: Option<u32>,
    /// The budget, and not the caller's own wish, sets that limit.
    pub clamped: bool,
    /// Output tokens after which the call is to be cut, where no limit is sent that would stop it.
    pub watched_tokens: Option<u64>,
}

/// The smallest output limit among the models that the budget may meet.
///
/// Bedrock refuses a wish above the model's own limit, which the core does not know. So a budget
/// above this figure is not sent as a limit but watched: Llama 3 generates at most 2,048 tokens.
/// <https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-meta.html>
const SURE_MAX_TOKENS: u64 = 2_048;

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

    /// True while the limit on calls allows another.
    pub fn has_steps(&self) -> bool {
        self.steps < self.max_steps
    }

    /// True when so many tokens are left, and more.
    pub fn has_more_than(&self, tokens: u64) -> bool {
        let used = self.spent_tokens.saturating_add(tokens);
        self.max_tokens.is_none_or(|most| used < most)
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
                watched_tokens: None,
            },
            Some(max_tokens) => {
                let used = self.spent_tokens.saturating_add(input_tokens);
                let left = max_tokens.saturating_sub(used);
                if left == 0 {
                    return Err(Exhausted::Tokens);
                }
                let most = wanted.map_or(SURE_MAX_TOKENS, u64::from);
                match (u32::try_from(left), wanted) {
                    (Ok(fits), _) if left < most => Reservation {
                        max_tokens: Some(fits),
                        clamped: true,
                        watched_tokens: None,
                    },
                    (_, Some(wanted)) => Reservation {
                        max_tokens: Some(wanted),
                        clamped: false,
                        watched_tokens: None,
                    },
                    (_, None) => Reservation {
                        max_tokens: None,
                        clamped: false,
                        watched_tokens: Some(left),
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

/// Estimates the input tokens of what was said.
pub fn estimate_input<'a>(blocks: impl IntoIterator<Item = &'a Block>) -> u64 {
    blocks.into_iter().map(estimate_block).sum()
}

/// Estimates the input tokens that system prompt and tools cost in each call.
pub fn estimate_options(options: &TurnOptions) -> u64 {
    let system = options.system.as_ref().map_or(0, String::len);
    let blocks: usize = options
        .system_content
        .iter()
        .map(|block| match block {
            SystemBlock::Text(text) => text.len(),
            SystemBlock::GuardContent(GuardContent::Text { text, .. }) => text.len(),
            SystemBlock::GuardContent(GuardContent::Image { .. }) | SystemBlock::CachePoint(_) => 0,
        })
        .sum();
    let tools: usize = options
        .client_tools
        .iter()
        .map(|tool| tool.name.len() + tool.description.len() + tool.schema.as_str().len())
        .sum();
    estimate_tokens(system + blocks + tools)
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
