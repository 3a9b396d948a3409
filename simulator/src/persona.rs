//! The default persona.

use crate::{
    reply::{Block, Chunks, Reply},
    script::split_words,
    wire::Request,
};

pub(crate) fn answer(request: &Request) -> Reply {
    let text = format!(
        "You said: {}. I am a simulator of Amazon Bedrock and have no model behind me.",
        request.prompt()
    );
    Reply {
        content: vec![Block::Text {
            chunks: Chunks {
                pieces: split_words(&text),
                repeat: 1,
            },
            citations: vec![],
        }],
        stop_reason: "end_turn".to_owned(),
        ..Reply::default()
    }
}
