//! A request as a chat model sees it: who said what, and which calls brought which results.

use serde_json::Value;

use crate::{
    exception::Exception,
    wire::{Request, array},
};

/// A conversation in plain text.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Conversation {
    pub(super) system: String,
    pub(super) turns: Vec<Turn>,
}

/// One message, or the results in one.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Turn {
    User(String),
    Assistant { text: String, calls: Vec<Call> },
    Results(Vec<Outcome>),
}

/// A call that the model made.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Call {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) input: Value,
}

/// What became of a call.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Outcome {
    pub(super) name: String,
    pub(super) text: String,
    pub(super) has_failed: bool,
}

/// A declared tool.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Tool {
    pub(super) name: String,
    pub(super) description: String,
    pub(super) schema: Value,
}

impl Conversation {
    /// # Errors
    ///
    /// A `ValidationException` for content that is not text.
    pub(super) fn of(request: &Request) -> Result<Self, Exception> {
        let mut system = request.system_text();
        let mut turns: Vec<Turn> = Vec::new();
        for message in request.messages() {
            if message["role"] == "system" {
                system.push_str(&text_of(message)?);
                continue;
            }
            let outcomes = outcomes(message, &turns)?;
            let text = text_of(message)?;
            let calls: Vec<Call> = calls(message);
            if message["role"] == "assistant" {
                turns.push(Turn::Assistant { text, calls });
                continue;
            }
            if !outcomes.is_empty() {
                turns.push(Turn::Results(outcomes));
            }
            if !text.is_empty() {
                turns.push(Turn::User(text));
            }
        }
        Ok(Self { system, turns })
    }

    /// How many calls were made since the user last said something.
    pub(super) fn calls_of_round(&self) -> usize {
        let calls = self.round().iter().map(|turn| match turn {
            Turn::Assistant { calls, .. } => calls.len(),
            Turn::User(_) | Turn::Results(_) => 0,
        });
        calls.sum()
    }

    /// The conversation with the results of this round told by the user, as small models
    /// take them best: with the call before their eyes they make it again.
    pub(super) fn retold(&self) -> Self {
        let round = self.round();
        let mut told = String::new();
        for turn in round {
            let Turn::Results(outcomes) = turn else {
                continue;
            };
            for outcome in outcomes {
                let verb = if outcome.has_failed {
                    "failed with"
                } else {
                    "returned"
                };
                told.push_str(&format!("{} {verb} {}.\n", outcome.name, outcome.text));
            }
        }
        if told.is_empty() {
            return self.clone();
        }
        told.push_str("Use this to answer my question in one or two sentences.");
        let mut turns = self.turns[..self.turns.len() - round.len()].to_vec();
        match turns.last_mut() {
            Some(Turn::User(text)) => {
                text.push_str("\n\n");
                text.push_str(&told);
            }
            _ => turns.push(Turn::User(told)),
        }
        Self {
            system: self.system.clone(),
            turns,
        }
    }

    /// What came after the user last said something.
    fn round(&self) -> &[Turn] {
        let said = self
            .turns
            .iter()
            .rposition(|turn| matches!(turn, Turn::User(_)));
        self.turns.get(said.map_or(0, |at| at + 1)..).unwrap_or(&[])
    }
}

/// The tools that the request declares.
pub(super) fn tools(request: &Request) -> Vec<Tool> {
    let specs = array(&request.conversation()["toolConfig"]["tools"])
        .iter()
        .filter_map(|tool| tool.get("toolSpec"));
    let tools = specs.map(|spec| Tool {
        name: spec["name"].as_str().unwrap_or("").to_owned(),
        description: spec["description"].as_str().unwrap_or("").to_owned(),
        schema: spec["inputSchema"]["json"].clone(),
    });
    tools.collect()
}

fn text_of(message: &Value) -> Result<String, Exception> {
    let mut texts = Vec::new();
    for block in array(&message["content"]) {
        for (kind, value) in block.as_object().into_iter().flatten() {
            match kind.as_str() {
                "text" => texts.extend(value.as_str()),
                "toolUse" | "toolResult" | "cachePoint" | "reasoningContent" | "toolAddition"
                | "toolRemoval" => {}
                "guardContent" => texts.extend(value["text"]["text"].as_str()),
                "citationsContent" => {
                    let parts = array(&value["content"]).iter();
                    texts.extend(parts.filter_map(|part| part["text"].as_str()));
                }
                other => return Err(unsupported(other)),
            }
        }
    }
    Ok(texts.join("\n"))
}

fn calls(message: &Value) -> Vec<Call> {
    let blocks = array(&message["content"]).iter();
    let calls = blocks.filter_map(|block| block.get("toolUse"));
    let calls = calls.map(|call| Call {
        id: call["toolUseId"].as_str().unwrap_or("").to_owned(),
        name: call["name"].as_str().unwrap_or("").to_owned(),
        input: call["input"].clone(),
    });
    calls.collect()
}

fn outcomes(message: &Value, turns: &[Turn]) -> Result<Vec<Outcome>, Exception> {
    let name_of = |id: &Value| {
        let calls = turns.iter().flat_map(|turn| match turn {
            Turn::Assistant { calls, .. } => calls.as_slice(),
            Turn::User(_) | Turn::Results(_) => &[],
        });
        let mut calls = calls.filter(|call| id == call.id.as_str());
        calls
            .next()
            .map_or_else(|| "the tool".to_owned(), |call| call.name.clone())
    };
    let mut outcomes = Vec::new();
    let blocks = array(&message["content"]).iter();
    for result in blocks.filter_map(|block| block.get("toolResult")) {
        let mut texts = Vec::new();
        for part in array(&result["content"]) {
            for (kind, value) in part.as_object().into_iter().flatten() {
                match kind.as_str() {
                    "text" => texts.push(value.as_str().unwrap_or("").to_owned()),
                    "json" => texts.push(value.to_string()),
                    other => return Err(unsupported(other)),
                }
            }
        }
        outcomes.push(Outcome {
            name: name_of(&result["toolUseId"]),
            text: texts.join("\n"),
            has_failed: result["status"] == "error",
        });
    }
    Ok(outcomes)
}

/// The form of the words is Bedrock's, as in langchain-ai/langchain-aws#303.
fn unsupported(kind: &str) -> Exception {
    Exception::validation(format!(
        "This model doesn't support the {kind} field. Remove {kind} and try again."
    ))
}
