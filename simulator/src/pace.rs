//! Cadence: when each piece of an answer is due.

use std::time::Duration;

use rand::{Rng, SeedableRng, rngs::SmallRng};

/// The longest wait; more would overflow the clock, and nobody waits so long.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

/// How fast an answer comes.
///
/// The default has no delays at all.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Pace {
    /// Time from the request to the response headers. Default: none.
    pub headers_delay: Duration,
    /// Time from the headers to the first piece of content. Default: none.
    pub first_token_delay: Duration,
    /// Time between pieces of content. Default: none.
    pub rhythm: Rhythm,
    /// Share by which each time between pieces may vary, 0 to 1. Default: 0.
    pub jitter: f64,
    /// Seed of the jitter; the same seed gives the same times. Default: 0.
    pub seed: u64,
}

/// The time between pieces of content.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum Rhythm {
    /// Everything at once, in large writes.
    #[default]
    AtOnce,
    /// The same time between any two pieces.
    PerChunk(Duration),
    /// A piece takes as long as its tokens at this many tokens a second.
    TokensPerSecond(f64),
}

impl Pace {
    /// The cadence of a mid-sized hosted model: first token after 250 ms, then about
    /// 45 tokens a second.
    ///
    /// A guess at what is typical, not a measurement.
    #[must_use]
    pub fn real() -> Self {
        Self {
            headers_delay: Duration::from_millis(150),
            first_token_delay: Duration::from_millis(100),
            rhythm: Rhythm::TokensPerSecond(45.0),
            jitter: 0.25,
            seed: 0,
        }
    }

    /// The time from the headers to the last of so many pieces, jitter left aside.
    pub(crate) fn whole_duration(&self, chunks: u64, tokens: u64) -> Duration {
        let later = chunks.saturating_sub(1);
        let rest = match self.rhythm {
            Rhythm::AtOnce => 0.0,
            Rhythm::PerChunk(wait) => wait.as_secs_f64() * later as f64,
            Rhythm::TokensPerSecond(rate) => {
                let per_chunk = tokens as f64 / chunks.max(1) as f64;
                per_chunk * later as f64 / rate
            }
        };
        let rest = Duration::try_from_secs_f64(rest).unwrap_or(Duration::MAX);
        self.first_token_delay.saturating_add(rest)
    }
}

/// The running cadence of one answer.
#[derive(Debug)]
pub(crate) struct Metronome {
    pace: Pace,
    rng: SmallRng,
    started: bool,
}

impl Metronome {
    pub(crate) fn new(mut pace: Pace) -> Self {
        pace.jitter = pace.jitter.clamp(0.0, 1.0);
        let rng = SmallRng::seed_from_u64(pace.seed);
        Self {
            pace,
            rng,
            started: false,
        }
    }

    /// The wait before a piece of so many tokens.
    pub(crate) fn before_chunk(&mut self, tokens: u64) -> Duration {
        if !self.started {
            self.started = true;
            return self.pace.first_token_delay.min(LONGEST);
        }
        let wait = match self.pace.rhythm {
            Rhythm::AtOnce => return Duration::ZERO,
            Rhythm::PerChunk(wait) => wait,
            Rhythm::TokensPerSecond(rate) => {
                Duration::try_from_secs_f64(tokens as f64 / rate).unwrap_or(LONGEST)
            }
        };
        if self.pace.jitter == 0.0 {
            return wait.min(LONGEST);
        }
        let factor = self
            .rng
            .random_range(1.0 - self.pace.jitter..=1.0 + self.pace.jitter);
        wait.mul_f64(factor).min(LONGEST)
    }

    /// Whether pieces need no token count and no timer.
    pub(crate) fn is_at_once(&self) -> bool {
        self.started && self.pace.rhythm == Rhythm::AtOnce
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_piece_waits_for_the_first_token_then_the_rhythm_rules() {
        let mut metronome = Metronome::new(Pace {
            first_token_delay: Duration::from_millis(300),
            rhythm: Rhythm::PerChunk(Duration::from_millis(48)),
            ..Pace::default()
        });
        let waits: Vec<_> = (0..3)
            .map(|_| metronome.before_chunk(1).as_millis())
            .collect();
        assert_eq!(waits, [300, 48, 48]);
    }

    #[test]
    fn the_whole_takes_as_long_as_its_pieces() {
        let mut pace = Pace {
            first_token_delay: Duration::from_millis(300),
            rhythm: Rhythm::PerChunk(Duration::from_millis(48)),
            ..Pace::default()
        };
        assert_eq!(pace.whole_duration(3, 0).as_millis(), 300 + 2 * 48);
        assert_eq!(pace.whole_duration(0, 0).as_millis(), 300);
        pace.rhythm = Rhythm::TokensPerSecond(10.0);
        assert_eq!(pace.whole_duration(5, 10).as_millis(), 300 + 800);
    }

    #[test]
    fn the_same_seed_gives_the_same_jitter_within_its_share() {
        let waits = |seed| {
            let pace = Pace {
                rhythm: Rhythm::TokensPerSecond(100.0),
                jitter: 0.5,
                seed,
                ..Pace::default()
            };
            let mut metronome = Metronome::new(pace);
            (0..50)
                .map(|_| metronome.before_chunk(10))
                .collect::<Vec<_>>()
        };
        assert_eq!(waits(1), waits(1));
        assert_ne!(waits(1), waits(2));
        for wait in &waits(1)[1..] {
            assert!((50..=150).contains(&wait.as_millis()), "{wait:?}");
        }
    }
}
