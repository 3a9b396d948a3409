//! What the model says, how it ends, and what it takes.

use taiwa_simulator::{Entry, Outcome, Script};

use super::*;

#[tokio::test]
async fn an_answer_streams_token_by_token_with_true_counts() {
    let Some(model) = model() else { return };
    assert_eq!(model.id(), MODEL);
    let simulator = start(model).await;
    let client = client(&simulator);
    let streamed = read(ask_stream(
        &client,
        "What is the capital of France?",
        inference().max_tokens(24),
    ))
    .await;
    let text = streamed.texts.concat();
    assert!(text.contains("Paris"), "{text}");
    let metadata = streamed.metadata.unwrap();
    let usage = metadata.usage.unwrap();
    // A delta is a token, but where a character or a stop sequence takes several.
    let deltas = i32::try_from(streamed.texts.len()).unwrap();
    assert!(deltas > 4 && deltas <= usage.output_tokens, "{deltas}");
    assert_eq!(usage.total_tokens, usage.input_tokens + usage.output_tokens);
    assert!(metadata.metrics.unwrap().latency_ms > 0);
    let router = metadata.trace.unwrap().prompt_router.unwrap();
    assert_eq!(router.invoked_model_id.as_deref(), Some(MODEL));

    let counted = client
        .count_tokens()
        .model_id("local.default")
        .input(bedrock::CountTokensInput::Converse(
            bedrock::ConverseTokensRequest::builder()
                .messages(user("What is the capital of France?"))
                .build(),
        ))
        .send()
        .await
        .unwrap();
    assert_eq!(counted.input_tokens, usage.input_tokens);
}

#[tokio::test]
async fn at_temperature_0_the_same_request_gets_the_same_answer() {
    let Some(model) = model() else { return };
    let simulator = start(model).await;
    let client = client(&simulator);
    let answer = async |text: &str| {
        let answer = ask(&client, text, inference().max_tokens(40)).send().await;
        let message = answer.unwrap().output.unwrap();
        let message = message.as_message().unwrap();
        message.content[0].as_text().unwrap().clone()
    };
    let first = answer("Tell me about rivers.").await;
    // Something else in between changes what the cache holds.
    let other = answer("Tell me about mountains.").await;
    assert_ne!(first, other);
    assert_eq!(answer("Tell me about rivers.").await, first);
    assert_eq!(answer("Tell me about rivers.").await, first);
}

#[tokio::test]
async fn answers_end_as_the_request_asks() {
    let Some(model) = model() else { return };
    let simulator = start(model).await;
    let client = client(&simulator);
    let short = ask(&client, "Tell me a long story.", inference().max_tokens(7));
    let short = short.send().await.unwrap();
    assert_eq!(short.stop_reason, bedrock::StopReason::MaxTokens);
    assert_eq!(short.usage.unwrap().output_tokens, 7);

    let stopped = ask(
        &client,
        "What is the capital of France?",
        inference().max_tokens(40).stop_sequences("Paris"),
    );
    let stopped = stopped.send().await.unwrap();
    assert_eq!(stopped.stop_reason, bedrock::StopReason::StopSequence);
    let output = stopped.output.unwrap();
    let text = output.as_message().unwrap().content[0].as_text().unwrap();
    assert!(!text.is_empty() && !text.contains("Paris"), "{text}");

    let whole = ask(&client, "What is the capital of France?", inference());
    let whole = whole.send().await.unwrap();
    assert_eq!(whole.stop_reason, bedrock::StopReason::EndTurn);
}

#[tokio::test]
async fn a_context_that_is_too_small_is_told_in_bedrocks_words() {
    let Some(file) = weights() else { return };
    let small = Settings {
        context: NonZeroU32::new(128).unwrap(),
        ..settings(file)
    };
    let simulator = start(Model::load(small).unwrap()).await;
    let client = client(&simulator);
    let refused = ask(&client, &"river ".repeat(300), inference())
        .send()
        .await;
    let refused = refused.unwrap_err().into_service_error();
    let bedrock_error = refused.meta();
    assert_eq!(bedrock_error.code(), Some("ValidationException"));
    assert_eq!(
        bedrock_error.message(),
        Some("Input is too long for requested model.")
    );

    let full = read(ask_stream(&client, "Tell me a long story.", inference())).await;
    let usage = full.metadata.unwrap().usage.unwrap();
    assert_eq!(
        full.stop_reason,
        Some(bedrock::StopReason::ModelContextWindowExceeded)
    );
    // The last token needs no room of its own: nothing is computed from it.
    assert_eq!(usage.total_tokens, 129);
}

#[tokio::test]
async fn a_closed_connection_stops_the_model_within_a_token() {
    let Some(file) = weights() else { return };
    let model = Model::load(settings(file)).unwrap();
    let simulator = start(model.clone()).await;
    let client = client(&simulator);
    let request = ask_stream(
        &client,
        "Write a very long story about a river.",
        inference().temperature(1.0),
    );
    let mut stream = request.send().await.unwrap().stream;
    for _ in 0..6 {
        stream.recv().await.unwrap().unwrap();
    }
    drop(stream);
    drop(client);
    let closed = |entry: &Entry| entry.outcome == Outcome::ClientClosed;
    simulator.journal().wait_for(closed, LIMIT).await.unwrap();
    let at_close = model.generated_tokens();
    // What is asked next waits for what ran before.
    let next = super::client(&simulator);
    let short = ask(&next, "Hi", inference().max_tokens(1));
    short.send().await.unwrap();
    let after = model.generated_tokens() - 1;
    assert!(after <= at_close + 1, "{at_close} tokens, then {after}");
    assert!(after < 900, "it ran to its end: {after} tokens");
}

