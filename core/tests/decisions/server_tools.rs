//! Tools that the server runs: which are offered, how many run at once, and what came of them.

mod ends;

use expect_test::expect;

use crate::script::check;

#[test]
fn time_in_which_tools_ran_is_told_apart_from_time_in_which_others_were_waited_for() {
    check(
        r#"
            with: server=send,look runs=1
            user: hi | call: a send {"to":"x"} | call: b look {} | call: c clock {} | done: tool_use
            wait: 1s | finish: b seen | wait: 2s | approve: 1 | wait: 4s | finish: a sent | wait: 1s
            result: c noon | model: ok | done | turn: turn_s_1
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
            block 2 done: call c clock {}
            ! finish model 1
            ! run 1 for 60s: b look {} as turn_s_1/0/b
            step done: ToolUse, 10+5 tokens, 1 model, 0 tool
            approval_s_1 asks for a send {"to":"x"} (the tool needs consent for each call)
            call b look {} as turn_s_1/0/b
            call c clock {} as turn_s_1/0/c
            b Running
            b Succeeded after 1s: result b "seen"
            ! run 2 for 60s: a send {"to":"x"} as turn_s_1/0/a
            approval_s_1 approved
            call a send {"to":"x"} as turn_s_1/0/a
            a Running
            a Succeeded after 4s: result a "sent"
            ! call model 2: user("hi") assistant(call a send {"to":"x"}, call b look {}, call c clock {}) user(result a "sent", result b "seen", result c "noon")
            usage so far: 10+5 tokens, 1 model, 3 tool
            step 1
            text "ok"
            ! finish model 2
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_1 ended: Completed, EndTurn, assistant("ok"), 20+10 tokens, 2 model, 3 tool
            ? turn_s_1: Completed, EndTurn, assistant("ok"), 20+10 tokens, 2 model, 3 tool, ran tools for 5s, waited 3s, last event 28
            history: user("hi") assistant(call a send {"to":"x"}, call b look {}, call c clock {}) user(result a "sent", result b "seen", result c "noon") assistant("ok")
        "#]],
    );
}

