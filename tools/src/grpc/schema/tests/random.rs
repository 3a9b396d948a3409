//! Any valid message of a type.

use std::collections::HashMap;

use proptest::{
    collection::{btree_map, hash_map, vec},
    option,
    prelude::*,
};
use prost::Message as _;
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor, Value};
use prost_types::{Any, Duration, FieldMask, ListValue, Struct, Timestamp, value};

/// Any message of type `descriptor`, with messages in it up to `depth`.
pub(super) fn message(descriptor: &MessageDescriptor, depth: u32) -> BoxedStrategy<DynamicMessage> {
    let fields: Vec<_> = descriptor
        .fields()
        .filter(|field| depth > 0 || is_flat(field))
        .map(|field| {
            let value = field_value(&field, depth);
            // Few at a time: many small messages find more than few large ones.
            option::weighted(0.15, value)
                .prop_map(move |value| Some((field.clone(), value?)))
                .boxed()
        })
        .collect();
    let descriptor = descriptor.clone();
    fields
        .prop_map(move |fields| {
            let mut message = DynamicMessage::new(descriptor.clone());
            for (field, value) in fields.into_iter().flatten() {
                message.set_field(&field, value);
            }
            message
        })
        .boxed()
}

/// True of what holds no message of the file's own.
fn is_flat(field: &FieldDescriptor) -> bool {
    let kind = match map_entry(field) {
        Some(entry) => entry.map_entry_value_field().kind(),
        None => field.kind(),
    };
    kind.as_message()
        .is_none_or(|message| message.full_name().starts_with("google.protobuf."))
}

fn map_entry(field: &FieldDescriptor) -> Option<MessageDescriptor> {
    let kind = field.kind();
    kind.as_message().filter(|_| field.is_map()).cloned()
}

fn field_value(field: &FieldDescriptor, depth: u32) -> BoxedStrategy<Value> {
    if let Some(entry) = map_entry(field) {
        let key = map_key(&entry.map_entry_key_field().kind());
        let value = value(&entry.map_entry_value_field().kind(), depth);
        return hash_map(key, value, 0..3)
            .prop_map(|entries: HashMap<_, _>| Value::Map(entries))
            .boxed();
    }
    let value = value(&field.kind(), depth);
    if field.is_list() {
        vec(value, 0..3).prop_map(Value::List).boxed()
    } else {
        value
    }
}

fn value(kind: &Kind, depth: u32) -> BoxedStrategy<Value> {
    match kind {
        Kind::Double => finite().prop_map(Value::F64).boxed(),
        Kind::Float => {
            let finite = any::<f32>().prop_filter("is one", |number| number.is_finite());
            let number = prop_oneof![finite, Just(f32::INFINITY), Just(f32::MIN), Just(f32::MAX)];
            number.prop_map(Value::F32).boxed()
        }
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => any::<i32>().prop_map(Value::I32).boxed(),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => any::<i64>().prop_map(Value::I64).boxed(),
        Kind::Uint32 | Kind::Fixed32 => any::<u32>().prop_map(Value::U32).boxed(),
        Kind::Uint64 | Kind::Fixed64 => any::<u64>().prop_map(Value::U64).boxed(),
        Kind::Bool => any::<bool>().prop_map(Value::Bool).boxed(),
        Kind::String => ".{0,8}".prop_map(Value::String).boxed(),
        Kind::Bytes => vec(any::<u8>(), 0..9)
            .prop_map(|bytes| Value::Bytes(bytes.into()))
            .boxed(),
        Kind::Enum(values) => {
            let numbers: Vec<_> = values.values().map(|value| value.number()).collect();
            proptest::sample::select(numbers)
                .prop_map(Value::EnumNumber)
                .boxed()
        }
        Kind::Message(descriptor) => match well_known(descriptor) {
            Some(message) => message.prop_map(Value::Message).boxed(),
            None => message(descriptor, depth.saturating_sub(1))
                .prop_map(Value::Message)
                .boxed(),
        },
    }
}

fn finite() -> BoxedStrategy<f64> {
    let finite = any::<f64>().prop_filter("is one", |number| number.is_finite());
    prop_oneof![finite, Just(-0.5), Just(1e300), Just(f64::MAX)].boxed()
}

fn map_key(kind: &Kind) -> BoxedStrategy<MapKey> {
    match kind {
        Kind::Bool => any::<bool>().prop_map(MapKey::Bool).boxed(),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => any::<i32>().prop_map(MapKey::I32).boxed(),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => any::<i64>().prop_map(MapKey::I64).boxed(),
        Kind::Uint32 | Kind::Fixed32 => any::<u32>().prop_map(MapKey::U32).boxed(),
        Kind::Uint64 | Kind::Fixed64 => any::<u64>().prop_map(MapKey::U64).boxed(),
        Kind::String => ".{0,5}".prop_map(MapKey::String).boxed(),
        Kind::Double | Kind::Float | Kind::Bytes | Kind::Message(_) | Kind::Enum(_) => {
            unreachable!("no map has such keys")
        }
    }
}

