//! Codecs: requests that cannot be decoded are the caller's fault, events go out as encoded.

use std::marker::PhantomData;

use bytes::{BufMut as _, Bytes};
use prost::Message;
use tonic::{
    Status,
    codec::{BufferSettings, Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
};
use tonic_prost::ProstEncoder;

/// Size of a stream's encode buffer at its start, in bytes; it grows with the events.
///
/// A stream that only waits should cost little; a text event has about 80 bytes.
const BUFFER_BYTES: usize = 512;

/// Bytes after which ready events are handed to the transport. tonic's own default.
const YIELD_BYTES: usize = 32 * 1024;

/// Decodes `T`, encodes what is encoded already.
#[derive(Debug)]
pub(crate) struct EventCodec<T>(PhantomData<fn() -> T>);

impl<T> Default for EventCodec<T> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T: Message + Default + 'static> Codec for EventCodec<T> {
    type Encode = Bytes;
    type Decode = T;
    type Encoder = EventEncoder;
    type Decoder = RequestDecoder<T>;

    fn encoder(&mut self) -> Self::Encoder {
        EventEncoder
    }

    fn decoder(&mut self) -> Self::Decoder {
        RequestDecoder(PhantomData)
    }
}

/// Decodes `D`, encodes `E`.
#[derive(Debug)]
pub(crate) struct MessageCodec<E, D>(PhantomData<fn() -> (E, D)>);

impl<E, D> Default for MessageCodec<E, D> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<E: Message + 'static, D: Message + Default + 'static> Codec for MessageCodec<E, D> {
    type Encode = E;
    type Decode = D;
    type Encoder = ProstEncoder<E>;
    type Decoder = RequestDecoder<D>;

    fn encoder(&mut self) -> Self::Encoder {
        ProstEncoder::new(BufferSettings::default())
    }

    fn decoder(&mut self) -> Self::Decoder {
        RequestDecoder(PhantomData)
    }
}

/// Passes encoded events on.
#[derive(Debug)]
pub(crate) struct EventEncoder;

impl Encoder for EventEncoder {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, buf: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buf.put(item);
        Ok(())
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::new(BUFFER_BYTES, YIELD_BYTES)
    }
}

/// Decodes requests.
#[derive(Debug)]
pub(crate) struct RequestDecoder<T>(PhantomData<fn() -> T>);

impl<T: Message + Default> Decoder for RequestDecoder<T> {
    type Item = T;
    type Error = Status;

    fn decode(&mut self, buf: &mut DecodeBuf<'_>) -> Result<Option<T>, Status> {
        T::decode(buf)
            .map(Some)
            .map_err(|error| super::status::undecodable(&error))
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::new(BUFFER_BYTES, YIELD_BYTES)
    }
}
