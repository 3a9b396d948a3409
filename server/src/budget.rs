//! Budgets that the turns of a tenant share: reserved before each model call, settled after it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use taiwa_core::{
    ModelRequest, Usage,
    input::StepId,
    price::{Price, Prices},
};
use tokio::sync::Notify;
use tracing::warn;

use crate::store::{Key, Period, Spent, SpentRow};

/// What the turns of one tenant may spend together in one period.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The tenant; `None` means each tenant that has no budget of its own.
    pub tenant: Option<String>,
    /// Most tokens, input and output; `None` means no limit.
    pub max_tokens: Option<u64>,
    /// Most cost, in picodollars; `None` means no limit.
    ///
    /// A model without a price is refused then.
    pub max_cost: Option<u64>,
    /// How long a period is, counted from 1970-01-01T00:00:00Z; `None` means as long as the
    /// server runs: only what is spent in periods is kept in the store.
    ///
    /// With another length the count begins anew.
    pub period: Option<Duration>,
}

impl Config {
    fn period(&self) -> Option<Duration> {
        self.period.filter(|period| !period.is_zero())
    }
}

/// Output tokens that are reserved at a time for a call whose output is not limited.
///
/// No model of Bedrock takes less as its limit, so that less can be told as one.
const PIECE: u64 = 2_048;

/// Tokens that the frame of a message costs; a guess above what is known of models.
const PER_MESSAGE: u64 = 8;

/// What is reserved for a hundred estimated tokens of input, before it is known how the provider
/// counts a tenant's texts; and at most, when it is known.
///
/// Four bytes a token are usual for English; code and other scripts have fewer.
const INPUT_PERCENT: u64 = 150;
const MOST_INPUT_PERCENT: u64 = 400;

/// What a model call is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Grant {
    /// All it asks for: no budget is shared.
    Free,
    /// So much.
    Limited {
        /// Most output tokens to tell the model; `None` means as it was asked for.
        max_tokens: Option<u32>,
        /// Output tokens after which more has to be asked for.
        watched_tokens: Option<u64>,
    },
    /// Nothing is left.
    Refused,
}

/// What is said to a call that asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Granted(Grant),
    /// What is left is held by calls that are open, and may not need it.
    Later,
}

/// The accounts of all tenants.
#[derive(Clone, Debug, Default)]
pub struct Accounts {
    budgets: Arc<[Config]>,
    accounts: Arc<Mutex<HashMap<Arc<str>, Account>>>,
    /// Told when a call gives back what it held.
    freed: Arc<Notify>,
}

/// What a tenant has spent, and what its open calls may spend.
#[derive(Debug)]
struct Account {
    /// Where there are periods, the one that is counted.
    period: Option<Period>,
    tokens: u64,
    cost: u64,
    /// By session, each of which has one call open at most.
    open: HashMap<Arc<str>, (StepId, Hold)>,
    /// What all of those hold.
    held_tokens: u64,
    held_cost: u64,
    /// The most that input was counted at, for a hundred estimated tokens.
    input_percent: u64,
}

impl Default for Account {
    fn default() -> Self {
        Self {
            period: None,
            tokens: 0,
            cost: 0,
            open: HashMap::new(),
            held_tokens: 0,
            held_cost: 0,
            input_percent: INPUT_PERCENT,
        }
    }
}

/// What an open call may spend.
#[derive(Clone, Copy, Debug)]
struct Hold {
    /// As it was estimated.
    estimate: u64,
    /// As much as that may turn out to be.
    input_tokens: u64,
    output_tokens: u64,
    price: Option<Price>,
}

impl Hold {
    fn tokens(&self) -> u64 {
        self.input_tokens.saturating_add(self.output_tokens)
    }

    fn cost(&self) -> u64 {
        let price = self.price;
        price.map_or(0, |price| price.most(self.input_tokens, self.output_tokens))
    }
}

impl Accounts {
    /// Opens accounts in which nothing is spent.
    pub fn new(budgets: Vec<Config>) -> Self {
        Self {
            budgets: budgets.into(),
            accounts: Arc::default(),
            freed: Arc::default(),
        }
    }

