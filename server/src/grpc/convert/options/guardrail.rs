//! The guardrail to apply.

use taiwa::v1 as pb;
use taiwa_core::{
    Agent,
    options::{GuardrailOptions, GuardrailStreamMode, GuardrailTrace},
};

use crate::grpc::convert::violations::Violations;

/// Longest id or ARN, in characters.
///
/// <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_GuardrailConfiguration.html>
const MAX_GUARDRAIL_ID_CHARS: usize = 2048;

/// Reads the guardrail, as the field that is being looked at; one that says nothing is none.
pub(super) fn guardrail(
    wire: pb::GuardrailOptions,
    agent: &Agent,
    violations: &mut Violations,
) -> Option<GuardrailOptions> {
    let id = &wire.guardrail_id;
    if id.chars().count() > MAX_GUARDRAIL_ID_CHARS
        || id
            .chars()
            .any(|one| one.is_control() || one.is_whitespace())
    {
        violations.refuse_field(
            "guardrail_id",
            "must be at most 2048 printable characters without spaces",
        );
    }
    let own_id = agent
        .options
        .guardrail
        .as_ref()
        .map(|own| own.guardrail_id.as_str());
    if wire.version.is_empty() && !id.is_empty() && own_id != Some(id) {
        violations.refuse_field(
            "version",
            "must be set for a guardrail other than the agent's",
        );
    } else if !wire.version.is_empty() && !is_guardrail_version(&wire.version) {
        violations.refuse_field(
            "version",
            "must be DRAFT or a number of at most eight digits",
        );
    }
    let trace = match pb::GuardrailTrace::try_from(wire.trace) {
        Ok(pb::GuardrailTrace::Unspecified) => None,
        Ok(pb::GuardrailTrace::Disabled) => Some(GuardrailTrace::Disabled),
        Ok(pb::GuardrailTrace::Enabled) => Some(GuardrailTrace::Enabled),
        Ok(pb::GuardrailTrace::Full) => Some(GuardrailTrace::Full),
        Err(_) => {
            violations.refuse_field(
                "trace",
                "must be GUARDRAIL_TRACE_DISABLED, GUARDRAIL_TRACE_ENABLED or GUARDRAIL_TRACE_FULL",
            );
            None
        }
    };
    let stream_mode = match pb::GuardrailStreamMode::try_from(wire.stream_mode) {
        Ok(pb::GuardrailStreamMode::Unspecified) => None,
        Ok(pb::GuardrailStreamMode::Sync) => Some(GuardrailStreamMode::Sync),
        Ok(pb::GuardrailStreamMode::Async) => Some(GuardrailStreamMode::Async),
        Err(_) => {
            violations.refuse_field(
                "stream_mode",
                "must be GUARDRAIL_STREAM_MODE_SYNC or GUARDRAIL_STREAM_MODE_ASYNC",
            );
            None
        }
    };
    let guardrail = GuardrailOptions {
        guardrail_id: wire.guardrail_id,
        version: wire.version,
        trace,
        stream_mode,
    };
    (guardrail != GuardrailOptions::default()).then_some(guardrail)
}

/// <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_GuardrailConfiguration.html>
fn is_guardrail_version(version: &str) -> bool {
    version == "DRAFT"
        || ((1..=8).contains(&version.len())
            && version.bytes().all(|byte| byte.is_ascii_digit())
            && !version.starts_with('0'))
}
