//! A model request, as it is sent.

mod maximal;

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use bytes::Bytes;
use serde_json::{Value, json};
use taiwa_core::{
    Block, Message, ModelRequest, Reason, Role, ToolCall, ToolResult, ToolSpec, TurnOptions,
    media::{AudioFormat, DocumentFormat, ImageFormat, MediaSource, VideoFormat},
    message::{Audio, CachePoint, Document, DocumentBody, Image, Marking, Video},
    model::ReplyForm,
    options::{
        CacheOptions, GuardrailOptions, GuardrailStreamMode, GuardrailTrace, LatencyMode,
        OutputFormat, ReasoningOptions, ServiceTier, SystemBlock,
    },
    tool::{Approval, Executor, Schema, ToolChoice, ToolResultBlock},
};

use crate::peer::{Peer, Reply, Request, hello};

const CLAUDE: &str = "eu.anthropic.claude-opus-4-6-v1:0";

#[tokio::test]
async fn a_request_with_everything_in_it_is_sent_whole() {
    let request = sent(maximal::request()).await;
    assert_eq!(
        request.path,
        "/model/eu.anthropic.claude-opus-4-6-v1%3A0/converse-stream"
    );
    assert_eq!(request.body, whole());
}

#[tokio::test]
async fn a_count_with_everything_in_it_is_sent_whole() {
    let (request, tokens) = counted(maximal::request()).await;
    assert_eq!(
        request.path,
        "/model/eu.anthropic.claude-opus-4-6-v1%3A0/count-tokens"
    );
    assert_eq!(request.body, whole_count());
    assert_eq!(tokens, 42);
}

#[tokio::test]
async fn a_plain_request_holds_nothing_else() {
    let request = sent(hello()).await;
    assert_eq!(
        request.body,
        json!({"messages": [{"role": "user", "content": [{"text": "hello"}]}]})
    );
}

#[tokio::test]
async fn requests_are_signed() {
    let request = sent(hello()).await;
    let signature = request.header("authorization");
    assert!(
        signature.starts_with("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/"),
        "{signature}"
    );
    assert!(
        signature.contains("/eu-central-1/bedrock/aws4_request"),
        "{signature}"
    );
    assert!(!request.header("x-amz-date").is_empty());
}

#[tokio::test]
async fn effort_and_budget_take_the_form_of_the_model_family() {
    let both = |effort: &str, budget| ReasoningOptions {
        effort: Some(effort.to_owned()).filter(|effort| !effort.is_empty()),
        budget_tokens: NonZeroU32::new(budget),
    };
    let thinking = json!({"thinking": {"type": "enabled", "budget_tokens": 2048}});
    let table = [
        (
            CLAUDE,
            both("high", 0),
            json!({"outputConfig": {"effort": "high"}}),
        ),
        (
            CLAUDE,
            both("", 2048),
            json!({"additionalModelRequestFields": thinking}),
        ),
        (
            "arn:aws:bedrock:eu-central-1:123456789012:application-inference-profile/abc",
            both("max", 2048),
            json!({
                "outputConfig": {"effort": "max"},
                "additionalModelRequestFields": thinking,
            }),
        ),
        (
            "us.amazon.nova-2-lite-v1:0",
            both("low", 0),
            json!({"additionalModelRequestFields": {
                "reasoningConfig": {"type": "enabled", "maxReasoningEffort": "low"},
            }}),
        ),
        (
            "openai.gpt-oss-120b-1:0",
            both("medium", 0),
            json!({"additionalModelRequestFields": {"reasoning_effort": "medium"}}),
        ),
    ];
    for (model_id, reasoning, expected) in table {
        let mut body = sent(with(|options| {
            options.model_id = Some(model_id.to_owned());
            options.reasoning = Some(reasoning);
        }))
        .await
        .body;
        body.as_object_mut().unwrap().remove("messages");
        assert_eq!(body, expected, "{model_id}");
    }
}

#[tokio::test]
async fn a_budget_is_refused_where_the_model_takes_an_effort() {
    for model_id in ["us.amazon.nova-2-lite-v1:0", "openai.gpt-oss-20b-1:0"] {
        let request = with(|options| {
            options.model_id = Some(model_id.to_owned());
            options.reasoning = Some(ReasoningOptions {
                effort: None,
                budget_tokens: NonZeroU32::new(1024),
            });
        });
        assert_eq!(refused(request).await, "options.reasoning.budget_tokens");
    }
}

