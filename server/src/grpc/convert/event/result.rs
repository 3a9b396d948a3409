//! Outcomes of turns: states, tokens, times, findings.

use bytes::Bytes;
use prost::Message as _;

use pb::{content_block::Block as WireBlock, event::Payload as WirePayload};
use taiwa::v1 as pb;
use taiwa_core::{
    StopReason, TurnResult, TurnStatus, Usage,
    guardrail::{GuardrailFinding, GuardrailOutcome, GuardrailPolicy, GuardrailSubject},
    price,
    usage::TurnMetrics,
};

use super::{saturated, tools};
use crate::grpc::{
    convert::{content, time},
    status,
};

/// Leaves reasoning out of an encoded event.
pub fn encoded_without_reasoning(bytes: Bytes) -> Bytes {
    match pb::Event::decode(bytes.clone()) {
        Ok(event) => super::encode(&without_reasoning(event)),
        // Only what this process has encoded comes here.
        Err(_) => bytes,
    }
}

/// Leaves reasoning out of an event, for readers who do not want it.
///
/// Concerns the messages of a turn's end; pieces and blocks of reasoning are events of their own,
/// which such a reader does not get at all.
pub fn without_reasoning(mut event: pb::Event) -> pb::Event {
    if let Some(WirePayload::TurnEnded(result)) = &mut event.payload {
        let messages = result
            .message
            .iter_mut()
            .chain(&mut result.intermediate_messages);
        for message in messages {
            message
                .content
                .retain(|block| !matches!(block.block, Some(WireBlock::Reasoning(_))));
        }
    }
    event
}

/// Writes the outcome of a turn.
pub fn turn_result(result: &TurnResult) -> pb::TurnResult {
    let status = match result.status {
        TurnStatus::Running => pb::TurnStatus::Running,
        TurnStatus::Paused => pb::TurnStatus::Paused,
        TurnStatus::Completed => pb::TurnStatus::Completed,
        TurnStatus::Interrupted => pb::TurnStatus::Interrupted,
        TurnStatus::Cancelled => pb::TurnStatus::Cancelled,
        TurnStatus::Failed => pb::TurnStatus::Failed,
    };
    let stop = result
        .stop_reason
        .map_or(pb::StopReason::Unspecified, stop_reason);
    let made = result.intermediate_messages.iter();
    let pending = result.pending_tool_calls.iter();
    let approvals = result.pending_approvals.iter();
    pb::TurnResult {
        turn_id: result.turn_id.to_string(),
        session_id: result.session_id.to_string(),
        status: status.into(),
        stop_reason: stop.into(),
        stop_detail: result.stop_detail.clone(),
        message: result
            .message
            .as_ref()
            .map(|message| content::message(message)),
        intermediate_messages: made.map(|message| content::message(message)).collect(),
        pending_tool_calls: pending.cloned().map(content::tool_call).collect(),
        usage: Some(usage(&result.usage)),
        metrics: Some(metrics(&result.metrics)),
        guardrails: result.guardrails.iter().cloned().map(guardrail).collect(),
        pending_approvals: approvals.cloned().map(tools::approval_request).collect(),
        output_json: result.output_json.clone(),
        model_id: result.model_id.clone(),
        additional_model_response_json: result.additional_fields_json.clone(),
        granted_service: Some(pb::GrantedService {
            tier: result.granted.tier.clone(),
            latency: result.granted.latency.clone(),
        }),
        error: result.failure.as_ref().map(status::turn_error),
        last_sequence: i64::try_from(result.last_sequence).unwrap_or(i64::MAX),
    }
}

