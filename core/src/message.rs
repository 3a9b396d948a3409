//! Messages of a conversation, and the blocks they are made of.

mod citation;

use std::time::SystemTime;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

pub use self::citation::{Citation, CitationLocation, CitedText, Range};
use crate::{
    media::{AudioFormat, DocumentFormat, ImageFormat, MediaSource, VideoFormat},
    tool::{ToolCall, ToolResult},
};

/// Who wrote a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Role {
    /// The user, or tool results on the user's side.
    User,
    /// The agent.
    Assistant,
    /// Instructions in the middle of a conversation.
    System,
}

/// One message of a conversation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// Who wrote it.
    pub role: Role,
    /// What it holds.
    pub content: Vec<Block>,
    /// Where it stands in its session; `None` for a message that the caller brought.
    pub origin: Option<Origin>,
    /// What it is beside others.
    #[serde(default)]
    pub marking: Marking,
}

/// What a message is beside others when the conversation grows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Marking {
    /// One like others: the model is sent it until its turn is left out.
    #[default]
    Unmarked,
    /// It stays in what the model is sent.
    Pinned,
    /// It condenses the messages before it, which the model is no longer sent.
    Summary,
}

/// Where a message was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The message's id.
    pub message_id: String,
    /// The turn's id; empty for context added between turns.
    pub turn_id: String,
    /// When it was made.
    pub created: SystemTime,
}

impl Message {
    /// Makes a user's message without an origin.
    pub fn user(content: Vec<Block>) -> Self {
        Self {
            role: Role::User,
            content,
            origin: None,
            marking: Marking::Unmarked,
        }
    }

    /// Bytes that its content holds in memory.
    pub fn size_bytes(&self) -> usize {
        self.content.iter().map(Block::size_bytes).sum()
    }

    /// The tool calls that somebody outside the model has to answer, in order.
    pub fn open_calls(&self) -> impl Iterator<Item = &ToolCall> {
        self.content.iter().filter_map(|block| match block {
            Block::ToolCall(call) if !call.is_provider_run() => Some(call),
            Block::ToolCall(_)
            | Block::Text(_)
            | Block::Image(_)
            | Block::Document(_)
            | Block::Video(_)
            | Block::Audio(_)
            | Block::ToolResult(_)
            | Block::Reasoning(_)
            | Block::CitedText(_)
            | Block::SearchResult(_)
            | Block::GuardContent(_)
            | Block::CachePoint(_)
            | Block::ToolAddition(_)
            | Block::ToolRemoval(_) => None,
        })
    }

    /// True when it answers tool calls, or shows what the provider answered.
    pub fn holds_results(&self) -> bool {
        let is_result = |block: &Block| matches!(block, Block::ToolResult(_));
        self.content.iter().any(is_result)
    }

    /// Its text alone: text and cited text, joined as written.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for block in &self.content {
            if let Block::Text(piece) = block {
                text.push_str(piece);
            } else if let Block::CitedText(cited) = block {
                cited.texts.iter().for_each(|piece| text.push_str(piece));
            }
        }
        text
    }
}

/// One block of content.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Block {
    /// Plain text.
    Text(String),
    /// An image.
    Image(Image),
    /// A document.
    Document(Document),
    /// A video.
    Video(Video),
    /// Recorded audio.
    Audio(Audio),
    /// A tool call made by the model.
    ToolCall(ToolCall),
    /// A tool's result.
    ToolResult(ToolResult),
    /// The model's reasoning.
    Reasoning(Reasoning),
    /// Generated text with its sources.
    CitedText(CitedText),
    /// A search result to ground on and cite.
    SearchResult(SearchResult),
    /// Content that the guardrail must look at, apart from the rest.
    GuardContent(GuardContent),
    /// A point up to which the prompt is cached.
    CachePoint(CachePoint),
    /// Makes a declared tool available from here on.
    ToolAddition(ToolReference),
    /// Withdraws a tool from here on.
    ToolRemoval(ToolReference),
}