#[tokio::test]
async fn the_callers_own_fields_win_over_ours() {
    let own = json!({"thinking": {"type": "adaptive"}, "top_k": 7, "seed": u64::MAX});
    let body = sent(with(|options| {
        options.reasoning = Some(ReasoningOptions {
            effort: None,
            budget_tokens: NonZeroU32::new(1024),
        });
        options.additional_model_fields = Some(own.clone());
    }))
    .await
    .body;
    assert_eq!(body["additionalModelRequestFields"], own);
}

#[tokio::test]
async fn fields_that_are_no_object_are_refused() {
    let request = with(|options| options.additional_model_fields = Some(json!([1])));
    assert_eq!(refused(request).await, "options.additional_model_fields");
}

#[tokio::test]
async fn guardrail_settings_without_a_guardrail_are_refused() {
    let request = with(|options| {
        options.guardrail = Some(GuardrailOptions {
            trace: Some(GuardrailTrace::Full),
            ..GuardrailOptions::default()
        });
    });
    assert_eq!(refused(request).await, "options.guardrail.guardrail_id");
}

#[tokio::test]
async fn a_request_without_a_model_is_refused() {
    assert_eq!(
        refused(with(|options| options.model_id = None)).await,
        "options.model_id"
    );
    let empty = with(|options| options.model_id = Some(String::new()));
    assert_eq!(refused(empty).await, "options.model_id");
}

#[tokio::test]
async fn disabled_tools_are_not_offered() {
    let body = sent(with(|options| {
        options.client_tools = vec![weather()];
        options.tool_choice = Some(ToolChoice::Disabled);
    }))
    .await
    .body;
    assert_eq!(body.get("toolConfig"), None);
}

#[tokio::test]
async fn the_providers_tools_are_not_offered_beside_the_tool_that_takes_a_reply() {
    let mut request = with(|options| {
        options.provider_tools = vec!["nova_grounding".to_owned()];
        options.tool_choice = Some(ToolChoice::Disabled);
    });
    request.tools = vec![weather()];
    request.tool_choice = Some(ToolChoice::Tool("weather".to_owned()));
    let config = sent(request).await.body["toolConfig"].clone();
    assert_eq!(config["tools"].as_array().unwrap().len(), 1, "{config:#}");
    assert_eq!(config["tools"][0]["toolSpec"]["name"], "weather");
}

#[tokio::test]
async fn tools_called_before_are_declared_as_gone_when_none_is_offered() {
    for choice in [Some(ToolChoice::Disabled), Some(ToolChoice::Any), None] {
        let mut request = with(|options| {
            if choice == Some(ToolChoice::Disabled) {
                options.client_tools = vec![weather()];
            }
            options.tool_choice = choice.clone();
        });
        request.messages.extend(tool_exchange("find", "{}"));
        assert_eq!(
            sent(request).await.body["toolConfig"],
            json!({"tools": [{"toolSpec": {
                "name": "find",
                "description": "Not available. Do not call it.",
                "inputSchema": {"json": {"type": "object"}},
            }}]}),
            "{choice:?}"
        );
    }
}

#[tokio::test]
async fn each_tool_choice_has_its_form() {
    for (choice, expected) in tool_choices() {
        let body = sent(with(|options| {
            options.client_tools = vec![weather()];
            options.tool_choice = Some(choice);
        }))
        .await
        .body;
        assert_eq!(body["toolConfig"]["toolChoice"], expected);
    }
}

#[tokio::test]
async fn the_tools_of_the_request_are_offered_whatever_the_options_name() {
    let mut request = with(|options| options.client_tools = vec![weather()]);
    let of_server = ToolSpec {
        name: "book".to_owned(),
        description: "books a table".to_owned(),
        timeout: Some(Duration::from_secs(5)),
        approval: Some(Approval::Always),
        ..ToolSpec::clone(&weather())
    };
    request.tools = vec![Arc::new(of_server), weather()];
    let input_schema = json!({"json": {"type": "object"}});
    assert_eq!(
        sent(request).await.body["toolConfig"],
        json!({"tools": [
            {"toolSpec": {
                "name": "book",
                "description": "books a table",
                "inputSchema": input_schema,
            }},
            {"toolSpec": {"name": "weather", "inputSchema": input_schema}},
        ]})
    );
}

