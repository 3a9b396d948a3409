//! A conversation as text, for a model that is to condense it.

use std::fmt::Write;

use crate::{
    message::{Block, DocumentBody, GuardContent, Marking, Message, Reasoning, Role},
    tool::{ToolResult, ToolResultBlock},
};

/// Writes messages down, each block on lines of its own.
///
/// As text, since Bedrock takes tool calls and results only together with the tools, and signed
/// reasoning only for the model that wrote it. What is not text is named in its place.
pub(crate) fn transcript<'a>(messages: impl IntoIterator<Item = &'a Message>) -> String {
    let mut text = String::new();
    for message in messages {
        let speaker = match (message.marking, message.role) {
            (Marking::Summary, _) => "Summary of what came before",
            (_, Role::User) => "User",
            (_, Role::Assistant) => "Assistant",
            (_, Role::System) => "Instructions",
        };
        for block in &message.content {
            write_block(&mut text, speaker, block);
        }
    }
    text
}

fn write_block(text: &mut String, speaker: &str, block: &Block) {
    let line = match block {
        Block::Text(words) => words.clone(),
        Block::CitedText(cited) => cited.texts.concat(),
        Block::GuardContent(GuardContent::Text { text, .. }) => text.clone(),
        Block::GuardContent(GuardContent::Image { .. }) | Block::Image(_) => "[image]".to_owned(),
        Block::Video(_) => "[video]".to_owned(),
        Block::Audio(_) => "[audio]".to_owned(),
        Block::Document(document) => document_text(&document.name, &document.body),
        Block::SearchResult(result) => {
            format!("[search result {}] {}", result.title, result.texts.concat())
        }
        Block::ToolCall(call) => {
            return push(
                text,
                "Tool call",
                &format!("{} {}", call.name, call.input_json),
            );
        }
        Block::ToolResult(result) => {
            let what = if result.is_error {
                "Tool error"
            } else {
                "Tool result"
            };
            return push(text, what, &result_text(result));
        }
        // What a model thought led to what it said, and that is here.
        Block::Reasoning(Reasoning::Text { .. } | Reasoning::Redacted(_))
        | Block::CachePoint(_)
        | Block::ToolAddition(_)
        | Block::ToolRemoval(_) => return,
    };
    push(text, speaker, &line);
}

fn push(text: &mut String, speaker: &str, line: &str) {
    // Writing into a text does not fail.
    let _ = writeln!(text, "{speaker}: {line}");
}

fn document_text(name: &str, body: &DocumentBody) -> String {
    match body {
        DocumentBody::Source(_) => format!("[document {name}]"),
        DocumentBody::Text(text) => format!("[document {name}] {text}"),
        DocumentBody::Chunks(texts) => format!("[document {name}] {}", texts.concat()),
    }
}

fn result_text(result: &ToolResult) -> String {
    let pieces: Vec<String> = result
        .content
        .iter()
        .map(|block| match block {
            ToolResultBlock::Text(text) | ToolResultBlock::Json(text) => text.clone(),
            ToolResultBlock::Image(_) => "[image]".to_owned(),
            ToolResultBlock::Video(_) => "[video]".to_owned(),
            ToolResultBlock::Document(document) => document_text(&document.name, &document.body),
            ToolResultBlock::SearchResult(result) => {
                format!("[search result {}] {}", result.title, result.texts.concat())
            }
        })
        .collect();
    pieces.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tool::{Executor, ToolCall};

    #[test]
    fn what_was_said_and_done_is_written_down_in_order() {
        let call = ToolCall {
            id: "t1".to_owned(),
            name: "weather".to_owned(),
            input_json: r#"{"city":"Oslo"}"#.to_owned(),
            executor: Executor::Client,
            expires: None,
            idempotency_key: String::new(),
        };
        let thought = Reasoning::Text {
            text: "hm".to_owned(),
            signature: None,
        };
        let messages = [
            Message {
                marking: Marking::Summary,
                ..Message::user(vec![Block::Text("They met.".to_owned())])
            },
            Message::user(vec![Block::Text("Weather?".to_owned())]),
            Message {
                role: Role::Assistant,
                ..Message::user(vec![Block::Reasoning(thought), Block::ToolCall(call)])
            },
            Message::user(vec![Block::ToolResult(ToolResult::error("t1", "no such"))]),
        ];
        assert_eq!(
            transcript(&messages),
            "Summary of what came before: They met.\n\
             User: Weather?\n\
             Tool call: weather {\"city\":\"Oslo\"}\n\
             Tool error: no such\n"
        );
    }
}
