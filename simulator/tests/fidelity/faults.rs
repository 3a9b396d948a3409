//! Cuts, silences, broken and missing frames.

use std::time::Instant;

use super::*;

fn with_fault(fault: &str) -> String {
    format!("[[reply]]\ntext = ['a', 'b', 'c', 'd']\n{fault}")
}

#[tokio::test]
async fn a_cut_connection_is_an_error_after_what_was_sent() {
    for how in ["reset", "close"] {
        for (rest, expected) in [
            ("", &["a", "b"][..]),
            (", mid_frame = true", &["a", "b"][..]),
        ] {
            let fault = format!("fault.cut = {{ how = '{how}', after_chunk = 2{rest} }}");
            let simulator = start(&with_fault(&fault)).await;
            let streamed = stream(&simulator).await;
            assert!(streamed.error.is_some(), "{how}{rest}: {streamed:?}");
            // A reset may overtake what the client has not read.
            let texts = streamed.texts();
            assert!(expected.starts_with(&texts), "{how}{rest}: {texts:?}");
            if how == "close" {
                assert_eq!(texts, expected, "{rest}");
            }
            assert_eq!(outcome(&simulator).await, Outcome::Fault("cut".to_owned()));
        }
    }
}

#[tokio::test]
async fn a_connection_can_be_cut_before_and_right_after_the_headers() {
    for how in ["reset", "close"] {
        let fault = format!("fault.cut = {{ how = '{how}', at = 'before_headers' }}");
        let simulator = start(&with_fault(&fault)).await;
        let error = open(&client(&simulator)).await.unwrap_err();
        assert!(matches!(error, SdkError::DispatchFailure(_)), "{error:?}");

        let fault = format!("fault.cut = {{ how = '{how}', at = 'after_headers' }}");
        let simulator = start(&with_fault(&fault)).await;
        let streamed = match open(&client(&simulator)).await {
            Ok(mut output) => output.stream.recv().await.map(|_| ()).is_err(),
            // The SDK reads the first frame before it hands over the stream.
            Err(_) => true,
        };
        assert!(streamed);
        assert_eq!(outcome(&simulator).await, Outcome::Fault("cut".to_owned()));
    }
}

#[tokio::test]
async fn converse_can_be_cut_in_its_body() {
    let simulator = start(&with_fault("fault.cut = { after_chunk = 1 }")).await;
    let request = client(&simulator)
        .converse()
        .model_id(MODEL)
        .messages(user("hi"));
    assert!(request.send().await.is_err());
    assert_eq!(outcome(&simulator).await, Outcome::Fault("cut".to_owned()));
}

#[tokio::test]
async fn silence_keeps_the_connection_and_the_client_ends_it() {
    for place in ["at = 'after_headers'", "after_chunk = 0", "after_chunk = 2"] {
        let simulator = start(&with_fault(&format!("fault.silence = {{ {place} }}"))).await;
        let client = client(&simulator);
        let silent = tokio::spawn(async move {
            let mut stream = open(&client).await.unwrap().stream;
            while stream.recv().await.unwrap().is_some() {}
        });
        let chunks = if place == "after_chunk = 2" { 2 } else { 0 };
        let reached = |entry: &Entry| entry.status == Some(200) && entry.chunks_sent == chunks;
        simulator.journal().wait_for(reached, LIMIT).await.unwrap();
        silent.abort();
        let entry = ended(&simulator).await;
        assert_eq!(
            (entry.outcome, entry.chunks_sent),
            (Outcome::ClientClosed, chunks),
            "{place}"
        );
    }
}

#[tokio::test]
async fn silence_before_the_headers_is_noticed_as_closed_too() {
    let simulator = start(&with_fault("fault.silence = { at = 'before_headers' }")).await;
    let client = client(&simulator);
    let silent = tokio::spawn(async move { open(&client).await });
    simulator.journal().wait_for(|_| true, LIMIT).await.unwrap();
    silent.abort();
    let entry = ended(&simulator).await;
    assert_eq!((entry.outcome, entry.status), (Outcome::ClientClosed, None));
}

#[tokio::test]
async fn a_silence_with_an_end_goes_on_afterwards() {
    let simulator = start(&with_fault(
        "fault.silence = { after_chunk = 1, for = '80ms' }",
    ))
    .await;
    let started = Instant::now();
    let streamed = stream(&simulator).await;
    assert_eq!(streamed.texts(), ["a", "b", "c", "d"]);
    assert!(started.elapsed() >= Duration::from_millis(80));
    assert_eq!(outcome(&simulator).await, Outcome::Completed);
}

#[tokio::test]
async fn broken_checksums_are_errors() {
    for part in ["message", "prelude"] {
        let fault = format!("fault.bad_checksum = {{ frame = 3, in = '{part}' }}");
        let simulator = start(&with_fault(&fault)).await;
        let streamed = stream(&simulator).await;
        assert_eq!(streamed.texts(), ["a"]);
        assert!(streamed.error.is_some());
    }
}

#[tokio::test]
async fn frames_can_be_cut_anywhere() {
    for bytes in [1, 7, 64, 1000] {
        let simulator = start(&with_fault(&format!("fault.bytes_per_write = {bytes}"))).await;
        let streamed = stream(&simulator).await;
        assert_eq!(
            streamed.texts(),
            ["a", "b", "c", "d"],
            "{bytes} bytes a write"
        );
        assert!(streamed.error.is_none());
        assert!(streamed.metadata().is_some());
    }
}

#[tokio::test]
async fn parts_of_the_stream_can_be_missing() {
    let simulator = start(&with_fault("fault.omit_message_stop = true")).await;
    let streamed = stream(&simulator).await;
    assert_eq!((streamed.texts().len(), streamed.stop_reason()), (4, None));
    assert!(streamed.metadata().is_some() && streamed.error.is_none());

    let simulator = start(&with_fault("fault.omit_metadata = true")).await;
    let streamed = stream(&simulator).await;
    assert!(streamed.stop_reason().is_some() && streamed.metadata().is_none());

    let simulator = start(&with_fault("fault.end_after_headers = true")).await;
    let streamed = stream(&simulator).await;
    assert!(
        streamed.events.is_empty() && streamed.error.is_none(),
        "{streamed:?}"
    );
    assert_eq!(
        outcome(&simulator).await,
        Outcome::Fault("end_after_headers".to_owned())
    );
}

#[tokio::test]
async fn the_end_can_come_late() {
    let simulator = start(&with_fault("fault.trailing_delay = '60ms'")).await;
    let streamed = stream(&simulator).await;
    assert!(streamed.metadata().is_some());
    // The client may read late, so the simulator's own times count.
    let entry = ended(&simulator).await;
    let answered = entry.answered_at.unwrap().instant;
    let took = entry.ended_at.unwrap().instant - answered;
    assert!(took >= Duration::from_millis(60), "{took:?}");
}

#[tokio::test]
async fn a_pace_spaces_the_chunks() {
    let pace =
        "pace = { headers_delay = '20ms', first_token_delay = '30ms', chunk_delay = '20ms' }";
    let simulator = start(&with_fault(pace)).await;
    let started = Instant::now();
    let streamed = stream(&simulator).await;
    assert_eq!(streamed.texts().len(), 4);
    let took = started.elapsed();
    assert!(took >= Duration::from_millis(20 + 30 + 3 * 20), "{took:?}");

    let started = Instant::now();
    converse(&simulator).await;
    assert!(started.elapsed() >= Duration::from_millis(20 + 30 + 3 * 20));
}
