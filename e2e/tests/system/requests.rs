//! Requests at fault: refused with the path of each field, by every call that takes them.

use taiwa::v1::{
    self as pb, ErrorReason, content_block::Block, converse_request::Frame, event::Payload,
};
use taiwa_core::agent::SystemOverride;
use taiwa_e2e::{
    Client, Settings, World, agent,
    call::{self, Conversation, prompt},
    told::Told,
};
use tonic::Code;

use crate::views::asked;

/// A fault and the path at which it must be told.
type Case = (&'static str, fn(&mut pb::InvokeRequest));

fn options(request: &mut pb::InvokeRequest) -> &mut pb::TurnOptions {
    request.options.get_or_insert_default()
}

fn block(block: Block) -> pb::ContentBlock {
    pb::ContentBlock { block: Some(block) }
}

/// Faults of the settings, which every call takes at the path `options`.
const SETTINGS: &[Case] = &[
    ("options.max_tokens", |it| options(it).max_tokens = Some(0)),
    ("options.max_tokens", |it| options(it).max_tokens = Some(-1)),
    ("options.temperature", |it| {
        options(it).temperature = Some(1.1)
    }),
    ("options.temperature", |it| {
        options(it).temperature = Some(f32::NAN)
    }),
    ("options.top_p", |it| options(it).top_p = Some(-0.1)),
    ("options.max_steps", |it| options(it).max_steps = -1),
    ("options.max_total_tokens", |it| {
        options(it).max_total_tokens = -1
    }),
    ("options.service_tier", |it| {
        options(it).service_tier = "gold".to_owned()
    }),
    ("options.latency", |it| {
        options(it).latency = "none".to_owned()
    }),
    ("options.system", |it| options(it).system = " ".to_owned()),
    ("options.model_id", |it| {
        options(it).model_id = "a model".to_owned()
    }),
    ("options.stop_sequences[1]", |it| {
        options(it).stop_sequences = vec!["a".to_owned(), String::new()];
    }),
    ("options.timeout", |it| {
        options(it).timeout = Some(prost_types::Duration {
            seconds: -1,
            nanos: 0,
        });
    }),
    ("options.timeout", |it| {
        options(it).timeout = Some(prost_types::Duration {
            seconds: 1,
            nanos: -1,
        });
    }),
    ("options.request_metadata", |it| {
        let label = |number: u32| (number.to_string(), "x".to_owned());
        options(it).request_metadata = (0..17).map(label).collect();
    }),
    ("options.client_tools[0].name", |it| {
        options(it).client_tools = vec![tool("no spaces")];
    }),
    ("options.client_tools[1].name", |it| {
        options(it).client_tools = vec![tool("twice"), tool("twice")];
    }),
    ("options.client_tools[0].input_schema_json", |it| {
        let input = pb::tool_spec::Input::InputSchemaJson("{".to_owned());
        options(it).client_tools = vec![pb::ToolSpec {
            input: Some(input),
            ..tool("a")
        }];
    }),
    ("options.tool_choice.tool_name", |it| {
        let choice = pb::tool_choice::Choice::ToolName("nobody".to_owned());
        options(it).tool_choice = Some(pb::ToolChoice {
            choice: Some(choice),
        });
    }),
    ("options.output.schema_json", |it| {
        options(it).output = Some(pb::OutputFormat::default());
    }),
    ("options.cache.ttl", |it| {
        let cache = pb::CacheOptions {
            system: true,
            ttl: "2h".to_owned(),
            ..Default::default()
        };
        options(it).cache = Some(cache);
    }),
    ("options.guardrail.trace", |it| {
        let guardrail = pb::GuardrailOptions {
            guardrail_id: "gr1".to_owned(),
            version: "1".to_owned(),
            trace: 77,
            ..pb::GuardrailOptions::default()
        };
        options(it).guardrail = Some(guardrail);
    }),
];

/// Faults of the rest of an `InvokeRequest`.
const INVOKE: &[Case] = &[
    ("prompt", |it| it.prompt.clear()),
    ("prompt", |it| it.prompt = " \n".to_owned()),
    ("session_id", |it| it.session_id = "x".repeat(129)),
    ("session_id", |it| it.session_id = "a\nb".to_owned()),
    ("request_id", |it| it.request_id = "x".repeat(129)),
    ("content[0]", |it| {
        it.content = vec![pb::ContentBlock::default()]
    }),
    ("content[1].image.source", |it| {
        let image = pb::Image {
            media_type: "image/png".to_owned(),
            ..Default::default()
        };
        it.content = vec![
            block(Block::Text("a".to_owned())),
            block(Block::Image(image)),
        ];
    }),
    ("messages[0].content", |it| {
        it.messages = vec![pb::Message::default()]
    }),
    ("messages[0].role", |it| {
        let content = vec![block(Block::Text("a".to_owned()))];
        it.messages = vec![pb::Message {
            role: 9,
            content,
            ..Default::default()
        }];
    }),
    ("tool_results[0].tool_call_id", |it| {
        it.tool_results = vec![pb::ToolResult::default()];
    }),
    ("agent_id", |it| it.agent_id = "other".to_owned()),
];

fn tool(name: &str) -> pb::ToolSpec {
    pb::ToolSpec {
        name: name.to_owned(),
        description: "A tool.".to_owned(),
        ..pb::ToolSpec::default()
    }
}

fn check_refusal(told: &Told, field: &str, by: &str) {
    assert_eq!(told.code, Code::InvalidArgument, "{by} {field}: {told:?}");
    assert_eq!(
        told.reason,
        ErrorReason::InvalidRequest,
        "{by} {field}: {told:?}"
    );
    assert!(
        told.fields.iter().any(|it| it == field),
        "{by} {field}: {told:?}"
    );
    assert!(told.message.contains(field), "{by} {field}: {told:?}");
}

#[tokio::test]
async fn every_call_names_the_field_at_fault() {
    let settings = Settings {
        more_agents: vec![agent("other")],
        ..Settings::default()
    };
    let world = World::with("", settings).await;
    let mut client = world.client().await;
    let hello = call::invoke(&mut client, prompt("hi")).await.unwrap();
    let session_id = hello.result.unwrap().session_id;
    let asked_before = asked(&world).len();

    for (field, spoil) in SETTINGS.iter().chain(INVOKE) {
        let mut request = prompt("hi");
        if *field == "agent_id" {
            request.session_id = session_id.clone();
        }
        spoil(&mut request);
        let status = call::invoke(&mut client, request.clone()).await;
        check_refusal(&Told::of(&status.unwrap_err()), field, "Invoke");
        let streamed = call::invoke_stream(&mut client, request).await;
        assert_eq!(streamed.events, [], "{field}");
        check_refusal(&Told::of(&streamed.end.unwrap_err()), field, "InvokeStream");
    }
    for (field, spoil) in SETTINGS {
        let mut request = prompt("hi");
        spoil(&mut request);
        let count = pb::CountTokensRequest {
            prompt: "hi".to_owned(),
            options: request.options.clone(),
            ..pb::CountTokensRequest::default()
        };
        let status = client.count_tokens(count).await.unwrap_err();
        check_refusal(&Told::of(&status), field, "CountTokens");
        let told = refused_setup(&mut client, request.options).await;
        check_refusal(&told, &format!("setup.{field}"), "Converse");
    }
    assert_eq!(
        asked(&world).len(),
        asked_before,
        "the model was never asked"
    );
    world.check_unharmed().await;
}

async fn refused_setup(client: &mut Client, options: Option<pb::TurnOptions>) -> Told {
    let conversation = Conversation::open(client).await;
    let setup = pb::SessionSetup {
        options,
        ..pb::SessionSetup::default()
    };
    conversation.send(Frame::Setup(setup)).await;
    let streamed = conversation.finish().await;
    assert_eq!(streamed.events, []);
    Told::of(&streamed.end.unwrap_err())
}

#[tokio::test]
async fn a_frame_at_fault_is_refused_and_the_conversation_goes_on() {
    let world = World::persona().await;
    let mut client = world.client().await;
    let mut conversation = Conversation::open(&mut client).await;
    let update = |options| {
        Frame::Update(pb::SessionUpdate {
            options: Some(options),
            ..pb::SessionUpdate::default()
        })
    };
    let input = |content| {
        Frame::Input(pb::UserInput {
            content,
            ..pb::UserInput::default()
        })
    };
    let frames = [
        ("prompt", Some(Frame::Prompt("  ".to_owned()))),
        ("input.content", Some(input(Vec::new()))),
        (
            "input.content[0]",
            Some(input(vec![pb::ContentBlock::default()])),
        ),
        (
            "input.input_policy",
            Some(Frame::Input(pb::UserInput {
                content: vec![block(Block::Text("a".to_owned()))],
                input_policy: 99,
                ..pb::UserInput::default()
            })),
        ),
        (
            "update.options.temperature",
            Some(update(pb::TurnOptions {
                temperature: Some(2.0),
                ..pb::TurnOptions::default()
            })),
        ),
        (
            "tool_result.tool_call_id",
            Some(Frame::ToolResult(pb::ToolResult::default())),
        ),
        ("frame", None),
    ];
    for (field, frame) in frames {
        conversation
            .send_request(pb::ConverseRequest {
                frame_id: field.to_owned(),
                frame,
            })
            .await;
        let is_refusal = |it: &pb::Event| matches!(it.payload, Some(Payload::FrameRejected(_)));
        let refusal = conversation.until(is_refusal).await.pop().unwrap();
        let Some(Payload::FrameRejected(refusal)) = refusal.payload else {
            unreachable!("it is a refusal");
        };
        assert_eq!(refusal.frame_id, field);
        let told = Told::of_turn(&refusal.error.unwrap());
        assert_eq!(
            told.reason,
            ErrorReason::InvalidRequest,
            "{field}: {told:?}"
        );
        assert_eq!(told.code, Code::InvalidArgument);
        assert!(told.message.contains(field), "{told:?}");
    }
    conversation.say("hello").await;
    conversation.turn().await;
    assert!(conversation.finish().await.end.is_ok());
}

#[tokio::test]
async fn a_setup_that_is_not_first_is_out_of_order() {
    let world = World::persona().await;
    let mut client = world.client().await;
    let mut conversation = Conversation::open(&mut client).await;
    conversation.say("hello").await;
    conversation.turn().await;
    let setup = Frame::Setup(pb::SessionSetup::default());
    conversation.send_named("late", setup).await;
    let is_refusal = |it: &pb::Event| matches!(it.payload, Some(Payload::FrameRejected(_)));
    let refusal = conversation.until(is_refusal).await.pop().unwrap();
    let Some(Payload::FrameRejected(refusal)) = refusal.payload else {
        unreachable!("it is a refusal");
    };
    let told = Told::of_turn(&refusal.error.unwrap());
    assert_eq!(told.reason, ErrorReason::FrameOutOfOrder);
    assert_eq!(told.code, Code::FailedPrecondition);
    conversation.say("hello again").await;
    conversation.turn().await;
    assert!(conversation.finish().await.end.is_ok());
}

#[tokio::test]
async fn what_an_agent_does_not_allow_is_refused() {
    let mut strict = agent("strict");
    strict.model_override = false;
    strict.system_override = SystemOverride::Refuse;
    let settings = Settings {
        more_agents: vec![strict],
        ..Settings::default()
    };
    let world = World::with("", settings).await;
    let mut client = world.client().await;
    for (field, spoil) in [
        (
            "options.model_id",
            (|it| options(it).model_id = "simulator.other".to_owned()) as fn(&mut _),
        ),
        ("options.system", |it| {
            options(it).system = "Be a pirate.".to_owned()
        }),
    ] {
        let mut request = pb::InvokeRequest {
            agent_id: "strict".to_owned(),
            ..prompt("hi")
        };
        call::invoke(&mut client, request.clone()).await.unwrap();
        spoil(&mut request);
        let status = call::invoke(&mut client, request).await.unwrap_err();
        check_refusal(&Told::of(&status), field, "Invoke");
    }
}
