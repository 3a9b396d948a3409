//! JSON that is sent as it was written.
//!
//! The SDK keeps JSON in documents, whose objects are hash maps and whose numbers have 64 bits:
//! keys would come out in another order in every request, and large integers rounded. Models read
//! a schema in order, and the provider's prompt cache knows a prompt by its text, so both cost.
//! Each text is therefore held back, a mark that nobody can guess is sent in its place, and the
//! mark is replaced in the finished body, before it is signed.

use std::fmt;

use aws_sdk_bedrockruntime::{
    config::{
        ConfigBag, Intercept, RuntimeComponents, interceptors::BeforeTransmitInterceptorContextMut,
    },
    error::BoxError,
};
use aws_smithy_types::{Document, body::SdkBody};
use serde_json::value::RawValue;
use uuid::Uuid;

/// The JSON texts of one request.
#[derive(Default)]
pub(super) struct Verbatim {
    /// What marks begin with; random, so that no text of a caller can be taken for one.
    prefix: String,
    texts: Vec<String>,
}

impl Verbatim {
    /// Holds a text when it is a JSON object, and gives what stands for it.
    pub(super) fn object(&mut self, text: &str) -> Option<Document> {
        let json: &RawValue = serde_json::from_str(text).ok()?;
        json.get()
            .starts_with('{')
            .then(|| self.hold(json.get().to_owned()))
    }

    /// Holds a text that is JSON.
    pub(super) fn hold(&mut self, json: String) -> Document {
        if self.prefix.is_empty() {
            self.prefix = format!("verbatim-{}-", Uuid::new_v4().simple());
        }
        let mark = format!("{}{}", self.prefix, self.texts.len());
        self.texts.push(json);
        Document::String(mark)
    }

    /// Puts the texts in the place of their marks; `None` when there are none.
    fn replace(&self, body: &str) -> Option<String> {
        if self.texts.is_empty() {
            return None;
        }
        let room = self.texts.iter().map(String::len).sum::<usize>();
        let mut replaced = String::with_capacity(body.len() + room);
        let opening = format!("\"{}", self.prefix);
        let mut rest = body;
        while let Some((before, after)) = rest.split_once(&opening) {
            let (number, after) = after.split_once('"')?;
            replaced.push_str(before);
            replaced.push_str(self.texts.get(number.parse::<usize>().ok()?)?);
            rest = after;
        }
        replaced.push_str(rest);
        Some(replaced)
    }
}

impl fmt::Debug for Verbatim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verbatim")
            .field("texts", &self.texts.len())
            .finish_non_exhaustive()
    }
}

impl Intercept for Verbatim {
    fn name(&self) -> &'static str {
        "Verbatim"
    }

    fn modify_before_retry_loop(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let request = context.request_mut();
        let body = request.body().bytes().ok_or("the body is not in memory")?;
        if let Some(body) = self.replace(std::str::from_utf8(body)?) {
            request
                .headers_mut()
                .insert("content-length", body.len().to_string());
            *request.body_mut() = SdkBody::from(body);
        }
        Ok(())
    }
}
