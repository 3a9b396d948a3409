//! What models cost, and what tenants may spend.

use std::num::NonZeroU64;

use serde::Deserialize;
use taiwa_core::price::{self, Price};
use toml::Spanned;

use super::{Context, FileError, values::ModelId};
use crate::{budget, config::units::Span};

/// Tokens that a price is given for.
const TOKENS: f64 = 1e6;

/// A model's price as it is written: US dollars for a million tokens.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PriceTable {
    model: Spanned<ModelId>,
    input_usd: Usd,
    output_usd: Usd,
    cache_read_usd: Option<Usd>,
    cache_write_usd: Option<Usd>,
    cache_write_1h_usd: Option<Usd>,
}

/// A budget as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BudgetTable {
    tenant: Option<Spanned<String>>,
    max_tokens: Option<NonZeroU64>,
    max_cost_usd: Option<Cost>,
    period: Option<Span>,
}

/// An amount of US dollars.
#[derive(Clone, Copy, Deserialize)]
#[serde(try_from = "f64")]
struct Usd(f64);

/// A limit in US dollars, which is not zero.
#[derive(Clone, Copy, Deserialize)]
#[serde(try_from = "Usd")]
pub(super) struct Cost(NonZeroU64);

/// Why an amount is no limit.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("must be more than 0 and at most 1000000")]
pub(super) struct CostError;

impl TryFrom<Usd> for Cost {
    type Error = CostError;

    fn try_from(amount: Usd) -> Result<Self, Self::Error> {
        let cost = NonZeroU64::new(price::picodollars(amount.0));
        cost.map(Self).ok_or(CostError)
    }
}

impl Cost {
    pub(super) fn picodollars(self) -> NonZeroU64 {
        self.0
    }
}

/// Why an amount is none.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("must be between 0 and 1000000")]
struct UsdError;

impl TryFrom<f64> for Usd {
    type Error = UsdError;

    fn try_from(dollars: f64) -> Result<Self, Self::Error> {
        if (0.0..=1e6).contains(&dollars) {
            Ok(Self(dollars))
        } else {
            Err(UsdError)
        }
    }
}

impl Usd {
    fn per_token(self) -> u64 {
        price::picodollars(self.0 / TOKENS)
    }
}

impl Context<'_> {
    /// Reads the table of prices.
    ///
    /// A token read from or written to a cache costs as much as another where the table does not
    /// say; one that is written for an hour, as one that is written for less.
    pub(super) fn prices(&self, tables: Vec<PriceTable>) -> Result<price::Prices, FileError> {
        let mut prices: Vec<(String, Price)> = Vec::new();
        for table in tables {
            let place = table.model.span().start;
            let model = String::from(table.model.into_inner());
            if prices.iter().any(|(known, _)| *known == model) {
                let problem = format!("has a price already: {model}");
                return Err(self.fault("model", place, problem));
            }
            let input = table.input_usd;
            let write = table.cache_write_usd.unwrap_or(input);
            let price = Price {
                input: input.per_token(),
                output: table.output_usd.per_token(),
                cache_read: table.cache_read_usd.unwrap_or(input).per_token(),
                cache_write: write.per_token(),
                cache_write_1h: table.cache_write_1h_usd.unwrap_or(write).per_token(),
            };
            prices.push((model, price));
        }
        Ok(price::Prices::new(prices))
    }

    /// Reads the budgets of tenants.
    pub(super) fn budgets(
        &self,
        tables: Vec<Spanned<BudgetTable>>,
    ) -> Result<Vec<budget::Config>, FileError> {
        let mut budgets: Vec<budget::Config> = Vec::new();
        for table in tables {
            let place = table.span().start;
            let table = table.into_inner();
            let budget = budget::Config {
                tenant: table.tenant.map(Spanned::into_inner),
                max_tokens: table.max_tokens.map(NonZeroU64::get),
                max_cost: table.max_cost_usd.map(|cost| cost.picodollars().get()),
                period: table.period.map(Span::duration),
            };
            if budget.max_tokens.is_none() && budget.max_cost.is_none() {
                let problem = "must have max_tokens or max_cost_usd";
                return Err(self.fault("budgets", place, problem));
            }
            if budgets.iter().any(|known| known.tenant == budget.tenant) {
                let problem = match &budget.tenant {
                    Some(tenant) => format!("has two of the tenant {tenant}"),
                    None => "has two without a tenant".to_owned(),
                };
                return Err(self.fault("budgets", place, problem));
            }
            budgets.push(budget);
        }
        Ok(budgets)
    }
}
