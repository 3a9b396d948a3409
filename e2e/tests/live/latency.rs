//! Times that were measured, and what must hold of them.

use std::time::Duration;

/// What a quiet machine must keep to at the 99th percentile.
const GOAL: Duration = Duration::from_millis(10);

/// What is asserted: machines that run tests are shared.
const BOUND: Duration = Duration::from_millis(50);

/// Times of one kind.
#[derive(Debug, Default)]
pub(crate) struct Latencies(Vec<Duration>);

impl Latencies {
    pub(crate) fn add(&mut self, time: Duration) {
        self.0.push(time);
    }

    /// Prints the percentiles, and checks that there are enough and that they are short enough.
    pub(crate) fn check(mut self, what: &str, least: usize) {
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
        assert!(p99 <= BOUND, "{what}: p99 is {p99:?}");
    }

    fn percentile(&self, percent: usize) -> Duration {
        let rank = (self.0.len() * percent).div_ceil(100);
        self.0[rank - 1]
    }
}
