//! Whether a call can run: its tool is there, and its input is JSON that fits the schema.

use std::sync::Arc;

use serde_json::Value;

use super::Turn;
use crate::{
    model::offering,
    tool::{Approval, ApprovalMode, Executor, ToolCall, ToolSpec},
};

/// A call that can run.
#[derive(Debug)]
pub(super) struct Checked {
    pub(super) executor: Executor,
    pub(super) spec: Arc<ToolSpec>,
    /// A person is to be asked first.
    pub(super) asks: bool,
}

impl Turn {
    /// Checks that a call can run.
    ///
    /// # Errors
    ///
    /// Words that the model can act on.
    pub(super) fn check(&self, call: &ToolCall) -> Result<Checked, String> {
        let (executor, spec) = self.find_tool(&call.name).ok_or_else(|| {
            let known = offering::runnable(&self.options, &self.tools);
            let known: Vec<&str> = known.map(|tool| &*tool.name).collect();
            match &*known.join(", ") {
                "" => format!("there is no tool {:?}", call.name),
                known => format!("there is no tool {:?}; the tools are: {known}", call.name),
            }
        })?;
        let input = check_input(&call.input_json, &spec)?;
        let own = spec
            .approval
            .as_ref()
            .is_some_and(|approval| approval.is_needed(&input));
        // The agent's own rule is the operator's; a caller's tool says what its caller wants.
        let wanted = self.options.approval == Some(ApprovalMode::Always)
            && (executor == Executor::Server || spec.approval.is_none());
        Ok(Checked {
            executor,
            spec,
            asks: own || wanted,
        })
    }

    /// The tool of this name, and who runs it; the agent's own come first.
    ///
    /// None where the caller wants none offered: what a model calls all the same must not run.
    pub(super) fn find_tool(&self, name: &str) -> Option<(Executor, Arc<ToolSpec>)> {
        if !self.options.offers_tools() {
            return None;
        }
        let of_server = self.tools.find(name).map(|tool| &tool.spec);
        let of_server = of_server.map(|spec| (Executor::Server, Arc::clone(spec)));
        of_server.or_else(|| {
            let spec = self.options.client_tool(name)?;
            Some((Executor::Client, Arc::clone(spec)))
        })
    }
}

/// Reads an input and checks it against its tool's schema.
///
/// # Errors
///
/// Words that the model, or the person who edited the input, can act on.
pub(super) fn check_input(input_json: &str, spec: &ToolSpec) -> Result<Value, String> {
    let input: Value = serde_json::from_str(input_json)
        .map_err(|error| format!("the input is not valid JSON: {error}; the tool did not run"))?;
    if !input.is_object() {
        return Err("the input is not a JSON object; the tool did not run".to_owned());
    }
    spec.schema.check(&input).map_err(|faults| {
        let faults = shortened(faults);
        format!("the input does not fit the schema: {faults}; the tool did not run")
    })?;
    Ok(input)
}

/// Keeps a text that quotes the model's input from growing with it.
pub(in crate::turn) fn shortened(mut text: String) -> String {
    const MOST_BYTES: usize = 1_000;
    if text.len() > MOST_BYTES {
        text.truncate(text.floor_char_boundary(MOST_BYTES));
        text.push('…');
    }
    text
}

/// Tells why consent is asked, for people to read.
pub(super) fn reason(spec: &ToolSpec) -> &'static str {
    match spec.approval {
        Some(Approval::Always) => "the tool needs consent for each call",
        Some(Approval::When(_)) => "the tool needs consent for a call with such an input",
        Some(Approval::Never) | None => "the caller wants each call to be consented to",
    }
}
