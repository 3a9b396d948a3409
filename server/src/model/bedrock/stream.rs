//! The model's stream: each event of the wire as one of ours.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "the SDK's enums grow, and what is not known is passed over"
)]

use std::time::Duration;

use aws_sdk_bedrockruntime::{
    operation::{RequestId, converse_stream::ConverseStreamOutput},
    primitives::event_stream::EventReceiver,
    types::{self as bedrock, error::ConverseStreamOutputError},
};
use bytes::Bytes;
use taiwa_core::{
    Failure, ModelEvent, Reason, StopReason, Usage,
    media::{ImageFormat, S3Object},
    message::{CacheTtl, Citation, CitationLocation, Range},
    model::{BlockDelta, BlockStart, MessageStop, ModelMetadata, ToolResultDelta},
    usage::{CacheWrite, GrantedService},
};

use super::{document, error, guardrail};

/// What a model says, event by event.
///
/// Read it to its end: a connection whose answer was read whole is used again. Dropping it before
/// that closes the connection (over HTTP/2 the stream) to the provider at once.
#[derive(Debug)]
pub struct ModelStream {
    /// `None` after the end.
    events: Option<EventReceiver<bedrock::ConverseStreamOutput, ConverseStreamOutputError>>,
    request_id: Option<String>,
    asked_for_trace: bool,
}

impl ModelStream {
    pub(super) fn new(output: ConverseStreamOutput, asked_for_trace: bool) -> Self {
        let request_id = output.request_id().map(str::to_owned);
        Self {
            events: Some(output.stream),
            request_id,
            asked_for_trace,
        }
    }

    /// The provider's id of the call, for its support.
    pub fn request_id(&self) -> Option<&str> {
        self.request_id.as_deref()
    }

    /// Waits for the next event; `None` when the provider has closed the stream.
    ///
    /// An end without [`ModelEvent::MessageStop`] before it is passed on as it is. What this
    /// version of the API does not know is passed over. After an error there is nothing more.
    ///
    /// # Errors
    ///
    /// `ModelStreamError` when the connection is cut or a frame is damaged; else the reason of
    /// the exception that the provider sent in the stream.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when the future is dropped. The SDK's receiver suspends at one place, the
    /// wait for the next piece of the body; before it, it has taken nothing out that is not back
    /// in its buffer, and after it, it stores the piece and decodes frames without another wait
    /// (`Receiver::buffer_next_chunk` and `next_message` of aws-smithy-http 0.64.3).
    pub async fn next(&mut self) -> Option<Result<ModelEvent, Failure>> {
        let ended = loop {
            match self.events.as_mut()?.recv().await {
                Ok(Some(output)) => match event(output, self.asked_for_trace) {
                    Ok(Some(event)) => return Some(Ok(event)),
                    Ok(None) => tracing::debug!("passed over an unknown event of the model"),
                    Err(failure) => break Some(Err(failure)),
                },
                Ok(None) => break None,
                Err(error) => break Some(Err(error::of_stream(&error, self.request_id()))),
            }
        };
        self.events = None;
        ended
    }
}

/// Makes an event; `None` when it, or what it is about, is not known.
fn event(
    output: bedrock::ConverseStreamOutput,
    asked_for_trace: bool,
) -> Result<Option<ModelEvent>, Failure> {
    use bedrock::ConverseStreamOutput as Output;
    Ok(match output {
        Output::ContentBlockDelta(event) => {
            let index = index(event.content_block_index)?;
            let delta = event.delta.and_then(delta);
            delta.map(|delta| ModelEvent::BlockDelta { index, delta })
        }
        Output::ContentBlockStart(event) => {
            let index = index(event.content_block_index)?;
            let start = event.start.and_then(start);
            start.map(|start| ModelEvent::BlockStart { index, start })
        }
        Output::ContentBlockStop(event) => Some(ModelEvent::BlockStop {
            index: index(event.content_block_index)?,
        }),
        Output::MessageStart(_) => Some(ModelEvent::MessageStart),
        Output::MessageStop(event) => Some(ModelEvent::MessageStop(message_stop(event))),
        Output::Metadata(event) => Some(ModelEvent::Metadata(Box::new(metadata(
            event,
            asked_for_trace,
        )))),
        _ => None,
    })
}

