//! The simulator through the real AWS SDK: content, exceptions, faults, and the journal.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::wildcard_enum_match_arm, reason = "the SDK's enums can grow")]

mod blocks;
mod exceptions;
mod faults;
mod journal;
mod raw;

use std::time::Duration;

use aws_sdk_bedrockruntime::{
    Client, Config,
    config::{
        BehaviorVersion, Credentials, Region, StalledStreamProtectionConfig, retry::RetryConfig,
    },
    error::SdkError,
    operation::converse_stream::ConverseStreamError,
    types::{self as bedrock, error::ConverseStreamOutputError},
};
use taiwa_simulator::{Entry, Outcome, Script, Simulator};

const MODEL: &str = "simulator.persona-v1:0";

/// Long enough for a busy machine, short enough to fail a hanging test.
const LIMIT: Duration = Duration::from_secs(20);

/// What a stream brought: its events, and the error that ended it, if one did.
#[derive(Debug)]
struct Streamed {
    events: Vec<bedrock::ConverseStreamOutput>,
    error: Option<SdkError<ConverseStreamOutputError, aws_smithy_types::event_stream::RawMessage>>,
}

impl Streamed {
    /// The text deltas, one by one.
    fn texts(&self) -> Vec<&str> {
        let deltas = self.events.iter().filter_map(|event| match event {
            bedrock::ConverseStreamOutput::ContentBlockDelta(delta) => delta.delta.as_ref(),
            _ => None,
        });
        deltas
            .filter_map(|delta| delta.as_text().ok())
            .map(String::as_str)
            .collect()
    }

    fn stop_reason(&self) -> Option<&bedrock::StopReason> {
        self.events
            .iter()
            .find_map(|event| Some(&event.as_message_stop().ok()?.stop_reason))
    }

    fn metadata(&self) -> Option<&bedrock::ConverseStreamMetadataEvent> {
        self.events
            .iter()
            .find_map(|event| event.as_metadata().ok())
    }

    /// The error, which must be one that the service declares.
    #[track_caller]
    fn service_error(&self) -> &ConverseStreamOutputError {
        let error = self.error.as_ref().expect("the stream should have failed");
        error
            .as_service_error()
            .unwrap_or_else(|| panic!("no service error: {error:?}"))
    }
}

async fn start(scenario: &str) -> Simulator {
    let script = Script::from_toml(scenario).unwrap();
    let config = taiwa_simulator::Config {
        script,
        ..taiwa_simulator::Config::default()
    };
    Simulator::start(config).await.unwrap()
}

fn client(simulator: &Simulator) -> Client {
    client_with_attempts(simulator, 1)
}

fn client_with_attempts(simulator: &Simulator, attempts: u32) -> Client {
    let retries = RetryConfig::standard()
        .with_max_attempts(attempts)
        .with_initial_backoff(Duration::from_millis(1));
    Client::from_conf(
        Config::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(Region::new("us-east-1"))
            .credentials_provider(Credentials::new("id", "secret", None, None, "test"))
            .endpoint_url(simulator.endpoint())
            .retry_config(retries)
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .build(),
    )
}

fn user(text: &str) -> bedrock::Message {
    message(
        bedrock::ConversationRole::User,
        bedrock::ContentBlock::Text(text.to_owned()),
    )
}

fn message(role: bedrock::ConversationRole, block: bedrock::ContentBlock) -> bedrock::Message {
    bedrock::Message::builder()
        .role(role)
        .content(block)
        .build()
        .unwrap()
}

async fn open(
    client: &Client,
) -> Result<
    aws_sdk_bedrockruntime::operation::converse_stream::ConverseStreamOutput,
    SdkError<ConverseStreamError>,
> {
    client
        .converse_stream()
        .model_id(MODEL)
        .messages(user("hi"))
        .send()
        .await
}

async fn stream(simulator: &Simulator) -> Streamed {
    let mut stream = open(&client(simulator)).await.unwrap().stream;
    let mut events = Vec::new();
    loop {
        match tokio::time::timeout(LIMIT, stream.recv()).await.unwrap() {
            Ok(Some(event)) => events.push(event),
            Ok(None) => {
                return Streamed {
                    events,
                    error: None,
                };
            }
            Err(error) => {
                return Streamed {
                    events,
                    error: Some(error),
                };
            }
        }
    }
}

async fn converse(
    simulator: &Simulator,
) -> aws_sdk_bedrockruntime::operation::converse::ConverseOutput {
    client(simulator)
        .converse()
        .model_id(MODEL)
        .messages(user("hi"))
        .send()
        .await
        .unwrap()
}

/// The first entry, once it has ended.
async fn ended(simulator: &Simulator) -> Entry {
    simulator
        .journal()
        .wait_for(Entry::has_ended, LIMIT)
        .await
        .unwrap()
}

async fn outcome(simulator: &Simulator) -> Outcome {
    ended(simulator).await.outcome
}
