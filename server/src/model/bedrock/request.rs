//! A model request, as the API takes it.

use std::collections::HashMap;

use aws_sdk_bedrockruntime::{
    error::BuildError,
    operation::{
        converse_stream::builders::ConverseStreamFluentBuilder,
        count_tokens::builders::CountTokensFluentBuilder,
    },
    types as bedrock,
};
use aws_smithy_types::Document;
use serde_json::Value;
use taiwa_core::{
    Failure, Message, ModelRequest, Reason, Role, TurnOptions,
    model::ReplyForm,
    options::{
        GuardrailOptions, GuardrailStreamMode, GuardrailTrace, LatencyMode, OutputFormat,
        ServiceTier, SystemBlock,
    },
};

use super::{content, reasoning, tools, verbatim::Verbatim};

/// Fills in a `ConverseStream` call; the JSON in it is to be put in place by the interceptor.
pub(super) fn converse_stream(
    call: ConverseStreamFluentBuilder,
    request: &ModelRequest,
) -> Result<(ConverseStreamFluentBuilder, Verbatim), Failure> {
    let options = &*request.options;
    let model_id = model_id(options)?;
    let mut json = Verbatim::default();
    let additional_fields = additional_fields(model_id, options, &mut json)?;
    let guardrail = options.guardrail.as_ref().map(guardrail).transpose()?;
    let metadata = &options.request_metadata;
    let call = call
        .model_id(model_id)
        .set_messages(Some(messages(request, &mut json).map_err(unfinished)?))
        .set_system(system(options).map_err(unfinished)?)
        .set_inference_config(inference(request))
        .set_tool_config(tools::configuration(request, &mut json).map_err(unfinished)?)
        .set_guardrail_config(guardrail)
        .set_additional_model_request_fields(additional_fields)
        .set_prompt_variables(prompt_variables(options))
        .set_additional_model_response_field_paths(some_unless_empty(
            options.additional_response_paths.clone(),
        ))
        .set_request_metadata((!metadata.is_empty()).then(|| {
            metadata
                .iter()
                .map(|(key, value)| (key.clone(), value.clone()))
                .collect()
        }))
        .set_performance_config(options.latency.map(performance))
        .set_service_tier(
            options
                .service_tier
                .map(service_tier)
                .transpose()
                .map_err(unfinished)?,
        )
        .set_output_config(output(model_id, request).map_err(unfinished)?);
    Ok((call, json))
}

/// Fills in a `CountTokens` call, which takes what of the request has tokens; the JSON in it is
/// to be put in place by the interceptor.
pub(super) fn count_tokens(
    call: CountTokensFluentBuilder,
    request: &ModelRequest,
) -> Result<(CountTokensFluentBuilder, Verbatim), Failure> {
    let options = &*request.options;
    let model_id = model_id(options)?;
    let mut json = Verbatim::default();
    let converse = bedrock::ConverseTokensRequest::builder()
        .set_messages(Some(messages(request, &mut json).map_err(unfinished)?))
        .set_system(system(options).map_err(unfinished)?)
        .set_tool_config(tools::configuration(request, &mut json).map_err(unfinished)?)
        .set_additional_model_request_fields(additional_fields(model_id, options, &mut json)?)
        .build();
    let call = call
        .model_id(model_id)
        .input(bedrock::CountTokensInput::Converse(converse));
    Ok((call, json))
}

/// Tells whether the caller asked for the guardrail's findings.
pub(super) fn asks_for_trace(request: &ModelRequest) -> bool {
    match request
        .options
        .guardrail
        .as_ref()
        .and_then(|guardrail| guardrail.trace)
    {
        Some(GuardrailTrace::Enabled | GuardrailTrace::Full) => true,
        Some(GuardrailTrace::Disabled) | None => false,
    }
}

/// A part was built without a member that the API requires, which only a fault here can cause.
fn unfinished(error: BuildError) -> Failure {
    tracing::error!(%error, "model request could not be built");
    Failure::new(Reason::Internal, "the model request could not be built")
}

fn some_unless_empty<T>(list: Vec<T>) -> Option<Vec<T>> {
    (!list.is_empty()).then_some(list)
}

fn model_id(options: &TurnOptions) -> Result<&str, Failure> {
    options
        .model_id
        .as_deref()
        .filter(|id| !id.is_empty())
        .ok_or_else(|| Failure::invalid("options.model_id", "no model is named"))
}

fn messages(
    request: &ModelRequest,
    json: &mut Verbatim,
) -> Result<Vec<bedrock::Message>, BuildError> {
    let mut messages: Vec<_> = request
        .messages
        .iter()
        .map(|message| self::message(message, json))
        .collect::<Result<_, _>>()?;
    if let Some(cache) = request.options.cache.filter(|cache| cache.messages)
        && let Some(last) = messages.last_mut()
        && !matches!(
            last.content.last(),
            Some(bedrock::ContentBlock::CachePoint(_)) | None
        )
    {
        last.content
            .push(bedrock::ContentBlock::CachePoint(content::cache_point(
                cache.ttl,
            )?));
    }
    Ok(messages)
}

fn message(message: &Message, json: &mut Verbatim) -> Result<bedrock::Message, BuildError> {
    bedrock::Message::builder()
        .role(match message.role {
            Role::User => bedrock::ConversationRole::User,
            Role::Assistant => bedrock::ConversationRole::Assistant,
            Role::System => bedrock::ConversationRole::System,
        })
        .set_content(Some(
            message
                .content
                .iter()
                .map(|block| content::block(block, json))
                .collect::<Result<_, _>>()?,
        ))
        .build()
}

