//! The mapping to and from Bedrock, through the real SDK over HTTP.
//!
//! The other side is a raw socket that says exactly what a test tells it, so that signing,
//! framing, chunking and error parsing take part.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod cancel;
mod environment;
mod failures;
mod frame;
mod peer;
mod requests;
mod streams;
mod surface;
