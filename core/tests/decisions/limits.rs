//! Bounds: each has an error, and the session goes on.

use expect_test::expect;

use crate::script::{check, play};

#[test]
fn the_queue_is_bounded() {
    check(
        "
            with: queue=2
            user: hi | queue#a: 1 | steer#b: 2 | queue#c: 3 | steer#d: 4 | context#e: 5
            interrupt#f: 6
        ",
        expect![[r#"
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            frame a Queued
            frame b Steered turn_s_1
            frame c rejected: ConcurrencyLimited (2 inputs wait in this session, and no more may)
            frame d rejected: ConcurrencyLimited (2 inputs wait in this session, and no more may)
            frame e rejected: ConcurrencyLimited (2 inputs wait in this session, and no more may)
            ! abort model 1
            ! call model 2: user("hi", "6")
            frame f Interrupted turn_s_1
            interrupted: NewInput
            turn_s_1 ended: Interrupted, Interrupted, about 28+0 tokens, 1 model, 0 tool
            turn_s_2 started by frame f
            step 0
            history: user("hi", "6")
        "#]],
    );
}

#[test]
fn a_queue_of_nothing_refuses_all_that_waits() {
    check(
        "
            with: queue=0
            user: hi | queue#a: 1 | steer#b: 2
        ",
        expect![[r#"
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            frame a rejected: ConcurrencyLimited (0 inputs wait in this session, and no more may)
            frame b rejected: ConcurrencyLimited (0 inputs wait in this session, and no more may)
            history: user("hi")
        "#]],
    );
}

#[test]
fn a_message_is_bounded() {
    check(
        "
            with: max_input=10
            user#a: 11 bytes | user#b: 10 bytes | model: ok | done | invoke: 11 bytes
        ",
        expect![[r#"
            frame a rejected: LimitExceeded (the message is larger than 10 bytes)
            ! call model 1: user("xxxxxxxxxx")
            frame b StartedTurn turn_s_1
            turn_s_1 started by frame b
            step 0
            text "ok"
            ! finish model 1
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_1 ended: Completed, EndTurn, assistant("ok"), 10+5 tokens, 1 model, 0 tool
            ! answer 1: LimitExceeded (the message is larger than 10 bytes)
            history: user("xxxxxxxxxx") assistant("ok")
        "#]],
    );
}

#[test]
fn a_result_is_bounded() {
    check(
        "
            with: max_result=10
            user: hi | call: t1 clock {} | done: tool_use | result#a: t1 11 bytes
            result#b: t1 10 bytes
        ",
        expect![[r#"
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            input of t1: {}
            block 0 done: call t1 clock {}
            ! finish model 1
            step done: ToolUse, 10+5 tokens, 1 model, 0 tool
            call t1 clock {} as turn_s_1/0/t1
            frame a rejected: LimitExceeded (the tool result is larger than 10 bytes)
            ! call model 2: user("hi") assistant(call t1 clock {}) user(result t1 "xxxxxxxxxx")
            frame b Applied turn_s_1
            usage so far: 10+5 tokens, 1 model, 1 tool
            step 1
            history: user("hi") assistant(call t1 clock {}) user(result t1 "xxxxxxxxxx")
        "#]],
    );
}

#[test]
fn a_result_of_a_call_is_bounded_too() {
    check(
        "
            with: max_result=10
            invoke: hi | call: t1 clock {} | done: tool_use | answer: t1 11 bytes
        ",
        expect![[r#"
            ! answer 1: turn_s_1 from 1
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            input of t1: {}
            block 0 done: call t1 clock {}
            ! finish model 1
            step done: ToolUse, 10+5 tokens, 1 model, 0 tool
            call t1 clock {} as turn_s_1/0/t1
            turn_s_1 ended: Paused, ToolUse, assistant(call t1 clock {}), waits for t1, 10+5 tokens, 1 model, 1 tool
            ! answer 2: LimitExceeded (the tool result is larger than 10 bytes)
            history: user("hi") assistant(call t1 clock {})
        "#]],
    );
}

#[test]
fn an_answer_of_the_model_is_bounded() {
    check(
        "
            with: max_output=10
            user: hi | model: 12345 | model: 678901
        ",
        expect![[r#"
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            text "12345"
            ! abort model 1
            turn_s_1 ended: Failed, Incomplete, assistant("12345"), about 28+3 tokens, 1 model, 0 tool, LimitExceeded (the model's answer is larger than 10 bytes)
            history: user("hi") assistant("12345")
        "#]],
    );
}

#[test]
fn the_history_is_bounded_between_turns() {
    check(
        "
            with: max_history=20
            user: 15 bytes | model: 1234 | done | user#a: 2 bytes | invoke: 2 bytes
            user#b: 1 bytes
        ",
        expect![[r#"
            ! call model 1: user("xxxxxxxxxxxxxxx")
            turn_s_1 started
            step 0
            text "1234"
            ! finish model 1
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_1 ended: Completed, EndTurn, assistant("1234"), 10+5 tokens, 1 model, 0 tool
            frame a rejected: LimitExceeded (the history of this session would be larger than 20 bytes)
            ! answer 1: LimitExceeded (the history of this session would be larger than 20 bytes)
            ! call model 2: user("xxxxxxxxxxxxxxx") assistant("1234") user("x")
            frame b StartedTurn turn_s_2
            turn_s_2 started by frame b
            step 0
            history: user("xxxxxxxxxxxxxxx") assistant("1234") user("x")
        "#]],
    );
}

#[test]
fn the_history_is_bounded_for_brought_messages() {
    check(
        "
            with: max_history=20
            bring: user=15 bytes; assistant=5 bytes | invoke: hi
        ",
        expect![[r#"
            ! answer 1: LimitExceeded (the history of this session would be larger than 20 bytes)
            history: 
        "#]],
    );
}

#[test]
fn what_waits_counts_against_the_history() {
    check(
        "
            with: max_history=20
            user: hi | queue#a: 10 bytes | steer#b: 5 bytes | queue#c: 4 bytes | part#d: 3 bytes
            queue#e: 1 bytes
        ",
        expect![[r#"
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            frame a Queued
            frame b Steered turn_s_1
            frame c rejected: LimitExceeded (the history of this session would be larger than 20 bytes)
            frame d Applied
            frame e rejected: LimitExceeded (the history of this session would be larger than 20 bytes)
            history: user("hi")
        "#]],
    );
}

#[test]
fn results_that_wait_count_against_the_history() {
    check(
        "
            with: max_history=40
            user: hi | call: t1 clock {} | call: t2 clock {} | done: tool_use
            result#a: t1 15 bytes | result#b: t2 15 bytes
        ",
        expect![[r#"
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            input of t1: {}
            block 0 done: call t1 clock {}
            input of t2: {}
            block 1 done: call t2 clock {}
            ! finish model 1
            step done: ToolUse, 10+5 tokens, 1 model, 0 tool
            call t1 clock {} as turn_s_1/0/t1
            call t2 clock {} as turn_s_1/0/t2
            frame a Applied turn_s_1
            frame b rejected: LimitExceeded (the history of this session would be larger than 40 bytes)
            history: user("hi") assistant(call t1 clock {}, call t2 clock {})
        "#]],
    );
}

#[test]
fn a_history_that_outgrows_its_bound_within_a_turn_ends_it_at_the_next_call() {
    check(
        "
            with: max_history=40
            user: hi | model: 1234567890123456789012345678901234567890 | call: t1 nonsense {}
            done: tool_use | user#a: more
        ",
        expect![[r#"
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            text "1234567890123456789012345678901234567890"
            input of t1: {}
            block 1 done: call t1 nonsense {}
            ! finish model 1
            step done: ToolUse, 10+5 tokens, 1 model, 0 tool
            t1 Failed: error t1 "there is no tool \"nonsense\"; the tools are: weather, clock"
            usage so far: 10+5 tokens, 1 model, 0 tool
            turn_s_1 ended: Failed, Error, assistant("1234567890123456789012345678901234567890", call t1 nonsense {}), 10+5 tokens, 1 model, 0 tool, LimitExceeded (the history of this session is larger than 40 bytes)
            frame a rejected: LimitExceeded (the history of this session would be larger than 40 bytes)
            history: user("hi") assistant("1234567890123456789012345678901234567890", call t1 nonsense {}) user(error t1 "there is no tool \"nonsense\"; the tools are: weather, clock")
        "#]],
    );
}

#[test]
fn the_last_answer_may_outgrow_the_history() {
    check(
        "
            with: max_history=10
            user: hi | model: 1234567890 | done | user#a: more
        ",
        expect![[r#"
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            text "1234567890"
            ! finish model 1
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_1 ended: Completed, EndTurn, assistant("1234567890"), 10+5 tokens, 1 model, 0 tool
            frame a rejected: LimitExceeded (the history of this session would be larger than 10 bytes)
            history: user("hi") assistant("1234567890")
        "#]],
    );
}

#[test]
fn steps_are_bounded() {
    check(
        "
            with: max_steps=1
            user: hi | call: t1 clock {} | done: tool_use | result: t1 noon | user: more
        ",
        expect![[r#"
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            input of t1: {}
            block 0 done: call t1 clock {}
            ! finish model 1
            step done: ToolUse, 10+5 tokens, 1 model, 0 tool
            call t1 clock {} as turn_s_1/0/t1
            usage so far: 10+5 tokens, 1 model, 1 tool
            turn_s_1 ended: Completed, MaxSteps, assistant(call t1 clock {}), 10+5 tokens, 1 model, 1 tool
            ! call model 2: user("hi") assistant(call t1 clock {}) user(result t1 "noon", "more")
            turn_s_2 started
            step 0
            history: user("hi") assistant(call t1 clock {}) user(result t1 "noon", "more")
        "#]],
    );
}

#[test]
fn tokens_clamp_the_output_and_end_the_turn() {
    check(
        "
            with: budget=100
            user: hi | model: ok | done: max_tokens
        ",
        expect![[r#"
            ! call model 1 (at most 72): user("hi")
            turn_s_1 started
            step 0
            text "ok"
            ! finish model 1
            step done: MaxTokens, 10+5 tokens, 1 model, 0 tool
            turn_s_1 ended: Completed, BudgetExceeded, assistant("ok"), 10+5 tokens, 1 model, 0 tool
            history: user("hi") assistant("ok")
        "#]],
    );
}

#[test]
fn a_wish_within_the_budget_is_not_a_clamp() {
    check(
        "
            with: budget=1000 max_tokens=10
            user: hi | model: ok | done: max_tokens
        ",
        expect![[r#"
            ! call model 1 (at most 10): user("hi")
            turn_s_1 started
            step 0
            text "ok"
            ! finish model 1
            step done: MaxTokens, 10+5 tokens, 1 model, 0 tool
            turn_s_1 ended: Completed, MaxTokens, assistant("ok"), 10+5 tokens, 1 model, 0 tool
            history: user("hi") assistant("ok")
        "#]],
    );
}

#[test]
fn a_wish_beyond_the_budget_is_clamped() {
    check(
        "
            with: budget=100 max_tokens=500
            user: hi | model: ok | done: max_tokens
        ",
        expect![[r#"
            ! call model 1 (at most 72): user("hi")
            turn_s_1 started
            step 0
            text "ok"
            ! finish model 1
            step done: MaxTokens, 10+5 tokens, 1 model, 0 tool
            turn_s_1 ended: Completed, BudgetExceeded, assistant("ok"), 10+5 tokens, 1 model, 0 tool
            history: user("hi") assistant("ok")
        "#]],
    );
}

#[test]
fn tokens_spent_in_one_step_are_missing_in_the_next() {
    check(
        "
            with: budget=100
            user: hi | call: t1 clock {} | done: tool_use | result: t1 noon
        ",
        expect![[r#"
            ! call model 1 (at most 72): user("hi")
            turn_s_1 started
            step 0
            input of t1: {}
            block 0 done: call t1 clock {}
            ! finish model 1
            step done: ToolUse, 10+5 tokens, 1 model, 0 tool
            call t1 clock {} as turn_s_1/0/t1
            ! call model 2 (at most 54): user("hi") assistant(call t1 clock {}) user(result t1 "noon")
            usage so far: 10+5 tokens, 1 model, 1 tool
            step 1
            history: user("hi") assistant(call t1 clock {}) user(result t1 "noon")
        "#]],
    );
}

#[test]
fn tokens_end_the_turn_between_steps() {
    check(
        "
            with: budget=32
            user: hi | call: t1 clock {} | done: tool_use | result: t1 a long text of the tool
        ",
        expect![[r#"
            ! call model 1 (at most 4): user("hi")
            turn_s_1 started
            step 0
            input of t1: {}
            block 0 done: call t1 clock {}
            ! finish model 1
            step done: ToolUse, 10+5 tokens, 1 model, 0 tool
            call t1 clock {} as turn_s_1/0/t1
            usage so far: 10+5 tokens, 1 model, 1 tool
            turn_s_1 ended: Completed, BudgetExceeded, assistant(call t1 clock {}), 10+5 tokens, 1 model, 1 tool
            history: user("hi") assistant(call t1 clock {}) user(result t1 "a long text of the tool")
        "#]],
    );
}

#[test]
fn tokens_that_the_input_alone_uses_up_start_no_model_call() {
    check(
        "
            with: budget=20
            user: 200 bytes
        ",
        expect![[r#"
            turn_s_1 started
            turn_s_1 ended: Completed, BudgetExceeded, 0+0 tokens, 0 model, 0 tool
            history: 
        "#]],
    );
}

#[test]
fn a_budget_above_what_every_model_takes_is_watched_instead_of_sent() {
    check(
        "
            with: budget=2100
            user: hi | model: 8000 bytes | model: ok | model: 9000 bytes
        ",
        expect![[r#"
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            text "xxxxxxxxxxxxxxxxxxxx"… of 8000 bytes
            text "ok"
            ! abort model 1
            text "xxxxxxxxxxxxxxxxxxxx"… of 9000 bytes
            turn_s_1 ended: Completed, BudgetExceeded, assistant("xxxxxxxxxxxxxxxxxxxx"… of 17002 bytes), about 28+4251 tokens, 1 model, 0 tool
            history: user("hi") assistant("xxxxxxxxxxxxxxxxxxxx"… of 17002 bytes)
        "#]],
    );
}

#[test]
fn queued_turns_that_the_budget_ends_at_once_let_the_next_one_run() {
    check(
        "
            with: budget=60
            user: hi | queue#a: 200 bytes | context#b: 1 | queue#c: 2 | discard
        ",
        expect![[r#"
            ! call model 1 (at most 32): user("hi")
            turn_s_1 started
            step 0
            frame a Queued
            frame b Queued behind 1
            frame c Queued behind 2
            ! abort model 1
            ! call model 2 (at most 30): user("hi", "1", "2")
            interrupted: Client
            turn_s_1 ended: Interrupted, Interrupted, about 28+0 tokens, 1 model, 0 tool
            turn_s_2 started by frame a
            turn_s_2 ended: Completed, BudgetExceeded, 0+0 tokens, 0 model, 0 tool
            turn_s_3 started by frame c
            step 0
            history: user("hi", "1", "2")
        "#]],
    );
}

#[test]
fn kept_turns_are_bounded_in_bytes() {
    check(
        "
            with: max_history=100
            user: hi | model: 60 bytes | discard | user: hi | model: 60 bytes | discard
            turn: turn_s_1
        ",
        expect![[r#"
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            text "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
            ! abort model 1
            interrupted: Client
            turn_s_1 ended: Interrupted, Interrupted, assistant("xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"), about 28+15 tokens, 1 model, 0 tool
            ! call model 2: user("hi", "hi")
            turn_s_2 started
            step 0
            text "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
            ! abort model 2
            interrupted: Client
            turn_s_2 ended: Interrupted, Interrupted, assistant("xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"), about 29+15 tokens, 1 model, 0 tool
            ? turn_s_1: not known
            history: user("hi", "hi")
        "#]],
    );
}

#[test]
fn kept_turns_are_bounded() {
    check(
        "
            with: kept_turns=1
            user: hi | model: ok | done | user: hi | model: ok | done | turn: turn_s_1
            turn: turn_s_2
        ",
        expect![[r#"
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            text "ok"
            ! finish model 1
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_1 ended: Completed, EndTurn, assistant("ok"), 10+5 tokens, 1 model, 0 tool
            ! call model 2: user("hi") assistant("ok") user("hi")
            turn_s_2 started
            step 0
            text "ok"
            ! finish model 2
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_2 ended: Completed, EndTurn, assistant("ok"), 10+5 tokens, 1 model, 0 tool
            ? turn_s_1: not known
            ? turn_s_2: Completed, EndTurn, assistant("ok"), 10+5 tokens, 1 model, 0 tool, waited 0ns, last event 14
            history: user("hi") assistant("ok") user("hi") assistant("ok")
        "#]],
    );
}

#[test]
fn blocks_of_an_answer_are_bounded_however_small() {
    let blocks: String = (0..4_097)
        .map(|index| format!("| raw: text {index} x"))
        .collect();
    let transcript = play(&format!("user: hi {blocks}"));
    assert!(transcript.contains("LimitExceeded (the model's answer has more than 4096 blocks)"));
}

#[test]
fn parts_of_a_message_are_bounded_however_small() {
    let transcript = play(&"part: blank | ".repeat(4_097));
    assert!(transcript.contains("LimitExceeded (the message has more than 4096 blocks or parts)"));
}

#[test]
fn a_long_queue_of_turns_that_end_at_once_does_not_exhaust_the_stack() {
    let waiting = "| queue: 200 bytes ".repeat(2_000);
    let transcript = play(&format!(
        "with: budget=60 queue=2000\nuser: hi {waiting} | discard"
    ));
    assert_eq!(
        transcript.matches("Completed, BudgetExceeded").count(),
        2_000
    );
}
