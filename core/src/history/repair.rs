//! A history that was kept and is not as Bedrock wants it, made so.

use std::collections::BTreeSet;

use super::{is_blank, is_sendable, is_void};
use crate::{
    message::{Block, Message, Role},
    tool::ToolResult,
};

/// What was wrong with a history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Repair {
    /// It did not begin with the user; what stood before the user's first words was left out.
    Beginning,
    /// Neighbours were of one role; they became one message.
    Neighbours,
    /// Blocks or whole messages could not be sent; they were left out.
    Blocks,
    /// Tool calls had no result; they got one that says that it is not known.
    Calls,
    /// Tool results had no call, and were left out; or they stood in another order than their calls.
    Results,
}

/// What a call is answered whose result nobody knows.
pub(crate) const NOT_KNOWN: &str = "not known: the server stopped before the result came";

/// Makes a history such as [`History`](super::History) makes by itself; tells what was wrong.
///
/// `is_open` says that the calls of the last message may want their results still.
pub(super) fn repaired(messages: Vec<Message>, is_open: bool) -> (Vec<Message>, BTreeSet<Repair>) {
    let mut repairing = Repairing::default();
    for message in messages {
        repairing.add(message);
    }
    if !is_open {
        repairing.answer_calls();
    }
    (repairing.sound, repairing.repairs)
}

#[derive(Default)]
struct Repairing {
    sound: Vec<Message>,
    repairs: BTreeSet<Repair>,
}

impl Repairing {
    fn add(&mut self, mut message: Message) {
        if message.role == Role::Assistant && self.sound.is_empty() {
            self.repairs.insert(Repair::Beginning);
            return;
        }
        let blocks = message.content.len();
        if message.role == Role::Assistant {
            let all = message.content.clone();
            message.content.retain(|block| is_sendable(block, &all));
            if message.content.iter().all(says_nothing) {
                message.content.clear();
            }
        } else {
            message.content.retain(|block| !is_blank(block));
        }
        if message.content.len() < blocks || blocks == 0 {
            self.repairs.insert(Repair::Blocks);
        }
        if message.role == Role::User {
            message.content = self.matched(message.content);
        } else if !message.content.is_empty() {
            self.answer_calls();
        }
        if message.content.is_empty() {
            return;
        }
        match self.sound.last_mut() {
            Some(last) if last.role == message.role => {
                self.repairs.insert(Repair::Neighbours);
                if last.role == Role::Assistant {
                    message.content.retain(|block| !is_repeated(block, last));
                }
                last.content.extend(message.content);
                last.origin = message.origin.or(last.origin.take());
            }
            Some(_) | None => self.sound.push(message),
        }
    }

    /// Puts results in the order of their calls, before all else; answers calls without one.
    fn matched(&mut self, content: Vec<Block>) -> Vec<Block> {
        let (mut results, rest): (Vec<_>, Vec<_>) = (0..)
            .zip(content)
            .partition(|(_, block)| matches!(block, Block::ToolResult(_)));
        let mut found_before = 0;
        let last = self.sound.last();
        let calls = last.filter(|last| last.role == Role::Assistant);
        let calls: Vec<String> = calls
            .into_iter()
            .flat_map(|last| last.open_calls().map(|call| call.id.clone()))
            .collect();
        let mut matched = Vec::with_capacity(calls.len() + rest.len());
        for call_id in calls {
            let found = results.iter().position(
                |(_, block)| matches!(block, Block::ToolResult(result) if result.call_id == call_id),
            );
            matched.push(match found {
                Some(index) => {
                    let (stood_at, result) = results.remove(index);
                    if stood_at != found_before {
                        self.repairs.insert(Repair::Results);
                    }
                    found_before += 1;
                    result
                }
                None => {
                    self.repairs.insert(Repair::Calls);
                    Block::ToolResult(ToolResult::error(call_id, NOT_KNOWN))
                }
            });
        }
        if !results.is_empty() {
            self.repairs.insert(Repair::Results);
        }
        matched.extend(rest.into_iter().map(|(_, block)| block));
        matched
    }

    /// Answers the calls of the message that stands last.
    fn answer_calls(&mut self) {
        let is_open = self
            .sound
            .last()
            .is_some_and(|last| last.role == Role::Assistant && last.open_calls().next().is_some());
        if is_open {
            let content = self.matched(Vec::new());
            self.sound.push(Message::user(content));
        }
    }
}

/// True for a call, or a provider-run tool's result, whose call's id the message has already.
fn is_repeated(block: &Block, message: &Message) -> bool {
    let call_id = |block: &Block| match block {
        Block::ToolCall(call) => Some(call.id.clone()),
        Block::ToolResult(result) => Some(result.call_id.clone()),
        Block::Text(_)
        | Block::Image(_)
        | Block::Document(_)
        | Block::Video(_)
        | Block::Audio(_)
        | Block::Reasoning(_)
        | Block::CitedText(_)
        | Block::SearchResult(_)
        | Block::GuardContent(_)
        | Block::CachePoint(_)
        | Block::ToolAddition(_)
        | Block::ToolRemoval(_) => None,
    };
    let id = call_id(block);
    id.is_some() && message.content.iter().any(|known| call_id(known) == id)
}

