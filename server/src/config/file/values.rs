//! Single values of the agents file, each of which can only be a good one.
//!
//! They are read by type, so that whoever wrote a bad one is told its line.

use std::str::FromStr;

use serde::Deserialize;
use taiwa_core::{
    agent::SystemOverride,
    message::CacheTtl,
    options::{GuardrailStreamMode, GuardrailTrace, LatencyMode, ServiceTier},
};

// Bounds of Bedrock's own:
// <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html>,
// <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_GuardrailConfiguration.html>.
const MAX_MODEL_ID_CHARS: usize = 2048;
const MAX_GUARDRAIL_ID_CHARS: usize = 2048;
const MAX_EFFORT_CHARS: usize = 16;
const MAX_TOOL_NAME_CHARS: usize = 64;

/// Longest id of an agent, in characters; a guess at what fits a label and a log line.
const MAX_AGENT_ID_CHARS: usize = 64;

/// Why a value is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Fault(&'static str);

/// A type that holds a text of a certain form.
macro_rules! text {
    ($(#[$doc:meta])* $name:ident, $fits:expr, $fault:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
        #[serde(try_from = "String")]
        pub struct $name(String);

        impl TryFrom<String> for $name {
            type Error = Fault;

            fn try_from(text: String) -> Result<Self, Fault> {
                let fits: fn(&str) -> bool = $fits;
                if fits(&text) { Ok(Self(text)) } else { Err(Fault($fault)) }
            }
        }

        impl From<$name> for String {
            fn from(text: $name) -> Self {
                text.0
            }
        }
    };
}

text!(
    /// A model, inference profile, prompt or router id or ARN.
    ModelId,
    |text| is_solid(text, MAX_MODEL_ID_CHARS),
    "must be 1 to 2048 printable characters without spaces"
);
text!(
    /// An agent's id.
    AgentId,
    |text| is_name(text, MAX_AGENT_ID_CHARS),
    "must be 1 to 64 letters, digits, underscores or hyphens"
);
text!(
    /// A tool's name.
    ToolName,
    |text| is_name(text, MAX_TOOL_NAME_CHARS),
    "must be 1 to 64 letters, digits, underscores or hyphens"
);
text!(
    /// A system prompt.
    Prompt,
    |text| !text.trim().is_empty(),
    "must not be blank"
);
text!(
    /// A text that stops generation.
    StopSequence,
    |text| !text.is_empty(),
    "must not be empty"
);
text!(
    /// A name of a reasoning effort.
    Effort,
    |text| !text.trim().is_empty() && text.chars().count() <= MAX_EFFORT_CHARS,
    "must be 1 to 16 characters"
);
text!(
    /// A guardrail's id or ARN.
    GuardrailId,
    |text| is_solid(text, MAX_GUARDRAIL_ID_CHARS),
    "must be 1 to 2048 printable characters without spaces"
);
text!(
    /// A guardrail's version.
    GuardrailVersion,
    |text| {
        let is_number = (1..=8).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_digit())
            && !text.starts_with('0');
        text == "DRAFT" || is_number
    },
    "must be \"DRAFT\" or a number of at most eight digits"
);

impl ModelId {
    /// The id.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ModelId {
    type Err = Fault;

    fn from_str(text: &str) -> Result<Self, Fault> {
        text.to_owned().try_into()
    }
}

impl AgentId {
    /// The id.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl Prompt {
    /// Its size in bytes.
    pub(super) fn size_bytes(&self) -> usize {
        self.0.len()
    }
}

/// A share, 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(try_from = "f64")]
pub(super) struct Share(f32);

impl TryFrom<f64> for Share {
    type Error = Fault;

    fn try_from(value: f64) -> Result<Self, Fault> {
        if (0.0..=1.0).contains(&value) {
            Ok(Self(value as f32))
        } else {
            Err(Fault("must be between 0 and 1"))
        }
    }
}

impl From<Share> for f32 {
    fn from(share: Share) -> Self {
        share.0
    }
}

/// A type of the core that is written as one of a few words.
macro_rules! word {
    ($(#[$doc:meta])* $name:ident => $target:ty { $($variant:ident = $word:literal => $value:expr),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
        pub(super) enum $name {
            $(#[serde(rename = $word)] $variant),+
        }

        impl From<$name> for $target {
            fn from(word: $name) -> Self {
                match word {
                    $($name::$variant => $value),+
                }
            }
        }
    };
}

word!(
    /// What becomes of a caller's system prompt.
    SystemWord => SystemOverride {
        Refuse = "refuse" => SystemOverride::Refuse,
        Prepend = "prepend" => SystemOverride::Prepend,
        Replace = "replace" => SystemOverride::Replace,
    }
);
word!(
    /// How much of a guardrail's findings to return.
    TraceWord => GuardrailTrace {
        Disabled = "disabled" => GuardrailTrace::Disabled,
        Enabled = "enabled" => GuardrailTrace::Enabled,
        Full = "full" => GuardrailTrace::Full,
    }
);
word!(
    /// Whether output waits for the guardrail.
    StreamModeWord => GuardrailStreamMode {
        Sync = "sync" => GuardrailStreamMode::Sync,
        Async = "async" => GuardrailStreamMode::Async,
    }
);
word!(
    /// A service tier.
    TierWord => ServiceTier {
        Default = "default" => ServiceTier::Default,
        Priority = "priority" => ServiceTier::Priority,
        Flex = "flex" => ServiceTier::Flex,
        Reserved = "reserved" => ServiceTier::Reserved,
    }
);
word!(
    /// A latency mode.
    LatencyWord => LatencyMode {
        Standard = "standard" => LatencyMode::Standard,
        Optimized = "optimized" => LatencyMode::Optimized,
    }
);
word!(
    /// Lifetime of a prompt cache.
    TtlWord => CacheTtl {
        FiveMinutes = "5m" => CacheTtl::FiveMinutes,
        OneHour = "1h" => CacheTtl::OneHour,
    }
);

fn is_solid(text: &str, max_chars: usize) -> bool {
    (1..=max_chars).contains(&text.chars().count())
        && !text
            .chars()
            .any(|one| one.is_control() || one.is_whitespace())
}

fn is_name(text: &str, max_chars: usize) -> bool {
    (1..=max_chars).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
}
