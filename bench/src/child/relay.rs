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
    error::{self as bedrock_error, DisplayErrorContext},
    primitives::event_stream::EventReceiver,
    types::{self as bedrock, error::ConverseStreamOutputError},
};
use aws_smithy_http_client::Connector;
use aws_smithy_types::Document;
use futures_core::Stream;
use taiwa::v1 as pb;
use tokio::net::TcpListener;
use tokio_stream::StreamExt as _;
use tonic::{Request, Response, Status, Streaming, transport::server::TcpIncoming};

use self::service::agent_service_server::{AgentService, AgentServiceServer};
use crate::scenario::{MODEL, TOOL};

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
        let prompt = request.into_inner().prompt;
        Ok(Response::new(Box::pin(relay(self.bedrock.clone(), prompt))))
    }

    async fn converse(
        &self,
        request: Request<Streaming<pb::ConverseRequest>>,
    ) -> Result<Response<Events>, Status> {
        let events = converse(self.bedrock.clone(), request.into_inner());
        Ok(Response::new(Box::pin(events)))
    }
}

fn message(
    role: bedrock::ConversationRole,
    content: bedrock::ContentBlock,
) -> Result<bedrock::Message, Status> {
    bedrock::Message::builder()
        .role(role)
        .content(content)
        .build()
        .map_err(internal)
}

fn asked(prompt: String) -> Result<bedrock::Message, Status> {
    let said = bedrock::ContentBlock::Text(prompt);
    message(bedrock::ConversationRole::User, said)
}

async fn open(bedrock: &Client, messages: Vec<bedrock::Message>) -> Result<Upstream, Status> {
    let call = bedrock
        .converse_stream()
        .model_id(MODEL)
        .set_messages(Some(messages))
        .set_tool_config(Some(tools()?));
    let output = call.send().await.map_err(|error| failed(&error))?;
    Ok(output.stream)
}

fn tools() -> Result<bedrock::ToolConfiguration, Status> {
    let schema = [("type".to_owned(), Document::from("object"))];
    let schema = Document::Object(schema.into_iter().collect());
    let tool = bedrock::ToolSpecification::builder()
        .name(TOOL)
        .description("Does nothing.")
        .input_schema(bedrock::ToolInputSchema::Json(schema))
        .build()
        .map_err(internal)?;
    bedrock::ToolConfiguration::builder()
        .tools(bedrock::Tool::ToolSpec(tool))
        .build()
        .map_err(internal)
}

/// Relays what the model says to a prompt; a tool that it calls is done at once.
fn relay(bedrock: Client, prompt: String) -> impl Stream<Item = Result<pb::Event, Status>> {
    async_stream::try_stream! {
        let first = asked(prompt)?;
        let mut messages = vec![first];
        let mut sequence = 0;
        loop {
            let mut upstream = open(&bedrock, messages.clone()).await?;
            let mut called = None;
            while let Some(said) = upstream.recv().await.map_err(|error| failed(&error))? {
                sequence += 1;
                called = tool_call(&said).or(called);
                if let Some(event) = event(sequence, said) {
                    yield event;
                }
            }
            let Some(id) = called else { return };
            messages.extend(done(&id)?);
        }
    }
}

/// The id of the tool call that begins.
fn tool_call(said: &bedrock::ConverseStreamOutput) -> Option<String> {
    let start = said.as_content_block_start().ok()?.start()?;
    let call = start.as_tool_use().ok()?;
    Some(call.tool_use_id().to_owned())
}

/// The call and its result, as the model is sent them.
fn done(id: &str) -> Result<[bedrock::Message; 2], Status> {
    let call = bedrock::ToolUseBlock::builder()
        .tool_use_id(id)
        .name(TOOL)
        .input(Document::Object(Default::default()))
        .build()
        .map_err(internal)?;
    let result = bedrock::ToolResultBlock::builder()
        .tool_use_id(id)
        .content(bedrock::ToolResultContentBlock::Text("done".to_owned()))
        .build()
        .map_err(internal)?;
    Ok([
        message(
            bedrock::ConversationRole::Assistant,
            bedrock::ContentBlock::ToolUse(call),
        )?,
        message(
            bedrock::ConversationRole::User,
            bedrock::ContentBlock::ToolResult(result),
        )?,
    ])
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
                let mut events = pin!(relay(bedrock.clone(), prompt));
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

fn internal(error: bedrock_error::BuildError) -> Status {
    Status::internal(error.to_string())
}

fn failed<E: std::error::Error>(error: &E) -> Status {
    Status::unavailable(DisplayErrorContext(error).to_string())
}
