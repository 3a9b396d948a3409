//! One answer: its content blocks and everything that comes with them.

use serde_json::{Map, Value, json};

use crate::{
    fault::{Fault, Faults, Place},
    live::Event,
    pace::Pace,
    tokens,
    wire::Usage,
};

/// The stop reasons of Bedrock's `StopReason`.
pub(crate) const STOP_REASONS: [&str; 9] = [
    "end_turn",
    "tool_use",
    "max_tokens",
    "stop_sequence",
    "guardrail_intervened",
    "content_filtered",
    "malformed_model_output",
    "malformed_tool_use",
    "model_context_window_exceeded",
];

/// Converse holds its answer in memory, so `repeat` cannot make it as large as it likes.
const MAX_WHOLE: usize = 64 * 1024 * 1024;

/// What the model says in answer to one request.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Reply {
    pub(crate) content: Vec<Block>,
    pub(crate) stop_reason: String,
    pub(crate) additional_fields: Option<Value>,
    /// Counts that replace the estimates.
    pub(crate) usage: Option<Usage>,
    pub(crate) latency_ms: Option<u64>,
    /// Replaces the request's own `performanceConfig.latency`.
    pub(crate) performance_latency: Option<String>,
    /// Replaces the request's own `serviceTier.type`.
    pub(crate) service_tier: Option<String>,
    pub(crate) invoked_model_id: Option<String>,
    /// `trace.guardrail`, as Bedrock spells it.
    pub(crate) guardrail: Option<Value>,
    /// Each piece of text begins with the time it was sent.
    pub(crate) stamped: bool,
    /// Replaces the pace of the script.
    pub(crate) pace: Option<Pace>,
    pub(crate) faults: Faults,
    /// Replaces the estimate of CountTokens.
    pub(crate) input_tokens: Option<u64>,
}

impl Reply {
    /// The content as one message of Converse.
    pub(crate) fn message(&self) -> Value {
        let content: Vec<Value> = self.content.iter().filter_map(Block::to_json).collect();
        json!({"role": "assistant", "content": content})
    }

    /// Adds what a model said; a failure strikes at `end`, if the scenario has no other.
    pub(crate) fn grow(&mut self, event: Event, end: Place) {
        match event {
            Event::Begun { .. } => {}
            Event::Text(piece) => match self.content.last_mut() {
                Some(Block::Text { chunks, .. }) => chunks.pieces.push(piece),
                _ => self.content.push(Block::Text {
                    chunks: Chunks::one(piece),
                    citations: Vec::new(),
                }),
            },
            Event::Call { id, name } => self.content.push(Block::ToolUse {
                id,
                name,
                input: Chunks {
                    pieces: Vec::new(),
                    repeat: 1,
                },
                run_by_provider: false,
            }),
            Event::Input(piece) => {
                if let Some(Block::ToolUse { input, .. }) = self.content.last_mut() {
                    input.pieces.push(piece);
                }
            }
            Event::Ended(ending) => {
                ending.stop_reason.clone_into(&mut self.stop_reason);
                self.additional_fields = ending.additional_fields;
                self.usage = Some(ending.usage);
            }
            Event::Refused(exception) | Event::Failed(exception) => {
                self.faults
                    .at
                    .get_or_insert((end, Fault::Exception(exception)));
            }
        }
    }

    /// The estimated tokens of the content.
    pub(crate) fn output_tokens(&self) -> u64 {
        self.content
            .iter()
            .map(|block| tokens::of_chars(block.chars()))
            .sum()
    }

    /// `trace`, if there is anything to tell in it.
    pub(crate) fn trace(&self) -> Option<Value> {
        let mut trace = Map::new();
        if let Some(guardrail) = &self.guardrail {
            trace.insert("guardrail".to_owned(), guardrail.clone());
        }
        if let Some(model) = &self.invoked_model_id {
            trace.insert("promptRouter".to_owned(), json!({"invokedModelId": model}));
        }
        (!trace.is_empty()).then_some(Value::Object(trace))
    }
}

/// Pieces of text in the order they are sent, the whole list so many times over.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Chunks {
    pub(crate) pieces: Vec<String>,
    pub(crate) repeat: u64,
}

impl Chunks {
    fn one(piece: String) -> Self {
        Self {
            pieces: vec![piece],
            repeat: 1,
        }
    }

    pub(crate) fn count(&self) -> u64 {
        self.pieces.len() as u64 * self.repeat
    }

    /// The piece of this number, counted from 0 over all repetitions.
    pub(crate) fn piece(&self, number: u64) -> &str {
        let position = number.checked_rem(self.pieces.len() as u64).unwrap_or(0);
        let piece = usize::try_from(position)
            .ok()
            .and_then(|at| self.pieces.get(at));
        piece.map_or("", String::as_str)
    }

    /// The whole text, as Converse sends it; repetitions beyond 64 MiB are left out.
    pub(crate) fn join(&self) -> String {
        let once = self.pieces.concat();
        let most = (MAX_WHOLE / once.len().max(1)).max(1);
        once.repeat(usize::try_from(self.repeat).unwrap_or(most).min(most))
    }

