//! Generates the service that the bare relay implements, and notes how the bench is built.

use std::{
    env, io,
    process::{Command, Output},
};

use tonic_build::manual::{Builder, Method, MethodBuilder, Service};

#[expect(
    clippy::disallowed_methods,
    reason = "cargo speaks with build scripts through the environment"
)]
fn main() -> io::Result<()> {
    println!("cargo:rerun-if-changed=build.rs");
    let rustc = env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    let Output { stdout, .. } = Command::new(rustc).arg("--version").output()?;
    let toolchain = String::from_utf8_lossy(&stdout);
    println!("cargo:rustc-env=BENCH_TOOLCHAIN={}", toolchain.trim());
    let profile = env::var("PROFILE").unwrap_or_default();
    println!("cargo:rustc-env=BENCH_PROFILE={profile}");

    let service = Service::builder()
        .name("AgentService")
        .package("taiwa.v1")
        .comment("The two calls that the bare relay serves.")
        .method(events("invoke_stream", "InvokeStream", "taiwa::v1::InvokeRequest").build())
        .method(
            events("converse", "Converse", "taiwa::v1::ConverseRequest")
                .client_streaming()
                .build(),
        )
        .build();
    Builder::new()
        .build_client(false)
        .build_transport(false)
        .compile(&[service]);
    Ok(())
}

fn events(name: &str, route: &str, input: &str) -> MethodBuilder {
    Method::builder()
        .name(name)
        .route_name(route)
        .input_type(input)
        .output_type("taiwa::v1::Event")
        .codec_path("tonic_prost::ProstCodec")
        .server_streaming()
}
