//! Connections that are cut within a frame, at every byte of what the server sends.

use futures_util::{StreamExt as _, stream};
use taiwa::v1 as pb;
use taiwa_e2e::{Settings, World, call};
use tonic::Status;

use crate::{
    cutter::{Blade, Cutter},
    place,
    seen::{Seen, after, check_alike, resumed_in},
    talker::{Stop, Talker},
};

const SCENARIO: &str = r#"
[[reply]]
content = [{ reasoning = { text = "Hm.", signature = "s" } }, { text = ["It is ", "so."] }]
"#;

/// Connections that are cut at the same time.
const AT_ONCE: usize = 16;

/// How much longer a run may be than another, for times are of different lengths.
const SPREAD: u64 = 32;

#[tokio::test]
async fn a_stream_that_is_cut_at_any_byte_goes_on_where_it_was() {
    let world = place::in_memory(SCENARIO, Settings::default()).await;
    let (uncut, bytes) = read(&world, "uncut", u64::MAX).await;
    let cuts = stream::iter(0..bytes + SPREAD).map(async |at| {
        let (seen, _) = read(&world, &format!("stream-{at}"), at).await;
        check_alike(seen.events(), uncut.events());
    });
    let cuts = cuts.buffer_unordered(AT_ONCE).count().await;
    println!("{cuts} connections of InvokeStream were cut");
    // Each turn has called the model once.
    assert_eq!(world.simulator.journal().entries().len(), cuts + 1);
}

#[tokio::test]
async fn a_conversation_that_is_cut_at_any_byte_goes_on_where_it_was() {
    let world = place::in_memory(SCENARIO, Settings::default()).await;
    let bytes = talk(&world, "uncut", u64::MAX).await;
    let cuts = stream::iter(0..bytes + SPREAD).map(async |at| {
        talk(&world, &format!("talk-{at}"), at).await;
    });
    let cuts = cuts.buffer_unordered(AT_ONCE).count().await;
    println!("{cuts} connections of Converse were cut");
    assert_eq!(world.simulator.journal().entries().len(), cuts + 1);
}

fn blade(bytes: u64) -> Blade {
    if bytes.is_multiple_of(2) {
        Blade::Reset
    } else {
        Blade::Close
    }
}

/// Runs a turn over a connection that is cut after so many bytes, and reads the rest over another.
async fn read(world: &World, session_id: &str, bytes: u64) -> (Seen, u64) {
    let cutter = Cutter::after(world, bytes, blade(bytes)).await;
    let mut seen = Seen::default();
    let request = pb::InvokeRequest {
        session_id: session_id.to_owned(),
        request_id: session_id.to_owned(),
        stream: Some(pb::StreamOptions {
            on_disconnect: pb::DisconnectPolicy::Continue.into(),
            ..pb::StreamOptions::default()
        }),
        ..call::prompt("Is it?")
    };
    let was_cut = read_by(&cutter, request.clone(), &mut seen).await.is_err();
    let mut client = world.client().await;
    if was_cut && seen.cursor() == 0 {
        let again = call::invoke_stream(&mut client, request).await;
        again.end.unwrap();
        again.events.into_iter().for_each(|event| seen.take(event));
    } else if was_cut {
        let resumption = pb::ResumeStreamRequest {
            turn_id: seen.events()[0].turn_id.clone(),
            ..after(session_id, seen.cursor())
        };
        let mut rest = call::resume_stream(&mut client, resumption).await;
        rest.end.unwrap();
        let resumed = resumed_in(&rest.events.remove(0));
        assert_eq!(resumed.missing_events, 0);
        rest.events.into_iter().for_each(|event| seen.take(event));
    }
    assert!(call::is_end(seen.events().last().unwrap()));
    seen.check_whole(&mut client, session_id).await;
    (seen, cutter.passed().await)
}

async fn read_by(
    cutter: &Cutter,
    request: pb::InvokeRequest,
    seen: &mut Seen,
) -> Result<(), Status> {
    let client = cutter.client().await;
    let mut client = client.map_err(|error| Status::from_error(error.into()))?;
    let mut stream = client.invoke_stream(request).await?.into_inner();
    while let Some(event) = call::next_of(&mut stream).await? {
        seen.take(event);
    }
    Ok(())
}

/// Holds a conversation over a connection that is cut after so many bytes, and goes on over
/// another; tells how many had passed.
async fn talk(world: &World, session_id: &str, bytes: u64) -> u64 {
    let cutter = Cutter::after(world, bytes, blade(bytes)).await;
    let mut talker = Talker::new(session_id, pb::StreamOptions::default());
    talker.say("Is it?");
    // Whichever way it fails, the connection was cut.
    let _ = talk_by(&cutter, &mut talker).await;
    let passed = cutter.passed().await;
    let mut client = world.client().await;
    loop {
        let mut conversation = talker.attach(&mut client).await.unwrap();
        match talker.read(&mut conversation, usize::MAX).await.unwrap() {
            Stop::Answered => {
                talker.finish(conversation).await;
                break;
            }
            // The server came to the frames of the connection that was cut only now.
            Stop::TakenOver => {}
            Stop::Enough => unreachable!("no number is enough"),
        }
    }
    talker.seen.check_whole(&mut client, session_id).await;
    passed
}

async fn talk_by(cutter: &Cutter, talker: &mut Talker) -> Result<(), Status> {
    let client = cutter.client().await;
    let mut client = client.map_err(|error| Status::from_error(error.into()))?;
    let mut conversation = talker.attach(&mut client).await?;
    talker.read(&mut conversation, usize::MAX).await?;
    Ok(())
}
