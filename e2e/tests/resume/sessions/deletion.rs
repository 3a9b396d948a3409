//! Sessions that are deleted, whatever goes on in them.

use taiwa::v1 as pb;
use taiwa_e2e::{Settings, call, told::Told};
use taiwa_simulator::Outcome;
use tonic::Code;

use super::{asked, create, creation, delete, find, listed, scenario};
use crate::{
    place,
    seen::{after, resumed_in},
    talk::open,
};

#[tokio::test]
async fn a_deleted_session_is_gone_and_deleting_it_again_succeeds() {
    for placed in place::each(&scenario(), &Settings::default()).await {
        let mut sessions = placed.sessions().await;
        let mut client = placed.client().await;
        let invoked = call::invoke(&mut client, asked("s", "hi")).await.unwrap();
        for _ in 0..2 {
            delete(&mut sessions, "s").await;
        }
        delete(&mut sessions, "never-was").await;
        assert!(listed(&mut sessions).await.is_empty());
        let refused = find(&mut sessions, "s").await.unwrap_err();
        assert_eq!(Told::of(&refused).reason, pb::ErrorReason::SessionNotFound);
        let request = pb::GetTurnRequest {
            session_id: "s".to_owned(),
            turn_id: invoked.result.unwrap().turn_id,
        };
        let refused = client.get_turn(request.clone()).await.unwrap_err();
        assert_eq!(Told::of(&refused).reason, pb::ErrorReason::SessionNotFound);

        // Another of the name knows nothing of it.
        create(&mut sessions, creation("s")).await.unwrap();
        let refused = client.get_turn(request.clone()).await.unwrap_err();
        assert_eq!(Told::of(&refused).reason, pb::ErrorReason::TurnNotFound);
        let resumed = call::resume_stream(&mut client, after("s", 1)).await;
        let told = Told::of(&resumed.end.unwrap_err());
        assert_eq!(told.fields, ["after_sequence"]);
        let streamed = call::invoke_stream(&mut client, asked("s", "ho")).await;
        assert_eq!(streamed.events[0].sequence, 1);
        assert_ne!(streamed.result().turn_id, request.turn_id);
        let last = placed.simulator.journal().entries().pop().unwrap();
        assert_eq!(last.request["messages"].as_array().unwrap().len(), 1);
        delete(&mut sessions, "s").await;
        if placed.is_in_file() {
            let placed = placed.restart().await;
            assert!(listed(&mut placed.sessions().await).await.is_empty());
        }
    }
}

#[tokio::test]
async fn deleting_ends_every_stream_and_what_runs() {
    for world in place::each(&scenario(), &Settings::default()).await {
        let mut sessions = world.sessions().await;
        let mut conversation = open(&world, "s").await;
        let mut taken_over = std::mem::replace(&mut conversation, open(&world, "s").await);
        conversation.say("silence").await;
        let is_text =
            |event: &pb::Event| matches!(event.payload, Some(pb::event::Payload::TextDelta(_)));
        conversation.until(is_text).await;
        let mut reader = world.client().await.resume_stream(after("s", 0)).await;
        let reader = reader.as_mut().unwrap().get_mut();
        resumed_in(&call::next_of(reader).await.unwrap().unwrap());
        delete(&mut sessions, "s").await;
        // What is deleted is gone when the call says so.
        assert!(find(&mut sessions, "s").await.is_err());
        let ends = [
            conversation.rest().await,
            taken_over.rest().await,
            call::rest_of(reader).await,
        ];
        for streamed in ends {
            let told = Told::of(&streamed.end.as_ref().unwrap_err().clone());
            assert_eq!(told.code, Code::FailedPrecondition, "{told:?}");
            assert_eq!(told.reason, pb::ErrorReason::SessionEnded);
            assert_eq!(streamed.result().status(), pb::TurnStatus::Cancelled);
        }
        let entry = world
            .simulator
            .journal()
            .wait_for(taiwa_simulator::Entry::has_ended, call::PATIENCE);
        assert_eq!(entry.await.unwrap().outcome, Outcome::ClientClosed);
        assert!(world.server.registry().is_empty());
    }
}

#[tokio::test]
async fn deleting_fails_the_calls_whose_turn_it_cancels() {
    for world in place::each(&scenario(), &Settings::default()).await {
        let mut sessions = world.sessions().await;
        let (mut one, mut two) = (world.client().await, world.client().await);
        let invoking = async { call::invoke(&mut one, asked("one", "silence")).await };
        let streaming = async { call::invoke_stream(&mut two, asked("two", "silence")).await };
        let deleting = async {
            let run = |entry: &taiwa_simulator::Entry| entry.number == 2 && entry.chunks_sent == 2;
            let journal = world.simulator.journal();
            journal.wait_for(run, call::PATIENCE).await.unwrap();
            delete(&mut sessions, "one").await;
            delete(&mut sessions, "two").await;
        };
        let (invoked, streamed, ()) = tokio::join!(invoking, streaming, deleting);
        let told = Told::of(&invoked.unwrap_err());
        assert_eq!(told.code, Code::Cancelled, "{told:?}");
        assert_eq!(streamed.result().status(), pb::TurnStatus::Cancelled);
        let also = Told::of(&streamed.end.as_ref().unwrap_err().clone());
        assert_eq!(also.code, told.code);
        assert_eq!(also.reason, told.reason);
    }
}

#[tokio::test]
async fn a_paused_turn_is_deleted_with_its_session() {
    for world in place::each(&scenario(), &Settings::default()).await {
        let mut sessions = world.sessions().await;
        let mut client = world.client().await;
        let paused = call::invoke(&mut client, asked("s", "weather"))
            .await
            .unwrap();
        let pending = paused.result.unwrap().pending_tool_calls;
        delete(&mut sessions, "s").await;
        let bring = pb::InvokeRequest {
            tool_results: pending.iter().map(crate::weather::result_of).collect(),
            ..asked("s", "")
        };
        let told = Told::of(&call::invoke(&mut client, bring).await.unwrap_err());
        assert_eq!(told.reason, pb::ErrorReason::CallNotPending);
    }
}
