//! Whole-system tests: client, server, SDK and simulator, over real sockets.

mod absent;
mod equivalence;
mod exceptions;
mod faults;
mod outcomes;
mod raw;
mod requests;
mod retries;
mod strangers;
mod views;
