//! Every exception, before the stream and within it, and what Bedrock refuses.

use aws_sdk_bedrockruntime::error::ProvideErrorMetadata;

use super::*;

fn scenario(name: &str, after_chunk: Option<u64>) -> String {
    let after = after_chunk.map_or_else(String::new, |chunk| format!("after_chunk = {chunk}"));
    format!(
        "[[reply]]\ntext = ['a', 'b', 'c']\n[reply.fault.exception]\ntype = '{name}'\n\
         message = 'on purpose'\noriginal_status_code = 418\nresource_name = 'res'\n\
         original_message = 'teapot'\n{after}"
    )
}

#[tokio::test]
async fn every_exception_comes_before_the_stream() {
    for (name, status) in [
        ("AccessDeniedException", 403),
        ("InternalServerException", 500),
        ("ModelErrorException", 424),
        ("ModelNotReadyException", 429),
        ("ModelTimeoutException", 408),
        ("ResourceNotFoundException", 404),
        ("ServiceUnavailableException", 503),
        ("ThrottlingException", 429),
        ("ValidationException", 400),
    ] {
        let simulator = start(&scenario(name, None)).await;
        let error = open(&client(&simulator)).await.unwrap_err();
        assert_eq!(
            error.raw_response().unwrap().status().as_u16(),
            status,
            "{name}"
        );
        let error = error.into_service_error();
        assert_eq!(
            (error.code(), error.message()),
            (Some(name), Some("on purpose"))
        );
        let variant = format!("{error:?}");
        assert!(!variant.starts_with("Unhandled"), "{name}: {variant}");
        if let ConverseStreamError::ModelErrorException(error) = &error {
            assert_eq!(
                (error.original_status_code, error.resource_name()),
                (Some(418), Some("res"))
            );
        }

        let unary = client(&simulator)
            .converse()
            .model_id(MODEL)
            .messages(user("hi"));
        assert_eq!(unary.send().await.unwrap_err().code(), Some(name));
        assert_eq!(outcome(&simulator).await, Outcome::Fault(name.to_owned()));
    }
}

#[tokio::test]
async fn every_exception_of_the_stream_comes_after_the_chunk_it_should() {
    for name in [
        "InternalServerException",
        "ModelStreamErrorException",
        "ServiceUnavailableException",
        "ThrottlingException",
        "ValidationException",
    ] {
        for (chunk, expected) in [
            (0, &[][..]),
            (2, &["a", "b"][..]),
            (9, &["a", "b", "c"][..]),
        ] {
            let simulator = start(&scenario(name, Some(chunk))).await;
            let streamed = stream(&simulator).await;
            assert_eq!(streamed.texts(), expected, "{name} after {chunk}");
            assert_eq!(streamed.stop_reason(), None);
            let error = streamed.service_error();
            assert_eq!(error.message(), Some("on purpose"));
            let known = error.is_internal_server_exception()
                || error.is_model_stream_error_exception()
                || error.is_service_unavailable_exception()
                || error.is_throttling_exception()
                || error.is_validation_exception();
            assert!(known, "{name}: {error:?}");
            if let ConverseStreamOutputError::ModelStreamErrorException(error) = error {
                assert_eq!(error.original_status_code, Some(418));
                assert_eq!(error.original_message(), Some("teapot"));
            }
            assert_eq!(outcome(&simulator).await, Outcome::Fault(name.to_owned()));
        }
    }
}

#[tokio::test]
async fn an_exception_that_bedrock_does_not_know_needs_a_status() {
    let error = Script::from_toml(&scenario("OddException", None)).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("reply[0].fault.exception.type: "),
        "{error}"
    );

    let odd = "[[reply]]\nfault.exception = { type = 'OddException', status = 418 }";
    let simulator = start(odd).await;
    let error = open(&client(&simulator)).await.unwrap_err();
    assert_eq!(error.raw_response().unwrap().status().as_u16(), 418);
    assert_eq!(error.code(), Some("OddException"));
}

#[tokio::test]
async fn throttled_for_the_first_two_then_answered() {
    let simulator = start(
        "[[reply]]\ntimes = 2\nfault.exception = { type = 'ThrottlingException' }\n\
         [[reply]]\ntext = ['made it']",
    )
    .await;
    let client = client_with_attempts(&simulator, 3);
    let mut stream = open(&client).await.unwrap().stream;
    let mut text = String::new();
    while let Some(event) = stream.recv().await.unwrap() {
        if let Ok(delta) = event.as_content_block_delta() {
            text.push_str(delta.delta.as_ref().unwrap().as_text().unwrap());
        }
    }
    assert_eq!(text, "made it");
    let attempts = simulator.journal().entries();
    assert_eq!(attempts.len(), 3);
    for (entry, attempt) in attempts.iter().zip(1..) {
        assert!(entry.headers["amz-sdk-request"].contains(&format!("attempt={attempt}")));
    }
}

#[tokio::test]
async fn requests_that_break_the_rules_are_refused_and_written_down() {
    let simulator = start("").await;
    let client = client(&simulator);
    let request = client
        .converse_stream()
        .model_id("gpt-4")
        .messages(user("hi"));
    let error = request.send().await.unwrap_err().into_service_error();
    assert!(error.is_validation_exception());
    assert_eq!(
        error.message(),
        Some("The provided model identifier is invalid.")
    );

    let twice = client
        .converse()
        .model_id(MODEL)
        .messages(user("a"))
        .messages(user("b"));
    let error = twice.send().await.unwrap_err().into_service_error();
    assert!(
        error
            .message()
            .unwrap()
            .starts_with("A conversation must alternate"),
        "{error:?}"
    );

    let entries = simulator.journal().entries();
    let refused = Outcome::Refused("ValidationException".to_owned());
    assert_eq!(
        entries.iter().map(|it| &it.outcome).collect::<Vec<_>>(),
        [&refused, &refused]
    );
    assert_eq!(entries[1].request["messages"][1]["content"][0]["text"], "b");
    assert_eq!(entries[1].status, Some(400));
}

#[tokio::test]
async fn arns_and_inference_profiles_are_models() {
    let simulator = start("[[reply]]\ntext = 'x'").await;
    for model in [
        "us.anthropic.claude-sonnet-4-20250514-v1:0",
        "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc123",
    ] {
        let request = client(&simulator)
            .converse()
            .model_id(model)
            .messages(user("hi"));
        request.send().await.unwrap();
        assert!(
            simulator
                .journal()
                .entries()
                .iter()
                .any(|entry| entry.model_id == model)
        );
    }
}
