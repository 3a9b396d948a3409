//! One agent of the file.

use std::{
    collections::BTreeMap,
    num::{NonZeroU32, NonZeroU64, NonZeroUsize},
    path::PathBuf,
    sync::Arc,
};

use serde::Deserialize;
use serde_json::Value;
use taiwa_core::{
    Agent, Limits, TurnOptions,
    agent::SystemOverride,
    limits::MAX_CLIENT_TOOL_TIMEOUT,
    model::ReplyForm,
    options::{CacheOptions, GuardrailOptions, ReasoningOptions},
};
use toml::Spanned;

use super::{
    Context, FileError,
    context::ContextTable,
    money::Cost,
    tools::ToolsTable,
    values::{
        AgentId, Effort, GuardrailId, GuardrailVersion, LatencyWord, ModelId, Prompt, Share,
        StopSequence, StreamModeWord, SystemWord, TierWord, ToolName, TraceWord, TtlWord,
    },
};
use crate::config::units::{Size, Span};

// Bounds of Bedrock's own:
// <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html>,
// <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_InferenceConfiguration.html>.
const MAX_STOP_SEQUENCES: usize = 2500;
const MAX_METADATA_ENTRIES: usize = 16;
const MAX_METADATA_CHARS: usize = 256;
const MAX_TOKENS: u32 = i32::MAX as u32;

/// An agent as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entry {
    pub(super) id: Spanned<AgentId>,
    display_name: Option<String>,
    #[serde(default)]
    description: String,
    #[serde(default)]
    version: String,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    model: Option<ModelId>,
    system: Option<Spanned<Prompt>>,
    system_file: Option<Spanned<PathBuf>>,
    #[serde(default)]
    inference: InferenceTable,
    reasoning: Option<ReasoningTable>,
    #[serde(default)]
    limits: LimitsTable,
    guardrail: Option<GuardrailTable>,
    cache: Option<CacheTable>,
    context: Option<Spanned<ContextTable>>,
    #[serde(default)]
    provider_tools: Vec<ToolName>,
    #[serde(default)]
    pub(super) tools: Vec<Spanned<ToolsTable>>,
    structured_output: Option<ReplyWord>,
    service_tier: Option<TierWord>,
    latency: Option<LatencyWord>,
    request_metadata: Option<Spanned<BTreeMap<String, String>>>,
    additional_model_fields: Option<Spanned<toml::Table>>,
    #[serde(default)]
    allow_model_override: bool,
    system_override: Option<SystemWord>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct InferenceTable {
    max_tokens: Option<Spanned<NonZeroU32>>,
    temperature: Option<Share>,
    top_p: Option<Share>,
    stop_sequences: Option<Spanned<Vec<StopSequence>>>,
}

