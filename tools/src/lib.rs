//! The tools that a server runs for its agents: where they come from, and how one is called.
//!
//! A [`Tool`] has a [`Definition`], which the model sees, and is called with a [`Call`], whose input
//! is JSON that fits the definition's schema: nobody calls it with anything else. It gives an
//! [`Output`] or says in an [`Error`] what the model is to know. Dropping the call's future cancels
//! the call; what runs elsewhere is told so at once.
//!
//! A [`Source`] gives tools, and may give others later.

pub mod builtin;
mod call;
mod function;
pub mod grpc;
pub mod mcp;
mod source;

use std::fmt;

use futures_util::future::BoxFuture;
use taiwa_core::tool::Schema;

pub use self::{
    call::{Allowance, Call, Caller, Error, Output, Progress, ProgressReader},
    function::Function,
    source::{Fixed, Source, Tools},
};

/// A tool that the server runs.
pub trait Tool: fmt::Debug + Send + Sync {
    /// What the model is told of it.
    fn definition(&self) -> &Definition;

    /// Calls it.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future cancels the call; it must not block and must leave nothing behind.
    fn call(&self, call: Call) -> BoxFuture<'static, Result<Output, Error>>;
}

/// What a model is told of a tool.
#[derive(Clone, Debug, PartialEq)]
pub struct Definition {
    /// Its name in its source: 1 to 64 of letters, digits, underscore, hyphen.
    pub name: String,
    /// What it does and when to use it; may be empty.
    pub description: String,
    /// JSON Schema of its input: of an object.
    pub schema: Schema,
}
