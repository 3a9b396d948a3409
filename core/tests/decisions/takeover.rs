//! A Converse stream takes the session's input over from the one before.

use expect_test::expect;

use crate::script::check;

#[test]
fn a_later_stream_brings_the_input_and_the_earlier_one_is_refused_alone() {
    check(
        "user#a: hi | open@2 | queue#b@1: mine | queue#c@2: yours | stop@1 | setup@1",
        expect![[r#"
            ! call model 1: user("hi")
            frame a StartedTurn turn_s_1
            turn_s_1 started by frame a
            step 0
            ! take over from stream 1
            ! refuse frame b of stream 1: InputTakenOver (another Converse stream has taken over the input of this session)
            frame c Queued
            ! refuse frame - of stream 1: InputTakenOver (another Converse stream has taken over the input of this session)
            ! refuse frame - of stream 1: InputTakenOver (another Converse stream has taken over the input of this session)
            history: user("hi")
        "#]],
    );
}

#[test]
fn a_repeat_on_the_earlier_stream_is_acknowledged_as_a_duplicate() {
    check(
        "user#a: hi | open@2 | user#a@1: hi | user#a@2: hi | user#a@1: other",
        expect![[r#"
            ! call model 1: user("hi")
            frame a StartedTurn turn_s_1
            turn_s_1 started by frame a
            step 0
            ! take over from stream 1
            frame a StartedTurn turn_s_1 (duplicate)
            frame a StartedTurn turn_s_1 (duplicate)
            ! refuse frame a of stream 1: InputTakenOver (another Converse stream has taken over the input of this session)
            history: user("hi")
        "#]],
    );
}

#[test]
fn a_takeover_refuses_the_unfinished_message_of_the_earlier_stream() {
    check(
        "
            part#a: one | part#b: two | open@2 | user#c@1: three | part#a@2: one | part#b@2: two
            user#c@2: three
        ",
        expect![[r#"
            frame a Applied
            frame b Applied
            ! take over from stream 1
            frame b rejected: FrameOutOfOrder (the stream's input ended before the message's last part)
            ! refuse frame c of stream 1: InputTakenOver (another Converse stream has taken over the input of this session)
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
fn a_takeover_hands_the_turn_its_queue_and_what_joined_it_over() {
    check(
        "user#a: hi | queue#b: later | steer#c: and | open@2 | gone!@1 | model: ok | gone!@2",
        expect![[r#"
            ! call model 1: user("hi")
            frame a StartedTurn turn_s_1
            turn_s_1 started by frame a
            step 0
            frame b Queued
            frame c Steered turn_s_1
            ! take over from stream 1
            text "ok"
            ! abort model 1
            interrupted: Cancel
            turn_s_1 ended: Cancelled, Cancelled, assistant("ok"), about 28+1 tokens, 1 model, 0 tool, Cancelled (the caller went away)
            frame c rejected: Cancelled (the caller went away)
            frame b rejected: Cancelled (the caller went away)
            history: user("hi") assistant("ok")
        "#]],
    );
}

#[test]
fn a_stream_that_was_taken_over_and_half_closed_cancels_nothing() {
    check(
        "user#a: hi | open@2 | half-close@1 | gone@2 | gone!@1 | model: ok | done",
        expect![[r#"
            ! call model 1: user("hi")
            frame a StartedTurn turn_s_1
            turn_s_1 started by frame a
            step 0
            ! take over from stream 1
            text "ok"
            ! finish model 1
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_1 ended: Completed, EndTurn, assistant("ok"), 10+5 tokens, 1 model, 0 tool
            history: user("hi") assistant("ok")
        "#]],
    );
}

#[test]
fn a_stream_that_was_taken_over_and_half_closed_ends_when_all_is_answered() {
    check(
        "user#a: hi | open@2 | half-close@1 | user#b@1: more | model: ok | done",
        expect![[r#"
            ! call model 1: user("hi")
            frame a StartedTurn turn_s_1
            turn_s_1 started by frame a
            step 0
            ! take over from stream 1
            ! refuse frame b of stream 1: InputTakenOver (another Converse stream has taken over the input of this session)
            text "ok"
            ! finish model 1
            ! end stream 1
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_1 ended: Completed, EndTurn, assistant("ok"), 10+5 tokens, 1 model, 0 tool
            history: user("hi") assistant("ok")
        "#]],
    );
}

#[test]
fn a_turn_that_waits_for_its_tool_takes_the_result_from_the_later_stream_alone() {
    check(
        "
            user: hi | call: t1 clock {} | done: tool_use | open@2 | result#r@1: t1 noon
            result#r@2: t1 noon | model: Noon | done
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
            ! take over from stream 1
            ! refuse frame r of stream 1: InputTakenOver (another Converse stream has taken over the input of this session)
            ! call model 2: user("hi") assistant(call t1 clock {}) user(result t1 "noon")
            frame r Applied turn_s_1
            usage so far: 10+5 tokens, 1 model, 1 tool
            step 1
            text "Noon"
            ! finish model 2
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_1 ended: Completed, EndTurn, assistant("Noon"), 20+10 tokens, 2 model, 1 tool
            history: user("hi") assistant(call t1 clock {}) user(result t1 "noon") assistant("Noon")
        "#]],
    );
}

#[test]
fn a_turn_that_waits_pauses_when_only_streams_are_left_that_were_taken_over() {
    check(
        "
            user: hi | call: t1 clock {} | done: tool_use | open@2 | gone@2 | result#r@1: t1 noon
            open@3 | result#r@3: t1 noon
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
            ! take over from stream 1
            turn_s_1 ended: Paused, ToolUse, assistant(call t1 clock {}), waits for t1, 10+5 tokens, 1 model, 1 tool
            ! refuse frame r of stream 1: InputTakenOver (another Converse stream has taken over the input of this session)
            ! call model 2: user("hi") assistant(call t1 clock {}) user(result t1 "noon")
            frame r Applied turn_s_1
            turn_s_1 goes on
            usage so far: 10+5 tokens, 1 model, 1 tool
            step 1
            history: user("hi") assistant(call t1 clock {}) user(result t1 "noon")
        "#]],
    );
}

#[test]
fn a_half_closed_stream_is_not_taken_over() {
    check(
        "user#a: hi | half-close | open@2 | gone!@2 | model: ok | done",
        expect![[r#"
            ! call model 1: user("hi")
            frame a StartedTurn turn_s_1
            turn_s_1 started by frame a
            step 0
            text "ok"
            ! finish model 1
            ! end stream 1
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_1 ended: Completed, EndTurn, assistant("ok"), 10+5 tokens, 1 model, 0 tool
            history: user("hi") assistant("ok")
        "#]],
    );
}

#[test]
fn a_paused_turn_stays_paused_when_a_stream_opens() {
    check(
        "
            user: hi | call: t1 clock {} | done: tool_use | gone | open@2 | open@3 | result#r@3: t1 noon
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
            turn_s_1 ended: Paused, ToolUse, assistant(call t1 clock {}), waits for t1, 10+5 tokens, 1 model, 1 tool
            ! take over from stream 2
            ! call model 2: user("hi") assistant(call t1 clock {}) user(result t1 "noon")
            frame r Applied turn_s_1
            turn_s_1 goes on
            usage so far: 10+5 tokens, 1 model, 1 tool
            step 1
            history: user("hi") assistant(call t1 clock {}) user(result t1 "noon")
        "#]],
    );
}
