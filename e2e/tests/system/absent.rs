//! What is not there: agents, models, sessions, turns, calls; and content that nobody takes.

use taiwa::v1::{self as pb, ErrorReason, content_block::Block, converse_request::Frame};
use taiwa_e2e::{
    World,
    call::{self, Conversation, prompt},
    told::Told,
};
use tonic::Code;

use crate::views::Views;

#[tokio::test]
async fn an_unknown_agent_is_told_by_every_call() {
    let world = World::persona().await;
    let mut client = world.client().await;
    let agent_id = "nobody".to_owned();
    let request = pb::InvokeRequest {
        agent_id: agent_id.clone(),
        ..prompt("hi")
    };
    let invoke = call::invoke(&mut client, request.clone())
        .await
        .unwrap_err();
    let stream = call::invoke_stream(&mut client, request).await;
    let conversation = Conversation::open(&mut client).await;
    let setup = pb::SessionSetup {
        agent_id: agent_id.clone(),
        ..pb::SessionSetup::default()
    };
    conversation.send(Frame::Setup(setup)).await;
    let converse = conversation.finish().await;
    let count = pb::CountTokensRequest {
        agent_id: agent_id.clone(),
        prompt: "hi".to_owned(),
        ..pb::CountTokensRequest::default()
    };
    let count = client.count_tokens(count).await.unwrap_err();
    let get = client
        .get_agent(pb::GetAgentRequest { agent_id })
        .await
        .unwrap_err();
    let statuses = [
        invoke,
        stream.end.unwrap_err(),
        converse.end.unwrap_err(),
        count,
        get,
    ];
    for status in statuses {
        let told = Told::of(&status);
        assert_eq!(told.code, Code::NotFound, "{told:?}");
        assert_eq!(told.reason, ErrorReason::AgentNotFound);
        assert_eq!(told.metadata["agent_id"], "nobody");
        assert_eq!(told.message, "there is no agent \"nobody\"");
    }
}

#[tokio::test]
async fn a_model_that_the_provider_does_not_know_fails_the_turn() {
    let world = World::persona().await;
    let request = pb::InvokeRequest {
        options: Some(pb::TurnOptions {
            model_id: "nobody.knows-v1:0".to_owned(),
            ..pb::TurnOptions::default()
        }),
        ..prompt("hi")
    };
    let (told, _) = Views::of(&world, &request).await.agreed_failure();
    assert_eq!(told.reason, ErrorReason::ModelRejectedRequest);
    assert!(
        told.message.contains("model identifier is invalid"),
        "{told:?}"
    );
    world.check_unharmed().await;
}

#[tokio::test]
async fn unknown_sessions_and_turns_are_told() {
    let world = World::persona().await;
    let mut client = world.client().await;
    let hello = call::invoke(&mut client, prompt("hi"))
        .await
        .unwrap()
        .result
        .unwrap();
    let cases = [
        ("nobody", "", ErrorReason::SessionNotFound),
        ("nobody", &hello.turn_id, ErrorReason::SessionNotFound),
        (&hello.session_id, "nobody", ErrorReason::TurnNotFound),
    ];
    for (session_id, turn_id, reason) in cases {
        let get = pb::GetTurnRequest {
            session_id: session_id.to_owned(),
            turn_id: turn_id.to_owned(),
        };
        let get = client.get_turn(get).await.unwrap_err();
        let cancel = pb::CancelTurnRequest {
            session_id: session_id.to_owned(),
            turn_id: turn_id.to_owned(),
            ..pb::CancelTurnRequest::default()
        };
        let cancel = client.cancel_turn(cancel).await.unwrap_err();
        for status in [get, cancel] {
            let told = Told::of(&status);
            assert_eq!(
                (told.code, told.reason),
                (Code::NotFound, reason),
                "{told:?}"
            );
        }
    }
    let count = pb::CountTokensRequest {
        session_id: "nobody".to_owned(),
        ..pb::CountTokensRequest::default()
    };
    let told = Told::of(&client.count_tokens(count).await.unwrap_err());
    assert_eq!(told.reason, ErrorReason::SessionNotFound);
    let unnamed = client
        .get_turn(pb::GetTurnRequest::default())
        .await
        .unwrap_err();
    assert_eq!(Told::of(&unnamed).fields, ["session_id"]);
    let unnamed = client
        .cancel_turn(pb::CancelTurnRequest::default())
        .await
        .unwrap_err();
    assert_eq!(Told::of(&unnamed).fields, ["session_id"]);
}

#[tokio::test]
async fn content_that_nobody_takes_is_unsupported() {
    let world = World::persona().await;
    let image = pb::Image {
        media_type: "image/x-portable-pixmap".to_owned(),
        source: Some(pb::MediaSource {
            source: Some(pb::media_source::Source::Data(vec![1, 2, 3].into())),
        }),
        ..pb::Image::default()
    };
    let request = pb::InvokeRequest {
        content: vec![pb::ContentBlock {
            block: Some(Block::Image(image)),
        }],
        ..prompt("hi")
    };
    let mut client = world.client().await;
    let status = call::invoke(&mut client, request).await.unwrap_err();
    let told = Told::of(&status);
    assert_eq!(told.code, Code::InvalidArgument);
    assert_eq!(told.reason, ErrorReason::UnsupportedContent);
    assert_eq!(told.fields, ["content[0].image.media_type"]);
}

#[tokio::test]
async fn a_result_that_no_call_waits_for_is_refused() {
    let world = World::persona().await;
    let mut client = world.client().await;
    let hello = call::invoke(&mut client, prompt("hi"))
        .await
        .unwrap()
        .result
        .unwrap();
    let request = pb::InvokeRequest {
        session_id: hello.session_id,
        tool_results: vec![pb::ToolResult {
            tool_call_id: "call_9".to_owned(),
            text: "42".to_owned(),
            ..pb::ToolResult::default()
        }],
        ..pb::InvokeRequest::default()
    };
    let told = Told::of(&call::invoke(&mut client, request).await.unwrap_err());
    assert_eq!(told.code, Code::FailedPrecondition);
    assert_eq!(told.reason, ErrorReason::CallNotPending);
    assert_eq!(told.metadata["tool_call_id"], "call_9");
}
