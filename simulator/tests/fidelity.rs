//! The simulator through the real AWS SDK.

use aws_sdk_bedrockruntime::{
    Client, Config,
    config::{BehaviorVersion, Credentials, Region},
    types as bedrock,
};
use taiwa_simulator::{Script, Simulator};

#[tokio::test]
async fn a_scripted_text_arrives_in_the_chunks_of_the_script() {
    let simulator = start("[[reply]]\ntext = ['Hel', 'lo', ' wörld \"x\"']").await;
    let mut stream = client(&simulator)
        .converse_stream()
        .model_id("simulator.persona-v1:0")
        .messages(user("hi"))
        .send()
        .await
        .unwrap()
        .stream;
    let mut events = Vec::new();
    while let Some(event) = stream.recv().await.unwrap() {
        events.push(format!("{event:?}"));
    }
    assert_eq!(events.len(), 1 + 3 + 1 + 2, "{events:#?}");
}

async fn start(toml: &str) -> Simulator {
    let script = Script::from_toml(toml).unwrap();
    Simulator::start(taiwa_simulator::Config {
        script,
        ..Default::default()
    })
    .await
    .unwrap()
}

fn client(simulator: &Simulator) -> Client {
    Client::from_conf(
        Config::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(Region::new("us-east-1"))
            .credentials_provider(Credentials::new("id", "secret", None, None, "test"))
            .endpoint_url(simulator.endpoint())
            .build(),
    )
}

fn user(text: &str) -> bedrock::Message {
    bedrock::Message::builder()
        .role(bedrock::ConversationRole::User)
        .content(bedrock::ContentBlock::Text(text.to_owned()))
        .build()
        .unwrap()
}
