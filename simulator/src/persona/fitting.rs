//! Values that fit a JSON Schema, with words of the conversation where they fit.

mod bounds;

use std::collections::BTreeSet;

use serde_json::{Map, Number, Value, json};

use self::bounds::{
    another, fill, is_date, is_date_time, is_email, is_url, is_uuid, takes, whole_within, within,
};
use super::{
    mention::{Mentions, parts},
    pattern,
};
use crate::wire::array;

/// Deepest schema that is followed.
const MAX_DEPTH: usize = 24;

/// Values that one schema may ask for; behind it they are as small as they can be.
const MAX_VALUES: usize = 500;

/// Items that an array gets at most.
const MAX_ITEMS: u64 = 16;

/// A value for a schema, out of what was said and found.
pub(super) fn value(schema: &Value, mentions: Mentions<'_>) -> Value {
    let mut maker = Maker {
        root: schema,
        mentions,
        open: Vec::new(),
        values: 0,
    };
    maker.value(schema, "", 0)
}

struct Maker<'a> {
    root: &'a Value,
    mentions: Mentions<'a>,
    /// References that are being followed, so that a schema within itself ends.
    open: Vec<String>,
    values: usize,
}

impl Maker<'_> {
    fn value(&mut self, schema: &Value, name: &str, depth: usize) -> Value {
        self.values += 1;
        let Some(reference) = schema["$ref"].as_str() else {
            return self.plain(schema, name, depth);
        };
        let target = self.target(reference);
        let merged = merge(&target, schema);
        self.open.push(reference.to_owned());
        // What a reference leads to may be one itself.
        let value = if depth < MAX_DEPTH {
            self.value(&merged, name, depth + 1)
        } else {
            Value::Null
        };
        self.open.pop();
        value
    }

    /// What a reference within the schema points to.
    fn target(&self, reference: &str) -> Value {
        let pointer = reference.trim_start_matches('#');
        self.root.pointer(pointer).cloned().unwrap_or(Value::Null)
    }

    fn plain(&mut self, schema: &Value, name: &str, depth: usize) -> Value {
        if let Some(value) = schema.get("const") {
            return value.clone();
        }
        if let Some(values) = schema["enum"].as_array() {
            return self.choice(values, name);
        }
        if depth < MAX_DEPTH
            && let Some(schema) = self.combined(schema)
        {
            return self.value(&schema, name, depth + 1);
        }
        if let Some(value) = schema.get("default")
            && !self.mentions.names(name)
        {
            return value.clone();
        }
        match self.kind(schema, name) {
            "string" => json!(self.string(schema, name)),
            "integer" => self.number(schema, name, true),
            "number" => self.number(schema, name, false),
            "boolean" => json!(self.mentions.fact(name) != Some(&json!(false))),
            "null" => Value::Null,
            "array" => self.list(schema, name, depth),
            _ => self.object(schema, depth),
        }
    }

    /// The type, where there are several the one that what was said has a value of.
    fn kind<'s>(&self, schema: &'s Value, name: &str) -> &'s str {
        if let Some(kind) = schema["type"].as_str() {
            return kind;
        }
        let kinds = || array(&schema["type"]).iter().filter_map(Value::as_str);
        let found = self.mentions.fact(name);
        let is_found = |kind: &&str| match found {
            Some(Value::String(_)) => *kind == "string",
            Some(Value::Number(_)) => ["integer", "number"].contains(kind),
            Some(_) | None => false,
        };
        let fallback = ["pattern", "format", "minLength", "maxLength"]
            .iter()
            .any(|it| schema.get(it).is_some());
        kinds()
            .find(is_found)
            .or_else(|| kinds().find(|kind| *kind != "null"))
            .or_else(|| kinds().next())
            .unwrap_or(if fallback { "string" } else { "object" })
    }

    /// The value that was named; else the first that means something.
    fn choice(&self, values: &[Value], name: &str) -> Value {
        let found = self.mentions.fact(name);
        if let Some(found) = found.filter(|found| values.contains(found)) {
            return found.clone();
        }
        let texts = || values.iter().filter(|value| value.is_string());
        let whole = |value: &&Value| self.mentions.names(value.as_str().unwrap_or(""));
        // Of `UNIT_FAHRENHEIT` only the last part is spoken.
        let last = |value: &&Value| {
            let parts = parts(value.as_str().unwrap_or(""));
            parts.len() > 1 && parts.last().is_some_and(|it| self.mentions.names(it))
        };
        let meant = |value: &&Value| {
            let text = value.as_str().unwrap_or("").to_lowercase();
            !(text.ends_with("unspecified") || text.ends_with("unknown"))
        };
        let value = texts()
            .find(whole)
            .or_else(|| texts().find(last))
            .or_else(|| values.iter().find(meant))
            .or_else(|| values.first());
        value.cloned().unwrap_or(Value::Null)
    }

    /// The schema with its `allOf` folded in and one branch of its `oneOf` or `anyOf`.
    fn combined(&self, schema: &Value) -> Option<Value> {
        let all = array(&schema["allOf"]);
        let (keyword, branches) = ["oneOf", "anyOf"]
            .into_iter()
            .map(|keyword| (keyword, array(&schema[keyword])))
            .find(|(_, branches)| !branches.is_empty())
            .unwrap_or(("", &[]));
        if all.is_empty() && branches.is_empty() {
            return None;
        }
        let mut whole = schema.clone();
        let object = whole.as_object_mut()?;
        object.remove("allOf");
        object.remove(keyword);
        for part in all {
            whole = merge(&whole, &self.resolved(part));
        }
        let branches: Vec<Value> = branches.iter().map(|it| self.resolved(it)).collect();
        let scored = branches.iter().enumerate().map(|(at, branch)| {
            let score = if self.is_open(branch) {
                -2
            } else if branch["type"] == "null" {
                -1
            } else {
                self.score(branch)
            };
            (at, score)
        });
        // The first of the best.
        let best = scored.rev().max_by_key(|(_, score)| *score);
        let Some((chosen, _)) = best else {
            return Some(whole);
        };
        let needed = required(branches.get(chosen).unwrap_or(&Value::Null));
        // What only other branches need would make this value fit two of them.
        let strange: BTreeSet<&str> = branches.iter().flat_map(required).collect();
        if let Some(members) = whole["properties"].as_object_mut() {
            members.retain(|name, _| {
                !strange.contains(name.as_str()) || needed.contains(&name.as_str())
            });
        }
        Some(merge(&whole, branches.get(chosen)?))
    }

    fn resolved(&self, schema: &Value) -> Value {
        match schema["$ref"].as_str() {
            // A reference that is open already is left, so that following it is counted.
            Some(reference) if !self.open.iter().any(|it| it == reference) => {
                merge(&self.target(reference), schema)
            }
            _ => schema.clone(),
        }
    }

    /// How much of a branch was spoken of.
    fn score(&self, branch: &Value) -> i64 {
        let members = branch["properties"].as_object().into_iter().flatten();
        let members = members.filter(|(name, member)| {
            let fixed = member["const"].as_str().or_else(|| {
                let only = array(&member["enum"]);
                only.first().filter(|_| only.len() == 1)?.as_str()
            });
            self.speaks_of(name) || fixed.is_some_and(|it| self.mentions.names(it))
        });
        let required = required(branch);
        let required = required.iter().filter(|name| self.speaks_of(name));
        let fixed = branch["const"].as_str().map(|it| self.mentions.names(it));
        let count = members.count() + required.count() + usize::from(fixed == Some(true));
        i64::try_from(count).unwrap_or(i64::MAX)
    }

    fn speaks_of(&self, name: &str) -> bool {
        self.mentions.names(name) || self.mentions.fact(name).is_some()
    }

    fn list(&mut self, schema: &Value, name: &str, depth: usize) -> Value {
        let mut items: Vec<Value> = Vec::new();
        for schema in array(&schema["prefixItems"]) {
            items.push(self.value(schema, name, depth + 1));
        }
        let least = schema["minItems"].as_u64().unwrap_or(0).min(MAX_ITEMS);
        let most = schema["maxItems"].as_u64().unwrap_or(MAX_ITEMS);
        let ends = self.values > MAX_VALUES || depth >= MAX_DEPTH || self.is_open(&schema["items"]);
        let wanted = if ends { least } else { least.max(1).min(most) };
        let closed = schema["items"] == false;
        while (items.len() as u64) < wanted && !closed {
            let mut item = self.value(&schema["items"], name, depth + 1);
            if schema["uniqueItems"] == true && items.contains(&item) {
                item = another(&item, items.len());
            }
            items.push(item);
        }
        Value::Array(items)
    }

    fn is_open(&self, schema: &Value) -> bool {
        schema["$ref"]
            .as_str()
            .is_some_and(|it| self.open.iter().any(|open| open == it))
    }

    /// Required members, and such optional ones as were spoken of.
    fn object(&mut self, schema: &Value, depth: usize) -> Value {
        let required: BTreeSet<&str> = required(schema).into_iter().collect();
        let ends = self.values > MAX_VALUES || depth >= MAX_DEPTH;
        let members = schema["properties"].as_object();
        let wanted: Vec<(&String, &Value)> = members
            .into_iter()
            .flatten()
            .filter(|(name, member)| {
                let is_optional = !ends && self.speaks_of(name) && !self.is_open(member);
                required.contains(name.as_str()) || is_optional
            })
            .collect();
        // What stands beside a name is that name's; only then the rest is shared out.
        let mut made: Map<String, Value> = Map::new();
        let is_plain = |member: &Value| member["type"] == "string" && member["enum"].is_null();
        for (name, member) in &wanted {
            if is_plain(member)
                && member["format"].is_null()
                && member["pattern"].is_null()
                && self.mentions.fact(name).is_none()
                && let Some(text) = self.mentions.beside(name)
            {
                made.insert((*name).clone(), json!(fill(text, member)));
            }
        }
        let mut object = Map::new();
        for (name, member) in wanted {
            let value = match made.remove(name) {
                Some(value) => value,
                None if self.values > MAX_VALUES * 2 || depth >= MAX_DEPTH * 2 => Value::Null,
                None => self.value(member, name, depth + 1),
            };
            object.insert(name.clone(), value);
        }
        for name in required {
            object.entry(name).or_insert_with(|| json!(""));
        }
        Value::Object(object)
    }

    fn string(&mut self, schema: &Value, name: &str) -> String {
        if let Some(found) = self.mentions.fact(name) {
            let text = found
                .as_str()
                .map_or_else(|| found.to_string(), str::to_owned);
            if takes(schema, &text) {
                return text;
            }
        }
        if let Some(pattern) = schema["pattern"].as_str() {
            return self.patterned(pattern, schema, name);
        }
        let mentions = &mut self.mentions;
        let (found, example) = match schema["format"].as_str() {
            Some("date") => (mentions.word(is_date), "2026-01-01"),
            Some("date-time") => (mentions.word(is_date_time), "2026-01-01T12:00:00Z"),
            Some("time") => (None, "12:00:00Z"),
            // RFC 3339, Appendix A; protobuf's "60s" comes with a pattern.
            Some("duration") => (None, "PT1H"),
            Some("email" | "idn-email") => (mentions.word(is_email), "someone@example.com"),
            Some("uri" | "url" | "iri") => (mentions.word(is_url), "https://example.com/"),
            Some("uri-reference") => (mentions.word(is_url), "/"),
            Some("hostname") => (None, "example.com"),
            Some("ipv4") => (None, "192.0.2.1"),
            Some("ipv6") => (None, "2001:db8::1"),
            Some("uuid") => (
                mentions.word(is_uuid),
                "00000000-0000-4000-8000-000000000000",
            ),
            Some("byte" | "base64") => (None, "AAAA"),
            Some("int64" | "uint64" | "int32" | "uint32") => {
                (mentions.number(name).map(str::to_owned), "1")
            }
            Some(_) | None if schema["contentEncoding"] == "base64" => (None, "AAAA"),
            Some(_) | None => return fill(self.text(name), schema),
        };
        fill(found.unwrap_or_else(|| example.to_owned()), schema)
    }

    fn text(&mut self, name: &str) -> String {
        match self.mentions.beside(name) {
            Some(text) => text,
            None => self.mentions.phrase(name),
        }
    }

    /// A string for a pattern: out of what was said, where that fits.
    fn patterned(&mut self, pattern: &str, schema: &Value, name: &str) -> String {
        let fits = |text: &str| takes(schema, text);
        if pattern::matches(pattern, "1")
            && let Some(number) = self.mentions.number(name)
            && fits(number)
        {
            return number.to_owned();
        }
        if pattern::matches(pattern, "2s")
            && let Some(number) = self.mentions.number(name)
            && fits(&format!("{number}s"))
        {
            return format!("{number}s");
        }
        if let Some(text) = self.mentions.word(fits) {
            return text;
        }
        let made = pattern::example(pattern);
        let made = made.or_else(|| schema["examples"][0].as_str().map(str::to_owned));
        made.unwrap_or_else(|| fill(self.text(name), schema))
    }

    fn number(&mut self, schema: &Value, name: &str, whole: bool) -> Value {
        let found = self.mentions.fact(name).and_then(Value::as_number).cloned();
        let said = || {
            let text = self.mentions.number(name)?;
            let number: Option<Number> = text.parse().ok();
            number
        };
        let number = found.or_else(said).unwrap_or_else(|| Number::from(1));
        if whole {
            json!(whole_within(&number, schema))
        } else {
            json!(within(number.as_f64().unwrap_or(1.0), schema))
        }
    }
}

/// Members that a schema needs.
fn required(schema: &Value) -> Vec<&str> {
    array(&schema["required"])
        .iter()
        .filter_map(Value::as_str)
        .collect()
}

/// Both schemas at once; of single keywords the second's hold.
fn merge(one: &Value, other: &Value) -> Value {
    let (Some(first), Some(second)) = (one.as_object(), other.as_object()) else {
        return if other.is_object() { other } else { one }.clone();
    };
    let mut merged = first.clone();
    for (keyword, value) in second {
        match (keyword.as_str(), merged.get_mut(keyword), value) {
            ("$ref", _, _) => {}
            ("properties", Some(Value::Object(mine)), Value::Object(theirs)) => {
                for (name, schema) in theirs {
                    let both = merge(mine.get(name).unwrap_or(&Value::Null), schema);
                    mine.insert(name.clone(), both);
                }
            }
            ("required", Some(Value::Array(mine)), Value::Array(theirs)) => {
                mine.extend(theirs.iter().cloned());
            }
            (_, _, value) => {
                merged.insert(keyword.clone(), value.clone());
            }
        }
    }
    Value::Object(merged)
}
