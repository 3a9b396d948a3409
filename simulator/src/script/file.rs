//! The scenario file: its tables as TOML has them, and their way into a script.

use std::{sync::Arc, time::Duration};

use serde::Deserialize;
use serde_json::Value;

use super::{
    Condition, Error, Otherwise, Rule, Said, Script,
    content::ContentTable,
    trouble::FaultTable,
    value::{Delay, OneOrMany, bad, one_of},
};
use crate::{
    pace::{Pace, Rhythm},
    persona::Habit,
    reply::{Block, Reply, STOP_REASONS},
    wire::{Operation, Usage},
};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    pace: Option<PaceTable>,
    #[serde(default)]
    otherwise: OtherwiseName,
    #[serde(default, rename = "reply")]
    replies: Vec<ReplyTable>,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum OtherwiseName {
    #[default]
    Persona,
    Fail,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ReplyTable {
    name: Option<String>,
    #[serde(default)]
    when: WhenTable,
    times: Option<u64>,
    text: Option<OneOrMany>,
    repeat: Option<u64>,
    chunk_chars: Option<usize>,
    #[serde(default)]
    content: Vec<ContentTable>,
    stop_reason: Option<String>,
    additional_fields: Option<Value>,
    usage: Option<UsageTable>,
    latency_ms: Option<u64>,
    performance_latency: Option<String>,
    service_tier: Option<String>,
    invoked_model_id: Option<String>,
    guardrail: Option<Value>,
    pace: Option<PaceTable>,
    fault: Option<FaultTable>,
    input_tokens: Option<u64>,
    #[serde(default)]
    stamped: bool,
    habit: Option<Habit>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct WhenTable {
    prompt_contains: Option<String>,
    prompt_is: Option<String>,
    asked_contains: Option<String>,
    system_contains: Option<String>,
    model_contains: Option<String>,
    operation: Option<OperationName>,
    has_tool_result: Option<bool>,
    has_tools: Option<bool>,
    call: Option<u64>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum OperationName {
    Converse,
    ConverseStream,
    CountTokens,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct UsageTable {
    input_tokens: u64,
    output_tokens: u64,
    total_tokens: Option<u64>,
    cache_read_input_tokens: Option<u64>,
    cache_write_input_tokens: Option<u64>,
    #[serde(default)]
    cache_details: Vec<CacheDetailTable>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CacheDetailTable {
    ttl: String,
    input_tokens: u64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PaceTable {
    headers_delay: Option<Delay>,
    first_token_delay: Option<Delay>,
    chunk_delay: Option<Delay>,
    tokens_per_second: Option<f64>,
    jitter: Option<f64>,
    seed: Option<u64>,
}

impl File {
    pub(super) fn into_script(self) -> Result<Script, Error> {
        let rules = self.replies.into_iter().enumerate();
        let rules = rules
            .map(|(at, reply)| reply.into_rule(at))
            .collect::<Result<_, _>>()?;
        Ok(Script {
            rules,
            pace: self.pace.map(|pace| pace.into_pace("pace")).transpose()?,
            otherwise: match self.otherwise {
                OtherwiseName::Persona => Otherwise::Persona,
                OtherwiseName::Fail => Otherwise::Fail,
            },
        })
    }
}

impl ReplyTable {
    fn into_rule(self, at: usize) -> Result<Rule, Error> {
        let field = format!("reply[{at}]");
        let name = self.name.clone().unwrap_or_else(|| field.clone());
        if self.times == Some(0) {
            return Err(bad(&format!("{field}.times"), "must be at least 1"));
        }
        let times = self.times;
        let when = self.when.condition(&field)?;
        Ok(Rule {
            name,
            when,
            times,
            answer: self.into_answer(&field)?,
        })
    }

    fn into_answer(self, field: &str) -> Result<Said, Error> {
        let pace = self
            .pace
            .map(|pace| pace.into_pace(&format!("{field}.pace")))
            .transpose()?;
        let faults = self
            .fault
            .map(|fault| fault.into_faults(&format!("{field}.fault")));
        let faults = faults.transpose()?.unwrap_or_default();
        let mut content = Vec::new();
        match self.text {
            Some(_) if !self.content.is_empty() => {
                return Err(bad(
                    field,
                    "has both text and content; content can hold text too",
                ));
            }
            Some(text) => content.push(Block::Text {
                chunks: text.into_chunks(field, self.chunk_chars, self.repeat)?,
                citations: Vec::new(),
            }),
            None if self.repeat.is_some() || self.chunk_chars.is_some() => {
                return Err(bad(
                    field,
                    "repeat and chunk_chars belong to text, which is missing",
                ));
            }
            None => {
                for (at, block) in self.content.into_iter().enumerate() {
                    content.push(block.into_block(&format!("{field}.content[{at}]"), at)?);
                }
            }
        }
        if self.stamped
            && !content
                .iter()
                .any(|block| matches!(block, Block::Text { .. }))
        {
            return Err(bad(
                &format!("{field}.stamped"),
                "belongs to text, which is missing",
            ));
        }
        let says_nothing = content.is_empty()
            && self.stop_reason.is_none()
            && self.usage.is_none()
            && self.guardrail.is_none()
            && self.input_tokens.is_none();
        if !says_nothing && self.habit.is_some() {
            return Err(bad(
                &format!("{field}.habit"),
                "is the persona's, which this rule does not let speak",
            ));
        }
        if says_nothing {
            return Ok(Said::Persona {
                habit: self.habit,
                pace,
                faults: Box::new(faults),
            });
        }
        let default_stop = if content.iter().any(is_client_tool_use) {
            "tool_use"
        } else {
            "end_turn"
        };
        let stop_reason = self.stop_reason.unwrap_or_else(|| default_stop.to_owned());
        let performance = self.performance_latency.map(|latency| {
            one_of(
                &format!("{field}.performance_latency"),
                latency,
                &["standard", "optimized"],
            )
        });
        let tier = self.service_tier.map(|tier| {
            let known = ["priority", "default", "flex", "reserved"];
            one_of(&format!("{field}.service_tier"), tier, &known)
        });
        Ok(Said::Scripted(Arc::new(Reply {
            content,
            stop_reason: one_of(&format!("{field}.stop_reason"), stop_reason, &STOP_REASONS)?,
            additional_fields: self.additional_fields,
            usage: self
                .usage
                .map(|usage| usage.into_usage(field))
                .transpose()?,
            latency_ms: self.latency_ms,
            performance_latency: performance.transpose()?,
            service_tier: tier.transpose()?,
            invoked_model_id: self.invoked_model_id,
            guardrail: self.guardrail,
            stamped: self.stamped,
            pace,
            faults,
            input_tokens: self.input_tokens,
        })))
    }
}

fn is_client_tool_use(block: &Block) -> bool {
    matches!(
        block,
        Block::ToolUse {
            run_by_provider: false,
            ..
        }
    )
}

impl WhenTable {
    fn condition(&self, field: &str) -> Result<Condition, Error> {
        if self.call == Some(0) {
            return Err(bad(&format!("{field}.when.call"), "counts from 1"));
        }
        Ok(Condition {
            prompt_contains: self.prompt_contains.clone(),
            asked_contains: self.asked_contains.clone(),
            prompt_is: self.prompt_is.clone(),
            system_contains: self.system_contains.clone(),
            model_contains: self.model_contains.clone(),
            operation: self.operation.map(|operation| match operation {
                OperationName::Converse => Operation::Converse,
                OperationName::ConverseStream => Operation::ConverseStream,
                OperationName::CountTokens => Operation::CountTokens,
            }),
            has_tool_result: self.has_tool_result,
            has_tools: self.has_tools,
            call: self.call,
        })
    }
}

impl UsageTable {
    fn into_usage(self, field: &str) -> Result<Usage, Error> {
        let details = self
            .cache_details
            .into_iter()
            .enumerate()
            .map(|(at, detail)| {
                let field = format!("{field}.usage.cache_details[{at}].ttl");
                Ok((
                    one_of(&field, detail.ttl, &["5m", "1h"])?,
                    detail.input_tokens,
                ))
            });
        Ok(Usage {
            input_tokens: self.input_tokens,
            output_tokens: self.output_tokens,
            total_tokens: self.total_tokens,
            cache_read_input_tokens: self.cache_read_input_tokens,
            cache_write_input_tokens: self.cache_write_input_tokens,
            cache_details: details.collect::<Result<_, Error>>()?,
        })
    }
}

impl PaceTable {
    fn into_pace(self, field: &str) -> Result<Pace, Error> {
        let rhythm = match (self.chunk_delay, self.tokens_per_second) {
            (Some(_), Some(_)) => {
                return Err(bad(field, "has both chunk_delay and tokens_per_second"));
            }
            (Some(Delay(Duration::ZERO)), None) | (None, None) => Rhythm::AtOnce,
            (Some(Delay(delay)), None) => Rhythm::PerChunk(delay),
            (None, Some(rate)) if (0.001..=1e9).contains(&rate) => Rhythm::TokensPerSecond(rate),
            (None, Some(_)) => {
                return Err(bad(
                    &format!("{field}.tokens_per_second"),
                    "must be between 0.001 and 1,000,000,000",
                ));
            }
        };
        let jitter = self.jitter.unwrap_or(0.0);
        if !(0.0..=1.0).contains(&jitter) {
            return Err(bad(&format!("{field}.jitter"), "must be between 0 and 1"));
        }
        let delay = |delay: Option<Delay>| delay.map_or(Duration::ZERO, |Delay(delay)| delay);
        Ok(Pace {
            headers_delay: delay(self.headers_delay),
            first_token_delay: delay(self.first_token_delay),
            rhythm,
            jitter,
            seed: self.seed.unwrap_or(0),
        })
    }
}
