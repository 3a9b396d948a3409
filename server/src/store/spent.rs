//! What tenants have spent of their budgets, by period.

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// The most that is counted: the largest integer of SQLite.
pub(super) const MOST_SPENT: u64 = i64::MAX as u64;

/// A period of a budget: from a multiple of its length since 1970-01-01T00:00:00Z to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Period {
    /// How long it is, in milliseconds; at least 1.
    pub length_ms: u64,
    /// How many there were before it.
    pub number: u64,
}

/// What a tenant has spent in a period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spent {
    /// The period.
    pub period: Period,
    /// Tokens, input and output; counted up to the largest signed integer of 64 bits.
    pub tokens: u64,
    /// Cost in picodollars; counted as far as tokens are.
    pub cost: u64,
}

/// What a tenant has spent in a period, and who it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpentRow {
    /// The tenant; empty where tenants are not told apart.
    pub tenant: Arc<str>,
    /// What it has spent.
    pub spent: Spent,
}

impl Period {
    /// The period of this length in which a time is; times before 1970 are in the first.
    ///
    /// The length counts in whole milliseconds, and as one where it is less.
    pub fn at(length: Duration, time: SystemTime) -> Self {
        let length_ms = millis(length).max(1);
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            length_ms,
            number: millis(since) / length_ms,
        }
    }

    /// When it is forgotten, at the end of the period after it; `None` for beyond all clocks.
    ///
    /// A clock that runs ahead and is set right finds what was spent before that.
    pub(super) fn expires(self) -> Option<SystemTime> {
        let next_end = self.number.saturating_add(2).saturating_mul(self.length_ms);
        UNIX_EPOCH.checked_add(Duration::from_millis(next_end))
    }

    pub(super) fn is_forgotten(self, now: SystemTime) -> bool {
        self.expires().is_some_and(|at| at <= now)
    }
}

impl Spent {
    pub(super) fn nothing(period: Period) -> Self {
        Self {
            period,
            tokens: 0,
            cost: 0,
        }
    }

    /// Adds what was spent since.
    pub(super) fn add(&mut self, more: &Self) {
        self.tokens = self.tokens.saturating_add(more.tokens).min(MOST_SPENT);
        self.cost = self.cost.saturating_add(more.cost).min(MOST_SPENT);
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
