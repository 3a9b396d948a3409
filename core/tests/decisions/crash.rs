//! The process ends at any point, and another goes on from what was kept.

use expect_test::expect;

use crate::script::check;

#[test]
fn while_the_model_is_called_the_turn_ends_and_keeps_the_users_words() {
    check(
        "user#a: hi | crash | turn: turn_s_1 | user#b: again | model: ok | done",
        expect![[r#"
            ! call model 1: user("hi")
            frame a StartedTurn turn_s_1
            turn_s_1 started by frame a
            step 0
            ? restored
            turn_s_1 ended: Failed, Incomplete, about 28+0 tokens, 1 model, 0 tool, ShuttingDown (the server stopped, or lost its store, before the turn ended)
            ? turn_s_1: Failed, Incomplete, about 28+0 tokens, 1 model, 0 tool, ShuttingDown (the server stopped, or lost its store, before the turn ended), waited 0ns, last event 4
            ! call model 3: user("hi", "again")
            frame b StartedTurn turn_s_2
            turn_s_2 started by frame b
            step 0
            text "ok"
            ! finish model 3
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_2 ended: Completed, EndTurn, assistant("ok"), 10+5 tokens, 1 model, 0 tool
            history: user("hi", "again") assistant("ok")
        "#]],
    );
}

#[test]
fn while_the_model_speaks_what_was_told_stays() {
    check(
        "user#a: hi | opened | model: Hel | model: lo | crash | user#b: go on",
        expect![[r#"
            ! call model 1: user("hi")
            frame a StartedTurn turn_s_1
            turn_s_1 started by frame a
            step 0
            text "Hel"
            text "lo"
            ? restored
            turn_s_1 ended: Failed, Incomplete, assistant("Hello"), about 28+2 tokens, 1 model, 0 tool, ShuttingDown (the server stopped, or lost its store, before the turn ended)
            ! call model 3: user("hi") assistant("Hello") user("go on")
            frame b StartedTurn turn_s_2
            turn_s_2 started by frame b
            step 0
            history: user("hi") assistant("Hello") user("go on")
        "#]],
    );
}

#[test]
fn behind_whole_blocks_these_stay_with_the_open_text() {
    check(
        "user: hi | think: hm/sig | model: Hel | crash",
        expect![[r#"
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            reasoning "hm"
            signature "sig"
            block 0 done: reasoning "hm" signed "sig"
            text "Hel"
            ? restored
            turn_s_1 ended: Failed, Incomplete, assistant(reasoning "hm" signed "sig", "Hel"), about 28+2 tokens, 1 model, 0 tool, ShuttingDown (the server stopped, or lost its store, before the turn ended)
            history: user("hi") assistant(reasoning "hm" signed "sig", "Hel")
        "#]],
    );
}

#[test]
fn after_reasoning_alone_only_the_users_words_stay() {
    check(
        "user: hi | think: hm/sig | crash | user: again",
        expect![[r#"
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            reasoning "hm"
            signature "sig"
            block 0 done: reasoning "hm" signed "sig"
            ? restored
            turn_s_1 ended: Failed, Incomplete, assistant(reasoning "hm" signed "sig"), about 28+2 tokens, 1 model, 0 tool, ShuttingDown (the server stopped, or lost its store, before the turn ended)
            ! call model 3: user("hi", "again")
            turn_s_2 started
            step 0
            history: user("hi", "again")
        "#]],
    );
}

#[test]
fn inside_reasoning_it_does_not_stay() {
    check(
        "user: hi | model: Hello | raw: signature 7 sig | crash",
        expect![[r#"
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            text "Hello"
            signature "sig"
            ? restored
            turn_s_1 ended: Failed, Incomplete, assistant("Hello"), about 28+2 tokens, 1 model, 0 tool, ShuttingDown (the server stopped, or lost its store, before the turn ended)
            history: user("hi") assistant("Hello")
        "#]],
    );
}

#[test]
fn inside_a_tool_calls_input_the_call_does_not_stay() {
    check(
        r#"
            user: hi | model: Let me see | raw: stop 0 | raw: call 1 t1 clock | raw: input 1 {"a": | crash
        "#,
        expect![[r#"
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            text "Let me see"
            input of t1: {"a":
            ? restored
            turn_s_1 ended: Failed, Incomplete, assistant("Let me see"), about 28+3 tokens, 1 model, 0 tool, ShuttingDown (the server stopped, or lost its store, before the turn ended)
            history: user("hi") assistant("Let me see")
        "#]],
    );
}

#[test]
fn behind_a_whole_call_that_was_not_handed_out_it_is_answered_as_not_run() {
    check(
        "user: hi | model: Let me see | call: t1 clock {} | crash | result#r: t1 noon",
        expect![[r#"
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            text "Let me see"
            input of t1: {}
            block 1 done: call t1 clock {}
            ? restored
            turn_s_1 ended: Failed, Incomplete, assistant("Let me see", call t1 clock {}), about 28+5 tokens, 1 model, 0 tool, ShuttingDown (the server stopped, or lost its store, before the turn ended)
            frame r TooLate turn_s_1
            history: user("hi") assistant("Let me see", call t1 clock {}) user(error t1 "not run: the answer was cut off before its calls were handed out")
        "#]],
    );
}

#[test]
fn after_a_call_that_the_provider_ran_both_stay() {
    check(
        "user: hi | run: p1 search {}/found | model: It is | crash",
        expect![[r#"
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            input of p1: {}
            block 0 done: call p1 search {}
            call p1 search {} as turn_s_1/0/p1
            result of p1: "found"
            block 1 done: result p1 "found"
            text "It is"
            ? restored
            turn_s_1 ended: Failed, Incomplete, assistant(call p1 search {}, result p1 "found", "It is"), about 28+5 tokens, 1 model, 1 tool, ShuttingDown (the server stopped, or lost its store, before the turn ended)
            history: user("hi") assistant(call p1 search {}, result p1 "found", "It is")
        "#]],
    );
}

#[test]
fn when_the_model_has_stopped_and_its_counts_are_missing_the_turn_is_incomplete() {
    check(
        "user: hi | model: ok | end | crash",
        expect![[r#"
        ! call model 1: user("hi")
        turn_s_1 started
        step 0
        text "ok"
        ? restored
        turn_s_1 ended: Failed, Incomplete, assistant("ok"), about 28+1 tokens, 1 model, 0 tool, ShuttingDown (the server stopped, or lost its store, before the turn ended)
        history: user("hi") assistant("ok")
    "#]],
    );
}

#[test]
fn in_the_second_step_the_first_stays() {
    check(
        "
            user: hi | call: t1 clock {} | done: tool_use | result: t1 noon | model: No | crash | turn: turn_s_1
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
            text "No"
            ? restored
            turn_s_1 ended: Failed, Incomplete, assistant("No"), about 41+6 tokens, 2 model, 1 tool, ShuttingDown (the server stopped, or lost its store, before the turn ended)
            ? turn_s_1: Failed, Incomplete, assistant("No"), about 41+6 tokens, 2 model, 1 tool, ShuttingDown (the server stopped, or lost its store, before the turn ended), waited 0ns, last event 12
            history: user("hi") assistant(call t1 clock {}) user(result t1 "noon") assistant("No")
        "#]],
    );
}

#[test]
fn while_tools_wait_the_turn_is_paused() {
    check(
        "
            user: hi | call: t1 clock {} | call: t2 clock {} | done: tool_use | result#r: t1 noon | crash
            result#r: t1 noon | result#q: t2 one | model: ok | done
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
            frame r Applied turn_s_1
            ? restored
            turn_s_1 ended: Paused, ToolUse, assistant(call t1 clock {}, call t2 clock {}), waits for t2, 10+5 tokens, 1 model, 2 tool
            frame r Applied turn_s_1 (duplicate)
            ! call model 2: user("hi") assistant(call t1 clock {}, call t2 clock {}) user(result t1 "noon", result t2 "one")
            frame q Applied turn_s_1
            turn_s_1 goes on
            usage so far: 10+5 tokens, 1 model, 2 tool
            step 1
            text "ok"
            ! finish model 2
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_1 ended: Completed, EndTurn, assistant("ok"), 20+10 tokens, 2 model, 2 tool
            history: user("hi") assistant(call t1 clock {}, call t2 clock {}) user(result t1 "noon", result t2 "one") assistant("ok")
        "#]],
    );
}

#[test]
fn while_tools_wait_a_call_may_bring_their_results() {
    check(
        "
            invoke: hi | open | call: t1 clock {} | done: tool_use | crash | answer: t1 noon | model: ok | done
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
            ? restored
            turn_s_1 ended: Paused, ToolUse, assistant(call t1 clock {}), waits for t1, 10+5 tokens, 1 model, 1 tool
            ! answer 2: turn_s_1 from 9
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
fn while_paused_the_turn_stays_paused() {
    check(
        "
            invoke: hi | call: t1 clock {} | done: tool_use | crash | turn: turn_s_1 | crash | answer: t1 noon
            model: ok | done
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
            ? restored
            ? turn_s_1: Paused, ToolUse, assistant(call t1 clock {}), waits for t1, 10+5 tokens, 1 model, 1 tool, waited 0ns, last event 8
            ? restored
            ! answer 2: turn_s_1 from 9
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
fn of_a_paused_turn_with_input_that_joined_it_the_input_is_told_when_it_goes_on() {
    check(
        "
            invoke: hi | call: t1 clock {} | done: tool_use | steer#s: and Rome? | crash | result: t1 noon
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
            frame s Steered turn_s_1
            ? restored
            ! call model 2: user("hi") assistant(call t1 clock {}) user(result t1 "noon", "and Rome?")
            turn_s_1 goes on
            usage so far: 10+5 tokens, 1 model, 1 tool
            step 1
            history: user("hi") assistant(call t1 clock {}) user(result t1 "noon", "and Rome?")
        "#]],
    );
}

#[test]
fn queued_input_starts_the_next_turn() {
    check(
        "
            user#a: hi | queue#b: one | context#c: by the way | queue#d: two | crash | model: ok | done
        ",
        expect![[r#"
            ! call model 1: user("hi")
            frame a StartedTurn turn_s_1
            turn_s_1 started by frame a
            step 0
            frame b Queued
            frame c Queued behind 1
            frame d Queued behind 2
            ? restored
            ! call model 3: user("hi", "one")
            turn_s_1 ended: Failed, Incomplete, about 28+0 tokens, 1 model, 0 tool, ShuttingDown (the server stopped, or lost its store, before the turn ended)
            turn_s_2 started by frame b
            step 0
            text "ok"
            ! finish model 3
            ! call model 4: user("hi", "one") assistant("ok") user("by the way", "two")
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_2 ended: Completed, EndTurn, assistant("ok"), 10+5 tokens, 1 model, 0 tool
            turn_s_3 started by frame d
            step 0
            history: user("hi", "one") assistant("ok") user("by the way", "two")
        "#]],
    );
}

#[test]
fn input_that_joined_the_turn_starts_the_next() {
    check(
        "user#a: hi | queue#b: later | steer#c: and | crash | model: ok | done",
        expect![[r#"
            ! call model 1: user("hi")
            frame a StartedTurn turn_s_1
            turn_s_1 started by frame a
            step 0
            frame b Queued
            frame c Steered turn_s_1
            ? restored
            ! call model 3: user("hi", "and")
            turn_s_1 ended: Failed, Incomplete, about 28+0 tokens, 1 model, 0 tool, ShuttingDown (the server stopped, or lost its store, before the turn ended)
            turn_s_2 started by frame c
            step 0
            text "ok"
            ! finish model 3
            ! call model 4: user("hi", "and") assistant("ok") user("later")
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_2 ended: Completed, EndTurn, assistant("ok"), 10+5 tokens, 1 model, 0 tool
            turn_s_3 started by frame b
            step 0
            history: user("hi", "and") assistant("ok") user("later")
        "#]],
    );
}

#[test]
fn queued_input_waits_for_a_turn_that_became_paused() {
    check(
        "
            user#a: hi | call: t1 clock {} | done: tool_use | queue#b: later | crash | result: t1 noon | model: ok | done
        ",
        expect![[r#"
            ! call model 1: user("hi")
            frame a StartedTurn turn_s_1
            turn_s_1 started by frame a
            step 0
            input of t1: {}
            block 0 done: call t1 clock {}
            ! finish model 1
            step done: ToolUse, 10+5 tokens, 1 model, 0 tool
            call t1 clock {} as turn_s_1/0/t1
            frame b Queued
            ? restored
            turn_s_1 ended: Paused, ToolUse, assistant(call t1 clock {}), waits for t1, 10+5 tokens, 1 model, 1 tool
            ! call model 2: user("hi") assistant(call t1 clock {}) user(result t1 "noon")
            turn_s_1 goes on
            usage so far: 10+5 tokens, 1 model, 1 tool
            step 1
            text "ok"
            ! finish model 2
            ! call model 3: user("hi") assistant(call t1 clock {}) user(result t1 "noon") assistant("ok") user("later")
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_1 ended: Completed, EndTurn, assistant("ok"), 20+10 tokens, 2 model, 1 tool
            turn_s_2 started by frame b
            step 0
            history: user("hi") assistant(call t1 clock {}) user(result t1 "noon") assistant("ok") user("later")
        "#]],
    );
}

#[test]
fn an_unfinished_message_is_refused_and_may_come_again() {
    check(
        "part#a: one | part#b: two | crash | part#a: one | part#b: two | user#c: three",
        expect![[r#"
            frame a Applied
            frame b Applied
            ? restored
            frame b rejected: FrameOutOfOrder (the stream's input ended before the message's last part)
            frame a Applied
            frame b Applied
            ! call model 1: user("one", "two", "three")
            frame c StartedTurn turn_s_1
            turn_s_1 started by frame c
            step 0
            history: user("one", "two", "three")
        "#]],
    );
}

#[test]
fn an_unfinished_message_without_ids_is_refused() {
    check(
        "part: one | crash",
        expect![[r#"
        ? restored
        frame - rejected: FrameOutOfOrder (the stream's input ended before the message's last part)
        history: 
    "#]],
    );
}

#[test]
fn parts_of_queued_input_are_known_until_it_is_refused() {
    check(
        "
            user#u: hi | call: t1 clock {} | done: tool_use | part#a: one | queue#b: two | crash | part#a: one | queue#b: two
            shutdown | part#a: one
        ",
        expect![[r#"
            ! call model 1: user("hi")
            frame u StartedTurn turn_s_1
            turn_s_1 started by frame u
            step 0
            input of t1: {}
            block 0 done: call t1 clock {}
            ! finish model 1
            step done: ToolUse, 10+5 tokens, 1 model, 0 tool
            call t1 clock {} as turn_s_1/0/t1
            frame a Applied
            frame b Queued
            ? restored
            turn_s_1 ended: Paused, ToolUse, assistant(call t1 clock {}), waits for t1, 10+5 tokens, 1 model, 1 tool
            frame a Applied (duplicate)
            frame b Queued (duplicate)
            frame b rejected: ShuttingDown (the server is shutting down)
            frame a rejected: ShuttingDown (the server is shutting down)
            history: user("hi") assistant(call t1 clock {})
        "#]],
    );
}

#[test]
fn after_the_end_nothing_is_told() {
    check(
        "user#a: hi | model: ok | done | crash | turn: turn_s_1 | user#a: hi | user#b: more",
        expect![[r#"
            ! call model 1: user("hi")
            frame a StartedTurn turn_s_1
            turn_s_1 started by frame a
            step 0
            text "ok"
            ! finish model 1
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_1 ended: Completed, EndTurn, assistant("ok"), 10+5 tokens, 1 model, 0 tool
            ? restored
            ? turn_s_1: Completed, EndTurn, assistant("ok"), 10+5 tokens, 1 model, 0 tool, waited 0ns, last event 8
            frame a StartedTurn turn_s_1 (duplicate)
            ! call model 2: user("hi") assistant("ok") user("more")
            frame b StartedTurn turn_s_2
            turn_s_2 started by frame b
            step 0
            history: user("hi") assistant("ok") user("more")
        "#]],
    );
}

#[test]
fn twice_ends_the_turn_once() {
    check(
        "user#a: hi | model: Hel | crash | crash | turn: turn_s_1 | user#b: more",
        expect![[r#"
            ! call model 1: user("hi")
            frame a StartedTurn turn_s_1
            turn_s_1 started by frame a
            step 0
            text "Hel"
            ? restored
            turn_s_1 ended: Failed, Incomplete, assistant("Hel"), about 28+1 tokens, 1 model, 0 tool, ShuttingDown (the server stopped, or lost its store, before the turn ended)
            ? restored
            ? turn_s_1: Failed, Incomplete, assistant("Hel"), about 28+1 tokens, 1 model, 0 tool, ShuttingDown (the server stopped, or lost its store, before the turn ended), waited 0ns, last event 6
            ! call model 3: user("hi") assistant("Hel") user("more")
            frame b StartedTurn turn_s_2
            turn_s_2 started by frame b
            step 0
            history: user("hi") assistant("Hel") user("more")
        "#]],
    );
}

#[test]
fn twice_with_queued_input_ends_two_turns() {
    check(
        "
            user#a: hi | queue#b: one | queue#c: two | model: Hel | crash | crash | model: ok | done
        ",
        expect![[r#"
            ! call model 1: user("hi")
            frame a StartedTurn turn_s_1
            turn_s_1 started by frame a
            step 0
            frame b Queued
            frame c Queued behind 1
            text "Hel"
            ? restored
            ! call model 3: user("hi") assistant("Hel") user("one")
            turn_s_1 ended: Failed, Incomplete, assistant("Hel"), about 28+1 tokens, 1 model, 0 tool, ShuttingDown (the server stopped, or lost its store, before the turn ended)
            turn_s_2 started by frame b
            step 0
            ? restored
            ! call model 5: user("hi") assistant("Hel") user("one", "two")
            turn_s_2 ended: Failed, Incomplete, about 30+0 tokens, 1 model, 0 tool, ShuttingDown (the server stopped, or lost its store, before the turn ended)
            turn_s_3 started by frame c
            step 0
            text "ok"
            ! finish model 5
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_3 ended: Completed, EndTurn, assistant("ok"), 10+5 tokens, 1 model, 0 tool
            history: user("hi") assistant("Hel") user("one", "two") assistant("ok")
        "#]],
    );
}

#[test]
fn before_anything_was_said_leaves_an_empty_session() {
    check(
        "crash | open | crash | user: hi",
        expect![[r#"
        ? restored
        ? restored
        ! call model 1: user("hi")
        turn_s_1 started
        step 0
        history: user("hi")
    "#]],
    );
}

#[test]
fn repeats_are_answered_as_before() {
    check(
        "
            user#a: hi | queue#b: one | steer#c: two | setup#d | reject#e: no | stop#f: turn_s_1 | crash
            user#a: hi | queue#b: one | steer#c: two | setup#d | reject#e: no | stop#f: turn_s_1 | user#a: other
        ",
        expect![[r#"
            ! call model 1: user("hi")
            frame a StartedTurn turn_s_1
            turn_s_1 started by frame a
            step 0
            frame b Queued
            frame c Steered turn_s_1
            frame d Applied
            frame e rejected: TurnInProgress (another turn runs in this session)
            ! abort model 1
            ! call model 2: user("hi", "two")
            frame f Applied turn_s_1
            interrupted: Client
            turn_s_1 ended: Interrupted, Interrupted, about 28+0 tokens, 1 model, 0 tool
            turn_s_2 started by frame c
            step 0
            ? restored
            ! call model 4: user("hi", "two", "one")
            turn_s_2 ended: Failed, Incomplete, about 29+0 tokens, 1 model, 0 tool, ShuttingDown (the server stopped, or lost its store, before the turn ended)
            turn_s_3 started by frame b
            step 0
            frame a StartedTurn turn_s_1 (duplicate)
            frame b Queued (duplicate)
            frame c Steered turn_s_1 (duplicate)
            frame d Applied (duplicate)
            frame e rejected: TurnInProgress (another turn runs in this session)
            frame f Applied turn_s_1 (duplicate)
            frame a rejected: RequestIdReused (this frame_id was used for another frame)
            history: user("hi", "two", "one")
        "#]],
    );
}

#[test]
fn the_oldest_receipts_are_forgotten_as_before() {
    check(
        "
            with: frame_ids=2
            setup#a | setup#b | setup#c | crash | setup#a | setup#c | setup#b
        ",
        expect![[r#"
            frame a Applied
            frame b Applied
            frame c Applied
            ? restored
            frame a Applied
            frame c Applied (duplicate)
            frame b Applied
            history: 
        "#]],
    );
}

#[test]
fn a_late_result_is_told_as_late() {
    check(
        "
            user: hi | call: t1 clock {} | done: tool_use | stop | crash | result#r: t1 noon | result#q: t9 noon
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
            interrupted: Client
            calls cancelled: t1
            turn_s_1 ended: Interrupted, Interrupted, assistant(call t1 clock {}), 10+5 tokens, 1 model, 1 tool
            ? restored
            frame r TooLate turn_s_1
            frame q rejected: CallNotPending (no tool call with this id waits for a result)
            history: user("hi") assistant(call t1 clock {}) user(error t1 "not known: the user interrupted before the result came")
        "#]],
    );
}

#[test]
fn a_cancel_ends_a_turn_that_was_made_paused() {
    check(
        "user: hi | call: t1 clock {} | done: tool_use | crash | cancel | result#r: t1 noon",
        expect![[r#"
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            input of t1: {}
            block 0 done: call t1 clock {}
            ! finish model 1
            step done: ToolUse, 10+5 tokens, 1 model, 0 tool
            call t1 clock {} as turn_s_1/0/t1
            ? restored
            turn_s_1 ended: Paused, ToolUse, assistant(call t1 clock {}), waits for t1, 10+5 tokens, 1 model, 1 tool
            ! answer cancel 1: Cancelled, Cancelled, assistant(call t1 clock {}), 10+5 tokens, 1 model, 1 tool, Cancelled (the turn was cancelled by request)
            turn_s_1 goes on
            interrupted: Cancel
            calls cancelled: t1
            turn_s_1 ended: Cancelled, Cancelled, assistant(call t1 clock {}), 10+5 tokens, 1 model, 1 tool, Cancelled (the turn was cancelled by request)
            frame r TooLate turn_s_1
            history: user("hi") assistant(call t1 clock {}) user(error t1 "not known: the turn was cancelled before the result came")
        "#]],
    );
}

#[test]
fn a_cancel_of_a_turn_that_was_lost_tells_how_it_ended() {
    check(
        "user: hi | model: Hel | crash | cancel: turn_s_1 | cancel: turn_s_2",
        expect![[r#"
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            text "Hel"
            ? restored
            turn_s_1 ended: Failed, Incomplete, assistant("Hel"), about 28+1 tokens, 1 model, 0 tool, ShuttingDown (the server stopped, or lost its store, before the turn ended)
            ! answer cancel 1: Failed, Incomplete, assistant("Hel"), about 28+1 tokens, 1 model, 0 tool, ShuttingDown (the server stopped, or lost its store, before the turn ended)
            ! answer cancel 2: TurnNotFound (there is no such turn)
            history: user("hi") assistant("Hel")
        "#]],
    );
}

#[test]
fn an_interrupt_of_a_turn_that_was_lost_is_too_late() {
    check(
        "user: hi | model: Hel | crash | stop#s: turn_s_1 | stop#t: turn_s_2",
        expect![[r#"
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            text "Hel"
            ? restored
            turn_s_1 ended: Failed, Incomplete, assistant("Hel"), about 28+1 tokens, 1 model, 0 tool, ShuttingDown (the server stopped, or lost its store, before the turn ended)
            frame s TooLate turn_s_1
            frame t rejected: TurnNotFound (there is no such turn)
            history: user("hi") assistant("Hel")
        "#]],
    );
}

#[test]
fn replaced_input_takes_a_turn_back_that_was_made_paused() {
    check(
        "
            context: first | user: hi | call: t1 clock {} | done: tool_use | crash | replace#r: instead
        ",
        expect![[r#"
            ! call model 1: user("first", "hi")
            turn_s_1 started
            step 0
            input of t1: {}
            block 0 done: call t1 clock {}
            ! finish model 1
            step done: ToolUse, 10+5 tokens, 1 model, 0 tool
            call t1 clock {} as turn_s_1/0/t1
            ? restored
            turn_s_1 ended: Paused, ToolUse, assistant(call t1 clock {}), waits for t1, 10+5 tokens, 1 model, 1 tool
            ! call model 2: user("first", "instead")
            frame r Interrupted turn_s_1
            turn_s_1 goes on
            interrupted: NewInput
            calls cancelled: t1
            turn_s_1 ended: Interrupted, Interrupted, assistant(call t1 clock {}), 10+5 tokens, 1 model, 1 tool
            turn_s_2 started by frame r
            step 0
            history: user("first", "instead")
        "#]],
    );
}

#[test]
fn replaced_input_takes_a_turn_back_that_joined_an_unanswered_message() {
    check(
        "
            context: first | crash | user: hi | call: t1 clock {} | done: tool_use | crash | crash | replace: instead | model: ok | done
        ",
        expect![[r#"
            ? restored
            ! call model 1: user("first", "hi")
            turn_s_1 started
            step 0
            input of t1: {}
            block 0 done: call t1 clock {}
            ! finish model 1
            step done: ToolUse, 10+5 tokens, 1 model, 0 tool
            call t1 clock {} as turn_s_1/0/t1
            ? restored
            turn_s_1 ended: Paused, ToolUse, assistant(call t1 clock {}), waits for t1, 10+5 tokens, 1 model, 1 tool
            ? restored
            ! call model 2: user("first", "instead")
            turn_s_1 goes on
            interrupted: NewInput
            calls cancelled: t1
            turn_s_1 ended: Interrupted, Interrupted, assistant(call t1 clock {}), 10+5 tokens, 1 model, 1 tool
            turn_s_2 started
            step 0
            text "ok"
            ! finish model 2
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_2 ended: Completed, EndTurn, assistant("ok"), 10+5 tokens, 1 model, 0 tool
            history: user("first", "instead") assistant("ok")
        "#]],
    );
}

#[test]
fn the_deadline_of_a_client_tool_holds() {
    check(
        "
            user: hi | call: t1 clock {} | done: tool_use | wait: 4s | crash: 3s | wait: 2s | turn: turn_s_1 | wait: 2s
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
            ? restored
            turn_s_1 ended: Paused, ToolUse, assistant(call t1 clock {}), waits for t1, 10+5 tokens, 1 model, 1 tool
            ? turn_s_1: Paused, ToolUse, assistant(call t1 clock {}), waits for t1, 10+5 tokens, 1 model, 1 tool, waited 7s, last event 8
            turn_s_1 goes on
            calls cancelled: t1
            turn_s_1 ended: Failed, Error, assistant(call t1 clock {}), 10+5 tokens, 1 model, 1 tool, AnswerTimeout (a client tool, or a question for consent, was not answered in time)
            history: user("hi") assistant(call t1 clock {}) user(error t1 "not known: the turn failed before the result came")
        "#]],
    );
}

#[test]
fn a_deadline_that_passed_meanwhile_ends_the_turn_at_once() {
    check(
        "user: hi | call: t1 clock {} | done: tool_use | crash: 1m | wait: 0s",
        expect![[r#"
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            input of t1: {}
            block 0 done: call t1 clock {}
            ! finish model 1
            step done: ToolUse, 10+5 tokens, 1 model, 0 tool
            call t1 clock {} as turn_s_1/0/t1
            ? restored
            turn_s_1 ended: Paused, ToolUse, assistant(call t1 clock {}), waits for t1, 10+5 tokens, 1 model, 1 tool
            turn_s_1 goes on
            calls cancelled: t1
            turn_s_1 ended: Failed, Error, assistant(call t1 clock {}), 10+5 tokens, 1 model, 1 tool, AnswerTimeout (a client tool, or a question for consent, was not answered in time)
            history: user("hi") assistant(call t1 clock {}) user(error t1 "not known: the turn failed before the result came")
        "#]],
    );
}

#[test]
fn a_result_before_the_deadline_goes_on_with_the_time_that_was_left() {
    check(
        r#"
            with: turn_timeout=60s tool_timeout=10m
            user: hi | wait: 20s | call: t1 weather {"city":"Oslo"} | done: tool_use | gone | wait: 5s | crash: 2m | result: t1 wet
            wait: 39s | model: Wet | wait: 1s
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
            turn_s_1 ended: Paused, ToolUse, assistant(call t1 weather {"city":"Oslo"}), waits for t1, 10+5 tokens, 1 model, 1 tool
            ? restored
            ! call model 2: user("hi") assistant(call t1 weather {"city":"Oslo"}) user(result t1 "wet")
            turn_s_1 goes on
            usage so far: 10+5 tokens, 1 model, 1 tool
            step 1
            text "Wet"
            ! abort model 2
            turn_s_1 ended: Cancelled, BudgetExceeded, assistant("Wet"), about 45+6 tokens, 2 model, 1 tool, DeadlineExceeded (the turn took longer than its time limit)
            history: user("hi") assistant(call t1 weather {"city":"Oslo"}) user(result t1 "wet") assistant("Wet")
        "#]],
    );
}

#[test]
fn the_callers_deadline_is_gone_with_the_caller() {
    check(
        "
            deadline: 5s | invoke: hi | open | call: t1 clock {} | done: tool_use | crash | wait: 6s | result: t1 noon
            wait: 6s | model: ok | done
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
            ? restored
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
fn the_budget_goes_on_where_it_was() {
    check(
        "
            with: budget=100 max_steps=2
            user: hi | call: t1 clock {} | done: tool_use | crash | result: t1 noon | call: t2 clock {} | done: tool_use
            crash | result: t2 one
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
            ? restored
            turn_s_1 ended: Paused, ToolUse, assistant(call t1 clock {}), waits for t1, 10+5 tokens, 1 model, 1 tool
            ! call model 2 (at most 54): user("hi") assistant(call t1 clock {}) user(result t1 "noon")
            turn_s_1 goes on
            usage so far: 10+5 tokens, 1 model, 1 tool
            step 1
            input of t2: {}
            block 0 done: call t2 clock {}
            ! finish model 2
            step done: ToolUse, 10+5 tokens, 1 model, 0 tool
            call t2 clock {} as turn_s_1/1/t2
            ? restored
            turn_s_1 ended: Paused, ToolUse, assistant(call t2 clock {}), waits for t2, 20+10 tokens, 2 model, 2 tool
            turn_s_1 goes on
            usage so far: 20+10 tokens, 2 model, 2 tool
            turn_s_1 ended: Completed, MaxSteps, assistant(call t2 clock {}), 20+10 tokens, 2 model, 2 tool
            history: user("hi") assistant(call t1 clock {}) user(result t1 "noon") assistant(call t2 clock {}) user(result t2 "one")
        "#]],
    );
}

#[test]
fn settings_that_were_changed_stay() {
    check(
        "
            update#u: max_steps=1 | crash | user: hi | call: t1 clock {} | done: tool_use | result: t1 noon
        ",
        expect![[r#"
            frame u Applied
            ? restored
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
            history: user("hi") assistant(call t1 clock {}) user(result t1 "noon")
        "#]],
    );
}

#[test]
fn a_message_made_on_the_way_is_told_once() {
    check(
        "
            with: tell_steps=1
            invoke: hi | call: t1 clock {} | done: tool_use | crash | answer: t1 noon | call: t2 clock {} | done: tool_use
            crash | cancel
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
            ? restored
            ! answer 2: turn_s_1 from 9
            ! call model 2: user("hi") assistant(call t1 clock {}) user(result t1 "noon")
            turn_s_1 goes on
            usage so far: 10+5 tokens, 1 model, 1 tool
            step 1
            input of t2: {}
            block 0 done: call t2 clock {}
            ! finish model 2
            step done: ToolUse, 10+5 tokens, 1 model, 0 tool
            call t2 clock {} as turn_s_1/1/t2
            turn_s_1 ended: Paused, ToolUse, assistant(call t2 clock {}), by way of assistant(call t1 clock {}), by way of user(result t1 "noon"), waits for t2, 20+10 tokens, 2 model, 2 tool
            ? restored
            ! answer cancel 3: Cancelled, Cancelled, assistant(call t2 clock {}), by way of assistant(call t1 clock {}), by way of user(result t1 "noon"), by way of user(error t2 "not known: the turn was cancelled before the result came"), 20+10 tokens, 2 model, 2 tool, Cancelled (the turn was cancelled by request)
            turn_s_1 goes on
            interrupted: Cancel
            calls cancelled: t2
            turn_s_1 ended: Cancelled, Cancelled, assistant(call t2 clock {}), by way of assistant(call t1 clock {}), by way of user(result t1 "noon"), by way of user(error t2 "not known: the turn was cancelled before the result came"), 20+10 tokens, 2 model, 2 tool, Cancelled (the turn was cancelled by request)
            history: user("hi") assistant(call t1 clock {}) user(result t1 "noon") assistant(call t2 clock {}) user(error t2 "not known: the turn was cancelled before the result came")
        "#]],
    );
}

#[test]
fn ids_go_on_without_a_collision() {
    check(
        "
            invoke: one | model: ok | done | invoke: two | crash | invoke: three | call: t1 clock {} | done: tool_use | crash | answer: t1 noon
            model: ok | done | invoke: four
        ",
        expect![[r#"
            ! answer 1: turn_s_1 from 1
            ! call model 1: user("one")
            turn_s_1 started
            step 0
            text "ok"
            ! finish model 1
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_1 ended: Completed, EndTurn, assistant("ok"), 10+5 tokens, 1 model, 0 tool
            ! answer 2: turn_s_2 from 8
            ! call model 2: user("one") assistant("ok") user("two")
            turn_s_2 started
            step 0
            ? restored
            turn_s_2 ended: Failed, Incomplete, about 30+0 tokens, 1 model, 0 tool, ShuttingDown (the server stopped, or lost its store, before the turn ended)
            ! answer 3: turn_s_3 from 11
            ! call model 4: user("one") assistant("ok") user("two", "three")
            turn_s_3 started
            step 0
            input of t1: {}
            block 0 done: call t1 clock {}
            ! finish model 4
            step done: ToolUse, 10+5 tokens, 1 model, 0 tool
            call t1 clock {} as turn_s_3/0/t1
            turn_s_3 ended: Paused, ToolUse, assistant(call t1 clock {}), waits for t1, 10+5 tokens, 1 model, 1 tool
            ? restored
            ! answer 4: turn_s_3 from 19
            ! call model 5: user("one") assistant("ok") user("two", "three") assistant(call t1 clock {}) user(result t1 "noon")
            turn_s_3 goes on
            usage so far: 10+5 tokens, 1 model, 1 tool
            step 1
            text "ok"
            ! finish model 5
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_3 ended: Completed, EndTurn, assistant("ok"), 20+10 tokens, 2 model, 1 tool
            ! answer 5: turn_s_4 from 27
            ! call model 6: user("one") assistant("ok") user("two", "three") assistant(call t1 clock {}) user(result t1 "noon") assistant("ok") user("four")
            turn_s_4 started
            step 0
            history: user("one") assistant("ok") user("two", "three") assistant(call t1 clock {}) user(result t1 "noon") assistant("ok") user("four")
        "#]],
    );
}

#[test]
fn a_turn_that_was_cut_by_kill_stays_ended() {
    check(
        "user: hi | model: Hel | kill | crash | user: again",
        expect![[r#"
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            text "Hel"
            ! abort model 1
            turn_s_1 ended: Failed, Incomplete, assistant("Hel"), about 28+1 tokens, 1 model, 0 tool, ShuttingDown (the server is shutting down)
            ? restored
            ! call model 2: user("hi") assistant("Hel") user("again")
            turn_s_2 started
            step 0
            history: user("hi") assistant("Hel") user("again")
        "#]],
    );
}

#[test]
fn after_a_shutdown_input_is_taken_again() {
    check(
        "user: hi | model: ok | done | shutdown | user#a: more | crash | user#a: more",
        expect![[r#"
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            text "ok"
            ! finish model 1
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_1 ended: Completed, EndTurn, assistant("ok"), 10+5 tokens, 1 model, 0 tool
            frame a rejected: ShuttingDown (the server is shutting down)
            ? restored
            ! call model 2: user("hi") assistant("ok") user("more")
            frame a StartedTurn turn_s_2
            turn_s_2 started by frame a
            step 0
            history: user("hi") assistant("ok") user("more")
        "#]],
    );
}

#[test]
fn a_stream_that_comes_back_and_goes_with_cancel_leaves_what_was_queued_before() {
    check(
        "user: hi | queue#b: more | crash | open | gone! | model: ok | done",
        expect![[r#"
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            frame b Queued
            ? restored
            ! call model 3: user("hi", "more")
            turn_s_1 ended: Failed, Incomplete, about 28+0 tokens, 1 model, 0 tool, ShuttingDown (the server stopped, or lost its store, before the turn ended)
            turn_s_2 started by frame b
            step 0
            text "ok"
            ! finish model 3
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_2 ended: Completed, EndTurn, assistant("ok"), 10+5 tokens, 1 model, 0 tool
            history: user("hi", "more") assistant("ok")
        "#]],
    );
}
