//! Grammars that a model's tokens must follow, so that what it writes can be used.
//!
//! llama.cpp makes them of JSON Schemas; schemas are made narrower before, since a small
//! model that may write on and on does.

use llama_cpp_2::json_schema_to_grammar;
use serde_json::{Value, json};

use super::conversation::Tool;
use crate::wire::array;

/// Characters of a string, and items of an array, whose schema names no bound.
const MAX_CHARS: u64 = 256;
const MAX_ITEMS: u64 = 8;

/// The bounds that a schema may set itself; llama.cpp refuses grammars with more repetitions.
const MOST_CHARS: u64 = 1_000;

/// Deepest schema that is made narrower.
const MAX_DEPTH: usize = 32;

/// The rule that the schema's own is renamed to, so that another can be put above it.
const CALL: &str = "the-call-itself";

/// A call of one of the tools: `{"name": …, "arguments": …}`.
pub(super) fn calls(tools: &[&Tool]) -> Option<String> {
    grammar(&call_schema(tools), tools_of(tools))
}

/// A call, or text that does not begin like one.
pub(super) fn calls_or_text(tools: &[&Tool]) -> Option<String> {
    let calls = calls(tools)?;
    let calls = calls.replacen("root ::=", &format!("{CALL} ::="), 1);
    // Some models write the tags of their template around a call, others leave them out.
    Some(format!(
        "root ::= (\"<tool_call>\" \"\\n\"?)? {CALL} (\"\\n\"? \"</tool_call>\")? | text\n\
         text ::= [^{{< \\t\\r\\n] .*\n\
         {calls}"
    ))
}

/// JSON that fits the schema.
pub(super) fn json(schema: &Value) -> Option<String> {
    grammar(&narrowed(schema, "#", 0), Vec::new())
}

/// A call, or JSON that fits the schema.
pub(super) fn calls_or_json(tools: &[&Tool], schema: &Value) -> Option<String> {
    let mut union = call_schema(tools);
    union["$defs"]["answer"] = narrowed(schema, "#/$defs/answer", 0);
    union["anyOf"]
        .as_array_mut()?
        .push(json!({"$ref": "#/$defs/answer"}));
    grammar(&union, tools_of(tools))
}

fn tools_of(tools: &[&Tool]) -> Vec<String> {
    tools.iter().map(|tool| tool.name.clone()).collect()
}

/// The grammar of a schema; patterns that llama.cpp does not know are left out, and if that
/// is not enough, calls have any object.
fn grammar(schema: &Value, names: Vec<String>) -> Option<String> {
    if let Ok(grammar) = json_schema_to_grammar(&schema.to_string()) {
        return Some(grammar);
    }
    let mut plain = schema.clone();
    remove(&mut plain, &["pattern", "format"], 0);
    if let Ok(grammar) = json_schema_to_grammar(&plain.to_string()) {
        return Some(grammar);
    }
    let any = json!({
        "type": "object",
        "properties": {"name": {"enum": names}, "arguments": {"type": "object"}},
        "required": ["name", "arguments"],
    });
    if names.is_empty() {
        return None;
    }
    json_schema_to_grammar(&any.to_string()).ok()
}

/// One branch for each tool, whose schema moves to a place of its own.
fn call_schema(tools: &[&Tool]) -> Value {
    let mut union = json!({"anyOf": [], "$defs": {}});
    for (at, tool) in tools.iter().enumerate() {
        let place = format!("tool{at}");
        let pointer = format!("#/$defs/{place}");
        union["$defs"][&place] = narrowed(&tool.schema, &pointer, 0);
        if let Some(branches) = union["anyOf"].as_array_mut() {
            branches.push(json!({
                "type": "object",
                "properties": {"name": {"const": tool.name}, "arguments": {"$ref": pointer}},
                "required": ["name", "arguments"],
                "additionalProperties": false,
            }));
        }
    }
    union
}

/// The schema with bounds where it has none, and with its references below `root`.
fn narrowed(schema: &Value, root: &str, depth: usize) -> Value {
    let Some(members) = schema.as_object().filter(|_| depth < MAX_DEPTH) else {
        return schema.clone();
    };
    let mut narrow = serde_json::Map::new();
    for (keyword, value) in members {
        let value = match (keyword.as_str(), value) {
            ("$ref", Value::String(reference)) => {
                json!(reference.replacen('#', root, 1))
            }
            ("properties" | "$defs" | "definitions", Value::Object(schemas)) => {
                let schemas = schemas
                    .iter()
                    .map(|(name, schema)| (name.clone(), narrowed(schema, root, depth + 1)));
                Value::Object(schemas.collect())
            }
            ("enum" | "const" | "default" | "examples" | "required", value) => value.clone(),
            (_, Value::Object(_)) => narrowed(value, root, depth + 1),
            (_, Value::Array(items)) => items
                .iter()
                .map(|item| narrowed(item, root, depth + 1))
                .collect(),
            (_, value) => value.clone(),
        };
        narrow.insert(keyword.clone(), value);
    }
    let mut narrow = Value::Object(narrow);
    if let Some(branches) = branches(&narrow) {
        return json!({"anyOf": branches});
    }
    bound(&mut narrow);
    narrow
}