#[tokio::test]
async fn what_a_prompt_shares_with_the_one_before_is_not_computed_again() {
    let Some(file) = weights() else { return };
    let simulator = start(Model::load(settings(file)).unwrap()).await;
    let client = client(&simulator);
    let system = "You know about rivers. ".repeat(40);
    let point = bedrock::CachePointBlock::builder()
        .r#type(bedrock::CachePointType::Default)
        .build()
        .unwrap();
    let mut reused = Vec::new();
    let mut inputs = Vec::new();
    for question in [
        "What is the Nile?",
        "What is the Nile?",
        "Where is the Rhine?",
    ] {
        let answer = ask(&client, question, inference().max_tokens(4))
            .system(bedrock::SystemContentBlock::Text(system.clone()))
            .system(bedrock::SystemContentBlock::CachePoint(point.clone()))
            .send()
            .await
            .unwrap();
        let usage = answer.usage.unwrap();
        reused.push(usage.cache_read_input_tokens.unwrap());
        inputs.push(usage.input_tokens);
    }
    assert_eq!(reused[0], 0);
    assert!(reused[1] >= 192 && reused[2] >= 192, "{reused:?}");
    assert_eq!(inputs[0], inputs[1] + reused[1]);
}

#[tokio::test]
async fn requests_beyond_the_queue_are_throttled_and_the_rest_wait_their_turn() {
    let Some(file) = weights() else { return };
    let one = Settings {
        queue: NonZeroUsize::MIN,
        ..settings(file)
    };
    let simulator = start(Model::load(one).unwrap()).await;
    let client = client(&simulator);
    let long = ask_stream(
        &client,
        "Write a very long story about a river.",
        inference().temperature(1.0),
    );
    // It runs from its first event on, and leaves the queue empty.
    let running = long.send().await.unwrap().stream;
    let waiting = tokio::spawn(ask(&client, "Hi", inference().max_tokens(1)).send());
    let second = |entry: &Entry| entry.number == 2 && entry.rule.is_some();
    simulator.journal().wait_for(second, LIMIT).await.unwrap();
    let refused = ask(&client, "Hi", inference()).send().await.unwrap_err();
    assert!(refused.into_service_error().is_throttling_exception());
    drop(running);
    waiting.await.unwrap().unwrap();
}

#[tokio::test]
async fn faults_of_a_rule_strike_the_model_too_and_words_of_a_rule_replace_it() {
    let Some(model) = model() else { return };
    let script = Script::from_toml(
        r#"
        [[reply]]
        when = { prompt_is = "scripted" }
        text = "From the script."

        [[reply]]
        fault.exception = { type = "ModelStreamErrorException", after_chunk = 2 }
    "#,
    )
    .unwrap();
    let config = taiwa_simulator::Config {
        model: Some(model),
        script,
        ..taiwa_simulator::Config::default()
    };
    let simulator = Simulator::start(config).await.unwrap();
    let client = client(&simulator);
    let scripted = read(ask_stream(&client, "scripted", inference())).await;
    assert_eq!(scripted.texts.concat(), "From the script.");

    let mut stream = ask_stream(&client, "Hello", inference())
        .send()
        .await
        .unwrap()
        .stream;
    let mut deltas = 0;
    let error = loop {
        match stream.recv().await {
            Ok(Some(event)) => deltas += i32::from(event.is_content_block_delta()),
            Ok(None) => panic!("the fault did not strike"),
            Err(error) => break error.into_service_error(),
        }
    };
    assert!(error.is_model_stream_error_exception());
    assert_eq!(deltas, 2);
}

#[tokio::test]
async fn a_model_id_of_another_model_and_content_that_is_no_text_are_refused() {
    let Some(model) = model() else { return };
    let simulator = start(model).await;
    let client = client(&simulator);
    let other = ask(&client, "Hi", inference()).model_id("local.other");
    let refused = other.send().await.unwrap_err().into_service_error();
    assert_eq!(
        refused.meta().message(),
        Some("The provided model identifier is invalid.")
    );
    let image = bedrock::ImageBlock::builder()
        .format(bedrock::ImageFormat::Png)
        .source(bedrock::ImageSource::Bytes(
            vec![0x89, b'P', b'N', b'G'].into(),
        ))
        .build()
        .unwrap();
    let image = message(
        bedrock::ConversationRole::User,
        bedrock::ContentBlock::Image(image),
    );
    let refused = client
        .converse()
        .model_id(MODEL)
        .messages(image)
        .send()
        .await;
    let refused = refused.unwrap_err().into_service_error();
    assert!(refused.is_validation_exception(), "{refused:?}");
}
