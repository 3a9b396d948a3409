//! Every exception of Bedrock, before the stream and within it, by each of the three calls.

use std::{collections::BTreeMap, time::Duration};

use taiwa::v1::{self as pb, ErrorReason, StopReason, TurnStatus};
use taiwa_e2e::{
    World,
    call::{self, Conversation, prompt},
    told::Told,
};
use tonic::Code;

use crate::views::{Views, asked, pieces, text};

/// An exception and what a caller must be told of it.
struct Case {
    exception: &'static str,
    /// Further keys of the scenario's exception, and the facts that they become.
    extra: &'static str,
    facts: &'static [(&'static str, &'static str)],
    /// Comes within a stream, too.
    in_stream: bool,
    code: Code,
    reason: ErrorReason,
    retryable: bool,
    retry_delay: Option<Duration>,
}

impl Case {
    const fn of(exception: &'static str, code: Code, reason: ErrorReason) -> Self {
        Self {
            exception,
            extra: "",
            facts: &[],
            in_stream: false,
            code,
            reason,
            retryable: false,
            retry_delay: None,
        }
    }

    const fn retryable(self) -> Self {
        Self {
            retryable: true,
            ..self
        }
    }

    const fn in_stream(self) -> Self {
        Self {
            in_stream: true,
            ..self
        }
    }
}

const CASES: &[Case] = &[
    Case::of(
        "AccessDeniedException",
        Code::FailedPrecondition,
        ErrorReason::UpstreamAccessDenied,
    ),
    Case::of(
        "ConflictException",
        Code::Aborted,
        ErrorReason::UpstreamConflict,
    ),
    Case::of(
        "InternalServerException",
        Code::Unavailable,
        ErrorReason::UpstreamInternal,
    )
    .retryable()
    .in_stream(),
    Case {
        extra: r#"original_status_code = 500, resource_name = "a-model","#,
        facts: &[("original_status", "500"), ("resource_name", "a-model")],
        ..Case::of(
            "ModelErrorException",
            Code::Internal,
            ErrorReason::ModelError,
        )
    },
    Case::of(
        "ModelNotReadyException",
        Code::Unavailable,
        ErrorReason::ModelNotReady,
    )
    .retryable(),
    Case {
        extra: r#"original_status_code = 503, original_message = "inner","#,
        facts: &[("original_status", "503"), ("original_message", "inner")],
        ..Case::of(
            "ModelStreamErrorException",
            Code::Unavailable,
            ErrorReason::ModelStreamError,
        )
        .retryable()
        .in_stream()
    },
    Case::of(
        "ModelTimeoutException",
        Code::Unavailable,
        ErrorReason::ModelTimeout,
    )
    .retryable(),
    Case::of(
        "ResourceNotFoundException",
        Code::NotFound,
        ErrorReason::ModelNotFound,
    ),
    Case::of(
        "ServiceQuotaExceededException",
        Code::ResourceExhausted,
        ErrorReason::QuotaExceeded,
    ),
    Case::of(
        "ServiceUnavailableException",
        Code::Unavailable,
        ErrorReason::UpstreamUnavailable,
    )
    .retryable()
    .in_stream(),
    Case {
        retry_delay: Some(Duration::from_secs(1)),
        ..Case::of(
            "ThrottlingException",
            Code::ResourceExhausted,
            ErrorReason::ModelThrottled,
        )
        .retryable()
        .in_stream()
    },
    Case::of(
        "ValidationException",
        Code::InvalidArgument,
        ErrorReason::ModelRejectedRequest,
    )
    .in_stream(),
];

/// The scenario of one exception, at its place.
fn scenario(case: &Case, after_chunk: Option<u64>) -> String {
    let Case {
        exception, extra, ..
    } = case;
    let place = after_chunk.map_or_else(String::new, |after| format!("after_chunk = {after},"));
    format!(
        r#"
        [[reply]]
        when = {{ prompt_is = "fail" }}
        text = ["Hel", "lo ", "there"]
        fault.exception = {{ type = "{exception}", message = "Words of Bedrock.", {extra} {place} }}
        "#
    )
}

fn check(case: &Case, told: &Told, result: &pb::TurnResult) {
    let name = case.exception;
    assert_eq!(told.code, case.code, "{name}: {told:?}");
    assert_eq!(told.reason, case.reason, "{name}");
    assert_eq!(told.retry_delay, case.retry_delay, "{name}");
    let facts = case.facts.iter();
    let facts: BTreeMap<_, _> = facts
        .map(|(key, value)| (key.to_string(), value.to_string()))
        .collect();
    assert_eq!(told.metadata, facts, "{name}");
    assert_eq!(result.status(), TurnStatus::Failed, "{name}");
    let error = result.error.as_ref().unwrap();
    assert_eq!(error.retryable, case.retryable, "{name}");
    assert!(told.message.len() > 10, "{name}: {told:?}");
}

