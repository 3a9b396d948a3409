//! How fast the model is read: in bursts while readers keep up, not at all while one lags.

use futures_util::FutureExt as _;
use taiwa_core::{Input, input::CancelCause};
use tokio::time::Instant;

use super::{Task, now};

/// Events of the model taken between two looks at the inbox.
///
/// A cancel waits for at most so many, which takes about 0.1 ms.
const READY_EVENTS: usize = 32;

impl Task {
    /// Takes what the model has said already, so that a burst is paid for once.
    pub(super) fn take_ready(&mut self, first: Input) {
        self.session.handle(first, now());
        self.carry_out();
        for _ in 0..READY_EVENTS {
            // Cancel-safe; what is not ready is waited for by the loop.
            let Some(input) = self.model.next().now_or_never() else {
                break;
            };
            self.session.handle(input, now());
            self.carry_out();
        }
        self.finish_output();
    }

    /// Holds the model while a pacing reader lags, and lets it go on after.
    pub(super) fn hold_if_full(&mut self) {
        if self.held_since.is_none() && self.log.is_full() {
            self.held_since = Some(Instant::now());
            self.session.handle(Input::ModelHeld(true), now());
        }
    }

    pub(super) fn release(&mut self) {
        self.held_since = None;
        self.handle(Input::ModelHeld(false));
    }

    /// Cuts off the readers that held the model for too long.
    pub(super) fn cut_laggards(&mut self) {
        let stalled = self.config.reader_stall_timeout;
        if self
            .held_since
            .is_some_and(|since| since.elapsed() >= stalled)
        {
            for gone in self.log.cut_laggards() {
                self.follow_gone(gone, CancelCause::SlowReader);
            }
            // Nobody lags any more; a time that stays due would keep all else from being seen.
            self.release();
        }
    }
}
