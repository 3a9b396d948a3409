//! Tools that a caller declares, and the choice among them.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use taiwa::v1 as pb;
use taiwa_core::{
    Agent,
    tool::{Approval, ApprovalMode, Decision, Schema, ToolChoice, ToolSpec},
};

use super::{identifier, json, time, violations::Violations};

/// Most tools that a caller declares.
///
/// A guess at more than any model chooses among well. Each costs the compilation of its schema,
/// some 10 µs for the smallest, so that an unlimited number in one message would cost seconds.
const MAX_TOOLS: usize = 256;

/// Spans that a tool may be waited for; the shorter could not be answered over any network.
const TIMEOUTS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(3600));

/// Bytes of an approval's digest: SHA-256.
const DIGEST_BYTES: usize = 32;

/// Longest comment, or input that a person edited; a guess above what people write.
const MAX_DECISION_BYTES: usize = 64 * 1024;

/// Reads the tools that the client runs.
pub(super) fn client_tools(
    wire: Vec<pb::ToolSpec>,
    violations: &mut Violations,
) -> Vec<Arc<ToolSpec>> {
    if wire.len() > MAX_TOOLS {
        let description = format!("must be at most {MAX_TOOLS}, not {}", wire.len());
        violations.refuse_field("client_tools", description);
    }
    let readable = wire.into_iter().take(MAX_TOOLS);
    let tools = readable.enumerate().filter_map(|(index, wire)| {
        violations.within_item("client_tools", index, |violations| spec(wire, violations))
    });
    tools.map(Arc::new).collect()
}

/// Refuses a name that two tools have; a model could not tell them apart.
///
/// A list that the request leaves empty is the agent's.
pub(super) fn check_names(wire: &pb::TurnOptions, agent: &Agent, violations: &mut Violations) {
    let mut seen = BTreeSet::new();
    if wire.provider_tools.is_empty() {
        seen.extend(agent.options.provider_tools.iter().map(String::as_str));
    }
    if wire.client_tools.is_empty() {
        seen.extend(
            agent
                .options
                .client_tools
                .iter()
                .map(|tool| tool.name.as_str()),
        );
    }
    for (index, tool) in wire.client_tools.iter().enumerate() {
        if !seen.insert(tool.name.as_str()) {
            violations.within_item("client_tools", index, |violations| {
                violations.refuse_field("name", NAME_TAKEN);
            });
        }
    }
    for (index, name) in wire.provider_tools.iter().enumerate() {
        if !seen.insert(name.as_str()) {
            violations.within_item("provider_tools", index, |violations| {
                violations.refuse(NAME_TAKEN);
            });
        }
    }
}

const NAME_TAKEN: &str = "must differ from the names of other tools";

/// Reads the choice among tools; an unset choice falls back as other settings do.
///
/// `declared` names the request's own tools, where the request must name all that it may choose.
pub(super) fn choice(
    wire: pb::ToolChoice,
    declared: Option<(&[String], &Agent)>,
    violations: &mut Violations,
) -> Option<ToolChoice> {
    match wire.choice? {
        pb::tool_choice::Choice::Mode(mode) => match pb::ToolChoiceMode::try_from(mode) {
            Ok(pb::ToolChoiceMode::Unspecified) => None,
            Ok(pb::ToolChoiceMode::Auto) => Some(ToolChoice::Auto),
            Ok(pb::ToolChoiceMode::Any) => Some(ToolChoice::Any),
            Ok(pb::ToolChoiceMode::None) => Some(ToolChoice::Disabled),
            Err(_) => {
                violations.refuse_field(
                    "mode",
                    "must be TOOL_CHOICE_MODE_AUTO, TOOL_CHOICE_MODE_ANY or \
                     TOOL_CHOICE_MODE_NONE",
                );
                None
            }
        },
        pb::tool_choice::Choice::ToolName(name) => {
            let fits = violations.within("tool_name", |violations| {
                if !identifier::check_tool_name(&name, violations) {
                    return false;
                }
                let is_declared = declared.is_none_or(|(own, agent)| {
                    own.contains(&name)
                        // Which tools the server has changes while it runs.
                        || agent.serves_tools
                        || agent.options.client_tool(&name).is_some()
                        || agent.options.provider_tools.contains(&name)
                });
                if !is_declared {
                    violations.refuse("must name a tool of this request or of the agent");
                }
                is_declared
            });
            fits.then_some(ToolChoice::Tool(name))
        }
    }
}

