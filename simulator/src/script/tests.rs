use std::{fs, path::Path};

use serde_json::json;

use super::*;

#[track_caller]
fn refused(scenario: &str, expected: &str) {
    let error = Script::from_toml(scenario).unwrap_err().to_string();
    assert!(error.contains(expected), "{error}");
}

#[test]
fn the_scenarios_of_the_repository_are_valid() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let files = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let scenarios = files.filter(|path| path.extension().is_some_and(|it| it == "toml"));
    let mut rules = 0;
    for path in scenarios {
        let text = fs::read_to_string(&path).unwrap();
        let script = Script::from_toml(&text);
        rules += script
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
            .rules
            .len();
    }
    assert!(rules >= 20, "{rules} rules");
}

#[test]
fn unknown_keys_are_refused_by_name() {
    refused("repy = []", "unknown field `repy`");
    refused("[[reply]]\ntxt = 'a'", "unknown field `txt`");
    refused(
        "[[reply]]\nwhen = { prompt = 'a' }",
        "unknown field `prompt`",
    );
    refused("[[reply]]\nfault = { cutt = {} }", "unknown field `cutt`");
    refused(
        "[[reply]]\ncontent = [{ tool = 1 }]",
        "unknown field `tool`",
    );
    refused("[pace]\nspeed = 1", "unknown field `speed`");
}

#[test]
fn bad_values_name_their_field() {
    refused("[[reply]]\ntext = 3", "a string or a list of strings");
    refused("[[reply]]\ntimes = 0", "reply[0].times: must be at least 1");
    refused(
        "[[reply]]\ntext = 'a'\nstop_reason = 'bored'",
        "reply[0].stop_reason: \"bored\"",
    );
    refused(
        "[[reply]]\ntext = ['a']\nchunk_chars = 2",
        "reply[0].chunk_chars",
    );
    refused(
        "[[reply]]\ntext = 'a'\nchunk_chars = 0",
        "reply[0].chunk_chars: must be at least 1",
    );
    refused("[[reply]]\ntext = 'a'\nrepeat = 0", "reply[0].repeat");
    refused(
        "[[reply]]\ntext = 'a'\n[[reply.content]]\ntext = 'b'",
        "reply[0]: has both",
    );
    refused(
        "[[reply]]\ncontent = [{ text = 'a', redacted_reasoning = 'b' }]",
        "reply[0].content[0]",
    );
    refused(
        "[[reply]]\ncontent = [{ redacted_reasoning = '%' }]",
        "is not base64",
    );
    refused(
        "[[reply]]\npace = { chunk_delay = '3 parsecs' }",
        "is not a time",
    );
    refused(
        "[pace]\njitter = 2.0",
        "pace.jitter: must be between 0 and 1",
    );
    refused("[pace]\ntokens_per_second = 0.0", "pace.tokens_per_second");
    refused(
        "[pace]\nchunk_delay = '1s'\ntokens_per_second = 3.0",
        "pace: has both",
    );
    refused(
        "[[reply]]\nfault.cut = { how = 'reset' }",
        "reply[0].fault.cut: needs exactly one",
    );
    refused(
        "[[reply]]\nfault.cut = { at = 'before_headers', mid_frame = true }",
        "mid_frame",
    );
    refused(
        "[[reply]]\nfault.bad_checksum = { frame = 0 }",
        "reply[0].fault.bad_checksum.frame",
    );
    refused(
        "[[reply]]\nfault.bytes_per_write = 0",
        "reply[0].fault.bytes_per_write",
    );
    refused(
        "[[reply]]\nfault.silence = { after_chunk = 1 }\nfault.cut = { after_chunk = 1 }",
        "reply[0].fault: needs at most one",
    );
    refused(
        "[[reply]]\nfault.exception = { type = 'A B', status = 500 }",
        "fault.exception.type",
    );
    refused("[[reply]]\nwhen = { call = 0 }", "reply[0].when.call");
    refused("[[reply]]\nhabit = 'biting'", "unknown variant `biting`");
    refused(
        "[[reply]]\nhabit = 'endless'\ntext = 'a'",
        "reply[0].habit: is the persona's",
    );
    refused(
        "[[reply]]\nservice_tier = 'gold'\ntext = 'a'",
        "reply[0].service_tier",
    );
}

#[test]
fn a_habit_lasts_while_results_come_back() {
    let scenario = include_str!("../../scenarios/habits.toml");
    let running = Running::new(Script::from_toml(scenario).unwrap());
    let mut messages = vec![json!({"role": "user", "content": [{"text": "An endless task"}]})];
    for _ in 0..3 {
        let request = Request {
            operation: Operation::Converse,
            model_id: "simulator.persona-v1:0".to_owned(),
            body: json!({
                "messages": messages,
                "toolConfig": {"tools": [{"toolSpec": {
                    "name": "clock", "inputSchema": {"json": {"type": "object"}},
                }}]},
            }),
        };
        let chosen = running.choose(&request, false);
        assert_eq!(chosen.rule, "reply[2]");
        assert_eq!(chosen.reply.stop_reason, "tool_use");
        let message = chosen.reply.message();
        let id = message["content"][1]["toolUse"]["toolUseId"].clone();
        messages.push(message);
        messages.push(json!({"role": "user", "content": [
            {"toolResult": {"toolUseId": id, "content": [{"text": "noon"}]}},
        ]}));
    }
}

#[test]
fn a_string_is_split_behind_words() {
    assert_eq!(
        split_words("one two\n\n three "),
        ["one", " two", "\n\n three", " "]
    );
    assert_eq!(split_words("  a"), ["  a"]);
    assert!(split_words("").is_empty());
}
