//! Whole-system tests: client, server, SDK and simulator, over real sockets.

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
