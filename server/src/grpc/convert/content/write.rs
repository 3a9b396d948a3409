//! Messages and content blocks of a reply.

use pb::content_block::Block as Wire;
use taiwa::v1 as pb;
use taiwa_core::{
    Block, Message, Role, ToolCall, ToolResult,
    media::{MediaSource, S3Object},
    message::{
        Audio, Citation, CitationLocation, Document, DocumentBody, GuardContent, GuardQualifier,
        Image, Marking, Range, Reasoning, SearchResult, ToolReference, Video,
    },
    tool::{Executor, ToolResultBlock},
};

use crate::grpc::convert::time;

/// Writes a message.
pub fn message(message: &Message) -> pb::Message {
    let role = match message.role {
        Role::User => pb::Role::User,
        Role::Assistant => pb::Role::Assistant,
        Role::System => pb::Role::System,
    };
    let content = message.content.iter().cloned().map(block).collect();
    let origin = message.origin.as_ref();
    pb::Message {
        summary: message.marking == Marking::Summary,
        pinned: message.marking == Marking::Pinned,
        role: role.into(),
        content,
        message_id: origin
            .map(|origin| origin.message_id.clone())
            .unwrap_or_default(),
        turn_id: origin
            .map(|origin| origin.turn_id.clone())
            .unwrap_or_default(),
        create_time: origin.map(|origin| time::timestamp(origin.created)),
    }
}

/// Writes a block.
pub fn block(block: Block) -> pb::ContentBlock {
    let wire = match block {
        Block::Text(text) => Wire::Text(text),
        Block::Image(made) => Wire::Image(image(made)),
        Block::Document(made) => Wire::Document(document(made)),
        Block::Video(made) => Wire::Video(video(made)),
        Block::Audio(made) => Wire::Audio(audio(made)),
        Block::ToolCall(call) => Wire::ToolCall(tool_call(call)),
        Block::ToolResult(result) => Wire::ToolResult(tool_result(result)),
        Block::Reasoning(piece) => Wire::Reasoning(reasoning(piece)),
        Block::CitedText(cited) => Wire::CitedText(pb::CitedText {
            texts: cited.texts,
            citations: cited.citations.into_iter().map(citation).collect(),
        }),
        Block::SearchResult(result) => Wire::SearchResult(search_result(result)),
        Block::GuardContent(content) => Wire::GuardContent(guard_content(content)),
        Block::CachePoint(point) => Wire::CachePoint(pb::CachePoint {
            ttl: point
                .ttl
                .map(|ttl| ttl.as_str().to_owned())
                .unwrap_or_default(),
        }),
        Block::ToolAddition(tool) => Wire::ToolAddition(tool_reference(tool)),
        Block::ToolRemoval(tool) => Wire::ToolRemoval(tool_reference(tool)),
    };
    pb::ContentBlock { block: Some(wire) }
}

/// Writes a tool call.
pub(in crate::grpc::convert) fn tool_call(call: ToolCall) -> pb::ToolCall {
    let executor = match call.executor {
        Executor::Client => pb::ToolExecutor::Client,
        Executor::Provider => pb::ToolExecutor::Provider,
        Executor::Server => pb::ToolExecutor::Server,
    };
    pb::ToolCall {
        tool_call_id: call.id,
        tool_name: call.name,
        input_json: call.input_json,
        executor: executor.into(),
        expire_time: call.expires.map(time::timestamp),
        idempotency_key: call.idempotency_key,
    }
}

/// Writes a citation.
pub(in crate::grpc::convert) fn citation(citation: Citation) -> pb::Citation {
    use pb::citation::Location as Wire;
    let location = citation.location.map(|location| match location {
        CitationLocation::Web { url, domain } => Wire::Web(pb::WebLocation { url, domain }),
        CitationLocation::DocumentCharacters(range) => {
            Wire::DocumentCharacters(document_range(range))
        }
        CitationLocation::DocumentPages(range) => Wire::DocumentPages(document_range(range)),
        CitationLocation::DocumentChunks(range) => Wire::DocumentChunks(document_range(range)),
        CitationLocation::SearchResult(range) => Wire::SearchResult(pb::SearchResultRange {
            search_result_index: range.index,
            start: range.start,
            end: range.end,
        }),
    });
    pb::Citation {
        title: citation.title,
        source: citation.source,
        quotes: citation.quotes,
        location,
    }
}

/// Writes where an object of S3 is.
pub(in crate::grpc::convert) fn s3_object(object: S3Object) -> pb::S3Object {
    pb::S3Object {
        uri: object.uri,
        bucket_owner: object.bucket_owner.unwrap_or_default(),
    }
}

