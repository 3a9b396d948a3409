use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::*;

mod tools;

const MODEL: &str = "simulator.persona-v1:0";

fn converse(body: Value) -> Reply {
    converse_as(MODEL, body)
}

fn converse_as(model: &str, body: Value) -> Reply {
    let request = Request {
        operation: Operation::Converse,
        model_id: model.to_owned(),
        body,
    };
    answer(&request, None)
}

fn conversation(turns: &[&str]) -> Value {
    let roles = ["user", "assistant"].into_iter().cycle();
    let messages: Vec<Value> = turns
        .iter()
        .zip(roles)
        .map(|(text, role)| json!({"role": role, "content": [{"text": text}]}))
        .collect();
    json!({"messages": messages})
}

fn said(reply: &Reply) -> String {
    let mut text = String::new();
    for block in &reply.content {
        if let Block::Text { chunks, .. } = block {
            text.push_str(&chunks.join());
        }
    }
    text
}

fn ask(prompt: &str) -> String {
    said(&converse(conversation(&[prompt])))
}

#[test]
fn different_prompts_get_different_answers_of_several_sentences() {
    let prompts = [
        "Hi",
        "What is gRPC?",
        "Why does backpressure matter?",
        "How do I cancel a stream?",
        "List five tips about Rust",
        "Write a function for fibonacci numbers in Rust",
        "Translate good morning to French",
        "Who are you?",
        "What is 12 * 7?",
        "What is the difference between gRPC and WebSockets?",
        "How do I bake bread?",
        "Tell me a joke",
        "Write a haiku about autumn",
        "I went to the zoo yesterday.",
    ];
    let answers: BTreeSet<String> = prompts.iter().map(|prompt| ask(prompt)).collect();
    assert_eq!(answers.len(), prompts.len());
    for answer in answers {
        assert!(answer.chars().count() > 50, "{answer}");
    }
}

#[test]
fn an_answer_takes_up_the_words_of_the_prompt() {
    for (prompt, expected) in [
        ("How do I bake bread?", "bake bread"),
        ("What is gRPC?", "gRPC is a framework"),
        (
            "Write a function for fibonacci numbers in Rust",
            "```rust\nfn fibonacci",
        ),
        ("List three reasons for deadlines", "\n3. "),
        ("What is 12 * 7 + 3?", "87"),
        ("Translate thank you to German", "danke"),
        ("Are you a real model?", "simulator"),
        ("Translate 'good morning, friend' to Spanish", "amigo"),
        ("What is the capital of France?", "Paris"),
        (
            "Give me three tips for learning the piano",
            "learning piano",
        ),
        ("Compare gRPC vs server-sent events", "**gRPC.**"),
    ] {
        let answer = ask(prompt);
        assert!(answer.contains(expected), "{prompt}: {answer}");
    }
}

#[test]
fn it_remembers_what_the_conversation_says() {
    let first = ask("My name is Ada Lovelace, hello");
    let turns = ["My name is Ada Lovelace, hello", &first, "What is my name?"];
    let answer = said(&converse(conversation(&turns)));
    assert!(answer.contains("Your name is Ada Lovelace."), "{answer}");

    let turns = [
        "My favourite colour is green.",
        "Noted.",
        "What's my favourite colour?",
    ];
    let answer = said(&converse(conversation(&turns)));
    assert!(answer.contains("favourite colour is green"), "{answer}");

    let turns = ["What is gRPC?", &ask("What is gRPC?"), "And why?"];
    let answer = said(&converse(conversation(&turns)));
    assert!(
        answer.contains("Teams choose it because the contract"),
        "{answer}"
    );

    let turns = [
        "What is gRPC?",
        &ask("What is gRPC?"),
        "What is my dog called?",
    ];
    let answer = said(&converse(conversation(&turns)));
    assert!(!answer.contains("gRPC is a framework"), "{answer}");

    assert!(ask("What is my name?").contains("not told me"));
}

