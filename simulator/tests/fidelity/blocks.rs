//! Every kind of content, and everything that comes with an answer.

use std::time::{SystemTime, UNIX_EPOCH};

use aws_smithy_types::Document;

use super::*;

#[tokio::test]
async fn chunks_arrive_one_by_one_as_the_script_has_them() {
    let simulator = start("[[reply]]\ntext = ['Hel', 'lo ', '', 'wörld \"x\"\\n']").await;
    let streamed = stream(&simulator).await;
    assert_eq!(streamed.texts(), ["Hel", "lo ", "", "wörld \"x\"\\n"]);
    assert_eq!(streamed.stop_reason(), Some(&bedrock::StopReason::EndTurn));
    assert_eq!(streamed.events.len(), 1 + 4 + 1 + 1 + 1);
    assert!(streamed.error.is_none());
}

#[tokio::test]
async fn a_string_is_split_by_words_or_by_the_given_size() {
    let simulator = start("[[reply]]\ntext = 'one two  three'").await;
    assert_eq!(stream(&simulator).await.texts(), ["one", " two", "  three"]);
    let simulator = start("[[reply]]\ntext = 'äbcde'\nchunk_chars = 2").await;
    assert_eq!(stream(&simulator).await.texts(), ["äb", "cd", "e"]);
}

#[tokio::test]
async fn stamped_pieces_tell_when_each_was_sent() {
    let scenario =
        "[[reply]]\ntext = ['a b', 'c']\nstamped = true\npace = { chunk_delay = '20ms' }";
    let simulator = start(scenario).await;
    let before = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let streamed = stream(&simulator).await;
    let after = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let pieces: Vec<(u128, &str)> = streamed
        .texts()
        .into_iter()
        .map(|text| text.split_once(' ').unwrap())
        .map(|(stamp, piece)| (stamp.parse().unwrap(), piece))
        .collect();
    let [(first, "a b"), (second, "c")] = pieces[..] else {
        panic!("{pieces:?}");
    };
    assert!(before.as_nanos() <= first && first <= second && second <= after.as_nanos());
    // The first may go out late, which does not put off the second.
    let due = before.as_nanos() + 20_000_000;
    assert!(second >= due, "{} ns early", due - second);
}

#[test]
fn a_stamp_needs_text() {
    let error = Script::from_toml("[[reply]]\nstamped = true").unwrap_err();
    assert!(error.to_string().contains("reply[0].stamped"), "{error}");
}

const EVERYTHING: &str = r#"
    [[reply]]
    stop_reason = "tool_use"
    additional_fields = { stop_sequence = "END", n = 3 }
    latency_ms = 1234
    performance_latency = "optimized"
    service_tier = "flex"
    invoked_model_id = "arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-lite-v1:0"
    content = [
        { reasoning = { text = ["I ", "think"], signature = "c2ln" } },
        { redacted_reasoning = "aGlkZGVu" },
        { text = "cited", citations = [
            { title = "T", source = "S", sourceContent = [{ text = "src" }], location = { documentPage = { documentIndex = 0, start = 1, end = 2 } } },
            { location = { web = { url = "https://example.com", domain = "example.com" } } },
        ] },
        { tool_use = { id = "server_1", name = "web_search", input = '{"q":1}', run_by_provider = true } },
        { tool_result = { id = "server_1", kind = "web_search_tool_result", status = "success", text = ["found"], json = { hits = 2 } } },
        { image = { format = "png" } },
        { image = { format = "webp", s3_uri = "s3://bucket/key" } },
        { image = { format = "jpeg", error = "blocked" } },
        { tool_use = { id = "call_1", name = "weather", input = '{"city": "Kyōto", "n": 1}' }, chunk_chars = 5 },
    ]
    [reply.usage]
    input_tokens = 11
    output_tokens = 22
    total_tokens = 99
    cache_read_input_tokens = 33
    cache_write_input_tokens = 44
    cache_details = [{ ttl = "1h", input_tokens = 44 }]
    [reply.guardrail]
    modelOutput = ["raw"]
    actionReason = "Guardrail blocked."
    [reply.guardrail.inputAssessment.gr1.topicPolicy]
    topics = [{ name = "t", type = "DENY", action = "BLOCKED", detected = true }]
    [[reply.guardrail.outputAssessments.gr1]]
    wordPolicy = { customWords = [{ match = "w", action = "BLOCKED" }], managedWordLists = [] }
