//! A session's input, which moves to the stream that was opened last.

use taiwa::v1::{self as pb, converse_request::Frame, event::Payload};
use taiwa_e2e::{Settings, World, call::Conversation};
use tonic::Code;

use crate::{
    cutter::{Blade, Cutter},
    newest_turn, place,
    seen::{Seen, replay},
    talk::{open, open_with, receipt, refusal, words},
    talker::Talker,
    turn_that_ended,
    weather::{self, calls_in, result_of},
};

const SCENARIO: &str = r#"
[[reply]]
when = { prompt_is = "silence" }
text = ["one ", "two ", "never said"]
fault.silence = { after_chunk = 2 }

[[reply]]
when = { prompt_is = "slowly" }
text = ["one ", "two ", "three"]
pace = { chunk_delay = "40ms" }
"#;

fn scenario() -> String {
    format!("{SCENARIO}{}", weather::SCENARIO)
}

/// Opens a session on a stream whose going cancels what it asked for.
async fn open_to_cancel(world: &World) -> Conversation {
    let setup = pb::SessionSetup {
        session_id: "s".to_owned(),
        options: Some(weather::options()),
        stream: Some(pb::StreamOptions {
            on_disconnect: pb::DisconnectPolicy::Cancel.into(),
            ..pb::StreamOptions::default()
        }),
        ..pb::SessionSetup::default()
    };
    open_with(world, setup).await
}

/// Reads up to the notice that another stream has the input; what came before it, numbered.
async fn taken_over(conversation: &mut Conversation) -> (Vec<pb::Event>, pb::GoAway) {
    let is_told = |event: &pb::Event| matches!(event.payload, Some(Payload::GoAway(_)));
    let mut events = conversation.until(is_told).await;
    match events.pop().unwrap().payload {
        Some(Payload::GoAway(told)) => (events, told),
        other => unreachable!("{other:?}"),
    }
}

fn is_text(event: &pb::Event) -> bool {
    matches!(event.payload, Some(Payload::TextDelta(_)))
}

fn prompt(words: &str) -> Frame {
    Frame::Prompt(words.to_owned())
}

#[tokio::test]
async fn the_earlier_stream_is_told_and_reads_on_and_is_heard_no_more() {
    for world in place::each(&scenario(), &Settings::default()).await {
        let mut first = open(&world, "s").await;
        first.send_named("hi", prompt("hi")).await;
        let before = first.turn().await.events;
        let mut second = open(&world, "s").await;
        let (events, told) = taken_over(&mut first).await;
        assert!(events.is_empty(), "{events:#?}");
        assert_eq!(told.reason(), pb::GoAwayReason::InputTakenOver);
        assert_eq!(told.time_left, None);
        assert_eq!(told.resume_after_sequence, before.last().unwrap().sequence);

        // Its frames are refused on it alone, whatever they are.
        let update = Frame::Update(pb::SessionUpdate::default());
        let interrupt = Frame::Interrupt(pb::Interrupt::default());
        let ack = Frame::Ack(pb::Ack { sequence: 1 });
        for (name, frame) in [
            ("p", prompt("no")),
            ("u", update),
            ("i", interrupt),
            ("a", ack),
        ] {
            first.send_named(name, frame).await;
            let told = refusal(&mut first, name).await;
            assert_eq!(told.reason, pb::ErrorReason::InputTakenOver, "{name}");
            assert_eq!(told.code, Code::Aborted, "{name}");
        }
        // One that was taken before is none that is refused.
        first.send_named("hi", prompt("hi")).await;
        assert!(receipt(&mut first, "hi").await.duplicate);

        second.send_named("p", prompt("yes")).await;
        let (seen, also_seen) = (second.turn().await.events, first.turn().await.events);
        let numbered = |events: Vec<pb::Event>| {
            let events = events.into_iter().filter(|event| event.sequence > 0);
            events.collect::<Vec<_>>()
        };
        let (seen, also_seen) = (numbered(seen), numbered(also_seen));
        assert!(seen.ends_with(&also_seen), "{seen:#?} {also_seen:#?}");
        assert!(
            !seen
                .iter()
                .any(|event| matches!(event.payload, Some(Payload::FrameRejected(_))))
        );
        // It can still be closed well.
        first.finish().await.end.unwrap();
        second.finish().await.end.unwrap();
        assert_eq!(world.simulator.journal().entries().len(), 2);
    }
}

#[tokio::test]
async fn the_going_of_the_earlier_stream_cancels_nothing() {
    for world in place::each(&scenario(), &Settings::default()).await {
        let mut first = open_to_cancel(&world).await;
        first.send_named("p", prompt("slowly")).await;
        first.until(is_text).await;
        let mut second = open(&world, "s").await;
        taken_over(&mut first).await;
        drop(first);
        let turn = second.turn().await;
        assert_eq!(turn.result().status(), pb::TurnStatus::Completed);
        assert_eq!(words(turn.result()), "one two three");
        // The frame that started it is known.
        second.send_named("p", prompt("slowly")).await;
        let told = receipt(&mut second, "p").await;
        assert!(told.duplicate);
        assert_eq!(told.turn_id, turn.result().turn_id);
        second.finish().await.end.unwrap();
        assert_eq!(world.simulator.journal().entries().len(), 1);
    }
}

