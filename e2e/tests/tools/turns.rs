//! A turn with tools, from the model's call to its answer.

use taiwa::v1::{self as pb, event::Payload};
use taiwa_e2e::{
    Settings,
    call::{invoke, invoke_stream, prompt},
};

use crate::world;

const SCENARIO: &str = r#"
[[reply]]
when = { has_tool_result = true }
text = "All done."

[[reply]]
when = { prompt_is = "three" }
content = [
  { text = ["I go", " to work."] },
  { tool_use = { id = "a", name = "work", input = '{"ms": 60, "say": "first"}' } },
  { tool_use = { id = "b", name = "work", input = '{"ms": 20, "say": "second"}' } },
  { tool_use = { id = "c", name = "work", input = '{"ms": 1, "say": "third", "fail": true}' } },
]
"#;

fn updates(events: &[pb::Event]) -> Vec<(String, pb::ToolCallStatus)> {
    let updates = events.iter().filter_map(|event| match &event.payload {
        Some(Payload::ToolCallUpdate(update)) => {
            Some((update.tool_call_id.clone(), update.status()))
        }
        _ => None,
    });
    updates.collect()
}

#[tokio::test]
async fn calls_of_a_step_run_at_once_and_their_results_come_in_the_models_order() {
    let (world, record) = world(SCENARIO, Settings::default()).await;
    let mut client = world.client().await;
    let mut request = prompt("three");
    request.options = Some(pb::TurnOptions {
        include_steps: true,
        ..pb::TurnOptions::default()
    });
    let streamed = invoke_stream(&mut client, request).await;
    let result = streamed.result();
    assert_eq!(result.status(), pb::TurnStatus::Completed, "{result:#?}");
    assert_eq!(record.begun(), 3);
    let ends: Vec<_> = updates(&streamed.events)
        .into_iter()
        .filter(|(_, status)| *status != pb::ToolCallStatus::Running)
        .collect();
    // As they finished.
    assert_eq!(
        ends,
        [
            ("c".to_owned(), pb::ToolCallStatus::Failed),
            ("b".to_owned(), pb::ToolCallStatus::Succeeded),
            ("a".to_owned(), pb::ToolCallStatus::Succeeded),
        ]
    );
    let results: Vec<_> = result
        .intermediate_messages
        .iter()
        .flat_map(|message| &message.content)
        .filter_map(|block| match &block.block {
            Some(pb::content_block::Block::ToolResult(result)) => Some(&*result.tool_call_id),
            _ => None,
        })
        .collect();
    assert_eq!(results, ["a", "b", "c"]);
    let metrics = result.metrics.as_ref().expect("metrics");
    let ran = metrics.tool_time.as_ref().expect("the time of the tools");
    assert!(ran.nanos >= 60_000_000, "{metrics:?}");
    assert_eq!(result.usage.as_ref().map(|usage| usage.tool_calls), Some(3));
}

#[tokio::test]
async fn unary_turns_run_tools_too() {
    let (world, record) = world(SCENARIO, Settings::default()).await;
    let mut client = world.client().await;
    let answer = invoke(&mut client, prompt("three"))
        .await
        .expect("an answer");
    assert_eq!(answer.text, "All done.");
    assert_eq!(record.begun(), 3);
}
