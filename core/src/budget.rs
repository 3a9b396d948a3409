//! What a turn may spend: model calls, tokens and cost, reserved before each call and settled
//! after it.

use std::num::{NonZeroU32, NonZeroU64};

use serde::{Deserialize, Serialize};

use crate::{
    message::{Block, GuardContent},
    options::{SystemBlock, TurnOptions},
    price::Price,
    tool::{Allowance, ToolResultBlock, ToolSpec},
    usage::Usage,
};

/// A turn's budget.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Budget {
    max_steps: u32,
    max_tokens: Option<u64>,
    steps: u32,
    spent_tokens: u64,
    #[serde(default)]
    max_cost: Option<u64>,
    #[serde(default)]
    spent_cost: u64,
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
    /// No tokens, or no money for any, are left for output.
    Tokens,
    /// The cost is limited, and what the model costs is not known.
    NoPrice,
}

impl Budget {
    /// Makes an untouched budget.
    pub fn new(max_steps: NonZeroU32, max_tokens: Option<NonZeroU64>) -> Self {
        Self {
            max_steps: max_steps.get(),
            max_tokens: max_tokens.map(NonZeroU64::get),
            steps: 0,
            spent_tokens: 0,
            max_cost: None,
            spent_cost: 0,
        }
    }

    /// Limits the cost, in picodollars.
    #[must_use]
    pub fn with_cost(self, max_cost: Option<u64>) -> Self {
        Self { max_cost, ..self }
    }

    /// True when so much is left, and more; a cost that is not known is more than any limit.
    pub fn has_more_cost_than(&self, cost: Option<u64>) -> bool {
        let Some(most) = self.max_cost else {
            return true;
        };
        cost.is_some_and(|cost| self.spent_cost.saturating_add(cost) < most)
    }

    /// What is left, in so many equal shares.
    pub fn share(&self, shares: u64) -> Allowance {
        let share = |most: Option<u64>, spent| {
            most.map(|most: u64| most.saturating_sub(spent) / shares.max(1))
        };
        Allowance {
            max_tokens: share(self.max_tokens, self.spent_tokens),
            max_cost: share(self.max_cost, self.spent_cost),
        }
    }

    /// Output tokens that are left beside an input of so many; `None` means no limit.
    fn left(&self, input_tokens: u64, price: Option<&Price>) -> Result<Option<u64>, Exhausted> {
        let tokens = self.max_tokens.map(|most| {
            let used = self.spent_tokens.saturating_add(input_tokens);
            most.saturating_sub(used)
        });
        let Some(max_cost) = self.max_cost else {
            return Ok(tokens);
        };
        let price = price.ok_or(Exhausted::NoPrice)?;
        let input = input_tokens.saturating_mul(price.dearest_input());
        let used = self.spent_cost.saturating_add(input);
        let money = max_cost.saturating_sub(used);
        // Where output is free, what is left of the money limits the input alone.
        let bought = match (money, price.output) {
            (0, _) => Some(0),
            (_, 0) => None,
            (money, output) => Some(money / output),
        };
        Ok(match (tokens, bought) {
            (Some(tokens), Some(bought)) => Some(tokens.min(bought)),
            (tokens, bought) => tokens.or(bought),
        })
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
    /// [`Exhausted`] when the limit on calls is reached, the input alone would use up the tokens or
    /// the money, or the cost is limited and the model has no price.
    pub fn reserve(
        &mut self,
        wanted: Option<NonZeroU32>,
        input_tokens: u64,
        price: Option<&Price>,
    ) -> Result<Reservation, Exhausted> {
        if self.steps >= self.max_steps {
            return Err(Exhausted::Steps);
        }
        let wanted = wanted.map(NonZeroU32::get);
        let reservation = match self.left(input_tokens, price)? {
            None => Reservation {
                max_tokens: wanted,
                clamped: false,
                watched_tokens: None,
            },
            Some(0) => return Err(Exhausted::Tokens),
            Some(left) => {
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
        self.spent_cost = self
            .spent_cost
            .saturating_add(usage.cost.unwrap_or_default());
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
    let tools = options.client_tools.iter().map(|tool| &**tool);
    estimate_tokens(system + blocks).saturating_add(estimate_tools(tools))
}

/// Estimates the input tokens that tools cost in each call.
pub fn estimate_tools<'a>(tools: impl IntoIterator<Item = &'a ToolSpec>) -> u64 {
    let sizes = tools
        .into_iter()
        .map(|tool| tool.name.len() + tool.description.len() + tool.schema.as_str().len());
    estimate_tokens(sizes.sum())
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