fn system(options: &TurnOptions) -> Result<Option<Vec<bedrock::SystemContentBlock>>, BuildError> {
    let prompt = options.system.iter().filter(|text| !text.is_empty());
    let mut blocks: Vec<_> = prompt
        .cloned()
        .map(bedrock::SystemContentBlock::Text)
        .collect();
    for block in &options.system_content {
        blocks.push(match block {
            SystemBlock::Text(text) => bedrock::SystemContentBlock::Text(text.clone()),
            SystemBlock::GuardContent(guarded) => {
                bedrock::SystemContentBlock::GuardContent(content::guarded(guarded)?)
            }
            SystemBlock::CachePoint(point) => {
                bedrock::SystemContentBlock::CachePoint(content::cache_point(point.ttl)?)
            }
        });
    }
    if let Some(cache) = options.cache.filter(|cache| cache.system)
        && !matches!(
            blocks.last(),
            Some(bedrock::SystemContentBlock::CachePoint(_)) | None
        )
    {
        blocks.push(bedrock::SystemContentBlock::CachePoint(
            content::cache_point(cache.ttl)?,
        ));
    }
    Ok(some_unless_empty(blocks))
}

fn inference(request: &ModelRequest) -> Option<bedrock::InferenceConfiguration> {
    let options = &request.options;
    let inference = bedrock::InferenceConfiguration::builder()
        .set_max_tokens(
            request
                .max_tokens
                .map(|tokens| tokens.try_into().unwrap_or(i32::MAX)),
        )
        .set_temperature(options.temperature)
        .set_top_p(options.top_p)
        .set_stop_sequences(some_unless_empty(options.stop_sequences.clone()))
        .build();
    (inference != bedrock::InferenceConfiguration::builder().build()).then_some(inference)
}

fn guardrail(options: &GuardrailOptions) -> Result<bedrock::GuardrailStreamConfiguration, Failure> {
    if options.guardrail_id.is_empty() {
        // Sent without a guardrail, the rest would be settings of nothing, in silence.
        return Err(Failure::invalid(
            "options.guardrail.guardrail_id",
            "guardrail settings are given, but neither the request nor the agent names a guardrail",
        ));
    }
    let version = Some(options.version.clone()).filter(|version| !version.is_empty());
    Ok(bedrock::GuardrailStreamConfiguration::builder()
        .guardrail_identifier(&options.guardrail_id)
        .set_guardrail_version(version)
        .set_trace(options.trace.map(|trace| match trace {
            GuardrailTrace::Disabled => bedrock::GuardrailTrace::Disabled,
            GuardrailTrace::Enabled => bedrock::GuardrailTrace::Enabled,
            GuardrailTrace::Full => bedrock::GuardrailTrace::EnabledFull,
        }))
        .set_stream_processing_mode(options.stream_mode.map(|mode| match mode {
            GuardrailStreamMode::Sync => bedrock::GuardrailStreamProcessingMode::Sync,
            GuardrailStreamMode::Async => bedrock::GuardrailStreamProcessingMode::Async,
        }))
        .build())
}

fn additional_fields(
    model_id: &str,
    options: &TurnOptions,
    json: &mut Verbatim,
) -> Result<Option<Document>, Failure> {
    let fields = reasoning::additional_fields(model_id, options)?;
    Ok(fields.map(|fields| json.hold(Value::Object(fields).to_string())))
}

fn prompt_variables(
    options: &TurnOptions,
) -> Option<HashMap<String, bedrock::PromptVariableValues>> {
    let variables = &options.prompt_variables;
    (!variables.is_empty()).then(|| {
        let text = |value: &String| bedrock::PromptVariableValues::Text(value.clone());
        variables
            .iter()
            .map(|(key, value)| (key.clone(), text(value)))
            .collect()
    })
}

fn performance(mode: LatencyMode) -> bedrock::PerformanceConfiguration {
    bedrock::PerformanceConfiguration::builder()
        .latency(mode.as_str().into())
        .build()
}

fn service_tier(tier: ServiceTier) -> Result<bedrock::ServiceTier, BuildError> {
    bedrock::ServiceTier::builder()
        .r#type(tier.as_str().into())
        .build()
}

fn output(
    model_id: &str,
    request: &ModelRequest,
) -> Result<Option<bedrock::OutputConfig>, BuildError> {
    let options = &*request.options;
    let effort = reasoning::output_effort(model_id, options);
    let format = match request.reply_form {
        ReplyForm::Native => options.output.as_ref().map(output_format).transpose()?,
        ReplyForm::Tool => None,
    };
    if effort.is_none() && format.is_none() {
        return Ok(None);
    }
    let output = bedrock::OutputConfig::builder()
        .set_effort(effort)
        .set_text_format(format);
    Ok(Some(output.build()))
}

fn output_format(format: &OutputFormat) -> Result<bedrock::OutputFormat, BuildError> {
    let unless_empty = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
    let schema = bedrock::JsonSchemaDefinition::builder()
        .schema(format.schema.as_str())
        .set_name(unless_empty(&format.name))
        .set_description(unless_empty(&format.description))
        .build()?;
    bedrock::OutputFormat::builder()
        .r#type(bedrock::OutputFormatType::JsonSchema)
        .structure(bedrock::OutputFormatStructure::JsonSchema(schema))
        .build()
}
