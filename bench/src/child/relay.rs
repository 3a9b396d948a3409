//! The floor: tonic's own server, which passes on the SDK's own stream and does nothing else.

use std::{
    net::{Ipv4Addr, SocketAddr},
    pin::{Pin, pin},
    time::Duration,
};

use anyhow::Result;
use aws_sdk_bedrockruntime::{
    Client, Config,
    config::{
        BehaviorVersion, Credentials, Region, RuntimeComponents, SharedHttpClient,
        StalledStreamProtectionConfig, retry::RetryConfig,
    },
    error::DisplayErrorContext,
    primitives::event_stream::EventReceiver,
    types::{self as bedrock, error::ConverseStreamOutputError},
};
use aws_smithy_http_client::Connector;
use futures_core::Stream;
use taiwa::v1 as pb;
use tokio::net::TcpListener;
use tokio_stream::StreamExt as _;
use tonic::{Request, Response, Status, Streaming, transport::server::TcpIncoming};

use self::service::agent_service_server::{AgentService, AgentServiceServer};
use crate::scenario::MODEL;

mod service {
    #![expect(
        unreachable_pub,
        unused_qualifications,
        clippy::allow_attributes_without_reason,
        reason = "generated code"
    )]

    tonic::include_proto!("taiwa.v1.AgentService");
}

/// As Taiwa's.
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(30);

type Upstream = EventReceiver<bedrock::ConverseStreamOutput, ConverseStreamOutputError>;
type Events = Pin<Box<dyn Stream<Item = Result<pb::Event, Status>> + Send>>;

/// Runs until the parent lets go.
pub(super) async fn run(upstream: SocketAddr) -> Result<()> {
    let relay = Relay {
        bedrock: client(upstream),
    };
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    super::announce(listener.local_addr()?)?;
    let server = tonic::transport::Server::builder()
        .add_service(AgentServiceServer::new(relay))
        .serve_with_incoming(TcpIncoming::from(listener).with_nodelay(Some(true)));
    tokio::select! {
        ended = server => ended?,
        () = super::released() => {}
    }
    Ok(())
}

/// The settings of Taiwa's own client, where they differ from the SDK's.
fn client(upstream: SocketAddr) -> Client {
    let config = Config::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new("bench", "bench", None, None, "bench"))
        .endpoint_url(format!("http://{upstream}"))
        .retry_config(RetryConfig::standard().with_max_attempts(3))
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .http_client(http_client())
        .build();
    Client::from_conf(config)
}

fn http_client() -> SharedHttpClient {
    aws_smithy_http_client::Builder::new().build_with_connector_fn(|settings, components| {
        let mut builder = Connector::builder().pool_idle_timeout(POOL_IDLE_TIMEOUT);
        builder.set_connector_settings(settings.cloned());
        builder.set_sleep_impl(components.and_then(RuntimeComponents::sleep_impl));
        builder.build_http()
    })
}

struct Relay {
    bedrock: Client,
}

#[tonic::async_trait]
impl AgentService for Relay {
    type InvokeStreamStream = Events;
    type ConverseStream = Events;

    async fn invoke_stream(
        &self,
        request: Request<pb::InvokeRequest>,
    ) -> Result<Response<Events>, Status> {
        let upstream = open(&self.bedrock, request.into_inner().prompt).await?;
        Ok(Response::new(Box::pin(relay(upstream))))
    }

    async fn converse(
        &self,
        request: Request<Streaming<pb::ConverseRequest>>,
    ) -> Result<Response<Events>, Status> {
        let events = converse(self.bedrock.clone(), request.into_inner());
        Ok(Response::new(Box::pin(events)))
    }
}

async fn open(bedrock: &Client, prompt: String) -> Result<Upstream, Status> {
    let message = bedrock::Message::builder()
        .role(bedrock::ConversationRole::User)
        .content(bedrock::ContentBlock::Text(prompt))
        .build()
        .map_err(|error| Status::internal(error.to_string()))?;
    let call = bedrock.converse_stream().model_id(MODEL).messages(message);
    let output = call.send().await.map_err(|error| failed(&error))?;
    Ok(output.stream)
}

fn relay(mut upstream: Upstream) -> impl Stream<Item = Result<pb::Event, Status>> {
    async_stream::try_stream! {
        let mut sequence = 0;
        while let Some(said) = upstream.recv().await.map_err(|error| failed(&error))? {
            sequence += 1;
            if let Some(event) = event(sequence, said) {
                yield event;
            }
        }
    }
}

/// Answers the first frame as a session does, then relays each prompt.
fn converse(
    bedrock: Client,
    mut frames: Streaming<pb::ConverseRequest>,
) -> impl Stream<Item = Result<pb::Event, Status>> {
    async_stream::try_stream! {
        use pb::converse_request::Frame;
        let mut is_ready = false;
        while let Some(request) = frames.message().await? {
            if !is_ready {
                is_ready = true;
                yield pb::Event {
                    payload: Some(pb::event::Payload::SessionReady(pb::SessionReady::default())),
                    ..Default::default()
                };
            }
            if let Some(Frame::Prompt(prompt)) = request.frame {
                let upstream = open(&bedrock, prompt).await?;
                let mut events = pin!(relay(upstream));
                while let Some(event) = events.next().await {
                    yield event?;
                }
            }
        }
    }
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the SDK's enums grow, and what is not known is passed over"
)]
fn event(sequence: i64, said: bedrock::ConverseStreamOutput) -> Option<pb::Event> {
    use bedrock::ConverseStreamOutput as Said;
    use pb::event::Payload;
    let (block_index, payload) = match said {
        Said::ContentBlockDelta(said) => match said.delta? {
            bedrock::ContentBlockDelta::Text(text) => (
                said.content_block_index,
                Payload::TextDelta(pb::TextDelta { text }),
            ),
            _ => return None,
        },
        Said::MessageStart(_) => (0, Payload::TurnStarted(pb::TurnStarted::default())),
        Said::ContentBlockStop(said) => (
            said.content_block_index,
            Payload::BlockCompleted(pb::BlockCompleted::default()),
        ),
        Said::MessageStop(_) => (0, Payload::StepCompleted(pb::StepCompleted::default())),
        Said::Metadata(said) => {
            let usage = said.usage?;
            let usage = pb::Usage {
                input_tokens: usage.input_tokens,
                output_tokens: usage.output_tokens,
                total_tokens: usage.total_tokens,
                ..Default::default()
            };
            let result = pb::TurnResult {
                usage: Some(usage),
                ..Default::default()
            };
            (0, Payload::TurnEnded(Box::new(result)))
        }
        _ => return None,
    };
    Some(pb::Event {
        sequence,
        block_index,
        payload: Some(payload),
        ..Default::default()
    })
}

fn failed<E: std::error::Error>(error: &E) -> Status {
    Status::unavailable(DisplayErrorContext(error).to_string())
}
