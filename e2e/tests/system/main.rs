//! Whole-system tests: client, server, SDK and simulator, over real sockets.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod absent;
mod discovery;
mod equivalence;
mod exceptions;
mod faults;
mod limits;
mod outcomes;
mod raw;
mod reasons;
mod requests;
mod retries;
mod states;
mod strangers;
mod views;
