//! Calls that the server runs, and consent to calls.

use taiwa::v1 as pb;
use taiwa_core::tool::{ApprovalRequest, CallStatus, CallUpdate, Resolved};

use crate::grpc::convert::{content, time};

/// Writes how a call stands.
pub(super) fn update(update: CallUpdate) -> pb::ToolCallUpdate {
    let status = match update.status {
        CallStatus::Waiting => pb::ToolCallStatus::Waiting,
        CallStatus::Running => pb::ToolCallStatus::Running,
        CallStatus::Succeeded => pb::ToolCallStatus::Succeeded,
        CallStatus::Failed => pb::ToolCallStatus::Failed,
        CallStatus::Rejected => pb::ToolCallStatus::Rejected,
        CallStatus::Cancelled => pb::ToolCallStatus::Cancelled,
        CallStatus::Unknown => pb::ToolCallStatus::Unknown,
    };
    pb::ToolCallUpdate {
        tool_call_id: update.call_id,
        tool_name: update.name,
        status: status.into(),
        progress: update.progress,
        result: update.result.map(content::tool_result_of),
        duration: update.duration.map(time::span),
    }
}

/// Writes a question for consent.
pub(super) fn approval_request(request: ApprovalRequest) -> pb::ApprovalRequest {
    pb::ApprovalRequest {
        approval_id: request.id,
        tool_call: Some(content::tool_call(request.call)),
        reason: request.reason,
        expire_time: Some(time::timestamp(request.expires)),
        digest: request.digest.to_vec().into(),
    }
}

/// Writes that a question was settled.
pub(super) fn resolved(resolved: Resolved) -> pb::ApprovalResolved {
    pb::ApprovalResolved {
        approval_id: resolved.approval_id,
        approved: resolved.approved,
        expired: resolved.expired,
    }
}