"#;

#[tokio::test]
async fn every_block_kind_arrives_in_a_stream() {
    let simulator = start(EVERYTHING).await;
    let streamed = stream(&simulator).await;
    let shown: Vec<String> = streamed.events.iter().map(show).collect();
    assert_eq!(
        shown,
        [
            "message start",
            "0: reasoning \"I \"",
            "0: reasoning \"think\"",
            "0: signature \"c2ln\"",
            "0: stop",
            "1: redacted \"hidden\"",
            "1: stop",
            "2: text \"cited\"",
            "2: citation Some(\"T\") of 1 at DocumentPage",
            "2: citation None of 0 at Web",
            "2: stop",
            "3: tool use server_1 web_search Some(ServerToolUse)",
            "3: input \"{\\\"q\\\":1}\"",
            "3: stop",
            "4: tool result server_1 Some(\"web_search_tool_result\") Some(Success)",
            "4: result [Text(\"found\")]",
            "4: result [Json(Object({\"hits\": Number(PosInt(2))}))]",
            "4: stop",
            "5: image Png",
            "5: image bytes",
            "5: stop",
            "6: image Webp",
            "6: image s3://bucket/key",
            "6: stop",
            "7: image Jpeg",
            "7: image error blocked",
            "7: stop",
            "8: tool use call_1 weather None",
            "8: input \"{\\\"cit\"",
            "8: input \"y\\\": \\\"\"",
            "8: input \"Kyōto\"",
            "8: input \"\\\", \\\"n\"",
            "8: input \"\\\": 1}\"",
            "8: stop",
            "message stop ToolUse",
            "metadata",
        ]
    );
    let metadata = streamed.metadata().unwrap();
    check_usage(metadata.usage.as_ref().unwrap());
    assert_eq!(metadata.metrics.as_ref().unwrap().latency_ms, 1234);
    let latency = metadata.performance_config.as_ref().unwrap().latency();
    assert_eq!(latency, &bedrock::PerformanceConfigLatency::Optimized);
    assert_eq!(
        metadata.service_tier.as_ref().unwrap().r#type,
        bedrock::ServiceTierType::Flex
    );
    let trace = metadata.trace.as_ref().unwrap();
    assert!(
        trace
            .prompt_router
            .as_ref()
            .unwrap()
            .invoked_model_id()
            .unwrap()
            .starts_with("arn:")
    );
    let guardrail = trace.guardrail.as_ref().unwrap();
    assert_eq!(guardrail.action_reason(), Some("Guardrail blocked."));
    let topics = guardrail.input_assessment().unwrap()["gr1"]
        .topic_policy()
        .unwrap()
        .topics();
    assert_eq!(topics[0].name, "t");
    assert_eq!(guardrail.output_assessments().unwrap()["gr1"].len(), 1);
}

