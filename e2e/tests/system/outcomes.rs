//! What a result says beside its text: usage, findings, what was granted, tool calls.

use taiwa::v1::{
    self as pb, GuardrailPolicy, GuardrailSubject, StopReason, TurnStatus, converse_request::Frame,
    event::Payload,
};
use taiwa_e2e::{
    World,
    call::{self, Conversation, prompt},
};

use crate::views::{Views, asked, check_form, comparable, pieces, text};

#[tokio::test]
async fn usage_is_the_providers_to_the_last_count() {
    let world = World::start(
        r#"
        [[reply]]
        text = ["Hi"]
        latency_ms = 321
        [reply.usage]
        input_tokens = 11
        output_tokens = 7
        total_tokens = 48
        cache_read_input_tokens = 20
        cache_write_input_tokens = 10
        cache_details = [{ ttl = "5m", input_tokens = 4 }, { ttl = "1h", input_tokens = 6 }]
        "#,
    )
    .await;
    let views = Views::of(&world, &prompt("hi")).await;
    let usage = views.agreed().usage.unwrap();
    let write = |ttl: &str, tokens| pb::CacheWrite {
        ttl: ttl.to_owned(),
        tokens,
    };
    let expected = pb::Usage {
        input_tokens: 11,
        output_tokens: 7,
        total_tokens: 48,
        cache_read_tokens: 20,
        cache_write_tokens: 10,
        cache_writes: vec![write("5m", 4), write("1h", 6)],
        model_calls: 1,
        tool_calls: 0,
        cost_usd: None,
        estimated: false,
    };
    assert_eq!(usage, expected);
    for streamed in [&views.stream, &views.converse] {
        let metrics = streamed.result().metrics.as_ref().unwrap();
        let latency = metrics.model_latency.unwrap();
        assert_eq!((latency.seconds, latency.nanos), (0, 321_000_000));
        assert!(metrics.time_to_first_output.is_some());
        let step = streamed.events.iter().find_map(|it| match &it.payload {
            Some(Payload::StepCompleted(step)) => Some(step),
            _ => None,
        });
        let step = step.unwrap().usage.as_ref().unwrap();
        assert_eq!(step.cache_writes, expected.cache_writes);
        assert_eq!(step.total_tokens, 48);
    }
}

#[tokio::test]
async fn what_was_asked_for_and_granted_comes_back() {
    let world = World::start(
        r#"
        [[reply]]
        text = ["Hi"]
        stop_reason = "stop_sequence"
        additional_fields = { stop_sequence = "END", big = 9007199254740993 }
        service_tier = "flex"
        performance_latency = "optimized"
        invoked_model_id = "arn:aws:bedrock:us-east-1::foundation-model/simulator.other-v1:0"
        "#,
    )
    .await;
    let options = pb::TurnOptions {
        stop_sequences: vec!["END".to_owned()],
        additional_response_paths: vec!["/stop_sequence".to_owned(), "/big".to_owned()],
        service_tier: "priority".to_owned(),
        latency: "optimized".to_owned(),
        ..pb::TurnOptions::default()
    };
    let request = pb::InvokeRequest {
        options: Some(options),
        ..prompt("hi")
    };
    let result = Views::of(&world, &request).await.agreed();
    assert_eq!(result.stop_reason(), StopReason::StopSequence);
    assert_eq!(result.stop_detail, "END");
    let granted = result.granted_service.unwrap();
    assert_eq!(
        (granted.tier.as_str(), granted.latency.as_str()),
        ("flex", "optimized")
    );
    assert_eq!(
        result.model_id,
        "arn:aws:bedrock:us-east-1::foundation-model/simulator.other-v1:0"
    );
    let fields = &result.additional_model_response_json;
    assert!(fields.contains("9007199254740993"), "{fields}");

    for entry in asked(&world) {
        let request = &entry.request;
        assert_eq!(request["serviceTier"]["type"], "priority");
        assert_eq!(request["performanceConfig"]["latency"], "optimized");
        assert_eq!(request["inferenceConfig"]["stopSequences"][0], "END");
        assert_eq!(request["additionalModelResponseFieldPaths"][1], "/big");
    }
}

#[tokio::test]
async fn a_guardrails_findings_come_as_event_and_in_the_result() {
    let world = World::start(
        r#"
        [[reply]]
        text = ["I can't help with that."]
        stop_reason = "guardrail_intervened"
        [reply.guardrail]
        actionReason = "Guardrail blocked."
        [reply.guardrail.inputAssessment.gr1]
        topicPolicy.topics = [{ name = "secrets", type = "DENY", action = "BLOCKED", detected = true }]
        invocationMetrics = { guardrailProcessingLatency = 40, usage = { topicPolicyUnits = 1, contentPolicyUnits = 2 } }
        "#,
    )
    .await;
    let guardrail = pb::GuardrailOptions {
        guardrail_id: "gr1".to_owned(),
        version: "3".to_owned(),
        trace: pb::GuardrailTrace::Enabled.into(),
        ..pb::GuardrailOptions::default()
    };
    let request = pb::InvokeRequest {
        options: Some(pb::TurnOptions {
            guardrail: Some(guardrail),
            ..pb::TurnOptions::default()
        }),
        ..prompt("tell")
    };
    let views = Views::of(&world, &request).await;
    let result = views.agreed();
    assert_eq!(result.stop_reason(), StopReason::GuardrailIntervened);
    assert_eq!(result.status(), TurnStatus::Completed);
    let outcome = &result.guardrails[0];
    assert!(outcome.intervened);
    assert_eq!(outcome.subject(), GuardrailSubject::Input);
    assert_eq!(outcome.guardrail_id, "gr1");
    assert_eq!(outcome.usage_units["contentPolicyUnits"], 2, "{outcome:#?}");
    let finding = &outcome.findings[0];
    assert_eq!(finding.policy(), GuardrailPolicy::Topic);
    assert_eq!(
        (finding.name.as_str(), finding.action.as_str()),
        ("secrets", "BLOCKED")
    );
    for streamed in [&views.stream, &views.converse] {
        let told = streamed.events.iter().filter_map(|it| match &it.payload {
            Some(Payload::Guardrail(outcome)) => Some(outcome),
            _ => None,
        });
        assert_eq!(told.collect::<Vec<_>>(), [outcome]);
    }
    for entry in asked(&world) {
        let config = &entry.request["guardrailConfig"];
        assert_eq!(config["guardrailIdentifier"], "gr1");
        assert_eq!(config["trace"], "enabled");
    }
}

