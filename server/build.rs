//! Generates the server side of the contract's services, over encoded events.
//!
//! The contract crate generates messages and client stubs. The server's traits are made here, since
//! a stream's item is an event that was encoded once, when it entered its session's log.
//! `grpc::service` has the test that holds this list to the contract.

use tonic_build::manual::{Builder, Method, Service};

/// Encodes and decodes generated messages.
const MESSAGES: &str = "crate::grpc::codec::MessageCodec";
/// Decodes generated messages, and passes encoded events on.
const EVENTS: &str = "crate::grpc::codec::EventCodec";

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let agents = Service::builder()
        .name("AgentService")
        .package("taiwa.v1")
        .comment("Runs turns of conversation with agents.")
        .method(unary("invoke", "Invoke"))
        .method(events("invoke_stream", "InvokeStream", "taiwa::v1::InvokeRequest").build())
        .method(
            events("converse", "Converse", "taiwa::v1::ConverseRequest")
                .client_streaming()
                .build(),
        )
        .method(
            events(
                "resume_stream",
                "ResumeStream",
                "taiwa::v1::ResumeStreamRequest",
            )
            .build(),
        )
        .method(unary("get_turn", "GetTurn"))
        .method(unary("cancel_turn", "CancelTurn"))
        .method(unary("count_tokens", "CountTokens"))
        .method(unary("list_agents", "ListAgents"))
        .method(unary("get_agent", "GetAgent"))
        .build();
    let sessions = Service::builder()
        .name("SessionService")
        .package("taiwa.v1")
        .comment("Keeps conversations: their history, settings and lifetime.")
        .method(unary("create_session", "CreateSession"))
        .method(unary("get_session", "GetSession"))
        .method(unary("list_sessions", "ListSessions"))
        .method(unary("list_messages", "ListMessages"))
        .method(unary("delete_session", "DeleteSession"))
        .build();
    Builder::new()
        .build_client(false)
        .build_transport(false)
        .compile(&[agents, sessions]);
}

fn unary(name: &str, route: &str) -> Method {
    Method::builder()
        .name(name)
        .route_name(route)
        .input_type(format!("taiwa::v1::{route}Request"))
        .output_type(format!("taiwa::v1::{route}Response"))
        .codec_path(MESSAGES)
        .build()
}

fn events(name: &str, route: &str, input: &str) -> tonic_build::manual::MethodBuilder {
    Method::builder()
        .name(name)
        .route_name(route)
        .input_type(input)
        .output_type("bytes::Bytes")
        .codec_path(EVENTS)
        .server_streaming()
}
