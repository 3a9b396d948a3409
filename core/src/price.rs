//! What models cost, by the operator's table.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{message::CacheTtl, usage::Usage};

/// Picodollars in a dollar: the unit in which a price of any usual number of digits is whole.
const PICODOLLARS: f64 = 1e12;

/// Turns US dollars into picodollars; what no amount can be is zero, what is too much the most.
pub fn picodollars(dollars: f64) -> u64 {
    // A float that is cast saturates.
    (dollars * PICODOLLARS).round() as u64
}

/// Turns picodollars into US dollars.
pub fn dollars(picodollars: u64) -> f64 {
    picodollars as f64 / PICODOLLARS
}

/// What a model's tokens cost, in picodollars each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Price {
    /// An input token that no cache holds.
    pub input: u64,
    /// An output token, reasoning included.
    pub output: u64,
    /// An input token read from the prompt cache.
    pub cache_read: u64,
    /// An input token written to the prompt cache.
    pub cache_write: u64,
    /// An input token written to the prompt cache for an hour.
    pub cache_write_1h: u64,
}

impl Price {
    /// What these tokens cost.
    pub fn of(&self, usage: &Usage) -> u64 {
        let for_an_hour: u64 = usage
            .cache_writes
            .iter()
            .filter(|write| write.ttl == CacheTtl::OneHour)
            .map(|write| write.tokens)
            .fold(0, u64::saturating_add)
            .min(usage.cache_write_tokens);
        let parts = [
            (usage.input_tokens, self.input),
            (usage.output_tokens, self.output),
            (usage.cache_read_tokens, self.cache_read),
            (usage.cache_write_tokens - for_an_hour, self.cache_write),
            (for_an_hour, self.cache_write_1h),
        ];
        parts
            .into_iter()
            .map(|(tokens, price)| tokens.saturating_mul(price))
            .fold(0, u64::saturating_add)
    }

    /// The most that a call of so many tokens can cost.
    pub fn most(&self, input_tokens: u64, output_tokens: u64) -> u64 {
        let input = input_tokens.saturating_mul(self.dearest_input());
        input.saturating_add(output_tokens.saturating_mul(self.output))
    }

    /// The most that an input token can cost: as it is when it is written to the cache.
    pub fn dearest_input(&self) -> u64 {
        self.input.max(self.cache_write).max(self.cache_write_1h)
    }
}

/// The prices of models, by id.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prices(BTreeMap<String, Price>);

impl Prices {
    /// Makes a table.
    pub fn new(prices: impl IntoIterator<Item = (String, Price)>) -> Self {
        Self(prices.into_iter().collect())
    }

    /// Finds a model's price: by the id as it is, else by what an ARN ends with, else without the
    /// region or `global` that an inference profile's id begins with.
    pub fn find(&self, model_id: &str) -> Option<Price> {
        let name = model_id.rsplit('/').next().unwrap_or(model_id);
        let bare = name.split_once('.').map_or(name, |(_, rest)| rest);
        [model_id, name, bare]
            .into_iter()
            .find_map(|id| self.0.get(id))
            .copied()
    }
}
