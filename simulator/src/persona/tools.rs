//! When a declared tool is called, with which input, and what is made of its result.

use serde_json::{Map, Value, json};

use super::prompt::Reading;
use crate::{
    reply::{Block, Chunks},
    wire::{Request, array},
};

/// Deepest schema that is followed.
const MAX_DEPTH: usize = 8;

/// The calls that the prompt or the tool choice asks for.
pub(super) fn calls(request: &Request) -> Vec<Block> {
    let config = &request.conversation()["toolConfig"];
    let specs: Vec<&Value> = array(&config["tools"])
        .iter()
        .filter_map(|tool| tool.get("toolSpec"))
        .collect();
    let prompt = request.prompt();
    let reading = Reading::of(&prompt);
    let choice = &config["toolChoice"];
    let chosen: Vec<&Value> = if let Some(name) = choice["tool"]["name"].as_str() {
        specs
            .into_iter()
            .filter(|spec| spec["name"] == name)
            .collect()
    } else {
        let mut fitting: Vec<(usize, &Value)> = specs
            .iter()
            .map(|spec| (fit(spec, &reading), *spec))
            .collect();
        fitting.sort_by_key(|(score, _)| std::cmp::Reverse(*score));
        let wanted = fitting
            .iter()
            .filter(|(score, _)| *score >= ASKED)
            .map(|(_, spec)| *spec);
        let named: Vec<&Value> = wanted
            .clone()
            .filter(|spec| fit(spec, &reading) >= NAMED)
            .collect();
        let mut wanted: Vec<&Value> = if named.is_empty() {
            wanted.take(1).collect()
        } else {
            named
        };
        if wanted.is_empty() && !choice["any"].is_null() {
            wanted.extend(fitting.first().map(|(_, spec)| *spec));
        }
        wanted
    };
    let seed = crc32fast::hash(prompt.as_bytes());
    let turn = request.messages().len();
    let calls = chosen.into_iter().enumerate().map(|(at, spec)| {
        let schema = &spec["inputSchema"]["json"];
        let input = Maker {
            prompt: &prompt,
            root: schema,
        }
        .value(schema, "", 0);
        Block::ToolUse {
            id: format!("tooluse_{seed:08x}{turn:03}{at}"),
            name: spec["name"].as_str().unwrap_or("").to_owned(),
            input: Chunks {
                pieces: split_json(&input.to_string()),
                repeat: 1,
            },
            run_by_provider: false,
        }
    });
    calls.collect()
}

/// Scores of [`fit`]: a tool that the prompt asks for, and one that it names.
const ASKED: usize = 2;
const NAMED: usize = 100;

/// How plainly the prompt asks for a tool.
fn fit(spec: &Value, reading: &Reading) -> usize {
    let name = spec["name"].as_str().unwrap_or("").to_lowercase();
    if reading.lower.contains(&name) || reading.lower.contains(&name.replace(['_', '-'], " ")) {
        return NAMED;
    }
    let in_name = Reading::of(&name.replace(['_', '-'], " "));
    let described = Reading::of(spec["description"].as_str().unwrap_or(""));
    let score = |words: Vec<&str>, weight: usize| {
        words
            .into_iter()
            .filter(|word| reading.words.iter().any(|it| same(it, word)))
            .count()
            * weight
    };
    score(in_name.topic_words(), ASKED) + score(described.topic_words(), 1)
}

/// Whether two words are the same, but for a plural.
fn same(one: &str, other: &str) -> bool {
    one.trim_end_matches('s') == other.trim_end_matches('s')
}

