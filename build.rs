//! Compiles `proto/` to Rust types and a descriptor set, without `protoc`.

use std::{env, error::Error, fs, path::PathBuf};

use prost::Message as _;

/// The files whose imports reach every other one.
const ROOT_PROTOS: [&str; 2] = [
    "taiwa/v1/agent_service.proto",
    "taiwa/v1/session_service.proto",
];

#[expect(
    clippy::disallowed_methods,
    reason = "cargo speaks with build scripts through the environment"
)]
fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto/taiwa");
    let out_dir = PathBuf::from(env::var("OUT_DIR")?);

    let mut compiler = protox::Compiler::new(["proto"])?;
    compiler.include_imports(true).include_source_info(true);
    compiler.open_files(ROOT_PROTOS)?;
    let descriptors = compiler.file_descriptor_set();
    fs::write(out_dir.join("taiwa.v1.bin"), descriptors.encode_to_vec())?;

    tonic_prost_build::configure()
        .build_server(false)
        .build_transport(false)
        .bytes(".taiwa.v1")
        .btree_map(".taiwa.v1")
        // A turn's result is three times the size of any other payload, and
        // deltas are thousands to one.
        .boxed(".taiwa.v1.Event.payload.turn_ended")
        .compile_fds(descriptors)?;
    Ok(())
}
