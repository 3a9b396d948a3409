//! One call of a tool: what it is given, and what it gives.

use std::{sync::Arc, time::Instant};

use http::HeaderMap;
use serde_json::{Map, Value};
use taiwa_core::{tool::ToolResultBlock, usage::Usage};
use tokio::sync::mpsc;

/// What a tool is called with.
#[derive(Debug)]
pub struct Call {
    /// The call's id, given by the model.
    pub id: String,
    /// The input, which fits the tool's schema.
    pub input: Map<String, Value>,
    /// Same whenever this call is made, and of no other call: lets a tool refuse to act twice.
    pub idempotency_key: String,
    /// When the result is no longer wanted.
    pub deadline: Instant,
    /// On whose behalf.
    pub caller: Arc<Caller>,
    /// Takes what the tool says while it runs.
    pub progress: Progress,
    /// Most bytes of a result that are of use; more may be cut off.
    pub max_result_bytes: usize,
    /// What of the turn's budget the call may spend on models.
    pub allowance: Allowance,
}

/// On whose behalf a tool is called.
#[derive(Clone, Debug, Default)]
pub struct Caller {
    /// The tenant; empty where there is one alone.
    pub tenant: String,
    /// The session in which the model called.
    pub session_id: String,
    /// The turn in which the model called.
    pub turn_id: String,
    /// Agent whose model called.
    pub agent_id: String,
    /// How many agents called one another up to this call; zero for an agent that a user talks to.
    pub depth: u32,
    /// Metadata of the call that asked for the turn; empty where that is not known any more.
    ///
    /// Holds credentials: a source passes on what its configuration lists, and nothing else.
    pub metadata: HeaderMap,
}

/// What of a turn's budget a call may spend on models.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Allowance {
    /// Most tokens; `None` means no limit.
    pub max_tokens: Option<u64>,
    /// Most cost in picodollars (10⁻¹² US dollars); `None` means no limit.
    pub max_cost: Option<u64>,
}

/// What a tool gave.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Output {
    /// The content, which the model is sent.
    pub content: Vec<ToolResultBlock>,
    /// The tool says that it failed; the content says how.
    pub is_error: bool,
    /// What the call spent on models.
    pub usage: Option<Usage>,
}

/// Why a call gave no output, in words that a model can act on.
///
/// A text alone is [`Failed`](Self::Failed): `Err("there is no such city".into())`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It did not run, or ran and failed: what it did is known.
    #[error("{0}")]
    Failed(String),
    /// It was started, and whether it took effect is not known.
    #[error("{0}")]
    Unknown(String),
}

impl From<&str> for Error {
    fn from(text: &str) -> Self {
        Self::Failed(text.to_owned())
    }
}

impl From<String> for Error {
    fn from(text: String) -> Self {
        Self::Failed(text)
    }
}

/// Takes what a tool says while it runs.
#[derive(Clone, Debug)]
pub struct Progress(mpsc::Sender<String>);

/// Reads what a tool says while it runs.
#[derive(Debug)]
pub struct ProgressReader(mpsc::Receiver<String>);

/// Pieces of progress that wait to be told; a tool that says more at once is shown in part.
const MAX_WAITING: usize = 16;

/// Longest piece of progress, in bytes.
const MAX_PIECE_BYTES: usize = 4 * 1024;

impl Progress {
    /// Makes a way for progress, and its end.
    pub fn channel() -> (Self, ProgressReader) {
        let (tx, rx) = mpsc::channel(MAX_WAITING);
        (Self(tx), ProgressReader(rx))
    }

    /// Says something for people to read; left out when too much waits, cut when it is long.
    pub fn report(&self, text: impl Into<String>) {
        let mut text = text.into();
        text.truncate(text.floor_char_boundary(MAX_PIECE_BYTES));
        // Progress is a courtesy: a reader that is slow or gone must not hold the tool.
        let _ = self.0.try_send(text);
    }
}

impl ProgressReader {
    /// Waits for what the tool says next; `None` when it says nothing more.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when the future is dropped.
    pub async fn next(&mut self) -> Option<String> {
        self.0.recv().await
    }
}

impl Output {
    /// Makes an output of plain text.
    pub fn text(text: impl Into<String>) -> Self {
        Self {
            content: vec![ToolResultBlock::Text(text.into())],
            ..Self::default()
        }
    }

    /// Makes an output of JSON.
    pub fn json(value: &Value) -> Self {
        Self {
            content: vec![ToolResultBlock::Json(value.to_string())],
            ..Self::default()
        }
    }
}