#[tokio::test]
async fn every_block_kind_arrives_in_one_message() {
    let simulator = start(EVERYTHING).await;
    let output = converse(&simulator).await;
    assert_eq!(output.stop_reason, bedrock::StopReason::ToolUse);
    check_usage(output.usage.as_ref().unwrap());
    assert_eq!(output.metrics.unwrap().latency_ms, 1234);
    assert!(output.trace.unwrap().guardrail.is_some());
    let fields = output.additional_model_response_fields.unwrap();
    assert_eq!(
        fields.as_object().unwrap()["stop_sequence"],
        Document::from("END")
    );

    let Some(bedrock::ConverseOutput::Message(message)) = output.output else {
        panic!("no message");
    };
    let content = message.content;
    assert_eq!(content.len(), 9);
    let reasoning = content[0]
        .as_reasoning_content()
        .unwrap()
        .as_reasoning_text()
        .unwrap();
    assert_eq!(
        (reasoning.text.as_str(), reasoning.signature()),
        ("I think", Some("c2ln"))
    );
    assert!(
        content[1]
            .as_reasoning_content()
            .unwrap()
            .is_redacted_content()
    );
    let cited = content[2].as_citations_content().unwrap();
    assert_eq!(cited.content()[0].as_text().unwrap(), "cited");
    assert_eq!(cited.citations().len(), 2);
    let search = content[3].as_tool_use().unwrap();
    assert_eq!(search.r#type, Some(bedrock::ToolUseType::ServerToolUse));
    assert_eq!(content[4].as_tool_result().unwrap().content.len(), 2);
    assert!(
        content[5]
            .as_image()
            .unwrap()
            .source
            .as_ref()
            .unwrap()
            .is_bytes()
    );
    let call = content[8].as_tool_use().unwrap();
    assert_eq!(
        call.input.as_object().unwrap()["city"],
        Document::from("Kyōto")
    );
}

#[tokio::test]
async fn every_stop_reason_arrives() {
    for reason in bedrock::StopReason::values() {
        let simulator = start(&format!("[[reply]]\ntext = 'x'\nstop_reason = '{reason}'")).await;
        assert_eq!(
            stream(&simulator).await.stop_reason().map(|it| it.as_str()),
            Some(*reason)
        );
        assert_eq!(converse(&simulator).await.stop_reason.as_str(), *reason);
    }
}

#[tokio::test]
async fn broken_tool_input_is_sent_as_it_stands() {
    let simulator =
        start("[[reply]]\ncontent = [{ tool_use = { name = 'a', input = ['{\"x\": ', 'tru'] } }]")
            .await;
    let streamed = stream(&simulator).await;
    let shown: Vec<String> = streamed.events.iter().map(show).collect();
    assert_eq!(
        shown[2..4],
        ["0: input \"{\\\"x\\\": \"", "0: input \"tru\""]
    );
}

#[tokio::test]
async fn unknown_events_do_not_disturb_the_others() {
    let simulator = start(
        "[[reply]]\ncontent = [{ text = ['a'] }, { event = { type = 'novelty', payload = '{}' } }]",
    )
    .await;
    let streamed = stream(&simulator).await;
    assert!(streamed.error.is_none());
    assert!(
        streamed
            .events
            .iter()
            .any(bedrock::ConverseStreamOutput::is_unknown)
    );
    assert_eq!(streamed.stop_reason(), Some(&bedrock::StopReason::EndTurn));
}

#[tokio::test]
async fn tier_and_latency_of_the_request_come_back() {
    let simulator = start("[[reply]]\ntext = 'x'").await;
    let tier = bedrock::ServiceTier::builder().r#type(bedrock::ServiceTierType::Priority);
    let output = client(&simulator)
        .converse()
        .model_id(MODEL)
        .messages(user("hi"))
        .service_tier(tier.build().unwrap())
        .send()
        .await
        .unwrap();
    assert_eq!(
        output.service_tier.unwrap().r#type,
        bedrock::ServiceTierType::Priority
    );
}

#[tokio::test]
async fn tokens_are_counted_by_estimate_or_as_the_script_says() {
    let count = async |scenario: &str, text: &str| {
        let simulator = start(scenario).await;
        let input = bedrock::ConverseTokensRequest::builder()
            .messages(user(text))
            .build();
        let request = client(&simulator).count_tokens().model_id(MODEL);
        let request = request.input(bedrock::CountTokensInput::Converse(input));
        request.send().await.unwrap().input_tokens
    };
    assert_eq!(count("", "abcdefgh").await, 6);
    assert_eq!(
        count("[[reply]]\ninput_tokens = 4711", "abcdefgh").await,
        4711
    );
}

#[tokio::test]
async fn a_huge_answer_is_made_as_it_is_read() {
    let simulator = start("[[reply]]\ntext = ['0123456789']\nrepeat = 1_000_000").await;
    let mut stream = open(&client(&simulator)).await.unwrap().stream;
    stream.recv().await.unwrap();
    let entry = simulator
        .journal()
        .wait_for(|entry| entry.chunks_sent > 0, LIMIT)
        .await
        .unwrap();
    assert!(
        entry.bytes_sent < 50_000_000,
        "{} bytes before anyone read",
        entry.bytes_sent
    );
    drop(stream);
    assert_eq!(outcome(&simulator).await, Outcome::ClientClosed);
}

fn check_usage(usage: &bedrock::TokenUsage) {
    let totals = (usage.input_tokens, usage.output_tokens, usage.total_tokens);
    assert_eq!(totals, (11, 22, 99));
    let cache = (
        usage.cache_read_input_tokens,
        usage.cache_write_input_tokens,
    );
    assert_eq!(cache, (Some(33), Some(44)));
    let detail = &usage.cache_details()[0];
    assert_eq!((detail.ttl.as_str(), detail.input_tokens), ("1h", 44));
}

fn show(event: &bedrock::ConverseStreamOutput) -> String {
    use bedrock::{
        ContentBlockDelta as Delta, ContentBlockStart as Start, ConverseStreamOutput as Event,
    };
    match event {
        Event::MessageStart(_) => "message start".to_owned(),
        Event::ContentBlockStart(event) => {
            let start = match event.start.as_ref().unwrap() {
                Start::ToolUse(it) => {
                    format!("tool use {} {} {:?}", it.tool_use_id, it.name, it.r#type)
                }
                Start::ToolResult(it) => {
                    format!(
                        "tool result {} {:?} {:?}",
                        it.tool_use_id, it.r#type, it.status
                    )
                }
                Start::Image(it) => format!("image {:?}", it.format),
                other => format!("{other:?}"),
            };
            format!("{}: {start}", event.content_block_index)
        }
        Event::ContentBlockDelta(event) => {
            let delta = match event.delta.as_ref().unwrap() {
                Delta::Text(text) => format!("text {text:?}"),
                Delta::ToolUse(it) => format!("input {:?}", it.input),
                Delta::ToolResult(items) => format!("result {items:?}"),
                Delta::Citation(it) => format!(
                    "citation {:?} of {} at {}",
                    it.title,
                    it.source_content().len(),
                    if it.location.as_ref().unwrap().is_web() {
                        "Web"
                    } else {
                        "DocumentPage"
                    }
                ),
                Delta::ReasoningContent(bedrock::ReasoningContentBlockDelta::Text(text)) => {
                    format!("reasoning {text:?}")
                }
                Delta::ReasoningContent(bedrock::ReasoningContentBlockDelta::Signature(text)) => {
                    format!("signature {text:?}")
                }
                Delta::ReasoningContent(bedrock::ReasoningContentBlockDelta::RedactedContent(
                    it,
                )) => {
                    format!("redacted {:?}", String::from_utf8_lossy(it.as_ref()))
                }
                Delta::Image(it) => match (&it.source, &it.error) {
                    (_, Some(error)) => format!("image error {}", error.message().unwrap()),
                    (Some(bedrock::ImageSource::S3Location(it)), _) => format!("image {}", it.uri),
                    _ => "image bytes".to_owned(),
                },
                other => format!("{other:?}"),
            };
            format!("{}: {delta}", event.content_block_index)
        }
        Event::ContentBlockStop(event) => format!("{}: stop", event.content_block_index),
        Event::MessageStop(event) => format!("message stop {:?}", event.stop_reason),
        Event::Metadata(_) => "metadata".to_owned(),
        other => format!("{other:?}"),
    }
}
