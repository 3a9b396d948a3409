//! Frames of an event stream, as bytes.
//!
//! <https://smithy.io/2.0/aws/amazon-eventstream.html>

use serde_json::Value;

/// An event or, by its name, an exception.
pub(crate) fn frame(name: &str, payload: &Value) -> Vec<u8> {
    if name.ends_with("Exception") {
        exception(name, &payload.to_string())
    } else {
        let headers = [(":message-type", "event"), (":event-type", name)];
        encode(&headers, payload.to_string().as_bytes())
    }
}

/// An exception with any payload.
pub(crate) fn exception(name: &str, payload: &str) -> Vec<u8> {
    encode(
        &[(":message-type", "exception"), (":exception-type", name)],
        payload.as_bytes(),
    )
}

/// Each event, an object with one member, as a frame.
pub(crate) fn frames(events: &[Value]) -> Vec<u8> {
    let frame = |event: &Value| {
        let (name, payload) = event.as_object().unwrap().iter().next().unwrap();
        frame(name, payload)
    };
    events.iter().flat_map(frame).collect()
}

/// A frame with string headers.
pub(crate) fn encode(headers: &[(&str, &str)], payload: &[u8]) -> Vec<u8> {
    const STRING: u8 = 7;
    let mut encoded = Vec::new();
    for (name, value) in headers {
        encoded.push(name.len().try_into().unwrap());
        encoded.extend(name.as_bytes());
        encoded.push(STRING);
        encoded.extend(u16::try_from(value.len()).unwrap().to_be_bytes());
        encoded.extend(value.as_bytes());
    }
    let mut frame = Vec::new();
    let total = 16 + encoded.len() + payload.len();
    frame.extend(u32::try_from(total).unwrap().to_be_bytes());
    frame.extend(u32::try_from(encoded.len()).unwrap().to_be_bytes());
    frame.extend(crc32fast::hash(&frame).to_be_bytes());
    frame.extend(encoded);
    frame.extend(payload);
    frame.extend(crc32fast::hash(&frame).to_be_bytes());
    frame
}
