//! The events of ConverseStream: each one's JSON, framed.

use std::{
    sync::LazyLock,
    time::{SystemTime, UNIX_EPOCH},
};

use bytes::{BufMut, BytesMut};
use serde_json::{Value, json};

use crate::{
    event_stream::FrameHeaders,
    exception::Exception,
    reply::{Block, insert_some},
    wire::put_json_string,
};

static MESSAGE_START: LazyLock<FrameHeaders> =
    LazyLock::new(|| FrameHeaders::event("messageStart"));
static BLOCK_START: LazyLock<FrameHeaders> =
    LazyLock::new(|| FrameHeaders::event("contentBlockStart"));
static BLOCK_DELTA: LazyLock<FrameHeaders> =
    LazyLock::new(|| FrameHeaders::event("contentBlockDelta"));
static BLOCK_STOP: LazyLock<FrameHeaders> =
    LazyLock::new(|| FrameHeaders::event("contentBlockStop"));
static MESSAGE_STOP: LazyLock<FrameHeaders> = LazyLock::new(|| FrameHeaders::event("messageStop"));
static METADATA: LazyLock<FrameHeaders> = LazyLock::new(|| FrameHeaders::event("metadata"));

/// Bedrock pads every event by a member `p` of random length against guessing by size.
///
/// Seen in recorded traffic, for instance in the fixtures of `newrelic/newrelic-node-agent`.
const PADDING: &str = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";

pub(crate) fn message_start(out: &mut BytesMut) {
    MESSAGE_START.write(out, |out| {
        out.put_slice(b"{\"role\":\"assistant\"");
        close_padded(out, 0);
    });
}

/// Writes `contentBlockStart`, for the kinds of block that have one.
pub(crate) fn block_start(out: &mut BytesMut, block: &Block, index: u64) -> bool {
    let start = match block {
        Block::ToolUse {
            id,
            name,
            run_by_provider,
            ..
        } => {
            let mut start = json!({"toolUseId": id, "name": name});
            if *run_by_provider {
                start["type"] = json!("server_tool_use");
            }
            json!({"toolUse": start})
        }
        Block::ToolResult {
            id, kind, status, ..
        } => {
            let mut start = json!({"toolUseId": id});
            insert_some(&mut start, "type", kind.as_ref());
            insert_some(&mut start, "status", status.as_ref());
            json!({"toolResult": start})
        }
        Block::Image { format, .. } => json!({"image": {"format": format}}),
        Block::Text { .. }
        | Block::Reasoning { .. }
        | Block::RedactedReasoning { .. }
        | Block::Event { .. } => return false,
    };
    BLOCK_START.write(out, |out| {
        put_index(out, index);
        out.put_slice(b",\"start\":");
        out.put_slice(start.to_string().as_bytes());
        close_padded(out, index);
    });
    true
}

/// Writes the delta of this number, counted from 0, of a block.
///
/// A piece of text begins with the stamp, if there is one: nanoseconds since 1970, and a space.
pub(crate) fn block_delta(
    out: &mut BytesMut,
    block: &Block,
    index: u64,
    number: u64,
    stamp: Option<SystemTime>,
) {
    if let Block::Event {
        event_type,
        payload,
    } = block
    {
        FrameHeaders::event(event_type).write(out, |out| out.put_slice(payload.as_bytes()));
        return;
    }
    BLOCK_DELTA.write(out, |out| {
        put_index(out, index);
        out.put_slice(b",\"delta\":{");
        match block {
            Block::Text { chunks, .. } if number < chunks.count() => {
                out.put_slice(b"\"text\":");
                let piece = chunks.piece(number);
                match stamp {
                    None => put_json_string(out, piece),
                    Some(at) => put_json_string(out, &format!("{} {piece}", unix_nanos(at))),
                }
            }
            Block::Text { chunks, citations } => {
                let citation = usize::try_from(number - chunks.count())
                    .ok()
                    .and_then(|at| citations.get(at));
                out.put_slice(b"\"citation\":");
                out.put_slice(citation.unwrap_or(&Value::Null).to_string().as_bytes());
            }
            Block::Reasoning { chunks, .. } if number < chunks.count() => {
                out.put_slice(b"\"reasoningContent\":{\"text\":");
                put_json_string(out, chunks.piece(number));
                out.put_u8(b'}');
            }
            Block::Reasoning { signature, .. } => {
                out.put_slice(b"\"reasoningContent\":{\"signature\":");
                put_json_string(out, signature.as_deref().unwrap_or(""));
                out.put_u8(b'}');
            }
            Block::RedactedReasoning { base64 } => {
                out.put_slice(b"\"reasoningContent\":{\"redactedContent\":");
                put_json_string(out, base64);
                out.put_u8(b'}');
            }
            Block::ToolUse { input, .. } => {
                out.put_slice(b"\"toolUse\":{\"input\":");
                put_json_string(out, input.piece(number));
                out.put_u8(b'}');
            }
            Block::ToolResult { items, .. } => {
                let item = usize::try_from(number).ok().and_then(|at| items.get(at));
                out.put_slice(b"\"toolResult\":[");
                out.put_slice(item.unwrap_or(&Value::Null).to_string().as_bytes());
                out.put_u8(b']');
            }
            Block::Image { source, error, .. } => {
                let mut image = json!({});
                if let Some(source) = source {
                    image["source"] = source.clone();
                }
                if let Some(message) = error {
                    image["error"] = json!({"message": message});
                }
                out.put_slice(b"\"image\":");
                out.put_slice(image.to_string().as_bytes());
            }
            Block::Event { .. } => {}
        }
        out.put_u8(b'}');
        close_padded(out, number);
    });
}

pub(crate) fn block_stop(out: &mut BytesMut, index: u64) {
    BLOCK_STOP.write(out, |out| {
        put_index(out, index);
        close_padded(out, index);
    });
}

pub(crate) fn message_stop(out: &mut BytesMut, stop_reason: &str, additional: Option<&Value>) {
    MESSAGE_STOP.write(out, |out| {
        out.put_slice(b"{\"stopReason\":");
        put_json_string(out, stop_reason);
        if let Some(additional) = additional {
            out.put_slice(b",\"additionalModelResponseFields\":");
            out.put_slice(additional.to_string().as_bytes());
        }
        close_padded(out, 1);
    });
}

pub(crate) fn metadata(out: &mut BytesMut, metadata: &Value) {
    METADATA.write(out, |out| out.put_slice(metadata.to_string().as_bytes()));
}

pub(crate) fn exception(out: &mut BytesMut, exception: &Exception) {
    FrameHeaders::exception(&exception.event_name())
        .write(out, |out| out.put_slice(&exception.body()));
}

fn unix_nanos(at: SystemTime) -> u128 {
    at.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos()
}

fn put_index(out: &mut BytesMut, index: u64) {
    out.put_slice(b"{\"contentBlockIndex\":");
    out.put_slice(index.to_string().as_bytes());
}

/// Ends the payload's object with padding whose length varies with `salt`.
fn close_padded(out: &mut BytesMut, salt: u64) {
    // 37 is coprime to the 62 lengths, so all of them occur.
    let length = 1 + usize::try_from(salt.wrapping_mul(37) % PADDING.len() as u64).unwrap_or(0);
    out.put_slice(b",\"p\":\"");
    out.put_slice(PADDING.get(..length).unwrap_or(PADDING).as_bytes());
    out.put_slice(b"\"}");
}
