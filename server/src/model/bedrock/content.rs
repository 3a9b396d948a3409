//! Content blocks, as the API takes them.

mod media;

use aws_sdk_bedrockruntime::{error::BuildError, primitives::Blob, types as bedrock};
use aws_smithy_types::Document;
use serde_json::json;
use taiwa_core::{
    Block, ToolCall, ToolResult,
    message::{
        CacheTtl, Citation, CitationLocation, CitedText, GuardContent, GuardQualifier, Range,
        Reasoning, SearchResult, ToolReference,
    },
    tool::ToolResultBlock,
};

use super::verbatim::Verbatim;

/// Makes a content block.
pub(super) fn block(
    block: &Block,
    json: &mut Verbatim,
) -> Result<bedrock::ContentBlock, BuildError> {
    use bedrock::ContentBlock;
    Ok(match block {
        Block::Text(text) => ContentBlock::Text(text.clone()),
        Block::Image(image) => match &image.source {
            Some(source) => ContentBlock::Image(media::image(image, source)?),
            None => ContentBlock::Text(media::missing("image", image.error.as_deref())),
        },
        Block::Document(document) => ContentBlock::Document(media::document(document)?),
        Block::Video(video) => ContentBlock::Video(media::video(video)?),
        Block::Audio(audio) => match &audio.source {
            Some(source) => ContentBlock::Audio(media::audio(audio, source)?),
            None => ContentBlock::Text(media::missing("audio", audio.error.as_deref())),
        },
        Block::ToolCall(call) => ContentBlock::ToolUse(tool_use(call, json)?),
        Block::ToolResult(result) => ContentBlock::ToolResult(tool_result(result, json)?),
        Block::Reasoning(reasoning) => ContentBlock::ReasoningContent(self::reasoning(reasoning)?),
        Block::CitedText(cited) => ContentBlock::CitationsContent(cited_text(cited)),
        Block::SearchResult(result) => ContentBlock::SearchResult(search_result(result)?),
        Block::GuardContent(content) => ContentBlock::GuardContent(guarded(content)?),
        Block::CachePoint(point) => ContentBlock::CachePoint(cache_point(point.ttl)?),
        Block::ToolAddition(tool) => ContentBlock::ToolAddition(
            bedrock::ToolAdditionBlock::builder()
                .tool(tool_reference(tool))
                .build(),
        ),
        Block::ToolRemoval(tool) => ContentBlock::ToolRemoval(
            bedrock::ToolRemovalBlock::builder()
                .tool(tool_reference(tool))
                .build(),
        ),
    })
}

/// Makes a cache point.
pub(super) fn cache_point(ttl: Option<CacheTtl>) -> Result<bedrock::CachePointBlock, BuildError> {
    bedrock::CachePointBlock::builder()
        .r#type(bedrock::CachePointType::Default)
        .set_ttl(ttl.map(|ttl| ttl.as_str().into()))
        .build()
}

/// Makes content for the guardrail.
pub(super) fn guarded(
    content: &GuardContent,
) -> Result<bedrock::GuardrailConverseContentBlock, BuildError> {
    use bedrock::{GuardrailConverseContentBlock, GuardrailConverseContentQualifier};
    Ok(match content {
        GuardContent::Text { text, qualifiers } => {
            let qualifiers = qualifiers.iter().map(|qualifier| match qualifier {
                GuardQualifier::GroundingSource => {
                    GuardrailConverseContentQualifier::GroundingSource
                }
                GuardQualifier::Query => GuardrailConverseContentQualifier::Query,
                GuardQualifier::GuardContent => GuardrailConverseContentQualifier::GuardContent,
            });
            let qualifiers: Vec<_> = qualifiers.collect();
            GuardrailConverseContentBlock::Text(
                bedrock::GuardrailConverseTextBlock::builder()
                    .text(text)
                    .set_qualifiers((!qualifiers.is_empty()).then_some(qualifiers))
                    .build()?,
            )
        }
        GuardContent::Image { format, bytes } => GuardrailConverseContentBlock::Image(
            bedrock::GuardrailConverseImageBlock::builder()
                .format(media::image_format(*format).as_str().into())
                .source(bedrock::GuardrailConverseImageSource::Bytes(Blob::new(
                    bytes.as_ref(),
                )))
                .build()?,
        ),
    })
}

fn tool_use(call: &ToolCall, json: &mut Verbatim) -> Result<bedrock::ToolUseBlock, BuildError> {
    let run_by_provider = call.is_provider_run();
    bedrock::ToolUseBlock::builder()
        .tool_use_id(&call.id)
        .name(&call.name)
        .input(tool_input(&call.input_json, json))
        .set_type(run_by_provider.then_some(bedrock::ToolUseType::ServerToolUse))
        .build()
}

/// The input of a call: the API takes objects alone, and a model may have written something else.
fn tool_input(text: &str, json: &mut Verbatim) -> Document {
    let input = json.object(text);
    input.unwrap_or_else(|| json.hold(json!({ "malformed_input": text }).to_string()))
}

