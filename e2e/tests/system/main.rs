//! Whole-system tests: client, server, SDK and simulator, over real sockets.

mod equivalence;
mod exceptions;
mod outcomes;
mod retries;
mod views;
