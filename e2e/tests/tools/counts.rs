//! Tokens of what a turn's first model call would send, tools and reply form included.

use taiwa::v1::{self as pb, output_format::JsonSchema};
use taiwa_core::model::ReplyForm;
use taiwa_e2e::{
    Settings,
    call::{client_tool, invoke, prompt},
};
use taiwa_simulator::Operation;

use crate::world;

const SCENARIO: &str = r#"
[[reply]]
text = '{"n": 1}'
"#;

/// Counts a prompt and asks it; gives the tools of both requests.
async fn counted_and_asked(options: pb::TurnOptions) -> (serde_json::Value, serde_json::Value) {
    let mut agent = taiwa_e2e::agent("formal");
    agent.reply_form = Some(ReplyForm::Tool);
    let settings = Settings {
        more_agents: vec![agent],
        ..Settings::default()
    };
    let (world, _) = world(SCENARIO, settings).await;
    let mut client = world.client().await;
    let agent_id = if options.output.is_some() {
        "formal"
    } else {
        "assistant"
    };
    let count = pb::CountTokensRequest {
        agent_id: agent_id.to_owned(),
        prompt: "hi".to_owned(),
        options: Some(options.clone()),
        ..pb::CountTokensRequest::default()
    };
    client.count_tokens(count).await.expect("a count");
    let request = pb::InvokeRequest {
        agent_id: agent_id.to_owned(),
        options: Some(options),
        ..prompt("hi")
    };
    invoke(&mut client, request).await.expect("an answer");
    let entries = world.simulator.journal().entries();
    let counts = |it: &&taiwa_simulator::Entry| it.operation == Operation::CountTokens;
    let count = entries.iter().find(counts).expect("a count");
    let asked = entries.iter().find(|it| !counts(it)).expect("a call");
    (
        count.request["input"]["converse"]["toolConfig"].clone(),
        asked.request["toolConfig"].clone(),
    )
}

#[tokio::test]
async fn the_tool_that_takes_the_reply_is_counted() {
    let schema = r#"{"type":"object","required":["n"]}"#;
    let options = pb::TurnOptions {
        output: Some(pb::OutputFormat {
            json_schema: Some(JsonSchema::SchemaJson(schema.to_owned())),
            ..pb::OutputFormat::default()
        }),
        client_tools: vec![client_tool("mine")],
        ..pb::TurnOptions::default()
    };
    let (counted, asked) = counted_and_asked(options).await;
    assert_eq!(asked["tools"].as_array().unwrap().len(), 2, "{asked:#}");
    assert_eq!(counted, asked);
}

#[tokio::test]
async fn tools_that_are_not_offered_are_not_counted() {
    let mode = pb::tool_choice::Choice::Mode(pb::ToolChoiceMode::None.into());
    let options = pb::TurnOptions {
        tool_choice: Some(pb::ToolChoice { choice: Some(mode) }),
        client_tools: vec![client_tool("mine")],
        ..pb::TurnOptions::default()
    };
    let (counted, asked) = counted_and_asked(options).await;
    assert!(asked.is_null(), "{asked:#}");
    assert_eq!(counted, asked);
}
