//! The tools offered to the model.

use std::collections::BTreeSet;

use aws_sdk_bedrockruntime::{error::BuildError, types as bedrock};
use taiwa_core::{Block, ModelRequest, ToolSpec, tool::ToolChoice};

use super::{content, verbatim::Verbatim};

/// The tools, the choice among them, and the cache point behind them.
///
/// Bedrock refuses a conversation with tool calls in it when no tools are declared. Where none
/// are offered (the choice is [`ToolChoice::Disabled`], or the agent has lost its tools) but the
/// history has calls, the tools called are declared by name, with an empty input and a
/// description that tells the model not to call them. A call that it makes all the same is one
/// of an unknown tool.
pub(super) fn configuration(
    request: &ModelRequest,
    json: &mut Verbatim,
) -> Result<Option<bedrock::ToolConfiguration>, BuildError> {
    let options = &request.options;
    let disabled = request.tool_choice == Some(ToolChoice::Disabled);
    let mut tools = Vec::new();
    if !disabled {
        for tool in &request.tools {
            tools.push(specification(tool, json)?);
        }
    }
    // The tool that takes a reply is offered also to a caller that wants none.
    if options.offers_tools() {
        for name in &options.provider_tools {
            let tool = bedrock::SystemTool::builder().name(name).build()?;
            tools.push(bedrock::Tool::SystemTool(tool));
        }
    }
    let offered = !tools.is_empty();
    if !offered {
        for name in called(request) {
            tools.push(withdrawn(name, json)?);
        }
    }
    if tools.is_empty() {
        return Ok(None);
    }
    if let Some(cache) = options.cache.filter(|cache| cache.tools) {
        tools.push(bedrock::Tool::CachePoint(content::cache_point(cache.ttl)?));
    }
    let choice = request
        .tool_choice
        .as_ref()
        .filter(|_| offered)
        .map(choice)
        .transpose()?;
    bedrock::ToolConfiguration::builder()
        .set_tools(Some(tools))
        .set_tool_choice(choice.flatten())
        .build()
        .map(Some)
}

fn specification(tool: &ToolSpec, json: &mut Verbatim) -> Result<bedrock::Tool, BuildError> {
    let description = Some(tool.description.clone()).filter(|text| !text.is_empty());
    bedrock::ToolSpecification::builder()
        .name(&tool.name)
        .set_description(description)
        .input_schema(bedrock::ToolInputSchema::Json(
            json.hold(tool.schema.as_str().to_owned()),
        ))
        .set_strict(tool.strict.then_some(true))
        .build()
        .map(bedrock::Tool::ToolSpec)
}

fn withdrawn(name: &str, json: &mut Verbatim) -> Result<bedrock::Tool, BuildError> {
    bedrock::ToolSpecification::builder()
        .name(name)
        .description("Not available. Do not call it.")
        .input_schema(bedrock::ToolInputSchema::Json(
            json.hold(r#"{"type":"object"}"#.to_owned()),
        ))
        .build()
        .map(bedrock::Tool::ToolSpec)
}

fn choice(choice: &ToolChoice) -> Result<Option<bedrock::ToolChoice>, BuildError> {
    Ok(match choice {
        ToolChoice::Disabled => None,
        ToolChoice::Auto => Some(bedrock::ToolChoice::Auto(
            bedrock::AutoToolChoice::builder().build(),
        )),
        ToolChoice::Any => Some(bedrock::ToolChoice::Any(
            bedrock::AnyToolChoice::builder().build(),
        )),
        ToolChoice::Tool(name) => Some(bedrock::ToolChoice::Tool(
            bedrock::SpecificToolChoice::builder().name(name).build()?,
        )),
    })
}

/// The names of the tools that the conversation calls.
fn called(request: &ModelRequest) -> BTreeSet<&str> {
    let blocks = request.messages.iter().flat_map(|message| &message.content);
    let calls = blocks.filter_map(|block| {
        if let Block::ToolCall(call) = block {
            Some(call)
        } else {
            None
        }
    });
    calls.map(|call| call.name.as_str()).collect()
}
