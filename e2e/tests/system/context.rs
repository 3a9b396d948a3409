//! Conversations that outgrow their model: what it is sent, what the caller is told, what is kept.

use serde_json::Value;
use taiwa::v1::{
    self as pb, ContextPolicy, content_block::Block, event::Payload,
    session_service_client::SessionServiceClient,
};
use taiwa_core::{
    Agent,
    context::{Policy, Summary},
};
use taiwa_e2e::{
    Settings, World, agent,
    call::{self, prompt},
};

/// A summary for whoever asks for one, and an answer of 100 tokens for everybody else.
const SCENARIO: &str = r#"
    [[reply]]
    name = "summary"
    when = { system_contains = "condense" }
    text = "They spoke of fruit."
    usage = { input_tokens = 250, output_tokens = 5, total_tokens = 255 }

    [[reply]]
    name = "answer"
    text = ["apple "]
    repeat = 66
"#;

fn growing(id: &str, policy: Policy) -> Agent {
    Agent {
        context: Some(taiwa_core::context::Settings {
            trigger_tokens: 300.try_into().unwrap(),
            target_tokens: 180.try_into().unwrap(),
            policy,
        }),
        ..agent(id)
    }
}

fn summary() -> Policy {
    Policy::Summarize(Summary {
        model_id: Some("simulator.summary-v1:0".to_owned()),
        instructions: None,
        max_tokens: 50.try_into().unwrap(),
    })
}

async fn world(scenario: &str) -> World {
    let settings = Settings {
        more_agents: vec![
            growing("slides", Policy::Sliding),
            growing("summarizes", summary()),
        ],
        ..Settings::default()
    };
    World::with(scenario, settings).await
}

/// A turn whose words begin with `word`, and are about 30 tokens.
async fn say(world: &World, agent_id: &str, word: &str) -> call::Streamed {
    let mut client = world.client().await;
    let request = pb::InvokeRequest {
        agent_id: agent_id.to_owned(),
        session_id: "s".to_owned(),
        ..prompt(&format!("{word} {}", "pear ".repeat(24)))
    };
    let streamed = call::invoke_stream(&mut client, request).await;
    assert_eq!(streamed.result().status(), pb::TurnStatus::Completed);
    streamed
}

/// What was told of a reduction, with the kinds of events on either side of it.
fn reduced(streamed: &call::Streamed) -> Option<&pb::ContextReduced> {
    let payloads: Vec<_> = streamed
        .events
        .iter()
        .filter_map(|event| event.payload.as_ref())
        .collect();
    let at = payloads
        .iter()
        .position(|payload| matches!(payload, Payload::ContextReduced(_)))?;
    assert!(matches!(payloads[at - 1], Payload::TurnStarted(_)));
    assert!(matches!(payloads[at + 1], Payload::StepStarted(_)));
    match payloads[at] {
        Payload::ContextReduced(reduced) => Some(reduced),
        _ => None,
    }
}

/// The first words of each text in each message of a request.
fn sent(request: &Value) -> Vec<Vec<String>> {
    let first = |text: &str| text.split(' ').next().unwrap().to_owned();
    let of_message = |message: &Value| {
        let content = message["content"].as_array().unwrap().iter();
        content
            .map(|block| first(block["text"].as_str().unwrap()))
            .collect()
    };
    let messages = request["messages"].as_array().unwrap().iter();
    messages.map(of_message).collect()
}

/// Of each model call: the rule that answered, the model, and what was sent.
fn journal(world: &World) -> Vec<(String, String, Vec<Vec<String>>)> {
    let entries = world.simulator.journal().entries().into_iter();
    entries
        .map(|entry| {
            let sent = sent(&entry.request);
            (entry.rule.unwrap_or_default(), entry.model_id, sent)
        })
        .collect()
}

async fn listed(world: &World) -> Vec<pb::Message> {
    let mut sessions = SessionServiceClient::new(world.channel().await);
    let request = pb::ListMessagesRequest {
        session_id: "s".to_owned(),
        ..pb::ListMessagesRequest::default()
    };
    let page = sessions.list_messages(request).await.unwrap().into_inner();
    page.messages
}

fn text(message: &pb::Message) -> &str {
    match &message.content[0].block {
        Some(Block::Text(text)) => text,
        other => panic!("{other:?} is no text"),
    }
}

