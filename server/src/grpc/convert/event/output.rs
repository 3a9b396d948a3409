//! What a model had said of a step, from the events that told it.

use std::collections::BTreeMap;

use pb::{content_block::Block as WireBlock, event::Payload as Wire};
use taiwa::v1 as pb;
use taiwa_core::{
    Block, Limits, ToolCall,
    message::{Citation, CitedText},
    tool::Executor,
};

use crate::grpc::convert::{content, violations::Violations};

/// The blocks of a step that was cut: whole ones, and open text as far as it came.
///
/// Reads what this server wrote. Open reasoning, tool calls and images are nothing without their
/// rest, and are left out.
#[derive(Debug, Default)]
pub struct Output {
    blocks: BTreeMap<i32, Piece>,
}

#[derive(Debug)]
enum Piece {
    Open {
        text: String,
        citations: Vec<Citation>,
    },
    Done(Option<Block>),
}

impl Output {
    /// Takes the next event of the step.
    pub fn add(&mut self, event: pb::Event, limits: &Limits) {
        let index = event.block_index;
        match event.payload {
            Some(Wire::TextDelta(delta)) => {
                if let Piece::Open { text, .. } = self.open(index) {
                    text.push_str(&delta.text);
                }
            }
            Some(Wire::CitationDelta(delta)) => {
                let citation = delta.citation.and_then(read_citation);
                if let Piece::Open { citations, .. } = self.open(index) {
                    citations.extend(citation);
                }
            }
            Some(Wire::BlockCompleted(completed)) => {
                let block = completed.block.and_then(|block| read_block(block, limits));
                self.blocks.insert(index, Piece::Done(block));
            }
            Some(_) | None => {}
        }
    }

    /// Gives the blocks, in order.
    pub fn into_blocks(self) -> Vec<Block> {
        let blocks = self.blocks.into_values().filter_map(|piece| match piece {
            Piece::Done(block) => block,
            Piece::Open { text, .. } if text.is_empty() => None,
            Piece::Open { text, citations } if citations.is_empty() => Some(Block::Text(text)),
            Piece::Open { text, citations } => Some(Block::CitedText(CitedText {
                texts: vec![text],
                citations,
            })),
        });
        blocks.collect()
    }

    fn open(&mut self, index: i32) -> &mut Piece {
        self.blocks.entry(index).or_insert_with(|| Piece::Open {
            text: String::new(),
            citations: Vec::new(),
        })
    }
}

fn read_citation(wire: pb::Citation) -> Option<Citation> {
    content::read_citation(wire, &mut Violations::default())
}

fn read_block(wire: pb::ContentBlock, limits: &Limits) -> Option<Block> {
    if let Some(WireBlock::ToolCall(call)) = wire.block {
        // As the model wrote it, which may be no JSON; the call is answered so.
        let is_provider_run = call.executor == i32::from(pb::ToolExecutor::Provider);
        return Some(Block::ToolCall(ToolCall {
            id: call.tool_call_id,
            name: call.tool_name,
            input_json: call.input_json,
            executor: if is_provider_run {
                Executor::Provider
            } else {
                Executor::Client
            },
            expires: None,
            idempotency_key: call.idempotency_key,
        }));
    }
    let place = content::Place::Assistant;
    let mut violations = Violations::default();
    content::blocks("block", vec![wire], place, limits, &mut violations).pop()
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use taiwa_core::{
        Event, Payload,
        event::{BlockKind, ReasoningDelta},
        message::Reasoning,
        tool::{ToolResult, ToolResultBlock},
    };

    use super::*;
    use crate::grpc::convert::event::Encoder;

    #[track_caller]
    fn check(told: Vec<(u32, Payload)>, expected: &[Block]) {
        let encoder = Encoder::new("s".into(), "a".into());
        let mut output = Output::default();
        for (block_index, payload) in told {
            let event = Event {
                sequence: 1,
                turn_id: Some("turn".into()),
                step_index: 0,
                block_index,
                payload,
            };
            let event = encoder.event(event, SystemTime::UNIX_EPOCH);
            output.add(event, &Limits::default());
        }
        assert_eq!(output.into_blocks(), expected);
    }

    fn call(input_json: &str, executor: Executor) -> Block {
        Block::ToolCall(ToolCall {
            id: "c".to_owned(),
            name: "clock".to_owned(),
            input_json: input_json.to_owned(),
            executor,
            expires: None,
            idempotency_key: "turn/0/c".to_owned(),
        })
    }

    #[test]
    fn whole_blocks_are_as_they_were_and_open_text_goes_as_far_as_it_came() {
        let blocks = [
            Block::Reasoning(Reasoning::Text {
                text: "hm".to_owned(),
                signature: Some("sig".to_owned()),
            }),
            call("{}", Executor::Provider),
            Block::ToolResult(ToolResult {
                call_id: "c".to_owned(),
                content: vec![ToolResultBlock::Text("noon".to_owned())],
                is_error: false,
                kind: "kind".to_owned(),
            }),
            call("{\"half", Executor::Client),
            Block::Text("The time".to_owned()),
        ];
        let mut told: Vec<_> = (0..)
            .zip(&blocks[..4])
            .map(|(index, block)| (index, Payload::BlockCompleted(block.clone())))
            .collect();
        told.push((4, Payload::BlockStarted(BlockKind::Text)));
        told.push((4, Payload::TextDelta("The ".to_owned())));
        told.push((4, Payload::TextDelta("time".to_owned())));
        check(told, &blocks);
    }

    #[test]
    fn open_reasoning_is_left_out_and_open_text_keeps_its_citations() {
        let citation = Citation {
            title: "Clocks".to_owned(),
            ..Citation::default()
        };
        let thought = ReasoningDelta::Text("hm".to_owned());
        check(
            vec![
                (0, Payload::ReasoningDelta(thought)),
                (1, Payload::TextDelta("noon".to_owned())),
                (1, Payload::CitationDelta(citation.clone())),
            ],
            &[Block::CitedText(CitedText {
                texts: vec!["noon".to_owned()],
                citations: vec![citation],
            })],
        );
    }
}
