//! What the model is sent from step to step of a turn whose tools the server runs.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use taiwa::v1 as pb;
use taiwa_core::{
    TurnOptions,
    message::CacheTtl,
    options::{CacheOptions, ReasoningOptions},
};
use taiwa_e2e::{
    Settings, World,
    call::{client_tool, invoke, prompt},
    hands::{self, Record},
};

use crate::views::asked;

/// Two rounds of tools, and an answer.
const ROUNDS: &str = r#"
[[reply]]
times = 1
content = [
  { reasoning = { text = ["First", " the one."], signature = "c2lnbmF0dXJlLTE=" } },
  { redacted_reasoning = "aGlkZGVuLTE=" },
  { text = "I look." },
  { tool_use = { id = "one", name = "work", input = '{"say": "first"}' } },
]

[[reply]]
times = 1
content = [
  { redacted_reasoning = "aGlkZGVuLTI=" },
  { reasoning = { text = "Then the other.", signature = "c2lnbmF0dXJlLTI=" } },
  { tool_use = { id = "two", name = "work", input = '{"say":   "second"}' } },
]

[[reply]]
text = "All done."
"#;

/// What the model was sent at each step of a turn with `options`, whose agent has the tool `work`.
async fn sent(options: TurnOptions, request: pb::InvokeRequest) -> Vec<Value> {
    let worker = hands::worker("work", &Record::default());
    let settings = Settings {
        options,
        tools: BTreeMap::from([("assistant".to_owned(), vec![hands::mount(vec![worker])])]),
        ..Settings::default()
    };
    let world = World::with(ROUNDS, settings).await;
    let mut client = world.client().await;
    let answer = invoke(&mut client, request).await.unwrap();
    assert_eq!(answer.text, "All done.");
    let sent: Vec<_> = asked(&world)
        .into_iter()
        .map(|entry| Value::clone(&entry.request))
        .collect();
    assert_eq!(sent.len(), 3);
    sent
}

/// Where the cache points of a request are, by path.
fn cache_points(request: &Value) -> Vec<String> {
    fn find(value: &Value, path: &str, found: &mut Vec<String>) {
        match value {
            Value::Object(fields) => {
                if let Some(point) = fields.get("cachePoint") {
                    let ttl = point["ttl"].as_str().unwrap_or("-");
                    found.push(format!("{path} {ttl}"));
                }
                for (key, value) in fields {
                    find(value, &format!("{path}.{key}"), found);
                }
            }
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    find(item, &format!("{path}[{index}]"), found);
                }
            }
            _ => {}
        }
    }
    let mut found = Vec::new();
    find(request, "", &mut found);
    found
}

#[tokio::test]
async fn reasoning_goes_back_unchanged_through_two_rounds_of_tools() {
    let options = TurnOptions {
        reasoning: Some(ReasoningOptions {
            effort: Some("high".to_owned()),
            budget_tokens: None,
        }),
        ..TurnOptions::default()
    };
    let sent = sent(options, prompt("go")).await;
    let user = json!({"role": "user", "content": [{"text": "go"}]});
    let first = json!({"role": "assistant", "content": [
        {"reasoningContent": {"reasoningText": {
            "text": "First the one.", "signature": "c2lnbmF0dXJlLTE=",
        }}},
        {"reasoningContent": {"redactedContent": "aGlkZGVuLTE="}},
        {"text": "I look."},
        {"toolUse": {"toolUseId": "one", "name": "work", "input": {"say": "first"}}},
    ]});
    let result = |id: &str, text: &str| {
        json!({"role": "user", "content": [{"toolResult": {
            "toolUseId": id, "content": [{"text": text}], "status": "success",
        }}]})
    };
    let second = json!({"role": "assistant", "content": [
        {"reasoningContent": {"redactedContent": "aGlkZGVuLTI="}},
        {"reasoningContent": {"reasoningText": {
            "text": "Then the other.", "signature": "c2lnbmF0dXJlLTI=",
        }}},
        {"toolUse": {"toolUseId": "two", "name": "work", "input": {"say": "second"}}},
    ]});
    let expected = [
        user,
        first,
        result("one", "first"),
        second,
        result("two", "second"),
    ];
    for (request, count) in sent.iter().zip([1, 3, 5]) {
        assert_eq!(request["messages"], json!(expected[..count]));
        assert_eq!(request["outputConfig"], json!({"effort": "high"}));
    }
}

#[tokio::test]
async fn cache_points_stand_at_the_end_of_what_stays_the_same_in_each_step() {
    let options = |system, tools, messages| TurnOptions {
        system: Some("be brief".to_owned()),
        cache: Some(CacheOptions {
            system,
            tools,
            messages,
            ttl: Some(CacheTtl::OneHour),
        }),
        ..TurnOptions::default()
    };
    let points = async |system, tools, messages| -> Vec<String> {
        let sent = sent(options(system, tools, messages), prompt("go")).await;
        sent.iter()
            .map(|request| {
                let mut points = cache_points(request);
                points.sort();
                points.join(", ")
            })
            .collect()
    };
    let system = ".system[1] 1h";
    let tools = ".toolConfig.tools[1] 1h";
    assert_eq!(points(true, false, false).await, [system; 3]);
    assert_eq!(points(false, true, false).await, [tools; 3]);
    // The newest message is new in each step, and the one before it is found in the cache.
    let messages = [
        ".messages[0].content[1] 1h",
        ".messages[2].content[1] 1h",
        ".messages[4].content[1] 1h",
    ];
    assert_eq!(points(false, false, true).await, messages);
    let all = messages.map(|messages| format!("{messages}, {system}, {tools}"));
    assert_eq!(points(true, true, true).await, all);
    assert_eq!(points(false, false, false).await, ["", "", ""]);
}

#[tokio::test]
async fn what_was_sent_is_sent_again_byte_for_byte_ahead_of_what_is_new() {
    let sent = sent(TurnOptions::default(), prompt("go")).await;
    // A prompt cache is found by the text before it.
    for pair in sent.windows(2) {
        let [before, after] = pair else { panic!() };
        let known = before["messages"].as_array().unwrap();
        let all = after["messages"].as_array().unwrap();
        assert_eq!(all[..known.len()], known[..]);
        assert_eq!(before["toolConfig"], after["toolConfig"]);
        assert_eq!(
            before["toolConfig"].to_string(),
            after["toolConfig"].to_string()
        );
    }
}

#[tokio::test]
async fn tools_of_the_server_and_of_the_client_are_offered_side_by_side() {
    let options = pb::TurnOptions {
        client_tools: vec![client_tool("ask_user")],
        ..pb::TurnOptions::default()
    };
    let request = pb::InvokeRequest {
        options: Some(options),
        ..prompt("go")
    };
    for request in sent(TurnOptions::default(), request).await {
        let tools = request["toolConfig"]["tools"].as_array().unwrap();
        let names: Vec<_> = tools
            .iter()
            .map(|tool| tool["toolSpec"]["name"].as_str().unwrap())
            .collect();
        assert_eq!(names, ["work", "ask_user"]);
    }
}
