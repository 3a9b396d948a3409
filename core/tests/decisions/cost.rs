//! Budgets of cost, and what of them the server's tools may spend.

use expect_test::expect;

use crate::script::check;

#[test]
fn a_tool_that_waits_for_consent_has_its_share_kept() {
    check(
        "
            with: server=agent,look approval=always no_client_tools=1 budget=1000
            user: hi | call: a agent {} | call: b agent {} | call: c look {} | done: tool_use
            approve: 1 | approve: 2
        ",
        expect![[r#"
            ! call model 1 (at most 988): user("hi")
            turn_s_1 started
            step 0
            input of a: {}
            block 0 done: call a agent {}
            input of b: {}
            block 1 done: call b agent {}
            input of c: {}
            block 2 done: call c look {}
            ! finish model 1
            step done: ToolUse, 10+5 tokens, 1 model, 0 tool
            approval_s_1 asks for a agent {} (the caller wants each call to be consented to)
            approval_s_2 asks for b agent {} (the caller wants each call to be consented to)
            approval_s_3 asks for c look {} (the caller wants each call to be consented to)
            ! run 1 for 60s and 492 tokens: a agent {} as turn_s_1/0/a
            approval_s_1 approved
            call a agent {} as turn_s_1/0/a
            a Running
            ! run 2 for 60s and 492 tokens: b agent {} as turn_s_1/0/b
            approval_s_2 approved
            call b agent {} as turn_s_1/0/b
            b Running
            history: user("hi") assistant(call a agent {}, call b agent {}, call c look {})
        "#]],
    );
}

#[test]
fn a_tool_that_runs_later_has_its_share_of_what_is_left_then() {
    check(
        "
            with: server=agent runs=1 no_client_tools=1 budget=1000
            user: hi | call: a agent {} | call: b agent {} | done: tool_use
            spent: 100+50 | finish: a done
        ",
        expect![[r#"
            ! call model 1 (at most 993): user("hi")
            turn_s_1 started
            step 0
            input of a: {}
            block 0 done: call a agent {}
            input of b: {}
            block 1 done: call b agent {}
            ! finish model 1
            ! run 1 for 60s and 492 tokens: a agent {} as turn_s_1/0/a
            step done: ToolUse, 10+5 tokens, 1 model, 0 tool
            call a agent {} as turn_s_1/0/a
            call b agent {} as turn_s_1/0/b
            a Running
            b Waiting
            ! run 2 for 60s and 835 tokens: b agent {} as turn_s_1/0/b
            a Succeeded after 0ns: result a "done"
            b Running
            history: user("hi") assistant(call a agent {}, call b agent {})
        "#]],
    );
}

#[test]
fn a_price_makes_each_step_and_the_turn_cost() {
    check(
        "
            with: server=look price=model:2/10
            user: hi | call: a look {} | counted: 10+5 | finish: a seen | model: ok | counted: 20+5
        ",
        expect![[r#"
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            input of a: {}
            block 0 done: call a look {}
            ! finish model 1
            ! run 1 for 60s: a look {} as turn_s_1/0/a
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool, costs 70
            call a look {} as turn_s_1/0/a
            a Running
            ! call model 2: user("hi") assistant(call a look {}) user(result a "seen")
            a Succeeded after 0ns: result a "seen"
            usage so far: 10+5 tokens, 1 model, 1 tool, costs 70
            step 1
            text "ok"
            ! finish model 2
            step done: EndTurn, 20+5 tokens, 1 model, 0 tool, costs 90
            turn_s_1 ended: Completed, EndTurn, assistant("ok"), 30+10 tokens, 2 model, 1 tool, costs 160
            history: user("hi") assistant(call a look {}) user(result a "seen") assistant("ok")
        "#]],
    );
}

#[test]
fn what_the_cache_read_and_wrote_has_prices_of_its_own() {
    check(
        "
            with: price=model:100/1000/10/125/200
            user: hi | model: ok | counted: 1+1 read=3 write=7 hour=2
        ",
        expect![[r#"
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            text "ok"
            ! finish model 1
            step done: EndTurn, 1+1 tokens, 1 model, 0 tool, costs 2155
            turn_s_1 ended: Completed, EndTurn, assistant("ok"), 1+1 tokens, 1 model, 0 tool, costs 2155
            history: user("hi") assistant("ok")
        "#]],
    );
}

#[test]
fn a_call_that_was_not_taken_costs_nothing() {
    check(
        "
            with: price=model:2/10
            user: hi | failed | user: hi | opened | model: 40 bytes | failed
        ",
        expect![[r#"
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            turn_s_1 ended: Failed, Error, 0+0 tokens, 1 model, 0 tool, costs 0, ModelThrottled (throttled)
            ! call model 2: user("hi")
            turn_s_2 started
            step 0
            text "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
            turn_s_2 ended: Failed, Incomplete, assistant("xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"), about 28+10 tokens, 1 model, 0 tool, costs 156, ModelThrottled (throttled)
            history: user("hi") assistant("xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx")
        "#]],
    );
}

#[test]
fn what_a_lost_call_cost_is_estimated_by_the_price() {
    check(
        "
            with: price=model:2/10
            user: hi | model: 40 bytes | crash
        ",
        expect![[r#"
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            text "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
            ? restored
            turn_s_1 ended: Failed, Incomplete, assistant("xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"), about 28+10 tokens, 1 model, 0 tool, costs 156, ShuttingDown (the server stopped, or lost its store, before the turn ended)
            history: user("hi") assistant("xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx")
        "#]],
    );
}

#[test]
fn a_limit_on_cost_clamps_the_output() {
    check(
        "
            with: no_client_tools=1 price=model:2/10 cost=1000
            user: 40 bytes
        ",
        expect![[r#"
            ! call model 1 (at most 98): user("xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx")
            turn_s_1 started
            step 0
            history: user("xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx")
        "#]],
    );
}

#[test]
fn a_limit_that_the_input_alone_uses_up_makes_no_call() {
    check(
        "
            with: no_client_tools=1 price=model:2/10 cost=29
            user: 40 bytes
        ",
        expect![[r#"
            turn_s_1 started
            turn_s_1 ended: Completed, BudgetExceeded, 0+0 tokens, 0 model, 0 tool
            history: 
        "#]],
    );
}

#[test]
fn an_input_is_reserved_as_dear_as_it_can_be() {
    check(
        "
            with: no_client_tools=1 price=model:2/10/1/3/90 cost=1000
            user: 40 bytes
        ",
        expect![[r#"
            ! call model 1 (at most 10): user("xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx")
            turn_s_1 started
            step 0
            history: user("xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx")
        "#]],
    );
}

#[test]
fn a_limit_beyond_what_each_model_takes_is_watched() {
    check(
        "
            with: no_client_tools=1 price=model:1/1 cost=2100
            user: hi | model: 8000 bytes | model: 1000 bytes | late: more
        ",
        expect![[r#"
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            text "xxxxxxxxxxxxxxxxxxxx"… of 8000 bytes
            ! abort model 1
            text "xxxxxxxxxxxxxxxxxxxx"… of 1000 bytes
            turn_s_1 ended: Completed, BudgetExceeded, assistant("xxxxxxxxxxxxxxxxxxxx"… of 9000 bytes), about 1+2250 tokens, 1 model, 0 tool, costs 2251
            history: user("hi") assistant("xxxxxxxxxxxxxxxxxxxx"… of 9000 bytes)
        "#]],
    );
}

#[test]
fn steps_are_settled_against_the_limit_by_what_they_cost() {
    check(
        "
            with: no_client_tools=1 server=look price=model:2/10 cost=1000
            user: hi | call: a look {} | counted: 100+50 | finish: a seen | model: ok | counted: 20+30
        ",
        expect![[r#"
            ! call model 1 (at most 98): user("hi")
            turn_s_1 started
            step 0
            input of a: {}
            block 0 done: call a look {}
            ! finish model 1
            ! run 1 for 60s and 300 of cost: a look {} as turn_s_1/0/a
            step done: EndTurn, 100+50 tokens, 1 model, 0 tool, costs 700
            call a look {} as turn_s_1/0/a
            a Running
            ! call model 2 (at most 28): user("hi") assistant(call a look {}) user(result a "seen")
            a Succeeded after 0ns: result a "seen"
            usage so far: 100+50 tokens, 1 model, 1 tool, costs 700
            step 1
            text "ok"
            ! finish model 2
            step done: EndTurn, 20+30 tokens, 1 model, 0 tool, costs 340
            turn_s_1 ended: Completed, EndTurn, assistant("ok"), 120+80 tokens, 2 model, 1 tool, costs 1040
            history: user("hi") assistant(call a look {}) user(result a "seen") assistant("ok")
        "#]],
    );
}

#[test]
fn a_limit_that_is_used_up_ends_the_turn_with_what_it_has() {
    check(
        "
            with: no_client_tools=1 server=look price=model:2/10 cost=1000
            user: hi | call: a look {} | counted: 300+50 | finish: a seen
        ",
        expect![[r#"
            ! call model 1 (at most 98): user("hi")
            turn_s_1 started
            step 0
            input of a: {}
            block 0 done: call a look {}
            ! finish model 1
            ! run 1 for 60s and 0 of cost: a look {} as turn_s_1/0/a
            step done: EndTurn, 300+50 tokens, 1 model, 0 tool, costs 1100
            call a look {} as turn_s_1/0/a
            a Running
            a Succeeded after 0ns: result a "seen"
            usage so far: 300+50 tokens, 1 model, 1 tool, costs 1100
            turn_s_1 ended: Completed, BudgetExceeded, assistant(call a look {}), 300+50 tokens, 1 model, 1 tool, costs 1100
            history: user("hi") assistant(call a look {}) user(result a "seen")
        "#]],
    );
}

#[test]
fn the_tighter_of_tokens_and_cost_holds() {
    check(
        "
            with: no_client_tools=1 price=model:2/10 cost=100000 budget=100
            user: 40 bytes
        ",
        expect![[r#"
            ! call model 1 (at most 90): user("xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx")
            turn_s_1 started
            step 0
            history: user("xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx")
        "#]],
    );
}

#[test]
fn a_limit_on_cost_needs_a_price() {
    check(
        "
            with: cost=1000 price=other:1/1
            user: hi
        ",
        expect![[r#"
            turn_s_1 started
            turn_s_1 ended: Failed, Error, 0+0 tokens, 0 model, 0 tool, InvalidRequest (options.max_cost_usd: cannot be held, since the server has no price for model: leave it out, or add the model to the server's prices)
            history: 
        "#]],
    );
}

#[test]
fn without_a_price_the_cost_is_not_told() {
    check(
        "
            with: server=agent price=model:2/10
            user: hi | call: a agent {} | done: tool_use | spent: 10+5 | finish: a done | model: ok | done
        ",
        expect![[r#"
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            input of a: {}
            block 0 done: call a agent {}
            ! finish model 1
            ! run 1 for 60s: a agent {} as turn_s_1/0/a
            step done: ToolUse, 10+5 tokens, 1 model, 0 tool, costs 70
            call a agent {} as turn_s_1/0/a
            a Running
            ! call model 2: user("hi") assistant(call a agent {}) user(result a "done")
            a Succeeded after 0ns: result a "done"
            usage so far: 20+10 tokens, 2 model, 1 tool
            step 1
            text "ok"
            ! finish model 2
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool, costs 70
            turn_s_1 ended: Completed, EndTurn, assistant("ok"), 30+15 tokens, 3 model, 1 tool
            history: user("hi") assistant(call a agent {}) user(result a "done") assistant("ok")
        "#]],
    );
}

#[test]
fn what_a_tool_spent_is_part_of_the_cost() {
    check(
        "
            with: server=agent no_client_tools=1 price=model:2/10 cost=1000
            user: hi | call: a agent {} | done: tool_use | spent: 10+5=300 | finish: a done | model: ok | done
        ",
        expect![[r#"
            ! call model 1 (at most 98): user("hi")
            turn_s_1 started
            step 0
            input of a: {}
            block 0 done: call a agent {}
            ! finish model 1
            ! run 1 for 60s and 930 of cost: a agent {} as turn_s_1/0/a
            step done: ToolUse, 10+5 tokens, 1 model, 0 tool, costs 70
            call a agent {} as turn_s_1/0/a
            a Running
            ! call model 2 (at most 61): user("hi") assistant(call a agent {}) user(result a "done")
            a Succeeded after 0ns: result a "done"
            usage so far: 20+10 tokens, 2 model, 1 tool, costs 370
            step 1
            text "ok"
            ! finish model 2
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool, costs 70
            turn_s_1 ended: Completed, EndTurn, assistant("ok"), 30+15 tokens, 3 model, 1 tool, costs 440
            history: user("hi") assistant(call a agent {}) user(result a "done") assistant("ok")
        "#]],
    );
}

#[test]
fn tools_that_spend_share_what_is_left_of_the_money() {
    check(
        "
            with: server=agent,look no_client_tools=1 price=model:2/10 cost=1000
            user: hi | call: a agent {} | call: b agent {} | call: c look {} | done: tool_use
        ",
        expect![[r#"
            ! call model 1 (at most 97): user("hi")
            turn_s_1 started
            step 0
            input of a: {}
            block 0 done: call a agent {}
            input of b: {}
            block 1 done: call b agent {}
            input of c: {}
            block 2 done: call c look {}
            ! finish model 1
            ! run 1 for 60s and 465 of cost: a agent {} as turn_s_1/0/a
            ! run 2 for 60s and 465 of cost: b agent {} as turn_s_1/0/b
            ! run 3 for 60s and 465 of cost: c look {} as turn_s_1/0/c
            step done: ToolUse, 10+5 tokens, 1 model, 0 tool, costs 70
            call a agent {} as turn_s_1/0/a
            call b agent {} as turn_s_1/0/b
            call c look {} as turn_s_1/0/c
            a Running
            b Running
            c Running
            history: user("hi") assistant(call a agent {}, call b agent {}, call c look {})
        "#]],
    );
}

#[test]
fn a_summary_costs_by_the_price_of_its_model() {
    check(
        "
            with: summarize=60/20/10 summarizer=small price=model:2/10,small:1/3
            user: 200 bytes | model: 100 bytes | counted: 90+25 | user: so | model: brief | counted: 100+5 | model: ok | done
        ",
        expect![[r#"
            ! call model 1: user("xxxxxxxxxxxxxxxxxxxx"… of 200 bytes)
            turn_s_1 started
            step 0
            text "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
            ! finish model 1
            step done: EndTurn, 90+25 tokens, 1 model, 0 tool, costs 430
            turn_s_1 ended: Completed, EndTurn, assistant("xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"), 90+25 tokens, 1 model, 0 tool, costs 430
            ! condense 2 (at most 10): "User: xxxxxxxxxxxxxx"… of 318 bytes
            turn_s_2 started
            ! finish model 2
            ! call model 3: user("Summary of the conversation so far, in the place of its beginning:\n\nbrief", "so")
            Summarize left 2 messages out, 116 tokens to 52, for user summary("Summary of the conversation so far, in the place of its beginning:\n\nbrief")
            step 0
            text "ok"
            ! finish model 3
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool, costs 70
            turn_s_2 ended: Completed, EndTurn, assistant("ok"), 110+10 tokens, 2 model, 0 tool, costs 185
            history: user("xxxxxxxxxxxxxxxxxxxx"… of 200 bytes) assistant("xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx") user summary("Summary of the conversation so far, in the place of its beginning:\n\nbrief") user("so") assistant("ok")
        "#]],
    );
}

#[test]
fn a_summary_by_a_model_without_a_price_leaves_the_cost_out() {
    check(
        "
            with: summarize=60/20/10 summarizer=small price=model:2/10
            user: 200 bytes | model: 100 bytes | counted: 90+25 | user: so | model: brief | counted: 100+5 | model: ok | done
        ",
        expect![[r#"
            ! call model 1: user("xxxxxxxxxxxxxxxxxxxx"… of 200 bytes)
            turn_s_1 started
            step 0
            text "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
            ! finish model 1
            step done: EndTurn, 90+25 tokens, 1 model, 0 tool, costs 430
            turn_s_1 ended: Completed, EndTurn, assistant("xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"), 90+25 tokens, 1 model, 0 tool, costs 430
            ! condense 2 (at most 10): "User: xxxxxxxxxxxxxx"… of 318 bytes
            turn_s_2 started
            ! finish model 2
            ! call model 3: user("Summary of the conversation so far, in the place of its beginning:\n\nbrief", "so")
            Summarize left 2 messages out, 116 tokens to 52, for user summary("Summary of the conversation so far, in the place of its beginning:\n\nbrief")
            step 0
            text "ok"
            ! finish model 3
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool, costs 70
            turn_s_2 ended: Completed, EndTurn, assistant("ok"), 110+10 tokens, 2 model, 0 tool
            history: user("xxxxxxxxxxxxxxxxxxxx"… of 200 bytes) assistant("xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx") user summary("Summary of the conversation so far, in the place of its beginning:\n\nbrief") user("so") assistant("ok")
        "#]],
    );
}

#[test]
fn a_limit_on_cost_makes_no_summary_whose_price_is_not_known() {
    check(
        "
            with: summarize=60/20/10 summarizer=small price=model:2/10 cost=100000
            user: 200 bytes | model: 100 bytes | counted: 90+25 | user: so | model: ok | done
        ",
        expect![[r#"
            ! call model 1: user("xxxxxxxxxxxxxxxxxxxx"… of 200 bytes)
            turn_s_1 started
            step 0
            text "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
            ! finish model 1
            step done: EndTurn, 90+25 tokens, 1 model, 0 tool, costs 430
            turn_s_1 ended: Completed, EndTurn, assistant("xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"), 90+25 tokens, 1 model, 0 tool, costs 430
            ! call model 2: user("so")
            turn_s_2 started
            Sliding left 2 messages out, 116 tokens to 31
            step 0
            text "ok"
            ! finish model 2
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool, costs 70
            turn_s_2 ended: Completed, EndTurn, assistant("ok"), 10+5 tokens, 1 model, 0 tool, costs 70
            history: user("xxxxxxxxxxxxxxxxxxxx"… of 200 bytes) assistant("xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx") user("so") assistant("ok")
        "#]],
    );
}

#[test]
fn a_summary_that_a_crash_cut_off_costs_by_the_price_of_its_model() {
    check(
        "
            with: summarize=60/20/10 summarizer=small price=model:2/10,small:1/3
            user: 200 bytes | model: 100 bytes | counted: 90+25 | user: so | crash
        ",
        expect![[r#"
            ! call model 1: user("xxxxxxxxxxxxxxxxxxxx"… of 200 bytes)
            turn_s_1 started
            step 0
            text "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
            ! finish model 1
            step done: EndTurn, 90+25 tokens, 1 model, 0 tool, costs 430
            turn_s_1 ended: Completed, EndTurn, assistant("xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"), 90+25 tokens, 1 model, 0 tool, costs 430
            ! condense 2 (at most 10): "User: xxxxxxxxxxxxxx"… of 318 bytes
            turn_s_2 started
            ? restored
            turn_s_2 ended: Failed, Incomplete, about 251+0 tokens, 1 model, 0 tool, costs 251, ShuttingDown (the server stopped, or lost its store, before the turn ended)
            history: user("xxxxxxxxxxxxxxxxxxxx"… of 200 bytes) assistant("xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx") user("so")
        "#]],
    );
}

#[test]
fn the_cost_so_far_outlives_the_process() {
    check(
        r#"
            with: no_client_tools=1 server=send,look price=model:2/10 cost=1000
            user: hi | call: a send {"to":"x"} | counted: 100+50 | crash | answer: approve 1 | finish: a sent
        "#,
        expect![[r#"
            ! call model 1 (at most 94): user("hi")
            turn_s_1 started
            step 0
            input of a: {"to":"x"}
            block 0 done: call a send {"to":"x"}
            ! finish model 1
            step done: EndTurn, 100+50 tokens, 1 model, 0 tool, costs 700
            approval_s_1 asks for a send {"to":"x"} (the tool needs consent for each call)
            ? restored
            turn_s_1 ended: Paused, ApprovalRequired, assistant(call a send {"to":"x"}), asks approval_s_1, 100+50 tokens, 1 model, 0 tool, costs 700
            ! answer 1: turn_s_1 from 9
            ! run 1 for 60s and 300 of cost: a send {"to":"x"} as turn_s_1/0/a
            turn_s_1 goes on
            approval_s_1 approved
            call a send {"to":"x"} as turn_s_1/0/a
            a Running
            ! call model 2 (at most 23): user("hi") assistant(call a send {"to":"x"}) user(result a "sent")
            a Succeeded after 0ns: result a "sent"
            usage so far: 100+50 tokens, 1 model, 1 tool, costs 700
            step 1
            history: user("hi") assistant(call a send {"to":"x"}) user(result a "sent")
        "#]],
    );
}