fn image(image: Image) -> pb::Image {
    pb::Image {
        media_type: image.format.media_type().to_owned(),
        source: image.source.map(source),
        error: image.error.unwrap_or_default(),
    }
}

fn document(document: Document) -> pb::Document {
    let body = match document.body {
        DocumentBody::Source(given) => pb::document::Body::Source(source(given)),
        DocumentBody::Text(text) => pb::document::Body::Text(text),
        DocumentBody::Chunks(texts) => pb::document::Body::Chunks(pb::TextChunks { texts }),
    };
    pb::Document {
        name: document.name,
        media_type: document
            .format
            .map(|one| one.media_type().to_owned())
            .unwrap_or_default(),
        body: Some(body),
        context: document.context.unwrap_or_default(),
        citations: document.citations,
    }
}

fn video(video: Video) -> pb::Video {
    pb::Video {
        media_type: video.format.media_type().to_owned(),
        source: Some(source(video.source)),
    }
}

fn audio(audio: Audio) -> pb::Audio {
    pb::Audio {
        media_type: audio.format.media_type().to_owned(),
        source: audio.source.map(source),
        error: audio.error.unwrap_or_default(),
        transcript: String::new(),
    }
}

fn source(source: MediaSource) -> pb::MediaSource {
    let source = match source {
        MediaSource::Bytes(bytes) => pb::media_source::Source::Data(bytes),
        MediaSource::S3(object) => pb::media_source::Source::S3(s3_object(object)),
    };
    pb::MediaSource {
        source: Some(source),
    }
}

/// Writes a tool result.
pub(in crate::grpc::convert) fn tool_result(result: ToolResult) -> pb::ToolResult {
    use pb::tool_result_block::Block as Wire;
    let content = result.content.into_iter().map(|block| {
        let wire = match block {
            ToolResultBlock::Text(text) => Wire::Text(text),
            ToolResultBlock::Json(json) => Wire::Json(json),
            ToolResultBlock::Image(made) => Wire::Image(image(made)),
            ToolResultBlock::Document(made) => Wire::Document(document(made)),
            ToolResultBlock::Video(made) => Wire::Video(video(made)),
            ToolResultBlock::SearchResult(result) => Wire::SearchResult(search_result(result)),
        };
        pb::ToolResultBlock { block: Some(wire) }
    });
    pb::ToolResult {
        tool_call_id: result.call_id,
        text: String::new(),
        content: content.collect(),
        is_error: result.is_error,
        r#type: result.kind,
    }
}

fn reasoning(reasoning: Reasoning) -> pb::Reasoning {
    match reasoning {
        Reasoning::Text { text, signature } => pb::Reasoning {
            text,
            signature: signature.unwrap_or_default(),
            ..Default::default()
        },
        Reasoning::Redacted(redacted) => pb::Reasoning {
            redacted,
            ..Default::default()
        },
    }
}

fn search_result(result: SearchResult) -> pb::SearchResult {
    pb::SearchResult {
        source: result.source,
        title: result.title,
        texts: result.texts,
        citations: result.citations,
    }
}

fn guard_content(content: GuardContent) -> pb::GuardContent {
    let content = match content {
        GuardContent::Text { text, qualifiers } => {
            let words = qualifiers.into_iter().map(|qualifier| match qualifier {
                GuardQualifier::GroundingSource => "grounding_source".to_owned(),
                GuardQualifier::Query => "query".to_owned(),
                GuardQualifier::GuardContent => "guard_content".to_owned(),
            });
            pb::guard_content::Content::Text(pb::GuardText {
                text,
                qualifiers: words.collect(),
            })
        }
        GuardContent::Image { format, bytes } => {
            let source = Some(MediaSource::Bytes(bytes));
            pb::guard_content::Content::Image(image(Image {
                format,
                source,
                error: None,
            }))
        }
    };
    pb::GuardContent {
        content: Some(content),
    }
}

fn tool_reference(tool: ToolReference) -> pb::ToolReference {
    pb::ToolReference {
        name: tool.name,
        r#type: tool.kind,
        server_name: tool.server_name,
    }
}

fn document_range(range: Range) -> pb::DocumentRange {
    pb::DocumentRange {
        document_index: range.index,
        start: range.start,
        end: range.end,
    }
}

/// The text of a message alone: text and cited text, joined as written.
pub fn text(message: &pb::Message) -> String {
    let mut text = String::new();
    for block in &message.content {
        match &block.block {
            Some(pb::content_block::Block::Text(piece)) => text.push_str(piece),
            Some(pb::content_block::Block::CitedText(cited)) => {
                cited.texts.iter().for_each(|piece| text.push_str(piece));
            }
            Some(_) | None => {}
        }
    }
    text
}