#[test]
fn limits_of_the_request_hold() {
    let mut body = conversation(&["What is gRPC?"]);
    body["inferenceConfig"] = json!({"maxTokens": 10});
    let reply = converse(body.clone());
    assert_eq!(reply.stop_reason, "max_tokens");
    assert!(reply.output_tokens() <= 10);

    body["inferenceConfig"] = json!({"stopSequences": ["dozen", "remote"]});
    let reply = converse(body.clone());
    assert_eq!(reply.stop_reason, "stop_sequence");
    assert_eq!(said(&reply), "gRPC is a framework for ");
    assert_eq!(
        reply.additional_fields,
        Some(json!({"stop_sequence": "remote"}))
    );

    body["inferenceConfig"] = Value::Null;
    body["system"] = json!([{"text": "Answer in one sentence."}]);
    assert_eq!(said(&converse(body)).matches('.').count(), 1);
}

fn weather() -> Value {
    json!({"tools": [
        {"toolSpec": {
            "name": "get_weather",
            "description": "Current weather of a city",
            "inputSchema": {"json": {
                "type": "object",
                "properties": {
                    "city": {"type": "string"},
                    "unit": {"enum": ["celsius", "fahrenheit"]},
                    "days": {"type": "integer", "minimum": 1, "maximum": 7},
                },
                "required": ["city", "unit", "days"],
            }},
        }},
        {"toolSpec": {"name": "send_mail", "inputSchema": {"json": {"type": "object"}}}},
    ]})
}

fn call(reply: &Reply) -> (String, Value) {
    let Some(Block::ToolUse { name, input, .. }) = reply.content.last() else {
        panic!("no call in {reply:?}");
    };
    (name.clone(), serde_json::from_str(&input.join()).unwrap())
}

#[test]
fn a_tool_is_called_when_it_is_asked_for_with_input_that_fits() {
    let mut body = conversation(&["What is the weather in New York for 12 days, in Fahrenheit?"]);
    body["toolConfig"] = weather();
    let reply = converse(body.clone());
    assert_eq!(reply.stop_reason, "tool_use");
    let input = json!({"city": "New York", "unit": "fahrenheit", "days": 7});
    assert_eq!(call(&reply), ("get_weather".to_owned(), input));

    let mut idle = conversation(&["What is gRPC?"]);
    idle["toolConfig"] = weather();
    assert_eq!(converse(idle.clone()).stop_reason, "end_turn");
    idle["toolConfig"]["toolChoice"] = json!({"tool": {"name": "send_mail"}});
    assert_eq!(call(&converse(idle.clone())).0, "send_mail");
    idle["toolConfig"]["toolChoice"] = json!({"any": {}});
    assert_eq!(converse(idle).stop_reason, "tool_use");
}

#[test]
fn the_result_of_a_tool_is_in_the_answer() {
    let mut body = conversation(&["Weather in Paris?"]);
    body["toolConfig"] = weather();
    let messages = body["messages"].as_array_mut().unwrap();
    messages.push(json!({"role": "assistant", "content": [
        {"toolUse": {"toolUseId": "a", "name": "get_weather", "input": {}}}
    ]}));
    messages.push(json!({"role": "user", "content": [{"toolResult": {
        "toolUseId": "a", "content": [{"json": {"temperature": 21, "sky": "clear"}}]
    }}]}));
    let reply = converse(body.clone());
    assert_eq!(reply.stop_reason, "end_turn");
    assert!(
        said(&reply).contains("temperature is 21, sky is clear"),
        "{}",
        said(&reply)
    );

    body["messages"][2]["content"][0]["toolResult"]["status"] = json!("error");
    assert!(said(&converse(body)).contains("failed"));
}

#[test]
fn reasoning_comes_first_when_it_is_switched_on() {
    let mut body = conversation(&["What is gRPC?"]);
    body["additionalModelRequestFields"] =
        json!({"thinking": {"type": "enabled", "budget_tokens": 1024}});
    let reply = converse(body);
    assert!(matches!(
        reply.content[0],
        Block::Reasoning {
            signature: Some(_),
            ..
        }
    ));
}
