//! JSON, as the SDK's documents and as text.
//!
//! Integers that fit 64 bits stay integers both ways; larger ones become the nearest 64-bit
//! float, which is all that a document can hold. A document's objects are hash maps, so that the
//! order of keys is lost on the way in; on the way out keys are sorted, so that the same document
//! always gives the same text.

use aws_smithy_types::{Document, Number};
use serde_json::{Map, Value};

/// Makes a document of JSON.
pub(super) fn from_value(value: &Value) -> Document {
    match value {
        Value::Null => Document::Null,
        Value::Bool(value) => Document::Bool(*value),
        Value::Number(number) => from_number(number),
        Value::String(text) => Document::String(text.clone()),
        Value::Array(items) => Document::Array(items.iter().map(from_value).collect()),
        Value::Object(members) => from_members(members),
    }
}

/// Makes a document of a JSON object.
pub(super) fn from_members(members: &Map<String, Value>) -> Document {
    let members = members
        .iter()
        .map(|(key, value)| (key.clone(), from_value(value)));
    Document::Object(members.collect())
}

/// Makes a document of JSON text, when it is a JSON object.
pub(super) fn from_object_text(text: &str) -> Option<Document> {
    let members: Map<String, Value> = serde_json::from_str(text).ok()?;
    Some(from_members(&members))
}

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

fn from_number(number: &serde_json::Number) -> Document {
    Document::Number(if let Some(number) = number.as_u64() {
        Number::PosInt(number)
    } else if let Some(number) = number.as_i64() {
        Number::NegInt(number)
    } else {
        // Without `arbitrary_precision` a number is one of the three, so the fallback is not met.
        Number::Float(number.as_f64().unwrap_or(f64::NAN))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let value: Value = serde_json::from_str(text).expect("the test gives JSON");
        assert_eq!(into_value(from_value(&value)).to_string(), expected);
    }

    #[test]
    fn integers_of_64_bits_stay_integers() {
        check(
            "[0,18446744073709551615,-9223372036854775808]",
            "[0,18446744073709551615,-9223372036854775808]",
        );
        check("9007199254740993", "9007199254740993");
    }

    #[test]
    fn larger_integers_become_the_nearest_float() {
        check("18446744073709551616", "1.8446744073709552e19");
        check("-9223372036854775809", "-9.223372036854776e18");
    }

    #[test]
    fn floats_stay_floats() {
        check("[1.0,-0.5,1e-7]", "[1.0,-0.5,1e-7]");
    }

    #[test]
    fn keys_are_sorted() {
        check(
            r#"{"b":{"d":null,"c":true},"a":"ü"}"#,
            r#"{"a":"ü","b":{"c":true,"d":null}}"#,
        );
    }

    #[test]
    fn only_objects_are_taken_as_objects() {
        assert_eq!(from_object_text("[1]"), None);
        assert_eq!(from_object_text("{\"a\": 1"), None);
        assert_eq!(
            from_object_text("{}"),
            Some(Document::Object(Default::default()))
        );
    }
}
