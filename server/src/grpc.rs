//! The gRPC face: frames in, events out.

pub mod convert;
pub mod status;