fn index(index: i32) -> Result<u32, Failure> {
    index.try_into().map_err(|_| {
        Failure::new(
            Reason::ModelStreamError,
            "the model's stream has a block index below zero",
        )
    })
}

fn start(start: bedrock::ContentBlockStart) -> Option<BlockStart> {
    Some(match start {
        bedrock::ContentBlockStart::ToolUse(start) => BlockStart::ToolCall {
            id: start.tool_use_id,
            name: start.name,
            provider_run: start.r#type == Some(bedrock::ToolUseType::ServerToolUse),
        },
        bedrock::ContentBlockStart::ToolResult(start) => BlockStart::ToolResult {
            call_id: start.tool_use_id,
            kind: start.r#type.unwrap_or_default(),
            is_error: start.status == Some(bedrock::ToolResultStatus::Error),
        },
        bedrock::ContentBlockStart::Image(start) => BlockStart::Image(match start.format {
            bedrock::ImageFormat::Png => ImageFormat::Png,
            bedrock::ImageFormat::Jpeg => ImageFormat::Jpeg,
            bedrock::ImageFormat::Gif => ImageFormat::Gif,
            bedrock::ImageFormat::Webp => ImageFormat::Webp,
            _ => return None,
        }),
        _ => return None,
    })
}

fn delta(delta: bedrock::ContentBlockDelta) -> Option<BlockDelta> {
    use bedrock::{ContentBlockDelta as Delta, ReasoningContentBlockDelta as Reasoning};
    Some(match delta {
        Delta::Text(text) => BlockDelta::Text(text),
        Delta::ToolUse(delta) => BlockDelta::ToolInput(delta.input),
        Delta::ReasoningContent(Reasoning::Text(text)) => BlockDelta::ReasoningText(text),
        Delta::ReasoningContent(Reasoning::Signature(signature)) => {
            BlockDelta::ReasoningSignature(signature)
        }
        Delta::ReasoningContent(Reasoning::RedactedContent(content)) => {
            BlockDelta::ReasoningRedacted(content.into_inner().into())
        }
        Delta::ToolResult(deltas) => {
            BlockDelta::ToolResult(deltas.into_iter().filter_map(tool_result_delta).collect())
        }
        Delta::Citation(citation) => BlockDelta::Citation(self::citation(citation)),
        Delta::Image(delta) => return image_delta(delta),
        _ => return None,
    })
}

fn tool_result_delta(delta: bedrock::ToolResultBlockDelta) -> Option<ToolResultDelta> {
    match delta {
        bedrock::ToolResultBlockDelta::Text(text) => Some(ToolResultDelta::Text(text)),
        bedrock::ToolResultBlockDelta::Json(json) => Some(ToolResultDelta::Json(
            document::into_value(json).to_string(),
        )),
        _ => None,
    }
}

fn image_delta(delta: bedrock::ImageBlockDelta) -> Option<BlockDelta> {
    if let Some(error) = delta.error {
        return Some(BlockDelta::ImageError(error.message.unwrap_or_default()));
    }
    match delta.source? {
        bedrock::ImageSource::Bytes(bytes) => {
            Some(BlockDelta::Image(Bytes::from(bytes.into_inner())))
        }
        bedrock::ImageSource::S3Location(location) => Some(BlockDelta::ImageObject(S3Object {
            uri: location.uri,
            bucket_owner: location.bucket_owner,
        })),
        _ => None,
    }
}

fn citation(delta: bedrock::CitationsDelta) -> Citation {
    let quotes = delta.source_content.into_iter().flatten();
    Citation {
        title: delta.title.unwrap_or_default(),
        source: delta.source.unwrap_or_default(),
        quotes: quotes.filter_map(|content| content.text).collect(),
        location: delta.location.and_then(citation_location),
    }
}

