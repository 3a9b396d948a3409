//! Tools a model may call: their specifications, calls and results.

mod approval;
mod set;

use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use jsonschema::{ValidationError, error::ValidationErrorKind};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use serde_json::Value;

pub use self::{
    approval::{Approval, ApprovalMode, ApprovalRequest, Decision, Resolved, digest},
    set::{ServerTool, ToolSet},
};
use crate::message::{Document, Image, SearchResult, Video};

/// What a model is told of a tool, and how its calls are handled.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ToolSpec {
    /// Name: 1 to 64 of letters, digits, underscore, hyphen.
    pub name: String,
    /// What it does and when to use it; may be empty.
    pub description: String,
    /// JSON Schema of its input.
    pub schema: Schema,
    /// Holds the model to the schema, where it can.
    pub strict: bool,
    /// How long the server waits for the result; `None` means the agent's limit.
    pub timeout: Option<Duration>,
    /// When a person must consent; `None` means as the turn's options say.
    #[serde(default)]
    pub approval: Option<Approval>,
}

/// A JSON Schema, kept as written and compiled once.
#[derive(Clone)]
pub struct Schema {
    text: Arc<str>,
    validator: Arc<jsonschema::Validator>,
}

/// Why a schema cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SchemaError {
    /// It is not JSON.
    #[error("not valid JSON: {0}")]
    NotJson(String),
    /// It is JSON, but not an object.
    #[error("not a JSON object")]
    NotAnObject,
    /// It is an object, but not a JSON Schema.
    #[error("not a JSON Schema{}: {fault}", at(place))]
    NotASchema {
        /// Where in it the fault is, as a JSON Pointer; empty for the whole.
        place: String,
        /// What is wrong there.
        fault: String,
    },
}

impl Schema {
    /// Compiles a schema from JSON text.
    ///
    /// References to files and addresses are never followed.
    ///
    /// # Errors
    ///
    /// [`SchemaError`] when the text is not JSON, not an object, or no JSON Schema.
    pub fn parse(text: &str) -> Result<Self, SchemaError> {
        let value: Value =
            serde_json::from_str(text).map_err(|error| SchemaError::NotJson(error.to_string()))?;
        if !value.is_object() {
            return Err(SchemaError::NotAnObject);
        }
        let validator = jsonschema::validator_for(&value).map_err(|error| {
            let error = innermost(&error);
            SchemaError::NotASchema {
                place: error.instance_path().as_str().to_owned(),
                fault: error.to_string(),
            }
        })?;
        Ok(Self {
            text: text.into(),
            validator: Arc::new(validator),
        })
    }

    /// The schema as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Says what is wrong with `input`, in words that a model can act on.
    ///
    /// # Errors
    ///
    /// A text that names the first few faults and where they are.
    pub fn check(&self, input: &Value) -> Result<(), String> {
        // Three faults say enough, and keep the answer to the model short.
        let faults: Vec<String> = self
            .validator
            .iter_errors(input)
            .take(3)
            .map(|error| match error.instance_path().as_str() {
                "" => error.to_string(),
                path => format!("at {path}: {error}"),
            })
            .collect();
        if faults.is_empty() {
            Ok(())
        } else {
            Err(faults.join("; "))
        }
    }
}

impl Serialize for Schema {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Schema {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(D::Error::custom)
    }
}

impl PartialEq for Schema {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl fmt::Debug for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Schema").field(&self.text).finish()
    }
}

fn at(place: &str) -> String {
    match place {
        "" => String::new(),
        place => format!(", at {place}"),
    }
}

/// The fault behind one of which is only told that no alternative fits: the deepest, or the first
/// of those.
fn innermost<'a>(error: &'a ValidationError<'a>) -> &'a ValidationError<'a> {
    let ValidationErrorKind::AnyOf { context } = error.kind() else {
        return error;
    };
    let depth = |error: &ValidationError<'_>| error.instance_path().into_iter().count();
    let faults = context.iter().flatten().map(innermost);
    let deepest = faults.reduce(|first, other| {
        if depth(other) > depth(first) {
            other
        } else {
            first
        }
    });
    deepest.unwrap_or(error)
}

/// How the model may choose among tools.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToolChoice {
    /// The model decides.
    Auto,
    /// The model must call some tool.
    Any,
    /// No tools are offered.
    Disabled,
    /// The model must call this tool.
    Tool(String),
}

/// A complete call of a tool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolCall {
    /// Its id, given by the model.
    pub id: String,
    /// Tool to call.
    pub name: String,
    /// Input as JSON text, as the model wrote it; `{}` where it wrote nothing.
    pub input_json: String,
    /// Who runs it.
    pub executor: Executor,
    /// When the server stops waiting for the result.
    pub expires: Option<SystemTime>,
    /// Same for every delivery of this call.
    pub idempotency_key: String,
}

impl ToolCall {
    /// True when the model provider runs it, so that nobody else answers it.
    pub fn is_provider_run(&self) -> bool {
        self.executor == Executor::Provider
    }
}

/// Who runs a tool call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Executor {
    /// The client that reads the stream.
    Client,
    /// The model provider.
    Provider,
    /// The server.
    Server,
}

/// How a call that the server runs stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallStatus {
    /// Waits for a place among those that run.
    Waiting,
    /// Runs.
    Running,
    /// Gave a result.
    Succeeded,
    /// Failed, or was not run since its input did not fit or there is no such tool.
    Failed,
    /// A person refused it, or did not consent in time.
    Rejected,
    /// Was stopped.
    Cancelled,
    /// Was started, and whether it took effect is not known.
    Unknown,
}

