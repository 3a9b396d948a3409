//! Consent to tool calls: when it is asked for, what is asked, and the answer.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::{Schema, ToolCall};

/// When a person must consent to a call of a tool.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Approval {
    /// Never.
    Never,
    /// Always.
    Always,
    /// When the input fits this schema.
    When(Schema),
}

/// What a turn's caller wants, beyond what the tools want themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ApprovalMode {
    /// Consent is not asked for where the tool's own rule does not.
    Never,
    /// Consent is asked for each call.
    Always,
}

impl Approval {
    /// Tells whether a call with this input needs consent.
    pub fn is_needed(&self, input: &Value) -> bool {
        match self {
            Self::Never => false,
            Self::Always => true,
            Self::When(schema) => schema.check(input).is_ok(),
        }
    }
}

/// Asks a person to consent to a call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ApprovalRequest {
    /// Its id.
    pub id: String,
    /// The call in question.
    pub call: ToolCall,
    /// Why consent is asked.
    pub reason: String,
    /// When an unanswered request counts as a refusal.
    pub expires: SystemTime,
    /// [`digest`] of the call.
    pub digest: [u8; 32],
}

/// Answers an [`ApprovalRequest`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decision {
    /// The request answered.
    pub approval_id: String,
    /// The call may run.
    pub approved: bool,
    /// Input to use instead of the model's, as JSON text.
    pub edited_input_json: Option<String>,
    /// A word to the model; may be empty.
    pub comment: String,
    /// The answer holds for later calls of this tool in the session.
    pub remember: bool,
    /// The digest of the request that is answered, where the answerer repeats it.
    pub digest: Option<Vec<u8>>,
}

/// An approval request was settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// The request.
    pub approval_id: String,
    /// The call may run.
    pub approved: bool,
    /// Nobody answered in time.
    pub expired: bool,
}

/// What an approval is bound to: SHA-256 of the tool's name, a zero byte and the input.
pub fn digest(call: &ToolCall) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(call.name.as_bytes());
    hash.update([0]);
    hash.update(call.input_json.as_bytes());
    hash.finalize().into()
}
