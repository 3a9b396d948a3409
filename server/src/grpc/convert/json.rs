//! `google.protobuf.Struct` and JSON, both ways.

use prost_types::{Struct, value::Kind};
use serde_json::{Map, Number, Value};

use super::violations::Violations;

/// Reads a struct as a JSON object; whole numbers become integers.
///
/// A struct holds every number as a double, and models refuse `1.0` where they want a count.
pub(super) fn object(wire: Struct, violations: &mut Violations) -> Option<Value> {
    let mut fields = Map::new();
    let mut whole = true;
    for (name, wire) in wire.fields {
        match violations.within(&name, |violations| value(wire, violations)) {
            Some(value) => {
                fields.insert(name, value);
            }
            None => whole = false,
        }
    }
    whole.then_some(Value::Object(fields))
}

fn value(wire: prost_types::Value, violations: &mut Violations) -> Option<Value> {
    match wire.kind {
        // JSON has no word for a value without a kind but null.
        None | Some(Kind::NullValue(_)) => Some(Value::Null),
        Some(Kind::BoolValue(truth)) => Some(Value::Bool(truth)),
        Some(Kind::StringValue(text)) => Some(Value::String(text)),
        Some(Kind::NumberValue(number)) => {
            let number = self::number(number);
            if number.is_none() {
                violations.refuse("must be a finite number");
            }
            number.map(Value::Number)
        }
        Some(Kind::StructValue(fields)) => object(fields, violations),
        Some(Kind::ListValue(list)) => {
            let items: Vec<_> = list
                .values
                .into_iter()
                .filter_map(|item| value(item, violations))
                .collect();
            Some(Value::Array(items))
        }
    }
}

fn number(number: f64) -> Option<Number> {
    // Doubles of smaller magnitude than 2^63 that have no fraction are exact as i64.
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    if number.fract() == 0.0 && number.abs() < LIMIT {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "whole and in range, as checked"
        )]
        return Some(Number::from(number as i64));
    }
    Number::from_f64(number)
}

/// Writes a JSON object as a struct; `None` for what is no object.
pub(super) fn to_struct(json: Value) -> Option<Struct> {
    let Kind::StructValue(fields) = kind(json) else {
        return None;
    };
    Some(fields)
}

fn kind(json: Value) -> Kind {
    let value = |json| prost_types::Value {
        kind: Some(kind(json)),
    };
    match json {
        Value::Null => Kind::NullValue(0),
        Value::Bool(truth) => Kind::BoolValue(truth),
        // A struct has no other numbers.
        Value::Number(number) => Kind::NumberValue(number.as_f64().unwrap_or_default()),
        Value::String(text) => Kind::StringValue(text),
        Value::Array(items) => Kind::ListValue(prost_types::ListValue {
            values: items.into_iter().map(value).collect(),
        }),
        Value::Object(fields) => Kind::StructValue(Struct {
            fields: fields
                .into_iter()
                .map(|(name, json)| (name, value(json)))
                .collect(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn numbers(values: &[f64]) -> Struct {
        let values = values
            .iter()
            .map(|number| prost_types::Value {
                kind: Some(Kind::NumberValue(*number)),
            })
            .collect();
        let list = Kind::ListValue(prost_types::ListValue { values });
        let fields = [("n".to_owned(), prost_types::Value { kind: Some(list) })];
        Struct {
            fields: fields.into_iter().collect(),
        }
    }

    #[test]
    fn whole_numbers_are_integers_and_the_rest_keep_their_fraction() {
        let wire = numbers(&[0.0, -0.0, 1.0, -7.0, 1.5, 9_007_199_254_740_992.0, 1e300]);

        let json = object(wire, &mut Violations::default()).unwrap();

        assert_eq!(
            json.to_string(),
            r#"{"n":[0,0,1,-7,1.5,9007199254740992,1e+300]}"#
        );
    }

    #[test]
    fn numbers_that_json_cannot_hold_are_refused_with_their_path() {
        for number in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let mut violations = Violations::default();
            violations.within("fields", |violations| {
                object(numbers(&[number]), violations)
            });
            let failure = violations.finish(()).unwrap_err();
            assert_eq!(failure.violations[0].field, "fields.n");
        }
    }

    #[test]
    fn nested_values_keep_their_shape() {
        let text = prost_types::Value {
            kind: Some(Kind::StringValue("x".to_owned())),
        };
        let truth = prost_types::Value {
            kind: Some(Kind::BoolValue(true)),
        };
        let inner = Struct {
            fields: [("b".to_owned(), truth)].into_iter().collect(),
        };
        let inner = prost_types::Value {
            kind: Some(Kind::StructValue(inner)),
        };
        let empty = prost_types::Value { kind: None };
        let fields = [
            ("a".to_owned(), text),
            ("i".to_owned(), inner),
            ("z".to_owned(), empty),
        ];
        let wire = Struct {
            fields: fields.into_iter().collect(),
        };

        let json = object(wire, &mut Violations::default()).unwrap();

        assert_eq!(json, json!({ "a": "x", "i": { "b": true }, "z": null }));
    }
}
