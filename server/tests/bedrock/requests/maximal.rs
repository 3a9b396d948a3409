//! A request with everything in it.

use std::{num::NonZeroU32, sync::Arc};

use bytes::Bytes;
use serde_json::json;
use taiwa_core::{
    Block, ModelRequest, Role, ToolCall, ToolResult, ToolSpec, TurnOptions,
    media::{AudioFormat, DocumentFormat, ImageFormat, MediaSource, S3Object, VideoFormat},
    message::{
        Audio, CachePoint, CacheTtl, Citation, CitationLocation, CitedText, Document, DocumentBody,
        GuardContent, GuardQualifier, Image, Range, Reasoning, SearchResult, ToolReference, Video,
    },
    model::ReplyForm,
    options::{
        CacheOptions, GuardrailOptions, GuardrailStreamMode, GuardrailTrace, LatencyMode,
        OutputFormat, ReasoningOptions, ServiceTier, SystemBlock,
    },
    tool::{Executor, Schema, ToolChoice, ToolResultBlock},
};

use super::{CLAUDE, call, message, weather};

/// A request in which every member of the API is set.
pub(super) fn request() -> ModelRequest {
    let options = options();
    ModelRequest {
        max_tokens: Some(1000),
        tools: options.client_tools.clone(),
        tool_choice: options.tool_choice.clone(),
        reply_form: ReplyForm::Native,
        input_tokens: 0,
        options: Arc::new(options),
        messages: vec![
            message(Role::User, user_blocks()),
            message(Role::Assistant, assistant_blocks()),
            message(Role::User, vec![Block::ToolResult(tool_result())]),
            message(
                Role::System,
                vec![Block::Text("instructions on the way".to_owned())],
            ),
            message(Role::User, tool_changes()),
        ],
        deadline: None,
    }
}

