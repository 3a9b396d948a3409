//! Consent to tool calls: refused where nobody is there, given by a flag, asked for on a terminal.

use std::sync::{Arc, Mutex};

use taiwa_client::{Decision, Payload, pb};

use super::{taiwa, told};
use crate::{
    fake::{Fake, Running},
    script::{Log, accepted, approval, ended, ready, reply, result, started, text},
};
use pb::converse_request::Frame;

#[cfg(target_os = "linux")]
mod terminal;

#[tokio::test]
async fn in_a_pipe_consent_is_refused_and_that_is_said() {
    let (server, decisions) = asking().await;

    let done = taiwa(&server, &["chat"], "pay\n").await;

    let said = "⚙ pay {\"sum\": 9}\n\
                consent to pay: refused, since nobody can be asked; --yes-to 'pay' gives it\n\
                ✗ pay · not run: consent was refused\n";
    assert_eq!(told(&done), (Some(0), "done\n", said));
    let refused = Decision::refuse(&asked()).comment("nobody is there who could consent");
    assert_eq!(decisions.lock().unwrap()[..], [refused.into()]);
}

#[tokio::test]
async fn a_flag_consents_to_the_tools_that_it_names() {
    for (flag, is_approved) in [("p*", true), ("payments", false)] {
        let (server, decisions) = asking().await;

        let done = taiwa(
            &server,
            &["chat", "--yes-to", "look", "--yes-to", flag],
            "pay\n",
        )
        .await;

        let (exit, stdout, stderr) = told(&done);
        assert_eq!((exit, stdout), (Some(0), "done\n"), "{stderr}");
        let said = "consent to pay: given by --yes-to\n✓ pay\n";
        assert_eq!(stderr.contains(said), is_approved, "{stderr}");
        let decisions = decisions.lock().unwrap();
        assert_eq!(decisions.len(), 1);
        assert_eq!(decisions[0].approved, is_approved);
        assert_eq!(decisions[0].digest, asked().digest);
        assert!(!decisions[0].remember);
    }
}

#[tokio::test]
async fn a_paused_turn_goes_on_with_what_was_decided() {
    for verb in ["invoke", "stream"] {
        let server = pausing().await;

        let refused = taiwa(&server, &[verb, "hi"], "").await;
        let given = taiwa(&server, &[verb, "hi", "--yes-to", "pay"], "").await;

        let said = "consent to pay: refused, since nobody can be asked; --yes-to 'pay' gives it\n";
        let (exit, stdout, stderr) = told(&refused);
        assert_eq!((exit, stdout), (Some(0), "done\n"), "{verb}");
        assert!(stderr.ends_with(said), "{verb} {stderr}");
        assert_eq!(told(&given).0, Some(0), "{verb}");
        let [_, first, _, second] = &server.requests()[..] else {
            panic!("four requests");
        };
        let refused = Decision::refuse(&asked()).comment("nobody is there who could consent");
        assert_eq!(first.approval_decisions, [refused.into()], "{verb}");
        let given = Decision::approve(&asked());
        assert_eq!(second.approval_decisions, [given.into()], "{verb}");
        assert_eq!(second.session_id, "s1");
    }
}

/// Asks for consent in each turn, and ends the turn by what was decided.
async fn asking() -> (Running, Arc<Mutex<Vec<pb::ApprovalDecision>>>) {
    let decisions = Arc::<Mutex<Vec<_>>>::default();
    let kept = Arc::clone(&decisions);
    let server = Fake::default().converse(move |mut frames, events| {
        let decisions = Arc::clone(&kept);
        async move {
            let mut log = Log::default();
            while let Ok(Some(frame)) = frames.message().await {
                let said = match frame.frame {
                    Some(Frame::Setup(_)) => vec![ready()],
                    Some(Frame::Prompt(_)) => {
                        let call = asked().tool_call.unwrap();
                        let started = pb::TurnStarted {
                            session_id: "s1".to_owned(),
                            frame_id: frame.frame_id.clone(),
                            ..Default::default()
                        };
                        log.numbered([
                            accepted(&frame.frame_id),
                            Payload::TurnStarted(started),
                            Payload::ToolCall(call),
                            Payload::ApprovalRequest(asked()),
                        ])
                    }
                    Some(Frame::ApprovalDecision(decision))
                        if decision.edited_input_json.contains("misspelt") =>
                    {
                        let error = pb::TurnError {
                            reason: pb::ErrorReason::InvalidRequest.into(),
                            message: "there is no misspelt".to_owned(),
                            ..Default::default()
                        };
                        log.numbered([Payload::FrameRejected(pb::FrameRejected {
                            frame_id: frame.frame_id,
                            error: Some(error),
                        })])
                    }
                    Some(Frame::ApprovalDecision(decision)) => {
                        let status = if decision.approved {
                            pb::ToolCallStatus::Succeeded
                        } else {
                            pb::ToolCallStatus::Rejected
                        };
                        let resolved = pb::ApprovalResolved {
                            approval_id: decision.approval_id.clone(),
                            approved: decision.approved,
                            expired: false,
                        };
                        let update = pb::ToolCallUpdate {
                            tool_call_id: "c1".to_owned(),
                            tool_name: "pay".to_owned(),
                            status: status.into(),
                            ..Default::default()
                        };
                        decisions.lock().unwrap().push(decision);
                        log.numbered([
                            accepted(&frame.frame_id),
                            Payload::ApprovalResolved(resolved),
                            Payload::ToolCallUpdate(update),
                            text("done"),
                            ended("done"),
                        ])
                    }
                    _ => Vec::new(),
                };
                for event in said {
                    if events.send(Ok(event)).await.is_err() {
                        return;
                    }
                }
            }
        }
    });
    (server.start().await, decisions)
}

/// Pauses for consent, and ends when it is decided, whole and streamed.
async fn pausing() -> Running {
    pausing_for(asked()).await
}

async fn pausing_for(asked: pb::ApprovalRequest) -> Running {
    let paused = pb::TurnResult {
        status: pb::TurnStatus::Paused.into(),
        stop_reason: pb::StopReason::ApprovalRequired.into(),
        pending_approvals: vec![asked.clone()],
        message: None,
        ..result("")
    };
    let streamed = paused.clone();
    Fake::default()
        .invoke(move |request| {
            let response = if request.prompt.is_empty() {
                reply("done")
            } else {
                pb::InvokeResponse {
                    text: String::new(),
                    result: Some(paused.clone()),
                }
            };
            std::future::ready(Ok(response))
        })
        .stream(move |request, events| {
            let said = if request.prompt.is_empty() {
                vec![started(), text("done"), ended("done")]
            } else {
                let asked = Payload::ApprovalRequest(asked.clone());
                vec![
                    started(),
                    asked,
                    Payload::TurnEnded(streamed.clone().into()),
                ]
            };
            async move {
                for event in crate::script::numbered(said) {
                    if events.send(Ok(event)).await.is_err() {
                        return;
                    }
                }
            }
        })
        .cancel_turn(|_| {
            Ok(pb::CancelTurnResponse {
                result: Some(result("")),
            })
        })
        .start()
        .await
}

fn asked() -> pb::ApprovalRequest {
    approval("a1", "pay", r#"{"sum":9}"#)
}
