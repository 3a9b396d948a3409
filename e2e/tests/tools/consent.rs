//! Consent to calls: asked for, answered on the stream or by another call, refused, edited, too late.

use std::{collections::BTreeMap, time::Duration};

use sha2::{Digest as _, Sha256};
use taiwa::v1::{self as pb, converse_request::Frame, event::Payload};
use taiwa_core::{
    Limits,
    tool::{Approval, Schema},
};
use taiwa_e2e::{
    Settings, World,
    call::{Conversation, invoke, invoke_stream, prompt},
    hands::{self, Record},
};
use tonic_types::StatusExt as _;

const SCENARIO: &str = r#"
[[reply]]
when = { has_tool_result = true }
text = "So be it."

[[reply]]
when = { prompt_is = "small" }
content = [{ tool_use = { id = "a", name = "work", input = '{"ms": 1, "say": "x"}' } }]

[[reply]]
content = [{ tool_use = { id = "a", name = "work", input = '{"ms": 100, "say": "original"}' } }]
"#;

async fn asking(approval: Approval, limits: Limits) -> (World, Record) {
    let record = Record::default();
    let mut mount = hands::mount(vec![hands::worker("work", &record)]);
    mount.approval = Some(approval);
    let settings = Settings {
        tools: BTreeMap::from([("assistant".to_owned(), vec![mount])]),
        limits,
        ..Settings::default()
    };
    (World::with(SCENARIO, settings).await, record)
}

async fn asked(world: &World) -> (pb::TurnResult, pb::ApprovalRequest) {
    let mut request = prompt("large");
    request.session_id = "s".to_owned();
    let mut client = world.client().await;
    let result = invoke(&mut client, request)
        .await
        .expect("a pause")
        .result
        .expect("a result");
    assert_eq!(result.status(), pb::TurnStatus::Paused);
    assert_eq!(result.stop_reason(), pb::StopReason::ApprovalRequired);
    assert_eq!(result.pending_tool_calls, []);
    let request = result.pending_approvals[0].clone();
    (result, request)
}

fn decide(decision: pb::ApprovalDecision) -> pb::InvokeRequest {
    pb::InvokeRequest {
        session_id: "s".to_owned(),
        approval_decisions: vec![decision],
        ..pb::InvokeRequest::default()
    }
}

fn yes(request: &pb::ApprovalRequest) -> pb::ApprovalDecision {
    pb::ApprovalDecision {
        approval_id: request.approval_id.clone(),
        approved: true,
        digest: request.digest.clone(),
        ..pb::ApprovalDecision::default()
    }
}

/// What the model was sent last, as text.
fn sent(world: &World) -> String {
    let requests = world.simulator.journal().entries();
    requests.last().expect("a request").request.to_string()
}

#[tokio::test]
async fn a_paused_turn_is_approved_from_another_connection() {
    let (world, record) = asking(Approval::Always, Limits::default()).await;
    let (_, request) = asked(&world).await;
    assert_eq!(record.begun(), 0);
    let call = request.tool_call.clone().expect("the call");
    let mut hash = Sha256::new();
    hash.update(b"work\0");
    hash.update(call.input_json.as_bytes());
    assert_eq!(request.digest, hash.finalize().to_vec());

    let mut wrong = yes(&request);
    wrong.digest = vec![7; 32].into();
    let mut other = world.client().await;
    let status = invoke(&mut other, decide(wrong))
        .await
        .expect_err("another call");
    assert_eq!(status.code(), tonic::Code::InvalidArgument);
    assert!(status.message().contains("digest"), "{status:?}");
    assert_eq!(record.begun(), 0);

    let answer = invoke(&mut other, decide(yes(&request)))
        .await
        .expect("an answer");
    assert_eq!(answer.text, "So be it.");
    assert_eq!(record.begun(), 1);

    // Answered twice: nothing waits any more.
    let status = invoke(&mut other, decide(yes(&request)))
        .await
        .expect_err("twice");
    let info = status.get_details_error_info().expect("a reason");
    assert_eq!(info.reason, "CALL_NOT_PENDING");
    assert_eq!(record.begun(), 1);
}

#[tokio::test]
async fn an_edited_input_that_does_not_fit_leaves_the_question_open() {
    let (world, record) = asking(Approval::Always, Limits::default()).await;
    let (_, request) = asked(&world).await;
    let mut client = world.client().await;
    let mut edited = yes(&request);
    edited.edited_input_json = r#"{"ms": "soon"}"#.to_owned();
    let status = invoke(&mut client, decide(edited))
        .await
        .expect_err("no number");
    assert_eq!(status.code(), tonic::Code::InvalidArgument);
    assert!(status.message().contains("edited_input_json"), "{status:?}");

    let mut edited = yes(&request);
    edited.edited_input_json = r#"{"ms": 1, "say": "changed"}"#.to_owned();
    edited.comment = "less is enough".to_owned();
    let streamed = invoke_stream(&mut client, decide(edited)).await;
    assert_eq!(streamed.result().status(), pb::TurnStatus::Completed);
    let told = sent(&world);
    for text in ["changed the input", "less is enough", r#"\"changed\""#] {
        assert!(told.contains(text), "{text} in {told}");
    }
    assert_eq!(record.begun(), 1);
}

