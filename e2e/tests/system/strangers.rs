//! What no client of ours would send: a defined answer, and a server unharmed.

use bytes::Bytes;
use prost::Message as _;
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use taiwa::v1::{self as pb, ErrorReason, converse_request::Frame};
use taiwa_e2e::{
    Settings, World,
    call::{self, Conversation, prompt},
    told::Told,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};
use tonic::Code;

use crate::{
    raw::{Raw, framed},
    views::asked,
};

const METHODS: [&str; 8] = [
    "Invoke",
    "InvokeStream",
    "Converse",
    "GetTurn",
    "CancelTurn",
    "CountTokens",
    "ListAgents",
    "GetAgent",
];

/// Bytes that are no message of any method.
const GARBAGE: [&[u8]; 6] = [
    &[0xff; 12],
    // A string that is longer than what follows.
    &[0x0a, 0x7f, b'a'],
    // A string that is not UTF-8.
    &[0x0a, 0x02, 0xff, 0xfe],
    // A group that nothing ends.
    &[0x0b],
    // Field number zero.
    &[0x00, 0x01],
    // A varint without end.
    &[
        0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01,
    ],
];

#[tokio::test]
async fn garbage_as_a_message_is_an_invalid_request_on_every_method() {
    let world = World::persona().await;
    let mut raw = Raw::connect(&world).await;
    for method in METHODS {
        for garbage in GARBAGE {
            let reply = raw.post(method, &[], framed(garbage)).await.unwrap();
            let told = Told::of(&reply.status());
            assert_eq!(told.code, Code::InvalidArgument, "{method} {garbage:?}");
            assert_eq!(
                told.reason,
                ErrorReason::InvalidRequest,
                "{method} {garbage:?}"
            );
        }
    }
    world.check_unharmed().await;
}

#[tokio::test]
async fn garbage_within_a_conversation_ends_its_stream_alone() {
    let world = World::persona().await;
    let mut client = world.client().await;
    let mut other = Conversation::open(&mut client).await;
    other.say("hello").await;
    other.turn().await;
    let mut raw = Raw::connect(&world).await;
    let good = pb::ConverseRequest {
        frame: Some(Frame::Prompt("hi".to_owned())),
        ..pb::ConverseRequest::default()
    };
    for garbage in GARBAGE {
        let body = [framed(&good.encode_to_vec()), framed(garbage)].concat();
        let reply = raw.post("Converse", &[], body.into()).await.unwrap();
        let told = Told::of(&reply.status());
        assert_eq!(told.reason, ErrorReason::InvalidRequest, "{garbage:?}");
        assert!(!reply.body.is_empty(), "session_ready came before");
    }
    other.say("still there?").await;
    other.turn().await;
    assert!(other.finish().await.end.is_ok());
}

#[tokio::test]
async fn bytes_at_random_get_a_status_each() {
    let world = World::persona().await;
    let mut raw = Raw::connect(&world).await;
    let mut random = StdRng::seed_from_u64(7);
    for round in 0..200 {
        let mut bytes = vec![0; random.random_range(0..64)];
        random.fill(&mut bytes[..]);
        let body: Bytes = if round % 2 == 0 {
            framed(&bytes)
        } else {
            bytes.into()
        };
        let method = METHODS[round % METHODS.len()];
        let reply = raw.post(method, &[], body).await.unwrap();
        let code = reply.status().code();
        assert_ne!(code, Code::Unknown, "{method}: {reply:?}");
    }
    world.check_unharmed().await;
}

#[tokio::test]
async fn what_is_not_framed_as_grpc_frames_is_an_invalid_request() {
    let world = World::persona().await;
    let mut raw = Raw::connect(&world).await;
    let cut = framed(&[0; 64]).slice(..20);
    let compressed = Bytes::from_static(&[1, 0, 0, 0, 1, 0]);
    let unknown_flag = Bytes::from_static(&[7, 0, 0, 0, 0]);
    let nothing = Bytes::new();
    for method in METHODS {
        for body in [&cut, &compressed, &unknown_flag, &nothing] {
            let status = raw.post(method, &[], body.clone()).await.unwrap().status();
            if method == "Converse" && body.is_empty() {
                assert_eq!(status.code(), Code::Ok, "half-close without a frame");
                continue;
            }
            let told = Told::of(&status);
            assert_eq!(
                told.code,
                Code::InvalidArgument,
                "{method} {body:?}: {told:?}"
            );
            assert_eq!(
                told.reason,
                ErrorReason::InvalidRequest,
                "{method} {body:?}"
            );
        }
    }
    world.check_unharmed().await;
}

