//! Content blocks of a request.

use pb::content_block::Block as Wire;
use taiwa::v1 as pb;
use taiwa_core::{
    Block, Limits,
    media::{ImageFormat, MediaSource},
    message::{
        CachePoint, CacheTtl, Citation, CitationLocation, CitedText, GuardContent, GuardQualifier,
        Image, Range, Reasoning, SearchResult, ToolReference,
    },
};

use super::{media, tool};
use crate::grpc::convert::{identifier, violations::Violations};

/// Where content stands, which decides what it may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::grpc::convert) enum Place {
    /// The message that the caller sends.
    Input,
    /// A user's message of the conversation so far.
    User,
    /// An agent's message of the conversation so far.
    Assistant,
    /// Instructions in the middle of the conversation so far.
    System,
    /// The system prompt.
    SystemPrompt,
}

impl Place {
    /// Says why a kind of block has no place here.
    fn refusal(self, block: &Wire) -> Option<&'static str> {
        let refusal = match (block, self) {
            (Wire::Text(_) | Wire::CachePoint(_), _) => return None,
            (Wire::GuardContent(_), Self::Assistant) => "belongs in user or system content",
            (Wire::GuardContent(_), _) => return None,
            (Wire::Image(_) | Wire::Audio(_), Self::Input | Self::User | Self::Assistant) => {
                return None;
            }
            (
                Wire::Document(_) | Wire::Video(_) | Wire::SearchResult(_),
                Self::Input | Self::User,
            ) => return None,
            (
                Wire::Image(_)
                | Wire::Audio(_)
                | Wire::Document(_)
                | Wire::Video(_)
                | Wire::SearchResult(_),
                _,
            ) => "belongs in a user's message",
            (Wire::ToolCall(_) | Wire::Reasoning(_) | Wire::CitedText(_), Self::Assistant) => {
                return None;
            }
            (Wire::ToolCall(_) | Wire::Reasoning(_) | Wire::CitedText(_), _) => {
                "belongs in an assistant's message"
            }
            (Wire::ToolResult(_), Self::User | Self::Assistant) => return None,
            (Wire::ToolResult(_), Self::Input) => {
                "belongs in tool_results, or on Converse in a tool_result frame"
            }
            (Wire::ToolResult(_), Self::System | Self::SystemPrompt) => {
                "belongs in a user's message"
            }
            (Wire::ToolAddition(_) | Wire::ToolRemoval(_), Self::System) => return None,
            (Wire::ToolAddition(_) | Wire::ToolRemoval(_), _) => "belongs in a system message",
        };
        Some(refusal)
    }
}

/// Reads the blocks of the field `field`; those at fault are left out.
pub(in crate::grpc::convert) fn blocks(
    field: &str,
    wire: Vec<pb::ContentBlock>,
    place: Place,
    limits: &Limits,
    violations: &mut Violations,
) -> Vec<Block> {
    let mut blocks = Vec::with_capacity(wire.len());
    for (index, wire) in wire.into_iter().enumerate() {
        let Some(wire) = wire.block else {
            violations.within_item(field, index, |violations| {
                violations.refuse("must be of a kind that this version knows, such as text");
            });
            continue;
        };
        // A model may say nothing but a line feed before it calls a tool. Bedrock refuses to read
        // that again, so that a conversation sent back as it was would fail for ever.
        let is_blank = matches!(&wire, Wire::Text(text) if text.trim().is_empty());
        if is_blank && place == Place::Assistant {
            continue;
        }
        blocks.extend(violations.within_item(field, index, |violations| {
            violations.within(name(&wire), |violations| match place.refusal(&wire) {
                None => block(wire, place, limits, violations),
                Some(refusal) => {
                    violations.refuse(refusal);
                    None
                }
            })
        }));
    }
    blocks
}

