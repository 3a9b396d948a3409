//! Consent to tool calls, and the calls that the server runs.

use std::sync::{Arc, Mutex};

use serde_json::json;
use taiwa_client::{Client, Decision, Payload, Request, Setup, Tools, pb};

use crate::{
    fake::{Fake, Running, soon},
    script::{Log, accepted, approval, ended, ready, reply, result, started, text},
};
use pb::converse_request::Frame;

#[tokio::test]
async fn a_decision_repeats_what_was_asked_and_says_the_rest() {
    let asked = approval("a1", "pay", r#"{"sum":9}"#);
    let base = pb::ApprovalDecision {
        approval_id: "a1".to_owned(),
        digest: asked.digest.clone(),
        ..Default::default()
    };
    for (decision, expected) in [
        (
            Decision::approve(&asked).remember(),
            pb::ApprovalDecision {
                approved: true,
                remember: true,
                ..base.clone()
            },
        ),
        (
            Decision::refuse(&asked).comment("too much"),
            pb::ApprovalDecision {
                comment: "too much".to_owned(),
                ..base.clone()
            },
        ),
        (
            Decision::edit(&asked, &json!({"sum": 1})),
            pb::ApprovalDecision {
                approved: true,
                edited_input_json: r#"{"sum":1}"#.to_owned(),
                ..base.clone()
            },
        ),
    ] {
        assert_eq!(pb::ApprovalDecision::from(decision), expected);
    }
}

#[tokio::test]
async fn a_decision_is_sent_again_when_the_connection_is_lost_before_its_receipt() {
    let sent = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&sent);
    let server = Fake::default()
        .converse(move |mut frames, events| {
            let sent = Arc::clone(&kept);
            async move {
                let setup = frames.message().await.unwrap().unwrap();
                let Some(Frame::Setup(setup)) = setup.frame else {
                    return;
                };
                let mut log = Log::default();
                let asked = log.numbered([
                    started(),
                    Payload::ApprovalRequest(approval("a1", "pay", "{}")),
                ]);
                let opening = match setup.resume_after_sequence {
                    None => [vec![ready()], asked].concat(),
                    Some(2) => vec![crate::script::resumed(2, 2, 0), ready()],
                    Some(other) => panic!("resumed after {other}"),
                };
                for event in opening {
                    events.send(Ok(event)).await.unwrap();
                }
                let Ok(Some(decision)) = frames.message().await else {
                    return;
                };
                let is_first = {
                    let mut sent = sent.lock().unwrap();
                    sent.push(decision.clone());
                    sent.len() == 1
                };
                if is_first {
                    let lost = tonic::Status::unavailable("the server went away");
                    let _ = events.send(Err(lost)).await;
                    return;
                }
                let resolved = pb::ApprovalResolved {
                    approval_id: "a1".to_owned(),
                    approved: true,
                    expired: false,
                };
                let rest = log.numbered([
                    accepted(&decision.frame_id),
                    Payload::ApprovalResolved(resolved),
                    ended("paid"),
                ]);
                for event in rest {
                    events.send(Ok(event)).await.unwrap();
                }
                while let Ok(Some(_)) = frames.message().await {}
            }
        })
        .start()
        .await;
    let client = server.client().await;
    let mut conversation = client.converse(Setup::default()).await.unwrap();

    let mut told = Vec::new();
    let mut name = String::new();
    while let Some(event) = soon(conversation.next()).await.unwrap() {
        if let Some(asked) = event.approval_request() {
            let decision = Decision::approve(asked);
            name = conversation.decide(decision).await.unwrap();
        } else if let Payload::ApprovalResolved(resolved) = &event.payload {
            told.push(resolved.clone());
        } else if event.turn_ended().is_some() {
            conversation.finish();
        }
    }

    assert_eq!(told.len(), 1);
    assert!(told[0].approved);
    let sent = sent.lock().unwrap();
    let asked = approval("a1", "pay", "{}");
    let expected = pb::ConverseRequest {
        frame_id: name,
        frame: Some(Frame::ApprovalDecision(Decision::approve(&asked).into())),
    };
    assert_eq!(sent[..], [expected.clone(), expected]);
}

