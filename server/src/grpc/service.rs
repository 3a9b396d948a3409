//! The generated service traits and their routers.
#![expect(
    unused_qualifications,
    clippy::allow_attributes_without_reason,
    reason = "generated code"
)]

tonic::include_proto!("taiwa.v1.AgentService");
tonic::include_proto!("taiwa.v1.SessionService");
