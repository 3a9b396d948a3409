use bytes::Bytes;
use pb::content_block::Block as Wire;
use taiwa::v1 as pb;
use taiwa_core::{Block, Failure, Reason, media::DocumentFormat, message::DocumentBody};

use super::*;
use crate::grpc::convert::{
    fixture::{self, PNG, data, s3, wire},
    violations::Violations,
};

fn read(place: Place, block: pb::ContentBlock) -> Result<Vec<Block>, Failure> {
    let limits = fixture::agent().limits;
    let mut violations = Violations::default();
    let read = blocks("content", vec![block], place, &limits, &mut violations);
    violations.finish(read)
}

fn citation_at(location: pb::citation::Location) -> pb::Citation {
    pb::Citation {
        title: "Report".to_owned(),
        source: "report.pdf".to_owned(),
        quotes: vec!["quoted".to_owned()],
        location: Some(location),
    }
}

fn range() -> pb::DocumentRange {
    pb::DocumentRange {
        document_index: 1,
        start: 2,
        end: 3,
    }
}

fn search_result() -> pb::SearchResult {
    pb::SearchResult {
        source: "https://example.com".to_owned(),
        title: "Example".to_owned(),
        texts: vec!["words".to_owned()],
        citations: true,
    }
}

fn tool() -> pb::ToolReference {
    pb::ToolReference {
        name: "search".to_owned(),
        r#type: "tool_reference".to_owned(),
        server_name: "web".to_owned(),
    }
}

/// A block of every kind, in each form that it has, with a place where it may stand.
fn samples() -> Vec<(Place, Wire)> {
    use pb::{citation::Location, document::Body, tool_result_block::Block as ResultBlock};
    let document = |body| pb::Document {
        name: "Report".to_owned(),
        body: Some(body),
        context: "read it".to_owned(),
        citations: true,
        ..Default::default()
    };
    let result_block = |block| pb::ToolResultBlock { block: Some(block) };
    let video = pb::Video {
        media_type: "video/mp4".to_owned(),
        source: s3("s3://bucket/video.mp4", "123456789012"),
    };
    vec![
        (Place::Input, Wire::Text("hi".to_owned())),
        (Place::Input, Wire::Image(fixture::png())),
        (
            Place::Assistant,
            Wire::Image(pb::Image {
                error: "refused".to_owned(),
                source: None,
                ..fixture::png()
            }),
        ),
        (Place::Input, Wire::Document(fixture::document())),
        (
            Place::Input,
            Wire::Document(document(Body::Text("words".to_owned()))),
        ),
        (
            Place::Input,
            Wire::Document(document(Body::Chunks(pb::TextChunks {
                texts: vec!["a".to_owned(), "b".to_owned()],
            }))),
        ),
        (Place::Input, Wire::Video(video.clone())),
        (
            Place::Input,
            Wire::Audio(pb::Audio {
                media_type: "audio/mpeg".to_owned(),
                source: data(b"ID3"),
                ..Default::default()
            }),
        ),
        (
            Place::Assistant,
            Wire::ToolCall(pb::ToolCall {
                tool_call_id: "call-1".to_owned(),
                tool_name: "search".to_owned(),
                input_json: "{ \"q\" : 1.0 }".to_owned(),
                executor: pb::ToolExecutor::Provider.into(),
                expire_time: None,
                idempotency_key: "key".to_owned(),
            }),
        ),
        (
            Place::User,
            Wire::ToolResult(pb::ToolResult {
                tool_call_id: "call-1".to_owned(),
                text: String::new(),
                content: vec![
                    result_block(ResultBlock::Text("found".to_owned())),
                    result_block(ResultBlock::Json("[1, 2.0]".to_owned())),
                    result_block(ResultBlock::Image(fixture::png())),
                    result_block(ResultBlock::Document(fixture::document())),
                    result_block(ResultBlock::Video(video)),
                    result_block(ResultBlock::SearchResult(search_result())),
                ],
                is_error: true,
                r#type: "web_search".to_owned(),
            }),
        ),
        (
            Place::Assistant,
            Wire::Reasoning(pb::Reasoning {
                text: "hm".to_owned(),
                signature: "sig".to_owned(),
                redacted: Bytes::new(),
            }),
        ),
        (
            Place::Assistant,
            Wire::Reasoning(pb::Reasoning {
                redacted: Bytes::from_static(b"\x01\x02"),
                ..Default::default()
            }),
        ),
        (
            Place::Assistant,
            Wire::CitedText(pb::CitedText {
                texts: vec!["so".to_owned(), " it is".to_owned()],
                citations: vec![
                    citation_at(Location::Web(pb::WebLocation {
                        url: "https://example.com/a".to_owned(),
                        domain: "example.com".to_owned(),
                    })),
                    citation_at(Location::DocumentCharacters(range())),
                    citation_at(Location::DocumentPages(range())),
                    citation_at(Location::DocumentChunks(range())),
                    citation_at(Location::SearchResult(pb::SearchResultRange {
                        search_result_index: 4,
                        start: 5,
                        end: 6,
                    })),
                ],
            }),
        ),
        (Place::Input, Wire::SearchResult(search_result())),
        (
            Place::Input,
            Wire::GuardContent(pb::GuardContent {
                content: Some(pb::guard_content::Content::Text(pb::GuardText {
                    text: "look".to_owned(),
                    qualifiers: ["grounding_source", "query", "guard_content"]
                        .map(str::to_owned)
                        .to_vec(),
                })),
            }),
        ),
        (
            Place::SystemPrompt,
            Wire::GuardContent(pb::GuardContent {
                content: Some(pb::guard_content::Content::Image(fixture::png())),
            }),
        ),
        (
            Place::Input,
            Wire::CachePoint(pb::CachePoint {
                ttl: "1h".to_owned(),
            }),
        ),
        (Place::System, Wire::ToolAddition(tool())),
        (Place::System, Wire::ToolRemoval(tool())),
    ]
}