/// Reads one block, as the field that is being looked at.
fn block(wire: Wire, place: Place, limits: &Limits, violations: &mut Violations) -> Option<Block> {
    match wire {
        Wire::Text(text) => filled(text, violations).map(Block::Text),
        Wire::Image(image) if place == Place::Assistant => {
            media::generated_image(image, violations).map(Block::Image)
        }
        Wire::Image(image) => media::image(image, violations).map(Block::Image),
        Wire::Document(document) => media::document(document, violations).map(Block::Document),
        Wire::Video(video) => media::video(video, violations).map(Block::Video),
        Wire::Audio(audio) if place == Place::Assistant => {
            media::generated_audio(audio, violations).map(Block::Audio)
        }
        Wire::Audio(audio) => media::audio(audio, violations).map(Block::Audio),
        Wire::ToolCall(call) => tool::call(call, violations).map(Block::ToolCall),
        Wire::ToolResult(result) => tool::result(result, limits, violations).map(Block::ToolResult),
        Wire::Reasoning(piece) => reasoning(piece, violations).map(Block::Reasoning),
        Wire::CitedText(cited) => cited_text(cited, violations).map(Block::CitedText),
        Wire::SearchResult(result) => search_result(result, violations).map(Block::SearchResult),
        Wire::GuardContent(content) => guard_content(content, violations).map(Block::GuardContent),
        Wire::CachePoint(point) => cache_point(&point, violations).map(Block::CachePoint),
        Wire::ToolAddition(tool) => tool_reference(tool, violations).map(Block::ToolAddition),
        Wire::ToolRemoval(tool) => tool_reference(tool, violations).map(Block::ToolRemoval),
    }
}

/// Reads content for the guardrail, as the field that is being looked at.
fn guard_content(wire: pb::GuardContent, violations: &mut Violations) -> Option<GuardContent> {
    match wire.content {
        None => {
            violations.refuse("must hold text or an image");
            None
        }
        Some(pb::guard_content::Content::Text(wire)) => violations.within("text", |violations| {
            let text = violations.within("text", |violations| filled(wire.text, violations));
            let mut qualifiers = Vec::with_capacity(wire.qualifiers.len());
            for (index, word) in wire.qualifiers.iter().enumerate() {
                match word.as_str() {
                    "grounding_source" => qualifiers.push(GuardQualifier::GroundingSource),
                    "query" => qualifiers.push(GuardQualifier::Query),
                    "guard_content" => qualifiers.push(GuardQualifier::GuardContent),
                    _ => violations.within_item("qualifiers", index, |violations| {
                        violations.refuse("must be grounding_source, query or guard_content");
                    }),
                }
            }
            text.map(|text| GuardContent::Text { text, qualifiers })
        }),
        Some(pb::guard_content::Content::Image(wire)) => violations.within("image", |violations| {
            let Image { format, source, .. } = media::image(wire, violations)?;
            if !matches!(format, ImageFormat::Png | ImageFormat::Jpeg) {
                violations.within("media_type", |violations| {
                    violations.refuse_content("must be image/png or image/jpeg for a guardrail");
                });
                return None;
            }
            let Some(MediaSource::Bytes(bytes)) = source else {
                violations.refuse_field("source", "must hold data for a guardrail");
                return None;
            };
            Some(GuardContent::Image { format, bytes })
        }),
    }
}

fn reasoning(wire: pb::Reasoning, violations: &mut Violations) -> Option<Reasoning> {
    let has_text = !wire.text.is_empty() || !wire.signature.is_empty();
    match (has_text, wire.redacted.is_empty()) {
        // Models that keep their reasoning to themselves sign an empty text.
        (true, true) => Some(Reasoning::Text {
            text: wire.text,
            signature: Some(wire.signature).filter(|signature| !signature.is_empty()),
        }),
        (false, false) => Some(Reasoning::Redacted(wire.redacted)),
        (true, false) | (false, true) => {
            violations.refuse("must hold exactly one of text and redacted");
            None
        }
    }
}

fn cited_text(wire: pb::CitedText, violations: &mut Violations) -> Option<CitedText> {
    let given = wire.citations.len();
    let citations: Vec<_> = wire
        .citations
        .into_iter()
        .enumerate()
        .filter_map(|(index, wire)| {
            violations.within_item("citations", index, |violations| citation(wire, violations))
        })
        .collect();
    (citations.len() == given).then_some(CitedText {
        texts: wire.texts,
        citations,
    })
}

