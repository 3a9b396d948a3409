//! The generated service trait and its router.
#![expect(missing_docs, reason = "generated code")]

tonic::include_proto!("taiwa.v1.AgentService");
