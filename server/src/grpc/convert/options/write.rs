//! Settings of a turn, as they are told.

use std::sync::Arc;

use taiwa::v1 as pb;
use taiwa_core::{
    Block, TurnOptions,
    options::{
        CacheOptions, GuardrailOptions, GuardrailStreamMode, GuardrailTrace, OutputFormat,
        SystemBlock,
    },
    price,
    tool::{Approval, ApprovalMode, ToolChoice, ToolSpec},
};

use crate::grpc::convert::{content, json, time};

/// Writes settings.
pub fn write(options: TurnOptions) -> pb::TurnOptions {
    let count = |count: u32| i32::try_from(count).unwrap_or(i32::MAX);
    pb::TurnOptions {
        model_id: options.model_id.unwrap_or_default(),
        system: options.system.unwrap_or_default(),
        system_content: options
            .system_content
            .into_iter()
            .map(|block| content::block(system_block(block)))
            .collect(),
        max_tokens: options.max_tokens.map(|most| count(most.get())),
        temperature: options.temperature,
        top_p: options.top_p,
        stop_sequences: options.stop_sequences,
        reasoning: options.reasoning.map(|reasoning| pb::ReasoningOptions {
            effort: reasoning.effort.unwrap_or_default(),
            budget_tokens: reasoning
                .budget_tokens
                .map_or(0, |budget| count(budget.get())),
        }),
        output: options.output.map(output),
        client_tools: options.client_tools.iter().map(tool).collect(),
        allowed_tools: options.allowed_tools,
        provider_tools: options.provider_tools,
        approval: approval_mode(options.approval).into(),
        max_cost_usd: options
            .max_cost
            .map_or(0.0, |most| price::dollars(most.get())),
        tool_choice: options.tool_choice.map(tool_choice),
        guardrail: options.guardrail.map(guardrail),
        max_steps: options.max_steps.map_or(0, |most| count(most.get())),
        timeout: options.timeout.map(time::span),
        max_total_tokens: options
            .max_total_tokens
            .map_or(0, |most| i64::try_from(most.get()).unwrap_or(i64::MAX)),
        service_tier: options
            .service_tier
            .map_or_else(String::new, |tier| tier.as_str().to_owned()),
        latency: options
            .latency
            .map_or_else(String::new, |latency| latency.as_str().to_owned()),
        prompt_variables: options.prompt_variables,
        additional_model_fields: options.additional_model_fields.and_then(json::to_struct),
        additional_response_paths: options.additional_response_paths,
        request_metadata: options.request_metadata,
        cache: options.cache.as_ref().map(cache),
        include_steps: options.include_steps,
    }
}

fn system_block(block: SystemBlock) -> Block {
    match block {
        SystemBlock::Text(text) => Block::Text(text),
        SystemBlock::GuardContent(content) => Block::GuardContent(content),
        SystemBlock::CachePoint(point) => Block::CachePoint(point),
    }
}

fn output(output: OutputFormat) -> pb::OutputFormat {
    let schema = pb::output_format::JsonSchema::SchemaJson(output.schema.as_str().to_owned());
    pb::OutputFormat {
        name: output.name,
        description: output.description,
        json_schema: Some(schema),
    }
}

fn tool(tool: &Arc<ToolSpec>) -> pb::ToolSpec {
    let schema = tool.schema.as_str().to_owned();
    pb::ToolSpec {
        name: tool.name.clone(),
        description: tool.description.clone(),
        input: Some(pb::tool_spec::Input::InputSchemaJson(schema)),
        strict: tool.strict,
        timeout: tool.timeout.map(time::span),
        approval: approval(tool.approval.as_ref()).into(),
    }
}

/// Writes when a person must consent to a tool's calls.
pub fn approval(approval: Option<&Approval>) -> pb::ApprovalMode {
    match approval {
        None => pb::ApprovalMode::Unspecified,
        Some(Approval::Never) => pb::ApprovalMode::Never,
        Some(Approval::Always) => pb::ApprovalMode::Always,
        Some(Approval::When(_)) => pb::ApprovalMode::ByInput,
    }
}

fn approval_mode(mode: Option<ApprovalMode>) -> pb::ApprovalMode {
    match mode {
        None => pb::ApprovalMode::Unspecified,
        Some(ApprovalMode::Never) => pb::ApprovalMode::Never,
        Some(ApprovalMode::Always) => pb::ApprovalMode::Always,
    }
}

fn tool_choice(choice: ToolChoice) -> pb::ToolChoice {
    use pb::tool_choice::Choice as Wire;
    let choice = match choice {
        ToolChoice::Auto => Wire::Mode(pb::ToolChoiceMode::Auto.into()),
        ToolChoice::Any => Wire::Mode(pb::ToolChoiceMode::Any.into()),
        ToolChoice::Disabled => Wire::Mode(pb::ToolChoiceMode::None.into()),
        ToolChoice::Tool(name) => Wire::ToolName(name),
    };
    pb::ToolChoice {
        choice: Some(choice),
    }
}

fn guardrail(guardrail: GuardrailOptions) -> pb::GuardrailOptions {
    let trace = match guardrail.trace {
        None => pb::GuardrailTrace::Unspecified,
        Some(GuardrailTrace::Disabled) => pb::GuardrailTrace::Disabled,
        Some(GuardrailTrace::Enabled) => pb::GuardrailTrace::Enabled,
        Some(GuardrailTrace::Full) => pb::GuardrailTrace::Full,
    };
    let stream_mode = match guardrail.stream_mode {
        None => pb::GuardrailStreamMode::Unspecified,
        Some(GuardrailStreamMode::Sync) => pb::GuardrailStreamMode::Sync,
        Some(GuardrailStreamMode::Async) => pb::GuardrailStreamMode::Async,
    };
    pb::GuardrailOptions {
        guardrail_id: guardrail.guardrail_id,
        version: guardrail.version,
        trace: trace.into(),
        stream_mode: stream_mode.into(),
    }
}

fn cache(cache: &CacheOptions) -> pb::CacheOptions {
    pb::CacheOptions {
        system: cache.system,
        tools: cache.tools,
        messages: cache.messages,
        ttl: cache
            .ttl
            .map_or_else(String::new, |ttl| ttl.as_str().to_owned()),
    }
}
