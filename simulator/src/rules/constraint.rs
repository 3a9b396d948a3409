//! The service model's constraints, told as Bedrock tells them.
//!
//! The form, with one-based positions and `member` between them, is in
//! NousResearch/hermes-agent#55429 (`messages.1.member.content.2.member.image.format`) and
//! openclaw/openclaw#12949 (`Member must satisfy regular expression pattern`). Wrong types
//! are told as the other AWS services with JSON bodies tell them: `STRING_VALUE can not be
//! converted to an Integer`.

use serde_json::Value;

use crate::exception::Exception;

/// Collects what is wrong with the members of a request.
#[derive(Debug, Default)]
pub(super) struct Checker {
    violations: Vec<String>,
    mistyped: Option<String>,
}

/// What a string member may hold.
#[derive(Debug, Clone, Copy)]
pub(super) struct Text {
    pub(super) min: usize,
    pub(super) max: usize,
    pub(super) pattern: Option<Pattern>,
}

/// A pattern of the service model, and whether a character fits it.
type Pattern = (&'static str, fn(char) -> bool);

impl Text {
    pub(super) const ANY: Self = Self {
        min: 0,
        max: usize::MAX,
        pattern: None,
    };
    pub(super) const NOT_EMPTY: Self = Self {
        min: 1,
        max: usize::MAX,
        pattern: None,
    };
}

impl Checker {
    pub(super) fn violation(&mut self, value: Option<&str>, path: &str, constraint: &str) {
        let value = value.map_or_else(|| "null".to_owned(), |value| format!("'{value}'"));
        self.violations.push(format!(
            "Value {value} at '{path}' failed to satisfy constraint: {constraint}"
        ));
    }

    pub(super) fn finish(self) -> Result<(), Exception> {
        if let Some(message) = self.mistyped {
            return Err(Exception::new("SerializationException", message));
        }
        let count = self.violations.len();
        if count == 0 {
            return Ok(());
        }
        let noun = if count == 1 { "error" } else { "errors" };
        let list = self.violations.join("; ");
        Err(Exception::validation(format!(
            "{count} validation {noun} detected: {list}"
        )))
    }

    /// A member that must be there.
    pub(super) fn required<'a>(
        &mut self,
        object: &'a Value,
        name: &str,
        path: &str,
    ) -> Option<&'a Value> {
        let member = optional(object, name);
        if member.is_none() {
            self.violation(None, &join(path, name), "Member must not be null");
        }
        member
    }

    pub(super) fn list<'a>(&mut self, value: &'a Value) -> &'a [Value] {
        match value {
            Value::Array(items) => items,
            Value::Null => &[],
            Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => {
                self.mistyped(value, "a List");
                &[]
            }
        }
    }

    /// Whether the value is an object; anything else is mistyped.
    pub(super) fn object(&mut self, value: &Value) -> bool {
        if !value.is_object() {
            self.mistyped(value, "a Structure");
        }
        value.is_object()
    }

    pub(super) fn text(&mut self, value: &Value, path: &str, rule: Text) {
        let Some(text) = value.as_str() else {
            self.mistyped(value, "a String");
            return;
        };
        let length = text.chars().count();
        if length < rule.min {
            let constraint = format!(
                "Member must have length greater than or equal to {}",
                rule.min
            );
            self.violation(Some(text), path, &constraint);
        }
        if length > rule.max {
            let constraint = format!("Member must have length less than or equal to {}", rule.max);
            self.violation(Some(text), path, &constraint);
        }
        if let Some((pattern, fits)) = rule.pattern
            && !(length >= rule.min && text.chars().all(fits))
        {
            let constraint = format!("Member must satisfy regular expression pattern: {pattern}");
            self.violation(Some(text), path, &constraint);
        }
    }

    pub(super) fn one_of(&mut self, value: &Value, path: &str, known: &[&str]) {
        let Some(text) = value.as_str() else {
            self.mistyped(value, "a String");
            return;
        };
        if !known.contains(&text) {
            let set = known.join(", ");
            self.violation(
                Some(text),
                path,
                &format!("Member must satisfy enum value set: [{set}]"),
            );
        }
    }

    pub(super) fn boolean(&mut self, value: &Value) {
        if !value.is_boolean() {
            self.mistyped(value, "a Boolean");
        }
    }

    pub(super) fn number(&mut self, value: &Value, path: &str, min: f64, max: f64) {
        let Some(number) = value.as_f64() else {
            self.mistyped(value, "a Float");
            return;
        };
        self.bounds(number, value, path, min, max);
    }

    pub(super) fn integer(&mut self, value: &Value, path: &str, min: f64, max: f64) {
        let integer =
            value.as_i64().is_some() || value.as_f64().is_some_and(|it| it.fract() == 0.0);
        match value.as_f64() {
            Some(number) if integer => self.bounds(number, value, path, min, max),
            _ => self.mistyped(value, "an Integer"),
        }
    }

    pub(super) fn length(&mut self, items: &[Value], path: &str, min: usize, max: usize) {
        let constraint = if items.len() < min {
            format!("Member must have length greater than or equal to {min}")
        } else if items.len() > max {
            format!("Member must have length less than or equal to {max}")
        } else {
            return;
        };
        let shown = Value::Array(items.to_vec()).to_string();
        self.violation(Some(&shown), path, &constraint);
    }

    /// Exactly one member of a union is set; returns its name and value.
    pub(super) fn union<'a>(
        &mut self,
        value: &'a Value,
        path: &str,
        known: &[&'static str],
    ) -> Option<(&'static str, &'a Value)> {
        if !self.object(value) {
            return None;
        }
        let mut set = known
            .iter()
            .filter_map(|name| Some((*name, optional(value, name)?)));
        let first = set.next();
        match (first, set.next()) {
            (Some(member), None) => Some(member),
            // The words are ours; the rule is the service model's `union` trait.
            _ => {
                let shown = value.to_string();
                let constraint = format!("Member must set exactly one of [{}]", known.join(", "));
                self.violation(Some(&shown), path, &constraint);
                None
            }
        }
    }

    fn bounds(&mut self, number: f64, shown: &Value, path: &str, min: f64, max: f64) {
        if number < min {
            let constraint = format!("Member must have value greater than or equal to {min}");
            self.violation(Some(&shown.to_string()), path, &constraint);
        }
        if number > max {
            let constraint = format!("Member must have value less than or equal to {max}");
            self.violation(Some(&shown.to_string()), path, &constraint);
        }
    }

    /// Remembers the first member of a wrong type, which ends the reading of a request.
    fn mistyped(&mut self, value: &Value, wanted: &str) {
        let found = match value {
            Value::Null => "NULL_VALUE",
            Value::Bool(true) => "TRUE_VALUE",
            Value::Bool(false) => "FALSE_VALUE",
            Value::Number(number) if number.is_f64() => "DECIMAL_VALUE",
            Value::Number(_) => "NUMBER_VALUE",
            Value::String(_) => "STRING_VALUE",
            Value::Array(_) => "START_ARRAY",
            Value::Object(_) => "START_OBJECT",
        };
        self.mistyped
            .get_or_insert_with(|| format!("{found} can not be converted to {wanted}"));
    }
}

/// A member that is there and not null.
pub(super) fn optional<'a>(object: &'a Value, name: &str) -> Option<&'a Value> {
    object.get(name).filter(|member| !member.is_null())
}

pub(super) fn join(path: &str, name: &str) -> String {
    if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}.{name}")
    }
}

/// The path of a list's item, counted from 1 as Bedrock does.
pub(super) fn item(path: &str, at: usize) -> String {
    format!("{path}.{}.member", at + 1)
}