#[tokio::test]
async fn a_paused_turn_goes_on_with_what_was_decided_and_the_same_settings() {
    let server = pausing().await;
    let client = Client::connect(&server.endpoint).await.unwrap();
    let request = Request::new("pay")
        .agent("a")
        .allowed_tools(["pay", "look"])
        .max_cost_usd(0.5)
        .approval(pb::ApprovalMode::Always)
        .output_schema(&json!({"type": "object"}));

    let paused = client.invoke(request.clone()).await.unwrap();
    let asked = &paused.result.pending_approvals[0];
    let decision = Decision::refuse(asked).comment("no");
    let next = request.continuing(&paused.result).decide(decision.clone());
    let done = client.invoke(next).await.unwrap();

    assert_eq!(done.text, "done");
    let [first, second] = &server.requests()[..] else {
        panic!("two requests");
    };
    let options = pb::TurnOptions {
        allowed_tools: vec!["pay".to_owned(), "look".to_owned()],
        max_cost_usd: 0.5,
        approval: pb::ApprovalMode::Always.into(),
        output: Some(pb::OutputFormat {
            json_schema: Some(pb::output_format::JsonSchema::SchemaJson(
                r#"{"type":"object"}"#.to_owned(),
            )),
            ..Default::default()
        }),
        ..Default::default()
    };
    assert_eq!(first.options.as_ref(), Some(&options));
    let expected = pb::InvokeRequest {
        session_id: "s1".to_owned(),
        agent_id: "a".to_owned(),
        options: Some(options),
        approval_decisions: vec![decision.into()],
        request_id: second.request_id.clone(),
        ..Default::default()
    };
    assert_eq!(second, &expected);
    assert_ne!(first.request_id, second.request_id);
}

#[tokio::test]
async fn a_turn_that_waits_for_consent_comes_back_before_any_tool_is_run() {
    let server = pausing().await;
    let client = Client::connect(&server.endpoint).await.unwrap();
    let runs = Arc::new(Mutex::new(0));
    let counted = Arc::clone(&runs);
    let tools = Tools::new().add("look", "Looks.", &json!({"type": "object"}), move |_| {
        *counted.lock().unwrap() += 1;
        async { Ok::<_, String>(String::new()) }
    });

    let paused = client.invoke_with_tools("pay", &tools).await.unwrap();

    assert_eq!(paused.result.status(), pb::TurnStatus::Paused);
    assert_eq!(paused.result.pending_approvals.len(), 1);
    assert_eq!((server.requests().len(), *runs.lock().unwrap()), (1, 0));
}

#[tokio::test]
async fn calls_that_the_server_runs_are_told_and_not_answered() {
    let call = pb::ToolCall {
        tool_call_id: "c1".to_owned(),
        tool_name: "search".to_owned(),
        executor: pb::ToolExecutor::Server.into(),
        ..Default::default()
    };
    let update = |status: pb::ToolCallStatus, progress: &str| pb::ToolCallUpdate {
        tool_call_id: "c1".to_owned(),
        tool_name: "search".to_owned(),
        status: status.into(),
        progress: progress.to_owned(),
        ..Default::default()
    };
    let updates = [
        update(pb::ToolCallStatus::Running, "page 1"),
        update(pb::ToolCallStatus::Succeeded, ""),
    ];
    let told = updates.clone().map(Payload::ToolCallUpdate);
    let payloads = [started(), Payload::ToolCall(call)];
    let payloads = payloads
        .into_iter()
        .chain(told)
        .chain([text("ok"), ended("ok")]);
    let events = Log::default().numbered(payloads);
    let server = Fake::default()
        .stream(move |_, out| {
            let events = events.clone();
            async move {
                for event in events {
                    out.send(Ok(event)).await.unwrap();
                }
            }
        })
        .start()
        .await;
    let client = Client::connect(&server.endpoint).await.unwrap();

    let mut turn = client.stream("hi").await.unwrap();
    let mut seen = Vec::new();
    while let Some(event) = turn.next().await.unwrap() {
        assert_eq!(event.client_tool_call(), None);
        seen.extend(event.tool_call_update().cloned());
    }

    assert_eq!(seen, updates);
}

/// Pauses for consent and for a tool, and ends when it is asked again.
async fn pausing() -> Running {
    Fake::default()
        .invoke(|request| async move {
            if request.prompt.is_empty() {
                return Ok(reply("done"));
            }
            let look = pb::ToolCall {
                tool_call_id: "c2".to_owned(),
                tool_name: "look".to_owned(),
                input_json: "{}".to_owned(),
                executor: pb::ToolExecutor::Client.into(),
                ..Default::default()
            };
            let paused = pb::TurnResult {
                status: pb::TurnStatus::Paused.into(),
                stop_reason: pb::StopReason::ApprovalRequired.into(),
                pending_tool_calls: vec![look],
                pending_approvals: vec![approval("a1", "pay", "{}")],
                ..result("")
            };
            Ok(pb::InvokeResponse {
                text: String::new(),
                result: Some(paused),
            })
        })
        .start()
        .await
}
