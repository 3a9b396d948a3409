//! The tools that a server lists, as a model can be told of them.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use rmcp::{
    Peer, RoleClient, ServiceError,
    model::{
        self, ClientRequest, JsonObject, ListToolsRequest, PaginatedRequestParams, ServerResult,
    },
};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use taiwa_core::tool::Schema;

use super::{link::Link, tool::McpTool};
use crate::{Definition, Tool, Tools};

/// Longest name that Bedrock takes.
/// <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ToolSpecification.html>
const MAX_NAME_BYTES: usize = 64;

/// Most pages that are asked for: a server whose list has no end is not followed for ever.
const MAX_PAGES: usize = 100;

/// Most tools of one server; far more than a model can choose among.
const MAX_TOOLS: usize = 1_000;

/// Most bytes of names, descriptions and schemas that are kept of one server.
const MAX_BYTES: usize = 4 * 1024 * 1024;

/// Asks for all pages of the list.
///
/// # Errors
///
/// When a page cannot be had.
///
/// # Cancel safety
///
/// When the future is dropped, the answer on its way is thrown away.
pub(super) async fn fetch(
    peer: &Peer<RoleClient>,
    server: &str,
) -> Result<Vec<model::Tool>, ServiceError> {
    let mut tools = Vec::new();
    let mut cursor = None;
    for _ in 0..MAX_PAGES {
        // Not by the SDK's own method, which may answer from memory that the list is as it was.
        let params =
            cursor.map(|cursor| PaginatedRequestParams::default().with_cursor(Some(cursor)));
        let request = ListToolsRequest {
            params,
            ..ListToolsRequest::default()
        };
        let request = ClientRequest::ListToolsRequest(request);
        let ServerResult::ListToolsResult(page) = peer.send_request(request).await? else {
            return Err(ServiceError::UnexpectedResponse);
        };
        tools.extend(page.tools);
        cursor = page.next_cursor;
        if cursor.is_none() || tools.len() > MAX_TOOLS {
            break;
        }
    }
    if cursor.is_some() || tools.len() > MAX_TOOLS {
        tools.truncate(MAX_TOOLS);
        tracing::warn!(
            server,
            kept = tools.len(),
            "the MCP server's list of tools has no end; the rest is left out"
        );
    }
    Ok(tools)
}

/// Makes tools of what was listed, and leaves out what cannot be offered.
pub(super) fn tools(link: &Arc<Link>, listed: Vec<model::Tool>) -> Tools {
    let server = &*link.name;
    let names = names(listed.iter().map(|tool| &*tool.name));
    let mut seen = HashSet::new();
    let mut bytes = 0;
    let mut tools: Vec<Arc<dyn Tool>> = Vec::new();
    for listed in listed {
        let tool = &*listed.name;
        if !seen.insert(listed.name.clone()) {
            tracing::warn!(
                server,
                tool,
                "the MCP server lists a tool twice; the first counts"
            );
            continue;
        }
        let schema = match schema(&listed.input_schema) {
            Ok(schema) => schema,
            Err(why) => {
                tracing::warn!(
                    server,
                    tool,
                    why,
                    "a tool of the MCP server is left out: its schema is of no use"
                );
                continue;
            }
        };
        let description = listed.description.as_deref().unwrap_or_default().to_owned();
        bytes += tool.len() + description.len() + schema.as_str().len();
        if bytes > MAX_BYTES {
            tracing::warn!(
                server,
                tool,
                limit_bytes = MAX_BYTES,
                "the MCP server's list is too large; this tool and the rest are left out"
            );
            break;
        }
        let Some(name) = names.get(tool).cloned() else {
            continue;
        };
        let definition = Definition {
            name,
            description,
            schema,
        };
        tools.push(Arc::new(McpTool::new(
            Arc::clone(link),
            definition,
            &listed,
        )));
    }
    tools.into()
}

