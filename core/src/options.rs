//! Settings of a turn, and how settings of turn, session and agent fall back on each other.

use std::{
    collections::BTreeMap,
    num::{NonZeroU32, NonZeroU64},
    sync::Arc,
    time::Duration,
};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    message::{CachePoint, CacheTtl, GuardContent},
    tool::{ApprovalMode, Schema, ToolChoice, ToolSpec},
};

/// Settings of a turn; what is unset falls back to the session, then the agent, then the model.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TurnOptions {
    /// Model, inference profile, prompt or router id or ARN.
    pub model_id: Option<String>,
    /// System prompt as plain text.
    pub system: Option<String>,
    /// Further system blocks.
    pub system_content: Vec<SystemBlock>,
    /// Most tokens to generate in one model call.
    pub max_tokens: Option<NonZeroU32>,
    /// Randomness, 0 to 1.
    pub temperature: Option<f32>,
    /// Nucleus sampling share, 0 to 1.
    pub top_p: Option<f32>,
    /// Texts that stop generation.
    pub stop_sequences: Vec<String>,
    /// Reasoning settings.
    pub reasoning: Option<ReasoningOptions>,
    /// Form wanted for the reply.
    pub output: Option<OutputFormat>,
    /// Tools that the client runs itself.
    pub client_tools: Vec<Arc<ToolSpec>>,
    /// Names of the agent's own tools to offer; empty means all.
    pub allowed_tools: Vec<String>,
    /// Tools run by the model provider, by name.
    pub provider_tools: Vec<String>,
    /// How the model may choose among tools.
    pub tool_choice: Option<ToolChoice>,
    /// When a person must consent to tool calls, beyond what the tools themselves want.
    pub approval: Option<ApprovalMode>,
    /// Guardrail to apply.
    pub guardrail: Option<GuardrailOptions>,
    /// Most model calls in the turn.
    pub max_steps: Option<NonZeroU32>,
    /// Longest time for the turn.
    pub timeout: Option<Duration>,
    /// Most tokens, input and output, for the whole turn.
    pub max_total_tokens: Option<NonZeroU64>,
    /// Most cost of the whole turn, in picodollars.
    pub max_cost: Option<NonZeroU64>,
    /// Service tier asked for.
    pub service_tier: Option<ServiceTier>,
    /// Latency mode asked for.
    pub latency: Option<LatencyMode>,
    /// Values for the variables of a managed prompt.
    pub prompt_variables: BTreeMap<String, String>,
    /// Model-specific request fields: a JSON object.
    pub additional_model_fields: Option<Value>,
    /// JSON pointers of model-specific response fields to return.
    pub additional_response_paths: Vec<String>,
    /// Labels for the provider's invocation logs.
    pub request_metadata: BTreeMap<String, String>,
    /// Automatic prompt caching.
    pub cache: Option<CacheOptions>,
    /// Returns the turn's tool calls and results in the result.
    pub include_steps: bool,
}

impl TurnOptions {
    /// Lays these settings over `base`: what is set here wins, what is not falls back.
    ///
    /// Lists and maps are replaced as a whole.
    #[must_use]
    pub fn over(self, base: &Self) -> Self {
        Self {
            model_id: self.model_id.or_else(|| base.model_id.clone()),
            system: self.system.or_else(|| base.system.clone()),
            system_content: or_base(self.system_content, &base.system_content),
            max_tokens: self.max_tokens.or(base.max_tokens),
            temperature: self.temperature.or(base.temperature),
            top_p: self.top_p.or(base.top_p),
            stop_sequences: or_base(self.stop_sequences, &base.stop_sequences),
            reasoning: self.reasoning.or_else(|| base.reasoning.clone()),
            output: self.output.or_else(|| base.output.clone()),
            client_tools: or_base(self.client_tools, &base.client_tools),
            allowed_tools: or_base(self.allowed_tools, &base.allowed_tools),
            provider_tools: or_base(self.provider_tools, &base.provider_tools),
            tool_choice: self.tool_choice.or_else(|| base.tool_choice.clone()),
            approval: self.approval.or(base.approval),
            guardrail: match (self.guardrail, &base.guardrail) {
                (Some(own), Some(base)) => Some(own.over(base)),
                (own, base) => own.or_else(|| base.clone()),
            },
            max_steps: self.max_steps.or(base.max_steps),
            timeout: self.timeout.or(base.timeout),
            max_total_tokens: self.max_total_tokens.or(base.max_total_tokens),
            max_cost: self.max_cost.or(base.max_cost),
            service_tier: self.service_tier.or(base.service_tier),
            latency: self.latency.or(base.latency),
            prompt_variables: or_base_map(self.prompt_variables, &base.prompt_variables),
            additional_model_fields: self
                .additional_model_fields
                .or_else(|| base.additional_model_fields.clone()),
            additional_response_paths: or_base(
                self.additional_response_paths,
                &base.additional_response_paths,
            ),
            request_metadata: or_base_map(self.request_metadata, &base.request_metadata),
            cache: self.cache.or(base.cache),
            include_steps: self.include_steps || base.include_steps,
        }
    }

