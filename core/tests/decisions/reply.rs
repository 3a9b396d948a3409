//! Replies that are to fit a schema: by text, and by a tool that takes them.

use expect_test::expect;

use crate::script::check;

#[test]
fn a_tool_of_the_replys_name_keeps_it_and_the_reply_has_another() {
    check(
        r#"
            with: server=verdict output=verdict form=tool show=tools
            user: hi | call: a verdict {} | done: tool_use | finish: a seen
            call: b reply {"n":1} | done: tool_use
        "#,
        expect![[r#"
            ! call model 1: user("hi") with verdict weather clock reply, choice Any
            turn_s_1 started
            step 0
            input of a: {}
            block 0 done: call a verdict {}
            ! finish model 1
            ! run 1 for 60s: a verdict {} as turn_s_1/0/a
            step done: ToolUse, 10+5 tokens, 1 model, 0 tool
            call a verdict {} as turn_s_1/0/a
            a Running
            ! call model 2: user("hi") assistant(call a verdict {}) user(result a "seen") with verdict weather clock reply, choice Any
            a Succeeded after 0ns: result a "seen"
            usage so far: 10+5 tokens, 1 model, 1 tool
            step 1
            input of b: {"n":1}
            block 0 done: call b reply {"n":1}
            ! finish model 2
            step done: ToolUse, 10+5 tokens, 1 model, 0 tool
            turn_s_1 ended: Completed, EndTurn, assistant(call b reply {"n":1}), output {"n":1}, 20+10 tokens, 2 model, 1 tool
            history: user("hi") assistant(call a verdict {}) user(result a "seen") assistant(call b reply {"n":1}) user(result b "taken")
        "#]],
    );
}

#[test]
fn where_no_tools_are_wanted_the_model_is_offered_that_of_the_reply_alone() {
    check(
        r#"
            with: server=look output=verdict form=tool choice=disabled show=tools
            user: hi | call: a look {} | done: tool_use | call: b verdict {"n":1} | done: tool_use
        "#,
        expect![[r#"
            ! call model 1: user("hi") with verdict, choice Tool("verdict")
            turn_s_1 started
            step 0
            input of a: {}
            block 0 done: call a look {}
            ! finish model 1
            ! call model 2: user("hi") assistant(call a look {}) user(error a "there is no tool \"look\"") with verdict, choice Tool("verdict")
            step done: ToolUse, 10+5 tokens, 1 model, 0 tool
            a Failed: error a "there is no tool \"look\""
            usage so far: 10+5 tokens, 1 model, 0 tool
            step 1
            input of b: {"n":1}
            block 0 done: call b verdict {"n":1}
            ! finish model 2
            step done: ToolUse, 10+5 tokens, 1 model, 0 tool
            turn_s_1 ended: Completed, EndTurn, assistant(call b verdict {"n":1}), output {"n":1}, 20+10 tokens, 2 model, 0 tool
            history: user("hi") assistant(call a look {}) user(error a "there is no tool \"look\"") assistant(call b verdict {"n":1}) user(result b "taken")
        "#]],
    );
}

#[test]
fn where_no_tools_are_wanted_a_model_that_reasons_may_choose_that_of_the_reply() {
    check(
        r#"
            with: server=look output=verdict form=tool choice=disabled reasoning=1 show=tools
            user: hi | call: b verdict {"n":1} | done: tool_use
        "#,
        expect![[r#"
            ! call model 1: user("hi") with verdict, choice Auto
            turn_s_1 started
            step 0
            input of b: {"n":1}
            block 0 done: call b verdict {"n":1}
            ! finish model 1
            step done: ToolUse, 10+5 tokens, 1 model, 0 tool
            turn_s_1 ended: Completed, EndTurn, assistant(call b verdict {"n":1}), output {"n":1}, 10+5 tokens, 1 model, 0 tool
            history: user("hi") assistant(call b verdict {"n":1}) user(result b "taken")
        "#]],
    );
}

#[test]
fn text_that_fits_is_the_reply() {
    check(
        r#"
            with: output=verdict form=native show=tools
            user: hi | model: {"n": 1} | done
        "#,
        expect![[r#"
            ! call model 1: user("hi") with weather clock
            turn_s_1 started
            step 0
            text "{\"n\": 1}"
            ! finish model 1
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_1 ended: Completed, EndTurn, assistant("{\"n\": 1}"), output {"n": 1}, 10+5 tokens, 1 model, 0 tool
            history: user("hi") assistant("{\"n\": 1}")
        "#]],
    );
}

#[test]
fn text_that_does_not_fit_is_mended_once() {
    check(
        r#"
            with: output=verdict form=native
            user: hi | model: one | done | model: {"n": 1} | done
        "#,
        expect![[r#"
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            text "one"
            ! finish model 1
            ! call model 2: user("hi") assistant("one") user("the reply is not valid JSON: expected value at line 1 column 1. Give the reply again: JSON alone, that fits.")
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            step 1
            text "{\"n\": 1}"
            ! finish model 2
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_1 ended: Completed, EndTurn, assistant("{\"n\": 1}"), output {"n": 1}, 20+10 tokens, 2 model, 0 tool
            history: user("hi") assistant("one") user("the reply is not valid JSON: expected value at line 1 column 1. Give the reply again: JSON alone, that fits.") assistant("{\"n\": 1}")
        "#]],
    );
}

#[test]
fn text_that_does_not_fit_after_its_mending_fails_the_turn() {
    check(
        r#"
            with: output=verdict form=native
            user: hi | model: {"n": "one"} | done | model: {} | done | user: on | model: {"n": 2} | done
        "#,
        expect![[r#"
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            text "{\"n\": \"one\"}"
            ! finish model 1
            ! call model 2: user("hi") assistant("{\"n\": \"one\"}") user("the reply does not fit the schema: at /n: \"one\" is not of type \"integer\". Give the reply again: JSON alone, that fits.")
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            step 1
            text "{}"
            ! finish model 2
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_1 ended: Failed, Error, assistant("{}"), 20+10 tokens, 2 model, 0 tool, OutputInvalid (the reply does not fit the schema: "n" is a required property)
            ! call model 3: user("hi") assistant("{\"n\": \"one\"}") user("the reply does not fit the schema: at /n: \"one\" is not of type \"integer\". Give the reply again: JSON alone, that fits.") assistant("{}") user("on")
            turn_s_2 started
            step 0
            text "{\"n\": 2}"
            ! finish model 3
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_2 ended: Completed, EndTurn, assistant("{\"n\": 2}"), output {"n": 2}, 10+5 tokens, 1 model, 0 tool
            history: user("hi") assistant("{\"n\": \"one\"}") user("the reply does not fit the schema: at /n: \"one\" is not of type \"integer\". Give the reply again: JSON alone, that fits.") assistant("{}") user("on") assistant("{\"n\": 2}")
        "#]],
    );
}

#[test]
fn a_reply_may_be_mended_as_often_as_the_limit_says() {
    check(
        "
            with: output=verdict form=native repairs=0
            user: hi | model: one | done
        ",
        expect![[r#"
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            text "one"
            ! finish model 1
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_1 ended: Failed, Error, assistant("one"), 10+5 tokens, 1 model, 0 tool, OutputInvalid (the reply is not valid JSON: expected value at line 1 column 1)
            history: user("hi") assistant("one")
        "#]],
    );
}

#[test]
fn text_that_the_token_limit_cut_off_is_not_mended() {
    check(
        r#"
            with: output=verdict form=native
            user: hi | model: {"n" | done: max_tokens
        "#,
        expect![[r#"
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            text "{\"n"
            ! finish model 1
            step done: MaxTokens, 10+5 tokens, 1 model, 0 tool
            turn_s_1 ended: Completed, MaxTokens, assistant("{\"n"), 10+5 tokens, 1 model, 0 tool
            history: user("hi") assistant("{\"n")
        "#]],
    );
}

#[test]
fn a_model_without_other_tools_must_give_the_reply_by_its_tool() {
    check(
        r#"
            with: output=verdict form=tool no_client_tools=1 show=tools
            user: hi | call: a verdict {"n":1} | done: tool_use
        "#,
        expect![[r#"
            ! call model 1: user("hi") with verdict, choice Tool("verdict")
            turn_s_1 started
            step 0
            input of a: {"n":1}
            block 0 done: call a verdict {"n":1}
            ! finish model 1
            step done: ToolUse, 10+5 tokens, 1 model, 0 tool
            turn_s_1 ended: Completed, EndTurn, assistant(call a verdict {"n":1}), output {"n":1}, 10+5 tokens, 1 model, 0 tool
            history: user("hi") assistant(call a verdict {"n":1}) user(result a "taken")
        "#]],
    );
}

#[test]
fn a_model_with_other_tools_must_call_one_and_the_reply_comes_last() {
    check(
        r#"
            with: output=verdict form=tool server=look show=tools
            user: hi | call: a verdict {"n":1} | call: b look {} | done: tool_use | finish: b seen
            call: c verdict {"n":2} | done: tool_use
        "#,
        expect![[r#"
            ! call model 1: user("hi") with look weather clock verdict, choice Any
            turn_s_1 started
            step 0
            input of a: {"n":1}
            block 0 done: call a verdict {"n":1}
            input of b: {}
            block 1 done: call b look {}
            ! finish model 1
            ! run 1 for 60s: b look {} as turn_s_1/0/b
            step done: ToolUse, 10+5 tokens, 1 model, 0 tool
            a Failed: error a "not taken: give the reply alone, when the other calls have their results"
            call b look {} as turn_s_1/0/b
            b Running
            ! call model 2: user("hi") assistant(call a verdict {"n":1}, call b look {}) user(error a "not taken: give the reply alone, when the other calls have their results", result b "seen") with look weather clock verdict, choice Any
            b Succeeded after 0ns: result b "seen"
            usage so far: 10+5 tokens, 1 model, 1 tool
            step 1
            input of c: {"n":2}
            block 0 done: call c verdict {"n":2}
            ! finish model 2
            step done: ToolUse, 10+5 tokens, 1 model, 0 tool
            turn_s_1 ended: Completed, EndTurn, assistant(call c verdict {"n":2}), output {"n":2}, 20+10 tokens, 2 model, 1 tool
            history: user("hi") assistant(call a verdict {"n":1}, call b look {}) user(error a "not taken: give the reply alone, when the other calls have their results", result b "seen") assistant(call c verdict {"n":2}) user(result c "taken")
        "#]],
    );
}

#[test]
fn a_model_that_reasons_may_answer_by_text_and_is_sent_to_the_tool() {
    check(
        r#"
            with: output=verdict form=tool no_client_tools=1 reasoning=1 show=tools
            user: hi | model: It is one | done | call: a verdict {"n":1} | done: tool_use
        "#,
        expect![[r#"
            ! call model 1: user("hi") with verdict, choice Auto
            turn_s_1 started
            step 0
            text "It is one"
            ! finish model 1
            ! call model 2: user("hi") assistant("It is one") user("the reply is not valid JSON: expected value at line 1 column 1. Give the reply by the tool verdict.") with verdict, choice Auto
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            step 1
            input of a: {"n":1}
            block 0 done: call a verdict {"n":1}
            ! finish model 2
            step done: ToolUse, 10+5 tokens, 1 model, 0 tool
            turn_s_1 ended: Completed, EndTurn, assistant(call a verdict {"n":1}), output {"n":1}, 20+10 tokens, 2 model, 0 tool
            history: user("hi") assistant("It is one") user("the reply is not valid JSON: expected value at line 1 column 1. Give the reply by the tool verdict.") assistant(call a verdict {"n":1}) user(result a "taken")
        "#]],
    );
}

#[test]
fn a_model_that_reasons_may_answer_by_text_that_fits() {
    check(
        r#"
            with: output=verdict form=tool no_client_tools=1 reasoning=1
            user: hi | model: {"n":1} | done
        "#,
        expect![[r#"
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            text "{\"n\":1}"
            ! finish model 1
            step done: EndTurn, 10+5 tokens, 1 model, 0 tool
            turn_s_1 ended: Completed, EndTurn, assistant("{\"n\":1}"), output {"n":1}, 10+5 tokens, 1 model, 0 tool
            history: user("hi") assistant("{\"n\":1}")
        "#]],
    );
}

#[test]
fn a_reply_by_the_tool_that_does_not_fit_is_mended_once() {
    check(
        r#"
            with: output=verdict form=tool no_client_tools=1
            user: hi | call: a verdict {"n":"one"} | done: tool_use | call: b verdict {"n":1} | done: tool_use
        "#,
        expect![[r#"
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            input of a: {"n":"one"}
            block 0 done: call a verdict {"n":"one"}
            ! finish model 1
            ! call model 2: user("hi") assistant(call a verdict {"n":"one"}) user(error a "the reply does not fit the schema: at /n: \"one\" is not of type \"integer\"")
            step done: ToolUse, 10+5 tokens, 1 model, 0 tool
            a Failed: error a "the reply does not fit the schema: at /n: \"one\" is not of type \"integer\""
            usage so far: 10+5 tokens, 1 model, 0 tool
            step 1
            input of b: {"n":1}
            block 0 done: call b verdict {"n":1}
            ! finish model 2
            step done: ToolUse, 10+5 tokens, 1 model, 0 tool
            turn_s_1 ended: Completed, EndTurn, assistant(call b verdict {"n":1}), output {"n":1}, 20+10 tokens, 2 model, 0 tool
            history: user("hi") assistant(call a verdict {"n":"one"}) user(error a "the reply does not fit the schema: at /n: \"one\" is not of type \"integer\"") assistant(call b verdict {"n":1}) user(result b "taken")
        "#]],
    );
}

#[test]
fn a_reply_by_the_tool_that_does_not_fit_after_its_mending_fails_the_turn() {
    check(
        r#"
            with: output=verdict form=tool no_client_tools=1
            user: hi | call: a verdict {} | done: tool_use | call: b verdict {"n" | done: tool_use
        "#,
        expect![[r#"
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            input of a: {}
            block 0 done: call a verdict {}
            ! finish model 1
            ! call model 2: user("hi") assistant(call a verdict {}) user(error a "the reply does not fit the schema: \"n\" is a required property")
            step done: ToolUse, 10+5 tokens, 1 model, 0 tool
            a Failed: error a "the reply does not fit the schema: \"n\" is a required property"
            usage so far: 10+5 tokens, 1 model, 0 tool
            step 1
            input of b: {"n"
            block 0 done: call b verdict {"n"
            ! finish model 2
            step done: ToolUse, 10+5 tokens, 1 model, 0 tool
            b Failed: error b "the reply is not valid JSON: EOF while parsing an object at line 1 column 4"
            turn_s_1 ended: Failed, Error, assistant(call b verdict {"n"), 20+10 tokens, 2 model, 0 tool, OutputInvalid (the reply is not valid JSON: EOF while parsing an object at line 1 column 4)
            history: user("hi") assistant(call a verdict {}) user(error a "the reply does not fit the schema: \"n\" is a required property") assistant(call b verdict {"n") user(error b "the reply is not valid JSON: EOF while parsing an object at line 1 column 4")
        "#]],
    );
}

#[test]
fn a_reply_by_the_tool_that_the_token_limit_cut_off_is_not_mended() {
    check(
        r#"
            with: output=verdict form=tool no_client_tools=1
            user: hi | call: a verdict {"n" | done: max_tokens
        "#,
        expect![[r#"
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            input of a: {"n"
            block 0 done: call a verdict {"n"
            ! finish model 1
            step done: MaxTokens, 10+5 tokens, 1 model, 0 tool
            turn_s_1 ended: Completed, MaxTokens, assistant(call a verdict {"n"), 10+5 tokens, 1 model, 0 tool
            history: user("hi") assistant(call a verdict {"n") user(error a "not run: the model's answer ended before its calls were handed out")
        "#]],
    );
}

#[test]
fn the_reply_needs_no_consent() {
    check(
        r#"
            with: output=verdict form=tool no_client_tools=1 approval=always
            user: hi | call: a verdict {"n":1} | done: tool_use
        "#,
        expect![[r#"
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            input of a: {"n":1}
            block 0 done: call a verdict {"n":1}
            ! finish model 1
            step done: ToolUse, 10+5 tokens, 1 model, 0 tool
            turn_s_1 ended: Completed, EndTurn, assistant(call a verdict {"n":1}), output {"n":1}, 10+5 tokens, 1 model, 0 tool
            history: user("hi") assistant(call a verdict {"n":1}) user(result a "taken")
        "#]],
    );
}

#[test]
fn a_reply_leaves_what_joined_the_turn_to_the_next() {
    check(
        r#"
            with: output=verdict form=tool no_client_tools=1
            user: hi | steer: and more | call: a verdict {"n":1} | done: tool_use
        "#,
        expect![[r#"
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            input of a: {"n":1}
            block 0 done: call a verdict {"n":1}
            ! finish model 1
            ! call model 2: user("hi") assistant(call a verdict {"n":1}) user(result a "taken", "and more")
            step done: ToolUse, 10+5 tokens, 1 model, 0 tool
            turn_s_1 ended: Completed, EndTurn, assistant(call a verdict {"n":1}), output {"n":1}, 10+5 tokens, 1 model, 0 tool
            turn_s_2 started
            step 0
            history: user("hi") assistant(call a verdict {"n":1}) user(result a "taken", "and more")
        "#]],
    );
}

#[test]
fn repairs_outlive_the_process() {
    check(
        "
            with: output=verdict form=tool clock_approval=always
            user: hi | call: a verdict {} | done: tool_use | call: b clock {} | done: tool_use | crash
            answer: approve 1 | answer: b noon | call: c verdict {} | done: tool_use
        ",
        expect![[r#"
            ! call model 1: user("hi")
            turn_s_1 started
            step 0
            input of a: {}
            block 0 done: call a verdict {}
            ! finish model 1
            ! call model 2: user("hi") assistant(call a verdict {}) user(error a "the reply does not fit the schema: \"n\" is a required property")
            step done: ToolUse, 10+5 tokens, 1 model, 0 tool
            a Failed: error a "the reply does not fit the schema: \"n\" is a required property"
            usage so far: 10+5 tokens, 1 model, 0 tool
            step 1
            input of b: {}
            block 0 done: call b clock {}
            ! finish model 2
            step done: ToolUse, 10+5 tokens, 1 model, 0 tool
            approval_s_1 asks for b clock {} (the tool needs consent for each call)
            ? restored
            turn_s_1 ended: Paused, ApprovalRequired, assistant(call b clock {}), asks approval_s_1, 20+10 tokens, 2 model, 0 tool
            ! answer 1: turn_s_1 from 16
            turn_s_1 goes on
            approval_s_1 approved
            call b clock {} as turn_s_1/1/b
            turn_s_1 ended: Paused, ToolUse, assistant(call b clock {}), waits for b, 20+10 tokens, 2 model, 1 tool
            ! answer 2: turn_s_1 from 20
            ! call model 3: user("hi") assistant(call a verdict {}) user(error a "the reply does not fit the schema: \"n\" is a required property") assistant(call b clock {}) user(result b "noon")
            turn_s_1 goes on
            usage so far: 20+10 tokens, 2 model, 1 tool
            step 2
            input of c: {}
            block 0 done: call c verdict {}
            ! finish model 3
            step done: ToolUse, 10+5 tokens, 1 model, 0 tool
            c Failed: error c "the reply does not fit the schema: \"n\" is a required property"
            turn_s_1 ended: Failed, Error, assistant(call c verdict {}), 30+15 tokens, 3 model, 1 tool, OutputInvalid (the reply does not fit the schema: "n" is a required property)
            history: user("hi") assistant(call a verdict {}) user(error a "the reply does not fit the schema: \"n\" is a required property") assistant(call b clock {}) user(result b "noon") assistant(call c verdict {}) user(error c "the reply does not fit the schema: \"n\" is a required property")
        "#]],
    );
}
