//! The reference server that has one tool of each kind, over pipes and over HTTP.

use std::time::Duration;

use taiwa::v1::{self as pb, event::Payload};
use taiwa_e2e::{
    World,
    call::{next_of, rest_of},
    calls,
};
use taiwa_server::tools::Origin;

use crate::{
    ask, ask_each, asking, check_ends, mount,
    place::{Listening, piped, reference_server},
    world,
};

/// Data that is in the call itself: the persona would make up an address to fetch it from.
const SCENARIO: &str = r#"
[[reply]]
when = { prompt_is = "pack it", has_tool_result = false }
content = [{ tool_use = { id = "a", name = "gzip-file-as-resource", input = '{"name": "a.gz", "data": "data:text/plain,hello", "outputType": "resource"}' } }]
"#;

const LONG: &str = "trigger-long-running-operation";

#[tokio::test(flavor = "multi_thread")]
async fn each_tool_is_called_over_pipes_and_one_is_cancelled() {
    let Some(script) = reference_server("server-everything") else {
        return;
    };
    let world = world(
        SCENARIO,
        vec![mount(Origin::Mcp(piped(&script, "stdio")), "")],
    )
    .await;
    call_each(&world).await;
    cancel(&world).await;
    let told = ask(
        &mut world.client().await,
        "get-env",
        "Which variables are there?",
    )
    .await;
    let variables = told.words();
    assert!(variables.contains("PATH"), "{variables}");
    // Cargo sets it for this process, and nobody has listed it.
    assert!(!variables.contains("CARGO_MANIFEST_DIR"), "{variables}");
    world.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_tool_is_called_over_http_and_one_is_cancelled() {
    let Some(script) = reference_server("server-everything") else {
        return;
    };
    let server = Listening::start(&script).await;
    let world = world(SCENARIO, vec![mount(Origin::Mcp(server.config()), "")]).await;
    call_each(&world).await;
    cancel(&world).await;
    world.server.stop().await;
}

async fn call_each(world: &World) {
    let told = ask_each(world, |tool| match tool {
        LONG => "duration 0.6 and steps 3".to_owned(),
        "get-sum" => "a is 2 and b is 3".to_owned(),
        "get-structured-content" => "location: \"Chicago\"".to_owned(),
        "gzip-file-as-resource" => "pack it".to_owned(),
        _ => "message: \"hello\"".to_owned(),
    })
    .await;
    assert!(told.len() >= 13, "{:?}", told.keys());
    // It runs as a task alone, which the server does not offer: the model is told.
    check_ends(&told, &["simulate-research-query"]);
    assert!(told["simulate-research-query"].words().contains("task"));
    assert!(
        told["echo"].words().contains("Echo: "),
        "{:?}",
        told["echo"]
    );
    assert!(told["get-sum"].words().contains("2 and 3 is 5"));
    let long = &told[LONG];
    // A piece that comes within 100 ms of the one before is left out, as on a busy machine.
    let known = |piece: &String| ["1/3", "2/3", "3/3"].contains(&piece.as_str());
    assert!(long.progress.iter().all(known), "{long:#?}");
    assert!(
        long.progress.is_sorted_by(|one, next| one < next),
        "{long:#?}"
    );
    assert_eq!(long.progress.first().map(String::as_str), Some("1/3"));
}

/// Cancels a turn in the midst of a call, after which the server still answers.
async fn cancel(world: &World) {
    let mut client = world.client().await;
    let mut request = asking(LONG, "duration 600 and steps 6000");
    request.session_id = "cut".to_owned();
    let opened = client.invoke_stream(request).await;
    let mut stream = opened.expect("a stream").into_inner();
    let mut events = Vec::new();
    loop {
        let event = next_of(&mut stream).await.expect("the turn goes on");
        let event = event.expect("the turn does not end");
        let is_under_way = matches!(&event.payload, Some(Payload::ToolCallUpdate(update))
            if update.progress.contains("/6000"));
        events.push(event);
        if is_under_way {
            break;
        }
    }
    let cancel = pb::CancelTurnRequest {
        session_id: "cut".to_owned(),
        ..pb::CancelTurnRequest::default()
    };
    let cancelled = client.cancel_turn(cancel).await.expect("it runs");
    let result = cancelled.into_inner().result.expect("a result");
    assert_eq!(result.status(), pb::TurnStatus::Cancelled);
    events.extend(rest_of(&mut stream).await.events);
    let told = calls::told(&events);
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].status(), pb::ToolCallStatus::Cancelled);
    let ran = told[0].end.duration.expect("it ran");
    let ran = Duration::try_from(ran).expect("a duration is not negative");
    assert!(ran < Duration::from_secs(10), "{ran:?}");

    let again = ask(&mut client, "echo", "message: \"still there\"").await;
    assert_eq!(again.status(), pb::ToolCallStatus::Succeeded);
}
