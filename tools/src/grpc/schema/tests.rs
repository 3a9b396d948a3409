//! Schemas and protobuf's JSON mapping say the same of an input.

mod random;

use std::fmt;

use proptest::prelude::*;
use prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor, ReflectMessage as _};
use serde_json::{Value, json};
use taiwa_core::tool::Schema;

use crate::grpc::{comments::Comments, json, schema::Shape, tests::pool};

const RICH: &str = include_str!("tests/rich.proto");

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn what_a_message_is_in_json_fits_its_schema_and_makes_the_message_again(
        message in random::message(&everything(), 2).prop_map(|message| Shown(as_sent(&message)))
    ) {
        let told = json::answer(message.0.clone()).expect("any valid message has JSON");
        let (shape, schema) = schema(&message.0.descriptor());
        prop_assert_eq!(schema.check(&told), Ok(()));
        let Value::Object(input) = told else {
            return Err(TestCaseError::fail("not an object"));
        };
        let again = json::request(message.0.descriptor(), &shape, input);
        prop_assert_eq!(again.map(Shown).map_err(|error| error.to_string()), Ok(message));
    }
}

/// A message that shows itself as JSON: its own `Debug` has no end where types are recursive.
#[derive(PartialEq)]
struct Shown(DynamicMessage);

impl fmt::Debug for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let told = serde_json::to_string(&self.0).map_err(|_| fmt::Error)?;
        f.write_str(&told)
    }
}

#[test]
fn inputs_of_every_kind_are_taken() {
    for (input, expected) in [
        // Names are in lowerCamelCase, but for those that say otherwise.
        (json!({"anInt32": 1}), json!({"anInt32": 1})),
        (json!({"@other": "x"}), json!({"@other": "x"})),
        (json!({"anInt32": 3.0}), json!({"anInt32": 3})),
        // 64 bits are text, and may be written as numbers.
        (json!({"anInt64": 5}), json!({"anInt64": "5"})),
        (
            json!({"anInt64": i64::MIN, "aUint64": u64::MAX}),
            json!({"anInt64": "-9223372036854775808", "aUint64": "18446744073709551615"}),
        ),
        (json!({"aFixed64": "7"}), json!({"aFixed64": "7"})),
        (json!({"aDouble": "NaN"}), json!({"aDouble": "NaN"})),
        (
            json!({"aFloat": "-Infinity", "aDouble": 1}),
            json!({"aDouble": 1.0, "aFloat": "-Infinity"}),
        ),
        (
            json!({"climate": "CLIMATE_DRY"}),
            json!({"climate": "CLIMATE_DRY"}),
        ),
        // Of either alphabet, with padding or without.
        (json!({"someBytes": "_-8"}), json!({"someBytes": "/+8="})),
        // What is optional is told even where it is zero.
        (json!({"maybe": 0, "old": 0}), json!({"maybe": 0})),
        (
            json!({"at": "2026-03-01T12:30:00+02:00"}),
            json!({"at": "2026-03-01T10:30:00Z"}),
        ),
        (
            json!({"at": "2026-03-01T12:30:00.5Z"}),
            json!({"at": "2026-03-01T12:30:00.500Z"}),
        ),
        (json!({"lasts": "-1.5s"}), json!({"lasts": "-1.500s"})),
        (
            json!({"mask": "name,homeAddress.city"}),
            json!({"mask": "name,homeAddress.city"}),
        ),
        (json!({"int64Value": "8"}), json!({"int64Value": "8"})),
        (
            json!({"int64Value": null, "boolValue": false}),
            json!({"boolValue": false}),
        ),
        (
            json!({"stringValues": ["", "a"]}),
            json!({"stringValues": ["", "a"]}),
        ),
        (json!({"value": null}), json!({"value": null})),
        (
            json!({"value": [1, {"a": "b"}]}),
            json!({"value": [1.0, {"a": "b"}]}),
        ),
        (
            json!({"struct": {"a": {"b": null}}}),
            json!({"struct": {"a": {"b": null}}}),
        ),
        (json!({"nowhere": null}), json!({"nowhere": null})),
        (json!({"empty": {}}), json!({"empty": {}})),
        (
            json!({"any": {"@type": "type.googleapis.com/google.protobuf.Duration", "value": "3s"}}),
            json!({"any": {"@type": "type.googleapis.com/google.protobuf.Duration", "value": "3s"}}),
        ),
        (
            json!({"any": {"@type": "x.y/rich.v1.Everything.Nested", "name": "n"}}),
            json!({"any": {"@type": "x.y/rich.v1.Everything.Nested", "name": "n"}}),
        ),
        (
            json!({"byBool": {"true": 1}, "byInt64": {"-3": 4}}),
            json!({"byInt64": {"-3": "4"}, "byBool": {"true": 1.0}}),
        ),
        (
            json!({"again": {"again": {"nested": {"inner": {"name": "deep"}}}}}),
            json!({"again": {"again": {"nested": {"inner": {"name": "deep"}}}}}),
        ),
    ] {
        assert_eq!(taken(&everything(), &input), Ok(expected), "{input}");
    }
}