#[test]
fn a_block_of_every_kind_comes_back_as_it_was() {
    for (place, sample) in samples() {
        let sample = wire(sample);
        let read = read(place, sample.clone()).unwrap();
        let [one] = &read[..] else {
            panic!("{sample:?} was read as {read:?}");
        };
        assert_eq!(block(one.clone()), sample);
    }
}

#[test]
fn a_media_type_left_out_is_found_from_the_bytes() {
    let image = pb::Image {
        media_type: String::new(),
        ..fixture::png()
    };
    let read = read(Place::Input, wire(Wire::Image(image))).unwrap();
    let found = block(read[0].clone());
    assert_eq!(found, wire(Wire::Image(fixture::png())));
}

#[test]
fn a_document_of_text_needs_no_media_type_but_keeps_a_known_one() {
    let document = pb::Document {
        media_type: "text/markdown".to_owned(),
        body: Some(pb::document::Body::Text("# words".to_owned())),
        ..fixture::document()
    };
    let read = read(Place::Input, wire(Wire::Document(document))).unwrap();
    let Block::Document(document) = &read[0] else {
        panic!("{read:?}");
    };
    assert_eq!(document.format, Some(DocumentFormat::Md));
    assert_eq!(document.body, DocumentBody::Text("# words".to_owned()));
}

#[test]
fn the_text_of_a_tool_result_stands_before_its_content() {
    let block = pb::ToolResultBlock {
        block: Some(pb::tool_result_block::Block::Json("{}".to_owned())),
    };
    let result = pb::ToolResult {
        content: vec![block],
        ..fixture::result("call-1")
    };
    let read = read(Place::User, wire(Wire::ToolResult(result))).unwrap();
    let Block::ToolResult(result) = &read[0] else {
        panic!("{read:?}");
    };
    use taiwa_core::tool::ToolResultBlock::{Json, Text};
    assert_eq!(
        result.content,
        [Text("found".to_owned()), Json("{}".to_owned())]
    );
}

#[test]
fn a_tool_that_says_nothing_has_an_empty_result() {
    let result = pb::ToolResult {
        text: " \n".to_owned(),
        ..fixture::result("call-1")
    };
    let read = read(Place::User, wire(Wire::ToolResult(result))).unwrap();
    assert!(matches!(&read[..], [Block::ToolResult(result)] if result.content.is_empty()));
}

#[test]
fn blank_text_of_an_assistant_is_left_out_and_that_of_a_user_refused() {
    assert_eq!(read(Place::Assistant, fixture::text("\n")).unwrap(), []);
    let refused = fixture::fields(read(Place::User, fixture::text("\n")));
    assert_eq!(refused, ["content[0].text"]);
}

#[test]
fn reasoning_that_is_only_signed_is_kept() {
    let reasoning = pb::Reasoning {
        signature: "sig".to_owned(),
        ..Default::default()
    };
    let read = read(Place::Assistant, wire(Wire::Reasoning(reasoning.clone()))).unwrap();
    assert_eq!(block(read[0].clone()), wire(Wire::Reasoning(reasoning)));
}

#[test]
fn a_call_without_input_calls_with_an_empty_object() {
    let call = pb::ToolCall {
        tool_call_id: "call-1".to_owned(),
        tool_name: "now".to_owned(),
        ..Default::default()
    };
    let read = read(Place::Assistant, wire(Wire::ToolCall(call))).unwrap();
    assert!(matches!(&read[..], [Block::ToolCall(call)] if call.input_json == "{}"));
}

