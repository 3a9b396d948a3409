//! The `content` tables of a scenario: one content block each.

use base64::{Engine, prelude::BASE64_STANDARD};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Error,
    value::{OneOrMany, bad, one_of},
};
use crate::reply::Block;

/// A grey pixel, for images whose bytes do not matter.
const PIXEL_PNG: &str =
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNoAAAAggCBd81ytgAAAABJRU5ErkJggg==";

/// Longest name of an event: the frame header gives it 16 bits, nobody needs more than this.
const MAX_EVENT_NAME: usize = 256;

/// Exactly one of the members is set.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ContentTable {
    text: Option<OneOrMany>,
    reasoning: Option<ReasoningTable>,
    redacted_reasoning: Option<String>,
    tool_use: Option<ToolUseTable>,
    tool_result: Option<ToolResultTable>,
    image: Option<ImageTable>,
    event: Option<EventTable>,
    #[serde(default)]
    citations: Vec<Value>,
    chunk_chars: Option<usize>,
    repeat: Option<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ReasoningTable {
    text: OneOrMany,
    signature: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ToolUseTable {
    id: Option<String>,
    name: String,
    input: OneOrMany,
    #[serde(default)]
    run_by_provider: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ToolResultTable {
    id: String,
    kind: Option<String>,
    status: Option<String>,
    text: Option<OneOrMany>,
    json: Option<Value>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ImageTable {
    format: String,
    base64: Option<String>,
    s3_uri: Option<String>,
    error: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct EventTable {
    #[serde(rename = "type")]
    event_type: String,
    payload: String,
}

impl ContentTable {
    pub(super) fn into_block(self, field: &str, at: usize) -> Result<Block, Error> {
        let kinds = [
            self.text.is_some(),
            self.reasoning.is_some(),
            self.redacted_reasoning.is_some(),
            self.tool_use.is_some(),
            self.tool_result.is_some(),
            self.image.is_some(),
            self.event.is_some(),
        ];
        if kinds.iter().filter(|&&set| set).count() != 1 {
            return Err(bad(
                field,
                "needs exactly one of text, reasoning, redacted_reasoning, tool_use, tool_result, \
                 image, event",
            ));
        }
        if self.text.is_none() && !self.citations.is_empty() {
            return Err(bad(&format!("{field}.citations"), "belong to text"));
        }
        let chunked = self.text.is_some() || self.reasoning.is_some() || self.tool_use.is_some();
        if !chunked && (self.chunk_chars.is_some() || self.repeat.is_some()) {
            return Err(bad(
                field,
                "chunk_chars and repeat belong to text, reasoning and tool_use",
            ));
        }
        let (chunk_chars, repeat) = (self.chunk_chars, self.repeat);
        if let Some(text) = self.text {
            let chunks = text.into_chunks(field, chunk_chars, repeat)?;
            return Ok(Block::Text {
                chunks,
                citations: self.citations,
            });
        }
        if let Some(reasoning) = self.reasoning {
            let chunks = reasoning.text.into_chunks(field, chunk_chars, repeat)?;
            return Ok(Block::Reasoning {
                chunks,
                signature: reasoning.signature,
            });
        }
        if let Some(base64) = self.redacted_reasoning {
            check_base64(&format!("{field}.redacted_reasoning"), &base64)?;
            return Ok(Block::RedactedReasoning { base64 });
        }
        if let Some(tool_use) = self.tool_use {
            let input = match tool_use.input {
                // Input is sent whole unless it is to be split; words mean nothing in JSON.
                OneOrMany::One(text) if chunk_chars.is_none() => OneOrMany::Many(vec![text]),
                input @ (OneOrMany::One(_) | OneOrMany::Many(_)) => input,
            };
            let input = input.into_chunks(field, chunk_chars, repeat)?;
            return Ok(Block::ToolUse {
                id: tool_use
                    .id
                    .unwrap_or_else(|| format!("tooluse_scripted_{at}")),
                name: tool_use.name,
                input,
                run_by_provider: tool_use.run_by_provider,
            });
        }
        if let Some(result) = self.tool_result {
            return result.into_block(field);
        }
        if let Some(image) = self.image {
            return image.into_block(field);
        }
        match self.event {
            Some(event) if event.event_type.len() > MAX_EVENT_NAME => Err(bad(
                &format!("{field}.event.type"),
                "is longer than 256 bytes",
            )),
            Some(EventTable {
                event_type,
                payload,
            }) => Ok(Block::Event {
                event_type,
                payload,
            }),
            None => Err(bad(field, "is empty")),
        }
    }
}

impl ToolResultTable {
    fn into_block(self, field: &str) -> Result<Block, Error> {
        let mut items = Vec::new();
        match self.text {
            Some(OneOrMany::One(text)) => items.push(json!({"text": text})),
            Some(OneOrMany::Many(texts)) => {
                items.extend(texts.into_iter().map(|text| json!({"text": text})));
            }
            None => {}
        }
        if let Some(json) = self.json {
            items.push(json!({"json": json}));
        }
        let status = self.status.map(|status| {
            one_of(
                &format!("{field}.tool_result.status"),
                status,
                &["success", "error"],
            )
        });
        Ok(Block::ToolResult {
            id: self.id,
            kind: self.kind,
            status: status.transpose()?,
            items,
        })
    }
}

impl ImageTable {
    fn into_block(self, field: &str) -> Result<Block, Error> {
        let formats = ["png", "jpeg", "gif", "webp"];
        let format = one_of(&format!("{field}.image.format"), self.format, &formats)?;
        let source = match (self.base64, self.s3_uri) {
            (Some(_), Some(_)) => {
                return Err(bad(&format!("{field}.image"), "has both base64 and s3_uri"));
            }
            (Some(base64), None) => {
                check_base64(&format!("{field}.image.base64"), &base64)?;
                Some(json!({"bytes": base64}))
            }
            (None, Some(uri)) => Some(json!({"s3Location": {"uri": uri}})),
            (None, None) if self.error.is_some() => None,
            (None, None) => Some(json!({"bytes": PIXEL_PNG})),
        };
        Ok(Block::Image {
            format,
            source,
            error: self.error,
        })
    }
}

fn check_base64(field: &str, text: &str) -> Result<(), Error> {
    match BASE64_STANDARD.decode(text) {
        Ok(_) => Ok(()),
        Err(error) => Err(bad(field, format!("is not base64: {error}"))),
    }
}