impl Block {
    /// Bytes that its content holds in memory.
    pub fn size_bytes(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Image(image) => image.size_bytes(),
            Self::Document(document) => document.size_bytes(),
            Self::Video(video) => video.source.size_bytes(),
            Self::Audio(audio) => audio.source.as_ref().map_or(0, MediaSource::size_bytes),
            Self::ToolCall(call) => call.input_json.len() + call.name.len(),
            Self::ToolResult(result) => result.size_bytes(),
            Self::Reasoning(Reasoning::Text { text, signature }) => {
                text.len() + signature.as_ref().map_or(0, String::len)
            }
            Self::Reasoning(Reasoning::Redacted(bytes)) => bytes.len(),
            Self::CitedText(cited) => {
                cited.texts.iter().map(String::len).sum::<usize>()
                    + cited
                        .citations
                        .iter()
                        .map(Citation::size_bytes)
                        .sum::<usize>()
            }
            Self::SearchResult(result) => result.size_bytes(),
            Self::GuardContent(GuardContent::Text { text, .. }) => text.len(),
            Self::GuardContent(GuardContent::Image { bytes, .. }) => bytes.len(),
            Self::CachePoint(_) => 0,
            Self::ToolAddition(tool) | Self::ToolRemoval(tool) => tool.name.len(),
        }
    }
}

/// An image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// Its format.
    pub format: ImageFormat,
    /// Where it is; `None` when the model failed to make it.
    pub source: Option<MediaSource>,
    /// On output: why it could not be processed.
    pub error: Option<String>,
}

impl Image {
    /// Bytes that it holds in memory.
    pub fn size_bytes(&self) -> usize {
        self.source.as_ref().map_or(0, MediaSource::size_bytes)
    }
}

/// A document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Document {
    /// Neutral name shown to the model.
    pub name: String,
    /// Its format; `None` for text and chunks, which have none.
    pub format: Option<DocumentFormat>,
    /// Its content.
    pub body: DocumentBody,
    /// How to read it when citing.
    pub context: Option<String>,
    /// Lets the model cite it.
    pub citations: bool,
}

impl Document {
    /// Bytes that it holds in memory.
    pub fn size_bytes(&self) -> usize {
        match &self.body {
            DocumentBody::Source(source) => source.size_bytes(),
            DocumentBody::Text(text) => text.len(),
            DocumentBody::Chunks(texts) => texts.iter().map(String::len).sum(),
        }
    }
}

/// The content of a document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DocumentBody {
    /// Bytes or an S3 object.
    Source(MediaSource),
    /// Plain text.
    Text(String),
    /// Text cut in pieces that citations can point to.
    Chunks(Vec<String>),
}

/// A video.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Video {
    /// Its format.
    pub format: VideoFormat,
    /// Where it is.
    pub source: MediaSource,
}

/// Recorded audio.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Audio {
    /// Its format.
    pub format: AudioFormat,
    /// Where it is; `None` when it could not be processed.
    pub source: Option<MediaSource>,
    /// On output: why it could not be processed.
    pub error: Option<String>,
}

/// The model's reasoning, to be sent back unchanged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reasoning {
    /// Readable reasoning.
    Text {
        /// The reasoning.
        text: String,
        /// Proof that the model wrote it.
        signature: Option<String>,
    },
    /// Encrypted reasoning.
    Redacted(Bytes),
}

/// A search result given to the model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SearchResult {
    /// Address or name of the source.
    pub source: String,
    /// Its title.
    pub title: String,
    /// Its texts.
    pub texts: Vec<String>,
    /// Lets the model cite it.
    pub citations: bool,
}

impl SearchResult {
    /// Bytes that it holds in memory.
    pub fn size_bytes(&self) -> usize {
        self.source.len() + self.title.len() + self.texts.iter().map(String::len).sum::<usize>()
    }
}

/// Content for the guardrail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum GuardContent {
    /// Text.
    Text {
        /// The text.
        text: String,
        /// What it is for.
        qualifiers: Vec<GuardQualifier>,
    },
    /// An image: PNG or JPEG.
    Image {
        /// Its format, PNG or JPEG.
        format: ImageFormat,
        /// The bytes.
        bytes: Bytes,
    },
}

/// What guarded text is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum GuardQualifier {
    /// A source to ground on.
    GroundingSource,
    /// The user's query.
    Query,
    /// Content to look at.
    GuardContent,
}

/// A prompt-cache point.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CachePoint {
    /// Lifetime; `None` means the provider's default.
    pub ttl: Option<CacheTtl>,
}

/// Lifetimes of a prompt cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CacheTtl {
    /// Five minutes.
    FiveMinutes,
    /// One hour.
    OneHour,
}

impl CacheTtl {
    /// The provider's word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::FiveMinutes => "5m",
            Self::OneHour => "1h",
        }
    }

    /// Reads the provider's word.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "5m" => Some(Self::FiveMinutes),
            "1h" => Some(Self::OneHour),
            _ => None,
        }
    }
}

/// A tool named in a mid-conversation change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolReference {
    /// Tool name.
    pub name: String,
    /// Kind of reference, as the provider knows it; may be empty.
    pub kind: String,
    /// MCP server that provides the tool; may be empty.
    pub server_name: String,
}
