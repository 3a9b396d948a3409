//! Histories that were kept and are not as Bedrock wants them.

use std::{collections::BTreeSet, sync::Arc};

use expect_test::expect;
use proptest::{collection::vec, prelude::*, sample::select};
use taiwa_core::{
    Block, Message, Role, Session, ToolCall, ToolResult,
    message::{Marking, Reasoning},
    session::Setup,
    tool::Executor,
};

use crate::{
    bedrock,
    script::{Player, agent, check, setup, start_of_time},
    store::Store,
};

#[test]
fn that_lost_an_answer_joins_its_neighbours() {
    check(
        "
            user: one | model: a | done | user: two | model: b | done | damage: drop 1 | crash | user: three
        ",
        expect![[r#"
            ! call model 1: user("one")
            turn_s_1 started
            step 0
            text "a"
            ! finish model 1
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_1 ended: Completed, EndTurn, assistant("a"), 10+5 tokens, 1 model, 0 tool
            ! call model 2: user("one") assistant("a") user("two")
            turn_s_2 started
            step 0
            text "b"
            ! finish model 2
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_2 ended: Completed, EndTurn, assistant("b"), 10+5 tokens, 1 model, 0 tool
            ? restored, and repaired: Neighbours
            ! call model 3: user("one", "two") assistant("b") user("three")
            turn_s_3 started
            step 0
            history: user("one", "two") assistant("b") user("three")
        "#]],
    );
}

#[test]
fn that_begins_with_the_answer_loses_it() {
    check(
        "
            user: one | model: a | done | user: two | model: b | done | damage: drop 0 | crash | user: three
        ",
        expect![[r#"
            ! call model 1: user("one")
            turn_s_1 started
            step 0
            text "a"
            ! finish model 1
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_1 ended: Completed, EndTurn, assistant("a"), 10+5 tokens, 1 model, 0 tool
            ! call model 2: user("one") assistant("a") user("two")
            turn_s_2 started
            step 0
            text "b"
            ! finish model 2
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_2 ended: Completed, EndTurn, assistant("b"), 10+5 tokens, 1 model, 0 tool
            ? restored, and repaired: Beginning
            ! call model 3: user("two") assistant("b") user("three")
            turn_s_3 started
            step 0
            history: user("two") assistant("b") user("three")
        "#]],
    );
}

#[test]
fn with_a_message_twice_is_made_one() {
    check(
        "user: one | model: a | done | damage: double 0 | crash | user: two | crash",
        expect![[r#"
            ! call model 1: user("one")
            turn_s_1 started
            step 0
            text "a"
            ! finish model 1
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_1 ended: Completed, EndTurn, assistant("a"), 10+5 tokens, 1 model, 0 tool
            ? restored, and repaired: Neighbours
            ! call model 2: user("one", "one") assistant("a") user("two")
            turn_s_2 started
            step 0
            ? restored
            turn_s_2 ended: Failed, Incomplete, about 31+0 tokens, 1 model, 0 tool, ShuttingDown (the server stopped, or lost its store, before the turn ended)
            history: user("one", "one") assistant("a") user("two")
        "#]],
    );
}

#[test]
fn that_lost_a_tools_result_says_that_it_is_not_known() {
    check(
        "
            user: one | call: t1 clock {} | done: tool_use | result: t1 noon | model: a | done | damage: drop 2 | crash
            user: two
        ",
        expect![[r#"
            ! call model 1: user("one")
            turn_s_1 started
            step 0
            input of t1: {}
            block 0 done: call t1 clock {}
            ! finish model 1
            step done: ToolUse, 10+5 tokens, 1 model, 0 tool
            call t1 clock {} as turn_s_1/0/t1
            ! call model 2: user("one") assistant(call t1 clock {}) user(result t1 "noon")
            usage so far: 10+5 tokens, 1 model, 1 tool
            step 1
            text "a"
            ! finish model 2
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_1 ended: Completed, EndTurn, assistant("a"), 20+10 tokens, 2 model, 1 tool
            ? restored, and repaired: Calls
            ! call model 3: user("one") assistant(call t1 clock {}) user(error t1 "not known: the server stopped before the result came") assistant("a") user("two")
            turn_s_2 started
            step 0
            history: user("one") assistant(call t1 clock {}) user(error t1 "not known: the server stopped before the result came") assistant("a") user("two")
        "#]],
    );
}

#[test]
fn that_lost_a_tools_call_loses_its_result() {
    check(
        "
            user: one | call: t1 clock {} | done: tool_use | result: t1 noon | model: a | done | damage: drop 1 | crash
            user: two
        ",
        expect![[r#"
            ! call model 1: user("one")
            turn_s_1 started
            step 0
            input of t1: {}
            block 0 done: call t1 clock {}
            ! finish model 1
            step done: ToolUse, 10+5 tokens, 1 model, 0 tool
            call t1 clock {} as turn_s_1/0/t1
            ! call model 2: user("one") assistant(call t1 clock {}) user(result t1 "noon")
            usage so far: 10+5 tokens, 1 model, 1 tool
            step 1
            text "a"
            ! finish model 2
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_1 ended: Completed, EndTurn, assistant("a"), 20+10 tokens, 2 model, 1 tool
            ? restored, and repaired: Results
            ! call model 3: user("one") assistant("a") user("two")
            turn_s_2 started
            step 0
            history: user("one") assistant("a") user("two")
        "#]],
    );
}

#[test]
fn with_a_blank_message_loses_it() {
    check(
        "
            user: one | model: a | done | user: two | model: b | done | damage: blank 3 | crash | user: three
        ",
        expect![[r#"
            ! call model 1: user("one")
            turn_s_1 started
            step 0
            text "a"
            ! finish model 1
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_1 ended: Completed, EndTurn, assistant("a"), 10+5 tokens, 1 model, 0 tool
            ! call model 2: user("one") assistant("a") user("two")
            turn_s_2 started
            step 0
            text "b"
            ! finish model 2
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_2 ended: Completed, EndTurn, assistant("b"), 10+5 tokens, 1 model, 0 tool
            ? restored, and repaired: Blocks
            ! call model 3: user("one") assistant("a") user("two", "three")
            turn_s_3 started
            step 0
            history: user("one") assistant("a") user("two", "three")
        "#]],
    );
}

#[test]
fn of_a_turn_that_lost_its_call_ends_the_turn() {
    check(
        "
            user: one | model: a | done | user: two | call: t1 clock {} | done: tool_use | damage: drop 3 | crash
            result#r: t1 noon | model: b | done
        ",
        expect![[r#"
            ! call model 1: user("one")
            turn_s_1 started
            step 0
            text "a"
            ! finish model 1
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_1 ended: Completed, EndTurn, assistant("a"), 10+5 tokens, 1 model, 0 tool
            ! call model 2: user("one") assistant("a") user("two")
            turn_s_2 started
            step 0
            input of t1: {}
            block 0 done: call t1 clock {}
            ! finish model 2
            step done: ToolUse, 10+5 tokens, 1 model, 0 tool
            call t1 clock {} as turn_s_2/0/t1
            ? restored
            calls cancelled: t1
            turn_s_2 ended: Failed, Incomplete, assistant(call t1 clock {}), 10+5 tokens, 1 model, 1 tool, ShuttingDown (the server stopped, or lost its store, before the turn ended)
            frame r rejected: CallNotPending (no tool call with this id waits for a result)
            history: user("one") assistant("a") user("two")
        "#]],
    );
}

#[test]
fn of_a_paused_turn_that_lost_its_beginning_is_sound_after_a_replace() {
    check(
        "
            user: one | model: a | done | user: two | call: t1 clock {} | done: tool_use | damage: drop 0 | crash
            replace: three | model: b | done
        ",
        expect![[r#"
            ! call model 1: user("one")
            turn_s_1 started
            step 0
            text "a"
            ! finish model 1
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_1 ended: Completed, EndTurn, assistant("a"), 10+5 tokens, 1 model, 0 tool
            ! call model 2: user("one") assistant("a") user("two")
            turn_s_2 started
            step 0
            input of t1: {}
            block 0 done: call t1 clock {}
            ! finish model 2
            step done: ToolUse, 10+5 tokens, 1 model, 0 tool
            call t1 clock {} as turn_s_2/0/t1
            ? restored, and repaired: Beginning
            turn_s_2 ended: Paused, ToolUse, assistant(call t1 clock {}), waits for t1, 10+5 tokens, 1 model, 1 tool
            ! call model 3: user("two", "three")
            turn_s_2 goes on
            interrupted: NewInput
            calls cancelled: t1
            turn_s_2 ended: Interrupted, Interrupted, assistant(call t1 clock {}), 10+5 tokens, 1 model, 1 tool
            turn_s_3 started
            step 0
            text "b"
            ! finish model 3
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_3 ended: Completed, EndTurn, assistant("b"), 10+5 tokens, 1 model, 0 tool
            history: user("two", "three") assistant("b")
        "#]],
    );
}

#[test]
fn of_a_paused_turn_that_joined_a_message_is_sound_after_a_replace() {
    check(
        "
            user: one | model: a | done | context: so | user: two | call: t1 clock {} | done: tool_use | damage: drop 1 | crash
            replace: three | model: b | done
        ",
        expect![[r#"
            ! call model 1: user("one")
            turn_s_1 started
            step 0
            text "a"
            ! finish model 1
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_1 ended: Completed, EndTurn, assistant("a"), 10+5 tokens, 1 model, 0 tool
            ! call model 2: user("one") assistant("a") user("so", "two")
            turn_s_2 started
            step 0
            input of t1: {}
            block 0 done: call t1 clock {}
            ! finish model 2
            step done: ToolUse, 10+5 tokens, 1 model, 0 tool
            call t1 clock {} as turn_s_2/0/t1
            ? restored, and repaired: Neighbours
            turn_s_2 ended: Paused, ToolUse, assistant(call t1 clock {}), waits for t1, 10+5 tokens, 1 model, 1 tool
            ! call model 3: user("one", "so", "two", "three")
            turn_s_2 goes on
            interrupted: NewInput
            calls cancelled: t1
            turn_s_2 ended: Interrupted, Interrupted, assistant(call t1 clock {}), 10+5 tokens, 1 model, 1 tool
            turn_s_3 started
            step 0
            text "b"
            ! finish model 3
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_3 ended: Completed, EndTurn, assistant("b"), 10+5 tokens, 1 model, 0 tool
            history: user("one", "so", "two", "three") assistant("b")
        "#]],
    );
}

#[test]
fn that_is_empty_is_an_empty_one() {
    check(
        "user: one | model: a | done | damage: drop 1 | damage: drop 0 | crash | user: two",
        expect![[r#"
            ! call model 1: user("one")
            turn_s_1 started
            step 0
            text "a"
            ! finish model 1
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_1 ended: Completed, EndTurn, assistant("a"), 10+5 tokens, 1 model, 0 tool
            ? restored
            ! call model 2: user("two")
            turn_s_2 started
            step 0
            history: user("two")
        "#]],
    );
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: ProptestConfig::default().cases.max(2_000),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// Whatever history is found, and however the session stood: no panic, and all that is sent
    /// is what Bedrock takes, as [`Player`] checks it.
    #[test]
    fn of_any_kind_becomes_one_that_can_be_sent(
        before in select(LIVES),
        messages in vec(message(), 0..7),
        after in vec(select(STATEMENTS), 1..6),
    ) {
        let mut player = Player::begin(before);
        player.store.replace_history(messages);
        player.play("crash");
        for statement in after {
            player.play(statement);
        }
        player.play("crash");
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: ProptestConfig::default().cases.max(2_000),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// A caller may bring results in any order and instructions in any place, and pin any message.
    #[test]
    fn that_a_caller_brought_needs_no_repair(
        exchanges in vec(exchange(), 1..5),
        pins in vec(prop::bool::weighted(0.3), 20),
    ) {
        let mut messages: Vec<Message> = exchanges.into_iter().flatten().collect();
        for (message, _) in messages.iter_mut().zip(pins).filter(|(_, is_pinned)| *is_pinned) {
            message.marking = Marking::Pinned;
        }
        let agent = Arc::new(agent());
        let brought = Setup { messages, ..setup(&agent, start_of_time()) };
        let mut session = Session::new(brought);
        let mut store = Store::new(&agent.limits);
        store.keep(Vec::new(), &mut session);
        let clock = start_of_time();
        let (restored, repairs) = Session::restore(setup(&agent, clock), store.read(), clock.instant);
        prop_assert_eq!(repairs, BTreeSet::new());
        prop_assert_eq!(restored.history().messages(), session.history().messages());
        prop_assert_eq!(bedrock::fault(&session.history().sent()), None);
    }
}

/// What a user says, what the agent answers, and the results of the calls in that.
fn exchange() -> impl Strategy<Value = Vec<Message>> {
    let of = |role, content| Message {
        role,
        content,
        origin: None,
        marking: Marking::Unmarked,
    };
    let text = |text: &str| Block::Text(text.to_owned());
    let calls = vec((select(&["c1", "c2", "c3"][..]), any::<bool>()), 0..4);
    (calls, any::<[bool; 4]>()).prop_map(move |(calls, [instructs, ends, reverses, shows])| {
        let mut said = vec![text("well")];
        let mut results = Vec::new();
        for (id, is_client) in calls {
            let executor = if is_client { Executor::Client } else { Executor::Provider };
            let result = Block::ToolResult(ToolResult::error(id, "noon"));
            said.push(call(id, executor));
            match executor {
                Executor::Client => results.push(result),
                Executor::Provider if shows => said.push(result),
                Executor::Provider | Executor::Server => {}
            }
        }
        let said = without_repeated_calls(said);
        let is_called = |result: &Block| {
            matches!(result, Block::ToolResult(result) if said.contains(&call(&result.call_id, Executor::Client)))
        };
        let mut answer: Vec<Block> = without_repeated_calls(results);
        answer.retain(is_called);
        if reverses {
            answer.reverse();
            answer.insert(0, text("so"));
        }
        let mut messages = vec![of(Role::User, vec![text("hi")]), of(Role::Assistant, said)];
        if instructs && !answer.is_empty() {
            messages.push(of(Role::System, vec![text("be short")]));
        }
        if !answer.is_empty() {
            messages.push(of(Role::User, answer));
        }
        if ends {
            messages.push(of(Role::Assistant, vec![text("done")]));
        }
        messages
    })
}

/// How a session may stand when its history is damaged.
const LIVES: &[&str] = &[
    "user: one",
    "user: one | model: a | done",
    "user: one | model: Hel",
    "context: so | user: one | model: Hel | queue: two | steer: three",
    "user: one | call: c1 clock {} | call: c2 clock {} | done: tool_use | result: c1 noon",
    "context: so | invoke: one | call: c1 clock {} | done: tool_use | queue: two",
    "user: one | model: a | done | context: so | user: two | call: c1 clock {} | done: tool_use | gone",
    "user: one | call: c1 clock {} | done: tool_use | result: c1 noon | call: c2 clock {} | done: tool_use",
];

/// What may happen after that.
const STATEMENTS: &[&str] = &[
    "user: four",
    "replace: five",
    "interrupt: six",
    "context: seven",
    "result: c1 noon",
    "result: c2 one",
    "answer: c1 noon",
    "model: ok",
    "done",
    "failed",
    "stop",
    "discard",
    "cancel",
    "wait: 20s",
    "gone",
    "crash",
];

/// A message of blocks that its role may hold.
fn message() -> impl Strategy<Value = Message> {
    let text = || {
        prop_oneof![
            4 => "[a-z]{1,3}".prop_map(Block::Text),
            1 => Just(Block::Text(" ".to_owned())),
        ]
    };
    let id = || select(&["c1", "c2", "c3"][..]);
    let result = move || id().prop_map(|id| Block::ToolResult(ToolResult::error(id, "noon")));
    let executor = prop_oneof![4 => Just(Executor::Client), 1 => Just(Executor::Provider)];
    let call = (id(), executor).prop_map(|(id, executor)| call(id, executor));
    let thought = Just(Block::Reasoning(Reasoning::Text {
        text: "hm".to_owned(),
        signature: Some("sig".to_owned()),
    }));
    let users = prop_oneof![2 => text(), 1 => result()];
    let models = prop_oneof![4 => text(), 4 => call, 1 => result(), 1 => thought];
    let of = |role| {
        move |(content, marking)| Message {
            role,
            content,
            origin: None,
            marking,
        }
    };
    let marking = || {
        prop_oneof![
            6 => Just(Marking::Unmarked),
            1 => Just(Marking::Pinned),
            1 => Just(Marking::Summary),
        ]
    };
    let answers = vec(models, 0..4).prop_map(without_repeated_calls);
    prop_oneof![
        (vec(users, 0..4), marking()).prop_map(of(Role::User)),
        (answers, marking()).prop_map(of(Role::Assistant)),
    ]
}

fn call(id: &str, executor: Executor) -> Block {
    Block::ToolCall(ToolCall {
        id: id.to_owned(),
        name: "clock".to_owned(),
        input_json: "{}".to_owned(),
        executor,
        expires: None,
        idempotency_key: String::new(),
    })
}

/// Leaves out calls, and provider-run tools' results, of an id that the message has already.
fn without_repeated_calls(content: Vec<Block>) -> Vec<Block> {
    let (mut calls, mut results) = (BTreeSet::new(), BTreeSet::new());
    let mut is_first = |block: &Block| match block {
        Block::ToolCall(call) => calls.insert(call.id.clone()),
        Block::ToolResult(result) => results.insert(result.call_id.clone()),
        _ => true,
    };
    content
        .into_iter()
        .filter(|block| is_first(block))
        .collect()
}
