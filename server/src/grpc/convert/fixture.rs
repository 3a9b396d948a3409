//! An agent, and values of the wire, for the tests of the conversions.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use pb::content_block::Block as Wire;
use taiwa::v1 as pb;
use taiwa_core::{
    Agent, Failure, Limits, TurnOptions,
    agent::SystemOverride,
    tool::{Schema, ToolSpec},
};

/// The first bytes of a PNG, which are all that is looked at.
pub(super) const PNG: &[u8] = &[0x89, b'P', b'N', b'G', 0x0d, 0x0a, 0x1a, 0x0a];

/// An agent that allows everything, with small limits.
pub(crate) fn agent() -> Agent {
    Agent {
        id: "assistant".to_owned(),
        display_name: "Assistant".to_owned(),
        description: "Answers".to_owned(),
        version: "1".to_owned(),
        labels: [("team".to_owned(), "core".to_owned())]
            .into_iter()
            .collect(),
        options: TurnOptions {
            model_id: Some("vendor.model-v1:0".to_owned()),
            client_tools: vec![Arc::new(ToolSpec {
                name: "agent_tool".to_owned(),
                description: String::new(),
                schema: Schema::parse(r#"{"type":"object"}"#).unwrap(),
                strict: false,
                timeout: None,
                approval: None,
            })],
            ..TurnOptions::default()
        },
        limits: Limits {
            max_input_bytes: 4096,
            max_tool_result_bytes: 1024,
            max_history_bytes: 8192,
            ..Limits::default()
        },
        context: None,
        prices: Arc::default(),
        reply_form: None,
        serves_tools: false,
        model_override: true,
        system_override: SystemOverride::Prepend,
    }
}

/// A moment, for whatever is told with a time.
pub(super) fn moment() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000)
}

pub(super) fn wire(block: Wire) -> pb::ContentBlock {
    pb::ContentBlock { block: Some(block) }
}

pub(super) fn text(text: &str) -> pb::ContentBlock {
    wire(Wire::Text(text.to_owned()))
}

pub(super) fn data(bytes: &'static [u8]) -> Option<pb::MediaSource> {
    let source = Some(pb::media_source::Source::Data(Bytes::from_static(bytes)));
    Some(pb::MediaSource { source })
}

pub(super) fn s3(uri: &str, bucket_owner: &str) -> Option<pb::MediaSource> {
    let object = pb::S3Object {
        uri: uri.to_owned(),
        bucket_owner: bucket_owner.to_owned(),
    };
    let source = Some(pb::media_source::Source::S3(object));
    Some(pb::MediaSource { source })
}

pub(super) fn png() -> pb::Image {
    pb::Image {
        media_type: "image/png".to_owned(),
        source: data(PNG),
        ..Default::default()
    }
}

pub(super) fn document() -> pb::Document {
    pb::Document {
        name: "Annual report (2) [draft]".to_owned(),
        media_type: "text/plain".to_owned(),
        body: Some(pb::document::Body::Source(data(b"words").unwrap())),
        ..Default::default()
    }
}

pub(super) fn message(role: pb::Role, content: Vec<pb::ContentBlock>) -> pb::Message {
    pb::Message {
        role: role.into(),
        content,
        ..Default::default()
    }
}

pub(super) fn call(id: &str) -> pb::ContentBlock {
    wire(Wire::ToolCall(pb::ToolCall {
        tool_call_id: id.to_owned(),
        tool_name: "search".to_owned(),
        input_json: r#"{"q": 1.0}"#.to_owned(),
        ..Default::default()
    }))
}

pub(super) fn result(id: &str) -> pb::ToolResult {
    pb::ToolResult {
        tool_call_id: id.to_owned(),
        text: "found".to_owned(),
        ..Default::default()
    }
}

/// The paths of the fields at fault, in the order of their finding.
pub(super) fn fields<T: std::fmt::Debug>(read: Result<T, Failure>) -> Vec<String> {
    let violations = read.unwrap_err().violations;
    violations.into_iter().map(|one| one.field).collect()
}
