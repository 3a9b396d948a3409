//! The model: where a turn's model calls go.

pub mod bedrock;