fn tool_result(
    result: &ToolResult,
    json: &mut Verbatim,
) -> Result<bedrock::ToolResultBlock, BuildError> {
    let kind = Some(result.kind.clone()).filter(|kind| !kind.is_empty());
    let content = result
        .content
        .iter()
        .map(|block| tool_result_block(block, json))
        .collect::<Result<_, _>>()?;
    bedrock::ToolResultBlock::builder()
        .tool_use_id(&result.call_id)
        .set_content(Some(content))
        .status(if result.is_error {
            bedrock::ToolResultStatus::Error
        } else {
            bedrock::ToolResultStatus::Success
        })
        .set_type(kind)
        .build()
}

fn tool_result_block(
    block: &ToolResultBlock,
    json: &mut Verbatim,
) -> Result<bedrock::ToolResultContentBlock, BuildError> {
    use bedrock::ToolResultContentBlock as Content;
    Ok(match block {
        ToolResultBlock::Text(text) => Content::Text(text.clone()),
        // Models take JSON objects alone here; other JSON says the same as text.
        ToolResultBlock::Json(text) => match json.object(text) {
            Some(object) => Content::Json(object),
            None => Content::Text(text.clone()),
        },
        ToolResultBlock::Image(image) => match &image.source {
            Some(source) => Content::Image(media::image(image, source)?),
            None => Content::Text(media::missing("image", image.error.as_deref())),
        },
        ToolResultBlock::Document(document) => Content::Document(media::document(document)?),
        ToolResultBlock::Video(video) => Content::Video(media::video(video)?),
        ToolResultBlock::SearchResult(result) => Content::SearchResult(search_result(result)?),
    })
}

fn reasoning(reasoning: &Reasoning) -> Result<bedrock::ReasoningContentBlock, BuildError> {
    Ok(match reasoning {
        Reasoning::Text { text, signature } => bedrock::ReasoningContentBlock::ReasoningText(
            bedrock::ReasoningTextBlock::builder()
                .text(text)
                .set_signature(signature.clone())
                .build()?,
        ),
        Reasoning::Redacted(bytes) => {
            bedrock::ReasoningContentBlock::RedactedContent(Blob::new(bytes.as_ref()))
        }
    })
}

fn cited_text(cited: &CitedText) -> bedrock::CitationsContentBlock {
    let texts = cited
        .texts
        .iter()
        .cloned()
        .map(bedrock::CitationGeneratedContent::Text);
    bedrock::CitationsContentBlock::builder()
        .set_content(Some(texts.collect()))
        .set_citations(Some(cited.citations.iter().map(citation).collect()))
        .build()
}

fn citation(citation: &Citation) -> bedrock::Citation {
    let unless_empty = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
    let quotes = citation
        .quotes
        .iter()
        .cloned()
        .map(bedrock::CitationSourceContent::Text);
    bedrock::Citation::builder()
        .set_title(unless_empty(&citation.title))
        .set_source(unless_empty(&citation.source))
        .set_source_content(Some(quotes.collect()).filter(|quotes: &Vec<_>| !quotes.is_empty()))
        .set_location(citation.location.as_ref().map(citation_location))
        .build()
}

fn citation_location(location: &CitationLocation) -> bedrock::CitationLocation {
    use bedrock::CitationLocation as Location;
    match location {
        CitationLocation::Web { url, domain } => Location::Web(
            bedrock::WebLocation::builder()
                .url(url)
                .domain(domain)
                .build(),
        ),
        CitationLocation::DocumentCharacters(Range { index, start, end }) => {
            let location = bedrock::DocumentCharLocation::builder();
            Location::DocumentChar(
                location
                    .document_index(*index)
                    .start(*start)
                    .end(*end)
                    .build(),
            )
        }
        CitationLocation::DocumentPages(Range { index, start, end }) => {
            let location = bedrock::DocumentPageLocation::builder();
            Location::DocumentPage(
                location
                    .document_index(*index)
                    .start(*start)
                    .end(*end)
                    .build(),
            )
        }
        CitationLocation::DocumentChunks(Range { index, start, end }) => {
            let location = bedrock::DocumentChunkLocation::builder();
            Location::DocumentChunk(
                location
                    .document_index(*index)
                    .start(*start)
                    .end(*end)
                    .build(),
            )
        }
        CitationLocation::SearchResult(Range { index, start, end }) => {
            let location = bedrock::SearchResultLocation::builder();
            Location::SearchResultLocation(
                location
                    .search_result_index(*index)
                    .start(*start)
                    .end(*end)
                    .build(),
            )
        }
    }
}

fn search_result(result: &SearchResult) -> Result<bedrock::SearchResultBlock, BuildError> {
    let texts = result.texts.iter();
    let content = texts
        .map(|text| {
            bedrock::SearchResultContentBlock::builder()
                .text(text)
                .build()
        })
        .collect::<Result<_, _>>()?;
    bedrock::SearchResultBlock::builder()
        .source(&result.source)
        .title(&result.title)
        .set_content(Some(content))
        .set_citations(media::citations(result.citations)?)
        .build()
}

fn tool_reference(tool: &ToolReference) -> bedrock::ToolReference {
    let unless_empty = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
    bedrock::ToolReference::builder()
        .name(&tool.name)
        .set_type(unless_empty(&tool.kind))
        .set_server_name(unless_empty(&tool.server_name))
        .build()
}
