//! A turn that pauses for its tools, and the calls that take it up again.

use taiwa::v1::{self as pb, event::Payload};
use taiwa_e2e::{
    Client, World,
    call::{self, Streamed},
    told::Told,
};
use tonic::Code;

use super::{SCENARIO, answer, weather};
use crate::{
    ended_turn,
    talk::{told_to_model, words},
};

fn ask(prompt: &str) -> pb::InvokeRequest {
    pb::InvokeRequest {
        session_id: "s".to_owned(),
        options: Some(weather()),
        ..call::prompt(prompt)
    }
}

fn bring(results: impl IntoIterator<Item = pb::ToolResult>) -> pb::InvokeRequest {
    pb::InvokeRequest {
        tool_results: results.into_iter().collect(),
        ..ask("")
    }
}

async fn refused(client: &mut Client, request: pb::InvokeRequest) -> Told {
    Told::of(&call::invoke(client, request).await.unwrap_err())
}

fn pending(result: &pb::TurnResult) -> Vec<&str> {
    let calls = result.pending_tool_calls.iter();
    calls.map(|call| call.tool_call_id.as_str()).collect()
}

/// Runs a turn by one of the two calls, and gives its result.
async fn run(client: &mut Client, streams: bool, request: pb::InvokeRequest) -> pb::TurnResult {
    if streams {
        let streamed = call::invoke_stream(client, request).await;
        streamed.end.as_ref().unwrap();
        streamed.result().clone()
    } else {
        call::invoke(client, request).await.unwrap().result.unwrap()
    }
}