/// Gives each name one that Bedrock takes: the same for the same list, and no two alike.
///
/// A name that it takes stays. Of another, what it does not take is replaced, and the beginning of
/// the name's SHA-256 is added, so that names which differ in nothing else still do.
fn names<'a>(originals: impl Iterator<Item = &'a str> + Clone) -> HashMap<String, String> {
    let mut taken: HashSet<String> = originals
        .clone()
        .filter(|name| is_taken_by_bedrock(name))
        .map(str::to_owned)
        .collect();
    let mut names: HashMap<String, String> = taken
        .iter()
        .map(|name| (name.clone(), name.clone()))
        .collect();
    for original in originals {
        if names.contains_key(original) {
            continue;
        }
        let digest = format!("{:x}", Hex(&Sha256::digest(original)));
        let spelled: String = original
            .chars()
            .map(|c| if is_name_char(c) { c } else { '_' })
            .collect();
        // Eight digits do but for a clash, for which there are more.
        let free = (8..=MAX_NAME_BYTES).find_map(|digits| {
            let digits = &digest[..digits.min(digest.len())];
            let room = MAX_NAME_BYTES.saturating_sub(digits.len() + 1);
            let begin = &spelled[..spelled.len().min(room)];
            let name = format!("{begin}_{digits}");
            let name = name[name.len().saturating_sub(MAX_NAME_BYTES)..].to_owned();
            (!taken.contains(&name)).then_some(name)
        });
        if let Some(name) = free {
            taken.insert(name.clone());
            names.insert(original.to_owned(), name);
        }
    }
    names
}

fn is_taken_by_bedrock(name: &str) -> bool {
    (1..=MAX_NAME_BYTES).contains(&name.len()) && name.chars().all(is_name_char)
}

fn is_name_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '-'
}

/// Bytes, written in hexadecimal.
struct Hex<'a>(&'a [u8]);

impl std::fmt::LowerHex for Hex<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Compiles a tool's schema; says that it is of an object where it left that open.
fn schema(listed: &JsonObject) -> Result<Schema, String> {
    let mut schema = listed.clone();
    let is_open = match schema.get("type") {
        None => true,
        Some(Value::String(kind)) if kind == "object" => false,
        Some(Value::Array(kinds)) if kinds.contains(&json!("object")) => true,
        Some(other) => return Err(format!("it is of {other}, not of an object")),
    };
    if is_open {
        schema.insert("type".into(), json!("object"));
    }
    Schema::parse(&Value::Object(schema).to_string()).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(value: Value) -> JsonObject {
        serde_json::from_value(value).expect("an object")
    }

    #[test]
    fn names_that_bedrock_does_not_take_are_replaced_and_stay_apart() {
        let long = "a".repeat(70);
        let longer = "a".repeat(71);
        let originals = ["get-time", "a.b", "a/b", "", "zeit_ü", &long, &longer];
        let names = names(originals.into_iter());
        assert_eq!(names["get-time"], "get-time");
        assert_eq!(names["a.b"], "a_b_2e7336dc");
        assert_eq!(names.len(), originals.len());
        let distinct: HashSet<_> = names.values().collect();
        assert_eq!(distinct.len(), originals.len());
        for name in names.values() {
            assert!(is_taken_by_bedrock(name), "{name}");
        }
    }

    #[test]
    fn a_replacement_gives_way_to_a_name_that_is_listed() {
        let alone = names(["a.b"].into_iter());
        let both = names(["a.b", &alone["a.b"]].into_iter());
        assert_eq!(both[&alone["a.b"]], alone["a.b"]);
        assert_ne!(both["a.b"], alone["a.b"]);
        assert!(is_taken_by_bedrock(&both["a.b"]));
    }

    #[test]
    fn a_schema_that_leaves_its_type_open_becomes_one_of_an_object() {
        let open = schema(&object(json!({"properties": {"a": {"type": "string"}}})));
        let open = open.expect("it compiles");
        assert!(open.check(&json!("text")).is_err());
        assert!(open.check(&json!({"a": "x"})).is_ok());
        let either = schema(&object(json!({"type": ["object", "null"]}))).expect("it compiles");
        assert_eq!(either.as_str(), r#"{"type":"object"}"#);
        let empty = schema(&JsonObject::new()).expect("it compiles");
        assert_eq!(empty.as_str(), r#"{"type":"object"}"#);
    }

    #[test]
    fn a_schema_of_something_else_is_refused() {
        let text = schema(&object(json!({"type": "string"})));
        assert_eq!(text, Err("it is of \"string\", not of an object".into()));
        assert!(schema(&object(json!({"properties": 7}))).is_err());
    }
}
