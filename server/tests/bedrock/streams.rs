//! The model's stream, as it is told.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use serde_json::{Value, json};
use taiwa_core::{
    Failure, ModelEvent, StopReason, Usage,
    guardrail::{GuardrailFinding, GuardrailOutcome, GuardrailPolicy, GuardrailSubject},
    media::{ImageFormat, S3Object},
    message::{CacheTtl, Citation, CitationLocation, Range},
    model::{BlockDelta, BlockStart, MessageStop, ModelMetadata, ToolResultDelta},
    options::{GuardrailOptions, GuardrailTrace},
    usage::{CacheWrite, GrantedService},
};

use crate::{
    frame::{encode, frames},
    peer::{Peer, Reply, hello, play, read},
};

#[tokio::test]
async fn a_stream_with_everything_in_it_is_told_whole() {
    let told = events(traced(&whole()).await);
    assert_eq!(told, expected());
}

#[tokio::test]
async fn frames_may_be_cut_anywhere() {
    let bytes = frames(&whole());
    for size in [1, 2, 13, 1000] {
        let told = events(play(Reply::pieces(&bytes, size)).await);
        assert_eq!(told.len(), whole().len(), "{size}");
    }
}

#[tokio::test]
async fn an_assessment_is_told_in_the_providers_own_shape() {
    let outcomes = guardrails(traced(&whole()).await);
    let trace = whole().pop().unwrap()["metadata"]["trace"]["guardrail"].take();
    let mut told = outcomes
        .iter()
        .map(|outcome| -> Value { serde_json::from_str(&outcome.assessment_json).unwrap() });
    assert_eq!(told.next().unwrap(), trace["inputAssessment"]["key7"]);
    let mut output = trace["outputAssessments"]["key8"][0].clone();
    output["modelOutput"] = trace["modelOutput"].clone();
    assert_eq!(told.next().unwrap(), output);
    assert_eq!(told.next(), None);
}

#[tokio::test]
async fn an_assessment_is_told_only_when_a_trace_was_asked_for() {
    let outcomes = guardrails(play(Reply::stream(&frames(&whole()))).await);
    assert_eq!(outcomes.len(), 2);
    for outcome in outcomes {
        assert_eq!(outcome.assessment_json, "");
        assert_eq!(outcome.action_reason, "Guardrail blocked.");
    }
}

