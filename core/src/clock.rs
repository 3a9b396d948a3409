//! The two clocks: the one that only rises, by which is waited, and the calendar's, which is told
//! and kept.

use std::time::{Instant, SystemTime};

/// The same moment on both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock {
    /// The moment on the clock that only rises.
    pub instant: Instant,
    /// The moment on the calendar's clock.
    pub system: SystemTime,
}

impl Clock {
    /// Tells the calendar time of an instant.
    ///
    /// A time that the calendar cannot hold, many thousand years away, becomes that of the clock.
    pub fn system_at(&self, at: Instant) -> SystemTime {
        let moved = match at.checked_duration_since(self.instant) {
            Some(later) => self.system.checked_add(later),
            None => self
                .system
                .checked_sub(self.instant.saturating_duration_since(at)),
        };
        moved.unwrap_or(self.system)
    }

    /// Tells the instant of a calendar time.
    ///
    /// A time before the first instant becomes that of the clock.
    pub fn instant_at(&self, at: SystemTime) -> Instant {
        let moved = match at.duration_since(self.system) {
            Ok(later) => self.instant.checked_add(later),
            Err(earlier) => self.instant.checked_sub(earlier.duration()),
        };
        moved.unwrap_or(self.instant)
    }
}