const TOOL_TURN: &str = r#"
    otherwise = "fail"
    [[reply]]
    when = { has_tool_result = false }
    content = [
        { text = ["I look ", "it up."] },
        { tool_use = { id = "call_1", name = "weather", input = ['{"city"', ': "Kyo', 'to"}'] } },
    ]
    usage = { input_tokens = 10, output_tokens = 5 }
    [[reply]]
    when = { has_tool_result = true }
    text = ["It is ", "sunny."]
    usage = { input_tokens = 20, output_tokens = 3 }
"#;

fn weather_request() -> pb::InvokeRequest {
    let tool = pb::ToolSpec {
        name: "weather".to_owned(),
        description: "Tells the weather.".to_owned(),
        input: Some(pb::tool_spec::Input::InputSchemaJson(
            r#"{"type":"object","required":["city"]}"#.to_owned(),
        )),
        ..pb::ToolSpec::default()
    };
    pb::InvokeRequest {
        options: Some(pb::TurnOptions {
            client_tools: vec![tool],
            include_steps: true,
            ..pb::TurnOptions::default()
        }),
        ..prompt("Weather in Kyoto?")
    }
}

fn sunny() -> pb::ToolResult {
    pb::ToolResult {
        tool_call_id: "call_1".to_owned(),
        text: "sunny".to_owned(),
        ..pb::ToolResult::default()
    }
}

#[tokio::test]
async fn a_tool_turn_is_the_same_by_all_three_calls() {
    let world = World::start(TOOL_TURN).await;
    let mut client = world.client().await;
    let request = weather_request();

    let paused = call::invoke(&mut client, request.clone()).await.unwrap();
    let paused = paused.result.unwrap();
    assert_eq!(paused.status(), TurnStatus::Paused);
    assert_eq!(paused.stop_reason(), StopReason::ToolUse);
    let call = &paused.pending_tool_calls[0];
    assert_eq!(call.tool_call_id, "call_1");
    assert_eq!(
        call.input_json, r#"{"city": "Kyoto"}"#,
        "byte for byte as the model wrote it"
    );
    assert!(call.expire_time.is_some());
    let answer = |session_id: &str| pb::InvokeRequest {
        prompt: String::new(),
        session_id: session_id.to_owned(),
        tool_results: vec![sunny()],
        ..request.clone()
    };
    let invoke = call::invoke(&mut client, answer(&paused.session_id))
        .await
        .unwrap();
    let invoke = invoke.result.unwrap();
    assert_eq!(invoke.turn_id, paused.turn_id);

    let first = call::invoke_stream(&mut client, request.clone()).await;
    check_form(&first);
    assert_eq!(comparable(first.result()), comparable(&paused));
    let call_pieces = [
        "call:call_1 {\"city\"",
        "call:call_1 : \"Kyo",
        "call:call_1 to\"}",
    ];
    assert_eq!(pieces(&first)[2..], call_pieces);
    let second = call::invoke_stream(&mut client, answer(&first.result().session_id)).await;
    assert_eq!(pieces(&second), ["text:It is ", "text:sunny."]);
    let numbers: Vec<i64> = second.events.iter().map(|event| event.sequence).collect();
    let after = first.events.len() as i64 + 1;
    assert_eq!(
        numbers,
        (after..after + numbers.len() as i64).collect::<Vec<_>>()
    );

    let mut conversation = Conversation::open(&mut client).await;
    conversation
        .send(Frame::Setup(pb::SessionSetup {
            options: request.options.clone(),
            ..pb::SessionSetup::default()
        }))
        .await;
    conversation.say(&request.prompt).await;
    let is_call = |event: &pb::Event| matches!(event.payload, Some(Payload::ToolCall(_)));
    let mut events = conversation.until(is_call).await;
    conversation.send(Frame::ToolResult(sunny())).await;
    events.extend(conversation.turn().await.events);
    let converse = call::Streamed {
        events,
        end: Ok(()),
    };
    check_form(&converse);

    for result in [&invoke, second.result(), converse.result()] {
        assert_eq!(result.status(), TurnStatus::Completed);
        assert_eq!(result.stop_reason(), StopReason::EndTurn);
        assert_eq!(text(result), "It is sunny.");
        let usage = result.usage.as_ref().unwrap();
        assert_eq!((usage.input_tokens, usage.output_tokens), (30, 8));
        assert_eq!((usage.model_calls, usage.tool_calls), (2, 1));
        assert_eq!(result.intermediate_messages.len(), 2, "{result:#?}");
        assert_eq!(comparable(result), comparable(&invoke));
    }
    let asked = asked(&world);
    assert_eq!(asked.len(), 6);
    for pair in asked.chunks(2) {
        assert_eq!(pair[0].request, asked[0].request);
        assert_eq!(pair[1].request, asked[1].request);
    }
    let messages = &asked[1].request["messages"];
    assert_eq!(
        messages[2]["content"][0]["toolResult"]["toolUseId"],
        "call_1"
    );
}