    /// Goes on from what earlier processes have spent.
    ///
    /// Only the period that runs counts, and the next, which a clock may have been in that was set
    /// back since. What lies further ahead was counted by a clock that was wrong.
    pub(crate) fn restore(&self, spent: Vec<SpentRow>, now: SystemTime) {
        let mut accounts = self.lock();
        for SpentRow { tenant, spent } in spent {
            let Some(length) = self.budget(&tenant).and_then(Config::period) else {
                continue;
            };
            let running = Period::at(length, now);
            let next = Period {
                number: running.number.saturating_add(1),
                ..running
            };
            if spent.period != running && spent.period != next {
                continue;
            }
            let account = accounts.entry(tenant).or_default();
            if account.period < Some(spent.period) {
                account.period = Some(spent.period);
                account.tokens = spent.tokens;
                account.cost = spent.cost;
            }
        }
    }

    /// True when the turns of a session's tenant share a budget.
    pub(crate) fn limit(&self, key: &Key) -> bool {
        self.budget(&key.tenant).is_some()
    }

    fn budget(&self, tenant: &str) -> Option<&Config> {
        let own = |config: &&Config| config.tenant.as_deref() == Some(tenant);
        let general = |config: &&Config| config.tenant.is_none();
        let mut budgets = self.budgets.iter();
        budgets.clone().find(own).or_else(|| budgets.find(general))
    }

    /// Reserves what a call may spend, and no more than is left; waits for what others hold.
    ///
    /// # Cancel safety
    ///
    /// Nothing is held when the future is dropped before it ends.
    pub(crate) async fn reserve(
        &self,
        key: &Key,
        step: StepId,
        request: &ModelRequest,
        prices: &Prices,
    ) -> Grant {
        let Some(budget) = self.budget(&key.tenant) else {
            return Grant::Free;
        };
        loop {
            let freed = self.freed.notified();
            match self.try_reserve(budget, key, step, request, prices) {
                Answer::Granted(grant) => return grant,
                Answer::Later => freed.await,
            }
        }
    }

    fn try_reserve(
        &self,
        budget: &Config,
        key: &Key,
        step: StepId,
        request: &ModelRequest,
        prices: &Prices,
    ) -> Answer {
        let model_id = request.options.model_id.as_deref().unwrap_or_default();
        let price = prices.find(model_id);
        if budget.max_cost.is_some() && price.is_none() {
            warn!(
                tenant = &*key.tenant,
                model = model_id,
                "refused a model call: the tenant's cost is limited, and the model has no price"
            );
            return Answer::Granted(Grant::Refused);
        }
        let wanted = request.max_tokens.map(u64::from);
        let mut accounts = self.lock();
        let account = accounts.entry(Arc::clone(&key.tenant)).or_default();
        account.turn_over(budget, SystemTime::now());
        let frame = PER_MESSAGE.saturating_mul(request.messages.len() as u64);
        let estimate = request.input_tokens.saturating_add(frame);
        let mut hold = Hold {
            estimate,
            input_tokens: account.input_of(estimate),
            output_tokens: 0,
            price,
        };
        let left = account.left(budget, &hold);
        let full = wanted.unwrap_or(PIECE);
        hold.output_tokens = left.min(full);
        if hold.output_tokens < full && !account.open.is_empty() {
            // With what others hold given back there may be enough.
            return Answer::Later;
        }
        if hold.output_tokens == 0 {
            return Answer::Granted(Grant::Refused);
        }
        account.hold(&key.session_id, step, hold);
        let is_less = hold.output_tokens < full;
        Answer::Granted(Grant::Limited {
            max_tokens: is_less
                .then(|| u32::try_from(hold.output_tokens).ok())
                .flatten(),
            watched_tokens: (wanted.is_none() && !is_less).then_some(hold.output_tokens),
        })
    }

    /// Reserves another piece for an open call; gives the output tokens up to which it may go then.
    pub(crate) fn extend(&self, key: &Key, step: StepId) -> Option<u64> {
        let Some(budget) = self.budget(&key.tenant) else {
            // Nothing was limited.
            return Some(u64::MAX);
        };
        let mut accounts = self.lock();
        let account = accounts.get_mut(&key.tenant)?;
        let (_, hold) = *account
            .open
            .get(&key.session_id)
            .filter(|(open, _)| *open == step)?;
        let piece = Hold {
            estimate: 0,
            input_tokens: 0,
            output_tokens: 0,
            ..hold
        };
        let more = account.left(budget, &piece).min(PIECE);
        if more == 0 {
            return None;
        }
        let output_tokens = hold.output_tokens.saturating_add(more);
        let hold = Hold {
            output_tokens,
            ..hold
        };
        account.hold(&key.session_id, step, hold);
        Some(output_tokens)
    }