/// What the persona says about the results of its calls.
pub(super) fn report(results: &[&Value]) -> String {
    let failed: Vec<String> = results
        .iter()
        .filter(|it| it["status"] == "error")
        .map(|it| content(it))
        .collect();
    let done: Vec<String> = results
        .iter()
        .filter(|it| it["status"] != "error")
        .map(|it| content(it))
        .collect();
    let mut parts = Vec::new();
    match &done[..] {
        [] => {}
        [one] => parts.push(format!("The tool answered:\n\n{one}")),
        several => {
            let list: Vec<String> = several.iter().map(|it| format!("- {it}")).collect();
            parts.push(format!("The tools answered:\n\n{}", list.join("\n")));
        }
    }
    for reason in failed {
        parts.push(format!(
            "One call failed: {reason}. I leave it at that instead of guessing the answer; you can \
             ask me to try again."
        ));
    }
    if !done.is_empty() {
        parts.push(
            "That is what I was asked to find out. Is there anything you want to know about it?"
                .to_owned(),
        );
    }
    parts.join("\n\n")
}

fn content(result: &Value) -> String {
    let parts = array(&result["content"]).iter().map(|part| {
        if let Some(text) = part["text"].as_str() {
            text.to_owned()
        } else if let Some(json) = part.get("json") {
            describe(json)
        } else {
            "a file".to_owned()
        }
    });
    let text = parts.collect::<Vec<_>>().join(" ");
    if text.trim().is_empty() {
        "nothing".to_owned()
    } else {
        text
    }
}

fn describe(json: &Value) -> String {
    let Some(members) = json.as_object().filter(|members| !members.is_empty()) else {
        return json.to_string();
    };
    let members = members.iter().map(|(name, value)| {
        let value = value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned);
        format!("{} is {value}", name.replace('_', " "))
    });
    members.collect::<Vec<_>>().join(", ")
}

/// Splits JSON text into pieces as models send it.
fn split_json(text: &str) -> Vec<String> {
    let chars: Vec<char> = text.chars().collect();
    chars
        .chunks(12)
        .map(|piece| piece.iter().collect())
        .collect()
}

/// Makes a value that fits a JSON Schema, with words of the prompt where they fit.
struct Maker<'a> {
    prompt: &'a str,
    root: &'a Value,
}

