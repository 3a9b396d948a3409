//! Reasoning settings, in the form that each family of models takes.

use serde_json::{Map, Value, json};
use taiwa_core::{Failure, TurnOptions, options::ReasoningOptions};

/// Model families that take reasoning settings in a form of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    /// `reasoningConfig` among the additional fields, by effort alone.
    ///
    /// <https://docs.aws.amazon.com/nova/latest/nova2-userguide/extended-thinking.html>
    Nova2,
    /// `reasoning_effort` among the additional fields, by effort alone.
    ///
    /// <https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-openai.html>
    OpenAi,
    /// Anthropic's models, and models that an ARN does not tell: effort by the API's own member,
    /// a budget by Anthropic's `thinking`, the only form of budget known on Bedrock.
    ///
    /// <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_OutputConfig.html>,
    /// <https://docs.aws.amazon.com/bedrock/latest/userguide/claude-messages-extended-thinking.html>
    Other,
}

impl Family {
    fn of(model_id: &str) -> Self {
        if model_id.contains("amazon.nova-2") {
            Self::Nova2
        } else if model_id.contains("openai.") {
            Self::OpenAi
        } else {
            Self::Other
        }
    }
}

/// The effort to name in `outputConfig.effort`.
pub(super) fn output_effort(model_id: &str, options: &TurnOptions) -> Option<String> {
    match Family::of(model_id) {
        Family::Nova2 | Family::OpenAi => None,
        Family::Other => options.reasoning.as_ref()?.effort.clone(),
    }
}

/// The additional request fields: those of the reasoning settings, with the caller's laid over.
pub(super) fn additional_fields(
    model_id: &str,
    options: &TurnOptions,
) -> Result<Option<Map<String, Value>>, Failure> {
    let mut fields = match &options.reasoning {
        Some(reasoning) => reasoning_fields(Family::of(model_id), reasoning)?,
        None => Map::new(),
    };
    match &options.additional_model_fields {
        None => {}
        Some(Value::Object(own)) => {
            fields.extend(own.iter().map(|(key, value)| (key.clone(), value.clone())));
        }
        Some(_) => {
            return Err(Failure::invalid(
                "options.additional_model_fields",
                "not a JSON object",
            ));
        }
    }
    Ok((!fields.is_empty()).then_some(fields))
}

fn reasoning_fields(
    family: Family,
    reasoning: &ReasoningOptions,
) -> Result<Map<String, Value>, Failure> {
    let mut fields = Map::new();
    match (family, reasoning.budget_tokens) {
        (Family::Nova2 | Family::OpenAi, Some(_)) => {
            return Err(Failure::invalid(
                "options.reasoning.budget_tokens",
                "this model takes an effort, not a budget",
            ));
        }
        (Family::Other, Some(budget)) => {
            fields.insert(
                "thinking".to_owned(),
                json!({"type": "enabled", "budget_tokens": budget.get()}),
            );
        }
        (Family::Nova2 | Family::OpenAi | Family::Other, None) => {}
    }
    match (family, &reasoning.effort) {
        (Family::Nova2, Some(effort)) => {
            fields.insert(
                "reasoningConfig".to_owned(),
                json!({"type": "enabled", "maxReasoningEffort": effort}),
            );
        }
        (Family::OpenAi, Some(effort)) => {
            fields.insert("reasoning_effort".to_owned(), json!(effort));
        }
        (Family::Other, Some(_)) | (_, None) => {}
    }
    Ok(fields)
}
