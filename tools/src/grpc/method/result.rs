//! What a call's answers become for the model.

use serde_json::Value;
use taiwa_core::tool::ToolResultBlock;

use crate::{Output, grpc::StreamResult};

/// The answers of a call so far, as many as its result needs.
#[derive(Debug)]
pub(super) struct Answers {
    kept: Kept,
    max_bytes: usize,
}

#[derive(Debug)]
enum Kept {
    Last(Option<Value>),
    All {
        /// Joined by commas.
        items: String,
        left_out: u64,
    },
}

/// What stands around the items of a whole stream, with room for the count.
const AROUND_BYTES: usize = r#"{"items":[],"itemsLeftOut":18446744073709551615}"#.len();

impl Answers {
    pub(super) fn new(result: StreamResult, max_bytes: usize) -> Self {
        let kept = match result {
            StreamResult::Last => Kept::Last(None),
            StreamResult::All => Kept::All {
                items: String::new(),
                left_out: 0,
            },
        };
        Self { kept, max_bytes }
    }

    /// Takes an answer of a stream. What does not fit the result any more is counted, and the
    /// stream is read on: to leave it would cancel the method.
    pub(super) fn add(&mut self, answer: Value) {
        match &mut self.kept {
            Kept::Last(last) => *last = Some(answer),
            Kept::All { items, left_out } => {
                let item = answer.to_string();
                let size = items.len() + 1 + item.len() + AROUND_BYTES;
                if *left_out > 0 || size > self.max_bytes {
                    *left_out += 1;
                    return;
                }
                if !items.is_empty() {
                    items.push(',');
                }
                items.push_str(&item);
            }
        }
    }

    /// Takes the one answer of a unary method.
    pub(super) fn set(&mut self, answer: Value) {
        self.kept = Kept::Last(Some(answer));
    }

    /// The result of a unary method; `None` without an answer.
    pub(super) fn into_output(self) -> Option<Output> {
        match self.kept {
            Kept::Last(Some(answer)) => Some(output(answer, self.max_bytes)),
            Kept::Last(None) | Kept::All { .. } => None,
        }
    }

    /// The result of a streaming method.
    pub(super) fn into_stream_output(self) -> Output {
        match self.kept {
            Kept::Last(Some(answer)) => output(answer, self.max_bytes),
            Kept::Last(None) => Output::text("The stream ended without a message."),
            Kept::All { items, left_out } => Output {
                content: vec![ToolResultBlock::Json(format!(
                    r#"{{"items":[{items}],"itemsLeftOut":{left_out}}}"#
                ))],
                ..Output::default()
            },
        }
    }
}

/// What a model is told of a streaming method's result.
pub(super) fn told_of(result: StreamResult) -> &'static str {
    match result {
        StreamResult::Last => "It answers with a stream, whose last message is the result.",
        StreamResult::All => "It answers with a stream, whose messages are the result's items.",
    }
}

/// A text, cut where the call wants no more, with a note of what was cut.
pub(super) fn cut_text(mut text: String, max_bytes: usize) -> Output {
    if text.len() > max_bytes {
        let note = format!("… [cut: {} bytes in all]", text.len());
        text.truncate(text.floor_char_boundary(max_bytes.saturating_sub(note.len())));
        text.push_str(&note);
    }
    Output::text(text)
}

/// Only an object goes as JSON, which is what model providers take; and only whole.
fn output(answer: Value, max_bytes: usize) -> Output {
    if let Value::String(text) = answer {
        return cut_text(text, max_bytes);
    }
    let text = answer.to_string();
    if answer.is_object() && text.len() <= max_bytes {
        Output {
            content: vec![ToolResultBlock::Json(text)],
            ..Output::default()
        }
    } else {
        cut_text(text, max_bytes)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn all(max_bytes: usize, answers: &[Value]) -> String {
        let mut kept = Answers::new(StreamResult::All, max_bytes);
        for answer in answers {
            kept.add(answer.clone());
        }
        let output = kept.into_stream_output();
        let [ToolResultBlock::Json(text)] = output.content.as_slice() else {
            panic!("{output:?}");
        };
        text.clone()
    }

    #[test]
    fn items_that_do_not_fit_are_counted() {
        let items = [json!({"n": 1}), json!({"n": 2}), json!({"n": 3})];
        assert_eq!(
            all(1000, &items),
            r#"{"items":[{"n":1},{"n":2},{"n":3}],"itemsLeftOut":0}"#
        );
        let text = all(AROUND_BYTES + 16, &items);
        assert_eq!(text, r#"{"items":[{"n":1},{"n":2}],"itemsLeftOut":1}"#);
        assert!(text.len() <= AROUND_BYTES + 16);
    }

    #[test]
    fn an_object_that_is_too_long_is_cut_and_says_so() {
        let output = output(json!({"text": "é".repeat(100)}), 60);
        let [ToolResultBlock::Text(text)] = output.content.as_slice() else {
            panic!("{output:?}");
        };
        assert!(text.len() <= 60, "{text}");
        assert!(text.ends_with("… [cut: 211 bytes in all]"), "{text}");
    }

    #[test]
    fn what_is_no_object_is_text() {
        assert_eq!(output(json!("hello"), 60), Output::text("hello"));
        assert_eq!(output(json!([1, 2]), 60), Output::text("[1,2]"));
    }
}
