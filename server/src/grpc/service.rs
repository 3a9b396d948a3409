//! The generated service trait and its router.
#![expect(unused_qualifications, reason = "generated code")]

tonic::include_proto!("taiwa.v1.AgentService");
