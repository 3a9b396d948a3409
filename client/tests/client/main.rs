//! The library and the command line against a server whose every word the
//! tests choose.

#![expect(clippy::unwrap_used, reason = "a test ends where its footing is gone")]
#![cfg_attr(
    not(feature = "cli"),
    expect(dead_code, reason = "the command asks for more than the library")
)]

mod approvals;
#[cfg(feature = "cli")]
mod cli;
mod connections;
mod conversations;
mod errors;
mod fake;
mod reconnecting;
mod resuming;
mod script;
mod sessions;
mod turns;

/// A turn and a conversation can be held and spoken to from several threads.
const _: fn() = || {
    fn can_be_shared<T: Send + Sync>() {}
    can_be_shared::<taiwa_client::Client>();
    can_be_shared::<taiwa_client::Turn>();
    can_be_shared::<taiwa_client::Conversation>();
};
