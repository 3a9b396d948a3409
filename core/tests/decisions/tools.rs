//! Client tools: calls handed out, answered, late, malformed, paused.

use std::sync::Arc;

use expect_test::expect;
use taiwa_core::{
    Block, Message, Role, Session, ToolCall, message::Marking, session::Setup, tool::Executor,
};

use crate::{
    script::{agent, check, setup, start_of_time},
    transcript,
};

#[test]
fn a_live_turn_waits_for_the_result_and_goes_on() {
    check(
        r#"
            user: hi | model: Let me see | call: t1 weather {"city":"Oslo"} | done: tool_use
            result#r: t1 wet | model: It is wet | done
        "#,
        expect![[r#"
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            text "Let me see"
            input of t1: {"city":"Oslo"}
            block 1 done: call t1 weather {"city":"Oslo"}
            ! finish model 1
            step done: ToolUse, 10+5 tokens, 1 model, 0 tool
            call t1 weather {"city":"Oslo"} as turn_s_1/0/t1
            ! call model 2: user("hi") assistant("Let me see", call t1 weather {"city":"Oslo"}) user(result t1 "wet")
            frame r Applied turn_s_1
            usage so far: 10+5 tokens, 1 model, 1 tool
            step 1
            text "It is wet"
            ! finish model 2
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_1 ended: Completed, EndTurn, assistant("It is wet"), 20+10 tokens, 2 model, 1 tool
            history: user("hi") assistant("Let me see", call t1 weather {"city":"Oslo"}) user(result t1 "wet") assistant("It is wet")
        "#]],
    );
}

#[test]
fn a_call_without_a_stream_pauses_and_another_call_goes_on() {
    check(
        r#"
            invoke: hi | call: t1 weather {"city":"Oslo"} | done: tool_use | answer: t1 wet
            model: Wet | done
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
            text "Wet"
            ! finish model 2
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_1 ended: Completed, EndTurn, assistant("Wet"), 20+10 tokens, 2 model, 1 tool
            history: user("hi") assistant(call t1 weather {"city":"Oslo"}) user(result t1 "wet") assistant("Wet")
        "#]],
    );
}

#[test]
fn a_paused_turn_can_be_answered_with_further_words() {
    check(
        r#"
            invoke: hi | call: t1 weather {"city":"Oslo"} | done: tool_use
            answer: t1 wet; + in short | model: Wet | done
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
            ! call model 2: user("hi") assistant(call t1 weather {"city":"Oslo"}) user(result t1 "wet", "in short")
            turn_s_1 goes on
            usage so far: 10+5 tokens, 1 model, 1 tool
            step 1
            text "Wet"
            ! finish model 2
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_1 ended: Completed, EndTurn, assistant("Wet"), 20+10 tokens, 2 model, 1 tool
            history: user("hi") assistant(call t1 weather {"city":"Oslo"}) user(result t1 "wet", "in short") assistant("Wet")
        "#]],
    );
}

#[test]
fn further_words_wait_until_every_call_is_answered() {
    check(
        "
            invoke: hi | call: t1 clock {} | call: t2 clock {} | done: tool_use
            answer: t1 wet; + in short
        ",
        expect![[r#"
            ! answer 1: turn_s_1 from 1
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
            turn_s_1 ended: Paused, ToolUse, assistant(call t1 clock {}, call t2 clock {}), waits for t1 t2, 10+5 tokens, 1 model, 2 tool
            ! answer 2: InvalidRequest (prompt: must be empty until every tool call of the turn has its result)
            history: user("hi") assistant(call t1 clock {}, call t2 clock {})
        "#]],
    );
}

#[test]
fn results_may_come_one_call_at_a_time() {
    check(
        "
            invoke: hi | call: t1 clock {} | call: t2 clock {} | done: tool_use | answer: t2 two
            answer: t1 one | model: ok | done
        ",
        expect![[r#"
            ! answer 1: turn_s_1 from 1
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
            turn_s_1 ended: Paused, ToolUse, assistant(call t1 clock {}, call t2 clock {}), waits for t1 t2, 10+5 tokens, 1 model, 2 tool
            ! answer 2: turn_s_1 from 13
            turn_s_1 goes on
            turn_s_1 ended: Paused, ToolUse, assistant(call t1 clock {}, call t2 clock {}), waits for t1, 10+5 tokens, 1 model, 2 tool
            ! answer 3: turn_s_1 from 15
            ! call model 2: user("hi") assistant(call t1 clock {}, call t2 clock {}) user(result t1 "one", result t2 "two")
            turn_s_1 goes on
            usage so far: 10+5 tokens, 1 model, 2 tool
            step 1
            text "ok"
            ! finish model 2
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_1 ended: Completed, EndTurn, assistant("ok"), 20+10 tokens, 2 model, 2 tool
            history: user("hi") assistant(call t1 clock {}, call t2 clock {}) user(result t1 "one", result t2 "two") assistant("ok")
        "#]],
    );
}

#[test]
fn results_stand_in_the_order_of_the_calls() {
    check(
        "
            user: hi | call: t1 clock {} | call: t2 clock {} | done: tool_use | result: t2 two
            result: t1 one | model: ok | done
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
            ! call model 2: user("hi") assistant(call t1 clock {}, call t2 clock {}) user(result t1 "one", result t2 "two")
            usage so far: 10+5 tokens, 1 model, 2 tool
            step 1
            text "ok"
            ! finish model 2
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_1 ended: Completed, EndTurn, assistant("ok"), 20+10 tokens, 2 model, 2 tool
            history: user("hi") assistant(call t1 clock {}, call t2 clock {}) user(result t1 "one", result t2 "two") assistant("ok")
        "#]],
    );
}

#[test]
fn a_wrong_or_repeated_result_is_refused_by_a_call() {
    check(
        "invoke: hi | call: t1 clock {} | done: tool_use | answer: t9 x | answer: t1 x; t1 y",
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
            ! answer 2: CallNotPending (no tool call with this id waits for a result)
            ! answer 3: CallNotPending (no tool call with this id waits for a result)
            history: user("hi") assistant(call t1 clock {})
        "#]],
    );
}

#[test]
fn a_paused_turn_refuses_a_call_without_results() {
    check(
        "
            invoke: hi | call: t1 clock {} | done: tool_use | invoke: more | bring: user=x
            answer: t1 x
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
            ! answer 2: TurnInProgress (the turn before waits for tool results or approvals: send them in tool_results or approval_decisions, or cancel it)
            ! answer 3: InvalidRequest (messages: must be empty when the turn before waits for tool results or approvals)
            history: user("hi") assistant(call t1 clock {})
        "#]],
    );
}

#[test]
fn results_without_a_paused_turn_are_refused() {
    check(
        "answer: t1 x | invoke: hi | answer: t1 x",
        expect![[r#"
        ! answer 1: CallNotPending (no tool call with this id waits for a result)
        ! answer 2: turn_s_1 from 1
        ! call model 1: user("hi")
        turn_s_1 started
        step 0
        ! answer 3: TurnInProgress (another turn runs in this session)
        history: user("hi")
    "#]],
    );
}

#[test]
fn a_frame_answers_a_paused_turn() {
    check(
        "
            invoke: hi | call: t1 clock {} | done: tool_use | result#r: t1 noon | model: Noon
            done
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
            frame r Applied turn_s_1
            turn_s_1 goes on
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
fn half_close_while_a_tool_runs_pauses_the_turn() {
    check(
        "
            user: hi | call: t1 clock {} | done: tool_use | half-close | answer: t1 noon
            model: Noon | done
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
            ! end stream 1
            turn_s_1 ended: Paused, ToolUse, assistant(call t1 clock {}), waits for t1, 10+5 tokens, 1 model, 1 tool
            ! answer 1: turn_s_1 from 9
            ! call model 2: user("hi") assistant(call t1 clock {}) user(result t1 "noon")
            turn_s_1 goes on
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
fn half_close_before_the_call_pauses_at_the_call() {
    check(
        "user: hi | half-close | call: t1 clock {} | done: tool_use",
        expect![[r#"
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            input of t1: {}
            block 0 done: call t1 clock {}
            ! finish model 1
            ! end stream 1
            step done: ToolUse, 10+5 tokens, 1 model, 0 tool
            call t1 clock {} as turn_s_1/0/t1
            turn_s_1 ended: Paused, ToolUse, assistant(call t1 clock {}), waits for t1, 10+5 tokens, 1 model, 1 tool
            history: user("hi") assistant(call t1 clock {})
        "#]],
    );
}

#[test]
fn an_unknown_tool_is_answered_to_the_model_alone() {
    check(
        "user: hi | call: t1 nonsense {} | done: tool_use | model: Sorry | done",
        expect![[r#"
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            input of t1: {}
            block 0 done: call t1 nonsense {}
            ! finish model 1
            ! call model 2: user("hi") assistant(call t1 nonsense {}) user(error t1 "there is no tool \"nonsense\"; the tools are: weather, clock")
            step done: ToolUse, 10+5 tokens, 1 model, 0 tool
            t1 Failed: error t1 "there is no tool \"nonsense\"; the tools are: weather, clock"
            usage so far: 10+5 tokens, 1 model, 0 tool
            step 1
            text "Sorry"
            ! finish model 2
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_1 ended: Completed, EndTurn, assistant("Sorry"), 20+10 tokens, 2 model, 0 tool
            history: user("hi") assistant(call t1 nonsense {}) user(error t1 "there is no tool \"nonsense\"; the tools are: weather, clock") assistant("Sorry")
        "#]],
    );
}

#[test]
fn input_that_is_no_json_is_answered_to_the_model_alone() {
    check(
        r#"user: hi | call: t1 weather {"city": | done: tool_use | model: Sorry | done"#,
        expect![[r#"
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            input of t1: {"city":
            block 0 done: call t1 weather {"city":
            ! finish model 1
            ! call model 2: user("hi") assistant(call t1 weather {"city":) user(error t1 "the input is not valid JSON: EOF while parsing a value at line 1 column 8; the tool did not run")
            step done: ToolUse, 10+5 tokens, 1 model, 0 tool
            t1 Failed: error t1 "the input is not valid JSON: EOF while parsing a value at line 1 column 8; the tool did not run"
            usage so far: 10+5 tokens, 1 model, 0 tool
            step 1
            text "Sorry"
            ! finish model 2
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_1 ended: Completed, EndTurn, assistant("Sorry"), 20+10 tokens, 2 model, 0 tool
            history: user("hi") assistant(call t1 weather {"city":) user(error t1 "the input is not valid JSON: EOF while parsing a value at line 1 column 8; the tool did not run") assistant("Sorry")
        "#]],
    );
}

#[test]
fn input_that_is_no_object_is_answered_to_the_model_alone() {
    check(
        "user: hi | call: t1 weather [1] | done: tool_use | model: Sorry | done",
        expect![[r#"
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            input of t1: [1]
            block 0 done: call t1 weather [1]
            ! finish model 1
            ! call model 2: user("hi") assistant(call t1 weather [1]) user(error t1 "the input is not a JSON object; the tool did not run")
            step done: ToolUse, 10+5 tokens, 1 model, 0 tool
            t1 Failed: error t1 "the input is not a JSON object; the tool did not run"
            usage so far: 10+5 tokens, 1 model, 0 tool
            step 1
            text "Sorry"
            ! finish model 2
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_1 ended: Completed, EndTurn, assistant("Sorry"), 20+10 tokens, 2 model, 0 tool
            history: user("hi") assistant(call t1 weather [1]) user(error t1 "the input is not a JSON object; the tool did not run") assistant("Sorry")
        "#]],
    );
}

#[test]
fn input_that_does_not_fit_the_schema_is_answered_to_the_model_alone() {
    check(
        r#"user: hi | call: t1 weather {"city":7} | done: tool_use | model: Sorry | done"#,
        expect![[r#"
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            input of t1: {"city":7}
            block 0 done: call t1 weather {"city":7}
            ! finish model 1
            ! call model 2: user("hi") assistant(call t1 weather {"city":7}) user(error t1 "the input does not fit the schema: at /city: 7 is not of type \"string\"; the tool did not run")
            step done: ToolUse, 10+5 tokens, 1 model, 0 tool
            t1 Failed: error t1 "the input does not fit the schema: at /city: 7 is not of type \"string\"; the tool did not run"
            usage so far: 10+5 tokens, 1 model, 0 tool
            step 1
            text "Sorry"
            ! finish model 2
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_1 ended: Completed, EndTurn, assistant("Sorry"), 20+10 tokens, 2 model, 0 tool
            history: user("hi") assistant(call t1 weather {"city":7}) user(error t1 "the input does not fit the schema: at /city: 7 is not of type \"string\"; the tool did not run") assistant("Sorry")
        "#]],
    );
}

#[test]
fn a_fault_that_quotes_a_large_input_is_shortened() {
    check(
        r#"
            user: hi
            call: t1 weather {"city":["xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"]}
            done: tool_use
        "#,
        expect![[r#"
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            input of t1: {"city":["xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"]}
            block 0 done: call t1 weather {"city":["xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"]}
            ! finish model 1
            ! call model 2: user("hi") assistant(call t1 weather {"city":["xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"]}) user(error t1 "the input does not f"… of 1060 bytes)
            step done: ToolUse, 10+5 tokens, 1 model, 0 tool
            t1 Failed: error t1 "the input does not f"… of 1060 bytes
            usage so far: 10+5 tokens, 1 model, 0 tool
            step 1
            history: user("hi") assistant(call t1 weather {"city":["xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"]}) user(error t1 "the input does not f"… of 1060 bytes)
        "#]],
    );
}

#[test]
fn a_good_call_beside_a_malformed_one_is_handed_out() {
    check(
        "
            user: hi | call: t1 weather {} | call: t2 clock {} | done: tool_use
            result: t2 noon | model: ok | done
        ",
        expect![[r#"
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            input of t1: {}
            block 0 done: call t1 weather {}
            input of t2: {}
            block 1 done: call t2 clock {}
            ! finish model 1
            step done: ToolUse, 10+5 tokens, 1 model, 0 tool
            t1 Failed: error t1 "the input does not fit the schema: \"city\" is a required property; the tool did not run"
            call t2 clock {} as turn_s_1/0/t2
            ! call model 2: user("hi") assistant(call t1 weather {}, call t2 clock {}) user(error t1 "the input does not fit the schema: \"city\" is a required property; the tool did not run", result t2 "noon")
            usage so far: 10+5 tokens, 1 model, 1 tool
            step 1
            text "ok"
            ! finish model 2
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_1 ended: Completed, EndTurn, assistant("ok"), 20+10 tokens, 2 model, 1 tool
            history: user("hi") assistant(call t1 weather {}, call t2 clock {}) user(error t1 "the input does not fit the schema: \"city\" is a required property; the tool did not run", result t2 "noon") assistant("ok")
        "#]],
    );
}

#[test]
fn a_call_without_input_has_an_empty_object() {
    check(
        "user: hi | call: t1 clock | done: tool_use",
        expect![[r#"
        ! call model 1: user("hi")
        turn_s_1 started
        step 0
        block 0 done: call t1 clock {}
        ! finish model 1
        step done: ToolUse, 10+5 tokens, 1 model, 0 tool
        call t1 clock {} as turn_s_1/0/t1
        history: user("hi") assistant(call t1 clock {})
    "#]],
    );
}

#[test]
fn malformed_calls_without_end_stop_at_the_step_limit() {
    check(
        "
            with: max_steps=2
            user: hi | call: t1 nonsense {} | done: tool_use | call: t1 nonsense {}
            done: tool_use
        ",
        expect![[r#"
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            input of t1: {}
            block 0 done: call t1 nonsense {}
            ! finish model 1
            ! call model 2: user("hi") assistant(call t1 nonsense {}) user(error t1 "there is no tool \"nonsense\"; the tools are: weather, clock")
            step done: ToolUse, 10+5 tokens, 1 model, 0 tool
            t1 Failed: error t1 "there is no tool \"nonsense\"; the tools are: weather, clock"
            usage so far: 10+5 tokens, 1 model, 0 tool
            step 1
            input of t1: {}
            block 0 done: call t1 nonsense {}
            ! finish model 2
            step done: ToolUse, 10+5 tokens, 1 model, 0 tool
            t1 Failed: error t1 "there is no tool \"nonsense\"; the tools are: weather, clock"
            usage so far: 20+10 tokens, 2 model, 0 tool
            turn_s_1 ended: Completed, MaxSteps, assistant(call t1 nonsense {}), 20+10 tokens, 2 model, 0 tool
            history: user("hi") assistant(call t1 nonsense {}) user(error t1 "there is no tool \"nonsense\"; the tools are: weather, clock") assistant(call t1 nonsense {}) user(error t1 "there is no tool \"nonsense\"; the tools are: weather, clock")
        "#]],
    );
}

#[test]
fn calls_are_run_although_the_model_says_end_turn() {
    check(
        "user: hi | call: t1 clock {} | done | result: t1 noon | model: ok | done",
        expect![[r#"
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            input of t1: {}
            block 0 done: call t1 clock {}
            ! finish model 1
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
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
fn calls_of_an_answer_that_was_cut_off_are_not_run() {
    check(
        "user: hi | call: t1 clock {} | done: max_tokens | user: more",
        expect![[r#"
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            input of t1: {}
            block 0 done: call t1 clock {}
            ! finish model 1
            step done: MaxTokens, 10+5 tokens, 1 model, 0 tool
            turn_s_1 ended: Completed, MaxTokens, assistant(call t1 clock {}), 10+5 tokens, 1 model, 0 tool
            ! call model 2: user("hi") assistant(call t1 clock {}) user(error t1 "not run: the model's answer ended before its calls were handed out", "more")
            turn_s_2 started
            step 0
            history: user("hi") assistant(call t1 clock {}) user(error t1 "not run: the model's answer ended before its calls were handed out", "more")
        "#]],
    );
}

#[test]
fn a_call_that_is_half_there_at_the_stop_breaks_the_turn() {
    check(
        r#"user: hi | raw: text 0 Hm | raw: call 1 t1 clock | raw: input 1 {"a | end: tool_use"#,
        expect![[r#"
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            text "Hm"
            input of t1: {"a
            ! abort model 1
            turn_s_1 ended: Failed, Incomplete, assistant("Hm"), about 28+2 tokens, 1 model, 0 tool, ModelStreamError (the model's stream is broken: the message ended inside a content block)
            history: user("hi") assistant("Hm")
        "#]],
    );
}

#[test]
fn two_calls_of_one_id_break_the_turn() {
    check(
        "user: hi | raw: call 0 t1 clock | raw: call 1 t1 clock",
        expect![[r#"
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            ! abort model 1
            turn_s_1 ended: Failed, Incomplete, about 28+0 tokens, 1 model, 0 tool, ModelStreamError (the model's stream is broken: two tool calls have the same id)
            history: user("hi")
        "#]],
    );
}

#[test]
fn a_call_with_a_malformed_name_breaks_the_turn() {
    check(
        "user: hi | raw: call 0 t1 no(name",
        expect![[r#"
        ! call model 1: user("hi")
        turn_s_1 started
        step 0
        ! abort model 1
        turn_s_1 ended: Failed, Error, about 28+0 tokens, 1 model, 0 tool, ModelStreamError (the model's stream is broken: a tool call has a malformed id or name)
        history: 
    "#]],
    );
}

#[test]
fn calls_of_the_same_id_in_two_steps_have_keys_of_their_own() {
    check(
        "
            user: hi | call: t1 clock {} | done: tool_use | result: t1 noon | call: t1 clock {}
            done: tool_use | result: t1 night | model: ok | done
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
            input of t1: {}
            block 0 done: call t1 clock {}
            ! finish model 2
            step done: ToolUse, 10+5 tokens, 1 model, 0 tool
            call t1 clock {} as turn_s_1/1/t1
            ! call model 3: user("hi") assistant(call t1 clock {}) user(result t1 "noon") assistant(call t1 clock {}) user(result t1 "night")
            usage so far: 20+10 tokens, 2 model, 2 tool
            step 2
            text "ok"
            ! finish model 3
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_1 ended: Completed, EndTurn, assistant("ok"), 30+15 tokens, 3 model, 2 tool
            history: user("hi") assistant(call t1 clock {}) user(result t1 "noon") assistant(call t1 clock {}) user(result t1 "night") assistant("ok")
        "#]],
    );
}

#[test]
fn a_repeated_result_is_too_late() {
    check(
        "
            user: hi | call: t1 clock {} | call: t2 clock {} | done: tool_use | result#a: t1 one
            result#b: t1 uno | result: t1 eins
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
            frame a Applied turn_s_1
            frame b TooLate turn_s_1
            frame - rejected: CallNotPending (no tool call with this id waits for a result)
            history: user("hi") assistant(call t1 clock {}, call t2 clock {})
        "#]],
    );
}

#[test]
fn a_result_of_an_ended_turn_is_too_late_and_stays_out() {
    check(
        "user: hi | call: t1 clock {} | done: tool_use | stop | result#a: t1 noon",
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
            frame a TooLate turn_s_1
            history: user("hi") assistant(call t1 clock {}) user(error t1 "not known: the user interrupted before the result came")
        "#]],
    );
}

#[test]
fn a_result_that_nobody_asked_for_is_refused() {
    check(
        "user: hi | result#a: t1 noon | model: ok | done | result#b: t2 noon",
        expect![[r#"
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            frame a rejected: CallNotPending (no tool call with this id waits for a result)
            text "ok"
            ! finish model 1
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_1 ended: Completed, EndTurn, assistant("ok"), 10+5 tokens, 1 model, 0 tool
            frame b rejected: CallNotPending (no tool call with this id waits for a result)
            history: user("hi") assistant("ok")
        "#]],
    );
}

#[test]
fn a_call_that_is_not_answered_in_time_is_told_to_the_model() {
    check(
        r#"
            user: hi | call: t1 clock {} | call: t2 weather {"city":"Oslo"} | done: tool_use
            wait: 10s | result#late: t1 noon | result: t2 wet | model: ok | done
        "#,
        expect![[r#"
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            input of t1: {}
            block 0 done: call t1 clock {}
            input of t2: {"city":"Oslo"}
            block 1 done: call t2 weather {"city":"Oslo"}
            ! finish model 1
            step done: ToolUse, 10+5 tokens, 1 model, 0 tool
            call t1 clock {} as turn_s_1/0/t1
            call t2 weather {"city":"Oslo"} as turn_s_1/0/t2
            calls cancelled: t1
            frame late TooLate turn_s_1
            ! call model 2: user("hi") assistant(call t1 clock {}, call t2 weather {"city":"Oslo"}) user(error t1 "the client did not answer this call in time; its effect is not known", result t2 "wet")
            usage so far: 10+5 tokens, 1 model, 2 tool
            step 1
            text "ok"
            ! finish model 2
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_1 ended: Completed, EndTurn, assistant("ok"), 20+10 tokens, 2 model, 2 tool
            history: user("hi") assistant(call t1 clock {}, call t2 weather {"city":"Oslo"}) user(error t1 "the client did not answer this call in time; its effect is not known", result t2 "wet") assistant("ok")
        "#]],
    );
}

#[test]
fn a_paused_turn_that_is_not_answered_in_time_fails() {
    check(
        "invoke: hi | call: t1 clock {} | done: tool_use | wait: 10s | invoke: more",
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
            turn_s_1 goes on
            calls cancelled: t1
            turn_s_1 ended: Failed, Error, assistant(call t1 clock {}), 10+5 tokens, 1 model, 1 tool, AnswerTimeout (a client tool, or a question for consent, was not answered in time)
            ! answer 2: turn_s_2 from 12
            ! call model 2: user("hi") assistant(call t1 clock {}) user(error t1 "not known: the turn failed before the result came", "more")
            turn_s_2 started
            step 0
            history: user("hi") assistant(call t1 clock {}) user(error t1 "not known: the turn failed before the result came", "more")
        "#]],
    );
}

#[test]
fn waiting_time_counts_from_the_call_to_the_last_result() {
    check(
        r#"
            invoke: hi | call: t1 weather {"city":"Oslo"} | done: tool_use | wait: 7s
            answer: t1 wet | turn: turn_s_1
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
            ? turn_s_1: Running, assistant(call t1 weather {"city":"Oslo"}), 10+5 tokens, 1 model, 1 tool, waited 7s, last event 11
            history: user("hi") assistant(call t1 weather {"city":"Oslo"}) user(result t1 "wet")
        "#]],
    );
}

#[test]
fn a_tool_that_the_provider_runs_is_told_and_kept_with_its_result() {
    check(
        r#"user: hi | run: p1 search {"q":1}/found | model: So | done | user: more"#,
        expect![[r#"
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            input of p1: {"q":1}
            block 0 done: call p1 search {"q":1}
            call p1 search {"q":1} as turn_s_1/0/p1
            result of p1: "found"
            block 1 done: result p1 "found"
            text "So"
            ! finish model 1
            step done: EndTurn, 10+5 tokens, 1 model, 1 tool
            turn_s_1 ended: Completed, EndTurn, assistant(call p1 search {"q":1}, result p1 "found", "So"), 10+5 tokens, 1 model, 1 tool
            ! call model 2: user("hi") assistant(call p1 search {"q":1}, result p1 "found", "So") user("more")
            turn_s_2 started
            step 0
            history: user("hi") assistant(call p1 search {"q":1}, result p1 "found", "So") user("more")
        "#]],
    );
}

#[test]
fn a_provider_run_call_without_its_result_stays_out_of_the_history() {
    check(
        r#"user: hi | run: p1 search {"q":1}/ | model: So | closed | user: more"#,
        expect![[r#"
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            input of p1: {"q":1}
            block 0 done: call p1 search {"q":1}
            call p1 search {"q":1} as turn_s_1/0/p1
            text "So"
            turn_s_1 ended: Failed, Incomplete, assistant(call p1 search {"q":1}, "So"), about 28+3 tokens, 1 model, 1 tool, ModelStreamError (the model's stream ended without saying why the model stopped)
            ! call model 2: user("hi") assistant("So") user("more")
            turn_s_2 started
            step 0
            history: user("hi") assistant("So") user("more")
        "#]],
    );
}

#[test]
fn a_caller_that_keeps_history_brings_the_results_in_it_or_apart() {
    check(
        "
            bring: user=hi; assistant=call t1 clock {} | answer: t1 noon; + and? | model: ok
            done
        ",
        expect![[r#"
            ! answer 1: turn_s_1 from 1
            ! call model 1: user("hi") assistant(call t1 clock {}) user(result t1 "noon", "and?")
            turn_s_1 started
            step 0
            text "ok"
            ! finish model 1
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_1 ended: Completed, EndTurn, assistant("ok"), 10+5 tokens, 1 model, 0 tool
            history: user("hi") assistant(call t1 clock {}) user(result t1 "noon", "and?") assistant("ok")
        "#]],
    );
}

#[test]
fn a_brought_call_without_its_result_is_refused() {
    check(
        "bring: user=hi; assistant=call t1 clock {} | invoke: more",
        expect![[r#"
            ! answer 1: InvalidRequest (tool_results: must hold a result for the tool call "t1" that stands last)
            history: 
        "#]],
    );
}

#[test]
fn steps_are_counted_over_the_pause() {
    check(
        "
            with: max_steps=2
            invoke: hi | call: t1 clock {} | done: tool_use | answer: t1 noon
            call: t1 clock {} | done: tool_use | answer: t1 noon
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
            input of t1: {}
            block 0 done: call t1 clock {}
            ! finish model 2
            step done: ToolUse, 10+5 tokens, 1 model, 0 tool
            call t1 clock {} as turn_s_1/1/t1
            turn_s_1 ended: Paused, ToolUse, assistant(call t1 clock {}), waits for t1, 20+10 tokens, 2 model, 2 tool
            ! answer 3: turn_s_1 from 18
            turn_s_1 goes on
            usage so far: 20+10 tokens, 2 model, 2 tool
            turn_s_1 ended: Completed, MaxSteps, assistant(call t1 clock {}), 20+10 tokens, 2 model, 2 tool
            history: user("hi") assistant(call t1 clock {}) user(result t1 "noon") assistant(call t1 clock {}) user(result t1 "noon")
        "#]],
    );
}

#[test]
fn a_stored_history_that_ends_in_open_calls_is_answered_when_the_session_begins() {
    let call = ToolCall {
        id: "t1".to_owned(),
        name: "clock".to_owned(),
        input_json: "{}".to_owned(),
        executor: Executor::Client,
        expires: None,
        idempotency_key: String::new(),
    };
    let session = Session::new(Setup {
        messages: vec![
            Message::user(vec![Block::Text("hi".to_owned())]),
            Message {
                role: Role::Assistant,
                content: vec![Block::ToolCall(call)],
                origin: None,
                marking: Marking::Unmarked,
            },
        ],
        ..setup(&Arc::new(agent()), start_of_time())
    });
    let answer = transcript::message(&session.history().messages()[2]);
    expect![[r#"user(error t1 "not known: the server stopped before the result came")"#]]
        .assert_eq(&answer);
}