#[test]
fn inputs_that_do_not_fit_are_refused_by_the_schema() {
    let (_shape, schema) = schema(&everything());
    for input in [
        json!({"an_int32": 1}),
        json!({"unknown": 1}),
        json!({"anInt32": 2_147_483_648_u32}),
        json!({"anInt32": 1.5}),
        json!({"aUint32": -1}),
        json!({"aUint64": -1}),
        json!({"aUint64": "-1"}),
        json!({"anInt64": "12a"}),
        json!({"anInt64": 1.5}),
        json!({"aDouble": "many"}),
        json!({"aFloat": 1e39}),
        json!({"aBool": "true"}),
        json!({"aString": 1}),
        json!({"someBytes": "not base64!"}),
        json!({"climate": "FROZEN"}),
        json!({"climate": 1}),
        json!({"nested": {"nam": "x"}}),
        json!({"strings": "x"}),
        json!({"strings": [1]}),
        json!({"stringValues": [null]}),
        json!({"byInt32": {"x": {}}}),
        json!({"byUint32": {"-1": ""}}),
        json!({"byBool": {"yes": 1}}),
        json!({"byInt32": {"1": {"inner": 1}}}),
        json!({"shelf": "A", "bin": 3}),
        json!({"bin": 3, "nowhere": null}),
        json!({"at": "yesterday"}),
        json!({"at": "2026-03-01"}),
        json!({"lasts": "1m"}),
        json!({"mask": "home_address"}),
        json!({"empty": {"a": 1}}),
        json!({"any": {"name": "n"}}),
        json!({"list": {}}),
        json!({"null": 0}),
        json!({"again": {"again": {"anInt32": "x"}}}),
        json!([]),
    ] {
        assert!(schema.check(&input).is_err(), "{input} is refused");
    }
}

#[test]
fn what_no_schema_can_say_is_refused_by_the_mapping() {
    for (input, fault) in [
        (
            json!({"anInt64": "9999999999999999999"}),
            "number too large",
        ),
        (json!({"at": "2026-13-01T00:00:00Z"}), "timestamp"),
        (json!({"lasts": "999999999999s"}), "duration out of range"),
        (
            json!({"any": {"@type": "x/not.There"}}),
            "'not.There' not found",
        ),
    ] {
        let told = taken(&everything(), &input).map(|value| value.to_string());
        assert!(
            told.as_ref().is_err_and(|error| error.contains(fault)),
            "{told:?}"
        );
    }
}

#[test]
fn authors_and_rules_are_told_beside_each_field() {
    let schema = Shape::of(&everything(), &mut Comments::default()).schema;
    let properties = &schema["properties"];
    assert_eq!(schema["type"], "object");
    assert_eq!(properties["anInt64"]["description"], "Many items.");
    assert_eq!(
        properties["climate"],
        json!({"$ref": "#/$defs/rich.v1.Climate", "description": "Where it lies."})
    );
    assert_eq!(
        schema["$defs"]["rich.v1.Climate"],
        json!({
            "type": "string",
            "enum": ["CLIMATE_UNSPECIFIED", "CLIMATE_FROZEN", "CLIMATE_DRY"],
            "description": "How warm it is kept.\nCLIMATE_FROZEN: Below zero.",
        })
    );
    assert_eq!(
        schema["$defs"]["rich.v1.Everything.Nested"],
        json!({
            "type": "object",
            "description": "Lies in another.",
            "properties": {
                "name": {"type": "string"},
                "inner": {"$ref": "#/$defs/rich.v1.Everything.Nested"},
                "more": {
                    "type": "object",
                    "additionalProperties": {"$ref": "#/$defs/rich.v1.Everything.Nested"},
                },
            },
            "additionalProperties": false,
        })
    );
    assert_eq!(properties["again"], json!({"$ref": "#"}));
    assert_eq!(
        properties["shelf"]["description"],
        "The shelf's letter.\nAt most one of shelf, bin, place, nowhere is set."
    );
    assert_eq!(properties["maybe"].get("description"), None);
    assert_eq!(properties["old"]["deprecated"], true);
}

