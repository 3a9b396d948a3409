//! When the next attempt is due, and when there is none.

use std::time::Duration;

use tokio::time::Instant;
use uuid::Uuid;

use crate::Reconnect;

/// The failures of a call in a row.
#[derive(Debug)]
pub(crate) struct Backoff {
    settings: Reconnect,
    failures: u32,
    first_failure: Option<Instant>,
}

impl Backoff {
    pub(crate) fn new(settings: Reconnect) -> Self {
        Self {
            settings,
            failures: 0,
            first_failure: None,
        }
    }

    /// The wait before the next attempt; none when there were enough.
    ///
    /// `share` of the bound is waited, and not less than `at_least`, which the server asked for.
    pub(crate) fn delay(
        &mut self,
        now: Instant,
        share: f64,
        at_least: Option<Duration>,
    ) -> Option<Duration> {
        if self.failures >= self.settings.attempts {
            return None;
        }
        let doubled = 2_u32.saturating_pow(self.failures);
        let bound = self.settings.first_delay.saturating_mul(doubled);
        let delay = bound.min(self.settings.max_delay).mul_f64(share);
        let delay = delay.max(at_least.unwrap_or_default());
        let first = *self.first_failure.get_or_insert(now);
        if (now - first).saturating_add(delay) > self.settings.within {
            return None;
        }
        self.failures += 1;
        Some(delay)
    }

    /// How many failures in a row there were.
    pub(crate) fn failures(&self) -> u32 {
        self.failures
    }

    /// Begins the count anew.
    pub(crate) fn succeed(&mut self) {
        self.failures = 0;
        self.first_failure = None;
    }

    /// How long a connection must have stood for its loss not to count on those before.
    pub(crate) fn steady(&self) -> Duration {
        self.settings.max_delay
    }
}

/// A random number from 0 up to 1.
pub(crate) fn random_share() -> f64 {
    // The last 53 bits of such an id are random, and so many a float can hold.
    const STEPS: u64 = 1 << 53;
    let (_, random) = Uuid::new_v4().as_u64_pair();
    #[expect(clippy::cast_precision_loss, reason = "both are below 2^53")]
    let share = (random % STEPS) as f64 / STEPS as f64;
    share
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLISECOND: Duration = Duration::from_millis(1);

    fn settings() -> Reconnect {
        Reconnect::default()
            .attempts(6)
            .within(Duration::from_secs(10))
            .delays(100 * MILLISECOND, 1000 * MILLISECOND)
    }

    #[test]
    fn the_bound_doubles_up_to_the_longest_and_ends_after_the_last_attempt() {
        let mut backoff = Backoff::new(settings());
        let now = Instant::now();

        let delays: Vec<_> = (0..7).map(|_| backoff.delay(now, 1.0, None)).collect();

        let expected = [100, 200, 400, 800, 1000, 1000].map(|delay| Some(delay * MILLISECOND));
        assert_eq!(delays[..6], expected);
        assert_eq!(delays[6], None);
        assert_eq!(backoff.failures(), 6);
    }

    #[test]
    fn a_share_of_the_bound_is_waited_but_not_less_than_the_server_asks_for() {
        let mut backoff = Backoff::new(settings());
        let now = Instant::now();

        assert_eq!(backoff.delay(now, 0.0, None), Some(Duration::ZERO));
        assert_eq!(backoff.delay(now, 0.5, None), Some(100 * MILLISECOND));
        let asked = Some(3 * MILLISECOND);
        assert_eq!(backoff.delay(now, 0.0, asked), asked);
        let too_long = Some(Duration::from_secs(11));
        assert_eq!(backoff.delay(now, 0.0, too_long), None);
    }

    #[test]
    fn the_time_since_the_first_failure_is_bounded_and_success_begins_anew() {
        let mut backoff = Backoff::new(settings());
        let start = Instant::now();
        backoff.delay(start, 1.0, None).unwrap();

        let late = start + Duration::from_secs(10);
        assert_eq!(backoff.delay(late, 1.0, None), None);
        backoff.succeed();
        assert_eq!(backoff.delay(late, 1.0, None), Some(100 * MILLISECOND));
    }

    #[test]
    fn switched_off_there_is_no_attempt() {
        let mut backoff = Backoff::new(Reconnect::off());
        assert_eq!(backoff.delay(Instant::now(), 0.0, None), None);
    }

    #[test]
    fn a_random_share_is_a_part_of_one_and_not_always_the_same() {
        let shares: Vec<f64> = (0..100).map(|_| random_share()).collect();
        assert!(shares.iter().all(|share| (0.0..1.0).contains(share)));
        assert!(shares.iter().any(|&share| share < 0.5));
        assert!(shares.iter().any(|&share| share >= 0.5));
    }
}
