//! Requests and responses as AWS documents them, in JSON.

use bytes::{BufMut, BytesMut};
use serde::Serialize;
use serde_json::{Value, json};

/// What was asked of the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// `POST /model/{modelId}/converse`
    Converse,
    /// `POST /model/{modelId}/converse-stream`
    ConverseStream,
    /// `POST /model/{modelId}/count-tokens`
    CountTokens,
}

impl Operation {
    /// Reads an operation and the decoded model id from a path.
    pub(crate) fn of_path(path: &str) -> Option<(Self, String)> {
        let rest = path.strip_prefix("/model/")?;
        let (model, name) = rest.rsplit_once('/')?;
        let operation = match name {
            "converse" => Self::Converse,
            "converse-stream" => Self::ConverseStream,
            "count-tokens" => Self::CountTokens,
            _ => return None,
        };
        Some((operation, percent_decode(model)?))
    }
}

/// A request that was read but not judged.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) operation: Operation,
    pub(crate) model_id: String,
    pub(crate) body: Value,
}

impl Request {
    /// The object that holds messages, system prompt and tools.
    pub(crate) fn conversation(&self) -> &Value {
        match self.operation {
            Operation::Converse | Operation::ConverseStream => &self.body,
            Operation::CountTokens => &self.body["input"]["converse"],
        }
    }

    pub(crate) fn messages(&self) -> &[Value] {
        array(&self.conversation()["messages"])
    }

    /// The text of the last user message, its text blocks joined by line ends.
    pub(crate) fn prompt(&self) -> String {
        let last = self
            .messages()
            .iter()
            .rfind(|message| message["role"] == "user");
        last.map_or_else(String::new, message_text)
    }

    pub(crate) fn system_text(&self) -> String {
        texts(&self.conversation()["system"])
    }

    /// The content of the last message, if it brings tool results.
    pub(crate) fn tool_results(&self) -> Vec<&Value> {
        let content = self
            .messages()
            .last()
            .map_or(&[][..], |last| array(&last["content"]));
        content
            .iter()
            .filter_map(|block| block.get("toolResult"))
            .collect()
    }
}

/// The items of a JSON array; none for anything else.
pub(crate) fn array(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// The text blocks of a message, joined by line ends.
pub(crate) fn message_text(message: &Value) -> String {
    texts(&message["content"])
}

fn texts(blocks: &Value) -> String {
    let texts: Vec<&str> = array(blocks)
        .iter()
        .filter_map(|block| block["text"].as_str())
        .collect();
    texts.join("\n")
}

/// Counts of tokens, with every member that Bedrock has.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Usage {
    pub(crate) input_tokens: u64,
    pub(crate) output_tokens: u64,
    pub(crate) total_tokens: Option<u64>,
    pub(crate) cache_read_input_tokens: Option<u64>,
    pub(crate) cache_write_input_tokens: Option<u64>,
    /// Time to live and tokens of each cache entry.
    pub(crate) cache_details: Vec<(String, u64)>,
}

impl Usage {
    pub(crate) fn to_json(&self) -> Value {
        let cached =
            self.cache_read_input_tokens.unwrap_or(0) + self.cache_write_input_tokens.unwrap_or(0);
        let total = self
            .total_tokens
            .unwrap_or(self.input_tokens + self.output_tokens + cached);
        let mut usage = json!({
            "inputTokens": self.input_tokens,
            "outputTokens": self.output_tokens,
            "totalTokens": total,
        });
        if let Some(tokens) = self.cache_read_input_tokens {
            usage["cacheReadInputTokens"] = json!(tokens);
        }
        if let Some(tokens) = self.cache_write_input_tokens {
            usage["cacheWriteInputTokens"] = json!(tokens);
        }
        if !self.cache_details.is_empty() {
            usage["cacheDetails"] = self
                .cache_details
                .iter()
                .map(|(ttl, tokens)| json!({"ttl": ttl, "inputTokens": tokens}))
                .collect();
        }
        usage
    }
}

/// Appends a string as JSON.
pub(crate) fn put_json_string(out: &mut BytesMut, text: &str) {
    // Writing into memory cannot fail, and a string always has a JSON form.
    serde_json::to_writer(out.writer(), text).unwrap_or(());
}

fn percent_decode(text: &str) -> Option<String> {
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let high = char::from(bytes.next()?).to_digit(16)?;
            let low = char::from(bytes.next()?).to_digit(16)?;
            decoded.push(u8::try_from(high * 16 + low).ok()?);
        } else {
            decoded.push(byte);
        }
    }
    String::from_utf8(decoded).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_operation_and_model() {
        for (path, expected) in [
            (
                "/model/a.b-v1:0/converse",
                Some((Operation::Converse, "a.b-v1:0")),
            ),
            (
                "/model/a.b-v1%3A0/converse-stream",
                Some((Operation::ConverseStream, "a.b-v1:0")),
            ),
            (
                "/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A1%3Aprompt%2FX/count-tokens",
                Some((
                    Operation::CountTokens,
                    "arn:aws:bedrock:us-east-1:1:prompt/X",
                )),
            ),
            ("/model/a%zz/converse", None),
            ("/model/a/invoke", None),
            ("/", None),
        ] {
            let expected = expected.map(|(operation, model)| (operation, model.to_owned()));
            assert_eq!(Operation::of_path(path), expected, "{path}");
        }
    }
}
