//! How tools are called: which, with what input, in how many steps, and wrongly.

use super::*;

fn tool(name: &str, description: &str, schema: Value) -> Value {
    json!({"toolSpec": {
        "name": name, "description": description, "inputSchema": {"json": schema},
    }})
}

/// Two tools, the second of which needs what the first finds.
fn shop() -> Value {
    json!({"tools": [
        tool("find_customer", "Finds a customer by name", json!({
            "type": "object",
            "properties": {"customer": {"type": "string"}},
            "required": ["customer"],
        })),
        tool("list_invoices", "Lists the open invoices of an account", json!({
            "type": "object",
            "properties": {"account_id": {"type": "integer"}},
            "required": ["account_id"],
        })),
    ]})
}

fn stock() -> Value {
    json!({"tools": [tool("count_stock", "How many of an item a warehouse has", json!({
        "type": "object",
        "properties": {"item": {"type": "string"}, "warehouse": {"type": "string"}},
        "required": ["item", "warehouse"],
        "additionalProperties": false,
    }))]})
}

fn asked(prompt: &str, tools: Value) -> Value {
    let mut body = conversation(&[prompt]);
    body["toolConfig"] = tools;
    body
}

/// The calls of a reply: names and the text of their input.
fn calls(reply: &Reply) -> Vec<(String, String)> {
    let calls = reply.content.iter().filter_map(|block| match block {
        Block::ToolUse { name, input, .. } => Some((name.clone(), input.join())),
        Block::Text { .. }
        | Block::Reasoning { .. }
        | Block::RedactedReasoning { .. }
        | Block::ToolResult { .. }
        | Block::Image { .. }
        | Block::Event { .. } => None,
    });
    calls.collect()
}

/// The one call of a reply.
#[track_caller]
fn only_call(reply: &Reply) -> (String, Value) {
    let calls = calls(reply);
    let [(name, input)] = &calls[..] else {
        panic!("not one call: {reply:?}");
    };
    (name.clone(), serde_json::from_str(input).unwrap())
}

/// Puts the reply and the results of its calls behind the conversation.
fn answered(body: &mut Value, reply: &Reply, results: &[(Value, &str)]) {
    let message = reply.message();
    let ids = message["content"].as_array().unwrap().iter();
    let ids = ids.filter_map(|block| block["toolUse"]["toolUseId"].as_str());
    let results: Vec<Value> = ids
        .zip(results)
        .map(|(id, (content, status))| {
            json!({"toolResult": {"toolUseId": id, "content": [content], "status": status}})
        })
        .collect();
    let messages = body["messages"].as_array_mut().unwrap();
    messages.push(message);
    messages.push(json!({"role": "user", "content": results}));
}

#[test]
fn numbers_and_names_of_the_prompt_go_where_they_belong() {
    for (prompt, expected) in [
        (
            "How many anvils are in warehouse Oslo?",
            json!({"item": "anvils", "warehouse": "Oslo"}),
        ),
        (
            "Count the stock of \"left-handed hammers\" in the Bergen warehouse.",
            json!({"item": "left-handed hammers", "warehouse": "Bergen"}),
        ),
        (
            "What does the warehouse called \"North 3\" have in stock of item A-17?",
            json!({"item": "A-17", "warehouse": "North 3"}),
        ),
    ] {
        let reply = converse(asked(prompt, stock()));
        assert_eq!(
            only_call(&reply),
            ("count_stock".to_owned(), expected),
            "{prompt}"
        );
    }
}

#[test]
fn two_tools_are_called_at_once_when_the_prompt_speaks_of_both() {
    let mut tools = weather();
    tools["tools"][1] = tool(
        "send_mail",
        "Sends a mail",
        json!({"type": "object", "properties": {"to": {"type": "string", "format": "email"}},
               "required": ["to"]}),
    );
    let prompt = "What is the weather in Oslo? Please mail it to ada@example.org.";
    let reply = converse(asked(prompt, tools.clone()));
    let calls = calls(&reply);
    assert_eq!(calls.len(), 2, "{reply:?}");
    assert_eq!(calls[0].0, "get_weather");
    assert_eq!(
        calls[1],
        (
            "send_mail".to_owned(),
            r#"{"to":"ada@example.org"}"#.to_owned()
        )
    );

    let reply = converse(asked("What is the weather in Oslo?", tools));
    assert_eq!(only_call(&reply).0, "get_weather");
}

