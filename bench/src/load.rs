//! The callers: connections, and calls whose pieces are counted.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context, Result, bail};
use taiwa::v1 as pb;
use taiwa::v1::agent_service_client::AgentServiceClient;
use tonic::{
    Request, Streaming,
    transport::{Channel, Endpoint},
};

use crate::scenario::Answer;

/// Longest wait for anything that is to happen at once.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A caller on a connection.
pub(crate) type Client = AgentServiceClient<Channel>;

/// Opens connections, each with a receive window for its streams if one is given.
pub(crate) async fn connect(
    address: SocketAddr,
    connections: usize,
    stream_window: Option<u32>,
) -> Result<Vec<Client>> {
    let mut clients = Vec::with_capacity(connections);
    for _ in 0..connections {
        let channel = channel(address, stream_window).await?;
        clients.push(AgentServiceClient::new(channel));
    }
    Ok(clients)
}

/// Opens a connection, with a receive window for its streams if one is given.
pub(crate) async fn channel(address: SocketAddr, stream_window: Option<u32>) -> Result<Channel> {
    let endpoint = Endpoint::from_shared(format!("http://{address}"))?
        .connect_timeout(PATIENCE)
        .initial_stream_window_size(stream_window);
    let channel = endpoint.connect().await;
    channel.with_context(|| format!("cannot connect to {address}"))
}

/// Starts a call.
pub(crate) async fn call(
    client: &mut Client,
    answer: Answer,
    number: usize,
) -> Result<Streaming<pb::Event>> {
    let request = request(answer, number);
    Ok(client.invoke_stream(request).await?.into_inner())
}

/// Starts a call that the server is to end at a deadline.
pub(crate) async fn call_within(
    client: &mut Client,
    answer: Answer,
    number: usize,
    deadline: Duration,
) -> Result<Streaming<pb::Event>> {
    let mut request = Request::new(request(answer, number));
    request.set_timeout(deadline);
    Ok(client.invoke_stream(request).await?.into_inner())
}

fn request(answer: Answer, number: usize) -> pb::InvokeRequest {
    pb::InvokeRequest {
        prompt: answer.prompt(number),
        ..Default::default()
    }
}

/// The next piece of text; `None` at the end of the answer.
pub(crate) async fn next_piece(events: &mut Streaming<pb::Event>) -> Result<Option<String>> {
    while let Some(event) = events.message().await? {
        if let Some(pb::event::Payload::TextDelta(delta)) = event.payload {
            return Ok(Some(delta.text));
        }
    }
    Ok(None)
}

/// Fails when an answer has lost or gained pieces.
pub(crate) fn expect_pieces(expected: u32, seen: u32) -> Result<()> {
    if seen != expected {
        bail!("an answer of {expected} pieces came as {seen}");
    }
    Ok(())
}
