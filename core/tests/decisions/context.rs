//! Conversations that outgrow their model: what goes, what stays, what is told.

mod summarize;
mod view;

use expect_test::{Expect, expect};

use crate::script::{check, play};

/// Two turns of about 41 tokens each, beside the 27 of the tools, and a third that begins.
const SCENE: &str = "
    user: one | model: 160 bytes | counted: 28+40
    user: two | model: 160 bytes | counted: 69+40
";

/// Checks what a script adds to that of the scene.
#[track_caller]
fn check_after_scene(settings: &str, script: &str, expected: Expect) {
    let scene = format!("with: {settings} {SCENE}");
    let before = play(&scene);
    let (before, _) = before.split_once("history:").unwrap();
    let all = play(&format!("{scene} {script}"));
    expected.assert_eq(all.strip_prefix(before).unwrap());
}

#[test]
fn below_the_trigger_all_is_sent() {
    check_after_scene(
        "slide=110/50",
        "user: sure",
        expect![[r#"
        ! call model 3: user("one") assistant("xxxxxxxxxxxxxxxxxxxx"… of 160 bytes) user("two") assistant("xxxxxxxxxxxxxxxxxxxx"… of 160 bytes) user("sure")
        turn_s_3 started
        step 0
        history: user("one") assistant("xxxxxxxxxxxxxxxxxxxx"… of 160 bytes) user("two") assistant("xxxxxxxxxxxxxxxxxxxx"… of 160 bytes) user("sure")
    "#]],
    );
}

#[test]
fn above_the_trigger_the_oldest_turns_go() {
    check_after_scene(
        "slide=100/75",
        "user: three | model: ok | done",
        expect![[r#"
            ! call model 3: user("two") assistant("xxxxxxxxxxxxxxxxxxxx"… of 160 bytes) user("three")
            turn_s_3 started
            Sliding left 2 messages out, 111 tokens to 70
            step 0
            text "ok"
            ! finish model 3
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_3 ended: Completed, EndTurn, assistant("ok"), 10+5 tokens, 1 model, 0 tool
            history: user("one") assistant("xxxxxxxxxxxxxxxxxxxx"… of 160 bytes) user("two") assistant("xxxxxxxxxxxxxxxxxxxx"… of 160 bytes) user("three") assistant("ok")
        "#]],
    );
}

#[test]
fn as_many_turns_go_as_the_target_wants() {
    check_after_scene(
        "slide=100/60",
        "user: three | model: ok | done",
        expect![[r#"
            ! call model 3: user("three")
            turn_s_3 started
            Sliding left 4 messages out, 111 tokens to 29
            step 0
            text "ok"
            ! finish model 3
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_3 ended: Completed, EndTurn, assistant("ok"), 10+5 tokens, 1 model, 0 tool
            history: user("one") assistant("xxxxxxxxxxxxxxxxxxxx"… of 160 bytes) user("two") assistant("xxxxxxxxxxxxxxxxxxxx"… of 160 bytes) user("three") assistant("ok")
        "#]],
    );
}

#[test]
fn the_provider_s_count_decides() {
    check_after_scene(
        "slide=400/300",
        "model: x | user: three | model: ok | counted: 500+5 | user: four | model: ok | done",
        expect![[r#"
            ! call model 3: user("one") assistant("xxxxxxxxxxxxxxxxxxxx"… of 160 bytes) user("two") assistant("xxxxxxxxxxxxxxxxxxxx"… of 160 bytes) user("three")
            turn_s_3 started
            step 0
            text "ok"
            ! finish model 3
            step done: EndTurn, 500+5 tokens, 1 model, 0 tool
            turn_s_3 ended: Completed, EndTurn, assistant("ok"), 500+5 tokens, 1 model, 0 tool
            ! call model 4: user("three") assistant("ok") user("four")
            turn_s_4 started
            Sliding left 4 messages out, 506 tokens to 138
            step 0
            text "ok"
            ! finish model 4
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_4 ended: Completed, EndTurn, assistant("ok"), 10+5 tokens, 1 model, 0 tool
            history: user("one") assistant("xxxxxxxxxxxxxxxxxxxx"… of 160 bytes) user("two") assistant("xxxxxxxxxxxxxxxxxxxx"… of 160 bytes) user("three") assistant("ok") user("four") assistant("ok")
        "#]],
    );
}

#[test]
fn steering_words_count_before_they_are_said() {
    check_after_scene(
        "slide=130/80",
        "user: three | call: t1 clock {} | counted: 111+5 | steer: 80 bytes | result: t1 ok | model: ok | done",
        expect![[r#"
            ! call model 3: user("one") assistant("xxxxxxxxxxxxxxxxxxxx"… of 160 bytes) user("two") assistant("xxxxxxxxxxxxxxxxxxxx"… of 160 bytes) user("three")
            turn_s_3 started
            step 0
            input of t1: {}
            block 0 done: call t1 clock {}
            ! finish model 3
            step done: EndTurn, 111+5 tokens, 1 model, 0 tool
            call t1 clock {} as turn_s_3/0/t1
            ! call model 4: user("three") assistant(call t1 clock {}) user(result t1 "ok", "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx")
            usage so far: 111+5 tokens, 1 model, 1 tool
            Sliding left 4 messages out, 137 tokens to 53
            step 1
            text "ok"
            ! finish model 4
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_3 ended: Completed, EndTurn, assistant("ok"), 121+10 tokens, 2 model, 1 tool
            history: user("one") assistant("xxxxxxxxxxxxxxxxxxxx"… of 160 bytes) user("two") assistant("xxxxxxxxxxxxxxxxxxxx"… of 160 bytes) user("three") assistant(call t1 clock {}) user(result t1 "ok", "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx") assistant("ok")
        "#]],
    );
}

#[test]
fn a_later_cut_leaves_more_out() {
    check_after_scene(
        "slide=100/75",
        "user: three | model: 160 bytes | counted: 70+40 | user: four | model: ok | done",
        expect![[r#"
            ! call model 3: user("two") assistant("xxxxxxxxxxxxxxxxxxxx"… of 160 bytes) user("three")
            turn_s_3 started
            Sliding left 2 messages out, 111 tokens to 70
            step 0
            text "xxxxxxxxxxxxxxxxxxxx"… of 160 bytes
            ! finish model 3
            step done: EndTurn, 70+40 tokens, 1 model, 0 tool
            turn_s_3 ended: Completed, EndTurn, assistant("xxxxxxxxxxxxxxxxxxxx"… of 160 bytes), 70+40 tokens, 1 model, 0 tool
            ! call model 4: user("three") assistant("xxxxxxxxxxxxxxxxxxxx"… of 160 bytes) user("four")
            turn_s_4 started
            Sliding left 2 messages out, 111 tokens to 70
            step 0
            text "ok"
            ! finish model 4
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_4 ended: Completed, EndTurn, assistant("ok"), 10+5 tokens, 1 model, 0 tool
            history: user("one") assistant("xxxxxxxxxxxxxxxxxxxx"… of 160 bytes) user("two") assistant("xxxxxxxxxxxxxxxxxxxx"… of 160 bytes) user("three") assistant("xxxxxxxxxxxxxxxxxxxx"… of 160 bytes) user("four") assistant("ok")
        "#]],
    );
}

#[test]
fn a_turn_that_is_replaced_takes_no_cut_back() {
    check_after_scene(
        "slide=100/75",
        "user: three | model: I | replace: four | model: ok | done",
        expect![[r#"
            ! call model 3: user("two") assistant("xxxxxxxxxxxxxxxxxxxx"… of 160 bytes) user("three")
            turn_s_3 started
            Sliding left 2 messages out, 111 tokens to 70
            step 0
            text "I"
            ! abort model 3
            ! call model 4: user("two") assistant("xxxxxxxxxxxxxxxxxxxx"… of 160 bytes) user("four")
            interrupted: NewInput
            turn_s_3 ended: Interrupted, Interrupted, assistant("I"), about 70+1 tokens, 1 model, 0 tool
            turn_s_4 started
            step 0
            text "ok"
            ! finish model 4
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_4 ended: Completed, EndTurn, assistant("ok"), 10+5 tokens, 1 model, 0 tool
            history: user("one") assistant("xxxxxxxxxxxxxxxxxxxx"… of 160 bytes) user("two") assistant("xxxxxxxxxxxxxxxxxxxx"… of 160 bytes) user("four") assistant("ok")
        "#]],
    );
}

#[test]
fn a_cut_that_leaves_the_running_turn_alone_outlives_it() {
    check_after_scene(
        "slide=100/60",
        "user: three | model: I | replace: four | model: ok | done",
        expect![[r#"
            ! call model 3: user("three")
            turn_s_3 started
            Sliding left 4 messages out, 111 tokens to 29
            step 0
            text "I"
            ! abort model 3
            ! call model 4: user("four")
            interrupted: NewInput
            turn_s_3 ended: Interrupted, Interrupted, assistant("I"), about 29+1 tokens, 1 model, 0 tool
            turn_s_4 started
            step 0
            text "ok"
            ! finish model 4
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_4 ended: Completed, EndTurn, assistant("ok"), 10+5 tokens, 1 model, 0 tool
            history: user("one") assistant("xxxxxxxxxxxxxxxxxxxx"… of 160 bytes) user("two") assistant("xxxxxxxxxxxxxxxxxxxx"… of 160 bytes) user("four") assistant("ok")
        "#]],
    );
}

#[test]
fn a_turn_that_fails_takes_no_cut_back() {
    check_after_scene(
        "slide=100/60",
        "user: three | failed | user: four | model: ok | done",
        expect![[r#"
            ! call model 3: user("three")
            turn_s_3 started
            Sliding left 4 messages out, 111 tokens to 29
            step 0
            turn_s_3 ended: Failed, Error, 0+0 tokens, 1 model, 0 tool, ModelThrottled (throttled)
            ! call model 4: user("four")
            turn_s_4 started
            step 0
            text "ok"
            ! finish model 4
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_4 ended: Completed, EndTurn, assistant("ok"), 10+5 tokens, 1 model, 0 tool
            history: user("one") assistant("xxxxxxxxxxxxxxxxxxxx"… of 160 bytes) user("two") assistant("xxxxxxxxxxxxxxxxxxxx"… of 160 bytes) user("four") assistant("ok")
        "#]],
    );
}

#[test]
fn a_turn_without_steps_left_cuts_nothing() {
    check_after_scene(
        "slide=120/60 max_steps=1",
        "user: three | call: t1 clock {} | counted: 110+5 | result: t1 100 bytes",
        expect![[r#"
            ! call model 3: user("one") assistant("xxxxxxxxxxxxxxxxxxxx"… of 160 bytes) user("two") assistant("xxxxxxxxxxxxxxxxxxxx"… of 160 bytes) user("three")
            turn_s_3 started
            step 0
            input of t1: {}
            block 0 done: call t1 clock {}
            ! finish model 3
            step done: EndTurn, 110+5 tokens, 1 model, 0 tool
            call t1 clock {} as turn_s_3/0/t1
            usage so far: 110+5 tokens, 1 model, 1 tool
            turn_s_3 ended: Completed, MaxSteps, assistant(call t1 clock {}), 110+5 tokens, 1 model, 1 tool
            history: user("one") assistant("xxxxxxxxxxxxxxxxxxxx"… of 160 bytes) user("two") assistant("xxxxxxxxxxxxxxxxxxxx"… of 160 bytes) user("three") assistant(call t1 clock {}) user(result t1 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx")
        "#]],
    );
}

#[test]
fn a_cut_makes_room_in_the_budget_too() {
    check_after_scene(
        "slide=100/60 budget=100",
        "user: three | model: ok | done",
        expect![[r#"
            ! call model 3 (at most 71): user("three")
            turn_s_3 started
            Sliding left 4 messages out, 111 tokens to 29
            step 0
            text "ok"
            ! finish model 3
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_3 ended: Completed, EndTurn, assistant("ok"), 10+5 tokens, 1 model, 0 tool
            history: user("one") assistant("xxxxxxxxxxxxxxxxxxxx"… of 160 bytes) user("two") assistant("xxxxxxxxxxxxxxxxxxxx"… of 160 bytes) user("three") assistant("ok")
        "#]],
    );
}

#[test]
fn a_cut_outlives_the_process() {
    check_after_scene(
        "slide=100/75",
        "user: three | model: ok | counted: 70+1 | crash | user: four | model: o | crash | user: five | model: ok | done",
        expect![[r#"
            ! call model 3: user("two") assistant("xxxxxxxxxxxxxxxxxxxx"… of 160 bytes) user("three")
            turn_s_3 started
            Sliding left 2 messages out, 111 tokens to 70
            step 0
            text "ok"
            ! finish model 3
            step done: EndTurn, 70+1 tokens, 1 model, 0 tool
            turn_s_3 ended: Completed, EndTurn, assistant("ok"), 70+1 tokens, 1 model, 0 tool
            ? restored
            ! call model 4: user("two") assistant("xxxxxxxxxxxxxxxxxxxx"… of 160 bytes) user("three") assistant("ok") user("four")
            turn_s_4 started
            step 0
            text "o"
            ? restored
            turn_s_4 ended: Failed, Incomplete, assistant("o"), about 72+1 tokens, 1 model, 0 tool, ShuttingDown (the server stopped, or lost its store, before the turn ended)
            ! call model 6: user("two") assistant("xxxxxxxxxxxxxxxxxxxx"… of 160 bytes) user("three") assistant("ok") user("four") assistant("o") user("five")
            turn_s_5 started
            step 0
            text "ok"
            ! finish model 6
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_5 ended: Completed, EndTurn, assistant("ok"), 10+5 tokens, 1 model, 0 tool
            history: user("one") assistant("xxxxxxxxxxxxxxxxxxxx"… of 160 bytes) user("two") assistant("xxxxxxxxxxxxxxxxxxxx"… of 160 bytes) user("three") assistant("ok") user("four") assistant("o") user("five") assistant("ok")
        "#]],
    );
}

#[test]
fn the_count_outlives_the_process() {
    check_after_scene(
        "slide=160/75",
        "user: three | model: ok | counted: 170+1 | crash | user: four",
        expect![[r#"
            ! call model 3: user("one") assistant("xxxxxxxxxxxxxxxxxxxx"… of 160 bytes) user("two") assistant("xxxxxxxxxxxxxxxxxxxx"… of 160 bytes) user("three")
            turn_s_3 started
            step 0
            text "ok"
            ! finish model 3
            step done: EndTurn, 170+1 tokens, 1 model, 0 tool
            turn_s_3 ended: Completed, EndTurn, assistant("ok"), 170+1 tokens, 1 model, 0 tool
            ? restored
            ! call model 4: user("three") assistant("ok") user("four")
            turn_s_4 started
            Sliding left 4 messages out, 172 tokens to 47
            step 0
            history: user("one") assistant("xxxxxxxxxxxxxxxxxxxx"… of 160 bytes) user("two") assistant("xxxxxxxxxxxxxxxxxxxx"… of 160 bytes) user("three") assistant("ok") user("four")
        "#]],
    );
}

#[test]
fn without_a_count_the_estimate_decides() {
    check(
        "
            with: slide=60/40
            user: one | model: 160 bytes | end | closed | user: two | model: ok | done
        ",
        expect![[r#"
            ! call model 1: user("one")
            turn_s_1 started
            step 0
            text "xxxxxxxxxxxxxxxxxxxx"… of 160 bytes
            step done: EndTurn, about 28+40 tokens, 1 model, 0 tool
            turn_s_1 ended: Completed, EndTurn, assistant("xxxxxxxxxxxxxxxxxxxx"… of 160 bytes), about 28+40 tokens, 1 model, 0 tool
            ! call model 2: user("two")
            turn_s_2 started
            Sliding left 2 messages out, 69 tokens to 28
            step 0
            text "ok"
            ! finish model 2
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_2 ended: Completed, EndTurn, assistant("ok"), 10+5 tokens, 1 model, 0 tool
            history: user("one") assistant("xxxxxxxxxxxxxxxxxxxx"… of 160 bytes) user("two") assistant("ok")
        "#]],
    );
}

#[test]
fn the_running_turn_never_goes() {
    check(
        "
            with: slide=10/5
            user: 400 bytes | call: t1 clock {} | done: tool_use | result: t1 400 bytes
            model: ok | done
        ",
        expect![[r#"
            ! call model 1: user("xxxxxxxxxxxxxxxxxxxx"… of 400 bytes)
            turn_s_1 started
            step 0
            input of t1: {}
            block 0 done: call t1 clock {}
            ! finish model 1
            step done: ToolUse, 10+5 tokens, 1 model, 0 tool
            call t1 clock {} as turn_s_1/0/t1
            ! call model 2: user("xxxxxxxxxxxxxxxxxxxx"… of 400 bytes) assistant(call t1 clock {}) user(result t1 "xxxxxxxxxxxxxxxxxxxx"… of 400 bytes)
            usage so far: 10+5 tokens, 1 model, 1 tool
            step 1
            text "ok"
            ! finish model 2
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_1 ended: Completed, EndTurn, assistant("ok"), 20+10 tokens, 2 model, 1 tool
            history: user("xxxxxxxxxxxxxxxxxxxx"… of 400 bytes) assistant(call t1 clock {}) user(result t1 "xxxxxxxxxxxxxxxxxxxx"… of 400 bytes) assistant("ok")
        "#]],
    );
}

#[test]
fn calls_and_their_results_go_together() {
    check(
        "
            with: slide=60/30
            user: time? | call: t1 clock {} | counted: 28+3 | result: t1 noon
            model: noon | counted: 40+5
            user: weather? | call: t2 clock {} | counted: 47+3 | result: t2 80 bytes
            model: ok | done
        ",
        expect![[r#"
            ! call model 1: user("time?")
            turn_s_1 started
            step 0
            input of t1: {}
            block 0 done: call t1 clock {}
            ! finish model 1
            step done: EndTurn, 28+3 tokens, 1 model, 0 tool
            call t1 clock {} as turn_s_1/0/t1
            ! call model 2: user("time?") assistant(call t1 clock {}) user(result t1 "noon")
            usage so far: 28+3 tokens, 1 model, 1 tool
            step 1
            text "noon"
            ! finish model 2
            step done: EndTurn, 40+5 tokens, 1 model, 0 tool
            turn_s_1 ended: Completed, EndTurn, assistant("noon"), 68+8 tokens, 2 model, 1 tool
            ! call model 3: user("time?") assistant(call t1 clock {}) user(result t1 "noon") assistant("noon") user("weather?")
            turn_s_2 started
            step 0
            input of t2: {}
            block 0 done: call t2 clock {}
            ! finish model 3
            step done: EndTurn, 47+3 tokens, 1 model, 0 tool
            call t2 clock {} as turn_s_2/0/t2
            ! call model 4: user("weather?") assistant(call t2 clock {}) user(result t2 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx")
            usage so far: 47+3 tokens, 1 model, 1 tool
            Sliding left 4 messages out, 70 tokens to 62
            step 1
            text "ok"
            ! finish model 4
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_2 ended: Completed, EndTurn, assistant("ok"), 57+8 tokens, 2 model, 1 tool
            history: user("time?") assistant(call t1 clock {}) user(result t1 "noon") assistant("noon") user("weather?") assistant(call t2 clock {}) user(result t2 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx") assistant("ok")
        "#]],
    );
}

#[test]
fn a_caller_that_brings_its_history_has_it_cut_each_time() {
    check(
        "
            with: slide=50/40
            bring: system=be brief; user=130 bytes; assistant=a; user=130 bytes; assistant=b
            invoke: c | model: ok | done
        ",
        expect![[r#"
            ! answer 1: turn_s_1 from 1
            ! call model 1: system("be brief") user("c")
            turn_s_1 started
            Sliding left 4 messages out, 98 tokens to 30
            step 0
            text "ok"
            ! finish model 1
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_1 ended: Completed, EndTurn, assistant("ok"), 10+5 tokens, 1 model, 0 tool
            history: system("be brief") user("xxxxxxxxxxxxxxxxxxxx"… of 130 bytes) assistant("a") user("xxxxxxxxxxxxxxxxxxxx"… of 130 bytes) assistant("b") user("c") assistant("ok")
        "#]],
    );
}

#[test]
fn pinned_messages_stay_with_the_answer_to_them() {
    check(
        "
            with: slide=60/40
            bring: user!=the house rules; assistant=noted; user=130 bytes; assistant=sure
            invoke: hi | model: ok | counted: 34+1 | invoke: 130 bytes | model: ok | done
        ",
        expect![[r#"
            ! answer 1: turn_s_1 from 1
            ! call model 1: user pinned("the house rules") assistant("noted") user("hi")
            turn_s_1 started
            Sliding left 2 messages out, 68 tokens to 34
            step 0
            text "ok"
            ! finish model 1
            step done: EndTurn, 34+1 tokens, 1 model, 0 tool
            turn_s_1 ended: Completed, EndTurn, assistant("ok"), 34+1 tokens, 1 model, 0 tool
            ! answer 2: turn_s_2 from 9
            ! call model 2: user pinned("the house rules") assistant("noted") user("xxxxxxxxxxxxxxxxxxxx"… of 130 bytes)
            turn_s_2 started
            Sliding left 2 messages out, 68 tokens to 66
            step 0
            text "ok"
            ! finish model 2
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_2 ended: Completed, EndTurn, assistant("ok"), 10+5 tokens, 1 model, 0 tool
            history: user pinned("the house rules") assistant("noted") user("xxxxxxxxxxxxxxxxxxxx"… of 130 bytes) assistant("sure") user("hi") assistant("ok") user("xxxxxxxxxxxxxxxxxxxx"… of 130 bytes) assistant("ok")
        "#]],
    );
}

#[test]
fn a_pinned_call_stays_with_its_result() {
    check(
        "
            with: slide=60/40
            bring: user=time?; assistant=call t0 clock {}; user=result t0 1; assistant!=call t1 clock {}; user=result t1 2; assistant=call t2 clock {}; user=result t2 3; assistant=noon; user=200 bytes; assistant=sure
            invoke: hi | model: ok | done
        ",
        expect![[r#"
            ! answer 1: turn_s_1 from 1
            ! call model 1: user("time?") assistant(call t0 clock {}) user(result t0 "1") assistant pinned(call t1 clock {}) user(result t1 "2") assistant("noon") user("hi")
            turn_s_1 started
            Sliding left 4 messages out, 91 tokens to 37
            step 0
            text "ok"
            ! finish model 1
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_1 ended: Completed, EndTurn, assistant("ok"), 10+5 tokens, 1 model, 0 tool
            history: user("time?") assistant(call t0 clock {}) user(result t0 "1") assistant pinned(call t1 clock {}) user(result t1 "2") assistant(call t2 clock {}) user(result t2 "3") assistant("noon") user("xxxxxxxxxxxxxxxxxxxx"… of 200 bytes) assistant("sure") user("hi") assistant("ok")
        "#]],
    );
}

#[test]
fn words_that_follow_a_pinned_message_alone_are_of_its_turn() {
    check(
        "
            with: slide=50/40
            bring: user!=rules; user=read them; assistant=done; user=130 bytes; assistant=sure
            invoke: hi | model: ok | done
        ",
        expect![[r#"
            ! answer 1: turn_s_1 from 1
            ! call model 1: user pinned("rules", "read them") assistant("done") user("hi")
            turn_s_1 started
            Sliding left 2 messages out, 68 tokens to 34
            step 0
            text "ok"
            ! finish model 1
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_1 ended: Completed, EndTurn, assistant("ok"), 10+5 tokens, 1 model, 0 tool
            history: user pinned("rules") user("read them") assistant("done") user("xxxxxxxxxxxxxxxxxxxx"… of 130 bytes) assistant("sure") user("hi") assistant("ok")
        "#]],
    );
}

#[test]
fn a_pinned_message_does_not_pin_what_is_said_after_it() {
    check(
        "
            with: slide=60/40
            bring: user!=rules
            invoke: hi | model: ok | counted: 30+1 | invoke: 130 bytes | model: ok | done
            invoke: next | model: ok | counted: 67+1 | invoke: 130 bytes | model: ok | done
        ",
        expect![[r#"
            ! answer 1: turn_s_1 from 1
            ! call model 1: user pinned("rules", "hi")
            turn_s_1 started
            step 0
            text "ok"
            ! finish model 1
            step done: EndTurn, 30+1 tokens, 1 model, 0 tool
            turn_s_1 ended: Completed, EndTurn, assistant("ok"), 30+1 tokens, 1 model, 0 tool
            ! answer 2: turn_s_2 from 8
            ! call model 2: user pinned("rules", "hi") assistant("ok") user("xxxxxxxxxxxxxxxxxxxx"… of 130 bytes)
            turn_s_2 started
            step 0
            text "ok"
            ! finish model 2
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_2 ended: Completed, EndTurn, assistant("ok"), 10+5 tokens, 1 model, 0 tool
            ! answer 3: turn_s_3 from 15
            ! call model 3: user pinned("rules", "hi") assistant("ok") user("xxxxxxxxxxxxxxxxxxxx"… of 130 bytes) assistant("ok") user("next")
            turn_s_3 started
            step 0
            text "ok"
            ! finish model 3
            step done: EndTurn, 67+1 tokens, 1 model, 0 tool
            turn_s_3 ended: Completed, EndTurn, assistant("ok"), 67+1 tokens, 1 model, 0 tool
            ! answer 4: turn_s_4 from 22
            ! call model 4: user pinned("rules", "hi") assistant("ok") user("xxxxxxxxxxxxxxxxxxxx"… of 130 bytes)
            turn_s_4 started
            Sliding left 4 messages out, 101 tokens to 64
            step 0
            text "ok"
            ! finish model 4
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_4 ended: Completed, EndTurn, assistant("ok"), 10+5 tokens, 1 model, 0 tool
            history: user pinned("rules") user("hi") assistant("ok") user("xxxxxxxxxxxxxxxxxxxx"… of 130 bytes) assistant("ok") user("next") assistant("ok") user("xxxxxxxxxxxxxxxxxxxx"… of 130 bytes) assistant("ok")
        "#]],
    );
}

#[test]
fn a_caller_whose_brought_history_leaves_with_its_turn_starts_afresh() {
    check(
        "
            with: slide=40/20
            bring: user=130 bytes; assistant=130 bytes
            invoke: hi | failed
            invoke: hi | model: ok | done
        ",
        expect![[r#"
            ! answer 1: turn_s_1 from 1
            ! call model 1: user("hi")
            turn_s_1 started
            Sliding left 2 messages out, 94 tokens to 28
            step 0
            turn_s_1 ended: Failed, Error, 0+0 tokens, 1 model, 0 tool, ModelThrottled (throttled)
            ! answer 2: turn_s_2 from 5
            ! call model 2: user("hi")
            turn_s_2 started
            step 0
            text "ok"
            ! finish model 2
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_2 ended: Completed, EndTurn, assistant("ok"), 10+5 tokens, 1 model, 0 tool
            history: user("hi") assistant("ok")
        "#]],
    );
}