#[tokio::test]
async fn a_conversation_that_grows_slides() {
    let world = world(SCENARIO).await;
    for word in ["one", "two"] {
        assert_eq!(reduced(&say(&world, "slides", word).await), None);
    }
    let third = say(&world, "slides", "three").await;
    let told = reduced(&third).expect("it outgrew its model").clone();
    assert_eq!(told.policy(), ContextPolicy::Sliding);
    assert_eq!((told.omitted_messages, &told.summary), (2, &None));
    let calls = journal(&world).len();
    assert_eq!(calls, 3, "no model call is made for it");
    assert!(
        told.tokens_before > 300 && told.tokens_after <= 180,
        "{told:?}"
    );
    let (_, _, sent) = journal(&world).pop().unwrap();
    assert_eq!(sent, [["two"], ["apple"], ["three"]]);

    let kept = listed(&world).await;
    let words: Vec<_> = kept.iter().map(|m| text(m).split(' ').next()).collect();
    let all = ["one", "apple", "two", "apple", "three", "apple"];
    assert_eq!(words, all.map(Some));
    assert!(kept.iter().all(|message| !message.summary));
}

#[tokio::test]
async fn a_conversation_that_grows_is_summarized() {
    let world = world(SCENARIO).await;
    for word in ["one", "two"] {
        assert_eq!(reduced(&say(&world, "summarizes", word).await), None);
    }
    let third = say(&world, "summarizes", "three").await;
    let told = reduced(&third).expect("it outgrew its model").clone();
    assert_eq!(told.policy(), ContextPolicy::Summarize);
    assert_eq!(told.omitted_messages, 4);
    let summary = told.summary.clone().expect("it was condensed");
    assert!(summary.summary && text(&summary).ends_with("They spoke of fruit."));
    assert_eq!(summary.turn_id, third.result().turn_id);
    let usage = third.result().usage.as_ref().unwrap();
    assert_eq!(usage.model_calls, 2);
    assert!(
        usage.input_tokens > 250,
        "the summary is paid for: {usage:?}"
    );

    let calls = journal(&world);
    let (rule, model_id, sent) = &calls[2];
    assert_eq!(
        (&**rule, &**model_id),
        ("summary", "simulator.summary-v1:0")
    );
    assert_eq!(*sent, [["<conversation>\nUser:"]]);
    let (rule, _, sent) = &calls[3];
    assert_eq!(&**rule, "answer");
    assert_eq!(*sent, [["Summary", "three"]]);

    say(&world, "summarizes", "four").await;
    let (_, _, sent) = journal(&world).pop().unwrap();
    assert_eq!(
        sent,
        vec![vec!["Summary", "three"], vec!["apple"], vec!["four"]]
    );

    let kept = listed(&world).await;
    let words: Vec<_> = kept.iter().map(|m| text(m).split(' ').next()).collect();
    let all = [
        "one", "apple", "two", "apple", "Summary", "three", "apple", "four", "apple",
    ];
    assert_eq!(words, all.map(Some));
    assert_eq!(kept[4], summary);
}

#[tokio::test]
async fn a_summary_that_fails_is_told_as_what_it_became() {
    let failing = SCENARIO.replace(
        "text = \"They spoke of fruit.\"",
        "fault = { exception = { type = \"ThrottlingException\" } }",
    );
    let world = world(&failing).await;
    for word in ["one", "two"] {
        say(&world, "summarizes", word).await;
    }
    let third = say(&world, "summarizes", "three").await;
    let told = reduced(&third).expect("it outgrew its model");
    assert_eq!(told.policy(), ContextPolicy::Sliding);
    assert_eq!((told.omitted_messages, &told.summary), (2, &None));
    let (_, _, sent) = journal(&world).pop().unwrap();
    assert_eq!(sent, [["two"], ["apple"], ["three"]]);
}

#[tokio::test]
async fn a_pinned_message_is_sent_however_long_the_conversation_grows() {
    let world = world(SCENARIO).await;
    let mut sessions = SessionServiceClient::new(world.channel().await);
    let message = |role: pb::Role, text: &str, pinned| pb::Message {
        role: role.into(),
        content: vec![pb::ContentBlock {
            block: Some(Block::Text(text.to_owned())),
        }],
        pinned,
        ..pb::Message::default()
    };
    let request = pb::CreateSessionRequest {
        session_id: "s".to_owned(),
        agent_id: "slides".to_owned(),
        messages: vec![
            message(pb::Role::User, "rules of the house", true),
            message(pb::Role::Assistant, "noted", false),
        ],
        ..pb::CreateSessionRequest::default()
    };
    sessions.create_session(request).await.unwrap();
    for word in ["one", "two", "three", "four"] {
        say(&world, "slides", word).await;
    }
    let (_, _, sent) = journal(&world).pop().unwrap();
    assert_eq!(sent, [["rules"], ["noted"], ["four"]]);
    let kept = listed(&world).await;
    assert_eq!(kept.len(), 10);
    assert!(kept[0].pinned && kept[1..].iter().all(|message| !message.pinned));
}
