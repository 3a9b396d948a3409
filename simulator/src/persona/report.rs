//! What the persona says about the results of its calls.

use serde_json::Value;

use super::{
    habit::NO_SUCH_TOOL,
    round::{Called, Round},
};
use crate::wire::array;

pub(super) fn report(round: &Round<'_>) -> String {
    let results: Vec<&Value> = round.results().collect();
    let failed = round.calls.iter().enumerate().filter(|(at, call)| {
        call.has_failed() && !is_made_good(call, round.calls.get(at + 1..).unwrap_or(&[]))
    });
    let failed: Vec<String> = failed
        .filter_map(|(_, call)| call.result)
        .map(content)
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

/// Whether a later call brought what a failed one should have; then the failure is not worth a word.
fn is_made_good(failed: &Called<'_>, later: &[Called<'_>]) -> bool {
    later.iter().any(|call| {
        let same = call.name == failed.name || failed.name == NO_SUCH_TOOL;
        same && call.result.is_some() && !call.has_failed()
    })
}

/// What a result says, in words.
pub(super) fn content(result: &Value) -> String {
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
