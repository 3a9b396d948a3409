//! Tools that the server runs and that are stopped: by time, by a cut, by the end of the process.

use expect_test::expect;

use crate::script::check;

#[test]
fn a_result_that_comes_too_late_changes_nothing_while_the_model_is_called() {
    check(
        "
            with: server=slow | user: hi | call: a slow {} | done: tool_use | wait: 3s
            spent: 7+3 | finish: a late | progress: a still here | model: gone | done
        ",
        expect![[r#"
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            input of a: {}
            block 0 done: call a slow {}
            ! finish model 1
            ! run 1 for 3s: a slow {} as turn_s_1/0/a
            step done: ToolUse, 10+5 tokens, 1 model, 0 tool
            call a slow {} as turn_s_1/0/a
            a Running
            ! cancel run 1
            ! call model 2: user("hi") assistant(call a slow {}) user(error a "the tool gave no result within 3s and was stopped; whether it took effect is not known")
            a Unknown after 3s: error a "the tool gave no result within 3s and was stopped; whether it took effect is not known"
            usage so far: 10+5 tokens, 1 model, 1 tool
            step 1
            text "gone"
            ! finish model 2
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_1 ended: Completed, EndTurn, assistant("gone"), 27+13 tokens, 3 model, 1 tool
            history: user("hi") assistant(call a slow {}) user(error a "the tool gave no result within 3s and was stopped; whether it took effect is not known") assistant("gone")
        "#]],
    );
}

#[test]
fn a_result_that_comes_too_late_changes_nothing_while_others_run() {
    check(
        "
            with: server=slow,look | user: hi | call: a slow {} | call: b look {} | done: tool_use
            wait: 3s | spent: 7+3 | finish: a late | finish: b seen | model: ok | done
        ",
        expect![[r#"
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            input of a: {}
            block 0 done: call a slow {}
            input of b: {}
            block 1 done: call b look {}
            ! finish model 1
            ! run 1 for 3s: a slow {} as turn_s_1/0/a
            ! run 2 for 60s: b look {} as turn_s_1/0/b
            step done: ToolUse, 10+5 tokens, 1 model, 0 tool
            call a slow {} as turn_s_1/0/a
            call b look {} as turn_s_1/0/b
            a Running
            b Running
            ! cancel run 1
            a Unknown after 3s: error a "the tool gave no result within 3s and was stopped; whether it took effect is not known"
            ! call model 2: user("hi") assistant(call a slow {}, call b look {}) user(error a "the tool gave no result within 3s and was stopped; whether it took effect is not known", result b "seen")
            b Succeeded after 3s: result b "seen"
            usage so far: 17+8 tokens, 2 model, 2 tool
            step 1
            text "ok"
            ! finish model 2
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_1 ended: Completed, EndTurn, assistant("ok"), 27+13 tokens, 3 model, 2 tool
            history: user("hi") assistant(call a slow {}, call b look {}) user(error a "the tool gave no result within 3s and was stopped; whether it took effect is not known", result b "seen") assistant("ok")
        "#]],
    );
}

#[test]
fn a_result_that_comes_too_late_changes_nothing_while_the_turn_is_paused() {
    check(
        "
            with: server=slow | invoke: hi | call: a slow {} | call: b clock {} | done: tool_use
            wait: 3s | spent: 7+3 | finish: a late | answer: b noon | model: ok | done
        ",
        expect![[r#"
            ! answer 1: turn_s_1 from 1
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            input of a: {}
            block 0 done: call a slow {}
            input of b: {}
            block 1 done: call b clock {}
            ! finish model 1
            ! run 1 for 3s: a slow {} as turn_s_1/0/a
            step done: ToolUse, 10+5 tokens, 1 model, 0 tool
            call a slow {} as turn_s_1/0/a
            call b clock {} as turn_s_1/0/b
            a Running
            ! cancel run 1
            a Unknown after 3s: error a "the tool gave no result within 3s and was stopped; whether it took effect is not known"
            turn_s_1 ended: Paused, ToolUse, assistant(call a slow {}, call b clock {}), waits for b, 10+5 tokens, 1 model, 2 tool
            ! answer 2: turn_s_1 from 15
            ! call model 2: user("hi") assistant(call a slow {}, call b clock {}) user(error a "the tool gave no result within 3s and was stopped; whether it took effect is not known", result b "noon")
            turn_s_1 goes on
            usage so far: 17+8 tokens, 2 model, 2 tool
            step 1
            text "ok"
            ! finish model 2
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_1 ended: Completed, EndTurn, assistant("ok"), 27+13 tokens, 3 model, 2 tool
            history: user("hi") assistant(call a slow {}, call b clock {}) user(error a "the tool gave no result within 3s and was stopped; whether it took effect is not known", result b "noon") assistant("ok")
        "#]],
    );
}

#[test]
fn what_a_tool_of_an_earlier_turn_spent_is_not_the_next_ones() {
    check(
        "
            with: server=look | user: hi | call: a look {} | done: tool_use | stop | user: so
            spent: 7+3 | finish: a late | model: ok | done
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
            ! cancel run 1
            interrupted: Client
            a Cancelled after 0ns: error a "not known: the user interrupted while the tool ran, and it was stopped"
            turn_s_1 ended: Interrupted, Interrupted, assistant(call a look {}), 10+5 tokens, 1 model, 1 tool
            ! call model 2: user("hi") assistant(call a look {}) user(error a "not known: the user interrupted while the tool ran, and it was stopped", "so")
            turn_s_2 started
            step 0
            text "ok"
            ! finish model 2
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_2 ended: Completed, EndTurn, assistant("ok"), 10+5 tokens, 1 model, 0 tool
            history: user("hi") assistant(call a look {}) user(error a "not known: the user interrupted while the tool ran, and it was stopped", "so") assistant("ok")
        "#]],
    );
}

#[test]
fn what_ran_and_what_waited_when_the_process_ended_is_not_run_again() {
    check(
        r#"
            with: server=look,send runs=1 show=ledger
            user: hi | call: a send {"to":"x"} | call: b look {} | call: c clock {} | done: tool_use
            edit: 1 {"to":"y"} | crash | answer: c noon | model: ok | done
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
            $ c is Started
            $ b is Started
            approval_s_1 approved
            call a send {"to":"y"} as turn_s_1/0/a
            a Waiting
            ? restored
            a Cancelled: error a "not run: the server stopped before the tool could run"
            b Unknown: error b "not known: the server stopped while the tool ran; it may have taken effect, and was not run again"
            turn_s_1 ended: Paused, ToolUse, assistant(call a send {"to":"x"}, call b look {}, call c clock {}), waits for c, 10+5 tokens, 1 model, 3 tool
            $ b is Unknown
            ! answer 1: turn_s_1 from 23
            ! call model 2: user("hi") assistant(call a send {"to":"x"}, call b look {}, call c clock {}) user(error a "The user changed the input of this call to {\"to\":\"y\"}" "not run: the server stopped before the tool could run", error b "not known: the server stopped while the tool ran; it may have taken effect, and was not run again", result c "noon")
            turn_s_1 goes on
            usage so far: 10+5 tokens, 1 model, 3 tool
            step 1
            $ c is Finished
            text "ok"
            ! finish model 2
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_1 ended: Completed, EndTurn, assistant("ok"), 20+10 tokens, 2 model, 3 tool
            history: user("hi") assistant(call a send {"to":"x"}, call b look {}, call c clock {}) user(error a "The user changed the input of this call to {\"to\":\"y\"}" "not run: the server stopped before the tool could run", error b "not known: the server stopped while the tool ran; it may have taken effect, and was not run again", result c "noon") assistant("ok")
        "#]],
    );
}

#[test]
fn a_turn_that_waited_for_the_servers_tools_alone_ends_with_the_process() {
    check(
        "
            with: server=look runs=1 show=ledger
            user: hi | call: a look {} | call: b look {} | done: tool_use | crash
        ",
        expect![[r#"
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            input of a: {}
            block 0 done: call a look {}
            input of b: {}
            block 1 done: call b look {}
            ! finish model 1
            ! run 1 for 60s: a look {} as turn_s_1/0/a
            step done: ToolUse, 10+5 tokens, 1 model, 0 tool
            call a look {} as turn_s_1/0/a
            call b look {} as turn_s_1/0/b
            a Running
            b Waiting
            $ a is Started
            ? restored
            a Unknown: error a "not known: the server stopped while the tool ran; it may have taken effect, and was not run again"
            b Cancelled: error b "not run: the server stopped before the tool could run"
            turn_s_1 ended: Failed, Incomplete, assistant(call a look {}, call b look {}), 10+5 tokens, 1 model, 2 tool, ShuttingDown (the server stopped, or lost its store, before the turn ended)
            $ a is Unknown
            history: user("hi") assistant(call a look {}, call b look {}) user(error a "not known: the server stopped while the tool ran; it may have taken effect, and was not run again", error b "not run: the server stopped before the tool could run")
        "#]],
    );
}

#[test]
fn each_tool_has_its_time_and_the_turn_its_own() {
    check(
        "
            with: server=look,slow run_timeout=50s turn_timeout=20s
            user: hi | call: a look {} | call: b slow {} | done: tool_use | wait: 3s | wait: 17s
        ",
        expect![[r#"
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            input of a: {}
            block 0 done: call a look {}
            input of b: {}
            block 1 done: call b slow {}
            ! finish model 1
            ! run 1 for 20s: a look {} as turn_s_1/0/a
            ! run 2 for 3s: b slow {} as turn_s_1/0/b
            step done: ToolUse, 10+5 tokens, 1 model, 0 tool
            call a look {} as turn_s_1/0/a
            call b slow {} as turn_s_1/0/b
            a Running
            b Running
            ! cancel run 2
            b Unknown after 3s: error b "the tool gave no result within 3s and was stopped; whether it took effect is not known"
            ! cancel run 1
            a Cancelled after 20s: error a "not known: the turn was cancelled while the tool ran, and it was stopped"
            turn_s_1 ended: Cancelled, BudgetExceeded, assistant(call a look {}, call b slow {}), 10+5 tokens, 1 model, 2 tool, DeadlineExceeded (the turn took longer than its time limit)
            history: user("hi") assistant(call a look {}, call b slow {}) user(error a "not known: the turn was cancelled while the tool ran, and it was stopped", error b "the tool gave no result within 3s and was stopped; whether it took effect is not known")
        "#]],
    );
}

#[test]
fn a_call_waits_for_its_place_without_being_late() {
    check(
        "
            with: server=slow runs=1
            user: hi | call: a slow {} | call: b slow {} | done: tool_use | wait: 3s | wait: 2s | finish: b done
            model: ok | done
        ",
        expect![[r#"
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            input of a: {}
            block 0 done: call a slow {}
            input of b: {}
            block 1 done: call b slow {}
            ! finish model 1
            ! run 1 for 3s: a slow {} as turn_s_1/0/a
            step done: ToolUse, 10+5 tokens, 1 model, 0 tool
            call a slow {} as turn_s_1/0/a
            call b slow {} as turn_s_1/0/b
            a Running
            b Waiting
            ! cancel run 1
            ! run 2 for 3s: b slow {} as turn_s_1/0/b
            a Unknown after 3s: error a "the tool gave no result within 3s and was stopped; whether it took effect is not known"
            b Running
            ! call model 2: user("hi") assistant(call a slow {}, call b slow {}) user(error a "the tool gave no result within 3s and was stopped; whether it took effect is not known", result b "done")
            b Succeeded after 2s: result b "done"
            usage so far: 10+5 tokens, 1 model, 2 tool
            step 1
            text "ok"
            ! finish model 2
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_1 ended: Completed, EndTurn, assistant("ok"), 20+10 tokens, 2 model, 2 tool
            history: user("hi") assistant(call a slow {}, call b slow {}) user(error a "the tool gave no result within 3s and was stopped; whether it took effect is not known", result b "done") assistant("ok")
        "#]],
    );
}

#[test]
fn a_cancel_stops_what_runs_and_nothing_starts_after_it() {
    check(
        "
            with: server=look runs=1 show=ledger
            user: hi | call: a look {} | call: b look {} | done: tool_use | cancel | finish: a late
        ",
        expect![[r#"
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            input of a: {}
            block 0 done: call a look {}
            input of b: {}
            block 1 done: call b look {}
            ! finish model 1
            ! run 1 for 60s: a look {} as turn_s_1/0/a
            step done: ToolUse, 10+5 tokens, 1 model, 0 tool
            call a look {} as turn_s_1/0/a
            call b look {} as turn_s_1/0/b
            a Running
            b Waiting
            $ a is Started
            ! cancel run 1
            ! answer cancel 1: Cancelled, Cancelled, assistant(call a look {}, call b look {}), 10+5 tokens, 1 model, 2 tool, Cancelled (the turn was cancelled by request)
            interrupted: Cancel
            a Cancelled after 0ns: error a "not known: the turn was cancelled while the tool ran, and it was stopped"
            b Cancelled: error b "not run: the turn was cancelled before the tool could run"
            turn_s_1 ended: Cancelled, Cancelled, assistant(call a look {}, call b look {}), 10+5 tokens, 1 model, 2 tool, Cancelled (the turn was cancelled by request)
            $ a is Unknown
            history: user("hi") assistant(call a look {}, call b look {}) user(error a "not known: the turn was cancelled while the tool ran, and it was stopped", error b "not run: the turn was cancelled before the tool could run")
        "#]],
    );
}

#[test]
fn a_caller_that_goes_away_stops_what_runs() {
    check(
        "
            with: server=look
            user: hi | call: a look {} | done: tool_use | gone!
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
            ! cancel run 1
            interrupted: Cancel
            a Cancelled after 0ns: error a "not known: the turn was cancelled while the tool ran, and it was stopped"
            turn_s_1 ended: Cancelled, Cancelled, assistant(call a look {}), 10+5 tokens, 1 model, 1 tool, Cancelled (the caller went away)
            history: user("hi") assistant(call a look {}) user(error a "not known: the turn was cancelled while the tool ran, and it was stopped")
        "#]],
    );
}

#[test]
fn a_deadline_of_the_caller_stops_what_runs() {
    check(
        "
            with: server=look
            deadline: 5s | invoke: hi | call: a look {} | done: tool_use | wait: 5s
        ",
        expect![[r#"
            ! answer 1: turn_s_1 from 1
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            input of a: {}
            block 0 done: call a look {}
            ! finish model 1
            ! run 1 for 5s: a look {} as turn_s_1/0/a
            step done: ToolUse, 10+5 tokens, 1 model, 0 tool
            call a look {} as turn_s_1/0/a
            a Running
            ! cancel run 1
            a Cancelled after 5s: error a "not known: the turn was cancelled while the tool ran, and it was stopped"
            turn_s_1 ended: Cancelled, Cancelled, assistant(call a look {}), 10+5 tokens, 1 model, 1 tool, DeadlineExceeded (the call's deadline passed)
            history: user("hi") assistant(call a look {}) user(error a "not known: the turn was cancelled while the tool ran, and it was stopped")
        "#]],
    );
}

#[test]
fn the_end_of_the_grace_period_stops_what_runs() {
    check(
        "
            with: server=look show=ledger
            user: hi | call: a look {} | call: b clock {} | done: tool_use | shutdown | kill
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
            $ b is Started
            $ a is Started
            ! cancel run 1
            a Cancelled after 0ns: error a "not known: the turn failed while the tool ran, and it was stopped"
            calls cancelled: b
            turn_s_1 ended: Failed, Incomplete, assistant(call a look {}, call b clock {}), 10+5 tokens, 1 model, 2 tool, ShuttingDown (the server is shutting down)
            $ a is Unknown
            $ b is Unknown
            history: user("hi") assistant(call a look {}, call b clock {}) user(error a "not known: the turn failed while the tool ran, and it was stopped", error b "not known: the turn failed before the result came")
        "#]],
    );
}

#[test]
fn replacing_input_stops_what_runs_and_drops_the_turn() {
    check(
        "
            with: server=look
            user: hi | call: a look {} | done: tool_use | replace: no, this | finish: a late
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
            ! cancel run 1
            ! call model 2: user("no, this")
            interrupted: NewInput
            a Cancelled after 0ns: error a "not known: the user interrupted while the tool ran, and it was stopped"
            turn_s_1 ended: Interrupted, Interrupted, assistant(call a look {}), 10+5 tokens, 1 model, 1 tool
            turn_s_2 started
            step 0
            history: user("no, this")
        "#]],
    );
}
