use prost_types::{Struct, Value, value::Kind};
use taiwa_core::{
    Reason,
    agent::SystemOverride,
    options::{GuardrailOptions, GuardrailStreamMode, GuardrailTrace, SystemBlock},
    tool::{Approval, ApprovalMode, Schema, ToolChoice},
};

use super::*;
use crate::grpc::convert::fixture;

fn given(change: impl FnOnce(&mut pb::TurnOptions)) -> pb::TurnOptions {
    let mut wire = pb::TurnOptions::default();
    change(&mut wire);
    wire
}

fn refused(change: impl FnOnce(&mut pb::TurnOptions)) -> Vec<String> {
    fixture::fields(options(given(change), &fixture::agent()))
}

/// An agent that has tools of its own.
fn serving() -> Agent {
    Agent {
        serves_tools: true,
        ..fixture::agent()
    }
}

fn span(seconds: i64, nanos: i32) -> Option<prost_types::Duration> {
    Some(prost_types::Duration { seconds, nanos })
}

fn spec(name: &str) -> pb::ToolSpec {
    let schema = r#"{ "type" : "object" }"#.to_owned();
    pb::ToolSpec {
        name: name.to_owned(),
        description: "Finds things".to_owned(),
        input: Some(pb::tool_spec::Input::InputSchemaJson(schema)),
        ..Default::default()
    }
}

fn number(name: &str, number: f64) -> Struct {
    let value = Value {
        kind: Some(Kind::NumberValue(number)),
    };
    Struct {
        fields: [(name.to_owned(), value)].into_iter().collect(),
    }
}

fn choose(choice: pb::tool_choice::Choice) -> Option<pb::ToolChoice> {
    Some(pb::ToolChoice {
        choice: Some(choice),
    })
}

fn entries(count: usize) -> BTreeMap<String, String> {
    (0..count)
        .map(|index| (index.to_string(), "x".to_owned()))
        .collect()
}

#[test]
fn what_is_not_set_is_unset() {
    let read = options(pb::TurnOptions::default(), &fixture::agent()).unwrap();
    assert_eq!(read, TurnOptions::default());

    let empty = given(|wire| {
        wire.reasoning = Some(pb::ReasoningOptions::default());
        wire.guardrail = Some(pb::GuardrailOptions::default());
        wire.tool_choice = Some(pb::ToolChoice::default());
        wire.additional_model_fields = Some(Struct::default());
    });
    let read = options(empty, &fixture::agent()).unwrap();
    assert_eq!(read, TurnOptions::default());
}