/// What is told of a call that the server runs.
#[derive(Clone, Debug, PartialEq)]
pub struct CallUpdate {
    /// The call.
    pub call_id: String,
    /// Tool called.
    pub name: String,
    /// How it stands.
    pub status: CallStatus,
    /// What the tool says of its progress; may be empty.
    pub progress: String,
    /// The result, once there is one, shortened when it is long.
    pub result: Option<ToolResult>,
    /// How long it ran, once it ended.
    pub duration: Option<Duration>,
}

/// What a call that the server ran came to.
#[derive(Clone, Debug, PartialEq)]
pub struct RunOutcome {
    /// What the model is sent.
    pub content: Vec<ToolResultBlock>,
    /// How it ended.
    pub end: RunEnd,
    /// What it spent on models.
    pub usage: Option<crate::usage::Usage>,
}

/// How a call that the server ran ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunEnd {
    /// It gave what was asked for.
    Succeeded,
    /// It did not run, or ran and failed.
    Failed,
    /// Whether it took effect is not known.
    Unknown,
}

/// What of a turn's budget a call may spend on models; `None` means no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Allowance {
    /// Most tokens.
    pub max_tokens: Option<u64>,
    /// Most cost, in picodollars.
    pub max_cost: Option<u64>,
}

/// The result of a tool call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ToolResult {
    /// The call answered.
    pub call_id: String,
    /// What the tool gave.
    pub content: Vec<ToolResultBlock>,
    /// The tool failed; the content says how.
    pub is_error: bool,
    /// Kind of result, as the provider knows it, on provider-run tools; may be empty.
    pub kind: String,
}

impl ToolResult {
    /// Makes an error result that tells the model what went wrong.
    pub fn error(call_id: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            call_id: call_id.into(),
            content: vec![ToolResultBlock::Text(text.into())],
            is_error: true,
            kind: String::new(),
        }
    }

    /// Bytes that its content holds in memory.
    pub fn size_bytes(&self) -> usize {
        self.content.iter().map(ToolResultBlock::size_bytes).sum()
    }

    /// The result as people are shown it: the beginning of its texts, and no media.
    #[must_use]
    pub fn shortened(&self) -> Self {
        /// Enough for a screen; the model gets the whole.
        const MOST_BYTES: usize = 2_000;
        let mut left = MOST_BYTES;
        let mut cut = |text: &str| {
            let mut kept = text.to_owned();
            if kept.len() > left {
                kept.truncate(kept.floor_char_boundary(left));
                kept.push('…');
            }
            left = left.saturating_sub(kept.len());
            kept
        };
        let content = self.content.iter().map(|block| match block {
            // JSON that is cut is JSON no more.
            ToolResultBlock::Json(text) if text.len() <= MOST_BYTES => {
                ToolResultBlock::Json(text.clone())
            }
            ToolResultBlock::Text(text) | ToolResultBlock::Json(text) => {
                ToolResultBlock::Text(cut(text))
            }
            ToolResultBlock::Image(_) => ToolResultBlock::Text("(an image)".to_owned()),
            ToolResultBlock::Document(_) => ToolResultBlock::Text("(a document)".to_owned()),
            ToolResultBlock::Video(_) => ToolResultBlock::Text("(a video)".to_owned()),
            ToolResultBlock::SearchResult(_) => {
                ToolResultBlock::Text("(a search result)".to_owned())
            }
        });
        Self {
            call_id: self.call_id.clone(),
            content: content.take(8).collect(),
            is_error: self.is_error,
            kind: self.kind.clone(),
        }
    }
}

/// One block of a tool result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ToolResultBlock {
    /// Plain text.
    Text(String),
    /// JSON text.
    Json(String),
    /// An image.
    Image(Image),
    /// A document.
    Document(Document),
    /// A video.
    Video(Video),
    /// A search result.
    SearchResult(SearchResult),
}

impl ToolResultBlock {
    /// Bytes that it holds in memory.
    pub fn size_bytes(&self) -> usize {
        match self {
            Self::Text(text) | Self::Json(text) => text.len(),
            Self::Image(image) => image.size_bytes(),
            Self::Document(document) => document.size_bytes(),
            Self::Video(video) => video.source.size_bytes(),
            Self::SearchResult(result) => result.size_bytes(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_schema_is_told_once_and_where() {
        for (text, told) in [
            (
                r#"{"type":"objekt"}"#,
                r#"not a JSON Schema, at /type: "objekt" is not one of "array", "boolean" or 5 other candidates"#,
            ),
            (
                r#"{"properties":{"n":{"minimum":"zero"}}}"#,
                r#"not a JSON Schema, at /properties/n/minimum: "zero" is not of type "number""#,
            ),
            (
                r#"{"$schema":"http://json-schema.org/draft-07/schema#","items":{"type":"text"}}"#,
                r#"not a JSON Schema, at /items/type: "text" is not one of "array", "boolean" or 5 other candidates"#,
            ),
            ("[1]", "not a JSON object"),
            (
                "{",
                "not valid JSON: EOF while parsing an object at line 1 column 1",
            ),
        ] {
            let error = Schema::parse(text).unwrap_err();
            assert_eq!(error.to_string(), told, "{text}");
        }
    }
}
