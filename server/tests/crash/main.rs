//! The server is killed, stopped, starved and worn out, and keeps what it has told.
//!
//! The real program on a real file, a simulator behind real HTTP, and clients that note for
//! themselves what they were told; their tools have effects in a real file.
//!
//! `TAIWA_CRASH_KILLS` sets the number of kills, `TAIWA_SOAK_SECONDS` how long the soak takes, and
//! `TAIWA_CRASH_SEED` what is drawn by lot.

#![expect(clippy::unwrap_used, reason = "a test ends where its footing is gone")]
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a client skips what it does not know"
)]

mod caller;
mod chat;
mod child;
mod clients;
mod codec;
mod effects;
mod faults;
mod judge;
mod kept;
mod kills;
mod mid_write;
mod models;
mod record;
mod room;
mod soak;
mod spent;
mod stops;
mod tools;
mod verdict;
mod world;

use std::time::Duration;

/// Longest wait for what must come soon.
const SOON: Duration = Duration::from_secs(10);

/// A number that whoever runs the tests may set.
fn number(name: &str, default: u64) -> u64 {
    match std::env::var_os(name) {
        Some(text) => text.to_str().unwrap().parse().unwrap(),
        None => default,
    }
}
