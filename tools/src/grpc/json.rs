//! Between a model's JSON and messages, by protobuf's JSON mapping.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use prost::Message as _;
use prost_reflect::{DynamicMessage, MessageDescriptor, ReflectMessage as _, Value as Field};
use prost_types::{Any, Struct, Value as AnyValue, value::Kind};
use serde_json::{Map, Value};

use super::schema::Shape;

/// Makes a request of the input of a call.
///
/// # Errors
///
/// What of the input the mapping refuses although it fits the schema, such as a number of 64 bits
/// that is out of range.
pub(super) fn request(
    message: MessageDescriptor,
    shape: &Shape,
    mut input: Map<String, Value>,
) -> Result<DynamicMessage, serde_json::Error> {
    let input = if shape.is_wrapped {
        input.remove(Shape::WRAPPED).unwrap_or_default()
    } else {
        Value::Object(input)
    };
    DynamicMessage::deserialize(message, input)
}

/// Tells an answer in JSON.
///
/// An `Any` of a type that the service does not describe is given as its type and its bytes.
///
/// # Errors
///
/// What in the answer has no JSON: a timestamp beyond the year 9999, a number in a `Value` that is
/// not finite.
pub(super) fn answer(mut message: DynamicMessage) -> Result<Value, serde_json::Error> {
    match serde_json::to_value(&message) {
        Ok(value) => Ok(value),
        Err(_) => {
            make_any_readable(&mut message);
            serde_json::to_value(&message)
        }
    }
}

/// Puts what can be told of it in the place of every `Any` that cannot be read.
fn make_any_readable(message: &mut DynamicMessage) {
    if message.descriptor().full_name() == "google.protobuf.Any" {
        replace_unreadable(message);
        return;
    }
    // The depth is bounded: prost decodes no more than 100 levels.
    for (_field, value) in message.fields_mut() {
        match value {
            Field::Message(message) => make_any_readable(message),
            Field::List(items) => items.iter_mut().for_each(make_item_readable),
            Field::Map(entries) => entries.values_mut().for_each(make_item_readable),
            Field::Bool(_)
            | Field::I32(_)
            | Field::I64(_)
            | Field::U32(_)
            | Field::U64(_)
            | Field::F32(_)
            | Field::F64(_)
            | Field::String(_)
            | Field::Bytes(_)
            | Field::EnumNumber(_) => {}
        }
    }
}

fn make_item_readable(value: &mut Field) {
    if let Field::Message(message) = value {
        make_any_readable(message);
    }
}

fn replace_unreadable(message: &mut DynamicMessage) {
    if serde_json::to_value(&*message).is_ok() {
        return;
    }
    let Ok(any) = message.transcode_to::<Any>() else {
        return;
    };
    let text = |text: String| AnyValue {
        kind: Some(Kind::StringValue(text)),
    };
    let told = Struct {
        fields: [
            ("type".to_owned(), text(any.type_url)),
            ("base64".to_owned(), text(BASE64_STANDARD.encode(any.value))),
        ]
        .into(),
    };
    let any = Any {
        type_url: "type.googleapis.com/google.protobuf.Struct".to_owned(),
        value: told.encode_to_vec(),
    };
    let mut readable = DynamicMessage::new(message.descriptor());
    if readable.transcode_from(&any).is_ok() {
        *message = readable;
    }
}
