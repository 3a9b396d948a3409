//! Compiles `proto/` to Rust types and a descriptor set, without `protoc`.

use std::{env, error::Error, fs, path::Path};

use prost::Message as _;

const PROTOS: [&str; 1] = ["taiwa/v1/agent_service.proto"];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    let out = env::var("OUT_DIR")?;
    let mut compiler = protox::Compiler::new(["proto"])?;
    compiler.include_imports(true).include_source_info(true);
    compiler.open_files(PROTOS)?;
    let descriptors = compiler.file_descriptor_set();
    fs::write(
        Path::new(&out).join("taiwa.v1.bin"),
        descriptors.encode_to_vec(),
    )?;
    tonic_prost_build::configure()
        .build_client(true)
        .build_server(false)
        .build_transport(false)
        .bytes(".taiwa.v1")
        .btree_map(".taiwa.v1")
        .compile_fds(descriptors)?;
    Ok(())
}
