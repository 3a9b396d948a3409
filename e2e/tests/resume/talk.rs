//! Frames of a live conversation, and what is answered to them.

use taiwa::v1::{self as pb, content_block::Block, converse_request::Frame, event::Payload};
use taiwa_e2e::{World, call::Conversation, told::Told};

/// Opens a session by name.
pub(crate) async fn open(world: &World, session_id: &str) -> Conversation {
    let setup = pb::SessionSetup {
        session_id: session_id.to_owned(),
        ..pb::SessionSetup::default()
    };
    open_with(world, setup).await
}

/// Opens a session, and reads that it is open.
pub(crate) async fn open_with(world: &World, setup: pb::SessionSetup) -> Conversation {
    let mut conversation = Conversation::open(&mut world.client().await).await;
    conversation.send(Frame::Setup(setup)).await;
    let ready = conversation.next().await.unwrap().unwrap();
    let is_ready = matches!(ready.payload, Some(Payload::SessionReady(_)));
    assert!(is_ready, "{ready:#?}");
    conversation
}

/// What is said to a frame.
enum Answer {
    Accepted(pb::FrameAccepted),
    Rejected(pb::FrameRejected),
}

async fn answer(conversation: &mut Conversation, id: &str) -> Answer {
    loop {
        let event = conversation.next().await.unwrap().unwrap();
        match event.payload {
            Some(Payload::FrameAccepted(it)) if it.frame_id == id => return Answer::Accepted(it),
            Some(Payload::FrameRejected(it)) if it.frame_id == id => return Answer::Rejected(it),
            _ => {}
        }
    }
}

/// Reads up to the receipt of a frame.
pub(crate) async fn receipt(conversation: &mut Conversation, id: &str) -> pb::FrameAccepted {
    match answer(conversation, id).await {
        Answer::Accepted(receipt) => receipt,
        Answer::Rejected(refusal) => panic!("refused: {refusal:#?}"),
    }
}

/// Reads up to the refusal of a frame.
pub(crate) async fn refusal(conversation: &mut Conversation, id: &str) -> Told {
    match answer(conversation, id).await {
        Answer::Accepted(receipt) => panic!("accepted: {receipt:#?}"),
        Answer::Rejected(refusal) => Told::of_turn(&refusal.error.unwrap()),
    }
}

/// The text of a turn's message.
pub(crate) fn words(result: &pb::TurnResult) -> String {
    let content = result.message.iter().flat_map(|message| &message.content);
    let texts = content.filter_map(|block| match &block.block {
        Some(Block::Text(text)) => Some(text.as_str()),
        _ => None,
    });
    texts.collect()
}
