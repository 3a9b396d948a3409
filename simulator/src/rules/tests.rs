use serde_json::{Value, json};

use super::*;

const MODEL: &str = "anthropic.claude-sonnet-4-20250514-v1:0";
const PNG: &str = "iVBORw0KGgoAAAANSUhEUg==";

fn verdict(model: &str, body: Value) -> String {
    let request = Request {
        operation: Operation::Converse,
        model_id: model.to_owned(),
        body,
    };
    match check(&request, Some("local.tiny")) {
        Ok(()) => "ok".to_owned(),
        Err(exception) => format!("{}: {}", exception.name, exception.message),
    }
}

#[track_caller]
fn expect(body: Value, expected: &str) {
    assert_eq!(verdict(MODEL, body), expected);
}

#[track_caller]
fn expect_start(body: Value, expected: &str) {
    let verdict = verdict(MODEL, body);
    assert!(verdict.starts_with(expected), "{verdict}");
}

fn messages(messages: Value) -> Value {
    json!({"messages": messages, "toolConfig": {"tools": [tool("clock")]}})
}

fn tool(name: &str) -> Value {
    json!({"toolSpec": {"name": name, "inputSchema": {"json": {"type": "object"}}}})
}

fn says(role: &str, text: &str) -> Value {
    json!({"role": role, "content": [{"text": text}]})
}

fn with(name: &str, value: Value) -> Value {
    let mut body = json!({"messages": [says("user", "hi")]});
    body[name] = value;
    body
}

fn call(id: &str) -> Value {
    json!({"toolUse": {"toolUseId": id, "name": "clock", "input": {}}})
}

fn result(id: &str) -> Value {
    json!({"toolResult": {"toolUseId": id, "content": [{"text": "noon"}]}})
}

#[test]
fn a_whole_conversation_with_tools_passes() {
    expect(
        messages(json!([
            says("user", "time?"),
            {"role": "assistant", "content": [{"text": "let me see"}, call("a"), call("b")]},
            {"role": "user", "content": [result("b"), result("a")]},
            says("assistant", "noon"),
            says("user", "thanks"),
        ])),
        "ok",
    );
    expect(with("unknownMember", json!(1)), "ok");
}

#[test]
fn a_conversation_starts_with_the_user_and_alternates() {
    let start = "ValidationException: A conversation must start with a user message. Try again \
                 with a conversation that starts with a user message.";
    expect(json!({"messages": []}), start);
    expect(json!({}), start);
    expect(messages(json!([says("assistant", "hi")])), start);
    expect(
        messages(json!([says("user", "a"), says("user", "b")])),
        "ValidationException: A conversation must alternate between user and assistant roles. \
         Make sure the conversation alternates between user and assistant roles and try again.",
    );
}

#[test]
fn empty_and_blank_content_is_named_with_its_place() {
    expect(
        messages(json!([says("user", "a"), {"role": "assistant", "content": []}])),
        "ValidationException: The content field in the Message object at messages.1 is empty. \
         Add a ContentBlock object to the content field and try again.",
    );
    for blank in ["", " \n\t"] {
        expect(
            messages(json!([says("user", blank)])),
            "ValidationException: The text field in the ContentBlock object at \
             messages.0.content.0 is blank. Add text to the text field, and try again.",
        );
    }
}

#[test]
fn tool_calls_and_results_come_in_pairs() {
    let asked = says("user", "time?");
    let called = json!({"role": "assistant", "content": [call("a")]});
    expect(
        messages(json!([{"role": "user", "content": [result("a")]}])),
        "ValidationException: The number of toolResult blocks at messages.0.content exceeds the \
         number of toolUse blocks of previous turn.",
    );
    expect(
        messages(json!([asked, called, says("user", "well?")])),
        "ValidationException: Expected toolResult blocks at messages.2.content for the following \
         Ids: a",
    );
    expect(
        messages(json!([asked, called])),
        "ValidationException: Expected toolResult blocks at messages.2.content for the following \
         Ids: a",
    );
    expect(
        messages(json!([asked, called, {"role": "user", "content": [result("x")]}])),
        "ValidationException: Expected toolResult blocks at messages.2.content for the following \
         Ids: a",
    );
    expect(
        json!({"messages": [asked, called, {"role": "user", "content": [result("a")]}]}),
        "ValidationException: The toolConfig field must be defined when using toolUse and \
         toolResult content blocks.",
    );
}

#[test]
fn inference_values_are_held_to_their_bounds_and_told_together() {
    expect(
        with("inferenceConfig", json!({"maxTokens": 0})),
        "ValidationException: 1 validation error detected: Value '0' at \
         'inferenceConfig.maxTokens' failed to satisfy constraint: Member must have value greater \
         than or equal to 1",
    );
    expect(
        with("inferenceConfig", json!({"temperature": 1.5, "topP": -0.1})),
        "ValidationException: 2 validation errors detected: Value '1.5' at \
         'inferenceConfig.temperature' failed to satisfy constraint: Member must have value less \
         than or equal to 1; Value '-0.1' at 'inferenceConfig.topP' failed to satisfy constraint: \
         Member must have value greater than or equal to 0",
    );
    let many: Vec<String> = (0..2501).map(|at| at.to_string()).collect();
    let verdict = verdict(
        MODEL,
        with("inferenceConfig", json!({"stopSequences": many})),
    );
    assert!(verdict.ends_with("Member must have length less than or equal to 2500"));
    expect(
        with("inferenceConfig", json!({"maxTokens": "many"})),
        "SerializationException: STRING_VALUE can not be converted to an Integer",
    );
}