    /// Books what a call has used, in place of what was reserved for it; gives what the store has
    /// to keep of it.
    pub(crate) fn settle(&self, key: &Key, step: StepId, usage: &Usage) -> Option<Spent> {
        let budget = self.budget(&key.tenant)?;
        let mut accounts = self.lock();
        let account = accounts.entry(Arc::clone(&key.tenant)).or_default();
        account.turn_over(budget, SystemTime::now());
        let open = account.open.get(&key.session_id).copied();
        if let Some((_, hold)) = open.filter(|(open, _)| *open == step) {
            account.free(&key.session_id);
            account.learn(&hold, usage);
        }
        let (tokens, cost) = (usage.total_tokens, usage.cost.unwrap_or_default());
        account.tokens = account.tokens.saturating_add(tokens);
        account.cost = account.cost.saturating_add(cost);
        let period = account.period;
        drop(accounts);
        self.freed.notify_waiters();
        let period = period.filter(|_| tokens > 0 || cost > 0)?;
        Some(Spent {
            period,
            tokens,
            cost,
        })
    }

    /// Gives back what the calls of a session hold, which nobody will settle any more.
    pub(crate) fn release(&self, key: &Key) {
        if self.budgets.is_empty() {
            return;
        }
        if let Some(account) = self.lock().get_mut(&key.tenant) {
            account.free(&key.session_id);
        }
        self.freed.notify_waiters();
    }

    // The map is whole after every statement, so a panic elsewhere leaves nothing half done.
    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<str>, Account>> {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Account {
    /// What input of this estimate may be counted at, at most.
    fn input_of(&self, estimate: u64) -> u64 {
        estimate.saturating_mul(self.input_percent).div_ceil(100)
    }

    /// Takes note of how the provider counts what was estimated.
    fn learn(&mut self, hold: &Hold, usage: &Usage) {
        if usage.estimated || hold.estimate == 0 {
            return;
        }
        let counted = usage
            .input_tokens
            .saturating_add(usage.cache_read_tokens)
            .saturating_add(usage.cache_write_tokens);
        let percent = counted.saturating_mul(100) / hold.estimate;
        self.input_percent = self.input_percent.max(percent.min(MOST_INPUT_PERCENT));
    }

    /// Holds what a call may spend, in place of what its session held before.
    fn hold(&mut self, session_id: &Arc<str>, step: StepId, hold: Hold) {
        self.free(session_id);
        self.held_tokens = self.held_tokens.saturating_add(hold.tokens());
        self.held_cost = self.held_cost.saturating_add(hold.cost());
        self.open.insert(Arc::clone(session_id), (step, hold));
    }

    fn free(&mut self, session_id: &Arc<str>) {
        if let Some((_, hold)) = self.open.remove(session_id) {
            self.held_tokens = self.held_tokens.saturating_sub(hold.tokens());
            self.held_cost = self.held_cost.saturating_sub(hold.cost());
        }
    }

    /// Begins anew in a later period; what is open is carried over.
    ///
    /// A clock that is set back gives nothing back: what was spent stays spent until the period in
    /// which it was is over once more.
    fn turn_over(&mut self, budget: &Config, now: SystemTime) {
        let Some(length) = budget.period() else {
            return;
        };
        let running = Some(Period::at(length, now));
        if running > self.period {
            self.period = running;
            self.tokens = 0;
            self.cost = 0;
        }
    }

    /// Output tokens that are left beside the input of `call`.
    fn left(&self, budget: &Config, call: &Hold) -> u64 {
        let tokens = budget.max_tokens.map_or(u64::MAX, |most| {
            let used = self.tokens.saturating_add(self.held_tokens);
            most.saturating_sub(used.saturating_add(call.tokens()))
        });
        let bought = budget.max_cost.map_or(u64::MAX, |most| {
            let used = self.cost.saturating_add(self.held_cost);
            let money = most.saturating_sub(used.saturating_add(call.cost()));
            match call.price.map_or(0, |price| price.output) {
                0 if money > 0 => u64::MAX,
                0 => 0,
                output => money / output,
            }
        });
        tokens.min(bought)
    }
}

#[cfg(test)]
mod tests;