#[test]
fn a_pause_tells_the_times_so_far() {
    check(
        "
            with: server=look
            invoke: hi | call: a look {} | call: b clock {} | done: tool_use
            wait: 4s | finish: a seen | turn: turn_s_1 | crash | wait: 5s | answer: b noon
            model: ok | done | turn: turn_s_1
        ",
        expect![[r#"
            ! answer 1: turn_s_1 from 1
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            input of a: {}
            block 0 done: call a look {}
            input of b: {}
            block 1 done: call b clock {}
            ! finish model 1
            ! run 1 for 60s: a look {} as turn_s_1/0/a
            step done: ToolUse, 10+5 tokens, 1 model, 0 tool
            call a look {} as turn_s_1/0/a
            call b clock {} as turn_s_1/0/b
            a Running
            a Succeeded after 4s: result a "seen"
            turn_s_1 ended: Paused, ToolUse, assistant(call a look {}, call b clock {}), waits for b, 10+5 tokens, 1 model, 2 tool
            ? turn_s_1: Paused, ToolUse, assistant(call a look {}, call b clock {}), waits for b, 10+5 tokens, 1 model, 2 tool, ran tools for 4s, waited 0ns, last event 14
            ? restored
            ! answer 2: turn_s_1 from 15
            ! call model 2: user("hi") assistant(call a look {}, call b clock {}) user(result a "seen", result b "noon")
            turn_s_1 goes on
            usage so far: 10+5 tokens, 1 model, 2 tool
            step 1
            text "ok"
            ! finish model 2
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_1 ended: Completed, EndTurn, assistant("ok"), 20+10 tokens, 2 model, 2 tool
            ? turn_s_1: Completed, EndTurn, assistant("ok"), 20+10 tokens, 2 model, 2 tool, ran tools for 4s, waited 5s, last event 22
            history: user("hi") assistant(call a look {}, call b clock {}) user(result a "seen", result b "noon") assistant("ok")
        "#]],
    );
}

#[test]
fn where_no_tools_are_wanted_none_is_offered_and_none_runs() {
    check(
        "
            with: server=look choice=disabled show=tools
            user: hi | call: a look {} | call: b clock {} | done: tool_use | model: ok | done
        ",
        expect![[r#"
            ! call model 1: user("hi") with none, choice Disabled
            turn_s_1 started
            step 0
            input of a: {}
            block 0 done: call a look {}
            input of b: {}
            block 1 done: call b clock {}
            ! finish model 1
            ! call model 2: user("hi") assistant(call a look {}, call b clock {}) user(error a "there is no tool \"look\"", error b "there is no tool \"clock\"") with none, choice Disabled
            step done: ToolUse, 10+5 tokens, 1 model, 0 tool
            a Failed: error a "there is no tool \"look\""
            b Failed: error b "there is no tool \"clock\""
            usage so far: 10+5 tokens, 1 model, 0 tool
            step 1
            text "ok"
            ! finish model 2
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_1 ended: Completed, EndTurn, assistant("ok"), 20+10 tokens, 2 model, 0 tool
            history: user("hi") assistant(call a look {}, call b clock {}) user(error a "there is no tool \"look\"", error b "there is no tool \"clock\"") assistant("ok")
        "#]],
    );
}

#[test]
fn a_result_that_is_too_large_is_left_out_and_the_model_is_told() {
    check(
        "
            with: server=look max_result=10000
            user: hi | call: a look {} | call: b look {} | call: c look {} | done: tool_use
            finish: a 10001 bytes | finish: b 5000 blocks | finish: c 100 bytes | model: ok | done
        ",
        expect![[r#"
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            input of a: {}
            block 0 done: call a look {}
            input of b: {}
            block 1 done: call b look {}
            input of c: {}
            block 2 done: call c look {}
            ! finish model 1
            ! run 1 for 60s: a look {} as turn_s_1/0/a
            ! run 2 for 60s: b look {} as turn_s_1/0/b
            ! run 3 for 60s: c look {} as turn_s_1/0/c
            step done: ToolUse, 10+5 tokens, 1 model, 0 tool
            call a look {} as turn_s_1/0/a
            call b look {} as turn_s_1/0/b
            call c look {} as turn_s_1/0/c
            a Running
            b Running
            c Running
            a Succeeded after 0ns: error a "the tool gave more than 10000 bytes, which are left out"
            b Succeeded after 0ns: error b "the tool gave more than 4096 blocks, which are left out"
            ! call model 2: user("hi") assistant(call a look {}, call b look {}, call c look {}) user(error a "the tool gave more than 10000 bytes, which are left out", error b "the tool gave more than 4096 blocks, which are left out", result c "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx")
            c Succeeded after 0ns: result c "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
            usage so far: 10+5 tokens, 1 model, 3 tool
            step 1
            text "ok"
            ! finish model 2
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_1 ended: Completed, EndTurn, assistant("ok"), 20+10 tokens, 2 model, 3 tool
            history: user("hi") assistant(call a look {}, call b look {}, call c look {}) user(error a "the tool gave more than 10000 bytes, which are left out", error b "the tool gave more than 4096 blocks, which are left out", result c "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx") assistant("ok")
        "#]],
    );
}

#[test]
fn results_that_the_history_has_no_room_for_are_left_out() {
    check(
        "
            with: server=look max_history=300
            user: hi | call: a look {} | call: b look {} | call: c look {} | done: tool_use
            finish: a 150 bytes | finish: b 120 bytes | finish: c 100 bytes | model: ok | done
        ",
        expect![[r#"
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            input of a: {}
            block 0 done: call a look {}
            input of b: {}
            block 1 done: call b look {}
            input of c: {}
            block 2 done: call c look {}
            ! finish model 1
            ! run 1 for 60s: a look {} as turn_s_1/0/a
            ! run 2 for 60s: b look {} as turn_s_1/0/b
            ! run 3 for 60s: c look {} as turn_s_1/0/c
            step done: ToolUse, 10+5 tokens, 1 model, 0 tool
            call a look {} as turn_s_1/0/a
            call b look {} as turn_s_1/0/b
            call c look {} as turn_s_1/0/c
            a Running
            b Running
            c Running
            a Succeeded after 0ns: result a "xxxxxxxxxxxxxxxxxxxx"… of 150 bytes
            b Succeeded after 0ns: result b "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
            c Succeeded after 0ns: error c "the tool gave a result for which this conversation has no room; it is left out"
            usage so far: 10+5 tokens, 1 model, 3 tool
            turn_s_1 ended: Failed, Error, assistant(call a look {}, call b look {}, call c look {}), 10+5 tokens, 1 model, 3 tool, LimitExceeded (the history of this session is larger than 300 bytes)
            history: user("hi") assistant(call a look {}, call b look {}, call c look {}) user(result a "xxxxxxxxxxxxxxxxxxxx"… of 150 bytes, result b "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", error c "the tool gave a result for which this conversation has no room; it is left out")
        "#]],
    );
}

#[test]
fn as_many_run_as_may_and_the_results_keep_the_models_order() {
    check(
        "
            with: server=look,slow runs=2 show=ledger
            user: hi | call: a look {} | call: b slow {} | call: c look {} | done: tool_use
            progress: a half way | finish: b two | wait: 2s | fail: c no | lose: a who knows | model: ok | done
        ",
        expect![[r#"
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            input of a: {}
            block 0 done: call a look {}
            input of b: {}
            block 1 done: call b slow {}
            input of c: {}
            block 2 done: call c look {}
            ! finish model 1
            ! run 1 for 60s: a look {} as turn_s_1/0/a
            ! run 2 for 3s: b slow {} as turn_s_1/0/b
            step done: ToolUse, 10+5 tokens, 1 model, 0 tool
            call a look {} as turn_s_1/0/a
            call b slow {} as turn_s_1/0/b
            call c look {} as turn_s_1/0/c
            a Running
            b Running
            c Waiting
            $ a is Started
            $ b is Started
            a Running: half way
            ! run 3 for 60s: c look {} as turn_s_1/0/c
            b Succeeded after 0ns: result b "two"
            c Running
            $ b is Finished
            $ c is Started
            c Failed after 2s: error c "no"
            $ c is Finished
            ! call model 2: user("hi") assistant(call a look {}, call b slow {}, call c look {}) user(error a "who knows", result b "two", error c "no")
            a Unknown after 2s: error a "who knows"
            usage so far: 10+5 tokens, 1 model, 3 tool
            step 1
            $ a is Unknown
            text "ok"
            ! finish model 2
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_1 ended: Completed, EndTurn, assistant("ok"), 20+10 tokens, 2 model, 3 tool
            history: user("hi") assistant(call a look {}, call b slow {}, call c look {}) user(error a "who knows", result b "two", error c "no") assistant("ok")
        "#]],
    );
}

#[test]
fn a_call_that_pauses_waits_for_the_servers_tools_first() {
    check(
        "
            with: server=look
            invoke: hi | call: a look {} | call: b clock {} | done: tool_use | finish: a seen | answer: b noon
            model: ok | done
        ",
        expect![[r#"
            ! answer 1: turn_s_1 from 1
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            input of a: {}
            block 0 done: call a look {}
            input of b: {}
            block 1 done: call b clock {}
            ! finish model 1
            ! run 1 for 60s: a look {} as turn_s_1/0/a
            step done: ToolUse, 10+5 tokens, 1 model, 0 tool
            call a look {} as turn_s_1/0/a
            call b clock {} as turn_s_1/0/b
            a Running
            a Succeeded after 0ns: result a "seen"
            turn_s_1 ended: Paused, ToolUse, assistant(call a look {}, call b clock {}), waits for b, 10+5 tokens, 1 model, 2 tool
            ! answer 2: turn_s_1 from 15
            ! call model 2: user("hi") assistant(call a look {}, call b clock {}) user(result a "seen", result b "noon")
            turn_s_1 goes on
            usage so far: 10+5 tokens, 1 model, 2 tool
            step 1
            text "ok"
            ! finish model 2
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_1 ended: Completed, EndTurn, assistant("ok"), 20+10 tokens, 2 model, 2 tool
            history: user("hi") assistant(call a look {}, call b clock {}) user(result a "seen", result b "noon") assistant("ok")
        "#]],
    );
}

#[test]
fn a_stream_brings_its_results_while_the_servers_tools_run() {
    check(
        "
            with: server=look
            user: hi | call: a look {} | call: b clock {} | done: tool_use | result: b noon | finish: a seen
            model: ok | done
        ",
        expect![[r#"
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            input of a: {}
            block 0 done: call a look {}
            input of b: {}
            block 1 done: call b clock {}
            ! finish model 1
            ! run 1 for 60s: a look {} as turn_s_1/0/a
            step done: ToolUse, 10+5 tokens, 1 model, 0 tool
            call a look {} as turn_s_1/0/a
            call b clock {} as turn_s_1/0/b
            a Running
            ! call model 2: user("hi") assistant(call a look {}, call b clock {}) user(result a "seen", result b "noon")
            a Succeeded after 0ns: result a "seen"
            usage so far: 10+5 tokens, 1 model, 2 tool
            step 1
            text "ok"
            ! finish model 2
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_1 ended: Completed, EndTurn, assistant("ok"), 20+10 tokens, 2 model, 2 tool
            history: user("hi") assistant(call a look {}, call b clock {}) user(result a "seen", result b "noon") assistant("ok")
        "#]],
    );
}

#[test]
fn a_stream_that_goes_lets_the_servers_tools_end_and_then_pauses() {
    check(
        "
            with: server=look
            user: hi | call: a look {} | call: b clock {} | done: tool_use | gone | finish: a seen
        ",
        expect![[r#"
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            input of a: {}
            block 0 done: call a look {}
            input of b: {}
            block 1 done: call b clock {}
            ! finish model 1
            ! run 1 for 60s: a look {} as turn_s_1/0/a
            step done: ToolUse, 10+5 tokens, 1 model, 0 tool
            call a look {} as turn_s_1/0/a
            call b clock {} as turn_s_1/0/b
            a Running
            a Succeeded after 0ns: result a "seen"
            turn_s_1 ended: Paused, ToolUse, assistant(call a look {}, call b clock {}), waits for b, 10+5 tokens, 1 model, 2 tool
            history: user("hi") assistant(call a look {}, call b clock {})
        "#]],
    );
}

#[test]
fn while_tools_run_input_waits_or_joins() {
    check(
        "
            with: server=look
            user: hi | call: a look {} | done: tool_use | queue#q: later | steer#s: and also | finish: a seen
            model: ok | done | model: then | done
        ",
        expect![[r#"
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            input of a: {}
            block 0 done: call a look {}
            ! finish model 1
            ! run 1 for 60s: a look {} as turn_s_1/0/a
            step done: ToolUse, 10+5 tokens, 1 model, 0 tool
            call a look {} as turn_s_1/0/a
            a Running
            frame q Queued
            frame s Steered turn_s_1
            ! call model 2: user("hi") assistant(call a look {}) user(result a "seen", "and also")
            a Succeeded after 0ns: result a "seen"
            usage so far: 10+5 tokens, 1 model, 1 tool
            step 1
            text "ok"
            ! finish model 2
            ! call model 3: user("hi") assistant(call a look {}) user(result a "seen", "and also") assistant("ok") user("later")
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_1 ended: Completed, EndTurn, assistant("ok"), 20+10 tokens, 2 model, 1 tool
            turn_s_2 started by frame q
            step 0
            text "then"
            ! finish model 3
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_2 ended: Completed, EndTurn, assistant("then"), 10+5 tokens, 1 model, 0 tool
            history: user("hi") assistant(call a look {}) user(result a "seen", "and also") assistant("ok") user("later") assistant("then")
        "#]],
    );
}

#[test]
fn tools_that_change_are_offered_with_the_next_model_call() {
    check(
        "
            with: server=look no_client_tools=1 show=tools
            user: hi | tools: free,slow | call: a look {} | done: tool_use | finish: a seen
            call: b look {} | done: tool_use | call: c free {} | done: tool_use
        ",
        expect![[r#"
            ! call model 1: user("hi") with look
            turn_s_1 started
            step 0
            input of a: {}
            block 0 done: call a look {}
            ! finish model 1
            ! run 1 for 60s: a look {} as turn_s_1/0/a
            step done: ToolUse, 10+5 tokens, 1 model, 0 tool
            call a look {} as turn_s_1/0/a
            a Running
            ! call model 2: user("hi") assistant(call a look {}) user(result a "seen") with free slow
            a Succeeded after 0ns: result a "seen"
            usage so far: 10+5 tokens, 1 model, 1 tool
            step 1
            input of b: {}
            block 0 done: call b look {}
            ! finish model 2
            ! call model 3: user("hi") assistant(call a look {}) user(result a "seen") assistant(call b look {}) user(error b "there is no tool \"look\"; the tools are: free, slow") with free slow
            step done: ToolUse, 10+5 tokens, 1 model, 0 tool
            b Failed: error b "there is no tool \"look\"; the tools are: free, slow"
            usage so far: 20+10 tokens, 2 model, 1 tool
            step 2
            input of c: {}
            block 0 done: call c free {}
            ! finish model 3
            ! run 2 for 60s: c free {} as turn_s_1/2/c
            step done: ToolUse, 10+5 tokens, 1 model, 0 tool
            call c free {} as turn_s_1/2/c
            c Running
            history: user("hi") assistant(call a look {}) user(result a "seen") assistant(call b look {}) user(error b "there is no tool \"look\"; the tools are: free, slow") assistant(call c free {})
        "#]],
    );
}

#[test]
fn tools_that_are_not_allowed_are_not_offered_and_do_not_run() {
    check(
        "
            with: server=look,free allowed=free show=tools
            user: hi | call: a look {} | done: tool_use
        ",
        expect![[r#"
            ! call model 1: user("hi") with free weather clock
            turn_s_1 started
            step 0
            input of a: {}
            block 0 done: call a look {}
            ! finish model 1
            ! call model 2: user("hi") assistant(call a look {}) user(error a "there is no tool \"look\"; the tools are: free, weather, clock") with free weather clock
            step done: ToolUse, 10+5 tokens, 1 model, 0 tool
            a Failed: error a "there is no tool \"look\"; the tools are: free, weather, clock"
            usage so far: 10+5 tokens, 1 model, 0 tool
            step 1
            history: user("hi") assistant(call a look {}) user(error a "there is no tool \"look\"; the tools are: free, weather, clock")
        "#]],
    );
}

#[test]
fn the_agents_tool_comes_before_the_clients_of_the_same_name() {
    check(
        "
            with: server=weather show=tools
            user: hi | call: a weather {} | done: tool_use
        ",
        expect![[r#"
            ! call model 1: user("hi") with weather clock
            turn_s_1 started
            step 0
            input of a: {}
            block 0 done: call a weather {}
            ! finish model 1
            ! run 1 for 60s: a weather {} as turn_s_1/0/a
            step done: ToolUse, 10+5 tokens, 1 model, 0 tool
            call a weather {} as turn_s_1/0/a
            a Running
            history: user("hi") assistant(call a weather {})
        "#]],
    );
}

#[test]
fn steps_whose_calls_all_cannot_run_end_the_turn() {
    check(
        "
            with: server=look faulty=2
            user: hi | call: a nonsense {} | done: tool_use | call: b nonsense {} | call: c look [] | done: tool_use
            user: on | model: ok | done
        ",
        expect![[r#"
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            input of a: {}
            block 0 done: call a nonsense {}
            ! finish model 1
            ! call model 2: user("hi") assistant(call a nonsense {}) user(error a "there is no tool \"nonsense\"; the tools are: look, weather, clock")
            step done: ToolUse, 10+5 tokens, 1 model, 0 tool
            a Failed: error a "there is no tool \"nonsense\"; the tools are: look, weather, clock"
            usage so far: 10+5 tokens, 1 model, 0 tool
            step 1
            input of b: {}
            block 0 done: call b nonsense {}
            input of c: []
            block 1 done: call c look []
            ! finish model 2
            step done: ToolUse, 10+5 tokens, 1 model, 0 tool
            b Failed: error b "there is no tool \"nonsense\"; the tools are: look, weather, clock"
            c Failed: error c "the input is not a JSON object; the tool did not run"
            turn_s_1 ended: Completed, MalformedToolUse, assistant(call b nonsense {}, call c look []), 20+10 tokens, 2 model, 0 tool
            ! call model 3: user("hi") assistant(call a nonsense {}) user(error a "there is no tool \"nonsense\"; the tools are: look, weather, clock") assistant(call b nonsense {}, call c look []) user(error b "there is no tool \"nonsense\"; the tools are: look, weather, clock", error c "the input is not a JSON object; the tool did not run", "on")
            turn_s_2 started
            step 0
            text "ok"
            ! finish model 3
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_2 ended: Completed, EndTurn, assistant("ok"), 10+5 tokens, 1 model, 0 tool
            history: user("hi") assistant(call a nonsense {}) user(error a "there is no tool \"nonsense\"; the tools are: look, weather, clock") assistant(call b nonsense {}, call c look []) user(error b "there is no tool \"nonsense\"; the tools are: look, weather, clock", error c "the input is not a JSON object; the tool did not run", "on") assistant("ok")
        "#]],
    );
}

#[test]
fn a_step_with_a_call_that_runs_makes_the_count_begin_anew() {
    check(
        "
            with: server=look faulty=2
            user: hi | call: a nonsense {} | done: tool_use | call: b nonsense {} | call: c look {} | done: tool_use
            finish: c seen | call: d nonsense {} | done: tool_use
        ",
        expect![[r#"
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            input of a: {}
            block 0 done: call a nonsense {}
            ! finish model 1
            ! call model 2: user("hi") assistant(call a nonsense {}) user(error a "there is no tool \"nonsense\"; the tools are: look, weather, clock")
            step done: ToolUse, 10+5 tokens, 1 model, 0 tool
            a Failed: error a "there is no tool \"nonsense\"; the tools are: look, weather, clock"
            usage so far: 10+5 tokens, 1 model, 0 tool
            step 1
            input of b: {}
            block 0 done: call b nonsense {}
            input of c: {}
            block 1 done: call c look {}
            ! finish model 2
            ! run 1 for 60s: c look {} as turn_s_1/1/c
            step done: ToolUse, 10+5 tokens, 1 model, 0 tool
            b Failed: error b "there is no tool \"nonsense\"; the tools are: look, weather, clock"
            call c look {} as turn_s_1/1/c
            c Running
            ! call model 3: user("hi") assistant(call a nonsense {}) user(error a "there is no tool \"nonsense\"; the tools are: look, weather, clock") assistant(call b nonsense {}, call c look {}) user(error b "there is no tool \"nonsense\"; the tools are: look, weather, clock", result c "seen")
            c Succeeded after 0ns: result c "seen"
            usage so far: 20+10 tokens, 2 model, 1 tool
            step 2
            input of d: {}
            block 0 done: call d nonsense {}
            ! finish model 3
            ! call model 4: user("hi") assistant(call a nonsense {}) user(error a "there is no tool \"nonsense\"; the tools are: look, weather, clock") assistant(call b nonsense {}, call c look {}) user(error b "there is no tool \"nonsense\"; the tools are: look, weather, clock", result c "seen") assistant(call d nonsense {}) user(error d "there is no tool \"nonsense\"; the tools are: look, weather, clock")
            step done: ToolUse, 10+5 tokens, 1 model, 0 tool
            d Failed: error d "there is no tool \"nonsense\"; the tools are: look, weather, clock"
            usage so far: 30+15 tokens, 3 model, 1 tool
            step 3
            history: user("hi") assistant(call a nonsense {}) user(error a "there is no tool \"nonsense\"; the tools are: look, weather, clock") assistant(call b nonsense {}, call c look {}) user(error b "there is no tool \"nonsense\"; the tools are: look, weather, clock", result c "seen") assistant(call d nonsense {}) user(error d "there is no tool \"nonsense\"; the tools are: look, weather, clock")
        "#]],
    );
}
