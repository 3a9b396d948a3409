//! The generated service trait and its router.
#![expect(
    unused_qualifications,
    clippy::allow_attributes_without_reason,
    reason = "generated code"
)]

tonic::include_proto!("taiwa.v1.AgentService");