#[test]
fn one_call_follows_the_other_and_uses_what_it_found() {
    for (model, prompt) in [
        (
            MODEL,
            "Find the customer Ada Lovelace, then list her open invoices.",
        ),
        (
            "simulator.persona-stepwise-v1:0",
            "What does Ada Lovelace owe us?",
        ),
    ] {
        let mut body = asked(prompt, shop());
        let first = converse_as(model, body.clone());
        assert_eq!(
            only_call(&first),
            (
                "find_customer".to_owned(),
                json!({"customer": "Ada Lovelace"})
            ),
            "{prompt}"
        );
        let found = json!({"text": r#"{"account_id": 1815, "name": "Ada Lovelace"}"#});
        answered(&mut body, &first, &[(found, "success")]);

        let second = converse_as(model, body.clone());
        assert_eq!(
            only_call(&second),
            ("list_invoices".to_owned(), json!({"account_id": 1815}))
        );
        let invoices = json!({"json": {"open": 2, "sum": "77 EUR"}});
        answered(&mut body, &second, &[(invoices, "success")]);

        let last = converse_as(model, body);
        assert_eq!(last.stop_reason, "end_turn");
        let text = said(&last);
        assert!(
            text.contains("1815") && text.contains("sum is 77 EUR"),
            "{text}"
        );
    }
}

#[test]
fn input_that_was_refused_is_written_again_as_the_error_asks() {
    let mut tools = stock();
    let schema = &mut tools["tools"][0]["toolSpec"]["inputSchema"]["json"];
    schema["properties"]["shelf"] = json!({"type": "integer", "minimum": 10});
    let mut body = asked("How many anvils are in warehouse Oslo?", tools);
    let first = converse(body.clone());
    let refusal =
        json!({"text": "The input does not fit the schema: \"shelf\" is a required property."});
    answered(&mut body, &first, &[(refusal.clone(), "error")]);
    let second = converse(body.clone());
    assert_eq!(
        only_call(&second).1,
        json!({"item": "anvils", "warehouse": "Oslo", "shelf": 10})
    );

    // What cannot be written better is not written again.
    answered(&mut body, &second, &[(refusal, "error")]);
    let last = converse(body);
    assert_eq!(last.stop_reason, "end_turn");
    assert!(said(&last).contains("failed"));
}

#[test]
fn a_habit_errs_once_and_then_calls_rightly() {
    let right = json!({"item": "anvils", "warehouse": "Oslo"});
    for (habit, error) in [
        ("malformed", "The input is not JSON."),
        ("misfit", "The input does not fit the schema."),
        ("unknown-tool", "There is no such tool."),
    ] {
        let model = format!("simulator.persona-{habit}-v1:0");
        let mut body = asked("How many anvils are in warehouse Oslo?", stock());
        let first = converse_as(&model, body.clone());
        let (name, input) = calls(&first).remove(0);
        let input: Option<Value> = serde_json::from_str(&input).ok();
        let schema = &stock()["tools"][0]["toolSpec"]["inputSchema"]["json"];
        match habit {
            "malformed" => assert_eq!(input, None),
            "misfit" => assert!(!jsonschema::is_valid(schema, &input.unwrap())),
            _ => assert_eq!(name, "no_such_tool"),
        }
        answered(&mut body, &first, &[(json!({"text": error}), "error")]);
        let second = converse_as(&model, body.clone());
        let expected = ("count_stock".to_owned(), right.clone());
        assert_eq!(only_call(&second), expected, "{habit}");

        answered(&mut body, &second, &[(json!({"text": "42"}), "success")]);
        let last = converse_as(&model, body);
        let text = said(&last);
        assert!(text.contains("42") && !text.contains("failed"), "{text}");
    }
}

#[test]
fn the_parallel_habit_calls_every_tool_once() {
    let model = "simulator.persona-parallel-v1:0";
    let mut body = asked("Hello", shop());
    let first = converse_as(model, body.clone());
    let names: Vec<String> = calls(&first).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["find_customer", "list_invoices"]);
    let done = (json!({"text": "done"}), "success");
    answered(&mut body, &first, &[done.clone(), done]);
    assert_eq!(converse_as(model, body).stop_reason, "end_turn");
}

#[test]
fn the_endless_habit_never_answers_and_never_repeats_an_id() {
    let mut body = asked("Hello", shop());
    let mut ids = BTreeSet::new();
    for _ in 0..40 {
        let reply = converse_as("simulator.persona-endless-v1:0", body.clone());
        assert_eq!(reply.stop_reason, "tool_use");
        let Some(Block::ToolUse { id, .. }) = reply.content.last() else {
            panic!("no call in {reply:?}");
        };
        assert!(ids.insert(id.clone()), "{id} again");
        answered(&mut body, &reply, &[(json!({"text": "more"}), "success")]);
    }
}

#[test]
fn the_bytewise_habit_sends_one_byte_a_delta() {
    let body = asked("How many Äpfel are in warehouse Tromsø?", stock());
    let reply = converse_as("simulator.persona-bytewise-v1:0", body);
    let Some(Block::ToolUse { input, .. }) = reply.content.last() else {
        panic!("no call in {reply:?}");
    };
    assert!(
        input.pieces.iter().all(|piece| piece.len() == 1),
        "{input:?}"
    );
    assert_eq!(only_call(&reply).1["warehouse"], "Tromsø");
}

#[test]
fn a_forced_tool_gets_input_that_fits_and_its_result_an_answer() {
    let mut body = asked("Good morning", shop());
    body["toolConfig"]["toolChoice"] = json!({"tool": {"name": "list_invoices"}});
    let first = converse(body.clone());
    assert_eq!(
        only_call(&first),
        ("list_invoices".to_owned(), json!({"account_id": 1}))
    );
    answered(&mut body, &first, &[(json!({"text": "none"}), "success")]);
    assert_eq!(converse(body).stop_reason, "end_turn");
}

#[test]
fn json_output_fits_its_schema_and_takes_what_tools_found() {
    let schema = json!({
        "type": "object",
        "properties": {
            "warehouse": {"type": "string"},
            "count": {"type": "integer"},
            "confidence": {"enum": ["LEVEL_UNSPECIFIED", "LEVEL_HIGH"]},
        },
        "required": ["warehouse", "count", "confidence"],
        "additionalProperties": false,
    });
    let mut body = asked("How many anvils are in warehouse Oslo?", stock());
    body["outputConfig"] = json!({"textFormat": {"type": "json_schema", "structure": {
        "jsonSchema": {"schema": schema.to_string()},
    }}});
    let first = converse(body.clone());
    answered(
        &mut body,
        &first,
        &[(json!({"json": {"count": 17}}), "success")],
    );
    let output: Value = serde_json::from_str(&said(&converse(body))).unwrap();
    assert_eq!(
        output,
        json!({"warehouse": "Oslo", "count": 17, "confidence": "LEVEL_HIGH"})
    );
    assert!(jsonschema::is_valid(&schema, &output));
}

#[test]
fn values_fit_the_schemas_that_protobuf_and_mcp_servers_bring() {
    let int64 = json!({"type": "string", "pattern": "^-?(0|[1-9][0-9]*)$"});
    let prompt = "Book room 9007199254740993 for 3 guests on 2026-03-01, at a high price.";
    for (schema, expected) in [
        (
            json!({"properties": {"room": int64}, "required": ["room"]}),
            json!({"room": "9007199254740993"}),
        ),
        (
            json!({"properties": {"room": {"type": ["integer", "string"], "pattern": "^[0-9]+$"}},
                   "required": ["room"]}),
            json!({"room": 9_007_199_254_740_993_i64}),
        ),
        (
            json!({"properties": {"room": {"anyOf": [{"type": "integer"}, int64]}},
                   "required": ["room"]}),
            json!({"room": 9_007_199_254_740_993_i64}),
        ),
        (
            json!({"properties": {"stay": {"$ref": "#/$defs/stay"}}, "required": ["stay"],
            "$defs": {
                "stay": {"properties": {"guests": {"$ref": "#/$defs/count"}},
                         "required": ["guests"]},
                "count": {"type": "integer", "maximum": 2},
            }}),
            json!({"stay": {"guests": 2}}),
        ),
        (
            json!({"properties": {
                "begin": {"type": "string", "format": "date-time"},
                "day": {"type": "string", "format": "date"},
                "for": {"type": "string", "format": "duration"},
                "timeout": {"type": "string", "pattern": "^-?[0-9]+(\\.[0-9]{1,9})?s$"},
            }, "required": ["begin", "day", "for", "timeout"]}),
            json!({"begin": "2026-01-01T12:00:00Z", "day": "2026-03-01", "for": "PT1H",
                   "timeout": "9007199254740993s"}),
        ),
        (
            json!({"properties": {"guests": {"type": "integer"}, "children": {"type": "integer"}},
                   "oneOf": [{"required": ["children"]}, {"required": ["guests"]}]}),
            json!({"guests": 3}),
        ),
        (
            json!({"properties": {"price": {"enum": ["PRICE_UNSPECIFIED", "PRICE_LOW", "PRICE_HIGH"]}},
                   "required": ["price"]}),
            json!({"price": "PRICE_HIGH"}),
        ),
        (
            json!({"$ref": "#/$defs/node", "$defs": {"node": {
                "type": "object",
                "properties": {
                    "guests": {"type": "number", "multipleOf": 2, "minimum": 1},
                    "parts": {"type": "array", "items": {"$ref": "#/$defs/node"}},
                    "next": {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/node"}]},
                },
                "required": ["guests", "parts", "next"],
            }}}),
            json!({"guests": 4.0, "parts": [], "next": null}),
        ),
        (
            json!({"allOf": [
                {"properties": {"code": {"type": "string", "pattern": "^[A-Z]{2}-\\d{4}$"}},
                 "required": ["code"]},
                {"properties": {"tags": {"type": "array", "minItems": 2, "uniqueItems": true,
                                         "items": {"type": "integer", "minimum": 1}}},
                 "required": ["tags"]},
            ]}),
            json!({"code": "AA-1111", "tags": [9_007_199_254_740_993_i64, 3]}),
        ),
    ] {
        let mut body = asked(prompt, json!({"tools": [tool("book", "", schema.clone())]}));
        body["toolConfig"]["toolChoice"] = json!({"any": {}});
        let (_, input) = only_call(&converse(body));
        assert!(
            jsonschema::is_valid(&schema, &input),
            "{input} for {schema}"
        );
        assert_eq!(input, expected);
    }
}

#[test]
fn a_schema_that_asks_for_itself_many_times_still_gets_an_answer() {
    let schema = json!({"$ref": "#/$defs/node", "$defs": {"node": {
        "type": "object",
        "properties": {
            "a": {"$ref": "#/$defs/node"}, "b": {"$ref": "#/$defs/node"},
            "c": {"$ref": "#/$defs/node"}, "d": {"$ref": "#/$defs/node"},
        },
        "required": ["a", "b", "c", "d"],
    }}});
    let mut body = asked("Go", json!({"tools": [tool("book", "", schema)]}));
    body["toolConfig"]["toolChoice"] = json!({"any": {}});
    let (_, input) = only_call(&converse(body));
    assert!(input.to_string().len() < 100_000);
}

#[test]
fn a_path_keeps_its_leading_slash() {
    let tools = json!({"tools": [tool("read_file", "Reads a file", json!({
        "type": "object",
        "properties": {"path": {"type": "string"}},
        "required": ["path"],
    }))]});
    for (prompt, path) in [
        (r#"Use read_file of path "/tmp/a1/b.txt"."#, "/tmp/a1/b.txt"),
        (r#"Use read_file of path "/tmp/a/b.txt"."#, "/tmp/a/b.txt"),
        ("Use read_file with path /tmp/a1/b.txt.", "/tmp/a1/b.txt"),
        (r#"Use read_file of path "a1/b.txt"."#, "a1/b.txt"),
    ] {
        let body = asked(prompt, tools.clone());
        let (_, input) = only_call(&converse(body));
        assert_eq!(input, json!({"path": path}), "{prompt}");
    }
}
