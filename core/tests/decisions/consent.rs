//! Consent to calls: when it is asked for, who gives it, and for how long.

mod paused;

use expect_test::expect;

use crate::script::check;

#[test]
fn a_call_that_needs_consent_waits_for_it_and_runs() {
    check(
        r#"
            with: server=send show=ledger
            user: hi | call: a send {"to":"x"} | done: tool_use | wait: 2s | approve#f: 1
            finish: a sent | model: ok | done
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
            frame f Applied turn_s_1
            approval_s_1 approved
            call a send {"to":"x"} as turn_s_1/0/a
            a Running
            $ a is Started
            ! call model 2: user("hi") assistant(call a send {"to":"x"}) user(result a "sent")
            a Succeeded after 0ns: result a "sent"
            usage so far: 10+5 tokens, 1 model, 1 tool
            step 1
            $ a is Finished
            text "ok"
            ! finish model 2
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_1 ended: Completed, EndTurn, assistant("ok"), 20+10 tokens, 2 model, 1 tool
            history: user("hi") assistant(call a send {"to":"x"}) user(result a "sent") assistant("ok")
        "#]],
    );
}

#[test]
fn a_tools_rule_on_the_input_decides() {
    check(
        r#"
            with: server=pay
            user: hi | call: a pay {"amount":99} | call: b pay {"amount":100} | done: tool_use
        "#,
        expect![[r#"
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            input of a: {"amount":99}
            block 0 done: call a pay {"amount":99}
            input of b: {"amount":100}
            block 1 done: call b pay {"amount":100}
            ! finish model 1
            ! run 1 for 60s: a pay {"amount":99} as turn_s_1/0/a
            step done: ToolUse, 10+5 tokens, 1 model, 0 tool
            call a pay {"amount":99} as turn_s_1/0/a
            approval_s_1 asks for b pay {"amount":100} (the tool needs consent for a call with such an input)
            a Running
            history: user("hi") assistant(call a pay {"amount":99}, call b pay {"amount":100})
        "#]],
    );
}

#[test]
fn the_caller_may_want_each_call_consented_to_and_client_tools_too() {
    check(
        "
            with: server=look,free approval=always
            user: hi | call: a look {} | call: b free {} | call: c clock {} | done: tool_use
            approve: 1 | approve: 2 | approve: 3
        ",
        expect![[r#"
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            input of a: {}
            block 0 done: call a look {}
            input of b: {}
            block 1 done: call b free {}
            input of c: {}
            block 2 done: call c clock {}
            ! finish model 1
            step done: ToolUse, 10+5 tokens, 1 model, 0 tool
            approval_s_1 asks for a look {} (the caller wants each call to be consented to)
            approval_s_2 asks for b free {} (the caller wants each call to be consented to)
            approval_s_3 asks for c clock {} (the caller wants each call to be consented to)
            ! run 1 for 60s: a look {} as turn_s_1/0/a
            approval_s_1 approved
            call a look {} as turn_s_1/0/a
            a Running
            ! run 2 for 60s: b free {} as turn_s_1/0/b
            approval_s_2 approved
            call b free {} as turn_s_1/0/b
            b Running
            approval_s_3 approved
            call c clock {} as turn_s_1/0/c
            history: user("hi") assistant(call a look {}, call b free {}, call c clock {})
        "#]],
    );
}

#[test]
fn a_client_tool_may_want_consent_itself_or_none_at_all() {
    check(
        r#"
            with: clock_approval=always
            user: hi | call: a clock {} | call: b weather {"city":"Oslo"} | done: tool_use | approve: 1
        "#,
        expect![[r#"
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            input of a: {}
            block 0 done: call a clock {}
            input of b: {"city":"Oslo"}
            block 1 done: call b weather {"city":"Oslo"}
            ! finish model 1
            step done: ToolUse, 10+5 tokens, 1 model, 0 tool
            approval_s_1 asks for a clock {} (the tool needs consent for each call)
            call b weather {"city":"Oslo"} as turn_s_1/0/b
            approval_s_1 approved
            call a clock {} as turn_s_1/0/a
            history: user("hi") assistant(call a clock {}, call b weather {"city":"Oslo"})
        "#]],
    );
}

#[test]
fn a_client_tool_that_wants_no_consent_is_not_asked_about() {
    check(
        r#"
            with: clock_approval=never approval=always
            user: hi | call: a clock {} | call: b weather {"city":"Oslo"} | done: tool_use
        "#,
        expect![[r#"
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            input of a: {}
            block 0 done: call a clock {}
            input of b: {"city":"Oslo"}
            block 1 done: call b weather {"city":"Oslo"}
            ! finish model 1
            step done: ToolUse, 10+5 tokens, 1 model, 0 tool
            call a clock {} as turn_s_1/0/a
            approval_s_1 asks for b weather {"city":"Oslo"} (the caller wants each call to be consented to)
            history: user("hi") assistant(call a clock {}, call b weather {"city":"Oslo"})
        "#]],
    );
}

#[test]
fn a_decision_is_bound_to_the_digest_that_it_repeats() {
    check(
        r#"
            with: server=send
            user: hi | call: a send {"to":"x"} | done: tool_use | approve-false#f: 1 | approve-true#g: 1
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
            frame f rejected: InvalidRequest (approval_decision.digest: must be that of the approval request: another call was meant)
            ! run 1 for 60s: a send {"to":"x"} as turn_s_1/0/a
            frame g Applied turn_s_1
            approval_s_1 approved
            call a send {"to":"x"} as turn_s_1/0/a
            a Running
            history: user("hi") assistant(call a send {"to":"x"})
        "#]],
    );
}

#[test]
fn a_decision_for_nothing_that_waits_is_refused() {
    check(
        r#"
            with: server=send
            approve#e: 1 | user: hi | approve#f: 1 | call: a send {"to":"x"} | done: tool_use | approve#g: 2
            approve#h: 1 | approve#i: 1 | refuse#j: 1
        "#,
        expect![[r#"
            frame e rejected: CallNotPending (no approval with this id waits for an answer)
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            frame f rejected: CallNotPending (no approval with this id waits for an answer)
            input of a: {"to":"x"}
            block 0 done: call a send {"to":"x"}
            ! finish model 1
            step done: ToolUse, 10+5 tokens, 1 model, 0 tool
            approval_s_1 asks for a send {"to":"x"} (the tool needs consent for each call)
            frame g rejected: CallNotPending (no approval with this id waits for an answer)
            ! run 1 for 60s: a send {"to":"x"} as turn_s_1/0/a
            frame h Applied turn_s_1
            approval_s_1 approved
            call a send {"to":"x"} as turn_s_1/0/a
            a Running
            frame i rejected: CallNotPending (no approval with this id waits for an answer)
            frame j rejected: CallNotPending (no approval with this id waits for an answer)
            history: user("hi") assistant(call a send {"to":"x"})
        "#]],
    );
}

#[test]
fn a_repeated_decision_frame_acts_once() {
    check(
        r#"
            with: server=send
            user: hi | call: a send {"to":"x"} | done: tool_use | approve#f: 1 | approve#f: 1
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
            frame f Applied turn_s_1
            approval_s_1 approved
            call a send {"to":"x"} as turn_s_1/0/a
            a Running
            frame f Applied turn_s_1 (duplicate)
            history: user("hi") assistant(call a send {"to":"x"})
        "#]],
    );
}

#[test]
fn a_refusal_tells_the_model_what_the_user_says() {
    check(
        r#"
            with: server=send show=ledger
            user: hi | call: a send {"to":"x"} | call: b send {"to":"y"} | done: tool_use
            refuse: 1 | refuse: 2 not to her | model: ok | done
        "#,
        expect![[r#"
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
            approval_s_1 refused
            a Rejected: error a "the user refused this call; the tool did not run"
            ! call model 2: user("hi") assistant(call a send {"to":"x"}, call b send {"to":"y"}) user(error a "the user refused this call; the tool did not run", error b "the user refused this call; the tool did not run. They say: not to her")
            approval_s_2 refused
            b Rejected: error b "the user refused this call; the tool did not run. They say: not to her"
            usage so far: 10+5 tokens, 1 model, 0 tool
            step 1
            text "ok"
            ! finish model 2
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_1 ended: Completed, EndTurn, assistant("ok"), 20+10 tokens, 2 model, 0 tool
            history: user("hi") assistant(call a send {"to":"x"}, call b send {"to":"y"}) user(error a "the user refused this call; the tool did not run", error b "the user refused this call; the tool did not run. They say: not to her") assistant("ok")
        "#]],
    );
}

#[test]
fn an_edited_input_is_what_runs_and_the_model_is_told() {
    check(
        r#"
            with: server=send
            user: hi | call: a send {"to":"x"} | done: tool_use | edit: 1 {"to":"y"} | finish: a sent | model: ok | done
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
            ! run 1 for 60s: a send {"to":"y"} as turn_s_1/0/a
            approval_s_1 approved
            call a send {"to":"y"} as turn_s_1/0/a
            a Running
            ! call model 2: user("hi") assistant(call a send {"to":"x"}) user(result a "The user changed the input of this call to {\"to\":\"y\"}" "sent")
            a Succeeded after 0ns: result a "sent"
            usage so far: 10+5 tokens, 1 model, 1 tool
            step 1
            text "ok"
            ! finish model 2
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_1 ended: Completed, EndTurn, assistant("ok"), 20+10 tokens, 2 model, 1 tool
            history: user("hi") assistant(call a send {"to":"x"}) user(result a "The user changed the input of this call to {\"to\":\"y\"}" "sent") assistant("ok")
        "#]],
    );
}

#[test]
fn an_edited_input_that_does_not_fit_leaves_the_question_open() {
    check(
        r#"
            with: server=send
            user: hi | call: a send {"to":"x"} | done: tool_use | edit#f: 1 {"to":7} | edit#g: 1 {"to" | approve#h: 1
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
            frame f rejected: InvalidRequest (approval_decision.edited_input_json: the input does not fit the schema: at /to: 7 is not of type "string"; the tool did not run)
            frame g rejected: InvalidRequest (approval_decision.edited_input_json: the input is not valid JSON: EOF while parsing an object at line 1 column 5; the tool did not run)
            ! run 1 for 60s: a send {"to":"x"} as turn_s_1/0/a
            frame h Applied turn_s_1
            approval_s_1 approved
            call a send {"to":"x"} as turn_s_1/0/a
            a Running
            history: user("hi") assistant(call a send {"to":"x"})
        "#]],
    );
}

#[test]
fn nobody_answers_in_time_while_the_turn_is_live() {
    check(
        r#"
            with: server=send approval_timeout=30s
            user: hi | call: a send {"to":"x"} | done: tool_use | wait: 30s | approve#f: 1 | model: ok | done
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
            ! call model 2: user("hi") assistant(call a send {"to":"x"}) user(error a "nobody consented to this call in time; the tool did not run")
            approval_s_1 expired
            a Rejected: error a "nobody consented to this call in time; the tool did not run"
            usage so far: 10+5 tokens, 1 model, 0 tool
            step 1
            frame f rejected: CallNotPending (no approval with this id waits for an answer)
            text "ok"
            ! finish model 2
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_1 ended: Completed, EndTurn, assistant("ok"), 20+10 tokens, 2 model, 0 tool
            history: user("hi") assistant(call a send {"to":"x"}) user(error a "nobody consented to this call in time; the tool did not run") assistant("ok")
        "#]],
    );
}

#[test]
fn a_turn_waits_for_consent_no_longer_than_it_may_run() {
    check(
        r#"
            with: server=send turn_timeout=20s
            user: hi | call: a send {"to":"x"} | done: tool_use | wait: 20s
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
            approval_s_1 refused
            a Cancelled: error a "not run: the turn was cancelled before the tool could run"
            turn_s_1 ended: Cancelled, BudgetExceeded, assistant(call a send {"to":"x"}), 10+5 tokens, 1 model, 0 tool, DeadlineExceeded (the turn took longer than its time limit)
            history: user("hi") assistant(call a send {"to":"x"}) user(error a "not run: the turn was cancelled before the tool could run")
        "#]],
    );
}

#[test]
fn the_end_of_a_turn_settles_its_questions() {
    check(
        r#"
            with: server=send,look runs=1 show=ledger
            user: hi | call: a send {"to":"x"} | call: b look {} | call: c look {} | done: tool_use | stop | approve#f: 1
        "#,
        expect![[r#"
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            input of a: {"to":"x"}
            block 0 done: call a send {"to":"x"}
            input of b: {}
            block 1 done: call b look {}
            input of c: {}
            block 2 done: call c look {}
            ! finish model 1
            ! run 1 for 60s: b look {} as turn_s_1/0/b
            step done: ToolUse, 10+5 tokens, 1 model, 0 tool
            approval_s_1 asks for a send {"to":"x"} (the tool needs consent for each call)
            call b look {} as turn_s_1/0/b
            call c look {} as turn_s_1/0/c
            b Running
            c Waiting
            $ b is Started
            ! cancel run 1
            interrupted: Client
            approval_s_1 refused
            a Cancelled: error a "not run: the user interrupted before the tool could run"
            b Cancelled after 0ns: error b "not known: the user interrupted while the tool ran, and it was stopped"
            c Cancelled: error c "not run: the user interrupted before the tool could run"
            turn_s_1 ended: Interrupted, Interrupted, assistant(call a send {"to":"x"}, call b look {}, call c look {}), 10+5 tokens, 1 model, 2 tool
            $ b is Unknown
            frame f rejected: CallNotPending (no approval with this id waits for an answer)
            history: user("hi") assistant(call a send {"to":"x"}, call b look {}, call c look {}) user(error a "not run: the user interrupted before the tool could run", error b "not known: the user interrupted while the tool ran, and it was stopped", error c "not run: the user interrupted before the tool could run")
        "#]],
    );
}

#[test]
fn a_server_that_stops_takes_consent_for_a_turn_that_runs() {
    check(
        r#"
            with: server=send
            user: hi | call: a send {"to":"x"} | done: tool_use | shutdown | approve#f: 1 | finish: a sent | model: ok | done
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
            frame f Applied turn_s_1
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
fn an_approved_call_that_finds_no_place_waits() {
    check(
        r#"
            with: server=send,look runs=1
            user: hi | call: a send {"to":"x"} | call: b look {} | done: tool_use | approve: 1 | finish: b seen
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
            approval_s_1 approved
            call a send {"to":"x"} as turn_s_1/0/a
            a Waiting
            ! run 2 for 60s: a send {"to":"x"} as turn_s_1/0/a
            b Succeeded after 0ns: result b "seen"
            a Running
            history: user("hi") assistant(call a send {"to":"x"}, call b look {})
        "#]],
    );
}

#[test]
fn the_client_cannot_answer_for_the_server() {
    check(
        r#"
            with: server=send,look
            user: hi | call: a send {"to":"x"} | call: b look {} | done: tool_use | result#f: a sent | result#g: b seen
            finish: b seen | result#h: b again
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
            frame f rejected: CallNotPending (no tool call with this id waits for a result)
            frame g rejected: CallNotPending (no tool call with this id waits for a result)
            b Succeeded after 0ns: result b "seen"
            frame h TooLate turn_s_1
            history: user("hi") assistant(call a send {"to":"x"}, call b look {})
        "#]],
    );
}

#[test]
fn the_agents_wish_for_consent_to_each_call_is_not_loosened() {
    check(
        "
            with: server=look approval=always
            update: approval=never | user: hi | call: a look {} | done: tool_use
        ",
        expect![[r#"
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            input of a: {}
            block 0 done: call a look {}
            ! finish model 1
            step done: ToolUse, 10+5 tokens, 1 model, 0 tool
            approval_s_1 asks for a look {} (the caller wants each call to be consented to)
            history: user("hi") assistant(call a look {})
        "#]],
    );
}
