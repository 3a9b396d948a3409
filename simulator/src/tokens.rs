//! Token counts, by a stated approximation.
//!
//! A token is four characters, rounded up; each message costs four tokens more, an
//! image or a document page 1,600, a tool the tokens of its JSON. Real tokenizers
//! differ by model; what matters here is that counts are stable and grow with the text.

use serde_json::Value;

const CHARS_PER_TOKEN: u64 = 4;
const PER_MESSAGE: u64 = 4;
const PER_MEDIUM: u64 = 1_600;

/// The tokens of a text of so many characters.
pub(crate) fn of_chars(chars: u64) -> u64 {
    chars.div_ceil(CHARS_PER_TOKEN)
}

/// The tokens of a text.
pub(crate) fn of_text(text: &str) -> u64 {
    of_chars(text.chars().count() as u64)
}

/// The tokens of a Converse request: its system prompt, messages and tools.
pub(crate) fn of_conversation(conversation: &Value) -> u64 {
    let messages = conversation["messages"]
        .as_array()
        .map_or(&[][..], Vec::as_slice);
    let messages: u64 = messages
        .iter()
        .map(|message| PER_MESSAGE + of_value(&message["content"]))
        .sum();
    let tools = conversation
        .get("toolConfig")
        .map_or(0, |tools| of_text(&tools.to_string()));
    of_value(&conversation["system"]) + messages + tools
}

fn of_value(value: &Value) -> u64 {
    match value {
        Value::String(text) => of_text(text),
        Value::Array(items) => items.iter().map(of_value).sum(),
        Value::Object(members) => members
            .iter()
            .map(|(name, member)| match name.as_str() {
                "image" | "video" | "audio" | "bytes" => PER_MEDIUM,
                "cachePoint" => 0,
                _ => of_value(member),
            })
            .sum(),
        Value::Null => 0,
        Value::Bool(_) | Value::Number(_) => 1,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn counts_grow_with_text_messages_media_and_tools() {
        let short = json!({"messages": [{"role": "user", "content": [{"text": "abcdefgh"}]}]});
        assert_eq!(of_conversation(&short), 6);
        let long = json!({
            "system": [{"text": "abcd"}, {"cachePoint": {"type": "default"}}],
            "messages": [{"role": "user", "content": [
                {"text": "abcdefgh"},
                {"image": {"format": "png", "source": {"bytes": "AAAA"}}},
            ]}],
        });
        assert_eq!(of_conversation(&long), 1 + 6 + 1_600);
    }
}
