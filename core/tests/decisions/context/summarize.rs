//! Summaries: the call that makes one, what stands for what, and what happens when there is none.

use expect_test::{Expect, expect};

use crate::script::check;

const SETTINGS: &str = "summarize=100/60/10";

#[track_caller]
fn check_after_scene(script: &str, expected: Expect) {
    super::check_after_scene(SETTINGS, script, expected);
}

#[test]
fn a_summary_stands_for_the_oldest_turns() {
    check_after_scene(
        "user#f: three | opened | model: They spoke | counted: 90+9 | model: ok | done | user: four",
        expect![[r#"
            ! condense 3 (at most 10): "User: one\nAssistant:"… of 363 bytes
            frame f StartedTurn turn_s_3
            turn_s_3 started by frame f
            ! finish model 3
            ! call model 4: user("Summary of the conversation so far, in the place of its beginning:\n\nThey spoke", "three")
            Summarize left 4 messages out, 111 tokens to 49, for user summary("Summary of the conversation so far, in the place of its beginning:\n\nThey spoke")
            step 0
            text "ok"
            ! finish model 4
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_3 ended: Completed, EndTurn, assistant("ok"), 100+14 tokens, 2 model, 0 tool
            ! call model 5: user("Summary of the conversation so far, in the place of its beginning:\n\nThey spoke", "three") assistant("ok") user("four")
            turn_s_4 started
            step 0
            history: user("one") assistant("xxxxxxxxxxxxxxxxxxxx"… of 160 bytes) user("two") assistant("xxxxxxxxxxxxxxxxxxxx"… of 160 bytes) user summary("Summary of the conversation so far, in the place of its beginning:\n\nThey spoke") user("three") assistant("ok") user("four")
        "#]],
    );
}

#[test]
fn a_later_summary_absorbs_the_earlier() {
    check_after_scene(
        "user: three | model: They spoke | counted: 90+9 | model: 160 bytes | counted: 70+40 | user: four | model: They spoke on | counted: 80+9 | model: ok | done",
        expect![[r#"
            ! condense 3 (at most 10): "User: one\nAssistant:"… of 363 bytes
            turn_s_3 started
            ! finish model 3
            ! call model 4: user("Summary of the conversation so far, in the place of its beginning:\n\nThey spoke", "three")
            Summarize left 4 messages out, 111 tokens to 49, for user summary("Summary of the conversation so far, in the place of its beginning:\n\nThey spoke")
            step 0
            text "xxxxxxxxxxxxxxxxxxxx"… of 160 bytes
            ! finish model 4
            step done: EndTurn, 70+40 tokens, 1 model, 0 tool
            turn_s_3 ended: Completed, EndTurn, assistant("xxxxxxxxxxxxxxxxxxxx"… of 160 bytes), 160+49 tokens, 2 model, 0 tool
            ! condense 5 (at most 10): "Summary of what came"… of 291 bytes
            turn_s_4 started
            ! finish model 5
            ! call model 6: user("Summary of the conversation so far, in the place of its beginning:\n\nThey spoke on", "four")
            Summarize left 3 messages out, 111 tokens to 60, for user summary("Summary of the conversation so far, in the place of its beginning:\n\nThey spoke on")
            step 0
            text "ok"
            ! finish model 6
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_4 ended: Completed, EndTurn, assistant("ok"), 90+14 tokens, 2 model, 0 tool
            history: user("one") assistant("xxxxxxxxxxxxxxxxxxxx"… of 160 bytes) user("two") assistant("xxxxxxxxxxxxxxxxxxxx"… of 160 bytes) user summary("Summary of the conversation so far, in the place of its beginning:\n\nThey spoke") user("three") assistant("xxxxxxxxxxxxxxxxxxxx"… of 160 bytes) user summary("Summary of the conversation so far, in the place of its beginning:\n\nThey spoke on") user("four") assistant("ok")
        "#]],
    );
}

#[test]
fn a_summary_of_tools_goes_as_text() {
    check(
        "
            with: summarize=60/55/10
            user: time? | call: t1 clock {} | counted: 28+3 | result: t1 130 bytes
            model: noon | counted: 60+1 | user: three | model: They spoke | done | model: ok | done
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
            ! call model 2: user("time?") assistant(call t1 clock {}) user(result t1 "xxxxxxxxxxxxxxxxxxxx"… of 130 bytes)
            usage so far: 28+3 tokens, 1 model, 1 tool
            step 1
            text "noon"
            ! finish model 2
            step done: EndTurn, 60+1 tokens, 1 model, 0 tool
            turn_s_1 ended: Completed, EndTurn, assistant("noon"), 88+4 tokens, 2 model, 1 tool
            ! condense 3 (at most 10): "User: time?\nTool cal"… of 191 bytes
            turn_s_2 started
            ! finish model 3
            ! call model 4: user("Summary of the conversation so far, in the place of its beginning:\n\nThey spoke", "three")
            Summarize left 4 messages out, 63 tokens to 46, for user summary("Summary of the conversation so far, in the place of its beginning:\n\nThey spoke")
            step 0
            text "ok"
            ! finish model 4
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_2 ended: Completed, EndTurn, assistant("ok"), 20+10 tokens, 2 model, 0 tool
            history: user("time?") assistant(call t1 clock {}) user(result t1 "xxxxxxxxxxxxxxxxxxxx"… of 130 bytes) assistant("noon") user summary("Summary of the conversation so far, in the place of its beginning:\n\nThey spoke") user("three") assistant("ok")
        "#]],
    );
}

#[test]
fn pinned_messages_are_not_condensed() {
    check(
        "
            with: summarize=60/40/10
            bring: user!=rules; assistant=noted; user=130 bytes; assistant=130 bytes
            invoke: hi | model: They spoke | done | model: ok | done
        ",
        expect![[r#"
            ! answer 1: turn_s_1 from 1
            ! condense 1 (at most 10): "User: xxxxxxxxxxxxxx"… of 278 bytes
            turn_s_1 started
            ! finish model 1
            ! call model 2: user pinned("rules") assistant("noted") user("Summary of the conversation so far, in the place of its beginning:\n\nThey spoke", "hi")
            Summarize left 2 messages out, 98 tokens to 52, for user summary("Summary of the conversation so far, in the place of its beginning:\n\nThey spoke")
            step 0
            text "ok"
            ! finish model 2
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_1 ended: Completed, EndTurn, assistant("ok"), 20+10 tokens, 2 model, 0 tool
            history: user pinned("rules") assistant("noted") user("xxxxxxxxxxxxxxxxxxxx"… of 130 bytes) assistant("xxxxxxxxxxxxxxxxxxxx"… of 130 bytes) user summary("Summary of the conversation so far, in the place of its beginning:\n\nThey spoke") user("hi") assistant("ok")
        "#]],
    );
}

#[test]
fn a_failed_summary_leaves_the_turns_out() {
    check_after_scene(
        "user: three | failed | model: ok | done",
        expect![[r#"
        ! condense 3 (at most 10): "User: one\nAssistant:"… of 363 bytes
        turn_s_3 started
        ! call model 4: user("three")
        Sliding left 4 messages out, 111 tokens to 29
        step 0
        text "ok"
        ! finish model 4
        step done: EndTurn, 10+5 tokens, 1 model, 0 tool
        turn_s_3 ended: Completed, EndTurn, assistant("ok"), 10+5 tokens, 2 model, 0 tool
        history: user("one") assistant("xxxxxxxxxxxxxxxxxxxx"… of 160 bytes) user("two") assistant("xxxxxxxxxxxxxxxxxxxx"… of 160 bytes) user("three") assistant("ok")
    "#]],
    );
}

#[test]
fn a_summary_that_breaks_off_is_none() {
    check_after_scene(
        "user: three | model: They | closed | model: ok | done",
        expect![[r#"
            ! condense 3 (at most 10): "User: one\nAssistant:"… of 363 bytes
            turn_s_3 started
            ! call model 4: user("three")
            Sliding left 4 messages out, 111 tokens to 29
            step 0
            text "ok"
            ! finish model 4
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_3 ended: Completed, EndTurn, assistant("ok"), about 272+6 tokens, 2 model, 0 tool
            history: user("one") assistant("xxxxxxxxxxxxxxxxxxxx"… of 160 bytes) user("two") assistant("xxxxxxxxxxxxxxxxxxxx"… of 160 bytes) user("three") assistant("ok")
        "#]],
    );
}

#[test]
fn a_broken_stream_is_closed() {
    check_after_scene(
        "user: three | raw: text 0 a | raw: stop 0 | raw: text 0 b | model: ok | done",
        expect![[r#"
            ! condense 3 (at most 10): "User: one\nAssistant:"… of 363 bytes
            turn_s_3 started
            ! abort model 3
            ! call model 4: user("three")
            Sliding left 4 messages out, 111 tokens to 29
            step 0
            text "ok"
            ! finish model 4
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_3 ended: Completed, EndTurn, assistant("ok"), about 272+6 tokens, 2 model, 0 tool
            history: user("one") assistant("xxxxxxxxxxxxxxxxxxxx"… of 160 bytes) user("two") assistant("xxxxxxxxxxxxxxxxxxxx"… of 160 bytes) user("three") assistant("ok")
        "#]],
    );
}

#[test]
fn a_summary_of_nothing_is_none() {
    check_after_scene(
        "user: three | model: blank | done | model: ok | done",
        expect![[r#"
            ! condense 3 (at most 10): "User: one\nAssistant:"… of 363 bytes
            turn_s_3 started
            ! finish model 3
            ! call model 4: user("three")
            Sliding left 4 messages out, 111 tokens to 29
            step 0
            text "ok"
            ! finish model 4
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_3 ended: Completed, EndTurn, assistant("ok"), 20+10 tokens, 2 model, 0 tool
            history: user("one") assistant("xxxxxxxxxxxxxxxxxxxx"… of 160 bytes) user("two") assistant("xxxxxxxxxxxxxxxxxxxx"… of 160 bytes) user("three") assistant("ok")
        "#]],
    );
}

#[test]
fn a_filtered_summary_is_none() {
    check_after_scene(
        "user: three | model: no | done: filtered | model: ok | done",
        expect![[r#"
            ! condense 3 (at most 10): "User: one\nAssistant:"… of 363 bytes
            turn_s_3 started
            ! finish model 3
            ! call model 4: user("three")
            Sliding left 4 messages out, 111 tokens to 29
            step 0
            text "ok"
            ! finish model 4
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_3 ended: Completed, EndTurn, assistant("ok"), 20+10 tokens, 2 model, 0 tool
            history: user("one") assistant("xxxxxxxxxxxxxxxxxxxx"… of 160 bytes) user("two") assistant("xxxxxxxxxxxxxxxxxxxx"… of 160 bytes) user("three") assistant("ok")
        "#]],
    );
}

#[test]
fn a_summary_at_its_limit_is_one() {
    check_after_scene(
        "user: three | model: They spo | done: max_tokens | model: ok | done",
        expect![[r#"
            ! condense 3 (at most 10): "User: one\nAssistant:"… of 363 bytes
            turn_s_3 started
            ! finish model 3
            ! call model 4: user("Summary of the conversation so far, in the place of its beginning:\n\nThey spo", "three")
            Summarize left 4 messages out, 111 tokens to 48, for user summary("Summary of the conversation so far, in the place of its beginning:\n\nThey spo")
            step 0
            text "ok"
            ! finish model 4
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_3 ended: Completed, EndTurn, assistant("ok"), 20+10 tokens, 2 model, 0 tool
            history: user("one") assistant("xxxxxxxxxxxxxxxxxxxx"… of 160 bytes) user("two") assistant("xxxxxxxxxxxxxxxxxxxx"… of 160 bytes) user summary("Summary of the conversation so far, in the place of its beginning:\n\nThey spo") user("three") assistant("ok")
        "#]],
    );
}

#[test]
fn a_summary_whose_counts_do_not_come_is_one() {
    check_after_scene(
        "user: three | model: They spoke | end | wait: 5s | model: ok | done",
        expect![[r#"
            ! condense 3 (at most 10): "User: one\nAssistant:"… of 363 bytes
            turn_s_3 started
            ! finish model 3
            ! call model 4: user("Summary of the conversation so far, in the place of its beginning:\n\nThey spoke", "three")
            Summarize left 4 messages out, 111 tokens to 49, for user summary("Summary of the conversation so far, in the place of its beginning:\n\nThey spoke")
            step 0
            text "ok"
            ! finish model 4
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_3 ended: Completed, EndTurn, assistant("ok"), about 272+8 tokens, 2 model, 0 tool
            history: user("one") assistant("xxxxxxxxxxxxxxxxxxxx"… of 160 bytes) user("two") assistant("xxxxxxxxxxxxxxxxxxxx"… of 160 bytes) user summary("Summary of the conversation so far, in the place of its beginning:\n\nThey spoke") user("three") assistant("ok")
        "#]],
    );
}

#[test]
fn a_silent_summarizer_is_given_up() {
    check_after_scene(
        "user: three | opened | wait: 60s | model: ok | done",
        expect![[r#"
            ! condense 3 (at most 10): "User: one\nAssistant:"… of 363 bytes
            turn_s_3 started
            ! abort model 3
            ! call model 4: user("three")
            Sliding left 4 messages out, 111 tokens to 29
            step 0
            text "ok"
            ! finish model 4
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_3 ended: Completed, EndTurn, assistant("ok"), about 272+5 tokens, 2 model, 0 tool
            history: user("one") assistant("xxxxxxxxxxxxxxxxxxxx"… of 160 bytes) user("two") assistant("xxxxxxxxxxxxxxxxxxxx"… of 160 bytes) user("three") assistant("ok")
        "#]],
    );
}

#[test]
fn a_cancel_stops_the_summary() {
    check_after_scene(
        "user: three | model: They | cancel | user: four",
        expect![[r#"
            ! condense 3 (at most 10): "User: one\nAssistant:"… of 363 bytes
            turn_s_3 started
            ! abort model 3
            ! answer cancel 1: Cancelled, Cancelled, about 262+1 tokens, 1 model, 0 tool, Cancelled (the turn was cancelled by request)
            interrupted: Cancel
            turn_s_3 ended: Cancelled, Cancelled, about 262+1 tokens, 1 model, 0 tool, Cancelled (the turn was cancelled by request)
            ! condense 4 (at most 10): "User: one\nAssistant:"… of 363 bytes
            turn_s_4 started
            history: user("one") assistant("xxxxxxxxxxxxxxxxxxxx"… of 160 bytes) user("two") assistant("xxxxxxxxxxxxxxxxxxxx"… of 160 bytes) user("four")
        "#]],
    );
}

#[test]
fn an_interruption_stops_the_summary() {
    check_after_scene(
        "user: three | model: They | interrupt: four",
        expect![[r#"
        ! condense 3 (at most 10): "User: one\nAssistant:"… of 363 bytes
        turn_s_3 started
        ! abort model 3
        ! condense 4 (at most 10): "User: one\nAssistant:"… of 363 bytes
        interrupted: NewInput
        turn_s_3 ended: Interrupted, Interrupted, about 262+1 tokens, 1 model, 0 tool
        turn_s_4 started
        history: user("one") assistant("xxxxxxxxxxxxxxxxxxxx"… of 160 bytes) user("two") assistant("xxxxxxxxxxxxxxxxxxxx"… of 160 bytes) user("three", "four")
    "#]],
    );
}

#[test]
fn the_deadline_holds_for_the_summary() {
    check_after_scene(
        "deadline: 5s | invoke: three | model: They | wait: 5s",
        expect![[r#"
            ! answer 1: turn_s_3 from 15
            ! condense 3 (at most 10): "User: one\nAssistant:"… of 363 bytes
            turn_s_3 started
            ! abort model 3
            turn_s_3 ended: Cancelled, Cancelled, about 262+1 tokens, 1 model, 0 tool, DeadlineExceeded (the call's deadline passed)
            history: user("one") assistant("xxxxxxxxxxxxxxxxxxxx"… of 160 bytes) user("two") assistant("xxxxxxxxxxxxxxxxxxxx"… of 160 bytes)
        "#]],
    );
}

#[test]
fn a_crash_in_the_summary_ends_the_turn() {
    check_after_scene(
        "user: three | model: They | crash | user: four | model: They spoke | done | model: ok | done",
        expect![[r#"
            ! condense 3 (at most 10): "User: one\nAssistant:"… of 363 bytes
            turn_s_3 started
            ? restored
            turn_s_3 ended: Failed, Incomplete, about 262+0 tokens, 1 model, 0 tool, ShuttingDown (the server stopped, or lost its store, before the turn ended)
            ! condense 5 (at most 10): "User: one\nAssistant:"… of 363 bytes
            turn_s_4 started
            ! finish model 5
            ! call model 6: user("Summary of the conversation so far, in the place of its beginning:\n\nThey spoke", "three", "four")
            Summarize left 4 messages out, 112 tokens to 50, for user summary("Summary of the conversation so far, in the place of its beginning:\n\nThey spoke")
            step 0
            text "ok"
            ! finish model 6
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_4 ended: Completed, EndTurn, assistant("ok"), 20+10 tokens, 2 model, 0 tool
            history: user("one") assistant("xxxxxxxxxxxxxxxxxxxx"… of 160 bytes) user("two") assistant("xxxxxxxxxxxxxxxxxxxx"… of 160 bytes) user summary("Summary of the conversation so far, in the place of its beginning:\n\nThey spoke") user("three", "four") assistant("ok")
        "#]],
    );
}

#[test]
fn a_crash_in_a_later_summary_repeats_no_output() {
    super::check_after_scene(
        "summarize=120/60/10",
        "user: three | model: wait | call: t1 clock {} | counted: 110+10 | result: t1 60 bytes | crash",
        expect![[r#"
            ! call model 3: user("one") assistant("xxxxxxxxxxxxxxxxxxxx"… of 160 bytes) user("two") assistant("xxxxxxxxxxxxxxxxxxxx"… of 160 bytes) user("three")
            turn_s_3 started
            step 0
            text "wait"
            input of t1: {}
            block 1 done: call t1 clock {}
            ! finish model 3
            step done: EndTurn, 110+10 tokens, 1 model, 0 tool
            call t1 clock {} as turn_s_3/0/t1
            ! condense 4 (at most 10): "User: one\nAssistant:"… of 363 bytes
            usage so far: 110+10 tokens, 1 model, 1 tool
            ? restored
            turn_s_3 ended: Failed, Incomplete, assistant("wait", call t1 clock {}), about 372+10 tokens, 2 model, 1 tool, ShuttingDown (the server stopped, or lost its store, before the turn ended)
            history: user("one") assistant("xxxxxxxxxxxxxxxxxxxx"… of 160 bytes) user("two") assistant("xxxxxxxxxxxxxxxxxxxx"… of 160 bytes) user("three") assistant("wait", call t1 clock {}) user(result t1 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx")
        "#]],
    );
}

#[test]
fn a_budget_that_does_not_bear_the_summary_leaves_the_turns_out() {
    super::check_after_scene(
        "summarize=100/60/10 budget=250",
        "user: three | model: ok | done",
        expect![[r#"
            ! call model 3 (at most 221): user("three")
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
fn a_summary_counts_as_no_step_but_is_paid_for() {
    super::check_after_scene(
        "summarize=100/60/10 max_steps=1 budget=400",
        "user: three | model: They spoke | counted: 70+8 | model: ok | done",
        expect![[r#"
            ! condense 3 (at most 10): "User: one\nAssistant:"… of 363 bytes
            turn_s_3 started
            ! finish model 3
            ! call model 4 (at most 273): user("Summary of the conversation so far, in the place of its beginning:\n\nThey spoke", "three")
            Summarize left 4 messages out, 111 tokens to 49, for user summary("Summary of the conversation so far, in the place of its beginning:\n\nThey spoke")
            step 0
            text "ok"
            ! finish model 4
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_3 ended: Completed, EndTurn, assistant("ok"), 80+13 tokens, 2 model, 0 tool
            history: user("one") assistant("xxxxxxxxxxxxxxxxxxxx"… of 160 bytes) user("two") assistant("xxxxxxxxxxxxxxxxxxxx"… of 160 bytes) user summary("Summary of the conversation so far, in the place of its beginning:\n\nThey spoke") user("three") assistant("ok")
        "#]],
    );
}

#[test]
fn a_replaced_turn_leaves_the_summary() {
    check_after_scene(
        "user: three | model: They spoke | done | model: I | replace: four | model: ok | done",
        expect![[r#"
            ! condense 3 (at most 10): "User: one\nAssistant:"… of 363 bytes
            turn_s_3 started
            ! finish model 3
            ! call model 4: user("Summary of the conversation so far, in the place of its beginning:\n\nThey spoke", "three")
            Summarize left 4 messages out, 111 tokens to 49, for user summary("Summary of the conversation so far, in the place of its beginning:\n\nThey spoke")
            step 0
            text "I"
            ! abort model 4
            ! call model 5: user("Summary of the conversation so far, in the place of its beginning:\n\nThey spoke", "four")
            interrupted: NewInput
            turn_s_3 ended: Interrupted, Interrupted, assistant("I"), about 59+6 tokens, 2 model, 0 tool
            turn_s_4 started
            step 0
            text "ok"
            ! finish model 5
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_4 ended: Completed, EndTurn, assistant("ok"), 10+5 tokens, 1 model, 0 tool
            history: user("one") assistant("xxxxxxxxxxxxxxxxxxxx"… of 160 bytes) user("two") assistant("xxxxxxxxxxxxxxxxxxxx"… of 160 bytes) user summary("Summary of the conversation so far, in the place of its beginning:\n\nThey spoke") user("four") assistant("ok")
        "#]],
    );
}

#[test]
fn a_summary_outlives_the_process() {
    check_after_scene(
        "user: three | model: They spoke | done | model: ok | done | crash | user: four",
        expect![[r#"
            ! condense 3 (at most 10): "User: one\nAssistant:"… of 363 bytes
            turn_s_3 started
            ! finish model 3
            ! call model 4: user("Summary of the conversation so far, in the place of its beginning:\n\nThey spoke", "three")
            Summarize left 4 messages out, 111 tokens to 49, for user summary("Summary of the conversation so far, in the place of its beginning:\n\nThey spoke")
            step 0
            text "ok"
            ! finish model 4
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_3 ended: Completed, EndTurn, assistant("ok"), 20+10 tokens, 2 model, 0 tool
            ? restored
            ! call model 5: user("Summary of the conversation so far, in the place of its beginning:\n\nThey spoke", "three") assistant("ok") user("four")
            turn_s_4 started
            step 0
            history: user("one") assistant("xxxxxxxxxxxxxxxxxxxx"… of 160 bytes) user("two") assistant("xxxxxxxxxxxxxxxxxxxx"… of 160 bytes) user summary("Summary of the conversation so far, in the place of its beginning:\n\nThey spoke") user("three") assistant("ok") user("four")
        "#]],
    );
}

#[test]
fn a_fallback_keeps_the_earlier_summary() {
    check_after_scene(
        "user: three | model: They spoke | counted: 90+9 | model: 160 bytes | counted: 70+40 | user: four | failed | model: ok | done",
        expect![[r#"
            ! condense 3 (at most 10): "User: one\nAssistant:"… of 363 bytes
            turn_s_3 started
            ! finish model 3
            ! call model 4: user("Summary of the conversation so far, in the place of its beginning:\n\nThey spoke", "three")
            Summarize left 4 messages out, 111 tokens to 49, for user summary("Summary of the conversation so far, in the place of its beginning:\n\nThey spoke")
            step 0
            text "xxxxxxxxxxxxxxxxxxxx"… of 160 bytes
            ! finish model 4
            step done: EndTurn, 70+40 tokens, 1 model, 0 tool
            turn_s_3 ended: Completed, EndTurn, assistant("xxxxxxxxxxxxxxxxxxxx"… of 160 bytes), 160+49 tokens, 2 model, 0 tool
            ! condense 5 (at most 10): "Summary of what came"… of 291 bytes
            turn_s_4 started
            ! call model 6: user("Summary of the conversation so far, in the place of its beginning:\n\nThey spoke", "four")
            Sliding left 2 messages out, 111 tokens to 59
            step 0
            text "ok"
            ! finish model 6
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_4 ended: Completed, EndTurn, assistant("ok"), 10+5 tokens, 2 model, 0 tool
            history: user("one") assistant("xxxxxxxxxxxxxxxxxxxx"… of 160 bytes) user("two") assistant("xxxxxxxxxxxxxxxxxxxx"… of 160 bytes) user summary("Summary of the conversation so far, in the place of its beginning:\n\nThey spoke") user("three") assistant("xxxxxxxxxxxxxxxxxxxx"… of 160 bytes) user("four") assistant("ok")
        "#]],
    );
}

#[test]
fn a_summarizer_that_nobody_reads_is_not_late() {
    check_after_scene(
        "user: three | held | wait: 120s | read | model: They spoke | done | model: ok | done",
        expect![[r#"
            ! condense 3 (at most 10): "User: one\nAssistant:"… of 363 bytes
            turn_s_3 started
            ! finish model 3
            ! call model 4: user("Summary of the conversation so far, in the place of its beginning:\n\nThey spoke", "three")
            Summarize left 4 messages out, 111 tokens to 49, for user summary("Summary of the conversation so far, in the place of its beginning:\n\nThey spoke")
            step 0
            text "ok"
            ! finish model 4
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_3 ended: Completed, EndTurn, assistant("ok"), 20+10 tokens, 2 model, 0 tool
            history: user("one") assistant("xxxxxxxxxxxxxxxxxxxx"… of 160 bytes) user("two") assistant("xxxxxxxxxxxxxxxxxxxx"… of 160 bytes) user summary("Summary of the conversation so far, in the place of its beginning:\n\nThey spoke") user("three") assistant("ok")
        "#]],
    );
}

#[test]
fn steering_words_join_after_the_summary() {
    check_after_scene(
        "user: three | model: They | steer#s: faster | model: spoke | done | model: ok | done",
        expect![[r#"
            ! condense 3 (at most 10): "User: one\nAssistant:"… of 363 bytes
            turn_s_3 started
            frame s Steered turn_s_3
            ! finish model 3
            ! call model 4: user("Summary of the conversation so far, in the place of its beginning:\n\nTheyspoke", "three", "faster")
            Summarize left 4 messages out, 111 tokens to 51, for user summary("Summary of the conversation so far, in the place of its beginning:\n\nTheyspoke")
            step 0
            text "ok"
            ! finish model 4
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_3 ended: Completed, EndTurn, assistant("ok"), 20+10 tokens, 2 model, 0 tool
            history: user("one") assistant("xxxxxxxxxxxxxxxxxxxx"… of 160 bytes) user("two") assistant("xxxxxxxxxxxxxxxxxxxx"… of 160 bytes) user summary("Summary of the conversation so far, in the place of its beginning:\n\nTheyspoke") user("three", "faster") assistant("ok")
        "#]],
    );
}

#[test]
fn a_summary_as_long_as_what_it_condenses_is_none() {
    check(
        "
            with: summarize=60/55/10
            user: hi | model: ok | counted: 60+1 | user: three | model: They spoke | done
        ",
        expect![[r#"
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            text "ok"
            ! finish model 1
            step done: EndTurn, 60+1 tokens, 1 model, 0 tool
            turn_s_1 ended: Completed, EndTurn, assistant("ok"), 60+1 tokens, 1 model, 0 tool
            ! condense 2 (at most 10): "User: hi\nAssistant: ok"
            turn_s_2 started
            ! finish model 2
            ! call model 3: user("three")
            Sliding left 2 messages out, 63 tokens to 58
            step 0
            history: user("hi") assistant("ok") user("three")
        "#]],
    );
}
