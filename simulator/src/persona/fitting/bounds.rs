//! Numbers and strings within the bounds of their schema.

use serde_json::{Number, Value, json};

use super::super::pattern;

/// Characters that a string is filled up to.
const MAX_FILLING: u64 = 4_096;

/// The nearest whole number that the schema takes.
pub(super) fn whole_within(number: &Number, schema: &Value) -> i64 {
    let mut number = number
        .as_i64()
        .unwrap_or_else(|| number.as_f64().unwrap_or(1.0).round() as i64);
    let bound = |name: &str| {
        let bound = schema.get(name)?;
        bound
            .as_i64()
            .or_else(|| bound.as_f64().map(|it| it as i64))
    };
    let least = bound("minimum").or_else(|| Some(bound("exclusiveMinimum")?.saturating_add(1)));
    let most = bound("maximum").or_else(|| Some(bound("exclusiveMaximum")?.saturating_sub(1)));
    number = number.min(most.unwrap_or(i64::MAX));
    number = number.max(least.unwrap_or(i64::MIN));
    if let Some(step) = bound("multipleOf").filter(|step| *step > 1) {
        let down = number - number.rem_euclid(step);
        number = if least.is_some_and(|least| down < least) {
            down.saturating_add(step)
        } else {
            down
        };
    }
    number
}

pub(super) fn within(number: f64, schema: &Value) -> f64 {
    let bound = |name: &str| schema[name].as_f64();
    let least = bound("minimum").or_else(|| Some(bound("exclusiveMinimum")? + 0.5));
    let most = bound("maximum").or_else(|| Some(bound("exclusiveMaximum")? - 0.5));
    let number = number
        .min(most.unwrap_or(f64::MAX))
        .max(least.unwrap_or(f64::MIN));
    match bound("multipleOf").filter(|step| *step > 0.0) {
        Some(step) => (number / step).ceil() * step,
        None => number,
    }
}

/// Another item for an array whose items differ.
pub(super) fn another(item: &Value, number: usize) -> Value {
    match item {
        Value::String(text) => json!(format!("{text} {number}")),
        Value::Number(old) => {
            json!(
                old.as_i64()
                    .unwrap_or(0)
                    .saturating_add(i64::try_from(number).unwrap_or(0))
            )
        }
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => item.clone(),
    }
}

/// The text, longer or shorter until its length fits.
pub(super) fn fill(text: String, schema: &Value) -> String {
    let least = schema["minLength"].as_u64().unwrap_or(0).min(MAX_FILLING);
    let most = schema["maxLength"].as_u64().unwrap_or(MAX_FILLING);
    let length = text.chars().count() as u64;
    let missing = usize::try_from(least.saturating_sub(length)).unwrap_or(0);
    text.chars()
        .chain(std::iter::repeat_n('x', missing))
        .take(usize::try_from(most).unwrap_or(usize::MAX))
        .collect()
}

/// Whether a text fits a schema's length and pattern.
pub(super) fn takes(schema: &Value, text: &str) -> bool {
    let length = text.chars().count() as u64;
    length >= schema["minLength"].as_u64().unwrap_or(0)
        && length <= schema["maxLength"].as_u64().unwrap_or(u64::MAX)
        && schema["pattern"]
            .as_str()
            .is_none_or(|it| pattern::matches(it, text))
}

pub(super) fn is_date(word: &str) -> bool {
    word.len() == 10 && pattern::matches("^[0-9]{4}-[0-9]{2}-[0-9]{2}$", word)
}

pub(super) fn is_date_time(word: &str) -> bool {
    word.get(..10).is_some_and(is_date) && word.get(10..11) == Some("T") && word.ends_with('Z')
}

pub(super) fn is_email(word: &str) -> bool {
    word.split_once('@')
        .is_some_and(|(name, host)| !name.is_empty() && host.contains('.'))
}

pub(super) fn is_url(word: &str) -> bool {
    word.starts_with("https://") || word.starts_with("http://")
}

pub(super) fn is_uuid(word: &str) -> bool {
    uuid::Uuid::try_parse(word).is_ok() && word.len() == 36
}