/// A message whose fields are not all valid together; wrappers are as any other message.
fn well_known(descriptor: &MessageDescriptor) -> Option<BoxedStrategy<DynamicMessage>> {
    let of = descriptor.clone();
    let strategy = match descriptor.full_name().strip_prefix("google.protobuf.")? {
        "Timestamp" => timestamp().prop_map(move |it| dynamic(&of, &it)).boxed(),
        "Duration" => duration().prop_map(move |it| dynamic(&of, &it)).boxed(),
        "FieldMask" => vec("[a-z]{1,4}(_[a-z]{1,3})?(\\.[a-z]{1,3})?", 0..3)
            .prop_map(move |paths| dynamic(&of, &FieldMask { paths }))
            .boxed(),
        "Struct" => any_struct().prop_map(move |it| dynamic(&of, &it)).boxed(),
        "Value" => any_value().prop_map(move |it| dynamic(&of, &it)).boxed(),
        "ListValue" => vec(any_value(), 0..3)
            .prop_map(move |values| dynamic(&of, &ListValue { values }))
            .boxed(),
        "Any" => duration()
            .prop_map(move |it| {
                let any = Any {
                    type_url: "type.googleapis.com/google.protobuf.Duration".to_owned(),
                    value: it.encode_to_vec(),
                };
                dynamic(&of, &any)
            })
            .boxed(),
        // Not-a-number and its like have no JSON in prost-reflect's wrappers, hence not `value`.
        "FloatValue" => (-1e30f32..1e30)
            .prop_map(move |number| dynamic(&of, &number))
            .boxed(),
        _ => return Some(all_fields(descriptor)),
    };
    Some(strategy)
}

/// Wrappers: their fields, whatever they are.
fn all_fields(descriptor: &MessageDescriptor) -> BoxedStrategy<DynamicMessage> {
    let fields: Vec<_> = descriptor
        .fields()
        .map(|field| {
            field_value(&field, 0)
                .prop_map(move |value| (field.clone(), value))
                .boxed()
        })
        .collect();
    let descriptor = descriptor.clone();
    fields
        .prop_map(move |fields| {
            let mut message = DynamicMessage::new(descriptor.clone());
            for (field, value) in fields {
                message.set_field(&field, value);
            }
            message
        })
        .boxed()
}

fn timestamp() -> impl Strategy<Value = Timestamp> {
    // From year 1 to 9999, as the mapping says.
    (-62_135_596_800_i64..=253_402_300_799, nanos())
        .prop_map(|(seconds, nanos)| Timestamp { seconds, nanos })
}

fn duration() -> impl Strategy<Value = Duration> {
    (-315_576_000_000_i64..=315_576_000_000, nanos()).prop_map(|(seconds, nanos)| Duration {
        seconds,
        nanos: if seconds < 0 { -nanos } else { nanos },
    })
}

fn nanos() -> impl Strategy<Value = i32> {
    prop_oneof![Just(0), Just(500_000_000), 0..1_000_000_000]
}

fn any_struct() -> BoxedStrategy<Struct> {
    btree_map(".{0,5}", any_value(), 0..3)
        .prop_map(|fields| Struct {
            fields: fields.into_iter().collect(),
        })
        .boxed()
}

fn any_value() -> BoxedStrategy<prost_types::Value> {
    let leaf = prop_oneof![
        Just(value::Kind::NullValue(0)),
        any::<bool>().prop_map(value::Kind::BoolValue),
        finite().prop_map(value::Kind::NumberValue),
        ".{0,5}".prop_map(value::Kind::StringValue),
    ];
    let kind = leaf.prop_recursive(2, 8, 3, |inner| {
        let inner = inner.prop_map(|kind| prost_types::Value { kind: Some(kind) });
        prop_oneof![
            vec(inner.clone(), 0..3)
                .prop_map(|values| value::Kind::ListValue(ListValue { values })),
            btree_map(".{0,3}", inner, 0..3).prop_map(|fields| {
                value::Kind::StructValue(Struct {
                    fields: fields.into_iter().collect(),
                })
            }),
        ]
    });
    kind.prop_map(|kind| prost_types::Value { kind: Some(kind) })
        .boxed()
}

fn dynamic(descriptor: &MessageDescriptor, message: &impl prost::Message) -> DynamicMessage {
    let mut dynamic = DynamicMessage::new(descriptor.clone());
    dynamic.transcode_from(message).expect("it is of that type");
    dynamic
}