#[tokio::test]
async fn a_refusal_and_its_comment_reach_the_model() {
    let (world, record) = asking(Approval::Always, Limits::default()).await;
    let (_, request) = asked(&world).await;
    let mut client = world.client().await;
    let mut no = yes(&request);
    no.approved = false;
    no.comment = "not on a Friday".to_owned();
    let streamed = invoke_stream(&mut client, decide(no)).await;
    assert_eq!(streamed.result().status(), pb::TurnStatus::Completed);
    assert!(sent(&world).contains("not on a Friday"));
    let rejected = streamed.events.iter().any(|event| {
        matches!(&event.payload, Some(Payload::ToolCallUpdate(update))
            if update.status() == pb::ToolCallStatus::Rejected)
    });
    assert!(rejected, "{streamed:#?}");
    assert_eq!(record.begun(), 0);
}

#[tokio::test]
async fn nobody_answers_in_time() {
    let limits = Limits {
        approval_timeout: Duration::from_millis(100),
        ..Limits::default()
    };
    let (world, record) = asking(Approval::Always, limits).await;
    // On a stream the model is told, and goes on.
    let mut client = world.client().await;
    let mut conversation = Conversation::open(&mut client).await;
    conversation.say("large").await;
    let turn = conversation.turn().await;
    assert_eq!(turn.result().status(), pb::TurnStatus::Completed);
    let expired = turn.events.iter().any(|event| {
        matches!(&event.payload, Some(Payload::ApprovalResolved(resolved))
            if resolved.expired && !resolved.approved)
    });
    assert!(expired, "{turn:#?}");
    assert!(sent(&world).contains("nobody consented"));

    // A paused turn has nobody to go on for, and fails; an answer comes too late.
    let (_, request) = asked(&world).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let status = invoke(&mut client, decide(yes(&request)))
        .await
        .expect_err("late");
    let info = status.get_details_error_info().expect("a reason");
    assert_eq!(info.reason, "CALL_NOT_PENDING");
    assert_eq!(record.begun(), 0);
}

#[tokio::test]
async fn an_answer_can_hold_for_the_session_and_a_rule_for_some_inputs_alone() {
    let when = r#"{"properties":{"ms":{"minimum":50}},"required":["ms"]}"#;
    let rule = Approval::When(Schema::parse(when).expect("a schema"));
    let (world, record) = asking(rule, Limits::default()).await;
    let mut client = world.client().await;
    let answer = invoke(&mut client, prompt("small"))
        .await
        .expect("no question");
    assert_eq!(answer.text, "So be it.");
    assert_eq!(record.begun(), 1);

    let mut conversation = Conversation::open(&mut client).await;
    conversation.say("large").await;
    let events = conversation
        .until(|event| matches!(event.payload, Some(Payload::ApprovalRequest(_))))
        .await;
    let Some(Payload::ApprovalRequest(request)) = events.last().and_then(|it| it.payload.clone())
    else {
        panic!("a question")
    };
    let mut always = yes(&request);
    always.remember = true;
    conversation.send(Frame::ApprovalDecision(always)).await;
    let turn = conversation.turn().await;
    assert_eq!(turn.result().status(), pb::TurnStatus::Completed);
    conversation.say("large").await;
    let turn = conversation.turn().await;
    let asks = turn
        .events
        .iter()
        .any(|event| matches!(event.payload, Some(Payload::ApprovalRequest(_))));
    assert!(!asks, "{turn:#?}");
    assert_eq!(record.begun(), 3);
}

#[tokio::test]
async fn a_caller_can_ask_for_more_consent_and_not_for_less() {
    let (world, record) = asking(Approval::Always, Limits::default()).await;
    let mut client = world.client().await;
    let mut request = prompt("small");
    request.options = Some(pb::TurnOptions {
        approval: pb::ApprovalMode::Never.into(),
        ..pb::TurnOptions::default()
    });
    let answer = invoke(&mut client, request).await.expect("a pause");
    let result = answer.result.expect("a result");
    assert_eq!(result.stop_reason(), pb::StopReason::ApprovalRequired);
    assert_eq!(record.begun(), 0);

    let (world, record) = asking(Approval::Never, Limits::default()).await;
    let mut client = world.client().await;
    let mut request = prompt("small");
    request.options = Some(pb::TurnOptions {
        approval: pb::ApprovalMode::Always.into(),
        ..pb::TurnOptions::default()
    });
    let answer = invoke(&mut client, request).await.expect("a pause");
    let result = answer.result.expect("a result");
    assert_eq!(result.stop_reason(), pb::StopReason::ApprovalRequired);
    assert_eq!(record.begun(), 0);
}
