//! Taiwa's server: gRPC, sessions, Bedrock.
//!
//! [`app::start`] puts a whole server together; the modules are public for those who embed parts
//! of it, and for tests.

pub mod agents;
pub mod app;
pub mod budget;
pub mod config;
pub mod grpc;
pub mod model;
pub mod program;
pub mod session;
pub mod shutdown;
pub mod store;
pub mod telemetry;
pub mod tools;
pub mod transport;

pub use taiwa_tools;
