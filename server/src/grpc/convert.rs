//! Wire types to core types and back, each once.
//!
//! The way in is the validation: whoever holds a core value holds a checked one. All faults of a
//! request are found in one pass and told together, each with the path of its field, in one
//! [`Failure`](taiwa_core::Failure). The way out cannot fail.

pub mod agent;
pub mod content;
mod conversation;
pub mod count;
pub mod delivery;
pub mod event;
pub mod frame;
mod identifier;
mod json;
pub mod options;
pub mod page;
pub mod request;
pub mod resume;
pub mod session;
pub mod time;
mod tool;
mod violations;

#[cfg(test)]
pub(crate) mod fixture;
#[cfg(test)]
mod robustness;
