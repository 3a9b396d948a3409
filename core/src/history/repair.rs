//! A history that was kept and is not as Bedrock wants it, made so.

use std::collections::BTreeSet;

use super::{are_one, is_blank, is_sendable, is_void, join};
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
    /// Tool results had no call, and were left out; or they stood behind other content.
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
        match message.role {
            Role::User => message.content = self.matched(message.content),
            Role::Assistant if !message.content.is_empty() => self.answer_calls(),
            // Instructions may stand between calls and their results.
            Role::Assistant | Role::System => {}
        }
        if message.content.is_empty() {
            return;
        }
        match self.sound.last_mut() {
            Some(last) if are_one(last, &message) => {
                self.repairs.insert(Repair::Neighbours);
                if last.role == Role::Assistant {
                    message.content.retain(|block| !is_repeated(block, last));
                }
                join(last, &message);
            }
            Some(_) | None => self.sound.push(message),
        }
    }

    /// Puts results that have a call before all else; answers calls without one.
    fn matched(&mut self, content: Vec<Block>) -> Vec<Block> {
        let mut calls = self.open_calls();
        let mut results = Vec::with_capacity(content.len());
        let mut rest = Vec::new();
        for block in content {
            let Block::ToolResult(result) = &block else {
                rest.push(block);
                continue;
            };
            if !rest.is_empty() {
                self.repairs.insert(Repair::Results);
            }
            match calls.iter().position(|call_id| *call_id == result.call_id) {
                Some(index) => {
                    calls.remove(index);
                    results.push(block);
                }
                None => {
                    self.repairs.insert(Repair::Results);
                }
            }
        }
        if !calls.is_empty() {
            self.repairs.insert(Repair::Calls);
        }
        let unknown = calls
            .into_iter()
            .map(|call_id| ToolResult::error(call_id, NOT_KNOWN));
        results.extend(unknown.map(Block::ToolResult));
        results.extend(rest);
        results
    }

    /// Answers the calls that stand last.
    fn answer_calls(&mut self) {
        if !self.open_calls().is_empty() {
            let content = self.matched(Vec::new());
            self.sound.push(Message::user(content));
        }
    }

    /// Ids of the calls that the next message of the user has to answer.
    fn open_calls(&self) -> Vec<String> {
        let mut spoken = self.sound.iter().rev();
        let last = spoken.find(|message| message.role != Role::System);
        let last = last.filter(|last| last.role == Role::Assistant);
        let calls = last.into_iter().flat_map(Message::open_calls);
        calls.map(|call| call.id.clone()).collect()
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
        message::{Marking, Reasoning},
        tool::{Executor, ToolCall},
    };

    fn message(role: Role, content: Vec<Block>) -> Message {
        Message {
            role,
            content,
            origin: None,
            marking: Marking::Unmarked,
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
    fn instructions_may_stand_between_calls_and_their_results() {
        let sound = vec![
            message(Role::User, vec![text("time?")]),
            message(Role::Assistant, vec![call("a"), call("b")]),
            message(Role::System, vec![text("be short")]),
            message(Role::User, vec![result("b"), result("a")]),
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
                message(Role::User, vec![result("b"), unknown("a"), text("now")]),
                message(Role::Assistant, vec![call("c")]),
                message(Role::User, vec![unknown("c")]),
                message(Role::Assistant, vec![text("noon")]),
            ],
            &[Repair::Calls, Repair::Results],
        );
    }

    #[test]
    fn results_are_put_before_all_else() {
        check(
            vec![
                message(Role::User, vec![text("time?")]),
                message(Role::Assistant, vec![call("a"), call("b")]),
                message(Role::User, vec![result("b"), text("and?"), result("a")]),
            ],
            vec![
                message(Role::User, vec![text("time?")]),
                message(Role::Assistant, vec![call("a"), call("b")]),
                message(Role::User, vec![result("b"), result("a"), text("and?")]),
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
