//! Consent that comes while the turn is paused, in a later turn, or after a restart.

use expect_test::expect;

use crate::script::check;

#[test]
fn nobody_answers_in_time_while_the_turn_is_paused() {
    check(
        r#"
            with: server=send approval_timeout=30s
            invoke: hi | call: a send {"to":"x"} | done: tool_use | wait: 30s | answer: approve 1
        "#,
        expect![[r#"
            ! answer 1: turn_s_1 from 1
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            input of a: {"to":"x"}
            block 0 done: call a send {"to":"x"}
            ! finish model 1
            step done: ToolUse, 10+5 tokens, 1 model, 0 tool
            approval_s_1 asks for a send {"to":"x"} (the tool needs consent for each call)
            turn_s_1 ended: Paused, ApprovalRequired, assistant(call a send {"to":"x"}), asks approval_s_1, 10+5 tokens, 1 model, 0 tool
            turn_s_1 goes on
            approval_s_1 expired
            a Cancelled: error a "not run: the turn failed before the tool could run"
            turn_s_1 ended: Failed, Error, assistant(call a send {"to":"x"}), 10+5 tokens, 1 model, 0 tool, AnswerTimeout (a client tool, or a question for consent, was not answered in time)
            ! answer 2: CallNotPending (no approval with this id waits for an answer)
            history: user("hi") assistant(call a send {"to":"x"}) user(error a "not run: the turn failed before the tool could run")
        "#]],
    );
}

#[test]
fn a_call_pauses_for_consent_and_another_call_brings_it() {
    check(
        r#"
            with: server=send
            invoke: hi | call: a send {"to":"x"} | done: tool_use | answer: approve 1 | finish: a sent | model: ok | done
        "#,
        expect![[r#"
            ! answer 1: turn_s_1 from 1
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            input of a: {"to":"x"}
            block 0 done: call a send {"to":"x"}
            ! finish model 1
            step done: ToolUse, 10+5 tokens, 1 model, 0 tool
            approval_s_1 asks for a send {"to":"x"} (the tool needs consent for each call)
            turn_s_1 ended: Paused, ApprovalRequired, assistant(call a send {"to":"x"}), asks approval_s_1, 10+5 tokens, 1 model, 0 tool
            ! answer 2: turn_s_1 from 9
            ! run 1 for 60s: a send {"to":"x"} as turn_s_1/0/a
            turn_s_1 goes on
            approval_s_1 approved
            call a send {"to":"x"} as turn_s_1/0/a
            a Running
            ! call model 2: user("hi") assistant(call a send {"to":"x"}) user(result a "sent")
            a Succeeded after 0ns: result a "sent"
            usage so far: 10+5 tokens, 1 model, 1 tool
            step 1
            text "ok"
            ! finish model 2
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_1 ended: Completed, EndTurn, assistant("ok"), 20+10 tokens, 2 model, 1 tool
            history: user("hi") assistant(call a send {"to":"x"}) user(result a "sent") assistant("ok")
        "#]],
    );
}

#[test]
fn a_paused_turn_goes_on_with_one_decision_and_pauses_for_the_other() {
    check(
        r#"
            with: server=send
            invoke: hi | call: a send {"to":"x"} | call: b send {"to":"y"} | call: c clock {} | done: tool_use
            answer: refuse 1 no | answer: approve 2; c noon | finish: b sent | model: ok | done
        "#,
        expect![[r#"
            ! answer 1: turn_s_1 from 1
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            input of a: {"to":"x"}
            block 0 done: call a send {"to":"x"}
            input of b: {"to":"y"}
            block 1 done: call b send {"to":"y"}
            input of c: {}
            block 2 done: call c clock {}
            ! finish model 1
            step done: ToolUse, 10+5 tokens, 1 model, 0 tool
            approval_s_1 asks for a send {"to":"x"} (the tool needs consent for each call)
            approval_s_2 asks for b send {"to":"y"} (the tool needs consent for each call)
            call c clock {} as turn_s_1/0/c
            turn_s_1 ended: Paused, ApprovalRequired, assistant(call a send {"to":"x"}, call b send {"to":"y"}, call c clock {}), waits for c, asks approval_s_1 approval_s_2, 10+5 tokens, 1 model, 1 tool
            ! answer 2: turn_s_1 from 17
            turn_s_1 goes on
            approval_s_1 refused
            a Rejected: error a "the user refused this call; the tool did not run. They say: no"
            turn_s_1 ended: Paused, ApprovalRequired, assistant(call a send {"to":"x"}, call b send {"to":"y"}, call c clock {}), waits for c, asks approval_s_2, 10+5 tokens, 1 model, 1 tool
            ! answer 3: turn_s_1 from 21
            ! run 1 for 60s: b send {"to":"y"} as turn_s_1/0/b
            turn_s_1 goes on
            approval_s_2 approved
            call b send {"to":"y"} as turn_s_1/0/b
            b Running
            ! call model 2: user("hi") assistant(call a send {"to":"x"}, call b send {"to":"y"}, call c clock {}) user(error a "the user refused this call; the tool did not run. They say: no", result b "sent", result c "noon")
            b Succeeded after 0ns: result b "sent"
            usage so far: 10+5 tokens, 1 model, 2 tool
            step 1
            text "ok"
            ! finish model 2
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_1 ended: Completed, EndTurn, assistant("ok"), 20+10 tokens, 2 model, 2 tool
            history: user("hi") assistant(call a send {"to":"x"}, call b send {"to":"y"}, call c clock {}) user(error a "the user refused this call; the tool did not run. They say: no", result b "sent", result c "noon") assistant("ok")
        "#]],
    );
}

#[test]
fn while_an_approved_tool_runs_for_a_call_no_other_call_may_answer() {
    check(
        r#"
            with: server=send
            invoke: hi | call: a send {"to":"x"} | call: b send {"to":"y"} | done: tool_use
            answer: approve 1 | answer: approve 2 | finish: a sent
        "#,
        expect![[r#"
            ! answer 1: turn_s_1 from 1
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            input of a: {"to":"x"}
            block 0 done: call a send {"to":"x"}
            input of b: {"to":"y"}
            block 1 done: call b send {"to":"y"}
            ! finish model 1
            step done: ToolUse, 10+5 tokens, 1 model, 0 tool
            approval_s_1 asks for a send {"to":"x"} (the tool needs consent for each call)
            approval_s_2 asks for b send {"to":"y"} (the tool needs consent for each call)
            turn_s_1 ended: Paused, ApprovalRequired, assistant(call a send {"to":"x"}, call b send {"to":"y"}), asks approval_s_1 approval_s_2, 10+5 tokens, 1 model, 0 tool
            ! answer 2: turn_s_1 from 13
            ! run 1 for 60s: a send {"to":"x"} as turn_s_1/0/a
            turn_s_1 goes on
            approval_s_1 approved
            call a send {"to":"x"} as turn_s_1/0/a
            a Running
            ! answer 3: TurnInProgress (another turn runs in this session)
            a Succeeded after 0ns: result a "sent"
            turn_s_1 ended: Paused, ApprovalRequired, assistant(call a send {"to":"x"}, call b send {"to":"y"}), asks approval_s_2, 10+5 tokens, 1 model, 1 tool
            history: user("hi") assistant(call a send {"to":"x"}, call b send {"to":"y"})
        "#]],
    );
}

#[test]
fn a_call_with_a_decision_that_is_not_good_changes_nothing() {
    check(
        r#"
            with: server=send
            invoke: hi | call: a send {"to":"x"} | done: tool_use
            answer: approve 1; approve 1 | answer: approve-false 1 | answer: edit 1 {} | answer: approve 9
            answer: approve 1; + and then | answer: refuse 1; + never mind
        "#,
        expect![[r#"
            ! answer 1: turn_s_1 from 1
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            input of a: {"to":"x"}
            block 0 done: call a send {"to":"x"}
            ! finish model 1
            step done: ToolUse, 10+5 tokens, 1 model, 0 tool
            approval_s_1 asks for a send {"to":"x"} (the tool needs consent for each call)
            turn_s_1 ended: Paused, ApprovalRequired, assistant(call a send {"to":"x"}), asks approval_s_1, 10+5 tokens, 1 model, 0 tool
            ! answer 2: CallNotPending (no approval with this id waits for an answer)
            ! answer 3: InvalidRequest (approval_decision.digest: must be that of the approval request: another call was meant)
            ! answer 4: InvalidRequest (approval_decision.edited_input_json: the input does not fit the schema: "to" is a required property; the tool did not run)
            ! answer 5: CallNotPending (no approval with this id waits for an answer)
            ! answer 6: InvalidRequest (prompt: must be empty until every tool call of the turn has its result)
            ! answer 7: turn_s_1 from 9
            ! call model 2: user("hi") assistant(call a send {"to":"x"}) user(error a "the user refused this call; the tool did not run", "never mind")
            turn_s_1 goes on
            approval_s_1 refused
            a Rejected: error a "the user refused this call; the tool did not run"
            usage so far: 10+5 tokens, 1 model, 0 tool
            step 1
            history: user("hi") assistant(call a send {"to":"x"}) user(error a "the user refused this call; the tool did not run", "never mind")
        "#]],
    );
}

#[test]
fn a_stream_answers_what_a_call_paused_for() {
    check(
        r#"
            with: server=send
            invoke: hi | call: a send {"to":"x"} | call: b send {"to":"y"} | done: tool_use
            approve: 1 | finish: a sent | approve@2: 2 | finish: b sent | model: ok | done
        "#,
        expect![[r#"
            ! answer 1: turn_s_1 from 1
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            input of a: {"to":"x"}
            block 0 done: call a send {"to":"x"}
            input of b: {"to":"y"}
            block 1 done: call b send {"to":"y"}
            ! finish model 1
            step done: ToolUse, 10+5 tokens, 1 model, 0 tool
            approval_s_1 asks for a send {"to":"x"} (the tool needs consent for each call)
            approval_s_2 asks for b send {"to":"y"} (the tool needs consent for each call)
            turn_s_1 ended: Paused, ApprovalRequired, assistant(call a send {"to":"x"}, call b send {"to":"y"}), asks approval_s_1 approval_s_2, 10+5 tokens, 1 model, 0 tool
            ! run 1 for 60s: a send {"to":"x"} as turn_s_1/0/a
            turn_s_1 goes on
            approval_s_1 approved
            call a send {"to":"x"} as turn_s_1/0/a
            a Running
            a Succeeded after 0ns: result a "sent"
            ! take over from stream 1
            ! run 2 for 60s: b send {"to":"y"} as turn_s_1/0/b
            approval_s_2 approved
            call b send {"to":"y"} as turn_s_1/0/b
            b Running
            ! call model 2: user("hi") assistant(call a send {"to":"x"}, call b send {"to":"y"}) user(result a "sent", result b "sent")
            b Succeeded after 0ns: result b "sent"
            usage so far: 10+5 tokens, 1 model, 2 tool
            step 1
            text "ok"
            ! finish model 2
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_1 ended: Completed, EndTurn, assistant("ok"), 20+10 tokens, 2 model, 2 tool
            history: user("hi") assistant(call a send {"to":"x"}, call b send {"to":"y"}) user(result a "sent", result b "sent") assistant("ok")
        "#]],
    );
}

#[test]
fn a_turn_that_waits_for_consent_alone_pauses_with_its_last_stream() {
    check(
        r#"
            with: server=send,look
            user: hi | call: a send {"to":"x"} | call: b look {} | done: tool_use | half-close | finish: b seen
            approve@2: 1
        "#,
        expect![[r#"
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            input of a: {"to":"x"}
            block 0 done: call a send {"to":"x"}
            input of b: {}
            block 1 done: call b look {}
            ! finish model 1
            ! run 1 for 60s: b look {} as turn_s_1/0/b
            step done: ToolUse, 10+5 tokens, 1 model, 0 tool
            approval_s_1 asks for a send {"to":"x"} (the tool needs consent for each call)
            call b look {} as turn_s_1/0/b
            b Running
            ! end stream 1
            b Succeeded after 0ns: result b "seen"
            turn_s_1 ended: Paused, ApprovalRequired, assistant(call a send {"to":"x"}, call b look {}), asks approval_s_1, 10+5 tokens, 1 model, 1 tool
            ! run 2 for 60s: a send {"to":"x"} as turn_s_1/0/a
            turn_s_1 goes on
            approval_s_1 approved
            call a send {"to":"x"} as turn_s_1/0/a
            a Running
            history: user("hi") assistant(call a send {"to":"x"}, call b look {})
        "#]],
    );
}

#[test]
fn an_approval_to_remember_holds_for_later_calls_and_over_a_restart() {
    check(
        r#"
            with: server=send
            user: hi | call: a send {"to":"x"} | done: tool_use | approve-all: 1 | finish: a sent
            call: b send {"to":"y"} | done: tool_use | finish: b sent | model: ok | done | crash
            user: more | call: c send {"to":"z"} | done: tool_use
        "#,
        expect![[r#"
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            input of a: {"to":"x"}
            block 0 done: call a send {"to":"x"}
            ! finish model 1
            step done: ToolUse, 10+5 tokens, 1 model, 0 tool
            approval_s_1 asks for a send {"to":"x"} (the tool needs consent for each call)
            ! run 1 for 60s: a send {"to":"x"} as turn_s_1/0/a
            approval_s_1 approved
            call a send {"to":"x"} as turn_s_1/0/a
            a Running
            ! call model 2: user("hi") assistant(call a send {"to":"x"}) user(result a "sent")
            a Succeeded after 0ns: result a "sent"
            usage so far: 10+5 tokens, 1 model, 1 tool
            step 1
            input of b: {"to":"y"}
            block 0 done: call b send {"to":"y"}
            ! finish model 2
            ! run 2 for 60s: b send {"to":"y"} as turn_s_1/1/b
            step done: ToolUse, 10+5 tokens, 1 model, 0 tool
            call b send {"to":"y"} as turn_s_1/1/b
            b Running
            ! call model 3: user("hi") assistant(call a send {"to":"x"}) user(result a "sent") assistant(call b send {"to":"y"}) user(result b "sent")
            b Succeeded after 0ns: result b "sent"
            usage so far: 20+10 tokens, 2 model, 2 tool
            step 2
            text "ok"
            ! finish model 3
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_1 ended: Completed, EndTurn, assistant("ok"), 30+15 tokens, 3 model, 2 tool
            ? restored
            ! call model 4: user("hi") assistant(call a send {"to":"x"}) user(result a "sent") assistant(call b send {"to":"y"}) user(result b "sent") assistant("ok") user("more")
            turn_s_2 started
            step 0
            input of c: {"to":"z"}
            block 0 done: call c send {"to":"z"}
            ! finish model 4
            ! run 3 for 60s: c send {"to":"z"} as turn_s_2/0/c
            step done: ToolUse, 10+5 tokens, 1 model, 0 tool
            call c send {"to":"z"} as turn_s_2/0/c
            c Running
            history: user("hi") assistant(call a send {"to":"x"}) user(result a "sent") assistant(call b send {"to":"y"}) user(result b "sent") assistant("ok") user("more") assistant(call c send {"to":"z"})
        "#]],
    );
}

#[test]
fn a_refusal_to_remember_holds_for_later_calls() {
    check(
        r#"
            with: server=send
            user: hi | call: a send {"to":"x"} | done: tool_use | refuse-all: 1 never
            call: b send {"to":"y"} | done: tool_use | model: ok | done
        "#,
        expect![[r#"
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            input of a: {"to":"x"}
            block 0 done: call a send {"to":"x"}
            ! finish model 1
            step done: ToolUse, 10+5 tokens, 1 model, 0 tool
            approval_s_1 asks for a send {"to":"x"} (the tool needs consent for each call)
            ! call model 2: user("hi") assistant(call a send {"to":"x"}) user(error a "the user refused this call; the tool did not run. They say: never")
            approval_s_1 refused
            a Rejected: error a "the user refused this call; the tool did not run. They say: never"
            usage so far: 10+5 tokens, 1 model, 0 tool
            step 1
            input of b: {"to":"y"}
            block 0 done: call b send {"to":"y"}
            ! finish model 2
            ! call model 3: user("hi") assistant(call a send {"to":"x"}) user(error a "the user refused this call; the tool did not run. They say: never") assistant(call b send {"to":"y"}) user(error b "the user refused all calls of this tool; it did not run")
            step done: ToolUse, 10+5 tokens, 1 model, 0 tool
            b Rejected: error b "the user refused all calls of this tool; it did not run"
            usage so far: 20+10 tokens, 2 model, 0 tool
            step 2
            text "ok"
            ! finish model 3
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_1 ended: Completed, EndTurn, assistant("ok"), 30+15 tokens, 3 model, 0 tool
            history: user("hi") assistant(call a send {"to":"x"}) user(error a "the user refused this call; the tool did not run. They say: never") assistant(call b send {"to":"y"}) user(error b "the user refused all calls of this tool; it did not run") assistant("ok")
        "#]],
    );
}

#[test]
fn a_question_outlives_the_process() {
    check(
        r#"
            with: server=send
            user: hi | call: a send {"to":"x"} | done: tool_use | crash: 60s | approve#f@2: 1 | finish: a sent | model: ok | done
        "#,
        expect![[r#"
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            input of a: {"to":"x"}
            block 0 done: call a send {"to":"x"}
            ! finish model 1
            step done: ToolUse, 10+5 tokens, 1 model, 0 tool
            approval_s_1 asks for a send {"to":"x"} (the tool needs consent for each call)
            ? restored
            turn_s_1 ended: Paused, ApprovalRequired, assistant(call a send {"to":"x"}), asks approval_s_1, 10+5 tokens, 1 model, 0 tool
            ! run 1 for 60s: a send {"to":"x"} as turn_s_1/0/a
            frame f Applied turn_s_1
            turn_s_1 goes on
            approval_s_1 approved
            call a send {"to":"x"} as turn_s_1/0/a
            a Running
            ! call model 2: user("hi") assistant(call a send {"to":"x"}) user(result a "sent")
            a Succeeded after 0ns: result a "sent"
            usage so far: 10+5 tokens, 1 model, 1 tool
            step 1
            text "ok"
            ! finish model 2
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_1 ended: Completed, EndTurn, assistant("ok"), 20+10 tokens, 2 model, 1 tool
            history: user("hi") assistant(call a send {"to":"x"}) user(result a "sent") assistant("ok")
        "#]],
    );
}

#[test]
fn a_question_whose_tool_is_gone_is_answered_and_nothing_runs() {
    check(
        r#"
            with: server=send
            user: hi | call: a send {"to":"x"} | done: tool_use | tools: look | crash | answer: approve 1
        "#,
        expect![[r#"
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            input of a: {"to":"x"}
            block 0 done: call a send {"to":"x"}
            ! finish model 1
            step done: ToolUse, 10+5 tokens, 1 model, 0 tool
            approval_s_1 asks for a send {"to":"x"} (the tool needs consent for each call)
            ? restored
            turn_s_1 ended: Paused, ApprovalRequired, assistant(call a send {"to":"x"}), asks approval_s_1, 10+5 tokens, 1 model, 0 tool
            ! answer 1: turn_s_1 from 9
            ! call model 2: user("hi") assistant(call a send {"to":"x"}) user(error a "the tool is not there any more; it did not run")
            turn_s_1 goes on
            approval_s_1 approved
            call a send {"to":"x"} as turn_s_1/0/a
            a Failed: error a "the tool is not there any more; it did not run"
            usage so far: 10+5 tokens, 1 model, 1 tool
            step 1
            history: user("hi") assistant(call a send {"to":"x"}) user(error a "the tool is not there any more; it did not run")
        "#]],
    );
}

#[test]
fn the_cancel_of_a_paused_turn_settles_its_questions() {
    check(
        r#"
            with: server=send
            invoke: hi | call: a send {"to":"x"} | done: tool_use | cancel | answer: approve 1
        "#,
        expect![[r#"
            ! answer 1: turn_s_1 from 1
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            input of a: {"to":"x"}
            block 0 done: call a send {"to":"x"}
            ! finish model 1
            step done: ToolUse, 10+5 tokens, 1 model, 0 tool
            approval_s_1 asks for a send {"to":"x"} (the tool needs consent for each call)
            turn_s_1 ended: Paused, ApprovalRequired, assistant(call a send {"to":"x"}), asks approval_s_1, 10+5 tokens, 1 model, 0 tool
            ! answer cancel 2: Cancelled, Cancelled, assistant(call a send {"to":"x"}), 10+5 tokens, 1 model, 0 tool, Cancelled (the turn was cancelled by request)
            turn_s_1 goes on
            interrupted: Cancel
            approval_s_1 refused
            a Cancelled: error a "not run: the turn was cancelled before the tool could run"
            turn_s_1 ended: Cancelled, Cancelled, assistant(call a send {"to":"x"}), 10+5 tokens, 1 model, 0 tool, Cancelled (the turn was cancelled by request)
            ! answer 3: CallNotPending (no approval with this id waits for an answer)
            history: user("hi") assistant(call a send {"to":"x"}) user(error a "not run: the turn was cancelled before the tool could run")
        "#]],
    );
}

#[test]
fn a_server_that_stops_takes_no_consent_for_a_paused_turn() {
    check(
        r#"
            with: server=send
            invoke: hi | call: a send {"to":"x"} | done: tool_use | shutdown | answer: approve 1 | approve#f: 1
        "#,
        expect![[r#"
            ! answer 1: turn_s_1 from 1
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            input of a: {"to":"x"}
            block 0 done: call a send {"to":"x"}
            ! finish model 1
            step done: ToolUse, 10+5 tokens, 1 model, 0 tool
            approval_s_1 asks for a send {"to":"x"} (the tool needs consent for each call)
            turn_s_1 ended: Paused, ApprovalRequired, assistant(call a send {"to":"x"}), asks approval_s_1, 10+5 tokens, 1 model, 0 tool
            ! answer 2: ShuttingDown (the server is shutting down)
            frame f rejected: ShuttingDown (the server is shutting down)
            history: user("hi") assistant(call a send {"to":"x"})
        "#]],
    );
}