#[test]
fn a_kind_of_block_is_refused_where_it_has_no_place() {
    for (_, sample) in samples() {
        let refusing: Vec<_> = [
            Place::Input,
            Place::User,
            Place::Assistant,
            Place::System,
            Place::SystemPrompt,
        ]
        .into_iter()
        .filter(|place| read(*place, wire(sample.clone())).is_err())
        .collect();
        let expected: &[Place] = match &sample {
            Wire::Text(_) | Wire::CachePoint(_) => &[],
            Wire::GuardContent(_) => &[Place::Assistant],
            Wire::Image(image) if !image.error.is_empty() => &[
                Place::Input,
                Place::User,
                Place::System,
                Place::SystemPrompt,
            ],
            Wire::Image(_) | Wire::Audio(_) => &[Place::System, Place::SystemPrompt],
            Wire::Document(_) | Wire::Video(_) | Wire::SearchResult(_) => {
                &[Place::Assistant, Place::System, Place::SystemPrompt]
            }
            Wire::ToolCall(_) | Wire::Reasoning(_) | Wire::CitedText(_) => &[
                Place::Input,
                Place::User,
                Place::System,
                Place::SystemPrompt,
            ],
            Wire::ToolResult(_) => &[Place::Input, Place::System, Place::SystemPrompt],
            Wire::ToolAddition(_) | Wire::ToolRemoval(_) => &[
                Place::Input,
                Place::User,
                Place::Assistant,
                Place::SystemPrompt,
            ],
        };
        assert_eq!(refusing, expected, "{sample:?}");
    }
}