/// Writes why generation stopped.
pub(super) fn stop_reason(reason: StopReason) -> pb::StopReason {
    match reason {
        StopReason::Unknown => pb::StopReason::Unspecified,
        StopReason::EndTurn => pb::StopReason::EndTurn,
        StopReason::ToolUse => pb::StopReason::ToolUse,
        StopReason::MaxTokens => pb::StopReason::MaxTokens,
        StopReason::StopSequence => pb::StopReason::StopSequence,
        StopReason::GuardrailIntervened => pb::StopReason::GuardrailIntervened,
        StopReason::ContentFiltered => pb::StopReason::ContentFiltered,
        StopReason::MalformedModelOutput => pb::StopReason::MalformedModelOutput,
        StopReason::MalformedToolUse => pb::StopReason::MalformedToolUse,
        StopReason::ContextWindowExceeded => pb::StopReason::ContextWindowExceeded,
        StopReason::ApprovalRequired => pb::StopReason::ApprovalRequired,
        StopReason::MaxSteps => pb::StopReason::MaxSteps,
        StopReason::BudgetExceeded => pb::StopReason::BudgetExceeded,
        StopReason::Interrupted => pb::StopReason::Interrupted,
        StopReason::Cancelled => pb::StopReason::Cancelled,
        StopReason::Error => pb::StopReason::Error,
        StopReason::Incomplete => pb::StopReason::Incomplete,
    }
}

/// Writes tokens.
pub(super) fn usage(usage: &Usage) -> pb::Usage {
    let writes = usage.cache_writes.iter().map(|write| pb::CacheWrite {
        ttl: write.ttl.as_str().to_owned(),
        tokens: tokens(write.tokens),
    });
    pb::Usage {
        input_tokens: tokens(usage.input_tokens),
        output_tokens: tokens(usage.output_tokens),
        total_tokens: tokens(usage.total_tokens),
        cache_read_tokens: tokens(usage.cache_read_tokens),
        cache_write_tokens: tokens(usage.cache_write_tokens),
        cache_writes: writes.collect(),
        model_calls: saturated(usage.model_calls),
        tool_calls: saturated(usage.tool_calls),
        cost_usd: usage.cost.map(price::dollars),
        estimated: usage.estimated,
    }
}

/// Writes what a guardrail found.
pub(super) fn guardrail(outcome: GuardrailOutcome) -> pb::GuardrailOutcome {
    let subject = match outcome.subject {
        GuardrailSubject::Input => pb::GuardrailSubject::Input,
        GuardrailSubject::Output => pb::GuardrailSubject::Output,
    };
    pb::GuardrailOutcome {
        subject: subject.into(),
        intervened: outcome.intervened,
        action_reason: outcome.action_reason,
        guardrail_id: outcome.guardrail_id,
        version: outcome.version,
        findings: outcome.findings.into_iter().map(finding).collect(),
        latency: outcome.latency.map(time::span),
        usage_units: outcome.usage_units,
        assessment_json: outcome.assessment_json,
    }
}

fn finding(finding: GuardrailFinding) -> pb::GuardrailFinding {
    let policy = match finding.policy {
        GuardrailPolicy::Topic => pb::GuardrailPolicy::Topic,
        GuardrailPolicy::Content => pb::GuardrailPolicy::Content,
        GuardrailPolicy::Word => pb::GuardrailPolicy::Word,
        GuardrailPolicy::SensitiveInformation => pb::GuardrailPolicy::SensitiveInformation,
        GuardrailPolicy::ContextualGrounding => pb::GuardrailPolicy::ContextualGrounding,
        GuardrailPolicy::AutomatedReasoning => pb::GuardrailPolicy::AutomatedReasoning,
    };
    pb::GuardrailFinding {
        policy: policy.into(),
        name: finding.name,
        action: finding.action,
        r#match: finding.matched,
        confidence: finding.confidence,
        score: finding.score,
        threshold: finding.threshold,
        detected: finding.detected,
    }
}

fn metrics(metrics: &TurnMetrics) -> pb::TurnMetrics {
    pb::TurnMetrics {
        total: Some(time::span(metrics.total)),
        time_to_first_output: metrics.time_to_first_output.map(time::span),
        model_latency: Some(time::span(metrics.model_latency)),
        tool_time: Some(time::span(metrics.tool_time)),
        waiting_time: Some(time::span(metrics.waiting_time)),
        guardrail_time: Some(time::span(metrics.guardrail_time)),
        retries: saturated(metrics.retries),
    }
}

/// Writes a count of tokens into the contract's narrower type.
pub(super) fn tokens(count: u64) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}
