//! Time: deadlines, watchdogs and waits.

use expect_test::expect;

use crate::script::check;

#[test]
fn a_model_that_never_speaks_is_given_up() {
    check(
        "user: hi | wait: 59s | wait: 1s",
        expect![[r#"
        ! call model 1: user("hi")
        turn_s_1 started
        step 0
        ! abort model 1
        turn_s_1 ended: Failed, Incomplete, about 28+0 tokens, 1 model, 0 tool, ModelTimeout (the model said nothing for 60s)
        history: 
    "#]],
    );
}

#[test]
fn a_model_that_falls_silent_is_given_up_and_what_it_said_kept() {
    check(
        "user: hi | wait: 30s | model: Hel | wait: 59s | model: lo | wait: 60s",
        expect![[r#"
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            text "Hel"
            text "lo"
            ! abort model 1
            turn_s_1 ended: Failed, Incomplete, assistant("Hello"), about 28+2 tokens, 1 model, 0 tool, ModelTimeout (the model's stream was silent for 60s)
            history: user("hi") assistant("Hello")
        "#]],
    );
}

#[test]
fn the_first_event_and_the_gap_have_limits_of_their_own() {
    check(
        "
            with: first_event=2s idle=1500ms
            user: hi | wait: 1s | model: a | wait: 1s | model: b | wait: 2s | user: hi
            wait: 2s
        ",
        expect![[r#"
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            text "a"
            text "b"
            ! abort model 1
            turn_s_1 ended: Failed, Incomplete, assistant("ab"), about 28+1 tokens, 1 model, 0 tool, ModelTimeout (the model's stream was silent for 1.5s)
            ! call model 2: user("hi") assistant("ab") user("hi")
            turn_s_2 started
            step 0
            ! abort model 2
            turn_s_2 ended: Failed, Incomplete, about 30+0 tokens, 1 model, 0 tool, ModelTimeout (the model said nothing for 2s)
            history: user("hi") assistant("ab")
        "#]],
    );
}

#[test]
fn counts_that_do_not_come_are_estimated() {
    check(
        "user: hi | model: Hello | end | wait: 5s",
        expect![[r#"
        ! call model 1: user("hi")
        turn_s_1 started
        step 0
        text "Hello"
        ! finish model 1
        step done: EndTurn, about 28+2 tokens, 1 model, 0 tool
        turn_s_1 ended: Completed, EndTurn, assistant("Hello"), about 28+2 tokens, 1 model, 0 tool
        history: user("hi") assistant("Hello")
    "#]],
    );
}

#[test]
fn a_slow_reader_does_not_count_against_the_model() {
    check(
        "user: hi | model: a | held | wait: 10m | read | wait: 59s | model: b | done",
        expect![[r#"
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            text "a"
            text "b"
            ! finish model 1
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_1 ended: Completed, EndTurn, assistant("ab"), 10+5 tokens, 1 model, 0 tool
            history: user("hi") assistant("ab")
        "#]],
    );
}

#[test]
fn a_slow_reader_before_the_first_event_does_not_count_either() {
    check(
        "user: hi | held | wait: 5m | read | wait: 59s | model: b | done",
        expect![[r#"
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            text "b"
            ! finish model 1
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_1 ended: Completed, EndTurn, assistant("b"), 10+5 tokens, 1 model, 0 tool
            history: user("hi") assistant("b")
        "#]],
    );
}

#[test]
fn a_reader_that_is_slow_stays_so_in_the_next_step() {
    check(
        "
            user: hi | held | call: t1 clock {} | done: tool_use | result: t1 noon | wait: 5m
            read | wait: 60s
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
            turn_s_1 ended: Failed, Incomplete, assistant(call t1 clock {}), about 41+5 tokens, 2 model, 1 tool, ModelTimeout (the model said nothing for 60s)
            history: user("hi") assistant(call t1 clock {}) user(result t1 "noon")
        "#]],
    );
}

#[test]
fn the_turn_has_a_limit_although_the_reader_is_slow() {
    check(
        "
            with: turn_timeout=2m
            user: hi | model: a | held | wait: 2m
        ",
        expect![[r#"
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            text "a"
            ! abort model 1
            turn_s_1 ended: Cancelled, BudgetExceeded, assistant("a"), about 28+1 tokens, 1 model, 0 tool, DeadlineExceeded (the turn took longer than its time limit)
            history: user("hi") assistant("a")
        "#]],
    );
}

#[test]
fn the_callers_deadline_cancels_the_turn() {
    check(
        "deadline: 5s | invoke: hi | model: Hel | wait: 5s",
        expect![[r#"
            ! answer 1: turn_s_1 from 1
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            text "Hel"
            ! abort model 1
            turn_s_1 ended: Cancelled, Cancelled, assistant("Hel"), about 28+1 tokens, 1 model, 0 tool, DeadlineExceeded (the call's deadline passed)
            history: user("hi") assistant("Hel")
        "#]],
    );
}

#[test]
fn the_callers_deadline_before_any_output_leaves_no_trace() {
    check(
        "deadline: 5s | invoke: hi | wait: 5s",
        expect![[r#"
        ! answer 1: turn_s_1 from 1
        ! call model 1: user("hi")
        turn_s_1 started
        step 0
        ! abort model 1
        turn_s_1 ended: Cancelled, Cancelled, about 28+0 tokens, 1 model, 0 tool, DeadlineExceeded (the call's deadline passed)
        history: 
    "#]],
    );
}

#[test]
fn the_turns_own_time_is_a_budget() {
    check(
        "
            with: turn_timeout=10s
            invoke: hi | model: Hel | wait: 10s
        ",
        expect![[r#"
            ! answer 1: turn_s_1 from 1
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            text "Hel"
            ! abort model 1
            turn_s_1 ended: Cancelled, BudgetExceeded, assistant("Hel"), about 28+1 tokens, 1 model, 0 tool, DeadlineExceeded (the turn took longer than its time limit)
            history: user("hi") assistant("Hel")
        "#]],
    );
}

#[test]
fn the_sooner_of_deadline_and_limit_wins() {
    check(
        "
            with: turn_timeout=10s
            deadline: 20s | invoke: hi | wait: 15s
        ",
        expect![[r#"
            ! answer 1: turn_s_1 from 1
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            ! abort model 1
            turn_s_1 ended: Cancelled, BudgetExceeded, about 28+0 tokens, 1 model, 0 tool, DeadlineExceeded (the turn took longer than its time limit)
            history: 
        "#]],
    );
}

#[test]
fn time_in_a_pause_is_not_the_turns() {
    check(
        r#"
            with: turn_timeout=20s
            invoke: hi | call: t1 weather {"city":"Oslo"} | done: tool_use | wait: 2m
            answer: t1 wet | wait: 19s | model: ok | wait: 1s
        "#,
        expect![[r#"
            ! answer 1: turn_s_1 from 1
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            input of t1: {"city":"Oslo"}
            block 0 done: call t1 weather {"city":"Oslo"}
            ! finish model 1
            step done: ToolUse, 10+5 tokens, 1 model, 0 tool
            call t1 weather {"city":"Oslo"} as turn_s_1/0/t1
            turn_s_1 ended: Paused, ToolUse, assistant(call t1 weather {"city":"Oslo"}), waits for t1, 10+5 tokens, 1 model, 1 tool
            ! answer 2: turn_s_1 from 9
            ! call model 2: user("hi") assistant(call t1 weather {"city":"Oslo"}) user(result t1 "wet")
            turn_s_1 goes on
            usage so far: 10+5 tokens, 1 model, 1 tool
            step 1
            text "ok"
            ! abort model 2
            turn_s_1 ended: Cancelled, BudgetExceeded, assistant("ok"), about 45+6 tokens, 2 model, 1 tool, DeadlineExceeded (the turn took longer than its time limit)
            history: user("hi") assistant(call t1 weather {"city":"Oslo"}) user(result t1 "wet") assistant("ok")
        "#]],
    );
}

#[test]
fn time_in_two_pauses_is_counted_once() {
    check(
        r#"
            with: turn_timeout=20s idle=5m first_event=5m
            invoke: hi | call: t1 weather {"city":"a"} | call: t2 weather {"city":"b"}
            done: tool_use | wait: 1m | answer: t1 wet | wait: 1m | answer: t2 wet | wait: 20s
        "#,
        expect![[r#"
            ! answer 1: turn_s_1 from 1
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            input of t1: {"city":"a"}
            block 0 done: call t1 weather {"city":"a"}
            input of t2: {"city":"b"}
            block 1 done: call t2 weather {"city":"b"}
            ! finish model 1
            step done: ToolUse, 10+5 tokens, 1 model, 0 tool
            call t1 weather {"city":"a"} as turn_s_1/0/t1
            call t2 weather {"city":"b"} as turn_s_1/0/t2
            turn_s_1 ended: Paused, ToolUse, assistant(call t1 weather {"city":"a"}, call t2 weather {"city":"b"}), waits for t1 t2, 10+5 tokens, 1 model, 2 tool
            ! answer 2: turn_s_1 from 13
            turn_s_1 goes on
            turn_s_1 ended: Paused, ToolUse, assistant(call t1 weather {"city":"a"}, call t2 weather {"city":"b"}), waits for t2, 10+5 tokens, 1 model, 2 tool
            ! answer 3: turn_s_1 from 15
            ! call model 2: user("hi") assistant(call t1 weather {"city":"a"}, call t2 weather {"city":"b"}) user(result t1 "wet", result t2 "wet")
            turn_s_1 goes on
            usage so far: 10+5 tokens, 1 model, 2 tool
            step 1
            ! abort model 2
            turn_s_1 ended: Cancelled, BudgetExceeded, assistant(call t1 weather {"city":"a"}, call t2 weather {"city":"b"}), about 50+5 tokens, 2 model, 2 tool, DeadlineExceeded (the turn took longer than its time limit)
            history: user("hi") assistant(call t1 weather {"city":"a"}, call t2 weather {"city":"b"}) user(result t1 "wet", result t2 "wet")
        "#]],
    );
}

#[test]
fn time_in_which_a_live_client_runs_a_tool_is_the_turns() {
    check(
        r#"
            with: turn_timeout=20s
            user: hi | call: t1 weather {"city":"Oslo"} | done: tool_use | wait: 20s
        "#,
        expect![[r#"
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            input of t1: {"city":"Oslo"}
            block 0 done: call t1 weather {"city":"Oslo"}
            ! finish model 1
            step done: ToolUse, 10+5 tokens, 1 model, 0 tool
            call t1 weather {"city":"Oslo"} as turn_s_1/0/t1
            calls cancelled: t1
            turn_s_1 ended: Cancelled, BudgetExceeded, assistant(call t1 weather {"city":"Oslo"}), 10+5 tokens, 1 model, 1 tool, DeadlineExceeded (the turn took longer than its time limit)
            history: user("hi") assistant(call t1 weather {"city":"Oslo"}) user(error t1 "not known: the turn was cancelled before the result came")
        "#]],
    );
}

#[test]
fn the_deadline_of_a_call_ends_with_its_pause() {
    check(
        "
            deadline: 5s | invoke: hi | call: t1 clock {} | done: tool_use | wait: 6s
            result: t1 noon | wait: 1s | model: ok | done
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
            ! call model 2: user("hi") assistant(call t1 clock {}) user(result t1 "noon")
            turn_s_1 goes on
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
fn the_call_that_goes_on_has_its_own_deadline() {
    check(
        "
            invoke: hi | call: t1 clock {} | done: tool_use | deadline: 3s | answer: t1 noon
            wait: 3s
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
            ! answer 2: turn_s_1 from 9
            ! call model 2: user("hi") assistant(call t1 clock {}) user(result t1 "noon")
            turn_s_1 goes on
            usage so far: 10+5 tokens, 1 model, 1 tool
            step 1
            ! abort model 2
            turn_s_1 ended: Cancelled, Cancelled, assistant(call t1 clock {}), about 41+5 tokens, 2 model, 1 tool, DeadlineExceeded (the call's deadline passed)
            history: user("hi") assistant(call t1 clock {}) user(result t1 "noon")
        "#]],
    );
}

#[test]
fn a_tool_without_a_time_of_its_own_has_the_agents() {
    check(
        r#"
            with: tool_timeout=30s
            user: hi | call: t1 weather {"city":"Oslo"} | call: t2 clock {} | done: tool_use
            wait: 10s | wait: 20s
        "#,
        expect![[r#"
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            input of t1: {"city":"Oslo"}
            block 0 done: call t1 weather {"city":"Oslo"}
            input of t2: {}
            block 1 done: call t2 clock {}
            ! finish model 1
            step done: ToolUse, 10+5 tokens, 1 model, 0 tool
            call t1 weather {"city":"Oslo"} as turn_s_1/0/t1
            call t2 clock {} as turn_s_1/0/t2
            calls cancelled: t2
            ! call model 2: user("hi") assistant(call t1 weather {"city":"Oslo"}, call t2 clock {}) user(error t1 "the client did not answer this call in time; its effect is not known", error t2 "the client did not answer this call in time; its effect is not known")
            calls cancelled: t1
            usage so far: 10+5 tokens, 1 model, 2 tool
            step 1
            history: user("hi") assistant(call t1 weather {"city":"Oslo"}, call t2 clock {}) user(error t1 "the client did not answer this call in time; its effect is not known", error t2 "the client did not answer this call in time; its effect is not known")
        "#]],
    );
}