pub(in crate::grpc::convert) fn citation(
    wire: pb::Citation,
    violations: &mut Violations,
) -> Option<Citation> {
    use pb::citation::Location as Wire;
    let location = match wire.location {
        None => None,
        Some(Wire::Web(web)) => Some(CitationLocation::Web {
            url: web.url,
            domain: web.domain,
        }),
        Some(Wire::DocumentCharacters(wire)) => {
            let range = document_range("document_characters", &wire, violations)?;
            Some(CitationLocation::DocumentCharacters(range))
        }
        Some(Wire::DocumentPages(wire)) => {
            let range = document_range("document_pages", &wire, violations)?;
            Some(CitationLocation::DocumentPages(range))
        }
        Some(Wire::DocumentChunks(wire)) => {
            let range = document_range("document_chunks", &wire, violations)?;
            Some(CitationLocation::DocumentChunks(range))
        }
        Some(Wire::SearchResult(wire)) => {
            let range = Range {
                index: wire.search_result_index,
                start: wire.start,
                end: wire.end,
            };
            let range = violations.within("search_result", |violations| {
                check_range("search_result_index", range, violations)
            })?;
            Some(CitationLocation::SearchResult(range))
        }
    };
    Some(Citation {
        title: wire.title,
        source: wire.source,
        quotes: wire.quotes,
        location,
    })
}

fn document_range(
    field: &str,
    wire: &pb::DocumentRange,
    violations: &mut Violations,
) -> Option<Range> {
    let range = Range {
        index: wire.document_index,
        start: wire.start,
        end: wire.end,
    };
    violations.within(field, |violations| {
        check_range("document_index", range, violations)
    })
}

fn check_range(index_field: &str, range: Range, violations: &mut Violations) -> Option<Range> {
    let fields = [
        (index_field, range.index),
        ("start", range.start),
        ("end", range.end),
    ];
    for (field, number) in fields {
        if number < 0 {
            violations.refuse_field(field, format!("must not be negative, not {number}"));
        }
    }
    fields
        .iter()
        .all(|(_, number)| *number >= 0)
        .then_some(range)
}

/// Reads a search result, as the field that is being looked at.
pub(super) fn search_result(
    wire: pb::SearchResult,
    violations: &mut Violations,
) -> Option<SearchResult> {
    let source = violations.within("source", |violations| filled(wire.source, violations));
    let title = violations.within("title", |violations| filled(wire.title, violations));
    let texts = media::texts(wire.texts, violations);
    Some(SearchResult {
        source: source?,
        title: title?,
        texts: texts?,
        citations: wire.citations,
    })
}

fn cache_point(wire: &pb::CachePoint, violations: &mut Violations) -> Option<CachePoint> {
    cache_ttl(&wire.ttl, violations).map(|ttl| CachePoint { ttl })
}

/// Reads a cache's lifetime from the field `ttl`; empty means the provider's default.
pub(in crate::grpc::convert) fn cache_ttl(
    word: &str,
    violations: &mut Violations,
) -> Option<Option<CacheTtl>> {
    let ttl = CacheTtl::parse(word);
    if ttl.is_none() && !word.is_empty() {
        violations.refuse_field("ttl", "must be 5m or 1h");
        return None;
    }
    Some(ttl)
}

fn tool_reference(wire: pb::ToolReference, violations: &mut Violations) -> Option<ToolReference> {
    identifier::check_model_word("name", &wire.name, violations).then_some(ToolReference {
        name: wire.name,
        kind: wire.r#type,
        server_name: wire.server_name,
    })
}

fn filled(text: String, violations: &mut Violations) -> Option<String> {
    if text.trim().is_empty() {
        violations.refuse("must not be blank");
        return None;
    }
    Some(text)
}

/// The field of a block, for paths.
fn name(block: &Wire) -> &'static str {
    match block {
        Wire::Text(_) => "text",
        Wire::Image(_) => "image",
        Wire::Document(_) => "document",
        Wire::Video(_) => "video",
        Wire::Audio(_) => "audio",
        Wire::ToolCall(_) => "tool_call",
        Wire::ToolResult(_) => "tool_result",
        Wire::Reasoning(_) => "reasoning",
        Wire::CitedText(_) => "cited_text",
        Wire::SearchResult(_) => "search_result",
        Wire::GuardContent(_) => "guard_content",
        Wire::CachePoint(_) => "cache_point",
        Wire::ToolAddition(_) => "tool_addition",
        Wire::ToolRemoval(_) => "tool_removal",
    }
}
