//! Frames of a live conversation, what is answered to them, and what the model was told.

use serde_json::Value;
use taiwa::v1::{self as pb, converse_request::Frame, event::Payload};
use taiwa_e2e::{World, call::Conversation, told::Told};
use taiwa_simulator::Outcome;

/// A text block.
pub(crate) fn text(text: &str) -> pb::ContentBlock {
    pb::ContentBlock {
        block: Some(pb::content_block::Block::Text(text.to_owned())),
    }
}

/// An input of one text block, under a policy of its own.
pub(crate) fn input(words: &str, policy: pb::InputPolicy) -> pb::UserInput {
    pb::UserInput {
        content: vec![text(words)],
        input_policy: policy.into(),
        ..pb::UserInput::default()
    }
}

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

/// Reads up to the receipt of a frame.
pub(crate) async fn receipt(conversation: &mut Conversation, id: &str) -> pb::FrameAccepted {
    let is_it = |event: &pb::Event| match &event.payload {
        Some(Payload::FrameAccepted(receipt)) => receipt.frame_id == id,
        Some(Payload::FrameRejected(refusal)) if refusal.frame_id == id => {
            panic!("refused: {refusal:#?}")
        }
        _ => false,
    };
    let events = conversation.until(is_it).await;
    match events
        .into_iter()
        .next_back()
        .and_then(|event| event.payload)
    {
        Some(Payload::FrameAccepted(receipt)) => receipt,
        other => unreachable!("{other:?}"),
    }
}

/// Reads up to the refusal of a frame.
pub(crate) async fn refusal(conversation: &mut Conversation, id: &str) -> Told {
    let is_it = |event: &pb::Event| match &event.payload {
        Some(Payload::FrameRejected(refusal)) => refusal.frame_id == id,
        Some(Payload::FrameAccepted(receipt)) if receipt.frame_id == id => {
            panic!("accepted: {receipt:#?}")
        }
        _ => false,
    };
    let events = conversation.until(is_it).await;
    match events
        .into_iter()
        .next_back()
        .and_then(|event| event.payload)
    {
        Some(Payload::FrameRejected(refusal)) => Told::of_turn(&refusal.error.unwrap()),
        other => unreachable!("{other:?}"),
    }
}

/// Reads up to a piece of text.
pub(crate) async fn hear(conversation: &mut Conversation, words: &str) {
    let is_it = |event: &pb::Event| match &event.payload {
        Some(Payload::TextDelta(delta)) => delta.text == words,
        _ => false,
    };
    conversation.until(is_it).await;
}

/// Reads up to the end of a turn.
pub(crate) async fn end(conversation: &mut Conversation) -> pb::TurnResult {
    conversation.turn().await.result().clone()
}

/// The text of a turn's message.
pub(crate) fn words(result: &pb::TurnResult) -> String {
    let content = result.message.iter().flat_map(|message| &message.content);
    content
        .filter_map(|block| match &block.block {
            Some(pb::content_block::Block::Text(text)) => Some(text.as_str()),
            _ => None,
        })
        .collect()
}

/// The prompts that the model was sent, each as lines of role and content; none was refused.
pub(crate) fn told_to_model(world: &World) -> Vec<Vec<String>> {
    let entries = world.simulator.journal().entries();
    let prompts = entries.into_iter().map(|entry| {
        let refused = matches!(entry.outcome, Outcome::Refused(_));
        assert!(!refused, "the model was sent what it refuses: {entry:#?}");
        let messages = entry.request["messages"].as_array().unwrap();
        messages.iter().map(line).collect()
    });
    prompts.collect()
}

/// A message on one line: texts as they are, calls and results by their ids.
fn line(message: &Value) -> String {
    let blocks = message["content"].as_array().unwrap().iter().map(|block| {
        if let Some(text) = block["text"].as_str() {
            text.to_owned()
        } else if let Some(call) = block.get("toolUse") {
            format!("call {}", call["toolUseId"].as_str().unwrap())
        } else if let Some(result) = block.get("toolResult") {
            let status = result["status"].as_str().unwrap_or("success");
            let text = result["content"][0]["text"].as_str().unwrap_or_default();
            format!("{status} {}: {text}", result["toolUseId"].as_str().unwrap())
        } else {
            block.to_string()
        }
    });
    let blocks: Vec<_> = blocks.collect();
    format!(
        "{}: {}",
        message["role"].as_str().unwrap(),
        blocks.join(" | ")
    )
}