#[test]
fn what_proto2_requires_is_required() {
    let pool = pool(
        "syntax = \"proto2\";
         package old;
         message Order {
           required string sku = 1;
           optional int32 count = 2 [default = 1];
           repeated group Line = 3 { required string text = 1; }
         }",
    );
    let order = pool.get_message_by_name("old.Order").expect("is there");
    let (_shape, schema) = schema(&order);
    assert_eq!(
        schema.check(&json!({"sku": "a", "line": [{"text": "b"}]})),
        Ok(())
    );
    assert!(schema.check(&json!({"count": 2})).is_err());
    assert!(schema.check(&json!({"sku": "a", "line": [{}]})).is_err());
}

#[test]
fn a_message_that_is_no_object_stands_in_a_property() {
    let pool = pool(RICH);
    let service = pool.get_service_by_name("rich.v1.Rich").expect("is there");
    for (method, input, expected) in [
        ("Text", json!({"value": "hi"}), json!("hi")),
        ("Any", json!({"value": [null]}), json!([null])),
        ("Nothing", json!({}), json!({})),
        ("Free", json!({"a": "b"}), json!({"a": "b"})),
    ] {
        let method = service.methods().find(|m| m.name() == method);
        let message = method.expect("is there").input();
        let (shape, _) = schema(&message);
        assert_eq!(shape.schema["type"], "object", "{shape:?}");
        assert!(shape.schema["properties"].is_object(), "{shape:?}");
        assert_eq!(taken(&message, &input), Ok(expected));
        assert!(taken(&message, &json!({"value": 1, "other": 1})).is_err() || !shape.is_wrapped);
    }
}

#[test]
fn an_any_of_a_type_that_is_not_described_is_told_as_its_bytes() {
    let mut message = DynamicMessage::new(everything());
    let any = prost_types::Any {
        type_url: "type.googleapis.com/not.There".to_owned(),
        value: vec![1, 2, 3],
    };
    let mut inner = DynamicMessage::new(any_of(&everything()));
    inner.transcode_from(&any).expect("is an Any");
    message.set_field_by_name("any", prost_reflect::Value::Message(inner));
    assert_eq!(
        json::answer(message).map_err(|error| error.to_string()),
        Ok(json!({"any": {
            "@type": "type.googleapis.com/google.protobuf.Struct",
            "value": {"type": "type.googleapis.com/not.There", "base64": "AQID"},
        }}))
    );
}

/// The message as it arrives, which has no fields that were set to nothing.
fn as_sent(message: &DynamicMessage) -> DynamicMessage {
    let bytes = message.encode_to_vec();
    DynamicMessage::decode(message.descriptor(), bytes.as_slice()).expect("it is well-formed")
}

/// What a message is in JSON that was made of `input`, or why none was made.
fn taken(message: &MessageDescriptor, input: &Value) -> Result<Value, String> {
    let (shape, schema) = schema(message);
    schema.check(input)?;
    let input = input.as_object().cloned().unwrap_or_default();
    let request = json::request(message.clone(), &shape, input);
    let told = request.and_then(json::answer);
    told.map_err(|error| error.to_string())
}

fn schema(message: &MessageDescriptor) -> (Shape, Schema) {
    let shape = Shape::of(message, &mut Comments::default());
    let schema = Schema::parse(&shape.schema.to_string()).expect("it is a JSON Schema");
    (shape, schema)
}

fn everything() -> MessageDescriptor {
    thread_local! {
        static POOL: DescriptorPool = pool(RICH);
    }
    POOL.with(|pool| pool.get_message_by_name("rich.v1.Everything"))
        .expect("is there")
}

fn any_of(message: &MessageDescriptor) -> MessageDescriptor {
    message
        .parent_pool()
        .get_message_by_name("google.protobuf.Any")
        .expect("is there")
}