impl Maker<'_> {
    fn value(&self, schema: &Value, name: &str, depth: usize) -> Value {
        if let Some(reference) = schema["$ref"].as_str()
            && depth < MAX_DEPTH
        {
            let pointer = reference.trim_start_matches('#');
            let target = self.root.pointer(pointer).unwrap_or(&Value::Null);
            return self.value(target, name, depth + 1);
        }
        if let Some(value) = schema.get("const").or_else(|| schema.get("default")) {
            return value.clone();
        }
        if let Some(values) = schema["enum"].as_array() {
            let lower = self.prompt.to_lowercase();
            let named = values.iter().find(|value| {
                value
                    .as_str()
                    .is_some_and(|it| lower.contains(&it.to_lowercase()))
            });
            return named
                .or_else(|| values.first())
                .cloned()
                .unwrap_or(Value::Null);
        }
        for combination in ["anyOf", "oneOf", "allOf"] {
            if let Some(first) = array(&schema[combination]).first()
                && schema["type"].is_null()
            {
                return self.value(first, name, depth + 1);
            }
        }
        let kind = schema["type"].as_str().or_else(|| {
            array(&schema["type"])
                .iter()
                .filter_map(Value::as_str)
                .find(|kind| *kind != "null")
        });
        match kind {
            Some("string") => self.string(schema, name),
            Some("integer") => json!(self.number(schema, true) as i64),
            Some("number") => json!(self.number(schema, false)),
            Some("boolean") => json!(true),
            Some("null") => Value::Null,
            Some("array") => {
                let least = schema["minItems"].as_u64().unwrap_or(1).clamp(1, 16);
                let item = self.value(&schema["items"], name, depth + 1);
                (0..if depth < MAX_DEPTH { least } else { 0 })
                    .map(|_| item.clone())
                    .collect()
            }
            _ => self.object(schema, depth),
        }
    }

    /// Required members, and such optional ones as the prompt names.
    fn object(&self, schema: &Value, depth: usize) -> Value {
        let mut object = Map::new();
        if depth >= MAX_DEPTH {
            return Value::Object(object);
        }
        let required: Vec<&str> = array(&schema["required"])
            .iter()
            .filter_map(Value::as_str)
            .collect();
        let lower = self.prompt.to_lowercase();
        for (name, member) in schema["properties"].as_object().into_iter().flatten() {
            let named = lower.contains(&name.to_lowercase().replace('_', " "));
            if named || required.contains(&name.as_str()) {
                object.insert(name.clone(), self.value(member, name, depth + 1));
            }
        }
        for name in required {
            object.entry(name).or_insert_with(|| json!(""));
        }
        Value::Object(object)
    }

    fn string(&self, schema: &Value, name: &str) -> Value {
        let text = match schema["format"].as_str() {
            Some("date") => "2026-01-01".to_owned(),
            Some("date-time") => "2026-01-01T12:00:00Z".to_owned(),
            Some("time") => "12:00:00Z".to_owned(),
            Some("email") => "someone@example.com".to_owned(),
            Some("uri") => "https://example.com/".to_owned(),
            Some("uuid") => "00000000-0000-4000-8000-000000000000".to_owned(),
            _ => self.phrase(name),
        };
        let least = usize::try_from(schema["minLength"].as_u64().unwrap_or(0))
            .unwrap_or(0)
            .min(4096);
        let most = usize::try_from(schema["maxLength"].as_u64().unwrap_or(4096)).unwrap_or(4096);
        let length = text.chars().count();
        let padded = text
            .chars()
            .chain(std::iter::repeat_n('x', least.saturating_sub(length)));
        json!(padded.take(most).collect::<String>())
    }

    /// The words of the prompt that a member of this name most likely means.
    fn phrase(&self, name: &str) -> String {
        let name = name.to_lowercase();
        let whole = [
            "query",
            "question",
            "text",
            "message",
            "prompt",
            "input",
            "expression",
            "search",
        ];
        if whole.iter().any(|it| name.contains(it)) {
            return self.prompt.trim().to_owned();
        }
        if let Some(quoted) = self.prompt.split(['"', '“', '”', '`']).nth(1) {
            return quoted.to_owned();
        }
        if let Some(place) = self.proper_noun() {
            return place;
        }
        let topic = super::prompt::topic(self.prompt);
        if topic == "this" {
            self.prompt.trim().to_owned()
        } else {
            topic
        }
    }

    /// Capitalized words, best behind "in", "for", "at", "to" or "of".
    fn proper_noun(&self) -> Option<String> {
        let words: Vec<&str> = self.prompt.split_whitespace().collect();
        let capital = |word: &&str| word.chars().next().is_some_and(char::is_uppercase);
        let run = |start: usize| {
            let run = words.iter().skip(start).take_while(|word| capital(word));
            let text = run.copied().collect::<Vec<_>>().join(" ");
            text.trim_matches(|it: char| !it.is_alphanumeric())
                .to_owned()
        };
        let behind = words.iter().zip(1..).find(|(word, next)| {
            ["in", "for", "at", "to", "of"].contains(&word.to_lowercase().as_str())
                && words.get(*next).is_some_and(capital)
        });
        let start = match behind {
            Some((_, next)) => next,
            None => 1 + words.iter().skip(1).position(capital)?,
        };
        Some(run(start)).filter(|text| !text.is_empty())
    }

    fn number(&self, schema: &Value, whole: bool) -> f64 {
        let words = self
            .prompt
            .split(|it: char| !(it.is_ascii_digit() || ".-".contains(it)));
        let mut numbers = words.filter_map(|word| word.trim_matches('.').parse::<f64>().ok());
        let number = numbers.next().unwrap_or(1.0);
        let step = if whole { 1.0 } else { 0.5 };
        let least = schema["minimum"]
            .as_f64()
            .or_else(|| schema["exclusiveMinimum"].as_f64().map(|it| it + step));
        let most = schema["maximum"]
            .as_f64()
            .or_else(|| schema["exclusiveMaximum"].as_f64().map(|it| it - step));
        let number = number
            .max(least.unwrap_or(f64::MIN))
            .min(most.unwrap_or(f64::MAX));
        if whole { number.round() } else { number }
    }
}
