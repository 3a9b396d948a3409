//! Every decision of Taiwa, without I/O, clock or runtime.
//!
//! A [`Session`] is a value with four kinds of methods: plain getters,
//! [`handle`](Session::handle), which takes what happened and the time at which it happened,
//! [`poll_command`](Session::poll_command) and [`poll_event`](Session::poll_event), which give
//! what the driver must do and what readers are told, and [`deadline`](Session::deadline), the
//! time at which [`Input::Tick`] is due. Time, ids and randomness are inputs, so that the same
//! inputs always give the same outputs.
//!
//! After each `handle` the driver drains the commands, then the events. What holds at all times:
//!
//! * a turn that started ends once, and its end is its last event; a pause is an end until the
//!   turn goes on, even if only to be cancelled;
//! * the history can always be sent to the model: roles alternate and every tool call of a
//!   finished turn has its result; what of it is left out is told;
//! * a tool call is announced only when it is whole, fits its schema, and its model call has ended
//!   well; it reaches one end;
//! * every queue and buffer is bounded by [`Limits`] and the constants beside it;
//! * a frame with an id acts once, and a message that is refused in the end frees its ids.

pub mod agent;
pub mod assemble;
pub mod budget;
mod clock;
pub mod command;
pub mod context;
pub mod error;
pub mod event;
pub mod guardrail;
pub mod history;
pub mod input;
pub mod limits;
pub mod media;
pub mod message;
pub mod model;
pub mod options;
pub mod price;
pub mod saved;
pub mod session;
pub mod tool;
mod turn;
pub mod usage;

pub use self::{
    agent::Agent,
    clock::Clock,
    command::Command,
    error::{Failure, Reason},
    event::{Event, Payload, StopReason, TurnResult, TurnStatus},
    input::Input,
    limits::Limits,
    message::{Block, Message, Role},
    model::{ModelEvent, ModelRequest},
    options::TurnOptions,
    session::Session,
    tool::{ToolCall, ToolResult, ToolSpec},
    usage::Usage,
};
