//! Settings of a turn.

mod guardrail;
mod system;
mod write;

use std::{
    collections::BTreeMap,
    num::{NonZeroU32, NonZeroU64},
    time::Duration,
};

use taiwa::v1 as pb;
use taiwa_core::{
    Agent, Failure, TurnOptions,
    options::{CacheOptions, LatencyMode, OutputFormat, ReasoningOptions, ServiceTier},
    price,
};

pub use self::write::{approval, write};
use super::{content, identifier, json, time, tool, violations::Violations};

// Bounds of Bedrock's own:
// <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html>,
// <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_InferenceConfiguration.html>,
// <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_OutputConfig.html>.
const MAX_MODEL_ID_CHARS: usize = 2048;
const MAX_STOP_SEQUENCES: usize = 2500;
const MAX_EFFORT_CHARS: usize = 16;
const MAX_RESPONSE_PATHS: usize = 10;
const MAX_RESPONSE_PATH_CHARS: usize = 256;
const MAX_METADATA_ENTRIES: usize = 16;
const MAX_METADATA_CHARS: usize = 256;

/// Highest limit on the cost of a turn, in US dollars; a guess above what anybody would spend.
const MAX_COST_USD: f64 = 1e6;

/// Which tools a request can mean when it names one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ToolScope {
    /// Its own and its agent's.
    Request,
    /// Also those that its session already has.
    Session,
}

/// Reads settings that stand alone, at the path `options`.
///
/// # Errors
///
/// `InvalidRequest` with every field at fault.
pub fn options(wire: pb::TurnOptions, agent: &Agent) -> Result<TurnOptions, Failure> {
    let mut violations = Violations::default();
    let options = read(Some(wire), ToolScope::Request, agent, &mut violations);
    violations.finish(options)
}

/// Reads the field `options`.
pub(super) fn read(
    wire: Option<pb::TurnOptions>,
    tools: ToolScope,
    agent: &Agent,
    violations: &mut Violations,
) -> TurnOptions {
    let Some(wire) = wire else {
        return TurnOptions::default();
    };
    violations.within("options", |violations| {
        settings(wire, tools, agent, violations)
    })
}

fn settings(
    wire: pb::TurnOptions,
    tools: ToolScope,
    agent: &Agent,
    violations: &mut Violations,
) -> TurnOptions {
    tool::check_names(&wire, agent, violations);
    system::check(&wire, agent, violations);
    for (index, name) in wire.provider_tools.iter().enumerate() {
        violations.within_item("provider_tools", index, |violations| {
            identifier::check_tool_name(name, violations)
        });
    }
    let declared: Vec<String> = wire
        .client_tools
        .iter()
        .map(|tool| tool.name.clone())
        .chain(wire.provider_tools.iter().cloned())
        .collect();
    let declared = match tools {
        ToolScope::Request => Some((declared.as_slice(), agent)),
        ToolScope::Session => None,
    };
    TurnOptions {
        model_id: model_id(wire.model_id, agent, violations),
        system: Some(wire.system).filter(|system| !system.is_empty()),
        system_content: system::content(wire.system_content, &agent.limits, violations),
        max_tokens: wire
            .max_tokens
            .and_then(|count| at_least_one("max_tokens", count, violations)),
        temperature: share("temperature", wire.temperature, violations),
        top_p: share("top_p", wire.top_p, violations),
        stop_sequences: stop_sequences(wire.stop_sequences, violations),
        reasoning: wire.reasoning.and_then(|wire| {
            violations.within("reasoning", |violations| reasoning(wire, violations))
        }),
        output: wire
            .output
            .and_then(|wire| violations.within("output", |violations| output(wire, violations))),
        client_tools: tool::client_tools(wire.client_tools, violations),
        allowed_tools: allowed_tools(wire.allowed_tools, agent, violations),
        provider_tools: wire.provider_tools,
        tool_choice: wire.tool_choice.and_then(|wire| {
            violations.within("tool_choice", |violations| {
                tool::choice(wire, declared, violations)
            })
        }),
        approval: tool::approval_mode(wire.approval, violations),
        guardrail: wire.guardrail.and_then(|wire| {
            violations.within("guardrail", |violations| {
                guardrail::guardrail(wire, agent, violations)
            })
        }),
        max_steps: count("max_steps", wire.max_steps, violations),
        timeout: wire.timeout.and_then(|wire| timeout(wire, violations)),
        max_total_tokens: total_tokens(wire.max_total_tokens, violations),
        max_cost: cost(wire.max_cost_usd, violations),
        service_tier: word(
            "service_tier",
            &wire.service_tier,
            ServiceTier::parse,
            &ServiceTier::ALL.map(ServiceTier::as_str),
            violations,
        ),
        latency: word(
            "latency",
            &wire.latency,
            LatencyMode::parse,
            &LatencyMode::ALL.map(LatencyMode::as_str),
            violations,
        ),
        prompt_variables: prompt_variables(wire.prompt_variables, violations),
        additional_model_fields: wire
            .additional_model_fields
            .filter(|fields| !fields.fields.is_empty())
            .and_then(|fields| {
                violations.within("additional_model_fields", |violations| {
                    json::object(fields, violations)
                })
            }),
        additional_response_paths: response_paths(wire.additional_response_paths, violations),
        request_metadata: request_metadata(wire.request_metadata, violations),
        cache: wire
            .cache
            .and_then(|wire| violations.within("cache", |violations| cache(&wire, violations))),
        include_steps: wire.include_steps,
    }
}