fn bound(schema: &mut Value) {
    let is = |kind: &str, schema: &Value| {
        schema["type"] == kind || array(&schema["type"]).iter().any(|it| it == kind)
    };
    let free = ["enum", "const", "pattern", "format"]
        .iter()
        .all(|it| schema.get(it).is_none());
    if is("string", schema) && free {
        let least = schema["minLength"].as_u64().unwrap_or(0);
        let most = schema["maxLength"].as_u64().unwrap_or(MAX_CHARS.max(least));
        schema["maxLength"] = json!(most.min(MOST_CHARS));
        schema["minLength"] = json!(least.min(MOST_CHARS));
    }
    if is("array", schema) {
        let least = schema["minItems"].as_u64().unwrap_or(0);
        let most = schema["maxItems"].as_u64().unwrap_or(MAX_ITEMS.max(least));
        schema["maxItems"] = json!(most.min(MAX_ITEMS.max(least)));
    }
    // An object that may have anything is empty: that fits, and nothing says what it should have.
    let any = schema
        .get("additionalProperties")
        .is_none_or(|it| it == true);
    if is("object", schema) && any && free {
        schema["additionalProperties"] = json!(false);
        if schema.get("properties").is_none() {
            schema["properties"] = json!({});
        }
    }
}

/// Branches that only say which members they need, each made a whole schema: llama.cpp
/// takes a branch without the members that stand beside it.
fn branches(schema: &Value) -> Option<Vec<Value>> {
    let (keyword, branches) = ["oneOf", "anyOf"]
        .into_iter()
        .map(|keyword| (keyword, array(&schema[keyword])))
        .find(|(_, branches)| !branches.is_empty())?;
    let is_bare = |branch: &Value| branch.get("type").is_none() && branch.get("$ref").is_none();
    if schema["properties"].is_null() || !branches.iter().all(is_bare) {
        return None;
    }
    let needs = |branch: &Value| array(&branch["required"]).to_vec();
    let all: Vec<Value> = branches.iter().flat_map(needs).collect();
    let whole = branches.iter().map(|branch| {
        let needed = needs(branch);
        let mut whole = schema.clone();
        if let Some(members) = whole.as_object_mut() {
            members.remove(keyword);
        }
        if let Some(properties) = whole["properties"].as_object_mut() {
            properties.retain(|name, _| {
                let is_this = |it: &Value| it == name.as_str();
                !all.iter().any(is_this) || needed.iter().any(is_this)
            });
            for (name, value) in branch["properties"].as_object().into_iter().flatten() {
                properties.insert(name.clone(), value.clone());
            }
        }
        let mut required = array(&schema["required"]).to_vec();
        required.extend(needed);
        whole["required"] = Value::Array(required);
        bound(&mut whole);
        whole
    });
    Some(whole.collect())
}

fn remove(schema: &mut Value, keywords: &[&str], depth: usize) {
    if depth >= MAX_DEPTH {
        return;
    }
    match schema {
        Value::Object(members) => {
            // A property of such a name has a schema, the keyword has not.
            members.retain(|name, value| !keywords.contains(&name.as_str()) || value.is_object());
            for value in members.values_mut() {
                remove(value, keywords, depth + 1);
            }
        }
        Value::Array(items) => {
            for item in items {
                remove(item, keywords, depth + 1);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tool(name: &str, schema: Value) -> Tool {
        Tool {
            name: name.to_owned(),
            description: String::new(),
            schema,
        }
    }

    #[test]
    fn schemas_of_all_kinds_become_grammars() {
        for schema in [
            json!({}),
            json!({"type": "object"}),
            json!({"$ref": "#/$defs/node", "$defs": {"node": {
                "type": "object", "properties": {"next": {"$ref": "#/$defs/node"}},
            }}}),
            json!({"type": "object", "properties": {"id": {
                "type": "string", "pattern": "^-?(0|[1-9][0-9]*)$",
            }}}),
            json!({"type": "object", "properties": {"at": {
                "type": "string", "format": "date-time",
            }}}),
            // A pattern that llama.cpp does not know.
            json!({"type": "object", "properties": {"id": {
                "type": "string", "pattern": "^(?=a)\\p{L}+$",
            }}}),
            json!({"type": "object", "properties": {"text": {
                "type": "string", "minLength": 5_000, "maxLength": 1_000_000,
            }}}),
        ] {
            let tool = tool("it", schema.clone());
            let made = calls_or_text(&[&tool]);
            assert!(made.is_some_and(|it| it.contains("root ::=")), "{schema}");
        }
    }

    #[test]
    fn what_a_schema_leaves_open_is_bounded() {
        let narrow = narrowed(
            &json!({"type": "object", "properties": {
                "text": {"type": "string"},
                "list": {"type": "array", "items": {"$ref": "#/$defs/x"}, "minItems": 10},
                "any": {"type": "object"},
            }}),
            "#/$defs/tool0",
            0,
        );
        assert_eq!(
            narrow,
            json!({"type": "object", "properties": {
                "text": {"type": "string", "maxLength": 256, "minLength": 0},
                "list": {"type": "array", "items": {"$ref": "#/$defs/tool0/$defs/x"},
                         "minItems": 10, "maxItems": 10},
                "any": {"type": "object", "additionalProperties": false, "properties": {}},
            }, "additionalProperties": false})
        );
    }

    #[test]
    fn branches_that_only_name_members_become_whole_schemas() {
        let narrow = narrowed(
            &json!({
                "type": "object",
                "properties": {"a": {"type": "integer"}, "b": {"type": "boolean"},
                               "c": {"type": "integer"}},
                "required": ["c"],
                "oneOf": [{"required": ["a"]}, {"required": ["b"]}],
            }),
            "#",
            0,
        );
        let branch = |name: &str, kind: &str| {
            json!({
                "type": "object",
                "properties": {name: {"type": kind}, "c": {"type": "integer"}},
                "required": ["c", name],
                "additionalProperties": false,
            })
        };
        assert_eq!(
            narrow,
            json!({"anyOf": [branch("a", "integer"), branch("b", "boolean")]})
        );
    }
}
