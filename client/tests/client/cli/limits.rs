//! Turns that a limit ended: how the command ends, and what it prints.

use taiwa_client::{Payload, pb};

use super::{taiwa, told};
use crate::{
    fake::Fake,
    script::{Log, numbered, ready, result, started, text},
};
use pb::converse_request::Frame;

#[tokio::test]
async fn a_turn_that_a_limit_ended_is_code_5_and_what_was_said_is_printed() {
    for (reason, exit, said) in [
        (
            pb::StopReason::BudgetExceeded,
            5,
            "taiwa: the turn used up its budget\n",
        ),
        (
            pb::StopReason::MaxSteps,
            5,
            "taiwa: the turn reached its limit of model calls\n",
        ),
        (
            pb::StopReason::MalformedToolUse,
            1,
            "taiwa: the model's output could not be understood\n",
        ),
        (
            pb::StopReason::MaxTokens,
            0,
            "the answer reached its token limit\n",
        ),
        (
            pb::StopReason::ContextWindowExceeded,
            0,
            "the model's context window is full\n",
        ),
        (
            pb::StopReason::GuardrailIntervened,
            0,
            "a guardrail intervened\n",
        ),
        (pb::StopReason::StopSequence, 0, ""),
    ] {
        let stopped = pb::TurnResult {
            stop_reason: reason.into(),
            ..result("Hel")
        };
        let events = numbered([
            started(),
            text("Hel"),
            Payload::TurnEnded(stopped.clone().into()),
        ]);
        let server = Fake::default()
            .invoke(move |_| {
                let response = pb::InvokeResponse {
                    text: "Hel".to_owned(),
                    result: Some(stopped.clone()),
                };
                async { Ok(response) }
            })
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

        for verb in ["invoke", "stream"] {
            let done = taiwa(&server, &[verb, "hi"], "").await;

            assert_eq!(
                told(&done),
                (Some(exit), "Hel\n", said),
                "{verb} {reason:?}"
            );
        }
    }
}

#[tokio::test]
async fn a_chat_in_a_pipe_goes_on_after_a_turn_that_a_limit_ended_and_ends_with_code_5() {
    let server = Fake::default()
        .converse(|mut frames, events| async move {
            events.send(Ok(ready())).await.unwrap();
            let mut log = Log::default();
            while let Ok(Some(frame)) = frames.message().await {
                let said = match frame.frame {
                    Some(Frame::Prompt(prompt)) if prompt == "dear" => {
                        let stopped = pb::TurnResult {
                            stop_reason: pb::StopReason::BudgetExceeded.into(),
                            ..result("Hel")
                        };
                        let end = Payload::TurnEnded(stopped.into());
                        log.numbered([started(), text("Hel"), end])
                    }
                    Some(Frame::Prompt(_)) => log.answer(&frame.frame_id, &["good"]),
                    _ => Vec::new(),
                };
                for event in said {
                    events.send(Ok(event)).await.unwrap();
                }
            }
        })
        .start()
        .await;

    let done = taiwa(&server, &["chat"], "dear\nfine\n").await;

    let said = "taiwa: the turn used up its budget\ntaiwa: not every prompt was answered\n";
    assert_eq!(told(&done), (Some(5), "Hel\ngood\n", said));
}