fn model_id(id: String, agent: &Agent, violations: &mut Violations) -> Option<String> {
    if id.is_empty() {
        return None;
    }
    violations.within("model_id", |violations| {
        if id.chars().count() > MAX_MODEL_ID_CHARS
            || id
                .chars()
                .any(|one| one.is_control() || one.is_whitespace())
        {
            violations.refuse("must be at most 2048 printable characters without spaces");
        } else if !agent.model_override && agent.options.model_id.as_ref() != Some(&id) {
            violations.refuse("must be empty: the agent does not let callers choose the model");
        }
    });
    Some(id)
}

fn at_least_one(field: &str, given: i32, violations: &mut Violations) -> Option<NonZeroU32> {
    let count = u32::try_from(given).ok().and_then(NonZeroU32::new);
    if count.is_none() {
        violations.refuse_field(field, format!("must be at least 1, not {given}"));
    }
    count
}

/// Reads a count where zero means unset.
fn count(field: &str, given: i32, violations: &mut Violations) -> Option<NonZeroU32> {
    let count = u32::try_from(given);
    if count.is_err() {
        violations.refuse_field(field, format!("must not be negative, not {given}"));
    }
    NonZeroU32::new(count.unwrap_or_default())
}

fn total_tokens(given: i64, violations: &mut Violations) -> Option<NonZeroU64> {
    let tokens = u64::try_from(given);
    if tokens.is_err() {
        violations.refuse_field(
            "max_total_tokens",
            format!("must not be negative, not {given}"),
        );
    }
    NonZeroU64::new(tokens.unwrap_or_default())
}

/// Reads a limit in US dollars, where zero means unset.
fn cost(given: f64, violations: &mut Violations) -> Option<NonZeroU64> {
    // A comparison with NaN is false, so NaN is refused as well.
    if !(0.0..=MAX_COST_USD).contains(&given) {
        let description = format!("must be between 0 and {MAX_COST_USD}, not {given}");
        violations.refuse_field("max_cost_usd", description);
    }
    let cost = NonZeroU64::new(price::picodollars(given));
    if cost.is_none() && given > 0.0 {
        violations.refuse_field("max_cost_usd", "must be at least 0.000000000001");
    }
    cost
}

/// Reads the names of the agent's own tools to offer.
fn allowed_tools(wire: Vec<String>, agent: &Agent, violations: &mut Violations) -> Vec<String> {
    if !wire.is_empty() && !agent.serves_tools {
        violations.refuse_field(
            "allowed_tools",
            "must be empty: the agent has no tools of its own",
        );
    }
    for (index, name) in wire.iter().enumerate() {
        violations.within_item("allowed_tools", index, |violations| {
            identifier::check_tool_name(name, violations)
        });
    }
    wire
}

fn share(field: &str, given: Option<f32>, violations: &mut Violations) -> Option<f32> {
    let given = given?;
    // A comparison with NaN is false, so NaN is refused as well.
    if !(0.0..=1.0).contains(&given) {
        violations.refuse_field(field, format!("must be between 0 and 1, not {given}"));
    }
    Some(given)
}

fn stop_sequences(wire: Vec<String>, violations: &mut Violations) -> Vec<String> {
    if wire.len() > MAX_STOP_SEQUENCES {
        let given = wire.len();
        violations.refuse_field(
            "stop_sequences",
            format!("must be at most 2500, not {given}"),
        );
    }
    for (index, _) in wire.iter().enumerate().filter(|(_, text)| text.is_empty()) {
        violations.within_item("stop_sequences", index, |violations| {
            violations.refuse("must not be empty");
        });
    }
    wire
}

