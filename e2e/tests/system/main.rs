//! Whole-system tests: client, server, SDK and simulator, over real sockets.

mod equivalence;
mod exceptions;
mod faults;
mod outcomes;
mod raw;
mod retries;
mod strangers;
mod views;
