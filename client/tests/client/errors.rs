//! What a server says about a failure, read from the status.

use std::{collections::BTreeMap, time::Duration};

use taiwa_client::{Code, Error, pb};
use tonic::Status;
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::fake::{Fake, Running};

#[tokio::test]
async fn every_detail_of_a_refusal_is_read() {
    let mut details = ErrorDetails::new();
    let facts = [("session_id".to_owned(), "s1".to_owned())];
    details.set_error_info("INVALID_REQUEST", "taiwa.v1", facts);
    details.add_bad_request_violation("options.max_tokens", "must be at least 1");
    let status = Status::with_error_details(Code::InvalidArgument, "bad options", details);

    let error = refused(status).await;

    let server = error.server().unwrap();
    assert_eq!(server.code, Code::InvalidArgument);
    assert_eq!(server.reason, pb::ErrorReason::InvalidRequest);
    assert_eq!(server.message, "bad options");
    let violation = &server.field_violations[0];
    assert_eq!(violation.field, "options.max_tokens");
    assert_eq!(violation.description, "must be at least 1");
    let metadata = BTreeMap::from([("session_id".to_owned(), "s1".to_owned())]);
    assert_eq!(server.metadata, metadata);
    assert!(!error.is_retryable());
}

#[tokio::test]
async fn a_retry_delay_makes_an_error_retryable() {
    let mut details = ErrorDetails::with_retry_info(Some(Duration::from_millis(1500)));
    details.set_error_info("MODEL_THROTTLED", "taiwa.v1", []);
    let status = Status::with_error_details(Code::ResourceExhausted, "slow down", details);

    let error = refused(status).await;

    assert_eq!(error.reason(), pb::ErrorReason::ModelThrottled);
    assert_eq!(error.retry_delay(), Some(Duration::from_millis(1500)));
    assert!(error.is_retryable());
}

#[tokio::test]
async fn a_used_up_quota_is_not_retryable() {
    let details = ErrorDetails::with_error_info("QUOTA_EXCEEDED", "taiwa.v1", []);
    let status = Status::with_error_details(Code::ResourceExhausted, "used up", details);

    let error = refused(status).await;

    assert_eq!(error.reason(), pb::ErrorReason::QuotaExceeded);
    assert!(!error.is_retryable());
}

#[tokio::test]
async fn a_reason_decides_what_the_code_alone_cannot() {
    for (code, reason, retryable) in [
        (Code::Aborted, "TURN_IN_PROGRESS", true),
        (Code::DeadlineExceeded, "MODEL_TIMEOUT", true),
        (Code::DeadlineExceeded, "DEADLINE_EXCEEDED", false),
        (Code::Unavailable, "SLOW_CONSUMER", false),
    ] {
        let details = ErrorDetails::with_error_info(reason, "taiwa.v1", []);

        let error = refused(Status::with_error_details(code, "no", details)).await;

        assert_eq!(error.is_retryable(), retryable, "{reason}");
    }
}

#[tokio::test]
async fn a_reason_of_another_domain_or_version_is_unspecified() {
    for (reason, domain) in [
        ("MODEL_THROTTLED", "example.com"),
        ("MODEL_ASLEEP", "taiwa.v1"),
    ] {
        let details = ErrorDetails::with_error_info(reason, domain, []);
        let status = Status::with_error_details(Code::Unavailable, "later", details);

        let error = refused(status).await;

        assert_eq!(
            error.reason(),
            pb::ErrorReason::Unspecified,
            "{reason} {domain}"
        );
        assert!(error.is_retryable(), "the code still counts");
    }
}

#[tokio::test]
async fn a_status_without_details_or_text_is_still_an_error_in_words() {
    let error = refused(Status::new(Code::NotFound, "")).await;

    assert_eq!(error.code(), Code::NotFound);
    assert_eq!(error.to_string(), "Some requested entity was not found");
}

#[tokio::test]
async fn garbage_in_the_details_does_not_hide_the_error() {
    let details = bytes::Bytes::from_static(&[0xff; 40]);
    let error = refused(Status::with_details(Code::Internal, "oh", details)).await;

    assert_eq!(
        (error.code(), error.to_string().as_str()),
        (Code::Internal, "oh")
    );
}

async fn refused(status: Status) -> Error {
    let server: Running = Fake::default()
        .invoke(move |_| std::future::ready(Err(status.clone())))
        .start()
        .await;
    server.client().await.invoke("hi").await.unwrap_err()
}
