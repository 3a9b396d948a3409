//! Lists in pages: of sessions, and of a session's messages.

use serde_json::Value;
use taiwa::v1::{self as pb, content_block::Block};
use taiwa_e2e::{SessionClient, Settings, call, told::Told};
use tonic::Code;

use super::{asked, create, creation, labels, listed, scenario};
use crate::{place, tenant, weather::result_of};

fn page(size: i32) -> pb::ListSessionsRequest {
    pb::ListSessionsRequest {
        page_size: size,
        ..pb::ListSessionsRequest::default()
    }
}

/// Names of the sessions of all pages, and how many pages there were.
async fn all(
    sessions: &mut SessionClient,
    mut request: pb::ListSessionsRequest,
) -> (Vec<String>, usize) {
    let (mut names, mut pages) = (Vec::new(), 0);
    loop {
        let page = sessions.list_sessions(request.clone()).await.unwrap();
        let page = page.into_inner();
        pages += 1;
        names.extend(page.sessions.into_iter().map(|session| session.session_id));
        if page.next_page_token.is_empty() {
            return (names, pages);
        }
        request.page_token = page.next_page_token;
    }
}

#[tokio::test]
async fn sessions_are_listed_by_their_newest_change_a_page_at_a_time() {
    let settings = Settings {
        more_agents: vec![taiwa_e2e::agent("other")],
        ..Settings::default()
    };
    for placed in place::each(&scenario(), &settings).await {
        let mut sessions = placed.sessions().await;
        let mut names = Vec::new();
        for number in 0..60 {
            let name = format!("session-{number}");
            let request = pb::CreateSessionRequest {
                agent_id: if number % 3 == 0 { "other" } else { "" }.to_owned(),
                labels: labels(&[
                    ("parity", if number % 2 == 0 { "even" } else { "odd" }),
                    ("all", "yes"),
                ]),
                ..creation(&name)
            };
            create(&mut sessions, request).await.unwrap();
            names.insert(0, name);
        }
        // The oldest comes first by its use.
        call::invoke(&mut placed.client().await, asked("session-1", "hi"))
            .await
            .unwrap();
        names.retain(|name| name != "session-1");
        names.insert(0, "session-1".to_owned());

        for (size, pages) in [(0, 2), (1, 60), (7, 9), (60, 1), (59, 2), (1_000, 1)] {
            let (listed, took) = all(&mut sessions, page(size)).await;
            assert_eq!(listed, names, "{size}");
            assert_eq!(took, pages, "{size}");
        }
        let number = |name: &String| name["session-".len()..].parse::<usize>().unwrap();
        let even_of_other = pb::ListSessionsRequest {
            agent_id: "other".to_owned(),
            labels: labels(&[("parity", "even"), ("all", "yes")]),
            ..page(3)
        };
        let (listed, _) = all(&mut sessions, even_of_other.clone()).await;
        let expected = names.iter().filter(|name| number(name) % 6 == 0);
        assert_eq!(
            listed.iter().collect::<Vec<_>>(),
            expected.collect::<Vec<_>>()
        );
        for (name, value) in [("parity", "none"), ("nothing", "even")] {
            let none = pb::ListSessionsRequest {
                labels: labels(&[(name, value)]),
                ..page(0)
            };
            assert_eq!(all(&mut sessions, none).await, (Vec::new(), 1));
        }

        // A token is good for its own list alone.
        let first = sessions.list_sessions(even_of_other.clone()).await.unwrap();
        let token = first.into_inner().next_page_token;
        let with_token = |request: pb::ListSessionsRequest| pb::ListSessionsRequest {
            page_token: token.clone(),
            ..request
        };
        let others = [
            with_token(page(3)),
            with_token(pb::ListSessionsRequest {
                agent_id: "assistant".to_owned(),
                ..even_of_other.clone()
            }),
            with_token(pb::ListSessionsRequest {
                labels: labels(&[("parity", "even")]),
                ..even_of_other.clone()
            }),
            pb::ListSessionsRequest {
                page_token: "made up".to_owned(),
                ..even_of_other.clone()
            },
        ];
        for request in others {
            let told = Told::of(&sessions.list_sessions(request).await.unwrap_err());
            assert_eq!(told.code, Code::InvalidArgument);
            assert_eq!(told.fields, ["page_token"]);
        }
        let told = Told::of(&sessions.list_sessions(page(-1)).await.unwrap_err());
        assert_eq!(told.fields, ["page_size"]);
        // The size of a page may change on the way.
        let larger = pb::ListSessionsRequest {
            page_size: 100,
            ..with_token(even_of_other)
        };
        let rest = sessions.list_sessions(larger).await.unwrap().into_inner();
        assert_eq!(rest.sessions.len(), 7);

        if placed.is_in_file() {
            let placed = placed.restart().await;
            let (listed, _) = all(&mut placed.sessions().await, page(0)).await;
            assert_eq!(listed, names);
        }
    }
}

#[tokio::test]
async fn a_token_of_another_tenant_is_none() {
    for world in place::each(&scenario(), &tenant::told_apart()).await {
        let mut sessions = world.sessions().await;
        for name in ["one", "two"] {
            for owner in ["acme", "other"] {
                let request = tenant::by(owner, creation(name));
                sessions.create_session(request).await.unwrap();
            }
        }
        let first = sessions.list_sessions(tenant::by("acme", page(1))).await;
        let first = first.unwrap().into_inner();
        let next = pb::ListSessionsRequest {
            page_token: first.next_page_token,
            ..page(1)
        };
        let refused = sessions
            .list_sessions(tenant::by("other", next.clone()))
            .await;
        assert_eq!(Told::of(&refused.unwrap_err()).fields, ["page_token"]);
        let second = sessions.list_sessions(tenant::by("acme", next)).await;
        assert_eq!(second.unwrap().into_inner().sessions.len(), 1);
    }
}

