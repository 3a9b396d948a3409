//! A person's word on a tool call.

use serde_json::Value;

use crate::pb;

/// An answer to an approval request, tied to the call that was shown.
///
/// It repeats the request's digest, so that the server applies it to no other call and to no
/// other input. Send it by [`Conversation::decide`](crate::Conversation::decide), or with the
/// next request of a paused turn by [`Request::decide`](crate::Request::decide).
///
/// ```
/// use taiwa_client::{Decision, pb};
///
/// fn judge(request: &pb::ApprovalRequest) -> Decision {
///     let call = request.tool_call.clone().unwrap_or_default();
///     if call.tool_name.starts_with("read_") {
///         Decision::approve(request).remember()
///     } else {
///         Decision::refuse(request).comment("only reading is allowed here")
///     }
/// }
/// # let _ = judge;
/// ```
#[derive(Debug, Clone, PartialEq)]
#[must_use = "it has no effect until it is sent"]
pub struct Decision {
    message: pb::ApprovalDecision,
}

impl Decision {
    /// Lets the call run with the input that the model wrote.
    pub fn approve(request: &pb::ApprovalRequest) -> Self {
        Self::of(request, true)
    }

    /// Keeps the call from running; the model is told.
    pub fn refuse(request: &pb::ApprovalRequest) -> Self {
        Self::of(request, false)
    }

    /// Lets the call run with another input, which must fit the tool's schema.
    ///
    /// The server refuses it together with [`remember`](Self::remember).
    pub fn edit(request: &pb::ApprovalRequest, input: &Value) -> Self {
        let mut decision = Self::approve(request);
        decision.message.edited_input_json = input.to_string();
        decision
    }

    /// Adds a word for the model to read, such as why not.
    pub fn comment(mut self, comment: impl Into<String>) -> Self {
        self.message.comment = comment.into();
        self
    }

    /// Has the same answer hold for later calls of this tool in the session.
    pub fn remember(mut self) -> Self {
        self.message.remember = true;
        self
    }

    fn of(request: &pb::ApprovalRequest, approved: bool) -> Self {
        let message = pb::ApprovalDecision {
            approval_id: request.approval_id.clone(),
            approved,
            digest: request.digest.clone(),
            ..Default::default()
        };
        Self { message }
    }
}

impl From<Decision> for pb::ApprovalDecision {
    fn from(decision: Decision) -> Self {
        decision.message
    }
}
