//! Amazon Bedrock Runtime: the only place that names its SDK.
//!
//! [`Bedrock::open`] turns a [`ModelRequest`](taiwa_core::ModelRequest) into a `ConverseStream`
//! call, and [`ModelStream::next`] turns what comes back into
//! [`ModelEvent`](taiwa_core::ModelEvent)s, one for each event of the wire. Both directions are
//! whole: `server/testdata/bedrock-surface.txt` lists every member of the API and whether it is
//! mapped, and a test holds the code to it.
//!
//! Retries are the SDK's and concern only the opening of a call. There is no watch over silence
//! here: how long a model may think is the core's to decide.

mod client;
mod config;
mod content;
mod document;
mod error;
mod guardrail;
mod reasoning;
mod request;
mod stream;
mod tools;
mod verbatim;

pub use self::{
    client::{Bedrock, Opened},
    config::{Config, StaticCredentials},
    stream::ModelStream,
};