fn reasoning(wire: pb::ReasoningOptions, violations: &mut Violations) -> Option<ReasoningOptions> {
    let length = wire.effort.chars().count();
    if length > MAX_EFFORT_CHARS {
        let description = format!("must have at most {MAX_EFFORT_CHARS} characters, not {length}");
        violations.refuse_field("effort", description);
    } else if length > 0 && wire.effort.trim().is_empty() {
        violations.refuse_field("effort", "must not be blank");
    }
    let reasoning = ReasoningOptions {
        effort: Some(wire.effort).filter(|effort| !effort.is_empty()),
        budget_tokens: count("budget_tokens", wire.budget_tokens, violations),
    };
    // Nothing set means nothing said, so that the agent's own settings hold.
    (reasoning != ReasoningOptions::default()).then_some(reasoning)
}

fn output(wire: pb::OutputFormat, violations: &mut Violations) -> Option<OutputFormat> {
    let schema = match wire.json_schema {
        None => {
            violations.refuse_field("schema_json", "must be set, or schema: a JSON Schema");
            None
        }
        Some(pb::output_format::JsonSchema::SchemaJson(text)) => {
            violations.within("schema_json", |violations| tool::schema(&text, violations))
        }
        Some(pb::output_format::JsonSchema::Schema(fields)) => {
            violations.within("schema", |violations| {
                let json = json::object(fields, violations)?;
                tool::schema(&json.to_string(), violations)
            })
        }
    };
    Some(OutputFormat {
        name: wire.name,
        description: wire.description,
        schema: schema?,
    })
}

fn timeout(wire: prost_types::Duration, violations: &mut Violations) -> Option<Duration> {
    violations.within("timeout", |violations| {
        let timeout = time::duration(wire, violations)?;
        if timeout.is_zero() {
            violations.refuse("must be longer than zero");
        }
        Some(timeout)
    })
}

fn word<T>(
    field: &str,
    given: &str,
    parse: impl FnOnce(&str) -> Option<T>,
    known: &[&str],
    violations: &mut Violations,
) -> Option<T> {
    let found = parse(given);
    if found.is_none() && !given.is_empty() {
        violations.refuse_field(field, format!("must be one of {}", known.join(", ")));
    }
    found
}

fn prompt_variables(
    wire: BTreeMap<String, String>,
    violations: &mut Violations,
) -> BTreeMap<String, String> {
    if wire.contains_key("") {
        violations.refuse_field("prompt_variables", "must not hold an empty name");
    }
    wire
}

fn response_paths(wire: Vec<String>, violations: &mut Violations) -> Vec<String> {
    if wire.len() > MAX_RESPONSE_PATHS {
        let description = format!("must be at most {MAX_RESPONSE_PATHS}, not {}", wire.len());
        violations.refuse_field("additional_response_paths", description);
    }
    for (index, path) in wire.iter().enumerate() {
        if !path.starts_with('/') || path.chars().count() > MAX_RESPONSE_PATH_CHARS {
            violations.within_item("additional_response_paths", index, |violations| {
                violations.refuse(
                    "must be a JSON pointer of at most 256 characters, such as /stop_sequence",
                );
            });
        }
    }
    wire
}

fn request_metadata(
    wire: BTreeMap<String, String>,
    violations: &mut Violations,
) -> BTreeMap<String, String> {
    if wire.len() > MAX_METADATA_ENTRIES {
        let description = format!(
            "must have at most {MAX_METADATA_ENTRIES} entries, not {}",
            wire.len()
        );
        violations.refuse_field("request_metadata", description);
    }
    for (key, value) in &wire {
        let key_fits = (1..=MAX_METADATA_CHARS).contains(&key.chars().count());
        let value_fits = value.chars().count() <= MAX_METADATA_CHARS;
        if !key_fits || !value_fits {
            violations.within_entry("request_metadata", key, |violations| {
                violations
                    .refuse("must have a name of 1 to 256 characters and a value of at most 256");
            });
        }
    }
    wire
}

fn cache(wire: &pb::CacheOptions, violations: &mut Violations) -> Option<CacheOptions> {
    Some(CacheOptions {
        system: wire.system,
        tools: wire.tools,
        messages: wire.messages,
        ttl: content::cache_ttl(&wire.ttl, violations)?,
    })
}

#[cfg(test)]
mod tests;