#[test]
fn tools_have_plain_unique_names_and_a_schema() {
    let config = |tools: Value, choice: Value| {
        with("toolConfig", json!({"tools": tools, "toolChoice": choice}))
    };
    expect(
        config(json!([tool("a b")]), Value::Null),
        "ValidationException: 1 validation error detected: Value 'a b' at \
         'toolConfig.tools.1.member.toolSpec.name' failed to satisfy constraint: Member must \
         satisfy regular expression pattern: [a-zA-Z0-9_-]+",
    );
    expect_start(
        config(json!([tool("a"), tool("a")]), Value::Null),
        "ValidationException: The toolConfig field contains more than one tool with the name a.",
    );
    expect_start(
        config(json!([tool("a")]), json!({"tool": {"name": "b"}})),
        "ValidationException: The tool b of toolConfig.toolChoice is not in",
    );
    expect_start(
        config(json!([]), json!({"any": {}})),
        "ValidationException: 1 validation error detected: Value '[]' at 'toolConfig.tools'",
    );
    expect(
        config(
            json!([{"toolSpec": {"inputSchema": {"json": {}}}}]),
            Value::Null,
        ),
        "ValidationException: 1 validation error detected: Value null at \
         'toolConfig.tools.1.member.toolSpec.name' failed to satisfy constraint: Member must not \
         be null",
    );
}

#[test]
fn media_are_counted_and_looked_at() {
    let image = |format: &str, base64: &str| json!({"image": {"format": format, "source": {"bytes": base64}}});
    let document = |name: &str| json!({"document": {"format": "txt", "name": name, "source": {"bytes": "aGk="}}});
    let user = |content: Vec<Value>| json!({"messages": [{"role": "user", "content": content}]});

    expect(
        user(vec![image("png", PNG), document("a-b (1) [2]_c")]),
        "ok",
    );
    expect(
        user(vec![image("jpeg", PNG)]),
        "ValidationException: The model returned the following errors: The provided image does \
         not match the specified image format.",
    );
    expect(
        user(vec![image("jpg", PNG)]),
        "ValidationException: 1 validation error detected: Value 'jpg' at \
         'messages.1.member.content.1.member.image.format' failed to satisfy constraint: Member \
         must satisfy enum value set: [png, jpeg, gif, webp]",
    );
    expect_start(user(vec![image("png", "%%")]), "SerializationException");
    for name in ["cv.pdf", "a  b", "a\u{3000}b"] {
        expect_start(
            user(vec![document(name)]),
            "ValidationException: The document file name",
        );
    }
    expect_start(
        user(vec![image("png", PNG); 21]),
        "ValidationException: The model returned the following errors: too many images and \
         documents: 21 + 0 > 20",
    );
    expect_start(
        user(vec![document("a"); 6]),
        "ValidationException: The model returned the following errors: too many documents: 6 > 5",
    );
}

#[test]
fn model_ids_look_like_bedrocks() {
    for model in [
        "simulator.persona-v1:0",
        "amazon.nova-lite-v1:0",
        "us.anthropic.claude-sonnet-4-20250514-v1:0",
        "global.anthropic.claude-sonnet-4-5-20250929-v1:0",
        "openai.gpt-oss-120b-1:0",
        "arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-lite-v1:0",
        "arn:aws-us-gov:bedrock:us-gov-west-1:123456789012:inference-profile/x.y",
        "arn:aws:bedrock:us-east-1:123456789012:prompt/ABCDEFGHIJ:1",
    ] {
        assert_eq!(verdict(model, with("x", Value::Null)), "ok", "{model}");
    }
    for model in [
        "gpt-4",
        "anthropic.",
        "acme.model-v1",
        "us.acme.x",
        "arn:aws:s3:::bucket/x",
    ] {
        assert_eq!(
            verdict(model, with("x", Value::Null)),
            "ValidationException: The provided model identifier is invalid.",
            "{model}"
        );
    }
    assert!(verdict("a b", with("x", Value::Null)).contains("regular expression pattern"));
}

#[test]
fn wrong_types_and_unions_are_refused() {
    expect(
        json!([]),
        "SerializationException: The request body is not a JSON object.",
    );
    expect(
        with("messages", json!("hi")),
        "SerializationException: STRING_VALUE can not be converted to a List",
    );
    expect_start(
        with(
            "messages",
            json!([{"role": "user", "content": [{"text": "a", "image": {}}]}]),
        ),
        "ValidationException: 1 validation error detected: Value '{\"text\":\"a\",\"image\":{}}' at \
         'messages.1.member.content.1.member' failed to satisfy constraint: Member must set \
         exactly one of [text, image,",
    );
    expect_start(
        with(
            "messages",
            json!([{"role": "robot", "content": [{"text": "a"}]}]),
        ),
        "ValidationException: 1 validation error detected: Value 'robot' at \
         'messages.1.member.role' failed to satisfy constraint: Member must satisfy enum value \
         set: [user, assistant, system]",
    );
}