/// How the model is held to the form of a reply.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ReplyWord {
    Native,
    Tool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReasoningTable {
    effort: Option<Effort>,
    budget_tokens: Option<Spanned<NonZeroU32>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct LimitsTable {
    max_steps: Option<NonZeroU32>,
    turn_timeout: Option<Span>,
    max_total_tokens: Option<NonZeroU64>,
    first_event_timeout: Option<Span>,
    model_idle_timeout: Option<Span>,
    client_tool_timeout: Option<Spanned<Span>>,
    tool_timeout: Option<Span>,
    approval_timeout: Option<Spanned<Span>>,
    max_concurrent_tools: Option<NonZeroUsize>,
    max_faulty_steps: Option<NonZeroU32>,
    max_output_repairs: Option<u32>,
    max_cost_usd: Option<Cost>,
    max_queued_inputs: Option<NonZeroUsize>,
    max_input_size: Option<Size>,
    max_tool_result_size: Option<Size>,
    max_output_size: Option<Size>,
    max_history_size: Option<Size>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GuardrailTable {
    id: GuardrailId,
    version: GuardrailVersion,
    trace: Option<TraceWord>,
    stream_mode: Option<StreamModeWord>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CacheTable {
    #[serde(default)]
    system: bool,
    #[serde(default)]
    tools: bool,
    #[serde(default)]
    messages: bool,
    ttl: Option<TtlWord>,
}

impl Context<'_> {
    pub(super) fn agent(&self, entry: Entry) -> Result<Agent, FileError> {
        let place = entry.id.span().start;
        let id = String::from(entry.id.into_inner());
        let model_id = match (entry.model, self.model) {
            (Some(model), _) => String::from(model),
            (None, Some(model)) => model.to_owned(),
            (None, None) => {
                let problem = format!("must be set for {id}, or --model for all that have none");
                return Err(self.fault("model", place, problem));
            }
        };
        let max_cost = entry.limits.max_cost_usd.map(Cost::picodollars);
        let limits = self.limits(entry.limits)?;
        let system = self.system(entry.system, entry.system_file, &limits)?;
        let InferenceTable {
            max_tokens,
            temperature,
            top_p,
            stop_sequences,
        } = entry.inference;
        let options = TurnOptions {
            model_id: Some(model_id),
            system,
            max_tokens: self.tokens("max_tokens", max_tokens)?,
            temperature: temperature.map(f32::from),
            top_p: top_p.map(f32::from),
            stop_sequences: self.stop_sequences(stop_sequences)?,
            reasoning: entry
                .reasoning
                .map(|table| self.reasoning(table))
                .transpose()?,
            max_cost,
            provider_tools: entry.provider_tools.into_iter().map(String::from).collect(),
            guardrail: entry.guardrail.map(|table| GuardrailOptions {
                guardrail_id: table.id.into(),
                version: table.version.into(),
                trace: table.trace.map(Into::into),
                stream_mode: table.stream_mode.map(Into::into),
            }),
            service_tier: entry.service_tier.map(Into::into),
            latency: entry.latency.map(Into::into),
            additional_model_fields: self.model_fields(entry.additional_model_fields)?,
            request_metadata: self.request_metadata(entry.request_metadata)?,
            cache: entry.cache.map(|table| CacheOptions {
                system: table.system,
                tools: table.tools,
                messages: table.messages,
                ttl: table.ttl.map(Into::into),
            }),
            ..TurnOptions::default()
        };
        Ok(Agent {
            display_name: entry.display_name.unwrap_or_else(|| id.clone()),
            id,
            description: entry.description,
            version: entry.version,
            labels: entry.labels,
            options,
            limits,
            context: entry.context.map(|table| self.context(table)).transpose()?,
            prices: Arc::default(),
            reply_form: entry.structured_output.map(|word| match word {
                ReplyWord::Native => ReplyForm::Native,
                ReplyWord::Tool => ReplyForm::Tool,
            }),
            serves_tools: false,
            model_override: entry.allow_model_override,
            system_override: entry
                .system_override
                .map_or(SystemOverride::Refuse, Into::into),
        })
    }

    fn limits(&self, table: LimitsTable) -> Result<Limits, FileError> {
        let base = Limits::default();
        let bytes = |size: Option<Size>, base: usize| size.map_or(base, Size::bytes);
        if let Some(timeout) = &table.client_tool_timeout
            && timeout.get_ref().duration() > MAX_CLIENT_TOOL_TIMEOUT
        {
            let place = timeout.span().start;
            return Err(self.fault("client_tool_timeout", place, "must be at most 24h"));
        }
        if let Some(timeout) = &table.approval_timeout
            && timeout.get_ref().duration() > MAX_CLIENT_TOOL_TIMEOUT
        {
            let place = timeout.span().start;
            return Err(self.fault("approval_timeout", place, "must be at most 24h"));
        }
        Ok(Limits {
            tool_timeout: table.tool_timeout.map_or(base.tool_timeout, Span::duration),
            approval_timeout: table
                .approval_timeout
                .map_or(base.approval_timeout, |timeout| {
                    timeout.into_inner().duration()
                }),
            max_concurrent_tools: table
                .max_concurrent_tools
                .unwrap_or(base.max_concurrent_tools),
            max_faulty_steps: table.max_faulty_steps.unwrap_or(base.max_faulty_steps),
            max_output_repairs: table.max_output_repairs.unwrap_or(base.max_output_repairs),
            max_steps: table.max_steps.unwrap_or(base.max_steps),
            turn_timeout: table.turn_timeout.map_or(base.turn_timeout, Span::duration),
            max_total_tokens: table.max_total_tokens.or(base.max_total_tokens),
            first_event_timeout: table
                .first_event_timeout
                .map_or(base.first_event_timeout, Span::duration),
            model_idle_timeout: table
                .model_idle_timeout
                .map_or(base.model_idle_timeout, Span::duration),
            client_tool_timeout: table
                .client_tool_timeout
                .map_or(base.client_tool_timeout, |timeout| {
                    timeout.into_inner().duration()
                }),
            max_queued_inputs: table
                .max_queued_inputs
                .map_or(base.max_queued_inputs, NonZeroUsize::get),
            max_input_bytes: bytes(table.max_input_size, base.max_input_bytes),
            max_tool_result_bytes: bytes(table.max_tool_result_size, base.max_tool_result_bytes),
            max_output_bytes: bytes(table.max_output_size, base.max_output_bytes),
            max_history_bytes: bytes(table.max_history_size, base.max_history_bytes),
            ..base
        })
    }

    fn system(
        &self,
        text: Option<Spanned<Prompt>>,
        file: Option<Spanned<PathBuf>>,
        limits: &Limits,
    ) -> Result<Option<String>, FileError> {
        let (key, place, prompt) = match (text, file) {
            (None, None) => return Ok(None),
            (Some(_), Some(file)) => {
                return Err(self.fault("system_file", file.span().start, "excludes system"));
            }
            (Some(text), None) => ("system", text.span().start, text.into_inner()),
            (None, Some(file)) => {
                let (key, place) = ("system_file", file.span().start);
                let path = self.folder.join(file.get_ref());
                let text = std::fs::read_to_string(&path).map_err(|error| {
                    let problem = format!("cannot be read: {}: {error}", path.display());
                    self.fault(key, place, problem)
                })?;
                let prompt = Prompt::try_from(text).map_err(|fault| {
                    self.fault(key, place, format!("names a text that {fault}"))
                })?;
                (key, place, prompt)
            }
        };
        if prompt.size_bytes() > limits.max_input_bytes {
            return Err(self.fault(key, place, "must not be larger than limits.max_input_size"));
        }
        Ok(Some(prompt.into()))
    }

    fn tokens(
        &self,
        key: &'static str,
        count: Option<Spanned<NonZeroU32>>,
    ) -> Result<Option<NonZeroU32>, FileError> {
        let Some(count) = count else { return Ok(None) };
        if count.get_ref().get() > MAX_TOKENS {
            let problem = format!("must be at most {MAX_TOKENS}");
            return Err(self.fault(key, count.span().start, problem));
        }
        Ok(Some(count.into_inner()))
    }

    fn stop_sequences(
        &self,
        texts: Option<Spanned<Vec<StopSequence>>>,
    ) -> Result<Vec<String>, FileError> {
        let Some(texts) = texts else {
            return Ok(Vec::new());
        };
        if texts.get_ref().len() > MAX_STOP_SEQUENCES {
            let problem = format!("must be at most {MAX_STOP_SEQUENCES}");
            return Err(self.fault("stop_sequences", texts.span().start, problem));
        }
        Ok(texts.into_inner().into_iter().map(String::from).collect())
    }

    fn reasoning(&self, table: ReasoningTable) -> Result<ReasoningOptions, FileError> {
        Ok(ReasoningOptions {
            effort: table.effort.map(String::from),
            budget_tokens: self.tokens("budget_tokens", table.budget_tokens)?,
        })
    }

    fn request_metadata(
        &self,
        table: Option<Spanned<BTreeMap<String, String>>>,
    ) -> Result<BTreeMap<String, String>, FileError> {
        let Some(table) = table else {
            return Ok(BTreeMap::new());
        };
        let entries = table.get_ref();
        let fits = |text: &str| text.chars().count() <= MAX_METADATA_CHARS;
        let problem = if entries.len() > MAX_METADATA_ENTRIES {
            "must have at most 16 entries"
        } else if !entries
            .iter()
            .all(|(key, value)| !key.is_empty() && fits(key) && fits(value))
        {
            "must have names of 1 to 256 characters and values of at most 256"
        } else {
            return Ok(table.into_inner());
        };
        Err(self.fault("request_metadata", table.span().start, problem))
    }

    fn model_fields(
        &self,
        table: Option<Spanned<toml::Table>>,
    ) -> Result<Option<Value>, FileError> {
        let Some(table) = table else { return Ok(None) };
        let place = table.span().start;
        json(toml::Value::Table(table.into_inner()))
            .map(Some)
            .ok_or_else(|| {
                let problem = "must hold what JSON can say: no dates, no infinite numbers";
                self.fault("additional_model_fields", place, problem)
            })
    }
}

/// Turns TOML into JSON; `None` when it cannot be said there.
pub(super) fn json(value: toml::Value) -> Option<Value> {
    Some(match value {
        toml::Value::String(text) => text.into(),
        toml::Value::Integer(number) => number.into(),
        toml::Value::Float(number) => serde_json::Number::from_f64(number)?.into(),
        toml::Value::Boolean(truth) => truth.into(),
        toml::Value::Datetime(_) => return None,
        toml::Value::Array(items) => items
            .into_iter()
            .map(json)
            .collect::<Option<Vec<_>>>()?
            .into(),
        toml::Value::Table(table) => table
            .into_iter()
            .map(|(key, value)| Some((key, json(value)?)))
            .collect::<Option<serde_json::Map<_, _>>>()?
            .into(),
    })
}
