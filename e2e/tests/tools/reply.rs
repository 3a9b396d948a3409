//! Replies held to a JSON Schema.

use std::collections::BTreeMap;

use taiwa::v1 as pb;
use taiwa_core::{TurnOptions, model::ReplyForm};
use taiwa_e2e::{
    Settings, World,
    call::{invoke, prompt},
};

const SCENARIO: &str = r#"
[[reply]]
when = { prompt_is = "fits" }
text = ['{"city": "Oslo",', ' "warm": false}']

[[reply]]
when = { prompt_is = "mended", call = 1 }
text = "It is Oslo."

[[reply]]
when = { prompt_is = "tool" }
content = [{ tool_use = { id = "r", name = "weather", input = '{"city": "Oslo", "warm": true}' } }]

[[reply]]
text = '{"city": "Bergen", "warm": true}'
"#;

fn asking(text: &str) -> pb::InvokeRequest {
    let schema = r#"{"type":"object","properties":{"city":{"type":"string"},"warm":{"type":"boolean"}},"required":["city","warm"],"additionalProperties":false}"#;
    let mut request = prompt(text);
    request.options = Some(pb::TurnOptions {
        output: Some(pb::OutputFormat {
            name: "weather".to_owned(),
            description: "Weather of a city.".to_owned(),
            json_schema: Some(pb::output_format::JsonSchema::SchemaJson(schema.to_owned())),
        }),
        ..pb::TurnOptions::default()
    });
    request
}

fn body(world: &World, index: usize) -> serde_json::Value {
    let requests = world.simulator.journal().entries();
    requests[index].request.as_ref().clone()
}

async fn world(form: ReplyForm) -> World {
    let mut agent = taiwa_e2e::agent("formal");
    agent.reply_form = Some(form);
    let settings = Settings {
        more_agents: vec![agent],
        tools: BTreeMap::new(),
        options: TurnOptions::default(),
        ..Settings::default()
    };
    World::with(SCENARIO, settings).await
}

async fn ask(world: &World, text: &str) -> Result<pb::TurnResult, tonic::Status> {
    let mut request = asking(text);
    request.agent_id = "formal".to_owned();
    let mut client = world.client().await;
    let answer = invoke(&mut client, request).await?;
    Ok(answer.result.expect("a result"))
}

#[tokio::test]
async fn a_text_that_fits_is_the_output() {
    let world = world(ReplyForm::Native).await;
    let result = ask(&world, "fits").await.expect("an answer");
    assert_eq!(result.output_json, r#"{"city": "Oslo", "warm": false}"#);
    let sent = body(&world, 0);
    assert_eq!(sent["outputConfig"]["textFormat"]["type"], "json_schema");
    assert!(sent["toolConfig"].is_null(), "{sent:#}");
}

#[tokio::test]
async fn a_text_that_does_not_fit_is_mended_once() {
    let world = world(ReplyForm::Native).await;
    let result = ask(&world, "mended").await.expect("an answer");
    assert_eq!(result.output_json, r#"{"city": "Bergen", "warm": true}"#);
    assert_eq!(result.usage.map(|usage| usage.model_calls), Some(2));
}

#[tokio::test]
async fn a_model_without_the_format_is_given_a_tool() {
    let world = world(ReplyForm::Tool).await;
    let result = ask(&world, "tool").await.expect("an answer");
    assert_eq!(result.output_json, r#"{"city": "Oslo", "warm": true}"#);
    assert_eq!(result.status(), pb::TurnStatus::Completed);
    assert_eq!(result.stop_reason(), pb::StopReason::EndTurn);
    let sent = body(&world, 0);
    assert!(sent["outputConfig"].is_null(), "{sent:#}");
    assert_eq!(sent["toolConfig"]["toolChoice"]["tool"]["name"], "weather");
    assert_eq!(
        sent["toolConfig"]["tools"][0]["toolSpec"]["name"],
        "weather"
    );
}