fn citation_location(location: bedrock::CitationLocation) -> Option<CitationLocation> {
    use bedrock::CitationLocation as Location;
    let range = |index: Option<i32>, start: Option<i32>, end: Option<i32>| Range {
        index: index.unwrap_or_default(),
        start: start.unwrap_or_default(),
        end: end.unwrap_or_default(),
    };
    Some(match location {
        Location::Web(at) => CitationLocation::Web {
            url: at.url.unwrap_or_default(),
            domain: at.domain.unwrap_or_default(),
        },
        Location::DocumentChar(at) => {
            CitationLocation::DocumentCharacters(range(at.document_index, at.start, at.end))
        }
        Location::DocumentPage(at) => {
            CitationLocation::DocumentPages(range(at.document_index, at.start, at.end))
        }
        Location::DocumentChunk(at) => {
            CitationLocation::DocumentChunks(range(at.document_index, at.start, at.end))
        }
        Location::SearchResultLocation(at) => {
            CitationLocation::SearchResult(range(at.search_result_index, at.start, at.end))
        }
        _ => return None,
    })
}

fn message_stop(event: bedrock::MessageStopEvent) -> MessageStop {
    use bedrock::StopReason as Reason;
    let fields = event
        .additional_model_response_fields
        .map(document::into_value);
    let reason = match &event.stop_reason {
        Reason::EndTurn => StopReason::EndTurn,
        Reason::ToolUse => StopReason::ToolUse,
        Reason::MaxTokens => StopReason::MaxTokens,
        Reason::StopSequence => StopReason::StopSequence,
        Reason::GuardrailIntervened => StopReason::GuardrailIntervened,
        Reason::ContentFiltered => StopReason::ContentFiltered,
        Reason::MalformedModelOutput => StopReason::MalformedModelOutput,
        Reason::MalformedToolUse => StopReason::MalformedToolUse,
        Reason::ModelContextWindowExceeded => StopReason::ContextWindowExceeded,
        _ => StopReason::Unknown,
    };
    let detail = if reason == StopReason::Unknown {
        event.stop_reason.as_str()
    } else {
        // Told by Anthropic's models, where the field was asked for.
        let fields = fields
            .as_ref()
            .filter(|_| reason == StopReason::StopSequence);
        fields
            .and_then(|fields| fields.get("stop_sequence")?.as_str())
            .unwrap_or_default()
    };
    MessageStop {
        reason,
        detail: detail.to_owned(),
        additional_fields_json: fields.map(|fields| fields.to_string()).unwrap_or_default(),
    }
}

fn metadata(event: bedrock::ConverseStreamMetadataEvent, asked_for_trace: bool) -> ModelMetadata {
    let (guardrail, router) = event
        .trace
        .map(|trace| (trace.guardrail, trace.prompt_router))
        .unwrap_or_default();
    ModelMetadata {
        usage: event.usage.map(usage).unwrap_or_default(),
        latency: event
            .metrics
            .map(|metrics| Duration::from_millis(unsigned(metrics.latency_ms))),
        guardrails: guardrail
            .map(|trace| guardrail::outcomes(trace, asked_for_trace))
            .unwrap_or_default(),
        invoked_model_id: router.and_then(|router| router.invoked_model_id),
        granted: GrantedService {
            tier: event
                .service_tier
                .map(|tier| tier.r#type.as_str().to_owned())
                .unwrap_or_default(),
            latency: event
                .performance_config
                .map(|config| config.latency.as_str().to_owned())
                .unwrap_or_default(),
        },
    }
}

fn usage(usage: bedrock::TokenUsage) -> Usage {
    let details = usage.cache_details.into_iter().flatten();
    Usage {
        input_tokens: unsigned(usage.input_tokens),
        output_tokens: unsigned(usage.output_tokens),
        total_tokens: unsigned(usage.total_tokens),
        cache_read_tokens: unsigned(usage.cache_read_input_tokens.unwrap_or_default()),
        cache_write_tokens: unsigned(usage.cache_write_input_tokens.unwrap_or_default()),
        cache_writes: details
            .filter_map(|detail| {
                let ttl = CacheTtl::parse(detail.ttl.as_str())?;
                Some(CacheWrite {
                    ttl,
                    tokens: unsigned(detail.input_tokens),
                })
            })
            .collect(),
        ..Usage::default()
    }
}

/// Counts are never below zero; one that is says nothing.
fn unsigned(count: impl Into<i64>) -> u64 {
    count.into().try_into().unwrap_or_default()
}
