//! The SDK's documents, as JSON.
//!
//! A document's objects are hash maps, so that the order of keys is lost; they are sorted here,
//! so that the same document always gives the same text.

use aws_smithy_types::{Document, Number};
use serde_json::Value;

/// Makes JSON of a document.
pub(super) fn into_value(document: Document) -> Value {
    match document {
        Document::Null => Value::Null,
        Document::Bool(value) => Value::Bool(value),
        Document::Number(Number::PosInt(number)) => number.into(),
        Document::Number(Number::NegInt(number)) => number.into(),
        // JSON has no NaN and no infinity: they are null, as serde_json and browsers have it.
        Document::Number(Number::Float(number)) => number.into(),
        Document::String(text) => Value::String(text),
        Document::Array(items) => items.into_iter().map(into_value).collect(),
        Document::Object(members) => {
            let mut members: Vec<_> = members.into_iter().collect();
            members.sort_unstable_by(|(left, _), (right, _)| left.cmp(right));
            members
                .into_iter()
                .map(|(key, value)| (key, into_value(value)))
                .collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_their_kind() {
        let number = |number| into_value(Document::Number(number)).to_string();
        assert_eq!(number(Number::PosInt(u64::MAX)), "18446744073709551615");
        assert_eq!(number(Number::NegInt(i64::MIN)), "-9223372036854775808");
        assert_eq!(number(Number::Float(1.0)), "1.0");
        assert_eq!(number(Number::Float(f64::NAN)), "null");
    }

    #[test]
    fn keys_are_sorted() {
        let members = ["b", "c", "a"].map(|key| (key.to_owned(), Document::Null));
        let text = into_value(Document::Object(members.into())).to_string();
        assert_eq!(text, r#"{"a":null,"b":null,"c":null}"#);
    }
}
