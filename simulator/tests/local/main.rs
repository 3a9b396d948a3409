//! A real language model behind the wire, through the real AWS SDK.
//!
//! The model is SmolLM2-135M-Instruct; `.ci/local-model` brings it. Without it the tests say so
//! and pass, but fail where `CI` is `true`.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::wildcard_enum_match_arm, reason = "the SDK's enums can grow")]

mod answers;
mod files;
mod tools;

use std::{
    num::{NonZeroU32, NonZeroUsize},
    path::{Path, PathBuf},
    sync::OnceLock,
    time::Duration,
};

use aws_sdk_bedrockruntime::{
    Client, Config,
    config::{
        BehaviorVersion, Credentials, Region, StalledStreamProtectionConfig, retry::RetryConfig,
    },
    operation::{
        converse::builders::ConverseFluentBuilder,
        converse_stream::builders::ConverseStreamFluentBuilder,
    },
    types::{self as bedrock, builders::InferenceConfigurationBuilder},
};
use taiwa_simulator::{
    Model, Simulator,
    local::{
        Settings,
        shelf::{Shelf, TINY},
    },
};

const MODEL: &str = "local.smollm2-135m-8k-lc100k-mix1-ep2";

/// Long for a model of this size, even on a busy machine and in a debug build.
const LIMIT: Duration = Duration::from_secs(120);

/// The model's file; none, said aloud, where nobody brought it.
fn weights() -> Option<PathBuf> {
    let caches = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.tools/models");
    let found = Shelf::within(&caches).find(&TINY);
    if found.is_none() {
        lacks(&format!("{}, which .ci/local-model brings", TINY.file));
    }
    found
}

/// Says aloud that a test is left out; where `CI` is `true` it fails.
fn lacks(what: &str) {
    let in_ci = std::env::var_os("CI").is_some_and(|it| it == "true");
    assert!(!in_ci, "there is no {what}");
    eprintln!("SKIPPED: there is no {what}");
}

fn settings(file: PathBuf) -> Settings {
    Settings {
        context: NonZeroU32::new(1_024).unwrap(),
        // Several models at once, each with a thread for every core, get in each other's way.
        threads: NonZeroUsize::MIN,
        ..Settings::of(file)
    }
}

/// The model that the tests share, loaded once.
fn model() -> Option<Model> {
    static LOADED: OnceLock<Option<Model>> = OnceLock::new();
    let load = || Some(Model::load(settings(weights()?)).unwrap());
    LOADED.get_or_init(load).clone()
}

/// A simulator in front of a model.
async fn start(model: Model) -> Simulator {
    let config = taiwa_simulator::Config {
        model: Some(model),
        ..taiwa_simulator::Config::default()
    };
    Simulator::start(config).await.unwrap()
}

fn client(simulator: &Simulator) -> Client {
    Client::from_conf(
        Config::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(Region::new("us-east-1"))
            .credentials_provider(Credentials::new("id", "secret", None, None, "test"))
            .endpoint_url(simulator.endpoint())
            .retry_config(RetryConfig::disabled())
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

fn inference() -> InferenceConfigurationBuilder {
    bedrock::InferenceConfiguration::builder().temperature(0.0)
}

fn ask(
    client: &Client,
    text: &str,
    inference: InferenceConfigurationBuilder,
) -> ConverseFluentBuilder {
    client
        .converse()
        .model_id(MODEL)
        .messages(user(text))
        .inference_config(inference.build())
}

fn ask_stream(
    client: &Client,
    text: &str,
    inference: InferenceConfigurationBuilder,
) -> ConverseStreamFluentBuilder {
    client
        .converse_stream()
        .model_id(MODEL)
        .messages(user(text))
        .inference_config(inference.build())
}

/// A stream's text deltas, stop reason and metadata.
#[derive(Debug, Default)]
struct Streamed {
    texts: Vec<String>,
    stop_reason: Option<bedrock::StopReason>,
    metadata: Option<bedrock::ConverseStreamMetadataEvent>,
}

async fn read(request: ConverseStreamFluentBuilder) -> Streamed {
    let mut stream = request.send().await.unwrap().stream;
    let mut streamed = Streamed::default();
    let read = async {
        while let Some(event) = stream.recv().await.unwrap() {
            match event {
                bedrock::ConverseStreamOutput::ContentBlockDelta(delta) => {
                    let delta = delta.delta.unwrap();
                    streamed.texts.extend(delta.as_text().ok().cloned());
                }
                bedrock::ConverseStreamOutput::MessageStop(stop) => {
                    streamed.stop_reason = Some(stop.stop_reason);
                }
                bedrock::ConverseStreamOutput::Metadata(metadata) => {
                    streamed.metadata = Some(metadata);
                }
                _ => {}
            }
        }
    };
    tokio::time::timeout(LIMIT, read).await.unwrap();
    streamed
}