/// True for what makes no answer by itself.
fn says_nothing(block: &Block) -> bool {
    is_void(block) || matches!(block, Block::Reasoning(_))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        message::Reasoning,
        tool::{Executor, ToolCall},
    };

    fn message(role: Role, content: Vec<Block>) -> Message {
        Message {
            role,
            content,
            origin: None,
        }
    }

    fn text(text: &str) -> Block {
        Block::Text(text.to_owned())
    }

    fn call(id: &str) -> Block {
        Block::ToolCall(ToolCall {
            id: id.to_owned(),
            name: "clock".to_owned(),
            input_json: "{}".to_owned(),
            executor: Executor::Client,
            expires: None,
            idempotency_key: String::new(),
        })
    }

    fn result(id: &str) -> Block {
        Block::ToolResult(ToolResult {
            is_error: false,
            ..ToolResult::error(id, "12:00")
        })
    }

    fn unknown(id: &str) -> Block {
        Block::ToolResult(ToolResult::error(id, NOT_KNOWN))
    }

    #[track_caller]
    fn check(given: Vec<Message>, sound: Vec<Message>, repairs: &[Repair]) {
        let (found, told) = repaired(given, false);
        assert_eq!(found, sound);
        assert_eq!(told.into_iter().collect::<Vec<_>>(), repairs);
        let (again, told) = repaired(found.clone(), false);
        assert_eq!((again, told.len()), (found, 0));
    }

    #[test]
    fn a_sound_history_stays_as_it_is() {
        let sound = vec![
            message(Role::User, vec![text("time?")]),
            message(
                Role::Assistant,
                vec![text("a moment"), call("a"), call("b")],
            ),
            message(Role::User, vec![result("a"), result("b"), text("and?")]),
            message(Role::Assistant, vec![text("noon")]),
        ];
        check(sound.clone(), sound, &[]);
    }

    #[test]
    fn open_calls_of_the_last_message_are_answered_unless_somebody_waits_for_them() {
        let open = vec![
            message(Role::User, vec![text("time?")]),
            message(Role::Assistant, vec![call("a")]),
        ];
        assert_eq!(
            repaired(open.clone(), true),
            (open.clone(), BTreeSet::new())
        );
        let mut answered = open.clone();
        answered.push(message(Role::User, vec![unknown("a")]));
        check(open, answered, &[Repair::Calls]);
    }

    #[test]
    fn a_call_without_result_in_the_middle_is_answered_and_a_stray_result_goes() {
        check(
            vec![
                message(Role::User, vec![text("time?"), result("x")]),
                message(Role::Assistant, vec![call("a"), call("b")]),
                message(Role::User, vec![text("now"), result("b"), result("b")]),
                message(Role::Assistant, vec![call("c")]),
                message(Role::Assistant, vec![text("noon")]),
            ],
            vec![
                message(Role::User, vec![text("time?")]),
                message(Role::Assistant, vec![call("a"), call("b")]),
                message(Role::User, vec![unknown("a"), result("b"), text("now")]),
                message(Role::Assistant, vec![call("c")]),
                message(Role::User, vec![unknown("c")]),
                message(Role::Assistant, vec![text("noon")]),
            ],
            &[Repair::Calls, Repair::Results],
        );
    }

    #[test]
    fn results_are_put_in_the_order_of_their_calls_before_all_else() {
        check(
            vec![
                message(Role::User, vec![text("time?")]),
                message(Role::Assistant, vec![call("a"), call("b")]),
                message(Role::User, vec![result("b"), text("and?"), result("a")]),
            ],
            vec![
                message(Role::User, vec![text("time?")]),
                message(Role::Assistant, vec![call("a"), call("b")]),
                message(Role::User, vec![result("a"), result("b"), text("and?")]),
            ],
            &[Repair::Results],
        );
    }

    #[test]
    fn what_cannot_be_sent_goes_and_neighbours_become_one() {
        let thought = Block::Reasoning(Reasoning::Text {
            text: "hm".to_owned(),
            signature: None,
        });
        check(
            vec![
                message(Role::Assistant, vec![text("hello?")]),
                message(Role::User, vec![text("a"), text(" ")]),
                message(Role::User, vec![text("b")]),
                message(Role::Assistant, vec![thought]),
                message(Role::User, vec![]),
            ],
            vec![message(Role::User, vec![text("a"), text("b")])],
            &[Repair::Beginning, Repair::Neighbours, Repair::Blocks],
        );
    }

    #[test]
    fn an_answer_that_stands_twice_has_each_of_its_calls_once() {
        let mut provider_call = call("p");
        if let Block::ToolCall(call) = &mut provider_call {
            call.executor = Executor::Provider;
        }
        let answer = message(
            Role::Assistant,
            vec![provider_call, result("p"), text("noon")],
        );
        let mut joined = answer.clone();
        joined.content.push(text("noon"));
        let user = message(Role::User, vec![text("time?")]);
        check(
            vec![user.clone(), answer.clone(), answer],
            vec![user, joined],
            &[Repair::Neighbours],
        );
    }

    #[test]
    fn a_message_of_nothing_but_stray_results_goes() {
        check(
            vec![
                message(Role::User, vec![text("a")]),
                message(Role::Assistant, vec![text("b")]),
                message(Role::User, vec![result("x")]),
            ],
            vec![
                message(Role::User, vec![text("a")]),
                message(Role::Assistant, vec![text("b")]),
            ],
            &[Repair::Results],
        );
    }
}
