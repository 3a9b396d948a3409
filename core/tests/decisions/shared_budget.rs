//! Budgets that several turns share: what they let a model call do, and what they are told.

use expect_test::expect;

use crate::script::check;

#[test]
fn a_refusal_before_the_model_was_called_ends_the_turn_and_takes_its_words_back() {
    check(
        "with: show=settlements | user: hi | forbid | opened | model: late",
        expect![[r#"
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            ! settle 1: 0+0 tokens, 1 model, 0 tool
            turn_s_1 ended: Completed, BudgetExceeded, 0+0 tokens, 1 model, 0 tool
            history: 
        "#]],
    );
}

#[test]
fn a_refusal_before_a_later_step_keeps_what_was_said() {
    check(
        "
            with: show=settlements server=look
            user: hi | model: Let me see | call: a look {} | done: tool_use | finish: a seen | forbid
        ",
        expect![[r#"
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            text "Let me see"
            input of a: {}
            block 1 done: call a look {}
            ! finish model 1
            ! settle 1: 10+5 tokens, 1 model, 0 tool
            ! run 1 for 60s: a look {} as turn_s_1/0/a
            step done: ToolUse, 10+5 tokens, 1 model, 0 tool
            call a look {} as turn_s_1/0/a
            a Running
            ! call model 2: user("hi") assistant("Let me see", call a look {}) user(result a "seen")
            a Succeeded after 0ns: result a "seen"
            usage so far: 10+5 tokens, 1 model, 1 tool
            step 1
            ! settle 2: 0+0 tokens, 1 model, 0 tool
            turn_s_1 ended: Completed, BudgetExceeded, assistant("Let me see", call a look {}), 10+5 tokens, 2 model, 1 tool
            history: user("hi") assistant("Let me see", call a look {}) user(result a "seen")
        "#]],
    );
}

#[test]
fn a_refusal_in_mid_answer_keeps_what_was_said() {
    check(
        "
            with: show=settlements
            user: hi | opened | allow: -/2 | model: 12 bytes | model: 4 bytes | forbid | late: more
            user: on | model: ok | done
        ",
        expect![[r#"
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            ! extend 1
            text "xxxxxxxxxxxx"
            text "xxxx"
            ! abort model 1
            ! settle 1: about 28+4 tokens, 1 model, 0 tool
            turn_s_1 ended: Completed, BudgetExceeded, assistant("xxxxxxxxxxxxxxxx"), about 28+4 tokens, 1 model, 0 tool
            ! call model 2: user("hi") assistant("xxxxxxxxxxxxxxxx") user("on")
            turn_s_2 started
            step 0
            text "ok"
            ! finish model 2
            ! settle 2: 10+5 tokens, 1 model, 0 tool
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_2 ended: Completed, EndTurn, assistant("ok"), 10+5 tokens, 1 model, 0 tool
            history: user("hi") assistant("xxxxxxxxxxxxxxxx") user("on") assistant("ok")
        "#]],
    );
}

#[test]
fn a_refusal_behind_the_models_stop_leaves_the_whole_message() {
    check(
        "
            with: show=settlements server=look
            user: hi | allow: -/2 | call: a look {} | end: tool_use | forbid | counts
            finish: a seen | forbid
        ",
        expect![[r#"
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            input of a: {}
            block 0 done: call a look {}
            ! finish model 1
            ! settle 1: 10+5 tokens, 1 model, 0 tool
            ! run 1 for 60s: a look {} as turn_s_1/0/a
            step done: ToolUse, 10+5 tokens, 1 model, 0 tool
            call a look {} as turn_s_1/0/a
            a Running
            ! call model 2: user("hi") assistant(call a look {}) user(result a "seen")
            a Succeeded after 0ns: result a "seen"
            usage so far: 10+5 tokens, 1 model, 1 tool
            step 1
            ! settle 2: 0+0 tokens, 1 model, 0 tool
            turn_s_1 ended: Completed, BudgetExceeded, assistant(call a look {}), 10+5 tokens, 2 model, 1 tool
            history: user("hi") assistant(call a look {}) user(result a "seen")
        "#]],
    );
}

#[test]
fn more_is_asked_for_once_for_each_allowance() {
    check(
        "
            with: show=settlements
            user: hi | allow: -/2 | model: 12 bytes | model: 12 bytes | allow: -/9 | model: 12 bytes
            model: 12 bytes | allow: -/- | model: 400 bytes | done
        ",
        expect![[r#"
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            ! extend 1
            text "xxxxxxxxxxxx"
            text "xxxxxxxxxxxx"
            text "xxxxxxxxxxxx"
            ! extend 1
            text "xxxxxxxxxxxx"
            text "xxxxxxxxxxxxxxxxxxxx"… of 400 bytes
            ! finish model 1
            ! settle 1: 10+5 tokens, 1 model, 0 tool
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_1 ended: Completed, EndTurn, assistant("xxxxxxxxxxxxxxxxxxxx"… of 448 bytes), 10+5 tokens, 1 model, 0 tool
            history: user("hi") assistant("xxxxxxxxxxxxxxxxxxxx"… of 448 bytes)
        "#]],
    );
}

#[test]
fn an_output_that_the_shared_budget_cut_off_says_so() {
    check(
        "with: show=settlements | user: hi | allow: 5/- | model: so far | done: max_tokens",
        expect![[r#"
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            text "so far"
            ! finish model 1
            ! settle 1: 10+5 tokens, 1 model, 0 tool
            step done: MaxTokens, 10+5 tokens, 1 model, 0 tool
            turn_s_1 ended: Completed, BudgetExceeded, assistant("so far"), 10+5 tokens, 1 model, 0 tool
            history: user("hi") assistant("so far")
        "#]],
    );
}

#[test]
fn a_refused_summary_is_not_made_and_the_conversation_slides() {
    check(
        "
            with: show=settlements summarize=60/20/10
            user: 200 bytes | model: 100 bytes | counted: 90+25 | user: so | forbid | model: ok | done
        ",
        expect![[r#"
            ! call model 1: user("xxxxxxxxxxxxxxxxxxxx"… of 200 bytes)
            turn_s_1 started
            step 0
            text "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
            ! finish model 1
            ! settle 1: 90+25 tokens, 1 model, 0 tool
            step done: EndTurn, 90+25 tokens, 1 model, 0 tool
            turn_s_1 ended: Completed, EndTurn, assistant("xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"), 90+25 tokens, 1 model, 0 tool
            ! condense 2 (at most 10): "User: xxxxxxxxxxxxxx"… of 318 bytes
            turn_s_2 started
            ! settle 2: 0+0 tokens, 1 model, 0 tool
            ! call model 3: user("so")
            Sliding left 2 messages out, 116 tokens to 31
            step 0
            text "ok"
            ! finish model 3
            ! settle 3: 10+5 tokens, 1 model, 0 tool
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_2 ended: Completed, EndTurn, assistant("ok"), 10+5 tokens, 2 model, 0 tool
            history: user("xxxxxxxxxxxxxxxxxxxx"… of 200 bytes) assistant("xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx") user("so") assistant("ok")
        "#]],
    );
}

#[test]
fn a_summary_that_is_refused_in_the_middle_is_closed() {
    check(
        "
            with: show=settlements summarize=60/20/10
            user: 200 bytes | model: 100 bytes | counted: 90+25 | user: so | allow: -/1 | model: 20 bytes
            model: more | forbid | model: ok | done
        ",
        expect![[r#"
            ! call model 1: user("xxxxxxxxxxxxxxxxxxxx"… of 200 bytes)
            turn_s_1 started
            step 0
            text "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
            ! finish model 1
            ! settle 1: 90+25 tokens, 1 model, 0 tool
            step done: EndTurn, 90+25 tokens, 1 model, 0 tool
            turn_s_1 ended: Completed, EndTurn, assistant("xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"), 90+25 tokens, 1 model, 0 tool
            ! condense 2 (at most 10): "User: xxxxxxxxxxxxxx"… of 318 bytes
            turn_s_2 started
            ! extend 2
            ! abort model 2
            ! settle 2: about 251+6 tokens, 1 model, 0 tool
            ! call model 3: user("so")
            Sliding left 2 messages out, 116 tokens to 31
            step 0
            text "ok"
            ! finish model 3
            ! settle 3: 10+5 tokens, 1 model, 0 tool
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_2 ended: Completed, EndTurn, assistant("ok"), about 261+11 tokens, 2 model, 0 tool
            history: user("xxxxxxxxxxxxxxxxxxxx"… of 200 bytes) assistant("xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx") user("so") assistant("ok")
        "#]],
    );
}

#[test]
fn each_model_call_is_settled_once_however_it_ends() {
    check(
        "
            with: show=settlements
            user: one | failed | user: two | opened | model: some | failed | user: three | stop
            user: four | model: some | cancel | user: five | model: some | crash
        ",
        expect![[r#"
            ! call model 1: user("one")
            turn_s_1 started
            step 0
            ! settle 1: 0+0 tokens, 1 model, 0 tool
            turn_s_1 ended: Failed, Error, 0+0 tokens, 1 model, 0 tool, ModelThrottled (throttled)
            ! call model 2: user("two")
            turn_s_2 started
            step 0
            text "some"
            ! settle 2: about 28+1 tokens, 1 model, 0 tool
            turn_s_2 ended: Failed, Incomplete, assistant("some"), about 28+1 tokens, 1 model, 0 tool, ModelThrottled (throttled)
            ! call model 3: user("two") assistant("some") user("three")
            turn_s_3 started
            step 0
            ! abort model 3
            ! settle 3: about 31+0 tokens, 1 model, 0 tool
            interrupted: Client
            turn_s_3 ended: Interrupted, Interrupted, about 31+0 tokens, 1 model, 0 tool
            ! call model 4: user("two") assistant("some") user("three", "four")
            turn_s_4 started
            step 0
            text "some"
            ! abort model 4
            ! settle 4: about 32+1 tokens, 1 model, 0 tool
            ! answer cancel 1: Cancelled, Cancelled, assistant("some"), about 32+1 tokens, 1 model, 0 tool, Cancelled (the turn was cancelled by request)
            interrupted: Cancel
            turn_s_4 ended: Cancelled, Cancelled, assistant("some"), about 32+1 tokens, 1 model, 0 tool, Cancelled (the turn was cancelled by request)
            ! call model 5: user("two") assistant("some") user("three", "four") assistant("some") user("five")
            turn_s_5 started
            step 0
            text "some"
            ? restored
            ! settle 6: about 34+1 tokens, 1 model, 0 tool
            turn_s_5 ended: Failed, Incomplete, assistant("some"), about 34+1 tokens, 1 model, 0 tool, ShuttingDown (the server stopped, or lost its store, before the turn ended)
            history: user("two") assistant("some") user("three", "four") assistant("some") user("five") assistant("some")
        "#]],
    );
}

#[test]
fn a_call_that_waits_for_a_budget_is_not_late_and_costs_nothing() {
    check(
        "
            with: show=settlements
            user: one | await | wait: 70s | allow: -/- | opened | model: some | stop
            user: two | await | cancel
        ",
        expect![[r#"
            ! call model 1: user("one")
            turn_s_1 started
            step 0
            text "some"
            ! abort model 1
            ! settle 1: about 28+1 tokens, 1 model, 0 tool
            interrupted: Client
            turn_s_1 ended: Interrupted, Interrupted, assistant("some"), about 28+1 tokens, 1 model, 0 tool
            ! call model 2: user("one") assistant("some") user("two")
            turn_s_2 started
            step 0
            ! abort model 2
            ! settle 2: 0+0 tokens, 1 model, 0 tool
            ! answer cancel 1: Cancelled, Cancelled, 0+0 tokens, 1 model, 0 tool, Cancelled (the turn was cancelled by request)
            interrupted: Cancel
            turn_s_2 ended: Cancelled, Cancelled, 0+0 tokens, 1 model, 0 tool, Cancelled (the turn was cancelled by request)
            history: user("one") assistant("some")
        "#]],
    );
}
