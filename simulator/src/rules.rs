//! Refuses what Bedrock refuses, with its exceptions and words.
//!
//! Three layers, in the order in which Bedrock has them: types (`SerializationException`),
//! the service model's constraints (all that fail are told in one message), and the
//! meaning of the conversation (the first that fails is told). Members that the service
//! model does not know are ignored. Words that were seen carry their source; where only
//! the rule is documented, the words are ours and say so.

mod constraint;
mod conversation;
mod media;
mod model;
mod shape;

use serde_json::Value;

use self::constraint::Checker;
pub(crate) use self::model::is_local;
use crate::{
    exception::Exception,
    wire::{Operation, Request},
};

/// Judges a request whose body is JSON; `local` is the id of the local model, if there is one.
pub(crate) fn check(request: &Request, local: Option<&str>) -> Result<(), Exception> {
    let mut checker = Checker::default();
    model::check_form(&request.model_id, &mut checker);
    if !request.body.is_object() {
        return Err(not_json());
    }
    match request.operation {
        Operation::Converse | Operation::ConverseStream => {
            shape::check_converse(&request.body, &mut checker);
        }
        Operation::CountTokens => shape::check_count_tokens(&request.body, &mut checker),
    }
    checker.finish()?;
    model::check_known(&request.model_id, local)?;
    let asks_invoke_model = request.operation == Operation::CountTokens
        && !request.body["input"]["invokeModel"].is_null();
    if asks_invoke_model || uses_stored_prompt(request) {
        return Ok(());
    }
    conversation::check(request.conversation())?;
    media::check(request.conversation())
}

/// A stored prompt brings its own messages.
fn uses_stored_prompt(request: &Request) -> bool {
    request.model_id.contains(":prompt/") && request.body["messages"] == Value::Null
}

/// The words are ours.
pub(crate) fn not_json() -> Exception {
    Exception::new(
        "SerializationException",
        "The request body is not a JSON object.",
    )
}

#[cfg(test)]
mod tests;
