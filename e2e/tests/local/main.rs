//! Turns that a real language model answers: client, server, AWS SDK, simulator, llama.cpp.
//!
//! The model is SmolLM2-135M-Instruct, which `.ci/local-model` brings. Without it the tests say so
//! and pass, but fail where `CI` is `true`.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::{num::NonZeroUsize, path::Path};

use serde_json::Value;
use taiwa::v1::{self as pb, content_block::Block, event::Payload};
use taiwa_e2e::{
    World,
    call::{Streamed, invoke, invoke_stream, next_of, prompt, rest_of},
};
use taiwa_simulator::{
    Model,
    local::{
        Settings,
        shelf::{Shelf, TINY},
    },
};

/// A world of its own, so that nobody else's turn is waited for; none, said aloud, where nobody
/// brought the model.
async fn world() -> Option<(World, Model)> {
    let caches = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.tools/models");
    let Some(file) = Shelf::within(&caches).find(&TINY) else {
        let missing = format!("{} is missing; .ci/local-model brings it", TINY.file);
        let in_ci = std::env::var_os("CI").is_some_and(|it| it == "true");
        assert!(!in_ci, "{missing}");
        eprintln!("SKIPPED: {missing}");
        return None;
    };
    let settings = Settings {
        // Several models at once, each with a thread for every core, get in each other's way.
        threads: NonZeroUsize::MIN,
        ..Settings::of(file)
    };
    let model = Model::load(settings).expect("the model loads");
    Some((World::thinking(model.clone()).await, model))
}

/// The likeliest words, and not many of them.
fn ask(text: &str) -> pb::InvokeRequest {
    pb::InvokeRequest {
        options: Some(pb::TurnOptions {
            temperature: Some(0.0),
            max_tokens: Some(40),
            ..pb::TurnOptions::default()
        }),
        ..prompt(text)
    }
}

fn text_of(result: &pb::TurnResult) -> String {
    let blocks = result.message.iter().flat_map(|message| &message.content);
    blocks
        .filter_map(|block| match &block.block {
            Some(Block::Text(text)) => Some(text.as_str()),
            _ => None,
        })
        .collect()
}

fn deltas(streamed: &Streamed) -> usize {
    let is_delta = |event: &&pb::Event| matches!(event.payload, Some(Payload::TextDelta(_)));
    streamed.events.iter().filter(is_delta).count()
}

#[tokio::test]
async fn an_answer_is_the_same_whole_and_streamed_and_its_tokens_are_true() {
    let Some((world, model)) = world().await else {
        return;
    };
    let mut client = world.client().await;
    let question = ask("What is the capital of France?");
    let whole = invoke(&mut client, question.clone())
        .await
        .expect("an answer");
    let whole = whole.result.expect("a result");
    assert_eq!(whole.stop_reason(), pb::StopReason::EndTurn);
    assert_eq!(whole.model_id, model.id());
    assert!(text_of(&whole).contains("Paris"), "{whole:#?}");

    let before = model.generated_tokens();
    let streamed = invoke_stream(&mut client, question).await;
    let generated = model.generated_tokens() - before;
    let result = streamed.result();
    assert_eq!(text_of(result), text_of(&whole));
    let (usage, same) = (result.usage.as_ref(), whole.usage.as_ref());
    assert_eq!(usage, same);
    let usage = usage.expect("a usage record");
    assert!(!usage.estimated && usage.input_tokens > 7, "{usage:?}");
    // The token that ends the answer may be counted, and has no text.
    let output = u64::try_from(usage.output_tokens).expect("a count");
    assert!(generated.abs_diff(output) <= 1, "{generated}, {output}");
    assert!(deltas(&streamed) > 4, "{streamed:#?}");
}

#[tokio::test]
async fn a_third_turn_knows_what_the_first_said() {
    let Some((world, _)) = world().await else {
        return;
    };
    let mut client = world.client().await;
    let mut inputs = Vec::new();
    let mut last = String::new();
    for text in [
        "The secret word is pineapple.",
        "Thank you.",
        "What is the secret word?",
    ] {
        let mut question = ask(text);
        question.session_id = "secret".to_owned();
        let result = invoke_stream(&mut client, question).await.result().clone();
        inputs.push(result.usage.as_ref().expect("usage").input_tokens);
        last = text_of(&result);
    }
    assert!(last.contains("pineapple"), "{last}");
    assert!(inputs.is_sorted_by(|a, b| a + 8 < *b), "{inputs:?}");
}