#[tokio::test]
async fn what_the_earlier_stream_asked_for_goes_with_the_later() {
    for world in place::each(&scenario(), &Settings::default()).await {
        let mut first = open(&world, "s").await;
        first.say("silence").await;
        first.until(is_text).await;
        let second = open_to_cancel(&world).await;
        taken_over(&mut first).await;
        drop(second);
        let turn = turn_that_ended(&mut world.client().await, "s").await;
        assert_eq!(turn.status(), pb::TurnStatus::Cancelled);
    }
}

#[tokio::test]
async fn a_turn_that_waits_for_its_tools_waits_for_the_later_stream() {
    for world in place::each(&scenario(), &Settings::default()).await {
        let mut first = open_to_cancel(&world).await;
        first.say("weather").await;
        let mut calls = Vec::new();
        while calls.len() < 2 {
            let is_call = |event: &pb::Event| matches!(event.payload, Some(Payload::ToolCall(_)));
            let events = first.until(is_call).await;
            calls.extend(calls_in(&events).into_iter().cloned());
        }
        first
            .send_named("one", Frame::ToolResult(result_of(&calls[0])))
            .await;
        receipt(&mut first, "one").await;
        let mut second = open(&world, "s").await;
        let result = Frame::ToolResult(result_of(&calls[1]));
        first.send_named("two", result.clone()).await;
        let told = refusal(&mut first, "two").await;
        assert_eq!(told.reason, pb::ErrorReason::InputTakenOver);
        drop(first);
        second.send_named("two", result).await;
        let turn = second.turn().await;
        assert_eq!(turn.result().status(), pb::TurnStatus::Completed);
        // It never paused, for somebody could always answer.
        let whole = replay(&mut world.client().await, "s").await;
        let ends = whole.iter().filter(|event| taiwa_e2e::call::is_end(event));
        assert_eq!(ends.count(), 1);
    }
}

#[tokio::test]
async fn half_a_message_of_the_earlier_stream_is_refused() {
    for world in place::each(&scenario(), &Settings::default()).await {
        let mut first = open(&world, "s").await;
        let half = Frame::Input(pb::UserInput {
            content: vec![pb::ContentBlock {
                block: Some(pb::content_block::Block::Text("half".to_owned())),
            }],
            more_follows: true,
            ..pb::UserInput::default()
        });
        first.send_named("half", half).await;
        receipt(&mut first, "half").await;
        let mut second = open(&world, "s").await;
        let told = refusal(&mut second, "half").await;
        assert_eq!(told.reason, pb::ErrorReason::FrameOutOfOrder);
        second.say("hi").await;
        second.turn().await;
        let entries = world.simulator.journal().entries();
        let sent = entries[0].request["messages"].to_string();
        assert!(!sent.contains("half"), "{sent}");
    }
}

#[tokio::test]
async fn a_client_whose_connection_fell_silent_comes_back_over_another() {
    for world in place::each(&scenario(), &Settings::default()).await {
        // As much as opens the stream and begins the turn, and not its end.
        let cutter = Cutter::after(&world, 700, Blade::Silence).await;
        let mut talker = Talker::new("s", pb::StreamOptions::default());
        talker.say("weather");
        let mut old = cutter.client().await.unwrap();
        let mut conversation = talker.attach(&mut old).await.unwrap();
        let silence = std::time::Duration::from_millis(200);
        let read = talker.read(&mut conversation, usize::MAX);
        tokio::time::timeout(silence, read)
            .await
            .expect_err("nothing passes any more");
        let mut client = world.client().await;
        let mut again = talker.attach(&mut client).await.unwrap();
        talker.read(&mut again, usize::MAX).await.unwrap();
        talker.finish(again).await;
        talker.seen.check_whole(&mut client, "s").await;
        // The old stream is still there for the server, and nothing waits for it.
        let turn = newest_turn(&mut client, "s").await.unwrap();
        assert_eq!(turn.status(), pb::TurnStatus::Completed);
        let paused = talker
            .seen
            .events()
            .iter()
            .filter(|event| match &event.payload {
                Some(Payload::TurnEnded(result)) => result.status() == pb::TurnStatus::Paused,
                _ => false,
            });
        assert_eq!(paused.count(), 0);
        drop(conversation);
    }
}

#[tokio::test]
async fn the_last_of_many_streams_has_the_input() {
    for world in place::each(&scenario(), &Settings::default()).await {
        let mut streams = Vec::new();
        for _ in 0..10 {
            streams.push(open(&world, "s").await);
        }
        let mut last = streams.pop().unwrap();
        last.say("hi").await;
        let mut seen = Seen::default();
        last.turn()
            .await
            .events
            .into_iter()
            .for_each(|event| seen.take(event));
        for mut stream in streams {
            let (_, told) = taken_over(&mut stream).await;
            assert_eq!(told.resume_after_sequence, 0);
            stream.send_named("p", prompt("no")).await;
            let turn = stream.turn().await;
            seen.check(&turn.events);
        }
        seen.check_whole(&mut world.client().await, "s").await;
    }
}
