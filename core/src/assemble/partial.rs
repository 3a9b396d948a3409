//! One block of a message while its pieces come.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use super::broken;
use crate::{
    error::Failure,
    event::{BlockKind, ImageDelta, Payload, ReasoningDelta, ToolCallPiece},
    media::{ImageFormat, MediaSource, S3Object},
    message::{Block, Citation, CitedText, Image, Reasoning},
    model::{BlockDelta, ToolResultDelta},
    tool::{Executor, ToolCall, ToolResult, ToolResultBlock},
};

#[derive(Clone, Debug)]
pub(super) enum Partial {
    Text {
        text: String,
        citations: Vec<Citation>,
    },
    Reasoning {
        text: String,
        signature: Option<String>,
    },
    Redacted(BytesMut),
    ToolCall {
        id: Arc<str>,
        name: String,
        provider_run: bool,
        input: String,
    },
    ToolResult {
        call_id: Arc<str>,
        kind: String,
        is_error: bool,
        content: Vec<ToolResultBlock>,
    },
    Image {
        format: ImageFormat,
        data: BytesMut,
        object: Option<S3Object>,
        error: Option<String>,
    },
}

impl Partial {
    pub(super) fn add(
        &mut self,
        delta: BlockDelta,
        mut tell: impl FnMut(Payload),
    ) -> Result<(), Failure> {
        match (self, delta) {
            (Self::Text { text, .. }, BlockDelta::Text(piece)) => {
                text.push_str(&piece);
                tell(Payload::TextDelta(piece));
            }
            (Self::Text { citations, .. }, BlockDelta::Citation(citation)) => {
                citations.push(citation.clone());
                tell(Payload::CitationDelta(citation));
            }
            (Self::Reasoning { text, .. }, BlockDelta::ReasoningText(piece)) => {
                text.push_str(&piece);
                tell(Payload::ReasoningDelta(ReasoningDelta::Text(piece)));
            }
            (Self::Reasoning { signature, .. }, BlockDelta::ReasoningSignature(piece)) => {
                signature.get_or_insert_default().push_str(&piece);
                tell(Payload::ReasoningDelta(ReasoningDelta::Signature(piece)));
            }
            (Self::Redacted(bytes), BlockDelta::ReasoningRedacted(piece)) => {
                bytes.extend_from_slice(&piece);
                tell(Payload::ReasoningDelta(ReasoningDelta::Redacted(piece)));
            }
            (Self::ToolCall { id, input, .. }, BlockDelta::ToolInput(piece)) => {
                input.push_str(&piece);
                let piece = ToolCallPiece::Input(piece);
                tell(Payload::ToolCallDelta {
                    call_id: Arc::clone(id),
                    piece,
                });
            }
            (
                Self::ToolResult {
                    call_id, content, ..
                },
                BlockDelta::ToolResult(pieces),
            ) => {
                for piece in pieces {
                    let piece = add_result(content, piece);
                    tell(Payload::ToolCallDelta {
                        call_id: Arc::clone(call_id),
                        piece,
                    });
                }
            }
            (Self::Image { data, .. }, BlockDelta::Image(piece)) => {
                data.extend_from_slice(&piece);
                tell(Payload::ImageDelta(ImageDelta::Data(piece)));
            }
            (Self::Image { object, .. }, BlockDelta::ImageObject(place)) => {
                *object = Some(place.clone());
                tell(Payload::ImageDelta(ImageDelta::Object(place)));
            }
            (Self::Image { error, .. }, BlockDelta::ImageError(text)) => {
                *error = Some(text.clone());
                tell(Payload::ImageDelta(ImageDelta::Error(text)));
            }
            (
                Self::Text { .. }
                | Self::Reasoning { .. }
                | Self::Redacted(_)
                | Self::ToolCall { .. }
                | Self::ToolResult { .. }
                | Self::Image { .. },
                _,
            ) => return Err(broken("a piece came that does not fit its content block")),
        }
        Ok(())
    }

    pub(super) fn take(&mut self, step: &str) -> Block {
        match self {
            Self::Text { text, citations } => {
                text_block(std::mem::take(text), std::mem::take(citations))
            }
            Self::Reasoning { text, signature } => Block::Reasoning(Reasoning::Text {
                text: std::mem::take(text),
                signature: signature.take(),
            }),
            Self::Redacted(bytes) => {
                Block::Reasoning(Reasoning::Redacted(std::mem::take(bytes).freeze()))
            }
            Self::ToolCall {
                id,
                name,
                provider_run,
                input,
            } => {
                let input = std::mem::take(input);
                Block::ToolCall(ToolCall {
                    id: id.to_string(),
                    name: std::mem::take(name),
                    // A model that calls a tool without arguments writes no input at all.
                    input_json: if input.trim().is_empty() {
                        "{}".to_owned()
                    } else {
                        input
                    },
                    executor: if *provider_run {
                        Executor::Provider
                    } else {
                        Executor::Client
                    },
                    expires: None,
                    idempotency_key: format!("{step}/{id}"),
                })
            }
            Self::ToolResult {
                call_id,
                kind,
                is_error,
                content,
            } => Block::ToolResult(ToolResult {
                call_id: call_id.to_string(),
                content: std::mem::take(content),
                is_error: *is_error,
                kind: std::mem::take(kind),
            }),
            Self::Image {
                format,
                data,
                object,
                error,
            } => {
                let data: Bytes = std::mem::take(data).freeze();
                let bytes = (!data.is_empty()).then_some(MediaSource::Bytes(data));
                Block::Image(Image {
                    format: *format,
                    source: object.take().map(MediaSource::S3).or(bytes),
                    error: error.take(),
                })
            }
        }
    }
}

/// The block that a piece begins when none was announced.
pub(super) fn implied_start(delta: &BlockDelta) -> Result<(Partial, BlockKind), Failure> {
    match delta {
        BlockDelta::Text(_) | BlockDelta::Citation(_) => Ok((
            Partial::Text {
                text: String::new(),
                citations: Vec::new(),
            },
            BlockKind::Text,
        )),
        BlockDelta::ReasoningText(_) | BlockDelta::ReasoningSignature(_) => Ok((
            Partial::Reasoning {
                text: String::new(),
                signature: None,
            },
            BlockKind::Reasoning,
        )),
        BlockDelta::ReasoningRedacted(_) => {
            Ok((Partial::Redacted(BytesMut::new()), BlockKind::Reasoning))
        }
        BlockDelta::ToolInput(_)
        | BlockDelta::ToolResult(_)
        | BlockDelta::Image(_)
        | BlockDelta::ImageObject(_)
        | BlockDelta::ImageError(_) => Err(broken(
            "a piece came for a content block that had not begun",
        )),
    }
}

/// Adds a piece of a provider-run tool's result; text that follows text joins it.
fn add_result(content: &mut Vec<ToolResultBlock>, piece: ToolResultDelta) -> ToolCallPiece {
    match piece {
        ToolResultDelta::Text(text) => {
            if let Some(ToolResultBlock::Text(last)) = content.last_mut() {
                last.push_str(&text);
            } else {
                content.push(ToolResultBlock::Text(text.clone()));
            }
            ToolCallPiece::ResultText(text)
        }
        ToolResultDelta::Json(json) => {
            content.push(ToolResultBlock::Json(json.clone()));
            ToolCallPiece::ResultJson(json)
        }
    }
}

pub(super) fn text_block(text: String, citations: Vec<Citation>) -> Block {
    if citations.is_empty() {
        Block::Text(text)
    } else {
        Block::CitedText(CitedText {
            texts: vec![text],
            citations,
        })
    }
}