#[test]
fn each_fault_of_a_block_is_told_with_its_path() {
    use pb::{document::Body, tool_result_block::Block as ResultBlock};
    let image = |source| {
        Wire::Image(pb::Image {
            source,
            ..fixture::png()
        })
    };
    let document = |change: fn(&mut pb::Document)| {
        let mut document = fixture::document();
        change(&mut document);
        Wire::Document(document)
    };
    let call = |change: fn(&mut pb::ToolCall)| {
        let mut call = pb::ToolCall {
            tool_call_id: "call-1".to_owned(),
            tool_name: "search".to_owned(),
            ..Default::default()
        };
        change(&mut call);
        Wire::ToolCall(call)
    };
    let result = |block: ResultBlock| {
        Wire::ToolResult(pb::ToolResult {
            content: vec![pb::ToolResultBlock { block: Some(block) }],
            ..fixture::result("call-1")
        })
    };
    let guard = |content| {
        Wire::GuardContent(pb::GuardContent {
            content: Some(content),
        })
    };
    let cases: Vec<(Place, Wire, &str)> = vec![
        (Place::Input, Wire::Text(" ".to_owned()), "text"),
        (Place::Input, image(None), "image.source"),
        (Place::Input, image(data(b"")), "image.source.data"),
        (
            Place::Input,
            image(s3("http://bucket/x", "")),
            "image.source.s3.uri",
        ),
        (
            Place::Input,
            image(s3("s3://B/x", "")),
            "image.source.s3.uri",
        ),
        (
            Place::Input,
            image(s3(&format!("s3://bucket/{}", "x".repeat(1024)), "")),
            "image.source.s3.uri",
        ),
        (
            Place::Input,
            image(s3("s3://bucket/x", "1234")),
            "image.source.s3.bucket_owner",
        ),
        (
            Place::Input,
            Wire::Image(pb::Image {
                media_type: "image/tiff".to_owned(),
                ..fixture::png()
            }),
            "image.media_type",
        ),
        (
            Place::Input,
            Wire::Image(pb::Image {
                media_type: String::new(),
                source: s3("s3://bucket/x.png", ""),
                ..Default::default()
            }),
            "image.media_type",
        ),
        (
            Place::Input,
            document(|document| document.name.clear()),
            "document.name",
        ),
        (
            Place::Input,
            document(|document| document.name = "a  b".to_owned()),
            "document.name",
        ),
        (
            Place::Input,
            document(|document| document.name = "a_b.pdf".to_owned()),
            "document.name",
        ),
        (
            Place::Input,
            document(|document| document.name = "x".repeat(201)),
            "document.name",
        ),
        (
            Place::Input,
            document(|document| document.body = None),
            "document",
        ),
        (
            Place::Input,
            document(|document| document.media_type = "application/zip".to_owned()),
            "document.media_type",
        ),
        (
            Place::Input,
            document(|document| document.body = Some(Body::Text(String::new()))),
            "document.text",
        ),
        (
            Place::Input,
            document(|document| document.body = Some(Body::Chunks(pb::TextChunks::default()))),
            "document.chunks.texts",
        ),
        (
            Place::Input,
            document(|document| {
                let texts = vec!["a".to_owned(), String::new()];
                document.body = Some(Body::Chunks(pb::TextChunks { texts }));
            }),
            "document.chunks.texts[1]",
        ),
        (
            Place::Input,
            Wire::Video(pb::Video {
                media_type: "video/x".to_owned(),
                source: data(b"x"),
            }),
            "video.media_type",
        ),
        (
            Place::Input,
            Wire::Audio(pb::Audio {
                source: data(b"x"),
                ..Default::default()
            }),
            "audio.media_type",
        ),
        (
            Place::Assistant,
            call(|call| call.tool_call_id.clear()),
            "tool_call.tool_call_id",
        ),
        (
            Place::Assistant,
            call(|call| call.tool_name = "a\nb".to_owned()),
            "tool_call.tool_name",
        ),
        (
            Place::Assistant,
            call(|call| call.input_json = "[]".to_owned()),
            "tool_call.input_json",
        ),
        (
            Place::Assistant,
            call(|call| call.input_json = "{".to_owned()),
            "tool_call.input_json",
        ),
        (
            Place::Assistant,
            call(|call| call.executor = 99),
            "tool_call.executor",
        ),
        (
            Place::User,
            Wire::ToolResult(pb::ToolResult::default()),
            "tool_result.tool_call_id",
        ),
        (
            Place::User,
            result(ResultBlock::Json("{".to_owned())),
            "tool_result.content[0].json",
        ),
        (
            Place::User,
            result(ResultBlock::Image(pb::Image::default())),
            "tool_result.content[0].image.source",
        ),
        (
            Place::Assistant,
            Wire::Reasoning(pb::Reasoning::default()),
            "reasoning",
        ),
        (
            Place::Assistant,
            Wire::Reasoning(pb::Reasoning {
                text: "hm".to_owned(),
                redacted: Bytes::from_static(b"x"),
                ..Default::default()
            }),
            "reasoning",
        ),
        (
            Place::Assistant,
            Wire::CitedText(pb::CitedText {
                texts: vec![],
                citations: vec![citation_at(pb::citation::Location::DocumentPages(
                    pb::DocumentRange {
                        start: -1,
                        ..range()
                    },
                ))],
            }),
            "cited_text.citations[0].document_pages.start",
        ),
        (
            Place::Input,
            Wire::SearchResult(pb::SearchResult {
                title: String::new(),
                ..search_result()
            }),
            "search_result.title",
        ),
        (
            Place::Input,
            Wire::SearchResult(pb::SearchResult {
                texts: vec![],
                ..search_result()
            }),
            "search_result.texts",
        ),
        (
            Place::Input,
            Wire::GuardContent(pb::GuardContent::default()),
            "guard_content",
        ),
        (
            Place::Input,
            guard(pb::guard_content::Content::Text(pb::GuardText {
                text: "x".to_owned(),
                qualifiers: vec!["other".to_owned()],
            })),
            "guard_content.text.qualifiers[0]",
        ),
        (
            Place::Input,
            guard(pb::guard_content::Content::Image(pb::Image {
                media_type: "image/gif".to_owned(),
                source: data(PNG),
                ..Default::default()
            })),
            "guard_content.image.media_type",
        ),
        (
            Place::Input,
            guard(pb::guard_content::Content::Image(pb::Image {
                source: s3("s3://bucket/x", ""),
                ..fixture::png()
            })),
            "guard_content.image.source",
        ),
        (
            Place::Input,
            Wire::CachePoint(pb::CachePoint {
                ttl: "10m".to_owned(),
            }),
            "cache_point.ttl",
        ),
        (
            Place::System,
            Wire::ToolAddition(pb::ToolReference::default()),
            "tool_addition.name",
        ),
    ];
    for (place, block, field) in cases {
        let refused = fixture::fields(read(place, wire(block.clone())));
        assert_eq!(refused, [format!("content[0].{field}")], "{block:?}");
    }
}

#[test]
fn a_block_of_no_kind_is_refused() {
    let refused = fixture::fields(read(Place::Input, pb::ContentBlock { block: None }));
    assert_eq!(refused, ["content[0]"]);
}

#[test]
fn a_media_type_that_is_not_known_is_content_that_is_not_supported() {
    let image = pb::Image {
        media_type: "image/tiff".to_owned(),
        ..fixture::png()
    };
    let failure = read(Place::Input, wire(Wire::Image(image))).unwrap_err();
    assert_eq!(failure.reason, Reason::UnsupportedContent);
    let description = &failure.violations[0].description;
    assert!(
        description.contains("image/webp") && description.contains("image/tiff"),
        "{description}"
    );
}

#[test]
fn a_tool_result_beyond_its_limit_is_told_with_the_limit() {
    let result = pb::ToolResult {
        text: "x".repeat(1025),
        ..fixture::result("call-1")
    };
    let failure = read(Place::User, wire(Wire::ToolResult(result))).unwrap_err();
    assert_eq!(failure.reason, Reason::LimitExceeded);
    assert_eq!(failure.metadata["limit_bytes"], "1024");
    assert_eq!(failure.metadata["field"], "content[0].tool_result");
}
