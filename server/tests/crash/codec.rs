//! Streams of events, each as it came over the wire and as it reads.

use std::marker::PhantomData;

use bytes::{Buf as _, Bytes};
use prost::Message;
use taiwa::v1 as pb;
use tokio_stream::Stream;
use tonic::{
    Request, Status, Streaming,
    client::Grpc,
    codec::{BufferSettings, Codec, DecodeBuf, Decoder},
    transport::Channel,
};
use tonic_prost::ProstEncoder;

/// An event.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    /// As it was sent.
    pub(crate) bytes: Bytes,
    /// As it reads.
    pub(crate) event: pb::Event,
}

/// Opens a conversation.
pub(crate) async fn converse(
    channel: Channel,
    frames: impl Stream<Item = pb::ConverseRequest> + Send + 'static,
) -> Result<Streaming<Told>, Status> {
    let mut grpc = ready(channel).await?;
    let path = http::uri::PathAndQuery::from_static("/taiwa.v1.AgentService/Converse");
    let codec = EventCodec::<pb::ConverseRequest>(PhantomData);
    let answer = grpc.streaming(Request::new(frames), path, codec).await?;
    Ok(answer.into_inner())
}

/// Runs a turn.
pub(crate) async fn invoke_stream(
    channel: Channel,
    request: pb::InvokeRequest,
) -> Result<Streaming<Told>, Status> {
    call(channel, "/taiwa.v1.AgentService/InvokeStream", request).await
}

/// Reads events again.
pub(crate) async fn resume_stream(
    channel: Channel,
    request: pb::ResumeStreamRequest,
) -> Result<Streaming<Told>, Status> {
    call(channel, "/taiwa.v1.AgentService/ResumeStream", request).await
}

async fn call<T: Message + Default + 'static>(
    channel: Channel,
    path: &'static str,
    request: T,
) -> Result<Streaming<Told>, Status> {
    let mut grpc = ready(channel).await?;
    let path = http::uri::PathAndQuery::from_static(path);
    let codec = EventCodec::<T>(PhantomData);
    let answer = grpc.server_streaming(Request::new(request), path, codec);
    Ok(answer.await?.into_inner())
}

async fn ready(channel: Channel) -> Result<Grpc<Channel>, Status> {
    let mut grpc = Grpc::new(channel);
    let ready = grpc.ready().await;
    ready.map_err(|error| Status::unavailable(error.to_string()))?;
    Ok(grpc)
}

struct EventCodec<T>(PhantomData<fn() -> T>);

impl<T: Message + 'static> Codec for EventCodec<T> {
    type Encode = T;
    type Decode = Told;
    type Encoder = ProstEncoder<T>;
    type Decoder = EventDecoder;

    fn encoder(&mut self) -> Self::Encoder {
        ProstEncoder::new(BufferSettings::default())
    }

    fn decoder(&mut self) -> Self::Decoder {
        EventDecoder
    }
}

struct EventDecoder;

impl Decoder for EventDecoder {
    type Item = Told;
    type Error = Status;

    fn decode(&mut self, buf: &mut DecodeBuf<'_>) -> Result<Option<Told>, Status> {
        let bytes = buf.copy_to_bytes(buf.remaining());
        let event = pb::Event::decode(bytes.clone());
        let event = event.map_err(|error| Status::data_loss(error.to_string()))?;
        Ok(Some(Told { bytes, event }))
    }
}
