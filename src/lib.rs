//! The contract of Taiwa, the agent service for Amazon Bedrock.
//!
//! Everything here is made from `proto/`: messages and client stubs in [`v1`],
//! and the descriptor set that serves reflection. What belongs to the wire
//! types themselves is beside them: the names of error reasons.
//!
//! ```
//! use taiwa::v1 as pb;
//!
//! let request = pb::InvokeRequest {
//!     prompt: "hi".to_owned(),
//!     ..Default::default()
//! };
//! assert_eq!(request.agent_id, "", "empty: the server's default agent");
//! ```

mod reason;

/// The wire types and client stubs of package `taiwa.v1`.
pub mod v1 {
    #![expect(
        unused_qualifications,
        clippy::allow_attributes_without_reason,
        reason = "generated"
    )]

    tonic::include_proto!("taiwa.v1");
}

/// The descriptors of `taiwa.v1` and of all it imports, with comments, as an
/// encoded `google.protobuf.FileDescriptorSet`.
///
/// Serves gRPC reflection and whoever needs message types at run time.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/taiwa.v1.bin"));

/// `google.rpc.ErrorInfo.domain` of every failing status.
pub const DOMAIN: &str = "taiwa.v1";