#[tokio::test]
async fn a_cancelled_turn_stops_the_model_and_has_its_usage() {
    let Some((world, model)) = world().await else {
        return;
    };
    let mut client = world.client().await;
    let mut question = ask("Write a very long story about a river.");
    question.session_id = "river".to_owned();
    question.options = None;
    let stream = client.invoke_stream(question).await.expect("a stream");
    let mut stream = stream.into_inner();
    let mut seen = 0;
    while seen < 5 {
        let event = next_of(&mut stream).await.expect("no error").expect("more");
        seen += usize::from(matches!(event.payload, Some(Payload::TextDelta(_))));
    }
    let cancel = pb::CancelTurnRequest {
        session_id: "river".to_owned(),
        ..pb::CancelTurnRequest::default()
    };
    client.cancel_turn(cancel).await.expect("cancelled");
    let rest = rest_of(&mut stream).await;
    let result = rest.result();
    assert_eq!(result.status(), pb::TurnStatus::Cancelled);
    let usage = result.usage.as_ref().expect("a usage record");
    assert!(usage.estimated && usage.output_tokens > 0, "{usage:?}");

    // The model answers one request at a time: this one waits for what ran before.
    let next = invoke(&mut client, ask("Hi")).await.expect("an answer");
    let said = next.result.and_then(|result| result.usage).expect("usage");
    let all = model.generated_tokens();
    let of_next = u64::try_from(said.output_tokens).expect("a count") + 1;
    assert!(
        all - of_next < 300,
        "it ran on: {all} tokens, {of_next} of the next"
    );
}

#[tokio::test]
async fn a_forced_call_fits_the_schema_of_its_tool() {
    let Some((world, _)) = world().await else {
        return;
    };
    let mut client = world.client().await;
    let schema = r#"{"type":"object","properties":{"city":{"type":"string"},"days":{"type":"integer","minimum":1,"maximum":9}},"required":["city","days"],"additionalProperties":false}"#;
    let mut question = ask("How will the weather be in Oslo this week?");
    let options = question.options.get_or_insert_default();
    options.max_tokens = Some(100);
    options.tool_choice = Some(pb::ToolChoice {
        choice: Some(pb::tool_choice::Choice::ToolName("forecast".to_owned())),
    });
    options.client_tools = vec![pb::ToolSpec {
        name: "forecast".to_owned(),
        description: "Tells the weather of the next days.".to_owned(),
        input: Some(pb::tool_spec::Input::InputSchemaJson(schema.to_owned())),
        ..pb::ToolSpec::default()
    }];
    let answer = invoke(&mut client, question).await.expect("an answer");
    let result = answer.result.expect("a result");
    assert_eq!(result.status(), pb::TurnStatus::Paused, "{result:#?}");
    let [call] = result.pending_tool_calls.as_slice() else {
        panic!("one call: {result:#?}");
    };
    assert_eq!(call.tool_name, "forecast");
    let input: Value = serde_json::from_str(&call.input_json).expect("JSON");
    let days = input["days"].as_i64().expect("a whole number");
    assert!(
        input["city"].is_string() && (1..=9).contains(&days),
        "{input}"
    );
    assert_eq!(input.as_object().map(|members| members.len()), Some(2));
}

#[tokio::test]
async fn a_reply_that_must_fit_a_schema_does() {
    let Some((world, _)) = world().await else {
        return;
    };
    let mut client = world.client().await;
    let schema = r#"{"type":"object","properties":{"capital":{"type":"string"},"large":{"type":"boolean"}},"required":["capital","large"],"additionalProperties":false}"#;
    let mut question = ask("What is the capital of France?");
    let options = question.options.get_or_insert_default();
    options.max_tokens = Some(100);
    options.output = Some(pb::OutputFormat {
        name: "capital".to_owned(),
        json_schema: Some(pb::output_format::JsonSchema::SchemaJson(schema.to_owned())),
        ..pb::OutputFormat::default()
    });
    let answer = invoke(&mut client, question).await.expect("an answer");
    let result = answer.result.expect("a result");
    let output: Value = serde_json::from_str(&result.output_json).expect("JSON");
    assert!(
        output["capital"].is_string() && output["large"].is_boolean(),
        "{output}"
    );
}
