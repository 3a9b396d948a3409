//! What guardrails found.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

/// What a guardrail did with one piece of input or output.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GuardrailOutcome {
    /// What was looked at.
    pub subject: GuardrailSubject,
    /// True when it blocked or changed something.
    pub intervened: bool,
    /// Its reason, for people to read; may be empty.
    pub action_reason: String,
    /// Guardrail id; may be empty.
    pub guardrail_id: String,
    /// Guardrail version; may be empty.
    pub version: String,
    /// Single findings.
    pub findings: Vec<GuardrailFinding>,
    /// Time it took.
    pub latency: Option<Duration>,
    /// Text units charged, by policy.
    pub usage_units: BTreeMap<String, i32>,
    /// The provider's whole assessment as JSON; empty when no trace was asked for.
    pub assessment_json: String,
}

/// What a guardrail looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum GuardrailSubject {
    /// The user's input.
    Input,
    /// The model's output.
    Output,
}

/// One finding of a guardrail.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GuardrailFinding {
    /// Policy that made it.
    pub policy: GuardrailPolicy,
    /// What was found.
    pub name: String,
    /// Action taken, in the provider's word.
    pub action: String,
    /// The text that matched; may be empty.
    pub matched: String,
    /// Confidence by name; may be empty.
    pub confidence: String,
    /// Score, for grounding and relevance.
    pub score: Option<f64>,
    /// Threshold the score was held against.
    pub threshold: Option<f64>,
    /// False for things looked for and not found.
    pub detected: bool,
}

/// Policies of a guardrail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum GuardrailPolicy {
    /// Denied topics.
    Topic,
    /// Content filters.
    Content,
    /// Word lists.
    Word,
    /// Personal data and patterns.
    SensitiveInformation,
    /// Grounding and relevance.
    ContextualGrounding,
    /// Automated reasoning.
    AutomatedReasoning,
}
