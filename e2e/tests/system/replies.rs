//! Replies that are to fit a JSON Schema, by each of the three calls.

use serde_json::{Value, json};
use taiwa::v1::{self as pb, ErrorReason, StopReason, TurnStatus};
use taiwa_core::{TurnOptions, model::ReplyForm};
use taiwa_e2e::{
    Settings, World,
    call::{invoke, prompt},
};
use tonic::Code;

use crate::views::{Views, asked, text};

const SCHEMA: &str = r#"{"type":"object","properties":{"degrees":{"type":"integer"}},"required":["degrees"],"additionalProperties":false}"#;

/// A model that knows no output format of its provider's.
const WITHOUT_FORMAT: &str = "anthropic.claude-3-haiku-20240307-v1:0";

fn request() -> pb::InvokeRequest {
    let output = pb::OutputFormat {
        name: "weather".to_owned(),
        description: "Weather of a city.".to_owned(),
        json_schema: Some(pb::output_format::JsonSchema::SchemaJson(SCHEMA.to_owned())),
    };
    pb::InvokeRequest {
        options: Some(pb::TurnOptions {
            output: Some(output),
            ..pb::TurnOptions::default()
        }),
        ..prompt("How warm is it?")
    }
}

async fn without_format(scenario: &str) -> World {
    let options = TurnOptions {
        model_id: Some(WITHOUT_FORMAT.to_owned()),
        ..TurnOptions::default()
    };
    let settings = Settings {
        options,
        ..Settings::default()
    };
    World::with(scenario, settings).await
}

/// What the model was sent last.
fn last_asked(world: &World) -> Value {
    Value::clone(&asked(world).pop().unwrap().request)
}

#[tokio::test]
async fn a_reply_that_fits_is_told_as_json() {
    let world = World::start(
        r#"
        [[reply]]
        text = [' {"degr', 'ees": 21} ']
        "#,
    )
    .await;
    let result = Views::of(&world, &request()).await.agreed();
    assert_eq!(result.output_json, r#"{"degrees": 21}"#);
    assert_eq!(result.stop_reason(), StopReason::EndTurn);
    let sent = last_asked(&world);
    let format = &sent["outputConfig"]["textFormat"];
    assert_eq!(format["type"], "json_schema", "{sent:#}");
    let format = &format["structure"]["jsonSchema"];
    assert_eq!(format["schema"], SCHEMA, "{sent:#}");
    assert_eq!(format["description"], "Weather of a city.");
    assert_eq!(sent.get("toolConfig"), None);
}

#[tokio::test]
async fn a_reply_that_does_not_fit_is_mended_by_the_model() {
    let world = World::start(
        r#"
        [[reply]]
        when = { prompt_contains = "does not fit the schema" }
        text = '{"degrees": 21}'

        [[reply]]
        when = { prompt_contains = "not valid JSON" }
        text = '{"degrees": 22}'

        [[reply]]
        when = { prompt_is = "Say it." }
        text = "It is warm."

        [[reply]]
        text = '{"degrees": "warm"}'
        "#,
    )
    .await;
    for (prompt, output) in [
        ("How warm is it?", r#"{"degrees": 21}"#),
        ("Say it.", r#"{"degrees": 22}"#),
    ] {
        let request = pb::InvokeRequest {
            prompt: prompt.to_owned(),
            ..request()
        };
        let result = Views::of(&world, &request).await.agreed();
        assert_eq!(result.output_json, output, "{prompt}");
        assert_eq!(text(&result), result.output_json);
        assert_eq!(result.usage.unwrap().model_calls, 2);
    }
}

#[tokio::test]
async fn a_reply_that_never_fits_fails_the_turn() {
    let world = World::start(
        r#"
        [[reply]]
        text = "It is warm."
        "#,
    )
    .await;
    let (told, result) = Views::of(&world, &request()).await.agreed_failure();
    assert_eq!(told.code, Code::Internal);
    assert_eq!(told.reason, ErrorReason::OutputInvalid);
    assert!(!result.error.as_ref().unwrap().retryable);
    assert!(told.message.contains("not valid JSON"), "{told:?}");
    assert_eq!(result.status(), TurnStatus::Failed);
    assert_eq!(result.output_json, "");
    // The reply and one correction, by each of the three calls.
    assert_eq!(asked(&world).len(), 6);
}

#[tokio::test]
async fn a_model_without_an_output_format_replies_by_a_tool() {
    let world = without_format(
        r#"
        [[reply]]
        content = [
          { tool_use = { id = "a", name = "weather", input = '{"degrees": 21}' } },
        ]
        "#,
    )
    .await;
    let result = Views::of(&world, &request()).await.agreed();
    assert_eq!(result.output_json, r#"{"degrees": 21}"#);
    assert_eq!(result.stop_reason(), StopReason::EndTurn);
    assert_eq!(result.pending_tool_calls, []);
    let sent = last_asked(&world);
    assert_eq!(sent.get("outputConfig"), None, "{sent:#}");
    let config = &sent["toolConfig"];
    assert_eq!(config["toolChoice"], json!({"tool": {"name": "weather"}}));
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    let tool = &config["tools"][0]["toolSpec"];
    assert_eq!(tool["name"], "weather");
    assert_eq!(tool["inputSchema"]["json"], schema);
}

#[tokio::test]
async fn the_form_that_an_agent_names_holds_whatever_its_model_is() {
    let by_text = r#"
        [[reply]]
        text = '{"degrees": 21}'
    "#;
    let by_tool = r#"
        [[reply]]
        content = [
          { tool_use = { id = "a", name = "weather", input = '{"degrees": 21}' } },
        ]
    "#;
    for (form, model, scenario) in [
        (ReplyForm::Native, WITHOUT_FORMAT, by_text),
        (ReplyForm::Tool, taiwa_e2e::MODEL, by_tool),
    ] {
        let mut agent = taiwa_e2e::agent("formal");
        agent.reply_form = Some(form);
        agent.options.model_id = Some(model.to_owned());
        let settings = Settings {
            more_agents: vec![agent],
            ..Settings::default()
        };
        let world = World::with(scenario, settings).await;
        let request = pb::InvokeRequest {
            agent_id: "formal".to_owned(),
            ..request()
        };
        let mut client = world.client().await;
        let answer = invoke(&mut client, request).await.unwrap();
        let result = answer.result.unwrap();
        assert_eq!(result.output_json, r#"{"degrees": 21}"#, "{form:?}");
        assert_eq!(result.status(), TurnStatus::Completed);
        let sent = last_asked(&world);
        let is_native = form == ReplyForm::Native;
        assert_eq!(sent["outputConfig"].is_object(), is_native, "{sent:#}");
        assert_eq!(sent["toolConfig"].is_null(), is_native, "{sent:#}");
    }
}

#[tokio::test]
async fn a_reply_by_a_tool_is_mended_as_a_call_is() {
    let world = without_format(
        r#"
        [[reply]]
        when = { has_tool_result = true }
        content = [
          { tool_use = { id = "b", name = "weather", input = '{"degrees": 21}' } },
        ]

        [[reply]]
        content = [
          { tool_use = { id = "a", name = "weather", input = '{"degrees": "warm"}' } },
        ]
        "#,
    )
    .await;
    let result = Views::of(&world, &request()).await.agreed();
    assert_eq!(result.output_json, r#"{"degrees": 21}"#);
    let sent = last_asked(&world);
    let answer = &sent["messages"][2]["content"][0]["toolResult"];
    assert_eq!(answer["status"], "error", "{sent:#}");
    let words = answer["content"][0]["text"].as_str().unwrap();
    assert!(words.contains("does not fit the schema"), "{words}");
}
