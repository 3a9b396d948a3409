//! Whole turns: what a caller is told and what the history keeps, by every ending.

use expect_test::expect;

use crate::script::check;

#[test]
fn a_frame_starts_a_turn_that_the_model_ends() {
    check(
        "user#a: hi | opened | model: Hel | model: lo | done",
        expect![[r#"
            ! call model 1: user("hi")
            frame a StartedTurn turn_s_1
            turn_s_1 started by frame a
            step 0
            text "Hel"
            text "lo"
            ! finish model 1
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_1 ended: Completed, EndTurn, assistant("Hello"), 10+5 tokens, 1 model, 0 tool
            history: user("hi") assistant("Hello")
        "#]],
    );
}

#[test]
fn a_call_starts_a_turn_and_is_told_where_its_events_begin() {
    check(
        "invoke: hi | model: Hello | done | invoke: again | model: Yes | done",
        expect![[r#"
            ! answer 1: turn_s_1 from 1
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            text "Hello"
            ! finish model 1
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_1 ended: Completed, EndTurn, assistant("Hello"), 10+5 tokens, 1 model, 0 tool
            ! answer 2: turn_s_2 from 8
            ! call model 2: user("hi") assistant("Hello") user("again")
            turn_s_2 started
            step 0
            text "Yes"
            ! finish model 2
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_2 ended: Completed, EndTurn, assistant("Yes"), 10+5 tokens, 1 model, 0 tool
            history: user("hi") assistant("Hello") user("again") assistant("Yes")
        "#]],
    );
}

#[test]
fn chunks_come_out_as_they_came_in() {
    check(
        r#"user: hi | model: a | model: "" | model: b | model: c | done"#,
        expect![[r#"
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            text "a"
            text ""
            text "b"
            text "c"
            ! finish model 1
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_1 ended: Completed, EndTurn, assistant("abc"), 10+5 tokens, 1 model, 0 tool
            history: user("hi") assistant("abc")
        "#]],
    );
}

#[test]
fn a_stream_that_ends_without_its_stop_is_incomplete_and_kept() {
    check(
        "user: hi | model: Hel | closed | user: again",
        expect![[r#"
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            text "Hel"
            turn_s_1 ended: Failed, Incomplete, assistant("Hel"), about 28+1 tokens, 1 model, 0 tool, ModelStreamError (the model's stream ended without saying why the model stopped)
            ! call model 2: user("hi") assistant("Hel") user("again")
            turn_s_2 started
            step 0
            history: user("hi") assistant("Hel") user("again")
        "#]],
    );
}

#[test]
fn a_stream_that_ends_before_any_output_leaves_no_trace() {
    check(
        "user: hi | opened | closed",
        expect![[r#"
        ! call model 1: user("hi")
        turn_s_1 started
        step 0
        turn_s_1 ended: Failed, Incomplete, about 28+0 tokens, 1 model, 0 tool, ModelStreamError (the model's stream ended without saying why the model stopped)
        history: 
    "#]],
    );
}

#[test]
fn a_call_that_the_provider_refuses_leaves_no_trace_and_costs_nothing() {
    check(
        "user: hi | failed",
        expect![[r#"
        ! call model 1: user("hi")
        turn_s_1 started
        step 0
        turn_s_1 ended: Failed, Error, 0+0 tokens, 1 model, 0 tool, ModelThrottled (throttled)
        history: 
    "#]],
    );
}

#[test]
fn a_failure_in_mid_stream_keeps_what_was_sent_and_estimates_its_cost() {
    check(
        "user: hi there | opened | model: Hello you | failed | user: again",
        expect![[r#"
            ! call model 1: user("hi there")
            turn_s_1 started
            step 0
            text "Hello you"
            turn_s_1 ended: Failed, Incomplete, assistant("Hello you"), about 29+3 tokens, 1 model, 0 tool, ModelThrottled (throttled)
            ! call model 2: user("hi there") assistant("Hello you") user("again")
            turn_s_2 started
            step 0
            history: user("hi there") assistant("Hello you") user("again")
        "#]],
    );
}

#[test]
fn a_failure_behind_the_stop_loses_only_the_counts() {
    check(
        "user: hi | model: Hello | end | failed",
        expect![[r#"
        ! call model 1: user("hi")
        turn_s_1 started
        step 0
        text "Hello"
        step done: EndTurn, about 28+2 tokens, 1 model, 0 tool
        turn_s_1 ended: Completed, EndTurn, assistant("Hello"), about 28+2 tokens, 1 model, 0 tool
        history: user("hi") assistant("Hello")
    "#]],
    );
}

#[test]
fn a_stream_that_closes_behind_the_stop_is_complete() {
    check(
        "user: hi | model: Hello | end | closed",
        expect![[r#"
        ! call model 1: user("hi")
        turn_s_1 started
        step 0
        text "Hello"
        step done: EndTurn, about 28+2 tokens, 1 model, 0 tool
        turn_s_1 ended: Completed, EndTurn, assistant("Hello"), about 28+2 tokens, 1 model, 0 tool
        history: user("hi") assistant("Hello")
    "#]],
    );
}

#[test]
fn counts_may_come_before_the_stop() {
    check(
        "user: hi | model: Hello | counts | end",
        expect![[r#"
        ! call model 1: user("hi")
        turn_s_1 started
        step 0
        text "Hello"
        ! finish model 1
        step done: EndTurn, 10+5 tokens, 1 model, 0 tool
        turn_s_1 ended: Completed, EndTurn, assistant("Hello"), 10+5 tokens, 1 model, 0 tool
        history: user("hi") assistant("Hello")
    "#]],
    );
}

#[test]
fn every_stop_reason_of_the_model_is_told() {
    check(
        "user: hi | model: Hel | done: max_tokens | user: on | model: no | done: filtered",
        expect![[r#"
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            text "Hel"
            ! finish model 1
            step done: MaxTokens, 10+5 tokens, 1 model, 0 tool
            turn_s_1 ended: Completed, MaxTokens, assistant("Hel"), 10+5 tokens, 1 model, 0 tool
            ! call model 2: user("hi") assistant("Hel") user("on")
            turn_s_2 started
            step 0
            text "no"
            ! finish model 2
            step done: ContentFiltered, 10+5 tokens, 1 model, 0 tool
            turn_s_2 ended: Completed, ContentFiltered, assistant("no"), 10+5 tokens, 1 model, 0 tool
            history: user("hi") assistant("Hel") user("on") assistant("no")
        "#]],
    );
}

#[test]
fn open_text_is_complete_at_the_stop() {
    check(
        "user: hi | raw: text 0 Hello | end | counts",
        expect![[r#"
        ! call model 1: user("hi")
        turn_s_1 started
        step 0
        text "Hello"
        ! finish model 1
        step done: EndTurn, 10+5 tokens, 1 model, 0 tool
        turn_s_1 ended: Completed, EndTurn, assistant("Hello"), 10+5 tokens, 1 model, 0 tool
        history: user("hi") assistant("Hello")
    "#]],
    );
}

#[test]
fn the_stop_of_a_block_that_never_began_is_passed_over() {
    check(
        "user: hi | raw: stop 0 | raw: text 1 Hello | raw: stop 1 | done",
        expect![[r#"
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            text "Hello"
            ! finish model 1
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_1 ended: Completed, EndTurn, assistant("Hello"), 10+5 tokens, 1 model, 0 tool
            history: user("hi") assistant("Hello")
        "#]],
    );
}

#[test]
fn output_behind_the_stop_breaks_the_turn() {
    check(
        "user: hi | model: Hello | end | late: x | raw: text 1 more",
        expect![[r#"
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            text "Hello"
            ! abort model 1
            turn_s_1 ended: Failed, Incomplete, assistant("Hello"), about 28+2 tokens, 1 model, 0 tool, ModelStreamError (the model's stream is broken: it went on after its end)
            history: user("hi") assistant("Hello")
        "#]],
    );
}

#[test]
fn a_piece_for_a_block_that_ended_breaks_the_turn() {
    check(
        "user: hi | raw: text 0 Hello | raw: stop 0 | raw: text 0 more",
        expect![[r#"
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            text "Hello"
            ! abort model 1
            turn_s_1 ended: Failed, Incomplete, assistant("Hello"), about 28+3 tokens, 1 model, 0 tool, ModelStreamError (the model's stream is broken: a piece came for a content block that had ended)
            history: user("hi") assistant("Hello")
        "#]],
    );
}

#[test]
fn a_block_that_ends_twice_breaks_the_turn() {
    check(
        "user: hi | raw: text 0 Hello | raw: stop 0 | raw: stop 0",
        expect![[r#"
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            text "Hello"
            ! abort model 1
            turn_s_1 ended: Failed, Incomplete, assistant("Hello"), about 28+2 tokens, 1 model, 0 tool, ModelStreamError (the model's stream is broken: a content block ended twice)
            history: user("hi") assistant("Hello")
        "#]],
    );
}

#[test]
fn a_piece_of_the_wrong_kind_breaks_the_turn() {
    check(
        "user: hi | raw: text 0 Hello | raw: input 0 {}",
        expect![[r#"
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            text "Hello"
            ! abort model 1
            turn_s_1 ended: Failed, Incomplete, assistant("Hello"), about 28+2 tokens, 1 model, 0 tool, ModelStreamError (the model's stream is broken: a piece came that does not fit its content block)
            history: user("hi") assistant("Hello")
        "#]],
    );
}

#[test]
fn input_of_a_tool_that_was_not_called_breaks_the_turn() {
    check(
        "user: hi | raw: input 0 {}",
        expect![[r#"
        ! call model 1: user("hi")
        turn_s_1 started
        step 0
        ! abort model 1
        turn_s_1 ended: Failed, Error, about 28+1 tokens, 1 model, 0 tool, ModelStreamError (the model's stream is broken: a piece came for a content block that had not begun)
        history: 
    "#]],
    );
}

#[test]
fn reasoning_is_kept_with_its_signature() {
    check(
        "user: hi | think: hm/sig | model: Hello | done | user: more",
        expect![[r#"
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            reasoning "hm"
            signature "sig"
            block 0 done: reasoning "hm" signed "sig"
            text "Hello"
            ! finish model 1
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_1 ended: Completed, EndTurn, assistant(reasoning "hm" signed "sig", "Hello"), 10+5 tokens, 1 model, 0 tool
            ! call model 2: user("hi") assistant(reasoning "hm" signed "sig", "Hello") user("more")
            turn_s_2 started
            step 0
            history: user("hi") assistant(reasoning "hm" signed "sig", "Hello") user("more")
        "#]],
    );
}

#[test]
fn a_signature_without_text_is_kept() {
    check(
        "user: hi | raw: signature 0 sig | raw: stop 0 | raw: text 1 Hello | done",
        expect![[r#"
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            signature "sig"
            block 0 done: reasoning "" signed "sig"
            text "Hello"
            ! finish model 1
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_1 ended: Completed, EndTurn, assistant(reasoning "" signed "sig", "Hello"), 10+5 tokens, 1 model, 0 tool
            history: user("hi") assistant(reasoning "" signed "sig", "Hello")
        "#]],
    );
}

#[test]
fn an_answer_of_reasoning_alone_leaves_the_users_words() {
    check(
        "user: hi | think: hm/sig | done: max_tokens | user: more",
        expect![[r#"
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            reasoning "hm"
            signature "sig"
            block 0 done: reasoning "hm" signed "sig"
            ! finish model 1
            step done: MaxTokens, 10+5 tokens, 1 model, 0 tool
            turn_s_1 ended: Completed, MaxTokens, assistant(reasoning "hm" signed "sig"), 10+5 tokens, 1 model, 0 tool
            ! call model 2: user("hi", "more")
            turn_s_2 started
            step 0
            history: user("hi", "more")
        "#]],
    );
}

#[test]
fn an_answer_of_blank_text_leaves_the_users_words() {
    check(
        r#"user: hi | model: " " | done | user: more"#,
        expect![[r#"
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            text " "
            ! finish model 1
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_1 ended: Completed, EndTurn, assistant(" "), 10+5 tokens, 1 model, 0 tool
            ! call model 2: user("hi", "more")
            turn_s_2 started
            step 0
            history: user("hi", "more")
        "#]],
    );
}

#[test]
fn an_answer_of_nothing_is_a_turn_too() {
    check(
        "user: hi | done | user: more",
        expect![[r#"
        ! call model 1: user("hi")
        turn_s_1 started
        step 0
        ! finish model 1
        step done: EndTurn, 10+5 tokens, 1 model, 0 tool
        turn_s_1 ended: Completed, EndTurn, assistant(), 10+5 tokens, 1 model, 0 tool
        ! call model 2: user("hi", "more")
        turn_s_2 started
        step 0
        history: user("hi", "more")
    "#]],
    );
}

#[test]
fn a_driver_fault_ends_the_turn_and_the_next_one_runs() {
    check(
        "user: hi | fault | user: more | model: ok | done",
        expect![[r#"
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            ! abort model 1
            turn_s_1 ended: Failed, Error, about 28+0 tokens, 1 model, 0 tool, Internal (internal error)
            ! call model 2: user("more")
            turn_s_2 started
            step 0
            text "ok"
            ! finish model 2
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_2 ended: Completed, EndTurn, assistant("ok"), 10+5 tokens, 1 model, 0 tool
            history: user("more") assistant("ok")
        "#]],
    );
}

#[test]
fn a_driver_fault_between_turns_does_nothing() {
    check(
        "user: hi | model: ok | done | fault",
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
fn a_caller_brings_its_own_history() {
    check(
        "bring: user=hi; assistant=Hello | invoke: more | model: ok | done",
        expect![[r#"
            ! answer 1: turn_s_1 from 1
            ! call model 1: user("hi") assistant("Hello") user("more")
            turn_s_1 started
            step 0
            text "ok"
            ! finish model 1
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_1 ended: Completed, EndTurn, assistant("ok"), 10+5 tokens, 1 model, 0 tool
            history: user("hi") assistant("Hello") user("more") assistant("ok")
        "#]],
    );
}

#[test]
fn neighbours_of_one_role_become_one_message() {
    check(
        "bring: user=a; user=b; assistant=c; assistant=d | invoke: e | model: ok | done",
        expect![[r#"
            ! answer 1: turn_s_1 from 1
            ! call model 1: user("a", "b") assistant("c", "d") user("e")
            turn_s_1 started
            step 0
            text "ok"
            ! finish model 1
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_1 ended: Completed, EndTurn, assistant("ok"), 10+5 tokens, 1 model, 0 tool
            history: user("a", "b") assistant("c", "d") user("e") assistant("ok")
        "#]],
    );
}

#[test]
fn a_history_may_end_in_words_that_the_model_goes_on_from() {
    check(
        "bring: user=hi; assistant=It | invoke: and | model: ok | done",
        expect![[r#"
            ! answer 1: turn_s_1 from 1
            ! call model 1: user("hi") assistant("It") user("and")
            turn_s_1 started
            step 0
            text "ok"
            ! finish model 1
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_1 ended: Completed, EndTurn, assistant("ok"), 10+5 tokens, 1 model, 0 tool
            history: user("hi") assistant("It") user("and") assistant("ok")
        "#]],
    );
}

#[test]
fn a_brought_history_is_refused_where_there_is_one() {
    check(
        "invoke: hi | model: ok | done | bring: user=x | invoke: more",
        expect![[r#"
            ! answer 1: turn_s_1 from 1
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            text "ok"
            ! finish model 1
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_1 ended: Completed, EndTurn, assistant("ok"), 10+5 tokens, 1 model, 0 tool
            ! answer 2: InvalidRequest (messages: must be empty for a session that has a history of its own)
            history: user("hi") assistant("ok")
        "#]],
    );
}

#[test]
fn a_brought_history_that_failed_may_be_brought_again() {
    check(
        "
            bring: user=a; assistant=b | invoke: hi | failed | bring: user=a; assistant=b
            invoke: hi
        ",
        expect![[r#"
            ! answer 1: turn_s_1 from 1
            ! call model 1: user("a") assistant("b") user("hi")
            turn_s_1 started
            step 0
            turn_s_1 ended: Failed, Error, 0+0 tokens, 1 model, 0 tool, ModelThrottled (throttled)
            ! answer 2: turn_s_2 from 4
            ! call model 2: user("a") assistant("b") user("hi")
            turn_s_2 started
            step 0
            history: user("a") assistant("b") user("hi")
        "#]],
    );
}

#[test]
fn a_call_without_a_word_is_refused() {
    check(
        "invoke: | invoke: blank | bring: user=blank | invoke:",
        expect![[r#"
            ! answer 1: InvalidRequest (prompt: must not be empty)
            ! answer 2: InvalidRequest (content: must hold at least one block that is not blank)
            ! answer 3: InvalidRequest (prompt: must not be empty)
            history: 
        "#]],
    );
}

#[test]
fn a_call_while_a_turn_runs_is_refused() {
    check(
        "invoke: hi | invoke: more",
        expect![[r#"
        ! answer 1: turn_s_1 from 1
        ! call model 1: user("hi")
        turn_s_1 started
        step 0
        ! answer 2: TurnInProgress (another turn runs in this session)
        history: user("hi")
    "#]],
    );
}

#[test]
fn an_event_of_the_step_before_is_passed_over() {
    check(
        "user: hi | model: Hel | stop | user: more | late: lo | model: Yes | done",
        expect![[r#"
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            text "Hel"
            ! abort model 1
            interrupted: Client
            turn_s_1 ended: Interrupted, Interrupted, assistant("Hel"), about 28+1 tokens, 1 model, 0 tool
            ! call model 2: user("hi") assistant("Hel") user("more")
            turn_s_2 started
            step 0
            text "Yes"
            ! finish model 2
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_2 ended: Completed, EndTurn, assistant("Yes"), 10+5 tokens, 1 model, 0 tool
            history: user("hi") assistant("Hel") user("more") assistant("Yes")
        "#]],
    );
}

#[test]
fn a_turn_can_be_asked_for_while_it_runs_and_after() {
    check(
        "
            invoke: hi | model: Hel | turn: turn_s_1 | model: lo | done | turn: turn_s_1
            turn: turn_s_2
        ",
        expect![[r#"
            ! answer 1: turn_s_1 from 1
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            text "Hel"
            ? turn_s_1: Running, assistant("Hel"), 0+0 tokens, 0 model, 0 tool, waited 0ns, last event 4
            text "lo"
            ! finish model 1
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_1 ended: Completed, EndTurn, assistant("Hello"), 10+5 tokens, 1 model, 0 tool
            ? turn_s_1: Completed, EndTurn, assistant("Hello"), 10+5 tokens, 1 model, 0 tool, waited 0ns, last event 8
            ? turn_s_2: not known
            history: user("hi") assistant("Hello")
        "#]],
    );
}

#[test]
fn settings_of_an_update_hold_for_the_turns_after_it() {
    check(
        r#"
            user: hi | update#u: max_steps=1 | model: ok | done | user: more
            call: t1 weather {"city":"Oslo"} | done: tool_use | result: t1 wet
        "#,
        expect![[r#"
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            frame u Applied
            text "ok"
            ! finish model 1
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_1 ended: Completed, EndTurn, assistant("ok"), 10+5 tokens, 1 model, 0 tool
            ! call model 2: user("hi") assistant("ok") user("more")
            turn_s_2 started
            step 0
            input of t1: {"city":"Oslo"}
            block 0 done: call t1 weather {"city":"Oslo"}
            ! finish model 2
            step done: ToolUse, 10+5 tokens, 1 model, 0 tool
            call t1 weather {"city":"Oslo"} as turn_s_2/0/t1
            usage so far: 10+5 tokens, 1 model, 1 tool
            turn_s_2 ended: Completed, MaxSteps, assistant(call t1 weather {"city":"Oslo"}), 10+5 tokens, 1 model, 1 tool
            history: user("hi") assistant("ok") user("more") assistant(call t1 weather {"city":"Oslo"}) user(result t1 "wet")
        "#]],
    );
}

#[test]
fn setup_and_invalid_frames_are_answered() {
    check(
        "setup#s | invalid#i | invalid",
        expect![[r#"
        frame s Applied
        frame i rejected: InvalidRequest (frame: is not one)
        frame - rejected: InvalidRequest (frame: is not one)
        history: 
    "#]],
    );
}
