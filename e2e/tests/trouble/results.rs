//! The one end of each call, and what the model is told of it.

use std::time::{Duration, Instant};

use serde_json::Value;
use taiwa::v1::{
    self as pb,
    ToolCallStatus::{Failed, Succeeded, Unknown},
    event::Payload,
};
use taiwa_e2e::{
    World,
    call::{PATIENCE, Streamed, invoke_stream, next_of, prompt, rest_of},
    calls::{self, CallTold},
};

use crate::{ALONE, FLOOD_BYTES, Place};

/// What is told of a call that was lost with a server that may have acted.
const FIND_OUT: &str = "find out before it is called again";

#[tokio::test(flavor = "multi_thread")]
async fn each_trouble_has_one_end_and_the_model_is_told_of_it() {
    let _alone = ALONE.lock().await;
    let mut place = Place::new().await;
    for (trouble, status, words) in [
        (
            "hang",
            Unknown,
            "gave no result within 100ms and was stopped; whether it took effect is not known",
        ),
        (
            "panic",
            Unknown,
            "failed by a fault of its own; whether it took effect is not known",
        ),
        ("fail", Failed, "no such city"),
        ("unsure", Unknown, "the line went dead"),
        ("junk", Succeeded, "after junk"),
        ("die", Unknown, FIND_OUT),
        (
            "die reading",
            Failed,
            "changed nothing and may be called again",
        ),
        ("check", Succeeded, "SERVING"),
    ] {
        place.is_there().await;
        let streamed = invoke_stream(&mut place.world.client().await, prompt(trouble)).await;
        let told = check(&place.world, trouble, &streamed);
        assert_eq!(told.status(), status, "{trouble}: {told:#?}");
        assert!(told.words().contains(words), "{trouble}: {told:#?}");
        assert!(!told.words().contains("panics"), "its inside is not told");
    }
    let lost = watch_until_killed(&mut place).await;
    assert_eq!(lost.status(), Unknown, "{lost:#?}");
    assert!(lost.words().contains("gave no answer"), "{lost:#?}");
    assert!(lost.words().contains(FIND_OUT), "{lost:#?}");
    assert_eq!(place.program.calls("die"), 1);
    assert_eq!(place.hands.running(), 0);
    place.world.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_of_sixteen_megabytes_is_cut_to_what_the_model_takes() {
    let _alone = ALONE.lock().await;
    let place = Place::new().await;
    let streamed = invoke_stream(&mut place.world.client().await, prompt("flood")).await;
    let told = check(&place.world, "flood", &streamed);
    assert_eq!(told.status(), Succeeded);
    let sent = latest(&place.world);
    let limit = taiwa_core::Limits::default().max_tool_result_bytes;
    assert!(
        (limit / 2..limit + 10_000).contains(&sent.len()),
        "{}",
        sent.len()
    );
    let note = format!("The tool gave {FLOOD_BYTES} bytes, more than the {limit} that fit");
    assert!(sent.contains(&note));
    place.world.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_went_away_is_not_reached_and_works_once_it_is_back() {
    let _alone = ALONE.lock().await;
    let mut place = Place::new().await;
    place.watchman.kill();
    let mut client = place.world.client().await;
    let away = invoke_stream(&mut client, prompt("check")).await;
    let away = check(&place.world, "check", &away);
    assert_eq!(away.status(), Failed, "nothing was sent: {away:#?}");
    place.watchman.revive();
    place.is_there().await;
    place.world.server.stop().await;
}

impl Place {
    /// Waits until all that was started again can be called.
    pub(crate) async fn is_there(&self) {
        let mut client = self.world.client().await;
        for service in ["echo", "check"] {
            let began = Instant::now();
            loop {
                let streamed = invoke_stream(&mut client, prompt(service)).await;
                let told = check(&self.world, service, &streamed);
                if told.status() == Succeeded {
                    break;
                }
                // It never began: the server was away.
                assert_eq!(told.status(), Failed, "{told:#?}");
                assert!(began.elapsed() < PATIENCE, "{told:#?}");
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    }
}

/// Kills the service in the midst of a call, and has it come back.
pub(crate) async fn watch_until_killed(place: &mut Place) -> CallTold {
    let mut client = place.world.client().await;
    let opened = client.invoke_stream(prompt("watch")).await;
    let mut stream = opened.expect("a stream").into_inner();
    let mut events = Vec::new();
    loop {
        let event = next_of(&mut stream).await.expect("the turn goes on");
        let event = event.expect("the turn does not end");
        let has_begun = matches!(&event.payload, Some(Payload::ToolCallUpdate(update))
            if update.progress.contains("SERVING"));
        events.push(event);
        if has_begun {
            break;
        }
    }
    place.watchman.kill();
    let rest = rest_of(&mut stream).await;
    events.extend(rest.events);
    place.watchman.revive();
    let streamed = Streamed {
        events,
        end: rest.end,
    };
    check(&place.world, "watch", &streamed)
}

/// Checks that a turn with one call completed, and that the model was told how the call ended.
pub(crate) fn check(world: &World, trouble: &str, streamed: &Streamed) -> CallTold {
    let result = streamed.result();
    assert_eq!(
        result.status(),
        pb::TurnStatus::Completed,
        "{trouble}: {result:#?}"
    );
    let mut told = calls::told(&streamed.events);
    assert_eq!(told.len(), 1, "{trouble}: {told:#?}");
    let told = told.remove(0);
    let journal = world.simulator.journal().entries();
    let asked = journal.iter().rev().find(|entry| {
        let messages = &entry.request["messages"];
        messages[0]["content"][0]["text"] == trouble && messages.as_array().map(Vec::len) == Some(3)
    });
    let asked = asked.unwrap_or_else(|| panic!("{trouble}: the model was not asked again"));
    let sent = &asked.request["messages"][2]["content"][0]["toolResult"];
    let expected = if told.status() == Succeeded {
        "success"
    } else {
        "error"
    };
    assert_eq!(sent["status"], expected, "{trouble}: {}", asked.request);
    let words: String = texts(&sent["content"]);
    // What is told to a caller is shortened.
    let shown: String = told.words().chars().take(200).collect();
    assert!(words.contains(&shown), "{trouble}: {words} has not {shown}");
    told
}

/// The words and the JSON of blocks as the model is sent them, a line for each.
fn texts(content: &Value) -> String {
    let blocks = content.as_array().into_iter().flatten();
    let texts = blocks.map(|block| match block["text"].as_str() {
        Some(text) => text.to_owned(),
        None => block["json"].to_string(),
    });
    texts.collect::<Vec<_>>().join("\n")
}

/// What the model was sent last.
fn latest(world: &World) -> String {
    let journal = world.simulator.journal().entries();
    journal
        .last()
        .expect("the model was asked")
        .request
        .to_string()
}
