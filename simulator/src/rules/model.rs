//! Which model ids are taken for real.
//!
//! The forms are those of the service model's pattern of `modelId`; the providers are the
//! prefixes of the models that Bedrock lists:
//! <https://docs.aws.amazon.com/bedrock/latest/userguide/models-supported.html>

use super::constraint::Checker;
use crate::exception::Exception;

/// The simulator's own model.
const OWN_PREFIX: &str = "simulator.";

/// Asks for the local model, whichever it is.
const LOCAL_ALIAS: &str = "local.default";

const PROVIDERS: [&str; 22] = [
    "ai21",
    "amazon",
    "anthropic",
    "cohere",
    "deepseek",
    "google",
    "luma",
    "meta",
    "minimax",
    "mistral",
    "moonshot",
    "moonshotai",
    "nvidia",
    "openai",
    "perplexity",
    "qwen",
    "stability",
    "twelvelabs",
    "writer",
    "xai",
    "zai",
    "simulator",
];

/// Geographies of cross-region inference profiles.
const GEOGRAPHIES: [&str; 11] = [
    "us", "eu", "apac", "ap", "us-gov", "global", "jp", "au", "ca", "sa", "me",
];

/// Kinds of resources that can be invoked by ARN.
const RESOURCES: [&str; 10] = [
    "foundation-model",
    "inference-profile",
    "application-inference-profile",
    "provisioned-model",
    "imported-model",
    "custom-model-deployment",
    "prompt-router",
    "default-prompt-router",
    "prompt",
    "endpoint",
];

/// The longest id of the service model.
const MAX_LENGTH: usize = 2048;

pub(super) fn check_form(model_id: &str, checker: &mut Checker) {
    let plain = |it: char| it.is_ascii_alphanumeric() || "_.-/:".contains(it);
    if model_id.is_empty() {
        let constraint = "Member must have length greater than or equal to 1";
        checker.violation(Some(model_id), "modelId", constraint);
    } else if model_id.len() > MAX_LENGTH {
        let constraint = "Member must have length less than or equal to 2048";
        checker.violation(Some(model_id), "modelId", constraint);
    } else if !model_id.chars().all(plain) {
        let constraint = "Member must satisfy regular expression pattern: [a-zA-Z_\\.\\-/0-9:]+";
        checker.violation(Some(model_id), "modelId", constraint);
    }
}

/// Whether a model id asks for the local model, by its own id or by the one that all have.
pub(crate) fn is_local(model_id: &str, local: &str) -> bool {
    model_id == local || model_id == LOCAL_ALIAS
}

/// Words: RooCodeInc/Roo-Code#9182 and aws-samples/amazon-bedrock-workshop#315.
pub(super) fn check_known(model_id: &str, local: Option<&str>) -> Result<(), Exception> {
    let is_local = local.is_some_and(|id| is_local(model_id, id));
    if is_local || model_id.starts_with(OWN_PREFIX) || is_arn(model_id) || is_model(model_id) {
        return Ok(());
    }
    Err(Exception::validation(
        "The provided model identifier is invalid.",
    ))
}

fn is_arn(model_id: &str) -> bool {
    let parts: Vec<&str> = model_id.splitn(6, ':').collect();
    let ["arn", partition, service, _region, _account, resource] = parts[..] else {
        return false;
    };
    let kind = resource
        .split_once('/')
        .filter(|(_, id)| !id.is_empty())
        .map(|(kind, _)| kind);
    partition.starts_with("aws")
        && ["bedrock", "sagemaker"].contains(&service)
        && kind.is_some_and(|kind| RESOURCES.contains(&kind))
}

fn is_model(model_id: &str) -> bool {
    let (first, rest) = model_id.split_once('.').unwrap_or(("", ""));
    let (provider, model) = if GEOGRAPHIES.contains(&first) {
        rest.split_once('.').unwrap_or(("", ""))
    } else {
        (first, rest)
    };
    PROVIDERS.contains(&provider) && !model.is_empty()
}
