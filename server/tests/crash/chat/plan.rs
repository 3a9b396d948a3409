//! What the client of a conversation says next.

use rand::{Rng as _, seq::IndexedRandom as _};
use taiwa::v1::{self as pb, converse_request::Frame};

use super::{Chat, Message};
use crate::{record::Input, tools};

const POLICIES: [pb::InputPolicy; 6] = [
    pb::InputPolicy::Unspecified,
    pb::InputPolicy::Queue,
    pb::InputPolicy::Interrupt,
    pb::InputPolicy::Reject,
    pb::InputPolicy::Steer,
    pb::InputPolicy::Replace,
];

impl Chat {
    pub(super) fn next_message(&mut self) -> Message {
        let frame_id = format!("frame-{}", self.said);
        match self.rng.random_range(0..20) {
            0..7 => self.prompt(frame_id),
            7..13 => self.parts(frame_id, 0),
            13..16 => {
                let before = self.rng.random_range(1..4);
                self.parts(frame_id, before)
            }
            16 => self.context(frame_id),
            17 => self.update(&frame_id),
            _ => Message::of(
                &frame_id,
                Frame::Interrupt(pb::Interrupt {
                    turn_id: String::new(),
                    discard_output: self.rng.random_bool(0.5),
                }),
            ),
        }
    }

    fn prompt(&mut self, frame_id: String) -> Message {
        let text = self.words(&frame_id, false, pb::InputPolicy::Unspecified);
        Message::of(&frame_id, Frame::Prompt(text))
    }

    /// A message in several frames, of which the last alone is named in the record.
    fn parts(&mut self, frame_id: String, before: usize) -> Message {
        let policy = *POLICIES.choose(&mut self.rng).unwrap();
        let text = self.words(&frame_id, false, policy);
        let part = |text: String, more_follows| {
            Frame::Input(pb::UserInput {
                content: vec![block(text)],
                more_follows,
                context_only: false,
                input_policy: policy.into(),
            })
        };
        let parts = (0..before).map(|at| pb::ConverseRequest {
            frame_id: format!("{frame_id}-{at}"),
            frame: Some(part(format!("part {at} of {frame_id}, "), true)),
        });
        let last = pb::ConverseRequest {
            frame_id: frame_id.clone(),
            frame: Some(part(text, false)),
        };
        Message {
            frames: parts.chain([last]).collect(),
        }
    }

    fn context(&mut self, frame_id: String) -> Message {
        let text = self.words(&frame_id, true, pb::InputPolicy::Unspecified);
        let input = pb::UserInput {
            content: vec![block(text)],
            context_only: true,
            ..pb::UserInput::default()
        };
        Message::of(&frame_id, Frame::Input(input))
    }

    fn update(&mut self, frame_id: &str) -> Message {
        let system = format!("settings of {frame_id}");
        self.record
            .updates
            .insert(frame_id.to_owned(), system.clone());
        let update = pb::SessionUpdate {
            options: Some(pb::TurnOptions {
                system,
                ..pb::TurnOptions::default()
            }),
            replace_client_tools: false,
        };
        Message::of(frame_id, Frame::Update(update))
    }

    /// Makes a text, and notes what will be asked of it.
    fn words(&mut self, frame_id: &str, context_only: bool, policy: pb::InputPolicy) -> String {
        let token = format!("[{}.{}]", self.name, self.said);
        let what = match self.rng.random_range(0..10) {
            0..3 => format!("use {}", tools::NAMES[0]),
            3 => format!("use {} and {}", tools::NAMES[0], tools::NAMES[1]),
            4..7 => "say something long".to_owned(),
            _ => "say something".to_owned(),
        };
        let input = Input {
            token: token.clone(),
            context_only,
            policy,
        };
        self.record.inputs.insert(frame_id.to_owned(), input);
        format!("{what} {token}. ")
    }
}

fn block(text: String) -> pb::ContentBlock {
    pb::ContentBlock {
        block: Some(pb::content_block::Block::Text(text)),
    }
}
