//! Client tools from the model's call to the model's answer, by every call.

mod live;
mod paused;

use serde_json::json;
use taiwa::v1 as pb;

/// A model that calls tools, and answers when their results come.
const SCENARIO: &str = r#"
[[reply]]
when = { has_tool_result = true, prompt_is = "" }
text = "It is mild."

[[reply]]
when = { prompt_is = "two" }
content = [
  { text = ["Let me", " look."] },
  { tool_use = { id = "kyoto", name = "get_weather", input = '{"city": "Kyoto"}' } },
  { tool_use = { id = "oslo", name = "get_weather", input = '{"city": "Oslo"}' } },
]

[[reply]]
when = { prompt_is = "broken" }
content = [{ tool_use = { id = "bad", name = "get_weather", input = ['{"city": "Kyo', 'to"'] } }]

[[reply]]
when = { prompt_is = "unknown" }
content = [{ tool_use = { id = "bad", name = "get_time", input = '{}' } }]

[[reply]]
when = { prompt_is = "misfit" }
content = [{ tool_use = { id = "bad", name = "get_weather", input = '{"city": 7}' } }]

[[reply]]
when = { prompt_is = "half" }
content = [
  { tool_use = { id = "bad", name = "get_weather", input = '{"town": "Oslo"}' } },
  { tool_use = { id = "good", name = "get_weather", input = '{"city": "Oslo"}' } },
]

[[reply]]
when = { prompt_is = "one" }
content = [{ tool_use = { id = "kyoto", name = "get_weather", input = '{"city": "Kyoto"}' } }]

[[reply]]
text = "Done."
"#;

/// Options that declare the one tool of these tests.
pub(crate) fn weather() -> pb::TurnOptions {
    let schema = json!({
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
    });
    let tool = pb::ToolSpec {
        name: "get_weather".to_owned(),
        description: "Tells the weather of a city.".to_owned(),
        input: Some(pb::tool_spec::Input::InputSchemaJson(schema.to_string())),
        ..pb::ToolSpec::default()
    };
    pb::TurnOptions {
        client_tools: vec![tool],
        ..pb::TurnOptions::default()
    }
}

/// A result in plain text.
pub(crate) fn answer(tool_call_id: &str, text: &str) -> pb::ToolResult {
    pb::ToolResult {
        tool_call_id: tool_call_id.to_owned(),
        text: text.to_owned(),
        ..pb::ToolResult::default()
    }
}
