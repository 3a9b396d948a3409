//! Schemas of what protobuf's JSON mapping treats in a way of its own.

use serde_json::{Value, json};

/// The schema of a well-known message; `None` for any other.
pub(super) fn message(full_name: &str) -> Option<Value> {
    let schema = match full_name.strip_prefix("google.protobuf.")? {
        "Timestamp" => json!({
            "type": "string",
            "format": "date-time",
            "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\\.[0-9]{1,9})?(Z|[+-][0-9]{2}:[0-9]{2})$",
            "description": "A time as in RFC 3339, such as 2026-03-01T12:30:00Z.",
        }),
        "Duration" => json!({
            "type": "string",
            "pattern": "^-?[0-9]{1,12}(\\.[0-9]{1,9})?s$",
            "description": "A duration in seconds, such as 90s or 1.5s.",
        }),
        "FieldMask" => json!({
            "type": "string",
            "pattern": "^([A-Za-z0-9.]+(,[A-Za-z0-9.]+)*)?$",
            "description": "Names of fields in lowerCamelCase, separated by commas, such as name,homeAddress.city.",
        }),
        "Struct" => json!({"type": "object"}),
        "Value" => json!({"description": "Any JSON value."}),
        "ListValue" => json!({"type": "array"}),
        "Empty" => json!({"type": "object", "additionalProperties": false}),
        "Any" => json!({
            "type": "object",
            "properties": {
                "@type": {
                    "type": "string",
                    "pattern": "^.*/[^/]+$",
                    "description": "type.googleapis.com/ and the message's full name.",
                },
            },
            "required": ["@type"],
            "description": "A message of any type: its fields beside @type, or value where it is a well-known type.",
        }),
        name => wrapped_value(name)?,
    };
    Some(schema)
}

/// The schema of a field of a wrapper type, whose absence may also be written as null.
///
/// Only fields have it: a list's item or a map's value cannot be absent.
pub(super) fn wrapper_or_null(full_name: &str) -> Option<Value> {
    let mut schema = wrapped_value(full_name.strip_prefix("google.protobuf.")?)?;
    if let Some(choices) = schema.get_mut("anyOf").and_then(Value::as_array_mut) {
        choices.push(json!({"type": "null"}));
    } else if let Some(kind) = schema.get_mut("type") {
        let mut kinds = kind.as_array().cloned().unwrap_or(vec![kind.clone()]);
        kinds.push(json!("null"));
        *kind = Value::Array(kinds);
    }
    Some(schema)
}

fn wrapped_value(name: &str) -> Option<Value> {
    let schema = match name {
        "DoubleValue" => number(f64::MAX),
        "FloatValue" => number(f32::MAX.into()),
        "Int64Value" => signed_64(),
        "UInt64Value" => unsigned_64(),
        "Int32Value" => json!({"type": "integer", "minimum": i32::MIN, "maximum": i32::MAX}),
        "UInt32Value" => json!({"type": "integer", "minimum": 0, "maximum": u32::MAX}),
        "BoolValue" => json!({"type": "boolean"}),
        "StringValue" => json!({"type": "string"}),
        "BytesValue" => bytes(),
        _ => return None,
    };
    Some(schema)
}

/// A floating-point number up to `most` in size.
pub(super) fn number(most: f64) -> Value {
    let number = if most < f64::MAX {
        json!({"type": "number", "minimum": -most, "maximum": most})
    } else {
        json!({"type": "number"})
    };
    json!({"anyOf": [number, {"enum": ["NaN", "Infinity", "-Infinity"]}]})
}

/// A signed integer of 64 bits: a string, since numbers in JSON may lose digits beyond 2⁵³.
pub(super) fn signed_64() -> Value {
    json!({
        "type": ["string", "integer"],
        "pattern": "^-?[0-9]{1,19}$",
        "minimum": i64::MIN,
        "maximum": i64::MAX,
    })
}

/// As [`signed_64`], without sign.
pub(super) fn unsigned_64() -> Value {
    json!({
        "type": ["string", "integer"],
        "pattern": "^[0-9]{1,20}$",
        "minimum": 0,
        "maximum": u64::MAX,
    })
}

/// Bytes in base64, of either alphabet.
pub(super) fn bytes() -> Value {
    json!({
        "type": "string",
        "contentEncoding": "base64",
        "pattern": "^[A-Za-z0-9+/_-]*={0,2}$",
    })
}
