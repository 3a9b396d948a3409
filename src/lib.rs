//! Taiwa's contract.

pub mod v1 {
    //! Generated.
    #![allow(missing_docs, reason = "generated")]
    tonic::include_proto!("taiwa.v1");
}
