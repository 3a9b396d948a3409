//! Whole-system tests: client, server, SDK and simulator, over real sockets.

#![expect(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "what a test does not expect ends it"
)]

mod absent;
mod context;
mod discovery;
mod equivalence;
mod exceptions;
mod faults;
mod kept;
mod limits;
mod outcomes;
mod raw;
mod reasons;
mod replies;
mod requests;
mod retries;
mod states;
mod steps;
mod strangers;
mod views;