    /// The tokens of all pieces, each rounded up by itself.
    fn tokens(&self) -> u64 {
        let once: u64 = self.pieces.iter().map(|piece| tokens::of_text(piece)).sum();
        once * self.repeat
    }

    fn chars(&self) -> u64 {
        let once: usize = self.pieces.iter().map(|piece| piece.chars().count()).sum();
        once as u64 * self.repeat
    }
}

/// A content block of an answer.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Block {
    Text {
        chunks: Chunks,
        /// Citations as Bedrock spells them in Converse.
        citations: Vec<Value>,
    },
    Reasoning {
        chunks: Chunks,
        signature: Option<String>,
    },
    RedactedReasoning {
        base64: String,
    },
    ToolUse {
        id: String,
        name: String,
        /// JSON text sent as it stands, well-formed or not.
        input: Chunks,
        run_by_provider: bool,
    },
    ToolResult {
        id: String,
        kind: Option<String>,
        status: Option<String>,
        /// `{"text": …}` or `{"json": …}`
        items: Vec<Value>,
    },
    Image {
        format: String,
        source: Option<Value>,
        error: Option<String>,
    },
    /// A frame of the stream as it stands; Converse leaves it out.
    Event {
        event_type: String,
        payload: String,
    },
}

impl Block {
    /// How many deltas the block has in a stream.
    pub(crate) fn delta_count(&self) -> u64 {
        match self {
            Self::Text { chunks, citations } => chunks.count() + citations.len() as u64,
            Self::Reasoning { chunks, signature } => {
                chunks.count() + u64::from(signature.is_some())
            }
            Self::ToolUse { input, .. } => input.count(),
            Self::ToolResult { items, .. } => items.len() as u64,
            Self::RedactedReasoning { .. } | Self::Image { .. } | Self::Event { .. } => 1,
        }
    }

    /// The tokens of all deltas, by which their time is reckoned.
    pub(crate) fn delta_tokens(&self) -> u64 {
        match self {
            Self::Text { chunks, .. } | Self::Reasoning { chunks, .. } => chunks.tokens(),
            Self::ToolUse { input, .. } => input.tokens(),
            Self::RedactedReasoning { .. }
            | Self::ToolResult { .. }
            | Self::Image { .. }
            | Self::Event { .. } => 0,
        }
    }

    /// The text that decides how long a delta takes.
    pub(crate) fn delta_text(&self, number: u64) -> &str {
        match self {
            Self::Text { chunks, .. } | Self::Reasoning { chunks, .. } => {
                if number < chunks.count() {
                    chunks.piece(number)
                } else {
                    ""
                }
            }
            Self::ToolUse { input, .. } => input.piece(number),
            Self::RedactedReasoning { .. }
            | Self::ToolResult { .. }
            | Self::Image { .. }
            | Self::Event { .. } => "",
        }
    }

    fn chars(&self) -> u64 {
        match self {
            Self::Text { chunks, .. } | Self::Reasoning { chunks, .. } => chunks.chars(),
            Self::ToolUse { name, input, .. } => name.chars().count() as u64 + input.chars(),
            Self::RedactedReasoning { base64 } => base64.len() as u64,
            Self::ToolResult { .. } | Self::Image { .. } | Self::Event { .. } => 0,
        }
    }

    fn to_json(&self) -> Option<Value> {
        Some(match self {
            Self::Text { chunks, citations } if citations.is_empty() => {
                json!({"text": chunks.join()})
            }
            Self::Text { chunks, citations } => json!({"citationsContent": {
                "content": [{"text": chunks.join()}],
                "citations": citations,
            }}),
            Self::Reasoning { chunks, signature } => {
                let mut text = json!({"text": chunks.join()});
                if let Some(signature) = signature {
                    text["signature"] = json!(signature);
                }
                json!({"reasoningContent": {"reasoningText": text}})
            }
            Self::RedactedReasoning { base64 } => {
                json!({"reasoningContent": {"redactedContent": base64}})
            }
            Self::ToolUse {
                id,
                name,
                input,
                run_by_provider,
            } => {
                let text = input.join();
                // Converse has no place for broken JSON: its text is the input.
                let input = serde_json::from_str(&text).unwrap_or(Value::String(text));
                let mut tool_use = json!({"toolUseId": id, "name": name, "input": input});
                if *run_by_provider {
                    tool_use["type"] = json!("server_tool_use");
                }
                json!({"toolUse": tool_use})
            }
            Self::ToolResult {
                id,
                kind,
                status,
                items,
            } => {
                let mut result = json!({"toolUseId": id, "content": items});
                insert_some(&mut result, "type", kind.as_ref());
                insert_some(&mut result, "status", status.as_ref());
                json!({"toolResult": result})
            }
            Self::Image {
                format,
                source,
                error,
            } => {
                let source = source.clone().unwrap_or_else(|| json!({"bytes": ""}));
                let mut image = json!({"format": format, "source": source});
                if let Some(message) = error {
                    image["error"] = json!({"message": message});
                }
                json!({"image": image})
            }
            Self::Event { .. } => return None,
        })
    }
}

/// Sets a member where there is a value for it.
pub(crate) fn insert_some(object: &mut Value, name: &str, value: Option<&String>) {
    if let Some(value) = value {
        object[name] = json!(value);
    }
}
