//! JSON Schema of messages, as protobuf's JSON mapping writes them.
//!
//! <https://protobuf.dev/programming-guides/json/>
//!
//! A message stands under its full name in `$defs`, so that recursive ones are no matter; the
//! request's own message is the top. That fields of a oneof exclude one another is said by
//! `dependentSchemas`: models' providers refuse `oneOf`, `anyOf` and `allOf` at the top
//! (<https://github.com/anthropics/claude-code/issues/5319>).

mod well_known;

use std::collections::BTreeSet;

use prost_reflect::{EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor, OneofDescriptor};
use serde_json::{Map, Value, json};

use super::comments::Comments;

/// The schema of a method's input.
#[derive(Debug)]
pub(super) struct Shape {
    /// JSON Schema of an object.
    pub(super) schema: Value,
    /// The message itself is no object in JSON: it stands in the property [`Shape::WRAPPED`].
    pub(super) is_wrapped: bool,
}

/// Writes a schema and the definitions that it stands on.
struct Writer<'a> {
    comments: &'a mut Comments,
    /// Its references are to the top.
    top: Option<MessageDescriptor>,
    known: BTreeSet<String>,
    messages: Vec<MessageDescriptor>,
    enums: Vec<EnumDescriptor>,
}

impl Shape {
    /// The property that holds a message which is no object in JSON.
    pub(super) const WRAPPED: &str = "value";

    /// The schema of an input of type `message`.
    pub(super) fn of(message: &MessageDescriptor, comments: &mut Comments) -> Self {
        let mut writer = Writer {
            comments,
            top: None,
            known: BTreeSet::new(),
            messages: Vec::new(),
            enums: Vec::new(),
        };
        let (mut schema, is_wrapped) = match well_known::message(message.full_name()) {
            Some(schema) if is_object(&schema) => (with_properties(schema), false),
            Some(schema) => (wrapped(schema), true),
            None => {
                writer.top = Some(message.clone());
                (writer.message(message), false)
            }
        };
        let definitions = writer.definitions();
        if let Some(schema) = schema.as_object_mut().filter(|_| !definitions.is_empty()) {
            schema.insert("$defs".to_owned(), Value::Object(definitions));
        }
        Self { schema, is_wrapped }
    }
}

impl Writer<'_> {
    /// What was referred to, and what that refers to.
    fn definitions(&mut self) -> Map<String, Value> {
        let mut definitions = Map::new();
        loop {
            if let Some(message) = self.messages.pop() {
                let schema = self.message(&message);
                definitions.insert(message.full_name().to_owned(), schema);
            } else if let Some(values) = self.enums.pop() {
                let schema = self.enumeration(&values);
                definitions.insert(values.full_name().to_owned(), schema);
            } else {
                definitions.sort_keys();
                return definitions;
            }
        }
    }

    fn message(&mut self, message: &MessageDescriptor) -> Value {
        let mut schema = Map::new();
        schema.insert("type".to_owned(), json!("object"));
        let comment = self.comments.on(&message.parent_file(), message.path());
        describe(&mut schema, comment.unwrap_or_default());
        let properties: Map<_, _> = message
            .fields()
            .map(|field| (field.json_name().to_owned(), self.field(&field)))
            .collect();
        schema.insert("properties".to_owned(), Value::Object(properties));
        let required: Vec<_> = message
            .fields()
            .filter(FieldDescriptor::is_required)
            .map(|field| field.json_name().to_owned())
            .collect();
        if !required.is_empty() {
            schema.insert("required".to_owned(), json!(required));
        }
        schema.insert("additionalProperties".to_owned(), json!(false));
        let exclusive = exclusive_fields(message);
        if !exclusive.is_empty() {
            schema.insert("dependentSchemas".to_owned(), Value::Object(exclusive));
        }
        Value::Object(schema)
    }

    fn field(&mut self, field: &FieldDescriptor) -> Value {
        let kind = field.kind();
        let entry = kind.as_message().filter(|_| field.is_map());
        let schema = if let Some(entry) = entry {
            let mut schema = json!({"type": "object"});
            if let Some(names) = key_schema(&entry.map_entry_key_field().kind()) {
                schema["propertyNames"] = names;
            }
            schema["additionalProperties"] = self.value(&entry.map_entry_value_field().kind());
            schema
        } else if field.is_list() {
            json!({"type": "array", "items": self.value(&kind)})
        } else {
            let name = kind.as_message().map(MessageDescriptor::full_name);
            name.and_then(well_known::wrapper_or_null)
                .unwrap_or_else(|| self.value(&kind))
        };
        let Value::Object(mut schema) = schema else {
            return schema;
        };
        self.describe_field(field, &mut schema);
        Value::Object(schema)
    }

    /// The author's comment, and what the schema's words cannot say.
    fn describe_field(&mut self, field: &FieldDescriptor, schema: &mut Map<String, Value>) {
        let comment = self.comments.on(&field.parent_file(), field.path());
        let mut sentences: Vec<String> = comment.map(str::to_owned).into_iter().collect();
        if let Some(oneof) = exclusive_oneof(field) {
            let names: Vec<_> = oneof.fields().map(|f| f.json_name().to_owned()).collect();
            sentences.push(format!("At most one of {} is set.", names.join(", ")));
        }
        let options = field.field_descriptor_proto().options.as_ref();
        if options.is_some_and(|options| options.deprecated()) {
            schema.insert("deprecated".to_owned(), json!(true));
        }
        if let Some(Value::String(meaning)) = schema.get("description") {
            sentences.push(meaning.clone());
        }
        describe(schema, &sentences.join("\n"));
    }

    /// The schema of one value: of a field, of a list's item, of a map's value.
    fn value(&mut self, kind: &Kind) -> Value {
        match kind {
            Kind::Message(message) => match well_known::message(message.full_name()) {
                Some(schema) => schema,
                None if self.top.as_ref() == Some(message) => json!({"$ref": "#"}),
                None => {
                    if self.known.insert(message.full_name().to_owned()) {
                        self.messages.push(message.clone());
                    }
                    reference(message.full_name())
                }
            },
            Kind::Enum(values) if values.full_name() == "google.protobuf.NullValue" => {
                json!({"type": "null"})
            }
            Kind::Enum(values) => {
                if self.known.insert(values.full_name().to_owned()) {
                    self.enums.push(values.clone());
                }
                reference(values.full_name())
            }
            Kind::Double => well_known::number(f64::MAX),
            Kind::Float => well_known::number(f32::MAX.into()),
            Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => {
                json!({"type": "integer", "minimum": i32::MIN, "maximum": i32::MAX})
            }
            Kind::Uint32 | Kind::Fixed32 => {
                json!({"type": "integer", "minimum": 0, "maximum": u32::MAX})
            }
            Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => well_known::signed_64(),
            Kind::Uint64 | Kind::Fixed64 => well_known::unsigned_64(),
            Kind::Bool => json!({"type": "boolean"}),
            Kind::String => json!({"type": "string"}),
            Kind::Bytes => well_known::bytes(),
        }
    }

    fn enumeration(&mut self, values: &EnumDescriptor) -> Value {
        let file = values.parent_file();
        // As they are written: the descriptor has them by number.
        let mut members: Vec<_> = values.values().collect();
        members.sort_by(|a, b| a.path().cmp(b.path()));
        let names: Vec<_> = members.iter().map(|member| member.name()).collect();
        let mut schema = Map::new();
        schema.insert("type".to_owned(), json!("string"));
        schema.insert("enum".to_owned(), json!(names));
        let comment = self.comments.on(&file, values.path()).map(str::to_owned);
        let meanings = members.iter().filter_map(|value| {
            let comment = self.comments.on(&file, value.path())?;
            Some(format!("{}: {comment}", value.name()))
        });
        let sentences: Vec<_> = comment.into_iter().chain(meanings).collect();
        describe(&mut schema, &sentences.join("\n"));
        Value::Object(schema)
    }
}

