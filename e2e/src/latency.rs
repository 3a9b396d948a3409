//! Times that were measured, and what must hold of them.

use std::time::Duration;

/// What a quiet machine must keep to at the 99th percentile.
const GOAL: Duration = Duration::from_millis(10);

/// What is asserted of a cancel: machines that run tests are shared.
pub const CANCEL: Duration = Duration::from_millis(50);

/// What is asserted of an expiry, whose time holds the call's way to the server and its opening.
pub const EXPIRY: Duration = Duration::from_millis(100);

/// Rounds in which one must be short: a machine that builds beside its tests stalls them.
const ROUNDS: usize = 3;

/// Times of one kind.
#[derive(Debug, Default)]
pub struct Latencies(Vec<Duration>);

impl Latencies {
    /// Takes one more.
    pub fn add(&mut self, time: Duration) {
        self.0.push(time);
    }

    /// Prints the percentiles; true when they keep to `bound`.
    ///
    /// # Panics
    ///
    /// When there are fewer times than `least`.
    pub fn are_short(mut self, what: &str, least: usize, bound: Duration) -> bool {
        assert!(self.0.len() >= least, "{what}: only {} times", self.0.len());
        self.0.sort_unstable();
        let p99 = self.percentile(99);
        eprintln!(
            "{what}: {} times, p50 {:?}, p99 {p99:?}, longest {:?}{}",
            self.0.len(),
            self.percentile(50),
            self.percentile(100),
            if p99 > GOAL { ", above the goal" } else { "" },
        );
        p99 <= bound
    }

    fn percentile(&self, percent: usize) -> Duration {
        let rank = (self.0.len() * percent).div_ceil(100);
        self.0[rank - 1]
    }
}

/// Measures again when the machine was too busy, and fails when it is each time.
///
/// # Panics
///
/// When no round was short.
pub async fn measure(mut run: impl AsyncFnMut() -> bool) {
    for _ in 0..ROUNDS {
        if run().await {
            return;
        }
    }
    panic!("the times were too long in each of {ROUNDS} rounds");
}