#[tokio::test]
async fn a_turn_pauses_and_goes_on_under_its_id_by_either_call() {
    for (first, second) in [(false, false), (true, true), (false, true), (true, false)] {
        let world = World::start(SCENARIO).await;
        let mut client = world.client().await;
        let paused = run(&mut client, first, ask("two")).await;
        assert_eq!(paused.status(), pb::TurnStatus::Paused);
        assert_eq!(paused.stop_reason(), pb::StopReason::ToolUse);
        assert_eq!(pending(&paused), ["kyoto", "oslo"]);
        let call = &paused.pending_tool_calls[0];
        assert_eq!(call.input_json, r#"{"city": "Kyoto"}"#);
        assert_eq!(call.executor(), pb::ToolExecutor::Client);
        assert!(call.expire_time.is_some());
        assert_eq!(
            ended_turn(&mut client, "s").await.status(),
            pb::TurnStatus::Paused
        );

        // Out of the model's order; the model gets them in its own.
        let results = bring([answer("oslo", "4"), answer("kyoto", "18")]);
        let done = run(&mut client, second, results).await;
        assert_eq!(done.status(), pb::TurnStatus::Completed);
        assert_eq!(done.turn_id, paused.turn_id);
        assert_eq!(words(&done), "It is mild.");
        let usage = done.usage.unwrap();
        assert_eq!((usage.model_calls, usage.tool_calls), (2, 2));
        let told = told_to_model(&world).pop().unwrap();
        assert_eq!(told[1], "assistant: Let me look. | call kyoto | call oslo");
        assert_eq!(told[2], "user: success kyoto: 18 | success oslo: 4");
    }
}

fn started(streamed: &Streamed) -> Vec<bool> {
    let starts = streamed
        .events
        .iter()
        .filter_map(|event| match &event.payload {
            Some(Payload::TurnStarted(it)) => Some(it.continued),
            _ => None,
        });
    starts.collect()
}

#[tokio::test]
async fn the_stream_that_goes_on_says_so_and_numbers_go_on() {
    let world = World::start(SCENARIO).await;
    let mut client = world.client().await;
    let first = call::invoke_stream(&mut client, ask("one")).await;
    assert_eq!(started(&first), [false]);
    let second = call::invoke_stream(&mut client, bring([answer("kyoto", "18")])).await;
    assert_eq!(started(&second), [true]);
    let last = first.events.last().unwrap().sequence;
    assert_eq!(second.events[0].sequence, last + 1);
    let turn_ids = first
        .events
        .iter()
        .chain(&second.events)
        .map(|it| &it.turn_id);
    let mut turn_ids: Vec<_> = turn_ids.collect();
    turn_ids.dedup();
    assert_eq!(turn_ids.len(), 1);
}

#[tokio::test]
async fn some_results_leave_the_turn_paused_for_the_rest() {
    let world = World::start(SCENARIO).await;
    let mut client = world.client().await;
    run(&mut client, false, ask("two")).await;
    let still = run(&mut client, false, bring([answer("oslo", "4")])).await;
    assert_eq!(still.status(), pb::TurnStatus::Paused);
    assert_eq!(pending(&still), ["kyoto"]);
    let told = refused(&mut client, bring([answer("oslo", "5")])).await;
    assert_eq!(told.reason, pb::ErrorReason::CallNotPending);
    let done = run(&mut client, true, bring([answer("kyoto", "18")])).await;
    assert_eq!(done.status(), pb::TurnStatus::Completed);
    let told = told_to_model(&world);
    assert_eq!(told.len(), 2);
    assert_eq!(told[1][2], "user: success kyoto: 18 | success oslo: 4");
}

#[tokio::test]
async fn what_does_not_answer_a_paused_turn_is_refused_and_leaves_it() {
    let world = World::start(SCENARIO).await;
    let mut client = world.client().await;
    run(&mut client, false, ask("one")).await;
    let told = refused(&mut client, bring([answer("nobody", "4")])).await;
    assert_eq!(told.code, Code::FailedPrecondition);
    assert_eq!(told.reason, pb::ErrorReason::CallNotPending);
    assert_eq!(told.metadata["tool_call_id"], "nobody");
    let twice = bring([answer("kyoto", "4"), answer("kyoto", "5")]);
    let told = refused(&mut client, twice).await;
    assert_eq!(told.reason, pb::ErrorReason::InvalidRequest);
    assert_eq!(told.fields.len(), 1, "{told:?}");
    let told = refused(&mut client, ask("hello?")).await;
    assert_eq!(told.code, Code::Aborted);
    assert_eq!(told.reason, pb::ErrorReason::TurnInProgress);
    let done = run(&mut client, false, bring([answer("kyoto", "18")])).await;
    assert_eq!(words(&done), "It is mild.");
}

#[tokio::test]
async fn results_without_a_paused_turn_are_refused() {
    let world = World::start(SCENARIO).await;
    let mut client = world.client().await;
    let told = refused(&mut client, bring([answer("kyoto", "18")])).await;
    assert_eq!(told.reason, pb::ErrorReason::CallNotPending);
    let done = run(&mut client, false, ask("hello")).await;
    assert_eq!(words(&done), "Done.");
}

#[tokio::test]
async fn calls_that_cannot_run_go_back_to_the_model_unannounced() {
    for prompt in ["broken", "unknown", "misfit"] {
        let world = World::start(SCENARIO).await;
        let mut client = world.client().await;
        let streamed = call::invoke_stream(&mut client, ask(prompt)).await;
        streamed.end.as_ref().unwrap();
        assert_eq!(
            streamed.result().status(),
            pb::TurnStatus::Completed,
            "{prompt}"
        );
        let calls = streamed
            .events
            .iter()
            .filter(|event| matches!(event.payload, Some(Payload::ToolCall(_))));
        assert_eq!(calls.count(), 0, "{prompt}");
        let told = told_to_model(&world).pop().unwrap();
        assert!(
            told[2].starts_with("user: error bad: "),
            "{prompt}: {told:?}"
        );
    }
}

#[tokio::test]
async fn a_call_that_cannot_run_waits_with_its_error_for_the_one_that_can() {
    let world = World::start(SCENARIO).await;
    let mut client = world.client().await;
    let paused = run(&mut client, true, ask("half")).await;
    assert_eq!(pending(&paused), ["good"]);
    let done = run(&mut client, true, bring([answer("good", "4")])).await;
    assert_eq!(done.status(), pb::TurnStatus::Completed);
    let told = told_to_model(&world).pop().unwrap();
    assert!(told[2].starts_with("user: error bad: "), "{told:?}");
    assert!(told[2].ends_with(" | success good: 4"), "{told:?}");
}

#[tokio::test]
async fn the_steps_are_in_the_result_when_asked_for() {
    let world = World::start(SCENARIO).await;
    let mut client = world.client().await;
    let mut request = ask("one");
    request.options.as_mut().unwrap().include_steps = true;
    run(&mut client, false, request).await;
    let done = run(&mut client, false, bring([answer("kyoto", "18")])).await;
    let roles = done.intermediate_messages.iter().map(pb::Message::role);
    assert_eq!(
        roles.collect::<Vec<_>>(),
        [pb::Role::Assistant, pb::Role::User]
    );

    let world = World::start(SCENARIO).await;
    let mut client = world.client().await;
    run(&mut client, false, ask("one")).await;
    let done = run(&mut client, false, bring([answer("kyoto", "18")])).await;
    assert!(done.intermediate_messages.is_empty());
}

#[tokio::test]
async fn a_paused_turn_can_be_cancelled_and_the_session_goes_on() {
    let world = World::start(SCENARIO).await;
    let mut client = world.client().await;
    let paused = run(&mut client, false, ask("one")).await;
    let request = pb::CancelTurnRequest {
        session_id: "s".to_owned(),
        turn_id: paused.turn_id.clone(),
        ..pb::CancelTurnRequest::default()
    };
    let cancelled = client
        .cancel_turn(request.clone())
        .await
        .unwrap()
        .into_inner();
    let cancelled = cancelled.result.unwrap();
    assert_eq!(cancelled.status(), pb::TurnStatus::Cancelled);
    // A second time it only tells the result.
    let again = client.cancel_turn(request).await.unwrap().into_inner();
    assert_eq!(again.result.unwrap(), cancelled);
    let told = refused(&mut client, bring([answer("kyoto", "18")])).await;
    assert_eq!(told.reason, pb::ErrorReason::CallNotPending);
    let done = run(&mut client, false, ask("hello")).await;
    assert_eq!(words(&done), "Done.");
    let last = told_to_model(&world).pop().unwrap();
    assert!(last.last().unwrap().ends_with("hello"), "{last:?}");
}

#[tokio::test]
async fn a_caller_that_goes_after_its_pause_leaves_the_turn_to_the_next() {
    let world = World::start(SCENARIO).await;
    let paused = run(&mut world.client().await, true, ask("one")).await;
    let mut other = world.client().await;
    assert_eq!(
        ended_turn(&mut other, "s").await.status(),
        pb::TurnStatus::Paused
    );
    let done = run(&mut other, true, bring([answer("kyoto", "18")])).await;
    assert_eq!(done.turn_id, paused.turn_id);
}
