//! Whatever arrives is answered: no bytes make a conversion panic.

use bytes::Bytes;
use pb::{content_block::Block as Wire, converse_request::Frame as WireFrame};
use proptest::{collection::vec, prelude::*};
use prost::Message as _;
use prost_types::{Struct, Value, value::Kind};
use taiwa::v1 as pb;
use taiwa_core::input::{FrameBody, InputPolicy};

use super::{count, fixture, frame, request};
use crate::grpc::status;

/// A request that sets nearly everything, so that its mutants reach nearly everything.
fn full_request() -> pb::InvokeRequest {
    let number = Value {
        kind: Some(Kind::NumberValue(7.0)),
    };
    let fields = Struct {
        fields: [("top_k".to_owned(), number)].into_iter().collect(),
    };
    let reasoning = pb::Reasoning {
        text: "hm".to_owned(),
        signature: "sig".to_owned(),
        redacted: Bytes::new(),
    };
    let cited = pb::CitedText {
        texts: vec!["so".to_owned()],
        citations: vec![pb::Citation {
            location: Some(pb::citation::Location::DocumentPages(pb::DocumentRange {
                document_index: 0,
                start: 1,
                end: 2,
            })),
            ..Default::default()
        }],
    };
    pb::InvokeRequest {
        prompt: "hi".to_owned(),
        content: vec![
            fixture::wire(Wire::Image(fixture::png())),
            fixture::wire(Wire::Document(fixture::document())),
            fixture::wire(Wire::CachePoint(pb::CachePoint {
                ttl: "5m".to_owned(),
            })),
        ],
        messages: vec![
            fixture::message(pb::Role::User, vec![fixture::text("hi")]),
            fixture::message(
                pb::Role::Assistant,
                vec![
                    fixture::wire(Wire::Reasoning(reasoning)),
                    fixture::wire(Wire::CitedText(cited)),
                    fixture::call("call-1"),
                ],
            ),
        ],
        session_id: "s".to_owned(),
        request_id: "r".to_owned(),
        tool_results: vec![fixture::result("call-1")],
        options: Some(pb::TurnOptions {
            temperature: Some(0.5),
            max_tokens: Some(5),
            client_tools: vec![pb::ToolSpec {
                name: "search".to_owned(),
                input: Some(pb::tool_spec::Input::InputSchema(Struct::default())),
                timeout: Some(prost_types::Duration {
                    seconds: 5,
                    nanos: 0,
                }),
                ..Default::default()
            }],
            guardrail: Some(pb::GuardrailOptions {
                guardrail_id: "g".to_owned(),
                version: "1".to_owned(),
                trace: 2,
                stream_mode: 1,
            }),
            additional_model_fields: Some(fields),
            ..Default::default()
        }),
        stream: Some(pb::StreamOptions {
            on_disconnect: 1,
            heartbeat_interval: Some(prost_types::Duration {
                seconds: 5,
                nanos: 0,
            }),
            ..Default::default()
        }),
        ..Default::default()
    }
}

/// What a frame is made of that carries the parts of a request.
fn frames(request: &pb::InvokeRequest) -> Vec<pb::ConverseRequest> {
    let request = request.clone();
    let bodies = [
        WireFrame::Setup(pb::SessionSetup {
            messages: request.messages.clone(),
            options: request.options.clone(),
            stream: request.stream,
            ..Default::default()
        }),
        WireFrame::Input(pb::UserInput {
            content: request.content,
            ..Default::default()
        }),
        WireFrame::ToolResult(request.tool_results.into_iter().next().unwrap_or_default()),
        WireFrame::Update(pb::SessionUpdate {
            options: request.options,
            replace_client_tools: true,
        }),
        WireFrame::Prompt(request.prompt),
    ];
    let with_id = |frame| pb::ConverseRequest {
        frame_id: request.request_id.clone(),
        frame: Some(frame),
    };
    bodies.into_iter().map(with_id).collect()
}

fn convert_all(request: &pb::InvokeRequest) {
    let agent = fixture::agent();
    if let Err(failure) = request::invoke_stream(request.clone(), &agent) {
        assert!(!failure.violations.is_empty());
        assert!(status::status(&failure).details().len() < 4096);
    }
    let count = pb::CountTokensRequest {
        content: request.content.clone(),
        messages: request.messages.clone(),
        options: request.options.clone(),
        ..Default::default()
    };
    let _ = count::count(count, &agent);
    for frame in frames(request) {
        convert_frame(frame);
    }
}

fn convert_frame(wire: pb::ConverseRequest) {
    let agent = fixture::agent();
    let is_setup = matches!(wire.frame, Some(WireFrame::Setup(_)));
    if let Some(WireFrame::Setup(setup)) = &wire.frame {
        let _ = frame::setup(setup.clone(), &agent);
    }
    let read = frame::frame(wire, &agent, InputPolicy::Queue);
    assert!(!is_setup || matches!(read.body, FrameBody::Invalid(_)));
}

#[test]
fn the_full_request_and_its_frames_are_sound() {
    let agent = fixture::agent();
    let request = full_request();
    request::invoke_stream(request.clone(), &agent).unwrap();
    for (position, wire) in frames(&request).into_iter().enumerate().skip(1) {
        let read = frame::frame(wire, &agent, InputPolicy::Queue);
        assert!(
            !matches!(read.body, FrameBody::Invalid(_)),
            "{position}: {read:?}"
        );
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_are_converted_or_refused(bytes in vec(any::<u8>(), 0..256)) {
        if let Ok(request) = pb::InvokeRequest::decode(&bytes[..]) {
            convert_all(&request);
        }
        if let Ok(frame) = pb::ConverseRequest::decode(&bytes[..]) {
            convert_frame(frame);
        }
    }

    #[test]
    fn a_request_with_bytes_changed_is_converted_or_refused(
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut bytes = full_request().encode_to_vec();
        for (position, byte) in changes {
            let position = position.index(bytes.len());
            bytes[position] = byte;
        }
        if let Ok(request) = pb::InvokeRequest::decode(&bytes[..]) {
            convert_all(&request);
        }
    }
}
