//! Input while a turn runs: every policy in every phase.

use expect_test::expect;

use crate::script::check;

#[test]
fn queue_waits_for_the_turn_and_starts_the_next() {
    check(
        "
            user: hi | queue#a: one | queue#b: two | model: ok | done | model: first | done
            model: second | done
        ",
        expect![[r#"
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            frame a Queued
            frame b Queued behind 1
            text "ok"
            ! finish model 1
            ! call model 2: user("hi") assistant("ok") user("one")
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_1 ended: Completed, EndTurn, assistant("ok"), 10+5 tokens, 1 model, 0 tool
            turn_s_2 started by frame a
            step 0
            text "first"
            ! finish model 2
            ! call model 3: user("hi") assistant("ok") user("one") assistant("first") user("two")
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_2 ended: Completed, EndTurn, assistant("first"), 10+5 tokens, 1 model, 0 tool
            turn_s_3 started by frame b
            step 0
            text "second"
            ! finish model 3
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_3 ended: Completed, EndTurn, assistant("second"), 10+5 tokens, 1 model, 0 tool
            history: user("hi") assistant("ok") user("one") assistant("first") user("two") assistant("second")
        "#]],
    );
}

#[test]
fn queue_waits_behind_a_tool() {
    check(
        "
            user: hi | call: t1 clock {} | done: tool_use | queue#a: next | result: t1 noon
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
            frame a Queued
            ! call model 2: user("hi") assistant(call t1 clock {}) user(result t1 "noon")
            usage so far: 10+5 tokens, 1 model, 1 tool
            step 1
            text "ok"
            ! finish model 2
            ! call model 3: user("hi") assistant(call t1 clock {}) user(result t1 "noon") assistant("ok") user("next")
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_1 ended: Completed, EndTurn, assistant("ok"), 20+10 tokens, 2 model, 1 tool
            turn_s_2 started by frame a
            step 0
            history: user("hi") assistant(call t1 clock {}) user(result t1 "noon") assistant("ok") user("next")
        "#]],
    );
}

#[test]
fn queue_waits_behind_a_paused_turn() {
    check(
        "
            invoke: hi | call: t1 clock {} | done: tool_use | queue#a: next | answer: t1 noon
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
            frame a Queued
            ! answer 2: turn_s_1 from 10
            ! call model 2: user("hi") assistant(call t1 clock {}) user(result t1 "noon")
            turn_s_1 goes on
            usage so far: 10+5 tokens, 1 model, 1 tool
            step 1
            text "ok"
            ! finish model 2
            ! call model 3: user("hi") assistant(call t1 clock {}) user(result t1 "noon") assistant("ok") user("next")
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_1 ended: Completed, EndTurn, assistant("ok"), 20+10 tokens, 2 model, 1 tool
            turn_s_2 started by frame a
            step 0
            history: user("hi") assistant(call t1 clock {}) user(result t1 "noon") assistant("ok") user("next")
        "#]],
    );
}

#[test]
fn queue_waits_behind_a_call() {
    check(
        "invoke: hi | queue#a: next | model: ok | done",
        expect![[r#"
            ! answer 1: turn_s_1 from 1
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            frame a Queued
            text "ok"
            ! finish model 1
            ! call model 2: user("hi") assistant("ok") user("next")
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_1 ended: Completed, EndTurn, assistant("ok"), 10+5 tokens, 1 model, 0 tool
            turn_s_2 started by frame a
            step 0
            history: user("hi") assistant("ok") user("next")
        "#]],
    );
}

#[test]
fn reject_is_refused_in_every_phase() {
    check(
        "
            user: hi | reject#a: x | call: t1 clock {} | done: tool_use | reject#b: x
            half-close | reject#c@2: x
        ",
        expect![[r#"
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            frame a rejected: TurnInProgress (another turn runs in this session)
            input of t1: {}
            block 0 done: call t1 clock {}
            ! finish model 1
            step done: ToolUse, 10+5 tokens, 1 model, 0 tool
            call t1 clock {} as turn_s_1/0/t1
            frame b rejected: TurnInProgress (another turn runs in this session)
            ! end stream 1
            turn_s_1 ended: Paused, ToolUse, assistant(call t1 clock {}), waits for t1, 10+5 tokens, 1 model, 1 tool
            frame c rejected: TurnInProgress (another turn runs in this session)
            history: user("hi") assistant(call t1 clock {})
        "#]],
    );
}

#[test]
fn reject_starts_a_turn_when_none_runs() {
    check(
        "reject#a: hi",
        expect![[r#"
        ! call model 1: user("hi")
        frame a StartedTurn turn_s_1
        turn_s_1 started by frame a
        step 0
        history: user("hi")
    "#]],
    );
}

#[test]
fn interrupt_keeps_what_was_sent_and_starts_the_next() {
    check(
        "user: hi | model: Hel | interrupt#a: wait | model: Yes | done",
        expect![[r#"
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            text "Hel"
            ! abort model 1
            ! call model 2: user("hi") assistant("Hel") user("wait")
            frame a Interrupted turn_s_1
            interrupted: NewInput
            turn_s_1 ended: Interrupted, Interrupted, assistant("Hel"), about 28+1 tokens, 1 model, 0 tool
            turn_s_2 started by frame a
            step 0
            text "Yes"
            ! finish model 2
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_2 ended: Completed, EndTurn, assistant("Yes"), 10+5 tokens, 1 model, 0 tool
            history: user("hi") assistant("Hel") user("wait") assistant("Yes")
        "#]],
    );
}

#[test]
fn interrupt_before_any_output_joins_the_users_words() {
    check(
        "user: hi | interrupt#a: wait | model: Yes | done",
        expect![[r#"
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            ! abort model 1
            ! call model 2: user("hi", "wait")
            frame a Interrupted turn_s_1
            interrupted: NewInput
            turn_s_1 ended: Interrupted, Interrupted, about 28+0 tokens, 1 model, 0 tool
            turn_s_2 started by frame a
            step 0
            text "Yes"
            ! finish model 2
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_2 ended: Completed, EndTurn, assistant("Yes"), 10+5 tokens, 1 model, 0 tool
            history: user("hi", "wait") assistant("Yes")
        "#]],
    );
}

#[test]
fn interrupt_while_a_tool_runs_closes_its_call() {
    check(
        "
            user: hi | call: t1 clock {} | done: tool_use | interrupt#a: never mind | model: ok
            done
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
            ! call model 2: user("hi") assistant(call t1 clock {}) user(error t1 "not known: the user interrupted before the result came", "never mind")
            frame a Interrupted turn_s_1
            interrupted: NewInput
            calls cancelled: t1
            turn_s_1 ended: Interrupted, Interrupted, assistant(call t1 clock {}), 10+5 tokens, 1 model, 1 tool
            turn_s_2 started by frame a
            step 0
            text "ok"
            ! finish model 2
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_2 ended: Completed, EndTurn, assistant("ok"), 10+5 tokens, 1 model, 0 tool
            history: user("hi") assistant(call t1 clock {}) user(error t1 "not known: the user interrupted before the result came", "never mind") assistant("ok")
        "#]],
    );
}

#[test]
fn interrupt_ends_a_paused_turn() {
    check(
        "
            invoke: hi | call: t1 clock {} | done: tool_use | interrupt#a: never mind
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
            ! call model 2: user("hi") assistant(call t1 clock {}) user(error t1 "not known: the user interrupted before the result came", "never mind")
            frame a Interrupted turn_s_1
            turn_s_1 goes on
            interrupted: NewInput
            calls cancelled: t1
            turn_s_1 ended: Interrupted, Interrupted, assistant(call t1 clock {}), 10+5 tokens, 1 model, 1 tool
            turn_s_2 started by frame a
            step 0
            text "ok"
            ! finish model 2
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_2 ended: Completed, EndTurn, assistant("ok"), 10+5 tokens, 1 model, 0 tool
            history: user("hi") assistant(call t1 clock {}) user(error t1 "not known: the user interrupted before the result came", "never mind") assistant("ok")
        "#]],
    );
}

#[test]
fn interrupt_overtakes_what_waits() {
    check(
        "user: hi | queue#q: later | interrupt#i: sooner | model: ok | done",
        expect![[r#"
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            frame q Queued
            ! abort model 1
            ! call model 2: user("hi", "sooner")
            frame i Interrupted turn_s_1
            interrupted: NewInput
            turn_s_1 ended: Interrupted, Interrupted, about 28+0 tokens, 1 model, 0 tool
            turn_s_2 started by frame i
            step 0
            text "ok"
            ! finish model 2
            ! call model 3: user("hi", "sooner") assistant("ok") user("later")
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_2 ended: Completed, EndTurn, assistant("ok"), 10+5 tokens, 1 model, 0 tool
            turn_s_3 started by frame q
            step 0
            history: user("hi", "sooner") assistant("ok") user("later")
        "#]],
    );
}

#[test]
fn interrupt_overtakes_what_had_joined_the_turn() {
    check(
        "
            user: hi | steer#s: also | queue#q: later | interrupt#i: sooner | model: ok | done
            model: ok | done
        ",
        expect![[r#"
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            frame s Steered turn_s_1
            frame q Queued
            ! abort model 1
            ! call model 2: user("hi", "sooner")
            frame i Interrupted turn_s_1
            interrupted: NewInput
            turn_s_1 ended: Interrupted, Interrupted, about 28+0 tokens, 1 model, 0 tool
            turn_s_2 started by frame i
            step 0
            text "ok"
            ! finish model 2
            ! call model 3: user("hi", "sooner") assistant("ok") user("also")
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_2 ended: Completed, EndTurn, assistant("ok"), 10+5 tokens, 1 model, 0 tool
            turn_s_3 started by frame s
            step 0
            text "ok"
            ! finish model 3
            ! call model 4: user("hi", "sooner") assistant("ok") user("also") assistant("ok") user("later")
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_3 ended: Completed, EndTurn, assistant("ok"), 10+5 tokens, 1 model, 0 tool
            turn_s_4 started by frame q
            step 0
            history: user("hi", "sooner") assistant("ok") user("also") assistant("ok") user("later")
        "#]],
    );
}

#[test]
fn interrupt_by_the_model_call_of_a_finished_text_keeps_whole_calls_closed() {
    check(
        "user: hi | model: Hm | call: t1 clock {} | interrupt: wait",
        expect![[r#"
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            text "Hm"
            input of t1: {}
            block 1 done: call t1 clock {}
            ! abort model 1
            ! call model 2: user("hi") assistant("Hm", call t1 clock {}) user(error t1 "not run: the answer was cut off before its calls were handed out", "wait")
            interrupted: NewInput
            turn_s_1 ended: Interrupted, Interrupted, assistant("Hm", call t1 clock {}), about 28+1 tokens, 1 model, 0 tool
            turn_s_2 started
            step 0
            history: user("hi") assistant("Hm", call t1 clock {}) user(error t1 "not run: the answer was cut off before its calls were handed out", "wait")
        "#]],
    );
}

#[test]
fn interrupt_starts_a_turn_when_none_runs() {
    check(
        "interrupt#a: hi",
        expect![[r#"
        ! call model 1: user("hi")
        frame a StartedTurn turn_s_1
        turn_s_1 started by frame a
        step 0
        history: user("hi")
    "#]],
    );
}

#[test]
fn replace_drops_the_turn() {
    check(
        "
            user: one | model: ok | done | user: two | model: Hm | replace#a: three | model: ok
            done
        ",
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
            text "Hm"
            ! abort model 2
            ! call model 3: user("one") assistant("ok") user("three")
            frame a Interrupted turn_s_2
            interrupted: NewInput
            turn_s_2 ended: Interrupted, Interrupted, assistant("Hm"), about 30+1 tokens, 1 model, 0 tool
            turn_s_3 started by frame a
            step 0
            text "ok"
            ! finish model 3
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_3 ended: Completed, EndTurn, assistant("ok"), 10+5 tokens, 1 model, 0 tool
            history: user("one") assistant("ok") user("three") assistant("ok")
        "#]],
    );
}

#[test]
fn replace_drops_the_steps_of_the_turn_too() {
    check(
        "
            user: hi | call: t1 clock {} | done: tool_use | result: t1 noon | model: It
            replace#a: bye | model: ok | done
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
            text "It"
            ! abort model 2
            ! call model 3: user("bye")
            frame a Interrupted turn_s_1
            interrupted: NewInput
            turn_s_1 ended: Interrupted, Interrupted, assistant("It"), about 41+6 tokens, 2 model, 1 tool
            turn_s_2 started by frame a
            step 0
            text "ok"
            ! finish model 3
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_2 ended: Completed, EndTurn, assistant("ok"), 10+5 tokens, 1 model, 0 tool
            history: user("bye") assistant("ok")
        "#]],
    );
}

#[test]
fn replace_of_a_paused_turn_drops_it() {
    check(
        "invoke: hi | call: t1 clock {} | done: tool_use | replace#a: bye | model: ok | done",
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
            ! call model 2: user("bye")
            frame a Interrupted turn_s_1
            turn_s_1 goes on
            interrupted: NewInput
            calls cancelled: t1
            turn_s_1 ended: Interrupted, Interrupted, assistant(call t1 clock {}), 10+5 tokens, 1 model, 1 tool
            turn_s_2 started by frame a
            step 0
            text "ok"
            ! finish model 2
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_2 ended: Completed, EndTurn, assistant("ok"), 10+5 tokens, 1 model, 0 tool
            history: user("bye") assistant("ok")
        "#]],
    );
}

#[test]
fn replace_leaves_what_earlier_turns_made_of_the_last_message() {
    check(
        "user: one | stop | user: two | replace: three | model: ok | done",
        expect![[r#"
            ! call model 1: user("one")
            turn_s_1 started
            step 0
            ! abort model 1
            interrupted: Client
            turn_s_1 ended: Interrupted, Interrupted, about 28+0 tokens, 1 model, 0 tool
            ! call model 2: user("one", "two")
            turn_s_2 started
            step 0
            ! abort model 2
            ! call model 3: user("one", "three")
            interrupted: NewInput
            turn_s_2 ended: Interrupted, Interrupted, about 29+0 tokens, 1 model, 0 tool
            turn_s_3 started
            step 0
            text "ok"
            ! finish model 3
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_3 ended: Completed, EndTurn, assistant("ok"), 10+5 tokens, 1 model, 0 tool
            history: user("one", "three") assistant("ok")
        "#]],
    );
}

#[test]
fn replace_starts_a_turn_when_none_runs() {
    check(
        "replace#a: hi",
        expect![[r#"
        ! call model 1: user("hi")
        frame a StartedTurn turn_s_1
        turn_s_1 started by frame a
        step 0
        history: user("hi")
    "#]],
    );
}

#[test]
fn steer_joins_before_the_next_model_call() {
    check(
        "
            user: hi | steer#a: in short | call: t1 clock {} | done: tool_use | steer#b: please
            result: t1 noon | model: ok | done
        ",
        expect![[r#"
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            frame a Steered turn_s_1
            input of t1: {}
            block 0 done: call t1 clock {}
            ! finish model 1
            step done: ToolUse, 10+5 tokens, 1 model, 0 tool
            call t1 clock {} as turn_s_1/0/t1
            frame b Steered turn_s_1
            ! call model 2: user("hi") assistant(call t1 clock {}) user(result t1 "noon", "in short", "please")
            usage so far: 10+5 tokens, 1 model, 1 tool
            step 1
            text "ok"
            ! finish model 2
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_1 ended: Completed, EndTurn, assistant("ok"), 20+10 tokens, 2 model, 1 tool
            history: user("hi") assistant(call t1 clock {}) user(result t1 "noon", "in short", "please") assistant("ok")
        "#]],
    );
}

#[test]
fn steer_joins_a_paused_turn() {
    check(
        "
            invoke: hi | call: t1 clock {} | done: tool_use | steer#a: in short
            answer: t1 noon | model: ok | done
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
            frame a Steered turn_s_1
            ! answer 2: turn_s_1 from 10
            ! call model 2: user("hi") assistant(call t1 clock {}) user(result t1 "noon", "in short")
            turn_s_1 goes on
            usage so far: 10+5 tokens, 1 model, 1 tool
            step 1
            text "ok"
            ! finish model 2
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_1 ended: Completed, EndTurn, assistant("ok"), 20+10 tokens, 2 model, 1 tool
            history: user("hi") assistant(call t1 clock {}) user(result t1 "noon", "in short") assistant("ok")
        "#]],
    );
}

#[test]
fn steer_that_finds_no_model_call_starts_the_next_turn() {
    check(
        "
            user: hi | steer#a: one | steer#b: two | queue#c: three | model: ok | done
            model: ok | done | model: ok | done
        ",
        expect![[r#"
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            frame a Steered turn_s_1
            frame b Steered turn_s_1
            frame c Queued
            text "ok"
            ! finish model 1
            ! call model 2: user("hi") assistant("ok") user("one")
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_1 ended: Completed, EndTurn, assistant("ok"), 10+5 tokens, 1 model, 0 tool
            turn_s_2 started by frame a
            step 0
            text "ok"
            ! finish model 2
            ! call model 3: user("hi") assistant("ok") user("one") assistant("ok") user("two")
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_2 ended: Completed, EndTurn, assistant("ok"), 10+5 tokens, 1 model, 0 tool
            turn_s_3 started by frame b
            step 0
            text "ok"
            ! finish model 3
            ! call model 4: user("hi") assistant("ok") user("one") assistant("ok") user("two") assistant("ok") user("three")
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_3 ended: Completed, EndTurn, assistant("ok"), 10+5 tokens, 1 model, 0 tool
            turn_s_4 started by frame c
            step 0
            history: user("hi") assistant("ok") user("one") assistant("ok") user("two") assistant("ok") user("three")
        "#]],
    );
}

#[test]
fn steer_that_the_step_limit_leaves_over_starts_the_next_turn() {
    check(
        "
            with: max_steps=1
            user: hi | steer#a: one | call: t1 clock {} | done: tool_use | result: t1 noon
        ",
        expect![[r#"
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            frame a Steered turn_s_1
            input of t1: {}
            block 0 done: call t1 clock {}
            ! finish model 1
            step done: ToolUse, 10+5 tokens, 1 model, 0 tool
            call t1 clock {} as turn_s_1/0/t1
            ! call model 2: user("hi") assistant(call t1 clock {}) user(result t1 "noon", "one")
            usage so far: 10+5 tokens, 1 model, 1 tool
            turn_s_1 ended: Completed, MaxSteps, assistant(call t1 clock {}), 10+5 tokens, 1 model, 1 tool
            turn_s_2 started by frame a
            step 0
            history: user("hi") assistant(call t1 clock {}) user(result t1 "noon", "one")
        "#]],
    );
}

#[test]
fn steer_of_an_interrupted_turn_starts_the_next() {
    check(
        "user: hi | steer#a: one | stop | model: ok | done",
        expect![[r#"
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            frame a Steered turn_s_1
            ! abort model 1
            ! call model 2: user("hi", "one")
            interrupted: Client
            turn_s_1 ended: Interrupted, Interrupted, about 28+0 tokens, 1 model, 0 tool
            turn_s_2 started by frame a
            step 0
            text "ok"
            ! finish model 2
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_2 ended: Completed, EndTurn, assistant("ok"), 10+5 tokens, 1 model, 0 tool
            history: user("hi", "one") assistant("ok")
        "#]],
    );
}

#[test]
fn steer_starts_a_turn_when_none_runs() {
    check(
        "steer#a: hi",
        expect![[r#"
        ! call model 1: user("hi")
        frame a StartedTurn turn_s_1
        turn_s_1 started by frame a
        step 0
        history: user("hi")
    "#]],
    );
}

#[test]
fn context_joins_without_a_turn() {
    check(
        "context#a: know this | user: hi | model: ok | done | context: and this",
        expect![[r#"
            frame a Applied
            ! call model 1: user("know this", "hi")
            turn_s_1 started
            step 0
            text "ok"
            ! finish model 1
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_1 ended: Completed, EndTurn, assistant("ok"), 10+5 tokens, 1 model, 0 tool
            history: user("know this", "hi") assistant("ok") user("and this")
        "#]],
    );
}

#[test]
fn context_waits_for_the_turn() {
    check(
        "user: hi | context#a: know this | model: ok | done | user: more | model: ok | done",
        expect![[r#"
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            frame a Queued
            text "ok"
            ! finish model 1
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_1 ended: Completed, EndTurn, assistant("ok"), 10+5 tokens, 1 model, 0 tool
            ! call model 2: user("hi") assistant("ok") user("know this", "more")
            turn_s_2 started
            step 0
            text "ok"
            ! finish model 2
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_2 ended: Completed, EndTurn, assistant("ok"), 10+5 tokens, 1 model, 0 tool
            history: user("hi") assistant("ok") user("know this", "more") assistant("ok")
        "#]],
    );
}

#[test]
fn context_interrupts_nothing_and_is_refused_under_reject() {
    check(
        "
            user: hi | model: Hel | context-interrupt#a: one | context-reject#b: two | model: lo
            done
        ",
        expect![[r#"
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            text "Hel"
            frame a Queued
            frame b rejected: TurnInProgress (another turn runs in this session)
            text "lo"
            ! finish model 1
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_1 ended: Completed, EndTurn, assistant("Hello"), 10+5 tokens, 1 model, 0 tool
            history: user("hi") assistant("Hello") user("one")
        "#]],
    );
}

#[test]
fn context_and_input_keep_their_order_in_the_queue() {
    check(
        "
            user: hi | context#a: one | queue#b: two | context#c: three | model: ok | done
            model: ok | done
        ",
        expect![[r#"
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            frame a Queued
            frame b Queued behind 1
            frame c Queued behind 2
            text "ok"
            ! finish model 1
            ! call model 2: user("hi") assistant("ok") user("one", "two")
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_1 ended: Completed, EndTurn, assistant("ok"), 10+5 tokens, 1 model, 0 tool
            turn_s_2 started by frame b
            step 0
            text "ok"
            ! finish model 2
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_2 ended: Completed, EndTurn, assistant("ok"), 10+5 tokens, 1 model, 0 tool
            history: user("hi") assistant("ok") user("one", "two") assistant("ok") user("three")
        "#]],
    );
}

#[test]
fn the_interrupt_frame_keeps_what_was_sent() {
    check(
        "user: hi | model: Hel | stop#a | user: more | model: ok | done",
        expect![[r#"
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            text "Hel"
            ! abort model 1
            frame a Applied turn_s_1
            interrupted: Client
            turn_s_1 ended: Interrupted, Interrupted, assistant("Hel"), about 28+1 tokens, 1 model, 0 tool
            ! call model 2: user("hi") assistant("Hel") user("more")
            turn_s_2 started
            step 0
            text "ok"
            ! finish model 2
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_2 ended: Completed, EndTurn, assistant("ok"), 10+5 tokens, 1 model, 0 tool
            history: user("hi") assistant("Hel") user("more") assistant("ok")
        "#]],
    );
}

#[test]
fn the_interrupt_frame_can_drop_the_output() {
    check(
        "user: hi | model: Hel | discard#a | user: more | model: ok | done",
        expect![[r#"
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            text "Hel"
            ! abort model 1
            frame a Applied turn_s_1
            interrupted: Client
            turn_s_1 ended: Interrupted, Interrupted, assistant("Hel"), about 28+1 tokens, 1 model, 0 tool
            ! call model 2: user("hi", "more")
            turn_s_2 started
            step 0
            text "ok"
            ! finish model 2
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_2 ended: Completed, EndTurn, assistant("ok"), 10+5 tokens, 1 model, 0 tool
            history: user("hi", "more") assistant("ok")
        "#]],
    );
}

#[test]
fn dropping_the_output_leaves_finished_steps() {
    check(
        "
            user: hi | call: t1 clock {} | done: tool_use | result: t1 noon | model: It
            discard
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
            text "It"
            ! abort model 2
            interrupted: Client
            turn_s_1 ended: Interrupted, Interrupted, assistant("It"), about 41+6 tokens, 2 model, 1 tool
            history: user("hi") assistant(call t1 clock {}) user(result t1 "noon")
        "#]],
    );
}

#[test]
fn dropping_the_output_while_a_tool_runs_leaves_its_step() {
    check(
        "user: hi | call: t1 clock {} | done: tool_use | discard",
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
            history: user("hi") assistant(call t1 clock {}) user(error t1 "not known: the user interrupted before the result came")
        "#]],
    );
}

#[test]
fn the_interrupt_frame_lets_the_queue_go_on() {
    check(
        "user: hi | queue#q: next | stop#a | model: ok | done",
        expect![[r#"
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            frame q Queued
            ! abort model 1
            ! call model 2: user("hi", "next")
            frame a Applied turn_s_1
            interrupted: Client
            turn_s_1 ended: Interrupted, Interrupted, about 28+0 tokens, 1 model, 0 tool
            turn_s_2 started by frame q
            step 0
            text "ok"
            ! finish model 2
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_2 ended: Completed, EndTurn, assistant("ok"), 10+5 tokens, 1 model, 0 tool
            history: user("hi", "next") assistant("ok")
        "#]],
    );
}

#[test]
fn the_interrupt_frame_stops_a_named_turn() {
    check(
        "user: hi | stop#a: turn_s_1",
        expect![[r#"
        ! call model 1: user("hi")
        turn_s_1 started
        step 0
        ! abort model 1
        frame a Applied turn_s_1
        interrupted: Client
        turn_s_1 ended: Interrupted, Interrupted, about 28+0 tokens, 1 model, 0 tool
        history: user("hi")
    "#]],
    );
}

#[test]
fn the_interrupt_frame_is_too_late_for_an_ended_turn() {
    check(
        "
            with: kept_turns=1
            stop#a | user: hi | model: ok | done | user: hi | model: ok | done
            stop#b: turn_s_1 | stop#c
        ",
        expect![[r#"
            frame a TooLate
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
            frame b TooLate turn_s_1
            frame c TooLate
            history: user("hi") assistant("ok") user("hi") assistant("ok")
        "#]],
    );
}

#[test]
fn the_interrupt_frame_of_an_unknown_turn_is_refused() {
    check(
        "user: hi | stop#a: turn_s_2 | stop#b: turn_s_01 | stop#c: other",
        expect![[r#"
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            frame a rejected: TurnNotFound (there is no such turn)
            frame b rejected: TurnNotFound (there is no such turn)
            frame c rejected: TurnNotFound (there is no such turn)
            history: user("hi")
        "#]],
    );
}

#[test]
fn the_interrupt_frame_of_an_earlier_turn_leaves_the_running_one() {
    check(
        "user: hi | model: ok | done | user: more | stop#a: turn_s_1 | model: ok | done",
        expect![[r#"
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            text "ok"
            ! finish model 1
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_1 ended: Completed, EndTurn, assistant("ok"), 10+5 tokens, 1 model, 0 tool
            ! call model 2: user("hi") assistant("ok") user("more")
            turn_s_2 started
            step 0
            frame a TooLate turn_s_1
            text "ok"
            ! finish model 2
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_2 ended: Completed, EndTurn, assistant("ok"), 10+5 tokens, 1 model, 0 tool
            history: user("hi") assistant("ok") user("more") assistant("ok")
        "#]],
    );
}