#[tokio::test]
async fn an_exception_before_the_stream_fails_the_turn_by_its_reason() {
    for case in CASES {
        let world = World::start(&scenario(case, None)).await;
        let views = Views::of(&world, &prompt("fail")).await;
        let (told, result) = views.agreed_failure();
        check(case, &told, &result);
        let name = case.exception;
        assert_eq!(result.stop_reason(), StopReason::Error, "{name}");
        assert_eq!(result.message, None, "{name}");
        assert_eq!(asked(&world).len(), 3, "{name}: one attempt each");
        world.check_unharmed().await;
    }
}

#[tokio::test]
async fn an_exception_within_the_stream_keeps_what_was_said_before() {
    for case in CASES.iter().filter(|case| case.in_stream) {
        for after in [0, 2] {
            let world = World::start(&scenario(case, Some(after))).await;
            let views = Views::of(&world, &prompt("fail")).await;
            let (told, result) = views.agreed_failure();
            check(case, &told, &result);
            let name = format!("{} after {after}", case.exception);
            let (stop_reason, said) = match after {
                0 => (StopReason::Error, &[][..]),
                _ => (StopReason::Incomplete, &["text:Hel", "text:lo "][..]),
            };
            assert_eq!(result.stop_reason(), stop_reason, "{name}");
            assert_eq!(
                text(&result),
                if after == 0 { "" } else { "Hello " },
                "{name}"
            );
            assert!(result.usage.unwrap().estimated, "{name}");
            for streamed in [&views.stream, &views.converse] {
                assert_eq!(pieces(streamed), said, "{name}");
            }
            assert_eq!(asked(&world).len(), 3, "{name}: one attempt each");
            world.check_unharmed().await;
        }
    }
}

#[tokio::test]
async fn a_conversation_goes_on_after_each_exception() {
    let case = |name: &str| CASES.iter().find(|case| case.exception == name).unwrap();
    let before = scenario(case("ValidationException"), None);
    let within = scenario(case("ThrottlingException"), Some(2));
    let within = within.replace(r#""fail""#, r#""break""#);
    let world = World::start(&(before + &within)).await;
    let mut client = world.client().await;
    let mut conversation = Conversation::open(&mut client).await;
    for round in 1..4 {
        conversation.say("fail").await;
        let failed = conversation.turn().await;
        assert_eq!(
            failed.result().error.as_ref().unwrap().reason(),
            ErrorReason::ModelRejectedRequest
        );
        conversation.say("break").await;
        let broken = conversation.turn().await;
        assert_eq!(
            broken.result().error.as_ref().unwrap().reason(),
            ErrorReason::ModelThrottled
        );
        conversation.say("and a good one").await;
        let good = conversation.turn().await;
        assert_eq!(
            good.result().status(),
            TurnStatus::Completed,
            "{round}: {good:#?}"
        );
    }
    assert!(conversation.finish().await.end.is_ok());

    let last = asked(&world).pop().unwrap();
    let roles: Vec<&str> = last.request["messages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["role"].as_str().unwrap())
        .collect();
    let pairs = roles.chunks(2);
    assert!(
        pairs
            .clone()
            .all(|pair| pair[0] == "user" && pair.get(1).is_none_or(|role| *role == "assistant")),
        "{roles:?}"
    );
    let words = last.request["messages"].to_string();
    assert!(
        !words.contains(r#""fail""#),
        "a turn without output left no words: {words}"
    );
    assert!(
        words.contains(r#""Hello ""#),
        "what was sent of a broken answer stays: {words}"
    );
}

#[tokio::test]
async fn what_was_said_before_a_failure_is_kept_for_the_next_turn() {
    let case = CASES
        .iter()
        .find(|case| case.exception == "InternalServerException")
        .unwrap();
    let world = World::start(&scenario(case, Some(2))).await;
    let mut client = world.client().await;
    let streamed = call::invoke_stream(&mut client, prompt("fail")).await;
    let failed = streamed.result();

    let asked_for = pb::GetTurnRequest {
        session_id: failed.session_id.clone(),
        turn_id: failed.turn_id.clone(),
    };
    let kept = client
        .get_turn(asked_for)
        .await
        .unwrap()
        .into_inner()
        .result
        .unwrap();
    assert_eq!(&kept, failed);
    assert_eq!(text(&kept), "Hello ");

    let next = pb::InvokeRequest {
        session_id: failed.session_id.clone(),
        ..prompt("go on")
    };
    let answer = call::invoke(&mut client, next).await.unwrap();
    assert_eq!(answer.result.unwrap().status(), TurnStatus::Completed);
    let messages = asked(&world).pop().unwrap().request["messages"].clone();
    assert_eq!(messages[0]["content"][0]["text"], "fail");
    assert_eq!(messages[1]["role"], "assistant");
    assert_eq!(messages[1]["content"][0]["text"], "Hello ");
    assert_eq!(messages[2]["content"][0]["text"], "go on");
    assert_eq!(messages.as_array().unwrap().len(), 3);
}