    /// Holds the limits of the turn (steps, time, tokens, cost) within those of `bounds`, and asks
    /// for consent to each call where `bounds` does.
    pub fn tighten(&mut self, bounds: &Self) {
        self.max_steps = tighter(self.max_steps, bounds.max_steps);
        self.timeout = tighter(self.timeout, bounds.timeout);
        self.max_total_tokens = tighter(self.max_total_tokens, bounds.max_total_tokens);
        self.max_cost = tighter(self.max_cost, bounds.max_cost);
        if bounds.approval == Some(ApprovalMode::Always) {
            self.approval = bounds.approval;
        }
    }

    /// False where the caller wants no tools offered.
    pub fn offers_tools(&self) -> bool {
        self.tool_choice != Some(ToolChoice::Disabled)
    }

    /// Finds a client tool by name.
    pub fn client_tool(&self, name: &str) -> Option<&Arc<ToolSpec>> {
        self.client_tools.iter().find(|tool| tool.name == name)
    }
}

fn or_base<T: Clone>(own: Vec<T>, base: &[T]) -> Vec<T> {
    if own.is_empty() { base.to_vec() } else { own }
}

fn or_base_map(
    own: BTreeMap<String, String>,
    base: &BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    if own.is_empty() { base.clone() } else { own }
}

/// The smaller of two limits, where an absent one does not limit.
fn tighter<T: Ord>(own: Option<T>, base: Option<T>) -> Option<T> {
    match (own, base) {
        (Some(own), Some(base)) => Some(own.min(base)),
        (own, base) => own.or(base),
    }
}

/// One block of a system prompt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SystemBlock {
    /// Text.
    Text(String),
    /// Content for the guardrail.
    GuardContent(GuardContent),
    /// A point up to which the prompt is cached.
    CachePoint(CachePoint),
}

/// Reasoning settings.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReasoningOptions {
    /// Effort by name.
    pub effort: Option<String>,
    /// Most reasoning tokens, for models that take a budget.
    pub budget_tokens: Option<NonZeroU32>,
}

/// Form wanted for the reply.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OutputFormat {
    /// Name of the schema; may be empty.
    pub name: String,
    /// What the output is for; may be empty.
    pub description: String,
    /// The JSON Schema.
    #[serde(rename = "schema_json")]
    pub schema: Schema,
}

/// Automatic prompt caching.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheOptions {
    /// Caches the system prompt.
    pub system: bool,
    /// Caches the tool definitions.
    pub tools: bool,
    /// Caches the history up to the last message.
    pub messages: bool,
    /// Lifetime; `None` means the provider's default.
    pub ttl: Option<CacheTtl>,
}

/// Guardrail to apply.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuardrailOptions {
    /// Guardrail id or ARN; empty means the agent's.
    pub guardrail_id: String,
    /// Version number or `DRAFT`; may be empty.
    pub version: String,
    /// How much of its findings to return.
    pub trace: Option<GuardrailTrace>,
    /// Whether output waits for the check.
    pub stream_mode: Option<GuardrailStreamMode>,
}

impl GuardrailOptions {
    fn over(self, base: &Self) -> Self {
        // A version belongs to its guardrail: one without the other would name a stranger's.
        let names_another = !self.guardrail_id.is_empty() && self.guardrail_id != base.guardrail_id;
        let (guardrail_id, version) = if names_another {
            (self.guardrail_id, self.version)
        } else if self.version.is_empty() {
            (base.guardrail_id.clone(), base.version.clone())
        } else {
            (base.guardrail_id.clone(), self.version)
        };
        Self {
            guardrail_id,
            version,
            trace: self.trace.or(base.trace),
            stream_mode: self.stream_mode.or(base.stream_mode),
        }
    }
}

/// How much of a guardrail's findings to return.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum GuardrailTrace {
    /// Only whether it intervened.
    Disabled,
    /// What it found.
    Enabled,
    /// Also what it looked for and did not find.
    Full,
}

/// Whether streamed output waits for the guardrail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum GuardrailStreamMode {
    /// Each piece is checked before it is sent.
    Sync,
    /// Pieces are sent at once and checked behind them.
    Async,
}

/// Service tiers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ServiceTier {
    /// `default`.
    Default,
    /// `priority`.
    Priority,
    /// `flex`.
    Flex,
    /// `reserved`.
    Reserved,
}

impl ServiceTier {
    /// Every tier.
    pub const ALL: [Self; 4] = [Self::Default, Self::Priority, Self::Flex, Self::Reserved];

    /// The provider's word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Priority => "priority",
            Self::Flex => "flex",
            Self::Reserved => "reserved",
        }
    }

    /// Reads the provider's word.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|tier| tier.as_str() == text)
    }
}

/// Latency modes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LatencyMode {
    /// `standard`.
    Standard,
    /// `optimized`.
    Optimized,
}

impl LatencyMode {
    /// Every mode.
    pub const ALL: [Self; 2] = [Self::Standard, Self::Optimized];

    /// The provider's word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::Optimized => "optimized",
        }
    }

    /// Reads the provider's word.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| mode.as_str() == text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_of_a_form_is_its_schema_as_text() {
        let kept = r#"{"name":"n","description":"","schema_json":"{ \"type\":\"object\" }"}"#;
        let format: OutputFormat = serde_json::from_str(kept).unwrap();
        assert_eq!(format.schema.as_str(), r#"{ "type":"object" }"#);
        assert_eq!(serde_json::to_string(&format).unwrap(), kept);
    }
}