#[tokio::test]
async fn a_reply_is_held_to_its_form_by_the_provider_or_by_a_tool() {
    let schema = r#"{"type": "object"}"#;
    let mut request = with(|options| {
        options.tool_choice = Some(ToolChoice::Auto);
        options.output = Some(OutputFormat {
            name: "answer".to_owned(),
            description: String::new(),
            schema: Schema::parse(schema).unwrap(),
        });
    });
    let native = sent(request.clone()).await.body;
    let format = &native["outputConfig"]["textFormat"];
    assert_eq!(format["structure"]["jsonSchema"]["schema"], schema);
    assert_eq!(native.get("toolConfig"), None);

    let reply = ToolSpec {
        name: "answer".to_owned(),
        ..ToolSpec::clone(&weather())
    };
    request.tools = vec![Arc::new(reply)];
    request.tool_choice = Some(ToolChoice::Tool("answer".to_owned()));
    request.reply_form = ReplyForm::Tool;
    let by_tool = sent(request).await.body;
    assert_eq!(by_tool.get("outputConfig"), None);
    assert_eq!(
        by_tool["toolConfig"]["toolChoice"],
        json!({"tool": {"name": "answer"}}),
        "and not as the options have it"
    );
}

#[tokio::test]
async fn input_that_is_no_object_is_sent_as_one() {
    let table = [
        (
            r#"{"a":18446744073709551615,"b":-1,"c":0.5}"#,
            json!({"a": u64::MAX, "b": -1, "c": 0.5}),
        ),
        (r#"{"a":"#, json!({"malformed_input": r#"{"a":"#})),
        ("[1]", json!({"malformed_input": "[1]"})),
    ];
    for (input, expected) in table {
        let mut request = hello();
        request.messages.extend(tool_exchange("find", input));
        let body = sent(request).await.body;
        assert_eq!(
            body["messages"][1]["content"][0]["toolUse"]["input"],
            expected
        );
    }
}

#[tokio::test]
async fn json_is_sent_as_it_was_written() {
    let schema = r#"{"type":"object","properties":{"zone":{},"area":{},"b\u00e4r":{}}}"#;
    let input = r#"{"z": 340282366920938463463374607431768211455, "a": 1.10, "m": "\"q\""}"#;
    let fields = json!({"zeta": 1, "alpha": {"y": 1, "x": 2}});
    let mut request = with(|options| {
        let mut tool = ToolSpec::clone(&weather());
        tool.schema = Schema::parse(schema).unwrap();
        options.client_tools = vec![Arc::new(tool)];
        options.additional_model_fields = Some(fields.clone());
    });
    request.messages.extend(tool_exchange("find", input));
    let text = sent(request.clone()).await.text;
    for written in [schema, input, &fields.to_string()] {
        assert!(text.contains(written), "{written} is not in {text}");
    }
    // The provider's prompt cache knows a prompt by its text.
    assert_eq!(sent(request).await.text, text);
}

#[tokio::test]
async fn a_json_result_that_is_no_object_is_sent_as_text() {
    let mut request = hello();
    let [call, _] = tool_exchange("find", "{}");
    let result = ToolResult {
        call_id: "call-1".to_owned(),
        content: vec![
            ToolResultBlock::Json("[1, 2]".to_owned()),
            ToolResultBlock::Json(r#"{"n": 1}"#.to_owned()),
        ],
        is_error: false,
        kind: String::new(),
    };
    request
        .messages
        .extend([call, message(Role::User, vec![Block::ToolResult(result)])]);
    assert_eq!(
        sent(request).await.body["messages"][2]["content"][0]["toolResult"],
        json!({
            "toolUseId": "call-1",
            "content": [{"text": "[1, 2]"}, {"json": {"n": 1}}],
            "status": "success",
        })
    );
}

#[tokio::test]
async fn media_that_could_not_be_made_become_text() {
    let image = |error: Option<&str>| Image {
        format: ImageFormat::Png,
        source: None,
        error: error.map(str::to_owned),
    };
    let audio = Audio {
        format: AudioFormat::Mp3,
        source: None,
        error: None,
    };
    let mut request = hello();
    request.messages.push(message(
        Role::Assistant,
        vec![
            Block::Image(image(Some("filtered"))),
            Block::Image(image(None)),
            Block::Audio(audio),
        ],
    ));
    assert_eq!(
        sent(request).await.body["messages"][1]["content"],
        json!([
            {"text": "[image not available: filtered]"},
            {"text": "[image not available]"},
            {"text": "[audio not available]"},
        ])
    );
}

#[tokio::test]
async fn cache_points_of_the_caller_are_not_doubled() {
    let mut request = with(|options| {
        options.system_content = vec![
            SystemBlock::Text("be brief".to_owned()),
            SystemBlock::CachePoint(CachePoint { ttl: None }),
        ];
        options.cache = Some(CacheOptions {
            system: true,
            tools: true,
            messages: true,
            ttl: None,
        });
    });
    let point = Block::CachePoint(CachePoint { ttl: None });
    request.messages = vec![message(
        Role::User,
        vec![Block::Text("hello".to_owned()), point],
    )];
    assert_eq!(
        sent(request).await.body,
        json!({
            "system": [{"text": "be brief"}, {"cachePoint": {"type": "default"}}],
            "messages": [{
                "role": "user",
                "content": [{"text": "hello"}, {"cachePoint": {"type": "default"}}],
            }],
        })
    );
}

#[tokio::test]
async fn every_format_has_the_providers_word() {
    let source = || MediaSource::Bytes(Bytes::from_static(b"x"));
    let mut blocks = Vec::new();
    for &format in ImageFormat::ALL {
        blocks.push(Block::Image(Image {
            format,
            source: Some(source()),
            error: None,
        }));
    }
    for &format in DocumentFormat::ALL {
        blocks.push(Block::Document(Document {
            name: "d".to_owned(),
            format: Some(format),
            body: DocumentBody::Source(source()),
            context: None,
            citations: false,
        }));
    }
    for &format in VideoFormat::ALL {
        blocks.push(Block::Video(Video {
            format,
            source: source(),
        }));
    }
    for &format in AudioFormat::ALL {
        blocks.push(Block::Audio(Audio {
            format,
            source: Some(source()),
            error: None,
        }));
    }
    let mut request = hello();
    request.messages = vec![message(Role::User, blocks)];
    let body = sent(request).await.body;
    let words: Vec<_> = body["messages"][0]["content"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|block| block.as_object().unwrap())
        .map(|(kind, block)| format!("{kind} {}", block["format"].as_str().unwrap()))
        .collect();
    assert_eq!(
        words.join("|"),
        "image png|image jpeg|image gif|image webp|\
         document pdf|document csv|document doc|document docx|document xls|document xlsx|\
         document html|document txt|document md|\
         video mkv|video mov|video mp4|video webm|video flv|video mpeg|video mpg|video wmv|\
         video three_gp|\
         audio mp3|audio opus|audio wav|audio aac|audio flac|audio mp4|audio ogg|audio mkv|\
         audio mka|audio x-aac|audio m4a|audio mpeg|audio mpga|audio pcm|audio webm"
    );
}

#[tokio::test]
async fn every_setting_has_the_providers_word() {
    for tier in ServiceTier::ALL {
        let body = sent(with(|options| options.service_tier = Some(tier)))
            .await
            .body;
        assert_eq!(body["serviceTier"], json!({"type": tier.as_str()}));
    }
    for mode in LatencyMode::ALL {
        let body = sent(with(|options| options.latency = Some(mode)))
            .await
            .body;
        assert_eq!(body["performanceConfig"], json!({"latency": mode.as_str()}));
    }
    let guardrail = async |trace, stream_mode| {
        let guardrail = GuardrailOptions {
            guardrail_id: "g".to_owned(),
            version: String::new(),
            trace,
            stream_mode,
        };
        let request = with(|options| options.guardrail = Some(guardrail));
        sent(request).await.body["guardrailConfig"].clone()
    };
    // The SDK writes defaults for what is not set.
    let unset = json!({
        "guardrailIdentifier": "g", "guardrailVersion": "", "trace": "disabled",
        "streamProcessingMode": "sync",
    });
    assert_eq!(guardrail(None, None).await, unset);
    assert_eq!(
        guardrail(
            Some(GuardrailTrace::Disabled),
            Some(GuardrailStreamMode::Sync)
        )
        .await,
        unset
    );
    assert_eq!(
        guardrail(
            Some(GuardrailTrace::Enabled),
            Some(GuardrailStreamMode::Async)
        )
        .await,
        json!({
            "guardrailIdentifier": "g", "guardrailVersion": "", "trace": "enabled",
            "streamProcessingMode": "async",
        })
    );
}

/// The body that the request with everything in it has.
pub(crate) fn whole() -> Value {
    serde_json::from_str(include_str!("../../testdata/bedrock-request.json")).unwrap()
}

/// The body that counting the request with everything in it has.
pub(crate) fn whole_count() -> Value {
    let whole = whole();
    let mut converse = serde_json::Map::new();
    for member in [
        "messages",
        "system",
        "toolConfig",
        "additionalModelRequestFields",
    ] {
        converse.insert(member.to_owned(), whole[member].clone());
    }
    json!({"input": {"converse": converse}})
}

/// Each tool choice, with its form.
pub(crate) fn tool_choices() -> [(ToolChoice, Value); 3] {
    [
        (ToolChoice::Auto, json!({"auto": {}})),
        (ToolChoice::Any, json!({"any": {}})),
        (
            ToolChoice::Tool("weather".to_owned()),
            json!({"tool": {"name": "weather"}}),
        ),
    ]
}

/// Sends a request and returns it as it came.
async fn sent(request: ModelRequest) -> Request {
    let mut peer = Peer::start([Reply::stream(&[])]).await;
    peer.bedrock(1).await.open(request).await.unwrap();
    peer.request().await
}

/// Counts a request and returns it as it came, with the answer.
async fn counted(request: ModelRequest) -> (Request, u32) {
    let mut peer = Peer::start([Reply::body(200, "", "", r#"{"inputTokens":42}"#)]).await;
    let tokens = peer.bedrock(1).await.count_tokens(request).await.unwrap();
    (peer.request().await, tokens)
}

/// The field for which a request is refused before it is sent.
async fn refused(request: ModelRequest) -> String {
    let mut peer = Peer::start([Reply::stream(&[])]).await;
    let failure = peer.bedrock(1).await.open(request).await.unwrap_err();
    assert_eq!(failure.reason, Reason::InvalidRequest);
    assert!(peer.next_request().is_none());
    failure.violations.into_iter().next().unwrap().field
}

fn with(change: impl FnOnce(&mut TurnOptions)) -> ModelRequest {
    let mut request = hello();
    change(Arc::make_mut(&mut request.options));
    // As a turn does that has no tools but its caller's.
    request.tools = request.options.client_tools.clone();
    request.tool_choice = request.options.tool_choice.clone();
    request
}

fn message(role: Role, content: Vec<Block>) -> Arc<Message> {
    Arc::new(Message {
        role,
        content,
        origin: None,
        marking: Marking::Unmarked,
    })
}

fn weather() -> Arc<ToolSpec> {
    Arc::new(ToolSpec {
        name: "weather".to_owned(),
        description: String::new(),
        schema: Schema::parse(r#"{"type":"object"}"#).unwrap(),
        strict: false,
        timeout: None,
        approval: None,
    })
}

fn call(name: &str, input: &str, executor: Executor) -> ToolCall {
    ToolCall {
        id: "call-1".to_owned(),
        name: name.to_owned(),
        input_json: input.to_owned(),
        executor,
        expires: None,
        idempotency_key: "key-1".to_owned(),
    }
}

fn tool_exchange(name: &str, input: &str) -> [Arc<Message>; 2] {
    let call = call(name, input, Executor::Client);
    [
        message(Role::Assistant, vec![Block::ToolCall(call)]),
        message(
            Role::User,
            vec![Block::ToolResult(ToolResult::error("call-1", "no"))],
        ),
    ]
}
