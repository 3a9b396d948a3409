//! The table of failures, before the stream and within it.

use std::{collections::BTreeMap, time::Duration};

use serde_json::json;
use taiwa_core::{Failure, ModelEvent, Reason, model::BlockDelta};
use taiwa_server::model::bedrock::{Bedrock, Config};

use crate::{
    frame::{encode, exception, frame, frames},
    peer::{Peer, Reply, config, hello, play, read},
};

#[tokio::test]
async fn each_exception_before_the_stream_has_its_reason() {
    let second = Some(Duration::from_secs(1));
    let table = [
        (
            403,
            "AccessDeniedException",
            Reason::UpstreamAccessDenied,
            None,
        ),
        (400, "ConflictException", Reason::UpstreamConflict, None),
        (
            500,
            "InternalServerException",
            Reason::UpstreamInternal,
            None,
        ),
        (424, "ModelErrorException", Reason::ModelError, None),
        (429, "ModelNotReadyException", Reason::ModelNotReady, None),
        (
            424,
            "ModelStreamErrorException",
            Reason::ModelStreamError,
            None,
        ),
        (408, "ModelTimeoutException", Reason::ModelTimeout, None),
        (
            404,
            "ResourceNotFoundException",
            Reason::ModelNotFound,
            None,
        ),
        (
            400,
            "ServiceQuotaExceededException",
            Reason::QuotaExceeded,
            None,
        ),
        (
            503,
            "ServiceUnavailableException",
            Reason::UpstreamUnavailable,
            None,
        ),
        (429, "ThrottlingException", Reason::ModelThrottled, second),
        (
            400,
            "ValidationException",
            Reason::ModelRejectedRequest,
            None,
        ),
        // Not declared by the operation, but sent by the service's gate.
        (
            403,
            "UnrecognizedClientException",
            Reason::UpstreamAccessDenied,
            None,
        ),
        (
            400,
            "UnrecognizedClientException",
            Reason::UpstreamAccessDenied,
            None,
        ),
        (
            403,
            "ExpiredTokenException",
            Reason::UpstreamAccessDenied,
            None,
        ),
        (
            403,
            "InvalidSignatureException",
            Reason::UpstreamAccessDenied,
            None,
        ),
        (
            403,
            "MissingAuthenticationTokenException",
            Reason::UpstreamAccessDenied,
            None,
        ),
        (
            429,
            "TooManyRequestsException",
            Reason::ModelThrottled,
            second,
        ),
        // Known to nobody: the status decides.
        (400, "TeapotException", Reason::ModelRejectedRequest, None),
        (401, "TeapotException", Reason::UpstreamAccessDenied, None),
        (403, "TeapotException", Reason::UpstreamAccessDenied, None),
        (404, "TeapotException", Reason::ModelNotFound, None),
        (408, "TeapotException", Reason::ModelTimeout, None),
        (409, "TeapotException", Reason::UpstreamConflict, None),
        (418, "TeapotException", Reason::ModelRejectedRequest, None),
        (424, "TeapotException", Reason::ModelError, None),
        (429, "TeapotException", Reason::ModelThrottled, second),
        (500, "TeapotException", Reason::UpstreamInternal, None),
        (502, "TeapotException", Reason::UpstreamUnavailable, None),
        (599, "TeapotException", Reason::UpstreamInternal, None),
    ];
    for (status, exception, reason, retry_after) in table {
        let reply = Reply::body(status, exception, "", r#"{"message":"told"}"#);
        for failure in [opening(reply.clone()).await, counting(reply).await] {
            assert_eq!(
                (failure.reason, failure.retry_after),
                (reason, retry_after),
                "{exception}"
            );
            assert_eq!(failure.metadata["request_id"], "request-1", "{exception}");
        }
    }
}

#[tokio::test]
async fn the_providers_text_is_passed_on_where_it_is_about_the_request() {
    let told = async |status, exception| {
        let text = r#"{"message":"arn:aws:bedrock:eu-central-1:123456789012:secret"}"#;
        opening(Reply::body(status, exception, "", text))
            .await
            .message
    };
    let text = "arn:aws:bedrock:eu-central-1:123456789012:secret";
    assert_eq!(
        told(400, "ValidationException").await,
        format!("the model refused the request: {text}")
    );
    assert_eq!(
        told(403, "AccessDeniedException").await,
        "this server may not use the model: its operator must grant it access"
    );
    assert_eq!(
        told(500, "InternalServerException").await,
        "bedrock had an internal error"
    );
    assert_eq!(
        told(503, "ServiceUnavailableException").await,
        "bedrock is not available"
    );
    assert_eq!(
        told(400, "ConflictException").await,
        "bedrock reports a conflict"
    );
}

#[tokio::test]
async fn facts_of_a_model_error_are_passed_on() {
    let body = json!({
        "message": "model fell over", "originalStatusCode": 504, "resourceName": "endpoint-7",
    });
    let failure = opening(Reply::body(
        424,
        "ModelErrorException",
        "",
        &body.to_string(),
    ))
    .await;
    assert_eq!(failure.message, "the model failed: model fell over");
    assert_eq!(
        failure.metadata,
        facts(&[
            ("original_status", "504"),
            ("resource_name", "endpoint-7"),
            ("request_id", "request-1"),
        ])
    );
}

#[tokio::test]
async fn a_retry_after_header_is_believed() {
    let reply = Reply::body(429, "ThrottlingException", "retry-after: 17\r\n", "{}");
    assert_eq!(
        opening(reply).await.retry_after,
        Some(Duration::from_secs(17))
    );
    let reply = Reply::body(
        503,
        "ServiceUnavailableException",
        "retry-after: 5\r\n",
        "{}",
    );
    assert_eq!(
        opening(reply).await.retry_after,
        Some(Duration::from_secs(5))
    );
    let reply = Reply::body(429, "ThrottlingException", "retry-after: soon\r\n", "{}");
    assert_eq!(
        opening(reply).await.retry_after,
        Some(Duration::from_secs(1))
    );
}

#[tokio::test]
async fn an_answer_that_is_not_bedrocks_is_judged_by_its_status() {
    let page = "<html><body>Bad Gateway</body></html>";
    let failure = opening(Reply::body(502, "", "", page)).await;
    assert_eq!(failure.reason, Reason::UpstreamUnavailable);
    assert_eq!(failure.message, "bedrock is not available");
    let failure = opening(Reply::body(200, "", "", "{not json")).await;
    assert_eq!(failure.reason, Reason::ModelStreamError);
}

#[tokio::test]
async fn a_long_text_is_clipped() {
    let body = json!({"message": "ü".repeat(10_000)}).to_string();
    let failure = opening(Reply::body(400, "ValidationException", "", &body)).await;
    assert_eq!(
        failure.message,
        format!("the model refused the request: {}", "ü".repeat(512))
    );
}

#[tokio::test]
async fn passing_failures_are_repeated_and_counted() {
    let stop = frames(&[json!({"messageStop": {"stopReason": "end_turn"}})]);
    let unavailable = Reply::body(503, "ServiceUnavailableException", "", "{}");
    let peer = Peer::start([unavailable.clone(), unavailable, Reply::stream(&stop)]).await;
    let mut opened = peer.bedrock(3).await.open(hello()).await.unwrap();
    assert_eq!(opened.retries, 2);
    assert_eq!(read(&mut opened.stream).await.len(), 1);
}

#[tokio::test]
async fn attempts_are_limited_and_refusals_are_not_repeated() {
    for (status, exception, attempts) in [
        (503, "ServiceUnavailableException", 2),
        (400, "ValidationException", 1),
    ] {
        let mut peer = Peer::start([Reply::body(status, exception, "", "{}")]).await;
        peer.bedrock(2).await.open(hello()).await.unwrap_err();
        for _ in 0..attempts {
            peer.request().await;
        }
        assert!(peer.next_request().is_none(), "{exception}");
    }
}

#[tokio::test]
async fn each_exception_in_the_stream_has_its_reason() {
    let table = [
        (
            "internalServerException",
            Reason::UpstreamInternal,
            "bedrock had an internal error",
        ),
        (
            "modelStreamErrorException",
            Reason::ModelStreamError,
            "the model's stream broke off: told",
        ),
        (
            "validationException",
            Reason::ModelRejectedRequest,
            "the model refused the request: told",
        ),
        (
            "throttlingException",
            Reason::ModelThrottled,
            "the model is throttled: told",
        ),
        (
            "serviceUnavailableException",
            Reason::UpstreamUnavailable,
            "bedrock is not available",
        ),
        // Not declared for this stream.
        (
            "modelTimeoutException",
            Reason::ModelTimeout,
            "the model took too long: told",
        ),
        (
            "accessDeniedException",
            Reason::UpstreamAccessDenied,
            "this server may not use the model: its operator must grant it access",
        ),
        (
            "teapotException",
            Reason::ModelStreamError,
            "the model's stream broke off: told",
        ),
    ];
    for (exception, reason, message) in table {
        let failure = in_stream(&frame(exception, &json!({"message": "told"}))).await;
        assert_eq!(
            (failure.reason, &*failure.message),
            (reason, message),
            "{exception}"
        );
        assert_eq!(failure.metadata["request_id"], "request-1", "{exception}");
        let throttled = reason == Reason::ModelThrottled;
        assert_eq!(
            failure.retry_after,
            throttled.then_some(Duration::from_secs(1))
        );
    }
}

#[tokio::test]
async fn facts_of_a_stream_error_are_passed_on() {
    let payload = json!({
        "message": "model fell over", "originalStatusCode": 500, "originalMessage": "out of memory",
    });
    let failure = in_stream(&frame("modelStreamErrorException", &payload)).await;
    assert_eq!(
        failure.metadata,
        facts(&[
            ("original_status", "500"),
            ("original_message", "out of memory"),
            ("request_id", "request-1"),
        ])
    );
}

#[tokio::test]
async fn an_exception_whose_payload_is_not_json_keeps_its_reason() {
    let failure = in_stream(&exception("throttlingException", "<html>")).await;
    assert_eq!(failure.reason, Reason::ModelThrottled);
}

#[tokio::test]
async fn an_error_frame_is_told_by_its_headers() {
    let headers = [
        (":message-type", "error"),
        (":error-code", "ThrottlingException"),
        (":error-message", "slow down"),
    ];
    let failure = in_stream(&encode(&headers, &[])).await;
    assert_eq!(failure.reason, Reason::ModelThrottled);
    assert_eq!(failure.message, "the model is throttled: slow down");
}

#[tokio::test]
async fn a_damaged_frame_is_a_broken_stream() {
    let mut damaged = delta("lost");
    let middle = damaged.len() - 10;
    damaged[middle] ^= 1;
    let failure = in_stream(&damaged).await;
    assert_eq!(failure.reason, Reason::ModelStreamError);
    assert_eq!(failure.message, "the model's stream broke off");
}

#[tokio::test]
async fn a_frame_that_ends_early_is_a_broken_stream() {
    let frame = delta("lost");
    let failure = in_stream(&frame[..frame.len() - 3]).await;
    assert_eq!(failure.reason, Reason::ModelStreamError);
}

#[tokio::test]
async fn an_event_that_is_not_json_is_a_broken_stream() {
    let headers = [
        (":message-type", "event"),
        (":event-type", "contentBlockDelta"),
    ];
    assert_eq!(
        in_stream(&encode(&headers, b"{")).await.reason,
        Reason::ModelStreamError
    );
}

#[tokio::test]
async fn a_block_index_below_zero_is_a_broken_stream() {
    let stop = json!({"contentBlockStop": {"contentBlockIndex": -1}});
    assert_eq!(
        in_stream(&frames(&[stop])).await.reason,
        Reason::ModelStreamError
    );
}

#[tokio::test]
async fn a_cut_connection_is_a_broken_stream() {
    let events = play(Reply::cut_stream(&delta("kept"))).await;
    assert_eq!(events[0], Ok(text("kept")));
    assert_eq!(
        events[1].as_ref().unwrap_err().reason,
        Reason::ModelStreamError
    );
    assert_eq!(events.len(), 2);
}

#[tokio::test]
async fn a_stream_that_ends_without_a_stop_just_ends() {
    assert_eq!(
        play(Reply::stream(&delta("kept"))).await,
        [Ok(text("kept"))]
    );
}

#[tokio::test]
async fn without_a_region_the_operator_is_told() {
    let config = Config {
        region: None,
        ..config(([127, 0, 0, 1], 1).into(), 1)
    };
    let failure = Bedrock::connect(config)
        .await
        .open(hello())
        .await
        .unwrap_err();
    assert_eq!(failure.reason, Reason::UpstreamAccessDenied);
    for named in ["AWS_REGION", "--region", "--env-file", "--offline"] {
        assert!(failure.message.contains(named), "{named}");
    }
}

/// The failure of opening a stream that is answered like this.
async fn opening(reply: Reply) -> Failure {
    let peer = Peer::start([reply]).await;
    match peer.bedrock(1).await.open(hello()).await {
        Err(failure) => failure,
        Ok(mut opened) => opened.stream.next().await.unwrap().unwrap_err(),
    }
}

/// The failure of counting tokens that is answered like this.
async fn counting(reply: Reply) -> Failure {
    let peer = Peer::start([reply]).await;
    peer.bedrock(1)
        .await
        .count_tokens(hello())
        .await
        .unwrap_err()
}

/// The failure at the end of a stream, which says one thing before these bytes.
async fn in_stream(bytes: &[u8]) -> Failure {
    let mut events = play(Reply::stream(&[&delta("kept"), bytes].concat())).await;
    assert_eq!(events.len(), 2, "{events:?}");
    assert_eq!(events[0], Ok(text("kept")));
    events.remove(1).unwrap_err()
}

fn delta(text: &str) -> Vec<u8> {
    frame(
        "contentBlockDelta",
        &json!({"delta": {"text": text}, "contentBlockIndex": 0}),
    )
}

fn text(text: &str) -> ModelEvent {
    ModelEvent::BlockDelta {
        index: 0,
        delta: BlockDelta::Text(text.to_owned()),
    }
}

fn facts(facts: &[(&str, &str)]) -> BTreeMap<String, String> {
    facts
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect()
}
