//! The store: one suite for every place that it may be in, and what is SQLite's alone.

mod behaviour;
mod bench;
