//! A conversation in which the model reasons, and calls tools of the client.

use taiwa::v1::{self as pb, event::Payload};
use taiwa_e2e::call;

/// A model that reasons, calls two tools, and answers when their results come.
pub(crate) const SCENARIO: &str = r#"
[[reply]]
when = { has_tool_result = true, prompt_is = "" }
content = [
  { reasoning = { text = ["Both", " are mild."], signature = "second" } },
  { text = ["It is ", "mild", "."] },
]

[[reply]]
when = { prompt_is = "weather" }
content = [
  { reasoning = { text = ["Two", " cities."], signature = "first" } },
  { text = ["Let me", " look."] },
  { tool_use = { name = "get_weather", input = ['{"city": ', '"Kyoto"}'] } },
  { tool_use = { name = "get_weather", input = ['{"city": ', '"Oslo"}'] } },
]

[[reply]]
text = "Done."
"#;

/// Options that declare the one tool.
pub(crate) fn options() -> pb::TurnOptions {
    pb::TurnOptions {
        client_tools: vec![call::client_tool("get_weather")],
        ..pb::TurnOptions::default()
    }
}

/// The result of a call.
pub(crate) fn result_of(call: &pb::ToolCall) -> pb::ToolResult {
    pb::ToolResult {
        tool_call_id: call.tool_call_id.clone(),
        text: format!("mild, as of {}", call.input_json),
        ..pb::ToolResult::default()
    }
}

/// The tool calls of some events.
pub(crate) fn calls_in(events: &[pb::Event]) -> Vec<&pb::ToolCall> {
    let calls = events.iter().filter_map(|event| match &event.payload {
        Some(Payload::ToolCall(call)) => Some(call),
        _ => None,
    });
    calls.collect()
}