#[tokio::test]
async fn a_trace_without_assessments_still_tells_its_reason() {
    let trace = json!({"guardrail": {"actionReason": "No action.", "modelOutput": ["text"]}});
    let outcomes = guardrails(traced(&[metadata(&trace)]).await);
    assert_eq!(outcomes.len(), 1);
    assert_eq!(outcomes[0].action_reason, "No action.");
    assert!(!outcomes[0].intervened);
    assert_eq!(outcomes[0].assessment_json, r#"{"modelOutput":["text"]}"#);
    assert_eq!(
        guardrails(traced(&[metadata(&json!({"guardrail": {}}))]).await),
        []
    );
}

#[tokio::test]
async fn guardrails_are_told_in_order() {
    let finding = |name: &str| json!({"topicPolicy": {"topics": [{"name": name, "type": "DENY", "action": "NONE"}]}});
    let trace = json!({"guardrail": {
        "inputAssessment": {"b": finding("1"), "a": finding("0")},
        "outputAssessments": {"d": [finding("4")], "c": [finding("2"), finding("3")]},
    }});
    let outcomes = guardrails(traced(&[metadata(&trace)]).await);
    let told: Vec<_> = outcomes
        .iter()
        .map(|outcome| {
            let finding = &outcome.findings[0];
            assert!(finding.detected && !outcome.intervened);
            (outcome.subject, &*outcome.guardrail_id, &*finding.name)
        })
        .collect();
    use GuardrailSubject::{Input, Output};
    assert_eq!(
        told,
        [
            (Input, "a", "0"),
            (Input, "b", "1"),
            (Output, "c", "2"),
            (Output, "c", "3"),
            (Output, "d", "4")
        ]
    );
}

#[tokio::test]
async fn what_is_not_known_is_passed_over() {
    let delta =
        |delta: Value| json!({"contentBlockDelta": {"delta": delta, "contentBlockIndex": 0}});
    let start =
        |start: Value| json!({"contentBlockStart": {"start": start, "contentBlockIndex": 0}});
    let told = play(Reply::stream(&frames(&[
        json!({"quantumLeap": {"to": 1956}}),
        json!({"messageStart": {"role": "assistant", "mood": "good"}}),
        start(json!({"hologram": {"format": "star"}})),
        start(json!({"image": {"format": "jxl"}})),
        delta(json!({"hologram": {"bytes": "AA=="}})),
        delta(json!({"reasoningContent": {"feeling": "sure"}})),
        delta(json!({"toolResult": [{"hologram": 1}, {"text": "kept"}]})),
        delta(json!({"citation": {"title": "t", "location": {"galaxy": {}}}})),
        delta(json!({"image": {}})),
        json!({"messageStop": {"stopReason": "bored"}}),
        json!({"metadata": {
            "usage": {
                "inputTokens": 1, "outputTokens": 2, "totalTokens": 3,
                "cacheDetails": [{"ttl": "1y", "inputTokens": 4}],
            },
            "metrics": {"latencyMs": -5},
        }}),
    ])))
    .await;
    let block = |delta| ModelEvent::BlockDelta { index: 0, delta };
    assert_eq!(
        events(told),
        [
            ModelEvent::MessageStart,
            block(BlockDelta::ToolResult(vec![ToolResultDelta::Text(
                "kept".to_owned()
            )])),
            block(BlockDelta::Citation(Citation {
                title: "t".to_owned(),
                ..Citation::default()
            })),
            ModelEvent::MessageStop(MessageStop {
                reason: StopReason::Unknown,
                detail: "bored".to_owned(),
                additional_fields_json: String::new(),
            }),
            ModelEvent::Metadata(Box::new(ModelMetadata {
                usage: Usage {
                    input_tokens: 1,
                    output_tokens: 2,
                    total_tokens: 3,
                    ..Usage::default()
                },
                latency: Some(Duration::ZERO),
                ..ModelMetadata::default()
            })),
        ]
    );
}

#[tokio::test]
async fn each_stop_reason_is_known() {
    let table = [
        ("end_turn", StopReason::EndTurn),
        ("tool_use", StopReason::ToolUse),
        ("max_tokens", StopReason::MaxTokens),
        ("stop_sequence", StopReason::StopSequence),
        ("guardrail_intervened", StopReason::GuardrailIntervened),
        ("content_filtered", StopReason::ContentFiltered),
        ("malformed_model_output", StopReason::MalformedModelOutput),
        ("malformed_tool_use", StopReason::MalformedToolUse),
        (
            "model_context_window_exceeded",
            StopReason::ContextWindowExceeded,
        ),
    ];
    let stops: Vec<_> = table
        .iter()
        .map(|(word, _)| json!({"messageStop": {"stopReason": word}}))
        .collect();
    let told = events(play(Reply::stream(&frames(&stops))).await);
    let expected = table.map(|(_, reason)| {
        ModelEvent::MessageStop(MessageStop {
            reason,
            detail: String::new(),
            additional_fields_json: String::new(),
        })
    });
    assert_eq!(told, expected);
}

#[tokio::test]
async fn headers_that_are_not_known_do_not_matter() {
    let headers = [
        (":message-type", "event"),
        (":event-type", "messageStart"),
        (":content-type", "application/json"),
        ("x-later", "yes"),
    ];
    // The service pads events with a member `p` of random length.
    let told = play(Reply::stream(&encode(
        &headers,
        br#"{"p":"abcdefgh","role":"assistant"}"#,
    )));
    assert_eq!(events(told.await), [ModelEvent::MessageStart]);
}

/// The stream with everything in it.
pub(crate) fn whole() -> Vec<Value> {
    serde_json::from_str(include_str!("../../testdata/bedrock-stream.json")).unwrap()
}

/// What a stream says to a request that asks for the guardrail's trace.
async fn traced(stream: &[Value]) -> Vec<Result<ModelEvent, Failure>> {
    let peer = Peer::start([Reply::stream(&frames(stream))]).await;
    let mut request = hello();
    Arc::make_mut(&mut request.options).guardrail = Some(GuardrailOptions {
        guardrail_id: "g".to_owned(),
        trace: Some(GuardrailTrace::Enabled),
        ..GuardrailOptions::default()
    });
    let mut opened = peer.bedrock(1).await.open(request).await.unwrap();
    read(&mut opened.stream).await
}

fn events(told: Vec<Result<ModelEvent, Failure>>) -> Vec<ModelEvent> {
    told.into_iter().map(Result::unwrap).collect()
}

fn guardrails(told: Vec<Result<ModelEvent, Failure>>) -> Vec<GuardrailOutcome> {
    match events(told).pop() {
        Some(ModelEvent::Metadata(metadata)) => metadata.guardrails,
        other => panic!("{other:?}"),
    }
}

fn metadata(trace: &Value) -> Value {
    json!({"metadata": {
        "usage": {"inputTokens": 1, "outputTokens": 1, "totalTokens": 2},
        "metrics": {"latencyMs": 1},
        "trace": trace,
    }})
}

fn expected() -> Vec<ModelEvent> {
    let delta = |index, delta| ModelEvent::BlockDelta { index, delta };
    let start = |index, start| ModelEvent::BlockStart { index, start };
    let stop = |index| ModelEvent::BlockStop { index };
    let range = Range {
        index: 1,
        start: 2,
        end: 3,
    };
    let at = |location| {
        BlockDelta::Citation(Citation {
            location: Some(location),
            ..Citation::default()
        })
    };
    vec![
        ModelEvent::MessageStart,
        delta(0, BlockDelta::ReasoningText("thinking".to_owned())),
        delta(0, BlockDelta::ReasoningSignature("signed".to_owned())),
        delta(
            0,
            BlockDelta::ReasoningRedacted(Bytes::from_static(b"redacted")),
        ),
        stop(0),
        delta(1, BlockDelta::Text("cited text".to_owned())),
        delta(
            1,
            BlockDelta::Citation(Citation {
                title: "title".to_owned(),
                source: "source".to_owned(),
                quotes: vec!["quote one".to_owned(), "quote two".to_owned()],
                location: Some(CitationLocation::Web {
                    url: "https://example.com/page".to_owned(),
                    domain: "example.com".to_owned(),
                }),
            }),
        ),
        delta(1, at(CitationLocation::DocumentCharacters(range))),
        delta(1, at(CitationLocation::DocumentPages(range))),
        delta(1, at(CitationLocation::DocumentChunks(range))),
        delta(1, at(CitationLocation::SearchResult(range))),
        stop(1),
        start(
            2,
            BlockStart::ToolCall {
                id: "call-1".to_owned(),
                name: "book".to_owned(),
                provider_run: false,
            },
        ),
        delta(2, BlockDelta::ToolInput("{\"seats\":".to_owned())),
        delta(2, BlockDelta::ToolInput(" 2}".to_owned())),
        stop(2),
        start(
            3,
            BlockStart::ToolCall {
                id: "call-2".to_owned(),
                name: "nova_grounding".to_owned(),
                provider_run: true,
            },
        ),
        stop(3),
        start(
            4,
            BlockStart::ToolResult {
                call_id: "call-2".to_owned(),
                kind: "nova_grounding_result".to_owned(),
                is_error: true,
            },
        ),
        delta(
            4,
            BlockDelta::ToolResult(vec![
                ToolResultDelta::Text("found".to_owned()),
                ToolResultDelta::Json(
                    r#"{"big":18446744073709551615,"z":[1,-2,0.5,null,true]}"#.to_owned(),
                ),
            ]),
        ),
        stop(4),
        start(5, BlockStart::Image(ImageFormat::Webp)),
        delta(5, BlockDelta::Image(Bytes::from_static(b"image"))),
        delta(
            5,
            BlockDelta::ImageObject(S3Object {
                uri: "s3://bucket/image".to_owned(),
                bucket_owner: Some("123456789012".to_owned()),
            }),
        ),
        delta(5, BlockDelta::ImageError("filtered".to_owned())),
        stop(5),
        ModelEvent::MessageStop(MessageStop {
            reason: StopReason::StopSequence,
            detail: "STOP".to_owned(),
            additional_fields_json: r#"{"stop_sequence":"STOP"}"#.to_owned(),
        }),
        ModelEvent::Metadata(Box::new(expected_metadata())),
    ]
}

fn expected_metadata() -> ModelMetadata {
    let trace = whole().pop().unwrap()["metadata"]["trace"]["guardrail"].take();
    let mut output = trace["outputAssessments"]["key8"][0].clone();
    output["modelOutput"] = trace["modelOutput"].clone();
    ModelMetadata {
        usage: Usage {
            input_tokens: 101,
            output_tokens: 102,
            total_tokens: 203,
            cache_read_tokens: 104,
            cache_write_tokens: 105,
            cache_writes: vec![
                CacheWrite {
                    ttl: CacheTtl::FiveMinutes,
                    tokens: 60,
                },
                CacheWrite {
                    ttl: CacheTtl::OneHour,
                    tokens: 45,
                },
            ],
            ..Usage::default()
        },
        latency: Some(Duration::from_millis(1234)),
        guardrails: vec![
            GuardrailOutcome {
                subject: GuardrailSubject::Input,
                intervened: true,
                action_reason: "Guardrail blocked.".to_owned(),
                guardrail_id: "applied7".to_owned(),
                version: "3".to_owned(),
                findings: expected_findings(),
                latency: Some(Duration::from_millis(321)),
                usage_units: [
                    ("topicPolicyUnits", 1),
                    ("contentPolicyUnits", 2),
                    ("wordPolicyUnits", 3),
                    ("sensitiveInformationPolicyUnits", 4),
                    ("sensitiveInformationPolicyFreeUnits", 5),
                    ("contextualGroundingPolicyUnits", 6),
                    ("contentPolicyImageUnits", 7),
                    ("automatedReasoningPolicyUnits", 8),
                    ("automatedReasoningPolicies", 9),
                ]
                .map(|(name, units)| (name.to_owned(), units))
                .into(),
                assessment_json: trace["inputAssessment"]["key7"].to_string(),
            },
            GuardrailOutcome {
                subject: GuardrailSubject::Output,
                intervened: false,
                action_reason: "Guardrail blocked.".to_owned(),
                guardrail_id: "key8".to_owned(),
                version: String::new(),
                findings: vec![],
                latency: Some(Duration::from_millis(12)),
                usage_units: [("contentPolicyUnits".to_owned(), 1)].into(),
                assessment_json: output.to_string(),
            },
        ],
        invoked_model_id: Some("arn:router:model".to_owned()),
        granted: GrantedService {
            tier: "priority".to_owned(),
            latency: "optimized".to_owned(),
        },
    }
}

fn expected_findings() -> Vec<GuardrailFinding> {
    use GuardrailPolicy::{
        AutomatedReasoning, Content, ContextualGrounding, SensitiveInformation, Topic, Word,
    };
    let finding = |policy, name: &str, action: &str, matched: &str| GuardrailFinding {
        policy,
        name: name.to_owned(),
        action: action.to_owned(),
        matched: matched.to_owned(),
        confidence: String::new(),
        score: None,
        threshold: None,
        detected: true,
    };
    let reasoned = |name, rules, score| GuardrailFinding {
        score,
        ..finding(AutomatedReasoning, name, "", rules)
    };
    vec![
        finding(Topic, "weapons", "BLOCKED", ""),
        GuardrailFinding {
            confidence: "LOW".to_owned(),
            detected: false,
            ..finding(Content, "VIOLENCE", "NONE", "")
        },
        finding(Word, "heck", "BLOCKED", "heck"),
        finding(Word, "PROFANITY", "BLOCKED", "darn"),
        finding(SensitiveInformation, "EMAIL", "ANONYMIZED", "a@example.com"),
        finding(SensitiveInformation, "ticket", "ANONYMIZED", "T-17"),
        GuardrailFinding {
            score: Some(0.25),
            threshold: Some(0.75),
            ..finding(ContextualGrounding, "GROUNDING", "BLOCKED", "")
        },
        reasoned("valid", "rule00000001, rule00000002", Some(0.5)),
        reasoned("invalid", "rule00000003", Some(0.5)),
        reasoned("satisfiable", "", Some(0.5)),
        reasoned("impossible", "rule00000004", Some(0.5)),
        reasoned("translationAmbiguous", "", None),
        reasoned("tooComplex", "", None),
        reasoned("noTranslations", "", None),
    ]
}
