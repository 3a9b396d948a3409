//! What the logs of a process hold together.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes that all logs of a process hold.
#[derive(Debug, Default)]
pub struct Held(AtomicUsize);

impl Held {
    /// Bytes held.
    pub fn bytes(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    pub(super) fn add(&self, bytes: usize) {
        self.0.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn sub(&self, bytes: usize) {
        self.0.fetch_sub(bytes, Ordering::Relaxed);
    }
}
