//! Cancels by call, in every phase.

use expect_test::expect;

use crate::script::check;

#[test]
fn cancel_in_mid_sentence_ends_the_turn_once() {
    check(
        "user: hi | model: Hel | cancel | model: lo | done",
        expect![[r#"
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            text "Hel"
            ! abort model 1
            ! answer cancel 1: Cancelled, Cancelled, assistant("Hel"), about 28+1 tokens, 1 model, 0 tool, Cancelled (the turn was cancelled by request)
            interrupted: Cancel
            turn_s_1 ended: Cancelled, Cancelled, assistant("Hel"), about 28+1 tokens, 1 model, 0 tool, Cancelled (the turn was cancelled by request)
            history: user("hi") assistant("Hel")
        "#]],
    );
}

#[test]
fn cancel_before_any_output_leaves_the_history_as_it_was() {
    check(
        "user: one | model: ok | done | user: two | opened | cancel",
        expect![[r#"
            ! call model 1: user("one")
            turn_s_1 started
            step 0
            text "ok"
            ! finish model 1
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_1 ended: Completed, EndTurn, assistant("ok"), 10+5 tokens, 1 model, 0 tool
            ! call model 2: user("one") assistant("ok") user("two")
            turn_s_2 started
            step 0
            ! abort model 2
            ! answer cancel 1: Cancelled, Cancelled, about 30+0 tokens, 1 model, 0 tool, Cancelled (the turn was cancelled by request)
            interrupted: Cancel
            turn_s_2 ended: Cancelled, Cancelled, about 30+0 tokens, 1 model, 0 tool, Cancelled (the turn was cancelled by request)
            history: user("one") assistant("ok")
        "#]],
    );
}

#[test]
fn cancel_before_the_first_turn_has_output_leaves_nothing() {
    check(
        "invoke: hi | cancel",
        expect![[r#"
        ! answer 1: turn_s_1 from 1
        ! call model 1: user("hi")
        turn_s_1 started
        step 0
        ! abort model 1
        ! answer cancel 2: Cancelled, Cancelled, about 28+0 tokens, 1 model, 0 tool, Cancelled (the turn was cancelled by request)
        interrupted: Cancel
        turn_s_1 ended: Cancelled, Cancelled, about 28+0 tokens, 1 model, 0 tool, Cancelled (the turn was cancelled by request)
        history: 
    "#]],
    );
}

#[test]
fn cancel_while_a_tool_runs_reports_both() {
    check(
        "user: hi | call: t1 clock {} | done: tool_use | cancel | result#r: t1 noon",
        expect![[r#"
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            input of t1: {}
            block 0 done: call t1 clock {}
            ! finish model 1
            step done: ToolUse, 10+5 tokens, 1 model, 0 tool
            call t1 clock {} as turn_s_1/0/t1
            ! answer cancel 1: Cancelled, Cancelled, assistant(call t1 clock {}), 10+5 tokens, 1 model, 1 tool, Cancelled (the turn was cancelled by request)
            interrupted: Cancel
            calls cancelled: t1
            turn_s_1 ended: Cancelled, Cancelled, assistant(call t1 clock {}), 10+5 tokens, 1 model, 1 tool, Cancelled (the turn was cancelled by request)
            frame r TooLate turn_s_1
            history: user("hi") assistant(call t1 clock {}) user(error t1 "not known: the turn was cancelled before the result came")
        "#]],
    );
}

#[test]
fn cancel_between_the_results_keeps_the_one_that_came() {
    check(
        "
            user: hi | call: t1 clock {} | call: t2 clock {} | done: tool_use | result: t1 noon
            cancel
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
            ! answer cancel 1: Cancelled, Cancelled, assistant(call t1 clock {}, call t2 clock {}), 10+5 tokens, 1 model, 2 tool, Cancelled (the turn was cancelled by request)
            interrupted: Cancel
            calls cancelled: t2
            turn_s_1 ended: Cancelled, Cancelled, assistant(call t1 clock {}, call t2 clock {}), 10+5 tokens, 1 model, 2 tool, Cancelled (the turn was cancelled by request)
            history: user("hi") assistant(call t1 clock {}, call t2 clock {}) user(result t1 "noon", error t2 "not known: the turn was cancelled before the result came")
        "#]],
    );
}

#[test]
fn cancel_of_a_paused_turn_ends_it() {
    check(
        "invoke: hi | call: t1 clock {} | done: tool_use | cancel: turn_s_1 | invoke: more",
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
            ! answer cancel 2: Cancelled, Cancelled, assistant(call t1 clock {}), 10+5 tokens, 1 model, 1 tool, Cancelled (the turn was cancelled by request)
            turn_s_1 goes on
            interrupted: Cancel
            calls cancelled: t1
            turn_s_1 ended: Cancelled, Cancelled, assistant(call t1 clock {}), 10+5 tokens, 1 model, 1 tool, Cancelled (the turn was cancelled by request)
            ! answer 3: turn_s_2 from 13
            ! call model 2: user("hi") assistant(call t1 clock {}) user(error t1 "not known: the turn was cancelled before the result came", "more")
            turn_s_2 started
            step 0
            history: user("hi") assistant(call t1 clock {}) user(error t1 "not known: the turn was cancelled before the result came", "more")
        "#]],
    );
}

#[test]
fn cancel_of_a_whole_call_before_the_stop_says_that_it_did_not_run() {
    check(
        "user: hi | model: Hm | call: t1 clock {} | cancel",
        expect![[r#"
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            text "Hm"
            input of t1: {}
            block 1 done: call t1 clock {}
            ! abort model 1
            ! answer cancel 1: Cancelled, Cancelled, assistant("Hm", call t1 clock {}), about 28+1 tokens, 1 model, 0 tool, Cancelled (the turn was cancelled by request)
            interrupted: Cancel
            turn_s_1 ended: Cancelled, Cancelled, assistant("Hm", call t1 clock {}), about 28+1 tokens, 1 model, 0 tool, Cancelled (the turn was cancelled by request)
            history: user("hi") assistant("Hm", call t1 clock {}) user(error t1 "not run: the answer was cut off before its calls were handed out")
        "#]],
    );
}

#[test]
fn cancel_in_the_middle_of_a_call_drops_the_call() {
    check(
        r#"
            user: hi | model: Hm | raw: stop 0 | raw: call 1 t1 clock | raw: input 1 {"a
            cancel
        "#,
        expect![[r#"
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            text "Hm"
            input of t1: {"a
            ! abort model 1
            ! answer cancel 1: Cancelled, Cancelled, assistant("Hm"), about 28+2 tokens, 1 model, 0 tool, Cancelled (the turn was cancelled by request)
            interrupted: Cancel
            turn_s_1 ended: Cancelled, Cancelled, assistant("Hm"), about 28+2 tokens, 1 model, 0 tool, Cancelled (the turn was cancelled by request)
            history: user("hi") assistant("Hm")
        "#]],
    );
}

#[test]
fn cancel_in_the_middle_of_reasoning_leaves_the_users_words() {
    check(
        "user: hi | raw: signature 0 si | cancel | user: more",
        expect![[r#"
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            signature "si"
            ! abort model 1
            ! answer cancel 1: Cancelled, Cancelled, about 28+1 tokens, 1 model, 0 tool, Cancelled (the turn was cancelled by request)
            interrupted: Cancel
            turn_s_1 ended: Cancelled, Cancelled, about 28+1 tokens, 1 model, 0 tool, Cancelled (the turn was cancelled by request)
            ! call model 2: user("hi", "more")
            turn_s_2 started
            step 0
            history: user("hi", "more")
        "#]],
    );
}

#[test]
fn cancel_behind_the_stop_uses_the_message() {
    check(
        "user: hi | model: Hello | end | cancel",
        expect![[r#"
        ! call model 1: user("hi")
        turn_s_1 started
        step 0
        text "Hello"
        ! abort model 1
        ! answer cancel 1: Cancelled, Cancelled, assistant("Hello"), about 28+2 tokens, 1 model, 0 tool, Cancelled (the turn was cancelled by request)
        interrupted: Cancel
        turn_s_1 ended: Cancelled, Cancelled, assistant("Hello"), about 28+2 tokens, 1 model, 0 tool, Cancelled (the turn was cancelled by request)
        history: user("hi") assistant("Hello")
    "#]],
    );
}

#[test]
fn cancel_with_counts_needs_no_estimate() {
    check(
        "user: hi | model: Hello | counts | cancel",
        expect![[r#"
        ! call model 1: user("hi")
        turn_s_1 started
        step 0
        text "Hello"
        ! abort model 1
        ! answer cancel 1: Cancelled, Cancelled, assistant("Hello"), 10+5 tokens, 1 model, 0 tool, Cancelled (the turn was cancelled by request)
        interrupted: Cancel
        turn_s_1 ended: Cancelled, Cancelled, assistant("Hello"), 10+5 tokens, 1 model, 0 tool, Cancelled (the turn was cancelled by request)
        history: user("hi") assistant("Hello")
    "#]],
    );
}

#[test]
fn cancel_of_an_ended_turn_only_tells_its_result() {
    check(
        "user: hi | model: ok | done | cancel: turn_s_1 | cancel",
        expect![[r#"
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            text "ok"
            ! finish model 1
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_1 ended: Completed, EndTurn, assistant("ok"), 10+5 tokens, 1 model, 0 tool
            ! answer cancel 1: Completed, EndTurn, assistant("ok"), 10+5 tokens, 1 model, 0 tool
            ! answer cancel 2: Completed, EndTurn, assistant("ok"), 10+5 tokens, 1 model, 0 tool
            history: user("hi") assistant("ok")
        "#]],
    );
}

#[test]
fn cancel_of_an_unknown_turn_is_refused() {
    check(
        "user: hi | cancel: other | model: ok | done",
        expect![[r#"
        ! call model 1: user("hi")
        turn_s_1 started
        step 0
        ! answer cancel 1: TurnNotFound (there is no such turn)
        text "ok"
        ! finish model 1
        step done: EndTurn, 10+5 tokens, 1 model, 0 tool
        turn_s_1 ended: Completed, EndTurn, assistant("ok"), 10+5 tokens, 1 model, 0 tool
        history: user("hi") assistant("ok")
    "#]],
    );
}

#[test]
fn cancel_without_any_turn_is_refused() {
    check(
        "cancel",
        expect![[r#"
        ! answer cancel 1: TurnNotFound (there is no such turn)
        history: 
    "#]],
    );
}

#[test]
fn cancel_lets_the_queue_go_on() {
    check(
        "user: hi | queue#a: next | model: Hel | cancel | model: ok | done",
        expect![[r#"
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            frame a Queued
            text "Hel"
            ! abort model 1
            ! answer cancel 1: Cancelled, Cancelled, assistant("Hel"), about 28+1 tokens, 1 model, 0 tool, Cancelled (the turn was cancelled by request)
            ! call model 2: user("hi") assistant("Hel") user("next")
            interrupted: Cancel
            turn_s_1 ended: Cancelled, Cancelled, assistant("Hel"), about 28+1 tokens, 1 model, 0 tool, Cancelled (the turn was cancelled by request)
            turn_s_2 started by frame a
            step 0
            text "ok"
            ! finish model 2
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_2 ended: Completed, EndTurn, assistant("ok"), 10+5 tokens, 1 model, 0 tool
            history: user("hi") assistant("Hel") user("next") assistant("ok")
        "#]],
    );
}

#[test]
fn cancel_of_the_second_step_keeps_the_first() {
    check(
        "
            user: hi | call: t1 clock {} | done: tool_use | result: t1 noon | cancel
            user: more
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
            ! call model 2: user("hi") assistant(call t1 clock {}) user(result t1 "noon")
            usage so far: 10+5 tokens, 1 model, 1 tool
            step 1
            ! abort model 2
            ! answer cancel 1: Cancelled, Cancelled, assistant(call t1 clock {}), about 41+5 tokens, 2 model, 1 tool, Cancelled (the turn was cancelled by request)
            interrupted: Cancel
            turn_s_1 ended: Cancelled, Cancelled, assistant(call t1 clock {}), about 41+5 tokens, 2 model, 1 tool, Cancelled (the turn was cancelled by request)
            ! call model 3: user("hi") assistant(call t1 clock {}) user(result t1 "noon", "more")
            turn_s_2 started
            step 0
            history: user("hi") assistant(call t1 clock {}) user(result t1 "noon", "more")
        "#]],
    );
}
