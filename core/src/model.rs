//! What is asked of a model, and what it says.

pub(crate) mod offering;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;

pub use self::offering::Offering;
use crate::{
    event::StopReason,
    guardrail::GuardrailOutcome,
    media::{ImageFormat, S3Object},
    message::{Citation, Message},
    options::TurnOptions,
    tool::{ToolChoice, ToolSpec},
    usage::{GrantedService, Usage},
};

/// One model call.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelRequest {
    /// Settled options of the turn; `model_id` is set, `max_tokens` is within the budget.
    pub options: Arc<TurnOptions>,
    /// Most tokens to generate, where limited: `options.max_tokens` within what the budget leaves.
    pub max_tokens: Option<u32>,
    /// Tools to offer, by the server, the client and the turn itself.
    pub tools: Vec<Arc<ToolSpec>>,
    /// How the model may choose among them.
    pub tool_choice: Option<ToolChoice>,
    /// How the reply is held to `options.output`, where that is set.
    pub reply_form: ReplyForm,
    /// About how many input tokens that is.
    pub input_tokens: u64,
    /// The conversation, in the form that Bedrock demands.
    pub messages: Vec<Arc<Message>>,
    /// When the answer is no longer wanted.
    pub deadline: Option<Instant>,
}

/// How a model is held to the form of its reply.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReplyForm {
    /// By the provider's own output format.
    #[default]
    Native,
    /// By a tool that takes the reply.
    Tool,
}

impl ReplyForm {
    /// What suits a model: the provider's own format, save for those that are known not to take it.
    pub fn of(model_id: &str) -> Self {
        // Families older than the format, which newer models are expected to take:
        // <https://docs.aws.amazon.com/bedrock/latest/userguide/structured-output.html>
        const WITHOUT: [&str; 17] = [
            "ai21.",
            "amazon.",
            "anthropic.claude-3",
            "anthropic.claude-instant",
            "anthropic.claude-opus-4-1",
            "anthropic.claude-opus-4-2",
            "anthropic.claude-sonnet-4-2",
            "anthropic.claude-v",
            "cohere.",
            "deepseek.r1",
            "meta.",
            "mistral.mistral-7b",
            "mistral.mistral-large-24",
            "mistral.mistral-small-24",
            "mistral.mixtral",
            "mistral.pixtral",
            "writer.",
        ];
        let name = model_id.rsplit('/').next().unwrap_or(model_id);
        let bare = name.split_once('.').map_or(name, |(_, rest)| rest);
        let is_without = |family: &&str| name.starts_with(family) || bare.starts_with(family);
        if WITHOUT.iter().any(is_without) {
            Self::Tool
        } else {
            Self::Native
        }
    }
}

/// What a model's stream says, in the order of the stream.
#[derive(Clone, Debug, PartialEq)]
pub enum ModelEvent {
    /// The message begins.
    MessageStart,
    /// A block that is announced begins: a tool call, a tool result or an image.
    BlockStart {
        /// The block's index in the message, from 0.
        index: u32,
        /// What the block is.
        start: BlockStart,
    },
    /// A piece of a block; the first piece of text or reasoning begins its block.
    BlockDelta {
        /// The block's index in the message, from 0.
        index: u32,
        /// The piece.
        delta: BlockDelta,
    },
    /// A block is complete.
    BlockStop {
        /// The block's index in the message, from 0.
        index: u32,
    },
    /// The message is complete.
    MessageStop(MessageStop),
    /// Counts and findings; follows the message's end.
    Metadata(Box<ModelMetadata>),
}

/// How an announced block begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BlockStart {
    /// A tool call.
    ToolCall {
        /// Its id.
        id: String,
        /// Tool called.
        name: String,
        /// The provider runs it.
        provider_run: bool,
    },
    /// The result of a tool that the provider ran.
    ToolResult {
        /// The call answered.
        call_id: String,
        /// Kind of result, as the provider knows it; may be empty.
        kind: String,
        /// The tool failed.
        is_error: bool,
    },
    /// A generated image.
    Image(ImageFormat),
}

/// A piece of a block.
#[derive(Clone, Debug, PartialEq)]
pub enum BlockDelta {
    /// Text.
    Text(String),
    /// A fragment of a tool call's input.
    ToolInput(String),
    /// Pieces of a provider-run tool's result.
    ToolResult(Vec<ToolResultDelta>),
    /// Readable reasoning.
    ReasoningText(String),
    /// The signature of the reasoning.
    ReasoningSignature(String),
    /// Encrypted reasoning.
    ReasoningRedacted(Bytes),
    /// A citation for the block's text.
    Citation(Citation),
    /// Image bytes.
    Image(Bytes),
    /// Where the image was put.
    ImageObject(S3Object),
    /// Why the image could not be made.
    ImageError(String),
}

impl BlockDelta {
    /// Pieces of it that stay apart in their block.
    pub(crate) fn kept_pieces(&self) -> usize {
        match self {
            Self::Citation(_) => 1,
            Self::ToolResult(pieces) => pieces.len(),
            Self::Text(_)
            | Self::ToolInput(_)
            | Self::ReasoningText(_)
            | Self::ReasoningSignature(_)
            | Self::ReasoningRedacted(_)
            | Self::Image(_)
            | Self::ImageObject(_)
            | Self::ImageError(_) => 0,
        }
    }

    /// Bytes that it holds in memory.
    pub fn size_bytes(&self) -> usize {
        match self {
            Self::Text(text)
            | Self::ToolInput(text)
            | Self::ReasoningText(text)
            | Self::ReasoningSignature(text)
            | Self::ImageError(text) => text.len(),
            Self::ToolResult(pieces) => pieces
                .iter()
                .map(|piece| match piece {
                    ToolResultDelta::Text(text) | ToolResultDelta::Json(text) => text.len(),
                })
                .sum(),
            Self::ReasoningRedacted(bytes) | Self::Image(bytes) => bytes.len(),
            Self::Citation(citation) => citation.size_bytes(),
            Self::ImageObject(object) => object.uri.len(),
        }
    }
}

/// A piece of a provider-run tool's result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToolResultDelta {
    /// Text.
    Text(String),
    /// JSON text.
    Json(String),
}

/// The end of a message.
#[derive(Clone, Debug, PartialEq)]
pub struct MessageStop {
    /// Why the model stopped.
    pub reason: StopReason,
    /// The stop sequence met, or other text of the model on the reason; may be empty.
    pub detail: String,
    /// Model-specific response fields that were asked for, as JSON; may be empty.
    pub additional_fields_json: String,
}

/// Counts and findings of one model call.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ModelMetadata {
    /// Tokens of the call; `model_calls` and `tool_calls` are left at zero.
    pub usage: Usage,
    /// The provider's own latency figure.
    pub latency: Option<Duration>,
    /// What guardrails found.
    pub guardrails: Vec<GuardrailOutcome>,
    /// Model that answered, where a router chose it.
    pub invoked_model_id: Option<String>,
    /// What the provider granted of what was asked.
    pub granted: GrantedService,
}