/// Names of a map's keys, which are strings in JSON whatever they are.
fn key_schema(kind: &Kind) -> Option<Value> {
    match kind {
        Kind::Bool => Some(json!({"enum": ["true", "false"]})),
        Kind::Int32
        | Kind::Sint32
        | Kind::Sfixed32
        | Kind::Int64
        | Kind::Sint64
        | Kind::Sfixed64 => Some(json!({"pattern": "^-?[0-9]+$"})),
        Kind::Uint32 | Kind::Fixed32 | Kind::Uint64 | Kind::Fixed64 => {
            Some(json!({"pattern": "^[0-9]+$"}))
        }
        // The compiler of descriptors lets no other kinds be keys.
        Kind::String
        | Kind::Bytes
        | Kind::Double
        | Kind::Float
        | Kind::Message(_)
        | Kind::Enum(_) => None,
    }
}

/// For each field that excludes others, a schema in which those others are not.
fn exclusive_fields(message: &MessageDescriptor) -> Map<String, Value> {
    let mut exclusive = Map::new();
    for field in message.fields() {
        let Some(oneof) = exclusive_oneof(&field) else {
            continue;
        };
        let others: Map<_, _> = oneof
            .fields()
            .filter(|other| *other != field)
            .map(|other| (other.json_name().to_owned(), json!(false)))
            .collect();
        exclusive.insert(
            field.json_name().to_owned(),
            json!({"properties": Value::Object(others)}),
        );
    }
    exclusive
}

/// The oneof of a field that stands there with others; `optional` makes one of one field.
fn exclusive_oneof(field: &FieldDescriptor) -> Option<OneofDescriptor> {
    field
        .containing_oneof()
        .filter(|oneof| oneof.fields().len() > 1)
}

fn reference(name: &str) -> Value {
    json!({"$ref": format!("#/$defs/{name}")})
}

fn describe(schema: &mut Map<String, Value>, text: &str) {
    if !text.is_empty() {
        schema.insert("description".to_owned(), json!(text));
    }
}

fn is_object(schema: &Value) -> bool {
    schema.get("type") == Some(&json!("object"))
}

/// Model providers ask for `properties`, also where there are none.
fn with_properties(mut schema: Value) -> Value {
    if let Some(schema) = schema.as_object_mut() {
        schema.entry("properties").or_insert_with(|| json!({}));
    }
    schema
}

fn wrapped(schema: Value) -> Value {
    json!({
        "type": "object",
        "properties": {Shape::WRAPPED: schema},
        "required": [Shape::WRAPPED],
        "additionalProperties": false,
    })
}

#[cfg(test)]
mod tests;
