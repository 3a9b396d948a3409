//! Bedrock's exceptions: their names, statuses and forms on the wire.

use std::borrow::Cow;

use bytes::Bytes;
use serde_json::{Map, Value};

/// The exceptions that Bedrock Runtime declares, with their HTTP status.
///
/// From the service model `bedrock-runtime/2023-09-30`; the last six are what the
/// AWS front end answers before the service sees the request.
const STATUSES: [(&str, u16); 18] = [
    ("AccessDeniedException", 403),
    ("ConflictException", 400),
    ("InternalServerException", 500),
    ("ModelErrorException", 424),
    ("ModelNotReadyException", 429),
    ("ModelStreamErrorException", 424),
    ("ModelTimeoutException", 408),
    ("ResourceNotFoundException", 404),
    ("ServiceQuotaExceededException", 400),
    ("ServiceUnavailableException", 503),
    ("ThrottlingException", 429),
    ("ValidationException", 400),
    ("IncompleteSignatureException", 403),
    ("InvalidSignatureException", 403),
    ("MissingAuthenticationTokenException", 403),
    ("RequestEntityTooLargeException", 413),
    ("SerializationException", 400),
    ("UnknownOperationException", 404),
];

/// An error answer, before the stream or within it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Exception {
    pub(crate) name: Cow<'static, str>,
    pub(crate) status: u16,
    pub(crate) message: String,
    /// Members beside the message: `originalStatusCode`, `resourceName`, `originalMessage`.
    pub(crate) members: Vec<(&'static str, Value)>,
}

impl Exception {
    /// The status that Bedrock gives the exception of this name, if it has one of this name.
    pub(crate) fn status_of(name: &str) -> Option<u16> {
        let (_, status) = STATUSES.iter().find(|(known, _)| *known == name)?;
        Some(*status)
    }

    pub(crate) fn new(name: &'static str, message: impl Into<String>) -> Self {
        let status = Self::status_of(name).unwrap_or(500);
        Self {
            name: Cow::Borrowed(name),
            status,
            message: message.into(),
            members: Vec::new(),
        }
    }

    pub(crate) fn validation(message: impl Into<String>) -> Self {
        Self::new("ValidationException", message)
    }

    /// The name as the event stream spells it: `throttlingException`.
    pub(crate) fn event_name(&self) -> String {
        let mut chars = self.name.chars();
        chars.next().map_or_else(String::new, |first| {
            first.to_lowercase().chain(chars).collect()
        })
    }

    /// The JSON body, the same before the stream and within it.
    pub(crate) fn body(&self) -> Bytes {
        let mut body = Map::new();
        body.insert("message".to_owned(), Value::String(self.message.clone()));
        for (name, value) in &self.members {
            body.insert((*name).to_owned(), value.clone());
        }
        Bytes::from(Value::Object(body).to_string())
    }
}
