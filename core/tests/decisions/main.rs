//! What a session decides: scripts in, transcripts out; and properties over arbitrary inputs.

#![expect(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "what a test does not expect ends it"
)]

mod acts;
mod bedrock;
mod cancellation;
mod consent;
mod context;
mod cost;
mod crash;
mod cuts;
mod damage;
mod deadlines;
mod inputs;
mod life;
mod limits;
mod phases;
mod policies;
mod properties;
mod reference;
mod reply;
mod script;
mod server_tools;
mod shared_budget;
mod store;
mod streams;
mod takeover;
mod tools;
mod transcript;
mod turns;
