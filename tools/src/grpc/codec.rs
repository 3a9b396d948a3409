//! Messages whose types are known at run time alone, as gRPC carries them.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use prost::{DecodeError, Message as _, bytes::Buf as _};
use prost_reflect::{DynamicMessage, MessageDescriptor};
use tonic::{
    Status,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
};

/// Sends and receives dynamic messages.
pub(super) struct DynamicCodec {
    output: MessageDescriptor,
    sent: Sent,
}

/// Says whether a request's message was given to a connection.
///
/// It is encoded when the connection has a stream for it, and not before: while this says no,
/// nobody can have acted on the request.
#[derive(Clone, Debug, Default)]
pub(super) struct Sent(Arc<AtomicBool>);

/// Encodes a request.
pub(super) struct RequestEncoder(Sent);

/// Decodes answers, and gives those that are damaged as what is wrong with them: a failed status
/// could not be told from one that the service sent.
pub(super) struct AnswerDecoder(MessageDescriptor);

impl DynamicCodec {
    /// A codec for one call, whose answers are of type `output`.
    pub(super) fn new(output: MessageDescriptor, sent: Sent) -> Self {
        Self { output, sent }
    }
}

impl Sent {
    pub(super) fn is_sent(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

impl Codec for DynamicCodec {
    type Encode = DynamicMessage;
    type Decode = Result<DynamicMessage, DecodeError>;
    type Encoder = RequestEncoder;
    type Decoder = AnswerDecoder;

    fn encoder(&mut self) -> Self::Encoder {
        RequestEncoder(self.sent.clone())
    }

    fn decoder(&mut self) -> Self::Decoder {
        AnswerDecoder(self.output.clone())
    }
}

impl Encoder for RequestEncoder {
    type Item = DynamicMessage;
    type Error = Status;

    fn encode(&mut self, item: Self::Item, dst: &mut EncodeBuf<'_>) -> Result<(), Status> {
        self.0.0.store(true, Ordering::Release);
        item.encode(dst)
            .map_err(|error| Status::internal(error.to_string()))
    }
}

impl Decoder for AnswerDecoder {
    type Item = Result<DynamicMessage, DecodeError>;
    type Error = Status;

    fn decode(&mut self, src: &mut DecodeBuf<'_>) -> Result<Option<Self::Item>, Status> {
        let bytes = src.copy_to_bytes(src.remaining());
        Ok(Some(DynamicMessage::decode(self.0.clone(), bytes)))
    }
}
