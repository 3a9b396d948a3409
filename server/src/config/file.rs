//! The agents file.

use std::{
    collections::BTreeMap,
    fmt,
    num::{NonZeroU32, NonZeroU64, NonZeroUsize},
    path::{Path, PathBuf},
};

use serde::Deserialize;
use serde_json::Value;
use taiwa_core::{
    Agent, Limits, TurnOptions,
    agent::SystemOverride,
    limits::MAX_CLIENT_TOOL_TIMEOUT,
    options::{CacheOptions, GuardrailOptions, ReasoningOptions},
};
use toml::Spanned;

use super::{
    Error,
    file_values::{
        AgentId, Effort, GuardrailId, GuardrailVersion, LatencyWord, ModelId, Prompt, Share,
        StopSequence, StreamModeWord, SystemWord, TierWord, ToolName, TraceWord, TtlWord,
    },
    units::{Size, Span},
};
use crate::agents::Agents;

// Bounds of Bedrock's own:
// <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html>,
// <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_InferenceConfiguration.html>.
const MAX_STOP_SEQUENCES: usize = 2500;
const MAX_METADATA_ENTRIES: usize = 16;
const MAX_METADATA_CHARS: usize = 256;
const MAX_TOKENS: u32 = i32::MAX as u32;

/// What is wrong with an agents file, and where.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// Not TOML, an unknown key, or a value that its key does not take.
    #[error("{}{}", source.to_string().trim_end(), Hint(source.message()))]
    Toml {
        /// What the parser said, with line and column.
        source: Box<toml::de::Error>,
    },
    /// Values that do not fit each other.
    #[error("line {line}, column {column}: {key} {problem}")]
    Value {
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
        /// The key.
        key: &'static str,
        /// What is wrong with its value.
        problem: String,
    },
}

/// Reads the agents of a file; `model` is that of agents which name none.
pub(super) fn read(path: &Path, model: Option<&str>) -> Result<Agents, Error> {
    let text = super::read("--config", path)?;
    let folder = path.parent().unwrap_or(Path::new(""));
    parse(&text, folder, model).map_err(|source| Error::Agents {
        path: path.to_owned(),
        source,
    })
}

/// Reads agents from a text whose files are relative to `folder`.
pub(super) fn parse(text: &str, folder: &Path, model: Option<&str>) -> Result<Agents, FileError> {
    let file: File = toml::from_str(text).map_err(|source| FileError::Toml {
        source: Box::new(source),
    })?;
    let context = Context {
        text,
        folder,
        model,
    };
    let Some(first) = file.agents.first() else {
        return Err(context.fault("agents", 0, "must name at least one agent: [[agents]]"));
    };
    let default_id = match &file.default_agent {
        Some(id) => id.get_ref().as_str().to_owned(),
        None if file.agents.len() == 1 => first.id.get_ref().as_str().to_owned(),
        None => {
            return Err(context.fault("default_agent", 0, "must be set where there are several"));
        }
    };
    let mut agents = BTreeMap::new();
    for entry in file.agents {
        let place = entry.id.span().start;
        let agent = context.agent(entry)?;
        if let Some(twin) = agents.insert(agent.id.clone(), agent) {
            let problem = format!("is that of another agent: {}", twin.id);
            return Err(context.fault("id", place, problem));
        }
    }
    Agents::new(agents.into_values(), &default_id).ok_or_else(|| {
        let place = file.default_agent.map_or(0, |id| id.span().start);
        context.fault(
            "default_agent",
            place,
            format!("names no agent: {default_id}"),
        )
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    default_agent: Option<Spanned<AgentId>>,
    #[serde(default)]
    agents: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    id: Spanned<AgentId>,
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
    #[serde(default)]
    provider_tools: Vec<ToolName>,
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

/// What an entry is read with.
struct Context<'a> {
    text: &'a str,
    folder: &'a Path,
    model: Option<&'a str>,
}

impl Context<'_> {
    fn agent(&self, entry: Entry) -> Result<Agent, FileError> {
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
        Ok(Limits {
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

    fn fault(&self, key: &'static str, place: usize, problem: impl Into<String>) -> FileError {
        let before = self.text.get(..place).unwrap_or(self.text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        FileError::Value {
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
            key,
            problem: problem.into(),
        }
    }
}

/// Turns TOML into JSON; `None` when it cannot be said there.
fn json(value: toml::Value) -> Option<Value> {
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

/// Names the known key that comes nearest to an unknown one.
struct Hint<'a>(&'a str);

impl fmt::Display for Hint<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The parser's message is all there is of the names: "unknown field `x`, expected `y`".
        let mut quoted = self.0.split('`').skip(1).step_by(2);
        let Some(unknown) = quoted.next().filter(|_| self.0.starts_with("unknown ")) else {
            return Ok(());
        };
        let nearest = quoted
            .map(|known| (distance(unknown, known), known))
            .min()
            .filter(|(distance, known)| *distance <= known.len().div_ceil(3));
        match nearest {
            Some((_, known)) => write!(f, "\ndid you mean `{known}`?"),
            None => Ok(()),
        }
    }
}

/// How many letters must be put in, taken out or changed to make one word of the other.
fn distance(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.chars().count()).collect();
    for (index, left) in one.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = index + 1;
        for (column, right) in other.chars().enumerate() {
            let changed = diagonal + usize::from(left != right);
            diagonal = row[column + 1];
            row[column + 1] = changed.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[row.len() - 1]
}
