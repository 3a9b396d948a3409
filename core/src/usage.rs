//! Tokens and times of a turn.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::message::CacheTtl;

/// Tokens used.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Usage {
    /// Input tokens, as the provider bills them.
    pub input_tokens: u64,
    /// Output tokens, reasoning included.
    pub output_tokens: u64,
    /// Input and output together, as the provider counts them.
    pub total_tokens: u64,
    /// Input tokens read from the prompt cache.
    pub cache_read_tokens: u64,
    /// Input tokens written to the prompt cache.
    pub cache_write_tokens: u64,
    /// Cache writes by lifetime.
    pub cache_writes: Vec<CacheWrite>,
    /// Model calls made.
    pub model_calls: u32,
    /// Tool calls made.
    pub tool_calls: u32,
    /// Cost in picodollars, by the operator's prices; `None` where a model has none there.
    pub cost: Option<u64>,
    /// Part of this is an estimate, since the provider gave no final count.
    pub estimated: bool,
}

/// Cache writes of one lifetime.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheWrite {
    /// The lifetime.
    pub ttl: CacheTtl,
    /// Tokens written with it.
    pub tokens: u64,
}

impl Usage {
    /// Adds another call's tokens.
    pub fn add(&mut self, other: &Self) {
        self.input_tokens = self.input_tokens.saturating_add(other.input_tokens);
        self.output_tokens = self.output_tokens.saturating_add(other.output_tokens);
        self.total_tokens = self.total_tokens.saturating_add(other.total_tokens);
        self.cache_read_tokens = self
            .cache_read_tokens
            .saturating_add(other.cache_read_tokens);
        self.cache_write_tokens = self
            .cache_write_tokens
            .saturating_add(other.cache_write_tokens);
        for write in &other.cache_writes {
            match self
                .cache_writes
                .iter_mut()
                .find(|known| known.ttl == write.ttl)
            {
                Some(known) => known.tokens = known.tokens.saturating_add(write.tokens),
                None => self.cache_writes.push(*write),
            }
        }
        self.cost = match (self.cost, other.cost) {
            (Some(own), Some(more)) => Some(own.saturating_add(more)),
            // Where no model was called there is nothing to be priced.
            (None, more) if self.model_calls == 0 => more,
            (own, None) if other.model_calls == 0 => own,
            (None, _) | (_, None) => None,
        };
        self.model_calls = self.model_calls.saturating_add(other.model_calls);
        self.tool_calls = self.tool_calls.saturating_add(other.tool_calls);
        self.estimated |= other.estimated;
    }
}

/// Times of a turn.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TurnMetrics {
    /// From receiving the request to the last event.
    pub total: Duration,
    /// From receiving the request to the first piece of output.
    pub time_to_first_output: Option<Duration>,
    /// Sum of the latencies that the model provider reported.
    pub model_latency: Duration,
    /// Spent running the server's tools.
    pub tool_time: Duration,
    /// Spent waiting for client tools and approvals.
    pub waiting_time: Duration,
    /// Spent in guardrails.
    pub guardrail_time: Duration,
    /// Model calls that were repeated after a passing failure.
    pub retries: u32,
}

/// What the provider granted of what was asked; empty where it did not say.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrantedService {
    /// Service tier.
    pub tier: String,
    /// Latency mode.
    pub latency: String,
}
