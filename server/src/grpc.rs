//! The gRPC face: frames are converted once, calls become views of a session's log.

pub mod agent;
mod caller;
mod codec;
mod converse;
pub mod convert;
mod deadline;
mod events;
pub mod refusals;
pub mod request_ids;
pub mod service;
pub mod sessions;
pub mod status;
pub mod tenant;
