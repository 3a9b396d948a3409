//! Ways of calling tools that models have, and that a client must live with.

use serde::Deserialize;
use serde_json::{Value, json};

/// How the persona calls tools.
///
/// A habit is chosen by the model id, `simulator.persona-endless-v1:0`, or by a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Habit {
    /// Calls what the prompt asks for, and answers from the results.
    #[default]
    Plain,
    /// Calls every declared tool in one message.
    Parallel,
    /// Calls one tool a message, each with what the ones before it found.
    Stepwise,
    /// Calls a tool in each message, for ever.
    Endless,
    /// Writes input that is not JSON first; when told so, writes it well.
    Malformed,
    /// Calls a tool that nobody declared first; when told so, one that is.
    UnknownTool,
    /// Writes input that does not fit the schema first; when told so, input that does.
    Misfit,
    /// Sends input one byte a delta.
    Bytewise,
}

const HABITS: [(&str, Habit); 7] = [
    ("parallel", Habit::Parallel),
    ("stepwise", Habit::Stepwise),
    ("endless", Habit::Endless),
    ("malformed", Habit::Malformed),
    ("unknown-tool", Habit::UnknownTool),
    ("misfit", Habit::Misfit),
    ("bytewise", Habit::Bytewise),
];

/// The tool that [`Habit::UnknownTool`] calls.
pub(super) const NO_SUCH_TOOL: &str = "no_such_tool";

/// Characters of a delta, about as models send them.
const PIECE: usize = 12;

impl Habit {
    /// The habit that a model id names.
    pub(super) fn of_model(model_id: &str) -> Self {
        let name = model_id
            .strip_prefix("simulator.persona-")
            .and_then(|rest| rest.rsplit_once("-v"))
            .map_or("", |(name, _version)| name);
        let known = HABITS.iter().find(|(known, _)| *known == name);
        known.map_or(Self::Plain, |(_, habit)| *habit)
    }

    /// The deltas in which input is sent.
    pub(super) fn pieces(self, input: &Value) -> Vec<String> {
        let text = input.to_string();
        match self {
            Self::Malformed => split(&cut(&text), PIECE),
            Self::Bytewise => split(&escaped(&text), 1),
            Self::Plain
            | Self::Parallel
            | Self::Stepwise
            | Self::Endless
            | Self::UnknownTool
            | Self::Misfit => split(&text, PIECE),
        }
    }
}

/// Input that its schema does not take, made from input that it takes.
pub(super) fn misfit(input: Value) -> Value {
    let Value::Object(mut members) = input else {
        return json!([input]);
    };
    let Some(first) = members.values_mut().next() else {
        return json!("nothing");
    };
    *first = match first {
        Value::Array(_) | Value::Object(_) => json!(true),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            json!({"value": first})
        }
    };
    Value::Object(members)
}

/// Text that ends before its JSON does.
fn cut(text: &str) -> String {
    let keep = text.chars().count().saturating_sub(1).max(1);
    let kept: String = text.chars().take(keep).collect();
    // A lone brace is left of `{}`; more of it shows better that something is missing.
    if kept == "{" { "{\"".to_owned() } else { kept }
}

/// JSON in ASCII alone, so that it can be cut behind every byte.
fn escaped(json: &str) -> String {
    let mut units = [0; 2];
    let mut text = String::with_capacity(json.len());
    for char in json.chars() {
        if char.is_ascii() {
            text.push(char);
        } else {
            for unit in char.encode_utf16(&mut units) {
                text.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    text
}

fn split(text: &str, chars: usize) -> Vec<String> {
    let all: Vec<char> = text.chars().collect();
    all.chunks(chars)
        .map(|piece| piece.iter().collect())
        .collect()
}