#[test]
fn every_setting_arrives() {
    let wire = pb::TurnOptions {
        model_id: "vendor.other".to_owned(),
        system: "be brief".to_owned(),
        system_content: vec![fixture::text("and kind")],
        max_tokens: Some(100),
        temperature: Some(0.0),
        top_p: Some(1.0),
        stop_sequences: vec!["END".to_owned()],
        reasoning: Some(pb::ReasoningOptions {
            effort: "high".to_owned(),
            budget_tokens: 2048,
        }),
        output: Some(pb::OutputFormat {
            name: "answer".to_owned(),
            description: "the answer".to_owned(),
            json_schema: Some(pb::output_format::JsonSchema::SchemaJson(
                r#"{ "type": "object" }"#.to_owned(),
            )),
        }),
        client_tools: vec![pb::ToolSpec {
            strict: true,
            timeout: span(2, 0),
            approval: pb::ApprovalMode::Always.into(),
            ..spec("search")
        }],
        allowed_tools: vec!["weather".to_owned(), "book_table".to_owned()],
        provider_tools: vec!["web_search".to_owned()],
        approval: pb::ApprovalMode::Never.into(),
        tool_choice: choose(pb::tool_choice::Choice::ToolName("web_search".to_owned())),
        guardrail: Some(pb::GuardrailOptions {
            guardrail_id: "gr1".to_owned(),
            version: "DRAFT".to_owned(),
            trace: pb::GuardrailTrace::Full.into(),
            stream_mode: pb::GuardrailStreamMode::Async.into(),
        }),
        max_steps: 3,
        timeout: span(0, 500_000_000),
        max_total_tokens: 10_000_000_000,
        max_cost_usd: 0.25,
        service_tier: "flex".to_owned(),
        latency: "optimized".to_owned(),
        prompt_variables: [("name".to_owned(), "Ann".to_owned())]
            .into_iter()
            .collect(),
        additional_model_fields: Some(number("top_k", 50.0)),
        additional_response_paths: vec!["/stop_sequence".to_owned()],
        request_metadata: [("team".to_owned(), String::new())].into_iter().collect(),
        cache: Some(pb::CacheOptions {
            system: true,
            tools: false,
            messages: true,
            ttl: "1h".to_owned(),
        }),
        include_steps: true,
    };

    let read = options(wire, &serving()).unwrap();

    let tool = &read.client_tools[0];
    assert_eq!(tool.name, "search");
    assert_eq!(tool.description, "Finds things");
    assert_eq!(tool.schema.as_str(), r#"{ "type" : "object" }"#);
    assert_eq!(tool.timeout, Some(Duration::from_secs(2)));
    assert!(tool.strict);
    assert_eq!(tool.approval, Some(Approval::Always));
    let expected = TurnOptions {
        model_id: Some("vendor.other".to_owned()),
        system: Some("be brief".to_owned()),
        system_content: vec![SystemBlock::Text("and kind".to_owned())],
        max_tokens: NonZeroU32::new(100),
        temperature: Some(0.0),
        top_p: Some(1.0),
        stop_sequences: vec!["END".to_owned()],
        reasoning: Some(ReasoningOptions {
            effort: Some("high".to_owned()),
            budget_tokens: NonZeroU32::new(2048),
        }),
        output: Some(OutputFormat {
            name: "answer".to_owned(),
            description: "the answer".to_owned(),
            schema: Schema::parse(r#"{ "type": "object" }"#).unwrap(),
        }),
        client_tools: read.client_tools.clone(),
        allowed_tools: vec!["weather".to_owned(), "book_table".to_owned()],
        provider_tools: vec!["web_search".to_owned()],
        approval: Some(ApprovalMode::Never),
        tool_choice: Some(ToolChoice::Tool("web_search".to_owned())),
        guardrail: Some(GuardrailOptions {
            guardrail_id: "gr1".to_owned(),
            version: "DRAFT".to_owned(),
            trace: Some(GuardrailTrace::Full),
            stream_mode: Some(GuardrailStreamMode::Async),
        }),
        max_steps: NonZeroU32::new(3),
        timeout: Some(Duration::from_millis(500)),
        max_total_tokens: NonZeroU64::new(10_000_000_000),
        max_cost: NonZeroU64::new(250_000_000_000),
        service_tier: Some(ServiceTier::Flex),
        latency: Some(LatencyMode::Optimized),
        prompt_variables: [("name".to_owned(), "Ann".to_owned())]
            .into_iter()
            .collect(),
        additional_model_fields: Some(serde_json::json!({ "top_k": 50 })),
        additional_response_paths: vec!["/stop_sequence".to_owned()],
        request_metadata: [("team".to_owned(), String::new())].into_iter().collect(),
        cache: Some(CacheOptions {
            system: true,
            tools: false,
            messages: true,
            ttl: Some(taiwa_core::message::CacheTtl::OneHour),
        }),
        include_steps: true,
    };
    assert_eq!(read, expected);
}

#[test]
fn schemas_that_are_typed_as_structs_arrive_as_json() {
    let wire = given(|wire| {
        let input = pb::tool_spec::Input::InputSchema(number("minProperties", 1.0));
        wire.client_tools = vec![pb::ToolSpec {
            input: Some(input),
            ..spec("search")
        }];
        let schema = pb::output_format::JsonSchema::Schema(number("maxProperties", 3.0));
        wire.output = Some(pb::OutputFormat {
            json_schema: Some(schema),
            ..Default::default()
        });
    });
    let read = options(wire, &fixture::agent()).unwrap();
    let tool = &read.client_tools[0];
    assert_eq!(tool.schema.as_str(), r#"{"minProperties":1}"#);
    assert_eq!(
        read.output.unwrap().schema.as_str(),
        r#"{"maxProperties":3}"#
    );
}

#[test]
fn each_setting_out_of_range_is_told_with_its_path() {
    type Change = Box<dyn FnOnce(&mut pb::TurnOptions)>;
    fn case(
        field: &'static str,
        change: impl FnOnce(&mut pb::TurnOptions) + 'static,
    ) -> (&'static str, Change) {
        (field, Box::new(change))
    }
    fn guardrail(
        field: &'static str,
        change: impl FnOnce(&mut pb::GuardrailOptions) + 'static,
    ) -> (&'static str, Change) {
        case(field, |wire| {
            let mut guardrail = pb::GuardrailOptions {
                guardrail_id: "gr1".to_owned(),
                version: "1".to_owned(),
                ..Default::default()
            };
            change(&mut guardrail);
            wire.guardrail = Some(guardrail);
        })
    }
    fn tool(
        field: &'static str,
        change: impl FnOnce(&mut pb::ToolSpec) + 'static,
    ) -> (&'static str, Change) {
        case(field, |wire| {
            let mut tool = spec("search");
            change(&mut tool);
            wire.client_tools = vec![tool];
        })
    }
    use pb::tool_choice::Choice;
    let cases = [
        case("model_id", |wire| wire.model_id = "a b".to_owned()),
        case("model_id", |wire| wire.model_id = "x".repeat(2049)),
        case("system", |wire| wire.system = " \n".to_owned()),
        case("system_content[0].text", |wire| {
            wire.system_content = vec![fixture::text("")];
        }),
        case("system_content[0].tool_call", |wire| {
            wire.system_content = vec![fixture::call("1")];
        }),
        case("max_tokens", |wire| wire.max_tokens = Some(0)),
        case("max_tokens", |wire| wire.max_tokens = Some(-1)),
        case("temperature", |wire| wire.temperature = Some(1.5)),
        case("temperature", |wire| wire.temperature = Some(-0.1)),
        case("temperature", |wire| wire.temperature = Some(f32::NAN)),
        case("top_p", |wire| wire.top_p = Some(f32::INFINITY)),
        case("top_p", |wire| wire.top_p = Some(1.01)),
        case("stop_sequences[1]", |wire| {
            wire.stop_sequences = vec!["a".to_owned(), String::new()];
        }),
        case("stop_sequences", |wire| {
            wire.stop_sequences = vec!["a".to_owned(); 2501];
        }),
        case("reasoning.effort", |wire| {
            wire.reasoning = Some(pb::ReasoningOptions {
                effort: "x".repeat(17),
                budget_tokens: 0,
            });
        }),
        case("reasoning.budget_tokens", |wire| {
            wire.reasoning = Some(pb::ReasoningOptions {
                effort: String::new(),
                budget_tokens: -1,
            });
        }),
        case("output.schema_json", |wire| {
            wire.output = Some(pb::OutputFormat::default());
        }),
        case("output.schema_json", |wire| {
            wire.output = Some(pb::OutputFormat {
                json_schema: Some(pb::output_format::JsonSchema::SchemaJson("[]".to_owned())),
                ..Default::default()
            });
        }),
        case("output.schema.n", |wire| {
            wire.output = Some(pb::OutputFormat {
                json_schema: Some(pb::output_format::JsonSchema::Schema(number("n", f64::NAN))),
                ..Default::default()
            });
        }),
        tool("client_tools[0].name", |tool| tool.name.clear()),
        tool("client_tools[0].name", |tool| tool.name = "a.b".to_owned()),
        tool("client_tools[0].name", |tool| tool.name = "x".repeat(65)),
        tool("client_tools[0].input_schema_json", |tool| {
            tool.input = None
        }),
        tool("client_tools[0].input_schema_json", |tool| {
            let schema = r#"{"type":"thing"}"#.to_owned();
            tool.input = Some(pb::tool_spec::Input::InputSchemaJson(schema));
        }),
        tool("client_tools[0].input_schema", |tool| {
            tool.input = Some(pb::tool_spec::Input::InputSchema(number("type", 1.0)));
        }),
        tool("client_tools[0].timeout", |tool| {
            tool.timeout = span(0, 999_999_999)
        }),
        tool("client_tools[0].timeout", |tool| {
            tool.timeout = span(3600, 1)
        }),
        tool("client_tools[0].timeout", |tool| tool.timeout = span(-1, 0)),
        case("client_tools[1].name", |wire| {
            wire.client_tools = vec![spec("search"), spec("search")];
        }),
        case("client_tools", |wire| {
            wire.client_tools = (0..257).map(|index| spec(&index.to_string())).collect();
        }),
        case("provider_tools[0]", |wire| {
            wire.provider_tools = vec!["a b".to_owned()]
        }),
        case("provider_tools[0]", |wire| {
            wire.client_tools = vec![spec("search")];
            wire.provider_tools = vec!["search".to_owned()];
        }),
        case("provider_tools[0]", |wire| {
            wire.provider_tools = vec!["agent_tool".to_owned()];
        }),
        case("tool_choice.mode", |wire| {
            wire.tool_choice = choose(Choice::Mode(99))
        }),
        case("tool_choice.tool_name", |wire| {
            wire.tool_choice = choose(Choice::ToolName("other".to_owned()));
        }),
        case("tool_choice.tool_name", |wire| {
            wire.tool_choice = choose(Choice::ToolName(String::new()));
        }),
        guardrail("guardrail.guardrail_id", |guardrail| {
            guardrail.guardrail_id = "a b".to_owned();
        }),
        guardrail("guardrail.version", |guardrail| guardrail.version.clear()),
        guardrail("guardrail.version", |guardrail| {
            guardrail.version = "0".to_owned()
        }),
        guardrail("guardrail.version", |guardrail| {
            guardrail.version = "123456789".to_owned();
        }),
        guardrail("guardrail.trace", |guardrail| guardrail.trace = 99),
        guardrail("guardrail.stream_mode", |guardrail| {
            guardrail.stream_mode = -1
        }),
        case("max_steps", |wire| wire.max_steps = -1),
        case("timeout", |wire| wire.timeout = span(0, 0)),
        case("timeout", |wire| wire.timeout = span(0, -1)),
        case("timeout", |wire| wire.timeout = span(1, 2_000_000_000)),
        case("max_total_tokens", |wire| wire.max_total_tokens = -1),
        case("max_cost_usd", |wire| wire.max_cost_usd = -0.01),
        case("max_cost_usd", |wire| wire.max_cost_usd = f64::NAN),
        case("max_cost_usd", |wire| wire.max_cost_usd = 1_000_000.01),
        case("max_cost_usd", |wire| wire.max_cost_usd = 1e-13),
        // Which agent asks by input is the operator's to say.
        case("approval", |wire| {
            wire.approval = pb::ApprovalMode::ByInput.into()
        }),
        case("approval", |wire| wire.approval = 99),
        tool("client_tools[0].approval", |tool| {
            tool.approval = pb::ApprovalMode::ByInput.into();
        }),
        // The agent has no tools of its own.
        case("allowed_tools", |wire| {
            wire.allowed_tools = vec!["weather".to_owned()]
        }),
        case("service_tier", |wire| wire.service_tier = "gold".to_owned()),
        case("latency", |wire| wire.latency = "fast".to_owned()),
        case("prompt_variables", |wire| {
            wire.prompt_variables.insert(String::new(), "x".to_owned());
        }),
        case("additional_model_fields.top_k", |wire| {
            wire.additional_model_fields = Some(number("top_k", f64::INFINITY));
        }),
        case("additional_response_paths", |wire| {
            wire.additional_response_paths = vec!["/a".to_owned(); 11];
        }),
        case("additional_response_paths[0]", |wire| {
            wire.additional_response_paths = vec!["a".to_owned()];
        }),
        case("additional_response_paths[0]", |wire| {
            wire.additional_response_paths = vec!["/".repeat(257)];
        }),
        case("request_metadata", |wire| {
            wire.request_metadata = entries(17)
        }),
        case(r#"request_metadata["key"]"#, |wire| {
            wire.request_metadata = [("key".to_owned(), "x".repeat(257))].into_iter().collect();
        }),
        case("cache.ttl", |wire| {
            wire.cache = Some(pb::CacheOptions {
                ttl: "2h".to_owned(),
                ..Default::default()
            });
        }),
    ];
    for (field, change) in cases {
        assert_eq!(refused(change), [format!("options.{field}")]);
    }
}

#[test]
fn all_faults_are_told_at_once() {
    let found = refused(|wire| {
        wire.max_tokens = Some(0);
        wire.temperature = Some(2.0);
        wire.latency = "fast".to_owned();
        wire.client_tools = vec![pb::ToolSpec::default()];
    });
    assert_eq!(
        found,
        [
            "options.max_tokens",
            "options.temperature",
            "options.client_tools[0].name",
            "options.client_tools[0].input_schema_json",
            "options.latency",
        ]
    );
}

#[test]
fn a_description_says_what_would_be_right_and_what_was_given() {
    let wire = given(|wire| wire.temperature = Some(1.5));
    let failure = options(wire, &fixture::agent()).unwrap_err();
    assert_eq!(failure.reason, Reason::InvalidRequest);
    assert_eq!(
        failure.message,
        "options.temperature: must be between 0 and 1, not 1.5"
    );
}

#[test]
fn what_the_agent_does_not_allow_is_refused() {
    let agent = Agent {
        model_override: false,
        system_override: SystemOverride::Refuse,
        ..fixture::agent()
    };
    let wire = given(|wire| {
        wire.model_id = "vendor.other".to_owned();
        wire.system = "be brief".to_owned();
        wire.system_content = vec![fixture::text("be kind")];
    });
    assert_eq!(
        fixture::fields(options(wire, &agent)),
        [
            "options.system",
            "options.system_content",
            "options.model_id"
        ]
    );

    // To name the model that answers anyway is no choice.
    let wire = given(|wire| wire.model_id = "vendor.model-v1:0".to_owned());
    options(wire, &agent).unwrap();
}

#[test]
fn a_tool_may_be_chosen_from_the_agents_own() {
    let wire = given(|wire| {
        wire.tool_choice = choose(pb::tool_choice::Choice::ToolName("agent_tool".to_owned()));
    });
    let read = options(wire, &fixture::agent()).unwrap();
    assert_eq!(
        read.tool_choice,
        Some(ToolChoice::Tool("agent_tool".to_owned()))
    );
}

#[test]
fn settings_that_were_read_are_written_as_they_came() {
    let wire = given(|wire| {
        wire.allowed_tools = vec!["weather".to_owned()];
        wire.approval = pb::ApprovalMode::Always.into();
        wire.max_cost_usd = 1.5;
        wire.client_tools = [pb::ApprovalMode::Never, pb::ApprovalMode::Unspecified]
            .into_iter()
            .enumerate()
            .map(|(index, approval)| pb::ToolSpec {
                approval: approval.into(),
                ..spec(&index.to_string())
            })
            .collect();
    });
    let read = options(wire.clone(), &serving()).unwrap();
    assert_eq!(write(read), wire);
}

#[test]
fn the_names_of_an_agents_own_tools_are_looked_at_one_by_one() {
    let wire = given(|wire| {
        wire.allowed_tools = vec!["weather".to_owned(), "a.b".to_owned(), String::new()];
    });
    assert_eq!(
        fixture::fields(options(wire, &serving())),
        ["options.allowed_tools[1]", "options.allowed_tools[2]"]
    );
}

#[test]
fn a_tool_of_the_server_may_be_chosen_that_is_not_there_yet() {
    let wire = given(|wire| {
        wire.tool_choice = choose(pb::tool_choice::Choice::ToolName("weather".to_owned()));
    });
    let chosen = Some(ToolChoice::Tool("weather".to_owned()));
    assert_eq!(
        options(wire.clone(), &serving()).unwrap().tool_choice,
        chosen
    );
    assert_eq!(
        fixture::fields(options(wire, &fixture::agent())),
        ["options.tool_choice.tool_name"]
    );
}