fn options() -> TurnOptions {
    let ttl = Some(CacheTtl::OneHour);
    TurnOptions {
        model_id: Some(CLAUDE.to_owned()),
        system: Some("system prompt".to_owned()),
        system_content: vec![
            SystemBlock::Text("more system prompt".to_owned()),
            SystemBlock::CachePoint(CachePoint {
                ttl: Some(CacheTtl::FiveMinutes),
            }),
            SystemBlock::GuardContent(guarded_text(vec![])),
            SystemBlock::GuardContent(guarded_image()),
        ],
        max_tokens: NonZeroU32::new(999_999),
        temperature: Some(0.5),
        top_p: Some(0.25),
        stop_sequences: vec!["STOP".to_owned(), "END".to_owned()],
        reasoning: Some(ReasoningOptions {
            effort: Some("high".to_owned()),
            budget_tokens: NonZeroU32::new(2048),
        }),
        output: Some(OutputFormat {
            name: "answer".to_owned(),
            description: "the answer".to_owned(),
            schema: Schema::parse(r#"{"type": "object"}"#).unwrap(),
        }),
        client_tools: vec![
            Arc::new(ToolSpec {
                name: "book".to_owned(),
                description: "books a table".to_owned(),
                schema: Schema::parse(r#"{"type":"object","maxProperties":2}"#).unwrap(),
                strict: true,
                timeout: None,
                approval: None,
            }),
            weather(),
        ],
        provider_tools: vec!["nova_grounding".to_owned()],
        tool_choice: Some(ToolChoice::Tool("book".to_owned())),
        guardrail: Some(GuardrailOptions {
            guardrail_id: "guardrail7".to_owned(),
            version: "3".to_owned(),
            trace: Some(GuardrailTrace::Full),
            stream_mode: Some(GuardrailStreamMode::Async),
        }),
        service_tier: Some(ServiceTier::Flex),
        latency: Some(LatencyMode::Optimized),
        prompt_variables: [("name".to_owned(), "value".to_owned())].into(),
        additional_model_fields: Some(json!({"top_k": 40})),
        additional_response_paths: vec!["/stop_sequence".to_owned()],
        request_metadata: [("team".to_owned(), "search".to_owned())].into(),
        cache: Some(CacheOptions {
            system: true,
            tools: true,
            messages: true,
            ttl,
        }),
        ..TurnOptions::default()
    }
}

fn user_blocks() -> Vec<Block> {
    vec![
        Block::Text("text".to_owned()),
        Block::Image(image(bytes("image"))),
        Block::Image(Image {
            error: Some("blurred".to_owned()),
            ..image(s3("image"))
        }),
        Block::Document(document(DocumentBody::Source(bytes("document")))),
        Block::Document(document(DocumentBody::Source(s3("document")))),
        Block::Document(Document {
            format: None,
            ..document(DocumentBody::Text("document text".to_owned()))
        }),
        Block::Document(Document {
            context: None,
            citations: false,
            ..document(DocumentBody::Chunks(vec![
                "one".to_owned(),
                "two".to_owned(),
            ]))
        }),
        Block::Video(Video {
            format: VideoFormat::Mp4,
            source: bytes("video"),
        }),
        Block::Video(Video {
            format: VideoFormat::ThreeGp,
            source: s3("video"),
        }),
        Block::Audio(Audio {
            format: AudioFormat::Wav,
            source: Some(bytes("audio")),
            error: Some("noise".to_owned()),
        }),
        Block::Audio(Audio {
            format: AudioFormat::Flac,
            source: Some(s3("audio")),
            error: None,
        }),
        Block::SearchResult(search_result()),
        Block::GuardContent(guarded_text(vec![
            GuardQualifier::GroundingSource,
            GuardQualifier::Query,
            GuardQualifier::GuardContent,
        ])),
        Block::GuardContent(guarded_image()),
        Block::CachePoint(CachePoint { ttl: None }),
    ]
}

fn assistant_blocks() -> Vec<Block> {
    vec![
        Block::Reasoning(Reasoning::Text {
            text: "thinking".to_owned(),
            signature: Some("signed".to_owned()),
        }),
        Block::Reasoning(Reasoning::Text {
            text: "unsigned".to_owned(),
            signature: None,
        }),
        Block::Reasoning(Reasoning::Redacted(Bytes::from_static(b"redacted"))),
        Block::CitedText(CitedText {
            texts: vec!["cited".to_owned(), " text".to_owned()],
            citations: citations(),
        }),
        Block::ToolCall(call("book", r#"{"seats":2,"at":19.5}"#, Executor::Client)),
        Block::ToolCall(ToolCall {
            id: "call-2".to_owned(),
            ..call("nova_grounding", "{}", Executor::Provider)
        }),
        Block::ToolResult(ToolResult {
            call_id: "call-2".to_owned(),
            content: vec![ToolResultBlock::Text("found".to_owned())],
            is_error: false,
            kind: "nova_grounding_result".to_owned(),
        }),
    ]
}

fn citations() -> Vec<Citation> {
    let range = Range {
        index: 1,
        start: 2,
        end: 3,
    };
    let at = |location| Citation {
        location: Some(location),
        ..Citation::default()
    };
    vec![
        Citation {
            title: "title".to_owned(),
            source: "source".to_owned(),
            quotes: vec!["quote".to_owned()],
            location: Some(CitationLocation::Web {
                url: "https://example.com/page".to_owned(),
                domain: "example.com".to_owned(),
            }),
        },
        at(CitationLocation::DocumentCharacters(range)),
        at(CitationLocation::DocumentPages(range)),
        at(CitationLocation::DocumentChunks(range)),
        at(CitationLocation::SearchResult(range)),
    ]
}

fn tool_result() -> ToolResult {
    ToolResult {
        call_id: "call-1".to_owned(),
        content: vec![
            ToolResultBlock::Text("result".to_owned()),
            ToolResultBlock::Json(r#"{"big": 9007199254740993}"#.to_owned()),
            ToolResultBlock::Image(image(bytes("result image"))),
            ToolResultBlock::Document(document(DocumentBody::Source(bytes("result document")))),
            ToolResultBlock::Video(Video {
                format: VideoFormat::Webm,
                source: bytes("result video"),
            }),
            ToolResultBlock::SearchResult(SearchResult {
                citations: false,
                ..search_result()
            }),
        ],
        is_error: true,
        kind: String::new(),
    }
}

fn tool_changes() -> Vec<Block> {
    let tool = |name: &str| ToolReference {
        name: name.to_owned(),
        kind: "mcp_tool".to_owned(),
        server_name: "files".to_owned(),
    };
    vec![
        Block::ToolAddition(tool("read")),
        Block::ToolRemoval(tool("write")),
        Block::Text("go on".to_owned()),
    ]
}

fn bytes(content: &'static str) -> MediaSource {
    MediaSource::Bytes(Bytes::from_static(content.as_bytes()))
}

fn s3(key: &str) -> MediaSource {
    MediaSource::S3(S3Object {
        uri: format!("s3://bucket/{key}"),
        bucket_owner: Some("123456789012".to_owned()),
    })
}

fn image(source: MediaSource) -> Image {
    Image {
        format: ImageFormat::Webp,
        source: Some(source),
        error: None,
    }
}

fn document(body: DocumentBody) -> Document {
    Document {
        name: "report".to_owned(),
        format: Some(DocumentFormat::Pdf),
        body,
        context: Some("quarterly".to_owned()),
        citations: true,
    }
}

fn search_result() -> SearchResult {
    SearchResult {
        source: "https://example.com".to_owned(),
        title: "Example".to_owned(),
        texts: vec!["an example".to_owned()],
        citations: true,
    }
}

fn guarded_text(qualifiers: Vec<GuardQualifier>) -> GuardContent {
    GuardContent::Text {
        text: "guarded".to_owned(),
        qualifiers,
    }
}

fn guarded_image() -> GuardContent {
    GuardContent::Image {
        format: ImageFormat::Jpeg,
        bytes: Bytes::from_static(b"guarded image"),
    }
}