/// A message on one line: its role, its texts, calls and results.
fn told(message: &pb::Message) -> String {
    let blocks = message.content.iter().map(|block| match &block.block {
        Some(Block::Text(text)) => text.clone(),
        Some(Block::Reasoning(reasoning)) => {
            format!("({}/{})", reasoning.text, reasoning.signature)
        }
        Some(Block::ToolCall(call)) => format!("{} {}", call.tool_call_id, call.input_json),
        Some(Block::ToolResult(result)) => {
            let Some(pb::tool_result_block::Block::Text(text)) = &result.content[0].block else {
                panic!("{result:?}");
            };
            format!("{} {text}", result.tool_call_id)
        }
        other => panic!("{other:?}"),
    });
    let blocks: Vec<_> = blocks.collect();
    format!("{:?}: {}", message.role(), blocks.join(" | "))
}

/// The same of what the model was sent.
fn sent(message: &Value) -> String {
    let role = match message["role"].as_str().unwrap() {
        "user" => pb::Role::User,
        _ => pb::Role::Assistant,
    };
    let blocks = message["content"].as_array().unwrap().iter().map(|block| {
        if let Some(text) = block["text"].as_str() {
            text.to_owned()
        } else if let Some(it) = block.pointer("/reasoningContent/reasoningText") {
            let (text, signature) = (it["text"].as_str(), it["signature"].as_str());
            format!("({}/{})", text.unwrap(), signature.unwrap())
        } else if let Some(call) = block.get("toolUse") {
            let id = call["toolUseId"].as_str().unwrap();
            format!("{id} {{\"city\": {}}}", call["input"]["city"])
        } else {
            let result = &block["toolResult"];
            let text = result["content"][0]["text"].as_str().unwrap();
            format!("{} {text}", result["toolUseId"].as_str().unwrap())
        }
    });
    let blocks: Vec<_> = blocks.collect();
    format!("{role:?}: {}", blocks.join(" | "))
}

async fn messages(sessions: &mut SessionClient, size: i32) -> Vec<pb::Message> {
    let mut request = pb::ListMessagesRequest {
        session_id: "s".to_owned(),
        page_size: size,
        ..pb::ListMessagesRequest::default()
    };
    let mut all = Vec::new();
    loop {
        let page = sessions.list_messages(request.clone()).await.unwrap();
        let page = page.into_inner();
        assert!(size == 0 || page.messages.len() <= usize::try_from(size).unwrap());
        all.extend(page.messages);
        if page.next_page_token.is_empty() {
            return all;
        }
        request.page_token = page.next_page_token;
    }
}

#[tokio::test]
async fn the_messages_listed_are_those_that_the_model_is_sent() {
    for placed in place::each(&scenario(), &Settings::default()).await {
        let mut client = placed.client().await;
        call::invoke(&mut client, asked("s", "hi")).await.unwrap();
        let paused = call::invoke(&mut client, asked("s", "weather"))
            .await
            .unwrap();
        let paused = paused.result.unwrap();
        let results = paused.pending_tool_calls.iter().map(result_of).collect();
        let bring = pb::InvokeRequest {
            tool_results: results,
            ..asked("s", "")
        };
        let done = call::invoke(&mut client, bring)
            .await
            .unwrap()
            .result
            .unwrap();
        let mut sessions = placed.sessions().await;
        let whole = messages(&mut sessions, 0).await;
        assert_eq!(whole.len(), 6);
        assert_eq!(whole.last(), done.message.as_ref());
        assert_eq!(whole[3].turn_id, done.turn_id);
        for size in [1, 2, 4, 5, 6] {
            assert_eq!(messages(&mut sessions, size).await, whole);
        }
        call::invoke(&mut client, asked("s", "ho")).await.unwrap();
        let entries = placed.simulator.journal().entries();
        let last = entries.last().unwrap().request["messages"].clone();
        let last = last.as_array().unwrap();
        let expected: Vec<_> = last.iter().map(sent).collect();
        let whole = messages(&mut sessions, 0).await;
        let lines: Vec<_> = whole.iter().map(told).collect();
        assert_eq!(lines[..7], expected);
        assert_eq!(lines[7], "Assistant: Done.");

        let request = pb::ListMessagesRequest {
            session_id: "s".to_owned(),
            page_size: 2,
            ..pb::ListMessagesRequest::default()
        };
        let first = sessions.list_messages(request.clone()).await.unwrap();
        create(&mut sessions, creation("t")).await.unwrap();
        let of_another = pb::ListMessagesRequest {
            session_id: "t".to_owned(),
            page_token: first.into_inner().next_page_token,
            ..request.clone()
        };
        let refused = sessions.list_messages(of_another).await.unwrap_err();
        assert_eq!(Told::of(&refused).fields, ["page_token"]);
        let negative = pb::ListMessagesRequest {
            page_size: -1,
            ..request
        };
        let refused = sessions.list_messages(negative).await.unwrap_err();
        assert_eq!(Told::of(&refused).fields, ["page_size"]);
        if placed.is_in_file() {
            let placed = placed.restart().await;
            let mut sessions = placed.sessions().await;
            assert_eq!(messages(&mut sessions, 3).await, whole);
            assert_eq!(listed(&mut sessions).await, ["t", "s"]);
        }
    }
}
