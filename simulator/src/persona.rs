//! The default persona: answers without a scenario.
//!
//! It has no model behind it. It reads what kind of request it gets, knows some things
//! about gRPC, Rust and Bedrock, remembers what the conversation says, computes, calls
//! declared tools when asked to, and says plainly that it is a simulator. The same
//! request gets the same answer.

mod arithmetic;
mod code;
mod fitting;
mod habit;
mod knowledge;
mod memory;
mod mention;
mod pattern;
mod phrases;
mod prompt;
mod report;
mod round;
mod speech;
mod tools;
mod translation;

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Value, json};

pub(crate) use self::habit::Habit;
use self::round::Round;
use crate::{
    reply::{Block, Chunks, Reply},
    script::split_words,
    tokens,
    wire::{Operation, Request, array},
};

/// Answers a request; without a habit the model id says how tools are called.
pub(crate) fn answer(request: &Request, habit: Option<Habit>) -> Reply {
    if request.operation == Operation::CountTokens {
        return Reply::default();
    }
    let habit = habit.unwrap_or_else(|| Habit::of_model(&request.model_id));
    let round = Round::of(request.messages());
    let mut reply = Reply {
        stop_reason: "end_turn".to_owned(),
        ..Reply::default()
    };
    if let Some(thought) = thought(request) {
        reply.content.push(thought);
    }
    if let Some(step) = tools::next(request, &round, habit) {
        reply.content.push(text_block(step.lead));
        reply.content.extend(step.calls);
        reply.stop_reason = "tool_use".to_owned();
        return reply;
    }
    let text = if let Some(json) = tools::structured(request, &round) {
        json.to_string()
    } else {
        let text = if round.results().next().is_some() {
            report::report(&round)
        } else {
            speech::answer(request)
        };
        speech::obey(&request.system_text(), text)
    };
    say(&mut reply, &text, &request.body["inferenceConfig"]);
    reply
}

/// What the user last said, also where the last message only brings results.
pub(crate) fn asked(request: &Request) -> String {
    Round::of(request.messages()).prompt
}

fn text_block(text: &str) -> Block {
    let chunks = Chunks {
        pieces: split_words(text),
        repeat: 1,
    };
    Block::Text {
        chunks,
        citations: Vec::new(),
    }
}

/// Puts the text into the reply, as far as stop sequences and `maxTokens` let it.
fn say(reply: &mut Reply, text: &str, inference: &Value) {
    let stops = array(&inference["stopSequences"])
        .iter()
        .filter_map(Value::as_str);
    let found = stops
        .filter_map(|stop| Some((text.find(stop)?, stop)))
        .min();
    let text = found.map_or(text, |(end, _)| text.get(..end).unwrap_or(text));
    let limit = inference["maxTokens"].as_u64().unwrap_or(u64::MAX);

    let mut chars = 0;
    let mut pieces = split_words(text);
    let fitting = pieces.iter().take_while(|piece| {
        chars += piece.chars().count() as u64;
        tokens::of_chars(chars) <= limit
    });
    let fitting = fitting.count();
    if fitting < pieces.len() {
        pieces.truncate(fitting);
        reply.stop_reason = "max_tokens".to_owned();
    } else if let Some((_, stop)) = found {
        reply.stop_reason = "stop_sequence".to_owned();
        reply.additional_fields = Some(json!({"stop_sequence": stop}));
    }
    let chunks = Chunks { pieces, repeat: 1 };
    reply.content.push(Block::Text {
        chunks,
        citations: Vec::new(),
    });
}

/// A reasoning block, where the request switches reasoning on as Anthropic's models have it.
fn thought(request: &Request) -> Option<Block> {
    let fields = &request.body["additionalModelRequestFields"];
    let switch = fields
        .get("thinking")
        .or_else(|| fields.get("reasoning_config"))?;
    if !["enabled", "adaptive"].contains(&switch["type"].as_str()?) {
        return None;
    }
    let topic = prompt::topic(&request.prompt());
    let text = format!(
        "The user writes about {topic}. I look at what kind of request it is, at what was said \
         before, and at the tools that were declared, and then answer."
    );
    let signature = BASE64_STANDARD.encode(format!(
        "simulator:{:08x}",
        crc32fast::hash(text.as_bytes())
    ));
    let chunks = Chunks {
        pieces: split_words(&text),
        repeat: 1,
    };
    Some(Block::Reasoning {
        chunks,
        signature: Some(signature),
    })
}

#[cfg(test)]
mod tests;
