//! AWS event-stream frames: how they are built.
//!
//! A frame is a prelude (total length, header length), the prelude's CRC-32, headers,
//! payload, and the CRC-32 of everything before it; all integers big-endian.
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/RESTSelectObjectAppendix.html>

use bytes::{BufMut, BytesMut};

/// Header value type 7: a string with a 16-bit length.
const STRING: u8 = 7;
const CRC_LEN: usize = 4;
const PRELUDE_LEN: usize = 8;

/// Which checksum of a frame to spoil.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Checksum {
    Prelude,
    Message,
}

/// The headers of one kind of frame, encoded once and used for every frame of it.
#[derive(Debug, Clone)]
pub(crate) struct FrameHeaders(Vec<u8>);

impl FrameHeaders {
    /// Headers of an event: `:event-type`, `:content-type`, `:message-type: event`.
    pub(crate) fn event(event_type: &str) -> Self {
        Self::encode(":event-type", event_type, "event")
    }

    /// Headers of an exception: `:exception-type`, `:content-type`, `:message-type: exception`.
    pub(crate) fn exception(exception_type: &str) -> Self {
        Self::encode(":exception-type", exception_type, "exception")
    }

    fn encode(type_header: &str, type_value: &str, message_type: &str) -> Self {
        let mut buf = Vec::with_capacity(96);
        for (name, value) in [
            (type_header, type_value),
            (":content-type", "application/json"),
            (":message-type", message_type),
        ] {
            buf.put_u8(u8::try_from(name.len()).unwrap_or(u8::MAX));
            buf.put_slice(name.as_bytes());
            buf.put_u8(STRING);
            // Names come from our own tables and from scenario files, whose reader
            // holds them to 256 bytes.
            buf.put_u16(u16::try_from(value.len()).unwrap_or(u16::MAX));
            buf.put_slice(value.as_bytes());
        }
        Self(buf)
    }

    /// Appends a whole frame; `payload` writes the payload straight into the buffer.
    pub(crate) fn write(&self, out: &mut BytesMut, payload: impl FnOnce(&mut BytesMut)) {
        let start = out.len();
        out.put_bytes(0, PRELUDE_LEN + CRC_LEN);
        out.put_slice(&self.0);
        payload(out);

        let total = out.len() - start + CRC_LEN;
        // Frames are built from scenario text of at most 16 MiB, far under 4 GiB.
        out[start..start + 4].copy_from_slice(&(total as u32).to_be_bytes());
        out[start + 4..start + 8].copy_from_slice(&(self.0.len() as u32).to_be_bytes());
        let prelude_crc = crc32fast::hash(&out[start..start + PRELUDE_LEN]);
        out[start + 8..start + 12].copy_from_slice(&prelude_crc.to_be_bytes());
        let message_crc = crc32fast::hash(&out[start..]);
        out.put_u32(message_crc);
    }
}

/// Spoils a checksum of the frame that `out` holds from `start` on.
pub(crate) fn spoil(out: &mut BytesMut, start: usize, checksum: Checksum) {
    let position = match checksum {
        Checksum::Prelude => start + PRELUDE_LEN,
        Checksum::Message => out.len() - 1,
    };
    if let Some(byte) = out.get_mut(position) {
        *byte ^= 0x55;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_has_lengths_headers_payload_and_checksums() {
        let mut out = BytesMut::from(&b"earlier"[..]);
        FrameHeaders::event("messageStart").write(&mut out, |out| out.put_slice(b"{}"));
        let frame = &out[7..];

        let total = u32::from_be_bytes(frame[0..4].try_into().unwrap()) as usize;
        let headers = u32::from_be_bytes(frame[4..8].try_into().unwrap()) as usize;
        assert_eq!(total, frame.len());
        assert_eq!(crc32fast::hash(&frame[..8]).to_be_bytes(), frame[8..12]);
        assert_eq!(&frame[12..25], b"\x0b:event-type\x07");
        assert_eq!(&frame[12 + headers..total - 4], b"{}");
        assert_eq!(
            crc32fast::hash(&frame[..total - 4]).to_be_bytes(),
            frame[total - 4..]
        );
    }

    /// The empty message of the format's test vectors in the AWS SDKs.
    #[test]
    fn an_empty_message_equals_the_published_vector() {
        let mut out = BytesMut::new();
        FrameHeaders(Vec::new()).write(&mut out, |_| ());
        assert_eq!(
            out[..],
            [
                0, 0, 0, 0x10, 0, 0, 0, 0, 0x05, 0xc2, 0x48, 0xeb, 0x7d, 0x98, 0xc8, 0xff
            ]
        );
    }
}
