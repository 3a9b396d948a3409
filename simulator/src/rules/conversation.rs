//! What a conversation must look like to mean something.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::{exception::Exception, wire::array};

pub(super) fn check(conversation: &Value) -> Result<(), Exception> {
    let messages = array(&conversation["messages"]);
    check_content(messages)?;
    check_roles(messages)?;
    check_tool_blocks(messages, conversation)?;
    check_tool_config(&conversation["toolConfig"])
}

/// Words: earendil-works/pi#3443 (empty), boto/botocore#3525 and OpenHands/OpenHands#5339
/// (blank; white space alone counts as blank: earendil-works/pi#4975).
fn check_content(messages: &[Value]) -> Result<(), Exception> {
    for (at, message) in messages.iter().enumerate() {
        let content = array(&message["content"]);
        if content.is_empty() {
            return Err(Exception::validation(format!(
                "The content field in the Message object at messages.{at} is empty. Add a \
                 ContentBlock object to the content field and try again."
            )));
        }
        for (block_at, block) in content.iter().enumerate() {
            let blank = |path: String, shape: &str| {
                Exception::validation(format!(
                    "The text field in the {shape} object at {path} is blank. Add text to the \
                     text field, and try again."
                ))
            };
            let path = format!("messages.{at}.content.{block_at}");
            if is_blank(&block["text"]) {
                return Err(blank(path, "ContentBlock"));
            }
            for (part_at, part) in array(&block["toolResult"]["content"]).iter().enumerate() {
                if is_blank(&part["text"]) {
                    let path = format!("{path}.toolResult.content.{part_at}");
                    return Err(blank(path, "ContentBlock"));
                }
            }
        }
    }
    Ok(())
}

fn is_blank(text: &Value) -> bool {
    text.as_str().is_some_and(|text| text.trim().is_empty())
}

/// Words: langgenius/dify#12340 and elastic/kibana#246393 (start; also without any
/// message), langchain-ai/langchain-aws#130 (alternate).
fn check_roles(messages: &[Value]) -> Result<(), Exception> {
    let roles = messages
        .iter()
        .map(|message| message["role"].as_str().unwrap_or(""));
    let mut roles = roles.filter(|role| *role != "system");
    let mut last = match roles.next() {
        Some("user") => "user",
        _ => {
            return Err(Exception::validation(
                "A conversation must start with a user message. Try again with a conversation \
                 that starts with a user message.",
            ));
        }
    };
    for role in roles {
        if role == last {
            return Err(Exception::validation(
                "A conversation must alternate between user and assistant roles. Make sure the \
                 conversation alternates between user and assistant roles and try again.",
            ));
        }
        last = role;
    }
    Ok(())
}

/// Words: langgenius/dify#17545 (no tool configuration), OpenHands/OpenHands#4912 (result
/// without call), zeroclaw-labs/zeroclaw#1476 (call without result). That a call without
/// a result behind it is refused in the last message too is our reading of the rule.
fn check_tool_blocks(messages: &[Value], conversation: &Value) -> Result<(), Exception> {
    let mut open: Vec<&str> = Vec::new();
    for (at, message) in messages.iter().enumerate() {
        let content = array(&message["content"]);
        let results: Vec<&str> = ids(content, "toolResult");
        let calls: Vec<&str> = ids(content, "toolUse");
        if !(results.is_empty() && calls.is_empty()) && conversation["toolConfig"].is_null() {
            return Err(Exception::validation(
                "The toolConfig field must be defined when using toolUse and toolResult content \
                 blocks.",
            ));
        }
        // A provider-run tool answers within the assistant's own message.
        if message["role"] == "assistant" {
            open = calls
                .into_iter()
                .filter(|id| !results.contains(id))
                .collect();
            let unique: BTreeSet<&str> = open.iter().copied().collect();
            if unique.len() < open.len() {
                // The words are ours.
                return Err(Exception::validation(format!(
                    "The toolUse blocks at messages.{at}.content contain duplicate Ids."
                )));
            }
            continue;
        }
        if results.len() > open.len() {
            return Err(Exception::validation(format!(
                "The number of toolResult blocks at messages.{at}.content exceeds the number of \
                 toolUse blocks of previous turn."
            )));
        }
        expect_results(&open, &results, at)?;
        if let Some(stranger) = results.iter().find(|id| !open.contains(id)) {
            return Err(Exception::validation(format!(
                "The toolResult at messages.{at}.content with Id {stranger} has no toolUse block \
                 in the previous turn."
            )));
        }
        open.clear();
    }
    expect_results(&open, &[], messages.len())
}

fn expect_results(open: &[&str], results: &[&str], at: usize) -> Result<(), Exception> {
    let missing: Vec<&str> = open
        .iter()
        .copied()
        .filter(|id| !results.contains(id))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(Exception::validation(format!(
        "Expected toolResult blocks at messages.{at}.content for the following Ids: {}",
        missing.join(", ")
    )))
}

fn ids<'a>(content: &'a [Value], kind: &str) -> Vec<&'a str> {
    let blocks = content.iter().filter_map(|block| block.get(kind));
    blocks
        .filter_map(|block| block["toolUseId"].as_str())
        .collect()
}

/// Tool names are unique, and a named choice is one of them; the words are ours.
fn check_tool_config(config: &Value) -> Result<(), Exception> {
    let mut names = BTreeSet::new();
    for tool in array(&config["tools"]) {
        let name = tool["toolSpec"]["name"]
            .as_str()
            .or_else(|| tool["systemTool"]["name"].as_str());
        let Some(name) = name else { continue };
        if !names.insert(name) {
            return Err(Exception::validation(format!(
                "The toolConfig field contains more than one tool with the name {name}. Tool \
                 names must be unique."
            )));
        }
    }
    if let Some(choice) = config["toolChoice"]["tool"]["name"].as_str()
        && !names.contains(choice)
    {
        return Err(Exception::validation(format!(
            "The tool {choice} of toolConfig.toolChoice is not in toolConfig.tools."
        )));
    }
    if !config["toolChoice"].is_null() && names.is_empty() {
        return Err(Exception::validation(
            "The toolChoice field needs at least one tool in toolConfig.tools.",
        ));
    }
    Ok(())
}