#[tokio::test]
async fn messages_that_are_too_large_are_told_so() {
    let settings = Settings {
        max_message_bytes: 64 << 10,
        ..Settings::default()
    };
    let world = World::with("", settings).await;
    let mut client = world.client().await;
    let large = prompt(&"x".repeat(65 << 10));
    let status = call::invoke(&mut client, large.clone()).await.unwrap_err();
    let streamed = call::invoke_stream(&mut client, large.clone()).await;
    let mut conversation = Conversation::open(&mut client).await;
    conversation.say("hello").await;
    conversation.turn().await;
    conversation.say(&large.prompt).await;
    let frame = conversation.rest().await;
    for status in [status, streamed.end.unwrap_err(), frame.end.unwrap_err()] {
        let told = Told::of(&status);
        assert_eq!(told.code, Code::ResourceExhausted, "{told:?}");
        assert_eq!(told.reason, ErrorReason::LimitExceeded);
        assert!(told.message.contains("65536"), "{told:?}");
    }
    world.check_unharmed().await;
}

#[tokio::test]
async fn a_timeout_of_another_form_is_refused_by_name() {
    let world = World::persona().await;
    let mut raw = Raw::connect(&world).await;
    let request = framed(&prompt("hi").encode_to_vec());
    for value in ["5x", "", "123456789S", "-1S", "1.5S", "soon"] {
        for method in ["Invoke", "InvokeStream", "Converse", "CountTokens"] {
            let headers = [("grpc-timeout", value)];
            let reply = raw.post(method, &headers, request.clone()).await.unwrap();
            let told = Told::of(&reply.status());
            assert_eq!(
                told.code,
                Code::InvalidArgument,
                "{method} {value:?}: {told:?}"
            );
            assert_eq!(told.fields, ["grpc-timeout"], "{method} {value:?}");
        }
    }
}

#[tokio::test]
async fn headers_may_be_large_but_not_huge() {
    let world = World::persona().await;
    let mut raw = Raw::connect(&world).await;
    let request = framed(&prompt("hi").encode_to_vec());
    let large = "a".repeat(8 << 10);
    let reply = raw
        .post("Invoke", &[("x-large", &large)], request.clone())
        .await
        .unwrap();
    assert_eq!(reply.status().code(), Code::Ok);
    let huge = "a".repeat(63 << 10);
    let reply = raw
        .post("Invoke", &[("x-huge", &huge)], request)
        .await
        .unwrap();
    assert_eq!(reply.http, 431, "{reply:?}");
    world.check_unharmed().await;
}

#[tokio::test]
async fn what_is_not_served_is_told_so() {
    let world = World::persona().await;
    let mut raw = Raw::connect(&world).await;
    let request = framed(&prompt("hi").encode_to_vec());
    for path in ["Nothing", "/taiwa.v1.Nobody/Invoke", "/", "/a/b/c"] {
        let reply = raw.post(path, &[], request.clone()).await.unwrap();
        assert_eq!(reply.status().code(), Code::Unimplemented, "{path}");
    }
    let encoded = raw
        .post("Invoke", &[("grpc-encoding", "snappy")], request.clone())
        .await
        .unwrap();
    assert_eq!(encoded.status().code(), Code::Unimplemented);
    world.check_unharmed().await;
}

#[tokio::test]
async fn what_does_not_call_itself_grpc_is_refused_before_it_is_read() {
    let world = World::persona().await;
    let mut raw = Raw::connect(&world).await;
    let request = framed(&prompt("hi").encode_to_vec());
    for content_type in ["application/json", "text/plain", "", "application/grpc-web"] {
        let headers = [("content-type", content_type)];
        let reply = raw.post("Invoke", &headers, request.clone()).await.unwrap();
        assert_eq!(reply.http, 415, "{content_type:?}: {reply:?}");
        let told = Told::of(&reply.status());
        assert_eq!(told.fields, ["content-type"], "{content_type:?}");
    }
    assert_eq!(asked(&world).len(), 0, "no turn ran");
    for content_type in ["application/grpc+proto", "application/grpc;charset=utf-8"] {
        let headers = [("content-type", content_type)];
        let reply = raw.post("Invoke", &headers, request.clone()).await.unwrap();
        assert_eq!(
            reply.status().code(),
            Code::Ok,
            "{content_type:?}: {reply:?}"
        );
    }
}

#[tokio::test]
async fn http_1_is_answered_in_its_own_words_and_closed() {
    let world = World::persona().await;
    let mut stream = TcpStream::connect(world.server.local_addr()).await.unwrap();
    let request = b"POST /taiwa.v1.AgentService/Invoke HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/grpc\r\ncontent-length: 0\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    let end = timeout(call::PATIENCE, stream.read_to_end(&mut answer)).await;
    end.expect("the connection is closed").unwrap();
    let answer = String::from_utf8_lossy(&answer);
    assert!(
        answer.starts_with("HTTP/1.1 505 ") || answer.starts_with("HTTP/1.1 4"),
        "{answer}"
    );
    world.check_unharmed().await;
}
