//! Refuses what Bedrock refuses, with its exceptions and words.

use crate::{exception::Exception, wire::Request};

pub(crate) fn check(request: &Request) -> Result<(), Exception> {
    let messages = request.messages();
    if messages.is_empty() {
        return Err(Exception::validation(
            "A conversation must start with a user message. Try again with a conversation that starts with a user message.",
        ));
    }
    Ok(())
}

pub(crate) fn not_json() -> Exception {
    Exception::new(
        "SerializationException",
        "The request body is not valid JSON.",
    )
}