fn spec(wire: pb::ToolSpec, violations: &mut Violations) -> Option<ToolSpec> {
    let name_fits = violations.within("name", |violations| {
        identifier::check_tool_name(&wire.name, violations)
    });
    let schema = match wire.input {
        None => {
            violations.refuse_field(
                "input_schema_json",
                r#"must be set, or input_schema: a JSON Schema such as {"type":"object"}"#,
            );
            None
        }
        Some(pb::tool_spec::Input::InputSchemaJson(text)) => {
            violations.within("input_schema_json", |violations| schema(&text, violations))
        }
        Some(pb::tool_spec::Input::InputSchema(fields)) => {
            violations.within("input_schema", |violations| {
                let json = json::object(fields, violations)?;
                schema(&json.to_string(), violations)
            })
        }
    };
    let timeout = wire.timeout.and_then(|wire| {
        violations.within("timeout", |violations| {
            let timeout = time::duration(wire, violations)?;
            let (shortest, longest) = TIMEOUTS;
            if !(shortest..=longest).contains(&timeout) {
                violations.refuse(format!("must be between 1 s and 1 h, not {timeout:?}"));
            }
            Some(timeout)
        })
    });
    let approval = approval_mode(wire.approval, violations).map(|mode| match mode {
        ApprovalMode::Never => Approval::Never,
        ApprovalMode::Always => Approval::Always,
    });
    let schema = schema.filter(|_| name_fits)?;
    Some(ToolSpec {
        name: wire.name,
        description: wire.description,
        schema,
        strict: wire.strict,
        timeout,
        approval,
    })
}

/// Reads the field `approval`; unset means the agent's own rule.
pub(super) fn approval_mode(given: i32, violations: &mut Violations) -> Option<ApprovalMode> {
    match pb::ApprovalMode::try_from(given) {
        Ok(pb::ApprovalMode::Unspecified) => None,
        Ok(pb::ApprovalMode::Never) => Some(ApprovalMode::Never),
        Ok(pb::ApprovalMode::Always) => Some(ApprovalMode::Always),
        Ok(pb::ApprovalMode::ByInput) | Err(_) => {
            let text = "must be APPROVAL_MODE_NEVER or APPROVAL_MODE_ALWAYS";
            violations.refuse_field("approval", text);
            None
        }
    }
}

/// Reads an answer to an approval request.
pub(super) fn decision(wire: pb::ApprovalDecision, violations: &mut Violations) -> Decision {
    if wire.approval_id.is_empty() {
        violations.refuse_field("approval_id", "must be that of an approval_request");
    }
    if !wire.digest.is_empty() && wire.digest.len() != DIGEST_BYTES {
        violations.refuse_field("digest", "must be the 32 bytes of the approval_request's");
    }
    for (field, text) in [
        ("edited_input_json", &wire.edited_input_json),
        ("comment", &wire.comment),
    ] {
        if text.len() > MAX_DECISION_BYTES {
            let given = text.len();
            let description = format!("must be at most {MAX_DECISION_BYTES} bytes, not {given}");
            violations.refuse_field(field, description);
        }
    }
    Decision {
        approval_id: wire.approval_id,
        approved: wire.approved,
        edited_input_json: Some(wire.edited_input_json).filter(|text| !text.is_empty()),
        comment: wire.comment,
        remember: wire.remember,
        digest: Some(wire.digest.to_vec()).filter(|digest| !digest.is_empty()),
    }
}

/// Reads a JSON Schema, as the field that is being looked at.
pub(super) fn schema(text: &str, violations: &mut Violations) -> Option<Schema> {
    match Schema::parse(text) {
        Ok(schema) => Some(schema),
        Err(error) => {
            violations.refuse(error.to_string());
            None
        }
    }
}
