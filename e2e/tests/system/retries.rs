//! Attempts are repeated before the first output, and never after it.

use futures_util::future::join_all;
use taiwa::v1::{ErrorReason, TurnStatus};
use taiwa_e2e::{Settings, World, call::prompt};

use crate::views::{Views, asked};

fn three_attempts() -> Settings {
    Settings {
        max_attempts: 3,
        ..Settings::default()
    }
}

#[tokio::test]
async fn a_call_that_fails_twice_in_passing_succeeds_by_the_third_attempt() {
    let exceptions = [
        "ThrottlingException",
        "ServiceUnavailableException",
        "InternalServerException",
        "ModelNotReadyException",
    ];
    // The pauses between attempts are real, so the four run at once.
    join_all(exceptions.map(fails_twice)).await;
}

async fn fails_twice(exception: &str) {
    let mut scenario = String::new();
    for call in [1, 2, 4, 5, 7, 8] {
        scenario += &format!(
            "[[reply]]\nwhen = {{ call = {call} }}\ntext = \"no\"\n\
             fault.exception = {{ type = \"{exception}\" }}\n"
        );
    }
    scenario += "[[reply]]\ntext = [\"at \", \"last\"]\n";
    let world = World::with(&scenario, three_attempts()).await;
    let views = Views::of(&world, &prompt("hi")).await;
    let result = views.agreed();
    assert_eq!(result.status(), TurnStatus::Completed, "{exception}");
    assert_eq!(result.usage.unwrap().model_calls, 1, "{exception}");
    assert_eq!(asked(&world).len(), 9, "{exception}");
    for streamed in [&views.stream, &views.converse] {
        let metrics = streamed.result().metrics.as_ref().unwrap();
        assert_eq!(metrics.retries, 2, "{exception}");
    }
}

#[tokio::test]
async fn attempts_end_at_their_number() {
    let scenario =
        "[[reply]]\ntext = \"no\"\nfault.exception = { type = \"ThrottlingException\" }\n";
    let world = World::with(scenario, three_attempts()).await;
    let (told, _) = Views::of(&world, &prompt("hi")).await.agreed_failure();
    assert_eq!(told.reason, ErrorReason::ModelThrottled);
    assert_eq!(asked(&world).len(), 9);
}

#[tokio::test]
async fn what_the_caller_must_mend_is_not_repeated() {
    for exception in [
        "ValidationException",
        "AccessDeniedException",
        "ResourceNotFoundException",
    ] {
        let scenario =
            format!("[[reply]]\ntext = \"no\"\nfault.exception = {{ type = \"{exception}\" }}\n");
        let world = World::with(&scenario, three_attempts()).await;
        Views::of(&world, &prompt("hi")).await.agreed_failure();
        assert_eq!(asked(&world).len(), 3, "{exception}");
    }
}

#[tokio::test]
async fn nothing_is_repeated_after_the_first_output() {
    for fault in [
        "exception = { type = \"ThrottlingException\", after_chunk = 1 }",
        "exception = { type = \"InternalServerException\", after_chunk = 1 }",
        "cut = { after_chunk = 1 }",
    ] {
        let scenario = format!("[[reply]]\ntext = [\"a\", \"b\"]\nfault.{fault}\n");
        let world = World::with(&scenario, three_attempts()).await;
        Views::of(&world, &prompt("hi")).await.agreed_failure();
        assert_eq!(asked(&world).len(), 3, "{fault}");
    }
}
