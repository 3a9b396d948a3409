//! User input by itself: parts, names, repeats.

use expect_test::expect;

use crate::script::check;

#[test]
fn parts_become_one_message() {
    check(
        "part#a: one | part#b: two | user#c: three | model: ok | done",
        expect![[r#"
            frame a Applied
            frame b Applied
            ! call model 1: user("one", "two", "three")
            frame c StartedTurn turn_s_1
            turn_s_1 started by frame c
            step 0
            text "ok"
            ! finish model 1
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_1 ended: Completed, EndTurn, assistant("ok"), 10+5 tokens, 1 model, 0 tool
            history: user("one", "two", "three") assistant("ok")
        "#]],
    );
}

#[test]
fn a_repeated_frame_acts_once() {
    check(
        "user#a: hi | user#a: hi | model: ok | done | user#a: hi",
        expect![[r#"
            ! call model 1: user("hi")
            frame a StartedTurn turn_s_1
            turn_s_1 started by frame a
            step 0
            frame a StartedTurn turn_s_1 (duplicate)
            text "ok"
            ! finish model 1
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_1 ended: Completed, EndTurn, assistant("ok"), 10+5 tokens, 1 model, 0 tool
            frame a StartedTurn turn_s_1 (duplicate)
            history: user("hi") assistant("ok")
        "#]],
    );
}

#[test]
fn a_repeat_is_answered_as_the_first_was() {
    check(
        "user: hi | queue#q: next | queue#q: next | steer#s: also | steer#s: also",
        expect![[r#"
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            frame q Queued
            frame q Queued (duplicate)
            frame s Steered turn_s_1
            frame s Steered turn_s_1 (duplicate)
            history: user("hi")
        "#]],
    );
}

#[test]
fn a_refused_frame_may_be_sent_again() {
    check(
        "user: hi | reject#a: x | model: ok | done | reject#a: x",
        expect![[r#"
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            frame a rejected: TurnInProgress (another turn runs in this session)
            text "ok"
            ! finish model 1
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_1 ended: Completed, EndTurn, assistant("ok"), 10+5 tokens, 1 model, 0 tool
            ! call model 2: user("hi") assistant("ok") user("x")
            frame a StartedTurn turn_s_2
            turn_s_2 started by frame a
            step 0
            history: user("hi") assistant("ok") user("x")
        "#]],
    );
}

#[test]
fn ids_are_forgotten_beyond_their_number() {
    check(
        "
            with: frame_ids=1
            setup#a | setup#b | setup#b | setup#a
        ",
        expect![[r#"
            frame a Applied
            frame b Applied
            frame b Applied (duplicate)
            frame a Applied
            history: 
        "#]],
    );
}

#[test]
fn blank_input_is_refused() {
    check(
        "user#a: blank | user#b: | part#c: blank | user#d: blank",
        expect![[r#"
            frame a rejected: InvalidRequest (input.content: must hold at least one block that is not blank)
            frame b rejected: InvalidRequest (input.content: must hold at least one block that is not blank)
            frame c Applied
            frame d rejected: InvalidRequest (input.content: must hold at least one block that is not blank)
            history: 
        "#]],
    );
}

#[test]
fn a_refused_last_part_frees_the_names_of_all_parts() {
    check(
        "
            user: hi | part#a: one | reject#b: two | model: ok | done | part#a: one
            user#b: two
        ",
        expect![[r#"
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            frame a Applied
            frame b rejected: TurnInProgress (another turn runs in this session)
            text "ok"
            ! finish model 1
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_1 ended: Completed, EndTurn, assistant("ok"), 10+5 tokens, 1 model, 0 tool
            frame a Applied
            ! call model 2: user("hi") assistant("ok") user("one", "two")
            frame b StartedTurn turn_s_2
            turn_s_2 started by frame b
            step 0
            history: user("hi") assistant("ok") user("one", "two")
        "#]],
    );
}

#[test]
fn a_message_whose_part_is_refused_is_refused_to_its_end() {
    check(
        "
            with: max_input=10
            part#a: 6 bytes | part#b: 6 bytes | part#c: 1 bytes | user#d: 1 bytes | user#e: hi
        ",
        expect![[r#"
            frame a Applied
            frame b rejected: LimitExceeded (the message is larger than 10 bytes)
            frame c rejected: FrameOutOfOrder (an earlier part of this message was refused: send it from its first part)
            frame d rejected: FrameOutOfOrder (an earlier part of this message was refused: send it from its first part)
            ! call model 1: user("hi")
            frame e StartedTurn turn_s_1
            turn_s_1 started by frame e
            step 0
            history: user("hi")
        "#]],
    );
}

#[test]
fn an_invalid_frame_spoils_the_message_it_stands_in() {
    check(
        "part#a: one | invalid#b | user#c: three | part#a: one | user#d: two",
        expect![[r#"
            frame a Applied
            frame b rejected: InvalidRequest (frame: is not one)
            frame c rejected: FrameOutOfOrder (an earlier part of this message was refused: send it from its first part)
            frame a Applied
            ! call model 1: user("one", "two")
            frame d StartedTurn turn_s_1
            turn_s_1 started by frame d
            step 0
            history: user("one", "two")
        "#]],
    );
}

#[test]
fn a_message_that_stays_unfinished_is_refused_at_half_close() {
    check(
        "part#a: one | part#b: two | half-close | part#a@2: one | user#b@2: two",
        expect![[r#"
            frame a Applied
            frame b Applied
            ! end stream 1
            frame b rejected: FrameOutOfOrder (the stream's input ended before the message's last part)
            frame a Applied
            ! call model 1: user("one", "two")
            frame b StartedTurn turn_s_1
            turn_s_1 started by frame b
            step 0
            history: user("one", "two")
        "#]],
    );
}

#[test]
fn a_message_that_stays_unfinished_is_refused_when_its_stream_goes() {
    check(
        "part#a: one | gone | part#a@2: one | user#b@2: two",
        expect![[r#"
            frame a Applied
            frame a rejected: FrameOutOfOrder (the stream's input ended before the message's last part)
            frame a Applied
            ! call model 1: user("one", "two")
            frame b StartedTurn turn_s_1
            turn_s_1 started by frame b
            step 0
            history: user("one", "two")
        "#]],
    );
}

#[test]
fn a_frame_behind_the_half_close_is_refused() {
    check(
        "user: hi | half-close | user#a: more",
        expect![[r#"
        ! call model 1: user("hi")
        turn_s_1 started
        step 0
        frame a rejected: FrameOutOfOrder (the stream's input was closed)
        history: user("hi")
    "#]],
    );
}

#[test]
fn a_frame_id_that_is_used_for_another_frame_is_refused() {
    check(
        "user#a: hi | user#a: hi | user#a: other | queue#b: more | queue#b: less",
        expect![[r#"
            ! call model 1: user("hi")
            frame a StartedTurn turn_s_1
            turn_s_1 started by frame a
            step 0
            frame a StartedTurn turn_s_1 (duplicate)
            frame a rejected: RequestIdReused (this frame_id was used for another frame)
            frame b Queued
            frame b rejected: RequestIdReused (this frame_id was used for another frame)
            history: user("hi")
        "#]],
    );
}

#[test]
fn a_part_whose_id_was_used_spoils_its_message_and_the_frame_of_that_id_stays_taken() {
    check(
        "
            setup#s | part#a: one | part#s: two | user#b: three | part#a: one | user#b: three | setup#s
        ",
        expect![[r#"
            frame s Applied
            frame a Applied
            frame s rejected: RequestIdReused (this frame_id was used for another frame)
            frame b rejected: FrameOutOfOrder (an earlier part of this message was refused: send it from its first part)
            frame a Applied
            ! call model 1: user("one", "three")
            frame b StartedTurn turn_s_1
            turn_s_1 started by frame b
            step 0
            frame s Applied (duplicate)
            history: user("one", "three")
        "#]],
    );
}

#[test]
fn a_message_cannot_use_the_id_of_its_own_part_again() {
    check(
        "part#a: one | part#a: two | user#b: three | user#a: two",
        expect![[r#"
            frame a Applied
            frame a rejected: RequestIdReused (this frame_id was used for another frame)
            frame b rejected: FrameOutOfOrder (an earlier part of this message was refused: send it from its first part)
            ! call model 1: user("two")
            frame a StartedTurn turn_s_1
            turn_s_1 started by frame a
            step 0
            history: user("two")
        "#]],
    );
}

#[test]
fn an_acknowledged_event_may_be_forgotten() {
    check(
        "user: hi | ack#a: 2 | ack: 1 | ack#b: 99 | ack#a: 2",
        expect![[r#"
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            ! forget up to 2
            frame a Applied
            ! forget up to 1
            frame b rejected: InvalidRequest (ack.sequence: must not be above 3, the newest event of this session)
            frame a Applied (duplicate)
            history: user("hi")
        "#]],
    );
}
