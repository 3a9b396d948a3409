//! Converse streams that come and go.

use expect_test::expect;

use crate::script::check;

#[test]
fn half_close_ends_the_stream_when_all_is_answered() {
    check(
        "user: one | queue: two | half-close | model: ok | done | model: ok | done",
        expect![[r#"
            ! call model 1: user("one")
            turn_s_1 started
            step 0
            text "ok"
            ! finish model 1
            ! call model 2: user("one") assistant("ok") user("two")
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_1 ended: Completed, EndTurn, assistant("ok"), 10+5 tokens, 1 model, 0 tool
            turn_s_2 started
            step 0
            text "ok"
            ! finish model 2
            ! end stream 1
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_2 ended: Completed, EndTurn, assistant("ok"), 10+5 tokens, 1 model, 0 tool
            history: user("one") assistant("ok") user("two") assistant("ok")
        "#]],
    );
}

#[test]
fn half_close_of_an_idle_stream_ends_it_at_once() {
    check(
        "open | half-close",
        expect![[r#"
        ! end stream 1
        history: 
    "#]],
    );
}

#[test]
fn a_stream_that_goes_leaves_its_turn_running() {
    check(
        "user: hi | gone | model: ok | done",
        expect![[r#"
        ! call model 1: user("hi")
        turn_s_1 started
        step 0
        text "ok"
        ! finish model 1
        step done: EndTurn, 10+5 tokens, 1 model, 0 tool
        turn_s_1 ended: Completed, EndTurn, assistant("ok"), 10+5 tokens, 1 model, 0 tool
        history: user("hi") assistant("ok")
    "#]],
    );
}

#[test]
fn a_stream_that_goes_with_cancel_ends_its_turn() {
    check(
        "user: hi | model: Hel | gone!",
        expect![[r#"
        ! call model 1: user("hi")
        turn_s_1 started
        step 0
        text "Hel"
        ! abort model 1
        interrupted: Cancel
        turn_s_1 ended: Cancelled, Cancelled, assistant("Hel"), about 28+1 tokens, 1 model, 0 tool, Cancelled (the caller went away)
        history: user("hi") assistant("Hel")
    "#]],
    );
}

#[test]
fn a_stream_that_goes_with_cancel_takes_its_queue_along() {
    check(
        "user: hi | queue#a: one | steer#b: two | gone! | user#c@2: three | model: ok | done",
        expect![[r#"
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            frame a Queued
            frame b Steered turn_s_1
            ! abort model 1
            interrupted: Cancel
            turn_s_1 ended: Cancelled, Cancelled, about 28+0 tokens, 1 model, 0 tool, Cancelled (the caller went away)
            frame b rejected: Cancelled (the caller went away)
            frame a rejected: Cancelled (the caller went away)
            ! call model 2: user("three")
            frame c StartedTurn turn_s_2
            turn_s_2 started by frame c
            step 0
            text "ok"
            ! finish model 2
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_2 ended: Completed, EndTurn, assistant("ok"), 10+5 tokens, 1 model, 0 tool
            history: user("three") assistant("ok")
        "#]],
    );
}

#[test]
fn a_stream_that_goes_with_cancel_leaves_what_a_half_closed_one_asked_for() {
    check(
        "
            user: hi | queue#a: one | half-close | queue#b@2: two | steer#s@2: and | gone!@2 | model: ok | done | model: yes | done
        ",
        expect![[r#"
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            frame a Queued
            frame b Queued behind 1
            frame s Steered turn_s_1
            frame s rejected: Cancelled (the caller went away)
            frame b rejected: Cancelled (the caller went away)
            text "ok"
            ! finish model 1
            ! call model 2: user("hi") assistant("ok") user("one")
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_1 ended: Completed, EndTurn, assistant("ok"), 10+5 tokens, 1 model, 0 tool
            turn_s_2 started by frame a
            step 0
            text "yes"
            ! finish model 2
            ! end stream 1
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_2 ended: Completed, EndTurn, assistant("yes"), 10+5 tokens, 1 model, 0 tool
            history: user("hi") assistant("ok") user("one") assistant("yes")
        "#]],
    );
}

#[test]
fn a_stream_that_goes_with_cancel_ends_a_turn_whose_own_stream_left() {
    check(
        "user@1: hi | gone@1 | open@2 | gone!@2",
        expect![[r#"
        ! call model 1: user("hi")
        turn_s_1 started
        step 0
        ! abort model 1
        interrupted: Cancel
        turn_s_1 ended: Cancelled, Cancelled, about 28+0 tokens, 1 model, 0 tool, Cancelled (the caller went away)
        history: 
    "#]],
    );
}

#[test]
fn a_stream_that_goes_with_cancel_ends_a_turn_that_waits_for_its_tool() {
    check(
        "user: hi | call: t1 clock {} | done: tool_use | gone!",
        expect![[r#"
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            input of t1: {}
            block 0 done: call t1 clock {}
            ! finish model 1
            step done: ToolUse, 10+5 tokens, 1 model, 0 tool
            call t1 clock {} as turn_s_1/0/t1
            interrupted: Cancel
            calls cancelled: t1
            turn_s_1 ended: Cancelled, Cancelled, assistant(call t1 clock {}), 10+5 tokens, 1 model, 1 tool, Cancelled (the caller went away)
            history: user("hi") assistant(call t1 clock {}) user(error t1 "not known: the turn was cancelled before the result came")
        "#]],
    );
}

#[test]
fn a_stream_that_goes_with_cancel_leaves_the_turn_of_a_call() {
    check(
        "invoke: hi | open | gone! | model: ok | done",
        expect![[r#"
            ! answer 1: turn_s_1 from 1
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            text "ok"
            ! finish model 1
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_1 ended: Completed, EndTurn, assistant("ok"), 10+5 tokens, 1 model, 0 tool
            history: user("hi") assistant("ok")
        "#]],
    );
}

#[test]
fn a_stream_that_goes_while_its_tool_runs_pauses_the_turn() {
    check(
        "user: hi | call: t1 clock {} | done: tool_use | gone | result@2: t1 noon | gone!@2",
        expect![[r#"
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            input of t1: {}
            block 0 done: call t1 clock {}
            ! finish model 1
            step done: ToolUse, 10+5 tokens, 1 model, 0 tool
            call t1 clock {} as turn_s_1/0/t1
            turn_s_1 ended: Paused, ToolUse, assistant(call t1 clock {}), waits for t1, 10+5 tokens, 1 model, 1 tool
            ! call model 2: user("hi") assistant(call t1 clock {}) user(result t1 "noon")
            turn_s_1 goes on
            usage so far: 10+5 tokens, 1 model, 1 tool
            step 1
            ! abort model 2
            interrupted: Cancel
            turn_s_1 ended: Cancelled, Cancelled, assistant(call t1 clock {}), about 41+5 tokens, 2 model, 1 tool, Cancelled (the caller went away)
            history: user("hi") assistant(call t1 clock {}) user(result t1 "noon")
        "#]],
    );
}

#[test]
fn a_stream_that_goes_leaves_a_paused_turn_paused() {
    check(
        "
            invoke: hi | open | call: t1 clock {} | done: tool_use | half-close | gone!
            answer: t1 noon
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
            ! end stream 1
            turn_s_1 ended: Paused, ToolUse, assistant(call t1 clock {}), waits for t1, 10+5 tokens, 1 model, 1 tool
            ! answer 2: turn_s_1 from 9
            ! call model 2: user("hi") assistant(call t1 clock {}) user(result t1 "noon")
            turn_s_1 goes on
            usage so far: 10+5 tokens, 1 model, 1 tool
            step 1
            history: user("hi") assistant(call t1 clock {}) user(result t1 "noon")
        "#]],
    );
}

#[test]
fn a_stream_that_goes_twice_goes_once() {
    check(
        "user: hi | gone | gone!",
        expect![[r#"
        ! call model 1: user("hi")
        turn_s_1 started
        step 0
        history: user("hi")
    "#]],
    );
}

#[test]
fn shutdown_refuses_what_waits_and_lets_the_turn_finish() {
    check(
        "
            user: hi | queue#a: one | shutdown | queue#b: two | model: ok | done | user#c: three
            invoke: four
        ",
        expect![[r#"
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            frame a Queued
            frame a rejected: ShuttingDown (the server is shutting down)
            frame b rejected: ShuttingDown (the server is shutting down)
            text "ok"
            ! finish model 1
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_1 ended: Completed, EndTurn, assistant("ok"), 10+5 tokens, 1 model, 0 tool
            frame c rejected: ShuttingDown (the server is shutting down)
            ! answer 1: ShuttingDown (the server is shutting down)
            history: user("hi") assistant("ok")
        "#]],
    );
}

#[test]
fn shutdown_lets_a_live_turn_use_its_tools() {
    check(
        "
            user: hi | call: t1 clock {} | done: tool_use | shutdown | result: t1 noon
            model: ok | done
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
            text "ok"
            ! finish model 2
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_1 ended: Completed, EndTurn, assistant("ok"), 20+10 tokens, 2 model, 1 tool
            history: user("hi") assistant(call t1 clock {}) user(result t1 "noon") assistant("ok")
        "#]],
    );
}

#[test]
fn shutdown_refuses_input_that_had_joined_the_turn() {
    check(
        "user: hi | steer#a: and | shutdown | model: ok | done | steer#a: and",
        expect![[r#"
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            frame a Steered turn_s_1
            text "ok"
            ! finish model 1
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_1 ended: Completed, EndTurn, assistant("ok"), 10+5 tokens, 1 model, 0 tool
            frame a rejected: ShuttingDown (the server is shutting down)
            frame a rejected: ShuttingDown (the server is shutting down)
            history: user("hi") assistant("ok")
        "#]],
    );
}

#[test]
fn shutdown_refuses_the_results_of_a_paused_turn() {
    check(
        "
            invoke: hi | call: t1 clock {} | done: tool_use | shutdown | answer: t1 noon
            result#r: t1 noon
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
            ! answer 2: ShuttingDown (the server is shutting down)
            frame r rejected: ShuttingDown (the server is shutting down)
            history: user("hi") assistant(call t1 clock {})
        "#]],
    );
}

#[test]
fn shutdown_refuses_the_parts_of_a_message() {
    check(
        "part#a: one | shutdown | part#b: two | user#c: three",
        expect![[r#"
            frame a Applied
            frame b rejected: ShuttingDown (the server is shutting down)
            frame c rejected: ShuttingDown (the server is shutting down)
            history: 
        "#]],
    );
}

#[test]
fn kill_cuts_the_turn_and_keeps_what_was_sent() {
    check(
        "user: hi | model: Hel | kill",
        expect![[r#"
        ! call model 1: user("hi")
        turn_s_1 started
        step 0
        text "Hel"
        ! abort model 1
        turn_s_1 ended: Failed, Incomplete, assistant("Hel"), about 28+1 tokens, 1 model, 0 tool, ShuttingDown (the server is shutting down)
        history: user("hi") assistant("Hel")
    "#]],
    );
}

#[test]
fn kill_before_any_output_keeps_the_users_words() {
    check(
        "user: hi | queue#a: one | kill",
        expect![[r#"
        ! call model 1: user("hi")
        turn_s_1 started
        step 0
        frame a Queued
        ! abort model 1
        frame a rejected: ShuttingDown (the server is shutting down)
        turn_s_1 ended: Failed, Incomplete, about 28+0 tokens, 1 model, 0 tool, ShuttingDown (the server is shutting down)
        history: user("hi")
    "#]],
    );
}

#[test]
fn kill_while_a_tool_runs_says_that_its_effect_is_not_known() {
    check(
        "user: hi | call: t1 clock {} | done: tool_use | kill",
        expect![[r#"
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            input of t1: {}
            block 0 done: call t1 clock {}
            ! finish model 1
            step done: ToolUse, 10+5 tokens, 1 model, 0 tool
            call t1 clock {} as turn_s_1/0/t1
            calls cancelled: t1
            turn_s_1 ended: Failed, Incomplete, assistant(call t1 clock {}), 10+5 tokens, 1 model, 1 tool, ShuttingDown (the server is shutting down)
            history: user("hi") assistant(call t1 clock {}) user(error t1 "not known: the turn failed before the result came")
        "#]],
    );
}

#[test]
fn kill_leaves_a_paused_turn_paused() {
    check(
        "invoke: hi | call: t1 clock {} | done: tool_use | kill | turn: turn_s_1",
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
            ? turn_s_1: Paused, ToolUse, assistant(call t1 clock {}), waits for t1, 10+5 tokens, 1 model, 1 tool, waited 0ns, last event 8
            history: user("hi") assistant(call t1 clock {})
        "#]],
    );
}
