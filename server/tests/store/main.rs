//! The store: one suite for every place that it may be in, and what is SQLite's alone.

#![expect(clippy::unwrap_used, reason = "what a test does not expect ends it")]

mod behaviour;
mod bench;
mod spent;
