//! The `fault` table of a scenario.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::json;

use super::{
    Error,
    value::{Delay, bad, one_of},
};
use crate::{
    event_stream::Checksum,
    exception::Exception,
    fault::{Cut, Fault, Faults, Place},
};

/// Longest name of an exception: the frame header gives it 16 bits, nobody needs more.
const MAX_NAME: usize = 256;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FaultTable {
    exception: Option<ExceptionTable>,
    cut: Option<CutTable>,
    silence: Option<SilenceTable>,
    bad_checksum: Option<ChecksumTable>,
    bytes_per_write: Option<usize>,
    #[serde(default)]
    omit_message_stop: bool,
    #[serde(default)]
    omit_metadata: bool,
    #[serde(default)]
    end_after_headers: bool,
    trailing_delay: Option<Delay>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ExceptionTable {
    #[serde(rename = "type")]
    name: String,
    message: Option<String>,
    after_chunk: Option<u64>,
    status: Option<u16>,
    original_status_code: Option<u16>,
    original_message: Option<String>,
    resource_name: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CutTable {
    #[serde(default)]
    how: CutName,
    after_chunk: Option<u64>,
    at: Option<PlaceName>,
    #[serde(default)]
    mid_frame: bool,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum CutName {
    #[default]
    Reset,
    Close,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SilenceTable {
    after_chunk: Option<u64>,
    at: Option<PlaceName>,
    #[serde(rename = "for")]
    duration: Option<Delay>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum PlaceName {
    BeforeHeaders,
    AfterHeaders,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ChecksumTable {
    frame: u64,
    #[serde(rename = "in", default = "message_name")]
    part: String,
}

fn message_name() -> String {
    "message".to_owned()
}

impl FaultTable {
    pub(super) fn into_faults(self, field: &str) -> Result<Faults, Error> {
        let mut placed = Vec::new();
        if let Some(exception) = self.exception {
            placed.push(exception.into_fault(&format!("{field}.exception"))?);
        }
        if let Some(cut) = self.cut {
            placed.push(cut.into_fault(&format!("{field}.cut"))?);
        }
        if let Some(silence) = self.silence {
            placed.push(silence.into_fault(&format!("{field}.silence"))?);
        }
        if placed.len() > 1 {
            return Err(bad(field, "needs at most one of exception, cut, silence"));
        }
        if self.bytes_per_write == Some(0) {
            return Err(bad(
                &format!("{field}.bytes_per_write"),
                "must be at least 1",
            ));
        }
        Ok(Faults {
            at: placed.pop(),
            bad_checksum: self
                .bad_checksum
                .map(|checksum| checksum.into_checksum(&format!("{field}.bad_checksum")))
                .transpose()?,
            bytes_per_write: self.bytes_per_write,
            omit_message_stop: self.omit_message_stop,
            omit_metadata: self.omit_metadata,
            end_after_headers: self.end_after_headers,
            trailing_delay: self.trailing_delay.map(|Delay(delay)| delay),
        })
    }
}

impl ExceptionTable {
    fn into_fault(self, field: &str) -> Result<(Place, Fault), Error> {
        let status = self
            .status
            .or_else(|| Exception::status_of(&self.name))
            .ok_or_else(|| {
                let problem = format!(
                    "{:?} is no exception of Bedrock; give its status",
                    self.name
                );
                bad(&format!("{field}.type"), problem)
            })?;
        if !(400..=599).contains(&status) {
            return Err(bad(
                &format!("{field}.status"),
                "must be between 400 and 599",
            ));
        }
        let plain = self.name.bytes().all(|it| it.is_ascii_alphanumeric());
        if self.name.is_empty() || self.name.len() > MAX_NAME || !plain {
            return Err(bad(
                &format!("{field}.type"),
                "must be 1 to 256 letters and digits",
            ));
        }
        let mut members = Vec::new();
        if let Some(status) = self.original_status_code {
            members.push(("originalStatusCode", json!(status)));
        }
        if let Some(message) = self.original_message {
            members.push(("originalMessage", json!(message)));
        }
        if let Some(name) = self.resource_name {
            members.push(("resourceName", json!(name)));
        }
        let message = self
            .message
            .unwrap_or_else(|| default_message(&self.name).to_owned());
        let exception = Exception {
            name: Cow::Owned(self.name),
            status,
            message,
            members,
        };
        let place = self
            .after_chunk
            .map_or(Place::BeforeHeaders, Place::AfterChunk);
        Ok((place, Fault::Exception(exception)))
    }
}

/// Words that Bedrock itself uses, where they are known.
///
/// Throttling: i-dot-ai/caddy-chatbot#97, 2FastLabs/agent-squad#47; unavailable:
/// aws-samples/foundation-model-benchmarking-tool#247; internal error:
/// hydro-project/infinity#124. The others are our own words.
fn default_message(name: &str) -> &'static str {
    match name {
        "AccessDeniedException" => {
            "You don't have access to the model with the specified model ID."
        }
        "ThrottlingException" => {
            "Too many requests, please wait before trying again. You have sent too many requests. \
             Wait before trying again."
        }
        "ServiceUnavailableException" => "Bedrock is unable to process your request.",
        "InternalServerException" => {
            "The system encountered an unexpected error during processing. Try your request again."
        }
        "ModelTimeoutException" => "The request took too long to process.",
        "ModelNotReadyException" => "Model is not ready for inference.",
        "ResourceNotFoundException" => {
            "Could not resolve the foundation model from the provided model identifier."
        }
        _ => "Made to fail by the scenario.",
    }
}

impl CutTable {
    fn into_fault(self, field: &str) -> Result<(Place, Fault), Error> {
        let place = place(field, self.at, self.after_chunk)?;
        if self.mid_frame && !matches!(place, Place::AfterChunk(_)) {
            return Err(bad(&format!("{field}.mid_frame"), "needs after_chunk"));
        }
        let how = match self.how {
            CutName::Reset => Cut::Reset,
            CutName::Close => Cut::Close,
        };
        Ok((
            place,
            Fault::Cut {
                how,
                mid_frame: self.mid_frame,
            },
        ))
    }
}

impl SilenceTable {
    fn into_fault(self, field: &str) -> Result<(Place, Fault), Error> {
        let place = place(field, self.at, self.after_chunk)?;
        Ok((
            place,
            Fault::Silence(self.duration.map(|Delay(duration)| duration)),
        ))
    }
}

fn place(field: &str, at: Option<PlaceName>, after_chunk: Option<u64>) -> Result<Place, Error> {
    match (at, after_chunk) {
        (Some(PlaceName::BeforeHeaders), None) => Ok(Place::BeforeHeaders),
        (Some(PlaceName::AfterHeaders), None) => Ok(Place::AfterHeaders),
        (None, Some(chunk)) => Ok(Place::AfterChunk(chunk)),
        _ => Err(bad(field, "needs exactly one of at, after_chunk")),
    }
}

impl ChecksumTable {
    fn into_checksum(self, field: &str) -> Result<(u64, Checksum), Error> {
        if self.frame == 0 {
            return Err(bad(&format!("{field}.frame"), "counts from 1"));
        }
        let part = one_of(&format!("{field}.in"), self.part, &["message", "prelude"])?;
        let checksum = if part == "prelude" {
            Checksum::Prelude
        } else {
            Checksum::Message
        };
        Ok((self.frame, checksum))
    }
}
